"""Paths through the linear regions of a network, on which its fixed points and cycles lie."""
