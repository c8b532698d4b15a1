"""Which solutions are returned: each hit is solved again from its word and checked; nothing is returned unchecked."""

import dataclasses
from typing import Any

import numpy as np

from cyclax.cycles.families import family_near, family_of_word
from cyclax.cycles.result import Cycle, Degenerate
from cyclax.cycles.solve import Borders, Solutions, itineraries, solve_words
from cyclax.cycles.word import WordKey, canonical_rotation, word_key
from cyclax.maps.base import AbstractPiecewiseLinearMap


@dataclasses.dataclass
class Accepted:
    """What the hits of one order turned out to be."""

    cycles: dict[WordKey, Cycle] = dataclasses.field(default_factory=dict)
    borders: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    families: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    rejected: int = 0


def accept(
    model: AbstractPiecewiseLinearMap, bounds: Borders, nodes: np.ndarray, order: int, accepted: Accepted
) -> list[WordKey | None]:
    """Check hits: nodes `(n, S, M)` that the search took for points of cycles whose order divides `order`.

    New cycles are added to `accepted`.

    **Returns:** for each hit the identity of its cycle, or None where the check rejected it.
    """
    gates, _ = itineraries(model, nodes, order)
    return accept_words(model, bounds, gates, nodes[:, 0], accepted)


def accept_words(
    model: AbstractPiecewiseLinearMap, bounds: Borders, gates: np.ndarray, states: np.ndarray, accepted: Accepted
) -> list[WordKey | None]:
    """Check words `(n, k, G)`, wherever they come from; `states (n, M)` say where to look for families.

    New cycles are added to `accepted`.

    **Returns:** for each word the identity of its cycle, or None where the check rejected it.
    """
    keys: list[Any] = [word_key(word[:, bounds.effective]) for word in gates]
    known = accepted.cycles.keys() | accepted.borders.keys() | accepted.families.keys()
    fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    rejected, renamed = set(), {}  # renamed: solutions on borders, whose period may be smaller than that of the word
    for period in sorted({key.order for key in fresh}):
        some = {key: i for key, i in fresh.items() if key.order == period}
        # All rotations of a word give the same cycle: the canonical one makes the result independent of the start.
        words = np.stack([_rotated(gates[i][:period], bounds) for i in some.values()])
        solutions = solve_words(model, words, bounds)
        for j, key in enumerate(some):
            if solutions.singular[j]:
                family = family_of_word(model, bounds, gates[some[key]][:period], states[some[key]])
                if family is None:
                    rejected.add(key)
                else:
                    accepted.families[key] = family
            elif solutions.outside[j] > solutions.error[j]:
                rejected.add(key)
            elif not solutions.margin[j] > solutions.error[j]:  # an error bound that overflowed to nan included
                renamed[key] = _shorter(model, bounds, solutions, j, accepted)
                if renamed[key] is None:
                    renamed[key], accepted.borders[key] = key, _on_border(solutions, j)
            else:
                accepted.cycles[key] = _cycle(model, solutions, j)
    accepted.rejected += len(rejected)
    return [None if key in rejected else renamed.get(key, key) for key in keys]


def accept_families(
    model: AbstractPiecewiseLinearMap, bounds: Borders, states: np.ndarray, order: int, accepted: Accepted
) -> None:
    """Look at states whose words have a singular I - P: is there a family of solutions in that region?"""
    for state in states:
        _keep(family_near(model, bounds, state, order), bounds, accepted)


def accept_repetitions(
    model: AbstractPiecewiseLinearMap, bounds: Borders, words: np.ndarray, accepted: Accepted
) -> None:
    """Look at words `(n, k, G)` that repeat shorter ones: only families of solutions have such words."""
    for word in words:
        _keep(family_of_word(model, bounds, word, np.zeros(model.num_states)), bounds, accepted)


def _keep(family: Degenerate | None, bounds: Borders, accepted: Accepted) -> None:
    if family is not None:
        # Not `word_key`, which takes a repeated word for the shorter one.
        word = family.gates[:, bounds.effective]
        turned = np.roll(word, -canonical_rotation(word), axis=0)
        accepted.families.setdefault(WordKey(family.order, np.packbits(turned, axis=1).tobytes()), family)


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


def _shorter(model, bounds: Borders, solutions: Solutions, j: int, accepted: Accepted) -> WordKey | None:
    """Look whether a solution on a border has a smaller period than its word; accept it with that period instead.

    A point on a border has the words of both sides, and so repeats under words that do not: a fixed point there has
    every word of its two sides, of any length.
    """
    points, near = solutions.points[j], 2 * solutions.error[j]
    order = len(points)
    for period in (p for p in range(1, order) if order % p == 0):
        if not np.max(np.abs(np.roll(points, -period, axis=0) - points)) <= near:
            continue
        word = _rotated(solutions.gates[j][:period], bounds)
        key = word_key(word[:, bounds.effective])
        if key in accepted.borders:
            return key
        alone = solve_words(model, word[None], bounds)
        if not alone.singular[0] and alone.outside[0] <= alone.error[0] and not alone.margin[0] > alone.error[0]:
            accepted.borders[key] = _on_border(alone, 0)
            return key
    return None


def _on_border(solutions: Solutions, j: int) -> Degenerate:
    points = solutions.points[j]
    return Degenerate(
        kind="border",
        order=len(points),
        points=points,
        gates=solutions.gates[j],
        directions=np.zeros((points.shape[1], 0)),
        extent=np.zeros((0, 2)),
        multipliers=solutions.multipliers[j],
        margin=float(solutions.margin[j]),
        error=float(solutions.error[j]),
    )
