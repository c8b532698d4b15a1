"""A network learns the Lorenz system: `python examples/lorenz.py [PICTURE.png] [--seeds 3] [--quick]`.

Train shallow PLRNNs (M = 3, H = 50) on 10^5 points of Lorenz-63, hold what they generate against a test series (D_stsp,
D_H, largest Lyapunov exponent), and find their fixed points, which are those of the Lorenz system. After Hess,
Monfared, Brenner, Durstewitz, *Generalized teacher forcing*, ICML 2023.

Five things are worth knowing:

- Hidden units begin with their kinks on points of the data. Of units drawn without looking, ten in fifty never switch
  there, and the loss ends two to three times higher.
- The attractor leaves a hole around the fixed points C+ and C-, and hardly ever comes near the origin, so one long
  orbit says next to nothing of them. An eighth of the points here are short orbits, begun beside C+ and C- and low on
  the z axis, where neighboring orbits part; with more of them, less is learned of the attractor.
- With forcing this strong (alpha from 0.9 to 1) the past is forgotten after a step or two, so windows are that short,
  and many in a batch: an update takes a tenth of the time of one over 16 windows of 100 steps, and the loss ends lower.
- Where a training ends depends on where it began. Of four beginnings for each seed, that with the least loss is kept.
- The angle of the complex pair at C+ and C- is that of the one linear region which they lie in, and 0.1 deviations away
  it is 7 % another. Squared errors so near are too small to count in a mean over everything. So in a few last updates
  a term is added that counts the errors of single steps beside C+ and C- relative to the distance from them.

The largest exponent comes out some percent too low: where the network is linear its Jacobian is constant, and the
differences from the true one, averaged along the orbit, bring the first and second exponents closer together.
"""

import argparse
import time

import jax
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.data.integrate import integrate
from cyclax.data.series import Standardization, standardize
from cyclax.data.systems import Lorenz63
from cyclax.metrics.power_spectrum import hellinger_distance
from cyclax.metrics.state_space import state_space_divergence
from cyclax.training.fit import fit
from cyclax.training.forcing import Annealed, GeneralizedForcing
from cyclax.training.optimizers import RAdam
from cyclax.training.regularizers import AbstractRegularizer
from cyclax.training.result import Fit

DT, EXPONENT, BEGINNINGS = 0.01, 0.906, 4


class RelativeErrors(AbstractRegularizer):
    """Mean squared errors of single steps, each divided by a squared distance.

    **Arguments:** `strength`; `before`, `after`: `(steps, 3)`; `distances`: `(steps,)`.
    """

    strength: float
    before: np.ndarray
    after: np.ndarray
    distances: np.ndarray

    def __call__(self, model):
        """Give the term."""
        errors = (jax.vmap(model.map)(self.before) - self.after) / self.distances[:, None]
        return self.strength * jax.numpy.mean(errors**2)


def multipliers_of_the_flow(system: Lorenz63, state: np.ndarray) -> np.ndarray:
    """Give exp(dt eigenvalues) of the vector field's Jacobian."""
    with jax.enable_x64(True):
        J = np.asarray(jax.jacobian(lambda z: system(0.0, z))(state))
    return np.exp(DT * np.linalg.eigvals(J))


def short_orbits(system: Lorenz63, starts: np.ndarray, rows: int) -> list[np.ndarray]:
    """Simulate from each of some states, nothing discarded."""
    return [integrate(system, rows, dt=DT, initial_state=start, transient=0) for start in starts]


