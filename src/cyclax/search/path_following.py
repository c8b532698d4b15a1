"""Path following: solutions met one after the other along paths through the linear regions."""

import dataclasses
import math

from cyclax.core.progress import progress_bar
from cyclax.core.stop import Stop
from cyclax.paths.follow import Paths, Walker
from cyclax.paths.system import Gates, NotFollowedError, Problem, merged_gates
from cyclax.paths.walk import Fate
from cyclax.search.finder import AbstractFinder, check_fields
from cyclax.search.path_starts import path_starts
from cyclax.search.path_tally import PathTally
from cyclax.search.tally import Network

# Paths of the first block; blocks double up to the last one's size. Known solutions are begun from block by block.
_FIRST, _LARGEST = 32, 1024
# Fewer paths than this are not begun, where the work is limited; and operations of a piece (times the unknowns^2).
_FEWEST, _PIECE = 8, 15.0
# More unknowns (order times states) are not followed: an inverse each lane would be too large.
_MOST_UNKNOWNS = 512


@dataclasses.dataclass(frozen=True)
class PathFollowing(AbstractFinder):
    """Piecewise-linear path following (Katzenelson 1965; the global Newton homotopy of Keller and of Smale).

    From any states x, with E(x) what the equations of a cycle lack there, the set E(x') = (1 - t) E(x) is a path
    through x. It runs straight in every linear region, and each of its crossings of t = 1 is a solution: a path goes on
    from one to the next, where Newton's method (SCYFI) begins anew each time. In many dimensions paths find fixed
    points that random starts do not; for long cycles in few dimensions SCYFI is faster.

    Paths are numbered 0, 1, 2, ..; a quarter each begin at normal states, at states along orbits, with all gates
    closed, and at solutions already known, in new directions. An order is done when at most a share `unseen` of paths
    can meet a solution not yet met (95 % bound); or when `paths` are used up. Where the index sum then proves that
    something is missing, the search goes on up to four times as far.

    Of orders above 1, cycles whose period divides the order are met as well. Maps that are not continuous cannot be
    followed, and neither can systems of more than 512 unknowns (order times states): the report says so.

    **Arguments:**

    - `unseen`: the tolerated share of paths that lead elsewhere; 1e-3 takes 3,000 paths that meet nothing new.
    - `paths`: most paths for each order.
    - `pieces`: most regions on one way along a path.
    - `lanes`: paths that are followed together; chosen for the cache by default. The result does not depend on it.
    - `seconds`: time budget of the whole call; what has been found by then is returned, marked so.
    """

    unseen: float = 1e-3
    paths: int = 16_384
    pieces: int = 10_000
    lanes: int | None = None
    seconds: float | None = None

    def __post_init__(self):
        check_fields(self, "paths", "pieces")

    def search(self, networks, stop, *, given, progress):
        """Search order by order, and again where the index sum says that something is missing."""
        searches = [[PathSearch(self, network, order, stop) for network in networks] for order in networks[0].tallies]
        with progress_bar(total=len(networks) * len(searches), shown=progress, desc="cycles", unit="order") as bar:
            for some in searches:
                for search in some:
                    words = given.get(search.order, ())
                    if len(words):
                        search.network.inventory.verify(search.order, words)
                    search.run(1)
                    bar.update(1)
            for effort in (2, 4):
                for some in searches:
                    for search in some:
                        if search.order in search.network.inventory.suspects():
                            search.run(effort)

    def verdict(self, network, order):
        """Say what the paths tell of solutions that none has met."""
        paths = network.tallies[order].paths
        return paths.verdict(self.unseen) if paths else ("unknown", "no path was followed")


