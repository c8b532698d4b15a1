"""SCYFI: the search that moves from word to word until a candidate meets its own."""

import dataclasses

from cyclax.core.checks import switch
from cyclax.search.driver import Driver
from cyclax.search.finder import AbstractFinder, check_fields


@dataclasses.dataclass(frozen=True)
class SCYFI(AbstractFinder):
    """The search of Eisenmann, Monfared, Goering and Durstewitz (NeurIPS 2023), in batches and with a stopping rule.

    Starts are numbered 0, 1, 2, ..; each moves from word to word until it hits a cycle, repeats a word, or has moved
    `moves` times. An order is done when at most a share `unseen` of its starts can lead to a cycle not yet met (95 %
    bound) and, where few starts converge, none was met only once; or when `starts` are used up. Where the index sum
    then proves that something is missing, the search goes on up to four times as far.

    **Arguments:**

    - `unseen`: the tolerated share of starts that lead elsewhere. The verdict "likely" asks for more: the same bound
      for the converging starts alone.
    - `starts`: most starts for each order.
    - `moves`: most moves of one start; each is one solve.
    - `lanes`: starts that move together; chosen for the cache by default. The result does not depend on it.
    - `seconds`: time budget of the whole call; what has been found by then is returned, marked so.
    - `screened`: starts move in float32, for devices on which float64 is slow. The words that they hit are solved and
      checked in float64; those of cycles that lie nearer to a border than the roundings of float32 may be missed.
    """

    unseen: float = 1e-3
    starts: int = 32_768
    moves: int = 64
    lanes: int | None = None
    seconds: float | None = None
    screened: bool = False

    def __post_init__(self):
        check_fields(self, "starts", "moves")
        object.__setattr__(self, "screened", switch(self.screened, "SCYFI: screened"))

    def search(self, networks, stop, *, given, progress):
        """Search in threads, with the kernel."""
        Driver(list(networks), self, stop).run(given, progress)

    def verdict(self, network, order):
        """Say what the starts that converged tell of those that did not."""
        return network.tallies[order].verdict(self.unseen)
