"""The nearest boundary of a cycle, over all weights: closed forms, and brute force in the plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import slow

import cyclax as cx


def leaves(model) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])


def fixed_point(model):
    return cx.find_cycles(model, 1, key=0)[0]


# -- closed forms -----------------------------------------------------------------------------------------------------


def test_the_skew_tent_map():
    """x* = offset / (1 - right): its border is at offset 0, its flip at right -1, its pole at right 1."""
    near_border = cx.SkewTentMap(0.5, -0.6, 0.1)
    found = cx.distance_to_bifurcation(near_border, fixed_point(near_border))
    assert (found.type, found.gate, found.step) == ("border collision", 0, 0)
    assert found.distance == pytest.approx(0.1, abs=1e-14)
    np.testing.assert_allclose(leaves(found.direction), [0, 0, -1], atol=1e-14)
    np.testing.assert_allclose(leaves(found.place), [0.5, -0.6, 0], atol=1e-14)
    assert [(one.type, round(one.distance, 12)) for one in found.nearest] == [
        ("degenerate flip", 0.4),
        ("degenerate transcritical", 1.6),
    ]
    assert found.moves == [("offset", pytest.approx(-0.1, abs=1e-14))]
    assert found.name == "border collision of gate 0 at step 0"
    assert "offset by -0.1" in repr(found)
    assert "then a degenerate flip at 0.4" in repr(found)
    near_flip = cx.SkewTentMap(0.5, -0.9, 1.3)
    found = cx.distance_to_bifurcation(near_flip, fixed_point(near_flip))
    assert (found.type, found.gate, found.step) == ("degenerate flip", None, None)
    np.testing.assert_allclose(leaves(found.direction) * found.distance, [0, -0.1, 0], atol=1e-14)


def test_a_border_that_is_curved():
    """The 2-cycle of the tent, slopes a and b: its left point (a + 1) c / (1 - a b) meets its border at a = -1, c = 0,

    and its multiplier a b is +1, -1 on hyperbolas.
    """
    tent = cx.SkewTentMap(0.4, -1.9, 1.0)
    cycle = next(c for c in cx.find_cycles(tent, 2, key=0) if c.order == 2)
    found = cx.distance_to_bifurcation(tent, cycle)
    # Points: R at x, L at y = b x + c <= 0: x = (1 + a) c / (1 - a b), y = (1 + b) c / (1 - a b).
    assert found.distance == pytest.approx(distance_to_hyperbola(0.4, -1.9), rel=1e-9)
    assert found.type == "degenerate flip"
    assert {round(one.distance, 9) for one in found.nearest} >= {0.9, 1.0}


def distance_to_hyperbola(a: float, b: float) -> float:
    """To a b = -1, by its points (e^s, -e^-s)."""
    s = np.linspace(-3, 3, 2_000_001)
    return float(np.min(np.hypot(np.exp(s) - a, -np.exp(-s) - b)))


def test_the_center_of_the_normal_form():
    """Of J = [[tau, 1], [-delta, 0]] all entries move: the nearest with det J = 1 and complex multipliers."""
    model = cx.BorderCollisionNormalForm(left=[[0.3, 1], [-0.4, 0]], right=[[0.2, 1], [-0.9, 0]], h=[1.0, 0.0])
    found = cx.distance_to_bifurcation(model, np.ones((1, 1), bool))
    assert found.type == "center"
    # Open, the gate takes the first column of `right`, and the second of `left`, as the map is continuous.
    J = np.stack([found.place.right[:, 0], found.place.left[:, 1]], axis=1)
    assert np.linalg.det(J) == pytest.approx(1, abs=1e-12)
    assert found.angle is not None
    assert 2 * np.cos(found.angle) == pytest.approx(np.trace(J), abs=1e-12)
    # The nearest matrix of determinant 1 has the singular vectors of J, and s1 s2 = 1.
    s1, s2 = np.linalg.svd(np.array([[0.2, 1], [-0.9, 0]]), compute_uv=False)
    grid = np.linspace(0.5, 2, 1_500_001)
    assert found.distance == pytest.approx(np.min(np.hypot(grid - s1, 1 / grid - s2)), rel=1e-9)


# -- brute force ------------------------------------------------------------------------------------------------------


def signature(flat: np.ndarray, word: np.ndarray) -> np.ndarray:
    """What a word of 2-D PLRNNs `(n, 8)` (A, W, h) shows, in plain NumPy: signs of heights, and of the multipliers."""
    A, W, h = flat[:, :2], flat[:, 2:6].reshape(-1, 2, 2), flat[:, 6:]
    product, shift = np.broadcast_to(np.eye(2), W.shape), np.zeros_like(h)
    held = [A[:, :, None] * np.eye(2) + W * gates for gates in word]
    for J in held:
        product, shift = J @ product, (J @ shift[:, :, None])[:, :, 0] + h
    trace, det = np.trace(product, axis1=1, axis2=2), np.linalg.det(product)
    # (I - P)^-1, by Cramer's rule, times a shift.
    x = (1 - product[:, 1, 1]) * shift[:, 0] + product[:, 0, 1] * shift[:, 1]
    y = product[:, 1, 0] * shift[:, 0] + (1 - product[:, 0, 0]) * shift[:, 1]
    with np.errstate(all="ignore"):
        point = np.stack([x, y], axis=1) / (1 - trace + det)[:, None]
        shown = []
        for J in held:
            shown += [point[:, 0] > 0, point[:, 1] > 0]
            point = (J @ point[:, :, None])[:, :, 0] + h
    outside = np.sum(np.abs(np.linalg.eigvals(product)) > 1, axis=1)
    return np.stack([*shown, 1 - trace + det > 0, 1 + trace + det > 0, outside], axis=1)


def changed(flat, origin, word) -> np.ndarray:
    """Whether places are beyond a boundary."""
    return np.any(signature(flat, word) != signature(origin[None], word), axis=1)


def brute_force(origin: np.ndarray, word: np.ndarray, rng) -> float:
    """Random directions, of which the one that meets a boundary first is varied, less and less."""

    def radii(units, most):
        shares = most * np.linspace(0, 1, 25)[1:]
        places = origin + units[:, None, :] * shares[:, None]
        beyond = changed(places.reshape(-1, 8), origin, word).reshape(len(units), -1)
        meet = np.any(beyond, axis=1)
        high = np.where(meet, shares[np.argmax(beyond, axis=1)], np.inf)
        low = high - most / 24
        for _ in range(40 if np.any(meet) else 0):
            middle = (low + high) / 2
            there = changed(origin + units * np.where(meet, middle, 0)[:, None], origin, word)
            low, high = np.where(there, low, middle), np.where(there, middle, high)
        return high

    best = np.inf
    for _ in range(8):
        units = rng.normal(size=(100, 8))
        units /= np.linalg.norm(units, axis=1)[:, None]
        found = radii(units, 6.0)
        unit, radius, spread = units[np.argmin(found)], np.min(found), 0.3
        while spread > 1e-3 and np.isfinite(radius):
            units = unit + spread * rng.normal(size=(40, 8))
            units /= np.linalg.norm(units, axis=1)[:, None]
            found = radii(units, radius)
            if np.min(found) < radius * (1 - 1e-5):
                unit, radius = units[np.argmin(found)], np.min(found)
            else:
                spread *= 0.6
        best = min(best, radius)
    return best


@pytest.mark.parametrize(
    ("first", "number"), [pytest.param(100, 2, id="few"), pytest.param(0, 50, id="many", marks=pytest.mark.slow)]
)
def test_nothing_is_nearer_in_the_plane(first, number):
    """The ball of that radius has no boundary that brute force meets, and brute force comes as near."""
    met = 0
    for seed in range(first, first + 3 * number):
        rng = np.random.default_rng(seed)
        model = cx.PLRNN(rng.uniform(-0.9, 0.9, 2), rng.normal(size=(2, 2)), rng.normal(size=2))
        cycles = cx.find_cycles(model, 3, key=0)
        if not len(cycles) or met == number:
            continue
        met += 1
        word, origin = cycles[-1].gates, leaves(model)
        found = cx.distance_to_bifurcation(model, cycles[-1])
        unit = leaves(found.direction)
        assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-12)
        way = found.distance * np.linspace(0, 1 - 1e-8, 200)[:, None]
        assert not np.any(changed(origin + way * unit, origin, word))
        assert np.all(changed((origin + unit * (found.distance * (1 + 1e-8) + 1e-11))[None], origin, word))
        assert found.unreached == ()
        radius = brute_force(origin, word, rng)
        assert found.distance * (1 - 1e-9) < radius < found.distance * 1.03, seed
    assert met == number


def test_a_budget_ends_it_and_the_result_says_so():
    """Of a network of 64 units little is known at once, of which the linear estimate is the least; more with time."""
    rng = np.random.default_rng(0)
    weights = 0.3 * rng.normal(size=(64, 64)) / 8
    model = cx.PLRNN(rng.uniform(0.2, 0.8, 64), weights, rng.normal(size=64))
    whole = cx.distance_to_bifurcation(model, fixed_point(model))  # compiles
    assert whole.interrupted is None
    first = cx.distance_to_bifurcation(model, fixed_point(model), seconds=1e-9)
    assert "the time budget of 1e-09 s ran out" in str(first.interrupted)
    assert "STOPPED EARLY" in repr(first)
    assert first.distance == pytest.approx(whole.distance, rel=0.05)
    assert (first.type, first.gate) == (whole.type, whole.gate)
    assert np.linalg.norm(leaves(first.place) - leaves(model)) == pytest.approx(first.distance, rel=1e-9)
    assert cx.distance_to_bifurcation(model, fixed_point(model), seconds=1e3).interrupted is None
    with pytest.raises(ValueError, match="seconds"):
        cx.distance_to_bifurcation(model, fixed_point(model), seconds=0)


@pytest.mark.parametrize(
    ("model", "word", "kind"),
    [
        # x' = x / 2 + c, or -2 x + c where x > 0: stable on one side, a flip saddle with a 2-cycle on the other.
        (cx.SkewTentMap(0.5, -2.0, -0.1), [[0]], "flip"),
        (cx.SkewTentMap(0.5, 1.5, -0.1), [[0]], "fold"),
        (cx.SkewTentMap(0.5, -0.4, -0.1), [[0]], "persistence"),
    ],
)
def test_borders_that_are_only_crossed_are_harmless(model, word, kind):
    found = cx.distance_to_bifurcation(model, np.array(word, bool))
    assert found.type == "border collision"
    assert found.harmless == (kind == "persistence")
    assert not any(one.harmless for one in found.nearest if one.type != "border collision")


@pytest.mark.parametrize("A", [[-1.0, -1.0], [-1.0, -1.0, 0.5]])
def test_a_double_multiplier_minus_one_is_a_boundary_met(A):
    """No null vector is the one, and the slope of none of the tests is."""
    model = cx.PLRNN(A, np.zeros((len(A), len(A))), np.ones(len(A)))
    found = cx.distance_to_bifurcation(model, cx.enumerate_cycles(model, 1, progress=False)[0])
    assert (found.distance, found.type) == (0.0, "degenerate flip")
    unit = leaves(found.direction)
    assert np.linalg.norm(unit) == pytest.approx(1)
    # Along it one of the two passes -1.
    moved = [A + side * 1e-3 * unit[: len(A)] for side in (-1, 1)]
    assert sorted(int(np.sum(values < -1)) for values in moved) == [0, 1]


def test_cycles_that_are_none_of_the_model_alone_are_refused():
    model = cx.RateRNN([[0.6, -1.2], [-1.2, 0.6]], [0.5, 0.5], 0.5, C=[[1.0], [-1.0]])
    driven = cx.find_cycles(model, 1, key=0, inputs=[[0.5], [0.0], [-0.3]], progress=False)[0]
    alone = cx.find_cycles(model, 1, key=0, progress=False)[0]
    for verb in (cx.distance_to_bifurcation, lambda *given: cx.continue_cycle(*given, "b[0]", [0.0, 1.0])):
        with pytest.raises(ValueError, match=r"cycle: it is of a driven network \(3 steps, order 1\)"):
            verb(model, driven)
        with pytest.raises(ValueError, match="cycle: its 3 rows repeat the first 1: give these"):
            verb(model, np.tile(alone.gates, (3, 1)))


# -- as a function ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("A", "W", "h", "kind"),
    [
        ([0.5, 0.6], [[0.0, -0.8], [0.4, 0.0]], [0.3, 0.2], "border collision"),
        slow([0.5, 0.6], [[0.3, 0.1], [0.2, 0.2]], [0.9, 0.8], "degenerate transcritical"),
        slow([0.5, 0.6], [[-1.2, 0.3], [0.2, -0.4]], [1.9, 0.9], "degenerate flip"),
        slow([0.5, 0.6], [[0.0, -0.9], [0.6, 0.0]], [3.0, 0.2], "center"),
    ],
)
def test_its_derivative_is_minus_the_direction_and_that_of_finite_differences(A, W, h, kind):
    model = cx.PLRNN(A, W, h)
    found = cx.distance_to_bifurcation(model, fixed_point(model))
    assert found.type == kind
    with jax.enable_x64(True):
        value, slope = jax.jit(jax.value_and_grad(found.of))(model)
        assert value == pytest.approx(found.distance, rel=1e-9)
        np.testing.assert_allclose(leaves(slope), -leaves(found.direction), atol=1e-5)
        rng = np.random.default_rng(0)
        along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), model)
        moved = [jax.tree.map(lambda leaf, d, t=t: leaf + t * d, model, along) for t in (-1e-4, 1e-4)]
        # Found anew, not by the function itself.
        anew = [cx.distance_to_bifurcation(m, fixed_point(m)).distance for m in moved]
        assert (anew[1] - anew[0]) / 2e-4 == pytest.approx(leaves(slope) @ leaves(along), rel=1e-5, abs=1e-6)
        # Beyond the boundary it is negative, with the same slope.
        beyond = jax.tree.map(lambda leaf, d: leaf + (found.distance + 1e-3) * d, model, found.direction)
        value, slope = jax.value_and_grad(found.of)(beyond)
        assert value == pytest.approx(-1e-3, rel=1e-3)
        np.testing.assert_allclose(leaves(slope), -leaves(found.direction), atol=1e-2)


# -- what has no plain answer -----------------------------------------------------------------------------------------


def test_symmetric_networks_have_two_nearest_boundaries():
    model = cx.PLRNN(A=[0.5, 0.5], W=[[0.0, -0.2], [-0.2, 0.0]], h=[0.1, 0.1])
    found = cx.distance_to_bifurcation(model, fixed_point(model))
    assert found.nearest[0].distance == pytest.approx(found.distance, rel=1e-12)
    assert {found.gate, found.nearest[0].gate} == {0, 1}
    assert "as near is a border collision of gate" in repr(found)


def test_inert_gates_have_no_borders():
    """The second unit is linear: its gate switches nothing, however near its border is."""
    model = cx.PLRNN(A=[0.5, 0.5], W=[[-0.3, 0.0], [0.0, 0.0]], h=[0.3, 1e-3])
    found = cx.distance_to_bifurcation(model, fixed_point(model))
    assert found.distance > 0.1
    assert all(one.gate != 1 for one in (found, *found.nearest))


class Fixed(cx.AbstractPiecewiseLinearMap):
    """x' = 1/2 - |x| / 4, and a weight that does nothing."""

    weight: np.ndarray

    @property
    def num_states(self):
        return 1

    def preactivations(self, z):
        return z

    def step(self, z, gates):
        return 0.5 + z / 4 - jnp.where(gates, z, 0) / 2 + 0 * self.weight