class PathSearch:
    """The paths of one order of one network: blocks of them, until they are enough."""

    def __init__(self, finder: PathFollowing, network: Network, order: int, stop: Stop):
        self.finder, self.network, self.order, self.stop = finder, network, order, stop
        self.tally = network.tallies[order].paths = network.tallies[order].paths or PathTally(order)
        self.first = 0  # number of the next path
        self._gates: Gates | None = None
        self._walker: Walker | None = None

    def run(self, effort: int) -> None:
        """Follow paths until they are enough, or `effort` times as many as are allowed (or were enough before)."""
        if not self._begin():
            return
        self.tally.complete_look = False
        most = effort * (self.finder.paths if effort == 1 else max(1, self.first))
        self.spend(math.inf, most, to_the_end=effort > 1)
        self.tally.complete_look = not self.stop()

    def spend(self, operations: float, most: int, *, to_the_end: bool) -> None:
        """Follow paths until all have cost so many operations, there were `most`, or what is known settles the order.

        Where they are enough before, only `to_the_end`: that is, until nothing is missing. Where no more are lacking
        than there were, they are followed, too.
        """
        if not self._begin():
            return
        tally, inventory = self.tally, self.network.inventory
        while not self.stop() and self.first < most and (to_the_end or not tally.enough(self.finder.unseen)):
            size = min(max(_FIRST, self.first), _LARGEST, most - self.first)
            affordable = (operations - self.cost) / self._each()
            if self.first and not to_the_end:
                lacking = tally.lacking(self.finder.unseen)
                size = min(size, lacking)
                affordable = math.inf if lacking <= self.first else affordable
            if affordable < min(_FEWEST, size):
                break
            self._block(int(min(size, affordable)))
            if inventory.proves(self.order):
                break
            if to_the_end and not inventory.missing(self.order):
                break

    @property
    def cost(self) -> float:
        """Operations of all pieces so far, about."""
        return self.tally.pieces * self._piece()

    def used_up(self, operations: float, most: int, *, to_the_end: bool) -> bool:
        """Whether `spend` would follow no more paths, however much it were given beyond so many operations."""
        if not self._begin() or self.first >= most or self.cost >= operations:
            return True
        return not to_the_end and self.tally.enough(self.finder.unseen)

    def _each(self) -> float:
        """Operations of a path, about; before any was followed, as if it met each border twice."""
        assert self._walker is not None
        tally = self.tally
        pieces = tally.pieces / tally.paths if tally.paths else 2.0 * len(self._walker.problem.system.b)
        return max(1.0, pieces) * self._piece()

    def _piece(self) -> float:
        assert self._walker is not None
        return _PIECE * len(self._walker.problem.system.r) ** 2

    def _begin(self) -> bool:
        """Prepare the walk, once; say whether paths can be followed."""
        if self._walker is not None or self.tally.trouble:
            return not self.tally.trouble
        try:
            self._gates = merged_gates(self.network.bounds)
        except NotFollowedError as error:
            self.tally.trouble = str(error)
            return False
        if self.order * len(self._gates.shift) > _MOST_UNKNOWNS:
            self.tally.trouble = f"paths are not followed in more than {_MOST_UNKNOWNS} unknowns (order times states)"
            return False
        self._take(nudged=False)
        return True

    def _take(self, *, nudged: bool) -> None:
        assert self._gates is not None
        problem = Problem(self._gates, self.order, nudged)
        self._walker, self.nudged = Walker(problem, self.finder.lanes, self.finder.pieces), nudged

    def _block(self, size: int) -> None:
        """Follow the next `size` paths."""
        gates, walker = self._gates, self._walker
        assert gates is not None
        assert walker is not None
        cycles = self.network.inventory.cycles
        known = [cycles[key].points for key in sorted(cycles) if self.order % key.order == 0]
        draw = gates, self.order, self.network.key, self.first, size, self.network.scale, known
        states, t, directions = path_starts(*draw)
        x = walker.problem.entered(states)
        defect = walker.problem.directions(directions, self.network.scale)
        singular = self.tally.fates[Fate.SINGULAR]
        for begin in range(0, size, walker.room):
            part = slice(begin, begin + walker.room)
            paths: Paths = walker.run(x[part], t[part], defect[part], self.stop)
            self.tally.absorb(paths, self.network.inventory, walker.problem.words)
            if self.stop():
                break
        self.first += size
        if self.tally.fates[Fate.SINGULAR] > singular and not self.nudged:
            # Regions with I - P singular are not rare here (integrators, lines of fixed points).
            self._take(nudged=True)
