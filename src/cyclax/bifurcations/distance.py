"""`distance_to_bifurcation`: the nearest boundary of a cycle in the space of all weights.

With the word held, every test of a cycle (the heights of its points over the borders, and the multipliers, see
`singular`) is a smooth function of the weights p. The nearest zero of one test solves min |q - p| with g(q) = 0: q - p
is along the gradient of g. The tests whose zeros are nearest where they are made linear are followed to them (see
`projection`), which finds local minima only. By the envelope theorem the derivative of the distance by p is minus the
unit vector towards q.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from cyclax.bifurcations.classify import plane_group
from cyclax.bifurcations.event import feigin
from cyclax.bifurcations.projection import (
    ITERATIONS,
    End,
    Search,
    advanced,
    begun,
    border_estimates,
    framed,
    held,
    matrix,
    projected,
    slope_of,
    test_of,
)
from cyclax.bifurcations.singular import Kind, cyclic_matrix
from cyclax.core.budget import Budget, SpentError
from cyclax.core.checks import real
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics, on_host
from cyclax.core.stop import Stop
from cyclax.cycles.multipliers import composed_multipliers
from cyclax.cycles.orders import checked_word
from cyclax.maps.affine import AffineForm, affine_form, lengths_of, pieces
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model, require_one_shape

# So many of the nearest by the linear estimate are refined, and so often a nearer one is met on the way to the nearest.
_REFINED, _ROUNDS = 12, 12
# A search is asked for so many seconds at once: then Ctrl-C is heard.
_SECONDS = 0.2
# Looks along the way to a boundary, the last so little before it.
_LOOKS, _BEFORE = 33, 1e-6
# Angles at which centers are looked for.
_ANGLES = np.linspace(0, np.pi, 26)[1:-1]
# What is found with an angle so close to 0 or pi is a double multiplier +1 or -1, which is no center.
_ON_AXIS = 1e-3
# Planes whose normals agree less closely are surely two.
_PARALLEL = 1e-6
# Distances that agree to this share are equal, as in symmetric networks.
_EQUAL = 1e-9
# Singular values below this share of the largest are 0.
_ROUNDING = 1e-14


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
    - `interrupted`: why it stopped early, if it did: nearer ones may have been missed.
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
    interrupted: str | None = None

    def of(self, model: Any) -> Any:
        """Give the distance of a model nearby, as a function to differentiate: a term of a loss.

        It is the least over this boundary and those of `nearest`, which are followed from where they were. Beyond a
        boundary it is negative. What was not found is not watched: find the distance anew from time to time.

        **Arguments:** `model`: one of the same shapes, traced or not.

        **Returns:** a number; NaN where no boundary is reached.

        **Raises:** `ValueError` for a model of another class or shape.
        """
        require_one_shape((self.place, model), ("that of this distance", "the one given"), "model: both")
        flat, _ = ravel_pytree(model)
        fixed = jax.lax.stop_gradient(model)
        values = []
        for one in (self, *self.nearest):
            gap, _, _, reached = projected(fixed, one.place, self.word, one.type, one.step, one.gate, one.angle)
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
    def harmless(self) -> bool:
        """Whether the cycle only crosses a border there, by Feigin's rule: it persists, as stable, and none is born."""
        if self.step is None or self.gate is None:
            return False
        with numerics(), on_host():
            partner = self.word.copy()
            group = plane_group(affine_form(self.place), self.gate)
            partner[self.step, group] = ~partner[self.step, group]
            both = [np.asarray(pieces.shared(self.place, word)[0]) for word in (self.word, partner)]
            rule = feigin(*(both if partner[self.step, self.gate] else both[::-1]))
        outside = {int(np.sum(np.abs(values) > 1)) for values in rule.multipliers}
        return rule.type == "persistence" and not rule.flips and len(outside) == 1

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
        text += f"; not reached: {', '.join(self.unreached)}" if self.unreached else ""
        return text + (f"; STOPPED EARLY: {self.interrupted}" if self.interrupted else "")


