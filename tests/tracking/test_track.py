"""Sequences of models: cycles of each, typed events between, jumps of the loss beside them."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import cyclax as cx
from cyclax.grids.map import BifurcationMap
from cyclax.grids.neighbors import NeighborSearch

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RIGHT = np.linspace(-0.53, -2.53, 21)


def tents(values=RIGHT) -> list:
    """Skew tent maps: the fixed point loses stability at right = -1, the 2-cycle, born there, at right = -2."""
    return [cx.SkewTentMap(0.5, right, 1.0) for right in values]


@pytest.fixture(scope="module")
def tent():
    losses = np.exp(-np.arange(21) / 20.0)
    losses[5:] *= 4.0  # a jump from model 4, right = -0.93, to model 5, -1.03
    norms = np.ones(21)
    norms[5] = 30.0
    return cx.track(tents(), 2, key=0, losses=losses, gradient_norms=norms)


def test_events_are_where_theory_has_them(tent):
    two = [int(right < -1) for right in RIGHT]
    assert tent.counts == [{1: 1, 2: number} for number in two]
    stable = [{1: int(right > -1), 2: int(-2 < right < -1)} for right in RIGHT]
    assert tent.stable_counts == stable
    places = {(event.order, event.type): RIGHT[0] + (RIGHT[-1] - RIGHT[0]) * event.at / 20 for event in tent.events}
    flips = {key: value for key, value in places.items() if key[1] == "degenerate flip"}
    assert flips.keys() == {(1, "degenerate flip"), (2, "degenerate flip")}
    assert flips[1, "degenerate flip"] == pytest.approx(-1, abs=1e-12)
    assert {round(p, 10) for e in tent.events if (p := RIGHT[0] - 0.1 * e.at) is not None} == {-1.0, -2.0}
    assert sorted(tent.events, key=lambda event: event.at) == list(tent.events)
    cycle = tent[10].of_order(2)[0]
    low = (1 + RIGHT[10]) / (1 - 0.5 * RIGHT[10])
    np.testing.assert_allclose(np.sort(cycle.points[:, 0]), [low, 0.5 * low + 1], atol=1e-12)


def test_a_jump_is_paired_with_its_event_and_its_gradient_peak(tent):
    (jump,) = tent.jumps
    assert (jump.step, jump.peak) == (4, 5)
    assert {event.type for event in jump.events} == {"degenerate flip"}
    assert "degenerate flip" in str(jump)
    explained = tent.explained()
    # Events at 4.7 (twice) and 14.7: within one step of steps 3, 4, 5 and 13, 14, 15.
    assert explained == (1, 1, 6 / 20)
    assert tent.explained(["center"])[:2] == (1, 0)
    with pytest.raises(ValueError, match="types: 'zebra' is no type of event; these are: persistence"):
        tent.explained(["zebra"])
    assert "1 of 1 jumps have an event within reach; by chance 30% would" in repr(tent)


def test_a_jump_of_several_steps_is_where_it_says_and_has_the_chance_of_one_as_long():
    losses = np.exp(-np.arange(21) / 20.0)
    losses[[6, 7]] *= [3.0, 9.0]
    losses[8:] *= 9.5
    losses[18] = np.nan
    result = cx.track(tents(), 2, key=0, losses=losses)
    (jump,) = result.jumps
    assert (jump.first, jump.last, jump.step) == (5, 7, 5)
    assert str(jump).startswith(f"loss {losses[5]:.3g} -> {losses[7]:.3g} from model 5 to 7: degenerate flip")
    # Events at 4.7 and 14.7 are within one step of steps (i, i + 1) for i = 2..5 and 12..15; 17 and 18 have no loss.
    assert result.explained() == (1, 1, 8 / 16)
    assert result.explained("degenerate flip") == result.explained()
    assert result.explained(since=6) == (0, 0, 3 / 12)
    assert result.explained(since=20) == (0, 0, 0.0)


def test_persistence_that_loses_stability_explains_a_jump_and_other_persistence_does_not():
    """x' = left x + h left of 0, right x + h right of it: the fixed point crosses 0 with h, to another multiplier."""
    offsets = np.linspace(-1.05, 0.95, 21)
    losses = np.where(np.arange(21) < 11, 1.0, 5.0)
    for right, explained in ((-0.9, 0), (-1.5, 1)):
        result = cx.track([cx.SkewTentMap(0.5, right, h) for h in offsets], 1, key=0, losses=losses)
        assert set(result.types) == {"persistence"}
        assert result.explained()[:2] == (1, explained)
        assert result.explained("persistence")[:2] == (1, 1)


