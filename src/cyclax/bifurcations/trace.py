"""`trace`: the verb. A bifurcation of a cycle, followed through a plane of two parameters."""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from cyclax.bifurcations.curve import Curve
from cyclax.bifurcations.event import Event, EventType
from cyclax.bifurcations.singular import Kind, Singular
from cyclax.bifurcations.tracer import CONVERGED, FIRST, ZERO, Place, Tracer, tangent_of
from cyclax.core.checks import real, whole
from cyclax.core.numerics import numerics, on_host
from cyclax.cycles.multipliers import composed_multipliers
from cyclax.cycles.orders import checked_word
from cyclax.maps.affine import lengths_of
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.parameter import Parameter, checked_parameters
from cyclax.maps.stack import checked_model

# What follows the events of these types.
KINDS: dict[str, Kind] = {
    "persistence": "border collision",
    "nonsmooth fold": "border collision",
    **{kind: kind for kind in get_args(Kind)},
}
# Newton's method goes no further at once, in shares of the window, and so many steps.
_STRIDE, _STEPS = 0.2, 48
# So many of the nearest borders are tried where none is given.
_BORDERS = 16


def trace(
    model: AbstractPiecewiseLinearMap,
    cycle: Any,
    parameters: Sequence[Parameter | str],
    *,
    event: Event | EventType,
    window: Any,
    at: tuple[int, int] | None = None,
    start: Sequence[float] | None = None,
    largest_step: float = 0.02,
    most: int = 2000,
) -> Curve:
    """Follow a bifurcation of a cycle through a plane of two parameters, both ways.

    With the word held, the unknowns are the two parameters alone, and the bifurcation is one equation for them, which
    is followed by Newton's method along the curve's normal. All other tests of the word, and of its partner beyond the
    border, are watched: where one changes its sign, the place is bisected and named, and the curve goes on; at a corner
    with the word in which that gate is flipped. A word is one cycle: curves of its partner, or of a cycle of twice the
    order, are curves of their own.

    **Arguments:**

    - `model`: the network.
    - `cycle`: a `Cycle`, or its word `(k, G)`; with an `Event` also None, for the word of the event.
    - `parameters`: two of them, `cx.Parameter("A", 0)` or "A[0]".
    - `event`: an `Event`, or its type: "border collision" (whatever it does), "degenerate transcritical",
      "degenerate flip" or "center".
    - `window`: the ends of both parameters, `((low, high), (low, high))`.
    - `at`: the step and the gate of a border, by default the nearest that the cycle comes to.
    - `start`: values of both parameters near to the curve, from which Newton's method goes; by default those that the
      model has.
    - `largest_step`: between points of the curve, in shares of the window; `most`: points each way.

    **Returns:** a `Curve`.

    **Raises:** `TypeError` and `ValueError` that name the argument; `ValueError` where there is no such curve nearby:
    Newton's method fails, or what it finds is not a cycle, or the parameters do nothing.
    """
    model = checked_model(model)
    checked = checked_parameters(model, parameters)
    if len(checked) != 2:
        raise ValueError(f"parameters: curves lie in a plane of two parameters, got {len(checked)}.")
    kind, word, at = _checked_event(model, cycle, event, at)
    ends = np.asarray(window, float)
    if ends.shape != (2, 2) or not np.all(np.isfinite(ends)) or not np.all(ends[:, 0] < ends[:, 1]):
        raise ValueError(f"window: expected ((low, high), (low, high)), a pair for each parameter, got {window!r}.")
    own = None if start is None else np.asarray(start, float)
    if own is not None and (own.shape != (2,) or not np.all(np.isfinite(own))):
        raise ValueError(f"start: expected a value for each of the two parameters, got {start!r}.")
    if own is None and any(parameter.set is not None for parameter in checked):
        raise ValueError("start: what a function moves has no value of its own; give those at which to begin.")
    step, most = real(largest_step, "largest_step", positive=True), whole(most, "most")
    with numerics(), on_host():
        return _both_ways(Tracer(model, (checked[0], checked[1]), ends, kind, step, most), word, at, own)


