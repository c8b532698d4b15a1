"""cyclax: all fixed points and cycles of ReLU recurrent networks, with JAX.

What it offers is listed in `cyclax/api.py`, and imported when it is first asked for: JAX takes its time, in which the
command line answers to `--version` and Ctrl-C.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyclax import (  # noqa: F401
        bifurcations,
        data,
        lyapunov,
        maps,
        metrics,
        plot,
        proofs,
        search,
        testing,
        training,
    )
    from cyclax.api import *  # noqa: F403
    from cyclax.api import __all__, __version__  # noqa: F401

# Imported when asked for. Matplotlib is an extra, and slow to import: only who plots pays for it.
_ROOMS = ("bifurcations", "data", "lyapunov", "maps", "metrics", "plot", "proofs", "search", "testing", "training")


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"cyclax.{name}")
    if name == "__version__":
        return import_module("cyclax.core.version").__version__
    if name == "__all__" or not name.startswith("_"):
        api = vars(import_module("cyclax.api"))
        if name in (*api["__all__"], "__all__"):
            return globals().setdefault(name, api[name])
        if name in globals():  # a room that has been imported on the way
            return globals()[name]
    raise AttributeError(f"module 'cyclax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__"), *_ROOMS})
