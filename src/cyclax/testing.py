"""`check_map`: whether a model of your own keeps the contract that everything in cyclax builds on."""

import dataclasses
import functools
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from cyclax.core.checks import real, whole
from cyclax.core.numerics import numerics
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Two ways to compute the same number may differ by this share of the largest terms that went into it.
_TOLERANCE = 1e-9
# Calls without jit are slow; so many states show what they show.
_EAGER_STATES = 4
_MODELS = 3

_CONVERTER = "declare it as `name: Float[Array, ...] = eqx.field(converter=real_array)`"
_STATIC = "settings that are no weights are declared as `name: int = eqx.field(static=True)`"


def check_map(
    model: AbstractPiecewiseLinearMap, *, key: int | Array = 0, states: int = 64, scale: float | None = None
) -> None:
    """Check that a model is a continuous piecewise-linear map that cyclax can search.

    It runs the model at random states, at states moved onto each border, with gates held that the states do not meet,
    under `jit` and under `vmap` over states and over models; all in float64, whatever JAX's global setting.

    **Arguments:**

    - `model`: the map to be checked.
    - `key`: a seed or a JAX key for the states that are drawn.
    - `states`: how many states are drawn, at least 4; each of them is moved onto the border of each gate, too.
    - `scale`: the size of the states; by default, how far the borders are from 0 and what the map adds at 0.

    **Returns:** nothing: a model that passes does so in silence.

    **Raises:** `AssertionError` that says what is wrong, where, and what to do. `ValueError` for arguments that cannot
    be used.
    """
    states = whole(states, "states", _EAGER_STATES)
    scale = None if scale is None else real(scale, "scale", positive=True)
    seed: Any = np.asarray(jax.random.key_data(key)).tolist() if isinstance(key, jax.Array) else key
    rng = np.random.default_rng(seed)
    with numerics():
        _check_structure(model)
        # As the verbs do it: whatever the leaves were, from here on they are float64.
        model = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)
        num_gates = _check_shapes(model)
        _check_transforms(model, num_gates)
        scale = _scale(model) if scale is None else scale
        # From well inside the innermost borders to well outside of the outermost.
        sizes = scale * 10.0 ** rng.uniform(-1, 1, (states, 1))
        z = sizes * rng.normal(size=(states, model.num_states))
        gates = rng.random((states, num_gates)) < 0.5
        eager = _check_calls(model, z[:_EAGER_STATES])
        _check_numbers(model, z, gates, eager)


# -- what needs no numbers -----------------------------------------------------------------------------------------


def _check_structure(model: Any) -> None:
    """The class, its leaves and its settings."""
    if isinstance(model, type):
        raise AssertionError(f"{model.__name__} is a class; check_map checks a model: {model.__name__}(...).")
    if not isinstance(model, AbstractPiecewiseLinearMap):
        raise AssertionError(
            f"{type(model).__name__} is no subclass of cyclax.AbstractPiecewiseLinearMap, from which the verbs know a "
            "model."
        )
    name = type(model).__name__
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        where = f"{name}: the leaf {jax.tree_util.keystr(path).lstrip('.')}"
        if isinstance(leaf, Tracer):
            raise AssertionError(f"{where} is a tracer; call check_map outside of jit, vmap and grad.")
        if not isinstance(leaf, (np.ndarray, jax.Array)):
            raise AssertionError(
                f"{where} is {leaf!r}, a {type(leaf).__name__}, and no array; if it is a weight, {_CONVERTER}; "
                f"{_STATIC}."
            )
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise AssertionError(
                f"{where} is an array of {leaf.dtype}, and all leaves are made float64 before a search; if it is a "
                f"weight, {_CONVERTER}; indices and masks belong into a static tuple (eqx.field(static=True))."
            )
        if isinstance(leaf, np.ndarray) and leaf.dtype != np.float64:
            raise AssertionError(f"{where} is a NumPy array of {leaf.dtype}, and not of float64; {_CONVERTER}.")
        if not np.all(np.isfinite(np.asarray(leaf))):
            raise AssertionError(f"{where} holds NaN or inf.")
    for field in dataclasses.fields(model):
        if field.metadata.get("static") and isinstance(getattr(model, field.name), (np.ndarray, jax.Array)):
            raise AssertionError(
                f"{name}: the static field {field.name} is an array, which jit cannot compare; make it a tuple, or, if "
                f"it is a weight, {_CONVERTER}."
            )


