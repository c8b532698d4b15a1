"""Other people's settings change nothing: strict promotion, float64, checks for NaN, guards, NumPy's errors."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import STRICT, over_kinds, slow

import cyclax as cx
from cyclax.core.balls import working_precision
from cyclax.core.numerics import numerics

# All that may be switched on; `--strict-settings` runs everything else under the first of them.
SETTINGS = STRICT | {"jax_debug_nans": True, "jax_debug_infs": True, "jax_transfer_guard": "disallow"}

PLANE = cx.PLRNN(A=[0.53, 0.9], W=[[0, 0.75], [-2.7, 0]], h=[-0.58, 0.11])
TENT = cx.SkewTentMap(0.5, -1.4, 1.0)
NEAR = cx.SkewTentMap(0.5, -0.9, 1.0)
LINE = {"right": np.linspace(-1.4, -0.6, 3)}
FEW = cx.SCYFI(starts=64)
# Made beforehand: guards forbid even `jax.random.key(1)`.
KEY, SEVEN = jax.random.key(1), cx.PLRNN.random(7, key=jax.random.key(2))


def found(model=TENT, **settings):
    return cx.find_cycles(model, 2, key=0, finder=FEW, progress=False, **settings)


def series():
    return cx.simulate(TENT, [0.3], 60)


VERBS = {
    "find_cycles": lambda: found(PLANE).to_dict()["cycles"],
    "find_cycles of a batch": lambda: [one.counts for one in found([TENT, NEAR])],
    "find_cycles of seven states": lambda: found(SEVEN).to_dict()["cycles"],
    "families": lambda: found(cx.SkewTentMap(0.5, -1.0, 1.0)).to_dict()["degenerate"],
    "near_misses": lambda: found(PLANE, near_misses=2).to_dict()["near_misses"],
    "enumerate_cycles": lambda: cx.enumerate_cycles(TENT, 3).to_dict()["cycles"],
    "word graph": lambda: cx.enumerate_cycles(NEAR, "all").counts,
    "rigorous": lambda: cx.enumerate_cycles(NEAR, 2, method=cx.WordGraph(rigorous=True)).counts,
    "branch and bound": lambda: cx.enumerate_cycles(PLANE, 1, method=cx.BranchAndBound()).counts,
    "certify": lambda: [cycle.certificate for cycle in cx.certify(TENT, found(), progress=False)],
    "attractors": lambda: str(cx.attractors(TENT, 20, key=0, steps=200)),
    "scan": lambda: cx.scan(TENT, LINE, 2, key=0, starts=32, orbit_steps=50, progress=False).counts,
    "a cell": lambda: cx.scan(TENT, LINE, 2, key=0, starts=32, progress=False).cell(1).counts,
    "boundaries": lambda: (
        cx.scan(TENT, LINE | {"offset": [0.5, 1.0]}, 2, key=0, starts=32, progress=False).boundaries().segments()
    ),
    "an exact scan": lambda: cx.scan(TENT, LINE, 2, key=0, starts=32, exact=True, progress=False).counts,
    "compare": lambda: repr(cx.compare(TENT, NEAR, found(), found(NEAR))),
    "track": lambda: repr(cx.track([NEAR, TENT], 2, key=0, starts=32, progress=False).events),
    "attractor_points": lambda: cx.attractor_points(TENT, LINE, key=0, transient=10, points=4),
    "lyapunov_spectrum": lambda: (
        cx.lyapunov_spectrum(TENT, [0.3], steps=200, warmup=50, birkhoff=True).weighted_exponents
    ),
    "fit": lambda: (
        cx.fit(
            NEAR, series(), forcing=cx.GeneralizedForcing(0.5), steps=3, key=0, batch=4, length=8, progress=False
        ).losses
    ),
    "simulate": lambda: cx.simulate(TENT, [0.3], 5),
    "random": lambda: cx.PLRNN.random(3, key=KEY).W,
}


@pytest.fixture
def strict():
    """Give a function that switches all on; they are put back in the end. Threads see them, too."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    errors = np.geterr()

    def switch_on():
        for name, value in SETTINGS.items():
            jax.config.update(name, value)
        np.seterr(all="raise")

    yield switch_on
    np.seterr(**errors)
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("name", VERBS)
def test_verbs_give_the_same_under_the_strictest_settings(name, strict):
    expected = VERBS[name]()
    strict()
    np.testing.assert_equal(VERBS[name](), expected)


def test_the_settings_are_those_that_raise(strict):
    strict()
    jax.config.update("jax_transfer_guard", "allow")
    with pytest.raises(ValueError, match="jax_numpy_rank_promotion"):
        jnp.zeros((2, 3)) + jnp.zeros(3)
    with pytest.raises(Exception, match="no available implicit dtype"):
        jnp.zeros(3, jnp.float32) + jnp.zeros(3, jnp.float64)
    with pytest.raises(FloatingPointError):
        np.float64(1e308) * np.array(1e10)
    with numerics():
        assert (jnp.zeros((2, 3)) + jnp.zeros(3, jnp.float32)).dtype == np.float64
        assert np.isinf(np.float64(1e308) * np.array(1e10))


