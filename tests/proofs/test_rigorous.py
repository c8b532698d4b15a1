"""Rigorous completeness: the same as the numerical proof, and deaf to wrong reasons."""

import dataclasses
import itertools

import equinox as eqx
import jax
import numpy as np
import pytest
from conftest import CASES
from plain import plrnn_cycles, same_cycles

import cyclax as cx
from cyclax.core.budget import Budget
from cyclax.core.numerics import numerics
from cyclax.cycles.seal import broken
from cyclax.maps.affine import affine_form
from cyclax.proofs.boxes import pieces_of
from cyclax.proofs.candidates import Box

pytest.importorskip("numba")
pytest.importorskip("flint")
from cyclax.proofs.rigorous import CYCLE, NONE, OPEN, Judge, NotExactError
from cyclax.proofs.word_graph import refinement as module
from cyclax.proofs.word_graph.programs import Log
from cyclax.proofs.word_graph.refinement import word_graph

RIGOROUS = cx.WordGraph(rigorous=True)
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the published cases are not at hand")


def cube(model, half=1e4):
    return Box(np.full(model.num_states, -float(half)), np.full(model.num_states, float(half)))


def explore(model, orders, half=1e4):
    with numerics():
        bounds = affine_form(model)
    budget = Budget(seconds=60)
    budget.start()
    box = cube(model, half)
    return word_graph(bounds, orders, box, budget, lambda text: None, judge=Judge(model, box))


def learned(model, box):
    """Give a judge that knows the regions on either side of one plane, and them."""
    with numerics():
        pieces = pieces_of(affine_form(model))
    judge = Judge(model, box)
    judge.learn(pieces)
    judge.take_maps(pieces.gates(np.array([[0], [1]])))
    return judge


