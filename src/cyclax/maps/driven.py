"""Maps with inputs, as maps without: unrolled over the periods of an input that repeats, or with one that stays.

Both are piecewise-linear maps of the same kind, so that all that is known of these holds for them.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array, with_bias


class Unrolled(AbstractPiecewiseLinearMap):
    """(z_0, .., z_{T-1})' = (F_{T-1}(z_{T-1}), F_0(z_0), .., F_{T-2}(z_{T-2})): one step of each of T maps in a ring.

    Its fixed points are the orbits that return after T steps, all of them and nothing else; its gates are those of all
    steps, one after the other.

    **Arguments:** `model`: the map F, but for its bias; `biases` `(T, ..)`: those of the steps.
    """

    model: AbstractPiecewiseLinearMap
    biases: Float[Array, "T N"] = eqx.field(converter=real_array)

    @property
    def num_states(self) -> int:
        """T M."""
        return self.biases.shape[0] * self.model.num_states

    def preactivations(self, z):
        """Give those of all steps."""

        def of_step(bias, state):
            return with_bias(self.model, bias).preactivations(state)

        states = jnp.reshape(z, (self.biases.shape[0], -1))
        return jnp.reshape(jax.vmap(of_step)(self.biases, states), -1)

    def step(self, z, gates):
        """Map each state by its own step, to the place of the next one."""

        def of_step(bias, state, open_):
            return with_bias(self.model, bias).step(state, open_)

        states, by_step = (jnp.reshape(some, (self.biases.shape[0], -1)) for some in (z, gates))
        return jnp.reshape(jnp.roll(jax.vmap(of_step)(self.biases, states, by_step), 1, axis=0), -1)


class InputAsState(AbstractPiecewiseLinearMap):
    """(z, t)' = (F(z) under the input t d, t): the strength t of a constant input is a state that stays.

    Its fixed points are those of F under all strengths: lines, for the most part.

    **Arguments:** `model`: the map F; `added`: what strength 1 adds to its bias.
    """

    model: AbstractPiecewiseLinearMap
    added: Float[Array, " N"] = eqx.field(converter=real_array)

    @property
    def num_states(self) -> int:
        """M + 1."""
        return self.model.num_states + 1

    def _under(self, t: Any) -> AbstractPiecewiseLinearMap:
        return with_bias(self.model, getattr(self.model, str(self.model.input_leaf)) + t * self.added)

    def preactivations(self, z):
        """Give those under the input."""
        return self._under(z[-1]).preactivations(z[:-1])

    def step(self, z, gates):
        """Map the states under the input, and leave the input as it is."""
        return jnp.append(self._under(z[-1]).step(z[:-1], gates), z[-1])


def checked_inputs(model: AbstractPiecewiseLinearMap, inputs: Any) -> Float[np.ndarray, "p K"]:
    """Give inputs as an array with a row for each step of their period.

    **Raises:** `TypeError` where the model has no bias, or these are no numbers; `ValueError` that names the row.
    """
    rows = np.asarray(real_array(inputs, "inputs"), np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"inputs: expected shape (p, K), a row for each step of the period, got {rows.shape}.")
    if not np.all(np.isfinite(rows)):
        raise ValueError(f"inputs: row {int(np.argwhere(~np.isfinite(rows))[0][0])} holds NaN or inf.")
    under(model, rows[0], "inputs: each row")
    return rows


def under(model: AbstractPiecewiseLinearMap, s: Any, name: str) -> AbstractPiecewiseLinearMap:
    """Give the model under a constant input, which errors call by `name`."""
    try:
        return model.with_input(s)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('s: ')}") from error


def unrolled(model: AbstractPiecewiseLinearMap, inputs: Float[np.ndarray, "p K"], periods: int) -> Unrolled:
    """Unroll a model over so many periods of its inputs."""
    biases = np.stack([np.asarray(getattr(model.with_input(row), str(model.input_leaf))) for row in inputs])
    return Unrolled(model, np.tile(biases, (periods, 1)))
