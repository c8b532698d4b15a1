"""Where paths begin. Start i of order k draws from the key, k and i alone, whatever the lanes, blocks or devices.

In equal shares: normal states of the network's scale; states along orbits, off by what one step lacks; states with all
gates closed; and solutions known, off in a random direction.
"""

import jax
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.draws import GOLDEN, counted, mixed, normals, uniforms
from cyclax.paths.system import Gates

KINDS = 4
# How long an orbit is followed before its states become a start: a random number of steps below this.
_LONGEST_TRANSIENT = 32
# An orbit that comes this far out, in states of the network's scale, has left.
_FAR = 1e6
# The seeds that a start has to itself.
_SEEDS = 4


def seeds_of(key: Array, order: int, first: int, number: int) -> np.ndarray:
    """Give the seeds `(4, number)` of starts from number `first` on."""
    state = np.full(1, order, np.uint64)
    for part in np.asarray(jax.random.key_data(key)).astype(np.uint64):
        state = mixed(state * np.uint64(GOLDEN) + part)
    return counted(state, _SEEDS * first, _SEEDS * number).reshape(number, _SEEDS).T


def path_starts(
    gates: Gates, order: int, key: Array, first: int, number: int, scale: float, solutions: list[np.ndarray]
) -> tuple[Float[np.ndarray, "B k M"], Float[np.ndarray, " B"], np.ndarray]:
    """Draw starts of paths.

    **Arguments:** `first`: their first number; `scale`: the size of states; `solutions`: points `(p, M)` of cycles of
    orders p that divide k.

    **Returns:** states; t, which is 1 where the states are a solution, else 0; and seeds for a direction `(B,)`.
    """
    size = len(gates.shift)
    seeds = seeds_of(key, order, first, number)
    kind = np.arange(first, first + number) % KINDS
    reach = scale * 2.0 ** (6 * uniforms(seeds[0], 1)[0] - 2)
    states = (reach * normals(seeds[1], order * size)).T.reshape(number, order, size)
    share = uniforms(seeds[2], 2)
    orbits = kind == 1
    states[orbits] = _along_orbits(gates, states[orbits], share[0, orbits], scale)
    states[kind == 2] = _closed(gates, states[kind == 2])
    t = np.zeros(number)
    for i in np.flatnonzero(kind == 3) if solutions else ():
        points = solutions[int(share[0, i] * len(solutions))]
        states[i] = np.roll(np.tile(points, (order // len(points), 1)), int(share[1, i] * len(points)), axis=0)
        t[i] = 1
    return states, t, seeds[3]


def _along_orbits(gates: Gates, states: np.ndarray, share: np.ndarray, scale: float) -> np.ndarray:
    """Follow orbits from the first states; what leaves for infinity stays as it is (k equal states cross in step)."""
    steps = (share * _LONGEST_TRANSIENT).astype(int)
    z, orbit = states[:, 0], []
    for t in range(_LONGEST_TRANSIENT):
        z = np.where((t < steps)[:, None], gates.step(z), z)
    for _ in range(states.shape[1]):
        orbit.append(z)
        z = gates.step(z)
    orbit = np.stack(orbit, axis=1)
    stays = np.max(np.abs(orbit), axis=(1, 2), initial=0.0) < _FAR * scale
    return np.where(stays[:, None, None], orbit, states)


def _closed(gates: Gates, states: np.ndarray) -> np.ndarray:
    """Move states to where all gates are closed, where that is done by a linear solve; else leave them."""
    away = np.abs(states @ gates.c.T)
    moved = (-away - gates.b) @ gates.reached.T if len(gates.b) else states
    inside = np.all(moved @ gates.c.T + gates.b <= 0, axis=(1, 2))
    return np.where(inside[:, None, None], moved, states)
