"""The batched search: a kernel that moves many lanes at once, and the driver that feeds and harvests it.

A lane carries one start from word to word until its fate is known, and then takes the next start from a pool. Starts
are numbered, and what becomes of start i depends on nothing but the model, the order, the key and i.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt64

from cyclax.cycles.linear import UNROLLED_SIZE
from cyclax.cycles.newton import newton_step
from cyclax.maps.base import AbstractPiecewiseLinearMap

# A displacement this small, relative to the size of the state, is no displacement: the start has converged although
# rounding may still flip the gates (a cycle on a border, as z = 0 in a network without bias).
_STANDSTILL = 1e-14
# A state this large has left any region of interest; its square would overflow.
_LOST = 1e120
# Memory for the composed Jacobians and their neighbours: where elimination is vectorized over lanes it should stay in
# the nearest caches; where LAPACK solves lane by lane, longer rows for the products count more (measured on 2 cores).
_VECTOR_BYTES = 2**18
_LAPACK_BYTES = 2**22
# Starts in a pool, and most moves between two visits of the host.
POOL = 3072
_ROUND = 16
# Entries of the table of words known to lie on loops, addressed by the last bits of their hashes.
_LOOP_TABLE = 256


class Fate(enum.IntEnum):
    """What became of a start."""

    MOVING = 0
    HIT = 1  # the candidate meets its own word: a solution of F^k(z) = z
    LOOP = 2  # a word met before: the start circles among virtual cycles
    SINGULAR = 3  # I - P is singular: no candidate, or a whole family of them
    LOST = 4  # the candidate overflowed
    TIRED = 5  # the allowed number of moves is used up


class Pool(NamedTuple):
    """Starts that wait: `z (M, POOL)`, candidates of the words whose hashes are `word` (0: only points)."""

    z: Float[Array, "M B"]
    word: UInt64[Array, " B"]
    size: Int[Array, ""]  # how many of them there are; the rest is padding


class Lanes(NamedTuple):
    """What the lanes carry; the lane is the last axis."""

    z: Float[Array, "M L"]
    word: UInt64[Array, " L"]  # hash of the word whose candidate z is; 0 where z is only a point
    moves: Int[Array, " L"]
    fate: Int[Array, " L"]
    start: Int[Array, " L"]  # number of the start in the pool; -1 where the lane is idle
    before: UInt64[Array, " L"]  # hash of the word before
    anchor: UInt64[Array, " L"]  # hash remembered since the last power of two of moves (Brent's loop detection)


class Search(NamedTuple):
    """The whole state of a search through one pool."""

    lanes: Lanes
    next: Int[Array, ""]  # the first start not yet taken
    loops: UInt64[Array, " T"]  # words known to lie on loops


@functools.lru_cache(maxsize=16)
def initial_search(num_states: int, lanes: int) -> Search:
    """All lanes idle, no start taken. Kept, as it is made of a dozen small arrays. Under `jax.enable_x64(True)`."""
    none, zeros = jnp.zeros(lanes, jnp.uint64), jnp.zeros(lanes, jnp.int32)
    state = Lanes(jnp.zeros((num_states, lanes)), none, zeros, zeros + Fate.LOST, zeros - 1, none, none)
    return Search(state, jnp.int32(0), jnp.zeros(_LOOP_TABLE, jnp.uint64))


def refill(search: Search, pool: Pool) -> Search:
    """Give the lanes whose start is finished the next starts of the pool."""
    lanes = search.lanes
    finished = lanes.fate != Fate.MOVING
    start = search.next - 1 + jnp.cumsum(finished, dtype=jnp.int32)
    fresh = finished & (start < pool.size)
    taken = jnp.where(fresh, start, 0)
    zero = jnp.uint64(0)
    return search._replace(
        lanes=Lanes(
            z=jnp.where(fresh, pool.z[:, taken], lanes.z),
            word=jnp.where(fresh, pool.word[taken], lanes.word),
            moves=jnp.where(fresh, 0, lanes.moves),
            fate=jnp.where(fresh, jnp.int32(Fate.MOVING), lanes.fate),
            start=jnp.where(fresh, start, jnp.where(finished, -1, lanes.start)),
            before=jnp.where(fresh, zero, lanes.before),
            anchor=jnp.where(fresh, zero, lanes.anchor),
        ),
        next=jnp.minimum(search.next + jnp.sum(finished, dtype=jnp.int32), pool.size),
    )


def move(
    model: AbstractPiecewiseLinearMap, order: Int[Array, ""], search: Search, most_moves: Int[Array, ""]
) -> Search:
    """Move every lane once; lanes whose fate is known stay as they are.

    A lane loops when it meets a word again (the last but one, or the one at its anchor), or a word on which another
    start has been seen to loop: often all starts that do not converge end in the same few loops.
    """
    lanes, loops = search.lanes, search.loops
    # The barrier keeps XLA from solving again in each of the loops below that read the solution.
    displacement, word, singular = jax.lax.optimization_barrier(newton_step(model, lanes.z, order))
    z = lanes.z + displacement
    size = jnp.max(jnp.abs(z), axis=0)
    moving = lanes.fate == Fate.MOVING
    moves = lanes.moves + 1
    hit = (word == lanes.word) | (jnp.max(jnp.abs(displacement), axis=0) <= _STANDSTILL * size)
    again = (word == lanes.before) | (word == lanes.anchor)
    known = loops[word % jnp.uint64(_LOOP_TABLE)] == word
    fate = jnp.select(
        [singular, ~(size < _LOST), hit, again | known, moves >= most_moves],
        [jnp.int32(f) for f in (Fate.SINGULAR, Fate.LOST, Fate.HIT, Fate.LOOP, Fate.TIRED)],
        jnp.int32(Fate.MOVING),
    )
    anchor = jnp.where(moves & (moves - 1) == 0, word, lanes.anchor)
    # One new loop word a move is remembered; more would need a scatter.
    unknown = moving & (fate == Fate.LOOP) & ~known
    learned = word[jnp.argmax(unknown)]
    place = learned % jnp.uint64(_LOOP_TABLE)
    loops = loops.at[place].set(jnp.where(jnp.any(unknown), learned, loops[place]))
    # The singular word is told by the state that met it, so that state is kept.
    z = jnp.where(moving & ~singular, z, lanes.z)
    before, after = (lanes.word, *lanes[2:4], *lanes[5:]), (word, moves, fate, lanes.word, anchor)
    word, moves, fate, *memory = (jnp.where(moving, new, old) for new, old in zip(after, before, strict=True))
    return search._replace(lanes=Lanes(z, word, moves, fate, lanes.start, *memory), loops=loops)


class Record(NamedTuple):
    """The lanes after each move of a round, the move on the first axis."""

    z: Any  # (R, M, L)
    word: Any  # (R, L), like all that follow
    moves: Any
    fate: Any
    start: Any


@jax.jit
def advance(model, order, search: Search, pool: Pool, most_moves) -> tuple[Search, Record]:
    """Run one round: refill and move, until the round is over or nothing is left to do.

    A kernel: pure, of fixed shape, compiled once for all orders; it may be vmapped over models.
    """
    lanes = search.lanes.z.shape[1]
    blank = (jnp.zeros((_ROUND, *leaf.shape), jnp.asarray(leaf).dtype) for leaf in search.lanes[:5])
    record = Record(*blank)._replace(start=jnp.full((_ROUND, lanes), -1, jnp.int32))

    def busy(carry):
        t, search, _ = carry
        return (t < _ROUND) & (jnp.any(search.lanes.fate == Fate.MOVING) | (search.next < pool.size))

    def body(carry):
        t, search, record = carry
        search = move(model, order, refill(search, pool), most_moves)
        return t + 1, search, Record(*(kept.at[t].set(now) for kept, now in zip(record, search.lanes[:5], strict=True)))

    _, search, record = jax.lax.while_loop(busy, body, (0, search, record))
    return search, record


class Outcome(NamedTuple):
    """What became of a pool of starts, by start: arrays of length n (z: `(M, n)`)."""

    z: np.ndarray
    word: np.ndarray
    moves: np.ndarray
    fate: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The driver of the kernel: runs a pool of starts to the end.

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
        """Run up to POOL starts `z (M, n)`, candidates of the words whose hashes are `word (n,)` (0: only points).

        Must be called under `jax.enable_x64(True)`. When `stop()` says so it returns early, and the fate of the starts
        that were under way is `MOVING`.
        """
        num_states, number = z.shape
        outcome = Outcome(z.copy(), word.copy(), np.zeros(number, np.int32), np.zeros(number, np.int32))
        padding = POOL - number
        pool = Pool(*jax.device_put((np.pad(z, ((0, 0), (0, padding))), np.pad(word, (0, padding)), np.int32(number))))
        search, finished = initial_search(num_states, self.lanes), 0
        while finished < number and not stop():
            search, record = advance(model, order, search, pool, self.most_moves)
            record = Record(*map(np.asarray, record))
            t, lane = np.nonzero((record.fate != Fate.MOVING) & (record.start >= 0))
            start = record.start[t, lane]
            # A lane may stay finished for some moves when the pool is empty: only the first of them counts.
            finished += len(np.unique(start))
            outcome.z[:, start] = record.z[t, :, lane].T
            outcome.word[start], outcome.moves[start] = record.word[t, lane], record.moves[t, lane]
            outcome.fate[start] = record.fate[t, lane]
        return outcome


def default_lanes(num_states: int) -> int:
    """Give the number of lanes: on CPUs a power of two whose working set fits the caches, else the whole pool."""
    if jax.default_backend() != "cpu":
        return POOL
    per_lane = 8 * (2 * num_states * num_states + 4 * num_states + 6)
    memory = _VECTOR_BYTES if num_states <= UNROLLED_SIZE else _LAPACK_BYTES
    return int(2 ** np.clip(np.log2(memory / per_lane).round(), 5, 10))
