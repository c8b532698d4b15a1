"""Where the search begins: uniform words, regions that orbits visit, words handed over by the caller.

Start i of order k draws from fold_in(fold_in(key, k), i), whatever the lanes, blocks or devices.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt64

from cyclax.cycles.newton import GOLDEN, mixed, newton_step
from cyclax.maps.base import AbstractPiecewiseLinearMap

# How long an orbit is followed before its state becomes a start: a random number of steps below this. Long enough to
# reach the neighbourhood of what attracts, short enough to see what repels.
_LONGEST_TRANSIENT = 32


@functools.partial(jax.jit, static_argnums=(5, 6))
def drawn_starts(
    model: AbstractPiecewiseLinearMap, order, key: Array, first, scale, number: int, lanes: int
) -> tuple[Float[Array, "M n"], UInt64[Array, " n"]]:
    """Draw `number` starts from number `first` (even) on: even ones are states on orbits, odd ones uniform words.

    Orbits find two to five times more where the dynamics is chaotic; uniform words save them where orbits degenerate
    (all float64 orbits of the tent map of slope 2 end in 0).

    **Arguments:** `key`: already folded with the order; `scale`: the size of the states that orbits begin from;
    `lanes`: how many words are composed together (the cache decides; the result does not depend on it).

    **Returns:** states and the hashes of the words they are candidates of (0 for states on orbits).
    """
    blocks = -(-number // (2 * lanes))
    numbers = first + jnp.arange(2 * lanes * blocks)
    seeds = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), (2,), jnp.uint64))(numbers).T
    states = orbit_states(model, seeds[:, 0::2], scale)
    # Words carry a Jacobian each and are composed in blocks that fit the cache; states do without.
    seeds = seeds[:, 1::2]
    in_blocks = jnp.moveaxis(seeds.reshape(2, blocks, lanes), 1, 0)
    candidates, words = jax.lax.map(lambda some: uniform_candidates(model, order, some), in_blocks)
    candidates, words = jnp.moveaxis(candidates, 0, 1).reshape(model.num_states, -1), words.reshape(-1)
    # Where a word is singular and has no candidate, its seed draws a state instead.
    usable = jnp.all(jnp.isfinite(candidates), axis=0)
    candidates = jnp.where(usable, candidates, scale * normals(seeds[1], model.num_states))
    words = jnp.where(usable, words, jnp.uint64(0))
    z, word = interleave(states, candidates), interleave(jnp.zeros_like(words), words)
    return z[:, :number], word[:number]


def interleave(even, odd):
    """Merge two arrays along the last axis: even_0, odd_0, even_1, .."""
    return jnp.stack([even, odd], axis=-1).reshape(*even.shape[:-1], -1)


def uniform_candidates(model, order, seeds: UInt64[Array, "2 n"]):
    """Solve words whose gates are independent fair coins."""
    gate_words = -(-model.num_gates // 64)
    shifts = jnp.arange(64, dtype=jnp.uint64)[:, None]

    def gates_at(t, preactivations):
        counters = jnp.arange(gate_words, dtype=jnp.uint64) + jnp.uint64(gate_words) * t.astype(jnp.uint64)
        bits = mixed(seeds[0] + jnp.uint64(GOLDEN) * counters[:, None])
        bits = (bits[:, None] >> shifts).reshape(-1, bits.shape[-1]) & 1
        return bits[: preactivations.shape[0]] == 1

    return word_candidates(model, order, gates_at, seeds.shape[-1])


def word_candidates(model, order, gates_at, number):
    """Solve given words from z = 0; returns candidates and hashes."""
    z = jnp.zeros((model.num_states, number))
    displacement, word, _ = newton_step(model, z, order, gates_at)
    return displacement, word


def uniforms(seeds: UInt64[Array, " n"], rows: int) -> Float[Array, "rows n"]:
    """Numbers in (0, 1) from seeds."""
    counters = jnp.arange(rows, dtype=jnp.uint64)[:, None]
    return ((mixed(seeds + jnp.uint64(GOLDEN) * counters) >> 11).astype(jnp.float64) + 0.5) * 2.0**-53


def normals(seeds: UInt64[Array, " n"], rows: int) -> Float[Array, "rows n"]:
    """Normal numbers from seeds (Box and Muller)."""
    radius, angle = jnp.split(uniforms(seeds, 2 * rows), 2)
    return jnp.sqrt(-2 * jnp.log(radius)) * jnp.cos(2 * jnp.pi * angle)


def orbit_states(model, seeds: UInt64[Array, "2 n"], scale) -> Float[Array, "M n"]:
    """Follow orbits from normal states, of sizes from scale / 4 to 16 scale, for a random number of steps."""
    uniform = uniforms(seeds[0], 2)
    z = scale * 2.0 ** (6 * uniform[0] - 2) * normals(seeds[1], model.num_states)
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
