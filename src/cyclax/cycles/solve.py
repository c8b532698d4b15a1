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

import fractions
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.cycles.multipliers import doubtful, multipliers_of
from cyclax.maps.base import AbstractPiecewiseLinearMap

_EPS = np.finfo(np.float64).eps
# Rows that a kernel is given at once: few, or as many as fit this memory with a Jacobian each.
_SMALL_CHUNK = 256
_CHUNK_BYTES = 2**25
# Memory for the factors of the block-cyclic systems that are solved at once.
_SOLVE_BYTES = 2**28
# Right-hand sides of random signs that probe how the block-cyclic inverse amplifies rounding.
_PROBES = 8
# Where rounding in the Jacobians may move the solution by more than this share of the size of states, I - P is as good
# as singular: error bounds, which are of first order, mean nothing then.
_MOST_AMPLIFIED = 1e-2


class _Kernel(NamedTuple):
    """A function of a model and one row, for rows of one model (`shared`) or of a model each (`each`)."""

    shared: Callable
    each: Callable


def _over_rows(function: Callable) -> _Kernel:
    return _Kernel(jax.jit(jax.vmap(function, in_axes=(None, 0))), jax.jit(jax.vmap(function)))


@_over_rows
def _pieces(model, gates):
    """Held map z -> J z + o for gates `(G,)`."""
    zero = jnp.zeros(model.num_states)
    return jax.jacfwd(model.step)(zero, gates), model.step(zero, gates)


@_over_rows
def _visit(model, state):
    """Preactivations and image of a state `(M,)`."""
    return model.preactivations(state), model(state)


@_over_rows
def _planes(model, state):
    """Gradients `(G, M)` and offsets `(G,)` of the preactivations at a state (any, as they are affine)."""
    return jax.jacfwd(model.preactivations)(state), model.preactivations(state)


