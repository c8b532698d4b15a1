"""cyclax: all fixed points and cycles of ReLU recurrent networks, with JAX.

What it offers is listed in `cyclax/api.py`, and imported when it is first asked for: JAX takes its time, in which the
command line answers to `--version` and Ctrl-C.
"""

from functools import cache as _cache

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
    if name == "__all__":
        return list(_homes())
    if name == "__version__" or not name.startswith("_"):
        homes = _homes()
        if name in homes:
            return globals().setdefault(name, getattr(import_module(homes[name]), name))
        if name in globals():  # a room that has been imported on the way
            return globals()[name]
    raise AttributeError(f"module 'cyclax' has no attribute {name!r}")


@_cache
def _homes() -> dict[str, str]:
    """Give the module of each name on offer, as `api.py` has it: read, for to import it all takes its time."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(__file__).with_name("api.py").read_text("utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    offered = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    return {name: homes[name] or "" for name in ast.literal_eval(offered)}


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__"), *_ROOMS})
