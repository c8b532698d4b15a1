"""The references themselves: closed forms, plain NumPy, and the library's own maps at single points."""

import itertools

import flint
import jax
import numpy as np
import pytest

import cyclax as cx

from .exact_map import ExactMap
from .judge import number_of
from .networks import SHAPES, STYLES, network
from .rationals import climb, deepest, rational, relative_interior, solve_affine
from .reference import Reference, necklaces
from .transforms import TRANSFORMS, changed


def fractions(*values) -> list[flint.fmpq]:
    return [rational(value) for value in values]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", ["gauss", "half-integer", "dead", "duplicated"])
def test_formula_is_that_of_the_class(shape, style):
    model = network(1, 0, shape, style).model
    exact = ExactMap(model)
    with jax.enable_x64(True):
        for state in np.random.default_rng(0).normal(size=(8, model.num_states)) * 3:
            image = [number_of(x) for x in exact.image(fractions(*state))]
            np.testing.assert_allclose(image, model(state), rtol=1e-12, atol=1e-12)
            gates = np.asarray(model.preactivations(state) > 0)[exact.matters]
            assert [bool(height > 0) for height in exact.heights(fractions(*state))] == gates.tolist()


def test_necklaces_are_all_words_up_to_rotation():
    for letters, length in itertools.product((1, 2, 3), (1, 2, 3, 4, 6)):
        smallest = {
            min(word[i:] + word[:i] for i in range(length)) for word in itertools.product(range(letters), repeat=length)
        }
        assert list(necklaces(letters, length)) == sorted(smallest)


def test_linear_programs():
    # x + y <= 2, x >= 0, y >= 0: 3 x + y is largest at (2, 0), but for the cap.
    rows = [fractions(2, -1, -1), fractions(0, 1, 0), fractions(0, 0, 1)]
    assert climb(rows, fractions(0, 3, 1), rational(100)) == (6, [2, 0])
    assert climb(rows, fractions(0, 3, 1), rational(1))[0] == 1
    assert deepest(rows, 2)[0] == rational(2) / 3
    assert deepest([fractions(-1, 1), fractions(0, -1)], 1)[0] == rational(-1) / 2
    # x >= 0 and x <= 0, y free: a line, with points in its relative interior.
    flat = [fractions(0, 1, 0), fractions(0, -1, 0)]
    assert deepest(flat, 2)[0] == 0
    place, directions = relative_interior(flat, fractions(0, 0))
    assert place[0] == 0
    assert directions == [[0, 1]]
    assert solve_affine(flint.fmpq_mat([[1, 1]]), flint.fmpq_mat([[2]])) == ([2, 0], [[-1, 1]])
    assert solve_affine(flint.fmpq_mat([[1, 1], [1, 1]]), flint.fmpq_mat([[2], [3]])) is None


def test_tent_map_has_a_cycle_for_every_aperiodic_necklace():
    reference = Reference(cx.TentMap(2.0))
    assert reference.most >= 10
    assert [len(reference.order(k).cycles) for k in range(1, 11)] == [2, 1, 2, 3, 6, 9, 18, 30, 56, 99]


def test_lozi_map_in_closed_form():
    a, b = 1.75, 0.5
    reference = Reference(cx.LoziMap(a, b))
    points = sorted(number_of(s.points[0][0]) for s in reference.order(1).cycles.values())
    assert points == pytest.approx([1 / (1 - a - b), 1 / (1 + a - b)], rel=1e-15)
    (two,) = reference.order(2).cycles.values()
    # x_1 = 1 - a x_0 + y_0 and x_0 = 1 + a x_1 + y_1 with y = b x of the step before, for x_0 > 0 > x_1.
    expected = np.linalg.solve([[a, 1 - b], [1 - b, -a]], [1, 1])
    assert sorted(number_of(p[0]) for p in two.points) == pytest.approx(sorted(expected), rel=1e-14)
    assert len(reference.order(3).cycles) == 0


