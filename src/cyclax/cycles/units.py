"""Maps in other units of their states, and whether states that were found in these can be written down in float64."""

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float

from cyclax.maps.base import AbstractPiecewiseLinearMap


class Balanced(AbstractPiecewiseLinearMap):
    """A map in other units of its states: y = z / units.

    **Arguments:** `model`; `units` `(M,)`: powers of two.
    """

    model: AbstractPiecewiseLinearMap
    units: Float[Array, " M"]

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return self.model.num_states

    def preactivations(self, z):
        """Give the preactivations of the model."""
        return self.model.preactivations(self.units * z)

    def step(self, z, gates):
        """Map once, in these units."""
        return self.model.step(self.units * z, gates) / self.units


def own_units(model: AbstractPiecewiseLinearMap) -> Any:
    """Give the units, `(M,)` or of a stack `(N, M)`, in which a map gives its states; 1 where it is in its own."""
    return np.asarray(model.units) if isinstance(model, Balanced) else 1.0


def representable(points: Float[np.ndarray, "n k M"], units: Any) -> Bool[np.ndarray, " n"]:
    """Say of which orbits all points, times the units, are float64 numbers: neither too large, nor lost in 0."""
    with np.errstate(all="ignore"):
        own = points * units
        return np.all(np.isfinite(own) & ((own != 0) | (points == 0)), axis=(1, 2))
