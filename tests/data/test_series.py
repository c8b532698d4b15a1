"""Series read, standardized, embedded, cut and made noisy; every refusal in its words."""

import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cyclax import data

SERIES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 30), st.integers(1, 4)),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False),
)


def csv_file(tmp_path, text):
    path = tmp_path / "series.csv"
    path.write_text(text)
    return path


def test_npy(tmp_path):
    series = np.random.default_rng(0).normal(size=(7, 3))
    np.save(tmp_path / "a.npy", series)
    np.testing.assert_array_equal(data.load_series(tmp_path / "a.npy"), series)
    np.testing.assert_array_equal(data.load_series(str(tmp_path / "a.npy"), columns=[2, 0]), series[:, [2, 0]])
    np.save(tmp_path / "b.npy", series[:, 0].astype(np.float32))
    loaded = data.load_series(tmp_path / "b.npy")
    assert loaded.shape == (7, 1)
    assert loaded.dtype == np.float64
    np.save(tmp_path / "c.npy", np.arange(4))
    np.testing.assert_array_equal(data.load_series(tmp_path / "c.npy"), [[0.0], [1], [2], [3]])


def test_csv(tmp_path):
    wanted = [[1, -2.5], [3e-3, 4]]
    for text in (
        "1,-2.5\n3e-3,4\n",
        "x,y\n1,-2.5\n3e-3,4\n",
        '\ufeff"x", "y, in m"\r\n1, -2.5\r\n\r\n3e-3,4',
        "# made by hand\n1,-2.5\n3e-3,4 # end\n\n",
    ):
        np.testing.assert_array_equal(data.load_series(csv_file(tmp_path, text)), wanted)
    np.testing.assert_array_equal(data.load_series(csv_file(tmp_path, "1;-2.5\n3e-3;4"), delimiter=";"), wanted)
    assert data.load_series(csv_file(tmp_path, "1\n2\n3")).shape == (3, 1)
    assert data.load_series(csv_file(tmp_path, "1,2,3")).shape == (1, 3)
    path = csv_file(tmp_path, "time,x,y\n0,1,nan\n1,3,5\n")
    np.testing.assert_array_equal(data.load_series(path, columns=["x", "time"]), [[1, 0], [3, 1]])
    np.testing.assert_array_equal(data.load_series(path, columns=[1]), [[1], [3]])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("0,1,2\n0.5,0.6,0.7\n0.1,0.2,0.3\n", 2),
        ("0,1,2\n5,6,7\n", 1),
        ("0.0,1.0\n5,6\n", 1),
        ("0\n0.5\n0.25\n", 2),
        ("1,2,3\n0.5,0.6,0.7\n", 1),
        ("10,11\n0.5,1e3\n", 1),
    ],
)
def test_a_header_of_numbers_is_asked_for(tmp_path, text, rows):
    path = csv_file(tmp_path, text)
    with pytest.raises(ValueError, match=r"series.csv: its first row, .*may be a header.*header=True or header=False"):
        data.load_series(path)
    whole = data.load_series(path, header=False)
    np.testing.assert_array_equal(data.load_series(path, header=True), whole[1:])
    assert len(whole) == rows + 1
    name = text.split("\n")[0].split(",")[-1]
    np.testing.assert_array_equal(data.load_series(path, header=True, columns=[name]), whole[1:, -1:])


@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "0\n1\n2\n", "0,2\n0.5,0.6", "1,0\n0.5,0.5", "0.00,1.00\n1,2", "0,1", "1,2,3"]
)
def test_rows_that_are_no_header_are_read(tmp_path, text):
    wanted = [[float(entry) for entry in line.split(",")] for line in text.split()]
    np.testing.assert_array_equal(data.load_series(csv_file(tmp_path, text)), wanted)


