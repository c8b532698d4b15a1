"""Rows of lanes: many models and orders side by side, each start to the end that it has alone."""

import jax
import numpy as np
import pytest
from conftest import MODELS

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.search.lanes import Fate, Rounds
from cyclax.search.rows import Rows, advance_rows
from cyclax.search.starts import drawn_starts

NUMBER = 32


def stacked(models):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *models)


def drawn(models, order, segments=1):
    """Starts of each model: nodes `(B, M, S, n)` and hashes `(B, n)`."""
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(len(models)))
    first, scales = np.zeros(len(models), int), np.ones(len(models))
    shape = dict(pool=NUMBER, segments=segments, lanes=8)
    z, word = drawn_starts(stacked(models), order, keys, first, scales, NUMBER, **shape)
    return np.asarray(z), np.asarray(word)


@pytest.mark.parametrize(
    ("models", "orders", "segments"),
    [
        ([cx.PLRNN.random(3, key=jax.random.key(i), gain=0.8) for i in range(4)], (1, 3, 8), 1),
        ([MODELS["LoziMap"](), cx.LoziMap(1.3, 0.3)], (2, 5, 7), 1),
        ([cx.ShallowPLRNN.random(5, 6, key=jax.random.key(i)) for i in range(3)], (2, 5), 2),
    ],
    ids=["PLRNN", "Lozi", "segments"],
)
@pytest.mark.parametrize(("rows", "lanes"), [(64, 1), (7, 4)])
def test_every_start_ends_as_it_does_alone(models, orders, segments, rows, lanes):
    with numerics():
        parts = [(order, *drawn(models, order, segments)) for order in orders]
        alone = [
            Rounds(8, 64, NUMBER).run(stacked(models), order, z, word, np.full(len(models), NUMBER))
            for order, z, word in parts
        ]
        nodes = np.concatenate([np.transpose(z, (0, 3, 2, 1)).reshape(-1, segments, z.shape[1]) for _, z, _ in parts])
        words = np.concatenate([word.reshape(-1) for _, _, word in parts])
        owner = np.tile(np.repeat(np.arange(len(models)), NUMBER), len(orders))
        each = np.repeat(orders, NUMBER * len(models))
        together = Rows(rows, lanes, 64).run(stacked(models), each, nodes, words, owner)
    fates = np.concatenate([outcome.fate.reshape(-1) for outcome in alone])
    # How soon a loop is noticed depends on what other starts have seen: LOOP and TIRED are one fate here.
    one, other = (np.where(fate == Fate.TIRED, Fate.LOOP, fate) for fate in (fates, together.fate))
    np.testing.assert_array_equal(one, other)
    hit = one == Fate.HIT
    assert np.sum(hit) > 20
    assert np.all(one != Fate.MOVING)
    np.testing.assert_array_equal(np.concatenate([o.word.reshape(-1) for o in alone])[hit], together.word[hit])
    ends = [np.transpose(o.z, (0, 3, 2, 1)).reshape(-1, segments, nodes.shape[2]) for o in alone]
    np.testing.assert_allclose(np.concatenate(ends)[hit], together.nodes[hit], rtol=1e-8, atol=1e-10)


def test_one_compilation_serves_all_orders_of_a_map():
    axes = {"A[0]": np.linspace(0.2, 0.8, 5), "W[0,1]": np.linspace(-1, 1, 5)}
    model = cx.PLRNN.random(4, key=jax.random.key(0))
    before = advance_rows._cache_size()
    cx.scan(model, axes, 6, key=0, orbit_steps=0, starts=8)
    assert advance_rows._cache_size() == before + 1
    cx.scan(model, axes, [7, 9], key=1, orbit_steps=0, starts=8)
    assert advance_rows._cache_size() == before + 1
