"""Solutions of singular systems in rationals, and the polyhedra that borders cut out of them."""

import itertools
import math
from typing import Any

import flint
import numpy as np

# Most inequalities that elimination may make; up to so many dimensions a family is decided.
MOST_ROWS = 20_000


def solution_space(total: Any, size: int) -> tuple[list | None, list[list]]:
    """Solve (I - P) x = q in rationals: a solution (None: there is none), and a basis of the null space, as rows."""
    inner = range(1, size + 1)
    table = flint.fmpq_mat(
        size, size + 1, [x for i in inner for x in [*(int(i == j) - total[i, j] for j in inner), total[i, 0]]]
    )
    reduced, pivots = _reduced(table)
    if size in pivots:
        return None, []
    base = [flint.fmpq(0)] * size
    for i, pivot in enumerate(pivots):
        base[pivot] = reduced[i, size]
    return base, _null_space(reduced, pivots, size)


def _reduced(table: Any) -> tuple[Any, list[int]]:
    """Give the reduced echelon form of a rational matrix, and the columns of its pivots."""
    reduced, rank = table.rref()
    return reduced, [next(j for j in range(table.ncols()) if reduced[i, j] != 0) for i in range(rank)]


def _null_space(reduced: Any, pivots: list[int], size: int) -> list[list]:
    """Give a basis, as rows, of what the first `size` columns of a reduced matrix map to 0."""
    null = []
    for free in sorted(set(range(size)) - set(pivots)):
        row = [flint.fmpq(0)] * size
        row[free] = flint.fmpq(1)
        for i, pivot in enumerate(pivots):
            row[pivot] = -reduced[i, free]
        null.append(row)
    return null


def columns_of(base: list, null: list[list]) -> Any:
    """Give the columns (1, x) and (0, n) of all directions as one matrix."""
    entries = [1] + [0] * len(null)
    for i, x in enumerate(base):
        entries += [x, *(row[i] for row in null)]
    return flint.fmpq_mat(len(base) + 1, 1 + len(null), [flint.fmpq(entry) for entry in entries])


def value_at(row: list, shares: list) -> Any:
    """Give the value of a row (constant first) at shares of the directions."""
    return row[0] + sum((a * s for a, s in zip(row[1:], shares, strict=True)), flint.fmpq(0))


def to_float(value: Any) -> float:
    """Round a rational to float64, once."""
    try:
        return int(value.p) / int(value.q)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def inside_of(walls: list[list], dimensions: int) -> tuple[list | bool | None, list | None]:
    """Decide whether {s : b + a . s >= 0 for all walls} has an inside.

    **Returns:** a point inside (False where there is none, None where that stays open), and, where there is none, a
    point in its relative interior, if there is one.
    """
    if not walls:
        return [flint.fmpq(0)] * dimensions, None
    guess = _center(walls)
    if guess is not None and all(value_at(row, guess) > 0 for row in walls):
        return guess, None
    for strict in (True, False):
        point = eliminated(walls, dimensions, strict)
        if point is None:
            return None, None
        if isinstance(point, list):
            return (point, None) if strict else (False, point)
    return False, None


