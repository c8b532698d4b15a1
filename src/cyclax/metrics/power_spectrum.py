"""D_H: how far apart the rhythms of two series are, whatever their phases."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from cyclax.core.checks import checked_series, real
from cyclax.metrics.state_space import checked_pair

# Kernels end after so many sigma.
_REACH = 4.0
# A column whose deviation is this part of its size differs by rounding only.
_ROUNDING = 1e-12


def hellinger_distance(true: Float[Any, "T N"], generated: Float[Any, "S N"], *, sigma: float = 20.0) -> float:
    """Give D_H, the Hellinger distance of smoothed power spectra, averaged over the columns.

    For the spectra p, q of one column, `power_spectrum` of each, it is `sqrt(1 - sum sqrt(p q))`: 0 for equal spectra,
    1 for spectra that share no frequency.

    Source: J. Mikhaeil, Z. Monfared, D. Durstewitz, "On the difficulty of learning chaotic dynamics with RNNs", NeurIPS
    (2022); M. Brenner et al., ICML (2022); F. Hess et al., ICML (2023).

    **Arguments:**

    - `true`: `(T, N)` or `(T,)`, the measured series.
    - `generated`: `(S, N)`, the model's, sampled at the same interval, its transient cut off. The longer series is cut
      to the length of the shorter one, so that both have the same frequencies. Where a column of it is constant, its
      distance is 1.
    - `sigma`: of the Gaussian that smooths, in frequencies: multiples of one over the length. 0 leaves spectra raw.

    **Returns:** a number from 0 to 1; exactly 0 for two equal series.

    **Raises:** `TypeError` and `ValueError` for wrong shapes, NaN and inf (with row and column), fewer than 2 rows, or
    a constant true column.
    """
    true, generated = checked_pair(true, generated, least=2)
    length = min(len(true), len(generated))
    p = _spectra(true[:length], "true", sigma)
    still = _constant(generated[:length])
    q = _spectra(np.where(still, true[:length], generated[:length]), "generated", sigma)
    # Half the squared differences: where spectra are equal this is 0, and 1 - sum sqrt(p q) is rounding.
    distances = np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2, axis=0) / 2)
    return float(np.mean(np.where(still, 1.0, np.minimum(distances, 1.0))))


def power_spectrum(series: Float[Any, "T N"], *, sigma: float = 20.0) -> Float[np.ndarray, "F N"]:
    """Give the power spectrum of each column, without its mean, smoothed by a Gaussian and normalized.

    **Arguments:** `series`: `(T, N)` or `(T,)`. `sigma`: as in `hellinger_distance`; spectra are mirrored at their
    ends.

    **Returns:** `(T // 2 + 1, N)`, each column with the sum 1; row f belongs to f / T periods per sample.

    **Raises:** `TypeError` and `ValueError` as in `hellinger_distance`.
    """
    return _spectra(checked_series(series, least=2), "series", sigma)


def _spectra(series: np.ndarray, name: str, sigma: float) -> Float[np.ndarray, "F N"]:
    sigma = real(sigma, "sigma", "the width of the Gaussian in frequencies", positive=False)
    constant = np.flatnonzero(_constant(series))
    if len(constant):
        raise ValueError(
            f"{name}: column {constant[0]} (counted from 0) holds one value only, which has no spectrum. Leave it out "
            f"of both series: numpy.delete(series, {constant.tolist()}, axis=1)."
        )
    # Scaled first: squares neither overflow nor vanish.
    series = series / np.max(np.abs(series), axis=0)
    series = series - np.mean(series, axis=0)
    series = series / np.max(np.abs(series), axis=0)
    power = _smoothed(np.abs(np.fft.rfft(series, axis=0)) ** 2, sigma)
    return power / np.sum(power, axis=0)


def _constant(series: np.ndarray) -> np.ndarray:
    # Halves: the range of the largest numbers would overflow.
    spread = np.max(series, axis=0) / 2 - np.min(series, axis=0) / 2
    return spread <= _ROUNDING * np.max(np.abs(series), axis=0)


def _smoothed(power: np.ndarray, sigma: float) -> np.ndarray:
    reach = math.floor(_REACH * sigma + 0.5)
    if reach == 0:
        return power
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= np.sum(kernel)
    padded = np.pad(power, ((reach, reach), (0, 0)), mode="symmetric")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)
