"""Orbits in batches: followed with their tangents, and asked when their points or their words come back."""

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.core.draws import GOLDEN, mixed
from cyclax.core.entries import MOST_OPERATIONS, entrywise, operations
from cyclax.core.products import launches_count

# A state that comes back to within this share of its size is taken to be on a cycle, and the cycle is solved for. Below
# the second share of the size of states that matter, a state is no size to compare with.
RETURNED, _SMALL = 1e-8, 1e-3
# On GPUs so many steps go together, where few operations do.
TOGETHER = 8


@jax.jit
def follow_tangents(model, z, v, limit, steps):
    """Follow orbits z and tangents v `(M, N)`; give their ends, the growth of v, and which orbits have gone.

    A tangent that vanished in an earlier call, where a Jacobian was 0 on the way to an attractor, begins anew.
    """
    anew = jnp.cos(jnp.arange(1.0, 1 + len(v)))[:, None]  # along no axis, and no diagonal
    v = jnp.where(jnp.any(v != 0, axis=0), v, anew / jnp.linalg.norm(anew))
    push = jax.vmap(lambda z, v: jax.jvp(model.__call__, (z,), (v,)), in_axes=-1, out_axes=-1)

    def step(z, v, growth, gone):
        following, v = push(z, v)
        gone = gone | ~(jnp.max(jnp.abs(following), axis=0) < limit)
        length = jnp.linalg.norm(v, axis=0)
        # A tangent that has vanished (a Jacobian of 0) stays: its exponent is -inf in truth, and very small here.
        length = jnp.where(length > 1e-300, length, 1e-300)
        v = jnp.where(gone, 0, v / length)
        return jnp.where(gone, z, following), v, growth + jnp.where(gone, 0, jnp.log(length)), gone

    def several(*carry):
        for _ in range(TOGETHER):
            carry = step(*carry)
        return carry

    def repeated(times, function, carry):
        return jax.lax.fori_loop(0, times, lambda _, carry: function(*carry), carry)

    none = jnp.zeros(z.shape[1])
    carry = z, v, none, none > 0
    # What a loop does around a step (the host reads its condition) costs as much as the step, where launches count.
    if launches_count() and operations(several, *carry) <= MOST_OPERATIONS:
        carry = repeated(steps // TOGETHER, entrywise(several), carry)
        return repeated(steps % TOGETHER, entrywise(step), carry)
    return repeated(steps, step, carry)


@jax.jit
def period_of(model, z, longest, scale):
    """Give the number of steps, up to `longest`, after which each state `(M, N)` first comes back; 0 if it does not.

    **Arguments:** `scale`: the size of the states that matter to the model.
    """
    advance = jax.vmap(model.__call__, in_axes=-1, out_axes=-1)
    near = RETURNED * jnp.maximum(_SMALL * scale, jnp.max(jnp.abs(z), axis=0))

    def body(t, carry):
        state, period = carry
        state = advance(state)
        back = jnp.max(jnp.abs(state - z), axis=0) <= near
        return state, jnp.where(back & (period == 0), t, period)

    _, period = jax.lax.fori_loop(1, longest + 1, body, (z, jnp.zeros(z.shape[1], jnp.int32)))
    return period


@jax.jit(static_argnames="steps")
def gate_hashes(model, z, matter, *, steps: int):
    """Give a 64-bit hash of the gates that matter `(G,)` in each of so many steps of orbits `(M, n)`: `(steps, n)`."""
    salts = mixed(jnp.uint64(GOLDEN) * jnp.arange(1, model.num_gates + 1, dtype=jnp.uint64))
    salts = jnp.where(matter, salts, jnp.uint64(0))[:, None]
    gates_of = jax.vmap(lambda z: model.preactivations(z) > 0, in_axes=-1, out_axes=-1)
    advance = jax.vmap(model.__call__, in_axes=-1, out_axes=-1)

    def body(z, _):
        return advance(z), jnp.sum(jnp.where(gates_of(z), salts, jnp.uint64(0)), axis=0)

    return jax.lax.scan(body, z, length=steps)[1]


def word_periods(hashes: np.ndarray) -> np.ndarray:
    """Give the smallest number of steps after which each column of hashes `(2 longest, n)` repeats, 0 for none."""
    period = np.zeros(hashes.shape[1], int)
    for k in range(1, len(hashes) // 2 + 1):
        rows = np.flatnonzero((period == 0) & (hashes[k] == hashes[0]))
        period[rows[np.all(hashes[k:, rows] == hashes[:-k, rows], axis=0)]] = k
    return period
