"""Numbers that users give are checked by the same rules in every verb."""

import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx
from cyclax import data, metrics, plot
from cyclax.core.checks import checked_key, plain, real, switch, whole

INTS = [3, np.int64(3), np.uint8(3), np.array(3), jnp.int32(3)]
NO_INTS = [3.0, np.float64(3), "3", b"3", True, np.True_, np.array(True), None, [3], np.array([3]), 3 + 0j]
REALS = [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5), jnp.float32(0.5), jnp.bfloat16(0.5)]
NO_REALS = ["0.5", True, np.True_, np.array(True), None, [0.5], np.array([0.5]), 0.5j, np.array("0.5"), np.array(None)]


@pytest.mark.parametrize("value", INTS, ids=repr)
def test_whole_takes_every_int(value):
    number = whole(value, "steps")
    assert type(number) is int
    assert number == plain(value) == 3


@pytest.mark.parametrize("value", NO_INTS, ids=repr)
def test_whole_takes_nothing_else(value):
    with pytest.raises(TypeError, match=r"^steps: expected a positive int, got "):
        whole(value, "steps")
    assert plain(value) is value


def test_whole_says_the_range():
    with pytest.raises(ValueError, match=r"^steps: expected a positive int, got 0\.$"):
        whole(0, "steps")
    with pytest.raises(ValueError, match=r"^steps: expected an int, 0 or more, got -1\.$"):
        whole(-1, "steps", 0)
    with pytest.raises(ValueError, match=r"^index: expected an int from 1 to 3, got 4\.$"):
        whole(4, "index", 1, 3)
    with pytest.raises(TypeError, match=r"^index: expected an int, got '4'\.$"):
        whole("4", "index", None)
    assert whole(-4, "index", None) == -4


@pytest.mark.parametrize("value", [*REALS, fractions.Fraction(1, 2)], ids=repr)
def test_real_takes_every_number(value):
    assert type(real(value, "dt")) is float
    assert real(value, "dt", positive=True) == 0.5


@pytest.mark.parametrize("value", NO_REALS, ids=repr)
def test_real_takes_nothing_else(value):
    with pytest.raises(TypeError, match=r"^dt: expected the time of a step, a number of 0 or more, got "):
        real(value, "dt", "the time of a step")


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, 10**400], ids=lambda value: str(value)[:5])
def test_real_says_the_range(value):
    with pytest.raises(ValueError, match=r"^dt: expected a number of 0 or more, got "):
        real(value, "dt")


def test_real_may_be_nothing_or_without_end_where_that_is_said():
    assert real(0, "dt") == 0
    assert real(math.inf, "seconds", finite=False) == math.inf
    with pytest.raises(ValueError, match="dt: expected a positive number, got 0"):
        real(0, "dt", positive=True)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_key_is_one(make):
    with pytest.raises(ValueError, match=r"key: expected one JAX random key, got an array of 3: give keys\[0\]"):
        checked_key(jax.random.split(make(0), 3))
    assert checked_key(make(0)) == jax.random.key(0)


def test_switch():
    assert switch(np.True_, "exact") is True
    for value in (1, "yes", None):
        with pytest.raises(TypeError, match="exact: expected True or False, got"):
            switch(value, "exact")


# -- every place at which an int is asked for --------------------------------------------------------------------------

TENT = cx.TentMap(1.9)
LINE = {"slope": [1.2, 1.9]}
FEW = cx.SCYFI(starts=16, moves=8)


def _fit(**settings):
    settings = {"steps": 2, "batch": 2, "length": 3} | settings
    given = cx.simulate(TENT, [0.3], 20)
    return cx.fit(cx.TentMap(1.5), given, forcing=cx.FreeRunning(), key=0, progress=False, **settings)


def _lyapunov(**settings):
    settings = {"steps": 20, "warmup": 0} | settings
    return cx.lyapunov_spectrum(TENT, [0.3], progress=False, **settings)


def _scan(**settings):
    settings = {"starts": 16, "moves": 8} | settings
    return cx.scan(TENT, LINE, 1, key=0, progress=False, **settings)


