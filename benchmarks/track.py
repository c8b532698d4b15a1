"""Tracking models in training: `python -m benchmarks.track [--quick]`. Writes `results/track.md`.

A training run of 1,000 checkpoints (shallow PLRNN, M = 6, H = 20, on the Lorenz system), orders 1..10: seconds for
search and events, cold and warm. The two published sequences of 150 networks (`../shared/data`, where it is), order 1.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from cyclax.data import Lorenz63, integrate, standardize

RESULTS = Path(__file__).resolve().parent / "results" / "track.md"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def trained(checkpoints: int) -> cx.Fit:
    """Train with ten updates between checkpoints."""
    series, _ = standardize(integrate(Lorenz63(), 20_000, dt=0.01, key=0))
    model = cx.LatentModel.observing(cx.ShallowPLRNN.random(6, 20, key=jax.random.key(0), gain=0.3), 3)
    forcing = cx.GeneralizedForcing(0.15)
    return cx.fit(
        model, series, forcing=forcing, steps=10 * checkpoints, key=0, length=100, checkpoint_every=10, progress=False
    )


def timed(models, orders, say, name: str) -> None:
    """Track twice: cold, and warm."""
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        track = cx.track(models, orders, key=0, progress=False)
        seconds.append(time.perf_counter() - begin)
    say(f"\n{name}: {seconds[0]:.1f} s cold, {seconds[1]:.1f} s warm\n\n```\n{track}\n```")


def main(quick: bool) -> None:
    """Print and write the results."""
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    load = f"{os.getloadavg()[0]:.1f}"
    say(f"# Tracking models in training\n\n{os.cpu_count()} cores, {jax.devices()[0].device_kind}, load {load}.")
    number = 50 if quick else 1000
    begin = time.perf_counter()
    run = trained(number)
    say(f"\nTraining, {10 * number:,} updates with {number:,} checkpoints: {time.perf_counter() - begin:.1f} s")
    timed(run, 10, say, f"{len(run.models):,} checkpoints of a shallow PLRNN, M = 6, H = 20, orders 1..10")
    for name in ("multistable", "singlestable"):
        path = DATA / f"{name}_sequence.npz"
        if path.exists():
            with np.load(path) as data:
                pairs = zip(data["W1"], data["W2"], strict=True)
                models = [cx.ShallowPLRNN(data["A"], W1, W2, data["h1"], data["h2"]) for W1, W2 in pairs]
            timed(models, 1, say, f"the published sequence `{name}`, 150 networks, order 1")
    if not quick:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main("--quick" in sys.argv)
