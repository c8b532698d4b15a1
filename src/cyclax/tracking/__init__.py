"""Cycles over training: sequences of models, their events, and jumps of the loss."""
