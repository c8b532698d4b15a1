import gc
import importlib.util
import json
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import hypothesis
import jax
import jaxlib
import numpy as np
import pytest
from differential.programs import forget_programs

import cyclax as cx

hypothesis.settings.register_profile("cyclax", deadline=None, derandomize=True)
hypothesis.settings.load_profile("cyclax")

# What careful users switch on; `pytest --strict-settings` runs everything under it.
STRICT = {
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_enable_x64": True,
}
# The fast suite is mostly compilation. XLA's older generator of code takes 40 % less time for programs as fast, and
# LLVM's first level of optimization a fifth less than its third, so there they are used; slow tests run what users run,
# and so does all together (`pytest -m "not fuzz"`). Level 0 parts fused multiplications and additions, which rounds
# otherwise, and its programs are slow. XLA stops at flags that it does not know, so only releases are asked that were
# seen to know them.
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"
KNOWN = ("0.10.",)
# What only the extras bring.
EXTRAS = ("diffrax", "h5netcdf", "h5py", "highspy", "matplotlib", "numba", "pandas", "xarray", "zarr")
# Seconds after which a slow test counts as hanging, where it does not say itself; other tests: see pyproject.toml.
SLOW_LIMIT = 3600


def pytest_addoption(parser):
    text = "run under the strict settings of JAX (no promotion, float64) and NumPy (errors are raised)"
    parser.addoption("--strict-settings", action="store_true", help=text)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # the one process that begins, and ends, the session
        _share_programs(config)
        if "not slow" in config.option.markexpr and jaxlib.__version__.startswith(KNOWN):
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
        # Workers have the cores between them: BLAS with threads of its own, in each, mostly waits for them, spinning.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if config.getoption("--strict-settings"):
        for name, value in STRICT.items():
            jax.config.update(name, value)
        np.seterr(all="raise")


def _needs_an_extra(report) -> bool:
    """Whether a test failed for want of an extra, in an environment that has the core of cyclax only."""
    if not report.failed or all(map(importlib.util.find_spec, EXTRAS)):
        return False
    text = report.longreprtext + getattr(report, "capstderr", "")
    return "pip install 'cyclax[" in text or any(f"No module named '{name}" in text for name in EXTRAS)


def _skipped(report, where: str):
    report.outcome, report.longrepr = "skipped", (where, 0, "Skipped: needs an extra: pip install 'cyclax[test]'")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    return _skipped(report, str(collector.path)) if _needs_an_extra(report) else report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    return _skipped(report, str(item.path)) if _needs_an_extra(report) else report


def _share_programs(config):
    """Let all processes of the session keep what they compile in one folder, so that it is compiled once."""
    folder = tempfile.mkdtemp(prefix="cyclax-programs-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    settings = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    for name, value in settings.items():
        os.environ[name.upper()] = str(value)  # for workers, and for programs that tests start
        jax.config.update(name, value)


def pytest_collection_modifyitems(items):
    for item in items:
        if {"slow", "fuzz"} & set(item.keywords) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_LIMIT))


@pytest.fixture
def exact():
    """For what goes on without the extra `exact`, and proves less."""
    for name in ("highspy", "numba"):
        pytest.importorskip(name, reason="needs an extra: pip install 'cyclax[test]'")


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Between files, forget the programs that were compiled, where they are many."""
    gc.freeze()  # what is there stays, for the most part: the collector need not go through it again and again
    yield
    gc.unfreeze()
    forget_programs()


@pytest.fixture(autouse=True)
def _ctrl_c():
    """Let Ctrl-C raise, as tests of it expect: in scripts that run in the background, shells have it ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def key(seed: int) -> jax.Array:
    return jax.random.key(seed)


