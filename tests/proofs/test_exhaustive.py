"""All words, one by one: against plain enumeration and maps whose cycles are known."""

import fractions
import itertools
import math

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
from cyclax.proofs import regions as module
from cyclax.proofs.candidates import Box
from cyclax.proofs.exhaustive import exhaustive
from cyclax.proofs.regions import alphabet, number_of, patterns_of


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


def patterns(model):
    """Count the combinations of patterns, one of each direction."""
    with numerics():
        return number_of(patterns_of(affine_form(model)))


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
    assert patterns(clipped) == 3**5
    dendritic = cx.DendriticPLRNN.random(2, 4, key=key(3))
    assert patterns(dendritic) == everything(dendritic, [1])[0].notes["symbols"] == 5**2
    assert patterns(cx.ClippedDendriticPLRNN.random(2, 4, key=key(3))) == 6**2


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
    monkeypatch.setattr(module, "regions_of", lambda bounds, patterns: None)
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
    assert patterns(double) == 8
    assert everything(double, [1])[0].notes["symbols"] == 7  # of the regions of three lines
    for order in (1, 2):
        np.testing.assert_allclose(np.array(one[order]), np.array(two[order]))


# -- regions --------------------------------------------------------------------------------------------------------


def shallow(W2, h2, seed=0):
    rng, (hidden, number) = np.random.default_rng(seed), np.shape(W2)
    return cx.ShallowPLRNN(
        A=rng.uniform(-0.5, 0.5, number), W1=rng.normal(size=(number, hidden)), W2=W2, h1=rng.normal(size=number), h2=h2
    )


def regions(model):
    """Give the gates of all regions; None where they are not told apart."""
    with numerics():
        bounds = affine_form(model)
        found = module.regions_of(bounds, patterns_of(bounds))
    if found is not None:
        assert len(np.unique(found, axis=0)) == len(found)
    return found


@pytest.mark.parametrize(
    ("number", "hidden", "seed"), [(2, 3, 0), (2, 20, 1), (2, 60, 2), (3, 5, 3), (3, 14, 4), (4, 9, 5)]
)
def test_planes_in_general_position(number, hidden, seed):
    rng = np.random.default_rng(seed)
    W2, h2 = rng.normal(size=(hidden, number)), rng.normal(size=hidden)
    found = regions(shallow(W2, h2))
    assert len(found) == sum(math.comb(hidden, i) for i in range(number + 1))
    states = rng.normal(size=(200_000, number)) * 10 ** rng.uniform(-1, 3, (200_000, 1))
    met = np.unique(states @ W2.T + h2 > 0, axis=0)
    assert {row.tobytes() for row in met} <= {row.tobytes() for row in found}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("far", [1e-3, 1.0, 1e4])
def test_planes_through_one_point_up_to_rounding(seed, far):
    """Five lines that would meet in a point: in exact numbers there are tiny regions around it, and all are listed."""
    rng = np.random.default_rng(seed)
    W2 = rng.normal(size=(5, 2))
    h2 = -W2 @ (far * rng.normal(size=2))
    found = {tuple(row) for row in regions(shallow(W2, h2)).tolist()}
    planes = [tuple(map(fractions.Fraction, row)) for row in np.column_stack([W2, h2]).tolist()]
    exact = set()
    for i, j in itertools.combinations(range(5), 2):
        (a, b, e), (c, d, f) = planes[i], planes[j]
        x, y = (b * f - d * e) / (a * d - b * c), (c * e - a * f) / (a * d - b * c)
        heights = [p * x + q * y + r for p, q, r in planes]
        assert sum(height == 0 for height in heights) == 2
        for sides in itertools.product([False, True], repeat=2):
            around = [height > 0 for height in heights]
            around[i], around[j] = sides
            exact.add(tuple(around))
    assert len(exact) == 1 + 5 + 10
    assert exact <= found


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), number=st.integers(2, 3), hidden=st.integers(3, 8))
def test_planes_that_meet_or_are_parallel(seed, number, hidden):
    """Weights of few digits: parallel planes, planes twice, and corners of many planes; regions are met on a grid."""
    rng = np.random.default_rng(seed)
    W2, h2 = rng.integers(-2, 3, (hidden, number)), rng.integers(-2, 3, hidden)
    W2[np.all(W2 == 0, axis=1)] = 1
    with numerics():
        bounds = affine_form(shallow(W2.astype(float), h2.astype(float)))
        symbols = alphabet(bounds)
    gates = np.concatenate([group for group, _ in symbols])
    combined = itertools.product(*(rows.tolist() for _, rows in symbols))
    known = {tuple(itertools.chain.from_iterable(rows)) for rows in combined}
    # In twelfths, and thousandths off: heights are whole numbers.
    grid = np.stack(np.meshgrid(*[np.arange(-60, 61, 12 if number == 3 else 2)] * number), -1).reshape(-1, number)
    for _ in range(5):
        states = 1000 * grid + rng.integers(-99, 100, grid.shape)
        heights = states @ W2.T + 12_000 * h2
        met = np.unique((heights > 0)[np.all(heights != 0, axis=1)], axis=0)[:, gates]
        assert {tuple(row) for row in met.tolist()} <= known


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-13, 1e-15])
def test_thin_strips_have_regions(gap):
    """Two planes a gap apart, and one that is turned by little: what lies between them is listed."""
    turn = 1e-6
    W2 = np.array([[1.0, 0], [1, 0], [np.cos(turn), np.sin(turn)], [0, 1]])
    found = regions(shallow(W2, np.array([0.0, -gap, 0.5, 0.25])))
    rows = {tuple(row) for row in found.tolist()}
    # The turned plane is met far below, at -5e5.
    assert {row[2:] for row in rows if row[:2] == (True, False)} == {(True, True), (True, False), (False, False)}
    assert not any(low < high for low, high, *_ in rows)


