"""Complete sets with certificates: equal to other enumerations, and unable to lie."""

import dataclasses
import json
import signal
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from conftest import CASES, answer, case_names
from plain import plrnn_cycles, same_cycles

import cyclax as cx
from cyclax import cli
from cyclax.core.budget import Budget
from cyclax.cycles.seal import broken, seal

pytest.importorskip("numba")
pytest.importorskip("highspy")


def verdicts(cycles) -> set[str]:
    return {entry["verdict"] for entry in cycles.report["orders"].values()}


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound()], ids=lambda m: m.name)
@pytest.mark.parametrize("seed", range(4))
def test_methods_agree_with_plain_enumeration(method, seed):
    model = cx.PLRNN.random(2 + seed % 2, key=jax.random.key(seed), gain=2.0)
    orders = 3 if model.num_states == 2 else 2
    cycles = cx.enumerate_cycles(model, orders, method=method, box=1e4)
    assert verdicts(cycles) <= {"proved complete", "proved incomplete"}
    for order in range(1, orders + 1):
        assert same_cycles(cycles.of_order(order), plrnn_cycles(model, order))


@pytest.mark.parametrize(("shape", "key"), [((2, 40), 3), ((3, 18), 6)], ids=["plane", "space"])
def test_many_gates_in_few_dimensions_are_tried_region_by_region(shape, key):
    """The words of G gates are 2^G; the regions that they make are few, and then all are tried, everywhere."""
    model = cx.ShallowPLRNN.random(*shape, key=key, gain=3.0)
    own, graph = (cx.enumerate_cycles(model, 1, method=method) for method in (None, cx.WordGraph()))
    assert own.report["completeness"]["method"] == "all words"
    assert own.report["completeness"]["where"] == "everywhere"
    assert graph.report["completeness"]["method"] == "word graph"
    assert verdicts(own) == verdicts(graph) == {"proved complete"}
    assert len(own) > 1
    assert [cycle.gates.tolist() for cycle in own] == [cycle.gates.tolist() for cycle in graph]


def test_tent_map_to_order_twelve():
    cycles = cx.enumerate_cycles(cx.TentMap(2.0), 12)
    assert list(cycles.counts.values()) == [2, 1, 2, 3, 6, 9, 18, 30, 56, 99, 186, 335]
    assert verdicts(cycles) == {"proved complete"}
    assert all(entry["index_sum"] == entry["degree"] == 0 for entry in cycles.report["orders"].values())


@pytest.mark.parametrize("name", [name for name in case_names() if "_2d_" in name or "_m2_" in name])
def test_planar_cases(name):
    """Proved: exactly the cycles of `answers.json`, up to the largest order that it lists."""
    expected = answer(name)["cycles"]
    cycles = cx.enumerate_cycles(cx.load(CASES / f"{name}.json"), max(entry["order"] for entry in expected))
    assert verdicts(cycles) == {"proved complete"}
    assert broken(cycles) is None
    if answer(name)["complete"]:
        assert len(cycles) == len(expected)
    for entry in expected:
        point = np.array(entry["first_point"])
        near = [np.min(np.max(np.abs(c.points - point), axis=1)) for c in cycles.of_order(entry["order"])]
        assert min(near) < 1e-6 * (1 + np.max(np.abs(point)))


def test_every_order_there_is():
    """One proof for all orders, of a network with a stable 27-cycle."""
    model = cx.PLRNN(A=[0.9777689, 0.96461297], W=[[0, -0.14375], [0.52505308, 0]], h=[0.37298253, -0.97931491])
    cycles = cx.enumerate_cycles(model, "all")
    assert {order: number for order, number in cycles.counts.items() if number} == {1: 1, 27: 2}
    assert cycles.report["completeness"]["orders"] == "all"
    assert verdicts(cycles) == {"proved complete"}
    assert "proved complete for all orders (" in str(cycles)
    assert str(cycles).startswith("3 cycles (1 stable) in all orders: 1 of order 1, 2 of order 27")
    assert repr(cycles).endswith(", all orders)")
    assert "for all orders" in cycles._repr_html_()
    withdrawn = {"orders": {"1": {"verdict": "unknown", "reason": ""}}}
    assert "all orders" not in str(dataclasses.replace(cycles, report=cycles.report | withdrawn))


def test_some_orders_are_not_all_orders():
    """Even where the proof covers all: cycles of the others are not listed."""
    cycles = cx.enumerate_cycles(cx.SkewTentMap(0.5, -0.9, 1.0), 3, method=cx.WordGraph())
    assert "for orders 1..3 (" in str(cycles)
    assert "all orders" not in str(cycles) + repr(cycles)


