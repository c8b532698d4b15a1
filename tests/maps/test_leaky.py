"""Leaky integrators: their four forms, inputs through C, and the latent and full states of low rank."""

import jax
import numpy as np
import pytest
from plain import plain_map

import cyclax as cx

FORMS = (cx.RateRNN, cx.CurrentRNN, cx.RectifiedRNN)
rng = np.random.default_rng(5)
W, b, C, u, ALPHA = rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=3), 0.3
STATES = rng.normal(size=(20, 4))


def relu(x):
    return np.maximum(x, 0)


def keep(state):
    return (1 - ALPHA) * state


STEPS = {
    cx.RateRNN: lambda z, bias: keep(z) + ALPHA * relu(W @ z + bias),
    cx.CurrentRNN: lambda z, bias: keep(z) + ALPHA * (W @ relu(z) + bias),
    cx.RectifiedRNN: lambda z, bias: relu(keep(z) + ALPHA * (W @ z + bias)),
}


@pytest.mark.parametrize("cls", FORMS)
def test_forms_with_an_input(cls):
    model = cls(W=W, b=b, alpha=ALPHA, C=C)
    np.testing.assert_array_equal(model.C, C)
    driven = model.with_input(u)
    assert type(driven) is cls
    np.testing.assert_array_equal(driven.C, C)  # kept: the next input adds to this one
    for z in STATES:
        np.testing.assert_allclose(model(z), STEPS[cls](z, b), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(driven(z), STEPS[cls](z, b + C @ u), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(driven.with_input(-u)(z), model(z), rtol=1e-13, atol=1e-13)
    with pytest.raises(ValueError, match=r"s: expected shape \(3,\) \(one for each column of C\), got \(4,\)"):
        model.with_input(np.ones(4))


@pytest.mark.parametrize("cls", FORMS)
def test_without_input_weights_an_input_is_added_to_the_bias(cls):
    model = cls(W=W, b=b, alpha=ALPHA)
    assert model.C.shape == (4, 0)
    for z in STATES[:3]:
        np.testing.assert_allclose(model.with_input(C @ u)(z), STEPS[cls](z, b + C @ u), rtol=1e-13, atol=1e-13)
    with pytest.raises(ValueError, match=r"s: expected shape \(4,\) \(that of b\)"):
        model.with_input(u)


@pytest.mark.parametrize("cls", FORMS)
def test_a_share_for_each_unit(cls):
    shares = np.array([0.1, 0.5, 1.0, 0.25])
    model = cls(W=W, b=b, tau=[100.0, 20.0, 10.0, 40.0], dt=10)
    np.testing.assert_array_equal(model.alpha, shares)
    for z in STATES[:3]:
        np.testing.assert_allclose(model(z), plain_map(model)(z), rtol=1e-13, atol=1e-13)
    cx.testing.check_map(model)


@pytest.mark.parametrize("cls", FORMS)
def test_alpha_is_dt_over_tau(cls):
    np.testing.assert_array_equal(cls(W=W, b=b, tau=100.0, dt=20.0).alpha, 0.2)
    for wrong in ({}, {"alpha": 0.1, "tau": 100, "dt": 10}, {"tau": 100}, {"dt": 10}, {"alpha": 0.1, "dt": 10}):
        with pytest.raises(ValueError, match=f"{cls.__name__}: give either alpha, or tau and dt"):
            cls(W=W, b=b, **wrong)
    for times in ({"tau": 0, "dt": 1}, {"tau": [1, 1, -1, 1], "dt": 1}, {"tau": 1, "dt": np.nan}):
        with pytest.raises(ValueError, match=f"{cls.__name__}: (tau|dt) is a time, and must be positive"):
            cls(W=W, b=b, **times)


@pytest.mark.parametrize("alpha", [1e-12, 1e-16, 6.6e-80])
def test_fixed_points_do_not_depend_on_alpha(alpha):
    """They solve z = relu(W z + b), however little of that a step adds, and float64 shows in I - J."""
    slow, fast = (
        cx.RateRNN(W=[[-0.48, 0.38], [-0.21, -0.47]], b=[4.3 * unit, 3.8 * unit], alpha=share)
        for unit, share in ((1e-80, alpha), (1.0, 1.0))
    )
    (wanted,) = cx.enumerate_cycles(fast, 1, progress=False)
    for method in (cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound(), cx.WordGraph(rigorous=True)):
        cycles = cx.enumerate_cycles(slow, 1, method=method, progress=False)
        assert cycles.report["orders"]["1"]["verdict"] == "proved complete"
        (found,) = cycles
        np.testing.assert_allclose(found.points, 1e-80 * wanted.points, rtol=1e-12)


@pytest.mark.parametrize("method", [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound(), cx.WordGraph(rigorous=True)])
def test_at_alpha_0_the_map_is_the_identity(method):
    """So it is said: every state is a fixed point; of a single unit of alpha 0, there is a line of them."""
    for model, dimension in (
        (cx.RateRNN(W=W[:2, :2], b=b[:2], alpha=0), 2),
        (cx.CurrentRNN(W=W[:2, :2], b=b[:2], alpha=[0, 0.5]), 1),
    ):
        cycles = cx.enumerate_cycles(model, 2, method=method, progress=False)
        assert len(cycles) == 0
        assert cycles.degenerate
        assert {(entry.kind, entry.order) for entry in cycles.degenerate} == {("family", 1)}
        assert {entry.directions.shape[1] for entry in cycles.degenerate} == {dimension}
    found = cx.scan(cx.RateRNN(W=W, b=b, alpha=1), {"alpha": [0, 0.5]}, 1, key=0, exact=True, progress=False)
    assert found.degenerate.tolist() == [[True, False]]
    assert found.layers["proved"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"W": np.eye(3)}, "W must have shape"),
        ({"b": 1.0}, "b must be a non-empty vector"),
        ({"alpha": np.ones(3)}, r"alpha must have shape \(4,\) \(a number, or one for each unit\)"),
        ({"C": np.ones(4)}, r"C must be a matrix with 4 rows, got shape \(4,\)"),
        ({"C": np.ones((3, 4))}, r"C must be a matrix with 4 rows, got shape \(3, 4\)"),
    ],
)
@pytest.mark.parametrize("cls", FORMS)
def test_wrong_shapes(cls, wrong, message):
    with pytest.raises(ValueError, match=f"{cls.__name__}: {message}"):
        cls(**{"W": W, "b": b, "alpha": ALPHA, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": np.ones((6, 3))}, "n must have shape"),
        ({"m": np.ones(6)}, "m must be a matrix with 6 rows"),
        ({"alpha": np.ones(6)}, "alpha must have shape"),
        ({"C": np.ones((2, 1))}, "C must be a matrix with 6 rows"),
    ],
)
def test_wrong_shapes_of_low_rank(wrong, message):
    with pytest.raises(ValueError, match=f"LowRankRNN: {message}"):
        cx.LowRankRNN(**{"m": np.ones((6, 2)), "n": np.ones((6, 2)), "b": np.ones(6), "alpha": 0.1, **wrong})


