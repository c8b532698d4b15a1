"""Basins: shares against plain simulation and closed forms."""

import jax
import numpy as np
import pytest
from plain import plain_map

import cyclax as cx
from cyclax.cycles import attractors as basins


def bistable():
    """x' = 1.5 x between -1 and 1, and 0.5 x +- 1 beyond: fixed points 0 (unstable) and +-2, basins x > 0 and x < 0."""
    return cx.ShallowPLRNN(A=[0.5], W1=[[1.0, -1.0]], W2=[[1.0], [1.0]], h1=[-1.0], h2=[1.0, -1.0])


def test_two_basins_in_closed_form():
    samples = np.linspace(-3, 5, 801)[:, None] + 1e-3
    found = cx.attractors(bistable(), samples, key=0)
    assert [entry.kind for entry in found.entries] == ["cycle", "cycle"]
    ends = np.array([entry.what.points[0, 0] for entry in found.entries])
    np.testing.assert_allclose(ends, [2, -2])
    np.testing.assert_array_equal(found.labels == 0, samples[:, 0] > 0)
    share = np.mean(samples > 0)
    assert found[0].share == share
    np.testing.assert_allclose(found[0].error, np.sqrt(share * (1 - share) / 801))
    np.testing.assert_allclose(found[0].exponent, np.log(0.5), atol=0.02)  # over the first 256 steps


def test_labels_equal_plain_simulation():
    model = cx.ShallowPLRNN.random(2, 12, key=jax.random.key(4), gain=2.0)
    step = plain_map(model)
    found = cx.attractors(model, 60, key=1)
    for state, label in zip(found.samples, found.labels, strict=True):
        entry = found[label]
        z = state
        for _ in range(20_000):
            z = step(z)
            if np.max(np.abs(z)) > 1e12:
                break
        if entry.kind == "divergence":
            assert np.max(np.abs(z)) > 1e12
        elif entry.kind == "cycle":
            assert np.min(np.max(np.abs(entry.what.points - z), axis=1)) < 1e-6
        else:
            assert entry.kind in ("chaos", "undecided")
            assert np.max(np.abs(z)) < 1e12


def test_chaos_and_divergence_of_the_lozi_map():
    """(1.7, 0.5): the exponent of the attractor is 0.47 (plain NumPy: 0.470), and far states leave."""
    model = cx.LoziMap(1.7, 0.5)
    found = cx.attractors(model, np.concatenate([np.full((30, 2), 0.1), np.full((10, 2), -9.0)]), key=0)
    assert [(entry.kind, entry.share) for entry in found.entries] == [("chaos", 0.75), ("divergence", 0.25)]
    z, v, growth = np.array([0.1, 0.1]), np.array([1.0, 0.3]), 0.0
    for t in range(20_000):
        J = np.array([[-1.7 * np.sign(z[0]), 1], [0.5, 0]])
        z, v = np.array([1 - 1.7 * abs(z[0]) + z[1], 0.5 * z[0]]), J @ v
        growth += np.log(np.linalg.norm(v)) if t >= 100 else 0
        v /= np.linalg.norm(v)
    np.testing.assert_allclose(found[0].exponent, growth / 19_900, atol=0.01)
    assert np.isnan(found[1].exponent)


def test_long_period():
    model = cx.PLRNN(A=[0.9777689, 0.96461297], W=[[0, -0.14375], [0.52505308, 0]], h=[0.37298253, -0.97931491])
    found = cx.attractors(model, 200, key=0)
    assert found[0].kind == "cycle"
    assert found[0].what.order == 27
    assert found[0].what.stability == "stable"
    short = cx.attractors(model, 200, key=0, longest=26, steps=2000)
    assert all(entry.kind != "cycle" for entry in short.entries)


def test_line_attractor_and_rotation():
    line = cx.ShallowPLRNN(A=[0.5, 0.3], W1=[[0.5, -0.5], [0, 0]], W2=[[1.0, 0], [1, 0]], h1=[0, 0.7], h2=[0, -1.0])
    found = cx.attractors(line, np.random.default_rng(0).uniform(0.1, 0.9, (50, 2)), key=0)
    assert [(entry.kind, entry.share) for entry in found.entries] == [("family", 1.0)]
    rotation = cx.PLRNN(A=[[0.6, -0.8], [0.8, 0.6]], W=np.zeros((2, 2)), h=[1.0, 0.7])
    found = cx.attractors(rotation, 20, key=0, steps=5000)
    assert [entry.kind for entry in found.entries] == ["undecided"]
    assert abs(found[0].exponent) < 1e-10


def test_keys_and_prints():
    one, two, other = (cx.attractors(bistable(), 100, key=key) for key in (3, jax.random.key(3), 4))
    np.testing.assert_array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert sum(entry.share for entry in one.entries) == pytest.approx(1)
    assert "destinations of 100 initial states" in str(one)
    assert "Cycle(order 1, stable" in str(one)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(samples=0), "samples: expected a positive int, got 0"),
        (dict(samples=np.ones((3, 2))), r"samples: expected a number, or states of shape \(N, 1\)"),
        (dict(samples=[[0.0], [np.nan]]), "samples: state 1 holds NaN"),
        (dict(samples=3, steps=0), "steps: expected a positive int"),
        (dict(samples=3, longest=0), "longest: expected a positive int"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        cx.attractors(bistable(), arguments.pop("samples"), key=0, **arguments)


def test_ctrl_c_returns_what_has_settled(monkeypatch):
    follow, calls = basins.follow_tangents, []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return follow(*arguments)

    monkeypatch.setattr(basins, "follow_tangents", once)
    found = cx.attractors(cx.LoziMap(1.7, 0.5), [[0.1, 0.1], [-9.0, -9.0]], key=0)
    assert [entry.kind for entry in found.entries] == ["divergence", "undecided"]
    assert "STOPPED EARLY: interrupted by Ctrl-C" in str(found)
