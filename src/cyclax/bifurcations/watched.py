"""Events of one's own: a function of a held word whose zeros along a path are looked for, on all stretches at once."""

import abc
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cyclax.bifurcations.branch import Branch, Paths, held, narrowed
from cyclax.bifurcations.event import Event

# A stretch is looked at in so many places, so that two zeros close together are not missed as easily.
_PLACES = 9
# Zeros of one word no further apart than this are one: a stretch may have been followed from both ends.
_SAME_PLACE = 1e-8


class AbstractEventType(abc.ABC):
    """A type of event beside those that are built in: what `compare(event_types=)` takes.

    Along each stretch of a path on which a word is a cycle, `test` is followed, and where it changes its sign an event
    of the type `name` is located, to neighboring places in float64.
    """

    name: str

    @abc.abstractmethod
    def test(self, branch: Branch) -> Float[np.ndarray, " n"]:
        """Return the test function of n words, each at its place; nan says nothing.

        **Arguments:** `branch`: their `points (n, k, M)`, `heights (n, k, G)` above the borders of their gates,
        `jacobians (n, k, M, M)`, `product (n, M, M)` and `multipliers() (n, M)`.
        """


class Stretch(NamedTuple):
    """Where a word is a cycle: from one place of a pair's path to another."""

    pair: int
    word: np.ndarray
    low: float
    high: float


def watched(
    paths: Paths, stretches: Iterable[Stretch], event_types: Sequence[AbstractEventType]
) -> list[tuple[int, Event]]:
    """Locate the events of these types on stretches of one or more orders.

    **Returns:** (pair, event) for each, those of one word and place once.
    """
    found: dict[tuple, tuple[int, Event]] = {}
    by_order: dict[int, list[Stretch]] = {}
    for stretch in stretches:
        by_order.setdefault(len(stretch.word), []).append(stretch)
    for some in by_order.values():
        pair, words = np.array([one.pair for one in some]), np.stack([one.word for one in some])
        places = np.linspace([one.low for one in some], [one.high for one in some], _PLACES)
        looks = [held(paths, pair, place, words) for place in places]
        for kind in event_types:
            values = np.stack([np.asarray(kind.test(look), float) for look in looks])
            known = np.isfinite(values[:-1]) & np.isfinite(values[1:])
            for turn, row in np.argwhere(known & ((values[:-1] > 0) != (values[1:] > 0))):
                ends = [turn, turn + 1] if values[turn, row] > 0 else [turn + 1, turn]
                event = _located(paths, kind, some[row], places[ends, row], values[ends, row])
                key = (kind.name, some[row].pair, words[row].tobytes(), round(event.at / _SAME_PLACE))
                found.setdefault(key, (some[row].pair, event))
    return list(found.values())


def _located(paths: Paths, kind: AbstractEventType, stretch: Stretch, places: np.ndarray, values: np.ndarray) -> Event:
    """Close in on a zero; the test is positive at the first of two places, and not at the second."""
    pair, word = np.array([stretch.pair]), stretch.word[None]

    def test(_, place):
        return np.asarray(kind.test(held(paths, pair, place, word)), float)[:, None]

    low, high, _ = narrowed(test, places[:1], places[1:], values[:1, None], values[1:, None], np.zeros(1, bool))
    both = [held(paths, pair, place, word).multipliers()[0] for place in sorted((low, high), key=lambda end: end[0])]
    at, width = float(low[0] + high[0]) / 2, float(abs(high[0] - low[0]))
    return Event(kind.name, len(stretch.word), at, width, (stretch.word,), ("both",), tuple(both))
