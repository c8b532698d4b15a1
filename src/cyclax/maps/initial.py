"""Random weights: the one home of the scales that new networks start from."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cyclax.core.numerics import numerics


def uniform_transition(key: Array, num_states: int) -> np.ndarray:
    """Draw a diagonal A uniformly from (0.5, 0.95): contracting, with memory."""
    with numerics():
        return np.asarray(jax.random.uniform(key, (num_states,), jnp.float64, 0.5, 0.95))


def gaussian(key: Array, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Draw normal entries of standard deviation `scale`."""
    with numerics():
        return np.asarray(scale * jax.random.normal(key, shape, jnp.float64))
