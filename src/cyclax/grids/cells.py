"""Cycles of many models of a grid at once: starts drawn in every cell, words handed over, all checked in batches.

Cycles of one order are kept as arrays over all cells (`CycleTable`); a cycle is still its word, now with its cell.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from cyclax.core.archive import Archive
from cyclax.core.draws import GOLDEN
from cyclax.cycles.balance import balanced_stack, units_of
from cyclax.cycles.decide import Outcome
from cyclax.cycles.exact_form import exact_forms
from cyclax.cycles.orders import divisors
from cyclax.cycles.table import (
    BORDER,
    CYCLE,
    FAMILY,
    KINDS,
    REFUTED,
    UNDECIDED,
    CycleTable,
    UncountedTable,
    codes_of,
    joined,
)
from cyclax.cycles.verify import MOVES, Models, Settled, repetitions, settle
from cyclax.cycles.word import canonical_words
from cyclax.grids.grid import AbstractGrid
from cyclax.maps.affine import AffineForm, affine_form, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.registry import to_dict
from cyclax.search.driver import segments_for
from cyclax.search.lanes import cached_lanes
from cyclax.search.newton import hashes_of_words
from cyclax.search.rows import REMEMBERED, ROOM, Items, Met, Queue, lanes_of_rows
from cyclax.search.starts import growth

# Memory for the lanes of one call of the kernel where it does not run on a CPU.
_DEVICE_BYTES = 2**25
# Cells, spread over the grid, on which the growth of distances is measured.
_MEASURED = 64
# Cycles with a multiplier this close to the unit circle are asked for families that repeat their words.
_ROOT = 1e-7


def filed(result: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Give the header and the arrays, for an `.npz` file, of what any `BifurcationMap` holds beside its grid."""
    header = {
        "model": {name: np.asarray(value).tolist() for name, value in to_dict(result.grid.model).items()},
        "orders": list(map(int, result.orders)),
        "report": result.report,
    }
    arrays = {"searched": result.searched, **{f"layer.{name}": layer for name, layer in result.layers.items()}}
    for order, table in result.found.items():
        for kind, some in (("found", table), ("uncounted", result.uncounted[order])):
            arrays |= {f"{kind}.{order}.{name}": part for name, part in zip(some._fields, some, strict=True)}
    return header, arrays


# The report in the header of such a file, as far as anything relies on it.
REPORT = {"mended": int, "sweeps": int, "seconds": float, "cells": int, "starts": int, "interrupted?": str}
_LAYERS = {"exponent": float, "period": int, "bounded": float, "proved": bool}
_FOUND = CycleTable((int, "n"), (bool, "n k G"), (float, "n k M"), (complex, "n M"), (float, "n"))  # pyright: ignore


def unfiled(archive: Archive, grid: AbstractGrid):
    """Give orders, which cells were searched, and what `filed` was given."""
    orders = tuple(archive.header["orders"])
    if len(set(orders)) < len(orders) or min(orders, default=1) < 1:
        archive.refuse(f"its orders are {orders}")
    archive.sizes |= {"M": grid.model.num_states, "G": grid.model.num_gates, "cells": grid.size}
    archive.sizes |= {f"axis{i}": size for i, size in enumerate(grid.shape)}
    found: dict[int, CycleTable] = {}
    uncounted: dict[int, UncountedTable] = {}
    for k in orders:
        archive.sizes = {axis: size for axis, size in archive.sizes.items() if axis != "n"} | {"k": k}
        table = CycleTable(*(archive.array(f"found.{k}.{name}", *kind) for name, kind in _FOUND._asdict().items()))
        if len(table.cell) and (table.cell[0] < 0 or table.cell[-1] >= grid.size or np.any(np.diff(table.cell) < 0)):
            archive.refuse(f"found.{k}.cell are not the numbers of cells, in order")
        found[k] = table
        archive.sizes.pop("n")
        some = UncountedTable(
            archive.array(f"uncounted.{k}.cell", int, "n"),
            archive.array(f"uncounted.{k}.words", bool, "n k G"),
            archive.array(f"uncounted.{k}.kind", int, "n"),
        )
        if np.any((some.cell < 0) | (some.cell >= grid.size)) or not np.all(
            np.isin(some.kind, (BORDER, FAMILY, UNDECIDED))
        ):
            archive.refuse(f"uncounted.{k} are not cells and kinds")
        uncounted[k] = some
    axes = " ".join(f"axis{i}" for i in range(len(grid.shape)))
    there = [name for name in _LAYERS if f"layer.{name}" in archive.entries]
    layers = {name: archive.array(f"layer.{name}", _LAYERS[name], axes) for name in there}
    return orders, archive.array("searched", bool, "cells"), (found, uncounted, layers)


