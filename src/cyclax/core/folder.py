"""A folder of finished chunks: killed at any moment, a scan goes on from it.

Every file is written under a temporary name and renamed, so a file that is there is whole. Files are named by what was
computed; what configuration that was stands in `scan.json`, and another configuration is refused.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import open_folder, read_kept, write_npz

_CONFIGURATION = "scan.json"


class Store:
    """The folder of one scan.

    **Raises:** `ValueError` where the folder holds a scan of another configuration, and says what differs;
    `OSError` where it cannot be written.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any]):
        self.folder = open_folder(folder, _CONFIGURATION, configuration, "a scan of another configuration")

    def _path(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number:07d}.npz"

    def load(self, stage: str, number: int) -> dict[str, np.ndarray] | None:
        """Give what has been kept, None where nothing has."""
        path = self._path(stage, number)
        return read_kept(path, "Delete it, and the scan computes it again.") if path.exists() else None

    def save(self, stage: str, number: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays."""
        write_npz(self._path(stage, number), arrays)
