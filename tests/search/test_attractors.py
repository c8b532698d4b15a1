"""Basins: shares against plain simulation and closed forms."""

import io
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.linalg
from plain import plain_map

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.maps.affine import affine_form
from cyclax.search import basins
from cyclax.search.followed import followed
from cyclax.search.leaps import leap


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


def test_many_samples_of_many_units_are_followed_in_bounded_memory():
    """One unit of two attractors beside 89 that come to 0: a matrix for each sample would take a gigabyte."""
    W1, W2 = np.zeros((90, 2)), np.zeros((2, 90))
    W1[0], W2[:, 0] = [1, -1], 1
    model = cx.ShallowPLRNN(A=np.full(90, 0.5), W1=W1, W2=W2, h1=np.r_[-1, np.zeros(89)], h2=[1, -1])
    samples = np.random.default_rng(0).normal(size=(1500, 90))
    tracemalloc.start()
    found = cx.attractors(model, samples, key=0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [entry.kind for entry in found.entries] == ["cycle", "cycle"]
    signs = np.sign([entry.what.points[0, 0] for entry in found.entries])
    np.testing.assert_array_equal(signs[found.labels], np.sign(samples[:, 0]))
    assert most < 3e8


def test_a_terminal_shows_how_many_have_settled(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    cx.attractors(bistable(), 100, key=0)
    assert "0 of 100 orbits have settled" in terminal.getvalue()
    terminal.truncate(0)
    cx.attractors(bistable(), 100, key=0, progress=False)
    assert not terminal.getvalue()


def test_an_unstable_cycle_is_said_to_be_no_attractor():
    """The one at 0 keeps the orbit that begins there."""
    found = cx.attractors(bistable(), np.array([[0.0], [0.5], [1.0], [-1.0]]), key=0)
    (at_zero,) = [entry for entry in found.entries if entry.what.points[0, 0] == 0]
    assert at_zero.share == 0.25
    assert [entry is at_zero for entry in found.entries] == ["no attractor" in repr(entry) for entry in found.entries]


def test_labels_equal_plain_simulation():
    model = cx.ShallowPLRNN.random(2, 12, key=jax.random.key(4), gain=2.0)
    found = cx.attractors(model, 60, key=1)
    states = np.array(found.samples)
    for _ in range(20_000):  # all at once, one a row; those that have left stay where they are
        hidden = np.maximum(states @ model.W2.T + model.h2, 0)
        left = np.max(np.abs(states), axis=1, keepdims=True) > 1e12
        states = np.where(left, states, states * model.A + hidden @ model.W1.T + model.h1)
    for z, label in zip(states, found.labels, strict=True):
        entry = found[label]
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
    assert found[0].exponent == pytest.approx(np.log(np.abs(found[0].what.multipliers[0])) / 27, rel=1e-9)
    short = cx.attractors(model, 200, key=0, longest=26, steps=2000)
    assert {entry.kind for entry in short.entries} == {"undecided"}
    assert "comes back after 27 steps" in short[0].reason
    assert "not settled: it comes back" in str(short)


def test_line_attractor():
    line = cx.ShallowPLRNN(A=[0.5, 0.3], W1=[[0.5, -0.5], [0, 0]], W2=[[1.0, 0], [1, 0]], h1=[0, 0.7], h2=[0, -1.0])
    found = cx.attractors(line, np.random.default_rng(0).uniform(0.1, 0.9, (50, 2)), key=0)
    assert [(entry.kind, entry.share) for entry in found.entries] == [("family", 1.0)]
    assert (found[0].period, found[0].exponent) == (1, pytest.approx(0, abs=1e-15))
    assert "line of fixed points" in str(found)
    assert "each orbit its own" in str(found)


# -- orbits beside neutral cycles: their points say what they are, not their word -------------------------------------


def turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def block(*parts) -> np.ndarray:
    return scipy.linalg.block_diag(*parts)


def linear(A, h) -> cx.PLRNN:
    return cx.PLRNN(A, np.zeros_like(np.asarray(A, float)), h)


def plain_period(model, state: np.ndarray, longest: int) -> int:
    step, z = plain_map(model), state
    for _ in range(1001):
        z = step(z)
    then = z
    for period in range(1, longest + 1):
        z = step(z)
        if np.max(np.abs(z - then)) < 1e-9:
            return period
    return 0


def test_orbits_beside_a_repeated_word_have_the_period_of_their_points():
    A, W = [[-1.0, 1.0], [-1.0, 1.0]], [[0.0, -1.0], [-1.0, -1.0]]
    model = cx.PLRNN(A, W, h=[0.6976859266859752, 0.8214857522109896])
    found = cx.attractors(model, np.random.default_rng(0).normal(size=(100, 2)), key=0)
    assert {plain_period(model, state, 4) for state in found.samples[:20]} == {2}
    assert {(entry.kind, entry.period) for entry in found.entries} == {("family", 2)}
    assert "2-cycles" in str(found)
    assert "fixed point" not in str(found)


@pytest.mark.parametrize(
    ("model", "center", "period"),
    [
        (linear([[-1.0]], [1.0]), [0.5], 2),
        (linear([[0.0, -1.0], [1.0, 0.0]], [1.0, 0.0]), [0.5, 0.5], 4),
        (linear(turn(2 * np.pi / 5), [0.0, 0.0]), [0.0, 0.0], 5),
        (linear(block(turn(2 * np.pi / 3), [[-1.0]]), [0.0, 0.0, 2.0]), [0.0, 0.0, 1.0], 6),
        # No orbit stays on one side: the word is that of a 2-cycle, of which there is a family.
        (cx.SkewTentMap(0.5, -2.0, 1.0), None, 2),
    ],
    ids=["reflection", "quarter turn", "fifth of a turn", "third and reflection", "flip of the tent map"],
)
def test_periods_of_families_in_closed_form(model, center, period):
    samples = np.random.default_rng(1).normal(size=(20, model.num_states))
    found = cx.attractors(model, samples, key=0)
    periods = {plain_period(model, state, 8) for state in samples}
    if center is None:  # every orbit of the tent map at a flip of its 2-cycle has period 4, but for the 2-cycle itself
        assert periods == {4}
        assert {(entry.kind, entry.period) for entry in found.entries} == {("family", 4)}
        return
    assert periods == {period}
    assert {(entry.kind, entry.period) for entry in found.entries} == {("family", period)}
    (at_center,) = cx.attractors(model, [center], key=0)
    assert (at_center.kind, at_center.period) == ("cycle", 1)


def test_around_a_center_every_orbit_has_a_curve_of_its_own():
    rotation = linear([[0.6, -0.8], [0.8, 0.6]], [1.0, 0.7])
    found = cx.attractors(rotation, 20, key=0, steps=5000)
    (entry,) = found
    assert (entry.kind, entry.period, entry.what.order) == ("closed curve", 1, 1)
    assert entry.rotation_number == pytest.approx(np.arccos(0.6) / (2 * np.pi), abs=1e-15)
    assert entry.exponent == pytest.approx(0, abs=1e-15)
    assert "each orbit its own" in str(found)
    # With a reflection beside it, two curves are visited in turn; each is gone around at 2 angle - 2 pi every 2 steps.
    (entry,) = cx.attractors(linear(block(turn(3.0), [[-1.0]]), [1.0, 0.7, 1.0]), 5, key=0)
    assert (entry.kind, entry.period) == ("closed curve", 2)
    assert entry.rotation_number == pytest.approx((2 * np.pi - 2 * 3.0) / (2 * np.pi) / 2, abs=1e-14)
    (entry,) = cx.attractors(linear(block(turn(1.0), turn(np.sqrt(3))), np.ones(4)), 5, key=0)
    assert entry.kind == "torus"
    assert np.isnan(entry.rotation_number)


@pytest.mark.parametrize("slow", [1e-4, 1e-6, 1e-9])
def test_a_slow_focus_is_a_fixed_point(slow):
    """It is known to be reached once no border is in the way: at 1e-9 nothing is seen of it in 65,536 steps."""
    (entry,) = cx.attractors(linear((1 - slow) * turn(0.3), [1.0, 0.5]), 10, key=0)
    assert (entry.kind, entry.what.order) == ("cycle", 1)
    assert entry.exponent == pytest.approx(-slow, rel=1e-3)


def test_orbits_that_are_held_meet_their_word_for_ever():
    """A focus at distance 1 from a border, |multiplier| 0.97, beside orbits at all distances from it."""
    model = cx.BorderCollisionNormalForm([[0.3, 1.0], [0.4, 0.0]], [[1.8, 1.0], [-(0.97**2), 0.0]], [0.0, 0.0])
    center = np.array([1.0, -(0.97**2)])
    model = cx.BorderCollisionNormalForm(model.left, model.right, center - model.right @ center)
    step = plain_map(model)
    rng = np.random.default_rng(0)
    states = center + rng.uniform(0, 2, (400, 1)) * rng.normal(size=(400, 2))
    states = states[states[:, 0] > 0]
    with jax.enable_x64(True):
        words = np.ones((len(states), 1, 1), bool)
        facts = followed(affine_form(model), words, states, 8)
    stays = []
    for state in states:
        z, inside = state, True
        for _ in range(500):
            inside, z = inside and z[0] > 0, step(z)
        stays.append(inside)
    assert not np.any(facts.held & ~np.array(stays))
    assert np.sum(facts.held) > 0.5 * np.sum(stays)
    assert not np.all(stays)
    np.testing.assert_allclose(facts.radius, 0.97, rtol=1e-12)
    assert np.all(facts.period[facts.held] == 1)


# -- closed curves across borders -------------------------------------------------------------------------------------


def driven(turning, *others) -> cx.PLRNN:
    """What turns has a third state follow relu of the first, so that every curve crosses a border."""
    A = block(turning, [[0.5]], *others)
    W = np.zeros_like(A)
    W[2, 0] = 1.0
    return cx.PLRNN(A, W, np.zeros(len(A)))


def polygonal(angle: float) -> cx.ShallowPLRNN:
    """A focus that repels at 0; five borders, a distance of 1 away, beyond which states are drawn back."""
    sides = np.stack([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)], axis=1)
    return cx.ShallowPLRNN(1.1 * turn(angle), -0.4 * turn(angle) @ sides.T, sides, np.zeros(2), -np.ones(5))


def plain_turns(model, state: np.ndarray, steps: int) -> float:
    """Turns per step of the first two states around 0, by adding up angles; off by at most one turn in all."""
    step, z, total = plain_map(model), state, 0.0
    for _ in range(2000):
        z = step(z)
    for _ in range(steps):
        following = step(z)
        total += (np.arctan2(*following[1::-1]) - np.arctan2(*z[1::-1])) % (2 * np.pi)
        z = following
    return total / (2 * np.pi * steps)


@pytest.mark.parametrize("angle", [2 * np.pi * 0.0377123, 2 * np.pi * 0.1234567, 3.0])
def test_rotation_number_of_driven_curves_in_closed_form(angle):
    found = cx.attractors(driven(turn(angle)), np.random.default_rng(0).normal(size=(4, 3)), key=0)
    (entry,) = found
    assert (entry.kind, entry.period, entry.what) == ("closed curve", 1, None)
    assert entry.rotation_error < 1e-5
    assert abs(entry.rotation_number - angle / (2 * np.pi)) < entry.rotation_error
    assert "each orbit its own" in str(found)


def test_rotation_number_of_curves_visited_in_turn():
    model = driven(turn(2.0), [[0.5]])
    model = cx.PLRNN(model.A, model.W + block(np.zeros((3, 3)), [[-1.8]]), [0.0, 0.0, 0.0, 1.0])  # a stable 2-cycle
    (entry,) = cx.attractors(model, np.random.default_rng(0).normal(size=(4, 4)), key=0)
    assert (entry.kind, entry.period) == ("closed curve", 2)
    assert abs(entry.rotation_number - (np.pi - 2.0) / (2 * np.pi)) < entry.rotation_error < 1e-5  # 4 = -(2 pi - 4)


OSCILLATOR = Path(__file__).resolve().parents[3] / "shared" / "faults" / "cases" / "osc_rank2_N20.json"


@pytest.mark.skipif(not OSCILLATOR.is_file(), reason="needs ../shared/faults")
def test_a_trained_oscillator():
    """A network of rank two that was trained to oscillate, in its latent coordinates: turns are counted by hand."""
    model = cx.load(OSCILLATOR)
    found = cx.attractors(model, 16, key=0)
    (entry,) = found
    assert (entry.kind, entry.share, entry.period) == ("closed curve", 1.0, 1)
    turns = plain_turns(model, np.array([0.1, 0.1]), 50_000)
    assert abs(entry.rotation_number - min(turns, 1 - turns)) < 1 / 50_000  # whichever way around
    assert "closed curve, rotation number 0.02014823" in str(found)
    assert "(once around in 49.632" in str(found)


@pytest.mark.parametrize("angle", [0.3, 1.0])
def test_an_attracting_closed_curve(angle):
    model = polygonal(angle)
    found = cx.attractors(model, 30, key=0)
    (entry,) = found
    assert (entry.kind, entry.share, entry.period) == ("closed curve", 1.0, 1)
    assert abs(entry.rotation_number - plain_turns(model, np.array([0.3, 0.1]), 20_000)) < 1 / 20_000
    assert "rotation number 0." in str(found)
    assert entry.steps_around == 1 / entry.rotation_number
    assert f"(once around in {entry.steps_around:.6g} steps)" in str(found)
    assert "its own" not in str(found)
    # Its points go once around, and plain orbits stay on them.
    (points,) = entry.curve
    around = np.diff(np.unwrap(np.arctan2(*np.append(points, points[:1], axis=0)[:, ::-1].T)))
    assert abs(np.sum(around)) == pytest.approx(2 * np.pi)
    step, z, side = plain_map(model), found.samples[0], np.max(np.linalg.norm(np.diff(points, axis=0), axis=1))
    for t in range(2000):
        z = step(z)
        if t >= 1900:
            assert np.min(np.linalg.norm(points - z, axis=1)) < side


@pytest.mark.parametrize("slow", [1e-4, 1e-6])
def test_a_slow_focus_on_a_border_is_no_closed_curve(slow):
    """Its orbits cross the border for ever, so that no word is repeated, and come closer by e^-6 at most."""
    for angle in (0.3, 2 * np.pi * 0.1234567):
        found = cx.attractors(driven((1 - slow) * turn(angle)), np.random.default_rng(0).normal(size=(4, 3)), key=0)
        assert {entry.kind for entry in found.entries} == {"undecided"}
        assert all(entry.reason for entry in found.entries)
        assert "None" not in str(found)


def test_a_torus_across_borders_is_not_called_a_curve():
    model = driven(turn(2 * np.pi * 0.0377123), turn(np.sqrt(2)))
    (entry,) = cx.attractors(model, np.random.default_rng(0).normal(size=(3, 5)), key=0)
    assert entry.kind == "undecided"
    assert "as on a torus" in entry.reason


def test_units_of_the_states_change_nothing():
    units = 2.0 ** np.array([20.0, -7.0, -30.0])
    around = linear(block(turn(0.5), [[-1.0]]), np.ones(3))
    quarter = linear(block(turn(np.pi / 2), [[-0.9]]), np.ones(3))
    for model, kind in [(driven(turn(0.3)), "closed curve"), (around, "closed curve"), (quarter, "family")]:
        samples = np.random.default_rng(0).normal(size=(5, 3))
        (one,) = cx.attractors(model, samples, key=0)
        other = cx.PLRNN(model.A * units / units[:, None], model.W * units / units[:, None], model.h / units)
        (same,) = cx.attractors(other, samples / units, key=0)
        assert (one.kind, one.period) == (same.kind, same.period)
        assert one.kind == kind
        np.testing.assert_allclose(one.rotation_number, same.rotation_number, rtol=1e-6)


@pytest.mark.parametrize("power", [20, 60, 120])
def test_basins_of_a_network_in_units_far_apart(power):
    """Three stable cycles in five states: the same basins whatever the units, of samples given or drawn."""
    rng = np.random.default_rng(3)
    A, W, h = rng.uniform(-0.3, 0.3, 5), np.eye(5) * 0.2 + 0.1 * rng.normal(size=(5, 5)), rng.normal(size=5)
    W[0, :2], W[1, :2], h[:2] = [0.1, -1.6], [-1.6, 0.1], 1.0
    S = 2.0 ** (power * np.array([1, -1, 0.5, -0.5, 0]))
    plain = cx.PLRNN(A=A, W=W, h=h)
    other = cx.PLRNN(A=A, W=W * S / S[:, None], h=h / S)
    samples = rng.normal(size=(200, 5))
    expected, found = cx.attractors(plain, samples, key=0), cx.attractors(other, samples / S, key=0)
    assert [entry.kind for entry in expected] == ["cycle"] * 3
    assert [entry.kind for entry in found] == ["cycle"] * 3
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.samples, samples / S)
    step = plain_map(other)
    for one, same in zip(expected, found, strict=True):
        np.testing.assert_allclose(S * same.what.points, one.what.points, rtol=1e-9)
        for now, following in zip(same.what.points, np.roll(same.what.points, -1, axis=0), strict=True):
            np.testing.assert_allclose(step(now), following, rtol=1e-9)
    drawn = cx.attractors(other, 200, key=0)
    assert [entry.kind for entry in drawn] == ["cycle"] * 3