def _check_shapes(model: AbstractPiecewiseLinearMap) -> int:
    """Shapes and dtypes of what the methods return; give the number of gates."""
    name, num_states = type(model).__name__, model.num_states
    if isinstance(num_states, bool) or not isinstance(num_states, int) or num_states < 1:
        raise AssertionError(
            f"{name}.num_states must be an int of at least 1, got {num_states!r}; is it a property "
            "(`return self.h.shape[-1]`)?"
        )
    state = jax.ShapeDtypeStruct((num_states,), np.float64)
    preactivations = _traced(f"{name}.preactivations", f"a state of shape ({num_states},)", model.preactivations, state)
    shape = getattr(preactivations, "shape", None)
    if shape is None or len(shape) != 1 or shape[0] == 0:
        got = f"shape {shape}" if shape is not None else f"a {type(preactivations).__name__}"
        raise AssertionError(f"{name}.preactivations must return one vector, an entry per gate, got {got}.")
    _require_float64(f"{name}.preactivations", preactivations)
    gates = jax.ShapeDtypeStruct(shape, np.bool_)
    given = f"a state of shape ({num_states},) and gates of shape {shape}"
    following = _traced(f"{name}.step", given, model.step, state, gates)
    if getattr(following, "shape", None) != (num_states,):
        raise AssertionError(
            f"{name}.step must return the next state, of shape ({num_states},) as num_states says, got "
            f"{getattr(following, 'shape', type(following).__name__)}."
        )
    _require_float64(f"{name}.step", following)
    return shape[0]


def _traced(what: str, given: str, function: Any, *arguments: Any) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:
        _cannot_trace(what, given, error)


def _cannot_trace(what: str, given: str, error: Exception) -> NoReturn:
    reason = str(error).strip().splitlines()
    raise AssertionError(
        f"{what} cannot be traced by JAX for {given} ({type(error).__name__}: {reason[0] if reason else ''}); write it "
        "with jax.numpy, and with jnp.where in place of `if`."
    ) from error


def _require_float64(what: str, value: Any) -> None:
    if value.dtype != np.float64:
        raise AssertionError(f"{what} makes {value.dtype} of float64 numbers; do not cast inside the methods.")


