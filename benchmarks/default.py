"""The default of `find_cycles` beside its sources alone: `python -m benchmarks.default`. Writes `results/default.md`.

For each network: seconds of one call (compiled before), what was found, and the verdicts; of the default, of starts
alone (`SCYFI()`) and of paths alone (`PathFollowing()`). `--networks` adds the 60 networks of `branch_and_bound`: how
many the default proves, how long it takes, and whether it misses what an unlimited proof finds. With `--cases FOLDER`
also the networks of a folder of `.json` files.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cyclax as cx
from benchmarks.branch_and_bound import SEEDS, SIZES, network, prove
from cyclax.cycles.word import word_key

RESULTS = Path(__file__).resolve().parent / "results" / "default.md"
FINDERS = {"default": None, "starts": cx.SCYFI(), "paths": cx.PathFollowing()}
# Orders at which the networks of a folder are searched, by their names; 1 where they are not named.
ORDERS = {
    "plrnn_2d_order1": 4,
    "plrnn_2d_order16": 16,
    "plrnn_2d_order27": 27,
    "plrnn_2d_order40": 40,
    "plrnn_2d_order53": 53,
    "plrnn_10d_order10": 10,
    "almost_linear_2d_order8": 8,
    "clipped_m3_h10_order20": 20,
    "shallow_m2_h10": 5,
}


def timed(model, orders: int | Sequence[int], finder) -> tuple[float, cx.Cycles]:
    """Search twice, and time the second call."""
    for key in (1, 0):
        begin = time.perf_counter()
        cycles = cx.find_cycles(model, orders, key=key, finder=finder, progress=False)
        seconds = time.perf_counter() - begin
    return seconds, cycles  # pyright: ignore[reportPossiblyUnbound]


def described(cycles: cx.Cycles) -> str:
    """Count verdicts."""
    counts = Counter(entry["verdict"] for entry in cycles.report["orders"].values())
    return f"{len(cycles)} ({', '.join(f'{number} {verdict}' for verdict, number in counts.items())})"


def row(name: str, model, orders: int | Sequence[int], paths: bool = True) -> str:
    """Give one line of the table."""
    cells = [name]
    for source, finder in FINDERS.items():
        if source == "paths" and not paths:
            cells.append("")
            continue
        seconds, cycles = timed(model, orders, finder)
        cells.append(f"{seconds:.2f} s: {described(cycles)}")
    print(*cells, sep=" | ", flush=True)
    return f"| {' | '.join(cells)} |"


def against_proof() -> list[str]:
    """Search the networks of `branch_and_bound`, order 1, and prove what there is."""
    lines = ["", "| M | proved | missed | median, maximum s | verdicts |", "|---|---|---|---|---|"]
    for number in SIZES:
        verdicts, seconds, missed = Counter(), [], 0
        for seed in range(SEEDS):
            model = network(number, seed)
            begin = time.perf_counter()
            cycles = cx.find_cycles(model, 1, key=0, progress=False)
            seconds.append(time.perf_counter() - begin)
            verdict = cycles.report["orders"]["1"]["verdict"]
            verdicts[verdict] += 1
            if verdict != "proved complete":
                found = prove(model)[0]
                missed += len(found - {word_key(cycle.gates) for cycle in cycles})
            print(number, seed, verdict, f"{seconds[-1]:.2f} s", len(cycles), flush=True)
        shown = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        times = f"{statistics.median(seconds):.2f}, {max(seconds):.2f}"
        lines.append(f"| {number} | {verdicts['proved complete']} of {SEEDS} | {missed} | {times} | {shown} |")
    return lines


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="the 60 networks of branch_and_bound, too")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="networks (.json) of this folder, too")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    lines = [
        "# The default beside its sources alone",
        "",
        "Seconds of one compiled call, cycles found, and verdicts of orders.",
        "",
        "| network | default | starts alone | paths alone |",
        "|---|---|---|---|",
        row("Lozi, orders 1..12", cx.LoziMap(1.7, 0.5), 12, paths=False),
        row("tent, orders 1..10", cx.TentMap(1.9), 10, paths=False),
        *(row(f"PLRNN, M = {number}, seed {seed}, order 1", network(number, seed), 1)
          for number, seed in ((20, 5), (30, 0))),
    ]  # fmt: skip
    for path in sorted(arguments.cases.glob("*.json")) if arguments.cases else ():
        if path.stem in ORDERS or path.stem.startswith(("flipflop", "shallow")):
            orders = ORDERS.get(path.stem, [1])
            lines.append(row(f"{path.stem}, orders {orders}", cx.load(path), orders, paths=orders == [1]))
    if arguments.networks:
        lines += against_proof()
    lines += ["", f"All of it: {time.perf_counter() - begin:.0f} s."]
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
