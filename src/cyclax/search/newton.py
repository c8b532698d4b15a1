"""The move of the search: SCYFI's step from word to word, written as one undamped semismooth Newton step.

Along k steps from z the gates hold the affine map z -> P z + q, with P z + q = F^k(z) at z itself. SCYFI's candidate
(I - P)^-1 q is therefore z + (I - P)^-1 (F^k(z) - z): the point and the M columns of P are pushed through the same k
steps, and the offset q is never formed.

Where F^k expands so much that P loses its digits, the k steps are shot in S segments (multiple shooting): the unknowns
are the first states z_0 .. z_{S-1} of the segments, and the same Newton step solves F^{k_j}(z_j) = z_{j+1}, z_S = z_0.
S = 1 is SCYFI.

Lanes stand on the last axis, segments before it: z is `(M, S, L)`. All functions here are kernels: pure, traced, of
fixed shape.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt64

from cyclax.core.draws import GOLDEN, mixed
from cyclax.core.products import launches_count, most_terms, with_sums
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.linear import solve_cyclic

# On accelerators, steps of maps of up to so many states are written out, so many together. On GPUs more, and their
# products, too: a step is a launch or more there, whatever it computes. On CPUs they are slower so.
_TOGETHER, _TOGETHER_ON_GPUS = {4: 8}, {4: 8, 16: 4}
# Reductions of so few rows are written out, and fused with what is around them; else they are loops of their own.
_WRITTEN_OUT = 8

# (numbers of the steps (N,), preactivations (G, N)) -> the gates (G, N) held in those steps.
GatesAt = Callable[[Int[Array, " N"], Float[Array, "G N"]], Bool[Array, "G N"]]


class OverLanes(eqx.Module):
    """A model over lanes: states and gates have these on their last axis.

    **Arguments:** `model`; `each`: every lane has one of its own, and they are the last axis of all leaves.
    """

    model: AbstractPiecewiseLinearMap
    each: bool = eqx.field(static=True)

    @property
    def num_states(self) -> int:
        """The dimension M of a lane."""
        cut = -1 if self.each else None
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[:cut], float), self.model).num_states

    def preactivations(self, z: Float[Array, "M N"]) -> Float[Array, "G N"]:
        """Give the preactivations of every lane."""
        return self._over(type(self.model).preactivations, z)

    def step(self, z: Float[Array, "M N"], gates: Bool[Array, "G N"]) -> Float[Array, "M N"]:
        """Map every lane once with the gates held."""
        return self._over(type(self.model).step, z, gates)

    def __call__(self, z: Float[Array, "M N"]) -> Float[Array, "M N"]:
        """Map every lane once."""
        return self._over(type(self.model).__call__, z)

    def repeated(self, times: int) -> "OverLanes":
        """Give the same for lanes that stand so many times one after the other."""
        if times == 1 or not self.each:
            return self
        return OverLanes(jax.tree.map(lambda leaf: jnp.tile(leaf, times), self.model), True)

    def _over(self, method: Callable, *arrays: Array) -> Array:
        return jax.vmap(method, (-1 if self.each else None, *[-1] * len(arrays)), -1)(self.model, *arrays)


def over_lanes(model: AbstractPiecewiseLinearMap | OverLanes) -> OverLanes:
    """Let all lanes have one model, if it is one."""
    return model if isinstance(model, OverLanes) else OverLanes(model, False)


def met(_, preactivations):
    """Gates that the state itself meets."""
    return preactivations > 0


def segment_starts(order, segments: int):
    """Give the numbers of the steps at which segments begin, and `order` as the last: `(S + 1,)`, or `(S + 1, L)`."""
    return np.arange(segments + 1).reshape(-1, *[1] * jnp.ndim(order)) * order // segments


def compose(
    model: AbstractPiecewiseLinearMap | OverLanes, z: Float[Array, "M S L"], order: Int[Array, "*L"], gates_at: GatesAt
) -> tuple[Float[Array, "M S L"], Float[Array, "M M S L"], UInt64[Array, " L"]]:
    """Push z and the identity through the steps of each segment.

    **Arguments:** `order`: of all lanes, or of each.

    **Returns:** the last states, the composed Jacobians P, and a 64-bit hash of the word: two words share it with a
    probability of about 2^-60, and whatever is accepted is compared again bit by bit.
    """
    num_states, segments, lanes = shape = z.shape
    together = steps_written_out(num_states)
    # Segments are lanes like any others; only their lengths differ, by one.
    first = segment_starts(jnp.broadcast_to(order, lanes), segments)
    begins, lengths = first[:-1].reshape(-1), jnp.diff(first, axis=0).reshape(-1)
    maps = over_lanes(model).repeated(segments)

    def body(t, carry):
        z, product, word = carry
        gates = gates_at(begins + t, maps.preactivations(z))
        following, pushed = push(maps, z, product, gates)
        hashed = word * jnp.uint64(GOLDEN) + _salted(gates)
        stepped = following.astype(z.dtype), pushed.astype(z.dtype), hashed
        if segments == together == 1 and jnp.ndim(order) == 0:
            return stepped
        return tuple(jnp.where(t < lengths, new, old) for new, old in zip(stepped, carry, strict=True))

    def push(maps, z, product, gates):
        following, tangents = jax.linearize(lambda state: maps.step(state, gates), z)
        return following, jax.vmap(tangents, in_axes=1, out_axes=1)(product)

    push = with_sums(push, most_terms() if together > 1 else 0)

    def steps(i, carry):
        for u in range(together):
            carry = body(i * together + u, carry)
        return carry

    number = segments * lanes
    identity = jnp.broadcast_to(jnp.eye(num_states, dtype=z.dtype)[:, :, None], (num_states, num_states, number))
    start = (z.reshape(num_states, number), identity, jnp.ones(number, jnp.uint64))
    longest = -(-jnp.max(order) // segments)
    image, product, word = jax.lax.fori_loop(0, -(-longest // together), steps, start)
    return image.reshape(shape), product.reshape(num_states, *shape), _of_segments(word.reshape(segments, lanes))


def hashes_of_words(words: Bool[np.ndarray, "n k G"], segments: int) -> UInt64[np.ndarray, " n"]:
    """Give the hashes that `compose` gives words, on the host."""
    salts, word = salts_of(words.shape[2]), np.ones((segments, len(words)), np.uint64)
    for j, (begin, end) in enumerate(itertools.pairwise(segment_starts(words.shape[1], segments).tolist())):
        for t in range(begin, end):
            word[j] = word[j] * np.uint64(GOLDEN) + words[:, t] @ salts
    return _of_segments(word)


def _of_segments(word: Any) -> Any:
    """Make one hash of those of the segments `(S, L)`."""
    if len(word) > 1:
        word = mixed(word + mixed(np.uint64(GOLDEN) * np.arange(1, len(word) + 1, dtype=np.uint64))[:, None])
    return word.sum(axis=0, dtype=np.uint64)


def steps_written_out(num_states: int) -> int:
    """Give how many steps of a map are written out on the device in use."""
    if jax.default_backend() == "cpu":
        return 1
    steps_by_size = _TOGETHER_ON_GPUS if launches_count() else _TOGETHER
    return next((steps for most, steps in steps_by_size.items() if num_states <= most), 1)


def salts_of(number: int) -> UInt64[np.ndarray, " G"]:
    """Give what each of so many gates adds to a hash when it is open."""
    return mixed(np.uint64(GOLDEN) * np.arange(1, number + 1, dtype=np.uint64))


def _salted(gates: Bool[Array, "G N"]) -> UInt64[Array, " N"]:
    """Add up what each open gate adds to a hash."""
    return _reduced(jnp.add, jnp.where(gates, salts_of(len(gates))[:, None], jnp.uint64(0)))


def largest(z: Float[Array, "M *N"]) -> Float[Array, "*N"]:
    """Give the size of states: that of their largest entry."""
    return _reduced(jnp.maximum, jnp.abs(z))


def _reduced(operation: Any, rows: Array) -> Array:
    return functools.reduce(operation, rows) if 0 < len(rows) <= _WRITTEN_OUT else operation.reduce(rows, axis=0)


def newton_step(
    model: AbstractPiecewiseLinearMap | OverLanes,
    z: Float[Array, "M S L"],
    order: Int[Array, "*L"],
    gates_at: GatesAt = met,
    *,
    rolled: bool = False,
) -> tuple[Float[Array, "M S L"], UInt64[Array, " L"], Bool[Array, " L"]]:
    """Solve the word that z meets (or the one that `gates_at` gives).

    **Arguments:** `rolled`: compile faster and run slower, see `solve_lanes`.

    **Returns:** the displacement from z to the candidate, the hash of the word, and where I - P is singular.
    """
    image, product, word = compose(model, z, order, gates_at)
    displacement, singular = solve_cyclic(product, image - jnp.roll(z, -1, axis=1), rolled=rolled)
    return displacement, word, singular
