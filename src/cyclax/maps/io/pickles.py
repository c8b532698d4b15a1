"""Pickles, read without running what they say: plain containers, numbers, texts and arrays, and no other name.

A pickle is a program for a small machine, which may name any function of Python and call it. Here every name that it
uses is looked up in a table of inert stand-ins, made anew for each file: nothing can be called but these, and no file
leaves a mark on what the next one is given.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from cyclax.core.storage import Unreadable

# Containers may be named many times, at two bytes each time: what they hold, written out, may be this many times as
# long as the file.
_SHARED = 16
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")
_KINDS = re.compile(r"[?biufcSUO]\d*|bool|u?int\d+|float\d+|bfloat16")


class RefusedError(Exception):
    """Raised for names that are not read, with a message for people; `parsing` lets it through."""


class _Dict(dict):
    """Stands for OrderedDict and other dicts; what pickles set on them beside their entries is dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class _Type:
    """Stands for a dtype: a kind and an order of bytes, nothing with fields."""

    __slots__ = ("_dtype",)

    def __init__(self, kind: Any):
        if not isinstance(kind, str) or not _KINDS.fullmatch(kind):
            raise ValueError(f"a type of numbers {kind!r} that is not known")
        self._dtype = np.dtype(jnp.bfloat16 if kind == "bfloat16" else kind)

    def __setstate__(self, state):
        _, order, *fields = state[:5]
        if any(field is not None for field in fields):
            raise ValueError("an array of records")
        if order in ("<", ">"):
            self._dtype = self._dtype.newbyteorder(order)

    def __call__(self) -> np.dtype:
        """Give the dtype."""
        return self._dtype


class _Array(np.ndarray):
    """Stands for an array, which gets its numbers after it has been made."""

    def __setstate__(self, state):
        shape, kind, fortran, raw = state[-4:]
        dtype, count = _dtype_of(kind), _count(shape)
        if dtype.hasobject:
            if not isinstance(raw, list) or len(raw) != count:
                raise ValueError("an array of objects is cut off")
        else:
            raw = raw.encode("latin-1") if isinstance(raw, str) else raw
            if len(raw) != count * dtype.itemsize:
                raise ValueError(f"an array holds {len(raw)} bytes instead of {count * dtype.itemsize}")
        super().__setstate__((1, shape, dtype, bool(fortran), raw))  # pyright: ignore[reportArgumentType]


