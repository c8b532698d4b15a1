"""`fit`: one compile, bitwise resuming, runs at once, what is refused, and what the forcing promises."""

import inspect
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from plain import plain_pieces

import cyclax as cx
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.training.arguments import checked_problem
from cyclax.training.fit import fit
from cyclax.training.forcing import (
    Adaptive,
    Annealed,
    Constant,
    FreeRunning,
    GeneralizedForcing,
    Scheduled,
    SparseForcing,
)
from cyclax.training.jacobians import GeometricMeanNorm, ProductNorm, WeightBound, weight_bound
from cyclax.training.loop import advance
from cyclax.training.model import Affine, LatentModel
from cyclax.training.optimizers import RAdam
from cyclax.training.regularizers import L2, ConditionNumber, ManifoldAttractor


def oscillation(rows=400):
    t = np.arange(rows) * 0.3
    return np.stack([np.sin(t), np.cos(t)], axis=1) + 0.1 * np.sin(2 * t + 1)[:, None]


SERIES = oscillation()
SMALL = dict(batch=4, length=10, key=0, progress=False)
CHECKED: dict[str, Any] = dict(forcing=FreeRunning(), optimizer=None, regularizers=(), callback=None, steps=2, key=0, batch=4, length=10, dtype="float32", checkpoint_every=None, keep_every=1)  # noqa: E501  # fmt: skip


def network(seed=0, states=3):
    return cx.ShallowPLRNN.random(states, 8, key=jax.random.key(seed), gain=0.3)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_it_learns_and_says_so():
    result = fit(
        network(states=3), SERIES, forcing=GeneralizedForcing(0.3), steps=3000, optimizer=RAdam(1e-2, 1e-3), **SMALL
    )
    assert result.losses.shape == result.gradient_norms.shape == result.strengths.shape == (3000,)
    assert result.losses[-50:].mean() < 0.1 * result.losses[:20].mean()
    assert result.updates == tuple(range(0, 3001, 150))
    assert len(result.models) == len(result.maps) == 21
    assert same(result.models[-1], result.model)
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(result.model))
    assert all(np.array_equal(leaf, leaf.astype(np.float32)) for leaf in jax.tree.leaves(result.model))
    told = str(result)
    for part in ("ShallowPLRNN with M = 3", "GeneralizedForcing, alpha 0.3", "3,000; ", "21 models kept", "finished"):
        assert part in told
    orbit = result.model.generate(SERIES[0], 50)
    assert orbit.shape == (51, 2)
    np.testing.assert_array_equal(orbit[0], SERIES[0])


def test_one_compilation_and_chunks_do_not_matter():
    def train(every):
        return fit(network(), SERIES, forcing=GeneralizedForcing(), steps=70, checkpoint_every=every, **SMALL)

    results = [train(70)]
    compiled = advance._cache_size()
    results += [train(7), train(1)]
    assert advance._cache_size() == compiled
    assert same(results[0].model, results[1].model)
    assert same(results[0].model, results[2].model)
    np.testing.assert_array_equal(results[0].losses, results[2].losses)


def test_global_precision_does_not_matter():
    results = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            results.append(fit(network(), SERIES, forcing=FreeRunning(), steps=20, **SMALL))
    assert same(results[0].model, results[1].model)
    double = fit(network(), SERIES, forcing=FreeRunning(), steps=20, dtype=np.float64, **SMALL)
    np.testing.assert_allclose(double.losses, results[0].losses, rtol=1e-4)
    assert not np.array_equal(double.losses, results[0].losses)


@pytest.mark.parametrize("together", [False, True], ids=["threads", "vmap"])
def test_runs_at_once_are_the_runs_alone(together):
    nets = [network(seed) for seed in range(3)]
    forcings = [GeneralizedForcing(alpha) for alpha in (0.1, 0.2, 0.4)]
    rates = [RAdam(rate) for rate in (1e-3, 2e-3, 3e-3)]
    many = fit(nets, SERIES, forcing=forcings, optimizer=rates, steps=30, vmap=together, **SMALL)
    for i, one in enumerate(many):
        alone = SMALL | {"key": jax.random.fold_in(jax.random.key(0), i)}
        single = fit(nets[i], SERIES, forcing=forcings[i], optimizer=rates[i], steps=30, **alone)
        for a, b in zip(jax.tree.leaves(one.model), jax.tree.leaves(single.model), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 if together else 0)


