"""Uniqueness: proofs that F^k(z) = z has exactly one solution, whatever the offsets.

Of two solutions the differences e obey e' = middle e + half w and w = delta * (gradients e), |delta| <= 1, along k
steps that close. In the Fourier transform over these steps only the k-th roots of unity occur, so that gains below 1
there, in one scaling (`scalings.py`), leave e = 0 alone. Shrinking `half` to 0 meanwhile never makes a second solution,
nor lets one run away: the degree is that of the linear map, +1 or -1, and there is one.

For fixed points this is a test for a P-matrix that takes a polynomial number of steps: it holds where
I - gradients (I - middle)^-1 half diag(delta) has diagonal stability, M-matrices and their like included (Cottle, Pang
and Stone, *The Linear Complementarity Problem*, 1992, 3.3).
"""

import math

import numpy as np

from cyclax.core.enclosed import Enclosed, blocks, exactly, positive_definite
from cyclax.cycles.scalings import scalings
from cyclax.cycles.sectors import Sectors, sectors_of
from cyclax.maps.affine import AffineForm

# So many frequencies are looked at, at most; and once around a ring.
_LONGEST = 64
# Walks from corner to corner that look for Jacobians with determinants of both signs, before a proof is tried.
_WALKS = 8
# What float64 does not know of a Jacobian may differ from step to step: the gains stay below 1 by this, squared.
_ROOM = 2.0**-20


def one_solution(bounds: AffineForm, order: int) -> bool:
    """Whether it is proved that F^k(z) = z has exactly one solution: a fixed point, and no cycle whose order divides k.

    Where I - J is singular for a Jacobian between those that there are, this is not so, and nothing is said.
    """
    with np.errstate(all="ignore"):
        sectors, times = sectors_of(bounds).one_step()
        order = math.lcm(order, times)  # differences that go around a ring of equal steps are those of one of them
        if order > max(times, _LONGEST) or not sectors.finite or not _one_sign(sectors, order):
            return False
        turns = 2 * np.pi * np.arange(order // 2 + 1) / order
        found = scalings(sectors, turns) if len(sectors.gates) else iter([np.ones(0)])
        return any(all(_below_one(sectors, turn, scaling) for turn in turns) for scaling in found)


def _one_sign(sectors: Sectors, order: int) -> bool:
    """Whether det(I - J^k) has one sign at all Jacobians met on the way to a small one: else there is no proof.

    It is det(I - J), times det(I + J) for even k, and something positive. Each is linear in every one of the s: at a
    vertex of [0, 1]^n the factor by which it changes as s[i] jumps is one minus, or plus, a diagonal entry of
    gradients (I - J)^-1 outward, and a pivot of that matrix makes the jump. The smallest factor is taken each time.
    """
    corners = np.random.default_rng(0).random((_WALKS, len(sectors.gates))) < 0.5
    corners[0], corners[1] = False, True
    jacobians = sectors.base + (sectors.outward * corners[:, None, :]) @ sectors.gradients
    for sign in (1, -1) if order % 2 == 0 else (1,):
        systems = np.eye(len(sectors.base)) - sign * jacobians
        if abs(np.sum(np.linalg.slogdet(systems)[0])) != _WALKS:
            return False
        responses = sign * sectors.gradients @ np.linalg.inv(systems) @ sectors.outward
        if any(_changes_sign(response, corner) for response, corner in zip(responses, corners, strict=True)):
            return False
    return True


def _changes_sign(response: np.ndarray, corner: np.ndarray) -> bool:
    """Whether the determinant changes its sign on the way from a corner, along the jumps that make it smallest."""
    jumps = np.where(corner, -1.0, 1.0)
    for _ in range(2 * len(jumps)):
        factors = 1 - jumps * np.diagonal(response)
        i = int(np.argmin(factors))
        if not 0 < factors[i] < 1:
            return bool(factors[i] <= 0)
        response = response + jumps[i] / factors[i] * np.outer(response[:, i], response[i])
        jumps[i] = -jumps[i]
    return False


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
