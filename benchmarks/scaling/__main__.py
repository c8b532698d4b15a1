"""How the search scales: `python -m benchmarks.scaling [--quick] [--only PART ..] [--seconds S]`.

Every row is appended to `results/scaling.jsonl` as soon as it is there; the same command, given again, goes on with
what is missing, and then writes `results/scaling.md` and its figures. `--page` writes these of the rows there are.
`--quick` is smaller, and writes rows, page and figures to a folder of its own.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.scaling import chaos, dimension, orders, page, rates, regions, trained, verdicts, widths
from benchmarks.scaling.rows import forget, run

RESULTS = Path(__file__).resolve().parents[1] / "results"
PARTS = {"regions": regions, "dimension": dimension, "verdicts": verdicts, "orders": orders, "chaos": chaos,
         "rates": rates, "widths": widths, "trained": trained}  # fmt: skip


def main() -> None:
    """Run the parts, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes, in a folder of its own")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), metavar="PART",
                        help=f"of {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no row of a part after so long")
    parser.add_argument("--again", action="store_true", help="forget the rows of these parts first")
    parser.add_argument("--page", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scaling_")) if arguments.quick else RESULTS
    if arguments.again and not arguments.quick:
        forget(folder / "scaling.jsonl", arguments.only)
    for part in () if arguments.page else arguments.only:
        run(PARTS[part].tasks(quick=arguments.quick), folder / "scaling.jsonl", arguments.seconds)
    print(page.write(folder))


if __name__ == "__main__":
    main()