def test_keys_and_prints():
    one, two, other = (cx.attractors(bistable(), 100, key=key) for key in (3, jax.random.key(3), 4))
    np.testing.assert_array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert sum(entry.share for entry in one.entries) == pytest.approx(1)
    assert "destinations of 100 initial states" in str(one)
    assert "Cycle(order 1, stable" in str(one)
    assert [entry.period for entry in one.entries] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(samples=0), "samples: expected a positive int, got 0"),
        (dict(samples=np.ones((3, 2))), r"samples: expected a number, or states of shape \(N, 1\)"),
        (dict(samples=[[0.0], [np.nan]]), "samples: state 1 holds NaN"),
        (dict(samples=[[0.0], [0.0, 1.0]]), r"samples: .* or the states, \(N, 1\), got list; .* inhomogeneous"),
        (dict(samples=np.ma.masked_less([[0.0], [1.0]], 1)), r"got MaskedArray; it has masked entries \(first at \[0"),
        (dict(samples=3, steps=0), "steps: expected a positive int"),
        (dict(samples=3, longest=0), "longest: expected a positive int"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        cx.attractors(bistable(), arguments.pop("samples"), key=0, **arguments)


def test_cycles_are_no_samples():
    cycles = cx.enumerate_cycles(bistable(), 1, progress=False)
    with pytest.raises(TypeError, match=r"samples: expected a number of initial states .* \(N, 1\), got Cycles"):
        cx.attractors(bistable(), cycles, key=0)


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
    assert "not settled: interrupted by Ctrl-C" in str(found)
    none = cx.attractors(cx.LoziMap(1.7, 0.5), [[0.1, 0.1]], key=0)
    assert np.isnan(none.exponents).all()  # as it came at once
    assert "100.0 % +- 0.0  not settled: interrupted by Ctrl-C\n" in str(none)


def test_states_that_one_step_makes_large_have_not_left():
    """Slopes of 1e45 take states that matter to 1e135, from where they come back."""
    model = cx.ShallowPLRNN(
        A=[0.875], W1=[[-7e45, 1e46, 6e45]], W2=[[1.0], [0.375], [0.25]], h1=[4e45], h2=[-1e46, 5e44, -7e45]
    )
    (entry,) = cx.attractors(model, np.ones((2, 1)), key=0, steps=4096).entries
    assert entry.kind != "divergence"


@pytest.mark.parametrize("offset", [0.75, 0.9])
def test_orbits_that_come_to_the_rim_of_a_family_are_in_it(offset):
    """A turn by 90 degrees, weaker beyond the borders: all come to the 4-cycles around (0.25, 0.65), or beside them.

    The largest square of 4-cycles touches a border, and orbits from outside end on its rim, to within rounding.
    """
    model = cx.LeakyReLURNN(W=[[0.0, -1.0], [1.0, 0.0]], b=[offset, offset - 0.5], slope=0.5)
    found = cx.attractors(model, 200, key=0)
    assert {entry.kind for entry in found.entries} == {"family"}
    assert {entry.period for entry in found.entries} == {4}
    # Lines of 4-cycles end on its rim, too: which of them an orbit on both is in does not depend on their order.
    assert found.entries[0].what.directions.shape == (2, 2)
    assert found.entries[0].share > 0.95
    ends = found.samples
    for _ in range(400):
        ends = np.array([plain_map(model)(state) for state in ends])
    back = ends
    for _ in range(4):
        back = np.array([plain_map(model)(state) for state in back])
    np.testing.assert_allclose(back, ends, atol=1e-9)


def test_a_border_of_a_family_is_no_place_of_its_own():
    """z' = z above -1/64, and -1/64 below: where the sum of two halves of a unit comes to it, rounding parts them."""
    W1, W2 = [[0.00390625, 0.0078125, 0.00390625]], [[-128.0], [0.0], [-128.0]]
    model = cx.ShallowPLRNN(A=[1.0], W1=W1, W2=W2, h1=[-0.015625], h2=[-2.0, 2.0, -2.0])
    samples = [[-0.0179435752453402], [-0.015625], [-0.5], [1.0]]
    (entry,) = cx.attractors(model, samples, key=0, steps=4096).entries
    assert (entry.kind, entry.what.order) == ("family", 1)


def test_states_that_overflow_with_their_products_diverge():
    """What grows past the largest float64 within a word of a few steps leaves no multiplier to tell a rest from."""
    steep = cx.SkewTentMap(left=-8.9e179, right=1.71, offset=0.4)
    wide = cx.PLRNN(A=[-8e135, 4e135], W=[[-1.3e136, -2.4e136], [-8.6e135, -5.3e135]], h=[6.9e135, 2.9e135])
    for model, sample in ((steep, [-0.8]), (wide, [-0.67, 0.1])):
        (entry,) = cx.attractors(model, [sample], key=0, steps=4096).entries
        assert entry.kind == "divergence"


def test_chaos_beyond_a_flat_piece_is_told():
    """|slope| is 1.25 but on flat pieces outside of the attractor: orbits cross these once, where tangents vanish."""
    model = cx.ClippedDendriticPLRNN(A=[0.0], W=[[0.5]], h=[1.5], alpha=[2.5, 2.5], thresholds=[[3.0, -1.0]])
    (entry,) = cx.attractors(model, np.linspace(-8, 8, 24)[:, None], key=0, steps=4096).entries
    assert entry.kind == "chaos"
    assert entry.exponent == pytest.approx(np.log(1.25), rel=1e-3)


@pytest.mark.parametrize(
    "turn",
    [np.zeros((0, 0)), [[0.5]], [[-1.0]], [[0.6, -0.8], [0.8, 0.6]]],
    ids=["alone", "beside what shrinks", "beside a swing", "beside a turn"],
)
def test_what_drifts_away_for_ever_diverges(turn):
    """z' = z + 2 for z < 0 and z' = z + 1 beyond: there is no solution to come to, and no border ahead."""
    size = 1 + len(turn)
    A = np.eye(size)
    A[1:, 1:] = turn
    W1, W2 = np.zeros((size, 2)), np.zeros((2, size))
    W1[0], W2[:, 0] = [0.25, -0.25], 1.0
    model = cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=[2.0, *np.zeros(size - 1)], h2=[4.0, 0.0])
    (entry,) = cx.attractors(model, -np.ones((2, size)) * [[1.0], [9.0]], key=0, steps=512).entries
    assert entry.kind == "divergence"