def test_search_and_enumeration_give_the_same_cycles():
    model = cx.LoziMap(1.7, 0.5)
    found, there_are = cx.find_cycles(model, 9, key=0), cx.enumerate_cycles(model, 9)
    assert found.counts == there_are.counts
    for one, other in zip(found, there_are, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
        np.testing.assert_allclose(one.points, other.points, atol=1e-12)


def test_all_orders_of_a_chaotic_map_end_in_an_honest_answer():
    cycles = cx.enumerate_cycles(cx.LoziMap(1.7, 0.5), "all", budget=3)
    certified = cycles.report["completeness"]
    assert certified["orders"] != "all"
    assert certified["unfinished"]
    assert "STOPPED EARLY" in str(cycles)
    assert broken(cycles) is None


class Pressed(cx.proofs.AbstractMethod):
    """A method during which Ctrl-C is pressed, so many times."""

    needs_box = True

    def __init__(self, method, times=1):
        self.method, self.times, self.name = method, times, method.name

    def candidates(self, *arguments):
        for _ in range(self.times):
            signal.raise_signal(signal.SIGINT)
        return self.method.candidates(*arguments)


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound()], ids=lambda m: m.name)
def test_interrupted_it_says_what_is_proved_so_far(method):
    cycles = cx.enumerate_cycles(cx.LoziMap(1.7, 0.5), 3, method=Pressed(method))
    assert verdicts(cycles) == {"unknown"}
    assert "interrupted by Ctrl-C" in cycles.report["interrupted"]
    assert broken(cycles) is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        cx.enumerate_cycles(cx.LoziMap(1.7, 0.5), 3, method=Pressed(method, 2))


def test_a_small_box_is_named_and_leaves_out_what_is_outside():
    model = cx.LoziMap(1.7, 0.5)  # fixed points at x = 1/2.2 and x = -1/1.2
    cycles = cx.enumerate_cycles(model, 1, box=0.5, method=cx.WordGraph())
    (fixed,) = cycles
    np.testing.assert_allclose(fixed.points[0, 0], 1 / 2.2)
    assert cycles.report["completeness"]["where"] == "inside the box"
    assert verdicts(cycles) == {"proved incomplete"}  # the degree is 0: there is another one outside
    assert "inside |z_i| <= 0.5" in cycles.report["orders"]["1"]["reason"]


def test_degenerate_networks_end_in_a_verdict():
    plane = cx.enumerate_cycles(cx.PLRNN(A=[1.0, 1.0], W=np.zeros((2, 2)), h=[0.0, 0.0]), 2)
    assert plane.counts == {1: 0, 2: 0}
    assert [entry.kind for entry in plane.degenerate] == ["family"]
    zero = cx.enumerate_cycles(cx.PLRNN(A=[0.0, 0.0], W=np.zeros((2, 2)), h=[0.0, 0.0]), 3)
    assert zero.counts == {1: 1, 2: 0, 3: 0}
    flip = cx.enumerate_cycles(cx.PLRNN(A=[-1.0, 0.3], W=np.zeros((2, 2)), h=[1.0, 0.7]), 4)
    assert flip.counts == {1: 1, 2: 0, 3: 0, 4: 0}
    assert [(entry.kind, entry.order) for entry in flip.degenerate] == [("family", 2)]
    turn = cx.enumerate_cycles(cx.PLRNN(A=[[0.0, -1.0], [1.0, 0.0]], W=np.zeros((2, 2)), h=[1.0, 0.0]), "all")
    assert turn.counts == {1: 1, 2: 0, 3: 0, 4: 0}  # a quarter turn: all else is of order 4
    assert [(entry.kind, entry.order) for entry in turn.degenerate] == [("family", 4)]
    border = cx.enumerate_cycles(cx.PLRNN(A=[0.5, 0.3], W=[[0.1, 0.4], [-0.6, 0.1]], h=[0.0, 0.0]), 1)
    assert border.counts == {1: 0}
    assert [entry.kind for entry in border.degenerate] == ["border"]  # once, though four words have it


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound()], ids=lambda m: m.name)
def test_a_fixed_point_on_a_border_is_no_cycle(method):
    """It solves every word of its two sides, of any length; it is listed once, and with its own period."""
    model = cx.PLRNN(A=[0.5, 0.3], W=[[0.1, 0.4], [-0.6, 0.1]], h=[0.0, 0.0])
    cycles = cx.enumerate_cycles(model, 3, method=method, box=10.0)
    assert [(entry.kind, entry.order) for entry in cycles.degenerate] == [("border", 1)]
    assert cycles.counts == {1: 0, 2: 0, 3: 0}
    assert [entry["index_sum"] for entry in cycles.report["orders"].values()] == [None] * 3


