"""Recurrent cells, driven by inputs, against explicit Jacobian products; batches; gradients; compilations."""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.validation.exponents import henon
from lyapunov_systems import plain_exponents

import cyclax as cx

KEY = jax.random.key(0)
STEPS, WARMUP = 60, 20


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def inputs(size: int, steps: int = STEPS + WARMUP, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, size))


def by_jacfwd(function):
    """Give explicit Jacobians, for cells whose derivative by hand would hide the test."""
    jitted = jax.jit(jax.jacfwd(function))

    def jacobian(z, s):
        with jax.enable_x64(True):
            return np.asarray(jitted(jnp.asarray(z), jnp.asarray(s)))

    return jacobian


def test_the_whole_lstm():
    """The (h, c) state, with the Jacobian written out block by block in NumPy: 1e-8 and better."""
    cell = eqx.nn.LSTMCell(2, 3, key=KEY)
    Wi, Wh, b = (np.asarray(w, np.float64) for w in (cell.weight_ih, cell.weight_hh, cell.bias))

    def parts(z, s):
        h, c = z[:3], z[3:]
        i, f, g, o = np.split(Wi @ s + Wh @ h + b, 4)
        return h, c, sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)

    def step(z, s):
        _, c, i, f, g, o = parts(z, s)
        c = f * c + i * g
        return np.concatenate([o * np.tanh(c), c])

    def jacobian(z, s):
        _, c, i, f, g, o = parts(z, s)
        Wi_, Wf, Wg, Wo = np.split(Wh, 4)
        following = f * c + i * g
        dc_dh = (c * f * (1 - f))[:, None] * Wf + (g * i * (1 - i))[:, None] * Wi_ + (i * (1 - g**2))[:, None] * Wg
        dc_dc = np.diag(f)
        slope = (o * (1 - np.tanh(following) ** 2))[:, None]
        dh_dh = (np.tanh(following) * o * (1 - o))[:, None] * Wo + slope * dc_dh
        return np.block([[dh_dh, slope * dc_dc], [dc_dh, dc_dc]])

    s = inputs(2)
    reference = plain_exponents(step, jacobian, np.zeros(6), s, STEPS, WARMUP, 6)
    got = cx.lyapunov_spectrum(cell, (np.zeros(3), np.zeros(3)), s, steps=STEPS, warmup=WARMUP)
    assert got.num_states == 6
    # Frames of different beginnings differ by what the warm-up has left: the sum is exact, each nearly so.
    np.testing.assert_allclose(got.sum, np.sum(reference), rtol=0, atol=1e-12)
    same_start = plain_exponents_from(cx_frame(6, 6), step, jacobian, np.zeros(6), s)
    np.testing.assert_allclose(got.means, same_start, rtol=0, atol=1e-10)


def cx_frame(size: int, number: int) -> np.ndarray:
    from cyclax.lyapunov.frames import random_frame

    return random_frame(size, number)


def plain_exponents_from(Q, step, jacobian, state, s):
    total = np.zeros(Q.shape[1])
    for t in range(WARMUP + STEPS):
        J = jacobian(state, s[t])
        state = step(state, s[t])
        Q, R = np.linalg.qr(J @ Q)
        if t >= WARMUP:
            total += np.log(np.abs(np.diag(R)))
    return total / STEPS


@pytest.mark.parametrize("number", [4, 2])
def test_gru(number):
    cell = eqx.nn.GRUCell(2, 4, key=KEY)
    wide = jax.tree.map(lambda w: np.asarray(w, np.float64) if eqx.is_inexact_array(w) else w, cell)

    def function(z, s):
        return wide(s, z)

    def step(z, s):
        with jax.enable_x64(True):
            return np.asarray(function(z, s))

    s = inputs(2)
    reference = plain_exponents_from(cx_frame(4, number), step, by_jacfwd(function), np.zeros(4), s)
    got = cx.lyapunov_spectrum(cell, np.zeros(4), s, steps=STEPS, warmup=WARMUP, num_exponents=number)
    np.testing.assert_allclose(got.means, reference, rtol=0, atol=1e-10)
    turned = cx.lyapunov_spectrum(cx.StateFirst(cell), np.zeros(4), s, steps=STEPS, warmup=WARMUP, num_exponents=number)
    np.testing.assert_array_equal(turned.means, got.means)


