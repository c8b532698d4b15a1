"""Plans: TOML files that say what is to be done, read with messages for whoever wrote them."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read_plan(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    **Raises:** `FileNotFoundError` and `ValueError` that name the file, and for broken TOML the line.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: this is a folder; give the TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: this is not TOML ({error}).") from error


def check_keys(table: Mapping[str, Any], known: Iterable[str], where: str, *, needed: Iterable[str] = ()) -> None:
    """Refuse keys that mean nothing, with the nearest that does, and say which are missing.

    **Arguments:** `table`: as read; `known`: the keys that it may have; `where`: what the message calls it, such as
    "scan.toml, [settings]"; `needed`: keys that it must have.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}: expected a table of keys and values, got {table!r}.")
    known = list(known)
    for key in table:
        check_known(key, known, where)
    for key in needed:
        if key not in table:
            raise ValueError(f"{where}: {key!r} is missing.")


def check_known(name: str, known: Iterable[str], where: str, what: str = "key") -> None:
    """Refuse a name that means nothing there, with the nearest that does, or all of them."""
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, 1, 0.5)
    remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
    raise ValueError(f"{where}: there is no {what} {name!r}; {remedy}")
