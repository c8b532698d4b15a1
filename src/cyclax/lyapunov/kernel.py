"""The kernels: state and frame carried along, orthonormalized, and the logarithms of what was taken off."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from cyclax.core.entries import MOST_OPERATIONS, entrywise, operations
from cyclax.lyapunov.flows import Flow
from cyclax.lyapunov.frames import AbstractOrthonormalization, random_frame, suited
from cyclax.lyapunov.model import Layout, adapted, push

# Groups of so few steps are computed entry by entry, where few operations do. On accelerators several groups go
# together, as what a loop does around a step (the host reads its condition; it counts, and copies) costs as much as the
# step.
_MOST_STEPS, TOGETHER = 8, 5


class Axes(NamedTuple):
    """Which of model, state and inputs have a leading axis of orbits: 0 or None for each, as for `jax.vmap`."""

    model: int | None = None
    state: int | None = None
    inputs: int | None = None


class Carry(NamedTuple):
    """Where B orbits stand. `alive`: still finite; `survived`: the steps that were."""

    z: Float[Any, "D B"]
    V: Float[Any, "D n B"]
    alive: Bool[Any, " B"]
    survived: Int[Any, " B"]


class Course(NamedTuple):
    """How a `Flow` takes its steps, traced: each in so many pieces, with a frame orthonormalized after each."""

    pieces: Int[Any, ""]
    # As a check: see `Flow.integrate`.
    finer: Bool[Any, ""]


class Setting(NamedTuple):
    """What a chunk is compiled for, beside the shapes. A chunk has room for `capacity` orthonormalizations.

    `together`: at most so many orbits go on side by side; of more, one lot after the other, each through the chunk.
    `by_entries`: frames of few entries are carried along entry by entry, which runs faster, and compiles longer.
    """

    layout: Layout
    axes: Axes
    every: int
    capacity: int
    orthonormalize: AbstractOrthonormalization
    together: int
    by_entries: bool


@eqx.filter_jit
def run_chunk(
    model: Any, setting: Setting, carry: Carry, inputs: PyTree, groups: Int[Any, ""], course: Course
) -> tuple[Carry, Float[Array, "capacity n B"], Float[Array, " B"]]:
    """Carry the orbits on through `groups` (traced, at most the capacity) groups of `every` steps.

    **Arguments:** `inputs`: leaves `(capacity * every, ...)`, with B in front where they are batched; or None.
    `course`: for flows.

    **Returns:** where the orbits stand; the logarithms of the diagonals of R, of which `groups` are written; and the
    largest difference of two of them, or of one and 0, that one orthonormalization has met.
    """
    arrays, rest = eqx.partition(model, eqx.is_array)
    orbits = carry.alive.shape[0]
    lots = -(-orbits // setting.together)
    if lots == 1:
        return _run_lot(arrays, rest, setting, carry, inputs, groups, course)
    size = -(-orbits // lots)

    def split(tree, axis):
        if axis is None:
            return None
        # Lots of one size: the last orbit is taken along more than once.
        rows = np.minimum(np.arange(lots * size), orbits - 1).reshape(lots, size)
        return jax.tree.map(lambda leaf: jnp.moveaxis(jnp.take(leaf, rows, axis=axis), axis % leaf.ndim, 0), tree)

    def lot(parts):
        own_arrays, own_carry, own_inputs = parts
        own_arrays = arrays if setting.axes.model is None else own_arrays
        own_inputs = inputs if setting.axes.inputs is None else own_inputs
        return _run_lot(own_arrays, rest, setting, own_carry, own_inputs, groups, course)

    parts = (split(arrays, setting.axes.model), split(carry, -1), split(inputs, setting.axes.inputs))
    done = jax.lax.map(lot, parts)
    return jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], lots * size)[..., :orbits], done
    )


def _run_lot(
    arrays: Any, rest: Any, setting: Setting, carry: Carry, inputs: PyTree, groups: Int[Any, ""], course: Course
) -> tuple[Carry, Float[Array, "capacity n B"], Float[Array, " B"]]:
    """Carry orbits on side by side."""
    layout, axes, every, capacity, orthonormalize, *_ = setting
    how = course._asdict() if isinstance(rest, Flow) else {}
    time_axis = 0 if axes.inputs is None else 1
    # What may have an axis of orbits, and whether it does.
    batched = axes.model, axes.inputs

    def one(arrays, z, s, V):
        return push(eqx.combine(arrays, rest), layout, z, s, V, **how)

    side_by_side = jax.vmap(one, in_axes=(axes.model, -1, axes.inputs, -1), out_axes=-1)

    def step(arrays, inputs, t, carry):
        take = jax.lax.index_in_dim if isinstance(t, int) else jax.lax.dynamic_index_in_dim
        s = jax.tree.map(lambda leaf: take(leaf, t, time_axis, keepdims=False), inputs)
        z, V = side_by_side(arrays, carry.z, s, carry.V)
        alive = carry.alive & jnp.all(jnp.isfinite(z), axis=0)
        return Carry(z, V, alive, jnp.where(alive, carry.survived + 1, carry.survived))

    def orthonormalized(V, total, worst):
        V, norms = orthonormalize(V)
        logs = jnp.log(norms)
        spread = jnp.maximum(jnp.max(logs, axis=0), 0) - jnp.min(logs, axis=0)
        return V, total + logs, jnp.maximum(worst, spread)

    def flow_step(arrays, inputs, t, carry, total, worst):
        """One piece after the other; a single one needs no orthonormalization of its own."""

        def piece(_, state):
            carry, total, worst = state
            after = step(arrays, inputs, t, carry)
            V, total, worst = jax.lax.cond(
                course.pieces > 1, orthonormalized, lambda *same: same, after.V, total, worst
            )
            return after._replace(V=V, survived=carry.survived), total, worst

        carry, total, worst = jax.lax.fori_loop(0, course.pieces, piece, (carry, total, worst))
        survived = jnp.where(carry.alive, carry.survived + 1, carry.survived)
        return carry._replace(survived=survived), total, worst

    def group(arrays, inputs, begin, carry, worst, loop):
        """Take `every` steps, from number `begin` of the inputs on, and orthonormalize."""

        def taken(i, state):
            carry, total, worst = state
            if how:
                return flow_step(arrays, inputs, begin + i, carry, total, worst)
            return step(arrays, inputs, begin + i, carry), total, worst

        # The number of turns is written down: where it is not, accelerators ask the host before each.
        state = carry, jnp.zeros(carry.V.shape[1:], carry.V.dtype), worst
        carry, total, worst = loop(0, every, taken, state)
        V, total, worst = orthonormalized(carry.V, total, worst)
        return carry._replace(V=V), worst, total

    def written_out(number, g, carry, worst):
        """Give `number` groups, from g on, as a function of what each orbit has of its own, and that."""
        some = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, g * every, number * every, time_axis)  # noqa: E731
        both = arrays, jax.tree.map(some, inputs)

        def groups(carry, worst, *own):
            own_arrays, own_inputs = (
                tree if axis is None else _moved(lanes, -1, axis)
                for tree, lanes, axis in zip(both, own, batched, strict=True)
            )
            totals = []
            for j in range(number):
                carry, worst, total = group(own_arrays, own_inputs, j * every, carry, worst, _in_turn)
                totals.append(total)
            return carry, worst, jnp.stack(totals)

        own = [None if axis is None else _moved(tree, axis, -1) for tree, axis in zip(both, batched, strict=True)]
        return groups, (carry, worst, *own)

    def groups_from(g, number, state):
        """Run so many groups, and write what they give at once."""
        carry, worst, logs = state
        if together:
            groups, own = written_out(number, g, carry, worst)
            carry, worst, totals = entrywise(groups)(*own)
        else:
            loop = _in_turn if every == 1 else jax.lax.fori_loop
            carry, worst, total = group(arrays, inputs, g * every, carry, worst, loop)
            totals = total[None]
        return carry, worst, jax.lax.dynamic_update_slice_in_dim(logs, totals, g, 0)

    worst, logs = jnp.zeros_like(carry.z[0]), jnp.zeros((capacity, *carry.V.shape[1:]), carry.V.dtype)
    together = 0
    if setting.by_entries and not how and every <= _MOST_STEPS:
        function, own = written_out(1, 0, carry, worst)
        together = min(groups_together(operations(function, *own)), capacity)
    state, done = (carry, worst, logs), 0
    if together > 1:
        done = groups // together * together
        several = lambda i, state: groups_from(i * together, together, state)  # noqa: E731
        state = jax.lax.fori_loop(0, groups // together, several, state)
    carry, worst, logs = jax.lax.fori_loop(done, groups, lambda g, state: groups_from(g, 1, state), state)
    return carry, logs, worst


def _moved(tree: PyTree, source: int, destination: int) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, source, destination), tree)


def _in_turn(begin: int, end: int, body: Any, state: Any) -> Any:
    """Do as `jax.lax.fori_loop`, written out."""
    for i in range(begin, end):
        state = body(i, state)
    return state


def groups_together(cost: float) -> int:
    """Give how many groups of so many operations are written out together, entry by entry; 0: not so."""
    return int(min(MOST_OPERATIONS // cost, 1 if jax.default_backend() == "cpu" else TOGETHER))


def lyapunov_exponents(
    model: Any,
    state: PyTree,
    inputs: PyTree = None,
    *,
    steps: int,
    warmup: int = 0,
    num_exponents: int | None = None,
    orthonormalize_every: int = 1,
    dt: float | None = None,
    orthonormalization: AbstractOrthonormalization | None = None,
) -> Float[Array, " n"]:
    """Give Lyapunov exponents as a pure function of model, state and inputs: for `jax.grad`, `vmap` and `jit`.

    It computes in the precision that it is given (under `jax.enable_x64(True)`, with float64 leaves, in float64),
    checks next to nothing, and says nothing of its errors: `lyapunov_spectrum` does. The gradient is the exact one of
    these finite-time exponents. On a stable cycle it converges to that of the exponents; on a chaotic orbit it grows
    with the steps, as all gradients along the orbit do.

    **Arguments:**

    - `model`, `state`, `inputs`: as for `lyapunov_spectrum`, without batches; inputs `(warmup + steps, ...)`.
    - `steps`, `warmup`: steps that count, and steps before, whose tangents are kept but not counted; both multiples of
      `orthonormalize_every`. Static.
    - `num_exponents`, `orthonormalize_every`, `dt`, `orthonormalization`: as for `lyapunov_spectrum`.

    **Returns:** `(n,)`, in the order of the frame: largest first once the frame has settled. NaN where a `Flow` changes
    lengths so much between two orthonormalizations that tangents fall below its tolerances: take a smaller `dt`.

    **Raises:** `ValueError` where steps and warm-up are no multiples of `orthonormalize_every`, or are too few, where
    there are fewer states than exponents, or where the inputs are not `(warmup + steps, ...)`.
    """
    model, layout = adapted(model), Layout.of(state)
    every, number = orthonormalize_every, layout.size if num_exponents is None else num_exponents
    if steps < 1 or warmup < 0 or every < 1 or steps % every or warmup % every:
        raise ValueError(
            f"steps and warmup: expected multiples of orthonormalize_every ({every}), steps 1 or more, got {steps} "
            f"and {warmup}."
        )
    if not 0 < number <= layout.size:
        raise ValueError(f"num_exponents: expected 1 to {layout.size}, the number of states, got {number}.")
    lengths = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(inputs)}
    if lengths - {warmup + steps}:
        raise ValueError(f"inputs: expected warmup + steps = {warmup + steps} of them, got {sorted(lengths)}.")
    orthonormalize = suited(number) if orthonormalization is None else orthonormalization
    # Integers have no tangents.
    leaves = jax.tree.map(jnp.asarray, state)
    z = layout.flat(jax.tree.map(lambda leaf: leaf if eqx.is_inexact_array(leaf) else leaf.astype(float), leaves))
    V = jnp.asarray(random_frame(layout.size, number), z.dtype)

    def step(carry, s):
        return push(model, layout, carry[0], s, carry[1]), None

    @jax.checkpoint
    def group(carry, s):
        (z, V), _ = jax.lax.scan(step, carry, s, length=every)
        V, norms = orthonormalize(V[..., None])
        return (z, V[..., 0]), jnp.log(norms[:, 0])

    grouped = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, every, *jnp.shape(leaf)[1:])), inputs)
    _, logs = jax.lax.scan(group, (z, V), grouped, length=(warmup + steps) // every)
    time = steps * (getattr(model, "dt", 1.0) if dt is None else dt)
    means = jnp.sum(logs[warmup // every :], axis=0) / time
    if isinstance(model, Flow):
        spread = jnp.maximum(jnp.max(logs, axis=1), 0) - jnp.min(logs, axis=1)
        means = jnp.where(jnp.any(spread > model.most_spread), jnp.nan, means)
    return means
