"""Periodically driven networks: cycles in periods of the input, against closed forms, every word, and other verbs."""

import itertools
import math

import jax
import numpy as np
import pytest
from plain import plain_map, plain_pieces

import cyclax as cx

rng = np.random.default_rng(4)
# Slopes 0.95 and -2: bounded, with cycles of many orders.
TENT = cx.PLRNN(A=[0.95], W=[[-2.95]], h=[1.0])


def key(seed):
    return jax.random.key(seed)


def brute(model, inputs, periods):
    """All solutions of so many periods: of every word, solved in float64, those that meet it."""
    inputs = np.tile(inputs, (periods, 1))
    driven = [model.with_input(row) for row in inputs]
    number, size = model.num_gates, model.num_states
    found = []
    held: dict[tuple[int, bytes], tuple[np.ndarray, np.ndarray]] = {}
    for bits in itertools.product([False, True], repeat=number * len(inputs)):
        word = np.array(bits).reshape(len(inputs), number)
        P, q = np.eye(size), np.zeros(size)
        parts = []
        for t, (one, gates) in enumerate(zip(driven, word, strict=True)):
            if (t, gates.tobytes()) not in held:
                with jax.enable_x64(True):
                    J = jax.jacfwd(one.step)(np.zeros(size), gates)
                    held[t, gates.tobytes()] = np.asarray(J), np.asarray(one.step(np.zeros(size), gates))
            J, offset = held[t, gates.tobytes()]
            parts.append((J, offset))
            P, q = J @ P, J @ q + offset
        z = first = np.linalg.solve(np.eye(size) - P, q)
        for one, gates, (J, offset) in zip(driven, word, parts, strict=True):
            met, *_ = plain_pieces(one)(z)
            if not np.array_equal(met > 0, gates):
                break
            z = J @ z + offset
        else:
            found.append(first)
    return found


def minimal(model, inputs, first, periods):
    """The number of periods after which an orbit returns."""
    z = first
    for period in range(1, periods + 1):
        for row in inputs:
            z = plain_map(model.with_input(row))(z)
        if np.allclose(z, first, atol=1e-9):
            return period
    raise AssertionError("it does not return")


def check_orbits(model, inputs, cycles):
    for cycle in cycles:
        assert len(cycle.points) == len(cycle.gates) == cycle.order * len(inputs)
        assert minimal(model, inputs, cycle.points[0], cycle.order) == cycle.order
        product = np.eye(model.num_states)
        for t, (z, gates) in enumerate(zip(cycle.points, cycle.gates, strict=True)):
            driven = model.with_input(inputs[t % len(inputs)])
            following = cycle.points[(t + 1) % len(cycle.points)]
            np.testing.assert_allclose(plain_map(driven)(z), following, atol=1e-11)
            met, _, jacobian = plain_pieces(driven)(z)
            np.testing.assert_array_equal(met > 0, gates)
            product = jacobian @ product
        np.testing.assert_allclose(cycle.jacobian, product, atol=1e-10)
        values = np.linalg.eigvals(product)
        np.testing.assert_allclose(np.sort_complex(cycle.multipliers), np.sort_complex(values), atol=1e-9)


