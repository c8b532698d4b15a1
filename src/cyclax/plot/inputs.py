"""Input diagrams: fixed points against the strength of an input."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cyclax.bifurcations.input_diagram import InputDiagram
from cyclax.core.checks import whole
from cyclax.plot.style import BESIDE, COLORS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What a corner is drawn as, if at all: marker, face and name.
_MARKS = {
    "nonsmooth fold": ("o", COLORS[1], "fold"),
    "branch point": ("s", COLORS[2], "branch point"),
    "family": ("D", COLORS[3], "line of fixed points"),
    "unexplained": ("X", COLORS[6], "unexplained"),
}
_TURNS = ("^", COLORS[5], "stability changes")
# How each kind of piece is drawn.
_LOOKS: dict[str, dict[str, Any]] = {
    "stable": {"color": COLORS[0], "lw": 2.0, "ls": "-"},
    "saddle": {"color": "0.35", "lw": 1.0, "ls": (0, (4, 2))},
    "repeller": {"color": "0.35", "lw": 1.0, "ls": (0, (1, 1.5))},
    "neutral": {"color": COLORS[3], "lw": 1.4, "ls": (0, (6, 1, 1, 1))},
}


def input_diagram(
    diagram: InputDiagram,
    ax: "Axes | None" = None,
    *,
    coordinate: int = 0,
    readout: Float[Any, " M"] | None = None,
) -> "Axes":
    """Draw where the fixed points are against the strength of the input.

    Stable fixed points are solid lines, saddles dashed, repellers dotted. Marks show folds, branch points, and where
    a fixed point changes its stability on a border; borders that are only crossed are not marked.

    **Arguments:**

    - `diagram`: what `follow_input` returned.
    - `ax`: the matplotlib axes to draw in; by default those of a new pyplot figure.
    - `coordinate`: the state to draw, from 0.
    - `readout` `(M,)`: weights of the states; their sum is drawn instead.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    if not isinstance(diagram, InputDiagram):
        raise TypeError(f"plot.input_diagram: expected what follow_input returns, got {type(diagram).__name__}.")
    states = diagram.points.shape[2]
    weights, name = _drawn(states, coordinate, readout)
    ax = axes_or_new(ax)
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    handles = []
    heights = _rounded(diagram.points @ weights, diagram)
    for kind, looks in _LOOKS.items():
        rows = [i for i, one in enumerate(diagram.stability) if one == kind]
        if rows:
            lines = np.stack([diagram.s[rows], heights[rows]], axis=2)
            zorder = 3 if kind == "stable" else 2
            ax.add_collection(LineCollection(list(lines), zorder=zorder, capstyle="butt", **_plural(looks)))
            handles.append(Line2D([], [], label=kind, **looks))
    marked: dict[tuple, list[tuple[float, float]]] = {}
    for corner in diagram.corners:
        mark = _TURNS if corner.changes_stability else _MARKS.get(corner.type)
        if mark:
            height = float(_rounded(corner.point @ weights, diagram))
            marked.setdefault(mark, []).append((corner.s, height))
    for (marker, color, label), places in marked.items():
        looks = {"marker": marker, "mfc": "white", "mec": color, "mew": 1.2, "ms": 5, "ls": "none", "label": label}
        ax.plot(*zip(*places, strict=True), zorder=4, **looks)
        handles.append(Line2D([], [], **looks))
    if not len(heights):
        ax.text(0.5, 0.5, "no fixed points", transform=ax.transAxes, ha="center", va="center")
    ax.set(xlabel="strength of the input $s$", ylabel=name, xlim=diagram.values)
    ax.autoscale(axis="y")
    if handles:
        ax.legend(handles=handles, **{**BESIDE, "handlelength": 2.6})
    return ax


def _drawn(states: int, coordinate: int, readout: Any) -> tuple[np.ndarray, str]:
    if readout is None:
        coordinate = whole(coordinate, "coordinate", 0, states - 1)
        return np.eye(states)[coordinate], "$z$" if states == 1 else f"$z_{{{coordinate + 1}}}$"
    weights = np.asarray(readout, float)
    if weights.shape != (states,) or not np.all(np.isfinite(weights)):
        raise ValueError(f"readout: expected {states} finite numbers, one for each state, got shape {weights.shape}.")
    return weights, "readout"


def _rounded(heights: np.ndarray, diagram: InputDiagram) -> np.ndarray:
    """Draw as 0 what is rounding beside the states: a unit that is silent all the way stays on its line."""
    rounding = 1e-13 * np.max(np.abs(diagram.points), initial=0)
    return np.where(np.abs(heights) <= rounding, 0.0, heights)


def _plural(looks: dict[str, Any]) -> dict[str, Any]:
    return {"colors": [looks["color"]], "linewidths": looks["lw"], "linestyles": [looks["ls"]]}
