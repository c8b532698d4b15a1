"""The plain recurrent networks of machine learning: the whole next state passes through a (leaky) ReLU."""

from typing import ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array, relu_where, require_shape, require_vector, times
from cyclax.maps.initial import gaussian


def _require_square(model: object) -> None:
    num_states = require_vector(model, "b", "one bias per latent state")
    require_shape(model, "W", (num_states, num_states), "M x M, with M from b")


def _random_weights(num_states: int, key: Array, gain: float) -> dict[str, np.ndarray]:
    key_W, key_b = jax.random.split(key)
    return {
        "W": gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
        "b": gaussian(key_b, (num_states,), 1.0),
    }


@final
class ReLURNN(AbstractPiecewiseLinearMap):
    """z' = relu(W z + b). An input is added inside the ReLU.

    **Arguments:** `W`: `(M, M)`; `b`: `(M,)`.
    """

    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    b: Float[Array, " M"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "b"

    def __check_init__(self):
        _require_square(self)

    @classmethod
    def random(cls, num_states: int, *, key: Array, gain: float = 1.0) -> Self:
        """Draw W with standard deviation gain / sqrt(M), b standard normal."""
        return cls(**_random_weights(num_states, key, gain))

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return self.b.shape[-1]

    def preactivations(self, z):
        """Give W z + b."""
        return times(self.W, z) + self.b

    def step(self, z, gates):
        """Map z once with the gates held."""
        return relu_where(gates, times(self.W, z) + self.b)


@final
class LeakyReLURNN(AbstractPiecewiseLinearMap):
    """z' = W z + b where that is positive, slope times it elsewhere. An input is added inside the ReLU.

    **Arguments:** `W`: `(M, M)`; `b`: `(M,)`; `slope`: a number, 0.01 in most libraries.
    """

    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    b: Float[Array, " M"] = eqx.field(converter=real_array)
    slope: Float[Array, ""] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "b"

    def __check_init__(self):
        _require_square(self)
        require_shape(self, "slope", (), "a number")

    @classmethod
    def random(cls, num_states: int, *, key: Array, gain: float = 1.0, slope: float = 0.01) -> Self:
        """Draw W with standard deviation gain / sqrt(M), b standard normal."""
        return cls(**_random_weights(num_states, key, gain), slope=slope)  # pyright: ignore[reportArgumentType]

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return self.b.shape[-1]

    def preactivations(self, z):
        """Give W z + b."""
        return times(self.W, z) + self.b

    def step(self, z, gates):
        """Map z once with the gates held."""
        value = times(self.W, z) + self.b
        return jnp.where(gates, value, self.slope * value)
