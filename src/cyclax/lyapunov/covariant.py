"""Covariant Lyapunov vectors: the directions that grow at each exponent's rate, carried into each other by the map."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from cyclax.core.checks import whole
from cyclax.core.numerics import numerics
from cyclax.lyapunov.arguments import checked_problem
from cyclax.lyapunov.flows import Flow, more_pieces
from cyclax.lyapunov.frames import AbstractOrthonormalization, random_frame, suited
from cyclax.lyapunov.model import Layout, push

# Frames along the orbit are kept, so many numbers at most (1 GB): for more, take the orbit in parts.
_MOST_NUMBERS = 2**27


@dataclasses.dataclass(frozen=True, eq=False)
class CovariantVectors:
    """Covariant Lyapunov vectors along an orbit of T steps.

    - `states` `(T + 1, D)`: the orbit (flat states).
    - `vectors` `(T + 1, D, n)`: unit vectors, as columns, the one of the largest exponent first. The Jacobian at
      `states[t]` takes `vectors[t, :, i]` to a multiple of `vectors[t + 1, :, i]`; the sign is arbitrary.
    - `growth` `(T, n)`: the logarithm of that multiple (its modulus): nats per step.
    """

    states: Float[np.ndarray, "T+1 D"]
    vectors: Float[np.ndarray, "T+1 D n"]
    growth: Float[np.ndarray, "T n"]

    @property
    def exponents(self) -> Float[np.ndarray, " n"]:
        """The mean growth along the vectors, nats per step: the exponents again, from other data."""
        return np.mean(self.growth, axis=0)

    def angles(self, first: int) -> Float[np.ndarray, " T+1"]:
        """Give the smallest angle between the span of the first `first` vectors and that of the others, in radians.

        With `first` the number of positive exponents these are the angles between the unstable and the stable manifold;
        where they come near 0 the orbit is close to a homoclinic tangency.

        **Raises:** `ValueError` where `first` leaves one side empty.
        """
        number = self.vectors.shape[-1]
        if not 0 < first < number:
            raise ValueError(f"first: expected 1 to {number - 1} of the {number} vectors, got {first}.")
        one, other = (np.linalg.qr(part)[0] for part in (self.vectors[..., :first], self.vectors[..., first:]))
        cosines = np.linalg.svd(np.swapaxes(one, -1, -2) @ other, compute_uv=False)[..., 0]
        return np.arccos(np.clip(cosines, 0, 1))

    def __repr__(self) -> str:
        steps, (num_states, number) = len(self.growth), self.vectors.shape[1:]
        return f"CovariantVectors({number} of {num_states}, along {steps} steps)"


def covariant_vectors(
    model: Any,
    state: PyTree,
    inputs: PyTree = None,
    *,
    steps: int,
    warmup: int,
    cooldown: int | None = None,
    num_vectors: int | None = None,
) -> CovariantVectors:
    """Compute covariant Lyapunov vectors along an orbit, in float64, by the method of Ginelli et al. (2007).

    Frames are carried forward through warm-up, orbit and cool-down; then coefficients are carried back through their
    triangular factors, from which they leave in the cool-down whatever they began with.

    **Arguments:**

    - `model`, `state`, `inputs`: as for `lyapunov_spectrum`, without batches; inputs `(warmup + steps + cooldown, ..)`.
    - `steps`: the length T of the orbit along which vectors are given; `warmup`: steps before, in which frames settle.
    - `cooldown`: steps after, in which the coefficients settle; as many as `warmup` by default.
    - `num_vectors`: how many, largest exponents first; all by default.

    **Returns:** `CovariantVectors`.

    **Raises:** `TypeError` and `ValueError` that name the argument; `FloatingPointError` where the orbit diverges, or
    where the map loses a dimension (a singular Jacobian), so that there is no way back: ask for fewer vectors.
    """
    cooldown = warmup if cooldown is None else whole(cooldown, "cooldown", 0)
    with numerics():
        problem = checked_problem(
            model,
            state,
            inputs,
            steps=steps,
            warmup=warmup,
            num_exponents=num_vectors,
            every=1,
            dt=None,
            in_axes=(None, None, None),
            repeat_inputs=False,
            most_steps=steps + cooldown,
            tolerances=(0.0, 0.0),
            orthonormalization=None,
            number_name="num_vectors",
        )
        if problem.axes.model == 0:
            raise ValueError("model: a batch of models; covariant vectors are computed for one.")
        # As Python's ints: they decide about shapes.
        steps, warmup, cooldown = problem.steps, problem.warmup, problem.most_steps - problem.steps
        n, size = problem.num_exponents, problem.layout.size
        if (steps + cooldown) * n * (size + n) > _MOST_NUMBERS:
            most = _MOST_NUMBERS // (n * (size + n))
            raise ValueError(f"steps: frames are kept along the orbit, with room for {most} steps in all; take parts.")
        frame, orthonormalize = random_frame(size, n), suited(n)
        setting = (problem.layout, orthonormalize)

        def forward(z, frame, begin, number):
            inputs = jax.tree.map(lambda leaf: leaf[begin : begin + number], problem.inputs)
            pieces, more = 0, 1
            while more > pieces:
                pieces = more
                *parts, spread = _forward(problem.model, *setting, z, frame, inputs, number, np.asarray(pieces))
                # Maps take no pieces.
                more = more_pieces(pieces, np.asarray(spread)) if isinstance(problem.model, Flow) else pieces
            return parts  # pyright: ignore[reportPossiblyUnboundVariable]

        start = problem.states[:, 0]
        if warmup:
            zs, frames, _, _ = forward(start, frame, 0, warmup)
            _refuse(zs, 0)
            start, frame = zs[-1], frames[-1]
        zs, frames, R, lost = (np.asarray(part) for part in forward(start, frame, warmup, steps + cooldown))
        _refuse(zs, warmup)
        if np.any(lost):
            t, i = np.argwhere(lost)[0]
            raise FloatingPointError(
                f"num_vectors: in step {warmup + t + 1} the map loses a dimension (a singular Jacobian), so vectors "
                f"from {i + 1} on have no past" + (f"; ask for {i} at most." if i else ": there are none here.")
            )
        vectors, growth = (np.asarray(part) for part in _backward(R))
    first = np.concatenate([np.asarray(start)[None], zs[:steps]])
    # The frame before the first step is the last of the warm-up.
    return CovariantVectors(first, _at_frames(np.asarray(frame), frames, vectors, steps), growth[:steps])


def _refuse(zs: Any, before: int) -> None:
    finite = np.isfinite(np.asarray(zs)).all(axis=1)
    if not finite.all():
        raise FloatingPointError(f"step {before + int(np.argmin(finite)) + 1}: the orbit diverged to infinity or NaN.")


@eqx.filter_jit
def _forward(model, layout: Layout, orthonormalize: AbstractOrthonormalization, z, frame, inputs, number: int, pieces):
    """Give states, frames and triangular factors R after each step, and which diagonals of R are lost.

    A `Flow` takes each step in so many pieces. Of every step, the spread of logarithms that one of them has met.
    """
    how = {"pieces": pieces} if isinstance(model, Flow) else {}

    def piece(z, Q, s):
        z, pushed = push(model, layout, z, s, Q, **how)
        Q, norms = orthonormalize(pushed[..., None])
        Q, norms = Q[..., 0], norms[:, 0]
        logs = jnp.log(norms)
        return z, Q, jnp.triu(Q.T @ pushed, 1) + jnp.diag(norms), jnp.maximum(jnp.max(logs), 0) - jnp.min(logs)

    def step(carry, s):
        def one_more(_, state):
            z, Q, R, spread = state
            z, Q, factor, worst = piece(z, Q, s)
            return z, Q, factor @ R, jnp.maximum(spread, worst)

        z, Q, R, spread = piece(*carry, s)  # pyright: ignore[reportCallIssue]
        z, Q, R, spread = jax.lax.fori_loop(1, pieces, one_more, (z, Q, R, spread)) if how else (z, Q, R, spread)
        return (z, Q), (z, Q, R, jnp.diagonal(R) == 0, spread)

    return jax.lax.scan(step, (z, frame), inputs, length=number)[1]


@jax.jit
def _backward(R):
    """Give the coefficients `(N + 1, n, n)` before each step and after the last, and the growth `(N, n)`."""
    number = R.shape[-1]
    # In general position: upper triangular, so that vector i lies in the span of the first i of the frame.
    last = jnp.triu(jnp.asarray(np.random.default_rng(0).normal(size=(number, number)))) + 2 * jnp.eye(number)
    last = last / jnp.linalg.norm(last, axis=0)[None]

    def step(C, R):
        back = jax.scipy.linalg.solve_triangular(R, C)
        length = jnp.linalg.norm(back, axis=0)
        back = back / length[None]
        return back, (back, -jnp.log(length))

    _, (before, growth) = jax.lax.scan(step, last, R, reverse=True)
    return jnp.concatenate([before, last[None]]), growth


def _at_frames(frame, frames, coefficients, steps: int):
    """Write the vectors themselves: coefficients times the frames they belong to."""
    first = (frame @ coefficients[0])[None]
    return np.concatenate([first, frames[:steps] @ coefficients[1 : steps + 1]])
