"""A network learns a bursting neuron: its loss, and the fixed points and 2-cycles that come and go as it does.

A dendritic PLRNN on the neuron of Durstewitz (2009), trained for a short while;
examples/neuron_bifurcations.py is the long version.
"""

import sys

import matplotlib.pyplot as plt
from examples.neuron_bifurcations import trained

import cyclax as cx


def main(picture: str = "neuron.png") -> None:
    """Simulate, train, track, print and draw."""
    run = trained(2000, every=50)
    track = cx.track(run, 2, key=0)
    print(track)
    axes = cx.plot.track(track)
    axes[-1].set_xlabel("model (one in 50 updates)")
    plt.savefig(picture, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
