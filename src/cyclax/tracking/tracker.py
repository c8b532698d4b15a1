"""`Tracker`: a callback of `fit` that tracks cycles while the network trains."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from cyclax.bifurcations.event import Event
from cyclax.core.checks import checked_key
from cyclax.cycles.orders import checked_orders
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.tracking.result import Track
from cyclax.tracking.track import track


class Tracker:
    """Tracks the cycles of a network while it trains: `cx.fit(..., callback=cx.Tracker(4, key=0))`.

    At every checkpoint the new model is searched, with the words of the one before; what happens between the two is in
    `events` at once, and reported if asked for. It begins with the untrained model; a training that resumes from its
    store begins with all models that were kept. `track()` goes over all of them again, in both directions.

    It follows one run. In a training loop of your own, call it with the number of updates and the model.

    - `updates`, `models`: of each checkpoint; models that hold NaN or inf are gaps.
    - `counts`: of each model {order: number of cycles}, nothing for a gap.
    - `events`: in order; `event.at` is the number of the model before it, plus the share of the way to the next, and
      `update_at(event.at)` the update.

    **Arguments:** `orders`, `key`: as for `track`; `report`: called with a line for every event, such as `print`.

    **Raises:** `TypeError` where several runs train at once: track them afterwards.
    """

    def __init__(self, orders: int | Iterable[int], *, key: Array | int, report: Callable[[str], Any] | None = None):
        self.orders, self.key, self.report = checked_orders(orders), checked_key(key), report
        self.updates: list[int] = []
        self.models: list[AbstractPiecewiseLinearMap] = []
        self.counts: list[dict[int, int]] = []
        self.events: list[Event] = []

    def begin(self, updates: Sequence[int], models: Sequence[Any]) -> None:
        """Begin anew, with what there is of a training: events between these models are not reported."""
        maps = [_map_of(model) for model in models]
        self.updates, self.models = list(map(int, updates)), maps
        self.counts, self.events = [{} for _ in maps], []
        if any(map(_finite, maps)):
            known = track(maps, self.orders, key=self.key, progress=False)
            self.counts, self.events = list(known.counts), list(known.events)

    def __call__(self, update: int, model: Any) -> None:
        """Take in the model after an update: a map, or a `LatentModel`."""
        new = _map_of(model)
        # Where the one before lacks a cycle that the new one has, it is given it.
        if _finite(new):
            step = track([*self.models[-1:], new], self.orders, key=self.key, progress=False)
            self.counts[-1:], events = step.counts, step.events
        else:
            self.counts.append({})
            events = ()
        self.updates.append(int(update))
        self.models.append(new)
        for event in events:
            moved = dataclasses.replace(event, at=len(self.models) - 2 + event.at)
            self.events.append(moved)
            if self.report is not None:
                self.report(f"update {self.update_at(moved.at):.1f}: {event}")

    def update_at(self, place: float) -> float:
        """Give the update, in fractions, that belongs to a place along the models."""
        return float(np.interp(place, np.arange(len(self.updates)), self.updates))

    def track(self, **settings: Any) -> Track:
        """Track all models from the beginning; `settings` as for `cyclax.track`, such as `losses`."""
        return track(self.models, self.orders, key=self.key, **settings)


def _map_of(model: Any) -> AbstractPiecewiseLinearMap:
    if isinstance(model, tuple):
        raise TypeError(
            f"Tracker: {len(model)} runs train at once, and it follows one; track them afterwards: "
            "[cx.track(fit, orders, key=0) for fit in fits]."
        )
    return getattr(model, "map", model)


def _finite(model: Any) -> bool:
    """Say whether a model can be searched; what is no model at all is for `track` to refuse."""
    if not isinstance(model, AbstractPiecewiseLinearMap):
        return True
    return all(np.all(np.isfinite(np.asarray(leaf, float))) for leaf in jax.tree.leaves(model))
