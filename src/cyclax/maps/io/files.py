"""Networks in files: written to `.json` and `.npz`, read from published checkpoints too. Nothing unpickles objects."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import numpy as np

from cyclax.core.storage import opened_zip, parsing, read_npz, write_atomically
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.checkpoints import Stated, from_arrays
from cyclax.maps.io.mat_file import read_mat
from cyclax.maps.io.registry import to_dict
from cyclax.maps.io.torch_file import is_structure, read_torch


@overload
def load(path: str | Path, *, index: int | None = None, **stated: Unpack[Stated]) -> AbstractPiecewiseLinearMap: ...
@overload
def load(path: str | Path, *, index: slice, **stated: Unpack[Stated]) -> list[AbstractPiecewiseLinearMap]: ...
def load(
    path: str | Path,
    *,
    num_gated: int | Literal["all"] | None = None,
    clipped: bool | None = None,
    input: Any = None,
    prefix: str | None = None,
    ignore: str | Sequence[str] = (),
    index: int | slice | None = None,
) -> AbstractPiecewiseLinearMap | list[AbstractPiecewiseLinearMap]:
    """Read a network: our own file, or a published checkpoint. No Python objects are ever unpickled.

    **Arguments:**

    - `path`: JSON, NumPy's `.npz`, MATLAB's `.mat` (up to v7), or what `torch.save` wrote (PyTorch 1.6 or later; it
      need not be installed), whatever the file is called: what is in it decides. It holds `model` (a class name) and
      one entry per field, or weights that are recognized by their names: see `cyclax.from_arrays`, also for
      `torch.nn.RNN`, where **the ReLU is assumed**.
    - `num_gated`, `clipped`, `input`, `prefix`, `ignore`, `index`: what the weights do not tell; see
      `cyclax.from_arrays`.

    **Returns:** the model, with float64 leaves; for a slice as `index`, a list of models.

    **Raises:** `FileNotFoundError` and other `OSError`; `ValueError` that names the file and what is wrong in it;
    `ImportError` for those of MATLAB 4 without scipy.
    """
    path = Path(path)
    try:
        content = _reader(path)(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file. Give the path of a network ({_KNOWN}).") from error
    return from_arrays(
        content,
        num_gated=num_gated,
        clipped=clipped,
        input=input,
        prefix=prefix,
        ignore=ignore,
        index=index,
        source=str(path),
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


_KNOWN = ".json, .npz, .mat, .pt, .pth, .ckpt"
_TORCH = (".pt", ".pth", ".ckpt")
# How files begin that are something else.
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OTHERS = {
    _LEGACY_TORCH: "a pickle, as torch before 1.6 wrote; re-save it with torch.save in torch >= 1.6, without "
    "_use_new_zipfile_serialization=False",
    b"\x80": "a plain pickle, which is not read, since reading it can run anything. If you trust it, unpickle it "
    "yourself, cyclax.from_arrays(pickle.load(stream)), or save its arrays with numpy.savez",
    b"\x93NUMPY": "one array of NumPy (.npy), and a network has several; save them with numpy.savez",
    b"\x89HDF": "an HDF5 file; read its arrays with h5py, and give them to cyclax.from_arrays",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
}


def _reader(path: Path) -> Callable[[Path], Any]:
    """Choose a reader by what the file begins with, and by its suffix only where that does not tell."""
    with open(path, "rb") as stream:
        start = stream.read(128)
    if start[:2] == b"PK":
        return _zip_reader(path)
    if start[126:128] in (b"IM", b"MI"):  # which order of bytes MATLAB 5 and later wrote
        return read_mat
    for begin, what in _OTHERS.items():
        if start.startswith(begin):
            raise ValueError(f"{path}: this is {what}.")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") or path.suffix == ".json":
        return _read_json
    if path.suffix == ".mat":  # MATLAB 4 begins with nothing of its own
        return read_mat
    found = f"it begins with {start[:16]!r}" if start else "it is empty"
    wrong = "no PyTorch checkpoint" if path.suffix in _TORCH else "no network that can be read"
    raise ValueError(f"{path}: this is {wrong} ({found}); known are {_KNOWN}, whatever the name of the file.")


def _zip_reader(path: Path) -> Callable[[Path], Any]:
    torch = path.suffix in _TORCH
    with open(path, "rb") as stream, parsing(path, "PyTorch checkpoint" if torch else ".npz file"):
        names = opened_zip(stream).namelist()
    if any(map(is_structure, names)):
        return read_torch
    if torch and not any(name.endswith(".npy") for name in names):
        return read_torch  # which says what is missing
    return read_npz


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is not valid JSON ({error}); is the file complete?") from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return content
