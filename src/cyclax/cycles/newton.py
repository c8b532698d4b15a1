"""The move of the search: SCYFI's step from word to word, written as one undamped semismooth Newton step.

Along k steps from z the gates hold the affine map z -> P z + q, with P z + q = F^k(z) at z itself. SCYFI's candidate
(I - P)^-1 q is therefore z + (I - P)^-1 (F^k(z) - z): the point and the M columns of P are pushed through the same k
steps, and the offset q is never formed.

Lanes stand on the last axis. All functions here are kernels: pure, traced, of fixed shape.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt64

from cyclax.cycles.linear import solve_lanes
from cyclax.maps.base import AbstractPiecewiseLinearMap

# (step number, preactivations (G, L)) -> the gates (G, L) held in that step.
GatesAt = Callable[[Int[Array, ""], Float[Array, "G L"]], Bool[Array, "G L"]]

# An odd constant with well-mixed bits (2^64 over the golden ratio).
GOLDEN = 0x9E3779B97F4A7C15


def mixed(x: UInt64[Array, "..."]) -> UInt64[Array, "..."]:
    """Scramble 64-bit counters into 64 random-looking bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> 30)) * jnp.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27)) * jnp.uint64(0x94D049BB133111EB)
    return x ^ (x >> 31)


def met(_, preactivations):
    """Gates that the state itself meets."""
    return preactivations > 0


def compose(
    model: AbstractPiecewiseLinearMap, z: Float[Array, "M L"], order: Int[Array, ""], gates_at: GatesAt
) -> tuple[Float[Array, "M L"], Float[Array, "M M L"], UInt64[Array, " L"]]:
    """Push z and the identity through `order` steps.

    **Returns:** the last state, the composed Jacobian P, and a 64-bit hash of the word: two words share it with a
    probability of about 2^-60, and whatever is accepted is compared again bit by bit.
    """
    num_states, lanes = z.shape
    salts = mixed(jnp.uint64(GOLDEN) * jnp.arange(1, model.num_gates + 1, dtype=jnp.uint64))[:, None]
    step = jax.vmap(model.step, in_axes=-1, out_axes=-1)

    def body(t, carry):
        z, product, word = carry
        gates = gates_at(t, jax.vmap(model.preactivations, in_axes=-1, out_axes=-1)(z))
        held = lambda state: step(state, gates)  # noqa: E731
        following, push = jax.linearize(held, z)
        word = word * jnp.uint64(GOLDEN) + jnp.sum(jnp.where(gates, salts, jnp.uint64(0)), axis=0)
        return following, jax.vmap(push, in_axes=1, out_axes=1)(product), word

    identity = jnp.broadcast_to(jnp.eye(num_states, dtype=z.dtype)[:, :, None], (num_states, num_states, lanes))
    return jax.lax.fori_loop(0, order, body, (z, identity, jnp.ones(lanes, jnp.uint64)))


def newton_step(
    model: AbstractPiecewiseLinearMap, z: Float[Array, "M L"], order: Int[Array, ""], gates_at: GatesAt = met
) -> tuple[Float[Array, "M L"], UInt64[Array, " L"], Bool[Array, " L"]]:
    """Solve the word that z meets (or the one that `gates_at` gives).

    **Returns:** the displacement from z to the candidate, the hash of the word, and where I - P is singular.
    """
    image, product, word = compose(model, z, order, gates_at)
    system = jnp.eye(z.shape[0], dtype=z.dtype)[:, :, None] - product
    displacement, singular = solve_lanes(system, image - z)
    return displacement, word, singular
