"""Uniqueness: proofs that F^k(z) = z has exactly one solution, whatever the offsets.

Of two solutions the differences e obey e' = middle e + half w and w = delta * (gradients e), |delta| <= 1, along k
steps that close. In the Fourier transform over these steps only the k-th roots of unity occur, so that gains below 1
there, in one scaling (`scalings.py`), leave e = 0 alone. Shrinking `half` to 0 meanwhile never makes a second solution,
nor lets one run away: the degree is that of the linear map, +1 or -1, and there is one.

For fixed points this is a test for a P-matrix that takes a polynomial number of steps: it holds where
I - gradients (I - middle)^-1 half diag(delta) has diagonal stability, M-matrices and their like included (Cottle, Pang
and Stone, *The Linear Complementarity Problem*, 1992, 3.3).
"""

import numpy as np

from cyclax.core.enclosed import Enclosed, blocks, exactly, positive_definite
from cyclax.cycles.scalings import scalings
from cyclax.cycles.sectors import Sectors, sectors_of
from cyclax.maps.affine import AffineForm

# So many frequencies are looked at, at most.
_LONGEST = 64
# What float64 does not know of a Jacobian may differ from step to step: the gains stay below 1 by this, squared.
_ROOM = 2.0**-20


def one_solution(bounds: AffineForm, order: int) -> bool:
    """Whether it is proved that F^k(z) = z has exactly one solution: a fixed point, and no cycle whose order divides k.

    Where I - J is singular for a Jacobian between those that there are, this is not so, and nothing is said.
    """
    if order > _LONGEST:
        return False
    with np.errstate(all="ignore"):
        sectors = sectors_of(bounds)
        if not sectors.finite or not _one_sign(sectors, order):
            return False
        turns = 2 * np.pi * np.arange(order // 2 + 1) / order
        found = scalings(sectors, turns) if len(sectors.gates) else iter([np.ones(0)])
        return any(all(_below_one(sectors, turn, scaling) for turn in turns) for scaling in found)


def _one_sign(sectors: Sectors, order: int) -> bool:
    """Whether det(I - J^k) has one sign where all sectors are low, in the middle, and high: else there is no proof."""
    signs = set()
    for share in (0.0, 0.5, 1.0):
        values = np.linalg.eigvals(sectors.base + share * sectors.outward @ sectors.gradients)
        real = np.real(values[np.imag(values) == 0])
        signs.add(int(np.sum(real > 1) + (np.sum(real < -1) if order % 2 == 0 else 0)) % 2)
    return len(signs) == 1


def _below_one(sectors: Sectors, turn: float, multipliers: np.ndarray) -> bool:
    """Whether the scaled gains at e^(i turn) are proved to be below 1, and e^(i turn) - middle to be regular."""
    middle, half, gradients = sectors.middle, exactly(sectors.half), exactly(sectors.gradients)
    unit = np.eye(len(sectors.base))
    real, imaginary = (Enclosed(part * unit, 2.0**-48 * unit) for part in (np.cos(turn), np.sin(turn)))
    system = real - middle
    if turn not in (0.0, np.pi):  # complex numbers a + b i as [[a, -b], [b, a]]
        system = blocks([[system, Enclosed(-imaginary.middle, imaginary.radius)], [imaginary, system]])
        half, gradients = _twice(half), _twice(gradients)
        multipliers = np.tile(multipliers, 2)
    try:
        inverse = exactly(np.linalg.inv(system.middle))
    except np.linalg.LinAlgError:
        return False
    defect = exactly(np.eye(len(inverse.middle))) - inverse @ system
    lost = float(np.max(np.sum(defect.size, axis=1)))
    if not lost < 0.5:
        return False
    # X = system^-1 half = S + (1 - defect)^-1 inverse (half - system S), for whatever S.
    solved = inverse.middle @ half.middle
    left = (inverse @ (half - system @ exactly(solved))).size
    radius = left + 2.1 * lost * np.max(left, axis=0, initial=0)
    gains = gradients @ Enclosed(solved, radius)
    return positive_definite(exactly(np.diag((1 - _ROOM) * multipliers)) - (gains.T * multipliers) @ gains)


def _twice(matrix: Enclosed) -> Enclosed:
    zero = exactly(np.zeros(matrix.middle.shape))
    return blocks([[matrix, zero], [zero, matrix]])
