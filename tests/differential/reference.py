"""All cycles, solutions on borders and families of a small network: every word of its regions, in rationals."""

import dataclasses
from collections.abc import Iterator

from .exact_map import ExactMap, Solution, Word
from .rationals import identity

# Words of one order that are tried at most, rotations counted once; and regions of a network.
MOST_WORDS, MOST_CELLS = 1500, 64


def canonical(word: Word) -> Word:
    """Give the smallest rotation."""
    return min(word[i:] + word[:i] for i in range(len(word)))


def necklaces(letters: int, length: int) -> Iterator[tuple[int, ...]]:
    """Give all words up to rotation, repetitions of shorter ones included (Fredricksen, Kessler and Maiorana)."""
    word = [0] * (length + 1)

    def extend(t: int, period: int) -> Iterator[tuple[int, ...]]:
        if t > length:
            if length % period == 0:
                yield tuple(word[1:])
            return
        word[t] = word[t - period]
        yield from extend(t + 1, period)
        for letter in range(word[t - period] + 1, letters):
            word[t] = letter
            yield from extend(t + 1, t)

    yield from extend(1, 1)


@dataclasses.dataclass(frozen=True)
class Truth:
    """All there is of one minimal period.

    - `cycles`: by canonical word. `borders`: solutions on borders, each once, whatever words meet there.
    - `families`: by canonical word (which may repeat a shorter one). `rims`: families all of whose points lie on
      borders, each once.
    """

    order: int
    cycles: dict[Word, Solution]
    borders: tuple[Solution, ...]
    families: dict[Word, Solution]
    rims: tuple[Solution, ...]


class Reference:
    """What there is, order by order, as it is asked for."""

    def __init__(self, model):
        self.map = ExactMap(model)
        self.cells = self.map.cells(MOST_CELLS)
        self._known: dict[int, Truth] = {}

    @property
    def most(self) -> int:
        """The largest order whose words are few enough; 0 where the regions are too many."""
        if self.cells is None:
            return 0
        order = 1
        while len(self.cells) ** (order + 1) <= MOST_WORDS * (order + 1) and order < 12:
            order += 1
        return order

    def order(self, order: int) -> Truth:
        """Try all words of one order."""
        if order not in self._known:
            self._known[order] = self._try_all(order)
        return self._known[order]

    def _try_all(self, order: int) -> Truth:
        assert self.cells is not None, "too many regions"
        pieces = [self.map.piece(cell) for cell in self.cells]
        cycles, borders, families, rims = {}, {}, {}, {}
        products, last = [identity(self.map.size + 1)], ()
        for code in necklaces(len(self.cells), order):
            same = next((i for i, (a, b) in enumerate(zip(code, last, strict=False)) if a != b), len(last))
            del products[same + 1 :]
            for letter in code[same:]:
                products.append(pieces[letter] * products[-1])
            last = code
            solution = self.map.solve(tuple(self.cells[i] for i in code), products[-1])
            if solution.kind == "none" or solution.order != order:
                continue
            word = canonical(solution.word)
            if solution.kind == "cycle":
                cycles[word] = solution
            elif solution.kind == "border":
                borders.setdefault(frozenset(solution.points), solution)
            elif solution.kind == "family":
                families[word] = solution
            else:
                rims.setdefault(_flat(solution), solution)
        return Truth(order, cycles, tuple(borders.values()), families, tuple(rims.values()))


def _flat(solution: Solution):
    """Identify the affine space that a family lies in, whatever its word: the row-reduced basis of its hull."""
    assert solution.hull is not None
    reduced, _ = solution.hull.transpose().rref()
    return tuple(reduced.entries())
