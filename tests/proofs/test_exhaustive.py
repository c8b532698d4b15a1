"""All words, one by one: against plain enumeration and maps whose cycles are known."""

import numpy as np
import pytest
from conftest import key
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import plrnn_cycles, same_cycles

import cyclax as cx
from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.core.numerics import numerics
from cyclax.cycles.solve import solve_words
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.proofs import exhaustive as module
from cyclax.proofs.candidates import Box
from cyclax.proofs.exhaustive import exhaustive


def silent(text):
    pass


def everything(model, orders, budget=None):
    budget = budget or Budget()
    budget.start()
    number = model.num_states
    with numerics():
        bounds = affine_form(model)
        box = Box(np.full(number, -1e4), np.full(number, 1e4))
        return exhaustive(model, bounds, orders, box, budget, silent), bounds


def solved(model, orders):
    """Give {order: solutions of the words that are cycles}."""
    candidates, bounds = everything(model, orders)
    assert candidates.complete == tuple(orders)
    assert candidates.unfinished == ""
    found = {}
    with numerics():
        for order, words in candidates.words.items():
            assert words.shape[1:] == (order, len(bounds.offsets))
            assert len({word_key(word) for word in words}) == len(words)
            found[order] = []
            if len(words):
                solutions = solve_words(model, words, bounds)
                found[order] = list(solutions.points[solutions.met & ~solutions.singular])
    return found


class _Points:
    def __init__(self, points):
        self.points, self.order = points, len(points)


def test_necklaces_of_the_tent_map():
    found = solved(cx.TentMap(2.0), list(range(1, 13)))
    assert [len(found[k]) for k in range(1, 13)] == [2, 1, 2, 3, 6, 9, 18, 30, 56, 99, 186, 335]


def test_the_lozi_map_and_its_twin():
    """1 - a |x| + y = 1 + a x - 2 a relu(x) + y: a PLRNN, whose second gate switches nothing."""
    twin = cx.PLRNN(A=[[1.7, 1.0], [0.5, 0.0]], W=[[-3.4, 0.0], [0.0, 0.0]], h=[1.0, 0.0])
    orders = [1, 2, 3, 4, 5]
    found, other = solved(cx.LoziMap(1.7, 0.5), orders), solved(twin, orders)
    for order in orders:
        reference = plrnn_cycles(twin, order)
        assert same_cycles([_Points(points) for points in found[order]], reference)
        assert same_cycles([_Points(points) for points in other[order]], reference)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), number=st.integers(1, 3), full=st.booleans())
def test_against_plain_enumeration(seed, number, full):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(number, number)) / 2 if full else rng.uniform(0.3, 0.9, number)
    model = cx.PLRNN(A=A, W=1.5 * rng.normal(size=(number, number)), h=rng.normal(size=number))
    orders = [1, 2, 3] if number < 3 else [1, 2]
    found = solved(model, orders)
    for order in orders:
        assert same_cycles([_Points(points) for points in found[order]], plrnn_cycles(model, order))


def test_only_the_orders_asked_for():
    assert {k: len(v) for k, v in solved(cx.TentMap(2.0), [6, 3]).items()} == {6: 9, 3: 2}


# -- directions ----------------------------------------------------------------------------------------------------


def test_gates_of_one_direction_are_not_independent():
    """Each hidden unit of a clipped network has 3 patterns, not 4; a state with B kinks has B + 1 of them."""
    clipped = cx.ClippedShallowPLRNN.random(2, 5, key=key(3))
    assert everything(clipped, [1])[0].notes["symbols"] == 3**5
    dendritic = cx.DendriticPLRNN.random(2, 4, key=key(3))
    assert everything(dendritic, [1])[0].notes["symbols"] == 5**2
    assert everything(cx.ClippedDendriticPLRNN.random(2, 4, key=key(3)), [1])[0].notes["symbols"] == 6**2


@pytest.mark.parametrize("seed", [7, 10, 37, 40])
def test_opposite_gates(seed):
    """relu(x), relu(-x) and so on along one line: four kinks, some of which look the other way."""
    rng = np.random.default_rng(seed)
    W2 = rng.uniform(0.5, 2, (4, 1)) * [[1], [-1], [1], [-1]]
    model = cx.ShallowPLRNN(A=[0.5], W1=3 * rng.normal(size=(1, 4)), W2=W2, h1=[0.5], h2=rng.normal(size=4))
    assert everything(model, [1])[0].notes["symbols"] == 5
    line = np.linspace(-100, 100, 1_000_003)
    kinks = np.maximum(W2 * line + model.h2[:, None], 0)
    beyond = (0.5 * line + model.W1[0] @ kinks + 0.5 - line) > 0
    assert len(solved(model, [1])[1]) == np.sum(beyond[1:] != beyond[:-1]) > 1


