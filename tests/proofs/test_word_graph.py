"""The word graph against plain enumeration, its programs against HiGHS, and its claims against what they claim."""

import importlib
import itertools
import sys

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from conftest import CASES, answer
from plain import plain_map
from planting import PLANTERS, planted, planted_plrnn
from scipy.optimize import linprog

import cyclax as cx
from cyclax.core.budget import Budget
from cyclax.core.numerics import numerics
from cyclax.cycles.solve import solve_words
from cyclax.cycles.word import word_key, word_of
from cyclax.maps.affine import affine_form
from cyclax.proofs.boxes import derived_box, outer_polytope, pieces_of
from cyclax.proofs.candidates import Box
from cyclax.proofs.word_graph.mean import no_cycle_in_the_mean

pytest.importorskip("numba")
from cyclax.proofs.word_graph import programs, regions, walks
from cyclax.proofs.word_graph.compiled import compiled
from cyclax.proofs.word_graph.refinement import word_graph

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the published cases are not at hand")


def borders_of(model):
    with numerics():
        return affine_form(model)


def cube(model, half=1e4):
    return Box(np.full(model.num_states, -float(half)), np.full(model.num_states, float(half)))


def explore(model, orders, half=1e4, *, box=None, threads=2, **limits):
    budget = Budget(**{"seconds": 300.0, **limits})
    budget.start()
    return word_graph(borders_of(model), orders, box or cube(model, half), budget, lambda text: None, threads)


def summed(model):
    """Give A, B, C, c, h of F(z) = A z + B relu(C z + c) + h, written out by hand."""
    if isinstance(model, cx.TentMap):
        return np.full((1, 1), model.slope), np.full((1, 1), -2 * model.slope), np.eye(1), np.zeros(1), np.ones(1)
    if isinstance(model, cx.LoziMap):
        A = np.array([[model.a, 1], [model.b, 0]])
        return A, np.array([[-2 * model.a], [0]]), np.array([[1.0, 0]]), np.zeros(1), np.array([1.0, 0])
    if isinstance(model, cx.ReLURNN):
        size = len(model.b)
        return np.zeros((size, size)), np.eye(size), np.asarray(model.W), np.asarray(model.b), np.zeros(size)
    if isinstance(model, cx.LeakyReLURNN):
        size = len(model.b)
        return model.slope * model.W, (1 - model.slope) * np.eye(size), model.W, model.b, np.zeros(size)
    A = np.diag(model.A) if model.A.ndim == 1 else model.A
    if isinstance(model, cx.PLRNN):
        return A, model.W, np.eye(len(model.h)), np.zeros(len(model.h)), model.h
    if isinstance(model, cx.ShallowPLRNN):
        return A, model.W1, model.W2, model.h2, model.h1
    if isinstance(model, cx.ClippedShallowPLRNN):
        thresholds = np.concatenate([model.h2, 0 * model.h2])
        return A, np.hstack([model.W1, -model.W1]), np.vstack([model.W2, model.W2]), thresholds, model.h1
    raise TypeError(type(model))


def real_cycles(model, words, tolerance=1e-9):
    """Solve words `(n, k, G)` and keep the keys of those that are cycles, in plain NumPy."""
    A, B, C, c, h = summed(model)
    found = set()
    for word in words:
        P, q = np.eye(len(h)), np.zeros(len(h))
        for gates in word:
            J = A + (B * gates) @ C
            P, q = J @ P, J @ q + h + B @ (gates * c)
        if np.linalg.cond(np.eye(len(h)) - P) > 1e12:
            continue
        z = np.linalg.solve(np.eye(len(h)) - P, q)
        for gates in word:
            y = C @ z + c
            if np.any((y > tolerance) & ~gates) or np.any((y < -tolerance) & gates):
                break
            z = A @ z + B @ np.maximum(y, 0) + h
        else:
            key = word_key(word)
            if key.order == len(word):
                found.add(key)
    return found


def all_cycles(model, order):
    num_gates = len(summed(model)[3])
    words = itertools.product(itertools.product([False, True], repeat=num_gates), repeat=order)
    # One rotation of each is enough.
    return real_cycles(model, (np.array(w) for w in words if w == min(w[i:] + w[:i] for i in range(order))))


def random_plrnn(size, seed, gain=1.5):
    rng = np.random.default_rng([seed, size])
    W = rng.normal(size=(size, size)) * gain / np.sqrt(size)
    return cx.PLRNN(A=rng.uniform(0.2, 0.9, size), W=W, h=rng.normal(size=size))


