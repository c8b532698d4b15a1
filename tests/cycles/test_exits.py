"""Every candidate ends somewhere: accepted, described, refuted or undecided; in any units; in every verb."""

import fractions
import itertools
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import slow

import cyclax as cx
from cyclax.core.budget import Budget
from cyclax.core.numerics import numerics
from cyclax.cycles import verify
from cyclax.cycles.decide import Decider
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.table import BORDER, CYCLE, FAMILY, REFUTED
from cyclax.cycles.verify import MOVES, Models, Verified, settle, verify_words
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form, affine_forms
from cyclax.proofs.candidates import Candidates
from cyclax.proofs.nearby import search_nearby

METHODS = [cx.Exhaustive(), cx.WordGraph(), cx.BranchAndBound(), cx.WordGraph(rigorous=True)]
NAMES = ["all words", "word graph", "branch and bound", "rigorous"]


def enumerated(model, orders, method, box):
    return cx.enumerate_cycles(model, orders, method=method, box=box, progress=False)


# -- what float64 calls singular --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_a_fixed_point_with_a_multiplier_near_one_is_not_lost(method):
    model = cx.PLRNN(A=[1 - 3e-13], W=[[0.5]], h=[-1.0])
    cycles = enumerated(model, 1, method, 1e15)
    far = -1.0 / (1.0 - float(np.asarray(model.A)[0]))
    np.testing.assert_allclose(np.sort([c.points[0, 0] for c in cycles]), [far, 2.0], rtol=1e-11)
    assert cycles.report["orders"]["1"]["verdict"] == "proved complete"
    assert sorted(c.stability for c in cycles) == ["repeller", "stable"]
    assert not cycles.degenerate


@pytest.mark.parametrize("power", [20, 36, 40, 45, 51])
def test_a_slow_integrator_has_its_fixed_point(power):
    """x' = (1 - 2^-n) x + 1/4 fixes 2^(n - 2), exactly in float64."""
    (fixed,) = cx.enumerate_cycles(cx.PLRNN(A=[1 - 2.0**-power], W=[[0.0]], h=[0.25]), 1, progress=False)
    np.testing.assert_array_equal(fixed.points, [[0.25 * 2.0**power]])


@pytest.mark.parametrize("distance", [1e-11, 1e-12, 1e-13, 1e-14])
def test_an_isolated_point_is_no_line(distance):
    model = cx.PLRNN(A=[1 - distance], W=[[0.5]], h=[-5 * (1 - (1 - distance))])
    cycles = cx.enumerate_cycles(model, 1, progress=False)
    np.testing.assert_allclose(cycles[0].points, [[-5.0]])
    assert not cycles.degenerate
    flip = cx.enumerate_cycles(cx.SkewTentMap(-(1 - distance), 0.5, -1.0), 2, progress=False)
    assert flip.counts == {1: 1, 2: 0}
    assert not flip.degenerate


def test_a_word_that_cannot_be_decided_leaves_its_order_open():
    """0 is a fixed point on the border. With a weight exp(w), which is no rational number, no precision can show it."""

    class Exponential(cx.AbstractPiecewiseLinearMap):
        w: np.ndarray

        @property
        def num_states(self):
            return 1

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return jnp.exp(self.w) * z + jnp.where(gates, z, 0)

    model = Exponential(np.array([-1.0]))
    assert isinstance(model, eqx.Module)
    results = [enumerated(model, 2, method, 10.0) for method in METHODS]
    results.append(cx.find_cycles(model, 2, key=0, progress=False))
    for cycles in results:
        assert cycles.counts == {1: 0, 2: 0}
        for entry in cycles.report["orders"].values():
            assert entry["verdict"] == "unknown"
            assert entry["reason"].startswith("undecided: ")
            assert entry["undecided"] >= 1
            assert entry["index_sum"] is None


# -- what float64 cannot hold -----------------------------------------------------------------------------------------

BEYOND = {
    # Fixed at 2^50 * 1e300.
    "a point beyond float64": cx.PLRNN(A=[1 - 2.0**-50], W=[[0.0]], h=[1e300]),
    # Above its threshold z' = z / 2 + 1e450, and a little.
    "a shift beyond float64": cx.ClippedDendriticPLRNN(
        A=[0.5], W=[[-1e200]], h=[1e250], alpha=[1.0], thresholds=[[1e250]]
    ),
}


