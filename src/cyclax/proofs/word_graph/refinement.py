"""All cycles of all orders from the graph of feasible itineraries.

Its nodes are the words of L regions that an orbit can visit in a row, its edges the words of L + 1. A cycle is a
closed walk, so only edges within strongly connected components are kept (and, if only orders up to K are wanted, only
edges on a closed walk of at most K steps) before the words are made one longer. When nothing is left, or disjoint
cycles, these are all the cycles that there are; otherwise the closed walks of each order are the candidates.
"""

import dataclasses
import itertools
import time
from typing import TYPE_CHECKING

import numpy as np

from cyclax.core.budget import LISTING, SEARCH, Budget, SpentError
from cyclax.core.workers import cores
from cyclax.cycles.word import canonical_rotation
from cyclax.maps.affine import AffineForm
from cyclax.proofs.boxes import pieces_of
from cyclax.proofs.candidates import Box, Candidates, Progress
from cyclax.proofs.word_graph.joins import extend, make_scratch
from cyclax.proofs.word_graph.mean import no_cycle_in_the_mean
from cyclax.proofs.word_graph.programs import PROGRAMS, UNPROVED, Atlas, Log, make_log
from cyclax.proofs.word_graph.regions import Workers, map_regions
from cyclax.proofs.word_graph.walks import (
    Graph,
    closed_walks,
    disjoint_cycles,
    entropy_bound,
    recurrent_edges,
    short_edges,
)

if TYPE_CHECKING:
    from cyclax.proofs.rigorous import Judge

# What is listed of a graph that was not finished: walks, and steps of the search for them (a few seconds).
MOST_LISTED, _LISTING_STEPS = 50_000, 400_000_000
# No more walks than nodes were allowed, and so many steps for each of these.
_STEPS_OF_A_NODE = 4000
# Words that are spelled out between two looks at the clock.
_SPELLED_TOGETHER = 1000
# Refutations that a kernel may log in one call, at least.
_LOGGED = 2**12
# Children that a kernel may report in one call, at least.
_BUFFER = 2**17


def word_graph(
    bounds: AffineForm,
    orders: list[int] | None,
    box: Box,
    budget: Budget,
    progress: Progress,
    threads: int | None = None,
    judge: "Judge | None" = None,
) -> Candidates:
    """Find words among which are all cycles in the box, of these orders, or of all orders (None).

    The proof is numerical: see `programs` for what is proved. Regions are closed, so a cycle on a border appears under
    several words; where the graph ends as disjoint cycles, further words can only be powers of the listed ones.

    What remains assumed: that `bounds` are the borders of the map to a few units of rounding, and that the processor
    computes in IEEE float64. With a `judge` nothing is discarded that it does not uphold, and the proof is rigorous.

    `notes`: `words_per_level`, `level`, `entropy_bound` (of what recurs in the box; absent where only short walks were
    kept), `regions`, `unproved` (programs that looked infeasible and were kept), `disjoint_cycles`, `seconds`; and of a
    judge `upheld` and `rejected` (refutations), `undecided` (words that are neither proved to be cycles nor not to be).
    """
    return Refinement(bounds, orders, box, budget, progress, threads or cores(16), judge).run()


