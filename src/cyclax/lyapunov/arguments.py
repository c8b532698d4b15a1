"""What the verbs of this room are given: each argument checked once, with a message that says what to do."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, PyTree

from cyclax.core.checks import real, whole
from cyclax.lyapunov.cells import StateFirst
from cyclax.lyapunov.flows import Flow
from cyclax.lyapunov.frames import AbstractOrthonormalization
from cyclax.lyapunov.kernel import Axes
from cyclax.lyapunov.model import Layout, adapted, apply, float64_leaves, stacked

_ARGUMENTS = ("model", "state", "inputs")


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Checked arguments: everything in float64, states flat."""

    model: Any
    layout: Layout
    axes: Axes
    states: Float[np.ndarray, "D B"]
    inputs: PyTree
    input_steps: int
    batch: bool
    steps: int
    warmup: int
    most_steps: int
    every: int
    num_exponents: int
    dt: float
    rtol: float
    atol: float
    orthonormalization: AbstractOrthonormalization | None

    @property
    def lanes(self) -> int:
        """The number of orbits B."""
        return self.states.shape[1]

    @property
    def name(self) -> str:
        """What to call the model."""
        model = self.model.cell if isinstance(self.model, StateFirst) else self.model
        return getattr(model, "__name__", None) or type(model).__name__

    def inputs_from(self, begin: int, number: int) -> PyTree:
        """Give the inputs of `number` steps, beginning with step `begin` of the whole orbit, warm-up included."""
        if self.inputs is None:
            return None
        # What lies beyond the end is not used; it keeps the shape.
        rows = (begin + np.arange(number)) % self.input_steps
        return jax.tree.map(lambda leaf: np.take(leaf, rows, axis=0 if self.axes.inputs is None else 1), self.inputs)


