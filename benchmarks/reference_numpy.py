"""Sequential SCYFI in plain NumPy: one start at a time, from word to word, for z' = A z + W relu(z) + h, A diagonal.

Written for this benchmark after Eisenmann, Monfared, Goering and Durstewitz (NeurIPS 2023), with the rules of cyclax:
the same kinds of starts, loops detected by remembered words (of this start, and loop words of all starts), 64 moves.
"""

from typing import NamedTuple

import numpy as np

from cyclax.cycles.word import WordKey, word_key
from cyclax.maps.affine import AffineForm

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


class Plain(NamedTuple):
    """The map z' = A z + W relu(z) + h."""

    A: np.ndarray
    W: np.ndarray
    h: np.ndarray

    @property
    def num_gates(self) -> int:
        """One for each state."""
        return len(self.h)

    @property
    def num_states(self) -> int:
        """M."""
        return len(self.h)

    def gates(self, z):
        """Say which gates are open."""
        return z > 0

    def step(self, z, gates):
        """Map a state with its gates."""
        return self.A * z + self.W @ np.where(gates, z, 0) + self.h

    def piece(self, gates):
        """Give Jacobian and shift."""
        J = self.W * gates
        J.flat[:: len(self.h) + 1] += self.A
        return J, self.h


class Summed(NamedTuple):
    """Any map of cyclax, as the sum of what its gates add (`maps.affine`): dearer than `Plain`, gate by gate."""

    form: AffineForm

    @property
    def num_gates(self) -> int:
        """G."""
        return len(self.form.offsets)

    @property
    def num_states(self) -> int:
        """M."""
        return len(self.form.closed)

    def gates(self, z):
        """Say which gates are open."""
        return self.form.gates(z)

    def step(self, z, gates):
        """Map a state with its gates."""
        J, q = self.piece(gates)
        return J @ z + q

    def piece(self, gates):
        """Give Jacobian and shift."""
        J = self.form.closed + np.sum(self.form.jumps[gates], axis=0)
        return J, self.form.shift + np.sum(self.form.shift_jumps[gates], axis=0)


def orbit_state(rng, net, scale):
    """Follow an orbit from a normal state for a random number of steps."""
    z = scale * 2.0 ** rng.uniform(-2, 4) * rng.standard_normal(net.num_states)
    for _ in range(rng.integers(LONGEST_TRANSIENT)):
        following = net.step(z, net.gates(z))
        if not np.abs(following).max() < 1e6 * scale:
            break
        z = following
    return z


def candidate(net, word):
    """Solve z = P z + q for the affine map that the word composes to; None where I - P is singular."""
    number = net.num_states
    P, q = np.eye(number), np.zeros(number)
    for gates in word:
        J, shift = net.piece(gates)
        P, q = J @ P, J @ q + shift
    try:
        return np.linalg.solve(np.eye(number) - P, q)
    except np.linalg.LinAlgError:
        return None


def itinerary(net, z, order):
    """Run the true map: the word met from z."""
    word = np.empty((order, net.num_gates), bool)
    for t in range(order):
        word[t] = net.gates(z)
        z = net.step(z, word[t])
    return word


def search(A, W, h, order: int, starts: int, seed: int = 0) -> CycleTable:
    """Run `starts` starts, alternating between states on orbits and uniform words."""
    return search_map(Plain(A, W, h), np.abs(h).max(), order, starts, seed)


def search_map(net, scale: float, order: int, starts: int, seed: int = 0) -> CycleTable:
    """Do the same for a `Plain` or `Summed` map; `scale`: of the states that orbits begin from."""
    rng = np.random.default_rng(seed)
    solves, hits, found, loop_words = 0, 0, {}, set()
    with np.errstate(all="ignore"):
        for number in range(starts):
            word, z = b"", None
            if number % 2:
                gates = rng.random((order, net.num_gates)) < 0.5
                word, z = gates.tobytes(), candidate(net, gates)
            if z is None:
                word, z = b"", orbit_state(rng, net, scale)
            seen = set()
            for _ in range(MOST_MOVES):
                gates = itinerary(net, z, order)
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
                word, z = met, candidate(net, gates)
                if z is None or not np.abs(z).max() < 1e120:
                    break
    return CycleTable(solves, hits, {word_key(gates) for gates in found.values()})


def check(search=search) -> None:
    """Demand the cycles of the known network back."""
    for order in range(1, 17):
        exact = {key for key in search(*KNOWN, order, 64).cycles if key.order == order}
        assert len(exact) == KNOWN_COUNTS.get(order, 0), (search, order, len(exact))
