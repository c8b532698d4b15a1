"""Random numbers by counters: numbers that depend on a seed and a place alone, drawn in any order on any device.

Seeds of NumPy give numbers of NumPy, others those of JAX.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt64

# An odd constant with well-mixed bits (2^64 over the golden ratio).
GOLDEN = 0x9E3779B97F4A7C15


def mixed(x: UInt64[Any, "..."]) -> UInt64[Any, "..."]:
    """Scramble 64-bit counters into 64 random-looking bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> 30)) * x.dtype.type(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27)) * x.dtype.type(0x94D049BB133111EB)
    return x ^ (x >> 31)


def uniforms(seeds: UInt64[Any, " n"], rows: int) -> Float[Any, "rows n"]:
    """Numbers in (0, 1) from seeds."""
    xp = _module(seeds)
    counters = xp.arange(rows, dtype=xp.uint64)[:, None]
    return ((mixed(seeds + xp.uint64(GOLDEN) * counters) >> 11).astype(xp.float64) + 0.5) * 2.0**-53


def normals(seeds: UInt64[Any, " n"], rows: int) -> Float[Any, "rows n"]:
    """Normal numbers from seeds (Box and Muller)."""
    xp = _module(seeds)
    radius, angle = xp.split(uniforms(seeds, 2 * rows), 2)
    return xp.sqrt(-2 * xp.log(radius)) * xp.cos(2 * np.pi * angle)


def _module(x) -> Any:
    return np if isinstance(x, np.ndarray) else jnp
