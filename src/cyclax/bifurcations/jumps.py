"""Jumps of a loss and peaks of a gradient: what stands out of its surroundings by more than they scatter."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from cyclax.bifurcations.event import Event

# Steps to each side with which a step is compared.
_SURROUNDINGS = 50
# A median absolute deviation of a normal distribution, times this, is its standard deviation.
_NORMAL = 1.4826


@dataclasses.dataclass(frozen=True)
class JumpRule:
    """What counts as a jump of the loss, and as a peak of the gradient.

    A step of log(loss) is a jump where it differs from the median of the 50 steps to each side of it by more than
    `threshold` of their standard deviations (estimated by the median absolute deviation), and by more than
    log(1 + `least`). Jumps on neighboring steps in one direction are one, at the largest step. A peak of the gradient
    is a local maximum of log(norm) that stands above the median around it by `threshold` standard deviations and by
    log(2). Both are robust: a few jumps do not hide others.
    """

    threshold: float = 6.0
    least: float = 0.1

    def __post_init__(self):
        for name in ("threshold", "least"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"JumpRule: {name} must be positive, got {value!r}.")

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
        level, spread = _surroundings(heights)
        padded = np.concatenate([[-np.inf], np.nan_to_num(heights, nan=-np.inf), [-np.inf]])
        with np.errstate(invalid="ignore"):
            top = (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
            high = heights - level > np.maximum(self.threshold * spread, math.log(2))
        return np.flatnonzero(top & high).tolist()


@dataclasses.dataclass(frozen=True, eq=False)
class Jump:
    """A jump of the loss between two successive models.

    - `step`: it happens from model `step` to the next.
    - `before`, `after`: the losses there.
    - `events`: what happens to the cycles within one step of it.
    - `peak`: the model, within one step of it, at which the gradient has a peak; None where it has none.
    """

    step: int
    before: float
    after: float
    events: tuple[Event, ...]
    peak: int | None

    def __str__(self) -> str:
        text = f"loss {self.before:.3g} -> {self.after:.3g} from model {self.step} to {self.step + 1}"
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