def test_regions_that_are_not_told_apart():
    """Planes too nearly parallel, and too many that meet but for rounding, are left to combinations."""
    nearly = np.array([[1.0, 0], [1, 1e-9], [0, 1]])
    assert regions(shallow(nearly, np.ones(3))) is None
    spokes = np.stack([np.cos(np.arange(7)), np.sin(np.arange(7))], axis=1)
    assert regions(shallow(spokes, -spokes @ [0.3, 0.7])) is None
    assert everything(shallow(spokes, -spokes @ [0.3, 0.7]), [1])[0].notes["symbols"] == 2**7


@pytest.mark.parametrize(("number", "hidden", "seed"), [(2, 7, 0), (2, 60, 1), (3, 12, 2), (3, 40, 3), (4, 10, 4)])
def test_planes_through_one_point(number, hidden, seed):
    """Networks without bias: all planes meet in 0, and their regions are cones, of which there is a formula."""
    rng = np.random.default_rng(seed)
    W2 = rng.normal(size=(hidden, number))
    found = regions(shallow(W2, np.zeros(hidden)))
    assert len(found) == 2 * sum(math.comb(hidden - 1, i) for i in range(number))
    met = np.unique(rng.normal(size=(200_000, number)) @ W2.T > 0, axis=0)
    assert {row.tobytes() for row in met} <= {row.tobytes() for row in found}


def test_many_planes_through_one_point_and_others():
    """Eight lines through (1/2, 1/4), of binary digits, and three elsewhere, are told by all pairs of them."""
    rng = np.random.default_rng(0)
    W2 = np.concatenate([np.array([[1, i] for i in range(-4, 4)]), rng.normal(size=(3, 2))])
    h2 = np.concatenate([-W2[:8] @ [0.5, 0.25], rng.normal(size=3)])
    found = regions(shallow(W2, h2))
    # Of eleven lines in general position there are 67 regions; a corner of eight has no room for 21 of them.
    assert len(found) == 1 + 11 + 55 - 21
    states = [0.5, 0.25] + rng.normal(size=(400_000, 2)) * 10 ** rng.uniform(-3, 2, (400_000, 1))
    assert {row.tobytes() for row in np.unique(states @ W2.T + h2 > 0, axis=0)} <= {row.tobytes() for row in found}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_regions_leave_nothing_out(seed, monkeypatch):
    """With all combinations of gates, the same cycles come out, of orders 1 and 2."""
    rng = np.random.default_rng(seed)
    model = shallow(rng.normal(size=(7, 2)) * 2, rng.normal(size=7), seed)
    found, seen = solved(model, [1, 2]), everything(model, [1])[0].nodes
    monkeypatch.setattr(module, "regions_of", lambda bounds, patterns: None)
    assert (seen, everything(model, [1])[0].nodes) == (29, 128)
    reference = solved(model, [1, 2])
    assert sum(map(len, reference.values())) > 0
    for order in (1, 2):
        assert same_cycles([_Points(points) for points in found[order]], reference[order])


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
