"""Budgets of seconds, nodes and memory: asked often whether to go on, and by one clock."""

import dataclasses
import time

from cyclax.core.checks import real, whole
from cyclax.core.interruption import Interruption

# When, in shares of the seconds of a budget, each part of an enumeration has to end: a box is derived, the proof, what
# a proof that was cut short leaves is listed, searched for, solved and checked, and proved cycle by cycle.
DERIVATION, PROOF, LISTING, SEARCH, SOLVING, CERTIFICATION = 0.1, 0.65, 0.7, 0.8, 1.0, 1.1


class SpentError(Exception):
    """The budget ran out: caught where something can still be said."""


@dataclasses.dataclass
class Budget:
    """What an enumeration may cost. It is asked, often, whether to go on; `spent` says what ran out.

    **Arguments:** `seconds`, `nodes` (of a graph or a tree), `memory` (bytes).
    """

    seconds: float = 600.0
    nodes: int = 20_000_000
    memory: int = 4 * 2**30

    def __post_init__(self):
        self.seconds = real(self.seconds, "Budget: seconds", positive=True, finite=False)
        self.nodes, self.memory = whole(self.nodes, "Budget: nodes"), whole(self.memory, "Budget: memory")
        self._begun, self._deadline, self._pressed = float("inf"), float("inf"), float("inf")
        self._interruption, self._heard = Interruption(), False

    def start(self, interruption: Interruption | None = None, begun: float | None = None) -> None:
        """Let the seconds run (since `begun`, by the clock), for the proof at first."""
        self._begun, self._pressed = self.clock() if begun is None else begun, float("inf")
        self._interruption = interruption or Interruption()
        self.until(PROOF)

    @staticmethod
    def clock() -> float:
        """Tell the time in seconds: the one clock that is asked."""
        return time.perf_counter()

    def until(self, share: float) -> None:
        """Have what comes now end when this share of the seconds has passed since the start.

        After Ctrl-C the seconds are those that had passed by then, and the proof has had its share of them.
        """
        self._heard = self._interruption.pressed
        if self._heard:
            self._pressed = min(self._pressed, self.clock())
            self._deadline = self._pressed + (share - PROOF) * (self._pressed - self._begun)
        else:
            self._deadline = self._begun + share * self.seconds

    def left(self) -> float:
        """Give the seconds left for what runs now."""
        return 0.0 if self.spent() else self._deadline - self.clock()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has been noted."""
        return self._interruption.pressed

    def spent(self, nodes: int = 0, memory: int = 0) -> str | None:
        """Say what has run out, if anything."""
        if self._interruption.pressed and not self._heard:
            return "interrupted by Ctrl-C"
        if self.clock() > self._deadline:
            if self._heard:  # what is left of the seconds is that little for it
                return "interrupted by Ctrl-C"
            return f"the time budget of {self.seconds:g} s ran out"
        if nodes > self.nodes:
            return f"the budget of {self.nodes} nodes ran out"
        if memory > self.memory:
            return f"the memory budget of {self.memory / 2**20:.0f} MiB ran out"
        return None

    def told(self, nodes: int, expected: float) -> str | None:
        """Hear from a proof, after so many nodes, how many it expects in all. **Returns:** why it is to stop."""
        return None

    def check(self, nodes: int = 0, memory: int = 0) -> None:
        """Raise `SpentError` where something has run out."""
        reason = self.spent(nodes, memory)
        if reason:
            raise SpentError(reason)


class TooExpensiveError(ValueError):
    """The method would cost more than its budget: says what it would cost, and what to try instead."""
