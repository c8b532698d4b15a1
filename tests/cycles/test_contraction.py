"""Contraction and uniqueness: against closed forms, all words, and certificates that are tampered with."""

import dataclasses
import itertools
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclax as cx
from cyclax.core.enclosed import Enclosed, exactly, positive_definite
from cyclax.core.numerics import numerics
from cyclax.cycles.contraction import Contraction, contraction_certificate, holds
from cyclax.cycles.index import keeps_orientation
from cyclax.cycles.pieces import Pieces
from cyclax.cycles.sectors import sectors_of, stated_sectors
from cyclax.cycles.uniqueness import one_solution
from cyclax.maps.affine import affine_form
from cyclax.maps.driven import Unrolled

SHAPES = {"seed": st.integers(0, 100_000), "size": st.integers(1, 4)}


@pytest.fixture(autouse=True)
def _float64():
    with numerics():
        yield


def network(seed: int, size: int, scale: float = 1.0, *, full: bool = False) -> cx.PLRNN:
    rng = np.random.default_rng(seed)
    A = rng.uniform(-0.9, 0.9, size) * (np.eye(size) if full else 1.0) + full * 0.3 * rng.normal(size=(size, size))
    return cx.PLRNN(A=A, W=scale * rng.normal(size=(size, size)), h=rng.normal(size=size))


def random_models(seed: int) -> list:
    key = jax.random.key(seed)
    clipped = cx.ClippedDendriticPLRNN.random(3, 4, key=key)
    return [
        network(seed, 3, full=True),
        cx.MeanCenteredPLRNN.random(4, key=key),
        cx.ShallowPLRNN.random(3, 6, key=key),
        cx.ClippedShallowPLRNN.random(3, 4, key=key),
        cx.DendriticPLRNN.random(3, 4, key=key),
        clipped,
        cx.LowRankPLRNN.random(5, 2, key=key),
        cx.LeakyReLURNN.random(4, key=key),
        cx.SkewTentMap(-0.7, 0.4, 1.0),
        cx.LoziMap(0.2, 0.3),
    ]


def all_jacobians(bounds) -> np.ndarray:
    words = np.array(list(itertools.product([False, True], repeat=len(bounds.offsets))))
    return bounds.jacobians(words)


# -- sectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_sectors_hold_the_jacobian_of_every_state(seed):
    """That of the model itself, at random states near and far; and the ends of every sector are met, or nearly."""
    rng = np.random.default_rng(seed)
    for model in random_models(seed):
        sectors = sectors_of(affine_form(model))
        number = len(sectors.gates)
        told = min(map(np.linalg.matrix_rank, (sectors.outward, sectors.gradients))) == number  # the shares, that is
        left, right = np.linalg.pinv(sectors.outward), np.linalg.pinv(sectors.gradients)
        middle = sectors.middle
        rest = np.abs(sectors.half) @ np.abs(sectors.gradients) + middle.radius
        states = 10.0 ** rng.uniform(-2, 3, (60, 1)) * rng.normal(size=(60, model.num_states))
        for jacobian in np.asarray(jax.jit(jax.vmap(jax.jacfwd(model)))(states)):
            apart = jacobian - sectors.base
            assert np.all(np.abs(jacobian - middle.middle) <= rest * (1 + 1e-12))
            if told:
                shares = np.diag(left @ apart @ right)
                assert np.all(shares > -1e-9)
                assert np.all(shares < 1 + 1e-9)
                assert np.allclose((sectors.outward * shares) @ sectors.gradients, apart, atol=1e-12)