@settings(max_examples=30)
@given(series=SERIES)
def test_files_give_back_what_was_written(tmp_path_factory, series):
    folder = tmp_path_factory.mktemp("series")
    np.savetxt(folder / "a.csv", series, delimiter=",", fmt="%.17g")
    # Whole numbers that count on may be a header: that would be asked.
    np.testing.assert_array_equal(data.load_series(folder / "a.csv", header=False), series)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "series.csv: the file is empty"),
        ("# x\n\n", {}, "series.csv: the file is empty"),
        ("x,y\n", {}, "series.csv: there is a header, but no row of numbers below it"),
        ("1,2\n3\n", {}, "series.csv: line 2 has 1 entries, and the first row 2; delimiter is ','"),
        ("x,y\n1,2\n\n3,\n", {}, "series.csv: line 4, column 1 (counted from 0) is empty"),
        ("1,2\n3,four\n", {}, "series.csv: line 2, column 1 (counted from 0): 'four' is not a number"),
        ("x,y\n1,2\n3,nan\n", {}, "series.csv: nan in row 1, column 1 (counted from 0). Cut the series there"),
        ("1,inf\n3,nan\n", {}, "series.csv: inf in row 0, column 1, the first of 2 (counted from 0)"),
        ('1,2\n"3","4"\n', {}, 'series.csv: line 2 has numbers in quotes: "3","4". Write them without.'),
        ("x,y\n1,2\n1_000,2\n", {}, "series.csv: line 3, column 0 (counted from 0): '1_000' is not a number"),
        (
            "1,\u0662\n",
            {},
            "line 1, column 1 (counted from 0): '\u0662' is not a number. If this is a header, say header=True",
        ),
        (
            ",0,1\n0,0.5,0.6\n",
            {},
            "line 1, column 0 (counted from 0) is empty. Fill the gap, or cut the series, or say header",
        ),
        ("V1,V2\n1,0.5,0.6\n", {}, "series.csv: the header has 2 entries, and the rows 3"),
        ("x,x\n1,2\n", {"columns": ["x"]}, "several columns are called 'x'; give their numbers, from 0"),
        ("1,2\n", {"header": True}, "there is a header, but no row of numbers below it"),
        ("x,y\n1,2\n", {"header": False}, "line 1, column 0 (counted from 0): 'x' is not a number"),
        ("1,2\n" + "x" * 200_000 + ",1\n", {}, "series.csv: line 2 has 1 entries"),
        ("x,y\n1,2\n", {"columns": ["z"]}, "there is no column 'z'; its header has ['x', 'y']"),
        ("1,2\n", {"columns": ["z"]}, "there is no column 'z'; it has no header; give numbers from 0"),
        ("1,2\n", {"columns": [2]}, "there is no column 2; it has 2, counted from 0"),
        ("1,2\n", {"columns": [-1]}, "columns: expected an int, 0 or more, got -1"),
        ("1,2\n", {"columns": "x"}, "columns: expected a sequence of numbers or names, such as [0, 2], got 'x'"),
        ("1,2\n", {"columns": []}, "columns: expected a sequence of numbers or names"),
        ("1,2\n3,nan\n", {"columns": [1]}, "series.csv, columns [1]: nan in row 1, column 0"),
    ],
)
def test_messages_of_csv(tmp_path, text, options, message):
    with pytest.raises(ValueError) as caught:
        data.load_series(csv_file(tmp_path, text), **options)
    assert message in str(caught.value)


