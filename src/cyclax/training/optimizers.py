"""Optimizers as objects whose numbers may differ from run to run."""

import abc
import inspect
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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
    def changes(
        self,
        gradients: PyTree,
        state: PyTree,
        parameters: PyTree,
        part: Float[Array, ""],
        value: Float[Array, ""] | None = None,
        value_fn: Callable[[PyTree], Float[Array, ""]] | None = None,
    ) -> tuple[Any, Any]:
        """Give changes and the next state.

        **Arguments:** `gradients`: of the loss by the parameters; `state`: the last one; `part`: the share of all
        updates that is done, 0 to 1; `value`: the loss; `value_fn`: the loss of the same batch at other parameters.
        """


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

    def changes(self, gradients, state, parameters, part, value=None, value_fn=None):
        """Give changes and the next state."""
        if self.clip is not None:
            factor = jnp.minimum(1, self.clip / global_norm(gradients))
            gradients = jax.tree.map(lambda leaf: factor * leaf, gradients)
        steps, state = optax.scale_by_radam().update(gradients, state)
        rate = self.learning_rate * (self.last_rate / self.learning_rate) ** part
        return jax.tree.map(lambda leaf: -rate * leaf, steps), state


@final
class Transformation(AbstractOptimizer):
    """Any optimizer of optax, those that look at the loss, or search along a line, included.

    **Arguments:** `transformation`: an `optax.GradientTransformation`.
    """

    transformation: optax.GradientTransformation = eqx.field(static=True)

    def init(self, parameters):
        """Give its first state."""
        return self.transformation.init(parameters)

    def changes(self, gradients, state, parameters, part, value=None, value_fn=None):
        """Give changes and the next state."""

        def grad_fn(parameters, _):
            return jax.grad(value_fn)(parameters)  # pyright: ignore[reportArgumentType]

        if not isinstance(self.transformation, optax.GradientTransformationExtraArgs):
            return self.transformation.update(gradients, state, parameters)
        told = {"value": value, "grad": gradients, "value_fn": value_fn}
        wanted = inspect.signature(self.transformation.update).parameters
        # A chain takes all and hands it on; line searches refuse what they do not know.
        if not any(one.kind is one.VAR_KEYWORD for one in wanted.values()):
            told = {name: one for name, one in (told | {"grad_fn": grad_fn}).items() if name in wanted}
        return self.transformation.update(gradients, state, parameters, **told)

    def require_fit(self, parameters: PyTree) -> None:
        """Try one update, without computing.

        **Raises:** `TypeError` that says what fails.
        """

        def value_fn(parameters):
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(parameters))

        def once(parameters):
            state = self.init(parameters)
            value, gradients = jax.value_and_grad(value_fn)(parameters)
            return state, self.changes(gradients, state, parameters, jnp.zeros(()), value, value_fn)  # pyright: ignore[reportArgumentType]

        try:
            # optax relies on the ordinary rules of promotion, whatever the user's own.
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), np.errstate(all="ignore"):
                jax.eval_shape(once, parameters)
        except Exception as error:
            # Whatever an optimizer raises here says that it is not made for these weights, or wants to know more.
            reason = " ".join(str(error).split())[:300]
            raise TypeError(
                f"optimizer: this optimizer of optax fails on the weights of the model ({type(error).__name__}: "
                f"{reason}). It is given gradients, state and weights, and the loss as value and value_fn; take one "
                "that needs no more, or RAdam(..)."
            ) from error
