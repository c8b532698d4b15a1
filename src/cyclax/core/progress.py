"""The one progress bar: on a terminal and in a notebook, and nowhere else."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # Where a notebook lacks ipywidgets, the plain bar serves.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm


def progress_bar(*arguments: Any, shown: bool, **looks: Any) -> Any:
    """Give a bar of tqdm that comes after a second, and goes at the end.

    **Arguments:** `shown`: False hides it; True shows it where someone may be looking. The rest is tqdm's.
    """
    return tqdm(*arguments, delay=1, leave=False, disable=not (shown and _is_seen()), **looks)


@contextlib.contextmanager
def progress_line(*, shown: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows on a line what is being done; the line goes at the end."""
    with progress_bar(shown=shown, bar_format="{desc}") as bar:
        try:
            yield bar.set_description_str
        finally:
            bar.clear()  # also what came before its second was up


def _is_seen() -> bool:
    stream = sys.stderr
    return in_notebook() or (stream is not None and hasattr(stream, "isatty") and stream.isatty())


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter; it asks as tqdm does, without importing IPython."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_ipython is None else get_ipython()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
