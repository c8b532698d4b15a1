"""A folder of finished chunks: killed at any moment, a scan goes on from it.

Every file is written under a temporary name and renamed, so a file that is there is whole. Files are named by what was
computed; what configuration that was stands in `scan.json`, and another configuration is refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.storage import read_npz, write_atomically

_CONFIGURATION = "scan.json"


class Store:
    """The folder of one scan.

    **Raises:** `ValueError` where the folder holds a scan of another configuration, and says what differs;
    `OSError` where it cannot be written.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any]):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"store: {self.folder} is not a folder that can be written ({error.strerror}).") from error
        path = self.folder / _CONFIGURATION
        wanted = json.loads(json.dumps(configuration))
        if not path.exists():
            if any(self.folder.glob("*.npz")):
                raise ValueError(f"store: {self.folder} holds other files and no {_CONFIGURATION}; choose another.")
            write_atomically(path, lambda stream: stream.write(json.dumps(wanted, indent=1).encode()))
            return
        try:
            kept = json.loads(path.read_text())
        except (ValueError, OSError) as error:
            raise ValueError(f"store: {path} cannot be read ({error}); choose another folder.") from error
        different = sorted(name for name in {*kept, *wanted} if kept.get(name) != wanted.get(name))
        if different:
            pairs = ((name, _short(kept.get(name)), _short(wanted.get(name))) for name in different)
            said = ", ".join(f"{name}: {there} there, {now} now" for name, there, now in pairs)
            raise ValueError(
                f"store: {self.folder} holds a scan of another configuration ({said}). Choose another folder, or give "
                "the same arguments to go on with this one."
            )

    def _path(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number:07d}.npz"

    def load(self, stage: str, number: int) -> dict[str, np.ndarray] | None:
        """Give what has been kept, None where nothing has."""
        path = self._path(stage, number)
        if not path.exists():
            return None
        try:
            return read_npz(path)
        except ValueError as error:
            raise ValueError(f"{error} Delete it, and the scan computes it again.") from error

    def save(self, stage: str, number: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays."""
        write_atomically(self._path(stage, number), lambda stream: np.savez(stream, **arrays))  # pyright: ignore[reportArgumentType]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}.."
