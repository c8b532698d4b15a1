"""A folder of results that are kept: killed at any moment, the work goes on from it.

Every file is written under a temporary name and renamed, so a file that is there is whole. Files are named by what was
computed; what configuration that was stands in a file of its own, and another configuration is refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.checks import file_path
from cyclax.core.storage import read_npz, take_digest, write_atomically, write_npz

Arrays = dict[str, np.ndarray]


class Store:
    """The folder of one configuration.

    **Arguments:** `configuration`: plain values, all that determines what is kept; `name`: of the file that holds them;
    `other`: what a message calls the work of another configuration; `remedy`: what it says of a damaged file.

    **Raises:** `ValueError` where the folder holds another configuration, and says what differs; `OSError` where it
    cannot be written.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any], *, name: str, other: str, remedy: str):
        self.folder, self._remedy = file_path(folder, "store"), remedy
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"store: {folder} is not a folder that can be written ({error.strerror}).") from error
        path = self.folder / name
        wanted = json.loads(json.dumps(configuration))
        if not path.exists():
            if any(self.folder.glob("*.npz")):
                raise ValueError(f"store: {folder} holds other files and no {name}; choose another.")
            write_atomically(path, lambda stream: stream.write(json.dumps(wanted, indent=1).encode()))
            return
        try:
            kept = json.loads(path.read_bytes())
            if not isinstance(kept, dict):
                raise ValueError(f"expected an object, got {type(kept).__name__}")
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(f"store: {path} cannot be read ({error}); choose another folder.") from error
        different = sorted(entry for entry in {*kept, *wanted} if kept.get(entry) != wanted.get(entry))
        if different:
            pairs = ((entry, _short(kept.get(entry)), _short(wanted.get(entry))) for entry in different)
            said = "; ".join(f"{entry}: {there} there, {now} now" for entry, there, now in pairs)
            raise ValueError(
                f"store: {folder} holds {other} ({said}). Choose another folder, or give the same arguments to go on "
                "with this one."
            )

    def load(self, name: str, *, needed: bool = False) -> Arrays | None:
        """Give what has been kept under a name, None where nothing has (unless it is `needed`).

        **Raises:** `ValueError` that names the file and the remedy where it is damaged.
        """
        path = self.folder / f"{name}.npz"
        if not path.exists() and not needed:
            return None
        try:
            entries = read_npz(path)
            take_digest(path, entries)
        except (ValueError, OSError) as error:
            raise ValueError(f"{error} {self._remedy}") from error
        return entries

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name, in place of what was kept there."""
        write_npz(self.folder / f"{name}.npz", arrays)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}.."
