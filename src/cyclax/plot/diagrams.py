"""Bifurcation diagrams: where cycles are, against one parameter."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.core.checks import whole
from cyclax.grids.grid import geometric
from cyclax.grids.map import BifurcationMap
from cyclax.plot.maps import bifurcation_map, parameter_name, require_map
from cyclax.plot.style import BESIDE, axes_or_new, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = tuple[np.ndarray, np.ndarray]


def bifurcation_diagram(
    result: BifurcationMap,
    ax: "Axes | None" = None,
    *,
    coordinate: int = 0,
    attractor: Points | None = None,
) -> "Axes":
    """Draw where cycles are against one parameter.

    Stable cycles are solid lines, all others dashed; each order has a color. A line joins the points of one word in
    neighboring cells, so it ends, by one step of the grid too early, where the cycle meets a border. It changes its
    kind where the largest |multiplier|, between neighbors a straight line, is 1. A cycle in a single cell is a dot,
    open where it is not stable. Cycles far outside all others, on their way to infinity, do not set the limits.

    **Arguments:**

    - `result`: what `scan` returned for one parameter; positive values in geometric steps are drawn on a logarithmic
      axis.
    - `ax`: the matplotlib axes to draw in; by default those of a new pyplot figure.
    - `coordinate`: the state to draw, from 0.
    - `attractor`: simulated states to draw behind, as small grey dots: the values of the parameter `(n,)` and, for each
      of them, states `(n, points)`, or `(n, points, M)`, of which `coordinate` is taken; nan and inf are left out.
      `cyclax.attractor_points` gives them.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    require_map(result, "bifurcation_diagram")
    if len(result.shape) != 1:
        remedy = "plot.bifurcation_map draws it" if len(result.shape) == 2 else "scan one of them, the others held"
        raise ValueError(
            f"plot.bifurcation_diagram: the diagram shows one parameter, and this result has {len(result.shape)} "
            f"({', '.join(result.grid.names)}); {remedy}."
        )
    states = result.grid.model.num_states
    coordinate = whole(coordinate, "coordinate", 0, states - 1)
    behind = None if attractor is None else _checked_points(attractor, coordinate, states)
    ax = axes_or_new(ax)
    values = result.grid.axes[0]
    if geometric(values) and values[0] > 0:
        ax.set_xscale("log")
    branches = [b for k in result.orders for b in _branches(result, k, coordinate)]
    present = sorted({branch.order for branch in branches})
    colors = dict(zip(present, shades(len(present)), strict=True))
    if behind is not None:
        ax.plot(*behind, ",", color="0.55", alpha=0.5, zorder=1, rasterized=True)
    for branch in branches:
        branch.draw(ax, colors[branch.order])
    if not branches:
        ax.text(0.5, 0.5, "no cycles found", transform=ax.transAxes, ha="center", va="center")
    ax.set(xlabel=parameter_name(result, 0), ylabel="$z$" if states == 1 else f"$z_{{{coordinate + 1}}}$")
    ax.set_xlim(*sorted((values[0], values[-1])) if len(values) > 1 else (values[0] - 0.5, values[0] + 0.5))
    heights = [branch.heights for branch in branches] + ([] if behind is None else [behind[1]])
    _limit(ax, heights)
    _add_diagram_legend(ax, branches, colors, simulated=behind is not None)
    return ax


def scan_picture(result: BifurcationMap, ax: "Axes | None" = None, *, boundaries: bool = True) -> "Axes":
    """Draw a scan as is usual: one parameter as a diagram, two as a map.

    **Arguments:** `result`, `ax`, and for two parameters `boundaries`: as for `bifurcation_diagram`, `bifurcation_map`.

    **Returns:** the axes. **Raises:** what these two raise.
    """
    require_map(result, "scan_picture")
    if len(result.shape) == 1:
        return bifurcation_diagram(result, ax)
    return bifurcation_map(result, ax, boundaries=boundaries)


def _checked_points(attractor: Points, coordinate: int, states: int) -> Points:
    try:
        values, points = (np.asarray(part, float) for part in attractor)
    except (TypeError, ValueError):
        raise ValueError("attractor: expected two arrays, (parameter values, states).") from None
    right = values.ndim == 1 and points.ndim in (2, 3) and len(values) == len(points)
    if not right or (points.ndim == 3 and points.shape[2] != states):
        raise ValueError(
            f"attractor: expected values (n,) and states (n, points) or (n, points, {states}), got shapes "
            f"{values.shape} and {points.shape}."
        )
    if points.ndim == 3:
        points = points[:, :, coordinate]
    kept = np.isfinite(points)
    return np.broadcast_to(values[:, None], points.shape)[kept], points[kept]


