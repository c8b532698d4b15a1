"""The default of `find_cycles`: proofs, paths and starts in turns."""

import sys

import jax
import numpy as np
import pytest
from conftest import slow

import cyclax as cx
from cyclax.core.budget import TooExpensiveError
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.stop import Stop
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.proofs import promise, regions
from cyclax.proofs.attempt import Attempts
from cyclax.proofs.branch_and_bound import branching
from cyclax.search.path_following import PathSearch
from cyclax.search.tally import Network

NO_PROOFS = cx.Combined(proofs=False)


def random_network(size: int, seed: int) -> cx.PLRNN:
    rng = np.random.default_rng(seed)
    weights = 1.5 * rng.normal(size=(size, size)) / np.sqrt(size)
    return cx.PLRNN(A=rng.uniform(-0.9, 0.9, size), W=weights, h=rng.normal(size=size))


def words_of(cycles) -> set:
    return {word_key(cycle.gates) for cycle in cycles}


def verdicts(cycles) -> list[str]:
    return [entry["verdict"] for entry in cycles.report["orders"].values()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("finder", [None, NO_PROOFS])
def test_it_finds_what_there_is(seed, finder):
    model = random_network(3, seed)
    all_ = cx.enumerate_cycles(model, 3, method=cx.Exhaustive(), progress=False)
    found = cx.find_cycles(model, 3, key=0, finder=finder, progress=False)
    assert words_of(found) == words_of(all_)
    assert "proved incomplete" not in verdicts(found)
    if finder is None:
        assert set(verdicts(found)) == {"proved complete"}


def test_the_last_paths_are_followed_where_no_more_are_lacking_than_there_were():
    model = random_network(12, 3)

    def paths(share: float) -> PathSearch:
        network = Network(model, affine_form(model), jax.random.key(0), [1])
        search = PathSearch(cx.PathFollowing(unseen=0.01), network, 1, never())
        search.spend(share, search.finder.paths, to_the_end=False)
        return search

    with numerics():
        whole = paths(np.inf)
        assert whole.tally.enough(0.01)
        most, few = paths(0.7 * whole.cost), paths(0.4 * whole.cost)
    assert most.tally.enough(0.01)
    assert most.first == whole.first
    assert not few.tally.enough(0.01)
    assert few.first <= 0.5 * whole.first


def test_few_words_are_proved_without_the_extra(monkeypatch):
    def lacking(*_):
        raise ImportError("The word graph needs numba: pip install 'cyclax[exact]'.")

    monkeypatch.setattr(cx.WordGraph, "candidates", lacking)
    model = random_network(4, 0)
    found = cx.find_cycles(model, (1, 2, 3, 7), key=0, progress=False)
    assert verdicts(found)[:3] == ["proved complete"] * 3
    assert verdicts(found)[3] != "proved complete"
    entry = found.report["orders"]["7"]
    assert "needs numba" in entry["proof"]["refused"]
    lower = cx.enumerate_cycles(model, 3, method=cx.Exhaustive(), progress=False)
    assert words_of(lower) == words_of(cycle for cycle in found if cycle.order <= 3)


def test_all_words_are_tried_where_a_graph_is_too_large(monkeypatch):
    def too_large(*_):
        raise TooExpensiveError("the graph is too large")

    every = cx.enumerate_cycles(random_network(4, 6), 3, method=cx.WordGraph(), progress=False)
    monkeypatch.setattr(cx.WordGraph, "candidates", too_large)
    found = cx.find_cycles(random_network(4, 6), 3, key=0, progress=False)
    assert set(verdicts(found)) == {"proved complete"}
    assert found.report["orders"]["3"]["proof"]["method"] == "all words"
    assert found.report["orders"]["3"]["starts"] == 0  # nothing had to be compiled
    assert words_of(found) == words_of(every)


def test_no_graph_is_made_for_orders_that_what_is_known_settles(monkeypatch):
    """Of a network that contracts: its fixed point is found, and no other cycle can exist."""
    rng = np.random.default_rng(0)
    A, W = rng.uniform(-0.2, 0.2, 40), rng.uniform(-0.2, 0.2, (40, 40))
    np.fill_diagonal(W, 0)

    def asked_for(*_):
        raise AssertionError("a graph was asked for")

    monkeypatch.setattr(cx.WordGraph, "candidates", asked_for)
    found = cx.find_cycles(cx.PLRNN(A=A, W=W, h=rng.uniform(-2, 2, 40)), 5, key=0, progress=False)
    assert found.counts == {1: 1, 2: 0, 3: 0, 4: 0, 5: 0}
    assert set(verdicts(found)) == {"proved complete"}
    assert all("contracts" in entry["reason"] for entry in found.report["orders"].values())


@pytest.mark.usefixtures("exact")
def test_regions_that_could_not_be_joined_are_not_joined_again_for_fewer_orders(monkeypatch):
    asked, candidates = [], cx.WordGraph.candidates

    def counted(self, model, bounds, orders, *rest):
        found = candidates(self, model, bounds, orders, *rest)
        asked.append((orders, found.unfinished))
        return found

    monkeypatch.setattr(cx.WordGraph, "candidates", counted)
    cx.find_cycles(random_network(10, 3), 4, key=0, progress=False)
    assert [orders for orders, _ in asked] == [[1, 2, 3, 4]]
    assert "not yet joined" in asked[0][1]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("size", "seed", "order"), [(12, 6, 3), (15, 7, 2)])