def random_shallow(kind, size, hidden, seed, gain=1.5):
    rng = np.random.default_rng([seed, size, hidden])
    return kind(
        A=rng.uniform(0.1, 0.8, size),
        W1=rng.normal(size=(size, hidden)) * gain,
        W2=rng.normal(size=(hidden, size)),
        h1=rng.normal(size=size),
        h2=rng.normal(size=hidden),
    )


MODELS = {
    **{f"plrnn-2-{seed}": (random_plrnn(2, seed, 3.0), 5) for seed in range(6)},
    **{f"plrnn-3-{seed}": (random_plrnn(3, seed, 3.0), 3) for seed in range(4)},
    **{f"shallow-{seed}": (random_shallow(cx.ShallowPLRNN, 2, 4, seed), 3) for seed in range(4)},
    **{f"clipped-{seed}": (random_shallow(cx.ClippedShallowPLRNN, 2, 2, seed, 6.0), 3) for seed in range(4)},
    **{
        f"relu-{seed}": (cx.ReLURNN(W=3 * np.random.default_rng(seed).normal(size=(2, 2)), b=np.array([1.0, -0.5])), 5)
        for seed in range(3)
    },
    "tent": (cx.TentMap(2.0), 10),
    "lozi": (cx.LoziMap(1.7, 0.5), 12),
}


@pytest.mark.parametrize("name", MODELS)
def test_equals_plain_enumeration(name):
    model, longest = MODELS[name]
    candidates = explore(model, list(range(1, longest + 1)))
    assert candidates.complete == tuple(range(1, longest + 1))
    assert not candidates.unfinished
    for order in candidates.complete:
        words = candidates.words.get(order, np.empty((0, order, 1), bool))
        assert real_cycles(model, words) == all_cycles(model, order), order
        keys = [word_key(word) for word in words]
        assert len(set(keys)) == len(keys)
        assert all(key.order == order for key in keys)


@pytest.mark.parametrize("seed", range(8))
def test_all_orders_at_once(seed):
    # Contracting enough to end, strong enough to have something: what is proved for all orders holds for the low ones.
    model = random_plrnn(2, 100 + seed, 1.0)
    candidates = explore(model, None)
    assert candidates.all_orders
    assert candidates.notes["disjoint_cycles"]
    for order in range(1, 6):
        words = candidates.words.get(order, np.empty((0, order, 2), bool))
        assert real_cycles(model, words) == all_cycles(model, order)


def test_short_walks_alone_do_not_prove_all_orders():
    model = cx.LoziMap(1.7, 0.5)
    fixed = explore(model, [1])
    assert fixed.complete == (1,)
    assert not fixed.all_orders
    two = explore(model, [3, 5])
    assert two.complete == (3, 5)
    assert not two.all_orders
    assert real_cycles(model, two.words.get(5, [])) == all_cycles(model, 5) == set()


@needs_cases
@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("plrnn_2d_order1", 1),
        ("plrnn_2d_order16", 16),
        ("plrnn_2d_order27", 27),
        ("plrnn_2d_order40", 40),
        ("plrnn_2d_order53", 53),
        ("shallow_m2_h10", 8),
        ("almost_linear_2d_order8", 24),
        ("shallow_m2_h60_trained_reach", 1),
    ],
)
def test_published_networks(name, longest):
    model = cx.load(CASES / f"{name}.json")
    bounds = borders_of(model)
    candidates = explore(model, list(range(1, longest + 1)))
    assert candidates.complete == tuple(range(1, longest + 1))
    counts = {}
    with numerics():
        for order, words in candidates.words.items():
            solutions = solve_words(model, words, bounds)
            real = solutions.met & ~solutions.singular & (np.max(np.abs(solutions.points), axis=(1, 2)) <= 1e4)
            counts |= {str(order): int(real.sum())} if real.any() and order <= longest else {}
    assert counts == answer(name)["counts"]


@needs_cases
@pytest.mark.slow
@pytest.mark.parametrize("half", [20.0, 1e5])
def test_ten_dimensions_at_all_orders(half):
    model = cx.load(CASES / "plrnn_10d_order10.json")
    candidates = explore(model, None, half, seconds=300.0)
    assert candidates.all_orders
    assert {k: len(real_cycles(model, words)) for k, words in candidates.words.items() if k < 8} == {1: 3}
    assert len(real_cycles(model, candidates.words[10])) == 2


def test_lozi_to_order_22():
    model = cx.LoziMap(1.7, 0.5)
    candidates = explore(model, list(range(1, 23)))
    assert len(real_cycles(model, candidates.words[22])) == 2723


