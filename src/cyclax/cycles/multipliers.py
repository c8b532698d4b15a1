"""Multipliers: the eigenvalues of the product of the Jacobians along a cycle, where need be without that product."""

import itertools
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from jaxtyping import Bool, Complex, Float

from cyclax.core.balls import LOCK, working_precision

# Where entries of Jacobians and their products are smaller, float64 keeps the digits of the multipliers.
ROUGH_PRODUCT = 1e4
# Rounding in a product of this norm reaches 1e-11, which may turn a small multiplier into a large one.
_LARGEST_PRODUCT = 1e5
# Sweeps of orthogonal iteration, and the angle below which two subspaces count as separated.
_SWEEPS = 16
_SEPARATED = 1e-9
# Multipliers that rounding may have moved by more than this, relative to 1 and to themselves, are computed anew in
# numbers of so many bits more than the Jacobians can cancel, up to a size M^3 of a tenth of a second.
_LOST = 1e-9
_BITS, _LARGEST = 256, 30_000
# Jacobians beyond float64 are taken to be of 2 to this.
_LOG_HUGE = 2048.0
_EPS = float(np.finfo(np.float64).eps)


def multipliers_of(
    jacobians: Float[np.ndarray, "n k M M"], product: Float[np.ndarray, "n M M"]
) -> Complex[np.ndarray, "n M"]:
    """Give the eigenvalues of J_{k-1} .. J_0 for n cycles, by modulus descending.

    **Arguments:** `jacobians`: J_0 .. J_{k-1}; `product`: their product as float64 has it, whose eigenvalues are used
    as long as it is small enough for its rounding not to matter.
    """
    with np.errstate(all="ignore"):
        plain = (np.max(np.abs(product), axis=(1, 2)) < _LARGEST_PRODUCT) | (jacobians.shape[1] == 1)
        plain &= np.all(np.isfinite(product), axis=(1, 2))
        values = np.zeros(product.shape[:2], complex)
        values[plain] = np.linalg.eigvals(product[plain])
        if not np.all(plain):
            values[~plain], _ = _cyclic_eigenvalues(jacobians[~plain])
        return _ranked(values)


def product_of(jacobians: Float[np.ndarray, "k M M"]) -> Float[np.ndarray, "M M"]:
    """Give J_{k-1} .. J_0 as float64 has it."""
    product = jacobians[0]
    with np.errstate(all="ignore"):
        for jacobian in jacobians[1:]:
            product = jacobian @ product
    return product


def composed_multipliers(jacobians: Float[np.ndarray, "k M M"]) -> Complex[np.ndarray, " M"]:
    """Give the multipliers of one cycle with these Jacobians; M may be 0."""
    if not jacobians.shape[-1]:
        return np.empty(0, complex)
    return multipliers_of(jacobians[None], product_of(jacobians)[None])[0]


def doubtful(jacobians: Float[np.ndarray, "n k M M"], values: Complex[np.ndarray, "n M"]) -> Bool[np.ndarray, " n"]:
    """Whether rounding in the product of the Jacobians may have moved the multipliers.

    What step t rounds is as large as J_t times the product before it, and is multiplied by the product after it.
    """
    number, order, size, _ = jacobians.shape
    before = after = np.broadcast_to(np.eye(size), (number, size, size))
    sizes = np.linalg.norm(jacobians, axis=(2, 3))
    with np.errstate(all="ignore"):
        for t in range(1, order):
            before, after = jacobians[:, t - 1] @ before, after @ jacobians[:, order - t]
            sizes[:, t] *= np.linalg.norm(before, axis=(1, 2))
            sizes[:, order - t - 1] *= np.linalg.norm(after, axis=(1, 2))
        rounding = size * _EPS * np.sum(sizes, axis=1)
        return ~(rounding <= _LOST * np.maximum(1, np.min(np.abs(values), axis=1, initial=np.inf)))


def beyond_float64(
    jacobians: Float[np.ndarray, "n k M M"], product: Float[np.ndarray, "n M M"]
) -> Bool[np.ndarray, " n"]:
    """Whether float64 does not have the multipliers, neither of the product nor of the Jacobians one by one."""
    rows = np.all(np.isfinite(jacobians), axis=(1, 2, 3))
    rows[rows] = doubtful(jacobians[rows], multipliers_of(jacobians[rows], product[rows]))
    with np.errstate(all="ignore"):
        rows[rows] = _cyclic_eigenvalues(jacobians[rows])[1]
    return rows


