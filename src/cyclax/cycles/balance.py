"""Units: a network whose states are measured in very different ones is balanced before anything is computed.

With S a diagonal of powers of two, y = S^-1 z obeys y' = S^-1 F(S y): the same words, multipliers and cycles, exactly,
for multiplying by a power of two rounds nothing. What is solved and bounded in y does not depend on the units of z.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from cyclax.cycles.cycle import Cycle, Degenerate, NearMiss
from cyclax.cycles.exact_form import exact_form
from cyclax.cycles.families import extent
from cyclax.cycles.result import Cycles
from cyclax.cycles.units import Balanced, representable
from cyclax.maps.affine import AffineForm, itineraries, state_sizes
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Units are left as they are where no state is off by 2 to this, on average, or they differ by less than 2 to that:
# float64 has digits enough.
_OFF, _SPREAD = 5, 10
# Balancing must halve what the logarithms of the weights differ by, on average; further than this it does not go.
_GAIN, _MOST = 0.5, 400
# States of a size beyond 2^+-this share a unit at least, for their squares and products would leave float64; it goes
# no further than this, so that what is computed in it has room.
_FAR, _FARTHEST = 200, 900
# Units times weights stay between 2^+-this: below, digits are lost, and with them that units are powers of two.
_NORMAL = 1000
# Sweeps of reweighting toward the least sum of moduli, and the floor of the residuals that count the most.
_SWEEPS, _FLOOR = 20, 0.5


def units_of(bounds: AffineForm) -> np.ndarray | None:
    """Choose the units `(M,)`, powers of two, in which a network is balanced; None where its own will do.

    Their logarithms s, and those r of the gates, minimize the sum of |log2 size + s_j - s_i| over all couplings from
    state j to i, |log2 size - s_i| over offsets, and the same for the terms of each gate: moduli, so that a few weights
    of quite another size do not count. Other units of z change s by just as much.
    """
    least, most = _room(bounds)
    common = min(max(_common_unit(bounds), least), most)
    each = _relative_units(bounds, common)
    if each is None:
        return np.full(len(bounds.shift), 2.0**common) if common else None
    return 2.0 ** np.clip(common + each, least, most)


def _room(bounds: AffineForm) -> tuple[int, int]:
    """Give the logarithms between which units may lie."""
    weights = np.abs(np.concatenate([part.ravel() for part in (bounds.closed, bounds.jumps, bounds.gradients)]))
    logarithms = np.log2(weights[(weights > 0) & np.isfinite(weights)])
    least, most = np.min(logarithms, initial=0.0), np.max(logarithms, initial=0.0)
    return max(-_FARTHEST, math.ceil(-_NORMAL - least)), min(_FARTHEST, math.floor(_NORMAL - most))


def _common_unit(bounds: AffineForm) -> int:
    """Give the logarithm of a unit for all states; 0 where some of what makes their size is not too far from 1."""
    sizes = [math.log2(size) for size in state_sizes(bounds) if size > 0]
    if not sizes or min(map(abs, sizes)) <= _FAR or min(sizes) < 0 < max(sizes):
        return 0
    return round(sum(sizes) / len(sizes))


def _relative_units(bounds: AffineForm, common: int) -> np.ndarray | None:
    """Give logarithms of the units in terms of a common one, 2^`common`; None where that will do."""
    size = len(bounds.shift)
    value, source, target = _terms(bounds)
    known = source >= 0
    value[~known] -= common
    exponents, gates = np.zeros(size), np.zeros(len(bounds.offsets))

    def residuals() -> np.ndarray:
        all_ = np.concatenate([exponents, gates])
        return value + np.where(known, all_[np.maximum(source, 0)], 0) - all_[target]

    # The units of the gates alone: how far is each state, on average, from what the others would have it be?
    for_gate = target >= size
    number = np.bincount(target[for_gate] - size, minlength=len(gates))
    gates = np.bincount(target[for_gate] - size, value[for_gate], len(gates)) / np.maximum(number, 1)
    before = np.abs(residuals())
    ends = np.concatenate([source[known], target])
    total = np.bincount(ends, np.concatenate([before[known], before]), size + len(gates))[:size]
    if not np.max(total / np.maximum(np.bincount(ends, minlength=size + len(gates))[:size], 1), initial=0) > _OFF:
        return None
    weights = np.ones(len(value))
    for _ in range(_SWEEPS):
        exponents, gates = _least_squares(value, source, target, weights, size, len(gates))
        weights = 1 / np.maximum(np.abs(residuals()), _FLOOR)
    chosen = np.round(exponents)
    better = np.mean(np.abs(residuals())) < _GAIN * np.mean(before)
    return chosen if better and np.ptp(chosen) >= _SPREAD and np.max(np.abs(chosen)) <= _MOST else None


def _terms(bounds: AffineForm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List what should be balanced: log2 of its size, the unit that multiplies it (-1: none), the one that divides."""
    size, gates = len(bounds.shift), np.flatnonzero(bounds.effective)
    with np.errstate(all="ignore"):
        couplings = bounds.magnitudes()
        np.fill_diagonal(couplings, 0)
        offsets = np.abs(bounds.shift) + np.sum(np.abs(bounds.shift_jumps[gates]), axis=0)
        tables = [
            np.concatenate([couplings, offsets[:, None]], axis=1),
            np.abs(np.concatenate([bounds.gradients, bounds.offsets[:, None]], axis=1)),
        ]
    tables[1][~bounds.effective] = 0
    value, source, target = [], [], []
    for first, table in zip((0, size), tables, strict=True):
        row, column = np.nonzero((table > 0) & np.isfinite(table))
        value.append(np.log2(table[row, column]))
        source.append(np.where(column == size, -1, column))
        target.append(first + row)
    return np.concatenate(value), np.concatenate(source), np.concatenate(target)


