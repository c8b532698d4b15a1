"""Flows: exponents in closed form however strongly they contract, the integrator's error, and what is 0 within it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import slow
from lyapunov_systems import hopf, lorenz

import cyclax as cx
from cyclax.lyapunov.statistics import kaplan_yorke, kaplan_yorke_jump


class Linear(eqx.Module):
    """z' = J z: the exponents are the real parts of the eigenvalues."""

    J: jax.Array

    def __call__(self, z):
        return self.J @ z


class Driven(eqx.Module):
    """z' = -s z: the exponent is -s on average."""

    def __call__(self, z, s):
        return -s * z


def linear(J, dt=1.0, **settings):
    return cx.Flow(Linear(np.atleast_2d(np.asarray(J, float))), dt, **settings)


# -- contraction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, slow(5)])
def test_a_line_that_contracts(every):
    for a in (-1.0, -5.0, -14.0, -20.0, -30.0, -300.0, 0.5):
        got = cx.lyapunov_spectrum(linear(a), [1e-3], steps=50, warmup=5, orthonormalize_every=every)
        assert abs(got.exponents[0] - a) < 3 * got.standard_errors[0] < 1e-4 * abs(a)
        assert got.converged
        assert (got.report["pieces"] > 1) == (a * every < -6)


@pytest.mark.parametrize("settings", [{}, {"substeps": 400}], ids=["adaptive", "fixed"])
def test_a_plane_without_normal_directions(settings):
    J = [[-1.0, 80.0], [0.0, -40.0]]
    got = cx.lyapunov_spectrum(linear(J, **settings), [0.1, 0.1], steps=60, warmup=10)
    np.testing.assert_array_less(np.abs(got.exponents - [-1, -40]), 3 * got.standard_errors)
    np.testing.assert_array_less(got.standard_errors, 1e-4)
    assert got.converged


def test_volumes_shrink_as_the_trace_says():
    z0 = np.random.default_rng(4).normal([0, 0, 25], 1, (8, 3))
    got = cx.lyapunov_spectrum(cx.Flow(lorenz, 2.0), z0, steps=300, warmup=20, in_axes=(None, 0, None)).pool()
    assert abs(got.sum + 10 + 1 + 8 / 3) < 1e-5
    np.testing.assert_array_less(np.abs(got.exponents - [0.9056, 0, -14.5723]), 3 * got.standard_errors + 5e-5)
    assert got.exponents[0] == pytest.approx(0.9056, rel=0.02)
    assert abs(got.dimension - 2.0622) < 3 * got.dimension_error + 5e-5


def test_contraction_that_comes_late_is_seen():
    """The steps are split when they must be, not by what the warm-up was like."""
    s = np.where(np.arange(130) < 100, 1.0, 60.0)
    got = cx.lyapunov_spectrum(cx.Flow(Driven(), 1.0), [0.5], s, steps=120, warmup=10)
    assert abs(got.exponents[0] + np.mean(s[10:])) < 1e-4
    assert got.report["pieces"] > 8


@pytest.mark.slow
def test_an_integrator_that_is_too_coarse_says_so():
    got = cx.lyapunov_spectrum(linear(-30.0, substeps=10), [0.5], steps=50, warmup=5)
    assert abs(got.exponents[0] + 30) < 3 * got.standard_errors[0]
    assert not got.converged
    assert "NOT converged: the integrator errs by more" in str(got)
    one = cx.lyapunov_spectrum(cx.Flow(hopf, 0.1, substeps=1), [1.0, 0.0], steps=200, warmup=200)
    np.testing.assert_array_less(np.abs(one.exponents - [0, -2]), 3 * one.standard_errors)
    assert one.standard_errors[1] > 1e-9  # the same in every step, and wrong by this


def test_tolerances_that_are_loose_are_not_called_exact():
    """One step of the solver for each dt, whatever the tolerances: finer ones alone would change nothing."""
    got = cx.lyapunov_spectrum(cx.Flow(hopf, 0.1, rtol=1e-3, atol=1e-3), [1.0, 0.0], steps=200, warmup=200)
    np.testing.assert_array_less(np.abs(got.exponents - [0, -2]), 3 * got.standard_errors)


def test_covariant_vectors_of_a_flow_that_contracts():
    J = np.array([[-1.0, 3.0], [0.0, -40.0]])
    got = cx.covariant_vectors(linear(J), [0.1, 0.1], steps=5, warmup=5)
    np.testing.assert_allclose(got.exponents, [-1, -40], rtol=1e-5)
    for i, vector in enumerate((np.array([1.0, 0.0]), np.array([-3.0, 39.0]) / np.hypot(3, 39))):
        np.testing.assert_allclose(np.abs(got.vectors[:, :, i] @ vector), 1, atol=1e-8)


def test_the_pure_function_gives_no_number_that_is_noise():
    with jax.enable_x64(True):
        for a, known in ((-1.0, True), (-5.0, True), (-30.0, False)):
            got = cx.lyapunov_exponents(linear(a), jnp.array([0.5]), steps=5)
            assert np.isfinite(got[0]) == known
            assert not known or abs(got[0] - a) < 1e-4