def test_a_clipped_unit_is_one_sector_from_zero_to_what_it_adds():
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(3, 4)), rng.normal(size=(4, 3))
    model = cx.ClippedShallowPLRNN(A=[0.5, 0.2, 0.1], W1=W1, W2=W2, h1=np.ones(3), h2=[1.0, -1.0, 2.0, 0.5])
    sectors = sectors_of(affine_form(model))
    assert len(sectors.gates) == 4
    # relu(x + h) - relu(x) has slope 1 between -h and 0 for h > 0, and -1 between 0 and -h for h < 0.
    low = np.diag([0.5, 0.2, 0.1]) - np.outer(W1[:, 1], W2[1])
    assert np.allclose(sectors.base, low, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_sectors_read_in_rationals_are_those_read_in_floating_point(seed):
    for model in random_models(seed):
        read, stated = sectors_of(affine_form(model)), stated_sectors(Pieces(model))
        assert sorted(read.gates) == sorted(stated.gates)
        same = np.argsort(read.gates), np.argsort(stated.gates)
        assert np.all(np.abs(read.middle.middle - stated.middle.middle) <= read.middle.radius)
        for one, other in ((read.outward.T, stated.outward.T), (read.gradients, stated.gradients)):
            assert np.allclose(one[same[0]], other[same[1]], rtol=1e-12, atol=1e-14)


def test_a_map_that_is_not_continuous_has_no_stated_sectors():
    class Torn(cx.AbstractPiecewiseLinearMap):
        num_states = 1

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return 0.5 * z + 0.25 * gates

    with pytest.raises(ValueError, match="not continuous where gate 0 opens"):
        stated_sectors(Pieces(Torn()))


# -- contraction ------------------------------------------------------------------------------------------------------


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_on_the_line_both_slopes_must_be_below_one(left, right):
    bounds = affine_form(cx.SkewTentMap(left, right, 1.0))
    largest = max(abs(left), abs(right))
    found = contraction_certificate(bounds)
    if largest >= 1:
        assert found is None
    if largest < 0.999:
        assert found is not None
        assert largest <= found.rate < 1


@settings(max_examples=60)
@given(scale=st.floats(0.05, 1.5), full=st.booleans(), **SHAPES)
def test_what_is_certified_shrinks_the_norm_in_all_regions(seed, size, scale, full):
    bounds = affine_form(network(seed, size, scale, full=full))
    found = contraction_certificate(bounds)
    jacobians = all_jacobians(bounds)
    if found is None:
        return
    shrunk = found.rate**2 * found.norm - jacobians.swapaxes(1, 2) @ found.norm @ jacobians
    assert np.min(np.linalg.eigvalsh(shrunk)) > 0
    # So all products of any length shrink, and no word has a multiplier outside the unit circle.
    for first, second in itertools.product(jacobians, repeat=2):
        assert np.max(np.abs(np.linalg.eigvals(first @ second))) < found.rate**2 * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_random_contracting_networks_have_their_certificate(seed):
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(-0.2, 0.2, 30), rng.uniform(-0.2, 0.2, (30, 30))
    np.fill_diagonal(W, 0)
    model = cx.PLRNN(A=A, W=W, h=rng.normal(size=30))
    assert contraction_certificate(affine_form(model)) is not None


def test_regions_that_contract_one_by_one_are_not_enough():
    """Each Jacobian, and all those between them, have a spectral radius below 1; their product has not."""
    left, right = [[0.8, 1.0], [-0.8, 0.0]], [[-0.8, 1.0], [-0.8, 0.0]]
    bounds = affine_form(cx.BorderCollisionNormalForm(left=left, right=right, h=[1.0, 0.0]))
    low, high = all_jacobians(bounds)
    between = [np.linalg.eigvals(share * low + (1 - share) * high) for share in np.linspace(0, 1, 11)]
    assert np.max(np.abs(between)) < 0.9
    assert np.max(np.abs(np.linalg.eigvals(low @ high))) > 1
    assert contraction_certificate(bounds) is None


def test_a_second_cycle_close_to_the_limit_is_never_overlooked():
    """x' = -w |x|-like maps: at slopes -1 a cycle of order 2 appears, at +1 a second fixed point."""
    for side in (-1.0, 1.0):
        for beyond in (1e-3, 1e-9, 1e-14, 0.0):
            model = cx.PLRNN(A=[0.0], W=[[side * (1 + beyond)]], h=[1.0])
            assert contraction_certificate(affine_form(model)) is None
        assert contraction_certificate(affine_form(cx.PLRNN(A=[0.0], W=[[side * 0.9999]], h=[1.0]))) is not None


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_weights_of_any_size_are_looked_at(size):
    """No overflow, and no matrix without eigenvalues, is in the way."""
    for W in (
        np.full((3, 3), size),
        np.diag([size, 0.1, 1.0]),
        np.array([[0, size, 0], [0.1, 0, 0], [0, 1 / size, 0]]),
    ):
        for A in ([0.5, 0.2, 0.1], [0.0, size, 0.0]):
            bounds = affine_form(cx.PLRNN(A=A, W=W, h=np.ones(3)))
            small = np.max(np.abs(all_jacobians(bounds))) < 0.6
            assert (contraction_certificate(bounds) is not None) >= small
            assert one_solution(bounds, 2) >= small


def test_units_do_not_matter():
    scale = 2.0 ** np.array([-30, 0, 40])
    W = np.array([[0.1, 0.2, -0.3], [0.2, -0.1, 0.2], [0.1, 0.3, 0.2]])
    model = cx.PLRNN(A=[0.3, -0.2, 0.1], W=scale[:, None] * W / scale, h=scale)
    found = cx.proofs.find_contraction(model)
    assert found is not None
    assert cx.proofs.check_contraction(model, found)


def test_the_verdict_says_all_orders():
    cycles = cx.find_cycles(network(1, 3, 0.2), 3, key=0, progress=False)
    assert {entry["verdict"] for entry in cycles.report["orders"].values()} == {"proved complete"}
    assert all("no other cycle of any order" in entry["reason"] for entry in cycles.report["orders"].values())


def test_branch_and_bound_needs_no_tree_where_the_map_contracts():
    rng = np.random.default_rng(0)
    W = rng.uniform(-0.2, 0.2, (40, 40))
    np.fill_diagonal(W, 0)
    model = cx.PLRNN(A=rng.uniform(-0.2, 0.2, 40), W=W, h=rng.normal(size=40))
    cycles = cx.enumerate_cycles(model, "all", progress=False)
    assert cycles.counts == {1: 1}
    assert repr(cycles) == "Cycles({1: 1}, all orders)"
    proved = cycles.report["completeness"]
    assert (proved["nodes"], proved["orders"], proved["where"]) == (1, "all", "everywhere")


# -- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_certificates_are_saved_and_checked_in_rationals(seed, tmp_path):
    for model in random_models(seed):
        certificate = cx.proofs.find_contraction(model)
        if certificate is None:
            continue
        certificate.save(tmp_path / "contraction.npz")
        loaded = cx.proofs.Contraction.load(tmp_path / "contraction.npz")
        assert np.array_equal(loaded.norm, certificate.norm)
        assert cx.proofs.check_contraction(model, loaded)


def test_certificates_that_are_changed_are_refused():
    model = network(1, 3, 0.2)
    good = cx.proofs.find_contraction(model)
    assert good is not None
    assert cx.proofs.check_contraction(model, good)
    skew = good.norm.copy()
    skew[0, 1] *= 1 + 1e-12
    wrong = {
        "norm": [-good.norm, np.zeros((3, 3)), skew, np.nan * good.norm, np.eye(2), np.diag([1.0, 1.0, 1e9])],
        "multipliers": [-good.multipliers, 0 * good.multipliers, np.inf * good.multipliers, good.multipliers[:2]],
        "rate": [1.0, 1.5, 0.0, -0.5, np.nan, 0.1],
    }
    for name, values in wrong.items():
        for value in values:
            assert not cx.proofs.check_contraction(model, dataclasses.replace(good, **{name: value})), (name, value)
    expanding = cx.PLRNN(A=model.A, W=10 * np.asarray(model.W), h=model.h)
    assert not cx.proofs.check_contraction(expanding, good)
    with pytest.raises(TypeError, match="expected the Contraction"):
        cx.proofs.check_contraction(model, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="norm"):
        cx.proofs.check_contraction(model, dataclasses.replace(good, norm=np.ones(3)))


def test_a_form_that_is_no_norm_is_refused():
    """x' = 2 x or 2.5 x shrinks -x^2: the inequality has solutions, and none is positive."""
    model = cx.SkewTentMap(2.0, 2.5, 1.0)
    form = Contraction(-np.eye(1), np.array([1.0]), 0.9)
    assert not cx.proofs.check_contraction(model, form)
    linear = cx.PLRNN(A=[2.0], W=[[0.0]], h=[1.0])
    assert not cx.proofs.check_contraction(linear, form)
    assert cx.proofs.check_contraction(cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0]), Contraction(np.eye(1), np.zeros(1), 0.6))


