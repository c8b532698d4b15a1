"""Lyapunov spectra: the exponents with their errors, and how the estimates settled."""

from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.lyapunov.result import Spectrum
from cyclax.plot.style import BESIDE, COLORS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A line style for each color, for prints without color.
_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (3, 1)), (0, (1, 3)), (0, (8, 3)))
_ABOVE, _BELOW = COLORS[1], COLORS[0]


def spectrum(result: Spectrum, ax: "Axes | None" = None) -> "Axes":
    """Draw the exponents by rank, with 95 % intervals.

    Positive exponents are filled squares, the others open circles; a dashed vertical line marks the Kaplan-Yorke
    dimension. Of a batch, each orbit is a thin line, with the median of each rank in front. Exponents of -inf are left
    out.

    **Arguments:** `result`: what `lyapunov_spectrum` returned. `ax`: the matplotlib axes to draw in; by default those
    of a new pyplot figure.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` for another result.
    """
    _require(result, "spectrum")
    ax = axes_or_new(ax)
    rank = np.arange(1, result.means.shape[-1] + 1)
    ax.axhline(0, color="0.6", lw=0.8, zorder=1)
    exponents = np.where(np.isfinite(result.exponents), result.exponents, np.nan)
    if result.means.ndim == 2:
        _draw_batch(ax, rank, exponents[result.diverged == 0])
    else:
        half = np.nan_to_num((result.intervals[:, 1] - result.intervals[:, 0]) / 2)
        for above, color, marker, name in ((True, _ABOVE, "s", "positive"), (False, _BELOW, "o", "negative or 0")):
            some = (exponents > 0) == above
            some &= np.isfinite(exponents)
            if np.any(some):
                face = color if above else "white"
                looks: dict[str, Any] = {"ms": 5 if len(rank) <= 50 else 2.5, "mfc": face, "capsize": 2, "lw": 1}
                ax.errorbar(
                    rank[some], exponents[some], half[some], fmt=marker, color=color, label=name, zorder=3, **looks
                )
        dimension = float(result.dimension)
        if np.isfinite(dimension) and 0 < dimension < result.num_states:
            label = f"Kaplan-Yorke dimension {dimension:.5g}"
            ax.axvline(dimension, color="0.3", lw=1, ls=(0, (4, 2)), label=label, zorder=2)
        if np.isfinite(exponents).any():
            ax.legend(**BESIDE)
    _name(ax, result, "rank of the exponent")
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.set_xlim(0.5, rank[-1] + 0.5)
    return ax


def running_exponents(result: Spectrum, ax: "Axes | None" = None) -> "Axes":
    """Draw running estimates of the first seven exponents against the steps, the final 95 % intervals as bands.

    **Arguments:** `result`: what `lyapunov_spectrum` returned, for one orbit. `ax`: the matplotlib axes to draw in; by
    default those of a new pyplot figure.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` for another result;
    `ValueError` for a batch.
    """
    _require(result, "running_exponents")
    if result.means.ndim == 2 or "pooled" in result.report:
        raise ValueError("plot.running_exponents: a batch has no single running estimate; draw result[i].")
    ax = axes_or_new(ax)
    shown = min(result.means.shape[-1], len(COLORS))
    for i in range(shown):
        label = rf"$\lambda_{{{i + 1}}}$ = {result.exponents[i]:.5g} $\pm$ {result.standard_errors[i]:.1g}"
        ax.plot(result.running_steps, result.running[:, i], color=COLORS[i], ls=_LINES[i], lw=1.4, label=label)
        low, high = result.intervals[i]
        if np.isfinite(low + high):
            ax.axhspan(low, high, color=COLORS[i], alpha=0.2, lw=0)
    ax.set_xscale("log")
    _name(ax, result, "steps after the warm-up")
    ax.legend(**BESIDE, title=None if shown == result.means.shape[-1] else f"first {shown}")
    return ax


def _draw_batch(ax: "Axes", rank: np.ndarray, exponents: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    lines = [np.column_stack([rank, values]) for values in exponents]
    looks: dict[str, Any] = {"colors": [COLORS[4]], "linewidths": 0.7, "alpha": max(0.1, min(0.8, 20 / len(lines)))}
    ax.add_collection(LineCollection(lines, label=f"{len(lines)} orbits", **looks))
    ax.plot(rank, np.median(exponents, axis=0), "o", color=COLORS[0], ms=4, label="median", zorder=3)
    ax.autoscale_view()
    ax.legend(**BESIDE)


def _name(ax: "Axes", result: Spectrum, x: str) -> None:
    unit = "step" if result.dt == 1 else "unit of time"
    ax.set(xlabel=x, ylabel=f"Lyapunov exponent (nats per {unit})")


def _require(result: Any, name: str) -> None:
    if not isinstance(result, Spectrum):
        raise TypeError(
            f"plot.{name}: result must be what lyapunov_spectrum returns, Spectrum, got {type(result).__name__}."
        )
