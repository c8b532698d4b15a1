"""`distance_to_bifurcation`: the nearest boundary of a cycle in the space of all weights.

With the word held, every test of a cycle (the heights of its points over the borders, and the smallest singular value
of the block-cyclic matrix with x_k = x_0, -x_0 or e^{i angle} x_0, see `singular`) is a smooth function of the weights
p. The nearest zero of one test solves min |q - p| with g(q) = 0: q - p is along the gradient of g. Each iteration goes
to the nearest zero of g made linear, damped by the exact penalty |q - p| + 2 |g| / |g'|, and so converges to local
minima only. By the envelope theorem the derivative of the distance by p is minus the unit vector towards q.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from cyclax.bifurcations.classify import plane_group
from cyclax.bifurcations.singular import Kind, cyclic_matrix, with_height
from cyclax.core.numerics import numerics, on_host
from cyclax.cycles.multipliers import composed_multipliers
from cyclax.cycles.orders import checked_words
from cyclax.maps.affine import affine_form, pieces
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model

_ITERATIONS = 400
# So many of the nearest by the linear estimate are refined, and so often a nearer one is met on the way to the nearest.
_REFINED, _ROUNDS = 12, 12
# Looks along the way to a boundary, the last so little before it.
_LOOKS, _BEFORE = 33, 1e-6
# Angles at which centers are looked for.
_ANGLES = np.linspace(0, np.pi, 26)[1:-1]
# What is found with an angle so close to 0 or pi is a double multiplier +1 or -1, which is no center.
_ON_AXIS = 1e-3
# Distances that agree to this share are equal, as in symmetric networks.
_EQUAL = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Distance:
    """The nearest boundary of a cycle.

    - `distance`: the Euclidean norm of the change of all weights together. It is a local minimum.
    - `type`: "border collision", "degenerate transcritical", "degenerate flip" or "center" (at `angle`, radians); of a
      border `step` and `gate`.
    - `direction`: a unit vector, as a model: the change of the weights that leads to the boundary the shortest way. The
      derivative of the distance by the weights is minus this.
    - `place`: the model at the boundary. `word` `(k, G)`: that of the cycle.
    - `nearest`: what else was found, by distance; those farther away may lie behind others.
      Where one is as near, as in symmetric networks, there is more than one direction, and a kink in the distance.
    - `unreached`: tests that are nearer by the linear estimate, but whose zeros the iterations did not reach.
    """

    distance: float
    type: Kind
    step: int | None
    gate: int | None
    angle: float | None
    direction: Any
    place: Any
    word: np.ndarray
    nearest: "tuple[Distance, ...]" = ()
    unreached: tuple[str, ...] = ()

    def of(self, model: Any) -> Any:
        """Give the distance of a model nearby, as a function to differentiate: a term of a loss.

        It is the least over this boundary and those of `nearest`, which are followed from where they were. Beyond a
        boundary it is negative. What was not found is not watched: find the distance anew from time to time.

        **Arguments:** `model`: one of the same shapes, traced or not.

        **Returns:** a number; NaN where no boundary is reached.
        """
        flat, _ = ravel_pytree(model)
        fixed = jax.lax.stop_gradient(model)
        values = []
        for one in (self, *self.nearest):
            at = (one.step or 0, one.gate or 0)
            gap, _, reached = _projected(fixed, one.place, self.word, at, one.angle or 0.0, kind=one.type)
            along, _ = ravel_pytree(one.direction)
            along = jnp.asarray(along, gap.dtype)
            sign, length = jnp.where(gap @ along < 0, -1, 1), jnp.linalg.norm(gap)
            toward = jnp.where(length > 0, sign * gap / jnp.where(length > 0, length, 1), along)
            value = sign * length - toward @ (flat - jax.lax.stop_gradient(flat))
            values.append(jnp.where(reached, value, jnp.nan))
        return jnp.nanmin(jnp.stack(values))

    @property
    def name(self) -> str:
        """The type with its place: "border collision of gate 1 at step 9", "center at angle 1.2"."""
        return _named(self.type, (self.step, self.gate)) + (f" at angle {self.angle:.4g}" if self.angle else "")

    @property
    def moves(self) -> list[tuple[str, float]]:
        """The weights that move on the way to the boundary, each with its change: ("W[0,1]", -0.002); largest first."""
        entries = [
            (jax.tree_util.keystr(path).lstrip(".") + (f"[{','.join(map(str, at))}]" if at else ""), float(value))
            for path, leaf in jax.tree_util.tree_leaves_with_path(self.direction)
            for at, value in np.ndenumerate(leaf)
            if value
        ]
        return [(name, value * self.distance) for name, value in sorted(entries, key=lambda entry: -abs(entry[1]))]

    def __repr__(self) -> str:
        moves = ", ".join(f"{name} by {change:+.4g}" for name, change in self.moves[:3])
        text = f"Distance {self.distance:.6g} to a {self.name}: {moves}{', ..' if len(self.moves) > 3 else ''}"
        for one in self.nearest[:1]:
            equal = one.distance - self.distance <= _EQUAL * self.distance
            text += f"; {'as near is a' if equal else 'then a'} {one.name} at {one.distance:.6g}"
        return text + (f"; not reached: {', '.join(self.unreached)}" if self.unreached else "")


def _named(kind: Kind, at: Any) -> str:
    return kind + (f" of gate {at[1]} at step {at[0]}" if kind == "border collision" else "")


def distance_to_bifurcation(model: AbstractPiecewiseLinearMap, cycle: Any) -> Distance:
    """Find the nearest boundary of a cycle in the space of all its weights: which smallest change makes it bifurcate.

    Each test of the cycle (borders, multipliers +1, -1 and on the circle) has its nearest zero, to which a linear
    estimate leads, and then iterations, which find a *local* minimum; the way to the nearest is looked over for others
    that come before. All entries of all leaves count alike, also those that are constants of the model (dt, say).

    **Arguments:**

    - `model`: the network; its leaves are the weights that move.
    - `cycle`: a `Cycle` of it, or its word `(k, G)`.

    **Returns:** a `Distance`, which tells the direction, and can be differentiated (`Distance.of`).

    **Raises:** `ValueError` where the word is no cycle of the model, where no weight moves any test, and where no
    boundary is reached.
    """
    model = checked_model(model)
    ((_, (word,)),) = checked_words([getattr(cycle, "gates", cycle)], model.num_gates).items()
    with numerics(), on_host():
        return _nearest(model, word)


def _nearest(model, word: np.ndarray) -> Distance:
    bounds = affine_form(model)
    firsts = [int(g) for g in np.flatnonzero(bounds.effective) if plane_group(bounds, int(g))[0] == g]
    start = _state(model, word, firsts)
    wrong = start.heights * np.where(word[:, firsts], 1, -1) < 0
    if np.any(wrong) or not np.all(np.isfinite(start.heights)):
        raise ValueError("cycle: its word is no cycle of this model: the points that it fixes do not meet its gates.")
    border: Kind = "border collision"
    circle: list[tuple[Kind, float]] = [("degenerate transcritical", 0.0), ("degenerate flip", np.pi)]
    center: Kind = "center"
    tests = [(border, (step, gate), 0.0) for step in range(len(word)) for gate in firsts]
    tests += [(kind, (0, 0), angle) for kind, angle in circle]
    tests += [(center, (0, 0), float(angle)) for angle in _angles(model, word, start)]
    estimates = np.array([float(_estimate(model, word, at, angle, kind=kind)) for kind, at, angle in tests])
    if not np.any(np.isfinite(estimates)):
        raise ValueError("model: no weight of this model moves any test of this cycle, so that it has no boundary.")
    found, failed = [], []
    for i in np.argsort(estimates)[:_REFINED]:
        one = _refined(model, model, word, *tests[i]) if np.isfinite(estimates[i]) else None
        if one is not None:
            found.append(one)
        elif tests[i][0] != "center":  # angles of the search, from which there may be none
            failed.append((estimates[i], _named(*tests[i][:2])))
    for _ in range(_ROUNDS):
        if not found:
            break
        found = _distinct(found)
        before = _met_before(model, found[0], start, firsts)
        if before is None:
            unreached = tuple(name for estimate, name in failed if estimate < found[0].distance)
            return dataclasses.replace(found[0], nearest=tuple(found[1:]), unreached=unreached)
        place, test = before
        nearer = _refined(model, place, word, *test)
        if nearer is None or nearer.distance >= found[0].distance:
            # What comes before is not reached: neither is what lies behind it.
            found = found[1:]
        else:
            found.append(nearer)
    raise ValueError("model: no boundary of this cycle is reached: the iterations towards all of them fail.")


def _refined(model, start, word, kind: Kind, at, angle: float) -> Distance | None:
    gap, angle, reached = _projected(model, start, word, at, angle, kind=kind)
    if not reached or (kind == "center" and abs(np.sin(angle)) < _ON_AXIS):
        return None
    flat, unravel = ravel_pytree(model)
    length = float(np.linalg.norm(gap))
    unit = gap / length if length > 0 else _unit(model, word, at, angle, kind=kind)
    step, gate = at if kind == "border collision" else (None, None)
    numpy = functools.partial(jax.tree.map, np.asarray)
    turn = float(angle) if kind == "center" else None
    return Distance(length, kind, step, gate, turn, numpy(unravel(unit)), numpy(unravel(flat + gap)), word)


def _distinct(found: list[Distance]) -> list[Distance]:
    """Sort by distance; of one test (centers are one) the nearest."""
    kept: dict[tuple, Distance] = {}
    for one in sorted(found, key=lambda one: one.distance):
        kept.setdefault((one.type, one.step, one.gate), one)
    return list(kept.values())


@dataclasses.dataclass(frozen=True, eq=False)
class _State:
    heights: np.ndarray  # (k, G')
    counts: tuple[bool, bool, int]  # whether an odd number of multipliers is > 1, and < -1; how many are outside
    angles: np.ndarray  # of the complex multipliers, the nearest to the circle first


def _state(model, word, gates) -> _State:
    """Give what is watched."""
    heights, jacobians = map(np.asarray, _held(model, word))
    values = composed_multipliers(jacobians)
    real, pairs = np.real(values[np.imag(values) == 0]), values[np.imag(values) > 0]
    counts = (np.sum(real > 1) % 2 == 1, np.sum(real < -1) % 2 == 1, int(np.sum(np.abs(values) > 1)))
    angles = np.angle(pairs[np.argsort(np.abs(np.log(np.abs(pairs))))])
    return _State(heights[:, gates], counts, angles)


def _angles(model, word, start: _State) -> np.ndarray:
    """Give angles from which to look for centers: of multipliers, and where e^{i angle} is nearly one."""
    if model.num_states < 2:
        return np.empty(0)
    sizes = np.array([np.linalg.svd(np.asarray(_matrix(model, word, a)), compute_uv=False)[-1] for a in _ANGLES])
    least = (sizes <= np.roll(sizes, 1)) & (sizes <= np.roll(sizes, -1))
    least[[0, -1]] = False
    return np.append(start.angles, _ANGLES[least])


def _met_before(
    model, boundary: Distance, start: _State, gates
) -> tuple[Any, tuple[Kind, tuple[int, int], float]] | None:
    """Give the first place on the way to a boundary beyond another one, and the test that has changed; or None."""
    word = boundary.word
    for share in np.linspace(0, 1 - _BEFORE, _LOOKS)[1:]:
        place = jax.tree.map(lambda p, q, share=share: p + share * (q - p), model, boundary.place)
        look = _state(place, word, gates)
        changed = np.argwhere(look.heights * start.heights < 0)
        if len(changed):
            step, gate = changed[0]
            return place, ("border collision", (int(step), gates[gate]), 0.0)
        kinds: tuple[Kind, ...] = ("degenerate transcritical", "degenerate flip", "center")
        for i, kind in enumerate(kinds):
            if look.counts[i] != start.counts[i]:
                return place, (kind, (0, 0), (0.0, np.pi, float(np.append(look.angles, np.pi / 2)[0]))[i])
    return None


# -- one test, in JAX -------------------------------------------------------------------------------------------------


@jax.jit
def _held(model, word):
    """Give the heights `(k, G)` of the cycle, and the Jacobians."""
    jacobians, offsets = pieces.shared(model, word)
    matrix = cyclic_matrix(jacobians, offsets, 1.0)
    points = jnp.linalg.solve(matrix[:, :-1], -matrix[:, -1]).reshape(offsets.shape)
    return jax.vmap(model.preactivations)(points), jacobians


def _cyclic(model, word, turn):
    jacobians, offsets = pieces.shared(model, word)
    return cyclic_matrix(jacobians, offsets, turn)


@jax.jit
def _matrix(model, word, angle):
    return _cyclic(model, word, jnp.exp(1j * angle))[:, :-1]


def _look(flat, unravel, word, at, angle, kind: Kind):
    """Give a test g, dg/dp, and (of a center) how far off its angle is, in all, and by each p.

    A center is two equations for p and the angle: g is what is left of them across the change with the angle.
    """

    def turned(p, angle):
        if kind == "border collision":
            model = unravel(p)
            zero = jnp.zeros(model.num_states)
            gradients, levels = jax.jacfwd(model.preactivations)(zero), model.preactivations(zero)
            return with_height(_cyclic(model, word, 1.0), at[0], gradients[at[1]], levels[at[1]])
        if kind == "center":
            return _matrix(unravel(p), word, angle)
        turn = 1.0 if kind == "degenerate transcritical" else -1.0
        return _cyclic(unravel(p), word, turn)[:, :-1]

    left, sizes, right = jnp.linalg.svd(turned(flat, angle))
    left, value, right = left[:, -1].conj(), sizes[-1], right[-1].conj()
    if kind != "center":
        slope = jax.grad(lambda p: left @ turned(p, angle) @ right)(flat)
        return value, slope, jnp.zeros_like(value), jnp.zeros_like(slope)
    swing = jax.jvp(lambda a: left @ turned(flat, a) @ right, (angle,), (jnp.ones_like(angle),))[1]
    across = 1j * swing / jnp.abs(swing)

    def part(p, way):
        return jnp.real(way.conj() * (left @ turned(p, angle) @ right))

    slope, drift = jax.grad(part)(flat, across), jax.grad(part)(flat, swing) / jnp.abs(swing) ** 2
    return jnp.real(across.conj() * value), slope, jnp.real(swing.conj() * value) / jnp.abs(swing) ** 2, drift


@functools.partial(jax.jit, static_argnames="kind")
def _estimate(model, word, at, angle, *, kind: Kind):
    """Give the distance to the zero of a test, as it is where the test is made linear; inf where no weight moves it."""
    flat, unravel = ravel_pytree(model)
    value, slope, _, _ = _look(flat, unravel, word, at, jnp.asarray(angle), kind)
    length = jnp.linalg.norm(slope)
    return jnp.where(length > 0, jnp.abs(value) / length, jnp.inf)


@functools.partial(jax.jit, static_argnames="kind")
def _unit(model, word, at, angle, *, kind: Kind):
    flat, unravel = ravel_pytree(model)
    slope = _look(flat, unravel, word, at, jnp.asarray(angle), kind)[1]
    return slope / jnp.linalg.norm(slope)


@functools.partial(jax.jit, static_argnames="kind")
def _projected(model, start, word, at, angle, *, kind: Kind):
    """Go from a start to the nearest zero of a test. **Returns:** the change of p, the angle, whether it is reached."""
    origin, unravel = ravel_pytree(model)
    begin = jnp.asarray(ravel_pytree(start)[0], origin.dtype)
    rounding = 64 * jnp.finfo(origin.dtype).eps * (1 + jnp.linalg.norm(origin))

    def seen(p, angle):
        look = value, slope, off, _ = _look(p, unravel, word, at, angle, kind)
        # The angle's share is counted in p as well: what it takes of p to make up for it.
        length = jnp.linalg.norm(slope)
        return look, jnp.linalg.norm(p - origin) + 2 * jnp.abs(value) / length + jnp.abs(off) * rounding

    def advance(state):
        p, angle, (value, slope, off, drift), merit, damping, _, count = state
        gap = p - origin
        step = slope * ((slope @ gap - value) / (slope @ slope)) - gap
        move = damping * step
        to, turned = p + move, angle - off - drift @ move
        look, worth = seen(to, turned)
        better = worth <= merit + rounding
        kept = jax.tree.map(
            functools.partial(jnp.where, better), (to, turned, look, worth), (p, angle, state[2], merit)
        )
        damping = jnp.where(better, jnp.minimum(1.0, 2 * damping), damping / 2)
        return *kept, damping, jnp.linalg.norm(step), count + 1

    def going(state):
        return (state[5] > rounding) & (state[6] < _ITERATIONS) & (state[4] > 1e-8)

    angle = jnp.asarray(angle, origin.dtype)
    one = jnp.ones((), origin.dtype)
    state = (begin, angle, *seen(begin, angle), one, jnp.inf * one, 0)
    p, angle, _, _, _, size, _ = jax.lax.while_loop(going, advance, state)
    for _ in range(3):
        value, slope, off, drift = _look(p, unravel, word, at, angle, kind)
        move = -slope * value / (slope @ slope)
        p, angle = p + move, angle - off - drift @ move
    value, slope, _, _ = _look(p, unravel, word, at, angle, kind)
    near = jnp.abs(value) <= 16 * rounding * jnp.linalg.norm(slope)
    return p - origin, angle, near & (size <= jnp.maximum(1e3 * rounding, 1e-6 * jnp.linalg.norm(p - origin)))
