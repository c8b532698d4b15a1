"""Branching over gates, with a linear program at each node."""
