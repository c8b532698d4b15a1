"""The training of a network on a bursting neuron, tracked: `python examples/neuron_bifurcations.py [PICTURE.png]`.

A dendritic PLRNN (M = 6, B = 6) learns the bursting neuron of Durstewitz (2009) with sparse forcing, as in `neuron.py`
but smaller. Every 25th model is kept; the fixed points and 2-cycles of all of them are found, with every event between
one and the next.
"""

import argparse
import dataclasses

import jax
import matplotlib.pyplot as plt

import cyclax as cx
from cyclax.data import BurstingNeuron, integrate, standardize


def trained(steps: int, every: int) -> cx.Fit:
    """Train a network on the neuron; a checkpoint every so many updates."""
    series, _ = standardize(integrate(BurstingNeuron(), 20_000, dt=1.0))
    network = cx.DendriticPLRNN.random(6, 6, key=jax.random.key(0), gain=0.3)
    network = dataclasses.replace(network, h=0.1 * network.h)
    return cx.fit(
        cx.LatentModel.observing(network, 3),
        series,
        forcing=cx.SparseForcing(10),
        steps=steps,
        key=0,
        length=40,
        optimizer=cx.RAdam(3e-3, 1e-5, clip=1.0),
        checkpoint_every=every,
    )


def main() -> None:
    """Train, track, print and draw."""
    parser = argparse.ArgumentParser(description="Bifurcations in the training of a network on a bursting neuron.")
    parser.add_argument("picture", nargs="?", default="neuron_bifurcations.png")
    parser.add_argument("--steps", type=int, default=10_000, help="updates")
    arguments = parser.parse_args()
    run = trained(arguments.steps, every=25)
    print(run)
    track = cx.track(run, 2, key=0)
    print(track)
    for jump in track.jumps:
        print(f"  {jump}")
    axes = cx.plot.track(track)
    axes[-1].set_xlabel("model (one in 25 updates)")
    plt.savefig(arguments.picture, dpi=150, bbox_inches="tight")
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
