"""How large the terms are that the code of a model rounds on its way, where sums of products of weights may cancel.

Rounding in a sum is relative to its terms. What a gate adds is, for most maps, one product of weights, and rounded
relative to itself; where it is a sum, such as U V of low rank, it may be far smaller than its terms. A running error
analysis of the code tells (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.3): beside every
value goes a bound of its rounding, in units of the machine precision.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from cyclax.maps.affine import AffineForm, in_chunks, over_rows, pieces
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.dendritic import ClippedDendriticPLRNN
from cyclax.maps.plrnn import LowRankPLRNN

# Primitives that only move entries about, and do so with bounds.
_MOVES = frozenset(
    ("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "copy", "concatenate", "pad")
) | frozenset(("gather", "dynamic_slice", "dynamic_update_slice", "select_n", "stop_gradient", "neg"))

# Rounding of so many times the machine precision, of these terms, says nothing.
_SLACK = 64 * float(np.finfo(np.float64).eps)


class _Unknown(Exception):
    """A primitive of which nothing is known."""


def sums_products(model: Any) -> bool:
    """Say whether what a gate of a model adds may be a sum of products of weights: so it is with code of one's own."""
    if isinstance(model, LowRankPLRNN):
        return model.V.shape[-2] > 1
    if isinstance(model, ClippedDendriticPLRNN):
        return model.alpha.shape[-1] > 2
    inner = getattr(model, "model", None)
    if isinstance(inner, AbstractPiecewiseLinearMap):
        return sums_products(inner)
    return not type(model).__module__.startswith("cyclax.")


def adds_up(model: AbstractPiecewiseLinearMap, bounds: AffineForm, samples: int = 16) -> bool:
    """Whether the held maps of random gates are the sums that `bounds` says they are, as far as these samples tell.

    It is the contract of the maps (`cyclax.testing.check_map` checks all of it), and a model of one's own may break it.
    """
    gates = np.random.default_rng(0).random((samples, len(bounds.offsets))) < 0.5
    gates[0] = True
    jacobians, shifts = in_chunks(pieces, model, gates)
    with np.errstate(all="ignore"):
        apart = np.abs(jacobians - bounds.jacobians(gates))
        apart_shift = np.abs(shifts - bounds.shift - gates @ bounds.shift_jumps)
        size = np.abs(bounds.closed) + np.sum(np.abs(bounds.jumps), axis=0)
        size_shift = np.abs(bounds.shift) + np.sum(np.abs(bounds.shift_jumps), axis=0)
        if sums_products(model):
            rows = np.concatenate([gates, np.zeros((samples, len(bounds.shift)))], axis=1)
            of_shifts, of_rows = in_chunks(rounded_terms, model, rows)
            apart, apart_shift = apart - _SLACK * of_rows[:, :, None], apart_shift - _SLACK * of_shifts
        # What the code of the model puts beyond the largest float64 tells nothing, nor what is below the smallest that
        # has all of its digits.
        least = (1 + len(bounds.offsets)) * np.finfo(np.float64).tiny
        wrong = (apart > 1e-9 * size + least) & np.isfinite(jacobians)
        wrong_shift = (apart_shift > 1e-9 * size_shift + least) & np.isfinite(shifts)
        return not (np.any(wrong) or np.any(wrong_shift))


@over_rows
def rounded_terms(model, row):
    """Bound what the code rounds, for gates and a state in one row `(G + M,)`: of the image, and of Jacobian rows.

    Both `(M,)`, in units of the machine precision; that of Jacobians for a state of ones.
    """
    gates, state = row[: -model.num_states] > 0, row[-model.num_states :]
    step = lambda z: model.step(z, gates)  # noqa: E731
    linear = lambda z: jax.jvp(step, (jnp.zeros_like(z),), (z,))[1]  # noqa: E731
    try:
        return _bound(step, state), _bound(linear, jnp.ones_like(state))
    except _Unknown:
        return jnp.zeros_like(state), jnp.zeros_like(state)


