"""Ordinary differential equations of the textbooks, with the parameters that everybody uses."""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from cyclax.core.checks import plain, whole


class AbstractSystem(eqx.Module):
    """The right-hand side of `state' = f(time, state)`. Implement this, and `cyclax.data.integrate` works.

    An instance is a vector field of diffrax: `diffrax.ODETerm(system)`. Where time does not enter,
    `cyclax.Flow(system.velocity, dt=..)` is its flow as a map, for Lyapunov exponents.

    - `__call__(time, state, args=None)`: the derivative, `(N,)`, by functions of `jax.numpy`.
    - `typical_state`: a state `(N,)` from which the attractor is reached.
    - `spread` `(N,)`: how widely states are scattered about it where a key draws them.
    - `default_dt`: the sampling interval where none is given.
    - `default_transient`: a time after which the attractor has been reached.
    """

    spread: eqx.AbstractClassVar[tuple[float, ...] | float]
    default_dt: eqx.AbstractClassVar[float]
    default_transient: eqx.AbstractClassVar[float]

    @abc.abstractmethod
    def __call__(self, time: Any, state: Float[Array, " N"], args: None = None) -> Float[Array, " N"]:
        """Give the derivative of the state."""

    @property
    @abc.abstractmethod
    def typical_state(self) -> Float[np.ndarray, " N"]:
        """A state from which the attractor is reached."""

    @property
    def num_states(self) -> int:
        """The dimension N."""
        return len(self.typical_state)

    def velocity(self, state: Float[Array, " N"]) -> Float[Array, " N"]:
        """Give the derivative at time 0, which is the one at all times unless the system is forced."""
        return self(0.0, state)

    def random_state(self, key: Array) -> Float[Array, " N"]:
        """Draw a state: normal, centered at `typical_state`, with `spread` for standard deviations."""
        return jnp.asarray(self.typical_state) + jnp.asarray(self.spread) * jax.random.normal(key, (self.num_states,))


