"""How the data pull the states while a network is trained.

Before each step the state is replaced by z~ = z + alpha (z_hat - K z), where z_hat is its estimate from the data and K
the part of it that they tell (`rollout.forced_state`); where they tell all, z~ = (1 - alpha) z + alpha z_hat. The loss
is on the *unforced* state z. What differs is alpha:

- `FreeRunning()`: 0.
- `SparseForcing(interval)`: 1 in every interval-th step, else 0 [1].
- `GeneralizedForcing(alpha)`: the same in every step [2]; constant, `Annealed`, `Scheduled` or `Adaptive`.

[1] Mikhaeil, Monfared, Durstewitz, *On the difficulty of learning chaotic dynamics with RNNs*, NeurIPS 2022.
[2] Hess, Monfared, Brenner, Durstewitz, *Generalized teacher forcing for learning chaotic dynamics*, ICML 2023.
"""

import abc
import math
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import number_or_none, plain, whole
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.training.fields import number, require_number
from cyclax.training.jacobians import AbstractNorm, GeometricMeanNorm


class AbstractStrength(eqx.Module):
    """How alpha changes from update to update. `strength` is the last one."""

    @abc.abstractmethod
    def first(self) -> Any:
        """Give alpha of the first update."""

    @abc.abstractmethod
    def following(
        self,
        strength: Float[Array, ""],
        update: Any,
        map_: AbstractPiecewiseLinearMap,
        forced: Float[Array, "T M B"],
    ) -> Float[Array, ""]:
        """Give alpha of update number `update + 1`; `forced` are the forced states of this one."""


@final
class Constant(AbstractStrength):
    """Always the same. **Arguments:** `value`: 0 to 1."""

    value: Any = eqx.field(converter=number)

    def __check_init__(self):
        require_number(self.value, "GeneralizedForcing: alpha", 0, 1)

    def first(self):
        """Give the value."""
        return self.value

    def following(self, strength, update, map_, forced):
        """Give the value."""
        return strength


@final
class Annealed(AbstractStrength):
    """From one value to another along a straight line. **Arguments:** `first_value`, `last_value`; `updates`."""

    first_value: Any = eqx.field(converter=number)
    last_value: Any = eqx.field(converter=number)
    updates: Any = eqx.field(converter=number)

    def __check_init__(self):
        require_number(self.first_value, "Annealed: first_value", 0, 1)
        require_number(self.last_value, "Annealed: last_value", 0, 1)
        require_number(self.updates, "Annealed: updates", 1)

    def first(self):
        """Give the first value."""
        return self.first_value

    def following(self, strength, update, map_, forced):
        """Give the value on the line."""
        part = jnp.minimum((update + 1) / self.updates, 1).astype(strength.dtype)
        return self.first_value + (self.last_value - self.first_value) * part


@final
class Scheduled(AbstractStrength):
    """Any function of the number of the update, such as a schedule of optax. **Arguments:** `function`."""

    function: Callable[[Any], Any] = eqx.field(static=True)

    def first(self):
        """Give the value at update 0."""
        return self.function(0)

    def following(self, strength, update, map_, forced):
        """Give the value at the next update."""
        return jnp.asarray(self.function(update + 1), strength.dtype)


@final
class Adaptive(AbstractStrength):
    """alpha = max(0, 1 - 1/N), the least at which forced Jacobians shrink; N is measured along forced trajectories.

    **Arguments:**

    - `norm`: what N is: `GeometricMeanNorm()`, `ProductNorm()` or `WeightBound()`.
    - `every`: updates between measurements.
    - `decay`: alpha is raised at once, and lowered to decay alpha + (1 - decay) max(0, 1 - 1/N) at each measurement.

    The first update is forced with alpha = 1; then alpha is the first measurement.
    """

    norm: AbstractNorm = GeometricMeanNorm()
    every: int = eqx.field(static=True, default=5, converter=plain)
    decay: Any = eqx.field(converter=number, default=0.999)

    def __check_init__(self):
        if not isinstance(self.norm, AbstractNorm):
            raise TypeError(f"Adaptive: norm: expected an object such as GeometricMeanNorm(), got {self.norm!r}.")
        whole(self.every, "Adaptive: every")
        require_number(self.decay, "Adaptive: decay", 0, 1)

    def first(self):
        """Give 1."""
        return np.asarray(1.0)

    def following(self, strength, update, map_, forced):
        """Measure, every few updates."""

        def measured():
            norm = self.norm(map_, forced)
            wanted = jnp.where(norm > 1, 1 - 1 / norm, 0)
            lowered = self.decay * strength + (1 - self.decay) * wanted
            moved = jnp.where((update == 0) | (wanted > strength), wanted, lowered)
            # Where states have overflowed there is nothing to measure.
            return jnp.where(jnp.isfinite(norm), moved, strength).astype(strength.dtype)

        return jax.lax.cond(update % self.every == 0, measured, lambda: strength)


class AbstractForcing(eqx.Module):
    """Which alpha each step of a trajectory is forced with."""

    strength: eqx.AbstractVar[AbstractStrength]

    @abc.abstractmethod
    def strengths(self, strength: Float[Array, ""], length: int) -> Float[Array, " T"]:
        """Give alpha before each of `length` steps."""


@final
class FreeRunning(AbstractForcing):
    """No forcing: what the network does by itself is compared with the data. Nothing is given; its `strength` is 0."""

    strength: AbstractStrength = Constant(0.0)

    def strengths(self, strength, length):
        """Give zeros."""
        return jnp.full(length, strength)


@final
class SparseForcing(AbstractForcing):
    """The state is replaced by its estimate every `interval` steps.

    **Arguments:** `interval`: tau; a good one is log 2 over the largest Lyapunov exponent (`cyclax.forcing_interval`).
    Its `strength`, at these steps, is 1.
    """

    interval: int = eqx.field(static=True, converter=plain)
    strength: AbstractStrength = Constant(1.0)

    def __check_init__(self):
        whole(self.interval, "SparseForcing: interval")

    def strengths(self, strength, length):
        """Give 1 in every interval-th step."""
        return jnp.where(jnp.arange(length) % self.interval == 0, strength, 0)


def _as_strength(value: Any) -> Any:
    if isinstance(value, AbstractStrength):
        return value
    number = number_or_none(value)
    if number is not None and math.isfinite(number):
        return Constant(number)
    raise TypeError(
        "GeneralizedForcing: alpha must be a number, Annealed(..), Scheduled(..) or Adaptive(..), got "
        f"{type(value).__name__}."
    )


@final
class GeneralizedForcing(AbstractForcing):
    """Every step pulls the state towards its estimate by the same share alpha.

    **Arguments:** `alpha`: a number (0: free running, 1: only single steps are learned), `Annealed`, `Scheduled`, or
    `Adaptive()`, the default.
    """

    strength: AbstractStrength = eqx.field(converter=_as_strength)

    def __init__(self, alpha: Any = Adaptive()):  # noqa: B008
        self.strength = alpha

    def strengths(self, strength, length):
        """Give alpha for all steps."""
        return jnp.full(length, strength)
