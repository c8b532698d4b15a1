"""What has a spectrum: maps, cells and flows, all turned into one form.

Everything becomes a function of one flat state and one input; batches are axes of `vmap` around it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from cyclax.lyapunov.cells import StateFirst
from cyclax.lyapunov.flows import Flow


class Layout(NamedTuple):
    """How a state lies in a flat vector: its structure and the shapes of its leaves."""

    structure: Any
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, state: PyTree) -> "Layout":
        """Read the layout of a state."""
        leaves, structure = jax.tree.flatten(state)
        return cls(structure, tuple(np.shape(leaf) for leaf in leaves))

    @property
    def size(self) -> int:
        """The number of states D."""
        return sum(math.prod(shape) for shape in self.shapes)

    def flat(self, state: PyTree) -> Float[Array, " D"]:
        """Write a state as one vector."""
        leaves = jax.tree.leaves(state)
        return jnp.ravel(leaves[0]) if len(leaves) == 1 else jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])

    def tree(self, vector: Float[Any, " D"]) -> PyTree:
        """Read a state from a vector."""
        leaves, begin = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            leaves.append(vector[begin : begin + size].reshape(shape))
            begin += size
        return jax.tree.unflatten(self.structure, leaves)


def adapted(model: Any) -> Any:
    """Wrap what does not take (state) or (state, input): equinox's cells take the input first."""
    return StateFirst(model) if isinstance(model, (eqx.nn.GRUCell, eqx.nn.LSTMCell)) else model


def apply(model: Any, state: PyTree, s: PyTree) -> PyTree:
    """Map a state once; an input of a piecewise-linear map is added to its bias."""
    if s is None:
        return model(state)
    if hasattr(model, "with_input"):
        return model.with_input(s)(state)
    return model(state, s)


def push(model: Any, layout: Layout, z: Float[Array, " D"], s: PyTree, V: Float[Array, "D n"], **pieces: Any):
    """Map a state once, and n tangent vectors with its Jacobian, which is never formed.

    **Arguments:** `pieces`: for a `Flow`, how `Flow.integrate` takes its step.

    **Returns:** the next state `(D,)` and the next tangent vectors `(D, n)`.
    """
    if isinstance(model, Flow):

        def velocity(z):
            return layout.flat(model.velocity(layout.tree(z), s)).astype(z.dtype)

        # Differential equations have their variational equation: state and tangents, under one error control.
        return model.integrate(lambda both: _pushed(velocity, *both), (z, V), **pieces)

    return _pushed(lambda z: layout.flat(apply(model, layout.tree(z), s)).astype(z.dtype), z, V)


def _pushed(function: Callable[[Array], Array], z: Float[Array, " D"], V: Float[Array, "D n"]):
    def one(v):
        return jax.jvp(function, (z,), (v,))

    return jax.vmap(one, in_axes=-1, out_axes=(None, -1))(V)


def float64_leaves(tree: PyTree) -> PyTree:
    """Turn floating arrays into NumPy float64; leave everything else alone."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf, tree)


def stacked(models: Sequence[Any]) -> Any:
    """Stack models of one class and shape along a new first axis of their arrays; numbers count as arrays.

    **Raises:** `ValueError` where they differ in anything else.
    """
    # Here alone Python's floats are numbers that may differ; else they are settings, as everywhere in equinox.
    parts = [
        eqx.partition(adapted(model), lambda x: eqx.is_array(x) or eqx.is_inexact_array_like(x)) for model in models
    ]
    arrays = [float64_leaves(jax.tree.map(np.asarray, some)) for some, _ in parts]
    shapes = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(some)] for some in arrays]
    for i, (some, (_, rest)) in enumerate(zip(arrays, parts, strict=True)):
        same = jax.tree.structure(some) == jax.tree.structure(arrays[0]) and shapes[i] == shapes[0]
        if not same or not eqx.tree_equal(rest, parts[0][1]):
            raise ValueError(
                f"model: the models of a batch must be of one class and one shape; model[{i}] differs from model[0]. "
                "Give them one by one."
            )
    return eqx.combine(jax.tree.map(lambda *leaves: np.stack(leaves), *arrays), parts[0][1])
