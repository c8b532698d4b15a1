"""Random weights: the one home of the scales that new networks start from."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cyclax.core.numerics import numerics

# Draws have a power of two of entries, and at least this many, so that networks of many shapes share few programs.
FEWEST = 64


def uniform_transition(key: Array, num_states: int) -> np.ndarray:
    """Draw a diagonal A uniformly from (0.5, 0.95): contracting, with memory."""
    with numerics(), jax.threefry_partitionable(True):
        return _first((num_states,), lambda some: jax.random.uniform(key, some, jnp.float64, 0.5, 0.95))


def gaussian(key: Array, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Draw normal entries of standard deviation `scale`."""
    with numerics(), jax.threefry_partitionable(True):
        return scale * _first(shape, lambda some: jax.random.normal(key, some, jnp.float64))


def _first(shape: tuple[int, ...], draw: Callable[[tuple[int]], Array]) -> np.ndarray:
    """Keep the first entries of a draw of more: with counters that are split, entries do not depend on how many."""
    size = math.prod(shape)
    most = max(FEWEST, 1 << max(size - 1, 0).bit_length())
    return np.asarray(draw((most,)))[:size].reshape(shape).copy()
