"""Branching over gates: against all words, planted cycles, and proofs that are none."""

import sys

import numpy as np
import pytest
from conftest import key
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import plain_map
from planting import PLANTERS, planted, planted_plrnn

import cyclax as cx
from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.core.numerics import numerics
from cyclax.cycles.solve import solve_words
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.proofs.branch_and_bound import branching as module
from cyclax.proofs.branch_and_bound.branching import branch_and_bound
from cyclax.proofs.branch_and_bound.relaxation import Simplex, directions, exclusion, highest, reasons, relax
from cyclax.proofs.candidates import Box
from cyclax.proofs.exhaustive import exhaustive

pytest.importorskip("highspy")


def silent(text):
    pass


def box_of(model, size=1e4):
    return Box(np.full(model.num_states, -size), np.full(model.num_states, size))


def bounded(model, orders, *, size=1e4, budget=None):
    budget = budget or Budget(seconds=60)
    budget.start()
    with numerics():
        return branch_and_bound(affine_form(model), orders, box_of(model, size), budget, silent)


def real(model, candidates, size=1e4):
    """Give {order: identities of the words that are cycles in the box}."""
    found = {}
    with numerics():
        bounds = affine_form(model)
        for order, words in candidates.words.items():
            assert words.shape[1:] == (order, len(bounds.offsets))
            found[order] = set()
            if len(words):
                solutions = solve_words(model, words, bounds)
                inside = np.max(np.abs(solutions.points), axis=(1, 2)) <= size
                words = words & bounds.effective
                found[order] = {word_key(word) for word in words[solutions.met & ~solutions.singular & inside]}
    return found


def check_against_all_words(model, orders, size=1e4):
    with numerics():
        reference = exhaustive(model, affine_form(model), orders, box_of(model, size), Budget(), silent)
    candidates = bounded(model, orders, size=size)
    assert candidates.complete == tuple(orders)
    assert candidates.unfinished == ""
    found = real(model, candidates, size)
    assert found == real(model, reference, size)
    return found


def oscillating(number, seed):
    """Draw a PLRNN that inhibits itself."""
    rng = np.random.default_rng(seed)
    W = -3 * np.abs(rng.normal(size=(number, number)))
    return cx.PLRNN(A=rng.uniform(0.3, 0.9, number), W=W, h=rng.normal(size=number) + 1)


SMALL = {
    "PLRNN": (lambda seed: oscillating(3, seed), [1, 2, 3]),
    "MeanCenteredPLRNN": (lambda seed: cx.MeanCenteredPLRNN.random(3, key=key(seed), gain=2), [1, 2, 3]),
    "ShallowPLRNN": (lambda seed: cx.ShallowPLRNN.random(2, 5, key=key(seed), gain=3), [1, 2]),
    "ClippedShallowPLRNN": (lambda seed: cx.ClippedShallowPLRNN.random(2, 3, key=key(seed), gain=5), [1, 2]),
    "DendriticPLRNN": (lambda seed: cx.DendriticPLRNN.random(2, 3, key=key(seed), gain=3), [1, 2]),
    "ClippedDendriticPLRNN": (lambda seed: cx.ClippedDendriticPLRNN.random(2, 3, key=key(seed), gain=4), [1, 2]),
    "AlmostLinearRNN": (lambda seed: cx.AlmostLinearRNN.random(4, 2, key=key(seed), gain=2), [1, 2, 3]),
    "LowRankPLRNN": (lambda seed: cx.LowRankPLRNN.random(3, 2, key=key(seed), gain=3), [1, 2, 3]),
    "ReLURNN": (lambda seed: cx.ReLURNN.random(3, key=key(seed), gain=3), [1, 2, 3]),
    "LeakyReLURNN": (lambda seed: cx.LeakyReLURNN.random(3, key=key(seed), gain=3, slope=0.1), [1, 2, 3]),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [1e4, 5.0])
