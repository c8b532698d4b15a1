"""What a finder is: it proposes words, which are verified and kept in inventories; `find_cycles` reports."""

import abc
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from jaxtyping import Bool

from cyclax.core.checks import real, whole
from cyclax.core.progress import progress_bar
from cyclax.core.stop import Stop
from cyclax.search.tally import Network


class AbstractFinder(abc.ABC):
    """A way to find cycles: what `find_cycles(finder=)` takes.

    A finder fills `network.inventory` through its `verify`, so that nothing it proposes is believed unchecked, notes in
    `network.tallies[order]` what that cost, and asks `stop()` often whether to go on. It is called under `numerics()`.
    Most finders of one's own are an `AbstractWordSource`, which is less to write.
    """

    # The time budget of the whole call, or None.
    seconds: float | None = None

    @abc.abstractmethod
    def search(self, networks: Sequence[Network], stop: Stop, *, given: dict[int, Any], progress: bool) -> None:
        """Search all orders (those of `network.tallies`) of networks of one shape.

        **Arguments:** `given`: words `(n, k, G)` of order k to begin with; `progress`: show a bar.
        """

    @abc.abstractmethod
    def verdict(self, network: Network, order: int) -> tuple[str, str]:
        """Give the verdict on an order, and its reason, where nothing stronger is known: "likely" or "unknown"."""

    def settings(self) -> dict[str, Any]:
        """Give the settings, in plain values, for the provenance of a result."""
        fields = dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}  # pyright: ignore
        return fields if type(self).__module__.startswith("cyclax.") else {"finder": type(self).__name__, **fields}


class AbstractWordSource(AbstractFinder):
    """A finder that only lists words: a rule of one's own by which gates of likely cycles are guessed."""

    @abc.abstractmethod
    def propose(self, network: Network, order: int) -> Iterator[Bool[Any, "n k G"]]:
        """Propose words of one order, batch by batch; those that are no cycles are refuted, and do no harm.

        **Arguments:** `network`: `.model`, `.bounds` (its affine form), `.scale` (the size of states that matter),
        `.key` (a JAX random key, the only randomness there should be) and `.inventory` (what is known so far).
        """

    def search(self, networks, stop, *, given, progress):
        """Verify all words that are proposed, until there are no more or it is time to stop."""
        work = [(order, network) for order in networks[0].tallies for network in networks]
        with progress_bar(total=len(work), shown=progress, desc="cycles", unit="order") as bar:
            for order, network in work:
                tally = network.tallies[order]
                for words in itertools.chain([given.get(order, ())], self.propose(network, order)):
                    if stop():
                        return
                    if len(words):
                        network.inventory.verify(order, words)
                        tally.solves += len(words)
                tally.complete_look = True
                bar.update(1)

    def verdict(self, network, order):
        """Say that no list of words proves anything."""
        tally = network.tallies[order]
        if not tally.complete_look:
            return "unknown", "the search was stopped early"
        return "unknown", f"{type(self).__name__} proposed {tally.solves} words, and cannot say what it did not propose"


def check_fields(finder: Any, *counts: str) -> None:
    """Check the fields of a frozen finder: counts, and `lanes`, `unseen` and `seconds`, which all of ours have."""
    name = type(finder).__name__
    checked: dict[str, Any] = {count: whole(getattr(finder, count), f"{name}: {count}") for count in counts}
    if finder.lanes is not None:
        checked["lanes"] = whole(finder.lanes, f"{name}: lanes")
    checked["unseen"] = real(finder.unseen, f"{name}: unseen", "a share below 1", positive=True)
    if checked["unseen"] >= 1:
        raise ValueError(f"{name}: unseen must lie between 0 and 1, got {checked['unseen']!r}.")
    if finder.seconds is not None:
        meaning = "a time budget or None"
        checked["seconds"] = real(finder.seconds, f"{name}: seconds", meaning, positive=True, finite=False)
    for field, value in checked.items():
        object.__setattr__(finder, field, value)
