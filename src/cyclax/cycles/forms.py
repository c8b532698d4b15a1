"""Affine forms in exact numbers, and what the primitives of traced code do with them.

A form is a number that may depend on the state and on gates left open; sums, products and quotients are rationals, and
what leaves them is enclosed in balls.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flint
import numpy as np

# A number that may depend on the state: {column: coefficient}, without zeros. Column 0 is the constant, column 1 + j
# state j; d * GATE further on they are multiplied by the d-th of the gates that are left open to be 0 or 1.
Form = dict[int, Any]
GATE = 2**32
# Products of so many terms are done by matrices, not term by term.
MANY_TERMS = 10_000


class UnsupportedError(ValueError):
    """The code of a model does what cannot be followed exactly; the message says what, and the remedy."""


class NotAffineError(Exception):
    """Something was asked of a number that depends on the state, or on a gate left open."""


def to_form(value: Any) -> Form:
    """Turn a finite number into a form."""
    if isinstance(value, bool | int | float | np.generic):
        if not np.isfinite(value):
            raise UnsupportedError(f"certify: the code of the model holds the number {value}, which is not finite.")
        value = flint.fmpq(*float(value).as_integer_ratio())
    return {} if value == 0 else {0: value}


def added(a: Form, b: Form) -> Form:
    """Add two forms."""
    total = dict(a)
    for column, value in b.items():
        value = total.pop(column) + value if column in total else value
        vanishes = value == 0  # a ball around 0 is neither equal to it nor different
        if not vanishes:
            total[column] = value
    return total


def scaled(a: Form, factor: Any) -> Form:
    """Multiply a form by a number."""
    return {column: value * factor for column, value in a.items()}


def difference(a: Form, b: Form) -> Form:
    """Subtract two forms."""
    return added(a, scaled(b, -1))


def multiplied(a: Form, b: Form) -> Form:
    """Multiply two forms; no product of two states, or of two gates, can be written as one."""
    for one, other in ((a, b), (b, a)):
        if not one.keys() - {0}:
            return scaled(other, one[0]) if one else {}
    total: Form = {}
    for (column, value), (other, factor) in itertools.product(a.items(), b.items()):
        (gate, state), (other_gate, other_state) = divmod(column, GATE), divmod(other, GATE)
        if (state and other_state) or (gate and other_gate and gate != other_gate):
            raise NotAffineError("a product of two states or of two gates")
        # A gate is 0 or 1, and so is its square.
        total = added(total, {max(gate, other_gate) * GATE + max(state, other_state): value * factor})
    return total


def constant_of(a: Form) -> Any:
    """Give the number that a constant form is."""
    if a.keys() - {0}:
        raise NotAffineError("a comparison, or a nonlinear function, of something that depends on the state")
    return a.get(0, flint.fmpq(0))


def _quotient(a: Form, b: Form) -> Form:
    divisor = constant_of(b)
    if divisor == 0:
        raise NotAffineError("a division by zero")
    return {column: value / divisor for column, value in a.items()}


def _of_constants(function: Callable[..., Any]) -> Callable[..., Form]:
    return lambda *arguments: to_form(function(*map(constant_of, arguments)))


def _in_balls(name: str) -> Callable[..., Form]:
    return _of_constants(lambda x: getattr(flint.arb(x), name)())


def _comparison(compare: Callable[[Any, Any], bool], negation: Callable[[Any, Any], bool]) -> Callable[..., Form]:
    def decide(a: Any, b: Any) -> bool:
        if not compare(a, b) and not negation(a, b):
            raise NotAffineError("a comparison of weights that balls cannot tell apart")
        return compare(a, b)

    return _of_constants(decide)


def integer_power(a: Form, exponent: int) -> Form:
    """Raise a form to a power."""
    power = functools.reduce(multiplied, [a] * abs(exponent), to_form(1))
    return power if exponent >= 0 else _quotient(to_form(1), power)


def _selected(which: Form, *cases: Form) -> Form:
    if not which.keys() - {0}:
        return cases[int(constant_of(which).p)]
    return added(cases[0], multiplied(which, difference(cases[1], cases[0])))


_ONE = {0: flint.fmpq(1)}
ELEMENTWISE: dict[str, Callable[..., Form]] = {
    "add": added,
    "add_any": added,
    "sub": difference,
    "mul": multiplied,
    "neg": lambda a: scaled(a, -1),
    "div": _quotient,
    "square": lambda a: multiplied(a, a),
    "select_n": _selected,
    "convert_element_type": lambda a: a,
    "stop_gradient": lambda a: a,
    "optimization_barrier": lambda a: a,
    "not": lambda a: difference(_ONE, a),
    "and": multiplied,
    "or": lambda a, b: difference(added(a, b), multiplied(a, b)),
    "xor": lambda a, b: difference(added(a, b), scaled(multiplied(a, b), 2)),
    "max": lambda a, b: a if _comparison(operator.ge, operator.lt)(a, b) else b,
    "min": lambda a, b: a if _comparison(operator.le, operator.gt)(a, b) else b,
    "abs": _of_constants(abs),
    "eq": _comparison(operator.eq, operator.ne),
    "ne": _comparison(operator.ne, operator.eq),
    "gt": _comparison(operator.gt, operator.le),
    "ge": _comparison(operator.ge, operator.lt),
    "lt": _comparison(operator.lt, operator.ge),
    "le": _comparison(operator.le, operator.gt),
    "pow": _of_constants(lambda x, y: flint.arb(x) ** flint.arb(y)),
    "logistic": _of_constants(lambda x: 1 / (1 + (-flint.arb(x)).exp())),
    **{name: _in_balls(name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "tanh", "sin", "cos")},
}


def lifted(values: Any) -> np.ndarray:
    """Make an array of forms of an array of numbers."""
    values = np.asarray(values)
    if values.dtype == object:
        return values
    return filled(map(to_form, values.reshape(-1)), values.shape)


def filled(forms: Iterable[Form], shape: tuple[int, ...]) -> np.ndarray:
    """Put forms into an array."""
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[:] = list(forms)
    return array


def elementwise(function: Callable[..., Form], operands: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Apply a function of forms entry by entry."""
    columns = [(one if one.shape == shape else np.broadcast_to(one, shape)).reshape(-1) for one in operands]
    return filled(map(function, *columns), shape)


