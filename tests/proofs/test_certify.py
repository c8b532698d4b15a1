"""Certificates: what is proved agrees with 50 digits, and nothing that was tampered with is proved."""

import dataclasses
import importlib
import json
import re

import equinox as eqx
import flint
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from fifty_digits import DIGITS, ExactMap, exact
from planting import PLANTERS, planted

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles import forms
from cyclax.cycles.pieces import Pieces
from cyclax.cycles.solve import solve_words
from cyclax.maps.affine import affine_form
from cyclax.maps.base import real_array, relu_where, times
from cyclax.proofs import multiplier_discs

certify_module = importlib.import_module("cyclax.proofs.certify")


def rational(value) -> mpmath.mpf:
    return mpmath.mpf(int(value.p)) / int(value.q)


def matrix_of(forms, num_states: int) -> tuple[mpmath.matrix, mpmath.matrix]:
    linear = mpmath.matrix([[rational(form.get(1 + j, flint.fmpq(0))) for j in range(num_states)] for form in forms])
    return linear, mpmath.matrix([rational(form.get(0, flint.fmpq(0))) for form in forms])


def made(points, gates, *, multipliers, jacobian, error=1e-12, order=None) -> cx.Cycles:
    """Put together a result by hand."""
    points, gates = np.array(points, float), np.array(gates, bool)
    jacobian = np.array(jacobian, float)
    cycle = cx.Cycle(
        len(points) if order is None else order,
        points,
        gates,
        np.array(multipliers, complex),
        jacobian,
        residual=0.0,
        margin=1.0,
        error=error,
        condition=1.0,
    )
    return cx.Cycles((cycle,), (cycle.order,), {"orders": {}})


def proof_of(model, cycles, **options) -> cx.Proof:
    (cycle, *_) = cx.certify(model, cycles, **options)
    assert cycle.certificate is not None
    return cycle.certificate


def recheck(model, cycle) -> None:
    """Compare a proof with what 50 digits say."""
    proof = cycle.certificate
    assert (proof.status, proof.reason, proof.stability) == ("proved", "", cycle.stability)
    assert proof.unstable == np.sum(np.abs(cycle.multipliers) > 1)
    assert proof.radius <= 2.0**-60 * (1 + np.max(np.abs(cycle.points)))
    with mpmath.workdps(DIGITS):
        plain = ExactMap(model)
        pieces = [plain.piece(gates) for gates in cycle.gates]
        number = model.num_states
        P, q = mpmath.eye(number), mpmath.zeros(number, 1)
        for J, offset in pieces:
            P, q = J * P, J * q + offset
        z = mpmath.lu_solve(mpmath.eye(number) - P, q)
        distances, margins = [], []
        C = plain.parts[2]
        for (J, offset), point in zip(pieces, cycle.points, strict=True):
            distances.append(mpmath.norm(z - exact(point), mpmath.inf))
            met = plain.preactivations(z)
            norms = [mpmath.norm(C[g, :]) for g in range(len(met))]
            margins += [abs(met[g]) / norms[g] for g in range(len(met)) if norms[g]]
            z = J * z + offset
        assert max(distances) <= proof.distance <= max(distances) * (1 + 1e-9) + 1e-25
        assert proof.distance <= cycle.error
        if margins:
            assert min(margins) * (1 - 1e-9) <= proof.margin <= min(margins)
        values = mpmath.eig(P, left=False, right=False)
        for stated in cycle.multipliers:
            nearest = min(abs(value - mpmath.mpc(complex(stated))) for value in values)
            assert nearest <= proof.multiplier_error + 1e-30


# -- pieces in exact numbers ------------------------------------------------------------------------------------------


def test_pieces_of_every_class(model):
    """Preactivations and pieces, for random gates, are the formula of the class, to 50 digits."""
    pieces = Pieces(jax.tree.map(lambda leaf: np.asarray(leaf, float), model))
    assert pieces.exact
    rng = np.random.default_rng(0)
    with mpmath.workdps(DIGITS):
        plain = ExactMap(model)
        C, c = matrix_of(pieces.planes, model.num_states)
        assert mpmath.norm(C - plain.parts[2]) + mpmath.norm(c - plain.parts[3]) < mpmath.mpf(10) ** -45
        for _ in range(3):
            gates = rng.random(model.num_gates) < 0.5
            J, offset = matrix_of(pieces.piece(gates), model.num_states)
            expected, shift = plain.piece(gates)
            assert mpmath.norm(J - expected) + mpmath.norm(offset - shift) < mpmath.mpf(10) ** -45
    with numerics():
        effective = affine_form(model).effective
    closed = np.zeros(model.num_gates, bool)
    assert [not pieces.inert(closed, (gate,)) for gate in range(model.num_gates)] == effective.tolist()


