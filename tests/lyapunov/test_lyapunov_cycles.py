"""On cycles and in linear networks the exponents are ln |multipliers| / k: to 1e-10."""

from pathlib import Path

import numpy as np
import pytest
from planting import planted_plrnn

import cyclax as cx

NETWORKS = Path(__file__).resolve().parents[2] / "examples" / "networks"


def moduli(model: cx.PLRNN, points: np.ndarray) -> np.ndarray:
    """Give |multipliers| of a cycle from its explicit Jacobians, largest first."""
    P = np.eye(model.num_states)
    for z in points:
        P = (np.asarray(model.A) + np.asarray(model.W) * (z > 0)) @ P
    return np.sort(np.abs(np.linalg.eigvals(P)))[::-1]


@pytest.mark.parametrize(("num_states", "order", "seed"), [(4, 2, 30), (4, 2, 57), (6, 2, 49)])
def test_real_multipliers_of_distinct_modulus(num_states, order, seed):
    model, points = planted_plrnn(num_states, order, seed)
    truth = np.log(moduli(model, points)) / order
    spectrum = cx.lyapunov_spectrum(model, points[0], steps=1000 * order, warmup=400 * order)
    np.testing.assert_allclose(spectrum.exponents, truth, rtol=0, atol=1e-10)
    assert spectrum.converged
    assert np.all(spectrum.standard_errors < 1e-10)


@pytest.mark.parametrize(("num_states", "order", "seed"), [(4, 2, 4), (4, 2, 41), (6, 4, 43)])
def test_complex_pairs_of_a_planted_cycle(num_states, order, seed):
    model, points = planted_plrnn(num_states, order, seed)
    truth = np.log(moduli(model, points)) / order
    spectrum = cx.lyapunov_spectrum(model, points[0], steps=10_000 * order, warmup=1000 * order, birkhoff=True)
    np.testing.assert_allclose(spectrum.weighted_exponents, truth, rtol=0, atol=1e-10)
    # Plain means: the sum of a pair, and each to about 1 / steps.
    np.testing.assert_allclose(spectrum.sum, np.sum(truth), rtol=0, atol=1e-10)
    np.testing.assert_allclose(spectrum.exponents, truth, rtol=0, atol=1e-3)


def test_the_complex_pair_of_a_published_network():
    model = cx.load(NETWORKS / "plrnn_2d_order16.json")
    cycle = next(cycle for cycle in cx.find_cycles(model, [16], key=0) if cycle.stability == "stable")
    truth = np.log(np.abs(cycle.multipliers)) / 16
    spectrum = cx.lyapunov_spectrum(model, cycle.points[0], steps=16 * 5000, warmup=1600, birkhoff=True)
    np.testing.assert_allclose(spectrum.weighted_exponents, truth, rtol=0, atol=1e-10)
    assert abs(spectrum.sum - np.sum(truth)) < 1e-10


