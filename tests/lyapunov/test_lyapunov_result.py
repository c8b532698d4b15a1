"""The result: what it says, what follows from it, files, pictures and the command line."""

import json

import numpy as np
import pytest
from benchmarks.validation.exponents import henon
from matplotlib.figure import Figure

import cyclax as cx
from cyclax import cli, plot
from cyclax.lyapunov.statistics import Bins, kaplan_yorke, kaplan_yorke_gradient, quantile_of_t, standard_errors


@pytest.fixture(scope="module")
def spectrum() -> cx.Spectrum:
    return cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=20_000, warmup=100, birkhoff=True)


@pytest.fixture(scope="module")
def batch() -> cx.Spectrum:
    z0 = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 2))
    return cx.lyapunov_spectrum(henon, z0, steps=1000, warmup=100, in_axes=(None, 0, None))


# -- statistics --------------------------------------------------------------------------------------------------------


def test_bins_merge_and_lose_nothing():
    series = np.random.default_rng(0).normal(size=(1237, 2, 3))
    for sizes in ([1237], [1, 2, 3, 500, 731], [10] * 123 + [7]):
        bins = Bins(64, (2, 3))
        for part in np.split(series, np.cumsum(sizes)[:-1]):
            bins.add(part)
        assert bins.length == 32
        np.testing.assert_allclose(bins.mean, np.mean(series, axis=0), rtol=0, atol=1e-15)
        full = series[: len(bins.means) * 32].reshape(-1, 32, 2, 3)
        np.testing.assert_allclose(bins.means, np.mean(full, axis=1), rtol=0, atol=1e-15)


def test_standard_errors_of_independent_and_of_correlated_numbers():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4096, 500))
    np.testing.assert_allclose(np.sqrt(np.mean(standard_errors(noise) ** 2)), 1 / 64, rtol=0.03)
    # AR(1): the mean is (1 + r) / (1 - r) times as uncertain, in variance.
    series, r = np.zeros((4096, 500)), 0.8
    for t in range(1, 4096):
        series[t] = r * series[t - 1] + noise[t]
    np.testing.assert_allclose(np.sqrt(np.mean(standard_errors(series) ** 2)), 1 / 64 / (1 - r), rtol=0.05)
    # Fluctuations that cancel: only the two ends are left. Block means alone would be too large by sqrt(32).
    walk = rng.normal(size=(4097, 500))
    truth = np.std((walk[-1] - walk[0]) / 4096)
    ratio = np.sqrt(np.mean(standard_errors(np.diff(walk, axis=0)) ** 2)) / truth
    assert 1 < ratio < 2


def test_quantiles_of_t():
    from scipy.stats import t

    for degrees in (7, 15, 31, 100):
        assert abs(quantile_of_t(degrees) - t.ppf(0.975, degrees)) < 0.002


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.9056, 0.0, -14.5723], 2 + 0.9056 / 14.5723),
        ([0.5, -1.0], 1.5),
        ([-0.1, -0.2], 0.0),
        ([0.0, -0.2], 1.0),
        ([0.3, 0.2, -0.1], 3.0),
        ([0.4, -np.inf], 1.0),
        ([-np.inf, -np.inf], 0.0),
        ([np.nan, np.nan], np.nan),
    ],
)
def test_kaplan_yorke(exponents, dimension):
    np.testing.assert_allclose(kaplan_yorke(exponents, len(exponents)), dimension)
    assert np.isnan(kaplan_yorke([0.5, 0.1], 5))


def test_gradient_of_the_dimension():
    for exponents in ([0.9, 0.1, -0.4, -3.0], [0.5, -1.0, -2.0], [-0.1, -0.2]):
        exponents = np.array(exponents)
        steps = 1e-6 * np.eye(len(exponents))
        number = len(exponents)
        slope = (kaplan_yorke(exponents + steps, number) - kaplan_yorke(exponents - steps, number)) / 2e-6
        np.testing.assert_allclose(kaplan_yorke_gradient(exponents, number), slope, rtol=1e-6, atol=1e-9)


def test_dimension_error_is_the_scatter(batch):
    ratio = np.sqrt(np.mean(batch.dimension_error**2)) / np.std(batch.dimension, ddof=1)
    assert 0.6 < ratio < 1.6


# -- the result --------------------------------------------------------------------------------------------------------


