"""The search of many models and orders at once: maps over parameters.

What is to be done stands in a queue of items: a model, an order, and a few starts. A row of lanes takes an item, its
lanes take the starts of it one after the other, and when all have ended, the row takes the next item by itself, so that
rows are busy until the queue is empty. The host reads only what is new: solutions that no start of the item had met.
Few networks with many starts each are the business of `lanes`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.core.draws import counted, seed_of
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.lanes import Fate, Lanes, arrived, begun
from cyclax.search.newton import OverLanes, newton_step
from cyclax.search.starts import drawn_pairs

# Room for the starts of an item: a multiple of twice the lanes of a row.
ROOM = 16
# Words of each kind, solutions and loops, that a row remembers: a start that meets one has ended.
REMEMBERED = 4
# Rows take items when so large a share of them has nothing left to do.
_IDLE = 1 / 8
# Memory for what is recorded between two visits of the host.
_RECORD_BYTES = 2**23
# Items in a queue, for each row.
_ITEMS = 16
# A row of one lane for maps of so few states, and rows side by side on the last axis of all arrays: one loop over them
# is one operation. Else four, which share their products with the matrices of the model.
_FEW_STATES, _LANES = 4, 4


class Items(NamedTuple):
    """What is to be searched; the item is the first axis."""

    owner: Any  # the number of the model
    order: Any
    number: Any  # of starts, `ROOM` at most
    first: Any  # number (even) of the first of them, where they are drawn
    known: Any  # (I, T) hashes of words whose solutions are known, else 0: a start that meets one has ended

    def take(self, some) -> "Items":
        """Give some of them."""
        return Items(*(part[some] for part in self))


class Pool(NamedTuple):
    """The starts of items."""

    z: Any  # (M, S, ROOM, I)
    word: Any  # (ROOM, I) hashes of the words whose candidates they are, 0 where they are only points


class Row(NamedTuple):
    """The rows of a search, `W` lanes each; the row is the last axis."""

    models: Any  # leaves (.., R), or (R, ..) where rows have several lanes
    item: Any  # (R,) like the next three: what each row is at
    order: Any
    number: Any
    taken: Any  # how many starts of it
    lanes: Lanes  # (.., W, R)
    solutions: Any  # (T, R) hashes of words met, the last first
    loops: Any


class Record(NamedTuple):
    """What was met in a round; the move is the first axis."""

    word: Any  # (t, W, R) hashes of words of solutions that the row did not know, else 0
    z: Any  # (t, M, S, W, R)
    item: Any  # (t, R)


def _by_rows(function: Callable, models, wide: tuple, each: tuple):
    """Apply a function of a model to rows: `wide` arrays `(.., W, R)`, and `each (R,)`."""
    if wide[0].shape[-2] > 1:
        return jax.vmap(function, (0, *[-1] * (len(wide) + len(each))), -1)(models, *wide, *each)
    outputs = function(OverLanes(models, True), *(array[..., 0, :] for array in wide), *each)
    return jax.tree.map(lambda output: output[..., None, :], outputs)


def _of(models, some, lanes: int):
    """Give some of a stack of models."""
    return jax.tree.map(lambda leaf: leaf[some] if lanes > 1 else leaf[..., some], models)


@jax.jit(static_argnames=("rows", "lanes", "segments"))
def drawn_items(models, items: Items, size, key, names, scales, *, rows: int, lanes: int, segments: int) -> Pool:
    """Draw the starts of the first `size` items `(I,)`, as `starts.drawn_starts` does.

    A kernel. **Arguments:** `models`: one for each item, leaves `(.., I)`, or `(I, ..)` where rows have several lanes;
    `names (I,)`: what each draws by, beside the key; `scales (I,)`; `rows`: how many items are drawn for together.
    """
    room, data = len(items.order), jax.random.key_data(key)

    def block(b, pool):
        here = rows * b + jnp.arange(rows)
        some, mine, scale = items.take(here), _of(models, here, lanes), scales[here]
        seeds = jax.vmap(lambda name, order: seed_of(data, name, order))(names[here], some.order)

        def pairs(j, pool):
            begin = 2 * (some.first + 2 * lanes * j)
            each = jax.vmap(lambda seed, begin: counted(seed, begin, 4 * lanes), out_axes=-1)(seeds, begin)
            even, odd = jnp.moveaxis(each.reshape(lanes, 2, 2, rows), (1, 2), (0, 1))
            states, candidates, words = _by_rows(
                functools.partial(drawn_pairs, segments=segments), mine, (even, odd), (some.order, scale)
            )
            drawn = _alternating(states, candidates), _alternating(jnp.zeros_like(words), words)
            place = jnp.int32(2 * lanes) * j.astype(jnp.int32), jnp.int32(rows) * b.astype(jnp.int32)
            return Pool(*(_put(kept, new, place) for kept, new in zip(pool, drawn, strict=True)))

        return jax.lax.fori_loop(0, -(-jnp.max(some.number) // (2 * lanes)), pairs, pool)

    none = jnp.zeros((_num_states(models, lanes), segments, ROOM, room)), jnp.zeros((ROOM, room), jnp.uint64)
    return jax.lax.fori_loop(0, -(-size // rows), block, Pool(*none))


def _put(kept, new, place: tuple):
    """Put an array into a larger one, at a place along the last two axes."""
    return jax.lax.dynamic_update_slice(kept, new, (*[jnp.int32(0)] * (new.ndim - 2), *place))


def _num_states(models, lanes: int) -> int:
    one = jax.tree.map(lambda leaf: leaf[0], models) if lanes > 1 else OverLanes(models, True)
    return one.num_states


def _alternating(even, odd):
    """Merge arrays `(.., W, R)` along their lanes: even_0, odd_0, even_1, .."""
    both = jnp.stack([even, odd], axis=-2)
    return both.reshape(*even.shape[:-2], 2 * even.shape[-2], even.shape[-1])


@jax.jit(static_argnames="length")
def advance_rows(
    models, items: Items, pool: Pool, size, rows: Row, following, most_moves, *, length: int
) -> tuple[Row, Any, Any, Record]:
    """Run one round: `length` moves, or until the queue is empty and all starts have ended.

    A kernel: pure, of fixed shape, compiled once for all orders. **Arguments:** `models`, `items`: as in `drawn_items`;
    `pool`: their starts; `following`: the first item not taken yet.

    **Returns:** rows, the first item not taken, how many moves there were (fewer than `length`: all is done), and what
    was met.
    """
    lanes, number = rows.lanes.word.shape
    few = int(_IDLE * number)
    record = Record(
        jnp.zeros((length, *rows.lanes.word.shape), jnp.uint64),
        jnp.zeros((length, *rows.lanes.z.shape)),
        jnp.zeros((length, number), jnp.int32),
    )

    def idle(rows: Row):
        return jnp.all(rows.lanes.fate != Fate.MOVING, axis=0) & (rows.taken >= rows.number)

    def rounds(carry):
        rows, following, t, _ = carry
        return (t < length) & ((following < size) | ~jnp.all(idle(rows)))

    def moves(carry):
        rows, following, t, _ = carry
        waiting = jnp.sum(idle(rows), dtype=jnp.int32)
        return (t < length) & (waiting < number) & ((waiting <= few) | (following >= size))

    def round_(carry):
        rows, following, t, record = carry
        rows, following = _taken(models, items, size, rows, following, idle(rows), lanes)
        return jax.lax.while_loop(moves, move, (rows, following, t, record))

    def move(carry):
        rows, following, t, record = carry
        rows, new = _moved(_refilled(rows, pool), most_moves)
        met = Record(new, rows.lanes.z, rows.item)
        kept = Record(*(all_.at[t].set(one) for all_, one in zip(record, met, strict=True)))
        return rows, following, t + 1, kept

    rows, following, t, record = jax.lax.while_loop(rounds, round_, (rows, following, 0, record))
    return rows, following, t, record


def _taken(models, items: Items, size, rows: Row, following, idle, lanes: int) -> tuple[Row, Any]:
    """Give idle rows the next items of the queue."""
    place = following - 1 + jnp.cumsum(idle, dtype=jnp.int32)
    fresh = idle & (place < size)
    place = jnp.where(fresh, place, 0)

    def given(new, old):
        return jnp.where(fresh.reshape(-1, *[1] * (new.ndim - 1)) if lanes > 1 else fresh, new, old)

    here = Row(
        models=jax.tree.map(given, _of(models, place, lanes), rows.models),
        item=jnp.where(fresh, place, rows.item),
        order=jnp.where(fresh, items.order[place], rows.order),
        number=jnp.where(fresh, items.number[place], rows.number),
        taken=jnp.where(fresh, 0, rows.taken),
        lanes=rows.lanes,
        solutions=jnp.where(fresh, items.known[place].T, rows.solutions),
        loops=jnp.where(fresh, jnp.uint64(0), rows.loops),
    )
    return here, jnp.minimum(following + jnp.sum(idle, dtype=jnp.int32), size)


def _refilled(rows: Row, pool: Pool) -> Row:
    """Give the lanes whose start has ended the next starts of their row's item."""
    ended = rows.lanes.fate != Fate.MOVING
    start = rows.taken - 1 + jnp.cumsum(ended, axis=0, dtype=jnp.int32)
    fresh = ended & (start < rows.number)
    place = jnp.where(fresh, start, 0) * pool.word.shape[-1] + rows.item
    z, word = pool.z.reshape(*pool.z.shape[:2], -1)[..., place], pool.word.reshape(-1)[place]
    taken = jnp.minimum(rows.taken + jnp.sum(ended, axis=0, dtype=jnp.int32), rows.number)
    return rows._replace(lanes=begun(rows.lanes, fresh, z, word), taken=taken)


