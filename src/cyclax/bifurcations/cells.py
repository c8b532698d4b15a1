"""Cycles of many models of a grid at once: starts drawn in every cell, words handed over, all checked in batches.

Found cycles of one order are kept as arrays over all cells (`Found`); a cycle is still its word, now with its cell.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from cyclax.bifurcations.line import Line
from cyclax.bifurcations.parameter import Grid
from cyclax.cycles.find import segments_for
from cyclax.cycles.newton import GOLDEN
from cyclax.cycles.search import Fate, Rounds, cached_lanes
from cyclax.cycles.solve import Borders, Solutions, borders_of_each, itineraries, solve_words
from cyclax.cycles.starts import drawn_starts, growth
from cyclax.cycles.word import canonical_words
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Lanes for each cell: few, so that a cell whose starts are done holds up few others.
_LANES = 16
# Cells, spread over the grid, on which the growth of distances is measured.
_MEASURED = 64


class Found(NamedTuple):
    """Cycles of one order in many cells, sorted by cell and word; the cycle is the first axis."""

    cell: np.ndarray  # (n,)
    words: np.ndarray  # (n, k, G) gates that matter; smallest rotation, the others closed
    points: np.ndarray  # (n, k, M)
    multipliers: np.ndarray  # (n, M)
    margin: np.ndarray  # (n,)

    def take(self, rows: np.ndarray) -> "Found":
        """Give some of the cycles."""
        return Found(*(part[rows] for part in self))

    def codes(self) -> np.ndarray:
        """Give cell and word as one row of bytes each, `(n, bytes)`: equal rows are equal cycles."""
        return codes_of(self.cell, self.words)


def codes_of(cell: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Give cells `(n,)` and words `(n, k, G)` as one scalar of bytes each, which sorts by cell and word."""
    cells = np.ascontiguousarray(cell.astype(">i8")[:, None]).view(np.uint8)
    bits = words.reshape(len(words), words.shape[1] * words.shape[2])
    rows = np.concatenate([cells, np.packbits(bits, axis=1)], axis=1)
    return np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))[:, 0]


def nothing(order: int, num_gates: int, num_states: int) -> Found:
    """No cycles."""
    return Found(
        np.zeros(0, np.int64),
        np.zeros((0, order, num_gates), bool),
        np.zeros((0, order, num_states)),
        np.zeros((0, num_states), complex),
        np.zeros(0),
    )


def joined(parts: list[Found]) -> Found:
    """Join tables of one order; of equal cycles the first stays."""
    together = Found(*map(np.concatenate, zip(*parts, strict=True)))
    _, first = np.unique(together.codes(), return_index=True)
    return together.take(first)


def filed(found: dict[int, Found], on_border: dict[int, np.ndarray], layers: dict[str, np.ndarray]):
    """Name tables and layers for an `.npz` file."""
    arrays = {f"degenerate.{order}": marks for order, marks in on_border.items() if order in found}
    for order, table in found.items():
        arrays |= {f"found.{order}.{name}": field for name, field in zip(Found._fields, table, strict=True)}
    return arrays | {f"layer.{name}": layer for name, layer in layers.items()}


def unfiled(arrays: dict[str, np.ndarray], orders: tuple[int, ...]):
    """Give tables, cells with solutions on borders, and layers, as `filed` named them."""
    found = {k: Found(*(arrays[f"found.{k}.{name}"] for name in Found._fields)) for k in orders}
    on_border = {k: arrays[f"degenerate.{k}"] for k in orders}
    layers = {name.removeprefix("layer."): array for name, array in arrays.items() if name.startswith("layer.")}
    return found, on_border, layers


class Stack(NamedTuple):
    """The models of some cells."""

    cells: np.ndarray  # (N,)
    models: AbstractPiecewiseLinearMap  # leaves (N, ...)
    bounds: Borders  # arrays (N, ...)


