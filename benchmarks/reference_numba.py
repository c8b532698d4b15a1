"""The loop of `reference_numpy`, compiled with numba, on one core or on all.

The number of states is a compile-time constant, so that short loops unroll; the product is written out or goes to
BLAS, the elimination is written out or goes to LAPACK, whichever was measured to be faster for the size. Only open
gates are multiplied. Numba calls SciPy's OpenBLAS: set OPENBLAS_NUM_THREADS=1 before NumPy is imported.
"""

# ruff: noqa: NPY002 - compiled code draws from numba's own generators, one for each thread

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from benchmarks.reference_numpy import LONGEST_TRANSIENT, MOST_MOVES, CycleTable, Plain, check, itinerary
from cyclax.cycles.word import word_key

# Measured on 2 cores of an AMD EPYC: up to this size loops beat BLAS, then BLAS on all columns beats BLAS on the open
# ones, and elimination by loops beats LAPACK.
LOOPS_UP_TO, ALL_COLUMNS_UP_TO, ELIMINATION_UP_TO = 8, 16, 64
LOOP_TABLE = 256
HIT = 1
CORES = os.cpu_count() or 1
THREADS = ThreadPoolExecutor(CORES)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Fused multiply-adds are allowed; nothing that would break comparisons with inf and nan.
njit = functools.partial(numba.njit, fastmath={"contract", "nsz", "arcp"})


def _compose(M):
    """Give the function that multiplies the Jacobians of k steps, for M states."""

    @njit
    def first(A, W, gates, P):
        for i in range(M):
            for j in range(M):
                P[i, j] = W[i, j] if gates[0, j] else 0.0
            P[i, i] += A[i]

    @njit
    def by_loops(A, W, gates, P, Q, work):
        first(A, W, gates, P)
        for t in range(1, len(gates)):
            for i in range(M):
                for c in range(M):
                    Q[i, c] = A[i] * P[i, c]
                for j in range(M):
                    if gates[t, j]:
                        for c in range(M):
                            Q[i, c] += W[i, j] * P[j, c]
            P, Q = Q, P
        return P

    @njit
    def by_blas(A, W, gates, P, Q, work):
        first(A, W, gates, P)
        for t in range(1, len(gates)):
            first(A, W, gates[t:], work[0])
            np.dot(work[0], P, Q)
            P, Q = Q, P
        return P

    @njit
    def by_blas_on_open(A, W, gates, P, Q, work):
        first(A, W, gates, P)
        rows = work[1]
        for t in range(1, len(gates)):
            open_gates = np.flatnonzero(gates[t])
            n = len(open_gates)
            columns = work[0].reshape(-1)[: M * n].reshape(M, n)
            for j in range(n):
                rows[j] = P[open_gates[j]]
            for i in range(M):
                for j in range(n):
                    columns[i, j] = W[i, open_gates[j]]
            np.dot(columns, rows[:n], Q)
            for i in range(M):
                for c in range(M):
                    Q[i, c] += A[i] * P[i, c]
            P, Q = Q, P
        return P

    return by_loops if M <= LOOPS_UP_TO else by_blas if M <= ALL_COLUMNS_UP_TO else by_blas_on_open


def _solve(M):
    """Give the function that turns r into S^-1 r and says whether S (destroyed) was regular."""

    @njit
    def eliminate(S, r):
        for p in range(M):
            best = p
            for i in range(p + 1, M):
                if abs(S[i, p]) > abs(S[best, p]):
                    best = i
            if S[best, p] == 0.0:
                return False
            if best != p:
                r[p], r[best] = r[best], r[p]
                for c in range(p, M):
                    S[p, c], S[best, c] = S[best, c], S[p, c]
            inverse = 1 / S[p, p]
            for i in range(p + 1, M):
                factor = S[i, p] * inverse
                r[i] -= factor * r[p]
                for c in range(p + 1, M):
                    S[i, c] -= factor * S[p, c]
        for p in range(M - 1, -1, -1):
            for c in range(p + 1, M):
                r[p] -= S[p, c] * r[c]
            r[p] /= S[p, p]
        return True

    @njit
    def lapack(S, r):
        try:
            r[:] = np.linalg.solve(S, r)
        except Exception:  # numba knows no finer class
            return False
        return True

    return eliminate if M <= ELIMINATION_UP_TO else lapack


