"""What is known of all cells of a grid: cycles and other words by order, and the arrays in which they are handed on."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from cyclax.core.workers import Arrays
from cyclax.cycles.index import index_of_each
from cyclax.cycles.orders import divisors
from cyclax.cycles.table import CycleTable, UncountedTable, are_among, joined, none_uncounted, nothing
from cyclax.grids.grid import AbstractGrid


class GridInventory:
    """The cycles of some orders that are known in the cells of a grid, and which cells may lack some."""

    def __init__(self, grid: AbstractGrid, orders: list[int]):
        self.grid, self.orders = grid, orders
        self.num_gates, self.num_states = grid.model.num_gates, grid.model.num_states
        self.found: dict[int, CycleTable] = {k: self.blank(k) for k in orders}
        self.tried: dict[int, np.ndarray] = {k: table.codes() for k, table in self.found.items()}
        self.uncounted = {k: none_uncounted(k, self.num_gates) for k in orders}
        self.gained = np.zeros(grid.size, bool)
        # Cells that were given cycles of an order since they were last searched for it.
        self.learned = {k: np.zeros(grid.size, bool) for k in orders}

    @property
    def mended(self) -> int:
        """Cells that were given cycles which their own starts had missed."""
        return int(np.sum(self.gained))

    def blank(self, order: int) -> CycleTable:
        """Give a table of no cycles."""
        return nothing(order, self.num_gates, self.num_states)

    def known(self, order: int) -> np.ndarray:
        """Count the cycles of an order, and of its divisors, that are known in each cell."""
        each = [np.bincount(self.found[d].cell, minlength=self.grid.size) for d in divisors(order)]
        return np.sum(each, axis=0)

    def known_in(self, cells: np.ndarray) -> dict[int, CycleTable]:
        """Give the cycles of each order that are known in some cells, which ascend."""
        ends = cells[0], cells[-1] + 1
        return {k: table.take(slice(*np.searchsorted(table.cell, ends))) for k, table in self.found.items()}

    def index_sums(self, order: int) -> np.ndarray:
        """Sum the indices of all solutions of F^k(z) = z in every cell; nan where one of them has none."""
        total = np.where(self.grid.usable, 0.0, np.nan)
        for divisor, table in self.found.items():
            if order % divisor == 0:
                np.add.at(total, table.cell, divisor * index_of_each(table.multipliers, order // divisor))
                total[self.uncounted[divisor].cell] = np.nan
        return total

    def arrived(self, results: Iterable[tuple[int, Arrays]]) -> dict[int, CycleTable]:
        """Unpack results, in the order of their items, whichever was done first: give cycles, take in other words."""
        parts = [result for _, result in sorted(results, key=lambda pair: pair[0])]
        tables = {}
        for order in self.orders:
            tables[order] = joined([self.blank(order), *self._unpacked(CycleTable, "found", order, parts)])
            others = self._unpacked(UncountedTable, "uncounted", order, parts)
            self.uncounted[order] = joined([self.uncounted[order], *others])
        return tables

    def _unpacked(self, table: Any, kind: str, order: int, parts: list[Arrays]) -> Iterator[Any]:
        """Give the tables of one order and kind that `packed` has made arrays of."""
        for part in parts:
            if f"{order}.{kind}.cell" in part:
                columns = {name: part[f"{order}.{kind}.{name}"] for name in table._fields}
                words = np.unpackbits(columns["words"], axis=1, count=order * self.num_gates).astype(bool)
                yield table(**columns | {"words": words.reshape(-1, order, self.num_gates)})

    def merge(
        self, arrived: dict[int, CycleTable], *, mended: bool = False, learned: bool = False
    ) -> dict[int, CycleTable]:
        """Take in cycles of each order; give those that were new.

        **Arguments:** `mended`: the cells' own starts had missed them; `learned`: so had what they were given.
        """
        fresh = {}
        for order, table in arrived.items():
            known = self.found[order]
            fresh[order] = table.take(np.flatnonzero(~are_among(table.codes(), known.codes())))
            self.found[order] = joined([known, fresh[order]])
            self.note_tried(order, fresh[order].codes())
            self.gained[fresh[order].cell] |= mended
            self.learned[order][fresh[order].cell] |= mended or learned
        return fresh

    def note_tried(self, order: int, codes: np.ndarray) -> None:
        """Keep in mind, in order, which words need not be tried again."""
        tried = self.tried[order]
        self.tried[order] = np.sort(np.concatenate([tried, codes[~are_among(codes, tried)]]))


def packed(parts, orders: list[int]) -> Arrays:
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
