"""Where the search begins: uniform words, regions that orbits visit, words handed over by the caller.

Start i of order k draws from the key, k and i alone, whatever the lanes, blocks or devices.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt64

from cyclax.core.draws import GOLDEN, counted, mixed, normals, seed_of, uniforms
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.newton import OverLanes, largest, newton_step, over_lanes, segment_starts

# How long an orbit is followed before its state becomes a start: a random number of steps below this. Long enough to
# reach the neighbourhood of what attracts, short enough to see what repels.
_LONGEST_TRANSIENT = 32
# Orbits, and their steps, along which the growth of distances is measured.
_GROWTH_ORBITS = 64
_GROWTH_STEPS = 64


@functools.partial(jax.jit, static_argnames=("pool", "segments", "lanes"))
def drawn_starts(
    models: AbstractPiecewiseLinearMap,
    order,
    keys: Array,
    first,
    scales,
    number,
    *,
    pool: int,
    segments: int,
    lanes: int,
) -> tuple[Float[Array, "B M S P"], UInt64[Array, "B P"]]:
    """Draw `number` starts for each model, from numbers `first (B,)` (even) on.

    Even starts are states on orbits, odd ones uniform words. Orbits find two to five times more where the dynamics is
    chaotic; uniform words save them where orbits degenerate (all float64 orbits of the tent map of slope 2 end in 0).

    **Arguments:** `order`: of all, or `(B,)`; `keys (B,)`; `scales (B,)`: the size of the states that orbits begin
    from; `pool`: room for starts, `number` at least; `segments`: S; `lanes`: how many are drawn together (the cache
    decides; the result does not depend on it).

    **Returns:** states and the hashes of the words they are candidates of (0 for states on orbits).
    """
    blocks = -(-pool // (2 * lanes))

    def draw(model, order, key, first, scale):
        seed = seed_of(jax.random.key_data(key), order)

        def block(b, drawn):
            some = _drawn_block(model, order, seed, first + 2 * lanes * b, scale, segments, lanes)
            return tuple(
                jax.lax.dynamic_update_slice_in_dim(kept, new, 2 * lanes * b, axis=-1)
                for kept, new in zip(drawn, some, strict=True)
            )

        room = 2 * lanes * blocks
        z, word = jnp.zeros((model.num_states, segments, room)), jnp.zeros(room, jnp.uint64)
        z, word = jax.lax.fori_loop(0, -(-number // (2 * lanes)), block, (z, word))
        return z[..., :pool], word[:pool]

    return jax.vmap(draw, (0, 0 if jnp.ndim(order) else None, 0, 0, 0))(models, order, keys, first, scales)


def _drawn_block(model, order, seed, first, scale, segments, lanes):
    seeds = counted(seed, 2 * first, 4 * lanes).reshape(2 * lanes, 2).T  # two for each start
    states, candidates, words = drawn_pairs(model, seeds[:, 0::2], seeds[:, 1::2], order, scale, segments)
    return interleave(states, candidates), interleave(jnp.zeros_like(words), words)


def drawn_pairs(
    model: AbstractPiecewiseLinearMap | OverLanes,
    even: UInt64[Array, "2 n"],
    odd: UInt64[Array, "2 n"],
    order,
    scale,
    segments: int,
) -> tuple[Float[Array, "M S n"], Float[Array, "M S n"], UInt64[Array, " n"]]:
    """Draw a pair of starts from two seeds each: a state on an orbit, and the candidate of a uniform word.

    **Arguments:** `order`, `scale`: of all, or `(n,)`.

    **Returns:** states, candidates, and the hashes of their words.
    """
    states = orbit_nodes(model, order, orbit_states(model, even, scale), scale, segments)
    candidates, words = uniform_candidates(model, order, odd, segments)
    # Where a word is singular and has no candidate, its seed draws a state instead.
    usable = jnp.all(jnp.isfinite(candidates), axis=(0, 1))
    instead = scale * normals(odd[1], model.num_states)
    candidates = jnp.where(usable, candidates, instead[:, None])
    return states, candidates, jnp.where(usable, words, jnp.uint64(0))


def interleave(even, odd):
    """Merge two arrays along the last axis: even_0, odd_0, even_1, .."""
    return jnp.stack([even, odd], axis=-1).reshape(*even.shape[:-1], -1)


def uniform_candidates(model, order, seeds: UInt64[Array, "2 n"], segments: int):
    """Solve words whose gates are independent fair coins."""
    coins = jnp.tile(seeds[0], segments)

    def gates_at(steps, preactivations):
        number = preactivations.shape[0]
        gate_words, shifts = -(-number // 64), jnp.arange(min(number, 64), dtype=jnp.uint64)[:, None]
        counters = jnp.arange(gate_words, dtype=jnp.uint64)[:, None] + jnp.uint64(gate_words) * steps.astype(jnp.uint64)
        bits = mixed(coins + jnp.uint64(GOLDEN) * counters)
        bits = (bits[:, None] >> shifts).reshape(-1, bits.shape[-1]) & 1
        return bits[:number] == 1

    return word_candidates(model, order, gates_at, segments, seeds.shape[-1])


def word_candidates(model, order, gates_at, segments, number):
    """Solve given words from z = 0; returns candidates and hashes."""
    z = jnp.zeros((model.num_states, segments, number))
    displacement, word, _ = newton_step(model, z, order, gates_at, rolled=True)
    return displacement, word


def follow(model, z: Float[Array, "M n"], steps, most, scale) -> Float[Array, "M n"]:
    """Follow orbits for `steps (n,)` steps, at most `most`, or until they leave for infinity."""
    maps = over_lanes(model)

    def body(t, z):
        following = maps(z)
        ends = (t >= steps) | ~(largest(following) < 1e6 * scale)
        return jnp.where(ends, z, following)

    return jax.lax.fori_loop(0, most, body, z)


def initial_states(seeds: UInt64[Array, "2 n"], num_states: int, scale) -> Float[Array, "M n"]:
    """Draw normal states of sizes from scale / 4 to 16 scale."""
    return scale * 2.0 ** (6 * uniforms(seeds[0], 1)[0] - 2) * normals(seeds[1], num_states)


def orbit_states(model, seeds: UInt64[Array, "2 n"], scale) -> Float[Array, "M n"]:
    """Follow orbits from initial states for a random number of steps."""
    steps = (uniforms(seeds[0], 2)[1] * _LONGEST_TRANSIENT).astype(jnp.int32)
    return follow(model, initial_states(seeds, model.num_states, scale), steps, _LONGEST_TRANSIENT, scale)


def orbit_nodes(model, order, z: Float[Array, "M n"], scale, segments: int) -> Float[Array, "M S n"]:
    """Give the states at which the orbits from z enter each segment."""
    if segments == 1:
        return z[:, None]
    most = -(-jnp.max(order) // segments)

    def enter(z, steps):
        return follow(model, z, steps, most, scale), z

    _, nodes = jax.lax.scan(enter, z, jnp.diff(segment_starts(order, segments), axis=0))
    return jnp.moveaxis(nodes, 0, 1)


@jax.jit
def growth(models: AbstractPiecewiseLinearMap, keys: Array, scales) -> Float[Array, " B"]:
    """Measure how fast nearby orbits part: the largest mean of log |J v| per step over orbits, for each model."""

    def measure(model, key, scale):
        seeds = counted(seed_of(jax.random.key_data(key)), 0, 3 * _GROWTH_ORBITS).reshape(3, -1)
        push = jax.vmap(lambda z, v: jax.jvp(model.__call__, (z,), (v,)), in_axes=-1, out_axes=-1)

        def body(_, carry):
            z, v, total = carry
            following, v = push(z, v)
            length = jnp.linalg.norm(v, axis=0)
            ends = ~(jnp.max(jnp.abs(following), axis=0) < 1e6 * scale) | ~(length > 0)
            following, v = jnp.where(ends, z, following), jnp.where(ends, v, v / length)
            return following, v, total + jnp.where(ends, 0, jnp.log(length))

        z = orbit_states(model, seeds[:2], scale)
        v = normals(seeds[2], model.num_states)
        start = (z, v / jnp.linalg.norm(v, axis=0), jnp.zeros(_GROWTH_ORBITS))
        _, _, total = jax.lax.fori_loop(0, _GROWTH_STEPS, body, start)
        return jnp.max(total) / _GROWTH_STEPS

    return jax.vmap(measure)(models, keys, scales)


@functools.partial(jax.jit, static_argnames="segments")
def given_starts(models, order, words: Bool[Array, "k G n"], *, segments: int):
    """Solve words handed over by the caller, for each model."""
    number = words.shape[-1]
    lane = jnp.tile(jnp.arange(number), segments)
    gates_at = lambda steps, _: jnp.moveaxis(words[steps, :, lane], 0, -1)  # noqa: E731
    return jax.vmap(lambda model: word_candidates(model, order, gates_at, segments, number))(models)