@pytest.mark.parametrize(
    ("forcing", "wanted"),
    [
        (FreeRunning(), lambda i: 0),
        (SparseForcing(5), lambda i: 1),
        (GeneralizedForcing(0.25), lambda i: 0.25),
        (GeneralizedForcing(Annealed(0.5, 0.1, 10)), lambda i: 0.5 - 0.04 * min(i, 10)),
        (GeneralizedForcing(Scheduled(optax.linear_schedule(1.0, 0.0, 20))), lambda i: 1 - min(i, 20) / 20),
    ],
    ids=["free", "sparse", "constant", "annealed", "scheduled"],
)
def test_strengths(forcing, wanted):
    result = fit(network(), SERIES, forcing=forcing, steps=15, **SMALL)
    np.testing.assert_allclose(result.strengths, [wanted(i) for i in range(15)], atol=1e-6)


def test_adaptive_alpha_is_raised_at_once_and_lowered_slowly():
    class Told(GeometricMeanNorm):
        def __call__(self, map_, forced):
            return 0 * forced[0, 0, 0] + jax.numpy.asarray(self.iterations, forced.dtype)

    rule = Adaptive(every=2, decay=0.9)
    one = np.float32(1.0)

    def following(norm, strength, update):
        object.__setattr__(rule, "norm", lambda map_, forced: jax.numpy.asarray(norm, np.float32))
        with numerics(double=False):
            return float(rule.following(jax.numpy.float32(strength), update, None, one))

    assert following(2.0, 1.0, 0) == 0.5  # the first measurement counts as it is
    np.testing.assert_allclose(following(4.0, 0.5, 2), 0.75)  # raised at once
    np.testing.assert_allclose(following(1.25, 0.75, 2), 0.9 * 0.75 + 0.1 * 0.2, rtol=1e-6)  # lowered slowly
    np.testing.assert_allclose(following(0.5, 0.75, 2), 0.9 * 0.75, rtol=1e-6)  # never below 0
    assert following(4.0, 0.5, 3) == 0.5  # in between
    assert following(np.nan, 0.5, 2) == 0.5  # nothing to measure


def test_forced_jacobians_shrink_at_every_checkpoint():
    rng = np.random.default_rng(0)
    map_ = cx.PLRNN(A=rng.uniform(0.5, 0.9, 4), W=rng.normal(size=(4, 4)), h=rng.normal(size=4))
    series = np.concatenate([SERIES, oscillation(430)[30:]], axis=1)
    forcing = GeneralizedForcing(Adaptive(WeightBound(), every=1, decay=0.0))
    result = fit(map_, series, forcing=forcing, steps=40, checkpoint_every=5, **SMALL)
    assert np.ptp(result.strengths) > 0
    for update, kept in zip(result.updates[1:-1], result.maps[1:-1], strict=True):
        alpha = 1 - 1 / (1.001 * float(np.max(np.abs(kept.A)) + np.linalg.norm(kept.W, 2)))
        # The strength of the update after it was measured one update before.
        assert alpha - result.strengths[update] < 0.02
        z, pieces = rng.normal(size=(200, 4)), plain_pieces(kept)
        assert all(np.linalg.norm((1 - alpha) * pieces(one)[2], 2) < 1 for one in z)
        assert float(weight_bound(kept)) >= max(np.linalg.norm(pieces(one)[2], 2) for one in z)


