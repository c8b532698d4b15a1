"""PyTorch checkpoint files (`torch.save`, torch >= 1.6), read without PyTorch and without running what they say.

Such a file is a zip archive: `data.pkl` holds the structure, `data/0`, `data/1`, .. the raw numbers. This reader is
used whether or not torch is installed: it is one path, tested against torch; it need not wait for torch's import; and
it allows less than `torch.load(weights_only=True)`.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import opened_zip, parsing
from cyclax.maps.io.pickles import PlainUnpickler, RefusedError

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
                raise RefusedError("this archive has no data.pkl; save model.state_dict() with torch.save")
            return _Reader(archive, structure).load()
    except RefusedError as error:
        raise ValueError(f"{path}: {error}.") from None


def is_structure(name: str) -> bool:
    """Whether an entry of a zip archive is the one that only PyTorch writes."""
    return name.rpartition("/")[2] == "data.pkl"


class _Reader(PlainUnpickler):
    """Unpickles tensors and what plain pickles hold, nothing else."""

    def __init__(self, archive: zipfile.ZipFile, structure: str):
        super().__init__(
            archive.read(structure),
            _names(),
            "this checkpoint holds Python objects ({name}); save model.state_dict() instead",
        )
        self._archive = archive
        self._folder = structure.removesuffix("data.pkl")
        self._storages: dict[str, np.ndarray] = {}
        order = f"{self._folder}byteorder"
        self._big = order in archive.namelist() and archive.read(order) == b"big"

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
                numbers = of_bfloat16(numbers)
            self._storages[key] = numbers
        return self._storages[key]


def of_bfloat16(halves: np.ndarray) -> np.ndarray:
    """Give the numbers whose upper halves, as float32, are these."""
    return (halves.astype("u4") << 16).view("f4")


def _names() -> dict[str, Any]:
    """Give what stands in for the names that a checkpoint may use besides those of all pickles.

    A pickle can set attributes on what it is given here. So these are strings, built-in types (which refuse that), and
    functions made anew for each file, on which one file cannot leave marks for the next.
    """

    def tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, grad: Any, hooks: Any, bits: Any = None):
        if bits:
            raise RefusedError(f"this checkpoint holds a tensor that is not resolved ({', '.join(bits)})")
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
    }
    return {f"torch.{name}": name for name in (*_STORAGES, *_DTYPES)} | functions