def test_large_products_are_done_by_matrices_and_are_the_same(monkeypatch):
    model = cx.ShallowPLRNN.random(4, 20, key=jax.random.key(0))
    gates = np.arange(20) % 3 == 0
    by_terms = Pieces(model).piece(gates)
    monkeypatch.setattr(forms, "MANY_TERMS", 0)
    assert Pieces(model).piece(gates) == by_terms


class Elaborate(cx.AbstractPiecewiseLinearMap):
    """z' = A z + U clip(V z + c, 0, 1), written in as many ways as come to mind."""

    A: object = eqx.field(converter=real_array)
    U: object = eqx.field(converter=real_array)
    V: object = eqx.field(converter=real_array)
    c: object = eqx.field(converter=real_array)

    @property
    def num_states(self) -> int:
        return self.A.shape[-1]

    def preactivations(self, z):
        x = jnp.einsum("km,m->k", self.V, z) + self.c
        pair = jnp.stack([x, x - 1], axis=1)
        return pair.T.reshape(-1)

    def step(self, z, gates):
        lower, upper = jnp.split(gates, 2)
        x = jnp.sum(self.V * z[None, :], axis=1) + self.c
        clipped = lower.astype(z.dtype) * x - jnp.where(~upper, 0.0, x - 1)
        order = jnp.array([1, 0])
        flipped = jnp.zeros(2).at[order].set(clipped[order[::-1]][order])
        padded = jnp.pad(jnp.flip(jnp.take(jnp.tile(flipped, 2), jnp.arange(2))), (1, 0))[1:]
        rate = jnp.maximum(self.A, 0.0) + jnp.minimum(self.A, 0.0)
        return rate * z + self.U @ padded[::-1] / 2 * 2**1


def elaborate() -> Elaborate:
    rng = np.random.default_rng(5)
    return Elaborate(A=[0.3, -0.5], U=3 * rng.normal(size=(2, 2)), V=2 * rng.normal(size=(2, 2)), c=rng.normal(size=2))


def test_a_model_of_your_own():
    model = elaborate()
    cx.testing.check_map(model, states=4)
    pieces = Pieces(model)
    assert pieces.exact
    with numerics():
        bounds = affine_form(model)
    for gates in np.eye(4, dtype=bool):
        J, offset = matrix_of(pieces.piece(gates), 2)
        np.testing.assert_allclose(np.array(J.tolist(), float), bounds.jacobians(gates[None])[0], atol=1e-14)
        np.testing.assert_allclose(np.array(offset.tolist(), float)[:, 0], bounds.step(np.zeros(2), gates), atol=1e-14)
    found = cx.find_cycles(model, 4, key=0)
    assert len(found)
    assert all(cycle.certificate.status == "proved" for cycle in cx.certify(model, found))


def test_weights_are_not_rounded_before_the_code_is_followed():
    """NumPy would make 1 of 1 - 1e-30."""

    class Shifted(cx.AbstractPiecewiseLinearMap):
        a: object = eqx.field(converter=real_array)
        b: object = eqx.field(converter=real_array)

        @property
        def num_states(self) -> int:
            return 1

        def preactivations(self, z):
            return z + (self.a - self.b)

        def step(self, z, gates):
            return 0.5 * z + (self.a - self.b) * relu_where(gates, z + (self.a - self.b))

    pieces = Pieces(Shifted(a=[1.0], b=[1e-30]))
    difference = 1 - flint.fmpq(*(1e-30).as_integer_ratio())
    assert pieces.planes == [{0: difference, 1: 1}]
    assert pieces.piece(np.array([True])) == [{0: difference**2, 1: difference + flint.fmpq(1, 2)}]