@pytest.mark.parametrize("seed", range(4))
def test_plrnn_agrees_with_plain_numpy(seed):
    rng = np.random.default_rng(seed)
    A, W, h = rng.normal(size=2), 1.5 * rng.normal(size=(2, 2)), rng.normal(size=2)
    reference = Reference(cx.PLRNN(A=A, W=W, h=h))
    regions = list(itertools.product([0.0, 1.0], repeat=2))
    for order in (1, 2, 3):
        found = 0
        for word in itertools.product(regions, repeat=order):
            P, q = np.eye(2), np.zeros(2)
            for gates in word:
                J = np.diag(A) + W * np.array(gates)
                P, q = J @ P, J @ q + h
            z = np.linalg.solve(np.eye(2) - P, q)
            real = True
            for gates in word:
                real &= bool(np.all((z > 0) == np.array(gates, bool)))
                z = A * z + W @ np.maximum(z, 0) + h
            found += real and all(word[i:] + word[:i] != word for i in range(1, order))
        assert len(reference.order(order).cycles) == found / order


def test_families_and_their_generic_periods():
    minus = Reference(cx.PLRNN(A=[-1.0, -1.0], W=np.zeros((2, 2)), h=[0.0, 0.0]))
    assert (len(minus.order(1).cycles), len(minus.order(1).families)) == (1, 0)
    assert [s.dimension for s in minus.order(2).families.values()] == [2]
    one = Reference(cx.PLRNN(A=[1.0, 1.0], W=np.zeros((2, 2)), h=[0.0, 0.0]))
    assert [s.dimension for s in one.order(1).families.values()] == [2]
    assert not one.order(2).families
    quarter = Reference(cx.PLRNN(A=[[0.0, -1.0], [1.0, 0.0]], W=np.zeros((2, 2)), h=[0.0, 0.0]))
    assert [len(quarter.order(k).families) for k in (1, 2, 3, 4)] == [0, 0, 0, 1]
    P = np.zeros((5, 5))
    P[:2, :2], P[2:, 2:] = np.roll(np.eye(2), 1, 0), np.roll(np.eye(3), 1, 0)
    permuting = Reference(cx.PLRNN(A=P, W=np.zeros((5, 5)), h=np.zeros(5)))
    dimensions = {k: [s.dimension for s in permuting.order(k).families.values()] for k in range(1, 7)}
    assert dimensions == {1: [2], 2: [3], 3: [4], 4: [], 5: [], 6: [5]}


def test_borders_and_rims():
    # 0 is on the border of x' = 2 x (x <= 0), -2 x (x > 0).
    (border,) = Reference(cx.SkewTentMap(2.0, -2.0, 0.0)).order(1).borders
    assert border.points == ((0,),)
    assert not border.inert
    # z_1 is kept, and z_2 relaxes to 0: a line of fixed points on the border of gate 2, of which only rays have words.
    truth = Reference(cx.PLRNN(A=[1.0, 0.5], W=[[0.0, 0.0], [0.0, -0.25]], h=[0.0, 0.0])).order(1)
    assert not truth.families
    assert [s.dimension for s in truth.rims] == [1]
    # Two units that cancel: the map is the same on both sides of their border.
    shallow = cx.ShallowPLRNN(A=[0.5], W1=[[1.0, -1.0]], W2=[[1.0], [1.0]], h1=[0.0], h2=[0.0, 0.0])
    (border,) = Reference(shallow).order(1).borders
    assert border.inert


def test_multipliers_are_eigenvalues():
    rng = np.random.default_rng(3)
    model = cx.PLRNN(A=rng.normal(size=(3, 3)), W=rng.normal(size=(3, 3)), h=rng.normal(size=3))
    exact = ExactMap(model)
    word = ((True, False, True), (False, False, True))
    product = (model.A + model.W * [0, 0, 1]) @ (model.A + model.W * [1, 0, 1])
    roots = [complex(float(r.real.mid()), float(r.imag.mid())) for r in exact.multipliers(word)]
    np.testing.assert_allclose(np.sort_complex(roots), np.sort_complex(np.linalg.eigvals(product)), rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_style_draws_every_shape_and_the_same_again(shape):
    for style in STYLES:
        first, second = (network(5, 3, shape, style) for _ in range(2))
        assert first.code() == second.code()
        again = eval(first.code(), {"cx": cx})
        assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(first.model)))


def test_every_change_is_made_of_some_network():
    made = {
        name: sum(
            changed(name, network(2, i, shape, "half-integer").model, np.random.default_rng(i)) is not None
            for i, shape in enumerate(SHAPES)
        )
        for name in TRANSFORMS
    }
    assert min(made.values()) >= 5, made
