"""What a store takes for the same run: hashes of all that settings consist of, functions included."""

import functools
import importlib
import operator
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cyclax as cx
from cyclax.core.identity import fingerprint
from cyclax.training.regularizers import AbstractRegularizer

FACTOR = 0.1
SERIES = cx.simulate(cx.SkewTentMap(0.5, -1.4, 1.0), [0.3], 100)


def identity(value, name=None):
    return fingerprint(value, "it", name=name)


class Slope:
    """A schedule as an object."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, update):
        return self.rate * update


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, update):
        return self.rate * update


def with_default(rate):
    def schedule(update, rate=rate):
        return rate * update

    return schedule


def recursive(rate):
    def schedule(update):
        return rate if update <= 0 else schedule(update - 1)

    return schedule


# Each makes an object from one number: made twice it is the same, from another number it is not.
MAKERS = {
    "lambda": lambda x: lambda update: x * update,
    "array in a closure": lambda x: (lambda rates: lambda update: rates[update])(jnp.asarray([0.1, x])),
    "partial": lambda x: functools.partial(lambda rate, update: rate * update, x),
    "default": with_default,
    "calls itself": recursive,
    "bound method": lambda x: Slope(x).__call__,
    "object": Slope,
    "slots": Slotted,
    "jit": lambda x: jax.jit(lambda update: x * update),
    "vmap": lambda x: jax.vmap(lambda update: x * update),
    "filter_jit": lambda x: eqx.filter_jit(lambda update: x * update),
    "C with a state": lambda x: operator.itemgetter(int(10 * x)),
    "pytree": lambda x: {"a": [x, (1, None)], "b": {1, 2}},
    "key": lambda x: jax.random.key(int(10 * x)),
    "adam": optax.adam,
    "adamw": lambda x: optax.adamw(0.1, weight_decay=x),
    "clip": lambda x: optax.chain(optax.clip_by_global_norm(x), optax.adam(0.1)),
    "inject_hyperparams": lambda x: optax.inject_hyperparams(optax.adam)(learning_rate=x),
    "injected schedule": lambda x: optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(0.1, x, 9)),
    "late in a schedule": lambda x: optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 10, 100 + int(10 * x))),
    "joined": lambda x: optax.join_schedules([optax.constant_schedule(1.0), optax.cosine_decay_schedule(x, 5)], [99]),
    "masked": lambda x: optax.masked(optax.sgd(x), True),
    "not finite": lambda x: optax.apply_if_finite(optax.sgd(0.1), int(10 * x)),
    "MultiSteps": lambda x: optax.MultiSteps(optax.sgd(x), 2),
    "lbfgs": lambda x: optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(15, slope_rtol=x)),
    "plateau": lambda x: optax.contrib.reduce_on_plateau(factor=x),
    "forcing": lambda x: cx.GeneralizedForcing(cx.Scheduled(lambda update: x * update)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_equal_where_made_twice_and_different_where_a_number_differs(make):
    assert identity(make(0.3)) == identity(make(0.3))
    assert identity(make(0.3)) != identity(make(0.4))


def test_no_two_kinds_are_one():
    digests = [identity(make(0.3)) for make in MAKERS.values()]
    assert len(set(digests)) == len(digests)
    plain = [1, 1.0, True, "1", b"1", None, (1,), [1], {1}, {1: 1}, np.float64(1), np.float32(1), np.ones(1), -0.0, 0.0]
    assert len({identity(value) for value in plain}) == len(plain)


def test_another_process_gives_the_same():
    program = "import test_identity as t; print([t.identity(make(0.3)) for make in t.MAKERS.values()])"
    # Of the same settings: arrays of float32 are others.
    environment = os.environ | {"PYTHONHASHSEED": "7", "JAX_ENABLE_X64": str(int(jax.config.jax_enable_x64))}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, env=environment, capture_output=True, text=True
    )
    assert told.stdout.strip() == str([identity(make(0.3)) for make in MAKERS.values()]), told.stderr


def test_code_counts_and_where_it_stands_does_not():
    first, second = (eval("lambda i: 0.5 * i", {}), eval("\n\n\nlambda i: 0.5 * i", {}))
    assert identity(first) == identity(second)
    for other in ("lambda i: 0.6 * i", "lambda i: 0.5 + i", "lambda i: 0.5 * abs(i)", "lambda i: (lambda: 0.5 * i)()"):
        assert identity(eval(other, {})) != identity(first)


def test_globals_count(monkeypatch):
    def schedule(update):
        return max(FACTOR * update for _ in range(1))

    before = identity(schedule)
    monkeypatch.setitem(globals(), "SERIES", None)  # not used
    assert identity(schedule) == before
    monkeypatch.setitem(globals(), "FACTOR", 0.2)
    assert identity(schedule) != before


@pytest.mark.parametrize("form", ["import settings\ndef f(i): return settings.RATE * i", "def f(i):\n import settings\n return settings.RATE * i"])  # noqa: E501  # fmt: skip
def test_what_is_used_of_a_module_of_ones_own_counts(form, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in ("RATE = 0.1", "RATE = 0.1\nOTHER = 1", "RATE = 0.20"):
        (tmp_path / "settings.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("settings", None)
        importlib.import_module("settings")
        names: dict = {}
        exec(form, names)
        found.append(identity(names["f"]))
    sys.modules.pop("settings")
    assert found[0] == found[1] != found[2]


def penalty(factor):
    class Penalty(AbstractRegularizer):
        def __call__(self, model):
            return factor * jnp.sum(model.map.right**2)

    return Penalty()


def network(step):
    class Own(cx.AbstractPiecewiseLinearMap):
        a: jax.Array

        @property
        def num_states(self):
            return 1

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return step(self.a, z, gates)

    return Own(np.asarray(0.5))


def test_methods_of_classes_of_ones_own_count():
    assert identity(penalty(0.1)) == identity(penalty(0.1)) != identity(penalty(0.2))
    one, again, other = (network(lambda a, z, gates, c=c: jnp.where(gates, a * z, c * z)) for c in (0.1, 0.1, 0.2))
    assert identity(one) == identity(again) != identity(other)


def hidden():
    return (rate for rate in (0.1, 0.2))


def test_what_cannot_be_looked_into_is_refused_or_named():
    rates = hidden()
    with pytest.raises(ValueError, match=r"store: it: <generator object .* cannot be looked into.*name=\.\."):
        identity(lambda update: next(rates))
    assert identity(lambda update: next(rates), "a") == identity(lambda update: next(rates), "a")
    assert identity(rates, "a") != identity(rates, "b")
    with open(os.devnull) as file, pytest.raises(ValueError, match="TextIOWrapper"):
        identity(file)


# -- stores ------------------------------------------------------------------------------------------------------------


def train(store=None, **arguments):
    defaults = dict(
        forcing=cx.GeneralizedForcing(0.5), steps=30, key=0, batch=4, length=10, checkpoint_every=10, progress=False
    )
    return cx.fit(cx.SkewTentMap(0.5, -0.9, 1.0), SERIES, store=store, **defaults | arguments)


PAIRS = {
    "warm-up and cosine": lambda second: {
        "optimizer": optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 10, 2000 if second else 20))
    },
    "piecewise constant": lambda second: {
        "optimizer": optax.sgd(optax.piecewise_constant_schedule(0.03, {10: 1.0 if second else 0.1}))
    },
    "size of gradients": lambda second: {"optimizer": optax.chain(optax.clip(1e3 if second else 1e2), optax.sgd(0.03))},
    "one update of a forcing": lambda second: {
        "forcing": cx.GeneralizedForcing(cx.Scheduled(lambda i: jnp.where(i == 17, 0.1 + second, 0.5)))
    },
    "regularizer": lambda second: {"regularizers": penalty(0.2 if second else 0.1)},
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_a_store_of_another_training_is_refused(make, tmp_path):
    result = train(tmp_path, **make(False))
    assert train(tmp_path, **make(False)).map.right == result.map.right
    (name,) = make(False)
    with pytest.raises(ValueError, match=f"holds another training .*content of {name}"):
        train(tmp_path, **make(True))


def test_a_named_run_is_gone_on_with_by_its_name(tmp_path):
    rates = iter([])
    forcing = cx.GeneralizedForcing(cx.Scheduled(lambda update: 0.5 if rates else 0.0))
    assert train(forcing=forcing).updates[-1] == 30  # without a store nobody asks
    rates = hidden()
    with pytest.raises(ValueError, match="store: forcing: <generator"):
        train(tmp_path, forcing=forcing)
    assert train(tmp_path, forcing=forcing, name="half").report["resumed_at"] == 0
    assert train(tmp_path, forcing=forcing, name="half").report["resumed_at"] == 30
    with pytest.raises(ValueError, match='name: "half" there, "other" now'):
        train(tmp_path, forcing=forcing, name="other")
    with pytest.raises(TypeError, match="name: expected a text, got 3"):
        train(name=3)


def test_a_scan_is_told_by_the_models_that_functions_make(tmp_path):
    def scan(c, model=None):
        slope = cx.Parameter("slope", set=lambda m, a: eqx.tree_at(lambda m: m.left, m, jnp.where(a > 0.3, a + c, a)))
        model = cx.SkewTentMap(0.5, -1.4, 1.0) if model is None else model
        return cx.scan(model, {slope: [0.2, 0.3, 0.4]}, 2, key=0, store=tmp_path, progress=False)

    scan(0.0)
    scan(0.0)
    with pytest.raises(ValueError, match="models made by functions"):
        scan(0.1)


def test_a_scan_is_told_by_the_code_of_a_model(tmp_path):
    def scan(c):
        model = network(lambda a, z, gates: jnp.where(gates, a * z, c * z))
        return cx.scan(model, {"a": [0.2, 0.3]}, 1, key=0, store=tmp_path, progress=False)

    scan(0.5)
    scan(0.5)
    with pytest.raises(ValueError, match=r"model: .* there, .* now"):
        scan(0.7)
