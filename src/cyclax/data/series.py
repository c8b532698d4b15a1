"""Series: read from files, standardized, embedded in delays, cut into windows, and made noisy."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, checked_series, real, whole
from cyclax.core.numerics import numerics
from cyclax.core.storage import parsing, read_npz

# A column whose deviation is this part of its size differs by rounding only.
_ROUNDING = 1e-12


def load_series(
    path: str | Path,
    *,
    columns: Sequence[int | str] | None = None,
    delimiter: str = ",",
    header: bool | None = None,
) -> Float[np.ndarray, "T N"]:
    """Read a series from a `.npy` or `.csv` file; time runs along the rows.

    **Arguments:** `path`: the file. A first row of a `.csv` that is not made of numbers is its header; empty lines and
    what follows a `#` are skipped. `columns`: which to keep, in this order, by number from 0, or by their names in the
    header. `delimiter`: what stands between the entries of a `.csv`. `header`: whether the first row of a `.csv` is its
    header, where that cannot be told: 0, 1, 2, .. may be the names that pandas gives to columns without any.

    **Returns:** `(T, N)`, NumPy float64; a file with one number a row has N = 1.

    **Raises:** `FileNotFoundError`; `ValueError` that names the file, for another suffix, entries that are no numbers,
    NaN and inf (with row and column), rows of different lengths, a wrong shape, columns that it does not have, and a
    first row that may be a header of numbers.
    """
    path = Path(path)
    names: list[str] | None = None
    if path.suffix == ".npy":
        array = _read_npy(path)
    elif path.suffix == ".csv":
        array, names = _read_csv(path, delimiter, header)
    else:
        raise ValueError(f"{path}: series are read from .npy and .csv files; numpy.save and numpy.savetxt write them.")
    try:
        # Columns that are left out may hold anything.
        if columns is None:
            return checked_series(array, str(path))
        chosen = _chosen(path, columns, array, names)
        return checked_series(array[:, chosen], f"{path}, columns {list(columns)}")
    except TypeError as error:  # a file that holds the wrong thing is a wrong value
        raise ValueError(str(error)) from error


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as stream:
        start = stream.read(2)
        if start == b"PK":
            raise ValueError(f"{path}: this is an archive of {list(read_npz(path))}; save one array with numpy.save.")
        stream.seek(0)
        with parsing(path, ".npy file"):
            array = np.lib.format.read_array(stream, allow_pickle=False)
    return array[:, None] if array.ndim == 1 else array


def _read_csv(path: Path, delimiter: str, header: bool | None) -> tuple[np.ndarray, list[str] | None]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        try:
            lines = [(i, line) for i, line in enumerate(stream, 1) if line.split("#")[0].strip()]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: this is not text in UTF-8 ({error}); save it as such.") from error
    if not lines:
        raise ValueError(f"{path}: the file is empty.")
    first = _entries(lines[0][1], delimiter)
    if header is None:
        header = not any(map(_is_number, first))
        asked = not header and _may_be_names(first, [line for _, line in lines[1:]], delimiter)
    else:
        asked = False
    names = first if header else None
    body = lines[1:] if header else lines
    if not body:
        raise ValueError(f"{path}: there is a header, but no row of numbers below it.")
    try:
        array = np.loadtxt((line for _, line in body), delimiter=delimiter, ndmin=2)
    except ValueError:
        raise ValueError(f"{path}: {_trouble(body, delimiter, len(first))}") from None
    if names is not None and len(names) != array.shape[1]:
        raise ValueError(f"{path}: the header has {len(names)} entries, and the rows {array.shape[1]}.")
    if asked:
        raise ValueError(
            f"{path}: its first row, {', '.join(first[:4])}{', ..' if first[4:] else ''}, may be a header, as pandas "
            "writes for columns without names, or the first row of the series. Say header=True or header=False."
        )
    return array, names


def _may_be_names(first: list[str], others: list[str], delimiter: str) -> bool:
    """Whether a first row of numbers looks like a header: it counts 0, 1, 2, ..; or counts on from another number, or
    alone, above columns that are not written as whole numbers."""
    if not others or not all(map(_is_number, first)):
        return False
    start = float(first[0])
    counted = [f"{start + i:.0f}" for i in range(len(first))]
    if first not in (counted, [f"{name}.0" for name in counted]):
        return False
    if start == 0 and len(first) > 1:
        return True
    # Columns that have a point or an exponent somewhere.
    rows = [_entries(line, delimiter) for line in others]
    broken = all(any(set(".eE") & set(row[i]) for row in rows if i < len(row)) for i in range(len(first)))
    return broken and (start == 0 or len(first) > 1)


def _entries(line: str, delimiter: str) -> list[str]:
    text = line.split("#")[0].strip()
    try:
        return [entry.strip() for entry in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:
        return [text]  # which is no number


def _trouble(body: list[tuple[int, str]], delimiter: str, width: int) -> str:
    """Say what is wrong with rows that could not be read: the slow way, which knows where."""
    for number, line in body:
        entries = _entries(line, delimiter)
        if '"' in line.split("#")[0] and all(map(_is_number, entries)):
            return f"line {number} has numbers in quotes: {line.strip()[:40]}. Write them without."
        if len(entries) != width:
            return f"line {number} has {len(entries)} entries, and the first row {width}; delimiter is {delimiter!r}."
        for column, entry in enumerate(entries):
            if not entry:
                remedy = "Fill the gap, or cut the series" + (", or say header=True." if number == body[0][0] else ".")
                return f"line {number}, column {column} (counted from 0) is empty. {remedy}"
            if not _is_number(entry):
                remedy = " If this is a header, say header=True." if number == body[0][0] else ""
                return f"line {number}, column {column} (counted from 0): {entry[:40]!r} is not a number.{remedy}"
    return f"its rows could not be read with the delimiter {delimiter!r}."


def _is_number(entry: str) -> bool:
    """Whether NumPy reads it: `float` alone reads 1_000 too, and digits of other scripts."""
    try:
        float(entry)
    except ValueError:
        return False
    return entry.isascii() and "_" not in entry


def _chosen(path: Path, columns: Sequence[int | str], array: np.ndarray, names: list[str] | None) -> list[int]:
    if isinstance(columns, str) or not len(columns):
        raise ValueError(f"columns: expected a sequence of numbers or names, such as [0, 2], got {columns!r}.")
    if array.ndim != 2:
        raise ValueError(f"{path}: expected shape (T, N), time first, or (T,), got {array.shape}.")
    chosen = []
    for column in columns:
        if isinstance(column, str):
            if column not in (names or []):
                there = f"its header has {names}" if names else "it has no header; give numbers from 0"
                raise ValueError(f"{path}: there is no column {column!r}; {there}.")
            if (names or []).count(column) > 1:
                raise ValueError(f"{path}: several columns are called {column!r}; give their numbers, from 0.")
            chosen.append((names or []).index(column))
        elif not 0 <= whole(column, "columns", 0) < array.shape[1]:
            raise ValueError(f"{path}: there is no column {column}; it has {array.shape[1]}, counted from 0.")
        else:
            chosen.append(int(column))
    return chosen


@dataclasses.dataclass(frozen=True, eq=False)
class Standardization:
    """What `standardize` did: `apply` does it to another series of the same columns, `undo` takes it back.

    `mean`, `deviation` `(N,)`: those of each column, in the units of the series.
    """

    mean: Float[np.ndarray, " N"]
    deviation: Float[np.ndarray, " N"]

    def apply(self, series: Float[Any, "... N"]) -> Float[Any, "... N"]:
        """Give `(series - mean) / deviation`; NumPy float64 for NumPy, else in the dtype of the series."""
        mean, deviation = self._like(series)
        return (series - mean) / deviation

    def undo(self, series: Float[Any, "... N"]) -> Float[Any, "... N"]:
        """Give `series * deviation + mean`; NumPy float64 for NumPy, else in the dtype of the series."""
        mean, deviation = self._like(series)
        return series * deviation + mean

    def _like(self, series: Any) -> tuple[Any, Any]:
        if np.shape(series)[-1:] != self.mean.shape:
            raise ValueError(f"series: expected (.., {len(self.mean)}), as standardized, got {np.shape(series)}.")
        # Ranks are made equal: JAX may have been told to promote none.
        shape = (1,) * (np.ndim(series) - 1) + self.mean.shape
        dtype = series.dtype if isinstance(series, jax.Array) else self.mean.dtype
        return self.mean.astype(dtype).reshape(shape), self.deviation.astype(dtype).reshape(shape)


def standardize(
    series: Float[Any, "T N"], *, names: Sequence[str] | None = None
) -> tuple[Float[np.ndarray, "T N"], Standardization]:
    """Shift and scale each column to mean 0 and standard deviation 1.

    **Arguments:** `series`: `(T, N)`, in any units, or `(T,)`. `names`: of the columns, for messages.

    **Returns:** `(T, N)`, float64, without units; and the `Standardization`, which can be undone.

    **Raises:** `ValueError` that names constant columns; for NaN (with row and column), or fewer than 2 rows.
    """
    array = checked_series(series, least=2)
    mean, deviation = np.mean(array, axis=0), np.std(array, axis=0)
    constant = np.flatnonzero(deviation <= _ROUNDING * np.max(np.abs(array), axis=0))
    if len(constant):
        labels = [f"{i} ({names[i]})" if names is not None else str(i) for i in constant.tolist()]
        number = "column" if len(labels) == 1 else "columns"
        raise ValueError(
            f"series: {number} {', '.join(labels)} (counted from 0) hold{'s' * (len(labels) == 1)} one value only, "
            f"{array[0, constant[0]] + 0.0:g}, which has no deviation to divide by. "
            f"Leave out: numpy.delete(series, {constant.tolist()}, axis=1)."
        )
    transform = Standardization(mean, deviation)
    return transform.apply(array), transform


def delay_embedding(series: Float[Any, "T N"], dimension: int, delay: int) -> Float[np.ndarray, "rows Nd"]:
    """Put delayed copies of a series beside each other: row t is (x[t], x[t + delay], .., x[t + (d - 1) delay]).

    For generic observables, and d above twice the attractor's dimension, the rows trace a copy of the attractor
    (F. Takens, "Detecting strange attractors in turbulence", 1981; T. Sauer, J. A. Yorke, M. Casdagli, "Embedology",
    Journal of Statistical Physics 65, 579, 1991).

    **Arguments:** `series`: `(T, N)` or `(T,)`. `dimension`: the number of copies d. `delay`: in samples.

    **Returns:** `(T - (d - 1) delay, N d)`, float64; the N columns of the series first, then those one delay later.

    **Raises:** `ValueError` where the series is too short, with the numbers; as in `standardize` for NaN and shapes.
    """
    array = checked_series(series)
    dimension, delay = whole(dimension, "dimension", 1), whole(delay, "delay", 1)
    reach = (dimension - 1) * delay
    if len(array) <= reach:
        raise ValueError(
            f"series: {len(array)} rows are too short for {dimension} copies with a delay of {delay}, which take "
            f"{reach + 1}. Give a longer series, or a smaller dimension or delay."
        )
    rows = len(array) - reach
    return np.concatenate([array[i * delay : i * delay + rows] for i in range(dimension)], axis=1)


def windows(series: Float[Any, "T N"], length: int) -> Float[np.ndarray, "W length N"]:
    """Give all stretches of a series, one from every start; the last one ends with the last row.

    **Arguments:** `series`: `(T, N)` or `(T,)`. `length`: rows in a window.

    **Returns:** `(T - length + 1, length, N)`, float64: a read-only view, which takes no memory.

    **Raises:** `ValueError` where the series is shorter than a window; as in `standardize` for NaN and shapes.
    """
    array = checked_series(series)
    length = whole(length, "length", 1)
    if length > len(array):
        raise ValueError(
            f"series: its {len(array)} rows are too short for a window of {length}. "
            "Give a longer series, or a shorter window."
        )
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(array, length, axis=0), -1, 1)


def add_observation_noise(series: Float[Any, "T N"], level: float, key: Array | int) -> Float[np.ndarray, "T N"]:
    """Add independent normal noise to every entry.

    **Arguments:** `series`: `(T, N)` or `(T,)`. `level`: the noise's standard deviation, as a part of that of each
    column: 0.05 is 5 %. `key`: a JAX key, or an int seed; equal keys give equal noise.

    **Returns:** `(T, N)`, float64.

    **Raises:** `ValueError` for a negative level; as in `standardize` for NaN and shapes.
    """
    array = checked_series(series)
    level = real(level, "level", "the noise in standard deviations of each column", positive=False)
    with numerics():
        noise = np.asarray(jax.random.normal(checked_key(key), array.shape, "float64"))
    return array + level * np.std(array, axis=0) * noise
