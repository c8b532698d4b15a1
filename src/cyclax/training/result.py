"""What `fit` returns: the trained model, its history, and how training went."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.training.model import LatentModel


def mean_of_finite(values: np.ndarray) -> float:
    """Give the mean of what is finite, NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else np.nan


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A trained model. All weights are float64 (those of a training in float32, exactly).

    - `model`: after the last update whose loss, gradient and weights were finite. `map`: its map.
    - `models`: those kept at checkpoints, the first untrained, with the number of `updates` each has had; `maps`:
      theirs.
    - `losses`, `gradient_norms`, `strengths` `(updates,)`: the mean squared error of a batch before each update
      (without regularizers), the norm of the gradient of the whole loss (before clipping), and alpha.
    - `stopped`: why it ended early, if it did, or that Ctrl-C was pressed as it ended.
    - `report`: {"seconds", "updates_per_second", "resumed_at", "runs", "batch", "length", "dtype", "interrupted"
      (whether Ctrl-C was pressed), "version", "forcing", "optimizer", "notes" (what regularizers have to say)}.
    """

    model: LatentModel
    models: tuple[LatentModel, ...]
    updates: tuple[int, ...]
    losses: Float[np.ndarray, " n"]
    gradient_norms: Float[np.ndarray, " n"]
    strengths: Float[np.ndarray, " n"]
    stopped: str | None = None
    report: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def map(self) -> AbstractPiecewiseLinearMap:
        """The trained map."""
        return self.model.map

    @property
    def maps(self) -> tuple[AbstractPiecewiseLinearMap, ...]:
        """The maps of the models kept at checkpoints."""
        return tuple(model.map for model in self.models)

    def __str__(self) -> str:
        report, number = self.report, len(self.losses)
        name, observation = type(self.map).__name__, type(self.model.observation).__name__
        lines = [
            f"Fit: {name} with M = {self.model.num_states}, {self.model.num_observed} variables observed "
            f"({observation.lower()})"
        ]
        forcing = report.get("forcing", {}).get("class", "?")
        if number:
            alpha, last = self.strengths, self.strengths[-1]
            changed = f"alpha {alpha[0]:.3g} -> {last:.3g}" if np.ptp(alpha) > 0 else f"alpha {last:.3g}"
            lines.append(
                f"  forcing    {forcing}, {changed}; batches of {report.get('batch')} windows of {report.get('length')}"
            )
            few = max(1, number // 20)
            first, final = mean_of_finite(self.losses[:few]), mean_of_finite(self.losses[-few:])
            norms = self.gradient_norms[np.isfinite(self.gradient_norms)]
            norms = norms if len(norms) else np.array([np.nan])
            lines.append(f"  loss       {first:.3g} -> {final:.3g} (means over the first and last {few} updates)")
            lines.append(f"  gradient   norm {np.median(norms[-few:]):.3g} at the end, {np.max(norms):.3g} at most")
        speed = report.get("updates_per_second", np.nan)
        resumed = f", resumed at {report['resumed_at']:,}" if report.get("resumed_at") else ""
        lines.append(
            f"  updates    {number:,}{resumed}; {report.get('seconds', np.nan):.1f} s, {speed:,.0f} a second, in "
            f"{report.get('dtype', '?')}; {len(self.models)} models kept"
        )
        lines += [f"  note       {note}" for note in report.get("notes", ())]
        lines.append(f"  stopped    {self.stopped}" if self.stopped else "  finished")
        return "\n".join(lines)

    __repr__ = __str__
