"""Training, tracked: the loss, its gradient, the cycles, and the bifurcations, one above the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.core.extras import extra
from cyclax.plot.edges import EVENTS
from cyclax.plot.style import BESIDE
from cyclax.tracking.result import Track, is_bifurcation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Most orders that have a row of their own.
_MOST_ROWS = 24


def track(
    result: Track,
    axes: "Sequence[Axes] | None" = None,
    *,
    persistence: bool = False,
    span: tuple[int, int] | None = None,
) -> "list[Axes]":
    """Draw a tracked sequence of models: loss, norm of the gradient, cycles of each order, and events.

    Events are vertical lines through all panels, one kind for each type. A jump of the loss is a filled triangle where
    a bifurcation lies within one step of it, else an open one. The colors of the lowest panel say how many cycles of
    each order there are; a dark bar at the foot of a row, where one of them is stable.

    **Arguments:**

    - `result`: what `track` returned.
    - `axes`: as many axes as there are panels (loss and gradient only where they were given, then the cycles); by
      default those of a new pyplot figure.
    - `persistence`: draw also cycles that cross a border and go on as they were; these are many. Where a cycle has
      other stability beyond its border, or a flip, it is always drawn.
    - `span`: the first and the last model that are shown; all by default.

    **Returns:** the axes, from the top.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    if not isinstance(result, Track):
        raise TypeError(f"plot.track: result must be what track returns, Track, got {type(result).__name__}.")
    first, last = (0, len(result) - 1) if span is None else span
    if not 0 <= first <= last < len(result):
        raise ValueError(f"span: expected two of the models 0 to {len(result) - 1} in their order, got {span}.")
    series = [
        (name, values)
        for name, values in (("loss", result.losses), ("norm of the gradient", result.gradient_norms))
        if values is not None
    ]
    chosen = _new_axes(len(series), result, first, last) if axes is None else list(axes)
    if len(chosen) != len(series) + 1:
        raise ValueError(f"axes: this track has {len(series) + 1} panels, got {len(chosen)} axes.")
    for ax, (name, values) in zip(chosen, series, strict=False):
        _draw_series(ax, name, values, first, last)
    if result.losses is not None:
        _draw_jumps(chosen[0], result, first, last)
    if result.gradient_norms is not None:
        _draw_peaks(chosen[len(series) - 1], result, first, last)
    _draw_counts(chosen[-1], result, first, last)
    shown = [event for event in result.events if persistence or event.type != "persistence" or is_bifurcation(event)]
    _draw_events(chosen, [event for event in shown if first - 0.5 <= event.at <= last + 0.5])
    for ax in chosen:
        ax.set_xlim(first - 0.5, last + 0.5)
        ax.tick_params(labelbottom=ax is chosen[-1])
    chosen[-1].set_xlabel("model")
    return chosen


def _new_axes(number: int, result: Track, first: int, last: int) -> "list[Axes]":
    plt = extra("matplotlib.pyplot", "plot", "pictures need")
    rows = min(len(_shown_orders(result, first, last)), _MOST_ROWS)
    heights = [*[1.6] * number, max(0.45, 0.3 + 0.25 * rows)]
    size = (8.0, sum(heights) + 1.4)
    ratios: dict[str, Any] = {"height_ratios": heights}
    _, axes = plt.subplots(number + 1, 1, figsize=size, sharex=True, gridspec_kw=ratios, layout="constrained")
    return list(np.atleast_1d(axes))


def _draw_series(ax: "Axes", name: str, values: np.ndarray, first: int, last: int) -> None:
    ax.plot(np.arange(len(values)), values, color="0.2", lw=1.0)
    seen = values[first : last + 1]
    seen = seen[np.isfinite(seen)]
    if len(seen):
        low, high = np.min(seen), np.max(seen)
        if low > 0:
            ax.set_yscale("log")
            if low > 1e-4 and high < 1e5:
                _spell_out(ax)
            room = max(high / low, 1.2) ** 0.1
            ax.set_ylim(low / room, high * room)
        elif high > low:
            ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    ax.set_ylabel(name)


