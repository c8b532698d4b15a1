"""Words: the gates met along a cycle, as booleans `(k, G)`, and their identity.

A cycle is its word: the primitive word up to rotation. Words are compared through `WordKey`, the packed bits of the
smallest rotation.
"""

from typing import Any, NamedTuple

import numpy as np


class WordKey(NamedTuple):
    """The identity of a cycle: equal for every rotation and every repetition of its word; sorts by order, then bits."""

    order: int
    bits: bytes


def minimal_period(word: np.ndarray) -> int:
    """Give the smallest p that divides k such that the word repeats after p steps; the word is primitive if p = k."""
    order = len(word)
    for period in range(1, order):
        if order % period == 0 and np.array_equal(word[period:], word[:-period]):
            return period
    return order


def canonical_rotation(word: np.ndarray) -> int:
    """Give the number of steps after which to begin so that the packed word is lexicographically smallest."""
    return least_rotation([row.tobytes() for row in np.packbits(word, axis=1)])[0]


def least_rotation(symbols: Any) -> tuple[int, bool]:
    """Give where the least rotation of a sequence begins, and whether the sequence is primitive.

    By two competing starts, after Booth: linear in the length. Written so that numba compiles it, too.
    """
    order, first, second, length = len(symbols), 0, 1, 0
    while first < order and second < order and length < order:
        a, b = symbols[(first + length) % order], symbols[(second + length) % order]
        if a == b:
            length += 1
            continue
        if a > b:
            first += length + 1
        else:
            second += length + 1
        if first == second:
            second += 1
        length = 0
    return min(first, second), length < order


def word_key(word: np.ndarray) -> WordKey:
    """Give the identity of the cycle that runs through `word`, `(k, G)`."""
    primitive = word[: minimal_period(word)]
    rotated = np.roll(primitive, -canonical_rotation(primitive), axis=0)
    return WordKey(len(rotated), np.packbits(rotated, axis=1).tobytes())


def word_keys(words: np.ndarray) -> list[WordKey]:
    """Give the identities of many words `(n, k, G)` at once."""
    periods, begins = canonical_words(words)
    keys = []
    for word, period, begin in zip(np.packbits(words, axis=2), periods.tolist(), begins.tolist(), strict=True):
        keys.append(WordKey(period, np.roll(word[:period], -begin, axis=0).tobytes()))
    return keys


def word_of(key: WordKey, num_gates: int) -> np.ndarray:
    """Unpack a key into its word, `(k, G)`."""
    rows = np.frombuffer(key.bits, np.uint8).reshape(key.order, -1)
    return np.unpackbits(rows, axis=1, count=num_gates).astype(bool)


def canonical_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do for many words `(n, k, G)` at once what `minimal_period` and `canonical_rotation` do for one.

    **Returns:** the minimal periods `(n,)`, and the steps `(n,)` after which the smallest rotation begins.
    """
    number, order, _ = words.shape
    packed = np.packbits(words, axis=2)
    if packed.size == 0:
        return np.ones(number, int), np.zeros(number, int)
    # Symbols as numbers, in the order of their bytes.
    if packed.shape[2] <= 8:
        padded = np.zeros((number, order, 8), np.uint8)
        padded[:, :, : packed.shape[2]] = packed
        codes = padded.view(">u8")[:, :, 0].astype(np.uint64)
    else:
        _, codes = np.unique(packed.reshape(number * order, -1), axis=0, return_inverse=True)
        codes = codes.reshape(number, order)
    periods = np.full(number, order)
    for period in range(order - 1, 0, -1):
        if order % period == 0:
            periods[np.all(codes == np.roll(codes, period, axis=1), axis=1)] = period
    begins, best = np.zeros(number, int), codes.copy()
    smallest = np.min(codes, axis=1)
    for begin in range(1, order):
        lanes = np.flatnonzero(codes[:, begin] == smallest)  # a smallest rotation begins with the smallest symbol
        turned, old = np.roll(codes[lanes], -begin, axis=1), best[lanes]
        first = np.argmax(turned != old, axis=1)[:, None]
        smaller = np.take_along_axis(turned < old, first, axis=1)[:, 0]
        begins[lanes[smaller]], best[lanes[smaller]] = begin, turned[smaller]
    return periods, begins
