"""Networks in files: written to `.json` and `.npz`, read from published checkpoints too. Nothing unpickles objects."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

import numpy as np

from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.checkpoints import from_arrays
from cyclax.maps.registry import to_dict
from cyclax.maps.torch_file import read_torch
from cyclax.storage import read_npz, write_atomically


@overload
def load(
    path: str | Path,
    *,
    num_gated: int | None = None,
    clipped: bool | None = None,
    input: Any = None,
    prefix: str | None = None,
    index: int | None = None,
) -> AbstractPiecewiseLinearMap: ...
@overload
def load(
    path: str | Path,
    *,
    num_gated: int | None = None,
    clipped: bool | None = None,
    input: Any = None,
    prefix: str | None = None,
    index: slice,
) -> list[AbstractPiecewiseLinearMap]: ...
def load(
    path: str | Path,
    *,
    num_gated: int | None = None,
    clipped: bool | None = None,
    input: Any = None,
    prefix: str | None = None,
    index: int | slice | None = None,
) -> AbstractPiecewiseLinearMap | list[AbstractPiecewiseLinearMap]:
    """Read a network: our own file, or a published checkpoint. No Python objects are ever unpickled.

    **Arguments:**

    - `path`: `.json`, `.npz`, `.mat` (MATLAB, up to v7), or `.pt`, `.pth`, `.ckpt` (PyTorch 1.6 or later; it need not
      be installed). It holds `model` (a class name) and one entry per field, or weights that are recognized by their
      names: see `cyclax.from_arrays`, also for `torch.nn.RNN`, where **the ReLU is assumed**.
    - `num_gated`, `clipped`, `input`, `prefix`, `index`: what the weights do not tell; see `cyclax.from_arrays`.

    **Returns:** the model, with float64 leaves; for a slice as `index`, a list of models.

    **Raises:** `FileNotFoundError`; `ValueError` that names the file and what is wrong in it; `ImportError` for `.mat`
    without scipy.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: networks are read from {_SUFFIXES} files, not from {path.suffix or 'this'!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file. Give the path of a network ({_SUFFIXES}).")
    content = _READERS[path.suffix](path)
    return from_arrays(
        content, num_gated=num_gated, clipped=clipped, input=input, prefix=prefix, index=index, source=str(path)
    )


def save(path: str | Path, model: AbstractPiecewiseLinearMap) -> None:
    """Write a network to a `.json` or `.npz` file; numbers survive bitwise.

    **Raises:** `ValueError` for another suffix or a class that `load` does not know; `OSError` where the path cannot
    be written.
    """
    path = Path(path)
    content = to_dict(model)
    if path.suffix == ".json":
        text = json.dumps(
            {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in content.items()}
        )
        write_atomically(path, lambda stream: stream.write(text.encode()))
    elif path.suffix == ".npz":
        write_atomically(path, lambda stream: np.savez(stream, **content))
    else:
        raise ValueError(f"{path}: networks are written to .json or .npz files, not to {path.suffix or 'this'!r}.")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: this is not valid JSON ({error}); is the file complete?") from error


def _read_mat(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"{path}: reading .mat files needs scipy; pip install 'cyclax[io]'.") from error
    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(
            f"{path}: a MATLAB v7.3 (HDF5) file; save it again with save(..., '-v7') in MATLAB."
        ) from error
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise ValueError(f"{path}: this is not a readable .mat file ({error}); is the file complete?") from error
    return {name: _struct(value) for name, value in content.items() if not name.startswith("__")}


def _struct(value: Any) -> Any:
    """Make a dict of a MATLAB struct, which arrives as an array of one record."""
    if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        record = value.reshape(())[()]
        return {name: _struct(record[name]) for name in value.dtype.names}
    return value


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _read_json,
    ".npz": read_npz,
    ".mat": _read_mat,
    ".pt": read_torch,
    ".pth": read_torch,
    ".ckpt": read_torch,
}
_SUFFIXES = ", ".join(_READERS)
