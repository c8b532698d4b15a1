"""Jumps of a loss and peaks of a gradient: what stands out of its surroundings by more than they scatter."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from cyclax.bifurcations.event import Event
from cyclax.core.checks import real

# Steps to each side with which a step is compared.
_SURROUNDINGS = 50
# A peak of the gradient falls within so many entries to each side.
_REACH = 5
# A median absolute deviation of a normal distribution, times this, is its standard deviation.
_NORMAL = 1.4826


@dataclasses.dataclass(frozen=True)
class JumpRule:
    """What counts as a jump of the loss, and as a peak of the gradient.

    A step of log(loss) is a jump where it differs from the median of the 50 steps to each side of it by more than
    `threshold` of their standard deviations (estimated by the median absolute deviation), and by more than
    log(1 + `least`). Jumps on neighboring steps in one direction are one, at the largest step. A peak of the gradient
    is a maximum of log(norm) among the 5 entries to each side that falls, on both sides within these, by more than
    `threshold` standard deviations of its steps, estimated in the same way, and by log(2). Both are robust: a few jumps
    do not hide others, nor does a level that is another one after a jump hide a peak.
    """

    threshold: float = 6.0
    least: float = 0.1

    def __post_init__(self):
        for name in ("threshold", "least"):
            # As Python's floats: NumPy's have no place in a file.
            object.__setattr__(self, name, real(getattr(self, name), f"JumpRule: {name}", positive=True))

    def jumps(self, losses: Float[np.ndarray, " n"]) -> list[tuple[int, int, int]]:
        """Give the jumps as (first, last, largest) step; step i is from entry i to entry i + 1."""
        steps = np.diff(_logarithms(losses))
        level, spread = _surroundings(steps)
        with np.errstate(invalid="ignore"):
            away = steps - level
            stands_out = np.abs(away) > np.maximum(self.threshold * spread, math.log1p(self.least))
        found: list[tuple[int, int, int]] = []
        for i in np.flatnonzero(stands_out).tolist():
            if found and found[-1][1] == i - 1 and away[i] * away[i - 1] > 0:
                first, _, largest = found[-1]
                found[-1] = first, i, i if abs(away[i]) > abs(away[largest]) else largest
            else:
                found.append((i, i, i))
        return found

    def peaks(self, norms: Float[np.ndarray, " n"]) -> list[int]:
        """Give the entries that are peaks."""
        heights = _logarithms(norms)
        _, spread = _surroundings(np.diff(heights))
        filled = np.nan_to_num(heights, nan=-np.inf)
        found = []
        for i in np.flatnonzero(np.isfinite(heights[1:-1])) + 1:
            before, after = filled[max(0, i - _REACH) : i], filled[i + 1 : i + 1 + _REACH]
            # Of equal ones the last.
            if filled[i] < np.max(before) or filled[i] <= np.max(after):
                continue
            falls = [heights[i] - np.min(side, where=np.isfinite(side), initial=np.inf) for side in (before, after)]
            if min(falls) > max(self.threshold * np.nanmin(spread[i - 1 : i + 1]), math.log(2)):
                found.append(int(i))
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Jump:
    """A jump of the loss between two successive models.

    - `step`: its largest step is from model `step` to the next.
    - `first`, `last`: the models before and after it; neighbors, unless it takes several steps.
    - `before`, `after`: the losses of these two.
    - `events`: what happens to the cycles within one step of it.
    - `peak`: the model, within one step of it, at which the gradient has a peak; None where it has none.
    """

    step: int
    first: int
    last: int
    before: float
    after: float
    events: tuple[Event, ...]
    peak: int | None

    def __str__(self) -> str:
        text = f"loss {self.before:.3g} -> {self.after:.3g} from model {self.first} to {self.last}"
        if self.peak is not None:
            text += f", gradient peak at model {self.peak}"
        kinds = sorted({event.type for event in self.events})
        return text + (f": {', '.join(kinds)}" if kinds else ": no bifurcation within one step")


def _logarithms(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(values)
    return np.where(np.isfinite(logarithms), logarithms, np.nan)


def _surroundings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the median of what is around each value, and the standard deviation there, robustly; gaps are left out."""
    level, spread = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for i in range(len(values)):
        around = values[max(0, i - _SURROUNDINGS) : i + _SURROUNDINGS + 1]
        around = around[np.isfinite(around)]
        if len(around):
            level[i] = np.median(around)
            spread[i] = _NORMAL * np.median(np.abs(around - level[i]))
    return level, spread
