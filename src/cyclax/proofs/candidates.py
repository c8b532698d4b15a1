"""What every method of exact enumeration takes and gives."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """The part of state space in which cycles are sought: all their points must lie in it.

    `lower`, `upper` `(M,)`: its corners. `derived`: every cycle that there is lies in it, as was proved; what is
    complete inside is complete everywhere.
    """

    lower: Float[np.ndarray, " M"]
    upper: Float[np.ndarray, " M"]
    derived: bool = False


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