class PlainUnpickler(pickle.Unpickler):
    """Unpickles plain containers, numbers, texts and arrays of NumPy and JAX, and what else it is given names for.

    **Arguments:** `raw`: the pickle; `names`: {"module.name": what stands for it}, besides those of all pickles;
    `refusal`: says of another name what to do.
    """

    def __init__(self, raw: bytes, names: Mapping[str, Any], refusal: str):
        # A memo is as long as the largest number in it; and lengths that do not fit are found here.
        for code, argument, _ in pickletools.genops(raw):
            if code.name in _MEMO and argument is not None and argument > len(raw):
                raise ValueError(f"number {argument} of a memo, in {len(raw)} bytes")
        super().__init__(io.BytesIO(raw), encoding="latin-1")
        self._size = len(raw)
        self._names = {**_stand_ins(), **names}
        self._refusal = refusal

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give an inert stand-in for the few names that weights need."""
        # What Python 2 called builtins, and so do old protocols.
        name = f"{module_name.replace('__builtin__', 'builtins')}.{global_name}"
        if name not in self._names:
            raise RefusedError(self._refusal.format(name=name))
        return self._names[name]

    def load(self) -> Any:
        """Read the pickle, whose containers may not hold too much."""
        found = super().load()
        require_bounded(found, self._size)
        return found


def require_bounded(found: Any, size: int) -> None:
    """Raise a `ValueError` where what a file of `size` bytes holds, written out, would be much longer than the file."""
    most = _SHARED * size
    waiting, count, seen = [found], 0, set()
    while waiting:
        one = waiting.pop()
        count += 1
        if count > most:
            raise ValueError(f"it names its containers so often that they hold more than {most} entries")
        if isinstance(one, Mapping):
            if id(one) not in seen:  # what reads dicts looks into each of them once
                seen.add(id(one))
                waiting += one.values()
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one


def _stand_ins() -> dict[str, Any]:
    def mapping(*content: Any) -> _Dict:
        """Make a dict of pairs or of a dict; a factory of defaults is dropped."""
        return _Dict(content[-1]) if content and isinstance(content[-1], (dict, list)) else _Dict()

    def reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
        return np.ndarray.__new__(_Array, (0,), np.int8)

    def dtype(kind: Any, align: Any = False, copy: Any = False) -> _Type:
        return _Type(kind)

    def scalar(kind: Any, raw: Any = b"") -> Any:
        if _dtype_of(kind).hasobject:
            raise ValueError("a number of type object")
        return np.frombuffer(raw.encode("latin-1") if isinstance(raw, str) else raw, _dtype_of(kind))[0]

    def from_buffer(raw: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
        return np.frombuffer(raw, _dtype_of(kind)).reshape(shape, order="F" if order == "F" else "C")

    def of_jax(function: Any, arguments: Any, state: Any, *_: Any) -> np.ndarray:
        array = np.ndarray.__new__(_Array, (0,), np.int8)
        array.__setstate__(state)
        return array

    def encoded(text: str, encoding: str = "latin-1") -> bytes:
        return str(text).encode("latin-1")

    def empty_bytes() -> bytes:
        return b""

    names: dict[str, Any] = {
        "collections.OrderedDict": _Dict,
        "collections.defaultdict": mapping,
        "flax.core.frozen_dict.FrozenDict": mapping,
        "_codecs.encode": encoded,
        "builtins.bytes": empty_bytes,
        "builtins.set": set,
        "builtins.frozenset": frozenset,
        "builtins.complex": complex,
        "numpy.ndarray": "ndarray",
        "numpy.dtype": dtype,
        "ml_dtypes.bfloat16": "bfloat16",
        "jax._src.array._reconstruct_array": of_jax,
    }
    for core in ("numpy.core", "numpy._core"):
        names |= {f"{core}.multiarray._reconstruct": reconstruct, f"{core}.multiarray.scalar": scalar}
        names |= {f"{core}.numeric._frombuffer": from_buffer}
    # As factories of defaults: nothing that can be called.
    return names | {f"builtins.{name}": name for name in ("dict", "list", "int", "float", "str", "bool")}


def _dtype_of(kind: Any) -> np.dtype:
    if type(kind) is not _Type:
        raise ValueError("an array without a type")
    return kind()


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"an array of shape {shape!r}")
    return int(np.prod(shape, dtype=object)) if shape else 1


_REFUSAL = (
    "it holds Python objects ({name}), which are never made here. If you trust it, unpickle it yourself and give its "
    "arrays to cyclax.from_arrays, or save them with numpy.savez"
)


def unpickled(raw: bytes) -> Any:
    """Read a pickle of plain containers, numbers, texts and arrays.

    **Raises:** `RefusedError` that names what else it holds; what parsers raise where it is damaged.
    """
    return PlainUnpickler(raw, {}, _REFUSAL).load()


def objects_of(raw: bytes) -> Any:
    """Read the pickle of an array of Python objects in an `.npz` file: its numbers or texts, or the one it holds."""
    try:
        array = unpickled(raw)
    except RefusedError as error:
        return Unreadable(str(error))
    if isinstance(array, np.ndarray) and array.dtype.hasobject:
        if array.shape == ():
            return array.item()
        try:
            plain = np.array(array.tolist())
        except ValueError:
            return Unreadable("its entries have different shapes")
        return plain if plain.dtype.kind in "biufU" else array
    return array
