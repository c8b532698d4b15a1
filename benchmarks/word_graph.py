"""Complete enumeration by the word graph: `python -m benchmarks.word_graph [--long]`. Writes `results/word_graph.md`.

Every line is one network: the orders asked for, what was proved, the effort, and how many cycles the candidates hold.
`--long` adds full-rank networks of 8 to 15 states, which do not end within their budget at all orders.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from cyclax.cycles.exact.problem import Box, Budget
from cyclax.cycles.exact.word_graph import word_graph
from cyclax.cycles.solve import borders, solve_words

ROOT = Path(__file__).resolve().parent
CASES = ROOT.parents[1] / "shared" / "cases"
RESULTS = ROOT / "results" / "word_graph.md"
PLANAR = {
    "plrnn_2d_order1": 1,
    "plrnn_2d_order16": 16,
    "plrnn_2d_order27": 27,
    "plrnn_2d_order40": 40,
    "plrnn_2d_order53": 53,
    "shallow_m2_h10": 8,
    "almost_linear_2d_order8": 24,
    "shallow_m2_h60_trained_reach": 1,
    "shallow_m2_h128_trained_reach": 1,
    "shallow_m8_h10_trained": 1,
    "clipped_m3_h10_order20": 20,
}


def random_network(size: int, seed: int) -> cx.PLRNN:
    """Draw W with zero diagonal and gain 1.5."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(size, size)) * 1.5 / np.sqrt(size)
    np.fill_diagonal(W, 0)
    return cx.PLRNN(A=rng.uniform(0.3, 0.9, size), W=W, h=rng.normal(size=size))


def networks(long: bool):
    """Give (name, model, orders or None, half-width of the box, goal in seconds)."""
    for name, longest in PLANAR.items() if CASES.is_dir() else ():
        yield name, cx.load(CASES / f"{name}.json"), list(range(1, longest + 1)), 1e4, 10
        if longest > 1:
            yield name, cx.load(CASES / f"{name}.json"), None, 1e4, None
    if CASES.is_dir():
        for half, goal in ((20.0, 20), (1e5, None)):
            yield "plrnn_10d_order10", cx.load(CASES / "plrnn_10d_order10.json"), None, half, goal
    yield "tent", cx.TentMap(2.0), list(range(1, 13)), 1e4, None
    yield "Lozi (1.7, 0.5)", cx.LoziMap(1.7, 0.5), list(range(1, 23)), 1e4, None
    for seed in range(20):
        yield f"random 5-D, seed {seed}", random_network(5, seed), None, 1e4, None
        yield f"random 5-D, seed {seed}", random_network(5, seed), list(range(1, 21)), 1e4, None
    if long:
        for size in (8, 10, 12, 15):
            for longest in (1, 2, 3, 4):
                yield f"random {size}-D", random_network(size, 0), list(range(1, longest + 1)), 1e4, None


def line(name: str, model, orders: list[int] | None, half: float, goal: int | None) -> str:
    """Run one network; give its line of the table."""
    box = Box(np.full(model.num_states, -half), np.full(model.num_states, half))
    with jax.enable_x64(True):
        bounds = borders(model)
        budget = Budget(seconds=60.0 if orders is None else 120.0)
        budget.start()
        wall, processor = time.perf_counter(), time.process_time()
        found = word_graph(bounds, orders, box, budget, lambda text: None)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        counts = {}
        for order, words in found.words.items():
            solved = solve_words(model, words, bounds)
            inside = np.max(np.abs(solved.points), axis=(1, 2)) <= half
            counts[order] = int(np.sum(solved.met & ~solved.singular & inside))
    proved = "all orders" if found.all_orders else f"{len(found.complete)} orders" if found.complete else "nothing"
    cycles = sum(counts.values())
    candidates = sum(map(len, found.words.values()))
    asked = "all" if orders is None else f"to {max(orders)}"
    print(name, asked, proved, f"{wall:.2f} s", {k: n for k, n in counts.items() if n}, found.unfinished, flush=True)
    return (
        f"| {name} | {half:g} | {asked} | {proved} | {wall:.2f} | {processor:.2f} | {goal or ''} "
        f"| {found.nodes} | {found.programs} | {found.notes['level']} | {candidates} | {cycles} |"
    )


def main() -> None:
    """Write the table."""
    load = os.getloadavg()[0]
    begin = time.perf_counter()
    warm = line("warm-up", cx.TentMap(2.0), [1, 2, 3], 10.0, None)
    del warm
    compiled = time.perf_counter() - begin
    lines = [line(*network) for network in networks("--long" in sys.argv)]
    RESULTS.write_text(
        "# Word graph\n\n"
        f"{os.cpu_count()} cores; the machine's load was {load:.1f} when this began, so processor seconds say more\n"
        f"than seconds. Kernels ready after {compiled:.1f} s (compiled once, then cached on disk).\n\n"
        "| network | box | orders | proved | seconds | processor seconds | goal | nodes | programs | word length "
        "| candidates | cycles |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
