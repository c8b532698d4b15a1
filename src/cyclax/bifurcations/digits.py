"""Held words in more digits: where large terms cancel, float64 has too few to tell what happens to a word.

The weights of the model at a place are taken as exact numbers, and what a word fixes there is solved in balls.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flint
import numpy as np

from cyclax.core.balls import working_precision
from cyclax.cycles.forms import UnsupportedError
from cyclax.cycles.pieces import Pieces
from cyclax.maps.base import AbstractPiecewiseLinearMap

_HUGE = float(np.finfo(np.float64).max)
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
    pieces: Pieces


def solved(
    model: AbstractPiecewiseLinearMap, word: np.ndarray, largest: float, weights: Sequence[np.ndarray] | None = None
) -> Solved | None:
    """Solve a word `(k, G)` of a model; None where it is too large, or the code of the model cannot be followed.

    **Arguments:** `largest`: of the entries of the Jacobians, which may be beyond float64; `weights`: the leaves of the
    model as arrays of forms, where these are no float64 numbers.
    """
    order, size = len(word), model.num_states
    if order * size**3 > _LARGEST:
        return None
    word = np.ascontiguousarray(word, bool)
    try:
        with working_precision(_BITS):
            pieces = Pieces(model, weights=weights)
            power = np.log2(max(largest, 1.0)) if np.isfinite(largest) else _power(pieces, word)
        bits = _BITS + 2 * order * int(power + np.log2(max(size, 1)))
        with working_precision(bits):
            return _solved(pieces, word, bits)
    except UnsupportedError:
        return None


def _solved(pieces: Pieces, word: np.ndarray, bits: int) -> Solved:
    order, size = len(word), pieces.num_states
    lap = pieces.lap(word, bits)
    points, heights = np.full((order, size), np.nan), np.full(word.shape, np.nan)
    try:
        state = lap.solution()
    except ZeroDivisionError:
        state = None
    for t, step in enumerate(lap.matrices if state is not None else ()):
        points[t] = _numbers(state)[1:]
        if word.shape[1]:  # of those beyond float64 the sign is kept
            heights[t] = np.clip(_numbers(pieces.planes_matrix(bits) * state), -_HUGE, _HUGE)
        state = step * state
    identity = flint.arb_mat(np.eye(size).tolist())
    minus, plus = (_number((identity + lap.product * sign).det()) for sign in (-1, 1))
    jacobians = np.stack([_numbers(step).reshape(size + 1, size + 1)[1:, 1:] for step in lap.matrices])
    total = _numbers(lap.total).reshape(size + 1, size + 1)
    return Solved(points, heights, jacobians, total[1:, 1:], total[1:, 0], minus, plus, lap.product, pieces)


def jacobian_of(pieces: Pieces, gates: np.ndarray) -> np.ndarray:
    """Give the Jacobian `(M, M)` of a piece, each entry rounded once."""
    with working_precision(_BITS):
        size = pieces.num_states + 1
        return _numbers(pieces.matrix(np.ascontiguousarray(gates, bool), _BITS)).reshape(size, size)[1:, 1:]


def product_in_balls(pieces: Pieces, word: np.ndarray, bits: int) -> Any:
    """Give P of a word `(k, G)`."""
    return pieces.lap(np.ascontiguousarray(word, bool), bits).product


def _power(pieces: Pieces, word: np.ndarray) -> int:
    """Give the binary logarithm of the largest entry of the pieces of a word, rounded up."""
    entries = [value.abs_upper().man_exp() for gates in word for value in pieces.matrix(gates, _BITS).entries()]
    return max((man.bit_length() + int(exp) for man, exp in entries if man), default=0)


def _numbers(values: Any) -> np.ndarray:
    return np.array([_number(value) for value in values.entries()])


def _number(value: Any) -> float:
    return 0.0 if value.contains(0) else float(value.mid())
