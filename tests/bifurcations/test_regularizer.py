"""Cycles that are kept away from their bifurcations while a network trains."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import slow

import cyclax as cx

# Its fixed point at 1 / 1.6 has the multiplier -0.6; that which it learns from has lost it to a 2-cycle.
TENT = cx.SkewTentMap(0.5, -0.6, 1.0)
SERIES = cx.simulate(cx.SkewTentMap(0.5, -1.4, 1.0), jnp.array([0.3]), 100)


def leaves(model) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])


def word_of(model) -> np.ndarray:
    return cx.find_cycles(model, 1, key=0)[0].gates


def trained(regularizers: Any = (), model: Any = TENT, **settings: Any):
    return cx.fit(
        model,
        SERIES,
        forcing=cx.GeneralizedForcing(0.5),
        optimizer=cx.RAdam(0.03, 0.03),
        regularizers=regularizers,
        batch=4,
        length=10,
        dtype=np.float64,
        checkpoint_every=10,
        progress=False,
        **{"steps": 300, "key": 0} | settings,
    )


def test_its_gradient_is_that_of_differences():
    model = cx.PLRNN([0.5, 0.6], [[-1.2, 0.3], [0.2, -0.4]], [1.9, 0.9])
    whole = cx.LatentModel.observing(model, 2)
    term = cx.AwayFromBifurcations(2.0, 1.5, cycle=word_of(model)).renewed(whole, 0)

    def anew(model) -> float:
        found = cx.distance_to_bifurcation(model, word_of(model))
        near = [one for one in (found, *found.nearest) if not one.harmless][:4]
        return 2.0 * sum(max(0, 1 - one.distance / 1.5) ** 2 for one in near)

    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda model: term(cx.LatentModel.observing(model, 2)))(model)
        value, slope = float(value), jax.tree.map(np.asarray, slope)
    assert value == pytest.approx(anew(model), rel=1e-9)
    assert value > 0
    rng = np.random.default_rng(0)
    along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), model)
    moved = [jax.tree.map(lambda leaf, d, t=t: leaf + t * d, model, along) for t in (-1e-5, 1e-5)]
    change = (anew(moved[1]) - anew(moved[0])) / 2e-5
    assert change == pytest.approx(leaves(slope) @ leaves(along), rel=1e-5)


def test_what_only_crosses_a_border_is_not_kept_from_it():
    """x' = x / 2 - 1/10, or -0.4 x - 1/10 where x > 0: the border is harmless, and the rest is far away."""
    model = cx.LatentModel.observing(cx.SkewTentMap(0.5, -0.4, -0.1), 1)
    term = cx.AwayFromBifurcations(1.0, 0.2, cycle=np.zeros((1, 1), bool)).renewed(model, 0)
    assert float(term(model)) == 0
    other = cx.LatentModel.observing(cx.SkewTentMap(0.5, -2.0, -0.1), 1)
    assert float(term.renewed(other, 20)(other)) == pytest.approx(0.25)  # a tenth away, of two


@pytest.mark.parametrize("what", [slow("cycle"), "orders"])
def test_the_distance_stays_above_what_it_is_without(what):
    kept = {"cycle": word_of(TENT)} if what == "cycle" else {"orders": 1}
    free = trained()
    assert free.map.right < -1.1  # through the flip at -1, to the data
    held = trained(cx.AwayFromBifurcations(1.0, 0.3, every=3, **kept))
    assert held.report["notes"] == []
    least = [cx.distance_to_bifurcation(one, word_of(one)).distance for one in held.maps]
    assert min(least) > 0.1
    assert held.map.right > -0.9


def test_of_no_strength_it_changes_nothing():
    """But for the last digits: another program is compiled, which rounds in another order."""
    term = cx.AwayFromBifurcations(0.0, 0.3, cycle=word_of(TENT), every=7)
    np.testing.assert_allclose(leaves(trained(term).model), leaves(trained().model), rtol=1e-12)


def test_a_training_that_is_resumed_is_that_which_was_not_stopped(tmp_path):
    """Checkpoints come between two looks."""
    term = cx.AwayFromBifurcations(1.0, 0.3, cycle=word_of(TENT), every=7)
    whole = trained(term)

    class Killed(Exception):
        pass

    def kill(update, model):
        if update == 30:
            raise Killed

    with pytest.raises(Killed):
        trained(term, store=tmp_path / "run", callback=kill)
    resumed = trained(term, store=tmp_path / "run")
    assert resumed.report["resumed_at"] == 30
    assert np.array_equal(leaves(resumed.model), leaves(whole.model))
    assert not np.array_equal(leaves(whole.model), leaves(trained().model))


# The fixed point of the second is left of the border, and so are its boundaries its own.
TENTS = [TENT, cx.SkewTentMap(0.4, -0.8, -1.2), cx.SkewTentMap(0.6, -0.5, 0.9)]


