"""Orthonormal frames: the QR factorizations that carry tangent vectors along an orbit.

Frames of many orbits stand side by side, `(D, n, B)`: n tangent vectors of D entries for each of B orbits. The orbits
come last, so that short loops over D and n are written out once and run over all orbits.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Where orthogonalization leaves less than this share of a vector (times sqrt(D)), what is left is rounding.
_LOST = 8.0
# Frames with so few entries are written out number by number, and fuse into one loop.
_UNROLLED_ENTRIES = 16
# Up to so many vectors a sweep is written out; beyond, that would take longer to compile than to run.
_UNROLLED_VECTORS = 8
# The first pass of Cholesky-QR has worked where its vectors are this close to orthonormal (largest entry).
_NEARLY_ORTHONORMAL = 0.1

Frames = Float[Array, "D n B"]


class AbstractOrthonormalization(eqx.Module):
    """How frames are orthonormalized: `V = Q R` with a positive diagonal of R.

    A vector that depends linearly on those before it, to rounding, has norm 0, and some unit vector orthogonal to the
    others takes its place.
    """

    @abc.abstractmethod
    def __call__(self, V: Frames) -> tuple[Frames, Float[Array, "n B"]]:
        """Give the orthonormal frames `(D, n, B)` and the diagonals of R `(n, B)`."""


@final
class GramSchmidt(AbstractOrthonormalization):
    """Modified Gram-Schmidt, two sweeps: "twice is enough" (Giraud et al. 2005).

    Nothing but sums and products over all orbits at once: at home on any device, however many the frames, while the
    vectors are few.
    """

    def __call__(self, V: Frames) -> tuple[Frames, Float[Array, "n B"]]:
        """Give the orthonormal frames and the diagonals of R."""
        V, scale = _scaled(V)
        V, lost, first = _sweep(V, fill=True)
        V, _, second = _sweep(V, fill=False)
        return V, jnp.where(lost, 0, scale * first * second)


@final
class CholeskyQR(AbstractOrthonormalization):
    """Cholesky-QR2 (Yamamoto et al. 2015): matrix products and a Cholesky factor of size n, twice.

    Orthonormal to rounding while the condition number of the frame, its vectors scaled to length 1, is below about
    1e7. Beyond that the Cholesky factor fails; this is noticed, and Householder's reflections take over for this step.
    """

    def __call__(self, V: Frames) -> tuple[Frames, Float[Array, "n B"]]:
        """Give the orthonormal frames and the diagonals of R."""
        V, scale = _scaled(V)
        length = jnp.linalg.norm(V, axis=0)
        V = jnp.moveaxis(V / jnp.where(length > 0, length, 1)[None], -1, 0)
        once, first = _cholesky_pass(V)
        gram = _gram(once)
        # One predicate for all frames: a branch for each would be run on both sides.
        off = jnp.max(jnp.abs(gram - jnp.eye(V.shape[-1], dtype=V.dtype)[None]))
        Q, norms = jax.lax.cond(
            off < _NEARLY_ORTHONORMAL, lambda: _second_pass(once, gram, first), lambda: _reflected(V)
        )
        return jnp.moveaxis(Q, 0, -1), norms.T * length * scale


@final
class Householder(AbstractOrthonormalization):
    """Householder's reflections, by LAPACK or the device's library, one frame after the other: the reference."""

    def __call__(self, V: Frames) -> tuple[Frames, Float[Array, "n B"]]:
        """Give the orthonormal frames and the diagonals of R."""
        # Nothing is scaled: reflections of vectors of any length are safe.
        Q, norms = _reflected(jnp.moveaxis(V, -1, 0))
        return jnp.moveaxis(Q, 0, -1), norms.T


def suited(num_vectors: int) -> AbstractOrthonormalization:
    """Choose for the device at hand.

    Few vectors: Gram-Schmidt everywhere. More: on a CPU LAPACK is the fastest (measured, benchmarks/lyapunov.py), and
    on accelerators, where it would take frame after frame, matrix products.
    """
    if num_vectors <= _UNROLLED_VECTORS:
        return GramSchmidt()
    return Householder() if jax.default_backend() == "cpu" else CholeskyQR()


def random_frame(num_states: int, num_vectors: int) -> Float[np.ndarray, "D n"]:
    """Give an orthonormal frame in general position, always the same: coordinate axes may be invariant directions."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(num_states, num_vectors)))[0]


