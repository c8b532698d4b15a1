"""Random closed walks of the word graph, as starts for a search."""

import numpy as np
from scipy.sparse import csr_matrix

from cyclax.proofs.word_graph.walks import Graph

# Sweeps of the power iteration; what is drawn need not be exactly uniform.
_SWEEPS = 100
# Memory for the numbers of ways back to the nodes that walks begin at.
_BYTES = 2**27


def random_closed_walks(graph: Graph, order: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw closed walks of `order` steps: nodes `(n, order)`, n <= number (walks begun at nodes on none are left out).

    Every second first node is drawn by how many long walks run through it (Parry's measure of maximal entropy), the
    others evenly (that measure leaves out all but the largest component); every further node by how many ways lead from
    it back to the first: given its first node, every closed walk is equally likely.
    """
    if len(graph.source) == 0:
        return np.zeros((0, order), np.int64)
    shape = (graph.nodes, graph.nodes)
    matrix = csr_matrix((np.ones(len(graph.source)), (graph.source, graph.target)), shape=shape)
    through = _leading(matrix) * _leading(matrix.T.tocsr())
    first = rng.choice(graph.nodes, size=number, p=through / np.sum(through))
    first[1::2] = rng.integers(graph.nodes, size=len(first[1::2]))
    block = max(1, _BYTES // (8 * graph.nodes * (order + 1)))
    walks = [_from(matrix, first[i : i + block], order, rng) for i in range(0, number, block)]
    return np.concatenate(walks)


def _leading(matrix) -> np.ndarray:
    """Give the leading eigenvector, as far as a few sweeps see it (shifted, so that periodic graphs converge)."""
    vector = np.ones(matrix.shape[0])
    for _ in range(_SWEEPS):
        vector = matrix @ vector + vector
        vector /= np.max(vector)
    return vector


def _from(matrix, first: np.ndarray, order: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one closed walk from each of the nodes `first`."""
    number = len(first)
    lanes = np.arange(number)
    ways = np.zeros((order + 1, matrix.shape[0], number))  # [t]: walks of order - t steps to the first node
    ways[order, first, lanes] = 1
    for t in range(order, 0, -1):
        ways[t - 1] = matrix @ ways[t]
        ways[t - 1] /= np.maximum(np.max(ways[t - 1], axis=0), 1e-300)
    usable = ways[0, first, lanes] > 0
    at, lanes = first[usable], lanes[usable]
    walk = np.empty((len(at), order), np.int64)
    for t in range(order):
        walk[:, t] = at
        following = matrix[at].multiply(ways[t + 1][:, lanes].T).tocsr()
        heights = np.concatenate([[0.0], np.cumsum(following.data)])
        low, high = heights[following.indptr[:-1]], heights[following.indptr[1:]]
        place = np.searchsorted(heights, low + rng.uniform(size=len(at)) * (high - low), side="right") - 1
        at = following.indices[np.clip(place, following.indptr[:-1], following.indptr[1:] - 1)].astype(np.int64)
    return walk
