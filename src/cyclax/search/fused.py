"""A round of the search in one kernel, for NVIDIA GPUs: what a lane carries stays in registers from move to move.

XLA launches a kernel for each step of a word and several for each column that is eliminated, and for 3,072 lanes a
launch takes longer than its arithmetic. Here a thread, or a few, push their lanes through words by themselves, solve,
and see what became of them, until all have ended or the round is over.

Inside a kernel of Triton there are no models, no products of small matrices and no gathers from registers; so a step is
written as numbers times rows. Any map of cyclax is continuous, and its gates add up, so that opening gate g adds a
matrix of rank one, and nothing on the plane of the gate:

    F(z) = J z + o + sum over open gates of a_g (c_g . z + b_g),    open where c_g . z + b_g > 0.

The columns of J are the a of M gates more, always open, whose c is a unit vector. This table is read off the two
methods of the model, once a round. The point and the rows of P go through the same steps; I - P is eliminated with
partial pivoting, by rows that are exchanged where the one below has the larger entry.

The rows of P are arrays (C, L): C columns, the next power of two of M, and the L lanes that a program has.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array, Float, Int, UInt64

from cyclax.core.draws import GOLDEN
from cyclax.core.products import most_terms, with_sums
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.lanes import Fate, Lanes, Pool, Record, Search, arrived, last_bits, refill
from cyclax.search.linear import singular_pivot
from cyclax.search.newton import salts_of

# Whether JAX runs the kernel operation by operation, on any device: for tests.
INTERPRETED = False
# Entries (C, L) of an array of a program, which has 32 threads.
_ENTRIES = 64
# Tables of up to so many numbers stay in registers; larger ones are read again in each step, gate by gate.
_KEPT = 32


class Table(NamedTuple):
    """The affine form of a model, as a kernel reads it: its G gates, and M that are always open."""

    gradients: Float[Array, "G+M M"]
    offsets: Float[Array, " G+M"]
    weights: Float[Array, "G+M M"]
    shift: Float[Array, " M"]


def table_of(model: AbstractPiecewiseLinearMap) -> Table:
    """Read the table off a model, under `jit`."""
    zero, directions = jnp.zeros(model.num_states), jnp.eye(model.num_states)

    def held(gates, direction):
        return jax.jvp(lambda z: model.step(z, gates), (zero,), (direction,))

    def read():
        planes = lambda direction: jax.jvp(model.preactivations, (zero,), (direction,))  # noqa: E731
        offsets, gradients = jax.vmap(planes, out_axes=(None, 1))(directions)
        # Gates that never switch belong to J and o, as they are.
        constant = jnp.all(gradients == 0, axis=1)
        settled = constant & (offsets > 0)
        shift, columns = jax.vmap(held, (None, 0), (None, 0))(settled, directions)
        # What a gate adds is seen along the state to which it answers most.
        along = jnp.argmax(jnp.abs(gradients), axis=1)
        _, pushed = jax.vmap(held)(settled | jnp.eye(len(offsets), dtype=bool), directions[along])
        slopes = jnp.take_along_axis(gradients, along[:, None], axis=1)
        weights = jnp.where(constant[:, None], 0, (pushed - columns[along]) / slopes)
        joined = lambda *parts: jnp.concatenate(parts)  # noqa: E731
        return Table(joined(gradients, directions), joined(offsets, zero), joined(weights, columns), shift)

    return with_sums(read, most_terms())()


def round_of(models, order, search: Search, pool: Pool, most_moves, length) -> tuple[Search, Record]:
    """Do as `lanes.advance`: refill once, move until the round is over, and learn which words loop.

    A lane that has ended waits for the next round, so its last state is its record.
    """

    def one(model, search: Search, pool: Pool) -> Search:
        search = refill(search, pool)
        lanes = moved(model, order, search.lanes, search.loops, most_moves, length)
        ended = (search.lanes.fate == Fate.MOVING) & (lanes.fate == Fate.LOOP)
        learned = jnp.where(ended, lanes.word, jnp.uint64(0))
        # The largest of those that share a place, or the order of threads would decide.
        return search._replace(lanes=lanes, loops=search.loops.at[last_bits(learned)].max(learned))

    search = jax.vmap(one)(models, search, pool)
    return search, Record(*(part[None] for part in search.lanes[:5]))


def moved(
    model: AbstractPiecewiseLinearMap,
    order: Int[Array, ""],
    lanes: Lanes,
    loops: UInt64[Array, " T"],
    most_moves: Int[Array, ""],
    length: Int[Array, ""],
) -> Lanes:
    """Move every lane of one model until its fate is known, `length` times at most, as `lanes.move` does.

    **Arguments:** `loops`: words known to lie on loops; those that are met on the way are not added.
    """
    num_states, _, number = lanes.z.shape
    columns = 1 << (num_states - 1).bit_length()
    together = min(32, _ENTRIES // columns)
    numbers = [jnp.reshape(one, 1).astype(jnp.int32) for one in (order, most_moves, length)]
    table = table_of(model)
    # In an array, as literals of a kernel have 63 bits.
    salt = salts_of(len(table.offsets) - num_states)
    hashes = np.concatenate([salt, np.zeros(num_states, np.uint64), [np.uint64(GOLDEN)]])
    (ended,) = pl.pallas_call(
        functools.partial(_round, columns=columns, together=together),
        out_shape=(Lanes(*(jax.ShapeDtypeStruct(part.shape, part.dtype) for part in lanes)),),
        grid=(-(-number // together),),
        compiler_params=plgpu.CompilerParams(num_warps=1, num_stages=1),
        interpret=INTERPRETED,
        name="cyclax_moves",
    )(numbers, table, hashes, loops, lanes)
    return ended


def _round(numbers, table: Table, hashes, loops, lanes: Lanes, after: Lanes, *, columns: int, together: int):
    """The kernel: all arguments are references to arrays; results go to `after`."""
    order, most_moves, length = (one[0] for one in numbers)
    num_states, _, number = lanes.z.shape
    # Those beyond the last do what the last does.
    lane = jnp.minimum(pl.program_id(0) * together + jnp.arange(together, dtype=jnp.int32), number - 1)
    z = tuple(lanes.z[i, 0, lane] for i in range(num_states))
    begun = Lanes(z, *(part[lane] for part in lanes[1:]))

    def busy(carry):
        t, now = carry
        return (t < length) & (jnp.max(jnp.where(now.fate == Fate.MOVING, 1, 0)) > 0)

    def move(carry):
        t, now = carry
        step = _, word, _ = _newton_step(table, hashes, now.z, order, columns)
        known = loops[last_bits(word).astype(jnp.int32)] == word
        return t + 1, arrived(now, step, most_moves, loop=known)

    _, ended = jax.lax.while_loop(busy, move, (jnp.int32(0), begun))
    for i in range(num_states):
        after.z[i, 0, lane] = ended.z[i]
    for part, values in zip(after[1:], ended[1:], strict=True):
        part[lane] = values


def _newton_step(table: Table, hashes, z: tuple, order, columns: int):
    """Do as `newton.newton_step` for the lanes of a program, all arrays `(L,)`, states as tuples of them."""
    number, num_states = table.gradients.shape
    column = jax.lax.broadcasted_iota(jnp.int32, (columns, len(z[0])), 0)
    states = range(num_states)

    def step(_, carry):
        z, rows, word = carry

        def gate(g, carry):
            image, pushed, word = carry
            gradient = [table.gradients[g, j] for j in states]
            weights = [table.weights[g, i] for i in states]
            met = sum(gradient[j] * z[j] for j in states) + table.offsets[g]
            opened = (met > 0) | (g >= number - num_states)
            met = jnp.where(opened, met, 0)
            slopes = jnp.where(opened[None], sum(gradient[j] * rows[j] for j in states), 0)
            image = tuple(image[i] + weights[i] * met for i in states)
            pushed = tuple(pushed[i] + weights[i] * slopes for i in states)
            return image, pushed, word + jnp.where(opened, hashes[g], jnp.uint64(0))

        shift = tuple(jnp.full_like(z[i], table.shift[i]) for i in states)
        carry = shift, tuple(map(jnp.zeros_like, rows)), word * hashes[number]
        if number * (2 * num_states + 1) > _KEPT:
            return jax.lax.fori_loop(0, number, gate, carry)
        return functools.reduce(lambda carry, g: gate(g, carry), range(number), carry)

    identity = tuple(jnp.where(column == i, 1.0, 0.0) for i in states)
    image, rows, word = jax.lax.fori_loop(0, order, step, (z, identity, jnp.ones(len(z[0]), jnp.uint64)))
    rows = [one - row for one, row in zip(identity, rows, strict=True)]
    displacement, singular = _solved(rows, [new - old for new, old in zip(image, z, strict=True)], column)
    return displacement, word, singular


def _solved(rows: list, right: list, column):
    """Do as `linear.solve_lanes`, for rows `(C, L)` of the matrix and right sides `(L,)`."""
    pivots = []
    for c in range(len(rows)):
        below = range(c + 1, len(rows))
        entries = {i: jnp.sum(jnp.where(column == c, rows[i], 0), axis=0) for i in (c, *below)}
        for i in below:
            larger = jnp.abs(entries[i]) > jnp.abs(entries[c])
            for table, where in ((rows, larger[None]), (right, larger), (entries, larger)):
                table[c], table[i] = jnp.where(where, table[i], table[c]), jnp.where(where, table[c], table[i])
        for i in below:
            factor = entries[i] / entries[c]
            rows[i], right[i] = rows[i] - factor[None] * rows[c], right[i] - factor * right[c]
        pivots.append(entries[c])
    sizes = [jnp.abs(pivot) for pivot in pivots]
    least = singular_pivot(sizes[0].dtype) * functools.reduce(jnp.maximum, sizes, 1.0)
    regular = functools.reduce(jnp.bitwise_and, (size > least for size in sizes))
    solution, known = [], jnp.zeros_like(rows[0])
    for i in reversed(range(len(rows))):
        x = (right[i] - jnp.sum(rows[i] * known, axis=0)) / pivots[i]
        known = jnp.where(column == i, x[None], known)
        solution.append(x)
    return tuple(solution[::-1]), ~regular
