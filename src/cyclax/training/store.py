"""A folder of checkpoints: killed at any moment, training goes on from the last one.

`training.json` says what is trained; other arguments are refused. `state.npz` is the newest checkpoint;
`model-0001000.npz` holds the leaves of the models after that many updates, the first axis being the runs. Every file is
written under a temporary name and renamed: what is there is whole.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import open_folder, read_kept, write_npz

_CONFIGURATION, _STATE = "training.json", "state.npz"
Arrays = dict[str, np.ndarray]


class Store:
    """The folder of one call of `fit`.

    **Raises:** `ValueError` where the folder holds another training, and says what differs; `OSError` where it cannot
    be written.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any]):
        self.folder = open_folder(folder, _CONFIGURATION, configuration, "another training", between="; ")

    def load(self) -> Arrays | None:
        """Give the newest checkpoint, None where there is none."""
        path = self.folder / _STATE
        return self._read(path) if path.exists() else None

    def save(self, arrays: Arrays) -> None:
        """Replace the newest checkpoint."""
        write_npz(self.folder / _STATE, arrays)

    def load_model(self, update: int) -> list[np.ndarray]:
        """Give the leaves of the models after so many updates."""
        arrays = self._read(self._model(update))
        return [arrays[f"leaf{i}"] for i in range(len(arrays))]

    def save_model(self, update: int, leaves: list[np.ndarray]) -> None:
        """Keep the leaves of the models."""
        write_npz(self._model(update), {f"leaf{i}": leaf for i, leaf in enumerate(leaves)})

    def _model(self, update: int) -> Path:
        return self.folder / f"model-{update:07d}.npz"

    def _read(self, path: Path) -> Arrays:
        return read_kept(path, f"Delete {self.folder}, and training begins anew.")
