"""Near misses: what is no cycle, but nearly: virtual cycles just outside their region, and ghosts.

Both tell of a bifurcation close by in the parameters. A *virtual cycle* solves the equations of a word whose gates it
does not meet: where its points reach their region, a border collision makes it real. A *ghost* is a local minimum of
|F^k(z) - z| that is not 0, as two cycles leave behind that have annihilated: orbits that come by slow down there.
"""

from collections.abc import Iterable

import numpy as np

from cyclax.cycles.cycle import Cycle, NearMiss
from cyclax.cycles.multipliers import multipliers_of
from cyclax.cycles.solve import Solutions, solve_words
from cyclax.cycles.word import WordKey, canonical_rotation, word_key
from cyclax.maps.affine import AffineForm, itineraries, state_scale
from cyclax.maps.base import AbstractPiecewiseLinearMap

# AffineForm of a cycle beyond which virtual ones are looked for.
_BORDERS = 3
# Moves from word to word around which virtual cycles are collected.
_MOVES = 8
# Descents for ghosts, and most steps of each.
_DESCENTS = 48
_STEPS = 200
# Relative size of |F^k(z) - z| below which it is 0.
_ZERO = 1e-9


def near_misses(
    model: AbstractPiecewiseLinearMap,
    bounds: AffineForm,
    nodes: np.ndarray,
    cycles: Iterable[Cycle],
    order: int,
    number: int,
) -> list[NearMiss]:
    """Give up to `number` virtual cycles and up to `number` ghosts of one order, nearest first.

    **Arguments:** `nodes (n, S, M)`: where to begin, such as starts that did not converge; `cycles`: those known whose
    order divides this one; the words across their nearest borders are tried too. Must be called under
    `numerics()`.
    """
    virtual = _virtual_cycles(model, bounds, nodes, list(cycles), order)
    ghosts = _ghosts(model, bounds, nodes[:, 0], order, state_scale(bounds))
    return [
        entry
        for kind in (virtual, ghosts)
        for entry in sorted(kind, key=lambda entry: (entry.distance, entry.points.tobytes()))[:number]
    ]


def _virtual_cycles(model, bounds: AffineForm, nodes, cycles: list[Cycle], order: int) -> list[NearMiss]:
    found: dict[WordKey, NearMiss | None] = {}
    begins = np.arange(nodes.shape[1]) * order // nodes.shape[1]
    words = [word for cycle in cycles for word in _across(bounds, cycle, order)]
    with np.errstate(all="ignore"):
        for _ in range(_MOVES):
            if len(nodes):
                words.extend(itineraries(model, nodes, order)[0])
            fresh = {}
            for word in words:
                effective = word[:, bounds.effective]
                key = word_key(effective)
                if key.order == order and key not in found:
                    fresh[key] = np.roll(word, -canonical_rotation(effective), axis=0)
            if not fresh:
                break
            solutions = solve_words(model, np.stack(list(fresh.values())), bounds)
            none = solutions.singular | solutions.met
            found.update({key: None if none[j] else _virtual(bounds, solutions, j) for j, key in enumerate(fresh)})
            nodes, words = solutions.points[~solutions.singular][:, begins], []
    return [entry for entry in found.values() if entry is not None]


