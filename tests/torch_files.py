"""PyTorch checkpoint files, written by hand: whole, odd and hostile ones."""

import struct
import zipfile
from typing import NamedTuple

import numpy as np


class Global(NamedTuple):
    name: str


class Call(NamedTuple):
    function: str
    arguments: tuple


class Set(NamedTuple):
    """An object whose state the pickle sets."""

    target: object
    state: object


class Storage(NamedTuple):
    kind: str
    key: str
    length: int


def pickled(value) -> bytes:
    """A pickle of protocol 2, with the objects that torch would write in it."""
    match value:
        case Global(name):
            return f"c{name.rpartition('.')[0]}\n{name.rpartition('.')[2]}\n".encode()
        case Call(function, arguments):
            return pickled(Global(function)) + pickled(arguments) + b"R"
        case Set(target, state):
            return pickled(target) + pickled(state) + b"b"
        case Storage(kind, key, length):
            return pickled(("storage", Global(f"torch.{kind}"), key, "cuda:0", length)) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return f"L{value}L\n".encode()
        case str():
            return b"X" + struct.pack("<i", len(value.encode())) + value.encode()
        case tuple() | list():
            return b"(" + b"".join(map(pickled, value)) + (b"t" if isinstance(value, tuple) else b"l")
        case dict():
            return b"(" + b"".join(pickled(key) + pickled(item) for key, item in value.items()) + b"d"
    raise TypeError(value)


def tensor(storage, size, stride, offset=0, **metadata):
    extra = (metadata,) if metadata else ()
    hooks = Call("collections.OrderedDict", ())
    return Call("torch._utils._rebuild_tensor_v2", (storage, offset, size, stride, False, hooks, *extra))


def write(path, content, storages=None, *, byteorder="little", folder="archive"):
    records = {"data.pkl": b"\x80\x02" + (content if isinstance(content, bytes) else pickled(content)) + b"."}
    records |= {"byteorder": byteorder.encode()} if byteorder else {}
    records |= {f"data/{key}": raw for key, raw in (storages or {}).items()} | {"version": b"3\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in records.items():
            archive.writestr(f"{folder}/{name}", raw)
    return path


def contiguous(array):
    return tuple(int(step) // array.itemsize for step in array.strides)


def write_arrays(path, arrays, kind="FloatStorage", dtype="<f4", **options):
    arrays = {name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()}
    content = {
        name: tensor(Storage(kind, str(i), array.size), array.shape, contiguous(array))
        for i, (name, array) in enumerate(arrays.items())
    }
    write(path, content, {str(i): array.tobytes() for i, array in enumerate(arrays.values())}, **options)
    return {name: array.astype(np.float64) for name, array in arrays.items()}