@pytest.mark.parametrize("kind", [cx.TanhCell, cx.ReLUCell])
@pytest.mark.parametrize("driven", [True, False])
def test_vanilla_cells(kind, driven):
    cell = kind.random(5, 2 if driven else 0, key=KEY, gain=1.5)
    if kind is cx.ReLUCell:
        cell = eqx.tree_at(lambda c: c.b, cell, jnp.full(5, 15.0))  # all units stay open: no direction is lost
        cell = eqx.tree_at(lambda c: c.W, cell, 0.2 * cell.W)
    W, b = np.asarray(cell.W, np.float64), np.asarray(cell.b, np.float64)
    U = np.asarray(cell.U, np.float64) if driven else np.zeros((5, 2))
    f, slope = (
        (np.tanh, lambda x: 1 - np.tanh(x) ** 2) if kind is cx.TanhCell else (lambda x: np.maximum(x, 0), np.sign)
    )
    s = inputs(2) if driven else np.zeros((STEPS + WARMUP, 2))
    reference = plain_exponents_from(
        cx_frame(5, 5),
        lambda z, s: f(W @ z + U @ s + b),
        lambda z, s: slope(np.maximum(W @ z + U @ s + b, 0) if kind is cx.ReLUCell else W @ z + U @ s + b)[:, None] * W,
        np.full(5, 0.1),
        s,
    )
    got = cx.lyapunov_spectrum(cell, np.full(5, 0.1), s if driven else None, steps=STEPS, warmup=WARMUP)
    np.testing.assert_allclose(got.means, reference, rtol=0, atol=1e-10)


def test_dead_units_have_minus_infinity():
    cell = cx.ReLUCell(W=np.diag([0.5, 0.5, 0.5]), U=None, b=np.array([1.0, 1.0, -9.0]))
    got = cx.lyapunov_spectrum(cell, np.ones(3), steps=100, warmup=10, birkhoff=True)
    np.testing.assert_allclose(got.exponents[:2], np.log(0.5), atol=1e-12)
    assert got.exponents[2] == got.weighted_exponents[2] == -np.inf
    assert "-inf: tangents vanish to rounding" in str(got)
    assert "  3  -inf, weighted -inf\n" in str(got)
    assert got.converged


def test_a_map_onto_one_point():
    constant = cx.PLRNN(A=[0, 0], W=np.zeros((2, 2)), h=[1, 1])
    said = str(cx.lyapunov_spectrum(constant, np.ones(2), steps=100, warmup=10))
    assert "  1  -inf\n" in said
    assert "errors vanish at once" in said
    assert "converged (exponents of -inf have no error)" in said


def test_inputs_of_piecewise_linear_maps_add_to_the_bias():
    model = cx.ShallowPLRNN.random(3, 8, key=KEY)
    A, W1, W2, h1, h2 = (np.asarray(w) for w in (model.A, model.W1, model.W2, model.h1, model.h2))
    s = inputs(3)
    reference = plain_exponents_from(
        cx_frame(3, 3),
        lambda z, s: A * z + W1 @ np.maximum(W2 @ z + h2, 0) + h1 + s,
        lambda z, s: np.diag(A) + (W1 * (W2 @ z + h2 > 0)) @ W2,
        np.zeros(3),
        s,
    )
    got = cx.lyapunov_spectrum(model, np.zeros(3), s, steps=STEPS, warmup=WARMUP)
    np.testing.assert_allclose(got.means, reference, rtol=0, atol=1e-10)


# -- batches -----------------------------------------------------------------------------------------------------------


def test_batches_equal_loops():
    cells = [cx.TanhCell.random(4, 2, key=jax.random.key(i), gain=1.0 + i) for i in range(3)]
    s = np.stack([inputs(2, seed=i) for i in range(3)])
    z0 = np.random.default_rng(1).normal(size=(3, 4))
    settings = {"steps": STEPS, "warmup": WARMUP}
    for axes in [(0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0), (0, 0, None)]:
        pick = [lambda i, axis=axis: i if axis == 0 else 0 for axis in axes]
        got = cx.lyapunov_spectrum(
            cells if axes[0] == 0 else cells[0],
            z0 if axes[1] == 0 else z0[0],
            s if axes[2] == 0 else s[0],
            in_axes=axes,
            **settings,
        )
        assert got.exponents.shape == (3, 4)
        assert len(got) == 3
        for i in range(3):
            alone = cx.lyapunov_spectrum(cells[pick[0](i)], z0[pick[1](i)], s[pick[2](i)], **settings)
            np.testing.assert_allclose(got[i].exponents, alone.exponents, rtol=0, atol=1e-12)
            np.testing.assert_allclose(got[i].standard_errors, alone.standard_errors, rtol=1e-6)


