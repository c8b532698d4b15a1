"""The affine form of a map: the planes of its gates, and what each gate adds to the Jacobian and the shift.

It is read off the two methods of a model, of one or of a stack of many, and so are the gates that orbits meet.
"""

import fractions
import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.core.numerics import on_host
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Rows that a kernel is given at once: few, or as many as fit this memory with a Jacobian each.
_SMALL_CHUNK = 256
_CHUNK_BYTES = 2**25
# Steps of orbits for which gates are kept: for as many, or 2, 4, .. times as many, one loop is compiled.
_ROOM = 64
# Lengths below this, or above its inverse, are computed without squares of what is so small, or large.
_SQUARES = 1e-140


class _Kernel(NamedTuple):
    """A function of a model and one row, for rows of one model (`shared`) or of a model each (`each`)."""

    shared: Callable
    each: Callable


def over_rows(function: Callable) -> _Kernel:
    """Make a kernel of a function of a model and one row."""
    return _Kernel(jax.jit(jax.vmap(function, in_axes=(None, 0))), jax.jit(jax.vmap(function)))


@over_rows
def pieces(model, gates):
    """Held map z -> J z + o for gates `(G,)`."""
    zero = jnp.zeros(model.num_states)
    return jax.jacfwd(model.step)(zero, gates), model.step(zero, gates)


@over_rows
def visit(model, state):
    """Preactivations and image of a state `(M,)`."""
    return model.preactivations(state), model(state)


@over_rows
def _planes(model, state):
    """Gradients `(G, M)` and offsets `(G,)` of the preactivations at a state (any, as they are affine)."""
    return jax.jacfwd(model.preactivations)(state), model.preactivations(state)


@functools.partial(jax.jit, static_argnames="room")
def _gates_met(models, states, lengths, most, *, room: int):
    """Run a model each from states `(n, M)` for `lengths (n,)` steps; give ends, and gates `(room, n, G)`."""
    step = jax.vmap(lambda model, state: (model.preactivations(state), model(state)))

    def body(t, carry):
        states, gates = carry
        preactivations, images = step(models, states)
        return jnp.where((t < lengths)[:, None], images, states), gates.at[t].set(preactivations > 0)

    none = jnp.zeros((room, *jax.eval_shape(step, models, states)[0].shape), bool)
    return jax.lax.fori_loop(0, most, body, (states, none))