def test_a_rate_is_refused_as_soon_as_it_is_too_small():
    """x' = 0.5 x or 0.25 x: with P = 1 the best T is 1/16, every rate above 0.5 is proved, and none from there on."""
    sectors = sectors_of(affine_form(cx.SkewTentMap(0.5, 0.25, 1.0)))
    for rate, proved in ((0.6, True), (0.5 + 1e-9, True), (0.5, False), (0.5 - 1e-14, False), (0.4, False)):
        assert holds(Contraction(np.eye(1), np.array([1 / 16]), rate), sectors) == proved


def test_files_of_certificates_are_checked(tmp_path):
    certificate = cx.proofs.find_contraction(network(1, 3, 0.2))
    assert certificate is not None
    with pytest.raises(ValueError, match="certificates of contraction are written"):
        certificate.save(tmp_path / "contraction.json")
    cx.find_cycles(cx.TentMap(2.0), 1, key=0).save(tmp_path / "cycles.npz")
    with pytest.raises(ValueError, match="not a file written by Contraction"):
        cx.proofs.Contraction.load(tmp_path / "cycles.npz")


# -- uniqueness -------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(scale=st.floats(0.1, 3.0), full=st.booleans(), order=st.integers(1, 2), **SHAPES)
def test_one_solution_is_never_said_where_the_determinants_change_sign(seed, size, scale, full, order):
    bounds = affine_form(network(seed, size, scale, full=full))
    if one_solution(bounds, order):
        jacobians = all_jacobians(bounds)
        products = [second @ first for first in jacobians for second in jacobians] if order == 2 else jacobians
        signs = np.sign(np.linalg.det(np.eye(size) - np.array(products)))
        assert np.all(signs == signs[0])
        assert signs[0] != 0


