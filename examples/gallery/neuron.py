"""A network learns a bursting neuron: its loss, and the fixed points and 2-cycles that come and go as it does.

A dendritic PLRNN on the neuron of Durstewitz (2009), trained for a short while; examples/neuron.py is the long version.
"""

import dataclasses
import sys

import jax
import matplotlib.pyplot as plt

import cyclax as cx
from cyclax.data import BurstingNeuron, integrate, standardize


def main(picture: str = "neuron.png") -> None:
    """Simulate, train, track, print and draw."""
    series, _ = standardize(integrate(BurstingNeuron(), 20_000, dt=1.0))
    network = cx.DendriticPLRNN.random(6, 6, key=jax.random.key(0), gain=0.3)
    network = dataclasses.replace(network, h=0.1 * network.h)
    run = cx.fit(
        cx.LatentModel.observing(network, 3),
        series,
        forcing=cx.SparseForcing(10),
        steps=2000,
        key=0,
        length=40,
        optimizer=cx.RAdam(3e-3, 1e-5, clip=1.0),
        checkpoint_every=50,
    )
    track = cx.track(run, 2, key=0)
    print(track)
    axes = cx.plot.track(track)
    axes[-1].set_xlabel("model (one in 50 updates)")
    plt.savefig(picture, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
