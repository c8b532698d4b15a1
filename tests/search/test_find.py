"""The verb: complete sets where they are known, planted cycles, honest verdicts, errors that help."""

import _thread
import itertools

import flint
import jax
import numpy as np
import pytest
from conftest import CASES, answer, case_names, over_classes
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import plrnn_cycles, same_cycles
from planting import planted_cycle, planted_plrnn, planted_shallow

import cyclax as cx
from cyclax.core.checks import checked_key
from cyclax.core.numerics import numerics
from cyclax.cycles.contraction import contraction_certificate
from cyclax.cycles.decide import Decider
from cyclax.cycles.index import _enumerated_degree, degrees, index_of, keeps_orientation
from cyclax.cycles.verify import Verified, verify_hits
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.search import driver


def check_case(name: str, seed: int) -> None:
    """Demand the cycles of `answers.json`, multipliers to 1e-8, and nothing else where the list is complete."""
    expected = answer(name)
    model = cx.load(CASES / f"{name}.json")
    cycles = cx.find_cycles(model, expected["searched_orders_up_to"], key=seed)
    matched = set()
    for entry in expected.get("cycles", ()):  # of some only the numbers are known
        point, order = np.array(entry["first_point"]), entry["order"]
        size = 1 + np.max(np.abs(point))
        near = [c for c in cycles.of_order(order) if np.min(np.max(np.abs(c.points - point), axis=1)) < 1e-7 * size]
        assert len(near) == 1, f"{name}, seed {seed}: order {order} through {point}"
        (cycle,) = near
        matched.add(id(cycle))
        values = np.array([complex(*value) for value in entry["eigenvalues"]])
        left = list(cycle.multipliers)
        for value in values:
            nearest = int(np.argmin(np.abs(np.array(left) - value)))
            assert abs(left.pop(nearest) - value) < 1e-8
        assert (cycle.stability == "stable") == entry["stable"]
    if expected["complete"]:
        assert len(matched) == len(cycles)
    assert all(entry["verdict"] != "proved incomplete" for entry in cycles.report["orders"].values())


@pytest.mark.parametrize("name", case_names())
def test_cases(name):
    check_case(name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", case_names())
def test_cases_for_twenty_seeds(name):
    for seed in range(20):
        check_case(name, seed)


def test_tent_map():
    """Slope 2: one cycle for each primitive necklace of two symbols; all multipliers are +-2^k."""
    cycles = cx.find_cycles(cx.TentMap(2.0), 10, key=0)
    assert list(cycles.counts.values()) == [2, 1, 2, 3, 6, 9, 18, 30, 56, 99]
    for cycle in cycles:
        sign = (-1) ** np.sum(cycle.gates)
        np.testing.assert_allclose(cycle.multipliers, [sign * 2.0**cycle.order], rtol=1e-12)
        np.testing.assert_allclose(1 - 2 * np.abs(cycle.points), np.roll(cycle.points, -1, axis=0), atol=1e-14)
    assert all(entry["index_sum"] == entry["degree"] == 0 for entry in cycles.report["orders"].values())


def test_border_collision_normal_form_in_closed_form():
    """A fixed point on side s is x = 1 / (1 - trace_s + det_s); its multipliers solve l^2 - trace l + det = 0."""
    left, right = np.array([[0.5, 1.0], [0.2, 0.0]]), np.array([[-1.8, 1.0], [-0.9, 0.0]])
    model = cx.BorderCollisionNormalForm(left=left, right=right, h=[1.0, 0.0])
    (fixed,) = cx.find_cycles(model, 1, key=0)
    x = 1 / (1 - right[0, 0] - right[1, 0])
    np.testing.assert_allclose(fixed.points[0], [x, right[1, 0] * x], rtol=1e-14)
    expected = np.roots([1, -right[0, 0], -right[1, 0]])
    np.testing.assert_allclose(np.sort_complex(fixed.multipliers), np.sort_complex(expected), rtol=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (4, 1)]))