def test_batches_in_lots_equal_batches_side_by_side(monkeypatch):
    """Five orbits in lots of two, with models, states and inputs of their own, and with shared ones."""
    cells = [cx.TanhCell.random(4, 2, key=jax.random.key(i), gain=1.0 + i) for i in range(5)]
    s = np.stack([inputs(2, seed=i) for i in range(5)])
    z0 = np.random.default_rng(1).normal(size=(5, 4))
    settings = {"steps": STEPS, "warmup": WARMUP}
    calls = [((cells, z0, s), (0, 0, 0)), ((cells[0], z0, s[0]), (None, 0, None))]
    whole = [cx.lyapunov_spectrum(*data, in_axes=axes, **settings) for data, axes in calls]
    monkeypatch.setattr("cyclax.lyapunov.spectrum.side_by_side", lambda problem: 2)
    for (data, axes), expected in zip(calls, whole, strict=True):
        got = cx.lyapunov_spectrum(*data, in_axes=axes, **settings)
        np.testing.assert_allclose(got.means, expected.means, rtol=0, atol=1e-12)
        np.testing.assert_allclose(got.bins, expected.bins, rtol=0, atol=1e-10)


def test_large_frames_go_on_in_lots():
    """What is carried along must stay in the cache of a CPU; an orbit that diverges is found in its lot."""
    model = cx.PLRNN(A=np.full(60, 0.5), W=np.diag(np.r_[1.0, np.zeros(59)]), h=np.full(60, -1.0))
    z0 = np.full((4 * os.cpu_count() + 41, 60), -2.0)
    z0[37, 0] = 1e300
    got = cx.lyapunov_spectrum(model, z0, steps=100, warmup=0, in_axes=(None, 0, None))
    assert np.flatnonzero(got.diverged).tolist() == [37]
    kept = np.delete(got.exponents, 37, axis=0)
    np.testing.assert_allclose(kept, np.log(0.5), rtol=0, atol=1e-12)


def test_a_batch_of_lstms():
    cells = [eqx.nn.LSTMCell(2, 3, key=jax.random.key(i)) for i in range(2)]
    zero = (np.zeros(3), np.zeros(3))
    got = cx.lyapunov_spectrum(cells, zero, inputs(2), steps=STEPS, warmup=WARMUP)
    alone = cx.lyapunov_spectrum(cells[1], zero, inputs(2), steps=STEPS, warmup=WARMUP)
    np.testing.assert_allclose(got[1].exponents, alone.exponents, rtol=0, atol=1e-12)


def test_repeated_inputs():
    cell = cx.TanhCell.random(3, 2, key=KEY)
    short = inputs(2, 7)
    whole = np.resize(short, (STEPS + WARMUP, 2))
    one = cx.lyapunov_spectrum(cell, np.zeros(3), short, steps=STEPS, warmup=WARMUP, repeat_inputs=True)
    other = cx.lyapunov_spectrum(cell, np.zeros(3), whole, steps=STEPS, warmup=WARMUP)
    np.testing.assert_array_equal(one.means, other.means)


# -- gradients ---------------------------------------------------------------------------------------------------------


def difference(function, leaf: np.ndarray, at: tuple, h: float = 1e-6):
    step = np.zeros_like(leaf)
    step[at] = h
    return (np.asarray(function(leaf + step)) - np.asarray(function(leaf - step))) / (2 * h)


