"""Which words are cycles where float64 cannot tell: decided in balls, and where balls cannot tell, in rationals.

For the float64 weights taken as exact numbers, a word composes to z -> P z + q. Where I - P is regular the word has one
solution, and the signs of its preactivations are decided in balls of growing precision; a sign that stays open is asked
in rationals, where a tie is a tie. Whether I - P is singular is a rational question too: then the solutions x + span(N)
are cut by the borders to a polyhedron, and it is decided exactly whether that has an inside.
"""

import enum
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flint
import numpy as np

from cyclax.core.balls import LOCK, working_precision
from cyclax.cycles.forms import UnsupportedError
from cyclax.cycles.multipliers import multipliers_of, sound_multipliers
from cyclax.cycles.pieces import Pieces
from cyclax.cycles.polyhedra import choices_of, columns_of, face_at, inside_of, solution_space, to_float, value_at
from cyclax.cycles.units import own_units, representable
from cyclax.cycles.word import minimal_period
from cyclax.maps.base import AbstractPiecewiseLinearMap

# The precisions that are tried, in bits; the last settles whatever is not a tie.
_BITS = (256, 1024, 4096)
# Enclosures are accepted once they are narrower than this, relative to the largest coordinate.
_NARROW = 2.0**-60
# Rationals are asked up to this size k M^3: about a second.
_LARGEST = 2_000_000
# A multiplier nearer to the unit circle than this may be a root of unity.
NEAR_CIRCLE = 1e-2


class Outcome(enum.Enum):
    """What a word can come to."""

    CYCLE = "cycle"  # its one solution meets it, away from every border
    BORDER = "border"  # its one solution lies exactly on borders; or its family touches the region in one point
    FAMILY = "family"  # I - P is singular, and a whole family of solutions meets the word, be it on borders alone
    NONE = "none"  # no solution meets it; or only ones of a smaller period
    OPEN = "open"  # none of these is proved


class Decision(NamedTuple):
    """What a word has come to, and what there is to say of it."""

    outcome: Outcome
    reason: str = ""
    points: np.ndarray = np.zeros((0, 0))  # (k, M) the solution, or one of them, rounded to float64
    error: float = 0.0  # by how much the points are rounded, at most
    margin: float = 0.0  # distance to the nearest border
    jacobian: np.ndarray = np.zeros((0, 0))  # (M, M) P, rounded
    steps: np.ndarray = np.zeros((0, 0, 0))  # (k, M, M) the Jacobians that it is the product of, each rounded
    directions: np.ndarray = np.zeros((0, 0))  # (M, d) of a family, orthonormal
    inexact: bool = False  # P has entries that are no float64 numbers
    period: int = 0  # of its solutions, up to rounding, where that is smaller than the word's
    met: np.ndarray | None = None  # (k, G) the word that the solution of a refuted word meets: the next to be tried
    ties: np.ndarray | None = None  # (k, G) the gates on whose borders all its solutions lie, exactly

    def multipliers(self, exact: Callable[[int], Any] | None = None) -> np.ndarray:
        """Give the multipliers `(M,)` of what was decided; `exact` as in `sound_multipliers`."""
        values = multipliers_of(self.steps[None], self.jacobian[None])[0]
        return sound_multipliers(self.steps, values, exact)


