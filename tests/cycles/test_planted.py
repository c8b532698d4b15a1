"""Cycles planted in every class are found, with their coordinates and multipliers."""

import jax
import numpy as np
import pytest
from conftest import MODELS
from planting import PLANTERS, planted, planted_cycle

import cyclax as cx

# Maps with a handful of numbers, whose cycles are known in closed form (tests/test_find.py).
TEXTBOOK = {"TentMap", "SkewTentMap", "LoziMap", "BorderCollisionNormalForm"}

# Some planted cycles are met by one converging start in 3,000: by default the search would stop about there.
FINDER = cx.SCYFI(unseen=1e-4)


def check_planted(name: str, order: int, seed: int) -> None:
    model, points, multipliers = planted(name, order, seed)
    assert type(model).__name__ == name
    cycle = planted_cycle(cx.find_cycles(model, [order], key=seed, finder=FINDER), points)
    assert cycle, f"{name}: the cycle of order {order} planted with seed {seed} was not found"
    left = list(cycle.multipliers)
    for value in multipliers:
        nearest = int(np.argmin(np.abs(np.array(left) - value)))
        assert abs(left.pop(nearest) - value) < 1e-8


# Two classes in the fast tests, all classes in the slow ones.
_QUICK = ("PLRNN", "ShallowPLRNN")


@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PLANTERS]
)
def test_planted(name):
    """One test for each class: the orders share a compilation."""
    for order in (1, 3, 7):
        check_planted(name, order, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTERS)
def test_planted_with_many_seeds(name):
    for order in (1, 3, 7):
        for seed in range(5):
            check_planted(name, order, seed)


def test_every_class_is_planted_in():
    assert {type(build()).__name__ for build in MODELS.values()} == set(PLANTERS) | TEXTBOOK


@pytest.mark.slow
def test_low_rank_has_the_cycles_of_its_full_twin():
    """In words, points and multipliers; the search of the two differs in nothing but rounding."""
    model = cx.LowRankPLRNN.random(5, 2, key=jax.random.key(19), gain=2.5)
    low, full = (cx.find_cycles(network, 6, key=3) for network in (model, model.full()))
    assert low.counts == full.counts
    assert len(low) >= 10
    for one, other in zip(low, full, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
        np.testing.assert_allclose(one.points, other.points, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(one.multipliers, other.multipliers, rtol=1e-8, atol=1e-8)