def test_code_is_followed_once_for_all_weights_of_one_shape():
    traced = []

    class Counting(cx.AbstractPiecewiseLinearMap):
        A: object = eqx.field(converter=real_array)
        power: int = eqx.field(static=True)

        @property
        def num_states(self) -> int:
            return len(self.A)

        def preactivations(self, z):
            return z - self.A

        def step(self, z, gates):
            traced.append(self.power)
            return self.A**self.power * z + relu_where(gates, z - self.A)

    def first(A, power: int = 1) -> flint.fmpq:
        pieces = Pieces(Counting(A=A, power=power))
        assert pieces.planes == [{1 + i: 1, 0: -flint.fmpq(*a.as_integer_ratio())} for i, a in enumerate(A)]
        return pieces.piece(np.zeros(len(A), bool))[0][1]

    values, counts = [], []
    for A, power in (([0.5], 1), ([0.25], 1), ([2.0, 3.0], 1), ([0.5], 2), ([0.75], 1)):
        traced.clear()
        values.append(first(A, power))
        counts.append(len(traced))
    assert values == [flint.fmpq(1, 2), flint.fmpq(1, 4), 2, flint.fmpq(1, 4), flint.fmpq(3, 4)]
    assert [count > counts[1] for count in counts] == [True, False, True, True, False]


class Decaying(cx.AbstractPiecewiseLinearMap):
    """z' = exp(-1 / tau) z + w relu(z) + h: a function of a weight that no rational equals."""

    tau: object = eqx.field(converter=real_array)
    w: object = eqx.field(converter=real_array)
    h: object = eqx.field(converter=real_array)

    @property
    def num_states(self) -> int:
        return 1

    def preactivations(self, z):
        return z

    def step(self, z, gates):
        return jnp.exp(-1 / self.tau) * z + jax.nn.sigmoid(self.w) * relu_where(gates, z) + self.h


def test_functions_of_weights_are_enclosed():
    model = Decaying(tau=[2.0], w=[-1.0], h=[-1.0])
    assert not Pieces(model).exact
    found = cx.find_cycles(model, 1, key=0)
    proof = proof_of(model, found)
    assert proof.status == "proved"
    with mpmath.workdps(DIGITS):
        value = -1 / (1 - mpmath.exp(-mpmath.mpf(1) / 2))
        assert abs(value - exact(found[0].points)[0]) <= proof.distance
    # .. at any precision: what was enclosed once would not do for more bits.
    finer = proof_of(
        Decaying(tau=[2.0], w=[-1.0], h=[1e-30]), made([[0.0]], [[False]], multipliers=[0], jacobian=[[0]])
    )
    assert finer.status == "refused"
    near = cx.find_cycles(Decaying(tau=[2.0], w=[-1.0], h=[-1e-100]), 1, key=0)
    assert [c.certificate.status for c in cx.certify(Decaying(tau=[2.0], w=[-1.0], h=[-1e-100]), near)] == [
        "proved"
    ] * len(near)


def broken(preactivations=None, step=None):
    class Broken(cx.AbstractPiecewiseLinearMap):
        h: object = eqx.field(converter=real_array)

        @property
        def num_states(self) -> int:
            return 2

        def preactivations(self, z):
            return preactivations(z) if preactivations else z

        def step(self, z, gates):
            return step(z, gates) if step else 0.5 * z - relu_where(gates, z) + self.h

    return Broken(h=[1.0, 1.0])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (broken(step=lambda z, gates: jnp.sort(z)), "the operation 'sort', which is not followed exactly"),
        (broken(step=lambda z, gates: z * z), "a product of two states"),
        (broken(step=lambda z, gates: jnp.maximum(z, 0)), "select by gates, not by the sign of z"),
        (broken(preactivations=jnp.tanh), "nonlinear function, of something that depends on the state"),
        (broken(step=lambda z, gates: z.astype(jnp.float32).astype(float)), "float64 to float32, which rounds"),
        (broken(step=lambda z, gates: z / jnp.sum(jnp.zeros(2))), "a division by zero"),
        (broken(step=lambda z, gates: jax.lax.fori_loop(0, 3, lambda i, x: x / 2, z)), "operation 'scan'"),
        (broken(step=lambda z, gates: z * jnp.inf), "not finite"),
    ],
)
def test_what_cannot_be_followed_is_named(model, message):
    stated = made([[0.0, 0.0]], [[False, False]], multipliers=[0, 0], jacobian=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=message):
        cx.certify(model, stated)


# -- proofs -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_search_finds_in_every_class(model):
    found = cx.find_cycles(model, 5, key=0)
    certified = cx.certify(model, found)
    assert len(certified) == len(found)
    for cycle in certified:
        recheck(model, cycle)


@pytest.mark.parametrize("name", PLANTERS)
def test_a_planted_cycle_is_proved(name):
    model, points, multipliers = planted(name, 3, seed=0)
    with numerics():
        bounds = affine_form(model)
    gates = np.stack([bounds.gates(z) for z in points])
    jacobian = np.eye(model.num_states)
    for row in gates:
        jacobian = bounds.jacobians(row[None])[0] @ jacobian
    (certified,) = cx.certify(model, made(points, gates, multipliers=multipliers, jacobian=jacobian, error=1e-9))
    recheck(model, certified)


