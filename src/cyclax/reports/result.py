"""What `report` returns: what each verb found, what failed and why, and the page that says so."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cyclax.bifurcations.distance import Distance
from cyclax.core.storage import write_atomically
from cyclax.cycles.cycle import Cycle
from cyclax.cycles.result import Cycles
from cyclax.lyapunov.result import Spectrum
from cyclax.reports.page import in_short, written
from cyclax.search.destinations import Attractors


@dataclasses.dataclass(frozen=True, eq=False)
class Exponents:
    """The Lyapunov exponents of one attractor, nats per step.

    - `attractor`: its number in `Report.attractors`.
    - `values` `(M,)`: largest first; where one word is held for ever log |multiplier| / k, else those of `spectrum`.
    - `spectrum`, and `orbit` `(n, M)`, some points on the attractor: where an orbit was followed.
    """

    attractor: int
    values: Float[np.ndarray, " M"]
    spectrum: Spectrum | None = None
    orbit: Float[np.ndarray, "n M"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Neighborhood:
    """The nearest bifurcation of one stable cycle; or None, and why it is not known."""

    cycle: Cycle
    distance: Distance | None
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """All that was found out of one network.

    - `name`: of the file, or of the class. `facts`: {what: value} of the network itself, as texts.
    - `cycles`, `attractors`: what `find_cycles` and `attractors` returned; None where they failed.
    - `exponents`: of each attractor that has some. `neighborhoods`: of the stable cycles.
    - `problems`: {section: why it is missing, or not whole}; sections are "cycles", "attractors", "exponents" and
      "bifurcations".
    - `stopped`: why it stopped early, if it did.
    """

    name: str
    facts: dict[str, str]
    cycles: Cycles | None = None
    attractors: Attractors | None = None
    exponents: tuple[Exponents, ...] = ()
    neighborhoods: tuple[Neighborhood, ...] = ()
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    stopped: str | None = None

    def html(self) -> str:
        """Give the page: whole, with its pictures in it, without scripts, and nothing loaded from elsewhere.

        **Raises:** `ImportError` that says what to install where matplotlib is missing.
        """
        return written(self)

    def save(self, path: str | Path) -> None:
        """Write the page to an `.html` file.

        **Raises:** `ValueError` for another suffix; `OSError` where the path cannot be written; `ImportError` where
        matplotlib is missing.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise ValueError(f"{path}: reports are written to .html files.")
        # Names of files that are no text in this system's encoding are shown as they are, byte by byte.
        page = self.html().encode("utf-8", "backslashreplace")
        write_atomically(path, lambda stream: stream.write(page))

    def __str__(self) -> str:
        lines = [f"{self.name}: " + ", ".join(f"{what} {value}" for what, value in self.facts.items())]
        lines += [str(part) for part in (self.cycles, self.attractors) if part is not None]
        lines += [f"exponents of attractor {one.attractor + 1}: {in_short(one.values)}" for one in self.exponents]
        lines += [f"{one.cycle!r}: {one.distance or one.reason}" for one in self.neighborhoods]
        lines += [f"NOT WHOLE: {section}: {reason}" for section, reason in self.problems.items()]
        return "\n".join([*lines, *([f"STOPPED EARLY: {self.stopped}"] if self.stopped else [])])

    def __repr__(self) -> str:
        return f"Report({self.name!r})"

    def _repr_html_(self) -> str:
        return self.html()
