"""The linear programs of the word graph, compiled: which itineraries have a point, and the proof where none has.

An itinerary s_0 .. s_L of regions is possible when some z_0 satisfies, with z_t = J z_{t-1} + o held along it, the rows

    g . z_t <= d      (the sides of the gates of s_t; the outer polytope in which every point of every cycle lies).

In the M coordinates of z_0 the program is: maximize t with (rows) z_0 + t <= d. It is feasible when t can reach 0. The
dual simplex method starts from any dual feasible basis, so a program that got one more row goes on where it was.

Floating point decides nothing. Where the optimum falls below -tolerance, the multipliers y >= 0 of the basis are put
to the test in the *original* data (`_refuted`): an adjoint p_t = J_t' p_{t+1} + (rows at time t) y is run backwards
along the itinerary, which telescopes sum y g . z_t into p_0 . z_0 + sum p_{t+1} . o_t plus what every single step
rounds away, and that is charged to the bound with |z_t| at its largest in the box. So rounding never compounds along
a word, and what is refuted has no orbit whose points come within the tolerance of their regions.
"""

from typing import NamedTuple

import numpy as np

from cyclax.proofs.word_graph.compiled import compiled

# What a program can come to.
INFEASIBLE, FEASIBLE, UNDECIDED = 0, 1, 2
# The row t <= cap, which makes the first basis: it has no place in the data.
CAP = 2**30
# Pivots after which a program is given up (and its word kept).
_MOST_PIVOTS = 400
# Entries counted in `effort`.
PROGRAMS, PIVOTS, UNPROVED = 0, 1, 2
# The entry beyond is no counter: where it is not 0, programs end undecided at their next pivot. Other threads set it.
HALT = 3


class Atlas(NamedTuple):
    """The regions (symbols), their held maps, the planes between them and the polytope around all cycles.

    Affine things are homogeneous: their last column is the constant. (Few arrays: each costs compile time.)
    """

    planes: np.ndarray  # (G, M + 1) unit gradients, offsets
    hull: np.ndarray  # (T, M + 1) unit rows and limits: rows @ z <= limits for every point of a cycle
    largest: np.ndarray  # (M + 1,) bounds on |z| there, and 1
    maps: np.ndarray  # (S, M, M + 1)
    sizes: np.ndarray  # (S, M, M + 1) sums of the magnitudes of what was added up
    sides: np.ndarray  # (S, G) 1 on the positive side of a plane
    begins: np.ndarray  # (S + 1,) where in `facets` those of a region begin
    facets: np.ndarray  # planes that bound each region
    rounding: float  # relative error of one step of arithmetic
    tolerance: float
    cap: float  # the largest slack sought


class Program(NamedTuple):
    """Room for one program: the rows, what they stand for, and the state of the simplex method."""

    rows: np.ndarray  # (M + 1, capacity) columns are rows: all of them are priced in one sweep
    right: np.ndarray  # (2, capacity) right-hand sides, and the slack of each row
    origin: np.ndarray  # (2, capacity) time of the point that a row constrains; i: row i of the hull;
    #                     -(2 g + side + 1): plane g; CAP
    basis: np.ndarray  # (M + 1,)
    inverse: np.ndarray  # (2, M + 1, M + 1) of the basis, and room to compute it afresh
    vectors: np.ndarray  # (4, M + 1) the point z_0 and t, the row that enters, the adjoint, the adjoint to be
    effort: np.ndarray  # counters, and HALT


class Log(NamedTuple):
    """Refutations that were relied upon, for a judge: which candidates they exclude, and their multipliers."""

    spans: np.ndarray  # (n, 3) a word (or a cell), and the first and the last + 1 of its candidates that are excluded
    rows: np.ndarray  # (n, M + 1, 2) time and source, as in `origin`
    multipliers: np.ndarray  # (n, M + 1)
    filled: np.ndarray  # (1,)


