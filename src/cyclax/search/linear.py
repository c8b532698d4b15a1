"""Small linear systems, many at a time, with the lanes on the last axis so that each operation is one vector loop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Up to this size the elimination is written out over columns and vectorized over lanes; above it LAPACK is faster,
# one lane after another (measured on 2 cores, M = 10: 0.5 against 1.3 microseconds; M = 30: 6.6 against 7.4).
UNROLLED_SIZE = 16

# A matrix I - P is called singular where its smallest pivot is below so many roundings of its largest, or of the
# identity's. Long cycles of chaotic maps have regular I - P with pivots up to 1e13 times apart.
_ROUNDINGS = 4.5

# Up to this size loops over columns are written out, so that XLA fuses them.
_UNROLLED_COLUMNS = 4


def singular_pivot(dtype: Any) -> float:
    """Give the share of the largest pivot below which one says that a matrix is singular."""
    return _ROUNDINGS * float(jnp.finfo(dtype).eps)


def solve_lanes(
    matrix: Float[Array, "M M L"], right: Float[Array, "M L"], *, rolled: bool = False
) -> tuple[Float[Array, "M L"], Bool[Array, " L"]]:
    """Solve `matrix[..., l] x = right[..., l]` for every lane l.

    Gaussian elimination with partial pivoting.

    **Arguments:** `rolled`: as a loop over columns, which for M = 16 compiles in a quarter of the time and takes twice
    as long: for programs that are not called often.

    **Returns:** the solutions and whether each lane's matrix is singular to working precision.
    """
    large = matrix.shape[0] > UNROLLED_SIZE
    # XLA has no LU factorization of 64 bits for TPUs.
    if large and jax.default_backend() != "tpu":
        solution = jnp.linalg.solve(jnp.moveaxis(matrix, -1, 0), right.T[..., None])[..., 0].T
        return solution, ~jnp.all(jnp.isfinite(solution), axis=0)
    table = jnp.concatenate([matrix, right[:, None]], axis=1)
    if large or (rolled and matrix.shape[0] > _UNROLLED_COLUMNS):
        return _eliminate_in_a_loop(table)
    rows = []
    for remaining in range(matrix.shape[0], 0, -1):
        row, table = _eliminate_column(table) if remaining > 1 else (table[0], table)
        rows.append(row)
    pivots = jnp.abs(jnp.stack([row[0] for row in rows]))
    singular = ~(jnp.min(pivots, axis=0) > singular_pivot(pivots.dtype) * jnp.max(pivots, axis=0, initial=1.0))
    solution = []
    for row in reversed(rows):
        known = sum(row[1 + j] * x for j, x in enumerate(reversed(solution)))
        solution.append((row[-1] - known) / row[0])
    return jnp.stack(solution[::-1]), singular


def _eliminate_column(table):
    """Take the pivot row out of `table (n, n + 1, L)`; return it and the remaining `(n - 1, n, L)` rows."""
    size = table.shape[0]
    if size == 2:
        swap = jnp.abs(table[1, 0]) > jnp.abs(table[0, 0])
        row, other = jnp.where(swap, table[1], table[0]), jnp.where(swap, table[0], table[1])
        return row, (other[1:] - other[0] / row[0] * row[1:])[None]
    pivot = jnp.argmax(jnp.abs(table[:, 0]), axis=0)
    row = jnp.take_along_axis(table, pivot[None, None], axis=0)[0]
    # The first row moves to where the pivot row stood.
    rest = jnp.where((jnp.arange(1, size)[:, None] == pivot)[:, None], table[0], table[1:])
    return row, rest[:, 1:] - (rest[:, 0] / row[0])[:, None] * row[1:]


def _eliminate_in_a_loop(table: Float[Array, "M N L"]) -> tuple[Float[Array, "M L"], Bool[Array, " L"]]:
    """Do as `solve_lanes`, in place: row c is moved up to its place, and those below it are changed."""
    size = table.shape[0]
    rows = jnp.arange(size)[:, None]
    take = functools.partial(jax.lax.dynamic_index_in_dim, keepdims=False)

    def column(c, table):
        entries, first = take(table, c, 1), take(table, c, 0)
        pivot = jnp.argmax(jnp.where(rows >= c, jnp.abs(entries), -1.0), axis=0)
        row = jnp.take_along_axis(table, pivot[None, None], axis=0)[0]
        here = rows == pivot
        factors = jnp.where(rows > c, jnp.where(here, take(first, c, 0), entries) / take(row, c, 0), 0)
        moved = jnp.where((rows == c)[:, None], row, jnp.where(here[:, None], first, table))
        return moved - factors[:, None] * row

    table = jax.lax.fori_loop(0, size, column, table)
    pivots = jnp.abs(jnp.sum(jnp.where((rows == rows.T)[..., None], table[:, :size], 0), axis=1))
    singular = ~(jnp.min(pivots, axis=0) > singular_pivot(pivots.dtype) * jnp.max(pivots, axis=0, initial=1.0))

    def substitute(i, known):
        i = size - 1 - i
        x = take(known, i, 0) / take(take(table, i, 0), i, 0)
        return jnp.where(rows == i, x, jnp.where(rows < i, known - take(table, i, 1) * x, known))

    return jax.lax.fori_loop(0, size, substitute, table[:, -1]), singular


def solve_cyclic(
    products: Float[Array, "M M S L"], right: Float[Array, "M S L"], *, rolled: bool = False
) -> tuple[Float[Array, "M S L"], Bool[Array, " L"]]:
    """Solve x_{j+1} - P_j x_j = b_j, cyclic in j, for every lane.

    Block by block, orthogonal elimination leaves one equation in x_0 (Wright 1992, "Stable parallel algorithms for
    two-point boundary value problems"): no product of the P_j is formed. `rolled`: as in `solve_lanes`.

    **Returns:** the solutions and whether each lane's system is singular to working precision.
    """
    size, _, segments, lanes = products.shape
    identity = jnp.broadcast_to(jnp.eye(size, dtype=products.dtype)[:, :, None], (size, size, lanes))
    if segments == 1:
        solution, singular = solve_lanes(identity - products[:, :, 0], right[:, 0], rolled=rolled)
        return solution[:, None], singular
    nothing = jnp.zeros_like(identity)

    def eliminate(carry, rows):
        """Rows `first x_0 + last x_j = known` and `-P_j x_j + x_{j+1} = b_j`: eliminate x_j."""
        first, last, known = carry
        product, b = rows
        above = jnp.concatenate([last, first, nothing, known[:, None]], axis=1)
        below = jnp.concatenate([-product, nothing, identity, b[:, None]], axis=1)
        table = _triangularize(jnp.concatenate([above, below]), size)
        rest = table[size:]
        return (rest[:, size : 2 * size], rest[:, 2 * size : 3 * size], rest[:, -1]), table[:size]

    blocks, knowns = jnp.moveaxis(products, 2, 0), jnp.moveaxis(right, 1, 0)
    carry = (-blocks[0], identity, knowns[0])
    (first, last, known), tables = jax.lax.scan(eliminate, carry, (blocks[1:], knowns[1:]))
    beginning, singular = solve_lanes(first + last, known, rolled=rolled)

    def substitute(following, table):
        """Give x_j, once x_0 and x_{j+1} are known."""
        triangle, onwards = table[:, :size], table[:, size : 3 * size]
        known = table[:, -1] - jnp.sum(onwards * jnp.concatenate([beginning, following]), axis=1)

        def row(i, x):
            i = size - 1 - i
            return x.at[i].set((known[i] - jnp.sum(triangle[i] * x, axis=0)) / triangle[i, i])

        x = jax.lax.fori_loop(0, size, row, jnp.zeros_like(known), unroll=size <= _UNROLLED_COLUMNS)
        return x, x

    _, others = jax.lax.scan(substitute, beginning, tables, reverse=True)
    solution = jnp.concatenate([beginning[None], others])
    singular = singular | ~jnp.all(jnp.isfinite(solution), axis=(0, 1))
    return jnp.moveaxis(solution, 0, 1), singular


def _triangularize(table: Float[Array, "R C L"], columns: int) -> Float[Array, "R C L"]:
    """Make the first columns of each lane's table upper triangular by Householder reflections."""
    rows = jnp.arange(table.shape[0])[:, None]

    def reflect(c, table):
        column = jnp.where(rows >= c, table[:, c], 0)
        pivot = column[c]
        size = jnp.sqrt(jnp.sum(column * column, axis=0))
        normal = column + jnp.where(rows == c, jnp.where(pivot < 0, -size, size), 0)
        square = jnp.sum(normal * normal, axis=0)
        weights = jnp.sum(normal[:, None] * table, axis=0) * jnp.where(square > 0, 2 / square, 0)
        return table - normal[:, None] * weights

    return jax.lax.fori_loop(0, columns, reflect, table, unroll=columns <= _UNROLLED_COLUMNS)
