"""Cycles in state space: where they are, in which order they are visited, and which of them are stable."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.core.checks import whole
from cyclax.cycles.cycle import Cycle
from cyclax.cycles.result import Cycles, checked_cycles
from cyclax.plot.style import COLORS, axes_or_new, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marker, line style, filled. The shape says it once more, for prints without color.
LOOKS: dict[str, tuple[str, Any, bool]] = {
    "stable": ("o", "-", True),
    "saddle": ("o", (0, (4, 2)), False),
    "repeller": ("s", (0, (4, 2)), False),
    "neutral": ("D", (0, (1, 2)), False),
}
_MOST_ENTRIES = 9
# Beyond so many points arrows hide more than they show.
_CROWDED = 400
# Steps shorter than this share of the picture get no arrowhead: it would cover their points.
_SHORTEST_WITH_HEAD = 0.03


def cycles(result: Sequence[Cycle], ax: "Axes | None" = None, *, components: Sequence[int] | None = None) -> "Axes":
    """Draw cycles in state space.

    Stable cycles have filled markers and solid lines, all others open markers and dashed lines (circles for saddles,
    squares for repellers, diamonds for neutral cycles). Lines with arrows lead from each point to the next, and a ring
    marks `points[0]`. Up to seven cycles have a color each; more share one for each order, without rings, and without
    arrows where there are very many points. `result.degenerate` is not drawn.

    **Arguments:**

    - `result`: what `find_cycles` returned, or some of these cycles.
    - `ax`: the matplotlib axes to draw in; by default those of a new pyplot figure.
    - `components`: two states to draw, such as (0, 3) for the first and the fourth. By default both states of a map of
      the plane; the first two principal components of all points where there are more; and, where there is one state,
      that state against the phase along the cycle (with more than seven cycles, in one column for each order).

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    result = checked_cycles(result, "plot.cycles: result")
    chosen = None if components is None else _checked_components(components, result)
    ax = axes_or_new(ax)
    if not len(result):
        orders = f"{result.orders[0]}" if len(result.orders) == 1 else f"{result.orders[0]} to {result.orders[-1]}"
        ax.text(0.5, 0.5, f"no cycles found (orders {orders})", transform=ax.transAxes, ha="center", va="center")
        ax.set(xticks=[], yticks=[])
        return ax
    from matplotlib.ticker import MaxNLocator

    plane = result[0].points.shape[1] > 1
    groups = grouped(result)
    paths, labels = _coordinates(result, chosen)
    # The phase shows where a cycle of a map with one state begins; in a crowd, rings would hide others.
    rings = plane and len(result) <= len(COLORS) and any(cycle.order > 1 for cycle in result)
    _draw(ax, groups, paths, closed=plane, rings=rings)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    if not plane:
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.margins(0.07)
    add_legend(ax, groups, rings=rings)
    return ax


def _checked_components(components: Sequence[int], result: Cycles) -> tuple[int, int]:
    try:
        first, second = components
    except (TypeError, ValueError):
        raise ValueError(f"components: expected two indices of states, such as (0, 1), got {components!r}.") from None
    first, second = (whole(i, "components", None) for i in (first, second))
    states = result[0].points.shape[1] if len(result) else max(first, second) + 1
    if states == 1:
        raise ValueError("components: there is one state only, drawn against the phase; leave components out.")
    for i in (first, second):
        if not 0 <= i < states:
            raise ValueError(f"components: {i} is not a state; these cycles have states 0 to {states - 1}.")
    return first, second


@dataclasses.dataclass
class Group:
    """Cycles that are drawn alike and share an entry of the legend."""

    order: int
    stability: str
    members: list[int]
    label: str = ""
    color: Any = None


def grouped(result: Cycles) -> list[Group]:
    """Give one group a cycle while the colors last; else one for each order and stability."""
    if len(result) <= len(COLORS):
        return [Group(c.order, c.stability, [i], _label(c), COLORS[i]) for i, c in enumerate(result)]
    groups: dict[tuple[int, str], Group] = {}
    for i, cycle in enumerate(result):
        kind = (cycle.order, cycle.stability)
        groups.setdefault(kind, Group(*kind, [])).members.append(i)
    orders = sorted({order for order, _ in groups})
    colors = dict(zip(orders, shades(len(orders)), strict=True))
    for group in groups.values():
        group.color = colors[group.order]
        if len(group.members) == 1:
            group.label = _label(result[group.members[0]])
        else:
            group.label = f"order {group.order}, {group.stability}, {len(group.members)} cycles"
    return list(groups.values())


def _label(cycle: Cycle) -> str:
    largest = float(np.max(np.abs(cycle.multipliers)))
    # Near 1, two digits would say "stable, 1".
    digits = f"{largest:.2g}" if abs(largest - 1) > 0.05 else f"{largest:.6g}"
    return f"order {cycle.order}, {cycle.stability}, |multiplier| {digits}"