def test_the_parts_agree(spectrum):
    assert np.all(np.diff(spectrum.exponents) < 0)
    np.testing.assert_allclose(spectrum.running[-1], np.mean(spectrum.finite_time, axis=0), atol=1e-12)
    assert spectrum.running_steps[-1] <= spectrum.steps
    assert len(spectrum.running_steps) == len(spectrum.running) == len(spectrum.finite_time)
    np.testing.assert_allclose(spectrum.running[-1], spectrum.exponents, atol=1e-3)
    low, high = spectrum.intervals.T
    assert np.all((low < spectrum.exponents) & (spectrum.exponents < high))
    np.testing.assert_allclose(spectrum.weighted_exponents, spectrum.exponents, atol=0.05)


def test_exponents_per_unit_of_time(spectrum):
    timed = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=20_000, warmup=100, dt=0.25)
    np.testing.assert_allclose(timed.exponents, 4 * spectrum.exponents, rtol=1e-12)
    np.testing.assert_allclose(timed.standard_errors, 4 * spectrum.standard_errors, rtol=1e-9)
    assert "nats per unit of time" in str(timed)
    np.testing.assert_allclose(cx.forcing_interval(timed), cx.forcing_interval(spectrum), rtol=1e-12)


def test_forcing_interval(spectrum):
    assert cx.forcing_interval(np.log(2)) == 1
    np.testing.assert_allclose(cx.forcing_interval(0.1), 6.931471805599453, rtol=1e-15)
    assert cx.forcing_interval(0.0) == cx.forcing_interval(-1.0) == np.inf
    assert cx.forcing_interval(spectrum) == np.log(2) / spectrum.exponents[0]
    for value in ("0.1", None, np.array([0.1, 0.2])):
        with pytest.raises(TypeError, match="largest_exponent: expected a number, in nats per step, or the Spectrum"):
            cx.forcing_interval(value)


def test_print_tells_the_story(spectrum, batch):
    lines = str(spectrum).splitlines()
    assert lines[0] == "Lyapunov spectrum of henon: 2 of 2 exponents, nats per step"
    assert lines[1].startswith("     1  +0.4")
    assert "Kaplan-Yorke dimension 1.2" in lines[3]
    assert "errors double every 1.6" in lines[3]
    assert lines[4].startswith("20000 steps after 100 of warm-up; ")
    assert "for each of 20 orbits" in str(batch)
    assert ".. and 8 more; .pool() averages them" in str(batch)
    assert repr(batch) == "Spectrum(20 orbits, 2 of 2 exponents)"
    assert repr(spectrum).startswith("Spectrum([ 0.4")
    assert "<table>" in spectrum._repr_html_()
    stable = cx.lyapunov_spectrum(cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0]), [1.0], steps=100, warmup=10)
    assert "errors halve every 1 steps" in str(stable)


def test_a_batch_is_indexed_and_pooled(batch):
    with pytest.raises(IndexError, match="orbit 20 of 20"):
        batch[20]
    with pytest.raises(TypeError, match="the number of an orbit: expected an int, got slice"):
        batch[0:2]
    with pytest.raises(TypeError, match="one spectrum has no entries"):
        batch[0][0]
    with pytest.raises(TypeError, match="one spectrum has no length"):
        len(batch[0])
    pooled = batch.pool()
    np.testing.assert_allclose(pooled.exponents, np.mean(batch.means, axis=0))
    scatter = np.std(batch.means, axis=0, ddof=1) / np.sqrt(20)
    assert np.all((pooled.standard_errors > 0.5 * scatter) & (pooled.standard_errors < 2 * scatter))
    assert "mean of 20 orbits" in str(pooled)


def test_orbits_with_shared_inputs_are_not_taken_for_independent():
    cell = cx.TanhCell(np.array([[0.5]]), np.array([[1.0]]), np.zeros(1))
    s = np.random.default_rng(0).normal(size=(2100, 1))
    got = cx.lyapunov_spectrum(cell, np.zeros((40, 1)), s, steps=2000, warmup=100, in_axes=(None, 0, None))
    np.testing.assert_allclose(got.pool().standard_errors, got[0].standard_errors, rtol=1e-9)