@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
@hypothesis.given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 10**6), st.floats(0.5, 1e4))
def test_a_planted_cycle_is_always_a_candidate(size, order, seed, room):
    order = min(order, size)  # more points than that need not be met exactly
    model, points = planted_plrnn(size, order, seed)
    largest = np.max(np.abs(points), axis=0)
    box = Box(-largest - room * 1e-9, largest + room)  # the cycle touches its box
    candidates = explore(model, list(range(1, order + 1)), box=box)
    if order in candidates.complete:
        key = word_key(points > 0)
        assert key in {word_key(word) for word in candidates.words.get(key.order, [])}
    else:
        assert candidates.unfinished


@pytest.mark.parametrize(
    ("name", "order"),
    [*((name, 1) for name in PLANTERS), *((name, 2) for name in PLANTERS if name[:4] not in ("Clip", "Dend", "Leak"))],
)
def test_a_planted_cycle_of_any_class_is_a_candidate(name, order):
    model, points, _ = planted(name, order, 0)
    bounds = borders_of(model)
    candidates = explore(model, [order], 1.01 * np.max(np.abs(points)))
    assert candidates.complete == (order,)
    with numerics():
        solutions = solve_words(model, candidates.words[order], bounds)
    assert any(np.allclose(np.roll(found, i, axis=0), points) for found in solutions.points for i in range(order))


@pytest.mark.parametrize("limits", [{"nodes": 40}, {"nodes": 400}, {"memory": 4000}, {"seconds": 1e-9}])
def test_a_cut_budget_is_honest(limits):
    model = cx.LoziMap(1.7, 0.5)
    for orders in (None, list(range(1, 31))):
        candidates = explore(model, orders, **limits)
        assert "budget" in candidates.unfinished
        assert not candidates.all_orders
        assert 30 not in candidates.complete
        for order in candidates.complete:
            if order <= 8:
                words = candidates.words.get(order, np.empty((0, order, 1), bool))
                assert real_cycles(model, words) == all_cycles(model, order)
        if "seconds" in limits:
            assert candidates.complete == ()


def test_a_cut_budget_says_how_far_it_came():
    # All orders of a chaotic map: what is left of the graph lists all orders up to some largest one.
    model = cx.LoziMap(1.7, 0.5)
    shallow, deep = (explore(model, None, nodes=nodes) for nodes in (100, 2000))
    for candidates, least in ((shallow, 6), (deep, 12)):
        assert candidates.complete == tuple(range(1, len(candidates.complete) + 1))
        assert len(candidates.complete) >= least
        assert "budget" in candidates.unfinished
        for order in range(1, 13 if least == 12 else 7):
            words = candidates.words.get(order, np.empty((0, order, 1), bool))
            assert real_cycles(model, words) == all_cycles(model, order)
    # The finer graph has fewer closed walks, of any length.
    for order in shallow.complete:
        assert len(deep.words.get(order, ())) <= len(shallow.words.get(order, ()))


@needs_cases
def test_a_published_network_has_cycles_of_ever_higher_orders():
    """Why `plrnn_2d_order16` never ends as disjoint cycles: a homoclinic tangle of its saddle of order 16.

    k turns of 16 steps and one of 15 make a cycle for every k >= 4: they are proved, and nothing lies between.
    """
    candidates = explore(cx.load(CASES / "plrnn_2d_order16.json"), None, seconds=600.0, nodes=20_000)
    assert not candidates.all_orders
    model = cx.load(CASES / "plrnn_2d_order16.json")
    real = {order: len(real_cycles(model, words)) for order, words in candidates.words.items() if order <= 95}
    assert max(candidates.complete) >= 95
    assert {order: number for order, number in real.items() if number} == {1: 1, 16: 2, 79: 2, 95: 2}
    turns = [([1, 0],) * 9 + ([1, 1],) * 7, ([1, 0],) * 8 + ([1, 1],) * 7]
    for k in range(3, 8):
        word = np.array([*turns[0] * k, *turns[1]], bool)
        assert len(real_cycles(model, word[None])) == (k >= 4)


def test_threads_and_repetition_change_nothing():
    model = random_plrnn(4, 3)
    one, two = (explore(model, list(range(1, 8)), threads=threads) for threads in (1, 3))
    assert one.programs == two.programs
    assert one.notes["words_per_level"] == two.notes["words_per_level"]
    assert one.words.keys() == two.words.keys()
    for order in one.words:
        np.testing.assert_array_equal(one.words[order], two.words[order])


