"""Every curve of a map's window, each once, against what is known of the skew tent map."""

import importlib
import itertools
import signal

import matplotlib
import numpy as np
import pytest

import cyclax as cx

matplotlib.use("Agg")

AXES = {"left": np.linspace(0.15, 0.85, 29), "right": np.linspace(-6.0, -0.6, 28)}


@pytest.fixture(scope="module")
def result() -> cx.BifurcationMap:
    return cx.scan(cx.SkewTentMap(0.5, -1.5, 1.0), AXES, 3, key=0, orbit_steps=0)


@pytest.fixture(scope="module")
def curves(result) -> cx.Curves:
    return cx.trace_all(result)


def spelled(word: np.ndarray) -> str:
    letters = "".join("R" if gates[0] else "L" for gates in word)
    return min(letters[i:] + letters[:i] for i in range(len(letters)))


def test_each_curve_is_found_once_and_lies_where_it_should(curves):
    found = []
    for curve in curves:
        for arc in curve.arcs:
            left, right = arc.points.T
            words = sorted(map(spelled, arc.words))
            found.append((arc.type, *words))
            if arc.gate is None:
                product = left ** words[0].count("L") * right ** words[0].count("R")
                np.testing.assert_allclose(product, -1 if arc.type == "degenerate flip" else 1, rtol=1e-10)
            else:
                np.testing.assert_allclose(right, -(1 + left) / left, rtol=1e-10)
        assert curve.check().wrong == ()
    # The fixed point flips; so do the 2-cycle and the stable one of two 3-cycles that are born together. Where the
    # latter flips on its border the curve of the two has a special point, and so two arcs.
    assert sorted(found) == [
        ("degenerate flip", "LLR"),
        ("degenerate flip", "LR"),
        ("degenerate flip", "R"),
        ("nonsmooth fold", "LLR", "LRR"),
        ("nonsmooth fold", "LLR", "LRR"),
    ]
    assert curves.unfollowed == {}
    assert len(curves) == 4
    assert [curve.order for curve in curves] == [1, 2, 3, 3]
    assert len(curves.of_order(3)) == 2
    assert "4 curves: 3 degenerate flip, 1 nonsmooth fold" in repr(curves)


def test_what_there_is_when_it_is_stopped(result, curves, monkeypatch):
    """After the first curve: by Ctrl-C, or by its budget on a clock that goes a second a look."""
    module = importlib.import_module("cyclax.grids.trace_all")

    def pressing(*arguments, **settings):
        signal.raise_signal(signal.SIGINT)
        return cx.trace(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, "trace", pressing)
        pressed = cx.trace_all(result)
    monkeypatch.setattr(module.Budget, "clock", itertools.count().__next__)
    spent = cx.trace_all(result, seconds=2)
    for some, why in ((pressed, "Ctrl-C"), (spent, "time budget of 2 s")):
        assert len(some) == 1 < len(curves)
        np.testing.assert_array_equal(some[0].arcs[0].points, curves[0].arcs[0].points)
        assert why in some.interrupted
        assert "STOPPED EARLY" in repr(some)
    assert curves.interrupted is None
    with pytest.raises(ValueError, match="seconds"):
        cx.trace_all(result, seconds=-1)


def test_curves_go_through_all_events_of_the_map(result, curves):
    edges = result.boundaries()
    for kind in ("degenerate flip", "nonsmooth fold"):
        points = np.concatenate([arc.points for curve in curves for arc in curve.arcs if arc.type == kind])
        for place in edges.places(kind):
            assert np.min(np.linalg.norm((points - place) / [0.7, 5.4], axis=1)) < 0.02


def test_the_picture_has_lines_for_types_and_marks_for_special_points(result, curves):
    ax = cx.plot.bifurcation_curves(curves, over=result, show="counts")
    texts = [
        text.get_text() for legend in ax.get_children() if hasattr(legend, "get_texts") for text in legend.get_texts()
    ]
    assert {"nonsmooth fold", "degenerate flip", "border x flip"} <= set(texts)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("left", "right")
    alone = cx.plot.bifurcation_curves(curves[0], special=False)
    np.testing.assert_allclose(alone.get_xlim(), [0.15, 0.85])
    with pytest.raises(TypeError, match="one at least"):
        cx.plot.bifurcation_curves([])
    other = cx.scan(cx.SkewTentMap(0.5, -1.5, 1.0), {"left": [0.2, 0.3], "offset": [1.0, 2.0]}, 1, key=0, orbit_steps=0)
    with pytest.raises(ValueError, match="different parameters"):
        cx.plot.bifurcation_curves(curves, over=other)


def test_what_is_no_map_of_two_parameters_is_refused(result):
    with pytest.raises(TypeError, match="the map that scan returns, got Boundaries"):
        cx.trace_all(result.boundaries())  # pyright: ignore[reportArgumentType]
    line = cx.scan(cx.SkewTentMap(0.5, -1.5, 1.0), {"left": [0.2, 0.3]}, 1, key=0, orbit_steps=0)
    with pytest.raises(ValueError, match="plane of two parameters"):
        cx.trace_all(line)
