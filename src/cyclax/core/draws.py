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


def seed_of(data: Any, *numbers: Any) -> Any:
    """Give the 64 random bits that belong to a key (the words of `jax.random.key_data`) and to some numbers."""
    seed = mixed(data.astype(np.uint64)[..., 0])
    for word in (*(data[..., i] for i in range(1, data.shape[-1])), *numbers):
        seed = mixed(seed * seed.dtype.type(GOLDEN) + _module(seed).asarray(word).astype(np.uint64))
    return seed


def counted(seed: Any, first: Any, number: int) -> UInt64[Any, " n"]:
    """Give seeds `first`, `first` + 1, .. of the sequence that begins at a seed."""
    xp = _module(seed)
    return mixed(seed + xp.uint64(GOLDEN) * (xp.arange(number, dtype=xp.uint64) + xp.asarray(first).astype(xp.uint64)))


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
    return np if isinstance(x, np.ndarray | np.generic) else jnp
