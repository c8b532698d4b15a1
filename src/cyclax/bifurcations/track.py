"""`track`: the cycles of a sequence of models, such as the checkpoints of a training run, and what happens between.

Source: Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training", NeurIPS 2023.
"""

import dataclasses
import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from cyclax.bifurcations.cells import Settings, filed, unfiled
from cyclax.bifurcations.event import Event
from cyclax.bifurcations.jumps import Jump, JumpRule
from cyclax.bifurcations.line import Line
from cyclax.bifurcations.map import BifurcationMap
from cyclax.bifurcations.sweeps import Sweeps, cells_at_once
from cyclax.cycles.arguments import checked_orders
from cyclax.cycles.result import Cycles
from cyclax.data.arguments import checked_key
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.registry import from_dict, to_dict
from cyclax.storage import read_npz, write_atomically
from cyclax.training.model import LatentModel
from cyclax.training.result import Fit
from cyclax.version import __version__

_FORMAT = 1
# These change what is stable, or what there is; a cycle that crosses a border and persists does not.
BIFURCATIONS = (
    "nonsmooth fold",
    "degenerate transcritical",
    "degenerate flip",
    "center",
    "family",
    "border collision",
)


def track(
    models: Sequence[AbstractPiecewiseLinearMap | LatentModel] | AbstractPiecewiseLinearMap | Fit,
    orders: int | Iterable[int],
    *,
    key: Array | int,
    losses: Float[Any, " n"] | None = None,
    gradient_norms: Float[Any, " n"] | None = None,
    starts: int = 64,
    moves: int = 64,
    exact: bool = False,
    rule: JumpRule | None = None,
    store: Any = None,
    progress: bool = True,
) -> "Track":
    """Find the cycles of every model of a sequence, and the events on the straight lines between successive ones.

    Every model is searched from starts of its own, all models in one batch; then the words of each are tried in the
    next and in the one before, until nothing changes, as `scan` does between neighboring cells.

    **Arguments:**

    - `models`: a sequence of maps (or of `LatentModel`, whose maps they are) of one class and shape, or one map whose
      leaves are stacked `(n, ...)`. Models that hold NaN or inf are gaps: nothing is said of them, nor of the steps
      beside them. Or a `Fit`: the maps of the models that it kept, with the mean of the losses and the largest norm of
      the gradient from each to the next.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods.
    - `key`: a JAX random key, or an int seed. Model i draws from `fold_in(key, i)`.
    - `losses`, `gradient_norms`: of each model `(n,)`; jumps of the loss are paired with events.
    - `starts`, `moves`, `exact`, `store`, `progress`: as for `scan`.
    - `rule`: what counts as a jump.

    **Returns:** a `Track`.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    began = time.perf_counter()
    if isinstance(models, Fit):
        losses = _from_each(models, models.losses, np.mean) if losses is None else losses
        norms = models.gradient_norms
        gradient_norms = _from_each(models, norms, np.max) if gradient_norms is None else gradient_norms
        models = models.maps
    elif isinstance(models, Sequence):
        models = [one.map if isinstance(one, LatentModel) else one for one in models]
    line, key, wanted = Line(models), checked_key(key), checked_orders(orders)
    for name, value in (("starts", starts), ("moves", moves)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a positive int, got {value!r}.")
    series = {
        name: None if given is None else _checked_series(name, given, line.size)
        for name, given in (("losses", losses), ("gradient_norms", gradient_norms))
    }
    # A batch is filled up to its size: no larger than the sequence needs.
    cells = min(cells_at_once(line.model, starts), 1 << (line.size - 1).bit_length())
    with jax.enable_x64(True):
        job = Sweeps(line, wanted, key, Settings(starts + starts % 2, moves, cells), 0, 1, store, progress)
        interrupted = job.run(True, exact)
    report = {
        "cells": int(np.sum(line.usable)),
        "starts": starts,
        "mended": job.mended,
        "sweeps": job.sweeps,
        "version": __version__,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    if interrupted:
        report["interrupted"] = interrupted
    found = {order: job.found[order] for order in wanted}
    cycles = BifurcationMap(line, tuple(wanted), found, job.degenerate, job.layers, job.searched, report)
    edges = cycles.boundaries()
    events = [
        dataclasses.replace(event, at=int(first) + event.at)
        for first, some in zip(edges.first, edges.events, strict=True)
        for event in some
    ]
    report["seconds"] = time.perf_counter() - began
    return Track(cycles, tuple(events), series["losses"], series["gradient_norms"], rule or JumpRule())


def _from_each(run: Fit, values: np.ndarray, summary: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Sum up what was logged from each kept model to the next; the last one may have had no further update."""
    ends = [*run.updates[1:], len(values)]
    return np.array([summary(values[i:j]) if j > i else np.nan for i, j in zip(run.updates, ends, strict=True)])