def test_weights_that_do_nothing_are_told():
    model = Fixed(np.ones(1))
    with pytest.raises(ValueError, match="no weight of this model moves any test"):
        cx.distance_to_bifurcation(model, fixed_point(model))


WINDOW = [(0.0, 1.0), (-2.0, 0.0)]


@pytest.mark.parametrize(
    "verb",
    [
        cx.distance_to_bifurcation,
        lambda model, cycle: cx.continue_cycle(model, cycle, "left", [0.4, 0.6]),
        lambda model, cycle: cx.trace(
            model, cycle, ("left", "right"), event="degenerate flip", window=[(0, 1), (-2, 0)]
        ),
    ],
    ids=["distance", "continue", "trace"],
)
def test_several_cycles_or_other_things_for_one_are_told(verb):
    model = cx.SkewTentMap(0.5, -1.5, 1.0)
    cycles = cx.find_cycles(model, 2, key=0)
    for several in (cycles, list(cycles)):
        with pytest.raises(ValueError, match=f"cycle: one is meant, and this is a list of {len(cycles)}: give cycles"):
            verb(model, several)
    for other, shown in (
        (3, "got 3"),
        (np.ones((1, 3)), r"got shape \(1, 3\)"),
        (cycles[0].points, r"got shape \(1, 1\) of float64"),
        ([[0], [0, 1]], r"got \[\[0\]"),
    ):
        with pytest.raises(ValueError, match=rf"cycle: expected a Cycle or gates .* of shape \(k, 1\), {shown}"):
            verb(model, other)


