"""The matrices that are singular at bifurcations of a held word, as smooth functions of two parameters.

With its gates held, a word makes of a state x and a number s the linear maps (x_t, s) -> J_t x_t + o_t s. Around the
cycle they are a system K y = 0 of k M equations for y = (x_0, .., x_{k-1}, s): its solution is the *orbit*, the points
of the cycle being x_t / s, and it stays finite where the cycle runs to infinity (s = 0). Its *heights* are
c_g . x_t + b_g s. Then

- on a border K is singular together with the height of one gate at one step, that is f det(I - P) = 0 without a pole,
- at a degenerate transcritical together with the row s, that is det(I - P) = 0,
- at a flip the block-cyclic matrix is with -x_0 in place of x_k: det(I + P) = 0,
- at a center that with e^{i angle} x_0 is: det(P - e^{i angle} I) = 0, and the angle is a third unknown.

No determinant is formed, which would overflow. A matrix A is bordered by vectors close to its null vectors, and g of
[[A, b], [c*, 0]] (v, g) = (0, 1) vanishes where A is singular; g is smooth and of the size of the smallest singular
value, dg = -w* dA v with the left null vector w (Govaerts 2000, "Numerical methods for bifurcations of dynamical
equilibria", chapter 3).
"""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve

from cyclax.maps.parameter import Parameter, moved

Kind = Literal["border collision", "degenerate transcritical", "degenerate flip", "center"]


class Frame(NamedTuple):
    """What a matrix, and K, are bordered by: unit vectors near to their null vectors."""

    left: np.ndarray  # (n,)
    right: np.ndarray  # (n,)
    orbit: np.ndarray  # (k M + 1,)


class Look(NamedTuple):
    """What is seen of words at one place."""

    value: Any  # (1,), or (2,) for centers: 0 where the matrix is singular
    slope: Any  # (1, 2), or (2, 3): its derivative with respect to the unknowns
    left: np.ndarray  # (n,) null vectors, where it is singular
    right: np.ndarray  # (n,)
    orbit: np.ndarray  # (k M + 1,) y, of the direction of that of the frame
    heights: np.ndarray  # (k, G)
    limits: Any  # (k, G) of a transcritical, where heights are 0 all along: those of x / s as s goes to 0
    jacobians: np.ndarray  # (1 or 2, k, M, M) of each word

    @property
    def frame(self) -> Frame:
        """The frame for places nearby."""
        return Frame(*(vector / np.linalg.norm(vector) for vector in (self.left, self.right, self.orbit)))


@dataclasses.dataclass(frozen=True, eq=False)
class Singular:
    """One test of one word in two parameters.

    **Arguments:**

    - `model`: with NumPy leaves; `parameters`: the two that move.
    - `window` `(2, 2)`: their ends, a row each: unknowns are counted in shares of it.
    - `kind`: which test.
    - `words` `(2, k, G)`: at a border those with the gate closed and open, which share the orbit; else `(1, k, G)`.
    - `at`: step and gate of the border.
    """

    model: Any
    parameters: tuple[Parameter, Parameter]
    window: np.ndarray
    kind: Kind
    words: np.ndarray
    at: tuple[int, int] = (0, 0)

    def look(self, unknowns: np.ndarray, frame: Frame) -> Look:
        """Look at one place: shares of the window, and for a center the angle. Must be called under `numerics()`."""
        return Look(*map(np.asarray, _look(*self._arguments(unknowns), frame)))

    def frame(self, unknowns: np.ndarray, orbit: np.ndarray | None = None) -> Frame:
        """Give the frame of a place from singular vectors, the orbit in the direction of that given, or with s >= 0."""
        matrix, cyclic = map(np.asarray, _matrices(*self._arguments(unknowns)))
        left, _, right = np.linalg.svd(matrix)
        left, right = left[:, -1], right[-1].conj()
        own = right if _bordered(self.kind) else np.linalg.svd(cyclic)[2][-1]
        reverse = own[-1] < 0 if orbit is None else own @ orbit < 0
        own = -own if reverse else own
        return Frame(left, own if _bordered(self.kind) else right, own)

    def place(self, unknowns: np.ndarray) -> np.ndarray:
        """Give the values of the parameters."""
        return self.window[:, 0] + unknowns[..., :2] * np.ptp(self.window, axis=1)

    def _arguments(self, unknowns: np.ndarray) -> tuple:
        return self.model, self.parameters, self.window, self.kind, self.words, self.at, unknowns


def critical(kind: str, angles: Any) -> Any:
    """Give the multiplier that is held on the unit circle; `angles`: those of a center."""
    return {"degenerate transcritical": 1.0, "degenerate flip": -1.0}.get(kind, np.exp(1j * np.asarray(angles)))


def _bordered(kind: Kind) -> bool:
    return kind in ("border collision", "degenerate transcritical")


