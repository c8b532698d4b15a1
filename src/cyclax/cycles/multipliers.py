"""Multipliers: the eigenvalues of the product of the Jacobians along a cycle, where need be without that product."""

import itertools

import numpy as np
from jaxtyping import Complex, Float

# Rounding in a product of this norm reaches 1e-11, which may turn a small multiplier into a large one.
_LARGEST_PRODUCT = 1e5
# NeighborSearch of orthogonal iteration, and the angle below which two subspaces count as separated.
_SWEEPS = 16
_SEPARATED = 1e-9


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
            values[~plain] = _cyclic_eigenvalues(jacobians[~plain])
        # Conjugates stand together, the one with the positive imaginary part first.
        ranks = np.lexsort((-np.imag(values), -np.real(values), -np.abs(values).round(14)), axis=-1)
    return np.take_along_axis(values, ranks, axis=-1)


def _cyclic_eigenvalues(jacobians: Float[np.ndarray, "n k M M"]) -> Complex[np.ndarray, "n M"]:
    """Orthogonal iteration around the cycle (Bojanczyk, Golub and Van Dooren 1992; here without shifts).

    With J_t Q_t = Q_{t+1} R_t the product is Q_k (R_{k-1} .. R_0) Q_0', and a product of triangles keeps every digit of
    its diagonal. Multipliers of different moduli separate from sweep to sweep; those of (nearly) one modulus stay
    together in a block, in which nothing is lost either, since their moduli are alike.
    """
    number, order, size, _ = jacobians.shape
    usable = np.all(np.isfinite(jacobians), axis=(1, 2, 3))
    jacobians = np.where(usable[:, None, None, None], jacobians, 0)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    basis = turn = triangle = np.broadcast_to(basis, (number, size, size))
    ends = np.zeros((number, size - 1), bool)
    for _ in range(_SWEEPS):
        start, triangle = basis, np.broadcast_to(np.eye(size), (number, size, size))
        for t in range(order):
            basis, factor = np.linalg.qr(jacobians[:, t] @ basis)
            triangle = factor @ triangle
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
    return values
