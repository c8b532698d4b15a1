"""Words held along a path of models: what they fix there, and where that ceases to be a cycle or changes stability.

With its gates held, a word fixes the solution of z = P z + q, a smooth function of the place s along the path. Its
*test functions* are the signed preactivations of all its points, det(I - P) and det(I + P); all are positive (in the
sense that held at the beginning) as long as nothing happens.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cyclax.bifurcations.digits import jacobian_of, product_in_balls, solved
from cyclax.bifurcations.line import Line, Path
from cyclax.cycles.multipliers import composed_multipliers, multipliers_of, sound_multipliers
from cyclax.cycles.solve import BlockCyclic
from cyclax.maps.affine import AffineForm, affine_forms, in_chunks, pieces

# Above this size of partial products the points are solved for step by step, without the product.
_LARGEST_PRODUCT = 1e2
# Above this size the product has lost the digits on which the signs of det(I - P) and det(I + P) depend.
_SOUND_PRODUCT = 1e9
# Of determinants beyond this only the sign matters.
_MOST = 1e100
# What gates add up to has lost digits that matter where it is smaller than this beside its terms.
LOST = 1e-3
# Memory for what is computed of words at once.
_BYTES = 2**27
# A coordinate is as large, for all that its rounding matters, as this share of the terms that it is the sum of.
_IN_TERMS = 2.0**-6
# Brackets are closed down to this share of the segment, which is its resolution near s = 1.
_NARROW = 2.0**-52
# Near s = 0 there are more numbers, down to this.
_NARROWEST = 2.0**-150


@dataclasses.dataclass(frozen=True, eq=False)
class Paths:
    """The paths of many pairs.

    **Arguments:** `models`: gives the models at places of them; `matter` `(N, G)`: the gates that matter on each;
    `fine` `(N,)`: where words are solved in more digits, since float64 has been seen to have too few.
    """

    models: Path
    matter: np.ndarray
    fine: np.ndarray


class Branch(NamedTuple):
    """What n words of order k fix, each at its place; every array has the words on its first axis.

    - `points` `(n, k, M)`; `jacobians` `(n, k, M, M)`; `product` `(n, M, M)`: P; `offset` `(n, M)`: q.
    - `heights` `(n, k, G)`: preactivations, positive where the gate of the word is met; inf where none matters;
      `sizes`: of the terms that they are the sums of, the largest along the cycle.
    - `minus`, `plus` `(n,)`: det(I - P), det(I + P); `largest`: the largest entry of J_0, J_1 J_0, .., P.
    - `exact` `(n,)`: what was solved in more digits; else None.
    - `bounds`: the `AffineForm` of each model; `models`: these, as one map with stacked leaves.
    """

    points: np.ndarray
    heights: np.ndarray
    sizes: np.ndarray
    jacobians: np.ndarray
    product: np.ndarray
    offset: np.ndarray
    minus: np.ndarray
    plus: np.ndarray
    largest: np.ndarray
    exact: np.ndarray
    bounds: AffineForm
    models: Any

    def multipliers(self) -> np.ndarray:
        """Eigenvalues of P, `(n, M)`."""
        values = multipliers_of(self.jacobians, self.product)
        for row in np.flatnonzero(self.fine):
            values[row] = sound_multipliers(self.jacobians[row], values[row], lambda _, row=row: self.exact[row].exact)
        return values

    def multipliers_of(self, row: int, word: np.ndarray, jacobians: np.ndarray) -> np.ndarray:
        """Give the multipliers `(M,)` of another word `(k, G)`, with these `jacobians`, where `row` was solved."""
        digits, values = self.exact[row], composed_multipliers(jacobians)
        if digits is None:
            return values
        return sound_multipliers(jacobians, values, lambda bits: product_in_balls(digits.pieces, word, bits))

    @property
    def fine(self) -> np.ndarray:
        """Which words were solved in more digits, `(n,)`."""
        return np.array([one is not None for one in self.exact], bool)

    def jacobian(self, row: int, gates: np.ndarray) -> np.ndarray:
        """Give the Jacobian `(M, M)` of the held map for gates `(G,)` where word `row` was solved."""
        gradients, offsets = self.bounds.gradients[row], self.bounds.offsets[row]
        gates = np.where(np.any(gradients != 0, axis=1), gates, offsets > 0)
        if self.exact[row] is not None:
            return jacobian_of(self.exact[row].pieces, gates)
        return in_chunks(pieces, jax.tree.map(lambda leaf: leaf[row], self.models), gates[None])[0][0]

    def tests(self, minus_sign: np.ndarray, plus_sign: np.ndarray) -> np.ndarray:
        """Test functions `(n, k G + 2)`: the heights in the order of steps and gates, det(I - P), det(I + P).

        The heights are multiplied by det(I - P): that takes the pole away which they have where it vanishes.
        """
        minus = self.minus * minus_sign
        heights = np.where(np.isinf(self.heights), np.nan, self.heights).reshape(len(minus), -1)
        tests = np.concatenate([heights * minus[:, None], minus[:, None], (self.plus * plus_sign)[:, None]], axis=1)
        return np.where(np.isnan(tests), 1.0, tests)


def held(paths: Paths, pairs: np.ndarray, places: np.ndarray, words: np.ndarray) -> Branch:
    """Solve words `(n, k, G)` for models at places `(n,)` of the paths of pairs `(n,)`.

    Must be called under `numerics()`. Never raises on numbers: what cannot be solved is nan.
    """
    number, order, num_gates = words.shape
    first = paths.models(pairs[:1], places[:1])
    num_states = jax.tree.map(lambda leaf: np.asarray(leaf)[0], first).num_states
    each = 8 * num_states**2 * (4 * num_gates + 3 * order + 8)
    rows = max(1, _BYTES // each)
    parts = [
        _held(paths, pairs[i : i + rows], places[i : i + rows], words[i : i + rows], num_states)
        for i in range(0, number, rows)
    ]
    if len(parts) == 1:
        return parts[0]
    bounds = AffineForm(*(np.concatenate(some) for some in zip(*(part.bounds for part in parts), strict=True)))
    models = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part.models for part in parts))
    columns = zip(*(part[:-2] for part in parts), strict=True)
    return Branch(*map(np.concatenate, columns), bounds, models)  # pyright: ignore[reportCallIssue]


def held_in(models: Callable[[np.ndarray], Any], number: int, matter: np.ndarray, word: np.ndarray) -> Branch:
    """Solve one word `(k, G)` in so many models, of which `models` gives those of some numbers, stacked.

    `matter` `(G,)`: the gates that matter. Must be called under `numerics()`.
    """
    paths = Paths(lambda pairs, _: models(pairs), np.tile(matter, (number, 1)), np.zeros(number, bool))
    return held(paths, np.arange(number), np.zeros(number), np.tile(word, (number, 1, 1)))


def _held(paths: Paths, pairs, places, words, num_states: int) -> Branch:
    number, order, _ = words.shape
    models = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), paths.models(pairs, places))
    bounds = affine_forms(models, number, num_states)
    bounds = bounds._replace(effective=paths.matter[pairs] & np.any(bounds.gradients != 0, axis=2))
    constant = np.all(bounds.gradients == 0, axis=2)
    # A gate without gradient is open or closed everywhere, whatever the word says.
    gates = np.where(constant[:, None], bounds.offsets[:, None] > 0, words).astype(float)
    with np.errstate(all="ignore"):
        jacobians, offsets = _steps(models, bounds, gates)
        product, offset = jacobians[:, 0], offsets[:, 0]
        largest = np.max(np.abs(product), axis=(1, 2))
        for t in range(1, order):
            offset = (jacobians[:, t] @ offset[..., None])[..., 0] + offsets[:, t]
            product = jacobians[:, t] @ product
            largest = np.maximum(largest, np.max(np.abs(product), axis=(1, 2)))
        identity = np.eye(num_states)
        minus, plus = np.linalg.det(identity - product), np.linalg.det(identity + product)
        _mend_signs(jacobians, product, largest, minus, plus)
        points = _points(jacobians, offsets, identity - product, offset, largest)
        heights = points @ np.swapaxes(bounds.gradients, 1, 2) + bounds.offsets[:, None]
        in_terms = _IN_TERMS * _terms(identity - product, product, offset, points[:, 0])
        exact = np.full(number, None, object)
        for row in np.flatnonzero(paths.fine[pairs]):
            model = jax.tree.map(lambda leaf, row=row: leaf[row], models)
            weights = paths.models.weights(pairs[row], places[row]) if isinstance(paths.models, Line) else None
            digits = solved(model, gates[row] > 0, float(np.max(np.abs(jacobians[row]))), weights)
            if digits is not None:
                points[row], heights[row], jacobians[row], product[row] = digits[:4]
                offset[row], minus[row], plus[row] = digits[4:7]
                exact[row] = digits
        # Of the largest point: rounding in it is handed on to those that happen to lie near 0. So is that in P and q.
        reach = np.fmax(np.max(np.abs(points), axis=1), in_terms)[:, None]
        reach = np.broadcast_to(reach, points.shape)
        sizes = reach @ np.abs(np.swapaxes(bounds.gradients, 1, 2)) + np.abs(bounds.offsets)[:, None]
        heights = np.where(bounds.effective[:, None], np.where(words, heights, -heights), np.inf)
        minus, plus = (np.clip(some, -_MOST, _MOST) for some in (minus, plus))
    return Branch(points, heights, sizes, jacobians, product, offset, minus, plus, largest, exact, bounds, models)


def _steps(models, bounds: AffineForm, gates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the held maps of words `(n, k, G)`: Jacobians `(n, k, M, M)` and images of 0 `(n, k, M)`.

    They are what gates add up to, but for words whose terms cancel: these are asked of the models themselves.
    """
    order = gates.shape[1]
    closed = np.concatenate([bounds.closed, bounds.shift[..., None]], axis=2)[:, None]
    jumps = np.concatenate([bounds.jumps, bounds.shift_jumps[..., None]], axis=3).reshape(*bounds.offsets.shape, -1)
    shape = len(gates), order, *closed.shape[2:]
    steps, terms = closed + (gates @ jumps).reshape(shape), np.abs(closed) + (gates @ np.abs(jumps)).reshape(shape)
    lost = np.flatnonzero(np.any(np.abs(steps) < LOST * terms, axis=(1, 2, 3)))
    if len(lost):
        words = gates[lost].astype(bool).reshape(-1, gates.shape[2])
        jacobians, shifts = in_chunks(pieces, models, words, np.repeat(lost, order))
        steps[lost] = np.concatenate([jacobians, shifts[..., None]], axis=2).reshape(-1, *steps.shape[1:])
    return steps[..., :-1], steps[..., -1]


