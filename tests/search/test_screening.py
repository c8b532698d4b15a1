"""Starts that move in float32: what is found is exact, what is missed is near a border, and nothing is made up."""

import jax
import numpy as np
import pytest
from conftest import slow
from planting import planted_plrnn, planted_shallow

import cyclax as cx
from cyclax.search.driver import segments_for

SINGLE, DOUBLE = cx.SCYFI(starts=2048, screened=True), cx.SCYFI(starts=2048)


def words(found) -> set:
    return {(cycle.order, cycle.gates.tobytes()) for cycle in found}


def found_by(finder, model, orders, key=0):
    return cx.find_cycles(model, orders, key=key, finder=finder, progress=False)


@pytest.mark.parametrize(
    ("name", "model", "orders"),
    [
        ("Lozi", lambda: cx.LoziMap(1.7, 0.5), range(1, 7)),
        ("shallow", lambda: planted_shallow(4, 8, 3, 0)[0], [1, 3]),
        ("5-D", lambda: planted_plrnn(5, 2, 1)[0], [1, 2]),
        slow("20-D", lambda: planted_plrnn(20, 2, 0)[0], [1, 2]),
    ],
)
def test_cycles_and_fates_are_those_of_float64(name, model, orders):
    model = model()
    wanted, found = (found_by(finder, model, orders) for finder in (DOUBLE, SINGLE))
    assert len(wanted) > 0
    assert words(found) == words(wanted)
    for cycle in found:
        same = next(other for other in wanted if words([other]) == words([cycle]))
        np.testing.assert_allclose(cycle.points, same.points, rtol=1e-12, atol=1e-12)
        assert cycle.residual < 1e-10
    for order in orders:
        both = [some.report["orders"][str(order)] for some in (wanted, found)]
        assert both[0]["starts"] == both[1]["starts"]
        # Rounding decides about starts that pass near borders.
        assert both[1]["hits"] > 0.7 * both[0]["hits"]


def nearly_border(shift: float) -> cx.PLRNN:
    """A map whose first state is 0.5 z + relu(z) + (1 + shift) - 1: two fixed points if shift < 0, none if > 0."""
    return cx.PLRNN(A=[0.5, 0.0], W=[[1.0, -1.0], [0.0, 0.0]], h=[1.0 + shift, 1.0])


def test_what_is_met_in_float32_alone_is_no_cycle():
    model = nearly_border(1e-9)  # 1 + 1e-9 is 1 in float32, where the origin is a fixed point on the border
    found, exact = found_by(SINGLE, model, 1), found_by(DOUBLE, model, 1)
    assert len(exact) == len(found) == 0
    assert found.report["orders"]["1"]["hits"] == 0
    assert found.report["orders"]["1"]["rejected"] > 0 == exact.report["orders"]["1"]["rejected"]
    rounded, origin = (jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), some) for some in (model, [0.0, 1.0]))
    assert np.all(np.asarray(rounded(np.stack(origin))) == origin)


def test_cycles_near_a_border_may_be_missed_which_the_index_sum_tells():
    model = nearly_border(-1e-9)
    exact, found = found_by(DOUBLE, model, 1), found_by(SINGLE, model, 1)
    assert len(exact) == 2
    assert len(found) == 1
    assert words(found) < words(exact)
    assert found.report["orders"]["1"]["verdict"] == "proved incomplete"


def test_words_that_amplify_more_than_float32_holds_are_shot_in_segments():
    assert segments_for(40, 0.5) == 1
    assert segments_for(40, 0.5, 24 / 53) == 4
    tent = cx.PLRNN(A=[2.0], W=[[-4.0]], h=[1.0])  # slope 2: e^(20 log 2) is 1e6
    found = found_by(SINGLE, tent, 20)
    report = found.report["orders"]["20"]
    assert report["segments"] > 1
    assert report["hits"] > 0.9 * report["starts"]
    assert all(cycle.residual < 1e-9 for cycle in found)


def test_the_setting_is_kept_and_lanes_do_not_matter():
    model = cx.LoziMap(1.7, 0.5)
    some = [found_by(cx.SCYFI(starts=512, screened=True, lanes=lanes), model, 5) for lanes in (None, 7)]
    assert words(some[0]) == words(some[1])
    assert [one.report["orders"]["5"]["hits"] for one in some] == [some[0].report["orders"]["5"]["hits"]] * 2
    assert some[0].provenance["settings"]["screened"] is True