def test_scale_does_not_matter():
    """A network in millions, or in units of 1e-13, has the same graph."""
    model = random_plrnn(3, 4, 2.0)
    scales = (1.0, 2.0**20, 2.0**-43)
    results = [explore(cx.PLRNN(A=model.A, W=model.W, h=s * model.h), [1, 2, 3, 4, 5, 6], 1e4 * s) for s in scales]
    assert results[0].notes["words_per_level"]
    for scale, other in zip(scales, results, strict=True):
        assert other.notes["words_per_level"] == results[0].notes["words_per_level"]
        assert other.tolerance == scale * results[0].tolerance
        assert other.words.keys() == results[0].words.keys()
        for order, words in other.words.items():
            np.testing.assert_array_equal(words, results[0].words[order])


def test_interrupts_pass():
    def stop(text):
        raise KeyboardInterrupt

    budget = Budget()
    budget.start()
    with pytest.raises(KeyboardInterrupt):
        word_graph(borders_of(cx.LoziMap(1.7, 0.5)), None, cube(cx.LoziMap(1.7, 0.5)), budget, stop)


def test_entropy_is_bounded_from_above():
    tent = explore(cx.TentMap(2.0), None, nodes=500)
    assert np.log(2) <= tent.notes["entropy_bound"] < np.log(2) + 1e-6
    # The Lozi map at (1.7, 0.5) has an entropy near 0.48 (2,723 cycles of order 22).
    lozi = explore(cx.LoziMap(1.7, 0.5), None, nodes=20_000)
    assert np.log(22 * 2723) / 22 < lozi.notes["entropy_bound"] < 0.6


# Programs


def random_atlas(rng, size, length, num_planes=6):
    planes = rng.normal(size=(num_planes, size))
    planes /= np.linalg.norm(planes, axis=1, keepdims=True)
    identity = np.eye(size)
    maps = rng.normal(size=(length + 1, size, size + 1))
    return programs.Atlas(
        planes=np.concatenate([planes, rng.normal(size=(num_planes, 1)) * rng.choice([0.1, 1, 10])], axis=1),
        hull=np.concatenate([np.vstack([identity, -identity]), np.full((2 * size, 1), 10.0)], axis=1),
        largest=np.append(np.full(size, 10.0), 1.0),
        maps=maps,
        sizes=np.abs(maps),
        sides=rng.integers(0, 2, (length + 1, num_planes)).astype(np.uint8),
        begins=np.arange(length + 2) * num_planes,
        facets=np.tile(np.arange(num_planes), length + 1),
        rounding=1e-14,
        tolerance=1e-9,
        cap=0.05,
    )


def test_programs_against_highs():
    rng = np.random.default_rng(0)
    seen = {programs.INFEASIBLE: 0, programs.FEASIBLE: 0, programs.UNDECIDED: 0}
    for _ in range(400):
        size, length = int(rng.integers(1, 6)), int(rng.integers(0, 4))
        atlas = random_atlas(rng, size, length, int(rng.integers(1, 7)))
        word = np.arange(length + 1, dtype=np.int32)
        program = programs.make_program(size, 100)
        products = np.zeros((length + 2, size, size + 1))
        count = programs.begin(atlas, program, products)
        for t in range(length + 1):
            for plane in range(len(atlas.planes)):
                count = programs.add_plane(atlas, program, count, plane, int(atlas.sides[t, plane]), t, products)
            products[t + 1] = atlas.maps[t, :, :size] @ products[t]
            products[t + 1, :, size] += atlas.maps[t, :, size]
        programs.reset(program)
        status = programs.decide(atlas, program, count, word)
        seen[status] += 1
        # The same rows written down by hand.
        rows, right, P, q = [np.eye(size), -np.eye(size)], [np.full(2 * size, 10.0)], np.eye(size), np.zeros(size)
        for t in range(length + 1):
            signs = np.where(atlas.sides[t], -1.0, 1.0)
            rows.append(signs[:, None] * (atlas.planes[:, :size] @ P))
            right.append(-signs * (atlas.planes[:, size] + atlas.planes[:, :size] @ q))
            P, q = atlas.maps[t, :, :size] @ P, atlas.maps[t, :, :size] @ q + atlas.maps[t, :, size]
        left = np.concatenate([np.concatenate(rows), np.ones((count - 1, 1))], axis=1)
        best = linprog(
            [0.0] * size + [-1.0], A_ub=left, b_ub=np.concatenate(right), bounds=[(None, None)] * size + [(None, 0.05)]
        )
        slack = -best.fun
        if slack > 1e-7:
            assert status == programs.FEASIBLE
        if slack < -1e-7:
            assert status == programs.INFEASIBLE
    assert seen[programs.INFEASIBLE] > 50
    assert seen[programs.FEASIBLE] > 50