def test_equals_enumeration(seed, size):
    num_states, order = size
    model = cx.PLRNN.random(num_states, key=jax.random.key(seed), gain=1.5)
    cycles = cx.find_cycles(model, [order], key=seed)
    assert same_cycles(cycles, plrnn_cycles(model, order))


# One network in the fast tests, more in the slow ones.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.mark.parametrize(("num_states", "order"), [(3, 1), (3, 3), (5, 3), (10, 1), (10, 3), (10, 7), (20, 1), (20, 3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_planted_in_plrnn(num_states, order, seed):
    model, points = planted_plrnn(num_states, order, seed)
    assert planted_cycle(cx.find_cycles(model, [order], key=0), points)


@pytest.mark.parametrize(
    ("num_hidden", "order"),
    [pytest.param(7, 3, marks=pytest.mark.slow), (12, 7), pytest.param(30, 7, marks=pytest.mark.slow), (70, 3)],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_planted_in_shallow_plrnn(num_hidden, order, seed):
    model, points = planted_shallow(2, num_hidden, order, seed)
    cycle = planted_cycle(cx.find_cycles(model, [order], key=0), points)
    assert cycle
    assert cycle.gates.shape == (order, num_hidden)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_planted_in_large_plrnn(seed):
    model, points = planted_plrnn(20, 7, seed)
    assert planted_cycle(cx.find_cycles(model, [7], key=0), points)


@pytest.mark.slow
def test_result_does_not_depend_on_lanes():
    model = cx.LoziMap(1.7, 0.5)
    narrow, wide = (cx.find_cycles(model, 9, key=5, finder=cx.SCYFI(lanes=lanes)) for lanes in (32, 700))
    assert narrow.counts == wide.counts
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(one.gates, other.gates)
        np.testing.assert_allclose(one.points, other.points, rtol=1e-12, atol=1e-12)


def test_equal_keys_give_equal_results_and_seeds_are_keys():
    model = cx.PLRNN.random(3, key=jax.random.key(2))
    one, two = cx.find_cycles(model, 4, key=7), cx.find_cycles(model, 4, key=jax.random.key(7))
    old = cx.find_cycles(model, 4, key=jax.random.PRNGKey(7))  # a key of the old style is a key like any other
    assert one.provenance == two.provenance == old.provenance
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.points, b.points)


def test_orders_as_int_and_as_sequence():
    model = cx.TentMap(2.0)
    assert list(cx.find_cycles(model, 3, key=0).counts) == [1, 2, 3]
    only = cx.find_cycles(model, [4], key=0)
    assert only.counts == {4: 3}
    assert {cycle.order for cycle in only} == {4}
    assert only.report["orders"]["4"]["index_sum"] == 0  # the divisors were searched for it


def is_among(cycle, others) -> bool:
    return any(np.array_equal(cycle.gates, other.gates) for other in others)


