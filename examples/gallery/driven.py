"""Two units that inhibit each other, driven by a rhythm: each choice is a cycle, and a saddle lies between.

Cycles of a network under inputs that repeat are found all the same; their orders count periods of the input.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.plot.style import COLORS

PERIOD, STRENGTH = 6, 0.9
RHYTHM = STRENGTH * np.sin(2 * np.pi * np.arange(PERIOD) / PERIOD)[:, None] * np.array([1.0, -1.0])


def main(picture: str = "driven.png") -> None:
    """Find, print and draw."""
    model = cx.RateRNN(W=[[0.4, -1.6], [-1.6, 0.4]], C=np.eye(2), b=[1.0, 1.0], alpha=0.5)
    cycles = cx.find_cycles(model, 2, key=0, inputs=RHYTHM)
    found = cx.attractors(model, 400, key=0, inputs=RHYTHM)
    print(str(cycles).splitlines()[0])
    print(found)
    _, axes = plt.subplots(2, sharex=True, figsize=(8, 4.8), height_ratios=(2, 1), layout="constrained")
    steps = np.arange(2 * PERIOD + 1)
    for cycle, color, marker in zip(cycles, COLORS, "os^Dvx+", strict=False):
        orbit = np.resize(cycle.points, (len(steps), 2))
        label = f"order {cycle.order} ({len(cycle.points)} steps), {cycle.stability}"
        looks = {"ls": "-" if cycle.stability == "stable" else "--", "marker": marker, "ms": 4, "lw": 1.2}
        axes[0].plot(steps, orbit[:, 0] - orbit[:, 1], color=color, label=label, **looks)
    axes[0].set_ylabel("unit 1 minus unit 2")
    axes[0].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    axes[1].plot(steps, np.resize(RHYTHM[:, 0], len(steps)), "o-", ms=3, color="black")
    axes[1].set(xlabel="step", ylabel="input for unit 1", xticks=steps[::PERIOD])
    plt.savefig(picture, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
