"""The kernel: the same words and fates whatever the lanes, under jit and vmap; one compilation for all orders."""

import functools
import itertools

import jax
import numpy as np
import pytest
from conftest import MODELS, slow

import cyclax as cx
from cyclax.core.draws import counted, seed_of
from cyclax.core.numerics import numerics
from cyclax.search.lanes import POOL, Fate, Rounds, advance
from cyclax.search.linear import solve_lanes
from cyclax.search.newton import newton_step, segment_starts
from cyclax.search.starts import drawn_starts


@pytest.fixture(autouse=True)
def _float64():
    with numerics():
        yield


def batch_of(*models):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *models)


def starts(model, order, seed=0, lanes=32, segments=1):
    """Starts of a batch of one: nodes `(1, M, S, n)` and hashes `(1, n)`."""
    keys = jax.random.fold_in(jax.random.key(seed), order)[None]
    first, scales = np.zeros(1, int), np.ones(1)
    z, word = drawn_starts(batch_of(model), order, keys, first, scales, POOL, pool=POOL, segments=segments, lanes=lanes)
    return np.asarray(z), np.asarray(word)


def run(model, order, z, word, lanes):
    return Rounds(lanes, 64).run(batch_of(model), order, z, word, np.array([z.shape[-1]]))


def test_starts_do_not_depend_on_lanes():
    model = cx.PLRNN.random(3, key=jax.random.key(0))
    (z, word), (z_other, word_other) = starts(model, 5, lanes=32), starts(model, 5, lanes=128)
    np.testing.assert_array_equal(word, word_other)
    np.testing.assert_allclose(z, z_other, rtol=1e-9, atol=1e-9)
    assert np.all(word[0, 0::2] == 0)
    assert np.mean(word[0, 1::2] != 0) > 0.9


def test_a_move_is_scyfis_step():
    """The candidate of a word is (I - P)^-1 q, with P and q composed in plain NumPy."""
    model = cx.PLRNN.random(4, key=jax.random.key(3))
    states = np.random.default_rng(0).normal(size=(4, 10))
    displacement = jax.jit(newton_step)(model, states[:, None], 6)[0][:, 0]
    for lane in range(10):
        P, q, z = np.eye(4), np.zeros(4), states[:, lane]
        for _ in range(6):
            J = np.diag(model.A) + model.W * (z > 0)
            P, q, z = J @ P, J @ q + model.h, J @ z + model.h
        expected = np.linalg.solve(np.eye(4) - P, q)
        np.testing.assert_allclose(states[:, lane] + displacement[:, lane], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["ShallowPLRNN 70 gates", "TentMap", slow("PLRNN diagonal"), slow("LoziMap")])
def test_fates_do_not_depend_on_lanes(name):
    order, model = 4, MODELS[name]()
    z, word = starts(model, order)
    outcomes = [run(model, order, z, word, lanes) for lanes in (8, 65)]
    # How soon a loop is noticed does depend on what other starts have seen: LOOP and TIRED are one fate here.
    fates = [np.where(outcome.fate == Fate.TIRED, Fate.LOOP, outcome.fate) for outcome in outcomes]
    np.testing.assert_array_equal(*fates)
    hit = fates[0] == Fate.HIT
    np.testing.assert_array_equal(outcomes[0].word[hit], outcomes[1].word[hit])
    nodes = [np.moveaxis(outcome.z, -1, 1)[hit] for outcome in outcomes]
    np.testing.assert_allclose(*nodes, rtol=1e-8, atol=1e-10)
    assert np.all(fates[0] != Fate.MOVING)
    assert np.all(outcomes[0].moves > 0)


def test_hits_are_solutions_and_loops_are_none():
    """Loops are rightly given up: in plain NumPy, without any shortcut, the same starts repeat a word and never hit."""
    model = cx.PLRNN.random(2, key=jax.random.key(5))
    order = 5
    z, word = starts(model, order)
    outcome = run(model, order, z, word, 64)
    checked = {Fate.HIT: 0, Fate.LOOP: 0}
    for start in range(200):
        fate = outcome.fate[0, start]
        if fate not in checked:
            continue
        checked[fate] += 1
        state, seen, hit = z[0, :, 0, start], [], False
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


