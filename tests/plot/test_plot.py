"""Pictures: what they say of a result, checked on the artists; that they can be written; and what is refused."""

import sys
import time

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from cyclax import plot
from cyclax.cycles.cycle import Cycle
from cyclax.cycles.result import Cycles
from cyclax.plot.style import new_axes


def cycle(points, multipliers) -> Cycle:
    points = np.asarray(points, float)
    order = len(points)
    gates = np.zeros((order, 1), bool)
    values = np.asarray(multipliers, complex)
    return Cycle(order, points, gates, values, np.diag(values.real), 0.0, 1.0, 1e-15, 1.0)


def result(*found: Cycle, orders=None) -> Cycles:
    searched = tuple(orders or sorted({c.order for c in found}))
    report = {"orders": {}, "precision": "float64", "seconds": 0.0, "version": "0"}
    return Cycles(tuple(found), searched, report)


def circle(order: int, radius: float = 1.0, states: int = 2) -> np.ndarray:
    angle = 2 * np.pi * np.arange(order) / order
    turn = np.linalg.qr(np.random.default_rng(states).normal(size=(states, states)))[0] if states > 2 else np.eye(2)
    return radius * np.stack([np.cos(angle), 0.5 * np.sin(angle)], axis=1) @ turn[:2]


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def three(states: int = 2) -> Cycles:
    values = [0.5, 0.1] + [0.0] * (states - 2)
    return result(
        cycle(np.full((1, states), 0.1), [1.5] * states),
        cycle(circle(5, 1, states), values),
        cycle(circle(5, 2, states), [1.6, *values[1:]]),
    )


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_plane(ax):
    assert plot.cycles(three(), ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_{1}$", "$z_{2}$")
    assert legend(ax) == [
        "order 1, repeller, |multiplier| 1.5",
        "order 5, stable, |multiplier| 0.5",
        "order 5, saddle, |multiplier| 1.6",
        "first point",
    ]


def test_stable_and_unstable_are_told_apart(ax):
    plot.cycles(three(), ax)
    repeller, stable, saddle, _ = ax.get_legend().legend_handles
    assert (repeller.get_linestyle(), stable.get_linestyle(), saddle.get_linestyle()) == ("None", "-", "--")
    assert [h.get_marker() for h in (repeller, stable, saddle)] == ["s", "o", "o"]
    assert [h.get_markerfacecolor() for h in (repeller, saddle)] == ["white", "white"]
    assert stable.get_markerfacecolor() == stable.get_color()
    assert len({h.get_color() for h in (repeller, stable, saddle)}) == 3
    # And on paper as the legend says.
    dashes = {
        to_hex(c.get_color()[0]): c.get_linestyles()[0][1] for c in ax.collections if isinstance(c, LineCollection)
    }
    assert dashes[to_hex(stable.get_color())] is None
    assert dashes[to_hex(saddle.get_color())] is not None
    faces = {
        line.get_markeredgecolor(): line.get_markerfacecolor()
        for line in ax.lines
        if line.get_markerfacecolor() != "none"
    }
    assert faces == {h.get_color(): h.get_markerfacecolor() for h in (repeller, stable, saddle)}


def test_neutral_cycles_have_their_own_look(ax):
    plot.cycles(result(cycle(circle(3), [1.0, 0.2])), ax)
    handle = ax.get_legend().legend_handles[0]
    assert (handle.get_marker(), handle.get_markerfacecolor(), legend(ax)[0]) == (
        "D",
        "white",
        "order 3, neutral, |multiplier| 1",
    )


def test_every_point_is_drawn_once_and_in_order(ax):
    found = three()
    plot.cycles(found, ax)
    drawn = [line.get_xydata() for line in ax.lines if line.get_markerfacecolor() != "none"]
    np.testing.assert_array_equal(
        np.sort(np.concatenate(drawn), axis=0), np.sort(np.concatenate([c.points for c in found]), axis=0)
    )
    orbits = [c.get_segments()[0] for c in ax.collections if isinstance(c, LineCollection)]
    for mine in found[1:]:
        closed = np.concatenate([mine.points, mine.points[:1]])
        assert any(np.array_equal(orbit, closed) for orbit in orbits)
    # Arrows lie on the steps and point along them.
    arrows = [c for c in ax.collections if isinstance(c, Quiver)]
    assert [arrow.N for arrow in arrows] == [5, 5]
    for mine in found[1:]:
        step = np.roll(mine.points, -1, axis=0) - mine.points
        heads = next(a for a in arrows if np.allclose(a.XY, mine.points + 0.6 * step))
        np.testing.assert_allclose(
            np.column_stack([heads.U, heads.V]), step / np.linalg.norm(step, axis=1, keepdims=True)
        )
    rings = [line.get_xydata()[0] for line in ax.lines if line.get_markerfacecolor() == "none"]
    np.testing.assert_array_equal(np.sort(rings, axis=0), np.sort([c.points[0] for c in found[1:]], axis=0))


def test_short_steps_have_no_arrowhead_but_one_step_always_has(ax):
    tiny = circle(4, 1e-3) * [[1, 1], [1, 1], [1, 1], [1.1, 1.1]]
    plot.cycles(result(cycle(tiny, [2, 3]), cycle(circle(5), [0.5, 0.1])), ax)
    assert sorted(c.N for c in ax.collections if isinstance(c, Quiver)) in ([1, 5], [2, 5])


def test_principal_components(ax):
    plot.cycles(three(states=6), ax)
    labels = [ax.get_xlabel(), ax.get_ylabel()]
    shares = [int(label.split("(")[1].split(" %")[0]) for label in labels]
    assert [label.split(" (")[0] for label in labels] == ["principal component 1", "principal component 2"]
    assert all(label.endswith(" % of variance)") for label in labels)
    # The cycles lie in a plane but for the fixed point, near the center; the ellipse is twice as long as wide.
    assert shares[0] > 2 * shares[1]
    assert 98 <= sum(shares) <= 100
    orbit = next(c.get_segments()[0] for c in ax.collections if isinstance(c, LineCollection))
    assert np.ptp(orbit[:, 0]) > 1.5 * np.ptp(orbit[:, 1])


def test_chosen_states(ax):
    found = three(states=6)
    plot.cycles(found, ax, components=(4, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_{5}$", "$z_{2}$")
    orbits = [c.get_segments()[0] for c in ax.collections if isinstance(c, LineCollection)]
    assert any(np.array_equal(orbit[:-1], found[1].points[:, [4, 1]]) for orbit in orbits)


def test_one_point_has_no_principal_components(ax):
    plot.cycles(result(cycle(np.ones((1, 4)), [0.5] * 4)), ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_{1}$", "$z_{2}$")


def test_one_state_against_the_phase(ax):
    plot.cycles(result(cycle([[0.3]], [-2]), cycle([[-0.5], [0.1], [0.8]], [8])), ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("phase", "$z$")
    (orbit,) = (c.get_segments()[0] for c in ax.collections if isinstance(c, LineCollection))
    np.testing.assert_array_equal(orbit, [[0, -0.5], [1, 0.1], [2, 0.8]])
    assert "first point" not in legend(ax)


def test_many_cycles_of_one_state_are_columns(ax):
    found = [cycle(np.linspace(-1, 1, k)[:, None] + i / 50, [2.0**k]) for k in (1, 2, 3) for i in range(4)]
    plot.cycles(result(*found), ax)
    assert ax.get_xlabel() == "order (within each: phase)"
    for line in ax.lines:
        column = np.round(line.get_xdata())
        assert len(set(column)) == 1
    assert legend(ax) == [f"order {k}, repeller, 4 cycles" for k in (1, 2, 3)]


def test_beyond_seven_cycles_orders_share_a_color(ax):
    found = [cycle(circle(k, 1 + i / 10), [0.5, 0.1] if i == 0 else [2, 0.1]) for k in (3, 4) for i in range(5)]
    plot.cycles(result(*found), ax)
    assert legend(ax) == [
        "order 3, stable, |multiplier| 0.5",
        "order 3, saddle, 4 cycles",
        "order 4, stable, |multiplier| 0.5",
        "order 4, saddle, 4 cycles",
    ]
    colors = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert colors[0] == colors[1] != colors[2] == colors[3]


def test_a_long_legend_is_cut_and_keeps_the_stable_cycles(ax):
    found = [cycle(circle(k, k), [2, 0.1]) for k in range(1, 30)] + [cycle(circle(30, 30), [0.9, 0.1])]
    plot.cycles(result(*found), ax)
    entries = legend(ax)
    assert len(entries) == 10
    assert entries[-1] == ".. and 21 more cycles"
    assert entries[-2] == "order 30, stable, |multiplier| 0.9"
    assert entries[0] == "order 1, saddle, |multiplier| 2"


def test_near_one_the_legend_gives_more_digits(ax):
    plot.cycles(result(cycle(circle(3), [0.9996, 0.1])), ax)
    assert legend(ax)[0] == "order 3, stable, |multiplier| 0.9996"


def test_five_hundred_cycles_are_drawn_quickly(ax, tmp_path):
    rng = np.random.default_rng(0)
    found = [cycle(rng.normal(size=(k, 5)), [2, 1.5, 0.5, 0.1, 0.1]) for k in range(1, 26) for _ in range(20)]
    began = time.perf_counter()
    plot.cycles(result(*found), ax)
    ax.figure.savefig(tmp_path / "many.png")
    assert time.perf_counter() - began < 10
    assert not any(isinstance(c, Quiver) for c in ax.collections)
    assert len(ax.collections) < 30


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_written_with_the_legend_inside_the_page(suffix, tmp_path):
    ax = plot.cycles(three(), new_axes(shown=False))
    path = tmp_path / f"cycles.{suffix}"
    ax.figure.savefig(path)
    assert path.stat().st_size > 2000
    # Layouts differ a little between formats; this one is for the screen.
    ax.figure.draw_without_rendering()
    page, box = ax.figure.bbox, ax.get_legend().get_window_extent()
    assert box.x1 <= page.x1
    assert box.x0 >= ax.get_window_extent().x1


def test_no_cycles(ax):
    plot.cycles(result(orders=[1, 2, 3]), ax)
    assert [text.get_text() for text in ax.texts] == ["no cycles found (orders 1 to 3)"]


def test_without_axes_pyplot_shows_a_new_figure():
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    before = pyplot.get_fignums()
    ax = plot.cycles(three())
    assert len(pyplot.get_fignums()) == len(before) + 1
    pyplot.close(ax.figure)


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pictures need matplotlib: pip install 'cyclax\[plot\]'"):
        plot.cycles(three())
    with pytest.raises(ImportError, match="pip install"):
        new_axes(shown=False)


@pytest.mark.parametrize(
    ("components", "states", "message"),
    [
        ((0,), 2, "expected two indices of states"),
        ((0, 1, 2), 3, "expected two indices of states"),
        (3, 3, "expected two indices of states"),
        ((0, 3), 3, "components: 3 is not a state; these cycles have states 0 to 2"),
        ((-1, 0), 3, "components: -1 is not a state"),
        ((0, 1), 1, "there is one state only"),
    ],
)
def test_bad_components(components, states, message, ax):
    with pytest.raises(ValueError, match=message):
        plot.cycles(result(cycle(np.ones((1, states)), [0.5] * states)), ax, components=components)


def test_not_a_result(ax):
    with pytest.raises(TypeError, match=r"result must be the Cycles that find_cycles returns, .* got an empty list"):
        plot.cycles([], ax)


@pytest.mark.parametrize("wrong", ["axes", Figure(), np.array([None, None])], ids=lambda one: type(one).__name__)
def test_not_axes(wrong):
    with pytest.raises(TypeError, match=r"ax: expected axes of matplotlib, such as figure.add_subplot\(\) gives, got"):
        plot.cycles(result(cycle([[0.0, 0.0]], [0.5, 0.5])), wrong)


def test_some_of_the_cycles(ax):
    both = result(cycle([[0.0, 0.0]], [0.5, 0.5]), cycle([[1.0, 2.0]], [0.5, 0.5]))
    plot.cycles(both[1:], ax)
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1.0, 2.0]]]