def test_given_words_are_searched():
    model = cx.TentMap(2.0)
    finder = cx.SCYFI(starts=2)
    (wanted,) = (c for c in cx.find_cycles(model, [7], key=0) if np.sum(c.gates) == 6)
    blind = next(
        found
        for key in range(10)
        if not is_among(wanted, found := cx.find_cycles(model, [7], key=key, finder=finder))
        and found.report["orders"]["7"]["starts"] == 8  # as many as are allowed where cycles are missing
    )
    key = blind.provenance["key"][-1]
    helped = cx.find_cycles(model, [7], key=key, finder=finder, words=[wanted.gates])
    assert is_among(wanted, helped)
    assert all(is_among(cycle, helped) for cycle in blind)
    if helped.report["orders"]["7"]["starts"] == 8:
        assert helped.report["orders"]["7"]["hits"] == blind.report["orders"]["7"]["hits"]
    (whole,) = (cycle for cycle in helped if is_among(wanted, [cycle]))
    same = cx.find_cycles(model, [7], key=key, finder=finder, words=[whole])
    assert [one.gates.tolist() for one in same] == [one.gates.tolist() for one in helped]
    for wrong, shown in (
        ([np.zeros((7, 2), bool)], r"shape \(7, 2\) of bool"),
        ([whole.points], r"shape \(7, 1\) of float64"),
        ([np.full((7, 1), np.nan)], r"shape \(7, 1\) of float64"),
        ([[[0], [2]]], r"\[\[0\], \[2\]\]"),
        ([[["0"], ["1"]]], r"\[\['0'\], \['1'\]\]"),
        ([[[0], [0, 1]]], r"\[\[0\], \[0, 1\]\]"),
        ([0, 1, 1], "0"),
    ):
        with pytest.raises(ValueError, match=rf"or of gates .* of shape \(k, 1\) each; one of them is {shown}\."):
            cx.find_cycles(model, [7], key=3, words=wrong)
    ones = cx.find_cycles(model, [7], key=key, finder=finder, words=[wanted.gates.astype(float)])
    assert [one.gates.tolist() for one in ones] == [one.gates.tolist() for one in helped]
    for wrong, told in ((whole, r"got Cycle\(.*; give \[cycle\] for one"), (None, "got None"), ("0110", "got '0110'")):
        with pytest.raises(TypeError, match=f"words: expected a list of cycles, .*{told}"):
            cx.find_cycles(model, [7], key=3, words=wrong)


# -- how sure are we --------------------------------------------------------------------------------


def test_a_missing_cycle_is_proved_missing():
    """Two starts cannot find all cycles of order 7; the index sum says so."""
    cycles = cx.find_cycles(cx.TentMap(2.0), [7], key=0, finder=cx.SCYFI(starts=2))
    entry = cycles.report["orders"]["7"]
    assert cycles.counts[7] < 18
    assert entry["index_sum"] != entry["degree"]
    assert entry["verdict"] == "proved incomplete"


def test_few_starts_are_never_called_likely():
    cycles = cx.find_cycles(cx.SkewTentMap(left=0.5, right=-3.0, offset=1.0), 2, key=0, finder=cx.SCYFI(starts=100))
    verdicts = {order: entry["verdict"] for order, entry in cycles.report["orders"].items()}
    assert verdicts == {"1": "proved complete", "2": "unknown"}  # order 1 by a sign, not by its starts


@over_classes("ShallowPLRNN 70 gates")
def test_index_sums_match_the_degree_where_nothing_is_missing(model):
    cycles = cx.find_cycles(model, 3, key=0)
    for entry in cycles.report["orders"].values():
        assert entry["degree"] is None or entry["index_sum"] in (None, entry["degree"])


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_degree_of_planar_maps_is_the_winding_number(seed):
    """Against a sum over 20,000 directions in plain NumPy."""
    rng = np.random.default_rng(seed)
    A, W = rng.normal(size=2), rng.normal(size=(2, 2)) * 1.5
    model = cx.PLRNN(A=A, W=W, h=rng.normal(size=2))
    with numerics():
        known = degrees(affine_form(model), [1, 2, 3])
    angles = np.linspace(0, 2 * np.pi, 20_001)
    u = np.stack([np.cos(angles), np.sin(angles)])
    image = u
    for order in (1, 2, 3):
        image = A[:, None] * image + W @ np.maximum(image, 0)
        v = u - image
        turned = np.diff(np.unwrap(np.arctan2(v[1], v[0])))
        if known[order] is not None and np.max(np.abs(turned)) < 1:
            assert known[order] == round(np.sum(turned) / (2 * np.pi))


def test_index_of_repeated_cycles():
    assert index_of(np.array([2.0 + 0j, -3, 0.5])) == -1
    assert index_of(np.array([2.0 + 0j, -3, 0.5]), repeats=2) == 1
    assert index_of(np.array([1.0 + 0j])) is None
    assert index_of(np.array([-1.0 + 0j]), repeats=2) is None
    assert index_of(np.array([0.5 + 2j, 0.5 - 2j])) == 1


