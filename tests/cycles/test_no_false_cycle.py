"""No false cycle: every returned cycle is solved again from its word in 50 digits: existence, word, period."""

import jax
import mpmath
import numpy as np
import pytest
from conftest import MODELS, over_classes
from fifty_digits import DIGITS, ExactMap, exact

import cyclax as cx


def recheck(model, cycle) -> None:
    with mpmath.workdps(DIGITS):
        plain = ExactMap(model)
        pieces = [plain.piece(gates) for gates in cycle.gates]
        number = model.num_states
        P, q = mpmath.eye(number), mpmath.zeros(number, 1)
        for J, offset in pieces:
            P, q = J * P, J * q + offset
        z = first = mpmath.lu_solve(mpmath.eye(number) - P, q)
        visited = []
        for (J, offset), gates, point in zip(pieces, cycle.gates, cycle.points, strict=True):
            met = plain.preactivations(z)
            opens = [met[g] > 0 for g in range(len(met))]
            inert = [
                mpmath.norm(plain.parts[1][:, g]) == 0 or mpmath.norm(plain.parts[2][g, :]) == 0
                for g in range(len(met))
            ]
            assert all(o == bool(g) or i for o, g, i in zip(opens, gates, inert, strict=True)), "another word"
            assert mpmath.norm(z - exact(point), mpmath.inf) <= cycle.error, "the error bound does not hold"
            visited.append(z)
            z = J * z + offset
        assert mpmath.norm(z - first) < mpmath.mpf(10) ** -20 * (1 + mpmath.norm(P)), "not closed"
        apart = [mpmath.norm(a - b) for i, a in enumerate(visited) for b in visited[:i]]
        assert all(distance > 0 for distance in apart), "a smaller period"
        # Multipliers: the characteristic polynomial's coefficients, in 50 digits, for what float64 can hold.
        trace = sum(P[i, i] for i in range(number))
        assert abs(trace - mpmath.mpc(complex(np.sum(cycle.multipliers)))) < 1e-8 * (1 + mpmath.norm(P))


def random_models(seed: int):
    key = jax.random.key(seed)
    gain = 0.7 + seed % 5 * 0.4
    rng = np.random.default_rng(seed)
    second = rng.uniform(-1, 1, 2)
    yield cx.PLRNN.random(2 + seed % 4, key=key, gain=gain)
    yield cx.MeanCenteredPLRNN.random(2 + seed % 3, key=key, gain=gain)
    yield cx.ShallowPLRNN.random(2, 5 + seed % 6, key=key, gain=gain)
    yield cx.ClippedShallowPLRNN.random(2 + seed % 2, 6, key=key, gain=2 * gain)
    yield cx.AlmostLinearRNN.random(3, 1 + seed % 3, key=key, gain=gain)
    yield cx.DendriticPLRNN.random(2 + seed % 2, 3 + seed % 3, key=key, gain=2 * gain)
    yield cx.ClippedDendriticPLRNN.random(2, 3, key=key, gain=2 * gain)
    yield cx.LowRankPLRNN.random(4 + seed % 2, 2, key=key, gain=1 + gain)
    yield cx.ReLURNN.random(3 + seed % 3, key=key, gain=1 + gain)
    yield cx.LeakyReLURNN.random(3 + seed % 3, key=key, gain=1 + gain, slope=0.05 + 0.1 * (seed % 3))
    leaky = {"key": key, "gain": 1 + gain, "alpha": 0.5 + 0.2 * (seed % 4)}
    yield cx.RateRNN.random(3 + seed % 3, **leaky)
    yield cx.CurrentRNN.random(3 + seed % 3, **leaky)
    yield cx.RectifiedRNN.random(3 + seed % 3, **leaky)
    m = rng.normal(size=(8, 2))  # and n such that the units inhibit themselves: bounded, and overshooting
    n = -6 * gain * m + 2 * rng.normal(size=m.shape)
    yield cx.LowRankRNN(m=m, n=n, b=rng.normal(size=8), alpha=0.5 + 0.2 * (seed % 3))
    yield cx.TentMap(rng.uniform(1.1, 2))
    yield cx.SkewTentMap(left=rng.uniform(0.2, 1.9), right=-rng.uniform(1.1, 3), offset=1.0)
    yield cx.LoziMap(rng.uniform(1.4, 1.75), rng.uniform(0.2, 0.5))
    yield cx.BorderCollisionNormalForm(
        left=np.stack([rng.uniform(-2, 2, 2), second], axis=1),
        right=np.stack([rng.uniform(-2, 2, 2), second], axis=1),
        h=rng.normal(size=2),
    )


@over_classes("ShallowPLRNN 70 gates")
def test_one_network_of_every_class(model):
    cycles = cx.find_cycles(model, 6, key=0)
    for cycle in cycles:
        recheck(model, cycle)


def test_the_recheck_sees_a_false_cycle():
    model = cx.LoziMap(1.7, 0.5)
    cycle = cx.find_cycles(model, [6], key=0)[0]
    gates = cycle.gates.copy()
    gates[2, 0] = ~gates[2, 0]
    object.__setattr__(cycle, "gates", gates)
    with pytest.raises(AssertionError):
        recheck(model, cycle)


@pytest.mark.slow
def test_ten_thousand_cycles():
    total = 0
    by_class = dict.fromkeys((type(build()).__name__ for build in MODELS.values()), 0)
    for seed in range(60):
        for model in random_models(seed):
            orders = 12 if model.num_states <= 2 else 6
            cycles = cx.find_cycles(model, orders, key=seed, finder=cx.SCYFI(starts=3072))
            for cycle in cycles:
                recheck(model, cycle)
            total += len(cycles)
            by_class[type(model).__name__] += len(cycles)
        if total >= 10_000 and seed >= 10:
            break
    print(f"{total} cycles rechecked: {by_class}")
    assert total >= 10_000
    assert min(by_class.values()) >= 10
