"""Reads an HDF5 file from its standard input, for `cyclax.maps.io.hdf5_file`, in a process of its own.

On damaged files the HDF5 library may crash, or go on for ever, and neither would be a message. So this is run as a
program, and imports nothing of cyclax. It writes a pickle of dicts, lists, arrays, texts and numbers; a tuple of one
text says why an entry cannot be read. Links into other files are not followed.

**Arguments** (words of the command line): "turned" where axes are the other way around, else "plain"; the most bytes of
all arrays.
"""

import io
import pickle
import sys
from typing import Any

import h5py
import numpy as np

_DEEPEST = 32


class _Reader:
    def __init__(self, file: Any, most: int, turned: bool):
        self._file, self._left, self._turned = file, most, turned
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
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                found[name] = ("it is a link to elsewhere",)
                continue
            found[name] = self._item(group[name], depth)
        self._inside.pop()
        return found

    def _item(self, item: Any, depth: int) -> Any:
        if isinstance(item, h5py.Group):
            return self.group(item, depth + 1)
        if not isinstance(item, h5py.Dataset):
            return ("it is no array",)
        try:
            return self._dataset(item, depth)
        except (TypeError, NotImplementedError, OSError) as error:
            return (str(error) or type(error).__name__,)

    def _attributes(self, group: Any) -> dict[str, Any]:
        found = {}
        for name in group.attrs:
            try:
                value = group.attrs[name]
            except (TypeError, OSError):
                continue
            if isinstance(value, (str, bytes)):
                found[name] = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            elif np.size(value) == 1 and np.asarray(value).dtype.kind in "biuf":
                found[name] = value
        return found

    def _dataset(self, item: Any, depth: int) -> Any:
        if item.external or item.is_virtual:
            return ("its numbers stand in other files",)
        if item.shape is None or item.attrs.get("MATLAB_empty", 0):
            return np.zeros(0)
        self._left -= item.size * item.dtype.itemsize
        if self._left < 0:
            raise ValueError(f"{item.name} of shape {item.shape} and what stands before it are too large for the file")
        value = item[()]
        kind = item.attrs.get("MATLAB_class")
        if kind == b"char":
            return "".join(map(chr, np.asarray(value).reshape(-1, order="F").tolist()))
        return self._value(np.asarray(value, bool) if kind == b"logical" else value, depth)

    def _value(self, value: Any, depth: int) -> Any:
        """Give what is read of a dataset, or of a part of it, as plain content."""
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, h5py.Reference):
            if depth > _DEEPEST or not value:
                return ("it is a reference to nothing",)
            return self._item(self._file[value], depth + 1)
        if isinstance(value, np.void) and value.dtype.names:
            return _struct({name: self._value(value[name], depth + 1) for name in value.dtype.names})
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "biuf":
                return np.ascontiguousarray(value.T if self._turned else value)
            if self._turned and value.ndim == 1 and value.size < 1000:
                return [self._value(one, depth + 1) for one in value]
            return (f"its entries are of type {value.dtype}",)
        if isinstance(value, (str, np.number, np.bool)):
            return value
        return (f"it is a {type(value).__name__}",)


def _struct(fields: dict[str, Any]) -> Any:
    """Give the fields of a struct of Julia; of a Dict, which is a list of pairs, what it holds."""
    pairs = fields.get("kvvec")
    if len(fields) == 1 and isinstance(pairs, list):
        return {str(pair["first"]): pair["second"] for pair in pairs if isinstance(pair, dict)}
    return fields


def main(turned: str, most: str) -> None:
    """Read standard input; write what it holds, or, as a text, what is wrong with it."""
    try:
        with h5py.File(io.BytesIO(sys.stdin.buffer.read()), "r") as file:
            found: Any = _Reader(file, int(most), turned == "turned").group(file, 0)
    except Exception as error:
        found = str(error) or type(error).__name__
    sys.stdout.buffer.write(pickle.dumps(found, protocol=4))


if __name__ == "__main__":
    main(*sys.argv[1:])
