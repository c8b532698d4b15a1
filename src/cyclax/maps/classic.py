"""Maps of the textbooks, with one gate each: tests and examples lean on what is known of them in closed form."""

import dataclasses
from typing import ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array, relu_where, require_shape


class _OfNumbers(AbstractPiecewiseLinearMap):
    """A map whose parameters are numbers, and whose gate is open where the first state is positive."""

    def __check_init__(self):
        for field in dataclasses.fields(self):
            require_shape(self, field.name, (), "a number")

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return 1

    def preactivations(self, z):
        """Give the first state."""
        return z[:1]


@final
class TentMap(_OfNumbers):
    """x' = 1 - slope |x|. **Arguments:** `slope`: a number; at slope 2 the map is fully chaotic on [-1, 1]."""

    slope: Float[Array, ""] = eqx.field(converter=real_array)

    def step(self, z, gates):
        """Map x once with the gate held."""
        return 1 + self.slope * z - 2 * self.slope * relu_where(gates, z)


@final
class SkewTentMap(_OfNumbers):
    """x' = left x + offset for x <= 0, right x + offset for x > 0.

    **Arguments:** `left`, `right`, `offset`: numbers.
    """

    left: Float[Array, ""] = eqx.field(converter=real_array)
    right: Float[Array, ""] = eqx.field(converter=real_array)
    offset: Float[Array, ""] = eqx.field(converter=real_array)

    def step(self, z, gates):
        """Map x once with the gate held."""
        return jnp.where(gates, self.right, self.left) * z + self.offset


@final
class LoziMap(_OfNumbers):
    """(x, y)' = (1 - a |x| + y, b x). **Arguments:** `a`, `b`: numbers; (1.7, 0.5) is the chaotic standard."""

    a: Float[Array, ""] = eqx.field(converter=real_array)
    b: Float[Array, ""] = eqx.field(converter=real_array)

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return 2

    def step(self, z, gates):
        """Map (x, y) once with the gate held."""
        x, y = z
        return jnp.stack([1 + self.a * x - 2 * self.a * jnp.where(gates[0], x, 0) + y, self.b * x])


@final
class BorderCollisionNormalForm(AbstractPiecewiseLinearMap):
    """z' = left z + h for z_1 <= 0, right z + h for z_1 > 0, in the plane.

    **Arguments:** `left`, `right`: `(2, 2)`, with equal second columns (else the map is not continuous); `h`: `(2,)`.
    """

    left: Float[Array, "2 2"] = eqx.field(converter=real_array)
    right: Float[Array, "2 2"] = eqx.field(converter=real_array)
    h: Float[Array, " 2"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "h"

    def __check_init__(self):
        require_shape(self, "h", (2,), "a planar map")
        for name in ("left", "right"):
            require_shape(self, name, (2, 2), "a planar map")
        both = (self.left, self.right)
        if all(isinstance(side, np.ndarray) for side in both) and not np.array_equal(self.left[:, 1], self.right[:, 1]):
            raise ValueError("BorderCollisionNormalForm: left and right must share their second column (continuity).")

    def preactivations(self, z):
        """Give z_1."""
        return z[:1]

    def step(self, z, gates):
        """Map z once with the gate held."""
        # The second column is shared; a difference of the first ones would be rounded.
        first = jnp.where(gates[0], self.right[:, 0], self.left[:, 0])
        return first * z[0] + self.left[:, 1] * z[1] + self.h