def training_data(system: Lorenz63, points: dict[str, np.ndarray], raw: np.ndarray, some: int) -> list[np.ndarray]:
    """Give one long orbit, most of all points, and short ones where it hardly ever goes."""
    rng, spread = np.random.default_rng(0), raw.std(axis=0)
    beside = np.concatenate([np.tile(points[name], (some // 5, 1)) for name in ("C+", "C-")])
    low = raw[(raw[:, 2] > 5) & (raw[:, 2] < 20) & (np.abs(raw[:, 0]) < 2.5)]
    low = low[rng.integers(0, len(low), 8 * some // 5)]
    around, parting = (starts + 0.1 * spread * rng.normal(size=starts.shape) for starts in (beside, low))
    return [raw[: 880 * some], *short_orbits(system, around, 100), *short_orbits(system, parting, 50)]


def beside(system: Lorenz63, points: dict[str, np.ndarray], scale: Standardization, spread: np.ndarray):
    """Give the errors that count relative to the distance from C+ and C-."""
    rng, steps, distances = np.random.default_rng(1), [], []
    for name in ("C+", "C-"):
        steps += short_orbits(system, points[name] + 0.04 * spread * rng.normal(size=(96, 3)), 2)
        distances += [np.linalg.norm(scale.apply(step[0]) - scale.apply(points[name])) for step in steps[-96:]]
    before, after = (np.stack([scale.apply(step[i]) for step in steps]) for i in (0, 1))
    return RelativeErrors(0.05, before, after, np.array(distances))


def network(seed: int, beginning: int, points: np.ndarray) -> cx.ShallowPLRNN:
    """Draw a network whose hidden units switch at some of the points."""
    rng = np.random.default_rng([seed, beginning])
    normals = rng.normal(size=(50, 3))
    W2 = 0.3 * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    kinks = points[rng.integers(0, len(points), 50)]
    W1 = 0.05 * rng.normal(size=(3, 50))
    return cx.ShallowPLRNN(A=np.full(3, 0.9), W1=W1, W2=W2, h1=np.zeros(3), h2=-np.sum(W2 * kinks, axis=1))


def train(seeds: int, series: list[np.ndarray], term: RelativeErrors, updates: tuple[int, int]) -> tuple[Fit, ...]:
    """Train several beginnings of each seed; make the last updates, with the term, of the best of each."""
    every = np.concatenate(series)
    networks = [network(seed, i, every) for seed in range(seeds) for i in range(BEGINNINGS)]
    forcing = GeneralizedForcing(Annealed(0.9, 1.0, updates[0]))
    fits = fit(
        networks, series, forcing=forcing, steps=updates[0], key=7, batch=512, length=2,
        optimizer=RAdam(1.5e-2, 1e-5, clip=10.0),
    )  # fmt: skip
    losses = np.array([np.mean(one.losses[-1000:]) for one in fits]).reshape(seeds, BEGINNINGS)
    print(f"loss of {BEGINNINGS} beginnings of each seed:", *(f"{row}" for row in np.round(1e6 * losses, 2)), "1e-6")
    best = [fits[BEGINNINGS * seed + i].map for seed, i in enumerate(np.argmin(losses, axis=1))]
    return fit(
        best, series, forcing=GeneralizedForcing(1.0), steps=updates[1], key=8, batch=512, length=2,
        optimizer=RAdam(2e-3, 1e-5, clip=10.0), regularizers=term,
    )  # fmt: skip


def main() -> None:
    """Train, measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default="lorenz.png")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="short training, to see that it runs")
    arguments = parser.parse_args()
    some, steps, length = (10, (1_000, 1_000), 5_000) if arguments.quick else (100, (150_000, 15_000), 100_000)

    system = Lorenz63()
    r = np.sqrt(system.beta * (system.rho - 1))
    points = {"0": np.zeros(3), "C+": np.array([r, r, system.rho - 1]), "C-": np.array([-r, -r, system.rho - 1])}
    raw = integrate(system, 2000 * some, dt=DT)
    scale = standardize(raw[: 1000 * some])[1]
    test = scale.apply(raw[1000 * some :])
    series = [scale.apply(part) for part in training_data(system, points, raw[: 1000 * some], some)]
    term = beside(system, points, scale, raw.std(axis=0))
    print(f"{sum(map(len, series)):,} points in {len(series)} series, {len(term.before)} single steps beside C+ and C-")
    begin = time.perf_counter()
    fits = train(arguments.seeds, series, term, steps)
    print(f"trained {arguments.seeds} networks in {time.perf_counter() - begin:.0f} s")
    diameter = np.max(np.linalg.norm(test[::100, None] - test[None, ::100], axis=-1))
    figure = plt.figure(figsize=(4 * (1 + len(fits)), 4), layout="constrained")
    for seed, result in enumerate(fits):
        print(f"\nseed {seed}\n{result}")
        orbit = result.model.generate(test[0], length + 1000)[1000:]
        starts = orbit[:: length // 32][:32]
        spectrum = cx.lyapunov_spectrum(
            result.map, starts, steps=length // 3, warmup=1000, dt=DT, in_axes=(None, 0, None)
        )
        largest = spectrum.exponents[:, 0]
        exponent, error = np.mean(largest), np.std(largest) / np.sqrt(len(largest))
        print(
            f"  D_stsp {state_space_divergence(test, orbit):.3f}, D_H {hellinger_distance(test, orbit):.3f}, largest "
            f"exponent {exponent:.3f} +- {error:.3f} ({100 * (exponent / EXPONENT - 1):+.1f} %)"
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
