"""What the kernels cost on accelerators: `python -m benchmarks.accelerators [--plugins FOLDER] [--only TITLE ..]`.

Compiles the library's kernels for an NVIDIA H100 and a TPU v5e, neither of which need be there, and counts what the
compiled programs launch, how often the host decides, and what they move and compute. Writes a section of
`results/accelerators.md`; with `--only` it prints, and writes nothing. Where a compiler is missing, it says what to
install. Nothing is run, so nothing is timed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax

from benchmarks.accelerators.kernels import BATCH, Row, T, problems
from benchmarks.accelerators.targets import TITLES, VARIABLE, advice, environment, folder
from cyclax.search.lanes import ROUND

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "benchmarks" / "results" / "accelerators.md"
HEADING = "## Compiled for, not measured"
_TEXT = f"""
`python -m benchmarks.accelerators`, with the compilers of JAX {{version}} for an NVIDIA H100 and a TPU v5e, on a
machine that has neither. Nothing of this was run.

A *unit* is what is counted: a *move* of all lanes of the search (3,072 of one network; the rows of a map), a *block* of
starts that are drawn together, a *piece* of all paths, an *update* of one training (windows of {T} steps, batch
{BATCH}), a *step* of one orbit or of the orbits of a map. *Launches*: kernels that start on the device for it; XLA may
send some of them as one graph. *Reads*: how often the host waits for a condition before it knows what to launch next.
kB and kflop: moved and computed, as XLA counts them. A TPU runs a program by itself: *kernels* are what it runs one
after the other, and no host stands between; its 64 bits are pairs of 32. "-": not compiled this time.

What stands in the way of fewer:

- The search: steps are one or two launches each, and elimination several for each column, as its pivots are gathered.
  The loop over the steps of a word has a number of turns that only the device knows, or every order would be a program
  of its own.
- *Fused*: up to ten states, a round of up to {ROUND} moves can be one kernel, written by hand, and what is around it is
  shared by the moves. `cyclax.search.lanes.FUSED_MOVES = True` asks for it; it is off, as it has not been run on a
  GPU, and as JAX 0.12 deprecates the Triton backend of Pallas, which compiles it. XLA does not count what it computes.
- Training: T steps there, each of which needs the one before, so T launches at least. Back, where all is affine, time
  is cut into parts that go side by side, and 3 sqrt(T) steps are enough.
- Spectra and orbits of few states: several steps, written out entry by entry, are one kernel, and what goes round the
  loop is copied and stored by as many as before. Larger frames take a kernel for most of their operations, and the
  host reads once a step.
- All of it is in float64, but for training, and for a search that is asked to move its starts in float32.

"""


def counted(target: str, place: Path, titles: list[str]) -> Iterator[dict]:
    """Compile for a target, in a process of its own; give the rows."""
    command = [sys.executable, "-m", "benchmarks.accelerators.compiled", target, *titles]
    piped: dict = dict(cwd=ROOT, env=environment(target, place), stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(command, stderr=errors, **piped) as process:
        assert process.stdout is not None
        yield from (json.loads(line) for line in process.stdout if line.startswith("{"))
        if process.wait():
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed: {errors.read()[-2000:]}")


def goals() -> dict[tuple[str, str], Row]:
    """Give the rows by the titles of their problems and their kernels."""
    return {(problem.title, row.kernel): row for problem in problems() for row in problem.rows}


def table(rows: list[dict]) -> str:
    """Lay out rows of both targets side by side."""
    names = ["problem", "kernel", "unit", "bits"]
    names += [f"H100: {name}" for name in ("launches", "reads", "kB", "kflop")]
    names += [f"TPU: {name}" for name in ("kernels", "kB", "kflop")]
    lines = [names, ["---"] * len(names)]
    for (problem, kernel), row in goals().items():
        done = {one["target"]: one for one in rows if (one["problem"], one["kernel"]) == (problem, kernel)}
        if not done:
            continue
        line = [problem, f"`{kernel}`", row.unit, str(next(iter(done.values()))["bits"])]
        for target in TITLES:
            line += _cells(done.get(target), reads=target == "cuda")
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: dict | None, *, reads: bool) -> list[str]:
    if row is None or "error" in row:
        return ["-" if row is None else "does not compile", *["-"] * (3 if reads else 2)]
    counts = [
        f"{row[name]:,.3g}" if row[name] < 100 else f"{row[name]:,.0f}" for name in ("launches", "reads")[: 1 + reads]
    ]
    return [*counts, *(f"{row[name] / 1000:,.{0 if row[name] >= 1e4 else 1}f}" for name in ("bytes", "flops"))]


def page(rows: list[dict], text: str) -> str:
    """Give the page with its section made anew; what was measured stays."""
    measured = text.split(HEADING)[0].rstrip()
    return f"{measured}\n\n{HEADING}\n{_TEXT.format(version=jax.__version__)}{table(rows)}"


def main() -> None:
    """Compile, count, and write the section."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerators", description=__doc__)
    parser.add_argument("--plugins", help=f"the folder of the compilers (else that of ${VARIABLE}, else ./compilers)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TITLE", help="problems whose titles contain one of these"
    )
    arguments = parser.parse_args()
    places = {target: folder(target, arguments.plugins) for target in TITLES}
    missing = [advice(target, arguments.plugins) for target, place in places.items() if place is None]
    if missing:
        sys.exit("\n".join(missing))
    rows = []
    for target, place in places.items():
        assert place is not None
        for row in counted(target, place, arguments.only):
            rows.append(row)
            print({name: value for name, value in row.items() if name != "seconds"}, flush=True)
    if arguments.only:
        print(table(rows))
    else:
        PAGE.write_text(page(rows, PAGE.read_text()))


if __name__ == "__main__":
    main()
