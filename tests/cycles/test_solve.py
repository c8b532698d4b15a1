"""Linear algebra against dense NumPy, and words against their closed forms."""

import jax
import numpy as np
import pytest
from conftest import over_kinds

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles.multipliers import multipliers_of, sound_multipliers
from cyclax.cycles.solve import BlockCyclic, solve_words
from cyclax.maps.affine import affine_form, affine_forms, itineraries
from cyclax.search.linear import UNROLLED_SIZE, solve_cyclic, solve_lanes
from cyclax.search.newton import compose, met


@pytest.fixture(autouse=True)
def _float64():
    with numerics():
        yield


@pytest.mark.parametrize("size", [1, 2, 3, 7, UNROLLED_SIZE, UNROLLED_SIZE + 1])
def test_solve_lanes(size):
    rng = np.random.default_rng(size)
    matrix, right = rng.normal(size=(size, size, 20)), rng.normal(size=(size, 20))
    if size > 1:
        matrix[0, 0, :5] = 0  # elimination must pivot
    solution, singular = jax.jit(solve_lanes)(matrix, right)
    assert not np.any(singular)
    expected = np.linalg.solve(np.moveaxis(matrix, -1, 0), right.T[..., None])[..., 0].T
    np.testing.assert_allclose(solution, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, UNROLLED_SIZE + 1])
def test_solve_lanes_tells_singular_ones(size):
    matrix = np.random.default_rng(0).normal(size=(size, size, 3))
    matrix[:, -1, 1] = 0
    _, singular = jax.jit(solve_lanes)(matrix, np.ones((size, 3)))
    np.testing.assert_array_equal(singular, [False, True, False])


