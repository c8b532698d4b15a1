"""Speed of training: `python -m benchmarks.training [--quick]`. Writes `results/training.md`.

Gradient steps per second of an almost-linear RNN (float32, windows of T steps, RAdam): `fit`, with generalized forcing,
logs and checkpoints on disk, beside a bare `lax.scan` loop in the same run (batch first, gradients by plain
differentiation, nothing logged; the best of several unrollings). Then several seeds at once, by threads (a program per
run) and by `vmap`, and scaling with T, M, batch and seeds. Ratios count: the machine is shared.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import cyclax as cx
from cyclax.training.fit import fit
from cyclax.training.forcing import GeneralizedForcing

RESULTS = Path(__file__).resolve().parent / "results" / "training.md"
ALPHA = 0.3


def network(M: int, seed: int = 0) -> cx.AlmostLinearRNN:
    """Give an almost-linear RNN, half of its units gated, that does not expand."""
    return cx.AlmostLinearRNN.random(M, M // 2, key=jax.random.key(seed), gain=0.4)


def series(M: int) -> np.ndarray:
    """Give noise: the values do not matter for speed."""
    return np.random.default_rng(0).normal(size=(20_000, M))


def bare(T: int, M: int, batch: int, unroll: int, updates: int):
    """Compile a bare loop; give a function that runs it."""
    model, data = network(M), jnp.asarray(series(M), jnp.float32)
    optimizer = optax.radam(1e-3)
    gated = jnp.arange(M) >= M - model.num_gated

    def loss(weights, x):
        A, W, h = weights

        def step(z, target):
            z = z + ALPHA * (target - z)
            z = A * z + jnp.where(gated, jnp.maximum(z, 0), z) @ W.T + h
            return z, z

        _, states = jax.lax.scan(step, x[0], x[:-1], unroll=unroll)
        return jnp.mean((states - x[1:]) ** 2)

    def update(carry, i):
        weights, state = carry
        begin = jax.random.randint(jax.random.fold_in(jax.random.key(0), i), (batch,), 0, len(data) - T)
        x = jnp.swapaxes(data[begin[:, None] + jnp.arange(T + 1)], 0, 1)
        value, gradient = jax.value_and_grad(loss)(weights, x)
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(weights, change), state), value

    weights = tuple(jnp.asarray(leaf, jnp.float32) for leaf in (model.A, model.W, model.h))
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, jnp.arange(updates)))
    start = weights, optimizer.init(weights)
    jax.block_until_ready(run(start))

    def again() -> int:
        jax.block_until_ready(run(start))
        return updates

    return again


def rounds(contestants: dict[str, Any], number: int) -> dict[str, tuple[float, float]]:
    """Run all in turn, several times; give the best updates per second, and per second of CPU time, of each."""
    best = dict.fromkeys(contestants, (0.0, 0.0))
    for _ in range(number):
        for name, run in contestants.items():
            begin, cpu = time.perf_counter(), time.process_time()
            updates = run()
            rate = updates / (time.perf_counter() - begin), updates / (time.process_time() - cpu)
            best[name] = max(best[name][0], rate[0]), max(best[name][1], rate[1])
    return best


def ours(T: int, M: int, batch: int, updates: int, seeds: int = 1, vmap: bool | None = None, forcing: Any = None):
    """Give a function that trains with `fit`, checkpoints on disk included, once it has been compiled."""
    models: Any = [network(M, seed) for seed in range(seeds)] if seeds > 1 else network(M)
    data = series(M)

    def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            fit(
                models, data, forcing=forcing or GeneralizedForcing(ALPHA), steps=updates, key=0, batch=batch, length=T,
                vmap=vmap, store=folder, progress=False, checkpoint_every=max(1, updates // 4),
            )  # fmt: skip
        return updates * seeds

    run()
    return run


def main(quick: bool) -> None:
    """Print and write the results."""
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    some = 200 if quick else 1000
    load = f"{os.getloadavg()[0]:.1f}"
    say(f"# Training\n\n{os.cpu_count()} cores, {jax.devices()[0].device_kind}, load {load} as this began.\n")
    say("Almost-linear RNN, T = 200, M = 20, batch 16, gradient steps per second:\n")
    contestants: dict[str, Any] = {}
    for unroll in (1,) if quick else (1, 2, 4):
        contestants[f"bare scan, unroll {unroll}"] = bare(200, 20, 16, unroll, some)
    fits = {
        "`fit`, constant alpha": ours(200, 20, 16, some),
        "`fit`, adaptive alpha": ours(200, 20, 16, some, forcing=GeneralizedForcing()),
    }
    rates = rounds(contestants | fits, 3 if quick else 5)
    best = [max(rates[name][i] for name in contestants) for i in (0, 1)]
    for name, rate in rates.items():
        ratio = f"; {rate[0] / best[0]:.2f} and {rate[1] / best[1]:.2f} of the best bare scan" if name in fits else ""
        say(f"- {name}: {rate[0]:,.0f}; per second of CPU time {rate[1]:,.0f}{ratio}")
    many = {
        "one run per core": ours(200, 20, 16, some // 2, seeds=10, vmap=False),
        "one program, vmap": ours(200, 20, 16, some // 10, seeds=10, vmap=True),
    }
    say("\n10 seeds at once, seed-steps per second:\n")
    for name, rate in rounds(many, 2).items():
        say(f"- {name}: {rate[0]:,.0f}; per second of CPU time {rate[1]:,.0f}")
    if quick:
        return
    say("\n| T | M | batch | seeds | seed-steps per second | steps of time per second |\n" + "|---" * 6 + "|")
    cases = [(50, 20, 16, 1), (200, 20, 16, 1), (800, 20, 16, 1), (200, 5, 16, 1), (200, 50, 16, 1), (200, 100, 16, 1),
             (200, 20, 64, 1), (200, 20, 256, 1), (200, 20, 16, 2), (200, 20, 16, 4), (200, 20, 16, 20)]  # fmt: skip
    for T, M, batch, seeds in cases:
        rate = rounds({"": ours(T, M, batch, 100, seeds=seeds)}, 2)[""][0]
        say(f"| {T} | {M} | {batch} | {seeds} | {rate:,.0f} | {rate * T * batch:,.3g} |")
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main("--quick" in sys.argv)