@pytest.mark.parametrize("every", [1, 4])
def test_gradient_against_finite_differences(every):
    model = cx.PLRNN(A=[0.6, 0.8, 0.7], W=0.4 * np.random.default_rng(0).normal(size=(3, 3)), h=[0.3, -0.2, 0.5])
    s = inputs(3)

    @jax.jit
    def exponents(W):
        changed = eqx.tree_at(lambda m: m.W, model, W)
        return cx.lyapunov_exponents(
            changed, np.zeros(3), s, steps=STEPS, warmup=WARMUP, orthonormalize_every=every, num_exponents=2
        )

    with jax.enable_x64(True):
        backward = np.asarray(jax.jacrev(exponents)(jnp.asarray(model.W)))
        forward = np.asarray(jax.jacfwd(exponents)(jnp.asarray(model.W)))
        np.testing.assert_allclose(backward, forward, rtol=1e-9, atol=1e-12)
        for at in [(0, 0), (1, 2), (2, 1)]:
            slope = difference(exponents, model.W, at)
            np.testing.assert_allclose(backward[:, at[0], at[1]], slope, rtol=1e-5, atol=1e-7)
        values = np.asarray(exponents(model.W))
    whole = cx.lyapunov_spectrum(
        model, np.zeros(3), s, steps=STEPS, warmup=WARMUP, orthonormalize_every=every, num_exponents=2
    )
    np.testing.assert_allclose(values, whole.means, rtol=0, atol=1e-12)


def test_gradient_at_a_fixed_point_is_that_of_the_eigenvalues():
    """d ln |eigenvalue| / dA in closed form: left times right eigenvector."""
    A = np.array([[0.9, 0.2], [0.1, 0.4]])

    def exponents(A):
        return cx.lyapunov_exponents(lambda z: A @ z, np.zeros(2), steps=50, warmup=300)

    with jax.enable_x64(True):
        got = np.asarray(jax.jacrev(exponents)(jnp.asarray(A)))
    values, right = np.linalg.eig(A)
    left = np.linalg.inv(right)
    for i, k in enumerate(np.argsort(-np.abs(values))):
        np.testing.assert_allclose(got[i], np.outer(left[k], right[:, k]) / values[k], rtol=0, atol=1e-9)


def test_gradient_of_a_large_frame_and_through_an_lstm():
    cell = eqx.nn.LSTMCell(2, 6, key=KEY)  # 12 states: LAPACK's QR
    s = inputs(2, 30)

    @jax.jit
    def total(W):
        changed = eqx.tree_at(lambda c: c.weight_hh, cell, W)
        zero = (jnp.zeros(6), jnp.zeros(6))
        return jnp.sum(cx.lyapunov_exponents(changed, zero, s, steps=30)[:3])

    with jax.enable_x64(True):
        wide = np.asarray(cell.weight_hh, np.float64)
        got = np.asarray(jax.grad(total)(jnp.asarray(wide)))
        for at in [(0, 0), (13, 4), (20, 2)]:
            np.testing.assert_allclose(got[at], difference(total, wide, at), rtol=1e-5, atol=1e-7)


def test_the_pure_function_can_be_batched():
    with jax.enable_x64(True):
        z0 = jnp.asarray(np.random.default_rng(0).uniform(-0.1, 0.1, (4, 2)))
        run = lambda z: cx.lyapunov_exponents(henon, z, steps=100, warmup=10, dt=0.5)  # noqa: E731
        np.testing.assert_allclose(jax.vmap(run)(z0), [run(z) for z in z0], rtol=0, atol=1e-10)


# -- compilations ------------------------------------------------------------------------------------------------------


def test_equal_shapes_compile_once():
    traced = []

    class Counting(eqx.Module):
        W: jax.Array

        def __call__(self, z):
            traced.append(1)
            return jnp.tanh(self.W @ z)

    def run(seed: int, steps: int, warmup: int) -> None:
        W = np.random.default_rng(seed).normal(size=(3, 3))
        cx.lyapunov_spectrum(Counting(W), np.ones(3), steps=steps, warmup=warmup)

    run(0, 100, 10)
    first = len(traced)
    for seed, steps, warmup in [(1, 100, 10), (2, 5000, 333), (3, 7, 0)]:
        before = len(traced)
        run(seed, steps, warmup)
        # The check of the arguments calls the model once; compiling would call it again.
        assert len(traced) - before == 1
    assert first >= 2


def test_nothing_global_changes():
    before = jax.config.jax_enable_x64
    spectrum = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=10, warmup=0)
    assert jax.config.jax_enable_x64 == before
    assert spectrum.exponents.dtype == np.float64
