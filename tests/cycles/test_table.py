"""Codes of cells and words: they sort by cell, then word, and tell which are known."""

import numpy as np
import pytest

from cyclax.cycles.table import are_among, codes_of


@pytest.mark.parametrize(("order", "num_gates"), [(1, 1), (3, 3), (16, 2), (11, 3), (5, 9)])
def test_codes_sort_by_cell_and_word(order, num_gates):
    """Words of up to 32 bits are numbers, longer ones bytes."""
    draw = np.random.default_rng(order)
    cell, words = draw.integers(0, 300, 400), draw.integers(0, 2, (400, order, num_gates)).astype(bool)
    words[:200, :-1] = False  # words that differ in their last gates alone
    pairs = [(c, tuple(word)) for c, word in zip(cell.tolist(), words.reshape(400, -1).tolist(), strict=True)]
    codes = codes_of(cell, words)
    assert [pairs[i] for i in np.argsort(codes)] == sorted(pairs)
    assert len(np.unique(codes)) == len(set(pairs))
    known = np.sort(codes[::3])
    expected = [pair in set(pairs[::3]) for pair in pairs]
    assert are_among(codes, known).tolist() == expected
    assert not are_among(codes, known[:0]).any()
    assert are_among(codes[:0], known).tolist() == []
