"""Which entries of a model move, and the models that they make."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cyclax.core.checks import whole
from cyclax.maps.base import AbstractPiecewiseLinearMap

# What `Parameter.to_list` gives, as `cyclax.core.archive` compares it.
PARAMETER = (str, [int], bool)
_ENTRY = re.compile(r"^\s*([A-Za-z_]\w*)\s*(?:\[([\d\s,]+)\])?\s*$")


class Parameter:
    """One number in a model that moves: `Parameter("A", 0)`, `Parameter("W", 0, 1)`, `Parameter("slope")`.

    **Arguments:**

    - `leaf`: the name of a weight of the model; with `set` a name of your own.
    - `index`: the entry of it, none for a weight that is a single number.
    - `set`: f(model, value) -> model, for what is not one entry (a slope that two entries share, say). Written with
      `jax.numpy`, as it is traced.
    - `offset`: add the value to what the model has instead of replacing it.

    Parameters are equal, and hash equal, when they move the same thing in the same way.
    """

    def __init__(self, leaf: str, *index: int, set: Callable[[Any, Any], Any] | None = None, offset: bool = False):
        if not isinstance(leaf, str):
            raise TypeError(f"Parameter: the first argument is the name of a weight, got {leaf!r}.")
        entry = tuple(whole(i, f"Parameter: the index of {leaf}", None) for i in index)
        if set is not None and (index or offset):
            raise ValueError(f"Parameter({leaf!r}): with set=, there is neither an index nor an offset.")
        self.leaf, self.index, self.set, self.offset = leaf, entry, set, bool(offset)

    @classmethod
    def parse(cls, text: str, *, offset: bool = False) -> "Parameter":
        """Read a parameter from its name, `A[0]` or `W[0,1]`."""
        match = _ENTRY.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no parameter; write the name of a weight and an entry, such as W[0,1].")
        index = [int(i) for i in match[2].split(",")] if match[2] else []
        return cls(match[1], *index, offset=offset)

    @classmethod
    def from_list(cls, content: list) -> "Parameter":
        """Give the parameter of which `to_list` gave this."""
        leaf, index, offset = content
        return cls(leaf, *index, offset=offset)

    def to_list(self) -> list:
        """Give plain Python values, for files; of a parameter that is no function."""
        return [self.leaf, list(self.index), self.offset]

    @property
    def name(self) -> str:
        """The name that files, axes and plots use."""
        return self.leaf + (f"[{','.join(map(str, self.index))}]" if self.index else "")

    @property
    def label(self) -> str:
        """What axes are called in pictures."""
        return f"offset of {self.name}" if self.offset else self.name

    def _identity(self):
        return self.leaf, self.index, self.set, self.offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameter) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"Parameter({self.name}{' (offset)' if self.offset else ''})"

    def apply(self, model: Any, value: Any) -> Any:
        """Give the model with this parameter at `value`; traced or not."""
        if self.set is not None:
            return self.set(model, value)
        entry = jnp.asarray(getattr(model, self.leaf)).at[self.index]
        moved = entry.add(value) if self.offset else entry.set(value)
        return eqx.tree_at(lambda m: getattr(m, self.leaf), model, moved)

    def check(self, model: AbstractPiecewiseLinearMap) -> None:
        """Raise a `ValueError` where the model has no such entry."""
        if self.set is not None:
            return
        names = [name for name in vars(model) if eqx.is_array_like(getattr(model, name))]
        if self.leaf not in names:
            known = ", ".join(names)
            raise ValueError(f"{self.name}: {type(model).__name__} has no weight {self.leaf!r}, but {known}.")
        shape = np.shape(getattr(model, self.leaf))
        inside = len(self.index) == len(shape) and all(
            -size <= i < size for i, size in zip(self.index, shape, strict=True)
        )
        if not inside:
            raise ValueError(f"{self.name}: {self.leaf} has shape {shape}, so this is not one entry of it.")

    def entry(self, model: AbstractPiecewiseLinearMap) -> float:
        """Give what the model has where this parameter, no function, moves it."""
        return float(np.asarray(getattr(model, self.leaf), np.float64)[self.index])

    def own(self, model: AbstractPiecewiseLinearMap) -> float:
        """Give the value at which the model is as it is; of no function."""
        return 0.0 if self.offset else self.entry(model)

    def place(self, model: AbstractPiecewiseLinearMap) -> tuple | None:
        """Tell entries apart: name and index counted from the front; None for a function."""
        if self.set is not None:
            return None
        return self.leaf, *(i % n for i, n in zip(self.index, np.shape(getattr(model, self.leaf)), strict=True))


def checked_parameters(model: AbstractPiecewiseLinearMap, keys: Iterable[Any]) -> tuple[Parameter, ...]:
    """Give the parameters that keys, or their names, stand for, once the model is seen to have them, each once."""
    parameters = tuple(map(_parameter, keys))
    places: dict[tuple, Parameter] = {}
    for parameter in parameters:
        parameter.check(model)
        place = parameter.place(model)
        if place is not None and place in places:
            raise ValueError(f"parameters: {parameter!r} and {places[place]!r} are the same entry of the model.")
        if place is not None:
            places[place] = parameter
    names = [parameter.name for parameter in parameters]
    if len(set(names)) < len(names):
        raise ValueError(f"parameters: two of them have the same name ({', '.join(names)}).")
    return parameters


def moved(model: Any, parameters: Sequence[Parameter], values: Any) -> Any:
    """Give the model with each parameter at its value `(P,)`; traced or not."""
    for i, parameter in enumerate(parameters):
        model = parameter.apply(model, values[i])
    return model


def moved_stack(
    model: AbstractPiecewiseLinearMap, parameters: tuple[Parameter, ...], values: Float[np.ndarray, "n P"]
) -> AbstractPiecewiseLinearMap:
    """Give a stack of models, one for each row of parameter values. Must be called under `numerics()`."""
    if any(parameter.set is not None for parameter in parameters):
        size = 1 << max(4, (len(values) - 1).bit_length())
        stack = _moved_by_functions(model, parameters, np.resize(values, (size, values.shape[1])))
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(values)], stack)
    # Entries are moved in NumPy: what is traced would have to be compiled anew for every choice of them.
    leaves: dict[str, np.ndarray] = {}
    for parameter, column in zip(parameters, values.T, strict=True):
        leaf = np.asarray(getattr(model, parameter.leaf), np.float64)
        stack = leaves.setdefault(parameter.leaf, np.tile(leaf, (len(values), *[1] * leaf.ndim)))
        entry = stack[(slice(None), *parameter.index)]
        stack[(slice(None), *parameter.index)] = entry + column if parameter.offset else column
    others = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], len(values), axis=0), model)
    return eqx.tree_at(lambda m: [getattr(m, name) for name in leaves], others, list(leaves.values()))


@functools.partial(jax.jit, static_argnames="parameters")
def _moved_by_functions(model, parameters, values):
    return jax.vmap(lambda row: moved(model, parameters, row))(values)


def _parameter(key: Any) -> Parameter:
    if isinstance(key, str):
        return Parameter.parse(key)
    if not isinstance(key, Parameter):
        raise TypeError(f"parameters: {key!r} is no parameter; expected cx.Parameter('A', 0), or its name 'A[0]'.")
    return key
