"""Metrics against loops in plain NumPy, closed forms, and what must hold of any series."""

import itertools
import math
import time

import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

import cyclax as cx
from cyclax import metrics
from cyclax.core.numerics import numerics
from cyclax.metrics import prediction

RNG = np.random.default_rng(7)
ORDINARY = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


def pairs():
    """Draw two series of the same columns, the first of which is nowhere constant."""

    def series(N, rows):
        return arrays.arrays(np.float64, st.tuples(rows, st.just(N)), elements=ORDINARY)

    def rising(pair):
        return pair[0] + 500.0 * np.arange(len(pair[0]))[:, None], pair[1] * 10

    rows = st.integers(2, 20)
    return st.integers(1, 3).flatmap(lambda N: st.tuples(series(N, rows), series(N, rows)).map(rising))


# -- state space -------------------------------------------------------------------------------------------------------


def plain_divergence(true, generated, bins, smoothing):
    """Give D_stsp by its definition, over every bin there is."""
    low, high = true.min(axis=0), true.max(axis=0)

    def probabilities(series):
        counts = np.zeros([bins] * true.shape[1])
        for point in series:
            if (point >= low).all() and (point <= high).all():
                counts[tuple(np.minimum(bins * ((point - low) / (high - low)), bins - 1).astype(int))] += 1
        return (counts + smoothing) / (len(series) + smoothing * counts.size)

    p, q = probabilities(true), probabilities(generated)
    return sum(p[k] * math.log(p[k] / q[k]) for k in itertools.product(range(bins), repeat=true.shape[1]))


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", [1e-5, 0.5])
def test_bins_by_loops(dimension, smoothing):
    rng = np.random.default_rng(dimension)
    true, generated = rng.normal(size=(300, dimension)), 0.8 * rng.normal(size=(170, dimension)) + 0.2
    for bins in (1, 2, 5):
        wanted = plain_divergence(true, generated, bins, smoothing)
        got = metrics.state_space_divergence(true, generated, method=metrics.Bins(bins, smoothing))
        assert got == pytest.approx(wanted, rel=1e-10)


@settings(max_examples=60)
@given(pair=pairs(), bins=st.integers(1, 4), smoothing=st.sampled_from([1e-5, 1.0]))
def test_bins_by_loops_of_any_series(pair, bins, smoothing):
    method = metrics.Bins(bins, smoothing)
    got = metrics.state_space_divergence(*pair, method=method)
    assert got == pytest.approx(plain_divergence(*pair, bins, smoothing), rel=1e-8, abs=1e-10)
    assert got >= -1e-12
    assert metrics.state_space_divergence(pair[0], pair[0], method=method) == 0
    # The order in time is nothing to it.
    assert metrics.state_space_divergence(pair[0][::-1], pair[1][::-1], method=method) == got


def test_bins_by_closed_forms():
    # Bins [0, 1/2) and [1/2, 1], with 1/4 and 3/4 of the true points, 1/2 and 1/2 of the generated ones.
    true, generated = np.array([0.0, 0.6, 0.7, 1.0]), np.array([0.1, 0.9])
    small = metrics.Bins(2, 1e-12)
    wanted = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert metrics.state_space_divergence(true, generated, method=small) == pytest.approx(wanted, abs=1e-9)
    # Half of the generated points lie outside: 1/4 and 1/4 are left.
    outside = np.array([0.1, 0.9, -5, 1.001])
    assert metrics.state_space_divergence(true, outside, method=small) == pytest.approx(wanted + math.log(2), abs=1e-9)
    # An edge between bins belongs to the upper one; the largest value to the last.
    assert metrics.state_space_divergence(true, [0, 0.5, 0.5, 1], method=small) == pytest.approx(0, abs=1e-12)
    # Nothing in common but smoothing.
    apart = metrics.state_space_divergence([0, 1.0], [0.3, 0.6], method=metrics.Bins(4, 1e-5))
    p, q = (1 + 1e-5) / (2 + 4e-5), 1e-5 / (2 + 4e-5)
    assert apart == pytest.approx(2 * p * math.log(p / q) + 2 * q * math.log(q / p), rel=1e-12)


