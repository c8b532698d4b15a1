"""`Tracker`: a callback of `fit` that tracks cycles while the network trains."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Array

from cyclax.bifurcations.event import Event
from cyclax.bifurcations.track import track
from cyclax.bifurcations.tracked import Track
from cyclax.cycles.arguments import checked_orders
from cyclax.data.arguments import checked_key
from cyclax.maps.base import AbstractPiecewiseLinearMap


class Tracker:
    """Tracks the cycles of a network while it trains: `cx.fit(..., callback=cx.Tracker(4, key=0))`.

    At every checkpoint the new model is searched, with the words of the one before; what happens between the two is in
    `events` at once, and printed if asked for. `track()` goes over all of them again, in both directions.

    **Arguments:** `orders`, `key`: as for `track`; `report`: called with a line for every event, such as `print`.
    """

    def __init__(self, orders: int | Iterable[int], *, key: Array | int, report: Any = None):
        self.orders, self.key, self.report = checked_orders(orders), checked_key(key), report
        self.updates: list[int] = []
        self.models: list[AbstractPiecewiseLinearMap] = []
        self.counts: list[dict[int, int]] = []
        self.events: list[Event] = []

    def __call__(self, update: int, model: Any) -> None:
        """Take in the model after an update: a map, or a `LatentModel`."""
        self.updates.append(int(update))
        self.models.append(getattr(model, "map", model))
        step = track(self.models[-2:], self.orders, key=self.key, progress=False)
        self.counts.append(step.counts[-1])
        for event in step.events:
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