MODELS = {
    "tent": (cx.TentMap(2.0), 9),
    "lozi": (cx.LoziMap(1.7, 0.5), 12),
    "plrnn-2": (cx.PLRNN.random(2, key=jax.random.key(1), gain=3.0), 6),
    "plrnn-3": (cx.PLRNN.random(3, key=jax.random.key(2), gain=2.0), 3),
    "shallow": (cx.ShallowPLRNN.random(2, 4, key=jax.random.key(3)), 3),
    "mean-centered": (cx.MeanCenteredPLRNN.random(3, key=jax.random.key(0), gain=3.0), 2),
    "clipped": (cx.ClippedShallowPLRNN.random(2, 3, key=jax.random.key(8), gain=5.0), 2),
    "dendritic": (cx.DendriticPLRNN.random(2, 2, key=jax.random.key(8), gain=3.0), 2),
    "relu": (cx.ReLURNN(W=np.array([[1.3, -2.6], [1.7, 0.2]]), b=np.array([1.0, -0.2])), 4),
}


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_numerical_proof(name):
    model, orders = MODELS[name]
    proved = cx.enumerate_cycles(model, orders, method=RIGOROUS, box=1e4)
    numerical = cx.enumerate_cycles(model, orders, method=cx.WordGraph(), box=1e4)
    certified = proved.report["completeness"]
    assert certified["rigor"] == "rigorous"
    assert certified["where"] == "inside the box"
    assert proved.counts == numerical.counts
    assert {c.certificate.status for c in proved} <= {"proved"}
    for one, other in zip(proved, numerical, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
        np.testing.assert_allclose(one.points, other.points, atol=1e-12)
    assert "rigorous proof in ball arithmetic" in proved.report["orders"]["1"]["reason"]
    assert numerical.report["completeness"]["rigor"] == "numerical"


@pytest.mark.parametrize("seed", range(5))
def test_against_plain_enumeration(seed):
    model = cx.PLRNN.random(2 + seed % 2, key=jax.random.key(100 + seed), gain=2.5)
    orders = 4 if model.num_states == 2 else 2
    cycles = cx.enumerate_cycles(model, orders, method=RIGOROUS)
    assert cycles.report["completeness"]["rigor"] == "rigorous"
    for order in range(1, orders + 1):
        assert same_cycles(cycles.of_order(order), plrnn_cycles(model, order))


@needs_cases
@pytest.mark.parametrize(
    ("name", "orders", "counts"),
    [
        ("plrnn_2d_order16", 16, {1: 1, 16: 2}),
        ("plrnn_2d_order40", 40, {1: 1, 40: 2}),
        ("almost_linear_2d_order8", 24, {1: 1, 2: 1, 8: 2, 11: 2}),
        ("shallow_m2_h10", 8, {2: 2, 4: 1}),
        pytest.param("plrnn_2d_order27", "all", {1: 1, 27: 2}, marks=pytest.mark.slow),
        pytest.param("shallow_m2_h60_trained_reach", 1, {1: 17}, marks=pytest.mark.slow),
    ],
)
def test_published_networks(name, orders, counts):
    cycles = cx.enumerate_cycles(cx.load(CASES / f"{name}.json"), orders, method=RIGOROUS, box=1e4)
    assert cycles.report["completeness"]["rigor"] == "rigorous"
    assert cycles.report["completeness"]["notes"]["upheld"] > 0
    assert {order: number for order, number in cycles.counts.items() if number} == counts


@needs_cases
@pytest.mark.slow
def test_a_cut_budget_and_cycles_that_nobody_had_listed():
    """All orders of the 2-D network with a published cycle of order 16: it has further ones, of order 79 and on."""
    model = cx.load(CASES / "plrnn_2d_order16.json")
    cycles = cx.enumerate_cycles(model, "all", method=cx.WordGraph(), box=1e4, budget=Budget(seconds=9, nodes=20_000))
    proved = cycles.report["completeness"]["orders"]
    assert proved == list(cycles.orders) == list(range(1, max(cycles.orders) + 1))
    assert max(proved) >= 95
    assert f"complete up to order {max(proved)}" in cycles.report["completeness"]["unfinished"]
    assert {order: n for order, n in cycles.counts.items() if n and order <= 95} == {1: 1, 16: 2, 79: 2, 95: 2}
    certified = cx.certify(model, cycles, progress=False)
    assert {c.certificate.status for c in certified} == {"proved"}
    assert {c.certificate.stability for c in certified.of_order(79)} == {"saddle"}


# -- wrong reasons ----------------------------------------------------------------------------------------------------

# x' = 1 - 2 |x| on [-10, 0.4]: from 0 <= x <= 0.4 nothing comes to x' <= 0. (Time, source): sources 0 and 1 are the
# sides of the box, -1 and -2 the sides of the plane.
TENT, SHORT = cx.TentMap(2.0), Box(np.array([-10.0]), np.array([0.4]))
SIDES = [np.array([[1]]), np.array([[0]])]


@pytest.mark.parametrize(
    ("rows", "multipliers", "proves"),
    [
        ([(1, -1), (0, 0)], [1.0, 2.0], True),
        ([(1, -1), (0, 0)], [1.0, 1.9], True),  # the box absorbs what is left over
        ([(1, -1)], [1.0], True),
        ([(1, -1), (0, -2)], [1.0, 5.0], False),  # x >= 0 does not help
        ([(0, -2), (0, 0)], [1.0, 1.0], False),
        ([(0, 0), (0, 1)], [1.0, 1.0], False),
        ([(1, -1)], [0.0], False),
        ([], [], False),
    ],
)
def test_multipliers_prove_or_do_not(rows, multipliers, proves):
    judge = learned(TENT, SHORT)
    given = np.array(rows, int).reshape(-1, 2), np.array(multipliers)
    assert judge.upholds([1], SIDES, *given) == proves
    assert (judge.upheld, judge.rejected) == (proves, not proves)


@pytest.mark.parametrize(
    ("rows", "multipliers"),
    [([(1, -1), (0, 0)], [1.0, -2.0]), ([(1, -1)], [np.nan]), ([(0, -1)], [1.0]), ([(1, -2)], [1.0])],
)
def test_reasons_that_were_not_given_are_refused(rows, multipliers):
    judge = learned(TENT, SHORT)
    with pytest.raises(ValueError, match="rests on what is not given"):
        judge.upholds([1], SIDES, np.array(rows), np.array(multipliers))


def test_no_tolerance_is_taken():
    """On [-10, x] the image of x >= 0 is 1 - 2x and above: it misses x' <= 0 for every x < 0.5, and not for 0.5."""
    rows, multipliers = np.array([(1, -1)]), np.array([1.0])
    for upper, proves in ((np.nextafter(0.5, 0), True), (0.5, False), (np.nextafter(0.5, 1), False)):
        judge = learned(TENT, Box(np.array([-10.0]), np.array([upper])))
        assert judge.upholds([1], SIDES, rows, multipliers) == proves


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_out_for_a_wrong_reason_is_put_back(seed, monkeypatch):
    """Half of all joins are denied, with random multipliers as the reason."""
    rng, honest = np.random.default_rng(seed), module.Refinement.judged

    def dishonest(self, pairs, log, words, symbols):
        source, target = pairs
        denied = rng.random(len(source)) < 0.5
        size, last = log.multipliers.shape[1], words.shape[1]
        spans = np.stack([source[denied], target[denied], target[denied] + 1], axis=1)
        rows = np.zeros((len(spans), size, 2), int)
        for row, (u, low, _) in zip(rows, spans, strict=True):
            word = [*words[u], symbols[low]]
            for at in range(size):
                time, plane = rng.integers(last + 1), rng.integers(self.atlas.sides.shape[1])
                row[at] = time, -(2 * plane + int(self.atlas.sides[word[time], plane]) + 1)
        more = Log(spans, rows, rng.exponential(size=(len(spans), size)), np.zeros(1))
        joined = Log(*(np.concatenate([one, other]) for one, other in zip(log, more, strict=True)))
        return honest(self, [source[~denied], target[~denied]], joined, words, symbols)

    model = cx.LoziMap(1.7, 0.5)
    expected = explore(model, list(range(1, 15)))
    monkeypatch.setattr(module.Refinement, "judged", dishonest)
    found = explore(model, list(range(1, 15)))
    assert found.notes["rejected"] > 10
    assert expected.notes["rejected"] == 0
    assert found.words.keys() == expected.words.keys()
    for order, words in expected.words.items():
        np.testing.assert_array_equal(found.words[order], words)


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_word_is_decided_rightly(seed):
    """1 - a |x| + b x: by the solution of each word, and its sides, in plain arithmetic."""
    left, right = np.random.default_rng(seed).uniform([0.5, -2.5], [1.8, -1.2])
    judge = learned(cx.SkewTentMap(left, right, 1.0), Box(np.array([-10.0]), np.array([10.0])))
    seen = set()
    for word in itertools.product([False, True], repeat=6):
        slope, offset = 1.0, 0.0
        for gate in word:
            slope, offset = (right if gate else left) * slope, (right if gate else left) * offset + 1.0
        x, true = offset / (1 - slope), True
        for gate in word:
            true &= (x > 0) == gate
            x = (right if gate else left) * x + 1.0
        verdict = judge.decide(np.array(word)[:, None])
        assert verdict == (CYCLE if true else NONE)
        seen.add(verdict)
    assert seen == {CYCLE, NONE}


def test_words_on_borders_and_singular_ones_stay_open():
    judge = learned(cx.SkewTentMap(0.5, -1.0, 0.0), Box(np.array([-10.0]), np.array([10.0])))
    assert judge.decide(np.array([[True]])) == OPEN  # the fixed point 0 is on the border
    judge = learned(cx.SkewTentMap(0.5, -1.0, 1.0), Box(np.array([-10.0]), np.array([10.0])))
    assert judge.decide(np.array([[True]])) == CYCLE
    assert judge.decide(np.array([[True], [True]])) == OPEN  # a line of solutions


# -- where it cannot be rigorous, it says so --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "entries"),
    [
        (cx.PLRNN(A=[0.5, 0.3], W=[[0.1, 0.4], [-0.6, 0.1]], h=[0.0, 0.0]), [("border", 1)]),
        (cx.PLRNN(A=[1.0], W=[[-0.5]], h=[0.0]), [("family", 1)]),
    ],
)
def test_what_is_degenerate_is_decided_in_rationals(model, entries):
    cycles = cx.enumerate_cycles(model, 1, method=RIGOROUS, box=10.0)
    assert cycles.report["completeness"]["rigor"] == "rigorous"
    assert cycles.report["orders"]["1"]["verdict"] == "proved complete"
    assert [(entry.kind, entry.order) for entry in cycles.degenerate] == entries


