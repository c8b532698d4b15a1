"""What `fit` is given: each argument checked once, with a message that says what to do."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Float

from cyclax.core.checks import checked_key, checked_series, whole
from cyclax.core.identity import fingerprint
from cyclax.core.numerics import numerics
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.training.forcing import AbstractForcing
from cyclax.training.loop import Recipe, cast
from cyclax.training.model import LatentModel
from cyclax.training.optimizers import AbstractOptimizer, RAdam, Transformation
from cyclax.training.regularizers import AbstractRegularizer

# A column that varies by less than this share of its size is constant, up to rounding.
_CONSTANT = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Checked arguments: series in float64, one behind another, and as many models as recipes."""

    series: Float[np.ndarray, "steps N"]
    starts: np.ndarray
    models: tuple[LatentModel, ...]
    recipes: tuple[Recipe, ...]
    many: bool
    steps: int
    length: int
    batch: int
    dtype: np.dtype
    checkpoint_every: int
    keep_every: int

    def configuration(self, name: str | None) -> dict[str, Any]:
        """Say what determines the result, as JSON.

        **Arguments:** `name`: stands for what cannot be looked into.

        **Raises:** `ValueError` that names what that is, where there is no name.
        """

        first = self.recipes[0]
        weights = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model) for model in self.models]
        settings = {
            "forcing": [recipe.forcing for recipe in self.recipes],
            "optimizer": [recipe.optimizer for recipe in self.recipes],
            "regularizers": list(first.regularizers),
        }
        return {
            "name": name,
            "models": [fingerprint(model, "model", name=name) for model in weights],
            "series": fingerprint(self.series, "series"),
            "windows": fingerprint(self.starts, "series"),
            # In words, as far as they go, and all of it.
            **{what: described(one) for what, one in settings.items()},
            **{f"content of {what}": fingerprint(one, what, name=name) for what, one in settings.items()},
            "key": np.asarray(jax.random.key_data(first.key)).tolist(),
            "steps": self.steps,
            "length": self.length,
            "batch": self.batch,
            "dtype": str(self.dtype),
            "checkpoint_every": self.checkpoint_every,
            "keep_every": self.keep_every,
        }


def checked_problem(
    model: Any,
    series: Any,
    *,
    forcing: Any,
    optimizer: Any,
    regularizers: Any,
    callback: Any,
    steps: Any,
    key: Any,
    batch: Any,
    length: Any,
    dtype: Any,
    checkpoint_every: Any,
    keep_every: Any,
) -> Problem:
    """Check all arguments of `fit`.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    steps, batch, length = whole(steps, "steps"), whole(batch, "batch"), whole(length, "length")
    keep_every = whole(keep_every, "keep_every")
    checkpoint_every = max(1, steps // 20) if checkpoint_every is None else whole(checkpoint_every, "checkpoint_every")
    joined, starts = _checked_series(series, length)
    number = joined.shape[1]

    given = {"model": model, "forcing": forcing, "optimizer": optimizer}
    lists = {name: list(value) for name, value in given.items() if _is_list(value)}
    sizes = {name: len(value) for name, value in lists.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        said = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ValueError(f"lists of runs must be equally long, and not empty, got {said}.")
    runs = next(iter(sizes.values()), 1)
    each = {name: lists.get(name, [value] * runs) for name, value in given.items()}

    models = tuple(_checked_model(one, number) for one in each["model"])
    forcings = [_checked_forcing(one) for one in each["forcing"]]
    optimizers = [_checked_optimizer(one) for one in each["optimizer"]]
    _require_alike(models, "model", "maps of one class and shape")
    _require_alike(forcings, "forcing", "one class, with the same settings but for its numbers")
    _require_alike(optimizers, "optimizer", "one class, with the same settings but for its numbers")
    terms = tuple(regularizers) if isinstance(regularizers, (list, tuple)) else (regularizers,)
    for term in terms:
        if not isinstance(term, AbstractRegularizer):
            raise TypeError(f"regularizers: expected objects such as L2(1e-4), got {type(term).__name__}.")
        term.check(models[0])
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: expected a function of the number of updates and the model, got {callback!r}.")
    key = checked_key(key)
    keys = [jax.random.fold_in(key, i) for i in range(runs)] if sizes else [key]
    recipes = tuple(Recipe(f, o, terms, k) for f, o, k in zip(forcings, optimizers, keys, strict=True))
    dtype = _checked_dtype(dtype)
    if isinstance(optimizers[0], Transformation):
        with numerics(dtype == np.float64):
            optimizers[0].require_fit(cast(models[0], dtype))
    if np.max(np.abs(joined)) > np.sqrt(np.finfo(dtype).max):
        raise ValueError(
            f"series: squares of its numbers overflow in {dtype}; standardize it (cyclax.data.standardize)."
        )
    every = int(checkpoint_every), int(keep_every)
    return Problem(
        joined, starts, models, recipes, bool(sizes), int(steps), int(length), int(batch), dtype, every[0], every[1]
    )


def _checked_dtype(dtype: Any) -> np.dtype:
    # None is float64 to NumPy; here nobody has asked for that.
    with contextlib.suppress(TypeError):
        if dtype is not None and np.dtype(dtype).name in ("float32", "float64"):
            return np.dtype(dtype)
    raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}.")


def _is_list(value: Any) -> bool:
    # A GradientTransformation of optax is a tuple.
    return isinstance(value, Sequence) and not hasattr(value, "update")


def _checked_series(series: Any, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Join the series; give where windows of length + 1 rows, each from one of them, may begin."""
    several = isinstance(series, (list, tuple)) and len(series) > 0 and all(np.ndim(one) == 2 for one in series)
    named = [(f"series[{i}]", one) for i, one in enumerate(series)] if several else [("series", series)]
    checked, starts, begin = [], [], 0
    for name, one in named:
        array = checked_series(one, name)
        if len(array) < length + 1:
            raise ValueError(
                f"{name}: a window of {length} steps needs {length + 1} rows, and it has {len(array)}; give a longer "
                f"series, or length={max(1, len(array) - 1)}."
            )
        if array.shape[1] != (checked or [array])[0].shape[1]:
            raise ValueError(f"{name}: it has {array.shape[1]} columns, and series[0] {checked[0].shape[1]}.")
        checked.append(array)
        starts.append(np.arange(begin, begin + len(array) - length, dtype=np.int32))
        begin += len(array)
    joined = np.concatenate(checked)
    spread = np.ptp(joined, axis=0)
    still = np.flatnonzero(spread <= _CONSTANT * np.max(np.abs(joined), axis=0))
    if len(still):
        columns = ", ".join(map(str, still))
        raise ValueError(
            f"series: column {columns} (counted from 0) is constant; there is nothing to learn in it: leave it out."
        )
    return joined, np.concatenate(starts)