@pytest.fixture(scope="module")
def lozi() -> cx.Cycles:
    return cx.find_cycles(cx.LoziMap(1.7, 0.5), [1, 2, 6, 8], key=0)


@pytest.fixture(scope="module")
def long_lozi() -> cx.Cycles:
    """Cycles whose words a chaotic orbit went through: a search of long orders would take longer to compile."""
    model, cycles = cx.LoziMap(1.7, 0.5), []
    orbit = cx.simulate(model, np.array([0.1, 0.1]), 1000)[100:]
    for order in (31, 97):
        words = np.stack([orbit[begin : begin + order, :1] > 0 for begin in range(600)])
        with numerics():
            found = solve_words(model, words, affine_form(model))
        for j in np.flatnonzero(found.met & (found.margin > found.error))[:10]:
            fields = ("points", "gates", "multipliers", "product", "residual", "margin", "error", "condition")
            cycles.append(cx.Cycle(order, *(getattr(found, name)[j] for name in fields)))
    return cx.Cycles(tuple(cycles), (31, 97), {"orders": {}})


def test_long_and_chaotic(long_lozi):
    certified = cx.certify(cx.LoziMap(1.7, 0.5), long_lozi)
    assert min(certified.counts.values()) > 2
    with mpmath.workdps(200):
        plain = ExactMap(cx.LoziMap(1.7, 0.5))
        for cycle in (*certified.of_order(31)[:5], *certified.of_order(97)[:5]):
            P = mpmath.eye(2)
            for gates in cycle.gates:
                P = plain.piece(gates)[0] * P
            trace, det = P[0, 0] + P[1, 1], mpmath.mpf(-0.5) ** cycle.order
            larger = (trace + mpmath.sign(trace) * mpmath.sqrt(trace**2 - 4 * det)) / 2
            errors = [abs(a - b) for a, b in zip(cycle.multipliers.real.tolist(), (larger, det / larger), strict=True)]
            assert max(errors) <= cycle.certificate.multiplier_error <= 1e-6 * (1 + abs(larger))
    for cycle in certified:
        assert (cycle.certificate.status, cycle.certificate.unstable) == ("proved", 1)
    assert abs(certified.of_order(97)[0].multipliers[0]) > 1e15


def test_tent_map_in_closed_form():
    """At slope s the fixed points are 1 / (1 + s) and -1 / (s - 1), and points of order k have the multiplier +-s^k."""
    slope = 1.9
    certified = cx.certify(cx.TentMap(slope), cx.find_cycles(cx.TentMap(slope), 9, key=0))
    with mpmath.workdps(DIGITS):
        s = mpmath.mpf(slope)
        for cycle, value in zip(certified.of_order(1), (-1 / (s - 1), 1 / (1 + s)), strict=True):
            assert abs(mpmath.mpf(cycle.points[0, 0]) - value) <= cycle.certificate.distance
            assert cycle.certificate.margin <= abs(value)
        for cycle in certified:
            assert cycle.certificate.status == "proved"
            assert cycle.certificate.stability == "repeller"
            error = abs(abs(mpmath.mpf(cycle.multipliers[0].real)) - s**cycle.order)
            assert error <= cycle.certificate.multiplier_error


def test_precision_grows_where_it_must(long_lozi):
    model = cx.LoziMap(1.7, 0.5)
    found = dataclasses.replace(long_lozi, cycles=long_lozi.of_order(97))
    assert proof_of(model, found).precision > 128
    poor = proof_of(model, found, bits=128)
    assert (poor.status, poor.precision) == ("ambiguous", 128)
    assert "(128 bits)" in poor.reason


def test_wide_enclosures_are_not_given_out(lozi):
    proof = proof_of(cx.LoziMap(1.7, 0.5), dataclasses.replace(lozi, cycles=lozi.of_order(8)), bits=64)
    assert proof.status == "ambiguous"
    assert re.search(r"its points are enclosed to within .*e-1\d only \(64 bits\)", proof.reason)


# -- where float64 is not enough --------------------------------------------------------------------------------------


def close_call() -> cx.ShallowPLRNN:
    """z' = 1e-17 z + relu(z - 1) / 2 + 1 has its fixed point 2e-17 above the border at 1, where float64 sees it."""
    return cx.ShallowPLRNN(A=[1e-17], W1=[[0.5]], W2=[[1.0]], h1=[1.0], h2=[-1.0])