def test_what_just_touches_is_kept():
    # x >= 1 and x <= 1 - gap: refuted only where the gap exceeds the tolerance on both sides, roundings included.
    for gap in (-1e-9, 0.0, 1e-12, 1e-10, 1e-9, 1e-8):
        atlas = random_atlas(np.random.default_rng(0), 1, 0, 2)
        atlas = atlas._replace(planes=np.array([[1.0, -1.0], [1.0, -1.0 + gap]]))
        program, products = programs.make_program(1, 10), np.zeros((1, 1, 2))
        count = programs.begin(atlas, program, products)
        count = programs.add_plane(atlas, program, count, 0, 1, 0, products)
        count = programs.add_plane(atlas, program, count, 1, 0, 0, products)
        programs.reset(program)
        infeasible = programs.decide(atlas, program, count, np.zeros(1, np.int32)) == programs.INFEASIBLE
        assert infeasible == (gap > 2 * atlas.tolerance)
        # The test itself says so, whatever the simplex method thought.
        program.basis[:] = [count - 2, count - 1]
        assert programs._invert_basis(program)
        assert programs._refuted(atlas, program, np.zeros(1, np.int32)) == (gap > 2 * atlas.tolerance)


@pytest.mark.parametrize(("place", "refuted"), [(1.0, True), (1e4, True), (1e7, False), (1e8, False)])
def test_rounding_is_charged_where_numbers_are_large(place, refuted):
    # A gap of 1e-8 far out is within the rounding of the rows, though they say it is there.
    atlas = random_atlas(np.random.default_rng(0), 1, 0, 2)
    atlas = atlas._replace(planes=np.array([[1.0, -place], [1.0, -place + 1e-8]]), largest=np.array([2 * place, 1.0]))
    program, products = programs.make_program(1, 10), np.zeros((1, 1, 2))
    count = programs.begin(atlas, program, products)
    for plane, side in ((0, 1), (1, 0)):
        count = programs.add_plane(atlas, program, count, plane, side, 0, products)
    program.basis[:] = [count - 2, count - 1]
    assert programs._invert_basis(program)
    assert programs._refuted(atlas, program, np.zeros(1, np.int32)) == refuted


def test_false_multipliers_prove_nothing():
    # Whatever the inverse holds, a program with a point is never refuted: the test is made of the data.
    rng = np.random.default_rng(5)
    for _ in range(2000):
        atlas = random_atlas(rng, 3, 2, 4)
        z = rng.uniform(-3, 3, 3)
        sides, word = [], np.arange(3, dtype=np.int32)
        for t in range(3):
            sides.append(atlas.planes[:, :3] @ z + atlas.planes[:, 3] > 0)
            z = atlas.maps[t, :, :3] @ z + atlas.maps[t, :, 3]
        atlas = atlas._replace(sides=np.array(sides, np.uint8))
        program, products = programs.make_program(3, 40), np.zeros((4, 3, 4))
        count = programs.begin(atlas, program, products)
        for t in range(3):
            for plane in range(4):
                count = programs.add_plane(atlas, program, count, plane, int(sides[t][plane]), t, products)
            products[t + 1] = atlas.maps[t, :, :3] @ products[t]
            products[t + 1, :, 3] += atlas.maps[t, :, 3]
        program.basis[:] = rng.choice(np.arange(1, count), 4, replace=False)
        if rng.integers(2) and programs._invert_basis(program):
            program.inverse[0] += rng.choice([0, 1e-12, 1e-3]) * rng.normal(size=(4, 4))
        else:
            program.inverse[0] = rng.normal(size=(4, 4))
        assert not programs._refuted(atlas, program, word)


def test_support_bounds_from_above_and_closely():
    rng = np.random.default_rng(1)
    for _ in range(50):
        size = int(rng.integers(1, 6))
        extra = rng.normal(size=(4, size))
        left = np.concatenate([np.eye(size), -np.eye(size), extra])
        right = np.concatenate([np.full(2 * size, 5.0), rng.uniform(0.1, 3, 4)])
        objectives = rng.normal(size=(3, size))
        bounds, _ = programs.support(left, right, objectives, np.full(size, 5.0))
        for bound, objective in zip(bounds, objectives, strict=True):
            best = -linprog(-objective, A_ub=left, b_ub=right, bounds=[(None, None)] * size).fun
            assert best - 1e-9 <= bound <= best + 1e-9


# Regions


