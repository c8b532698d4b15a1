"""What all pictures share: colors, where legends stand, and new axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cyclax.core.extras import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), told apart with every common kind of color vision; without yellow, too pale for white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# Where legends stand: beside the picture.
BESIDE: dict[str, Any] = {
    "frameon": False,
    "fontsize": "small",
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1.0),
    "borderaxespad": 0,
    "alignment": "left",
}


def new_axes(*, shown: bool) -> "Axes":
    """Give the axes of a new figure: one that pyplot shows, or one that leaves pyplot and its backend alone.

    **Raises:** `ImportError` that says what to install where matplotlib is missing.
    """
    shape: dict[str, Any] = {"figsize": (8.0, 4.8), "layout": "constrained"}
    if shown:
        return extra("matplotlib.pyplot", "plot", "pictures need").figure(**shape).add_subplot()
    return extra("matplotlib.figure", "plot", "pictures need").Figure(**shape).add_subplot()


def axes_or_new(ax: "Axes | None") -> "Axes":
    """Give the axes to draw in: those that are given, or those of a new pyplot figure."""
    if ax is not None and not hasattr(ax, "plot"):
        kind = type(ax).__name__
        raise TypeError(f"ax: expected axes of matplotlib, such as figure.add_subplot() gives, got {kind}.")
    return new_axes(shown=True) if ax is None else ax


def shades(number: int) -> Sequence[Any]:
    """Give so many colors: of the palette while it lasts."""
    if number <= len(COLORS):
        return COLORS[:number]
    from matplotlib import colormaps

    # In order, and safe for color blindness as well; its pale end is left out.
    return [colormaps["viridis"](0.88 * i / (number - 1)) for i in range(number)]
