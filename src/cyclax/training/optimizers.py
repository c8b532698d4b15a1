"""Optimizers as objects whose numbers may differ from run to run."""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from cyclax.training.fields import number, require_number


def global_norm(tree: PyTree) -> Float[Array, ""]:
    """Give the Euclidean norm of all numbers in a tree."""
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


class AbstractOptimizer(eqx.Module):
    """From gradients to changes of the weights."""

    @abc.abstractmethod
    def init(self, parameters: PyTree) -> PyTree:
        """Give the first state."""

    @abc.abstractmethod
    def changes(self, gradients: PyTree, state: PyTree, parameters: PyTree, part: Float[Array, ""]) -> tuple[Any, Any]:
        """Give changes and the next state; `part` is the share of all updates that is done, 0 to 1."""


@final
class RAdam(AbstractOptimizer):
    """Rectified Adam, with a learning rate that falls exponentially from first to last update.

    **Arguments:** `learning_rate`, `last_rate`: the first and the last rate; `clip`: gradients whose norm is larger
    are scaled down to it (None: never).

    **Reference:** Liu et al., *On the variance of the adaptive learning rate and beyond*, ICLR 2020.
    """

    learning_rate: Any = eqx.field(converter=number, default=1e-3)
    last_rate: Any = eqx.field(converter=number, default=1e-6)
    clip: Any = eqx.field(converter=number, default=None)

    def __check_init__(self):
        require_number(self.learning_rate, "RAdam: learning_rate", 1e-30)
        require_number(self.last_rate, "RAdam: last_rate", 1e-30)
        if self.clip is not None:
            require_number(self.clip, "RAdam: clip", 1e-30)

    def init(self, parameters):
        """Give zeros."""
        return optax.scale_by_radam().init(parameters)

    def changes(self, gradients, state, parameters, part):
        """Give changes and the next state."""
        if self.clip is not None:
            factor = jnp.minimum(1, self.clip / global_norm(gradients))
            gradients = jax.tree.map(lambda leaf: factor * leaf, gradients)
        steps, state = optax.scale_by_radam().update(gradients, state)
        rate = self.learning_rate * (self.last_rate / self.learning_rate) ** part
        return jax.tree.map(lambda leaf: -rate * leaf, steps), state


@final
class Transformation(AbstractOptimizer):
    """Any optimizer of optax. **Arguments:** `transformation`: an `optax.GradientTransformation`."""

    transformation: optax.GradientTransformation = eqx.field(static=True)

    def init(self, parameters):
        """Give its first state."""
        return self.transformation.init(parameters)

    def changes(self, gradients, state, parameters, part):
        """Give changes and the next state."""
        return self.transformation.update(gradients, state, parameters)
