"""Whether time budgets are kept: `python -m benchmarks.budgets`. Writes `results/budgets.md`.

Every line is one call of `enumerate_cycles`, or `find_cycles`, with a budget that it cannot or can hardly do with, in a
fresh process.
The same call with a small budget goes first, so that kernels are compiled; the wall-clock time of the second counts.
Beside it stands the time of the processor: where other work takes cores away, the two are far apart.
The promise is wall <= 1.2 budget + 1 s.
"""

import dataclasses
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import cyclax as cx

RESULTS = Path(__file__).resolve().parent / "results" / "budgets.md"
GRAPH, RIGOROUS, BRANCH, WORDS = cx.WordGraph(), cx.WordGraph(rigorous=True), cx.BranchAndBound(), cx.Exhaustive()


def piecewise() -> cx.AlmostLinearRNN:
    """Three states, chaotic and expanding: the graph does not end."""
    return cx.AlmostLinearRNN(
        A=[2.0, -2.0, 1.0], W=[[3.0, 2.0, 3.0], [-1.0, 2.0, 0.0], [3.0, 1.0, 2.0]], h=[0.0, 0.0, -3.0], num_gated=2
    )


def normal_form() -> cx.BorderCollisionNormalForm:
    """A planar map near a homoclinic tangency: many orders can be listed, with long words."""
    return cx.BorderCollisionNormalForm(left=[[-1.77, 0.6], [-0.9, 0.15]], right=[[1.5, 0.6], [-0.75, 0.15]],
                                        h=[-0.7, -0.4])  # fmt: skip


def deep(number: int, seed: int = 0) -> cx.PLRNN:
    """Draw a PLRNN: A ~ U(0.3, 0.9), W ~ N(0, 1/M), h ~ N(0, 1)."""
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(0.3, 0.9, number), rng.normal(size=(number, number)) / np.sqrt(number)
    return cx.PLRNN(A=A, W=W, h=rng.normal(size=number))


def shallow(number: int, hidden: int, seed: int = 0) -> cx.ShallowPLRNN:
    """Draw a shallow PLRNN with many hidden units."""
    rng = np.random.default_rng(seed)
    return cx.ShallowPLRNN(
        A=rng.uniform(0.3, 0.9, number),
        W1=rng.normal(size=(number, hidden)) / np.sqrt(hidden),
        W2=rng.normal(size=(hidden, number)) / np.sqrt(number),
        h1=rng.normal(size=number),
        h2=rng.normal(size=hidden),
    )


CASES = {
    "3 states, all, word graph": (piecewise, "all", GRAPH, (3,)),
    "3 states, all, rigorous": (piecewise, "all", RIGOROUS, (3,)),
    "3 states, 12, branch and bound": (piecewise, 12, BRANCH, (5,)),
    "3 states, 8, all words": (piecewise, 8, WORDS, (5,)),
    "normal form, all, word graph": (normal_form, "all", GRAPH, (2, 5, 8)),
    "normal form, 60, word graph": (normal_form, 60, GRAPH, (5,)),
    "normal form, all, rigorous": (normal_form, "all", RIGOROUS, (3,)),
    "normal form, 16, all words": (normal_form, 16, WORDS, (4,)),
    "M = 200, 1, branch and bound": (lambda: deep(200), 1, BRANCH, (5, 20)),
    "M = 200, 2, branch and bound": (lambda: deep(200), 2, BRANCH, (20,)),
    "M = 200, all, word graph": (lambda: deep(200), "all", GRAPH, (10,)),
    "M = 200, 1, rigorous": (lambda: deep(200), 1, RIGOROUS, (10,)),
    "G = 2000, 1, default": (lambda: shallow(10, 2000), 1, None, (10,)),
    "G = 2000, 3, default": (lambda: shallow(10, 2000), 3, None, (10,)),
    "G = 2000, all, word graph": (lambda: shallow(10, 2000), "all", GRAPH, (10,)),
    "G = 2000, 1, rigorous": (lambda: shallow(10, 2000), 1, RIGOROUS, (3,)),
    "G = 2000, 2, branch and bound": (lambda: shallow(10, 2000), 2, BRANCH, (10,)),
    "M = 10, G = 60, 1, word graph": (lambda: shallow(10, 60), 1, GRAPH, (10,)),
    "M = 30, 6, branch and bound": (lambda: deep(30), 6, BRANCH, (10,)),
    "3 states, 12, find_cycles": (piecewise, 12, cx.Combined(), (5,)),
    "normal form, 30, find_cycles": (normal_form, 30, cx.Combined(), (5,)),
    "M = 200, 1, find_cycles": (lambda: deep(200), 1, cx.Combined(), (5,)),
    "M = 200, 3, find_cycles": (lambda: deep(200), 3, cx.Combined(), (5,)),
    "M = 200, 3, find_cycles, starts": (lambda: deep(200), 3, cx.SCYFI(), (5,)),
    "M = 200, 1, find_cycles, paths": (lambda: deep(200), 1, cx.PathFollowing(), (5,)),
    "G = 2000, 1, find_cycles": (lambda: shallow(10, 2000), 1, cx.Combined(), (5,)),
    "G = 2000, 3, find_cycles": (lambda: shallow(10, 2000), 3, cx.Combined(), (5,)),
    "G = 2000, 3, find_cycles, starts": (lambda: shallow(10, 2000), 3, cx.SCYFI(), (5,)),
}


def call(name: str, seconds: float) -> tuple[float, float, int, list[int] | str]:
    """Enumerate twice, and give wall and processor time of the second, how many cycles, and the orders proved."""
    make, orders, method, _ = CASES[name]
    model = make()

    def ask(budget: float) -> cx.Cycles:
        if not hasattr(method, "seconds"):
            return cx.enumerate_cycles(model, orders, method=method, budget=budget, progress=False)
        finder = dataclasses.replace(method, seconds=budget)
        return cx.find_cycles(model, orders, key=0, finder=finder, progress=False)

    ask(min(2.0, seconds))
    begun, used = time.perf_counter(), time.process_time()
    cycles = ask(seconds)
    return (
        time.perf_counter() - begun,
        time.process_time() - used,
        len(cycles),
        cycles.report.get("completeness", {"orders": []})["orders"],
    )


def row(name: str, seconds: float) -> str:
    """Give one line of the table."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        wall, used, number, orders = fresh.submit(call, name, seconds).result()
    proved = orders if orders == "all" else f"{len(orders)} orders" if orders else "none"
    kept = "yes" if wall <= 1.2 * seconds + 1 else "**no**"
    return f"| {name} | {seconds:g} | {wall:.1f} | {used:.1f} | {wall / seconds:.2f} | {kept} | {number} | {proved} |"


def main(only: list[str]) -> None:
    """Print all cases, or those whose names contain one of the given texts; write the table of all."""
    lines = [
        "| case | budget, s | wall, s | processor, s | ratio | <= 1.2 budget + 1 s | cycles | proved |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name, (*_, budgets) in CASES.items():
        for seconds in budgets if not only or any(text in name for text in only) else ():
            lines.append(row(name, float(seconds)))
            print(lines[-1], flush=True)
    if not only:
        head = f"# Time budgets\n\n{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} when this ended. "
        about = "The call with a small budget goes first, so that kernels are compiled.\n\n"
        RESULTS.write_text(head + about + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