def _check_calls(model: AbstractPiecewiseLinearMap, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal calls give equal numbers; give preactivations and images, computed state by state without jit."""
    name = type(model).__name__

    def call(state):
        preactivations = model.preactivations(jnp.asarray(state))
        return np.asarray(preactivations), np.asarray(model.step(jnp.asarray(state), preactivations > 0))

    first, second = [call(state) for state in z], [call(state) for state in z]
    for method, one, other in zip(
        ("preactivations", "step"), zip(*first, strict=True), zip(*second, strict=True), strict=True
    ):
        for state, a, b in zip(z, one, other, strict=True):
            if not np.array_equal(a, b, equal_nan=True):
                raise AssertionError(
                    f"{name}.{method} gave two results for one state, {_text(a)} and {_text(b)} at z = {_text(state)}; "
                    "a map has no randomness and no hidden state: what it depends on is a leaf or a static field."
                )
    for state, (_, image) in zip(z, first, strict=True):
        called = np.asarray(model(jnp.asarray(state)))
        if not np.array_equal(called, image, equal_nan=True):
            raise AssertionError(
                f"{name}: calling the model gives {_text(called)} at z = {_text(state)}, and step with the gates of "
                f"preactivations {_text(image)}; do not override __call__."
            )
    preactivations, images = (np.stack(part) for part in zip(*first, strict=True))
    return preactivations, images


def _check_transforms(model: AbstractPiecewiseLinearMap, num_gates: int) -> None:
    """What JAX will do to the methods: vmap over states on the last axis and over models, and derivatives."""
    name = type(model).__name__
    stack = _stacked(model)
    if stack.num_states != model.num_states:
        raise AssertionError(
            f"{name}.num_states is {model.num_states}, and {stack.num_states} once the leaves are stacked into a batch "
            "of models; take it from the end of a shape (`self.h.shape[-1]`)."
        )
    state, gates = np.zeros(model.num_states), np.zeros(num_gates, bool)
    methods = (
        ("preactivations", lambda m, state, _: m.preactivations(state)),
        ("step", lambda m, state, gates: m.step(state, gates)),
    )
    for method, call in methods:
        lanes = jax.vmap(functools.partial(call, model), in_axes=-1, out_axes=-1)
        _traced(f"vmap of {name}.{method}", "states on the last axis", lanes, state[:, None], gates[:, None])
        batch = jax.vmap(call, in_axes=(0, None, None))
        _traced(f"vmap of {name}.{method}", "a batch of models", batch, stack, state, gates)
        _traced(f"jax.jacfwd of {name}.{method}", "a state", jax.jacfwd(functools.partial(call, model)), state, gates)


def _stacked(model: AbstractPiecewiseLinearMap) -> AbstractPiecewiseLinearMap:
    """Stack the model and near copies of it, as a batch of models is stacked."""
    factors = 1 + 0.01 * np.arange(_MODELS)
    return jax.tree.map(lambda leaf: np.stack([factor * leaf for factor in factors]), model)


# -- numbers -------------------------------------------------------------------------------------------------------


@jax.jit
def _planes(model: AbstractPiecewiseLinearMap) -> tuple[Array, Array, Array]:
    """Gradients `(G, M)` and offsets `(G,)` of the preactivations, and the image of 0."""
    zero = jnp.zeros(model.num_states)
    return jax.jacfwd(model.preactivations)(zero), model.preactivations(zero), model(zero)


@jax.jit
def _visit(model: AbstractPiecewiseLinearMap, z: Array) -> tuple[Array, Array]:
    """Preactivations and images of states `(n, M)`, as lanes on the last axis."""
    lanes = jax.vmap(lambda state: (model.preactivations(state), model(state)), in_axes=-1, out_axes=-1)
    preactivations, images = lanes(z.T)
    return preactivations.T, images.T


@jax.jit
def _step(model: AbstractPiecewiseLinearMap, z: Array, gates: Array) -> Array:
    """Step from states `(n, M)` with gates `(n, G)` held."""
    return jax.vmap(model.step, in_axes=-1, out_axes=-1)(z.T, gates.T).T


@jax.jit
def _lines(model: AbstractPiecewiseLinearMap, gates: Array) -> tuple[Array, Array]:
    """Jacobians `(n, M, M)` and offsets `(n, M)` of the map with gates `(n, G)` held, read off at 0."""
    zero = jnp.zeros(model.num_states)
    return jax.vmap(lambda held: (jax.jacfwd(model.step)(zero, held), model.step(zero, held)))(gates)


def _scale(model: AbstractPiecewiseLinearMap) -> float:
    """The size of the states that matter."""
    gradients, offsets, image = map(np.asarray, _planes(model))
    with np.errstate(all="ignore"):
        away = np.abs(offsets) / np.linalg.norm(gradients, axis=1)
    away = away[np.isfinite(away)]
    scale = max(float(np.max(np.abs(image))), float(np.median(away)) if len(away) else 0.0)
    return scale if 0 < scale < np.inf else 1.0


def _check_numbers(model: AbstractPiecewiseLinearMap, z: np.ndarray, gates: np.ndarray, eager: tuple) -> None:
    name = type(model).__name__
    gradients, offsets, _ = map(np.asarray, _planes(model))
    preactivations, images = map(np.asarray, _visit(model, z))
    for method, values in (("preactivations", preactivations), ("step", images)):
        for i in np.flatnonzero(~np.all(np.isfinite(values), axis=1)):
            raise AssertionError(f"{name}.{method} gives {_text(values[i])} at the state z = {_text(z[i])}.")

    planes, plane_sizes = z @ gradients.T + offsets, np.abs(z) @ np.abs(gradients).T + np.abs(offsets)
    closed, opened = np.zeros((1, gates.shape[1]), bool), np.eye(gates.shape[1], dtype=bool)
    jacobians, shifts = map(np.asarray, _lines(model, np.concatenate([closed, opened])))
    jumps, shift_jumps = jacobians[1:] - jacobians[0], shifts[1:] - shifts[0]
    largest = np.abs(jacobians[0]) + np.sum(np.abs(jumps), axis=0)
    largest_shift = np.abs(shifts[0]) + np.sum(np.abs(shift_jumps), axis=0)

    def terms(at):
        """The size of the terms that the next states are the sums of."""
        return np.abs(at) @ largest.T + largest_shift

    for method, alone, lanes, size in (
        ("preactivations", eager[0], preactivations, plane_sizes),
        ("step", eager[1], images, terms(z)),
    ):
        for i, entry in _apart(alone, lanes[: len(alone)], size[: len(alone)]):
            raise AssertionError(
                f"{name}.{method} depends on how it is called: entry {entry} at z = {_text(z[i])} is "
                f"{alone[i, entry]:.9g} for one state without jit, and {lanes[i, entry]:.9g} under jit and vmap over "
                "the last axis; write it for a single state, with jax.numpy alone."
            )
    for i, gate in _apart(preactivations, planes, plane_sizes):
        raise AssertionError(
            f"{name}.preactivations is not affine in z: entry {gate} at z = {_text(z[i])} is "
            f"{preactivations[i, gate]:.9g}, and its value and gradient at 0 lead to {planes[i, gate]:.9g}. What bends "
            "belongs into step, behind a gate; a quantity that bends itself can be no gate."
        )

    # Each state with the gates that it meets, and with gates drawn.
    sets, states = np.concatenate([preactivations > 0, gates]), np.concatenate([z, z])
    held = np.asarray(_step(model, states, sets))
    matrices, constants = map(np.asarray, _lines(model, sets))
    lines, sizes = (matrices @ states[..., None])[..., 0] + constants, terms(states)
    for i, entry in _apart(held, lines, sizes):
        raise AssertionError(
            f"{name}.step is not affine in z while the gates are held: entry {entry} at z = {_text(states[i])} with "
            f"gates {_text(sets[i].astype(int))} is {held[i, entry]:.9g}, and its value and Jacobian at 0 lead to "
            f"{lines[i, entry]:.9g}. Which side a state is on must come from the argument `gates` alone: "
            "relu_where(gates, x), not jnp.maximum(x, 0)."
        )

    for gate in np.flatnonzero(np.any(gradients != 0, axis=1)):
        gradient = gradients[gate]
        on = z - np.outer(planes[:, gate] / (gradient @ gradient), gradient)
        met = np.asarray(_visit(model, on)[0]) > 0
        sides = [np.where(opened[gate], side, met) for side in (False, True)]
        left, right = np.split(np.asarray(_step(model, np.concatenate([on, on]), np.concatenate(sides))), 2)
        for i, entry in _apart(left, right, terms(on)):
            raise AssertionError(
                f"{name}.step is not continuous across the border of gate {gate}: entry {entry} at z = "
                f"{_text(on[i])}, where preactivation {gate} is 0, is {left[i, entry]:.9g} with the gate closed and "
                f"{right[i, entry]:.9g} with it open. What a gate switches must vanish with its preactivation."
            )

    matrices = jacobians[0] + np.tensordot(sets.astype(float), jumps, axes=1)
    sums = (matrices @ states[..., None])[..., 0] + shifts[0] + sets @ shift_jumps
    for i, entry in _apart(held, sums, sizes):
        raise AssertionError(
            f"{name}.step does not add up gate by gate: entry {entry} at z = {_text(states[i])} with gates "
            f"{_text(sets[i].astype(int))} is {held[i, entry]:.9g}, and what each open gate adds when it is open alone "
            f"leads to {sums[i, entry]:.9g}. What a gate adds must not depend on other gates: write nested jnp.where "
            "as a sum of relu_where(gates, x), one for each gate."
        )


def _apart(one: np.ndarray, other: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Give the indices where two arrays differ, the largest difference first."""
    excess = np.abs(one - other) - _TOLERANCE * size
    places = np.argwhere(~(excess <= 0))
    return places[np.argsort(-excess[tuple(places.T)])]


def _text(values: np.ndarray) -> str:
    return np.array2string(np.asarray(values), precision=6, threshold=12, separator=", ")