def test_low_orders_are_proved_by_trees_in_many_dimensions(size, seed, order):
    """Where the regions are too many for a graph; held against many starts, and paths."""
    model = random_network(size, seed)
    found = cx.find_cycles(model, order, key=0, progress=False)
    assert set(verdicts(found)) == {"proved complete"}
    assert sum(found.counts[k] for k in range(2, order + 1)) > 2
    for k in range(2, order + 1):
        assert found.report["orders"][str(k)]["proof"]["method"] == "branch and bound"
    others = [cx.SCYFI(starts=2048, unseen=1e-6), cx.PathFollowing(paths=256, unseen=1e-6)]
    searched = [cx.find_cycles(model, order, key=1, finder=finder, progress=False) for finder in others]
    assert words_of(found) == set().union(*map(words_of, searched))


@pytest.mark.usefixtures("exact")
def test_a_tree_proves_its_order_where_what_is_known_proves_the_divisors():
    """The fixed point is known, and proved to be the only one: no tree is needed for that."""
    model = random_network(10, 10)
    (point,) = cx.find_cycles(model, 1, key=0, progress=False)
    with numerics():
        attempts = Attempts(Inventory(model, affine_form(model), [1, 2]), [1, 2])
        attempts.inventory.verify(1, point.gates[None])
        assert attempts.inventory.proves(1)
        attempts.attempt(1e10, never())
    assert attempts.proved.keys() == {2}
    assert [key.order for key in sorted(attempts.inventory.cycles)] == [1, 2]


@pytest.mark.usefixtures("exact")
def test_low_orders_are_proved_where_the_graph_of_all_is_too_large():
    """Of a random network; that of short walks alone is small."""
    model, orders = random_network(6, 1), list(range(1, 31))
    with jax.enable_x64(True):
        attempts = Attempts(Inventory(model, affine_form(model), orders), orders)
        attempts.attempt(1e9, never())
    proved = sorted(attempts.proved)
    assert proved == list(range(1, len(proved) + 1))
    assert 2 <= len(proved) < 30
    assert attempts.proved[1]["orders"] == [1]
    every = cx.enumerate_cycles(model, len(proved), method=cx.WordGraph(), progress=False)
    assert words_of(every) == {key for key in attempts.inventory.cycles if key.order <= len(proved)}


@pytest.mark.usefixtures("exact")
def test_many_dimensions_are_proved():
    model = random_network(14, 1)
    found = cx.find_cycles(model, 1, key=0, progress=False)
    assert verdicts(found) == ["proved complete"]
    entry = found.report["orders"]["1"]
    assert entry["proof"]["method"] == "branch and bound"
    assert entry["starts"] == 0  # nothing had to be compiled
    assert words_of(found) == words_of(cx.enumerate_cycles(model, 1, method=cx.BranchAndBound(), progress=False))