def _in_chunks(kernel: _Kernel, model, rows: np.ndarray, owner: np.ndarray | None = None):
    """Apply a kernel to rows, padded to a few fixed sizes so that it compiles only a few times.

    With `owner`, the leaves of the model are stacks, and row i belongs to model `owner[i]` of them.
    """
    leaves = jax.tree.leaves(model)
    each = model.num_states**2 if owner is None else sum(leaf[0].size for leaf in leaves) + rows.shape[-1] ** 2
    large = max(_SMALL_CHUNK, min(4096, _CHUNK_BYTES // (8 * each)))
    size = _SMALL_CHUNK if len(rows) <= _SMALL_CHUNK else large
    outputs = []
    for begin in range(0, max(1, len(rows)), size):  # no rows: one call, of which nothing is kept
        chunk = rows[begin : begin + size]
        padded = np.zeros((size, *rows.shape[1:]), rows.dtype)
        padded[: len(chunk)] = chunk
        if owner is None:
            parts = kernel.shared(model, padded)
        else:
            mine = np.resize(owner[begin : begin + size], size)
            parts = kernel.each(jax.tree.map(lambda leaf, mine=mine: leaf[mine], model), padded)
        outputs.append([np.asarray(part)[: len(chunk)] for part in parts])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


class Borders(NamedTuple):
    """The borders of a model: gate g opens where `gradients[g] @ z + offsets[g] > 0`."""

    gradients: np.ndarray  # (G, M)
    offsets: np.ndarray  # (G,)
    effective: np.ndarray  # (G,) the gates that matter: their gradient is not zero, and neither is what they switch
    closed: np.ndarray  # (M, M) the Jacobian with all gates closed
    jumps: np.ndarray  # (G, M, M) what opening gate g adds to the Jacobian
    shift: np.ndarray  # (M,) the image of 0 with all gates closed
    shift_jumps: np.ndarray  # (G, M) what opening gate g adds to that

    @property
    def settled(self) -> np.ndarray:
        """The gates `(G,)` that are open everywhere: their preactivation is a positive constant."""
        return np.all(self.gradients == 0, axis=1) & (self.offsets > 0)

    def jacobians(self, gates: np.ndarray) -> np.ndarray:
        """Jacobians `(n, M, M)` for gates `(n, G)`: gates add up, by the contract of the maps."""
        return self.closed + np.tensordot(gates.astype(float), self.jumps, axes=1)

    def gates(self, state: np.ndarray) -> np.ndarray:
        """Give the gates `(G,)` that one state `(M,)` meets."""
        return self.gradients @ state + self.offsets > 0

    def step(self, state: np.ndarray, gates: np.ndarray) -> np.ndarray:
        """Map one state `(M,)` with the gates `(G,)` held."""
        return self.jacobians(gates[None])[0] @ state + self.shift + gates @ self.shift_jumps

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Distances `(n, G')` of points `(n, M)` to the borders of the gates that matter."""
        gradients = self.gradients[self.effective]
        return np.abs(points @ gradients.T + self.offsets[self.effective]) / np.linalg.norm(gradients, axis=1)

    def magnitudes(self) -> np.ndarray:
        """Bound every Jacobian entry by entry: `(M, M)`."""
        largest = self.closed + np.sum(np.maximum(self.jumps, 0), axis=0)
        smallest = self.closed + np.sum(np.minimum(self.jumps, 0), axis=0)
        return np.maximum(np.abs(largest), np.abs(smallest))

    def growth_bound(self) -> float:
        """Bound the logarithm by which one step can part nearby states."""
        with np.errstate(all="ignore"):
            return float(np.log(np.linalg.norm(self.magnitudes())))


def proportional(one: np.ndarray, other: np.ndarray) -> int:
    """Say whether two rows of numbers are proportional, exactly: 1, -1 (with a negative factor), or 0.

    In rationals: between planes that are only nearly equal, or parallel, there are regions all the same.
    """
    pivot = int(np.argmax(np.abs(one)))
    ends = float(one[pivot]), float(other[pivot])
    if not all(ends) or not np.allclose(one * (ends[1] / ends[0]), other, 1e-9, 0):
        return 0
    first, second = map(fractions.Fraction, ends)
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    same = all(fractions.Fraction(a) * second == fractions.Fraction(b) * first for a, b in pairs)
    return int(same) * (1 if ends[0] * ends[1] > 0 or (ends[0] > 0) == (ends[1] > 0) else -1)


def borders(model: AbstractPiecewiseLinearMap) -> Borders:
    """Read the borders off the model. Must be called under `numerics()`."""
    planes = _in_chunks(_planes, model, np.zeros((1, model.num_states)))
    single = _read(*planes, *_in_chunks(_pieces, model, _one_by_one(planes[1].shape[1])))
    return Borders(*(part[0] for part in single))


def borders_of_each(models: AbstractPiecewiseLinearMap, number: int, num_states: int) -> Borders:
    """Read the borders off a stack of models: every array has the model on its first axis."""
    gradients, offsets = _in_chunks(_planes, models, np.zeros((number, num_states)), np.arange(number))
    num_gates = offsets.shape[1]
    owner = np.repeat(np.arange(number), num_gates + 1)
    return _read(gradients, offsets, *_in_chunks(_pieces, models, np.tile(_one_by_one(num_gates), (number, 1)), owner))


def _one_by_one(num_gates: int) -> np.ndarray:
    """All gates closed, and each one open alone: `(G + 1, G)`."""
    return np.concatenate([np.zeros((1, num_gates), bool), np.eye(num_gates, dtype=bool)])


def _read(gradients: np.ndarray, offsets: np.ndarray, jacobians: np.ndarray, shifts: np.ndarray) -> Borders:
    """Take what opening each gate alone adds; every array of the result has the model on its first axis."""
    number, num_gates, num_states = gradients.shape
    jacobians = jacobians.reshape(number, num_gates + 1, num_states, num_states)
    shifts = shifts.reshape(number, num_gates + 1, num_states)
    jumps, shift_jumps = jacobians[:, 1:] - jacobians[:, :1], shifts[:, 1:] - shifts[:, :1]
    switches = np.any(jumps != 0, axis=(2, 3)) | np.any(shift_jumps != 0, axis=2)
    effective = switches & np.any(gradients != 0, axis=2)
    return Borders(gradients, offsets, effective, jacobians[:, 0], jumps, shifts[:, 0], shift_jumps)


def adds_up(model: AbstractPiecewiseLinearMap, bounds: Borders, samples: int = 16) -> bool:
    """Whether the held maps of random gates are the sums that `bounds` says they are, as far as these samples tell.

    It is the contract of the maps (`cyclax.testing.check_map` checks all of it), and a model of one's own may break it.
    """
    gates = np.random.default_rng(0).random((samples, len(bounds.offsets))) < 0.5
    gates[0] = True
    jacobians, shifts = _in_chunks(_pieces, model, gates)
    with np.errstate(all="ignore"):
        apart = np.abs(jacobians - bounds.jacobians(gates))
        apart_shift = np.abs(shifts - bounds.shift - gates @ bounds.shift_jumps)
        size = np.abs(bounds.closed) + np.sum(np.abs(bounds.jumps), axis=0)
        size_shift = np.abs(bounds.shift) + np.sum(np.abs(bounds.shift_jumps), axis=0)
        return not (np.any(apart > 1e-9 * size) or np.any(apart_shift > 1e-9 * size_shift))


def itineraries(
    model: AbstractPiecewiseLinearMap, nodes: np.ndarray, order: int, owner: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run the true map from nodes `(n, S, M)`, each through its segment of the `order` steps.

    With `owner (n,)`, the model is a stack, and row i runs under model `owner[i]` of it.

    **Returns:** the gates `(n, k, G)` met, and the last states `(n, M)`.
    """
    number, segments, num_states = nodes.shape
    begins = np.arange(segments + 1) * order // segments
    states, gates = nodes, []
    for t in range(-(-order // segments)):
        running = np.flatnonzero(begins[:-1] + t < begins[1:])
        whose = None if owner is None else np.repeat(owner, len(running))
        preactivations, images = _in_chunks(_visit, model, states[:, running].reshape(-1, num_states), whose)
        if len(running) == segments:
            states = images.reshape(nodes.shape)
        else:
            states = states.copy()
            states[:, running] = images.reshape(number, len(running), num_states)
        gates.append((begins[running] + t, preactivations.reshape(number, len(running), -1) > 0))
    word = np.empty((number, order, gates[0][1].shape[-1]), bool)
    for steps, some in gates:
        word[:, steps] = some
    return word, states[:, -1]


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
    return _in_chunks(_pieces, model, word)[0]


def solve_words(
    model: AbstractPiecewiseLinearMap, words: np.ndarray, bounds: Borders, owner: np.ndarray | None = None
) -> Solutions:
    """Solve words `(n, k, G)` and check what they fix. Must be called under `numerics()`.

    With `owner (n,)`, model and bounds are stacks, and word i is one of model `owner[i]` of them.
    """
    at_once = max(1, _SOLVE_BYTES // (10 * 8 * words.shape[1] * bounds.gradients.shape[-1] ** 2))
    if owner is None:
        effective, gradients = bounds.effective[None], bounds.gradients[None]
        parts = [
            _solve_together(model, words[i : i + at_once], effective, gradients, None)
            for i in range(0, max(1, len(words)), at_once)
        ]
    else:
        owners = [owner[i : i + at_once] for i in range(0, max(1, len(words)), at_once)]
        parts = [
            _solve_together(model, words[i * at_once : (i + 1) * at_once], bounds.effective[o], bounds.gradients[o], o)
            for i, o in enumerate(owners)
        ]
    return Solutions(*map(np.concatenate, zip(*parts, strict=True)))


def _solve_together(model, words: np.ndarray, effective: np.ndarray, gradients: np.ndarray, owner) -> Solutions:
    """Solve words with the gates that matter `(n or 1, G)` and their gradients `(n or 1, G, M)`."""
    number, order, num_gates = words.shape
    num_states = gradients.shape[-1]
    owner = None if owner is None else np.repeat(owner, order)
    jacobians, offsets = _in_chunks(_pieces, model, words.reshape(-1, num_gates), owner)
    jacobians = jacobians.reshape(number, order, num_states, num_states)
    offsets = offsets.reshape(number, order, num_states)

    system = BlockCyclic(jacobians)
    with np.errstate(all="ignore"):
        points = system.solve(offsets[..., None])[..., 0]
        points += system.solve(_defect(jacobians, offsets, points)[..., None])[..., 0]
        error, amplified = _error_bound(system, jacobians, offsets, points, num_gates)
        product = jacobians[:, 0]
        for t in range(1, order):
            product = jacobians[:, t] @ product
        multipliers = multipliers_of(jacobians, product)
        condition = _condition(np.eye(num_states) - product)

    sane = np.where(np.isfinite(points), points, 0)
    preactivations, images = _in_chunks(_visit, model, sane.reshape(-1, num_states), owner)
    preactivations = preactivations.reshape(number, order, num_gates)
    images = images.reshape(points.shape)
    residual = np.max(np.abs(images - np.roll(sane, -1, axis=1)), axis=(1, 2))
    effective = np.broadcast_to(effective[:, None], preactivations.shape)
    distances = np.abs(preactivations) / np.where(effective, np.linalg.norm(gradients, axis=2)[:, None], 1.0)
    margin = np.min(distances, axis=(1, 2), initial=np.inf, where=effective)
    violated = effective & ((preactivations > 0) != words)
    outside = np.max(distances, axis=(1, 2), initial=0.0, where=violated)
    singular = system.singular | ~np.all(np.isfinite(points), axis=(1, 2)) | ~(amplified < _MOST_AMPLIFIED)
    doubts = doubtful(jacobians, multipliers)
    return Solutions(words, sane, product, multipliers, residual, margin, error, condition, singular, outside, doubts)


def _defect(jacobians, offsets, points):
    """o_t + J_t x_t - x_{t+1}."""
    return (jacobians @ points[..., None])[..., 0] + offsets - np.roll(points, -1, axis=1)


def _error_bound(system, jacobians, offsets, points, num_gates):
    """Bound the distance from computed to exact points: what is left over, and rounding, through the inverse.

    A random-sign probe of a row of the inverse has the row's 2-norm as its root mean square; sqrt(k M) of it bounds
    the 1-norm, and 2 covers the sampling error of eight probes.

    **Returns:** the bounds `(n,)`; and, for states of size 1, by how much rounding in the Jacobians moves the solution.
    """
    _, order, num_states = points.shape
    moduli = np.abs(jacobians)
    unit = 4 * (num_states + num_gates) * _EPS
    rounding = unit * ((moduli @ np.abs(points)[..., None])[..., 0] + np.abs(offsets) + np.abs(points))
    sources = np.stack([np.abs(_defect(jacobians, offsets, points)) + rounding, unit * (np.sum(moduli, axis=3) + 1)])
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (order, num_states, _PROBES))
    probes = system.solve(np.concatenate([source[..., None] * signs for source in sources], axis=-1))
    probes = probes.reshape(*points.shape, 2, _PROBES)
    # In units of the largest: squares of what is small must not underflow.
    largest = np.max(np.abs(probes), axis=-1, keepdims=True)
    shares = probes / np.where(largest > 0, largest, 1)
    rows = largest[..., 0] * np.sqrt(np.mean(shares**2, axis=-1))
    return 2 * np.sqrt(order * num_states) * np.moveaxis(np.max(rows, axis=(1, 2)), -1, 0)


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