def _least_squares(value, source, target, weights, size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Minimize the sum of weights (value + s_source - s_target)^2; the units of the gates are eliminated first."""
    matrix, right = np.zeros((size + number, size)), np.zeros(size + number)
    diagonal = np.bincount(target, weights, size + number)
    np.add.at(right, target, weights * value)
    known = source >= 0
    diagonal += np.bincount(source[known], weights[known], size + number)
    np.add.at(right, source[known], -(weights * value)[known])
    np.add.at(matrix, (target[known], source[known]), -weights[known])
    states = matrix[:size] + matrix[:size].T + np.diag(diagonal[:size])
    ties, own = matrix[size:], np.where(diagonal[size:] > 0, diagonal[size:], 1.0)
    reduced = states - ties.T @ (ties / own[:, None])
    exponents = np.linalg.pinv(reduced, rcond=1e-9, hermitian=True) @ (right[:size] - ties.T @ (right[size:] / own))
    return exponents, (right[size:] - ties @ exponents) / own


def balanced(
    models: Sequence[AbstractPiecewiseLinearMap],
) -> tuple[Sequence[AbstractPiecewiseLinearMap], list[AffineForm], Sequence[np.ndarray] | None]:
    """Balance models of one shape, all of them if one needs it. Must be called under `numerics()`.

    **Returns:** the models, their borders, and the units `(M,)` of each; None where none of them needs any.
    """
    bounds = [exact_form(model) for model in models]
    units = [units_of(some) for some in bounds]
    if all(some is None for some in units):
        return models, bounds, None
    chosen = [np.ones(model.num_states) if u is None else u for model, u in zip(models, units, strict=True)]
    wrapped = [Balanced(model, u) for model, u in zip(models, chosen, strict=True)]  # pyright: ignore[reportArgumentType]
    return wrapped, [exact_form(model) for model in wrapped], chosen


def in_own_units(cycles: Cycles, model: AbstractPiecewiseLinearMap, units: np.ndarray) -> Cycles:
    """Write a result that was computed in balanced units down in those of the model. Under `numerics()`."""
    bounds = exact_form(model)
    return dataclasses.replace(
        cycles,
        cycles=tuple(_cycle(cycle, model, bounds, units) for cycle in cycles.cycles),
        degenerate=tuple(_degenerate(entry, bounds, units) for entry in cycles.degenerate),
        near_misses=tuple(
            _near_miss(entry, model, bounds, units)
            for entry in cycles.near_misses
            if representable(entry.points[None], units)[0]
        ),
    )


def restored(
    entry: Cycle | Degenerate, model: AbstractPiecewiseLinearMap, bounds: AffineForm, units: np.ndarray
) -> Cycle | Degenerate:
    """Write a cycle or a degenerate entry down in the units of the model, whose borders are `bounds`."""
    return _cycle(entry, model, bounds, units) if isinstance(entry, Cycle) else _degenerate(entry, bounds, units)


def _cycle(cycle: Cycle, model, bounds: AffineForm, units: np.ndarray) -> Cycle:
    points, powers = cycle.points * units, np.frexp(units)[1]
    with np.errstate(all="ignore"):
        jacobian = np.ldexp(cycle.jacobian, powers[:, None] - powers)
        system = np.eye(len(units)) - jacobian
        condition = float(np.linalg.cond(system)) if np.all(np.isfinite(system)) else np.inf
    images = itineraries(model, points[:, None], 1)[1]
    return dataclasses.replace(
        cycle,
        points=points,
        jacobian=jacobian,
        residual=float(np.max(np.abs(images - np.roll(points, -1, axis=0)), initial=0.0)),
        margin=float(np.min(bounds.distances(points), initial=np.inf)),
        error=_error(cycle, units),
        condition=condition,
    )


def _error(entry: Cycle | Degenerate, units: np.ndarray) -> float:
    """Bound the error in other units: nothing is rounded but what comes to lie below the smallest numbers."""
    error, points = entry.error * float(np.max(units)), entry.points * units
    exact = np.array_equal(points / units, entry.points) and error / float(np.max(units)) == entry.error
    return error if exact else error + 2 * float(np.finfo(float).smallest_subnormal)


def _degenerate(entry: Degenerate, bounds: AffineForm, units: np.ndarray) -> Degenerate:
    points, directions = entry.points * units, entry.directions * units[:, None]
    if directions.shape[1] == 1:
        directions = directions / np.linalg.norm(directions, axis=0)
    elif directions.shape[1]:
        directions = np.linalg.qr(directions)[0]
    return dataclasses.replace(
        entry,
        points=points,
        directions=directions,
        extent=extent(bounds, entry.gates, points[0], directions),
        margin=float(np.min(bounds.distances(points), initial=np.inf)) if entry.kind != "border" else entry.margin,
        error=_error(entry, units),
    )


def _near_miss(entry: NearMiss, model, bounds: AffineForm, units: np.ndarray) -> NearMiss:
    points = entry.points * units
    if entry.kind == "ghost":
        image = itineraries(model, points[:1, None], entry.order)[1][0]
        distance = float(np.linalg.norm(image - points[0]))
    else:
        violated = entry.violated[:, bounds.effective]
        distance = float(np.max(bounds.distances(points), where=violated, initial=0.0))
    return dataclasses.replace(entry, points=points, distance=distance)


def balanced_stack(models: AbstractPiecewiseLinearMap, number: int, units: np.ndarray | None):
    """Put a stack of models, leaves `(number, ..)`, into common units; as it is where they are None."""
    if units is None:
        return models
    return Balanced(models, np.broadcast_to(units, (number, len(units))))  # pyright: ignore[reportArgumentType]