def test_one_solution_is_seldom_overlooked_in_few_dimensions():
    """At order 1, wherever all 2^M determinants have one sign, in these."""
    told = 0
    for seed in range(60):
        bounds = affine_form(network(seed, 1 + seed % 3))
        assert one_solution(bounds, 1) == keeps_orientation(bounds, 1)
        told += one_solution(bounds, 1)
    assert 10 < told < 50


def test_one_solution_of_a_map_that_expands():
    """x' = -3 x or 0.5 x: one fixed point whatever the offset, though F^2 may have three."""
    bounds = affine_form(cx.SkewTentMap(0.5, -3.0, 1.0))
    assert one_solution(bounds, 1)
    assert not one_solution(bounds, 2)
    assert not one_solution(affine_form(cx.TentMap(2.0)), 1)


def test_singular_regions_are_no_proof():
    assert not one_solution(affine_form(cx.SkewTentMap(1.0, -0.5, 1.0)), 1)
    assert not one_solution(affine_form(cx.SkewTentMap(-1.0, -1.0, 1.0)), 2)
    flat = cx.PLRNN(A=[1.0, 0.5], W=np.zeros((2, 2)), h=[0.0, 1.0])
    assert not one_solution(affine_form(flat), 1)


def test_what_is_proved_of_a_ring_is_what_is_proved_of_its_steps():
    """A driven network unrolled over 5 steps, against 5 steps of the network."""
    contracts, unique = set(), set()
    for seed, scale in itertools.product(range(3), (0.3, 1.0)):
        for model in [network(seed, 3, scale), *random_models(seed)[:8]]:
            bounds, bias = affine_form(model), np.asarray(getattr(model, str(model.input_leaf)))
            ring = affine_form(Unrolled(model, bias + np.random.default_rng(seed).normal(size=(5, 1))))
            step, times = sectors_of(ring).one_step()
            assert times == 5
            assert np.allclose(step.outward, sectors_of(bounds).outward, rtol=1e-12, atol=0)
            unique.add(one_solution(ring, 1))
            assert one_solution(ring, 1) == one_solution(bounds, 5)
            contracts.add((certificate := contraction_certificate(ring)) is not None)
            assert (certificate is None) == (contraction_certificate(bounds) is None)
            assert certificate is None or holds(certificate, sectors_of(ring))
    assert contracts == unique == {False, True}


def test_steps_that_differ_are_no_ring():
    model = network(0, 2, 0.3)
    sectors = sectors_of(affine_form(Unrolled(model, np.zeros((4, 2)))))
    assert sectors.one_step()[1] == 4
    for name, where in (
        ("base", (2, 0)),
        ("outward", (2, 0)),
        ("gradients", (2, 2)),
        ("error", (0, 6)),
        ("base", (0, 0)),
    ):
        part = getattr(sectors, name).copy()
        part[where] += 2.0**-42
        assert sectors._replace(**{name: part}).one_step()[1] == 1


