"""What is trained: a latent map, what of its state is observed, and where a trajectory begins."""

import abc
from typing import Any, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, whole
from cyclax.core.numerics import numerics
from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array
from cyclax.maps.initial import gaussian


class AbstractObservation(eqx.Module):
    """How states are seen. States and observations are columns here: the last axis is the batch B."""

    # The number of observed variables N.
    num_observed: eqx.AbstractVar[int]

    @abc.abstractmethod
    def read(self, z: Float[Array, "... M B"]) -> Float[Array, "... N B"]:
        """Observe states."""

    @abc.abstractmethod
    def estimate(self, x: Float[Array, "... N B"]) -> Float[Array, "... M B"]:
        """Give the part of the states that observations tell."""

    @abc.abstractmethod
    def projection(self) -> Float[Any, "..."]:
        """Say which part that is: a diagonal of zeros and ones `(M,)`, or a projection `(M, M)`."""


@final
class Identity(AbstractObservation):
    """The first N of M units are the observations.

    **Arguments:** `num_states`: M. `num_observed`: N, at most M.
    """

    num_states: int = eqx.field(static=True)
    num_observed: int = eqx.field(static=True)

    def __check_init__(self):
        if not 1 <= self.num_observed <= self.num_states:
            raise ValueError(
                f"Identity: of {self.num_states} states, {self.num_observed} cannot be observed directly; take a map "
                f"with at least {self.num_observed} states, or an Affine read-out."
            )

    def read(self, z):
        """Give the first N units."""
        return z[..., : self.num_observed, :]

    def estimate(self, x):
        """Give the observations, and 0 for the other units."""
        pad = [(0, 0)] * (x.ndim - 2) + [(0, self.num_states - self.num_observed), (0, 0)]
        return jnp.pad(x, pad)

    def projection(self):
        """Give 1 for the first N units, 0 for the others."""
        return np.where(np.arange(self.num_states) < self.num_observed, 1.0, 0.0)


