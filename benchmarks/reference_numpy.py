"""Sequential SCYFI in plain NumPy: one start at a time, from word to word, for z' = A z + W relu(z) + h, A diagonal.

Written for this benchmark after Eisenmann, Monfared, Goering and Durstewitz (NeurIPS 2023), with the rules of cyclax:
the same kinds of starts, loops detected by remembered words (of this start, and loop words of all starts), 64 moves.
"""

from typing import NamedTuple

import numpy as np

from cyclax.cycles.word import WordKey, word_key

MOST_MOVES = 64
LONGEST_TRANSIENT = 32
# What `check` demands back: a published 2-D network with one fixed point and two 16-cycles (Durstewitz lab, SCYFI.jl).
KNOWN = (
    np.array([0.8377689000000008, 0.96461297]),
    np.array([[0.0, -0.6437499999999996], [0.52505308, 0.0]]),
    np.array([0.37298253000000087, -0.97931491]),
)
KNOWN_COUNTS = {1: 1, 16: 2}


class CycleTable(NamedTuple):
    """What one search of one order gave: solves counted as cyclax does, one for each word met and compared."""

    solves: int
    hits: int
    cycles: set[WordKey]


def orbit_state(rng, A, W, h, scale):
    """Follow an orbit from a normal state for a random number of steps."""
    z = scale * 2.0 ** rng.uniform(-2, 4) * rng.standard_normal(len(h))
    for _ in range(rng.integers(LONGEST_TRANSIENT)):
        following = A * z + W @ np.maximum(z, 0) + h
        if not np.abs(following).max() < 1e6 * scale:
            break
        z = following
    return z


def candidate(A, W, h, word):
    """Solve z = P z + q for the affine map that the word composes to; None where I - P is singular."""
    P, q = np.eye(len(h)), np.zeros(len(h))
    for gates in word:
        step = W * gates
        step.flat[:: len(h) + 1] += A
        P, q = step @ P, step @ q + h
    try:
        return np.linalg.solve(np.eye(len(h)) - P, q)
    except np.linalg.LinAlgError:
        return None


def itinerary(A, W, h, z, order):
    """Run the true map: the word met from z."""
    word = np.empty((order, len(h)), bool)
    for t in range(order):
        word[t] = z > 0
        z = A * z + W @ np.where(word[t], z, 0) + h
    return word


def search(A, W, h, order: int, starts: int, seed: int = 0) -> CycleTable:
    """Run `starts` starts, alternating between states on orbits and uniform words."""
    rng, scale = np.random.default_rng(seed), np.abs(h).max()
    solves, hits, found, loop_words = 0, 0, {}, set()
    with np.errstate(all="ignore"):
        for number in range(starts):
            word, z = b"", None
            if number % 2:
                gates = rng.random((order, len(h))) < 0.5
                word, z = gates.tobytes(), candidate(A, W, h, gates)
            if z is None:
                word, z = b"", orbit_state(rng, A, W, h, scale)
            seen = set()
            for _ in range(MOST_MOVES):
                gates = itinerary(A, W, h, z, order)
                met = gates.tobytes()
                solves += 1
                if met == word:
                    hits += 1
                    found[met] = gates
                    break
                if met in seen or met in loop_words:
                    loop_words.add(met)
                    break
                seen.add(met)
                word, z = met, candidate(A, W, h, gates)
                if z is None or not np.abs(z).max() < 1e120:
                    break
    return CycleTable(solves, hits, {word_key(gates) for gates in found.values()})


def check(search=search) -> None:
    """Demand the cycles of the known network back."""
    for order in range(1, 17):
        exact = {key for key in search(*KNOWN, order, 64).cycles if key.order == order}
        assert len(exact) == KNOWN_COUNTS.get(order, 0), (search, order, len(exact))
