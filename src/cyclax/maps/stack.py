"""Models as the verbs are given them, one or many of one shape: checked once, with a message that says what to do."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

from cyclax.core.checks import refuse_misread
from cyclax.core.numerics import numerics
from cyclax.maps.base import AbstractPiecewiseLinearMap


def checked_models(model: Any) -> tuple[list[AbstractPiecewiseLinearMap], bool]:
    """Give the models, one by one, with NumPy float64 leaves, and whether they came as a batch."""
    several = not isinstance(model, AbstractPiecewiseLinearMap)
    if not several:
        refuse_unread_leaves(model)
    stack = None if several else _unstacked(model)
    if not several and stack is None:
        return [checked_model(model)], False
    given = stack or stacked_models(model)
    # All have the shapes of the first.
    names = [f"model[{i}]" if several else "model" for i in range(len(given))]
    return [checked_model(one, name, run=i == 0) for i, (one, name) in enumerate(zip(given, names, strict=True))], True


def stacked_models(model: Any, name: str = "model") -> list[AbstractPiecewiseLinearMap]:
    """Give the models of a sequence, or of one map whose leaves are stacked, once they have one class and shape."""
    if isinstance(model, AbstractPiecewiseLinearMap):
        return _unstacked(model) or [model]
    if not isinstance(model, Sequence) or isinstance(model, (str, bytes)):
        raise TypeError(
            f"{name}: expected a map of cyclax (PLRNN, ShallowPLRNN, ..), or a sequence of maps, got "
            f"{type(model).__name__}; a file is read by cyclax.load(path)."
        )
    if not model:
        raise ValueError(f"{name}: an empty sequence of models; give at least one.")
    for i, one in enumerate(model):
        _require_map(one, f"{name}[{i}]")
    names = [f"{name}[{i}]" for i in range(len(model))]
    require_one_shape(model, names, f"{name}: the models of a batch", " Search them one by one.")
    return list(model)


def require_one_shape(
    models: Sequence[AbstractPiecewiseLinearMap], names: Sequence[str], which: str, remedy: str = ""
) -> None:
    """Raise a `ValueError` unless all models have the class, and the shapes of weights, of the first."""
    shapes = [_shape(one) for one in models]
    for name, shape in zip(names, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"{which} must be of one class and one shape; {names[0]} is {shapes[0][0]} and {name} is {shape[0]}."
                f"{remedy}"
            )


def _require_map(model: Any, name: str) -> None:
    if not isinstance(model, AbstractPiecewiseLinearMap):
        raise TypeError(
            f"{name}: expected a map of cyclax (PLRNN, ShallowPLRNN, ..), got {type(model).__name__}; "
            "a file is read by cyclax.load(path)."
        )


def refuse_unread_leaves(model: AbstractPiecewiseLinearMap, name: str = "model") -> None:
    """Raise where a leaf is traced (`TypeError`), or has masked entries, which would come to life (`ValueError`)."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        leaf_name = jax.tree_util.keystr(path).lstrip(".")
        if isinstance(leaf, Tracer):
            raise TypeError(
                f"{name}: {leaf_name} is traced by jax.jit, jax.vmap or jax.grad, and this looks at its numbers: call "
                "it outside. To be differentiated are the model itself, lyapunov_exponents, and Distance.of."
            )
        try:
            refuse_misread(leaf)
        except ValueError as error:
            raise ValueError(f"{name}: {leaf_name}: {error}") from None


def checked_model(model: Any, name: str = "model", *, run: bool = True) -> AbstractPiecewiseLinearMap:
    """Give the model with NumPy float64 leaves, once all of them are finite and their shapes are found to serve.

    **Arguments:** `run`: trace its methods; False where a model of these shapes has passed.
    """
    _require_map(model, name)
    refuse_unread_leaves(model, name)
    wrong = _unfit(model, run)
    if wrong:
        stack = _split(model)
        remedy = f" It is a stack of {len(stack)} models: give one of them." if stack else ""
        raise ValueError(f"{name}: {wrong}{remedy}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        leaf_name = jax.tree_util.keystr(path).lstrip(".")
        if eqx.is_array_like(leaf) and not np.all(np.isfinite(np.asarray(leaf))):
            where = np.argwhere(~np.isfinite(np.asarray(leaf)))[0].tolist()
            raise ValueError(f"{name}: {leaf_name} holds NaN or inf (first at {where}); did the training diverge?")
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)


def _unstacked(model: AbstractPiecewiseLinearMap) -> list[AbstractPiecewiseLinearMap] | None:
    """Split a model whose leaves are stacks, as `jax.vmap` makes them; None where it is a single model.

    It is a stack where the model itself does not serve, and its first entry does.
    """
    return _split(model) if _unfit(model) else None


def _split(model: AbstractPiecewiseLinearMap) -> list[AbstractPiecewiseLinearMap] | None:
    """Give the entries of a stack, if the first of them serves."""
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(model)}
    if len(sizes) != 1 or () in sizes:
        return None
    (size,) = sizes.pop()
    models = [jax.tree.map(lambda leaf, i=i: leaf[i], model) for i in range(size)]
    return models if models and _unfit(models[0]) is None else None


def _unfit(model: AbstractPiecewiseLinearMap, run: bool = True) -> str | None:
    """Say why a model does not serve, if it does not: in the words of its own check, or by what its methods give."""
    try:
        # Models put together by tree operations have not passed their own check.
        getattr(model, "__check_init__", lambda: None)()
    except (ValueError, TypeError) as error:
        return str(error)
    if not run:
        return None
    what = f"{type(model).__name__}: a state of shape ({model.num_states},), as num_states says,"
    try:
        with numerics():
            state = jax.ShapeDtypeStruct((model.num_states,), np.float64)
            gates = jax.eval_shape(model.preactivations, state).shape
            following = jax.eval_shape(model.step, state, jax.ShapeDtypeStruct(gates, np.bool_)).shape
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return f"{what} cannot be mapped: {type(error).__name__}: {first} (cyclax.testing.check_map tells more)."
    if len(gates) != 1 or following != (model.num_states,):
        return f"{what} has preactivations of shape {gates} and is mapped to shape {following}."
    return None


def _shape(model: AbstractPiecewiseLinearMap) -> tuple[str, Any]:
    leaves, structure = jax.tree.flatten(model)
    shapes = ", ".join(str(np.shape(leaf)) for leaf in leaves)
    return f"{type(model).__name__} with leaves of shapes {shapes}", structure
