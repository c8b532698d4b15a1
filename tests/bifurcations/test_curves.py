"""Curves of bifurcations against closed forms, along their whole length and at their special points."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.validation.curves import DELTA, NORMAL_FORM, TAU, existence, of_normal_form, places, tent_curve, word
from conftest import CASES

import cyclax as cx

# -- the skew tent map ------------------------------------------------------------------------------------------------

# a^n - 2 a + 1 = 0: where the flip of R L^(n-1) meets its border.
CORNERS = {
    3: (0.618033988749895, -2.618033988749895),
    4: (0.5436890126920764, -6.222262523),
    5: (0.5187900636758841, -13.804904353),
}


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_flips_of_the_skew_tent_map(order):
    curve = tent_curve("degenerate flip", order)
    left, right = curve.points.T
    assert curve.types == ("degenerate flip",)
    np.testing.assert_allclose(right, -(left ** (1.0 - order)), rtol=1e-10)
    assert curve.check().wrong == ()
    assert curve.check().residual < 1e-10
    if order < 3:
        assert set(curve.ends) == {"window"}
    else:
        assert set(curve.ends) == {"window", "border"}
        np.testing.assert_allclose(places(curve, "border x flip"), [CORNERS[order]], rtol=1e-9)
        # All the way: from the corner to where the window ends.
        assert np.min(left) < CORNERS[order][0] - 0.05


@pytest.mark.parametrize("order", [3, 4, 5])
def test_borders_of_the_skew_tent_map(order):
    curve = tent_curve("border collision", order)
    left, right = curve.points.T
    assert curve.types == ("nonsmooth fold",)
    np.testing.assert_allclose(right, existence(left, order), rtol=1e-10)
    np.testing.assert_allclose(places(curve, "border x flip"), [CORNERS[order]], rtol=1e-9)
    # Beyond the corner, where the cycle is born unstable, one of twice the order is born as well.
    for arc in curve.arcs:
        assert arc.parities == (1, int(np.mean(arc.points[:, 0]) > CORNERS[order][0]))
        assert {tuple(w[:, 0]) for w in arc.words} == {tuple(word(s)[:, 0]) for s in births(order)}
    assert curve.ends == ("window", "window")
    assert curve.check().wrong == ()
    assert np.all(np.diff(curve.arclength) > 0)


def births(order: int) -> list[str]:
    """The two words that are born together, R L^(n-1) and that with the last L (the point at 0) open."""
    return ["R" + "L" * (order - 1), "R" + "L" * (order - 2) + "R"]


# -- the border-collision normal form ---------------------------------------------------------------------------------

TONGUES = {(1, 3): -1.0, (1, 5): 0.618033988749895, (2, 5): -1.618033988749895, (2, 7): -0.4450418679126287}


def test_flip_and_fold_of_the_fixed_point_of_the_normal_form():
    curve = of_normal_form(word("R"), "degenerate flip", (-1.5, 0.4))
    np.testing.assert_allclose(curve.points[:, 0], -1 - curve.points[:, 1], atol=1e-12)
    np.testing.assert_allclose(places(curve, "1:2 resonance"), [[-2, 1]], atol=1e-9)
    curve = of_normal_form(word("R"), "degenerate transcritical", (1.5, 0.4))
    np.testing.assert_allclose(curve.points[:, 0], 1 + curve.points[:, 1], atol=1e-12)
    np.testing.assert_allclose(places(curve, "1:1 resonance"), [[2, 1]], atol=1e-9)
    assert curve.check().wrong == ()


def test_the_center_of_the_normal_form_and_the_roots_of_its_tongues():
    curve = of_normal_form(word("R"), "center", (0.3, 0.9))
    np.testing.assert_allclose(curve.points[:, 1], 1, atol=1e-12)
    angles = np.concatenate([arc.angles for arc in curve.arcs])
    np.testing.assert_allclose(2 * np.cos(angles), np.concatenate([arc.points[:, 0] for arc in curve.arcs]), atol=1e-12)
    assert curve.ends == ("resonance", "resonance")
    for (p, q), tau in TONGUES.items():
        (point,) = [point for point in curve.special_points if point.type == f"{p}:{q} resonance"]
        np.testing.assert_allclose(point.place, [tau, 1], atol=1e-9)
        assert point.rotation == pytest.approx(p / q)
    np.testing.assert_allclose(np.ptp(curve.points[:, 0]), 4, atol=1e-7)
    assert curve.check().wrong == ()


@pytest.mark.parametrize("turns", TONGUES)
def test_both_sides_of_a_tongue_end_at_its_root(turns):
    """Beside the center's root the q-cycle exists between two borders; both of its sides lead back to that place."""
    root = np.array([TONGUES[turns], 1.0])
    for tau in root[0] + np.linspace(-0.2, 0.2, 41):
        model = DELTA.set(TAU.set(NORMAL_FORM, tau), 1.15)
        with jax.enable_x64(True):
            cycles = cx.find_cycles(jax.tree.map(np.asarray, model), [turns[1]], key=0).of_order(turns[1])
        if cycles:
            break
    sides = 0
    for cycle in cycles:
        for step in range(cycle.order):
            try:
                curve = of_normal_form(cycle, "border collision", (tau, 1.15), at=(step, 0))
            except ValueError:  # its partner repeats the fixed point, or it is on no border of the tongue
                continue
            assert curve.check().wrong == ()
            near = np.min(np.max(np.abs(curve.points[[0, -1]] - root), axis=1))
            sides += near < 1e-8
    assert sides >= 2


