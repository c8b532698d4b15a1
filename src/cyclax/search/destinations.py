"""What `attractors` returns: the destinations of samples, each with its name."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from cyclax.cycles.cycle import Cycle, Degenerate

# Said of unstable cycles: no attractors, but orbits have ended there.
_UNSTABLE = ", no attractor: held by rounding, or by an exact landing"


@dataclasses.dataclass(frozen=True, eq=False)
class Attractor:
    """Where some of the samples went.

    - `kind`:
        - "cycle": a fixed point or cycle (also one that lies on a border). An unstable one is no attractor: orbits that
          begin or land on it exactly stay, and in float64 some that chaos brings so close that rounding closes them.
        - "family": cycles of a family, such as a line attractor; each orbit comes to its own.
        - "closed curve": on which orbits go around without repeating; around a neutral cycle each has its own.
        - "torus": around a cycle with several neutral pairs of multipliers; each orbit has its own.
        - "chaos": not settled, and the largest exponent is positive.
        - "divergence": to infinity.
        - "undecided": not settled, for the reason in `reason`.
    - `share`: of the samples; `error`: its standard error.
    - `what`: the `Cycle` (that orbits go around, for neutral curves and tori) or the `Degenerate`, else None.
    - `exponent`: the mean of the largest Lyapunov exponents of these orbits, per step; nan for "divergence", and
      where Ctrl-C came before it was measured.
    - `period`: of the points of each orbit; of a closed curve, how many curves are visited in turn; else None.
    - `rotation_number`: of a closed curve, turns per step (the frequency), up to direction: in (0, 1/2], and divided by
      `period` where there are several; `rotation_error`: how far off it is, at most. nan for all others, and where the
      orbits have different ones.
    - `curve`: points along the closed curves, `(period, n, M)`, where they were simulated; else None.
    - `reason`: why it is undecided.
    """

    kind: str
    share: float
    error: float
    what: Cycle | Degenerate | None
    exponent: float
    period: int | None = None
    rotation_number: float = float("nan")
    rotation_error: float = float("nan")
    curve: Float[np.ndarray, "loops n M"] | None = None
    reason: str = ""

    @property
    def steps_around(self) -> float:
        """The period of a closed curve in steps, 1 / rotation number; nan for all others."""
        return 1 / self.rotation_number

    def __repr__(self) -> str:
        measured = self.kind in ("chaos", "undecided") and not np.isnan(self.exponent)
        tail = f", largest exponent {self.exponent:.4g}" if measured else ""
        return f"{100 * self.share:5.1f} % +- {100 * self.error:.1f}  {self._name()}{tail}"

    def _name(self) -> str:
        own = "each orbit its own"
        if self.kind == "cycle":
            unstable = isinstance(self.what, Cycle) and self.what.stability in ("saddle", "repeller")
            return f"{self.what!r}{_UNSTABLE if unstable else ''}"
        if self.kind == "family":
            noun = "fixed points" if self.period == 1 else f"{self.period}-cycles"
            return f"{repr(self.what) if self.what is not None else f'{noun} of a family'}, {own}"
        if self.kind == "torus":
            return f"torus around {self.what!r}, {own}"
        if self.kind == "closed curve":
            several = f" in {self.period} loops" if self.period != 1 else ""
            around = f" around {self.what!r}" if self.what is not None else ""
            neutral = f", {own}" if self.what is not None or self.curve is None else ""
            number = f"rotation number {self.rotation_number:.10g} +- {self.rotation_error:.1g}"
            number += f" (once around in {self.steps_around:.6g} steps)"
            turning = "different rotation numbers" if np.isnan(self.rotation_number) else number
            return f"closed curve{several}{around}{neutral}, {turning}"
        if self.kind == "undecided":
            return f"not settled: {self.reason}"
        return {"chaos": "chaos", "divergence": "diverges to infinity"}[self.kind]


@dataclasses.dataclass(frozen=True, eq=False)
class Attractors:
    """Which attractors the samples went to, largest share first.

    - `entries`: one `Attractor` each; `labels` `(N,)`: the entry that sample i went to.
    - `samples` `(N, M)`: the initial states; `exponents` `(N,)`: the largest exponent along each orbit, per step.
    - `interrupted`: why it stopped early, if it did.
    """

    entries: tuple[Attractor, ...]
    labels: Int[np.ndarray, " N"]
    samples: Float[np.ndarray, "N M"]
    exponents: Float[np.ndarray, " N"]
    interrupted: str | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Attractor:
        return self.entries[index]

    def __str__(self) -> str:
        noun = "destination" if len(self.entries) == 1 else "destinations"
        head = f"{len(self.entries)} {noun} of {len(self.samples)} initial states"
        tail = [f"STOPPED EARLY: {self.interrupted}"] if self.interrupted else []
        return "\n".join([head, *(f"  {entry!r}" for entry in self.entries), *tail])

    def __repr__(self) -> str:
        return f"Attractors({', '.join(f'{entry.kind} {entry.share:.3g}' for entry in self.entries)})"
