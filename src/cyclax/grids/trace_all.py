"""`trace_all`: the verb. Every curve of bifurcations in the window of a map, each once."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import overload

import numpy as np

from cyclax.bifurcations.curve import Arc, Curve
from cyclax.bifurcations.event import Event
from cyclax.bifurcations.trace import KINDS, trace
from cyclax.core.budget import Budget
from cyclax.core.checks import real
from cyclax.core.interruption import Interruption
from cyclax.core.progress import progress_bar
from cyclax.core.stop import Stop
from cyclax.cycles.word import WordKey, word_key
from cyclax.grids.boundaries import boundaries
from cyclax.grids.grid import ParameterGrid
from cyclax.grids.map import BifurcationMap

# A place is on an arc where it is no further from one of its chords than this share of its length: a tangent turns by
# less than 0.15 along it, so that it departs from the curve by an eighth of that.
_BESIDE, _EXACT = 0.02, 1e-9
# A special point is at the end of an arc to within this.
_SAME_PLACE = 1e-5
# Events of the same words that cannot be followed, after which no more of them are tried.
_TRIES = 3

# Reasons that differ only in these are one.
_NUMBER = re.compile(r"-?\d[\d.e+-]*")

Identity = tuple[str, tuple[WordKey, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Curves(Sequence[Curve]):
    """The curves of a window.

    - `curves`: in the order of cycles. `unfollowed`: how many events were not followed, for each reason.
    - `interrupted`: why it stopped early, if it did.
    """

    curves: tuple[Curve, ...]
    unfollowed: dict[str, int]
    interrupted: str | None = None

    def __len__(self) -> int:
        return len(self.curves)

    @overload
    def __getitem__(self, index: int) -> Curve: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Curve, ...]: ...
    def __getitem__(self, index):
        return self.curves[index]

    def of_order(self, order: int) -> tuple[Curve, ...]:
        """Give those of cycles of one order."""
        return tuple(curve for curve in self.curves if curve.order == order)

    def __repr__(self) -> str:
        types = Counter(kind for curve in self.curves for kind in curve.types)
        said = ", ".join(f"{number} {kind}" for kind, number in types.most_common())
        orders = Counter(curve.order for curve in self.curves)
        lines = [f"{len(self)} curves: {said or 'none'}"]
        lines.append("  orders: " + ", ".join(f"{order} ({number})" for order, number in sorted(orders.items())))
        lines += [f"  {number} events not followed: {reason}" for reason, number in self.unfollowed.items()]
        lines += [f"  STOPPED EARLY: {self.interrupted}"] if self.interrupted else []
        return "\n".join(lines)


def trace_all(
    result: BifurcationMap,
    *,
    largest_step: float = 0.02,
    most: int = 2000,
    seconds: float | None = None,
    progress: bool = True,
) -> Curves:
    """Follow every bifurcation that a map of two parameters has between its cells, as `trace` does, each once.

    What has no event on an edge between cells, such as a curve that closes within one, is not seen.

    **Arguments:**

    - `result`: a map that `scan` returned.
    - `largest_step`, `most`: as for `trace`.
    - `seconds`: begin no curve after so many; None: follow all.
    - `progress`: show a bar where someone may be looking.

    **Returns:** `Curves`, in the window from the first to the last values of the map. Ctrl-C ends it after the curve
    that is being followed: what there is is returned, and `interrupted` says so.

    **Raises:** `TypeError` and `ValueError` where this is no map of two parameters, or `seconds` is no time.
    """
    if not isinstance(result, BifurcationMap) or not isinstance(result.grid, ParameterGrid):
        raise TypeError(f"trace_all: expected the map that scan returns, got {type(result).__name__}.")
    if len(result.shape) != 2 or min(result.shape) < 2:
        raise ValueError(f"trace_all: curves lie in a plane of two parameters; this map has the shape {result.shape}.")
    limit = None if seconds is None else real(seconds, "seconds", positive=True)
    window = np.array([[np.min(axis), np.max(axis)] for axis in result.grid.axes])
    found, unfollowed = _Found(window), Counter()
    began = Budget.clock()
    seeds = _seeds(result)
    bar = progress_bar(total=sum(map(len, seeds.values())), shown=progress, desc="curves", unit="event")
    with Interruption() as interruption, bar:
        stop = Stop(limit, interruption, began)
        for identity, some in seeds.items():
            places = np.stack([place for place, _ in some])
            left, failures = np.arange(len(some)), 0
            while len(left := left[~found.covers(identity, places[left])]) and failures < _TRIES and not stop():
                place, event = some[left[0]]
                left = left[1:]
                try:
                    curve = trace(
                        result.grid.model,
                        None,
                        result.grid.parameters,
                        event=event,
                        window=window,
                        start=place,  # pyright: ignore[reportArgumentType]
                        largest_step=largest_step,
                        most=most,
                    )
                except ValueError as error:
                    unfollowed[_NUMBER.sub("#", str(error))] += 1
                    failures += 1
                else:
                    found.add(curve)
            if stop():
                break
            bar.update(len(some))
        else:
            stop.seconds = None  # a budget that ran out after the last curve has cost none
    return Curves(tuple(sorted(found.curves, key=lambda curve: curve.order)), dict(unfollowed), stop.reason())


def _seeds(result: BifurcationMap) -> dict[Identity, list[tuple[np.ndarray, Event]]]:
    """Give events that can be followed with their places, by what is followed."""
    edges = boundaries(result)
    seeds: dict[Identity, list[tuple[np.ndarray, Event]]] = {}
    begin, end = result.grid.values(edges.first), result.grid.values(edges.second)
    for first, second, events in zip(begin, end, edges.events, strict=True):
        for event in events:
            kind = KINDS.get(event.type)
            # A word that ends where another bifurcation is (at the rim of a disk, say) has no curve of its own.
            border = kind == "border collision"
            if kind is None or len(event.words) != 1 + border or (event.gate is not None) != border:
                continue
            identity = kind, tuple(sorted(map(word_key, event.words)))
            seeds.setdefault(identity, []).append((first + event.at * (second - first), event))
    return dict(sorted(seeds.items(), key=lambda item: item[0][1][0].order))


class _Found:
    """The curves that have been followed, by the identities of their arcs."""

    def __init__(self, window: np.ndarray):
        self.window = window
        self.curves: list[Curve] = []
        self.arcs: dict[Identity, list[Arc]] = {}

    def add(self, curve: Curve) -> None:
        """Add a curve, less what is known of it at its ends; take out those that are parts of it."""
        arcs, ends = list(curve.arcs), list(curve.ends)
        for end, which in ((0, 0), (-1, -1)):
            while arcs and self._knows(arcs[which]):
                arcs.pop(which)
                ends[end] = "joined"
        if not arcs:
            return
        if len(arcs) < len(curve.arcs):
            limits = np.concatenate([arc.points[[0, -1]] for arc in arcs])
            kept = [p for p in curve.special_points if np.min(self._apart(limits, p.place)) < _SAME_PLACE]
            curve = dataclasses.replace(curve, arcs=tuple(arcs), ends=tuple(ends), special_points=tuple(kept))
        mine = _Found(self.window)
        mine._enter(curve)
        parts = [known for known in self.curves if all(map(mine._knows, known.arcs))]
        self.curves = [known for known in self.curves if known not in parts]
        self._enter(curve)

    def _apart(self, places: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.linalg.norm((places - place) / np.ptp(self.window, axis=1), axis=1)

    def _knows(self, arc: Arc) -> bool:
        return bool(self.covers(_identity(arc), arc.points[[len(arc.points) // 2]])[0])

    def _enter(self, curve: Curve) -> None:
        self.curves.append(curve)
        for arc in curve.arcs:
            self.arcs.setdefault(_identity(arc), []).append(arc)

    def covers(self, identity: Identity, places: np.ndarray) -> np.ndarray:
        """Say of places `(n, 2)` whether they are on arcs of that identity."""
        low, width = self.window[:, 0], np.ptp(self.window, axis=1)
        on = np.zeros(len(places), bool)
        for arc in self.arcs.get(identity, ()):
            points = (arc.points - low) / width
            begin, way = points[:-1], np.diff(points, axis=0)
            lengths = np.linalg.norm(way, axis=1)
            beside = ((places - low) / width)[:, None] - begin
            share = np.clip(np.sum(beside * way, axis=2) / np.where(lengths > 0, lengths, 1) ** 2, 0, 1)
            gap = np.linalg.norm(beside - share[..., None] * way, axis=2)
            on |= np.any(gap <= _BESIDE * lengths + _EXACT, axis=1)
        return on


def _identity(arc: Arc) -> Identity:
    return KINDS[arc.type], tuple(sorted(map(word_key, arc.words)))