def _checked_series(name: str, values: Any, number: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape != (number,):
        raise ValueError(f"{name}: expected one number for each of the {number} models, got shape {values.shape}.")
    return values


class Explained(NamedTuple):
    """How many jumps have an event beside them, and how many would by chance."""

    jumps: int
    explained: int
    chance: float

    def __str__(self) -> str:
        return f"{self.explained} of {self.jumps} jumps have an event within reach; by chance {self.chance:.0%} would"


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """The cycles of a sequence of n models, and what happens to them between one and the next.

    - `cycles`: what was found, as a `BifurcationMap` along the sequence; `track[i]` gives the `Cycles` of model i.
    - `events`: in order; `event.at` is the number of the model before it, plus the share of the way to the next.
    - `losses`, `gradient_norms`: `(n,)` as given, or None.
    """

    cycles: BifurcationMap
    events: tuple[Event, ...]
    losses: np.ndarray | None
    gradient_norms: np.ndarray | None
    rule: JumpRule

    def __len__(self) -> int:
        return self.cycles.grid.size

    def __getitem__(self, i: int) -> Cycles:
        return self.cycles.cell(range(len(self))[i])

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders that were searched."""
        return self.cycles.orders

    @property
    def gaps(self) -> list[int]:
        """Models of which nothing is said: they hold NaN or inf, or Ctrl-C came before."""
        return np.flatnonzero(~self.cycles.searched).tolist()

    @property
    def counts(self) -> list[dict[int, int]]:
        """The number of cycles of each order, model by model; nothing for a gap."""
        return self._by_model(self.cycles.counts)

    @property
    def stable_counts(self) -> list[dict[int, int]]:
        """The number of stable cycles of each order, model by model; nothing for a gap."""
        return self._by_model(self.cycles.stable_counts)

    def _by_model(self, tally: np.ndarray) -> list[dict[int, int]]:
        return [
            dict(zip(self.orders, column.tolist(), strict=True)) if searched else {}
            for column, searched in zip(tally.T, self.cycles.searched, strict=True)
        ]

    @property
    def types(self) -> dict[str, int]:
        """How many events of each type there are, the most frequent first."""
        return dict(Counter(event.type for event in self.events).most_common())

    @functools.cached_property
    def peaks(self) -> list[int]:
        """Models at which the norm of the gradient has a peak."""
        return [] if self.gradient_norms is None else self.rule.peaks(self.gradient_norms)

    @functools.cached_property
    def jumps(self) -> tuple[Jump, ...]:
        """Jumps of the loss, with the events within one step of each."""
        if self.losses is None:
            return ()
        jumps = []
        for first, last, largest in self.rule.jumps(self.losses):
            near = [peak for peak in self.peaks if first - 1 <= peak <= last + 2]
            jumps.append(
                Jump(
                    step=largest,
                    before=float(self.losses[first]),
                    after=float(self.losses[last + 1]),
                    events=tuple(e for e in self.events if first - 1 <= e.at <= last + 2),
                    peak=min(near, key=lambda peak: abs(peak - largest - 0.5)) if near else None,
                )
            )
        return tuple(jumps)

    def explained(self, types: Iterable[str] = BIFURCATIONS) -> Explained:
        """Count the jumps that have an event of some types within one step, beside the share that chance would give.

        **Returns:** the number of jumps, of those explained, and the share of all steps of the sequence that have such
        an event within one step: a jump at a random place would be explained so often.
        """
        types = set(types)
        unknown = types - {*BIFURCATIONS, "persistence", "unexplained"}
        if unknown:
            raise ValueError(f"types: {', '.join(sorted(unknown))} is no type of event.")
        number = sum(any(event.type in types for event in jump.events) for jump in self.jumps)
        places = np.array([event.at for event in self.events if event.type in types])
        steps = np.arange(len(self) - 1)
        covered = np.any((steps[:, None] - 1 <= places) & (places <= steps[:, None] + 2), axis=1)
        return Explained(len(self.jumps), number, float(np.mean(covered)) if len(steps) else 0.0)

    def __repr__(self) -> str:
        kind, report = type(self.cycles.grid.model).__name__, self.cycles.report
        lines = [f"Track of {len(self)} models ({kind}), orders {_listed(self.orders)}"]
        counts, stable = self.cycles.counts, self.cycles.stable_counts
        for i, order in enumerate(self.orders):
            if counts[i].any():
                lines.append(
                    f"  order {order}: {counts[i].min(where=self.cycles.searched, initial=counts[i].max())} to "
                    f"{counts[i].max()} cycles, up to {stable[i].max()} stable"
                )
        if self.gaps:
            lines.append(f"  not searched (NaN or inf, or interrupted): models {_listed(self.gaps)}")
        said = ", ".join(f"{number} {kind}" for kind, number in self.types.items())
        lines.append(f"  {len(self.events)} events: {said}" if self.events else "  no events")
        if self.losses is not None:
            lines.append(f"  {self.explained()}" if self.jumps else "  no jumps of the loss")
        lines.append(f"  {report['mended']} models mended by their neighbors; {report['seconds']:.3g} s")
        if "interrupted" in report:
            lines.append(f"  {report['interrupted']}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write everything to an `.npz` file, without pickle; `Track.load` reads it."""
        grid = self.cycles.grid
        assert isinstance(grid, Line)
        header = {
            "format": _FORMAT,
            "model": {name: np.asarray(value).tolist() for name, value in to_dict(grid.model).items()},
            "orders": list(map(int, self.orders)),
            "events": [event.to_dict() for event in self.events],
            "rule": dataclasses.asdict(self.rule),
            "report": self.cycles.report,
        }
        arrays = {"header": np.array(json.dumps(header)), "searched": self.cycles.searched}
        for i, leaf in enumerate(jax.tree.leaves(grid.stacked())):
            arrays[f"leaf.{i}"] = np.asarray(leaf)
        arrays |= filed(self.cycles.found, self.cycles.on_border, self.cycles.layers)
        for name in ("losses", "gradient_norms"):
            values = getattr(self, name)
            if values is not None:
                arrays[name] = values
        write_atomically(Path(path), lambda stream: np.savez_compressed(stream, **arrays))  # pyright: ignore[reportArgumentType]

    @classmethod
    def load(cls, path: str | Path) -> "Track":
        """Read what `save` wrote."""
        arrays = read_npz(path)
        try:
            header = json.loads(str(arrays["header"]))
            model = from_dict(header["model"], source=str(path))
            leaves = [arrays[f"leaf.{i}"] for i in range(len(jax.tree.leaves(model)))]
            number = len(leaves[0])
            stack = [jax.tree.unflatten(jax.tree.structure(model), [leaf[i] for leaf in leaves]) for i in range(number)]
            orders = tuple(header["orders"])
            found, on_border, layers = unfiled(arrays, orders)
            events = tuple(map(Event.from_dict, header["events"]))
            rule = JumpRule(**header["rule"])
            searched = arrays["searched"]
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path}: this is no track that cyclax wrote ({error}).") from error
        cycles = BifurcationMap(Line(stack), orders, found, on_border, layers, searched, header["report"])
        return cls(cycles, events, arrays.get("losses"), arrays.get("gradient_norms"), rule)


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}..{numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (", .." if len(numbers) > 12 else "")
