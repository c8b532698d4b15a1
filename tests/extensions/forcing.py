"""A forcing of one's own: strong at the beginning of each trajectory, and fading."""

from typing import Any

import jax.numpy as jnp

import cyclax as cx


class FadingForcing(cx.training.AbstractForcing):
    """alpha times `rate`^t before step t."""

    rate: float = 0.9
    strength: Any = cx.training.Constant(0.5)

    def strengths(self, strength, length):
        """Give alpha before each of `length` steps."""
        return strength * self.rate ** jnp.arange(length)
