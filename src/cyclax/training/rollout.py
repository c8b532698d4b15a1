"""Forced trajectories, and their exact gradients by an adjoint pass.

All arrays have the batch B as their last axis. Differentiating the time loop as it stands, the gradient of every weight
is summed up step by step. Here the backward loop carries the adjoint of the state alone, with the gates held; then the
gradients of all weights follow from one call over all T B states at once, which is a few large matrix products. The
result is the same, term by term, for any model: nothing is assumed but that the map's derivative is the one at its
gates.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from cyclax.core.products import parts_of_time, steps_together, with_sums
from cyclax.maps.base import AbstractPiecewiseLinearMap, times


def forced_state(
    projection: Float[Array, "..."], z: Float[Array, " M"], estimate: Float[Array, " M"], strength: Float[Array, ""]
) -> Float[Array, " M"]:
    """Pull a state towards its estimate: z + strength (estimate - K z).

    K says which part of the state the data tell: 1 (a diagonal, `(M,)`) for units that are observed and 0 for those
    that are not, or a projection `(M, M)`. Where they tell all, this is (1 - strength) z + strength estimate.
    """
    return z + strength * (estimate - times(projection, z))


def _lanes(function: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    return jax.vmap(function, in_axes=in_axes, out_axes=-1)


def _forced(projection, z, estimate, strength):
    of_lanes = -1 if jnp.ndim(strength) else None
    return _lanes(forced_state, (None, -1, -1, of_lanes))(projection, z, estimate, strength)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def rollout(
    terms: int,
    map_: AbstractPiecewiseLinearMap,
    projection: Float[Array, "..."],
    z0: Float[Array, "M B"],
    estimates: Float[Array, "T M B"],
    strengths: Float[Array, " T"],
) -> tuple[Float[Array, "T M B"], Float[Array, "T M B"]]:
    """Iterate the map from z0, pulled towards the estimates before each step.

    **Arguments:**

    - `terms`: how long sums are written out; see `products`.
    - `map_`: the map. `projection`: the part of the state that the data tell; see `forced_state`.
    - `z0`: the first states. `estimates`: of the states before each step.
    - `strengths`: how far each step pulls, 0 to 1. No gradient is taken with respect to it.

    **Returns:** the *unforced* states, and the forced ones of which they are the images. No gradient is taken through
    the latter.
    """
    return _forward(terms, map_, projection, z0, estimates, strengths)[0]


def _forward(terms, map_, projection, z0, estimates, strengths):
    def advance(map_, projection, z, estimate, strength):
        forced = _forced(projection, z, estimate, strength)
        return _lanes(type(map_).__call__, (None, -1))(map_, forced), forced

    advance = with_sums(advance, terms)

    def step(z, inputs):
        following, forced = advance(map_, projection, z, *inputs)
        return following, (following, forced)

    _, (states, forced) = jax.lax.scan(step, z0, (estimates, strengths), unroll=steps_together())
    return (states, forced), (map_, projection, z0, estimates, strengths, states, forced)


def _adjoints(
    terms: int,
    map_: AbstractPiecewiseLinearMap,
    projection: Float[Array, "..."],
    outer: Float[Array, "T M B"],
    strengths: Float[Array, " T"],
    gates: Bool[Array, "T G B"],
) -> tuple[Float[Array, "M B"], Float[Array, "T M B"], Float[Array, "T M B"]]:
    """Carry the adjoint of the state back through time; `outer` is what each step adds to it.

    **Returns:** the adjoints of the first state, of all states, and of the forced states.
    """
    steps, size, lanes = outer.shape
    parts = parts_of_time(steps) if size <= terms else 1
    length = -(-steps // parts)

    def pulled_back(map_, projection, adjoint, strength, gates):
        """Give the adjoints of a state before it was forced, and of the forced one; both maps are affine."""
        zero = jnp.zeros_like(adjoint)
        _, pull = jax.vjp(lambda z: _lanes(type(map_).step, (None, -1, -1))(map_, z, gates), zero)
        _, unforce = jax.vjp(lambda z: _forced(projection, z, zero, strength), zero)
        (inner,) = pull(adjoint)
        return unforce(inner)[0], inner

    def step(adjoint, inputs):
        outer, strength, open_ = inputs
        adjoint = adjoint + outer
        following, inner = with_sums(pulled_back, terms)(map_, projection, adjoint, strength, open_)
        return following, (adjoint, inner)

    back = functools.partial(jax.lax.scan, reverse=True, unroll=steps_together())
    if parts == 1:
        adjoint0, (adjoints, inner) = back(step, jnp.zeros_like(outer[0]), (outer, strengths, gates))
        return adjoint0, adjoints, inner

    # Three times the root of T steps in place of T: with gates held a step is affine, and so are many. First all parts
    # of time say at once what they make of an adjoint that enters, by its M unit vectors, and of none; then what enters
    # follows from part to part; then all parts are gone through at once.

    def parted(array):
        """Make the parts of time lanes; steps beyond the last carry nothing back."""
        array = jnp.pad(array, ((0, parts * length - steps), *[(0, 0)] * (array.ndim - 1)))
        array = jnp.moveaxis(array.reshape(parts, length, *array.shape[1:]), 0, -2)
        return array.reshape(*array.shape[:-2], parts * lanes)

    def joined(array):
        array = jnp.moveaxis(array.reshape(length, size, parts, lanes), 2, 0)
        return array.reshape(parts * length, size, lanes)[:steps]

    def compose(columns, inputs):
        outer, strength, open_ = inputs
        columns = columns.at[:, -1].add(outer)
        over_columns = jax.vmap(pulled_back, (None, None, 1, None, None), 1)
        return with_sums(over_columns, terms)(map_, projection, columns, strength, open_)[0], None

    def enter(adjoint, part):
        leaves = with_sums(lambda part, adjoint: jnp.einsum("ijb,jb->ib", part[:, :-1], adjoint) + part[:, -1], terms)
        return leaves(part, adjoint), adjoint

    inputs = parted(outer), parted(jnp.broadcast_to(strengths[:, None], (steps, lanes))), parted(gates)
    unit = jnp.broadcast_to(jnp.eye(size, size + 1, dtype=outer.dtype)[..., None], (size, size + 1, parts * lanes))
    composed, _ = back(compose, unit, inputs)
    composed = jnp.moveaxis(composed.reshape(size, size + 1, parts, lanes), 2, 0)
    _, entering = back(enter, jnp.zeros_like(outer[0]), composed)
    adjoint0, (adjoints, inner) = back(step, jnp.moveaxis(entering, 0, 1).reshape(size, -1), inputs)
    return adjoint0[:, :lanes], joined(adjoints), joined(inner)


def _backward(terms, saved, gradients):
    map_, projection, z0, estimates, strengths, states, forced = saved
    gates = jax.vmap(_lanes(map_.preactivations, (-1,)))(forced) > 0

    adjoint0, adjoints, inner = _adjoints(terms, map_, projection, gradients[0], strengths, gates)

    # The weights: all steps of all lanes at once, as rows, which is how large products like them.
    rows = lambda array: jnp.moveaxis(array, 1, 2).reshape(-1, array.shape[1])  # noqa: E731
    _, pull = jax.vjp(lambda map_: jax.vmap(type(map_).__call__, (None, 0))(map_, rows(forced)), map_)
    before = jnp.concatenate([z0[None], states[:-1]])
    # Not computed where nobody asks for it: the data are no function of the weights, unless a read-out is learned.
    every = jax.vmap(_forced, in_axes=(None, 0, 0, 0))
    _, pull_forcing = jax.vjp(lambda k, e: every(k, before, e, strengths), projection, estimates)
    of_projection, of_estimates = pull_forcing(inner)
    return pull(rows(adjoints))[0], of_projection, adjoint0, of_estimates, jnp.zeros_like(strengths)


rollout.defvjp(_forward, _backward)