def test_a_margin_that_float64_does_not_see():
    model = close_call()
    with numerics():
        assert not affine_form(model).gates(np.array([1.0]))[0]  # float64: closed
    stated = made([[1.0]], [[False]], multipliers=[1e-17], jacobian=[[1e-17]])
    refused = proof_of(model, stated)
    assert refused.status == "refused"
    assert "gate 0 at point 0 is open by 1e-17 in state, and the word says closed" in refused.reason
    proof = proof_of(model, made([[1.0]], [[True]], multipliers=[0.5], jacobian=[[0.5]]))
    assert proof.status == "proved"
    np.testing.assert_allclose(proof.margin, 2e-17, rtol=1e-12)
    np.testing.assert_allclose(proof.distance, 2e-17, rtol=1e-12)


def test_a_gate_that_float64_takes_for_inert():
    """0.5 + 1e-20 is 0.5 in float64, so the gate seems to switch nothing."""
    model = cx.PLRNN(A=[0.5], W=[[1e-20]], h=[1.0])
    with numerics():
        assert not affine_form(model).effective[0]
    closed = proof_of(model, made([[2.0]], [[False]], multipliers=[0.5], jacobian=[[0.5]]))
    assert closed.status == "refused"
    assert proof_of(model, made([[2.0]], [[True]], multipliers=[0.5], jacobian=[[0.5]])).status == "proved"


def test_inert_gates_are_excluded_only_where_that_is_proved():
    # The second state is 0 and its column of W is zero: its gate is on its border, and switches nothing.
    inert = cx.PLRNN(A=[0.5, 0.5], W=[[-1.0, 0.0], [0.0, 0.0]], h=[1.0, 0.0])
    word, jacobian = [[True, False]], [[-0.5, 0.0], [0.0, 0.5]]
    stated = dict(multipliers=[-0.5, 0.5], jacobian=jacobian)
    point = [[1 / 1.5, 0.0]]
    assert proof_of(inert, made(point, word, **stated)).status == "proved"
    assert proof_of(inert, made(point, [[True, True]], **stated)).status == "proved"
    # .. and now it switches a little.
    active = cx.PLRNN(A=[0.5, 0.5], W=[[-1.0, 1e-200], [0.0, 0.0]], h=[1.0, 0.0])
    proof = proof_of(active, made(point, word, **stated))
    assert (proof.status, proof.margin) == ("ambiguous", 0.0)
    assert "gate 1 at point 0: the point is exactly on its border" in proof.reason


def test_a_word_that_differs_in_inert_gates_only_is_no_longer_cycle():
    model = cx.PLRNN(A=[0.5, 0.5], W=[[-1.0, 0.0], [0.0, 0.0]], h=[1.0, 0.0])
    point, jacobian = [1 / 1.5, 0.0], [[0.25, 0.0], [0.0, 0.25]]
    stated = made([point, point], [[True, False], [True, True]], multipliers=[0.25, 0.25], jacobian=jacobian)
    proof = proof_of(model, stated)
    assert proof.status == "refused"
    assert "repeats after 1 steps, inert gates aside: its order is not 2" in proof.reason


def test_gates_that_do_not_add_up_are_not_called_inert():
    """Each of the two gates does nothing while the other is closed; together they do."""
    model = broken(step=lambda z, gates: 0.5 * z + jnp.where(gates[0], jnp.where(gates[1], 1.0, 0.0), 0.0))
    proof = proof_of(model, made([[0.0, 0.0]], [[False, False]], multipliers=[0.5, 0.5], jacobian=np.eye(2) / 2))
    assert proof.status == "ambiguous"
    assert "not proved inert together" in proof.reason
    # Their product less one of them is not zero, though each of its terms is a gate.
    other = broken(
        step=lambda z, gates: z / 2 + jnp.where(gates[0], jnp.where(gates[1], 1.0, 0.0), 0.0) - 1.0 * gates[1]
    )
    assert not Pieces(other).inert(np.zeros(2, bool), (0, 1))


