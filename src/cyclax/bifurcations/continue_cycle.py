"""`continue_cycle`: the verb. A cycle followed in one parameter, across borders, stable or not."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

from cyclax.bifurcations.branch import held_in
from cyclax.bifurcations.compare import balanced_path
from cyclax.bifurcations.comparison import Comparison, Groups
from cyclax.bifurcations.event import Event, Side
from cyclax.core.checks import whole
from cyclax.core.numerics import numerics
from cyclax.cycles.orders import checked_word
from cyclax.cycles.word import WordKey, word_key
from cyclax.maps.affine import affine_form
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.parameter import Parameter, checked_parameters, moved_stack
from cyclax.maps.stack import checked_model

# A word is read off so little past an event, as a share of the way, that it begins at the event.
_PAST = 1e-5
_OTHER: dict[Side, Side] = {"before": "after", "after": "before"}


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """Where one word is a cycle, and the cycle at those of the values asked for that lie there.

    - `word` `(k, G)`; `low`, `high`: from one value of the parameter to another.
    - `values` `(n,)`, rising; `points` `(n, k, M)`, `multipliers` `(n, M)`.
    """

    word: Bool[np.ndarray, "k G"]
    low: float
    high: float
    values: Float[np.ndarray, " n"]
    points: Float[np.ndarray, "n k M"]
    multipliers: Complex[np.ndarray, "n M"]

    @property
    def stable(self) -> Bool[np.ndarray, " n"]:
        """Whether it is stable at each value."""
        return np.all(np.abs(self.multipliers) < 1, axis=1)

    def __repr__(self) -> str:
        noun = "fixed point" if len(self.word) == 1 else f"{len(self.word)}-cycle"
        return f"{noun} from {self.low:.12g} to {self.high:.12g}, stable at {np.sum(self.stable)} of {len(self.values)}"


@dataclasses.dataclass(frozen=True, eq=False)
class Continued:
    """A cycle in one parameter, and all that is connected with it through events.

    - `parameter`; `stretches`: of all words, by where they begin.
    - `events`: `event.at` is the value of the parameter, and "before" is below it.
    """

    parameter: Parameter
    stretches: tuple[Stretch, ...]
    events: tuple[Event, ...]

    def __repr__(self) -> str:
        events = f"{len(self.events)} event{'' if len(self.events) == 1 else 's'}"
        stretches = f"{len(self.stretches)} stretch{'' if len(self.stretches) == 1 else 'es'}"
        lines = [f"Cycles over {self.parameter.label}: {stretches}, {events}"]
        rows = [*((one.low, repr(one)) for one in self.stretches), *((event.at, str(event)) for event in self.events)]
        return "\n".join(lines + [f"  {text}" for _, text in sorted(rows)])


def continue_cycle(
    model: AbstractPiecewiseLinearMap,
    cycle: Any,
    parameter: Parameter | str,
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    doublings: int = 1,
) -> Continued:
    """Follow a cycle in one parameter from its value in the model, both ways, and what takes its place at events.

    At a border where it persists it goes on with the word beyond; at a fold its partner takes over, back again; where
    a cycle of twice the order is born that is followed too. In each stretch the cycle is the solution of its word, at
    any value, and the ends are located to neighboring numbers.

    **Arguments:**

    - `model`, `cycle`: a network, and a `Cycle` of it or its word `(k, G)`.
    - `parameter`: `cx.Parameter("A", 0)` or "A[0]", with a value in the model.
    - `values`: at which points and multipliers are wanted; it is followed from the smallest to the largest.
    - `doublings`: how often the order may double.

    **Returns:** `Continued`.

    **Raises:** `TypeError` and `ValueError` that name the argument.
    """
    model = checked_model(model)
    (checked,) = checked_parameters(model, [parameter])
    if checked.set is not None:
        raise ValueError(
            f"parameter: {checked.name} is moved by a function, and has no value in the model to begin at."
        )
    wanted = np.unique(np.asarray(values, float))
    if wanted.ndim != 1 or len(wanted) < 2 or not np.all(np.isfinite(wanted)):
        raise ValueError("values: expected two or more finite numbers.")
    own = checked.own(model)
    if not wanted[0] <= own <= wanted[-1]:
        raise ValueError(
            f"values: {checked.label} is {own:g} in the model, and they go from {wanted[0]:g} to {wanted[-1]:g}."
        )
    words = checked_word(cycle, model.num_gates)[None]
    order = words.shape[1]
    orders = {order * 2**i for i in range(whole(doublings, "doublings", 0) + 1)}
    while order % 2 == 0:
        order //= 2
        orders.add(order)
    with numerics():
        ends = np.array([end for end in (wanted[-1], wanted[0]) if end != own])

        def path(pairs, s):
            return moved_stack(model, (checked,), (own + s * (ends[pairs] - own))[:, None])

        comparison, events = _connected(path, len(ends), words, orders)
        found = [_translated(event, own, end) for end, some in zip(ends, events, strict=True) for event in some]
        kept = tuple(sorted((event for event in found if event is not None), key=lambda event: event.at))
        pieces = [
            (one.word, *sorted(own + s * (ends[one.pair] - own) for s in _snapped(one, events[one.pair])))
            for one in comparison.stretches()
        ]
        stretches = tuple(_solved(model, checked, word, low, high, wanted) for word, low, high in _joined(pieces, own))
    return Continued(checked, tuple(sorted(stretches, key=lambda one: (one.low, one.high))), kept)


def _connected(path, number: int, words: np.ndarray, orders: set[int]) -> tuple[Comparison, list[tuple[Event, ...]]]:
    """Follow all ways until no way leads to a cycle of the model itself that is not known."""
    known = {word_key(word): word for word in words}
    while True:
        groups: Groups = {
            order: (np.repeat(np.arange(number), len(some)), np.concatenate([some] * number))
            for order in {key.order for key in known}
            for some in [np.stack([word for key, word in known.items() if key.order == order])]
        }
        comparison = Comparison(balanced_path(path, number), number, orders, noting=True)
        events = comparison.run(groups, {})
        met = [e.words[0] for some in events for e in some if e.missing == "before"]
        new = {word_key(word): word for word in met if word_key(word) not in known}
        if not new:
            return comparison, events
        known |= new


def _translated(event: Event, own: float, end: float) -> Event | None:
    """Put an event on the axis of the parameter; None for one that says only that the last value was reached."""
    if event.missing is not None:
        return None
    at, bracket = own + event.at * (end - own), event.bracket * abs(end - own)
    if end > own:
        return dataclasses.replace(event, at=at, bracket=bracket)
    flip = event.flip and dataclasses.replace(event.flip, side=_OTHER.get(event.flip.side, event.flip.side))
    sides = tuple(_OTHER.get(side, side) for side in event.sides)
    values = event.multipliers if event.gate is not None else event.multipliers[::-1]
    return dataclasses.replace(event, at=at, bracket=bracket, sides=sides, flip=flip, multipliers=values)


def _snapped(stretch: Any, events: tuple[Event, ...]) -> list[float]:
    """Give the ends of a stretch, at events where these are as near as words are read off beside them."""
    places = [event.at for event in events if event.missing is None]
    return [min((p for p in places if abs(p - s) <= _PAST), key=lambda p: abs(p - s), default=s)
            for s in (stretch.low, stretch.high)]  # fmt: skip


def _joined(pieces: list[tuple], own: float) -> list[tuple[np.ndarray, float, float]]:
    """Join what begins on both sides of the model's own value, and at changes of stability."""
    by_word: dict[WordKey, list[tuple]] = {}
    for piece in pieces:
        by_word.setdefault(word_key(piece[0]), []).append(piece)
    joined = []
    for some in by_word.values():
        some.sort(key=lambda piece: piece[1:])
        word, low, high = some[0]
        for _, begin, end in some[1:]:
            if begin > high + _PAST * max(abs(high), abs(begin - own)):
                joined.append((word, low, high))
                low = begin
            high = max(high, end)
        joined.append((word, low, high))
    return joined


def _solved(model, parameter: Parameter, word: np.ndarray, low: float, high: float, wanted: np.ndarray) -> Stretch:
    values = wanted[(wanted >= low) & (wanted <= high)]
    number = len(values)
    if not number:
        order, size = len(word), model.num_states
        return Stretch(word, low, high, values, np.empty((0, order, size)), np.empty((0, size), complex))
    matter = affine_form(model).effective
    found = held_in(lambda some: moved_stack(model, (parameter,), values[some][:, None]), number, matter, word)
    return Stretch(word, low, high, values, found.points, found.multipliers())
