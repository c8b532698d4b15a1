"""Leaky integrators: the networks that are trained on tasks. They move by a share alpha = dt / tau to where they go.

Four forms, which differ in where the ReLU stands. At alpha = 1 the first two are the plain `ReLURNN`.
"""

from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key
from cyclax.maps.base import (
    AbstractPiecewiseLinearMap,
    real_array,
    relu_where,
    require_columns,
    require_shape,
    require_vector,
    times,
)
from cyclax.maps.initial import gaussian


def _completed(cls: type, b: Any, alpha: Any, C: Any, tau: Any, dt: Any) -> tuple[Any, Any]:
    """Give alpha, itself or as dt / tau, and input weights, which are by default none."""
    if (alpha is None) == (tau is None and dt is None) or (tau is None) != (dt is None):
        raise ValueError(f"{cls.__name__}: give either alpha, or tau and dt (then alpha = dt / tau).")
    share: Any = alpha
    if alpha is None:
        given: dict[str, Any] = {name: real_array(value, name) for name, value in (("tau", tau), ("dt", dt))}
        for name, value in given.items():
            if not isinstance(value, Tracer) and not np.all(np.asarray(value) > 0):
                raise ValueError(f"{cls.__name__}: {name} is a time, and must be positive; got {value}.")
        share = given["dt"] / given["tau"]
    return share, np.zeros((np.size(b), 0)) if C is None else C


class _Leaky(AbstractPiecewiseLinearMap):
    """What all have: an input enters beside the bias, through C where there is one, and C is kept."""

    input_leaf: ClassVar[str | None] = "b"
    input_matrix: ClassVar[str | None] = "C"


class _Full(_Leaky):
    """Those with all recurrent weights: as many units as states."""

    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    b: Float[Array, " M"] = eqx.field(converter=real_array)
    alpha: Float[Array, "..."] = eqx.field(converter=real_array)
    C: Float[Array, "M I"] = eqx.field(converter=real_array)

    def __init__(self, W: Any, b: Any, alpha: Any = None, C: Any = None, *, tau: Any = None, dt: Any = None):
        self.W = W
        self.b = b
        self.alpha, self.C = _completed(type(self), b, alpha, C, tau, dt)

    def __check_init__(self):
        num_states = require_vector(self, "b", "one bias per unit")
        require_shape(self, "W", (num_states, num_states), "M x M, with M from b")
        if np.shape(self.alpha) != ():
            require_shape(self, "alpha", (num_states,), "a number, or one for each unit")
        require_input_weights(self, num_states)

    @classmethod
    def random(
        cls, num_states: int, *, key: Array | int, gain: float = 1.0, alpha: float = 0.1, num_inputs: int = 0
    ) -> Self:
        """Draw W with standard deviation gain / sqrt(M), b and C standard normal."""
        key_W, key_b, key_C = jax.random.split(checked_key(key), 3)
        return cls(
            W=gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
            b=gaussian(key_b, (num_states,), 1.0),
            alpha=alpha,
            C=gaussian(key_C, (num_states, num_inputs), 1.0),
        )


def require_input_weights(model: Any, num_units: int) -> None:
    """Raise a `ValueError` unless `model.C` is a matrix with a row for each unit; it may have no columns."""
    shape = np.shape(model.C)
    if len(shape) != 2 or shape[0] != num_units:
        raise ValueError(f"{type(model).__name__}: C must be a matrix with {num_units} rows, got shape {shape}.")


@final
class RateRNN(_Full):
    """z' = (1 - alpha) z + alpha relu(W z + b): the rate form. An input u gives b + C u.

    **Arguments:** `W`: `(M, M)`; `b`: `(M,)`; `alpha`: the share of the way that a state goes in a step, a number or
    `(M,)`, or instead of it `tau` and `dt`, in one unit of time, and alpha = dt / tau (at 0 a state stays where it is,
    so that fixed points come in lines or planes); `C`: `(M, I)`, default: none.

    **Reference:** Song, Yang, Wang, *Training excitatory-inhibitory recurrent neural networks for cognitive tasks*,
    2016 (this form: Yang et al., *Task representations in neural networks trained to perform many cognitive tasks*,
    2019).
    """

    def preactivations(self, z):
        """Give W z + b."""
        return times(self.W, z) + self.b

    def step(self, z, gates):
        """Map z once with the gates held."""
        return (1 - self.alpha) * z + self.alpha * relu_where(gates, times(self.W, z) + self.b)


@final
class RectifiedRNN(_Full):
    """z' = relu((1 - alpha) z + alpha (W z + b)): the leak stands inside the ReLU. An input u gives b + C u.

    **Arguments:** `W` `(M, M)`, `b` `(M,)`, `alpha` (or `tau` and `dt`) and `C` `(M, I)`: as for `RateRNN`.
    """

    def preactivations(self, z):
        """Give (1 - alpha) z + alpha (W z + b)."""
        return (1 - self.alpha) * z + self.alpha * (times(self.W, z) + self.b)

    def step(self, z, gates):
        """Map z once with the gates held."""
        return relu_where(gates, self.preactivations(z))