def test_radam_by_hand():
    """Rectified Adam as published (Liu et al., algorithm 2), clipped, at a rate that falls exponentially."""
    rng, steps = np.random.default_rng(0), 12
    gradients, weights = 3 * rng.normal(size=(steps, 4)), np.zeros(4)
    rule = RAdam(1e-2, 1e-4, clip=2.0)
    with numerics():
        state, found = rule.init(jax.numpy.zeros(4)), []
        for i, gradient in enumerate(gradients):
            part = jax.numpy.asarray(i / (steps - 1))
            changes, state = rule.changes(jax.numpy.asarray(gradient), state, weights, part)
            found.append(np.asarray(changes))
    m = v = np.zeros(4)
    longest = 2 / (1 - 0.999) - 1
    for t, (gradient, change) in enumerate(zip(gradients, found, strict=True), 1):
        gradient = gradient * min(1, 2.0 / np.linalg.norm(gradient))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        wanted = m / (1 - 0.9**t)
        if length >= 5:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            wanted = np.sqrt(rectified) * wanted / np.sqrt(v / (1 - 0.999**t))
        rate = 1e-2 * (1e-4 / 1e-2) ** ((t - 1) / (steps - 1))
        np.testing.assert_allclose(change, -rate * wanted, rtol=1e-5)


def test_affine_readout_and_regularizers():
    model = LatentModel.observing(network(states=5), Affine.random(2, 5, key=jax.random.key(1)))
    result = fit(
        model, SERIES, forcing=SparseForcing(4), steps=200, optimizer=optax.adam(1e-2),
        regularizers=[L2(1e-5), ConditionNumber(1e-3)], **SMALL,
    )  # fmt: skip
    assert result.losses[-20:].mean() < 0.2 * result.losses[:5].mean()
    assert not same(result.model.observation, model.observation)
    assert not same(result.model.start, model.start)
    strong = fit(model, SERIES, forcing=SparseForcing(4), steps=50, regularizers=L2(1e3), **SMALL)
    assert np.linalg.norm(strong.map.W1) < np.linalg.norm(model.map.W1)


def test_callback_sees_every_checkpoint():
    seen = []
    result = fit(
        network(), SERIES, forcing=FreeRunning(), steps=20, checkpoint_every=8, keep_every=2,
        callback=lambda update, model: seen.append((update, model)), **SMALL,
    )  # fmt: skip
    assert [update for update, _ in seen] == [8, 16, 20]
    assert same(seen[-1][1], result.model)
    assert result.updates == (0, 16, 20)


def test_nan_stops_with_the_last_good_model():
    wild = cx.PLRNN(A=np.full(2, 0.9), W=40 * np.ones((2, 2)), h=np.ones(2))
    with pytest.warns(RuntimeWarning, match="the loss of update 0 was not finite; the model is the one before it"):
        result = fit(wild, SERIES, forcing=FreeRunning(), steps=20, batch=4, length=60, key=0, progress=False)
    assert len(result.losses) == 1
    assert np.array_equal(result.map.W, wild.W)
    assert "stopped    the loss of update 0" in str(result)
    with pytest.warns(RuntimeWarning, match="run 0: the loss of update 0"):
        both = fit([wild, cx.PLRNN.random(2, key=jax.random.key(0), gain=0.1)], SERIES, forcing=FreeRunning(), steps=20, batch=4, length=60, key=0, progress=False)  # noqa: E501  # fmt: skip
    assert both[1].stopped is None
    assert len(both[1].losses) == 20


# -- Ctrl-C. It ends the test at most, never the process that runs the tests. ---------------------------------------

ENDLESS: dict[str, Any] = dict(forcing=FreeRunning(), steps=10_000_000, checkpoint_every=50, keep_every=10**6)