def test_contracting_network_has_degree_one():
    model = cx.PLRNN(A=np.full(5, 0.2), W=np.full((5, 5), 0.05), h=np.ones(5))
    cycles = cx.find_cycles(model, 2, key=0)
    assert cycles.counts == {1: 1, 2: 0}
    assert all(entry["degree"] == entry["index_sum"] == 1 for entry in cycles.report["orders"].values())
    assert {entry["verdict"] for entry in cycles.report["orders"].values()} == {"proved complete"}


def test_contraction_is_proved_and_not_guessed():
    """A fixed point that attracts everything is no proof; a norm that all Jacobians shrink is.

    By symmetry no scaling is better than 1, with which the largest gain is w / 2 / (1 - |1 + w i| / 2): below 1 up to
    w = 3/4. Beyond, one fixed point is proved by the gains at frequency 0, or by the signs of all determinants where no
    scaling makes these small.
    """
    build = lambda w: cx.PLRNN(A=[0.5, 0.5], W=[[0, w], [-w, 0]], h=[1.0, 1.0])  # noqa: E731
    with numerics():
        for w in (0.49, 0.51, 0.749):
            assert contraction_certificate(affine_form(build(w))) is not None
        for model in (build(0.751), cx.LoziMap(1.7, 0.5)):
            assert contraction_certificate(affine_form(model)) is None
    W = [[0.1, -0.8, -1.5], [-0.3, -0.6, 0.5], [-0.3, -0.5, -0.6]]
    only_signs = cx.PLRNN(A=[-0.1, -0.1, 0.1], W=W, h=np.ones(3))
    for model, order, reason in (
        (build(0.74), 1, "the map contracts"),
        (build(0.76), 1, "F^1(z) = z has exactly one solution"),
        (only_signs, 2, "det(I - P) has one sign"),
    ):
        entry = cx.find_cycles(model, order, key=0).report["orders"][str(order)]
        assert entry["verdict"] == "proved complete"
        assert entry["reason"].startswith(reason)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 2))
def test_degree_is_the_index_sum_of_all_words(seed, size, order):
    """Against the complete set, by enumeration of the map itself; and where a sign proves it, their number."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(size, size)) * 1.2
    model = cx.PLRNN(A=rng.uniform(-0.9, 0.9, size), W=W, h=rng.normal(size=size))
    complete = cx.enumerate_cycles(model, order, method=cx.Exhaustive(), progress=False)
    index_sum = complete.report["orders"][str(order)]["index_sum"]
    with numerics():
        bounds = affine_form(model)
        known, one_sign = _enumerated_degree(bounds, order), keeps_orientation(bounds, order)
        assert size > 2 or degrees(bounds, [order])[order] in (None, known)
    if index_sum is not None:
        assert known in (None, index_sum)
    if one_sign and known is not None:
        assert sum(cycle.order for cycle in complete if order % cycle.order == 0) == abs(known)


def test_one_sign_of_the_determinants_proves_how_many_fixed_points_there_are():
    """x' = a x + w relu(x) + h has one fixed point if 1 - a and 1 - a - w have the same sign."""
    for w, verdict in ((-3.0, "proved complete"), (3.0, "likely")):
        model = cx.PLRNN(A=[0.5, 0.3, 0.2], W=np.diag([w, 0.1, 0.1]), h=[-1.0, 1.0, 1.0])
        entry = cx.find_cycles(model, [1], key=0, finder=cx.SCYFI()).report["orders"]["1"]
        assert entry["verdict"] == verdict
        assert entry["index_sum"] == entry["degree"]
    assert "one sign" not in entry["reason"]