def test_a_cycle_on_a_border_keeps_its_period():
    """0 -> 1 -> -2 -> 0: of order 3, and not of order 6, though words of 6 steps have it too."""
    cycles = cx.enumerate_cycles(cx.SkewTentMap(0.5, -3.0, 1.0), 6, method=cx.Exhaustive())
    assert [(entry.kind, entry.order) for entry in cycles.degenerate] == [("border", 3)]
    np.testing.assert_allclose(np.sort(cycles.degenerate[0].points.ravel()), [-2, 0, 1], atol=1e-12)


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound()], ids=lambda m: m.name)
def test_numbers_that_overflow_end_in_a_verdict(method):
    model = cx.PLRNN(A=[1e200, 1e200], W=1e200 * np.ones((2, 2)), h=[1e200, 1.0])
    cycles = cx.enumerate_cycles(model, 2, method=method, box=10.0, budget=5)
    assert set(cycles.counts) == {1, 2}


# -- the certificate cannot lie -------------------------------------------------------------------------------------


def tampered(cycles):
    """Everything that someone may change in a result after the proof."""
    first = cycles[0]
    moved = dataclasses.replace(first, points=first.points + 1e-9)
    flipped = dataclasses.replace(first, gates=~first.gates)
    yield "drop", dataclasses.replace(cycles, cycles=cycles.cycles[1:])
    yield "move", dataclasses.replace(cycles, cycles=(moved, *cycles.cycles[1:]))
    yield "flip", dataclasses.replace(cycles, cycles=(flipped, *cycles.cycles[1:]))
    yield "orders", dataclasses.replace(cycles, orders=(*cycles.orders, 99))
    smaller = dict(cycles.report["completeness"], box={"lower": [-0.1, -0.1], "upper": [0.1, 0.1]})
    yield "box", dataclasses.replace(cycles, report=dict(cycles.report, completeness=smaller))
    entries = cycles.report["orders"]
    claimed = entries | {"4": dict(entries["4"], verdict="proved complete", unseen_mass=0.0), "99": entries["4"]}
    yield "claims", dataclasses.replace(cycles, report=dict(cycles.report, orders=claimed))
    more = dict(cycles.report["completeness"], orders="all")
    yield "more orders", dataclasses.replace(cycles, report=dict(cycles.report, completeness=more))


def test_tampering_is_caught(tmp_path):
    cycles = cx.enumerate_cycles(cx.LoziMap(1.7, 0.5), 4)
    assert broken(cycles) is None
    for what, other in tampered(cycles):
        assert broken(other), what
    cycles.save(tmp_path / "cycles.npz")
    assert broken(cx.Cycles.load(tmp_path / "cycles.npz")) is None
    assert broken(cx.find_cycles(cx.LoziMap(1.7, 0.5), 2, key=0)) == "it has no certificate of completeness"
    assert seal(cycles) == cycles.report["completeness"]["seal"]


def test_certify_withdraws_what_was_tampered_with():
    model = cx.LoziMap(1.7, 0.5)
    cycles = cx.enumerate_cycles(model, 4)
    verdicts = lambda one: {entry["verdict"] for entry in one.report["orders"].values()}  # noqa: E731
    assert verdicts(cx.certify(model, cycles)) == {"proved complete"}
    for what, other in tampered(cycles):
        if what == "more orders":  # nothing is claimed of them but in the certificate itself
            assert broken(other)
        assert verdicts(cx.certify(model, other)) == {"unknown"}, what
    with_another = cx.certify(cx.LoziMap(1.71, 0.5), cycles)
    assert verdicts(with_another) == {"unknown"}


def test_certify_withdraws_what_a_search_had_proved():
    """A map that contracts has one fixed point: proved, until someone takes it out."""
    model = cx.PLRNN(A=[0.5, 0.4], W=[[0.1, 0.05], [0.0, 0.1]], h=[1.0, -1.0])
    cycles = cx.find_cycles(model, 2, key=0)
    assert verdicts(cycles) == verdicts(cx.certify(model, cycles)) == {"proved complete"}
    emptied = cx.certify(model, dataclasses.replace(cycles, cycles=()))
    assert verdicts(emptied) == {"unknown"}
    assert "does not hold" in emptied.report["orders"]["1"]["reason"]


def test_a_cut_budget_proves_less():
    model = cx.LoziMap(1.7, 0.5)
    cycles = cx.enumerate_cycles(model, 20, method=cx.WordGraph(), budget=Budget(nodes=3))
    entries = {order: dict(entry, verdict="proved complete") for order, entry in cycles.report["orders"].items()}
    raised = dataclasses.replace(cycles, report=dict(cycles.report, orders=entries))
    assert verdicts(cx.certify(model, raised)) == {"unknown"}
    assert cycles.report["completeness"]["unfinished"]
    assert "proved complete" not in verdicts(cycles)
    assert cycles.report["orders"]["1"]["verdict"] == "unknown"
    assert "left open" in cycles.report["orders"]["1"]["reason"]


