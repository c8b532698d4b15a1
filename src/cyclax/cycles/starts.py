"""Where the search begins: uniform words, regions that orbits visit, words handed over by the caller.

Start i of order k draws from fold_in(fold_in(key, k), i), whatever the lanes, blocks or devices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt64

from cyclax.cycles.newton import GOLDEN, mixed, newton_step
from cyclax.maps.base import AbstractPiecewiseLinearMap

# How long an orbit is followed before its state becomes a start: a random number of steps below this. Long enough to
# reach the neighbourhood of what attracts, short enough to see what repels.
_LONGEST_TRANSIENT = 32


@jax.jit
def drawn_starts(
    model: AbstractPiecewiseLinearMap, order: Int[Array, ""], key: Array, numbers: Int[Array, " n"], scale: Float[Array, ""]
) -> tuple[Float[Array, "M n"], UInt64[Array, " n"]]:
    """Draw the starts with these numbers: even ones are states on orbits, odd ones are uniform words.

    Orbits find two to five times more where the dynamics is chaotic; uniform words save them where orbits degenerate
    (all float64 orbits of the tent map of slope 2 end in 0).

    **Arguments:** `key`: already folded with the order; `scale`: the size of the states that orbits begin from.

    **Returns:** states and the hashes of the words they are candidates of (0 for states on orbits).
    """
    seeds = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), (2,), jnp.uint64))(numbers).T
    uniform = numbers % 2 == 1

    def gates_at(t, preactivations):
        gate_words = -(-preactivations.shape[0] // 64)
        counters = jnp.arange(gate_words, dtype=jnp.uint64) + jnp.uint64(gate_words) * t.astype(jnp.uint64)
        bits = mixed(seeds[0] + jnp.uint64(GOLDEN) * counters[:, None])
        shifts = jnp.arange(64, dtype=jnp.uint64)[:, None]
        return ((bits[:, None] >> shifts) & 1).reshape(-1, bits.shape[-1])[: preactivations.shape[0]] == 1

    candidate, word = word_candidates(model, order, gates_at, len(numbers))
    state = orbit_states(model, seeds, scale)
    usable = uniform & jnp.all(jnp.isfinite(candidate), axis=0)
    return jnp.where(usable, candidate, state), jnp.where(usable, word, jnp.uint64(0))


def word_candidates(model, order, gates_at, number):
    """Solve given words from z = 0; returns candidates and hashes."""
    z = jnp.zeros((model.num_states, number))
    displacement, word, _ = newton_step(model, z, order, gates_at)
    return displacement, word


def orbit_states(model, seeds: UInt64[Array, "2 n"], scale) -> Float[Array, "M n"]:
    """Follow orbits from normal states, of sizes from scale / 4 to 16 scale, for a random number of steps."""
    rows = jnp.arange(2 * model.num_states + 2, dtype=jnp.uint64)[:, None]
    uniform = ((mixed(seeds[1] + jnp.uint64(GOLDEN) * rows) >> 11).astype(jnp.float64) + 0.5) * 2.0**-53
    radius, angle = jnp.split(uniform[2:], 2)
    normal = jnp.sqrt(-2 * jnp.log(radius)) * jnp.cos(2 * jnp.pi * angle)  # Box and Muller
    z = scale * 2.0 ** (6 * uniform[0] - 2) * normal
    steps = (uniform[1] * _LONGEST_TRANSIENT).astype(jnp.int32)
    advance = jax.vmap(model.__call__, in_axes=-1, out_axes=-1)

    def body(t, z):
        following = advance(z)
        ends = (t >= steps) | ~(jnp.max(jnp.abs(following), axis=0) < 1e6 * scale)
        return jnp.where(ends, z, following)

    return jax.lax.fori_loop(0, _LONGEST_TRANSIENT, body, z)


@jax.jit
def given_starts(model, order, words: Bool[Array, "k G n"]):
    """Solve words handed over by the caller."""
    return word_candidates(model, order, lambda t, _: words[t], words.shape[-1])

