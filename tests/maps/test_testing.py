"""`check_map` accepts every model of cyclax and says what is wrong with broken ones."""

import re
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx
from cyclax.maps.base import real_array, relu_where, times
from cyclax.testing import check_map


def test_every_model_passes(model):
    with jax.enable_x64(False):
        assert check_map(model) is None
        assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("scale", [1e-150, 1e100])
def test_units_do_not_matter(scale):
    check_map(cx.PLRNN(A=[0.5, 0.2], W=[[0.0, 1.0], [-1.0, 0.0]], h=[scale, -scale]))


def test_float32_jax_leaves_and_keys_are_fine():
    model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), cx.PLRNN.random(2, key=jax.random.key(0)))
    check_map(model, key=jax.random.key(3), states=8, scale=2.0)


class Good(cx.AbstractPiecewiseLinearMap):
    """z' = W relu(z - 1) + h; each broken model below breaks one thing of it."""

    W: jax.Array = eqx.field(converter=real_array, default_factory=lambda: [[0.5, 2.0], [-1.0, 0.3]])
    h: jax.Array = eqx.field(converter=real_array, default_factory=lambda: [0.3, -0.2])

    @property
    def num_states(self):
        return self.h.shape[-1]

    def preactivations(self, z):
        return z - 1

    def step(self, z, gates):
        return times(self.W, relu_where(gates, z - 1)) + self.h


class FloatLeaf(Good):
    gain: float = 2.0


class IntegerLeaf(Good):
    order: np.ndarray = eqx.field(default_factory=lambda: np.array([1, 0]))


class Float32Leaf(Good):
    gain: np.ndarray = eqx.field(default_factory=lambda: np.ones(2, np.float32))


class StaticArray(Good):
    order: np.ndarray = eqx.field(static=True, default_factory=lambda: np.array([1, 0]))


class StatesAreAFloat(Good):
    num_states = 2.0  # pyright: ignore


class StatesFromTheFront(Good):
    @property
    def num_states(self):
        return self.h.shape[0]


class PreactivationsAreAMatrix(Good):
    def preactivations(self, z):
        return jnp.outer(z, z)


class PreactivationsAreIntegers(Good):
    def preactivations(self, z):
        return jnp.sign(z).astype(int)


class PreactivationsBend(Good):
    def preactivations(self, z):
        return jnp.abs(z) - 1


class StepIsTooLong(Good):
    def step(self, z, gates):
        return jnp.concatenate([z, z])


class StepIsCut(Good):
    def step(self, z, gates):
        return super().step(z, gates).astype(jnp.float32)


class StepLooksAtZ(Good):
    def step(self, z, gates):
        return times(self.W, jnp.maximum(z - 1, 0)) + self.h


class StepBranches(Good):
    def step(self, z, gates):
        return self.h if z[0] > 0 else z


class StepIsQuadratic(Good):
    def step(self, z, gates):
        return super().step(z, gates) + 0.01 * z**2


class Jumps(Good):
    def step(self, z, gates):
        return times(self.W, relu_where(gates, z)) + self.h


class JumpsAtOneGate(Good):
    def step(self, z, gates):
        return super().step(z, gates) + jnp.where(gates[1], 1e-3 * z[0], 0)


class HardTanhByNesting(Good):
    """clip(z, -1, 1): continuous, but written so that the gates only make sense together."""

    def preactivations(self, z):
        return jnp.concatenate([z + 1, z - 1])

    def step(self, z, gates):
        return times(self.W, jnp.where(gates[2:], 1, jnp.where(gates[:2], z, -1))) + self.h


class Draws(Good):
    def step(self, z, gates):
        return super().step(z, gates) + np.random.default_rng().normal()


class Counts(Good):
    calls = []  # noqa: RUF012

    def preactivations(self, z):
        self.calls.append(1)
        return z - len(self.calls)


class Explodes(Good):
    def step(self, z, gates):
        return super().step(z, gates) + jnp.where(jnp.abs(z) > 3, jnp.inf, 0)


class CallsSomethingElse(Good):
    def __call__(self, z):
        return z


class KnowsWhetherItIsTraced(Good):
    def step(self, z, gates):
        return super().step(z, gates) * (1 if isinstance(z, jax.core.Tracer) else 2)


def quietly(cls):
    """Build a model without Equinox's own warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Good, "Good is a class"),
        (lambda: object(), "object is no subclass of cyclax.AbstractPiecewiseLinearMap"),
        (FloatLeaf, r"FloatLeaf: the leaf gain is 2.0, a float, and no array.*eqx.field\(converter=real_array\)"),
        (IntegerLeaf, "the leaf order is an array of int64.*static tuple"),
        (Float32Leaf, r"the leaf gain is a NumPy array of float32.*eqx.field\(converter=real_array\)"),
        (lambda: quietly(StaticArray), "the static field order is an array.*make it a tuple"),
        (lambda: Good(h=[np.nan, 0.0]), "the leaf h holds NaN or inf"),
        (StatesAreAFloat, "num_states must be an int of at least 1, got 2.0"),
        (StatesFromTheFront, r"num_states is 2, and 3 once the leaves are stacked.*shape\[-1\]"),
        (PreactivationsAreAMatrix, r"preactivations must return one vector, an entry per gate, got shape \(2, 2\)"),
        (PreactivationsAreIntegers, "preactivations makes int64 of float64 numbers"),
        (PreactivationsBend, r"preactivations is not affine in z: entry [01] at z = \[.*belongs into step"),
        (StepIsTooLong, r"step must return the next state, of shape \(2,\) as num_states says, got \(4,\)"),
        (StepIsCut, "step makes float32 of float64 numbers; do not cast"),
        (StepLooksAtZ, r"step is not affine in z while the gates are held: entry [01] at z = .*relu_where\(gates, x\)"),
        (StepBranches, "StepBranches.step cannot be traced by JAX .*jnp.where in place of `if`"),
        (StepIsQuadratic, "step is not affine in z while the gates are held"),
        (Jumps, r"not continuous across the border of gate [01]: entry [01] at z = \[.*must vanish with its preact"),
        (JumpsAtOneGate, "not continuous across the border of gate 1: entry"),
        (HardTanhByNesting, "step does not add up gate by gate.*as a sum of relu_where"),
        (Draws, "Draws.step gave two results for one state.*no randomness and no hidden state"),
        (Counts, "Counts.preactivations gave two results for one state"),
        (Explodes, r"Explodes.step gives \[.*inf.*\] at the state z ="),
        (CallsSomethingElse, "calling the model gives .*do not override __call__"),
        (KnowsWhetherItIsTraced, "KnowsWhetherItIsTraced.step depends on how it is called"),
    ],
)
def test_broken_models_are_told_apart(build, message):
    # One line, so that a pattern can span the message.
    with pytest.raises(AssertionError) as caught:
        check_map(build())
    assert re.search(message, " ".join(str(caught.value).split())), str(caught.value)


def test_the_model_they_are_broken_from_passes():
    check_map(Good())


def test_a_tracer_is_refused():
    def loss(h):
        check_map(Good(h=h))
        return h.sum()

    with pytest.raises(AssertionError, match="h is a tracer; call check_map outside"):
        jax.grad(loss)(jnp.ones(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"states": 3}, "states: expected an int, 4 or more"),
        ({"scale": 0}, "scale: expected a positive number"),
        ({"scale": np.nan}, "scale:"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        check_map(Good(), **settings)


def test_it_is_there_without_an_import_of_its_own():
    assert cx.testing.check_map is check_map