def sound_multipliers(
    jacobians: Float[np.ndarray, "k M M"],
    values: Complex[np.ndarray, " M"],
    exact: Callable[[int], Any] | None = None,
) -> Complex[np.ndarray, " M"]:
    """Give the multipliers of one cycle, for which float64 has `values`: where it cannot tell, in more digits.

    Factors of very different size, such as a slope of 1e20 in one direction, leave rounding of the large ones in place
    of the small ones. `exact(bits)` gives the product in balls, None where it is not known: then that of the Jacobians,
    which are rounded themselves, is taken. Of Jacobians beyond float64 there is only that.
    """
    size, finite = jacobians.shape[1], bool(np.all(np.isfinite(jacobians)))
    if not size or (finite and not doubtful(jacobians[None], values[None])[0]):
        return values
    if not finite and (exact is None or size**3 > _LARGEST):
        return values
    sizes = np.full(len(jacobians), _LOG_HUGE)
    if finite:
        with np.errstate(all="ignore"):
            around, lost = _cyclic_eigenvalues(jacobians[None])
            if not lost[0] or size**3 > _LARGEST:
                return _ranked(around)[0]
            sizes = np.log2(size) + np.log2(np.max(np.abs(jacobians), axis=(1, 2)))
    bits = _BITS + int(np.sum(np.maximum(sizes, 0)))
    with LOCK, working_precision(bits):
        product = None if exact is None else exact(bits)
        if product is None and not finite:
            return values
        if product is None:
            product = flint.arb_mat(jacobians[0].tolist())
            for jacobian in jacobians[1:]:
                product = flint.arb_mat(jacobian.tolist()) * product
        found = np.array([_complex(value) for value in flint.acb_mat(product).eig(algorithm="approx")], complex)
    with np.errstate(all="ignore"):
        # Real matrices have conjugate multipliers: what is left of an imaginary part is rounding.
        real = np.abs(np.imag(found)) <= 2.0**-100 * np.abs(found)
        return _ranked(np.where(real, np.real(found), found)[None])[0]


def _complex(value: flint.acb) -> complex:
    return complex(float(value.real.mid()), float(value.imag.mid()))


def _ranked(values: Complex[np.ndarray, "n M"]) -> Complex[np.ndarray, "n M"]:
    """Sort by modulus, descending; conjugates stand together, the one with the positive imaginary part first."""
    mantissas, exponents = np.frexp(np.abs(values))
    moduli = np.ldexp(mantissas.round(14), exponents)
    ranks = np.lexsort((-np.imag(values), -np.real(values), -moduli), axis=-1)
    return np.take_along_axis(values, ranks, axis=-1)


def _cyclic_eigenvalues(
    jacobians: Float[np.ndarray, "n k M M"],
) -> tuple[Complex[np.ndarray, "n M"], Bool[np.ndarray, " n"]]:
    """Orthogonal iteration around the cycle (Bojanczyk, Golub and Van Dooren 1992; here without shifts).

    With J_t Q_t = Q_{t+1} R_t the product is Q_k (R_{k-1} .. R_0) Q_0', and a product of triangles keeps every digit of
    its diagonal. Multipliers of different moduli separate from sweep to sweep; those of (nearly) one modulus stay
    together in a block, in which nothing is lost either, since their moduli are alike.

    **Returns:** the multipliers; and whether rounding, a share of the norm of each J_t, may have moved one of them.
    """
    number, order, size, _ = jacobians.shape
    usable = np.all(np.isfinite(jacobians), axis=(1, 2, 3))
    jacobians = np.where(usable[:, None, None, None], jacobians, 0)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    basis = turn = triangle = np.broadcast_to(basis, (number, size, size))
    largest = np.ones((number, size))
    ends = np.zeros((number, size - 1), bool)
    for _ in range(_SWEEPS):
        start, triangle = basis, np.broadcast_to(np.eye(size), (number, size, size))
        largest = np.ones((number, size))
        for t in range(order):
            basis, factor = np.linalg.qr(jacobians[:, t] @ basis)
            triangle = factor @ triangle
            reach = 4 * size * _EPS * np.linalg.norm(jacobians[:, t], axis=(1, 2))
            largest = largest * (np.abs(np.diagonal(factor, axis1=1, axis2=2)) + reach[:, None])
        turn = np.swapaxes(start, 1, 2) @ basis
        # The largest entry of turn[b:, :b], for each place b where a block may end.
        left = [np.max(np.abs(turn[:, b:, :b]), axis=(1, 2)) for b in range(1, size)]
        ends = np.stack(left, axis=1) < _SEPARATED if left else ends
        if np.all(ends):
            break
    diagonal = np.diagonal(turn, axis1=1, axis2=2) * np.diagonal(triangle, axis1=1, axis2=2)
    values = diagonal.astype(complex)
    for n in np.flatnonzero(~np.all(ends, axis=1)):
        cuts = [0, *(np.flatnonzero(ends[n]) + 1), size]
        for begin, end in itertools.pairwise(cuts):
            block = turn[n, begin:end, begin:end] @ triangle[n, begin:end, begin:end]
            if end > begin + 1:
                values[n, begin:end] = np.linalg.eigvals(block) if np.all(np.isfinite(block)) else np.nan
    values[~usable] = np.nan
    size_of_each = np.abs(np.diagonal(triangle, axis1=1, axis2=2))
    moved = largest - size_of_each
    return values, ~np.all(moved <= _LOST * np.maximum(1, size_of_each), axis=1)
