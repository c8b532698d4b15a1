"""Complete enumeration: `python -m benchmarks.word_graph [--quick]`. Writes `results/word_graph.md`.

Every line is one call of `enumerate_cycles` in a fresh box: the orders asked for, the largest one up to which all are
proved, and what it took. `--quick` leaves out the 10-D network, 15 of the 20 seeds and the networks of 8 to 15 states,
and writes nothing.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

import cyclax as cx

ROOT = Path(__file__).resolve().parent
CASES = ROOT.parents[1] / "shared" / "cases"
RESULTS = ROOT / "results" / "word_graph.md"
# Networks of two states, and the largest order that `answers.json` lists.
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
}
TENT = [2, 1, 2, 3, 6, 9, 18, 30, 56, 99, 186, 335]
# Seconds: for all orders (of 5-D networks), for orders to 20 of a chaotic one, for each network of 8 to 15 states and
# method.
BUDGET, FIVE_BUDGET, CHAOTIC_BUDGET, LARGE_BUDGET = 10.0, 40.0, 60.0, 30.0
SEEDS, LARGE = 20, (8, 10, 12, 15)


def random_network(size: int, seed: int) -> cx.PLRNN:
    """Draw A ~ U(0.3, 0.9), W ~ 1.5 N(0, 1/M) with zero diagonal, h ~ N(0, 1)."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(size, size)) * 1.5 / np.sqrt(size)
    np.fill_diagonal(W, 0)
    return cx.PLRNN(A=rng.uniform(0.3, 0.9, size), W=W, h=rng.normal(size=size))


def run(name: str, model, orders, half: float = 1e4, *, goal="", seconds: float = 120.0, method=None):
    """Enumerate; give the result, the seconds, and the line of the table."""
    began = time.perf_counter()
    cycles = cx.enumerate_cycles(model, orders, box=half, method=method, budget=seconds, progress=False)
    wall = time.perf_counter() - began
    certified = cycles.report["completeness"]
    counts = {order: number for order, number in cycles.counts.items() if number}
    shown = ", ".join(f"{order}: {number}" for order, number in list(counts.items())[:6])
    shown += f", .. ({sum(counts.values())} in all)" if len(counts) > 6 else ""
    asked = "all" if orders == "all" else f"to {orders}"
    line = (
        f"| {name} | {half:g} | {asked} | {proved_to(cycles)} | {wall:.1f} | {goal} | {certified['method']} "
        f"| {certified['nodes']} | {certified['programs']} | {certified['notes'].get('level', '')} | {shown} |"
    )
    print(line, certified["unfinished"], flush=True)
    return cycles, wall, line


def proved_to(cycles) -> str:
    """Say up to which order all are proved complete."""
    proved = cycles.report["completeness"]["orders"]
    if proved == "all":
        return "**all orders**"
    known, largest = set(proved), 0
    while largest + 1 in known:
        largest += 1
    return str(largest)


