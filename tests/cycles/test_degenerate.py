"""Families of solutions, and networks with nothing to hold on to: clear, correct reports."""

import numpy as np
import pytest

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles.families import lies_in
from cyclax.maps.affine import affine_form


def test_every_state_is_fixed():
    """A = I and nothing else: no gate matters, one region, the whole space."""
    cycles = cx.find_cycles(cx.PLRNN(A=np.ones(3), W=np.zeros((3, 3)), h=np.zeros(3)), 3, key=0, finder=cx.SCYFI())
    assert cycles.counts == {1: 0, 2: 0, 3: 0}
    (family,) = cycles.degenerate
    assert (family.kind, family.order) == ("family", 1)
    assert np.linalg.matrix_rank(family.directions) == 3
    assert np.all(np.isinf(family.extent))
    assert not family.attracting  # nothing is attracted: everything stays
    assert "3-dimensional family of fixed points" in str(cycles)
    assert "I - P is singular" in cycles.report["orders"]["1"]["reason"]


def test_a_translation_has_no_fixed_point():
    cycles = cx.find_cycles(cx.PLRNN(A=np.ones(2), W=np.zeros((2, 2)), h=np.ones(2)), 2, key=0, finder=cx.SCYFI())
    assert cycles.counts == {1: 0, 2: 0}
    assert cycles.degenerate == ()
    assert "I - P is singular" in cycles.report["orders"]["1"]["reason"]


def test_a_quadrant_of_fixed_points():
    """A = I, h = 0: W relu(z) = 0 where z <= 0. Its rims lie in other regions too, and are not listed again."""
    cycles = cx.find_cycles(cx.PLRNN(A=np.ones(2), W=[[0, 0.5], [-0.3, 0]], h=np.zeros(2)), 2, key=0)
    (family,) = cycles.degenerate
    assert family.directions.shape == (2, 2)
    np.testing.assert_allclose(family.extent, [[-np.inf, 0], [-np.inf, 0]])


def test_line_attractor_without_end():
    """z1 is kept, z2 decays: every (z1, 0.5) is a fixed point while z1 >= 0."""
    model = cx.PLRNN(A=[0.0, 0.2], W=[[1.0, 0.0], [0.0, 0.0]], h=[0.0, 0.4])
    cycles = cx.find_cycles(model, 1, key=0)
    (line,) = cycles.degenerate
    np.testing.assert_allclose(line.directions[:, 0], [1, 0], atol=1e-12)
    np.testing.assert_allclose(line.points[0, 1], 0.5)
    np.testing.assert_allclose(line.extent, [[-line.points[0, 0], np.inf]], atol=1e-9)
    np.testing.assert_allclose(line.multipliers, [1, 0.2])
    assert line.attracting
    assert cycles.report["orders"]["1"]["index_sum"] is None
    assert "attracting line of fixed points" in str(cycles)


@pytest.mark.parametrize("seed", range(3))
def test_line_attractor_between_two_borders(seed):
    """z1' = 0.5 z1 + 0.5 clip(z1, 0, 1), turned: the line runs from 0 to 1, whatever the coordinates."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    A = turn @ np.diag([0.5, 0.3, -0.6]) @ turn.T
    W1 = turn @ np.array([[0.5, -0.5], [0, 0], [0, 0]])
    W2 = np.array([[1.0, 0, 0], [1, 0, 0]]) @ turn.T
    model = cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=turn @ [0, 0.7, 0], h2=[0, -1.0])
    cycles = cx.find_cycles(model, 2, key=seed)
    (line,) = cycles.degenerate
    assert line.order == 1
    np.testing.assert_allclose(turn.T @ line.points[0], [0.5, 1, 0], atol=1e-9)  # the middle
    np.testing.assert_allclose(np.abs(turn.T @ line.directions[:, 0]), [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(line.extent, [[-0.5, 0.5]], atol=1e-9)
    np.testing.assert_allclose(np.sort(line.multipliers.real), [-0.6, 0.3, 1], atol=1e-9)
    assert line.attracting
    with numerics():
        bounds = affine_form(model)
    for along, inside in ((-0.5, True), (0.3, True), (0.5, True), (0.51, False)):
        point = line.points[0] + along * line.directions[:, 0]
        assert lies_in(bounds, line, point) == inside
        assert not lies_in(bounds, line, point + turn @ [0, 0, 1e-3])


def test_two_cycles_around_a_flip():
    cycles = cx.find_cycles(cx.PLRNN(A=[-1.0, 0.3], W=np.zeros((2, 2)), h=[1.0, 0.7]), 4, key=0)
    (fixed,) = cycles
    assert (fixed.order, fixed.stability) == (1, "neutral")
    (line,) = cycles.degenerate
    assert line.order == 2
    np.testing.assert_allclose(line.points.sum(axis=0), 2 * fixed.points[0])


def test_a_line_of_two_cycles_ends_where_an_image_meets_a_border():
    """x' = -x inside a region from -1 to 2: z and -z must both lie in it."""
    model = cx.ShallowPLRNN(A=[-1.0], W1=[[0.5, 0.25]], W2=[[-1.0], [1.0]], h1=[0.0], h2=[-1.0, -2.0])
    lines = [entry for entry in cx.find_cycles(model, 2, key=0).degenerate if entry.order == 2]
    (line,) = lines
    ends = line.points[0, 0] + line.extent[0] * line.directions[0, 0]
    np.testing.assert_allclose(np.sort(ends), [-1, 1], atol=1e-9)


