"""The system whose zeros are the orbits of period k, as a sum of ReLUs, for paths to be followed through.

F(z) = J z + o + sum_g a_g relu(c_g . z + b_g). With x = (z_0, .., z_{k-1}) the equations z_{t+1} = F(z_t), t cyclic,
are E(x) = S x - r - sum_g a_g relu(c_g . x + b_g) = 0 with k times the gates: S = I - shifted J, equation t standing in
the rows of z_{t+1}, so that det of the derivative of E is det(I - P).
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cyclax.core.draws import normals
from cyclax.maps.affine import AffineForm, proportional

# What a gate switches is of rank one along its own gradient, as continuity asks, but for rounding of this size.
_RANK_ONE = 1e-9
# Sizes of the arrays that kernels are given (a half more each time): few of them, as each is compiled.
_SIZES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# States are eliminated, where gates are fewer, if that loses no more than half of the digits.
_WELL_CONDITIONED = 1e8
# Where regions are singular, paths are followed in a network this near (relative to its Jacobian), so that they go on.
_NUDGE = 1e-8


class NotFollowedError(ValueError):
    """Paths cannot be followed through this map; the message says why."""


class System(NamedTuple):
    """E(x) = S x - r - sum_g a_g relu(c_g . x + b_g), padded: the arrays that kernels are given."""

    S: np.ndarray  # (n, n)
    r: np.ndarray  # (n,)
    a: np.ndarray  # (N, n)
    c: np.ndarray  # (N, n), or (0, n) where c is the identity
    b: np.ndarray  # (N,)
    salts: np.ndarray  # (N,) 64 random bits for each gate: the hash of a word is their XOR over open gates


@dataclasses.dataclass(frozen=True)
class Gates:
    """A map as a sum of ReLUs of unit gradients, the gates of one plane merged into one.

    Gate g of the model is open where gate `plane[g]` is, or closed where `turned[g]`; -1 where it does not matter.
    """

    closed: Float[np.ndarray, "M M"]
    shift: Float[np.ndarray, " M"]
    a: Float[np.ndarray, "P M"]
    c: Float[np.ndarray, "P M"]
    b: Float[np.ndarray, " P"]
    plane: np.ndarray
    turned: np.ndarray
    settled: np.ndarray

    @functools.cached_property
    def reached(self) -> Float[np.ndarray, "M P"]:
        """The pseudoinverse of c: the states whose readings are nearest to those given."""
        return np.linalg.pinv(self.c)

    def step(self, z: Float[np.ndarray, "n M"]) -> Float[np.ndarray, "n M"]:
        """Map states once."""
        return z @ self.closed.T + self.shift + np.maximum(z @ self.c.T + self.b, 0) @ self.a

    def words(self, merged: Bool[np.ndarray, "n k P"]) -> Bool[np.ndarray, "n k G"]:
        """Give the gates of the model for those of the planes."""
        words = np.broadcast_to(self.settled, (*merged.shape[:2], len(self.settled))).copy()
        known = self.plane >= 0
        words[..., known] = merged[..., self.plane[known]] ^ self.turned[known]
        return words


def merged_gates(bounds: AffineForm) -> Gates:
    """Write a map as a sum of ReLUs, and merge gates of one plane: a path would meet them in one point, always.

    **Raises:** `NotFollowedError` where a gate switches more than a multiple of its own preactivation: the map is not
    continuous there, or its gates do not add up.
    """
    closed, shift = bounds.closed, bounds.shift
    with np.errstate(all="ignore"):
        for g in np.flatnonzero(bounds.settled):
            closed, shift = closed + bounds.jumps[g], shift + bounds.shift_jumps[g]
    plane, turned = np.full(len(bounds.offsets), -1), np.zeros(len(bounds.offsets), bool)
    rows: list[np.ndarray] = []
    gains: list[np.ndarray] = []
    leaders: list[np.ndarray] = []
    for g in np.flatnonzero(bounds.effective).tolist():
        gain, length = _gain(bounds, g)
        row = np.append(bounds.gradients[g], bounds.offsets[g])
        twin, sign = _twin(np.reshape(rows, (-1, len(row))), leaders, row)
        if twin is None:
            plane[g] = len(leaders)
            leaders.append(row)
            rows.append(row / length)
            gains.append(gain)
            continue
        plane[g], turned[g] = twin, sign < 0
        if turned[g]:  # relu(-y) = relu(y) - y
            closed, shift = closed - np.outer(gain, rows[twin][:-1]), shift - gain * rows[twin][-1]
        gains[twin] = gains[twin] + gain
    size = len(bounds.shift)
    a, cb = np.reshape(gains, (-1, size)), np.reshape(rows, (-1, size + 1))
    return Gates(closed, shift, a, cb[:, :-1], cb[:, -1], plane, turned, bounds.settled)


def _twin(units: np.ndarray, leaders: list[np.ndarray], row: np.ndarray) -> tuple[int | None, int]:
    """Find the plane `row` among the leaders (`units`: in units of their gradients), and whether it is turned."""
    unit = row / np.linalg.norm(row[:-1])
    tolerance = 1e-9 * np.max(np.abs(unit))
    apart = np.minimum(*(np.max(np.abs(units - turned), axis=1) for turned in (unit, -unit)))
    for i in np.flatnonzero(apart <= tolerance).tolist():
        if sign := proportional(leaders[i], row):
            return i, sign
    return None, 0


def _gain(bounds: AffineForm, g: int) -> tuple[np.ndarray, float]:
    """What gate g adds for each unit of distance from its plane, and the length of its gradient."""
    gradient, jump = bounds.gradients[g], bounds.jumps[g]
    length = float(np.linalg.norm(gradient))
    gain = jump @ gradient / length
    size = np.max(np.abs(jump))
    off = np.max(np.abs(jump - np.outer(gain, gradient / length)))
    with np.errstate(all="ignore"):
        away = np.max(np.abs(bounds.shift_jumps[g] - gain * (bounds.offsets[g] / length)))
    roundoff = np.max(np.abs(bounds.shift)) + np.max(np.abs(gain)) * abs(bounds.offsets[g]) / length
    if not (off <= _RANK_ONE * size and away <= _RANK_ONE * roundoff):
        raise NotFollowedError(
            f"paths cannot be followed through gate {g}: what it adds is not a multiple of its preactivation, so that "
            "the map is not continuous there"
        )
    return gain, length


class Problem:
    """The search for orbits of one period: the system, and what its words mean. Must be made under `numerics()`.

    **Arguments:** `gates`: the map; `order`: k; `nudged`: take a network nearby, where regions of this one are
    singular (its words are to be solved with the map itself).
    """

    def __init__(self, gates: Gates, order: int, nudged: bool = False):
        self.gates, self.order = gates, order
        closed, (planes, size) = gates.closed, gates.a.shape
        if nudged:
            noise = np.random.default_rng(0).normal(size=closed.shape)
            closed = closed + _NUDGE * (1 + np.max(np.abs(closed))) * noise
        n, self.num_gates = order * size, order * planes
        S, a, c = np.eye(n), np.zeros((self.num_gates, n)), np.zeros((self.num_gates, n))
        for t in range(order):
            here, there = slice(t * size, (t + 1) * size), slice((t + 1) % order * size, ((t + 1) % order + 1) * size)
            S[there, here] -= closed
            a[t * planes : (t + 1) * planes, there], c[t * planes : (t + 1) * planes, here] = gates.a, gates.c
        r, b = np.tile(gates.shift, order), np.tile(gates.b, order)
        # Of the states only what gates read matters; it obeys y = c S^-1 (r + sum_g a_g relu(y_g + b_g)).
        self._reads: np.ndarray | None = None
        if planes < size and np.linalg.cond(S) < _WELL_CONDITIONED:
            solved = c @ np.linalg.inv(S)
            self._reads, r, a = c, solved @ r, a @ solved.T
            S, c, n = np.eye(self.num_gates), np.eye(self.num_gates), self.num_gates
        self.size = n
        identity = c.shape == (n, n) and np.array_equal(c, np.eye(n))
        padded = _padded(n, self.num_gates, identity)
        self.system = _pad(S, r, a, c, b, identity, *padded)

    def entered(self, states: Float[np.ndarray, "B k M"]) -> Float[np.ndarray, "B n"]:
        """Give the unknowns, padded, for states along k steps."""
        x = states.reshape(len(states), -1)
        x = x if self._reads is None else x @ self._reads.T
        return np.pad(x, ((0, 0), (0, len(self.system.r) - self.size)))

    def directions(self, seeds: np.ndarray, scale: float) -> Float[np.ndarray, "B n"]:
        """Draw directions in which a path leaves a solution: normal, padded."""
        drawn = scale * normals(seeds, self.size).T
        return np.pad(drawn, ((0, 0), (0, len(self.system.r) - self.size)))

    def words(self, held: Bool[np.ndarray, "B N"]) -> Bool[np.ndarray, "B k G"]:
        """Give the words of the model for gates as a path has held them."""
        return self.gates.words(held[:, : self.num_gates].reshape(len(held), self.order, -1))


def _padded(n: int, gates: int, identity: bool) -> tuple[int, int]:
    """Sizes of the arrays: from a list, so that few programs are compiled."""
    if identity:
        n = gates = max(n, gates)
    return tuple(next((size for size in _SIZES if size >= number), number) for number in (n, gates))  # pyright: ignore


def _pad(S, r, a, c, b, identity: bool, n: int, gates: int) -> System:
    """Unknowns that are 0, and gates that never open, up to the sizes of the arrays."""
    more, others = n - len(r), gates - len(b)
    wide = np.eye(n)
    wide[: len(r), : len(r)] = S
    salts = np.random.default_rng(0).integers(1, 2**64, gates, np.uint64)
    c = np.zeros((0, n)) if identity else np.pad(c, ((0, others), (0, more)))
    b = np.pad(b, (0, others), constant_values=-1.0)
    return System(wide, np.pad(r, (0, more)), np.pad(a, ((0, others), (0, more))), c, b, salts)
