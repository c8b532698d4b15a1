"""Proof beyond floating point: what the word graph leaves out is refuted in ball arithmetic, or it is kept.

Floating point proposes, and logs its reasons: an itinerary, and multipliers y >= 0 of some of its rows. The `Judge`
knows none of the numbers that the proposal was computed with. It reads the pieces of the map off the code of the model,
in exact numbers (`cyclax.cycles.pieces`), writes each row as a functional v . (1, z_t) <= 0 that every point of such an
itinerary obeys, carries y v back through the exact pieces, v . (1, z_{t+1}) = (v A_t) . (1, z_t), and adds up. What is
left is one functional of z_0. Where it is positive in the whole box there is no such itinerary: the multipliers may be
rounded or wrong, and the proof still holds or fails by itself.

Words that are left over are decided the same way: I - P inverted in balls, all points enclosed, all gates looked at.

What remains assumed: that the map is continuous (the contract of the library), where several gates share one plane; and
the code of FLINT, of this module, and of the graph, which is all integers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import flint
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError("A rigorous proof needs python-flint: pip install 'cyclax[exact]'.") from error

from cyclax.core.balls import working_precision
from cyclax.cycles.forms import Form
from cyclax.cycles.pieces import Pieces as ExactPieces
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.proofs.boxes import Pieces
from cyclax.proofs.candidates import Box
from cyclax.proofs.word_graph.programs import CAP

# What a word can come to.
NONE, CYCLE, OPEN = "none", "cycle", "open"
# Bits for refutations, which need only a sign; and at most for words, whose points may be close to a border.
_BITS, _MOST_BITS = 256, 8192


class NotExactError(ValueError):
    """The planes that floating point saw are not exactly those of the model."""


class Judge:
    """The map in exact numbers, and what it says.

    **Arguments:** `model`: its weights are taken as exact numbers. `box`: refutations hold for points inside. `check`:
    called now and then while the model is read, here and later, and may raise.
    """

    def __init__(self, model: AbstractPiecewiseLinearMap, box: Box, check: Callable[[], None] = lambda: None):
        with working_precision(_BITS):
            self._exact = ExactPieces(model, check)
            lower, upper = ([flint.arb(side) for side in sides.tolist()] for sides in (box.lower, box.upper))
        self._lower, self._upper = lower, upper
        self.upheld, self.rejected = 0, 0
        self._rows: dict[int, Any] = {}
        self._maps: list[Any] = []
        self._gates = np.zeros(0, bool)  # those that matter

    def learn(self, pieces: Pieces) -> None:
        """Take the planes in the order of `pieces`, and check that its gates are rightly sorted to them.

        **Raises:** `NotExactError` where rounding made one plane of two, or no gate of one that matters.
        """
        size = self._exact.num_states
        self._rows = {}
        with working_precision(_BITS):
            identity = [[int(i == j) for j in range(1, size + 1)] for i in range(1, size + 1)]
            for i, row in enumerate(identity):
                self._rows[i] = flint.arb_mat([[-self._upper[i], *row]])
                self._rows[size + i] = flint.arb_mat([[self._lower[i], *(-x for x in row)]])
            for plane in range(len(pieces.planes)):
                members = np.flatnonzero(pieces.plane_of == plane).tolist()
                leader = self._exact.planes[members[0]]
                for gate in members[1:]:
                    sign = -1 if pieces.flipped[gate] else 1
                    if not _proportional(leader, self._exact.planes[gate], sign):
                        raise NotExactError(
                            f"WordGraph(rigorous=True): gates {members[0]} and {gate} have the same border up to "
                            "rounding, and not exactly; use rigorous=False."
                        )
                # In the units of the rows that the multipliers were computed for.
                unit = flint.arb(1) / float(self._exact.slopes[members[0]])
                row = flint.arb_mat([[flint.arb(leader.get(j, 0)) * unit for j in range(size + 1)]])
                # The gate that a plane was made for is open on its positive side.
                self._rows[-(2 * plane + 2)], self._rows[-(2 * plane + 1)] = -row, row
        for gate in np.flatnonzero(pieces.plane_of < 0).tolist():
            constant = self._exact.planes[gate].get(0, 0)
            if self._exact.slopes[gate] == 0 and bool(constant > 0) != bool(pieces.held[gate]):
                raise NotExactError(f"WordGraph(rigorous=True): gate {gate} is constant, and its sign is not certain.")
        self._gates = pieces.plane_of >= 0

    def take_maps(self, gates: np.ndarray) -> None:
        """Take the held maps of the regions with these gates `(S, G)`.

        **Raises:** `NotExactError` where a gate that is left out matters.
        """
        inert = tuple(gate for gate in np.flatnonzero(~self._gates).tolist() if self._exact.slopes[gate] != 0)
        for some in gates:
            if inert and not self._exact.inert(some, inert):
                raise NotExactError(
                    f"WordGraph(rigorous=True): gates {inert} switch nothing up to rounding, but not exactly; use "
                    "rigorous=False."
                )
        self._maps = [self._exact.matrix(some, _BITS) for some in gates]

    def upholds(self, symbols: list[int], sides: list[np.ndarray], rows: np.ndarray, multipliers: np.ndarray) -> bool:
        """Whether these multipliers prove that no orbit in the box follows an itinerary.

        **Arguments:** `symbols`: the regions of z_0, z_1, .. whose maps are held; `sides`: for each time the sides of
        the planes `(n, P)` of the region, or regions, that the refutation speaks of (2 and more: not known); `rows`
        `(R, 2)`: time and source, as in `programs`; `multipliers` `(R,)`.
        """
        last = max(rows[multipliers > 0, 0].tolist(), default=0)
        at: list[list[tuple[int, float]]] = [[] for _ in range(last + 1)]
        for (time, source), y in zip(rows.tolist(), multipliers.tolist(), strict=True):
            if source == CAP or y == 0:
                continue
            plane, side = divmod(-source - 1, 2)
            if not y > 0 or (source < 0 and not np.all(sides[time][:, plane] == side)):
                raise ValueError("a refutation rests on what is not given: a negative multiplier, or a foreign side")
            at[time].append((source, y))
        with working_precision(_BITS):
            functional = flint.arb_mat(1, len(self._lower) + 1)
            for time in range(last, -1, -1):
                if time < last:
                    functional = functional * self._maps[symbols[time]]
                for source, y in at[time]:
                    functional = functional + self._rows[source] * flint.arb(y)
            least, *slopes = functional.entries()
            for slope, low, high in zip(slopes, self._lower, self._upper, strict=True):
                least += (slope * low).min(slope * high)
            proved = bool(least > 0)
        self.upheld += proved
        self.rejected += not proved
        return proved

    def decide(self, word: np.ndarray) -> str:
        """Decide a word `(k, G)`: its one solution is not true to it (NONE), or is (CYCLE), or neither is proved.

        Where NONE, no power of the word has a solution that is true to it, either: the mean of its points over the
        repetitions would solve the word.
        """
        bits = _BITS
        while bits <= _MOST_BITS:
            with working_precision(bits):
                verdict = self._decided(word, bits)
            if verdict != OPEN:
                return verdict
            bits *= 2
        return OPEN

    def _decided(self, word: np.ndarray, bits: int) -> str:
        lap = self._exact.lap(word, bits)
        try:
            state = lap.solution()
        except ZeroDivisionError:
            return OPEN
        planes, verdict = self._exact.planes_matrix(bits), CYCLE
        matter = np.flatnonzero(self._gates).tolist()
        for gates, matrix in zip(word, lap.matrices, strict=True):
            values = (planes * state).entries()
            for gate in matter:
                if values[gate] < 0 if gates[gate] else values[gate] > 0:
                    return NONE
                if not (values[gate] > 0 if gates[gate] else values[gate] < 0):
                    verdict = OPEN
            state = matrix * state
        return verdict


def _proportional(one: Form, other: Form, sign: int) -> bool:
    """Whether two preactivations are exactly proportional, with a factor of this sign."""
    pivot = max(one)
    if one.keys() != other.keys() or not isinstance(one[pivot], flint.fmpq):
        return False
    factor = other[pivot] / one[pivot]
    return bool(factor * sign > 0) and all(bool(other[column] == factor * one[column]) for column in one)
