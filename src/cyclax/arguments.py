"""Numbers and switches that users give: checked by the same rules everywhere, with a message that says what to do.

Whatever Python takes as an index is an int (NumPy's and JAX's too), and a real number or an array of no axes that holds
one is a number. Of another type, True and False included: `TypeError`. Out of range: `ValueError`.
"""

import math
import numbers
import operator
from typing import Any

import numpy as np


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