class Decider:
    """The map in exact numbers, and what it says of words. Its code is read when first needed.

    **Arguments:** `model`: its float64 weights are taken as exact numbers; `matter` `(G,)`: the gates that matter.
    """

    def __init__(self, model: AbstractPiecewiseLinearMap, matter: np.ndarray):
        self._model, self.matter, self._matter = model, matter, np.flatnonzero(matter).tolist()
        self._pieces: dict[int, Pieces] = {}
        self._unsupported = ""

    def decide(self, word: np.ndarray) -> Decision:
        """Decide a word `(k, G)`; a word that repeats a shorter one can only come to a family, or to nothing."""
        with LOCK:
            decision = self._decide(np.ascontiguousarray(word, bool))
            if decision.outcome not in (Outcome.CYCLE, Outcome.BORDER, Outcome.FAMILY):
                return decision
            if not representable(decision.points[None], own_units(self._model))[0]:
                return Decision(Outcome.OPEN, "its points are beyond the largest float64, or below the smallest")
            return decision._replace(steps=np.stack([self._jacobian(gates) for gates in word]))

    def orders_of_families(self, word: np.ndarray, multipliers: np.ndarray) -> list[int] | None:
        """Give the numbers q > 1 such that the word, repeated q times, has solutions of that minimal period.

        They are the least common multiples of orders of roots of unity among the multipliers, which is decided exactly
        (their cyclotomic polynomials divide the characteristic polynomial of P); None where that cannot be.
        """
        moduli = np.abs(multipliers)
        if not np.any(np.abs(moduli - 1) < NEAR_CIRCLE) and np.all(np.isfinite(moduli)):
            return []
        with LOCK:
            return self._orders_of_families(np.ascontiguousarray(word, bool))

    def jump(self, gate: int) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Give what opening a gate adds to the Jacobian `(M, M)` and to the image of 0 `(M,)`, each rounded once.

        And whether it adds anything, which may be below the smallest number of float64.

        None where the code of the model cannot be followed, or its numbers are no rationals.
        """
        pieces = self._held_maps(np.arange(self._model.num_gates) == gate, np.zeros(self._model.num_gates, bool))
        if pieces is None:
            return None
        difference = pieces[0] - pieces[1]
        return *_rounded_map(difference), any(entry != 0 for entry in difference.entries())

    def same(self, one: np.ndarray, other: np.ndarray) -> bool:
        """Whether the held maps for two sets of gates `(G,)` are known to be one, exactly."""
        pieces = self._held_maps(one, other)
        return pieces is not None and pieces[0] == pieces[1]

    def closed(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Give the Jacobian `(M, M)` and the image of 0 `(M,)` with all gates closed, each rounded once.

        None where the code of the model cannot be followed, or its numbers are no rationals.
        """
        pieces = self._held_maps(np.zeros(self._model.num_gates, bool))
        return None if pieces is None else _rounded_map(pieces[0])

    def _held_maps(self, *several: np.ndarray) -> list[Any] | None:
        """Give the held maps for gates `(G,)` as rational matrices on (1, z)."""
        with LOCK:
            try:
                return [self._rational(gates) for gates in several] if self._at(_BITS[0]).exact else None
            except UnsupportedError:
                return None

    def jacobian(self, gates: np.ndarray) -> np.ndarray | None:
        """Give the Jacobian `(M, M)` of the held map for gates `(G,)`, each entry rounded once.

        None where the code of the model cannot be followed.
        """
        with LOCK:
            try:
                return self._jacobian(np.ascontiguousarray(gates, bool))
            except UnsupportedError:
                return None

    def product(self, word: np.ndarray, bits: int) -> Any:
        """Give P of a word `(k, G)` as a matrix of balls; None where the code of the model cannot be followed."""
        with working_precision(bits):
            try:
                return self._at(bits).lap(np.ascontiguousarray(word, bool), bits).product
            except UnsupportedError:
                return None

    # -- the code of the model --------------------------------------------------------------------------------------

    def _at(self, bits: int) -> Pieces:
        if self._unsupported:
            raise UnsupportedError(self._unsupported)
        exact = next((pieces for pieces in self._pieces.values() if pieces.exact), None)
        if exact is None and bits not in self._pieces:
            try:
                with working_precision(bits):
                    self._pieces[bits] = Pieces(self._model)
            except UnsupportedError as error:
                self._unsupported = str(error)
                raise
        return exact or self._pieces[bits]

    def _serves(self, order: int) -> bool:
        """Whether rationals are asked: the weights are rational, and the numbers do not grow beyond all bounds."""
        return self._at(_BITS[0]).exact and order * self._model.num_states**3 <= _LARGEST

    # -- decisions --------------------------------------------------------------------------------------------------

    def _decide(self, word: np.ndarray) -> Decision:
        decision = Decision(Outcome.OPEN)
        try:
            for bits in _BITS:
                with working_precision(bits):
                    decision = self._in_balls(self._at(bits), word, bits)
                if decision.outcome != Outcome.OPEN:
                    return decision
                if self._serves(len(word)):
                    return self._in_rationals(word)
        except UnsupportedError as error:
            return Decision(Outcome.OPEN, str(error))
        return decision

    def _in_balls(self, pieces: Pieces, word: np.ndarray, bits: int) -> Decision:
        size = pieces.num_states
        lap = pieces.lap(word, bits)
        entries = lap.product.entries()
        try:
            state = lap.solution()
        except ZeroDivisionError:
            return Decision(Outcome.OPEN, f"I - P is not told from a singular matrix ({bits} bits)")
        planes = pieces.planes_matrix(bits)
        margin, points, radius, doubt, wrong, met = math.inf, [], 0.0, "", "", word.copy()
        for t, (gates, matrix) in enumerate(zip(word, lap.matrices, strict=True)):
            values = (planes * state).entries()
            for gate in self._matter:
                value = values[gate] if gates[gate] else -values[gate]
                if value < 0:
                    wrong, met[t, gate] = f"at point {t} gate {gate} stands the other way", not gates[gate]
                elif not value > 0:
                    doubt = f"at point {t} the sign of gate {gate} is open ({bits} bits)"
                elif not doubt:
                    margin = min(margin, float(value.abs_lower()) / pieces.slopes[gate])
            coordinates = state.entries()[1:]
            points.append([0.0 if x.contains(0) else float(x.mid()) for x in coordinates])
            radius = max(radius, *(float(x.rad()) for x in coordinates))
            state = matrix * state
        inexact = not all(x.is_exact() and x == float(x.mid()) for x in entries)
        if wrong:
            return Decision(Outcome.NONE, wrong, inexact=inexact, met=met)
        # An exact 0 has no digits to lose, and no radius.
        if doubt or not (radius == 0 or radius <= _NARROW * np.max(np.abs(points))):
            return Decision(Outcome.OPEN, doubt or f"its points are enclosed to within {radius:.2g} only")
        if minimal_period(word[:, self._matter]) < len(word):
            return Decision(Outcome.NONE, "its solution is that of a shorter word")
        jacobian = np.array([float(x.mid()) for x in entries]).reshape(size, size)
        decision = _rounded(np.array(points).reshape(len(word), size), radius, margin, jacobian)
        return self._unless_it_meets(pieces, word, decision._replace(inexact=inexact))

    def _in_rationals(self, word: np.ndarray) -> Decision:
        size, order = self._model.num_states, len(word)
        steps = [self._rational(gates) for gates in word]
        total = steps[0]
        for step in steps[1:]:
            total = step * total
        base, null = solution_space(total, size)
        if base is None:
            return Decision(Outcome.NONE, "I - P is singular (in rationals), and no state solves the word")
        # Columns: the point (1, x) and the directions (0, n), carried along.
        columns, rows, orbit = columns_of(base, null), [], []
        planes = self._planes()
        for gates, step in zip(word, steps, strict=True):
            orbit.append(columns)
            heights = (planes * columns).tolist() if self._matter else []
            rows += [
                [value if gates[gate] else -value for value in row]
                for gate, row in zip(self._matter, heights, strict=True)
            ]
            columns = step * columns
        period = _generic_period(orbit, order)
        if period < order:
            return Decision(Outcome.NONE, f"its solutions have the period {period}", period=period)
        jacobian = np.array([[to_float(total[i, j]) for j in range(1, size + 1)] for i in range(1, size + 1)])
        jacobian = jacobian.reshape(size, size)
        if not null:
            return self._isolated(word, rows, orbit, jacobian)
        return self._family(word, rows, orbit, null, jacobian)

    def _isolated(self, word: np.ndarray, rows: list, orbit: list, jacobian: np.ndarray) -> Decision:
        values = [row[0] for row in rows]
        if any(value < 0 for value in values):
            met = word.copy()
            met[:, self._matter] ^= np.array([value < 0 for value in values]).reshape(len(word), -1)
            return Decision(Outcome.NONE, "a gate stands the other way (in rationals)", met=met)
        slopes = np.tile(self._at(_BITS[0]).slopes[self._matter], len(word))
        margin = min((to_float(v) / s for v, s in zip(values, slopes.tolist(), strict=True)), default=math.inf)
        points = np.array([_point(columns) for columns in orbit])
        decision = _rounded(points, 0.0, margin, jacobian)
        if decision.outcome in (Outcome.CYCLE, Outcome.BORDER) and any(value == 0 for value in values):
            ties = self._ties(word, rows)
            return decision._replace(outcome=Outcome.BORDER, margin=0.0, reason="exactly on a border", ties=ties)
        return self._unless_it_meets(self._at(_BITS[0]), word, decision)

    def _ties(self, word: np.ndarray, rows: list) -> np.ndarray:
        """Give the gates `(k, G)` whose preactivations, in terms of the free parameters, are 0."""
        ties = np.zeros_like(word)
        ties[:, self._matter] = np.array([not any(row) for row in rows], bool).reshape(len(word), -1)
        return ties

    def _unless_it_meets(self, pieces: Pieces, word: np.ndarray, decision: Decision) -> Decision:
        """Take a solution that is nearer to a border than it is rounded for a cycle, if its rounded points tell so."""
        if decision.outcome != Outcome.BORDER:
            return decision
        for gates, point in zip(word, decision.points.tolist(), strict=True):
            numbers = [flint.fmpq(1), *(flint.fmpq(*x.as_integer_ratio()) for x in point)]
            for gate in self._matter:
                height = sum((value * numbers[j] for j, value in pieces.planes[gate].items()), flint.fmpq(0))
                if not (height > 0 if gates[gate] else height < 0):
                    return decision
        return decision._replace(outcome=Outcome.CYCLE, reason="", period=0)

    def _family(self, word: np.ndarray, rows: list, orbit: list, null: list, jacobian: np.ndarray) -> Decision:
        """Decide whether a family has an inside, and choose one of its points that has the period of the word."""
        flat = [row[0] for row in rows if not any(row[1:])]
        if any(value < 0 for value in flat):
            return Decision(Outcome.NONE, "the whole family lies beyond a border (in rationals)")
        walls = [row for row in rows if any(row[1:])]
        inside, touching = inside_of(walls, len(null))
        if inside is None:
            return Decision(Outcome.OPEN, f"whether a family of {len(null)} dimensions meets its region is open")
        if not inside and touching is None:
            return Decision(Outcome.NONE, "no member of the family meets the word (in rationals)")
        if not inside:
            # It only touches the region: in one point, or in a family of fewer dimensions that lies on borders.
            face = face_at(walls, touching or [])
            orbit, rows = [columns * face for columns in orbit], (flint.fmpq_mat(rows) * face).tolist()
            period = _generic_period(orbit, len(word))
            if period < len(word):
                reason = f"its family touches the region in states of period {period}"
                return Decision(Outcome.NONE, reason, period=period)
            if face.ncols() == 1:
                decision = _rounded(_members(orbit, []), 0.0, math.inf, jacobian)
                if decision.outcome == Outcome.OPEN:
                    return decision
                reason = "a family of solutions touches the region of its word in this point"
                ties = self._ties(word, rows)
                return decision._replace(outcome=Outcome.BORDER, margin=0.0, reason=reason, ties=ties)
            walls, null = [row for row in rows if any(row[1:])], list(zip(*orbit[0].tolist()[1:], strict=True))[1:]
            inside = [flint.fmpq(0)] * len(null)
        directions = np.linalg.svd(np.array([[to_float(x) for x in row] for row in null]), full_matrices=False)[2].T
        scale = max(map(abs, _point(orbit[0]))) or 1.0
        for shares in choices_of(walls, orbit[0], null, inside, scale):
            if not all(value_at(row, shares) >= 0 for row in walls) or _period(orbit, shares) < len(word):
                continue
            decision = _rounded(_members(orbit, shares), 0.0, math.inf, jacobian)
            if decision.outcome == Outcome.OPEN:
                return decision
            return decision._replace(outcome=Outcome.FAMILY, directions=directions, ties=self._ties(word, rows))
        return Decision(Outcome.OPEN, "no member of a family has been found that has the period of the word")

    def _orders_of_families(self, word: np.ndarray) -> list[int] | None:
        try:
            if not self._serves(len(word)):
                return None
            total = self._rational(word[0])
            for gates in word[1:]:
                total = self._rational(gates) * total
        except UnsupportedError:
            return None
        size = self._model.num_states
        product = flint.fmpq_mat(size, size, [total[i, j] for i in range(1, size + 1) for j in range(1, size + 1)])
        left, roots, q = product.charpoly(), [], 0
        while size and q < 2 * size * size + 2:  # phi(q) >= sqrt(q / 2)
            q += 1
            cyclotomic = flint.fmpq_poly(flint.fmpz_poly.cyclotomic(q))
            if cyclotomic.degree() <= size and left % cyclotomic == 0:
                roots.append(q)
        orders = {1}
        for root in roots:
            orders |= {math.lcm(order, root) for order in orders}
        return sorted(orders - {1})

    def _rational(self, gates: np.ndarray) -> Any:
        """Give the held map as a rational matrix on (1, z)."""
        size = self._model.num_states + 1
        forms = [{0: 1}, *self._at(_BITS[0]).piece(gates)]
        return flint.fmpq_mat(size, size, [flint.fmpq(form.get(j, 0)) for form in forms for j in range(size)])

    def _jacobian(self, gates: np.ndarray) -> np.ndarray:
        """Give the Jacobian `(M, M)` of the held map, each entry rounded once: a sum of what gates add loses digits."""
        size, bits = self._model.num_states, _BITS[0]
        with working_precision(bits):
            entries = self._at(bits).matrix(gates, bits).entries()
        return np.array([float(x.mid()) for x in entries]).reshape(size + 1, size + 1)[1:, 1:]

    def _planes(self) -> Any:
        forms, size = self._at(_BITS[0]).planes, self._model.num_states + 1
        entries = [flint.fmpq(forms[gate].get(j, 0)) for gate in self._matter for j in range(size)]
        return flint.fmpq_mat(len(self._matter), size, entries)