def _held(model, parameters, window, words, unknowns):
    """Give the model at a place, and the held maps of words there."""
    model = moved(model, parameters, window[:, 0] + unknowns[:2] * (window[:, 1] - window[:, 0]))
    zero = jnp.zeros(model.num_states)
    one = lambda gates: (jax.jacfwd(model.step)(zero, gates), model.step(zero, gates))  # noqa: E731
    return model, *jax.vmap(jax.vmap(one))(words)


def cyclic_matrix(jacobians, offsets, turn):
    """Give the matrix of x_{t+1} - J_t x_t - o_t s, where x_k is `turn` x_0."""
    order, size = offsets.shape
    steps = jnp.arange(order)
    factors = jnp.ones(order, jnp.asarray(turn).dtype).at[-1].set(turn)
    blocks = jnp.zeros((order, size, order, size), factors.dtype)
    blocks = blocks.at[steps, :, (steps + 1) % order].add(factors[:, None, None] * jnp.eye(size))
    blocks = blocks.at[steps, :, steps].add(-jacobians)
    return jnp.concatenate([blocks.reshape(order * size, -1), -offsets.reshape(-1, 1)], axis=1)


def with_height(cyclic, step, gradient, level):
    """Give K with the row of a height: singular on that border, without the pole that a height has at det(I - P) = 0.

    `gradient` `(M,)`, `level`: of the gate; `step`: of which point.
    """
    row = jnp.zeros((cyclic.shape[0] // len(gradient), len(gradient))).at[step].set(gradient)
    return jnp.concatenate([cyclic, jnp.append(row.reshape(-1), level)[None]])


def null_vectors(matrix, left, right):
    """Give g, w and v of a matrix `(n, n)` that is bordered by unit vectors near to its null vectors."""
    corner = jnp.zeros((1, 1), matrix.dtype)
    whole = jnp.block([[matrix, left[:, None]], [right.conj()[None], corner]])
    unit = jnp.zeros(len(whole), matrix.dtype).at[-1].set(1)
    factors = lu_factor(whole)
    solution, adjoint = lu_solve(factors, unit), lu_solve(factors, unit, trans=2)
    return solution[-1], adjoint[:-1], solution[:-1]


def _system(model, parameters, window, kind, words, at, unknowns):
    """Give the matrix that is singular, K, heights of y as a matrix `(k G, n)`, and the Jacobians."""
    model, jacobians, offsets = _held(model, parameters, window, words, unknowns)
    order, size = offsets.shape[1:]
    zero = jnp.zeros(size)
    gradients, levels = jax.jacfwd(model.preactivations)(zero), model.preactivations(zero)
    cyclic = cyclic_matrix(jacobians[0], offsets[0], 1.0)
    if kind == "border collision":
        matrix = with_height(cyclic, at[0], gradients[at[1]], levels[at[1]])
    elif kind == "degenerate transcritical":
        matrix = jnp.concatenate([cyclic, jnp.zeros((1, order * size + 1)).at[0, -1].set(1.0)])
    else:
        turn = -1.0 if kind == "degenerate flip" else jnp.exp(1j * unknowns[2])
        matrix = cyclic_matrix(jacobians[0], offsets[0], turn)[:, :-1]
    return matrix, cyclic, (gradients, levels), jacobians


@functools.partial(jax.jit, static_argnames=("parameters", "kind"))
def _matrices(model, parameters, window, kind, words, at, unknowns):
    return _system(model, parameters, window, kind, words, at, unknowns)[:2]


@functools.partial(jax.jit, static_argnames=("parameters", "kind"))
def _look(model, parameters, window, kind, words, at, unknowns, frame):
    matrix, cyclic, (gradients, levels), jacobians = _system(model, parameters, window, kind, words, at, unknowns)
    value, left, right = null_vectors(matrix, frame.left, frame.right)

    def change(unknowns):
        return -left.conj() @ _system(model, parameters, window, kind, words, at, unknowns)[0] @ right

    slope = jax.jacfwd(change)(unknowns)
    if jnp.iscomplexobj(matrix):
        value, slope = jnp.stack([value.real, value.imag]), jnp.stack([slope.real, slope.imag])
    else:
        value, slope = value[None], slope[None]
    orbit = right if _bordered(kind) else _orbit(cyclic, frame.orbit)
    heights = _heights(orbit, gradients, levels)
    limits = jnp.zeros_like(heights)
    if kind == "degenerate transcritical":

        def around(unknowns):
            _, cyclic, planes, _ = _system(model, parameters, window, kind, words, at, unknowns)
            orbit = _orbit(cyclic, frame.orbit)
            return _heights(orbit, *planes), orbit[-1]

        _, (rise, change) = jax.jvp(around, (unknowns,), (slope[0],))
        limits = rise / change
    return Look(value, slope, left, right, orbit, heights, limits, jacobians)


def _orbit(cyclic, near):
    """Give the solution y of K y = 0 with near . y = 1."""
    square = jnp.concatenate([cyclic, near[None]])
    return jnp.linalg.solve(square, jnp.zeros(len(square)).at[-1].set(1))


def _heights(orbit, gradients, levels):
    return orbit[:-1].reshape(-1, gradients.shape[1]) @ gradients.T + orbit[-1] * levels