@pytest.mark.parametrize(("size", "seed"), [(2, 11), (3, 48), (3, 57), (1, 0)])
def test_slow_networks_have_the_degrees_of_fast_ones(size, seed):
    """Fixed points of a rate network are those of z = relu(W z + b) for every alpha, and so are their signs."""
    rng = np.random.default_rng(seed)
    W, b, known = 1.2 * rng.normal(size=(size, size)), rng.normal(size=size), []
    for alpha in (1.0, 1e-6, 1e-14, 1e-16, 3e-17, 1e-80):
        model = cx.RateRNN(W=W, b=b, alpha=alpha)
        with numerics():
            bounds = affine_form(model)
            exact = Decider(model, bounds.effective).jacobian
            known.append((degrees(bounds, [1], exact)[1], keeps_orientation(bounds, 1, exact)))
    assert known[0] == known[1]
    assert known[0][0] is not None
    for degree, one_sign in known:
        assert degree in (None, known[0][0])
        assert known[0][1] or not one_sign


def test_clipped_network_has_the_degree_of_its_linear_part():
    model = cx.ClippedShallowPLRNN.random(4, 6, key=jax.random.key(0))
    expanding = cx.ClippedShallowPLRNN(A=[1.5, 0.5, 0.2], W1=np.eye(3), W2=np.eye(3), h1=np.ones(3), h2=np.ones(3))
    with numerics():
        assert degrees(affine_form(model), [1, 2]) == {1: 1, 2: 1}
        assert degrees(affine_form(expanding), [1, 2]) == {1: -1, 2: -1}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 2.0**20, 2.0**33])
def test_signs_of_clipped_networks_whose_linear_part_cancels(size, scale):
    """Against det(I - A^k) in rationals, for A of equal entries but for some of ordinary size.

    Of two states the images of all directions are parallel, but for rounding of products that large.
    """
    number = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        A, W = scale + rng.normal(size=(size, size)), np.array([[1.5, 0.1, 0.2], [0.3, -1.2, 0.4]])[:, :size]
        W1 = np.array([[-scale, 1.0], [0.5, -scale], [0.2, 0.3]])[:size]
        model = cx.ClippedShallowPLRNN(A=A, W1=W1, W2=W, h1=np.ones(size), h2=np.ones(2))
        with numerics():
            bounds = affine_form(model)
            known = degrees(bounds, [1, 2, 3], Decider(model, bounds.effective).jacobian)
        exact = power = flint.fmpq_mat([[flint.fmpq(*float(a).as_integer_ratio()) for a in row] for row in A])
        identity = flint.fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
        for order in (1, 2, 3):
            determinant = (identity - power).det()
            assert known[order] in (None, int(determinant > 0) - int(determinant < 0)), (seed, order)
            number += known[order] is not None
            power = exact * power
    assert number == 120 or scale > 1


# -- what is no isolated cycle ----------------------------------------------------------------------


def test_fixed_point_on_a_border_is_reported_not_counted():
    model = cx.PLRNN(A=[0.5, 0.3], W=[[0.1, 0.4], [-0.6, 0.1]], h=[0.0, 0.0])
    cycles = cx.find_cycles(model, 1, key=0)
    assert cycles.counts == {1: 0}
    assert {entry.kind for entry in cycles.degenerate} == {"border"}
    np.testing.assert_allclose(cycles.degenerate[0].points[0], [0, 0], atol=1e-12)


def test_absurd_weights_give_a_report_and_no_warning():
    model = cx.PLRNN(A=[1e200, 0.5], W=[[1e200, 1], [1, 1]], h=[1.0, 1.0])
    cycles = cx.find_cycles(model, 3, key=0, finder=cx.SCYFI())
    assert {entry["verdict"] for entry in cycles.report["orders"].values()} == {"unknown"}
    cycles = cx.find_cycles(model, 3, key=0)  # all words are tried, in rationals where float64 overflows
    assert cycles.counts == cx.enumerate_cycles(model, 3, method=cx.Exhaustive()).counts


