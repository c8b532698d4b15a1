"""Functions of small arrays, one for each lane, computed entry by entry.

Arrays `(D, n, B)` of B lanes are cut, stacked and summed over their small axes, and XLA makes a loop over memory, or a
launch, of each such step. Here an array is what its entries are: cutting and stacking are bookkeeping while the
function is traced, sums are written out, and what is left is arithmetic on arrays `(B,)`, which XLA fuses into few
loops. Many steps of small systems become a few launches on a GPU; on CPUs one step of a few hundred lanes takes a half
to a seventh of the time.
"""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cyclax.core.jaxprs import called, evaluated

# What takes more operations a lane takes too long to compile.
MOST_OPERATIONS = 1500
# An array as its entries: those of all lanes are `(B,)`, those that lanes share `()`.
_Entries = Any

_ELEMENTWISE = frozenset((
    *("abs", "add", "add_any", "and", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil"),
    *("clamp", "convert_element_type", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1"),
    *("floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul"),
    *("ne", "neg", "nextafter", "not", "one_minus_square", "or", "pow", "rem", "round", "rsqrt", "select_n"),
    *("shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square"),
    *("stop_gradient", "sub", "tan", "tanh", "xor"),
))  # fmt: skip
# These say only which entry goes where.
_MOVING = frozenset((
    *("broadcast_in_dim", "concatenate", "expand_dims", "pad", "reshape", "rev", "slice", "split", "squeeze", "stack"),
    *("transpose", "unstack"),
))  # fmt: skip
# These say where arrays lie.
_PLACING = frozenset(("copy", "reshard"))
_REDUCING = {
    "reduce_and": jnp.logical_and,
    "reduce_max": jnp.maximum,
    "reduce_min": jnp.minimum,
    "reduce_or": jnp.logical_or,
    "reduce_prod": jnp.multiply,
    "reduce_sum": jnp.add,
}


def entrywise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the same function, computed entry by entry.

    **Arguments:** `function`: of pytrees of arrays whose last axis is that of B lanes, as are those of its results. It
    does the same to every lane, whatever B; what it closes over, lanes share. It is one that `operations` can count.

    **Returns:** a function of the same arguments; it is not meant to be differentiated.
    """

    def by_entries(*arguments: Any) -> Any:
        leaves = list(map(jnp.asarray, jax.tree.leaves(arguments)))
        closed, shapes = _of_one_lane(function, arguments)
        wanted, lanes = jax.tree.leaves(shapes), leaves[0].shape[-1]
        # The lane of the function traced is one more small axis, of size 1.
        taken = [_entries(leaf, leaf.shape[:-1])[..., None] for leaf in leaves]
        results = evaluated(closed, taken, functools.partial(_apply, lanes), _shared)
        done = [_array(entries[..., 0], lanes, shape.dtype) for entries, shape in zip(results, wanted, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(shapes), done)

    return by_entries


def operations(function: Callable[..., Any], *arguments: Any) -> float:
    """Count what a lane of a function takes, entry by entry; infinite where one of its operations has no such form."""
    return _count(_of_one_lane(function, arguments)[0].jaxpr)


def _of_one_lane(function: Callable[..., Any], arguments: Any) -> tuple[Any, Any]:
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*jnp.shape(leaf)[:-1], 1), jnp.result_type(leaf)), arguments)
    return jax.make_jaxpr(function, return_shape=True)(*one)


def _count(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, shapes = equation.primitive.name, [variable.aval.shape for variable in equation.invars]
        if (inner := called(equation)) is not None:
            total += _count(inner.jaxpr)
        elif name in _ELEMENTWISE:
            total += equation.outvars[0].aval.size
        elif shapes and 0 in shapes[0]:
            return math.inf  # sums of nothing
        elif name in _REDUCING:
            total += math.prod(shapes[0])
        elif name == "dot_general":
            (over, _), _ = equation.params["dimension_numbers"]
            total += 2 * equation.outvars[0].aval.size * math.prod(shapes[0][axis] for axis in over)
        elif name not in _MOVING | _PLACING | {"iota"}:
            return math.inf
    return total


def _apply(lanes: int, equation: Any, inputs: list[_Entries]) -> list[_Entries]:
    name, shape = equation.primitive.name, equation.outvars[0].aval.shape
    if name in _PLACING:
        return inputs
    if name in _MOVING:
        return _moved(equation, inputs)
    if name in _REDUCING:
        axes = equation.params["axes"]
        rows = np.moveaxis(inputs[0], axes, range(len(axes))).reshape(-1, *shape)
        return [_each(lambda *terms: functools.reduce(_over(lanes, _REDUCING[name]), terms), *rows)]
    if name == "dot_general":
        return [_product(lanes, equation, *inputs)]
    bind = functools.partial(equation.primitive.bind, **equation.params)
    if name == "iota":
        return [_shared(bind())]
    return [_each(_over(lanes, bind), *(np.broadcast_to(some, shape) for some in inputs))]


def _over(lanes: int, operation: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operation of arrays of one shape take some that lanes share."""

    def applied(*operands):
        if any(operand.ndim for operand in operands):
            operands = [jnp.broadcast_to(operand, (lanes,)) for operand in operands]
        return operation(*operands)

    return applied


def _moved(equation: Any, inputs: list[_Entries]) -> list[_Entries]:
    """Let the operation itself say where entries go, by moving their numbers."""
    ends = np.cumsum([0, *(entries.size for entries in inputs)])
    numbers = [
        np.arange(begin, begin + entries.size, dtype=np.int32).reshape(entries.shape)
        for begin, entries in zip(ends[:-1], inputs, strict=True)
    ]
    with jax.ensure_compile_time_eval():
        places = equation.primitive.bind(*map(jnp.asarray, numbers), **equation.params)
        places = [np.asarray(place) for place in (places if equation.primitive.multiple_results else [places])]
    every = np.concatenate([entries.reshape(-1) for entries in inputs])
    return [every[place] for place in places]


def _product(lanes: int, equation: Any, left: _Entries, right: _Entries) -> _Entries:
    """Write out a product of matrices as sums, in the axes' order of `jax.lax.dot_general`."""
    (over_left, over_right), (batch_left, batch_right) = equation.params["dimension_numbers"]

    def rows(entries, over, batch):
        free = [axis for axis in range(entries.ndim) if axis not in (*over, *batch)]
        sizes = [math.prod(entries.shape[axis] for axis in axes) for axes in (batch, free, over)]
        return entries.transpose(*batch, *free, *over).reshape(sizes)

    some, others = rows(left, over_left, batch_left), rows(right, over_right, batch_right)
    multiply, add = _over(lanes, operator.mul), _over(lanes, operator.add)
    out = equation.outvars[0].aval
    result = np.empty((len(some), some.shape[1], others.shape[1]), object)
    for b, i, j in np.ndindex(*result.shape):
        total = functools.reduce(add, map(multiply, some[b, i], others[b, j]))
        result[b, i, j] = total.astype(out.dtype)
    return result.reshape(out.shape)


def _each(function: Callable[..., Any], *inputs: _Entries) -> _Entries:
    result = np.empty(inputs[0].shape, object)
    for place in np.ndindex(*result.shape):
        result[place] = function(*(entries[place] for entries in inputs))
    return result


def _entries(array: Array, shape: tuple[int, ...]) -> _Entries:
    """Take an array apart along its first axes, of that shape."""
    result, rows = np.empty(shape, object), array.reshape(-1, *array.shape[len(shape) :])
    for number, place in enumerate(np.ndindex(*shape)):
        result[place] = rows[number]
    return result


def _shared(constant: Any) -> _Entries:
    array = jnp.asarray(constant)
    return _entries(array, array.shape)


def _array(entries: _Entries, lanes: int, dtype: Any) -> Array:
    """Put an array together again, with the lanes last."""
    rows = [jnp.broadcast_to(entry, (lanes,)) for entry in entries.flat]
    return (jnp.stack(rows) if rows else jnp.zeros((0, lanes), dtype)).reshape(*entries.shape, lanes)
