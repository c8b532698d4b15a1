"""HDF5 files: what Keras saves, MATLAB from version 7.3 on, Julia's JLD2, and arrays that somebody wrote with h5py.

Links into other files are not followed, and what is larger than the file can hold is not read.
"""

import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from cyclax.core.extras import extra
from cyclax.core.storage import MOST_BYTES, Unreadable, opened_zip, parsing

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 may begin behind a block of the writer's own, of which these are the sizes.
_BLOCKS = (0, 512, 1024, 2048)
# A compressed array may be this many times as large as the file.
_MOST_PACKED = 2000
_DEEPEST = 32
_PLAIN = "HDF5 file"
# What Keras calls the weights of a cell, in the order in which it writes them.
_OF_A_CELL = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}


def is_hdf5(start: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return any(start[at : at + 8] == _SIGNATURE for at in _BLOCKS)


def writer_of(start: bytes) -> str:
    """Say in words who wrote the HDF5 file that begins so."""
    if start.startswith(b"MATLAB 7.3"):
        return "MATLAB file of version 7.3 (HDF5)"
    return "file of Julia (JLD2, HDF5)" if b"Julia" in start[:128] else _PLAIN


def read_hdf5(path: Path) -> dict[str, Any]:
    """Read the arrays, texts and groups of an HDF5 file.

    **Returns:** arrays (those of MATLAB and Julia, which stand column by column there, with their axes as they were),
    texts, and dicts; `Unreadable` for all else.

    **Raises:** `ValueError` that names the file where it is damaged; `ImportError` where h5py is missing.
    """
    with open(path, "rb") as stream:
        start = stream.read(max(_BLOCKS) + 8)
        stream.seek(0)
        what = writer_of(start)
        return _read(path, stream, what, path.stat().st_size, column_by_column=what != _PLAIN)


def read_keras(path: Path) -> dict[str, Any]:
    """Read the weights of a `.keras` archive, with the activations that its configuration states.

    **Raises:** as `read_hdf5`.
    """
    with open(path, "rb") as stream, parsing(path, ".keras file"):
        archive = opened_zip(stream)
        config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else {}
        with archive.open("model.weights.h5") as weights:
            found = _read(path, weights, "Keras archive", archive.getinfo("model.weights.h5").file_size, False)
        _state_activations(found, config)
    return found


def _read(path: Path, stream: IO[bytes], what: str, size: int, column_by_column: bool) -> dict[str, Any]:
    h5py = extra("h5py", "io", f"{path}: a {what} is read by")
    with parsing(path, what), h5py.File(stream, "r") as file:
        reader = _Reader(file, h5py, min(MOST_BYTES, _MOST_PACKED * size), column_by_column)
        found = reader.group(file, 0)
        if isinstance(config := found.get("model_config"), str):
            _state_activations(found, json.loads(config))
    return found


class _Reader:
    """Reads groups and datasets of one file.

    **Arguments:** `most`: bytes of all arrays together; `column_by_column`: the axes are the other way around.
    """

    def __init__(self, file: Any, h5py: Any, most: int, column_by_column: bool):
        self._file, self._h5py = file, h5py
        self._left = most
        self._turned = column_by_column
        self._inside: list[Any] = []

    def group(self, group: Any, depth: int) -> dict[str, Any]:
        """Read what a group holds; attributes that are numbers or texts are entries, too."""
        if depth > _DEEPEST or group.id in self._inside:
            raise ValueError("its groups stand too deep in each other")
        self._inside.append(group.id)
        found: dict[str, Any] = {} if self._turned else self._attributes(group)
        for name in group:
            if name.startswith("#") or (self._turned and name in ("_types", "_refs")):
                continue  # of MATLAB, and of Julia: what others refer to, and types
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                found[name] = Unreadable("it is a link to elsewhere")
                continue
            # Names of TensorFlow's variables end in a number.
            found[name.removesuffix(":0")] = self._item(group[name], depth)
        self._inside.pop()
        if group.name.endswith("cell/vars"):
            found = {_OF_A_CELL.get(name, name): value for name, value in found.items()}
        return found

    def _item(self, item: Any, depth: int) -> Any:
        if isinstance(item, self._h5py.Group):
            return self.group(item, depth + 1)
        if not isinstance(item, self._h5py.Dataset):
            return Unreadable("it is no array")
        try:
            return self._dataset(item, depth)
        except (TypeError, NotImplementedError, OSError) as error:
            return Unreadable(str(error) or type(error).__name__)

    def _attributes(self, group: Any) -> dict[str, Any]:
        found = {}
        for name in group.attrs:
            try:
                value = group.attrs[name]
            except (TypeError, OSError):
                continue
            if isinstance(value, (str, bytes)) or np.size(value) == 1:
                found[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
        return found

    def _dataset(self, item: Any, depth: int) -> Any:
        if item.external or item.is_virtual:
            return Unreadable("its numbers stand in other files")
        if item.shape is None or item.attrs.get("MATLAB_empty", 0):
            return np.zeros(0)
        self._left -= item.size * item.dtype.itemsize
        if self._left < 0:
            raise ValueError(f"{item.name} of shape {item.shape} and what stands before it are too large for the file")
        value = item[()]
        if item.attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, np.asarray(value).reshape(-1, order="F").tolist()))
        if item.attrs.get("MATLAB_class") == b"logical":
            value = np.asarray(value, bool)
        return self._value(value, depth)

    def _value(self, value: Any, depth: int) -> Any:
        """Give what is read of a dataset, or of a part of it, as plain content."""
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, self._h5py.Reference):
            if depth > _DEEPEST or not value:
                return Unreadable("it is a reference to nothing")
            return self._item(self._file[value], depth + 1)
        if isinstance(value, np.void) and value.dtype.names:
            return self._struct({name: self._value(value[name], depth + 1) for name in value.dtype.names})
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "biuf":
                return value.T if self._turned else value
            if self._turned and value.ndim == 1 and value.size < 1000:
                return [self._value(one, depth + 1) for one in value]
            return (
                value.astype(str) if value.dtype.kind == "S" else Unreadable(f"its entries are of type {value.dtype}")
            )
        return value

    @staticmethod
    def _struct(fields: dict[str, Any]) -> Any:
        """Give the fields of a struct of Julia; of a Dict, which is a list of pairs, what it holds."""
        pairs = fields.get("kvvec")
        if len(fields) == 1 and isinstance(pairs, list):
            return {str(pair["first"]): pair["second"] for pair in pairs if isinstance(pair, dict)}
        return fields


def _state_activations(found: dict[str, Any], config: Any) -> None:
    """Put beside each layer of Keras the activation that the configuration of a model states for it."""
    said: dict[str, str] = {}
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            name, activation = one.get("name"), one.get("activation")
            if isinstance(name, str) and "units" in one:
                said[name] = activation if isinstance(activation, str) else str(activation)
    groups = [("", found)]
    while groups:
        name, group = groups.pop()
        own = group.get("vars")
        name = own.get("name", name) if isinstance(own, dict) else name
        if name in said:
            group.setdefault("activation", said[name])
        groups += [(key, value) for key, value in group.items() if isinstance(value, dict)]
