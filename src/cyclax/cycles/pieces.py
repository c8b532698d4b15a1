"""The affine pieces of a model in exact numbers, read off the traced code of the model itself.

float64 weights are rationals, and what `preactivations` and `step` do with them (sums, products, quotients,
selections) is done in rationals: there is no second copy of any formula, and no rounding. Functions of weights alone
that leave the rationals, such as `exp`, are enclosed in balls.

Rationals and balls are those of FLINT and Arb (Johansson, *Arb: efficient arbitrary-precision midpoint-radius interval
arithmetic*, IEEE Transactions on Computers 66, 2017), through python-flint.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flint
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from cyclax.core.balls import working_precision
from cyclax.core.numerics import numerics
from cyclax.cycles.forms import (
    ELEMENTWISE,
    GATE,
    Form,
    NotAffineError,
    UnsupportedError,
    _rational,
    added,
    dot_general,
    elementwise,
    filled,
    integer_power,
    lifted,
)
from cyclax.maps.base import AbstractPiecewiseLinearMap

# Primitives that only move entries about, and which of their operands hold entries (None: all).
_MOVES: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "copy")),
    **dict.fromkeys(("concatenate", "stack", "unstack", "split", "pad", "tile")),
    "gather": (0,),
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "scatter": (0, 2),
}
# Memory for matrices of balls.
_CACHE_BYTES = 2**26


# -- arithmetic of forms ----------------------------------------------------------------------------------------------


# -- following traced code --------------------------------------------------------------------------------------------


class _Operation(NamedTuple):
    primitive: Any
    params: dict[str, Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]
    shape: tuple[int, ...]  # of the first result
    source: Any  # the dtype of the first operand
    target: Any  # the dtype of the first result


class _Trace:
    """A traced function, flattened: numbered values, and operations from some to others."""

    def __init__(self, function: Callable, *arguments: Any):
        self.operations: list[_Operation] = []
        self.values: dict[int, np.ndarray] = {}
        self.routes: dict[tuple[int, ...], list[np.ndarray]] = {}
        self._numbers = itertools.count()
        closed = jax.make_jaxpr(function)(*arguments)
        self.shape = closed.out_avals[0].shape
        self.inputs = [next(self._numbers) for _ in closed.jaxpr.invars]
        (self.output,) = self._inline(closed.jaxpr, closed.consts, self.inputs)
        self._drop_unused()

    def _inline(self, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[int]) -> list[int]:
        known = dict(zip(jaxpr.invars, inputs, strict=True))
        known.update((variable, self._held(value)) for variable, value in zip(jaxpr.constvars, constants, strict=True))

        def number_of(variable: Any) -> int:
            return self._held(variable.val) if isinstance(variable, jax.extend.core.Literal) else known[variable]

        for equation in jaxpr.eqns:
            operands = [number_of(variable) for variable in equation.invars]
            inner = next((equation.params[name] for name in ("jaxpr", "call_jaxpr") if name in equation.params), None)
            if inner is not None and len(getattr(inner, "jaxpr", inner).invars) == len(operands):
                if equation.primitive.name in ("scan", "while", "cond"):
                    raise _unsupported(equation.primitive.name)
                results = self._inline(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
            else:
                results = [next(self._numbers) for _ in equation.outvars]
                self.operations.append(
                    _Operation(
                        equation.primitive,
                        equation.params,
                        tuple(operands),
                        tuple(results),
                        equation.outvars[0].aval.shape,
                        equation.invars[0].aval.dtype if equation.invars else None,
                        equation.outvars[0].aval.dtype,
                    )
                )
            known.update(zip(equation.outvars, results, strict=True))
        return [number_of(variable) for variable in jaxpr.outvars]

    def _held(self, value: Any) -> int:
        number, value = next(self._numbers), np.asarray(value)
        # Integers and booleans stay as they are: they may be indices.
        self.values[number] = lifted(value) if jnp.issubdtype(value.dtype, jnp.floating) else value
        return number

    def _drop_unused(self) -> None:
        needed, kept = {self.output}, []
        for operation in reversed(self.operations):
            if needed.intersection(operation.results):
                needed.update(operation.operands)
                kept.append(operation)
        self.operations = kept[::-1]


@functools.lru_cache(128)
def _traces(structure: Any, shapes: tuple[Any, ...], num_states: int) -> tuple[_Trace, _Trace]:
    """Trace `preactivations` and `step` of a model; many models differ in their weights alone, and these are inputs."""
    leaves = [jax.ShapeDtypeStruct(shape.shape, shape.dtype, weak_type=shape.weak_type) for shape in shapes]
    state = np.zeros(num_states)
    planes = _Trace(lambda w, z: structure.unflatten(w).preactivations(z), leaves, state)
    gates = np.zeros(planes.shape, bool)
    step = _Trace(lambda w, z, g: structure.unflatten(w).step(z, g), leaves, state, gates)
    for trace in (planes, step):  # what depends on no input is done here, once
        program = _Program(trace, (), lambda: None)
        program.advance()
        trace.operations, trace.values = program.operations, program.values
    return planes, step


class _Program:
    """A trace with values for its inputs. `check` is called before each operation, and may raise."""

    def __init__(self, trace: _Trace, inputs: Sequence[np.ndarray], check: Callable[[], None]):
        self.operations, self.inputs, self.check = trace.operations, trace.inputs, check
        self.values = trace.values | dict(zip(trace.inputs, inputs, strict=False))
        self._output, self._routes = trace.output, trace.routes

    def advance(self) -> None:
        """Run whatever the values known so far determine, once and for all."""
        self.operations = self._run(self.values)

    def result(self, values: dict[int, np.ndarray]) -> np.ndarray:
        """Run the rest with more values."""
        values = self.values | values
        self._run(values)
        return lifted(values[self._output])

    def _moved(self, operation: _Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
        """Let JAX move the numbers of the entries, once, and then move the entries."""
        which = _MOVES[operation.primitive.name] or range(len(operands))
        pool = np.concatenate([lifted(operands[i]).reshape(-1) for i in which])
        if operation.results not in self._routes:
            arguments, first = list(operands), 0
            for i in which:
                arguments[i] = first + np.arange(operands[i].size).reshape(operands[i].shape)
                first += operands[i].size
            if any(argument.dtype == object for argument in arguments):
                raise UnsupportedError("certify: the code of the model computes an index from states or weights.")
            # What is read beyond the end gets the number -1.
            params = {name: -1 if name == "fill_value" else value for name, value in operation.params.items()}
            results = operation.primitive.bind(*map(jnp.asarray, arguments), **params)
            routes = [np.asarray(r) for r in (results if operation.primitive.multiple_results else [results])]
            if any(np.any(route < 0) or np.any(route >= first) for route in routes):
                raise UnsupportedError("certify: the code of the model reads beyond the end of an array.")
            self._routes[operation.results] = routes
        return [filled(pool[route.reshape(-1)], route.shape) for route in self._routes[operation.results]]

    def _run(self, values: dict[int, np.ndarray]) -> list[_Operation]:
        left = []
        for operation in self.operations:
            if all(number in values for number in operation.operands):
                self.check()
                operands = [values[number] for number in operation.operands]
                if operation.primitive.name in _MOVES and any(operand.dtype == object for operand in operands):
                    results = self._moved(operation, operands)
                else:
                    results = _performed(operation, operands)
                values.update(zip(operation.results, results, strict=True))
            else:
                left.append(operation)
        return left


def _performed(operation: _Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
    name, params = operation.primitive.name, operation.params
    if all(operand.dtype != object for operand in operands):  # integers and booleans
        results = operation.primitive.bind(*map(jnp.asarray, operands), **params)
        results = results if operation.primitive.multiple_results else [results]
        return [lifted(r) if jnp.issubdtype(r.dtype, jnp.floating) else np.asarray(r) for r in results]
    operands = [lifted(operand) for operand in operands]
    if name == "convert_element_type":
        rounds = jnp.issubdtype(operation.source, jnp.floating) and operation.target != np.float64
        if rounds or operation.target == np.bool_:
            raise UnsupportedError(
                f"certify: the code of the model converts {operation.source} to {operation.target}, which rounds; "
                "compute in the precision of the weights."
            )
    if name in ELEMENTWISE:
        return [elementwise(ELEMENTWISE[name], operands, operation.shape)]
    if name == "integer_pow":
        return [elementwise(lambda a: integer_power(a, params["y"]), operands, operation.shape)]
    if name == "reduce_sum":
        axes = params["axes"]
        rows = np.moveaxis(operands[0], axes, range(len(axes))).reshape(-1, int(np.prod(operation.shape, dtype=int)))
        return [filled((functools.reduce(added, row, {}) for row in rows.T), operation.shape)]
    if name == "dot_general":
        return [dot_general(operands[0], operands[1], params["dimension_numbers"])]
    raise _unsupported(name)


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"certify: the code of the model uses the operation {name!r}, which is not followed exactly. Write "
        "preactivations and step with sums, products, quotients, selections by gates, indexing and reshaping."
    )


# -- the pieces of a model --------------------------------------------------------------------------------------------


class Lap(NamedTuple):
    """One lap of a word in matrices of balls: those of its pieces, on (1, z), their product, and its Jacobian P."""

    matrices: list[Any]
    total: Any
    product: Any

    def solution(self) -> Any:
        """Enclose the state that the lap fixes, as a column (1, z).

        **Raises:** `ZeroDivisionError` where I - P is not told from a singular matrix.
        """
        size = self.product.nrows()
        identity = flint.arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
        start = (identity - self.product).solve(flint.arb_mat([[row[0]] for row in self.total.tolist()[1:]]))
        return flint.arb_mat([[1], *start.tolist()])


class Pieces:
    """The preactivations of a model and its affine pieces, word by word, in exact numbers.

    **Arguments:** `model`: with finite float64 leaves, taken as exact numbers. `check`: called now and then, here and
    whenever a piece is asked for, and may raise. `weights`: arrays of forms to take in place of these leaves.

    **Raises:** `UnsupportedError` where the code of the model cannot be followed.
    """

    def __init__(
        self,
        model: AbstractPiecewiseLinearMap,
        check: Callable[[], None] = lambda: None,
        weights: Sequence[np.ndarray] | None = None,
    ):
        self.num_states, self._check = model.num_states, check
        leaves, structure = jax.tree.flatten(model)
        with numerics():
            # Weights are traced too: what NumPy made of them beforehand would be rounded.
            traces = _traces(structure, tuple(map(jax.typeof, leaves)), self.num_states)
            (self.num_gates,) = traces[0].shape
            symbols = filled(({1 + j: flint.fmpq(1)} for j in range(self.num_states)), (self.num_states,))
            given = [lifted(np.asarray(leaf, np.float64)) for leaf in leaves] if weights is None else weights
            self._planes, self._step = (_Program(trace, [*given, symbols], check) for trace in traces)
            for program in (self._planes, self._step):
                self._followed(program.advance)
            self.planes: list[Form] = list(self._followed(lambda: self._planes.result({})).reshape(-1))
        # How much each preactivation changes with the state, rounded up: 0 only where it does not change at all.
        self.slopes = np.array([_steepness(form) for form in self.planes])
        at_once = max(64, _CACHE_BYTES // (160 * (self.num_states + 1) ** 2))
        self._cached_matrix = functools.lru_cache(at_once)(self._matrix)
        self._cached_magnitudes = functools.lru_cache(at_once)(self._magnitudes)
        self._cached_planes = functools.lru_cache(1)(self._planes_matrix)
        self._cached_inert = functools.lru_cache(1024)(self._inert)
        known = [*self._planes.values.values(), *self._step.values.values()]
        self.exact = all(_rational(forms) for forms in known if forms.dtype == object)

    @staticmethod
    def _followed(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except NotAffineError as error:
            raise UnsupportedError(
                f"certify: the code of the model holds {error}. preactivations must be affine in z, and step affine in "
                "z while the gates are held: select by gates, not by the sign of z."
            ) from error

    def piece(self, gates: np.ndarray) -> list[Form]:
        """Give the next state as forms, with the gates `(G,)` held."""
        with numerics():
            return list(self._followed(lambda: self._step.result({self._step.inputs[-1]: lifted(gates)})))

    def with_open_gates(self) -> list[Form]:
        """Give the next state as forms in which gate g is left open, as `(1 + g) * GATE`; column 0 is constant.

        **Raises:** `UnsupportedError` where gates do not add up.
        """
        gates = filled(({(1 + g) * GATE: flint.fmpq(1)} for g in range(self.num_gates)), (self.num_gates,))
        with numerics():
            return list(self._followed(lambda: self._step.result({self._step.inputs[-1]: gates})))

    def inert(self, gates: np.ndarray, among: tuple[int, ...]) -> bool:
        """Say whether it is proved that the piece is the same however the gates `among` stand, the others held."""
        return self._cached_inert(gates.tobytes(), among)

    def _inert(self, gates: bytes, among: tuple[int, ...]) -> bool:
        forms = lifted(np.frombuffer(gates, bool))
        for d, gate in enumerate(among, start=1):
            forms[gate] = {d * GATE: flint.fmpq(1)}
        try:
            with numerics():
                step = self._step.result({self._step.inputs[-1]: forms})
        except NotAffineError:  # gates that do not add up
            return False
        return all(column < GATE for form in step for column in form)

    def matrix(self, gates: np.ndarray, bits: int) -> Any:
        """Give the piece as a matrix of balls `(M + 1, M + 1)` that maps (1, z) to (1, z')."""
        self._check()
        return self._cached_matrix(gates.tobytes(), bits)

    def _matrix(self, gates: bytes, bits: int) -> Any:
        return _balls([{0: 1}, *self.piece(np.frombuffer(gates, bool))], self.num_states + 1, bits)

    def magnitudes(self, gates: np.ndarray) -> np.ndarray:
        """Give the moduli `(M, M)` of the Jacobian of the piece, in float64."""
        return self._cached_magnitudes(gates.tobytes())

    def _magnitudes(self, gates: bytes) -> np.ndarray:
        size = range(1, self.num_states + 1)
        piece = self.piece(np.frombuffer(gates, bool))
        return np.array([[abs(float(flint.arb(form.get(j, 0)))) for j in size] for form in piece])

    def lap(self, word: np.ndarray, bits: int) -> Lap:
        """Compose the pieces along a word `(k, G)`."""
        matrices = [self.matrix(gates, bits) for gates in word]
        total = functools.reduce(lambda before, matrix: matrix * before, matrices)
        return Lap(matrices, total, flint.arb_mat([row[1:] for row in total.tolist()[1:]]))

    def planes_matrix(self, bits: int) -> Any:
        """Give the preactivations as a matrix of balls `(G, M + 1)` that acts on (1, z)."""
        return self._cached_planes(bits)

    def _planes_matrix(self, bits: int) -> Any:
        return _balls(self.planes, self.num_states + 1, bits)


def _balls(forms: Sequence[Form], columns: int, bits: int) -> Any:
    with working_precision(bits):
        entries = [flint.arb(form.get(j, 0)) for form in forms for j in range(columns)]
        return flint.arb_mat(len(forms), columns, entries)


def _steepness(form: Form) -> float:
    square = sum((flint.arb(value) ** 2 for column, value in form.items() if column), flint.arb(0))
    return math.nextafter(float(square.sqrt().abs_upper()), math.inf) if form.keys() - {0} else 0.0


def rational_preactivation(pieces: Pieces, word: np.ndarray, step: int, gate: int) -> Any:
    """Give the preactivation at a point of the cycle of a word, as a rational number.

    **Raises:** `ZeroDivisionError` where I - P is singular.
    """
    size = pieces.num_states + 1
    total = flint.fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
    for gates in np.roll(word, -step, axis=0):
        forms = [{0: 1}, *pieces.piece(gates)]
        total = flint.fmpq_mat(size, size, [flint.fmpq(form.get(j, 0)) for form in forms for j in range(size)]) * total
    inner = range(1, size)
    system = [int(i == j) - total[i, j] for i in inner for j in inner]
    offset = flint.fmpq_mat(size - 1, 1, [total[i, 0] for i in inner])
    point = flint.fmpq_mat(size - 1, size - 1, system).solve(offset)
    plane = pieces.planes[gate]
    return plane.get(0, flint.fmpq(0)) + sum(plane.get(i, flint.fmpq(0)) * point[i - 1, 0] for i in inner)