def _checked_event(model, cycle: Any, event: Any, at: Any) -> tuple[Kind, np.ndarray, tuple[int, int] | None]:
    name = event.type if isinstance(event, Event) else event
    if name not in KINDS:
        raise ValueError(f"event: {name!r} is not followed; these are: {', '.join(KINDS)}.")
    if isinstance(event, Event):
        at = at if event.gate is None or event.step is None else (event.step, event.gate)
        cycle = event.words[0]
    elif cycle is None:
        raise TypeError("cycle: expected a Cycle or its word (k, G); None is for an Event, which has its words.")
    word = checked_word(cycle, model.num_gates)
    if at is not None:
        at = whole(at[0], "at: the step", 0, len(word) - 1), whole(at[1], "at: the gate", 0, model.num_gates - 1)
    return KINDS[name], word, at


def _both_ways(tracer: Tracer, word: np.ndarray, at: tuple[int, int] | None, start: np.ndarray | None) -> Curve:
    """Find the curve, and follow it both ways."""
    if start is None:
        start = np.array([parameter.own(tracer.model) for parameter in tracer.parameters])
    first = (start - tracer.window[:, 0]) / np.ptp(tracer.window, axis=1)
    test, begin = _begun(tracer, word, at, first)
    way = tangent_of(begin.look)
    _refuse_several(tracer, test, begin, way)
    arcs, special, ends = tracer.followed(test, begin, way)
    if ends != "closed":
        back, before, other = tracer.followed(test, begin, -way)
        joined = dataclasses.replace(
            arcs[0],
            points=np.concatenate([back[0].points[:0:-1], arcs[0].points]),
            angles=np.concatenate([back[0].angles[:0:-1], arcs[0].angles]),
        )
        arcs = [*(arc.reversed() for arc in reversed(back[1:])), joined, *arcs[1:]]
        special, ends = [*reversed(before), *special], (other, ends)
    else:
        ends = (ends,)
    return Curve(tracer.model, tracer.parameters, tracer.window, tuple(arcs), tuple(special), ends)


def _singular(tracer: Tracer, word: np.ndarray, at: tuple[int, int] | None) -> Singular:
    words = word[None]
    if tracer.kind == "border collision":
        assert at is not None
        if not tracer.bounds.effective[at[1]]:
            raise ValueError(f"at: gate {at[1]} does nothing in this model: the map is the same on both sides.")
        partner = tracer.flipped(word, at)
        words = np.stack([partner, word] if word[at] else [word, partner])
    singular = Singular(tracer.model, tracer.parameters, tracer.window, tracer.kind, words, at or (0, 0))
    for one in words:
        if tracer.repeats(one):
            raise ValueError(
                "event: a word of this border repeats a shorter one, so that the cycle shrinks onto one of lower "
                "order, or is born with it: trace that one."
            )
    return singular


def _begun(tracer: Tracer, word: np.ndarray, at: tuple[int, int] | None, first: np.ndarray) -> tuple[Singular, Place]:
    """Give the test, and where its curve is reached; of borders the nearest of which there is one."""
    tried = _nearest_borders(tracer, word, first) if tracer.kind == "border collision" and at is None else [at]
    errors = []
    for one in tried:
        try:
            test = _singular(tracer, word, one)
            return test, _reached(tracer, test, first)
        except ValueError as error:
            errors.append(error)
    raise errors[0] if errors else ValueError("event: no gate of this model does anything: there are no borders.")


def _refuse_several(tracer: Tracer, test: Singular, begin: Place, way: np.ndarray) -> None:
    """Raise where other points of the cycle, or other gates, are on borders all along, as in symmetric networks."""
    beside = tracer.corrected(test, begin.unknowns + FIRST * way, way, begin.look.frame)
    places = [begin] if beside is None else [begin, beside]
    heights = [np.abs(tracer.heights(test, place.look)) for place in places]
    met = np.logical_and.reduce([some <= ZERO * np.max(some) for some in heights]) & tracer.watched(test)
    if np.any(met):
        step, gate = np.argwhere(met)[0].tolist()
        raise ValueError(
            f"event: all along this curve the cycle meets another border as well (of gate {gate} at step {step}), as "
            "in symmetric networks: what happens there is not told by one gate, and it is not followed."
        )


