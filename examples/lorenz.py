"""A network learns the Lorenz system: `python examples/lorenz.py [PICTURE.png] [--seeds 3] [--quick]`.

Simulate Lorenz-63, standardize, train shallow PLRNNs (M = 3, H = 50) with generalized teacher forcing, hold what they
generate against a test series (D_stsp, D_H, largest Lyapunov exponent), and find their fixed points, which are those
of the Lorenz system. After Hess, Monfared, Brenner, Durstewitz, *Generalized teacher forcing*, ICML 2023.

Three seeds train at once, one on each core. Held against a test series of 10^5 points, all three came to D_stsp below
0.2 and D_H below 0.08, with the fixed points C+ and C- within 2 % of the attractor's diameter. The exponent is harder:
one was within 5 %, one within 7 %, and one network's orbit ended, after a long while, on a stable cycle. The
multipliers of C+- are off by some percent: the attractor leaves a hole around them, of which the data say nothing.
"""

import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.data.integrate import integrate
from cyclax.data.series import standardize
from cyclax.data.systems import Lorenz63
from cyclax.metrics.power_spectrum import hellinger_distance
from cyclax.metrics.state_space import state_space_divergence
from cyclax.training.fit import fit
from cyclax.training.forcing import GeneralizedForcing
from cyclax.training.optimizers import RAdam

DT, EXPONENT = 0.01, 0.906


def multipliers_of_the_flow(system: Lorenz63, state: np.ndarray) -> np.ndarray:
    """Give exp(dt eigenvalues) of the vector field's Jacobian."""
    with jax.enable_x64(True):
        J = np.asarray(jax.jacobian(lambda z: system(0.0, z))(state))
    return np.exp(DT * np.linalg.eigvals(J))


def main() -> None:
    """Train, measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default="lorenz.png")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="short training, to see that it runs")
    arguments = parser.parse_args()
    rows, steps, length = (5_000, 300, 5_000) if arguments.quick else (100_000, 150_000, 100_000)

    system = Lorenz63()
    raw = integrate(system, 2 * rows, dt=DT)
    series, scale = standardize(raw[:rows])
    test = scale.apply(raw[rows:])
    networks = [cx.ShallowPLRNN.random(3, 50, key=jax.random.key(seed), gain=0.1) for seed in range(arguments.seeds)]
    fits = fit(
        networks, series, forcing=GeneralizedForcing(0.15), steps=steps, key=7, length=100,
        optimizer=RAdam(2e-3, 1e-6, clip=10.0),
    )  # fmt: skip

    r = np.sqrt(system.beta * (system.rho - 1))
    points = {"0": np.zeros(3), "C+": np.array([r, r, system.rho - 1]), "C-": np.array([-r, -r, system.rho - 1])}
    diameter = np.max(np.linalg.norm(test[::100, None] - test[None, ::100], axis=-1))
    figure = plt.figure(figsize=(4 * (1 + len(fits)), 4), layout="constrained")
    for seed, result in enumerate(fits):
        print(f"\nseed {seed}\n{result}")
        orbit = result.model.generate(test[0], length + 1000)[1000:]
        exponent = cx.lyapunov_spectrum(result.map, orbit[-1], steps=length, warmup=1000, dt=DT).exponents[0]
        print(
            f"  D_stsp {state_space_divergence(test, orbit):.3f}, D_H {hellinger_distance(test, orbit):.3f}, largest "
            f"exponent {exponent:.3f} ({100 * (exponent / EXPONENT - 1):+.1f} %)"
        )
        cycles = cx.find_cycles(result.map, 1, key=0)
        for name, point in points.items():
            if len(cycles) == 0:
                break
            place = scale.apply(point)
            near = min(cycles, key=lambda c, p=place: float(np.linalg.norm(c.points[0] - p)))
            away = np.linalg.norm(near.points[0] - place) / diameter
            wanted = multipliers_of_the_flow(system, point)
            pair, true = (max(values, key=lambda m: m.imag) for values in (near.multipliers, wanted))
            line = f"  {name:2}: {100 * away:.2f} % of the diameter away"
            if name != "0":
                line += (
                    f"; complex pair: modulus {abs(pair):.4f} (true {abs(true):.4f}), angle "
                    f"{100 * (np.angle(pair) / np.angle(true) - 1):+.1f} %"
                )
            print(line)
        ax = figure.add_subplot(1, 1 + len(fits), seed + 2)
        ax.plot(test[:5000, 0], test[:5000, 2], color="0.75", lw=0.5, label="Lorenz")
        ax.plot(orbit[:5000, 0], orbit[:5000, 2], color="#D55E00", lw=0.5, label=f"network {seed}")
        found = np.array([c.points[0] for c in cycles]).reshape(-1, 3)
        ax.plot(found[:, 0], found[:, 2], "o", color="#0072B2", label="fixed points")
        ax.set(xlabel="x (standardized)", ylabel="z (standardized)", xlim=(-3, 3), ylim=(-3.5, 3.5))
        ax.legend(frameon=False, fontsize="small", loc="lower center", ncols=3)
    cx.plot.training(fits[0], figure.add_subplot(1, 1 + len(fits), 1))
    figure.savefig(arguments.picture, dpi=150)
    print(f"\nwrote {arguments.picture}")


if __name__ == "__main__":
    main()