def _coordinates(result: Cycles, chosen: tuple[int, int] | None) -> tuple[list[np.ndarray], tuple[str, str]]:
    """Where each point goes on paper, `(k, 2)` for each cycle, and the names of the axes."""
    states = result[0].points.shape[1]
    if states == 1:
        if len(result) <= len(COLORS):
            return [np.column_stack([np.arange(c.order), c.points[:, 0]]) for c in result], ("phase", "$z$")
        spread = [c.order + 0.7 * (np.arange(c.order) / max(c.order - 1, 1) - 0.5) * (c.order > 1) for c in result]
        return [np.column_stack([x, c.points[:, 0]]) for x, c in zip(spread, result, strict=True)], (
            "order (within each: phase)",
            "$z$",
        )
    if chosen is None and states == 2:
        chosen = (0, 1)
    everything = np.concatenate([cycle.points for cycle in result])
    mean = np.mean(everything, axis=0)
    if chosen is None and np.any(everything != mean):
        _, sizes, axes = np.linalg.svd(everything - mean, full_matrices=False)
        shares = np.append(sizes**2, 0.0) / np.sum(sizes**2)
        axes = np.concatenate([axes, np.zeros((1, states))])[:2]
        # The sign is arbitrary: make it the same on every machine.
        axes *= np.where(axes[np.arange(2), np.argmax(np.abs(axes), axis=1)] < 0, -1, 1)[:, None]
        names = tuple(f"principal component {i + 1} ({100 * shares[i]:.0f} % of variance)" for i in range(2))
        return [(cycle.points - mean) @ axes.T for cycle in result], (names[0], names[1])
    i, j = chosen or (0, 1)
    return [cycle.points[:, [i, j]] for cycle in result], (f"$z_{{{i + 1}}}$", f"$z_{{{j + 1}}}$")


def _draw(ax: "Axes", groups: list[Group], paths: list[np.ndarray], *, closed: bool, rings: bool) -> None:
    from matplotlib.collections import LineCollection

    total = sum(map(len, paths))
    size = 5.0 if total <= 150 else 3.5 if total <= 1000 else 2.0
    extent = np.ptp(np.concatenate(paths), axis=0)
    # Stable cycles come last and low orders after high ones, so that a crowd cannot bury them.
    for group in sorted(groups, key=lambda group: (group.stability == "stable", -group.order)):
        marker, line, filled = LOOKS[group.stability]
        mine = [paths[i] for i in group.members]
        if group.order > 1:
            # The way back of a 2-cycle would fill the gaps of its dashes.
            orbits = [np.concatenate([path, path[:1]]) if closed and len(path) > 2 else path for path in mine]
            width, alpha = (0.9, 0.6) if total <= 150 else (0.5, 0.3) if total <= 1000 else (0.4, 0.15)
            # One collection for all cycles of a group: 500 cycles are drawn as fast as five.
            looks: dict[str, Any] = {"colors": [group.color], "linestyles": [line], "linewidths": width, "alpha": alpha}
            ax.add_collection(LineCollection(orbits, zorder=2, **looks))
            if total <= _CROWDED:
                for path in mine:
                    whole = np.concatenate([path, path[:1]]) if closed else path
                    _arrowheads(ax, whole, extent, color=group.color, alpha=1 if total <= 150 else 0.5)
        # Larger where open: a saddle right beside a stable cycle, as after a fold, shows as a rim around it.
        ax.plot(
            *np.concatenate(mine).T,
            marker,
            ms=size if filled else 1.4 * size,
            mfc=group.color if filled else "white",
            mec=group.color,
            mew=0.25 * size,
            zorder=4 if filled else 3,
        )
        if rings and group.order > 1:
            ax.plot(*mine[0][0], "o", ms=2.6 * size, mfc="none", mec=group.color, mew=1.2, zorder=5)


def _arrowheads(ax: "Axes", orbit: np.ndarray, extent: np.ndarray, **looks: Any) -> None:
    """Heads of one size beyond the middle of each step, so that those of a 2-cycle do not meet."""
    step = np.diff(orbit, axis=0)
    seen = np.linalg.norm(step / np.where(extent > 0, extent, 1), axis=1)
    kept = seen >= min(_SHORTEST_WITH_HEAD, np.max(seen))
    step, length = step[kept], np.linalg.norm(step[kept], axis=1, keepdims=True)
    ax.quiver(
        *(orbit[:-1][kept] + 0.6 * step).T,
        *(step / np.where(length > 0, length, 1)).T,
        **looks,
        pivot="tip",
        angles="xy",
        units="inches",
        scale_units="inches",
        scale=1 / 0.085,
        width=0.01,
        headwidth=6,
        headlength=8.5,
        headaxislength=7,
        zorder=2.5,
    )


def add_legend(ax: "Axes", groups: list[Group], *, rings: bool, lines: bool = True) -> None:
    """Beside the axes, where it hides nothing. Where it would be too long, stable cycles stay in it."""
    from matplotlib.lines import Line2D

    shown = groups
    if len(groups) > _MOST_ENTRIES + 1:
        ranks = sorted(range(len(groups)), key=lambda i: (groups[i].stability != "stable", i))
        shown = [groups[i] for i in sorted(ranks[:_MOST_ENTRIES])]
    handles = []
    for group in shown:
        marker, line, filled = LOOKS[group.stability]
        style: dict[str, Any] = {
            "ls": line if lines and group.order > 1 else "none",
            "mfc": group.color if filled else "white",
        }
        handles.append(Line2D([], [], color=group.color, marker=marker, ms=5, lw=1.0, label=group.label, **style))
    if len(shown) < len(groups):
        left_out = sum(len(group.members) for group in groups) - sum(len(group.members) for group in shown)
        handles.append(Line2D([], [], ls="none", label=f".. and {left_out} more cycles"))
    if rings:
        handles.append(Line2D([], [], ls="none", marker="o", ms=10, mfc="none", mec="0.4", label="first point"))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    ax.legend(handles=handles, frameon=False, fontsize="small", handlelength=2.6, **place)
