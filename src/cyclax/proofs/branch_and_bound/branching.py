"""Branching over gates: all fixed points and cycles of low order, in many dimensions.

A node of the tree holds some gates, at some steps, open or closed; where the linear relaxation of that (see
`relaxation`) is proved to have no point in the box, no cycle meets those gates. What remains is split at a gate that
the relaxation leaves both open and closed, until all are decided.

A proof of exclusion usually rests on some of the decisions only. A decision on which neither it nor any later one
rests was not worth taking, and its other side is excluded by the same proof (conflict-directed backjumping, as in SAT
solvers), and gates on which recent proofs rested are split first (their VSIDS rule): that halves the tree at M = 50.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cyclax.core.budget import Budget, SpentError, TooExpensiveError
from cyclax.core.workers import cores
from cyclax.cycles.contraction import contraction_certificate
from cyclax.cycles.solve import BlockCyclic
from cyclax.cycles.uniqueness import one_solution
from cyclax.cycles.word import canonical_rotation, minimal_period
from cyclax.maps.affine import AffineForm
from cyclax.proofs.branch_and_bound.relaxation import TOLERANCE, Program, Simplex, exclusion, highest, reasons, relax
from cyclax.proofs.candidates import Box, Candidates, Progress
from cyclax.proofs.regions import settled

# p and n below this (in units of the offsets) are zero as far as HiGHS knows.
_ZERO = 1e-8
# A node whose undecided gates all stay within this of their borders may be a point; up to so many of its gates get all
# combinations of sides at once.
_POINT = 1e-5
_SIDES = 8
# Gates in proofs count 1; what they counted fades by this from one proof to the next.
_FADING = 0.95
# A gate that the relaxation leaves further open and closed at once is split sooner: what it counts, times p n to this
# power. Chosen on eight networks, where nodes are a quarter fewer than by the count alone; of nine others four
# have fewer and two up to a quarter more. What was in no proof yet counts as much as this share of one.
_AMBIGUITY, _NEVER = 0.25, 1e-3
# The tree is cut into at least so many subtrees before threads share them: always the same, whatever the threads.
_SUBTREES = 32
# Smaller trees are left to one thread, and larger ones begun anew with what so many nodes taught.
LEARNING = 1000
# Nodes of each subtree in the first round, and how many times as many there may be after each next.
ROUND, _LONGER = LEARNING // _SUBTREES, 1.5
# The programs of all subtrees are kept from round to round where they have at most so many entries.
_KEPT = 2**18
# No smaller share of a tree is told apart from nothing.
_LEAST_SHARE = 1e-9
# Bounds of single columns are tightened again while that shrinks them on average by this factor, so often at most.
_SHRINKING, _ROUNDS = 0.8, 4
# Where there is one solution, it is sought in so many steps; nearer to a border than this it is left to the tree.
_STEPS, _NEAR_BORDER = 100, 1e-6
# Triangles pay where bounds are near the offsets; far away they cut nothing off and double the rows.
_NEAR = 100.0


def branch_and_bound(
    bounds: AffineForm, orders: list[int] | None, box: Box, budget: Budget, progress: Progress
) -> Candidates:
    """Enumerate by branching over gates, with a linear program at every node.

    **Arguments:** `bounds`: of the model; `orders`: the minimal periods, None for all; `box`: finite; `budget`: its
    `nodes` are nodes of the trees of all orders together; `progress`: called with a text now and then.

    **Returns:** the words that could not be excluded. The result does not depend on the number of threads, unless the
    budget runs out.

    **Raises:** `ImportError` without `highspy`; `ValueError` for an infinite box, or a map that is not continuous;
    `TooExpensiveError` where not even one program would fit the memory, and for all orders unless the map contracts.
    """
    alone = contraction_certificate(bounds) is not None
    if orders is None:
        if not alone:
            raise TooExpensiveError('BranchAndBound: orders="all" has no end; use WordGraph().')
        orders = [1]
    _refuse_if_too_large(bounds, 1 if alone else max(orders), budget)
    words, complete, unfinished, unique = {}, [], "", []
    nodes, programs, merged, expected = 0, 0, 0, 0.0
    for order in orders:
        only = _only_solution(bounds) if order == 1 and (alone or one_solution(bounds, 1)) else None
        if only is not None or (order > 1 and (alone or one_solution(bounds, order))):
            rows, nodes = [] if only is None else [only], nodes + 1
            unique.append(order)
        else:
            tree = _Tree(bounds, order, box, budget, progress, nodes)
            rows = tree.search()
            nodes, programs, merged = tree.nodes, programs + tree.programs, merged + tree.merged
            unfinished, expected = tree.unfinished, tree.expected
        words[order] = np.array(rows, bool).reshape(-1, order, len(bounds.offsets))
        if unfinished:
            break
        complete.append(order)
    notes = {"contracts": alone, "one solution": unique, "points on many borders": merged, "nodes expected": expected}
    everything = alone and 1 in complete
    return Candidates(words, tuple(complete), everything, nodes, programs, TOLERANCE, unfinished, notes)


def _only_solution(bounds: AffineForm) -> np.ndarray | None:
    """Give the word `(1, G)` of a fixed point that Newton's method finds; None where it finds none off all borders."""
    gates, identity = settled(bounds), np.eye(len(bounds.shift))
    for _ in range(_STEPS):
        try:
            system = identity - bounds.jacobians(gates[None])[0]
            point = np.linalg.solve(system, bounds.shift + gates @ bounds.shift_jumps)
        except np.linalg.LinAlgError:
            return None
        met = np.where(bounds.effective, bounds.gates(point), settled(bounds))
        if np.array_equal(met, gates):
            near = _NEAR_BORDER * np.max(np.abs(point), initial=0)
            return met[None] if np.all(bounds.distances(point[None]) > near) else None
        gates = met
    return None