def test_an_undecided_word_is_named():
    """Also where it has no gates, as none does anything."""
    names = {"a point beyond float64": "that of no gates", "a shift beyond float64": "11"}
    for model, word in names.items():
        reason = cx.find_cycles(BEYOND[model], 1, key=0, progress=False).report["orders"]["1"]["reason"]
        assert f"nor not to be, such as {word} (" in reason


@pytest.mark.parametrize("model", BEYOND.values(), ids=BEYOND)
def test_a_cycle_beyond_float64_is_undecided(model):
    """It is there, and cannot be written down: neither is it listed at infinity, nor is anything complete."""
    proofs = [enumerated(model, 1, method, None) for method in METHODS]
    others = [cx.find_cycles(model, 1, key=0, progress=False)]
    others += cx.track([model, model], 1, key=0, starts=64, exact=True, progress=False)
    values = {"A[0]": [0.25, float(np.asarray(model.A)[0])]}
    scanned = cx.scan(model, values, 1, key=0, starts=64, exact=True, progress=False)
    assert not scanned.layers["proved"][1]
    for cycles in (*proofs, *others, scanned.cell(1)):
        assert len(cycles) == len(cycles.degenerate) == 0
        assert cycles.report["orders"]["1"]["verdict"] in ("unknown", "proved incomplete")
    for cycles in proofs:
        assert "beyond the largest float64" in cycles.report["orders"]["1"]["reason"]


# -- families ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [2, "all"])
def test_a_plane_of_two_cycles(orders):
    cycles = cx.enumerate_cycles(cx.PLRNN(A=[-1.0, -1.0], W=np.zeros((2, 2)), h=[0.0, 0.0]), orders, progress=False)
    (plane,) = cycles.degenerate
    assert (plane.kind, plane.order, plane.directions.shape) == ("family", 2, (2, 2))
    np.testing.assert_array_equal(plane.points[1], -plane.points[0])
    assert np.any(plane.points != 0)  # a generic member, not the fixed point in the middle


@pytest.mark.parametrize("orders", [6, [6], "all"])
def test_families_have_the_common_multiples_of_the_orders_of_roots_of_unity(orders):
    """States permuted as (2)(3): fixed points, 2-, 3- and 6-cycles."""
    P = np.zeros((5, 5))
    P[:2, :2], P[2:, 2:] = np.roll(np.eye(2), 1, 0), np.roll(np.eye(3), 1, 0)
    cycles = cx.enumerate_cycles(cx.PLRNN(A=P, W=np.zeros((5, 5)), h=np.zeros(5)), orders, progress=False)
    expected = [6] if orders == [6] else [1, 2, 3, 6]
    assert [entry.order for entry in cycles.degenerate] == expected
    for entry in cycles.degenerate:
        orbit = cx.simulate(cx.PLRNN(A=P, W=np.zeros((5, 5)), h=np.zeros(5)), entry.points[0], entry.order)
        distances = np.max(np.abs(np.asarray(orbit) - entry.points[0]), axis=1)
        assert distances[-1] == 0
        assert np.all(distances[1:-1] > 0)


def test_cycles_closer_to_a_border_than_rounding_are_counted_as_rationals_count_them():
    """With 0.8 rounded, two 3-cycles and a 6-cycle pass 0 at distances of 4e-18 to 2e-17: near 0 -> 1 -> -1.25 -> 0."""
    left, right = fractions.Fraction(0.8), fractions.Fraction(-2.25)
    expected = {}
    for order in range(1, 7):
        found = set()
        for word in itertools.product((0, 1), repeat=order):
            slope, offset = fractions.Fraction(1), fractions.Fraction(0)
            for gate in word:
                slope, offset = slope * (right if gate else left), offset * (right if gate else left) + 1
            x, points = offset / (1 - slope), []
            for gate in word:
                points.append(x)
                if (x > 0) != bool(gate):
                    break
                x = (right if gate else left) * x + 1
            else:
                if len(set(points)) == order:
                    found.add(frozenset(points))
        expected[order] = len(found)
    assert expected[3] == 2
    for method in METHODS[:2]:
        cycles = enumerated(cx.SkewTentMap(0.8, -2.25, 1.0), 6, method, 10.0)
        assert cycles.counts == expected
        assert not cycles.degenerate
        assert all(entry["index_sum"] == entry["degree"] for entry in cycles.report["orders"].values())


