"""Flows that several tests share, and the plain NumPy loop that all of it is held against."""

import jax.numpy as jnp
import numpy as np


def lorenz(z):
    x, y, w = z
    return jnp.stack([10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w])


def hopf(z):
    """The normal form: a limit cycle of radius 1, exponents 0 and -2."""
    r2 = z[0] ** 2 + z[1] ** 2
    return jnp.stack([z[0] - z[1] - z[0] * r2, z[0] + z[1] - z[1] * r2])


def plain_exponents(step, jacobian, state, inputs, steps: int, warmup: int, number: int) -> np.ndarray:
    """Give the exponents by the textbook: explicit Jacobians, Householder QR after each step, in NumPy."""
    Q = np.linalg.qr(np.random.default_rng(5).normal(size=(state.size, number)))[0]
    total = np.zeros(number)
    for t in range(warmup + steps):
        J = jacobian(state, inputs[t])
        state = step(state, inputs[t])
        Q, R = np.linalg.qr(J @ Q)
        if t >= warmup:
            total += np.log(np.abs(np.diag(R)))
    return total / steps
