"""What every method of exact enumeration takes and gives."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cyclax.arguments import real, whole
from cyclax.interruption import Interruption


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """The part of state space in which cycles are sought: all their points must lie in it.

    `derived`: every cycle that there is lies in it, as was proved; what is complete inside is complete everywhere.
    """

    lower: Float[np.ndarray, " M"]
    upper: Float[np.ndarray, " M"]
    derived: bool = False


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
        self._deadline, self._interruption = float("inf"), Interruption()

    def start(self, interruption: Interruption | None = None) -> None:
        """Let the seconds run; they end early where Ctrl-C is noted."""
        self._deadline = time.perf_counter() + self.seconds
        self._interruption = interruption or Interruption()

    def spent(self, nodes: int = 0, memory: int = 0) -> str | None:
        """Say what has run out, if anything."""
        if self._interruption.pressed:
            return "interrupted by Ctrl-C"
        if time.perf_counter() > self._deadline:
            return f"the time budget of {self.seconds:g} s ran out"
        if nodes > self.nodes:
            return f"the budget of {self.nodes} nodes ran out"
        if memory > self.memory:
            return f"the memory budget of {self.memory / 2**20:.0f} MiB ran out"
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """Words among which all cycles of some orders are.

    - `words`: {order: `(n, k, G)`}: gates of candidate words, one rotation of each. A cycle of an order in `complete`
      that lies in the box has its word here (gates that do not matter aside); the converse need not hold.
    - `complete`: the orders for which that is proved; `all_orders`: it is proved of every order there is (an order
      without words then has no cycle).
    - `nodes`, `programs`: the effort: nodes looked at, and linear programs solved.
    - `tolerance`: by how much constraints were relaxed before anything was pruned.
    - `unfinished`: what was left open and why, or an empty text.
    - `notes`: whatever else the method found out, such as a bound on the topological entropy.
    - `rigor`: "numerical", or "rigorous" where nothing rests on floating point, and every word is proved to be a cycle.
    """

    words: dict[int, Bool[np.ndarray, "n k G"]]
    complete: tuple[int, ...]
    all_orders: bool
    nodes: int
    programs: int
    tolerance: float
    unfinished: str = ""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    rigor: str = "numerical"


# (what is going on, in a few words) -> None; drivers show it as a progress line.
Progress = Callable[[str], None]


class TooExpensiveError(ValueError):
    """The method would cost more than its budget: says what it would cost, and what to try instead."""
