"""Models as plain content, {"model": "PLRNN", "A": ..., "W": ..., "h": ...}: what a file holds."""

import dataclasses
import difflib
from typing import Any

import jax.numpy as jnp
import numpy as np

from cyclax.core.checks import refuse_misread
from cyclax.maps.almost_linear import AlmostLinearRNN
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.classic import BorderCollisionNormalForm, LoziMap, SkewTentMap, TentMap
from cyclax.maps.dendritic import ClippedDendriticPLRNN, DendriticPLRNN
from cyclax.maps.leaky import CurrentRNN, LowRankRNN, RateRNN, RectifiedRNN
from cyclax.maps.plrnn import PLRNN, LowRankPLRNN, MeanCenteredPLRNN
from cyclax.maps.relu_rnn import LeakyReLURNN, ReLURNN
from cyclax.maps.shallow import ClippedShallowPLRNN, ShallowPLRNN

MODELS: dict[str, type[AbstractPiecewiseLinearMap]] = {
    model.__name__: model
    for model in (
        PLRNN,
        MeanCenteredPLRNN,
        ShallowPLRNN,
        ClippedShallowPLRNN,
        DendriticPLRNN,
        ClippedDendriticPLRNN,
        AlmostLinearRNN,
        LowRankPLRNN,
        ReLURNN,
        LeakyReLURNN,
        RateRNN,
        CurrentRNN,
        RectifiedRNN,
        LowRankRNN,
        TentMap,
        SkewTentMap,
        LoziMap,
        BorderCollisionNormalForm,
    )
}


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


def from_dict(content: dict[str, Any], *, source: str) -> AbstractPiecewiseLinearMap:
    """Build a model from the content of a network file; `source` stands in the messages."""
    arguments = {
        name: (integer if field.metadata.get("static") else numbers)(content[name], name, source)
        for name, field in fields_of(content, source=source).items()
    }
    try:
        return MODELS[content["model"]](**arguments)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def fields_of(content: dict[str, Any], *, source: str) -> dict[str, dataclasses.Field]:
    """Give the fields of the class that `content` names; raise a `ValueError` unless it holds exactly these."""
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
    return fields


def array_fields(model: str) -> dict[str, str]:
    """Give the fields of a class that hold arrays, with their dimensions as jaxtyping writes them ("M H")."""
    fields = dataclasses.fields(MODELS[model])
    return {field.name: getattr(field.type, "dim_str", "") for field in fields if not field.metadata.get("static")}


def numbers(value: Any, name: str, source: str) -> np.ndarray:
    """Convert nested lists and the arrays of NumPy, JAX and PyTorch to float64; `name` stands in the messages."""
    try:
        value = _off_device(value)
        refuse_misread(value)
        array = np.asarray(value)
        # The second test is for JAX's bfloat16, which is a foreign type to NumPy.
        if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"its entries are of type {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError, MemoryError) as error:
        raise ValueError(f"{source}: {name} is not an array of numbers ({str(error).rstrip('.')}).") from error


def _off_device(value: Any) -> Any:
    """Bring a PyTorch tensor, known by its methods, to NumPy."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:
        # NumPy has no bfloat16; float32 holds it exactly.
        return tensor.float().numpy()


def integer(value: Any, name: str, source: str) -> int:
    """Convert an integer, alone or in an array of size 1; `name` stands in the messages."""
    try:
        number = np.asarray(_off_device(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {name} is not an integer ({error}).") from error
    if number.size == 1 and not isinstance(value, bool | float):
        number = number.item()
        # MATLAB writes every number as a 1 x 1 array of doubles.
        if isinstance(number, float) and number.is_integer():
            return int(number)
        if isinstance(number, int) and not isinstance(number, bool):
            return number
    raise ValueError(f"{source}: {name} is not an integer, but {value!r}.")
