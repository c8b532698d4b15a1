"""Fields of the objects in this room: numbers that may be stacked, and their checks."""

from typing import Any

import jax
import numpy as np


def number(value: Any) -> Any:
    """Keep arrays and what stands in for them (when objects are stacked); turn numbers into NumPy float64."""
    return np.asarray(value, np.float64) if np.isscalar(value) and not isinstance(value, (str, bool)) else value


def require_number(value: Any, name: str, least: float = 0.0, most: float = np.inf) -> None:
    """Raise unless value is a finite number within bounds; what JAX traces or stacks is not looked at."""
    if isinstance(value, jax.Array) or not isinstance(value, (np.ndarray, str, bool, list, tuple, type(None))):
        return
    if not isinstance(value, np.ndarray) or value.shape != ():
        raise TypeError(f"{name}: expected a number, got {value!r}; of several runs, give a list of the objects.")
    if not (least <= value <= most and np.isfinite(value)):
        bounds = f"of {least:g} or more" if most == np.inf else f"between {least:g} and {most:g}"
        raise ValueError(f"{name}: expected a number {bounds}, got {value}.")
