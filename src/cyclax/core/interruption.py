"""Ctrl-C that waits until what is half done is done."""

import gc
import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Self


class Interruption:
    """Within its block the first Ctrl-C is noted in `pressed` instead of raised; the second raises as ever.

    The handler from before comes back at the end of the block, and a first Ctrl-C that falls into that very moment is
    noted, too. So look at `pressed` once the block has ended, and call nothing in between: Python runs handlers of
    signals after calls, so there is no moment at which a first Ctrl-C raises and takes a finished result with it.

    Signals are Python's main thread's, and a handler that the user has set is the user's: in other threads, and where
    Ctrl-C does not raise `KeyboardInterrupt`, nothing is touched.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._ours = False

    def __enter__(self) -> "Self":
        if threading.current_thread() is threading.main_thread():
            self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._press)
        return self

    def _press(self, *_: "Any") -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: "Any") -> None:
        if not self._ours:
            return
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        except KeyboardInterrupt:
            if self.pressed:
                raise
            self.pressed = True


def leave_at_once() -> None:
    """Let Ctrl-C end the process from now on, with one line and code 130, until `to_work`.

    For a command that has nothing to lose: while it imports, loads, or is done. `KeyboardInterrupt` in the middle of an
    import ends in a traceback at best, aborts native code, or is swallowed by a callback of it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def to_work() -> None:
    """Let Ctrl-C raise again, where `leave_at_once` had it end the process; collect garbage, where that was off.

    What has been imported by then is left out of it.
    """
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _leave(*_: "Any") -> "NoReturn":
    os.write(2, b"cyclax: interrupted\n")
    os._exit(130)
