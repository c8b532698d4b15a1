"""From a network to the nearest zero of one test of a held word, over all weights p.

A test is g of a bordered matrix (see `singular`), its slope dg/dp comes from the null vectors by one reverse pass
through the held maps. The nearest zero of g made linear at p is T(p); its fixed points are the local minima of
|q - p0| with g(q) = 0. T is iterated with the mixing of Anderson (Walker and Ni 2011, "Anderson acceleration for
fixed-point iterations"), and what the exact penalty |q - p0| + 2 |g| / |g'| does not accept is a shorter step to T.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from cyclax.bifurcations.singular import Kind, cyclic_matrix, null_vectors, with_height
from cyclax.maps.affine import pieces

# Steps that are mixed.
_MEMORY = 6
ITERATIONS = 400


class Look(NamedTuple):
    """A test at one place.

    A center is two equations for p and the angle: g is what is left of them across the change with the angle, `off` how
    far the angle is off, and `drift` by how much each p shifts it.
    """

    value: Any  # g
    slope: Any  # (P,)
    off: Any
    drift: Any  # (P,)
    left: Any  # (n,) unit vectors near to the null vectors
    right: Any  # (n,)


class Test(NamedTuple):
    """Which test: the height of a gate at a step (`border` 1), or a multiplier at `turn`, +1 or -1 (`border` 0).

    Of a center all of them are without meaning: the matrix is that of e^{i angle}.
    """

    step: Any = 0
    gate: Any = 0
    border: Any = 0.0
    turn: Any = 1.0


class Search(NamedTuple):
    """A search under way: unknowns are the weights and the angle, `(P + 1,)`."""

    place: Any
    look: Look
    step: Any  # to T(place)
    merit: Any  # inf before the first look
    damping: Any
    count: Any
    # Of the last steps that were taken `(m, P + 1)`: the change of the place, and that of the step to T.
    moves: Any
    changes: Any


class End(NamedTuple):
    """Where a search has come to."""

    gap: Any  # (P,) the change of the weights
    unit: Any  # (P,) the direction of the slope there
    angle: Any
    reached: Any  # whether it is the nearest zero


@jax.jit
def held(model, word):
    """Give the heights `(k, G)` of the cycle, its points `(k, M)`, the Jacobians, and the offsets."""
    jacobians, offsets = pieces.shared(model, word)
    matrix = cyclic_matrix(jacobians, offsets, 1.0)
    points = jnp.linalg.solve(matrix[:, :-1], -matrix[:, -1]).reshape(offsets.shape)
    return jax.vmap(model.preactivations)(points), points, jacobians, offsets


@jax.jit
def border_estimates(model, word, steps, gates):
    """Give the distance to the zero of each height made linear, `(n,)`; inf where no weight moves it.

    One inverse serves all heights: with mu the solution of the transposed system for a height, its derivative by p is
    that of mu . (image of the cycle), cycle and mu held.
    """
    heights, points, jacobians, offsets = held(model, word)
    flat, unravel = ravel_pytree(model)
    gradients = jax.jacfwd(model.preactivations)(jnp.zeros(model.num_states))
    matrix = cyclic_matrix(jacobians, offsets, 1.0)[:, :-1]
    columns = jnp.zeros((len(steps), *points.shape)).at[jnp.arange(len(steps)), steps].set(gradients[gates])
    adjoint = jnp.linalg.solve(matrix.T, columns.reshape(len(steps), -1).T).T.reshape(columns.shape)

    def length(row):
        step, gate, adjoint = row

        def height(p):
            moved = unravel(p)
            return moved.preactivations(points[step])[gate] + jnp.sum(adjoint * jax.vmap(moved.step)(points, word))

        return jnp.linalg.norm(jax.grad(height)(flat))

    lengths = jax.lax.map(length, (steps, gates, adjoint), batch_size=64)
    values = jnp.abs(heights[steps, gates])
    return jnp.where(lengths > 0, values / jnp.where(lengths > 0, lengths, 1), jnp.inf)


def matrix(model, word, test: Test, angle, *, center: bool):
    """Give the matrix `(n, n)` that is singular where the test is 0.

    All real tests have one shape, a row and a column more than the block-cyclic matrix, which stand apart where there
    is no border.
    """
    jacobians, offsets = pieces.shared(model, word)
    if center:
        return cyclic_matrix(jacobians, offsets, jnp.exp(1j * angle))[:, :-1]
    zero = jnp.zeros(model.num_states)
    gradients, levels = jax.jacfwd(model.preactivations)(zero), model.preactivations(zero)
    level = test.border * levels[test.gate] + 1 - test.border
    cyclic = cyclic_matrix(jacobians, test.border * offsets, test.turn)
    return with_height(cyclic, test.step, test.border * gradients[test.gate], level)


def _form(model, word, test: Test, angle, left, right, center: bool):
    """Give left* A right of that matrix A without it: the held maps are applied to the states that `right` is."""
    zero = jnp.zeros(model.num_states)
    if center:
        image = jax.vmap(lambda state, gates: jax.jvp(lambda z: model.step(z, gates), (zero,), (state,))[1])
        states = right.reshape(len(word), -1)
        images = image(states.real, word) + 1j * image(states.imag, word)
        return left.conj() @ (_following(states, jnp.exp(1j * angle)) - images).reshape(-1)
    states, scale = right[:-1].reshape(len(word), -1), right[-1]

    def image(state, gates):
        offset, along = jax.jvp(lambda z: model.step(z, gates), (zero,), (state,))
        return along + scale * offset

    rows = _following(states, test.turn) - jax.vmap(image)(states, word)
    level, height = jax.jvp(model.preactivations, (zero,), (states[test.step],))
    return left[:-1] @ rows.reshape(-1) + left[-1] * (height + scale * level)[test.gate]


def _following(states, turn):
    return jnp.roll(states, -1, axis=0).at[-1].multiply(turn)


def _look(place, unravel, word, test: Test, left, right, center: bool) -> Look:
    """Look at one place, with vectors near to the null vectors of the matrix there."""
    p, angle = place[:-1], place[-1]
    value, left, right = null_vectors(matrix(unravel(p), word, test, angle, center=center), left, right)

    def change(p, angle):
        return -_form(unravel(p), word, test, angle, left, right, center)

    if not center:
        slope, off, drift = jax.grad(change)(p, angle), jnp.zeros_like(value), jnp.zeros_like(p)
    else:
        swing = jax.jvp(lambda a: change(p, a), (angle,), (jnp.ones_like(angle),))[1]
        ways = jnp.stack([1j * swing / jnp.abs(swing), swing / jnp.abs(swing) ** 2]).conj()
        slope, drift = jax.vmap(jax.grad(lambda p, way: jnp.real(way * change(p, angle))), in_axes=(None, 0))(p, ways)
        value, off = jnp.real(ways * value)
    return Look(value, slope, off, drift, left / jnp.linalg.norm(left), right / jnp.linalg.norm(right))


def _rounding(origin):
    return 64 * jnp.finfo(origin.dtype).eps * (1 + jnp.linalg.norm(origin))


def _merit(place, look: Look, origin):
    # The angle's share is counted in p as well: what it takes of p to make up for it.
    length = jnp.linalg.norm(look.slope)
    gap = jnp.linalg.norm(place[:-1] - origin)
    return gap + 2 * jnp.abs(look.value) / length + jnp.abs(look.off) * _rounding(origin)


def begun(start, dtype, angle, left, right, xp) -> Search:
    """Begin a search for a nearest zero at a place, the weights of a model, with vectors as `framed` has them."""
    weights = [xp.ravel(leaf) for leaf in jax.tree.leaves(start)]
    place = xp.concatenate([*weights, xp.ravel(xp.asarray(angle))]).astype(dtype)
    none, zero, one = xp.zeros((_MEMORY, len(place)), dtype), xp.zeros(len(place), dtype), xp.ones((), dtype)
    look = Look(0 * one, zero[:-1], 0 * one, zero[:-1], left, right)
    return Search(place, look, zero, xp.inf * one, one, 0, none, none)


def framed(matrix, border, xp):
    """Give the singular vectors of the smallest singular value: without a border, of what is not set apart."""
    size = len(matrix)
    part = matrix if border or xp.iscomplexobj(matrix) else matrix[:-1, :-1]
    left, _, right = xp.linalg.svd(part)
    return tuple(xp.append(v, xp.zeros(size - len(v), v.dtype)) for v in (left[:, -1], right[-1].conj()))


@jax.jit
def slope_of(model, word, test: Test, left, right):
    """Give the slope of the singular value of these vectors, of a real test, with the weights."""
    flat, unravel = ravel_pytree(model)
    return jax.grad(lambda p: -_form(unravel(p), word, test, 0.0, left, right, False))(flat)


def _step(place, look: Look, origin):
    """Give the step to T."""
    gap, slope = place[:-1] - origin, look.slope
    step = slope * ((slope @ gap - look.value) / (slope @ slope)) - gap
    return jnp.append(step, -look.off - look.drift @ step)


def _mixed(search: Search):
    """Mix the steps to T, of here and of the last places, so that the least is left of them."""
    sizes = jnp.linalg.norm(search.changes, axis=1)
    lengths = jnp.where(sizes > 0, sizes, 1)
    units = search.changes / lengths[:, None]
    ridge = jnp.where(sizes > 0, 1e2 * jnp.finfo(sizes.dtype).eps, 1)
    weights = jnp.linalg.solve(units @ units.T + jnp.diag(ridge), units @ search.step) / lengths
    return search.step - weights @ (search.moves + search.changes)


@functools.partial(jax.jit, static_argnames="center")
def advanced(model, word, test: Test, search: Search, most, *, center: bool) -> tuple[Search, End, Any]:
    """Go on with a search until it ends, or has taken `most` looks in all; say where it is and whether it ended."""
    origin, unravel = ravel_pytree(model)
    rounding = _rounding(origin)

    def advance(search: Search) -> Search:
        mixes, old = jnp.any(search.changes != 0), search.look
        move = jnp.where(mixes, _mixed(search), search.damping * search.step)
        place = search.place + move
        look = _look(place, unravel, word, test, old.left, old.right, center)
        step, merit = _step(place, look, origin), _merit(place, look, origin)
        row = search.count % _MEMORY
        change = jnp.where(jnp.isinf(search.merit), 0, step - search.step)
        taken = search._replace(
            place=place,
            look=look,
            step=step,
            merit=merit,
            damping=jnp.minimum(1.0, 2 * search.damping),
            moves=search.moves.at[row].set(move),
            changes=search.changes.at[row].set(change),
        )
        none = jnp.zeros_like(search.changes)
        shorter = search._replace(damping=jnp.where(mixes, 1.0, 0.5) * search.damping, moves=none, changes=none)
        better = merit <= search.merit + rounding
        kept = jax.tree.map(functools.partial(jnp.where, better), taken, shorter)
        return kept._replace(count=search.count + 1)

    def going(search: Search):
        far = jnp.linalg.norm(search.step[:-1]) > rounding
        return (jnp.isinf(search.merit) & (search.count == 0)) | (far & (search.damping > 1e-8))

    def polished(_, state):
        place, look = state
        move = -look.slope * look.value / (look.slope @ look.slope)
        place = place + jnp.append(move, -look.off - look.drift @ move)
        return place, _look(place, unravel, word, test, look.left, look.right, center)

    search = jax.lax.while_loop(lambda search: going(search) & (search.count < most), advance, search)
    place, look = jax.lax.fori_loop(0, 3, polished, (search.place, search.look))
    gap, length = place[:-1] - origin, jnp.linalg.norm(look.slope)
    near = jnp.abs(look.value) <= 16 * rounding * length
    size = jnp.linalg.norm(search.step[:-1])
    reached = near & (size <= jnp.maximum(1e3 * rounding, 1e-6 * jnp.linalg.norm(gap)))
    end = End(gap, look.slope / length, place[-1], reached)
    return search, end, ~going(search) | (search.count >= ITERATIONS)


def test_of(kind: Kind, step: int | None, gate: int | None) -> Test:
    """Give the test of a kind."""
    turn = -1.0 if kind == "degenerate flip" else 1.0
    return Test(step or 0, gate or 0, float(kind == "border collision"), turn)


def projected(model, start, word, kind: Kind, step: int | None, gate: int | None, angle: float | None) -> End:
    """Go from a start to the nearest zero of a test, in what JAX may trace."""
    test, center = test_of(kind, step, gate), kind == "center"
    begin = jax.tree.map(lambda leaf, own: jnp.asarray(leaf, jnp.asarray(own).dtype), start, model)
    left, right = framed(matrix(begin, word, test, angle, center=center), test.border, jnp)
    search = begun(begin, ravel_pytree(model)[0].dtype, angle or 0.0, left, right, jnp)
    return advanced(model, word, test, search, ITERATIONS, center=center)[1]
