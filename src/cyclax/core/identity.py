"""What tells one setting of a run from another: a hash of all that an object consists of, functions included.

A store goes on only with the run that it was begun with, so equal settings must have one hash wherever they were made,
and others must not. Numbers and arrays count by their bits, containers and objects by what they hold, functions by
their code, constants, defaults, closures and the globals that they use. What an installed library defines is known by
its name alone.
"""

import dis
import enum
import functools
import hashlib
import sys
import types
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Attributes of a class that say nothing of what it does, or that are made from the others.
_SILENT = {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__annotate_func__",
           "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__abstractvars__", "__abstractclassvars__",
           "__dataclass_params__", "__dataclass_fields__", "__match_args__", "__firstlineno__", "__static_attributes__",
           "__orig_bases__", "__parameters__"}  # fmt: skip


def fingerprint(value: Any, what: str, *, name: str | None = None) -> str:
    """Give a hash of all that an object consists of.

    **Arguments:** `value`: any object. `what`: what the message calls it. `name`: stands for parts that cannot be
    looked into, such as a function written in C by somebody else; without it, they are refused.

    **Raises:** `ValueError` that names such a part, and the remedy.
    """
    return _Reader(what, name).digest(value)


class _Opaque(Exception):
    """A part cannot be looked into."""


class _Reader:
    """One reading: what has been read is not read again, and what holds itself comes to an end."""

    def __init__(self, what: str, name: str | None):
        self.what, self.name = what, name
        self.known: dict[int, tuple[Any, str]] = {}
        self.open: list[int] = []

    def digest(self, value: Any) -> str:
        """Give the hash of one part."""
        if value is None or (isinstance(value, (bool, int, float, complex, str, bytes)) and _is_library(type(value))):
            return _hash(type(value).__name__, repr(value))
        if id(value) in self.open:
            return _hash("above", len(self.open) - self.open.index(id(value)))
        if id(value) not in self.known:
            self.open.append(id(value))
            try:
                parts = self.parts(value)
            except _Opaque:
                if self.name is None:
                    raise ValueError(self._refusal(value)) from None
                parts = ("named", self.name, _full_name(type(value)))
            finally:
                self.open.pop()
            # The value is kept with its hash: another one might get its address.
            self.known[id(value)] = value, _hash(*parts)
        return self.known[id(value)][1]

    def _refusal(self, value: Any) -> str:
        return (
            f"store: {self.what}: {value!r:.80} cannot be looked into, so a store could not tell it from another one. "
            "Write it as a Python function or as an object whose attributes say what it is, or give `fit` a name "
            "that stands for it (name=..), and another one whenever it changes."
        )

    def all(self, values: Any) -> list[str]:
        """Give the hashes of several parts, in order."""
        return [self.digest(value) for value in values]

    def parts(self, value: Any) -> tuple[Any, ...]:
        """Say of what an object consists."""
        if isinstance(value, (np.ndarray, np.generic, jax.Array)):
            return self.array(value)
        if isinstance(value, Mapping) and _is_library(type(value)):
            items = sorted((self.digest(key), self.digest(entry)) for key, entry in value.items())
            return (_full_name(type(value)), *items)
        if isinstance(value, Set) and _is_library(type(value)):
            return (_full_name(type(value)), *sorted(self.all(value)))
        if type(value) in (tuple, list):
            return (type(value).__name__, *self.all(value))
        if (where := _where(value)) is not None:
            return ("library", where)
        if isinstance(value, type):
            return self.cls(value)
        if isinstance(value, types.CodeType):
            return self.code(value)
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)) and value.__self__ is not None:
            return ("method", self.digest(value.__self__), value.__name__, self.digest(type(value.__self__)))
        if isinstance(value, functools.partial):
            return ("partial", *self.all([value.func, value.args, value.keywords]))
        if isinstance(value, (jax.stages.Wrapped, functools._lru_cache_wrapper)):
            return ("wrapped", self.digest(value.__wrapped__))  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(value, (staticmethod, classmethod)):
            return (type(value).__name__, self.digest(value.__func__))
        if isinstance(value, property):
            return ("property", *self.all([value.fget, value.fset]))
        return self.instance(value)

    def array(self, value: Any) -> tuple[Any, ...]:
        """Numbers count by their bits."""
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return ("key", str(jax.random.key_impl(value)), self.digest(np.asarray(jax.random.key_data(value))))
        if isinstance(value, jax.core.Tracer):  # pyright: ignore[reportAttributeAccessIssue]
            raise _Opaque
        array = np.asarray(value)
        if array.dtype.hasobject:
            return ("objects", array.shape, *self.all(array.ravel().tolist()))
        return ("array", str(array.dtype), array.shape, array.tobytes())

    def function(self, value: types.FunctionType) -> tuple[Any, ...]:
        """What a function is made of. Of a library's the name says which code it runs, but not what it encloses."""
        cells = [cell.cell_contents if _is_filled(cell) else None for cell in value.__closure__ or ()]
        held = self.all([value.__defaults__, value.__kwdefaults__, cells])
        if _is_library_name(value.__globals__.get("__name__")):
            return ("function", value.__globals__["__name__"], value.__code__.co_qualname, *held)
        extra = {name: one for name, one in vars(value).items() if name != "__wrapped__"}
        used = self.globals_of(value.__code__, value.__globals__)
        return ("function", *held, *self.all([value.__code__, extra, used]))

    def code(self, value: types.CodeType) -> tuple[Any, ...]:
        """Say what code does, not where it stands."""
        named = value.co_varnames[: value.co_argcount + value.co_kwonlyargcount]
        counts = value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags
        return (
            "code",
            value.co_code,
            value.co_exceptiontable,
            value.co_names,
            named,
            counts,
            *self.all(value.co_consts),
        )

    def globals_of(self, code: types.CodeType, names: dict[str, Any]) -> dict[str, Any]:
        """Give the globals that code uses; of modules that are no library, also what it may use of them."""
        used: dict[str, Any] = {}
        for one in _nested(code):
            for instruction in dis.get_instructions(one):
                name = instruction.argval
                if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in names:
                    used[name] = names[name]
                elif instruction.opname == "IMPORT_NAME" and name in sys.modules:
                    used[name] = sys.modules[name]
            modules = [(name, module) for name, module in used.items() if isinstance(module, types.ModuleType)]
            for name, module in modules:
                if not _is_library_name(module.__name__):
                    inside = {entry: vars(module)[entry] for entry in one.co_names if entry in vars(module)}
                    used |= {f"{name}.{entry}": value for entry, value in inside.items()}
        return used

    def cls(self, value: type) -> tuple[Any, ...]:
        """A class of one's own is what it defines, and what its bases do."""
        own = {
            name: entry
            for name, entry in vars(value).items()
            if name not in _SILENT and not _is_generated(entry) and not isinstance(entry, types.MemberDescriptorType)
        }
        return ("class", value.__name__, *self.all([own, value.__bases__]))

    def instance(self, value: Any) -> tuple[Any, ...]:
        """An object is its class and its attributes, or what it tells those who copy it."""
        kind = type(value)
        if isinstance(value, types.ModuleType):
            return ("module", value.__name__)
        if isinstance(value, enum.Enum):
            return ("enum", self.digest(kind), value.name)
        if isinstance(value, np.dtype) or kind.__name__ == "PyTreeDef":
            return (kind.__name__, str(value))
        if isinstance(value, (tuple, list, dict, set, frozenset, int, float, complex, str, bytes)):
            plain = next(base for base in kind.__mro__ if base.__module__ == "builtins")
            return ("plain", *self.all([kind, plain(value), getattr(value, "__dict__", None)]))
        if kind is object:  # a mark, which does nothing
            return ("mark",)
        state = dict(getattr(value, "__dict__", {}))
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        state |= {name: getattr(value, name) for name in slots if hasattr(value, name)}
        # What a class written in C holds besides is not among its attributes.
        if state and _is_python(kind) and not (_is_library(kind) and _copies_itself(kind)):
            return ("object", *self.all([kind, state]))
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            # Whatever an object raises on being copied says that it cannot be.
            raise _Opaque from None
        if isinstance(reduced, str):
            raise _Opaque
        made, arguments, *state = reduced
        return (
            "copied",
            *self.all([made, arguments, *(list(one) if hasattr(one, "__next__") else one for one in state)]),
        )