# -- solutions of a word ----------------------------------------------------------------------------------------------


def _rounded_map(held: Any) -> tuple[np.ndarray, np.ndarray]:
    """Round Jacobian `(M, M)` and image of 0 `(M,)` of a rational matrix on (1, z)."""
    rows = np.array([[to_float(held[i, j]) for j in range(held.ncols())] for i in range(1, held.nrows())])
    return rows[:, 1:], rows[:, 0]


def _generic_period(orbit: list, order: int) -> int:
    """Give the period that all solutions share."""
    return next(p for p in range(1, order + 1) if order % p == 0 and (p == order or orbit[p] == orbit[0]))


def _member(columns: Any, shares: list) -> list:
    """Give the member x + sum s_i n_i of a family, as rationals."""
    rows = columns.tolist()[1:]
    return [value_at(row, shares) for row in rows]


def _members(orbit: list, shares: list) -> np.ndarray:
    return np.array([[to_float(x) for x in _member(columns, shares)] for columns in orbit])


def _period(orbit: list, shares: list) -> int:
    points = [_member(columns, shares) for columns in orbit]
    order = len(points)
    return next(p for p in range(1, order + 1) if order % p == 0 and points[p % order] == points[0])


def _point(columns: Any) -> list[float]:
    return [to_float(columns[i, 0]) for i in range(1, columns.nrows())]


def _rounded(points: np.ndarray, radius: float, margin: float, jacobian: np.ndarray) -> Decision:
    """A solution that meets its word: a cycle, unless float64 has no number between it and a border."""
    largest = float(np.max(np.abs(points), initial=0.0))
    if not largest < math.inf:
        return Decision(Outcome.OPEN, "its points are beyond the largest float64")
    error = radius + float(np.spacing(largest))
    if not margin > error:
        reason, order = "within rounding of a border", len(points)
        near = (p for p in range(1, order) if order % p == 0 and _apart(points, p) <= 2 * error)
        return Decision(Outcome.BORDER, reason, points, error, max(margin, 0.0), jacobian, period=next(near, 0))
    return Decision(Outcome.CYCLE, "", points, error, margin, jacobian)


def _apart(points: np.ndarray, period: int) -> float:
    return float(np.max(np.abs(np.roll(points, -period, axis=0) - points)))


# -- polyhedra --------------------------------------------------------------------------------------------------------