@pytest.mark.parametrize("together", [False, True], ids=["threads", "vmap"])
@pytest.mark.parametrize("what", ["cycle", pytest.param("orders", marks=pytest.mark.slow)])
def test_several_runs_are_each_what_it_is_alone(what, together, tmp_path):
    """Each looks at its own cycles, also where the training is killed and goes on."""
    kept = {"cycle": word_of(TENT)} if what == "cycle" else {"orders": 1}
    term, settings = cx.AwayFromBifurcations(1.0, 1.5, every=7, **kept), {"steps": 30, "vmap": together}
    many, free = trained(term, TENTS, **settings), trained((), TENTS, **settings)
    for i, (one, tent) in enumerate(zip(many, TENTS, strict=True)):
        alone = trained(term, tent, steps=30, key=jax.random.fold_in(jax.random.key(0), i))
        np.testing.assert_allclose(leaves(one.model), leaves(alone.model), rtol=1e-9)
        assert np.max(np.abs(leaves(one.model) - leaves(free[i].model))) > 1e-2

    def kill(update, models):
        if update == 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained(term, TENTS, **settings, store=tmp_path / "runs", callback=kill)
    resumed = trained(term, TENTS, **settings, store=tmp_path / "runs")
    assert resumed[0].report["resumed_at"] == 10
    for one, other in zip(many, resumed, strict=True):
        assert np.array_equal(leaves(one.model), leaves(other.model))


@pytest.mark.parametrize("together", [False, True], ids=["threads", "vmap"])
def test_of_several_runs_the_one_without_a_cycle_is_told(together):
    """x' = x / 2 + 1 below 0, 3 x / 2 + 1 above: no fixed point."""
    term = cx.AwayFromBifurcations(1.0, 0.3, cycle=word_of(TENT), every=7)
    with pytest.warns(RuntimeWarning, match="run 1: AwayFromBifurcations: at 1 of 2 looks, first at update 0"):
        with_, without = trained(term, [TENT, cx.SkewTentMap(0.5, 1.5, 1.0)], steps=10, vmap=together)
    assert with_.report["notes"] == []
    assert len(without.report["notes"]) == 1


def test_a_cycle_that_is_gone_is_told():
    """x' = x / 2 + c below 0, 3 x / 2 + c above: for c > 0 there is no fixed point."""
    model = cx.LatentModel.observing(cx.SkewTentMap(0.5, 1.5, -0.1), 1)
    term = cx.AwayFromBifurcations(1.0, 0.2, cycle=np.zeros((1, 1), bool)).renewed(model, 0)
    assert term.note() is None
    assert float(term(model)) > 0
    gone = cx.LatentModel.observing(cx.SkewTentMap(0.5, 1.5, 0.1), 1)
    lost = term.renewed(gone, 20)
    assert float(lost(gone)) == 0
    assert "at 1 of 2 looks, first at update 20, there was no cycle to keep" in str(lost.note())
    back = lost.renewed(model, 40)
    assert float(back(model)) == float(term(model))
    assert "at 1 of 3 looks" in str(back.note())
    term = cx.AwayFromBifurcations(1.0, 0.2, orders=1, every=30)
    assert "no stable cycle to keep" in str(term.renewed(gone, 0).note())


def test_the_cycle_is_followed_across_a_border():
    before = cx.LatentModel.observing(cx.SkewTentMap(0.5, -0.4, -0.1), 1)
    after = cx.LatentModel.observing(cx.SkewTentMap(0.5, -0.4, 0.1), 1)
    term = cx.AwayFromBifurcations(1.0, 0.2, cycle=np.zeros((1, 1), bool)).renewed(before, 0).renewed(after, 20)
    assert np.array_equal(term.cycle, np.ones((1, 1), bool))
    assert term.note() is None


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="give a cycle to keep, or orders"):
        cx.AwayFromBifurcations(1.0, 0.1)
    with pytest.raises(ValueError, match="cycle: expected one Cycle"):
        cx.AwayFromBifurcations(1.0, 0.1, cycle=np.zeros(3))
    with pytest.raises(ValueError, match="cycle: its gates are 0 or 1"):
        cx.AwayFromBifurcations(1.0, 0.1, cycle=[[0, 2]])
    with pytest.raises(ValueError, match="cycle: expected one Cycle, or its gates"):
        cx.AwayFromBifurcations(1.0, 0.1, cycle=[[0, 1], [1]])
    with pytest.raises(ValueError, match="within"):
        cx.AwayFromBifurcations(1.0, 0.0, orders=1)
    with pytest.raises(ValueError, match="has 2 gates, and the map 1"):
        trained(cx.AwayFromBifurcations(1.0, 0.1, cycle=np.zeros((1, 2), bool)))
    with pytest.raises(ValueError, match="nothing has been looked at"):
        cx.AwayFromBifurcations(1.0, 0.1, orders=1)(cx.LatentModel.observing(TENT, 1))
