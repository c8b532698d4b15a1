"""`follow_input`: the verb. All fixed points of a network while the strength of a constant input changes."""

import collections
import math
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from cyclax.bifurcations.event import feigin
from cyclax.bifurcations.input_diagram import Corner, InputDiagram
from cyclax.core.budget import Budget
from cyclax.core.checks import checked_key, whole
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.version import __version__
from cyclax.cycles.balance import units_of
from cyclax.cycles.cycle import Cycle, Degenerate, stability
from cyclax.cycles.exact_form import exact_form
from cyclax.cycles.multipliers import multipliers_of
from cyclax.cycles.result import Cycles
from cyclax.cycles.units import Balanced
from cyclax.maps.affine import AffineForm, in_chunks, state_scale, visit
from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array, with_bias
from cyclax.maps.driven import InputAsState, under
from cyclax.maps.stack import checked_model
from cyclax.paths.lines import RANGE, RAY, Lines, solution_lines
from cyclax.paths.lines import Corner as LineCorner
from cyclax.paths.system import Gates, merged_gates
from cyclax.proofs.attempt import default_box
from cyclax.proofs.enumerate import enumerate_cycles
from cyclax.proofs.methods import BranchAndBound
from cyclax.search.combined import Combined
from cyclax.search.find import find_cycles
from cyclax.search.finder import AbstractFinder

# Nodes of the tree in which words that nobody has met are sought, times the number of states squared.
_NODES = 1e7
# What is this near to an end of the range, or to a border, may lie on either side of it.
_SHORT = 1e-8
# A piece is refuted where the model moves its middle, or meets other gates there, by more than this share of the terms.
_RECHECKED = 1e-9
# Pieces that are known to a larger share of the states than this leave it open what meets what.
_ROUNDING = 1e-6


def follow_input(
    model: AbstractPiecewiseLinearMap,
    direction: Float[Any, " I"],
    values: tuple[float, float],
    *,
    key: Array | int,
    proof: Budget | None = None,
    searched: int = 9,
    finder: AbstractFinder | None = None,
    progress: bool = True,
) -> InputDiagram:
    """Follow all fixed points of a network while a constant input grows from one strength to another.

    Under the input s `direction` the fixed points are straight lines in (z, s) as long as they cross no border, and
    these are followed exactly, from border to border, stable or not, through folds and branch points. They start where
    a tree of words (`BranchAndBound`, with s as a state) finds fixed points of any strength, and it proves that there
    are no others. Where that is too much for it, they start at the fixed points of a few strengths, by `find_cycles`,
    which are on all branches but those that are closed between two of these.

    **Arguments:**

    - `model`: any map of cyclax with a bias. A constant input that is there as well: `model.with_input(rest)`.
    - `direction`: the input at strength 1, as `model.with_input` takes it: `(I,)`, one number for each column of the
      input weights C, or for models without them the shape of the bias.
    - `values`: the strengths (s0, s1).
    - `key`: a JAX random key, or an int seed, for the search.
    - `proof`: how much the tree may cost; by default 1e7 / M^2 nodes, and no limit in seconds.
    - `searched`: at so many strengths, in equal steps from s0 to s1, fixed points are searched for if it has no end.
    - `finder`: of `find_cycles` then; by default paths and starts without proofs.
    - `progress`: show a bar on a terminal when it takes longer than a second.

    **Returns:** an `InputDiagram`: pieces, corners and branches, with the verdict in its report. Ctrl-C gives what has
    been followed by then.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy; `NotFollowedError` where the map is
    not continuous.
    """
    began = Budget.clock()
    model = checked_model(model)
    direction, low, high = _checked(model, direction, values)
    searched, key = whole(searched, "searched", 2), checked_key(key)
    with numerics():
        diagram = _Diagram(model, direction, low, high)
    diagram.prove(proof, progress)
    found: tuple[Cycles, ...] = ()
    places = np.linspace(low, high, searched)
    if not diagram.proved and not diagram.stopped:
        models = [model.with_input(s * direction) for s in places]
        finder = Combined(proofs=False) if finder is None else finder
        found = find_cycles(models, 1, key=key, finder=finder, progress=progress)
    with Interruption() as interruption, numerics():
        diagram.follow(found, lambda _: interruption.pressed)
        report = diagram.report(places, found)
        report |= {"seconds": Budget.clock() - began, "version": __version__}
        return diagram.result(report)