def _checked_model(model: Any, number: int) -> LatentModel:
    if isinstance(model, AbstractPiecewiseLinearMap):
        if model.num_states < number:
            raise ValueError(
                f"model: the map has {model.num_states} states, and the series {number} columns; take a larger map, or "
                "LatentModel.observing(map, Affine.random(..))."
            )
        model = LatentModel.observing(model, number)
    if not isinstance(model, LatentModel):
        raise TypeError(f"model: expected a map of cyclax or a LatentModel, got {type(model).__name__}.")
    if model.num_observed != number:
        raise ValueError(f"model: it observes {model.num_observed} variables, and the series has {number} columns.")
    for leaf in jax.tree.leaves(model):
        if not eqx.is_inexact_array_like(leaf) or not np.all(np.isfinite(leaf)):
            raise ValueError("model: all its weights must be finite numbers; draw them anew.")
    return model


def _checked_forcing(forcing: Any) -> AbstractForcing:
    if not isinstance(forcing, AbstractForcing):
        raise TypeError(
            f"forcing: expected FreeRunning(), SparseForcing(interval) or GeneralizedForcing(alpha), got {forcing!r}."
        )
    return forcing


def _checked_optimizer(optimizer: Any) -> AbstractOptimizer:
    if optimizer is None:
        return RAdam()
    if isinstance(optimizer, optax.MultiSteps):
        # Its own `gradient_transformation` says nothing of the loss, which the inner one may need.
        optimizer = optax.GradientTransformationExtraArgs(optimizer.init, optimizer.update)  # pyright: ignore
    if isinstance(optimizer, optax.GradientTransformation):
        return Transformation(optimizer)
    if not isinstance(optimizer, AbstractOptimizer):
        raise TypeError(f"optimizer: expected RAdam(..) or an optimizer of optax, got {type(optimizer).__name__}.")
    return optimizer


def _require_alike(objects: Sequence[Any], name: str, what: str) -> None:
    first = jax.tree.structure(objects[0]), [np.shape(leaf) for leaf in jax.tree.leaves(objects[0])]
    for i, other in enumerate(objects):
        if (jax.tree.structure(other), [np.shape(leaf) for leaf in jax.tree.leaves(other)]) != first:
            raise ValueError(f"{name}: runs that are trained at once need {what}; number {i} differs from number 0.")


def described(value: Any) -> Any:
    """Describe an object of this room as JSON: its class and its fields."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "update"):
        return [described(one) for one in value]
    if isinstance(value, (np.ndarray, jax.Array)):
        return np.asarray(value).tolist()
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, eqx.Module):
        content: dict[str, Any] = {"class": type(value).__name__}
        for field in dataclasses.fields(value):
            content[field.name] = described(getattr(value, field.name))
        return content
    return type(value).__name__