def _moved(rows: Row, most_moves) -> tuple[Row, Any]:
    """Move every lane once; give rows, and the hashes `(W, R)` of solutions that the row did not know, else 0."""
    before = rows.lanes
    step = _, word, _ = jax.lax.optimization_barrier(_by_rows(newton_step, rows.models, (before.z,), (rows.order,)))
    solution, loop = (_among(word, kept) for kept in (rows.solutions, rows.loops))
    lanes = arrived(before, step, most_moves, hit=solution, loop=loop)
    ended = before.fate == Fate.MOVING
    new = ended & (lanes.fate == Fate.HIT) & ~solution
    solutions = _remembered(rows.solutions, word, new)
    loops = _remembered(rows.loops, word, ended & (lanes.fate == Fate.LOOP) & ~loop)
    return rows._replace(lanes=lanes, solutions=solutions, loops=loops), jnp.where(new, word, jnp.uint64(0))


def _among(word, kept):
    """Say which words `(W, R)` are among those that their row has kept `(T, R)`."""
    return functools.reduce(jnp.bitwise_or, (word == one for one in kept))


def _remembered(kept, word, new):
    """Put one of the words `(W, R)` that are new before those that the row has kept, of which the last is forgotten."""
    one = jnp.take_along_axis(word, jnp.argmax(new, axis=0)[None], axis=0) if len(word) > 1 else word
    return jnp.where(jnp.any(new, axis=0), jnp.concatenate([one, kept[:-1]]), kept)


