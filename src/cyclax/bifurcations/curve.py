"""`Curve`: a bifurcation followed through a plane of two parameters, arc by arc."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from cyclax.bifurcations.branch import held_in
from cyclax.bifurcations.event import EventType, feigin
from cyclax.bifurcations.singular import critical
from cyclax.core.archive import Archive, write_archive
from cyclax.core.numerics import numerics
from cyclax.maps.affine import affine_form
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.registry import from_dict, to_dict
from cyclax.maps.parameter import PARAMETER, Parameter, moved_stack

_FORMAT = 1
_FORM = {
    "format": frozenset({_FORMAT}),
    "model": {"model": str},
    "parameters": [PARAMETER],
    "window": [(float, float)],
    "ends": [str],
    "arcs": [
        {"type": frozenset(get_args(EventType)), "words": [[[int]]], "gate?": int, "step?": int, "flip": bool},
    ],
    "special_points": [
        {"type": str, "place": (float, float), "bracket": float, "residual": float, "rotation?": float},
    ],
}
# A point of a curve may be beside its border, or a multiplier beside the unit circle, by this share of the terms that
# it is the sum of; and the other points of its cycle beyond theirs.
_NEAR = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Arc:
    """A part of a curve, between special points: one type, and the same words.

    - `type`: as that of an `Event`. `flip`: whether at this border a cycle of twice the order is born, or dies.
    - `words`: `(k, G)` each: at a border that with the gate closed and that with it open.
    - `gate`, `step`: the gate whose border is met, and the row of the words at which; None away from borders.
    - `points` `(n, 2)`: values of the parameters, in order.
    - `angles` `(n,)`: of the multipliers on the unit circle, along a center; else empty.
    """

    type: EventType
    words: tuple[Bool[np.ndarray, "k G"], ...]
    gate: int | None
    step: int | None
    flip: bool
    points: Float[np.ndarray, "n 2"]
    angles: Float[np.ndarray, " n"]

    @property
    def order(self) -> int:
        """The order of the cycle."""
        return len(self.words[0])

    @property
    def parities(self) -> tuple[int, int] | None:
        """Feigin's: of s+ and s-, the real multipliers above +1 and below -1 of both words; None away from borders."""
        return None if self.gate is None else (int(self.type == "nonsmooth fold"), int(self.flip))

    def reversed(self) -> "Arc":
        """Give it with its points in the opposite order."""
        return dataclasses.replace(self, points=self.points[::-1], angles=self.angles[::-1])

    def __repr__(self) -> str:
        noun = "fixed point" if self.order == 1 else f"{self.order}-cycle"
        return f"Arc({self.type}{', flip' if self.flip else ''} of a {noun}, {len(self.points)} points)"


@dataclasses.dataclass(frozen=True, eq=False)
class CodimensionTwoPoint:
    """A point of a curve at which something else happens as well.

    - `type`: "two borders" (four words meet), "border x fold", "border x flip", "border x center", and so on for what
      meets what; with "at infinity" where the cycle has no points there; "shrinking point" of a tongue, where two of
      its borders meet and I - P is singular; "collapse", where all its points come together, "several borders" where
      more are met at once; "1:2 resonance", "2:5 resonance", ..: the angle of a center is that share of a turn.
    - `place` `(2,)`: values of the parameters; `bracket`: the length to which it is known along the curve, and
      `residual`: how nearly the matrix of the curve is singular there (see `bifurcations/singular.py`).
    - `rotation`: the share of a turn that the multipliers of a center make; None without one.
    """

    type: str
    place: Float[np.ndarray, " 2"]
    bracket: float
    residual: float
    rotation: float | None = None

    def __repr__(self) -> str:
        turn = "" if self.rotation is None else f", rotation {self.rotation:.9g}"
        return f"{self.type} at ({self.place[0]:.12g}, {self.place[1]:.12g}){turn}"


