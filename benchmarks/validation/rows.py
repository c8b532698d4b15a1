"""What a row of the page says, how it is printed, and how it is read again."""

import dataclasses
import math

from benchmarks.tables import RESULTS, tables

PAGE = RESULTS / "validation.md"
COLUMNS = ("quantity", "known", "ours", "difference", "tolerance", "known from", "our call")


@dataclasses.dataclass(frozen=True)
class Row:
    """A number that is known, and ours.

    - `quantity`: what it is, with the parameters.
    - `known`: an int is a count; a float follows from a closed form; a string has the digits that were published.
    - `ours`: computed now.
    - `tolerance`: how far off it may be: 0 for counts; else from rounding, from standard errors (four of them), or from
      what the theory itself leaves out.
    - `source`: author and year, or the formula. `call`: what gives ours.
    """

    quantity: str
    known: int | float | str
    ours: int | float
    tolerance: float
    source: str
    call: str

    @property
    def difference(self) -> float:
        """Ours less what is known."""
        return float(self.ours) - float(self.known)

    @property
    def holds(self) -> bool:
        """Whether ours is as near as the tolerance wants; NaN never is."""
        return abs(self.difference) <= self.tolerance

    def cells(self) -> list[str]:
        """Print the row: numbers to one digit beyond the tolerance, errors as such."""
        known = self.known if isinstance(self.known, str) else self._number(self.known)
        off = "0" if self.difference == 0 else f"{self.difference:.1e}"
        allowed = "0" if self.tolerance == 0 else f"{self.tolerance:.1e}"
        return [self.quantity, known, self._number(self.ours), off, allowed, self.source, f"`{self.call}`"]

    def _number(self, value: int | float) -> str:
        if self.tolerance == 0:
            return str(int(value))
        if self.known == 0:
            return "0" if value == 0 else f"{value:.1e}"
        return f"{value:.{max(0, 1 - math.floor(math.log10(self.tolerance)))}f}"


def published(text: str) -> float:
    """Give half a unit in the last digit of a published number: to how much it was rounded."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def table(sections: dict[str, list[Row]]) -> str:
    """Print the rows of sections, the name of which stands first in each."""
    lines = [["section", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    lines += [[section, *row.cells()] for section, rows in sections.items() for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def printed() -> dict[str, list[dict[str, str]]]:
    """Give the cells of the page by the names of their columns, section by section."""
    found: dict[str, list[dict[str, str]]] = {}
    for header, rows in tables(PAGE.read_text()):
        for row in rows:
            cells = dict(zip(header, row, strict=True))
            found.setdefault(cells.pop("section"), []).append(cells)
    return found