class Stack(NamedTuple):
    """The models of some cells."""

    cells: np.ndarray  # (N,)
    models: AbstractPiecewiseLinearMap  # leaves (N, ...)
    bounds: AffineForm  # arrays (N, ...)

    def distances(self, owner: np.ndarray, points: np.ndarray, units: np.ndarray | float = 1.0) -> np.ndarray:
        """Distances `(n, k, G)` of points `(n, k, M)` to the borders of their models, inf where a gate does not matter.

        With `units`, the points times these have them.
        """
        gradients = self.bounds.gradients[owner]
        heights = np.einsum("ngm,nkm->nkg", gradients, points) + self.bounds.offsets[owner][:, None]
        with np.errstate(all="ignore"):
            distances = np.abs(heights) / np.linalg.norm(gradients / units, axis=2)[:, None]
        return np.where(self.bounds.effective[owner][:, None], distances, np.inf)


class VerifiedTables(NamedTuple):
    """What words turned out to be, by minimal period."""

    found: dict[int, CycleTable]
    uncounted: dict[int, UncountedTable]
    # Where words lead that are refuted, and not singular: cells of the stack `(n,)` and states `(n, M)`.
    refuted: dict[int, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each cell is searched.

    **Arguments:** `starts`: of each cell and order; `moves`: after which one is given up; `cells`: searched at once;
    `stride`: along each axis, every so many cells is searched with all starts, those halfway between with some, and the
    others with `few` each, once they have been given the words of their neighbors.
    """

    starts: int
    moves: int
    cells: int
    stride: int = 1
    few: int = 0


class GridSearch:
    """The search of the cells of one grid. Methods must be called under `numerics()`."""

    def __init__(self, grid: AbstractGrid, key: Array, settings: Settings):
        self.grid, self.key, self.settings = grid, key, settings
        self.num_states, self.num_gates = grid.model.num_states, grid.model.num_gates
        # One set of units for all cells, so that they stay one stack.
        self.units = units_of(affine_form(grid.at(int(np.argmax(grid.usable)))))

    def segments(self, orders: list[int]) -> dict[int, int]:
        """Choose how many segments each order is shot in: by the fastest growth in some cells, whatever the chunks."""
        usable = np.flatnonzero(self.grid.usable)
        cells = usable[np.unique(np.linspace(0, len(usable) - 1, _MEASURED).astype(int))]
        stack = self.stack(np.resize(cells, _MEASURED))
        # What no Jacobian can exceed needs no measurement (and no compilation).
        with np.errstate(all="ignore"):
            rate = float(np.max([stack.bounds.take(i).growth_bound() for i in range(_MEASURED)]))
        if segments_for(max(orders), rate) > 1:
            keys = jax.vmap(lambda cell: jax.random.fold_in(self.key, cell))(stack.cells)
            rates = np.asarray(growth(stack.models, keys, scales(stack)))
            rate = float(np.max(rates, where=np.isfinite(rates), initial=0.0))
        return {order: segments_for(order, rate) for order in orders}

    def stack(self, cells: np.ndarray) -> Stack:
        """Build the models of cells `(N,)`."""
        models = balanced_stack(self.grid.models(self.grid.values(cells)), len(cells), self.units)
        return Stack(cells, models, exact_forms(models, len(cells), self.num_states))

    def drawn(self, stack: Stack, segments: dict[int, int], first, number, known) -> VerifiedTables:
        """Search every cell of a stack with drawn starts `first` (even), `first` + 1, .. of each order.

        **Arguments:** `segments`: the orders, and how many segments each is shot in; `first`, `number` of starts: for
        each order those of the cells, `{order: (N,)}`; `known`: cycles by order.
        """
        met = []
        for alike in sorted(set(segments.values())):
            orders = np.array([order for order in segments if segments[order] == alike])
            begin, each = (np.stack([part[order] for order in orders.tolist()]) for part in (first, number))
            parts = -(-each.reshape(-1) // ROOM)
            which, owner = (np.repeat(part.reshape(-1), parts) for part in np.indices(each.shape))
            place = ROOM * (np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts))
            some = np.minimum(ROOM, each[which, owner] - place)
            there = np.stack([self._known_words(stack, order, alike, known) for order in orders.tolist()])
            items = Items(owner, orders[which], some, begin[which, owner] + place, there[which, owner])
            found = self._queue(alike).drawn(stack.models, items, self.key, stack.cells, scales(stack))
            met += self._met(stack, items, found)
        return self.check(stack, met, known)

    def _known_words(self, stack: Stack, order: int, segments: int, known: Mapping[int, CycleTable]) -> np.ndarray:
        """Hash what starts of an order need not find again, `(N, REMEMBERED)`: cycles of its divisors, repeated.

        Those of the order itself are found again, which tells whether starts find what there is.
        """
        hashes, number = np.zeros((len(stack.cells), REMEMBERED), np.uint64), np.zeros(len(stack.cells), int)
        for divisor in divisors(order)[:-1]:
            table = known.get(divisor)
            if table is None or not len(table.cell):
                continue
            owner = np.searchsorted(stack.cells, table.cell)
            words = Models(stack.models, stack.bounds).held(owner, table.words)
            rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
            for step in range(divisor):
                place = number[owner] + divisor * rank + step
                some = np.flatnonzero(place < REMEMBERED)
                turned = np.tile(np.roll(words[some], -step, axis=1), (1, order // divisor, 1))
                hashes[owner[some], place[some]] = hashes_of_words(turned, segments)
            number += divisor * np.bincount(owner, minlength=len(number))
        return hashes

    def moved(self, stack: Stack, starts: dict[int, tuple[np.ndarray, np.ndarray]]) -> VerifiedTables:
        """Search from states, in one segment: for each order cells of the stack `(n,)` and states `(n, M)`."""
        order = np.repeat(list(starts), [len(owner) for owner, _ in starts.values()])
        owner, states = concatenated(list(starts.values()))
        items, found = self._queue(1).given(stack.models, owner, order, states)
        return self.check(stack, self._met(stack, items, found))

    def _queue(self, segments: int) -> Queue:
        """Make the search of stacks: as many rows as fit the caches of a CPU, or the memory."""
        lanes = lanes_of_rows(self.num_states)
        if jax.default_backend() == "cpu":
            rows = max(4, cached_lanes(self.num_states, segments) // (2 * lanes))
        else:
            rows = max(4, int(_DEVICE_BYTES / (64 * segments * (self.num_states + 2) ** 2)) // lanes)
        return Queue(self.num_states, rows, segments, self.settings.moves)

    def _met(self, stack: Stack, items: Items, parts: Iterable[Met]):
        """Give the owners, and the words, of what starts of items met, each once, order by order."""
        parts = list(parts)
        if not parts:
            return
        item, nodes, word = map(np.concatenate, zip(*parts, strict=True))
        order, owner = items.order[item], items.owner[item]
        pairs = word ^ (np.uint64(GOLDEN) * (owner.astype(np.uint64) + np.uint64(1)))
        _, mine = np.unique(pairs, return_index=True)
        for k in np.unique(order[mine]).tolist():
            some = mine[order[mine] == k]
            yield owner[some], itineraries(stack.models, nodes[some], k, owner[some])[0]

    def check(
        self,
        stack: Stack,
        words: Iterable[tuple[np.ndarray, np.ndarray]],
        known: Mapping[int, CycleTable] = MappingProxyType({}),
    ) -> VerifiedTables:
        """Check words from scratch: pairs of owners `(n,)`, cells of the stack, and words `(n, k, G)`.

        Cycles that are `known`, by order, have been: they are given as they are.
        """
        found: dict[int, list[CycleTable]] = {}
        uncounted: dict[int, list[UncountedTable]] = {}
        refuted: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        models = Models(stack.models, stack.bounds)
        for owner, some in _primitive(models, words):
            if (order := some.shape[1]) in known:
                codes = codes_of(stack.cells[owner], some & models.effective(owner)[:, None])
                there, new = known[order].among(codes)
                found.setdefault(order, []).append(there)
                owner, some = owner[new], some[new]
                if not len(new):
                    continue
            for batch in settle(models, owner, some, moves=MOVES)[0]:
                self._file(stack, models, batch, found, uncounted)
                left = np.flatnonzero((batch.kind == REFUTED) & ~batch.solutions.singular)
                pair = batch.owner[left], batch.solutions.points[left, 0]
                refuted.setdefault(batch.words.shape[1], []).append(pair)
        return VerifiedTables(
            {order: joined(parts) for order, parts in found.items()},
            {order: joined(parts) for order, parts in uncounted.items()},
            {order: concatenated(parts) for order, parts in refuted.items()},
        )

    def _file(self, stack: Stack, models: Models, batch: Settled, found, uncounted) -> None:
        """Write down what words of one order turned out to be, of each the tables by order."""
        cells, words, values = stack.cells[batch.owner], batch.words, batch.solutions.multipliers
        words = words & models.effective(batch.owner)[:, None]
        order = words.shape[1]
        kept = np.flatnonzero(batch.kind == CYCLE)
        points, margin = batch.solutions.points[kept], batch.solutions.margin[kept]
        if self.units is not None and len(kept):
            distances = stack.distances(batch.owner[kept], points, self.units)
            points, margin = points * self.units, np.min(distances, axis=(1, 2), initial=np.inf)
        found.setdefault(order, []).append(CycleTable(cells[kept], words[kept], points, values[kept], margin))
        some = np.flatnonzero(batch.kind > CYCLE)
        if len(some):
            uncounted.setdefault(order, []).append(UncountedTable(cells[some], words[some], batch.kind[some]))
        # Families that repeat the word of what is known, where its multipliers are roots of unity.
        rooted = np.any(np.abs(np.abs(values) - 1) < _ROOT, axis=1) & np.isin(batch.kind, (CYCLE, BORDER, FAMILY))
        for i in np.flatnonzero(rooted).tolist():
            for q, decision in repetitions(models.decider(int(batch.owner[i])), batch.words[i], values[i]):
                if decision is not None and decision.outcome in (Outcome.FAMILY, Outcome.OPEN):
                    row = (
                        cells[i : i + 1],
                        np.tile(words[i : i + 1], (1, q, 1)),
                        np.array([KINDS[decision.outcome]]),
                    )
                    uncounted.setdefault(q * order, []).append(UncountedTable(*row))


def concatenated(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Put owners and words, in parts of both, one after the other."""
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def _primitive(
    models: Models, words: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give words in their smallest rotation, those of one minimal period together and each once: owners and words."""
    parts: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for owner, some in words:
        periods, begins = canonical_words(some & models.effective(owner)[:, None])
        for period in np.unique(periods).tolist():
            rows = np.flatnonzero(periods == period)
            steps = (begins[rows][:, None] + np.arange(period)) % period
            parts.setdefault(period, []).append((owner[rows], some[rows[:, None], steps]))
    for _, pairs in sorted(parts.items()):
        owner, some = concatenated(pairs)
        _, first = np.unique(codes_of(owner, some & models.effective(owner)[:, None]), return_index=True)
        yield owner[first], some[first]


def scales(stack: Stack) -> np.ndarray:
    """Give the size of the states that matter in each cell (see `maps.affine.state_scale`)."""
    bounds = stack.bounds
    with np.errstate(all="ignore"):
        away = np.abs(bounds.offsets) / np.linalg.norm(bounds.gradients, axis=2)
    away = np.where(bounds.effective & np.isfinite(away), away, np.nan)
    middle = np.zeros(len(away))
    some = np.any(np.isfinite(away), axis=1)
    middle[some] = np.nanmedian(away[some], axis=1)
    image = bounds.shift + np.einsum("ng,ngm->nm", bounds.offsets > 0, bounds.shift_jumps)
    scale = np.maximum(np.max(np.abs(image), axis=1), middle)
    return np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
