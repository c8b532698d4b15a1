"""Extensions of one's own, each in one short file that uses nothing but what cyclax exports: they work as built-in."""

import ast
from pathlib import Path

import jax
import numpy as np
import pytest
from extensions.event_type import Leaves
from extensions.finder import CloseReturns
from extensions.forcing import FadingForcing
from extensions.method import BoxedWords

import cyclax as cx

FILES = sorted((Path(__file__).parent / "extensions").glob("[a-z]*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_short_and_uses_what_is_exported(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert [name for name in names if name.startswith("cyclax")] == ["cyclax"]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    assert not [node.attr for node in attributes if node.attr.startswith("_") and node.value.id != "self"]


def test_a_finder():
    model = cx.LoziMap(1.7, 0.5)
    cycles = cx.find_cycles(model, 6, key=0, finder=CloseReturns(), progress=False)
    complete = cx.enumerate_cycles(model, 6, method=cx.Exhaustive(), progress=False)
    known = {(c.order, c.points.round(6).tobytes()) for c in complete}
    assert len(cycles) >= 3
    assert {(c.order, c.points.round(6).tobytes()) for c in cycles} <= known
    entry = cycles.report["orders"]["6"]
    # It did not find all, and the degree says so.
    assert entry["solves"] > 0
    assert entry["verdict"] == "proved incomplete"
    assert cycles.provenance["settings"]["finder"] == "CloseReturns"
    open_ = cx.find_cycles(cx.PLRNN.random(6, key=jax.random.key(1), gain=2), 1, key=0, finder=CloseReturns(5))
    assert open_.report["orders"]["1"]["verdict"] == "unknown"
    assert "CloseReturns proposed" in open_.report["orders"]["1"]["reason"]
    again = cx.find_cycles(model, 6, key=0, finder=CloseReturns(), progress=False)
    assert [c.points.tolist() for c in again] == [c.points.tolist() for c in cycles]


def test_a_finder_is_stopped_and_believed_nothing():
    class Endless(cx.search.AbstractWordSource):
        seconds = 1e-9

        def propose(self, network, order):
            while True:
                yield np.ones((4, order, network.model.num_gates), bool)

    cycles = cx.find_cycles(cx.TentMap(1.9), 3, key=0, finder=Endless(), progress=False)
    assert "time budget" in cycles.report["interrupted"]

    class Wrong(cx.search.AbstractWordSource):
        def propose(self, network, order):
            yield np.zeros((4, order, network.model.num_gates), bool)

    cycles = cx.find_cycles(cx.TentMap(1.9), 3, key=0, finder=Wrong(), progress=False)
    (fixed,) = cycles
    np.testing.assert_allclose(fixed.points, [[-1 / 0.9]])
    with pytest.raises(TypeError, match=r"finder: expected cyclax\.Combined"):
        cx.find_cycles(cx.TentMap(1.9), 1, key=0, finder="scyfi")


def test_a_method():
    model = cx.LoziMap(1.7, 0.5)
    expected = cx.enumerate_cycles(model, 3, method=cx.Exhaustive(), progress=False)
    found = cx.enumerate_cycles(model, 3, method=BoxedWords(), box=0.7, progress=False)
    assert found.report["completeness"]["orders"] == [1, 2, 3]
    assert found.report["completeness"]["where"] == "inside the box"
    assert "words of the box, inside |z_i| <= 0.7" in found.report["orders"]["1"]["reason"]
    inside = [c for c in expected if np.max(np.abs(c.points)) < 0.7]
    assert 0 < len(inside) < len(expected)
    assert [c.gates.tolist() for c in found] == [c.gates.tolist() for c in inside]
    with pytest.raises(TypeError, match="the class BoxedWords; call it"):
        cx.enumerate_cycles(model, 1, method=BoxedWords, progress=False)


def test_an_event_type():
    """x* = h / 0.5 of x' = 0.5 x + h passes the threshold 1 at h = 0.5: half way from h = 0.25 to 0.75."""
    first, last = (cx.PLRNN(A=[0.5], W=[[0.0]], h=[h]) for h in (0.25, 0.75))
    ends = [cx.enumerate_cycles(model, 1, progress=False) for model in (first, last)]
    (event,) = cx.compare(first, last, *ends, event_types=[Leaves(0, 1.0)])
    assert (event.type, event.order, event.sides) == ("threshold", 1, ("both",))
    assert event.at == pytest.approx(0.5, abs=1e-14)
    assert event.bracket <= 2.0**-52
    assert cx.compare(first, last, *ends, event_types=[Leaves(0, 2.0)]) == ()
    assert cx.compare(first, last, *ends) == ()
    assert "threshold of a fixed point" in str(event)


def test_an_event_type_on_a_stretch_between_two_others():
    """The 2-cycle of a skew tent map is there beyond a flip only; its larger point is 1.5 / (1 - right / 2)."""
    first, last = cx.SkewTentMap(left=0.5, right=-0.5, offset=1.0), cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)
    ends = [cx.enumerate_cycles(model, 2, progress=False) for model in (first, last)]
    events = cx.compare(first, last, *ends, event_types=[Leaves(0, 0.9), Leaves(0, 0.45)])
    own = [event for event in events if event.type == "threshold"]
    # The fixed point 1 / (1 - right) is 0.45 where right = -11 / 9; the 2-cycle passes 0.9 where right = -4 / 3.
    assert [(event.order, event.at) for event in own] == [(1, pytest.approx(13 / 18)), (2, pytest.approx(5 / 6))]
    assert [event.type for event in events][:2] == ["degenerate flip"] * 2


def test_a_forcing():
    """Not fading, it is generalized forcing; fading, it lies between that and none."""
    series = cx.simulate(cx.LoziMap(1.4, 0.3), np.array([0.1, 0.1]), 200)

    def losses(forcing):
        model = cx.PLRNN(A=[0.5, 0.4], W=[[0.0, 0.1], [0.2, 0.0]], h=[0.1, 0.2])
        return cx.fit(model, series, key=0, steps=10, length=20, forcing=forcing, progress=False).losses

    steady = cx.training.Constant(0.5)
    np.testing.assert_array_equal(losses(FadingForcing(1.0, steady)), losses(cx.GeneralizedForcing(0.5)))
    np.testing.assert_array_equal(losses(FadingForcing(0.0, cx.training.Constant(0.0))), losses(cx.FreeRunning()))
    fading = losses(FadingForcing(0.9, steady))
    assert np.isfinite(fading).all()
    assert fading[0] != losses(cx.GeneralizedForcing(0.5))[0]
