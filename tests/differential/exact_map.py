"""The maps, written from the formulas of their classes in exact rationals of the float64 weights, and their words.

Nothing of the library's own arithmetic is used: every class is A z + h + sum_g B[:, g] relu(C[g] z + c[g]).
"""

import dataclasses
from typing import Literal

import flint
import numpy as np

import cyclax as cx

from .rationals import ONE, ZERO, deepest, from_columns, identity, matrix, relative_interior, solve_affine

Cell = tuple[bool, ...]
Word = tuple[Cell, ...]


def formula(model) -> tuple[flint.fmpq_mat, ...]:
    """Give A `(M, M)`, B `(M, G)`, C `(G, M)`, c `(G, 1)`, h `(M, 1)`; gates in the order of the class."""
    size = model.num_states
    eye = identity(size)
    if isinstance(model, cx.TentMap | cx.SkewTentMap | cx.LoziMap | cx.BorderCollisionNormalForm):
        return _of_textbook(model, size)
    if isinstance(model, cx.ReLURNN | cx.LeakyReLURNN):
        slope = matrix(model.slope)[0, 0] if isinstance(model, cx.LeakyReLURNN) else ZERO
        W, b = matrix(model.W), matrix(model.b)
        return W * slope, eye * (1 - slope), W, b, b * slope
    if isinstance(model, cx.RateRNN | cx.CurrentRNN | cx.RectifiedRNN | cx.LowRankRNN):
        return _of_leaky(model, eye)
    A = matrix(model.A) if np.ndim(model.A) == 2 else matrix(np.diag(model.A))
    none = flint.fmpq_mat(size, 1)
    if isinstance(model, cx.PLRNN):
        return A, matrix(model.W), eye, none, matrix(model.h)
    if isinstance(model, cx.LowRankPLRNN):
        return A, matrix(model.U) * matrix(model.V), eye, none, matrix(model.h)
    if isinstance(model, cx.MeanCenteredPLRNN):
        mean = flint.fmpq_mat(size, size, [flint.fmpq(1, size)] * size**2)
        return A, matrix(model.W), eye - mean, none, matrix(model.h)
    if isinstance(model, cx.AlmostLinearRNN):
        linear = size - model.num_gated
        W = matrix(model.W).tolist()
        kept = flint.fmpq_mat([[x if j < linear else ZERO for j, x in enumerate(row)] for row in W])
        gated = flint.fmpq_mat([row[linear:] for row in W])
        rows = flint.fmpq_mat(eye.tolist()[linear:])
        return A + kept, gated, rows, flint.fmpq_mat(model.num_gated, 1), matrix(model.h)
    if isinstance(model, cx.ShallowPLRNN):
        return A, matrix(model.W1), matrix(model.W2), matrix(model.h2), matrix(model.h1)
    if isinstance(model, cx.ClippedShallowPLRNN):
        W1, W2, h2 = matrix(model.W1).tolist(), matrix(model.W2).tolist(), matrix(model.h2).tolist()
        B = flint.fmpq_mat([[*row, *(-x for x in row)] for row in W1])
        return A, B, flint.fmpq_mat(W2 + W2), flint.fmpq_mat(h2 + [[ZERO]] * len(h2)), matrix(model.h1)
    if isinstance(model, cx.DendriticPLRNN | cx.ClippedDendriticPLRNN):
        return A, *_of_dendrites(model, eye), matrix(model.h)
    raise TypeError(f"no reference for {type(model).__name__}")


def _of_leaky(model, eye) -> tuple[flint.fmpq_mat, ...]:
    size = eye.nrows()
    share = matrix(np.diag(np.broadcast_to(model.alpha, size)))
    kept, none = eye - share, flint.fmpq_mat(size, 1)
    if isinstance(model, cx.LowRankRNN):
        return kept, share * matrix(model.n.T) * flint.fmpq(1, len(model.b)), matrix(model.m), matrix(model.b), none
    W, b = matrix(model.W), matrix(model.b)
    if isinstance(model, cx.RateRNN):
        return kept, share, W, b, none
    if isinstance(model, cx.CurrentRNN):
        return kept, share * W, eye, none, share * b
    return eye * 0, eye, kept + share * W, share * b, none


