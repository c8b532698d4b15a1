"""What is written otherwise for accelerators gives what CPUs get: run here, on a CPU that says it is none."""

import jax
import numpy as np
import pytest
from conftest import slow

import cyclax as cx
from cyclax.lyapunov.kernel import TOGETHER
from cyclax.search import fused, lanes, newton


@pytest.fixture
def accelerated(monkeypatch):
    """A function that runs another as on a GPU; programs of one kind are not to be met by the other."""

    def run(function):
        jax.clear_caches()
        with monkeypatch.context() as patched:
            patched.setattr(jax, "default_backend", lambda: "gpu")
            patched.setattr(fused, "INTERPRETED", True)
            result = function()
        jax.clear_caches()
        return result

    return run


@pytest.mark.parametrize(("M", "order", "in_one_kernel"), [(2, 11, False), (2, 11, True), slow(6, 3, False)])
def test_the_search_finds_the_same_cycles(monkeypatch, accelerated, M, order, in_one_kernel):
    """Orders that the number of steps written out does not divide; moves that are not, or are, one kernel."""
    one = cx.LoziMap(1.7, 0.5) if M == 2 else cx.PLRNN.random(M, key=jax.random.key(M), gain=1.5)
    models = [one, cx.LoziMap(1.6, 0.4)] if in_one_kernel else [one]
    monkeypatch.setattr(lanes, "FUSED_MOVES", in_one_kernel)
    finder = cx.SCYFI(starts=256, lanes=96 if in_one_kernel else None)
    find = lambda: cx.find_cycles(models, order, key=0, finder=finder, progress=False)  # noqa: E731
    wanted, found = find(), accelerated(find)
    assert accelerated(lambda: newton.steps_written_out(M)) == {2: 8, 6: 4}[M]
    assert accelerated(lambda: lanes.moves_are_fused(M, 1, M)) == in_one_kernel
    assert newton.steps_written_out(M) == 1
    for a, b in zip(wanted, found, strict=True):
        assert len(a) > 0
        words = [[(cycle.order, cycle.gates.tobytes()) for cycle in some] for some in (a, b)]
        assert words[0] == words[1]
        for cycle, other in zip(a, b, strict=True):
            np.testing.assert_allclose(cycle.points, other.points, rtol=1e-9, atol=1e-12)
        for name in ("starts", "hits", "loops", "singular", "lost", "tired"):
            assert a.report["orders"][str(order)][name] == b.report["orders"][str(order)][name], name


@pytest.mark.parametrize("every", [3, slow(1)])
def test_spectra_are_the_same(accelerated, every):
    """A number of groups that those written out together do not divide."""
    model = cx.PLRNN.random(3, key=jax.random.key(1), gain=1.5)
    steps = every * (5 * TOGETHER + 3)
    spectrum = lambda: cx.lyapunov_spectrum(  # noqa: E731
        model, np.ones(3), steps=steps, warmup=every * TOGETHER, orthonormalize_every=every, progress=False
    )
    wanted, found = spectrum(), accelerated(spectrum)
    np.testing.assert_allclose(found.exponents, wanted.exponents, rtol=1e-9, atol=1e-12)


def test_training_gives_the_same_weights(accelerated):
    """Windows that the steps written out together do not part."""
    series = np.random.default_rng(0).normal(size=(500, 5))
    model = cx.AlmostLinearRNN.random(5, 2, key=jax.random.key(0), gain=0.4)
    forcing = cx.GeneralizedForcing(0.3)
    fit = lambda: cx.fit(model, series, forcing=forcing, steps=5, length=23, key=0, dtype=float, progress=False)  # noqa: E731
    wanted, found = fit(), accelerated(fit)
    for a, b in zip(*(jax.tree.leaves(some.model) for some in (wanted, found)), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
