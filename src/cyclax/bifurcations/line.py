"""Paths of models: straight lines in the space of weights, which are known exactly at every place."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flint
import jax
import numpy as np

from cyclax.cycles.forms import filled, to_form

# The path of many pairs of models: numbers of pairs `(n,)` and places `(n,)` -> a map whose leaves are n stacked.
Path = Callable[[np.ndarray, np.ndarray], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """The straight lines from n models to n others.

    **Arguments:** `first`, `last`: maps whose leaves are n stacked.
    """

    first: Any
    last: Any

    def __call__(self, pairs: np.ndarray, places: np.ndarray) -> Any:
        """Give the models at places, as one map with stacked leaves: each weight rounded."""

        def between(first, last):
            a, b = np.asarray(first, float)[pairs], np.asarray(last, float)[pairs]
            s = places.reshape(-1, *[1] * (a.ndim - 1))
            # What is the same at both ends is so between them, whatever rounding says.
            return np.where(a == b, a, (1 - s) * a + s * b)

        return jax.tree.map(between, self.first, self.last)

    def weights(self, pair: int, place: float) -> list[np.ndarray]:
        """Give the leaves of one model exactly: arrays of forms."""
        s = flint.fmpq(*float(place).as_integer_ratio())

        def between(first, last):
            a, b = np.asarray(first, float)[pair], np.asarray(last, float)[pair]
            ends = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
            rational = ((flint.fmpq(*x.as_integer_ratio()), flint.fmpq(*y.as_integer_ratio())) for x, y in ends)
            return filled((to_form((1 - s) * x + s * y) for x, y in rational), a.shape)

        leaves = zip(jax.tree.leaves(self.first), jax.tree.leaves(self.last), strict=True)
        return [between(*both) for both in leaves]
