"""What candidate words turn out to be: each is solved again and checked, and leaves by one of four exits.

A word is *accepted* as a cycle, *described* (a family of solutions, or a solution on a border), *refuted*, or
*undecided*. float64 decides where its error bounds can tell; what they cannot tell is decided exactly (`decide`).

`settle` does so for words of one model, or of a stack of them at once; `verify_words` files what it says under the
identities of cycles, `grids.cells` in tables.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.decide import NEAR_CIRCLE, Decider, Decision, Outcome
from cyclax.cycles.families import described, slow_family
from cyclax.cycles.multipliers import sound_multipliers
from cyclax.cycles.solve import Solutions, jacobians_along, solve_words
from cyclax.cycles.table import BORDER, CYCLE, FAMILY, KINDS, REFUTED, UNDECIDED, codes_of
from cyclax.cycles.units import own_units, representable
from cyclax.cycles.word import WordKey, canonical_words, minimal_period, word_keys
from cyclax.maps.affine import AffineForm, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Moves from a refuted word to the one that its exact solution meets: float64 takes one side of a border for the other.
MOVES = 3
# The kind of a word whose solution, on a border, is that of a shorter word as well: it is known as that one.
_SHORTER = -2
# And of one whose solution is that of another: from so many borders on that it lies on, each with words on both sides.
_ANOTHER, TIES = -3, 4


class Models:
    """What words are verified against: one model, or a stack of models, of which each word names its own.

    **Arguments:** `model`, `bounds`: a model and its affine form, or stacks of both; `decider`: of the one model.
    """

    def __init__(self, model: AbstractPiecewiseLinearMap, bounds: AffineForm, decider: Decider | None = None):
        self.model, self.bounds, self.stacked = model, bounds, bounds.effective.ndim == 2
        self._deciders = {} if decider is None else {0: decider}

    def one(self, row: int) -> AbstractPiecewiseLinearMap:
        """Give one model."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[row], self.model) if self.stacked else self.model

    def effective(self, owner: np.ndarray) -> np.ndarray:
        """Give the gates that matter, `(n, G)`, to the models of words."""
        effective = self.bounds.effective
        return effective[owner] if self.stacked else np.broadcast_to(effective, (len(owner), len(effective)))

    def decider(self, row: int) -> Decider:
        """Give what decides words of one model exactly, made when first asked for."""
        if row not in self._deciders:
            effective = self.bounds.effective
            self._deciders[row] = Decider(self.one(row), effective[row] if self.stacked else effective)
        return self._deciders[row]

    def held(self, owner: np.ndarray, gates: np.ndarray) -> np.ndarray:
        """Put gates without gradient as they stand everywhere, whatever words `(n, k, G)` say."""
        moving, settled = np.any(self.bounds.gradients != 0, axis=-1), self.bounds.settled
        if self.stacked:
            moving, settled = moving[owner][:, None], settled[owner][:, None]
        return np.where(moving, gates, settled)

    def representable(self, owner: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Say which of the orbits `(n, k, M)` float64 can hold in the units of the models themselves."""
        units = own_units(self.model)
        return representable(points, units[owner][:, None] if np.ndim(units) == 2 else units)

    def solve(self, owner: np.ndarray, gates: np.ndarray) -> Solutions:
        """Solve words `(n, k, G)`, word i of model `owner[i]`."""
        return solve_words(self.model, self.held(owner, gates), self.bounds, owner if self.stacked else None)


class Settled(NamedTuple):
    """What n words of one order, primitive and in their smallest rotation, turned out to be."""

    owner: np.ndarray  # (n,) their models
    solutions: Solutions  # with the exact numbers, rounded, where a cycle was decided exactly
    kind: np.ndarray  # (n,) CYCLE, BORDER, FAMILY, UNDECIDED; negative where it is none of them
    decisions: dict[int, Decision]  # of the words that float64 could not tell
    others: dict[int, int]  # words with the solution of another, which lies on their common borders

    @property
    def words(self) -> np.ndarray:
        """The words `(n, k, G)`."""
        return self.solutions.gates


def settle(
    models: Models, owner: np.ndarray, gates: np.ndarray, *, exact: bool = False, moves: int = 0
) -> tuple[list[Settled], np.ndarray]:
    """Find out what words `(n, k, G)` are, word i of model `owner[i]`; all that float64 can tell at once.

    With `exact`, nothing is left to float64. With `moves`, the word that the exact solution of a refuted one meets is
    tried next, so often at most.

    **Returns:** what these words, and those tried next, turned out to be; and for each word given the number of the one
    it is known as, counted through all of these, -1 where it is refuted or undecided.
    """
    batches: list[Settled] = []
    return batches, _settle(models, owner, gates, batches, exact, moves)


def _settle(models: Models, owner: np.ndarray, gates: np.ndarray, batches: list[Settled], exact: bool, moves: int):
    effective, gates = models.effective(owner), models.held(owner, gates)
    ends = np.full(len(gates), -1)
    matter = gates & effective[:, None]
    periods, begins = canonical_words(matter)
    for period in np.unique(periods).tolist():
        rows = np.flatnonzero(periods == period)
        # All rotations of a word give the same cycle: the canonical one makes the result independent of the start.
        steps = (begins[rows][:, None] + np.arange(period)) % period
        codes = codes_of(owner[rows], matter[rows[:, None], steps])
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        turn = np.argsort(first)
        first, which = first[turn], np.argsort(turn)[which]
        number = sum(len(batch.kind) for batch in batches)
        some = _judged(models, owner[rows[first]], gates[rows[first][:, None], steps[first]], exact)
        batches.append(some)
        known = np.where(some.kind >= 0, np.arange(number, number + len(first)), -1)
        known[some.kind == UNDECIDED] = -1
        known[list(some.others)] = number + np.array(list(some.others.values()), int)
        sound = ~some.solutions.singular & (not exact)
        met = {i: decision.met for i, decision in some.decisions.items() if sound[i] and decision.met is not None}
        if met and moves:
            mine, following = list(met), np.stack(list(met.values()))
            known[mine] = _settle(models, some.owner[mine], following, batches, False, moves - 1)
        # A point on a border has the words of both sides, and may have a smaller period than its word.
        shorter = {i: decision.period for i, decision in some.decisions.items() if 0 < decision.period < period}
        for length in sorted(set(shorter.values())):
            mine = np.array([i for i in shorter if shorter[i] == length])
            known[mine] = _settle(models, some.owner[mine], some.words[mine, :length], batches, False, 0)
            # Only rounding gave it the smaller period: it is described as what it is.
            itself = mine[(known[mine] < 0) & (some.kind[mine] == _SHORTER)]
            some.kind[itself], known[itself] = BORDER, number + itself
        ends[rows] = known[which]
    return ends


def _judged(models: Models, owner: np.ndarray, words: np.ndarray, exact: bool) -> Settled:
    """Solve primitive words, and decide exactly, one by one, what float64 cannot tell."""
    solutions = models.solve(owner, words)
    sound = ~solutions.singular & (not exact)
    refuted = sound & (solutions.outside > solutions.error)
    cycles = sound & ~refuted & (solutions.margin > solutions.error)
    cycles &= models.representable(owner, solutions.points)
    kind = np.where(cycles, CYCLE, REFUTED)
    for i in np.flatnonzero(cycles & solutions.doubtful).tolist():
        product = functools.partial(models.decider(int(owner[i])).product, solutions.gates[i])
        steps = jacobians_along(models.one(int(owner[i])), solutions.gates[i])
        solutions.multipliers[i] = sound_multipliers(steps, solutions.multipliers[i], product)
    decisions, others = {}, {}
    open_ = np.flatnonzero(~refuted & ~cycles)
    for i in open_.tolist():
        if i in others:
            continue
        decider, word = models.decider(int(owner[i])), solutions.gates[i]
        decisions[i] = decision = decider.decide(word)
        kind[i] = KINDS[decision.outcome]
        if decision.outcome == Outcome.BORDER and decision.period:
            kind[i] = _SHORTER
        elif kind[i] in (CYCLE, BORDER, FAMILY):
            solutions.multipliers[i] = decision.multipliers(functools.partial(decider.product, word))
        if kind[i] == CYCLE:
            _enter(models.one(int(owner[i])), solutions, i, decision)
        if kind[i] == BORDER and decision.ties is not None and np.sum(decision.ties) > TIES:
            # Across borders that it lies on the map goes on: it solves these words too, and is their only solution.
            rest = open_[(open_ > i) & (sound & ~solutions.doubtful)[open_] & (owner[open_] == owner[i])]
            rest = rest[np.all(np.abs(np.abs(solutions.multipliers[rest]) - 1) > NEAR_CIRCLE, axis=1)]
            differing = (solutions.gates[rest] ^ word) & decider.matter
            same = rest[~np.any(differing & ~decision.ties, axis=(1, 2))]
            others |= dict.fromkeys(same.tolist(), i)
            kind[same] = _ANOTHER
    return Settled(owner, solutions, kind, decisions, others)


def _enter(model: AbstractPiecewiseLinearMap, solutions: Solutions, i: int, decision: Decision) -> None:
    """Write down a cycle that was decided exactly: its points are the exact ones, rounded."""
    images = itineraries(model, decision.points[:, None], 1)[1]
    system = np.eye(len(decision.jacobian)) - decision.jacobian
    with np.errstate(all="ignore"):
        solutions.condition[i] = float(np.linalg.cond(system)) if np.all(np.isfinite(system)) else float("inf")
    solutions.points[i], solutions.product[i] = decision.points, decision.jacobian
    solutions.margin[i], solutions.error[i] = decision.margin, decision.error
    solutions.residual[i] = np.max(np.abs(images - np.roll(decision.points, -1, axis=0)), initial=0.0)


def repetitions(
    decider: Decider, word: np.ndarray, multipliers: np.ndarray, room: list[int] | None = None
) -> Iterator[tuple[int, Decision | None]]:
    """Give the numbers q such that a known word, repeated q times, may have families, and what is decided of it.

    They are there where multipliers of the known solution are roots of unity. Where that cannot be decided, all of
    `room`, the q of interest (None: all that there are), come with None.
    """
    repeats = decider.orders_of_families(word, multipliers)
    for q in (room or []) if repeats is None else repeats:
        if room is None or q in room:
            yield q, None if repeats is None else decider.decide(np.tile(word, (q, 1)))


# -- one model: what is known by the identity of the cycle ------------------------------------------------------------


@dataclasses.dataclass
class Verified:
    """What the words of one order turned out to be; `rejected` counts those that are refuted.

    `ties`: of what lies on borders, and of families: the gates `(k, G)` on whose borders all of it lies, exactly.
    """

    cycles: dict[WordKey, Cycle] = dataclasses.field(default_factory=dict)
    borders: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    families: dict[WordKey, Degenerate] = dataclasses.field(default_factory=dict)
    undecided: dict[WordKey, str] = dataclasses.field(default_factory=dict)
    ties: dict[WordKey, np.ndarray] = dataclasses.field(default_factory=dict)
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

    See `settle` for `exact` and `moves`.

    **Returns:** for each word the identity of its cycle, or None where it is refuted or undecided.
    """
    models, owner = Models(model, bounds, decider), np.zeros(len(gates), int)
    gates = models.held(owner, gates)
    keys = word_keys(gates[:, :, bounds.effective])
    known = accepted.cycles.keys() | accepted.borders.keys() | accepted.families.keys()
    fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    if not fresh:
        return list(keys)
    rows = list(fresh.values())
    batches, ends = settle(models, owner[rows], gates[rows], exact=exact, moves=moves)
    names = [name for batch in batches for name in _filed(models, batch, accepted)]
    renamed = {keys[i]: names[end] if end >= 0 else None for i, end in zip(rows, ends.tolist(), strict=True)}
    return [renamed.get(key, key) for key in keys]


def _filed(models: Models, batch: Settled, accepted: Verified) -> list[WordKey]:
    """Enter what words turned out to be; give the identity of each."""
    keys = word_keys(batch.words[:, :, models.bounds.effective])
    accepted.rejected += int(np.sum(batch.kind == REFUTED))
    for i in sorted({*np.flatnonzero(batch.kind >= 0).tolist(), *batch.decisions}):
        key, kind, word, decision = keys[i], batch.kind[i], batch.words[i], batch.decisions.get(i)
        if kind == CYCLE:
            accepted.cycles[key] = _cycle(batch.solutions, i)
        elif decision is not None and kind == BORDER:
            accepted.borders[key] = described(models.bounds, word, "border", decision)
        elif decision is not None and kind == FAMILY:
            accepted.families[key] = described(models.bounds, word, "family", decision)
        elif decision is not None and kind == UNDECIDED:
            accepted.undecided[key] = decision.reason
        if decision is not None and decision.ties is not None:
            accepted.ties[key] = decision.ties
        if decision is not None and decision.inexact and batch.solutions.singular[i] and kind in (CYCLE, REFUTED):
            slow = slow_family(models.model, models.bounds, word)
            if slow is not None:
                accepted.families[WordKey(key.order, key.bits + b"slow")] = slow
    return keys


def _cycle(solutions: Solutions, i: int) -> Cycle:
    return Cycle(
        order=solutions.points.shape[1],
        points=solutions.points[i],
        gates=solutions.gates[i],
        multipliers=solutions.multipliers[i],
        jacobian=solutions.product[i],
        residual=float(solutions.residual[i]),
        margin=float(solutions.margin[i]),
        error=float(solutions.error[i]),
        condition=float(solutions.condition[i]),
    )


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

    **Arguments:** `known`: by order; new orders are added; `orders`: those of interest (None: all).
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
            for q, decision in repetitions(decider, entry.gates, entry.multipliers, room):
                word = np.tile(entry.gates, (q, 1))
                # `word_key` takes a repeated word for the shorter one.
                bits = np.packbits(word[:, bounds.effective], axis=1).tobytes()
                key, longer = WordKey(len(word), bits), known.setdefault(q * order, Verified())
                if decision is None or decision.outcome == Outcome.OPEN:
                    longer.undecided[key] = "a multiplier that may be a root of unity"
                elif decision.outcome == Outcome.FAMILY:
                    longer.families.setdefault(key, described(bounds, word, "family", decision))
                    assert decision.ties is not None
                    longer.ties[key] = decision.ties