def test_a_number_in_closed_form():
    """z' = a z + s_t: z_0 = sum a^(p-1-t) s_t / (1 - a^p)."""
    for a, period in ((0.5, 3), (-0.9, 4), (0.3, 1)):
        s = np.random.default_rng(period).normal(size=(period, 1))
        (cycle,) = cx.find_cycles(cx.PLRNN(A=[a], W=[[0.0]], h=[0.0]), 2, key=0, inputs=s)
        expected = sum(a ** (period - 1 - t) * s[t, 0] for t in range(period)) / (1 - a**period)
        assert cycle.order == 1
        np.testing.assert_allclose(cycle.points[0, 0], expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(cycle.multipliers, a**period, rtol=0, atol=1e-14)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_equal_inputs_are_the_autonomous_map(period):
    """A cycle of order q returns after q / gcd(q, p) periods, and gives gcd(q, p) driven ones: one for each phase."""
    alone = cx.enumerate_cycles(TENT.with_input([0.25]), 6)
    orders = 6 // period
    driven = cx.enumerate_cycles(TENT, orders, inputs=np.full((period, 1), 0.25))
    assert all(entry["verdict"] == "proved complete" for entry in driven.report["orders"].values())
    expected = {
        order: sum(
            math.gcd(q, period) * number for q, number in alone.counts.items() if q // math.gcd(q, period) == order
        )
        for order in range(1, orders + 1)
    }
    assert sum(expected.values()) >= 3
    assert driven.counts == expected
    starts = sorted(
        z for cycle in alone if cycle.order // math.gcd(cycle.order, period) == 1 for z in cycle.points[:, 0]
    )
    np.testing.assert_allclose(sorted(cycle.points[0, 0] for cycle in driven.of_order(1)), starts, atol=1e-12)


def inputs_of(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


NETWORKS = {
    "a tent": (TENT, np.array([[0.3], [-0.2]]), 3, 3),
    "PLRNN": (cx.PLRNN.random(2, key=key(6), gain=3), rng.normal(size=(3, 2)), 1, 0),
    "shallow": (cx.ShallowPLRNN.random(2, 3, key=key(5), gain=2), inputs_of(5, 2, 2), 1, 2),
    "rates": (cx.RateRNN.random(2, key=key(7), gain=3, alpha=0.8, num_inputs=1), inputs_of(7, 3, 1), 1, 2),
    "currents": (cx.CurrentRNN.random(2, key=key(5), gain=4, alpha=0.9, num_inputs=3), inputs_of(5, 2, 3), 1, 3),
    "rectified": (cx.RectifiedRNN.random(2, key=key(5), gain=4, alpha=0.8), inputs_of(5, 2, 2), 1, 3),
    "low rank": (
        cx.LowRankRNN(m=np.abs(rng.normal(size=(4, 1))), n=-9 * np.ones((4, 1)), b=rng.normal(size=4), alpha=0.9),
        rng.normal(size=(2, 4)),
        1,
        1,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_against_every_word(name):
    """Complete by enumeration; found by the search, too; each proved in ball arithmetic."""
    model, inputs, orders, fewest = NETWORKS[name]
    every = cx.enumerate_cycles(model, orders, inputs=inputs)
    check_orbits(model, inputs, every)
    assert all(entry["verdict"] == "proved complete" for entry in every.report["orders"].values())
    solutions = brute(model, inputs, orders)
    assert len(solutions) >= fewest
    by_order = [minimal(model, inputs, z, orders) for z in solutions]
    expected = {order: by_order.count(order) // order for order in range(1, orders + 1) if orders % order == 0}
    assert {order: every.counts[order] for order in expected} == expected
    starts = [cycle.points[t * len(inputs)] for cycle in every for t in range(cycle.order) if orders % cycle.order == 0]
    for z in solutions:
        assert min(np.max(np.abs(z - start)) for start in starts) < 1e-9
    found = cx.find_cycles(model, orders, key=0, inputs=inputs)
    assert found.counts == every.counts
    for one, other in zip(found, every, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
    certified = cx.certify(model, every, inputs=inputs)
    assert [cycle.certificate.status for cycle in certified] == ["proved"] * len(every)
    assert certified.report["certificate"]["proved"] == len(every)
    assert certified.report["orders"] == every.report["orders"]


def test_multipliers_are_those_of_the_spectrum():
    model = cx.RateRNN.random(3, key=key(2), gain=1.2, alpha=0.5, num_inputs=2)
    inputs = np.random.default_rng(0).normal(size=(4, 2))
    (cycle,) = [one for one in cx.find_cycles(model, 1, key=0, inputs=inputs) if one.stability == "stable"]
    spectrum = cx.lyapunov_spectrum(model, cycle.points[0], np.tile(inputs, (600, 1)), steps=2000, warmup=400)
    rates = np.log(np.abs(cycle.multipliers)) / len(cycle.points)
    np.testing.assert_allclose(np.sum(spectrum.exponents), np.sum(rates), atol=1e-12)
    # Those of a complex pair are means over angles, which come closer with the steps.
    np.testing.assert_allclose(spectrum.exponents, rates, atol=2e-3)
    real = np.abs(cycle.multipliers.imag) == 0
    assert real.any()
    np.testing.assert_allclose(spectrum.exponents[real], rates[real], atol=1e-9)


def test_saved_and_read(tmp_path):
    inputs = np.array([[0.3], [-0.2]])
    cycles = cx.enumerate_cycles(TENT, 3, inputs=inputs)
    assert len(cycles) >= 9
    cycles.save(tmp_path / "cycles.npz")
    again = cx.Cycles.load(tmp_path / "cycles.npz")
    assert again.provenance["inputs"] == inputs.tolist()
    assert again.counts == cycles.counts
    for one, other in zip(again, cycles, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.gates, other.gates)
    assert cx.certify(TENT, again, inputs=inputs).report["orders"] == cycles.report["orders"]
    # A claim that was issued for other inputs does not hold.
    other = cx.certify(TENT, again, inputs=inputs + 0.01)
    assert all(
        entry["verdict"] == "unknown" for entry in other.report["orders"].values() if entry["verdict"] != "likely"
    )


# -- where driven orbits go --------------------------------------------------------------------------------------------


def test_driven_attractors():
    model, inputs, *_ = NETWORKS["rates"]
    found = cx.attractors(model, 40, key=0, inputs=inputs)
    (stable,) = [cycle for cycle in cx.enumerate_cycles(model, 1, inputs=inputs) if cycle.stability == "stable"]
    entry = found[0]
    assert (entry.kind, entry.period) == ("cycle", 1)
    check_orbits(model, inputs, [entry.what])
    np.testing.assert_allclose(entry.what.points, stable.points, atol=1e-9)
    # Every sample goes where it is said to go.
    for z, label in zip(found.samples, found.labels, strict=True):
        with np.errstate(all="ignore"):
            for row in np.tile(inputs, (100, 1)):
                z = plain_map(model.with_input(row))(z)
        if found[label].kind == "cycle":
            np.testing.assert_allclose(z, stable.points[0], atol=1e-9)
        else:
            assert found[label].kind == "divergence"
            assert np.max(np.abs(z)) > 1e6


def test_driven_attractors_of_two_periods():
    """A stable 2-cycle, and inputs of three steps: it returns after two periods."""
    model, inputs = cx.PLRNN(A=[0.5], W=[[-1.6]], h=[1.0]), np.array([[0.1], [-0.05], [0.02]])
    (entry,) = cx.attractors(model, 10, key=0, inputs=inputs)
    assert (entry.kind, entry.period, entry.what.order) == ("cycle", 2, 2)
    assert entry.what.points.shape == (6, 1)
    check_orbits(model, inputs, [entry.what])
    assert abs(entry.exponent - np.log(abs(entry.what.multipliers[0])) / 6) < 1e-12
    (gone,) = cx.attractors(cx.PLRNN(A=[1.1], W=[[0.0]], h=[1.0]), 5, key=0, inputs=inputs)
    assert gone.kind == "divergence"


def test_driven_closed_curves():
    turn = 1.1 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    angles = 2 * np.pi * np.arange(5) / 5
    sides = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    model = cx.ShallowPLRNN(turn, -0.36 * turn @ sides.T, sides, np.zeros(2), -np.ones(5))
    inputs = np.array([[0.02, 0.0], [0.0, 0.01]])
    found = cx.attractors(model, 5, key=0, inputs=inputs)
    assert {entry.kind for entry in found} == {"closed curve"}
    z, total, steps = np.array([0.3, 0.1]), 0.0, 20_000
    maps = [plain_map(model.with_input(row)) for row in inputs]
    for t in range(1000 + steps):
        following = maps[t % 2](z)
        if t >= 1000:
            total += (np.arctan2(*following[::-1]) - np.arctan2(*z[::-1])) % (2 * np.pi)
        z = following
    for entry in found:
        assert abs(entry.rotation_number - total / (2 * np.pi * steps)) < 1 / steps


def test_families():
    """z' = z + s_t with inputs that sum to 0: every orbit returns."""
    model = cx.PLRNN(A=[1.0], W=[[0.0]], h=[0.0])
    cycles = cx.find_cycles(model, 1, key=0, inputs=[[1.0], [-0.25], [-0.75]])
    assert cycles.counts == {1: 0}
    (family,) = cycles.degenerate
    assert family.kind == "family"
    np.testing.assert_allclose(np.diff(family.points[:, 0]), [1.0, -0.25], atol=1e-12)
    np.testing.assert_allclose(np.abs(family.directions), [[1.0]])


def test_words_to_begin_with():
    inputs, finder = np.array([[0.3], [-0.2]]), cx.SCYFI(starts=1)
    known = cx.enumerate_cycles(TENT, [2], inputs=inputs)
    words = [cycle.gates for cycle in known]
    assert cx.find_cycles(TENT, [2], key=0, inputs=inputs + 1e-3, words=words, finder=finder).counts == {2: 2}
    assert cx.find_cycles(TENT, [2], key=0, inputs=inputs + 1e-3, finder=finder).counts != {2: 2}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([0.1, 0.2], r"inputs: expected shape \(p, K\), a row for each step of the period, got \(2,\)"),
        (np.zeros((0, 1)), r"inputs: expected shape \(p, K\)"),
        ([[0.1, 0.2]], r"inputs: each row: expected shape \(1,\) \(that of h\), got \(2,\)"),
        ([[0.1], [np.nan]], r"inputs: row 1 holds NaN or inf"),
    ],
)
def test_inputs_that_do_not_fit(inputs, message):
    with pytest.raises(ValueError, match=message):
        cx.find_cycles(TENT, 1, key=0, inputs=inputs)
    with pytest.raises(ValueError, match=message):
        cx.enumerate_cycles(TENT, 1, inputs=inputs)


def test_what_driven_networks_lack():
    inputs = [[0.1], [0.2]]
    with pytest.raises(ValueError, match="near_misses: of driven networks they are not listed"):
        cx.find_cycles(TENT, 1, key=0, inputs=inputs, near_misses=1)
    with pytest.raises(ValueError, match="inputs: of driven networks give orders"):
        cx.enumerate_cycles(TENT, "all", inputs=inputs)
    with pytest.raises(TypeError, match="has no bias that an input could be folded into"):
        cx.find_cycles(cx.TentMap(1.5), 1, key=0, inputs=inputs)
    cycles = cx.find_cycles(TENT, 1, key=0, inputs=inputs)
    with pytest.raises(ValueError, match="a cycle of order 1 has 2 points, and 1 periods of these inputs have 3 steps"):
        cx.certify(TENT, cycles, inputs=[*inputs, [0.3]])
