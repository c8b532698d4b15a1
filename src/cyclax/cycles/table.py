"""Tables: the cycles of many models as arrays, a cycle a row, and the words that no count includes."""

from typing import NamedTuple, TypeVar

import numpy as np

from cyclax.cycles.decide import Outcome


class CycleTable(NamedTuple):
    """Cycles of one order in many cells, sorted by cell and word; the cycle is the first axis."""

    cell: np.ndarray  # (n,)
    words: np.ndarray  # (n, k, G) gates that matter; smallest rotation, the others closed
    points: np.ndarray  # (n, k, M)
    multipliers: np.ndarray  # (n, M)
    margin: np.ndarray  # (n,)

    def take(self, rows: np.ndarray | slice) -> "CycleTable":
        """Give some of the cycles."""
        return CycleTable(*(part[rows] for part in self))

    def among(self, codes: np.ndarray) -> tuple["CycleTable", np.ndarray]:
        """Give the cycles that are among codes `(n,)`, each of which is there once; and the rows of other codes."""
        _, rows, here = np.intersect1d(codes, self.codes(), assume_unique=True, return_indices=True)
        return self.take(np.sort(here)), np.setdiff1d(np.arange(len(codes)), rows)

    def codes(self) -> np.ndarray:
        """Give cell and word as one scalar each, `(n,)`: equal ones are equal cycles."""
        return codes_of(self.cell, self.words)


def codes_of(cell: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Give cells `(n,)` and words `(n, k, G)` as one scalar each, which sorts by cell and word.

    A number where 32 bits hold the word, as numbers are sorted faster; else bytes.
    """
    number, order, num_gates = words.shape
    bits = np.packbits(words.reshape(number, order * num_gates), axis=1)
    if bits.shape[1] <= 4:
        rows = np.zeros((number, 4), np.uint8)
        rows[:, : bits.shape[1]] = bits
        return cell.astype(np.uint64) << np.uint64(32) | rows.view(">u4")[:, 0]
    cells = np.ascontiguousarray(cell.astype(">i8")[:, None]).view(np.uint8)
    rows = np.ascontiguousarray(np.concatenate([cells, bits], axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]


def are_among(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Say which codes are among known ones, which are in order."""
    return np.searchsorted(known, codes, side="right") > np.searchsorted(known, codes)


def nothing(order: int, num_gates: int, num_states: int) -> CycleTable:
    """No cycles."""
    return CycleTable(
        np.zeros(0, np.int64),
        np.zeros((0, order, num_gates), bool),
        np.zeros((0, order, num_states)),
        np.zeros((0, num_states), complex),
        np.zeros(0),
    )


class UncountedTable(NamedTuple):
    """Words of one order that no count includes, in many cells; the word is the first axis."""

    cell: np.ndarray  # (n,)
    words: np.ndarray  # (n, k, G) as in `CycleTable`, and those that repeat shorter ones
    kind: np.ndarray  # (n,) BORDER, FAMILY or UNDECIDED

    def cells(self, *kinds: int) -> np.ndarray:
        """Give the cells that have words of these kinds, of any kind if none is named."""
        return np.unique(self.cell[np.isin(self.kind, kinds)] if kinds else self.cell)


# Not a cycle; a cycle; a solution on a border; a family of solutions; neither proved to be a cycle nor not to be.
REFUTED, CYCLE, BORDER, FAMILY, UNDECIDED = -1, 0, 1, 2, 3
KINDS = {
    Outcome.NONE: REFUTED,
    Outcome.CYCLE: CYCLE,
    Outcome.BORDER: BORDER,
    Outcome.FAMILY: FAMILY,
    Outcome.OPEN: UNDECIDED,
}


def none_uncounted(order: int, num_gates: int) -> UncountedTable:
    """No words."""
    return UncountedTable(np.zeros(0, np.int64), np.zeros((0, order, num_gates), bool), np.zeros(0, np.int64))


_Table = TypeVar("_Table", CycleTable, UncountedTable)


def joined(parts: list[_Table]) -> _Table:
    """Join tables of one order; of equal cycles, or words, the first stays."""
    columns = list(map(np.concatenate, zip(*parts, strict=True)))
    _, first = np.unique(codes_of(*columns[:2]), return_index=True)
    return type(parts[0])(*(column[first] for column in columns))