def linear(eigenvalues, seed: int) -> np.ndarray:
    """Give a matrix that is not normal, with these eigenvalues; [re, im] stands for a pair."""
    blocks = [np.array([[v]]) if np.isscalar(v) else np.array([[v[0], v[1]], [-v[1], v[0]]]) for v in eigenvalues]
    size = sum(map(len, blocks))
    J, at = np.zeros((size, size)), 0
    for block in blocks:
        J[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    T = np.random.default_rng(seed).normal(size=(size, size))
    return T @ J @ np.linalg.inv(T)


@pytest.mark.parametrize("eigenvalues", [[0.9, -0.6, 0.3, 0.05], [1.2, 0.8, -0.5]])
def test_linear_networks_with_real_eigenvalues(eigenvalues):
    size = len(eigenvalues)
    model = cx.PLRNN(A=linear(eigenvalues, 0), W=np.zeros((size, size)), h=np.zeros(size))
    spectrum = cx.lyapunov_spectrum(model, np.zeros(size), steps=500, warmup=500)
    np.testing.assert_allclose(spectrum.exponents, np.log(np.abs(eigenvalues)), rtol=0, atol=1e-10)


def test_linear_networks_with_complex_eigenvalues():
    pairs = [[0.6, 0.7], 0.5, [0.1, 0.3]]
    truth = np.log(np.abs([0.6 + 0.7j, 0.6 + 0.7j, 0.5, 0.1 + 0.3j, 0.1 + 0.3j]))
    model = cx.PLRNN(A=linear(pairs, 1), W=np.zeros((5, 5)), h=np.ones(5))
    spectrum = cx.lyapunov_spectrum(model, np.ones(5), steps=20_000, warmup=1000, birkhoff=True)
    np.testing.assert_allclose(spectrum.weighted_exponents, truth, rtol=0, atol=1e-10)
    sums = np.add.reduceat(spectrum.exponents, [0, 2, 3])
    np.testing.assert_allclose(sums, [2 * truth[0], truth[2], 2 * truth[3]], rtol=0, atol=1e-10)


def test_the_first_exponents_alone_are_those_of_the_whole_spectrum():
    model, points = planted_plrnn(6, 2, 49)
    whole = cx.lyapunov_spectrum(model, points[0], steps=1000, warmup=800)
    first = cx.lyapunov_spectrum(model, points[0], steps=1000, warmup=800, num_exponents=2)
    np.testing.assert_allclose(first.exponents, whole.exponents[:2], rtol=0, atol=1e-10)
    assert np.isnan(first.dimension) or first.dimension == 0


def test_orthonormalizing_seldom_changes_nothing():
    model, points = planted_plrnn(4, 2, 30)
    truth = np.log(moduli(model, points)) / 2
    for every in (2, 5):
        spectrum = cx.lyapunov_spectrum(model, points[0], steps=2000, warmup=1000, orthonormalize_every=every)
        np.testing.assert_allclose(spectrum.exponents, truth, rtol=0, atol=1e-10)


def test_weights_take_groups_of_steps():
    model = cx.PLRNN(A=linear([[0.6, 0.7]], 1), W=np.zeros((2, 2)), h=np.ones(2))
    spectrum = cx.lyapunov_spectrum(
        model, np.ones(2), steps=21_000, warmup=1200, orthonormalize_every=3, birkhoff=True, dt=0.5
    )
    np.testing.assert_allclose(spectrum.weighted_exponents, 2 * np.log(np.hypot(0.6, 0.7)), rtol=0, atol=1e-10)


# -- covariant vectors -------------------------------------------------------------------------------------------------


def test_covariant_vectors_at_a_fixed_point_are_eigenvectors():
    A = linear([0.9, -0.6, 0.3], 0)
    model = cx.PLRNN(A=A, W=np.zeros((3, 3)), h=np.zeros(3))
    found = cx.covariant_vectors(model, np.zeros(3), steps=np.int64(10), warmup=np.int32(200))
    values, vectors = np.linalg.eig(A)
    vectors = vectors[:, np.argsort(-np.abs(values))].real
    alignment = np.abs(np.einsum("tdi,di->ti", found.vectors, vectors))
    np.testing.assert_allclose(alignment, 1, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.growth, np.log(np.tile([0.9, 0.6, 0.3], (10, 1))), rtol=0, atol=1e-10)


def test_covariant_vectors_of_a_cycle_are_those_of_its_jacobian_at_each_point():
    model, points = planted_plrnn(4, 2, 30)
    found = cx.covariant_vectors(model, points[0], steps=20, warmup=400, cooldown=300)
    for t in range(21):
        P = np.eye(4)
        for z in (found.states[t], found.states[(t + 1) % 2 or 2] if t else found.states[1]):
            P = (model.A + model.W * (z > 0)) @ P
        values, vectors = np.linalg.eig(P)
        vectors = vectors[:, np.argsort(-np.abs(values))].real
        np.testing.assert_allclose(np.abs(np.sum(vectors * found.vectors[t], axis=0)), 1, rtol=0, atol=1e-9)


@pytest.mark.parametrize("num_vectors", [2, 1])
def test_covariant_vectors_of_the_lozi_map_are_carried_into_each_other(num_vectors):
    found = cx.covariant_vectors(cx.LoziMap(1.7, 0.5), [0.1, 0.1], steps=5000, warmup=500, num_vectors=num_vectors)
    assert found.vectors.shape == (5001, 2, num_vectors)
    x = found.states[:-1, 0]
    jacobians = np.stack([np.stack([-1.7 * np.sign(x), np.ones(5000)], 1), np.tile([0.5, 0.0], (5000, 1))], 1)
    images = jacobians @ found.vectors[:-1]
    length = np.linalg.norm(images, axis=1)
    np.testing.assert_allclose(np.log(length), found.growth, rtol=0, atol=1e-9)
    turned = np.abs(np.sum(images / length[:, None] * found.vectors[1:], axis=1))
    np.testing.assert_allclose(turned, 1, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.exponents, [0.4702, -1.1633][:num_vectors], rtol=0, atol=0.03)
    if num_vectors == 2:
        # The Lozi map is hyperbolic here: its directions keep apart.
        assert 0.1 < np.min(found.angles(1)) <= np.max(found.angles(1)) <= np.pi / 2


def test_what_numpy_raises_is_the_users_own_affair():
    """A 2-cycle with multiplier -0.7; beside it an orbit that diverges, and one that loses its tangents."""
    with np.errstate(all="raise"):
        got = cx.lyapunov_spectrum(cx.SkewTentMap(0.5, -1.4, 1.0), [0.3], steps=500, warmup=100, birkhoff=True)
        assert abs(got.weighted_exponents[0] - np.log(0.7) / 2) < 1e-12
        flat = cx.lyapunov_spectrum(cx.SkewTentMap(0.5, 0.0, 1.0), [0.3], steps=500, warmup=100, birkhoff=True)
        assert flat.weighted_exponents[0] == flat.exponents[0] == -np.inf
        some = cx.lyapunov_spectrum(
            cx.SkewTentMap(0.5, 3.0, -1.0), [[-5.0], [1.0]], steps=900, warmup=9, in_axes=(None, 0, None), birkhoff=True
        )
        assert some.diverged[1] > 0
        for one in (got, flat, some):
            assert str(one)
            assert one._repr_html_()
            assert one.to_dict()["dimension"] is not None
            assert np.all(one.dimension_error >= 0) or np.isnan(one.dimension_error).any()
            assert np.shape(one.converged) == np.shape(one.diverged)
            assert one.intervals.shape == (*one.means.shape, 2)
