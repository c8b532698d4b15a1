"""Shallow PLRNNs: one hidden layer of H ReLUs between M latent states."""

from typing import ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key
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


class _Shallow(AbstractPiecewiseLinearMap):
    """The weights that both shallow PLRNNs share."""

    A: Float[Array, "..."] = eqx.field(converter=real_array)
    W1: Float[Array, "M H"] = eqx.field(converter=real_array)
    W2: Float[Array, "H M"] = eqx.field(converter=real_array)
    h1: Float[Array, " M"] = eqx.field(converter=real_array)
    h2: Float[Array, " H"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "h1"

    def __check_init__(self):
        num_states = require_vector(self, "h1", "one bias per latent state")
        num_hidden = require_vector(self, "h2", "one bias per hidden unit")
        require_transition(self, num_states)
        require_shape(self, "W1", (num_states, num_hidden), "M x H, with M from h1 and H from h2")
        require_shape(self, "W2", (num_hidden, num_states), "H x M, with M from h1 and H from h2")

    @classmethod
    def random(cls, num_states: int, num_hidden: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw A in (0.5, 0.95), W1 and W2 with deviations gain / sqrt(H) and 1 / sqrt(M), biases standard normal."""
        key_A, key_1, key_2, key_h1, key_h2 = jax.random.split(checked_key(key), 5)
        return cls(
            A=uniform_transition(key_A, num_states),
            W1=gaussian(key_1, (num_states, num_hidden), gain / np.sqrt(num_hidden)),
            W2=gaussian(key_2, (num_hidden, num_states), 1 / np.sqrt(num_states)),
            h1=gaussian(key_h1, (num_states,), 1.0),
            h2=gaussian(key_h2, (num_hidden,), 1.0),
        )


@final
class ShallowPLRNN(_Shallow):
    """z' = A z + W1 relu(W2 z + h2) + h1.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W1`: `(M, H)`; `W2`: `(H, M)`; `h1`: `(M,)`; `h2`: `(H,)`.
    """

    def preactivations(self, z):
        """Give W2 z + h2."""
        return times(self.W2, z) + self.h2

    def step(self, z, gates):
        """Map z once with the gates held."""
        hidden = relu_where(gates, times(self.W2, z) + self.h2)
        return times(self.A, z) + times(self.W1, hidden) + self.h1


@final
class ClippedShallowPLRNN(_Shallow):
    """z' = A z + W1 [relu(W2 z + h2) - relu(W2 z)] + h1: bounded whenever A contracts.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W1`: `(M, H)`; `W2`: `(H, M)`; `h1`: `(M,)`; `h2`: `(H,)`.
    It has 2 H gates: those of W2 z + h2, then those of W2 z.
    """

    def preactivations(self, z):
        """Give W2 z + h2, then W2 z."""
        hidden = times(self.W2, z)
        return jnp.concatenate([hidden + self.h2, hidden])

    def step(self, z, gates):
        """Map z once with the gates held."""
        hidden = times(self.W2, z)
        num_hidden = hidden.shape[0]
        clipped = relu_where(gates[:num_hidden], hidden + self.h2) - relu_where(gates[num_hidden:], hidden)
        return times(self.A, z) + times(self.W1, clipped) + self.h1
