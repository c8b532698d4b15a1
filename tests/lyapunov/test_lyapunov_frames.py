"""Orthonormalization: against Householder's reflections, on frames as ill-conditioned as float64 can hold."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx

KINDS = [cx.GramSchmidt(), cx.CholeskyQR(), cx.Householder()]
ids = [type(kind).__name__ for kind in KINDS]


def frames(num_states: int, number: int, condition: float, batch: int = 5) -> np.ndarray:
    """Give frames (D, n, B) with singular values from 1 down to 1 / condition."""
    rng = np.random.default_rng(num_states + number)
    sizes = np.logspace(0, -np.log10(condition), number)
    both = [np.linalg.qr(rng.normal(size=(batch, d, number)))[0] for d in (num_states, number)]
    return np.moveaxis((both[0] * sizes) @ np.swapaxes(both[1], 1, 2), 0, -1)


@eqx.filter_jit
def compiled(kind, V):
    return kind(V)


def run(kind, V):
    with jax.enable_x64(True):
        Q, norms = compiled(kind, V)
        return np.moveaxis(np.asarray(Q), -1, 0), np.asarray(norms).T


def exact_norms(V: np.ndarray) -> np.ndarray:
    """Give the diagonal of R by Gram-Schmidt in 60 digits."""
    import mpmath

    result = []
    with mpmath.workdps(60):
        for k in range(V.shape[-1]):
            done = []
            for column in V[:, :, k].T:
                v = mpmath.matrix([mpmath.mpf(float(x)) for x in column])
                for q in done:
                    v = v - q * (q.T * v)[0]
                norm = mpmath.norm(v)
                done.append(v / norm)
                result.append(float(norm))
    return np.reshape(result, (V.shape[-1], -1))


@pytest.mark.parametrize("kind", KINDS, ids=ids)
@pytest.mark.parametrize(("num_states", "number"), [(3, 3), (6, 3), (20, 12)])
@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
def test_as_good_as_householder(kind, num_states, number, condition):
    V = frames(num_states, number, condition, batch=3)
    Q, norms = run(kind, V)
    assert np.max(np.abs(np.swapaxes(Q, 1, 2) @ Q - np.eye(number))) < 1e-14 * number
    # Q R gives the frame back, with R upper triangular.
    batch_first = np.moveaxis(V, -1, 0)
    R = np.swapaxes(Q, 1, 2) @ batch_first
    assert np.max(np.abs(np.tril(R, -1))) < 1e-14 * number
    assert np.max(np.abs(Q @ R - batch_first)) < 1e-14 * number
    # The smallest entry of R is known to eps times the condition, by any backward-stable method.
    np.testing.assert_allclose(norms, exact_norms(V), rtol=2e-15 * number * condition)


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_lost_directions_have_norm_0_and_are_replaced(kind):
    rng = np.random.default_rng(0)
    for num_states, number in ((3, 3), (12, 10)):
        V = rng.normal(size=(num_states, number, 3))
        V[:, 2, 1] = V[:, 0, 1] - 2 * V[:, 1, 1]  # depends on the others
        V[:, 1, 2] = 0
        Q, norms = run(kind, V)
        assert np.max(np.abs(np.swapaxes(Q, 1, 2) @ Q - np.eye(number))) < 1e-13
        assert norms[1, 2] == 0
        assert norms[2, 1] == 0
        assert np.sum(norms == 0) == 2


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_vectors_of_any_length(kind):
    V = frames(4, 3, 10.0) * np.array([1e-200, 1.0, 1e200])[None, :, None]
    Q, norms = run(kind, V)
    assert np.max(np.abs(np.swapaxes(Q, 1, 2) @ Q - np.eye(3))) < 1e-13
    reference = np.abs(np.linalg.qr(np.moveaxis(frames(4, 3, 10.0), -1, 0))[1].diagonal(axis1=1, axis2=2))
    np.testing.assert_allclose(norms, reference * [1e-200, 1.0, 1e200], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_derivatives(kind):
    V = frames(4, 3, 5.0, batch=2)
    with jax.enable_x64(True):
        function = jax.jit(lambda V: jnp.sum(jnp.log(kind(V)[1]) * jnp.arange(1.0, 4)[:, None]))
        got = np.asarray(jax.jit(jax.grad(function))(jnp.asarray(V)))
        for at in [(0, 0, 0), (1, 2, 1), (3, 1, 0)]:
            step = np.zeros_like(V)
            step[at] = 1e-6
            slope = (function(jnp.asarray(V + step)) - function(jnp.asarray(V - step))) / 2e-6
            np.testing.assert_allclose(got[at], slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_all_give_the_same_spectrum(kind):
    model = cx.PLRNN.random(12, key=jax.random.key(3), gain=1.6)
    settings = {"steps": 200, "warmup": 200, "orthonormalization": kind}
    got = cx.lyapunov_spectrum(model, np.ones(12) / 2, **settings)
    reference = cx.lyapunov_spectrum(model, np.ones(12) / 2, **{**settings, "orthonormalization": cx.Householder()})
    np.testing.assert_allclose(got.exponents, reference.exponents, rtol=0, atol=1e-10)
    assert got.report["orthonormalization"] == type(kind).__name__