def face_at(walls: list[list], point: list) -> Any:
    """Give the face {s : b + a . s >= 0} of no inside, of which a point in its relative interior is known.

    **Returns:** columns (1, point) and (0, f) for all directions f in which it extends: those along the walls that the
    point lies on.
    """
    size = len(point)
    touched = [x for row in walls if value_at(row, point) == 0 for x in row[1:]]
    directions = _null_space(*_reduced(flint.fmpq_mat(len(touched) // size, size, touched)), size)
    return columns_of(point, directions)


def _center(walls: list[list]) -> list | None:
    """Guess a point as far from all walls as can be, up to the size of the numbers: a linear program in float64."""
    from scipy.optimize import linprog  # slow to import, and hardly ever needed

    # Rows are scaled in rationals: their floats may overflow.
    table = []
    for row in walls:
        size = max(abs(x) for x in row[1:])
        table.append([to_float(x / size) for x in row])
    array = np.array(table)
    if not np.all(np.isfinite(array)):
        return None
    lengths = np.linalg.norm(array[:, 1:], axis=1)
    unit = float(np.max(np.abs(array[:, 0]))) or 1.0  # of a cone all sizes will do
    number = array.shape[1] - 1
    constraints = np.concatenate([-array[:, 1:], lengths[:, None]], axis=1)
    found = linprog(
        np.concatenate([np.zeros(number), [-1.0]]),
        A_ub=constraints,
        b_ub=array[:, 0] / unit,
        bounds=[(None, None)] * number + [(None, 1.0)],
        options={"time_limit": 10.0},  # seconds, where HiGHS is caught: without a guess it is decided by elimination
    )
    if not found.success:
        return None
    return [flint.fmpq(*float(x * unit).as_integer_ratio()) for x in found.x[:-1]]


def eliminated(walls: list[list], dimensions: int, strict: bool) -> list | bool | None:
    """Solve b + a . s > 0 (or >= 0) by Fourier-Motzkin elimination: a point, False (none), or None (too many rows).

    Each coordinate is chosen inside of what the ones before leave to it, so that the point is in the relative interior
    of all solutions (Rockafellar 1970, "Convex Analysis", theorem 6.8).
    """
    levels, rows = [], walls
    for last in range(dimensions, 0, -1):
        levels.append(rows)
        plus = [row for row in rows if row[last] > 0]
        minus = [row for row in rows if row[last] < 0]
        if len(plus) * len(minus) + len(rows) > MOST_ROWS:
            return None
        rest = [row[:last] for row in rows if row[last] == 0]
        for one, other in itertools.product(plus, minus):
            rest.append([x / one[last] - y / other[last] for x, y in zip(one[:last], other[:last], strict=True)])
        rows = rest
    if any(row[0] < 0 or (strict and row[0] == 0) for row in rows):
        return False
    shares: list = []
    for number, level in zip(range(1, dimensions + 1), reversed(levels), strict=True):
        bounds = [(row[number], -value_at(row[:number], shares) / row[number]) for row in level if row[number] != 0]
        low = max((end for slope, end in bounds if slope > 0), default=None)
        high = min((end for slope, end in bounds if slope < 0), default=None)
        shares.append(_between(low, high))
    return shares


def _between(low: Any, high: Any) -> Any:
    if low is not None and high is not None:
        return (low + high) / 2
    if low is not None:
        return low + max(abs(low), 1)
    return flint.fmpq(0) if high is None else high - max(abs(high), 1)


def choices_of(walls: list[list], columns: Any, null: list[list], inside: Any, scale: float):
    """Propose members of a family: such as do not depend on how it was met first, and then any."""
    size = len(null)
    gram = flint.fmpq_mat(size, size, [sum(a * b for a, b in zip(r, s, strict=True)) for r in null for s in null])
    base = [columns[i, 0] for i in range(1, columns.nrows())]
    right = flint.fmpq_mat(size, 1, [-sum(a * b for a, b in zip(row, base, strict=True)) for row in null])
    nearest = gram.solve(right).entries()
    if size == 1:
        ends = [-row[0] / row[1] for row in walls if row[1] > 0], [-row[0] / row[1] for row in walls if row[1] < 0]
        low, high = max(ends[0], default=None), min(ends[1], default=None)
        if low is not None and high is not None:
            yield [(low + high) / 2]
            yield [(7 * low + 3 * high) / 10]
        else:
            unit = flint.fmpq(*float(scale / math.sqrt(to_float(gram[0, 0]))).as_integer_ratio())
            first = nearest[0]
            first = first if low is None else max(first, low + unit)
            first = first if high is None else min(first, high - unit)
            yield [first]
            yield [first + unit if high is None else first - unit]
    else:
        yield nearest
    yield list(inside)
    room = min((value_at(row, inside) / sum(abs(x) for x in row[1:]) for row in walls), default=flint.fmpq(1))
    rng = np.random.default_rng(0)
    for _ in range(4):
        yield [s + room * flint.fmpq(int(n), 2**10) for s, n in zip(inside, rng.integers(-512, 512, size), strict=True)]
