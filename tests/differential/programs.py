"""Compiled programs of this process: each holds a few memory maps, of which Linux gives a process 65,530.

Where they run out, LLVM crashes in the next compilation. A session of tests compiles thousands of programs.
"""

from pathlib import Path

import jax

# Programs are forgotten from this many memory maps on.
MOST = 25_000
_MAPS = Path("/proc/self/maps")


def forget_programs() -> bool:
    """Forget what was compiled, where it is much; the next call compiles again. **Returns:** whether it did."""
    try:
        number = _MAPS.read_bytes().count(b"\n")
    except OSError:  # no Linux
        return False
    if number > MOST:
        jax.clear_caches()
    return number > MOST