@pytest.mark.parametrize("seed", range(3))
def test_all_regions_are_found(seed):
    model = random_shallow(cx.ShallowPLRNN, 2, 9, seed)
    pieces = pieces_of(borders_of(model))
    box = Box(np.full(2, -4.0), np.full(2, 4.0))
    atlas, ordered, _ = regions.map_regions(pieces, box, 2, lambda *a: None, lambda text: None)
    found = {row.tobytes() for row in ordered.gates(atlas.sides)}
    rows, limits = atlas.hull[:, :2], atlas.hull[:, 2]
    states = np.random.default_rng(0).uniform(-4, 4, (20000, 2))
    states = states[np.all(states @ rows.T <= limits, axis=1)]
    met = {row.tobytes() for row in states @ model.W2.T + model.h2 > 0}
    assert met <= found
    assert len(found) <= 1 + 9 + 9 * 8 // 2  # lines in the plane
    keys = [tuple(row) for row in atlas.sides]
    assert keys == sorted(keys)


def test_pieces_are_the_map(model):
    bounds = borders_of(model)
    pieces = pieces_of(bounds)
    step = plain_map(model)
    for z in np.random.default_rng(3).normal(size=(50, model.num_states)) * 3:
        sides = pieces.planes @ z + pieces.offsets > 0
        image = pieces.closed @ z + pieces.shift + sides @ (pieces.jumps @ z + pieces.shift_jumps)
        np.testing.assert_allclose(image, step(z), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(pieces.gates(sides)[bounds.effective], bounds.gates(z)[bounds.effective])
        np.testing.assert_allclose(bounds.step(z, pieces.gates(sides)), step(z), rtol=1e-12, atol=1e-12)


def test_gates_of_one_plane_are_merged():
    # Twice the same, its opposite, one without gradient, one without effect: one plane. And one that is nearly it.
    W1, W2 = np.array([[1.0, 2, 3, 4, 0], [1, -1, 2, 1, 0]]), np.array([[1.0, 2], [3, 6], [-1, -2], [0, 0], [1, 1]])
    h2 = np.array([0.5, 1.5, -0.5, 1.0, 2.0])
    model = cx.ShallowPLRNN(A=np.full(2, 0.5), W1=W1, W2=W2, h1=np.ones(2), h2=h2)
    assert len(pieces_of(borders_of(model)).planes) == 1
    test_pieces_are_the_map(model)
    near = cx.ShallowPLRNN(A=np.full(2, 0.5), W1=W1, W2=W2, h1=np.ones(2), h2=np.nextafter(h2, 9))
    assert len(pieces_of(borders_of(near)).planes) > 1


# Boxes


def cycle_points(model):
    """Give the points of every cycle of low order there is."""
    A, B, C, c, h = summed(model)
    found = []
    for order in range(1, 5 if len(c) < 3 else 3 if len(c) < 6 else 2):
        for key in all_cycles(model, order):
            P, q, word = np.eye(len(h)), np.zeros(len(h)), word_of(key, len(c))
            for gates in word:
                J = A + (B * gates) @ C
                P, q = J @ P, J @ q + h + B @ (gates * c)
            points = [np.linalg.solve(np.eye(len(h)) - P, q)]
            for _ in range(order - 1):
                points.append(plain_map(model)(points[-1]))
            found.append(np.array(points))
    return found


BOUNDED = [
    random_plrnn(4, 1, 0.1),
    cx.PLRNN(A=np.array([0.95, -0.9]), W=np.zeros((2, 2)), h=np.array([1.0, 50.0])),
    random_shallow(cx.ClippedShallowPLRNN, 2, 3, 0, 4.0),
    random_shallow(cx.ClippedShallowPLRNN, 3, 4, 1, 8.0),
    cx.ReLURNN(W=np.array([[0.3, -0.6], [0.7, 0.2]]), b=np.array([1.0, -0.2])),
    cx.LeakyReLURNN(W=np.array([[0.3, -0.6], [0.5, 0.2]]), b=np.array([1.0, -0.2]), slope=0.5),
    cx.ShallowPLRNN(  # gates that look opposite ways
        A=np.array([0.3]),
        W1=np.array([[0.1, -0.4]]),
        W2=np.array([[1.0], [-1.0]]),
        h1=np.ones(1),
        h2=np.array([0.5, 9.0]),
    ),
    cx.ShallowPLRNN(  # a rotation that contracts, though no norm of its entries does
        A=0.95 * np.array([[0.6, -0.8], [0.8, 0.6]]), W1=np.eye(2) * 0.02, W2=np.eye(2), h1=np.ones(2), h2=np.zeros(2)
    ),
]


@pytest.mark.parametrize("model", BOUNDED, ids=lambda model: type(model).__name__)
def test_every_cycle_is_in_the_derived_box(model):
    box = derived_box(borders_of(model))
    assert box is not None
    assert box.derived
    cycles = cycle_points(model)
    assert len(cycles) > 0
    for points in cycles:
        assert np.all(points >= box.lower)
        assert np.all(points <= box.upper)
    # Attractors, cyclic or not, lie in it as well.
    z = np.ones(model.num_states)
    for _ in range(2000):
        z = plain_map(model)(z)
    assert np.all((z >= box.lower) & (z <= box.upper))


def test_what_the_search_finds_is_in_the_derived_box():
    model = random_shallow(cx.ClippedShallowPLRNN, 2, 3, 1, 12.0)
    box = derived_box(borders_of(model))
    assert box is not None
    cycles = cx.find_cycles(model, 3, key=jax.random.key(0), finder=cx.SCYFI(starts=200))
    assert len(cycles) > 3
    for cycle in cycles:
        assert np.all((cycle.points >= box.lower) & (cycle.points <= box.upper))


def test_the_derived_box_is_sharp_where_it_can_be():
    # x' = 0.5 x + 1 has its fixed point at 2, and that is the box.
    box = derived_box(borders_of(cx.PLRNN(A=np.array([0.5]), W=np.zeros((1, 1)), h=np.ones(1))))
    np.testing.assert_allclose([box.lower[0], box.upper[0]], [2, 2], atol=1e-6)
    assert box.lower[0] <= 2 <= box.upper[0]


@pytest.mark.parametrize(
    "model",
    [
        cx.TentMap(2.0),
        cx.LoziMap(1.7, 0.5),
        cx.PLRNN(A=np.ones(2), W=np.zeros((2, 2)), h=np.ones(2)),
        cx.PLRNN(A=np.full(2, 1 - 1e-16), W=np.zeros((2, 2)), h=np.zeros(2)),
        random_plrnn(3, 0, 20.0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_no_box_is_derived_where_none_is_known(model):
    assert derived_box(borders_of(model)) is None


@pytest.mark.parametrize("name", ["plrnn-2-0", "plrnn-2-1", "plrnn-3-2", "shallow-1", "clipped-2", "relu-1"])
def test_the_outer_polytope_holds_every_cycle(name):
    model, _ = MODELS[name]
    polytope = outer_polytope(pieces_of(borders_of(model)), cube(model, 50.0))
    inside = [points for points in cycle_points(model) if np.max(np.abs(points)) <= 50]
    assert polytope or not inside
    for points in inside:
        assert np.all(points @ polytope[0].T <= polytope[1])


def test_a_box_without_cycles_is_said_to_be_empty():
    model = cx.PLRNN(A=np.full(2, 0.5), W=np.zeros((2, 2)), h=np.ones(2))  # a fixed point at (2, 2)
    box = Box(np.full(2, 3.0), np.full(2, 9.0))
    candidates = explore(model, None, box=box)
    assert candidates.all_orders
    assert candidates.words == {}


# Degenerate networks


def test_no_cycle_in_the_mean():
    """One linear program excludes all orders exactly where enumeration and the graph find nothing either."""
    proved = 0
    for seed in range(30):
        model = random_plrnn(2, seed, 1.5)
        if no_cycle_in_the_mean(borders_of(model), cube(model)):
            proved += 1
            assert all(not all_cycles(model, order) for order in range(1, 6))
    assert proved > 3
    for model in (cx.TentMap(2.0), cx.LoziMap(1.7, 0.5), random_plrnn(2, 0, 0.5)):
        assert not no_cycle_in_the_mean(borders_of(model), cube(model))
    # A fixed point at 2: it touches the first box, and not the second.
    half = cx.PLRNN(A=np.array([0.5]), W=np.zeros((1, 1)), h=np.ones(1))
    assert not no_cycle_in_the_mean(borders_of(half), Box(np.zeros(1), np.full(1, 2.0)))
    assert no_cycle_in_the_mean(borders_of(half), Box(np.zeros(1), np.full(1, 1.99)))


@pytest.mark.parametrize("seed", range(12))
def test_the_mean_never_excludes_a_cycle(seed):
    model, points = planted_plrnn(2 + seed % 2, 1 + seed % 2, seed)
    largest = np.max(np.abs(points), axis=0) * 1.001
    assert not no_cycle_in_the_mean(borders_of(model), Box(-largest, largest))


def test_zero_weights():
    model = cx.PLRNN(A=np.full(3, 0.5), W=np.zeros((3, 3)), h=np.ones(3))
    candidates = explore(model, None)
    assert candidates.all_orders
    assert {order: len(words) for order, words in candidates.words.items()} == {1: 1}


def test_identical_units_cost_nothing():
    rng = np.random.default_rng(0)
    W1, W2, h2 = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    single = cx.ShallowPLRNN(A=np.full(2, 0.4), W1=W1, W2=W2, h1=np.ones(2), h2=h2)
    double = cx.ShallowPLRNN(
        A=np.full(2, 0.4),
        W1=np.hstack([0.25 * W1, 0.25 * W1, 0.25 * W1]),
        W2=np.vstack([W2, 2 * W2, W2]),
        h1=np.ones(2),
        h2=np.concatenate([h2, 2 * h2, h2]),
    )
    one, two = explore(single, [1, 2, 3]), explore(double, [1, 2, 3])
    assert one.notes["words_per_level"] == two.notes["words_per_level"]
    for order in (1, 2, 3):
        both = [len(real_cycles(model, found.words.get(order, []))) for model, found in ((single, one), (double, two))]
        assert both[0] == both[1]


def test_the_identity_is_listed_and_kept():
    # Every point is fixed: the word of every region, closed, must stay a candidate.
    model = cx.PLRNN(A=np.ones(2), W=np.array([[0.0, 1], [0, 0]]), h=np.array([-1.0, 0]))
    candidates = explore(model, [1], 10.0)
    assert candidates.complete == (1,)
    assert any(np.all(word[0, 1]) for word in candidates.words[1])  # (x, 1) is fixed for every x
    still = cx.PLRNN(A=np.ones(2), W=np.zeros((2, 2)), h=np.ones(2))  # and this one only drifts
    assert explore(still, None, 10.0).words == {}


# Graphs


def test_edges_on_short_closed_walks():
    rng = np.random.default_rng(0)
    for _ in range(30):
        nodes = int(rng.integers(2, 25))
        matrix = rng.random((nodes, nodes)) < 1.3 / nodes
        source, target = np.nonzero(matrix)
        graph = walks.Graph(nodes, source, target)
        reach, distance = np.eye(nodes, dtype=bool), np.where(np.eye(nodes, dtype=bool), 0, 10**6)
        for steps in range(1, nodes + 1):
            reach = reach @ matrix
            distance = np.where(reach & (distance == 10**6), steps, distance)
        for longest in (1, 2, 3, 6, 30):
            expected = np.array([distance[v, u] + 1 <= longest for u, v in zip(source, target, strict=True)], bool)
            np.testing.assert_array_equal(walks.short_edges(graph, longest), expected)
        expected = np.array([distance[v, u] < 10**6 for u, v in zip(source, target, strict=True)], bool)
        np.testing.assert_array_equal(walks.recurrent_edges(graph), expected)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_closed_walks_are_all_listed(length):
    # Words without two 1s in a row.
    words = [w for w in itertools.product([0, 1], repeat=length) if (1, 1) not in itertools.pairwise(w)]
    onward = [(i, (*w[1:], s)) for i, w in enumerate(words) for s in (0, 1) if (w[-1], s) != (1, 1)]
    edges = [(i, words.index(w)) for i, w in onward if w in words]
    source, target = np.array(sorted(edges)).T
    graph = walks.Graph(len(words), source, target)
    found, _ = walks.closed_walks(graph, np.array(words, np.int32), list(range(1, 11)), 10_000, 10**7)
    for order in range(1, 11):
        expected = set()
        for w in itertools.product([0, 1], repeat=order):
            rotations = [w[i:] + w[:i] for i in range(order)]
            if len(set(rotations)) == order and all(pair != (1, 1) for pair in zip(w, w[1:] + w[:1], strict=True)):
                expected.add(min(rotations))
        assert {tuple(row) for row in found[order].tolist()} == expected
    assert walks.closed_walks(graph, np.array(words, np.int32), [20], 10, 10**7)[0] is None


def test_loops_are_compiled_where_there_is_no_folder_to_keep_them():
    """As where neither the installation nor a home may be written."""
    import numba

    source = "def twice(x):\n    return 2 * x\n"
    exec(compile(source, "<nowhere>", "exec"), scope := {})
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(scope["twice"])
    assert compiled(scope["twice"])(21) == 42


def test_a_missing_numba_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "cyclax.proofs.word_graph.compiled")
    with pytest.raises(ImportError, match=r"cyclax\[exact\]"):
        importlib.import_module("cyclax.proofs.word_graph.compiled")