def _scaled(V: Frames) -> tuple[Frames, Float[Array, "n B"]]:
    """Scale each vector to largest entry 1, so that no square overflows or vanishes."""
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(V), axis=0))
    # A vector of zeros stays one; its norm is 0.
    return V / jnp.where(scale > 0, scale, 1)[None], scale


def _lost(num_states: int, dtype: Any) -> float:
    return _LOST * float(np.sqrt(num_states) * jnp.finfo(dtype).eps)


def _sweep(V: Frames, *, fill: bool) -> tuple[Frames, Array, Float[Array, "n B"]]:
    """Orthonormalize vector after vector; with `fill`, put vectors in general position where nothing is left."""
    num_states, number = V.shape[:2]
    filling = jnp.asarray(np.random.default_rng(1).normal(size=(num_states, number)) / np.sqrt(num_states), V.dtype)
    least = _lost(num_states, V.dtype) if fill else 0.0
    total = _sum_of_rows if num_states * number <= _UNROLLED_ENTRIES else lambda rows: jnp.sum(rows, axis=0)
    before = total(V * V)

    def normalized(i, vector):
        square = total(vector * vector)
        gone = square <= least**2 * before[i]
        norm = jnp.sqrt(jnp.where(gone, 1, square))
        # What is lost must not be taken from the others.
        return jnp.where(gone[None], 0, vector / norm[None]), jnp.where(gone[None], filling[:, i, None], 0), gone, norm

    if number <= _UNROLLED_VECTORS:
        done, lost, norms = [], [], []
        for i in range(number):
            vector, filled, gone, norm = normalized(i, V[:, 0])
            V = V[:, 1:] - vector[:, None] * total(vector[:, None] * V[:, 1:])[None] if i + 1 < number else V
            done.append(vector + filled)
            lost.append(gone)
            norms.append(norm)
        return jnp.stack(done, axis=1), jnp.stack(lost), jnp.stack(norms)

    def body(carry, i):
        V, filled = carry
        vector, filled_i, gone, norm = normalized(i, V[:, i])
        later = (jnp.arange(number) > i)[:, None]
        V = V - vector[:, None] * jnp.where(later, total(vector[:, None] * V), 0)[None]
        return (V.at[:, i].set(vector), filled.at[:, i].set(filled_i)), (gone, norm)

    (V, filled), (lost, norms) = jax.lax.scan(body, (V, jnp.zeros_like(V)), jnp.arange(number))
    return V + filled, lost, norms


def _sum_of_rows(rows: Array) -> Array:
    result = rows[0]
    for row in rows[1:]:
        result = result + row
    return result


def _gram(V: Float[Array, "B D n"]) -> Float[Array, "B n n"]:
    return jnp.einsum("bdi,bdj->bij", V, V, precision=jax.lax.Precision.HIGHEST)


def _cholesky_pass(V: Float[Array, "B D n"], gram: Float[Array, "B n n"] | None = None):
    L = jax.lax.linalg.cholesky(_gram(V) if gram is None else gram, symmetrize_input=False)
    Q = jax.lax.linalg.triangular_solve(L, V, left_side=False, lower=True, transpose_a=True)
    return Q, jnp.diagonal(L, axis1=-2, axis2=-1)


def _second_pass(V, gram, first):
    Q, second = _cholesky_pass(V, gram)
    return Q, first * second


def _reflected(V: Float[Array, "B D n"]) -> tuple[Float[Array, "B D n"], Float[Array, "B n"]]:
    Q, R = jnp.linalg.qr(V)
    diagonal = jnp.diagonal(R, axis1=-2, axis2=-1)
    norms = jnp.abs(diagonal)
    # The columns of R are as long as those of V; their largest entry goes first, that no square overflows.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(R), axis=1))
    length = largest * jnp.linalg.norm(jax.lax.stop_gradient(R) / jnp.where(largest > 0, largest, 1)[:, None], axis=1)
    lost = norms <= _lost(V.shape[1], V.dtype) * length
    return Q * jnp.where(diagonal < 0, -1, 1)[:, None, :], jnp.where(lost, 0, norms)
