"""What trees may cost: given up where they tell of too many nodes, whatever the threads; begun where that is cheap."""

import numpy as np
import pytest

import cyclax as cx
import cyclax.proofs.branch_and_bound.branching as branching
from cyclax.core.numerics import numerics
from cyclax.maps.affine import affine_form
from cyclax.proofs.candidates import Box, Candidates
from cyclax.proofs.promise import Promise, TreeBudget, foreseen


def network(number: int, seed: int, gain: float = 1.0) -> cx.PLRNN:
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(0.3, 0.9, number), gain * rng.normal(size=(number, number)) / np.sqrt(number)
    return cx.PLRNN(A=A, W=W, h=rng.normal(size=number))


def tree(model, budget) -> Candidates:
    budget.start()
    side = np.full(model.num_states, 1e4)
    with numerics():
        return branching.branch_and_bound(affine_form(model), [1], Box(-side, side), budget, lambda text: None)


@pytest.fixture
def many_subtrees(monkeypatch):
    """Trees of some hundred nodes are shared out, in many rounds."""
    monkeypatch.setattr(branching, "LEARNING", 20)
    monkeypatch.setattr(branching, "ROUND", 1)


@pytest.mark.usefixtures("many_subtrees")
def test_a_tree_that_promises_no_end_is_left_early_whatever_the_threads(monkeypatch):
    model = network(24, 1)
    whole = tree(model, TreeBudget(60.0, 100_000))
    assert whole.complete == (1,)
    enough, left = whole.nodes // 4, []
    for cores in (1, 3):
        monkeypatch.setattr(branching, "cores", lambda _, cores=cores: cores)
        left.append(tree(model, TreeBudget(60.0, enough)))
    for one in left:
        assert one.complete == ()
        assert "more nodes were expected" in one.unfinished
        assert one.nodes < 1.5 * enough
        assert foreseen(one.nodes, one.notes["nodes expected"]) > enough
    assert left[0].nodes == left[1].nodes
    assert left[0].notes == left[1].notes


@pytest.mark.usefixtures("many_subtrees")
@pytest.mark.parametrize(("number", "seed"), [(24, 1), (24, 5), (22, 1)])
def test_what_a_tree_tells_is_near_what_it_takes(number, seed):
    told = []

    class Listening(TreeBudget):
        def told(self, nodes, expected):
            told.append((nodes, expected))

    whole = tree(network(number, seed), Listening(60.0, 100_000))
    assert whole.complete == (1,)
    assert len(told) > 3
    for nodes, expected in told:
        assert expected >= nodes
        assert whole.nodes / 2 < foreseen(nodes, expected) < 2 * whole.nodes


def test_the_end_is_worth_more_nodes_where_it_is_near():
    budget = TreeBudget(60.0, 1000)
    assert budget.told(800, 880) is None  # 200 of 1000 may be left
    assert budget.told(800, 1100) is not None
    assert budget.told(1500, 1800) is None  # beyond what was given, but near
    assert budget.told(1500, 2000) is not None
    assert budget.nodes == 2000  # and never beyond that


def test_what_is_cheaper_comes_before_the_rest_of_a_long_tree_once():
    done = []
    budget = TreeBudget(60.0, 1000, long=500, cheaper=lambda: done.append(True))
    assert budget.told(100, 150) is None
    assert not done  # some 225 nodes in all
    assert budget.told(100, 1000) is not None
    assert not done  # nor where it is given up
    assert budget.told(200, 400) is None
    assert budget.told(300, 500) is None
    assert done == [True]


def form(model):
    with numerics():
        return affine_form(model)


def test_all_trees_together_cost_a_multiple_of_the_search_and_a_fixed_part():
    promise = Promise(form(network(50, 0)))
    none = Candidates({}, (), False, 0, 0, 0.0)
    allowed = [promise.nodes(1e9) for _ in range(5)]
    assert 0 < allowed[0] < allowed[1] < allowed[2] == allowed[3] == allowed[4]
    assert promise.nodes(1e12) > 5 * allowed[4]
    used = Candidates({}, (), False, 2000, 3000, 0.0, "left", {"nodes expected": 3000.0})
    promise.absorb(used)
    assert promise.nodes(1e9) == allowed[4] - 3000
    promise.absorb(Candidates({}, (), False, 2000, 0, 0.0, "left", {"nodes expected": 1e9}))
    assert promise.nodes(1e9) == 0  # it told of more than may be spent
    promise.absorb(none)  # and nothing is known of one that was left before it told anything
    assert promise.nodes(1e9) == 0


def test_a_tree_is_begun_where_beginning_costs_no_more_than_the_search_did():
    promise = Promise(form(network(100, 0)))
    assert promise.nodes(1e10) == 0
    assert promise.nodes(1e12) > 0


def test_where_one_fixed_point_is_all_no_tree_is_needed():
    rng = np.random.default_rng(0)
    W = rng.uniform(-0.1, 0.1, (64, 64))
    model = cx.PLRNN(A=rng.uniform(-0.1, 0.1, 64), W=W - np.diag(np.diag(W)), h=rng.normal(size=64))
    assert Promise(form(model)).nodes(1e9) > 0
    found = cx.find_cycles(model, 1, key=0, progress=False)
    assert found.report["orders"]["1"]["verdict"] == "proved complete"
    assert found.report["orders"]["1"]["starts"] == 0


def test_trees_of_orders_above_one_are_begun_only_where_they_are_cheap():
    with numerics():
        small, large = (affine_form(network(number, 0)) for number in (10, 40))
        assert 2000 < Promise(small, 2).nodes(1e10) < Promise(small, 1).nodes(1e10)
        assert Promise(small, 3).nodes(1e10) < Promise(small, 2).nodes(1e10)
        assert Promise(large, 2).nodes(1e10) == 0
        assert Promise(large, 2).nodes(1e12) > 2000
