"""Families of solutions: lines and planes of fixed points or cycles, where I - P is singular.

In the region of a word the solutions of F^k(z) = z form an affine space x + span(D), cut off by the borders that its
points meet along the k steps. Line attractors are of this kind.
"""

import numpy as np

from cyclax.cycles.multipliers import multipliers_of
from cyclax.cycles.result import Degenerate
from cyclax.cycles.solve import Borders, itineraries, solve_words
from cyclax.cycles.word import minimal_period
from cyclax.maps.base import AbstractPiecewiseLinearMap

# The multiplier of a family differs from 1 by rounding only.
_NULL = 1e-10
# A point belongs to a family if it comes back to itself to within this share of its size.
_CLOSED = 1e-9


def family_near(model: AbstractPiecewiseLinearMap, bounds: Borders, state: np.ndarray, order: int) -> Degenerate | None:
    """Describe the family of solutions of F^k(z) = z in the region of `state (M,)`, or None if that holds none."""
    (word,), _ = itineraries(model, state[None, None], order)
    return family_of_word(model, bounds, word, state)


def family_of_word(
    model: AbstractPiecewiseLinearMap, bounds: Borders, word: np.ndarray, state: np.ndarray
) -> Degenerate | None:
    """Describe the family of solutions with the gates `word (k, G)`, or None if there is none; begin at `state`."""
    order = len(word)
    solutions = solve_words(model, word[None], bounds)
    system = np.eye(len(state)) - solutions.product[0]
    if not np.all(np.isfinite(system)):
        return None
    image = state
    for gates in word:
        image = bounds.step(image, gates)
    left, values, right = np.linalg.svd(system)
    null = values <= _NULL * max(1.0, values[0])
    if not np.any(null):
        return None
    inverse = np.divide(1, values, where=~null, out=np.zeros_like(values))
    point = state + right.T @ (inverse * (left.T @ (image - state)))
    directions = np.stack([_pointing(row) for row in right[null]], axis=1)
    jacobians = bounds.jacobians(word)
    candidates = [point]
    if len(directions.T) == 1:
        # A line may leave the region at the point nearest to the state, and lie in it elsewhere.
        (ends,) = _extent(model, bounds, jacobians, word, point, directions)
        if not ends[0] < ends[1]:
            return None
        candidates = [point + along * directions[:, 0] for along in _inner(ends, -float(point @ directions[:, 0]))]
    else:
        candidates = [point - directions @ (directions.T @ point), point]
        if not any(_closes(model, bounds, word, some) for some in candidates):
            inner = _point_inside(bounds, jacobians, word, point, directions)
            candidates = [] if inner is None else [inner]
    # The first choice does not depend on where the family was met, but may be a point of a smaller period.
    closing = [_orbit(model, some, order) for some in candidates if _closes(model, bounds, word, some)]
    periods = [_period(points) for points in closing]
    if not closing:
        return None
    period, points = max(zip(periods, closing, strict=True), key=lambda pair: pair[0])
    if period < order and minimal_period(word[:, bounds.effective]) < order:
        return None  # a family of lower order, which its own search reports
    (met,), (back,) = itineraries(model, points[:1, None], order)
    extent = _extent(model, bounds, jacobians, word, points[0], directions)
    distances = bounds.distances(points)
    return Degenerate(
        kind="family",
        order=order,
        points=points,
        gates=met,
        directions=directions,
        extent=extent,
        multipliers=multipliers_of(jacobians[None], solutions.product)[0],
        margin=float(np.min(distances, initial=np.inf)),
        error=float(np.max(np.abs(back - points[0]))),
    )


def lies_in(bounds: Borders, family: Degenerate, point: np.ndarray) -> bool:
    """Whether a point `(M,)` belongs to a family or to its rim."""
    offset = point - family.points[0]
    scale = 1 + np.max(np.abs(point))
    if np.max(np.abs(offset - family.directions @ (family.directions.T @ offset))) > _CLOSED * scale:
        return False
    effective = bounds.effective
    jacobians = bounds.jacobians(family.gates)
    for gates, jacobian, center in zip(family.gates[:, effective], jacobians, family.points, strict=True):
        preactivations = bounds.gradients[effective] @ (center + offset) + bounds.offsets[effective]
        size = np.linalg.norm(bounds.gradients[effective], axis=1)
        if np.any(np.where(gates, 1, -1) * preactivations < -_CLOSED * scale * size):
            return False
        offset = jacobian @ offset
    return True


