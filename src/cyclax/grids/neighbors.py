"""The search of all cells of a grid, or of all models of a sequence, in sweeps: neighbors mend what one cell missed."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from cyclax.core.folder import Store
from cyclax.core.version import __version__
from cyclax.core.workers import Arrays, cores, distribute
from cyclax.cycles.index import index_of_each
from cyclax.cycles.orders import divisors
from cyclax.cycles.table import CycleTable, UncountedTable, codes_of, joined, none_uncounted, nothing
from cyclax.cycles.verify import Models
from cyclax.grids.cells import GridSearch, Settings, Stack, VerifiedTables
from cyclax.grids.grid import AbstractGrid
from cyclax.grids.orbit_layers import orbits
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.linear import UNROLLED_SIZE

# Words that are checked together when they are handed over to neighbors.
_WORDS_AT_ONCE = 4096
# A candidate further out than this many times the size of what is near it is not moved on from.
_FAR = 1e9
# How many times as many starts a cell is given that is searched again, doubled with each round; and how many rounds.
_EFFORT, _ROUNDS = 4, 6
# Memory for the starts of the cells that are searched at once.
_BYTES = 2**26


def cells_at_once(model: AbstractPiecewiseLinearMap, starts: int) -> int:
    """Choose how many cells are searched at once."""
    leaves = sum(np.size(leaf) for leaf in jax.tree.leaves(model))
    each = 8 * (leaves * (1 + model.num_gates) + 2 * starts * model.num_states + 64 * model.num_states**2)
    return int(2 ** np.clip(np.log2(_BYTES / each).round(), 2, 8))


class NeighborSearch:
    """One scan, or one sequence of models tracked: what is known of all cells."""

    def __init__(
        self,
        grid: AbstractGrid,
        wanted,
        key,
        settings: Settings,
        orbit_steps,
        longest,
        store,
        progress,
    ):
        self.grid, self.wanted, self.settings = grid, wanted, settings
        self.key, self.orbit_steps, self.longest, self.progress = key, orbit_steps, longest, progress
        self.search = GridSearch(grid, key, settings)
        self.orders = sorted({d for order in wanted for d in divisors(order)})
        self.found: dict[int, CycleTable] = {k: self._blank(k) for k in self.orders}
        self.tried: dict[int, np.ndarray] = {k: table.codes() for k, table in self.found.items()}
        self.uncounted = {k: none_uncounted(k, self.search.num_gates) for k in self.orders}
        self.layers: dict[str, np.ndarray] = {}
        self.searched = np.zeros(grid.size, bool)
        self.gained = np.zeros(grid.size, bool)
        # Cells that were given cycles of an order since they were last searched for it.
        self.learned = {k: np.zeros(grid.size, bool) for k in self.orders}
        self.sweeps, self.searched_again = 0, 0
        self.segments = self.search.segments(self.orders)
        # Batched LAPACK calls deadlock when two threads make them (jaxlib 0.10.2), and use all cores anyway.
        self.threads = cores() if self.search.num_states <= UNROLLED_SIZE else 1
        self.store = None if store is None else self._opened(store)

    @property
    def mended(self) -> int:
        """Cells that were given cycles which their own starts had missed."""
        return int(np.sum(self.gained))

    def _opened(self, folder: Any) -> Store:
        """Open the folder in which chunks are kept."""
        configuration = {
            "format": 3,  # words on borders, of families and undecided ones are kept
            **self.grid.identity(),
            "orders": list(map(int, self.wanted)),
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "settings": {name: int(value) for name, value in dataclasses.asdict(self.settings).items()},
            "orbits": [int(self.orbit_steps), int(self.longest)],
            "version": __version__,
        }
        other, remedy = "a scan of another configuration", "Delete it, and the scan computes it again."
        return Store(folder, configuration, name="scan.json", other=other, remedy=remedy)

    def run(self, heal: bool, exact: bool) -> str | None:
        """Search, mend and prove; say what was interrupted, if anything."""
        try:
            self.first_pass()
        except KeyboardInterrupt:
            return "interrupted by Ctrl-C; cells not searched are marked so, and none has been compared with neighbors"
        try:
            if heal:
                self.heal(self.found)
                for round_ in range(_ROUNDS):
                    if not self.search_again(round_):
                        break
        except KeyboardInterrupt:
            return "interrupted by Ctrl-C while neighbors were compared; all cells have been searched"
        try:
            if exact:
                self.prove()
        except KeyboardInterrupt:
            return "interrupted by Ctrl-C while cells were proved; those that were are marked so"
        return None

    # -- every cell by itself -----------------------------------------------------------------------------------------

    def first_pass(self) -> None:
        """Search every cell with its own starts, and follow its orbits."""
        size = self.settings.cells
        usable = np.flatnonzero(self.grid.usable)
        chunks = [usable[begin : begin + size] for begin in range(0, len(usable), size)]
        results: list[tuple[int, Arrays]] = []
        try:
            for result in self._spread(self._first, chunks, "scan", [len(chunk) for chunk in chunks]):
                results.append(result)
                self.searched[result[1]["cells"]] = True
        finally:
            self._merge(results)
            if self.orbit_steps:
                for name, blank in (("exponent", np.nan), ("period", 0), ("bounded", np.nan)):
                    layer = np.full(self.grid.size, blank)
                    for _, result in results:
                        layer[result["cells"]] = result[name]
                    self.layers[name] = layer.reshape(self.grid.shape)

    def _first(self, cells: np.ndarray) -> Arrays:
        stack, layers = self.search.stack(cells), {}
        parts = self._drawn(stack, 0, self.settings.starts, self.orders)
        if self.orbit_steps:
            layers, met = orbits(self.search, stack, self.orbit_steps, self.longest)
            parts += met
        return _packed(parts, self.orders) | layers | {"cells": cells}

    def _drawn(self, stack: Stack, first: int, number: int, orders: list[int]) -> list[VerifiedTables]:
        return [self.search.drawn(stack, order, self.segments[order], first, number) for order in orders]

    # -- neighbors ----------------------------------------------------------------------------------------------------

    def heal(self, fresh: dict[int, CycleTable]) -> None:
        """Hand words to neighbors, sweep by sweep, until no cell gains any."""
        extra: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        while any(len(table.cell) for table in fresh.values()) or extra:
            tasks, lost = {}, {}
            for order in self.orders:
                cell, words, source = self._handed_over(fresh.get(order, self._blank(order)))
                more = extra.get(order)
                if more is not None:
                    cell, words = np.concatenate([cell, more[0]]), np.concatenate([words, more[1]])
                    source = np.concatenate([source, np.full(len(more[0]), -1)])
                codes = codes_of(cell, words)
                new = np.flatnonzero(~np.isin(codes, self.tried[order]))
                _, first = np.unique(codes[new], return_index=True)
                tasks[order] = (cell[new[first]], words[new[first]])
                lost[order] = codes[new], source[new]
                self.tried[order] = np.union1d(self.tried[order], codes[new])
            if not any(len(cell) for cell, _ in tasks.values()):
                return
            self.sweeps += 1
            gained = self._try(tasks)
            extra = self._partners(fresh, lost)
            fresh = gained

    def take_in(self, words: dict[int, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Try words in cells, hand on what they turn out to be, and say which cells gained any.

        **Arguments:** for each order the cells `(n,)` and the words `(n, k, G)`.

        **Returns:** the cells that were given cycles, `(cells,)` True.
        """
        known = {order: self.found[order].codes() for order in self.orders}
        self.sweeps += 1
        self.heal(self._try(words))
        gained = np.zeros(self.grid.size, bool)
        for order, table in self.found.items():
            gained[table.cell[~np.isin(table.codes(), known[order])]] = True
        return gained

    def _blank(self, order: int) -> CycleTable:
        return nothing(order, self.search.num_gates, self.search.num_states)

    def _handed_over(self, table: CycleTable):
        """Give every cycle of a table to the cells beside its own: cells, words, and the row it came from."""
        places = np.stack(np.unravel_index(table.cell, self.grid.shape))
        cells, rows = [], []
        for axis, size in enumerate(self.grid.shape):
            for step in (-1, 1):
                beside = places.copy()
                beside[axis] += step
                inside = np.flatnonzero((beside[axis] >= 0) & (beside[axis] < size))
                next_cells = np.asarray(np.ravel_multi_index(tuple(beside[:, inside]), self.grid.shape))
                usable = self.grid.usable[next_cells]
                cells.append(next_cells[usable])
                rows.append(inside[usable])
        row = np.concatenate(rows)
        return np.concatenate(cells), table.words[row], row

    def _try(self, tasks: dict[int, tuple[np.ndarray, np.ndarray]]) -> dict[int, CycleTable]:
        """Try words in cells; give what is new."""
        items = []
        for order, (cell, words) in tasks.items():
            turn = np.argsort(cell, kind="stable")
            cell, words = cell[turn], words[turn]
            items += [
                (order, cell[begin : begin + _WORDS_AT_ONCE], words[begin : begin + _WORDS_AT_ONCE])
                for begin in range(0, len(cell), _WORDS_AT_ONCE)
            ]
        sizes = [len(np.unique(cell)) for _, cell, _ in items]
        stage = f"sweep{self.sweeps:04d}"
        return self._merge(self._spread(self._tried, items, stage, sizes), mended=True)

    def _tried(self, item) -> Arrays:
        order, cell, words = item
        cells, owner = np.unique(cell, return_inverse=True)
        stack = self.search.stack(cells)
        solutions = Models(stack.models, stack.bounds).solve(owner, words)
        met = ~solutions.singular & (solutions.outside <= solutions.error)
        checked = [self.search.check(stack, owner[met], words[met])] if np.any(met) else []
        # Where the word does not hold, its solution is a start as good as any.
        start = solutions.points[:, 0]
        size = np.max(np.abs(start), axis=1, initial=0)
        movable = np.flatnonzero(~met & ~solutions.singular & (size < _FAR))
        if len(movable):
            checked.append(self.search.moved(stack, owner[movable], start[movable], order))
        return _packed(checked, self.orders)

    def _partners(self, fresh: dict[int, CycleTable], lost) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Give words that border collisions between neighbors may lead to, in both cells.

        Where a neighbor has not the word w of a cycle, the cycle may have met the border nearest to it: beyond it is
        the word w' with that gate flipped, and at a flip the word w w' of twice the order.
        """
        more: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for order, (codes, source) in lost.items():
            table = fresh.get(order)
            failed = (source >= 0) & ~np.isin(codes, self.found[order].codes())
            rows = np.unique(source[failed])
            if table is None or not len(rows):
                continue
            some = table.take(rows)
            flipped = self._across(some)
            beside, _, row = self._handed_over(some)
            cell = np.concatenate([some.cell, beside])
            first, second = some.words[np.r_[np.arange(len(rows)), row]], flipped[np.r_[np.arange(len(rows)), row]]
            more.setdefault(order, []).append((cell, second))
            if 2 * order in self.found:
                more.setdefault(2 * order, []).append((cell, np.concatenate([first, second], axis=1)))
        return {
            order: (np.concatenate([cell for cell, _ in parts]), np.concatenate([words for _, words in parts]))
            for order, parts in more.items()
        }

    def _across(self, table: CycleTable) -> np.ndarray:
        """Flip, in the word of each cycle, the gate at the border nearest to it."""
        cells, owner = np.unique(table.cell, return_inverse=True)
        words = table.words.copy()
        for begin in range(0, len(cells), _WORDS_AT_ONCE):
            mine = np.flatnonzero((owner >= begin) & (owner < begin + _WORDS_AT_ONCE))
            stack, which = self.search.stack(cells[begin : begin + _WORDS_AT_ONCE]), owner[mine] - begin
            points = table.points[mine] if self.search.units is None else table.points[mine] / self.search.units
            distances = stack.distances(which, points)
            place = distances.reshape(len(mine), -1)
            if place.shape[1]:
                step, gate = np.unravel_index(np.argmin(place, axis=1), distances.shape[1:])
                words[mine, step, gate] ^= stack.bounds.effective[which, gate]
        return words

    # -- index sums ---------------------------------------------------------------------------------------------------

    def index_sums(self, order: int) -> np.ndarray:
        """Sum the indices of all solutions of F^k(z) = z in every cell; nan where one of them has none."""
        total = np.where(self.grid.usable, 0.0, np.nan)
        for divisor, table in self.found.items():
            if order % divisor == 0:
                np.add.at(total, table.cell, divisor * index_of_each(table.multipliers, order // divisor))
                total[self.uncounted[divisor].cell] = np.nan
        return total

    def search_again(self, round_: int) -> bool:
        """Search some cells with more starts; say whether that changed any.

        These are the cells whose index sum differs from a neighbor's, and those that have been given cycles which
        their own starts had missed: where some were missed, others may have been, until more starts find nothing new.
        """
        items, sizes, again = [], [], np.zeros(self.grid.size, bool)
        unlike: dict[int, list[np.ndarray]] = {}
        for order in self.orders:
            divisors = [d for d in self.orders if order % d == 0]
            unlike[order] = _unlike_neighbors(self.index_sums(order).reshape(self.grid.shape))
            # What a divisor's sum shows is searched for there.
            explained = [
                np.any([unlike[d][axis] for d in divisors[:-1]], axis=0) for axis in range(len(self.grid.shape))
            ]
            marked = _beside([differs & ~seen for differs, seen in zip(unlike[order], explained, strict=True)])
            marked.reshape(-1)[self.learned[order]] = True
            self.learned[order][:] = False
            cells = np.flatnonzero(marked)
            again[cells] = True
            size = self.settings.cells
            some = [cells[begin : begin + size] for begin in range(0, len(cells), size)]
            items += [(chunk, divisors) for chunk in some]
            sizes += [len(chunk) for chunk in some]
        if round_ == 0:
            self.searched_again = int(np.sum(again))
        first = self.settings.starts * (1 + (2**round_ - 1) * _EFFORT)
        number = self.settings.starts * 2**round_ * _EFFORT

        def work(item) -> Arrays:
            chunk, divisors = item
            return _packed(self._drawn(self.search.stack(chunk), first, number, divisors), self.orders)

        gained = self._merge(self._spread(work, items, f"again{round_}", sizes), mended=True)
        if not any(len(table.cell) for table in gained.values()):
            return False
        self.heal(gained)
        return True

    # -- proofs -------------------------------------------------------------------------------------------------------

    def prove(self) -> None:
        """Enumerate the cycles of every cell; `layers["proved"]` says where that was complete."""
        usable = np.flatnonzero(self.grid.usable)
        chunks = [usable[begin : begin + 16] for begin in range(0, len(usable), 16)]
        proved = np.zeros(self.grid.size, bool)
        results: list[tuple[int, Arrays]] = []
        try:
            for result in self._spread(self._proved, chunks, "exact", [len(chunk) for chunk in chunks]):
                results.append(result)
                proved[result[1]["cells"]] = result[1]["proved"]
        finally:
            self._merge(results, mended=True)
            self.layers["proved"] = proved.reshape(self.grid.shape)

    def _proved(self, cells: np.ndarray) -> Arrays:
        from cyclax.proofs.enumerate import enumerate_cycles

        stack, checked, proved = self.search.stack(cells), [], []
        for i, cell in enumerate(cells):
            cycles = enumerate_cycles(self.grid.at(int(cell)), self.wanted, progress=False)
            verdicts = [entry["verdict"] for entry in cycles.report["orders"].values()]
            proved.append(all(verdict == "proved complete" for verdict in verdicts))
            by_order: dict[int, list] = {}
            for entry in (*cycles, *cycles.degenerate):
                by_order.setdefault(entry.order, []).append(entry.gates)
            checked += [
                self.search.check(stack, np.full(len(words), i), np.stack(words)) for words in by_order.values()
            ]
        return _packed(checked, self.orders) | {"cells": cells, "proved": np.array(proved)}

    # -- bookkeeping --------------------------------------------------------------------------------------------------

    def _spread(self, work, items, stage: str, sizes):
        return distribute(
            work, items, threads=self.threads, stage=stage, sizes=sizes, store=self.store, progress=self.progress
        )

    def _absorbed(self, result: Arrays) -> dict[int, CycleTable]:
        tables = {order: self._blank(order) for order in self.orders}
        for order in self.orders:
            for kind, fields in (("uncounted", UncountedTable._fields), ("found", CycleTable._fields)):
                if f"{order}.{kind}.cell" not in result:
                    continue
                columns = {name: result[f"{order}.{kind}.{name}"] for name in fields}
                bits = (order, self.search.num_gates)
                words = np.unpackbits(columns["words"], axis=1, count=bits[0] * bits[1]).astype(bool)
                columns["words"] = words.reshape(-1, *bits)
                if kind == "found":
                    tables[order] = CycleTable(**columns)
                else:
                    self.uncounted[order] = joined([self.uncounted[order], UncountedTable(**columns)])
        return tables

    def _merge(self, results: Iterable[tuple[int, Arrays]], mended: bool = False) -> dict[int, CycleTable]:
        """Take in results, in the order of their items, whichever was done first; give what was new in them."""
        parts = [self._absorbed(result) for _, result in sorted(results, key=lambda pair: pair[0])]
        fresh = {}
        for order in self.orders:
            known = self.found[order]
            arrived = joined([known.take(np.arange(0)), *(part[order] for part in parts)])
            fresh[order] = arrived.take(np.flatnonzero(~np.isin(arrived.codes(), known.codes())))
            self.found[order] = joined([known, fresh[order]])
            self.tried[order] = np.union1d(self.tried[order], fresh[order].codes())
            if mended:
                self.gained[fresh[order].cell] = True
                self.learned[order][fresh[order].cell] = True
        return fresh


def _packed(parts, orders: list[int]) -> Arrays:
    """Turn what was checked into arrays that files can hold: `"{order}.{kind}.{field}"`."""
    arrays: Arrays = {}
    for order in orders:
        for kind in ("found", "uncounted"):
            tables = [getattr(part, kind)[order] for part in parts if order in getattr(part, kind)]
            if not tables:
                continue
            table = joined(tables)
            for name, field in zip(table._fields, table, strict=True):
                arrays[f"{order}.{kind}.{name}"] = field
            bits = table.words.reshape(len(table.cell), order * table.words.shape[2])
            arrays[f"{order}.{kind}.words"] = np.packbits(bits, axis=1)
    return arrays


def _unlike_neighbors(values: np.ndarray) -> list[np.ndarray]:
    """Say, along each axis, which pairs of neighbors have different values (nan differs from nothing)."""
    unlike = []
    for axis in range(values.ndim):
        last = values.shape[axis] - 1
        low, high = np.take(values, range(last), axis), np.take(values, range(1, last + 1), axis)
        unlike.append((low != high) & np.isfinite(low) & np.isfinite(high))
    return unlike


def _beside(pairs: list[np.ndarray]) -> np.ndarray:
    """Mark the cells of these pairs of neighbors, along each axis."""
    shape = tuple(np.array(pairs[0].shape) + (np.arange(pairs[0].ndim) == 0))
    marked = np.zeros(shape, bool)
    for axis, some in enumerate(pairs):
        pad = [(0, 0)] * some.ndim
        for side in ((0, 1), (1, 0)):
            pad[axis] = side
            marked |= np.pad(some, pad)
    return marked