class Refinement:
    """One enumeration: the graph at its level, and what it has cost."""

    def __init__(self, bounds, orders, box, budget, progress, threads, judge=None):
        self.orders, self.budget, self.progress, self.threads = orders, budget, progress, threads
        self.longest = max(orders) if orders else None
        # States in units of their own: the simplex method has thresholds that suit numbers near 1.
        self.unit = _unit(bounds, box)
        self.box = dataclasses.replace(box, lower=box.lower / self.unit, upper=box.upper / self.unit)
        self.bounds = bounds._replace(
            **{name: getattr(bounds, name) / self.unit for name in ("offsets", "shift", "shift_jumps")}
        )
        self.pieces = pieces_of(self.bounds)
        self.begun = time.perf_counter()
        self.atlas: Atlas | None = None
        self.graph, self.words = Graph(0, np.empty(0, np.int64), np.empty(0, np.int64)), np.empty((0, 1), np.int32)
        self.nodes, self.effort = 0, np.zeros(3, np.int64)
        self.counts: list[int] = []
        self.judge: Judge | None = judge
        self.undecided = 0
        self.only_short = False  # edges were dropped because they lie on long walks only

    def run(self) -> Candidates:
        """Explore, whatever overflows."""
        # Where numbers overflow nothing is refuted: nan and inf are below no bound.
        with np.errstate(all="ignore"):
            return self.explore()

    def explore(self) -> Candidates:
        """Refine the graph until it lists the words, or the budget is spent."""
        try:
            if self.judge is None and no_cycle_in_the_mean(self.bounds, self.box, self.budget):
                self.effort[PROGRAMS] += 1
                return self.result({}, everything=True)
            mapped = map_regions(self.pieces, self.box, self.threads, self.check, self.progress, self.judge)
            if mapped is None:
                return self.result({}, everything=True)
            self.atlas, self.pieces, self.effort = mapped
            return self.refine()
        except SpentError as spent:
            return self.give_up(str(spent))

    def check(self, nodes: int = 0, memory: int = 0) -> None:
        """Raise where the budget is spent."""
        self.budget.check(self.nodes + nodes, memory)

    def refine(self) -> Candidates:
        """Refine the graph, round by round."""
        assert self.atlas is not None
        number = len(self.atlas.sides)
        words, firsts, lasts = np.arange(number, dtype=np.int32)[:, None], np.zeros(number, np.int64), None
        lasts = np.full(number, number)
        if self.longest == 1:
            firsts, lasts, self.only_short = np.arange(number), np.arange(number) + 1, number > 1
        while True:
            self.nodes += len(words)
            graph = self.prune(self.successors(words, firsts, lasts), words)
            self.counts.append(len(graph.source))
            # Nodes without edges go.
            used = np.unique(graph.source) if len(graph.source) else graph.source
            place = np.zeros(len(words), np.int64)
            place[used] = np.arange(len(used))
            self.graph, self.words = Graph(len(used), place[graph.source], place[graph.target]), words[used]
            self.progress(
                f"words of {len(self.counts) + 1} regions: {len(graph.source)} left"
                + (", all orders proved" if self.graph.is_disjoint_cycles() and not self.only_short else "")
            )
            if self.graph.is_disjoint_cycles():
                return self.finish()
            if self.orders:
                edges = len(self.graph.source)
                found, _ = closed_walks(
                    self.graph, self.words, self.orders, max(200, edges), 4_000_000 + 400 * edges, self.check
                )
                if found is not None:
                    return self.result(found)
            source, target = self.graph.source, self.graph.target
            words = np.concatenate([self.words[source], self.words[target][:, -1:]], axis=1)
            begins = self.graph.begins()
            firsts, lasts = begins[target], begins[target + 1]

    def successors(self, words, firsts, lasts) -> Graph:
        """Join the words that overlap and can follow."""
        assert self.atlas is not None
        atlas, length = self.atlas, words.shape[1]
        facets = int(np.max(np.diff(atlas.begins), initial=0))
        capacity = 1 + 2 * len(atlas.hull) + (length + 1) * facets + atlas.sides.shape[1] + 1
        crew = Workers(self.threads, len(atlas.largest) - 1, capacity)
        symbols, room_for = np.ascontiguousarray(words[:, -1]), max(_BUFFER, int(np.max(lasts - firsts, initial=0)))

        most = int(np.max(lasts - firsts, initial=0))

        def work(program, first, last):
            scratch = make_scratch(atlas, length, most)
            out, parts = (np.empty(room_for, np.int32), np.empty(room_for, np.int32)), []
            log = make_log(len(atlas.largest) - 1, 2 * most + _LOGGED if self.judge else 0)
            while first < last:
                log.filled[0] = 0
                first, filled = extend(atlas, program, scratch, log, words, firsts, lasts, symbols, first, last, *out)
                logged = [part[: log.filled[0]].copy() for part in log[:3]]
                parts.append([part[:filled].copy() for part in out] + logged)
            return [np.concatenate(part) for part in zip(*parts, strict=True)]

        parts, found = [], 0

        def check():
            self.check(found, words.nbytes + found * (2 * 16 + 4 * (length + 1)))

        try:
            for *part, spans, rows, multipliers in crew.map(work, len(words), check):
                if self.judge:
                    part = self.judged(part, Log(spans, rows, multipliers, np.zeros(1)), words, symbols)
                parts.append(part)
                found += len(part[0])
        finally:
            self.effort = self.effort + crew.effort
        source, target = (np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True))
        return Graph(len(words), source, target)

    def judged(self, pairs, log: Log, words, symbols):
        """Put back what was left out for a reason that the judge does not uphold."""
        assert self.judge is not None
        assert self.atlas is not None
        sides, restored = self.atlas.sides, [np.stack(pairs, axis=1)]
        for (u, low, high), rows, multipliers in zip(log.spans, log.rows, log.multipliers, strict=True):
            word = words[u].tolist()
            along = [*(sides[[symbol]] for symbol in word), sides[symbols[low:high]]]
            if not self.judge.upholds(word, along, rows, multipliers):
                again = np.arange(low, high)
                restored.append(np.stack([np.full(len(again), u), again], axis=1))
            self.check()
        return np.unique(np.concatenate(restored), axis=0).T

    def prune(self, graph: Graph, words) -> Graph:
        """Keep the edges that cycles can use."""
        while True:
            graph = _keep(graph, recurrent_edges(graph))
            if self.longest is None or len(graph.source) == 0 or graph.is_disjoint_cycles():
                return graph
            short = short_edges(graph, self.longest, self.check)
            self.only_short |= not short.all()
            before, graph = len(graph.source), _keep(graph, short)
            if len(graph.source) > 0.9 * before:
                return _keep(graph, recurrent_edges(graph))

    def finish(self) -> Candidates:
        """List the cycles of a graph that is a union of them."""
        found: dict[int, list] = {}
        for walk in disjoint_cycles(self.graph):
            found.setdefault(len(walk), []).append(self.words[walk, 0])
        if self.only_short:
            found = {order: walks for order, walks in found.items() if order in (self.orders or ())}
        stacked = {order: np.array(walks) for order, walks in sorted(found.items())}
        return self.result(stacked, everything=not self.only_short)

    def give_up(self, reason: str) -> Candidates:
        """Say what is proved with the last graph that was finished: the orders whose closed walks can be listed.

        Where all orders were asked for these are 1, 2, .. as far as it goes. The last graph says most: its closed walks
        are among those of the graphs before it.
        """
        found, nodes = {}, self.budget.nodes
        room, steps = min(MOST_LISTED, nodes), min(_LISTING_STEPS, _STEPS_OF_A_NODE * nodes)
        self.budget.until(LISTING)
        try:
            for order in (self.orders or itertools.count(1)) if self.counts else ():
                listed, taken = closed_walks(self.graph, self.words, [order], room, steps, self.budget.check)
                if listed is None:
                    break
                found.update(listed)
                room, steps = room - len(listed[order]), steps - taken
        except SpentError:
            pass
        if self.counts:
            left = f"words of {len(self.counts) + 1} regions: {self.counts[-1]} left"
        else:
            left = "regions" if self.atlas is None else f"{len(self.atlas.sides)} regions, not yet joined"
        return self.result(found, unfinished=f"{reason} ({left})")

    def spelled(self, found: dict[int, np.ndarray]) -> tuple[dict[int, np.ndarray], str]:
        """Turn walks into words, and (of a judge) leave out those that are no cycles, order by order, in time.

        **Returns:** the words of all orders that were done, and what ended it, if anything did.
        """
        words = {}
        try:
            for order, walks in sorted(found.items()):
                parts = []
                for begin in range(0, len(walks), _SPELLED_TOGETHER):
                    self.budget.check()
                    parts.append(self.gates(walks[begin : begin + _SPELLED_TOGETHER]))
                    if self.judge:
                        parts[-1] = self.decided(parts[-1])
                words[order] = np.concatenate(parts) if parts else None
        except SpentError as spent:
            return words, str(spent)
        return words, ""

    def result(self, found: dict[int, np.ndarray], everything=False, unfinished="") -> Candidates:
        """Make the result from the words found."""
        self.budget.until(SEARCH)
        words, late = self.spelled(found)
        complete = {*words, *((self.orders or ()) if not unfinished else ())}
        if late:
            first = min(set(found) - set(words))
            complete = [order for order in complete if order < first] if self.orders else range(1, first)
            everything, unfinished = False, unfinished or f"{late} (words of order {first}, and higher, are not listed)"
        words = {order: some for order, some in words.items() if some is not None and len(some)}
        notes = {
            "words_per_level": list(self.counts),
            "level": len(self.counts) + 1,
            "regions": 0 if self.atlas is None else len(self.atlas.sides),
            "disjoint_cycles": everything,
            "unproved": int(self.effort[UNPROVED]),
            "seconds": time.perf_counter() - self.begun,
        }
        if self.counts and not self.only_short:
            notes["entropy_bound"] = entropy_bound(self.graph)
        if self.judge:
            notes["undecided"] = self.undecided
            notes |= {"upheld": self.judge.upheld, "rejected": self.judge.rejected}
        return Candidates(
            words=words,
            complete=tuple(sorted(complete)),
            all_orders=everything,
            nodes=self.nodes,
            programs=int(self.effort[PROGRAMS]),
            tolerance=self.atlas.tolerance * self.unit if self.atlas is not None else 0.0,
            unfinished=unfinished,
            notes=notes,
            rigor="rigorous" if self.judge and notes["undecided"] == 0 else "numerical",
        )

    def decided(self, words: np.ndarray) -> np.ndarray:
        """Leave out the words that are proved to be no cycles; count those that are not proved to be cycles either."""
        assert self.judge is not None
        verdicts = np.array([self.judge.decide(word) for word in words])
        self.undecided += int(np.sum(verdicts == "open"))
        return words[verdicts != "none"]

    def gates(self, symbols: np.ndarray) -> np.ndarray:
        """Turn symbols `(n, k)` into gates `(n, k, G)`, the least rotation first."""
        assert self.atlas is not None
        gates = self.pieces.gates(self.atlas.sides[symbols])
        return np.stack([np.roll(word, -canonical_rotation(word), axis=0) for word in gates])


def _unit(bounds: AffineForm, box: Box) -> float:
    """Give the size of the offsets (of the box where there are none), as a power of two: dividing by it is exact."""
    size = max(np.max(np.abs(part), initial=0) for part in (bounds.offsets, bounds.shift, bounds.shift_jumps))
    size = size or np.max(np.abs([box.lower, box.upper]))
    return float(2.0 ** np.clip(np.round(np.log2(size)), -1000, 1000)) if 0 < size < np.inf else 1.0


def _keep(graph: Graph, edges: np.ndarray) -> Graph:
    return Graph(graph.nodes, graph.source[edges], graph.target[edges])