@over_kinds()
def test_models_run_under_strict_promotion(model):
    """What users run themselves, and differentiate, follows their settings."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.enable_x64(True):
        z = jnp.linspace(-0.4, 0.6, model.num_states)
        gates = model.preactivations(z) > 0
        np.testing.assert_allclose(model(z), model.step(z, gates), rtol=1e-14)
        np.testing.assert_allclose(jax.jacfwd(model)(z), jax.jacrev(model)(z), rtol=1e-12, atol=1e-14)
        lanes = jax.vmap(model, in_axes=-1, out_axes=-1)(jnp.stack([z, -z], axis=-1))
        np.testing.assert_allclose(lanes[:, 1], model(-z), rtol=1e-12, atol=1e-14)


# -- what models are called with ---------------------------------------------------------------------------------------


def test_numpy_is_mapped_in_float64(model):
    z = np.linspace(-0.4, 0.6, model.num_states)
    with jax.enable_x64(True):
        expected = np.asarray(model(jnp.asarray(z)))
    for given in (z, z.tolist(), tuple(z.tolist())):
        value = model(given)
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(model(z), cx.simulate(model, z, 1)[1], rtol=1e-14, atol=1e-15)


def test_jax_arrays_keep_the_rules_of_jax():
    z = jnp.array([0.1, 0.2])
    assert isinstance(PLANE(z), jax.Array)
    compiled = jax.jit(lambda z: PLANE(z))
    assert PLANE(z).dtype == compiled(z).dtype == compiled(np.array([0.1, 0.2])).dtype == z.dtype
    gradient = jax.grad(lambda model: jnp.sum(model(np.array([0.1, 0.2]))))(jax.tree.map(jnp.asarray, PLANE))
    np.testing.assert_allclose(gradient.A, [0.1, 0.2], rtol=1e-6)


def test_a_constant_is_mapped_while_others_are_traced():
    constant = np.array([0.1, 0.2])
    traced = jax.jit(lambda s: s * PLANE(constant))(2.0)
    np.testing.assert_allclose(traced, 2 * PLANE(constant), rtol=1e-6)


# -- weights that overflow, or vanish ----------------------------------------------------------------------------------

SIZES = [1e200, 5e-324, slow(1e-200), slow(1e308)]
HUGE = {
    "tent": lambda s: cx.SkewTentMap(0.5 * s, -1.4 * s, 1.0),
    "A": lambda s: cx.PLRNN(A=[s, 0.6], W=[[0.3, -1.0], [0.7, 0.2]], h=[1.0, -1.0]),
    "W": lambda s: cx.PLRNN(A=[0.5, 0.6], W=s * np.array([[0.3, -1.0], [0.7, 0.2]]), h=[1.0, -1.0]),
    "h": lambda s: cx.PLRNN(A=[0.5, 0.6], W=[[0.3, -1.0], [0.7, 0.2]], h=[s, -s]),
    "shallow": lambda s: cx.ShallowPLRNN(A=[0.5], W1=[[s, s]], W2=[[s], [-s]], h1=[1.0], h2=[1.0, -1.0]),
    "dendritic": lambda s: cx.ClippedDendriticPLRNN(A=[0.5], W=[[s]], h=[1.0], alpha=[s, -s], thresholds=[[s, -s]]),
}
OF_HUGE = {
    "find_cycles": lambda m: found(m, near_misses=1),
    "enumerate_cycles": lambda m: cx.enumerate_cycles(m, 1),
    "branch and bound": lambda m: cx.enumerate_cycles(m, 1, method=cx.BranchAndBound()),
    "attractors": lambda m: cx.attractors(m, 8, key=0, steps=20),
    "scan": lambda m: cx.scan(m, {_first(m): [0.5, 0.6]}, 1, key=0, starts=16, orbit_steps=10, progress=False),
    "track": lambda m: cx.track([m, m], 1, key=0, starts=16, progress=False),
    "certify": lambda m: cx.certify(m, cx.enumerate_cycles(m, 1), bits=256, progress=False),
    "simulate": lambda m: cx.simulate(m, np.full(m.num_states, 0.1), 4),
    "call": lambda m: m(np.full(m.num_states, 0.1)),
}


def _first(model) -> str:
    return "left" if isinstance(model, cx.SkewTentMap) else "A[0]"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [slow(name) if name in ("h", "shallow", "dendritic") else name for name in HUGE])
def test_extreme_weights_end_in_a_result_or_a_refusal(name, size):
    """Nothing of our own arithmetic comes out: no warning with a line of source, no error of NumPy."""
    with np.errstate(under="ignore"):
        model = HUGE[name](size)
    for verb, call in OF_HUGE.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            refused = ""
            try:
                call(model)
            except ValueError as error:
                refused = f"{type(error).__name__}: {error}"
            assert not refused or refused.startswith("ValueError: model: "), (verb, refused)


# -- the precision of balls --------------------------------------------------------------------------------------------


def test_certificates_made_in_threads_are_those_made_alone():
    models = [PLANE, TENT, NEAR, cx.LoziMap(1.7, 0.5)]
    cycles = [found(model) for model in models]
    alone = [cx.certify(model, some, progress=False) for model, some in zip(models, cycles, strict=True)]
    before = flint.ctx.prec
    with ThreadPoolExecutor(4) as pool:
        pairs = list(zip(models, cycles, strict=True)) * 4
        tasks = [pool.submit(cx.certify, model, some, progress=False) for model, some in pairs]
        together = [task.result() for task in tasks]
    assert flint.ctx.prec == before
    for expected, one in zip(alone * 4, together, strict=True):
        assert [cycle.certificate for cycle in one] == [cycle.certificate for cycle in expected]


def test_one_thread_at_a_time_sets_the_precision():
    """Two that overlap, and leave in the order they came, would leave the first one's precision behind."""
    before, order = flint.ctx.prec, []
    inside = threading.Event()

    def other():
        inside.wait()
        with working_precision(300):
            order.append(flint.ctx.prec)

    thread = threading.Thread(target=other)
    thread.start()
    with working_precision(200), working_precision(250):
        inside.set()
        thread.join(0.2)
        order.append(flint.ctx.prec)
    thread.join()
    assert order == [250, 300]
    assert flint.ctx.prec == before
