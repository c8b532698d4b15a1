"""The default of `find_cycles` beside its sources alone: `python -m benchmarks.default`. Writes `results/default.md`.

For each network, over seeds of the search: seconds of one call (compiled before; median), in how many all is found that
any call found, and the verdicts; of the default, of starts alone (`SCYFI()`) and of paths alone (`PathFollowing()`),
each with at most CAP seconds. `--networks` adds the 60 networks of `branch_and_bound`: how many the default proves, how
long it takes, and whether it misses what an unlimited proof finds. `--large` adds networks of 100 states, a minute each
at most; `--cases FOLDER ..` the `.json` networks there.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cyclax as cx
from benchmarks.branch_and_bound import SEEDS, SIZES, network, prove
from benchmarks.recall import coupled_tents, five_dimensional
from cyclax.cycles.word import WordKey, word_key

RESULTS = Path(__file__).resolve().parent / "results" / "default.md"
# Seconds of a source alone; and of all calls to one, after which no more seeds are tried, but for three.
CAP, ENOUGH = 20.0, 40.0
# Gains of the networks of 100 states (at 1 hardly any has a fixed point), and seconds for each.
GAINS, LARGE = (0.4, 0.45, 1.0), 60.0
FINDERS = {
    "default": cx.Combined(seconds=3 * CAP),
    "starts": cx.SCYFI(seconds=CAP),
    "paths": cx.PathFollowing(seconds=CAP),
}
# Orders at which the networks of a folder are searched, by their names; 1 where they are not named.
ORDERS = {
    "plrnn_2d_order16": 16,
    "plrnn_2d_order27": 27,
    "plrnn_2d_order40": 40,
    "plrnn_2d_order53": 53,
    "plrnn_10d_order10": 10,
    "almost_linear_2d_order8": 8,
    "clipped_m3_h10_order20": 20,
    "shallow_m2_h10": 4,
}
# And these, of networks that have cycles of several orders.
FURTHER = {"almost_linear_2d_order8": (11,), "plrnn_10d_order10": (1,)}


def weaker(number: int, seed: int, gain: float) -> cx.PLRNN:
    """The networks of `branch_and_bound` with smaller weights: at 100 states they have no fixed points otherwise."""
    model = network(number, seed)
    return cx.PLRNN(A=model.A, W=gain * model.W, h=model.h)


def cases(folders: list[Path]) -> Iterator[tuple[str, object, int]]:
    """Give (name, model, order)."""
    for path in (path for folder in folders for path in sorted(folder.glob("*.json")) if path.stem != "answers"):
        model = cx.load(path)
        for order in [ORDERS.get(path.stem, 1), *FURTHER.get(path.stem, ())]:
            yield path.stem, model, order
    for order in (6, 8, 10, 12):
        yield "Lozi (1.7, 0.5)", cx.LoziMap(1.7, 0.5), order
    for order in (3, 4, 5):
        yield "coupled tents", coupled_tents(), order
    yield "5-D, seed 24", five_dimensional(24), 6
    for number, seed in ((20, 5), (20, 7), (30, 0), (30, 2), (30, 12), (30, 19), (50, 2), (50, 8)):
        yield f"M = {number}, seed {seed}", network(number, seed), 1
    for seed, gain in ((0, 0.4), (2, 0.4), (3, 0.4), (2, 0.45)):
        yield f"M = 100, gain {gain}, seed {seed}", weaker(100, seed, gain), 1


def timed(model, order: int, finder, key: int) -> tuple[float, frozenset[WordKey], str]:
    """Search once: seconds, what was found, and the verdict."""
    begin = time.perf_counter()
    cycles = cx.find_cycles(model, [order], key=key, finder=finder, progress=False)
    seconds = time.perf_counter() - begin
    found = frozenset(word_key(cycle.gates) for cycle in cycles)
    return seconds, found, cycles.report["orders"][str(order)]["verdict"]


def row(name: str, model, order: int, seeds: int) -> str:
    """Give one line of the table."""
    calls = {}
    for source, finder in FINDERS.items():
        timed(model, order, finder, seeds)
        calls[source] = some = []
        while len(some) < seeds and (len(some) < 3 or sum(seconds for seconds, _, _ in some) < ENOUGH):
            some.append(timed(model, order, finder, len(some)))
    every = frozenset().union(*(found for some in calls.values() for _, found, _ in some))
    cells, medians = [f"{name}, {order}", str(len(every))], {}
    for source, some in calls.items():
        medians[source] = statistics.median(seconds for seconds, _, _ in some)
        whole = sum(found == every for _, found, _ in some)
        verdicts = Counter(verdict.removesuffix(" complete") for _, _, verdict in some)
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        cells.append(f"{medians[source]:.2f} s, {whole} of {len(some)}: {told}")
    cells.append(f"{medians['default'] / min(medians['starts'], medians['paths']):.1f}")
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


def large() -> list[str]:
    """Search networks of 100 states, order 1, for a minute each."""
    finder = cx.Combined(seconds=LARGE)
    lines = ["", f"Order 1 of networks of 100 states, {SEEDS} of each gain of the weights, {LARGE:g} s at most:", ""]
    lines += ["| gain | fixed points | median, maximum s | verdicts |", "|---|---|---|---|"]
    for gain in GAINS:
        calls = [timed(weaker(100, seed, gain), 1, finder, key=0) for seed in range(SEEDS)]
        seconds, verdicts = [call[0] for call in calls], Counter(verdict for _, _, verdict in calls)
        shown = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        number = sum(len(found) for _, found, _ in calls)
        lines.append(f"| {gain} | {number} | {statistics.median(seconds):.1f}, {max(seconds):.1f} | {shown} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="the 60 networks of branch_and_bound, too")
    parser.add_argument("--large", action="store_true", help="networks of 100 states, too")
    parser.add_argument("--cases", type=Path, nargs="*", default=[], metavar="FOLDER", help="networks there (.json)")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the search")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks whose names contain this")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    lines = [
        "# The default beside its sources alone",
        "",
        f"Of {arguments.seeds} seeds, or fewer: median seconds of a compiled call (sources alone: {CAP:g} s at most),",
        "in how many calls all was found that any found, verdicts. Last: the default by the faster source.",
        "",
        "| network, order | cycles | default | starts alone | paths alone | ratio |",
        "|---|---|---|---|---|---|",
        *(row(*case, arguments.seeds) for case in cases(arguments.cases) if arguments.only in case[0]),
    ]
    if arguments.networks:
        lines += against_proof()
    if arguments.large:
        lines += large()
    lines += ["", f"All of it: {time.perf_counter() - begin:.0f} s."]
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
