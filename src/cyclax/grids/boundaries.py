"""The edges of a map on which something changes: between neighboring cells, the events that make the difference."""

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from cyclax.bifurcations.compare import compare_pairs
from cyclax.bifurcations.event import Event, check_types
from cyclax.bifurcations.line import Line
from cyclax.cycles.table import CycleTable, codes_of
from cyclax.cycles.word import word_key
from cyclax.grids.grid import AbstractGrid, cell_edges

if TYPE_CHECKING:
    from cyclax.grids.map import BifurcationMap

# Events this near to each other, as a share of the way between two cells, are at one place; nearer, where they were
# located better.
_APART = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Boundaries:
    """Edges between neighboring cells with their events.

    - `grid`: that of the map.
    - `first`, `second`: the cells at the ends of each edge, numbered in C order; `axis`: which parameter differs.
    - `events`: for each edge a tuple of `Event`; `event.at` is a share of the way from the first cell to the second.
    """

    grid: AbstractGrid
    first: np.ndarray
    second: np.ndarray
    axis: np.ndarray
    events: tuple[tuple[Event, ...], ...]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def types(self) -> dict[str, int]:
        """How many events of each type there are, the most frequent first."""
        return dict(Counter(event.type for events in self.events for event in events).most_common())

    def __repr__(self) -> str:
        types = ", ".join(f"{number} {kind}" for kind, number in self.types.items())
        return f"Boundaries on {len(self)} edges between cells: {types or 'no events'}"

    def places(self, kind: str, order: int | None = None) -> np.ndarray:
        """Give the parameter values `(n, P)` at which there are events of a type, each place once.

        One bifurcation may be several events at the same place: at a degenerate flip there is one of the cycle that
        flips and one of the cycle of twice the order. `events` lists them all.

        **Raises:** `ValueError` for what is no type of event.
        """
        check_types([kind], "kind", self.types)
        edge, at, bracket = self._of(kind, order)
        place, way = self._located(edge, at)
        near = np.minimum(bracket, _APART)[:, None] * way + 8 * np.finfo(float).eps * np.abs(place)
        labels = [_clusters(*column) for column in zip(place.T, near.T, strict=True)]
        _, first = np.unique(np.stack(labels, axis=1), axis=0, return_index=True)
        return place[np.sort(first)]

    def _located(self, edge: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the places `(n, P)` of events, and how far it is from one end of their edges to the other."""
        begin, end = self.grid.values(self.first[edge]), self.grid.values(self.second[edge])
        return begin + at[:, None] * (end - begin), np.abs(end - begin)

    def _of(self, kind: str, order: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        some = [
            (i, event.at, event.bracket)
            for i, events in enumerate(self.events)
            for event in events
            if event.type == kind and (order is None or event.order == order)
        ]
        columns = np.array(some, float).reshape(-1, 3).T
        return columns[0].astype(int), columns[1], columns[2]

    def segments(self, order: int | None = None) -> dict[str, np.ndarray]:
        """Give, for each type, curves to draw in a plane of two parameters, as segments `(n, 2 ends, 2 parameters)`.

        Within each square between four neighboring cells, the places at which one event (of the same words) is located
        on its sides are joined. A place that has no partner is given a short segment across its edge.
        """
        if len(self.grid.shape) != 2:
            raise ValueError(f"segments are for grids of two parameters, not {len(self.grid.shape)}.")
        codes: dict[tuple, int] = {}
        drawn = {}
        for kind in self.types:
            edge, at, _ = self._of(kind, order)
            if not len(edge):
                continue
            events = (event for some in self.events for event in some if event.type == kind)
            chosen = (event for event in events if order is None or event.order == order)
            code = np.array([codes.setdefault(_identity(event), len(codes)) for event in chosen])
            drawn[kind] = self._joined(edge, code, self._located(edge, at)[0])
        return drawn

    def _joined(self, edge: np.ndarray, code: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Join the places of equal codes within each square."""
        corner = np.stack(np.unravel_index(self.first[edge], self.grid.shape), axis=1)
        across = 1 - self.axis[edge]
        squares: dict[tuple[int, int, int], list[int]] = {}
        for back in (0, 1):
            square = corner.copy()
            square[np.arange(len(edge)), across] -= back
            inside = np.all((square >= 0) & (square < np.array(self.grid.shape) - 1), axis=1)
            for i in np.flatnonzero(inside).tolist():
                squares.setdefault((*square[i].tolist(), int(code[i])), []).append(i)
        alone = np.ones(len(edge), bool)
        pairs = []
        # Counted in cells, whatever the steps between them.
        row = np.stack([_in_cells(values, place[:, i]) for i, values in enumerate(self.grid.axes)], axis=1)
        for some in squares.values():
            left = list(some)
            while len(left) > 1:
                # Of more than two, the two nearest to each other: two passages through one square.
                gaps = {
                    (a, b): float(np.sum((row[a] - row[b]) ** 2)) for n, a in enumerate(left) for b in left[n + 1 :]
                }
                a, b = min(gaps, key=gaps.__getitem__)
                pairs.append((a, b))
                alone[[a, b]] = False
                left = [i for i in left if i not in (a, b)]
        joined = place[np.array(pairs, int).reshape(-1, 2)]
        short = np.stack([place[alone]] * 2, axis=1)
        for i, values in enumerate(self.grid.axes):
            mine = across[alone] == i
            if len(values) > 1:
                cell = corner[alone][mine, i]
                ends = cell_edges(values)[np.stack([cell, cell + 1], axis=1)]
                short[mine, :, i] = ends
        return np.concatenate([joined, short])


def _in_cells(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Give how many cells from the first value places are."""
    turn = np.argsort(values)
    return np.interp(places, values[turn], turn.astype(float))


def _clusters(values: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Number groups of values: those that are so near to the next one are in one group."""
    turn = np.argsort(values)
    steps = np.diff(values[turn]) > np.maximum(near[turn][1:], near[turn][:-1])
    labels = np.zeros(len(values), int)
    labels[turn] = np.concatenate([[0], np.cumsum(steps)]) if len(values) else 0
    return labels


def _identity(event: Event) -> tuple:
    return event.order, *sorted(word_key(word) for word in event.words)


def boundaries(result: "BifurcationMap") -> Boundaries:
    """Find the events on every edge between two neighboring cells that differ in words or in stability."""
    grid = result.grid
    first, second, axis = [], [], []
    for along in range(len(grid.shape)):
        differs = np.zeros(grid.size, bool)  # between a cell and the next one along this axis
        for table in result.found.values():
            differs |= _differs(table, grid, along)
        cells = np.flatnonzero(differs)
        following = _next(cells, grid, along)
        searched = result.searched[cells] & result.searched[following]
        first.append(cells[searched])
        second.append(following[searched])
        axis.append(np.full(int(np.sum(searched)), along))
    first, second, axis = np.concatenate(first), np.concatenate(second), np.concatenate(axis)
    low, high = grid.values(first), grid.values(second)

    def between(pairs, s):
        return grid.models((1 - s)[:, None] * low[pairs] + s[:, None] * high[pairs])

    path = Line(grid.models(low), grid.models(high)) if grid.straight else between
    before, after = ({k: _words_of(table, ends) for k, table in result.found.items()} for ends in (first, second))
    events = compare_pairs(path, len(first), before, after, orders=result.orders)
    return Boundaries(grid, first, second, axis, tuple(events))


def _next(cells: np.ndarray, grid: AbstractGrid, axis: int) -> np.ndarray:
    return cells + int(np.prod(grid.shape[axis + 1 :]))


def _differs(table: CycleTable, grid: AbstractGrid, axis: int) -> np.ndarray:
    """Say of each cell whether the cycles of a table differ, in word or stability, from those of the next cell."""
    outside = np.sum(np.abs(table.multipliers) > 1, axis=1)
    # How many multipliers are outside the unit circle becomes part of the word.
    marks = outside[:, None, None] > np.arange(table.multipliers.shape[1])[None, None]
    words = np.concatenate([table.words, np.repeat(marks, table.words.shape[1], axis=1)], axis=2)
    place = np.unravel_index(table.cell, grid.shape)[axis]
    has_next, has_last = place < grid.shape[axis] - 1, place > 0
    step = int(np.prod(grid.shape[axis + 1 :]))
    here = codes_of(table.cell[has_next], words[has_next])
    there = codes_of(table.cell[has_last] - step, words[has_last])
    differs = np.zeros(grid.size, bool)
    differs[table.cell[has_next][~np.isin(here, there)]] = True
    differs[table.cell[has_last][~np.isin(there, here)] - step] = True
    return differs


def _words_of(table: CycleTable, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the words in each of some cells: numbers of the cells in the list, and the words."""
    begin, end = np.searchsorted(table.cell, cells), np.searchsorted(table.cell, cells + 1)
    number = end - begin
    rows = np.repeat(begin - np.cumsum(number) + number, number) + np.arange(int(np.sum(number)))
    return np.repeat(np.arange(len(cells)), number), table.words[rows]