@functools.cache
def kernel(M: int):
    """Compile for M states: a function that runs starts and fills the arrays `states`, `words`, `moves` and `fates`."""
    compose, solve = _compose(M), _solve(M)

    @njit
    def run(A, W, h, z, image, held, gates):
        """Run k steps; the gates are met by the state, or held as given. Returns the hash of the word."""
        following = np.empty(M)
        word = GOLDEN  # 0 stands for no word
        for i in range(M):
            image[i] = z[i]
        for t in range(len(gates)):
            for i in range(M):
                following[i] = A[i] * image[i] + h[i]
                if not held:
                    gates[t, i] = image[i] > 0
            for j in range(M):
                word = (word ^ np.uint64(gates[t, j])) * GOLDEN
                word ^= word >> np.uint64(29)
                if gates[t, j]:
                    for i in range(M):
                        following[i] += W[i, j] * image[j]
            for i in range(M):
                image[i] = following[i]
        return word

    @njit
    def advance(A, W, z, image, gates, P, Q, work, S):
        """Move z to the candidate of its word; give its largest coordinate, inf where I - P is singular."""
        product = compose(A, W, gates, P, Q, work)
        for i in range(M):
            for j in range(M):
                S[i, j] = -product[i, j]
            S[i, i] += 1.0
            image[i] -= z[i]
        if not solve(S, image):
            return np.inf
        size = 0.0
        for i in range(M):
            z[i] += image[i]
            size = max(size, abs(z[i])) if z[i] == z[i] else np.inf
        return size

    @njit(nogil=True)
    def search(A, W, h, order, seed, states, words, moves, fates):
        np.random.seed(seed)
        scale = np.abs(h).max()
        P, Q, S, work = np.empty((M, M)), np.empty((M, M)), np.empty((M, M)), np.empty((2, M, M))
        z, image, gates = np.empty(M), np.empty(M), np.empty((order, M), np.bool_)
        one_gate = np.empty((1, M), np.bool_)
        seen, loops = np.zeros(MOST_MOVES, np.uint64), np.zeros(LOOP_TABLE, np.uint64)
        for start in range(len(words)):
            word, usable = np.uint64(0), False
            if start % 2:
                for t in range(order):
                    for j in range(M):
                        gates[t, j] = np.random.random() < 0.5
                z[:] = 0.0
                word = run(A, W, h, z, image, True, gates)
                usable = advance(A, W, z, image, gates, P, Q, work, S) < np.inf
            if not usable:
                word, size = np.uint64(0), scale * 2.0 ** (6 * np.random.random() - 2)
                for i in range(M):
                    z[i] = size * np.random.standard_normal()
                for _ in range(np.random.randint(LONGEST_TRANSIENT)):
                    run(A, W, h, z, image, False, one_gate)
                    if not np.abs(image).max() < 1e6 * scale:
                        break
                    z[:] = image
            for m in range(MOST_MOVES):
                moves[start] = m + 1
                met = run(A, W, h, z, image, False, gates)
                if met == word:
                    fates[start] = HIT
                    break
                known = loops[met % np.uint64(LOOP_TABLE)] == met
                for earlier in range(m):
                    known |= seen[earlier] == met
                if known:
                    loops[met % np.uint64(LOOP_TABLE)] = met
                    break
                seen[m] = word = met
                if not advance(A, W, z, image, gates, P, Q, work, S) < 1e120:
                    break
            states[start], words[start] = z, word

    return search


def search(A, W, h, order: int, starts: int, seed: int = 0, *, all_cores: bool = False) -> CycleTable:
    """Run `starts` starts, as `reference_numpy.search` does."""
    states, words = np.empty((starts, len(h))), np.zeros(starts, np.uint64)
    moves, fates = np.zeros(starts, np.int32), np.zeros(starts, np.int8)
    arrays = states, words, moves, fates
    blocks = 8 * CORES if all_cores else 1
    parts = [slice(b * starts // blocks, (b + 1) * starts // blocks) for b in range(blocks)]
    run = lambda b: kernel(len(h))(A, W, h, order, seed + b, *(array[parts[b]] for array in arrays))  # noqa: E731
    if all_cores:
        list(THREADS.map(run, range(blocks)))  # the kernel releases the GIL
    else:
        run(0)
    hit = np.flatnonzero(fates == HIT)
    _, first = np.unique(words[hit], return_index=True)
    cycles = {word_key(itinerary(Plain(A, W, h), states[i], order)) for i in hit[first]}
    return CycleTable(int(moves.sum()), len(hit), cycles)


def check_both() -> None:
    """Demand the cycles of the known network back, on one core and on all."""
    for all_cores in (False, True):
        check(functools.partial(search, all_cores=all_cores))