def test_a_line_ends_at_a_border_that_hangs_on_a_small_weight():
    """x' = x + relu(1e-30 x + y), y' = y / 2 - relu(..): every (x, 0) with x <= 0 is fixed, and no other."""
    model = cx.ShallowPLRNN(A=[1.0, 0.5], W1=[[1.0], [-1.0]], W2=[[1e-30, 1.0]], h1=[0.0, 0.0], h2=[0.0])
    (line,) = cx.enumerate_cycles(model, 1, method=cx.Exhaustive(), progress=False).degenerate
    np.testing.assert_array_equal(line.directions[:, 0], [1, 0])
    np.testing.assert_array_equal(line.points[0, 0] + line.extent[0], [-np.inf, 0])


def test_a_slow_line_is_not_called_a_family():
    """A line attractor in turned coordinates: exactly there is none, and along it states move by rounding."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    model = cx.PLRNN(A=turn @ np.diag([1.0, 0.3, -0.6]) @ turn.T, W=1e-3 * np.ones((3, 3)) @ turn.T * 0, h=np.zeros(3))
    for entry in cx.find_cycles(model, 1, key=0, progress=False).degenerate:
        assert entry.kind in ("slow", "border")
        assert entry.kind == "border" or "nearly fixed points" in repr(entry)


# -- units ------------------------------------------------------------------------------------------------------------


def five_states():
    rng = np.random.default_rng(9)
    return rng.uniform(-0.9, 0.9, 5), rng.normal(size=(5, 5)) * 1.2, rng.normal(size=5)


def fixed_points(A, W, h):
    found = []
    for gates in itertools.product([0.0, 1.0], repeat=len(h)):
        z = np.linalg.solve(np.eye(len(h)) - np.diag(A) - W * np.array(gates), h)
        if all((z > 0) == np.array(gates, bool)):
            found.append(z)
    return np.array(sorted(map(tuple, found)))


@pytest.mark.parametrize("power", [24, 40, 80])
def test_other_units_of_the_states_change_nothing(power):
    A, W, h = five_states()
    S = 2.0 ** (power / 2 * np.array([1, -1, 1, -1, 1]))
    model = cx.PLRNN(A=A, W=W * S / S[:, None], h=h / S)
    expected = fixed_points(A, W, h)
    assert len(expected) == 4
    results = [enumerated(model, 1, method, None) for method in METHODS]
    results.append(cx.find_cycles(model, 1, key=0, progress=False))
    for cycles in results:
        points = np.array(sorted(tuple(S * cycle.points[0]) for cycle in cycles))
        np.testing.assert_allclose(points, expected, rtol=1e-9)
        assert not cycles.degenerate
        for cycle in cycles:
            step = np.diag(A) + model.W * cycle.gates[0]
            np.testing.assert_allclose(cycle.jacobian, step)
            np.testing.assert_allclose(cycle.jacobian @ cycle.eigenvectors, cycle.eigenvectors * cycle.multipliers)
    certified = cx.certify(model, results[0], progress=False)
    assert {cycle.certificate.status for cycle in certified} == {"proved"}


@pytest.mark.parametrize("unit", [slow(1e140), 1e200, slow(1e307), slow(1e-140), 1e-200, slow(1e-300)])
def test_units_whose_squares_leave_float64_change_nothing(unit):
    A, W, h = [0.5, 0.4], [[-2.0, 0.3], [0.1, -2.0]], np.array([0.5, 0.35])
    model = cx.PLRNN(A=A, W=W, h=h * unit)
    expected = cx.enumerate_cycles(cx.PLRNN(A=A, W=W, h=h), 2, progress=False)
    results = [enumerated(model, 2, method, None) for method in METHODS]
    results += [cx.find_cycles(model, 2, key=0, finder=finder, progress=False) for finder in (None, cx.SCYFI())]
    results.append(cx.scan(model, {"h[0]": [h[0] * unit]}, 2, key=0, orbit_steps=0, progress=False).cell(0))
    results.append(cx.track([model, model], 2, key=0, progress=False)[1])
    assert len(expected) == 5
    for cycles in results:
        assert {word_key(cycle.gates) for cycle in cycles} == {word_key(cycle.gates) for cycle in expected}
        for cycle in cycles:
            (same,) = [one for one in expected if word_key(one.gates) == word_key(cycle.gates)]
            np.testing.assert_allclose(cycle.points / unit, same.points, rtol=1e-9)
            np.testing.assert_allclose(cycle.margin / unit, same.margin, rtol=1e-9)
    assert all(cycle.certificate.status == "proved" for cycle in cx.certify(model, results[0], progress=False))
    found = cx.attractors(model, np.random.default_rng(0).normal(size=(32, 2)) * unit, key=0)
    assert {entry.kind for entry in found} == {"cycle"}


def test_small_states_beside_far_borders_keep_their_size():
    """States of 1e-171 and borders at 1e171 have no common unit."""
    W1, h1, A = 1e-172 * np.array([[2.75, -2.5, 0.75]]), 1e-172 * np.array([-1.25]), 0.75
    model = cx.ShallowPLRNN(A=[A], W1=W1, W2=-1e-172 * np.ones((3, 1)), h1=h1, h2=[1.5, -1.25, 1.25])
    expected = (W1[0] @ np.array([1.5, 0, 1.25]) + h1) / (1 - A)
    for cycles in (
        cx.find_cycles(model, 1, key=0, progress=False),
        cx.enumerate_cycles(model, 1, progress=False),
        cx.scan(model, {"h1[0]": h1}, 1, key=0, progress=False).cell(0),
    ):
        (cycle,) = cycles
        np.testing.assert_allclose(cycle.points, [expected], rtol=1e-12)
        assert 0 < cycle.error < 1e-9 * expected


@pytest.mark.slow
def test_other_units_in_a_scan_and_its_boundaries():
    A, W, h = five_states()
    S = 2.0 ** (20 * np.array([1, -1, 1, -1, 1]))
    axis = {"A[0]": np.linspace(-0.9, 0.9, 4)}
    plain, other = (
        cx.scan(cx.PLRNN(A=A, W=w, h=b), axis, 2, key=0, progress=False)
        for w, b in ((W, h), (W * S / S[:, None], h / S))
    )
    np.testing.assert_array_equal(plain.counts, other.counts)
    for order in (1, 2):
        np.testing.assert_array_equal(plain.found[order].words, other.found[order].words)
        np.testing.assert_allclose(plain.found[order].points, S * other.found[order].points, rtol=1e-8)
    assert plain.boundaries().types == other.boundaries().types


# -- what a scan keeps ------------------------------------------------------------------------------------------------


def test_a_cell_of_a_scan_says_what_the_scan_says():
    result = cx.scan(cx.SkewTentMap(0.5, -1.5, 0.0), {"offset": np.array([-0.5, 0.0])}, 2, key=0, progress=False)
    assert result.degenerate[:, 1].tolist() == [True, False]
    assert not result.undecided.any()
    cell = result.cell(1)
    assert [(entry.kind, entry.order) for entry in cell.degenerate] == [("border", 1)]
    for entry in cell.report["orders"].values():
        assert entry["index_sum"] is None
        assert entry["starts"] == result.report["starts"]
        assert f"{entry['starts']} starts" in entry["reason"]


def test_uncounted_words_are_saved(tmp_path):
    axis = {"left": np.array([-1.0, -0.5])}
    result = cx.scan(cx.SkewTentMap(-1.0, 0.5, -1.0), axis, 2, key=0, progress=False)
    result.save(tmp_path / "map.npz")
    again = cx.BifurcationMap.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(result.degenerate, again.degenerate)
    assert result.degenerate[1, 0]  # the line of 2-cycles of a multiplier -1
    assert [(e.kind, e.order) for e in again.cell(0).degenerate] == [("family", 2)]


# -- weights beyond all bounds ----------------------------------------------------------------------------------------


def test_a_matrix_that_lapack_calls_singular():
    """Weights of 1e6: three words of order 3 are singular to float64, and none of them is a cycle."""
    W = [
        [656568.0862528959, -1213602.6677722961, 915880.9096659778],
        [-200793.16708438695, -711880.5897175777, -1375776.2043505618],
        [811148.0784418867, 60349.49609324748, -594239.9599458254],
    ]
    model = cx.ReLURNN(W=W, b=[-0.26464949999101595, 0.24784267570105217, -0.4895932474919127])
    cycles = cx.enumerate_cycles(model, 3, progress=False)
    assert cycles.counts == {1: 2, 2: 1, 3: 2}
    certified = cx.certify(model, cycles, progress=False)
    assert {cycle.certificate.status for cycle in certified} == {"proved"}


def test_nearly_parallel_borders_have_regions_between_them():
    """Two borders 2e-16 apart, relatively, with a fixed point between them."""
    model = cx.ShallowPLRNN(
        A=[0.0], W1=[[1.0, 1.0]], W2=[[1.0], [1.0]], h1=[2.0**52 - 0.5], h2=[-(2.0**52), 0.5 - 2.0**52]
    )
    cycles = cx.enumerate_cycles(model, 1, method=cx.Exhaustive(), progress=False)
    words = {tuple(cycle.gates[0].tolist()) for cycle in cycles} | {
        tuple(entry.gates[0].tolist()) for entry in cycles.degenerate
    }
    assert words, "the map x -> 2^52 - 1/2 + relu + relu has a fixed point where both are closed, or between"


def test_exact_decisions_need_no_extra():
    """python-flint belongs to the core: without the extra `exact` words are decided all the same."""
    program = (
        "import sys\n"
        "for name in ('highspy', 'numba'): sys.modules[name] = None\n"
        "import cyclax as cx\n"
        "c = cx.enumerate_cycles(cx.PLRNN(A=[1 - 3e-13], W=[[0.5]], h=[-1.0]), 1, progress=False)\n"
        "assert len(c) == 2, c\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_multipliers_of_a_cycle_decided_exactly_whose_jacobians_cancel():
    """right - left has lost right: the multiplier is not that of the sum left + (right - left), which is 0."""
    left, right = -3.1732805081590633e112, 0.947880027998128
    cycles = cx.enumerate_cycles(cx.SkewTentMap(left, right, -9.228678508642422e112), 2, progress=False)
    (cycle,) = cycles.of_order(2)
    np.testing.assert_allclose(cycle.multipliers, left * right, rtol=1e-12)
    assert cycle.stability == "repeller"


def test_a_gate_that_is_closed_everywhere_is_not_opened_by_a_word():
    """Hidden unit 0 hears nothing: opened all the same, it would move every image, and there would be a cycle."""
    model = cx.ShallowPLRNN(
        A=[-2.0, 2.0],
        W1=[[2.0, -2.0, 2.0], [-1.0, 0.0, -1.0]],
        W2=[[0.0, 0.0], [2.0, 0.0], [0.0, -2.0]],
        h1=[2.0, -1.0],
        h2=[-1.0, -1.0, 2.0],
    )
    with numerics():
        bounds, accepted = affine_form(model), Verified()
        gates = np.array(list(itertools.product([False, True], repeat=3)))[:, None]
        verify_words(model, bounds, gates, accepted)
        found = Candidates({}, (), False, 0, 0, 0.0, "", {})
        search_nearby(bounds, [1, 2], found, 1.0, Budget())
    assert not accepted.cycles
    assert not np.any(np.concatenate([words[..., 0].ravel() for words in found.words.values()] or [[]]))


def test_a_fixed_point_on_a_border_that_words_of_2_cycles_meet_leaves_the_index_of_order_1_open():
    """What the words of order 2 come to counts for order 1 where that is its order."""
    model = cx.SkewTentMap(left=0.5, right=-0.5, offset=0.0)
    with numerics():
        inventory = Inventory(model, affine_form(model), [1, 2])
        inventory.verify(2, np.array([[[False], [True]]]))
        assert [entry.order for _, entry in inventory.verified[2].described] == [1]
        assert inventory.index_sum(1) is None


def test_stability_where_a_jacobian_of_1e134_is_rounded_itself():
    """Its small multiplier, of 0.63, is in digits that no entry has in float64."""
    model = cx.ClippedShallowPLRNN(
        A=[[-0.5400381206686862, 1.4053070659854097], [0.9822781182684494, -0.2032112439434223]],
        W1=[[1.854853260783155e134, 3.5111484311704913e134], [-8.220189378751359e133, 1.076904302595129e134]],
        W2=[[-0.4422198920502539, 0.1970005238481304], [-0.48520764947082673, -0.54819137550865]],
        h1=[-0.17563583390345525, 0.4970141729057168],
        h2=[1.5365004575176624, 1.4012947522617862],
    )
    (cycle,) = cx.enumerate_cycles(model, 1, progress=False)
    assert cycle.stability == "saddle"
    np.testing.assert_allclose(cycle.multipliers, [-9.8219117e133, 0.626804162], rtol=1e-8)


def test_words_of_a_stack_come_to_what_they_come_to_one_model_at_a_time():
    """A cycle, a refuted word, a fixed point on a border, a family and a 2-cycle that is none: one batch for all."""
    one = [cx.SkewTentMap(0.5, right, offset) for right, offset in ((-1.5, 1.0), (-0.5, 0.0), (-1.0, 1.0), (1.0, 0.0))]
    words = [np.array(list(itertools.product([False, True], repeat=k)))[..., None] for k in (1, 2, 3)]
    met = set()
    with numerics():
        stack = jax.tree.map(lambda *leaves: np.stack(leaves), *one)
        models = Models(stack, affine_forms(stack, len(one), 1))
        for some in words:
            owner = np.repeat(np.arange(len(one)), len(some))
            batches, ends = settle(models, owner, np.concatenate([some] * len(one)), moves=MOVES)
            kinds = np.concatenate([batch.kind for batch in batches])
            of = np.concatenate([batch.owner for batch in batches])
            keys = [word_key(word) for batch in batches for word in batch.words]
            for i, model in enumerate(one):
                known = Verified()
                names = verify_words(model, affine_form(model), some, known, moves=MOVES)
                assert names == [keys[end] if end >= 0 else None for end in ends[owner == i].tolist()]
                for kind, entries in ((CYCLE, known.cycles), (BORDER, known.borders), (FAMILY, known.families)):
                    assert {keys[row] for row in np.flatnonzero((of == i) & (kinds == kind))} == entries.keys()
                assert np.sum((kinds == REFUTED) & (of == i)) == known.rejected
            met |= set(kinds.tolist())
        assert {CYCLE, BORDER, FAMILY, REFUTED} <= met


# -- many borders at once ----------------------------------------------------------------------------------------------


def on_many_borders(shape: str) -> cx.AbstractPiecewiseLinearMap:
    """Networks without bias: 0 lies on all borders. One of them has a ray of fixed points as well, along (1, 0, ..)."""
    rng = np.random.default_rng(3)
    if shape == "a ray":
        return cx.ReLURNN(W=np.diag([1.0, 0.5, 0.3, 0.2, 0.1, -0.4]), b=np.zeros(6))
    W1, W2 = rng.normal(size=(3, 12)) / 4, rng.normal(size=(12, 3))
    return cx.ShallowPLRNN(A=[0.5, -0.3, 0.8], W1=W1, W2=W2, h1=np.zeros(3), h2=np.zeros(12))


@pytest.mark.parametrize("shape", ["0 alone", "a ray"])
def test_words_of_one_solution_on_many_borders_are_decided_together(shape, monkeypatch):
    model, decided, decide = on_many_borders(shape), [], Decider.decide
    monkeypatch.setattr(Decider, "decide", lambda self, word: decided.append(word) or decide(self, word))
    found = enumerated(model, 1, cx.Exhaustive(), None)
    together = len(decided)
    monkeypatch.setattr(verify, "TIES", np.inf)
    each = enumerated(model, 1, cx.Exhaustive(), None)
    assert together < 0.7 * (len(decided) - together)
    for cycles in (found, each):
        assert cycles.report["orders"]["1"]["verdict"] == "proved complete"
        assert not len(cycles)
        # The ray has 32 words, and is listed once.
        (entry,), ray = cycles.degenerate, shape == "a ray"
        assert (entry.kind, entry.order) == ("family" if ray else "border", 1)
        np.testing.assert_array_equal(entry.points[0, 1:], 0)
        np.testing.assert_array_equal(np.abs(entry.directions.T), np.eye(6)[:1] if ray else np.zeros((0, 3)))


def test_points_that_are_lost_in_zero_are_undecided():
    """Fixed points at +-1e-370, on both sides of a border at 0, of slopes beyond float64: 0 is neither."""
    model = cx.ClippedShallowPLRNN(
        A=[-3.592506276078516e184],
        W1=[[3.291593403546733e184, 1.6589577440178917e184]],
        W2=[[1.1245027229395885e185], [-4.2403192199333015e184]],
        h1=[0.9493967206475511],
        h2=[-1.4240327410557927, -1.0600676039530166],
    )
    cycles = cx.enumerate_cycles(model, 1, method=cx.Exhaustive(), progress=False)
    assert [round(float(cycle.points[0, 0]), 6) for cycle in cycles] == [-0.489521]
    report = cycles.report["orders"]["1"]
    assert report["verdict"] == "unknown"
    assert "below the smallest" in report["reason"]
