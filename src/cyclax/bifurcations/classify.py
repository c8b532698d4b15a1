"""Where the walk of a word ends: from the numbers there to a typed event, and to the words that go on from it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import jax
import numpy as np
import scipy.linalg

from cyclax.bifurcations.branch import LOST, Branch, Paths, held
from cyclax.bifurcations.event import Event, EventType, Feigin, Flip, Side, feigin
from cyclax.cycles.decide import Decider
from cyclax.cycles.exact_form import exact_form
from cyclax.cycles.word import canonical_rotation, minimal_period
from cyclax.maps.affine import AffineForm, lengths_of

# A point is on a border where it is so to this share of the terms of the preactivation.
NEAR = 1e-9
# A multiplier this close to the unit circle is on it.
OUTSIDE = 1e-9
# And surely not, where it is off by this share.
_FAR = 1e-3
# Two gates have the same plane if its coefficients agree so closely.
_SAME_PLANE = 1e-12
# The weights of a gate vanish where they are this share of what they are elsewhere.
_VANISHED = 1e-9
# Gates of one plane cancel if this share of their jumps is left.
_CANCELED = 1e-14
# Two points of an orbit that shrinks to one of lower order agree to this share of their size.
_SAME_POINT = 1e-7
# At an event a multiplier is a root of unity to within this.
_ROOT = 1e-6
# Jacobians that change by more than this between neighboring places may have multipliers on both sides of +-1 there.
_MOVED = 1e-6
# A multiplier this close to +1 may pass it where a border is met.
_NEAR_ONE = 1e-6
# I - P has a solution where it is singular if q is so close to its range.
_IN_RANGE = 1e-8


class Continued(Protocol):
    """What is asked of a walk."""

    pair: int
    word: np.ndarray

    @property
    def side(self) -> Side:
        """Where it comes from."""
        ...


class Emanating(NamedTuple):
    """A word that is a cycle on one side of an event; tentative: that may be one."""

    pair: int
    word: np.ndarray
    side: Side
    tentative: bool = False


class SpecialPoint(NamedTuple):
    """An event with what identifies it (kind and words), and all words that meet there."""

    kind: str
    words: tuple[np.ndarray, ...]
    event: Event | None  # None: nothing happens, the gates that switch there cancel
    branches: tuple[Emanating, ...]


def _other(side: Side) -> Side:
    return "after" if side == "before" else "before"


def at_infinity(
    walk: Continued, found: Branch, row: int, values, both, place: float, width: float, family: bool
) -> SpecialPoint:
    """det(I - P) vanishes: the cycle runs to infinity, or, where the points stay, belongs to a line of cycles.

    `family`: that it does is known.
    """
    kind: EventType = "family" if family else "degenerate transcritical"
    if not family and np.all(np.isfinite(found.product[row])):
        # In units in which the rows of P are as large as its columns: those of the states say nothing.
        balanced, (units, _) = scipy.linalg.matrix_balance(found.product[row], permute=False, separate=True)
        left, sizes, _ = np.linalg.svd(np.eye(len(balanced)) - balanced)
        null = sizes <= max(sizes[-1], 1e-7 * sizes[0])
        offset = found.offset[row] / units
        if np.linalg.norm(left.T[null] @ offset) <= _IN_RANGE * np.linalg.norm(offset):
            kind = "family"
    several = np.sum(np.abs(values - 1) < _ROOT) > 1
    event = Event(
        type=kind,
        order=len(walk.word),
        at=place,
        bracket=width,
        words=(walk.word,),
        sides=(walk.side,),
        multipliers=both,
        reason="codimension two: several multipliers are +1" if several else "",
    )
    return SpecialPoint("infinity", (walk.word,), event, (Emanating(walk.pair, walk.word, _other(walk.side), True),))


def through_infinity(paths: Paths, pair, words, here: Branch, beyond: Branch, values, past) -> np.ndarray:
    """Whether words `(n, k, G)` go through infinity at once: det(I - P) changes sign, and they are cycles again.

    Where a multiplier is +1 next to the place, they may be so a little later: where q is in the range of I - P but
    for rounding, the cycle is at infinity within rounding of the place only.
    """
    through = (np.sign(here.minus) != np.sign(beyond.minus)) & np.all(beyond.heights >= 0, axis=(1, 2))
    rows = np.flatnonzero(~through & (np.min(np.abs(values - 1), axis=1) < _NEAR_ONE))
    if len(rows):
        there = held(paths, pair[rows], past[rows], words[rows])
        through[rows] = np.sign(here.minus[rows]) != np.sign(there.minus)
        through[rows] &= np.all(there.heights >= 0, axis=(1, 2))
    return through


def of_stability(walk: Continued, flips: bool, values, both, place: float, width: float) -> SpecialPoint:
    """A multiplier, or a pair of them, passes the unit circle with the word held."""
    passing = values[np.argmin(np.abs(np.abs(values) - 1))]
    kind: EventType = "center" if not flips and passing.imag != 0 else "degenerate flip"
    reason = ""
    if not flips and np.sum(np.abs(values - 1) < _ROOT) == 1:
        # One that was +1 to within rounding leaves it: passing it would have taken det(I - P) through 0.
        return SpecialPoint("none", (walk.word,), None, ())
    if not flips and passing.imag == 0:
        reason = "codimension two: two real multipliers pass the unit circle at once"
        kind = "degenerate flip" if passing.real < 0 else "family"
    event = Event(kind, len(walk.word), place, width, (walk.word,), ("both",), both, reason=reason)
    return SpecialPoint(kind, (walk.word,), event, ())


def at_border(
    walk: Continued,
    found: Branch,
    row: int,
    values,
    near,
    matter,
    scale: float,
    place: float,
    width: float,
    elsewhere: Callable[[], AffineForm],
    beyond: Branch | None = None,
) -> SpecialPoint:
    """One or more points of a word are on borders: `near (k, G)`; `scale` is the size of its points elsewhere.

    `found` is just before the event, and `beyond` just past it. `elsewhere` gives the borders far from there: planes
    that are one at the event alone switch together only to rounding.
    """
    word, side, order = walk.word, walk.side, len(walk.word)
    bounds = found.bounds.take(row)
    far = _far(found, row, scale)
    near, crossed = _heard(found, row, word, near & bounds.effective, far, elsewhere)
    if not np.any(near):
        return SpecialPoint("none", (word,), None, (Emanating(walk.pair, crossed, _other(side)),))
    period = _collapsed_period(found.points[row], word, near, matter, scale)
    steps, gates = np.nonzero(np.any(near.reshape(-1, period, near.shape[1]), axis=0))
    own = Event(
        type="border collision",
        order=order,
        at=place,
        bracket=width,
        words=(word,),
        sides=(side,),
        multipliers=(values,),
        gate=int(gates[0]),
        step=int(steps[0]),
    )
    only = Emanating(walk.pair, word, side)
    others = {int(gate) for gate in gates[1:]} - {int(gates[0])}
    if np.any(steps != steps[0]) or not all(_one_plane(bounds, elsewhere, int(gates[0]), gate) for gate in others):
        what = "points" if np.any(steps != steps[0]) else "gates"
        reason = f"codimension two: several {what} meet their borders at once"
        return SpecialPoint("border", (word,), replace(own, reason=reason), (only,))
    # All gates with that plane switch together.
    step = int(steps[0])
    group = _switching(bounds, int(gates[0]), far[step], elsewhere)
    gate = group[0]
    root, partner = word[:period], word[:period].copy()
    partner[step, group] = ~partner[step, group]
    opposite, rule = _ruled(found, row, period, step, group, partner)
    closed, opened = (partner, root) if root[step, gate] else (root, partner)
    shorter = minimal_period(partner & matter)
    if period == order and shorter < order:
        base = partner[:shorter]
        # Its Jacobians are those of the partner along one of its rounds.
        values = [one.multipliers_of(row, base, opposite[:shorter]) for one in (found, beyond) if one is not None]
        return _at_the_rim(walk, replace(own, gate=gate, step=step), base, values, only)
    if beyond is not None and _changing(found, beyond, row):
        other = _ruled(beyond, row, period, step, group, partner)[1]
        if other[:5] != rule[:5]:
            reason = "codimension two: a multiplier passes +1 or -1 at the same place"
            rule = rule._replace(type="border collision", flips=False, reason=reason)
    # Two planes that are one at the event alone leave words of which the rule does not speak.
    twice = np.concatenate([root, partner]) & matter
    doubles = rule.flips and 2 * period == order and np.array_equal(_turned(twice), _turned(word & matter))
    if period < order and not doubles:
        noun = "fixed point" if period == 1 else f"{period}-cycle"
        reason = f"born, or ending, with the border collision of a {noun}, onto which it shrinks"
        return SpecialPoint("border", (word,), replace(own, gate=gate, step=step, reason=reason), (only,))
    here = rule.doubled if doubles else rule.open if root[step, gate] else rule.closed
    return _by_rule(walk, own, rule, here, closed, opened, gate, step, matter)


def _turned(word: np.ndarray) -> np.ndarray:
    return np.roll(word, -canonical_rotation(word), axis=0)


def _ruled(found: Branch, row: int, period: int, step: int, group: list[int], partner) -> tuple[np.ndarray, Feigin]:
    """Ask Feigin's rule of a word, and the one with a group of gates switched at a step.

    **Returns:** the Jacobians of that one, and what the rule says.
    """
    own, opposite = found.jacobians[row, :period], found.jacobians[row, :period].copy()
    bounds = found.bounds.take(row)
    opposite[step] = _beyond(found, row, opposite[step], partner[step], _jump(bounds, ~partner[step], group))
    return opposite, feigin(*((own, opposite) if partner[step, group[0]] else (opposite, own)))


def _changing(found: Branch, beyond: Branch, row: int) -> bool:
    """Whether multipliers may pass +1 or -1 between two neighboring places: where weights are huge."""
    parts = [(one.jacobians[row], one.bounds.jumps[row]) for one in (found, beyond)]
    return any(np.max(np.abs(one - other), initial=0.0) > _MOVED for one, other in zip(*parts, strict=True))


def _by_rule(walk: Continued, own: Event, rule: Feigin, here: int, closed, opened, gate, step, matter) -> SpecialPoint:
    """Write down what Feigin's rule says; `here` is the sign of the common test function on the side of the walk."""
    turn = canonical_rotation(closed & matter)
    closed, opened = np.roll(closed, -turn, axis=0), np.roll(opened, -turn, axis=0)
    step = (step - turn) % len(closed)
    own = replace(own, gate=gate, step=step, order=len(closed), reason=rule.reason)
    if rule.type == "border collision":
        event = replace(own, words=(closed, opened), sides=("undecided", "undecided"), multipliers=rule.multipliers)
        sides: list[Side] = [
            walk.side if np.array_equal(word, np.roll(walk.word, -turn, axis=0)) else "undecided"
            for word in event.words
        ]
        event = replace(event, sides=tuple(sides))
        return SpecialPoint("border", (closed, opened), event, (Emanating(walk.pair, walk.word, walk.side),))

    def where(sign: int) -> Side:
        return walk.side if sign == here else _other(walk.side)

    twice = np.concatenate([closed, opened])
    event = replace(
        own,
        type=rule.type,
        words=(closed, opened),
        sides=(where(rule.closed), where(rule.open)),
        multipliers=rule.multipliers,
        flip=Flip(twice, where(rule.doubled)) if rule.flips else None,
    )
    branches = [Emanating(walk.pair, word, side) for word, side in zip(event.words, event.sides, strict=True)]
    if event.flip is not None:
        branches.append(Emanating(walk.pair, twice, event.flip.side))
    return SpecialPoint("border", (closed, opened), event, tuple(branches))


