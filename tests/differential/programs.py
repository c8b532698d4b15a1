"""Compiled programs of this process: each holds memory, and a few memory maps, of which Linux gives a process 65,530.

Where maps run out, LLVM crashes in the next compilation. A session of tests compiles thousands of programs.
"""

import ctypes
import gc
import os
from pathlib import Path

import jax

# Programs are forgotten from this many memory maps on, or from this many bytes in memory.
MOST, MOST_BYTES = 25_000, 3 * 2**29
_MAPS, _PAGES = Path("/proc/self/maps"), Path("/proc/self/statm")


def forget_programs() -> bool:
    """Forget what was compiled, where it is much; the next call compiles again. **Returns:** whether it did."""
    try:
        maps, pages = _MAPS.read_bytes().count(b"\n"), int(_PAGES.read_text().split()[1])
    except OSError:  # no Linux
        return False
    much = maps > MOST or pages * os.sysconf("SC_PAGE_SIZE") > MOST_BYTES
    if much:
        jax.clear_caches()
        gc.collect()
        _give_back()
    return much


def _give_back():
    """Let the C library return what is free: LLVM frees many small pieces, which glibc keeps unless told."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
