"""Grids of the values that parameters take, and other families of models whose cells have neighbors."""

import abc
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from cyclax.core.identity import fingerprint
from cyclax.core.numerics import numerics
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.parameter import Parameter, checked_parameters, moved, moved_stack
from cyclax.maps.stack import stacked_models

# Models that a function makes are looked at in stacks of so many.
_AT_ONCE = 1024
# Steps are equal where they differ by this share at most: those between rounded values are, too.
_EVEN = 1e-3


class AbstractGrid(abc.ABC):
    """A family of models of one shape, whose cells have neighbors along each axis: what scans and tracks run over.

    `model`: one of them, for shapes; `axes`: the values along each axis; `shape`, `size`: of the grid; `names`,
    `labels`: of its axes; `straight`: whether the models between two neighbors lie on the line between these.
    """

    model: AbstractPiecewiseLinearMap
    axes: tuple[np.ndarray, ...]
    shape: tuple[int, ...]
    size: int
    names: tuple[str, ...]
    labels: tuple[str, ...]
    straight: bool
    usable: Bool[np.ndarray, " n"]  # which cells have a model

    @abc.abstractmethod
    def values(self, cells: np.ndarray) -> Float[np.ndarray, "n P"]:
        """Return the place of cells `(n,)` along each axis."""

    @abc.abstractmethod
    def models(self, values: Float[np.ndarray, "n P"]) -> AbstractPiecewiseLinearMap:
        """Return a stack of the models at some places, between cells too. Must be called under `numerics()`."""

    @abc.abstractmethod
    def at(self, cell: int) -> AbstractPiecewiseLinearMap:
        """Return the model of one cell."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what tells this family from another, in plain values."""


class ParameterGrid(AbstractGrid):
    """A family of models over a grid of parameter values. Cells are numbered in C order, the last axis fastest."""

    def __init__(self, model: AbstractPiecewiseLinearMap, axes: Mapping[Any, Any]):
        if not isinstance(axes, Mapping) or not axes:
            raise TypeError("parameters: expected a dict {parameter: values}, such as {cx.Parameter('A', 0): values}.")
        self.model = model
        self.parameters = checked_parameters(model, axes)
        self.axes = tuple(_checked_values(p, values) for p, values in zip(self.parameters, axes.values(), strict=True))
        self.shape = tuple(len(values) for values in self.axes)
        self.size = math.prod(self.shape)
        self.names = tuple(parameter.name for parameter in self.parameters)
        self.labels = tuple(parameter.label for parameter in self.parameters)
        self.usable = np.ones(self.size, bool)
        self.straight = all(parameter.set is None for parameter in self.parameters)
        self._check_models()

    def values(self, cells: np.ndarray) -> Float[np.ndarray, "n P"]:
        """Give the parameter values of cells `(n,)`."""
        places = np.unravel_index(cells, self.shape)
        return np.stack([axis[i] for axis, i in zip(self.axes, places, strict=True)], axis=-1)

    def models(self, values: Float[np.ndarray, "n P"]) -> AbstractPiecewiseLinearMap:
        """Give a stack of models, one for each row of parameter values. Must be called under `numerics()`."""
        return moved_stack(self.model, self.parameters, values)

    def identity(self) -> dict[str, Any]:
        """Say what is scanned, in plain values."""
        said = {
            "model": fingerprint(self.model, "model"),
            "parameters": [repr(parameter) for parameter in self.parameters],
            "values": [values.tolist() for values in self.axes],
        }
        # A function is known by what it makes: its name says nothing.
        return said if self.straight else said | {"models made by functions": self._digest}

    def at(self, cell: int) -> AbstractPiecewiseLinearMap:
        """Give the model of one cell."""
        with numerics():
            stack = self.models(self.values(np.array([cell])))
        return jax.tree.map(lambda leaf: leaf[0], stack)

    def _check_models(self) -> None:
        with numerics():
            try:
                example = jax.eval_shape(
                    lambda m, v: moved(m, self.parameters, v), self.model, np.zeros(len(self.axes))
                )
            except Exception as error:
                raise ValueError(
                    f"parameters: a model could not be made for {', '.join(self.names)} ({error}). A function given as "
                    "set= takes (model, value), gives a model, and is written with jax.numpy."
                ) from error
        shapes = [jax.tree.map(lambda leaf: np.shape(leaf), one) for one in (example, self.model)]
        if jax.tree.structure(example) != jax.tree.structure(self.model) or shapes[0] != shapes[1]:
            raise ValueError("parameters: a function given as set= must give a model of the same class and shapes.")
        if not self.straight:
            self._digest = self._look_at_models()

    def _look_at_models(self) -> str:
        """Refuse functions that make NaN or inf of a value; give a digest of all models."""
        digest = hashlib.sha256()
        for begin in range(0, self.size, _AT_ONCE):
            cells = np.arange(begin, min(begin + _AT_ONCE, self.size))
            with numerics():
                leaves = jax.tree.leaves(self.models(self.values(cells)))
            finite = np.logical_and.reduce([np.isfinite(leaf).reshape(len(cells), -1).all(axis=1) for leaf in leaves])
            if not np.all(finite):
                row = self.values(cells[~finite])[0]
                where = ", ".join(f"{name} = {value:g}" for name, value in zip(self.names, row, strict=True))
                raise ValueError(f"parameters: the model at {where} holds NaN or inf; leave these values out.")
            for leaf in leaves:
                digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()[:16]