def test_a_multiplier_on_the_unit_circle_leaves_stability_open():
    cycles = cx.enumerate_cycles(cx.SkewTentMap(0.5, -1.0, 1.0), 2, method=RIGOROUS, box=10.0)
    certified = cycles.report["completeness"]
    assert certified["rigor"] == "numerical"
    assert "unit circle" in certified["notes"]["rigor"]
    assert [(entry.kind, entry.order) for entry in cycles.degenerate] == [("family", 2)]


def test_a_cycle_that_touches_the_box_is_no_proof():
    model = cx.LoziMap(1.7, 0.5)
    (fixed,) = cx.enumerate_cycles(model, 1, box=0.9).of_order(1)[:1]
    box = tuple(np.array([sign * max(abs(fixed.points[0]))] * 2) for sign in (-1, 1))
    certified = cx.enumerate_cycles(model, 1, method=RIGOROUS, box=box).report["completeness"]
    assert certified["rigor"] == "numerical"
    assert "touches the box" in certified["notes"]["rigor"]


class Rounded(cx.AbstractPiecewiseLinearMap):
    """Two gates whose borders are the same in float64, 0.1 * (3 z) + c and (0.1 * 3) z + c, and not exactly."""

    scale: np.ndarray
    product: np.ndarray
    num_states = 1
    num_gates = 2

    def preactivations(self, z):
        return jax.numpy.stack([self.scale[0] * (3.0 * z[0]) + 1.0, self.product[0] * z[0] + 1.0])

    def step(self, z, gates):
        return 0.5 * z + (self.preactivations(z) * gates).sum(keepdims=True)


