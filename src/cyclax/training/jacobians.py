"""How much a map stretches along trajectories: what adaptive forcing measures.

The forced map z -> F((1 - alpha) z + alpha z_hat) has the Jacobian (1 - alpha) J; J is the map's own.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import plain, whole
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.dendritic import ClippedDendriticPLRNN, DendriticPLRNN
from cyclax.maps.leaky import CurrentRNN, LowRankRNN, RateRNN, RectifiedRNN
from cyclax.maps.plrnn import LowRankPLRNN
from cyclax.maps.relu_rnn import LeakyReLURNN, ReLURNN
from cyclax.maps.shallow import ClippedShallowPLRNN, ShallowPLRNN


class AbstractNorm(eqx.Module):
    """A number N that says how much a map stretches."""

    @abc.abstractmethod
    def __call__(self, map_: AbstractPiecewiseLinearMap, forced: Float[Array, "T M B"]) -> Float[Array, ""]:
        """Measure along forced states of B trajectories."""


def _tangents(map_: AbstractPiecewiseLinearMap, z: Float[Array, "M L"]):
    """Give the products with the Jacobians, and with their transposes, at the columns of z."""
    gates = jax.vmap(map_.preactivations, in_axes=-1, out_axes=-1)(z) > 0
    held = jax.vmap(map_.step, in_axes=-1, out_axes=-1)
    zero = jnp.zeros_like(z)
    _, pull = jax.vjp(lambda v: held(v, gates), zero)
    return lambda v: jax.jvp(lambda v: held(v, gates), (zero,), (v,))[1], lambda u: pull(u)[0]


def _unit(v: Float[Array, "M L"]) -> Float[Array, "M L"]:
    size = jnp.linalg.norm(v, axis=0)
    return v / jnp.where(size > 0, size, 1)[None]


def _probe(num_states: int, lanes: int, dtype: Any) -> Float[Array, "M L"]:
    """Give directions to begin a power iteration from: always the same, in general position."""
    some = np.random.default_rng(num_states).normal(size=(num_states, 1))
    return jnp.asarray(np.broadcast_to(some / np.linalg.norm(some), (num_states, lanes)), dtype)


@final
class GeometricMeanNorm(AbstractNorm):
    """The geometric mean over time of the largest singular values; the maximum over trajectories.

    The largest singular value of a Jacobian comes from a power iteration for all states at once, without the Jacobian
    (from below; within about 1 % after 10 iterations, unless singular values nearly coincide, and then still close).

    **Arguments:** `stride`: every how many-th step of a trajectory is looked at; `iterations`.
    """

    stride: int = eqx.field(static=True, default=10, converter=plain)
    iterations: int = eqx.field(static=True, default=10, converter=plain)

    def __check_init__(self):
        whole(self.stride, "GeometricMeanNorm: stride")
        whole(self.iterations, "GeometricMeanNorm: iterations")

    def __call__(self, map_, forced):
        """Measure."""
        some = forced[:: self.stride]
        length, num_states, lanes = some.shape
        push, pull = _tangents(map_, jnp.moveaxis(some, 1, 0).reshape(num_states, length * lanes))
        v = _probe(num_states, length * lanes, forced.dtype)
        v = jax.lax.fori_loop(0, self.iterations, lambda _, v: _unit(pull(push(v))), v)
        largest = jnp.linalg.norm(push(v), axis=0).reshape(length, lanes)
        return jnp.max(jnp.exp(jnp.mean(jnp.log(largest), axis=0)))


@final
class ProductNorm(AbstractNorm):
    """The T-th root of the largest singular value of the product of all T Jacobians; the maximum over trajectories.

    **Arguments:** `iterations`: of the power iteration; each runs the trajectories forth and back.
    """

    iterations: int = eqx.field(static=True, default=3, converter=plain)

    def __check_init__(self):
        whole(self.iterations, "ProductNorm: iterations")

    def __call__(self, map_, forced):
        """Measure."""
        length, num_states, lanes = forced.shape

        def forth(v, z):
            v = _tangents(map_, z)[0](v)
            return _unit(v), jnp.log(jnp.linalg.norm(v, axis=0))

        def back(u, z):
            return _unit(_tangents(map_, z)[1](u)), None

        def iterate(_, carry):
            v, _ = carry
            u, logs = jax.lax.scan(forth, v, forced)
            return jax.lax.scan(back, u, forced, reverse=True)[0], jnp.sum(logs, axis=0) / length

        start = _probe(num_states, lanes, forced.dtype), jnp.zeros(lanes, forced.dtype)
        _, rates = jax.lax.fori_loop(0, self.iterations, iterate, start)
        return jnp.max(jnp.exp(rates))


@final
class WeightBound(AbstractNorm):
    """A bound on the norm of every Jacobian, from the weights alone: ||A|| + ||W|| for a PLRNN.

    With it, forced Jacobians are never longer than one, on or off trajectories; it forces more than is needed.

    **Arguments:** `slack`: the bound is raised by this share, so that the norm is below one.
    """

    slack: float = eqx.field(static=True, default=1e-3)

    def __call__(self, map_, forced):
        """Give the bound."""
        return (1 + self.slack) * weight_bound(map_)


def weight_bound(map_: AbstractPiecewiseLinearMap) -> Float[Array, ""]:
    """Give a bound on the largest singular value of the Jacobian in every region.

    **Raises:** `TypeError` for a class whose bound is not known.
    """
    if isinstance(map_, ReLURNN):
        return _norm(map_.W)
    if isinstance(map_, LeakyReLURNN):
        return _norm(map_.W) * jnp.maximum(1, jnp.abs(map_.slope))
    if isinstance(map_, (RateRNN, CurrentRNN, RectifiedRNN)):
        return jnp.max(jnp.abs(1 - map_.alpha)) + jnp.max(jnp.abs(map_.alpha)) * _norm(map_.W)
    if isinstance(map_, LowRankRNN):
        through = _norm(map_.m) * _norm(map_.n) / map_.b.shape[0]
        return jnp.abs(1 - map_.alpha) + jnp.abs(map_.alpha) * through
    if isinstance(map_, (ShallowPLRNN, ClippedShallowPLRNN)):
        return _norm(map_.A) + _norm(map_.W1) * _norm(map_.W2)
    if isinstance(map_, LowRankPLRNN):
        return _norm(map_.A) + _norm(map_.U @ map_.V)
    if isinstance(map_, (DendriticPLRNN, ClippedDendriticPLRNN)):
        # The slope of a basis is the sum of the open ones (less all, where clipped).
        positive, negative = (jnp.sum(jnp.maximum(sign * map_.alpha, 0)) for sign in (1, -1))
        return _norm(map_.A) + _norm(map_.W) * jnp.maximum(positive, negative)
    A, W = getattr(map_, "A", None), getattr(map_, "W", None)
    if A is None or W is None:
        raise TypeError(f"WeightBound: no bound is known for {type(map_).__name__}; take GeometricMeanNorm().")
    return _norm(A) + _norm(W)


def _norm(matrix: Any) -> Float[Array, ""]:
    """Give the largest singular value; of a diagonal, the largest entry."""
    return jnp.max(jnp.abs(matrix)) if matrix.ndim == 1 else jnp.linalg.norm(matrix, 2)