def test_no_bin_is_lost():
    # One point in each of 30 bins; without any one of them, the first or the last, the divergence is the same.
    true = np.linspace(0, 1, 30)
    without = [metrics.state_space_divergence(true, np.delete(true, i)) for i in range(30)]
    np.testing.assert_allclose(without, without[7], rtol=1e-12)
    assert without[0] > 0.3
    corner = np.array([[0.0, 0], [1, 1], [1, 0.5]])
    assert metrics.state_space_divergence(corner, corner[1:]) > 3


def test_many_bins_and_points_take_no_memory_and_no_time():
    true, generated = RNG.normal(size=(2, 100_000, 5))
    began = time.process_time()
    value = metrics.state_space_divergence(true, generated)
    assert time.process_time() - began < 5
    assert 1 < value < 12
    # 24 million bins hold 243 counts by smoothing alone, of one point more than there are.
    bins = np.minimum(30 * ((true - true.min(0)) / np.ptp(true, axis=0)), 29).astype(int)
    counts = np.unique(bins, axis=0, return_counts=True)[1]
    here = int(np.sum((bins == bins[0]).all(axis=1)))
    p, q = (counts + 1e-5) / (1e5 + 243), 1e-5 / (1 + 243)
    p_here, p_empty = (here + 1e-5) / (1e5 + 243), 1e-5 / (1e5 + 243)
    wanted = np.sum(p * np.log(p / q)) - p_here * math.log((1 + 1e-5) / 1e-5)
    rest = (30**5 - len(counts)) * p_empty * math.log(p_empty / q)
    assert rest < -0.01
    assert metrics.state_space_divergence(true, true[:1]) == pytest.approx(wanted + rest, rel=1e-10)


def test_extreme_values():
    huge = np.array([-1.7e308, 0.1e308, 1.7e308])
    assert metrics.state_space_divergence(huge, huge) == 0
    assert metrics.state_space_divergence(huge / 1e308, huge[:2] / 1e308) == pytest.approx(
        metrics.state_space_divergence(huge, huge[:2]), rel=1e-12
    )
    far = metrics.state_space_divergence(RNG.normal(size=(9, 6)), np.full((3, 6), 1e300), key=0)
    assert np.isfinite(far)
    assert far > 1e100


def test_mixture_by_loops():
    rng = np.random.default_rng(1)
    true, generated = rng.normal(size=(1100, 2)) + 3, rng.normal(size=(40, 2)) + 3
    method = metrics.GaussianMixture(variance=0.3, samples=25)
    key_center, key_noise = jax.random.split(jax.random.key(4))
    with numerics():
        centers = np.asarray(jax.random.randint(key_center, (25,), 0, 1100))
        draws = true[centers] + np.sqrt(0.3) * np.asarray(jax.random.normal(key_noise, (25, 2), "float64"))
    total = 0.0
    for x in draws:
        p, q = (np.mean([np.exp(-np.sum((x - y) ** 2) / 0.6) for y in series]) for series in (true, generated))
        total += np.log(p / q)
    got = metrics.state_space_divergence(true, generated, method=method, key=jax.random.key(4))
    assert got == pytest.approx(total / 25, rel=1e-10)


def test_mixture_by_closed_forms():
    # One point each: two Gaussians, whose divergence is half the squared distance over the variance.
    true, generated = np.zeros((1, 8)), np.full((1, 8), 0.5)
    method = metrics.GaussianMixture(variance=2.0, samples=20_000)
    assert metrics.state_space_divergence(true, generated, method=method, key=0) == pytest.approx(0.5, abs=0.03)
    # Far apart, only the part within reach counts: half of the mass is at 0 against a quarter.
    true, generated = np.zeros((4, 6)), np.zeros((2, 6))
    true[:2] += 1000
    generated[:1] += 1000
    true[1], method = 0, metrics.GaussianMixture(samples=20_000)
    wanted = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert metrics.state_space_divergence(true, generated, method=method, key=0) == pytest.approx(wanted, abs=0.02)


def test_mixture_of_equal_series_is_0_and_the_key_decides():
    series, other = RNG.normal(size=(700, 7)), RNG.normal(size=(650, 7)) + 0.5
    assert metrics.state_space_divergence(series, series, key=0) == 0
    first, again, another = (metrics.state_space_divergence(series, other, key=key) for key in (1, 1, 2))
    assert first == again != another
    assert first == pytest.approx(another, rel=0.3)
    # From 6 dimensions on it is the default, below bins are.
    assert metrics.state_space_divergence(series, other, method=metrics.GaussianMixture(), key=1) == first
    assert metrics.state_space_divergence(series[:, :5], other[:, :5]) == metrics.state_space_divergence(
        series[:, :5], other[:, :5], method=metrics.Bins(30, 1e-5)
    )


