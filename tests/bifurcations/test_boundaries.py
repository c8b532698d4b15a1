"""Edges of maps: located events against curves known in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx

# A published 2-D network with a 16-cycle (Durstewitz lab, SCYFI.jl), here as plain numbers.
A = np.array([0.8377689000000008, 0.96461297])
W = np.array([[0.0, -0.6437499999999996], [0.52505308, 0.0]])
H = np.array([0.37298253000000087, -0.97931491])


def left_slope(model, value):
    """Move a_l in A = [[a_l, ..], ..] while a_r = A[0,0] + W[0,0] = -1.5 stays."""
    return cx.PLRNN(
        A=jnp.asarray(model.A).at[0, 0].set(value), W=jnp.asarray(model.W).at[0, 0].set(-1.5 - value), h=model.h
    )


def test_a_two_cycle_and_the_place_where_it_runs_to_infinity():
    model = cx.PLRNN(A=[[0.0, 0.8], [-0.4, 0.2]], W=[[-1.5, 0.0], [0.9, 0.0]], h=[0.214, 0.0])
    values = np.linspace(-0.5, 0.5, 101)
    result = cx.scan(model, {cx.Parameter("a_l", set=left_slope): values}, 2, key=0, orbit_steps=0)
    for i, value in enumerate(values):
        left = np.array([[value, 0.8], [-0.4, 0.2]])
        right = np.array([[-1.5, 0.8], [0.5, 0.2]])
        # x_1 = left x_0 + h, x_0 = right x_1 + h.
        x = np.linalg.solve(np.eye(2) - right @ left, right @ model.h + model.h)
        y = left @ x + model.h
        exists = x[0] < 0 < y[0]
        cycles = result.cell(i).of_order(2)
        assert len(cycles) == exists
        if exists:
            np.testing.assert_allclose(cycles[0].points, [x, y], rtol=1e-10)
    edges = result.boundaries()
    assert edges.types == {"degenerate transcritical": 1}
    (place,) = edges.places("degenerate transcritical", order=2)
    assert place[0] == pytest.approx(-41 / 85, abs=1e-10)


def test_the_flip_line_of_the_skew_tent_map_carries_both_its_events():
    tent = cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)
    result = cx.scan(tent, {"left": [0.2, 0.5], "right": [-1.21, -1.11, -0.98, -0.9]}, 2, key=0, orbit_steps=0)
    edges = result.boundaries()
    assert set(zip(edges.first.tolist(), edges.second.tolist(), strict=True)) == {(1, 2), (5, 6)}
    for events in edges.events:
        assert {(event.type, event.order) for event in events} == {("degenerate flip", 1), ("degenerate flip", 2)}
        assert result.grid.axes[1][1] + events[0].at * 0.13 == pytest.approx(-1, abs=1e-12)


def test_a_place_is_named_once_and_keeps_its_events():
    tent = cx.SkewTentMap(0.5, -1.4, 1.0)
    edges = cx.scan(tent, {"right": [-1.5, -1.2, -0.9]}, 2, key=0, orbit_steps=0).boundaries()
    assert edges.types == {"degenerate flip": 2}
    np.testing.assert_allclose(edges.places("degenerate flip"), [[-1]], atol=1e-12)
    # Flips of the fixed point at -1, of the 2-cycle at -2, of two cycles each.
    wide = cx.scan(tent, {"right": [-2.1, -1.2, -0.9]}, 4, key=0, orbit_steps=0).boundaries()
    assert wide.types["degenerate flip"] == 4
    np.testing.assert_allclose(np.sort(wide.places("degenerate flip")[:, 0]), [-2, -1], atol=1e-12)
    np.testing.assert_allclose(wide.places("degenerate flip", order=4), [[-2]], atol=1e-12)
    assert len(wide.places("degenerate flip", order=3)) == len(wide.places("center")) == 0
    with pytest.raises(ValueError, match=r"kind: 'flip' is no type of event; these are: .* degenerate flip, center"):
        wide.places("flip")
    # Over two parameters the line right = -1 is met once in each of its columns.
    axes = {"left": np.array([0.1, 0.2, 0.3, 0.4]), "right": [-1.2, -0.9]}
    places = cx.scan(tent, axes, 2, key=0, orbit_steps=0).boundaries().places("degenerate flip")
    np.testing.assert_allclose(places[np.argsort(places[:, 0])], [[x, -1] for x in axes["left"]], atol=1e-12)


def test_places_a_little_apart_are_two():
    """The flips of two fixed points of a map of two states that do not know of each other, 1e-5 apart."""
    moved = cx.Parameter("s", set=lambda m, s: cx.PLRNN(jnp.stack([s, s + 1e-5]), m.W, m.h))
    model = cx.PLRNN([-0.5, -0.5], np.zeros((2, 2)), [1.0, 1.0])
    edges = cx.scan(model, {moved: [-1.1, -0.9]}, 1, key=0, orbit_steps=0).boundaries()
    (kind,) = edges.types
    np.testing.assert_allclose(np.sort(edges.places(kind)[:, 0]), [-1 - 1e-5, -1], atol=1e-9)


def curves(places: np.ndarray) -> dict[str, np.ndarray]:
    """Distances of parameter pairs from the curves on which fixed points of the family change."""
    first, second = places.T
    product = W[0, 1] * W[1, 0]
    return {
        "border": first - (1 + W[1, 0] * H[0] / H[1]),
        "first line": first - 1,
        "second line": second - 1,
        "hyperbola": np.where((first > 1) & (second < 1), (1 - first) * (1 - second) - product, np.inf),
        "center": first * second - product - 1,
    }


def test_order_one_edges_of_the_order_16_family():
    assert 1 + W[1, 0] * H[0] / H[1] == pytest.approx(0.800028, abs=1e-6)
    axes = {f"A[{i}]": np.linspace(A[i] - 1, A[i] + 1, 41) for i in (0, 1)}
    result = cx.scan(cx.PLRNN(A=A, W=W, h=H), axes, 1, key=0, orbit_steps=0)
    edges = result.boundaries()
    lines = {"degenerate transcritical": ("first line", "second line", "hyperbola"), "center": ("center",)}
    met = set()
    for kind in edges.types:
        near = curves(edges.places(kind))
        allowed = lines.get(kind, ("border",))
        assert np.all(np.min([np.abs(near[name]) for name in allowed], axis=0) < 1e-9), kind
        met |= {name for name in near if np.any(np.abs(near[name]) < 1e-9)}
    assert met == {"border", "first line", "second line", "hyperbola", "center"}
    # .. and every edge that crosses the border where the fixed point meets it has an event there.
    column = np.searchsorted(axes["A[0]"], 1 + W[1, 0] * H[0] / H[1]) - 1
    crossed = np.unique(edges.first[(edges.axis == 0) & (edges.first // 41 == column)] % 41)
    assert len(crossed) == 41


def test_cells_that_lie_on_borders_are_no_riddle():
    """At (1/3, -4), (1/3, -3) and (2/3, -5/2) points of cycles are 0 up to rounding; at (1/2, -3) exactly.

    What exists at the rounded weights is decided exactly: at (1/3, -4) the two 3-cycles that meet there do not.
    """
    tent = cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)
    axes = {"left": np.array([1 / 3, 0.4, 2 / 3, 11 / 15]), "right": np.array([-4.0, -3.1, -3.0, -2.6, -2.5])}
    result = cx.scan(tent, axes, 4, key=0, orbit_steps=0)
    assert not result.degenerate[2, 0, 0]
    assert "unexplained" not in result.boundaries().types
    exact = cx.scan(tent, {"left": np.array([0.5]), "right": np.array([-3.0])}, 4, key=0, orbit_steps=0)
    assert exact.degenerate[2, 0, 0]
    assert [(entry.kind, entry.order) for entry in exact.cell(0, 0).degenerate] == [("border", 3)]


def test_no_events_between_equal_cells_and_lone_places_have_segments_as_long_as_cells():
    tent = cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)
    calm = cx.scan(tent, {"left": [0.2, 0.3], "right": [-0.5, -0.4]}, 2, key=0, orbit_steps=0).boundaries()
    assert len(calm) == 0
    assert calm.types == {}
    assert "no events" in repr(calm)
    result = cx.scan(tent, {"left": [0.2, 0.3, 0.6], "right": [-1.2, -0.8]}, 2, key=0, orbit_steps=0)
    (ends,) = result.boundaries().segments(order=1).values()
    np.testing.assert_allclose(ends[:, :, 1], -1)
    np.testing.assert_allclose(np.sort(ends[:, :, 0], axis=1), [[0.2, 0.3], [0.3, 0.6]])
    alone = cx.scan(tent, {"left": [0.2], "right": [-1.2, -0.8]}, 2, key=0, orbit_steps=0)
    (ends,) = alone.boundaries().segments(order=1).values()
    np.testing.assert_allclose(ends, [[[0.2, -1], [0.2, -1]]])
    line = cx.scan(tent, {"right": [-1.2, -0.8]}, 2, key=0, orbit_steps=0)
    with pytest.raises(ValueError, match="two parameters, not 1"):
        line.boundaries().segments()


def test_an_event_at_a_cell_is_there_and_not_where_rounded_weights_first_move():
    """The 2-cycle is there for every W1[0, 0] above -1: between -1 and its neighbor in float64, too."""
    model = cx.ShallowPLRNN(
        A=[1.0], W1=[[-1.0, -2.0, 2.0]], W2=[[-2.0], [-1.0], [-2.0]], h1=[-1.0], h2=[-2.0, -2.0, -2.0]
    )
    values = [-1.001, -1.0, -0.999]
    edges = cx.scan(model, {"W1[0, 0]": values}, 2, key=0, orbit_steps=0, progress=False).boundaries()
    ((born,),) = ([event for event in events if event.order == 2] for events in edges.events[1:])
    assert born.type == "border collision"
    assert 0 <= born.at < 1e-30