def _across(bounds: AffineForm, cycle: Cycle, order: int) -> list[np.ndarray]:
    """Give the words of a cycle, run `order` steps, with the gate of one of its nearest borders switched.

    For a cycle of half the order that is the word of its partner in a flip.
    """
    distances = bounds.distances(cycle.points)
    gates, words = np.flatnonzero(bounds.effective), []
    for place in np.argsort(distances, axis=None, kind="stable")[:_BORDERS]:
        step, gate = np.unravel_index(place, distances.shape)
        word = np.tile(cycle.gates, (order // cycle.order, 1))
        word[step, gates[gate]] ^= True
        words.append(word)
    return words


def _virtual(bounds: AffineForm, solutions: Solutions, j: int) -> NearMiss:
    points, gates = solutions.points[j], solutions.gates[j]
    violated = ((points @ bounds.gradients.T + bounds.offsets > 0) != gates) & bounds.effective
    return NearMiss(
        kind="virtual",
        order=len(points),
        points=points,
        gates=gates,
        distance=float(np.max(bounds.distances(points), where=violated[:, bounds.effective], initial=0.0)),
        violated=violated,
        multipliers=solutions.multipliers[j],
    )


# -- ghosts ------------------------------------------------------------------------------------------------------------


def _ghosts(model, bounds: AffineForm, states: np.ndarray, order: int, scale: float) -> list[NearMiss]:
    if not len(states):
        return []
    with np.errstate(all="ignore"):
        speeds = np.linalg.norm(itineraries(model, states[:, None], order)[1] - states, axis=1)
        states = states[np.argsort(np.where(np.isfinite(speeds), speeds, np.inf), kind="stable")[:_DESCENTS]]
        minima = [_Descent(bounds, state, order, scale).run() for state in states]
    found: list[NearMiss] = []
    for point in minima:
        if point is None or not _is_minimum(model, point, order, scale):
            continue
        (gates,), (image,) = itineraries(model, point[None, None], order)
        points = [point]
        for held in gates[:-1]:
            points.append(bounds.step(points[-1], held))
        orbit = np.stack(points)
        known = any(
            np.allclose(np.roll(orbit, turn, axis=0), old.points, 1e-6, 1e-6 * scale)
            for old in found
            for turn in range(order)
        )
        if not known:
            jacobians = bounds.jacobians(gates)
            product = np.linalg.multi_dot([np.eye(len(point)), *jacobians[::-1]]) if order > 1 else jacobians[0]
            found.append(
                NearMiss(
                    kind="ghost",
                    order=order,
                    points=orbit,
                    gates=gates,
                    distance=float(np.linalg.norm(image - point)),
                    violated=np.zeros_like(gates),
                    multipliers=multipliers_of(jacobians[None], product[None])[0],
                )
            )
    return found


def _is_minimum(model, point: np.ndarray, order: int, scale: float) -> bool:
    """Ask the true map: no state close by comes back closer to itself."""
    tries = np.random.default_rng(0).normal(size=(64 * len(point), len(point)))
    for size in (1e-3, 1e-5):
        around = point + size * (scale + np.max(np.abs(point))) * tries / np.linalg.norm(tries, axis=1, keepdims=True)
        states = np.concatenate([point[None], around])
        here, *there = np.linalg.norm(itineraries(model, states[:, None], order)[1] - states, axis=1)
        if not np.all(np.array(there) >= here * (1 - 1e-9)):
            return False
    return True


class _Descent:
    """Minimize |F^k(z) - z|, which is the norm of an affine function in each region, down to a local minimum.

    A step goes to the minimum of the region's own function, or up to the first border. There it crosses, if it goes
    downhill on the other side too; if not, it stays on the border (an active set) until a release goes downhill.
    """

    def __init__(self, bounds: AffineForm, state: np.ndarray, order: int, scale: float):
        self.bounds, self.z, self.scale = bounds, state, scale
        gates = []
        for _ in range(order):
            gates.append(bounds.gates(state))
            state = bounds.step(state, gates[-1])
        self.word = np.stack(gates)
        self.active: list[tuple[int, int]] = []

    def run(self) -> np.ndarray | None:
        """Give the minimum, or None where it is 0 (a cycle) or none was reached."""
        far = 1e6 * (self.scale + np.max(np.abs(self.z)))
        for _ in range(_STEPS):
            preactivations, rows, gap, _, step, gain = self._look(self.word, self.active)
            size = np.linalg.norm(gap)
            if (
                not np.isfinite(size)
                or size <= _ZERO * (self.scale + np.max(np.abs(self.z)))
                or np.max(np.abs(self.z)) > far
            ):
                return None
            if gain <= 1e-10 * size:
                if not self._release():
                    return self.z
                continue
            slopes = rows @ step
            heading = np.where(self.word, slopes < 0, slopes > 0) & self.bounds.effective
            for t, g in self.active:
                heading[t, g] = False
            times = np.where(heading, np.maximum(-preactivations / slopes, 0), np.inf)
            t, g = np.unravel_index(np.argmin(times), times.shape)
            if times[t, g] >= 1:
                self.z = self.z + step
                continue
            self.z = self.z + times[t, g] * step
            other = self.word.copy()
            other[t, g] ^= True
            _, rows, _, _, step, _ = self._look(other, self.active)
            if (rows[t, g] @ step > 0) == other[t, g]:
                self.word = other
            else:
                self.active.append((int(t), int(g)))
        return None

    def _look(self, word: np.ndarray, active: list[tuple[int, int]]):
        """Preactivations and their gradients in z, the gap F^k(z) - z, its gradient, the best step and its gain."""
        bounds, x = self.bounds, self.z
        slope = np.eye(len(x))
        preactivations, rows = [], []
        for gates in word:
            preactivations.append(bounds.gradients @ x + bounds.offsets)
            rows.append(bounds.gradients @ slope)
            x, slope = bounds.step(x, gates), bounds.jacobians(gates[None])[0] @ slope
        preactivations, rows = np.stack(preactivations), np.stack(rows)
        gap, slope = x - self.z, slope - np.eye(len(x))
        free = np.eye(len(x))
        if active:
            held = np.stack([rows[t, g] for t, g in active])
            _, values, right = np.linalg.svd(held)
            rank = int(np.sum(values > 1e-10 * max(values[0], 1e-300)))
            free = right[rank:].T
        step = free @ np.linalg.lstsq(slope @ free, -gap, rcond=1e-10)[0] if free.shape[1] else np.zeros(len(x))
        gain = np.linalg.norm(gap) - np.linalg.norm(gap + slope @ step)
        return preactivations, rows, gap, slope, step, gain

    def _release(self) -> bool:
        """Leave one active border, to either side, if that goes downhill."""
        for place in self.active:
            rest = [other for other in self.active if other != place]
            for side in (False, True):
                word = self.word.copy()
                word[place] = side
                _, rows, gap, _, step, gain = self._look(word, rest)
                if gain > 1e-9 * np.linalg.norm(gap) and (rows[place] @ step > 0) == side and rows[place] @ step != 0:
                    self.word, self.active = word, rest
                    return True
        return False