def _nearest_borders(tracer: Tracer, word: np.ndarray, unknowns: np.ndarray) -> list[tuple[int, int]]:
    """Give the steps and gates at which the cycle is nearest to borders."""
    probe = Singular(tracer.model, tracer.parameters, tracer.window, "degenerate flip", word[None])
    look = probe.look(unknowns, probe.frame(unknowns))
    distances = np.abs(look.heights) / np.where(tracer.bounds.effective, lengths_of(tracer.bounds.gradients), 1.0)
    nearest = np.argsort(np.where(tracer.bounds.effective, distances, np.inf), axis=None)[:_BORDERS]
    places = np.stack(np.unravel_index(nearest, distances.shape), axis=1)
    return [(step, gate) for step, gate in places.tolist() if tracer.bounds.effective[gate]]


def _reached(tracer: Tracer, test: Singular, first: np.ndarray) -> Place:
    """Go from the model to the curve, by the shortest way."""
    unknowns = first
    if tracer.kind == "center":
        unknowns = np.append(first, _angle_of(tracer, test, first))
    frame = test.frame(unknowns)
    where = ", ".join(f"{p.label} = {v:.6g}" for p, v in zip(tracer.parameters, test.place(first), strict=True))
    look = test.look(unknowns, frame)
    for _ in range(_STEPS):
        if not np.all(np.isfinite(look.slope)):
            break
        if np.max(np.abs(look.slope[:, :2])) < ZERO:
            raise ValueError(f"parameters: at {where} the {tracer.kind} of this cycle does not depend on them.")
        move = -np.linalg.lstsq(look.slope, look.value, rcond=None)[0]
        size = float(np.linalg.norm(move))
        if size < CONVERGED:
            break
        unknowns = unknowns + move * min(1.0, _STRIDE / size)
        frame = test.frame(unknowns) if size > 1e-3 else look.frame
        look = test.look(unknowns, frame)
    place = tracer.corrected(test, unknowns, tangent_of(look), look.frame) if np.all(np.isfinite(look.slope)) else None
    if place is None:
        raise ValueError(
            f"event: from {where} Newton's method finds no {tracer.kind} of this cycle; begin nearer to it (events of "
            "cx.compare, and of a map's boundaries, say where they are)."
        )
    found = ", ".join(f"{v:.6g}" for v in test.place(place.unknowns))
    if not place.signs["window"]:
        raise ValueError(f"window: the {tracer.kind} of this cycle nearest to {where} is at ({found}), outside.")
    if not _is_cycle(tracer, test, place):
        raise ValueError(
            f"event: the {tracer.kind} found from {where}, at ({found}), is none of a cycle: its points there do not "
            "meet the gates of the word."
        )
    return place


def _angle_of(tracer: Tracer, test: Singular, unknowns: np.ndarray) -> float:
    probe = dataclasses.replace(test, kind="degenerate flip")
    jacobians = probe.look(unknowns, probe.frame(unknowns)).jacobians
    values = composed_multipliers(jacobians[0])
    pairs = values[np.imag(values) > 0]
    if not len(pairs):
        raise ValueError("event: this cycle has no complex multipliers here, so that no center is near.")
    return float(np.angle(pairs[np.argmin(np.abs(np.abs(pairs) - 1))]))


def _is_cycle(tracer: Tracer, test: Singular, place: Place) -> bool:
    """Whether the points of the orbit meet the gates, but where several are on borders."""
    heights = tracer.heights(test, place.look)
    least = -ZERO * np.max(np.abs(heights))
    agree = np.where(test.words[0], heights, -heights)
    ways = [np.min(way * agree, where=tracer.watched(test), initial=0.0) for way in (1, -1)]
    if tracer.kind == "degenerate transcritical":
        return max(ways) >= least
    return ways[0 if place.look.orbit[-1] >= 0 else 1] >= least