class Checked(NamedTuple):
    """What words turned out to be."""

    found: dict[int, Found]  # by minimal period
    degenerate: dict[int, np.ndarray]  # cells where a solution of that period lies on a border, or in a family


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each cell is searched.

    **Arguments:** `starts`: of each cell and order; `moves`: after which one is given up; `cells`: searched at once.
    """

    starts: int
    moves: int
    cells: int


class Searcher:
    """The search of the cells of one grid. Methods must be called under `numerics()`."""

    def __init__(self, grid: Grid | Line, key: Array, settings: Settings):
        self.grid, self.key, self.settings = grid, key, settings
        self.num_states, self.num_gates = grid.model.num_states, grid.model.num_gates

    def segments(self, orders: list[int]) -> dict[int, int]:
        """Choose how many segments each order is shot in: by the fastest growth in some cells, whatever the chunks."""
        usable = np.flatnonzero(self.grid.usable)
        cells = usable[np.unique(np.linspace(0, len(usable) - 1, _MEASURED).astype(int))]
        stack = self.stack(np.resize(cells, _MEASURED))
        # What no Jacobian can exceed needs no measurement (and no compilation).
        with np.errstate(all="ignore"):
            rate = float(
                np.max([Borders(*(part[i] for part in stack.bounds)).growth_bound() for i in range(_MEASURED)])
            )
        if segments_for(max(orders), rate) > 1:
            keys = jax.vmap(lambda cell: jax.random.fold_in(self.key, cell))(stack.cells)
            rates = np.asarray(growth(stack.models, keys, scales(stack)))
            rate = float(np.max(rates, where=np.isfinite(rates), initial=0.0))
        return {order: segments_for(order, rate) for order in orders}

    def stack(self, cells: np.ndarray) -> Stack:
        """Build the models of cells `(N,)`."""
        models = self.grid.models(self.grid.values(cells))
        return Stack(cells, models, borders_of_each(models, len(cells), self.num_states))

    def drawn(self, stack: Stack, order: int, segments: int, first: int = 0, number: int | None = None) -> Checked:
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

    def moved(self, stack: Stack, owner: np.ndarray, states: np.ndarray, order: int) -> Checked:
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

    def _reached(self, stack: Stack, owner: np.ndarray, nodes: np.ndarray, order: int) -> Checked:
        if not len(owner):
            return Checked({}, {})
        words, _ = itineraries(stack.models, nodes, order, owner)
        return self.check(stack, owner, words)

    def check(self, stack: Stack, owner: np.ndarray, words: np.ndarray) -> Checked:
        """Check words `(n, k, G)` from scratch, word i in cell `owner[i]` of the stack."""
        checked = Checked({}, {})
        matter = words & stack.bounds.effective[owner][:, None]
        periods, begins = canonical_words(matter)
        for period in np.unique(periods).tolist():
            rows = np.flatnonzero(periods == period)
            steps = (begins[rows][:, None] + np.arange(period)) % period
            turned = matter[rows[:, None], steps]
            _, first = np.unique(codes_of(stack.cells[owner[rows]], turned), return_index=True)
            mine, turned = owner[rows[first]], turned[first]
            solutions = self.solved(stack, mine, turned)
            real = real_cycles(solutions)
            table = Found(stack.cells[mine], turned, solutions.points, solutions.multipliers, solutions.margin)
            checked.found[period] = table.take(np.flatnonzero(real))
            fixed = solutions.singular | (solutions.outside <= solutions.error)
            checked.degenerate[period] = np.unique(stack.cells[mine[fixed & ~real]])
        return checked

    def solved(self, stack: Stack, owner: np.ndarray, words: np.ndarray) -> Solutions:
        """Solve words of gates that matter; the others stand as they do in their cell."""
        held = (~np.any(stack.bounds.gradients != 0, axis=2) & (stack.bounds.offsets > 0))[owner][:, None]
        gates = np.where(stack.bounds.effective[owner][:, None], words, held)
        return solve_words(stack.models, gates, stack.bounds, owner)


def real_cycles(solutions: Solutions) -> np.ndarray:
    """Say which solutions are cycles: isolated, on their own side of every border by more than their error."""
    return ~solutions.singular & (solutions.outside <= solutions.error) & (solutions.margin > solutions.error)


def scales(stack: Stack) -> np.ndarray:
    """Give the size of the states that matter in each cell (see `cycles.starts.state_scale`)."""
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
