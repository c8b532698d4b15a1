"""A sequence of models of one shape, joined by straight lines: what a grid is to a scan, for models in training."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from cyclax.core.identity import fingerprint
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import stacked_models


class Line:
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
        self.usable: Bool[np.ndarray, " n"] = np.logical_and.reduce(finite)
        if not np.any(self.usable):
            raise ValueError("models: all of them hold NaN or inf; did the training diverge at once?")
        self.shape, self.names, self.labels = (self.size,), ("model",), ("model",)
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
