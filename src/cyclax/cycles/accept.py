"""Which solutions are returned: each hit is solved again from its word and checked; nothing is returned unchecked."""

import dataclasses
from typing import Any

import numpy as np

from cyclax.cycles.result import Cycle, Degenerate
from cyclax.cycles.solve import Borders, Solutions, itineraries, solve_words
from cyclax.cycles.word import WordKey, canonical_rotation, minimal_period, word_key
from cyclax.maps.base import AbstractPiecewiseLinearMap

# The multiplier of a family differs from 1 by rounding only.
_NULL = 1e-10


@dataclasses.dataclass
class Accepted:
    """What the hits of one order turned out to be."""

    cycles: dict[WordKey, Cycle] = dataclasses.field(default_factory=dict)
    borders: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    families: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    rejected: int = 0


def accept(
    model: AbstractPiecewiseLinearMap, bounds: Borders, states: np.ndarray, order: int, accepted: Accepted
) -> list[WordKey | None]:
    """Check hits: states `(n, M)` that the search took for points of cycles whose order divides `order`.

    New cycles are added to `accepted`.

    **Returns:** for each state the identity of its cycle, or None where the check rejected it.
    """
    gates, _ = itineraries(model, states, order)
    keys: list[Any] = [word_key(word[:, bounds.effective]) for word in gates]
    known = accepted.cycles.keys() | accepted.borders.keys() | accepted.families.keys()
    fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    rejected = set()
    for period in sorted({key.order for key in fresh}):
        some = {key: i for key, i in fresh.items() if key.order == period}
        # All rotations of a word give the same cycle: the canonical one makes the result independent of the start.
        words = np.stack([_rotated(gates[i][:period], bounds) for i in some.values()])
        solutions = solve_words(model, words, bounds)
        for j, key in enumerate(some):
            if solutions.singular[j]:
                family = _family(model, bounds, states[some[key]], period)
                if family is None:
                    rejected.add(key)
                else:
                    accepted.families[key] = family
            elif not solutions.margin[j] > solutions.error[j]:  # an error bound that overflowed to nan included
                accepted.borders[key] = _on_border(solutions, j)
            elif solutions.met[j]:
                accepted.cycles[key] = _cycle(model, solutions, j)
            else:
                rejected.add(key)
    accepted.rejected += len(rejected)
    return [None if key in rejected else key for key in keys]


def accept_families(
    model: AbstractPiecewiseLinearMap, bounds: Borders, states: np.ndarray, order: int, accepted: Accepted
) -> None:
    """Look at states whose words have a singular I - P: is there a family of solutions in that region?"""
    for state in states:
        family = _family(model, bounds, state, order)
        if family is not None:
            accepted.families.setdefault(word_key(family.gates[:, bounds.effective]), family)


def _rotated(word: np.ndarray, bounds: Borders) -> np.ndarray:
    return np.roll(word, -canonical_rotation(word[:, bounds.effective]), axis=0)


def _cycle(model, solutions: Solutions, j: int) -> Cycle:
    return Cycle(
        order=solutions.points.shape[1],
        points=solutions.points[j],
        gates=solutions.gates[j],
        multipliers=solutions.multipliers[j],
        jacobian=solutions.product[j],
        residual=float(solutions.residual[j]),
        margin=float(solutions.margin[j]),
        error=float(solutions.error[j]),
        condition=float(solutions.condition[j]),
    )


def _on_border(solutions: Solutions, j: int) -> Degenerate:
    points = solutions.points[j]
    return Degenerate(
        kind="border",
        order=len(points),
        points=points,
        gates=solutions.gates[j],
        directions=np.zeros((points.shape[1], 0)),
        margin=float(solutions.margin[j]),
        error=float(solutions.error[j]),
    )


def _family(model, bounds: Borders, state: np.ndarray, order: int) -> Degenerate | None:
    """Describe the family of solutions of F^k(z) = z in the region of `state`; None where the region holds none.

    The solution nearest to the state is taken; it must meet the same gates and come back to itself.
    """
    (word,), (image,) = itineraries(model, state[None], order)
    solutions = solve_words(model, word[None], bounds)
    system = np.eye(len(state)) - solutions.product[0]
    if not np.all(np.isfinite(system)):
        return None
    left, values, right = np.linalg.svd(system)
    null = values <= _NULL * max(1.0, values[0])
    if not np.any(null):
        return None
    inverse = np.divide(1, values, where=~null, out=np.zeros_like(values))
    point = state + right.T @ (inverse * (left.T @ (image - state)))
    (met,), (back,) = itineraries(model, point[None], order)
    scale = 1 + np.max(np.abs(point))
    effective = bounds.effective
    if np.any(met[:, effective] != word[:, effective]) or np.max(np.abs(back - point)) > 1e-9 * scale:
        return None
    points = [point]
    for _ in range(order - 1):
        _, following = itineraries(model, points[-1][None], 1)
        points.append(following[0])
    period = next(
        p for p in range(1, order + 1) if order % p == 0 and np.allclose(points[p % order], point, 1e-9, 1e-9 * scale)
    )
    if period < order and minimal_period(word[:, effective]) < order:
        return None  # a family of lower order, which its own search reports
    norms = np.linalg.norm(bounds.gradients[effective], axis=1)
    distances = np.abs(np.stack(points) @ bounds.gradients[effective].T + bounds.offsets[effective]) / norms
    return Degenerate(
        kind="family",
        order=order,
        points=np.stack(points),
        gates=met,
        directions=right[null].T,
        margin=float(np.min(distances, initial=np.inf)),
        error=float(np.max(np.abs(back - point))),
    )
