"""MATLAB's `.mat` files of versions 5 to 7: numbers, texts and structs.

SciPy reads them too, and crashes the interpreter on some damaged ones (a type that is not known, in a file that is not
compressed): that would be no message. It is asked for version 4 alone, where it does not.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import Unreadable, parsing

# Types of elements, and how NumPy reads them; UTF-8, -16 and -32 as their units.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
# Classes of arrays.
_STRUCT, _CHAR = 2, 4
_NUMBERS = dict(zip(range(6, 16), ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))
_CLASSES = {1: "a cell array", 3: "an object", 5: "a sparse matrix", 16: "a function", 17: "an object"}


def read_mat(path: Path) -> dict[str, Any]:
    """Read the variables of a `.mat` file.

    **Returns:** arrays of two axes or more, texts, and dicts for structs; `Unreadable` for all else.

    **Raises:** `ValueError` that names the file where it is damaged, or of version 7.3; `ImportError` where it is of
    version 4 and SciPy is missing.
    """
    with open(path, "rb") as stream:
        raw = stream.read()
    if raw[126:128] not in (b"IM", b"MI"):
        return _read_version_4(path)
    order = "<" if raw[126:128] == b"IM" else ">"
    if raw[124:126] == (b"\x00\x02" if order == "<" else b"\x02\x00"):
        raise ValueError(f"{path}: a MATLAB v7.3 (HDF5) file without its HDF5 part; is the file complete?")
    with parsing(path, ".mat file"):
        variables: dict[str, Any] = {}
        for kind, data in _elements(raw[128:], order):
            if kind == _COMPRESSED:
                ((kind, data),) = _elements(_unpacked(data, order), order)
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind} where a variable should be")
            name, value = _variable(data, order)
            if name in variables:
                raise ValueError(f"two variables are called {name}")
            if name:  # without one, MATLAB keeps data of its own classes
                variables[name] = value
    return variables


def _read_version_4(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise ImportError(f"{path}: reading .mat files of MATLAB 4 needs scipy; pip install 'cyclax[io]'.") from error
    with open(path, "rb") as stream, parsing(path, ".mat file", MatReadError):
        return {name: value for name, value in loadmat(stream).items() if not name.startswith("__")}


def _unpacked(data: bytes, order: str) -> bytes:
    """Unpack an element, no further than it says that it is long."""
    packed = zlib.decompressobj()
    tag = packed.decompress(data, 8)
    (length,) = struct.unpack(f"{order}I", tag[4:])
    unpacked = tag + packed.decompress(packed.unconsumed_tail, length + 8)
    if packed.decompress(packed.unconsumed_tail, 1):
        raise ValueError("a variable is longer than it says")
    if not packed.eof:
        raise ValueError("a variable ends early")
    return unpacked


def _elements(raw: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Give the elements that follow each other, each with its type."""
    at = 0
    while at < len(raw):
        kind, length = struct.unpack_from(f"{order}II", raw, at)
        if kind >> 16:  # a small one stands in its own tag
            kind, length, begin = kind & 0xFFFF, kind >> 16, at + 4
            end = after = at + 8
        else:
            begin = at + 8
            end = begin + length
            after = end if kind == _COMPRESSED else begin + math.ceil(length / 8) * 8
        if begin + length > min(end, len(raw)):
            raise ValueError("an element is longer than what holds it")
        yield kind, raw[begin : begin + length]
        at = after


def _variable(data: bytes, order: str) -> tuple[str, Any]:
    if not data:
        return "", np.zeros((0, 0))
    parts = _elements(data, order)
    flags = int(_numbers(next(parts), order)[0])
    shape = _numbers(next(parts), order).tolist()
    name = next(parts)[1].decode("latin-1")
    what = flags & 0xFF
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    if what in _NUMBERS:
        value = _numbers(next(parts), order)
        if flags & 0x0800:
            value = value + 1j * _numbers(next(parts), order)
        else:
            value = value.astype(bool if flags & 0x0200 else _NUMBERS[what])
        return name, value.reshape(shape, order="F")
    if what == _CHAR:
        return name, _text(next(parts), order)
    if what == _STRUCT and math.prod(shape) == 1:
        return name, _struct(parts, order)
    if what != _STRUCT and what not in _CLASSES:
        raise ValueError(f"{name} is of a class {what} that is not known")
    return name, Unreadable(f"it is {_CLASSES.get(what, 'an array of structs')} of MATLAB")


def _numbers(element: tuple[int, bytes], order: str) -> np.ndarray:
    kind, data = element
    if kind not in _TYPES:
        raise ValueError(f"an element of type {kind} where numbers should be")
    return np.frombuffer(data, f"{order}{_TYPES[kind]}")


def _text(element: tuple[int, bytes], order: str) -> str:
    kind, data = element
    if kind in _TEXTS:
        return data.decode(_TEXTS[kind] + ("" if kind == 16 else "-le" if order == "<" else "-be"))
    return "".join(map(chr, _numbers(element, order).tolist()))


def _struct(parts: Iterator[tuple[int, bytes]], order: str) -> dict[str, Any]:
    width = int(_numbers(next(parts), order)[0])
    names = next(parts)[1]
    if width < 1 or len(names) % width:
        raise ValueError("the names of a struct are cut off")
    fields = [names[i : i + width].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)]
    found: dict[str, Any] = {}
    for name in fields:
        kind, data = next(parts)
        if kind != _MATRIX or name in found:
            raise ValueError(f"the field {name} of a struct is not as it should be")
        found[name] = _variable(data, order)[1]
    return found
