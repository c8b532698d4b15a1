"""Lyapunov spectra of a GRU and an LSTM while they learn to recall a sum: every checkpoint, in one call for each kind.

After Vogt, Puelma Touzel, Shlizerman, Lajoie, "On Lyapunov exponents for RNNs" (2022); examples/lyapunov_training.py is
the long version.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np
from examples.lyapunov_training import GAINS, resting, train

import cyclax as cx

STEPS, CHECKPOINTS = 400, 4
GAIN = GAINS.index(1.3)


def main(picture: str = "spectra_in_training.png") -> None:
    """Train, compute, print and draw."""
    inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 1))
    _, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for ax, kind in zip(axes, ("GRU", "LSTM"), strict=True):
        cells, losses = train(kind, STEPS, CHECKPOINTS)
        cells, losses = cells[GAIN :: len(GAINS)], losses[:, GAIN]
        zero = jax.tree.map(np.asarray, resting(cells[0]))
        spectra = cx.lyapunov_spectrum(cells, zero, inputs, steps=300, warmup=100)
        for i, loss in enumerate(losses):
            values, updates = spectra[i].exponents, STEPS // CHECKPOINTS * (i + 1)
            shade = 0.75 * (1 - (i + 1) / CHECKPOINTS)
            label = f"after {updates} updates, loss {loss:.2g}"
            ax.plot(np.arange(1, len(values) + 1), values, color=str(shade), marker="os^D"[i], ms=3, lw=1, label=label)
        first, last = spectra[0].exponents[0], spectra[-1].exponents[0]
        print(f"{kind}: loss {losses[0]:.2g} -> {losses[-1]:.2g}, largest exponent {first:+.3f} -> {last:+.3f}")
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(xlabel="rank of the exponent", title=f"{kind}, initial gain {GAINS[GAIN]}")
        ax.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("Lyapunov exponent (nats per step)")
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
