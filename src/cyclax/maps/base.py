"""What a piecewise-linear map is: two methods, from which everything else in cyclax follows."""

import abc
import dataclasses
import functools
import types
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cyclax.core.checks import refuse_misread
from cyclax.core.numerics import numerics

# Sums this short are written out term by term: XLA fuses them into the neighbouring element-wise work, while a call
# of a matrix product costs more than the product itself.
_UNROLLED_TERMS = 4


def real_array(value: Any, name: str = "") -> Any:
    """Keep JAX arrays as they are and turn everything else into NumPy float64.

    NumPy, because `jnp.asarray` cuts float64 to float32 unless JAX was told otherwise globally.

    **Arguments:** `name`: what the value is, in messages; a model names its weights itself.

    **Raises:** `ValueError` for masked entries, which would come to life, sparse matrices, and rows of different
    lengths; `TypeError` for what are no real numbers.
    """
    where = f"{name}: " if name else ""
    try:
        refuse_misread(value)
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise TypeError("these are complex")
        return array if isinstance(value, jax.Array) else np.asarray(array, np.float64)
    except (TypeError, ValueError) as error:
        # What cannot be read as a number raises one or the other, by its type.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}expected an array of real numbers; {error}") from error


def times(matrix: Float[Array, "N M"], vector: Float[Array, " M"]) -> Float[Array, " N"]:
    """Multiply a shared matrix with a vector; a one-dimensional `matrix` is a diagonal.

    Under `vmap` over the last axis this is one GEMM for all lanes.
    """
    if matrix.ndim == 1:
        return matrix * vector
    terms = matrix.shape[1]
    if terms > _UNROLLED_TERMS:
        return matrix @ vector
    return functools.reduce(jnp.add, (matrix[:, j] * vector[j] for j in range(terms)))


def relu_where(gates: Bool[Array, " G"], values: Float[Array, " G"]) -> Float[Array, " G"]:
    """ReLU with its gates held: `values` where the gate is open, else 0."""
    return jnp.where(gates, values, 0)


