"""Random numbers by counters: numbers that depend on a seed and a place alone, drawn in any order on any device."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt64

# An odd constant with well-mixed bits (2^64 over the golden ratio).
GOLDEN = 0x9E3779B97F4A7C15


def mixed(x: UInt64[Array, "..."]) -> UInt64[Array, "..."]:
    """Scramble 64-bit counters into 64 random-looking bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> 30)) * jnp.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27)) * jnp.uint64(0x94D049BB133111EB)
    return x ^ (x >> 31)


def uniforms(seeds: UInt64[Array, " n"], rows: int) -> Float[Array, "rows n"]:
    """Numbers in (0, 1) from seeds."""
    counters = jnp.arange(rows, dtype=jnp.uint64)[:, None]
    return ((mixed(seeds + jnp.uint64(GOLDEN) * counters) >> 11).astype(jnp.float64) + 0.5) * 2.0**-53


def normals(seeds: UInt64[Array, " n"], rows: int) -> Float[Array, "rows n"]:
    """Normal numbers from seeds (Box and Muller)."""
    radius, angle = jnp.split(uniforms(seeds, 2 * rows), 2)
    return jnp.sqrt(-2 * jnp.log(radius)) * jnp.cos(2 * jnp.pi * angle)
