"""Edges of a map, drawn: one color and one kind of line for each type of event."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.plot.style import BESIDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Every type has a color (Okabe and Ito, 2008) and a line of its own, for prints without color.
EVENTS: dict[str, tuple[str, Any]] = {
    "persistence": ("#56B4E9", (0, (1, 1))),
    "nonsmooth fold": ("#000000", "-"),
    "degenerate transcritical": ("#D55E00", (0, (5, 1.5))),
    "degenerate flip": ("#0072B2", (0, (5, 1.5, 1, 1.5))),
    "center": ("#CC79A7", (0, (3, 1, 1, 1, 1, 1))),
    "family": ("#E69F00", (0, (2, 1))),
    "border collision": ("#009E73", (0, (8, 2))),
    "unexplained": ("0.4", (0, (1, 2))),
}


def checked_segments(boundaries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Refuse what cannot be drawn; leave out what is empty."""
    segments = {name: np.asarray(some, float) for name, some in boundaries.items()}
    for name, some in segments.items():
        if name not in EVENTS:
            raise ValueError(f"boundaries: {name!r} is no type of event; these are {', '.join(EVENTS)}.")
        if some.ndim != 3 or some.shape[1:] != (2, 2):
            raise ValueError(f"boundaries: expected segments (n, 2, 2) of type {name!r}, got shape {some.shape}.")
    return {name: some for name, some in segments.items() if len(some)}


def draw_edges(ax: "Axes", segments: dict[str, np.ndarray], *, column: bool) -> None:
    """Draw line segments `{type: (n, 2, 2)}`, in the coordinates of the parameters, with a legend of types."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import Normal, Stroke

    # A white rim keeps a line visible on every color, and lines of different types apart.
    rim = [Stroke(linewidth=2.6, foreground="white"), Normal()]
    handles = []
    for name, (color, line) in EVENTS.items():
        if name not in segments:
            continue
        chains = _chained(segments[name], [axis.get_scale() == "log" for axis in (ax.xaxis, ax.yaxis)])
        ax.add_collection(
            LineCollection(chains, colors=["white"], linewidths=2.6, zorder=3, capstyle="butt"), autolim=False
        )
        looks: dict[str, Any] = {"colors": [color], "linestyles": [line], "linewidths": 1.4, "zorder": 3.5}
        ax.add_collection(LineCollection(chains, **looks), autolim=False)
        handles.append(Line2D([], [], color=color, ls=line, lw=1.4, label=name, path_effects=rim))
    first = ax.get_legend()
    style = {**BESIDE, "handlelength": 3.2}
    if column:
        # Below the legend of colors; its height is known only once it is laid out.
        style |= {"loc": "lower left", "bbox_to_anchor": (1.01, 0.0)}
    else:
        style |= {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 3, "alignment": "center"}
    legend = ax.legend(handles=handles, title="bifurcations" if column else None, **style)
    legend.get_title().set_fontsize("small")
    if first is not None:
        ax.add_artist(first)
        # Adding clips to the axes, beside which the legend stands; what is clipped is left out of a tight box.
        first.set_clip_path(None)
        first.set_clip_on(False)


def _chained(segments: np.ndarray, logarithmic: Sequence[bool] = (False, False)) -> list[np.ndarray]:
    """Join segments at shared ends: dashes would begin anew with every segment of a cell's length."""
    shown = np.stack([np.log(segments[..., i]) if logarithmic[i] else segments[..., i] for i in (0, 1)], axis=-1)
    scale = np.ptp(shown.reshape(-1, 2), axis=0)
    # Ends that are a rounding error apart are one.
    rounded = np.round(shown / np.where(scale > 0, scale, 1), 9)
    _, node = np.unique(rounded.reshape(-1, 2), axis=0, return_inverse=True)
    ends = node.reshape(-1, 2)
    place, drawn = np.zeros((2, int(np.max(node)) + 1, 2))
    place[ends], drawn[ends] = shown, segments
    at: list[list[int]] = [[] for _ in place]
    for i, (a, b) in enumerate(ends.tolist()):
        at[a].append(i)
        at[b].append(i)
    unused = np.ones(len(ends), bool)
    chains = []

    def walk(begin: int) -> None:
        # Straight on at junctions, so that crossing lines stay two lines.
        chain, here, before = [begin], begin, None
        while True:
            options = [i for i in at[here] if unused[i]]
            if not options:
                break
            nexts = [int(ends[i][0] + ends[i][1] - here) for i in options]
            if before is not None and len(options) > 1:
                turn = [float(np.dot(place[n] - place[here], place[here] - place[before])) for n in nexts]
                pick = int(np.argmax(turn))
            else:
                pick = 0
            unused[options[pick]] = False
            before, here = here, nexts[pick]
            chain.append(here)
        if len(chain) > 1:
            chains.append(drawn[chain])

    # From loose ends and junctions first; what is left are closed loops.
    for begin in [i for i, some in enumerate(at) if len(some) % 2] + list(range(len(at))):
        while any(unused[i] for i in at[begin]):
            walk(begin)
    return chains
