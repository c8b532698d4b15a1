"""A network learns to hold three bits: `python examples/flip_flop.py [PICTURE.png] [--units 32] [--updates 3000]`.

The flip-flop task of Sussillo and Barak, *Opening the black box*, Neural Computation 25 (2013): each of three outputs
is to hold the sign of the last pulse on its input. A leaky ReLU network in rate form learns it; then all of its fixed
points are found: eight memories, the saddles between them, and more. Orbits that leave a saddle along its unstable
direction, to either side, say which memories it lies between.
"""

import argparse
import time
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import cyclax as cx
from cyclax.plot.style import COLORS

BITS, ALPHA = 3, 0.5
# Steps of a trial, trials of a batch, and the share of steps with a pulse on a channel.
STEPS, TRIALS, PULSES = 60, 64, 0.08
# How far beside a saddle an orbit begins.
LEAVING = 1e-4
# From where the picture shows that no corner hides another.
AZIMUTH = -72


def trial(key):
    """Draw pulses of 1 and -1, one on each channel to begin with, and what is to be held: both `(T, bits)`."""
    when, sign = jax.random.split(key)
    shape = (STEPS, BITS)
    pulses = jax.random.bernoulli(when, PULSES, shape).at[0].set(True) * jax.random.rademacher(sign, shape, float)
    _, held = jax.lax.scan(lambda bit, pulse: 2 * (jnp.where(pulse != 0, pulse, bit),), jnp.zeros(BITS), pulses)
    return pulses, held


class Trained(eqx.Module):
    """A network, which needs no more than cyclax has, and a linear readout of its states."""

    network: cx.RateRNN
    readout: eqx.nn.Linear

    def __call__(self, inputs):
        """Give states `(T, M)` and outputs `(T, O)` for inputs `(T, I)`."""

        def step(z, u):
            z = self.network.with_input(u)(z)
            return z, z

        _, states = jax.lax.scan(step, jnp.zeros(self.network.num_states), inputs)
        return states, jax.vmap(self.readout)(states)


def train(trial, units: int, updates: int, seed: int, *, bias: bool = True) -> tuple[Trained, np.ndarray]:
    """Train a network on a task: `trial(key)` draws inputs `(T, I)` and the outputs that are asked for, `(T, O)`.

    `bias`: of the readout, whether it has one.

    **Returns:** the network, and the mean squared error at each update.
    """
    keys = jax.random.split(jax.random.key(seed), 3)
    num_inputs, num_outputs = (shape.shape[-1] for shape in jax.eval_shape(trial, keys[0]))
    network = cx.RateRNN.random(units, key=keys[0], gain=0.9, alpha=ALPHA, num_inputs=num_inputs)
    network = eqx.tree_at(lambda n: (n.b, n.C), network, (0 * network.b, network.C / np.sqrt(num_inputs)))
    model = Trained(network, eqx.nn.Linear(units, num_outputs, use_bias=bias, key=keys[1]))
    # All is trained but the leak.
    learns = eqx.tree_at(lambda m: m.network.alpha, jax.tree.map(eqx.is_inexact_array, model), False)
    weights, kept = eqx.partition(model, learns)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(2e-3, updates)))

    def loss(weights, key):
        inputs, wanted = jax.vmap(trial)(jax.random.split(key, TRIALS))
        _, said = jax.vmap(eqx.combine(weights, kept))(inputs)
        return jnp.mean((said - wanted) ** 2)

    @jax.jit
    def run(weights, state, key):
        def update(carry, key):
            weights, state = carry
            value, gradients = jax.value_and_grad(loss)(weights, key)
            steps, state = optimizer.update(gradients, state)
            return (optax.apply_updates(weights, steps), state), value

        return jax.lax.scan(update, (weights, state), jax.random.split(key, updates))

    weights = jax.tree.map(jnp.asarray, weights)
    (weights, _), losses = run(weights, optimizer.init(weights), keys[2])
    return eqx.combine(weights, kept), np.asarray(losses)


