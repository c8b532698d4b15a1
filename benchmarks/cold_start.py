"""Wall time of fresh processes: `python -m benchmarks.cold_start`. Writes `results/cold_start.md`.

Three states of the disk: *first*, in which nothing is kept, as after an installation; *fresh*, in which numba has kept
its loops but no program of JAX is (scripts and notebooks without `keep_compiled`); *kept*, in which both are.
"""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.search import ROOT, processor

RESULTS = Path(__file__).resolve().parent / "results" / "cold_start.md"
NETWORKS = ROOT / "examples" / "networks"
RUNS = 3
CYCLAX = str(Path(sys.executable).with_name("cyclax"))
# What is timed, and whether it compiles anything.
COMMANDS = {
    "python -c 'import jax'": ([sys.executable, "-c", "import jax"], False),
    "cyclax --version": ([CYCLAX, "--version"], False),
    "python -c 'import cyclax'": ([sys.executable, "-c", "import cyclax"], False),
    **{
        f"cyclax cycles {name} --orders {order}": (
            [CYCLAX, "cycles", str(NETWORKS / f"{name}.json"), "--orders", str(order)],
            True,
        )
        for name, order in (("plrnn_2d_order1", 1), ("plrnn_2d_order16", 16), ("plrnn_2d_order40", 40))
    },
}


def seconds(command: list[str], numba: str, programs: str) -> float:
    """Run a command in a process of its own, with these folders for what is compiled."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": numba, "XDG_CACHE_HOME": programs}
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begin


def measured(command: list[str]) -> Iterator[list[float]]:
    """Give the seconds of all runs in the three states of the disk."""
    with tempfile.TemporaryDirectory() as folder:
        empty = functools.partial(tempfile.mkdtemp, dir=folder)
        yield [seconds(command, empty(), empty()) for _ in range(RUNS)]
        loops, programs = empty(), empty()
        seconds(command, loops, programs)
        yield [seconds(command, loops, empty()) for _ in range(RUNS)]
        yield [seconds(command, loops, programs) for _ in range(RUNS)]


def main() -> None:
    """Measure all, and write the page."""
    load = os.getloadavg()[0]
    lines = [
        "# Fresh processes",
        "",
        f"`python -m benchmarks.cold_start`: {processor()}, load {load:.1f} as this began. Seconds of wall time,",
        f"median (and all) of {RUNS} processes. *First*: nothing is kept, as after an installation: numba compiles",
        "its loops if a proof needs them. *Fresh*: numba has kept them, and JAX nothing (`--no-cache`, or scripts",
        "without `keep_compiled`). *Kept*: both have.",
        "",
        "| command | first | fresh | kept |",
        "|---|---|---|---|",
    ]
    for name, (command, compiles) in COMMANDS.items():
        states = list(measured(command)) if compiles else [[seconds(command, "", "") for _ in range(RUNS)]]
        shown = [f"{statistics.median(one):.2f} ({', '.join(f'{s:.2f}' for s in one)})" for one in states]
        shown += ["the same"] * (3 - len(shown))
        lines.append(f"| `{name}` | {' | '.join(shown)} |")
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
