"""Many models of one shape in one call: each as if it had been searched alone."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import CASES

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.search.lanes import advance

SEQUENCE = CASES.parent / "data" / "multistable_sequence.npz"


def same(one: cx.Cycles, other: cx.Cycles) -> None:
    assert one.counts == other.counts
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.gates, b.gates)
        np.testing.assert_allclose(a.points, b.points, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(a.multipliers, b.multipliers, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("number", [1, 3, 11])
def test_equals_one_by_one(number):
    models = [cx.PLRNN.random(3, key=jax.random.key(i), gain=1.5) for i in range(number)]
    together = cx.find_cycles(models, [1, 4], key=4)  # and 2, which is not asked for
    assert len(together) == number
    for i, (model, cycles) in enumerate(zip(models, together, strict=True)):
        alone = cx.find_cycles(model, [1, 4], key=jax.random.fold_in(jax.random.key(4), i))
        same(alone, cycles)
        assert alone.provenance == cycles.provenance
        for order, entry in alone.report["orders"].items():
            for what in ("verdict", "starts", "hits", "index_sum", "degree"):
                assert entry[what] == cycles.report["orders"][order][what]


def test_a_stacked_model_is_a_batch():
    keys = jax.random.split(jax.random.key(0), 4)
    with numerics():
        stacked = eqx.filter_vmap(
            lambda key: cx.PLRNN(A=jax.random.uniform(key, (2,)) / 2, W=-np.eye(2), h=np.ones(2))
        )(keys)
    listed = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(4)]
    for one, other in zip(cx.find_cycles(stacked, 2, key=0), cx.find_cycles(listed, 2, key=0), strict=True):
        same(one, other)


def test_one_compilation():
    models = [cx.PLRNN.random(6, key=jax.random.key(i)) for i in range(20)]
    before = advance._cache_size()
    cx.find_cycles(models, 3, key=0, finder=cx.SCYFI(starts=64, lanes=40))
    assert advance._cache_size() == before + 1


@pytest.mark.slow
def test_models_with_long_and_short_cycles_together():
    """Each order of each model is shot in as many segments as that model needs."""
    models = [cx.LoziMap(1.7, 0.5), cx.LoziMap(0.3, 0.3)]
    chaotic, calm = cx.find_cycles(models, [70], key=0, finder=cx.SCYFI(starts=256))
    assert chaotic.report["orders"]["70"]["segments"] > calm.report["orders"]["70"]["segments"] == 1
    assert len(chaotic) > 30
    assert len(calm) == 0


def fixed_points(model) -> np.ndarray:
    """All fixed points of a shallow network by enumeration of the 2^H words."""
    words = np.array(list(itertools.product([0.0, 1.0], repeat=len(model.h2))))
    jacobians = np.diag(model.A) + np.einsum("mh,nh,hk->nmk", model.W1, words, model.W2)
    offsets = model.h1 + (words * model.h2) @ model.W1.T
    points = np.linalg.solve(np.eye(len(model.A)) - jacobians, offsets[..., None])[..., 0]
    return points[np.all((points @ model.W2.T + model.h2 > 0) == (words > 0), axis=1)]


def check_fixed_points(models) -> int:
    total = 0
    for model, cycles in zip(models, cx.find_cycles(models, 1, key=0), strict=True):
        expected = fixed_points(model)
        assert len(cycles) == len(expected)
        for cycle in cycles:
            (near,) = np.flatnonzero(np.max(np.abs(expected - cycle.points[0]), axis=1) < 1e-9)
            gates = model.W2 @ expected[near] + model.h2 > 0
            values = np.linalg.eigvals(np.diag(model.A) + (model.W1 * gates) @ model.W2)
            np.testing.assert_allclose(np.sort(np.abs(values)), np.sort(np.abs(cycle.multipliers)), atol=1e-9)
        total += len(expected)
    return total


def test_fixed_points_equal_enumeration():
    models = [cx.ShallowPLRNN.random(4, 8, key=jax.random.key(i), gain=2.0) for i in range(24)]
    assert check_fixed_points(models) > 10


@pytest.mark.slow
@pytest.mark.skipif(not SEQUENCE.is_file(), reason="shared data absent")
def test_a_training_run():
    """150 networks of a training run: 478 fixed points, all found."""
    assert check_fixed_points(cx.load(SEQUENCE, index=slice(None))) == 478


def test_what_is_no_batch():
    model, other = cx.PLRNN.random(3, key=jax.random.key(0)), cx.PLRNN.random(2, key=jax.random.key(0))
    with pytest.raises(ValueError, match="model: an empty sequence of models"):
        cx.find_cycles([], 1, key=0)
    with pytest.raises(ValueError, match=r"one class and one shape; model\[0\] is PLRNN .* model\[2\] is PLRNN"):
        cx.find_cycles([model, model, other], 1, key=0)
    with pytest.raises(ValueError, match=r"one class and one shape; .* model\[1\] is LoziMap"):
        cx.find_cycles([model, cx.LoziMap(1.7, 0.5)], 1, key=0)
    with pytest.raises(TypeError, match=r"model\[1\]: expected a map of cyclax .* got str"):
        cx.find_cycles([model, "x"], 1, key=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"model\[1\]: W holds NaN"):
        cx.find_cycles([model, eqx.tree_at(lambda m: m.W, model, np.full((3, 3), np.nan))], 1, key=0)


def test_a_model_of_a_wrong_shape_is_refused_by_name():
    model = cx.PLRNN.random(3, key=jax.random.key(0))
    with pytest.raises(ValueError, match="PLRNN: W must have shape"):
        cx.find_cycles(eqx.tree_at(lambda m: m.W, model, np.ones((2, 3))), 1, key=0)


class Unchecked(cx.AbstractPiecewiseLinearMap):
    """A user's model: no check of its own, and its dimension read off either end of the bias."""

    A: np.ndarray
    W: np.ndarray
    h: np.ndarray
    axis: int = eqx.field(static=True, default=-1)

    @property
    def num_states(self):
        return self.h.shape[self.axis]

    def preactivations(self, z):
        return z

    def step(self, z, gates):
        return self.A * z + self.W @ jnp.where(gates, z, 0) + self.h


