"""The graph of feasible itineraries, refined until only cycles are left."""
