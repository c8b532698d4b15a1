"""All cycles of all orders from the graph of feasible itineraries.

Its nodes are the words of L regions that an orbit can visit in a row, its edges the words of L + 1. A cycle is a
closed walk, so only edges within strongly connected components are kept (and, if only orders up to K are wanted, only
edges on a closed walk of at most K steps) before the words are made one longer. When nothing is left, or disjoint
cycles, these are all the cycles that there are; otherwise the closed walks of each order are the candidates.
"""

import os
import time
from typing import NamedTuple

import numpy as np

from cyclax.cycles.exact.boxes import Pieces, pieces_of
from cyclax.cycles.exact.problem import Box, Budget, Candidates, Progress
from cyclax.cycles.exact.programs import (
    INFEASIBLE,
    PROGRAMS,
    UNPROVED,
    Atlas,
    add_hull,
    add_plane,
    begin,
    decide,
    njit,
    reset,
)
from cyclax.cycles.exact.regions import SpentError, Workers, map_regions
from cyclax.cycles.exact.walks import (
    Graph,
    closed_walks,
    disjoint_cycles,
    entropy_bound,
    recurrent_edges,
    short_edges,
)
from cyclax.cycles.solve import Borders
from cyclax.cycles.word import canonical_rotation

# What is listed of a graph that was not finished: walks, steps of the search, orders where all were asked for.
_MOST_LISTED, _MOST_STEPS, _MOST_ORDERS = 50_000, 30_000_000, 64
# Children that a kernel may report in one call, at least.
_BUFFER = 2**17


class Scratch(NamedTuple):
    """Room for the maps along one word, and for the tree over its candidates."""

    products: np.ndarray  # (L + 1, M, M + 1) z_t = products[t] (z_0, 1)
    rows: np.ndarray  # (L + 1,) rows before those of z_t
    tree: np.ndarray  # (G + 2, 5) begin and end of the candidates, rows before its own, its plane or -1, its side
    bases: np.ndarray  # (G + 2, M + 1)
    inverses: np.ndarray  # (G + 2, M + 1, M + 1)
    points: np.ndarray  # (G + 2, M + 1)
    following: np.ndarray  # (most candidates of a word,) flags


def make_scratch(atlas: Atlas, length: int, most: int) -> Scratch:
    """Give room for words of one length with at most so many candidates each."""
    size, depth = len(atlas.largest) - 1, atlas.sides.shape[1] + 2
    return Scratch(
        np.zeros((length + 1, size, size + 1)),
        np.zeros(length + 1, np.int64),
        np.zeros((depth, 5), np.int64),
        np.zeros((depth, size + 1), np.int64),
        np.zeros((depth, size + 1, size + 1)),
        np.zeros((depth, size + 1)),
        np.zeros(most, np.uint8),
    )


@njit(nogil=True, cache=True)
def _save(program, scratch, at):
    size = len(program.basis)
    for i in range(size):
        scratch.bases[at, i], scratch.points[at, i] = program.basis[i], program.vectors[0, i]
        for j in range(size):
            scratch.inverses[at, i, j] = program.inverse[0, i, j]


@njit(nogil=True, cache=True)
def _load(program, scratch, at):
    size = len(program.basis)
    for i in range(size):
        program.basis[i], program.vectors[0, i] = scratch.bases[at, i], scratch.points[at, i]
        for j in range(size):
            program.inverse[0, i, j] = scratch.inverses[at, i, j]


@njit(nogil=True, cache=True)
def _push(tree, at, low, high, count, plane, side):
    tree[at, 0], tree[at, 1], tree[at, 2], tree[at, 3], tree[at, 4] = low, high, count, plane, side


@njit(nogil=True, cache=True)
def _describe(atlas, program, scratch, word, begun):
    """Write the rows and held maps of a word from its symbol `begun` on."""
    products, size = scratch.products, len(atlas.largest) - 1
    for t in range(begun, len(word)):
        s = word[t]
        count = scratch.rows[t]
        for f in range(atlas.begins[s], atlas.begins[s + 1]):
            plane = atlas.facets[f]
            count = add_plane(atlas, program, count, plane, np.int64(atlas.sides[s, plane]), t, products)
        scratch.rows[t + 1] = count
        for i in range(size):
            for j in range(size + 1):
                products[t + 1, i, j] = 0.0
            products[t + 1, i, size] = atlas.maps[s, i, size]
            for k in range(size):
                for j in range(size + 1):
                    products[t + 1, i, j] += atlas.maps[s, i, k] * products[t, k, j]