@pytest.mark.parametrize("slope", [-0.5, -2.0, 0.0])
def test_a_point_exactly_on_a_border_is_ambiguous(slope):
    """The second state is 1 / (1 - slope), 2/3 or 1/3: no ball says that three halves (thrice) of it are 1."""
    model = cx.ShallowPLRNN(A=[0.0, slope], W1=[[0.25], [0.0]], W2=[[1.0, slope - 1]], h1=[-1.0, 1.0], h2=[2.0])
    point = [-1.0, 1 / (1 - slope)]
    proof = proof_of(model, made([point], [[False]], multipliers=[slope, 0], jacobian=np.diag([0, slope])))
    assert (proof.status, proof.margin) == ("ambiguous", 0.0)
    assert "gate 0 at point 0: the point is exactly on its border (margin 0)" in proof.reason


def test_borders_found_are_decided():
    found = cx.find_cycles(close_call(), 1, key=0)
    assert {entry.kind for entry in found.degenerate} == {"border"}
    certified = cx.certify(close_call(), found)
    texts = certified.report["certificate"]["borders"]
    assert len(texts) == len(found.degenerate)
    assert any("proved to be a cycle, at least 2e-17 from the border" in text for text in texts)
    assert all("proved" in text or "is open by 1e-17 in state, and the word says closed" in text for text in texts)
    assert f"certified: {texts[0]}" in str(certified)


