"""Spectra of networks in training: `python examples/lyapunov_training.py [PICTURE.png] [--quick]`.

After Vogt, Puelma Touzel, Shlizerman, Lajoie, "On Lyapunov exponents for RNNs" (2022): vanilla, GRU and LSTM cells
with a grid of initial gains learn a sequence task; the spectra of all their checkpoints, driven by the inputs of the
task, are computed in one call for each kind of cell; and the largest exponent is set against the loss.

The task: recall the sum of the inputs of the last `DELAY` steps but one, which takes a memory of that length.
"""

import argparse
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import cyclax as cx

HIDDEN, LENGTH, BATCH, DELAY = 24, 50, 32, 8
GAINS = (0.2, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0, 2.5)
KINDS = {"vanilla": ("#0072B2", "o"), "GRU": ("#D55E00", "s"), "LSTM": ("#009E73", "^")}


class Network(eqx.Module):
    """A cell, and a linear read-out of its visible state."""

    cell: Any
    readout: eqx.nn.Linear

    def __call__(self, series):
        """Give the output after each input, `(T,)`."""

        def step(state, s):
            state = self.cell(state, s)
            visible = state[0] if isinstance(state, tuple) else state
            return state, self.readout(visible)[0]

        return jax.lax.scan(step, resting(self.cell), series)[1]


def resting(cell):
    """Give the state to begin from; that of an LSTM is (h, c)."""
    zero = jnp.zeros(HIDDEN)
    lstm = isinstance(getattr(cell, "cell", None), eqx.nn.LSTMCell)
    return (zero, zero) if lstm else zero


def network(kind: str, gain: float, key) -> Network:
    """Give a network whose recurrent weights have standard deviation gain / sqrt(HIDDEN)."""
    key_cell, key_weights, key_readout = jax.random.split(key, 3)
    if kind == "vanilla":
        cell = cx.TanhCell.random(HIDDEN, 1, key=key_cell, gain=gain)
    else:
        raw = (eqx.nn.GRUCell if kind == "GRU" else eqx.nn.LSTMCell)(1, HIDDEN, key=key_cell)
        weights = gain / np.sqrt(HIDDEN) * jax.random.normal(key_weights, raw.weight_hh.shape)
        cell = cx.StateFirst(eqx.tree_at(lambda c: c.weight_hh, raw, weights))
    return Network(cell, eqx.nn.Linear(HIDDEN, 1, key=key_readout))


def task(key):
    """Give inputs `(BATCH, LENGTH, 1)` and targets `(BATCH, LENGTH)`."""
    series = jax.random.uniform(key, (BATCH, LENGTH), minval=-0.5, maxval=0.5)
    late = jnp.pad(series, ((0, 0), (1, 0)))[:, :-1]
    sums = jnp.cumsum(late, axis=1)
    return series[..., None], sums - jnp.pad(sums, ((0, 0), (DELAY, 0)))[:, :-DELAY]


def loss_of(model, key):
    """Give the squared error, in units of the variance of the target."""
    series, target = task(key)
    outputs = jax.vmap(model)(series)[:, DELAY + 1 :]
    target = target[:, DELAY + 1 :]
    return jnp.mean((outputs - target) ** 2) / jnp.var(target)


def train(kind: str, steps: int, checkpoints: int):
    """Train all gains side by side; give the checkpoints (a batch of cells for each) and their losses."""
    models = [network(kind, gain, jax.random.key(i)) for i, gain in enumerate(GAINS)]
    arrays, rest = zip(*(eqx.partition(model, eqx.is_inexact_array) for model in models), strict=True)
    parameters = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))

    def one(parameters, key):
        return loss_of(eqx.combine(parameters, rest[0]), key)

    def update(carry, key):
        parameters, state = carry
        _, gradients = jax.value_and_grad(one)(parameters, key)
        changes, state = optimizer.update(gradients, state)
        return (optax.apply_updates(parameters, changes), state), None

    @jax.jit
    @jax.vmap
    def some(parameters, state, key):
        (parameters, state), _ = jax.lax.scan(update, (parameters, state), jax.random.split(key, steps // checkpoints))
        # A test set of its own.
        losses = jax.vmap(lambda key: one(parameters, key))(jax.random.split(jax.random.key(99), 8))
        return parameters, state, jnp.mean(losses)

    state = jax.vmap(optimizer.init)(parameters)
    kept, losses = [], []
    for i in range(checkpoints):
        parameters, state, loss = some(parameters, state, jax.random.split(jax.random.key(i), len(GAINS)))
        kept += [eqx.combine(jax.tree.map(lambda leaf, g=g: leaf[g], parameters), rest[0]) for g in range(len(GAINS))]
        losses.append(np.asarray(loss))
    return [model.cell for model in kept], np.stack(losses)


def main() -> None:
    """Train, compute the spectra, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default="lyapunov_training.png")
    parser.add_argument("--quick", action="store_true", help="short training, to see that it runs")
    arguments = parser.parse_args()
    steps, checkpoints = (60, 2) if arguments.quick else (1500, 5)
    inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (600, 1))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    print("cell      gain   largest exponent   final loss")
    for kind, (color, marker) in KINDS.items():
        cells, losses = train(kind, steps, checkpoints)
        # Every checkpoint of every gain, in one call; all of (h, c) for the LSTM.
        zero = jax.tree.map(np.asarray, resting(cells[0]))
        spectra = cx.lyapunov_spectrum(cells, zero, inputs, steps=500, warmup=100)
        largest = spectra.exponents[:, 0].reshape(checkpoints, len(GAINS))
        for gain, exponent, loss in zip(GAINS, largest[-1], losses[-1], strict=True):
            print(f"{kind:8}  {gain:4.1f}   {exponent:+16.4f}   {loss:10.4f}")
        left.plot(GAINS, losses[-1], color=color, marker=marker, label=kind)
        middle.plot(largest[:-1], losses[:-1], color=color, marker=marker, ls="none", ms=3, alpha=0.35)
        middle.plot(largest[-1], losses[-1], color=color, marker=marker, ls="none", label=kind)
        best = int(np.argmin(losses[-1]))
        values = spectra[(checkpoints - 1) * len(GAINS) + best].exponents
        rank = np.arange(1, len(values) + 1) / len(values)
        right.plot(rank, values, color=color, marker=marker, ms=3, lw=1, label=f"{kind}, gain {GAINS[best]:g}")
    left.set(xlabel="initial gain", ylabel="final loss (1: the mean is guessed)", yscale="log")
    middle.set(xlabel="largest exponent (nats per step)", ylabel="loss", yscale="log")
    middle.axvline(0, color="0.6", lw=0.8)
    middle.set_title("all checkpoints (final ones large)", fontsize="medium")
    right.set(xlabel="rank / number of states", ylabel="exponent (nats per step)")
    right.axhline(0, color="0.6", lw=0.8)
    right.set_title("spectrum of the best network of each kind", fontsize="medium")
    for ax in (left, middle, right):
        ax.legend(frameon=False, fontsize="small")
    figure.savefig(arguments.picture, dpi=150)
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
