"""Near misses: virtual cycles and ghosts, in closed form and against scans of |F^k(z) - z|."""

import jax
import numpy as np
import pytest
from plain import plain_map

import cyclax as cx


def of_kind(cycles, kind):
    return [entry for entry in cycles.near_misses if entry.kind == kind]


def test_past_a_nonsmooth_fold():
    """Slopes 0.5 and 1.5 with offset 0.1: two virtual fixed points, and a ghost at the border with F(0) = 0.1."""
    cycles = cx.find_cycles(cx.SkewTentMap(left=0.5, right=1.5, offset=0.1), 2, key=0, near_misses=5)
    assert len(cycles) == 0
    virtual = [entry for entry in of_kind(cycles, "virtual") if entry.order == 1]
    assert sorted((entry.points[0, 0], entry.distance, bool(entry.gates[0, 0])) for entry in virtual) == [
        (pytest.approx(-0.2), pytest.approx(0.2), True),
        (pytest.approx(0.2), pytest.approx(0.2), False),
    ]
    assert [entry.multipliers[0].real for entry in virtual] in ([1.5, 0.5], [0.5, 1.5])
    ghosts = of_kind(cycles, "ghost")
    assert [(entry.order, entry.distance) for entry in ghosts] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.25))]
    np.testing.assert_allclose([entry.points[0, 0] for entry in ghosts], [0, 0], atol=1e-12)
    assert "ghost of a fixed point" in str(cycles)
    assert "virtual fixed point" in str(cycles)


def test_ghost_of_a_planar_map_in_closed_form():
    """On the border x = 0 the step is (y + 0.05, -y), shortest at y = -0.025."""
    model = cx.BorderCollisionNormalForm(left=[[0.6, 1], [-0.1, 0]], right=[[1.8, 1], [-0.1, 0]], h=[0.05, 0])
    (ghost,) = of_kind(cx.find_cycles(model, 1, key=0, near_misses=3), "ghost")
    np.testing.assert_allclose(ghost.points[0], [0, -0.025], atol=1e-12)
    np.testing.assert_allclose(ghost.distance, 0.025 * np.sqrt(2))


@pytest.mark.parametrize("seed", range(6))
def test_ghosts_are_local_minima(seed):
    """Against the true map in plain NumPy; the lowest one is no higher than anything on a fine grid around it."""
    model = cx.ShallowPLRNN.random(2, 6, key=jax.random.key(seed), gain=2.5)
    cycles = cx.find_cycles(model, 3, key=seed, near_misses=4)
    step, rng = plain_map(model), np.random.default_rng(seed)

    def gap(z, order):
        image = z
        for _ in range(order):
            image = step(image)
        return np.linalg.norm(image - z)

    for ghost in of_kind(cycles, "ghost"):
        here = gap(ghost.points[0], ghost.order)
        np.testing.assert_allclose(here, ghost.distance, rtol=1e-9)
        for size in (1e-2, 1e-4):
            around = [gap(ghost.points[0] + size * rng.normal(size=2), ghost.order) for _ in range(200)]
            assert size > 1e-3 or min(around) >= here * (1 - 1e-9)
        assert here > 1e-8


@pytest.mark.parametrize("seed", range(6))
def test_virtual_cycles_solve_their_word_and_do_not_meet_it(seed):
    model = cx.PLRNN.random(3, key=jax.random.key(seed), gain=2.0)
    A = np.diag(model.A)
    entries = of_kind(cx.find_cycles(model, 4, key=seed, near_misses=6), "virtual")
    assert entries
    for entry in entries:
        following = np.stack([(A + model.W * g) @ z + model.h for g, z in zip(entry.gates, entry.points, strict=True)])
        np.testing.assert_allclose(following, np.roll(entry.points, -1, axis=0), rtol=1e-8, atol=1e-8)
        wrong = (entry.points > 0) != entry.gates
        np.testing.assert_array_equal(wrong, entry.violated)
        np.testing.assert_allclose(entry.distance, np.max(np.abs(entry.points[wrong])))
    by_order = [[entry.distance for entry in entries if entry.order == order] for order in range(1, 5)]
    assert all(distances == sorted(distances) for distances in by_order)


def test_a_cycle_about_to_be_born_is_seen():
    """The 2-cycle of slopes 0.5 and right exists where right < -1, with x_L = (1 + right) / (1 - right / 2)."""
    assert len(cx.find_cycles(cx.SkewTentMap(left=0.5, right=-1.01, offset=1.0), [2], key=0)) == 1
    beyond = cx.find_cycles(cx.SkewTentMap(left=0.5, right=-0.99, offset=1.0), [2], key=0, near_misses=1)
    assert len(beyond) == 0
    (virtual,) = of_kind(beyond, "virtual")
    np.testing.assert_allclose(virtual.distance, 0.01 / 1.495)


def test_round_trip_and_arguments(tmp_path):
    cycles = cx.find_cycles(cx.LoziMap(1.7, 0.5), 5, key=0, near_misses=2)
    cycles.save(tmp_path / "cycles.npz")
    back = cx.Cycles.load(tmp_path / "cycles.npz")
    assert back.to_dict() == cycles.to_dict()
    assert len(back.near_misses) > 3
    assert cx.find_cycles(cx.LoziMap(1.7, 0.5), 2, key=0).near_misses == ()
    for bad, error in ((-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="near_misses: expected an int, 0 or more"):
            cx.find_cycles(cx.LoziMap(1.7, 0.5), 2, key=0, near_misses=bad)
