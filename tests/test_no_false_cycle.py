"""No false cycle: every returned cycle is solved again from its word in 50 digits: existence, word, period."""

import jax
import mpmath
import numpy as np
import pytest
from conftest import MODELS

import cyclax as cx

DIGITS = 50


def exact(value):
    return mpmath.matrix(np.atleast_1d(np.asarray(value, float)).tolist())


class ExactMap:
    """The formula of a model in mpmath: preactivations, and the affine map with gates held."""

    def __init__(self, model):
        get = lambda name: exact(getattr(model, name))  # noqa: E731
        number = model.num_states
        eye = mpmath.eye(number)
        # Every model is A z + B (gates * (C z + c)) + h.
        if isinstance(model, cx.TentMap | cx.SkewTentMap | cx.LoziMap | cx.BorderCollisionNormalForm):
            C = mpmath.zeros(1, number)
            C[0, 0] = 1
            c, B = mpmath.zeros(1, 1), mpmath.zeros(number, 1)
            if isinstance(model, cx.TentMap):
                A, B[0, 0], h = get("slope") * eye, -2 * get("slope")[0], mpmath.ones(1, 1)
            elif isinstance(model, cx.SkewTentMap):
                A, B[0, 0], h = get("left") * eye, get("right")[0] - get("left")[0], get("offset")
            elif isinstance(model, cx.LoziMap):
                a, b = get("a")[0], get("b")[0]
                A, B[0, 0], h = mpmath.matrix([[a, 1], [b, 0]]), -2 * a, mpmath.matrix([1, 0])
            else:
                A, h = get("left"), get("h")
                B = (get("right") - get("left"))[:, 0]
            self.parts = A, B, C, c, h
            return
        if isinstance(model, cx.ReLURNN | cx.LeakyReLURNN):
            slope = get("slope")[0] if isinstance(model, cx.LeakyReLURNN) else mpmath.mpf(0)
            W, b = get("W"), get("b")
            self.parts = slope * W, (1 - slope) * eye, W, b, slope * b
            return
        A = get("A") if np.ndim(model.A) == 2 else mpmath.diag(np.asarray(model.A).tolist())
        if isinstance(model, cx.PLRNN):
            self.parts = A, get("W"), eye, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.MeanCenteredPLRNN):
            centered = eye - mpmath.ones(number, number) / number
            self.parts = A, get("W"), centered, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.ShallowPLRNN):
            self.parts = A, get("W1"), get("W2"), get("h2"), get("h1")
        elif isinstance(model, cx.ClippedShallowPLRNN):
            W1, W2, hidden = get("W1"), get("W2"), len(model.h2)
            B, C, c = mpmath.zeros(number, 2 * hidden), mpmath.zeros(2 * hidden, number), mpmath.zeros(2 * hidden, 1)
            for i in range(hidden):
                B[:, i], B[:, hidden + i] = W1[:, i], -W1[:, i]
                C[i, :], C[hidden + i, :] = W2[i, :], W2[i, :]
                c[i] = get("h2")[i]
            self.parts = A, B, C, c, get("h1")
        elif isinstance(model, cx.LowRankPLRNN):
            self.parts = A, get("U") * get("V"), eye, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.DendriticPLRNN | cx.ClippedDendriticPLRNN):
            W, alpha, thresholds = get("W"), get("alpha"), get("thresholds")
            bases = len(model.alpha)
            kinks, clipped = number * bases, isinstance(model, cx.ClippedDendriticPLRNN)
            gates = kinks + number * clipped
            B, C, c = mpmath.zeros(number, gates), mpmath.zeros(gates, number), mpmath.zeros(gates, 1)
            for i in range(number):
                for b in range(bases):
                    g = i * bases + b
                    B[:, g], C[g, i], c[g] = alpha[b] * W[:, i], 1, -thresholds[i, b]
                if clipped:
                    B[:, kinks + i], C[kinks + i, i] = -sum(alpha) * W[:, i], 1
            self.parts = A, B, C, c, get("h")
        elif isinstance(model, cx.AlmostLinearRNN):
            W, linear = get("W"), number - model.num_gated
            full = A.copy()
            for j in range(linear):
                full[:, j] += W[:, j]
            self.parts = full, W[:, linear:], eye[linear:, :], mpmath.zeros(model.num_gated, 1), get("h")
        else:
            raise TypeError(type(model))

    def preactivations(self, z):
        _, _, C, c, _ = self.parts
        return C * z + c

    def piece(self, gates):
        """Matrix and offset of the affine map with these gates."""
        A, B, C, c, h = self.parts
        held = B.copy()
        for g, is_open in enumerate(gates):
            if not is_open:
                held[:, g] *= 0
        return A + held * C, held * c + h


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
    yield cx.TentMap(rng.uniform(1.1, 2))
    yield cx.SkewTentMap(left=rng.uniform(0.2, 1.9), right=-rng.uniform(1.1, 3), offset=1.0)
    yield cx.LoziMap(rng.uniform(1.4, 1.75), rng.uniform(0.2, 0.5))
    yield cx.BorderCollisionNormalForm(
        left=np.stack([rng.uniform(-2, 2, 2), second], axis=1),
        right=np.stack([rng.uniform(-2, 2, 2), second], axis=1),
        h=rng.normal(size=2),
    )


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
