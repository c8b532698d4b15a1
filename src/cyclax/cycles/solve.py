"""From words to cycles: the points that a word fixes, and the check of every one of them from scratch.

For a word g_0 .. g_{k-1} the held maps are z -> J_t z + o_t, and the points x_0 .. x_{k-1} solve the block-cyclic
system

    x_{t+1} - J_t x_t = o_t     (x_k = x_0).

It is solved by multiple shooting with orthogonal elimination (Wright 1992), which neither overflows nor loses digits
where the product P = J_{k-1} .. J_0 does. A word is *real* when the true map, from each of its points, meets its gates
and leads to the next point; the margin to the nearest border must exceed the bound on the error of the points.

Everything here is host work in NumPy float64 over all words of one order at once, but for two small kernels that ask
the model itself.
"""

from typing import NamedTuple

import numpy as np

from cyclax.cycles.multipliers import doubtful, multipliers_of
from cyclax.maps.affine import AffineForm, in_chunks, lengths_of, pieces, visit
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.rounding import rounded_terms, sums_products

_EPS = np.finfo(np.float64).eps
# Memory for the factors of the block-cyclic systems that are solved at once.
_SOLVE_BYTES = 2**28
# Right-hand sides of random signs that probe how the block-cyclic inverse amplifies rounding.
_PROBES = 8
# Where rounding in the Jacobians may move the solution by more than this share of the size of states, I - P is as good
# as singular: error bounds, which are of first order, mean nothing then.
_MOST_AMPLIFIED = 1e-2
# Of Jacobians that rounding moves by more than this share nothing is left to float64.
_LOST = 1e-10
# Solutions leave over a tenth of what rounding may leave; so many times that is left where elimination has failed.
_LEFT_OVER = 64.0


class Solutions(NamedTuple):
    """What n words of order k fix; every array has the words on its first axis."""

    gates: np.ndarray  # (n, k, G) as given
    points: np.ndarray  # (n, k, M)
    product: np.ndarray  # (n, M, M) composed Jacobian from points[:, 0]
    multipliers: np.ndarray  # (n, M) by modulus descending
    residual: np.ndarray  # (n,) largest |F(x_t) - x_{t+1}| of the true map
    margin: np.ndarray  # (n,) distance of the nearest point to the nearest border
    error: np.ndarray  # (n,) bound on the distance from the points to the exact ones
    condition: np.ndarray  # (n,) 2-norm condition of I - P
    singular: np.ndarray  # (n,) I - P is singular, or so nearly that nothing here can be trusted
    outside: np.ndarray  # (n,) how far, at most, a point lies beyond a border of its region; 0 where it meets all gates
    doubtful: np.ndarray  # (n,) rounding may have moved the multipliers

    @property
    def met(self) -> np.ndarray:
        """Whether the points meet the gates given (those that matter): `(n,)`."""
        return self.outside == 0


def jacobians_along(model: AbstractPiecewiseLinearMap, word: np.ndarray) -> np.ndarray:
    """Give the Jacobians `(k, M, M)` of a word `(k, G)`, as the model has them. Must be called under `numerics()`."""
    return in_chunks(pieces, model, word)[0]