def test_neutral_cycles_are_left_open():
    """A rotation by an angle of which sine and cosine are rational: 3/5 and 4/5 are not, in float64; 0 and 1 are."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    model = cx.PLRNN(A=turn, W=np.zeros((2, 2)), h=[2.0, 0.0])
    proof = proof_of(model, made([[1.0, 1.0]], [[True, True]], multipliers=[1j, -1j], jacobian=turn))
    assert (proof.status, proof.stability, proof.unstable) == ("proved", None, None)
    assert "stability is open: a multiplier is within 5.4e-20 of the unit circle" in proof.reason
    # Off by one unit in the last place: float64 calls it neutral, and the proof knows better.
    model = cx.PLRNN(A=turn * (1 - 2**-53), W=np.zeros((2, 2)), h=[2.0, 0.0])
    stated = made([[1.0, 1.0]], [[True, True]], multipliers=[1j, -1j], jacobian=turn)
    assert stated[0].stability == "neutral"
    assert (proof_of(model, stated).stability, proof_of(model, stated).unstable) == ("stable", 0)


def linear(A) -> tuple[cx.PLRNN, cx.Cycles]:
    """Make a linear map, and its fixed point as float64 has it."""
    A = np.array(A, float)
    number = len(A)
    model = cx.PLRNN(A=A, W=np.zeros((number, number)), h=np.ones(number))
    point = np.linalg.solve(np.eye(number) - A, model.h)
    values = np.linalg.eigvals(A)
    values = values[np.argsort(-np.abs(values))]
    return model, made([point], [point > 0], multipliers=values, jacobian=A, error=1e-9)


def test_multiple_multipliers_and_reciprocal_ones():
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    # A Jordan block of size 5: float64 knows the fifth root of its last digit.
    model, stated = linear(rotation @ (0.5 * np.eye(5) + np.eye(5, k=1)) @ rotation.T)
    proof = proof_of(model, stated)
    assert (proof.status, proof.stability) == ("proved", "stable")
    assert 1e-5 < proof.multiplier_error < 0.5
    # As many eigenvectors, and the very same numbers: all digits.
    for values in ([0.5] * 5, [0.0] * 4 + [-3.0], [2.0, 0.5, 0.5, -1.5, 0.0]):
        proof = proof_of(*linear(np.diag(values)))
        assert proof.status == "proved"
        assert proof.unstable == sum(abs(value) > 1 for value in values)
        assert proof.multiplier_error < 1e-10
    # 2 and 1/2: at radius 1 the recursion of Schur and Cohn has nothing to go by.
    proof = proof_of(*linear([[2.0, 1.0], [0.0, 0.5]]))
    assert (proof.status, proof.stability, proof.unstable) == ("proved", "saddle", 1)
    # A repeated multiplier is no excuse for stating another twice.
    model, stated = linear(np.diag([0.5, 0.5, -0.25]))
    (cycle,) = stated
    false = dataclasses.replace(cycle, multipliers=np.array([0.5, -0.25, -0.25], complex))
    proof = proof_of(model, dataclasses.replace(stated, cycles=(false,)))
    assert "the multipliers stated are not its own" in proof.reason


def test_roots_inside_a_circle():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 8):
        for _ in range(20):
            coefficients = np.poly(rng.normal(size=(size, size)) * 1.3 / np.sqrt(size))[::-1]
            expected = np.sum(np.abs(np.roots(coefficients[::-1])) < 0.75)
            with flint.ctx.workprec(256):
                balls = [flint.arb(float(x)) for x in coefficients]
                assert multiplier_discs._inside(balls, flint.arb(0.75)) == expected
                assert multiplier_discs._inside([balls[0] * 0, *balls], flint.arb(0.75)) == expected + 1


def test_families_are_refused():
    model = cx.PLRNN(A=[1.0, 0.2], W=np.zeros((2, 2)), h=[0.0, 0.4])
    proof = proof_of(model, made([[1.0, 0.5]], [[True, True]], multipliers=[1, 0.2], jacobian=np.diag([1, 0.2])))
    assert proof.status == "refused"
    assert "I - P is singular (in rational arithmetic)" in proof.reason


# -- tampering --------------------------------------------------------------------------------------------------------


def tampered(cycles: cx.Cycles, **changes) -> cx.Cycles:
    cycle = cycles.of_order(6)[0]
    changed = dataclasses.replace(cycle, **{name: change(cycle) for name, change in changes.items()})
    return dataclasses.replace(cycles, cycles=(changed,))


def _with(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"points": lambda c: _with(c.points, (2, 0), c.points[2, 0] + 1e-9)}, "its points are 1e-09 from the exact"),
        ({"points": lambda c: np.roll(c.points, 1, axis=0)}, "from the exact ones"),
        ({"points": lambda c: _with(c.points, (0, 0), np.nan)}, "not finite"),
        ({"error": lambda c: 1e-40}, "from the exact ones, and their error is stated as 1e-40"),
        ({"error": lambda c: np.nan}, "not finite"),
        ({"gates": lambda c: _with(c.gates, (2, 0), ~c.gates[2, 0])}, "and the word says"),
        ({"gates": lambda c: ~c.gates}, "and the word says"),
        ({"order": lambda c: 3}, "order 3 is stated, with 6 points and 6 gates"),
        ({"gates": lambda c: c.gates[:-1]}, "order 6 is stated, with 6 points and 5 gates"),
        (
            {"order": lambda c: 5, "gates": lambda c: c.gates[:-1], "points": lambda c: c.points[:-1]},
            "from the exact ones|and the word says",
        ),
        (
            {
                "order": lambda c: 12,
                "points": lambda c: np.tile(c.points, (2, 1)),
                "gates": lambda c: np.tile(c.gates, (2, 1)),
            },
            "the word repeats after 6 steps: this is order 6, 2 times",
        ),
        ({"multipliers": lambda c: _with(c.multipliers, 1, c.multipliers[1] + 1e-4)}, "the multipliers stated are not"),
        ({"multipliers": lambda c: c.multipliers[[0, 0]]}, "the multipliers stated are not"),
        ({"multipliers": lambda c: c.multipliers[:1]}, "1 multipliers are stated, of 2"),
        ({"multipliers": lambda c: _with(c.multipliers, 0, np.inf)}, "is stated that is not finite"),
        ({"jacobian": lambda c: _with(c.jacobian, (0, 1), c.jacobian[0, 1] + 1e-3)}, "the jacobian stated"),
        ({"jacobian": lambda c: c.jacobian.T}, "the jacobian stated"),
    ],
)
def test_tampering_is_refused(lozi, changes, reason):
    honest = proof_of(cx.LoziMap(1.7, 0.5), tampered(lozi))
    assert honest.status == "proved"
    certified = cx.certify(cx.LoziMap(1.7, 0.5), tampered(lozi, **changes))
    proof = certified[0].certificate
    assert proof.status == "refused"
    assert re.search(reason, proof.reason), proof.reason
    assert "certified: 0 of 1 cycle proved" in str(certified)
    assert "NOT PROVED: 1 refused (order" in str(certified)


def test_a_stability_that_is_wrong_is_refused():
    model = cx.PLRNN(A=[1 - 1e-8], W=[[0.0]], h=[1e-8])
    stated = made([[1.0]], [[True]], multipliers=[1 + 1e-8], jacobian=[[1 - 1e-8]], error=1e-6)
    proof = proof_of(model, stated)
    assert proof.status == "refused"
    assert "it is stable, and stated as repeller" in proof.reason


def test_another_model(lozi):
    certified = cx.certify(cx.LoziMap(1.7, 0.5 + 2**-40), lozi)
    assert all(cycle.certificate.status == "refused" for cycle in certified)
    assert "CAUTION: found on another model (hash" in str(certified)
    assert "note" not in cx.certify(cx.LoziMap(1.7, 0.5), lozi).report["certificate"]
    with pytest.raises(ValueError, match=r"2 states and 1 gates, and the model \(PLRNN\) has 3 states and 3 gates"):
        cx.certify(cx.PLRNN.random(3, key=jax.random.key(0)), lozi)


# -- the result -------------------------------------------------------------------------------------------------------


def test_the_result_carries_its_certificate(lozi, tmp_path):
    certified = cx.certify(cx.LoziMap(1.7, 0.5), lozi)
    assert [c.points.tobytes() for c in certified] == [c.points.tobytes() for c in lozi]
    assert lozi[0].certificate is None
    assert certified.counts == lozi.counts
    count = len(lozi)
    assert f"certified: {count} of {count} cycles proved (ball arithmetic, up to 128 bits)" in str(certified)
    assert "certified:" in certified._repr_html_()
    assert "certified:" not in str(lozi)
    content = json.loads(json.dumps(certified.to_dict(), allow_nan=False))
    assert content["cycles"][0]["certificate"]["status"] == "proved"
    assert content["report"]["certificate"]["proved"] == count
    assert lozi.to_dict()["cycles"][0]["certificate"] is None
    certified.save(tmp_path / "cycles.npz")
    loaded = cx.Cycles.load(tmp_path / "cycles.npz")
    assert [cycle.certificate for cycle in loaded] == [cycle.certificate for cycle in certified]
    lozi.save(tmp_path / "plain.npz")
    assert all(cycle.certificate is None for cycle in cx.Cycles.load(tmp_path / "plain.npz"))
    # Certifying again is certifying afresh.
    again = cx.certify(cx.LoziMap(1.7, 0.5), loaded)
    assert [cycle.certificate for cycle in again] == [cycle.certificate for cycle in certified]


def test_nothing_to_certify():
    model = cx.PLRNN.random(3, key=jax.random.key(1))
    empty = cx.certify(model, cx.Cycles((), (1,), {"orders": {}}))
    assert "certified: 0 of 0 cycles proved" in str(empty)


def test_interrupting_keeps_what_is_certified(lozi, monkeypatch):
    honest, calls = certify_module.prove, []

    def prove(*arguments):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(certify_module, "prove", prove)
    certified = cx.certify(cx.LoziMap(1.7, 0.5), lozi)
    statuses = [cycle.certificate.status for cycle in certified]
    assert statuses == ["proved"] * 2 + ["not tried"] * (len(lozi) - 2)
    assert "not tried (order" in str(certified)
    assert "Ctrl-C" in str(certified)


def test_arguments_are_checked(lozi):
    model = cx.LoziMap(1.7, 0.5)
    with pytest.raises(TypeError, match=r"cycles must be the Cycles that find_cycles .* got Cycle; give \[cycle\]"):
        cx.certify(model, lozi[0])
    with pytest.raises(TypeError, match="expected a map of cyclax"):
        cx.certify("model.json", lozi)
    with pytest.raises(ValueError, match="bits: expected an int, 64 or more, got 8"):
        cx.certify(model, lozi, bits=8)


def test_some_of_the_cycles_are_proved(lozi):
    """Nothing is said of the others."""
    some = cx.certify(cx.LoziMap(1.7, 0.5), lozi[1:3])
    assert [c.certificate.status for c in some] == ["proved"] * 2
    assert list(some.orders) == sorted({c.order for c in lozi[1:3]})
    assert "complete?" not in str(some)


def test_the_precision_of_others_is_left_alone(lozi):
    with flint.ctx.workprec(77):
        cx.certify(cx.LoziMap(1.7, 0.5), lozi)
        assert flint.ctx.prec == 77


def test_products_by_times_are_exact():
    """U V cancels exactly in rationals, and not in float64: the gate is not inert there and is here."""
    U, V = np.array([[0.1, 0.1], [0.0, 0.0]]), np.array([[0.3, 0.0], [-0.3, 0.0]])
    model = cx.LowRankPLRNN(A=[0.5, 0.5], U=U, V=V, h=[0.0, 1.0])
    assert Pieces(model).inert(np.zeros(2, bool), (0,))
    assert times(U, V[:, 0])[0] == 0


def test_a_multiplier_beyond_the_largest_float64_is_not_refused():
    model = cx.SkewTentMap(left=1e200, right=-1e200, offset=1.0)
    cycles = cx.certify(model, cx.enumerate_cycles(model, 2, progress=False), progress=False)
    (cycle,) = cycles.of_order(2)
    assert not np.all(np.isfinite(cycle.multipliers))
    assert cycle.certificate.status == "ambiguous"
