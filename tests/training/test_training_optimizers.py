"""Optimizers of optax: those that want the loss, or try others, end where optax's own loop ends."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import slow

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.training.arguments import checked_problem
from cyclax.training.loop import Data, Setting, cast, loss_of, windows

SERIES = cx.simulate(cx.SkewTentMap(0.5, -1.4, 1.0), [0.3], 100)
STEPS = 12
ARGUMENTS = dict(forcing=cx.GeneralizedForcing(0.5), steps=STEPS, key=0, batch=4, length=10, dtype=np.float64)
OPTIMIZERS = {
    "plateau": lambda: optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, factor=0.5)),
    "polyak": lambda: optax.polyak_sgd(max_learning_rate=0.5),
    "lbfgs": lambda: optax.lbfgs(),
    "backtracking": lambda: optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(0.03), 2),
    "MultiSteps plateau": lambda: optax.MultiSteps(OPTIMIZERS["plateau"](), 3),
    "momentum": lambda: optax.sgd(0.03, momentum=0.9),
    "noise": lambda: optax.chain(optax.sgd(0.03), optax.add_noise(0.01, 0.5, 0)),
    "half precision": lambda: optax.adam(0.03, mu_dtype="bfloat16"),
}


def tents(number):
    return [cx.SkewTentMap(0.5 - 0.1 * i, -0.9, 1.0) for i in range(number)]


def plain_loop(map_, optimizer, key, regularizers=()):
    """Train as optax's manual has it, update after update."""
    settings = dict(optimizer=None, regularizers=(), callback=None, checkpoint_every=None, keep_every=1)
    with numerics():  # optax mixes dtypes
        problem = checked_problem(map_, SERIES, **(ARGUMENTS | settings))
        setting = Setting(problem.length, problem.batch, 0, STEPS)
        data = Data(jnp.asarray(problem.series), jnp.asarray(problem.starts))
        model = cast(problem.models[0], np.float64)
        several = isinstance(optimizer, optax.MultiSteps)
        update = optimizer.update if several else optax.with_extra_args_support(optimizer).update
        state = optimizer.init(model)

        def loss(model, x):
            term = sum((term(model) for term in regularizers), start=jnp.zeros(()))
            return loss_of(setting, model, x, jnp.full(problem.length, 0.5))[0] + term

        @jax.jit
        def once(model, state, x):
            value, gradients = jax.value_and_grad(loss)(model, x)
            extra = dict(value=value, grad=gradients, value_fn=lambda model: loss(model, x))
            changes, state = update(gradients, state, model, **extra)
            return optax.apply_updates(model, changes), state

        for i in range(STEPS):
            model, state = once(model, state, windows(setting, data, jax.random.fold_in(key, i)))
        return np.array([model.map.left, model.map.right, model.map.offset])


def weights(result):
    return np.array([result.map.left, result.map.right, result.map.offset])


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_trains_as_optax_does(make, tmp_path):
    result = cx.fit(tents(1)[0], SERIES, optimizer=make(), progress=False, **ARGUMENTS)
    np.testing.assert_allclose(weights(result), plain_loop(tents(1)[0], make(), jax.random.key(0)), rtol=1e-9)
    assert not np.allclose(weights(result), [0.5, -0.9, 1.0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("plateau", True),
        ("backtracking", False),
        slow("backtracking", True),
        ("noise", True),
        slow("lbfgs", False),
        slow("lbfgs", True),
    ],
)
def test_several_runs_train_as_each_alone(name, together):
    maps, optimizer = tents(2), OPTIMIZERS[name]()
    both = cx.fit(maps, SERIES, optimizer=optimizer, vmap=together, progress=False, **ARGUMENTS)
    for i, (one, map_) in enumerate(zip(both, maps, strict=True)):
        wanted = plain_loop(map_, OPTIMIZERS[name](), jax.random.fold_in(jax.random.key(0), i))
        np.testing.assert_allclose(weights(one), wanted, rtol=1e-9)


def test_the_loss_that_is_told_has_the_regularizers():
    regularizers = (cx.L2(0.1),)
    for name in ("polyak", "backtracking"):  # the value, and the function that gives it
        result = cx.fit(
            tents(1)[0], SERIES, optimizer=OPTIMIZERS[name](), regularizers=regularizers, progress=False, **ARGUMENTS
        )
        wanted = plain_loop(tents(1)[0], OPTIMIZERS[name](), jax.random.key(0), regularizers)
        np.testing.assert_allclose(weights(result), wanted, rtol=1e-9)


@pytest.mark.parametrize(("name", "together"), [slow("lbfgs", False), ("MultiSteps plateau", True), ("noise", False), ("noise", True), ("half precision", True)])  # noqa: E501  # fmt: skip
def test_states_of_all_kinds_are_kept_in_a_store(name, together, tmp_path):
    class Enough(Exception):
        pass

    def halt(update, model):
        if update == 8:
            raise Enough

    arguments = ARGUMENTS | dict(dtype=np.float32, checkpoint_every=4, vmap=together, progress=False)
    make = OPTIMIZERS[name]
    whole = cx.fit(tents(2), SERIES, optimizer=make(), **arguments)
    with pytest.raises(Enough):
        cx.fit(tents(2), SERIES, optimizer=make(), store=tmp_path, callback=halt, **arguments)
    resumed = cx.fit(tents(2), SERIES, optimizer=make(), store=tmp_path, **arguments)
    assert resumed[0].report["resumed_at"] == 8
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(weights(one), weights(other))


def test_sharpness_aware_steps_are_given_gradients_elsewhere():
    make = lambda opaque: optax.contrib.sam(  # noqa: E731
        optax.sgd(0.03), optax.sgd(0.01), sync_period=2, opaque_mode=opaque
    )
    result = cx.fit(tents(1)[0], SERIES, optimizer=make(True), progress=False, **ARGUMENTS)
    plain = cx.fit(tents(1)[0], SERIES, optimizer=optax.sgd(0.03), progress=False, **ARGUMENTS)
    assert result.losses[-1] < result.losses[0]
    # One step up of 0.01 before each step down moves the weights by a little.
    assert 1e-7 < np.abs(weights(result) - weights(plain)).max() < 0.05


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (optax.lookahead(optax.sgd(0.1), 2, 0.5), "AttributeError: 'LatentModel' object has no attribute 'fast'"),
        (optax.contrib.sophia(0.1), "ValueError: obj_fn must be provided"),
    ],
    ids=["lookahead", "sophia"],
)
def test_what_wants_to_know_more_is_refused_in_one_message(optimizer, reason):
    with pytest.raises(TypeError, match=rf"^optimizer: this optimizer of optax fails .*{reason}.*or RAdam\(\.\.\)\.$"):
        cx.fit(tents(1)[0], SERIES, optimizer=optimizer, progress=False, **ARGUMENTS)