def test_a_batch_of_models_equals_the_loop():
    models = [cx.ShallowPLRNN.random(3, 8, key=jax.random.key(i)) for i in range(4)]
    order, lanes, number = 3, 16, 100
    pools = [starts(model, order) for model in models]
    z, word = (np.concatenate(parts)[..., :number] for parts in zip(*pools, strict=True))
    together = Rounds(lanes, 64).run(batch_of(*models), order, z, word, np.array([number, 40, 0, number]))
    for i, (model, size) in enumerate(zip(models, (number, 40, 0, number), strict=True)):
        if size:
            alone = run(model, order, z[i : i + 1, ..., :size], word[i : i + 1, :size], lanes)
            np.testing.assert_array_equal(alone.fate[0], together.fate[i, :size])
            np.testing.assert_array_equal(alone.moves[0], together.moves[i, :size])
            np.testing.assert_array_equal(alone.word[0], together.word[i, :size])
            np.testing.assert_allclose(alone.z[0], together.z[i, ..., :size], rtol=1e-9, atol=1e-9)
        assert np.all(together.fate[i, size:] == Fate.MOVING)  # what the size leaves out is not run


@pytest.mark.parametrize(("name", "segments"), [("LoziMap", 2), ("PLRNN full", 4), ("ShallowPLRNN 70 gates", 8)])
def test_segments_solve_the_same_words(name, segments):
    """From the nodes of one orbit, shooting in segments meets the same word and gives its candidate and its points."""
    model, order = MODELS[name](), 7  # segments of unequal lengths; with 8 one of them is empty
    z = np.random.default_rng(0).normal(size=(model.num_states, 1, 12))
    single, word, _ = jax.jit(newton_step)(model, z, order)
    begins = np.asarray(segment_starts(order, segments))[:-1]
    nodes = np.stack([cx.simulate(model, state, order)[begins] for state in z[:, 0].T], axis=-1)
    nodes = np.moveaxis(nodes, 0, 1)
    several, word_of_several, singular = jax.jit(newton_step)(model, nodes, order)
    assert not np.any(singular)
    for first, second in itertools.combinations(range(12), 2):
        assert (word[first] == word[second]) == (word_of_several[first] == word_of_several[second])
    candidates, points = np.asarray(z + single)[:, 0], np.asarray(nodes + several)
    np.testing.assert_allclose(points[:, 0], candidates, rtol=1e-7, atol=1e-7)
    for lane in range(12):
        state = z[:, 0, lane]
        point = candidates[:, lane]
        for t in range(order):
            for node in np.flatnonzero(begins == t):
                np.testing.assert_allclose(points[:, node, lane], point, rtol=1e-7, atol=1e-7)
            held = model.preactivations(state) > 0
            state, point = model.step(state, held), model.step(point, held)


def test_one_compilation_serves_all_orders_and_seeds():
    model = cx.PLRNN.random(7, key=jax.random.key(0))
    finder = cx.SCYFI(lanes=48, starts=100)
    before = advance._cache_size()
    cx.find_cycles(model, [1, 2], key=0, finder=finder)
    assert advance._cache_size() == before + 1
    cx.find_cycles(model, 9, key=1, finder=finder)
    cx.find_cycles(cx.PLRNN.random(7, key=jax.random.key(1)), [17], key=2, finder=finder)
    assert advance._cache_size() == before + 1


@pytest.mark.parametrize("size", [5, 16])
def test_elimination_in_a_loop_is_the_one_that_is_written_out(size):
    rng = np.random.default_rng(size)
    matrix, right = rng.normal(size=(size, size, 40)), rng.normal(size=(size, 40))
    matrix[:, 0, 1] = 0  # singular
    matrix[0, 0, 3:] = 0  # rows must be exchanged
    with numerics():
        solution, singular = jax.jit(solve_lanes)(matrix, right)
        other, also = jax.jit(functools.partial(solve_lanes, rolled=True))(matrix, right)
    np.testing.assert_array_equal(singular, np.arange(40) == 1)
    np.testing.assert_array_equal(also, singular)
    np.testing.assert_allclose(other[:, ~singular], solution[:, ~singular], rtol=1e-9)


def test_drawn_numbers_differ_between_keys_orders_and_starts():
    with numerics():
        seeds = [counted(seed_of(jax.random.key_data(jax.random.key(i)), k), 0, 100) for i in (0, 1) for k in (1, 2)]
        later = counted(seed_of(jax.random.key_data(jax.random.key(0)), 1), 40, 60)
    assert len(np.unique(np.concatenate(seeds))) == 400
    np.testing.assert_array_equal(later, seeds[0][40:])