@pytest.mark.parametrize("seed", [11, 25, 41])
def test_fixed_points_of_many_gates_in_a_plane_are_solved_region_by_region(seed):
    rng = np.random.default_rng(seed)
    W2, h2 = rng.normal(size=(40, 2)), rng.normal(size=40)
    W1 = (1.2 * rng.normal(size=(2, 40)) - 0.6 * W2.T) / 8
    model = cx.ShallowPLRNN(A=[0.9, 0.9], W1=W1, W2=W2, h1=-W1 @ np.maximum(h2, 0), h2=h2)
    found = cx.find_cycles(model, 1, key=0, progress=False)
    proof = found.report["orders"]["1"]["proof"]
    assert (verdicts(found), found.counts) == (["proved complete"], {1: 3})
    assert (proof["method"], proof["where"], proof["nodes"]) == ("all words", "everywhere", 1 + 40 + 40 * 39 // 2)
    assert words_of(found) == words_of(cx.enumerate_cycles(model, 1, method=cx.WordGraph(), progress=False))


@pytest.mark.usefixtures("exact")
def test_a_graph_of_order_1_is_given_what_its_regions_can_take(monkeypatch):
    """Each region follows itself where the map is near the identity: twice as many nodes as the plane has regions."""
    monkeypatch.setattr(regions, "regions_of", lambda bounds, patterns: None)  # else it is not tried
    rng = np.random.default_rng(0)
    W1, W2, h2 = 0.003 * rng.normal(size=(2, 40)), rng.normal(size=(40, 2)), rng.normal(size=40)
    model = cx.ShallowPLRNN(A=[0.999, 0.999], W1=W1, W2=W2, h1=[0, 0], h2=h2)
    number = 1 + 40 + 40 * 39 // 2
    with jax.enable_x64(True):
        for share, proved in ((0.6, True), (0.4, False)):  # from half of the regions on it is given twice these
            attempts = Attempts(made(model), [1])
            attempts.attempt(share * number * attempts._each(cx.WordGraph(), 1), never())
            assert (1 in attempts.proved) == proved
        assert "nodes ran out" in attempts.left(1)


@pytest.mark.usefixtures("exact")
def test_what_is_proved_is_not_tried_again(monkeypatch):
    given = []
    original = cx.BranchAndBound.candidates

    def counted(self, model, bounds, orders, box, budget, progress):
        given.append(budget.nodes)
        return original(self, model, bounds, orders, box, budget, progress)

    monkeypatch.setattr(cx.BranchAndBound, "candidates", counted)
    rng = np.random.default_rng(0)  # a network whose tree has some thousand nodes
    A, W = rng.uniform(0.3, 0.9, 30), rng.normal(size=(30, 30)) / np.sqrt(30)
    model = cx.PLRNN(A=A, W=W, h=rng.normal(size=30))
    with jax.enable_x64(True):
        attempts = Attempts(made(model), [1])
        attempts.attempt(2e9, never())
        assert 1 in attempts.proved
        attempts.attempt(1e10, never())
    assert not attempts.refused
    assert len(given) == 1
    assert len(attempts.inventory.cycles) == 9


@pytest.mark.usefixtures("exact")
def test_paths_are_followed_before_a_long_tree_goes_on(monkeypatch):
    """Whoever interrupts the proof has what a few paths meet: here all there is, by a hundredth of the work."""
    monkeypatch.setattr(branching, "LEARNING", 20)
    monkeypatch.setattr(branching, "ROUND", 1)
    rng = np.random.default_rng(0)
    A, W = rng.uniform(0.3, 0.9, 30), rng.normal(size=(30, 30)) / np.sqrt(30)
    model = cx.PLRNN(A=A, W=W, h=rng.normal(size=30))
    known = []

    def counted(self, *arguments):
        found = original(self, *arguments)
        known.append(len(network.inventory.cycles))
        return found

    original = cx.BranchAndBound.candidates
    monkeypatch.setattr(cx.BranchAndBound, "candidates", counted)
    for long, expected in ((np.inf, 0), (1e9, 9)):
        monkeypatch.setattr(promise, "LONG", long)
        with numerics():
            network = Network(model, affine_form(model), jax.random.key(0), [1])
            cx.Combined().search([network], never(), given={}, progress=False)
        assert known.pop() == expected  # before any leaf of the tree was checked
        assert network.attempts is not None
        assert 1 in network.attempts.proved
        assert len(network.inventory.cycles) == 9
        assert (network.tallies[1].paths is None) == (expected == 0)


def made(model):
    return Inventory(model, affine_form(model), [1])


def never():
    return Stop(None, Interruption(), 0.0)


def test_what_lies_outside_the_box_is_found_too():
    """Two almost perfect integrators, uncoupled, in a larger network: one fixed point, at 1e10 times the offsets."""
    size = 9
    rng = np.random.default_rng(3)
    weights = np.zeros((size, size))
    weights[2:, 2:] = 0.3 * rng.normal(size=(size - 2, size - 2)) / np.sqrt(size - 2)
    model = cx.PLRNN(A=[1 - 1e-10, 1 - 2e-10] + [0.5] * (size - 2), W=weights, h=[1.0, -1.0] + [1.0] * (size - 2))
    found = cx.find_cycles(model, 1, key=0, progress=False)
    assert len(found) == 1
    assert np.allclose(found[0].points[0, :2], [1e10, -5e9], rtol=1e-5)


@pytest.mark.parametrize("lanes", [8, slow(64)])
def test_lanes_do_not_matter(lanes):
    model = random_network(9, 5)
    expected = cx.find_cycles(model, [1, 2], key=4, finder=NO_PROOFS, progress=False)
    finder = cx.Combined(cx.PathFollowing(lanes=lanes), cx.SCYFI(lanes=lanes), proofs=False)
    found = cx.find_cycles(model, [1, 2], key=4, finder=finder, progress=False)
    assert words_of(found) == words_of(expected)
    assert verdicts(found) == verdicts(expected)
    for order in ("1", "2"):
        a, b = found.report["orders"][order], expected.report["orders"][order]
        assert a["starts"] == b["starts"]
        assert a.get("paths", {}).get("number") == b.get("paths", {}).get("number")


def test_likely_asks_that_all_that_is_known_was_met():
    """A search that has not met a cycle which is known cannot vouch for those that are not known."""
    with jax.enable_x64(True):
        model = random_network(3, 0)
        network = Network(model, affine_form(model), jax.random.key(0), [1])
        finder = cx.Combined(proofs=False)
        finder.search([network], never(), given={}, progress=False)
        assert len(network.inventory.cycles) > 1
        assert finder.verdict(network, 1)[0] == "likely"
        key = next(iter(network.inventory.cycles))
        for tally in (network.tallies[1], network.tallies[1].paths):
            if tally is not None and key in tally.seen:
                met = tally.seen.pop(key)
                tally.seen[next(iter(tally.seen))] += met
        assert not finder.has_ended(network, 1)
        assert finder.verdict(network, 1)[0] == "unknown"
        network.given = {key}
        assert finder.verdict(network, 1)[0] == "likely"


def test_searches_that_have_ended_without_meeting_all_end_the_whole():
    """Few paths are enough by their own rule; what is known beyond them is met neither by these nor by few starts."""
    rng = np.random.default_rng(2)
    A, W = rng.uniform(0.3, 0.9, 30), rng.normal(size=(30, 30)) / np.sqrt(30)
    model = cx.PLRNN(A=A, W=W, h=rng.normal(size=30))
    known = cx.enumerate_cycles(model, 1, progress=False)
    assert len(known) == 5

    class Planting(Stop):
        """Plants all fixed points once paths have been followed."""

        def __call__(self):
            if network.tallies[1].paths is not None and network.tallies[1].paths.paths:
                network.inventory.verify(1, np.stack([cycle.gates for cycle in known]))
            return super().__call__()

    with numerics():
        network = Network(model, affine_form(model), jax.random.key(0), [1])
        finder = cx.Combined(cx.PathFollowing(unseen=0.5), cx.SCYFI(starts=64), proofs=False)
        finder.search([network], Planting(None, Interruption(), 0.0), given={}, progress=False)
        assert network.tallies[1].paths is not None
        assert network.tallies[1].paths.enough(0.5)
        verdict, reason = finder.verdict(network, 1)
    assert verdict == "unknown"
    assert "paths: not all that is known was met" in reason


def test_without_the_extra_the_report_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    for name in [name for name in sys.modules if name.startswith("cyclax.proofs.branch_and_bound")]:
        monkeypatch.delitem(sys.modules, name)
    found = cx.find_cycles(random_network(20, 0), 1, key=0, progress=False)
    assert "cyclax[exact]" in found.report["orders"]["1"]["proof"]["refused"]
    assert verdicts(found)[0] in ("likely", "unknown", "proved complete")


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("seed", [1, 4])
def test_all_orders_at_once(seed):
    rng = np.random.default_rng(seed)
    weights = [np.round(some, 2) for some in (rng.uniform(-0.9, 0.9, 2), 1.2 * rng.normal(size=(2, 2)))]
    model = cx.PLRNN(A=weights[0], W=weights[1], h=np.round(rng.normal(size=2), 2))
    found = cx.find_cycles(model, 12, key=0, progress=False)
    assert set(verdicts(found)) == {"proved complete"}
    assert "no other cycle of any order" in found.report["orders"]["12"]["reason"]
    assert cx.enumerate_cycles(model, "all", progress=False).report["completeness"]["orders"] == "all"


def test_wrong_settings_are_named():
    with pytest.raises(TypeError, match="Combined: paths must be a PathFollowing"):
        cx.Combined(paths=cx.SCYFI())
    with pytest.raises(ValueError, match="Combined: seconds"):
        cx.Combined(seconds=-1)


def test_the_seconds_hold():
    found = cx.find_cycles(random_network(40, 3), 3, key=0, finder=cx.Combined(seconds=0.2), progress=False)
    assert "0.2 s ran out" in found.report["interrupted"] or set(verdicts(found)) == {"proved complete"}


def test_more_words_than_float64_can_count():
    """2^1100 of them, none of a cycle: the fixed point attracts everything."""
    found = cx.find_cycles(cx.SkewTentMap(left=0.5, right=-0.5, offset=1.0), [1100], key=0, progress=False)
    assert len(found) == 0
    assert verdicts(found) == ["proved complete"]
