"""Orbits that follow one word for ever: where they go is a question of linear algebra.

While an orbit meets the word of a cycle again and again, its distance from the cycle is multiplied by P, lap by lap. If
no multiplier is outside the unit circle, a bound on that distance, for all laps to come, says whether the orbit will
ever reach a border. Where it does not, nothing is left to simulation: the orbit comes to the cycle, however slowly, or,
with multipliers on the unit circle, to an orbit around it that is a cycle of its own or fills a curve.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from cyclax.cycles.multipliers import product_of
from cyclax.maps.affine import AffineForm

_EPS = float(np.finfo(np.float64).eps)
# Multipliers this near to the unit circle are looked at one by one: are they on it, to within rounding?
_NEAR_CIRCLE = 1e-6
# Eigenvectors closer to each other than this are those of a Jordan block, along which distances grow.
_JORDAN = 1e6
# So near to 1 a multiplier is 1, and so near those of a Jordan block, which rounding tears apart; a smaller share of
# the states than this, added in a lap, may be rounding.
_AT_ONE, _OF_A_BLOCK, _ADDED = 1e-9, 1e-6, 1e-9
# A swing below this share of the size of states is none, and one that comes back to within it is a cycle.
_SWING = 1e-11
# Doublings of the number of laps summed in the norm of a cycle: rounding lets none be slower than 2^60 laps.
_DOUBLINGS = 60
# A bound on the distance must be smaller than the way to the border by this share: rounding in both.
_ROOM = 1 - 1e-9
# Matrices that are laid out for single rows at once; and how many each row takes, beside the jumps of its Jacobians.
_ROWS_BYTES, _MATRICES = 2**27, 12


class Followed(NamedTuple):
    """What is known of n orbits, each on a word of k steps."""

    held: np.ndarray  # (n,) the orbit follows its word for ever, and what stands below is so
    radius: np.ndarray  # (n,) the largest |multiplier| of the word; nan where the states or their products overflow
    family: np.ndarray  # (n,) 1 is among the multipliers: the cycle is one of many
    period: np.ndarray  # (n,) of the points that the orbit comes to; 0 where they do not repeat
    loops: np.ndarray  # (n,) where they do not: the curves, or tori, that are visited in turn
    rotation: np.ndarray  # (n,) turns around the curve per step, in (0, 1/2 loops]; nan where it is no curve
    # (n,) not held, but follows its word for ever and drifts to infinity, as far as rounding tells: by what so many
    # laps (1 or 2) add each time; else 0
    leaves: np.ndarray


def followed(bounds: AffineForm, words: np.ndarray, states: np.ndarray, longest: int, owner=None) -> Followed:
    """Say of orbits at states `(n, M)`, whose next k steps meet words `(n, k, G)`, whether they go on so for ever.

    **Arguments:** `longest`: the longest period that is looked for; `owner (n,)`: with it, `bounds` is a stack, and row
    i is one of entry `owner[i]` of it.
    """
    matrices = _MATRICES + (bounds.jumps.shape[1] if owner is not None else 0)
    at_once = max(1, _ROWS_BYTES // (8 * matrices * states.shape[1] ** 2))
    parts = [
        _Orbits(bounds, words[some], states[some], None if owner is None else owner[some]).run(longest)
        for begin in range(0, max(1, len(words)), at_once)
        for some in [slice(begin, begin + at_once)]
    ]
    return Followed(*map(np.concatenate, zip(*parts, strict=True)))


def _drift(bounds: AffineForm, word: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    """Give what each further lap of a word `(k, G)` adds to a state `(M,)` in the long run; nothing where that is 0.

    Where a multiplier is 1, z = P z + q may have no solution: then the part d of P z + q - z that belongs to it is
    added lap by lap; or, along a Jordan block, d and (P - I) d, and so on, each more often than the one before.
    """
    product, end, size = np.eye(len(state)), state, np.abs(state)
    for jacobian, gates in zip(bounds.jacobians(word), word, strict=True):
        product, size = jacobian @ product, np.maximum(size, np.abs(jacobian) @ np.abs(end))
        end = bounds.step(end, gates)
        size = np.maximum(size, np.abs(end))
    size = np.where((size > 0) & np.isfinite(size), size, 1)  # each coordinate in its own units
    scaled = product * size / size[:, None]
    if not np.all(np.isfinite(scaled)):
        return []
    values = np.linalg.eigvals(scaled)
    near = _AT_ONE if np.sum(np.abs(values - 1) < _OF_A_BLOCK) < 2 else _OF_A_BLOCK
    part, bound = _at_one(scaled, near)
    added, found = part @ ((end - state) / size), []
    for _ in range(len(state)):
        if not np.max(np.abs(added)) > max(_ADDED, 64 * _EPS * bound):
            return found
        found.append(size * added)
        added = part @ (scaled @ added - added)
    return found if not np.max(np.abs(added)) > 64 * _EPS * bound else []


def _at_one(product: np.ndarray, near: float) -> tuple[np.ndarray, float]:
    """Give the projection on the parts of a product `(M, M)` whose multipliers are so near to 1, and its norm."""
    found: Any = scipy.linalg.schur(product, sort=lambda re, im: abs(complex(re, im) - 1) < near)
    upper, basis, number = found
    if number == 0:
        return np.zeros_like(product), 1.0
    first, second = upper[:number, :number], upper[number:, number:]
    beside = scipy.linalg.solve_sylvester(first, -second, upper[:number, number:])
    part = basis[:, :number] @ (basis[:, :number].T + beside @ basis[:, number:].T)
    return part, float(np.linalg.norm(part))


def multiplicity_of_one(bounds: AffineForm, word: np.ndarray) -> int:
    """Count the multipliers of a word `(k, G)` that are 1, to what rounding leaves of those of a Jordan block."""
    values = np.linalg.eigvals(product_of(bounds.jacobians(word)))
    return int(np.sum(np.abs(values - 1) < _OF_A_BLOCK))


def _clear(bounds: AffineForm, word: np.ndarray, added: np.ndarray) -> bool:
    """Whether an orbit of a word comes nearer to no border while `added (M,)` is added to it again and again."""
    for jacobian, gates in zip(bounds.jacobians(word), word, strict=True):
        rates, terms = bounds.gradients @ added, np.abs(bounds.gradients) @ np.abs(added)
        if np.any((np.where(gates, rates, -rates) < -_ADDED * terms) & bounds.effective):
            return False
        added = jacobian @ added
    return True


class _Orbits:
    """Some rows of one call of `followed`."""

    def __init__(self, bounds: AffineForm, words: np.ndarray, states: np.ndarray, owner):
        rows = slice(None) if owner is not None else None
        self.words, self.states = words, states
        # With one model, its arrays are shared: a first axis of length 1.
        self.bounds = bounds.take(owner if rows is not None else None)

    def run(self, longest: int) -> Followed:
        number, order, _ = self.words.shape
        with np.errstate(all="ignore"):
            product, back, size = self._lap()
            # In units of the states themselves, whatever theirs are.
            scaled = product * (size[:, None, :] / size[:, :, None])
            usable = np.all(np.isfinite(scaled), axis=(1, 2)) & np.all(np.isfinite(back), axis=1)
            scaled[~usable] = 0
            first, which = _distinct(scaled)
            values = np.linalg.eigvals(scaled[first])[which]
            moduli = np.abs(values)
            away = self._away(scaled, np.where(usable[:, None], (self.states - back) / size, 0), values)
            swings: dict[int, _Swing] = {}
            held = usable & np.all(moduli < 1 + _NEAR_CIRCLE, axis=1)
            blocks = np.zeros(number, int)
            still = away.copy()  # what is left of the distance, and is multiplied by `scaled`
            shrinking = np.broadcast_to(np.eye(size.shape[1]), scaled.shape).copy()  # the part of a distance that does
            for i in np.flatnonzero(held & np.any(moduli > 1 - _NEAR_CIRCLE, axis=1)).tolist():
                parted = _parted(scaled[i], away[i], order)
                held[i] = parted is not None
                if parted is None:  # a Jordan block, at +1 or at -1
                    several = (laps for laps in (1, 2) if np.sum(np.abs(values[i] ** laps - 1) < _OF_A_BLOCK) > 1)
                    blocks[i] = next(several, 0)
                if parted is not None:
                    turning, still[i], swings[i], fixed = parted
                    shrinking[i] -= turning
                    scaled[i] -= scaled[i] @ turning
                    away[i] -= fixed  # along a family of solutions the orbit stays where it is: begin at that one
            held &= self._inside(self.states - size * away, size, scaled, still, shrinking, swings, longest)
        period, loops, rotation = np.where(held, order, 0), np.zeros(number, int), np.full(number, np.nan)
        family, leaves = np.zeros(number, bool), np.zeros(number, int)
        for i, swing in swings.items():
            family[i] = np.any(np.abs(swing.values - 1) < _AT_ONE)
            if held[i]:
                period[i], loops[i], rotation[i] = swing.facts(order, longest)
        for i in np.flatnonzero((held & family) | (blocks > 0)):
            bounds = AffineForm(*(part[i % len(part)] for part in self.bounds))
            laps = max(1, int(blocks[i]))
            word = np.tile(self.words[i], (laps, 1))
            if added := _drift(bounds, word, self.states[i]):
                held[i], leaves[i] = False, laps * all(_clear(bounds, word, one) for one in added)
        radius = np.where(usable, np.max(moduli, axis=1), np.nan)
        return Followed(held, radius, family, period, loops, rotation, leaves)

    def _away(self, product, moved, values) -> np.ndarray:
        """Give the distance of the states from the nearest solution of their words."""
        away, system = np.zeros_like(moved), np.eye(moved.shape[1]) - product
        many = np.any(np.abs(values - 1) < _NEAR_CIRCLE, axis=1)
        try:
            away[~many] = np.linalg.solve(system[~many], moved[~many][..., None])[..., 0]
        except np.linalg.LinAlgError:  # rounding in the multipliers hides that one of them is 1
            many[:] = True
        if np.any(many):  # least squares, which leave it where it is along a family of solutions
            inverse = np.linalg.pinv(system[many], rcond=4 * self.words.shape[1] * moved.shape[1] * _EPS)
            away[many] = (inverse @ moved[many][..., None])[..., 0]
        return away

    def _jacobians(self, t: int) -> np.ndarray:
        gates = self.words[:, t].astype(float)
        if len(self.bounds.jumps) == 1:
            return self.bounds.closed + np.tensordot(gates, self.bounds.jumps[0], axes=1)
        return self.bounds.closed + np.einsum("ng,ngij->nij", gates, self.bounds.jumps)

    def _shifts(self, t: int) -> np.ndarray:
        return self.bounds.shift + np.einsum("ng,ngi->ni", self.words[:, t], self.bounds.shift_jumps)

    def _lap(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give P `(n, M, M)`, the states after one lap, and the size of each coordinate along it."""
        state, size = self.states, np.abs(self.states)
        product = np.broadcast_to(np.eye(state.shape[1]), (len(state), state.shape[1], state.shape[1]))
        for t in range(self.words.shape[1]):
            jacobians, shifts = self._jacobians(t), self._shifts(t)
            size = np.maximum(size, (np.abs(jacobians) @ np.abs(state)[..., None])[..., 0] + np.abs(shifts))
            product, state = jacobians @ product, (jacobians @ state[..., None])[..., 0] + shifts
        # What has all but vanished beside the others has no units of its own. Powers of two are scaled by exactly, and
        # orbits near one cycle have one scaled product.
        size = np.maximum(size, _EPS * np.max(np.where(np.isfinite(size), size, 0), axis=1, keepdims=True))
        return product, state, np.where((size > 0) & np.isfinite(size), 2.0 ** np.ceil(np.log2(size)), 1)

    def _inside(self, center, size, rest, still, shrinking, swings, longest: int) -> np.ndarray:
        """Whether orbits around cycles through `center (n, M)` never reach a border.

        What is left, `still`, is multiplied by `rest` in every lap, and shrinks in the norm of X, the sum of
        rest'^l rest^l over all laps l, without leaving the range of the projection `shrinking`; a swing goes around for
        ever, on an ellipse, or from place to place where it comes back.
        """
        first, which = _distinct(rest)
        norm, power = np.broadcast_to(np.eye(rest.shape[1]), rest[first].shape).copy(), rest[first]
        slow = np.arange(len(first))
        for _ in range(_DOUBLINGS):
            norm[slow] += np.swapaxes(power[slow], 1, 2) @ norm[slow] @ power[slow]
            power[slow] = power[slow] @ power[slow]
            slow = slow[np.any(np.abs(power[slow]) > _EPS, axis=(1, 2))]
            if not len(slow):
                break
        inside = np.all(np.isfinite(norm), axis=(1, 2)) & np.all(np.abs(power) < 1e-3, axis=(1, 2))
        values, vectors = np.linalg.eigh(np.where(inside[:, None, None], norm, np.eye(rest.shape[1])))
        radii = (vectors / np.sqrt(np.maximum(values, 1))[:, None, :])[which]
        norm, inside = norm[which], inside[which]
        length = np.sqrt(np.einsum("ni,nij,nj->n", still, norm, still))
        shrunk = shrinking @ radii
        stopping = {i: swing.stops(max(1, longest // self.words.shape[1])) for i, swing in swings.items()}
        around = _padded({i: s.parts for i, s in swings.items() if not stopping[i].size}, size.shape)
        stops = _padded(stopping, size.shape) * size[:, :, None]
        reaching = np.concatenate([shrunk * length[:, None, None], around], axis=2) * size[:, :, None]
        for t in range(self.words.shape[1]):
            heights = np.einsum("ngi,ni->ng", self.bounds.gradients, center) + self.bounds.offsets
            room = np.where(self.words[:, t], heights, -heights)
            reach = np.abs(self.bounds.gradients @ reaching)
            reach = np.linalg.norm(reach[:, :, : size.shape[1]], axis=2) + np.sum(reach[:, :, size.shape[1] :], axis=2)
            moved = np.where(self.words[:, t, :, None], 1, -1) * (self.bounds.gradients @ stops)
            reach -= np.min(moved, axis=2, initial=0)
            inside &= np.all((reach < _ROOM * room) | ~self.bounds.effective, axis=1)
            jacobians = self._jacobians(t)
            center, reaching = (jacobians @ center[..., None])[..., 0] + self._shifts(t), jacobians @ reaching
            stops = jacobians @ stops
        return inside


def _distinct(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct ones of n matrices: the first of each, and which one each is `(n,)`."""
    known: dict[bytes, int] = {}
    which = np.array([known.setdefault(matrix.tobytes(), len(known)) for matrix in matrices], int)
    return np.unique(which, return_index=True)[1], which


def _padded(parts: dict[int, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Give arrays `(n, M, m)` of this shape `(n, M)` with the matrices of some rows, and zeros elsewhere."""
    found = np.zeros(
        (*shape, max((part.shape[1] for part in parts.values()), default=0)), np.result_type(float, *parts.values())
    )
    for i, part in parts.items():
        found[i, :, : part.shape[1]] = part
    return found


class _Swing(NamedTuple):
    """What goes around for ever: `parts (M, m)`, each multiplied by its `values (m,)` in every lap."""

    parts: np.ndarray
    values: np.ndarray

    def facts(self, order: int, longest: int) -> tuple[int, int, float]:
        """Give the period of the points, or 0; the number of curves; the rotation number per step, or nan."""
        moving = np.max(np.abs(self.parts), axis=0, initial=0.0) > _SWING
        parts, values = self.parts[:, moving], self.values[moving]
        back = [self._comes_back(parts[:, [j]], values[[j]], max(1, longest // order)) for j in range(len(values))]
        laps = math.lcm(*(laps for laps in back if laps))
        if all(back):
            return order * laps, 0, np.nan
        angles = np.angle(values[[not laps for laps in back]]) / (2 * np.pi)
        around = np.abs((laps * angles + 0.5) % 1 - 0.5)
        one = np.ptp(around) < 1e-9
        return 0, order * laps, float(around[0]) / (order * laps) if one else np.nan

    def stops(self, most: int) -> np.ndarray:
        """Give the places `(M, laps)` of a swing that comes back to within rounding in at most so many laps."""
        laps = np.arange(1, most + 1)
        moving = np.max(np.abs(self.parts), axis=0, initial=0.0) > 0
        apart = np.max(np.abs(self.values[moving] ** laps[:, None] - 1), axis=1, initial=0.0)
        back = np.flatnonzero(apart <= 64 * laps * len(self.parts) * _EPS)
        if not np.any(moving) or not len(back):
            return np.zeros((len(self.parts), 0))
        return np.real(self.parts @ self.values[:, None] ** np.arange(1 + int(back[0])))

    @staticmethod
    def _comes_back(parts: np.ndarray, values: np.ndarray, most: int) -> int:
        """Give the number of laps after which some parts come back to themselves, 0 if they do not."""
        laps = np.arange(1, most + 1)
        apart = np.max(np.abs(parts), axis=0) * np.abs(values ** laps[:, None] - 1)
        close = np.flatnonzero(np.max(apart, axis=1) < _SWING)
        return int(laps[close[0]]) if len(close) else 0


def _parted(product: np.ndarray, away: np.ndarray, order: int):
    """Part a distance `away (M,)` into what multipliers on the unit circle turn, and what shrinks.

    **Returns:** the projection on what turns; the distance without that; the `_Swing`; and what multipliers of 1 leave
    where it is. None where a multiplier is outside of the circle, or distances grow along a Jordan block.
    """
    values, right = np.linalg.eig(product)
    others, left = np.linalg.eig(product.T)
    near, also = (np.abs(np.abs(some) - 1) < _NEAR_CIRCLE for some in (values, others))
    if np.sum(near) != np.sum(also):
        return None
    values, right, left = values[near], right[:, near], left[:, also].T
    try:
        dual = np.linalg.solve(left @ right, left)
    except np.linalg.LinAlgError:
        return None
    if not np.max(np.linalg.norm(dual, axis=1)) < _JORDAN:  # they are of length 1 where the eigenvectors are orthogonal
        return None
    # How far rounding may have moved each of these multipliers.
    unit = 16 * (order + len(product)) * _EPS * np.linalg.norm(dual, axis=1) * max(1.0, np.linalg.norm(product))
    if np.any(np.abs(values) > 1 + unit):
        return None
    on = np.abs(values) > 1 - unit
    values, parts, dual = values[on] / np.abs(values[on]), right[:, on] * (dual[on] @ away), dual[on]
    one = np.abs(values - 1) <= unit[on]
    values = np.where(one, 1, values)
    turning = np.real(right[:, on] @ dual)
    fixed = np.real(np.sum(parts[:, one], axis=1))
    still = away - np.real(np.sum(parts, axis=1))
    return turning, still, _Swing(np.where(one, 0, parts), values), fixed