def test_against_all_words(name, size):
    """In a box without end as in one that cuts cycles off."""
    build, orders = SMALL[name]
    found = sum(len(keys) for seed in range(3) for keys in check_against_all_words(build(seed), orders, size).values())
    assert found > 0


@pytest.mark.parametrize(
    "model", [cx.TentMap(2.0), cx.SkewTentMap(0.7, -2.3, 1.0), cx.LoziMap(1.7, 0.5)], ids=lambda m: type(m).__name__
)
def test_textbook_maps(model):
    check_against_all_words(model, [1, 2, 3, 4, 5, 6])


def test_necklaces_of_the_tent_map():
    found = real(cx.TentMap(2.0), bounded(cx.TentMap(2.0), [4, 7]))
    assert {order: len(keys) for order, keys in found.items()} == {4: 3, 7: 18}


@pytest.mark.parametrize("name", PLANTERS)
def test_planted(name):
    check_planted(*planted(name, 1, 0)[:2])
    if "Clipped" not in name and name != "ShallowPLRNN":
        check_planted(*planted(name, 2, 0)[:2])


@settings(max_examples=8)
@given(number=st.integers(4, 14), order=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_planted_in_many_dimensions(number, order, seed):
    if number * order <= 24 and order < number:
        check_planted(*planted_plrnn(number, order, seed))


def check_planted(model, points):
    order = len(points)
    candidates = bounded(model, [order], size=20.0)
    assert candidates.complete == (order,)
    with numerics():
        found = solve_words(model, candidates.words[order], affine_form(model)).points
    turned = [np.roll(points, -turn, axis=0) for turn in range(order)]
    assert any(np.allclose(one, other, atol=1e-6) for one in found for other in turned)


# -- a large network, and the same result from threads ---------------------------------------------------------------


def large(number, seed):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(number, number)) / np.sqrt(number)
    return cx.PLRNN(A=rng.uniform(0.3, 0.9, number), W=W, h=rng.normal(size=number))


def test_threads_change_nothing(monkeypatch):
    model = large(24, 1)
    monkeypatch.setattr(module, "LEARNING", 20)
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(module, "cores", lambda _, cores=cores: cores)
        results.append(bounded(model, [1]))
    np.testing.assert_array_equal(results[0].words[1], results[1].words[1])
    assert results[0].nodes == results[1].nodes > 100
    monkeypatch.setattr(module, "LEARNING", 10**9)
    alone = bounded(model, [1])
    assert alone.nodes != results[0].nodes  # another tree
    assert real(model, alone) == real(model, results[0])
    assert len(real(model, alone)[1]) > 0


# -- budgets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learning", [5, 1000])
def test_budget_is_honest(monkeypatch, learning):
    monkeypatch.setattr(module, "LEARNING", learning)
    candidates = bounded(large(30, 0), [1, 2], budget=Budget(nodes=50))
    assert candidates.complete == ()
    assert 50 < candidates.nodes < 70
    assert "50 nodes ran out" in candidates.unfinished
    assert int(candidates.unfinished.split("; ")[1].split()[0]) > 0
    assert not candidates.all_orders


def test_budget_of_later_orders():
    candidates = bounded(cx.TentMap(2.0), [1, 9], budget=Budget(nodes=40))
    assert candidates.complete == (1,)
    assert candidates.unfinished.startswith("order 9")


def test_no_time_at_all():
    candidates = bounded(large(20, 0), [1], budget=Budget(seconds=1e-9))
    assert candidates.complete == ()
    assert "time budget" in candidates.unfinished


# -- degenerate ----------------------------------------------------------------------------------------------------


def test_zero_weights():
    model = cx.PLRNN(A=[0.5, -0.2], W=np.zeros((2, 2)), h=[1.0, 2.0])
    candidates = bounded(model, [1, 2])
    assert {order: len(words) for order, words in candidates.words.items()} == {1: 1, 2: 0}
    assert candidates.notes["contracts"]
    assert candidates.all_orders