@njit(nogil=True, cache=True)
def extend(atlas, program, scratch, words, firsts, lasts, symbols, first, last, out_words, out_next):
    """Find the successors of the words `first` to `last`: which of symbols[firsts[u]:lasts[u]] (sorted) can follow.

    The candidates of a word are a tree: they are split at the first plane on which they differ, one program a side,
    and the side of the last program's point needs none.

    **Returns:** the word reached (when `out_words`, `out_next` are full) and the number of pairs in them.
    """
    length, tree, following = words.shape[1], scratch.tree, scratch.following
    products = scratch.products
    scratch.rows[0] = begin(atlas, program, products)
    filled = 0
    for u in range(first, last):
        if filled + lasts[u] - firsts[u] > len(out_words):
            return u, filled
        word, same = words[u], 0
        while u > first and same < length and word[same] == words[u - 1, same]:
            same += 1
        _describe(atlas, program, scratch, word, same)
        base = add_hull(atlas, program, scratch.rows[length], length, products)
        reset(program)
        if decide(atlas, program, base, word) == INFEASIBLE:
            continue
        for candidate in range(lasts[u] - firsts[u]):
            following[candidate] = 0
        _save(program, scratch, 0)
        _push(tree, 0, firsts[u], lasts[u], base, -1, 0)
        top = 1 if lasts[u] > firsts[u] else 0
        while top > 0:
            top -= 1
            low, high, count, plane, side = tree[top, 0], tree[top, 1], tree[top, 2], tree[top, 3], tree[top, 4]
            _load(program, scratch, top)
            if plane >= 0:
                count = add_plane(atlas, program, count, plane, side, length, products)
            a, b = symbols[low], symbols[high - 1]
            if high - low == 1:
                end = count
                for f in range(atlas.begins[a], atlas.begins[a + 1]):
                    plane = atlas.facets[f]
                    side = np.int64(atlas.sides[a, plane])
                    end = add_plane(atlas, program, end, plane, side, length, products)
                if _met(program, count, end) or decide(atlas, program, end, word) != INFEASIBLE:
                    following[low - firsts[u]] = 1
                continue
            plane = 0
            while atlas.sides[a, plane] == atlas.sides[b, plane]:
                plane += 1
            middle, above = low, high - 1
            while above - middle > 1:
                half = (middle + above) // 2
                if atlas.sides[symbols[half], plane]:
                    above = half
                else:
                    middle = half
            add_plane(atlas, program, count, plane, 1, length, products)
            near = 1 if _met(program, count, count + 1) else 0
            # The near side needs no program. The far one goes below it, so that it comes off the stack later.
            add_plane(atlas, program, count, plane, 1 - near, length, products)
            _save(program, scratch, top + 1)
            if decide(atlas, program, count + 1, word) != INFEASIBLE:
                _save(program, scratch, top)
                _push(tree, top, low if near else above, above if near else high, count, plane, 1 - near)
                top += 1
            else:
                _load(program, scratch, top + 1)
                _save(program, scratch, top)
            _push(tree, top, above if near else low, high if near else above, count, plane, near)
            top += 1
        for candidate in range(lasts[u] - firsts[u]):
            if following[candidate]:
                out_words[filled], out_next[filled] = u, firsts[u] + candidate
                filled += 1
    return last, filled


@njit(nogil=True, cache=True)
def _met(program, first, last):
    """Whether the point at hand satisfies these rows (t aside)."""
    size = len(program.basis) - 1
    for i in range(first, last):
        slack = program.right[0, i]
        for j in range(size):
            slack -= program.rows[j, i] * program.vectors[0, j]
        if slack < 0:
            return False
    return True


