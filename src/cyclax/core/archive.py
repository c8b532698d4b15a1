"""Archives: what results are saved in. A header in JSON and arrays, each checked as it is taken out.

The header is compared with a *form*: a type (`str`, `int`, `float`, `bool`, `dict`, `None`), a union of types, a
dataclass (an object with some of its fields), `[form]` (a list of such), `(form, form)` (a list of just these),
`{"key": form, "other?": form}` (an object with these keys, the second perhaps, or null), `{int: form}` (an object with
numbers for keys) or a frozenset of the values that there are.
"""

import contextlib
import dataclasses
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cyclax.core.storage import Unreadable, read_npz, take_digest, write_npz


def write_archive(
    path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, Any], *, compressed: bool = False
) -> None:
    """Write a header, made of plain Python values, and arrays to an `.npz` file."""
    write_npz(path, {"header": np.array(json.dumps(header)), **arrays}, compressed=compressed)


class Archive:
    """A file that `write_archive` wrote.

    **Arguments:** `path`; `wrong`: what a file is that is another ("no track that cyclax wrote"); `form`: that of its
    header.

    **Raises:** `FileNotFoundError` and other `OSError`; `ValueError` that names the file, where it is damaged, or its
    header is another.
    """

    def __init__(self, path: str | Path, wrong: str, form: Any):
        self.path, self.wrong = path, wrong
        self.entries = read_npz(path)
        self._taken: set[str] = set()
        text = self._entry("header")
        with self.reading():
            if text.dtype.kind != "U" or text.ndim:
                raise ValueError(f"its header is an array {text.shape} of {text.dtype}, not a text")
            try:
                self.header = json.loads(text.item())
            except RecursionError as error:
                raise ValueError("its header is nested too deeply") from error
            different = misfit(self.header, form, "header")
            if different is not None:
                raise ValueError(different)
        # Sizes of the axes met so far, by their names.
        self.sizes: dict[str, Any] = {}

    def finish(self) -> None:
        """Refuse entries that nobody has taken out, and any that are not as they were written."""
        take_digest(self.path, self.entries, needed=False)
        left = sorted(self.entries.keys() - self._taken)
        if left:
            self.refuse(f"{left[0]} in it is not known")

    def refuse(self, why: str) -> NoReturn:
        """Raise a `ValueError` that names the file, and says what is wrong with it."""
        raise ValueError(
            f"{self.path}: this is {self.wrong} ({why}). If it was one, it has been damaged or changed since: copy it "
            "or write it again."
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Name the file in the `ValueError` with which classes refuse what is in it."""
        try:
            yield
        except ValueError as error:
            text = str(error)
            if text.startswith(f"{self.path}: "):
                raise
            self.refuse(text.removesuffix("."))

    def array(self, name: str, kind: Any, axes: str) -> np.ndarray:
        """Give an array.

        **Arguments:** `kind`: `float`, `int`, `bool`, `complex`, `str`, or the annotation of jaxtyping; `axes`: names
        of its axes, as jaxtyping writes them ("k M", "N ... n"): the same name is the same size in all arrays.
        """
        array = self._entry(name)
        if not _is_of(array.dtype, kind):
            self.refuse(f"{name} holds {array.dtype}")
        if not self._fits(array.shape, axes.split()):
            known = {axis: size for axis, size in self.sizes.items() if axis in axes.split()}
            given = f" with {known}" if known else ""
            self.refuse(f"{name} has shape {array.shape} instead of ({axes}){given}")
        return array

    def fields(self, of: type, prefix: str, axes: str = "", *, but: tuple[str, ...] = ()) -> dict[str, Any]:
        """Give arrays for the fields of a dataclass, as its annotations say; numbers and texts are arrays without axes.

        **Arguments:** `prefix`: what stands before the names of the fields; `axes`: in front of those of each field;
        `but`: fields that are none.
        """
        found = {}
        for field in dataclasses.fields(of):
            if field.name not in but:
                own = getattr(field.type, "dim_str", "")
                array = self.array(f"{prefix}{field.name}", field.type, f"{axes} {own}")
                found[field.name] = array if array.ndim else array.item()
        return found

    def _entry(self, name: str) -> np.ndarray:
        self._taken.add(name)
        entry = self.entries.get(name)
        if entry is None:
            self.refuse(f"no {name} in it")
        if isinstance(entry, Unreadable):
            self.refuse(f"{name}: {entry.reason}")
        return entry

    def _fits(self, shape: tuple[int, ...], axes: list[str]) -> bool:
        if "..." in axes:
            more = len(shape) - len(axes) + 1
            if more < 0:
                return False
            at = axes.index("...")
            middle, shape = shape[at : at + more], shape[:at] + shape[at + more :]
            if self.sizes.setdefault("...", middle) != middle:
                return False
            axes = [axis for axis in axes if axis != "..."]
        return len(shape) == len(axes) and all(
            size == (int(axis) if axis.isdigit() else self.sizes.setdefault(axis, size))
            for size, axis in zip(shape, axes, strict=True)
        )


_KINDS = {float: "f", int: "iu", bool: "b", complex: "c", str: "U"}


def _is_of(dtype: np.dtype, kind: Any) -> bool:
    return dtype.kind in _KINDS[kind] if kind in _KINDS else dtype.name in kind.dtypes


def misfit(value: Any, form: Any, where: str) -> str | None:
    """Say where and how a value read from JSON differs from a form (see the module), or None."""
    match form:
        case [inner]:
            if not isinstance(value, list):
                return f"{where} is {_shown(value)} instead of a list"
            return _first(misfit(item, inner, f"{where}[{i}]") for i, item in enumerate(value))
        case dict():
            return _misfit_of_object(value, form, where)
        case frozenset():
            fits = isinstance(value, (str, int)) and value in form
            return None if fits else f"{where} is {_shown(value)} instead of {' or '.join(sorted(map(str, form)))}"
        case types.UnionType():
            wrong = [misfit(value, one, where) for one in form.__args__]
            return None if None in wrong else wrong[0]
    if isinstance(form, tuple):
        if not isinstance(value, list) or len(value) != len(form):
            return f"{where} is {_shown(value)} instead of a list of {len(form)}"
        return _first(misfit(item, one, f"{where}[{i}]") for i, (item, one) in enumerate(zip(value, form, strict=True)))
    if dataclasses.is_dataclass(form):
        fields = {field.name: field.type for field in dataclasses.fields(form)}
        unknown = value.keys() - fields.keys() if isinstance(value, dict) else ()
        if unknown:
            return f"{where} has {', '.join(sorted(unknown))}, which is not known"
        return _misfit_of_object(value, {f"{name}?": kind for name, kind in fields.items()}, where)
    form = type(None) if form is None else form
    fits = isinstance(value, (float, int) if form is float else form)
    if isinstance(value, int):
        fits &= abs(value) < 2**63 and (form is bool or not isinstance(value, bool))
    if fits:
        return None
    return f"{where} is {_shown(value)} instead of {form.__name__}"


def _misfit_of_object(value: Any, form: dict[Any, Any], where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{where} is {_shown(value)} instead of an object"
    for key, inner in form.items():
        if key is int:
            odd = [name for name in value if not (name.isascii() and name.isdigit() and len(name) < 19)]
            inside = (misfit(item, inner, f"{where}.{name}") for name, item in value.items())
            wrong = f"{where} has the key {odd[0][:40]!r}, which is no number" if odd else _first(inside)
        else:
            name = key.removesuffix("?")
            if name == key and name not in value:
                return f"{where} has no {name}"
            perhaps = name != key and value.get(name) is None
            wrong = None if perhaps else misfit(value[name], inner, f"{where}.{name}")
        if wrong:
            return wrong
    return None


def _first(wrong: Iterator[str | None]) -> str | None:
    return next((one for one in wrong if one is not None), None)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}.."
