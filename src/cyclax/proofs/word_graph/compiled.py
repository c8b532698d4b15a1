"""Loops of the word graph, compiled by numba: once for an installation, and kept for all processes to come."""

from collections.abc import Callable
from typing import Any

try:
    from numba import njit
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError("The word graph needs numba: pip install 'cyclax[exact]'.") from error

# What is said while that goes on: nothing else is heard for that long.
COMPILING = "loops of the proof are loaded; the first time after an installation they are compiled, for ten seconds"


def compiled(function: Callable) -> Any:
    """Compile a loop at its first call, and keep it: beside the source, or wherever numba finds a folder for that."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is none: it is compiled in every process
        return njit(nogil=True)(function)
