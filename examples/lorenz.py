"""A network learns the Lorenz system: `python examples/lorenz.py [PICTURE.png] [--seeds 3] [--quick]`.

Train shallow PLRNNs (M = 3, H = 50) on 10^5 points of Lorenz-63, hold what they generate against a test series (D_stsp,
D_H, largest Lyapunov exponent), and find their fixed points, which are those of the Lorenz system. After Hess,
Monfared, Brenner, Durstewitz, *Generalized teacher forcing*, ICML 2023.

Six things are worth knowing:

- Between kinks a network is linear, so all depends on where its hidden units switch, and gradients move kinks poorly.
  Here units are chosen: each is the best of 2,000 drawn with their kinks on the data (orthogonal least squares: Chen,
  Cowan, Grant, IEEE Trans. Neural Networks 2, 302, 1991). After some training those that are missed least (Hassibi,
  Stork, Wolff, ICNN 1993) give way to others, chosen in the same way; and so on. The loss of units drawn without
  looking ends several times higher.
- The attractor leaves a hole around the fixed points C+ and C-, and hardly ever comes near the origin, so one long
  orbit says next to nothing of them. Some points here are of short orbits, begun beside C+ and C- and low on the z
  axis, where neighboring orbits part; with many more of them, less is learned of the attractor.
- Errors of the Jacobian bring the first and second exponent closer together, most of all on the outermost turns, where
  the direction that grows and that of the flow are nearly the same. States are few there, because the orbit is fast;
  so the fastest fifth of the long orbit counts three times.
- With forcing this strong (alpha from 0.9 to 1) the past is forgotten after a step or two, so windows are that short,
  and many in a batch: an update takes a tenth of the time of one over 16 windows of 100 steps, and the loss ends lower.
- Where a training ends depends on where it began. Of three beginnings for each seed, that with the least loss is kept.
- The angle of the complex pair at C+ and C- is that of the one linear region which they lie in, and 0.1 deviations away
  it is 7 % another. Squared errors so near are too small to count in a mean over everything. So in a few last updates
  a term is added that counts the errors of single steps beside C+ and C- relative to the distance from them.

The largest exponent comes out some 3 % too low: where the network is linear its Jacobian is constant.
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

DT, EXPONENT, HIDDEN, BEGINNINGS = 0.01, 0.906, 50, 3


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
    """Give one long orbit, its fastest fifth twice more, and short orbits where it hardly ever goes."""
    rng, spread = np.random.default_rng(0), raw.std(axis=0)
    beside = np.concatenate([np.tile(points[name], (some // 5, 1)) for name in ("C+", "C-")])
    low = raw[(raw[:, 2] > 5) & (raw[:, 2] < 20) & (np.abs(raw[:, 0]) < 2.5)]
    low = low[rng.integers(0, len(low), 8 * some // 5)]
    around, parting = (starts + 0.1 * spread * rng.normal(size=starts.shape) for starts in (beside, low))
    long = raw[: 880 * some]
    speeds = np.linalg.norm(np.diff(long / spread, axis=0), axis=1)
    ends = np.flatnonzero(np.diff(speeds > np.quantile(speeds, 0.8), prepend=False, append=False)).reshape(-1, 2)
    fast = [long[first : last + 1] for first, last in ends if last - first > 1]
    return [long, *fast, *fast, *short_orbits(system, around, 100), *short_orbits(system, parting, 50)]


def beside(system: Lorenz63, points: dict[str, np.ndarray], scale: Standardization, spread: np.ndarray):
    """Give the errors that count relative to the distance from C+ and C-."""
    rng, steps, distances = np.random.default_rng(1), [], []
    for name in ("C+", "C-"):
        steps += short_orbits(system, points[name] + 0.04 * spread * rng.normal(size=(96, 3)), 2)
        distances += [np.linalg.norm(scale.apply(step[0]) - scale.apply(points[name])) for step in steps[-96:]]
    before, after = (np.stack([scale.apply(step[i]) for step in steps]) for i in (0, 1))
    return RelativeErrors(0.05, before, after, np.array(distances))


def features(W2: np.ndarray, h2: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Give what a network adds up with weights W1 and h1: the activity of its hidden units, and ones."""
    return np.column_stack([np.maximum(states @ W2.T + h2, 0), np.ones(len(states))])


