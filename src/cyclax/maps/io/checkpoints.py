"""Published weights: which model a set of named arrays stands for is read off the names.

`docs/checkpoints.md` has the table of names.
"""

import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, overload

import numpy as np

from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.layouts import LAYOUTS, NAMES, Arrays, Layout, best_layout
from cyclax.maps.io.registry import MODELS, array_fields, fields_of, from_dict, integer, numbers
from cyclax.maps.io.sequence import split
from cyclax.maps.io.stated import unheard

_MOST_LISTED = 30


class Stated(TypedDict, total=False):
    """What is said of weights beside them: see `from_arrays`."""

    num_gated: int | Literal["all"] | None
    clipped: bool | None
    input: Any
    prefix: str | None
    ignore: str | Sequence[str]


@overload
def from_arrays(
    arrays: Mapping[str, Any], *, index: int | None = None, source: str = "arrays", **stated: Unpack[Stated]
) -> AbstractPiecewiseLinearMap: ...
@overload
def from_arrays(
    arrays: Mapping[str, Any], *, index: slice, source: str = "arrays", **stated: Unpack[Stated]
) -> list[AbstractPiecewiseLinearMap]: ...
def from_arrays(
    arrays: Mapping[str, Any],
    *,
    num_gated: int | Literal["all"] | None = None,
    clipped: bool | None = None,
    input: Any = None,
    prefix: str | None = None,
    ignore: str | Sequence[str] = (),
    index: int | slice | None = None,
    source: str = "arrays",
) -> AbstractPiecewiseLinearMap | list[AbstractPiecewiseLinearMap]:
    """Build a model from named weights, such as a PyTorch state dict.

    The names decide (`W` and `rnn.W` alike; dicts may be nested). What no model uses, such as a read-out, is left out,
    but not what may make another map of the weights: see `ignore`.

    - `A, W, h` (`A` a diagonal or a matrix): `PLRNN`, or `AlmostLinearRNN` where `num_gated` is given. With `B` beside
      them, as almost-linear RNNs are published, `num_gated` must be given.
    - `A, W1, W2, h1, h2`: `ShallowPLRNN`, or `ClippedShallowPLRNN` where `clipped` is true.
    - `AW, h`: `PLRNN` with the diagonal of `AW` as A and the rest of it as W; with `alphas, thetas` too:
      `DendriticPLRNN` with thresholds = -thetas, or `ClippedDendriticPLRNN` where `clipped` is true.
    - `weight_hh_l0, weight_ih_l0, bias_ih_l0, bias_hh_l0` of `torch.nn.RNN` (one layer, one direction), or those of
      `torch.nn.RNNCell`: `ReLURNN`. **The ReLU is assumed**: a state dict does not tell `nonlinearity="relu"` from
      PyTorch's default, tanh, which is not piecewise-linear. LSTM and GRU are refused.
    - the fields of any other class of cyclax, or those of the class that the entry `model` names.

    **Arguments:**

    - `arrays`: names and their NumPy, JAX or PyTorch arrays, or nested lists.
    - `num_gated`: P of an almost-linear RNN, which its weights do not tell; "all" for a `PLRNN`. Default: an entry
      `num_gated` or `P`.
    - `clipped`: whether a shallow or dendritic PLRNN is clipped, which its weights do not tell. Default: an entry
      `clipped`, else false.
    - `input`: `(I,)`, a constant input of a `torch.nn.RNN`: `weight_ih_l0 @ input` is added to its bias. Default: none.
      For the other models, use `model.with_input`.
    - `prefix`: look only at the names below this one (`"encoder.rnn"`), where several networks are in one file.
    - `ignore`: a name or names of entries to leave out. An array beside the weights that is not used and has the shape
      of a bias or of recurrent weights, and words such as bias, tau, dt, alpha, leak, decay, mask, dale, activation,
      nonlinearity, are refused unless they agree with the model ("relu", dt = tau, a mask of ones) or are named here.
    - `index`: where entries have one axis more in front, the arrays are a sequence of models (which share the entries
      that do not): an integer picks one, a slice gives a list of them (`slice(None)`: all).
    - `source`: what the messages call the arrays.

    **Returns:** the model, with float64 leaves; for a slice, a list of models.

    **Raises:** `ValueError` that says what was found, what is known, and what is missing.
    """
    if not isinstance(arrays, Mapping):
        raise ValueError(f"{source}: expected an object of names and arrays, got {type(arrays).__name__}.")
    groups = _without(_groups(arrays), ignore, source)
    network = _recognize(groups, prefix, _Options(num_gated, clipped, input), source)
    count, shared, stacked = split(network.entries, network.dimensions, source)

    def build(i: int) -> AbstractPiecewiseLinearMap:
        try:
            fields = network.fields(shared | {name: array[i] for name, array in stacked.items()})
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        return from_dict({"model": network.model, **fields}, source=source)

    if count is None:
        if index is not None:
            raise ValueError(f"{source}: index does not apply: this is one model, not a sequence of models.")
        return build(0)
    if index is None:
        raise ValueError(
            f"{source}: this is a sequence of {count} models ({', '.join(stacked)}: one axis more in front); pick one "
            "with index=0 (command line: --index 0), or several with index=slice(None)."
        )
    if not isinstance(index, slice) and not -count <= operator.index(index) < count:
        raise ValueError(f"{source}: index {index} is out of range; there are {count} models.")
    chosen = range(count)[index]
    return build(chosen) if isinstance(chosen, int) else [build(i) for i in chosen]