def test_a_unit_that_is_always_open():
    """Its gate has no border, but what it adds must be there; the same for one that is always closed."""
    rng = np.random.default_rng(3)
    W1, W2 = 0.4 * rng.normal(size=(2, 4)), rng.normal(size=(4, 2))
    W2[1] = W2[2] = 0
    model = cx.ShallowPLRNN(A=[0.5, 0.3], W1=W1, W2=W2, h1=[1.0, -1.0], h2=[0.5, 2.0, -1.0, 0.3])
    assert len(check_against_all_words(model, [1, 2])[1]) == 1
    with numerics():
        ((point,),) = solve_words(model, bounded(model, [1]).words[1], affine_form(model)).points
    np.testing.assert_allclose(plain_map(model)(point), point)


def test_everything_is_a_fixed_point():
    model = cx.PLRNN(A=np.eye(3), W=np.zeros((3, 3)), h=np.zeros(3))
    assert len(bounded(model, [1]).words[1]) == 1


def test_a_line_of_fixed_points_and_its_disappearance():
    """A = 1, W = -0.5: all z <= 0 are fixed; with h = 1 there is z = 2 only, with h = -1 nothing."""
    words = [bounded(cx.PLRNN(A=[1.0], W=[[-0.5]], h=[h]), [1]).words[1] for h in (0.0, 1.0, -1.0)]
    assert False in words[0]
    assert words[1].ravel().tolist() == [True]
    assert len(words[2]) == 0


def test_a_line_of_cycles_with_a_repeated_word():
    """The family is read off the shorter word, whose multiplier is -1; the tree need not list the longer one."""
    cycles = cx.enumerate_cycles(cx.SkewTentMap(0.5, -1.0, 1.0), 2, method=cx.BranchAndBound(), box=1e3)
    assert cycles.counts == {1: 1, 2: 0}
    (line,) = cycles.degenerate
    assert (line.kind, line.order) == ("family", 2)
    np.testing.assert_array_equal(line.gates, [[True], [True]])
    np.testing.assert_allclose(line.points.sum(axis=0), 2 * cycles[0].points[0])


@pytest.mark.slow
def test_identical_units():
    rng = np.random.default_rng(5)
    W1, W2, h2 = 2 * rng.normal(size=(2, 4)), rng.normal(size=(4, 2)), rng.normal(size=4)
    W1, W2, h2 = np.hstack([W1, W1, W1]), np.vstack([W2, W2, 2 * W2]), np.concatenate([h2, h2, 2 * h2])
    model = cx.ShallowPLRNN(A=[0.5, 0.3], W1=W1 / 3, W2=W2, h1=[1.0, -1.0], h2=h2)
    candidates = bounded(model, [1, 2])
    assert candidates.complete == (1, 2)
    assert candidates.nodes < 500
    check_against_all_words(model, [1, 2])


@pytest.mark.parametrize("number", [2, 4, 12])
def test_a_point_on_all_borders(number):
    """h = 0: the origin is fixed and on every border; few sides are all listed, many are not."""
    rng = np.random.default_rng(number)
    W = rng.normal(size=(number, number)) / np.sqrt(number)
    candidates = bounded(cx.PLRNN(A=rng.uniform(0.3, 0.9, number), W=W, h=np.zeros(number)), [1])
    assert candidates.complete == (1,)
    words = candidates.words[1][:, 0]
    if number <= 4:
        assert len(words) == 2**number
    else:
        assert 0 < len(words) < 2**number
        assert candidates.notes["points on many borders"] > 0


@pytest.mark.parametrize("small", [1e-7, 1e-9])
def test_points_near_many_borders_are_told_apart(small):
    """Eight of nine units are so small that their three fixed points are within what HiGHS takes for one."""
    rng = np.random.default_rng(5)
    A, W = rng.uniform(0.3, 0.9, 9), np.zeros((9, 9))
    W[1:, 1:] = rng.normal(size=(8, 8)) / np.sqrt(8) * 3
    h = rng.normal(size=8)
    found, expected = (
        real(model, bounded(model, [1]))[1]
        for model in (cx.PLRNN(A=A, W=W, h=np.append(1.0, scale * h)) for scale in (small, 1.0))
    )
    assert len(expected) == 3
    assert found == expected


