"""The kernel: the same words and fates whatever the lanes, under jit and vmap; one compilation for all orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MODELS

import cyclax as cx
from cyclax.cycles.newton import newton_step
from cyclax.cycles.search import POOL, Fate, Pool, Rounds, advance, initial_search
from cyclax.cycles.starts import drawn_starts


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def starts(model, order, seed=0, lanes=32):
    key = jax.random.fold_in(jax.random.key(seed), order)
    z, word = drawn_starts(model, order, key, 0, 1.0, POOL, lanes)
    return np.asarray(z), np.asarray(word)


def test_starts_do_not_depend_on_lanes():
    model = cx.PLRNN.random(3, key=jax.random.key(0))
    (z, word), (z_other, word_other) = starts(model, 5, lanes=32), starts(model, 5, lanes=128)
    np.testing.assert_array_equal(word, word_other)
    np.testing.assert_allclose(z, z_other, rtol=1e-9, atol=1e-9)
    assert np.all(word[0::2] == 0)
    assert np.mean(word[1::2] != 0) > 0.9


def test_a_move_is_scyfis_step():
    """The candidate of a word is (I - P)^-1 q, with P and q composed in plain NumPy."""
    model = cx.PLRNN.random(4, key=jax.random.key(3))
    states = np.random.default_rng(0).normal(size=(4, 10))
    displacement, _, _ = newton_step(model, states, 6)
    for lane in range(10):
        P, q, z = np.eye(4), np.zeros(4), states[:, lane]
        for _ in range(6):
            J = np.diag(model.A) + model.W * (z > 0)
            P, q, z = J @ P, J @ q + model.h, J @ z + model.h
        expected = np.linalg.solve(np.eye(4) - P, q)
        np.testing.assert_allclose(states[:, lane] + displacement[:, lane], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["PLRNN diagonal", "ShallowPLRNN 70 gates", "LoziMap", "TentMap"])
def test_fates_do_not_depend_on_lanes(name):
    order, model = 4, MODELS[name]()
    z, word = starts(model, order)
    outcomes = [Rounds(lanes, 64).run(model, order, z, word) for lanes in (8, 65)]
    # How soon a loop is noticed does depend on what other starts have seen: LOOP and TIRED are one fate here.
    fates = [np.where(outcome.fate == Fate.TIRED, Fate.LOOP, outcome.fate) for outcome in outcomes]
    np.testing.assert_array_equal(*fates)
    hit = fates[0] == Fate.HIT
    np.testing.assert_array_equal(outcomes[0].word[hit], outcomes[1].word[hit])
    np.testing.assert_allclose(outcomes[0].z[:, hit], outcomes[1].z[:, hit], rtol=1e-8, atol=1e-10)
    assert np.all(fates[0] != Fate.MOVING)
    assert np.all(outcomes[0].moves > 0)


def test_hits_are_solutions_and_loops_are_none():
    """Loops are rightly given up: in plain NumPy, without any shortcut, the same starts repeat a word and never hit."""
    model = cx.PLRNN.random(2, key=jax.random.key(5))
    order = 5
    z, word = starts(model, order)
    outcome = Rounds(64, 64).run(model, order, z, word)
    checked = {Fate.HIT: 0, Fate.LOOP: 0}
    for start in range(200):
        fate = outcome.fate[start]
        if fate not in checked:
            continue
        checked[fate] += 1
        state, seen, hit = z[:, start], [], False
        for _ in range(200):
            P, image, gates = np.eye(2), state, []
            for _ in range(order):
                gates.append(image > 0)
                J = np.diag(model.A) + model.W * gates[-1]
                P, image = J @ P, J @ image + model.h
            met = np.array(gates).tobytes()
            if (start % 2 == 0 or seen) and seen[-1:] == [met]:
                hit = True
            if met in seen:
                break
            seen.append(met)
            state = state + np.linalg.solve(np.eye(2) - P, image - state)
        assert hit == (fate == Fate.HIT)
    assert checked[Fate.HIT] + checked[Fate.LOOP] > 150


def test_vmap_over_models_equals_the_loop():
    models = [cx.ShallowPLRNN.random(3, 8, key=jax.random.key(i)) for i in range(4)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    order, lanes = 3, 16
    pools = [Pool(jnp.asarray(z), jnp.asarray(word), jnp.int32(100)) for z, word in (starts(m, order) for m in models)]
    pool = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pools)
    search = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 4), initial_search(3, lanes))
    kernel = jax.jit(jax.vmap(advance, in_axes=(0, None, 0, 0, None)))
    for _ in range(3):
        search, record = kernel(batch, order, search, pool, 64)
    for i, model in enumerate(models):
        alone = initial_search(3, lanes)
        for _ in range(3):
            alone, record_alone = advance(model, order, alone, pools[i], 64)
        # A finished search stands still in the loop, and in the batch it waits for the others.
        moved = np.asarray(record_alone.start) >= 0
        for name in ("word", "moves", "fate", "start"):
            mine = np.asarray(getattr(record_alone, name))[moved]
            np.testing.assert_array_equal(mine, np.asarray(getattr(record, name))[i][moved])
        np.testing.assert_allclose(alone.lanes.z, search.lanes.z[i], rtol=1e-9, atol=1e-9)


def test_one_compilation_serves_all_orders_and_seeds():
    model = cx.PLRNN.random(7, key=jax.random.key(0))
    finder = cx.SCYFI(lanes=48, starts=100)
    before = advance._cache_size()
    cx.find_cycles(model, [1, 2], key=0, finder=finder)
    assert advance._cache_size() == before + 1
    cx.find_cycles(model, 9, key=1, finder=finder)
    cx.find_cycles(cx.PLRNN.random(7, key=jax.random.key(1)), [17], key=2, finder=finder)
    assert advance._cache_size() == before + 1
