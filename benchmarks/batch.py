"""All fixed points of 150 networks in one call: `python -m benchmarks.batch [SEQUENCE.npz]`. Writes `results/batch.md`.

By default the sequence of trained networks of `../shared/data`, if it is there, else random networks of its shape.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "batch.md"
SEQUENCE = ROOT.parent / "shared" / "data" / "multistable_sequence.npz"
REPEATS = 5


def timed(action) -> float:
    """Give the seconds that the action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    """Time one call against a loop over models, cold and warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequence", nargs="?", type=Path, default=SEQUENCE)
    path = parser.parse_args().sequence
    if path.is_file():
        models = cx.load(path, index=slice(None))
        what = f"{len(models)} networks of {path.name}"
    else:
        models = [cx.ShallowPLRNN.random(8, 10, key=jax.random.key(i)) for i in range(150)]
        what = "150 random networks, M = 8, H = 10"
    first = timed(lambda: cx.find_cycles(models, 1, key=0, finder=cx.SCYFI(), progress=False))
    batch = [
        timed(lambda i=i: cx.find_cycles(models, 1, key=i, finder=cx.SCYFI(), progress=False))
        for i in range(1, REPEATS + 1)
    ]
    loop = [
        timed(lambda i=i: [cx.find_cycles(model, 1, key=i, finder=cx.SCYFI(), progress=False) for model in models])
        for i in range(REPEATS)
    ][1:]
    results = cx.find_cycles(models, 1, key=0, finder=cx.SCYFI(), progress=False)
    solves = sum(entry["solves"] for cycles in results for entry in cycles.report["orders"].values())
    lines = [
        f"# Fixed points of {what}",
        "",
        f"{sum(map(len, results))} fixed points; {solves} solves; {jax.device_count()} x {jax.default_backend()}.",
        "",
        "| | s |",
        "|---|---|",
        f"| one call, the first (compiles) | {first:.2f} |",
        f"| one call, later ones (median) | {np.median(batch):.2f} |",
        f"| a loop over the models, compiled (median) | {np.median(loop):.2f} |",
    ]
    print("\n".join(lines))
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
