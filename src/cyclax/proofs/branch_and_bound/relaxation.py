"""The linear relaxation of "these gates, along k steps", solved by HiGHS and judged by ourselves.

A gate with preactivation y = p - n, p, n >= 0, p n = 0, contributes u p to the next state, because the map is
continuous: what opening it adds, `jumps[g] z + shift_jumps[g]`, vanishes on its border and so is u (gradient z +
offset). Without p n = 0 everything is linear:

    x_{t+1} = closed x_t + shift + sum_g u_g p_{t,g},     p_{t,g} - n_{t,g} = gradient_g x_t + offset_g

A gate is held open by n = 0 and held closed by p = 0. States that are themselves the preactivation of a gate (all of a
PLRNN) are eliminated.

HiGHS decides within 1e-7 or so, and may err. Nothing is excluded on its word: any multipliers y of the rows, good or
bad, give the inequality (y A) x in [y b], which all points of the box either may satisfy or can not; that is recomputed
here, with rounding accounted for and all rows and bounds relaxed by a tolerance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cyclax.maps.affine import AffineForm
from cyclax.proofs.candidates import Box
from cyclax.proofs.regions import parallel, settled

_EPS = np.finfo(np.float64).eps
# Rows and bounds are relaxed by this share of their size before anything is excluded.
TOLERANCE = 1e-9
# From so many entries on one program may take a good part of a second, and is interrupted where time runs out.
_LARGE = 20_000
# No smaller one takes so many seconds, but where HiGHS is caught: that is given up.
_PATIENCE = 10.0
# How far a jump may be from rank one, relative to the map: rounding only.
_RANK_ONE = 1e-9


class Program(NamedTuple):
    """row_lower <= matrix x <= row_upper, lower <= x <= upper, with all bounds finite; states are in units of `unit`.

    Decision d = t G' + g is gate g (of the G' that matter) at step t.
    """

    matrix: np.ndarray  # (R, C)
    row_lower: np.ndarray  # (R,)
    row_upper: np.ndarray  # (R,)
    lower: np.ndarray  # (C,)
    upper: np.ndarray  # (C,)
    opened: np.ndarray  # (D,) the column of p for each decision
    closed: np.ndarray  # (D,) the column of n
    slack: np.ndarray  # (R,) by how much each row is relaxed: tolerance and rounding
    unit: float

    def held(self, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the bounds of the columns where decisions `(D,)` are 1 (open), -1 (closed) or 0 (not taken)."""
        upper = self.upper.copy()
        upper[self.opened[sides < 0]] = 0
        upper[self.closed[sides > 0]] = 0
        return self.lower, upper


def directions(bounds: AffineForm) -> np.ndarray:
    """Give u `(G, M)`: opening gate g adds u_g times its preactivation.

    **Raises:** `ValueError` where a gate's jump is not of that form: the map is not continuous.
    """
    found = np.zeros_like(bounds.gradients)
    size = np.max(np.abs(bounds.closed), initial=0) + np.max(np.abs(bounds.jumps), initial=0)
    offsets = np.max(np.abs(bounds.shift), initial=0) + np.max(np.abs(bounds.shift_jumps), initial=0)
    for gate in np.flatnonzero(bounds.effective):
        gradient = bounds.gradients[gate]
        largest = np.argmax(np.abs(gradient))
        u = bounds.jumps[gate][:, largest] / gradient[largest]
        # Products that underflow in the one do not in the other; nor do those that overflow.
        if abs(bounds.offsets[gate]) > abs(gradient[largest]) and np.all(np.isfinite(bounds.shift_jumps[gate])):
            u = bounds.shift_jumps[gate] / bounds.offsets[gate]
        with np.errstate(all="ignore"):
            wrong = np.max(np.abs(bounds.jumps[gate] - np.outer(u, gradient)))
            moved = np.max(np.abs(bounds.shift_jumps[gate] - u * bounds.offsets[gate]))
        if wrong > _RANK_ONE * size or moved > _RANK_ONE * (offsets + size * abs(bounds.offsets[gate])):
            raise ValueError(
                f"branch_and_bound: opening gate {gate} adds something that does not vanish on its border, so that the "
                "map is not continuous there; `step` must agree on both sides of every border."
            )
        found[gate] = u
    return found