def _at_the_rim(walk: Continued, own: Event, shorter: np.ndarray, values: list, only: Emanating) -> SpecialPoint:
    """The partner repeats a shorter word: at the rim of the disk, or segment, of cycles around one of lower order.

    Where the shorter cycle has an m-th root of unity as a multiplier, I - P^m is singular, and cycles of m times its
    order fill a segment (-1) or polygon around it, up to a border; on that rim one of another word is born.

    `values`: the multipliers of the shorter word just before the event, and just past it.
    """
    base, times = len(shorter), len(walk.word) // len(shorter)
    noun = "fixed point" if base == 1 else f"{base}-cycle"
    kind: EventType = "border collision"
    reason = f"codimension two: its partner is a {noun} repeated {times} times"
    # Where weights are huge, one passes -1 between two neighboring places.
    passes = len({int(np.sum(np.real(one[np.imag(one) == 0]) < -1)) for one in values}) > 1
    if np.min(np.abs(values[0] ** times - 1)) < _ROOT or (times == 2 and passes):
        kind = "degenerate flip" if times == 2 else "center"
        reason = f"comes with the event of the {noun} of which a multiplier is a root of unity there"
    event = replace(own, type=kind, words=(walk.word, shorter), sides=(walk.side, "both"), reason=reason)
    return SpecialPoint("rim", (walk.word, shorter), event, (only,))


