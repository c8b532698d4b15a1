"""Cycles in one parameter, through borders, folds and flips, against closed forms."""

import numpy as np
import pytest

import cyclax as cx


def word(letters: str) -> np.ndarray:
    return np.array([[letter == "R"] for letter in letters])


def by_word(found: cx.Continued) -> dict[str, list]:
    stretches: dict[str, list] = {}
    for one in found.stretches:
        letters = "".join("R" if gates[0] else "L" for gates in one.word)
        name = min(letters[i:] + letters[:i] for i in range(len(letters)))
        stretches.setdefault(name, []).append(one)
    return stretches


VALUES = np.linspace(-1, 1, 21)


def test_persistence_goes_on_and_the_doubled_cycle_is_followed():
    """x' = 0.5 x + mu, -1.5 x + mu: a fixed point through the border, and a 2-cycle with multiplier -0.75 beyond it."""
    found = cx.continue_cycle(cx.SkewTentMap(0.5, -1.5, 0.3), word("R"), "offset", VALUES)
    ((left,), (right,), (both,)) = (by_word(found)[name] for name in ("L", "R", "LR"))
    for one, low, high in ((left, -1, 0), (right, 0, 1), (both, 0, 1)):
        assert (one.low, one.high) == pytest.approx((low, high), abs=1e-12)
    np.testing.assert_allclose(left.points[:, 0, 0], left.values / 0.5, atol=1e-12)
    np.testing.assert_allclose(right.points[:, 0, 0], right.values / 2.5, atol=1e-12)
    np.testing.assert_allclose(both.multipliers[:, 0], -0.75, atol=1e-12)
    assert left.stable.all()
    assert both.stable.all()
    assert not right.stable.any()
    (event,) = found.events
    assert (event.type, event.flip is not None) == ("persistence", True)
    assert event.at == pytest.approx(0, abs=1e-12)
    alone = cx.continue_cycle(cx.SkewTentMap(0.5, -1.5, 0.3), word("R"), "offset", VALUES, doublings=0)
    assert set(by_word(alone)) == {"L", "R"}


@pytest.mark.parametrize("start", [-0.3, -1.0])
def test_at_a_fold_the_partner_takes_over(start):
    """x' = 0.5 x + mu, 2 x + mu: both fixed points exist for mu < 0 only, at 2 mu and at -mu."""
    found = cx.continue_cycle(cx.SkewTentMap(0.5, 2.0, start), word("R"), "offset", VALUES)
    ((left,), (right,)) = (by_word(found)[name] for name in ("L", "R"))
    for one, slope in ((left, 2), (right, -1)):
        assert (one.low, one.high) == pytest.approx((-1, 0), abs=1e-12)
        np.testing.assert_allclose(one.points[:, 0, 0], slope * one.values, atol=1e-12)
    (event,) = found.events
    assert (event.type, event.sides) == ("nonsmooth fold", ("before", "before"))


def test_ways_that_begin_below_and_above_the_model_are_told_apart():
    """The same fold turned around: right 0.5, left 2, so that both exist above 0, of a model whose value is above."""
    turned = cx.continue_cycle(cx.SkewTentMap(2.0, 0.5, 0.3), word("R"), "offset", VALUES)
    (event,) = turned.events
    assert event.sides == ("after", "after")
    assert {(round(one.low, 9) + 0.0, one.high) for one in turned.stretches} == {(0.0, 1.0)}


def test_a_flip_far_from_borders_changes_stability_alone():
    found = cx.continue_cycle(cx.SkewTentMap(0.5, -0.7, 1.0), word("R"), "right", np.linspace(-3, 0, 31))
    (one,) = found.stretches
    assert (one.low, one.high) == (-3, 0)
    np.testing.assert_array_equal(one.stable, one.values > -1)
    np.testing.assert_allclose(one.points[:, 0, 0], 1 / (1 - one.values))
    assert [event.type for event in found.events] == ["degenerate flip"]
    assert found.events[0].at == pytest.approx(-1, abs=1e-12)
    assert "stable at" in repr(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameter": "slope"}, "has no weight 'slope'"),
        ({"values": [2, 3]}, "offset is 0.3 in the model"),
        ({"values": [0.3]}, "two or more"),
        ({"doublings": -1}, "doublings"),
        ({"parameter": cx.Parameter("s", set=lambda m, v: m)}, "moved by a function"),
    ],
)
def test_what_cannot_be_followed_is_said(change, message):
    given = {
        "model": cx.SkewTentMap(0.5, 2.0, 0.3),
        "cycle": word("L"),
        "parameter": "offset",
        "values": VALUES,
        **change,
    }
    with pytest.raises((TypeError, ValueError), match=message):
        cx.continue_cycle(**given)
