"""Contraction: one quadratic norm in which every step of a network brings all states nearer to one another.

With P > 0 and J' P J < rate^2 P for all Jacobians J of a continuous piecewise-linear map, the map contracts in the norm
z' P z: a difference of images is a sum over the regions between. It has one fixed point, which attracts every state,
and no other cycle of any order. The Jacobians are middle + half diag(delta) gradients, |delta| <= 1 (`sectors.py`), and
one linear matrix inequality in P and a diagonal T > 0 says it of all of them (S-procedure; Boyd, El Ghaoui, Feron and
Balakrishnan, *Linear Matrix Inequalities in System and Control Theory*, 1994, 5.1):

    [rate^2 P - middle' P middle - gradients' T gradients,  -middle' P half ] > 0
    [-half' P middle,                                         T - half' P half ]

For a given T it has a solution where the scaled gains are below 1 on the unit circle (bounded real lemma); P is then
that of a Riccati equation. So no semidefinite program is solved, but a convex one of n numbers.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cyclax.core.archive import Archive, write_archive
from cyclax.core.enclosed import Enclosed, blocks, exactly, positive_definite
from cyclax.cycles.scalings import from_moduli, scalings
from cyclax.cycles.sectors import Sectors, sectors_of
from cyclax.maps.affine import AffineForm

# Frequencies on the upper half of the unit circle at which gains are looked at.
_FREQUENCIES = 33
# Rates that are tried: so far below 1, as shares of what the largest spectral radius met leaves.
_SHARES = (0.5, 0.2, 0.05, 0.01, 1e-3, 1e-5)
# The rate that is stated lies a little above that for which P is computed: room for rounding, on all sides.
_ROOM = 0.05
# .. and so does what the Riccati equation adds, beside the mean of the diagonal of what it is given.
_ADDED = 1e-7
_DOUBLINGS = 40
# Steps toward the region with the largest spectral radius.
_CLIMB = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Contraction:
    """The certificate that a network contracts: `cyclax.proofs.check_contraction` needs nothing else.

    **Arguments:**

    - `norm`: P `(M, M)`, of the norm z' P z.
    - `multipliers`: T `(G,)`, each with the first gate of its sector, and 0 elsewhere.
    - `rate`: the factor, below 1, by which a step shrinks all distances at least.
    """

    norm: Float[np.ndarray, "M M"]
    multipliers: Float[np.ndarray, " G"]
    rate: float

    def save(self, path: str | Path) -> None:
        """Write it to an `.npz` file (no pickle); `Contraction.load` gives it back bitwise.

        **Raises:** `ValueError` for another suffix; `OSError` where the path cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"{path}: certificates of contraction are written to .npz files.")
        write_archive(path, {"rate": self.rate}, {"norm": self.norm, "multipliers": self.multipliers})

    @classmethod
    def load(cls, path: str | Path) -> "Contraction":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` where the file is not one, or is damaged.
        """
        archive = Archive(path, "not a file written by Contraction.save", {"rate": float})
        norm, multipliers = archive.array("norm", float, "M M"), archive.array("multipliers", float, "G")
        archive.finish()
        return cls(norm, multipliers, archive.header["rate"])


def contraction_certificate(bounds: AffineForm) -> Contraction | None:
    """Look for the proof that a network contracts; None where none is found, and perhaps there is none.

    Whatever is returned has passed `holds`.
    """
    return _found(_ByContent(bounds))


class _ByContent:
    """Bounds, that are equal where their arrays are."""

    def __init__(self, bounds: AffineForm):
        self.bounds, digest = bounds, hashlib.blake2b()
        for part in bounds:
            digest.update(repr((part.shape, part.dtype)).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        self.digest = digest.digest()

    def __eq__(self, other):
        return isinstance(other, _ByContent) and self.digest == other.digest

    def __hash__(self):
        return hash(self.digest)


@functools.lru_cache(maxsize=2)  # inventories, boxes and methods ask one after the other
def _found(content: _ByContent) -> Contraction | None:
    with np.errstate(all="ignore"):
        return _certificate(sectors_of(content.bounds), len(content.bounds.offsets))


def _certificate(sectors: Sectors, num_gates: int) -> Contraction | None:
    """Look for the certificate of one step; a ring of equal steps has the same norm around it."""
    step, times = sectors.one_step()
    moduli, radius = from_moduli(step), 0.0
    if not sectors.finite or (moduli is None and not (radius := _largest_radius(step)) < 1):
        return None
    for multipliers in _candidates(step, moduli):
        for share in _SHARES:
            rate = 1 - share * (1 - radius)
            norm = _norm(step, multipliers, rate)
            if norm is None:
                continue
            stated = rate + _ROOM * (1 - rate)
            by_gate = np.zeros(num_gates)
            by_gate[sectors.gates] = np.tile(rate * stated * multipliers, times)
            certificate = Contraction(np.kron(np.eye(times), norm), by_gate, stated)
            if holds(certificate, sectors):
                return certificate
    return None


def _candidates(sectors: Sectors, moduli: np.ndarray | None) -> Iterator[np.ndarray]:
    if moduli is not None:
        yield moduli
    yield from scalings(sectors, np.linspace(0, np.pi, _FREQUENCIES))


def _largest_radius(sectors: Sectors) -> float:
    """Give the largest spectral radius met on the way to the worst Jacobian: at 1 or more no norm contracts."""
    open_, largest = np.full(len(sectors.gates), 0.5), 0.0
    for _ in range(_CLIMB):
        values, vectors = np.linalg.eig(sectors.base + (sectors.outward * open_) @ sectors.gradients)
        top = int(np.argmax(np.abs(values)))
        largest = max(largest, float(np.abs(values[top])))
        if largest >= 1:
            break
        try:
            left = np.linalg.inv(vectors)[top]
        except np.linalg.LinAlgError:
            break
        slope = np.real(np.conj(values[top]) * (left @ sectors.outward) * (sectors.gradients @ vectors[:, top]))
        chosen = (slope > 0).astype(float)
        if np.array_equal(chosen, open_):
            break
        open_ = chosen
    return largest


def _norm(sectors: Sectors, multipliers: np.ndarray, rate: float) -> np.ndarray | None:
    """Solve P = A' P (1 + G P)^-1 A + H by doubling, with G = -half T^-1 half' and H = gradients' T gradients.

    Chu, Fan, Lin and Wang, *Structure-preserving algorithms for periodic discrete-time algebraic Riccati equations*,
    International Journal of Control 77, 2004. Where no P contracts at this rate, it is lost on the way.
    """
    step, half, size = sectors.middle.middle / rate, sectors.half / rate, len(sectors.base)
    some = (multipliers > 0) & np.isfinite(multipliers)
    if not np.all(some):
        return None
    against, norm = -(half / multipliers) @ half.T, (sectors.gradients.T * multipliers) @ sectors.gradients
    norm = norm + (_ADDED * (np.trace(norm) / size) or 1.0) * np.eye(size)
    for _ in range(_DOUBLINGS):
        try:
            both = np.linalg.solve(np.eye(size) + against @ norm, np.concatenate([step, against], axis=1))
        except np.linalg.LinAlgError:
            return None
        added = step.T @ norm @ both[:, :size]
        norm, against = norm + (added + added.T) / 2, against + step @ both[:, size:] @ step.T
        step, against = step @ both[:, :size], (against + against.T) / 2
        change = np.max(np.abs(added)) / np.max(np.abs(norm))
        if not np.isfinite(change):
            return None
        if change < 2.0**-50:
            return (norm + norm.T) / 2
    return None


def holds(certificate: Contraction, sectors: Sectors) -> bool:
    """Whether the certificate is proved to hold for all that the sectors enclose, every rounding accounted for."""
    norm, rate, number = certificate.norm, certificate.rate, len(sectors.gates)
    if norm.shape != sectors.base.shape or np.max(sectors.gates, initial=-1) >= len(certificate.multipliers):
        return False
    if not np.array_equal(norm, norm.T) or not 0 < rate < 1 or not sectors.finite:
        return False
    multipliers = certificate.multipliers[sectors.gates]
    if not np.all((multipliers > 0) & np.isfinite(multipliers)) or not np.all(np.isfinite(norm)):
        return False
    with np.errstate(all="ignore"):
        middle, half, gradients, weight = (
            sectors.middle,
            exactly(sectors.half),
            exactly(sectors.gradients),
            exactly(norm),
        )
        shrunk = weight * rate * rate
        onward = weight @ middle
        cross = half.T @ onward
        first = shrunk - middle.T @ onward - (gradients.T * multipliers) @ gradients
        last = exactly(np.diag(multipliers)) - half.T @ (weight @ half)
        minus = Enclosed(-cross.middle, cross.radius)
        whole = blocks([[first, minus.T], [minus, last]]) if number else first
        return positive_definite(weight) and positive_definite(whole)
