"""PLRNNs whose gates are the signs of the latent states themselves."""

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
    require_columns,
    require_shape,
    require_transition,
    require_vector,
    times,
)
from cyclax.maps.initial import gaussian, uniform_transition


class _StateGated(AbstractPiecewiseLinearMap):
    """The weights that PLRNN and its mean-centered sibling share."""

    A: Float[Array, "..."] = eqx.field(converter=real_array)
    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    h: Float[Array, " M"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "h"

    def __check_init__(self):
        num_states = require_vector(self, "h", "one bias per latent state")
        require_transition(self, num_states)
        require_shape(self, "W", (num_states, num_states), "M x M, with M from h")

    @classmethod
    def random(cls, num_states: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw diagonal A in (0.5, 0.95), W with standard deviation gain / sqrt(M), h standard normal."""
        key_A, key_W, key_h = jax.random.split(checked_key(key), 3)
        return cls(
            A=uniform_transition(key_A, num_states),
            W=gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
            h=gaussian(key_h, (num_states,), 1.0),
        )


@final
class PLRNN(_StateGated):
    """z' = A z + W relu(z) + h.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W`: `(M, M)`; `h`: `(M,)`.
    """

    def preactivations(self, z):
        """Give z: gate i is open where z_i > 0."""
        return z

    def step(self, z, gates):
        """Map z once with the gates held."""
        return times(self.A, z) + times(self.W, relu_where(gates, z)) + self.h


@final
class MeanCenteredPLRNN(_StateGated):
    """z' = A z + W relu(z - mean(z)) + h.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W`: `(M, M)`; `h`: `(M,)`.
    """

    def preactivations(self, z):
        """Give z - mean(z)."""
        return z - jnp.mean(z)

    def step(self, z, gates):
        """Map z once with the gates held."""
        return times(self.A, z) + times(self.W, relu_where(gates, z - jnp.mean(z))) + self.h


@final
class LowRankPLRNN(AbstractPiecewiseLinearMap):
    """z' = A z + U V relu(z) + h: a PLRNN whose W = U V has rank R, at a cost of M R per step.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `U`: `(M, R)`; `V`: `(R, M)`; `h`: `(M,)`.
    """

    A: Float[Array, "..."] = eqx.field(converter=real_array)
    U: Float[Array, "M R"] = eqx.field(converter=real_array)
    V: Float[Array, "R M"] = eqx.field(converter=real_array)
    h: Float[Array, " M"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "h"

    def __check_init__(self):
        num_states = require_vector(self, "h", "one bias per latent state")
        require_transition(self, num_states)
        rank = require_columns(self, "U", num_states, "M x R, with M from h")
        require_shape(self, "V", (rank, num_states), "R x M, with R from U and M from h")

    @classmethod
    def random(cls, num_states: int, rank: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw A in (0.5, 0.95), U and V with deviations gain / sqrt(R) and 1 / sqrt(M), h standard normal."""
        key_A, key_U, key_V, key_h = jax.random.split(checked_key(key), 4)
        return cls(
            A=uniform_transition(key_A, num_states),
            U=gaussian(key_U, (num_states, rank), gain / np.sqrt(rank)),
            V=gaussian(key_V, (rank, num_states), 1 / np.sqrt(num_states)),
            h=gaussian(key_h, (num_states,), 1.0),
        )

    def full(self) -> PLRNN:
        """Give the same map as a PLRNN with W = U V."""
        return PLRNN(A=self.A, W=self.U @ self.V, h=self.h)

    def preactivations(self, z):
        """Give z: gate i is open where z_i > 0."""
        return z

    def step(self, z, gates):
        """Map z once with the gates held."""
        return times(self.A, z) + times(self.U, times(self.V, relu_where(gates, z))) + self.h