def drop(W2: np.ndarray, h2: np.ndarray, states: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the unit that is missed least when W1 and h1 adapt."""
    inverse = np.linalg.pinv(features(W2, h2, states))
    missed = np.sum((inverse @ wanted) ** 2, axis=1) / np.sum(inverse**2, axis=1)
    least = np.argmin(missed[:-1])
    return np.delete(W2, least, axis=0), np.delete(h2, least)


def add(
    W2: np.ndarray, h2: np.ndarray, states: np.ndarray, wanted: np.ndarray, rng: np.random.Generator, drawn: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Add units up to `HIDDEN`, one after another: that of many drawn at random which leaves the least error."""
    normals = rng.normal(size=(drawn, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = -np.sum(normals * states[rng.integers(0, len(states), drawn)], axis=1)
    activity = features(normals, offsets, states)[:, :-1]
    tiny = 1e-8 * np.sum(activity**2, axis=0)
    taken = np.linalg.qr(features(W2, h2, states))[0]
    activity, wanted = (values - taken @ (taken.T @ values) for values in (activity, wanted))
    chosen = []
    for _ in range(HIDDEN - len(W2)):
        norms = np.sum(activity**2, axis=0)
        chosen.append(np.argmax(np.sum((activity.T @ wanted) ** 2, axis=1) / np.where(norms > tiny, norms, np.inf)))
        direction = activity[:, chosen[-1]] / np.linalg.norm(activity[:, chosen[-1]])
        activity, wanted = (values - np.outer(direction, direction @ values) for values in (activity, wanted))
    return np.concatenate([W2, normals[chosen]]), np.concatenate([h2, offsets[chosen]])


def exchange(
    A: np.ndarray, W2: np.ndarray, h2: np.ndarray, before: np.ndarray, after: np.ndarray, number: int,
    rng: np.random.Generator,
) -> cx.ShallowPLRNN:  # fmt: skip
    """Drop a number of units, add up to `HIDDEN`, and solve for W1 and h1 by least squares on some steps."""
    some = rng.choice(len(before), min(10_000, len(before)), replace=False)
    states, wanted = before[some], after[some] - A * before[some]
    norms = np.linalg.norm(W2, axis=1)
    W2, h2 = W2 / norms[:, None], h2 / norms
    for _ in range(number):
        W2, h2 = drop(W2, h2, states, wanted)
    W2, h2 = add(W2, h2, states, wanted, rng)
    weights = np.linalg.lstsq(features(W2, h2, states), wanted)[0]
    W1, h1 = weights[:-1].T, weights[-1]
    balance = np.sqrt(np.linalg.norm(W1, axis=0))
    return cx.ShallowPLRNN(A=A, W1=W1 / balance, W2=W2 * balance[:, None], h1=h1, h2=h2 * balance)


def train(seeds: int, series: list[np.ndarray], term: RelativeErrors, quick: bool) -> tuple[Fit, ...]:
    """Choose units, train, exchange some, and so on; then train for longer, and the best of each seed with the term."""
    exchanges, updates = ((10, 5), 500) if quick else (8 * (10,) + 8 * (5,), 15_000)
    settings = {"batch": 512, "length": 2}

    def annealed(networks, updates: int, rate: float, key: int) -> tuple[Fit, ...]:
        forcing, optimizer = GeneralizedForcing(Annealed(0.9, 1.0, updates)), RAdam(rate, 1e-5, clip=10.0)
        fits = fit(networks, series, forcing=forcing, steps=updates, key=key, optimizer=optimizer, **settings)
        print("loss", *(f"{1e6 * np.mean(one.losses[-500:]):.3f}" for one in fits), "1e-6", flush=True)
        return fits

    rngs = [np.random.default_rng([seed, beginning]) for seed in range(seeds) for beginning in range(BEGINNINGS)]
    steps = [np.concatenate([part[cut] for part in series]) for cut in (slice(-1), slice(1, None))]
    # three units that are always on let W1 and W2 add any linear map to the diagonal A
    networks = [exchange(np.full(3, 0.9), np.eye(3), np.full(3, 6.0), *steps, 0, rng) for rng in rngs]
    for key, number in enumerate(exchanges):
        maps = [one.map for one in annealed(networks, updates, 4e-3, key)]
        arrays = [(np.asarray(one.A), np.asarray(one.W2), np.asarray(one.h2)) for one in maps]
        networks = [exchange(*each, *steps, number, rng) for each, rng in zip(arrays, rngs, strict=True)]
    fits = annealed(networks, 4 * updates, 2e-3, len(exchanges))
    groups = [fits[first : first + BEGINNINGS] for first in range(0, len(fits), BEGINNINGS)]
    best = [min(group, key=lambda one: np.mean(one.losses[-500:])).map for group in groups]
    return fit(
        best, series, forcing=GeneralizedForcing(1.0), steps=2 * updates, key=100, regularizers=term,
        optimizer=RAdam(1e-3, 1e-5, clip=10.0), **settings,
    )  # fmt: skip


def main() -> None:
    """Train, measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default="lorenz.png")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="short training, to see that it runs")
    arguments = parser.parse_args()
    some, length = (10, 5_000) if arguments.quick else (100, 100_000)

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
    fits = train(arguments.seeds, series, term, arguments.quick)
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