def dot_general(left: np.ndarray, right: np.ndarray, dimension_numbers: Any) -> np.ndarray:
    """Contract two arrays of forms as JAX's primitive does."""
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    left_free = [i for i in range(left.ndim) if i not in (*left_sum, *left_batch)]
    right_free = [i for i in range(right.ndim) if i not in (*right_sum, *right_batch)]
    batch = [left.shape[i] for i in left_batch]
    terms = int(np.prod([left.shape[i] for i in left_sum], dtype=int))
    shape = (*batch, *(left.shape[i] for i in left_free), *(right.shape[i] for i in right_free))
    number = int(np.prod(batch, dtype=int))
    left = left.transpose(*left_batch, *left_free, *left_sum).reshape(number, -1, terms)
    right = right.transpose(*right_batch, *right_sum, *right_free).reshape(number, terms, -1)
    return filled((form for one, other in zip(left, right, strict=True) for form in matrix_product(one, other)), shape)


def _rational(forms: np.ndarray) -> bool:
    return all(isinstance(value, flint.fmpq) for form in forms.flat for value in form.values())


def matrix_product(left: np.ndarray, right: np.ndarray) -> list[Form]:
    """Multiply `(n, t)` by `(t, m)` forms; a large product of rational weights and forms is done by matrices."""
    if any(form.keys() - {0} for form in left.flat) and not any(form.keys() - {0} for form in right.flat):
        flipped = matrix_product(right.T, left.T)
        return [flipped[j * len(left) + i] for i in range(len(left)) for j in range(right.shape[1])]
    columns = sorted({column for form in right.flat for column in form})
    exact = _rational(left) and _rational(right)
    constant = not any(form.keys() - {0} for form in left.flat)
    width = right.shape[1] * len(columns)
    if not exact or not constant or left.size * width < MANY_TERMS:
        return [functools.reduce(added, map(multiplied, row, column), {}) for row in left for column in right.T]
    zero = flint.fmpq(0)
    weights = flint.fmpq_mat(len(left), len(right), [form.get(0, zero) for form in left.flat])
    forms = flint.fmpq_mat(len(right), width, [form.get(c, zero) for form in right.flat for c in columns])
    entries = iter((weights * forms).entries())
    return [
        {column: value for column, value in zip(columns, itertools.islice(entries, len(columns)), strict=True) if value}
        for _ in range(len(left) * right.shape[1])
    ]
