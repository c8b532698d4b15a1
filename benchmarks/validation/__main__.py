"""Write the page: `python -m benchmarks.validation [SECTION ..]`; with sections named, print these alone."""

import os
import sys
import time

import jax

from benchmarks.validation.rows import PAGE, Row, table
from benchmarks.validation.sections import SECTIONS


def main(wanted: list[str]) -> None:
    """Compute, print, and write."""
    found: dict[str, list[Row]] = {}
    began = time.perf_counter()
    for section in wanted or SECTIONS:
        before = time.perf_counter()
        found[section] = SECTIONS[section]()
        print(table({section: found[section]}), flush=True)
        print(f"-- {section}: {time.perf_counter() - before:.0f} s", flush=True)
        for row in found[section]:
            if not row.holds:
                print(f"   OFF: {row.quantity}: {row.difference:.1e}, allowed {row.tolerance:.1e}", flush=True)
    if not wanted:
        seconds, number = time.perf_counter() - began, sum(map(len, found.values()))
        PAGE.write_text(
            f"# Validation\n\n`python -m benchmarks.validation`: {number} numbers in {seconds:.0f} s on "
            f"{os.cpu_count()} cores, {jax.devices()[0].platform}, float64.\n"
            f"How they are to be read stands in `docs/validation.md`.\n\n{table(found)}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
