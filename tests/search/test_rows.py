"""Rows of lanes that take models and orders from a queue: what they meet is what each start meets alone."""

import jax
import numpy as np
import pytest
from conftest import MODELS, slow

import cyclax as cx
from cyclax.core.draws import counted, seed_of
from cyclax.core.numerics import numerics
from cyclax.maps.affine import itineraries
from cyclax.search.lanes import Fate, Rounds
from cyclax.search.newton import hashes_of_words
from cyclax.search.rows import REMEMBERED, Items, Queue, advance_rows, lanes_of_rows
from cyclax.search.starts import drawn_pairs, interleave

NUMBER = 32
KEY = jax.random.key(0)


def stacked(models):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *models)


def alone(models, order, segments):
    """The words met by the starts of each model and order, drawn by themselves: pairs of a model and a hash."""
    drawn = []
    for i, model in enumerate(models):
        seeds = counted(seed_of(jax.random.key_data(KEY), i, order), 0, 2 * NUMBER).reshape(NUMBER, 2).T
        states, candidates, words = drawn_pairs(model, seeds[:, 0::2], seeds[:, 1::2], order, 1.0, segments)
        drawn.append((interleave(states, candidates), interleave(0 * words, words)))
    z, word = map(np.stack, zip(*drawn, strict=True))
    outcome = Rounds(8, 64, NUMBER).run(stacked(models), order, z, word, np.full(len(models), NUMBER))
    model, start = np.nonzero(outcome.fate == Fate.HIT)
    return {(int(i), order, int(outcome.word[i, n])) for i, n in zip(model, start, strict=True)}


def queued(rows, models, items, segments):
    """The same from a queue, with the nodes of each."""
    queue = Queue(models[0].num_states, rows, segments, 64)
    names, scales = np.arange(len(models)), np.ones(len(models))
    met = list(queue.drawn(stacked(models), items, KEY, names, scales))
    item, nodes, word = map(np.concatenate, zip(*met, strict=True))
    pairs = zip(items.owner[item].tolist(), items.order[item].tolist(), word.tolist(), strict=True)
    return dict(zip(pairs, nodes, strict=True))


def every_item(models, orders):
    """All starts of every model and order, in items of 16 at most."""
    owner, order, first = (
        part.reshape(-1) for part in np.meshgrid(np.arange(len(models)), orders, [0, 16], indexing="ij")
    )
    none = np.zeros((len(owner), REMEMBERED), np.uint64)
    return Items(owner, order, np.full(len(owner), NUMBER // 2), first, none)


CASES = {
    "PLRNN": ([cx.PLRNN.random(3, key=jax.random.key(i), gain=2.0) for i in range(4)], (1, 3, 8), 1),
    "Lozi": ([MODELS["LoziMap"](), cx.LoziMap(1.3, 0.3)], (2, 5, 7), 1),
    "shallow": ([cx.ShallowPLRNN.random(2, 9, key=jax.random.key(i), gain=2.0) for i in range(3)], (2, 5), 2),
    "five": ([cx.ShallowPLRNN.random(5, 6, key=jax.random.key(i), gain=2.0) for i in range(3)], (2, 5), 2),
}


@pytest.mark.parametrize("name", ["PLRNN", "five", slow("Lozi"), slow("shallow")])
def test_a_queue_meets_what_each_start_meets_alone(name):
    models, orders, segments = CASES[name]
    with numerics():
        expected = set.union(*(alone(models, order, segments) for order in orders))
        met = queued(4, models, every_item(models, orders), segments)
    assert len(expected) >= 3
    assert set(met) == expected
    for (model, order, _), nodes in met.items():
        z = nodes[0]
        for _ in range(order):
            z = models[model](z)
        np.testing.assert_allclose(z, nodes[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["PLRNN", "five"])
def test_what_is_known_is_not_met_again(name):
    models, orders, segments = CASES[name]
    with numerics():
        items = every_item(models, orders)
        met = queued(4, models, items, segments)
        hashes = {}
        for (model, order, _), nodes in met.items():
            words, _ = itineraries(models[model], nodes[None], order)
            hashes.setdefault((model, order), []).append(hashes_of_words(words, segments)[0])
        assert {(*pair, int(one)) for pair, some in hashes.items() for one in some} == set(met)
        known = {(*pair, int(one)) for pair, some in hashes.items() for one in some[: REMEMBERED - 1]}
        for i, pair in enumerate(zip(items.owner.tolist(), items.order.tolist(), strict=True)):
            some = hashes.get(pair, [])[: REMEMBERED - 1]
            items.known[i, : len(some)] = some
        others = set(queued(4, models, items, segments))
    assert known
    assert others == set(met) - known


def test_more_items_than_a_queue_holds():
    models, orders, _ = CASES["Lozi"]
    with numerics():
        many = every_item(models, np.tile(orders, 20))
        assert len(many.owner) > 16 * 4
        assert queued(4, models, many, 1).keys() == queued(4, models, every_item(models, orders), 1).keys()


def contractions():
    """Two maps that have a fixed point each."""
    draw = np.random.default_rng(1).normal
    return [cx.PLRNN(A=np.full(5, 0.4), W=0.1 * draw(size=(5, 5)), h=draw(size=5)) for _ in range(2)]


@pytest.mark.parametrize(
    ("models", "order"), [(CASES["Lozi"][0], 7), (contractions(), 1)], ids=["Lozi", "contractions"]
)
def test_given_states_meet_what_they_meet_alone(models, order):
    M = models[0].num_states
    owner = np.repeat(np.arange(2), [40, 1])
    states = np.random.default_rng(0).normal(size=(len(owner), M))
    with numerics():
        items, found = Queue(M, 8 // lanes_of_rows(M), 1, 64).given(
            stacked(models), owner, np.full(len(owner), order), states
        )
        item, _, word = map(np.concatenate, zip(*found, strict=True))
        expected = set()
        for i, model in enumerate(models):
            some = states[owner == i].T[None, :, None]
            number = some.shape[-1]
            outcome = Rounds(8, 64, 64).run(
                stacked([model]), order, some, np.zeros((1, number), np.uint64), np.array([number])
            )
            expected |= {(i, int(hash_)) for hash_ in outcome.word[0, outcome.fate[0] == Fate.HIT]}
    assert set(zip(items.owner[item].tolist(), word.tolist(), strict=True)) == expected
    assert expected


def test_one_compilation_serves_all_orders_of_a_map():
    axes = {"A[0]": np.linspace(0.2, 0.8, 5), "W[0,1]": np.linspace(-1, 1, 5)}
    model = cx.PLRNN.random(4, key=jax.random.key(0))
    compiled = advance_rows._cache_size
    before = compiled()
    cx.scan(model, axes, 6, key=0, orbit_steps=0, starts=8)
    assert compiled() == before + 1
    cx.scan(model, axes, [7, 9], key=1, orbit_steps=0, starts=8)
    assert compiled() == before + 1
