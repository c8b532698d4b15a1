"""What theory says of the gradient of the loss at bifurcations, seen in the gradient that `fit` computes.

Source: Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training", NeurIPS 2023.
"""

import numpy as np
import pytest
from examples.gradients_at_bifurcations import over_window

import cyclax as cx
from cyclax.core.numerics import numerics


def gradient_norm(model: cx.PLRNN, length: int, first=None) -> float:
    """Give the norm of the gradient of the squared error, free running, over one window of noise about (1, 1).

    The window may begin at a given state.
    """
    series = 1 + 0.1 * np.random.default_rng(0).normal(size=(length + 1, 2))
    series[0] = series[0] if first is None else first
    return over_window(model, series, cx.FreeRunning())


def near_transcritical(gap: float) -> cx.PLRNN:
    """Give a network whose fixed point has the multiplier 1 - gap, and runs to infinity as gap -> 0, gates open."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    P = turn @ np.diag([1 - gap, 0.3]) @ turn.T
    diagonal = np.array([0.2, 0.1])
    return cx.PLRNN(A=diagonal, W=P - np.diag(diagonal), h=[1.0, 0.9])


def slope_of(gaps: np.ndarray, norms: list[float]) -> float:
    return float(np.polyfit(np.log(gaps), np.log(norms), 1)[0])


def test_the_gradient_grows_with_the_third_power_into_a_degenerate_transcritical_bifurcation():
    """The fixed point is of size 1/gap, its derivative of size 1/gap^2."""
    gaps = np.array([0.04, 0.02, 0.01, 0.005])
    model = near_transcritical(0.01)
    (point,) = cx.find_cycles(model, 1, key=0)
    assert np.all(point.gates)
    assert np.max(np.abs(point.multipliers)) == pytest.approx(0.99)
    norms = [gradient_norm(near_transcritical(gap), round(20 / gap)) for gap in gaps]
    assert abs(slope_of(gaps, norms) + 3) < 0.1


def test_the_gradient_saturates_when_the_window_is_held():
    gaps = np.array([1e-4, 1e-5, 1e-6])
    norms = [gradient_norm(near_transcritical(gap), 400) for gap in gaps]
    assert abs(slope_of(gaps, norms)) < 0.02


def test_the_way_there_carries_the_event():
    events = cx.track([near_transcritical(0.02), near_transcritical(-0.02)], 1, key=0).events
    assert {(event.type, round(event.at, 9)) for event in events} == {("degenerate transcritical", 0.5)}


def at_border(offset: float, slope: float) -> cx.PLRNN:
    """Give a network with a fixed point that crosses the border of the first gate as `offset` changes sign.

    The fixed point is at offset / 0.5 below it, and at offset / (0.5 - slope) above; the second unit sits at 2.
    """
    return cx.PLRNN(A=[0.5, 0.5], W=[[slope, 0.0], [0.0, 0.0]], h=[offset, 1.0])


def test_one_sided_limits_of_the_gradient_at_a_border_collision_are_finite_and_different():
    """For the bias they are 2 (z - x) / (1 - multiplier); the second unit adds the same on both sides."""
    slope, length = 0.3, 4000
    mean = np.mean(np.random.default_rng(0).normal(size=(length + 1, 2))[1:], axis=0) * 0.1 + 1
    for sign, multiplier in ((-1, 0.5), (1, 0.5 + slope)):
        norms = []
        for size in (1e-4, 1e-6, 1e-8):
            model = at_border(sign * size, slope)
            (point,) = cx.find_cycles(model, 1, key=0)
            assert point.multipliers[0] == pytest.approx(max(multiplier, 0.5))
            norms.append(gradient_norm(model, length, point.points[0]))
        assert abs(norms[1] - norms[2]) < 1e-5 * norms[2]  # a limit
        # The mean over two outputs halves the 2 of the square. The first unit stands at 0, the second at 2.
        first, second = (0 - mean[0]) / (1 - multiplier), (2 - mean[1]) / 0.5
        # To z' = A z + W relu(z) + h, h adds 1; the second unit, through A or W, adds 2.
        expected = np.sqrt(first**2 * (1 + 2**2) + second**2 * (1 + 2**2 + 2**2))
        assert norms[2] == pytest.approx(expected, rel=2e-3)


def test_the_gradient_of_a_column_vanishes_on_one_side():
    """Where the gate is closed its column of W has no effect at all: from there training cannot move it."""
    import jax

    from cyclax.training.loop import Setting, loss_of
    from cyclax.training.model import LatentModel

    length = 2000
    series = 1 + 0.1 * np.random.default_rng(0).normal(size=(length + 1, 2, 1))
    with numerics():
        strengths = jax.numpy.zeros(length)
        setting = Setting(length, 1, 0, 1)
        for offset, vanishes in ((-0.1, True), (0.1, False)):
            start = at_border(offset, 0.3)
            model = LatentModel.observing(start, 2)
            # Along the fixed point itself, without the transient from the data.
            (point,) = cx.find_cycles(start, 1, key=0)
            held = series.copy()
            held[0, :, 0] = point.points[0]
            gradient = jax.grad(lambda m, x=held: loss_of(setting, m, x, strengths)[0])(
                jax.tree.map(jax.numpy.asarray, model)
            )
            column = np.asarray(gradient.map.W)[:, 0]
            assert np.all(column == 0) == vanishes
            assert abs(float(gradient.map.h[0])) > 0.1