def _bound(function: Callable, state: Any) -> Any:
    closed = jax.make_jaxpr(function)(state)
    (bound,) = _run(closed.jaxpr, closed.consts, [state], [jnp.zeros_like(state)])[1]
    return bound


def _run(jaxpr: Any, constants: Sequence[Any], values: list, bounds: list) -> tuple[list, list]:
    """Run code with bounds beside its values; of ints and booleans there is none."""
    known = {v: (c, _none(c)) for v, c in zip(jaxpr.constvars, constants, strict=True)}
    known |= {v: pair for v, *pair in zip(jaxpr.invars, values, bounds, strict=True)}

    def of(variable):
        if isinstance(variable, jax.extend.core.Literal):
            return variable.val, _none(variable.val)
        return known[variable]

    for equation in jaxpr.eqns:
        operands, errors = zip(*map(of, equation.invars), strict=True) if equation.invars else ((), ())
        inner = next((equation.params[name] for name in ("jaxpr", "call_jaxpr") if name in equation.params), None)
        if inner is not None:
            code = getattr(inner, "jaxpr", inner)
            if equation.primitive.name in ("scan", "while", "cond") or len(code.invars) != len(operands):
                raise _Unknown(equation.primitive.name)
            results, found = _run(code, getattr(inner, "consts", ()), list(operands), list(errors))
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = list(results) if equation.primitive.multiple_results else [results]
            found = [_rounding(equation, operands, errors, result) for result in results]
        known |= dict(zip(equation.outvars, zip(results, found, strict=True), strict=True))
    ends = [of(variable) for variable in jaxpr.outvars]
    return [value for value, _ in ends], [error for _, error in ends]


def _none(value: Any) -> Any:
    return jnp.zeros(jnp.shape(value)) if jnp.issubdtype(jnp.result_type(value), jnp.floating) else None


def _rounding(equation: Any, operands: Sequence[Any], errors: Sequence[Any], result: Any) -> Any:
    """Bound the rounding of one result, from that of the operands."""
    if not jnp.issubdtype(jnp.result_type(result), jnp.floating):
        return None
    name, params, size = equation.primitive.name, equation.params, jnp.abs(result)
    given = [error for error in errors if error is not None]
    if not given:
        return jnp.zeros(result.shape)
    sizes = [jnp.abs(one) for one, error in zip(operands, errors, strict=True) if error is not None]
    if name in _MOVES or name == "convert_element_type":
        own = [error if error is not None else one for one, error in zip(operands, errors, strict=True)]
        return jnp.abs(equation.primitive.bind(*own, **params))
    if name in ("add", "sub", "add_any"):
        return sum(given) + size
    if name == "mul":
        return sizes[0] * given[1] + given[0] * sizes[1] + size
    if name == "div":
        return (given[0] + size * given[1]) / sizes[1] + size
    if name in ("dot_general", "reduce_sum"):
        bind = lambda *some: equation.primitive.bind(*some, **params)  # noqa: E731
        terms = sizes[0].size // max(result.size, 1) if name == "reduce_sum" else _terms(params, sizes[0].shape)
        if name == "reduce_sum":
            return bind(given[0]) + terms * bind(sizes[0])
        return bind(sizes[0], given[1]) + bind(given[0], sizes[1]) + terms * bind(sizes[0], sizes[1])
    if name in ("max", "min"):
        return jnp.maximum(*given)
    if len(operands) == 1:
        _, slope = jax.jvp(
            lambda x: equation.primitive.bind(x, **params), (operands[0],), (jnp.ones_like(operands[0]),)
        )
        return jnp.abs(slope) * given[0] + 4 * size
    raise _Unknown(name)


def _terms(params: Any, shape: tuple[int, ...]) -> int:
    ((axes, _), _) = params["dimension_numbers"]
    return math.prod(shape[axis] for axis in axes)
