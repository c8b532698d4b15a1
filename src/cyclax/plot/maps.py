"""Maps of two parameters: what attracts, how many cycles there are, and the bifurcations between."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from cyclax.core.checks import whole
from cyclax.grids.grid import cell_edges, geometric
from cyclax.grids.map import BifurcationMap
from cyclax.plot.edges import checked_segments, draw_edges
from cyclax.plot.style import BESIDE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Show = Literal["period", "counts", "stable", "exponent"]

# Fills: Okabe and Ito again, with yellow, which is too pale for lines only, and without black, which is chaos.
_FILLS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
# More than these: the discrete rainbow of Paul Tol (technical note SRON/EPS/TN/09-002, figure 18), in order, made to be
# told apart with every common kind of color vision.
_RAINBOW = [
    "#D1BBD7",
    "#BA8DB4",
    "#AA6F9E",
    "#994F88",
    "#882E72",
    "#1965B0",
    "#437DBF",
    "#6195CF",
    "#7BAFDE",
    "#4EB265",
    "#90C987",
    "#CAE0AB",
    "#F7F056",
    "#F7CB45",
    "#F4A736",
    "#EE8026",
    "#E65518",
    "#DC050C",
    "#A5170E",
    "#72190E",
]
_CHAOS, _APERIODIC, _DIVERGES, _UNKNOWN = "#000000", "0.6", "1.0", "0.93"
# An exponent this close to 0 is 0, after the thousand steps for which orbits are usually followed.
_ZERO = 2e-3
# Contraction below this exponent leaves next to nothing of float64's 16 digits after one step.
_AT_ONCE = -30.0
# Most colors for counts; beyond, several counts share one.
_MOST_COUNTS = 9
# Regions are labelled with what the legend says of them where they are this many cells wide, on a grid of at most
# `_COARSE` cells a side (each of the cells of a finer one is a cell of that).
_WIDE, _COARSE = 5, 128


def bifurcation_map(
    result: BifurcationMap,
    ax: "Axes | None" = None,
    *,
    show: Show | None = None,
    order: int | None = None,
    boundaries: bool | Mapping[str, Any] = True,
) -> "Axes":
    """Draw a map of two parameters.

    **Arguments:**

    - `result`: what `scan` returned for two parameters; the first is the horizontal axis. Positive values in geometric
      steps are drawn on a logarithmic axis.
    - `ax`: the matplotlib axes to draw in; by default those of a new pyplot figure.
    - `show`: what the colors say.
        - "period": the period of what attracts (the shortest where several orbits settle differently), and whether
          the rest is chaos, another motion that is not periodic, or escape to infinity. The default where the scan
          followed orbits.
        - "counts": the number of cycles. The default elsewhere.
        - "stable": the number of stable cycles.
        - "exponent": the largest Lyapunov exponent, in nats per step.
    - `order`: with "counts" and "stable", cycles of this order only; by default those of all orders.
    - `boundaries`: draw the bifurcations between cells, one kind of line for each type, where the result offers them;
      or line segments to draw, `{type: (n, 2, 2)}` in the coordinates of the parameters.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` and `ValueError` that
    name the argument.
    """
    require_map(result, "bifurcation_map")
    if len(result.shape) == 1:
        raise ValueError("plot.bifurcation_map: there is one parameter only; plot.bifurcation_diagram draws it.")
    if len(result.shape) != 2:
        raise ValueError(
            f"plot.bifurcation_map: a map shows two parameters, and this result has {len(result.shape)} "
            f"({', '.join(result.grid.names)}); scan two of them, with the others held in the model."
        )
    chosen = _checked_show(result, show)
    columns = list(range(len(result.orders))) if order is None else [_checked_order(result, order, chosen)]
    segments = checked_segments(boundaries) if isinstance(boundaries, Mapping) else {}
    if boundaries is True:
        segments = _segments_of(result)
    ax = axes_or_new(ax)
    searched = np.reshape(result.searched, result.shape)
    if chosen == "exponent":
        _draw_exponents(ax, result, searched)
    else:
        fill = _periods(result, searched) if chosen == "period" else _tallies(result, searched, chosen, columns)
        _draw_fill(ax, result, fill)
    ax.set(xlabel=parameter_name(result, 0), ylabel=parameter_name(result, 1))
    if segments:
        draw_edges(ax, segments, column=chosen != "exponent")
    return ax


def require_map(result: Any, name: str) -> None:
    """Refuse what is no map, in the name of a function of this room."""
    if not isinstance(result, BifurcationMap):
        raise TypeError(f"plot.{name}: result must be what scan returns, BifurcationMap, got {type(result).__name__}.")


def _checked_show(result: BifurcationMap, show: str | None) -> str:
    if show is None:
        return "period" if "period" in result.layers else "counts"
    if show not in get_args(Show):
        raise ValueError(f"show: expected one of {', '.join(get_args(Show))}, got {show!r}.")
    if show in ("period", "exponent") and show not in result.layers:
        raise ValueError(f"show: this scan followed no orbits, so there is no {show}; scan with orbit_steps above 0.")
    return show


def _checked_order(result: BifurcationMap, order: int, show: str) -> int:
    if show not in ("counts", "stable"):
        raise ValueError(f"order: only show='counts' and show='stable' are of one order, not show={show!r}.")
    if whole(order, "order") not in result.orders:
        known = ", ".join(map(str, result.orders))
        raise ValueError(f"order: {order!r} was not searched; the orders of this scan are {known}.")
    return result.orders.index(order)


def _segments_of(result: BifurcationMap) -> dict[str, np.ndarray]:
    offered = getattr(result, "boundaries", None)
    return {} if offered is None else checked_segments(offered().segments())


def parameter_name(result: BifurcationMap, axis: int) -> str:
    """Give what stands at an axis."""
    # A dollar sign would begin a formula.
    return result.grid.labels[axis].replace("$", r"\$")


@dataclasses.dataclass
class _Fill:
    """A category for each cell, and how categories are drawn; `(color, hatch, text)` each."""

    title: str
    category: np.ndarray
    looks: list[tuple[Any, str | None, str]]


def _periods(result: BifurcationMap, searched: np.ndarray) -> _Fill:
    period = np.asarray(result.layers["period"])
    present = np.unique(period[searched & (period > 0)]).tolist()
    colors = _palette(len(present))
    looks: list[tuple[Any, str | None, str]] = []
    category = np.zeros(result.shape, int)

    def add(where: np.ndarray, color: Any, text: str, hatch: str | None = None) -> None:
        if np.any(where):
            category[where] = len(looks)
            looks.append((color, hatch, text))

    for i, value in enumerate(present[: len(colors)]):
        rest = i == len(colors) - 1 and len(present) > len(colors)
        add(searched & ((period >= value) if rest else (period == value)), colors[i], f"{value}" + " or more" * rest)
    aperiodic = searched & (period == 0)
    chaos = aperiodic & (result.layers["exponent"] > _ZERO)
    add(chaos, _CHAOS, "chaos")
    add(aperiodic & ~chaos, _APERIODIC, "not settled, exponent 0")
    add(searched & (period < 0), _DIVERGES, "diverges")
    add(~searched, _UNKNOWN, "not searched", "////")
    return _Fill("period of the attractor", category, looks)


def _tallies(result: BifurcationMap, searched: np.ndarray, show: str, columns: list[int]) -> _Fill:
    tally = (result.counts if show == "counts" else result.stable_counts)[columns].sum(axis=0)
    most = int(np.max(tally, where=searched, initial=0))
    begins = _begins(most)
    # By brightness, so that more looks like more in every print; nothing is white.
    from matplotlib import colormaps

    shades = [colormaps["viridis_r"](i / max(len(begins) - 2, 1)) for i in range(len(begins) - 1)]
    names = [
        f"{a}" if a == b else f"{a} to {b}" for a, b in zip(begins, [*(b - 1 for b in begins[1:]), most], strict=True)
    ]
    kind = "stable cycles" if show == "stable" else "cycles"
    place = np.searchsorted(begins, tally, side="right") - 1
    looks: list[tuple[Any, str | None, str]] = []
    category = np.zeros(result.shape, int)
    for i, (color, name) in enumerate(zip(["1.0", *shades], names, strict=True)):
        here = searched & (place == i)
        if np.any(here):
            category[here] = len(looks)
            looks.append((color, None, name))
    if not np.all(searched):
        category[~searched] = len(looks)
        looks.append((_UNKNOWN, "////", "not searched"))
    orders = [result.orders[i] for i in columns]
    title = f"{kind} of order {_listed(orders)}"
    return _Fill(title, category, looks)


def _begins(most: int) -> list[int]:
    """The first count of each color: one color a count while they last, then counts that share one grow."""
    if most <= _MOST_COUNTS:
        return list(range(most + 1))
    begins = [0, 1]
    ratio = most ** (1 / (_MOST_COUNTS - 1))
    while len(begins) <= _MOST_COUNTS and begins[-1] < most:
        begins.append(max(begins[-1] + 1, round(begins[-1] * ratio)))
    return [begin for begin in begins if begin <= most]


def _listed(orders: Sequence[int]) -> str:
    if len(orders) > 2 and list(orders) == list(range(orders[0], orders[-1] + 1)):
        return f"{orders[0]} to {orders[-1]}"
    return ", ".join(map(str, orders[:8])) + (", .." if len(orders) > 8 else "")


def _palette(number: int) -> list[str]:
    if number <= len(_FILLS):
        return list(_FILLS[:number])
    if number >= len(_RAINBOW):
        return list(_RAINBOW)
    return [_RAINBOW[round(i)] for i in np.linspace(0, len(_RAINBOW) - 1, number)]


def _edges(values: np.ndarray, logarithmic: bool = False) -> np.ndarray:
    """Where cells meet, on a logarithmic axis or one that the values make so."""
    return cell_edges(values, logarithmic or geometric(values))


def _mesh(ax: "Axes", result: BifurcationMap) -> tuple[np.ndarray, np.ndarray]:
    """Give the edges of the cells along both axes, made logarithmic where positive values go in geometric steps."""
    x, y = result.grid.axes[0], result.grid.axes[-1]
    if geometric(x) and x[0] > 0:
        ax.set_xscale("log")
    if geometric(y) and y[0] > 0:
        ax.set_yscale("log")
    return _edges(x, ax.get_xscale() == "log"), _edges(y, ax.get_yscale() == "log")


def _draw_fill(ax: "Axes", result: BifurcationMap, fill: _Fill) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    x, y = _mesh(ax, result)
    colors = ListedColormap([color for color, _, _ in fill.looks])
    norm = BoundaryNorm(np.arange(len(fill.looks) + 1) - 0.5, len(fill.looks))
    # A million cells as vectors would make a file that no journal takes.
    ax.pcolormesh(x, y, fill.category.T, cmap=colors, norm=norm, rasterized=True)
    _hatch(ax, x, y, fill)
    for i, (color, hatch, text) in enumerate(fill.looks):
        place = None if hatch else _deepest(fill.category == i)
        if place is not None and not text.startswith("not settled"):
            column, row = (values[j] for values, j in zip(result.grid.axes, place, strict=True))
            ink = "white" if _luminance(color) < 0.35 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize="small", color=ink, clip_on=True)
    handles = [
        Patch(facecolor=color, edgecolor="0.5", linewidth=0.5, hatch=hatch, label=text)
        for color, hatch, text in fill.looks
    ]
    legend = ax.legend(handles=handles, title=fill.title, **BESIDE, ncols=1 if len(handles) <= 14 else 2)
    legend.get_title().set_fontsize("small")


def _hatch(ax: "Axes", x: np.ndarray, y: np.ndarray, fill: _Fill) -> None:
    from matplotlib.patches import Rectangle

    for i, (_, hatch, _) in enumerate(fill.looks):
        if hatch is None:
            continue
        # One rectangle for each run of cells in a column: what was not searched comes in few runs.
        for column, cells in enumerate(fill.category == i):
            steps = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype(int)))
            for begin, end in steps.reshape(-1, 2):
                left, low, width, height = x[column], y[begin], x[column + 1] - x[column], y[end] - y[begin]
                looks: dict[str, Any] = {"fill": False, "hatch": hatch, "edgecolor": "0.5", "linewidth": 0}
                ax.add_patch(Rectangle((float(left), float(low)), float(width), float(height), **looks))


def _deepest(inside: np.ndarray) -> tuple[int, int] | None:
    """The cell of a region that is furthest from what is not of it; None where the region is narrow."""
    strides = tuple(-(-size // _COARSE) for size in inside.shape)
    left = inside[:: strides[0], :: strides[1]]
    place, depth = None, 0
    while True:
        inner = np.argwhere(left)
        if not len(inner):
            break
        # Of equally deep cells the one nearest to their middle, as labels look best there.
        place = inner[np.argmin(np.sum((inner - np.mean(inner, axis=0)) ** 2, axis=1))]
        depth += 1
        walled = np.pad(left, 1)
        left = left & walled[:-2, 1:-1] & walled[2:, 1:-1] & walled[1:-1, :-2] & walled[1:-1, 2:]
    if place is None or 2 * depth - 1 < _WIDE:
        return None
    return int(place[0] * strides[0]), int(place[1] * strides[1])


def _luminance(color: Any) -> float:
    from matplotlib.colors import to_rgb

    return float(np.dot([0.2126, 0.7152, 0.0722], np.array(to_rgb(color)) ** 2.2))


def _draw_exponents(ax: "Axes", result: BifurcationMap, searched: np.ndarray) -> None:
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.patches import Patch

    exponent = np.where(searched, result.layers["exponent"], np.nan)
    finite = exponent[np.isfinite(exponent)]
    # Some cells contract at once (superstable cycles); they would make all others pale.
    slow = finite[finite > _AT_ONCE]
    low = min(float(np.quantile(slow, 0.02)), -1e-3) if len(slow) else -1.0
    high = max(float(np.max(finite)), 1e-3) if len(finite) else 1.0
    x, y = _mesh(ax, result)
    # A scale of its own on each side of 0: white is 0, orange is chaos.
    norm = TwoSlopeNorm(0.0, low, high)
    shown = np.ma.masked_invalid(np.where(np.isneginf(exponent), low, exponent))
    mesh = ax.pcolormesh(x, y, shown.T, cmap="PuOr_r", norm=norm, rasterized=True)
    ax.set_facecolor("0.85")
    extend = "min" if len(finite) and np.min(finite) < low else "neither"
    bar = ax.figure.colorbar(mesh, ax=ax, label="largest Lyapunov exponent (nats per step)", extend=extend, pad=0.02)
    # Ticks on both sides, however small one of them is.
    bar.set_ticks([low, low / 2, 0, high / 2, high])
    bar.ax.set_yticklabels([f"{tick:.2g}" for tick in (low, low / 2, 0, high / 2, high)])
    if len(finite) < exponent.size:
        text = "diverges" if np.all(searched) else "diverges, or not searched"
        handle = Patch(facecolor="0.85", edgecolor="0.5", linewidth=0.5, label=text)
        ax.legend(
            handles=[handle], frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
        )