def relax(
    bounds: AffineForm,
    order: int,
    box: Box,
    limits: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    triangles: bool = False,
    leader: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Program:
    """Write the relaxation of k-cycles down.

    **Arguments:** `limits`: lower and upper bounds of the columns, where better ones than the box gives are known;
    `triangles`: add p / max p + n / max n <= 1 for every gate; `leader`: a gate (among those that matter) whose
    preactivation is largest at step 0, so that of every cycle one rotation remains; `check`: called now and then, and
    may raise.
    """
    if not (np.all(np.isfinite(box.lower)) and np.all(np.isfinite(box.upper))):
        raise ValueError("branch_and_bound: the box must be finite.")
    u = directions(bounds)[bounds.effective]
    check()
    gradients, offsets = bounds.gradients[bounds.effective], bounds.offsets[bounds.effective]
    num_gates, num_states = gradients.shape
    # A power of two, so that nothing is rounded: HiGHS has absolute tolerances, which suit numbers near 1.
    known = max(np.max(np.abs(offsets), initial=0), np.max(np.abs(bounds.shift), initial=0))
    unit = float(2.0 ** np.round(np.log2(known))) if known > 0 else 1.0
    always = settled(bounds)
    held, shift = bounds.jacobians(always[None])[0], bounds.shift + always @ bounds.shift_jumps
    offsets, shift, low, high = offsets / unit, shift / unit, box.lower / unit, box.upper / unit

    # x_t = states @ (columns of step t) + fixed: a state is a column, or the preactivation of a gate.
    source = _sources(gradients)
    kept = np.flatnonzero(source < 0)
    width = len(kept) + 2 * num_gates
    states, fixed = np.zeros((num_states, width)), np.zeros(num_states)
    states[kept, np.arange(len(kept))] = 1
    p, n = len(kept) + np.arange(num_gates), len(kept) + num_gates + np.arange(num_gates)
    for state in np.flatnonzero(source >= 0):
        gate, slope = source[state], gradients[source[state], state]
        states[state, p[gate]], states[state, n[gate]] = 1 / slope, -1 / slope
        fixed[state] = -offsets[gate] / slope

    split = np.zeros((num_gates, width))
    split[np.arange(num_gates), p], split[np.arange(num_gates), n] = 1, -1
    others = np.setdiff1d(np.arange(num_gates), source)
    pushed = np.zeros((num_states, width))
    pushed[:, p] = u.T
    here = np.concatenate([-held @ states - pushed, (split - gradients @ states)[others]])
    following = np.concatenate([states, np.zeros((len(others), width))])
    right = np.concatenate([shift - fixed + held @ fixed, (offsets + gradients @ fixed)[others]])

    matrix = np.zeros((order, len(right), order, width))
    for t in range(order):
        matrix[t, :, t] += here
        matrix[t, :, (t + 1) % order] += following
    matrix = matrix.reshape(order * len(right), order * width)
    check()
    rows, row_lower, row_upper = [matrix], [np.tile(right, order)], [np.tile(right, order)]

    reach = np.abs(gradients) @ np.maximum(np.abs(low), np.abs(high)) + np.abs(offsets)
    least = np.sum(np.minimum(gradients * low, gradients * high), axis=1) + offsets - TOLERANCE * reach
    most = np.sum(np.maximum(gradients * low, gradients * high), axis=1) + offsets + TOLERANCE * reach
    lower = np.tile(np.concatenate([low[kept], np.maximum(least, 0), np.maximum(-most, 0)]), order)
    upper = np.tile(np.concatenate([high[kept], np.maximum(most, 0), np.maximum(-least, 0)]), order)
    if limits is not None:
        lower, upper = np.maximum(lower, limits[0]), np.minimum(upper, limits[1])
    starts = np.arange(order)[:, None] * width
    opened, closed = (starts + p).ravel(), (starts + n).ravel()

    ahead, distance = _neighbors(gradients, offsets)
    check()
    along = np.zeros((order, len(ahead), order, width))
    along[np.arange(order)[:, None, None], np.arange(len(ahead))[:, None], np.arange(order)[:, None, None], p] = ahead
    rows.append(along.reshape(-1, order * width))
    row_lower.append(np.zeros(order * len(ahead)))
    row_upper.append(np.tile(distance, order))
    if triangles:
        both = np.flatnonzero((upper[opened] > TOLERANCE) & (upper[closed] > TOLERANCE))
        triangle = np.zeros((len(both), order * width))
        triangle[np.arange(len(both)), opened[both]] = 1 / upper[opened[both]]
        triangle[np.arange(len(both)), closed[both]] = 1 / upper[closed[both]]
        rows.append(triangle)
        row_lower.append(np.zeros(len(both)))
        row_upper.append(np.ones(len(both)))
    check()
    if leader is not None and order > 1:
        behind = np.zeros((order - 1, order, width))
        behind[:, 0] += split[leader]
        behind[np.arange(order - 1), np.arange(1, order)] -= split[leader]
        rows.append(behind.reshape(order - 1, -1))
        row_lower.append(np.zeros(order - 1))
        row_upper.append(np.full(order - 1, 2 * reach[leader]))

    matrix, row_lower, row_upper = map(np.concatenate, (rows, row_lower, row_upper))
    check()
    size, sides = np.abs(matrix), np.maximum(np.abs(row_lower), np.abs(row_upper))
    check()
    # Rounding of the coefficients (a few operations each), and of sums over rows and columns.
    rounding = (sum(matrix.shape) + 16) * _EPS * (size @ np.maximum(np.abs(lower), np.abs(upper)) + sides)
    slack = TOLERANCE * (np.sum(size, axis=1) + sides) + rounding
    return Program(matrix, row_lower, row_upper, lower, upper, opened, closed, slack, unit)


def _sources(gradients: np.ndarray) -> np.ndarray:
    """For each state `(M,)` a gate whose preactivation depends on it alone, or -1."""
    source = np.full(gradients.shape[1], -1)
    for gate in np.flatnonzero(np.count_nonzero(gradients, axis=1) == 1)[::-1]:
        source[np.argmax(gradients[gate] != 0)] = gate
    return source


def _neighbors(gradients: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For gates that look the same way: 0 <= rows @ p <= distance, for one gate and the next one to open.

    p is as large as the way beyond the border; that of a border further back is larger, by at most their distance.
    """
    rows, distances = [np.zeros((0, len(gradients)))], [np.zeros(0)]
    for group, slopes in parallel(gradients) if len(gradients) else []:
        for side in (slopes > 0, slopes < 0):
            gates, lengths = group[side], np.abs(slopes[side])
            order = np.argsort(-offsets[gates] / lengths, kind="stable")
            gates, lengths = gates[order], lengths[order]
            row = np.zeros((max(len(gates) - 1, 0), len(gradients)))
            step = np.arange(len(row))
            row[step, gates[:-1]], row[step, gates[1:]] = 1 / lengths[:-1], -1 / lengths[1:]
            rows.append(row)
            distances.append(-np.diff(offsets[gates] / lengths))
    return np.concatenate(rows), np.maximum(np.concatenate(distances), 0)


class Exclusion(NamedTuple):
    """Multipliers that exclude: within the bounds of the columns, combination @ x < needed."""

    combination: np.ndarray  # (C,)
    needed: float

    def gap(self, lower: np.ndarray, upper: np.ndarray) -> float:
        """By how much the inequality fails, at best, for columns within the bounds; it excludes where positive."""
        reach = np.maximum(self.combination, 0) @ upper + np.minimum(self.combination, 0) @ lower
        return float(self.needed - reach)


def exclusion(program: Program, ray: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Exclusion | None:
    """Turn multipliers of the rows into a proof that no x within the bounds obeys the relaxed rows, or None."""
    largest = np.max(np.abs(ray), initial=0)
    if not 0 < largest < np.inf:
        return None
    ray = ray / largest
    combination = ray @ program.matrix
    slack = np.abs(ray) @ program.slack + TOLERANCE * np.sum(np.abs(combination))
    for sign in (1, -1):
        y = sign * ray
        needed = np.maximum(y, 0) @ program.row_lower + np.minimum(y, 0) @ program.row_upper
        found = Exclusion(sign * combination, float(needed - slack))
        if found.gap(lower, upper) > 0:
            return found
    return None


def reasons(program: Program, found: Exclusion, sides: np.ndarray) -> np.ndarray:
    """Give a small set of decisions `(D,)` on which an exclusion rests: it holds with all others revoked."""
    lower, upper = program.held(sides)
    columns = np.where(sides < 0, program.opened, program.closed)
    cost = np.where(sides != 0, np.maximum(found.combination[columns], 0) * program.upper[columns], 0)
    cheap = np.argsort(cost, kind="stable")
    revoked = np.zeros(len(sides), bool)
    # Half of the gap at most is spent: what remains covers the rounding of these sums.
    revoked[cheap[np.cumsum(cost[cheap]) <= found.gap(lower, upper) / 2]] = True
    return (sides != 0) & ~revoked


def highest(program: Program, cost: np.ndarray, duals: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Bound cost @ x from above over the relaxed program, whatever the duals are worth."""
    best = np.inf
    for y in (duals, -duals, np.zeros_like(duals)):
        rest = cost - y @ program.matrix
        value = np.maximum(y, 0) @ program.row_upper + np.minimum(y, 0) @ program.row_lower
        value += np.maximum(rest, 0) @ upper + np.minimum(rest, 0) @ lower
        best = min(best, float(value + np.abs(y) @ program.slack + TOLERANCE * np.sum(np.abs(rest))))
    return best


class Simplex:
    """One HiGHS object, which keeps its basis from one set of bounds to the next.

    `stop` is asked within large programs, between pivots: where it says yes, there is neither a point nor a proof.
    `primal`: what changes from one program to the next is the cost, not the bounds.
    """

    def __init__(self, program: Program, stop: Callable[[], Any] = lambda: None, *, primal: bool = False):
        self.highspy = _highspy()
        self.solved = 0
        self._columns = np.arange(len(program.lower), dtype=np.int32)
        self._zero = np.zeros(len(program.lower))
        self._highs: Any = _silent(self.highspy)
        most = 20 * sum(program.matrix.shape) + 1000  # it may cycle
        options = {
            "output_flag": False,
            "presolve": "off",
            "solver": "simplex",
            "simplex_strategy": 4 if primal else 1,  # the basis of a parent is dual feasible for its children
            "parallel": "off",
            "threads": 1,
            "primal_feasibility_tolerance": 1e-9,
            "simplex_iteration_limit": most,
        }
        for name, value in options.items():
            self._highs.setOptionValue(name, value)
        large, self._turns = program.matrix.size > _LARGE, 0
        self._watched = primal or large
        if self._watched:
            asked = self.highspy.cb.HighsCallbackType.kCallbackSimplexInterrupt

            def ask(kind, message, told, answer, data):
                # The primal simplex may also go round without a pivot, in its first phase.
                self._turns += 1
                answer.user_interrupt = self._turns > most or (large and bool(stop()))

            self._highs.setCallback(ask, None)
            self._highs.startCallback(asked)
        self._highs.passModel(self._program(program))

    def _program(self, program: Program) -> Any:
        lp = self.highspy.HighsLp()
        lp.num_row_, lp.num_col_ = program.matrix.shape
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = self._zero, program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
        column, row = np.nonzero(program.matrix.T)
        lp.a_matrix_.format_ = self.highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.searchsorted(column, np.arange(len(program.lower) + 1)).astype(np.int32)
        lp.a_matrix_.index_ = row.astype(np.int32)
        lp.a_matrix_.value_ = program.matrix[row, column]
        return lp

    def restart(self) -> None:
        """Forget the basis, so that what follows does not depend on what came before."""
        self._highs.clearSolver()

    def point(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Look for a point within the bounds: give the point, or multipliers of the rows that exclude it, or none."""
        self._highs.changeColsBounds(len(lower), self._columns, lower, upper)
        status, kinds = self.run(), self.highspy.HighsModelStatus
        if status not in (kinds.kOptimal, kinds.kInfeasible):
            self.restart()
            status = self.run()
        if status == kinds.kOptimal:
            return np.array(self._highs.getSolution().col_value), None
        if status == kinds.kInfeasible:
            _, known, ray = self._highs.getDualRay()
            return None, np.array(ray) if known else None
        return None, None

    def maximum(
        self, cost: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Maximize cost @ x within the bounds: give the point and the duals of the rows, or none."""
        self._highs.changeColsBounds(len(lower), self._columns, lower, upper)
        self._highs.changeColsCost(len(cost), self._columns, -cost)
        optimal = self.run() == self.highspy.HighsModelStatus.kOptimal
        solution = self._highs.getSolution() if optimal else None
        self._highs.changeColsCost(len(cost), self._columns, self._zero)
        if solution is None:
            return None, None
        return np.array(solution.col_value), np.array(solution.row_dual)

    def run(self) -> Any:
        """Solve the program that stands, counted."""
        self.solved, self._turns = self.solved + 1, 0
        if not self._watched:
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + _PATIENCE)
        self._highs.run()
        return self._highs.getModelStatus()


def _silent(highspy: Any) -> Any:
    """Give a HiGHS object that has not written anything: its constructor greets on stdout, where `--json` goes."""

    class Silent(highspy.Highs):
        def enableCallbacks(self):  # the greeting comes from here, before options can be set
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Silent()


def _highspy() -> Any:
    try:
        import highspy
    except ImportError as error:
        raise ImportError("branch_and_bound needs HiGHS: pip install 'cyclax[exact]'") from error
    return highspy