def in_float64(network: cx.RateRNN) -> cx.RateRNN:
    """Give the network as a map in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), network)


def memory(model: Trained, state: np.ndarray) -> str:
    """Say which bits the outputs show at a state, such as "101"."""
    return "".join("1" if value > 0 else "0" for value in model.readout(jnp.asarray(state)))


def unstable(cycle: cx.Cycle) -> int:
    """Count the directions that lead away."""
    return int(np.sum(np.abs(cycle.multipliers) > 1))


def ways_out(network: cx.RateRNN, saddles: list[cx.Cycle]) -> tuple[np.ndarray, list[list[cx.Attractor]]]:
    """Leave each saddle along its one unstable direction, to both sides.

    **Returns:** the orbits `(saddles, 2, T, M)`, and for each saddle the two attractors to which they lead.
    """
    if not saddles:
        return np.zeros((0, 2, 1, network.num_states)), []
    away = [LEAVING * saddle.eigenvectors[:, 0].real for saddle in saddles]
    starts = np.stack([saddle.points[0] + [[-1], [1]] * step for saddle, step in zip(saddles, away, strict=True)])
    # `attractors` solves for the cycle at the end of each orbit: none is taken for another that is near.
    ends = cx.attractors(network, starts.reshape(-1, network.num_states), key=0)
    orbits = np.stack([[cx.simulate(network, start, 1000) for start in both] for both in starts])
    return orbits, [[ends.entries[label] for label in both] for both in ends.labels.reshape(-1, 2)]


def draw(model: Trained, key, cycles: cx.Cycles, orbits: np.ndarray):
    """Draw a trial, and all fixed points in the first three principal components of the states in many trials."""
    pulses, held = jax.vmap(trial)(jax.random.split(key, TRIALS))
    states, said = (np.asarray(one) for one in jax.vmap(model)(pulses))
    cloud = states.reshape(-1, states.shape[-1])
    center, (_, sizes, axes) = cloud.mean(0), np.linalg.svd(cloud - cloud.mean(0), full_matrices=False)
    shares = sizes**2 / np.sum(sizes**2)

    def seen(points):
        return ((points - center) @ axes[:3].T).T

    figure = plt.figure(figsize=(10, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
    rows = left.subplots(BITS, sharex=True, sharey=True)
    busiest = int(np.argmax(np.sum(pulses != 0, axis=(1, 2))))
    for bit, ax in enumerate(rows):
        ax.plot(held[busiest, :, bit], color="0.6", lw=3, label="to be held")
        ax.plot(said[busiest, :, bit], color=COLORS[0], lw=1.2, label="output")
        when = np.flatnonzero(pulses[busiest, :, bit])
        ax.plot(when, pulses[busiest, when, bit], "k|", ms=9, label="pulse")
        ax.set(ylabel=f"bit {bit + 1}", ylim=(-1.9, 1.9), yticks=(-1, 0, 1))
    rows[0].legend(frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0))
    rows[-1].set_xlabel("step")

    ax = right.add_subplot(projection="3d")
    for path in states[:8]:
        ax.plot(*seen(path), color="0.8", lw=0.5, zorder=1)
    for path in orbits.reshape(-1, *orbits.shape[2:]):
        ax.plot(*seen(path), color=COLORS[1], lw=1.3, zorder=2)
    for number in sorted({unstable(cycle) for cycle in cycles}):
        some = np.concatenate([cycle.points for cycle in cycles if unstable(cycle) == number])
        marker, color = "o^sD"[min(number, 3)], COLORS[min(number, 3)]
        names = {0: "stable (memories)", 1: "with 1 unstable direction, and where it leads"}
        what = names.get(number, f"with {number} unstable directions")
        filled = color if number == 0 else "white"
        ax.plot(*seen(some), marker, color=color, mfc=filled, ms=7, mew=1.3, zorder=3, label=f"{len(some)} {what}")
    for cycle in cycles:
        if cycle.stability == "stable":
            x, y, z = seen(cycle.points[0])
            ax.text(x, y, z, f"  {memory(model, cycle.points[0])}  ", zorder=4)
    for i, axis in enumerate((ax.xaxis, ax.yaxis, ax.zaxis)):
        axis.set_label_text(f"principal component {i + 1} ({100 * shares[i]:.0f} %)", fontsize="small")
        axis.labelpad = -10
        axis.set_ticks([])
        axis.pane.set_visible(False)
    ax.view_init(elev=18, azim=AZIMUTH)
    # Responses to pulses leave the box, which is for where states rest.
    reach = 1.2 * sizes[:3] / np.sqrt(len(cloud))
    ax.auto_scale_xyz(*np.stack([-reach, reach], axis=1))
    ax.set_box_aspect(reach)
    right.legend(frameon=False, fontsize="small", ncols=2, loc="outside upper center")
    return figure


def main() -> None:
    """Train, find all fixed points, say what lies between which memories, and draw."""
    parser = argparse.ArgumentParser(description="All fixed points of a network that was trained to hold three bits.")
    parser.add_argument("picture", nargs="?", default="flip_flop.png")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    began = time.perf_counter()
    model, losses = train(trial, arguments.units, arguments.updates, arguments.seed)
    print(f"trained in {time.perf_counter() - began:.0f} s; mean squared error {losses[-100:].mean():.2g}")

    # Without pulses the network is a map: its fixed points are where it can rest.
    network = in_float64(model.network)
    began = time.perf_counter()
    cycles = cx.find_cycles(network, 1, key=0)
    print(cycles)
    print(f"in {time.perf_counter() - began:.1f} s; index sum {cycles.report['orders']['1']['index_sum']}")
    numbers = Counter(map(unstable, cycles))
    for number in sorted(numbers):
        print(f"  {numbers[number]:2} with {number} unstable directions")

    saddles = [cycle for cycle in cycles if unstable(cycle) == 1]
    orbits, ends = ways_out(network, saddles)
    print("\nwhat lies to both sides of a saddle with one unstable direction:")
    for saddle, both in zip(saddles, ends, strict=True):
        names = [memory(model, end.what.points[0]) if isinstance(end.what, cx.Cycle) else end.kind for end in both]
        print(f"  {' and '.join(names)} (multiplier {saddle.multipliers[0].real:.4f})")

    draw(model, jax.random.key(arguments.seed + 1), cycles, orbits).savefig(arguments.picture, dpi=150)
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
