"""When to stop: a budget of seconds, and a Ctrl-C that has been noted."""

import dataclasses

from cyclax.core.budget import Budget
from cyclax.core.interruption import Interruption


@dataclasses.dataclass
class Stop:
    """Asked often whether to stop, from any thread; `reason` says why, in the words of a result.

    **Arguments:** `seconds`: the budget, or None; `interruption`: the Ctrl-C that may come; `began`: when the seconds
    began, by `Budget.clock`. `halted` may be set by whoever has to stop at once.
    """

    seconds: float | None
    interruption: Interruption
    began: float
    halted: bool = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.halted or self.interruption.pressed or self.left() <= 0

    def left(self) -> float:
        """Give the seconds left."""
        return float("inf") if self.seconds is None else self.seconds - (Budget.clock() - self.began)

    def reason(self) -> str | None:
        """Say why it stopped early, None where it did not."""
        if self.halted or self.interruption.pressed:
            return "interrupted by Ctrl-C; this is what had been found"
        if self.left() <= 0:
            return f"the time budget of {self.seconds:g} s ran out; this is what had been found"
        return None