def test_save_and_load(spectrum, batch, tmp_path):
    for one in (spectrum, batch):
        one.save(tmp_path / "spectrum.npz")
        again = cx.Spectrum.load(tmp_path / "spectrum.npz")
        np.testing.assert_array_equal(again.means, one.means)
        np.testing.assert_array_equal(again.standard_errors, one.standard_errors)
        assert str(again) == str(one)
    with pytest.raises(ValueError, match=r"spectra are written to \.npz files"):
        spectrum.save(tmp_path / "spectrum.json")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match=r"this is not a file written by Spectrum\.save"):
        cx.Spectrum.load(tmp_path / "other.npz")


def test_json_has_null_for_what_is_no_number(batch):
    diverging = cx.lyapunov_spectrum(henon, [[0.1, 0.1], [3, 0]], steps=100, warmup=1, in_axes=(None, 0, None))
    content = json.loads(json.dumps(diverging.to_dict(), allow_nan=False))
    assert content["exponents"][1] == [None, None]
    assert content["steps"] == 100


# -- pictures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def test_picture_of_a_spectrum(spectrum, ax):
    assert plot.spectrum(spectrum, ax) is ax
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(text.startswith("Kaplan-Yorke dimension 1.2") for text in texts)
    assert {"positive", "negative or 0"} <= set(texts)
    drawn = np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() in "so"])
    np.testing.assert_array_equal(drawn[np.argsort(drawn[:, 0]), 1], spectrum.exponents)
    assert ax.get_ylabel() == "Lyapunov exponent (nats per step)"


def test_picture_of_a_batch(batch, ax):
    plot.spectrum(batch, ax)
    assert len(ax.collections[0].get_segments()) == 20
    medians = next(line for line in ax.lines if line.get_label() == "median")
    np.testing.assert_array_equal(medians.get_ydata(), np.median(batch.exponents, axis=0))


def test_picture_of_the_running_estimate(spectrum, batch, ax):
    plot.running_exponents(spectrum, ax)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), spectrum.running[:, 1])
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    with pytest.raises(ValueError, match="a batch has no single running estimate"):
        plot.running_exponents(batch, ax)
    with pytest.raises(TypeError, match=r"plot\.spectrum: result must be what lyapunov_spectrum returns"):
        plot.spectrum([0.1], ax)


# -- command line ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lozi(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("networks") / "lozi.json"
    cx.save(path, cx.LoziMap(1.7, 0.5))
    return str(path)


def test_command(lozi, capsys, tmp_path):
    words = ["lyapunov", lozi, "--steps", "5000", "--warmup", "100", "--seed", "1"]
    picture, file = tmp_path / "spectrum.png", tmp_path / "spectrum.npz"
    assert cli.main([*words, "--plot", str(picture), "--save", str(file)]) == 0
    out, err = capsys.readouterr()
    state = np.random.default_rng(1).normal(size=2)
    expected = cx.lyapunov_spectrum(cx.LoziMap(1.7, 0.5), state, steps=5000, warmup=100)
    assert out == f"{expected}\n"
    assert err == f"wrote {file}\nwrote {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    np.testing.assert_array_equal(cx.Spectrum.load(file).means, expected.means)


def test_command_json(lozi, capsys):
    words = ["--steps", "1000", "--warmup", "100", "--seed", "1", "--starts", "3", "--exponents", "1", "--json"]
    assert cli.main(["lyapunov", lozi, *words]) == 0
    content = json.loads(capsys.readouterr().out)
    assert np.shape(content["exponents"]) == (3, 1)
    assert {"standard_errors", "dimension", "converged", "model", "seconds", "version"} <= set(content)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "argument --steps: expected a positive int, got 0"),
        (["--exponents", "3"], "--exponents: 3 of a network of 2 states"),
        (["--starts", "0"], "argument --starts: expected a positive int, got 0"),
        (["--seed", "-1"], "argument --seed: expected an int, 0 or more, got -1"),
        (["--plot", "a.bmp"], "--plot: a.bmp must end in .pdf or .png or .svg"),
    ],
)
def test_command_refuses(words, message, lozi, capsys):
    assert cli.main(["lyapunov", lozi, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cyclax: error: ")
    assert message in err


def test_command_says_when_the_orbit_diverges(tmp_path, capsys):
    path = tmp_path / "expanding.json"
    cx.save(path, cx.PLRNN(A=[2.0], W=[[0.0]], h=[1.0]))
    assert cli.main(["lyapunov", str(path)]) == 2
    err = capsys.readouterr().err
    assert "the orbit diverged to infinity or NaN. Start elsewhere" in err
    assert err.endswith("(try another --seed, or --starts 20)\n")