def test_integration_errors_are_kept(tmp_path):
    z0 = [[1.0, 0.0], [0.0, -1.2]]
    both = cx.lyapunov_spectrum(cx.Flow(hopf, 0.1), z0, steps=100, warmup=50, in_axes=(None, 0, None))
    assert both.integration_errors is not None
    assert both.integration_errors.shape == (2, 2)
    np.testing.assert_array_equal(both[1].integration_errors, both.integration_errors[1])
    np.testing.assert_allclose(both.pool().integration_errors, both.integration_errors.mean(axis=0))
    both.save(tmp_path / "flow.npz")
    np.testing.assert_array_equal(cx.Spectrum.load(tmp_path / "flow.npz").standard_errors, both.standard_errors)


# -- zero --------------------------------------------------------------------------------------------------------------


def two_hopfs(z):
    return jnp.concatenate([hopf(z[:2]), 1.7 * hopf(z[2:])])


@pytest.mark.parametrize(
    "settings", [dict(dt=0.1), slow(dict(dt=2.0)), slow(dict(dt=0.2, substeps=4)), slow(dict(dt=0.5, rtol=1e-5))]
)
def test_the_dimension_of_a_limit_cycle(settings):
    flow = cx.Flow(hopf, **settings)
    for start in ([1.0, 0.0], [0.3, 0.1], [0.0, -1.2]):
        got = cx.lyapunov_spectrum(flow, start, steps=300, warmup=100)
        assert got.dimension == 1
        assert got.dimension_error < 1e-4
        assert "no exponent is positive beyond its error" in str(got)
        assert cx.forcing_interval(got) == np.inf


@pytest.mark.slow
def test_the_dimension_of_a_torus():
    got = cx.lyapunov_spectrum(cx.Flow(two_hopfs, 0.2), [1.0, 0.0, 0.3, 0.1], steps=300, warmup=100)
    np.testing.assert_allclose(got.exponents, [0, 0, -2, -3.4], atol=1e-6)
    assert got.dimension == 2
    assert got.dimension_error < 1e-4


def test_a_fixed_point_that_attracts_is_none():
    got = cx.lyapunov_spectrum(linear([[-0.01, 1.0], [-1.0, -0.01]]), [0.1, 0.1], steps=100, warmup=10)
    assert got.dimension == 0
    assert got.dimension_error < 1e-6
    assert "errors halve every 69.31 steps" in str(got)


def test_a_rotation_of_the_plane_by_a_map():
    def rotation(z):
        return jnp.stack([jnp.cos(1.0) * z[0] - jnp.sin(1.0) * z[1], jnp.sin(1.0) * z[0] + jnp.cos(1.0) * z[1]])

    got = cx.lyapunov_spectrum(rotation, [1.0, 0.0], steps=1000, warmup=10)
    assert got.dimension == 2
    assert got.dimension_error < 1e-12
    assert "no exponent is positive beyond its error" in str(got)


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([-1e-9, -2.0], 1),
        ([1e-9, -2.0], 1),
        ([-1e-9, -1e-9, -2.0, -2.0], 2),
        ([1e-9, -2e-9, -2.0], 2),
        ([-1e-9, -1.0, -np.inf], 1),
        ([0.9, -1e-9, -14.0], 2 + 0.9 / 14),
        ([-1e-9, -1e-3], 0),  # not small beside the largest
        ([0.0, 0.0], 2),
    ],
)
def test_small_exponents_are_zeros(exponents, dimension):
    assert kaplan_yorke(np.array(exponents), len(exponents)) == pytest.approx(dimension)


def test_a_jump_that_cannot_be_decided_is_the_error():
    def jump(exponents, perhaps, surely):
        number = len(exponents)
        return kaplan_yorke_jump(exponents, number, np.full(number, perhaps), np.full(number, surely))

    assert jump([-1e-4, -2.0], 1e-3, 1e-6) == 1
    assert jump([-1e-4, -2.0], 1e-3, 1e-3) == 0
    assert jump([-1e-4, 1e-4, -2.0], 1e-3, 1e-6) == 2
    assert jump([-1e-7, 1e-4, -2.0], 1e-3, 1e-6) == 1
    assert jump([-1e-2, -2.0], 1e-3, 1e-6) == 0
    # Where others are positive the dimension is continuous.
    assert jump([0.9, 1e-4, -14.0], 1e-3, 1e-6) < 1e-9
    # From a spectrum: noise around 0, of which 1000 steps do not tell the sign.
    noise = np.random.default_rng(0).normal(size=(1001, 1))
    cell = lambda z, s: jnp.exp(s) * z  # noqa: E731
    got = cx.lyapunov_spectrum(cell, [1e-200], noise - noise[1:].mean() - 0.01, steps=1000, warmup=1)
    assert got.dimension == 1
    assert got.dimension_error == 1
    assert cx.forcing_interval(got) == np.inf