@pytest.mark.parametrize("power", [0, 40, -40])
def test_a_drift_in_any_units(power):
    """The drift is in one state, the swing in the other, which is as large as one likes."""
    model = cx.AlmostLinearRNN(A=[-1.0, 1.0], W=np.zeros((2, 2)), h=[0.0, -1.0], num_gated=1)
    (entry,) = cx.attractors(model, [[2.0**power, 3.0]], key=0, steps=512).entries
    assert entry.kind == "divergence"


def test_a_fixed_point_far_beyond_the_samples_is_no_divergence():
    """Where all gates are closed it lies at h / (1 - A), and a leap ends near it."""
    A, W, h = (
        [1 - 2.0**-48, 1 - 2.0**-13, 1 - 2.0**-13],
        [[0, -0.5, -0.5], [0.5, 0, -0.1], [0.5, -0.1, 0]],
        [-6e-3, -0.5, -0.5],
    )
    found = cx.attractors(cx.PLRNN(A=A, W=W, h=h), [[-4.0, -4, -4], [-1, -1, -1]], key=0, steps=4096)
    (entry,) = found.entries
    assert (entry.kind, entry.what.order, entry.share) == ("cycle", 1, 1.0)
    np.testing.assert_allclose(entry.what.points[0], np.divide(h, [2.0**-48, 2.0**-13, 2.0**-13]), 1e-2)
    # A growing multiplier leads away for ever.
    grown = cx.attractors(cx.PLRNN(A=[1 + 2.0**-6, *A[1:]], W=W, h=h), [[-4.0, -4, -4]], key=0, steps=4096)
    assert [one.kind for one in grown.entries] == ["divergence"]


