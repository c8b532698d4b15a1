"""What a series of logarithms says: means, standard errors from block means, weighted averages, the dimension."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

# The series is cut into so many blocks for the standard errors: they must be long against the autocorrelation time,
# and enough for the error of the error (13 %) not to matter.
BLOCKS = 32
# Windows of fewer bins are too coarse.
_FEWEST_IN_WINDOW = 8
# Fewer blocks than this say nothing.
_FEWEST_BLOCKS = 8
# Blocks twice as long must not give standard errors this much larger: then the blocks were too short. With the 16
# longer blocks the ratio has a standard deviation of about 0.17 where all is well.
_MOST_GROWTH = 1.6
# The two halves of an orbit that has settled agree within this many standard errors of their difference.
_MOST_DRIFT = 4.0
_EPS = float(np.finfo(np.float64).eps)


def pairwise_sum(series: Float[np.ndarray, "T ..."]) -> Float[np.ndarray, "..."]:
    """Sum over the first axis in pairs: term after term, equal terms err in the same direction each time."""
    # NumPy sums in pairs along the fastest axis only.
    return np.sum(np.ascontiguousarray(np.moveaxis(series, 0, -1)), axis=-1)


class Bins:
    """Means over consecutive bins of equal length, at most a given number: when they are full, pairs merge."""

    def __init__(self, most: int, shape: tuple[int, ...]):
        self.most, self.length, self.count = most, 1, 0
        self._full: list[Float[np.ndarray, ...]] = []
        self._partial, self._in_partial = np.zeros(shape), 0

    def add(self, series: Float[np.ndarray, "T ..."]) -> None:
        """Take in the next values."""
        self.count += len(series)
        at = 0
        while at < len(series):
            if len(self._full) == self.most:
                pairs = zip(self._full[::2], self._full[1::2], strict=True)
                self._full, self.length = [a + b for a, b in pairs], 2 * self.length
            some = series[at : at + self.length - self._in_partial]
            self._partial = self._partial + pairwise_sum(some)
            self._in_partial += len(some)
            at += len(some)
            if self._in_partial == self.length:
                self._full.append(self._partial)
                self._partial, self._in_partial = np.zeros_like(self._partial), 0

    @property
    def mean(self) -> Float[np.ndarray, "..."]:
        """The mean of all values."""
        return pairwise_sum(np.stack([*self._full, self._partial])) / self.count

    @property
    def means(self) -> Float[np.ndarray, "N ..."]:
        """The means over the full bins."""
        return np.stack(self._full) / self.length


class WeightedAverage:
    """The average of T values with weights exp(-1 / (u (1 - u))), u = (t + 1/2) / T (Das, Saiki, Sander, Yorke 2017).

    Where the values are quasi-periodic and smooth in the phase it converges faster than any power of T.
    """

    def __init__(self, number: int, shape: tuple[int, ...]):
        self.number, self._at, self._sum, self._weights = number, 0, np.zeros(shape), 0.0

    def add(self, series: Float[np.ndarray, "T ..."]) -> None:
        """Take in the next values; those beyond T are left out."""
        series = series[: max(self.number - self._at, 0)]
        u = (self._at + np.arange(len(series)) + 0.5) / self.number
        # At the ends weights underflow to 0, and 0 times -inf is no number.
        finite = np.where(np.isneginf(series), 0, series)
        with np.errstate(all="ignore"):
            weights = np.exp(-1 / (u * (1 - u)))
            self._sum = self._sum + np.tensordot(weights, finite, 1)
        self._sum = np.where(np.isneginf(series).any(axis=0), -np.inf, self._sum)
        self._weights += float(np.sum(weights))
        self._at += len(series)

    @property
    def mean(self) -> Float[np.ndarray, "..."]:
        """The weighted average."""
        return self._sum / self._weights


def standard_errors(
    bins: Float[np.ndarray, "N ..."], *, pieces: int = 1, number: int = BLOCKS
) -> Float[np.ndarray, "..."]:
    """Give the standard errors of the mean from the spread of block means; NaN from fewer than eight blocks.

    The variance of a mean over a time T is S / T + C / T^2. S is the spectral density at frequency 0; C comes from
    fluctuations that cancel but for the two ends, and rules where an exponent is 0, as along a flow. Means over blocks
    of length L alone would give S / T + (T / L) C / T^2, far too much there. So S is taken from block means that are
    weighted by a Hann window, in which the ends have no part, and C from what plain block means vary beyond it.

    **Arguments:** `bins`: averages over consecutive bins. `pieces`: of how many orbits, one after the other, they are.
    `number`: of blocks.

    They do not fall below rounding: what is the same in every step has an error of some units in the last place.
    """
    number = min(number, len(bins))
    if number < _FEWEST_BLOCKS:
        return np.full(bins.shape[1:], np.nan)
    size = len(bins) // number
    blocks = np.reshape(bins[: number * size], (number, size, *bins.shape[1:]))
    with np.errstate(invalid="ignore"):
        plain = np.var(np.mean(blocks, axis=1), axis=0, ddof=1)
        variance = plain / number
        if size >= _FEWEST_IN_WINDOW:
            window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
            window /= np.sum(window)
            smooth = np.var(np.einsum("t,bt...->b...", window, blocks), axis=0, ddof=1)
            density = smooth / np.sum(window**2)  # in units of bins
            ends = np.maximum(size**2 * plain - size * density, 0)
            total = number * size
            # Where blocks are longer than the orbits of a pool, the ends lie inside, and have been counted.
            variance = density / total + (pieces if pieces <= number else 1) * ends / total**2
        return np.sqrt(variance + rounding(bins) ** 2)


def rounding(bins: Float[np.ndarray, "N ..."]) -> Float[np.ndarray, "..."]:
    """Give how much rounding may have changed a mean."""
    return 4 * _EPS * (1 + np.mean(np.abs(bins), axis=0))


def settled(
    bins: Float[np.ndarray, "N ..."], tolerance: Float[np.ndarray, "..."], *, pieces: int = 1
) -> tuple[Bool[np.ndarray, "..."], Bool[np.ndarray, "..."]]:
    """Say whether blocks are long enough against the autocorrelation, and whether the two halves agree.

    What is far below the tolerance is not looked at: there, on cycles and tori, errors follow no statistics.
    """
    errors, longer = standard_errors(bins, pieces=pieces), standard_errors(bins, pieces=pieces, number=BLOCKS // 2)
    few = tolerance / 4
    half = len(bins) // 2
    with np.errstate(invalid="ignore"):
        drift = np.abs(np.mean(bins[:half], axis=0) - np.mean(bins[-half:], axis=0)) if half else np.nan * errors
        # Each half has sqrt(2) times the standard error of the whole, their difference twice.
        long_enough = (longer <= _MOST_GROWTH * errors) | (longer <= few)
        return long_enough, (drift <= _MOST_DRIFT * 2 * errors) | (drift <= few)


def quantile_of_t(degrees: int) -> float:
    """Give the 97.5 % quantile of Student's t (Cornish and Fisher's expansion; good to 0.002 from 7 degrees on)."""
    z, v = 1.959963984540054, float(degrees)
    terms = (
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
    )
    return z + sum(terms)


def nearly_zero(exponents: Float[Any, "... n"]) -> Float[np.ndarray, "... n"]:
    """Give how far from 0 an exponent is none, where nothing is known of errors: 1e-8 of the largest."""
    size = np.abs(np.asarray(exponents, np.float64))
    return 1e-8 * np.max(size, axis=-1, keepdims=True, initial=0.0, where=np.isfinite(size)) * np.ones_like(size)


def without_zeros(
    exponents: Float[Any, "... n"], errors: Float[Any, "... n"], sign: float = 0.0
) -> Float[np.ndarray, "... n"]:
    """Set exponents that are 0 within their errors to 0; with a sign, to something small of that sign."""
    exponents = np.asarray(exponents, np.float64)
    with np.errstate(all="ignore"):
        small = sign * 1e-6 * np.asarray(errors)
        return np.where(np.abs(exponents) <= errors, small, exponents)


def kaplan_yorke(
    exponents: Float[Any, "... n"], num_states: int, errors: Float[Any, "... n"] | None = None
) -> Float[np.ndarray, "..."]:
    """Give the Kaplan-Yorke dimension j + (l_1 + .. + l_j) / |l_(j+1)|, j the last with a sum of 0 or more.

    NaN where that takes more exponents than there are; the number of states where all sums are 0 or more.

    **Arguments:** `errors`: exponents no larger than theirs count as 0, as the sign of a rounding error would decide
    whether a limit cycle has dimension 1 or 0; 1e-8 of the largest exponent by default.
    """
    exponents = without_zeros(exponents, nearly_zero(exponents) if errors is None else errors)
    number = exponents.shape[-1]
    with np.errstate(all="ignore"):
        sums = np.cumsum(exponents, axis=-1)
        # Sums fall once the exponents are negative, so the sums of 0 or more come first.
        j = np.sum(sums >= 0, axis=-1)
        last = np.clip(j, 0, number - 1)[..., None]
        # Where j is 0 this is not used.
        before = np.take_along_axis(sums, np.maximum(last - 1, 0), -1)[..., 0]
        following = np.abs(np.take_along_axis(exponents, last, -1)[..., 0])
        inside = j + np.where(j > 0, before / following, 0.0)
    beyond = float(num_states) if number == num_states else np.nan
    result = np.where(j < number, inside, beyond)
    return np.where(np.isnan(exponents).any(axis=-1), np.nan, result)


def kaplan_yorke_jump(
    exponents: Float[Any, "... n"], num_states: int, errors: Float[Any, "... n"], surely: Float[Any, "... n"]
) -> Float[np.ndarray, "..."]:
    """Give by how much the dimension jumps where exponents that are 0 within their errors have one sign or the other.

    **Arguments:** `errors`: as for `kaplan_yorke`; `surely`: no larger than theirs, exponents are 0 beyond doubt.
    """
    certain = without_zeros(exponents, surely)
    doubtful = np.where(certain == 0, 0.0, errors)
    none = np.zeros_like(certain)
    middle = kaplan_yorke(exponents, num_states, errors)
    ends = [kaplan_yorke(without_zeros(certain, doubtful, sign), num_states, none) for sign in (-1.0, 1.0)]
    with np.errstate(all="ignore"):
        return np.maximum(*(np.abs(end - middle) for end in ends))


def kaplan_yorke_gradient(
    exponents: Float[Any, "... n"], num_states: int, errors: Float[Any, "... n"] | None = None
) -> Float[np.ndarray, "... n"]:
    """Give the derivatives of the Kaplan-Yorke dimension by the exponents (largest first)."""
    exponents = without_zeros(exponents, nearly_zero(exponents) if errors is None else errors)
    number = exponents.shape[-1]
    with np.errstate(all="ignore"):
        sums = np.cumsum(exponents, axis=-1)
        j = np.sum(sums >= 0, axis=-1)[..., None]
        rank = np.arange(number)
        next_one = np.take_along_axis(exponents, np.clip(j, 0, number - 1), -1)
        before = np.take_along_axis(sums, np.clip(j - 1, 0, number - 1), -1)
        gradient = np.where(rank < j, -1 / next_one, np.where(rank == j, before / next_one**2, 0.0))
    gradient = np.where((j == 0) | (j == number), 0.0, gradient)
    return np.where(np.isnan(kaplan_yorke(exponents, num_states))[..., None], np.nan, gradient)