class _Tree:
    """The tree of one order."""

    def __init__(self, bounds: AffineForm, order: int, box: Box, budget: Budget, progress: Progress, nodes: int):
        self.bounds, self.order, self.budget, self.progress = bounds, order, budget, progress
        self.effective = np.flatnonzero(bounds.effective)
        self.nodes, self.programs, self.merged, self.open, self.unfinished = nodes, 0, 0, 0, ""
        self.expected = 0.0  # nodes that there may be in all, as those of the rounds so far tell
        self._lock, self._told = threading.Lock(), time.perf_counter()
        try:
            self.program, self.possible = _tightened(bounds, order, box, self)
        except SpentError as spent:
            self.unfinished, self.open = str(spent), 1

    def search(self) -> list[np.ndarray]:
        """Give the words that remain, one rotation of each, sorted."""
        if self.unfinished:
            return self._words([])
        if not self.possible:
            return []
        root = np.where(self.program.upper[self.program.closed] <= 0, 1, 0)
        root = np.where(self.program.upper[self.program.opened] <= 0, -1, root).astype(np.int8)
        early = _Branch(self, np.zeros(len(root)), root)
        if early.explore(LEARNING):
            return self._words([early])
        # Too large for one: begin again, with what was learned of the gates, in subtrees that threads can share.
        first = _Branch(self, early.activity, root)
        waiting = [root]
        while waiting and len(waiting) < _SUBTREES and not self.spent():
            sides = waiting.pop(0)
            decision, side, _ = first.visit(sides)
            if decision >= 0:
                for choice in (side, -side):
                    waiting.append(sides.copy())
                    waiting[-1][decision] = choice
        branches = [_Branch(self, first.activity, sides) for sides in waiting]
        self._share_out(branches)
        if self.unfinished:  # else all that the first one came upon has come up again
            first.leaves += early.leaves
        self.programs += early.solved
        return self._words([first, *branches])

    def _share_out(self, branches: list["_Branch"]) -> None:
        """Explore subtrees side by side, in rounds, so that what the tree will take is told by parts of all of them.

        After a round the share of the tree that is explored is that of its subtrees, weighed by their depth. What that
        tells is too little, as large subtrees are late in it, but steady: 1.4 to 4 times after the first round, for
        trees of 1e3 to 3e4 nodes at M = 30 and 50, where 1000 nodes in a row told anything up to 26 times too much.
        """
        weights = np.array([0.5 ** np.count_nonzero(branch.sides) for branch in branches])
        waiting, quota = branches, float(ROUND)
        with ThreadPoolExecutor(max(1, cores(len(branches)))) as pool:
            try:
                while waiting and not self.spent():
                    done = list(pool.map(_Branch.explore, waiting, itertools.repeat(quota)))
                    waiting = [branch for branch, whole in zip(waiting, done, strict=True) if not whole]
                    quota *= _LONGER
                    if waiting and not self.unfinished:
                        share = weights @ [branch.explored for branch in branches] / np.sum(weights)
                        visited = sum(branch.visited for branch in branches)
                        self.expected = self.nodes + visited * (1 / max(float(share), _LEAST_SHARE) - 1)
                        self.unfinished = self.budget.told(self.nodes, self.expected) or ""
            except BaseException:
                self.unfinished = "interrupted"  # the other threads look there, and stop
                raise
        self.open += sum(branch.left() for branch in waiting)

    def _words(self, branches: list["_Branch"]) -> list[np.ndarray]:
        keys: dict[bytes, np.ndarray] = {}
        found: list[np.ndarray] = []
        for branch in branches:
            self.programs += branch.solved
            self.merged += branch.merged
            found += branch.leaves
        if self.unfinished:
            self.unfinished = f"order {self.order}: {self.unfinished}; {self.open} subtrees are open"
        for sides in found:
            word = self.word(sides)
            if minimal_period(word) == self.order:
                keys[_identity(word)] = word
        return [keys[identity] for identity in sorted(keys)]

    def word(self, sides: np.ndarray) -> np.ndarray:
        """Spell decisions `(D,)` out as gates `(k, G)`; what is not decided is closed."""
        word = np.tile(settled(self.bounds), (self.order, 1))
        word[:, self.effective] = sides.reshape(self.order, -1) > 0
        return word

    def count(self) -> None:
        """Count a node, and tell how far we are."""
        with self._lock:
            self.nodes += 1
            now = time.perf_counter()
            if now - self._told > 0.5:
                self._told = now
                self.progress(f"order {self.order}: {self.nodes} nodes")

    def spent(self) -> bool:
        """Whether the budget has run out."""
        if not self.unfinished:
            self.unfinished = self.budget.spent(nodes=self.nodes) or ""
        return bool(self.unfinished)