@final
class CurrentRNN(_Full):
    """z' = (1 - alpha) z + alpha (W relu(z) + b): the current form; relu(z) are its rates. An input u gives b + C u.

    **Arguments:** `W` `(M, M)`, `b` `(M,)`, `alpha` (or `tau` and `dt`) and `C` `(M, I)`: as for `RateRNN`.

    **Reference:** Mante et al., *Context-dependent computation by recurrent dynamics in prefrontal cortex*, 2013.
    """

    def preactivations(self, z):
        """Give z: gate i is open where z_i > 0."""
        return z

    def step(self, z, gates):
        """Map z once with the gates held."""
        return (1 - self.alpha) * z + self.alpha * (times(self.W, relu_where(gates, z)) + self.b)


@final
class LowRankRNN(_Leaky):
    """z' = (1 - alpha) z + alpha / N n^T relu(m z + b): the current form of N units with recurrent weights m n^T / N.

    Its R states z are latent: x = m z are the currents of the units, which follow x' = (1 - alpha) x + alpha / N m n^T
    relu(x + b), and all of what they do but the decay to the span of m (so what repels here may be a saddle there). An
    input u that stays gives b + C u: then x = m z + C u, once the decay is over.

    **Arguments:** `m`, `n`: `(N, R)`; `b`: `(N,)`; `alpha`: a number, or instead of it `tau` and `dt`, as in `RateRNN`;
    `C`: `(N, I)`, default: none.

    **Reference:** Dubreuil, Valente et al., *The role of population structure in computations through neural dynamics*,
    2022.
    """

    m: Float[Array, "N R"] = eqx.field(converter=real_array)
    n: Float[Array, "N R"] = eqx.field(converter=real_array)
    b: Float[Array, " N"] = eqx.field(converter=real_array)
    alpha: Float[Array, ""] = eqx.field(converter=real_array)
    C: Float[Array, "N I"] = eqx.field(converter=real_array)

    def __init__(self, m: Any, n: Any, b: Any, alpha: Any = None, C: Any = None, *, tau: Any = None, dt: Any = None):
        self.m = m
        self.n = n
        self.b = b
        self.alpha, self.C = _completed(type(self), b, alpha, C, tau, dt)

    def __check_init__(self):
        num_units = require_vector(self, "b", "one bias per unit")
        rank = require_columns(self, "m", num_units, "N x R, with N from b")
        require_shape(self, "n", (num_units, rank), "N x R, like m")
        require_shape(self, "alpha", (), "a number")
        require_input_weights(self, num_units)

    @property
    def num_states(self) -> int:
        """The latent dimension, R."""
        return self.m.shape[-1]

    @classmethod
    def random(
        cls, num_units: int, rank: int, *, key: Array | int, gain: float = 1.0, alpha: float = 0.1, num_inputs: int = 0
    ) -> Self:
        """Draw m, b and C standard normal, n with standard deviation gain."""
        key_m, key_n, key_b, key_C = jax.random.split(checked_key(key), 4)
        return cls(
            m=gaussian(key_m, (num_units, rank), 1.0),
            n=gaussian(key_n, (num_units, rank), gain),
            b=gaussian(key_b, (num_units,), 1.0),
            alpha=alpha,
            C=gaussian(key_C, (num_units, num_inputs), 1.0),
        )

    def full(self) -> CurrentRNN:
        """Give the network of all N units. Its states are what passes through their ReLUs, x + b: `full_states`."""
        return CurrentRNN(W=self.m @ self.n.T / self.b.shape[0], b=self.b, alpha=self.alpha, C=self.C)

    def full_states(self, z: Float[Array, "*batch R"]) -> Float[Array, "*batch N"]:
        """Give the states of `full()`, m z + b, at latent states: `model.full_states(cycle.points)`."""
        return z @ self.m.T + self.b

    def latent_states(self, y: Float[Array, "*batch N"]) -> Float[Array, "*batch R"]:
        """Give the latent states of states of `full()`; of those that do not lie in m z + b, of the nearest there."""
        array = np if isinstance(self.m, np.ndarray) and isinstance(y, np.ndarray) else jnp
        return (y - self.b) @ array.linalg.pinv(self.m).T

    def preactivations(self, z):
        """Give m z + b."""
        return times(self.m, z) + self.b

    def step(self, z, gates):
        """Map z once with the gates held."""
        rates = relu_where(gates, times(self.m, z) + self.b)
        return (1 - self.alpha) * z + self.alpha * (times(self.n.T, rates) / self.b.shape[0])
