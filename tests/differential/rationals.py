"""Exact rational arithmetic that the references need: matrices of float64 weights, linear systems, linear programs."""

from collections.abc import Sequence

import flint
import numpy as np

ZERO, ONE = flint.fmpq(0), flint.fmpq(1)
# An affine function of s: [constant, slope_1, .., slope_d].
Row = list[flint.fmpq]


def rational(value: float | flint.fmpq) -> flint.fmpq:
    """Give the rational number that a float64 is."""
    return value if isinstance(value, flint.fmpq) else flint.fmpq(*float(value).as_integer_ratio())


def matrix(values) -> flint.fmpq_mat:
    """Give an array of float64 (or rationals), a number or a vector (as a column) as rationals."""
    array = np.asarray(values)
    array = array.reshape(-1, 1) if array.ndim < 2 else array
    return flint.fmpq_mat(*array.shape, [rational(x) for x in array.ravel()])


def identity(size: int) -> flint.fmpq_mat:
    """Give the identity matrix."""
    return flint.fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])


def from_columns(columns: Sequence[Sequence[flint.fmpq]], rows: int) -> flint.fmpq_mat:
    """Put columns side by side."""
    return flint.fmpq_mat(rows, len(columns), [column[i] for i in range(rows) for column in columns])


def solve_affine(system: flint.fmpq_mat, right: flint.fmpq_mat) -> tuple[list, list[list]] | None:
    """Give all solutions of `system x = right`: one, and a basis of the null space; None where there is none."""
    size = system.ncols()
    entries = [[*row, extra[0]] for row, extra in zip(system.tolist(), right.tolist(), strict=True)]
    reduced, rank = flint.fmpq_mat(entries).rref()
    rows = reduced.tolist()[:rank]
    pivots = [next(j for j, x in enumerate(row) if x != 0) for row in rows]
    if size in pivots:
        return None
    particular = [ZERO] * size
    for row, pivot in zip(rows, pivots, strict=True):
        particular[pivot] = row[size]
    basis = []
    for free in (j for j in range(size) if j not in pivots):
        vector = [ZERO] * size
        vector[free] = ONE
        for row, pivot in zip(rows, pivots, strict=True):
            vector[pivot] = -row[free]
        basis.append(vector)
    return particular, basis


def climb(rows: list[Row], goal: Row, cap: flint.fmpq) -> tuple[flint.fmpq, list[flint.fmpq]]:
    """Maximize `goal` where all `rows` are >= 0, but stop at `cap`; s = 0 must be feasible, and goal[0] <= cap.

    The simplex method with Bland's rule, in rationals: it ends, and its answer is exact.

    **Returns:** the maximum, and an s where it is reached.
    """
    size = len(goal) - 1
    # s = u - v with u, v >= 0; then a slack for each row. Table: what is basic, in terms of what is not.
    limits = [*rows, [cap - goal[0], *(-x for x in goal[1:])]]
    table = [[row[0], *row[1:], *(-x for x in row[1:])] for row in limits]
    target = [goal[0], *goal[1:], *(-x for x in goal[1:])]
    free, basic = list(range(2 * size)), list(range(2 * size, 2 * size + len(table)))
    while True:
        rising = [j for j in range(len(free)) if target[j + 1] > 0]
        if not rising:
            break
        enter = min(rising, key=free.__getitem__)
        falling = [i for i, row in enumerate(table) if row[enter + 1] < 0]
        leave = min(falling, key=lambda i: (table[i][0] / -table[i][enter + 1], basic[i]))
        pivot = table[leave]
        factor = -1 / pivot[enter + 1]
        # entering = factor * (rest of the pivot row) - factor * leaving
        solved = [x * factor for x in pivot]
        solved[enter + 1] = -factor
        for row in (*(r for i, r in enumerate(table) if i != leave), target):
            share = row[enter + 1]
            if share != 0:
                row[enter + 1] = ZERO
                for j, x in enumerate(solved):
                    row[j] += share * x
        table[leave] = solved
        free[enter], basic[leave] = basic[leave], free[enter]
    value = {name: row[0] for name, row in zip(basic, table, strict=True)}
    return target[0], [value.get(j, ZERO) - value.get(size + j, ZERO) for j in range(size)]


def deepest(rows: list[Row], size: int) -> tuple[flint.fmpq, list[flint.fmpq]]:
    """Give the largest t <= 1 for which all rows can be >= t, and where: 0 is on a border only, < 0 nowhere."""
    start = min([ONE, *(row[0] for row in rows)])
    lifted = [[row[0] - start, *row[1:], -ONE] for row in rows]
    depth, place = climb([*lifted, [ZERO] * (size + 1) + [ONE]], [start, *[ZERO] * size, ONE], ONE)
    return depth, place[:size]


def relative_interior(rows: list[Row], place: list[flint.fmpq]) -> tuple[list[flint.fmpq], list[list[flint.fmpq]]]:
    """Give a point in the relative interior of {all rows >= 0}, and a basis of its directions; `place` is in it."""
    size = len(place)
    shifted = [[at(row, place), *row[1:]] for row in rows]
    points, tight = [[ZERO] * size], []
    for row in shifted:
        height, where = climb(shifted, row, row[0] + 1)
        points.append(where)
        if height == 0:
            tight.append(row[1:])
    middle = [sum(column, ZERO) / len(points) for column in zip(*points, strict=True)]
    if tight:
        found = solve_affine(flint.fmpq_mat(tight), flint.fmpq_mat(len(tight), 1))
        assert found is not None
        directions = found[1]
    else:
        directions = [[ONE if i == j else ZERO for i in range(size)] for j in range(size)]
    return [a + b for a, b in zip(place, middle, strict=True)], directions


def at(row: Row, place: Sequence[flint.fmpq]) -> flint.fmpq:
    """Evaluate an affine function."""
    return row[0] + sum((a * s for a, s in zip(row[1:], place, strict=True)), ZERO)