@final
class Lorenz63(AbstractSystem):
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z. Dimensionless.

    The attractor's largest Lyapunov exponent is 0.906 per unit of time. The fixed points that it turns around are at
    x = y = +-sqrt(beta (rho - 1)), z = rho - 1.

    **Arguments:** `sigma`, `rho`, `beta`: Lorenz' 10, 28, 8/3 by default.

    Source: E. N. Lorenz, "Deterministic nonperiodic flow", Journal of the Atmospheric Sciences 20, 130 (1963).
    """

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8 / 3
    spread = 3.0
    default_dt = 0.01
    default_transient = 50.0

    def __call__(self, time, state, args=None):
        """Give the derivative of (x, y, z)."""
        x, y, z = state
        return jnp.stack([self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z])

    @property
    def typical_state(self):
        """Near the attractor."""
        return np.array([1.0, 2.0, 20.0])


@final
class Lorenz96(AbstractSystem):
    """x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + forcing, on a ring of `num_states` sites, 4 or more. Dimensionless.

    A unit of time stands for about five days of weather. Chaotic for the default forcing of 8.

    **Arguments:** `forcing`; `sites`: 40 by default.

    Source: E. N. Lorenz, "Predictability: a problem partly solved", ECMWF Seminar on Predictability (1996); with 40
    sites: E. N. Lorenz, K. A. Emanuel, Journal of the Atmospheric Sciences 55, 399 (1998).
    """

    forcing: float = 8.0
    sites: int = eqx.field(static=True, default=40, converter=plain)
    spread = 1.0
    default_dt = 0.01
    default_transient = 50.0

    def __check_init__(self):
        whole(self.sites, "Lorenz96: sites", 4)

    def __call__(self, time, state, args=None):
        """Give the derivative of all sites."""
        following, before, second = jnp.roll(state, -1), jnp.roll(state, 1), jnp.roll(state, 2)
        return (following - second) * before - state + self.forcing

    @property
    def typical_state(self):
        """The unstable rest state, with one site moved by 0.01 as Lorenz did."""
        return np.where(np.arange(self.sites) == 0, 0.01, 0.0) + np.asarray(self.forcing, float)


@final
class Roessler(AbstractSystem):
    """x' = -y - z, y' = x + a y, z' = b + z (x - c). Dimensionless.

    Its largest Lyapunov exponent is 0.071 per unit of time, for one turn in about 5.9.

    **Arguments:** `a`, `b`, `c`: 0.2, 0.2, 5.7 by default.

    Source: O. E. Rössler, "An equation for continuous chaos", Physics Letters A 57, 397 (1976).
    """

    a: float = 0.2
    b: float = 0.2
    c: float = 5.7
    spread = (1.0, 1.0, 0.01)
    default_dt = 0.1
    default_transient = 200.0

    def __call__(self, time, state, args=None):
        """Give the derivative of (x, y, z)."""
        x, y, z = state
        return jnp.stack([-y - z, x + self.a * y, self.b + z * (x - self.c)])

    @property
    def typical_state(self):
        """Near the attractor."""
        return np.array([0.0, -5.0, 0.02])


@final
class Duffing(AbstractSystem):
    """x'' + delta x' + alpha x + beta x^3 = gamma cos(omega t), as the state (x, x'). Dimensionless.

    Two wells, forced: chaotic with the default parameters (largest Lyapunov exponent 0.10). Time enters, so that a
    series depends on the time at which it begins; samples at multiples of 2 pi / omega are a stroboscopic map.
    `gamma=0` is the free oscillator.

    **Arguments:** `alpha`, `beta`, `gamma`, `delta`, `omega`: -1, 1, 0.5, 0.3, 1.2 by default.

    Source: G. Duffing, "Erzwungene Schwingungen bei veränderlicher Eigenfrequenz" (Vieweg, 1918); with two wells:
    P. Holmes, "A nonlinear oscillator with a strange attractor", Philosophical Transactions A 292, 419 (1979).
    """

    alpha: float = -1.0
    beta: float = 1.0
    gamma: float = 0.5
    delta: float = 0.3
    omega: float = 1.2
    spread = 0.5
    default_dt = 0.1
    default_transient = 200.0

    def __call__(self, time, state, args=None):
        """Give the derivative of (x, x')."""
        x, velocity = state
        force = self.gamma * jnp.cos(self.omega * time)
        return jnp.stack([velocity, force - self.delta * velocity - self.alpha * x - self.beta * x**3])

    @property
    def typical_state(self):
        """In the right well."""
        return np.array([1.0, 0.0])

    def velocity(self, state):
        """Refuse where the system is forced: a flow of the state alone does not exist then.

        **Raises:** `ValueError` unless gamma is 0.
        """
        if isinstance(self.gamma, Tracer) or np.any(np.asarray(self.gamma) != 0):
            raise ValueError(
                "Duffing.velocity: the force depends on time. Give a Flow the phase as a third state, "
                "phase' = omega: lambda z: jnp.append(system(z[2] / omega, z[:2]), omega)."
            )
        return self(0.0, state)


@final
class VanDerPol(AbstractSystem):
    """x'' - mu (1 - x^2) x' + x = 0, as the state (x, x'). Dimensionless.

    One stable limit cycle; its period is 6.6633 for mu = 1. For mu of 100 and more give `integrate` an implicit solver,
    such as `diffrax.Kvaerno5()`.

    **Arguments:** `mu`: 1 by default.

    Source: B. van der Pol, "On relaxation-oscillations", Philosophical Magazine 2, 978 (1926).
    """

    mu: float = 1.0
    spread = 0.5
    default_dt = 0.05
    default_transient = 100.0

    def __call__(self, time, state, args=None):
        """Give the derivative of (x, x')."""
        x, velocity = state
        return jnp.stack([velocity, self.mu * (1 - x**2) * velocity - x])

    @property
    def typical_state(self):
        """Near the cycle."""
        return np.array([2.0, 0.0])
