"""Starts in float32 beside starts in float64: `python -m benchmarks.screening`. Writes `results/screening.md`.

The same starts, all of them, move in float64 and, `SCYFI(screened=True)`, in float32: what do the latter miss, and what
is gained? *Cycles* are those that either of the two found.
"""

import os
import time
from pathlib import Path

import cyclax as cx
from benchmarks.branch_and_bound import network as wide
from benchmarks.recall import coupled_tents, five_dimensional
from benchmarks.search import load_network, network

RESULTS = Path(__file__).resolve().parent / "results" / "screening.md"
STARTS, KEYS = 12_288, 3
HEAD = """# Starts in float32

`python -m benchmarks.screening`: {cores} cores, cpu, load {load:.1f} as this began.
{starts:,} starts of each order, the same ones in both columns, for each of {keys} keys. *Missed in float32*: cycles
that starts found in float64 and not in float32, over all keys; and the other way round. *Hits*: starts that ended in
a cycle. Seconds: all orders, the best of the calls after the first.
"""
COLUMNS = "network", "orders", "cycles", "missed in float32", "missed in float64", "hits, float64", "hits, float32"
TIMES = "s, float64", "s, float32", "ratio"


def cases():
    """Give (name, model, orders)."""
    yield "plrnn_2d_order16", load_network("plrnn_2d_order16"), range(1, 17)
    yield "plrnn_2d_order40", load_network("plrnn_2d_order40"), range(1, 41)
    yield "plrnn_10d_order10", load_network("plrnn_10d_order10"), range(1, 11)
    yield "Lozi (1.7, 0.5)", cx.LoziMap(1.7, 0.5), range(1, 13)
    yield "coupled tents", coupled_tents(), [3, 4]
    yield "5-D, seed 24", five_dimensional(24), range(1, 13)
    yield "random M = 30, seed 19", wide(30, 19), [1]
    yield "random M = 30, gain 0.2", network(30), [1, 2, 5]
    yield "random M = 64, gain 0.2", network(64), [1, 2]


def measured(model, orders, screened: bool):
    """Search with each key; give the words found, hits, and the seconds of the best later call."""
    finder = cx.SCYFI(starts=STARTS, unseen=1e-9, screened=screened)
    find = lambda key: cx.find_cycles(model, orders, key=key, finder=finder, progress=False)  # noqa: E731
    find(0)  # compiles
    found, hits, seconds = [], 0, []
    for key in range(KEYS):
        began = time.perf_counter()
        cycles = find(key)
        seconds.append(time.perf_counter() - began)
        found.append({(cycle.order, cycle.gates.tobytes()) for cycle in cycles})
        hits += sum(report["hits"] for report in cycles.report["orders"].values())
    return found, hits, min(seconds)


def main() -> None:
    """Print and write the table."""
    text = HEAD.format(cores=os.cpu_count(), load=os.getloadavg()[0], starts=STARTS, keys=KEYS)
    columns = (*COLUMNS, *TIMES)
    text += f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    for name, model, orders in cases():
        double, single = (measured(model, orders, screened) for screened in (False, True))
        missed, other = (
            sum(len(some - others) for some, others in zip(first, second, strict=True))
            for first, second in ((double[0], single[0]), (single[0], double[0]))
        )
        known = len(set().union(*double[0], *single[0]))
        listed = ", ".join(map(str, orders)) if len(orders) < 4 else f"{min(orders)} to {max(orders)}"
        line = (
            f"| {name} | {listed} | {known} | {missed} | {other} | {double[1]:,} | {single[1]:,} | "
            f"{double[2]:.2f} | {single[2]:.2f} | {double[2] / single[2]:.2f} |"
        )
        print(line, flush=True)
        text += line + "\n"
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