def test_a_program_in_which_the_simplex_method_goes_round_is_given_up():
    """States of 1e13 beside thresholds of 1: HiGHS turned in its first phase for ever, without a pivot."""
    model = cx.ClippedDendriticPLRNN(
        A=[0.9999999999995453],
        W=[[-0.7562112890284347]],
        h=[2.8094103883357247],
        alpha=[0.3146679145513499, 2.66687698494105, -0.8553838799739243],
        thresholds=[[2.387907266775476, 1.0837395366699671, -0.5819291386761117]],
    )
    box = ([5660469874850.09], [16442054541396.996])
    found = cx.enumerate_cycles(model, [4], method=cx.BranchAndBound(), box=box, progress=False)
    assert found.report["orders"]["4"]["verdict"] == "proved complete"
    assert len(found) == 0


def test_scale_does_not_matter():
    """A network in millions, and one in millionths, has the same words and the same tree."""
    rng = np.random.default_rng(1)
    A, W, h = rng.uniform(0.3, 0.9, 10), rng.normal(size=(10, 10)) / 3, rng.normal(size=10)
    results = [bounded(cx.PLRNN(A=A, W=W, h=scale * h), [1], size=1e4 * scale) for scale in (1, 2.0**20, 2.0**-20)]
    assert len(results[0].words[1]) > 0
    for other in results[1:]:
        np.testing.assert_array_equal(other.words[1], results[0].words[1])
        assert other.nodes == results[0].nodes


# -- proofs ------------------------------------------------------------------------------------------------------------


def pruned(seed):
    """Give a program, the decisions of a node without points, and the multipliers that HiGHS gives for it."""
    with numerics():
        program = relax(affine_form(large(8, seed)), 1, Box(np.full(8, -100.0), np.full(8, 100.0)))
    simplex, rng = Simplex(program), np.random.default_rng(seed)
    while True:
        sides = rng.integers(-1, 2, 8).astype(np.int8)
        _, ray = simplex.point(*program.held(sides))
        if ray is not None:
            return program, sides, ray


@pytest.mark.parametrize("seed", range(5))
def test_a_proof_holds_where_it_says(seed):
    """Points that obey all rows and bounds of other nodes violate what a proof needs only outside its node."""
    program, sides, ray = pruned(seed)
    found = exclusion(program, ray, *program.held(sides))
    assert found is not None
    small = np.where(reasons(program, found, sides), sides, 0)
    assert np.any(small)
    assert found.gap(*program.held(small)) > 0
    assert exclusion(program, -3 * ray, *program.held(sides)) is not None  # the sign and the size do not matter
    rng = np.random.default_rng(seed)
    lower, upper = program.held(small)
    columns = lower + rng.uniform(size=(1000, len(lower))) * (upper - lower)
    assert np.all(columns @ found.combination < found.needed)


@pytest.mark.parametrize("seed", range(5))
def test_a_bogus_ray_proves_nothing(seed):
    program, sides, ray = pruned(seed)
    rng = np.random.default_rng(seed)
    free = np.zeros(8, np.int8)
    lower, upper = program.held(sides)
    assert exclusion(program, np.zeros_like(ray), lower, upper) is None
    assert exclusion(program, np.full_like(ray, np.nan), lower, upper) is None
    for _ in range(100):
        bogus = rng.normal(size=len(ray))
        assert exclusion(program, bogus, *program.held(free)) is None  # there are points without decisions
    assert exclusion(program, ray, *program.held(free)) is None


