"""Prediction error: how far forecasts stray in a few steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cyclax.core.checks import checked_series, whole
from cyclax.core.numerics import numerics

# So many forecasts run side by side.
_LANES = 4096


def prediction_error(
    model: Callable[[Any], Any],
    series: Float[Any, "T N"],
    steps: int,
    *,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Give the mean squared errors of forecasts 1, 2, .., `steps` steps ahead, from every row of a series.

    Of chaotic systems only a few steps can be forecast, so a good model may err, and a bad one may forecast well: look
    at `state_space_divergence` too.

    Source: G. Koppe et al., PLoS Computational Biology 15, e1007263 (2019); M. Brenner et al., ICML (2022).

    **Arguments:**

    - `model`: maps a state to the next: a map of cyclax, or any function of `jax.numpy`. Batches are made here.
    - `series`: `(T, N)` or `(T,)`, with T > `steps`, in the units in which the model observes.
    - `steps`: how many steps ahead, n.
    - `encode`, `decode`: give the state `(M,)` for an observation `(N,)`, and the observation for a state, where they
      differ; by default states are observed as they are.

    **Returns:** `(steps,)`, float64, in squared units of the series: entry n - 1 is the mean over the T - `steps`
    starts and the N columns of the squared error n steps ahead; inf where forecasts diverge.

    **Raises:** `TypeError` and `ValueError` where the model fails or gives another shape, the series is too short, or
    holds NaN and inf (with row and column).
    """
    array = checked_series(series)
    steps = whole(steps, "steps", 1)
    if len(array) <= steps:
        raise ValueError(
            f"series: its {len(array)} rows are too short for forecasts {steps} steps ahead, which take "
            f"{steps + 1}. Give a longer series, or fewer steps."
        )
    for name, function in (("model", model), ("encode", encode), ("decode", decode)):
        if not callable(function) and (name == "model" or function is not None):
            raise TypeError(f"{name}: expected a map or a function of one state, got {function!r}.")
    functions = (model, encode or _as_it_is, decode or _as_it_is)
    with numerics():
        _check_call(functions, array[0])
        starts, total = len(array) - steps, np.zeros(steps)
        for begin in range(0, starts, _LANES):
            counted = min(_LANES, starts - begin)
            # The last stretch is filled up by its last row: one shape, one compilation.
            rows = np.minimum(np.arange(begin, begin + _LANES + steps), len(array) - 1)
            total += np.asarray(_squared_errors(functions, array[rows], np.arange(_LANES) < counted, steps))
    errors = total / (starts * array.shape[1])
    return np.where(np.isnan(errors), np.inf, errors)


@eqx.filter_jit
def _squared_errors(functions, rows, counted, steps):
    """Sum squared errors over the starts that count, for each step ahead."""
    model, encode, decode = functions

    def ahead(states, n):
        # Maps of float32 numbers stay in the precision of the states.
        states = jax.tree.map(lambda new, old: new.astype(old.dtype), jax.vmap(model)(states), states)
        truth = jax.lax.dynamic_slice_in_dim(rows, n, _LANES)
        errors = jnp.sum((jax.vmap(decode)(states) - truth) ** 2, axis=1)
        return states, jnp.sum(jnp.where(counted, errors, 0.0))

    first = jax.vmap(encode)(rows[:_LANES])
    return jax.lax.scan(ahead, first, jnp.arange(1, steps + 1))[1]


def _check_call(functions: tuple[Any, Any, Any], row: np.ndarray) -> None:
    """Call the functions once, without computing."""
    model, encode, decode = functions
    try:
        state = jax.eval_shape(encode, row)
        # A map would broadcast a state of another dimension.
        wanted = getattr(model, "num_states", None)
        if isinstance(wanted, int) and getattr(state, "shape", (wanted,)) != (wanted,):
            raise ValueError(f"it has {wanted} states, and is given {state.shape}")
        following = jax.eval_shape(model, state)
        forecast = jax.eval_shape(decode, following)
    except Exception as error:
        # Whatever a user's function raises on the first call says that it was called wrongly, or is wrong.
        reason = " ".join(str(error).split())[:300]
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"model: it fails on a row of shape {row.shape} ({type(error).__name__}: {reason}). Where states are not "
            "observed as they are, give encode and decode."
        ) from error
    shapes = [jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (state, following)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"model: it maps a state of shape {shapes[0]} to one of shape {shapes[1]}.")
    if getattr(forecast, "shape", None) != row.shape:
        raise ValueError(
            f"model: its forecast has shape {getattr(forecast, 'shape', forecast)}, and a row of the series "
            f"{row.shape}. Where states are not observed as they are, give encode and decode."
        )


def _as_it_is(state: Any) -> Any:
    return state