def fit_in_spite_of_ctrl_c(**arguments):
    try:
        return fit(network(), SERIES, **(SMALL | arguments))
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C was raised, and a training was lost")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["callback", "anywhere"])
def test_interrupted_training_returns_what_there_is(elsewhere):
    """Without end but for Ctrl-C, so that it comes within `fit` however late: to our callback, or wherever it is."""

    def interrupt(update, model):
        if update == 50 and elsewhere:
            threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,)).start()
        elif update == 50:
            signal.raise_signal(signal.SIGINT)

    result = fit_in_spite_of_ctrl_c(callback=interrupt, **ENDLESS)
    assert result.stopped == f"interrupted by Ctrl-C after {len(result.losses):,} of 10,000,000 updates"
    assert result.report["interrupted"]
    assert 50 <= len(result.losses) < 10_000_000
    assert elsewhere or len(result.losses) == 50
    assert len(result.losses) == len(result.gradient_norms)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_at_any_line_neither_raises_nor_is_lost(tmp_path):
    """Press Ctrl-C before each line of the driver in turn, once training has begun and until its result is returned."""
    files = {inspect.getfile(fit), inspect.getfile(Interruption)}
    lines: dict[tuple[str, int], str] = {}

    def run(pressed_at, folder):
        """Trace one training; give its result, None where Ctrl-C raised, and whether it had begun when pressed."""
        begun, seen = [False], set()

        def trace(frame, event, _):
            line = frame.f_code.co_filename, frame.f_lineno
            if line[0] not in files:
                return None
            begun[0] = begun[0] or frame.f_code.co_name == "run"
            if event == "line" and line not in seen and begun[0]:
                seen.add(line)
                lines.setdefault(line, frame.f_code.co_name)
                if line == pressed_at:
                    signal.raise_signal(signal.SIGINT)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return fit(network(), SERIES, forcing=FreeRunning(), steps=4, checkpoint_every=2, store=folder, **SMALL)
        except KeyboardInterrupt:
            return None
        finally:
            sys.settrace(before)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    whole = run(None, tmp_path / "whole")
    assert whole.stopped is None
    assert not whole.report["interrupted"]
    raised = []
    assert len(lines) > 80
    for i, line in enumerate(list(lines)):
        result = run(line, tmp_path / str(i))
        if result is None:
            raised.append((lines[line], line[1]))
        else:
            assert result.report["interrupted"], line
            assert result.stopped == f"interrupted by Ctrl-C after {len(result.losses)} of 4 updates"
            np.testing.assert_array_equal(result.losses, whole.losses[: len(result.losses)])
    # The handler from before is back for two lines that call nothing: Python itself runs no handler there.
    first, last = (inspect.getsource(fit).splitlines().index(text) for text in (
        "    if interruption.pressed:", "    return fits if problem.many else fits[0]"
    ))  # fmt: skip
    begin = inspect.getsourcelines(fit)[1]
    assert raised == [("fit", begin + first), ("fit", begin + last)]


def test_ctrl_c_as_the_handler_from_before_comes_back(monkeypatch):
    setter = signal.signal

    def late(number, handler):
        before = setter(number, handler)
        if handler is signal.default_int_handler:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "signal", late)
    result = fit_in_spite_of_ctrl_c(forcing=FreeRunning(), steps=4)
    assert result.stopped == "interrupted by Ctrl-C after 4 of 4 updates"
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        interruption.pressed = True


def test_the_second_interruption_raises():
    def interrupt(update, model):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), SERIES, callback=interrupt, **ENDLESS, **SMALL)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_the_user_and_other_threads_are_left_alone():
    heard = []
    short = ENDLESS | SMALL | {"steps": 50}
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        fit(network(), SERIES, callback=lambda *_: signal.raise_signal(signal.SIGINT), **short)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: fit(network(), SERIES, **short)).result().stopped is None


