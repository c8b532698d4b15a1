"""Parameters and grids: what moves, and what is refused."""

import jax
import numpy as np
import pytest

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.grids.grid import ParameterGrid

MODEL = cx.PLRNN(A=[0.5, 0.6], W=[[0.0, 0.7], [0.8, 0.0]], h=[0.1, 0.2])


def test_an_entry_is_replaced_or_moved():
    grid = ParameterGrid(
        MODEL, {cx.Parameter("A", 0): [1.0, 2.0], cx.Parameter("W", 0, 1, offset=True): [-0.1, 0.0, 0.1]}
    )
    model = grid.at(5)
    np.testing.assert_allclose(model.A, [2.0, 0.6])
    np.testing.assert_allclose(model.W, [[0.0, 0.8], [0.8, 0.0]])
    np.testing.assert_array_equal(model.h, MODEL.h)
    assert grid.names == ("A[0]", "W[0,1]")
    np.testing.assert_allclose(grid.values(np.array([5])), [[2.0, 0.1]])


def test_names_and_functions():
    shared = cx.Parameter("slope", set=lambda m, a: cx.PLRNN(A=jax.numpy.stack([a, a]), W=m.W, h=m.h))
    np.testing.assert_allclose(ParameterGrid(MODEL, {shared: [0.1, 0.3]}).at(1).A, [0.3, 0.3])
    assert cx.Parameter.parse(" W[0, 1] ") == cx.Parameter("W", 0, 1)
    assert cx.Parameter.parse("slope").name == "slope"
    assert len({cx.Parameter("A", 0), cx.Parameter("A", 0), cx.Parameter("A", 0, offset=True)}) == 2
    assert ParameterGrid(cx.TentMap(1.5), {"slope": [1.0, 1.2]}).at(1).slope == 1.2
    assert repr(cx.Parameter("A", 0, offset=True)) == "Parameter(A[0] (offset))"


def test_entries_are_moved_as_functions_move_them():
    values = {"W[0,1]": [5.0, 6.0], "A[0]": np.linspace(0.1, 0.3, 3), "h[1]": [1, 2]}
    offsets = {cx.Parameter.parse(name, offset=name == "A[0]"): some for name, some in values.items()}
    grid = ParameterGrid(MODEL, offsets)
    for cell in range(grid.size):
        expected = MODEL
        with numerics():
            for parameter, value in zip(offsets, grid.values(np.array([cell]))[0], strict=True):
                expected = parameter.apply(expected, value)
        for leaf, other in zip(jax.tree.leaves(grid.at(cell)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(leaf, other)
            assert leaf.dtype == np.float64


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "expected a dict"),
        ([("A[0]", [1.0])], "expected a dict"),
        ({"B[0]": [1.0]}, "PLRNN has no weight 'B', but A, W, h"),
        ({"A[2]": [1.0]}, r"A has shape \(2,\)"),
        ({"A": [1.0]}, r"A has shape \(2,\)"),
        ({"A[0": [1.0]}, "is no parameter"),
        ({"A[0]": [1.0, np.nan]}, r"A\[0\]: value 1 is nan"),
        ({"A[0]": [1.0, 1.0]}, "must all rise or all fall"),
        ({"A[0]": [1.0, 3.0, 2.0]}, "must all rise or all fall"),
        ({"A[0]": 1.0}, "expected a 1-D array"),
        ({"A[0]": [1.0, 2.0j]}, r"A\[0\]: expected real numbers, got an array of complex128"),
        ({"A[0]": ["1.0", "x"]}, r"A\[0\]: expected real numbers, got an array of <U3"),
        ({"A[0]": [1.0], cx.Parameter("A", -2): [1.0]}, "are the same entry"),
        ({"A[0]": [1.0], cx.Parameter("A", 0, offset=True): [1.0]}, "are the same entry"),
        ({("A", 0): [1.0]}, r"\('A', 0\) is no parameter; expected cx.Parameter\('A', 0\)"),
        ({cx.Parameter("a", set=lambda m, a: float(a)): [1.0]}, "written with jax.numpy"),
        (
            {cx.Parameter("a", set=lambda m, a: cx.PLRNN(A=m.A, W=m.W, h=m.h * jax.numpy.log(a))): [2.0, 1.0, -1.0]},
            "the model at a = -1 holds NaN or inf",
        ),
        ({cx.Parameter("a", set=lambda m, a: m.A * a): [1.0]}, "a model of the same class"),
        (
            {cx.Parameter("a", set=lambda m, a: m): [1.0], cx.Parameter("a", set=lambda m, a: m): [2.0]},
            "have the same name",
        ),
    ],
)
def test_bad_grids(axes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ParameterGrid(MODEL, axes)


def test_bad_parameters():
    with pytest.raises(TypeError, match="name of a weight"):
        cx.Parameter(0, 1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"the index of A: expected an int, got 0\.5"):
        cx.Parameter("A", 0.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="neither an index nor an offset"):
        cx.Parameter("A", 0, set=lambda m, a: m)