def make_log(num_states: int, length: int) -> Log:
    """Give room for so many refutations; none where nobody asks for them."""
    size = num_states + 1
    return Log(
        np.zeros((length, 3), np.int64),
        np.zeros((length, size, 2), np.int64),
        np.zeros((length, size)),
        np.zeros(1, np.int64),
    )


@compiled
def record(log, program, which, low, high):
    """Log the refutation at hand."""
    if len(log.spans) == 0:
        return
    n, size = log.filled[0], len(program.basis)
    log.spans[n, 0], log.spans[n, 1], log.spans[n, 2] = which, low, high
    for j in range(size):
        log.multipliers[n, j] = max(program.inverse[0, size - 1, j], 0.0)
        log.rows[n, j, 0] = program.origin[0, program.basis[j]]
        log.rows[n, j, 1] = program.origin[1, program.basis[j]]
    log.filled[0] += 1


def make_program(num_states: int, capacity: int) -> Program:
    """Give room for programs of so many rows."""
    size = num_states + 1
    return Program(
        np.zeros((size, capacity)),
        np.zeros((2, capacity)),
        np.zeros((2, capacity), np.int64),
        np.zeros(size, np.int64),
        np.zeros((2, size, size)),
        np.zeros((4, size)),
        np.zeros(4, np.int64),
    )


