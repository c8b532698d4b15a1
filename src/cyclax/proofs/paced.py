"""Words are solved while there is time, and what is claimed of them shrinks to what was done."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from cyclax.core.budget import SOLVING, Budget
from cyclax.proofs.candidates import Candidates

# Operations, about, and words between two looks at the clock: counted, so that results do not depend on the machine.
_OPERATIONS, _WORDS = 1e9, 1000
# Steps up to which kernels are compiled already, and so many of one order that it pays to compile larger ones.
_SMALL, _MANY = 256, 2048


class Paced:
    """The words of candidates in ascending order, chunk by chunk, for as long as the budget lasts.

    Iterate over it for pairs of an order and words `(n, k, G)` of it; `done` is what can then be said. `most`: words in
    a chunk.
    """

    def __init__(self, found: Candidates, num_states: int, budget: Budget, most: int = _WORDS):
        self.found, self.num_states, self.budget, self.most = found, num_states, budget, most
        self.stopped: tuple[int, int, str] | None = None  # at which order, after how many words, and why

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        self.budget.until(SOLVING)
        for order, words in sorted(self.found.words.items()):
            each = order * self.num_states**2 * (100 * self.num_states + 2 * words.shape[2])
            most = _WORDS if order * len(words) > _MANY else max(_SMALL // order, 8)
            size = int(np.clip(_OPERATIONS / max(each, 1), 1, min(most, self.most)))
            for begin in range(0, len(words), size):
                reason = self.budget.spent()
                if reason:
                    self.stopped = order, begin, reason
                    return
                yield order, words[begin : begin + size]

    @property
    def done(self) -> Candidates:
        """The candidates without the words that were not reached, and without the claims that rest on them."""
        if self.stopped is None:
            return self.found
        order, number, reason = self.stopped
        left = f"{reason} after {number} of {len(self.found.words[order])} words of order {order} had been solved"
        words = {some: kept for some, kept in self.found.words.items() if some < order}
        complete = range(1, order) if self.found.all_orders else self.found.complete
        return dataclasses.replace(
            self.found,
            words=words | {order: self.found.words[order][:number]},
            complete=tuple(some for some in complete if some < order),
            all_orders=False,
            unfinished=f"{self.found.unfinished}; {left}" if self.found.unfinished else left,
        )