def test_the_forms_are_shallow_and_plain_plrnns():
    """Of dyadic alpha, so that nothing is rounded: the same cycles, proved by the same proofs."""
    alpha, eye = 0.25, np.eye(4)
    twins = {
        cx.RateRNN: cx.ShallowPLRNN(A=(1 - alpha) * np.ones(4), W1=alpha * eye, W2=W, h1=np.zeros(4), h2=b),
        cx.CurrentRNN: cx.PLRNN(A=(1 - alpha) * np.ones(4), W=alpha * W, h=alpha * b),
        cx.RectifiedRNN: cx.ReLURNN(W=(1 - alpha) * eye + alpha * W, b=alpha * b),
    }
    for cls, twin in twins.items():
        for z in STATES:
            np.testing.assert_allclose(cls(W=W, b=b, alpha=alpha)(z), twin(z), rtol=1e-13, atol=1e-13)
    for cls in (cx.RateRNN, cx.RectifiedRNN):
        for z in STATES:
            np.testing.assert_array_equal(cls(W=W, b=b, alpha=1.0)(z), cx.ReLURNN(W=W, b=b)(z))


def test_all_forms_rest_at_the_same_points():
    """z = relu(W z + b), or, in currents, x = W relu(x) + b with the rates z = relu(x)."""
    found = [cx.find_cycles(cls.random(4, key=jax.random.key(1), gain=2, alpha=0.4), 1, key=0) for cls in FORMS]
    rates = [sorted(relu(cycle.points[0]).tolist() for cycle in cycles) for cycles in found]
    assert len(rates[0]) >= 3
    np.testing.assert_allclose(rates[1], rates[0], atol=1e-12)
    np.testing.assert_allclose(rates[2], rates[0], atol=1e-12)