@final
class Affine(AbstractObservation):
    """x = B z + b. States are estimated by the pseudo-inverse of B.

    Where N < M, the data tell a part of the state only, B^+ B z, and only that part is forced; where N >= M, all of it.

    **Arguments:** `B`: `(N, M)`, of full rank; `b`: `(N,)`.
    """

    B: Float[Array, "N M"] = eqx.field(converter=real_array)
    b: Float[Array, " N"] = eqx.field(converter=real_array)

    def __check_init__(self):
        if np.ndim(self.B) != 2 or np.shape(self.b) != np.shape(self.B)[:1]:
            raise ValueError(f"Affine: B must be (N, M) and b (N,), got {np.shape(self.B)} and {np.shape(self.b)}.")

    @classmethod
    def random(cls, num_observed: int, num_states: int, *, key: Array | int) -> Self:
        """Draw B with orthonormal rows or columns (condition number 1), b = 0."""
        square = gaussian(checked_key(key), (max(num_observed, num_states), min(num_observed, num_states)), 1.0)
        Q = np.linalg.qr(square)[0]
        return cls(B=Q if num_observed >= num_states else Q.T, b=np.zeros(num_observed))  # pyright: ignore

    @property
    def num_observed(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The number of observed variables N."""
        return self.b.shape[-1]

    def read(self, z):
        """Give B z + b."""
        x = jnp.einsum("nm,...mb->...nb", self.B, z)
        return x + jnp.broadcast_to(self.b[:, None], x.shape)

    def estimate(self, x):
        """Give B^+ (x - b)."""
        centered = x - jnp.broadcast_to(self.b[:, None], x.shape)
        return jnp.einsum("mn,...nb->...mb", pseudo_inverse(jnp.asarray(self.B)), centered)

    def projection(self):
        """Give B^+ B where N < M, else ones."""
        if self.B.shape[0] >= self.B.shape[1]:
            return np.ones(self.B.shape[1])
        return pseudo_inverse(jnp.asarray(self.B)) @ self.B


@jax.custom_jvp
def pseudo_inverse(B: Float[Array, "N M"]) -> Float[Array, "M N"]:
    """Give B^+ of a matrix of full rank.

    B T = Q by Gram-Schmidt ("twice is enough"), so that B^+ = T Q^T where B is tall. Not by LAPACK: its threads, asked
    for a few numbers in every update, take a hundred times longer on busy cores.
    """
    if B.shape[0] < B.shape[1]:
        return pseudo_inverse(B.T).T
    columns = jnp.arange(B.shape[1])

    def orthonormalize(k: Any, QT: tuple[Array, Array]) -> tuple[Array, Array]:
        q, t = (matrix[:, k] for matrix in QT)
        for _ in range(2):
            overlap = jnp.where(columns < k, q @ QT[0], 0)
            q, t = q - QT[0] @ overlap, t - QT[1] @ overlap
        length = jnp.linalg.norm(q)
        return QT[0].at[:, k].set(q / length), QT[1].at[:, k].set(t / length)

    Q, T = jax.lax.fori_loop(0, len(columns), orthonormalize, (B, jnp.eye(len(columns), dtype=B.dtype)))
    return T @ Q.T


@pseudo_inverse.defjvp
def _(primals, tangents):
    # Golub and Pereyra, SIAM Journal on Numerical Analysis 10, 1973; of the last two terms one is 0.
    (B,), (dB,) = primals, tangents
    P = pseudo_inverse(B)
    rows, columns = dB.T - dB.T @ B @ P, dB.T - P @ B @ dB.T
    return P, -P @ dB @ P + P @ P.T @ rows + columns @ P.T @ P


@final
class LinearStart(eqx.Module):
    """What the first observation does not tell of the first state is learned: a linear map L x + l.

    **Arguments:** `L`: `(M, N)`; `l`: `(M,)`.
    """

    L: Float[Array, "M N"] = eqx.field(converter=real_array)
    l: Float[Array, " M"] = eqx.field(converter=real_array)  # noqa: E741

    def __call__(self, x: Float[Array, "N B"]) -> Float[Array, "M B"]:
        """Give L x + l."""
        return self.L @ x + self.l[:, None]


@final
class LatentModel(eqx.Module):
    """A latent map with its observation and its learned first state.

    **Arguments:**

    - `map`: any map of cyclax, M states.
    - `observation`: `Identity` or `Affine`, N variables.
    - `start`: `LinearStart`, or None where the first observation tells the whole first state.
    """

    map: AbstractPiecewiseLinearMap
    observation: AbstractObservation
    start: LinearStart | None = None

    def __check_init__(self):
        if not isinstance(self.map, AbstractPiecewiseLinearMap):
            raise TypeError(f"LatentModel: map must be a map of cyclax, got {type(self.map).__name__}.")
        projection = self.observation.projection()
        if projection.shape[-1] != self.map.num_states:
            raise ValueError(
                f"LatentModel: the observation is made for {projection.shape[-1]} states, the map has "
                f"{self.map.num_states}."
            )

    @classmethod
    def observing(cls, map: AbstractPiecewiseLinearMap, observation: int | AbstractObservation) -> Self:
        """Complete a map.

        **Arguments:** `map`: any map of cyclax. `observation`: how it is observed, or the number N of its first units
        that are observed directly.

        **Returns:** the model, with a learned first state (0 to begin with) where the data do not tell all of it.

        **Raises:** `ValueError` for more variables than the map has states, or what is no observation.
        """
        if not isinstance(observation, AbstractObservation):
            whole(observation, "observation, where it is no Identity or Affine")
            observation = Identity(map.num_states, int(observation))
        seen = observation
        if min(seen.num_observed, map.num_states) == map.num_states:
            return cls(map, seen)
        shape = (map.num_states, seen.num_observed)
        return cls(map, seen, LinearStart(np.zeros(shape), np.zeros(map.num_states)))

    @property
    def num_states(self) -> int:
        """The latent dimension M."""
        return self.map.num_states

    @property
    def num_observed(self) -> int:
        """The number of observed variables N."""
        return self.observation.num_observed

    def first_states(self, x: Float[Array, "N B"]) -> Float[Array, "M B"]:
        """Give the states in which trajectories begin whose first observations are the columns of x."""
        told = self.observation.estimate(x)
        if self.start is None:
            return told
        learned, projection = self.start(x), self.observation.projection()
        seen = projection[:, None] * learned if projection.ndim == 1 else projection @ learned
        return told + learned - seen

    def generate(self, x: Any, steps: int) -> Float[np.ndarray, "steps+1 N"]:
        """Let the model run freely, in float64.

        **Arguments:** `x`: the observation to begin from, `(N,)`. `steps`: how many.

        **Returns:** observations `(steps + 1, N)`; the first is what the model makes of x.

        **Raises:** `ValueError` for a wrong shape, and for no whole number of steps.
        """
        whole(steps, "steps", 0)
        x = np.asarray(x, np.float64)
        if x.shape != (self.num_observed,):
            raise ValueError(f"x: expected shape ({self.num_observed},), one observation, got {x.shape}.")
        with numerics():
            return np.asarray(_generate(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), self), x, int(steps)))


@eqx.filter_jit
def _generate(model: LatentModel, x, steps: int):
    def step(z, _):
        following = model.map(z)
        return following, following

    z0 = model.first_states(x[:, None])[:, 0]
    orbit = jnp.concatenate([z0[None], jax.lax.scan(step, z0, length=steps)[1]])
    return model.observation.read(orbit.T).T
