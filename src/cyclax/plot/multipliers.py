"""Multipliers in the complex plane: which cycles are stable, and how they would cease to be."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.cycles.cycle import Cycle
from cyclax.cycles.result import checked_cycles
from cyclax.plot.cycles import LOOKS, add_legend, grouped
from cyclax.plot.style import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where one multiplier is larger, distances from 0 beyond the unit circle are drawn as logarithms.
_FAR = 4.0


def multipliers(result: Sequence[Cycle], ax: "Axes | None" = None) -> "Axes":
    """Draw the multipliers of cycles in the complex plane, with the unit circle.

    Markers and colors are those of `cycles`: filled for stable cycles, open for all others (circles for saddles,
    squares for repellers, diamonds for neutral cycles). A stable cycle has all of its multipliers within the circle; it
    loses one through +1 where it meets another cycle, through -1 where its period doubles, and a pair elsewhere. Where
    one is larger than 4, the distance from 0 is linear up to 1 and logarithmic beyond, and dotted rings say how far.

    **Arguments:** `result`: what `find_cycles` returned, or some of these cycles. `ax`: the matplotlib axes to draw in;
    by default those of a new pyplot figure.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` for another result.
    """
    result = checked_cycles(result, "plot.multipliers: result")
    ax = axes_or_new(ax)
    values = np.concatenate([np.zeros(0), *(cycle.multipliers for cycle in result)])
    largest = float(np.max(np.abs(values), initial=1.0))
    far = largest > _FAR
    angle = np.exp(1j * np.linspace(0, 2 * np.pi, 721))
    for ring in [1.0, *(10.0 ** np.arange(1, np.ceil(np.log10(largest)) + 1) if far else ())]:
        circle = _radius(ring, far) * angle
        ax.plot(
            circle.real, circle.imag, color="0.4", lw=1 if ring == 1 else 0.6, ls="-" if ring == 1 else ":", zorder=1
        )
        if far:
            place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "x-small", "color": "0.3"}
            ax.text(0, _radius(ring, far), f"{ring:g}", bbox={"fc": "white", "ec": "none", "pad": 1}, **place)
    ax.axhline(0, color="0.85", lw=0.8, zorder=0)
    ax.axvline(0, color="0.85", lw=0.8, zorder=0)
    groups = grouped(result)
    for group in sorted(groups, key=lambda group: (group.stability == "stable", -group.order)):
        some = np.concatenate([result[i].multipliers for i in group.members])
        with np.errstate(invalid="ignore"):
            places = np.where(some == 0, 0, some / np.abs(some)) * _radius(np.abs(some), far)
        marker, _, filled = LOOKS[group.stability]
        looks: dict[str, Any] = {"ms": 5 if len(values) <= 100 else 3, "mew": 1.2, "mec": group.color, "ls": "none"}
        face = group.color if filled else "white"
        ax.plot(places.real, places.imag, marker=marker, mfc=face, zorder=4 if filled else 3, **looks)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="real part of the multiplier", ylabel="imaginary part")
    if far:
        ax.set(xticks=[], yticks=[], xlabel="multipliers: direction, and distance from 0", ylabel="")
    if groups:
        add_legend(ax, groups, rings=False, lines=False)
    return ax


def _radius(size: Any, far: bool) -> Any:
    """Give how far from 0 numbers of such a size are drawn."""
    return np.where(np.asarray(size) > 1, 1 + np.log(np.maximum(size, 1)), size) if far else size
