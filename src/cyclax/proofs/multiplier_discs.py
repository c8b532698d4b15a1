"""Multipliers in balls: enclosed around those stated, and counted outside the unit circle.

The discs are those of Smith (*Error bounds for zeros of a polynomial based upon Gerschgorin's theorems*, J. ACM 17,
1970), the count is by the recursion of Schur and Cohn, in which multiple roots do no harm.
"""

import cmath
import math
import sys
from typing import Any

import numpy as np

# A multiplier so close to the unit circle, or closer, is not said to be on either side.
_CIRCLE = (20, 64)  # bits: first a coarse look, then the last word
# How far a stated multiplier may be from the true one, relative to 1 + its modulus. float64 loses more where several
# coincide without as many eigenvectors: then it may be that of a Jacobian so near, relative to its norm.
_TOLERANCE, _BACKWARD_TOLERANCE = 1e-6, 1e-10


class OpenError(Exception):
    """Not decided at this precision; `margin` bounds from above the distance that is too small to tell from 0."""

    def __init__(self, reason: str, margin: float = math.nan, *, final: bool = False):
        super().__init__(reason)
        self.margin, self.final = margin, final


class RefusedError(Exception):
    """Proved not to be so."""


def check_multipliers(product: Any, coefficients: list[Any], stated: list[complex]) -> float:
    """Enclose the multipliers around the stated ones: each connected set of m discs holds exactly m of them."""
    import flint

    size = len(stated)
    if not all(cmath.isfinite(value) for value in stated):
        if any(abs(entry) > sys.float_info.max for entry in product.entries()):
            raise OpenError("a multiplier may be beyond the largest float64", final=True)
        raise RefusedError("a multiplier is stated that is not finite")
    centers = []
    for value in dict.fromkeys(stated):
        # Equal ones are set apart a little, on a circle: centers must differ, and discs grow the least this way.
        turns = range(number) if (number := stated.count(value)) > 1 else ()
        apart = 2.0**-40 * (1 + abs(value))
        centers += [value + apart * cmath.exp(2j * math.pi * turn / number) for turn in turns] or [value]
    balls = [flint.acb(value.real, value.imag) for value in centers]
    discs = []
    for i, center in enumerate(balls):
        value = flint.acb(0)
        for coefficient in reversed(coefficients):
            value = value * center + coefficient
        for j, other in enumerate(balls):
            if j != i:
                value = value / (center - other)
        discs.append(size * abs(value))
    radii = [upper_bound(disc) for disc in discs]
    for i, (center, disc) in enumerate(zip(centers, discs, strict=True)):
        allowed = _TOLERANCE * (1 + abs(center))
        if radii[i] <= allowed:
            continue
        if disc > allowed and not _explained_by_rounding(product, coefficients, stated):
            raise RefusedError(f"the multipliers stated are not its own: {center:.6g} is off, by about {radii[i]:.2g}")
        if not disc > allowed:
            raise OpenError(f"the multiplier stated as {center:.6g} is confirmed to within {radii[i]:.2g} only")
    return max(radii)


def _explained_by_rounding(product: Any, coefficients: list[Any], stated: list[complex]) -> bool:
    """Whether values are, together, the eigenvalues of a matrix that differs by rounding: by their polynomial."""
    size = len(stated)
    matrix = np.array([float(entry) for entry in product.entries()]).reshape(size, size)
    if not np.all(np.isfinite(matrix)):
        return False
    # The j-th coefficient is a sum of binom(M, j) minors, none of them larger than norm^j.
    with np.errstate(all="ignore"):
        differences = np.abs(np.poly(stated) - [float(x) for x in reversed(coefficients)])
        binomials = np.array([math.comb(size, j) for j in range(size + 1)], float)
        scales = binomials * np.linalg.norm(matrix, 2) ** np.arange(size + 1)
        return bool(np.all(differences <= _BACKWARD_TOLERANCE * scales))


def count_outside(coefficients: list[Any], *, last: bool) -> int | None:
    """Count the roots outside the unit circle; None where one is too close to it."""
    import flint

    inner = outer = None
    for bits in _CIRCLE:
        small = flint.arb(1) / 2**bits
        inner, outer = (_inside(coefficients, radius) for radius in (1 - small, 1 + small))
        if inner is not None and inner == outer:
            return len(coefficients) - 1 - inner
    if (inner is None or outer is None) and not last:
        raise OpenError("the multipliers are not told apart from the unit circle")
    return None


def _inside(coefficients: list[Any], radius: Any) -> int | None:
    """Count the roots of a real polynomial inside a circle by Schur and Cohn; None where balls cannot tell.

    Of p and its reverse p*, which have the same modulus on the unit circle, the one with the larger leading (constant)
    coefficient is subtracted from; by Rouche's theorem the count changes by 1 (by 0), and the degree falls.
    """
    scaled, power = [], radius**0
    for coefficient in coefficients:
        scaled.append(coefficient * power)
        power = power * radius
    count = 0
    while len(scaled) > 1:
        first, last = scaled[0], scaled[-1]
        reverse = scaled[::-1]
        if abs(last) > abs(first):
            ratio, count = first / last, count + 1
            scaled = [a - ratio * b for a, b in zip(scaled[1:], reverse[1:], strict=True)]
        elif abs(first) > abs(last):
            ratio = last / first
            scaled = [a - ratio * b for a, b in zip(scaled[:-1], reverse[:-1], strict=True)]
        else:
            return None
    return count


def upper_bound(ball: Any) -> float:
    """Bound the modulus from above."""
    return 0.0 if ball == 0 else math.nextafter(float(ball.abs_upper()), math.inf)


def lower_bound(ball: Any) -> float:
    """Bound the modulus from below."""
    return max(0.0, math.nextafter(float(ball.abs_lower()), 0.0))
