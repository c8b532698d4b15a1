"""Training, tracked: the loss, its gradient, the cycles, and the bifurcations, one above the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.bifurcations.tracked import Track
from cyclax.plot.edges import BESIDE, EVENTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Most orders that have a row of their own.
_MOST_ROWS = 24


def track(result: Track, axes: "Sequence[Axes] | None" = None, *, persistence: bool = False) -> "list[Axes]":
    """Draw a tracked sequence of models: loss, norm of the gradient, cycles of each order, and events.

    Events are vertical lines through all panels, one kind for each type. A jump of the loss is a filled triangle where
    a bifurcation lies within one step of it, else an open one. The colors of the lowest panel say how many cycles of
    each order there are, a number in a cell of its own where the count changes.

    **Arguments:**

    - `result`: what `track` returned.
    - `axes`: as many axes as there are panels (loss and gradient only where they were given, then the cycles); by
      default those of a new pyplot figure.
    - `persistence`: draw also cycles that cross a border and persist; these are many, and change no stability.

    **Returns:** the axes, from the top.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    if not isinstance(result, Track):
        raise TypeError(f"plot.track: result must be what track returns, Track, got {type(result).__name__}.")
    series = [
        (name, values)
        for name, values in (("loss", result.losses), ("norm of the gradient", result.gradient_norms))
        if values is not None
    ]
    chosen = _new_axes(len(series), result) if axes is None else list(axes)
    if len(chosen) != len(series) + 1:
        raise ValueError(f"axes: this track has {len(series) + 1} panels, got {len(chosen)} axes.")
    for ax, (name, values) in zip(chosen, series, strict=False):
        _draw_series(ax, name, values)
    if result.losses is not None:
        _draw_jumps(chosen[0], result)
    if result.gradient_norms is not None:
        peaks = result.peaks
        chosen[len(series) - 1].plot(peaks, result.gradient_norms[peaks], ".", color="k", ms=5, label="peak")
    _draw_counts(chosen[-1], result)
    shown = [event for event in result.events if persistence or event.type != "persistence"]
    _draw_events(chosen, shown)
    for ax in chosen:
        ax.set_xlim(-0.5, len(result) - 0.5)
        ax.tick_params(labelbottom=ax is chosen[-1])
    chosen[-1].set_xlabel("model")
    return chosen


def _new_axes(number: int, result: Track) -> "list[Axes]":
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'cyclax[plot]'.") from error
    rows = min(len(_shown_orders(result)), _MOST_ROWS)
    heights = [*[1.6] * number, max(1.3, 0.6 + 0.22 * rows)]
    size = (9.0, sum(heights) + 1.0)
    ratios: dict[str, Any] = {"height_ratios": heights}
    _, axes = plt.subplots(number + 1, 1, figsize=size, sharex=True, gridspec_kw=ratios, layout="constrained")
    return list(np.atleast_1d(axes))


def _draw_series(ax: "Axes", name: str, values: np.ndarray) -> None:
    ax.plot(np.arange(len(values)), values, color="0.2", lw=1.0)
    finite = values[np.isfinite(values)]
    if len(finite) and np.min(finite) > 0:
        ax.set_yscale("log")
    ax.set_ylabel(name)


def _draw_jumps(ax: "Axes", result: Track) -> None:
    for jump in result.jumps:
        explained = any(event.type != "persistence" for event in jump.events)
        up = jump.after > jump.before
        look: dict[str, Any] = {"marker": "^" if up else "v", "color": "k", "ms": 6, "ls": "none", "zorder": 4}
        ax.plot(jump.step + 0.5, jump.after, mfc="k" if explained else "white", **look)


def _shown_orders(result: Track) -> list[int]:
    """The orders of which some model has a cycle."""
    some = [order for order, row in zip(result.orders, result.cycles.counts, strict=True) if row.any()]
    return some or list(result.orders[:1])


def _draw_counts(ax: "Axes", result: Track) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    orders = _shown_orders(result)[:_MOST_ROWS]
    rows = [result.orders.index(order) for order in orders]
    counts = np.where(result.cycles.searched, result.cycles.counts[rows], -1)
    most = max(int(counts.max()), 1)
    shades = [colormaps["viridis_r"](0.15 + 0.75 * i / max(most - 1, 1)) for i in range(most)]
    colors = ListedColormap(["0.85", "white", *shades])
    norm = BoundaryNorm(np.arange(-1.5, most + 1), most + 2)
    edges = np.arange(len(result) + 1) - 0.5
    ax.set_yticks(range(len(orders)), [str(order) for order in orders])
    ax.set_ylabel("order")
    ax.invert_yaxis()
    for height in np.arange(1, len(orders)) - 0.5:
        ax.axhline(height, color="0.8", lw=0.5)
    ax.pcolormesh(edges, np.arange(len(orders) + 1) - 0.5, counts, cmap=colors, norm=norm, rasterized=True)
    some = sorted({round(tick) for tick in np.linspace(0, most, min(most, 7) + 1)})
    handles = [Patch(facecolor=colors(number + 1), edgecolor="0.5", lw=0.5, label=str(number)) for number in some]
    if result.gaps:
        handles.append(Patch(facecolor="0.85", edgecolor="0.5", lw=0.5, label="gap"))
    legend = ax.legend(handles=handles, title="cycles", **BESIDE)
    legend.get_title().set_fontsize("small")


def _draw_events(axes: "list[Axes]", events: list[Any]) -> None:
    from matplotlib.lines import Line2D

    present = {event.type for event in events}
    for ax in axes:
        for event in events:
            color, line = EVENTS[event.type]
            ax.axvline(event.at, color=color, ls=line, lw=1.0, alpha=0.9, zorder=0.5 if ax is not axes[-1] else 3)
    handles = [
        Line2D([], [], color=color, ls=line, lw=1.4, label=name)
        for name, (color, line) in EVENTS.items()
        if name in present
    ]
    if handles:
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": 3, "handlelength": 3.2}
        axes[0].legend(handles=handles, **{**BESIDE, **above})