def solve_words(
    model: AbstractPiecewiseLinearMap, words: np.ndarray, bounds: AffineForm, owner: np.ndarray | None = None
) -> Solutions:
    """Solve words `(n, k, G)` and check what they fix. Must be called under `numerics()`.

    With `owner (n,)`, model and bounds are stacks, and word i is one of model `owner[i]` of them.
    """
    at_once = max(1, _SOLVE_BYTES // (10 * 8 * words.shape[1] * bounds.gradients.shape[-1] ** 2))
    if owner is None:
        shared = bounds.take(None)
        parts = [
            _solve_together(model, words[i : i + at_once], shared, None) for i in range(0, max(1, len(words)), at_once)
        ]
    else:
        # Of each word a table of its own is held.
        at_once = max(1, at_once // max(1, bounds.offsets.shape[1]))
        owners = [owner[i : i + at_once] for i in range(0, max(1, len(words)), at_once)]
        parts = [
            _solve_together(model, words[i * at_once : (i + 1) * at_once], bounds.take(o), o)
            for i, o in enumerate(owners)
        ]
    return Solutions(*map(np.concatenate, zip(*parts, strict=True)))


def _solve_together(model, words: np.ndarray, bounds: AffineForm, owner) -> Solutions:
    """Solve words with a stack of affine forms: one for each word, or one for all."""
    number, order, num_gates = words.shape
    num_states = bounds.gradients.shape[-1]
    owner = None if owner is None else np.repeat(owner, order)
    jacobians, offsets = in_chunks(pieces, model, words.reshape(-1, num_gates), owner)
    jacobians = jacobians.reshape(number, order, num_states, num_states)
    offsets = offsets.reshape(number, order, num_states)

    system = BlockCyclic(jacobians)
    with np.errstate(all="ignore"):
        points = system.solve(offsets[..., None])[..., 0]
        points += system.solve(_defect(jacobians, offsets, points)[..., None])[..., 0]
        terms = _terms(bounds, words, points)
        lost = np.zeros(number, bool)
        if sums_products(model):
            rows = np.concatenate([words, np.where(np.isfinite(points), points, 0)], axis=2)
            more = in_chunks(rounded_terms, model, rows.reshape(-1, rows.shape[2]), owner)
            terms = [np.maximum(one, other.reshape(points.shape)) for one, other in zip(terms, more, strict=True)]
            largest = np.max(np.sum(np.abs(jacobians), axis=3), axis=2)
            lost = np.any(_EPS * np.max(terms[1], axis=2) > _LOST * largest, axis=1)
        error, amplified, astray = _error_bound(system, jacobians, offsets, points, terms, num_gates)
        product = jacobians[:, 0]
        for t in range(1, order):
            product = jacobians[:, t] @ product
        multipliers = multipliers_of(jacobians, product)
        condition = _condition(np.eye(num_states) - product)

    sane = np.where(np.isfinite(points), points, 0)
    preactivations, images = in_chunks(visit, model, sane.reshape(-1, num_states), owner)
    preactivations = preactivations.reshape(number, order, num_gates)
    images = images.reshape(points.shape)
    residual = np.max(np.abs(images - np.roll(sane, -1, axis=1)), axis=(1, 2))
    effective = np.broadcast_to(bounds.effective[:, None], preactivations.shape)
    distances = np.abs(preactivations) / np.where(effective, lengths_of(bounds.gradients)[:, None], 1.0)
    margin = np.min(distances, axis=(1, 2), initial=np.inf, where=effective)
    violated = effective & ((preactivations > 0) != words)
    outside = np.max(distances, axis=(1, 2), initial=0.0, where=violated)
    unusable = lost | astray | ~np.all(np.isfinite(points), axis=(1, 2)) | ~(amplified < _MOST_AMPLIFIED)
    doubts = doubtful(jacobians, multipliers)
    singular = system.singular | unusable
    return Solutions(words, sane, product, multipliers, residual, margin, error, condition, singular, outside, doubts)


def _defect(jacobians, offsets, points):
    """o_t + J_t x_t - x_{t+1}."""
    return (jacobians @ points[..., None])[..., 0] + offsets - np.roll(points, -1, axis=1)


def _terms(bounds: AffineForm, words: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add up the moduli of all terms, gate by gate, of the images of points and of the rows of Jacobians: `(n, k, M)`.

    Jacobians and offsets are sums over gates, and rounded relative to these terms, however far they cancel; where what
    a gate adds is a sum itself, relative to more (`rounded_terms`).
    """
    pivots = np.argmax(np.abs(bounds.gradients), axis=2)[..., None]
    steep = np.take_along_axis(bounds.gradients, pivots, axis=2)
    # What a gate adds is of rank one: this, times its preactivation.
    added = np.take_along_axis(bounds.jumps, pivots[..., None], axis=3)[..., 0] / np.where(steep != 0, steep, 1)
    closed, added = np.abs(np.swapaxes(bounds.closed, 1, 2)), np.abs(added)
    heights = np.abs(np.swapaxes(bounds.gradients, 1, 2))

    def of_states(sizes):
        return sizes @ closed + np.where(words, sizes @ heights, 0) @ added

    constants = np.abs(bounds.shift)[:, None] + words @ np.abs(bounds.shift_jumps)
    return of_states(np.abs(points)) + constants, of_states(np.ones_like(points))


def _error_bound(system, jacobians, offsets, points, terms, num_gates):
    """Bound the distance from computed to exact points: what is left over, and rounding, through the inverse.

    A random-sign probe of a row of the inverse has the row's 2-norm as its root mean square; sqrt(k M) of it bounds
    the 1-norm, and 2 covers the sampling error of eight probes.

    **Returns:** the bounds `(n,)`; for states of size 1, by how much rounding in the Jacobians moves the solution; and
    where this is no solution, and nothing is known.
    """
    _, order, num_states = points.shape
    moduli = np.abs(jacobians)
    unit = 4 * (num_states + num_gates) * _EPS
    images = np.maximum((moduli @ np.abs(points)[..., None])[..., 0] + np.abs(offsets), terms[0])
    rounding = unit * (images + np.abs(points))
    amplified = unit * (np.maximum(np.sum(moduli, axis=3), terms[1]) + 1)
    defect = np.abs(_defect(jacobians, offsets, points))
    sources = np.stack([defect + rounding, amplified])
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (order, num_states, _PROBES))
    probes = system.solve(np.concatenate([source[..., None] * signs for source in sources], axis=-1))
    probes = probes.reshape(*points.shape, 2, _PROBES)
    # In units of the largest: squares of what is small must not underflow.
    largest = np.max(np.abs(probes), axis=-1, keepdims=True)
    shares = probes / np.where(largest > 0, largest, 1)
    rows = largest[..., 0] * np.sqrt(np.mean(shares**2, axis=-1))
    error, amplified = 2 * np.sqrt(order * num_states) * np.moveaxis(np.max(rows, axis=(1, 2)), -1, 0)
    # Beside rows of 1e35 elimination loses those of 1, and its inverse tells nothing of that: what it leaves over does.
    allowed = rounding + unit * np.max(np.abs(points), axis=(1, 2), keepdims=True)
    return error, amplified, np.any(defect > _LEFT_OVER * allowed, axis=(1, 2))


def _condition(matrices: np.ndarray) -> np.ndarray:
    finite = np.all(np.isfinite(matrices), axis=(1, 2))
    values = np.linalg.svd(np.where(finite[:, None, None], matrices, 0), compute_uv=False)
    return np.where(values[:, -1] > 0, values[:, 0] / values[:, -1], np.inf)


class BlockCyclic:
    """The systems x_{t+1} - J_t x_t = b_t (cyclic in t), for n sequences of Jacobians `(n, k, M, M)` at once.

    Unknowns are eliminated one block at a time by QR of the two block rows in which it stands, until an equation in
    x_0 alone remains (Wright 1992, "Stable parallel algorithms for two-point boundary value problems").
    """

    def __init__(self, jacobians: np.ndarray):
        number, self.order, self.size, _ = jacobians.shape
        size = self.size
        identity = np.broadcast_to(np.eye(size), (number, size, size))
        first, last = -jacobians[:, 0], identity
        self._steps = []
        for t in range(1, self.order):
            rotation, triangle = np.linalg.qr(np.concatenate([last, -jacobians[:, t]], axis=1), mode="complete")
            rotation = np.swapaxes(rotation, 1, 2)
            left, right = rotation[:, :, :size] @ first, rotation[:, :, size:]
            triangle = triangle[:, :size]
            # A block that the two rows leave undetermined makes the whole system singular.
            blocked = np.any(np.diagonal(triangle, axis1=1, axis2=2) == 0, axis=1)
            triangle = np.where(blocked[:, None, None], np.nan, triangle)
            self._steps.append((rotation, triangle, left[:, :size], right[:, :size]))
            first, last = left[:, size:], right[:, size:]
        self._reduced = first + last
        finite = np.all(np.isfinite(self._reduced), axis=(1, 2))
        self._reduced = np.where(finite[:, None, None], self._reduced, 0)
        self.singular = ~(np.linalg.svd(self._reduced, compute_uv=False)[:, -1] > 0)
        self._reduced = np.where(self.singular[:, None, None], np.nan, self._reduced)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve for right-hand sides `(n, k, M, r)`; nan where singular."""
        size, current, kept = self.size, right[:, 0], []
        for t, (rotation, *_) in enumerate(self._steps, start=1):
            turned = rotation @ np.concatenate([current, right[:, t]], axis=1)
            kept.append(turned[:, :size])
            current = turned[:, size:]
        first = _solved(self._reduced, current)
        following, solution = first, []
        for (_, triangle, left, onward), known in zip(reversed(self._steps), reversed(kept), strict=True):
            following = _solved(triangle, known - left @ first - onward @ following)
            solution.append(following)
        return np.stack([first, *reversed(solution)], axis=1)


def _solved(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a stack of systems; nan where LAPACK meets a pivot that is 0 (for all of them it raises for one)."""
    try:
        return np.linalg.solve(matrices, right)
    except np.linalg.LinAlgError:
        signs, _ = np.linalg.slogdet(matrices)  # from the same pivots
        usable = (signs != 0)[:, None, None]
        return np.where(usable, np.linalg.solve(np.where(usable, matrices, np.eye(right.shape[1])), right), np.nan)
