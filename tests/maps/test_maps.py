"""One test binds every model: two methods, one map, continuous across every border."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import plain_map

import cyclax as cx
from cyclax.maps.base import real_array, relu_where
from cyclax.maps.initial import gaussian


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def states(model, number=20):
    return 2 * np.random.default_rng(0).normal(size=(number, model.num_states))


def test_equals_the_formula_written_out(model):
    step = plain_map(model)
    for z in states(model):
        np.testing.assert_allclose(model(z), step(z), rtol=1e-13, atol=1e-13)


def test_step_with_its_own_gates_is_the_map(model):
    for z in states(model):
        gates = model.preactivations(z) > 0
        assert gates.shape == (model.num_gates,)
        np.testing.assert_array_equal(model.step(z, gates), model(z))


def test_jacobian_away_from_borders(model):
    for z in states(model, 5):
        gates = model.preactivations(z) > 0
        held = jax.jacfwd(lambda z, gates=gates: model.step(z, gates))(z)
        numeric = np.stack([(model(z + d) - model(z - d)) / 2e-7 for d in 1e-7 * np.eye(model.num_states)], axis=1)
        np.testing.assert_allclose(held, jax.jacfwd(model)(z), atol=1e-13)
        np.testing.assert_allclose(held, numeric, atol=1e-5)


def test_affine_while_the_gates_are_held(model):
    first, second = states(model, 2)
    gates = model.preactivations(first) > 0
    middle = model.step(0.3 * first + 0.7 * second, gates)
    np.testing.assert_allclose(middle, 0.3 * model.step(first, gates) + 0.7 * model.step(second, gates), atol=1e-12)


def test_continuous_across_every_border(model):
    gradients = jax.jacfwd(model.preactivations)(np.zeros(model.num_states))
    for z in states(model, 3):
        for gate, gradient in enumerate(gradients):
            # The nearest state on the border of this gate.
            on = z - gradient * model.preactivations(z)[gate] / (gradient @ gradient)
            gates = model.preactivations(on) > 0
            opened, closed = (model.step(on, gates.at[gate].set(side)) for side in (True, False))
            np.testing.assert_allclose(opened, closed, atol=1e-12)


def test_a_discontinuous_map_would_be_seen():
    class Jump(cx.AbstractPiecewiseLinearMap):
        num_states = 1

        def preactivations(self, z):
            return z - 1

        def step(self, z, gates):
            return jnp.where(gates, z, 0)

    with pytest.raises(AssertionError):
        test_continuous_across_every_border(Jump())


def test_with_input_adds_to_the_bias(model):
    if model.input_leaf is None:
        with pytest.raises(TypeError, match="has no bias"):
            model.with_input(np.ones(model.num_states))
        return
    if model.input_matrix is not None:
        return  # tests/maps/test_leaky.py
    s = np.arange(1.0, model.num_states + 1)
    inside = model.input_leaf == "b"  # relu(W z + b + s): the input passes through the ReLU
    for z in states(model, 3):
        if inside:
            met = model.W @ z + model.b + s
            expected = np.where(met > 0, met, getattr(model, "slope", 0.0) * met)
        else:
            expected = model(z) + s
        np.testing.assert_allclose(model.with_input(s)(z), expected, atol=1e-12)
    with pytest.raises(ValueError, match="s: expected shape"):
        model.with_input(np.ones(model.num_states + 1))


def test_leaves_stay_float64_with_x64_off(model):
    with jax.enable_x64(False):
        rebuilt = jax.tree.map(lambda leaf: leaf, model)
        assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(rebuilt))
        assert cx.PLRNN(A=[1 / 3], W=[[0.0]], h=[0.0]).A[0] == 1 / 3


DENDRITIC = {"A": [1, 2], "W": np.eye(2), "h": [0, 0], "alpha": [1, 1, 1], "thresholds": np.ones((2, 3))}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cx.PLRNN(A=[1, 2, 3], W=np.eye(2), h=[0, 0]), "A must be a diagonal of shape"),
        (lambda: cx.PLRNN(A=[1, 2], W=np.ones((2, 3)), h=[0, 0]), "W must have shape"),
        (lambda: cx.PLRNN(A=[1, 2], W=np.eye(2), h=np.zeros((2, 2))), "h must be a non-empty vector"),
        (lambda: cx.ShallowPLRNN(A=[1, 2], W1=np.ones((2, 3)), W2=np.ones((2, 3)), h1=[0, 0], h2=[0, 0, 0]), "W2 must"),
        (
            lambda: cx.AlmostLinearRNN(A=[1, 2], W=np.eye(2), h=[0, 0], num_gated=3),
            "num_gated: expected an int from 1 to 2",
        ),
        (lambda: cx.DendriticPLRNN(**DENDRITIC | {"thresholds": np.ones((3, 2))}), "thresholds must have shape"),
        (lambda: cx.DendriticPLRNN(**DENDRITIC | {"alpha": 1.0}), "alpha must be a non-empty vector"),
        (lambda: cx.ClippedDendriticPLRNN(**DENDRITIC | {"A": [1, 2, 3]}), "ClippedDendriticPLRNN: A must be a diag"),
        (lambda: cx.ClippedDendriticPLRNN(**DENDRITIC | {"W": np.eye(3)}), "W must have shape"),
        (lambda: cx.LowRankPLRNN(A=[1, 2], U=np.ones((2, 1)), V=np.ones((2, 1)), h=[0, 0]), "V must have shape"),
        (
            lambda: cx.LowRankPLRNN(A=[1, 2], U=np.ones(2), V=np.ones((1, 2)), h=[0, 0]),
            "U must be a matrix with 2 rows",
        ),
        (lambda: cx.ReLURNN(W=np.eye(3), b=[0, 0]), "W must have shape"),
        (lambda: cx.LeakyReLURNN(W=np.eye(2), b=0.0, slope=0.1), "b must be a non-empty vector"),
        (lambda: cx.LeakyReLURNN(W=np.eye(2), b=[0, 0], slope=[0.1, 0.2]), "slope must have shape"),
        (lambda: cx.TentMap([1, 2]), "slope must have shape"),
        (
            lambda: cx.BorderCollisionNormalForm(left=np.eye(2), right=np.ones((2, 2)), h=[0, 0]),
            "share their second column",
        ),
    ],
)
def test_wrong_shapes_name_the_argument(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([["a", "b"], ["c", "d"]], ValueError, "could not convert"),
        ([[1.0], [1.0, 2.0]], ValueError, "inhomogeneous"),
        ([[1.0, 2j], [0.0, 1.0]], TypeError, "these are complex"),
        (jnp.asarray(1j * np.eye(2)), TypeError, "these are complex"),
        (np.ma.masked_equal(np.eye(2), 1), ValueError, "masked entries"),
        ({"W": 1}, TypeError, "dict"),
    ],
    ids=["text", "ragged", "complex", "complex of JAX", "masked", "dict"],
)
def test_what_are_no_numbers_is_refused_by_name(value, kind, message):
    for build in (cx.PLRNN, cx.RateRNN):
        more = {"b": [1.0, 1.0], "alpha": 0.5} if build is cx.RateRNN else {"A": [0.5, 0.5], "h": [1.0, 1.0]}
        with pytest.raises(kind, match=f"^W: expected an array of real numbers; .*{message}"):
            build(W=value, **more)
    with pytest.raises(kind, match=f"^inputs: expected an array of real numbers; .*{message}"):
        cx.find_cycles(cx.ReLURNN(W=[[0.5, 0], [0, 0.5]], b=[1, 1]), 1, key=0, inputs=value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros(3), r"z: expected one state, of shape \(2,\), got \(3,\)"),
        (jnp.zeros((2, 2)), r"got \(2, 2\); jax.vmap\(model\) maps many"),
        (np.ma.masked_equal([0.0, 1.0], 1), r"z: .* it has masked entries \(first at \[1\]\)"),
    ],
)
def test_a_model_maps_one_state(state, message):
    model = cx.PLRNN(A=[0.5, 0.5], W=np.eye(2), h=[0, 1.0])
    with pytest.raises(ValueError, match=message):
        model(state)


def test_num_gated_must_be_an_int():
    with pytest.raises(TypeError, match="num_gated: expected an int from 1 to"):
        cx.AlmostLinearRNN(A=[1, 2], W=np.eye(2), h=[0, 0], num_gated=1.5)


def test_low_rank_is_its_full_twin():
    model = cx.LowRankPLRNN.random(7, 2, key=jax.random.key(0), gain=2)
    full = model.full()
    assert type(full) is cx.PLRNN
    assert np.linalg.matrix_rank(full.W) == 2
    for z in states(model, 5):
        np.testing.assert_allclose(model(z), full(z), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(jax.jacfwd(model)(z), jax.jacfwd(full)(z), rtol=1e-13, atol=1e-13)


def test_low_rank_never_forms_its_product():
    """No intermediate of a step has M x M entries, for one state or for lanes."""
    model = cx.LowRankPLRNN.random(50, 5, key=jax.random.key(0))
    lanes = jax.vmap(model, in_axes=-1, out_axes=-1)
    for run, z in ((model, np.zeros(50)), (lanes, np.zeros((50, 6)))):
        sizes = [out.aval.size for equation in jax.make_jaxpr(run)(z).eqns for out in equation.outvars]
        assert max(sizes) < 50 * 50


def test_clipped_dendritic_is_bounded_to_the_last_bit():
    """Beyond all thresholds the basis is constant: the Jacobian is A itself, not A plus rounding."""
    model = cx.ClippedDendriticPLRNN.random(3, 20, key=jax.random.key(0))
    far = np.full(3, 1e3)
    np.testing.assert_array_equal(jax.jacfwd(model)(far), np.diag(model.A))
    np.testing.assert_array_equal(jax.jacfwd(model)(-far), np.diag(model.A))


def test_simulate(model):
    z0 = states(model, 1)[0]
    with jax.enable_x64(False):
        orbit = cx.simulate(model, z0, 7)
    step, z = plain_map(model), z0
    assert orbit.shape == (8, model.num_states)
    assert orbit.dtype == np.float64
    for row in orbit:
        np.testing.assert_allclose(row, z, rtol=1e-9)
        z = step(z)


def test_simulate_refuses_what_it_cannot_run():
    with pytest.raises(ValueError, match="z0: expected shape"):
        cx.simulate(cx.TentMap(2.0), np.zeros(2), 3)
    with pytest.raises(ValueError, match="steps: expected an int, 0 or more"):
        cx.simulate(cx.TentMap(2.0), np.zeros(1), -1)


def test_a_model_names_its_bias_or_says_its_dimension():
    class Bare(cx.AbstractPiecewiseLinearMap):
        h: jax.Array = eqx.field(converter=real_array)

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return 0.5 * relu_where(gates, z) + self.h

    class Named(Bare):
        input_leaf = "h"

    assert cx.testing.check_map(Named([1.0, 2.0])) is None
    with pytest.raises(TypeError, match=r"Bare: write num_states .*input_leaf"):
        cx.testing.check_map(Bare([1.0, 2.0]))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (cx.PLRNN, (3,)),
        (cx.ShallowPLRNN, (2, 3)),
        (cx.DendriticPLRNN, (3, 2)),
        (cx.AlmostLinearRNN, (3, 1)),
        (cx.LowRankPLRNN, (3, 1)),
        (cx.ReLURNN, (3,)),
        (cx.LeakyReLURNN, (3,)),
        (cx.RateRNN, (3,)),
        (cx.LowRankRNN, (4, 2)),
        (cx.TanhCell, (3, 2)),
        (cx.Affine, (2, 3)),
    ],
)
def test_random_weights_take_a_seed_as_verbs_do(kind, sizes):
    seeded, keyed = kind.random(*sizes, key=7), kind.random(*sizes, key=jax.random.key(7))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), seeded, keyed))
    other = kind.random(*sizes, key=8)
    assert not jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), seeded, other))


@pytest.mark.parametrize("shape", [(0, 3), (1,), (2, 9), (7, 70), (64, 2)])
def test_weights_of_all_shapes_are_what_jax_draws(shape):
    """Networks of many shapes share programs that draw more; to the bit, their first entries are those of the shape."""
    with jax.enable_x64(True):
        expected = 0.3 * np.asarray(jax.random.normal(jax.random.key(4), shape, np.float64))
    with jax.threefry_partitionable(False):  # settings of others change nothing
        np.testing.assert_array_equal(gaussian(jax.random.key(4), shape, 0.3), expected)
