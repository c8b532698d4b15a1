"""Proving that none is missing: methods of exact enumeration, certificates, proofs of single cycles."""

from cyclax.proofs.candidates import Box, Candidates
from cyclax.proofs.contraction import Contraction, check_contraction, find_contraction
from cyclax.proofs.methods import AbstractMethod, BranchAndBound, Exhaustive, WordGraph

__all__ = [
    "AbstractMethod",
    "Box",
    "BranchAndBound",
    "Candidates",
    "Contraction",
    "Exhaustive",
    "WordGraph",
    "check_contraction",
    "find_contraction",
]
