"""The batched search: kernels that move many lanes at once, and the rounds that keep the lanes full.

A lane carries one start from word to word until its fate is known. Lanes move together for a few moves (a round);
then the host harvests the finished ones and gives them new starts. Starts are numbered, and what becomes of start i
depends on nothing but the model, the order, the key and i.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt64

from cyclax.cycles.newton import newton_step
from cyclax.maps.base import AbstractPiecewiseLinearMap

# A displacement this small, relative to the size of the state, is no displacement: the start has converged although
# rounding may still flip the gates (a cycle on a border, as z = 0 in a network without bias).
_STANDSTILL = 1e-14
# A state this large has left any region of interest; its square would overflow.
_LOST = 1e120
# Memory for the composed Jacobians and their neighbours: what the kernel touches in one step should stay in the cache.
_CACHE_BYTES = 2**19
# Entries of the table of words known to lie on loops, addressed by the last bits of their hashes.
_LOOP_TABLE = 256
# Moves a round: fewer keep the lanes fuller, more cost fewer visits of the host. About the median that a start takes.
_MOVES_PER_ROUND = 4


class Fate(enum.IntEnum):
    """What became of a start."""

    MOVING = 0
    HIT = 1  # the candidate meets its own word: a solution of F^k(z) = z
    LOOP = 2  # a word met before: the start circles among virtual cycles
    SINGULAR = 3  # I - P is singular: no candidate, or a whole family of them
    LOST = 4  # the candidate overflowed
    TIRED = 5  # the allowed number of moves is used up


class Lanes(NamedTuple):
    """What the lanes carry; the lane is the last axis."""

    z: Float[Array, "M L"]
    word: UInt64[Array, " L"]  # hash of the word whose candidate z is; 0 where z is only a point
    before: UInt64[Array, " L"]  # hash of the word before that
    anchor: UInt64[Array, " L"]  # hash remembered since the last power of two of moves (Brent's loop detection)
    moves: Int[Array, " L"]
    fate: Int[Array, " L"]


def move(
    model: AbstractPiecewiseLinearMap,
    order: Int[Array, ""],
    lanes: Lanes,
    most_moves: Int[Array, ""],
    loops: UInt64[Array, " T"],
) -> Lanes:
    """Move every lane once; lanes whose fate is known stay as they are.

    A lane loops when it meets a word again (the last but one, or the one at its anchor), or a word on which another
    start has been seen to loop: often all starts that do not converge end in the same few loops.
    """
    displacement, word, singular = newton_step(model, lanes.z, order)
    z = lanes.z + displacement
    size = jnp.max(jnp.abs(z), axis=0)
    hit = (word == lanes.word) | (jnp.max(jnp.abs(displacement), axis=0) <= _STANDSTILL * size)
    loop = (word == lanes.before) | (word == lanes.anchor) | (loops[word % jnp.uint64(loops.shape[0])] == word)
    moves = lanes.moves + 1
    fate = jnp.select(
        [singular, ~(size < _LOST), hit, loop, moves >= most_moves],
        [jnp.int32(f) for f in (Fate.SINGULAR, Fate.LOST, Fate.HIT, Fate.LOOP, Fate.TIRED)],
        jnp.int32(Fate.MOVING),
    )
    anchor = jnp.where(moves & (moves - 1) == 0, word, lanes.anchor)
    moving = lanes.fate == Fate.MOVING
    # The singular word is told by the state that met it, so that state is kept.
    z = jnp.where(moving & ~singular, z, lanes.z)
    new = (word, lanes.word, anchor, moves, fate)
    return Lanes(z, *(jnp.where(moving, after, before) for after, before in zip(new, lanes[1:], strict=True)))


@jax.jit
def advance(model, order, lanes: Lanes, moves, most_moves, loops) -> Lanes:
    """Run one round: `moves` moves of all lanes. A kernel: pure, may be vmapped over models."""
    return jax.lax.fori_loop(0, moves, lambda _, lanes: move(model, order, lanes, most_moves, loops), lanes)


class Outcome(NamedTuple):
    """What became of a block of starts, by start: arrays of length n (z: `(M, n)`)."""

    z: np.ndarray
    word: np.ndarray
    moves: np.ndarray
    fate: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The driver of the kernel: runs a block of starts to the end.

    **Arguments:** `lanes`: how many starts move together; `most_moves`: after which a start is given up.
    """

    lanes: int
    most_moves: int

    def run(
        self,
        model: AbstractPiecewiseLinearMap,
        order: int,
        z: np.ndarray,
        word: np.ndarray,
        stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Run the starts `z (M, n)`, candidates of the words whose hashes are `word (n,)` (0: none).

        Must be called under `jax.enable_x64(True)`. When `stop()` says so it returns early, and the fate of the starts
        that were under way is `MOVING`.
        """
        number = z.shape[1]
        outcome = Outcome(z.copy(), word.copy(), np.zeros(number, np.int32), np.zeros(number, np.int32))
        state = Lanes(
            np.zeros((z.shape[0], self.lanes)),
            *(np.zeros(self.lanes, np.uint64) for _ in range(3)),
            np.zeros(self.lanes, np.int32),
            np.full(self.lanes, Fate.LOST, np.int32),
        )
        start_of = np.full(self.lanes, -1)
        loops = np.zeros(_LOOP_TABLE, np.uint64)
        begun = 0
        while not stop():
            finished = state.fate != Fate.MOVING
            done = np.flatnonzero(finished & (start_of >= 0))
            for kept, found in zip(outcome, (state.z, state.word, state.moves, state.fate), strict=True):
                kept[..., start_of[done]] = found[..., done]
            start_of[done] = -1
            looped = state.word[done[state.fate[done] == Fate.LOOP]]
            loops[looped % np.uint64(_LOOP_TABLE)] = looped
            free = np.flatnonzero(finished)[: number - begun]
            fresh = np.arange(begun, begun + len(free))
            begun += len(free)
            start_of[free] = fresh
            state.z[:, free], state.word[free] = z[:, fresh], word[fresh]
            state.before[free] = state.anchor[free] = state.moves[free] = state.fate[free] = 0
            if np.all(start_of < 0):
                break
            state = Lanes(*map(np.array, advance(model, order, state, _MOVES_PER_ROUND, self.most_moves, loops)))
        return outcome


def default_lanes(num_states: int) -> int:
    """Give the number of lanes whose working set stays in the cache: a power of two."""
    per_lane = 8 * (2 * num_states * num_states + 4 * num_states + 6)
    return int(2 ** np.clip(np.log2(_CACHE_BYTES / per_lane).round(), 5, 10))