def _mend_signs(jacobians, product, largest, minus, plus) -> None:
    """Take the determinants from the multipliers where the product has lost its small digits, or left float64."""
    lost = np.flatnonzero(~(largest <= _SOUND_PRODUCT) & np.all(np.isfinite(jacobians), axis=(1, 2, 3)))
    if len(lost):
        values = multipliers_of(jacobians[lost], product[lost])
        minus[lost], plus[lost] = (_signed(1 + sign * values) for sign in (-1, 1))


def _signed(factors: np.ndarray) -> np.ndarray:
    """Multiply factors `(n, M)`, of which those that are not real are conjugate pairs, and some may be infinite."""
    negative = (np.imag(factors) == 0) & (np.real(factors) < 0)
    sizes = np.prod(np.abs(factors), axis=1)
    return np.where(np.sum(negative, axis=1) % 2, -sizes, sizes)


def _points(jacobians, offsets, system, offset, largest) -> np.ndarray:
    """The points `(n, k, M)` of each word: run from the first, or by orthogonal elimination where that expands."""
    points = np.full(offsets.shape, np.nan)
    expanding = (largest > _LARGEST_PRODUCT) & np.all(np.isfinite(jacobians), axis=(1, 2, 3))
    plain = np.flatnonzero(~expanding & (np.linalg.det(system) != 0))
    if len(plain):
        state = np.linalg.solve(system[plain], offset[plain][..., None])[..., 0]
        for t in range(offsets.shape[1]):
            points[plain, t] = state
            state = (jacobians[plain, t] @ state[..., None])[..., 0] + offsets[plain, t]
    expanding = np.flatnonzero(expanding)
    if len(expanding):
        points[expanding] = BlockCyclic(jacobians[expanding]).solve(offsets[expanding][..., None])[..., 0]
    return points


