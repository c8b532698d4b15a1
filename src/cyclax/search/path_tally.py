"""What became of the paths of a search, and what that says of cycles not met."""

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np

from cyclax.cycles.index import index_of
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.verify import MOVES
from cyclax.cycles.word import WordKey
from cyclax.paths.follow import Paths
from cyclax.paths.walk import Fate
from cyclax.search.unseen import most_unseen


@dataclasses.dataclass
class PathTally:
    """What became of the paths of one order of one network.

    `broken` counts paths on which two solutions in a row have the same index, so that one between them was missed;
    `trouble` says why paths cannot be followed at all.
    """

    order: int
    paths: int = 0
    pieces: int = 0
    crossings: int = 0
    broken: int = 0
    fates: Counter = dataclasses.field(default_factory=Counter)  # of paths, by how they ended worst
    seen: Counter = dataclasses.field(default_factory=Counter)  # solution -> paths that met it
    solution_of: dict[int, WordKey | None] = dataclasses.field(default_factory=dict)  # by the hash of a word
    complete_look: bool = False
    trouble: str = ""

    @property
    def sound(self) -> int:
        """Paths that were followed to both their ends."""
        return self.fates[Fate.RAY] + self.fates[Fate.CLOSED]

    @property
    def once(self) -> int:
        """Solutions met by a single path; a broken path is taken for one that met something new."""
        return sum(number == 1 for number in self.seen.values()) + self.broken

    @property
    def unseen_bound(self) -> float:
        """A 95 % bound on the share of paths that lead to solutions not met yet."""
        return min(1.0, most_unseen(self.once) / self.sound) if self.sound else 1.0

    def enough(self, unseen: float) -> bool:
        """Whether so few paths can lead elsewhere."""
        return most_unseen(self.once) <= unseen * self.sound

    def lacking(self, unseen: float) -> int:
        """Estimate how many more paths will be enough if they meet nothing new."""
        sound = self.sound / self.paths if self.sound else 1.0
        return max(1, math.ceil((most_unseen(self.once) / unseen - self.sound) / sound))

    def verdict(self, unseen: float) -> tuple[str, str]:
        """Give the verdict, and its reason, that the paths alone allow."""
        if self.trouble:
            return "unknown", self.trouble
        if not self.complete_look:
            return "unknown", "the search was stopped early"
        if self.unseen_bound <= unseen:
            return "likely", f"at most {self.unseen_bound:.2g} of the paths can meet what none has met (95 %)"
        if self.sound < self.paths / 2:
            return "unknown", f"only {self.sound} of {self.paths} paths could be followed to their ends"
        return "unknown", f"up to {self.unseen_bound:.2g} of the paths may meet what none has met (95 %)"

    def effort(self) -> dict[str, Any]:
        """Say what the paths cost, and what became of them, for the report."""
        return {
            "number": self.paths,
            "pieces": self.pieces,
            "crossings": self.crossings,
            "rays": self.fates[Fate.RAY],
            "closed": self.fates[Fate.CLOSED],
            "lost": self.fates[Fate.LOST],
            "singular": self.fates[Fate.SINGULAR],
            "unfinished": self.fates[Fate.LIMIT],
            "broken": self.broken,
            "unseen_bound": self.unseen_bound if self.sound else None,
            **({"refused": self.trouble} if self.trouble else {}),
        }

    def absorb(self, paths: Paths, inventory: Inventory, words) -> None:
        """Take in a block of paths: new words are verified, known ones are counted.

        **Arguments:** `words`: gives the words of the model for gates held.
        """
        ended = paths.closed | np.all(paths.fate != Fate.WALKING, axis=1)
        worst = np.where(paths.closed & (paths.fate[:, 1] == Fate.WALKING), Fate.CLOSED, np.max(paths.fate, axis=1))
        self.fates.update(worst[ended].tolist())
        self.paths += int(np.sum(ended))
        self.pieces += int(np.sum(paths.pieces))
        self.crossings += int(np.sum(~paths.met.own))
        new = [h for h in paths.held if h not in self.solution_of]
        if new:
            found = inventory.verify(self.order, words(np.stack([paths.held[h] for h in new])), moves=MOVES)
            self.solution_of.update(zip(new, found, strict=True))
        self._count(paths, inventory)

    def _count(self, paths: Paths, inventory: Inventory) -> None:
        cycles = inventory.cycles
        index: dict[WordKey | None, int | None] = {
            key: index_of(cycles[key].multipliers, self.order // key.order) if key in cycles else None
            for key in set(self.solution_of.values()) - {None}
            if key is not None
        }
        met: dict[int, list[WordKey]] = {}
        fresh: set[tuple[int, WordKey]] = set()
        for path, word, own in zip(*(part.tolist() for part in paths.met), strict=True):
            solution = self.solution_of[word]
            if solution is not None:
                met.setdefault(path, []).append(solution)
                if not own:  # else nothing has led there
                    fresh.add((path, solution))
        self.seen.update(solution for _, solution in fresh)
        for solutions in met.values():
            signs = [index[solution] for solution in solutions]
            self.broken += any(a is not None and a == b for a, b in itertools.pairwise(signs))