@pytest.mark.parametrize("size", [UNROLLED_SIZE + 1, 30])
def test_solve_lanes_needs_no_library_on_tpus(monkeypatch, size):
    """LU factorizations of 64 bits do not compile there, of no size."""
    rng = np.random.default_rng(size)
    lanes = 60
    matrix, right = rng.normal(size=(size, size, lanes)), rng.normal(size=(size, lanes))
    matrix[0, 0, :30] = 0  # elimination must pivot
    matrix[..., 10:20] *= 10.0 ** rng.uniform(-4, 4, (size, 1, 10))  # rows of very different sizes,
    matrix[..., 20:30] *= 10.0 ** rng.uniform(-3, 3, (size, 10))  # or columns
    matrix[..., 30:40] *= 1e140
    matrix[:, -1, 40:45], matrix[3, :, 45:50], matrix[2, 2, 50:55] = 0, matrix[7, :, 45:50], np.nan
    programs = {}
    for device in ("cpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda device=device: device)
        # A function of its own, as what was traced is kept, whatever the device.
        programs[device] = jax.jit(lambda *system: solve_lanes(*system)).trace(matrix, right)
    assert [" lu " in str(program.jaxpr) for program in programs.values()] == [True, False]
    solution, singular = programs["tpu"].lower().compile()(matrix, right)
    np.testing.assert_array_equal(singular, (np.arange(lanes) >= 40) & (np.arange(lanes) < 55))
    for lane in np.flatnonzero(~singular):
        wanted = np.linalg.solve(matrix[..., lane], right[:, lane])
        # Both are off by roundings, as many as the condition number says.
        bound = 1e-14 * np.linalg.cond(matrix[..., lane]) * np.max(np.abs(wanted))
        np.testing.assert_allclose(solution[:, lane], wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("where", ["kernel", "host"])
@pytest.mark.parametrize(("size", "order"), [(1, 1), (2, 1), (2, 2), (3, 7), (2, 60), (UNROLLED_SIZE + 1, 3)])
def test_block_cyclic_against_dense(size, order, where):
    rng = np.random.default_rng(0)
    jacobians = rng.normal(size=(4, order, size, size))
    right = rng.normal(size=(4, order, size, 2))
    if where == "host":
        solution = BlockCyclic(jacobians).solve(right)
    else:
        lanes_last = np.moveaxis(jacobians, (0, 1), (3, 2))
        both = [solve_cyclic(lanes_last, np.moveaxis(right[..., r], (0, 1), (2, 1))) for r in range(2)]
        assert not any(np.any(singular) for _, singular in both)
        solution = np.stack([np.moveaxis(np.asarray(x), (2, 1), (0, 1)) for x, _ in both], axis=-1)
    for n in range(4):
        dense = np.zeros((order * size, order * size))
        for t in range(order):
            rows, following = slice(t * size, (t + 1) * size), (t + 1) % order
            dense[rows, following * size : (following + 1) * size] += np.eye(size)
            dense[rows, rows] -= jacobians[n, t]
        expected = np.linalg.solve(dense, right[n].reshape(order * size, 2)).reshape(order, size, 2)
        np.testing.assert_allclose(solution[n], expected, rtol=1e-8, atol=1e-8)


def test_block_cyclic_where_the_product_overflows():
    jacobians = np.broadcast_to(np.diag([1e6, 1e-6]), (1, 100, 2, 2))
    right = np.random.default_rng(0).normal(size=(1, 100, 2, 1))
    system = BlockCyclic(jacobians)
    solution = system.solve(right)
    defect = np.roll(solution, -1, axis=1) - jacobians @ solution - right
    assert not system.singular[0]
    assert np.max(np.abs(defect)) < 1e-9


def test_block_cyclic_kernel_where_the_product_overflows():
    jacobians = np.broadcast_to(np.diag([1e6, 1e-6])[:, :, None, None], (2, 2, 100, 3)).copy()
    jacobians[..., 2] = 0
    jacobians[..., :, 1] = np.eye(2)[:, :, None]  # a singular lane among regular ones
    right = np.random.default_rng(0).normal(size=(2, 100, 3))
    solution, singular = solve_cyclic(jacobians, right)
    defect = np.roll(solution, -1, axis=1) - np.einsum("ijsl,jsl->isl", jacobians, solution) - right
    assert np.asarray(singular).tolist() == [False, True, False]
    assert np.max(np.abs(defect[..., [0, 2]])) < 1e-9


@over_kinds()
def test_compose_is_the_jacobian_of_the_iterate(model):
    z = np.random.default_rng(0).normal(size=(model.num_states, 5))
    image, product, words = compose(model, z[:, None], 4, met)
    image, product = image[:, 0], product[:, :, 0]
    iterate = lambda z: model(model(model(model(z))))  # noqa: E731
    for lane in range(5):
        np.testing.assert_allclose(image[:, lane], iterate(z[:, lane]), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(product[..., lane], jax.jacfwd(iterate)(z[:, lane]), rtol=1e-10, atol=1e-10)
    gates, _ = itineraries(model, z.T[:, None], 4)
    same_word = [[np.array_equal(a, b) for a in gates] for b in gates]
    np.testing.assert_array_equal(np.equal.outer(np.asarray(words), np.asarray(words)), same_word)


def test_words_of_the_skew_tent_map_in_closed_form():
    left, right, offset = 0.5, -3.0, 1.0
    model = cx.SkewTentMap(left=left, right=right, offset=offset)
    words = np.array([[[False], [True]], [[True], [False]]])
    solutions = solve_words(model, words, affine_form(model))
    x = offset * (1 + right) / (1 - left * right)  # x <= 0 first: x -> left x + offset -> right (..) + offset
    y = left * x + offset
    np.testing.assert_allclose(solutions.points[:, :, 0], [[x, y], [y, x]], rtol=1e-14)
    np.testing.assert_allclose(solutions.multipliers[:, 0], [left * right] * 2, rtol=1e-14)
    np.testing.assert_allclose(solutions.margin, min(abs(x), abs(y)), rtol=1e-14)
    assert solutions.met.tolist() == [True, True]
    assert np.all(solutions.residual < 1e-15)


def test_virtual_words_are_told():
    model = cx.SkewTentMap(left=0.5, right=-3.0, offset=1.0)
    fixed = solve_words(model, np.array([[[False]], [[True]]]), affine_form(model))
    # x = offset / (1 - left) = 2 > 0 belongs to the other side; x = offset / (1 - right) = 1/4 is real.
    np.testing.assert_allclose(fixed.points[:, 0, 0], [2, 0.25])
    assert fixed.met.tolist() == [False, True]


def test_inert_gates_do_not_matter():
    model = cx.PLRNN(A=[0.5, 0.4, 0.3], W=[[0.2, 0, 0.1], [0.3, 0, 0.2], [0, 0, 0.5]], h=[1, 2, 3])
    shallow = cx.ShallowPLRNN(A=[0.5], W1=[[1.0, 2.0]], W2=[[0.0], [1.0]], h1=[0], h2=[1, 1])
    assert affine_form(model).effective.tolist() == [True, False, True]  # column 1 of W is zero
    assert affine_form(shallow).effective.tolist() == [False, True]  # row 0 of W2 is zero
    assert np.all(affine_form(cx.LoziMap(1.7, 0.5)).effective)


def test_borders_give_the_jacobians(model):
    bounds = affine_form(model)
    z = np.random.default_rng(0).normal(size=(5, model.num_states))
    gates = z @ bounds.gradients.T + bounds.offsets > 0
    jacobians = np.stack([jax.jacfwd(model)(x) for x in z])
    np.testing.assert_allclose(bounds.jacobians(gates), jacobians, atol=1e-12)


def test_the_error_bound_holds_for_expanding_cycles():
    mpmath = pytest.importorskip("mpmath")
    model = cx.LoziMap(1.7, 0.5)
    words = np.random.default_rng(1).random((20, 30, 1)) > 0.5
    solutions = solve_words(model, words, affine_form(model))
    with mpmath.workdps(60):
        a, b = mpmath.mpf(model.a.item()), mpmath.mpf(model.b.item())
        for word, points, error in zip(words[..., 0], solutions.points, solutions.error, strict=True):
            P, q = mpmath.eye(2), mpmath.zeros(2, 1)
            for gate in word:
                J = mpmath.matrix([[-a if gate else a, 1], [b, 0]])
                P, q = J * P, J * q + mpmath.matrix([1, 0])
            exact = mpmath.lu_solve(mpmath.eye(2) - P, q)
            off = [abs(exact[i] - mpmath.mpf(float(points[0, i]))) for i in range(2)]
            assert max(off) <= error < 1e-9


@pytest.mark.parametrize(("size", "order"), [(2, 100), (2, 200), (5, 60), (3, 40)])
def test_multipliers_where_the_product_loses_its_digits(size, order):
    """Against 400 digits; the product of float64 keeps no digit of the small ones."""
    mpmath = pytest.importorskip("mpmath")
    jacobians = np.random.default_rng(0).normal(size=(3, order, size, size)) * 1.6
    product = jacobians[:, 0]
    for t in range(1, order):
        product = jacobians[:, t] @ product
    values = multipliers_of(jacobians, product)
    with mpmath.workdps(400):
        for n in range(3):
            exact = mpmath.eye(size)
            for t in range(order):
                exact = mpmath.matrix(jacobians[n, t].tolist()) * exact
            left = list(mpmath.eig(exact, left=False, right=False))
            for value in values[n]:
                nearest = min(left, key=lambda e: abs(e - mpmath.mpc(complex(value))))
                assert abs(nearest - mpmath.mpc(complex(value))) < 1e-8 * abs(nearest)
                left.remove(nearest)
            smallest = min(abs(e) for e in mpmath.eig(exact, left=False, right=False))
            assert abs(min(abs(np.linalg.eigvals(product[n]))) - smallest) > 0.5 * smallest


def test_multipliers_of_a_singular_product():
    jacobians = np.zeros((1, 50, 3, 3))
    jacobians[..., 0, 0], jacobians[..., 0, 1] = 3.0, 1.0
    values = multipliers_of(jacobians, np.full((1, 3, 3), 1e20))
    np.testing.assert_allclose(values[0], [3.0**50, 0, 0], rtol=1e-12)


def test_no_words_have_no_solutions():
    model = cx.LoziMap(1.7, 0.5)
    with numerics():
        solutions = solve_words(model, np.zeros((0, 3, 1), bool), affine_form(model))
    assert solutions.points.shape == (0, 3, 2)
    assert solutions.met.shape == (0,)


def test_a_stack_of_models_equals_a_loop():
    rng = np.random.default_rng(0)
    shapes = dict(A=3, W1=(3, 5), W2=(5, 3), h1=3, h2=5)
    models = [cx.ShallowPLRNN(**{name: rng.normal(size=size) / 2 for name, size in shapes.items()}) for _ in range(7)]
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *models)
    words, owner = rng.random((40, 4, 5)) > 0.5, rng.integers(7, size=40)
    with numerics():
        bounds = affine_forms(stack, 7, 3)
        together = solve_words(stack, words, bounds, owner)
        for i in range(40):
            model = models[owner[i]]
            alone = solve_words(model, words[i : i + 1], affine_form(model))
            for name, one, other in zip(alone._fields, alone, together, strict=True):
                np.testing.assert_allclose(other[i], one[0], rtol=1e-6 if name == "error" else 1e-9, atol=1e-12)


@pytest.mark.parametrize("power", [20, 100])
@pytest.mark.parametrize("order", [2, 3])
def test_multipliers_of_factors_with_large_and_small_columns(power, order):
    """The product of triangles with 10^power and 1/2 on their diagonals, in turned coordinates."""
    rng = np.random.default_rng(order)
    steps = np.triu(rng.normal(size=(order, 2, 2)), 1) + np.diag([1.0, 0.5])
    steps[:, :, 0] *= 10.0**power
    expected = np.array([10.0 ** (power * order), 0.5**order])
    with np.errstate(all="ignore"):
        product = steps[0]
        for step in steps[1:]:
            product = step @ product
        values = sound_multipliers(steps, multipliers_of(steps[None], product[None])[0])
        np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_stability_of_a_2_cycle_with_weights_of_1e141_is_that_of_all_its_multipliers():
    """z_1 is multiplied by -1e141 and 1/2 in turn, z_2 by 1/2 where z_1 alone couples into it."""
    model = cx.PLRNN(A=[0.5, 0.5], W=[[-1e141, 0.0], [1e141, 0.0]], h=[1.0, 0.0])
    for cycle in cx.find_cycles(model, 2, key=0, finder=cx.SCYFI(starts=256), progress=False):
        assert cycle.stability == "saddle"
        np.testing.assert_allclose(np.min(np.abs(cycle.multipliers)), 0.5**cycle.order, rtol=1e-9)