def unchecked(number, axis):
    weights = [PLRNNS[i % len(PLRNNS)] for i in range(number)]
    return Unchecked(*(np.stack([getattr(one, name) for one in weights]) for name in ("A", "W", "h")), axis)


PLRNNS = [cx.PLRNN.random(2, key=jax.random.key(i), gain=2) for i in range(3)]


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_stacks_of_models_without_a_check_are_batches(number, axis):
    """As many models as states, too, where every shape might be that of one model."""
    found = cx.find_cycles(unchecked(number, axis), 2, key=0)
    assert len(found) == number
    for one, other in zip(found, cx.find_cycles(PLRNNS[:number], 2, key=0), strict=True):
        assert one.counts == other.counts
        np.testing.assert_allclose([c.points[0] for c in one], [c.points[0] for c in other], rtol=1e-12)


def test_a_stack_is_refused_where_one_model_is_asked_for():
    message = r"model: Unchecked: a state of shape \(2,\).* It is a stack of 3 models: give one of them"
    for verb in (lambda m: cx.enumerate_cycles(m, 1), lambda m: cx.attractors(m, 3, key=0)):
        with pytest.raises(ValueError, match=message):
            verb(unchecked(3, -1))


def test_shapes_that_serve_no_one_are_said():
    bad = Unchecked(np.ones(2), np.eye(3), np.ones(2))
    with pytest.raises(ValueError, match=r"model: Unchecked: a state of shape \(2,\).* cannot be mapped: TypeError"):
        cx.find_cycles(bad, 1, key=0)
    with pytest.raises(ValueError, match=r"has preactivations of shape \(2,\) and is mapped to shape \(1, 2\)"):
        cx.find_cycles(Unchecked(np.ones(2), np.eye(2), np.ones((1, 2))), 1, key=0)