def test_the_rule_for_jumps_finds_what_was_planted_and_nothing_else():
    rng = np.random.default_rng(0)
    walk = -0.002 * np.arange(400) + 0.03 * rng.normal(size=400)
    assert cx.JumpRule().jumps(np.exp(walk)) == []
    walk[100:] += 1.0
    walk[250:] -= 0.8
    walk[300], walk[301] = walk[300] + np.log(3), np.nan
    found = [(first, last) for first, last, _ in cx.JumpRule().jumps(np.exp(walk))]
    assert found == [(99, 99), (249, 249), (299, 299)]
    # A curve without noise has no scatter: there, `least` decides.
    smooth = np.exp(-np.arange(50) / 50.0)
    assert cx.JumpRule().jumps(smooth) == []
    smooth[20:] *= 1.05
    assert cx.JumpRule().jumps(smooth) == []
    assert cx.JumpRule(least=0.02).jumps(smooth) == [(19, 19, 19)]
    norms = np.exp(0.1 * rng.normal(size=100))
    norms[[30, 31, 70]] = [20.0, 30.0, 5.0]
    assert cx.JumpRule().peaks(norms) == [31, 70]
    # Where the level changes at the peak, the two levels are no scatter.
    norms = np.exp(0.02 * rng.normal(size=100))
    norms[50:] *= 12.0
    norms[49:52] = [5.0, 60.0, 20.0]
    norms[0] = norms[-1] = 100.0  # nothing is known of what was before, or comes after
    norms[20] = np.nan
    assert cx.JumpRule().peaks(norms) == [50]
    assert cx.JumpRule().peaks(np.exp(np.cumsum(0.3 * rng.normal(size=2000)))) == []
    for few in ([], [1.0], [1.0, 2.0], [np.nan] * 5):
        assert (cx.JumpRule().peaks(np.array(few)), cx.JumpRule().jumps(np.array(few))) == ([], [])
    for wrong in (0.0, "6", np.nan):
        with pytest.raises(TypeError if wrong == "6" else ValueError, match="threshold: expected a positive number"):
            cx.JumpRule(threshold=wrong)  # pyright: ignore[reportArgumentType]


def test_models_that_diverged_are_gaps():
    models = tents()
    models[7] = cx.SkewTentMap(0.5, -1.23, 1.0)
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), models[7])
    models[7] = broken
    result = cx.track(models, 2, key=0)
    whole = cx.track(tents(), 2, key=0)
    assert result.gaps == [7]
    assert result.counts[7] == {}
    assert [c for i, c in enumerate(result.counts) if i != 7] == [c for i, c in enumerate(whole.counts) if i != 7]
    assert [e.at for e in result.events] == pytest.approx([e.at for e in whole.events])
    assert "models 7" in repr(result)
    assert (dict(result[7].counts), dict(result[-14].counts)) == ({}, {})  # not: none of order 1
    with pytest.raises(IndexError, match="21 models, so there is no model 21"):
        result[21]
    with pytest.raises(ValueError, match="explained: this track has no losses"):
        result.explained()
    assert [one.counts for one in result[6:9]] == [result[i].counts for i in (6, 7, 8)]
    with pytest.raises(TypeError, match=r"the number of a model: expected an int, got 1\.0"):
        result[1.0]
    with pytest.raises(ValueError, match="all of them hold NaN"):
        cx.track([broken, broken], 2, key=0)