def test_steps_that_rounding_has_parted_are_one_with_all_of_them():
    """Jacobians of every step, anywhere in its sectors, are among those of the one that stands for all."""
    rng = np.random.default_rng(0)
    sectors = sectors_of(affine_form(Unrolled(network(0, 2, 0.3), np.zeros((4, 2)))))
    parts = {name: getattr(sectors, name) for name in ("base", "outward", "gradients")}
    parted = {name: part * (1 + rng.integers(-9, 10, part.shape) * 2.0**-52) for name, part in parts.items()}
    moved = sectors._replace(**parted, error=sectors.error / 2.0**20)
    step, times = moved.one_step()
    assert times == 4
    for t in range(4):
        after, now = (slice(2 * i, 2 * i + 2) for i in ((t + 1) % 4, t))
        for corner in itertools.product([0.0, 1.0], repeat=2):
            one = moved.base[after, now] + moved.outward[after, now] * corner @ moved.gradients[now, now]
            off = one - (step.base + step.outward * corner @ step.gradients)
            assert np.all(np.abs(off) + moved.error[after, now] <= step.error)


# -- enclosures -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), size=st.integers(1, 6))
def test_products_are_enclosed(seed, size):
    """Against rational arithmetic, with entries of very different sizes."""
    import fractions

    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(size, size)) * 10.0 ** rng.integers(-8, 8, (size, size)) for _ in range(2))
    for found, sign in ((exactly(a) @ exactly(b), 0), (exactly(a) + exactly(b), 1), (exactly(a) - exactly(b), -1)):
        for i, j in itertools.product(range(size), repeat=2):
            first, second = ([fractions.Fraction(x) for x in row] for row in (a[i].tolist(), b[:, j].tolist()))
            true = sum(x * y for x, y in zip(first, second, strict=True))
            if sign:
                true = fractions.Fraction(a[i, j]) + sign * fractions.Fraction(b[i, j])
            assert abs(true - fractions.Fraction(found.middle[i, j])) <= fractions.Fraction(found.radius[i, j])


@given(seed=st.integers(0, 1000), size=st.integers(2, 8))
def test_positive_definite_only_where_every_matrix_enclosed_is(seed, size):
    rng = np.random.default_rng(seed)
    factor = np.round(rng.normal(size=(size, size - 1)) * 100)
    singular = factor @ factor.T  # exactly, as integers: the least eigenvalue is 0
    assert not positive_definite(exactly(singular))
    assert not positive_definite(exactly(singular - 1e-10 * np.eye(size)))
    better = singular + np.eye(size)
    assert positive_definite(exactly(better))
    assert not positive_definite(Enclosed(better, np.full((size, size), 1.01 * np.max(np.diag(better)))))
    assert not positive_definite(exactly(-better))
    assert not positive_definite(exactly(np.nan * better))


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e308])
def test_weights_that_overflow_when_divided_prove_nothing_and_end(size):
    model = cx.ShallowPLRNN(
        A=[0.5, 0.5], W1=np.full((2, 3), size), W2=np.full((3, 2), size), h1=[1.0, 1.0], h2=np.ones(3)
    )
    with jax.enable_x64(True):
        found = contraction_certificate(affine_form(model))
    assert found is None or found.rate < 1


def test_gates_that_do_not_feed_back():
    """W is triangular: no loop of gains, whatever their sizes. The multipliers are those of A, all below 1."""
    model = cx.PLRNN(A=[0.9999999990686774, 0.9999999701976776], W=[[0.0, 0.96], [0.0, 0.0]], h=[-1.1, 0.7])
    found = contraction_certificate(affine_form(model))
    assert found is None or found.rate < 1
    near = cx.PLRNN(A=[0.5, 0.25], W=[[0.0, 100.0], [0.0, 0.0]], h=[-1.1, 0.7])
    found = contraction_certificate(affine_form(near))
    assert found is not None
    assert 0.5 <= found.rate < 1


def test_no_optimizer_is_imported_where_no_scaling_can_serve():
    """Two Jacobians of radius 0.95, with a loop whose gain is 9.9 in every scaling: SciPy is slow to import."""
    program = (
        "import sys, cyclax as cx\n"
        "model = cx.BorderCollisionNormalForm([[0.9, 1], [-0.9, 0]], [[-1.5, 1], [-0.9, 0]], [1, 0])\n"
        "found = cx.find_cycles(model, 1, key=0, progress=False)\n"
        "print(len(found), found.report['orders']['1']['verdict'], 'scipy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "1 proved complete False\n"
