"""Held words in more digits: where large terms cancel, float64 has too few to tell what happens to a word.

The float64 weights of the model at a place are taken as exact numbers, and what a word fixes there is solved in balls.
"""

from typing import Any, NamedTuple

import flint
import numpy as np

from cyclax.core.balls import working_precision
from cyclax.cycles.forms import UnsupportedError
from cyclax.cycles.pieces import Pieces
from cyclax.maps.base import AbstractPiecewiseLinearMap

# So many bits are kept beyond those that products can cancel.
_BITS = 256
# Words of a size k M^3 up to this: some milliseconds each.
_LARGEST = 200_000


class Solved(NamedTuple):
    """What a word of order k fixes, each number rounded once; one that balls do not tell from 0 is 0."""

    points: np.ndarray  # (k, M), nan where I - P is singular
    heights: np.ndarray  # (k, G)
    jacobians: np.ndarray  # (k, M, M)
    product: np.ndarray  # (M, M) P
    offset: np.ndarray  # (M,) q
    minus: float  # det(I - P)
    plus: float  # det(I + P)
    exact: Any  # P, in balls


def solved(model: AbstractPiecewiseLinearMap, word: np.ndarray, largest: float) -> Solved | None:
    """Solve a word `(k, G)` of a model; None where it is too large, or the code of the model cannot be followed.

    **Arguments:** `largest`: of the entries of the Jacobians.
    """
    order, size = len(word), model.num_states
    if order * size**3 > _LARGEST or not np.isfinite(largest):
        return None
    bits = _BITS + 2 * order * int(np.log2(max(size * largest, 1.0)))
    with working_precision(bits):
        try:
            pieces = Pieces(model)
            lap = pieces.lap(np.ascontiguousarray(word, bool), bits)
        except UnsupportedError:
            return None
        points, heights = np.full((order, size), np.nan), np.full(word.shape, np.nan)
        try:
            state = lap.solution()
        except ZeroDivisionError:
            state = None
        for t, step in enumerate(lap.matrices if state is not None else ()):
            points[t] = _numbers(state)[1:]
            heights[t] = _numbers(pieces.planes_matrix(bits) * state) if word.shape[1] else 0.0
            state = step * state
        identity = flint.arb_mat(np.eye(size).tolist())
        minus, plus = (_number((identity + lap.product * sign).det()) for sign in (-1, 1))
        jacobians = np.stack([_numbers(step).reshape(size + 1, size + 1)[1:, 1:] for step in lap.matrices])
        total = _numbers(lap.total).reshape(size + 1, size + 1)
        return Solved(points, heights, jacobians, total[1:, 1:], total[1:, 0], minus, plus, lap.product)


def _numbers(values: Any) -> np.ndarray:
    return np.array([_number(value) for value in values.entries()])


def _number(value: Any) -> float:
    return 0.0 if value.contains(0) else float(value.mid())