def _checked(model, direction, values) -> tuple[np.ndarray, float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"values: expected two strengths (s0, s1), got {values!r}.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"values: expected two finite strengths s0 < s1, got ({low:g}, {high:g}).")
    direction = np.asarray(real_array(direction, "direction"), np.float64)
    if not np.all(np.isfinite(direction)):
        raise ValueError("direction: it holds NaN or inf.")
    moved, leaf = under(model, direction, "direction"), str(model.input_leaf)
    if np.array_equal(getattr(moved, leaf), getattr(model, leaf)):
        raise ValueError("direction: it changes nothing of the bias.")
    return direction, low, high


class _Diagram:
    """One call: the map of (z, t), t = (s - s0) / (s1 - s0), in balanced units, and the lines found so far."""

    def __init__(self, model: AbstractPiecewiseLinearMap, direction: np.ndarray, low: float, high: float):
        self.model, self.direction, self.low, self.high = model, direction, low, high
        leaf = str(model.input_leaf)
        bare = with_bias(model, np.zeros_like(getattr(model, leaf)))
        added = np.asarray(getattr(bare.with_input((high - low) * direction), leaf))
        self.extended = InputAsState(model.with_input(low * direction), added)  # pyright: ignore[reportArgumentType]
        bounds = exact_form(self.extended)
        self.box = default_box(self.extended, bounds)
        self.box.lower[-1], self.box.upper[-1] = 0.0, 1.0
        units = units_of(bounds)
        self.units = np.ones(self.extended.num_states) if units is None else units
        self.units[-1] = 1  # t has its own
        self.bounds: AffineForm = exact_form(Balanced(self.extended, self.units))  # pyright: ignore[reportArgumentType]
        self.gates: Gates = merged_gates(self.bounds)
        self.proof: dict[str, Any] = {}
        self.proved, self.stopped = False, ""
        self.listed: list[tuple[Cycle | Degenerate, np.ndarray]] = []
        self.lines: Lines

    def prove(self, budget: Budget | None, progress: bool) -> None:
        """Seek all words that have fixed points at any strength, by a tree."""
        box = self.box.lower, self.box.upper
        budget = budget or Budget(math.inf, max(1, int(_NODES / self.extended.num_states**2)))
        try:
            listed = enumerate_cycles(
                self.extended, 1, box=box, method=BranchAndBound(), budget=budget, progress=progress
            )
        except (ImportError, ValueError) as error:
            self.proof = {"refused": str(error)}
            return
        entry = listed.report["orders"]["1"]
        self.proved = entry["verdict"] == "proved complete"
        self.proof = {"reason": entry["reason"], "certificate": listed.report["completeness"]}
        if "Ctrl-C" in entry["reason"]:
            self.stopped = "interrupted by Ctrl-C"
        self.listed = [(entry, point) for entry in (*listed, *listed.degenerate) for point in _within(entry)]

    def follow(self, found: tuple[Cycles, ...], stop) -> None:
        """Follow the lines through all that is known."""
        rows = zip(found, np.linspace(0, 1, len(found)), strict=True)
        some = [(entry, np.append(entry.points[0], t)) for cycles, t in rows for entry in (*cycles, *cycles.degenerate)]
        known = [(entry, point / self.units) for entry, point in (*self.listed, *some)]
        scale = max((float(np.max(np.abs(point[:-1]))) for _, point in known), default=0.0)
        scale = scale or state_scale(self.bounds)
        self.lines = solution_lines(self.gates, [point for _, point in known], scale, stop)
        self.words = self.gates.words(self.lines.words[:, None])[:, 0]
        followed = {word.tobytes() for word in self.words[:, self.bounds.effective]}
        self.missed = sum(
            _SHORT < point[-1] < 1 - _SHORT
            and entry.margin > _SHORT * np.max(np.abs(entry.points))
            and entry.gates[0, self.bounds.effective].tobytes() not in followed
            for entry, point in known
        )
        self._recheck()

    def _recheck(self) -> None:
        """Visit the ends and the middle of every piece with the model itself.

        `residual` `(n,)`: the largest |F(z) - z|; `refuted`: of how many pieces the model moves the middle, or meets
        other gates there.
        """
        ends = self.lines.ends
        points = np.stack([ends[:, 0], ends[:, 1], np.mean(ends, axis=1)])
        visited = in_chunks(visit, self.extended, (points * self.units).reshape(-1, len(self.units)))
        heights, images = (part.reshape(*points.shape[:2], part.shape[1]) for part in visited)
        self.residual = np.max(np.abs(images - points * self.units), axis=(0, 2))
        middle = points[2]
        terms = np.abs(middle) @ np.abs(self.bounds.gradients).T + np.abs(self.bounds.offsets)
        other = ((heights[2] > 0) != self.words) & (np.abs(heights[2]) > _RECHECKED * terms)
        away = np.max(np.abs(images[2] / self.units - middle), axis=1)
        size = np.max(np.abs(middle), axis=1) + np.max(np.abs(self.bounds.shift))
        refuted = np.any(other & self.bounds.effective, axis=1) | ~(away <= _RECHECKED * size)
        self.refuted = int(np.sum(refuted))

    def report(self, places: np.ndarray, found: tuple[Cycles, ...]) -> dict[str, Any]:
        """Say what was found at each strength, and whether anything can be missing."""
        stopped = filter(None, [self.stopped, *(cycles.report.get("interrupted") for cycles in found)])
        notes = list(stopped)[:1]
        for text, t in self.lines.notes:
            notes.append(text if t is None else f"{text}, at s = {self.strength(np.array(t)):.6g}")
        if self.refuted:
            notes.append(f"{self.refuted} pieces are not fixed points of the model, as it is computed")
        ends = sum(len(corner.pieces) == 1 for corner in self.lines.corners)
        if ends:
            notes.append(f"{ends} pieces end where nothing was found that goes on")
        rounding = float(np.max(self.lines.rounding, initial=0))
        if rounding > _ROUNDING:
            notes.append(f"in float64 pieces are known to {rounding:.0e} of the states only: nearly singular")
        if self.missed:
            notes.append(f"{self.missed} fixed points that were found lie on none of the pieces")
        verdicts = [cycles.report["orders"]["1"]["verdict"] for cycles in found]
        values = [
            {"s": s, "found": len(cycles), "verdict": verdict}
            for s, cycles, verdict in zip(places.tolist(), found, verdicts, strict=False)
        ]
        why = self.proof.get("refused") or self.proof["reason"]
        verdict, reason = "proved complete" if self.proved else "unknown", why
        if not self.proved:
            at = ", ".join(f"{verdict} at {number}" for verdict, number in collections.Counter(verdicts).items())
            reason = f"branches that exist at none of {len(values)} strengths may be missing ({at}); proof: {why}"
        if notes:
            verdict, reason = "unknown", notes[0]
        return {"verdict": verdict, "reason": reason, "values": values, "notes": notes, "proof": self.proof}

    def result(self, report: dict[str, Any]) -> InputDiagram:
        """Write the lines down in the units of the model."""
        lines, words, size = self.lines, self.words, self.model.num_states
        jacobians = self.bounds.jacobians(words)[:, :size, :size]
        multipliers = multipliers_of(jacobians[:, None], jacobians)
        kinds = tuple(stability(*row, 1) for row in zip(multipliers, jacobians, strict=True))
        ends = lines.ends * self.units
        s = self.strength(ends[..., -1])
        corners = [self._corner(corner, words, jacobians, s, kinds) for corner in lines.corners]
        turn = sorted(range(len(corners)), key=lambda i: corners[i].s)
        rank = np.append(np.argsort(turn), [RAY, RANGE])  # these stay as they are
        return InputDiagram(
            direction=self.direction,
            values=(self.low, self.high),
            words=words,
            s=s,
            points=ends[..., :-1],
            multipliers=multipliers,
            stability=kinds,
            residual=self.residual,
            meets=rank[lines.meets],
            corners=tuple(corners[i] for i in turn),
            report=report,
        )

    def strength(self, t: np.ndarray) -> np.ndarray:
        """Give s, exactly at both ends of the range."""
        return np.where(t < 0.5, self.low + t * (self.high - self.low), self.high - (1 - t) * (self.high - self.low))

    def _corner(self, corner: LineCorner, words, jacobians, s, kinds) -> Corner:
        """Say what happens at a corner."""
        strength = float(self.strength(corner.point[-1]))
        gates = tuple(np.flatnonzero(np.isin(self.gates.plane, corner.tied)).tolist())
        away = [np.sign(s[i, 1 - e] - s[i, e]) for i, e in corner.pieces]
        flips = False
        if len(away) == 1:
            kind = "unexplained"
        elif not all(away):
            kind = "family"
        elif len(away) > 2:
            kind = "branch point"
        else:
            kind = "persistence" if away[0] != away[1] else "nonsmooth fold"
            if len(gates) == 1:
                rows = sorted((i for i, _ in corner.pieces), key=lambda i: words[i, gates[0]])
                flips = feigin(*(jacobians[i][None] for i in rows)).flips
        pieces = corner.pieces
        stable = tuple(kinds[i] for i, _ in pieces)
        return Corner(strength, corner.point[:-1] * self.units[:-1], gates, kind, flips, pieces, stable)


def _within(entry: Cycle | Degenerate) -> list[np.ndarray]:
    """Give (z, t) of what the tree has listed: the middle of a line, of the part of it where t is from 0 to 1."""
    point = entry.points[0]
    if not isinstance(entry, Degenerate) or entry.directions.shape[1] != 1 or not entry.directions[-1, 0]:
        return [point]
    direction, ends = entry.directions[:, 0], np.sort((np.array([0.0, 1.0]) - point[-1]) / entry.directions[-1, 0])
    low, high = np.maximum(ends[0], entry.extent[0, 0]), np.minimum(ends[1], entry.extent[0, 1])
    return [point + (low + high) / 2 * direction] if low <= high else []
