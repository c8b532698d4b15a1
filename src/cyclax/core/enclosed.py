"""Matrices of float64 with bounds on their errors: `middle`, and how far the true entries are from it at most.

The products are as fast as those of NumPy, and what is proved with them is proved: every rounding is accounted for.
"""

import dataclasses

import numpy as np

_UNIT = 2.0**-53
# Radii are themselves computed in float64, by sums and products of numbers that are not negative.
_UP = 1 + 1e-9
# Products smaller than this may have lost digits, or vanished.
_TINY = 2.0**-1000


@dataclasses.dataclass(frozen=True, eq=False)
class Enclosed:
    """A real matrix known to within `radius`, entry by entry."""

    middle: np.ndarray
    radius: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """The largest moduli that its entries can have."""
        return _UP * (np.abs(self.middle) + self.radius)

    @property
    def T(self) -> "Enclosed":
        """The transpose."""
        return Enclosed(self.middle.T, self.radius.T)

    def __matmul__(self, other: "Enclosed") -> "Enclosed":
        # However a sum of n products is ordered, its rounding is below n units of the sum of the moduli (Higham,
        # *Accuracy and Stability of Numerical Algorithms*, 3.1).
        length = self.middle.shape[1]
        rounding = (length + 2) * _UNIT
        apart = np.abs(self.middle) @ (other.radius + rounding * np.abs(other.middle)) + self.radius @ other.size
        return Enclosed(self.middle @ other.middle, _UP * apart + (length + 2) * _TINY)

    def __add__(self, other: "Enclosed") -> "Enclosed":
        middle = self.middle + other.middle
        return Enclosed(middle, _UP * (self.radius + other.radius + _UNIT * np.abs(middle)))

    def __sub__(self, other: "Enclosed") -> "Enclosed":
        return self + Enclosed(-other.middle, other.radius)

    def __mul__(self, factors: np.ndarray | float) -> "Enclosed":
        """Multiply entries by exact numbers."""
        middle = np.asarray(self.middle * factors)
        return Enclosed(middle, _UP * (self.radius * np.abs(factors) + _UNIT * np.abs(middle)) + _TINY)


def exactly(matrix: np.ndarray) -> Enclosed:
    """Take a matrix of float64 as it is."""
    return Enclosed(matrix, np.zeros(matrix.shape))


def blocks(rows: list[list[Enclosed]]) -> Enclosed:
    """Put blocks together."""
    return Enclosed(
        np.block([[one.middle for one in row] for row in rows]), np.block([[one.radius for one in row] for row in rows])
    )


def positive_definite(matrix: Enclosed) -> bool:
    """Whether every symmetric matrix that is enclosed is proved to be positive definite.

    Where a Cholesky factorization in float64 succeeds, the matrix is positive definite but for n + 1 units of its trace
    at most (Rump, *Verification of positive definiteness*, BIT 46, 2006). The matrix is first scaled by powers of two,
    which round nothing, to a diagonal near 1.
    """
    middle, size = (matrix.middle + matrix.middle.T) / 2, len(matrix.middle)
    radius = (matrix.radius + matrix.radius.T) / 2 + _UNIT * np.abs(middle)
    diagonal = np.diag(middle)
    if not (np.all(np.isfinite(middle)) and np.all(np.isfinite(radius)) and np.all(diagonal > 0)):
        return False
    scale = 2.0 ** -np.round(np.log2(diagonal) / 2)
    middle, radius = (scale[:, None] * part * scale for part in (middle, radius))
    # Twice what the theorem asks for: the subtraction rounds too.
    shift = 2 * (np.max(np.sum(radius, axis=1), initial=0) + (size + 4) * _UNIT * np.trace(middle) + size * _TINY)
    try:
        np.linalg.cholesky(middle - shift * np.eye(size))
    except np.linalg.LinAlgError:
        return False
    return True