def geometric(values: Float[np.ndarray, " n"]) -> bool:
    """Whether values, three at least, go in geometric steps: these are drawn on a logarithmic axis."""
    if len(values) < 3 or not (np.all(values > 0) or np.all(values < 0)):
        return False
    return _even(np.log(np.abs(values))) and not _even(values)


def _even(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return bool(np.ptp(steps) <= _EVEN * np.max(np.abs(steps)))


def cell_edges(values: Float[np.ndarray, " n"], logarithmic: bool | None = None) -> Float[np.ndarray, " n+1"]:
    """Give where cells meet: halfway between values; the first and last reach as far out as in.

    **Arguments:** `logarithmic`: halfway on a logarithmic axis, at the geometric mean; by default where the values are
    in geometric steps. Values that are not all of one sign have no such mean.
    """
    logarithmic = geometric(values) if logarithmic is None else logarithmic
    if logarithmic and (np.all(values > 0) or np.all(values < 0)):
        return np.sign(values[0]) * np.exp(cell_edges(np.log(np.abs(values)), False))
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[:-1] + values[1:]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _checked_values(parameter: Parameter, values: Any) -> Float[np.ndarray, " n"]:
    values = np.asarray(values)
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise TypeError(f"{parameter.name}: expected real numbers, got an array of {values.dtype}.")
    values = values.astype(np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{parameter.name}: expected a 1-D array of values, got shape {values.shape}.")
    if not np.all(np.isfinite(values)):
        where = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise ValueError(f"{parameter.name}: value {where} is {values[where]}; a grid must be finite.")
    steps = np.diff(values)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"{parameter.name}: the values must all rise or all fall: neighbors in them are neighbors.")
    return values


class ModelSequence(AbstractGrid):
    """Models 0, 1, .. n - 1, and between i and i + 1 those on the straight line in the space of weights.

    **Arguments:** `models`: a sequence of maps of one class and shape, or one map whose leaves are stacked. Models with
    NaN or infinite weights are gaps: they stay in their place, and are not `usable`.

    **Raises:** `TypeError` and `ValueError` that say which model is of another class or shape, or that all are gaps.
    """

    def __init__(self, models: Sequence[AbstractPiecewiseLinearMap] | AbstractPiecewiseLinearMap):
        given = stacked_models(models, "models")
        self._leaves = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float64) for leaf in leaves]), *given)
        self.size = len(given)
        finite = [np.isfinite(leaf).reshape(self.size, -1).all(axis=1) for leaf in jax.tree.leaves(self._leaves)]
        self.usable = np.logical_and.reduce(finite)
        if not np.any(self.usable):
            raise ValueError("models: all of them hold NaN or inf; did the training diverge at once?")
        self.shape, self.names, self.labels, self.straight = (self.size,), ("model",), ("model",), True
        self.axes = (np.arange(self.size, dtype=float),)
        self.model = self.at(int(np.argmax(self.usable)))

    def values(self, cells: np.ndarray) -> Float[np.ndarray, "n 1"]:
        """Give the places of models `(n,)` on the line: their numbers."""
        return np.asarray(cells, float)[:, None]

    def models(self, values: Float[np.ndarray, "n 1"]) -> AbstractPiecewiseLinearMap:
        """Give a stack of the models at some places between 0 and n - 1."""
        before = np.clip(np.floor(values[:, 0]).astype(int), 0, self.size - 1)
        after, part = np.minimum(before + 1, self.size - 1), values[:, 0] - before

        def between(leaf):
            s = part.reshape(-1, *[1] * (leaf.ndim - 1))
            # At a model itself its neighbor, which may be a gap, does not matter.
            return np.where(s == 0, leaf[before], (1 - s) * leaf[before] + s * leaf[after])

        return jax.tree.map(between, self._leaves)

    def at(self, cell: int) -> AbstractPiecewiseLinearMap:
        """Give one of the models."""
        return jax.tree.map(lambda leaf: leaf[cell], self._leaves)

    def stacked(self) -> AbstractPiecewiseLinearMap:
        """Give all models, as one map with stacked leaves."""
        return self._leaves

    def identity(self) -> dict[str, Any]:
        """Say what is tracked, in plain values."""
        return {"models": fingerprint(self._leaves, "models"), "number": self.size}
