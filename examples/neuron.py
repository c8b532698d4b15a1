"""A network learns a bursting neuron: `python examples/neuron.py [PICTURE.png] [--steps 40000] [--seed 0] [--data F]`.

Simulate the bursting neuron of Durstewitz (2009), one sample per ms, standardize, and train a dendritic PLRNN (M = 20,
B = 20; the first three states are voltage and two gates) with sparse teacher forcing, every tenth step. Hold what it
generates by itself against a test series: spikes, bursts, D_stsp, D_H, forecasts. Then look for its cycles: low orders
by search; the burst, a cycle of some 150 steps, from where orbits nearly close, and by following orbits to their end.
After Brenner et al., *Tractable dendritic RNNs for reconstructing nonlinear dynamical systems*, ICML 2022.

The loss says little about bursts, which come and go as training proceeds: of the models kept, the one is taken whose
D_stsp (with noise) times D_H is least on the training series. D_stsp of a curve without noise is harsh: where bins are
narrower than the distance of two curves, they have no bin in common. So it is also given with noise added to both
series, as in the published series of this neuron: 10 % of the deviation. `--data` trains on a series from a file
instead, `(T, 3)` with V first.
"""

import argparse
import dataclasses

import jax
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.data import BurstingNeuron, add_observation_noise, integrate, standardize
from cyclax.metrics import hellinger_distance, prediction_error, state_space_divergence

DT, INTERVAL, ROWS, TRANSIENT = 1.0, 10, 20_000, 2000
NOISE = 0.1
# A spike passes this voltage upwards, in standard deviations above the mean.
SPIKE = 0.9
TRUE, NETWORK, POINTS = "0.45", "#D55E00", "#0072B2"


def bursts(series: np.ndarray) -> tuple[int, int, float]:
    """Give the numbers of spikes and of bursts, and the mean time from burst to burst (in samples)."""
    v = series[:, 0]
    spikes = np.flatnonzero((v[1:] > SPIKE) & (v[:-1] <= SPIKE))
    # A burst begins with a spike that is far from the one before it.
    first = spikes[1:][np.diff(spikes) > 5 * np.median(np.diff(spikes))] if len(spikes) > 2 else spikes[:0]
    return len(spikes), len(first), float(np.mean(np.diff(first))) if len(first) > 1 else np.nan


def noisy_divergence(true: np.ndarray, generated: np.ndarray) -> float:
    """Give D_stsp with noise on both."""
    return state_space_divergence(add_observation_noise(true, NOISE, 0), add_observation_noise(generated, NOISE, 1))


def generated_by(model: cx.LatentModel, start: np.ndarray, rows: int) -> np.ndarray:
    """Let the model run, without its transient."""
    return model.generate(start, TRANSIENT + rows - 1)[TRANSIENT:]


def score(model: cx.LatentModel, series: np.ndarray) -> float:
    """Rank models: D_stsp times D_H, inf where they diverge."""
    orbit = generated_by(model, series[0], len(series))
    if not np.all(np.isfinite(orbit)):
        return np.inf
    return noisy_divergence(series, orbit) * hellinger_distance(series, orbit)


def burst_cycles(network: cx.DendriticPLRNN, states: np.ndarray, period: float) -> list[cx.Cycle]:
    """Look for cycles about as long as a burst: search from the gates met where an orbit nearly closes.

    Random starts would not find them: there are 400 gates in each of some 150 steps.
    """
    if not np.isfinite(period):
        return []
    closest = []
    for order in range(round(0.95 * period), round(1.05 * period) + 1):
        gaps = np.linalg.norm(states[order:] - states[:-order], axis=1)
        # One start from each stretch of the orbit.
        stretches = np.array_split(np.arange(len(gaps)), 16)
        closest += [(gaps[at], order, at) for at in (some[np.argmin(gaps[some])] for some in stretches)]
    closest = sorted(closest)[:6]
    with jax.enable_x64(True):
        gates = np.asarray(jax.jit(jax.vmap(network.preactivations))(states)) > 0
    words = [gates[at : at + order] for _, order, at in closest]
    orders = sorted({order for _, order, _ in closest})
    print(f"\norbits nearly close, to within {closest[0][0]:.2g} to {closest[-1][0]:.2g}, after {orders} steps")
    return list(cx.find_cycles(network, orders, key=0, words=words, finder=cx.SCYFI(starts=1, seconds=120)))


