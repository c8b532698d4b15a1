"""What the search knows of one network: cycles, how often each was met, and what that says of those not met."""

import dataclasses
import math
from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from cyclax.cycles.accept import Accepted, accept_repetitions
from cyclax.cycles.arguments import divisors
from cyclax.cycles.balance import Balanced
from cyclax.cycles.certificate import sealed
from cyclax.cycles.decide import Decider
from cyclax.cycles.families import lies_in
from cyclax.cycles.index import contracts, degrees, index_of, keeps_orientation
from cyclax.cycles.near import near_misses
from cyclax.cycles.result import Cycles, Degenerate, NearMiss
from cyclax.cycles.search import Fate
from cyclax.cycles.solve import Borders
from cyclax.cycles.starts import state_scale
from cyclax.cycles.word import WordKey, word_of
from cyclax.identity import fingerprint
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.version import __version__

# Of an undecided word so many letters are named.
_LONGEST_WORD = 80


@dataclasses.dataclass
class Evidence:
    """What is known of one order of one network so far."""

    order: int
    segments: int = 1
    starts: int = 0
    solves: int = 0
    fates: Counter = dataclasses.field(default_factory=Counter)
    seen: Counter = dataclasses.field(default_factory=Counter)  # solution -> converging starts that led to it
    solution_of: dict[int, Any] = dataclasses.field(default_factory=dict)  # word hash -> WordKey, or what it is instead
    accepted: Accepted = dataclasses.field(default_factory=Accepted)
    strays: list[np.ndarray] = dataclasses.field(default_factory=list)  # nodes (S, M) where starts gave up
    complete_look: bool = False

    @property
    def hits(self) -> int:
        """Converging starts."""
        return sum(self.seen.values())

    @property
    def once(self) -> int:
        """Solutions met by a single start."""
        return sum(number == 1 for number in self.seen.values())

    @property
    def unseen_mass(self) -> float:
        """Good-Turing: the share of converging starts that lead to solutions not met yet (1 where none converged)."""
        return self.once / self.hits if self.hits else 1.0

    @property
    def unseen_limit(self) -> float:
        """A 95 % bound on the number of starts that led to solutions met once or never: 3 where none was met once.

        The Poisson limit by Wilson and Hilferty (1931), with Good-Turing's reading of what was met once.
        """
        next_one = 1 + self.once
        return next_one * (1 - 1 / (9 * next_one) + 1.645 / (3 * next_one**0.5)) ** 3 if self.once else 3.0

    @property
    def unseen_bound(self) -> float:
        """A 95 % bound on the share of converging starts that lead elsewhere."""
        return min(1.0, self.unseen_limit / self.hits) if self.hits else 1.0

    @property
    def _few_converge(self) -> bool:
        return 2 * self.hits <= self.starts

    def enough(self, unseen: float) -> bool:
        """Where most starts converge, wait for the bound on those alone.

        Where few do that would be long: then for the bound on all starts, until nothing has been met only once, and,
        where the order is known to have several cycles, for a fifth of the bound on those that converge.
        """
        if not self._few_converge:
            return self.unseen_limit < unseen * self.hits
        several = sum(key.order == self.order for key in self.accepted.cycles) > 1
        return (
            self.once == 0
            and self.unseen_limit < unseen * self.starts
            and (not several or self.unseen_limit < 5 * unseen * self.hits)
        )

    def lacking(self, unseen: float, most: int) -> int:
        """Estimate how many more starts will be enough if they meet nothing new; at most `most`."""
        if self._few_converge:
            return most
        return min(most, math.ceil(1.02 * (self.unseen_limit / unseen - self.hits) * self.starts / self.hits))