ASKED = {
    "SCYFI: starts": lambda n: cx.SCYFI(starts=n),
    "SCYFI: moves": lambda n: cx.SCYFI(moves=n),
    "SCYFI: lanes": lambda n: cx.SCYFI(lanes=n),
    "orders": lambda n: cx.find_cycles(TENT, n, key=0, finder=FEW, progress=False),
    "near_misses": lambda n: cx.find_cycles(TENT, 1, key=0, finder=FEW, near_misses=n, progress=False),
    "key": lambda n: cx.find_cycles(TENT, 1, key=n, finder=FEW, progress=False),
    "Budget: nodes": lambda n: cx.Budget(nodes=n),
    "Budget: memory": lambda n: cx.Budget(memory=n),
    "steps": lambda n: cx.attractors(TENT, 2, key=0, steps=n),
    "longest": lambda n: cx.attractors(TENT, 2, key=0, steps=5, longest=n),
    "scan: starts": lambda n: _scan(starts=n),
    "scan: moves": lambda n: _scan(moves=n),
    "scan: cells": lambda n: _scan(cells=n),
    "scan: orbit_steps": lambda n: _scan(orbit_steps=n),
    "scan: longest_period": lambda n: _scan(longest_period=n),
    "track: starts": lambda n: cx.track([TENT, TENT], 1, key=0, starts=n, moves=8, progress=False),
    "track: moves": lambda n: cx.track([TENT, TENT], 1, key=0, starts=16, moves=n, progress=False),
    "attractor_points: transient": lambda n: cx.attractor_points(TENT, LINE, key=0, transient=n, points=2),
    "attractor_points: points": lambda n: cx.attractor_points(TENT, LINE, key=0, transient=1, points=n),
    "attractor_points: orbits": lambda n: cx.attractor_points(TENT, LINE, key=0, transient=1, points=2, orbits=n),
    "Parameter: index": lambda n: cx.Parameter("A", n),
    "fit: steps": lambda n: _fit(steps=n),
    "fit: batch": lambda n: _fit(batch=n),
    "fit: length": lambda n: _fit(length=n),
    "fit: checkpoint_every": lambda n: _fit(checkpoint_every=n),
    "fit: keep_every": lambda n: _fit(keep_every=n),
    "SparseForcing: interval": cx.SparseForcing,
    "lyapunov_spectrum: steps": lambda n: _lyapunov(steps=n),
    "lyapunov_spectrum: warmup": lambda n: _lyapunov(warmup=n),
    "lyapunov_spectrum: orthonormalize_every": lambda n: _lyapunov(steps=30, orthonormalize_every=n),
    "simulate": lambda n: cx.simulate(TENT, [0.3], n),
    "AlmostLinearRNN: num_gated": lambda n: cx.AlmostLinearRNN(A=np.ones(3), W=np.eye(3), h=np.ones(3), num_gated=n),
    "Lorenz96: sites": lambda n: data.Lorenz96(sites=n),
    "windows": lambda n: data.windows(np.arange(9.0), n),
    "delay_embedding": lambda n: data.delay_embedding(np.arange(19.0), 2, n),
    "Bins": metrics.Bins,
}


# Equinox warns of JAX arrays in static fields; they are taken for the ints that they are.
@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
@pytest.mark.parametrize("name", ASKED)
def test_ints_are_asked_for_by_one_rule(name):
    if name != "Lorenz96: sites":  # which asks for four
        for value in INTS:
            ASKED[name](value)
    for value in ("3", 3.0, True, np.True_):
        with pytest.raises(TypeError, match="expected"):
            ASKED[name](value)


REAL = {
    "SCYFI: unseen": lambda x: cx.SCYFI(unseen=x),
    "SCYFI: seconds": lambda x: cx.SCYFI(seconds=x),
    "Budget: seconds": lambda x: cx.Budget(seconds=x),
    "budget": lambda x: cx.enumerate_cycles(TENT, 1, budget=x),
    "JumpRule: threshold": lambda x: cx.JumpRule(threshold=x),
    "GeneralizedForcing": cx.GeneralizedForcing,
    "lyapunov_spectrum: dt": lambda x: _lyapunov(dt=x),
    "lyapunov_spectrum: rtol": lambda x: _lyapunov(rtol=x),
    "Bins: smoothing": lambda x: metrics.Bins(smoothing=x),
}


@pytest.mark.parametrize("name", REAL)
def test_numbers_are_asked_for_by_one_rule(name):
    for value in REALS:
        REAL[name](value)
    for value in ("0.5", True, np.True_):
        with pytest.raises(TypeError):
            REAL[name](value)


def test_orders_in_an_array():
    cycles = cx.find_cycles(TENT, np.array([1, 3]), key=0, finder=FEW, progress=False)
    assert cycles.orders == (1, 3)
    assert cx.find_cycles(TENT, np.array(2), key=0, finder=FEW, progress=False).orders == (1, 2)


def test_ints_of_numpy_go_into_files(tmp_path):
    """They are Python's from the door on: files of JSON know no others."""
    finder = cx.SCYFI(starts=np.int64(16), moves=np.int64(8), lanes=np.int64(32))
    cycles = cx.find_cycles(TENT, np.int64(2), key=np.int64(0), finder=finder, progress=False)
    cycles.save(tmp_path / "cycles.npz")
    assert cx.Cycles.load(tmp_path / "cycles.npz").counts == cycles.counts
    found = _scan(starts=np.int64(16), moves=np.int64(8), orbit_steps=np.int64(5))
    found.save(tmp_path / "scan.npz")
    gated = cx.AlmostLinearRNN.random(3, np.int64(2), key=jax.random.key(0))
    cx.save(tmp_path / "model.json", gated)
    assert cx.load(tmp_path / "model.json").num_gated == 2


def test_plots_ask_by_the_same_rule():
    found = _scan(orbit_steps=0)
    with pytest.raises(TypeError, match="coordinate: expected an int from 0 to 0, got '0'"):
        plot.bifurcation_diagram(found, coordinate="0")
    with pytest.raises(ValueError, match="coordinate: expected an int from 0 to 0, got"):
        plot.bifurcation_diagram(found, coordinate=np.int64(1))