def _unraveled(flat: np.ndarray, model: Any) -> Any:
    """Give the numbers in the shape of a model."""
    leaves, structure = jax.tree.flatten(model)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    return structure.unflatten(
        [part.reshape(leaf.shape) for part, leaf in zip(np.split(flat, ends), leaves, strict=True)]
    )


def _named(kind: Kind, at: Any) -> str:
    return kind + (f" of gate {at[1]} at step {at[0]}" if kind == "border collision" else "")


def distance_to_bifurcation(model: AbstractPiecewiseLinearMap, cycle: Any, *, seconds: float | None = None) -> Distance:
    """Find the nearest boundary of a cycle in the space of all its weights: which smallest change makes it bifurcate.

    Each test of the cycle (borders, multipliers +1, -1 and on the circle) has its nearest zero, to which a linear
    estimate leads, and then iterations, which find a *local* minimum; the way to the nearest is looked over for others
    that come before. All entries of all leaves count alike, also those that are constants of the model (dt, say).

    **Arguments:**

    - `model`: the network; its leaves are the weights that move.
    - `cycle`: a `Cycle` of it, or its word `(k, G)`.
    - `seconds`: a budget; None: no limit. Compilation, once for each shape, counts as well.

    **Returns:** a `Distance`, which tells the direction, and can be differentiated (`Distance.of`). When the seconds
    are over, or after Ctrl-C, what is known by then, and `interrupted` says so: the nearest boundary that was reached
    or, where none was, the linear estimate of the nearest (`place` is then only near to it).

    **Raises:** `TypeError` and `ValueError` where `seconds` is no time; `ValueError` where the word is no cycle of the
    model, where no weight moves any test, and where no boundary is reached.
    """
    model = checked_model(model)
    word = checked_word(cycle, model.num_gates)
    limit, began = None if seconds is None else real(seconds, "seconds", positive=True), Budget.clock()
    with Interruption() as interruption, numerics(), on_host():
        found = _Search(model, word, Stop(limit, interruption, began)).nearest()
    return found


_matrix = jax.jit(matrix, static_argnames="center")
_cyclic = jax.jit(cyclic_matrix)


class _Test(NamedTuple):
    kind: Kind
    at: tuple[int, int] = (0, 0)  # step and gate of a border
    angle: float = 0.0  # of a center: to begin from

    @property
    def name(self) -> str:
        return _named(self.kind, self.at)