def checked_problem(
    model: Any,
    state: PyTree,
    inputs: PyTree,
    *,
    steps: Any,
    warmup: Any,
    num_exponents: Any,
    every: Any,
    dt: Any,
    in_axes: Any,
    repeat_inputs: bool,
    most_steps: Any,
    tolerances: tuple[Any, Any],
    orthonormalization: Any,
    number_name: str = "num_exponents",
) -> Problem:
    """Check all arguments; to be called with float64 enabled. `number_name`: what `num_exponents` is called there.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    every = whole(every, "orthonormalize_every", 1)
    steps = _multiple(whole(steps, "steps", 1), "steps", every)
    warmup = _multiple(whole(warmup, "warmup", 0), "warmup", every)
    most_steps = steps if most_steps is None else _multiple(whole(most_steps, "most_steps", 1), "most_steps", every)
    if most_steps < steps:
        raise ValueError(f"most_steps: {most_steps} is less than steps, {steps}.")
    rtol, atol = (real(value, name, "a tolerance") for value, name in zip(tolerances, ("rtol", "atol"), strict=True))
    if orthonormalization is not None and not isinstance(orthonormalization, AbstractOrthonormalization):
        raise TypeError(
            f"orthonormalization: expected GramSchmidt(), CholeskyQR(), Householder() or None, got "
            f"{orthonormalization!r}."
        )
    axes = _checked_axes(in_axes)
    model, axes = _checked_model(model, axes)
    states, layout = _checked_state(model, state, axes)
    inputs, input_steps = _checked_inputs(inputs, axes, warmup + most_steps, repeat_inputs)
    lanes = _lanes(model, states, inputs, axes)
    _check_call(model, layout, inputs, axes)
    number = layout.size if num_exponents is None else whole(num_exponents, number_name, 1)
    if number > layout.size:
        what = number_name.removeprefix("num_")
        raise ValueError(f"{number_name}: {number} {what} were asked for, but there are {layout.size} states only.")
    flat = np.broadcast_to(states.reshape(layout.size, -1), (layout.size, lanes))
    batch = any(axis == 0 for axis in axes)
    return Problem(
        model,
        layout,
        axes,
        np.array(flat),
        inputs,
        input_steps,
        batch,
        steps,
        warmup,
        most_steps,
        every,
        number,
        _checked_dt(dt, model),
        rtol,
        atol,
        orthonormalization,
    )


def _multiple(value: int, name: str, every: int) -> int:
    if value % every:
        raise ValueError(
            f"{name}: {value} is not a multiple of orthonormalize_every, {every}; {-(-value // every) * every} is."
        )
    return value


def _checked_dt(dt: Any, model: Any) -> float:
    own = model.dt if isinstance(model, Flow) else None
    if dt is None:
        return 1.0 if own is None else own
    dt = real(dt, "dt", "the time of a step", positive=True)
    if own is not None and dt != own:
        raise ValueError(
            f"dt: the flow takes steps of {own:g} of its own; leave dt out, or change Flow(.., dt={dt:g})."
        )
    return dt


def _checked_axes(in_axes: Any) -> Axes:
    try:
        axes = Axes(*in_axes)
    except TypeError:
        axes = None
    if axes is None or any(axis is not None and (axis != 0 or isinstance(axis, bool)) for axis in axes):
        raise ValueError(
            f"in_axes: expected 0 or None for each of (model, state, inputs), such as (None, 0, None), got {in_axes!r}."
        )
    return axes


def _checked_model(model: Any, axes: Axes) -> tuple[Any, Axes]:
    if isinstance(model, Sequence) and not isinstance(model, str):
        if not model:
            raise ValueError("model: an empty sequence of models; give at least one.")
        model, axes = stacked(model), axes._replace(model=0)
    if not callable(model):
        raise TypeError(
            f"model: expected a map, a cell or a function (state) -> state or (state, input) -> state, got "
            f"{type(model).__name__}; a file is read by cyclax.load(path)."
        )
    model = float64_leaves(adapted(model))
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if eqx.is_inexact_array(leaf) and not np.all(np.isfinite(leaf)):
            where = np.argwhere(~np.isfinite(leaf))[0].tolist()
            name = jax.tree_util.keystr(path).lstrip(".")
            raise ValueError(f"model: {name} holds NaN or inf (first at {where}); did the training diverge?")
    return model, axes


def _checked_state(model: Any, state: PyTree, axes: Axes) -> tuple[Float[np.ndarray, "D B"], Layout]:
    if isinstance(state, list) and all(isinstance(leaf, (int, float)) for leaf in jax.tree.leaves(state)):
        state = np.asarray(state, np.float64)
    leaves, structure = jax.tree.flatten(state)
    arrays = []
    for leaf in leaves:
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiu" and not jax.numpy.issubdtype(array.dtype, np.floating):
            raise TypeError(
                f"state: expected real numbers, got an array of {array.dtype}; a complex state is two real ones."
            )
        arrays.append(np.asarray(array, np.float64))
    if axes.state == 0:
        sizes = {array.shape[:1] for array in arrays}
        if len(sizes) != 1 or () in sizes or (0,) in sizes:
            shapes = [array.shape for array in arrays]
            raise ValueError(
                f"state: in_axes says that its leaves have a leading axis of orbits; the shapes are {shapes}."
            )
    else:
        arrays = [array[None] for array in arrays]
    num_states = sum(math.prod(array.shape[1:]) for array in arrays)
    if not num_states:
        raise ValueError("state: it holds no numbers; give an array, or a pytree of arrays.")
    shape = arrays[0].shape[1:]
    wanted = getattr(model, "num_states", None)
    if isinstance(wanted, int) and shape != (wanted,):
        batch = len(shape) == 2 and shape[1] == wanted
        remedy = " For a batch of states, give in_axes=(None, 0, None)." if batch else ""
        raise ValueError(f"state: expected shape ({wanted},), got {shape}.{remedy}")
    for i, array in enumerate(arrays):
        if not np.all(np.isfinite(array)):
            orbit = f" of orbit {int(np.argwhere(~np.isfinite(array))[0][0])}" if axes.state == 0 else ""
            leaf = f", leaf {i}" if len(arrays) > 1 else ""
            raise ValueError(f"state: the first state{orbit}{leaf} holds NaN or inf.")
    flat = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1).T
    return flat, Layout(structure, tuple(array.shape[1:] for array in arrays))


def _checked_inputs(inputs: PyTree, axes: Axes, steps: int, repeat: bool) -> tuple[PyTree, int]:
    leaves = jax.tree.leaves(inputs)
    if not leaves:
        if axes.inputs == 0:
            raise ValueError("inputs: in_axes says that they are batched, but there are none.")
        if repeat:
            raise ValueError("repeat_inputs: there are no inputs to repeat.")
        return None, 1
    inputs = float64_leaves(jax.tree.map(np.asarray, inputs))
    time_axis = 0 if axes.inputs is None else 1
    lengths = {np.shape(leaf)[time_axis] if np.ndim(leaf) > time_axis else 0 for leaf in jax.tree.leaves(inputs)}
    if len(lengths) != 1 or 0 in lengths:
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(inputs)]
        form = "(steps, ..)" if axes.inputs is None else "(B, steps, ..)"
        raise ValueError(f"inputs: expected arrays {form} of one length, 1 or more; the shapes are {shapes}.")
    (length,) = lengths
    if length > steps or (length < steps and not repeat):
        remedy = "cut them" if length > steps else "give more, or repeat_inputs=True"
        raise ValueError(f"inputs: expected warmup + steps = {steps} of them, got {length}; {remedy}.")
    for leaf in jax.tree.leaves(inputs):
        if np.issubdtype(leaf.dtype, np.inexact) and not np.all(np.isfinite(leaf)):
            step = int(np.argwhere(~np.isfinite(leaf))[0][time_axis])
            raise ValueError(f"inputs: the input of step {step + 1} holds NaN or inf.")
    return inputs, length


def _lanes(model: Any, states: np.ndarray, inputs: PyTree, axes: Axes) -> int:
    sizes: dict[str, int] = {}
    for name, axis, tree in zip(_ARGUMENTS, axes, (model, states.T, inputs), strict=True):
        if axis != 0:
            continue
        found = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)}
        if len(found) != 1 or () in found:
            raise ValueError(f"{name}: in_axes says that its arrays have a leading axis of orbits; theirs are {found}.")
        sizes[name] = found.pop()[0]
    if len(set(sizes.values())) > 1:
        raise ValueError(f"in_axes: the leading axes must have one length; they have {sizes}.")
    return next(iter(sizes.values()), 1)


def _check_call(model: Any, layout: Layout, inputs: PyTree, axes: Axes) -> None:
    """Call the model once, without computing: does it take these arguments, and give back such a state?"""

    def first(leaf, skipped):
        return jax.ShapeDtypeStruct(np.shape(leaf)[skipped:], leaf.dtype)

    arrays, rest = eqx.partition(model, eqx.is_array)
    structs = jax.tree.map(lambda leaf: first(leaf, 0 if axes.model is None else 1), arrays)
    state = layout.tree(np.zeros(layout.size))
    one = jax.tree.map(lambda leaf: first(leaf, 1 if axes.inputs is None else 2), inputs)
    form = "model(state)" if inputs is None else "model(state, input)"
    try:
        following = jax.eval_shape(lambda arrays, z, s: apply(eqx.combine(arrays, rest), z, s), structs, state, one)
    except Exception as error:
        # Whatever a user's function raises on the first call says that it was called wrongly, or is wrong.
        hint = "; does it take inputs?" if inputs is None else "; are the inputs of the right shape?"
        if isinstance(error, jax.errors.JAXTypeError):
            hint = ": it is traced by JAX, so write it with jax.numpy, without NumPy, float() or if on its numbers"
        hint += " Are all of its arrays stacked along a first axis?" if axes.model == 0 else ""
        reason = " ".join(str(error).split())[:300]
        raise type_of(error)(f"model: {form} fails{hint} ({type(error).__name__}: {reason})") from error
    got = Layout.of(following)
    if got.structure != layout.structure or got.shapes != layout.shapes:

        def text(some):
            return (
                f"{some.structure} of shapes {list(some.shapes)}"
                if len(some.shapes) != 1
                else f"shape {some.shapes[0]}"
            )

        raise ValueError(
            f"model: {form} must give a state of the form that it takes; it takes {text(layout)} and gives {text(got)}."
        )
    for leaf in jax.tree.leaves(following):
        if not jax.numpy.issubdtype(leaf.dtype, np.floating):
            raise TypeError(f"model: {form} must give real numbers, got {leaf.dtype}.")


def type_of(error: Exception) -> type[Exception]:
    """Give the type to raise: a wrong call is a TypeError, all else a ValueError."""
    return TypeError if isinstance(error, TypeError) else ValueError
