"""The search of all cells of a grid, or of all models of a sequence, in sweeps: neighbors mend what one cell missed."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from cyclax.core.folder import Store
from cyclax.core.version import __version__
from cyclax.core.workers import Arrays, cores, distribute
from cyclax.cycles.orders import divisors
from cyclax.cycles.table import CycleTable, are_among, codes_of, joined
from cyclax.grids.cells import GridSearch, Settings, concatenated
from cyclax.grids.grid import AbstractGrid
from cyclax.grids.inventory import GridInventory, packed
from cyclax.grids.orbit_layers import orbits
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.search.linear import UNROLLED_SIZE

# Words that are checked together when they are handed over to neighbors.
_WORDS_AT_ONCE = 4096
# Chunks whose orbits are followed as one: what they come to is asked period by period, in many small steps on the host.
_ORBIT_CHUNKS = 16
# A candidate further out than this many times the size of what is near it is not moved on from.
_FAR = 1e9
# How many times as many starts a cell is given that is searched again, doubled with each round; and how many rounds.
_EFFORT, _ROUNDS = 4, 6
# Halfway between cells that are searched with all starts, so many times fewer of them are drawn.
_HALFWAY = 4
# Memory for the starts of the cells that are searched at once.
_BYTES = 2**26


def cells_at_once(model: AbstractPiecewiseLinearMap, starts: int) -> int:
    """Choose how many cells are searched at once."""
    leaves = sum(np.size(leaf) for leaf in jax.tree.leaves(model))
    each = 8 * (leaves * (1 + model.num_gates) + 2 * starts * model.num_states + 64 * model.num_states**2)
    return int(2 ** np.clip(np.log2(_BYTES / each).round(), 2, 11))


class NeighborSearch(GridInventory):
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
        self.wanted, self.settings = wanted, settings
        self.key, self.orbit_steps, self.longest, self.progress = key, orbit_steps, longest, progress
        self.search = GridSearch(grid, key, settings)
        super().__init__(grid, sorted({d for order in wanted for d in divisors(order)}))
        self.layers: dict[str, np.ndarray] = {}
        self.searched = np.zeros(grid.size, bool)
        # Starts that each cell has had of an order.
        self.started = {k: np.zeros(grid.size, int) for k in self.orders}
        self.sweeps, self.searched_again = 0, 0
        self.compiled: set[str] = set()  # the kinds of work of which one item has been done
        self.segments = self.search.segments(self.orders)
        # Batched LAPACK calls deadlock when two threads make them (jaxlib 0.10.2), and use all cores anyway.
        self.threads = cores() if self.search.num_states <= UNROLLED_SIZE else 1
        self.store = None if store is None else self._opened(store)

    def _opened(self, folder: Any) -> Store:
        """Open the folder in which chunks are kept."""
        configuration = {
            "format": 8,  # cells draw by counters
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
            fresh = self.first_pass()
        except KeyboardInterrupt:
            return "interrupted by Ctrl-C; cells not searched are marked so, and few have been compared with neighbors"
        try:
            if heal:
                self.heal(fresh)
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

    def first_pass(self) -> dict[int, CycleTable]:
        """Search every cell with its own starts, and follow its orbits; give what no neighbor has been handed yet.

        With a stride, some cells are searched first, and the others are given their words before their own few starts.
        """
        starts, few = self.settings.starts, self.settings.few
        coarse = self._coarse()
        fresh = self._searched("coarse", dict.fromkeys(self.orders, coarse))
        if not np.all(coarse):
            self.heal(fresh, mended=False)
            enough = np.maximum(coarse, few)
            # Few starts do where they are more than the cycles known.
            numbers = {k: np.where(self.known(k) < enough, enough, starts) for k in self.orders}
            numbers = {k: np.where(number > coarse, number, 0) for k, number in numbers.items()}
            fresh = self._searched("scan", numbers, learned=True)
        return _both(fresh, self._orbits()) if self.orbit_steps else fresh

    def _coarse(self) -> np.ndarray:
        """Give the starts of the cells that are searched first, `(cells,)`; the others have 0."""
        starts, stride = self.settings.starts, self.settings.stride
        places = np.unravel_index(np.arange(self.grid.size), self.grid.shape)

        def on(stride: int) -> np.ndarray:
            met = [(x % stride == 0) | (x == n - 1) for x, n in zip(places, self.grid.shape, strict=True)]
            return np.all(met, axis=0)

        some = max(self.settings.few, 2 * (starts // _HALFWAY // 2))
        return np.where(on(stride), starts, np.where(on(max(1, stride // 2)), some, 0))

    def _searched(
        self, stage: str, numbers: dict[int, np.ndarray], *, learned: bool = False, mended: bool = False
    ) -> dict[int, CycleTable]:
        """Search cells with so many starts more, `numbers[order] (cells,)`; give what was new."""
        numbers = {order: np.where(self.grid.usable, number, 0) for order, number in numbers.items()}
        total = np.sum(list(numbers.values()), axis=0)
        cells = np.flatnonzero(total)
        chunks = self._chunks(cells, total[cells])
        results: list[tuple[int, Arrays]] = []

        def work(some: np.ndarray) -> Arrays:
            first = {order: self.started[order][some] for order in numbers}
            number = {order: each[some] for order, each in numbers.items()}
            met = self.search.drawn(self.search.stack(some), self.segments, first, number, self.known_in(some))
            return packed([met], self.orders) | {"cells": some}

        try:
            for result in self._spread(work, chunks, stage, list(map(len, chunks))):
                results.append(result)
                self.searched[result[1]["cells"]] = True
        finally:
            met = self.arrived(results)
            fresh = self.merge(met, learned=learned, mended=mended)
        for order, number in numbers.items():
            self.started[order] += number
            if learned:  # where many starts miss what is known, they may have missed more
                known = self.found[order]
                missed = known.cell[~are_among(known.codes(), met[order].codes())]
                self.learned[order][missed[number[missed] >= self.settings.starts]] = True
        return fresh

    def _orbits(self) -> dict[int, CycleTable]:
        """Follow the orbits of all cells; give the cycles on which some settled that were new."""
        cells = np.flatnonzero(self.grid.usable)
        chunks = self._chunks(cells, np.zeros(len(cells), int), _ORBIT_CHUNKS)
        results: list[tuple[int, Arrays]] = []

        def work(some: np.ndarray) -> Arrays:
            stack, known = self.search.stack(some), self.known_in(some)
            layers, met = orbits(self.search, stack, self.orbit_steps, self.longest, known)
            return packed(met, self.orders) | layers | {"cells": some}

        try:
            results.extend(self._spread(work, chunks, "orbits", list(map(len, chunks))))
        finally:
            fresh = self.merge(self.arrived(results), learned=True)
            for name, blank in (("exponent", np.nan), ("period", 0), ("bounded", np.nan)):
                layer = np.full(self.grid.size, blank)
                for _, result in results:
                    layer[result["cells"]] = result[name]
                self.layers[name] = layer.reshape(self.grid.shape)
        return fresh

    def _chunks(self, cells: np.ndarray, starts: np.ndarray, times: int = 1) -> list[np.ndarray]:
        """Part cells into chunks of so many that neither they nor their `starts` take too much memory."""
        each = 8 * (4 * max(self.segments.values()) * self.num_states + 12)
        parts = np.arange(len(cells)) // (times * self.settings.cells), np.cumsum(starts) // max(1, _BYTES // each)
        ends = np.flatnonzero(np.any([np.diff(part) for part in parts], axis=0)) + 1
        return np.split(cells, ends) if len(cells) else []

    # -- neighbors ----------------------------------------------------------------------------------------------------

    def heal(self, fresh: dict[int, CycleTable], mended: bool = True) -> None:
        """Hand words to neighbors, sweep by sweep, until no cell gains any; say whether own starts had missed those."""
        extra: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        while any(len(table.cell) for table in fresh.values()) or extra:
            tasks, lost = {}, {}
            for order in self.orders:
                cell, words, source = self._handed_over(fresh.get(order, self.blank(order)))
                more = extra.get(order)
                if more is not None:
                    cell, words = np.concatenate([cell, more[0]]), np.concatenate([words, more[1]])
                    source = np.concatenate([source, np.full(len(more[0]), -1)])
                codes = codes_of(cell, words)
                new = np.flatnonzero(~are_among(codes, self.tried[order]))
                _, first = np.unique(codes[new], return_index=True)
                tasks[order] = (cell[new[first]], words[new[first]])
                lost[order] = codes[new], source[new]
                self.note_tried(order, codes[new[first]])
            if not any(len(cell) for cell, _ in tasks.values()):
                return
            self.sweeps += 1
            gained = self._try(tasks, mended)
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
            gained[table.cell[~are_among(table.codes(), known[order])]] = True
        return gained

    def _handed_over(self, table: CycleTable):
        """Give every cycle of a table to the cells around its own: cells, words, and the row it came from."""
        places = np.stack(np.unravel_index(table.cell, self.grid.shape))
        sizes = np.array(self.grid.shape)[:, None]
        cells, rows = [], []
        for steps in _around(len(self.grid.shape)):
            beside = places + np.array(steps)[:, None]
            inside = np.flatnonzero(np.all((beside >= 0) & (beside < sizes), axis=0))
            next_cells = np.asarray(np.ravel_multi_index(tuple(beside[:, inside]), self.grid.shape))
            usable = self.grid.usable[next_cells]
            cells.append(next_cells[usable])
            rows.append(inside[usable])
        row = np.concatenate(rows)
        return np.concatenate(cells), table.words[row], row

    def _try(self, tasks: dict[int, tuple[np.ndarray, np.ndarray]], mended: bool = True) -> dict[int, CycleTable]:
        """Try words in cells; give what is new."""
        number = sum(np.bincount(cell, minlength=self.grid.size) for cell, _ in tasks.values())
        part = np.cumsum(number) // _WORDS_AT_ONCE  # of each cell
        parts = np.unique(part[number > 0])
        items = [{order: _those(task, part[task[0]] == one) for order, task in tasks.items()} for one in parts]
        sizes = [int(np.sum(part[number > 0] == one)) for one in parts]
        stage = f"sweep{self.sweeps:04d}"
        return self.merge(self.arrived(self._spread(self._tried, items, stage, sizes)), mended=mended)

    def _tried(self, tasks: dict[int, tuple[np.ndarray, np.ndarray]]) -> Arrays:
        cells = np.unique(np.concatenate([cell for cell, _ in tasks.values()]))
        stack = self.search.stack(cells)
        checked = [self.search.check(stack, [(np.searchsorted(cells, cell), words) for cell, words in tasks.values()])]
        # Where a word does not hold, its solution is a start as good as any.
        starts = {order: checked[0].refuted[order] for order in tasks if order in checked[0].refuted}
        if starts:
            near = {k: np.max(np.abs(z), axis=1, initial=0) < _FAR for k, (_, z) in starts.items()}
            checked.append(self.search.moved(stack, {k: _those(some, near[k]) for k, some in starts.items()}))
        return packed(checked, self.orders)

    def _partners(self, fresh: dict[int, CycleTable], lost) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Give words that border collisions between neighbors may lead to, in both cells.

        Where a neighbor has not the word w of a cycle, the cycle may have met the border nearest to it: beyond it is
        the word w' with that gate flipped, and at a flip the word w w' of twice the order.
        """
        more: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for order, (codes, source) in lost.items():
            table = fresh.get(order)
            failed = (source >= 0) & ~are_among(codes, self.found[order].codes())
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
        return {order: concatenated(parts) for order, parts in more.items()}

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

    # -- more starts --------------------------------------------------------------------------------------------------

    def search_again(self, round_: int) -> bool:
        """Search some cells with more starts; say whether that changed any.

        These are the cells whose index sum differs from a neighbor's, and those that have been given cycles which
        their own starts had missed: where some were missed, others may have been, until more starts find nothing new.
        """
        again = {order: np.zeros(self.grid.size, bool) for order in self.orders}
        unlike: dict[int, list[np.ndarray]] = {}
        for order in self.orders:
            of_it = [d for d in self.orders if order % d == 0]
            unlike[order] = _unlike_neighbors(self.index_sums(order).reshape(self.grid.shape))
            # What a divisor's sum shows is searched for there.
            explained = [np.any([unlike[d][axis] for d in of_it[:-1]], axis=0) for axis in range(len(self.grid.shape))]
            marked = _beside([differs & ~seen for differs, seen in zip(unlike[order], explained, strict=True)])
            marked = marked.reshape(-1) | self.learned[order]
            self.learned[order][:] = False
            for divisor in of_it:
                again[divisor] |= marked
        if round_ == 0:
            self.searched_again = int(np.sum(np.any(list(again.values()), axis=0)))
        starts, more = self.settings.starts, self.settings.starts * _EFFORT * 2**round_
        # Cells that have had few starts have all of them first.
        numbers = {
            k: np.where(cells, np.where(self.started[k] < starts, starts, more), 0) for k, cells in again.items()
        }
        gained = self._searched(f"again{round_}", numbers, mended=True)
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
            self.merge(self.arrived(results), mended=True)
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
            pairs = ((np.full(len(words), i), np.stack(words)) for words in by_order.values())
            checked.append(self.search.check(stack, pairs))
        return packed(checked, self.orders) | {"cells": cells, "proved": np.array(proved)}

    def _spread(self, work, items, stage: str, sizes):
        compiled = work.__qualname__ in self.compiled
        self.compiled.add(work.__qualname__)
        return distribute(
            work,
            items,
            threads=self.threads,
            stage=stage,
            sizes=sizes,
            store=self.store,
            progress=self.progress,
            compiled=compiled,
        )


def _around(dimensions: int) -> Iterator[tuple[int, ...]]:
    """Give the steps to the cells around one: along one axis, or two, as narrow tongues run from corner to corner."""
    steps = itertools.product((-1, 0, 1), repeat=dimensions)
    return (step for step in steps if 0 < np.count_nonzero(step) <= 2)


def _both(one: dict[int, CycleTable], other: dict[int, CycleTable]) -> dict[int, CycleTable]:
    return {order: joined([table, other[order]]) for order, table in one.items()}


def _those(pair: tuple[np.ndarray, np.ndarray], some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pair[0][some], pair[1][some]


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
