"""Tables of figures in the pages, taken from results: `python -m benchmarks.tables` writes them anew.

A page says what it shows, and the table that follows is made from that:

    <!-- from search.md: M | k | cyclax | / numba one; k = 10 | 30 -->

These are columns of the first table in `results/search.md` that has them all, of the rows (here) with k 10 or 30.
"""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("performance", "validation"))]

_SHOWN = re.compile(r"^(<!-- from (\S+): (.+?)(?:; (.+?) = (.+?))? -->\n\n)(?:\|.*\n)*\n?", re.MULTILINE)

Table = tuple[list[str], list[list[str]]]


def tables(text: str) -> Iterator[Table]:
    """Give the tables of a page: the names of the columns, and the rows."""
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = [line.strip().removeprefix("|").removesuffix("|").split("|") for line in lines.splitlines()]
        header, _, *rows = ([cell.strip() for cell in row] for row in cells)
        yield header, rows


def _made(shown: re.Match) -> str:
    """Make the table that a comment asks for, below it."""
    mark, file, columns, chosen, values = shown.groups()
    names = columns.split(" | ")
    wanted = {*names, chosen or names[0]}
    found = next((one for one in tables((RESULTS / file).read_text()) if wanted <= set(one[0])), None)
    if found is None:
        raise ValueError(f"{mark.strip()}: no table of {file} has these columns.")
    header, rows = found
    if chosen:
        rows = [row for row in rows if row[header.index(chosen)] in values.split(" | ")]
    if not rows:
        raise ValueError(f"{mark.strip()}: no row of that table is meant.")
    picked = [names, ["---"] * len(names), *([row[header.index(name)] for name in names] for row in rows)]
    return mark + "".join(f"| {' | '.join(row)} |\n" for row in picked) + "\n"


def refreshed(text: str) -> str:
    """Give the text of a page with all its tables made anew.

    **Raises:** `ValueError` where results have no such table.
    """
    return _SHOWN.sub(_made, text)


def main() -> None:
    """Write the tables of all pages."""
    for page in PAGES:
        page.write_text(refreshed(page.read_text()))


if __name__ == "__main__":
    main()