@pytest.mark.parametrize("scale", [1e-150, 1e-6, 1e100])
def test_units_do_not_matter(scale):
    """Scaling h scales the states and nothing else."""
    build = lambda h: cx.PLRNN(A=[0.9777689, 0.96461297], W=[[0, -0.14375], [0.52505308, 0]], h=h)  # noqa: E731
    h = np.array([0.37298253, -0.97931491])
    one, other = cx.find_cycles(build(h), [1, 27], key=0), cx.find_cycles(build(scale * h), [1, 27], key=0)
    assert one.counts == other.counts == {1: 1, 27: 2}
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(b.points, scale * a.points, rtol=1e-9)
        np.testing.assert_allclose(b.margin, scale * a.margin, rtol=1e-6)


def test_linear_map():
    (fixed,) = cx.find_cycles(cx.PLRNN(A=[0.5, 0.25], W=np.zeros((2, 2)), h=[1.0, 3.0]), 3, key=0)
    np.testing.assert_allclose(fixed.points[0], [2, 4])
    assert fixed.margin == np.inf


def test_identical_units_and_zero_columns():
    model = cx.ShallowPLRNN(
        A=[0.5, 0.5],
        W1=[[1.0, 1.0, 0.0], [0.2, 0.2, 0.0]],
        W2=[[1, 0.5], [1, 0.5], [3, 4]],
        h1=[0.3, -1],
        h2=[0.1, 0.1, 7],
    )
    merged = cx.ShallowPLRNN(A=[0.5, 0.5], W1=[[2.0], [0.4]], W2=[[1, 0.5]], h1=[0.3, -1], h2=[0.1])
    one, other = cx.find_cycles(model, 3, key=0), cx.find_cycles(merged, 3, key=0)
    assert one.counts == other.counts
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.points, b.points, atol=1e-12)


def test_states_that_are_no_cycles_are_rejected():
    """Whatever the search hands over, only what the check confirms is returned."""
    model = cx.LoziMap(1.7, 0.5)
    states = np.random.default_rng(0).normal(size=(200, 2))
    with numerics():
        accepted = Verified()
        found = verify_hits(model, affine_form(model), states[:, None], 7, accepted)
    assert accepted.rejected > 5
    real = cx.find_cycles(model, 7, key=0)
    known = {word_key(cycle.gates) for cycle in real}
    assert {key for key in found if key is not None} == set(accepted.cycles)
    assert set(accepted.cycles) <= known
    with numerics():
        assert verify_hits(model, affine_form(model), states[:0, None], 7, accepted) == []


# -- arguments, interruption ------------------------------------------------------------------------

MODEL = cx.TentMap(2.0)


@pytest.mark.parametrize(
    ("orders", "error", "message"),
    [
        (0, ValueError, "orders: 0 is not a period"),
        (-3, ValueError, "orders: -3 is not a period"),
        ([1, 0], ValueError, "orders: 0 is not a period"),
        (2.5, TypeError, "orders: expected an int, got 2.5"),
        ([1, "x"], TypeError, "orders: expected an int, got 'x'"),
        ("12", TypeError, "orders: expected an int or a sequence"),
        ([], ValueError, "an empty sequence"),
        (True, TypeError, "orders: expected an int, got True"),
        (10**12, ValueError, "beyond 100000, the largest order"),
    ],
)
def test_bad_orders(orders, error, message):
    with pytest.raises(error, match=message):
        cx.find_cycles(MODEL, orders, key=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(bad):
    model = cx.PLRNN(A=[0.5, 0.5], W=[[0.0, 1.0], [bad, 0.0]], h=[0, 0])
    with pytest.raises(ValueError, match=r"model: W holds NaN or inf \(first at \[1, 0\]\)"):
        cx.find_cycles(model, 1, key=0)


def test_bad_model_and_key():
    with pytest.raises(TypeError, match=r"cyclax.load\(path\)"):
        cx.find_cycles("model.json", 1, key=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="key: expected a JAX random key or an int seed"):
        cx.find_cycles(MODEL, 1, key="seed")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="key: expected an int from 0 to 9223372036854775807"):
        cx.find_cycles(MODEL, 1, key=-1)