def test_a_distance_is_of_models_of_its_shape():
    model = cx.SkewTentMap(0.5, -0.6, 0.1)
    found = cx.distance_to_bifurcation(model, cx.enumerate_cycles(model, 1, progress=False)[0])
    for other in (cx.TentMap(1.5), jax.tree.map(lambda leaf: np.stack([leaf, leaf]), model)):
        with pytest.raises(ValueError, match=r"that of this distance is SkewTentMap .* and the one given is"):
            found.of(other)


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, lambda f: lambda a: jax.vmap(f)(a[None])])
@pytest.mark.parametrize(
    "verb",
    [
        lambda model, word: cx.distance_to_bifurcation(model, word),
        lambda model, word: cx.find_cycles(model, 1, key=0),
        lambda model, word: cx.attractors(model, 3, key=0),
        lambda model, word: cx.compare(model, model, [word], [word]),
    ],
)
def test_verbs_are_not_traced(verb, transform):
    with pytest.raises(TypeError, match=r"left is traced by jax.jit, jax.vmap or jax.grad.*: call it outside"):
        transform(lambda left: verb(cx.SkewTentMap(left, -0.6, 0.1), np.ones((1, 1), bool)))(jnp.array(0.5))


def test_a_word_that_is_no_cycle_is_refused():
    model = cx.SkewTentMap(0.5, -0.6, 0.1)
    with pytest.raises(ValueError, match="is no cycle of this model"):
        cx.distance_to_bifurcation(model, np.zeros((1, 1), bool))
