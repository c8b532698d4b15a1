"""Ctrl-C that waits until what is half done is done."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interruption:
    """Whether Ctrl-C was pressed. `bool(interruption)` tells it."""

    def __init__(self) -> None:
        self._pressed = False

    def __bool__(self) -> bool:
        return self._pressed

    def press(self, *_: object) -> None:
        """Note the first; from then on Ctrl-C raises `KeyboardInterrupt` as ever."""
        self._pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def noted_interruption() -> Iterator[Interruption]:
    """Within the block the first Ctrl-C is noted instead of raised; the handler from before comes back after it.

    Signals are Python's main thread's, and a handler that the user has set is the user's: in other threads, and where
    Ctrl-C does not raise `KeyboardInterrupt`, nothing is touched.
    """
    interruption = Interruption()
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interruption.press)
    try:
        yield interruption
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
