"""Sectors: all Jacobians of a network at once, as one matrix and the ranges of a few others of rank one.

By continuity, opening a gate adds a matrix of rank one to the Jacobian. Gates of one direction open one after another
as a state moves along it, so that what they add together stays in a range: a clipped unit is one sector, not two gates.
"""

import math
from typing import NamedTuple

import flint
import numpy as np

from cyclax.core.enclosed import Enclosed
from cyclax.cycles.forms import GATE, UnsupportedError
from cyclax.cycles.pieces import Pieces
from cyclax.cycles.polyhedra import to_float
from cyclax.maps.affine import AffineForm

# What the two methods of a model make of its weights in float64 is taken to be right to this, beside its terms.
_READ = 2.0**-44
# Gates are one direction, and what they add is one vector, if they agree to this; what they differ by is accounted for.
_SAME = 1e-9
# Steps of a ring are equal but for rounding, which is a smaller share of the largest entry than this.
_PARTED = 2.0**-44


class Sectors(NamedTuple):
    """Every Jacobian is base + outward diag(s) gradients + E, with s in [0, 1]^n and |E| <= error, entry by entry."""

    base: np.ndarray  # (M, M)
    outward: np.ndarray  # (M, n)
    gradients: np.ndarray  # (n, M)
    error: np.ndarray  # (M, M)
    gates: np.ndarray  # (n,) the first gate of each, whose gradient it has

    @property
    def half(self) -> np.ndarray:
        """What a sector adds at most to `middle`, or takes away: outward / 2, exactly."""
        return self.outward / 2

    @property
    def middle(self) -> Enclosed:
        """The Jacobian `(M, M)` with all s = 1/2, with all that is not known of it."""
        product = Enclosed(self.half, 0 * self.half) @ Enclosed(self.gradients, 0 * self.gradients)
        return Enclosed(self.base, self.error) + product

    @property
    def finite(self) -> bool:
        """Whether nothing has overflowed."""
        return bool(np.all(np.isfinite(self.base)) and all(np.all(np.isfinite(part)) for part in self[1:4]))

    def one_step(self) -> tuple["Sectors", int]:
        """Give one of T equal steps in a ring, as those of driven networks are, and T; or itself, and 1.

        Step t leads from the t-th states to the next ones. What rounding has parted them by goes into `error`.
        """
        common = math.gcd(*self.gradients.shape)
        for times in range(common, 1, -1):
            if common % times == 0 and (step := self._step(times)) is not None:
                return step, times
        return self, 1

    def _step(self, times: int) -> "Sectors | None":
        size, number, now = len(self.base) // times, len(self.gates) // times, np.arange(times)
        if np.any(self.base[:size, :size]):  # a network like most
            return None
        then = (now + 1) % times
        parts = (
            (self.base, size, size, then),
            (self.outward, size, number, then),
            (self.gradients, number, size, now),
            (self.error, size, size, then),
        )
        steps = [part.reshape(times, rows, times, columns)[row, :, now] for part, rows, columns, row in parts]
        for (whole, *_), some in zip(parts, steps, strict=True):
            close = np.all(np.abs(some - some[0]) <= _PARTED * np.max(np.abs(some[0]), initial=0))
            if not close or np.count_nonzero(some) != np.count_nonzero(whole):
                return None
        base, outward, gradients, error = steps
        parted = lambda some: np.max(np.abs(some - some[0]), axis=0)  # noqa: E731
        apart = parted(base) + parted(outward) @ np.max(np.abs(gradients), axis=0)
        apart = (1 + 1e-12) * (apart + np.abs(outward[0]) @ parted(gradients))
        return Sectors(base[0], outward[0], gradients[0], np.max(error, axis=0) + apart, self.gates[:number])


def sectors_of(bounds: AffineForm) -> Sectors:
    """Read the sectors off the affine form, in float64."""
    with np.errstate(all="ignore"):
        return _sectors_of(bounds)


def _sectors_of(bounds: AffineForm) -> Sectors:
    moving = np.flatnonzero(bounds.effective)
    gradients, jumps = bounds.gradients[moving], bounds.jumps[moving]
    size = np.abs(bounds.closed) + np.sum(np.abs(bounds.jumps), axis=0)
    base = bounds.closed + np.sum(bounds.jumps[bounds.settled], axis=0)
    error = (_READ + 8 * len(bounds.jumps) * 2.0**-53) * size
    rows, pivots = np.arange(len(moving)), np.argmax(np.abs(gradients), axis=1)
    leads = gradients[rows, pivots]
    units, added = gradients / leads[:, None], jumps[rows, :, pivots]
    thresholds = -bounds.offsets[moving] / leads
    heads = added[rows, np.argmax(np.abs(added), axis=1)]
    heads = np.where(heads == 0, 1.0, heads)
    along: dict[bytes, list[int]] = {}
    for i, way in enumerate(np.round(np.concatenate([units, added / heads[:, None]], axis=1) / _SAME) + 0.0):
        along.setdefault(way.tobytes(), []).append(i)
    found = []
    for members in along.values():
        vector, unit, gains = added[members[0]], units[members[0]], heads[members] / heads[members[0]]
        error = error + np.sum(np.abs(jumps[members] - gains[:, None, None] * np.outer(vector, unit)), axis=0)
        tie = _SAME * float(np.max(np.abs(thresholds[members])))
        least, most = _range(gains.tolist(), (leads[members] > 0).tolist(), thresholds[members].tolist(), tie)
        base = base + least * np.outer(vector, unit)
        if most > least:
            first = members[0]
            found.append(((most - least) / leads[first] * vector, gradients[first], moving[first]))
    return _joined(base, error, found)