def test_nothing_is_pruned_on_a_bogus_ray(monkeypatch):
    """A solver that lies about infeasible nodes costs nodes, never a cycle."""
    model = cx.PLRNN.random(5, key=key(7), gain=2)
    honest = bounded(model, [1])
    point = Simplex.point

    def liar(self, lower, upper):
        found, ray = point(self, lower, upper)
        return (None, np.ones(self.solved % 3 + 5)[:5]) if self.solved % 2 else (found, ray)

    monkeypatch.setattr(Simplex, "point", liar)
    lied = bounded(model, [1])
    assert real(model, lied) == real(model, honest)
    assert len(real(model, lied)[1]) > 0
    assert lied.nodes > honest.nodes


def test_points_within_the_tolerance_are_not_excluded():
    """x' = 0.5 x + relu(x) - h for h = 1e-12: of the fixed points 2 h and -2 h none is lost to a tolerance of HiGHS."""
    model = cx.PLRNN(A=[0.5], W=[[1.0]], h=[-1e-12])
    assert len(bounded(model, [1], size=1.0).words[1]) == 2
    other = cx.PLRNN(A=[0.5, 0.5], W=[[1.0, 0.0], [0.0, 0.2]], h=[-1e-12, 1.0])
    assert len(real(other, bounded(other, [1]))[1]) == 2


@pytest.mark.parametrize(("gap", "excluded"), [(1e-6, True), (1e-11, False)])
def test_what_the_tolerance_would_allow_is_not_excluded(gap, excluded):
    """x' = 0.5 x + relu(x) + gap has no fixed point (0.5 n = -gap, -0.5 p = gap), though nearly."""
    model = cx.PLRNN(A=[0.5, 0.5], W=[[1.0, 0.0], [0.0, 0.2]], h=[gap, 1.0])
    with numerics():
        program = relax(affine_form(model), 1, box_of(model, 10))
    (row,) = np.flatnonzero(program.matrix[:, program.opened[0]])
    for side in (1, -1):
        held = program.held(np.array([side, 0]))
        assert (exclusion(program, np.eye(len(program.matrix))[row], *held) is not None) == excluded
    assert (len(bounded(model, [1]).words[1]) == 0) == excluded


def test_a_bound_from_bogus_duals_is_a_bound():
    program, _, _ = pruned(0)
    simplex, cost = Simplex(program), np.zeros(16)
    cost[3] = 1
    point, duals = simplex.maximum(cost, program.lower, program.upper)
    assert point is not None
    assert duals is not None
    true = highest(program, cost, duals, program.lower, program.upper)
    np.testing.assert_allclose(true, point[3], rtol=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert highest(program, cost, rng.normal(size=8), program.lower, program.upper) >= point[3]


# -- messages ------------------------------------------------------------------------------------------------------


def test_the_map_must_be_continuous():
    with numerics():
        bounds = affine_form(cx.PLRNN.random(3, key=key(0)))
    np.testing.assert_allclose(directions(bounds)[1], bounds.jumps[1][:, 1])
    jumps = bounds.jumps.copy()
    jumps[1, 0, 2] += 0.1
    with pytest.raises(ValueError, match=r"opening gate 1 .* not continuous"):
        directions(bounds._replace(jumps=jumps))


def test_the_box_must_be_finite():
    with pytest.raises(ValueError, match="box must be finite"):
        bounded(cx.TentMap(2.0), [1], size=np.inf)


def test_the_program_must_fit_the_memory():
    with pytest.raises(TooExpensiveError, match=r"would take .* MiB, more than the budget of 1 MiB"):
        bounded(large(50, 0), [3], budget=Budget(memory=2**20))


def test_without_highs(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(ImportError, match=r"pip install 'cyclax\[exact\]'"):
        bounded(cx.TentMap(2.0), [1])


def test_progress(monkeypatch):
    told = []
    model = large(30, 0)
    with numerics():
        branch_and_bound(affine_form(model), [1], box_of(model), Budget(nodes=3000), told.append)
    assert all("order 1" in text for text in told)
