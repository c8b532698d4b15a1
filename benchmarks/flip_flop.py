"""Fixed points of networks trained here to hold bits: `python -m benchmarks.flip_flop`. Writes `results/flip_flop.md`.

A leaky ReLU network (rate form, alpha = 1/2) is trained on the flip-flop task of Sussillo and Barak (*Opening the black
box*, Neural Computation 25, 2013): each of three outputs holds the sign of the last pulse on its input. How long after
the call, compiled before, are all fixed points known: by the default of `find_cycles`, by paths, by starts? And what
does a whole call of the default cost, and say?
"""

import argparse
import functools
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import cyclax as cx
from benchmarks.path_following import PATHS, STARTS, run
from cyclax.cycles.word import word_key

RESULTS = Path(__file__).resolve().parent / "results" / "flip_flop.md"
BITS, LEAK = 3, 0.5
# Steps of a sequence, sequences of a batch, share of steps with a pulse on a channel, and steps of training.
LENGTH, BATCH, PULSES, TRAINING = 60, 64, 0.08, 3000
SECONDS = 60.0


def sequences(key) -> tuple[jax.Array, jax.Array]:
    """Draw pulses and what is to be held: `(T, B, bits)`; every channel begins with a pulse."""
    when, sign = jax.random.split(key)
    shape = (LENGTH, BATCH, BITS)
    pulses = jax.random.bernoulli(when, PULSES, shape).at[0].set(True) * jax.random.rademacher(sign, shape, float)

    def hold(held, pulse):
        held = jnp.where(pulse != 0, pulse, held)
        return held, held

    return pulses, jax.lax.scan(hold, jnp.zeros(shape[1:]), pulses)[1]


def loss(weights, key) -> jax.Array:
    """Mean squared error of the outputs."""
    pulses, held = sequences(key)

    def step(z, pulse):
        z = (1 - LEAK) * z + LEAK * jax.nn.relu(z @ weights["W"].T + pulse @ weights["C"].T + weights["b"])
        return z, z @ weights["out"].T + weights["bias"]

    _, said = jax.lax.scan(step, jnp.zeros((BATCH, len(weights["b"]))), pulses)
    return jnp.mean((said - held) ** 2)


def trained(number: int, seed: int) -> tuple[cx.ShallowPLRNN, float]:
    """Train a network of `number` units. **Returns:** its map without input, and the loss at the end."""
    keys = jax.random.split(jax.random.key(seed), 4)
    weights = {
        "W": 0.9 * jax.random.normal(keys[0], (number, number)) / np.sqrt(number),
        "C": jax.random.normal(keys[1], (number, BITS)) / np.sqrt(BITS),
        "b": jnp.zeros(number),
        "out": jax.random.normal(keys[2], (BITS, number)) / np.sqrt(number),
        "bias": jnp.zeros(BITS),
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(2e-3, TRAINING)))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(weights, state, key):
        def step(carry, key):
            weights, state = carry
            value, gradients = jax.value_and_grad(loss)(weights, key)
            updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(weights, updates), state), value

        return jax.lax.scan(step, (weights, state), jax.random.split(key, TRAINING))

    (weights, _), values = train(weights, optimizer.init(weights), keys[3])
    W, b = (np.asarray(weights[name], float) for name in ("W", "b"))
    model = cx.ShallowPLRNN(
        A=np.full(number, 1 - LEAK), W1=LEAK * np.eye(number), W2=W, h1=np.zeros(number), h2=b
    )  # fmt: skip
    return model, float(np.mean(np.asarray(values)[-100:]))


def rows(name: str, model, seeds: int) -> list[str]:
    """Give the lines of one network."""
    cx.find_cycles(model, 1, key=99, progress=False)  # compiles
    begin = time.perf_counter()
    call = cx.find_cycles(model, 1, key=98, progress=False)
    whole, verdict = time.perf_counter() - begin, call.report["orders"]["1"]["verdict"]
    others = cx.find_cycles(model, 1, key=97, finder=cx.PathFollowing(), progress=False)
    number = len({word_key(cycle.gates) for cycles in (call, others) for cycle in cycles})
    lines, first = [], 0.0
    for source, finder in (("default", cx.Combined()), ("paths", PATHS), ("starts", STARTS)):
        run(model, 1, finder, number, 99, SECONDS)  # compiles
        runs = [run(model, 1, finder, number, key, SECONDS) for key in range(seeds)]
        median, worst = statistics.median(one.seconds for one in runs), max(one.seconds for one in runs)
        complete = sum(one.found >= number for one in runs)
        first = first or median
        told = f"{whole:.2f} s, {len(call)} {verdict}" if source == "default" else ""
        cells = (name, str(number), source, f"{complete} of {seeds}", f"{1e3 * median:.0f}, {1e3 * worst:.0f}")
        lines.append(f"| {' | '.join(cells)} | {median / first:.1f} | {told} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the search")
    parser.add_argument("--file", type=Path, metavar="FILE", help="a network to begin with")
    arguments = parser.parse_args()
    lines = [
        "# Fixed points of flip-flop networks",
        "",
        f"Milliseconds until all are known (median and worst of {arguments.seeds} seeds, compiled before), beside the",
        "default's; and a whole call of the default, to its verdict.",
        "",
        "| network | fixed points | source | all known | ms | ratio | whole call |",
        "|---|---|---|---|---|---|---|",
    ]
    if arguments.file:
        lines += rows(arguments.file.stem, cx.load(arguments.file), arguments.seeds)
    for number, seed in ((32, 0), (64, 1), (128, 2)):
        model, value = trained(number, seed)
        lines += rows(f"{number} units, seed {seed} (loss {value:.1g})", model, arguments.seeds)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