class _Search:
    """One call: the tests by their linear estimates, and the boundaries that are reached."""

    def __init__(self, model, word: np.ndarray, stop: Stop):
        self.model, self.word, self.stop = model, word, stop
        bounds = affine_form(model)
        self.gates = _planes(bounds)
        self.start = _state(model, word, self.gates)
        wrong = self.start.heights * np.where(word[:, self.gates], 1, -1) < 0
        if np.any(wrong) or not np.all(np.isfinite(self.start.heights)):
            raise ValueError("cycle: its word is no cycle of this model: the points it fixes do not meet its gates.")
        self.tests: list[_Test] = []
        self.estimates: list[float] = []
        self.found: list[Distance] = []
        self.failed: list[tuple[float, str]] = []

    def nearest(self) -> Distance:
        """Give the nearest boundary, or what is known of it when it is time to stop."""
        try:
            self._estimate()
            self._refine()
            return self._looked_over()
        except SpentError:
            return dataclasses.replace(self._so_far(), interrupted=self.stop.reason())

    def _go_on(self) -> None:
        if self.stop():
            raise SpentError

    def _estimate(self) -> None:
        """List the tests with the distances to their zeros where they are made linear."""
        places = [(step, gate) for step in range(len(self.word)) for gate in self.gates]
        if places:
            steps, gates = np.array(places).T
            self.tests += [_Test("border collision", at) for at in places]
            self.estimates += np.asarray(border_estimates(self.model, self.word, steps, gates)).tolist()
        others = [_Test("degenerate transcritical"), _Test("degenerate flip")]
        for test in itertools.chain(others, self._centers()):
            self.tests.append(test)
            at_once = self._at_once(test)
            self.found += at_once
            self.estimates.append(np.inf if at_once else self._linear(test)[0])
            self._go_on()
        if not self.found and not np.any(np.isfinite(self.estimates)):
            raise ValueError("model: no weight of this model moves any test of this cycle, so that it has no boundary.")

    def _centers(self) -> Iterator[_Test]:
        """Give angles from which to look for centers: of multipliers, and where e^{i angle} is nearly one."""
        if self.model.num_states < 2:
            return
        _, _, jacobians, offsets = held(self.model, self.word)
        still, turned = (np.asarray(_cyclic(jacobians, offsets, turn))[:, :-1] for turn in (0.0, 1.0))
        turning = turned - still
        angles, sizes = np.append(_ANGLES, self.start.angles), []
        for angle in angles:
            self._go_on()
            sizes.append(np.linalg.svd(still + np.exp(1j * angle) * turning, compute_uv=False)[-1])
        grid = np.array(sizes[: len(_ANGLES)])
        least = (grid <= np.roll(grid, 1)) & (grid <= np.roll(grid, -1))
        least[[0, -1]] = False
        kept = np.append(np.flatnonzero(least), np.arange(len(_ANGLES), len(angles)))
        for i in kept[np.argsort(np.array(sizes)[kept])][:_REFINED]:
            yield _Test("center", angle=float(angles[i]))

    def _at_once(self, test: _Test) -> list[Distance]:
        """Give the boundary on which the model lies with several multipliers: then no null vector is the one."""
        if test.kind == "center":
            return []
        at = np.asarray(_matrix(self.model, self.word, test_of(test.kind, *test.at), test.angle, center=False))
        sizes = np.linalg.svd(at[:-1, :-1], compute_uv=False)
        if np.sum(sizes <= _ROUNDING * sizes[0]) < 2:
            return []
        slope = np.asarray(slope_of(self.model, self.word, test_of(test.kind, *test.at), *framed(at, False, np)))
        length = float(np.linalg.norm(slope))
        return [self._distance(test, np.zeros_like(slope), slope / length)] if length > 0 else []

    def _linear(self, test: _Test) -> tuple[float, np.ndarray]:
        """Give the distance to the zero of a test made linear, and the change of the weights that leads there."""
        look = self._advanced(test, self._begun(self.model, test), 1)[0].look
        value, slope = float(look.value), np.asarray(look.slope)
        length = float(np.linalg.norm(slope))
        return (abs(value) / length, -value / length**2 * slope) if length > 0 else (np.inf, slope)

    def _begun(self, start, test: _Test) -> Search:
        center = test.kind == "center"
        at = np.asarray(_matrix(start, self.word, test_of(test.kind, *test.at), test.angle, center=center))
        left, right = framed(at, test.kind == "border collision", np)
        return begun(start, np.float64, test.angle, left, right, np)

    def _advanced(self, test: _Test, search: Search, most: int) -> tuple[Search, End, bool]:
        where = test_of(test.kind, *test.at)
        return advanced(self.model, self.word, where, search, most, center=test.kind == "center")

    def _refine(self) -> None:
        """Follow the tests that are nearest by their estimates to their zeros."""
        for i in np.argsort(self.estimates)[:_REFINED]:
            test = self.tests[i]
            one = self._refined(self.model, test) if np.isfinite(self.estimates[i]) else None
            if one is not None:
                self.found.append(one)
            elif test.kind != "center":  # angles of the search, from which there may be none
                # Estimated again where it has no pole: a height has, and may seem nearer than it is.
                self.failed.append((self._linear(test)[0], test.name))

    def _refined(self, start, test: _Test) -> Distance | None:
        search, done, most = self._begun(start, test), False, 8
        end: Any = None
        while not done:
            self._go_on()
            before, began = int(search.count), Budget.clock()
            search, end, done = self._advanced(test, search, most)
            made = int(search.count) - before
            more = int(np.clip(made * _SECONDS / (Budget.clock() - began), 4, ITERATIONS))
            most = min(most + more, ITERATIONS)  # where it ends must not depend on the clock
        gap, unit, angle, reached = map(np.asarray, end)
        if not reached or (test.kind == "center" and abs(np.sin(angle)) < _ON_AXIS):
            return None
        length = float(np.linalg.norm(gap))
        return self._distance(test._replace(angle=float(angle)), gap, gap / length if length > 0 else unit)

    def _distance(self, test: _Test, gap: np.ndarray, unit: np.ndarray) -> Distance:
        step, gate = test.at if test.kind == "border collision" else (None, None)
        direction = _unraveled(unit, self.model)
        place = jax.tree.map(np.add, self.model, _unraveled(gap, self.model))
        angle = test.angle if test.kind == "center" else None
        return Distance(float(np.linalg.norm(gap)), test.kind, step, gate, angle, direction, place, self.word)

    def _looked_over(self) -> Distance:
        """Give the nearest, with no other on the way to it."""
        for _ in range(_ROUNDS):
            if not self.found:
                break
            before = self._met_before()
            if before is None:
                return self._so_far()
            nearer = self._refined(*before)
            if nearer is None or nearer.distance >= self.found[0].distance:
                # What comes before is not reached: neither is what lies behind it.
                self.found = self.found[1:]
            else:
                self.found.append(nearer)
        raise ValueError("model: no boundary of this cycle is reached: the iterations towards all of them fail.")

    def _so_far(self) -> Distance:
        self.found = _distinct(self.found)
        if not self.found:
            test = self.tests[int(np.argmin(self.estimates))]
            gap = self._linear(test)[1]
            return self._distance(test, gap, gap / np.linalg.norm(gap))
        nearest = self.found[0].distance
        unreached = tuple(name for estimate, name in self.failed if estimate < nearest)
        return dataclasses.replace(self.found[0], nearest=tuple(self.found[1:]), unreached=unreached)

    def _met_before(self) -> tuple[Any, _Test] | None:
        """Give the first place on the way to the nearest that is beyond another, and the test that has changed."""
        self.found = _distinct(self.found)
        end, start = self.found[0].place, self.start
        for share in np.linspace(0, 1 - _BEFORE, _LOOKS)[1:]:
            self._go_on()
            place = jax.tree.map(lambda p, q, share=share: p + share * (q - p), self.model, end)
            look = _state(place, self.word, self.gates)
            changed = np.argwhere(look.heights * start.heights < 0)
            if len(changed):
                step, gate = changed[0]
                return place, _Test("border collision", (int(step), self.gates[gate]))
            kinds: tuple[Kind, ...] = ("degenerate transcritical", "degenerate flip", "center")
            for i, kind in enumerate(kinds):
                if look.counts[i] != start.counts[i]:
                    return place, _Test(kind, angle=float(np.append(look.angles, np.pi / 2)[0]))
        return None


def _planes(bounds: AffineForm) -> list[int]:
    """Give the first gate of each plane that matters."""
    gates = np.flatnonzero(bounds.effective)
    units = bounds.gradients[gates] / lengths_of(bounds.gradients[gates])[:, None]
    parallel = np.sum(np.abs(units @ units.T) > 1 - _PARALLEL, axis=1) > 1
    pairs = zip(gates.tolist(), parallel, strict=True)
    return [g for g, beside in pairs if not beside or plane_group(bounds, g)[0] == g]


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
    heights, _, jacobians, _ = map(np.asarray, held(model, word))
    values = composed_multipliers(jacobians)
    real, pairs = np.real(values[np.imag(values) == 0]), values[np.imag(values) > 0]
    counts = (np.sum(real > 1) % 2 == 1, np.sum(real < -1) % 2 == 1, int(np.sum(np.abs(values) > 1)))
    angles = np.angle(pairs[np.argsort(np.abs(np.log(np.abs(pairs))))])
    return _State(heights[:, gates], counts, angles)
