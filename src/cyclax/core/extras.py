"""Packages that are optional: imported where first needed, with an error that says what to install."""

import importlib
from typing import Any


def extra(module: str, name: str, what: str) -> Any:
    """Import a module of an optional package.

    **Arguments:** `name`: of the extra of cyclax that installs it; `what`: needs it, as the message says.

    **Raises:** `ImportError` that says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{what} {package}: pip install 'cyclax[{name}]'.") from error