class AbstractPiecewiseLinearMap(eqx.Module):
    """A continuous piecewise-linear map of R^M.

    To add a model of your own, subclass it and write two methods, for a single state (no batch axes: cyclax vmaps
    them), and `num_states` where no leaf is named by `input_leaf`:

    - `preactivations(z)`: `(M,) -> (G,)`, affine in z. Gate g is open where entry g is > 0.
    - `step(z, gates)`: `(M,), (G,) -> (M,)`, affine in z while the gates are held.

    The map must be continuous: on a border (a preactivation of 0) `step` gives the same state with the gate open and
    closed. And its gates must add up: what opening a gate adds does not depend on other gates, as in a sum of ReLUs
    with a gate each. Search, proofs and bifurcation rules rely on both; `cyclax.testing.check_map` checks them, and
    `docs/writing_a_model.md` has an example.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let what converts a weight know its name."""
        super().__init_subclass__(**kwargs)
        for name, field in vars(cls).items():
            if isinstance(field, dataclasses.Field) and field.metadata.get("converter") is real_array:
                named = functools.partial(real_array, name=name)
                field.metadata = types.MappingProxyType({**field.metadata, "converter": named})

    # The leaf to which a constant input is added, `(M,)`, where the model has one.
    input_leaf: ClassVar[str | None] = None
    # The leaf through which inputs reach that one, `(M, I)`; with no columns, or where it is None, they are added bare.
    input_matrix: ClassVar[str | None] = None

    @property
    def num_states(self) -> int:
        """The latent dimension M: that of the leaf which `input_leaf` names, unless a model says it itself."""
        if self.input_leaf is None:
            raise TypeError(f"{type(self).__name__}: write num_states (an int M), or name the bias (M,) in input_leaf.")
        return getattr(self, self.input_leaf).shape[-1]

    @abc.abstractmethod
    def preactivations(self, z: Float[Array, " M"]) -> Float[Array, " G"]:
        """Give the signed quantities whose signs are the gates of state z."""

    @abc.abstractmethod
    def step(self, z: Float[Array, " M"], gates: Bool[Array, " G"]) -> Float[Array, " M"]:
        """Map z once with the gates held."""

    @final
    def __call__(self, z: Float[Array, " M"]) -> Float[Array, " M"]:
        """Map z once: a JAX array by JAX's rules, all else in float64, whatever JAX's settings, to a NumPy array."""
        traced = isinstance(z, jax.Array) or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(self))
        z = z if traced else real_array(z, "z")
        if np.shape(z) != (self.num_states,):
            raise ValueError(
                f"z: expected one state, of shape ({self.num_states},), got {np.shape(z)}; jax.vmap(model) maps many."
            )
        if traced:
            return self.step(z, self.preactivations(z) > 0)
        with numerics(), jax.ensure_compile_time_eval():
            return np.asarray(self.step(z, self.preactivations(z) > 0), np.float64)  # pyright: ignore[reportReturnType]

    @final
    @property
    def num_gates(self) -> int:
        """The number of gates G."""
        with numerics():
            state = jax.ShapeDtypeStruct((self.num_states,), np.float64)
            return jax.eval_shape(self.preactivations, state).shape[0]

    @final
    def with_input(self, s: Float[Array, " M"]) -> Self:
        """Fold a constant input into the model.

        **Arguments:** `s`: what the input adds to the next state (or, for the models whose bias stands inside the
        ReLU, to the preactivation), shape of the bias; for the models that hold input weights C `(M, I)`, the input
        itself, `(I,)`, which adds C s to the bias.

        **Returns:** a model of the same class.

        **Raises:** `TypeError` where the model has no bias; `ValueError` for a wrong shape.
        """
        leaf = self.input_leaf
        if leaf is None:
            raise TypeError(f"{type(self).__name__} has no bias that an input could be folded into; wrap the map.")
        bias = getattr(self, leaf)
        weights = None if self.input_matrix is None else getattr(self, self.input_matrix)
        s = real_array(s, "s")
        if weights is None or not weights.shape[-1]:
            shape, which, weights = bias.shape, f"that of {leaf}", None
        else:
            shape, which = weights.shape[-1:], f"one for each column of {self.input_matrix}"
        if s.shape != shape:
            raise ValueError(f"s: expected shape {shape} ({which}), got {s.shape}.")
        return with_bias(self, bias + (s if weights is None else weights @ s))


def with_bias(model: Any, bias: Any) -> Any:
    """Give a model with another bias: that which its `input_leaf` names."""
    return eqx.tree_at(lambda one: getattr(one, str(model.input_leaf)), model, bias)


def require_shape(model: object, name: str, expected: tuple[int, ...], why: str) -> None:
    """Raise a `ValueError` that names the argument unless `model.name` has the expected shape."""
    found = np.shape(getattr(model, name))
    if found != expected:
        raise ValueError(f"{type(model).__name__}: {name} must have shape {expected} ({why}), got {found}.")


def require_vector(model: object, name: str, why: str) -> int:
    """Raise a `ValueError` unless `model.name` is a non-empty vector; return its length."""
    shape = np.shape(getattr(model, name))
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"{type(model).__name__}: {name} must be a non-empty vector ({why}), got shape {shape}.")
    return shape[0]


def require_columns(model: object, name: str, rows: int, why: str) -> int:
    """Raise a `ValueError` unless `model.name` is a matrix with so many rows; return the number of its columns."""
    shape = np.shape(getattr(model, name))
    if len(shape) != 2 or shape[0] != rows or shape[1] == 0:
        raise ValueError(
            f"{type(model).__name__}: {name} must be a matrix with {rows} rows and at least one column ({why}), "
            f"got shape {shape}."
        )
    return shape[1]


def require_transition(model: object, num_states: int) -> None:
    """Raise a `ValueError` unless `model.A` is a diagonal `(M,)` or a matrix `(M, M)`."""
    shape = np.shape(model.A)  # pyright: ignore[reportAttributeAccessIssue]
    if shape not in ((num_states,), (num_states, num_states)):
        raise ValueError(
            f"{type(model).__name__}: A must be a diagonal of shape ({num_states},) or a matrix "
            f"({num_states}, {num_states}), because the bias has {num_states} entries; got {shape}."
        )