def _of_textbook(model, size: int) -> tuple[flint.fmpq_mat, ...]:
    C, c, B = flint.fmpq_mat(1, size, [1, *[0] * (size - 1)]), flint.fmpq_mat(1, 1), flint.fmpq_mat(size, 1)
    if isinstance(model, cx.TentMap):
        slope = matrix(model.slope)
        A, B[0, 0], h = slope, -2 * slope[0, 0], identity(1)
    elif isinstance(model, cx.SkewTentMap):
        A, h = matrix(model.left), matrix(model.offset)
        B[0, 0] = matrix(model.right)[0, 0] - A[0, 0]
    elif isinstance(model, cx.LoziMap):
        a, b = matrix(model.a)[0, 0], matrix(model.b)[0, 0]
        A, B[0, 0], h = flint.fmpq_mat([[a, ONE], [b, ZERO]]), -2 * a, flint.fmpq_mat([[1], [0]])
    else:
        A, right, h = matrix(model.left), matrix(model.right), matrix(model.h)
        B[0, 0], B[1, 0] = right[0, 0] - A[0, 0], right[1, 0] - A[1, 0]
    return A, B, C, c, h


def _of_dendrites(model, eye: flint.fmpq_mat) -> tuple[flint.fmpq_mat, ...]:
    alpha, thresholds, W = matrix(model.alpha).entries(), matrix(model.thresholds).tolist(), matrix(model.W).tolist()
    columns, rows, offsets = [], [], []
    for i, own in enumerate(thresholds):
        for weight, threshold in zip(alpha, own, strict=True):
            columns.append([row[i] * weight for row in W])
            rows.append(eye.tolist()[i])
            offsets.append([-threshold])
    if isinstance(model, cx.ClippedDendriticPLRNN):
        for i in range(len(thresholds)):
            columns.append([-row[i] * sum(alpha, ZERO) for row in W])
            rows.append(eye.tolist()[i])
            offsets.append([ZERO])
    return from_columns(columns, len(W)), flint.fmpq_mat(rows), flint.fmpq_mat(offsets)


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """What F^k(z) = z has in the closed region of a word of length k.

    - `kind`: "none"; "cycle": one solution, strictly inside; "border": one solution, on a border; "family": I - P is
      singular, and some solutions are strictly inside; "rim": a family that has only points on borders.
    - `order`: the minimal period; of a family, that of its generic points.
    - `points`: a solution, step by step; of a family one in its relative interior.
    - `hull` `(1 + M, 1 + d)`: all solutions of the family as (1, x) = hull (1, s). `dimension`: d.
    - `inert`: of a solution on a border, whether the map is the same on all sides of it.
    - `regular`: det(I - P) is not 0.
    """

    kind: Literal["none", "cycle", "border", "family", "rim"]
    word: Word
    regular: bool
    order: int = 0
    points: tuple[tuple[flint.fmpq, ...], ...] = ()
    hull: flint.fmpq_mat | None = None
    inert: bool = False

    @property
    def dimension(self) -> int:
        """How many parameters a family has."""
        return 0 if self.hull is None else self.hull.ncols() - 1


