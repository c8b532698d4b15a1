"""Following paths of a homotopy through the linear regions of a network, from solution to solution."""
