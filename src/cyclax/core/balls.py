"""The precision of ball arithmetic: FLINT has one for all threads."""

import contextlib
import threading
from collections.abc import Iterator

import flint

LOCK = threading.RLock()


@contextlib.contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Compute with balls of so many bits until the end of the block, one thread at a time.

    Two threads that each put back what they had found would leave the other's precision behind for good.
    """
    with LOCK, flint.ctx.workprec(bits):
        yield
