"""An event to which walks come, from either side and at places that agree but for rounding: which of them are one."""

import dataclasses

from cyclax.bifurcations.classify import Emanating
from cyclax.bifurcations.event import Event, Side, resolution_of

# Events of the same words no further apart than this are one.
SAME_PLACE = 1e-8
# And at least so many brackets apart they are two, where what they say of these words differs.
_APART = 8


@dataclasses.dataclass(eq=False)
class Node:
    """An event, and which of the words that meet there have been followed."""

    key: tuple
    event: Event
    branches: tuple[Emanating, ...]
    followed: set[tuple[int, Side]]
    meeting: frozenset[tuple[int, Side]] = frozenset()  # all of them

    def same_place(self, other: Event) -> bool:
        """Whether an event of the same words is this one: a word may end at infinity, and begin there soon after."""
        apart = abs(self.event.at - other.at)
        if len(other.sides) == 1 and {*self.event.sides, *other.sides} == {"before", "after"}:
            return apart <= _APART * max(resolution_of(self.event), resolution_of(other))
        return apart <= SAME_PLACE

    def tells_less(self, other: "Node") -> bool:
        """Whether this names one of the words of another at its place, and nothing that goes on from there."""
        near = abs(self.event.at - other.event.at) <= SAME_PLACE
        return near and len(self.event.words) == 1 and self.meeting < other.meeting

    def beyond(self, at: float, toward: int) -> float:
        """Give how far past a place this lies; 0 where it does not, for all that is known."""
        gap = toward * (self.event.at - at)
        return gap if gap > _APART * resolution_of(self.event) else 0.0