class _Branch:
    """A part of the tree, explored depth first by one thread with a HiGHS object of its own."""

    def __init__(self, tree: _Tree, activity: np.ndarray, root: np.ndarray):
        self.tree, self.program = tree, tree.program
        self.activity, self.weight = activity.copy(), max(1.0, float(np.max(activity, initial=0)))
        self.leaves: list[np.ndarray] = []
        self.merged = self.solved = self.visited = 0
        self.sides = root.copy()
        # Decisions, each with what the exclusion of its first side rests on, once that is done.
        self.path: list[tuple[int, np.ndarray | None]] = []
        self.explored = 0.0  # share of it, were all its subtrees of one depth of one size
        self._simplex: Simplex | None = None

    def explore(self, most: float) -> bool:
        """Go on until all is visited, or as many nodes as there may be in all; say whether that was all."""
        sides, path = self.sides, self.path
        while self.visited < most and not self.tree.spent():
            decision, side, conflict = self.visit(sides)
            if decision >= 0:
                path.append((decision, None))
                sides[decision] = side
                continue
            while path:
                decision, first = path.pop()
                if not conflict[decision]:  # the same proof excludes the other side (or has done so before)
                    sides[decision] = 0
                elif first is not None:
                    sides[decision] = 0
                    conflict = conflict | first
                    conflict[decision] = False
                else:
                    sides[decision] = -sides[decision]
                    path.append((decision, conflict))
                    break
            else:
                self._simplex, self.explored = None, 1.0
                return True
        if self.program.matrix.size > _KEPT:
            self._simplex = None
        self.explored = sum(0.5 ** (depth + 1) for depth, (_, first) in enumerate(path) if first is not None)
        return False

    def left(self) -> int:
        """Count the subtrees that are open."""
        return 1 + sum(first is None for _, first in self.path)

    def visit(self, sides: np.ndarray) -> tuple[int, int, np.ndarray]:
        """Look at one node.

        **Returns:** the decision to split at and the side to try first; or -1, 0 and the decisions without which the
        node would not have been closed.
        """
        self.tree.count()
        self.visited += 1
        if self._simplex is None:
            self._simplex = Simplex(self.program, self.tree.spent)
        lower, upper = self.program.held(sides)
        point, ray = self._simplex.point(lower, upper)
        self.solved += 1
        if ray is not None and (found := exclusion(self.program, ray, lower, upper)):
            conflict = reasons(self.program, found, sides)
            self.activity[conflict] += self.weight
            self.weight /= _FADING
            if self.weight > 1e100:
                self.activity, self.weight = self.activity / 1e100, self.weight / 1e100
            return -1, 0, conflict
        free = sides == 0
        if not np.any(free):
            self.leaves.append(sides.copy())
            return -1, 0, np.ones(len(sides), bool)
        if point is None:
            return int(np.argmax(np.where(free, self.activity, -1))), 1, free
        opened, closed = np.maximum(point[self.program.opened], 0), np.maximum(point[self.program.closed], 0)
        both = free & (np.minimum(opened, closed) > _ZERO)
        if np.any(both):
            product = opened * closed
            score = (self.activity + _NEVER * self.weight) * (product / np.max(product)) ** _AMBIGUITY
            decision = int(np.argmax(np.where(both, score, -1)))
        else:
            if np.max((opened + closed)[free]) <= _ZERO:
                spread = self._spread(sides, lower, upper)
                if spread is None:
                    return -1, 0, np.ones(len(sides), bool)
                opened, closed = spread
            decision = int(np.argmax(np.where(free, opened + closed, -1)))
        return decision, 1 if opened[decision] > closed[decision] else -1, free

    def _spread(self, sides: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Where all undecided gates are on their borders: list the node if they must be, else show where they are not.

        Few gates get all combinations of sides. Where there are many, and one point is on the borders of all of them,
        both extremes are enough: the map is linear on rays from that point, so that any other solution of the node
        would lie on a whole segment of solutions, and be no isolated cycle. Else the gates are split one by one.
        """
        assert self._simplex is not None
        free = sides == 0
        cost = np.zeros(len(lower))
        cost[self.program.opened[free]] = cost[self.program.closed[free]] = 1
        point, duals = self._simplex.maximum(cost, lower, upper)
        self.solved += 1
        if point is None or duals is None:
            return free.astype(float), np.zeros(len(free))
        if highest(self.program, cost, duals, lower, upper) > _POINT:
            return point[self.program.opened], point[self.program.closed]
        undecided = np.flatnonzero(free)
        choices = itertools.product([-1, 1], repeat=len(undecided))
        if len(undecided) > _SIDES:
            if not self._is_a_point(sides):
                return free.astype(float), np.zeros(len(free))
            choices = [-1, 1]
            self.merged += 1
        for choice in choices:
            leaf = sides.copy()
            leaf[undecided] = choice
            self.leaves.append(leaf)
        return None

    def _is_a_point(self, sides: np.ndarray) -> bool:
        """Whether 0 is the solution, exactly on the borders of all undecided gates, and on the right side of others.

        Elsewhere float64 cannot tell a point from several that are closer together than rounding.
        """
        bounds, word = self.tree.bounds, self.tree.word(sides)
        system = BlockCyclic(bounds.jacobians(word)[None])
        if system.singular[0]:
            return False
        points = system.solve((bounds.shift + word @ bounds.shift_jumps)[None, :, :, None])[0, :, :, 0]
        gradients, offsets = bounds.gradients[bounds.effective], bounds.offsets[bounds.effective]
        heights = (points @ gradients.T + offsets).ravel()
        return not np.any(points) and bool(np.all(np.where(sides == 0, -np.abs(heights), sides * heights) >= 0))


def _tightened(bounds: AffineForm, order: int, box: Box, tree: _Tree) -> tuple[Program, bool]:
    """Write the relaxation down with the bounds of its columns tightened; say whether it may have points at all.

    The columns of step 0 are bounded by linear programs; by symmetry what holds at one step holds at all.
    """
    check = tree.budget.check
    program = relax(bounds, order, box, check=check)
    width = len(program.lower) // order
    limits, triangles = None, False
    for _ in range(_ROUNDS if len(program.opened) else 0):
        simplex = Simplex(program, tree.spent, primal=True)
        lower, upper = program.lower[:width].copy(), program.upper[:width].copy()
        for column, sign in itertools.product(range(width), (1, -1)):
            check()
            if lower[column] >= upper[column] or (sign < 0 and lower[column] == 0):
                continue
            cost = np.zeros(len(program.lower))
            cost[column] = sign
            _, duals = simplex.maximum(cost, program.lower, program.upper)
            if duals is None:
                continue
            end = highest(program, cost, duals, program.lower, program.upper)
            if sign > 0:
                upper[column] = min(upper[column], end)
            else:
                lower[column] = max(lower[column], -end)
            if lower[column] > upper[column]:
                return program, False
        tree.programs += simplex.solved
        before = np.maximum(program.upper - program.lower, TOLERANCE)[:width]
        shrunk = float(np.exp(np.mean(np.log(np.maximum(upper - lower, TOLERANCE) / before))))
        near = bool(np.median(upper) < _NEAR)
        limits = np.tile(lower, order), np.tile(upper, order)
        program = relax(bounds, order, box, limits, triangles=near, check=check)
        if not (shrunk < _SHRINKING or near > triangles):
            break
        triangles = near
    if order > 1 and len(program.opened):
        with np.errstate(over="ignore"):  # any leader serves
            u = np.linalg.norm(bounds.jumps[bounds.effective], axis=(1, 2))
        program = relax(bounds, order, box, limits, triangles=triangles, leader=int(np.argmax(u)), check=check)
    return program, True


def _refuse_if_too_large(bounds: AffineForm, order: int, budget: Budget) -> None:
    num_states, num_gates = len(bounds.shift), int(np.sum(bounds.effective))
    memory = 32 * order**2 * (num_states + 3 * num_gates) * (num_states + 2 * num_gates)
    if memory > budget.memory:
        raise TooExpensiveError(
            f"branch_and_bound: the program of order {order} alone would take {memory / 2**20:.0f} MiB, more than the "
            f"budget of {budget.memory / 2**20:.0f} MiB. Lower the order or raise the budget."
        )


def _identity(word: np.ndarray) -> bytes:
    return np.packbits(np.roll(word, -canonical_rotation(word), axis=0), axis=1).tobytes()