def plane_group(bounds: AffineForm, gate: int) -> list[int]:
    """The gates that switch together with one."""
    return [int(g) for g in np.flatnonzero(bounds.effective) if g == gate or _same_plane(bounds, gate, int(g))]


def _jump(bounds: AffineForm, gates: np.ndarray, group: list[int]) -> np.ndarray:
    """What the Jacobian gains where a state with these gates `(G,)` crosses the plane of a group."""
    return np.tensordot(np.where(gates[group], -1.0, 1.0), bounds.jumps[group], axes=1)


def _beyond(found: Branch, row: int, here: np.ndarray, gates: np.ndarray, jump: np.ndarray) -> np.ndarray:
    """Give the Jacobian beyond a border, for gates `(G,)`; where it is small beside its terms, as the model has it."""
    sum_ = here + jump
    if found.exact[row] is None and np.all(np.abs(sum_) >= LOST * (np.abs(here) + np.abs(jump))):
        return sum_
    return found.jacobian(row, gates)


def _switching(bounds: AffineForm, gate: int, far: np.ndarray, elsewhere: Callable[[], AffineForm]) -> list[int]:
    """Give the gates that switch together with one, at a point that is `far (G,)` from the borders of some.

    Where it is so of the one that is met, though its weights are there, terms have canceled on the way to that place,
    and nothing follows for others.

    Where the plane of a gate vanishes with its weights, so that it switches everywhere, it is any plane to rounding;
    those that vanish with it switch, too.
    """
    far = far & (not far[gate] or _vanish(bounds, elsewhere, gate))
    some = [g for g in plane_group(bounds, gate) if g != gate and (not far[g] or _vanish(bounds, elsewhere, gate, g))]
    return sorted({gate, *(g for g in some if _one_plane(bounds, elsewhere, gate, g))})


