"""Joins of the word graph, compiled: which words can follow which, by a tree over the candidates of each word."""

from typing import NamedTuple

import numpy as np

from cyclax.proofs.word_graph.compiled import compiled
from cyclax.proofs.word_graph.programs import (
    HALT,
    INFEASIBLE,
    Atlas,
    add_hull,
    add_plane,
    begin,
    decide,
    record,
    reset,
)


class Scratch(NamedTuple):
    """Room for the maps along one word, and for the tree over its candidates."""

    products: np.ndarray  # (L + 1, M, M + 1) z_t = products[t] (z_0, 1)
    rows: np.ndarray  # (L + 1,) rows before those of z_t
    tree: np.ndarray  # (G + 2, 5) begin and end of the candidates, rows before its own, its plane or -1, its side
    bases: np.ndarray  # (G + 2, M + 1)
    inverses: np.ndarray  # (G + 2, M + 1, M + 1)
    points: np.ndarray  # (G + 2, M + 1)
    following: np.ndarray  # (most candidates of a word,) flags


def make_scratch(atlas: Atlas, length: int, most: int) -> Scratch:
    """Give room for words of one length with at most so many candidates each."""
    size, depth = len(atlas.largest) - 1, atlas.sides.shape[1] + 2
    return Scratch(
        np.zeros((length + 1, size, size + 1)),
        np.zeros(length + 1, np.int64),
        np.zeros((depth, 5), np.int64),
        np.zeros((depth, size + 1), np.int64),
        np.zeros((depth, size + 1, size + 1)),
        np.zeros((depth, size + 1)),
        np.zeros(most, np.uint8),
    )


@compiled
def _save(program, scratch, at):
    size = len(program.basis)
    for i in range(size):
        scratch.bases[at, i], scratch.points[at, i] = program.basis[i], program.vectors[0, i]
        for j in range(size):
            scratch.inverses[at, i, j] = program.inverse[0, i, j]


@compiled
def _load(program, scratch, at):
    size = len(program.basis)
    for i in range(size):
        program.basis[i], program.vectors[0, i] = scratch.bases[at, i], scratch.points[at, i]
        for j in range(size):
            program.inverse[0, i, j] = scratch.inverses[at, i, j]


@compiled
def _push(tree, at, low, high, count, plane, side):
    tree[at, 0], tree[at, 1], tree[at, 2], tree[at, 3], tree[at, 4] = low, high, count, plane, side


@compiled
def _describe(atlas, program, scratch, word, begun):
    """Write the rows and held maps of a word from its symbol `begun` on."""
    products, size = scratch.products, len(atlas.largest) - 1
    for t in range(begun, len(word)):
        s = word[t]
        count = scratch.rows[t]
        for f in range(atlas.begins[s], atlas.begins[s + 1]):
            plane = atlas.facets[f]
            count = add_plane(atlas, program, count, plane, np.int64(atlas.sides[s, plane]), t, products)
        scratch.rows[t + 1] = count
        for i in range(size):
            for j in range(size + 1):
                products[t + 1, i, j] = 0.0
            products[t + 1, i, size] = atlas.maps[s, i, size]
            for k in range(size):
                for j in range(size + 1):
                    products[t + 1, i, j] += atlas.maps[s, i, k] * products[t, k, j]


@compiled
def extend(atlas, program, scratch, log, words, firsts, lasts, symbols, first, last, out_words, out_next):
    """Find the successors of the words `first` to `last`: which of symbols[firsts[u]:lasts[u]] (sorted) can follow.

    The candidates of a word are a tree: they are split at the first plane on which they differ, one program a side,
    and the side of the last program's point needs none.

    **Returns:** the word reached (when `out_words`, `out_next` or the log are full) and the number of pairs in them;
    `last`, and what is of no use, when halted.
    """
    length, tree, following = words.shape[1], scratch.tree, scratch.following
    products = scratch.products
    scratch.rows[0] = begin(atlas, program, products)
    filled = 0
    for u in range(first, last):
        if filled + lasts[u] - firsts[u] > len(out_words):
            return u, filled
        if len(log.spans) > 0 and log.filled[0] + 2 * (lasts[u] - firsts[u]) + 1 > len(log.spans):
            return u, filled
        word, same = words[u], 0
        while u > first and same < length and word[same] == words[u - 1, same]:
            same += 1
        _describe(atlas, program, scratch, word, same)
        base = add_hull(atlas, program, scratch.rows[length], length, products)
        reset(program)
        if decide(atlas, program, base, word) == INFEASIBLE:
            record(log, program, u, firsts[u], lasts[u])
            continue
        for candidate in range(lasts[u] - firsts[u]):
            following[candidate] = 0
        _save(program, scratch, 0)
        _push(tree, 0, firsts[u], lasts[u], base, -1, 0)
        top = 1 if lasts[u] > firsts[u] else 0
        while top > 0:
            if program.effort[HALT]:
                return last, filled
            top -= 1
            low, high, count, plane, side = tree[top, 0], tree[top, 1], tree[top, 2], tree[top, 3], tree[top, 4]
            _load(program, scratch, top)
            if plane >= 0:
                count = add_plane(atlas, program, count, plane, side, length, products)
            a, b = symbols[low], symbols[high - 1]
            if high - low == 1:
                end = count
                for f in range(atlas.begins[a], atlas.begins[a + 1]):
                    plane = atlas.facets[f]
                    side = np.int64(atlas.sides[a, plane])
                    end = add_plane(atlas, program, end, plane, side, length, products)
                if _met(program, count, end) or decide(atlas, program, end, word) != INFEASIBLE:
                    following[low - firsts[u]] = 1
                else:
                    record(log, program, u, low, high)
                continue
            plane = 0
            while atlas.sides[a, plane] == atlas.sides[b, plane]:
                plane += 1
            middle, above = low, high - 1
            while above - middle > 1:
                half = (middle + above) // 2
                if atlas.sides[symbols[half], plane]:
                    above = half
                else:
                    middle = half
            add_plane(atlas, program, count, plane, 1, length, products)
            near = 1 if _met(program, count, count + 1) else 0
            # The near side needs no program. The far one goes below it, so that it comes off the stack later.
            add_plane(atlas, program, count, plane, 1 - near, length, products)
            _save(program, scratch, top + 1)
            if decide(atlas, program, count + 1, word) != INFEASIBLE:
                _save(program, scratch, top)
                _push(tree, top, low if near else above, above if near else high, count, plane, 1 - near)
                top += 1
            else:
                record(log, program, u, low if near else above, above if near else high)
                _load(program, scratch, top + 1)
                _save(program, scratch, top)
            _push(tree, top, above if near else low, high if near else above, count, plane, near)
            top += 1
        for candidate in range(lasts[u] - firsts[u]):
            if following[candidate]:
                out_words[filled], out_next[filled] = u, firsts[u] + candidate
                filled += 1
    return last, filled


@compiled
def _met(program, first, last):
    """Whether the point at hand satisfies these rows (t aside)."""
    size = len(program.basis) - 1
    for i in range(first, last):
        slack = program.right[0, i]
        for j in range(size):
            slack -= program.rows[j, i] * program.vectors[0, j]
        if slack < 0:
            return False
    return True
