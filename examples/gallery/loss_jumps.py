"""Free running, the loss of this run jumps by orders of magnitude where a cycle bifurcates; forced, by far less.

One run, chosen for its picture, of those of examples/loss_jumps.py, which has the statistics over many.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import optax
from examples.loss_jumps import FORCINGS, LENGTH, student, teacher

import cyclax as cx
from cyclax.tracking.result import is_bifurcation

SEED, STEPS = 5, 60
LOOKS = (("#D55E00", "-"), ("#0072B2", "--"), ("#009E73", ":"))


def main(picture: str = "loss_jumps.png") -> None:
    """Train, track, print and draw."""
    series = cx.simulate(teacher(), np.array([-1.0, 0.5]), LENGTH)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.005))
    _, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for (name, forcing), (color, line) in zip(FORCINGS.items(), LOOKS, strict=True):
        settings = {"steps": STEPS, "key": 0, "batch": 1, "length": LENGTH, "dtype": np.float64, "checkpoint_every": 1}
        run = cx.fit(student(SEED), series, forcing=forcing, optimizer=optimizer, **settings)
        track = cx.track(run, 2, key=0, progress=False)
        ax.plot(track.losses, color=color, ls=line, lw=1.3, label=name)
        jumps = list(track.jumps)
        explained = track.explained()
        print(f"{name}: {len(jumps)} jumps, {explained.explained} with a bifurcation within one update")
        events = [float(event.at) for event in track.events if is_bifurcation(event)]
        heights = [track.losses[min(round(at), len(track.losses) - 1)] for at in events]
        ax.plot(events, heights, "o", ms=5, mfc="white", mec=color, mew=1.3, zorder=3)
    ax.plot([], [], "o", mfc="white", mec="0.3", label="a bifurcation of a fixed point or 2-cycle")
    ax.set(xlabel="update", ylabel="loss", yscale="log")
    ax.legend(frameon=False, fontsize="small")
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
