"""A network of fifty hidden units reconstructs the Lorenz system: its butterfly, its exponents, its fixed points.

Hidden units are chosen, weights solved for, and trained for a short while; examples/lorenz.py is the long version.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from examples.lorenz import exchange

import cyclax as cx
from cyclax.data import Lorenz63, integrate, standardize

DT = 0.01


def main(picture: str = "lorenz.png") -> None:
    """Simulate, choose, train, measure, print and draw."""
    system = Lorenz63()
    series, scale = standardize(integrate(system, 50_000, dt=DT))
    rng = np.random.default_rng(0)
    network = exchange(np.full(3, 0.9), np.eye(3), np.full(3, 6.0), series[:-1], series[1:], 0, rng)
    settings = {"optimizer": cx.RAdam(1e-3, 1e-5, clip=10.0), "batch": 512, "length": 2}
    run = cx.fit(network, series, forcing=cx.GeneralizedForcing(1.0), steps=2000, key=0, **settings)
    orbit = run.model.generate(series[0], 21_000)[1000:]
    spectrum = cx.lyapunov_spectrum(run.map, orbit[0], steps=50_000, warmup=1000, dt=DT)
    cycles = cx.find_cycles(run.map, 1, key=0)
    print(f"exponents {spectrum.exponents.round(3)} (the system's: 0.906, 0, -14.57)")
    print(str(cycles).splitlines()[0])
    near = sum(bool(np.max(np.abs(cycle.points)) < 4) for cycle in cycles)
    print(f"{near} of them where the attractor is, as the system's own; drawn are these")
    r = np.sqrt(system.beta * (system.rho - 1))
    true = scale.apply(np.array([[0, 0, 0], [r, r, system.rho - 1], [-r, -r, system.rho - 1]]))
    _, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharex=True, sharey=True, layout="constrained")
    found = np.array([cycle.points[0] for cycle in cycles]).reshape(-1, 3)
    for ax, path, points, title in (
        (axes[0], series, true, "the Lorenz system"),
        (axes[1], orbit, found, "the network, by itself"),
    ):
        ax.plot(path[:6000, 0], path[:6000, 2], color="0.6", lw=0.5)
        ax.plot(points[:, 0], points[:, 2], "o", mfc="white", mec="#0072B2", mew=2, ms=7, label="fixed points")
        ax.set(xlabel="x (standardized)", title=title, xlim=(-3, 3), ylim=(-3.5, 3.5))
        ax.legend(frameon=False, loc="lower center")
    axes[0].set_ylabel("z (standardized)")
    plt.savefig(picture, dpi=75)


if __name__ == "__main__":
    main(*sys.argv[1:])
