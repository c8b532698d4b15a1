"""Curves of bifurcations in the plane of their two parameters, alone or over a map."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.bifurcations.curve import Curve
from cyclax.grids.map import BifurcationMap
from cyclax.plot.edges import draw_edges
from cyclax.plot.maps import bifurcation_map
from cyclax.plot.style import BESIDE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Special points: a mark for each of the most frequent types, one for all others.
_MARKS = ("o", "s", "^", "D", "v")


def bifurcation_curves(
    curves: Curve | Iterable[Curve],
    ax: "Axes | None" = None,
    *,
    over: BifurcationMap | None = None,
    special: bool = True,
    **arguments: Any,
) -> "Axes":
    """Draw curves of bifurcations: one color and one kind of line for each type, marks for special points.

    **Arguments:**

    - `curves`: what `trace` or `trace_all` returned; all over the same two parameters.
    - `ax`: the matplotlib axes to draw in; by default those of a new pyplot figure.
    - `over`: a map of these parameters, drawn beneath as `bifurcation_map` does, with `arguments` (`show`, `order`).
    - `special`: mark points at which something else happens as well.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    given = [curves] if isinstance(curves, Curve) else list(curves)
    if not given or not all(isinstance(curve, Curve) for curve in given):
        raise TypeError("plot.bifurcation_curves: curves must be what trace or trace_all returns, and one at least.")
    names = [tuple(parameter.name for parameter in curve.parameters) for curve in given]
    names += [over.grid.names] if over is not None else []
    if len(set(names)) > 1:
        raise ValueError(f"plot.bifurcation_curves: these are over different parameters: {sorted(set(names))}.")
    ax = axes_or_new(ax)
    if over is not None:
        bifurcation_map(over, ax, boundaries=False, **arguments)
    else:
        first = given[0]
        ax.set(xlim=first.window[0], ylim=first.window[1])
        ax.set(xlabel=first.parameters[0].label, ylabel=first.parameters[1].label)
    segments: dict[str, list[np.ndarray]] = {}
    for curve in given:
        for arc in curve.arcs:
            segments.setdefault(arc.type, []).append(np.stack([arc.points[:-1], arc.points[1:]], axis=1))
    draw_edges(ax, {name: np.concatenate(some) for name, some in segments.items()}, column=True)
    if special:
        _mark_special_points(ax, given)
    return ax


def _mark_special_points(ax: "Axes", curves: list[Curve]) -> None:
    """Mark the points, the most frequent types with a mark of their own, in a legend below the picture."""
    places: dict[str, list[np.ndarray]] = {}
    for curve in curves:
        for point in curve.special_points:
            places.setdefault(point.type, []).append(point.place)
    ranked = sorted(places, key=lambda name: -len(places[name]))
    shown = {name: places[name] for name in ranked[: len(_MARKS) - 1]}
    others = [place for name in ranked[len(_MARKS) - 1 :] for place in places[name]]
    shown |= {"other special points": others} if others else {}
    if not shown:
        return
    looks: dict[str, Any] = {"s": 9, "facecolors": "white", "edgecolors": "black", "linewidths": 0.6, "zorder": 4}
    drawn = [
        ax.scatter(*np.array(some).T, marker=mark, label=name, **looks)
        for mark, (name, some) in zip(_MARKS, shown.items(), strict=False)
    ]
    lines = ax.get_legend()
    style = {**BESIDE, "loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 3, "alignment": "center"}
    ax.legend(handles=drawn, **style)
    if lines is not None:
        ax.add_artist(lines)
        lines.set_clip_path(None)
        lines.set_clip_on(False)