def _terms(system, product, offset, point) -> np.ndarray:
    """Bound the terms `(n, M)` of which the solutions of (I - P) z = q are sums; nan where it is singular."""
    terms = np.full(offset.shape, np.nan)
    usable = np.isfinite(np.linalg.det(system)) & (np.linalg.det(system) != 0)
    right = (np.abs(product[usable]) @ np.abs(point[usable])[..., None])[..., 0] + np.abs(offset[usable])
    terms[usable] = (np.abs(np.linalg.inv(system[usable])) @ right[..., None])[..., 0]
    return terms


def narrowed(
    test: Callable, low: np.ndarray, high: np.ndarray, at_low: np.ndarray, at_high: np.ndarray, fine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Close in on sign changes of n functions, positive at `low (n,)` and not at `high (n,)` (whichever is larger).

    Interpolation, truncated and projected so that it is never slower than bisection (Oliveira and Takahashi 2021, "An
    enhancement of the bisection method average performance preserving minmax optimality").

    **Arguments:** `test(rows, places)` gives the values `(m, T)` of the test functions of some rows there (the smallest
    of them counts); `at_low`, `at_high`: their values `(n, T)` at both ends; `fine (n,)`: where these are known so well
    that brackets are closed as far as there are numbers.

    **Returns:** `low`, `high` (neighboring places: all are positive at the one, and not at the other), and the number
    `(n,)` of the test that is smallest at `high`.
    """
    low, high = low.astype(float), high.astype(float)
    with np.errstate(all="ignore"):
        scale = np.abs(at_low) + np.abs(at_high)
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        value_low, value_high = np.min(at_low / scale, axis=1), np.min(at_high / scale, axis=1)
        column = np.argmin(at_high / scale, axis=1)
        width = np.abs(high - low)
        least = np.where(fine, _NARROWEST, _NARROW)
        halvings = np.ceil(np.log2(np.maximum(width / least, 1.0)))
        for turn in range(int(np.max(halvings, initial=0)) + 2):
            rows = np.flatnonzero(np.abs(high - low) > np.clip(np.abs(low) * _NARROW, least, _NARROW))
            if not len(rows):
                break
            a, b = low[rows], high[rows]
            middle = (a + b) / 2
            way = np.where(b > a, 1.0, -1.0)
            guess = a + (b - a) * value_low[rows] / (value_low[rows] - value_high[rows])
            guess = np.where(np.isfinite(guess), guess, middle)
            toward = np.sign(middle - guess)
            step = 0.2 / width[rows] * (b - a) ** 2
            near = np.where(step <= np.abs(middle - guess), guess + toward * step, middle)
            room = np.maximum(least[rows] / 2 * 2.0 ** (halvings[rows] + 1 - turn) - np.abs(b - a) / 2, 0)
            place = np.where(np.abs(near - middle) <= room, near, middle - toward * room)
            # Never on an end: a place between them, or the middle.
            place = np.where((place - a) * way > 0, np.where((b - place) * way > 0, place, middle), middle)
            values = test(rows, place) / scale[rows]
            smallest = np.min(values, axis=1)
            positive = smallest > 0  # not so for nan
            low[rows], high[rows] = np.where(positive, place, a), np.where(positive, b, place)
            value_low[rows] = np.where(positive, smallest, value_low[rows])
            value_high[rows] = np.where(positive, value_high[rows], smallest)
            column[rows] = np.where(positive, column[rows], np.argmin(values, axis=1))
    return low, high, column
