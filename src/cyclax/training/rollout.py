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
from jaxtyping import Array, Float

from cyclax.core.products import steps_together, with_sums
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
    return _lanes(forced_state, (None, -1, -1, None))(projection, z, estimate, strength)


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


def _backward(terms, saved, gradients):
    map_, projection, z0, estimates, strengths, states, forced = saved
    gates = jax.vmap(_lanes(map_.preactivations, (-1,)))(forced) > 0

    def pulled_back(map_, projection, adjoint, strength, gates):
        """Give the adjoints of a forced state and of the state before it was forced; both maps are affine."""
        zero = jnp.zeros_like(z0)
        _, pull = jax.vjp(lambda z: _lanes(type(map_).step, (None, -1, -1))(map_, z, gates), zero)
        _, unforce = jax.vjp(lambda z: _forced(projection, z, zero, strength), zero)
        (inner,) = pull(adjoint)
        return unforce(inner)[0], inner

    pulled_back = with_sums(pulled_back, terms)

    def step(adjoint, inputs):
        outer, strength, open_ = inputs
        adjoint = adjoint + outer
        following, inner = pulled_back(map_, projection, adjoint, strength, open_)
        return following, (adjoint, inner)

    start = jnp.zeros_like(z0)
    adjoint0, (adjoints, inner) = jax.lax.scan(
        step, start, (gradients[0], strengths, gates), reverse=True, unroll=steps_together()
    )

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