def _hash(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()[:16]


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@functools.cache
def _is_library_name(name: Any) -> bool:
    """Say whether a module belongs to what is installed, and not to the user."""
    if not isinstance(name, str):
        return False
    top = name.partition(".")[0]
    if top == "cyclax" or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(name) or sys.modules.get(top), "__file__", None)
    return file is not None and bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _is_library(kind: type) -> bool:
    return _is_library_name(kind.__module__)


def _where(value: Any) -> str | None:
    """Give the name by which a library gives this very object, if one does."""
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    if not _is_library_name(module):
        return None
    if isinstance(value, types.ModuleType):
        return module
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    found = sys.modules.get(module)  # pyright: ignore[reportArgumentType]
    for part in str(name).split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value and name is not None else None


def _nested(code: types.CodeType) -> list[types.CodeType]:
    inner = [one for constant in code.co_consts if isinstance(constant, types.CodeType) for one in _nested(constant)]
    return [code, *inner]


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _is_generated(entry: Any) -> bool:
    # What `dataclass` writes follows from the fields.
    return isinstance(entry, types.FunctionType) and entry.__code__.co_filename == "<string>"


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_python(kind: type) -> bool:
    """Say whether a class, with all its bases, comes from a `class` statement: C makes it fixed, or not on the heap."""
    heap, fixed = 1 << 9, 1 << 8
    return all(base is object or (base.__flags__ & heap and not base.__flags__ & fixed) for base in kind.__mro__)


def _copies_itself(kind: type) -> bool:
    return kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
