"""Judge what the library returns: every statement against the exact reference."""

import dataclasses
import itertools
import math

import flint
import numpy as np

import cyclax as cx

from .exact_map import Solution, Word
from .rationals import ONE, matrix, rational
from .reference import Reference, canonical

Box = tuple[list[flint.fmpq], list[flint.fmpq]]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement that is not true. `soft`: true, but said in another way than it could be."""

    kind: str
    order: int
    text: str
    soft: bool = False

    def __str__(self) -> str:
        return f"{self.kind} (order {self.order}): {self.text}"


def judge(reference: Reference, cycles: cx.Cycles, *, everything: bool = False) -> list[Finding]:
    """Give all that is wrong with a result: false entries, and false claims that nothing is missing, or something.

    `everything`: all orders were asked for, so that a proof of all of them speaks of those that are not listed, too.
    """
    return [*entries_of(reference, cycles), *claims_of(reference, cycles, everything)]


def undecided(cycles: cx.Cycles) -> int:
    """Count the orders whose verdict is "unknown" because a word was left undecided."""
    return sum(
        entry["verdict"] == "unknown" and "undecided" in entry["reason"] for entry in cycles.report["orders"].values()
    )


# -- what is listed -----------------------------------------------------------------------------------------------


def entries_of(reference: Reference, cycles: cx.Cycles) -> list[Finding]:
    """Judge each listed cycle, solution on a border, and family."""
    found = []
    for cycle in cycles:
        found += of_cycle(reference, cycle)
    for entry in cycles.degenerate:
        found += of_degenerate(reference, entry)
    for kind, some in (("cycle", cycles), ("family", [e for e in cycles.degenerate if e.kind == "family"])):
        words = [canonical(reference.map.word_of(entry.gates)) for entry in some]
        found += [Finding(f"{kind} listed twice", len(w), spelled(w)) for w in set(words) if words.count(w) > 1]
    return found


def of_cycle(reference: Reference, cycle: cx.Cycle) -> list[Finding]:
    """Judge one cycle."""
    return _beyond("cycle", cycle) or _of_cycle(reference, cycle)


def of_degenerate(reference: Reference, entry: cx.Degenerate) -> list[Finding]:
    """Judge one solution on a border, family or slow line."""
    return _beyond(entry.kind, entry) or JUDGES[entry.kind](reference, entry)


def _beyond(kind: str, entry: cx.Cycle | cx.Degenerate) -> list[Finding]:
    """What is listed lies somewhere: inf and nan are no place."""
    return [] if np.all(np.isfinite(entry.points)) else [Finding(f"false {kind}", entry.order, f"at {entry.points}")]


def _of_slow(reference: Reference, entry: cx.Degenerate) -> list[Finding]:
    """A slow line claims no solution: the state that it names moves, exactly, by no more than rounding."""
    start = state = [rational(x) for x in entry.points[0]]
    for _ in range(entry.order):
        state = list(reference.map.image(state))
    moved = max(abs(number_of(a - b)) for a, b in zip(state, start, strict=True))
    allowed = 64 * entry.order * len(start) * np.finfo(float).eps * float(np.max(np.abs(entry.points)))
    return [] if moved <= allowed else [Finding("false slow line", entry.order, f"{entry!r}: moves by {moved:.3g}")]


def _of_cycle(reference: Reference, cycle: cx.Cycle) -> list[Finding]:
    word = reference.map.word_of(cycle.gates)
    solution = reference.map.solve(word)
    if solution.kind != "cycle" and not (solution.kind == "border" and solution.inert):
        met = reference.map.solve(tuple(reference.map.sides([rational(x) for x in z])[0] for z in cycle.points))
        if met.kind == "cycle" and apart(cycle.points, met.points) <= cycle.error:
            return [
                Finding("wrong gates", cycle.order, f"said {spelled(word)}, exactly {spelled(met.word)}, {cycle!r}")
            ]
        said = f"word {spelled(word)} at {cycle.points[0]} has exactly: {solution.kind}"
        return [Finding("false cycle", cycle.order, said)]
    if solution.order != cycle.order or len(word) != cycle.order:
        return [Finding("wrong period", cycle.order, f"{spelled(word)} has period {solution.order}")]
    found = []
    distance = apart(cycle.points, solution.points)
    if not distance <= cycle.error * (1 + 1e-9):
        found.append(Finding("wrong error bound", cycle.order, f"{distance:.3g} off, stated error {cycle.error:.3g}"))
    # Decided in exact numbers a cycle may be nearer to a border than rounding: its points, as they are, meet the gates.
    regions = [reference.map.sides([rational(x) for x in z]) for z in cycle.points]
    if not cycle.margin > cycle.error and regions != [[cell] for cell in word]:
        found.append(Finding("margin below error", cycle.order, f"{cycle.margin:.3g} <= {cycle.error:.3g}"))
    return found + _of_multipliers(reference, word, cycle)


def _of_multipliers(reference: Reference, word: Word, cycle: cx.Cycle) -> list[Finding]:
    exact = np.array([_complex(root) for root in reference.map.multipliers(word)])
    moduli = np.abs(exact)
    # What multiplies states to numbers below float64 may be lost, as it is in their units.
    states = min(1.0, float(np.max(np.abs(cycle.points))) or 1.0)
    if not np.all(np.isfinite(moduli)) or np.any((moduli > 0) & (moduli * states < 1e-290)):
        return []
    largest = max(float(np.max(moduli)), 1e-300)
    pairs = itertools.combinations(exact, 2)
    clustered = any(abs(a - b) < 1e-3 * largest for a, b in pairs)
    tolerance = 1e-6 * largest
    if not np.any(moduli):  # rounding in P is relative to what it is the product of, and that cancels
        held = (flint.fmpq_mat([row[1:] for row in reference.map.piece(cell).tolist()[1:]]) for cell in word)
        sizes = (math.hypot(*map(number_of, piece.entries())) for piece in held)
        tolerance = 64 * float(np.finfo(float).eps) * math.prod(sizes)
    # Where multipliers coincide, float64 loses a root of its digits, relative to P.
    if clustered:
        tolerance += 10 * 1e-15 ** (1 / len(exact)) * max(largest, math.hypot(*cycle.jacobian.flat))
    distance = min(
        max(abs(a - b) for a, b in zip(exact, order, strict=True))
        for order in itertools.permutations(cycle.multipliers)
    )
    if not distance <= tolerance:
        return [Finding("wrong multipliers", cycle.order, f"exactly {exact}, got {cycle.multipliers}")]
    if np.any(np.abs(moduli - 1) <= max(3e-9, tolerance if clustered else 0.0)):
        return []
    right = "stable" if np.all(moduli < 1) else "repeller" if np.all(moduli > 1) else "saddle"
    # Beyond what float64 tells apart, "neutral" is no false word.
    if cycle.stability != right and not (cycle.stability == "neutral" and np.any(np.abs(moduli - 1) < 1e-8)):
        return [Finding("wrong stability", cycle.order, f"{right}, got {cycle.stability}; multipliers {exact}")]
    return []


def _of_family(reference: Reference, entry: cx.Degenerate) -> list[Finding]:
    exact, word = reference.map, reference.map.word_of(entry.gates)
    solution = exact.solve(word)
    if solution.kind not in ("family", "rim"):
        return [Finding("false family", entry.order, f"{entry!r}: the word {spelled(word)} has: {solution.kind}")]
    if solution.order != entry.order:
        return [Finding("wrong period of a family", entry.order, f"{entry!r}: generic period {solution.order}")]
    number = entry.directions.shape[1]
    if number < solution.dimension or (solution.kind == "family" and number > solution.dimension):
        return [Finding("wrong dimension", entry.order, f"{entry!r}: {solution.dimension} dimensions exactly")]
    jacobian = flint.fmpq_mat([row[1:] for row in exact.product(word).tolist()[1:]])
    moved = jacobian * matrix(entry.directions) - matrix(entry.directions)
    size = float(np.max(np.abs([number_of(x) for x in jacobian.entries()]), initial=1.0))
    if max(abs(number_of(x)) for x in moved.entries()) > 1e-6 * size:
        return [Finding("wrong directions", entry.order, f"{entry!r}: they are not kept by the map")]
    start = flint.fmpq_mat([[ONE], *([rational(x)] for x in entry.points[0])])
    rest = exact.product(word) * start - start
    scale = max(float(np.max(np.abs(entry.points))), float(np.max(np.abs(entry.points[0]))) * size)
    if max(abs(number_of(x)) for x in rest.entries()) > 1e-9 * scale + 10 * entry.error:
        return [Finding("wrong point of a family", entry.order, f"{entry!r}")]
    return []


def _of_border(reference: Reference, entry: cx.Degenerate) -> list[Finding]:
    exact, word = reference.map, reference.map.word_of(entry.gates)
    solution = exact.solve(word)
    if solution.kind == "border":
        if solution.order != entry.order:
            return [Finding("wrong period on a border", entry.order, f"{entry!r}: period {solution.order}")]
        distance = apart(entry.points, solution.points)
        if not distance <= entry.error * (1 + 1e-9):
            return [Finding("wrong error bound", entry.order, f"{entry!r}: {distance:.3g} off, {entry.error:.3g} said")]
        return []
    if solution.kind in ("family", "rim"):
        return [Finding("family listed as a point", entry.order, f"{entry!r}: {solution.dimension} dimensions", True)]
    points = exact.virtual(word)
    if points is None:
        return [Finding("false border", entry.order, f"{entry!r}: I - P is singular, and nothing solves the word")]
    distance, reach = apart(entry.points, points), _from_borders(reference, points)
    if not distance <= entry.error * (1 + 1e-9) or not reach <= 2 * entry.error:
        said = f"{entry!r}: off by {distance:.3g}, from a border by {reach:.3g}, stated error {entry.error:.3g}"
        return [Finding("false border", entry.order, said)]
    if solution.kind == "cycle":
        return [Finding("cycle listed as on a border", entry.order, f"{entry!r}", True)]
    return [Finding("border entry that solves nothing", entry.order, f"{entry!r}: beyond by {reach:.3g}", True)]


JUDGES = {"family": _of_family, "border": _of_border, "slow": _of_slow}


def _from_borders(reference: Reference, points) -> float:
    """Give the distance of an orbit from the nearest border."""
    distances = [math.inf]
    for point in points:
        for row, height in zip(reference.map.planes, reference.map.heights(point), strict=True):
            distances.append(abs(number_of(height)) / math.hypot(*(number_of(x) for x in row[1:])))
    return min(distances)


# -- what is claimed ----------------------------------------------------------------------------------------------


def claims_of(reference: Reference, cycles: cx.Cycles, everything: bool) -> list[Finding]:
    """Judge the verdicts: is really nothing missing, or something?"""
    found = []
    certified = cycles.report.get("completeness", {})
    box = None
    if certified.get("where") == "inside the box":
        sides = certified["box"]
        box = list(map(_side, sides["lower"])), list(map(_side, sides["upper"]))
    verdicts = {int(order): entry["verdict"] for order, entry in cycles.report["orders"].items()}
    complete = [order for order, verdict in verdicts.items() if verdict == "proved complete"]
    if everything and certified.get("orders") == "all":
        complete += [order for order in range(1, reference.most + 1) if order not in verdicts]
    for order in complete:
        if order <= reference.most:
            found += [
                dataclasses.replace(one, text=f"'proved complete', {one.text}")
                for one in missing(reference, cycles, order, box)
            ]
    for order, verdict in verdicts.items():
        divisors = [d for d in range(1, order + 1) if order % d == 0]
        if verdict != "proved incomplete" or order > reference.most or not set(divisors) <= set(cycles.orders):
            continue
        if not any(one for d in divisors for one in missing(reference, cycles, d, None) if not one.soft):
            found.append(Finding("false incomplete", order, "'proved incomplete', and nothing is missing"))
    return found


def missing(reference: Reference, cycles: cx.Cycles, order: int, box: Box | None) -> list[Finding]:
    """Give what there is of one order (strictly inside a box) and is not listed."""
    listed = _Listed(reference, cycles)
    truth, found = reference.order(order), []
    for word, solution in truth.cycles.items():
        if _inside(box, solution) and word not in listed.cycles:
            soft = listed.on_border(solution)
            kind = "cycle listed as on a border" if soft else "missing cycle"
            found.append(Finding(kind, order, f"{spelled(word)} at {_floats(solution)}", soft))
    for solution in truth.borders:
        as_cycle = solution.inert and any(apart(c.points, solution.points, True) <= c.error for c in cycles)
        if _inside(box, solution) and not (as_cycle or listed.on_border(solution) or listed.in_family(solution)):
            found.append(Finding("missing border", order, f"{spelled(solution.word)} at {_floats(solution)}"))
    for word, solution in truth.families.items():
        known = (order, word) in listed.families or listed.in_family(solution, order)
        if not known and (box is None or reference.map.reaches_into(solution, box)):
            found.append(Finding("missing family", order, f"{solution.dimension} dimensions, word {spelled(word)}"))
    for solution in truth.rims:
        if not listed.in_family(solution) and (box is None or reference.map.reaches_into(solution, box)):
            text = f"{solution.dimension} dimensions, word {spelled(solution.word)}, through {_floats(solution)}"
            found.append(Finding("missing family on a border", order, text))
    return found


class _Listed:
    """What a result lists, by exact words."""

    def __init__(self, reference: Reference, cycles: cx.Cycles):
        self.map = reference.map
        self.cycles = {canonical(self.map.word_of(cycle.gates)) for cycle in cycles}
        self.borders = [entry for entry in cycles.degenerate if entry.kind == "border"]
        families = [entry for entry in cycles.degenerate if entry.kind == "family"]
        self.families = {(entry.order, canonical(self.map.word_of(entry.gates))) for entry in families}

    def on_border(self, solution: Solution) -> bool:
        """Whether an entry on a border is this solution, to within its error."""
        return any(
            entry.order == solution.order
            and apart(entry.points, solution.points, turned=True)
            <= max(entry.error, 1e-12 * float(np.max(np.abs(entry.points))))
            for entry in self.borders
        )

    def in_family(self, solution: Solution, order: int | None = None) -> bool:
        """Whether a listed family (of an order) contains a solution, its rim included."""
        period = solution.order
        return any(
            (order is None or size == order) and len(word) % period == 0 and self._along(word, solution.points)
            for size, word in self.families
        )

    def _along(self, word: Word, points) -> bool:
        return any(self.map.closes(word[turn:] + word[:turn], points[0]) for turn in range(len(word)))


def _side(value: float) -> flint.fmpq:
    """Give a side of a box; one at infinity is beyond all points."""
    return rational(value) if math.isfinite(value) else flint.fmpq(10) ** 2000 * (1 if value > 0 else -1)


def _inside(box: Box | None, solution: Solution) -> bool:
    if box is None:
        return True
    return all(low < x < high for point in solution.points for x, low, high in zip(point, *box, strict=True))


# -- numbers ------------------------------------------------------------------------------------------------------


def number_of(value: flint.fmpq) -> float:
    """Round a rational to float64, inf where it is too large."""
    try:
        return int(value.p) / int(value.q)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def apart(points: np.ndarray, exact, turned: bool = False) -> float:
    """Give the largest difference between stated points and exact ones; the smallest over rotations, if `turned`."""
    if len(points) != len(exact):
        return math.inf
    if not np.all(np.isfinite(points)):
        return math.inf
    given = [[rational(x) for x in point] for point in points]
    turns = range(len(exact)) if turned else [0]
    return min(
        max(
            abs(number_of(x - y))
            for one, other in zip(given, [*exact[turn:], *exact[:turn]], strict=True)
            for x, y in zip(one, other, strict=True)
        )
        for turn in turns
    )


def _complex(root: flint.acb) -> complex:
    try:
        return complex(float(root.real.mid()), float(root.imag.mid()))
    except OverflowError:
        return complex(math.inf, 0)


def _floats(solution: Solution) -> list[float]:
    return [number_of(x) for x in solution.points[0]]


def spelled(word: Word) -> str:
    """Write a word as 0 and 1."""
    return " ".join("".join("01"[gate] for gate in cell) or "-" for cell in word)
