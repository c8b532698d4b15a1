"""Families of solutions: lines and planes of fixed points or cycles, where I - P is singular, and what is nearly one.

In the region of a word the solutions of F^k(z) = z form an affine space x + span(D), cut off by the borders that its
points meet along the k steps. Line attractors are of this kind. That there is such a family is decided exactly
(`decide`); here it is described. Where I - P is singular to within rounding only, as in a line attractor whose
coordinates were turned, there is none, but along the same directions states move by less than float64 can tell: that is
described as well, as "slow".
"""

import numpy as np

from cyclax.cycles.cycle import Degenerate
from cyclax.cycles.decide import Decision
from cyclax.cycles.multipliers import multipliers_of
from cyclax.cycles.solve import solve_words
from cyclax.cycles.units import own_units, representable
from cyclax.maps.affine import AffineForm, itineraries, lengths_of
from cyclax.maps.base import AbstractPiecewiseLinearMap

_EPS = float(np.finfo(np.float64).eps)
# A point belongs to a family if it comes back to itself to within this share of its size.
_CLOSED = 1e-9


def described(bounds: AffineForm, word: np.ndarray, kind: str, decision: Decision) -> Degenerate:
    """Describe what an exact decision found: a family, or a solution on a border."""
    size = len(bounds.shift)
    directions = np.zeros((size, 0))
    if kind == "family":
        directions = np.stack([_pointing(column) for column in decision.directions.T], axis=1)
    points, values = decision.points, decision.multipliers()
    return _entry(bounds, word, kind, points, directions, values, decision.margin, decision.error)


def slow_family(model: AbstractPiecewiseLinearMap, bounds: AffineForm, word: np.ndarray) -> Degenerate | None:
    """Describe the states of the region of a word `(k, G)` that move by no more than rounding, None if there are none.

    Called for words that are decided to have no family, and whose P is no matrix of float64: it is singular to within
    its rounding.
    """
    size, order = len(bounds.shift), len(word)
    product = solve_words(model, word[None], bounds).product[0]
    system = np.eye(size) - product
    if not np.all(np.isfinite(system)):
        return None
    left, values, right = np.linalg.svd(system)
    null = values <= 4 * size * order * _EPS * max(1.0, values[0])
    if not np.any(null):
        return None
    image = np.zeros(size)
    for gates in word:
        image = bounds.step(image, gates)
    inverse = np.divide(1, values, where=~null, out=np.zeros_like(values))
    point = right.T @ (inverse * (left.T @ image))
    directions = np.stack([_pointing(row) for row in right[null]], axis=1)
    candidates = [point]
    if directions.shape[1] == 1:
        # A line may leave the region at the point nearest to 0, and lie in it elsewhere.
        ((low, high),) = extent(bounds, word, point, directions)
        if not low < high:
            return None
        candidates = [point + along * directions[:, 0] for along in _inner(low, high, np.max(np.abs(point)) or 1.0)]
    for some in candidates:
        (met,), (back,) = itineraries(model, some[None, None], order)
        same = np.array_equal(met[:, bounds.effective], word[:, bounds.effective])
        if same and np.max(np.abs(back - some)) <= 16 * size * order * _EPS * np.max(np.abs(some)):
            points = _orbit(bounds, some, word)
            if not representable(points[None], own_units(model))[0]:
                continue
            margin = float(np.min(bounds.distances(points), initial=np.inf))
            error = float(np.max(np.abs(back - some)))
            values = multipliers_of(bounds.jacobians(word)[None], product[None])[0]
            return _entry(bounds, word, "slow", points, directions, values, margin, error)
    return None


def lies_in(bounds: AffineForm, family: Degenerate, point: np.ndarray) -> bool:
    """Whether a point `(M,)` belongs to a family or to its rim."""
    offset = point - family.points[0]
    scale = max(np.max(np.abs(point)), np.max(np.abs(family.points[0])))
    if np.max(np.abs(offset - family.directions @ (family.directions.T @ offset))) > _CLOSED * scale:
        return False
    effective = bounds.effective
    jacobians = bounds.jacobians(family.gates)
    size = lengths_of(bounds.gradients[effective]) * scale + np.abs(bounds.offsets[effective])
    for gates, jacobian, center in zip(family.gates[:, effective], jacobians, family.points, strict=True):
        preactivations = bounds.gradients[effective] @ (center + offset) + bounds.offsets[effective]
        if np.any(np.where(gates, 1, -1) * preactivations < -_CLOSED * size):
            return False
        offset = jacobian @ offset
    return True


def _entry(bounds: AffineForm, word, kind: str, points, directions, values, margin: float, error: float) -> Degenerate:
    with np.errstate(all="ignore"):
        if kind == "family":
            margin = float(np.min(bounds.distances(points), initial=np.inf))
        return Degenerate(
            kind=kind,
            order=len(word),
            points=points,
            gates=word,
            directions=directions,
            extent=extent(bounds, word, points[0], directions),
            multipliers=values,
            margin=margin,
            error=error,
        )


def _pointing(direction: np.ndarray) -> np.ndarray:
    """Choose one of the two signs: the largest entry is positive. Rounding is cut off."""
    direction = np.where(np.abs(direction) < 1e-14, 0, direction)
    return direction * np.sign(direction[np.argmax(np.abs(direction).round(12))]) + 0.0  # no -0


def _orbit(bounds: AffineForm, point: np.ndarray, word: np.ndarray) -> np.ndarray:
    points = [point]
    for gates in word[:-1]:
        points.append(bounds.step(points[-1], gates))
    return np.stack(points)


def extent(bounds: AffineForm, word: np.ndarray, point: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far one can go from `point` along each direction, both ways, before a point of the cycle meets a border."""
    lowest, highest = np.full(directions.shape[1], -np.inf), np.full(directions.shape[1], np.inf)
    effective = bounds.effective
    for gates, jacobian in zip(word, bounds.jacobians(word), strict=True):
        # Inside where `room + slope s >= 0`.
        sign = np.where(gates[effective], 1, -1)
        room = sign * (bounds.gradients[effective] @ point + bounds.offsets[effective])
        slope = sign[:, None] * (bounds.gradients[effective] @ directions)
        # Less than the rounding of its terms is 0; a small weight alone is no rounding.
        slope = np.where(np.abs(slope) > 1e-12 * (np.abs(bounds.gradients[effective]) @ np.abs(directions)), slope, 0)
        with np.errstate(all="ignore"):
            ends = -room[:, None] / slope
        lowest = np.maximum(lowest, np.max(np.where(slope > 0, ends, -np.inf), axis=0, initial=-np.inf))
        highest = np.minimum(highest, np.min(np.where(slope < 0, ends, np.inf), axis=0, initial=np.inf))
        point, directions = bounds.step(point, gates), jacobian @ directions
    return np.stack([lowest, highest], axis=1)


def _inner(low: float, high: float, unit: float) -> list[float]:
    """Choose points of a line, the first of them the middle, or the nearest to 0 but one unit inside."""
    if np.isfinite(low) and np.isfinite(high):
        return [(low + high) / 2, 0.7 * low + 0.3 * high]
    first = float(np.clip(0.0, low + unit, high - unit))
    return [first, first + unit if high == np.inf else first - unit]
