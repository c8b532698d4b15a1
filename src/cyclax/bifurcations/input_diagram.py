"""Input diagrams: where the fixed points of a network are against the strength of a constant input."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from cyclax.core.archive import Archive, write_archive
from cyclax.core.checks import number_or_none
from cyclax.paths.lines import RAY

_FORM = {
    "values": (float, float),
    "report": {"verdict": str, "reason": str, "values": [dict], "notes": [str]},
}
# Two pieces have one point at a strength where theirs differ by no more than this share of their size.
_SAME = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Corner:
    """A point where pieces of the diagram meet: the fixed point lies on borders.

    - `s`: the strength of the input; `point` `(M,)`: the fixed point; `gates`: the gates on whose borders it lies.
    - `type`: what happens there.
        - "persistence": a fixed point crosses a border and goes on, with another word.
        - "nonsmooth fold": two of them meet and annihilate, or are born.
        - "branch point": more than two pieces meet; so in symmetric networks, where several gates switch at once.
        - "family": on one of the pieces the input rests: of this one input there is a line of fixed points.
        - "unexplained": a piece ends here and what comes next was not found.
    - `flips`: of persistence and folds of one gate: whether a 2-cycle is born, or dies, there (Feigin's rule).
    - `pieces`: number and end (0: the lower strength, 1) of each piece that begins here.
    - `stability`: of each of these pieces.
    """

    s: float
    point: Float[np.ndarray, " M"]
    gates: tuple[int, ...]
    type: str
    flips: bool
    pieces: tuple[tuple[int, int], ...]
    stability: tuple[str, ...]

    @property
    def changes_stability(self) -> bool:
        """Whether the fixed point of a persistence is of another stability on the other side."""
        return self.type == "persistence" and len(set(self.stability)) > 1


@dataclasses.dataclass(frozen=True, eq=False)
class Branch:
    """Pieces in a row, from corner to corner; it ends at the ends of the range, at branch points, or nowhere.

    - `s` `(m + 1,)`, `points` `(m + 1, M)`: the corners; between two of them the fixed point moves on a straight line.
    - `pieces` `(m,)`: their numbers; `stability` `(m,)`.
    - `closed`: whether the branch comes back to where it begins.
    """

    s: Float[np.ndarray, " m1"]
    points: Float[np.ndarray, "m1 M"]
    pieces: tuple[int, ...]
    stability: tuple[str, ...]
    closed: bool


@dataclasses.dataclass(frozen=True, eq=False)
class InputDiagram:
    """What `cyclax.follow_input` returns: pieces, on each of which a fixed point moves on a straight line.

    - `values`: the strengths (s0, s1) between which it was followed; `direction`: of the input at strength 1.
    - `words` `(n, G)`: the gates that are open on each piece; `s` `(n, 2)`, `points` `(n, 2, M)`: its two ends.
    - `multipliers` `(n, M)`: they are the same all along a piece; `stability` `(n,)`: what they say.
    - `residual` `(n,)`: the largest |F(z) - z| at its ends and in its middle, of the true map.
    - `meets` `(n, 2)`: the corner at each end; -1 at the ends of the range, -2 where a piece on which the input rests
      goes on for ever.
    - `corners`, `branches`: see `Corner` and `Branch`.
    - `report`: {"verdict", "reason", "values": what was found and proved at each strength searched, "notes", ..}.
    """

    direction: Float[np.ndarray, " I"]
    values: tuple[float, float]
    words: Bool[np.ndarray, "n G"]
    s: Float[np.ndarray, "n 2"]
    points: Float[np.ndarray, "n 2 M"]
    multipliers: Complex[np.ndarray, "n M"]
    stability: tuple[str, ...]
    residual: Float[np.ndarray, " n"]
    meets: Int[np.ndarray, "n 2"]
    corners: tuple[Corner, ...]
    report: dict[str, Any]

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The pieces, in rows: those that meet nothing but one another at a corner follow one upon the other."""
        return tuple(self._branch(row, closed) for row, closed in _rows(self.meets, self.corners))

    def at(self, s: float) -> tuple[Float[np.ndarray, "f M"], tuple[int, ...]]:
        """Give the fixed points at one strength, and the numbers of their pieces.

        **Raises:** `TypeError` for what is not one number; `ValueError` outside the range.
        """
        low, high = self.values
        if number_or_none(s) is None:
            raise TypeError(f"s: expected one number, got {s!r}; of several strengths, ask for each.")
        if not low <= s <= high:
            raise ValueError(f"s: the diagram reaches from {low:g} to {high:g}, got {s!r}.")
        found: list[np.ndarray] = []
        pieces: list[int] = []
        for i in np.flatnonzero((self.s[:, 0] <= s) & (s <= self.s[:, 1])).tolist():
            begin, end = self.s[i]
            share = (s - begin) / (end - begin) if end > begin else 0.0
            point = (1 - share) * self.points[i, 0] + share * self.points[i, 1]
            size = _SAME * np.max(np.abs(point), initial=np.finfo(float).tiny)
            if all(np.max(np.abs(point - other)) > size for other in found):
                found.append(point)
                pieces.append(i)
        return np.reshape(np.array(found), (-1, self.points.shape[2])), tuple(pieces)

    def save(self, path: str | Path) -> None:
        """Write everything to one `.npz` file (no pickle); `InputDiagram.load` gives it back bitwise.

        **Raises:** `ValueError` for another suffix; `OSError` where the path cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"{path}: diagrams are written to .npz files.")
        number, gates = len(self.corners), self.words.shape[1]
        tied = np.zeros((number, gates), bool)
        for i, corner in enumerate(self.corners):
            tied[i, list(corner.gates)] = True
        arrays = {name: getattr(self, name) for name in ("direction", "words", "s", "points", "multipliers")}
        arrays |= {"residual": self.residual, "meets": self.meets, "stability": np.array(self.stability, str)}
        arrays |= {"corners/s": np.array([corner.s for corner in self.corners], float), "corners/gates": tied}
        arrays["corners/type"] = np.array([corner.type for corner in self.corners], str)
        arrays["corners/flips"] = np.array([corner.flips for corner in self.corners], bool)
        points = [corner.point for corner in self.corners]
        arrays["corners/points"] = np.reshape(np.array(points, float), (number, self.points.shape[2]))
        header = {"values": self.values, "report": self.report}
        write_archive(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "InputDiagram":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` where the file is not one, or is truncated.
        """
        archive = Archive(path, "not a file written by InputDiagram.save", _FORM)
        others = ("values", "stability", "corners", "report")
        parts = archive.fields(cls, "", but=others)
        stability = tuple(archive.array("stability", str, "n").tolist())
        s, points = archive.array("corners/s", float, "c"), archive.array("corners/points", float, "c M")
        gates, types = archive.array("corners/gates", bool, "c G"), archive.array("corners/type", str, "c").tolist()
        flips = archive.array("corners/flips", bool, "c").tolist()
        archive.finish()
        if not np.all((parts["meets"] >= RAY) & (parts["meets"] < len(s))):
            archive.refuse("pieces meet at corners that it does not have")
        meeting = joined(parts["meets"], len(s))
        corners = tuple(
            Corner(
                float(s[i]),
                points[i],
                tuple(np.flatnonzero(gates[i]).tolist()),
                types[i],
                flips[i],
                meeting[i],
                tuple(stability[piece] for piece, _ in meeting[i]),
            )
            for i in range(len(s))
        )
        header = archive.header
        low, high = header["values"]
        return cls(
            **parts,
            values=(low, high),
            stability=stability,
            corners=corners,
            report=header["report"],
        )

    def __repr__(self) -> str:
        return f"InputDiagram({len(self.branches)} branches, {len(self.words)} pieces, s in {list(self.values)})"

    def __str__(self) -> str:
        low, high = self.values
        branches = self.branches
        closed = sum(branch.closed for branch in branches)
        lines = [
            f"{len(branches)} {'branch' if len(branches) == 1 else 'branches'} of fixed points for s from {low:g} to "
            f"{high:g}" + (f" ({closed} closed)" if closed else "") + f": {len(self.words)} straight pieces"
        ]
        for s, name in ((low, "s ="), (high, "s =")):
            _, pieces = self.at(s)
            stable = sum(self.stability[i] == "stable" for i in pieces)
            lines.append(f"  at {name} {s:g}: {len(pieces)} ({stable} stable)")
        counted = collections.Counter(corner.type for corner in self.corners)
        lines += [f"  {number} x {kind}{self._where(kind)}" for kind, number in counted.most_common()]
        turned = [corner.s for corner in self.corners if corner.changes_stability]
        if turned:
            lines.append(f"  stability changes on a border: {_listed(turned)}")
        born = [corner.s for corner in self.corners if corner.flips]
        if born:
            lines.append(f"  2-cycles are born on a border: {_listed(born)}")
        lines.append(f"complete? {self.report['verdict']} ({self.report['reason']})")
        lines += [f"NOTE: {note}" for note in self.report["notes"][:5]]
        return "\n".join(lines)

    def _where(self, kind: str) -> str:
        return "" if kind == "persistence" else ": " + _listed([c.s for c in self.corners if c.type == kind])

    def _branch(self, row: list[tuple[int, bool]], closed: bool) -> Branch:
        ends = [(i, 0 if forward else 1) for i, forward in row]
        last, forward = row[-1]
        stops = [*ends, (last, 1 if forward else 0)]
        return Branch(
            np.array([self.s[i, e] for i, e in stops]),
            np.array([self.points[i, e] for i, e in stops]),
            tuple(i for i, _ in row),
            tuple(self.stability[i] for i, _ in row),
            closed,
        )


def joined(meets: np.ndarray, number: int) -> list[tuple[tuple[int, int], ...]]:
    """List the pieces, with their ends, that meet at each of so many corners."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(number)]
    for i, e in np.argwhere(meets >= 0).tolist():
        found[meets[i, e]].append((i, e))
    return [tuple(some) for some in found]


def _rows(meets: np.ndarray, corners: tuple[Corner, ...]) -> list[tuple[list[tuple[int, bool]], bool]]:
    """Put pieces in rows: (piece, whether it is gone from its lower end to the upper one), and whether they close."""

    def following(i: int, e: int) -> tuple[int, int] | None:
        corner = meets[i, e]
        pieces = corners[corner].pieces if corner >= 0 else ()
        return None if len(pieces) != 2 else pieces[1 - pieces.index((i, e))]

    left = set(range(len(meets)))
    # From ends first; what is left then has none.
    starts = [(i, e) for i in range(len(meets)) for e in (0, 1) if following(i, e) is None]
    rows: list[tuple[list[tuple[int, bool]], bool]] = []
    for i, e in [*starts, *((i, 0) for i in range(len(meets)))]:
        if i not in left:
            continue
        begin, row, place = (i, e), [], (i, e)
        while place is not None and place[0] in left:
            i, e = place
            left.remove(i)
            row.append((i, e == 0))
            place = following(i, 1 - e)
        rows.append((row, place == begin and following(*begin) is not None))
    return rows


def _listed(values: list[float]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in sorted(values)[:6])
    return "s = " + shown + (", .." if len(values) > 6 else "")
