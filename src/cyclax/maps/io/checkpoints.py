"""Published weights: which model a set of named arrays stands for is read off the names.

`docs/checkpoints.md` has the table of names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, overload

import numpy as np

from cyclax.core.checks import whole
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.driven import under
from cyclax.maps.io.groups import Groups, groups_of, listed, without
from cyclax.maps.io.layouts import EQUATIONS, FORMS, LAYOUTS, NAMES, Arrays, Layout, best_layout
from cyclax.maps.io.registry import MODELS, array_fields, fields_of, from_dict, integer, numbers
from cyclax.maps.io.sequence import split
from cyclax.maps.io.stated import stated_alpha, unheard


class Stated(TypedDict, total=False):
    """What is said of weights beside them: see `from_arrays`."""

    num_gated: int | Literal["all"] | None
    clipped: bool | None
    alpha: Any
    form: Literal["rate", "current", "rectified"] | None
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
    alpha: Any = None,
    form: Literal["rate", "current", "rectified"] | None = None,
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
    - `weight_hh_l0, weight_ih_l0, bias_ih_l0, bias_hh_l0` of `torch.nn.RNN` (one layer, one direction), those of
      `torch.nn.RNNCell`, the kernels of Keras and Flax: `ReLURNN`. **The ReLU is assumed**: a state dict does not tell
      `nonlinearity="relu"` from the default of these, tanh, which is not piecewise-linear. LSTM and GRU are refused.
    - `h2h.weight, input2h.weight`, `hidden_layer.weight, input_layer.weight`, `W_rec, W_in`, .. of networks that are
      trained on tasks: leaky integrators, `RateRNN`, `CurrentRNN` or `RectifiedRNN`; `m, n, b`: `LowRankRNN`. Where the
      arrays do not tell, `alpha` and `form` must be given. `docs/checkpoints.md` has the whole table.
    - the fields of any other class of cyclax, or those of the class that the entry `model` names.

    **Arguments:**

    - `arrays`: names and their NumPy, JAX or PyTorch arrays, or nested lists.
    - `num_gated`: P of an almost-linear RNN, which its weights do not tell; "all" for a `PLRNN`. Default: an entry
      `num_gated` or `P`.
    - `clipped`: whether a shallow or dendritic PLRNN is clipped, which its weights do not tell. Default: an entry
      `clipped`, else false.
    - `alpha`: the leak of a leaky integrator, dt / tau, a number or one for each unit; 1 for none. Default: an entry
      `alpha`, or entries `tau` and `dt`.
    - `form`: where its ReLU stands, "rate", "current" or "rectified" (see the classes), where the names do not tell and
      alpha is not 1. With either of these, plain recurrent weights (`W, b`, those of `torch.nn.RNN`, ..) are read as a
      leaky integrator.
    - `input`: `(I,)`, a constant input: what the input weights of the file make of it is added to the bias. Default:
      none. Where the entry `model` names the class, as its `with_input` takes it; where a file has no input weights,
      use that.
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
    groups = without(groups_of(arrays), ignore, source)
    network = _recognize(groups, prefix, _Options(num_gated, clipped, alpha, form, input), source)
    count, shared, stacked = split(network.entries, network.dimensions, source)

    def build(i: int) -> AbstractPiecewiseLinearMap:
        try:
            fields = network.fields(shared | {name: array[i] for name, array in stacked.items()})
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        model = from_dict({"model": network.model, **fields}, source=source)
        return model if network.input is None else _under(model, network.input, source)

    if count is None:
        if index is not None:
            raise ValueError(f"{source}: index does not apply: this is one model, not a sequence of models.")
        return build(0)
    if index is None:
        raise ValueError(
            f"{source}: this is a sequence of {count} models ({', '.join(stacked)}: one axis more in front); pick one "
            "with index=0 (command line: --index 0), or several with index=slice(None)."
        )
    if not isinstance(index, slice) and not -count <= whole(index, f"{source}: index", None) < count:
        raise ValueError(f"{source}: index {index} is out of range; there are {count} models.")
    chosen = range(count)[index]
    return build(chosen) if isinstance(chosen, int) else [build(i) for i in chosen]


class _Options(NamedTuple):
    num_gated: int | Literal["all"] | None
    clipped: bool | None
    alpha: Any
    form: str | None
    input: Any


class _Network(NamedTuple):
    """What was recognized: one model, or a sequence of them."""

    model: str
    entries: Arrays
    dimensions: dict[str, str]
    # From the entries of one model to its fields.
    fields: Callable[[Arrays], dict[str, Any]]
    input: Any = None  # that has not gone into these


def _recognize(groups: Groups, prefix: str | None, options: _Options, source: str) -> _Network:
    prefix = prefix if prefix is None else prefix.rstrip(".")
    inside = {
        above: group
        for above, group in groups.items()
        if prefix in (None, above) or above.startswith(f"{prefix}.")  # the prefix "" is the top level alone
    }
    everywhere = {
        above: layout
        for above, group in groups.items()
        if (layout := best_layout(set(group))) is not None or _class_name(group) in MODELS
    }
    found = {above: layout for above, layout in everywhere.items() if above in inside}
    if not found and "model" in inside.get("", {}):
        found = {"": None}
    if not found and everywhere:
        places = ", ".join(f"below {above!r}" if above else "at the top level" for above in sorted(everywhere))
        raise ValueError(f"{source}: no known weights below {prefix!r}, but {places}: give that as prefix, or none.")
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


def _class_name(group: dict[str, Any]) -> str | None:
    """Give the entry `model`, which is an array where it comes from `.npz` or `.mat`."""
    value = group.get("model")
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1:
        value = value.item()
    return value if value is None else str(value)


def _named(group: dict[str, Any], options: _Options, source: str) -> _Network:
    """The entry `model` names the class: nothing may be missing, and nothing be left over."""
    if any(option is not None for option in options._replace(input=None)):
        raise ValueError(f"{source}: the entry model says all; num_gated, clipped, alpha and form do not apply.")
    model = str(_class_name(group))
    fields = fields_of(group | {"model": model}, source=source)
    dimensions = array_fields(model)
    entries = {name: numbers(group[name], name, source) for name in dimensions}
    static = {name: group[name] for name in fields if name not in dimensions}
    return _Network(model, entries, dimensions, lambda entries: entries | static, options.input)


def _unnamed(groups: Groups, above: str, layout: Layout, options: _Options, source: str) -> _Network:
    group = groups[above]
    present = {name: group[name] for name in layout.dimensions if group.get(name) is not None}
    entries = {name: numbers(value, name, source) for name, value in present.items()}
    if (layout.model == "ReLURNN" or layout.leaky == "always") and "M M" in layout.needs.values():
        _require_plain_rnn(group, entries, source)
    elif "C" in entries and entries["C"].shape[-2:-1] != _rows(layout, entries):
        del entries["C"]  # a read-out
    leak = None
    if layout.leaky != "no":
        leak = _leak(groups, above, layout, options, source)
    elif options.alpha is not None or options.form is not None:
        raise ValueError(f"{source}: alpha and form do not apply to {layout}, which is no leaky integrator.")
    _require_all_heard(groups, above, layout, entries, leak, source)
    input = _input(layout, entries, options.input, source)
    if leak is not None:
        if options.clipped or options.num_gated is not None:
            name = "clipped" if options.clipped else "num_gated"
            raise ValueError(f"{source}: {name} does not apply to {layout}.")
        model, static = leak.model, {"alpha": leak.alpha}
    else:
        model, static = _variant(groups, above, layout, options, source)
    leaf = layout.input_to or MODELS[model].input_leaf
    names = array_fields(model)

    def fields(entries: Arrays) -> dict[str, Any]:
        found = layout.fields(entries)
        if layout.input_to == "h2" and model.startswith("Clipped"):
            found["h2"] = -found["h2"]
        if input is not None and leaf is not None:
            found[leaf] = found[leaf] + found["C"] @ input
        if "C" in names and "C" not in found:
            found["C"] = np.zeros((len(found[str(leaf)]), 0))
        return {name: value for name, value in found.items() if name in names} | static

    return _Network(model, entries, layout.dimensions, fields)


def _rows(layout: Layout, entries: Arrays) -> tuple[int, ...]:
    """Give how many states the weights are of, by a matrix with a row for each."""
    return next(
        (array.shape[-2:-1] for name, array in entries.items() if name != "C" and array.ndim > 1),
        (),
    )


class _Leak(NamedTuple):
    model: str
    alpha: np.ndarray


def _leak(groups: Groups, above: str, layout: Layout, options: _Options, source: str) -> _Leak | None:
    """Give form and share of a leaky integrator; None for plain recurrent weights of which neither is said."""
    if options.form not in (None, *FORMS):
        raise ValueError(f"{source}: form must be one of {', '.join(FORMS)}, got {options.form!r}.")
    if layout.leaky == "if asked" and options.alpha is None and options.form is None:
        return None
    given = options.alpha if options.alpha is not None else stated_alpha(groups, above)
    if given is None:
        raise ValueError(
            f"{source}: {{{', '.join(layout.needs)}}} is a leaky integrator, and neither its weights nor what stands "
            "beside them (alpha, or tau and dt) tell its leak: give alpha=, which is dt / tau, or alpha=1 for none "
            "(command line: --alpha). "
            f"Found: {listed(groups)}."
        )
    alpha = np.squeeze(numbers(given, "alpha", source))
    if layout.form is not None and layout.model not in FORMS.values():  # of low rank
        if options.form not in (None, layout.form):
            raise ValueError(f"{source}: form={options.form!r} does not apply to {layout}, which is of form 'current'.")
        return _Leak(layout.model, alpha)
    form = options.form or layout.form
    if form is None and np.all(alpha == 1):
        form = "rate"  # then all are one
    if form is None:
        forms = "; ".join(f"form={form!r} for {equation}" for form, equation in EQUATIONS.items())
        raise ValueError(
            f"{source}: {layout} fits, and its names do not tell where the ReLU stands: give {forms} (command line: "
            f"--form rate, ..). Found: {listed(groups)}."
        )
    return _Leak(FORMS[form], alpha)


def _require_all_heard(
    groups: Groups, above: str, layout: Layout, entries: Arrays, leak: _Leak | None, source: str
) -> None:
    """Refuse what may make another map of the weights."""
    speaking = unheard(groups, above, layout, entries, None if leak is None else leak.alpha)
    if not speaking:
        return
    known = [name for name, value in speaking.items() if name.rpartition(".")[2] in NAMES]
    listed = [", ".join(known) + ", known from other models,"] if known else []
    listed += [f"{name} {value}" for name, value in speaking.items() if name not in known]
    names = list(speaking)
    leaky = ""
    if layout.leaky == "if asked" and leak is None and stated_alpha(groups, above) is not None:
        leaky = " If this is a leaky integrator, give form='rate', 'current' or 'rectified' (command line: --form)."
    raise ValueError(
        f"{source}: {layout} fits, but {', '.join(listed)} would be left over, and may make another map of these "
        f"weights.{leaky} If it does not, give ignore={names if names[1:] else names[0]!r} (command line: "
        f"{' '.join(f'--ignore {name}' for name in names)})."
    )


def _variant(groups: Groups, above: str, layout: Layout, options: _Options, source: str) -> tuple[str, dict[str, Any]]:
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


def _beside(groups: Groups, above: str, name: str, default: Any) -> Any:
    """Give the entry `name` beside the weights, or on a level above them."""
    while name not in groups.get(above, {}):
        if not above:
            return default
        above = above.rpartition(".")[0]
    return groups[above][name]


def _under(model: AbstractPiecewiseLinearMap, input: Any, source: str) -> AbstractPiecewiseLinearMap:
    try:
        return under(model, numbers(input, "input", source), f"{source}: input")
    except TypeError as error:
        raise ValueError(f"{source}: input: {error}") from error


def _input(layout: Layout, entries: Arrays, input: Any, source: str) -> np.ndarray | None:
    if input is None:
        return None
    name = next((name for name in (layout.input_weights, "C") if name in entries), None)
    if name is None:
        raise ValueError(f"{source}: {layout} does not say how an input enters; use model.with_input.")
    input = numbers(input, "input", source)
    axes = layout.dimensions[name].split()
    expected = (entries[name].shape[axes.index("I") - len(axes)],) if entries[name].ndim >= len(axes) else ()
    if input.shape != expected:
        raise ValueError(f"{source}: input must have shape {expected} (from {name}), got {input.shape}.")
    return input


def _require_plain_rnn(group: dict[str, Any], entries: Arrays, source: str) -> None:
    """Refuse PyTorch's other recurrent networks, which share the names."""
    shape = next(iter(entries.values())).shape[-2:]
    columns, rows = sorted(shape) if len(shape) == 2 else (1, 1)  # of Keras the other way around
    gated = "an LSTM" if rows == 4 * columns or "weight_hr_l0" in group else "a GRU" if rows == 3 * columns else None
    if gated is not None:
        raise ValueError(f"{source}: the weights are those of {gated}, which is not piecewise-linear.")
    if "weight_hh_l1" in group:
        raise ValueError(f"{source}: this torch.nn.RNN has several layers; only one layer is supported.")
    if "weight_hh_l0_reverse" in group:
        raise ValueError(f"{source}: this torch.nn.RNN is bidirectional, which is no map from one state to the next.")


def _nothing_fits(groups: Groups, prefix: str | None, source: str) -> str:
    """Say what was found, what is known, and what comes nearest."""
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
    return f"{source}: no known weights{where}. Found: {listed(groups) or 'nothing'}.{nearest} Known: {known}."
