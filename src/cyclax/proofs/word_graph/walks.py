"""Closed walks of a directed graph: which edges lie on one, and the list of the short ones.

A graph is a pair of integer arrays, `source` and `target`, sorted by source.
"""

from typing import NamedTuple

import numpy as np

from cyclax.cycles.word import least_rotation
from cyclax.proofs.word_graph.compiled import compiled

# Steps of breadth-first search that one call of a kernel may take (about a quarter of a second).
STRIDE = 20_000_000
# Edges that are on no short walk are sought for this many steps an edge on average; then the rest is kept.
_SEARCH = 3_000
# Walks that a kernel lists in one call.
LISTED = 100_000
# Sweeps that bound the spectral radius.
_SWEEPS = 300

# numba keeps programs that contain this one by the stamp of their own file: whoever changes that function empties
# its cache (NUMBA_CACHE_DIR, or the __pycache__ beside).
_least_rotation = compiled(least_rotation)


class Graph(NamedTuple):
    """Edges sorted by source, with the number of nodes."""

    nodes: int
    source: np.ndarray
    target: np.ndarray

    def begins(self) -> np.ndarray:
        """Give where the edges of each node begin, `(nodes + 1,)`."""
        return np.searchsorted(self.source, np.arange(self.nodes + 1)).astype(np.int64)

    def reversed(self) -> "Graph":
        """Turn every edge round."""
        order = np.argsort(self.target, kind="stable")
        return Graph(self.nodes, self.target[order], self.source[order])

    def is_disjoint_cycles(self) -> bool:
        """Whether every node that has edges has one in and one out."""
        if len(self.source) == 0:
            return True
        out, into = (np.bincount(ends, minlength=self.nodes) for ends in (self.source, self.target))
        return bool(np.all(out <= 1) and np.array_equal(out, into))


def recurrent_edges(graph: Graph) -> np.ndarray:
    """Say of each edge whether it lies within a strongly connected component, as every edge of a closed walk does."""
    if np.array_equal(graph.source, graph.target):
        return np.ones(len(graph.source), bool)
    # Imported here, as it takes its time, and graphs of order 1 have no edges but these.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(graph.source), np.int8)
    matrix = csr_matrix((ones, (graph.source, graph.target)), shape=(graph.nodes, graph.nodes))
    _, component = connected_components(matrix, directed=True, connection="strong")
    return component[graph.source] == component[graph.target]


def short_edges(graph: Graph, longest: int, check=lambda: None) -> np.ndarray:
    """Say of each edge whether it lies on a closed walk of at most `longest` steps (or was not worth the search).

    `check` is called now and then, and may raise.
    """
    keep = np.zeros(len(graph.source), np.uint8)
    ahead, back = graph.begins(), graph.reversed()
    behind = back.begins()
    seen_ahead, seen_behind = (np.full(graph.nodes, -1, np.int64) for _ in range(2))
    parent_ahead, parent_behind, *queues = (np.zeros(graph.nodes, np.int64) for _ in range(4))
    allowed, edge = _SEARCH * len(graph.source) + STRIDE, 0
    # Edges of the reversed graph (which begin at `origin`) by their number in the graph.
    number = np.argsort(graph.target, kind="stable")
    while edge < len(graph.source):
        if allowed <= 0:
            keep[edge:] = 1
            break
        check()
        edge, steps = _mark_short(
            graph.source, graph.target, ahead, back.target, behind, number, longest, edge, STRIDE, keep,
            seen_ahead, seen_behind, parent_ahead, parent_behind, *queues,
        )  # fmt: skip
        allowed -= steps
    return keep.astype(bool)


@compiled
def _step_on(edge, queue, first, last, begins, ends, seen, seen_from_there, came):
    """Go one step on from the nodes of the queue from `first` to `last`, which is where new ones are put.

    **Returns:** where the queue ends now; the node at which the search from the other end is met, or -1; steps taken.
    """
    steps, end = 0, last
    for i in range(first, end):
        for e in range(begins[queue[i]], begins[queue[i] + 1]):
            steps += 1
            w = ends[e]
            if seen[w] != edge:
                seen[w], came[w] = edge, e
                queue[last] = w
                last += 1
                if seen_from_there[w] == edge:
                    return last, w, steps
    return last, -1, steps


@compiled
def _mark_short(
    source, target, ahead, origin, behind, number, longest, first, stride, keep,
    seen_ahead, seen_behind, into, out, forth, back,
):  # fmt: skip
    """Search from both ends of each edge at once; all edges of a closed walk that is found are marked with it."""
    steps = 0
    for edge in range(first, len(source)):
        if steps > stride:
            return edge, steps
        steps += 1
        if keep[edge]:
            continue
        u, v = source[edge], target[edge]
        meeting = -1
        if u == v:
            keep[edge] = 1
            continue
        forth[0], back[0] = v, u
        seen_ahead[v], seen_behind[u] = edge, edge
        first_forth, last_forth, first_back, last_back = 0, 1, 0, 1
        for _ in range(longest - 1):
            if first_forth == last_forth or first_back == last_back:
                break
            if last_forth - first_forth <= last_back - first_back:
                end = last_forth
                last_forth, meeting, taken = _step_on(
                    edge, forth, first_forth, end, ahead, target, seen_ahead, seen_behind, into
                )
                first_forth = end
            else:
                end = last_back
                last_back, meeting, taken = _step_on(
                    edge, back, first_back, end, behind, origin, seen_behind, seen_ahead, out
                )
                first_back = end
            steps += taken
            if meeting >= 0:
                break
        if meeting >= 0:
            keep[edge] = 1
            w = meeting
            while w != v:
                keep[into[w]] = 1
                w = source[into[w]]
            w = meeting
            while w != u:
                keep[number[out[w]]] = 1
                w = target[number[out[w]]]
    return len(source), steps


