"""Forced trajectories, losses and gradients against plain NumPy loops, jax.grad and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import over_kinds, slow
from plain import plain_map

import cyclax as cx
from cyclax.core.products import with_sums
from cyclax.training.forcing import FreeRunning, GeneralizedForcing, SparseForcing
from cyclax.training.jacobians import GeometricMeanNorm, ProductNorm, WeightBound, weight_bound
from cyclax.training.loop import Data, Setting, cast, loss_of, windows
from cyclax.training.model import Affine, LatentModel, LinearStart, pseudo_inverse
from cyclax.training.regularizers import L2, ConditionNumber, ManifoldAttractor
from cyclax.training.rollout import forced_state, rollout

T, B = 9, 5


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def projections(M: int):
    square = np.random.default_rng(1).normal(size=(M, M))
    return {"all": np.ones(M), "one unit": (np.arange(M) < 1) * 1.0, "matrix": square / np.linalg.norm(square, 2)}


def problem(model, projection, seed=0):
    rng, M = np.random.default_rng(seed), model.num_states
    arrays = rng.normal(size=(M, B)), rng.normal(size=(T, M, B)), rng.uniform(0.3, 1, T)
    return (cast(model, jnp.float64), jnp.asarray(projection), *map(jnp.asarray, arrays))


def test_rollout_is_the_plain_loop(model):
    K = projections(model.num_states)["matrix" if model.num_gates % 2 else "all"]
    arguments = problem(model, K)
    states, forced = map(np.asarray, jax.jit(rollout, static_argnums=0)(32, *arguments))
    F, K = plain_map(model), np.diag(K) if K.ndim == 1 else K
    _, _, z0, estimates, strengths = map(np.asarray, (0, 0, *arguments[2:]))
    for b in range(B):
        z = z0[:, b]
        for t in range(T):
            pulled = z + strengths[t] * (estimates[t, :, b] - K @ z)
            z = F(pulled)
            np.testing.assert_allclose(forced[t, :, b], pulled, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(states[t, :, b], z, rtol=1e-9, atol=1e-9)


@over_kinds()
def test_gradients_are_those_of_the_plain_scan(model):
    terms = 32 * (model.num_gates % 2)  # sums written out, or products
    weights = np.random.default_rng(5).normal(size=(T, model.num_states, B))
    map_, K, z0, estimates, strengths = problem(model, projections(model.num_states)["matrix" if terms else "one unit"])

    def plain(map_, K, z0, estimates):
        def step(z, inputs):
            estimate, strength = inputs
            z = jax.vmap(lambda z, e: map_(forced_state(K, z, e, strength)), -1, -1)(z, estimate)
            return z, z

        return jnp.sum(weights * jax.lax.scan(step, z0, (estimates, strengths))[1] ** 2)

    def ours(*arguments):
        return jnp.sum(weights * rollout(terms, *arguments, strengths)[0] ** 2)

    both = jax.jit(lambda *arguments: [jax.grad(f, (0, 1, 2, 3))(*arguments) for f in (plain, ours)])
    wanted, found = map(jax.tree.leaves, both(map_, K, z0, estimates))
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12 * float(np.max(np.abs(a), initial=0)))


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_steps_written_out_as_on_accelerators_are_the_loop(monkeypatch, parts):
    """Four steps at a time, which do not part the nine there are; and time in parts that go back side by side."""
    model = cx.AlmostLinearRNN.random(4, 2, key=jax.random.key(0))
    arguments = problem(model, projections(4)["matrix"])

    def loss_and_gradient():
        loss = lambda *some: jnp.sum(rollout(32, *some, arguments[-1])[0] ** 2)  # noqa: E731
        function = lambda: jax.value_and_grad(loss, (0, 1, 2, 3))(*arguments[:-1])  # noqa: E731
        return jax.tree.leaves(jax.jit(function)()), str(jax.make_jaxpr(function)())

    wanted, looped = loss_and_gradient()
    monkeypatch.setattr("cyclax.training.rollout.steps_together", lambda: 4)
    monkeypatch.setattr("cyclax.training.rollout.parts_of_time", lambda steps: parts)
    found, written_out = loss_and_gradient()
    assert looped.count("unroll=4") == 0 < written_out.count("unroll=4")
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12 * float(np.max(np.abs(a))))


def latent(observation: str) -> LatentModel:
    map_ = cx.ShallowPLRNN.random(4, 6, key=jax.random.key(2), gain=0.5)
    seen = 3 if observation == "identity" else Affine.random(int(observation), 4, key=jax.random.key(3))
    model = LatentModel.observing(map_, seen)
    rng = np.random.default_rng(4)
    if model.start is not None:
        model = LatentModel(map_, model.observation, LinearStart(*(rng.normal(size=x.shape) for x in (model.start.L, model.start.l))))  # noqa: E501  # fmt: skip
    return cast(model, jnp.float64)


@pytest.mark.parametrize(
    ("observation", "forcing"),
    [
        ("identity", FreeRunning()),
        ("2", SparseForcing(3)),
        slow("4", GeneralizedForcing(0.3)),
        slow("6", SparseForcing(3)),
        ("identity", GeneralizedForcing(0.3)),
    ],
)
def test_loss_is_the_plain_one_on_unforced_states(observation, forcing):
    model = latent(observation)
    N = model.num_observed
    x = np.random.default_rng(0).normal(size=(T + 1, N, B))
    setting = Setting(T, B, 32, 1)
    strengths = forcing.strengths(jnp.asarray(forcing.strength.first()), T)
    wanted_alpha = {"FreeRunning": np.zeros(T), "SparseForcing": (np.arange(T) % 3 == 0) * 1.0}
    np.testing.assert_array_equal(strengths, wanted_alpha.get(type(forcing).__name__, np.full(T, 0.3)))
    F = plain_map(jax.tree.map(np.asarray, model.map))
    read = np.eye(4)[:N] if observation == "identity" else np.asarray(model.observation.B)
    offset = np.zeros(N) if observation == "identity" else np.asarray(model.observation.b)
    inverse = np.linalg.pinv(read)
    total = 0.0
    for b in range(B):
        z = inverse @ (x[0, :, b] - offset)
        if model.start is not None:
            learned = np.asarray(model.start.L) @ x[0, :, b] + np.asarray(model.start.l)
            z = z + learned - inverse @ read @ learned
        for t in range(T):
            z = F(z + float(strengths[t]) * inverse @ (x[t, :, b] - offset - read @ z))
            total += np.sum((read @ z + offset - x[t + 1, :, b]) ** 2)
    loss, _ = loss_of(setting, model, jnp.asarray(x), strengths)
    np.testing.assert_allclose(loss, total / (T * N * B), rtol=1e-10)

    value = jax.jit(lambda model: loss_of(setting, model, jnp.asarray(x), strengths)[0])
    gradients = jax.tree.leaves(jax.grad(value)(model))
    leaves, structure = jax.tree.flatten(model)
    rng = np.random.default_rng(6)
    directions = [rng.normal(size=leaf.shape) for leaf in leaves]
    moved = lambda h: value(structure.unflatten([a + h * d for a, d in zip(leaves, directions, strict=True)]))  # noqa: E731
    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(
        sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True)), slope, rtol=1e-5, atol=1e-8
    )


def test_windows_are_consecutive_rows():
    series = np.arange(60.0).reshape(30, 2)
    data = Data(jnp.asarray(series), jnp.asarray([0, 3, 20], jnp.int32))
    x = np.asarray(windows(Setting(T, 50, 0, 1), data, jax.random.key(0)))
    assert x.shape == (T + 1, 2, 50)
    begins = {int(value) for value in x[0, 0] / 2}
    assert begins == {0, 3, 20}
    assert np.all(np.diff(x, axis=0) == 2)


def test_sums_are_products():
    def function(a, b, c):
        return {"x": jax.nn.relu(a @ b) + jnp.einsum("ij,kj->ik", a, c), "y": jnp.tensordot(a, b, 1).sum()}

    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.normal(size=s)) for s in ((3, 5), (5, 2), (2, 5))]
    wanted, found = function(*arrays), with_sums(function, 8)(*arrays)
    assert "dot_general" not in str(jax.make_jaxpr(with_sums(function, 8))(*arrays))
    assert "dot_general" in str(jax.make_jaxpr(with_sums(function, 4))(*arrays))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-13)


def jacobian(model, z: np.ndarray) -> np.ndarray:
    """Give the Jacobian by central differences, which are exact within a region."""
    F, steps = plain_map(model), 1e-6 * np.eye(len(z))
    return np.stack([(F(z + step) - F(z - step)) / 2e-6 for step in steps], axis=1)


@over_kinds()
def test_norms_are_singular_values(model):
    map_ = cast(model, jnp.float64)
    forced = np.random.default_rng(3).normal(size=(T, model.num_states, B))
    J = np.array([[jacobian(model, forced[t, :, b]) for b in range(B)] for t in range(T)])
    norms = np.linalg.norm(J, 2, axis=(2, 3))
    with np.errstate(divide="ignore"):
        wanted = np.exp(np.log(norms).mean(axis=0)).max()
    found = float(jax.jit(GeometricMeanNorm(stride=1, iterations=200))(map_, jnp.asarray(forced)))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)
    assert 0.9 * wanted <= float(jax.jit(GeometricMeanNorm(stride=1))(map_, jnp.asarray(forced))) <= wanted * (1 + 1e-9)
    product = J[0]
    for t in range(1, T):
        product = J[t] @ product
    rate = np.max(np.linalg.norm(product, 2, axis=(1, 2)) ** (1 / T))
    found = float(jax.jit(ProductNorm(iterations=100))(map_, jnp.asarray(forced)))
    np.testing.assert_allclose(found, rate, rtol=1e-3)
    if type(model).__name__ not in ("TentMap", "SkewTentMap", "LoziMap", "BorderCollisionNormalForm"):
        assert norms.max() <= float(weight_bound(map_)) * (1 + 1e-8)
    else:
        with pytest.raises(TypeError, match="no bound is known for"):
            WeightBound()(map_, jnp.asarray(forced))


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (4, 4), (30, 64)])
def test_pseudo_inverse_and_its_derivative(shape):
    rng = np.random.default_rng(1)
    small = min(shape)
    left, right = (np.linalg.qr(rng.normal(size=(n, small)))[0] for n in shape)
    B, dB = left * np.geomspace(1, 1e-3, small) @ right.T, rng.normal(size=shape)
    value, tangent = jax.jvp(pseudo_inverse, (jnp.asarray(B),), (jnp.asarray(dB),))
    np.testing.assert_allclose(value, np.linalg.pinv(B), rtol=0, atol=1e-9)
    slope = (np.linalg.pinv(B + 1e-8 * dB) - np.linalg.pinv(B - 1e-8 * dB)) / 2e-8
    np.testing.assert_allclose(tangent, slope, rtol=0, atol=1e-6 * np.max(np.abs(slope)))


def test_regularizers():
    rng = np.random.default_rng(0)
    map_ = cx.PLRNN(A=rng.normal(size=3), W=rng.normal(size=(3, 3)), h=rng.normal(size=3))
    model = LatentModel.observing(map_, 1)
    off = map_.W - np.diag(np.diag(map_.W))
    wanted = np.sum((map_.A[1:] - 1) ** 2) + np.sum(off[1:] ** 2) + np.sum(map_.h[1:] ** 2)
    np.testing.assert_allclose(ManifoldAttractor(0.5, 2)(model), wanted / 2, rtol=1e-12)
    squares = sum(np.sum(leaf**2) for leaf in (map_.A, map_.W, map_.h))
    np.testing.assert_allclose(L2(0.1)(model), squares / 10, rtol=1e-12)
    seen = LatentModel.observing(map_, Affine(rng.normal(size=(2, 3)), np.zeros(2)))
    np.testing.assert_allclose(ConditionNumber(1.0)(seen), np.log(np.linalg.cond(seen.observation.B)), rtol=1e-10)
    with pytest.raises(TypeError, match="no affine read-out"):
        ConditionNumber(1.0).check(model)
    with pytest.raises(ValueError, match=r"units must lie in 1\.\.3"):
        ManifoldAttractor(1.0, 4).check(model)
    with pytest.raises(TypeError, match="has no W, h"):
        ManifoldAttractor(1.0, 1).check(LatentModel.observing(cx.ShallowPLRNN.random(2, 3, key=jax.random.key(0)), 2))