# One network of every class, and what its state dimension is.
MODELS = {
    "PLRNN diagonal": lambda: cx.PLRNN.random(3, key=key(1)),
    "PLRNN full": lambda: cx.PLRNN(A=np.random.default_rng(0).normal(size=(6, 6)) / 4, W=np.eye(6) / 3, h=np.ones(6)),
    "MeanCenteredPLRNN": lambda: cx.MeanCenteredPLRNN.random(5, key=key(2)),
    "ShallowPLRNN": lambda: cx.ShallowPLRNN.random(2, 9, key=key(3)),
    "ShallowPLRNN 70 gates": lambda: cx.ShallowPLRNN.random(6, 70, key=key(3)),
    "ClippedShallowPLRNN": lambda: cx.ClippedShallowPLRNN.random(3, 7, key=key(4)),
    "DendriticPLRNN": lambda: cx.DendriticPLRNN.random(3, 4, key=key(21), gain=2),
    "ClippedDendriticPLRNN": lambda: cx.ClippedDendriticPLRNN.random(2, 3, key=key(2), gain=4),
    "AlmostLinearRNN": lambda: cx.AlmostLinearRNN.random(4, 2, key=key(5)),
    "AlmostLinearRNN all gated": lambda: cx.AlmostLinearRNN.random(3, 3, key=key(5)),
    "LowRankPLRNN": lambda: cx.LowRankPLRNN.random(5, 2, key=key(19), gain=2.5),
    "ReLURNN": lambda: cx.ReLURNN.random(4, key=key(1), gain=2),
    "LeakyReLURNN": lambda: cx.LeakyReLURNN.random(4, key=key(4), gain=2, slope=0.1),
    "RateRNN": lambda: cx.RateRNN.random(4, key=key(1), gain=3, alpha=0.8, num_inputs=2),
    "CurrentRNN": lambda: cx.CurrentRNN.random(4, key=key(1), gain=3, alpha=0.8),
    "RectifiedRNN": lambda: cx.RectifiedRNN.random(4, key=key(1), gain=3, alpha=0.8),
    "LowRankRNN": lambda: cx.LowRankRNN.random(9, 2, key=key(11), gain=8, alpha=0.5, num_inputs=2),
    "TentMap": lambda: cx.TentMap(1.9),
    "SkewTentMap": lambda: cx.SkewTentMap(left=0.7, right=-1.6, offset=0.4),
    "LoziMap": lambda: cx.LoziMap(1.7, 0.5),
    "BorderCollisionNormalForm": lambda: cx.BorderCollisionNormalForm(
        left=[[1.2, 1.0], [-0.4, 0.0]], right=[[-1.5, 1.0], [-0.3, 0.0]], h=[0.7, 0.0]
    ),
}


@pytest.fixture(params=MODELS, ids=lambda name: name.replace(" ", "-"))
def model(request) -> cx.AbstractPiecewiseLinearMap:
    return MODELS[request.param]()


def slow(*values):
    """One of the cases of a test that is left to the slow suite."""
    return pytest.param(*values, marks=pytest.mark.slow)


# One of each kind of gates, and of what they are written in.
KINDS = (
    "PLRNN diagonal",
    "MeanCenteredPLRNN",
    "ClippedShallowPLRNN",
    "ClippedDendriticPLRNN",
    "AlmostLinearRNN",
    "LowRankPLRNN",
    "LeakyReLURNN",
    "CurrentRNN",
    "LowRankRNN",
    "LoziMap",
)


def over_kinds():
    """Every network of `MODELS`, of which only those of `KINDS` are in the fast suite."""
    return over_classes(*(name for name in MODELS if name not in KINDS))


def over_classes(*left: str):
    """Every network of `MODELS`, of which those named are left to the slow suite: others of their class stay."""
    names = [slow(name) if name in left else name for name in MODELS]
    return pytest.mark.parametrize("model", names, ids=lambda name: name.replace(" ", "-"), indirect=True)


def case_names() -> list[str]:
    path = CASES / "answers.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


def answer(name: str) -> dict:
    return json.loads((CASES / "answers.json").read_text())[name]