def _spell_out(ax: "Axes") -> None:
    """Write 0.02 and 500 on the axis, not powers of ten with a factor; between decades only where these are few."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x, pos=None):
            return f"{x:g}" if super().__call__(x, pos) else ""

    ax.yaxis.set_major_formatter(Plain())
    ax.yaxis.set_minor_formatter(Plain(minor_thresholds=(1.0, 0.4)))
    ax.tick_params(axis="y", which="minor", labelsize="small")


def _draw_jumps(ax: "Axes", result: Track, first: int, last: int) -> None:
    drawn = set()
    for jump in result.jumps:
        if jump.last < first or jump.first > last:
            continue
        explained = any(map(is_bifurcation, jump.events))
        # In the middle of its largest step, on the line as it is drawn.
        ends = np.asarray(result.losses)[jump.step : jump.step + 2]
        middle = np.sqrt(np.prod(ends)) if ax.get_yscale() == "log" else np.mean(ends)
        look: dict[str, Any] = {"marker": "^" if jump.after > jump.before else "v", "color": "k", "ms": 6, "ls": "none"}
        ax.plot(jump.step + 0.5, middle, mfc="k" if explained else "white", zorder=4, **look)
        drawn.add(explained)
    named = ((True, "jump, a bifurcation within one step"), (False, "jump, no bifurcation within one step"))
    _annotate(
        ax, [({"marker": "^", "mfc": "k" if is_in else "white"}, text) for is_in, text in named if is_in in drawn]
    )


def _draw_peaks(ax: "Axes", result: Track, first: int, last: int) -> None:
    peaks = [peak for peak in result.peaks if first <= peak <= last]
    ax.plot(peaks, np.asarray(result.gradient_norms)[peaks], "o", color="k", ms=3.5, zorder=4)
    _annotate(ax, [({"marker": "o", "ms": 3.5}, "peak")] if peaks else [])


def _annotate(ax: "Axes", marks: list[tuple[dict[str, Any], str]]) -> None:
    """Say inside the panel what its marks are."""
    from matplotlib.lines import Line2D

    if marks:
        handles = [Line2D([], [], **{"color": "k", "ls": "none", "ms": 6, **look}, label=text) for look, text in marks]
        ax.add_artist(ax.legend(handles=handles, fontsize="small", loc="best", framealpha=0.9, edgecolor="none"))


def _shown_orders(result: Track, first: int, last: int) -> list[int]:
    """The orders of which some model has a cycle."""
    counts = result.cycles.counts[:, first : last + 1]
    some = [order for order, row in zip(result.orders, counts, strict=True) if row.any()]
    return some or list(result.orders[:1])


def _draw_counts(ax: "Axes", result: Track, first: int, last: int) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    orders = _shown_orders(result, first, last)[:_MOST_ROWS]
    rows = [result.orders.index(order) for order in orders]
    models, searched = slice(first, last + 1), result.cycles.searched[first : last + 1]
    counts = np.where(searched, result.cycles.counts[rows, models], -1)
    stable = searched & (result.cycles.stable_counts[rows, models] > 0)
    most = max(int(counts.max()), 1)
    # Light enough that the lines of all events stand out.
    shades = [colormaps["YlGnBu"](0.18 + 0.42 * i / max(most - 1, 1)) for i in range(most)]
    colors = ListedColormap(["0.75", "white", *shades])
    norm = BoundaryNorm(np.arange(-1.5, most + 1), most + 2)
    edges = np.arange(first, last + 2) - 0.5
    ax.set_yticks(range(len(orders)), [str(order) for order in orders])
    ax.set_ylabel("order")
    ax.invert_yaxis()
    for height in np.arange(1, len(orders)) - 0.5:
        ax.axhline(height, color="0.8", lw=0.5)
    ax.pcolormesh(edges, np.arange(len(orders) + 1) - 0.5, counts, cmap=colors, norm=norm, rasterized=True)
    for height, row in enumerate(stable):
        change = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(int)))
        runs = [(first + begin - 0.5, end - begin) for begin, end in change.reshape(-1, 2).tolist()]
        ax.broken_barh(runs, (height + 0.38, 0.12), color="0.15", lw=0, rasterized=True)
    some = sorted({round(tick) for tick in np.linspace(0, most, min(most, 5) + 1)})
    handles = [Patch(facecolor="none", edgecolor="none", label="cycles:")]
    handles += [Patch(facecolor=colors(number + 1), edgecolor="0.5", lw=0.5, label=str(number)) for number in some]
    if np.any(stable):
        handles.append(Patch(facecolor="0.15", edgecolor="none", label="at the foot: some stable"))
    if not np.all(searched):
        handles.append(Patch(facecolor="0.75", edgecolor="0.5", lw=0.5, label="gap"))
    # In one line below the label of the axis, whatever the height of the panel.
    below: dict[str, Any] = {"bbox_to_anchor": (0, 0), "borderaxespad": 5.0, "ncols": len(handles)}
    ax.legend(handles=handles, handlelength=1.2, columnspacing=1.2, **{**BESIDE, **below})


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