def test_store_resumes_bitwise_and_refuses_others(tmp_path):
    class Enough(Exception):
        pass

    def halt(update, model):
        if update == 20:
            raise Enough

    arguments = dict(forcing=GeneralizedForcing(), steps=40, checkpoint_every=10, **SMALL)
    whole = fit(network(), SERIES, **arguments)
    with pytest.raises(Enough):
        fit(network(), SERIES, store=tmp_path / "a", callback=halt, **arguments)
    resumed = fit(network(), SERIES, store=tmp_path / "a", **arguments)
    assert resumed.report["resumed_at"] == 20
    assert same(whole.model, resumed.model)
    assert all(same(a, b) for a, b in zip(whole.models, resumed.models, strict=True))
    np.testing.assert_array_equal(whole.losses, resumed.losses)
    again = fit(network(), SERIES, store=tmp_path / "a", **arguments)
    assert same(whole.model, again.model)
    with pytest.raises(ValueError, match=r"holds another training .*steps: 40 there, 50 now"):
        fit(network(), SERIES, store=tmp_path / "a", **(arguments | {"steps": 50}))
    with pytest.raises(ValueError, match=r"holds another training .*series"):
        fit(network(), SERIES[1:], store=tmp_path / "a", **arguments)
    (tmp_path / "a" / "model-0000020.npz").unlink()
    with pytest.raises(ValueError, match=r"model-0000020\.npz.* training begins anew"):
        fit(network(), SERIES, store=tmp_path / "a", **arguments)
    (tmp_path / "a" / "state.npz").write_bytes(b"broken")
    with pytest.raises(ValueError, match="training begins anew"):
        fit(network(), SERIES, store=tmp_path / "a", **arguments)


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_bitwise(tmp_path):
    program = (
        "import sys, jax, numpy as np; sys.path[:0] = [sys.argv[2], sys.argv[2] + '/..']\n"
        "from test_training_fit import *\n"
        "result = fit(network(), SERIES, forcing=GeneralizedForcing(), steps=6000, checkpoint_every=500,\n"
        "             store=sys.argv[1], **SMALL)\n"
        "np.savez(sys.argv[1] + '/end', *jax.tree.leaves(result.model), resumed_at=result.report['resumed_at'])\n"
    )
    command = [sys.executable, "-c", program]
    here = str(Path(__file__).parent)
    killed = subprocess.Popen([*command, str(tmp_path / "killed"), here])
    begun, deadline = tmp_path / "killed" / "model-0001000.npz", time.monotonic() + 120
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    for folder in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / folder), here], check=True, timeout=300)
    ends = [dict(np.load(tmp_path / folder / "end.npz")) for folder in ("killed", "whole")]
    assert ends[0].pop("resumed_at") > 0
    assert ends[1].pop("resumed_at") == 0
    assert ends[0].keys() == ends[1].keys()
    assert len(ends[0]) >= 5
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    "functions",
    [
        {"optimizer": [optax.adam(1e-3), optax.adam(1e-2)]},
        {"optimizer": [optax.sgd(1e-3), optax.sgd(1e-3, momentum=0.9)]},
        {"forcing": [GeneralizedForcing(Scheduled(optax.linear_schedule(1.0, end, 9))) for end in (0.0, 0.5)]},
    ],
    ids=["rate", "momentum", "schedule"],
)
def test_a_store_tells_functions_apart(tmp_path, functions):
    ((name, (first, second)),) = functions.items()
    arguments = dict(forcing=FreeRunning(), steps=20, checkpoint_every=10, store=tmp_path, **SMALL)
    fit(network(), SERIES, **(arguments | {name: first}))
    assert fit(network(), SERIES, **(arguments | {name: first})).report["resumed_at"] == 20
    with pytest.raises(ValueError, match=f"holds another training .*{name}"):
        fit(network(), SERIES, **(arguments | {name: second}))


def test_the_last_window_ends_with_the_last_row():
    one = checked_problem(network(), [SERIES[:11], SERIES[:25]], **CHECKED)
    np.testing.assert_array_equal(one.starts, [0, *range(11, 26)])
    assert one.starts[-1] + CHECKED["length"] == len(one.series) - 1


def test_numpy_numbers_are_numbers():
    one = fit(
        network(), SERIES.astype(np.float32).tolist(), forcing=SparseForcing(np.int64(3)), steps=np.int64(4),
        key=np.uint32(0), batch=np.int32(4), length=np.int16(10), checkpoint_every=np.int64(2), progress=False,
    )  # fmt: skip
    assert len(one.losses) == 4
    model = LatentModel.observing(network(), np.int64(2))
    assert model.num_observed == 2
    assert model.generate(SERIES[0], np.int64(3)).shape == (4, 2)
    assert [Adaptive(every=np.int64(2)).every, GeometricMeanNorm(stride=np.int8(2)).stride] == [2, 2]
    assert ManifoldAttractor(1, units=np.int64(2)).units == 2


