"""Training: loss, gradient norm, and how strongly the data pull, against the updates."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclax.plot.style import COLORS, axes_or_new
from cyclax.training.result import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each with a line style of its own for prints without color.
_LOSS, _GRADIENT, _FORCING = COLORS[:3]
# Curves are drawn as medians over so many stretches, with the range in between.
_STRETCHES = 400


def training(result: Fit, ax: "Axes | None" = None) -> "Axes":
    """Draw the loss and the gradient norm of a training against its updates, and alpha where it changes.

    Lines are medians over short stretches of updates, bands their 10 % to 90 % range. Alpha has an axis of its own on
    the right. Ticks on the lower edge mark the models that were kept.

    **Arguments:** `result`: what `fit` returned, for one run. `ax`: the matplotlib axes to draw in; by default those of
    a new pyplot figure.

    **Returns:** the axes.

    **Raises:** `ImportError` that says what to install where matplotlib is missing; `TypeError` for another result;
    `ValueError` for a training without updates.
    """
    if not isinstance(result, Fit):
        remedy = " For several runs, draw them one by one." if isinstance(result, tuple) else ""
        raise TypeError(f"plot.training: result must be what fit returns, Fit, got {type(result).__name__}.{remedy}")
    if len(result.losses) == 0:
        raise ValueError("plot.training: no update has been made; there is nothing to draw.")
    ax = axes_or_new(ax)
    handles = [
        _curve(ax, result.gradient_norms, _GRADIENT, (0, (5, 2)), "gradient norm"),
        _curve(ax, result.losses, _LOSS, "-", "loss (mean squared error)"),
    ]
    ax.set(xlabel="update", ylabel="loss, gradient norm", yscale="log", xlim=(0, max(1, len(result.losses))))
    kept = [update for update in result.updates if update <= len(result.losses)]
    ax.plot(
        kept, np.zeros(len(kept)), "|", color="0.3", ms=7, transform=ax.get_xaxis_transform(), clip_on=False, zorder=3
    )
    if np.ptp(result.strengths) > 0:
        right: Any = ax.twinx()
        handles += right.plot(
            np.arange(len(result.strengths)),
            result.strengths,
            color=_FORCING,
            ls=(0, (1, 1.5)),
            lw=1.6,
            label=r"$\alpha$",
        )
        right.set(ylabel=r"strength of the forcing $\alpha$", ylim=(0, 1.05 * float(np.max(result.strengths))))
    if result.stopped:
        number = len(result.losses)
        handles.append(ax.axvline(number, color="0.3", lw=1.2, ls=(0, (5, 2, 1, 2)), label=f"stopped at {number:,}"))
        ax.set_xlim(0, 1.02 * number)
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0, ncols=4, frameon=False,
        fontsize="small",
    )  # fmt: skip
    return ax


def _curve(ax: "Axes", values: np.ndarray, color: str, style: Any, label: str) -> Any:
    """Draw medians over stretches, with a band."""
    number = min(_STRETCHES, len(values))
    edges = np.linspace(0, len(values), number + 1).astype(int)
    parts = [values[begin:end][np.isfinite(values[begin:end])] for begin, end in itertools.pairwise(edges)]
    low, middle, high = (
        np.array([np.quantile(part, q) if len(part) else np.nan for part in parts]) for q in (0.1, 0.5, 0.9)
    )
    x = (edges[:-1] + edges[1:] - 1) / 2
    ax.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
    return ax.plot(x, middle, color=color, ls=style, lw=1.4, label=label)[0]
