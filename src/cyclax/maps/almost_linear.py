"""Almost-linear RNNs: only the last few latent states pass through a ReLU."""

from typing import ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, plain, whole
from cyclax.maps.base import (
    AbstractPiecewiseLinearMap,
    real_array,
    relu_where,
    require_shape,
    require_transition,
    require_vector,
    times,
)
from cyclax.maps.initial import gaussian, uniform_transition


@final
class AlmostLinearRNN(AbstractPiecewiseLinearMap):
    """z' = A z + W [z_1 .. z_{M-P}, relu(last P)] + h.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W`: `(M, M)`; `h`: `(M,)`; `num_gated`: P, from 1 to M.
    """

    A: Float[Array, "..."] = eqx.field(converter=real_array)
    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    h: Float[Array, " M"] = eqx.field(converter=real_array)
    num_gated: int = eqx.field(static=True, converter=plain)
    input_leaf: ClassVar[str | None] = "h"

    def __check_init__(self):
        num_states = require_vector(self, "h", "one bias per latent state")
        require_transition(self, num_states)
        require_shape(self, "W", (num_states, num_states), "M x M, with M from h")
        whole(self.num_gated, "AlmostLinearRNN: num_gated", 1, num_states)

    @classmethod
    def random(cls, num_states: int, num_gated: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw diagonal A in (0.5, 0.95), W with standard deviation gain / sqrt(M), h standard normal."""
        key_A, key_W, key_h = jax.random.split(checked_key(key), 3)
        return cls(
            A=uniform_transition(key_A, num_states),
            W=gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
            h=gaussian(key_h, (num_states,), 1.0),
            num_gated=num_gated,
        )

    def preactivations(self, z):
        """Give the last P states."""
        return z[-self.num_gated :]

    def step(self, z, gates):
        """Map z once with the gates held."""
        gated = jnp.concatenate([z[: -self.num_gated], relu_where(gates, z[-self.num_gated :])])
        return times(self.A, z) + times(self.W, gated) + self.h
