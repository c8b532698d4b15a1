"""The kernel: many updates in one compiled loop. No I/O, nothing raised; a run that fails stands still."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from cyclax.training.forcing import AbstractForcing
from cyclax.training.model import LatentModel
from cyclax.training.optimizers import AbstractOptimizer, global_norm
from cyclax.training.rollout import rollout


class Setting(NamedTuple):
    """What the compiled loop depends on."""

    length: int
    batch: int
    terms: int
    # Most updates of one call.
    capacity: int


class Data(NamedTuple):
    """The series, one behind another, and where a window may begin."""

    series: Float[Array, "steps N"]
    starts: Int[Array, " S"]


class Recipe(NamedTuple):
    """What may differ from run to run besides the weights."""

    forcing: AbstractForcing
    optimizer: AbstractOptimizer
    regularizers: tuple[Any, ...]
    key: Array


class State(NamedTuple):
    """What goes from update to update."""

    model: LatentModel
    optimizer: PyTree
    strength: Float[Array, ""]
    # False from the first update on whose loss, gradient or weights were not finite.
    good: Bool[Array, ""]


class Logs(NamedTuple):
    """What is noted of every update."""

    loss: Float[Any, " n"]
    gradient_norm: Float[Any, " n"]
    strength: Float[Any, " n"]
    # 1 where all was finite, 0 from the first update on that was not.
    good: Float[Any, " n"]


def windows(setting: Setting, data: Data, key: Array) -> Float[Array, "T+1 N B"]:
    """Draw a batch of windows of T steps, T + 1 observations."""
    drawn = jax.random.randint(key, (setting.batch,), 0, data.starts.shape[0], jnp.int32)
    begin = data.starts[drawn]
    rows: Any = begin[None, :] + jnp.arange(setting.length + 1, dtype=jnp.int32)[:, None]
    return jnp.swapaxes(data.series[rows], 1, 2)


def loss_of(
    setting: Setting, model: LatentModel, x: Float[Array, "T+1 N B"], strengths: Float[Array, " T"]
) -> tuple[Float[Array, ""], Float[Array, "T M B"]]:
    """Give the mean squared error of the unforced states' observations, and the forced states."""
    projection = jnp.asarray(model.observation.projection(), x.dtype)
    estimates = model.observation.estimate(x[:-1])
    z0 = model.first_states(x[0])
    both: Any = rollout(setting.terms, model.map, projection, z0, estimates, strengths)
    states, forced = both
    return jnp.mean((model.observation.read(states) - x[1:]) ** 2), jax.lax.stop_gradient(forced)


def update(setting: Setting, data: Data, recipe: Recipe, total: Array, state: State, i: Array) -> tuple[State, Any]:
    """Make one update of one run; i counts from 0."""
    x = windows(setting, data, jax.random.fold_in(recipe.key, i))
    strengths = recipe.forcing.strengths(state.strength, setting.length)

    def penalized(model: LatentModel):
        loss, forced = loss_of(setting, model, x, strengths)
        return sum((term(model) for term in recipe.regularizers), start=loss), (loss, forced)

    (value, (loss, forced)), gradients = jax.value_and_grad(penalized, has_aux=True)(state.model)
    norm = global_norm(gradients)
    part = (i / jnp.maximum(total - 1, 1)).astype(loss.dtype)
    changes, optimizer = recipe.optimizer.changes(
        gradients, state.optimizer, state.model, part, value, lambda model: penalized(model)[0]
    )
    model = jax.tree.map(lambda leaf, change: (leaf + change).astype(leaf.dtype), state.model, changes)
    strength = recipe.forcing.strength.following(state.strength, i, state.model.map, forced)
    good = state.good & jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(global_norm(model))
    after = State(model, optimizer, jnp.asarray(strength, loss.dtype), good)
    after = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state._replace(good=good))
    return after, Logs(loss, norm, state.strength, good)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=3)
def advance(
    setting: Setting, data: Data, recipe: Recipe, state: State, begin: Array, end: Array, total: Array
) -> tuple[State, Logs]:
    """Make updates begin .. end - 1 of `total`.

    **Returns:** the state, and the logs `(capacity,)`, of which the first end - begin rows are filled.
    """
    dtype = state.strength.dtype
    logs = Logs(*(jnp.zeros(setting.capacity, dtype) for _ in Logs._fields))

    def body(i, carry):
        state, logs = carry
        state, row = update(setting, data, recipe, total, state, i)
        return state, jax.tree.map(lambda log, value: log.at[i - begin].set(value.astype(dtype)), logs, row)

    return jax.lax.fori_loop(begin, end, body, (state, logs))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=3)
def advance_many(
    setting: Setting, data: Data, recipe: Recipe, state: State, begin: Array, end: Array, total: Array
) -> tuple[State, Logs]:
    """Make the same updates of several runs, which are the first axis of `recipe` and `state`."""
    one = lambda recipe, state: advance(setting, data, recipe, state, begin, end, total)  # noqa: E731
    return jax.vmap(one)(recipe, state)


def first_state(model: LatentModel, recipe: Recipe, dtype: Any) -> State:
    """Give the state before the first update; leaves become JAX arrays of the dtype."""
    model = cast(model, dtype)
    strength = jnp.array(recipe.forcing.strength.first(), dtype, copy=True)
    # What is donated must not be there twice, and some optimizers keep the first weights.
    optimizer = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), recipe.optimizer.init(model))
    return State(model, optimizer, strength, jnp.asarray(True))


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """Copy all arrays of floating-point numbers to JAX arrays of one dtype: what is donated must be nobody else's."""
    return jax.tree.map(
        lambda leaf: jnp.array(leaf, dtype, copy=True) if eqx.is_inexact_array_like(leaf) else leaf, tree
    )