def test_zero_weights():
    for model in (
        cx.PLRNN(A=np.zeros(2), W=np.zeros((2, 2)), h=np.zeros(2)),
        cx.ShallowPLRNN(A=np.zeros(2), W1=np.zeros((2, 4)), W2=np.zeros((4, 2)), h1=np.zeros(2), h2=np.zeros(4)),
        cx.ReLURNN(W=np.zeros((2, 2)), b=np.zeros(2)),
    ):
        cycles = cx.find_cycles(model, 2, key=0)
        (fixed,) = cycles
        np.testing.assert_array_equal(fixed.points, [[0, 0]])
        assert fixed.margin == np.inf  # no gate matters
        np.testing.assert_array_equal(fixed.multipliers, [0, 0])
        assert {entry["verdict"] for entry in cycles.report["orders"].values()} == {"proved complete"}


def test_identical_units_count_once():
    """Two equal units of a shallow network are one of twice the weight; so are duplicated rows with equal gates."""
    rng = np.random.default_rng(3)
    A, W1, W2, h1, h2 = rng.uniform(0.3, 0.8, 2), *(rng.normal(size=s) for s in ((2, 5), (5, 2), 2, 5))
    doubled = cx.ShallowPLRNN(
        A=A,
        W1=np.concatenate([W1 / 2, W1 / 2], axis=1),
        W2=np.concatenate([W2, W2]),
        h1=h1,
        h2=np.concatenate([h2, h2]),
    )
    one, other = (
        cx.find_cycles(cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=h1, h2=h2), 8, key=0),
        cx.find_cycles(doubled, 8, key=0),
    )
    assert one.counts == other.counts
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(np.sort(a.points, axis=0), np.sort(b.points, axis=0), atol=1e-9)
        np.testing.assert_allclose(a.multipliers, b.multipliers, atol=1e-8)
        np.testing.assert_allclose(a.margin, b.margin, rtol=1e-6)


def test_identical_states_share_their_value():
    model = cx.PLRNN(A=[0.5, 0.5, 0.3], W=[[0, 0, 0.4], [0, 0, 0.4], [0.2, 0.2, 0]], h=[0.1, 0.1, -0.5])
    (fixed,) = cx.find_cycles(model, 3, key=0)
    np.testing.assert_allclose(fixed.points[0], [0.2, 0.2, -0.6])


def test_zero_columns_are_no_gates():
    """The second state is read by no ReLU: its sign is no border, even where it is 0."""
    model = cx.PLRNN(A=[0.5, 0.4, 0.3], W=[[0, 0, 0.4], [0.2, 0, 0.4], [0.2, 0, 0]], h=[0.1, -0.04, -0.5])
    (fixed,) = cx.find_cycles(model, 3, key=0)
    np.testing.assert_allclose(fixed.points[0], [0.2, 0.0, -0.46 / 0.7], atol=1e-15)
    np.testing.assert_allclose(fixed.margin, 0.2)


