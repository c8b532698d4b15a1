"""Dendritic PLRNNs: each latent state passes through a piecewise-linear function of its own, with B kinks."""

from typing import ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cyclax.core.checks import checked_key
from cyclax.maps.base import (
    AbstractPiecewiseLinearMap,
    real_array,
    require_shape,
    require_transition,
    require_vector,
    times,
)
from cyclax.maps.initial import gaussian, uniform_transition


class _Dendritic(AbstractPiecewiseLinearMap):
    """The weights that both dendritic PLRNNs share."""

    A: Float[Array, "..."] = eqx.field(converter=real_array)
    W: Float[Array, "M M"] = eqx.field(converter=real_array)
    h: Float[Array, " M"] = eqx.field(converter=real_array)
    alpha: Float[Array, " B"] = eqx.field(converter=real_array)
    thresholds: Float[Array, "M B"] = eqx.field(converter=real_array)
    input_leaf: ClassVar[str | None] = "h"

    def __check_init__(self):
        num_states = require_vector(self, "h", "one bias per latent state")
        num_bases = require_vector(self, "alpha", "one weight per basis function")
        require_transition(self, num_states)
        require_shape(self, "W", (num_states, num_states), "M x M, with M from h")
        require_shape(self, "thresholds", (num_states, num_bases), "M x B, with M from h and B from alpha")

    @classmethod
    def random(cls, num_states: int, num_bases: int, *, key: Array | int, gain: float = 1.0) -> Self:
        """Draw A in (0.5, 0.95), W and alpha with deviations gain / sqrt(M), 1 / sqrt(B), the rest standard normal."""
        key_A, key_W, key_h, key_alpha, key_thresholds = jax.random.split(checked_key(key), 5)
        return cls(
            A=uniform_transition(key_A, num_states),
            W=gaussian(key_W, (num_states, num_states), gain / np.sqrt(num_states)),
            h=gaussian(key_h, (num_states,), 1.0),
            alpha=gaussian(key_alpha, (num_bases,), 1 / np.sqrt(num_bases)),
            thresholds=gaussian(key_thresholds, (num_states, num_bases), 1.0),
        )

    def _line(self, gates: Bool[Array, " MB"], clip: Bool[Array, " M"] | None = None):
        """Give slope and offset `(M,)` of the function that each state passes through, with the gates held.

        As one line, and as sums, which XLA computes once: otherwise each of the M columns of a Jacobian pays for the
        B basis functions anew (three times slower at M = 30, B = 20).
        """
        weights = jnp.where(gates.reshape(self.thresholds.shape), self.alpha[None], 0)
        offset = -jnp.sum(weights * self.thresholds, axis=1)
        if clip is not None:
            # Where all are open each difference is exactly 0: a clipped network is bounded in float64, too.
            weights = weights - jnp.where(clip[:, None], self.alpha[None], 0)
        return jnp.sum(weights, axis=1), offset


@final
class DendriticPLRNN(_Dendritic):
    """z' = A z + W sum_b alpha_b relu(z - thresholds[:, b]) + h.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W`: `(M, M)`; `h`: `(M,)`; `alpha`: `(B,)`; `thresholds`:
    `(M, B)`. It has M B gates, in the order of `thresholds.ravel()`.

    **Reference:** Brenner et al., *Tractable dendritic RNNs for reconstructing nonlinear dynamical systems*, ICML 2022.
    """

    def preactivations(self, z):
        """Give z_i - thresholds[i, b], row by row."""
        return (z[:, None] - self.thresholds).reshape(-1)

    def step(self, z, gates):
        """Map z once with the gates held."""
        slope, offset = self._line(gates)
        return times(self.A, z) + times(self.W, slope * z + offset) + self.h


@final
class ClippedDendriticPLRNN(_Dendritic):
    """z' = A z + W sum_b alpha_b [relu(z - thresholds[:, b]) - relu(z)] + h: bounded whenever A contracts.

    **Arguments:** `A`: `(M,)` diagonal or `(M, M)`; `W`: `(M, M)`; `h`: `(M,)`; `alpha`: `(B,)`; `thresholds`:
    `(M, B)`. It has M B + M gates: in the order of `thresholds.ravel()`, then those of z.

    **Reference:** Brenner et al., *Tractable dendritic RNNs for reconstructing nonlinear dynamical systems*, ICML 2022.
    """

    def preactivations(self, z):
        """Give z_i - thresholds[i, b], row by row, then z."""
        return jnp.concatenate([(z[:, None] - self.thresholds).reshape(-1), z])

    def step(self, z, gates):
        """Map z once with the gates held."""
        num_kinks = self.thresholds.shape[0] * self.thresholds.shape[1]
        slope, offset = self._line(gates[:num_kinks], gates[num_kinks:])
        return times(self.A, z) + times(self.W, slope * z + offset) + self.h