def _vanish(bounds: AffineForm, elsewhere: Callable[[], AffineForm], *gates: int) -> bool:
    """Whether the weights of some gates vanish at an event, beside what they are far from there."""
    here, there = (lengths_of(form.gradients[list(gates)]) for form in (bounds, elsewhere()))
    return bool(np.all(here < _VANISHED * there))


def _one_plane(bounds: AffineForm, elsewhere: Callable[[], AffineForm], one: int, other: int) -> bool:
    """Whether two gates have the same plane at an event, and far from there."""
    return _same_plane(bounds, one, other) and _same_plane(elsewhere(), one, other)


def _far(found: Branch, row: int, scale: float) -> np.ndarray:
    """Say which borders the points of a word, elsewhere of size `scale`, are surely not on `(k, G)`."""
    terms = scale * np.sum(np.abs(found.bounds.gradients[row]), axis=1) + np.abs(found.bounds.offsets[row])
    return np.abs(found.heights[row]) > _FAR * np.maximum(found.sizes[row], terms)


def _heard(
    found: Branch,
    row: int,
    word: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    elsewhere: Callable[[], AffineForm],
) -> tuple[np.ndarray, np.ndarray]:
    """Take out of `near (k, G)` the planes whose gates cancel, and give the word beyond these."""
    near, crossed, model, exact = near.copy(), word.copy(), None, None
    bounds = found.bounds.take(row)
    for step, gate in np.argwhere(near):
        group = _switching(bounds, int(gate), far[step], elsewhere)
        if len(group) > 1 and near[step, gate]:
            # Beside a large Jacobian float64 leaves nothing of small jumps, which then seem to cancel.
            model = model or jax.tree.map(lambda leaf: leaf[row], found.models)
            exact = exact or exact_form(model)
            switched = crossed[step].copy()
            switched[group] = ~switched[group]
            jump, largest = (np.max(np.abs(some)) for some in (_jump(exact, word[step], group), exact.jumps[group]))
            if jump <= _CANCELED * largest and (
                largest > 0 or Decider(model, exact.effective).same(crossed[step], switched)
            ):
                near[step, group], crossed[step] = False, switched
    return near, crossed


def _collapsed_period(points, word, near, matter, scale: float) -> int:
    """The order of the orbit to which the points shrink, by blocks of words that differ only in gates on borders."""
    order = len(points)
    if np.sum(np.any(near, axis=1)) < 2:
        return order
    size = max(np.max(np.abs(points)), scale)  # it may shrink to the point 0
    for period in range(1, order):
        if order % period:
            continue
        apart = np.max(np.abs(points - np.roll(points, -period, axis=0)))
        differ = (word != np.roll(word, -period, axis=0)) & matter
        shared = np.any(near.reshape(-1, period, near.shape[1]), axis=0)
        if np.any(differ & ~np.tile(shared, (order // period, 1))):
            continue
        if apart <= _SAME_POINT * size:
            return period
    return order


def _same_plane(bounds: AffineForm, one: int, other: int) -> bool:
    rows = np.concatenate([bounds.gradients, bounds.offsets[:, None]], axis=1)[[one, other]]
    rows = rows / lengths_of(rows[:, :-1])[:, None]
    near = _SAME_PLANE * np.append(np.ones(rows.shape[1] - 1), np.max(np.abs(rows[:, -1])))
    return any(bool(np.all(np.abs(rows[0] - sign * rows[1]) <= near)) for sign in (1, -1))
