"""The batched search: a kernel that moves many lanes at once, and the driver that feeds and harvests it.

A lane carries one start from word to word until its fate is known, and then takes the next start from a pool. Starts
are numbered, and what becomes of start i depends on nothing but the model, the order, the key and i.

Models of one shape are searched together: every array has the model on its first axis (B), a single one included.
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

from cyclax.core.numerics import numerics
from cyclax.core.products import launches_count
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.linear import UNROLLED_SIZE
from cyclax.search.newton import largest, newton_step, steps_written_out

# A displacement of so few roundings of the state is no displacement: the start has converged although rounding may
# still flip the gates (a cycle on a border, as z = 0 in a network without bias).
_STANDSTILL = 45
# A state as large as this power of the largest number has left any region of interest; its square would overflow.
_LOST = 0.39
# Memory for the composed Jacobians and their neighbours: where elimination is vectorized over lanes it should stay in
# the nearest caches; where LAPACK solves lane by lane, longer rows for the products count more (measured on 2 cores).
_VECTOR_BYTES = 2**18
_LAPACK_BYTES = 2**22
# Whether the moves of a round are one kernel on NVIDIA GPUs, see `fused`. It compiles, but has not been run on one; and
# what compiles it, the Triton backend of Pallas, is deprecated from JAX 0.12 on. Ask before the first search.
FUSED_MOVES = False
# Up to so many states, whose rows fit the registers (compiled for an H100: at 12 some do not, at 16 it compiles for a
# minute), and so many gates, whose table is read off their square.
_FUSED_STATES, _FUSED_GATES = 10, 512
# Starts in a pool, and most moves between two visits of the host.
POOL = 3072
ROUND = 16
# Operations, about, of the starts that are drawn together in large networks, and four times those between two visits
# of the host: budgets are asked and Ctrl-C is heard there. Counted, so that results do not depend on the machine.
OPERATIONS = 4e9
# Entries of the table of words known to lie on loops, addressed by the last bits of their hashes: a power of two.
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
    """Starts that wait: nodes `z`, candidates of the words whose hashes are `word` (0: only points)."""

    z: Float[Array, "B M S P"]
    word: UInt64[Array, "B P"]
    size: Int[Array, " B"]  # how many of them there are; the rest is padding


class Lanes(NamedTuple):
    """What the lanes carry, of JAX or NumPy; the lane is the last axis."""

    z: Any  # (B, M, S, L)
    word: Any  # (B, L), like all that follow: hash of the word whose candidate z is; 0 where z is only a point
    moves: Any
    fate: Any
    start: Any  # number of the start in the pool; -1 where the lane is idle
    before: Any  # hash of the word before
    anchor: Any  # hash remembered since the last power of two of moves (Brent's loop detection)


class Search(NamedTuple):
    """The whole state of a search through one pool."""

    lanes: Lanes
    next: Int[Array, " B"]  # the first start not yet taken
    loops: UInt64[Array, "B T"]  # words known to lie on loops


@functools.lru_cache(maxsize=16)
def initial_search(models: int, num_states: int, segments: int, lanes: int, dtype: Any = np.float64) -> Search:
    """All lanes idle, no start taken. Kept, as it is made of a dozen small arrays. Under `numerics()`."""
    # Arrays of NumPy: each operation of JAX would be compiled.
    zeros = np.zeros((models, lanes), np.int32)
    arrays = np.zeros((models, lanes), np.uint64), zeros, zeros + np.int32(Fate.LOST), zeros - np.int32(1)
    more = (
        np.zeros((models, num_states, segments, lanes), dtype),
        zeros[:, 0],
        np.zeros((models, _LOOP_TABLE), np.uint64),
    )
    (none, moves, fate, start), (z, following, loops) = jax.device_put((arrays, more))
    return Search(Lanes(z, none, moves, fate, start, none, none), following, loops)


def refill(search: Search, pool: Pool) -> Search:
    """Give the lanes whose start is finished the next starts of the pool (one model: no B axis)."""
    lanes = search.lanes
    finished = lanes.fate != Fate.MOVING
    start = search.next - 1 + jnp.cumsum(finished, dtype=jnp.int32)
    fresh = finished & (start < pool.size)
    taken = jnp.where(fresh, start, 0)
    lanes = begun(lanes, fresh, pool.z[..., taken], pool.word[taken])
    return search._replace(
        lanes=lanes._replace(start=jnp.where(fresh, start, jnp.where(finished, -1, lanes.start))),
        next=jnp.minimum(search.next + jnp.sum(finished, dtype=jnp.int32), pool.size),
    )


def begun(lanes: Lanes, fresh, z, word) -> Lanes:
    """Put the starts `z`, `word` into the lanes that are `fresh` (no B axis)."""
    zero = jnp.uint64(0)
    return Lanes(
        z=jnp.where(fresh, z, lanes.z),
        word=jnp.where(fresh, word, lanes.word),
        moves=jnp.where(fresh, 0, lanes.moves),
        fate=jnp.where(fresh, jnp.int32(Fate.MOVING), lanes.fate),
        start=lanes.start,
        before=jnp.where(fresh, zero, lanes.before),
        anchor=jnp.where(fresh, zero, lanes.anchor),
    )


def move(
    model: AbstractPiecewiseLinearMap, order: Int[Array, ""], search: Search, most_moves: Int[Array, ""]
) -> Search:
    """Move every lane of one model once; lanes whose fate is known stay as they are.

    A lane loops when it meets a word again (the last but one, or the one at its anchor), or a word on which another
    start has been seen to loop: often all starts that do not converge end in the same few loops.
    """
    lanes, loops = search.lanes, search.loops
    # The barrier keeps XLA from solving again in each of the loops that read the solution.
    step = _, word, _ = jax.lax.optimization_barrier(newton_step(model, lanes.z, order))
    known = loops[last_bits(word)] == word
    after = arrived(lanes, step, most_moves, loop=known)
    # One new loop word a move is remembered; more would need a scatter.
    unknown = (lanes.fate == Fate.MOVING) & (after.fate == Fate.LOOP) & ~known
    learned = after.word[jnp.argmax(unknown)]
    place = last_bits(learned)
    loops = loops.at[place].set(jnp.where(jnp.any(unknown), learned, loops[place]))
    return search._replace(lanes=after, loops=loops)


def last_bits(word: UInt64[Array, "*L"]) -> UInt64[Array, "*L"]:
    """Give the places of words in the table of loops: no remainder, as TPUs divide 64 bits in as many steps."""
    return word & jnp.uint64(_LOOP_TABLE - 1)


def arrived(lanes: Lanes, step, most_moves, *, hit: Any = False, loop: Any = False) -> Lanes:
    """Give lanes (no B axis) after a `step` (see `newton_step`); those whose fate is known stay as they are.

    States are arrays, or tuples of one array for each entry.

    **Arguments:** `hit`, `loop`: whether the word is known to be that of a solution, or to lie on a loop.
    """
    displacement, word, singular = step
    z = jax.tree.map(jnp.add, lanes.z, displacement)
    size, distance = (_sizes(some, word.shape) for some in (z, displacement))
    number = jnp.finfo(size.dtype)
    moving = lanes.fate == Fate.MOVING
    moves = lanes.moves + 1
    hit |= (word == lanes.word) | (distance <= _STANDSTILL * float(number.eps) * size)
    again = (word == lanes.before) | (word == lanes.anchor)
    ends = (
        (singular, Fate.SINGULAR),
        (~(size < float(number.max) ** _LOST), Fate.LOST),
        (hit, Fate.HIT),
        (again | loop, Fate.LOOP),
    )
    fate: Any = jnp.where(moves >= most_moves, jnp.int32(Fate.TIRED), jnp.int32(Fate.MOVING))
    for ended, how in reversed(ends):  # the first that applies decides
        fate = jnp.where(ended, jnp.int32(how), fate)
    anchor = jnp.where(moves & (moves - 1) == 0, word, lanes.anchor)
    # The singular word is told by the state that met it, so that state is kept.
    z = jax.tree.map(functools.partial(jnp.where, moving & ~singular), z, lanes.z)
    before, after = (lanes.word, *lanes[2:4], *lanes[5:]), (word, moves, fate, lanes.word, anchor)
    word, moves, fate, *memory = (jnp.where(moving, new, old) for new, old in zip(after, before, strict=True))
    return Lanes(z, word, moves, fate, lanes.start, *memory)


def _sizes(states: Any, shape: tuple[int, ...]):
    """Give the sizes of states of lanes, which are of a shape."""
    if isinstance(states, tuple):
        return functools.reduce(jnp.maximum, map(jnp.abs, states))
    return largest(states.reshape(-1, *shape))


class Record(NamedTuple):
    """The lanes after each move of a round, the move on the first axis."""

    z: Any  # (R, B, M, S, L), with R = 1 where they are fused
    word: Any  # (R, B, L), like all that follow
    moves: Any
    fate: Any
    start: Any


@jax.jit
def advance(models, order, search: Search, pool: Pool, most_moves, length) -> tuple[Search, Record]:
    """Run one round: refill and move, `length` times at most, until nothing is left to do.

    A kernel: pure, of fixed shape, compiled once for all orders. `models`: one model whose leaves are stacks `(B, ..)`.
    """
    _, num_states, segments, _ = search.lanes.z.shape
    states = jax.ShapeDtypeStruct(search.lanes.z.shape[:2], float)
    gates = jax.eval_shape(jax.vmap(lambda model, z: model.preactivations(z)), models, states)
    if search.lanes.z.dtype == jnp.float64 and moves_are_fused(num_states, segments, gates.shape[1]):
        from cyclax.search import fused  # which imports what only GPUs need

        return fused.round_of(models, order, search, pool, most_moves, length)
    blank = (jnp.zeros((ROUND, *leaf.shape), jnp.asarray(leaf).dtype) for leaf in search.lanes[:5])
    record = Record(*blank)
    record = record._replace(start=record.start - 1)

    def busy(carry):
        t, search, _ = carry
        if steps_written_out(search.lanes.z.shape[1]) > 1:
            # A number of turns that is known: else the host would ask before each. Lanes that have ended rest.
            return t < ROUND
        return (t < length) & (jnp.any(search.lanes.fate == Fate.MOVING) | jnp.any(search.next < pool.size))

    def body(carry):
        t, search, record = carry
        search = jax.vmap(lambda model, search, pool: move(model, order, refill(search, pool), most_moves))(
            models, search, pool
        )
        return t + 1, search, Record(*(kept.at[t].set(now) for kept, now in zip(record, search.lanes[:5], strict=True)))

    _, search, record = jax.lax.while_loop(busy, body, (0, search, record))
    return search, record


def moves_are_fused(num_states: int, segments: int, num_gates: int) -> bool:
    """Say whether all moves of a round are one kernel on the device in use, see `fused`."""
    small = segments == 1 and num_states <= _FUSED_STATES and num_gates <= _FUSED_GATES
    return FUSED_MOVES and small and launches_count() and "rocm" not in jax.devices()[0].client.platform_version


class Outcome(NamedTuple):
    """What became of a pool of starts: arrays with the model first and the start last."""

    z: np.ndarray  # (B, M, S, n)
    word: np.ndarray  # (B, n), like all that follow
    moves: np.ndarray
    fate: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The driver of the kernel: runs a pool of starts to the end.

    **Arguments:** `lanes`: how many starts of a model move together; `most_moves`: after which a start is given up;
    `pool`: room for starts of a model (another size is another compilation); `dtype`: what starts move in.
    """

    lanes: int
    most_moves: int
    pool: int = POOL
    dtype: Any = np.float64

    def compiled(self, models: AbstractPiecewiseLinearMap, number: int, num_states: int, segments: int) -> None:
        """Compile what `run` needs, by a round of no moves; in a thread, it takes no time of one's own."""
        pool = np.zeros((number, num_states, segments, self.pool), self.dtype), np.zeros((number, self.pool), np.uint64)
        with numerics():
            search = initial_search(number, num_states, segments, self.lanes, self.dtype)
            waiting = Pool(*jax.device_put((*pool, np.zeros(number, np.int32))))
            advance(_cast(models, self.dtype), 1, search, waiting, self.most_moves, np.int32(0))

    def run(
        self,
        models: AbstractPiecewiseLinearMap,
        order: int,
        z: np.ndarray,
        word: np.ndarray,
        size: np.ndarray,
        stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Run up to `pool` starts of each model: nodes `z (B, M, S, n)`, candidates of words of hashes `word (B, n)`.

        Only the first `size (B,)` are run. Must be called under `numerics()`. When `stop()` says so it
        returns early, and the fate of the starts that were under way is `MOVING`, as is that of those not run.
        """
        number, num_states, segments, starts = z.shape
        models = _cast(models, self.dtype)
        moves = np.zeros((number, starts), np.int32)
        outcome = Outcome(z.copy(), word.copy(), moves, np.zeros_like(moves))
        padding = ((0, 0), (0, self.pool - starts))
        padded = (
            np.pad(z.astype(self.dtype, copy=False), ((0, 0), (0, 0), *padding)),
            np.pad(word, padding),
            np.asarray(size, np.int32),
        )
        pool = Pool(*jax.device_put(padded))
        search, finished = initial_search(number, num_states, segments, self.lanes, self.dtype), 0
        length = np.int32(np.clip(OPERATIONS / 4 / (number * self.lanes * operations(num_states, order)), 1, ROUND))
        while finished < np.sum(size) and not stop():
            search, record = advance(models, order, search, pool, self.most_moves, length)
            record = Record(*map(np.asarray, record))
            t, b, lane = np.nonzero((record.fate != Fate.MOVING) & (record.start >= 0))
            start = record.start[t, b, lane]
            # A lane may stay finished for some moves when the pool is empty: only the first of them counts.
            finished += len(np.unique(b * self.pool + start))
            outcome.z[b, :, :, start] = record.z[t, b, :, :, lane]
            outcome.word[b, start], outcome.moves[b, start] = record.word[t, b, lane], record.moves[t, b, lane]
            outcome.fate[b, start] = record.fate[t, b, lane]
        return outcome


def _cast(models: AbstractPiecewiseLinearMap, dtype: Any) -> AbstractPiecewiseLinearMap:
    """Give models whose numbers have a precision; the same arrays where it is theirs."""
    other = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact) and leaf.dtype != dtype  # noqa: E731
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if other(leaf) else leaf, models)


def operations(num_states: int, order: int) -> float:
    """Count the operations of one move of one lane, about: k products of matrices and one elimination."""
    return float(2 * order * num_states**3 + num_states**3)


def default_lanes(num_states: int, segments: int = 1) -> int:
    """Give the number of lanes: on CPUs what fits the caches, else the whole pool."""
    return cached_lanes(num_states, segments) if jax.default_backend() == "cpu" else POOL


def cached_lanes(num_states: int, segments: int) -> int:
    """Give the power of two of lanes whose working set fits the caches of a CPU."""
    per_lane = 8 * (2 * segments * num_states * num_states + 4 * segments * num_states + 6)
    memory = _VECTOR_BYTES if num_states <= UNROLLED_SIZE else _LAPACK_BYTES
    return int(2 ** np.clip(np.log2(memory / per_lane).round(), 5, 10))