@compiled
def descend(program, count, threshold, to_the_end):
    """Dual simplex on the first `count` rows from the basis at hand.

    **Returns:** FEASIBLE at the optimum (or, unless `to_the_end`, at the first point with t >= 0), INFEASIBLE as soon
    as the bound on t falls below `threshold` (unproved: floating point), UNDECIDED after too many pivots.
    """
    rows, right, basis, inverse = program.rows, program.right, program.basis, program.inverse
    vectors, size = program.vectors, len(program.basis)
    for pivot in range(_MOST_PIVOTS):
        if program.effort[HALT]:
            return UNDECIDED
        for i in range(size):
            value = 0.0
            for j in range(size):
                value += inverse[0, i, j] * right[0, basis[j]]
            vectors[0, i] = value
        top = vectors[0, size - 1]
        if top < threshold:
            return INFEASIBLE
        for i in range(count):
            right[1, i] = right[0, i]
        for j in range(size):
            value = vectors[0, j]
            for i in range(count):
                right[1, i] -= rows[j, i] * value
        worst, least = -1, -1e-12
        for i in range(count):
            if right[1, i] < least:
                least, worst = right[1, i], i
        if worst < 0 or (least + top >= 0 and not to_the_end):
            return FEASIBLE
        for j in range(size):
            vectors[1, j] = 0.0
        for i in range(size):
            value = rows[i, worst]
            if value != 0.0:
                for j in range(size):
                    vectors[1, j] += value * inverse[0, i, j]
        leaving, ratio = -1, np.inf
        for j in range(size):
            if vectors[1, j] > 1e-11:
                quotient = max(inverse[0, size - 1, j], 0.0) / vectors[1, j]
                # Ties go to the larger pivot, late in the game to the first row (no cycling).
                tie = quotient <= ratio + 1e-15 and leaving >= 0 and vectors[1, j] > vectors[1, leaving]
                if quotient < ratio - 1e-15 or (tie and pivot < _MOST_PIVOTS // 2):
                    ratio, leaving = quotient, j
        if leaving < 0:
            return UNDECIDED
        scale = 1.0 / vectors[1, leaving]
        for i in range(size):
            kept = inverse[0, i, leaving] * scale
            for j in range(size):
                inverse[0, i, j] -= vectors[1, j] * kept
            inverse[0, i, leaving] = kept
        basis[leaving] = worst
        program.effort[PIVOTS] += 1
    return UNDECIDED


@compiled
def _invert_basis(program):
    """Compute the inverse of the basis afresh (Gauss and Jordan); say whether it could be."""
    basis, inverse, size = program.basis, program.inverse, len(program.basis)
    for i in range(size):
        for j in range(size):
            inverse[1, i, j] = program.rows[j, basis[i]]
            inverse[0, i, j] = 1.0 if i == j else 0.0
    for k in range(size):
        best = k
        for i in range(k + 1, size):
            if abs(inverse[1, i, k]) > abs(inverse[1, best, k]):
                best = i
        if inverse[1, best, k] == 0.0:
            return False
        scale = 1.0 / inverse[1, best, k]
        for side in range(2):
            for j in range(size):
                value = inverse[side, best, j] * scale
                inverse[side, best, j] = inverse[side, k, j]
                inverse[side, k, j] = value
        for i in range(size):
            factor = inverse[1, i, k]
            if i != k and factor != 0.0:
                for side in range(2):
                    for j in range(size):
                        inverse[side, i, j] -= factor * inverse[side, k, j]
    return True


@compiled
def _refuted(atlas, program, word):
    """Whether the multipliers of the basis prove, roundings included, that the itinerary has no point."""
    basis, inverse, vectors, largest = program.basis, program.inverse, program.vectors, atlas.largest
    number = len(basis) - 1
    value, charge, total, last = 0.0, 0.0, 0.0, 0
    for i in range(number):
        vectors[2, i] = 0.0
    for j in range(number + 1):
        if inverse[0, number, j] > 0.0 and program.origin[0, basis[j]] > last:
            last = program.origin[0, basis[j]]
    for t in range(last, -1, -1):
        if t < last:
            symbol = word[t]
            for j in range(number):
                vectors[3, j] = 0.0
            for i in range(number):
                factor = vectors[2, i]
                value -= factor * atlas.maps[symbol, i, number]
                for j in range(number):
                    vectors[3, j] += factor * atlas.maps[symbol, i, j]
                for j in range(number + 1):
                    charge += abs(factor) * atlas.sizes[symbol, i, j] * largest[j]
            for i in range(number):
                vectors[2, i] = vectors[3, i]
        for j in range(number + 1):
            row, y = basis[j], inverse[0, number, j]
            if y <= 0.0 or program.origin[0, row] != t:
                continue
            source = program.origin[1, row]
            total += y
            if source == CAP:
                value += y * atlas.cap
            elif source >= 0:
                value += y * atlas.hull[source, number]
                for i in range(number):
                    vectors[2, i] += y * atlas.hull[source, i]
                for i in range(number + 1):
                    charge += y * abs(atlas.hull[source, i]) * largest[i]
            else:
                plane = (-source - 1) // 2
                signed = y if (-source - 1) % 2 == 0 else -y
                value -= signed * atlas.planes[plane, number]
                for i in range(number):
                    vectors[2, i] += signed * atlas.planes[plane, i]
                for i in range(number + 1):
                    charge += y * abs(atlas.planes[plane, i]) * largest[i]
    for i in range(number):
        value += abs(vectors[2, i]) * (largest[i] + atlas.tolerance)
    # No sum above has more terms than this.
    terms = 2 * (number + 1) * (last + 2)
    return value + (atlas.rounding + terms * 2.3e-16) * (charge + abs(value)) < -atlas.tolerance * total


@compiled
def decide(atlas, program, count, word):
    """Decide whether the itinerary described by the first `count` rows is possible; INFEASIBLE is proved."""
    program.effort[PROGRAMS] += 1
    status = descend(program, count, -atlas.tolerance, False)
    if status != INFEASIBLE or _refuted(atlas, program, word):
        return status
    # Too little, or too inaccurate: the inverse afresh, and on to the optimum.
    if _invert_basis(program):
        descend(program, count, -np.inf, True)
        if _refuted(atlas, program, word):
            return INFEASIBLE
    program.effort[UNPROVED] += 1
    return UNDECIDED


@compiled
def add_plane(atlas, program, count, plane, side, time, products):
    """Append the row of one side of a plane at the point `products[time] (z_0, 1)`; count the rows."""
    sign, number = -1.0 if side else 1.0, len(atlas.largest) - 1
    program.right[0, count] = -sign * atlas.planes[plane, number]
    for j in range(number):
        program.rows[j, count] = 0.0
    for i in range(number):
        factor = sign * atlas.planes[plane, i]
        if factor != 0.0:
            program.right[0, count] -= factor * products[time, i, number]
            for j in range(number):
                program.rows[j, count] += factor * products[time, i, j]
    program.rows[number, count] = 1.0
    program.origin[0, count], program.origin[1, count] = time, -(2 * plane + side + 1)
    return count + 1


@compiled
def add_hull(atlas, program, count, time, products):
    """Append the rows of the outer polytope at the point `products[time] (z_0, 1)`; count the rows."""
    number = len(atlas.largest) - 1
    for row in range(len(atlas.hull)):
        program.right[0, count] = atlas.hull[row, number]
        for j in range(number):
            program.rows[j, count] = 0.0
        for i in range(number):
            factor = atlas.hull[row, i]
            if factor != 0.0:
                program.right[0, count] -= factor * products[time, i, number]
                for j in range(number):
                    program.rows[j, count] += factor * products[time, i, j]
        program.rows[number, count] = 1.0
        program.origin[0, count], program.origin[1, count] = time, row
        count += 1
    return count


@compiled
def begin(atlas, program, products):
    """Write the rows of z_0: the cap, then the hull, whose first rows are z <= upper; count them."""
    number = len(atlas.largest) - 1
    for i in range(number):
        program.rows[i, 0] = 0.0
        for j in range(number + 1):
            products[0, i, j] = 1.0 if i == j else 0.0
    program.rows[number, 0], program.right[0, 0] = 1.0, atlas.cap
    program.origin[0, 0], program.origin[1, 0] = 0, CAP
    return add_hull(atlas, program, 1, 0, products)


@compiled
def reset(program):
    """Set the basis to z <= upper and t <= cap: dual feasible, as only the cap has a multiplier."""
    size = len(program.basis)
    for i in range(size):
        program.basis[i] = (i + 1) % size
        for j in range(size):
            program.inverse[0, i, j] = 1.0 if i == j else 0.0
        program.inverse[0, i, size - 1] = -1.0 if i < size - 1 else 1.0


def support(constraints, right, objectives, span, most: float = np.inf, check=lambda: None) -> tuple[np.ndarray, int]:
    """Bound each objective w.x over constraints x <= right, |x| <= span, rounded up; give the operations it took, too.

    Objectives whose turn comes after `most` operations are bounded by inf. `check` is called for each, and may raise.

    The first rows of `constraints` are the identity and its negative: a dual feasible basis for any objective. What
    the multipliers of the last basis prove is given, optimal or not.
    """
    count, number = constraints.shape
    program = make_program(number, count + 1)
    program.rows[:number, :count], program.right[0, :count] = constraints.T, right
    program.rows[number, count] = 1.0  # the last row: t <= w.x
    bounds = np.full(len(objectives), np.inf)
    each, taken = program.rows.size + program.inverse.size, 0
    for k, objective in enumerate(objectives):
        check()
        taken = int(program.effort[PIVOTS] + k) * each
        if taken > most:
            break
        program.rows[:number, count] = -objective
        signs = np.where(objective > 0, 1.0, -1.0)
        program.basis[:] = [*np.where(objective > 0, np.arange(number), number + np.arange(number)), count]
        program.inverse[0] = np.diag([*signs, 1.0])
        program.inverse[0, number, :number] = np.abs(objective)
        descend(program, count + 1, -np.inf, True)
        basic = program.basis != count
        multipliers, chosen = np.maximum(program.inverse[0, number, basic], 0.0), program.basis[basic]
        left = objective - multipliers @ constraints[chosen]
        value = multipliers @ right[chosen] + np.abs(left) @ span
        charge = multipliers @ (np.abs(right[chosen]) + np.abs(constraints[chosen]) @ span) + np.abs(objective) @ span
        bounds[k] = value + 8 * (number + 1) * 2.3e-16 * (charge + abs(value))
    return bounds, taken