# What stands below one prefix: the last part of each name, and what it holds.
_Group = dict[str, Any]


class _Options(NamedTuple):
    num_gated: int | Literal["all"] | None
    clipped: bool | None
    input: Any


class _Network(NamedTuple):
    """What was recognized: one model, or a sequence of them."""

    model: str
    entries: Arrays
    dimensions: dict[str, str]
    # From the entries of one model to its fields.
    fields: Callable[[Arrays], dict[str, Any]]


def _recognize(groups: dict[str, _Group], prefix: str | None, options: _Options, source: str) -> _Network:
    prefix = prefix if prefix is None else prefix.rstrip(".")
    inside = {
        above: group
        for above, group in groups.items()
        if prefix in (None, above) or above.startswith(f"{prefix}.")  # the prefix "" is the top level alone
    }
    found = {
        above: layout
        for above, group in inside.items()
        if (layout := best_layout(set(group))) is not None or _class_name(group) in MODELS
    }
    if not found and "model" in inside.get("", {}):
        found = {"": None}
    if not found:
        raise ValueError(_nothing_fits(inside or groups, prefix, source))
    if len(found) > 1:
        raise ValueError(
            f"{source}: several networks, below {', '.join(map(repr, sorted(found)))}; pick one with "
            f"prefix={max(found)!r} (command line: --prefix {max(found)})."
        )
    ((above, layout),) = found.items()
    if layout is None or "model" in groups[above]:
        return _named(groups[above], options, source)
    return _unnamed(groups, above, layout, options, source)


def _groups(arrays: Mapping[str, Any]) -> dict[str, _Group]:
    """Sort entries by what stands before the last dot of their names; a nested dict counts as a dot."""
    groups: dict[str, _Group] = {}
    waiting = [("", arrays)]
    # A checkpoint may hold one dict under two names, and a broken one itself. Kept, so that no other gets their ids.
    seen: dict[int, Mapping] = {}
    while waiting:
        above, mapping = waiting.pop()
        if id(mapping) in seen:
            continue
        seen[id(mapping)] = mapping
        for key, value in mapping.items():
            if isinstance(value, Mapping):
                waiting.append((f"{above}{key}.", value))
            else:
                group, _, name = f"{above}{key}".rpartition(".")
                groups.setdefault(group, {})[name] = value
    return groups


def _without(groups: dict[str, _Group], ignore: str | Sequence[str], source: str) -> dict[str, _Group]:
    """Leave out entries by their own names, or their full ones, or those of what holds them."""
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    full = {(above, name): f"{above}.{name}".lstrip(".") for above, group in groups.items() for name in group}
    gone: set[tuple[str, str]] = set()
    for one in names:
        hit = {at for at, name in full.items() if one in (at[1], name) or name.startswith(f"{one}.")}
        if not hit:
            near = difflib.get_close_matches(str(one), [*full.values(), *(at[1] for at in full)], 1)
            raise ValueError(
                f"{source}: ignore: there is no entry {one!r}" + (f"; did you mean {near[0]!r}?" if near else ".")
            )
        gone |= hit
    return {
        above: {name: value for name, value in group.items() if (above, name) not in gone}
        for above, group in groups.items()
    }


def _class_name(group: _Group) -> str | None:
    """Give the entry `model`, which is an array where it comes from `.npz` or `.mat`."""
    value = group.get("model")
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1:
        value = value.item()
    return value if value is None else str(value)


def _named(group: _Group, options: _Options, source: str) -> _Network:
    """The entry `model` names the class: nothing may be missing, and nothing be left over."""
    if any(option is not None for option in options):
        raise ValueError(f"{source}: the entry model says all; num_gated, clipped and input do not apply.")
    model = str(_class_name(group))
    fields = fields_of(group | {"model": model}, source=source)
    dimensions = array_fields(model)
    entries = {name: numbers(group[name], name, source) for name in dimensions}
    static = {name: group[name] for name in fields if name not in dimensions}
    return _Network(model, entries, dimensions, lambda entries: entries | static)


def _unnamed(groups: dict[str, _Group], above: str, layout: Layout, options: _Options, source: str) -> _Network:
    group = groups[above]
    entries = {name: numbers(group[name], name, source) for name in layout.dimensions if name in group}
    if layout.input_weights is not None:
        _require_plain_rnn(group, entries, source)
    _require_all_heard(groups, above, layout, entries, source)
    input = _input(layout, entries, options.input, source)
    model, static = _variant(groups, above, layout, options, source)
    return _Network(model, entries, layout.dimensions, lambda entries: {**layout.fields(entries, input), **static})


