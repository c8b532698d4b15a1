"""Networks in `.json` and `.npz` files: {"model": "PLRNN", "A": ..., "W": ..., "h": ...}. No pickle anywhere."""

import dataclasses
import difflib
import json
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.maps.almost_linear import AlmostLinearRNN
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.classic import BorderCollisionNormalForm, LoziMap, SkewTentMap, TentMap
from cyclax.maps.plrnn import PLRNN, MeanCenteredPLRNN
from cyclax.maps.shallow import ClippedShallowPLRNN, ShallowPLRNN
from cyclax.storage import read_npz, write_atomically

MODELS: dict[str, type[AbstractPiecewiseLinearMap]] = {
    model.__name__: model
    for model in (
        PLRNN,
        MeanCenteredPLRNN,
        ShallowPLRNN,
        ClippedShallowPLRNN,
        AlmostLinearRNN,
        TentMap,
        SkewTentMap,
        LoziMap,
        BorderCollisionNormalForm,
    )
}


def load(path: str | Path) -> AbstractPiecewiseLinearMap:
    """Read a network.

    **Arguments:** `path`: a `.json` or `.npz` file that holds `model` (a class name) and one entry per field.

    **Returns:** the model, with float64 leaves.

    **Raises:** `FileNotFoundError`; `ValueError` that names the file and what is wrong in it.
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise ValueError(f"{path}: networks are read from .json and .npz files, not from {path.suffix or 'this'!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file. Give the path of a .json or .npz network.")
    content = _read_json(path) if path.suffix == ".json" else _read_npz(path)
    return from_dict(content, source=str(path))


def save(path: str | Path, model: AbstractPiecewiseLinearMap) -> None:
    """Write a network to a `.json` or `.npz` file; numbers survive bitwise.

    **Raises:** `ValueError` for another suffix or a class that `load` does not know; `OSError` where the path cannot
    be written.
    """
    path = Path(path)
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


def to_dict(model: AbstractPiecewiseLinearMap) -> dict[str, Any]:
    """Give the content of a network file: the class name and each field, arrays as NumPy float64."""
    name = type(model).__name__
    if MODELS.get(name) is not type(model):
        raise ValueError(f"{name} is not one of the classes a file can hold ({', '.join(MODELS)}).")
    content: dict[str, Any] = {"model": name}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        content[field.name] = value if field.metadata.get("static") else np.asarray(value, dtype=np.float64)
    return content


def from_dict(content: Any, *, source: str = "network") -> AbstractPiecewiseLinearMap:
    """Build a model from the content of a network file; `source` stands in the messages."""
    if not isinstance(content, dict) or "model" not in content:
        raise ValueError(f'{source}: expected an object with the entry "model", one of {", ".join(MODELS)}.')
    name = content["model"]
    if not isinstance(name, str) or name not in MODELS:
        near = difflib.get_close_matches(str(name), MODELS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{source}: unknown model {name!r}.{hint} Known: {', '.join(MODELS)}.")
    fields = {field.name: field for field in dataclasses.fields(MODELS[name])}
    missing = [field for field in fields if field not in content]
    if missing:
        found = ", ".join(sorted(set(content) - {"model"})) or "nothing"
        raise ValueError(f"{source}: {name} needs {', '.join(fields)}; missing: {', '.join(missing)}; found: {found}.")
    unknown = sorted(set(content) - set(fields) - {"model"})
    if unknown:
        raise ValueError(f"{source}: {name} has no {', '.join(unknown)}; its entries are {', '.join(fields)}.")
    arguments = {
        name: (_integer if field.metadata.get("static") else _numbers)(content[name], name, source)
        for name, field in fields.items()
    }
    try:
        return MODELS[content["model"]](**arguments)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _numbers(value: Any, name: str, source: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"its entries are of type {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {name} is not an array of numbers ({error}).") from error


def _integer(value: Any, name: str, source: str) -> int:
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{source}: {name} is not an integer, but {value!r}.")
    return value


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: this is not valid JSON ({error}); is the file complete?") from error


def _read_npz(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_npz(path)
    if "model" in content:
        content["model"] = str(content["model"])
    return content
