"""`.bson` files as Julia's package BSON writes them: documents, in which tags say what stands for which Julia value.

Nothing of Julia is made: arrays of numbers become arrays (they stand column by column), dicts and named tuples dicts,
and a struct becomes the dict of its fields where its class is one of those that are known; all else is not readable.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import Unreadable, parsing
from cyclax.maps.io.pickles import require_bounded

_NUMBERS = {
    **{f"Float{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"Int{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UInt{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "Bool": "?",
}
# The structs of trainers, by their names: a struct in a file has no names of its fields. (DurstewitzLab/GTF-shPLRNN.)
_PLRNN, _SHALLOW, _DENDRITIC = ("A", "W", "h", "C"), ("A", "W1", "W2", "h1", "h2", "C"), ("A", "W", "h", "alpha")
_STRUCTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "PLRNN": (_PLRNN, {}),
    "mcPLRNN": (_PLRNN, {"model": "MeanCenteredPLRNN"}),
    "shallowPLRNN": (_SHALLOW, {"clipped": False}),
    "clippedShallowPLRNN": (_SHALLOW, {"clipped": True}),
    "dendPLRNN": ((*_DENDRITIC, "thresholds", "C"), {"clipped": False}),
    "clippedDendPLRNN": ((*_DENDRITIC, "thresholds", "C"), {"clipped": True}),
}
_DEEPEST = 100


def is_bson(start: bytes, size: int) -> bool:
    """Whether a file of this size that begins so may be one: it says how long it is, and what its first entry is."""
    return len(start) >= 5 and struct.unpack("<i", start[:4])[0] == size and start[4] in _KINDS


def read_bson(path: Path) -> dict[str, Any]:
    """Read what BSON.jl wrote.

    **Returns:** arrays, numbers, texts, lists and dicts; `Unreadable` for all else.

    **Raises:** `ValueError` that names the file where it is damaged.
    """
    with open(path, "rb") as stream:
        raw = stream.read()
    with parsing(path, ".bson file"):
        document, end = _document(raw, 0, False, 0)
        if end != len(raw):
            raise ValueError("it is longer than it says")
        references = _References(document.pop("_backrefs", []))
        content = {name: _raised(value, references, 0) for name, value in document.items()}
        require_bounded(content, len(raw))
        return content


# -- documents ---------------------------------------------------------------------------------------------------------

_DOUBLE, _STRING, _DOCUMENT, _LIST, _BINARY, _BOOL, _NULL, _INT32, _INT64 = 1, 2, 3, 4, 5, 8, 10, 16, 18
_SIMPLE = {_DOUBLE: "<d", _BOOL: "<?", _INT32: "<i", _INT64: "<q"}
_KINDS = _SIMPLE.keys() | {_STRING, _DOCUMENT, _LIST, _BINARY, _NULL}


def _document(raw: bytes, at: int, as_list: bool, depth: int) -> tuple[Any, int]:
    """Read a document, or a list, which is one whose names count up."""
    if depth > _DEEPEST:
        raise ValueError("its documents stand too deep in each other")
    (length,) = struct.unpack_from("<i", raw, at)
    end = at + length
    if length < 5 or end > len(raw) or raw[end - 1]:
        raise ValueError("a document is longer than what holds it")
    names: list[str] = []
    values: list[Any] = []
    at += 4
    while at < end - 1:
        kind, stop = raw[at], raw.index(0, at + 1, end)
        names.append(raw[at + 1 : stop].decode())
        value, at = _value(raw, stop + 1, kind, depth)
        values.append(value)
    if at != end - 1:
        raise ValueError("an entry is longer than its document")
    if as_list:
        return values, end
    if len(set(names)) < len(names):
        raise ValueError("two entries of a document have one name")
    return dict(zip(names, values, strict=True)), end


def _value(raw: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _SIMPLE:
        (value,) = struct.unpack_from(_SIMPLE[kind], raw, at)
        return value, at + struct.calcsize(_SIMPLE[kind])
    if kind in (_DOCUMENT, _LIST):
        return _document(raw, at, kind == _LIST, depth + 1)
    if kind == _NULL:
        return None, at
    if kind not in (_STRING, _BINARY):
        raise ValueError(f"an entry of kind {kind}, which is not known")
    (length,) = struct.unpack_from("<i", raw, at)
    begin = at + 4 + (kind == _BINARY)
    if length < (kind == _STRING) or begin + length > len(raw):
        raise ValueError("an entry is longer than the file")
    content = raw[begin : begin + length]
    return content[:-1].decode() if kind == _STRING else content, begin + length


# -- values of Julia ---------------------------------------------------------------------------------------------------


class _References:
    """What is named by numbers, from 1 on; what each stands for is found out once."""

    def __init__(self, documents: list[Any]):
        self._documents = documents
        self._known: dict[int, Any] = {}

    def document(self, value: Any) -> Any:
        """Give the document that a reference names."""
        number = value["ref"]
        if type(number) is not int or not 1 <= number <= len(self._documents):
            raise ValueError(f"reference {number} of {len(self._documents)}")
        return self._documents[number - 1]

    def value(self, value: Any, depth: int) -> Any:
        """Give what that document stands for."""
        document, number = self.document(value), value["ref"]
        if number not in self._known:
            self._known[number] = Unreadable("it holds itself")
            self._known[number] = _raised(document, self, depth + 1)
        return self._known[number]


def _raised(value: Any, references: _References, depth: int) -> Any:
    """Give the value that a document stands for."""
    if depth > _DEEPEST:
        return Unreadable("it holds itself")
    if isinstance(value, list):
        return [_raised(one, references, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    match value.get("tag"):
        case "backref":
            return references.value(value, depth)
        case "array":
            return _array(value, references, depth)
        case "struct":
            return _struct(value, references, depth)
        case "symbol":
            return str(value["name"])
        case "tuple" | "svec":
            return _raised(list(value["data"]), references, depth + 1)
        case None:
            return {name: _raised(one, references, depth + 1) for name, one in value.items()}
        case other:
            return Unreadable(f"it is a value of Julia with the tag {other}")


def _type_name(kind: Any, references: _References) -> str:
    """Give the last part of a type's name."""
    if isinstance(kind, dict) and kind.get("tag") == "backref":
        kind = references.document(kind)
    name = kind.get("name") if isinstance(kind, dict) else None
    return str(name[-1]) if isinstance(name, list) and name else "unknown"