def test_one_model_and_other_arguments():
    alone = cx.track(tents([-1.5]), 2, key=0)
    assert (alone.counts, alone.events) == ([{1: 1, 2: 1}], ())
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *tents([-0.9, -1.5]))
    assert cx.track(stack, 2, key=0).counts == [{1: 1, 2: 0}, {1: 1, 2: 1}]
    trained = [cx.LatentModel.observing(one, 1) for one in tents([-0.9, -1.5])]
    assert cx.track(trained, 2, key=0).counts == [{1: 1, 2: 0}, {1: 1, 2: 1}]
    mixed = [cx.PLRNN(np.ones(m) / 2, np.zeros((m, m)), np.ones(m)) for m in (2, 3)]
    with pytest.raises(ValueError, match=r"models\[0\] is PLRNN .* and models\[1\] is PLRNN"):
        cx.track(mixed, 2, key=0)
    with pytest.raises(TypeError, match=r"models\[1\]: expected a map"):
        cx.track([cx.TentMap(1.5), 3.0], 2, key=0)
    with pytest.raises(ValueError, match="empty sequence"):
        cx.track([], 2, key=0)
    with pytest.raises(ValueError, match=r"losses: expected one number for each of the 21 models, got shape \(3,\)"):
        cx.track(tents(), 2, key=0, losses=[1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="losses: expected one number for each of the 21 models"):
        cx.track(tents(), 2, key=0, losses=["a"] * 21)
    with pytest.raises(ValueError, match="losses: some are negative"):
        cx.track(tents(), 2, key=0, losses=-np.ones(21))
    with pytest.raises(TypeError, match="rule: expected JumpRule"):
        cx.track(tents(), 2, key=0, rule=6.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="starts: expected a positive int"):
        cx.track(tents(), 2, key=0, starts=0)


@pytest.mark.parametrize(("order", "cells"), [(1, [3]), (2, [9, 10, 20])])
def test_what_every_start_missed_is_met_from_its_neighbors(tent, monkeypatch, order, cells):
    search = NeighborSearch.run

    def forgetful(self, *arguments):
        said = search(self, *arguments)
        table = self.found[order]
        self.found[order] = table.take(np.flatnonzero(~np.isin(table.cell, cells)))
        return said

    monkeypatch.setattr(NeighborSearch, "run", forgetful)
    mended = cx.track(tents(), 2, key=0)
    assert mended.counts == tent.counts
    assert [event.to_dict() for event in mended.events] == [event.to_dict() for event in tent.events]
    assert mended.cycles.report["mended"] == len(cells)


def test_ctrl_c_while_events_are_typed_leaves_the_cycles(tent, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(BifurcationMap, "boundaries", interrupted)
    result = cx.track(tents(), 2, key=0)
    assert (result.counts, result.events) == (tent.counts, ())
    assert "interrupted by Ctrl-C while events were typed" in repr(result)


def test_save_and_load(tent, tmp_path):
    tent.save(tmp_path / "track.npz")
    read = cx.Track.load(tmp_path / "track.npz")
    assert repr(read) == repr(tent)
    assert read.counts == tent.counts
    for one, other in zip(read.events, tent.events, strict=True):
        assert one.to_dict() == other.to_dict()
    assert [dataclasses.replace(j, events=()) == dataclasses.replace(j, events=()) for j in read.jumps]
    np.testing.assert_array_equal(read[12][0].points, tent[12][0].points)
    (tmp_path / "other.npz").write_bytes((tmp_path / "track.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"other\.npz"):
        cx.Track.load(tmp_path / "other.npz")


def test_a_tracker_sees_events_as_they_come(tent):
    said = []
    tracker = cx.Tracker(2, key=0, report=said.append)
    for i, model in enumerate(tents()):
        tracker(100 * i, model)
    assert tracker.counts == tent.counts
    assert [event.at for event in tracker.events] == pytest.approx([event.at for event in tent.events])
    assert len(said) == len(tent.events)
    assert said[0].startswith("update 470.0: degenerate flip")
    assert tracker.track().counts == tent.counts


def test_a_tracker_takes_gaps_and_refuses_several_runs():
    tracker = cx.Tracker(2, key=0)
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), tents()[0])
    for i, model in enumerate([broken, *tents([-0.9, -1.5]), broken, *tents([-1.5])]):
        tracker(i, model)
    assert tracker.counts == [{}, {1: 1, 2: 0}, {1: 1, 2: 1}, {}, {1: 1, 2: 1}]
    assert {round(event.at, 9) for event in tracker.events} == {round(1 + 1 / 6, 9)}
    # What one model lacked is in its counts once the next has it.
    tracker.begin([0], tents([-1.5]))
    tracker.counts[0] = {1: 1, 2: 0}
    tracker(1, tents([-1.6])[0])
    assert (tracker.counts, tracker.events) == ([{1: 1, 2: 1}] * 2, [])
    with pytest.raises(TypeError, match="2 runs train at once, and it follows one"):
        tracker(2, (broken, broken))
    with pytest.raises(TypeError, match=r"models\[1\]: expected a map"):
        tracker(2, "model")
    assert len(tracker.models) == len(tracker.counts) == 2


def test_a_training_that_resumes_is_tracked_as_one_that_was_never_killed(tmp_path):
    """The right slope is learned, past the flips at -1; killed in the middle, a new tracker is told the beginning."""
    series = cx.simulate(cx.SkewTentMap(0.5, -1.4, 1.0), [0.3], 100)
    said: list[str] = []
    optimizer = optax.sgd(0.03)  # one object, compiled for once

    def trained(tracker, **more):
        return cx.fit(
            cx.SkewTentMap(0.5, -0.9, 1.0),
            series,
            forcing=cx.GeneralizedForcing(0.5),
            steps=60,
            key=0,
            optimizer=optimizer,
            batch=4,
            length=10,
            dtype=np.float64,
            checkpoint_every=3,
            callback=tracker,
            progress=False,
            **more,
        )

    class Killed(cx.Tracker):
        def __call__(self, update, model):
            super().__call__(update, model)
            if update == 54:
                raise RuntimeError

    whole, killed = cx.Tracker(2, key=0, report=said.append), Killed(2, key=0)
    run = trained(whole)
    assert whole.updates == list(range(0, 61, 3))
    assert {event.type for event in whole.events} == {"degenerate flip"}
    assert len(said) == len(whole.events)
    with pytest.raises(RuntimeError):
        trained(killed, store=tmp_path)
    resumed = cx.Tracker(2, key=0, report=said.append)
    trained(resumed, store=tmp_path)
    assert (resumed.updates, resumed.counts) == (whole.updates, whole.counts)
    assert [event.at for event in resumed.events] == pytest.approx([event.at for event in whole.events])
    assert resumed.track().counts == cx.track(run, 2, key=0).counts == whole.counts
    again = cx.Tracker(2, key=0)
    trained(again, store=tmp_path)  # nothing is left to be done
    assert (again.updates, again.counts) == (whole.updates, whole.counts)
    with pytest.raises(TypeError, match="2 runs train at once"):
        cx.fit(tents([-0.9, -1.5]), series, forcing=cx.FreeRunning(), steps=1, key=0, callback=again, length=10)


def test_words_reach_models_whose_own_starts_missed_them():
    """With two starts a model, the 200-odd cycles of chaotic tents are missed by most, and handed over."""
    values = np.linspace(-1.7, -1.75, 12)
    models = [cx.SkewTentMap(1.8, right, 1.0) for right in values]
    few = cx.track(models, 7, key=0, starts=2)
    exact = [cx.enumerate_cycles(model, 7) for model in models]
    assert few.counts == [dict(cycles.counts) for cycles in exact]
    assert few.cycles.report["mended"] > 0
    for i in (0, 11):
        for one, other in zip(few[i], exact[i], strict=True):
            np.testing.assert_array_equal(one.gates, other.gates)
            np.testing.assert_allclose(one.multipliers, other.multipliers)


def test_the_picture_says_what_happened(tent):
    from matplotlib.figure import Figure

    axes = cx.plot.track(tent, Figure().subplots(3))
    assert [ax.get_ylabel() for ax in axes] == ["loss", "norm of the gradient", "order"]
    assert axes[-1].get_xlabel() == "model"
    assert texts_of(axes[0]) == {"degenerate flip", "jump, a bifurcation within one step"}
    assert texts_of(axes[1]) == {"peak"}
    assert texts_of(axes[2]) == {"cycles:", "0", "1", "at the foot: some stable"}
    assert lines_at(axes[0]) == pytest.approx(sorted({event.at for event in tent.events}))
    # The jump is marked on the line that it is a part of, the peak at its place.
    (jump,) = (line for line in axes[0].lines if line.get_marker() == "^")
    assert (jump.get_xdata()[0], jump.get_ydata()[0]) == (4.5, pytest.approx(np.sqrt(tent.losses[4] * tent.losses[5])))
    (peak,) = (line for line in axes[1].lines if line.get_marker() == "o")
    assert (list(peak.get_xdata()), list(peak.get_ydata())) == ([5], [30.0])
    # Some cycle is stable: of order 1 up to model 4, of order 2 from model 5 to 14.
    bars = [
        [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in bar.get_paths()] for bar in bars_of(axes)
    ]
    assert bars == [[(-0.5, 4.5)], [(4.5, 14.5)]]
    with pytest.raises(ValueError, match="has 3 panels, got 1"):
        cx.plot.track(tent, [axes[0]])


def test_a_part_of_the_picture_names_what_is_in_it(tent):
    from matplotlib.figure import Figure

    axes = cx.plot.track(tent, Figure().subplots(3), span=(6, 12))
    assert axes[0].get_xlim() == (5.5, 12.5)
    assert axes[0].get_legend() is None
    assert lines_at(axes[0]) == []
    low, high = axes[0].get_ylim()
    assert (low < tent.losses[12], tent.losses[6] < high < 2 * tent.losses[6]) == (True, True)
    assert axes[2].get_xlim() == (5.5, 12.5)
    for wrong in ((3, 21), (-1, 4), (5, 4)):
        with pytest.raises(ValueError, match=r"span: expected two of the models 0 to 20 in their order"):
            cx.plot.track(tent, span=wrong)


def texts_of(ax) -> set[str]:
    from matplotlib.legend import Legend

    return {text.get_text() for legend in ax.findobj(Legend) for text in legend.get_texts()}


def lines_at(ax) -> list[float]:
    lines = [line.get_xdata() for line in ax.lines if line.get_linestyle() != "None"]
    return sorted({float(x[0]) for x in lines if len(x) == 2 and x[0] == x[1]})


def bars_of(axes) -> list:
    from matplotlib.collections import PolyCollection

    return [one for one in axes[-1].collections if type(one) is PolyCollection]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["multistable", "singlestable"])
def test_published_sequences_equal_enumeration(name):
    path = DATA / f"{name}_sequence.npz"
    if not path.exists():
        pytest.skip("shared/data is not here")
    with np.load(path) as data:
        models = [
            cx.ShallowPLRNN(data["A"], W1, W2, data["h1"], data["h2"])
            for W1, W2 in zip(data["W1"], data["W2"], strict=True)
        ]
    result = cx.track(models, 1, key=0)
    for i in range(150):
        exact = cx.enumerate_cycles(models[i], 1, progress=False)
        assert exact.report["orders"]["1"]["verdict"] == "proved complete"
        assert result.counts[i] == dict(exact.counts)
        for one, other in zip(result[i], exact, strict=True):
            np.testing.assert_allclose(one.points, other.points, rtol=1e-9, atol=1e-9)
    assert "unexplained" not in result.types
    # Counts change by what the events say: a fold by two, a cycle that runs to infinity by one.
    for i in range(149):
        change = result.counts[i + 1][1] - result.counts[i][1]
        said = 0
        for event in result.events:
            if i <= event.at < i + 1 and event.type != "persistence":
                weight = 2 if event.type == "nonsmooth fold" else 1
                said += weight * {"appears": 1, "disappears": -1, "continues": 0}[event.change]
        assert change == said