def test_csv_in_another_encoding(tmp_path):
    (tmp_path / "series.csv").write_bytes("µV,x\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"series.csv: this is not text in UTF-8"):
        data.load_series(tmp_path / "series.csv")


def test_masked_series_are_refused():
    for series in (np.ma.masked_less([[1.0, 2.0], [3.0, 4.0]], 1.5), [np.ma.masked_less([1.0, 2.0], 1.5)]):
        with pytest.raises(ValueError, match=r"series: it has masked entries \(first at \[0, 0\]\)"):
            data.standardize(series)
    assert data.delay_embedding(np.ma.masked_less([1.0, 2.0], 0), 1, 1).tolist() == [[1], [2]]


def test_sparse_series_are_told_what_to_be():
    with pytest.raises(ValueError, match=r"series: it is sparse \(csr_matrix\): give the dense array"):
        data.standardize(csr_matrix(np.eye(3)))


def test_messages_of_npy(tmp_path):
    for array, options, message in (
        (np.ones((2, 3, 4)), {}, "expected shape (T, N), time first, or (T,), got (2, 3, 4). For several series, take"),
        (np.ones((2, 3, 4)), {"columns": [0]}, "expected shape (T, N), time first, or (T,), got (2, 3, 4)"),
        (np.ones(()), {}, "expected shape (T, N), time first, or (T,), got ()"),
        (np.ones((2, 0)), {}, "got (2, 0)"),
        (np.ones((0, 2)), {}, "1 rows or more are needed, but it has 0, in shape (0, 2)"),
        (np.array(["a"]), {}, "expected real numbers, got an array of <U1"),
        (np.ones(3) * 1j, {}, "expected real numbers, got an array of complex128"),
        (np.array([{}]), {}, "this is not a readable .npy file (Object arrays cannot be loaded"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError) as caught:
            data.load_series(tmp_path / "a.npy", **options)
        assert f"a.npy: {message}" in str(caught.value) or message in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    np.save(tmp_path / "a.npy", np.ones((9, 9)))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"is not a readable \.npy file .* is the file complete"):
        data.load_series(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", x=np.ones(3))
    (tmp_path / "c.npz").rename(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"this is an archive of \['x'\]; save one array with numpy.save"):
        data.load_series(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"series are read from \.npy and \.csv files"):
        data.load_series(tmp_path / "c.npz")
    with pytest.raises(FileNotFoundError):
        data.load_series(tmp_path / "d.npy")


def test_standardize():
    series = np.array([[1.0, 10], [3, 10], [5, 40]])
    standardized, transform = data.standardize(series)
    np.testing.assert_allclose(standardized[:, 0], np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-15)
    np.testing.assert_allclose(transform.mean, [3, 20])
    np.testing.assert_allclose(transform.deviation, [np.sqrt(8 / 3), np.sqrt(200)])
    np.testing.assert_allclose(transform.undo(standardized), series, rtol=1e-14)
    np.testing.assert_allclose(transform.apply(series[1]), standardized[1])
    # Of a JAX array, the dtype stays.
    assert transform.undo(jnp.ones((2, 3, 2), "float32")).dtype == np.float32
    assert isinstance(transform.apply(jnp.ones(2)), jax.Array)


@given(series=SERIES)
def test_standardized_columns_have_mean_0_and_deviation_1(series):
    # Wide columns, so that rounding stays small beside the deviation.
    series = series + np.linspace(0, 1e7, len(series))[:, None]
    standardized, transform = data.standardize(series)
    np.testing.assert_allclose(np.mean(standardized, axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.std(standardized, axis=0), 1, rtol=1e-10)
    undone = transform.undo(standardized)
    with np.errstate(under="ignore"):  # in the comparison
        np.testing.assert_allclose(undone, series, rtol=1e-12, atol=1e-6)


def test_delay_embedding_by_loops():
    series = np.random.default_rng(0).normal(size=(11, 2))
    for dimension, delay in ((1, 1), (3, 1), (3, 4), (2, 10), (1, 99)):
        embedded = data.delay_embedding(series, dimension, delay)
        assert len(embedded) == 11 - (dimension - 1) * delay
        for t, row in enumerate(embedded):
            assert row.tolist() == [x for i in range(dimension) for x in series[t + i * delay]]
    np.testing.assert_array_equal(data.delay_embedding([1, 2, 3], 2, 1), [[1, 2], [2, 3]])


@given(series=SERIES, length=st.integers(1, 30))
def test_windows_by_loops(series, length):
    if length > len(series):
        with pytest.raises(ValueError, match=f"its {len(series)} rows are too short for a window of {length}"):
            data.windows(series, length)
        return
    cut = data.windows(series, length)
    assert cut.shape == (len(series) - length + 1, length, series.shape[1])
    for start, window in enumerate(cut):
        np.testing.assert_array_equal(window, series[start : start + length])
    np.testing.assert_array_equal(cut[-1, -1], series[-1])
    assert not cut.flags.writeable


def test_noise():
    series = np.random.default_rng(0).normal(size=(50_000, 2)) * [1, 100] + [5, 0]
    noise = data.add_observation_noise(series, 0.05, 3) - series
    np.testing.assert_allclose(np.std(noise, axis=0), 0.05 * np.std(series, axis=0), rtol=0.02)
    np.testing.assert_allclose(np.mean(noise, axis=0) / [1, 100], 0, atol=1e-3)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.02
    np.testing.assert_array_equal(data.add_observation_noise(series, 0.05, jax.random.key(3)) - series, noise)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(data.add_observation_noise(series, 0.05, 3) - series, noise)
    np.testing.assert_array_equal(data.add_observation_noise(series, 0, 3), series)


GOOD = np.random.default_rng(0).normal(size=(10, 3))
BAD = GOOD.copy()
BAD[4, 2] = np.nan


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.standardize(BAD), ValueError, "series: nan in row 4, column 2 (counted from 0). Cut the series"),
        (lambda: data.windows(BAD, 2), ValueError, "series: nan in row 4, column 2"),
        (lambda: data.delay_embedding(BAD, 2, 1), ValueError, "series: nan in row 4, column 2"),
        (lambda: data.add_observation_noise(BAD, 0.1, 0), ValueError, "series: nan in row 4, column 2"),
        (lambda: data.standardize(GOOD[:1]), ValueError, "series: 2 rows or more are needed, but it has 1, in shape"),
        (
            lambda: data.standardize(GOOD[None]),
            ValueError,
            "expected shape (T, N), time first, or (T,), got (1, 10, 3)",
        ),
        (lambda: data.standardize([[1, 2], [3]]), ValueError, "series: expected rows of one length, (T, N)"),
        (lambda: data.standardize("abc"), TypeError, "series: expected real numbers, got an array of <U3"),
        (
            lambda: data.standardize(GOOD * [1, 0, 1] + [0, 0.1, 0]),
            ValueError,
            "series: column 1 (counted from 0) holds one value only, 0.1, which has no deviation to divide by. "
            "Leave out: numpy.delete(series, [1], axis=1)",
        ),
        (
            lambda: data.standardize(GOOD * [1, 0, 0], names=["V", "n", "h"]),
            ValueError,
            "series: columns 1 (n), 2 (h) (counted from 0) hold one value only",
        ),
        (
            lambda: data.standardize(GOOD)[1].undo(np.ones(2)),
            ValueError,
            "series: expected (.., 3), as standardized, got (2,)",
        ),
        (
            lambda: data.delay_embedding(GOOD, 4, 5),
            ValueError,
            "series: 10 rows are too short for 4 copies with a delay of 5, which take 16",
        ),
        (lambda: data.delay_embedding(GOOD, 0, 5), ValueError, "dimension: expected a positive int, got 0"),
        (lambda: data.delay_embedding(GOOD, 2, 0.5), TypeError, "delay: expected a positive int, got 0.5"),
        (
            lambda: data.windows(GOOD, 200),
            ValueError,
            "series: its 10 rows are too short for a window of 200. Give a longer series, or a shorter window",
        ),
        (lambda: data.windows(GOOD, 0), ValueError, "length: expected a positive int, got 0"),
        (lambda: data.windows(GOOD, True), TypeError, "length: expected a positive int, got True"),
        (
            lambda: data.add_observation_noise(GOOD, -1, 0),
            ValueError,
            "level: expected the noise in standard deviations of each column, a number of 0 or more, got -1",
        ),
        (lambda: data.add_observation_noise(GOOD, 1, 0.5), TypeError, "key: expected a JAX random key or an int seed"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