ERRORS = [
    (dict(series=np.where(np.arange(800).reshape(400, 2) == 7, np.nan, SERIES)), "nan in row 3, column 1"),
    (dict(series=np.c_[SERIES, np.ones(400)]), r"column 2 \(counted from 0\) is constant"),
    (dict(series=SERIES[:8]), "a window of 10 steps needs 11 rows, and it has 8; .* or length=7"),
    (dict(series=SERIES[None]), r"expected shape \(T, N\)"),
    (dict(series=[SERIES, SERIES[:, :1] * 2]), r"series\[1\]: it has 1 columns, and series\[0\] 2"),
    (dict(model=cx.PLRNN.random(1, key=jax.random.key(0))), "the map has 1 states, and the series 2 columns"),
    (dict(model=3), "expected a map of cyclax or a LatentModel, got int"),
    (dict(model=[network(), network(states=4)]), "number 1 differs from number 0"),
    (dict(model=[network()] * 2, forcing=[FreeRunning()] * 3), "equally long, and not empty, got model: 2, forcing: 3"),
    (dict(forcing="sparse"), r"expected FreeRunning\(\), SparseForcing"),
    (dict(optimizer=0.1), "expected RAdam"),
    (dict(regularizers=[0.1]), r"expected objects such as L2\(1e-4\)"),
    (dict(steps=0), "steps: expected a positive int, got 0"),
    (dict(regularizers=None), r"expected objects such as L2\(1e-4\), got NoneType"),
    (dict(dtype=np.float16), "expected float32 or float64"),
    (dict(dtype=None), "expected float32 or float64, got None"),
    (dict(dtype="foo"), "expected float32 or float64, got 'foo'"),
    (dict(callback=3), "callback: expected a function"),
    (dict(series=SERIES * 1e20), "squares of its numbers overflow in float32; standardize it"),
    (dict(key="a"), "expected a JAX random key"),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=[message[:30] for _, message in ERRORS])
def test_errors(arguments, message):
    good = dict(model=network(), series=SERIES, forcing=FreeRunning(), steps=2) | SMALL
    with pytest.raises((TypeError, ValueError), match=message):
        fit(**(good | arguments))


def test_errors_of_the_objects():
    with pytest.raises(ValueError, match=r"SparseForcing: interval: expected a positive int"):
        SparseForcing(0)
    with pytest.raises(ValueError, match=r"alpha: expected a number between 0 and 1, got 1\.5"):
        GeneralizedForcing(1.5)
    with pytest.raises(TypeError, match="alpha must be a number"):
        GeneralizedForcing("much")
    with pytest.raises(ValueError, match="Adaptive: every"):
        Adaptive(every=0)
    with pytest.raises(TypeError, match="Adaptive: norm: expected an object such as"):
        Adaptive(norm=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="GeometricMeanNorm: stride: expected a positive int"):
        GeometricMeanNorm(stride=0)
    with pytest.raises(ValueError, match="ProductNorm: iterations: expected a positive int"):
        ProductNorm(iterations=0)
    with pytest.raises(ValueError, match="L2: strength: expected a number of 0 or more"):
        L2(-1.0)
    with pytest.raises(TypeError, match="observation, where it is no Identity or Affine: expected a positive int"):
        LatentModel.observing(network(), "affine")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="steps: expected an int, 0 or more"):
        LatentModel.observing(network(), 2).generate(SERIES[0], -1)
    with pytest.raises(ValueError, match="RAdam: clip"):
        RAdam(clip=-1.0)
    with pytest.raises(ValueError, match="of 2 states, 3 cannot be observed"):
        LatentModel.observing(cx.PLRNN.random(2, key=jax.random.key(0)), 3)
    assert Constant(0.5).value == 0.5