def word_graph(
    bounds: Borders, orders: list[int] | None, box: Box, budget: Budget, progress: Progress, threads: int | None = None
) -> Candidates:
    """Find words among which are all cycles in the box, of these orders, or of all orders (None).

    The proof is numerical: see `programs` for what is proved. Regions are closed, so a cycle on a border appears under
    several words; where the graph ends as disjoint cycles, further words can only be powers of the listed ones.

    What remains assumed: that `bounds` are the borders of the map to a few units of rounding, and that the processor
    computes in IEEE float64.

    `notes`: `words_per_level`, `level`, `entropy_bound` (of what recurs in the box; absent where only short walks were
    kept), `regions`, `unproved` (programs that looked infeasible and were kept), `disjoint_cycles`, `seconds`.
    """
    return _Refinement(bounds, orders, box, budget, progress, threads or min(os.cpu_count() or 1, 16)).run()


class _Refinement:
    """One enumeration: the graph at its level, and what it has cost."""

    def __init__(self, bounds, orders, box, budget, progress, threads):
        self.orders, self.box, self.budget, self.progress, self.threads = orders, box, budget, progress, threads
        self.longest = max(orders) if orders else None
        self.pieces: Pieces = pieces_of(bounds)
        self.begun = time.perf_counter()
        self.atlas: Atlas | None = None
        self.graph, self.words = Graph(0, np.empty(0, np.int64), np.empty(0, np.int64)), np.empty((0, 1), np.int32)
        self.nodes, self.effort = 0, np.zeros(3, np.int64)
        self.counts: list[int] = []
        self.only_short = False  # edges were dropped because they lie on long walks only

    def run(self) -> Candidates:
        try:
            mapped = map_regions(self.pieces, self.box, self.threads, self.check, self.progress)
            if mapped is None:
                return self.result({}, everything=True)
            self.atlas, self.pieces, self.effort = mapped
            return self.refine()
        except SpentError as spent:
            return self.give_up(str(spent))

    def check(self, nodes: int = 0, memory: int = 0) -> None:
        reason = self.budget.spent(self.nodes + nodes, memory)
        if reason:
            raise SpentError(reason)

    def refine(self) -> Candidates:
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
            while first < last:
                first, filled = extend(atlas, program, scratch, words, firsts, lasts, symbols, first, last, *out)
                parts.append([part[:filled].copy() for part in out])
            return [np.concatenate(part) for part in zip(*parts, strict=True)]

        parts, found = [], 0

        def check():
            self.check(found, words.nbytes + found * (2 * 16 + 4 * (length + 1)))

        for part in crew.map(work, len(words), check):
            parts.append(part)
            found += len(part[0])
        self.effort = self.effort + crew.effort
        source, target = (np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True))
        return Graph(len(words), source, target)

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
        """Say what is proved with the last graph that was finished: the orders whose closed walks can be listed."""
        found, walks, steps = {}, _MOST_LISTED, _MOST_STEPS
        if self.counts:
            for order in self.orders or range(1, _MOST_ORDERS + 1):
                listed, taken = closed_walks(self.graph, self.words, [order], walks, steps)
                steps -= taken
                if listed is not None:
                    found.update(listed)
                    walks -= len(listed[order])
                if steps <= 0 or walks <= 0:
                    break
        left = f"words of {len(self.counts) + 1} regions: {self.counts[-1]} left" if self.counts else "regions"
        return self.result(found, unfinished=f"{reason} ({left})")

    def result(self, found: dict[int, np.ndarray], everything=False, unfinished="") -> Candidates:
        complete = tuple(sorted({*found, *((self.orders or ()) if not unfinished else ())}))
        words = {order: self.gates(walks) for order, walks in found.items() if len(walks)}
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
        return Candidates(
            words=words,
            complete=complete,
            all_orders=everything,
            nodes=self.nodes,
            programs=int(self.effort[PROGRAMS]),
            tolerance=self.atlas.tolerance if self.atlas is not None else 0.0,
            unfinished=unfinished,
            notes=notes,
        )

    def gates(self, symbols: np.ndarray) -> np.ndarray:
        """Turn symbols `(n, k)` into gates `(n, k, G)`, the least rotation first."""
        assert self.atlas is not None
        gates = self.pieces.gates(self.atlas.sides[symbols])
        return np.stack([np.roll(word, -canonical_rotation(word), axis=0) for word in gates])


def _keep(graph: Graph, edges: np.ndarray) -> Graph:
    return Graph(graph.nodes, graph.source[edges], graph.target[edges])
