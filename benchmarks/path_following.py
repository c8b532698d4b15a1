"""Paths against starts: `python -m benchmarks.path_following [--quick]`. Writes `results/path_following.md`.

How long `PathFollowing()` and `SCYFI()` take to the complete set of cycles of one order, on this machine, after
compilation: the median of a few keys. The complete set is what a whole run of paths finds (`unseen=1e-3`), joined with
what SCYFI does. What a piece costs is told by many paths: a few do not fill the lanes. The flip-flop network is a case
file beside the repository; without it that line is left out.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import jax

import cyclax as cx
from benchmarks.branch_and_bound import network
from benchmarks.recall import coupled_tents
from cyclax.core.budget import Budget
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.stop import Stop
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.maps.stack import checked_models
from cyclax.search.finder import AbstractFinder
from cyclax.search.tally import Network

RESULTS = Path(__file__).resolve().parent / "results" / "path_following.md"
FLIP_FLOP = Path(__file__).resolve().parents[2] / "shared" / "cases" / "flipflop_64.json"
# SCYFI is given up after so many seconds.
SECONDS = {True: 3.0, False: 20.0}
PATHS = cx.PathFollowing(unseen=1e-12, paths=10**6)
# Paths that are followed to their ends, to tell what a piece costs: more cycles than there are is never found.
_ALL = 10**9
MANY = cx.PathFollowing(unseen=1e-12, paths=2048)
STARTS = cx.SCYFI(unseen=1e-12, starts=10**7)


class Found(Stop):
    """Stops where as many cycles of an order are known as there are."""

    known: Network
    order: int
    number: int

    def __call__(self) -> bool:
        """Whether the set is complete, or the time is up."""
        return super().__call__() or count(self.known, self.order) >= self.number


class Run(NamedTuple):
    """One search up to the complete set."""

    seconds: float
    samples: int
    work: int  # pieces or solves
    found: int


def count(known: Network, order: int) -> int:
    """Count the cycles of just this order."""
    return sum(key.order == order for key in known.inventory.verified[order].cycles)


def run(model, order: int, finder: AbstractFinder, number: int, key: int, seconds: float) -> Run:
    """Search until `number` cycles are known, or for so many seconds."""
    (one,), _ = checked_models(model)
    with Interruption() as interruption, numerics():
        known = Network(one, affine_form(one), jax.random.key(key), [order])
        stop = Found(seconds, interruption, Budget.clock())
        stop.known, stop.order, stop.number = known, order, number
        begin = time.perf_counter()
        finder.search([known], stop, given={}, progress=False)
        took = time.perf_counter() - begin
    tally = known.tallies[order]
    samples, work = (tally.paths.paths, tally.paths.pieces) if tally.paths else (tally.starts, tally.solves)
    return Run(took, samples, work, count(known, order))


def cases(quick: bool):
    """Name the networks, and their orders."""
    if FLIP_FLOP.is_file():
        yield "flip-flop ReLU RNN, 64 units", cx.load(FLIP_FLOP), 1
    for number, seeds in ((20, (5,)), (30, (0,))) if quick else ((20, (5,)), (30, (0, 2, 12, 19)), (50, (2, 8))):
        for seed in seeds:
            yield f"random M = {number}, seed {seed}", network(number, seed), 1
    for order in (3,) if quick else (3, 4):
        yield "coupled tents", coupled_tents(), order
    yield "Lozi (1.7, 0.5)", cx.LoziMap(1.7, 0.5), 12


def line(name: str, model, order: int, quick: bool) -> str:
    """Give one line of the table."""
    whole = [cx.find_cycles(model, [order], key=99, finder=finder, progress=False)
             for finder in (cx.PathFollowing(), cx.SCYFI(seconds=SECONDS[quick]))]  # fmt: skip
    number = len({word_key(cycle.gates) for cycles in whole for cycle in cycles})
    entry = whole[0].report["orders"][str(order)]["paths"]
    parts = [name, str(order), str(number), f"{whole[0].report['seconds']:.2f}", str(entry["number"])]
    medians = []
    for finder in (PATHS, STARTS):
        run(model, order, finder, number, 99, SECONDS[quick])  # compiles
        runs = [run(model, order, finder, number, key, SECONDS[quick]) for key in range(1 if quick else 3)]
        typical = statistics.median_low(sorted(run.seconds for run in runs))
        one = next(run for run in runs if run.seconds == typical)
        complete = all(run.found >= number for run in runs)
        medians.append((typical, complete))
        least = min(run.found for run in runs)
        rate = run(model, order, MANY, _ALL, 0, SECONDS[quick]) if finder is PATHS else one
        parts += [f"{one.samples:,}", f"{one.work:,}", f"{1e6 * rate.seconds / max(rate.work, 1):.1f}",
                  f"{1e3 * typical:,.0f}" if complete else f"({least} of {number})"]  # fmt: skip
    (paths, sure), (starts, other) = medians
    parts.append(f"{starts / paths:.2g}" if sure and other else (f"> {starts / paths:.2g}" if sure else "-"))
    print(*parts, sep=" | ", flush=True)
    return f"| {' | '.join(parts)} |"


def main(quick: bool) -> None:
    """Write the table."""
    lines = [
        "# Paths against starts",
        "",
        "To the complete set of cycles of just that order, compilation excluded, median of",
        f"{1 if quick else 3} keys; in parentheses what the worst had found after {SECONDS[quick]:g} s.",
        "\"Whole\" is the first `find_cycles` with `PathFollowing()`, compilation included, to its stopping rule; a",
        f"piece is one of 2,048 paths. {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f} when this began.",
        "",
        "| network | order | cycles | whole, s | its paths | paths | pieces | us a piece | ms | starts | solves "
        "| us a solve | SCYFI, ms | SCYFI / paths |",
        "|" + "---|" * 14,
    ]  # fmt: skip
    lines += [line(name, model, order, quick) for name, model, order in cases(quick)]
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer networks, one key")
    main(parser.parse_args().quick)
