"""Recurrent cells as maps `(state, input) -> state`.

Equinox's `GRUCell` and `LSTMCell` (the whole state (h, c)) are taken as they are; `StateFirst` turns around any other
cell whose input comes first.
"""

from typing import Any, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from cyclax.core.checks import checked_key


@final
class StateFirst(eqx.Module):
    """A cell called as `cell(input, state)`, such as those of `equinox.nn`, as a map `(state, input) -> state`.

    **Arguments:** `cell`: any callable `(input, state) -> state`.
    """

    cell: Any

    def __call__(self, state: PyTree, s: PyTree) -> PyTree:
        """Map the state once."""
        return self.cell(s, state)


class _VanillaCell(eqx.Module):
    W: Float[Array, "M M"]
    U: Float[Array, "M inputs"] | None
    b: Float[Array, " M"]

    def __check_init__(self):
        name, num_states = type(self).__name__, np.shape(self.b)[-1] if np.ndim(self.b) else 0
        if np.shape(self.b) != (num_states,) or np.shape(self.W) != (num_states, num_states):
            raise ValueError(f"{name}: expected W (M, M) and b (M,), got {np.shape(self.W)} and {np.shape(self.b)}.")
        if self.U is not None and (np.ndim(self.U) != 2 or np.shape(self.U)[0] != num_states):
            raise ValueError(f"{name}: expected U ({num_states}, inputs) or None, got {np.shape(self.U)}.")

    @classmethod
    def random(cls, num_states: int, num_inputs: int = 0, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw W with standard deviation gain / sqrt(M), U with 1 / sqrt(inputs); b is 0."""
        key_W, key_U = jax.random.split(checked_key(key))
        W = gain / np.sqrt(num_states) * jax.random.normal(key_W, (num_states, num_states))
        scale = 1 / np.sqrt(max(num_inputs, 1))
        U = scale * jax.random.normal(key_U, (num_states, num_inputs)) if num_inputs else None
        return cls(W, U, jnp.zeros(num_states))

    @property
    def num_states(self) -> int:
        """The number of states M."""
        return self.b.shape[-1]

    def _preactivation(self, z, s):
        drive = self.W @ z + self.b
        return drive if s is None else drive + self._input_weights() @ s

    def _input_weights(self):
        if self.U is None:
            raise ValueError(f"{type(self).__name__}: it was given an input, but has no input weights U.")
        return self.U


@final
class TanhCell(_VanillaCell):
    """z' = tanh(W z + U s + b). **Arguments:** `W` `(M, M)`; `U` `(M, inputs)`, or None without inputs; `b` `(M,)`."""

    def __call__(self, z: Float[Array, " M"], s: Float[Array, " inputs"] | None = None) -> Float[Array, " M"]:
        """Map the state once."""
        return jnp.tanh(self._preactivation(z, s))


@final
class ReLUCell(_VanillaCell):
    """z' = relu(W z + U s + b), with inputs; without them `ReLURNN` is the same map, and its cycles can be found.

    **Arguments:** `W` `(M, M)`; `U` `(M, inputs)`, or None without inputs; `b` `(M,)`.
    """

    def __call__(self, z: Float[Array, " M"], s: Float[Array, " inputs"] | None = None) -> Float[Array, " M"]:
        """Map the state once."""
        return jax.nn.relu(self._preactivation(z, s))