def _array(value: dict[str, Any], references: _References, depth: int) -> Any:
    name, shape, data = _type_name(value["type"], references), value["size"], value["data"]
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"an array of size {shape}")
    if isinstance(data, list):
        if len(shape) == 1:
            return _raised(data, references, depth + 1)
        return Unreadable(f"it is an array of {name}, which are no numbers")
    if name not in _NUMBERS:
        return Unreadable(f"it is an array of {name}")
    dtype = np.dtype(_NUMBERS[name])
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of size {shape} holds {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F")


def _struct(value: dict[str, Any], references: _References, depth: int) -> Any:
    name, data = _type_name(value["type"], references), value["data"]
    if isinstance(data, bytes):  # a number
        known = name in _NUMBERS and len(data) == np.dtype(_NUMBERS[name]).itemsize
        return np.frombuffer(data, _NUMBERS[name])[0] if known else Unreadable(f"it is a {name} of Julia")
    fields = _raised(list(data), references, depth + 1)
    if name in ("Dict", "IdDict", "OrderedDict") and len(fields) == 2:
        keys, values = (list(part) if isinstance(part, (list, np.ndarray)) else [] for part in fields)
        return dict(zip(map(str, keys), values, strict=True))
    if name == "NamedTuple":
        keys = _raised(value["type"]["params"], references, depth + 1)[0]
        return dict(zip(map(str, keys), fields, strict=True))
    if name in _STRUCTS:
        names, more = _STRUCTS[name]
        if len(names) - 1 <= len(fields) <= len(names):  # C came later
            own = {key: field for key, field in zip(names, fields, strict=False) if field is not None}
            return {**{key: field for key, field in own.items() if key != "C" or "model" not in more}, **more}
    return Unreadable(f"it is a struct {name} of Julia, of which a file does not hold the names of the fields")