# -- the family of a_l and a_r in the plane ---------------------------------------------------------------------------

A_L = cx.Parameter("a_l", set=lambda m, v: slopes(m, left=v))
A_R = cx.Parameter("a_r", set=lambda m, v: slopes(m, right=v))
FAMILY = cx.PLRNN(A=[[0.3, 0.8], [-0.4, 0.2]], W=[[-1.8, 0.0], [0.9, 0.0]], h=[0.214, 0.0])


def slopes(model, left=None, right=None):
    left = model.A[0, 0] if left is None else left
    right = model.A[0, 0] + model.W[0, 0] if right is None else right
    return cx.PLRNN(jnp.asarray(model.A).at[0, 0].set(left), jnp.asarray(model.W).at[0, 0].set(right - left), model.h)


def halves(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The Jacobians on both sides at values of a_l and a_r."""
    left, right = (
        np.tile([[0.0, 0.8], [-0.4, 0.2]], (len(points), 1, 1)),
        np.tile([[0.0, 0.8], [0.5, 0.2]], (len(points), 1, 1)),
    )
    left[:, 0, 0], right[:, 0, 0] = points.T
    return left, right


def closed_and_open(letters: str) -> np.ndarray:
    """A word of this family, whose second gate switches nothing."""
    return np.array([[letter == "R", False] for letter in letters])


@pytest.mark.parametrize(
    ("letters", "event", "start", "sign"),
    [
        ("R", "degenerate transcritical", (0.3, 0.4), -1),
        ("R", "degenerate flip", (0.3, -0.7), 1),
        ("L", "degenerate transcritical", (1.5, 0.8), -1),
        ("LR", "degenerate transcritical", (-0.5, -1.5), -1),
        ("LR", "degenerate flip", (0.7, -1.0), 1),
    ],
)
def test_curves_of_fixed_points_and_two_cycles_of_the_family(letters, event, start, sign):
    window = ((-3.0, 3.0), (-4.0, 3.0))
    curve = cx.trace(FAMILY, closed_and_open(letters), (A_L, A_R), event=event, window=window, start=start)
    product = np.eye(2)
    for letter in letters:
        product = halves(curve.points)[letter == "R"] @ product
    values = np.linalg.det(np.eye(2) + sign * product)
    # In a direction across the curve these change by 1 or so.
    assert np.max(np.abs(values) / (1 + np.max(np.abs(product), axis=(1, 2)))) < 1e-12
    closed = {("R", -1): (1, 0.5), ("R", 1): (1, -2 / 3), ("L", -1): (0, 1.4)}
    if len(letters) == 1:
        column, value = closed[letters, sign]
        np.testing.assert_allclose(curve.points[:, column], value, atol=1e-10)
        assert curve.ends == ("window", "window")
    assert curve.check().wrong == ()
    # As far as there is one to follow: to the window, or to where the flip line of the fixed point is met.
    for end, place in zip(curve.ends, curve.points[[0, -1]], strict=True):
        assert end == "window" or place[1] == pytest.approx(-2 / 3, abs=1e-9)


def test_the_border_of_fixed_points_over_a_bias_is_where_both_biases_say():
    """With A and W held, z_1 = 0 for the fixed point is one linear equation for the two biases."""
    window = ((-1.0, 1.0), (-1.0, 1.0))
    curve = cx.trace(
        FAMILY, closed_and_open("R"), ("h[0]", "h[1]"), event="border collision", window=window, start=(0.01, 0.02)
    )
    np.testing.assert_allclose(0.8 * curve.points[:, 0] + 0.8 * curve.points[:, 1], 0, atol=1e-12)
    assert curve.types == ("persistence",) or curve.types == ("nonsmooth fold",)
    assert curve.check().wrong == ()
    # The same from an event that `compare` found.
    ends = [cx.PLRNN(FAMILY.A, FAMILY.W, [s, 0.1]) for s in (-0.3, 0.2)]
    events = cx.compare(*ends, *(cx.enumerate_cycles(model, 1) for model in ends))
    (event,) = [event for event in events if event.gate == 0]
    start = (-0.3 + 0.5 * event.at, 0.1)
    again = cx.trace(FAMILY, None, ("h[0]", "h[1]"), event=event, window=window, start=start)
    assert again.types == curve.types == (event.type,)
    assert again.arcs[0].flip == (event.flip is not None)
    np.testing.assert_allclose(again.points[:, 0] + again.points[:, 1], 0, atol=1e-12)


@pytest.mark.parametrize(("letter", "event"), [("L", "degenerate transcritical"), ("R", "degenerate flip")])
def test_fixed_points_of_the_lozi_map(letter, event):
    """At a = 1 - b the fixed point with x < 0 comes from infinity, and the other flips, into a family of 2-cycles."""
    window = ((0.1, 2.0), (-0.9, 0.9))
    curve = cx.trace(cx.LoziMap(0.9, 0.3), word(letter), ("a", "b"), event=event, window=window)
    np.testing.assert_allclose(np.sum(curve.points, axis=1), 1, atol=1e-12)
    assert curve.ends == ("window", "window")
    assert curve.check().wrong == ()
    np.testing.assert_allclose(curve.arclength[-1], np.hypot(1.8 / 1.9, 1), rtol=1e-6)


# -- corners, files, and what is refused ------------------------------------------------------------------------------


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases")
def test_a_border_goes_on_beyond_its_corners_with_other_words():
    """A side of the tongue of the published 16-cycle: from the center to where it shrinks onto the fixed point."""
    case = cx.load(CASES / "plrnn_2d_order16.json")
    cycle = cx.find_cycles(case, [16], key=0).of_order(16)[0]
    window = tuple((value - 1, value + 1) for value in case.A)
    curve = cx.trace(case, cycle, ("A[0]", "A[1]"), event="border collision", window=window)
    assert len({arc.words[0].tobytes() for arc in curve.arcs}) > 5
    checked = curve.check()
    assert checked.wrong == ()
    assert checked.residual < 1e-10
    first, last = curve.points[[0, -1]]
    # At its root the fixed point is a center; at its tip that is on its border.
    coupling = case.W[0, 1] * case.W[1, 0]
    assert first[0] * first[1] - coupling == pytest.approx(1, abs=1e-9)
    ((tip, _),) = places(curve, "collapse")
    assert tip == pytest.approx(1 + case.W[1, 0] * case.h[0] / case.h[1], abs=1e-8)
    assert last[0] == pytest.approx(tip, abs=1e-5)
    assert curve.ends == ("rim", "order 1")
    # Between corners it is as long as the tongue, and it does not jump.
    steps = np.diff(curve.arclength)
    assert np.max(steps) < 0.03
    assert len(places(curve, "shrinking point")) == 5


def test_a_curve_comes_back_from_its_file(tmp_path):
    curve = tent_curve("border collision", 3)
    curve.save(tmp_path / "curve.npz")
    again = cx.Curve.load(tmp_path / "curve.npz")
    np.testing.assert_array_equal(again.points, curve.points)
    assert repr(again) == repr(curve)
    assert again.check() == curve.check()
    for one, other in zip(curve.arcs, again.arcs, strict=True):
        assert (one.type, one.flip, one.step, one.gate) == (other.type, other.flip, other.step, other.gate)
        assert all(np.array_equal(a, b) for a, b in zip(one.words, other.words, strict=True))
    with pytest.raises(TypeError, match="by a function"):
        of_normal_form(word("R"), "degenerate flip", (-1.5, 0.4)).save(tmp_path / "none.npz")
    cx.find_cycles(cx.TentMap(2.0), 1, key=0).save(tmp_path / "cycles.npz")
    with pytest.raises(ValueError, match="no curve that cyclax wrote"):
        cx.Curve.load(tmp_path / "cycles.npz")


def test_the_check_sees_what_is_wrong():
    curve = tent_curve("border collision", 3)
    moved = dataclasses.replace(curve.arcs[0], points=curve.arcs[0].points + np.array([0, 1e-6]))
    assert any("off the curve" in text for text in dataclasses.replace(curve, arcs=(moved,)).check().wrong)
    typed = dataclasses.replace(curve.arcs[0], type="persistence")
    assert any("Feigin" in text for text in dataclasses.replace(curve, arcs=(typed,)).check().wrong)
    other = cx.trace(
        cx.SkewTentMap(0.5, -1.05, 1.0), word("R"), ("left", "right"), event="degenerate flip", window=((0, 1), (-2, 0))
    )
    none = dataclasses.replace(other.arcs[0], words=(word("L"),))
    assert other.check().wrong == ()
    assert dataclasses.replace(other, arcs=(none,)).check().wrong != ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": "family"}, "'family' is not followed"),
        ({"parameters": ("left",)}, "plane of two parameters, got 1"),
        ({"parameters": ("left", "slope")}, "has no weight 'slope'"),
        ({"window": ((0, 1), (0, -2))}, r"expected \(\(low, high\)"),
        ({"window": ((0, 0.1), (-2, -1.5))}, "outside"),
        ({"start": (1.0,)}, "expected a value for each"),
        ({"cycle": word("L"), "window": ((-2, 1), (-2, 0))}, "is none of a cycle"),
        ({"cycle": word("RL"), "event": "border collision", "at": (1, 0)}, "repeats a shorter one"),
        ({"at": (3, 0), "event": "border collision"}, "at: the step"),
        ({"parameters": ("left", "offset")}, "does not depend on them"),
        ({"event": "center"}, "no complex multipliers"),
        ({"cycle": None}, "None is for an Event"),
    ],
)
def test_what_cannot_be_followed_is_said(change, message):
    given = {
        "model": cx.SkewTentMap(0.5, -1.05, 1.0),
        "cycle": word("R"),
        "parameters": ("left", "right"),
        "event": "degenerate flip",
        "window": ((0, 1), (-2, 0)),
        **change,
    }
    with pytest.raises((TypeError, ValueError), match=message):
        cx.trace(given.pop("model"), given.pop("cycle"), given.pop("parameters"), **given)


def test_gates_that_do_nothing_have_no_border():
    with pytest.raises(ValueError, match="gate 1 does nothing"):
        cx.trace(
            FAMILY,
            closed_and_open("R"),
            ("h[0]", "h[1]"),
            event="border collision",
            at=(0, 1),
            window=((-1, 1), (-1, 1)),
        )


def test_a_fold_whose_cycle_goes_to_infinity_along_a_border_is_one_only_where_its_other_points_meet_their_gates():
    """x' = A0 x + .., y' = A1 y + ..: at A1 = 1 the fixed point with both gates closed runs off along x = h0/(1 - A0).

    It does so where that is negative, which no direction toward infinity tells: A0 > 1.
    """
    model = cx.PLRNN(A=[0.7, 0.9], W=[[0.0, -0.6], [0.5, 0.0]], h=[0.4, -1.0])
    window = ((0.5, 1.5), (0.5, 1.5))
    given = {"event": "degenerate transcritical", "window": window}
    closed = np.zeros((1, 2), bool)
    with pytest.raises(ValueError, match="is none of a cycle"):
        cx.trace(model, closed, ("A[0]", "A[1]"), start=(0.8, 1.0), **given)
    curve = cx.trace(model, closed, ("A[0]", "A[1]"), start=(1.2, 1.0), **given)
    np.testing.assert_allclose(curve.arcs[-1].points[:, 1] - 1, 0, atol=1e-12)
    # So is the one with the second gate open, which runs off along (-0.6 / (1 - A0), 1): A0 < 1. Both end at (1, 1).
    other = cx.trace(model, closed | [False, True], ("A[0]", "A[1]"), start=(0.8, 1.0), **given)
    for one in (curve, other):
        assert one.check().wrong == ()
        for arc in one.arcs:
            if np.array_equal(arc.words[0], closed) and np.ptp(arc.points[:, 0]) > 1e-6:
                assert np.all(arc.points[:, 0] >= 1 - 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "order", "parameters"),
    [
        ("plrnn_10d_order10", 10, ("A[0]", "W[1,0]")),
        ("shallow_m8_h10_trained", 1, ("A[0]", "W1[0,0]")),
        ("flipflop_64", 1, ("W1[0,1]", "h1[0]")),
    ],
)
def test_borders_of_larger_networks(name, order, parameters):
    model = cx.load(CASES / f"{name}.json")
    window = [(own - 3, own + 3) for own in (cx.Parameter.parse(p).entry(model) for p in parameters)]
    cycle = cx.find_cycles(model, [order], key=0)[0]
    curve = cx.trace(model, cycle, parameters, event="border collision", window=window)
    checked = curve.check()
    assert checked.wrong == ()
    assert checked.residual < 1e-10
    assert len(curve.points) > 20


def test_a_symmetric_network_whose_gates_meet_their_borders_together_is_refused():
    model = cx.PLRNN(A=[0.5, 0.5], W=[[0.0, -1.2], [-1.2, 0.0]], h=[0.3, 0.3])
    both = cx.Parameter("h", set=lambda m, v: cx.PLRNN(m.A, m.W, jnp.full(2, v)))
    with pytest.raises(ValueError, match="as in symmetric networks"):
        cx.trace(
            model,
            np.ones((1, 2), bool),
            (both, "W[0,0]"),
            event="border collision",
            at=(0, 0),
            window=((-1, 1), (-0.4, 0.4)),
            start=(0.1, 0.0),
        )


def test_few_steps_and_closed_curves():
    """A border on a circle of the parameters, u^2 + v^2 = 1/100, and how it ends where steps run out."""
    ring = {
        name: cx.Parameter(name, set=lambda m, v, i=i: dataclasses.replace(m, h=jnp.asarray(m.h).at[i].set(v)))
        for i, name in enumerate(("u", "v"))
    }
    window = ((-0.3, 0.3), (-0.3, 0.3))
    curve = cx.trace(
        Ring(h=[0.0, 0.0]), word("R"), tuple(ring.values()), event="border collision", start=(0.1, 0.02), window=window
    )
    np.testing.assert_allclose(np.sum(curve.points**2, axis=1), 0.01, atol=1e-13)
    assert curve.ends == ("closed",)
    np.testing.assert_allclose(curve.points[0], curve.points[-1])
    length = np.sum(np.linalg.norm(np.diff(curve.points, axis=0), axis=1))
    assert length == pytest.approx(0.2 * np.pi, rel=1e-2)
    short = cx.trace(
        Ring(h=[0.0, 0.0]),
        word("R"),
        tuple(ring.values()),
        event="border collision",
        start=(0.1, 0.02),
        window=window,
        most=3,
    )
    assert short.ends == ("steps", "steps")


class Ring(cx.AbstractPiecewiseLinearMap):
    """x' = x / 2 + u^2 + v^2 - 1/100, and 1/4 of x more where x > 0."""

    h: np.ndarray = eqx.field(converter=lambda v: v if isinstance(v, jax.Array) else np.asarray(v, float))

    @property
    def num_states(self):
        return 1

    def preactivations(self, z):
        return z

    def step(self, z, gates):
        return z / 2 + jnp.where(gates, z, 0) / 4 + jnp.sum(self.h**2) - 0.01