class Checked(NamedTuple):
    """What `Curve.check` found: the largest residual, and what is wrong, in words."""

    residual: float
    wrong: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A bifurcation of one cycle in the plane of two parameters.

    - `model`, `parameters`, `window` `(2, 2)` (the ends of each parameter).
    - `arcs`: in order; `special_points`: those between them and at the ends, in order.
    - `ends`: why the curve stops, at its beginning and at its end: "window", "closed" (only one), "infinity" (the
      cycle runs there), "border" (the cycle that changes its stability ceases), "resonance" (its multipliers meet on
      the real axis), "rim" (beyond, a word repeats a shorter one), "order 1", .. (the cycle shrinks onto one of that
      order), "degenerate" (several things happen at once, or Newton's method fails), "steps" (there were too many),
      "joined" (what follows is part of another curve of `trace_all`).
    """

    model: AbstractPiecewiseLinearMap
    parameters: tuple[Parameter, ...]
    window: Float[np.ndarray, "2 2"]
    arcs: tuple[Arc, ...]
    special_points: tuple[CodimensionTwoPoint, ...]
    ends: tuple[str, ...]

    @property
    def points(self) -> Float[np.ndarray, "n 2"]:
        """The values of the parameters along the curve; where two arcs meet, once."""
        return np.concatenate([arc.points[i > 0 :] for i, arc in enumerate(self.arcs)])

    @property
    def arclength(self) -> Float[np.ndarray, " n"]:
        """The length of the curve up to each of its points, with the window as the unit square."""
        steps = np.linalg.norm(np.diff(self.points, axis=0) / np.ptp(self.window, axis=1), axis=1)
        return np.append(0.0, np.cumsum(steps))

    @property
    def types(self) -> tuple[EventType, ...]:
        """The types of its arcs, each once."""
        return tuple(dict.fromkeys(arc.type for arc in self.arcs))

    @property
    def order(self) -> int:
        """The order of the cycle."""
        return self.arcs[0].order

    def models(self, points: Float[np.ndarray, "n 2"]) -> AbstractPiecewiseLinearMap:
        """Give a stack of the models at some values of the parameters."""
        with numerics():
            return moved_stack(self.model, self.parameters, np.asarray(points, float))

    def check(self) -> Checked:
        """Recompute every point from the model: what is singular there, the gates of the cycle, and Feigin's types."""
        worst, wrong = 0.0, []
        with numerics():
            matter = affine_form(self.model).effective
        for arc in self.arcs:
            number, word = len(arc.points), arc.words[0]
            with numerics():
                models = lambda some, arc=arc: self.models(arc.points[some])  # noqa: E731
                found = [held_in(models, number, matter, one) for one in arc.words]
            residual, heights = _recomputed(arc, found[0])
            worst = max(worst, float(np.max(residual)))
            if np.max(residual) > _NEAR:
                wrong.append(f"{arc}: point {int(np.argmax(residual))} is off the curve by {np.max(residual):.2g}")
            if np.min(heights) < -_NEAR:
                wrong.append(
                    f"{arc}: at point {int(np.argmin(heights))} the cycle of {word.astype(int).tolist()} is none"
                )
            if arc.gate is not None:
                rule = feigin(*(one.jacobians[number // 2] for one in found))
                if (rule.type, rule.flips) != (arc.type, arc.flip):
                    wrong.append(f"{arc}: in its middle Feigin's rule says {rule.type}, flip {rule.flips}")
        return Checked(worst, tuple(wrong))

    def __repr__(self) -> str:
        noun = "a fixed point" if self.order == 1 else f"a {self.order}-cycle"
        names = ", ".join(parameter.label for parameter in self.parameters)
        lines = [f"Curve of {noun} over {names}: {', '.join(self.types)}"]
        lines.append(f"  {len(self.arcs)} arcs, {len(self.points)} points, ends: {', '.join(self.ends)}")
        return "\n".join(lines + [f"  {point!r}" for point in self.special_points])

    def save(self, path: str | Path) -> None:
        """Write everything to an `.npz` file, without pickle; `Curve.load` reads it.

        **Raises:** `TypeError` for a parameter with `set=`, `ValueError` for a model of your own: these have no file
        format.
        """
        if any(parameter.set is not None for parameter in self.parameters):
            raise TypeError("save: a parameter given by a function cannot be written.")
        model = to_dict(self.model)
        header = {
            "format": _FORMAT,
            "model": {name: np.asarray(v).tolist() if isinstance(v, np.ndarray) else v for name, v in model.items()},
            "parameters": [parameter.to_list() for parameter in self.parameters],
            "window": self.window.tolist(),
            "ends": list(self.ends),
            "arcs": [
                {
                    "type": arc.type,
                    "words": [word.astype(int).tolist() for word in arc.words],
                    "gate": arc.gate,
                    "step": arc.step,
                    "flip": arc.flip,
                }
                for arc in self.arcs
            ],
            "special_points": [{**vars(point), "place": point.place.tolist()} for point in self.special_points],
        }
        arrays = {f"{name}.{i}": getattr(arc, name) for i, arc in enumerate(self.arcs) for name in ("points", "angles")}
        write_archive(path, header, arrays, compressed=True)

    @classmethod
    def load(cls, path: str | Path) -> "Curve":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` that names the file where it is another, or damaged.
        """
        archive = Archive(path, "no curve that cyclax wrote", _FORM)
        header = archive.header
        with archive.reading():
            model = from_dict(header["model"], source=str(path))
            parameters = tuple(map(Parameter.from_list, header["parameters"]))
            arcs = tuple(_read_arc(archive, i, content, model.num_gates) for i, content in enumerate(header["arcs"]))
            if len(parameters) != 2 or len(header["window"]) != 2 or not arcs:
                archive.refuse("it has not two parameters, or no arcs")
            for parameter in parameters:
                parameter.check(model)
        archive.finish()
        special = tuple(
            CodimensionTwoPoint(
                one["type"], np.array(one["place"]), one["bracket"], one["residual"], one.get("rotation")
            )
            for one in header["special_points"]
        )
        return cls(model, parameters, np.array(header["window"], float), arcs, special, tuple(header["ends"]))


def _read_arc(archive: Archive, i: int, content: dict[str, Any], num_gates: int) -> Arc:
    words = tuple(np.array(word, bool) for word in content["words"])
    if len({word.shape for word in words}) != 1 or words[0].ndim != 2 or words[0].shape[1] != num_gates:
        archive.refuse(f"arc {i} has words of other shapes than the model")
    gate, step = content.get("gate"), content.get("step")
    whole = gate is not None and step is not None and 0 <= gate < num_gates and 0 <= step < len(words[0])
    if len(words) != 1 + (gate is not None) or (not whole and (gate is not None or step is not None)):
        archive.refuse(f"arc {i} has {len(words)} words, gate {gate} and step {step}")
    points = archive.array(f"points.{i}", float, f"n{i} 2")
    angles = archive.array(f"angles.{i}", float, f"n{i}" if content["type"] == "center" else "0")
    return Arc(content["type"], words, gate, step, content["flip"], points, angles)


def _recomputed(arc: Arc, found) -> tuple[np.ndarray, np.ndarray]:
    """Give how far each point is from the curve `(n,)`, and the smallest of the other heights `(n,)`.

    Heights are shares of the terms that they are sums of.
    """
    heights = found.heights / found.sizes
    if arc.gate is not None:
        residual = np.abs(heights[:, arc.step, arc.gate])
        return residual, np.min(heights, axis=(1, 2))
    turn = critical(arc.type, arc.angles)
    size = found.product.shape[1]
    _, values, right = np.linalg.svd(found.product - np.reshape(turn, (-1, 1, 1)) * np.eye(size))
    residual = values[:, -1] / (1 + np.max(np.abs(found.product), axis=(1, 2)))
    if arc.type == "degenerate transcritical":  # the cycle is a direction toward infinity, or away from there
        state, ways = np.real(right[:, -1]), []
        for t in range(arc.order):
            along = np.einsum("ngm,nm->ng", found.bounds.gradients, state)
            scale = np.max(np.abs(state), axis=1)[:, None] * np.sum(np.abs(found.bounds.gradients), axis=2)
            ways.append(np.where(found.bounds.effective, along * np.where(arc.words[0][t], 1, -1) / scale, np.nan))
            state = np.einsum("nij,nj->ni", found.jacobians[:, t], state)
        there = np.stack(ways, axis=1)
        least = np.stack([np.nanmin(way * there, axis=(1, 2), initial=0.0) for way in (1, -1)])
        return residual, np.max(least, axis=0)
    return residual, np.nanmin(heights, axis=(1, 2), initial=0.0)
