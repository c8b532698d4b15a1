"""All that is known of the cycles of one network: what words turned out to be, index sums, and the report of an order.

Whatever proposes words (a search, a proof, the neighbors of a cell), the inventory keeps what they are, says of each
order what follows from that alone, and makes the result.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from cyclax.core.identity import fingerprint
from cyclax.core.version import __version__
from cyclax.cycles.contraction import Contraction, contraction_certificate
from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.decide import Decider
from cyclax.cycles.families import lies_in
from cyclax.cycles.index import degrees, index_of, keeps_orientation
from cyclax.cycles.orders import divisors
from cyclax.cycles.result import Cycles
from cyclax.cycles.seal import sealed
from cyclax.cycles.uniqueness import one_solution
from cyclax.cycles.units import Balanced
from cyclax.cycles.verify import Verified, verify_repetitions, verify_words
from cyclax.cycles.word import WordKey, word_of
from cyclax.maps.affine import AffineForm
from cyclax.maps.base import AbstractPiecewiseLinearMap

# What an order cost, and what its starts tell, where there were none.
_NO_EFFORT = {"starts": 0, "solves": 0, "hits": 0, "loops": 0, "unseen_mass": None, "unseen_bound": None}
# Of an undecided word so many letters are named.
_LONGEST_WORD = 80


class Inventory:
    """What is known of the cycles of one network. Must be made and asked under `numerics()`.

    **Arguments:** `model`; `bounds`: its affine form; `orders`: those that words are looked at of (more may follow).
    `verified[k]` is what the words proposed for order k turned out to be: of period k, or a divisor of it.
    """

    def __init__(self, model: AbstractPiecewiseLinearMap, bounds: AffineForm, orders: Iterable[int] = ()):
        self.model, self.bounds = model, bounds
        self.decider = Decider(model, bounds.effective)
        self.verified: dict[int, Verified] = {}
        self._degrees: dict[int, int | None] = {}
        # Asked of the model once, as searches ask block by block.
        self._has_one_solution = functools.cache(functools.partial(one_solution, bounds))
        self._keeps_orientation = functools.cache(
            lambda order: keeps_orientation(self.bounds, order, self.decider.jacobian)
        )
        self.look_at(orders)

    def look_at(self, orders: Iterable[int]) -> None:
        """Add orders, of which nothing is known yet."""
        for order in orders:
            self.verified.setdefault(order, Verified())

    def verify(self, order: int, words: np.ndarray, **how: Any) -> list[WordKey | None]:
        """Check words `(n, k, G)` proposed for an order; see `verify_words`."""
        self.look_at([order])
        return verify_words(self.model, self.bounds, words, self.verified[order], self.decider, **how)

    def add_repetitions(self, orders: Iterable[int] | None = None) -> None:
        """Add the families that repeat the words of what is known, in these orders (None: in all)."""
        verify_repetitions(self.bounds, self.verified, self.decider, orders)

    @property
    def cycles(self) -> dict[WordKey, Cycle]:
        """All cycles found, at whatever order they were proposed for."""
        return {key: cycle for known in self.verified.values() for key, cycle in known.cycles.items()}

    def degenerate(self) -> list[Degenerate]:
        """List families and solutions on borders, but for those on the rim of a family."""
        found = {
            (entry.kind, key): (entry, known.ties.get(key, np.zeros_like(entry.gates)))
            for known in self.verified.values()
            for key, entry in known.described
        }
        # Of the words of one family, one that lies on no border is told.
        matter = self.bounds.effective
        rank = lambda row: (row[0].order, -row[0].directions.shape[1], bool(np.any(row[1][:, matter])))  # noqa: E731
        kept: list[Degenerate] = []
        for entry, ties in sorted(found.values(), key=rank):
            families = [other for other in kept if other.kind != "border" and other.order == entry.order]
            if not any(self._contains(family, entry, ties) for family in families):
                kept.append(entry)
        return _distinct(kept)

    def _contains(self, family: Degenerate, entry: Degenerate, ties: np.ndarray) -> bool:
        """Whether a family contains another one of its order, or a solution on a border, be it on its rim.

        What lies on borders solves the words across them, too: it is in a family whose word differs from its own in
        nothing but the gates `ties (k, G)` on whose borders all of it lies. Of slow families rounding decides.
        """
        if family.kind == "slow":
            return entry.kind == "border" and any(lies_in(self.bounds, family, point) for point in entry.points)
        differing = (ties < (np.roll(family.gates, turn, axis=0) ^ entry.gates) for turn in range(entry.order))
        return any(not np.any(gates[:, self.bounds.effective]) for gates in differing)

    # -- undecided words ----------------------------------------------------------------------------------------------

    def undecided(self, order: int) -> list[WordKey]:
        """List the words that are neither proved to be solutions of F^k(z) = z nor not to be."""
        return sorted(key for key in self._open_words if order % key.order == 0)

    @property
    def _open_words(self) -> dict[WordKey, str]:
        """All words that are undecided, and why, at whatever order they were proposed for."""
        return {key: reason for known in self.verified.values() for key, reason in known.undecided.items()}

    def undecided_reason(self, order: int) -> str:
        """Say which words of an order are undecided, and why the first one is; nothing where there is none."""
        keys = self.undecided(order)
        if not keys:
            return ""
        reason = self._open_words[keys[0]]
        size = int(sum(self.bounds.effective))
        text = "|".join("".join(map(str, row.astype(int))) for row in word_of(keys[0], size))
        if len(text) > _LONGEST_WORD:
            text = f"{text[:_LONGEST_WORD]}.."
        number = "one word is" if len(keys) == 1 else f"{len(keys)} words are"
        text = text if size else "that of no gates"
        return f"undecided: {number} neither proved to be a cycle nor not to be, such as {text} ({reason})"

    # -- index sums and degrees ---------------------------------------------------------------------------------------

    def degree(self, order: int) -> int | None:
        """Give what the index sum of F^k must be were nothing missing; None where that is not known."""
        if self.contraction is not None:
            return 1
        if order not in self._degrees:
            missing = sorted({order, *self.verified} - self._degrees.keys())
            self._degrees |= degrees(self.bounds, missing, self.decider.jacobian)
        return self._degrees[order]

    def index_sum(self, order: int) -> int | None:
        """Sum the indices of all solutions of F^k(z) = z; None where one of them has none, or is undecided."""
        total = 0
        if self.undecided(order) or not set(divisors(order)) <= self.verified.keys():
            return None
        for known in self.verified.values():
            if any(order % entry.order == 0 for _, entry in known.described):
                return None
        for key, cycle in self.cycles.items():
            if order % key.order == 0:
                index = index_of(cycle.multipliers, order // key.order)
                if index is None:
                    return None
                total += key.order * index
        return total

    def missing(self, order: int) -> str:
        """Say that the degree proves something to be missing; nothing where it does not."""
        total, degree = self.index_sum(order), self.degree(order)
        if total is None or degree is None or total == degree:
            return ""
        return f"the index sum is {total}, and would be {degree} were nothing missing"

    def suspects(self) -> list[int]:
        """Give the orders to search again: a wrong sum can be the fault of a divisor too."""
        wrong = [order for order in self.verified if self.missing(order)]
        return sorted({divisor for order in wrong for divisor in self.verified if order % divisor == 0})

    def _all_met(self, order: int) -> str:
        """Say why no more solutions of F^k(z) = z can exist than are known; nothing where that is not proved."""
        number = sum(key.order for key in self.cycles if order % key.order == 0)
        if number == 1 and self._has_one_solution(order):
            return (
                f"F^{order}(z) = z has exactly one solution: in one scaling, the gains of all gates are below 1 at the "
                f"roots of unity of order {order}"
            )
        if number and number == abs(self.degree(order) or 0) and self._keeps_orientation(order):
            return (
                f"det(I - P) has one sign on all words, so that F^{order}(z) = z has exactly {number} solutions, the "
                "modulus of its degree"
            )
        return ""

    @functools.cached_property
    def contraction(self) -> Contraction | None:
        """The certificate that the network contracts, if there is one."""
        return contraction_certificate(self.bounds)

    # -- what is said of it -------------------------------------------------------------------------------------------

    def verdict(self, order: int) -> tuple[str, str] | None:
        """Give the verdict on an order, and its reason, that follows from what is known, however it was found."""
        if reason := self.undecided_reason(order):
            return "unknown", reason
        if missing := self.missing(order):
            return "proved incomplete", missing
        if self.contraction is not None and [key.order for key in self.cycles] == [1]:
            return "proved complete", (
                f"the map contracts, by {self.contraction.rate:.6g} a step in one quadratic norm: one fixed point, "
                "and no other cycle of any order"
            )
        if reason := self._all_met(order):
            return "proved complete", reason
        return None

    def proves(self, order: int) -> bool:
        """Whether it follows from what is known that an order is complete."""
        verdict = self.verdict(order)
        return verdict is not None and verdict[0] == "proved complete"

    def order_report(self, order: int, verdict: tuple[str, str], **effort: Any) -> dict[str, Any]:
        """Make the report of an order: the verdict with its reason, what it cost, and what was counted."""
        return {
            "verdict": verdict[0],
            "reason": verdict[1],
            **_NO_EFFORT,
            **effort,
            "rejected": self.verified[order].rejected,
            "undecided": len(self.undecided(order)),
            "index_sum": self.index_sum(order),
            "degree": self.degree(order),
        }

    def result(
        self, orders: Iterable[int], reports: dict[str, dict[str, Any]], settings: dict[str, Any], **more: Any
    ) -> Cycles:
        """Make the result for these orders, from their reports.

        **Arguments:** `settings`: what else tells where the result comes from; `more`: what else stands in the report.
        """
        wanted, found = tuple(orders), self.cycles
        return sealed(
            Cycles(
                tuple(found[key] for key in sorted(found) if key.order in wanted),
                wanted,
                {"orders": reports, "precision": "float64", "version": __version__, **more},
                tuple(entry for entry in self.degenerate() if entry.order in wanted),
                (),
                {"model": model_hash(self.model), "version": __version__, **settings},
            )
        )


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


def model_hash(model: AbstractPiecewiseLinearMap) -> str:
    """Give a hash of class, settings and weights; of a map in other units, that of the map itself."""
    if isinstance(model, Balanced):
        return model_hash(model.model)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)
    # It only says where a result comes from: what cannot be looked into is not refused.
    return fingerprint(weights, "model", name=type(model).__name__)
