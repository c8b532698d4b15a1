"""Closed curves on which orbits go around for ever without repeating, and how fast they do: rotation numbers.

On such a curve the map is, in a suitable coordinate, a rotation by rho turns a step. The times after which an orbit
comes closest to itself are then the denominators q of the continued fraction of rho; from two in succession rho follows
to within 1 / q^2, by whole numbers alone, and so does the order in which the orbit's points lie along the curve. That
order is the test: points in it must make a polygon on which all later points lie. Where a gcd k divides the times, the
orbit visits k curves in turn.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

# States from which returns are looked at, and the fewest points on a curve that can be told from something else.
_BASES = 64
_FEWEST = 48
_EPS = float(np.finfo(np.float64).eps)
# Orbits that come back to within this share of their size are cycles.
_REPEATS = 1e-8
# Every second point must give this share of the length of a curve: points in no order give half of it, or 0.7.
_RECTIFIABLE = 0.9
# Half of the later points must lie so near to a polygon of n sides, in units of these / n (on a circle it is pi / 4);
# or, where the curve has many corners, in units of these. And those of other orbits.
_ON_POLYGON, _CORNERS, _ON_CURVE = 10.0, 0.02, 0.2
# How fast the speed along a curve changes, in its logarithm, over a distance of 1, the extent of the curve.
_UNEVEN = 0.25
# Where distances across the curve shrink by less than e^3 in all steps that orbits are followed for, they do not come
# to it: each has its own.
_SHRINKS = -3.0
# Points that another orbit is judged by.
CHECKED = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A closed curve, or several that are visited in turn, as polygons through the points of one orbit.

    - `points` `(loops, n, M)`: along each of the curves; `scale` `(M,)`: the extent of each coordinate.
    - `rotation_number`: turns per step, counted on one of the curves; `error`: how far off it is, at most.
    - `attracting`: whether other orbits come to it.
    """

    points: Float[np.ndarray, "loops n M"]
    scale: Float[np.ndarray, " M"]
    rotation_number: float
    error: float
    attracting: bool

    @property
    def loops(self) -> int:
        """The number of curves."""
        return len(self.points)

    def holds(self, orbit: Float[np.ndarray, "T M"]) -> bool:
        """Whether states of an orbit lie on the curve."""
        corners = (self.points / self.scale).reshape(-1, self.points.shape[2])
        following = (np.roll(self.points, -1, axis=1) / self.scale).reshape(corners.shape)
        states = orbit[:CHECKED] / self.scale
        nearest = np.array([int(np.argmin(np.sum((corners - state) ** 2, axis=1))) for state in states])
        size = self.points.shape[1]
        before = nearest - nearest % size + (nearest - 1) % size
        sides = np.linalg.norm(following - corners, axis=1)
        away = np.minimum(*(_distances(states, corners[some], following[some]) for some in (nearest, before)))
        return bool(np.median(away / np.maximum(sides[nearest], 1e-300)) < _ON_CURVE)


class Record(NamedTuple):
    """What an orbit did in T steps."""

    states: Float[np.ndarray, "T M"]
    exponents: Float[np.ndarray, " quarters"]  # the largest, by weighted averages over each quarter
    across: float  # the exponent of distances across the largest tangent, by a weighted average over the second half


