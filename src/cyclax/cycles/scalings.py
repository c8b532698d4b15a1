"""Scalings of sectors that make a loop of gains small: found in floating point, and never believed.

With z = middle z + half w and w = delta * y, y = gradients z, |delta| <= 1, the gains from w to y at the frequencies
e^(i f) are G(f) = gradients (e^(i f) - middle)^-1 half. Where T^(1/2) G(f) T^(-1/2) has a norm below 1 for one positive
diagonal T, no choice of delta closes the loop at these frequencies. The norm is convex in log T (Sezginer and Overton,
*The largest singular value of e^X A_0 e^-X is convex on convex sets of commuting matrices*, IEEE TAC 35, 1990).
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from cyclax.cycles.sectors import Sectors

# The norms are minimized as p-norms over frequencies and singular values, with p doubling from round to round.
_FIRST_POWER, _ROUNDS, _ITERATIONS = 20, 8, 25
# Peaks this near to the highest one take part.
_NEAR_PEAK = 0.9
# Given up where what is left to gain is so many times what the last round gained.
_HOPELESS = 3.0
# With more sectors no scaling is looked for but that of the moduli: seconds.
_MOST_SECTORS = 200


def from_moduli(sectors: Sectors) -> np.ndarray | None:
    """Give the scaling `(n,)` that serves where a norm of the moduli of the Jacobians is below 1; None where none is.

    With N the largest moduli of the entries, and v, u > 0 with N v < v and N' u < u (Collatz and Wielandt), it is
    (half' u) / (gradients v): the gains are then below 1 by the test of Schur.
    """
    middle, half, gradients = map(np.abs, (sectors.middle.middle, sectors.half, sectors.gradients))
    moduli = middle + sectors.error + half @ gradients
    system, ones = np.eye(len(moduli)) - moduli, np.ones(len(moduli))
    try:
        right, left = np.linalg.solve(system, ones), np.linalg.solve(system.T, ones)
    except np.linalg.LinAlgError:
        return None
    if not (np.all(right > 0) and np.all(left > 0) and np.all(np.isfinite(right + left))):
        return None
    return (half.T @ left) / (gradients @ right)


def scalings(sectors: Sectors, frequencies: np.ndarray) -> Iterator[np.ndarray]:
    """Give scalings `(n,)` with which the gains at the frequencies seem to be below 1, better and better ones."""
    if not 0 < len(sectors.gates) <= _MOST_SECTORS:
        return
    gains = _gains(sectors, frequencies)
    if gains is None:
        return
    with contextlib.suppress(np.linalg.LinAlgError):  # scalings beyond float64
        yield from _descent(gains)


def _descent(gains: np.ndarray) -> Iterator[np.ndarray]:
    logs, active, before = _balanced(np.sum(np.abs(gains) ** 2, axis=0)), set(), np.inf
    for attempt in range(_ROUNDS):
        norms = np.sqrt(np.linalg.eigvalsh(_squares(gains, logs)[1])[:, -1])
        peak = float(np.max(norms))
        if not np.isfinite(peak):
            return
        if peak < 1:
            yield np.exp(logs)
        if peak == 0 or peak - 1 > _HOPELESS * (before - peak):  # no gate feeds back to itself; or no hope
            return
        if not attempt and np.max(np.abs(np.linalg.eigvals(gains[norms >= 1])), initial=0) >= 1:  # no norm is less
            return
        if attempt or peak < 1:  # the first scaling minimizes another norm
            before = peak
        padded = np.concatenate([[-np.inf], norms, [-np.inf]])
        tops = (norms >= padded[:-2]) & (norms >= padded[2:]) & (norms > _NEAR_PEAK * peak)
        active |= set(np.flatnonzero(tops).tolist())
        logs = _improved(gains[sorted(active)], logs, _FIRST_POWER * 2**attempt)


def _gains(sectors: Sectors, frequencies: np.ndarray) -> np.ndarray | None:
    """Give G `(f, n, n)`."""
    middle = sectors.middle.middle
    systems = np.exp(1j * frequencies)[:, None, None] * np.eye(len(middle)) - middle
    try:
        found = sectors.gradients @ np.linalg.solve(systems, sectors.half.astype(complex))
    except np.linalg.LinAlgError:
        return None
    return found if np.all(np.isfinite(found)) else None


def _balanced(squares: np.ndarray, sweeps: int = 50) -> np.ndarray:
    """Minimize the sum of squares[i, j] t_i / t_j over t > 0 (Osborne's balancing, all at once, damped): log t."""
    others, scale = squares - np.diag(np.diag(squares)), np.ones(len(squares))
    for _ in range(sweeps):
        rows, columns = scale * (others @ (1 / scale)), (scale @ others) / scale
        some = (rows > 0) & (columns > 0)
        scale = scale * np.where(some, columns / np.where(some, rows, 1.0), 1.0) ** 0.25
    return np.log(scale)


def _squares(gains: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.exp(logs / 2)
    scaled = scale[:, None] * gains / scale
    return scaled, scaled.conj().swapaxes(1, 2) @ scaled


def _improved(gains: np.ndarray, logs: np.ndarray, power: float) -> np.ndarray:
    from scipy.optimize import minimize

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        scaled, squares = _squares(gains, logs)
        values, vectors = np.linalg.eigh(squares)
        top = np.max(values)
        shares = (np.maximum(values, 0) / top) ** power
        total = np.sum(shares)
        weights = shares / total
        images = np.abs(scaled @ vectors) ** 2 / np.where(values > 0, values, np.inf)[:, None, :]
        slope = np.einsum("fk,fik->i", weights, images - np.abs(vectors) ** 2)
        return float(np.log(total) / power + np.log(top)), slope

    return minimize(objective, logs, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "maxcor": 20}).x