def test_a_drift_toward_a_border_is_followed_beyond():
    """z' = z + 2^-10 below 0, and a fixed point beyond: 10,240 steps away, which one lap does not show."""
    model = cx.SkewTentMap(left=1.0, right=0.5, offset=2.0**-10)
    for steps in (512, 20_000):  # the way there is one leap
        (entry,) = cx.attractors(model, [[-10.0]], key=0, steps=steps).entries
        assert (entry.kind, entry.period) == ("cycle", 1)


# -- what takes long, and is known before ------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [20, 30, 40])
def test_slow_networks_have_the_basins_of_faster_ones(slow):
    """z' = z + e (-z + W relu(z) + h) goes where the flow does, whatever e: in a thousand steps, or in a trillion."""
    rng = np.random.default_rng(9)
    W, h = np.array([[0.7, -1.6, 0.2], [-1.5, 0.8, -0.4], [0.3, -0.2, 0.5]]), np.array([0.4, 0.5, -0.2])
    samples = 3 * rng.normal(size=(40, 3))
    ends = []
    for e, steps in ((2.0**-8, 65536), (2.0**-slow, 4096)):
        found = cx.attractors(cx.PLRNN(A=np.full(3, 1 - e), W=e * W, h=e * h), samples, key=0, steps=steps)
        assert {entry.kind for entry in found} <= {"cycle", "divergence"}
        points = [np.full(3, np.inf) if entry.what is None else entry.what.points[0] for entry in found]
        ends.append(np.array(points)[found.labels])
    assert len(np.unique(ends[0].round(6), axis=0)) > 1
    np.testing.assert_allclose(*ends, rtol=1e-3)  # rounding, by 2^40


