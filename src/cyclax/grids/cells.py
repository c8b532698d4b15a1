"""Cycles of many models of a grid at once: starts drawn in every cell, words handed over, all checked in batches.

Cycles of one order are kept as arrays over all cells (`CycleTable`); a cycle is still its word, now with its cell.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from cyclax.core.archive import Archive
from cyclax.core.draws import GOLDEN
from cyclax.cycles.balance import balanced_stack, units_of
from cyclax.cycles.decide import Outcome
from cyclax.cycles.exact_form import exact_forms
from cyclax.cycles.table import BORDER, CYCLE, FAMILY, KINDS, UNDECIDED, CycleTable, UncountedTable, joined
from cyclax.cycles.verify import MOVES, Models, repetitions, settle
from cyclax.grids.grid import AbstractGrid
from cyclax.maps.affine import AffineForm, affine_form, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.registry import to_dict
from cyclax.search.driver import segments_for
from cyclax.search.lanes import Fate, Rounds, cached_lanes
from cyclax.search.starts import drawn_starts, growth

# Lanes for each cell: few, so that a cell whose starts are done holds up few others.
_LANES = 16
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


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each cell is searched.

    **Arguments:** `starts`: of each cell and order; `moves`: after which one is given up; `cells`: searched at once.
    """

    starts: int
    moves: int
    cells: int


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
            rate = float(
                np.max([AffineForm(*(part[i] for part in stack.bounds)).growth_bound() for i in range(_MEASURED)])
            )
        if segments_for(max(orders), rate) > 1:
            keys = jax.vmap(lambda cell: jax.random.fold_in(self.key, cell))(stack.cells)
            rates = np.asarray(growth(stack.models, keys, scales(stack)))
            rate = float(np.max(rates, where=np.isfinite(rates), initial=0.0))
        return {order: segments_for(order, rate) for order in orders}

    def stack(self, cells: np.ndarray) -> Stack:
        """Build the models of cells `(N,)`."""
        models = balanced_stack(self.grid.models(self.grid.values(cells)), len(cells), self.units)
        return Stack(cells, models, exact_forms(models, len(cells), self.num_states))

    def drawn(
        self, stack: Stack, order: int, segments: int, first: int = 0, number: int | None = None
    ) -> VerifiedTables:
        """Search with drawn starts `first`, `first` + 1, .. of one order in every cell of a stack."""
        size, total = self.settings.cells, number or self.settings.starts
        pool = self.settings.starts
        rows = np.resize(np.arange(len(stack.cells)), size)  # a full batch, whatever the number of cells
        models = jax.tree.map(lambda leaf: leaf[rows], stack.models)
        keys = _keys(self.key, stack.cells[rows], order)
        scale = scales(stack)[rows]
        lanes = min(cached_lanes(self.num_states, segments), max(1, pool // 2))
        rounds = Rounds(min(_LANES, pool), self.settings.moves, pool)
        owners, nodes = [], []
        for begin in range(first, first + total, pool):
            z, word = drawn_starts(
                models, order, keys, np.full(size, begin), scale, pool, pool=pool, segments=segments, lanes=lanes
            )
            sizes = np.where(np.arange(size) < len(stack.cells), min(pool, first + total - begin), 0)
            outcome = rounds.run(models, order, np.asarray(z), np.asarray(word), sizes)
            owner, states = _hits(outcome)
            owners.append(owner)
            nodes.append(states)
        return self._reached(stack, np.concatenate(owners), np.concatenate(nodes), order)

    def moved(self, stack: Stack, owner: np.ndarray, states: np.ndarray, order: int) -> VerifiedTables:
        """Search from states `(n, M)`, those of cell `owner[i]` of the stack, in one segment."""
        size, pool = self.settings.cells, self.settings.starts
        rounds = Rounds(min(_LANES, pool), self.settings.moves, pool)
        turn = np.argsort(owner, kind="stable")
        owner, states = owner[turn], states[turn]
        # A row takes up to `pool` states of one cell; a cell may have several rows.
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        row_of = np.cumsum((rank % pool == 0).astype(int)) - 1
        place, owner_of = rank % pool, owner[rank % pool == 0]
        owners, nodes = [], []
        for begin in range(0, len(owner_of), size):
            some = owner_of[begin : begin + size]
            mine = (row_of >= begin) & (row_of < begin + size)
            z = np.zeros((size, self.num_states, 1, pool))
            z[row_of[mine] - begin, :, 0, place[mine]] = states[mine]
            sizes = np.bincount(row_of[mine] - begin, minlength=size)
            rows = np.resize(some, size)
            models = jax.tree.map(lambda leaf, rows=rows: leaf[rows], stack.models)
            outcome = rounds.run(models, order, z, np.zeros((size, pool), np.uint64), sizes)
            row, ends = _hits(outcome)
            owners.append(rows[row])
            nodes.append(ends)
        return self._reached(stack, np.concatenate(owners), np.concatenate(nodes), order)

    def _reached(self, stack: Stack, owner: np.ndarray, nodes: np.ndarray, order: int) -> VerifiedTables:
        if not len(owner):
            return VerifiedTables({}, {})
        words, _ = itineraries(stack.models, nodes, order, owner)
        return self.check(stack, owner, words)

    def check(self, stack: Stack, owner: np.ndarray, words: np.ndarray) -> VerifiedTables:
        """Check words `(n, k, G)` from scratch, word i in cell `owner[i]` of the stack."""
        found: dict[int, list[CycleTable]] = {}
        uncounted: dict[int, list[UncountedTable]] = {}
        models = Models(stack.models, stack.bounds)
        for batch in settle(models, owner, words, moves=MOVES)[0]:
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
        return VerifiedTables(
            {order: joined(parts) for order, parts in found.items()},
            {order: joined(parts) for order, parts in uncounted.items()},
        )


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


@jax.jit
def _keys(key, cells, order):
    return jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), order))(cells)


def _hits(outcome) -> tuple[np.ndarray, np.ndarray]:
    """Give the rows `(n,)` and the nodes `(n, S, M)` of what converged, one for each row and word."""
    row, start = np.nonzero(outcome.fate == Fate.HIT)
    pairs = outcome.word[row, start] ^ (np.uint64(GOLDEN) * (row.astype(np.uint64) + np.uint64(1)))
    _, first = np.unique(pairs, return_index=True)
    row, start = row[first], start[first]
    return row, np.transpose(outcome.z[row, :, :, start], (0, 2, 1))
