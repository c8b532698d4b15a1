"""What is refused, and in which words; one test a message. And when it stops, and how it ends."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.validation.exponents import henon
from lyapunov_systems import lorenz

import cyclax as cx
from cyclax.lyapunov import spectrum as driver

PLRNN = cx.PLRNN(A=[0.5, 0.6], W=[[0.0, 0.1], [0.2, 0.0]], h=[0.1, 0.2])
CELL = cx.TanhCell.random(2, 1, key=jax.random.key(0))
GRU = eqx.nn.GRUCell(1, 2, key=jax.random.key(0))
S = np.ones((12, 1))


def run(model=PLRNN, state=(), inputs=None, **settings):
    state = np.ones(2) if isinstance(state, tuple) and state == () else state
    return cx.lyapunov_spectrum(model, state, inputs, **{"steps": 10, "warmup": 2, **settings})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected a positive int, got 0"),
        ({"steps": 2.5}, TypeError, "steps: expected a positive int, got 2.5"),
        ({"warmup": -1}, ValueError, "warmup: expected an int, 0 or more, got -1"),
        ({"orthonormalize_every": 0}, ValueError, "orthonormalize_every: expected a positive int, got 0"),
        ({"orthonormalize_every": 3}, ValueError, "steps: 10 is not a multiple of orthonormalize_every, 3; 12 is"),
        ({"num_exponents": 3}, ValueError, "num_exponents: 3 exponents were asked for, but there are 2 states only"),
        ({"num_exponents": 0}, ValueError, "num_exponents: expected a positive int"),
        ({"dt": 0.0}, ValueError, "dt: expected the time of a step, a positive number, got 0.0"),
        ({"most_steps": 5}, ValueError, "most_steps: 5 is less than steps, 10"),
        ({"rtol": -1}, ValueError, "rtol: expected a tolerance, a number of 0 or more"),
        ({"orthonormalization": "qr"}, TypeError, "orthonormalization: expected GramSchmidt(), CholeskyQR(), "),
        ({"in_axes": (0, 1, None)}, ValueError, "in_axes: expected 0 or None for each of (model, state, inputs)"),
        ({"in_axes": 0}, ValueError, "in_axes: expected 0 or None for each of (model, state, inputs)"),
        ({"in_axes": (None, None, 0)}, ValueError, "inputs: in_axes says that they are batched, but there are none"),
        ({"in_axes": (0, None, None)}, ValueError, "does it take inputs? Are all of its arrays stacked along a first"),
        (
            {"model": cx.TentMap(1.9), "state": [0.1], "in_axes": (0, None, None)},
            ValueError,
            "model: in_axes says that its arrays have a leading axis of orbits",
        ),
        ({"repeat_inputs": True}, ValueError, "repeat_inputs: there are no inputs to repeat"),
        ({"state": np.array([np.nan, 1])}, ValueError, "state: the first state holds NaN or inf"),
        (
            {"state": np.array([[1, 1], [np.inf, 1]]), "in_axes": (None, 0, None)},
            ValueError,
            "state: the first state of orbit 1 holds NaN or inf",
        ),
        ({"state": np.ones(3)}, ValueError, "state: expected shape (2,), got (3,)"),
        ({"state": np.ones((5, 2))}, ValueError, "For a batch of states, give in_axes=(None, 0, None)"),
        ({"state": np.ones(2) * 1j}, TypeError, "state: expected real numbers, got an array of complex128"),
        ({"state": {}}, ValueError, "state: it holds no numbers"),
        ({"state": 1.0, "in_axes": (None, 0, None)}, ValueError, "state: in_axes says that its leaves have a leading"),
        ({"model": 3.0}, TypeError, "model: expected a map, a cell or a function"),
        ({"model": "net.json"}, TypeError, "a file is read by cyclax.load(path)"),
        ({"model": []}, ValueError, "model: an empty sequence of models"),
        ({"model": [PLRNN, CELL]}, ValueError, "must be of one class and one shape; model[1] differs from model[0]"),
        (
            {"model": cx.PLRNN(A=[0.5, np.nan], W=np.zeros((2, 2)), h=[0.1, 0.2])},
            ValueError,
            "model: A holds NaN or inf (first at [1]); did the training diverge?",
        ),
        ({"model": GRU}, TypeError, "model: model(state) fails; does it take inputs?"),
        ({"model": GRU, "inputs": np.ones((12, 3))}, TypeError, "model: model(state, input) fails; are the inputs of"),
        ({"model": lambda z: np.sin(z)}, TypeError, "fails: it is traced by JAX, so write it with jax.numpy, without"),
        ({"model": lambda z: z * float(z[0])}, TypeError, "fails: it is traced by JAX, so write it with jax.numpy"),
        ({"model": lambda z: z[:1]}, ValueError, "it takes shape (2,) and gives shape (1,)"),
        ({"model": lambda z: z > 0}, TypeError, "model: model(state) must give real numbers, got bool"),
        (
            {"model": CELL, "inputs": np.ones((5, 1))},
            ValueError,
            "inputs: expected warmup + steps = 12 of them, got 5; ",
        ),
        ({"model": CELL, "inputs": np.ones((13, 1))}, ValueError, "of them, got 13; cut them"),
        ({"model": CELL, "inputs": np.float64(1.0)}, ValueError, "inputs: expected arrays (steps, ..) of one length"),
        (
            {"model": CELL, "inputs": np.where(np.arange(12)[:, None] == 4, np.nan, S)},
            ValueError,
            "inputs: the input of step 5 holds NaN or inf",
        ),
        (
            {"state": np.ones((4, 2)), "model": CELL, "inputs": np.ones((3, 12, 1)), "in_axes": (None, 0, 0)},
            ValueError,
            "in_axes: the leading axes must have one length; they have {'state': 4, 'inputs': 3}",
        ),
        (
            {"model": cx.Flow(lorenz, 0.1), "state": np.ones(3), "dt": 0.2},
            ValueError,
            "dt: the flow takes steps of 0.1 of its own",
        ),
    ],
)
def test_refused(given, error, message):
    with pytest.raises(error) as caught:
        run(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cx.Flow(lorenz, 0.0), "Flow: dt: expected the time of one step, a positive number"),
        (
            lambda: cx.Flow(lorenz, 0.1, substeps=0),
            "Flow: substeps: expected a positive int",
        ),
        (lambda: cx.TanhCell(np.ones((2, 3)), None, np.ones(2)), "TanhCell: expected W (M, M) and b (M,)"),
        (lambda: cx.ReLUCell(np.ones((2, 2)), np.ones((3, 1)), np.ones(2)), "ReLUCell: expected U (2, inputs) or None"),
        (
            lambda: run(cx.TanhCell(np.eye(2), None, np.ones(2)), inputs=S),
            "TanhCell: it was given an input, but has no input weights U",
        ),
        (lambda: cx.forcing_interval(float("nan")), "largest_exponent: NaN; did the orbit diverge?"),
        (lambda: cx.forcing_interval(run([PLRNN, PLRNN])), "the spectrum of a batch has many; pool it"),
        (lambda: run().pool(), "pool: there is one orbit only"),
        (
            lambda: cx.lyapunov_exponents(PLRNN, np.ones(2), steps=5, orthonormalize_every=2),
            "steps and warmup: expected multiples of orthonormalize_every (2)",
        ),
        (
            lambda: cx.lyapunov_exponents(PLRNN, np.ones(2), steps=5, num_exponents=3),
            "num_exponents: expected 1 to 2, the number of states, got 3",
        ),
        (lambda: cx.lyapunov_exponents(PLRNN, np.ones(2), steps=5, num_exponents=0), "num_exponents: expected 1 to 2"),
        (
            lambda: cx.lyapunov_exponents(PLRNN, np.ones(2), np.ones((4, 2)), steps=5),
            "inputs: expected warmup + steps = 5 of them, got [4]",
        ),
        (
            lambda: cx.covariant_vectors(PLRNN, np.ones(2), steps=5, warmup=1, cooldown=-1),
            "cooldown: expected an int, 0 or more, got -1",
        ),
        (
            lambda: cx.covariant_vectors(PLRNN, np.ones(2), steps=10**9, warmup=1),
            "steps: frames are kept along the orbit, with room for",
        ),
        (
            lambda: cx.covariant_vectors([PLRNN, PLRNN], np.ones(2), steps=5, warmup=1),
            "model: a batch of models; covariant vectors are computed for one",
        ),
        (
            lambda: cx.covariant_vectors(cx.LoziMap(1.7, 0.5), [0.1, 0.1], steps=9, warmup=9).angles(2),
            "first: expected 1 to 1 of the 2 vectors, got 2",
        ),
    ],
)
def test_other_refusals(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_missing_diffrax(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"Flow needs diffrax: pip install 'cyclax\[data\]'"):
        cx.Flow(lorenz, 0.1)


# -- divergence --------------------------------------------------------------------------------------------------------


def test_divergence_says_in_which_step():
    expected = 0
    z = np.array([3.0, 0.0])
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(z).all():
            z = np.array([1 - 1.4 * z[0] ** 2 + z[1], 0.3 * z[0]])
            expected += 1
    with pytest.raises(
        FloatingPointError, match=rf"^step {expected} \(of the warm-up\): the orbit diverged to infinity"
    ):
        run(henon, np.array([3.0, 0.0]), warmup=50)
    with pytest.raises(FloatingPointError, match=rf"^step {expected} \({expected - 2} after the warm-up\): the orbit"):
        run(henon, np.array([3.0, 0.0]), warmup=2, steps=100)


def test_of_a_batch_those_that_stay_are_kept():
    z0 = np.array([[0.1, 0.1], [3.0, 0.0], [0.0, 0.1]])
    got = cx.lyapunov_spectrum(henon, z0, steps=100, warmup=20, in_axes=(None, 0, None))
    assert (got.diverged > 0).tolist() == [False, True, False]
    assert np.isnan(got.exponents[1]).all()
    assert np.isfinite(got.exponents[[0, 2]]).all()
    assert not got.converged[1]
    assert f"DIVERGED: 1 orbits, the first (orbit 1) in step {got.diverged[1]}" in str(got)
    assert got.pool().report["pooled"] == 2


def test_tangents_that_overflow():
    with pytest.raises(
        FloatingPointError, match=r"^step 400 \(400 after the warm-up\): the tangents of the orbit are no longer"
    ):
        run(
            cx.PLRNN(A=[9.0, 1.0], W=np.zeros((2, 2)), h=[0, 0]),
            np.zeros(2),
            warmup=0,
            steps=800,
            orthonormalize_every=400,
        )


def test_a_covariant_orbit_that_diverges():
    with pytest.raises(FloatingPointError, match=r"step \d+: the orbit diverged to infinity or NaN"):
        cx.covariant_vectors(henon, [3.0, 0.0], steps=50, warmup=0, cooldown=0)


def test_no_way_back_through_a_singular_jacobian():
    cell = cx.ReLUCell(W=0.5 * np.eye(2), U=None, b=np.array([1.0, -9.0]))
    with pytest.raises(
        FloatingPointError, match=r"num_vectors: in step 6 the map loses a dimension .* ask for 1 at most"
    ):
        cx.covariant_vectors(cell, np.ones(2), steps=5, warmup=5, cooldown=0)
    constant = cx.PLRNN(A=[0, 0], W=np.zeros((2, 2)), h=[1, 1])
    with pytest.raises(FloatingPointError, match="vectors from 1 on have no past: there are none here"):
        cx.covariant_vectors(constant, np.ones(2), steps=5, warmup=5)
    with pytest.raises(ValueError, match="num_vectors: 3 vectors were asked for, but there are 2 states only"):
        cx.covariant_vectors(constant, np.ones(2), steps=5, warmup=5, num_vectors=3)


def test_a_flow_whose_solver_gives_up():
    with pytest.raises(FloatingPointError, match="step 1 "):
        run(cx.Flow(lambda z: z**2, 1.0, max_steps=50), np.ones(2))


# -- when it stops -----------------------------------------------------------------------------------------------------


def test_runs_until_converged():
    short = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=500, warmup=500)
    assert not short.converged
    long = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=500, warmup=500, most_steps=200_000, birkhoff=True)
    assert long.converged
    assert 500 < long.steps < 200_000
    assert np.log2(long.steps / 500) % 1 == 0
    np.testing.assert_array_less(long.standard_errors, 0.01 * np.abs(long.exponents) + 0.001)
    assert np.all(np.abs(long.exponents - [0.41922, -1.62319]) < 3 * long.standard_errors)
    # The same as when so many steps had been asked for at once.
    again = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=long.steps, warmup=500, birkhoff=True)
    np.testing.assert_array_equal(again.exponents, long.exponents)
    np.testing.assert_allclose(again.weighted_exponents, long.weighted_exponents, rtol=1e-12)


def test_stops_at_most_steps():
    short = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=500, warmup=500, most_steps=1500)
    assert short.steps == 1500
    assert not short.converged
    assert "NOT converged: standard errors above 0.01 of the exponent + 0.001; more steps" in str(short)


def test_an_orbit_that_has_not_settled_has_not_converged():
    """Slowly onto the fixed point: the two halves differ."""
    got = cx.lyapunov_spectrum(lambda z: z - 1e-3 * z**2, [1.0], steps=4000, warmup=0, rtol=0, atol=2e-4)
    assert not got.converged
    assert "NOT converged: the two halves of the orbit differ" in str(got)


def test_ctrl_c_keeps_what_has_been_computed(monkeypatch):
    chunk, calls = driver.run_chunk, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return chunk(*arguments)

    monkeypatch.setattr(driver, "run_chunk", interrupted)
    got = cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=20_000, warmup=10)
    assert got.steps == 4096
    assert "STOPPED EARLY: interrupted by Ctrl-C after 4096 of 20000 steps" in str(got)
    calls.clear()
    calls.append(1)
    with pytest.raises(KeyboardInterrupt):
        cx.lyapunov_spectrum(henon, [0.1, 0.1], steps=10, warmup=8000)


def test_a_user_error_keeps_its_reason():
    def broken(z):
        raise RuntimeError("out of order")

    with pytest.raises(ValueError, match=r"model\(state\) fails; does it take inputs\? \(RuntimeError: out of order\)"):
        run(broken)


def test_float32_functions_are_computed_in_float64():
    W = jnp.asarray([[0.5, 0.2], [0.1, 0.4]], jnp.float32)
    got = cx.lyapunov_spectrum(lambda z: W @ z, np.ones(2, np.float32), steps=100, warmup=200)
    truth = np.log(np.abs(np.linalg.eigvals(np.asarray(W, np.float64))))
    np.testing.assert_allclose(got.exponents, np.sort(truth)[::-1], rtol=0, atol=1e-12)