def test_what_grows_along_a_jordan_block_diverges():
    """Off the line y = 0 of fixed points, or where there is none, x grows for ever, slowly."""
    shear = cx.PLRNN(A=[[1.0, 1.0], [0.0, 1.0]], W=np.zeros((2, 2)), h=[0.0, 0.0])
    samples = np.array([[0.5, 0.0], [0.5, 0.1], [-2.0, 0.0], [-2.0, -3.0]])
    found = cx.attractors(shear, samples, key=0)
    assert [found[label].kind for label in found.labels] == ["family", "divergence"] * 2
    found = cx.attractors(cx.LoziMap(a=-2.0, b=-1.0), np.random.default_rng(0).normal(size=(8, 2)), key=0)
    assert [entry.kind for entry in found] == ["divergence"]


def test_what_turns_over_and_grows_along_a_jordan_block_diverges():
    """Multipliers -1, -1: in two steps z_1 gains 2 w (z_2 - h_2 / 2), and z_2 is where it was."""
    w, h = 0.17311286422461405, 1.1273403545002483
    model = cx.PLRNN(A=[-1.0, -1.0], W=[[0.0, -w], [0.0, 0.0]], h=[2.374684878228249, h])
    samples = [[2.5, 0.32432764], [-1.5, 0.77], [0.3, h / 2 + 1e-3], [0.3, h / 2]]
    found = cx.attractors(model, samples, key=0, steps=4096)
    assert [found.entries[label].kind for label in found.labels] == ["divergence"] * 3 + ["family"]


