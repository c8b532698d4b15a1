"""`.safetensors` files: eight bytes say how long the header is, the header (JSON) says where each array stands."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import Unreadable, parsing
from cyclax.maps.io.torch_file import of_bfloat16

_TYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    "BF16": "<u2",
    "BOOL": "?",
}
# The header of a file may not be longer, by the format's own rule.
_LONGEST = 100_000_000


def is_safetensors(start: bytes, size: int) -> bool:
    """Whether a file of this size that begins so may be one."""
    return len(start) > 8 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= min(size - 8, _LONGEST)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read the arrays of a `.safetensors` file, and the texts of its `__metadata__`.

    **Returns:** arrays; `Unreadable` for those of a type that NumPy lacks.

    **Raises:** `ValueError` that names the file where it is damaged.
    """
    with open(path, "rb") as stream:
        raw = stream.read()
    with parsing(path, ".safetensors file"):
        (length,) = struct.unpack_from("<Q", raw)
        header, data = json.loads(raw[8 : 8 + length]), memoryview(raw)[8 + length :]
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        metadata = header.pop("__metadata__", {})
        return {**dict(metadata), **{name: _array(name, entry, data) for name, entry in header.items()}}


def _array(name: str, entry: dict[str, Any], data: memoryview) -> Any:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)) or not begin <= end <= len(data):
        raise ValueError(f"{name} of shape {shape} does not stand at {begin} to {end}")
    if kind not in _TYPES:
        return Unreadable(f"it is of type {kind}")
    dtype = np.dtype(_TYPES[kind])
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} holds {end - begin} bytes instead of {math.prod(shape) * dtype.itemsize}")
    numbers = np.frombuffer(data[begin:end], dtype)
    return (of_bfloat16(numbers) if kind == "BF16" else numbers).reshape(shape)
