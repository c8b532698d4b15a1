"""A network learns to decide: `python examples/decision.py [PICTURE.png] [--units 24] [--updates 2000]`.

Noisy evidence for one of two choices comes in; the network is to add it up until the sum is 1 or -1, and then to hold
that choice, whatever evidence there is (drift diffusion to a bound, as of dots that move left or right). What the
trained network does under evidence of any constant strength, its coherence, is in one diagram: all fixed points, exact
and followed through every fold: a nearly vertical row of them, on which sums are held while no evidence comes in, and
at its ends the two choices, each of which withstands opposing evidence, if it grows slowly, up to the fold where its
fixed point ends.

Trained as the network of `flip_flop.py`.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flip_flop import in_float64, train

import cyclax as cx
from cyclax.plot.style import COLORS

# Steps of a trial, and those between which evidence comes in: a mean for the trial, and noise.
STEPS, FIRST, LAST = 60, 8, 45
COHERENCE, NOISE = 0.5, 0.5
# What evidence adds to the sum.
GAIN = 0.2


def trial(key):
    """Draw evidence, and its sum up to the bound, where it stays: both `(T, 1)`."""
    which, noise = jax.random.split(key)
    mean = jax.random.uniform(which, (), float, -COHERENCE, COHERENCE)
    on = (jnp.arange(STEPS) >= FIRST) & (jnp.arange(STEPS) < LAST)
    evidence = on * (mean + NOISE * jax.random.normal(noise, (STEPS,)))

    def add(total, one):
        total = jnp.where(jnp.abs(total) < 1, jnp.clip(total + GAIN * one, -1, 1), total)
        return total, total

    return evidence[:, None], jax.lax.scan(add, 0.0, evidence)[1][:, None]


def first_fold(s: np.ndarray) -> float:
    """Give the strength at which a branch turns back for the first time; its end where it does not."""
    back = np.flatnonzero(np.sign(np.diff(s)) != np.sign(s[1] - s[0]))
    return float(s[back[0]] if len(back) else s[-1])


def main() -> None:
    """Train, follow the fixed points over the strength of the evidence, and draw."""
    parser = argparse.ArgumentParser(description="A two-choice network over the strength of its stimulus.")
    parser.add_argument("picture", nargs="?", default="decision.png")
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    began = time.perf_counter()
    # The readout has weights only: the diagram draws a weighted sum of the states.
    model, losses = train(trial, arguments.units, arguments.updates, arguments.seed, bias=False)
    print(f"trained in {time.perf_counter() - began:.0f} s; mean squared error {losses[-100:].mean():.2g}")

    began = time.perf_counter()
    diagram = cx.follow_input(
        in_float64(model.network), [1.0], (-COHERENCE, COHERENCE), key=0, proof=cx.Budget(60.0, 20_000)
    )
    print(f"{diagram}\nin {time.perf_counter() - began:.0f} s")
    # Branches that reach an end of the range, from there inwards.
    for s in (way for branch in diagram.branches for way in (branch.s, branch.s[::-1])):
        if abs(s[0]) == COHERENCE:
            print(f"the choice made under evidence of {s[0]:+g} stands until that slowly reaches {first_fold(s):+.3f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    evidence, wanted = jax.vmap(trial)(jax.random.split(jax.random.key(arguments.seed + 1), 6))
    _, given = jax.vmap(model)(evidence)
    left.axvspan(FIRST, LAST, color="0.92", zorder=0, label="evidence")
    for one, asked, color in zip(given[..., 0], wanted[..., 0], COLORS[:6], strict=True):
        left.plot(asked, color=color, lw=3.5, alpha=0.35, label="its sum, to the bound" if color == COLORS[0] else None)
        left.plot(one, color=color, lw=1.2, label="output" if color == COLORS[0] else None)
    left.set(xlabel="step", ylabel="output")
    left.legend(frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0))
    cx.plot.input_diagram(diagram, right, readout=model.readout.weight[0])
    right.set(xlabel="strength of the evidence", ylabel="output at the fixed points")
    figure.savefig(arguments.picture, dpi=150)
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