def test_what_jumps_from_place_to_place_may_come_near_a_border():
    """Left of x = 0 three steps are the identity: there an orbit lies on a 3-cycle where its three points do."""
    left, h = np.array([[0.0, -1.0], [1.0, -1.0]]), np.array([-2.0, -0.5])
    model = cx.BorderCollisionNormalForm(left=left, right=[[3.0, -1.0], [2.0, -1.0]], h=h)
    first = np.random.default_rng(0).uniform([-2, -2], [0, 2], size=(400, 2))
    second = first @ left.T + h
    third = second @ left.T + h
    inside = np.all(np.stack([first, second, third])[:, :, 0] < 0, axis=0)
    found = cx.attractors(model, first[inside], key=0, steps=512)
    assert np.sum(inside) > 50
    assert [(entry.kind, entry.period, entry.what.order) for entry in found if entry.kind != "cycle"] == [
        ("family", 3, 3)
    ]
    assert found[0].share > 0.99


@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi])
def test_a_leap_ends_where_single_steps_end(turn):
    """Beside a slow drift a spiral turns, and a border is met after ten thousands of steps."""
    rotation = 0.999 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    A = scipy.linalg.block_diag(rotation, 1 - 2.0**-16)
    A[0, 2] = 2.0**-12
    model = cx.AlmostLinearRNN(A=A, W=np.diag([0, 0, -(2.0**-16)]), h=[0.1, 0.0, -1e-5], num_gated=1)
    z = np.array([1.0, -2.0, 0.5])
    with numerics():
        ahead = leap(model, affine_form(model), np.ones((1, 1), bool), z, 256)
    step = plain_map(model)
    number = 0
    while number < 100_000 and z[2] > ahead[2] * (1 + 1e-9):
        z, number = step(z), number + 1
    np.testing.assert_allclose(z, ahead, rtol=1e-9, atol=1e-12)
    assert number > 10_000
    for _ in range(100):  # it ends just before the border
        z = step(z)
    assert z[2] < 0