class Network:
    """A model under search, and what is known of it. Must be made under `numerics()`."""

    def __init__(self, model: AbstractPiecewiseLinearMap, bounds: Borders, key: Array, orders: list[int]):
        self.model, self.bounds, self.key = model, bounds, key
        self.scale = state_scale(model, bounds)
        self.decider = Decider(model, bounds.effective)
        self.degrees = degrees(bounds, orders, self.decider.jacobian)
        self.evidence = {order: Evidence(order) for order in orders}

    def add_repetitions(self) -> None:
        """Add the families that repeat the words of what is known, in the orders that are searched."""
        known = {order: evidence.accepted for order, evidence in self.evidence.items()}
        accept_repetitions(self.bounds, known, self.decider, self.evidence)

    def undecided(self, order: int) -> list[WordKey]:
        """List the words that are neither proved to be solutions of F^k(z) = z nor not to be."""
        return sorted(key for key in self.open_words if order % key.order == 0)

    @property
    def open_words(self) -> dict[WordKey, str]:
        """All words that are undecided, and why, at whatever order the search was."""
        return {key: reason for known in self.evidence.values() for key, reason in known.accepted.undecided.items()}

    @property
    def cycles(self) -> dict[WordKey, Any]:
        """All cycles found, at whatever order the search was."""
        return {key: cycle for known in self.evidence.values() for key, cycle in known.accepted.cycles.items()}

    def index_sum(self, order: int) -> int | None:
        """Sum the indices of all solutions of F^k(z) = z; None where one of them has none, or is undecided."""
        total = 0
        if self.undecided(order) or not set(divisors(order)) <= self.evidence.keys():
            return None
        for known in self.evidence.values():
            if any(order % entry.order == 0 for _, entry in known.accepted.described):
                return None
        for key, cycle in self.cycles.items():
            if order % key.order == 0:
                index = index_of(cycle.multipliers, order // key.order)
                if index is None:
                    return None
                total += key.order * index
        return total

    def contradicted(self, order: int, index_sum: int | None) -> bool:
        """Whether the degree proves that something is missing."""
        degree = self.degrees[order]
        return index_sum is not None and degree is not None and index_sum != degree

    def all_met(self, order: int) -> bool:
        """Whether as many solutions of F^k(z) = z are known as there can be, where a sign proves how many."""
        number = sum(key.order for key in self.cycles if order % key.order == 0)
        return number == abs(self.degrees[order] or 0) > 0 and keeps_orientation(
            self.bounds, order, self.decider.jacobian
        )

    def suspects(self) -> list[int]:
        """Give the orders to search again: a wrong sum can be the fault of a divisor too."""
        wrong = [order for order in self.evidence if self.contradicted(order, self.index_sum(order))]
        return sorted({divisor for order in wrong for divisor in self.evidence if order % divisor == 0})

    def degenerate(self) -> list[Degenerate]:
        """List families and solutions on borders, but for those on the rim of a family."""
        found = {}
        for known in self.evidence.values():
            for kind in (known.accepted.families, known.accepted.borders):
                found.update({(entry.kind, key): entry for key, entry in kind.items()})
        entries = sorted(found.values(), key=lambda entry: (entry.order, -entry.directions.shape[1]))
        kept: list[Degenerate] = []
        for entry in entries:
            larger = [family for family in kept if family.directions.shape[1] > entry.directions.shape[1]]
            if not any(lies_in(self.bounds, family, point) for family in larger for point in entry.points):
                kept.append(entry)
        return _distinct(kept)

    def _verdict(self, order: int, index_sum: int | None, unseen: float) -> tuple[str, str]:
        known = self.evidence[order]
        share, bound = known.unseen_mass, known.unseen_bound
        if open_ := undecided_reason(self, order):
            return "unknown", open_
        if self.contradicted(order, index_sum):
            reason = f"the index sum is {index_sum}, and would be {self.degrees[order]} were nothing missing"
            return "proved incomplete", reason
        if contracts(self.bounds) and [key.order for key in self.cycles] == [1]:
            return "proved complete", "the map contracts: one fixed point, and no other cycle of any order"
        if self.all_met(order):
            return "proved complete", (
                f"det(I - P) has one sign on all words, so that F^{order}(z) = z has exactly "
                f"{abs(self.degrees[order] or 0)} solutions, the modulus of its degree"
            )
        if not known.complete_look:
            return "unknown", "the search was stopped early"
        if not known.hits:
            singular = known.fates[Fate.SINGULAR]
            cause = f": in the regions that {singular} of them met I - P is singular" if singular else ""
            return "unknown", f"none of {known.starts} starts converged{cause}"
        if bound < unseen:
            return "likely", f"at most {bound:.2g} of the starts that converge can lead elsewhere (95 %)"
        if share:
            return "unknown", f"cycles met only once: {share:.2g} of the starts that converge lead to ones not met yet"
        return "unknown", f"only {known.hits} of {known.starts} starts converged, too few to say more"

    def near_misses(self, order: int, number: int) -> list[NearMiss]:
        """Look around what did not converge, and around the cycles known; up to `number` of each kind."""
        known = self.evidence[order]
        nodes = np.stack(known.strays) if known.strays else np.zeros((0, known.segments, self.model.num_states))
        cycles = [cycle for key, cycle in sorted(self.cycles.items()) if order % key.order == 0]
        return near_misses(self.model, self.bounds, nodes, cycles, order, number)

    def result(self, wanted: list[int], finder: Any, seconds: float, interrupted: str | None) -> Cycles:
        """Give what was found of the wanted orders, with the report."""
        self.add_repetitions()
        entries = {}
        for order in wanted:
            known = self.evidence[order]
            index_sum = self.index_sum(order)
            verdict, reason = self._verdict(order, index_sum, finder.unseen)
            entries[str(order)] = {
                "verdict": verdict,
                "reason": reason,
                "starts": known.starts,
                "solves": known.solves,
                "hits": known.hits,
                "loops": known.fates[Fate.LOOP],
                "singular": known.fates[Fate.SINGULAR],
                "lost": known.fates[Fate.LOST],
                "tired": known.fates[Fate.TIRED],
                "rejected": known.accepted.rejected,
                "undecided": len(self.undecided(order)),
                "segments": known.segments,
                "index_sum": index_sum,
                "degree": self.degrees[order],
                "unseen_mass": known.unseen_mass if known.hits else None,
                "unseen_bound": known.unseen_bound if known.hits else None,
            }
        report = {"orders": entries, "precision": "float64", "seconds": seconds, "version": __version__}
        if interrupted:
            report["interrupted"] = interrupted
        found = self.cycles
        cycles = tuple(found[key] for key in sorted(found) if key.order in wanted)
        degenerate = tuple(entry for entry in self.degenerate() if entry.order in wanted)
        provenance = {
            "model": model_hash(self.model),
            "version": __version__,
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "settings": dataclasses.asdict(finder),
        }
        return sealed(Cycles(cycles, tuple(wanted), report, degenerate, (), provenance))


def _distinct(degenerate: list[Degenerate]) -> list[Degenerate]:
    """A cycle on a border appears under several words: keep one of those with the same points."""
    kept: list[Degenerate] = []
    for entry in degenerate:
        size = np.max(np.abs(entry.points))
        twin = any(
            old.kind == entry.kind == "border"
            and old.order == entry.order
            and any(
                np.max(np.abs(np.roll(old.points, turn, axis=0) - entry.points)) <= 1e-9 * size
                for turn in range(entry.order)
            )
            for old in kept
        )
        if not twin:
            kept.append(entry)
    return kept


def undecided_reason(network: Network, order: int) -> str:
    """Say which words of an order are undecided, and why the first one is; nothing where there is none."""
    keys = network.undecided(order)
    if not keys:
        return ""
    reason = network.open_words[keys[0]]
    effective = int(np.sum(network.bounds.effective))
    text = "|".join("".join(map(str, row.astype(int))) for row in word_of(keys[0], effective))
    if len(text) > _LONGEST_WORD:
        text = f"{text[:_LONGEST_WORD]}.."
    number = "one word is" if len(keys) == 1 else f"{len(keys)} words are"
    return f"undecided: {number} neither proved to be a cycle nor not to be, such as {text} ({reason})"


def model_hash(model: AbstractPiecewiseLinearMap) -> str:
    """Give a hash of class, settings and weights; of a map in other units, that of the map itself."""
    if isinstance(model, Balanced):
        return model_hash(model.model)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)
    # It only says where a result comes from: what cannot be looked into is not refused.
    return fingerprint(weights, "model", name=type(model).__name__)
