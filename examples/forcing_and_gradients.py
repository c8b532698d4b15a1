"""Gradients with and without forcing: `python examples/forcing_and_gradients.py [PICTURE.png] [--seeds 20]`.

Networks with random weights (PLRNN, M = 3) begin to learn the Lorenz system, free running, with adaptive alpha, and
with alpha above the bound 1 - 1/(|A| + |W|), at which every forced Jacobian shrinks (Hess, Monfared, Brenner,
Durstewitz, *Generalized teacher forcing*, ICML 2023). Free running, the norm of the gradient grows with the length of
the windows as fast as errors do; forced, it is bounded.
"""

import argparse
import warnings

import jax
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.data import Lorenz63, integrate, standardize

UPDATES, LENGTH = 100, 100
FORCINGS = {
    "free running": (cx.FreeRunning(), "#D55E00", "-"),
    "adaptive alpha": (cx.GeneralizedForcing(cx.Adaptive(every=1)), "#E69F00", (0, (5, 2))),
    "alpha above the bound": (cx.GeneralizedForcing(cx.Adaptive(cx.WeightBound(), every=1)), "#0072B2", (0, (1, 1.5))),
}


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description="Gradients with and without forcing.")
    parser.add_argument("picture", nargs="?", default="forcing_and_gradients.png")
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    series, _ = standardize(integrate(Lorenz63(), 5_000, dt=0.01))
    # With a gain of 1 about half of the networks are unstable to begin with.
    networks = [cx.PLRNN.random(3, key=jax.random.key(seed), gain=1.0) for seed in range(arguments.seeds)]
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, (forcing, color, line) in FORCINGS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what diverges is counted below
            fits = cx.fit(networks, series, forcing=forcing, steps=UPDATES, key=0, length=LENGTH, progress=False)
        ended = sum(fit.stopped is not None for fit in fits)
        norms = np.full((len(fits), UPDATES), np.nan)
        for row, fit in zip(norms, fits, strict=True):
            row[: len(fit.gradient_norms)] = fit.gradient_norms
        finite = norms[np.isfinite(norms)]
        print(
            f"{name:22} {ended:2} of {len(fits)} runs ended with a gradient or loss that was not finite; "
            f"largest norm otherwise {np.max(finite):.3g}, median {np.median(finite):.3g}"
        )
        for i, row in enumerate(norms):
            label = f"{name} ({ended} of {len(fits)} overflow)" if i == 0 else None
            ax.plot(np.arange(UPDATES), row, color=color, ls=line, lw=1.0, alpha=0.8, label=label)
            last = np.flatnonzero(np.isfinite(row))
            if len(last) and last[-1] < UPDATES - 1:
                ax.plot(last[-1], row[last[-1]], "x", color=color, ms=5)
    ax.set(xlabel="update", ylabel="norm of the gradient of the loss", yscale="log")
    ax.legend(frameon=False, fontsize="small")
    figure.savefig(arguments.picture, dpi=150)
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