def test_gates_that_only_rounding_makes_one_are_refused():
    model = Rounded(np.array([0.1]), np.array([0.1 * 3]))
    assert isinstance(model, eqx.Module)
    with pytest.raises(NotExactError, match="the same border up to rounding"):
        cx.enumerate_cycles(model, 1, method=RIGOROUS, box=10.0)


def test_a_gate_that_switches_less_than_rounding_is_heard():
    """float64 sees no difference between its two sides, and the proof does."""
    model = cx.PLRNN(A=[0.5, 0.5], W=[[1e-30, 0.4], [0.0, -0.6]], h=[1.0, -0.2])
    cycles = cx.enumerate_cycles(model, 1, method=RIGOROUS, box=10.0)
    assert cycles.report["completeness"]["rigor"] == "rigorous"
    assert [cycle.gates.tolist() for cycle in cycles] == [[[True, False]]]


def test_a_fixed_point_that_hangs_on_less_than_rounding():
    """z + 1e-17 relu(z) - 1 fixes 1e17, and float64 sees a translation."""
    model = cx.PLRNN(A=[1.0], W=[[1e-17]], h=[-1.0])
    for method in (cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound()):
        (fixed,) = cx.enumerate_cycles(model, 1, method=method, box=1e20)
        np.testing.assert_allclose(fixed.points, [[1e17]])


def test_rigor_is_sealed():
    cycles = cx.enumerate_cycles(cx.LoziMap(1.7, 0.5), 3, method=cx.WordGraph())
    claimed = dict(cycles.report["completeness"], rigor="rigorous")
    assert broken(dataclasses.replace(cycles, report=dict(cycles.report, completeness=claimed)))