def _joined(base: np.ndarray, error: np.ndarray, found: list) -> Sectors:
    size = len(base)
    outward = np.array([vector for vector, _, _ in found]).reshape(-1, size).T
    gradients = np.array([unit for _, unit, _ in found]).reshape(-1, size)
    return Sectors(base, outward, gradients, error, np.array([gate for _, _, gate in found], int))


def _range(gains: list, upward: list[bool], thresholds: list, tie) -> tuple:
    """Give the least and the largest sum of gains of open gates along a line; of gates that tie, in any order."""
    total = sum((gain for gain, up in zip(gains, upward, strict=True) if not up), 0 * gains[0])
    least = most = total
    turn = sorted(range(len(gains)), key=thresholds.__getitem__)
    while turn:
        # What overflowed (nan) ties with all, so that this ends; the sums then are no numbers, and prove nothing.
        tied = [i for i in turn if not thresholds[i] > thresholds[turn[0]] + tie]
        turn = turn[len(tied) :]
        steps = [gains[i] if upward[i] else -gains[i] for i in tied]
        least = min(least, total + sum(step for step in steps if step < 0))
        most = max(most, total + sum(step for step in steps if step > 0))
        total += sum(steps)
    return least, most


def stated_sectors(pieces: Pieces) -> Sectors:
    """Read the sectors off the code of a model, in rationals: its weights are what they are, and `error` is rounding.

    **Raises:** `UnsupportedError` where the code leaves the rationals, gates do not add up, or the map is not
    continuous.
    """
    if not pieces.exact:
        raise UnsupportedError("the weights of the model are used in functions that leave the rationals.")
    size, zero = pieces.num_states, flint.fmpq(0)
    base, jumps = _by_gate(pieces)
    along: dict[tuple, list] = {}
    for gate, jump in enumerate(jumps):
        plane = [pieces.planes[gate].get(j, zero) for j in range(size + 1)]
        if not any(plane[1:]):
            if plane[0] > 0:
                base = {key: base.get(key, zero) + jump.get(key, zero) for key in {**base, **jump}}
            continue
        if not jump:
            continue
        pivot = next(j for j in range(1, size + 1) if plane[j])
        lead = plane[pivot]
        added = {i: value for (i, j), value in jump.items() if j == pivot}
        plane = [value / lead for value in plane]
        rank_one = {(i, j): value * plane[j] for i, value in added.items() for j in range(size + 1) if plane[j]}
        if rank_one != {key: value for key, value in jump.items() if value}:
            raise UnsupportedError(f"the map is not continuous where gate {gate} opens.")
        head = next(iter(sorted(added)))
        vector = tuple(sorted((i, value / added[head]) for i, value in added.items()))
        along.setdefault((tuple(plane[1:]), vector), []).append((gate, added[head], lead > 0, -plane[0]))
    return _rounded(pieces, base, along)


def _by_gate(pieces: Pieces) -> tuple[dict, list[dict]]:
    """Split the step into what it is with all gates closed, and what each adds: `{(row, column): value}`."""
    forms = pieces.with_open_gates()
    base: dict = {}
    jumps: list[dict] = [{} for _ in pieces.planes]
    for i, form in enumerate(forms):
        for column, value in form.items():
            gate, j = divmod(column, GATE)
            (jumps[gate - 1] if gate else base)[i, j] = value
    return base, jumps


def _rounded(pieces: Pieces, base: dict, along: dict[tuple, list]) -> Sectors:
    found, zero, size = [], flint.fmpq(0), pieces.num_states
    for (unit, vector), members in along.items():
        _, gains, upward, thresholds = (list(part) for part in zip(*members, strict=True))
        vector, gains = [(i, value * gains[0]) for i, value in vector], [gain / gains[0] for gain in gains]
        least, most = _range(gains, upward, thresholds, zero)
        for i, value in vector:
            for j, slope in enumerate(unit, start=1):
                if slope:
                    base[i, j] = base.get((i, j), zero) + least * value * slope
        if most > least:
            gate, dense = members[0][0], np.zeros(size)
            gradient = [pieces.planes[gate].get(j, zero) for j in range(1, size + 1)]
            lead = next(value for value in gradient if value)
            for i, value in vector:
                dense[i] = to_float((most - least) * value / lead)
            found.append((dense, np.array([to_float(slope) for slope in gradient]), gate))
    matrix = np.zeros((size, size))
    for (i, j), value in base.items():
        if j:
            matrix[i, j - 1] = to_float(value)
    joined = _joined(matrix, np.zeros((size, size)), found)
    # Each number is rounded once.
    sizes = np.abs(matrix) + 2 * np.abs(joined.outward) @ np.abs(joined.gradients)
    return joined._replace(error=2.0**-50 * sizes + 2.0**-1000)
