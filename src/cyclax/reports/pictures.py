"""The pictures of a page: drawn by `plot`, and turned into addresses that hold them whole."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax import plot
from cyclax.core.extras import extra
from cyclax.plot.style import BESIDE, COLORS, new_axes

if TYPE_CHECKING:
    from cyclax.reports.result import Report

# Lines stay sharp in print; a crowd that would take more bytes so is put in as dots.
_MOST_BYTES, _DOTS_PER_INCH = 500_000, 160
# Told apart without color, too.
_MARKERS = ("o", "s", "^", "D", "v", "x", "+")


def state_space(report: "Report") -> str | None:
    """Draw the cycles, and in grey the orbits of attractors that are none; None where there is nothing to draw."""
    result, axes = report.cycles, new_axes(shown=False)
    orbits = [one.orbit for one in report.exponents if one.orbit is not None]
    found = [cycle.points for cycle in result or ()]
    if not found and not orbits:
        return None
    states = (found or orbits)[0].shape[1]
    plane, looks = None, {"marker": ".", "ls": "none", "ms": 1.2, "color": "0.55", "zorder": 1, "rasterized": True}
    if orbits and states > 1:
        spread = np.std(np.concatenate(found + orbits), axis=0)
        plane = tuple(sorted(np.argsort(-spread, kind="stable")[:2].tolist()))
        for orbit in orbits:
            axes.plot(*orbit[:, plane].T, **looks)
        axes.set(xlabel=f"$z_{{{plane[0] + 1}}}$", ylabel=f"$z_{{{plane[1] + 1}}}$")
    elif orbits and not found:
        axes.plot(orbits[0][:-1, 0], orbits[0][1:, 0], **looks)
        axes.set(xlabel="$z$", ylabel="$z$ one step later")
    return _address(plot.cycles(result, axes, components=plane) if found and result is not None else axes)


def multipliers(report: "Report") -> str | None:
    """Draw the multipliers of the cycles."""
    if not report.cycles:
        return None
    return _address(plot.multipliers(report.cycles, new_axes(shown=False)))


def exponents(report: "Report") -> str | None:
    """Draw the exponents of the attractors by rank; those of -inf are left out."""
    drawn = [one for one in report.exponents if np.any(np.isfinite(one.values))]
    if not drawn:
        return None
    from matplotlib.ticker import MaxNLocator

    axes = new_axes(shown=False)
    axes.axhline(0, color="0.6", lw=0.8)
    for one, color, marker in zip(drawn, COLORS, _MARKERS, strict=False):
        heights = np.where(np.isfinite(one.values), one.values, np.nan)
        label, face = f"attractor {one.attractor + 1}", color if marker in "x+" else "white"
        axes.plot(
            np.arange(1, len(heights) + 1), heights, marker=marker, ms=4, mfc=face, color=color, lw=1, label=label
        )
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set(xlabel="rank of the exponent", ylabel="Lyapunov exponent (nats per step)")
    axes.legend(**BESIDE, title=None if len(drawn) <= len(COLORS) else f"first {len(COLORS)} of {len(drawn)}")
    return _address(axes)


def _address(axes: Any) -> str:
    """Give the picture as an address with all of it inside: the same bytes for the same picture."""
    rc_context = extra("matplotlib", "plot", "pictures need").rc_context
    vector, dots = io.BytesIO(), io.BytesIO()
    looks: dict[str, Any] = {"bbox_inches": "tight", "dpi": _DOTS_PER_INCH}
    with rc_context({"svg.hashsalt": "cyclax"}):
        axes.figure.figure.savefig(vector, format="svg", metadata={"Date": None}, **looks)
    if vector.tell() <= _MOST_BYTES:
        return "data:image/svg+xml;base64," + base64.b64encode(vector.getvalue()).decode()
    axes.figure.figure.savefig(dots, format="png", **looks)
    return "data:image/png;base64," + base64.b64encode(dots.getvalue()).decode()