# -- power spectrum ----------------------------------------------------------------------------------------------------


def plain_spectrum(series, sigma):
    """Give the spectrum of one column by the definition of each of its steps."""
    T = len(series)
    x = series - series.mean()
    power = [abs(sum(x[t] * np.exp(-2j * np.pi * f * t / T) for t in range(T))) ** 2 for f in range(T // 2 + 1)]
    F = len(power)
    # Mirrored at both ends: .. 1 0 | 0 1 2 .. F-1 | F-1 F-2 ..
    reach = int(4 * sigma + 0.5)
    smooth = np.zeros(F)
    for f in range(F):
        for shift in range(-reach, reach + 1):
            index = (f + shift) % (2 * F)
            smooth[f] += math.exp(-(shift**2) / (2 * sigma**2)) * power[min(index, 2 * F - 1 - index)]
    return smooth / smooth.sum()


@pytest.mark.parametrize("length", [40, 41])
def test_spectrum_by_loops(length):
    rng = np.random.default_rng(0)
    true, generated = np.cumsum(rng.normal(size=(2, length, 2)), axis=1) + np.array([5, -3])
    distances = []
    for x, y in zip(true.T, generated.T, strict=True):
        p, q = plain_spectrum(x, 3.0), plain_spectrum(y, 3.0)
        distances.append(math.sqrt(1 - sum(np.sqrt(p * q))))
    assert metrics.hellinger_distance(true, generated, sigma=3.0) == pytest.approx(np.mean(distances), rel=1e-9)
    np.testing.assert_allclose(
        metrics.power_spectrum(true, sigma=3.0)[:, 1], plain_spectrum(true[:, 1], 3.0), atol=1e-12
    )
    # Kernels that are longer than the spectrum.
    np.testing.assert_allclose(metrics.power_spectrum(true)[:, 0], plain_spectrum(true[:, 0], 20.0), atol=1e-12)


def test_smoothing_by_scipy():
    series = RNG.normal(size=1001)
    power = np.abs(np.fft.rfft(series - series.mean())) ** 2
    wanted = gaussian_filter1d(power, 20.0)
    np.testing.assert_allclose(metrics.power_spectrum(series)[:, 0], wanted / wanted.sum(), rtol=1e-10)


def test_hellinger_by_closed_forms():
    t = np.arange(1000)[:, None]
    slow, fast = (np.sin(2 * np.pi * f * t / 1000 + phase) for f, phase in ((7, 0.3), (200, 1)))
    # Raw spectra of two lines: their power is the squared amplitude.
    distance = metrics.hellinger_distance(3 * slow + 4 * fast, slow + fast, sigma=0)
    assert distance == pytest.approx(math.sqrt(1 - math.sqrt(0.36 * 0.5) - math.sqrt(0.64 * 0.5)), rel=1e-9)
    assert metrics.hellinger_distance(slow, fast, sigma=2) == pytest.approx(1, abs=1e-9)
    # Two lines smoothed are two Gaussians: 1 - exp(-distance^2 / (8 sigma^2)).
    near = np.sin(2 * np.pi * 210 * t / 1000)
    distance = metrics.hellinger_distance(fast, near, sigma=10)
    assert distance == pytest.approx(math.sqrt(1 - math.exp(-(10**2) / 800)), abs=1e-3)
    # Neither phase, nor scale, nor mean counts.
    assert metrics.hellinger_distance(slow, 5 * np.roll(slow, 11) - 1e3) == pytest.approx(0, abs=1e-6)
    # Averaged over columns.
    both = metrics.hellinger_distance(np.hstack([slow, slow]), np.hstack([slow, fast]), sigma=2)
    assert both == pytest.approx(0.5, abs=1e-6)


def test_lengths_and_columns_at_rest():
    series = np.cumsum(RNG.normal(size=(3000, 2)), axis=0)
    assert metrics.hellinger_distance(series, series[:1700]) == 0
    assert metrics.hellinger_distance(series[:1700], series) == 0
    still = series.copy()
    still[:, 1] = 0.1
    assert metrics.hellinger_distance(series, still) == 0.5
    assert metrics.hellinger_distance(series, np.zeros_like(series)) == 1
    huge = series / np.max(np.abs(series)) * 1.7e308
    assert metrics.hellinger_distance(huge, series) == pytest.approx(0, abs=1e-6)
    # Lengths that are prime are no slower.
    began = time.process_time()
    metrics.hellinger_distance(*RNG.normal(size=(2, 99_991, 3)))
    assert time.process_time() - began < 5


@given(pair=pairs(), sigma=st.sampled_from([0, 0.1, 1.0, 20.0]))
def test_hellinger_of_any_series(pair, sigma):
    true, generated = pair
    distance = metrics.hellinger_distance(true, generated, sigma=sigma)
    assert 0 <= distance <= 1
    assert metrics.hellinger_distance(true, true, sigma=sigma) == 0
    spectrum = metrics.power_spectrum(true, sigma=sigma)
    assert spectrum.shape == (len(true) // 2 + 1, true.shape[1])
    np.testing.assert_allclose(spectrum.sum(axis=0), 1)


# -- prediction --------------------------------------------------------------------------------------------------------


def test_prediction_by_loops():
    model = cx.PLRNN(A=[0.5, -0.9], W=[[0.1, 0.7], [-0.6, 0.2]], h=[0.3, -0.1])
    series = RNG.normal(size=(23, 2))
    wanted = np.zeros(4)
    for start in range(19):
        z = series[start]
        for n in range(4):
            z = np.array([0.5, -0.9]) * z + np.array([[0.1, 0.7], [-0.6, 0.2]]) @ np.maximum(z, 0) + [0.3, -0.1]
            wanted[n] += np.sum((z - series[start + n + 1]) ** 2)
    np.testing.assert_allclose(metrics.prediction_error(model, series, 4), wanted / (19 * 2), rtol=1e-12)
    orbit = cx.simulate(model, np.array([0.4, 0.2]), 30)
    np.testing.assert_allclose(metrics.prediction_error(model, orbit, 10), 0, atol=1e-28)


@pytest.mark.parametrize("starts", [1, prediction._LANES, 2 * prediction._LANES + 3])
def test_prediction_by_closed_form_over_chunks(starts):
    # The series halves, the model thirds: (2^-n - 3^-n)^2 x^2.
    series = np.ones(starts + 3)
    series[1:] = 0.5
    series = np.cumprod(series) if starts < 9 else RNG.normal(size=starts + 3)
    wanted = [np.mean((series[n : n + starts] - 3.0**-n * series[:starts]) ** 2) for n in (1, 2, 3)]
    np.testing.assert_allclose(metrics.prediction_error(lambda z: z / 3, series, 3), wanted, rtol=1e-12)


def test_prediction_through_an_observation():
    # A rotation by a right angle, of which the first coordinate's triple is seen, and a state that is a pair.
    series = 3 * np.cos(np.pi / 2 * np.arange(9))[:, None] + np.arange(9)[:, None] * 0
    errors = metrics.prediction_error(
        lambda state: (-state[1], state[0]),
        series,
        3,
        encode=lambda x: (x / 3, 0 * x),
        decode=lambda state: 3 * state[0],
    )
    # Where x = +-3 it is right; where x = 0 (every second start, of 6), the state is taken for 0.
    np.testing.assert_allclose(errors, [0.5 * 9, 0, 0.5 * 9], atol=1e-12)


def test_predictions_that_diverge_and_float32_weights():
    errors = metrics.prediction_error(lambda z: z**3, [1e30, 1, 1, 1, 1, 1], 4)
    assert errors[-1] == np.inf
    weights = jnp.full((), 0.5, "float32")
    assert metrics.prediction_error(lambda z: weights * z, [4.0, 2, 1, 0.5], 2).tolist() == [0, 0]


# -- refusals ----------------------------------------------------------------------------------------------------------

GOOD = np.random.default_rng(0).normal(size=(30, 2))
BAD = GOOD.copy()
BAD[4, 1] = np.inf
D, H, P = metrics.state_space_divergence, metrics.hellinger_distance, metrics.prediction_error
WIDE = np.random.default_rng(0).normal(size=(5, 6))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: D(BAD, GOOD), ValueError, "true: inf in row 4, column 1 (counted from 0)"),
        (lambda: D(GOOD, BAD), ValueError, "generated: inf in row 4, column 1 (counted from 0)"),
        (
            lambda: D(GOOD, GOOD[:, :1]),
            ValueError,
            "generated: it has 1 columns and true has 2; the shapes are (30, 1)",
        ),
        (lambda: D(GOOD[:0], GOOD), ValueError, "true: 1 rows or more are needed, but it has 0"),
        (lambda: D(GOOD, GOOD[None]), ValueError, "generated: expected shape (T, N), time first, or (T,), got (1, 30"),
        (lambda: D(GOOD, "abc"), TypeError, "generated: expected real numbers"),
        (
            lambda: D(GOOD * [1, 0], GOOD),
            ValueError,
            "true: column 1 (counted from 0) holds one value only, 0, which leaves no range for bins. "
            "Leave it out of both series: numpy.delete(series, [1], axis=1)",
        ),
        (lambda: D(GOOD, GOOD, method="bins"), TypeError, "method: expected Bins() or GaussianMixture(), got 'bins'"),
        (
            lambda: D(np.ones((3, 13)), np.ones((3, 13)), method=metrics.Bins()),
            ValueError,
            "method: 30 bins for each of 13 dimensions are more than 2^62 in all; take fewer, or GaussianMixture()",
        ),
        (lambda: D(WIDE, WIDE), ValueError, "key: the mixture draws samples; give a JAX random key or an int seed"),
        (lambda: D(WIDE, WIDE, key="x"), TypeError, "key: expected a JAX random key or an int seed, got 'x'"),
        (lambda: metrics.Bins(0), ValueError, "Bins.number: expected a positive int, got 0"),
        (
            lambda: metrics.Bins(smoothing=0),
            ValueError,
            "Bins.smoothing: expected counts added to each bin, a positive",
        ),
        (lambda: metrics.GaussianMixture(variance=-1), ValueError, "GaussianMixture.variance: expected that of the"),
        (
            lambda: metrics.GaussianMixture(samples=0),
            ValueError,
            "GaussianMixture.samples: expected a positive int, got 0",
        ),
        (lambda: H(BAD, GOOD), ValueError, "true: inf in row 4, column 1"),
        (lambda: H(GOOD[:1], GOOD), ValueError, "true: 2 rows or more are needed, but it has 1"),
        (
            lambda: H(GOOD * [1, 0] + 0.1, GOOD),
            ValueError,
            "true: column 1 (counted from 0) holds one value only, which has no spectrum",
        ),
        (lambda: H(GOOD, GOOD, sigma=-1), ValueError, "sigma: expected the width of the Gaussian in frequencies, a nu"),
        (
            lambda: metrics.power_spectrum(GOOD * 0),
            ValueError,
            "series: column 0 (counted from 0) holds one value only",
        ),
        (lambda: P(lambda z: z, BAD, 1), ValueError, "series: inf in row 4, column 1"),
        (lambda: P(lambda z: z, GOOD, 0), ValueError, "steps: expected a positive int, got 0"),
        (
            lambda: P(lambda z: z, GOOD, 30),
            ValueError,
            "series: its 30 rows are too short for forecasts 30 steps ahead, which take 31",
        ),
        (lambda: P(3, GOOD, 1), TypeError, "model: expected a map or a function of one state, got 3"),
        (lambda: P(lambda z: z, GOOD, 1, encode=3), TypeError, "encode: expected a map or a function of one state"),
        (
            lambda: P(cx.TentMap(1.9), GOOD[:, :1] * [1, 1, 1], 1),
            ValueError,
            "model: it fails on a row of shape (3,) (ValueError: it has 1 states, and is given (3,)). Where states are",
        ),
        (lambda: P(lambda z: z[:1], GOOD, 1), ValueError, "model: it maps a state of shape (2,) to one of shape (1,)"),
        (
            lambda: P(lambda z: z, GOOD, 1, encode=lambda x: jnp.append(x, 0)),
            ValueError,
            "model: its forecast has shape (3,), and a row of the series (2,). Where states are not observed as they",
        ),
        (
            lambda: P(cx.PLRNN(A=[0.5] * 3, W=np.eye(3), h=np.ones(3)), GOOD, 1),
            (TypeError, ValueError),
            "Where states are not observed as they are, give encode and decode",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
