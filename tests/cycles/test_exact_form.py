"""Gates that float64 does not hear: what they add is lost beside large terms, or below the smallest number."""

import fractions

import jax
import numpy as np
import pytest

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles import exact_form as module
from cyclax.cycles.exact_form import exact_form, exact_forms
from cyclax.maps.affine import affine_form, lengths_of

# Both gates add 1e-187 * 1e-187 times a state.
UNDERFLOW = cx.LowRankPLRNN(
    A=[-0.4150316417370175, 0.45303166884846924],
    U=[[7.019090342820825e-187], [2.1908518160915018e-187]],
    V=[[2.2982641278312472e-187, -5.823039621802756e-188]],
    h=[2.1226032793391165, 0.2964774827150966],
)


def stacked(models):
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, float) for leaf in leaves]), *models)


def test_gates_below_the_smallest_number_matter():
    with numerics():
        assert not np.any(affine_form(UNDERFLOW).effective)
        assert np.all(exact_form(UNDERFLOW).effective)


@pytest.mark.parametrize(
    "method",
    [cx.Exhaustive(), cx.BranchAndBound(), cx.WordGraph(), cx.WordGraph(rigorous=True)],
    ids=["exhaustive", "branch and bound", "word graph", "rigorous"],
)
def test_words_have_gates_below_the_smallest_number(method):
    (cycle,) = cx.enumerate_cycles(UNDERFLOW, 1, method=method, progress=False)
    assert cycle.gates.tolist() == [[True, True]]
    assert np.allclose(cycle.points, [[1.500039445572766, 0.5420377484943661]], rtol=1e-14, atol=0)


def test_branch_and_bound_takes_directions_that_do_not_underflow():
    """The product of W1 and W2 is 0 in float64, that of W1 and h2 is not."""
    model = cx.ShallowPLRNN(
        A=[-1.4e-196], W1=[[-5.8e-197, 1.8e-197]], W2=[[-2.4e-197], [1.9e-197]], h1=[0], h2=[0.3, 2]
    )
    (cycle,) = cx.enumerate_cycles(model, 1, method=cx.BranchAndBound(), box=1.0, progress=False)
    assert cycle.gates.tolist() == [[True, True]]


def test_a_stack_is_read_as_exactly_as_each_model():
    """0.97 + 1e-150 is 0.97; dead gates stay dead."""
    options = dict(h=[0.56], alpha=[-0.84, 0.57], thresholds=[[6e-150, 1.7e-149]])
    models = [
        cx.ClippedDendriticPLRNN(A=[a], W=[[w]], **options) for a, w in ((0.97, -4.6e-150), (1.3, 0.0), (1.2, 2.0))
    ]
    with numerics():
        together, single = exact_forms(stacked(models), 3, 1), [exact_form(model) for model in models]
    assert [form.effective.tolist() for form in single] == [[True] * 3, [False] * 3, [True] * 3]
    for i, form in enumerate(single):
        for one, other in zip(form, together, strict=True):
            assert np.array_equal(one, other[i])
    assert np.allclose(single[0].jumps[:, 0, 0], [-4.6e-150 * -0.84, -4.6e-150 * 0.57, 4.6e-150 * -0.27], rtol=1e-12)


def test_dead_gates_cost_nothing(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked exactly about a gate that switches nothing because its weights are 0")

    monkeypatch.setattr(module, "Decider", refuse)
    with numerics():
        form = exact_form(cx.PLRNN(A=[0.5, 0.5], W=[[0.0, 1.0], [0.0, 2.0]], h=[1.0, 1.0]))
    assert form.effective.tolist() == [False, True]


def test_gates_that_cancel_but_for_rounding_do_not_matter_in_stacks():
    """0.1 + 0.2 - 0.3 is 5.6e-17 in float64 and 2.8e-17 exactly; 0.5 - 0.5 is 0 in both."""
    options = dict(A=[0.5], W=[[1.0]], h=[0.56], thresholds=[[1.0, 2.0, 3.0]])
    models = [cx.ClippedDendriticPLRNN(alpha=alpha, **options) for alpha in ([0.1, 0.2, -0.3], [0.5, -0.5, 0.0])]
    with numerics():
        found = exact_forms(stacked(models), 2, 1)
    assert found.effective.tolist() == [[True] * 4, [True, True, False, False]]
    exact = -sum(map(fractions.Fraction, (0.1, 0.2, -0.3)))
    assert found.jumps[0, 3, 0, 0] == float(exact)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1.0, 1e200])
def test_lengths_whose_squares_are_no_numbers(size):
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]]) * size
    with np.errstate(under="ignore"):  # in the comparison
        assert np.allclose(lengths_of(rows), np.array([5.0, 0.0, 1.0]) * size, rtol=1e-3, atol=0)