def test_seeds_do_not_depend_on_the_global_precision():
    keys = []
    for setting in (True, False):
        with jax.enable_x64(setting):
            keys.append(cx.find_cycles(MODEL, 1, key=2**32 + 1).provenance["key"])
    assert keys[0] == keys[1] != cx.find_cycles(MODEL, 1, key=1).provenance["key"]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"starts": 0}, ValueError),
        ({"moves": -1}, ValueError),
        ({"lanes": 1.5}, TypeError),
        ({"unseen": 0.0}, ValueError),
        ({"unseen": 1}, ValueError),
        ({"seconds": 0}, ValueError),
        ({"starts": True}, TypeError),
        ({"screened": "float32"}, TypeError),
    ],
)
def test_bad_settings_name_themselves(settings, error):
    with pytest.raises(error, match=f"SCYFI: {next(iter(settings))}"):
        cx.SCYFI(**settings)


LONG = dict(orders=40, key=0, finder=cx.SCYFI(starts=10**7, unseen=1e-9))


def test_time_budget_returns_what_was_found(monkeypatch):
    """A second is a pool of starts that has been taken in, however long that takes."""
    absorb, absorbed = driver.absorb, itertools.count()
    seconds = [0]

    def absorb_and_count(*arguments, **settings):
        absorb(*arguments, **settings)
        seconds[0] = next(absorbed)

    monkeypatch.setattr(driver, "absorb", absorb_and_count)
    monkeypatch.setattr(cx.Budget, "clock", staticmethod(lambda: seconds[0]))
    finder = cx.SCYFI(starts=10**7, unseen=1e-9, seconds=20.0)
    cycles = cx.find_cycles(MODEL, 40, key=0, finder=finder)
    # Threads that had begun a pool take it in, and begin no other.
    assert 20 <= cycles.report["seconds"] < 40
    assert "time budget of 20 s" in cycles.report["interrupted"]
    assert "STOPPED EARLY" in str(cycles)
    assert len(cycles) > 0


def test_ctrl_c_returns_what_was_found(monkeypatch):
    """Sent to the main thread by a thread that searches, for which it then waits, however slow the machine is."""
    absorb, calls = driver.absorb, itertools.count()

    def absorb_and_interrupt(*arguments, **settings):
        absorb(*arguments, **settings)
        if next(calls) == 20:
            _thread.interrupt_main()

    monkeypatch.setattr(driver, "absorb", absorb_and_interrupt)
    try:
        cycles = cx.find_cycles(MODEL, **LONG)
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C was raised, and what was found is lost")
    assert "Ctrl-C" in cycles.report["interrupted"]
    assert len(cycles) > 0
    assert {entry["verdict"] for entry in cycles.report["orders"].values()} <= {"unknown", "proved incomplete"}


@pytest.mark.parametrize(
    "model",
    [
        cx.ClippedDendriticPLRNN(
            A=[0.99], W=[[1.05e197]], h=[-1.33e197], alpha=[0.79, -0.76], thresholds=[[-0.57, 0.08]]
        ),
        cx.SkewTentMap(left=-3e112, right=0.95, offset=-9e112),
    ],
)
def test_degree_of_jacobians_whose_terms_cancel(model):
    """Added up, what the gates switch leaves rounding in place of small slopes: those of the map itself are taken."""
    cycles = cx.enumerate_cycles(model, 2, method=cx.Exhaustive(), progress=False)
    assert len(cycles) > 0
    for entry in cycles.report["orders"].values():
        assert entry["index_sum"] in (None, entry["degree"])
        assert entry["verdict"] == "proved complete"


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_a_seed_is_the_key_that_jax_makes_of_it(impl):
    with jax.default_prng_impl(impl):
        for seed in (0, 1, 2**31, 2**32 - 1, 2**32, 123_456_789_012_345, 2**63 - 1):
            with jax.enable_x64(True):
                expected = jax.random.key(seed)
            found = checked_key(seed)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(expected))
