"""The default of `find_cycles`: proofs, paths and starts in turns, until the verdict is final."""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from cyclax.core.checks import real
from cyclax.core.progress import progress_line
from cyclax.core.stop import Stop
from cyclax.cycles.units import own_units
from cyclax.proofs.attempt import MANY_DIMENSIONS, Attempts
from cyclax.search.driver import Driver
from cyclax.search.finder import AbstractFinder
from cyclax.search.lanes import operations
from cyclax.search.path_following import PathFollowing, PathSearch
from cyclax.search.path_tally import PathTally
from cyclax.search.scyfi import SCYFI
from cyclax.search.tally import Network, StartTally

# An order, the number of a network, and how many times as far as at first it is to be searched.
Work = tuple[int, int, int]
# Operations, about, that each source may spend on an order in the first turn, and how many times more in each next.
_FIRST, _MORE = 1e8, 4
# Before anything is compiled a proof may take this much.
_PROOF_FIRST = 1e10
# Paths are the better source of fixed points, starts of cycles, for which paths get only so small a part of the work.
_CYCLES = 16
# Moves of a start, before any was made; and operations of a move that do not depend on the dimension, for each step.
_MOVES, _STEP = 16, 100.0
# Where starts are used up, paths go on until they have cost so many times as much.
_FURTHER = 4
# Where the index sum proves that something is missing, the search goes on so many times as far.
_EFFORT = 4


@dataclasses.dataclass(frozen=True)
class Combined(AbstractFinder):
    """Proofs, paths and starts in turns: what `find_cycles` does by default.

    In each turn every source does about as much work as all others, and four times as much as in the turn before:

    - proofs (all words where they are few; the word graph; branch and bound): they find all cycles there are, or stop.
      A tree of branch and bound may take some times as long where it tells that this will be enough, and is asked again
      as it grows; before a long one goes on, a few paths are followed, which often meet all there is;
    - `PathFollowing`, which finds fixed points in many dimensions;
    - `SCYFI`, which finds cycles in few.

    An order is done when it is proved complete; or when one of the two searches is, by its own rule, and has met all
    that is known (each is a test of the other); or when both are used up. The effort is counted, not measured: what is
    found and proved does not depend on the speed of the machine. Proofs need `pip install 'cyclax[exact]'`.

    **Arguments:**

    - `paths`, `starts`: the settings of the two searches; their `seconds` are not used.
    - `proofs`: whether proofs are tried at all.
    - `seconds`: time budget of the whole call; what has been found by then is returned, marked so.
    """

    paths: PathFollowing = dataclasses.field(default_factory=PathFollowing)
    starts: SCYFI = dataclasses.field(default_factory=SCYFI)
    proofs: bool = True
    seconds: float | None = None

    def __post_init__(self):
        for name, kind in (("paths", PathFollowing), ("starts", SCYFI), ("proofs", bool)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"Combined: {name} must be a {kind.__name__}, got {getattr(self, name)!r}.")
        if self.seconds is not None:
            meaning = "a time budget or None"
            seconds = real(self.seconds, "Combined: seconds", meaning, positive=True, finite=False)
            object.__setattr__(self, "seconds", seconds)

    def search(self, networks, stop, *, given, progress):
        """Take turns, until all orders of all networks are done."""
        with progress_line(shown=progress) as say:
            _Turns(self, networks, stop, given, say).run()

    def verdict(self, network, order):
        """Say what is proved; else what the search says that has met all that is known."""
        proofs = network.attempts
        if proofs is not None and order in proofs.proved:
            return "proved complete", proofs.reason(order)
        reasons = []
        for name, search, unseen in self._searched(network.tallies[order]):
            verdict, reason = search.verdict(unseen)
            if verdict == "likely" and _has_met_all(network, order, search.seen):
                return verdict, reason
            reasons.append(f"{name}: {'not all that is known was met' if verdict == 'likely' else reason}")
        if proofs is not None and (left := proofs.left(order)):
            reasons.append(f"proof: {left}")
        return "unknown", "; ".join(reasons) or "the search was stopped early"

    def has_ended(self, network: Network, order: int) -> bool:
        """Whether a search has ended by its own rule, and has met all that is known."""
        return any(
            search.enough(unseen) and _has_met_all(network, order, search.seen)
            for _, search, unseen in self._searched(network.tallies[order])
        )

    def _searched(self, tally: StartTally) -> Iterator[tuple[str, StartTally | PathTally, float]]:
        """Give the searches of an order that there were, with the share of what is unseen that each tolerates."""
        if tally.paths is not None:
            yield "paths", tally.paths, self.paths.unseen
        if tally.starts:
            yield "starts", tally, self.starts.unseen


