"""Plain orbits in NumPy, of pieces that are rounded as wholes, to hold `attractors` against."""

import itertools

import numpy as np

import cyclax as cx

from .exact_map import ExactMap
from .judge import number_of

# Steps of orbits before their end.
STEPS = 4096


def stays(ends: np.ndarray, early: np.ndarray) -> np.ndarray:
    """Which orbits `(N,)` are at their end no further out than they had been by half the time."""
    last = np.max(np.abs(ends), axis=(0, 2))
    return (last / 1.01 <= early) & (last < 1e200)


def around(sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw 64 states to within rounding of one."""
    return sample * (1 + 1e-13 * rng.normal(size=(64, len(sample))))


def _in_floats(exact: ExactMap) -> tuple[np.ndarray, ...]:
    """Give the planes `(G, 1 + M)` of a map, and the affine pieces `(2^G, M, 1 + M)` by gates as bits: both rounded.

    Pieces are rounded as wholes: where large weights cancel, a step that adds them up leaves no digit of what is left.
    """
    cells = itertools.product([False, True], repeat=len(exact.matters))
    pieces = [[[number_of(x) for x in row] for row in exact.piece(cell).tolist()[1:]] for cell in cells]
    planes = [[number_of(x) for x in row] for row in exact.planes]
    return np.array(planes, float).reshape(-1, 1 + exact.size), np.array(pieces)


def plain_orbits(exact: ExactMap, samples: np.ndarray, stirring=None) -> tuple[np.ndarray, np.ndarray]:
    """Give the last 65 states `(65, N, M)` of plain orbits, and how large each had been by half the time `(N,)`.

    With a generator for `stirring`, rounding in each step is another: what a constant piece of the map lands on exactly
    is left again where it repels.
    """
    planes, pieces = _in_floats(exact)
    bits = 2 ** np.arange(len(planes))[::-1]
    most = np.max(np.abs(pieces), axis=0)  # a piece may be 0 as terms of gates cancel, and its rounding is not
    z, kept, early = samples, [], np.zeros(len(samples))
    with np.errstate(all="ignore"):
        for step in range(STEPS + 65):
            held = pieces[(z @ planes[:, 1:].T + planes[:, 0] > 0) @ bits]
            terms = np.abs(z) @ most[:, 1:].T + most[:, 0]
            z = (held[..., 1:] @ z[..., None])[..., 0] + held[..., 0]
            z = z if stirring is None else z + 1e-15 * terms * stirring.normal(size=z.shape)
            early = np.maximum(early, np.max(np.abs(z), axis=1)) if step < STEPS // 2 else early
            if step >= STEPS:
                kept.append(z)
    return np.stack(kept), early


def rounding(exact: ExactMap, cycle: cx.Cycle) -> float:
    """How far rounding takes plain orbits off a cycle that attracts strongly: where terms of a piece cancel, far."""
    _, pieces = _in_floats(exact)
    z = np.abs(np.concatenate([np.ones((len(cycle.points), 1)), cycle.points], axis=1))
    own = [np.abs(pieces[int("".join("01"[gate] for gate in cell) or "0", 2)]) for cell in exact.word_of(cycle.gates)]
    sizes = [piece @ point for piece, point in zip(own, z, strict=True)]
    return 64 * np.finfo(float).eps * float(np.max(sizes))