def curve_of(record: Record, steps: int) -> Curve | str:
    """Find the closed curve that an orbit has come to, in so many `steps`, or say what is in the way."""
    orbit = record.states
    most = len(orbit) // 2
    scale = np.ptp(orbit, axis=0)
    moving = scale > 1e-9 * np.max(np.abs(orbit), axis=0)
    if most < 2 * _FEWEST or not np.any(moving):
        return "too few steps to tell what it does"
    states = orbit[:, moving] / scale[moving]
    returns = _returns(states, most)
    exact = np.flatnonzero(returns < _REPEATS)
    if len(exact):
        return f"it comes back after {exact[0] + 1} steps, but to no cycle, of at most `longest` steps, that attracts"
    records = np.flatnonzero(returns < np.minimum.accumulate(np.append(np.inf, returns[:-1]))) + 1
    closest, before = int(records[-1]), int(records[-2]) if len(records) > 1 else 0
    loops = math.gcd(closest, before)
    size = closest // loops
    # On a curve distances grow with the speed along it: what they gain while the returns drift along is no exponent.
    drift = _UNEVEN * returns[closest - 1] / closest
    if np.median(record.exponents) < -np.ptp(record.exponents) - drift - _EPS:
        return "it still comes closer to something, or drifts slowly; more steps may tell"
    if size < _FEWEST:
        return f"it drifts slowly past a cycle of {closest} steps, or it needs more steps to settle"
    # Point j of one curve lies beside points j - before and j + before.
    order = np.arange(size) * (before // loops) % size
    rows = np.arange(loops)[:, None] + loops * order
    sides = np.linalg.norm(np.roll(states[rows], -1, axis=1) - states[rows], axis=2)
    every_second = states[rows[:, ::2]]
    half = np.sum(np.linalg.norm(np.roll(every_second, -1, axis=1) - every_second, axis=2))
    if not half > _RECTIFIABLE * np.sum(sides) or not _polygon_holds(states, rows, sides, returns[closest - 1]):
        return _no_curve(states, returns, closest)
    turns = pow(before // loops, -1, size)
    turns = min(turns, size - turns)
    # The next such time is beyond those that were looked at.
    return Curve(
        points=orbit[rows],
        scale=np.where(moving, scale, np.inf),
        rotation_number=_refined(turns, size, before // loops, returns[before - 1] / returns[closest - 1]) / loops,
        error=1 / (size * (most // loops)) / loops,
        attracting=record.across * steps < _SHRINKS,
    )


def _returns(states: np.ndarray, most: int) -> np.ndarray:
    """Give the mean distance, over states in the first half, from each to the one `q` steps later, q = 1 .. most."""
    bases = np.unique(np.linspace(0, len(states) - most - 1, _BASES).astype(int))
    total = np.zeros(most)
    for base in bases:
        total += np.linalg.norm(states[base + 1 : base + most + 1] - states[base], axis=1)
    return total / len(bases)


def _polygon_holds(states: np.ndarray, rows: np.ndarray, sides: np.ndarray, back: float) -> bool:
    """Whether later points lie on the polygon, as late as one can tell beside which corner: the n-th return is n `back`
    away."""
    loops, size = rows.shape
    place = np.empty(size, int)
    place[rows[0] // loops] = np.arange(size)
    late = rows.size * max(1, min(int(np.mean(sides) / back), len(states) // rows.size - 1))
    number = np.arange(min(len(states) - late, rows.size))
    loop, at = number % loops, place[number // loops]
    points, later = states[rows], states[late + number]
    ahead = _distances(later, points[loop, at], points[loop, (at + 1) % size])
    behind = _distances(later, points[loop, at - 1], points[loop, at])
    shorter = np.minimum(sides[loop, at], sides[loop, at - 1])
    return bool(np.median(np.minimum(ahead, behind) / np.maximum(shorter, 1e-300)) < max(_ON_POLYGON / size, _CORNERS))


def _distances(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances from points `(n, M)` to the segments from `first` to `second`."""
    side = second - first
    share = np.sum((points - first) * side, axis=1) / np.maximum(np.sum(side**2, axis=1), 1e-300)
    return np.linalg.norm(points - first - np.clip(share, 0, 1)[:, None] * side, axis=1)


def _refined(turns: int, size: int, before: int, ratio: float) -> float:
    """Give the rotation number between turns / size and its neighbor: `ratio` is |before rho| / |size rho|, mod 1."""
    neighbor = round(turns * before / size)
    return (turns * ratio + neighbor) / (size * ratio + before)


def _no_curve(states: np.ndarray, returns: np.ndarray, closest: int) -> str:
    extent = float(np.mean(np.linalg.norm(states - np.mean(states, axis=0), axis=1)))
    if returns[closest - 1] < 0.1 * extent:
        return "it nearly comes back again and again, as on a torus, or while it settles slowly"
    return "it is neither seen to settle nor to be chaotic; more steps may tell"


def records(model, z: Float[Any, "M n"], v: Float[Any, "M n"], steps: int) -> list[Record]:
    """Record n orbits, with their largest tangents v. Must be called under `jax.enable_x64(True)`."""
    weights = np.zeros((steps, 5))
    parts = [(i * steps // 4, (i + 1) * steps // 4) for i in range(4)]
    for column, (begin, end) in enumerate([*parts, (steps // 2, steps)]):
        # They vanish at both ends: along a torus the average converges faster than any power of the steps.
        u = (np.arange(end - begin) + 0.5) / (end - begin)
        weights[begin:end, column] = np.exp(-1 / (u * (1 - u)))
    states, exponents, across = map(np.asarray, _recorded(model, z, v, weights / np.sum(weights, axis=0)))
    rows = range(z.shape[1])
    return [Record(states[:, :, i], exponents[:, i], float(across[i])) for i in rows]


@jax.jit
def _recorded(model, z, v, weights):
    push = jax.vmap(lambda z, v: jax.jvp(model.__call__, (z,), (v,)), in_axes=-1, out_axes=-1)

    def unit(v):
        length = jnp.maximum(jnp.linalg.norm(v, axis=0), 1e-300)
        return v / length, jnp.log(length)

    def body(carry, weights):
        z, v, w, exponents, across = carry
        following, pushed = push(z, v)
        v, growth = unit(pushed)
        _, pushed = push(z, w)
        w, beside = unit(pushed - jnp.sum(v * pushed, axis=0) * v)
        return (following, v, w, exponents + weights[:4, None] * growth, across + weights[4] * beside), z

    w, _ = unit(jax.random.normal(jax.random.key(0), z.shape, z.dtype))
    none = jnp.zeros((4, z.shape[1]))
    (_, _, _, exponents, across), states = jax.lax.scan(body, (z, unit(v)[0], w, none, none[0]), weights)
    return states, exponents, across