def _has_met_all(network: Network, order: int, seen: Collection) -> bool:
    """Whether a search has met all cycles of an order that are known, but for those given."""
    known = (key for key in network.inventory.cycles if key.order == order)
    return all(key in seen or key in network.given for key in known)


class _Turns:
    """One search: the sources of each order of each network, and which orders are done."""

    def __init__(self, finder: Combined, networks: Sequence[Network], stop: Stop, given: dict[int, Any], say):
        self.finder, self.networks, self.stop, self.given, self.say = finder, networks, stop, given, say
        for network in networks if finder.proofs else ():
            orders, units = list(network.tallies), np.asarray(own_units(network.model))
            network.attempts = Attempts(network.inventory, orders, units, say)
        self.searches: dict[tuple[int, int], PathSearch] = {}
        self.driver: Driver | None = None

    def run(self) -> None:
        """Take turns."""
        for network in self.networks:
            for order in self.given.keys() & network.tallies.keys():
                network.inventory.verify(order, self.given[order])
            network.given = set(network.inventory.cycles)
        many = self.networks[0].model.num_states >= MANY_DIMENSIONS
        for turn in itertools.count():
            work = _FIRST * _MORE**turn
            self._prove(max(work, _PROOF_FIRST))
            if not (open_ := self._open()):
                break
            first, second = self._start, self._follow
            if many and turn == 0:  # in many dimensions a few paths often meet all there is
                first, second = second, first
            first(open_, work)
            second(self._open(), work)
        for network in self.networks:
            for tally in network.tallies.values():
                for part in (tally, tally.paths):
                    if part is not None:
                        part.complete_look = not self.stop()

    def _prove(self, work: float) -> None:
        for i in sorted({i for _, i, _ in self._open()}):
            if (attempts := self.networks[i].attempts) is not None and not self.stop():
                self.say(f"proof, {work:.0e} operations")
                # A few paths often meet all there is, long before a long proof of that ends.
                attempts.attempt(work, self.stop, functools.partial(self._follow, [(1, i, 1)], _FIRST))

    def _follow(self, open_: list[Work], work: float) -> None:
        for order, i, effort in open_:
            if not self.stop():
                self.say(f"paths of order {order}, {work:.0e} operations")
                if (order, i) not in self.searches:
                    self.searches[order, i] = PathSearch(self.finder.paths, self.networks[i], order, self.stop)
                most = effort * self.finder.paths.paths
                share = work if order == 1 else work / _CYCLES
                self.searches[order, i].spend(share, most, to_the_end=effort > 1)

    def _start(self, open_: list[Work], work: float) -> None:
        if self.driver is None:
            self.driver = Driver(list(self.networks), self.finder.starts, self.stop)
            self.driver.begin(self.given)
        together: dict[tuple[int, bool], list[tuple[int, Network]]] = {}
        for order, i, effort in open_:
            tally = self.networks[i].tallies[order]
            moves = max(1.0, tally.solves / tally.starts) if tally.starts else _MOVES
            most = min(effort * self.finder.starts.starts, max(1, int(work / (moves * self._move(order)))))
            together.setdefault((most, effort > 1), []).append((order, self.networks[i]))
        for (most, to_the_end), some in together.items():
            self.say(f"starts, {work:.0e} operations for each order")
            self.driver.advance(some, most, to_the_end=to_the_end)

    def _open(self) -> list[Work]:
        """List what is not done: order, network, and how many times as far as at first it is to be searched."""
        open_: list[Work] = []
        for i, network in enumerate(self.networks if not self.stop() else ()):
            suspects = set(network.inventory.suspects())
            for order in network.tallies:
                effort = _EFFORT if order in suspects else 1
                if not self._done(network, i, order, effort):
                    open_.append((order, i, effort))
        return open_

    def _done(self, network: Network, i: int, order: int, effort: int) -> bool:
        tally = network.tallies[order]
        if network.wants_strays and not tally.starts:
            return False
        if network.inventory.proves(order):
            return True
        proved = network.attempts is not None and order in network.attempts.proved
        if effort == 1 and (proved or self.finder.has_ended(network, order)):
            return True
        starts, paths, to_the_end = self.finder.starts, self.finder.paths, effort > 1
        if tally.starts < effort * starts.starts and (to_the_end or not tally.enough(starts.unseen)):
            return False
        search, further = self.searches.get((order, i)), _FURTHER * tally.solves * self._move(order)
        return search is not None and search.used_up(further, effort * paths.paths, to_the_end=to_the_end)

    def _move(self, order: int) -> float:
        """Operations of a move of one start, about."""
        return operations(self.networks[0].model.num_states, order) + _STEP * order