def disjoint_cycles(graph: Graph) -> list[np.ndarray]:
    """List the nodes of each cycle of a graph that is a union of disjoint cycles."""
    following = dict(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    found = []
    while following:
        node, after = following.popitem()
        walk = [node]
        while after != walk[0]:
            walk.append(after)
            after = following.pop(after)
        found.append(np.array(walk))
    return found


def closed_walks(graph: Graph, words: np.ndarray, orders: list[int], most: int, steps: int, check=lambda: None):
    """List the primitive closed walks of these lengths as symbols, each in its least rotation, once.

    **Arguments:** `words`: `(nodes, L)` the itineraries of the nodes, sorted; an edge moves on by one symbol. `most`:
    walks and `steps`: steps of the search after which it is given up.

    **Returns:** {length: `(n, length)` symbols}, or None when it was given up; and the steps taken.
    """
    begins = graph.begins()
    words = np.ascontiguousarray(words, np.int32)
    found, total, left = {}, 0, steps
    for order in orders:
        out = np.empty((min(most - total, LISTED) + 1, order), np.int32)
        path = np.empty(order + 1, np.int64), np.empty(order + 1, np.int64)
        spelled = np.empty(order + words.shape[1] + 1, np.int32)
        reached, parts = np.array([0, -1]), []
        while reached[0] < graph.nodes:
            check()
            stride = min(STRIDE, left)
            filled, taken = _list_walks(graph.target, begins, words, order, reached, stride, out, *path, spelled)
            parts.append(out[:filled].copy())
            left, total = left - taken, total + filled
            if total > most or (left <= 0 and reached[0] < graph.nodes):
                return None, steps - left
        found[order] = np.unique(np.concatenate([out[:0], *parts]), axis=0)
    return found, steps - left


@compiled
def _list_walks(target, begins, words, order, reached, stride, out, path, edge, spelled):
    """Closed walks from each node through nodes not before it, depth first.

    The last L symbols of a walk of k steps are the first ones of the node it began at, so the search is free to choose
    for k - L steps only: it visits hardly more paths than there are closed walks. Where k < L the node itself must have
    the period k.

    It stops when `out` is full or the steps are spent, and goes on from there when called again: `reached` holds the
    node that walks begin at and the length of the path from it (-1: none yet), `path`, `edge`, `spelled` the path.

    **Returns:** the walks in `out`, and the steps taken.
    """
    length = words.shape[1]
    steps, filled = 0, 0
    start, depth = reached[0], reached[1]
    while start < len(begins) - 1:
        if depth < 0:
            steps += 1
            for i in range(length):
                spelled[i] = words[start, i]
            repeats = True
            for i in range(order, length):
                repeats = repeats and spelled[i] == spelled[i - order]
            if repeats:
                depth = 0
                path[0], edge[0] = start, begins[start]
        while depth >= 0 and steps <= stride and filled < len(out):
            steps += 1
            if edge[depth] == begins[path[depth] + 1]:
                depth -= 1
                continue
            w = target[edge[depth]]
            edge[depth] += 1
            position = depth + length
            symbol = words[w, length - 1]
            if w < start or (position >= order and symbol != spelled[position - order]):
                continue
            spelled[position] = symbol
            if depth + 1 == order:
                if w != start:
                    continue
                begin, primitive = _least_rotation(spelled[:order])
                if primitive:
                    for i in range(order):
                        out[filled, i] = spelled[(begin + i) % order]
                    filled += 1
            else:
                depth += 1
                path[depth], edge[depth] = w, begins[w]
        if depth < 0:
            start += 1
        if steps > stride or filled == len(out):
            break
    reached[0], reached[1] = start, depth
    return filled, steps


def entropy_bound(graph: Graph) -> float:
    """Bound the logarithm of the spectral radius of the graph from above; -inf where it has no edges.

    For any positive vector x the largest (A x)_i / x_i bounds the spectral radius (Collatz and Wielandt).
    """
    if len(graph.source) == 0:
        return -np.inf
    from scipy.sparse import csr_matrix

    ones = np.ones(len(graph.source))
    matrix = csr_matrix((ones, (graph.source, graph.target)), shape=(graph.nodes, graph.nodes))
    vector, best = np.ones(graph.nodes), np.inf
    for _ in range(int(np.clip(10**8 // len(ones), 10, _SWEEPS))):
        image = matrix @ vector
        ratios = image / vector
        best = min(best, float(ratios.max()))
        if ratios.max() - ratios.min() < 1e-9 * best:
            break
        vector = np.maximum(vector + image, 1e-200)
        vector /= vector.max()
    return float(np.log(best)) + 1e-9