HEAD = (
    "| network | box | orders | proved to | seconds | goal | method | nodes | programs | word length | cycles by order "
    "|\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def planar() -> list[str]:
    """Networks of two states, and maps whose cycles are known: to their largest order, and at all orders."""
    lines = []
    for name, longest in PLANAR.items() if CASES.is_dir() else ():
        lines.append(run(name, cx.load(CASES / f"{name}.json"), longest, goal="10")[2])
    cycles, _, line = run("tent map", cx.TentMap(2.0), 12)
    assert list(cycles.counts.values()) == TENT
    lines.append(line)
    cycles, _, line = run("Lozi map (1.7, 0.5)", cx.LoziMap(1.7, 0.5), 22)
    assert cycles.counts[22] == 2723
    lines.append(line)
    for name, longest in PLANAR.items() if CASES.is_dir() else ():
        if longest > 1:
            lines.append(run(name, cx.load(CASES / f"{name}.json"), "all", seconds=BUDGET)[2])
    lines.append(run("Lozi map (1.7, 0.5)", cx.LoziMap(1.7, 0.5), "all", seconds=BUDGET)[2])
    return lines


def rigorous() -> list[str]:
    """The same in ball arithmetic."""
    method, lines = cx.WordGraph(rigorous=True), []
    cases = {name: longest for name, longest in PLANAR.items() if longest > 1} if CASES.is_dir() else {}
    models = [(name, cx.load(CASES / f"{name}.json"), longest) for name, longest in cases.items()]
    for name, model, orders in [*models, ("tent map", cx.TentMap(2.0), 10), ("Lozi map", cx.LoziMap(1.7, 0.5), 16)]:
        cycles, wall, _ = run(name, model, orders, method=method)
        certified = cycles.report["completeness"]
        lines.append(
            f"| {name} | to {orders} | {proved_to(cycles)} | {certified['rigor']} | {wall:.1f} "
            f"| {certified['notes']['upheld']} | {certified['notes']['rejected']} | {sum(cycles.counts.values())} |"
        )
    return lines


def large(seconds: float) -> list[str]:
    """Full-rank networks: orders 1, 1..2, 1..3, .. by either method, until its seconds are spent."""
    lines = []
    for size in LARGE:
        model = random_network(size, 0)
        for method in (cx.WordGraph(), cx.BranchAndBound()):
            left, largest, nodes, words, spent = seconds, 0, 0, "", 0.0
            while left > 0:
                wanted = range(1, largest + 2) if isinstance(method, cx.WordGraph) else [largest + 1]
                cycles, wall, _ = run(f"{size}-D", model, list(wanted), method=method, seconds=left)
                certified = cycles.report["completeness"]
                left, spent, nodes = left - wall, spent + wall, nodes + certified["nodes"]
                words = " ".join(map(str, certified["notes"].get("words_per_level", []))) or words
                if certified["orders"] == "all":
                    largest = "all"
                    break
                if largest + 1 not in certified["orders"]:
                    break
                largest += 1
            lines.append(f"| {size} | {method.name} | {largest} | {spent:.0f} | {nodes} | {words} |")
    return lines


def main() -> None:
    """Write the tables."""
    quick, load, began = "--quick" in sys.argv, os.getloadavg()[0], time.perf_counter()
    run("warm-up", cx.LoziMap(1.7, 0.5), 6, method=cx.WordGraph())
    lines = planar()
    for half, goal in () if quick or not CASES.is_dir() else ((20.0, "20"), (1e5, "")):
        lines.append(run("plrnn_10d_order10", cx.load(CASES / "plrnn_10d_order10.json"), "all", half, goal=goal)[2])
    five, ended = [], 0
    for seed in range(5 if quick else SEEDS):
        cycles, _, line = run(f"5-D, seed {seed}", random_network(5, seed), "all", seconds=FIVE_BUDGET)
        five.append(line)
        ended += cycles.report["completeness"]["orders"] == "all"
        if cycles.report["completeness"]["orders"] != "all":
            five.append(run(f"5-D, seed {seed}", random_network(5, seed), 20, seconds=CHAOTIC_BUDGET)[2])
    balls = rigorous()
    if quick:
        return
    many = large(LARGE_BUDGET)
    RESULTS.write_text(
        "# Word graph\n\n"
        f"{os.cpu_count()} cores, shared with other processes (load {load:.1f} when this began, "
        f"{os.getloadavg()[0]:.1f} when it ended, after {time.perf_counter() - began:.0f} s): seconds are wall\n"
        "clock and would be fewer on a quiet machine. Kernels were compiled before (once, then cached on disk).\n"
        f"Box |z_i| <= the number given. All orders: a budget of {BUDGET:g} s ({FIVE_BUDGET:g} s in 5-D); orders to "
        f"20: {CHAOTIC_BUDGET:g} s; listing and solving\nwhat is left comes on top.\n\n"
        + HEAD
        + "\n".join(lines)
        + "\n\n## Random 5-D networks, W with zero diagonal, gain 1.5\n\n"
        f"{ended} of {SEEDS} are complete at all orders; the others are asked for orders to 20 as well.\n\n"
        + HEAD
        + "\n".join(five)
        + "\n\n## Rigorous: refutations in ball arithmetic, cycles certified\n\n"
        "| network | orders | proved to | proof | seconds | refutations upheld | rejected | cycles |\n"
        "|---|---|---|---|---|---|---|---|\n"
        + "\n".join(balls)
        + "\n\n## Full-rank networks of 8 to 15 states, gain 1.5, seed 0\n\n"
        f"Orders 1, 2, .. one after another in {LARGE_BUDGET:g} s each network and method. The prototype failed at "
        "M = 10, level 3.\n\n"
        "| M | method | proved to order | seconds | nodes | words left per level |\n|---|---|---|---|---|---|\n"
        + "\n".join(many)
        + "\n"
    )


if __name__ == "__main__":
    main()
