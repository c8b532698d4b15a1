"""Results: order, invariants, saving, printing."""

import dataclasses
import html
import json

import numpy as np
import pytest
from conftest import over_kinds

import cyclax as cx
from cyclax.cycles.word import word_key


@pytest.fixture(scope="module")
def cycles() -> cx.Cycles:
    return cx.find_cycles(cx.LoziMap(1.7, 0.5), 8, key=0)


@over_kinds()
def test_invariants_of_every_result(model):
    result = cx.find_cycles(model, 4, key=0)
    keys = [word_key(cycle.gates) for cycle in result]
    assert [key.order for key in keys] == [cycle.order for cycle in result]
    assert len(set(keys)) == len(keys)
    assert [cycle.order for cycle in result] == sorted(cycle.order for cycle in result)
    assert sum(result.counts.values()) == len(result)
    for cycle in result:
        assert cycle.points.shape == (cycle.order, model.num_states)
        assert cycle.gates.shape == (cycle.order, model.num_gates)
        assert cycle.points.dtype == np.float64
        assert cycle.margin > cycle.error
        images = np.stack([cx.simulate(model, z, 1)[1] for z in cycle.points])
        assert np.max(np.abs(images - np.roll(cycle.points, -1, axis=0))) <= cycle.residual + 1e-13
        assert np.all(np.diff(np.abs(cycle.multipliers)) <= 1e-12)
        vectors = cycle.eigenvectors
        np.testing.assert_allclose(
            cycle.jacobian @ vectors, vectors * cycle.multipliers, atol=1e-8 * (1 + abs(cycle.multipliers[0]))
        )


def test_save_and_load(cycles, tmp_path):
    path = tmp_path / "cycles.npz"
    cycles.save(path)
    loaded = cx.Cycles.load(path)
    assert loaded.counts == cycles.counts
    assert loaded.report == cycles.report
    assert loaded.provenance == cycles.provenance
    for one, other in zip(cycles, loaded, strict=True):
        assert one.to_dict() == other.to_dict()
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.multipliers, other.multipliers)
    with pytest.raises(ValueError, match=r"written to \.npz"):
        cycles.save(tmp_path / "cycles.json")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cycles.npz: this is not a readable \.npz file"):
        cx.Cycles.load(path)
    np.savez(path, a=1)
    with pytest.raises(ValueError, match="not a file written by"):
        cx.Cycles.load(path)
    with pytest.raises(FileNotFoundError):
        cx.Cycles.load(tmp_path / "absent.npz")


def test_degenerate_entries_are_saved(tmp_path):
    result = cx.find_cycles(cx.PLRNN(A=[1.0, 0.2], W=np.zeros((2, 2)), h=[0.0, 0.4]), 1, key=0)
    result.save(tmp_path / "cycles.npz")
    (one,), (other,) = result.degenerate, cx.Cycles.load(tmp_path / "cycles.npz").degenerate
    assert one.to_dict() == other.to_dict()


def test_to_dict_is_json(cycles):
    content = json.loads(json.dumps(cycles.to_dict(), allow_nan=False))
    assert content["counts"] == {str(order): number for order, number in cycles.counts.items()}
    entry = content["cycles"][0]
    assert {"order", "points", "gates", "multipliers", "residual", "margin", "condition", "stability"} <= set(entry)
    wanted = {"verdict", "reason", "starts", "solves", "hits", "loops", "index_sum", "unseen_mass"}
    assert all(wanted <= set(entry) for entry in content["report"]["orders"].values())
    linear = cx.find_cycles(cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0]), 1, key=0)
    assert linear.to_dict()["cycles"][0]["margin"] is None


def test_access(cycles):
    assert cycles[0].order == 1
    assert len(cycles[:3]) == 3
    assert cycles[np.int64(1)] is cycles[1]
    mask = np.array([cycle.order == 8 for cycle in cycles])
    assert cycles[mask] == cycles.of_order(8)
    assert cycles[[2, 0]] == (cycles[2], cycles[0])
    with pytest.raises(IndexError, match="a mask or a list of ints; boolean index did not match"):
        cycles[mask[1:]]
    with pytest.raises(TypeError, match="cycles are indexed by an int, a slice, a mask or a list of ints"):
        cycles["first"]
    assert len(cycles.of_order(8)) == cycles.counts[8] == 7
    with pytest.raises(KeyError, match="order 9 was not searched"):
        cycles.of_order(9)


def test_print_tells_the_story(cycles):
    text = str(cycles)
    assert "in orders 1..8" in text
    assert "saddle" in text
    assert "complete? proved complete for orders 1..8" in text
    page = cycles._repr_html_()
    assert page.count("<tr>") == len(cycles) + 1
    assert html.escape(text.splitlines()[-1]) in page
    stopped = dataclasses.replace(cycles, report={**cycles.report, "interrupted": "a <b>reason</b>"})
    assert "STOPPED EARLY: a &lt;b&gt;reason&lt;/b&gt;" in stopped._repr_html_()
    assert "Cycle(order 1, saddle" in repr(cycles[0])


def test_dataframe(cycles):
    pytest.importorskip("pandas")
    frame = cycles.to_dataframe()
    assert list(frame["order"]) == [cycle.order for cycle in cycles]
    np.testing.assert_array_equal(frame["z1"], [cycle.points[0, 0] for cycle in cycles])


def test_stability():
    def cycle(*multipliers):
        values = np.array(multipliers, complex)
        return cx.Cycle(1, np.zeros((1, 2)), np.zeros((1, 2), bool), values, np.diag(values.real), 0.0, 1.0, 0.0, 1.0)

    assert cycle(0.5, -0.9).stability == "stable"
    assert cycle(1.5, 0.1).stability == "saddle"
    assert cycle(-3, 1.1).stability == "repeller"
    assert cycle(-1, 0.1).stability == "neutral"
