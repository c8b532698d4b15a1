"""The search of many models at once, a few starts of each: maps over parameters.

Lanes stand in rows, and all lanes of a row have one model and one order; a call of the kernel moves many rows. After a
few moves those that still move are gathered into as few rows as they need, so that little is moved that has arrived.
Few networks with many starts each are the business of `lanes`, where a lane takes the next start by itself.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.lanes import Fate, Lanes, Search, move, operations

# Moves of the first two rounds, after which four starts in five have arrived, often; those of later ones grow by half.
_FIRST_ROUND = 2
# Operations, about, of the shortest call of the kernel that is worth its overhead, and of the longest of several moves;
# and those of a step of one lane that do not depend on the dimension.
_SHORT_CALL, _LONG_CALL, _STEP = 3e6, 2e7, 50.0


@jax.jit
def advance_rows(models, orders, lanes: Lanes, loops, most_moves, length) -> tuple[Lanes, Any]:
    """Move rows of lanes `length` times, or until none moves; give lanes and loops.

    A kernel: pure, of fixed shape, compiled once for all orders. **Arguments:** `models`: one for each row, leaves
    `(N, ..)`; `orders`: `(N,)`; `lanes`: `(N, .., L)`; `loops`: words known to lie on loops of each, `(N, T)`.
    """
    moved = jax.vmap(functools.partial(move, most_moves=most_moves))

    def busy(carry):
        t, search = carry
        return (t < length) & jnp.any(search.lanes.fate == Fate.MOVING)

    def body(carry):
        t, search = carry
        return t + 1, moved(models, orders, search)

    none = jnp.zeros(len(loops), jnp.int32)  # rows are not refilled
    _, search = jax.lax.while_loop(busy, body, (0, Search(lanes, none, loops)))
    return search.lanes, search.loops


class Starts(NamedTuple):
    """Starts between two rounds, and at their ends; the start is the first axis."""

    nodes: np.ndarray  # (n, S, M)
    word: np.ndarray  # (n,), like all that follow: see `Lanes`
    moves: np.ndarray
    fate: np.ndarray
    before: np.ndarray
    anchor: np.ndarray

    @classmethod
    def at(cls, nodes: np.ndarray, word: np.ndarray) -> "Starts":
        """Put starts where they begin."""
        number = len(word)
        zeros = (np.zeros(number, kind) for kind in (np.int32, np.int32, np.uint64, np.uint64))
        return cls(np.array(nodes), np.array(word), *zeros)

    def lanes(self, slots: np.ndarray, used: np.ndarray) -> Lanes:
        """Put starts `(N, L)` into lanes; those not `used` are idle."""
        z = np.ascontiguousarray(np.transpose(self.nodes[slots], (0, 3, 2, 1)))
        word, moves, fate, before, anchor = (part[slots] for part in self[1:])
        fate = np.where(used, fate, np.int32(Fate.LOST))
        return Lanes(z, word, moves, fate, np.zeros_like(moves), before, anchor)

    def put(self, starts: np.ndarray, used: np.ndarray, lanes: Lanes) -> None:
        """Take starts out of the lanes used."""
        self.nodes[starts] = np.transpose(lanes.z, (0, 3, 2, 1))[used]
        there = lanes.word, lanes.moves, lanes.fate, lanes.before, lanes.anchor
        for part, some in zip(self[1:], there, strict=True):
            part[starts] = some[used]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Moves starts of many models and orders to their end, in calls of one shape (another is another compilation).

    **Arguments:** `rows`, `lanes`: of a call, starts of one model in each row; `most_moves`: after which a start is
    given up.
    """

    rows: int
    lanes: int
    most_moves: int

    def run(
        self,
        models: AbstractPiecewiseLinearMap,
        orders: np.ndarray,
        nodes: np.ndarray,
        word: np.ndarray,
        owner: np.ndarray,
    ) -> Starts:
        """Run starts to their end. Must be called under `numerics()`.

        **Arguments:** `orders`: `(n,)`; `nodes`: `(n, S, M)`; `word`: `(n,)`, the hashes of the words whose
        candidates they are, 0 where they are only points; `owner`: `(n,)`, their models. Those of one order and model
        follow each other.
        """
        starts = Starts.at(nodes, word)
        loops = np.zeros((len(jax.tree.leaves(models)[0]), self.lanes), np.uint64)
        waiting, done = np.arange(len(word)), 0
        while len(waiting) and done < self.most_moves:
            length = self._length(done, nodes.shape[2], int(np.max(orders[waiting])))
            for slots, used in self._packed(waiting, owner, orders):
                lanes, mine = starts.lanes(slots, used), owner[slots[:, 0]]
                after, loops[mine] = self._call(models, orders[slots[:, 0]], lanes, loops, mine, np.int32(length))
                starts.put(slots[used], used, after)
            waiting, done = waiting[starts.fate[waiting] == Fate.MOVING], done + length
        return starts

    def _length(self, done: int, num_states: int, order: int) -> int:
        """Give the moves of the next round: few at first, when many arrive; more where a call would be short."""
        each = self.rows * self.lanes * (operations(num_states, order) + _STEP * (order + 1))
        least, most = int(_SHORT_CALL / each), max(1, int(_LONG_CALL / each))
        return min(max(_FIRST_ROUND, done // 2, least), most, self.most_moves - done)

    def _packed(self, waiting: np.ndarray, owner, orders) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Put starts into rows, call by call: give those in the lanes, and which lanes have one, both `(N, L)`."""
        owner, orders = owner[waiting], orders[waiting]
        begins = np.append(True, (owner[1:] != owner[:-1]) | (orders[1:] != orders[:-1]))
        first = np.flatnonzero(begins)
        rank = np.arange(len(waiting)) - first[np.cumsum(begins) - 1]
        row = np.cumsum(rank % self.lanes == 0) - 1
        slots = np.full((-(-(row[-1] + 1) // self.rows) * self.rows, self.lanes), -1)
        slots[row, rank % self.lanes] = waiting
        used = slots >= 0
        slots = np.where(used, slots, slots[:, :1])
        slots[row[-1] + 1 :] = waiting[-1]  # rows that are left over run with the last model, and are not used
        for begin in range(0, len(slots), self.rows):
            yield slots[begin : begin + self.rows], used[begin : begin + self.rows]

    def _call(self, models, orders, lanes: Lanes, loops: np.ndarray, owner: np.ndarray, length):
        """Call the kernel for lanes of which row i belongs to model `owner[i]`."""
        mine = jax.tree.map(lambda leaf: np.asarray(leaf)[owner], models)
        after, loops = advance_rows(mine, orders, lanes, loops[owner], self.most_moves, length)
        return Lanes(*map(np.asarray, after)), np.asarray(loops)
