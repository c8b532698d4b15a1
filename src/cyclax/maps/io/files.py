"""Networks in files: written to `.json` and `.npz`, read from published checkpoints too. Nothing in a file is run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from cyclax.core.checks import file_path
from cyclax.core.storage import Unreadable, opened_zip, parsing, read_npy, read_npz, write_atomically
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.bson_file import is_bson, read_bson
from cyclax.maps.io.checkpoints import Stated, from_arrays
from cyclax.maps.io.groups import entries_of
from cyclax.maps.io.hdf5_file import is_hdf5, read_hdf5, read_keras, writer_of
from cyclax.maps.io.mat_file import read_mat
from cyclax.maps.io.pickles import RefusedError, objects_of, unpickled
from cyclax.maps.io.registry import to_dict
from cyclax.maps.io.safetensors_file import is_safetensors, read_safetensors
from cyclax.maps.io.torch_file import is_structure, read_torch


@overload
def load(path: str | Path, *, index: int | None = None, **stated: Unpack[Stated]) -> AbstractPiecewiseLinearMap: ...
@overload
def load(path: str | Path, *, index: slice, **stated: Unpack[Stated]) -> list[AbstractPiecewiseLinearMap]: ...
def load(
    path: str | Path, *, index: Any = None, **stated: Unpack[Stated]
) -> AbstractPiecewiseLinearMap | list[AbstractPiecewiseLinearMap]:
    """Read a network: our own file, or a published checkpoint. Nothing that a file says is run.

    **Arguments:**

    - `path`: JSON, NumPy's `.npz`, what `torch.save` wrote (PyTorch 1.6 or later), pickles of arrays, `.safetensors`,
      HDF5 (Keras, MATLAB 7.3, Julia's JLD2), `.keras`, MATLAB's `.mat`, Julia's `.bson`, whatever the file is called:
      what is in it decides. The libraries need not be installed; HDF5 needs h5py. It holds `model` (a class name) and
      one entry per field, or weights that are recognized by their names: see `cyclax.from_arrays`, also for
      `torch.nn.RNN`, where **the ReLU is assumed**.
    - `num_gated`, `clipped`, `alpha`, `form`, `input`, `prefix`, `ignore`, `index`: what the weights do not tell; see
      `cyclax.from_arrays`.

    **Returns:** the model, with float64 leaves; for a slice as `index`, a list of models.

    **Raises:** `FileNotFoundError` and other `OSError`; `ValueError` that names the file and what is wrong in it;
    `ImportError` that says what to install for HDF5, or for MATLAB 4.
    """
    _check_stated(stated)
    return from_arrays(_content(file_path(path))[1], index=index, source=str(path), **stated)


def _check_stated(stated: Stated) -> None:
    unknown = [name for name in stated if name not in Stated.__annotations__]
    if unknown:
        known = ", ".join(("index", *Stated.__annotations__))
        raise TypeError(f"{unknown[0]}: there is no such argument; what a file does not tell is said by {known}.")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a file: printed, it says what it holds, which model it would be, or what is missing.

    - `container`: which kind of file it is.
    - `entries`: {full name: shape and type, or the value, in words}.
    - `model`: the network, if it is one; `problem`: what is missing or in the way, if not.
    """

    path: Path
    container: str
    entries: dict[str, str]
    model: AbstractPiecewiseLinearMap | None
    problem: str | None

    def __str__(self) -> str:
        width = max(map(len, self.entries), default=0)
        lines = [f"{self.path}: {self.container}, {len(self.entries)} entries"]
        lines += [f"  {name:{width}}  {said}" for name, said in self.entries.items()]
        if self.model is None:
            return "\n".join([*lines, f"not a network yet: {self.problem}"])
        inputs = getattr(self.model, str(self.model.input_matrix), np.zeros((0, 0))).shape[-1]
        sizes = f"{self.model.num_states} states, {self.model.num_gates} gates"
        through = f", {inputs} inputs through {self.model.input_matrix}" if inputs else ""
        return "\n".join([*lines, f"a network: {type(self.model).__name__}, {sizes}{through}"])


def inspect(path: str | Path, *, index: int | None = None, **stated: Unpack[Stated]) -> Contents:
    """Look into a file: what is in it, which model it would be, what is missing.

    **Arguments:** `path`; `index` and all else as for `cyclax.load`.

    **Returns:** `Contents`, to be printed.

    **Raises:** `OSError`, `ImportError`, and `ValueError` where the file itself cannot be read.
    """
    _check_stated(stated)
    path = file_path(path)
    container, content = _content(path)
    entries = {name: _in_words(value) for name, value in entries_of(content).items()}
    try:
        model, problem = from_arrays(content, index=index, source=str(path), **stated), None
    except ValueError as error:
        model, problem = None, str(error).removeprefix(f"{path}: ")
    return Contents(path, container, entries, model, problem)


def _in_words(value: Any) -> str:
    if isinstance(value, Unreadable):
        return f"not readable: {value}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.shape} {value.dtype}"
    text = repr(value.item() if isinstance(value, (np.ndarray, np.generic)) else value)
    return text if len(text) <= 60 else f"{text[:60]}.."


def save(path: str | Path, model: AbstractPiecewiseLinearMap) -> None:
    """Write a network to a `.json` or `.npz` file; numbers survive bitwise.

    **Arguments:** `path`: where to; its suffix says which. `model`: one of the classes of cyclax.

    **Raises:** `TypeError` for anything else in their places; `ValueError` for another suffix or a class that `load`
    does not know; `OSError` where the path cannot be written.
    """
    try:
        path = file_path(path)
    except TypeError as error:
        raise TypeError(f"{str(error).removesuffix('.')}; the path comes first: save(path, model).") from None
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


_KNOWN = ".json, .npz, .mat, .pt, .pth, .ckpt, .pkl, .safetensors, .h5, .keras, .jld2, .bson"
_TORCH = (".pt", ".pth", ".ckpt")
_PICKLES = (".pkl", ".pickle", ".p")
# How files begin that are something else.
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OTHERS = {
    _LEGACY_TORCH: "a pickle, as torch before 1.6 wrote; re-save it with torch.save in torch >= 1.6, without "
    "_use_new_zipfile_serialization=False",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
}


class _Container(NamedTuple):
    """A kind of file, and what reads it."""

    what: str
    read: Callable[[Path], Any]


def _content(path: Path) -> tuple[str, Any]:
    """Give the kind of a file and what is in it."""
    try:
        container = _container(path)
        return container.what, container.read(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file. Give the path of a network ({_KNOWN}).") from error
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{path}: this is a folder. Give the path of a network in it ({_KNOWN}).") from error


def _container(path: Path) -> _Container:
    """Choose a reader by what the file begins with, and by its suffix only where that does not tell."""
    with open(path, "rb") as stream:
        start = stream.read(4096)
    size = path.stat().st_size
    if start[:2] == b"PK":
        return _archive(path)
    if is_safetensors(start, size):
        return _Container("safetensors", read_safetensors)
    if is_hdf5(start):
        return _Container(writer_of(start), read_hdf5)
    if start[126:128] in (b"IM", b"MI"):  # which order of bytes MATLAB 5 and later wrote
        return _Container("MATLAB file", read_mat)
    for begin, what in _OTHERS.items():
        if start.startswith(begin):
            raise ValueError(f"{path}: this is {what}.")
    if start.startswith(np.lib.format.MAGIC_PREFIX):
        return _Container("array of NumPy (.npy)", _read_npy)
    if start[:1] == b"\x80" or (path.suffix in _PICKLES and start[:1] in (b"(", b"c", b"}", b"]")):
        return _Container("pickle", _read_pickle)
    if is_bson(start, size):
        return _Container("file of Julia (BSON)", read_bson)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") or (start and path.suffix == ".json"):
        return _Container("JSON", _read_json)
    if path.suffix == ".mat":  # MATLAB 4 begins with nothing of its own
        return _Container("MATLAB file", read_mat)
    found = f"it begins with {start[:16]!r}" if start else "it is empty"
    wrong = "no PyTorch checkpoint" if path.suffix in _TORCH else "no network that can be read"
    raise ValueError(f"{path}: this is {wrong} ({found}); known are {_KNOWN}, whatever the name of the file.")


def _archive(path: Path) -> _Container:
    torch = path.suffix in _TORCH
    with open(path, "rb") as stream, parsing(path, "PyTorch checkpoint" if torch else ".npz file"):
        names = opened_zip(stream).namelist()
    if any(map(is_structure, names)) or (torch and not any(name.endswith(".npy") for name in names)):
        return _Container("PyTorch checkpoint", read_torch)  # which says what is missing
    if "model.weights.h5" in names:
        return _Container("Keras archive", read_keras)
    return _Container(".npz of NumPy", lambda path: read_npz(path, objects_of))


def _read_npy(path: Path) -> Any:
    """Read the dict that `numpy.save` makes a file of; of other arrays it has one, and a network has several."""
    with open(path, "rb") as stream:
        content = read_npy(stream.read(), objects_of)
    if isinstance(content, dict):
        return content
    reason = f" (this one: {content})" if isinstance(content, Unreadable) else ""
    raise ValueError(
        f"{path}: this is one array of NumPy (.npy), and a network has several; save them with numpy.savez{reason}."
    )


def _read_pickle(path: Path) -> Any:
    try:
        with open(path, "rb") as stream, parsing(path, "pickle"):
            return unpickled(stream.read())
    except RefusedError as error:
        raise ValueError(f"{path}: this is a pickle; {error}.") from None


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
