"""What candidate words turn out to be: each is solved again and checked, and leaves by one of four exits.

A word is *accepted* as a cycle, *described* (a family of solutions, or a solution on a border), *refuted*, or
*undecided*. float64 decides where its error bounds can tell; what they cannot tell is decided exactly (`decide`).
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.decide import Decider, Decision, Outcome
from cyclax.cycles.families import described, slow_family
from cyclax.cycles.multipliers import multipliers_of, sound_multipliers
from cyclax.cycles.solve import Solutions, jacobians_along, solve_words
from cyclax.cycles.word import WordKey, canonical_rotation, minimal_period, word_key
from cyclax.maps.affine import AffineForm, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Moves from a refuted word to the one that its exact solution meets: float64 takes one side of a border for the other.
MOVES = 3


@dataclasses.dataclass
class Verified:
    """What the words of one order turned out to be; `rejected` counts those that are refuted."""

    cycles: dict[WordKey, Cycle] = dataclasses.field(default_factory=dict)
    borders: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    families: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    undecided: dict[WordKey, str] = dataclasses.field(default_factory=dict)
    rejected: int = 0

    @property
    def described(self) -> Iterable[tuple[WordKey, Degenerate]]:
        """What is no isolated cycle, and known all the same."""
        return itertools.chain(self.borders.items(), self.families.items())


def verify_hits(
    model: AbstractPiecewiseLinearMap,
    bounds: AffineForm,
    nodes: np.ndarray,
    order: int,
    accepted: Verified,
    decider: Decider | None = None,
) -> list[WordKey | None]:
    """Check hits: nodes `(n, S, M)` that the search took for points of cycles whose order divides `order`.

    New cycles are added to `accepted`.

    **Returns:** for each hit the identity of its cycle, or None where it is refuted or undecided.
    """
    gates, _ = itineraries(model, nodes, order)
    return verify_words(model, bounds, gates, accepted, decider, moves=MOVES)


def verify_words(
    model: AbstractPiecewiseLinearMap,
    bounds: AffineForm,
    gates: np.ndarray,
    accepted: Verified,
    decider: Decider | None = None,
    *,
    exact: bool = False,
    moves: int = 0,
) -> list[WordKey | None]:
    """Check words `(n, k, G)`, wherever they come from: each leaves by one of the four exits, into `accepted`.

    With `exact`, nothing is left to float64. With `moves`, the word that the exact solution of a refuted one meets is
    tried next, so often at most: float64 takes one side of a border for the other.

    **Returns:** for each word the identity of its cycle, or None where it is refuted or undecided.
    """
    decider = decider or Decider(model, bounds.effective)
    # A gate without gradient stands as it does everywhere, whatever a word says.
    gates = np.where(np.any(bounds.gradients != 0, axis=1), gates, bounds.settled)
    keys: list[Any] = [word_key(word[:, bounds.effective]) for word in gates]
    known = accepted.cycles.keys() | accepted.borders.keys() | accepted.families.keys()
    fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    renamed: dict[WordKey, WordKey | None] = {}  # refuted, undecided, or of a smaller period than the word
    for period in sorted({key.order for key in fresh}):
        some = {key: i for key, i in fresh.items() if key.order == period}
        # All rotations of a word give the same cycle: the canonical one makes the result independent of the start.
        words = np.stack([_rotated(gates[i][:period], bounds) for i in some.values()])
        solutions = solve_words(model, words, bounds)
        for j, key in enumerate(some):
            sound = not exact and not solutions.singular[j]
            if sound and solutions.outside[j] > solutions.error[j]:
                accepted.rejected += 1
                renamed[key] = None
            elif sound and solutions.margin[j] > solutions.error[j]:
                accepted.cycles[key] = _cycle(model, solutions, j, decider)
            else:
                decision = decider.decide(words[j])
                renamed[key] = _take(
                    model, bounds, key, words[j], decision, bool(solutions.singular[j]), accepted, decider
                )
                if decision.met is not None and moves and sound:
                    following = decision.met[None]
                    (renamed[key],) = verify_words(model, bounds, following, accepted, decider, moves=moves - 1)
                elif 0 < decision.period < period:
                    # A point on a border has the words of both sides, and may have a smaller period than its word.
                    shorter = words[j : j + 1, : decision.period]
                    (renamed[key],) = verify_words(model, bounds, shorter, accepted, decider)
                    if renamed[key] is None and decision.outcome == Outcome.BORDER:
                        # Only rounding gave it the smaller period: it is described as what it is.
                        accepted.borders[key] = described(bounds, words[j], "border", decision)
                        renamed[key] = key
    return [renamed.get(key, key) for key in keys]


def verify_singular(
    model: AbstractPiecewiseLinearMap,
    bounds: AffineForm,
    states: np.ndarray,
    order: int,
    accepted: Verified,
    decider: Decider,
) -> None:
    """Look at states whose words have a singular I - P: is there a family of solutions, or a cycle after all?"""
    words, _ = itineraries(model, states[:, None], order)
    primitive = [word for word in words if minimal_period(word[:, bounds.effective]) == order]
    if primitive:
        verify_words(model, bounds, np.stack(primitive), accepted, decider)


def verify_repetitions(
    bounds: AffineForm, known: dict[int, Verified], decider: Decider, orders: Iterable[int] | None = None
) -> None:
    """Add the families of solutions that have a known word, repeated q times, as their word.

    They are there where multipliers of the known solution are roots of unity. **Arguments:** `known`: by order; new
    orders are added; `orders`: those of interest (None: all).
    """
    wanted = None if orders is None else set(orders)
    for accepted in [known[order] for order in sorted(known)]:
        entries = [*accepted.cycles.items(), *accepted.described]
        for _, entry in entries:
            if isinstance(entry, Degenerate) and minimal_period(entry.gates[:, bounds.effective]) < entry.order:
                continue  # a repetition itself
            order = entry.order
            room = None if wanted is None else [k // order for k in wanted if k > order and k % order == 0]
            if room == []:
                continue
            repeats = decider.orders_of_families(entry.gates, entry.multipliers)
            for q in (room or []) if repeats is None else repeats:
                if room is not None and q not in room:
                    continue
                word = np.tile(entry.gates, (q, 1))
                key, longer = _full_key(word, bounds), known.setdefault(q * order, Verified())
                decision = None if repeats is None else decider.decide(word)
                if decision is None or decision.outcome == Outcome.OPEN:
                    longer.undecided[key] = "a multiplier that may be a root of unity"
                elif decision.outcome == Outcome.FAMILY:
                    longer.families.setdefault(key, described(bounds, word, "family", decision))


def _take(
    model,
    bounds: AffineForm,
    key: WordKey,
    word: np.ndarray,
    decision: Decision,
    singular: bool,
    accepted: Verified,
    decider: Decider,
) -> WordKey | None:
    """Enter what was decided exactly; give the identity under which it is known, or None."""
    if decision.outcome == Outcome.OPEN:
        accepted.undecided[key] = decision.reason
        return None
    if decision.outcome == Outcome.BORDER and decision.period:
        return None  # its shorter word is asked first
    if decision.outcome == Outcome.BORDER:
        accepted.borders[key] = described(bounds, word, "border", decision)
        return key
    if decision.outcome == Outcome.FAMILY:
        accepted.families[key] = described(bounds, word, "family", decision)
        return key
    if singular and decision.inexact:
        slow = slow_family(model, bounds, word)
        if slow is not None:
            accepted.families[_full_key(word, bounds, b"slow")] = slow
    if decision.outcome == Outcome.CYCLE:
        accepted.cycles[key] = _exact_cycle(model, word, decision, decider)
        return key
    accepted.rejected += 1
    return None


def _full_key(word: np.ndarray, bounds: AffineForm, mark: bytes = b"") -> WordKey:
    """Identify a word as it is: `word_key` takes a repeated word for the shorter one."""
    return WordKey(len(word), np.packbits(_rotated(word, bounds)[:, bounds.effective], axis=1).tobytes() + mark)


def _rotated(word: np.ndarray, bounds: AffineForm) -> np.ndarray:
    return np.roll(word, -canonical_rotation(word[:, bounds.effective]), axis=0)


def _cycle(model, solutions: Solutions, j: int, decider: Decider) -> Cycle:
    values = solutions.multipliers[j]
    if solutions.doubtful[j]:
        exact = functools.partial(decider.product, solutions.gates[j])
        values = sound_multipliers(jacobians_along(model, solutions.gates[j]), values, exact)
    return Cycle(
        order=solutions.points.shape[1],
        points=solutions.points[j],
        gates=solutions.gates[j],
        multipliers=values,
        jacobian=solutions.product[j],
        residual=float(solutions.residual[j]),
        margin=float(solutions.margin[j]),
        error=float(solutions.error[j]),
        condition=float(solutions.condition[j]),
    )


def _exact_cycle(model, word: np.ndarray, decision: Decision, decider: Decider) -> Cycle:
    """Write down a cycle that was decided exactly: its points are the exact ones, rounded."""
    images = itineraries(model, decision.points[:, None], 1)[1]
    with np.errstate(all="ignore"):
        values = multipliers_of(decision.steps[None], decision.jacobian[None])[0]
        values = sound_multipliers(decision.steps, values, functools.partial(decider.product, word))
        system = np.eye(len(decision.jacobian)) - decision.jacobian
        condition = float(np.linalg.cond(system)) if np.all(np.isfinite(system)) else float("inf")
    return Cycle(
        order=len(word),
        points=decision.points,
        gates=word,
        multipliers=values,
        jacobian=decision.jacobian,
        residual=float(np.max(np.abs(images - np.roll(decision.points, -1, axis=0)), initial=0.0)),
        margin=decision.margin,
        error=decision.error,
        condition=condition,
    )