@pytest.mark.parametrize(
    "model",
    [
        cx.ClippedShallowPLRNN.random(2, 2, key=key(8), gain=5),
        cx.DendriticPLRNN.random(2, 2, key=key(8), gain=3),
        cx.ClippedDendriticPLRNN.random(1, 2, key=key(2), gain=4),
    ],
    ids=["clipped", "dendritic", "clipped dendritic"],
)
def test_patterns_leave_nothing_out(model, monkeypatch):
    """With every gate taken as independent of the others, the same cycles come out."""
    found = solved(model, [1, 2])
    seen = everything(model, [1])[0].nodes
    monkeypatch.setattr(
        module,
        "patterns_of",
        lambda bounds: [(np.array([gate]), np.array([[False], [True]])) for gate in np.flatnonzero(bounds.effective)],
    )
    assert everything(model, [1])[0].nodes > seen
    reference = solved(model, [1, 2])
    assert sum(map(len, found.values())) > 0
    for order in (1, 2):
        assert same_cycles([_Points(points) for points in found[order]], reference[order])


def test_identical_units_count_once():
    rng = np.random.default_rng(0)
    W1, W2, h2 = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    single = cx.ShallowPLRNN(A=[0.5, 0.3], W1=W1, W2=W2, h1=[1.0, -1], h2=h2)
    double = cx.ShallowPLRNN(
        A=[0.5, 0.3], W1=np.hstack([W1, W1]) / 2, W2=np.vstack([W2, W2]), h1=[1.0, -1], h2=np.tile(h2, 2)
    )
    one, two = solved(single, [1, 2]), solved(double, [1, 2])
    assert everything(double, [1])[0].notes["symbols"] == 8
    for order in (1, 2):
        np.testing.assert_allclose(np.array(one[order]), np.array(two[order]))


# -- degenerate ----------------------------------------------------------------------------------------------------


def test_a_point_on_a_border_is_kept_on_both_sides():
    candidates, _ = everything(cx.PLRNN(A=[0.5, 0.5], W=[[0.3, 0.1], [-0.2, 0.4]], h=[0.0, 0.0]), [1])
    assert len(candidates.words[1]) == 4
    candidates, _ = everything(cx.PLRNN(A=[0.5, 0.5], W=[[0.3, 0.0], [0.2, 0.4]], h=[0.0, 1.0]), [1])
    assert sorted(candidates.words[1][:, 0].tolist()) == [[False, True], [True, True]]


def test_singular_words_are_kept():
    """z = A z + W relu(z) + h with A = 1 and h = 0: every z <= 0 is a fixed point."""
    candidates, _ = everything(cx.PLRNN(A=[1.0], W=[[-0.5]], h=[0.0]), [1])
    assert sorted(candidates.words[1][:, 0, 0]) == [False, True]
    candidates, _ = everything(cx.PLRNN(A=[1.0], W=[[-0.5]], h=[1.0]), [1])  # the line has run to infinity
    assert sorted(candidates.words[1][:, 0, 0]) == [False, True]


def test_a_repeated_word_is_kept_where_it_is_singular():
    """x' = -x + 1 on x > 0: a line of cycles of order 2, all with the word of the fixed point, twice."""
    model = cx.SkewTentMap(0.5, -1.0, 1.0)
    candidates, _ = everything(model, [1, 2])
    assert [True, True] in candidates.words[2][:, :, 0].tolist()


def test_no_gate_matters():
    candidates, _ = everything(cx.PLRNN(A=[0.5, 0.2], W=np.zeros((2, 2)), h=[1.0, 2.0]), [1, 2])
    assert {order: len(words) for order, words in candidates.words.items()} == {1: 1, 2: 0}


# -- what it costs -------------------------------------------------------------------------------------------------


def test_too_expensive():
    with pytest.raises(TooExpensiveError, match=r"1152921504606846976|1\.2e\+18 words.*another method"):
        everything(cx.PLRNN.random(30, key=key(0)), [2])
    with pytest.raises(TooExpensiveError, match="1024 words"):
        everything(cx.TentMap(2.0), [10], Budget(nodes=1000))


def test_budget_runs_out():
    budget = Budget()
    with numerics():
        bounds = affine_form(tent := cx.TentMap(2.0))
    budget._deadline = 0.0
    candidates = exhaustive(tent, bounds, [1, 2], Box(np.array([-9.0]), np.array([9.0])), budget, silent)
    assert candidates.complete == ()
    assert "order 1" in candidates.unfinished
    assert "ran out" in candidates.unfinished


def test_words_are_kept_where_what_gates_add_up_to_has_lost_a_small_slope():
    """left + (right - left) is 0 and not right."""
    model = cx.SkewTentMap(left=-2.8e40, right=0.25, offset=-1.5)
    cycles = cx.enumerate_cycles(model, [3], method=cx.Exhaustive(), progress=False)
    assert len(cycles) == 2
    assert cycles.report["orders"]["3"]["verdict"] == "proved complete"
