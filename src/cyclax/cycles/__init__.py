"""Cycles: words, solves, the batched search, results."""