class Met(NamedTuple):
    """Solutions that starts have ended at; the solution is the first axis. Some are there more than once."""

    item: np.ndarray
    nodes: np.ndarray  # (n, S, M)
    word: np.ndarray  # (n,) hashes


@dataclasses.dataclass(frozen=True)
class Queue:
    """Searches items, in rounds of one shape (another is another compilation). Must be called under `numerics()`.

    **Arguments:** `num_states`: M; `rows`: moved together; `segments`: S; `most_moves`: of a start, at most.
    """

    num_states: int
    rows: int
    segments: int
    most_moves: int

    @property
    def lanes(self) -> int:
        """The lanes of a row."""
        return lanes_of_rows(self.num_states)

    def drawn(self, models: AbstractPiecewiseLinearMap, items: Items, key, names, scales) -> Iterator[Met]:
        """Search items from starts that are drawn, block by block.

        **Arguments:** `models`: leaves `(N, ..)`; `names`, `scales (N,)`: see `drawn_items`.
        """
        for some, block, mine in self._blocks(models, items):
            each = np.asarray(names)[block.owner], scales[block.owner]
            shape = dict(rows=self.rows, lanes=self.lanes, segments=self.segments)
            pool = drawn_items(mine, block, len(some), key, *each, **shape)
            yield from self._run(some, block, mine, pool)

    def given(
        self, models: AbstractPiecewiseLinearMap, owner: np.ndarray, order: np.ndarray, states: np.ndarray
    ) -> tuple[Items, Iterator[Met]]:
        """Search from states `(n, M)`, of a model and an order each, in one segment; give items, too."""
        turn = np.lexsort((owner, order))
        owner, order, states = owner[turn], order[turn], states[turn]
        another = np.append(True, (owner[1:] != owner[:-1]) | (order[1:] != order[:-1]))[: len(owner)]
        rank = np.arange(len(owner)) - np.flatnonzero(another)[np.cumsum(another) - 1]
        begins = np.flatnonzero(rank % ROOM == 0)
        number = np.diff(np.append(begins, len(owner)))
        none = np.zeros((len(begins), REMEMBERED), np.uint64)
        items = Items(owner[begins], order[begins], number, np.zeros_like(begins), none)

        def blocks():
            for some, block, mine in self._blocks(models, items):
                place = np.full(len(begins), -1)
                place[some] = np.arange(len(some))
                here = np.repeat(place, number)
                used = np.flatnonzero(here >= 0)
                z = np.zeros((ROOM, self._room, self.num_states))
                z[rank[used] % ROOM, here[used]] = states[used]
                nodes = np.ascontiguousarray(np.moveaxis(z, -1, 0))[:, None]
                yield from self._run(some, block, mine, Pool(nodes, np.zeros((ROOM, self._room), np.uint64)))

        return items, blocks()

    @property
    def _room(self) -> int:
        return _ITEMS * self.rows

    def _blocks(self, models, items: Items) -> Iterator[tuple[np.ndarray, Items, Any]]:
        """Part items into blocks, long orders first, as those that move together should be alike.

        Give their numbers, the block filled up to its size, and their models.
        """
        turn = np.argsort(-items.order, kind="stable")
        for begin in range(0, len(turn), self._room):
            some = turn[begin : begin + self._room]
            block = items.take(np.resize(some, self._room))
            block = Items(*(part if part.dtype == np.uint64 else part.astype(np.int32) for part in block))
            mine = jax.tree.map(lambda leaf, owner=block.owner: np.asarray(leaf)[owner], models)
            yield some, block, self._laid(mine)

    def _laid(self, models):
        """Put models `(N, ..)` on the last axis where rows have one lane."""
        return models if self.lanes > 1 else jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, -1), models)

    def _run(self, some: np.ndarray, block: Items, models, pool: Pool) -> Iterator[Met]:
        """Run a block of the items `some` to its end."""
        shape = self.num_states, self.segments, self.lanes, self.rows
        length = max(8, _RECORD_BYTES // (8 * (int(np.prod(shape)) + 2 * self.lanes * self.rows)))
        models, block, pool = jax.device_put((models, block, pool))
        rows, following, moves = self._idle(models), np.int32(0), length
        while moves == length:
            rows, following, count, record = advance_rows(
                models, block, pool, np.int32(len(some)), rows, following, self.most_moves, length=length
            )
            moves = int(count)
            word, z, item = (np.asarray(part)[:moves] for part in record)
            t, lane, row = np.nonzero(word)
            yield Met(some[item[t, row]], np.moveaxis(z[t, :, :, lane, row], 1, 2), word[t, lane, row])

    def _idle(self, models) -> Row:
        """Rows that have nothing to do."""
        wide, each = (self.lanes, self.rows), np.zeros(self.rows, np.int32)
        hashes, number, kept = np.zeros(wide, np.uint64), np.zeros(wide, np.int32), (REMEMBERED, self.rows)
        z, lost = np.zeros((self.num_states, self.segments, *wide)), number + np.int32(Fate.LOST)
        lanes = Lanes(z, hashes, number, lost, number, hashes, hashes)
        none = np.zeros(kept, np.uint64)
        mine = _of(models, slice(self.rows), self.lanes)
        return jax.device_put(Row(mine, each, each + 1, each, each, lanes, none, none))


def lanes_of_rows(num_states: int) -> int:
    """Give how many lanes a row has."""
    return 1 if num_states <= _FEW_STATES else _LANES
