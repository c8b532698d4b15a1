"""What is added to the loss. Each is an object that is called with the model and gives a number."""

import abc
import dataclasses
from typing import Any, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import plain, whole
from cyclax.training.fields import number, require_number
from cyclax.training.model import Affine, LatentModel


class AbstractRegularizer(eqx.Module):
    """A term of the loss that depends on the weights alone."""

    def check(self, model: LatentModel) -> None:
        """Raise a `TypeError` where the model has not what is regularized."""

    @abc.abstractmethod
    def __call__(self, model: LatentModel) -> Float[Array, ""]:
        """Give the term."""


class AbstractRenewedRegularizer(AbstractRegularizer):
    """A term that looks at the model anew every so many updates, on the host; in between it holds what it saw.

    `fit` renews it before the first update, and keeps it with its checkpoints.
    """

    @property
    @abc.abstractmethod
    def every(self) -> int:
        """The updates between two renewals; a field, or a property."""

    @abc.abstractmethod
    def renewed(self, model: LatentModel, update: int) -> Self:
        """Give the term to go on with, for a model (in float64) that has had so many updates.

        What it holds are fields that are arrays, of the same shapes every time; what is not known before the first may
        be None until then.
        """

    def held(self) -> dict[str, np.ndarray]:
        """Give the fields that are arrays, by name: with them a checkpoint goes on with what was seen."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: np.asarray(value)
            for name, value in fields.items()
            if eqx.is_array(value) or isinstance(value, np.ndarray)
        }

    def note(self) -> str | None:
        """Give what has to be said of it when the training is over, if anything."""
        return None


class _WithStrength(AbstractRegularizer):
    strength: Any = eqx.field(converter=number)

    def __check_init__(self):
        require_number(self.strength, f"{type(self).__name__}: strength")


@final
class ManifoldAttractor(_WithStrength):
    """Pulls some units of a PLRNN towards a line attractor, so that they remember.

    strength (sum_i (A_ii - 1)^2 + sum_{i, j != i} W_ij^2 + sum_i h_i^2), over the last `units` units i.

    **Arguments:** `strength`; `units`: how many, from the end (those not observed directly come last).

    **Reference:** Schmidt, Koppe, Monfared, Beutelspacher, Durstewitz, *Identifying nonlinear dynamical systems with
    multiple time scales and long-range dependencies*, ICLR 2021.
    """

    units: int = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        whole(self.units, "ManifoldAttractor: units")

    def check(self, model):
        """Require A, W and h, and so many units."""
        missing = [name for name in ("A", "W", "h") if not hasattr(model.map, name)]
        if missing:
            raise TypeError(
                f"ManifoldAttractor: {type(model.map).__name__} has no {', '.join(missing)}; it is for maps with A, W "
                "and h, such as PLRNN."
            )
        if not 1 <= self.units <= model.num_states:
            raise ValueError(f"ManifoldAttractor: units must lie in 1..{model.num_states}, got {self.units}.")

    def __call__(self, model):
        """Give the term."""
        map_: Any = model.map
        A, W, h = map_.A, map_.W, map_.h
        diagonal = A if A.ndim == 1 else jnp.diagonal(A)
        off = W * (1 - np.eye(len(h)))
        if A.ndim == 2:
            off = off + A * (1 - np.eye(len(h)))
        rows = slice(len(h) - self.units, None)
        return self.strength * (jnp.sum((diagonal[rows] - 1) ** 2) + jnp.sum(off[rows] ** 2) + jnp.sum(h[rows] ** 2))


@final
class L2(_WithStrength):
    """strength times the sum of the squares of all weights of the map. **Arguments:** `strength`."""

    def __call__(self, model):
        """Give the term."""
        return self.strength * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(model.map))


@final
class ConditionNumber(_WithStrength):
    """strength times the logarithm of the condition number of the read-out: states are estimated by its inverse.

    **Arguments:** `strength`.
    """

    def check(self, model):
        """Require an affine read-out."""
        if not isinstance(model.observation, Affine):
            raise TypeError("ConditionNumber: the model has no affine read-out; drop it, or observe through Affine.")

    def __call__(self, model):
        """Give the term."""
        observation: Any = model.observation
        values = jnp.linalg.svd(observation.B, compute_uv=False)
        return self.strength * (jnp.log(values[0]) - jnp.log(values[-1]))
