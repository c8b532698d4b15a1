"""Differential tests: the library against references in exact rationals, and against itself in other units."""