def _chunk_size(model, number: int, width: int, each: bool) -> int:
    """Give the rows, of `width` numbers, that a kernel is given at once: of a few sizes, each of which is compiled."""
    leaves = sum(leaf[0].size for leaf in jax.tree.leaves(model)) + width**2 if each else model.num_states**2
    return _SMALL_CHUNK if number <= _SMALL_CHUNK else max(_SMALL_CHUNK, min(4096, _CHUNK_BYTES // (8 * leaves)))


def in_chunks(kernel: _Kernel, model, rows: np.ndarray, owner: np.ndarray | None = None):
    """Apply a kernel to rows, padded to a few fixed sizes so that it compiles only a few times.

    With `owner`, the leaves of the model are stacks, and row i belongs to model `owner[i]` of them.
    """
    size = _chunk_size(model, len(rows), rows.shape[-1], owner is not None)
    outputs = []
    for begin in range(0, max(1, len(rows)), size):  # no rows: one call, of which nothing is kept
        chunk = rows[begin : begin + size]
        padded = np.zeros((size, *rows.shape[1:]), rows.dtype)
        padded[: len(chunk)] = chunk
        with on_host():
            if owner is None:
                parts = kernel.shared(model, padded)
            else:
                mine = np.resize(owner[begin : begin + size], size)
                parts = kernel.each(jax.tree.map(lambda leaf, mine=mine: leaf[mine], model), padded)
            outputs.append([np.asarray(part)[: len(chunk)] for part in parts])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


class AffineForm(NamedTuple):
    """The borders of a model: gate g opens where `gradients[g] @ z + offsets[g] > 0`.

    - `gradients` `(G, M)`, `offsets` `(G,)`: of the preactivations.
    - `effective` `(G,)`: the gates that matter: their gradient is not zero, and neither is what they switch.
    - `closed` `(M, M)`: the Jacobian with all gates closed; `jumps` `(G, M, M)`: what opening gate g adds to it.
    - `shift` `(M,)`: the image of 0 with all gates closed; `shift_jumps` `(G, M)`: what opening gate g adds to that.
    """

    gradients: np.ndarray
    offsets: np.ndarray
    effective: np.ndarray
    closed: np.ndarray
    jumps: np.ndarray
    shift: np.ndarray
    shift_jumps: np.ndarray

    def take(self, some) -> "AffineForm":
        """Give that of one model, or of some, of a stack: `some` is an index of the first axis."""
        return AffineForm(*(part[some] for part in self))

    @property
    def settled(self) -> np.ndarray:
        """The gates `(G,)`, or `(N, G)`, that are open everywhere: their preactivation is a positive constant."""
        return np.all(self.gradients == 0, axis=-1) & (self.offsets > 0)

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
        return np.abs(points @ gradients.T + self.offsets[self.effective]) / lengths_of(gradients)

    def magnitudes(self) -> np.ndarray:
        """Bound every Jacobian entry by entry: `(M, M)`."""
        largest = self.closed + np.sum(np.maximum(self.jumps, 0), axis=0)
        smallest = self.closed + np.sum(np.minimum(self.jumps, 0), axis=0)
        return np.maximum(np.abs(largest), np.abs(smallest))

    def growth_bound(self) -> float:
        """Bound the logarithm by which one step can part nearby states."""
        with np.errstate(all="ignore"):
            return float(np.log(np.linalg.norm(self.magnitudes())))


def lengths_of(rows: np.ndarray) -> np.ndarray:
    """Give the lengths `(..)` of rows `(.., M)`, which may be so small, or large, that their squares are no numbers."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(rows, axis=-1)
        if np.all((lengths > _SQUARES) & (lengths < 1 / _SQUARES)):
            return lengths
        units = np.max(np.abs(rows), axis=-1, initial=0)
        return units * np.linalg.norm(rows / np.where(units > 0, units, 1)[..., None], axis=-1)


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


def affine_form(model: AbstractPiecewiseLinearMap) -> AffineForm:
    """Read the borders off the model. Must be called under `numerics()`, in float64.

    **Arguments:** `model`: any map of cyclax.

    **Returns:** its `AffineForm`, of NumPy arrays.

    **Raises:** what the methods of the model raise.
    """
    planes = in_chunks(_planes, model, np.zeros((1, model.num_states)))
    single = _read(*planes, *in_chunks(pieces, model, _one_by_one(planes[1].shape[1])))
    return AffineForm(*(part[0] for part in single))


def affine_forms(models: AbstractPiecewiseLinearMap, number: int, num_states: int) -> AffineForm:
    """Read the borders off a stack of models: every array has the model on its first axis."""
    gradients, offsets = in_chunks(_planes, models, np.zeros((number, num_states)), np.arange(number))
    num_gates = offsets.shape[1]
    owner = np.repeat(np.arange(number), num_gates + 1)
    return _read(gradients, offsets, *in_chunks(pieces, models, np.tile(_one_by_one(num_gates), (number, 1)), owner))


def _one_by_one(num_gates: int) -> np.ndarray:
    """All gates closed, and each one open alone: `(G + 1, G)`."""
    return np.concatenate([np.zeros((1, num_gates), bool), np.eye(num_gates, dtype=bool)])


def _read(gradients: np.ndarray, offsets: np.ndarray, jacobians: np.ndarray, shifts: np.ndarray) -> AffineForm:
    """Take what opening each gate alone adds; every array of the result has the model on its first axis."""
    number, num_gates, num_states = gradients.shape
    jacobians = jacobians.reshape(number, num_gates + 1, num_states, num_states)
    shifts = shifts.reshape(number, num_gates + 1, num_states)
    jumps, shift_jumps = jacobians[:, 1:] - jacobians[:, :1], shifts[:, 1:] - shifts[:, :1]
    switches = np.any(jumps != 0, axis=(2, 3)) | np.any(shift_jumps != 0, axis=2)
    effective = switches & np.any(gradients != 0, axis=2)
    return AffineForm(gradients, offsets, effective, jacobians[:, 0], jumps, shifts[:, 0], shift_jumps)


def itineraries(
    model: AbstractPiecewiseLinearMap, nodes: np.ndarray, order: int, owner: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run the true map from nodes `(n, S, M)`, each through its segment of the `order` steps.

    With `owner (n,)`, the model is a stack, and row i runs under model `owner[i]` of it.

    **Returns:** the gates `(n, k, G)` met, and the last states `(n, M)`.
    """
    number, segments, num_states = nodes.shape
    begins = np.arange(segments + 1) * order // segments
    if owner is not None:
        gates, states = _itineraries_of_each(model, nodes.reshape(-1, num_states), begins, owner)
        word = [gates[: end - begin, i::segments] for i, (begin, end) in enumerate(itertools.pairwise(begins))]
        return np.moveaxis(np.concatenate(word), 0, 1), states[segments - 1 :: segments]
    states, met = nodes, []
    for t in range(-(-order // segments)):
        running = np.flatnonzero(begins[:-1] + t < begins[1:])
        preactivations, images = in_chunks(visit, model, states[:, running].reshape(-1, num_states))
        if len(running) == segments:
            states = images.reshape(nodes.shape)
        else:
            states = states.copy()
            states[:, running] = images.reshape(number, len(running), num_states)
        gates = preactivations.reshape(number, len(running), preactivations.shape[-1]) > 0
        met.append((begins[running] + t, gates))
    word = np.empty((number, order, met[0][1].shape[-1]), bool)
    for steps, some in met:
        word[:, steps] = some
    return word, states[:, -1]


def _itineraries_of_each(models, states: np.ndarray, begins: np.ndarray, owner: np.ndarray):
    """Run states `(n S, M)`, one at least, in a loop that is compiled once for all orders up to `_ROOM`."""
    segments = len(begins) - 1
    lengths, owner = np.tile(np.diff(begins), len(owner)), np.repeat(owner, segments)
    most = int(np.max(np.diff(begins)))
    room = _ROOM << max(0, (most - 1) // _ROOM).bit_length()
    size, parts = _chunk_size(models, len(states), states.shape[1], True), []
    for begin in range(0, len(states), size):
        rows = np.resize(np.arange(begin, min(begin + size, len(states))), size)
        mine = jax.tree.map(lambda leaf, whose=owner[rows]: leaf[whose], models)
        with on_host():
            ends, gates = _gates_met(mine, states[rows], lengths[rows], most, room=room)
        here = min(size, len(states) - begin)
        parts.append((np.asarray(gates)[:most, :here], np.asarray(ends)[:here]))
    gates, ends = zip(*parts, strict=True)
    return np.concatenate(gates, axis=1), np.concatenate(ends)


def state_sizes(bounds: AffineForm) -> tuple[float, float]:
    """Give how large a state the map adds at 0, and how far the borders are from 0; 0 where that cannot be said."""
    with np.errstate(all="ignore"):
        away = np.abs(bounds.offsets) / lengths_of(bounds.gradients)
        image = float(np.max(np.abs(bounds.step(np.zeros(len(bounds.shift)), bounds.offsets > 0))))
    away = away[bounds.effective & np.isfinite(away)]
    with np.errstate(all="ignore"):
        median = float(np.median(away)) if len(away) else 0.0
    # The mean of two numbers near the largest that there is may be none.
    return image if np.isfinite(image) else 0.0, median if np.isfinite(median) else float(np.max(away))


def state_scale(bounds: AffineForm) -> float:
    """Give the size of the states that matter: what the map adds at 0, or how far the borders are from 0."""
    return max(state_sizes(bounds)) or 1.0