class ExactMap:
    """A model in rationals. Gates are those that matter: `matters` are their numbers in the model."""

    def __init__(self, model):
        A, B, C, c, h = formula(model)
        self.size = size = A.nrows()
        columns, rows, offsets = B.transpose().tolist(), C.tolist(), c.entries()
        switching = [g for g, column in enumerate(columns) if any(x != 0 for x in column)]
        self.matters = [g for g in switching if any(x != 0 for x in rows[g])]
        shift = h
        for g in switching:
            if g not in self.matters and offsets[g] > 0:  # open everywhere, with a constant
                shift = shift + flint.fmpq_mat(size, 1, columns[g]) * offsets[g]
        self.planes = [[offsets[g], *rows[g]] for g in self.matters]
        table = [[constant[0], *row] for constant, row in zip(shift.tolist(), A.tolist(), strict=True)]
        self._closed = flint.fmpq_mat([[ONE, *[ZERO] * size], *table])
        self._opened = [
            flint.fmpq_mat(size + 1, 1, [ZERO, *columns[g]]) * flint.fmpq_mat(1, size + 1, plane)
            for g, plane in zip(self.matters, self.planes, strict=True)
        ]
        self._planes = flint.fmpq_mat(self.planes) if self.planes else None
        self._pieces: dict[Cell, flint.fmpq_mat] = {}

    def piece(self, cell: Cell) -> flint.fmpq_mat:
        """Give the affine map of a region as a matrix that acts on (1, z)."""
        if cell not in self._pieces:
            held = self._closed
            for opened, is_open in zip(self._opened, cell, strict=True):
                held = held + opened if is_open else held
            self._pieces[cell] = held
        return self._pieces[cell]

    def heights(self, point) -> list[flint.fmpq]:
        """Give the preactivations of the gates that matter."""
        return [row[0] + sum((a * x for a, x in zip(row[1:], point, strict=True)), ZERO) for row in self.planes]

    def image(self, point) -> tuple[flint.fmpq, ...]:
        """Map a point once."""
        cell = tuple(bool(height > 0) for height in self.heights(point))
        state = self.piece(cell) * flint.fmpq_mat(self.size + 1, 1, [ONE, *point])
        return tuple(state.entries()[1:])

    def sides(self, point) -> list[Cell]:
        """List the regions with an interior that have a point in their closure."""
        cells: list[Cell] = [()]
        for height in self.heights(point):
            allowed = [False, True] if height == 0 else [bool(height > 0)]
            cells = [(*cell, side) for cell in cells for side in allowed]
        return [cell for cell in cells if deepest(self._inside(cell, None), self.size)[0] > 0]

    def cells(self, most: int) -> list[Cell] | None:
        """List the regions that have an interior, sorted; None where there are more than `most`."""
        cells: list[Cell] = [()]
        for _ in self.planes:
            cells = [(*cell, side) for cell in cells for side in (False, True)]
            cells = [cell for cell in cells if deepest(self._inside(cell, None), self.size)[0] > 0]
            if len(cells) > most:
                return None
        return sorted(cells)

    def _inside(self, cell: Cell, hull: flint.fmpq_mat | None) -> list[list[flint.fmpq]]:
        """Give the rows that are >= 0 in a region, of z, or of s where (1, z) = hull (1, s)."""
        rows = [self.planes[i] if is_open else [-x for x in self.planes[i]] for i, is_open in enumerate(cell)]
        return rows if hull is None or not rows else (flint.fmpq_mat(rows) * hull).tolist()

    def word_of(self, gates: np.ndarray) -> Word:
        """Give the word of gates `(k, G)` of the model."""
        return tuple(tuple(map(bool, row)) for row in np.asarray(gates)[:, self.matters])

    def product(self, word: Word) -> flint.fmpq_mat:
        """Compose the pieces of a word."""
        total = self.piece(word[0])
        for cell in word[1:]:
            total = self.piece(cell) * total
        return total

    def solve(self, word: Word, total: flint.fmpq_mat | None = None) -> Solution:
        """Find what F^k(z) = z has in the closed region of a word; `total` is its product, if known."""
        rows = (total if total is not None else self.product(word)).tolist()[1:]
        system = identity(self.size) - flint.fmpq_mat([row[1:] for row in rows])
        right = flint.fmpq_mat([[row[0]] for row in rows])
        try:
            state = flint.fmpq_mat([[ONE], *system.solve(right).tolist()])
        except ZeroDivisionError:
            return self._family(word, system, right)
        points, touches = [], False
        for cell in word:
            points.append(tuple(state.entries()[1:]))
            if self._planes is not None:
                for height, is_open in zip((self._planes * state).entries(), cell, strict=True):
                    if height < 0 if is_open else height > 0:
                        return Solution("none", word, True)
                    touches = touches or height == 0
            state = self.piece(cell) * state
        return self._isolated(word, tuple(points), touches, True)

    def _isolated(self, word: Word, points, touches: bool, regular: bool) -> Solution:
        order = next(p for p in range(1, len(word) + 1) if len(word) % p == 0 and points[p % len(word)] == points[0])
        inert = touches and all(
            all(self.piece(cell) == self.piece(sides[0]) for cell in sides)
            for sides in (self.sides(point) for point in points)
        )
        return Solution("border" if touches else "cycle", word, regular, order, points, inert=inert)

    def _family(self, word: Word, system: flint.fmpq_mat, right: flint.fmpq_mat) -> Solution:
        found = solve_affine(system, right)
        if found is None:
            return Solution("none", word, False)
        hull = _hull(*found)
        rows = self._rows_along(word, hull)
        depth, place = deepest(rows, hull.ncols() - 1)
        if depth < 0:
            return Solution("none", word, False)
        kind = "family"
        if depth == 0:
            place, directions = relative_interior(rows, place)
            size = hull.ncols()
            turned = flint.fmpq_mat(
                [[ONE, *[ZERO] * len(directions)]]
                + [[place[i], *(direction[i] for direction in directions)] for i in range(size - 1)]
            )
            hull, place, kind = hull * turned, [ZERO] * len(directions), "rim"
        state = hull * flint.fmpq_mat(hull.ncols(), 1, [ONE, *place])
        points, period, moved = [], 0, hull
        for t, cell in enumerate(word, start=1):
            points.append(tuple(state.entries()[1:]))
            state, moved = self.piece(cell) * state, self.piece(cell) * moved
            if not period and len(word) % t == 0 and moved == hull:
                period = t
        if hull.ncols() == 1:
            return self._isolated(word, tuple(points), True, False)
        return Solution(kind, word, False, period, tuple(points), hull)

    def _rows_along(self, word: Word, hull: flint.fmpq_mat, box=None) -> list[list[flint.fmpq]]:
        """Give the rows that are >= 0 where hull (1, s) meets a word (and stays in a box of rationals)."""
        rows = []
        for cell in word:
            rows += self._inside(cell, hull)
            if box is not None:
                for entries, low, high in zip(hull.tolist()[1:], *box, strict=True):
                    rows += [[entries[0] - low, *entries[1:]], [high - entries[0], *(-x for x in entries[1:])]]
            hull = self.piece(cell) * hull
        return rows

    def virtual(self, word: Word) -> list[tuple[flint.fmpq, ...]] | None:
        """Give the one solution of a word, step by step, wherever it lies; None where I - P is singular."""
        rows = self.product(word).tolist()[1:]
        system = identity(self.size) - flint.fmpq_mat([row[1:] for row in rows])
        try:
            state = flint.fmpq_mat([[ONE], *system.solve(flint.fmpq_mat([[row[0]] for row in rows])).tolist()])
        except ZeroDivisionError:
            return None
        points = []
        for cell in word:
            points.append(tuple(state.entries()[1:]))
            state = self.piece(cell) * state
        return points

    def reaches_into(self, solution: Solution, box) -> bool:
        """Whether a family has points with all of their orbit strictly inside a box (lower, upper) of rationals."""
        rows = self._rows_along(solution.word, solution.hull, box)
        return deepest([row for row in rows if any(x != 0 for x in row)], solution.dimension)[0] > 0

    def closes(self, word: Word, point) -> bool:
        """Whether a point comes back after following a word, in whose closed regions its orbit lies."""
        state = point
        for cell in word:
            if any(
                height < 0 if is_open else height > 0 for height, is_open in zip(self.heights(state), cell, strict=True)
            ):
                return False
            state = tuple((self.piece(cell) * flint.fmpq_mat(self.size + 1, 1, [ONE, *state])).entries()[1:])
        return state == tuple(point)

    def multipliers(self, word: Word, bits: int = 192) -> list:
        """Give the multipliers of a word, as complex balls, largest first."""
        jacobian = flint.fmpq_mat([row[1:] for row in self.product(word).tolist()[1:]])
        with flint.ctx.workprec(bits):
            if self.size == 2:  # by the formula: two roots that are equal to 160 digits are not told apart otherwise
                half, determinant = (jacobian[0, 0] + jacobian[1, 1]) / 2, jacobian.det()
                root = flint.acb(flint.arb(half * half - determinant)).sqrt()
                larger = flint.arb(half) + (root if half >= 0 else -root)
                roots = [larger, determinant / larger if larger != 0 else flint.acb(0)]
            else:
                roots = [root for root, times in jacobian.charpoly().complex_roots() for _ in range(times)]
            return sorted(roots, key=lambda root: -float(abs(root).mid()))


def _hull(particular, basis) -> flint.fmpq_mat:
    rows = [[ONE, *[ZERO] * len(basis)]]
    rows += [[particular[i], *(vector[i] for vector in basis)] for i in range(len(particular))]
    return flint.fmpq_mat(rows)