def test_a_family_that_touches_its_region_in_a_fixed_point_is_no_2_cycle():
    """The word 01 is fixed on a line, of which only (0, -2) meets it: the fixed point of both sides."""
    left, right = [[2.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [-1.0, 0.0]]
    model = cx.BorderCollisionNormalForm(left=left, right=right, h=[2.0, -2.0])
    (entry,) = cx.enumerate_cycles(model, 2, progress=False).degenerate
    assert (entry.kind, entry.order) == ("border", 1)


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_a_family_that_lies_on_borders_alone(size, turned):
    """z' = -z + U (relu(z0) + relu(z2)): what neither gate reads is turned round for ever where both are 0, only there.

    The words of all its regions have larger families (I - P = 0), that touch these regions in this one.
    """
    U, V = np.array([4.0, 0.0, 2.0, 0.0])[:size, None], np.array([1.0, 0.0, 1.0, 0.0])[None, :size]
    model = cx.LowRankPLRNN(A=-np.ones(size), U=U, V=V, h=np.zeros(size))
    if turned:  # the same map in other coordinates, in which a border is no coordinate plane
        turn = np.eye(size)
        turn[:2, :2] = [[1, 1], [-1, 1]]
        back = np.linalg.inv(turn)
        W2 = np.eye(size)[[0, 2]] @ back
        h1, h2 = np.zeros(size), np.zeros(2)
        model = cx.ShallowPLRNN(A=-np.eye(size), W1=turn @ U @ np.ones((1, 2)), W2=W2, h1=h1, h2=h2)
    for cycles in (cx.find_cycles(model, 3, key=0), cx.enumerate_cycles(model, 3, progress=False)):
        assert len(cycles) == 0
        fixed, family = cycles.degenerate
        assert (fixed.kind, fixed.order, np.any(fixed.points)) == ("border", 1, False)
        assert (family.kind, family.order, family.margin) == ("family", 2, 0)
        assert family.directions.shape == (size, size - 2)
        along = family.directions if not turned else back @ family.directions
        np.testing.assert_allclose(along[[0, 2]], 0, atol=1e-12)
        assert np.linalg.matrix_rank(family.directions) == size - 2
        np.testing.assert_array_equal(family.extent, [[-np.inf, np.inf]] * (size - 2))
        assert np.any(family.points)
        np.testing.assert_array_equal(family.points[1], -family.points[0])


def test_a_line_on_a_border_is_one_line():
    """z1 is kept and z2 decays, at another rate on either side: both words have the same line."""
    cycles = cx.find_cycles(cx.PLRNN(A=[1.0, 0.5], W=[[0.0, 0.0], [0.0, -0.25]], h=[0.0, 0.0]), 2, key=0)
    (line,) = cycles.degenerate
    assert (line.kind, line.order, line.margin) == ("family", 1, 0)
    np.testing.assert_array_equal(np.abs(line.directions[:, 0]), [1, 0])


def test_a_cone_of_solutions_is_shown_at_an_ordinary_size():
    """A plane of 2-cycles whose borders all pass through 0."""
    model = cx.LowRankPLRNN(A=-np.ones(3), U=[[-2.0], [0.0], [-1.0]], V=[[2.0, 0.0, 2.0]], h=np.zeros(3))
    plane = max(cx.find_cycles(model, 2, key=0).degenerate, key=lambda entry: entry.order)
    assert plane.directions.shape == (3, 2)
    assert 0.01 < np.max(np.abs(plane.points)) < 100


def test_a_family_whose_member_nearest_to_0_lies_on_a_border_is_none_on_a_border():
    """Two planes of 2-cycles meet in a line, of which both have the point (2, 0, 0)."""
    W = [[1.0, -1.0, -1.0], [0.0, 0.0, 2.0], [-1.0, 2.0, 0.0]]
    model = cx.PLRNN(A=[1.0, 1.0, -1.0], W=W, h=[-2.0, 0.0, 1.0])
    for cycles in (
        cx.find_cycles(model, 2, key=0),
        cx.enumerate_cycles(model, 2, method=cx.Exhaustive(), progress=False),
    ):
        families = [(entry.order, entry.directions.shape[1]) for entry in cycles.degenerate]
        assert sorted(families) == [(1, 1), (1, 1), (2, 2), (2, 2)]


@pytest.mark.parametrize("power", [0, 20, 40, 300])
def test_families_that_meet_far_inside_of_one_of_them(power):
    """A plane of 2-cycles with sides of 2^power, and a line of others that ends on its corner, 1 from 0 and farther.

    Above 0, z1' = 2^power - z1 where z2 <= 0; the line is (-x, x) for x >= 0, and comes back from (2^power + x, ..).
    """
    model = cx.PLRNN(A=[-1.0, 1.0], W=[[0.0, 0.0], [2.0, -2.0]], h=[2.0**power, -(2.0**power)])
    for cycles in (
        cx.find_cycles(model, 2, key=0),
        cx.enumerate_cycles(model, 2, method=cx.Exhaustive(), progress=False),
    ):
        assert [(entry.order, entry.directions.shape[1]) for entry in cycles.degenerate] == [(1, 1), (2, 2), (2, 1)]
        assert cycles.report["orders"]["2"]["verdict"] == "proved complete"
    line = cycles.degenerate[2]
    (x,) = line.points[0][1:]
    np.testing.assert_allclose(line.points, [[-x, x], [2.0**power + x, -(2.0**power) - x]], rtol=1e-15)
