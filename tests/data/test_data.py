"""Systems against plain NumPy, closed forms and known figures; and how they are integrated."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx
from cyclax import data
from cyclax.core.numerics import numerics

SYSTEMS = [
    data.Lorenz63(),
    data.Lorenz96(sites=6),
    data.Roessler(),
    data.Duffing(),
    data.VanDerPol(mu=3.0),
    data.BurstingNeuron(),
]


def plain(system):
    """Give the right-hand side by hand, in NumPy."""

    def lorenz63(t, s):
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    def lorenz96(t, s):
        n = len(s)
        return [(s[(i + 1) % n] - s[i - 2]) * s[i - 1] - s[i] + 8 for i in range(n)]

    def roessler(t, s):
        return [-s[1] - s[2], s[0] + 0.2 * s[1], 0.2 + s[2] * (s[0] - 5.7)]

    def duffing(t, s):
        return [s[1], 0.5 * np.cos(1.2 * t) - 0.3 * s[1] + s[0] - s[0] ** 3]

    def van_der_pol(t, s):
        return [s[1], 3 * (1 - s[0] ** 2) * s[1] - s[0]]

    def neuron(t, s):
        V, n, h = s
        m, n_inf, h_inf = (1 / (1 + np.exp((half - V) / k)) for half, k in ((-20, 15), (-25, 5), (-15, 5)))
        leak, sodium = 8 * (V + 80), 20 * m * (V - 60)
        potassium = (10 * n + 25 * h) * (V + 90)
        nmda = 10.2 * V / (1 + 0.33 * np.exp(-0.0625 * V))
        return [-(leak + sodium + potassium + nmda) / 6, n_inf - n, (h_inf - h) / 200]

    functions = dict(zip(map(type, SYSTEMS), (lorenz63, lorenz96, roessler, duffing, van_der_pol, neuron), strict=True))
    return lambda t, s: np.array(functions[type(system)](t, s))


def runge_kutta(f, state, t, end, steps):
    h = (end - t) / steps
    for _ in range(steps):
        a = f(t, state)
        b = f(t + h / 2, state + h / 2 * a)
        c = f(t + h / 2, state + h / 2 * b)
        d = f(t + h, state + h * c)
        state, t = state + h / 6 * (a + 2 * b + 2 * c + d), t + h
    return state


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: type(system).__name__)
def test_systems_against_plain_numpy(system):
    assert system.num_states == len(system.typical_state)
    rng = np.random.default_rng(0)
    with numerics():
        for _ in range(5):
            state, time = system.typical_state + np.asarray(system.spread) * rng.normal(size=system.num_states), 0.7
            np.testing.assert_allclose(system(time, jnp.asarray(state)), plain(system)(time, state), rtol=1e-12)
    # At a phase that is not 0, so that the time is seen to go on after the transient.
    dt = system.default_dt
    series = data.integrate(system, 30, transient=10 * dt, rtol=1e-10, atol=1e-10)
    state = system.typical_state
    for i in range(40):
        if i >= 10:
            np.testing.assert_allclose(series[i - 10], state, rtol=1e-7, atol=1e-7)
        state = runge_kutta(plain(system), state, i * dt, (i + 1) * dt, 200)


def test_the_fixed_points_of_lorenz():
    system, wing = data.Lorenz63(), np.sqrt(8 / 3 * 27)
    with numerics():
        for state in ([0, 0, 0], [wing, wing, 27], [-wing, -wing, 27]):
            np.testing.assert_allclose(system.velocity(jnp.array(state, float)), 0, atol=1e-13)


def test_averages_of_lorenz():
    series = data.integrate(data.Lorenz63(), 30_000, key=5, rtol=1e-6, atol=1e-6)
    x, y, z = series.T
    # Averages of derivatives vanish: those of z and of x^2 / 2.
    assert np.mean(x * y) == pytest.approx(8 / 3 * np.mean(z), rel=3e-3)
    assert np.mean(x * x) == pytest.approx(np.mean(x * y), rel=3e-3)
    assert np.mean(z) == pytest.approx(23.55, rel=0.01)


def test_lorenz96_moves_energy_around_only():
    system = data.Lorenz96(sites=9)
    with numerics():
        state = jax.random.normal(jax.random.key(0), (9,), "float64")
        assert float(state @ (system(0.0, state) + state - system.forcing)) == pytest.approx(0, abs=1e-13)


def test_period_of_van_der_pol():
    series = data.integrate(data.VanDerPol(), 20_000, dt=0.01, transient=60, rtol=1e-9, atol=1e-9)
    x = series[:, 0]
    rising = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    crossings = 0.01 * (rising - x[rising] / (x[rising + 1] - x[rising]))
    assert (crossings[-1] - crossings[0]) / (len(rising) - 1) == pytest.approx(6.6632868593, abs=1e-6)


def test_forced_linear_oscillator_by_its_closed_form():
    # x'' + 0.2 x' + x = cos(2 t), long after its start: the response at the frequency of the force.
    series = data.integrate(
        data.Duffing(alpha=1, beta=0, gamma=1, delta=0.2, omega=2), 300, dt=0.3, transient=200, rtol=1e-10, atol=1e-10
    )
    response = np.exp(2j * (200.1 + 0.3 * np.arange(300))) / (1 - 4 + 0.4j)  # 200 is rounded up to 667 samples
    np.testing.assert_allclose(series[:, 0], response.real, atol=1e-7)
    np.testing.assert_allclose(series[:, 1], (2j * response).real, atol=1e-7)


def test_the_neuron_bursts():
    series = data.integrate(data.BurstingNeuron(), 20_000, dt=0.05, rtol=1e-6, atol=1e-6)
    V = series[:, 0]
    spikes = 0.05 * np.flatnonzero((V[:-1] < -30) & (V[1:] >= -30))
    first = np.flatnonzero(np.diff(spikes) > 40) + 1  # after a rest of more than 40 ms
    assert len(first) >= 6
    np.testing.assert_allclose(np.diff(spikes[first]), 148.1, atol=0.2)
    assert set(np.diff(first)) == {15}
    assert -70 < V.min() < -60
    assert -15 < V.max() < -5
    assert (series[:, 1:] >= 0).all()
    assert (series[:, 1:] <= 1).all()


def test_currents_add_up():
    system, state = data.BurstingNeuron(), jnp.array([-30.0, 0.2, 0.05])
    currents = system.currents(state)
    assert set(currents) == {"leak", "sodium", "potassium", "M", "NMDA"}
    assert float(sum(currents.values())) == pytest.approx(-6 * float(system(0.0, state)[0]), rel=1e-5)
    assert currents["sodium"] < 0 < currents["potassium"]


def test_a_flow_of_a_system_is_a_map():
    flow = cx.Flow(data.Lorenz63().velocity, dt=0.1)
    series = data.integrate(data.Lorenz63(), 2, dt=0.1, transient=0)
    with numerics():
        np.testing.assert_allclose(flow(jnp.asarray(series[0])), series[1], rtol=1e-5)
    system = data.Duffing()
    flow = cx.Flow(lambda z: jnp.append(system(z[2] / system.omega, z[:2]), system.omega), dt=0.1)
    with numerics():
        state = flow(jnp.array([1.0, 0.0, 0.0]))[:2]
    np.testing.assert_allclose(state, data.integrate(system, 2, transient=0)[1], rtol=1e-6, atol=1e-6)
    data.Duffing(gamma=0.0).velocity(jnp.ones(2))


def test_always_float64():
    before = jax.config.jax_enable_x64
    first = data.integrate(data.Roessler(), 700, transient=3.0)
    with numerics():
        second = data.integrate(data.Roessler(), 700, transient=3.0)
    assert first.dtype == second.dtype == np.float64
    np.testing.assert_array_equal(first, second)
    assert jax.config.jax_enable_x64 == before


def test_one_compilation(monkeypatch):
    # Parameters, times, tolerances and numbers of samples are arguments of what is compiled, not part of it.
    module = sys.modules["cyclax.data.integrate"]
    looked_for, original = [], module.extra
    # Looked for once by the verb, and once more by each compilation.
    monkeypatch.setattr(module, "extra", lambda *names: looked_for.append(1) or original(*names))
    data.integrate(data.Roessler(), 5, transient=0)
    looked_for.clear()
    data.integrate(data.Roessler(c=4), 700, dt=0.2, transient=100, rtol=1e-4, atol=1e-5, key=0)
    assert len(looked_for) == 1


def test_a_shorter_series_is_the_beginning_and_transients_the_end():
    long = data.integrate(data.Lorenz63(), 1500, transient=0)
    np.testing.assert_array_equal(data.integrate(data.Lorenz63(), 600, transient=0), long[:600])
    np.testing.assert_array_equal(data.integrate(data.Lorenz63(), 600, transient=9.0), long[900:])
    np.testing.assert_array_equal(data.integrate(data.Lorenz63(), 5, transient=8.991), long[900:905])
    np.testing.assert_array_equal(long[0], data.Lorenz63().typical_state)


def test_keys_and_initial_states():
    a, b, c = (data.integrate(data.Lorenz63(), 3, key=key, transient=0) for key in (1, jax.random.key(1), 2))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    np.testing.assert_array_equal(data.integrate(data.Lorenz63(), 3, initial_state=a[0], transient=0), a)


def test_any_vector_field_and_solver():
    import diffrax

    series = data.integrate(
        lambda t, y, args: -1000 * (y - jnp.cos(t)),
        50,
        dt=0.1,
        initial_state=[0],
        transient=1,
        rtol=1e-6,
        atol=1e-8,
        solver=diffrax.Kvaerno5(),
    )
    assert series.shape == (50, 1)
    np.testing.assert_allclose(series[:, 0], np.cos(1 + 0.1 * np.arange(50)), atol=2e-3)


def explode(t, y, args):
    return y**2


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected a positive int, got 0"),
        ({"steps": 2.0}, TypeError, "steps: expected a positive int, got 2.0"),
        ({"dt": 0}, ValueError, "dt: expected the time between two samples, a positive number, got 0"),
        ({"dt": np.nan}, ValueError, "dt: expected the time between two samples, a positive number, got nan"),
        ({"dt": "fast"}, TypeError, "dt: expected the time between two samples, a positive number, got 'fast'"),
        ({"transient": -1}, ValueError, "transient: expected the time discarded first, a number of 0 or more, got -1"),
        ({"rtol": -1}, ValueError, "rtol: expected a tolerance, a number of 0 or more, got -1"),
        ({"rtol": 0, "atol": 0}, ValueError, "rtol, atol: both are 0"),
        ({"system": 3}, TypeError, "system: expected a system such as Lorenz63(), got 3"),
        ({"system": data.Lorenz63}, TypeError, "system: expected an instance, Lorenz63(), got the class"),
        ({"key": 1, "initial_state": [1, 2, 3]}, ValueError, "initial_state, key: give one of both"),
        ({"key": "a"}, TypeError, "key: expected a JAX random key or an int seed, got 'a'"),
        ({"key": -1}, ValueError, "key: expected an int from 0 to 9223372036854775807, got -1"),
        ({"initial_state": [1, 2]}, ValueError, "initial_state: expected shape (3,), got (2,)"),
        ({"initial_state": [1, 2, np.nan]}, ValueError, "initial_state: [1.0, 2.0, nan] holds NaN or inf"),
        ({"initial_state": ["a", "b", "c"]}, TypeError, "initial_state: expected real numbers"),
        ({"system": explode}, ValueError, "dt: give it, as explode has no default"),
        ({"system": explode, "dt": 1}, ValueError, "transient: give it, as explode has no default"),
        ({"system": explode, "dt": 1, "transient": 0}, ValueError, "initial_state: give it; only systems of"),
        (
            {"system": lambda y: y, "dt": 1, "transient": 0, "initial_state": [1.0]},
            TypeError,
            "system: system(time, state, args) fails (TypeError",
        ),
        (
            {"system": lambda t, y, args: y[:1], "dt": 1, "transient": 0, "initial_state": [1.0, 2.0]},
            ValueError,
            "system: expected a derivative of shape (2,), as the state",
        ),
        (
            {"system": explode, "dt": 0.3, "transient": 0, "initial_state": [1.0], "steps": 9},
            FloatingPointError,
            "explode diverges, or is too stiff for the solver, after time 0.9, when its state is [10.]",
        ),
    ],
)
def test_messages(given, error, message):
    with pytest.raises(error) as caught:
        data.integrate(**{"system": data.Lorenz63(), "steps": 2, **given})
    assert message in str(caught.value)


def test_messages_of_systems():
    with pytest.raises(ValueError, match="Lorenz96: sites: expected an int, 4 or more"):
        data.Lorenz96(sites=3)
    with pytest.raises(ValueError, match=r"Duffing\.velocity: the force depends on time"):
        data.Duffing().velocity(jnp.ones(2))


def test_missing_diffrax(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"integrate needs diffrax: pip install 'cyclax\[data\]'"):
        data.integrate(data.Lorenz63(), 2)