def _closes(model, bounds: Borders, word, point) -> bool:
    """Whether the true map, from this point, meets the word and comes back."""
    (met,), (back,) = itineraries(model, point[None, None], len(word))
    same = np.array_equal(met[:, bounds.effective], word[:, bounds.effective])
    return same and bool(np.max(np.abs(back - point)) <= _CLOSED * (1 + np.max(np.abs(point))))


def _point_inside(bounds: Borders, jacobians, word, point, directions) -> np.ndarray | None:
    """Give a point of the family that is as far inside of its region as can be, up to a distance of 1."""
    from scipy.optimize import linprog  # slow to import, and hardly ever needed

    effective = bounds.effective
    size = np.linalg.norm(bounds.gradients[effective], axis=1)
    rows, rooms, moved = [], [], directions
    for gates, jacobian in zip(word, jacobians, strict=True):
        sign = np.where(gates[effective], 1, -1) / size
        rows.append(sign[:, None] * (bounds.gradients[effective] @ moved))
        rooms.append(sign * (bounds.gradients[effective] @ point + bounds.offsets[effective]))
        point, moved = bounds.step(point, gates), jacobian @ moved
    # Largest t with `room + row y >= t` in all rows.
    table = np.concatenate([-np.concatenate(rows), np.ones((sum(map(len, rows)), 1))], axis=1)
    number = directions.shape[1]
    cost = np.concatenate([np.zeros(number), [-1.0]])
    limits = [(None, None)] * number + [(None, 1.0)]
    found = linprog(cost, A_ub=table, b_ub=np.concatenate(rooms), bounds=limits)
    # `point` has gone around once, and is back where it began.
    return point + directions @ found.x[:-1] if found.success and found.x[-1] > 0 else None


def _pointing(direction: np.ndarray) -> np.ndarray:
    """Choose one of the two signs: the largest entry is positive. Rounding is cut off."""
    direction = np.where(np.abs(direction) < 1e-14, 0, direction)
    return direction * np.sign(direction[np.argmax(np.abs(direction).round(12))])


def _orbit(model, point: np.ndarray, order: int) -> np.ndarray:
    points = [point]
    for _ in range(order - 1):
        _, following = itineraries(model, points[-1][None, None], 1)
        points.append(following[0])
    return np.stack(points)


def _period(points: np.ndarray) -> int:
    """Give the smallest number of steps after which the first of the points comes back."""
    order, size = len(points), _CLOSED * (1 + np.max(np.abs(points[0])))
    return next(p for p in range(1, order + 1) if order % p == 0 and np.allclose(points[p % order], points[0], 0, size))


def _extent(model, bounds: Borders, jacobians, word, point, directions) -> np.ndarray:
    """How far one can go from `point` along each direction, both ways, before a point of the cycle meets a border."""
    lowest, highest = np.full(directions.shape[1], -np.inf), np.full(directions.shape[1], np.inf)
    effective = bounds.effective
    for gates, jacobian in zip(word[:, effective], jacobians, strict=True):
        # Inside where `room + slope s >= 0`.
        sign = np.where(gates, 1, -1)
        room = sign * (bounds.gradients[effective] @ point + bounds.offsets[effective])
        slope = sign[:, None] * (bounds.gradients[effective] @ directions)
        size = np.linalg.norm(bounds.gradients[effective], axis=1)
        slope = np.where(np.abs(slope) > 1e-12 * size[:, None], slope, 0)
        with np.errstate(all="ignore"):
            ends = -room[:, None] / slope
        lowest = np.maximum(lowest, np.max(np.where(slope > 0, ends, -np.inf), axis=0, initial=-np.inf))
        highest = np.minimum(highest, np.min(np.where(slope < 0, ends, np.inf), axis=0, initial=np.inf))
        _, (following,) = itineraries(model, point[None, None], 1)
        point, directions = following, jacobian @ directions
    return np.stack([lowest, highest], axis=1)


def _inner(ends: np.ndarray, nearest: float) -> list[float]:
    """Choose points of a line, the first of them the middle, or the nearest to 0 but one unit inside."""
    low, high = ends
    if np.isfinite(low) and np.isfinite(high):
        return [(low + high) / 2, 0.7 * low + 0.3 * high]
    first = float(np.clip(nearest, low + 1, high - 1))
    return [first, first + 1 if high == np.inf else first - 1]
