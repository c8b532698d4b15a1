"""The judge objects to everything false that it can be given, and to nothing that is true."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import cyclax as cx

from . import verbs
from .fuzz import attempt
from .judge import judge, undecided
from .metamorphic import Pair, differences
from .reference import Reference
from .transforms import changed

LOZI = cx.LoziMap(1.75, 0.5)
LINE = cx.PLRNN(A=[1.0, 0.5], W=np.zeros((2, 2)), h=[0.0, 0.25])
CORNER = cx.SkewTentMap(2.0, -2.0, 0.0)
# One gate of a 4-cycle.
FLIPPED = np.array([[False], [True], [False], [False]])


def enumerated(model, orders=4) -> cx.Cycles:
    return cx.enumerate_cycles(model, orders, method=cx.Exhaustive(), progress=False)


def kinds(model, cycles) -> list[str]:
    return sorted({finding.kind for finding in judge(Reference(model), cycles) if not finding.soft})


@pytest.mark.parametrize("model", [LOZI, LINE, CORNER], ids=["cycles", "family", "border"])
def test_what_is_true_passes(model):
    cycles = enumerated(model)
    assert all(entry["verdict"] == "proved complete" for entry in cycles.report["orders"].values())
    assert kinds(model, cycles) == []


def test_a_cycle_that_was_dropped():
    cycles = enumerated(LOZI)
    for i in range(len(cycles)):
        fewer = dataclasses.replace(cycles, cycles=cycles.cycles[:i] + cycles.cycles[i + 1 :])
        assert kinds(LOZI, fewer) == ["missing cycle"]


def test_a_family_and_a_border_that_were_dropped():
    for model, kind in ((LINE, "missing family"), (CORNER, "missing border")):
        cycles = enumerated(model)
        assert len(cycles.degenerate) == 1
        assert kinds(model, dataclasses.replace(cycles, degenerate=())) == [kind]


def test_orders_that_a_proof_of_all_orders_left_out():
    cycles = cx.enumerate_cycles(LOZI, 2, method=cx.Exhaustive(), progress=False)
    report = {**cycles.report, "completeness": {**cycles.report["completeness"], "orders": "all"}}
    claimed = dataclasses.replace(cycles, report=report)
    assert kinds(LOZI, claimed) == []
    found = judge(Reference(LOZI), claimed, everything=True)
    assert {finding.order for finding in found} >= {4}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda c: {"gates": c.gates ^ FLIPPED}, "wrong gates"),
        (lambda c: {"gates": c.gates ^ FLIPPED, "points": c.points + 1e-3}, "false cycle"),
        (lambda c: {"points": c.points + 1e-9}, "wrong error bound"),
        (lambda c: {"points": np.roll(c.points, 1, axis=0)}, "wrong error bound"),
        (lambda c: {"multipliers": c.multipliers * (1 + 1e-5)}, "wrong multipliers"),
    ],
)
def test_a_cycle_that_was_spoiled(change, kind):
    cycles = enumerated(LOZI)
    worst = max(cycles, key=lambda cycle: cycle.order)
    spoiled = dataclasses.replace(worst, **change(worst))
    others = tuple(spoiled if cycle is worst else cycle for cycle in cycles)
    assert kind in kinds(LOZI, dataclasses.replace(cycles, cycles=others))


@pytest.mark.parametrize("model", [LOZI, LINE, CORNER], ids=["cycle", "family", "border"])
def test_what_lies_nowhere(model):
    cycles = enumerated(model)

    def nowhere(entries):
        return tuple(dataclasses.replace(entry, points=np.full_like(entry.points, -np.inf)) for entry in entries)

    lost = dataclasses.replace(cycles, cycles=nowhere(cycles.cycles), degenerate=nowhere(cycles.degenerate))
    found = judge(Reference(model), lost)
    assert sum(finding.kind.startswith("false ") for finding in found) == len(cycles) + len(cycles.degenerate) > 0


def test_a_wrong_period():
    (cycle,) = enumerated(LOZI).of_order(2)
    twice = dataclasses.replace(
        cycle, order=4, points=np.tile(cycle.points, (2, 1)), gates=np.tile(cycle.gates, (2, 1))
    )
    cycles = enumerated(LOZI)
    assert kinds(LOZI, dataclasses.replace(cycles, cycles=(*cycles.cycles, twice))) == ["wrong period"]


def test_stability_that_is_not_so():
    model = cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0])
    (cycle,) = enumerated(model, 1)

    class Liar(cx.Cycle):
        stability = "repeller"

    lying = Liar(**vars(cycle))
    cycles = dataclasses.replace(enumerated(model, 1), cycles=(lying,))
    assert kinds(model, cycles) == ["wrong stability"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (
            lambda e: {"order": 2, "gates": np.tile(e.gates, (2, 1)), "points": np.tile(e.points, (2, 1))},
            "wrong period",
        ),
        (lambda e: {"directions": np.eye(2), "extent": np.ones((2, 2))}, "wrong dimension"),
        (lambda e: {"directions": e.directions[::-1]}, "wrong directions"),
        (lambda e: {"points": e.points + 0.1}, "wrong point of a family"),
        (lambda e: {"kind": "border"}, "missing family"),
    ],
)
def test_a_family_that_was_spoiled(change, kind):
    cycles = enumerated(LINE, 1)
    (entry,) = cycles.degenerate
    found = kinds(LINE, dataclasses.replace(cycles, degenerate=(dataclasses.replace(entry, **change(entry)),)))
    assert any(one.startswith(kind) for one in found), found


def test_families_and_borders_that_are_not_there():
    (family,) = enumerated(LINE, 1).degenerate
    (border,) = enumerated(CORNER, 1).degenerate
    model = cx.PLRNN(A=[1 - 2.0**-30, 0.5], W=np.zeros((2, 2)), h=[0.0, 0.25])
    cycles = enumerated(model, 1)
    assert kinds(model, cycles) == []
    assert kinds(model, dataclasses.replace(cycles, degenerate=(family,))) == ["false family"]
    tent = cx.SkewTentMap(2.0, -2.0, 1.0)
    cycles = enumerated(tent, 1)
    assert kinds(tent, dataclasses.replace(cycles, degenerate=(border,))) == ["false border"]
    cycles = enumerated(LINE, 1)
    assert kinds(LINE, dataclasses.replace(cycles, degenerate=cycles.degenerate * 2)) == ["family listed twice"]


def test_only_what_is_in_the_box_is_claimed():
    cycles = cx.enumerate_cycles(LOZI, 1, method=cx.WordGraph(), box=([0.0, 0.0], [1.0, 1.0]), progress=False)
    assert len(cycles) == 1
    assert cycles.report["completeness"]["where"] == "inside the box"
    assert kinds(LOZI, cycles) == []
    everywhere = {**cycles.report["completeness"], "where": "everywhere"}
    entries = {"1": {**cycles.report["orders"]["1"], "verdict": "proved complete"}}
    report = {**cycles.report, "completeness": everywhere, "orders": entries}
    assert kinds(LOZI, dataclasses.replace(cycles, report=report)) == ["missing cycle"]


def test_verdicts():
    cycles = enumerated(LOZI, 1)
    (entry,) = cycles.report["orders"].values()
    for verdict, reason, expected, left in (
        ("proved incomplete", "", ["false incomplete"], 0),
        ("unknown", "undecided: one word", [], 1),
        ("unknown", "left open: time", [], 0),
    ):
        report = {**cycles.report, "orders": {"1": {**entry, "verdict": verdict, "reason": reason}}}
        said = dataclasses.replace(cycles, report=report)
        assert (kinds(LOZI, said), undecided(said)) == (expected, left)


def test_exceptions_are_told_from_refusals():
    assert attempt("1 / 0", LOZI)[1][0].kind == "exception"
    assert attempt("np.linalg.inv(np.zeros((2, 2)))", LOZI)[1][0].kind == "exception"
    assert attempt("np.array([1e308]) * 10", LOZI)[1][0].kind == "exception"
    result, findings, refusal = attempt('cx.enumerate_cycles(model, "all", method=cx.Exhaustive())', LOZI)
    assert (result, findings) == (None, [])
    assert refusal.startswith("TooExpensiveError")


def test_two_results_are_told_apart():
    model = cx.PLRNN(A=[0.5, -0.25], W=[[0.0, 1.5], [-2.0, 0.5]], h=[1.0, -0.5])
    other = changed("states permuted", model, np.random.default_rng(1))
    assert other is not None
    pair = Pair(model, "states permuted", other, 1)
    first, second = enumerated(model, 2), enumerated(other.model, 2)
    assert len(first) > 0
    assert differences(pair, first, second) == []
    assert differences(pair, first, dataclasses.replace(second, cycles=second.cycles[1:]))
    bent = tuple(dataclasses.replace(c, multipliers=c.multipliers + 0.1) for c in second)
    assert differences(pair, first, dataclasses.replace(second, cycles=bent))
    entries = {k: {**entry, "verdict": "unknown"} for k, entry in second.report["orders"].items()}
    assert differences(pair, first, dataclasses.replace(second, report={**second.report, "orders": entries}))


def test_events_at_one_place_come_one_after_the_other():
    """Born and flipped at one place: it is there after, and not before. Twice born cannot be."""
    assert verbs._passed([(True, False)]) == {(True, False)}
    assert verbs._passed([(True, True), (False, True)]) == {(False, True)}
    assert verbs._passed([(True, False), (False, True)]) == {(True, True), (False, False)}
    assert verbs._passed([(False, True), (False, True)]) == set()


def test_multipliers_of_0_beside_weights_whose_squares_overflow():
    """A 2-cycle through the region where all is forgotten: both multipliers are 0, and nothing is wrong with that."""
    W = [[-1.2702595642111003e179, -2.6259957146269735e178], [-6.6519170240333445e180, 8.509475761694437e179]]
    model = cx.RectifiedRNN(W=W, b=[0.29633652239753394, 0.5085499370399238], alpha=0.8488940103697359, C=[[], []])
    cycles = cx.enumerate_cycles(model, 2, progress=False)
    assert [multiplier for cycle in cycles if cycle.order == 2 for multiplier in cycle.multipliers] == [0, 0]
    assert [finding for finding in judge(Reference(model), cycles) if not finding.soft] == []


@pytest.mark.parametrize(("right", "wrong"), [(2e-181, False), (2e-81, True)])
def test_a_multiplier_that_takes_states_below_float64(right, wrong):
    """A slope of 2e-181 times states of 6e-181 is nothing in float64; one of 2e-81 is to be known to its digits."""
    model = cx.SkewTentMap(left=-1.4, right=right, offset=6e-181)
    (cycle,) = (cycles := cx.enumerate_cycles(model, 1, progress=False))
    spoiled = dataclasses.replace(cycle, multipliers=cycle.multipliers * 0)
    found = judge(Reference(model), dataclasses.replace(cycles, cycles=(spoiled,)))
    assert ["wrong multipliers"] * wrong == [finding.kind for finding in found if not finding.soft]
    assert judge(Reference(model), cycles) == []


def test_events_beside_one_that_is_not_explained():
    """A fixed point that is there all along is said to begin: false, unless another event there is left open."""

    def model(s):
        return cx.PLRNN(A=[0.5], W=[[0.25]], h=[1.0 + s])

    entry = dict(at=0.5, bracket=0.0, order=1, words=(np.array([[True]]),), flip=None)
    born = SimpleNamespace(**entry, type="fold", sides=("after",))
    open_ = SimpleNamespace(**entry, type="unexplained", sides=("before",))
    assert [finding.kind for finding in verbs.of_events(model, [born])] == ["false event"]
    assert verbs.of_events(model, [born, open_]) == []


def test_events_between_two_neighboring_places():
    """A word that is there between two neighboring numbers only is not there on both sides."""
    ends = [
        cx.ClippedDendriticPLRNN(A=[A], W=[[W]], h=[h], alpha=alpha, thresholds=[thresholds])
        for A, W, h, alpha, thresholds in (
            (268435456.2619061, -268435454.86990163, 2.035307092235221, [0.004134131022056053, 0.030111188560836766],
             [-0.6921848740339523, -1.6070356357029492]),
            (-90366861.78485978, -362821959.44467145, 1.6508432893408718, [0.007828391267890105, 0.058922996155500854],
             [-0.7288912847631001, -0.22531605610689898]),
        )
    ]  # fmt: skip
    at, word = 0.7481430379915169, np.array([[0, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    for side, found in (("before", []), ("both", ["false event"])):
        event = SimpleNamespace(
            at=at, bracket=2.0**-52, order=4, words=(word,), sides=(side,), flip=None, type="persistence"
        )
        assert [one.kind for one in verbs.of_events(lambda s: verbs.on_line(*ends, s), [event])] == found


@pytest.mark.parametrize(
    ("model", "number"),
    [
        (cx.LoziMap(a=0.25, b=1.0), 59),
        (cx.LoziMap(a=2.0, b=0.0), 48),
        (cx.LoziMap(a=0.0, b=2.0), 4),
        (cx.ShallowPLRNN(A=[0], W1=[[-2, -2, 1]], W2=[[1], [-1], [2]], h1=[1], h2=[2, -2, -2]), 57),
        (cx.LoziMap(a=1.422698258990447, b=-0.844858632352753), 12),
        (
            cx.PLRNN(
                A=[-1.0000000018626451, -0.7364281504729643],
                W=[[0.7546923386189445, -0.7516942519059779], [0.7995305410451752, 0.1389166918188038]],
                h=[0.6148933883191712, 1.414214559493267],
            ),
            19,
        ),
    ],
    ids=[
        "rounding decides which orbits of a chaotic sea leave it",
        "powers beyond float64",
        "states beyond float64",
        "a constant piece lands on a repeller",
        "rounding decides when a chaotic transient ends",
        "a drift that takes a billion steps",
    ],
)
def test_attractors_that_are_not_held_against_the_library(model, number):
    assert verbs.ask(model, "attractors", number) == []


def test_divergence_where_orbits_stay(monkeypatch):
    model, attractors = cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0]), cx.attractors

    def lying(*args, **options):
        entries = [SimpleNamespace(kind="divergence", what=None)]
        return SimpleNamespace(entries=entries, labels=attractors(*args, **options).labels)

    monkeypatch.setattr(cx, "attractors", lying)
    assert [finding.kind for finding in verbs.ask(model, "attractors", 1)] == ["wrong attractor: divergence"]
