"""The identity of a cycle: the primitive word up to rotation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cyclax.cycles.word import canonical_rotation, minimal_period, word_key, word_of

words = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def brute_period(word):
    return next(p for p in range(1, len(word) + 1) if len(word) % p == 0 and np.array_equal(np.roll(word, -p, 0), word))


@given(words, st.integers(0, 20))
def test_rotations_share_their_key(word, turn):
    assert word_key(np.roll(word, turn, axis=0)) == word_key(word)


@given(words, st.integers(1, 4))
def test_repetitions_share_their_key_and_period(word, times):
    repeated = np.tile(word, (times, 1))
    assert minimal_period(repeated) == brute_period(word) == minimal_period(word)
    assert word_key(repeated) == word_key(word)


@given(words)
def test_canonical_rotation_is_the_smallest(word):
    packed = [np.packbits(np.roll(word, -turn, axis=0), axis=1).tobytes() for turn in range(len(word))]
    assert packed[canonical_rotation(word)] == min(packed)


@given(words)
def test_key_unpacks_to_a_rotation_of_the_primitive_word(word):
    key = word_key(word)
    unpacked = word_of(key, word.shape[1])
    assert unpacked.shape == (brute_period(word), word.shape[1])
    rotations = [np.roll(word, -turn, axis=0)[: len(unpacked)] for turn in range(len(word))]
    assert any(np.array_equal(unpacked, rotation) for rotation in rotations)


@given(words, words)
def test_different_cycles_have_different_keys(one, other):
    rotations = [np.roll(other, -turn, axis=0)[: brute_period(other)] for turn in range(len(other))]
    same = any(np.array_equal(one[: brute_period(one)], rotation) for rotation in rotations)
    if one.shape[1] == other.shape[1]:
        assert (word_key(one) == word_key(other)) == same


def test_more_than_64_gates():
    word = np.zeros((3, 200), bool)
    other = word.copy()
    other[1, 170] = True
    assert word_key(word) != word_key(other)
    assert word_key(word).order == 1
    assert word_key(other).order == 3


def test_no_gates_at_all():
    key = word_key(np.zeros((4, 0), bool))
    assert key.order == 1
    assert word_of(key, 0).shape == (1, 0)
