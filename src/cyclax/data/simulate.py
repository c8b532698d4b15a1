"""Orbits of a map."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import whole
from cyclax.core.numerics import numerics


def simulate(model: Any, z0: Float[Array, " M"], steps: int) -> Float[Array, "steps+1 M"]:
    """Iterate the map.

    **Arguments:** `model`: any map of cyclax. `z0`: the first state, `(M,)`; for a batch, `vmap` over it. `steps`: how
    often to map it.

    **Returns:** `(steps + 1, M)`, the first row being z0; NumPy float64 for a NumPy z0, else in the dtype of z0.

    **Raises:** `ValueError` for a wrong shape or a negative number of steps, `TypeError` for steps that are no int.
    """
    if np.shape(z0) != (model.num_states,):
        raise ValueError(f"z0: expected shape ({model.num_states},), got {np.shape(z0)}; for a batch, vmap over it.")
    steps = whole(steps, "steps", 0)
    if isinstance(z0, jax.Array):
        return _orbit(model, z0, steps)
    with numerics():
        return np.asarray(_orbit(model, np.asarray(z0, np.float64), steps))


@functools.partial(jax.jit, static_argnums=2)
def _orbit(model, z0, steps):
    def advance(z, _):
        following = model(z).astype(z.dtype)
        return following, following

    _, orbit = jax.lax.scan(advance, z0, length=steps)
    return jnp.concatenate([z0[None], orbit])
