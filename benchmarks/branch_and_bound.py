"""All fixed points in many dimensions: `python -m benchmarks.branch_and_bound`. Writes `results/branch_and_bound.md`.

Random PLRNNs (A ~ U(0.3, 0.9), W ~ N(0, 1/M), h ~ N(0, 1)), order 1, 20 seeds each, in the box |z| <= 1e4: how long the
proof takes, and whether the search finds the same fixed points.
"""

import os
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from cyclax.core.budget import Budget
from cyclax.cycles.solve import solve_words
from cyclax.cycles.word import WordKey, word_key
from cyclax.maps.affine import affine_form
from cyclax.proofs.branch_and_bound.branching import branch_and_bound
from cyclax.proofs.candidates import Box

RESULTS = Path(__file__).resolve().parent / "results" / "branch_and_bound.md"
SIZES, SEEDS, BOX, SECONDS = (20, 30, 50), 20, 1e4, 300.0
GOALS = {20: 0.2, 30: 1.0, 50: 30.0}


def network(number: int, seed: int) -> cx.PLRNN:
    """Draw a network."""
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(0.3, 0.9, number), rng.normal(size=(number, number)) / np.sqrt(number)
    return cx.PLRNN(A=A, W=W, h=rng.normal(size=number))


def prove(model: cx.PLRNN):
    """Give the identities of all fixed points, what the method reports, wall-clock and processor seconds."""
    number = model.num_states
    with jax.enable_x64(True):
        bounds, budget = affine_form(model), Budget(seconds=SECONDS)
        budget.start()
        wall, processor = time.perf_counter(), time.process_time()
        box = Box(np.full(number, -BOX), np.full(number, BOX))
        candidates = branch_and_bound(bounds, [1], box, budget, lambda text: None)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        words: set[WordKey] = set()
        if len(candidates.words[1]):
            solutions = solve_words(model, candidates.words[1], bounds)
            words = {word_key(word) for word in candidates.words[1][solutions.met & ~solutions.singular]}
    return words, candidates, wall, processor


def searched(model: cx.PLRNN) -> tuple[set[WordKey], float]:
    """Give what starts alone find, and its seconds."""
    begin = time.perf_counter()
    cycles = cx.find_cycles(model, 1, key=0, finder=cx.SCYFI(), progress=False)
    return {word_key(cycle.gates) for cycle in cycles}, time.perf_counter() - begin


def rows(number: int) -> tuple[str, list[str]]:
    """Give one line of the table, and what is to be said about single networks."""
    walls, processors, nodes, programs, counts, searches, remarks, finished = [], [], [], [], [], [], [], 0
    for seed in range(SEEDS):
        model = network(number, seed)
        found, candidates, wall, processor = prove(model)
        other, seconds = searched(model)
        walls.append(wall)
        processors.append(processor)
        nodes.append(candidates.nodes)
        programs.append(candidates.programs)
        searches.append(seconds)
        counts.append(len(found))
        finished += candidates.complete == (1,)
        print(number, seed, candidates.nodes, f"{wall:.2f} s, {processor:.2f} s", len(found), len(other), flush=True)
        if candidates.unfinished:
            remarks.append(f"M = {number}, seed {seed}: not finished ({candidates.unfinished})")
        if found - other:
            remarks.append(f"M = {number}, seed {seed}: the search found {len(found & other)} of {len(found)}")
        if other - found:
            remarks.append(f"M = {number}, seed {seed}: **{len(other - found)} of the search are missing**")
    line = " | ".join(
        [
            str(number),
            f"{finished} of {SEEDS}",
            f"{np.median(nodes):.0f}, {max(nodes)}",
            f"{np.median(programs):.0f}, {max(programs)}",
            f"{np.median(walls):.2f}, {max(walls):.2f}",
            f"{np.median(processors):.2f}, {max(processors):.2f}",
            f"{GOALS[number]:g}",
            f"{sum(counts)} (0 to {max(counts)})"
            if min(counts) == 0
            else f"{sum(counts)} ({min(counts)}-{max(counts)})",
            f"{np.median(searches):.2f}",
        ]
    )
    return f"| {line} |", remarks


def main() -> None:
    """Write the table."""
    prove(network(5, 0))  # everything is imported and compiled
    lines = [
        "# All fixed points, proved",
        "",
        "Random PLRNNs, order 1, box |z| <= 1e4: branching over gates, proofs recomputed from the rows. Two numbers",
        f"are median and maximum over {SEEDS} seeds. {os.cpu_count()} cores; the load on the machine was "
        f"{os.getloadavg()[1]:.1f} when this began,",
        "so processor seconds say more than seconds.",
        "",
        "| M | proved | nodes | programs | seconds | processor seconds | goal (median s) | fixed points | search, s |",
        "|" + "---|" * 9,
    ]
    remarks = []
    for number in SIZES:
        line, more = rows(number)
        lines.append(line)
        remarks += more
    lines += ["", *(f"- {remark}" for remark in remarks)]
    if not remarks:
        lines.append("The search found the same sets in every case.")
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