# -- arguments, command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(orders="some"), "orders: expected an int or a sequence"),
        (dict(box=-1.0), "box: the lower corner must lie below"),
        (dict(box=(np.zeros(3), np.ones(3))), "box: the lower corner must be 2 finite numbers"),
        (dict(box=(1, 2, 3)), "box: expected a number or a pair"),
        (dict(box=np.ones(3)), "box: expected a number or a pair"),
        (dict(box="5"), "box: expected a number or a pair"),
        (dict(box=np.inf), r"box: the lower corner must be 2 finite numbers, got \[-inf"),
        (dict(budget=0.0), "budget: expected seconds or a cyclax.Budget, a positive number"),
        (dict(budget=True), "budget: expected seconds or a cyclax.Budget, a positive number"),
        (dict(budget="5"), "budget: expected seconds or a cyclax.Budget, a positive number, got '5'"),
        (dict(method=cx.WordGraph), "method: expected .* got the class WordGraph; call it"),
        (dict(method="WordGraph"), "method: expected .* got 'WordGraph'"),
        (dict(orders="all", method=cx.Exhaustive()), "infinitely many words"),
        (dict(orders="all", method=cx.BranchAndBound()), 'orders="all" has no end'),
        (dict(orders=40, method=cx.Exhaustive(), model=cx.PLRNN.random(5, key=jax.random.key(0))), "words"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = dict(arguments)
    model = arguments.pop("model", cx.LoziMap(1.7, 0.5))
    with pytest.raises((TypeError, ValueError), match=message):
        cx.enumerate_cycles(model, arguments.pop("orders", 1), **arguments)


class Nested(cx.AbstractPiecewiseLinearMap):
    """x' = 3 clip(x, 0, 1) - 0.5, with fixed points -0.5, 0.25 and 2.5; its gates make sense only together."""

    slope: np.ndarray
    num_states = 1
    num_gates = 2

    def preactivations(self, z):
        return jax.numpy.stack([z[0], z[0] - 1.0])

    def step(self, z, gates):
        return self.slope * jax.numpy.where(gates[1], 1.0, jax.numpy.where(gates[0], z, 0.0)) - 0.5


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph()], ids=lambda m: m.name)
def test_gates_that_do_not_add_up_are_refused(method):
    with pytest.raises(ValueError, match="gates of Nested do not add up"):
        cx.enumerate_cycles(Nested(np.array([3.0])), 1, method=method, box=100.0)


class Jump(cx.AbstractPiecewiseLinearMap):
    """x' = 0.5 x, and 10 more where x > 1: fixed points 0 and 20. Not continuous."""

    slope: np.ndarray
    num_states = num_gates = 1

    def preactivations(self, z):
        return z - 1.0

    def step(self, z, gates):
        return self.slope * z + 10.0 * gates


def test_no_box_is_derived_of_a_map_that_jumps():
    cycles = cx.enumerate_cycles(Jump(np.array([0.5])), 1, method=cx.WordGraph())
    assert sorted(float(cycle.points[0, 0]) for cycle in cycles) == [0.0, 20.0]
    assert cycles.report["completeness"]["where"] == "inside the box"


def test_corners_may_be_lists_or_an_array():
    model = cx.LoziMap(1.7, 0.5)
    boxes: list[Any] = [[[-5, -5], [5, 5]], np.array([[-5.0, -5], [5, 5]]), np.float32(5), np.array(5)]
    for box in boxes:
        cycles = cx.enumerate_cycles(model, 1, box=box, method=cx.WordGraph())
        assert cycles.report["completeness"]["box"] == {"lower": [-5.0, -5.0], "upper": [5.0, 5.0]}


def test_command_line(tmp_path, capsys):
    path = str(tmp_path / "map.json")
    cx.save(path, cx.PLRNN(A=[0.94, 0.96], W=[[0, -0.64], [0.53, 0]], h=[0.37, -0.98]))
    assert cli.main(["cycles", path, "--orders", "all", "--exact", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["report"]["completeness"]["orders"] == "all"
    assert cli.main(["cycles", path, "--orders", "3", "--exact", "--box", "50"]) == 0
    assert "proved" in capsys.readouterr().out
    for wrong, message in (
        (["--orders", "all"], "add --exact"),
        (["--orders", "2", "--box", "5"], "add --exact"),
        (["--orders", "2", "--exact", "--starts", "5"], "an enumeration has no starts"),
    ):
        assert cli.main(["cycles", path, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_nothing_but_json_is_printed(tmp_path):
    """HiGHS greets on the stdout of its process, once: only a fresh process shows it."""
    path = str(tmp_path / "map.json")
    cx.save(path, cx.PLRNN(A=[0.5], W=[[-0.2]], h=[1.0]))
    command = [sys.executable, "-m", "cyclax", "cycles", path, "--orders", "all", "--exact", "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(printed)["counts"]["1"] == 1