@dataclasses.dataclass
class _Lines:
    """Lines of one order and stability: `(n, 2)` each, dots where there is one point only."""

    order: int
    stable: bool
    paths: list[np.ndarray]

    @property
    def heights(self) -> np.ndarray:
        return np.concatenate([path[:, 1] for path in self.paths])

    def draw(self, ax: "Axes", color: Any) -> None:
        from matplotlib.collections import LineCollection

        # Stable cycles in front, low orders before high ones: a crowd of saddles cannot bury them.
        zorder = (3.0 if self.stable else 2.0) + 0.9 / (1 + self.order)
        crowd = len(self.paths) > 200
        width = 1.6 if self.stable else 0.6 if crowd else 1.0
        looks: dict[str, Any] = {
            "colors": [color],
            "linewidths": width,
            "linestyles": ["-" if self.stable else (0, (4, 2))],
        }
        ax.add_collection(LineCollection([p for p in self.paths if len(p) > 1], zorder=zorder, **looks))
        dots = [path for path in self.paths if len(path) == 1]
        if dots:
            x, y = np.concatenate(dots).T
            face = color if self.stable else "none"
            ax.plot(x, y, "o", ms=2.5, mec=color, mfc=face, mew=0.5, zorder=zorder)


def _branches(result: BifurcationMap, order: int, coordinate: int) -> list[_Lines]:
    """All lines of one order, stable ones and others."""
    table, values = result.found[order], result.grid.axes[0]
    if not len(table.cell):
        return []
    bits = np.packbits(table.words.reshape(len(table.words), -1), axis=1)
    _, word = np.unique(bits, axis=0, return_inverse=True)
    turn = np.lexsort((table.cell, word.reshape(-1)))
    cell, word = table.cell[turn], word.reshape(-1)[turn]
    size = np.max(np.abs(table.multipliers[turn]), axis=1, initial=0.0)
    height, x = table.points[turn][:, :, coordinate], values[cell]
    paths: dict[bool, list[np.ndarray]] = {True: [], False: []}
    breaks = np.flatnonzero((np.diff(word) != 0) | (np.diff(cell) != 1)) + 1
    for rows in np.split(np.arange(len(cell)), breaks):
        for stable, points in _pieces(x[rows], height[rows], size[rows]):
            paths[stable] += [np.column_stack([points[:, 0], points[:, 1 + t]]) for t in range(order)]
    return [_Lines(order, stable, some) for stable, some in paths.items() if some]


def _pieces(x: np.ndarray, height: np.ndarray, size: np.ndarray) -> list[tuple[bool, np.ndarray]]:
    """Cut a branch where its stability changes: (stable, rows of x and heights)."""
    points = np.column_stack([x, height])
    stable = size < 1
    pieces, begin = [], points[:0]
    last = 0
    for i in np.flatnonzero(stable[1:] != stable[:-1]) + 1:
        part = (1 - size[i - 1]) / (size[i] - size[i - 1]) if np.isfinite(size[i - 1 : i + 1]).all() else 0.5
        cut = (1 - part) * points[i - 1 : i] + part * points[i : i + 1]
        pieces.append((bool(stable[i - 1]), np.concatenate([begin, points[last:i], cut])))
        begin, last = cut, i
    pieces.append((bool(stable[last]), np.concatenate([begin, points[last:]])))
    return pieces


def _limit(ax: "Axes", heights: list[np.ndarray]) -> None:
    """Set the vertical limits by what is not on its way to infinity."""
    if not heights:
        return
    everything = np.concatenate(heights)
    low, high = np.quantile(everything, [0.02, 0.98])
    slack = 1.5 * max(high - low, 1e-9 * max(abs(low), abs(high), 1.0))
    inside = everything[(everything >= low - slack) & (everything <= high + slack)]
    low, high = float(np.min(inside)), float(np.max(inside))
    pad = 0.05 * (high - low) or 0.5
    ax.set_ylim(low - pad, high + pad)


def _add_diagram_legend(ax: "Axes", branches: list[_Lines], colors: dict[int, Any], *, simulated: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=color, edgecolor="none", label=f"order {order}") for order, color in colors.items()
    ]
    kinds = {branch.stable for branch in branches}
    for stable, line, width in ((True, "-", 1.6), (False, (0, (4, 2)), 1.0)):
        if stable in kinds:
            handles.append(Line2D([], [], color="0.2", lw=width, ls=line, label="stable" if stable else "unstable"))
    if simulated:
        handles.append(Line2D([], [], ls="none", marker="o", ms=2, color="0.55", label="simulated"))
    if handles:
        ax.legend(handles=handles, **{**BESIDE, "handlelength": 2.2})