# -- low rank ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def low() -> cx.LowRankRNN:
    return cx.LowRankRNN.random(9, 2, key=jax.random.key(11), gain=8, alpha=0.5, num_inputs=2)


def test_low_rank_is_its_full_network(low):
    full, currents = low.full(), np.random.default_rng(0).normal(size=(20, 2))
    assert type(full) is cx.CurrentRNN
    assert np.linalg.matrix_rank(full.W) == 2
    np.testing.assert_array_equal(full.C, low.C)
    for z in currents:
        np.testing.assert_allclose(full(low.full_states(z)), low.full_states(low(z)), atol=1e-12)
        x = low.m @ z  # the equation of the docstring
        following = 0.5 * x + 0.5 / 9 * low.m @ low.n.T @ relu(x + low.b)
        np.testing.assert_allclose(low.m @ low(z), following, atol=1e-12)
    np.testing.assert_allclose(low.latent_states(low.full_states(currents)), currents, atol=1e-12)
    # A constant input: the currents are m z + C u once they have decayed.
    s = np.array([0.5, -1.0])
    driven = low.with_input(s)
    np.testing.assert_allclose(driven.full_states(currents) - low.full_states(currents), [low.C @ s] * 20, atol=1e-12)
    for z in currents:
        full_driven = full.with_input(s)
        np.testing.assert_allclose(full_driven(driven.full_states(z)), driven.full_states(driven(z)), atol=1e-12)


def test_cycles_of_low_rank_are_those_of_the_full_network(low):
    """Each with the multipliers of the latent one, and 1 - alpha to the order for every other direction."""
    finder = cx.SCYFI(starts=2048)
    latent, full = (cx.find_cycles(model, 2, key=0, finder=finder) for model in (low, low.full()))
    assert latent.counts == full.counts
    assert len(latent) >= 3
    rest = {cycle.order: [0.5**cycle.order] * 7 for cycle in latent}
    for cycle in latent:
        points = low.full_states(cycle.points)
        assert points.shape == (cycle.order, 9)
        ((one, shift),) = [
            (other, shift)
            for other in full.of_order(cycle.order)
            for shift in range(cycle.order)
            if np.allclose(np.roll(other.points, shift, axis=0), points, atol=1e-9)
        ]
        np.testing.assert_allclose(low.latent_states(np.roll(one.points, shift, axis=0)), cycle.points, atol=1e-9)
        both = np.sort_complex(np.append(cycle.multipliers, rest[cycle.order]))
        np.testing.assert_allclose(np.sort_complex(one.multipliers), both, atol=1e-8)
        # What repels all latent states is a saddle of the full network, which comes to their plane.
        assert one.stability == {"repeller": "saddle"}.get(cycle.stability, cycle.stability)


def test_a_rank_of_all_is_the_current_form():
    m = np.random.default_rng(1).normal(size=(4, 4))
    low = cx.LowRankRNN(m=m, n=4 * (np.linalg.inv(m) @ W).T, b=b, tau=10.0, dt=3.0)
    np.testing.assert_allclose(low.full().W, W, atol=1e-12)
    assert low.alpha == 0.3
