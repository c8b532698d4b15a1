"""PyTorch checkpoint files (`torch.save`, torch >= 1.6), read without PyTorch and without running what they say.

Such a file is a zip archive: `data.pkl` holds the structure, `data/0`, `data/1`, .. the raw numbers. This reader is
used whether or not torch is installed: it is one path, tested against torch; it need not wait for torch's import; and
it allows less than `torch.load(weights_only=True)`.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import opened_zip, parsing

# NumPy's type of each kind of storage. bfloat16, which NumPy lacks, is the upper half of a float32.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
}
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def read_torch(path: Path) -> Any:
    """Read what `torch.save` wrote.

    **Returns:** the object that was saved: dicts, lists, numbers and strings, with NumPy arrays for tensors.

    **Raises:** `ValueError` that names the file where it is broken, or holds Python objects.
    """
    try:
        with open(path, "rb") as file, parsing(path, "PyTorch checkpoint"):
            archive = opened_zip(file)
            structure = next((name for name in archive.namelist() if is_structure(name)), None)
            if structure is None:
                raise _RefusedError("this archive has no data.pkl; save model.state_dict() with torch.save")
            with archive.open(structure) as stream:
                return _Reader(stream, archive, structure.removesuffix("data.pkl")).load()
    except _RefusedError as error:
        raise ValueError(f"{path}: {error}.") from None


def is_structure(name: str) -> bool:
    """Whether an entry of a zip archive is the one that only PyTorch writes."""
    return name.rpartition("/")[2] == "data.pkl"


class _RefusedError(Exception):
    pass


class _Dict(dict):
    """Stands for OrderedDict; what pickles set on a state dict beside its entries (`_metadata`) is dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class _Reader(pickle.Unpickler):
    """Unpickles tensors and plain containers, nothing else."""

    def __init__(self, stream, archive: zipfile.ZipFile, folder: str):
        super().__init__(stream, encoding="utf-8")
        self._archive = archive
        self._folder = folder
        self._storages: dict[str, np.ndarray] = {}
        order = f"{folder}byteorder"
        self._big = order in archive.namelist() and archive.read(order) == b"big"
        self._allowed = _allowed()

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give an inert stand-in for the few names that weights need."""
        name = f"{module_name}.{global_name}"
        if name in self._allowed:
            return self._allowed[name]
        raise _RefusedError(f"this checkpoint holds Python objects ({name}); save model.state_dict() instead")

    def persistent_load(self, pid: Any) -> np.ndarray:
        """Read a storage: several tensors may share one."""
        _, kind, key, _, length = pid
        if key not in self._storages:
            raw = self._archive.read(f"{self._folder}data/{key}")
            dtype = np.dtype(_STORAGES[kind]).newbyteorder(">" if self._big else "<")
            if len(raw) != length * dtype.itemsize:
                raise ValueError(f"data/{key} holds {len(raw)} bytes instead of {length * dtype.itemsize}")
            numbers = np.frombuffer(raw, dtype)
            if kind == "BFloat16Storage":
                numbers = (numbers.astype("u4") << 16).view("f4")
            self._storages[key] = numbers
        return self._storages[key]


def _allowed() -> dict[str, Any]:
    """Give what stands in for the names that a pickle may use.

    A pickle can set attributes on what it is given here. So these are strings, built-in types (which refuse that), and
    functions made anew for each file, on which one file cannot leave marks for the next.
    """

    def tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, grad: Any, hooks: Any, bits: Any = None):
        if bits:
            raise _RefusedError(f"this checkpoint holds a tensor that is not resolved ({', '.join(bits)})")
        width = storage.itemsize
        # NumPy checks that offset and strides stay inside the buffer.
        return np.ndarray(size, storage.dtype, storage, offset * width, [step * width for step in stride])

    def parameter(data: Any, grad: Any, hooks: Any) -> Any:
        return data

    def device(*words: Any) -> str:
        return ":".join(map(str, words))

    functions: dict[str, Any] = {
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter,
        "torch.device": device,
        "torch.Size": tuple,
        "collections.OrderedDict": _Dict,
    }
    return {f"torch.{name}": name for name in (*_STORAGES, *_DTYPES)} | functions
