"""The plain recurrent networks of machine learning: the whole next state passes through a (leaky) ReLU."""

from typing import ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key
from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array, relu_where, require_shape, require_vector, times
from cyclax.maps.initial import gaussian


class _InsideTheReLU(AbstractPiecewiseLinearMap):
    """The weights that both share: what passes through the ReLU is W z + b."""

    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    b: Float[Array, " M"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "b"

    def __check_init__(self):
        num_states = require_vector(self, "b", "one bias per latent state")
        require_shape(self, "W", (num_states, num_states), "M x M, with M from b")

    @staticmethod
    def _random_weights(num_states: int, key: Array | int, gain: float) -> dict[str, np.ndarray]:
        key_W, key_b = jax.random.split(checked_key(key))
        return {
            "W": gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
            "b": gaussian(key_b, (num_states,), 1.0),
        }

    def preactivations(self, z):
        """Give W z + b."""
        return times(self.W, z) + self.b


@final
class ReLURNN(_InsideTheReLU):
    """z' = relu(W z + b). An input is added inside the ReLU.

    **Arguments:** `W`: `(M, M)`; `b`: `(M,)`.
    """

    @classmethod
    def random(cls, num_states: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw W with standard deviation gain / sqrt(M), b standard normal."""
        return cls(**cls._random_weights(num_states, key, gain))

    def step(self, z, gates):
        """Map z once with the gates held."""
        return relu_where(gates, self.preactivations(z))


@final
class LeakyReLURNN(_InsideTheReLU):
    """z' = W z + b where that is positive, slope times it elsewhere. An input is added inside the ReLU.

    **Arguments:** `W`: `(M, M)`; `b`: `(M,)`; `slope`: a number, 0.01 in most libraries.
    """

    slope: Float[Array, ""] = eqx.field(converter=real_array)

    def __check_init__(self):
        require_shape(self, "slope", (), "a number")

    @classmethod
    def random(cls, num_states: int, *, key: Array | int, gain: float = 1.0, slope: float = 0.01) -> Self:
        """Draw W with standard deviation gain / sqrt(M), b standard normal."""
        return cls(**cls._random_weights(num_states, key, gain), slope=slope)  # pyright: ignore[reportArgumentType]

    def step(self, z, gates):
        """Map z once with the gates held."""
        value = self.preactivations(z)
        return jnp.where(gates, value, self.slope * value)
