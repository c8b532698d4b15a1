"""D_stsp: how far apart two series lie in state space, whatever the order in time."""

import abc
import dataclasses
import math
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cyclax.core.checks import checked_key, checked_series, real, whole
from cyclax.core.numerics import numerics

# From so many dimensions on, bins are too many for the points there are.
_MIXTURE_FROM = 6
# Numbers of bins up to this are told apart by one int64.
_MOST_CELLS = 2**62
# Points of a series for each block of distances (measured: 128 to 512 are fastest).
_BLOCK = 512
# Farther than so many widths from the mean, the squares of distances might overflow.
_FAR = 1e100


class AbstractDensity(abc.ABC):
    """How `state_space_divergence` estimates densities from points. Implement this, and it takes it as `method`."""

    @abc.abstractmethod
    def divergence(self, true: Float[np.ndarray, "T N"], generated: Float[np.ndarray, "S N"], key: Any) -> float:
        """Give the Kullback-Leibler divergence of the generated points from the true ones, in nats."""


@final
@dataclasses.dataclass(frozen=True)
class Bins(AbstractDensity):
    """A histogram of `number` equal bins for each dimension, between the smallest and the largest true value.

    Each bin has `smoothing` counts more than there are points in it (Laplace), the empty ones included: of K = number^N
    bins, bin k has the probability `(count_k + smoothing) / (T + smoothing K)`. Only occupied bins are stored, so K may
    be as large as it will. Generated points outside of all bins are in no bin, but count in the length: they lessen the
    probabilities, and never the divergence.

    The published implementation keeps bins with coordinates above 0 only: there the first bin of each dimension is
    lost, and so are all points outside.
    """

    number: int = 30
    smoothing: float = 1e-5

    def __post_init__(self):
        whole(self.number, "Bins.number", 1)
        real(self.smoothing, "Bins.smoothing", "counts added to each bin", positive=True)

    def divergence(self, true: Float[np.ndarray, "T N"], generated: Float[np.ndarray, "S N"], key: Any = None) -> float:
        """Give the divergence of the two histograms, in nats."""
        cells = self.number ** true.shape[1]
        if cells > _MOST_CELLS:
            raise ValueError(
                f"method: {self.number} bins for each of {true.shape[1]} dimensions are more than 2^62 in all; take "
                "fewer, or GaussianMixture()."
            )
        low, high = np.min(true, axis=0), np.max(true, axis=0)
        constant = np.flatnonzero(~(high > low))
        if len(constant):
            value = low[constant[0]] + 0.0  # -0 is 0
            raise ValueError(
                f"true: column {constant[0]} (counted from 0) holds one value only, {value:g}, which leaves "
                f"no range for bins. Leave it out of both series: numpy.delete(series, {constant.tolist()}, axis=1)."
            )
        both = [self._occupied(series, low, high) for series in (true, generated)]
        occupied = np.union1d(both[0][0], both[1][0])
        counts = np.zeros((2, len(occupied)))
        for row, (where, count) in zip(counts, both, strict=True):
            row[np.searchsorted(occupied, where)] = count
        lengths = np.array([[len(true)], [len(generated)]], float)
        p, q = (counts + self.smoothing) / (lengths + self.smoothing * cells)
        empty = self.smoothing / (lengths[:, 0] + self.smoothing * cells)
        rest = (cells - len(occupied)) * empty[0] * math.log(empty[0] / empty[1])
        return float(np.sum(p * np.log(p / q)) + rest)

    def _occupied(self, series: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[Int[np.ndarray, " n"], ...]:
        """Give the numbers of the bins that points are in, ascending, and how many are in each."""
        inside = np.all((series >= low) & (series <= high), axis=1)
        # Halves, so that the range of the largest numbers does not overflow.
        part = (series[inside] / 2 - low / 2) / (high / 2 - low / 2)
        # The upper edge belongs to the last bin.
        coordinates = np.minimum((part * self.number).astype(np.int64), self.number - 1)
        flat = np.zeros(len(coordinates), np.int64)
        for column in coordinates.T:
            flat = flat * self.number + column
        return np.unique(flat, return_counts=True)


@final
@dataclasses.dataclass(frozen=True)
class GaussianMixture(AbstractDensity):
    """A Gaussian of the given `variance` in every direction at each point; for many dimensions.

    The divergence is estimated from `samples` draws of the true mixture, so it takes a key, and has an error that falls
    with their square root. `variance` is in squared units of the series; 1 suits standardized ones.
    """

    variance: float = 1.0
    samples: int = 1000

    def __post_init__(self):
        real(self.variance, "GaussianMixture.variance", "that of the Gaussian at each point", positive=True)
        whole(self.samples, "GaussianMixture.samples", 1)

    def divergence(self, true: Float[np.ndarray, "T N"], generated: Float[np.ndarray, "S N"], key: Any = None) -> float:
        """Give the divergence of the two mixtures, in nats: an estimate by Monte Carlo."""
        if key is None:
            raise ValueError("key: the mixture draws samples; give a JAX random key or an int seed.")
        key_center, key_noise = jax.random.split(checked_key(key))
        # In units of the Gaussian's width, with the origin amid the points: distances come from products.
        width, origin = math.sqrt(self.variance), np.mean(true, axis=0)
        true, generated = (np.clip((series - origin) / width, -_FAR, _FAR) for series in (true, generated))
        with numerics():
            centers = np.asarray(jax.random.randint(key_center, (self.samples,), 0, len(true)))
            draws = true[centers] + np.asarray(jax.random.normal(key_noise, (self.samples, true.shape[1]), "float64"))
            p, q = (np.asarray(_log_density(draws, series)) for series in (true, generated))
        return float(np.mean(p - q))


@jax.jit
def _log_density(draws, points):
    """Give the logarithm of the mean of exp(-distance^2 / 2) over points, for each draw."""
    number, N = points.shape
    blocks = -(-number // _BLOCK)
    filled = jnp.pad(points, ((0, blocks * _BLOCK - number), (0, 0)))
    # What fills the last block is infinitely far.
    halves = jnp.where(jnp.arange(len(filled)) < number, jnp.sum(filled**2, axis=1) / 2, jnp.inf)

    def add(carry, block):
        highest, total = carry
        exponents = draws @ block[0].T - block[1]
        following = jnp.maximum(highest, jnp.max(exponents, axis=1))
        added = jnp.sum(jnp.exp(exponents - following[:, None]), axis=1)
        return (following, total * jnp.exp(highest - following) + added), None

    nothing = (jnp.full(len(draws), -jnp.inf), jnp.zeros(len(draws)))
    blocked = (filled.reshape(blocks, _BLOCK, N), halves.reshape(blocks, _BLOCK))
    (highest, total), _ = jax.lax.scan(add, nothing, blocked)
    return jnp.log(total / number) + highest - jnp.sum(draws**2, axis=1) / 2


def state_space_divergence(
    true: Float[Any, "T N"],
    generated: Float[Any, "S N"],
    *,
    method: AbstractDensity | None = None,
    key: Array | int | None = None,
) -> float:
    """Give D_stsp, the Kullback-Leibler divergence of generated points from true ones in state space.

    It is 0 where both visit the same places equally often, in whatever order. Of two independent stretches of one
    attractor it is not quite 0, as both are finite; that is the best a model can do.

    Source: G. Koppe, H. Toutounji, P. Kirsch, S. Lis, D. Durstewitz, PLoS Computational Biology 15, e1007263 (2019);
    settings: M. Brenner et al., "Tractable dendritic RNNs for reconstructing nonlinear dynamical systems", ICML (2022);
    F. Hess, Z. Monfared, M. Brenner, D. Durstewitz, "Generalized teacher forcing for learning chaotic dynamics", ICML
    (2023).

    **Arguments:**

    - `true`: `(T, N)` or `(T,)`, the measured series, best standardized.
    - `generated`: `(S, N)`, the model's, in the same units; of any length, its transient cut off.
    - `method`: `Bins(number, smoothing)` or `GaussianMixture(variance, samples)`; by default `Bins()` for N < 6, and
      `GaussianMixture()` above.
    - `key`: for the mixture: a JAX key, or an int seed.

    **Returns:** nats, 0 or more with bins; exactly 0 for two equal series.

    **Raises:** `TypeError` and `ValueError` for wrong shapes, NaN and inf (with row and column), a constant true
    column, or a mixture without a key.
    """
    true, generated = checked_pair(true, generated)
    if method is None:
        method = Bins() if true.shape[1] < _MIXTURE_FROM else GaussianMixture()
    if not isinstance(method, AbstractDensity):
        raise TypeError(f"method: expected Bins() or GaussianMixture(), got {method!r}.")
    return method.divergence(true, generated, key)


def checked_pair(true: Any, generated: Any, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Check two series of the same columns."""
    true = checked_series(true, "true", least=least)
    generated = checked_series(generated, "generated", least=least)
    if true.shape[1] != generated.shape[1]:
        raise ValueError(
            f"generated: it has {generated.shape[1]} columns and true has {true.shape[1]}; the shapes are "
            f"{generated.shape} and {true.shape}. Compare what the model observes, not its latent states."
        )
    return true, generated
