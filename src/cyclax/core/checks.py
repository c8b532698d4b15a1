"""What users give, checked by the same rules everywhere: numbers, switches, keys and series.

Whatever Python takes as an index is an int (NumPy's and JAX's too), and a real number or an array of no axes that holds
one is a number. Of another type, True and False included: `TypeError`. Out of range: `ValueError`.
"""

import math
import numbers
import operator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.numerics import numerics


def whole(value: Any, name: str, least: int | None = 1, most: int | None = None) -> int:
    """Give an int, from `least` to `most` where these are given."""
    wanted = _range(least, most)
    try:
        number = operator.index(_no_switch(value))
    except TypeError:
        raise TypeError(f"{name}: expected {wanted}, got {value!r}.") from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name}: expected {wanted}, got {value!r}.")
    return number


def plain(value: Any) -> Any:
    """Turn what is an int into one of Python's, which may be part of what is compiled; keep all else, to be refused."""
    try:
        return operator.index(_no_switch(value))
    except TypeError:
        return value


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return "an int"
    if most is not None:
        return f"an int from {least} to {most}"
    return "a positive int" if least == 1 else f"an int, {least} or more"


def real(value: Any, name: str, meaning: str = "", *, positive: bool = False, finite: bool = True) -> float:
    """Give a float that is positive, or not negative. `meaning` says in the message what it is."""
    least = "a positive number" if positive else "a number of 0 or more"
    wanted = f"{meaning}, {least}" if meaning else least
    number = number_or_none(value)
    if number is None:
        raise TypeError(f"{name}: expected {wanted}, got {value!r}.")
    if not (number > 0 if positive else number >= 0) or (finite and math.isinf(number)):
        raise ValueError(f"{name}: expected {wanted}, got {value!r}.")
    return number


def switch(value: Any, name: str) -> bool:
    """Give a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}.")
    return bool(value)


def number_or_none(value: Any) -> float | None:
    """Give the float that a real number is, alone or in an array of no axes; None for all else."""
    if not isinstance(value, numbers.Real):
        # JAX's small floats are foreign types to NumPy, which turns them into float64 all the same.
        array = np.asarray(value) if hasattr(value, "__array__") else np.empty(0)
        if array.shape or not (array.dtype.kind in "iuf" or np.can_cast(array.dtype, np.float64)):
            return None
    try:
        return float(_no_switch(value))
    except TypeError:
        return None
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # pyright: ignore[reportOperatorIssue]


def _no_switch(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) == np.bool_:
        raise TypeError
    return value


def file_path(value: Any, name: str = "path") -> Path:
    """Give the path of a file or folder."""
    try:
        return Path(value)
    except TypeError:
        raise TypeError(f"{name}: expected a path, as text or a Path, got {type(value).__name__}.") from None


def checked_key(key: Any) -> Array:
    """Turn an int seed into a key; pass a key through."""
    if isinstance(key, jax.Array):
        typed = jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
        if key.ndim == (1 if typed else 2):
            raise ValueError(f"key: expected one JAX random key, got an array of {len(key)}: give keys[0], say.")
        if typed:
            return key
        if key.shape == (2,):  # of the old style
            return jax.random.wrap_key_data(key)
    try:
        seed = whole(key, "key", 0, 2**63 - 1)
    except TypeError:
        raise TypeError(f"key: expected a JAX random key or an int seed, got {key!r}.") from None
    with numerics():  # all 64 bits of the seed count, whatever the global setting
        if jax.config.values["jax_default_prng_impl"] != "threefry2x32":
            return jax.random.key(seed)
        # The same key, without the two programs that JAX would compile, or load, first of all.
        halves = jax.device_put(np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32))
        return jax.random.wrap_key_data(halves, impl="threefry2x32")


def checked_series(series: Any, name: str = "series", *, least: int = 1) -> Float[np.ndarray, "T N"]:
    """Give a series as float64 `(T, N)`, once it has been checked; `(T,)` is a single column.

    **Arguments:** `series`: numbers, time along the first axis. `name`: what to call it in messages. `least`: the
    smallest number of rows.

    **Raises:** `TypeError` where these are no real numbers; `ValueError` for a wrong shape, too few rows, or NaN and
    inf, saying in which row and column.
    """
    try:
        refuse_misread(series)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    try:
        array = np.asarray(series)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name}: expected rows of one length, (T, N); {error}.") from error
    if array.dtype.kind not in "fiub" and not jax.numpy.issubdtype(array.dtype, np.floating):
        raise TypeError(f"{name}: expected real numbers, got an array of {array.dtype}.")
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        remedy = " For several series, take them one by one." if array.ndim == 3 else ""
        raise ValueError(f"{name}: expected shape (T, N), time first, or (T,), got {array.shape}.{remedy}")
    array = np.asarray(array, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if len(array) < least:
        raise ValueError(f"{name}: {least} rows or more are needed, but it has {len(array)}, in shape {array.shape}.")
    refuse_nonfinite(array, name)
    return array


def refuse_misread(value: Any) -> None:
    """Raise `ValueError` for what NumPy would misread: masked entries, whose mask it drops, and sparse matrices.

    A list of masked arrays counts too. A sparse matrix, of SciPy or JAX, is one object to NumPy.
    """
    rows = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(row, np.ma.MaskedArray) and np.ma.is_masked(row) for row in rows):
        where = np.argwhere(np.ma.getmaskarray(np.ma.asarray(value)))[0].tolist()
        raise ValueError(f"it has masked entries (first at {where}); fill them, or leave them out.")
    ways = [name for name in ("toarray", "todense") if hasattr(value, name)]
    if ways:
        raise ValueError(f"it is sparse ({type(value).__name__}): give the dense array, its .{ways[0]}().")


def refuse_nonfinite(array: Float[np.ndarray, "T N"], name: str) -> None:
    """Raise `ValueError` that says in which row and column NaN or inf stands."""
    finite = np.isfinite(array)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0].tolist()
    number = int(np.sum(~finite))
    more = f", the first of {number}" if number > 1 else ""
    raise ValueError(
        f"{name}: {array[row, column]} in row {row}, column {column}{more} (counted from 0). "
        "Cut the series there, or fill the gap."
    )
