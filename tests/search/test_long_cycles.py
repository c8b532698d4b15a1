"""Long and expanding cycles, where the product of the Jacobians has lost its digits."""

import jax
import mpmath
import numpy as np
import pytest
from conftest import slow
from plain import plain_map

import cyclax as cx
from cyclax.search.driver import segments_for

FEW = cx.SCYFI(starts=512)


def check_orbit(model, cycle) -> None:
    """Every point, in plain NumPy: its image is the next point, and all points differ."""
    step = plain_map(model)
    images = np.stack([step(z) for z in cycle.points])
    assert np.max(np.abs(images - np.roll(cycle.points, -1, axis=0))) < 1e-9
    assert np.max(np.abs(images - np.roll(cycle.points, -1, axis=0))) <= cycle.residual + 1e-14
    for period in range(1, cycle.order):
        assert np.max(np.abs(cycle.points - np.roll(cycle.points, -period, axis=0))) > 1e-6
    assert cycle.error < cycle.margin


def exact_lozi(model, gates):
    """First point and larger multiplier of a word of the Lozi map, in 300 digits."""
    a, b = mpmath.mpf(model.a.item()), mpmath.mpf(model.b.item())
    P, q = mpmath.eye(2), mpmath.zeros(2, 1)
    for gate in gates[:, 0]:
        J = mpmath.matrix([[-a if gate else a, 1], [b, 0]])
        P, q = J * P, J * q + mpmath.matrix([1, 0])
    trace, det = P[0, 0] + P[1, 1], (-b) ** len(gates)
    root = mpmath.sqrt(trace * trace - 4 * det)
    large = (trace + root) / 2 if abs(trace + root) > abs(trace - root) else (trace - root) / 2
    return mpmath.lu_solve(mpmath.eye(2) - P, q), large, det / large


@pytest.mark.parametrize("order", [45, slow(60), slow(100), slow(200)])
def test_lozi(order):
    """Multipliers reach 1e40 and 1e-101: existence, word, points, error bounds and both multipliers."""
    model = cx.LoziMap(1.7, 0.5)
    cycles = cx.find_cycles(model, [order], key=0, finder=FEW)
    assert len(cycles) > 60
    assert cycles.report["orders"][str(order)]["rejected"] == 0
    assert cycles.report["orders"][str(order)]["singular"] == 0
    assert max(cycle.residual for cycle in cycles) < 1e-14
    for cycle in cycles[:20]:
        check_orbit(model, cycle)
        np.testing.assert_array_equal(cycle.points[:, :1] > 0, cycle.gates)
        with mpmath.workdps(300):
            point, large, small = exact_lozi(model, cycle.gates)
            off = [abs(point[i] - mpmath.mpf(float(cycle.points[0, i]))) for i in range(2)]
            assert max(off) <= cycle.error < 1e-11
            for value, exact in zip(cycle.multipliers, (large, small), strict=True):
                assert value.imag == 0
                assert abs(mpmath.mpf(value.real) - exact) < 1e-10 * abs(exact)
        assert cycle.stability == "saddle"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "least"), [(83, 1e4), (78, 1e4), (89, 1e7)])
def test_chaotic_networks_in_five_dimensions(seed, least):
    model = cx.ClippedShallowPLRNN.random(5, 30, key=jax.random.key(seed), gain=2.0 + seed % 5)
    cycles = cx.find_cycles(model, [60], key=1, finder=FEW)
    assert len(cycles) > 0
    assert max(abs(cycle.multipliers[0]) for cycle in cycles) > least
    for cycle in cycles:
        check_orbit(model, cycle)


@pytest.mark.slow
def test_the_product_formula_fails_there():
    """Why all this: at order 60 it is off by 1e-3 and loses words, and at order 100 I - P is singular in float64."""
    model = cx.LoziMap(1.7, 0.5)
    off = {}
    for order in (20, 60, 100):
        cycle = max(cx.find_cycles(model, [order], key=0, finder=FEW), key=lambda cycle: abs(cycle.multipliers[0]))
        P, q = np.eye(2), np.zeros(2)
        for gate in cycle.gates[:, 0]:
            J = np.array([[-1.7 if gate else 1.7, 1], [0.5, 0]])
            P, q = J @ P, J @ q + [1, 0]
        try:
            off[order] = np.max(np.abs(np.linalg.solve(np.eye(2) - P, q) - cycle.points[0]))
        except np.linalg.LinAlgError:
            off[order] = np.inf
    assert off[20] < 1e-9
    assert off[60] > 1e-6
    assert off[100] > 1e-2


def test_segments_are_chosen_by_the_growth():
    assert segments_for(10, 0.5) == 1
    assert segments_for(100, 0.5) == 4
    assert segments_for(7, -1.0) == 1
    assert segments_for(3, 1e9) == 4  # as many as there are steps, and no more than to the next power of two
    report = cx.find_cycles(cx.LoziMap(1.7, 0.5), [100], key=0, finder=FEW).report["orders"]
    assert report["100"]["segments"] > 1


@pytest.mark.slow
def test_result_does_not_depend_on_lanes():
    model = cx.LoziMap(1.7, 0.5)
    narrow, wide = (cx.find_cycles(model, [80], key=5, finder=cx.SCYFI(starts=512, lanes=lanes)) for lanes in (32, 300))
    assert narrow.counts == wide.counts
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
        np.testing.assert_allclose(one.points, other.points, rtol=1e-12, atol=1e-12)


def test_given_words_of_long_cycles():
    model = cx.LoziMap(1.7, 0.5)
    wanted = cx.find_cycles(model, [100], key=0, finder=FEW)[0]
    blind = cx.find_cycles(model, [100], key=1, finder=cx.SCYFI(starts=2))
    helped = cx.find_cycles(model, [100], key=1, finder=cx.SCYFI(starts=2), words=[wanted.gates])
    assert len(helped) == len(blind) + 1
    assert any(np.array_equal(cycle.points, wanted.points) for cycle in helped)
