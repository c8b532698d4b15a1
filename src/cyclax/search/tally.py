"""What became of the starts of a search, and what that says of cycles not met."""

import dataclasses
import math
from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from cyclax.cycles.cycle import NearMiss
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.near_misses import near_misses
from cyclax.cycles.result import Cycles
from cyclax.cycles.verify import Verified
from cyclax.cycles.word import WordKey
from cyclax.maps.affine import AffineForm, state_scale
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.proofs.attempt import Attempts
from cyclax.search.lanes import Fate
from cyclax.search.path_tally import PathTally
from cyclax.search.unseen import most_unseen


@dataclasses.dataclass
class StartTally:
    """What became of the starts of one order of one network. `verified`: what their words turned out to be.

    At most `allowed` starts are drawn; fewer, where they are enough, unless it goes on `to_the_end`.
    """

    order: int
    verified: Verified = dataclasses.field(default_factory=Verified)
    segments: int = 1
    allowed: int = 0
    to_the_end: bool = False
    starts: int = 0
    solves: int = 0
    fates: Counter = dataclasses.field(default_factory=Counter)
    seen: Counter = dataclasses.field(default_factory=Counter)  # solution -> converging starts that led to it
    solution_of: dict[int, Any] = dataclasses.field(default_factory=dict)  # word hash -> WordKey, or what it is instead
    strays: list[np.ndarray] = dataclasses.field(default_factory=list)  # nodes (S, M) where starts gave up
    complete_look: bool = False
    paths: PathTally | None = None  # where paths have been followed

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
        """A 95 % bound on the number of starts that led to solutions met once or never."""
        return most_unseen(self.once)

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
        several = sum(key.order == self.order for key in self.verified.cycles) > 1
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

    def verdict(self, unseen: float) -> tuple[str, str]:
        """Give the verdict, and its reason, that the starts alone allow."""
        share, bound = self.unseen_mass, self.unseen_bound
        if not self.complete_look:
            return "unknown", "the search was stopped early"
        if not self.hits:
            singular = self.fates[Fate.SINGULAR]
            cause = f": in the regions that {singular} of them met I - P is singular" if singular else ""
            return "unknown", f"none of {self.starts} starts converged{cause}"
        if bound < unseen:
            return "likely", f"at most {bound:.2g} of the starts that converge can lead elsewhere (95 %)"
        if share:
            return "unknown", f"cycles met only once: {share:.2g} of the starts that converge lead to ones not met yet"
        rest = f"up to {bound:.2g} of such may lead elsewhere (95 %)"
        return "unknown", f"{self.hits} of {self.starts} starts converged, too few: {rest}"

    def effort(self) -> dict[str, Any]:
        """Say what the search cost, and what became of its starts and paths, for the report."""
        paths = {} if self.paths is None else {"paths": self.paths.effort()}
        return {
            **paths,
            "starts": self.starts,
            "solves": self.solves,
            "hits": self.hits,
            "loops": self.fates[Fate.LOOP],
            "singular": self.fates[Fate.SINGULAR],
            "lost": self.fates[Fate.LOST],
            "tired": self.fates[Fate.TIRED],
            "segments": self.segments,
            "unseen_mass": self.unseen_mass if self.hits else None,
            "unseen_bound": self.unseen_bound if self.hits else None,
        }


class Network:
    """A model under search: what is known of it, and how its starts fared. Must be made under `numerics()`.

    **Arguments:** `model`, and `bounds`, its affine form; `key`: a JAX random key; `orders`: those searched, with their
    divisors. A source of words is given one, and may ask for `model`, `bounds`, and what `inventory` knows.
    """

    def __init__(self, model: AbstractPiecewiseLinearMap, bounds: AffineForm, key: Array, orders: list[int]):
        self.inventory, self.key = Inventory(model, bounds, orders), key
        self.model, self.bounds, self.scale = model, bounds, state_scale(bounds)
        self.tallies = {order: StartTally(order, known) for order, known in self.inventory.verified.items()}
        self.attempts: Attempts | None = None  # where proofs have been tried
        self.given: set[WordKey] = set()  # cycles of the words that were given
        self.wants_strays = False  # near misses are asked for, which are looked for where starts did not converge

    def near_misses(self, order: int, number: int) -> list[NearMiss]:
        """Look around what did not converge, and around the cycles known; up to `number` of each kind."""
        tally = self.tallies[order]
        nodes = np.stack(tally.strays) if tally.strays else np.zeros((0, tally.segments, self.model.num_states))
        cycles = [cycle for key, cycle in sorted(self.inventory.cycles.items()) if order % key.order == 0]
        return near_misses(self.model, self.bounds, nodes, cycles, order, number)

    def result(self, orders: list[int], finder: Any, seconds: float, interrupted: str | None) -> Cycles:
        """Give what was found of these orders, with the report."""
        known = self.inventory
        known.add_repetitions(self.tallies)
        reports = {}
        for order in orders:
            tally = self.tallies[order]
            verdict = known.verdict(order) or finder.verdict(self, order)
            proof = {} if self.attempts is None else self.attempts.effort(order)
            reports[str(order)] = known.order_report(order, verdict, **proof, **tally.effort())
        settings = {
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "settings": finder.settings(),
        }
        stopped = {"interrupted": interrupted} if interrupted else {}
        return known.result(orders, reports, settings, seconds=seconds, **stopped)