def main() -> None:
    """Train, measure, draw and print."""
    parser = argparse.ArgumentParser(description="Train a dendritic PLRNN on a bursting neuron.")
    parser.add_argument("picture", nargs="?", default="neuron.png")
    parser.add_argument("--steps", type=int, default=40_000, help="updates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="a .npy file with a series (T, 3) instead of the simulation")
    arguments = parser.parse_args()

    system = BurstingNeuron()
    raw = integrate(system, 2 * ROWS, dt=DT) if arguments.data is None else np.load(arguments.data)
    half = len(raw) // 2
    series, scale = standardize(raw[:half])
    test = scale.apply(raw[half:])
    network = cx.DendriticPLRNN.random(20, 20, key=jax.random.key(arguments.seed), gain=0.3)
    network = dataclasses.replace(network, h=0.1 * network.h)
    result = cx.fit(
        cx.LatentModel.observing(network, 3), series, forcing=cx.SparseForcing(INTERVAL), steps=arguments.steps,
        key=arguments.seed, batch=16, length=40, optimizer=cx.RAdam(3e-3, 1e-5, clip=1.0),
        checkpoint_every=max(1, arguments.steps // 80),
    )  # fmt: skip
    print(result)

    scores = [score(model, series) for model in result.models]
    best = int(np.argmin(scores))
    model: cx.LatentModel = result.models[best]
    print(f"\nof {len(scores)} models, the one after {result.updates[best]:,} updates:")
    orbit = generated_by(model, test[0], len(test))
    for name, what in (("true", test), ("network", orbit)):
        spikes, count, period = bursts(what)
        text = f"{spikes / max(count, 1):.2f} spikes per burst, a burst every {period:.1f} samples"
        print(f"  {name:8} {spikes:,} spikes in {count} bursts: {text}")
    for name, what in (("network", orbit), ("floor", series)):
        divergence, noisy = state_space_divergence(test, what), noisy_divergence(test, what)
        print(
            f"  {name:8} D_stsp {divergence:.3f}, with noise {noisy:.3f}; D_H {hellinger_distance(test, what):.3f}"
            + (" (training series against test series)" if name == "floor" else "")
        )
    errors = prediction_error(
        model.map, test, 20, encode=lambda x: model.first_states(x[:, None])[:, 0], decode=lambda z: z[:3]
    )
    print("  mean squared error " + ", ".join(f"{n} ahead: {errors[n - 1]:.3f}" for n in (1, 5, 10, 20)))

    low = cx.find_cycles(model.map, 4, key=0, finder=cx.SCYFI(starts=8192))
    print(f"\nlow orders, by search\n{low}")
    if arguments.data is None:
        for cycle in low.of_order(1):
            state = scale.undo(cycle.points[0, :3])
            moved = (
                np.diff(integrate(system, 2, dt=DT, initial_state=state, transient=0.0), axis=0)[0] / scale.deviation
            )
            print(f"  at {np.round(state, 3)} the neuron moves by {np.round(moved, 3)} deviations in a step")
    start = np.asarray(model.first_states(test[0][:, None]))[:, 0]
    states = cx.simulate(model.map, start, TRANSIENT + len(test))[TRANSIENT:]
    ends = cx.attractors(model.map, states[:1024:64], key=0, longest=8192)
    print(f"\nwhere the orbit ends\n{ends}")
    long_cycles = burst_cycles(model.map, states, bursts(orbit)[2])
    stable = [end.what for end in ends if isinstance(end.what, cx.Cycle) and end.what.order > 4]
    for text, found in (("cycles of one burst", long_cycles), ("stable cycle", stable)):
        for cycle in found:
            length, spikes = cycle.order * DT, bursts(np.tile(cycle.points[:, :3], (5, 1)))[0] / 5
            print(
                f"  {text}: order {cycle.order} ({length:.0f} ms), {spikes:.1f} spikes, {cycle.stability}, largest "
                f"multiplier {abs(cycle.multipliers[0]):.3g}, margin {cycle.margin:.1e}, residual {cycle.residual:.1e}"
            )
    drawn = [*stable, *sorted(long_cycles, key=lambda c: abs(c.multipliers[0]))][:1]

    figure, axes = plt.subplot_mosaic("aa;bb;cd", figsize=(11, 9), layout="constrained", height_ratios=(1, 1, 2))
    for name, what, color, title in (("a", test, TRUE, "neuron"), ("b", orbit, NETWORK, "network, running freely")):
        ax, shown = axes[name], what[: min(1000, len(what))]
        ax.plot(np.arange(len(shown)) * DT, shown[:, 0] * scale.deviation[0] + scale.mean[0], color=color, lw=1)
        ax.set(ylabel="V (mV)", xlim=(0, len(shown) * DT), ylim=(-75, 5))
        ax.set_title(title, loc="left")
    axes["b"].set_xlabel("time (ms)")
    cx.plot.training(result, axes["c"])
    axes["c"].axvline(result.updates[best], color="0.3", lw=1)
    ax = axes["d"]
    ax.plot(test[:3000, 2], test[:3000, 0], color=TRUE, lw=0.5, label="neuron")
    ax.plot(orbit[:3000, 2], orbit[:3000, 0], color=NETWORK, lw=0.5, label="network")
    for burst in drawn:
        ax.plot(burst.points[:, 2], burst.points[:, 0], ".", color="k", ms=4, label=f"a cycle of order {burst.order}")
    for order in sorted({c.order for c in low}):
        found = np.concatenate([c.points for c in low.of_order(order)])
        marker = "os^D"[order - 1]
        label = "fixed points" if order == 1 else f"cycles of order {order}"
        ax.plot(found[:, 2], found[:, 0], marker, color=POINTS, mfc="none", ms=7, label=label)
    ax.set(xlabel="h (standardized)", ylabel="V (standardized)", xlim=(-3, 3), ylim=(-2, 3.5))
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="upper left")
    figure.savefig(arguments.picture, dpi=150)
    print(f"\nwrote {arguments.picture}")


if __name__ == "__main__":
    main()
