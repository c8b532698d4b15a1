"""What trees of branch and bound may cost: whether to begin one, to go on, or to begin again, in counted operations."""

import math
from collections.abc import Callable

import numpy as np

from cyclax.core.budget import Budget
from cyclax.cycles.contraction import contraction_certificate
from cyclax.cycles.uniqueness import one_solution
from cyclax.maps.affine import AffineForm
from cyclax.proofs.candidates import Box, Candidates

# Operations, about, of one linear program of a tree: some, and some for each entry that is not zero (measured at
# M = 20 to 100); and of proving that there is one fixed point only, times M^3.
_PROGRAM, _ENTRY, _UNIQUE = 2e6, 1600.0, 400.0
# A tree tells what it will take by so many programs, after those that tighten its columns, so many for each. It is
# begun where they cost at most so many operations, or as many as all searches so far.
_TELLING, _TIGHTENING, _BEGIN = 2000, 3, 1.5e10
# A tree of more operations takes some times as long as it takes to compile paths, and to follow a few.
LONG = 2e10
# All trees of a network may cost so many times as many operations as each search is given, and so many more in each
# turn, for so many turns: searches, which are short at first, come before large trees. Trees of orders above 1 may
# cost such a part of what each search is given, or what it takes to be told: starts find cycles of low order.
_MULTIPLE, _MORE, _TURNS, _PART = 2, 4.5e10, 3, 1 / 4
# What is left of a tree is so many times as much as it tells, mostly (see `branching`). Where it tells that at most
# such a share of what was done is left, it may take twice as many nodes as it was given.
_UNTOLD, _NEAR = 2.5, 1 / 4


class Promise:
    """What is known of the tree of one order of a network, and what it may cost.

    Nothing in it depends on the speed of the machine, or on the number of threads.
    """

    def __init__(self, bounds: AffineForm, order: int = 1):
        from cyclax.proofs.branch_and_bound.relaxation import relax

        side = np.ones(len(bounds.shift))
        matrix = relax(bounds, order, Box(-side, side)).matrix
        self._bounds, self._order, self._each = bounds, order, _PROGRAM + _ENTRY * np.count_nonzero(matrix)
        self._least = self._each * (_TELLING + _TIGHTENING * matrix.shape[1])
        self._unique: bool | None = None  # whether one fixed point is proved to be all, without a tree
        self._turns, self._spent = 0, 0  # turns and programs so far
        self._foreseen = 0.0  # nodes that the tree will take, as the last one told

    def nodes(self, operations: float) -> int:
        """Give the nodes of a tree to try in this turn, in which a search is given so many operations; 0 for none."""
        self._turns = min(self._turns + 1, _TURNS)
        if not self._spent and self._least > max(_BEGIN, operations / 2) and not self._is_unique(operations):
            return 0
        most = _MULTIPLE * operations + _MORE * self._turns if self._order == 1 else max(_PART * operations, _BEGIN)
        nodes = int(most / self._each) - self._spent
        return nodes if nodes >= max(self._foreseen, 1) else 0

    def budget(self, seconds: float, nodes: int, cheaper: Callable[[], None]) -> "TreeBudget":
        """Give the budget of a tree of so many nodes; before a long one of fixed points what is `cheaper` is done."""
        return TreeBudget(seconds, nodes, LONG / self._each if self._order == 1 else math.inf, cheaper)

    def absorb(self, found: Candidates) -> None:
        """Take in what a tree has found out."""
        self._spent += found.programs
        self._foreseen = foreseen(found.nodes, found.notes.get("nodes expected", np.inf))

    def _is_unique(self, operations: float) -> bool:
        if self._unique is None and _UNIQUE * len(self._bounds.shift) ** 3 <= max(_BEGIN, operations):
            self._unique = contraction_certificate(self._bounds) is not None or one_solution(self._bounds, self._order)
        return bool(self._unique)


class TreeBudget(Budget):
    """Nodes of a tree, which need not be used up: it is given up where it tells that they will not be enough.

    **Arguments:** `cheaper`: what is done once, before the tree goes on, where it tells of more than `long` nodes.
    """

    def __init__(self, seconds: float, nodes: int, long: float = math.inf, cheaper: Callable[[], None] = lambda: None):
        super().__init__(seconds=seconds, nodes=2 * nodes)
        self._enough, self._long, self._cheaper = nodes, long, cheaper

    def told(self, nodes: int, expected: float) -> str | None:
        """Hear how many nodes a tree expects; what is cheaper than a long one is done now, before it goes on."""
        total = foreseen(nodes, expected)
        if expected - nodes > _NEAR * nodes and total > self._enough:
            return f"more nodes were expected than the {self._enough} that seemed worth it"
        if total > self._long:
            self._long = math.inf
            self._cheaper()
        return None


def foreseen(nodes: float, told: float) -> float:
    """Estimate the nodes of a tree that tells, after some of them, of so many in all."""
    return nodes + _UNTOLD * (told - nodes)