def test_leaps_from_states_that_have_all_but_vanished():
    model = cx.AlmostLinearRNN(A=[-0.85, 0.76], W=[[0.49, 1.63], [0.14, 0.45]], h=[0.0, 0.0], num_gated=1)
    with numerics():
        ahead = leap(model, affine_form(model), np.zeros((1, 1), bool), np.array([0.0, -7.7e-262]), 256)
    assert ahead is None or np.all(np.isfinite(ahead))


def test_units_that_have_died_away_hide_no_settled_orbit():
    """A silent leaky unit decays for ever: beside the others it is 0, whatever is left of it, and in every sample."""
    model = cx.RateRNN(W=[[-1.5, 0.0], [0.0, 0.5]], b=[1.0, -1.0], alpha=0.5)
    with numerics():
        states = np.stack([[0.4, 0.0]] * 4) + np.array([0.0, 1e-30, 3e-40, 2e-200])[:, None] * [0.0, 1.0]
        told = followed(affine_form(model), np.array([[[True, False]]] * 4), states, 8)
    assert np.all(told.held)
    assert np.all(told.period == 1)


@pytest.mark.parametrize(("slope", "leapt"), [(0.5, False), (1 - 1e-6, True)])
def test_only_slow_words_are_leapt_along(slope, leapt, monkeypatch):
    """Toward a fixed point on a border no orbit is ever beyond doubt; if it contracts, single steps soon end there."""
    leaps = []
    monkeypatch.setattr(basins, "leap", lambda *args: leaps.append(args))
    found = cx.attractors(cx.PLRNN(A=[slope], W=[[0.25 * (slope - 1)]], h=[0.0]), [[1.0], [-2.0]], key=0, steps=4096)
    assert bool(leaps) == leapt
    # It has a word on either side, and is one.
    assert leapt or [(entry.kind, entry.share) for entry in found.entries] == [("cycle", 1.0)]