def _require_all_heard(groups: dict[str, _Group], above: str, layout: Layout, entries: Arrays, source: str) -> None:
    """Refuse what may make another map of the weights."""
    speaking = unheard(groups, above, layout, entries)
    if not speaking:
        return
    known = [name for name, value in speaking.items() if name.rpartition(".")[2] in NAMES]
    listed = [", ".join(known) + ", known from other models,"] if known else []
    listed += [f"{name} {value}" for name, value in speaking.items() if name not in known]
    names = list(speaking)
    raise ValueError(
        f"{source}: {layout} fits, but {', '.join(listed)} would be left over, and may make another map of these "
        f"weights. If it does not, give ignore={names if names[1:] else names[0]!r} (command line: "
        f"{' '.join(f'--ignore {name}' for name in names)})."
    )


def _variant(
    groups: dict[str, _Group], above: str, layout: Layout, options: _Options, source: str
) -> tuple[str, dict[str, Any]]:
    """Give the class, and what of it the weights do not tell: from the options, else from entries beside or above."""
    clipped, num_gated = options.clipped, options.num_gated
    if clipped is None:
        clipped = numbers(_beside(groups, above, "clipped", False), "clipped", source).all()
    if clipped and f"Clipped{layout.model}" not in MODELS:
        raise ValueError(f"{source}: clipped does not apply to {layout}.")
    if layout.model != "PLRNN":
        if num_gated is not None:
            raise ValueError(f"{source}: num_gated does not apply to {layout}.")
        return (f"Clipped{layout.model}" if clipped else layout.model), {}
    if num_gated is None:
        num_gated = _beside(groups, above, "num_gated", _beside(groups, above, "P", None))
    if isinstance(num_gated, str) and num_gated == "all":
        return "PLRNN", {}
    if num_gated is not None:
        return "AlmostLinearRNN", {"num_gated": integer(num_gated, "num_gated (P)", source)}
    if "A" in layout.needs and "B" in groups[above]:
        raise ValueError(
            f"{source}: {{A, W, h}} beside a read-out B may be an almost-linear RNN, and the weights do not tell how "
            "many states pass through the ReLU: give num_gated=P (command line: --num-gated P), or, for a PLRNN, where "
            "all of them do, num_gated='all' (--num-gated all)."
        )
    return "PLRNN", {}


def _beside(groups: dict[str, _Group], above: str, name: str, default: Any) -> Any:
    """Give the entry `name` beside the weights, or on a level above them."""
    while name not in groups.get(above, {}):
        if not above:
            return default
        above = above.rpartition(".")[0]
    return groups[above][name]


def _input(layout: Layout, entries: Arrays, input: Any, source: str) -> np.ndarray | None:
    if input is None:
        return None
    if layout.input_weights is None:
        raise ValueError(f"{source}: {layout} does not say how an input enters; use model.with_input.")
    input = numbers(input, "input", source)
    expected = entries[layout.input_weights].shape[-1:]
    if input.shape != expected:
        raise ValueError(
            f"{source}: input must have shape {expected} (from {layout.input_weights}), got {input.shape}."
        )
    return input


def _require_plain_rnn(group: _Group, entries: Arrays, source: str) -> None:
    """Refuse PyTorch's other recurrent networks, which share the names."""
    rows, columns = (1, 1, *next(iter(entries.values())).shape)[-2:]
    gated = "an LSTM" if rows == 4 * columns or "weight_hr_l0" in group else "a GRU" if rows == 3 * columns else None
    if gated is not None:
        raise ValueError(f"{source}: the weights are those of {gated}, which is not piecewise-linear.")
    if "weight_hh_l1" in group:
        raise ValueError(f"{source}: this torch.nn.RNN has several layers; only one layer is supported.")
    if "weight_hh_l0_reverse" in group:
        raise ValueError(f"{source}: this torch.nn.RNN is bidirectional, which is no map from one state to the next.")


def _nothing_fits(groups: dict[str, _Group], prefix: str | None, source: str) -> str:
    """Say what was found, what is known, and what comes nearest."""
    names = [
        f"{above}.{name}".lstrip(".") + _shape(value)
        for above, group in groups.items()
        for name, value in group.items()
    ]
    found = ", ".join(names[:_MOST_LISTED]) + (f" and {len(names) - _MOST_LISTED} more" if names[_MOST_LISTED:] else "")
    share, layout, missing = max(
        (
            (len(layout.needs.keys() & group.keys()) / len(layout.needs), layout, layout.needs.keys() - group.keys())
            for layout in LAYOUTS
            for group in groups.values()
        ),
        key=lambda near: near[0],
        default=(0, None, ()),
    )
    nearest = f" Nearest: {layout}, missing: {', '.join(sorted(missing))}." if share > 0 else ""
    known = "; ".join(dict.fromkeys(str(layout) for layout in LAYOUTS))
    where = f" below {prefix!r}" if prefix is not None else ""
    return f"{source}: no known weights{where}. Found: {found or 'nothing'}.{nearest} Known: {known}."


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f" {tuple(shape)}" if isinstance(shape, tuple) else ""
