"""An almost-linear RNN on Lorenz is a graph: a node for each linear region it uses, an edge for each step between two.

After Brenner, Hemmer, Monfared, Durstewitz, "Almost-linear RNNs yield highly interpretable symbolic codes in dynamical
systems reconstruction" (2024). A shallow network is one, with its hidden units as gated states.
"""

import sys
from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from examples import lorenz

import cyclax as cx
from cyclax.data import Lorenz63, integrate, standardize
from cyclax.plot.style import COLORS


def almost_linear(net):
    """Give the same map with the inputs u of the hidden units as states: u' = W2 z' + h2."""
    A, W1, W2, h1, h2 = (np.asarray(leaf, float) for leaf in (net.A, net.W1, net.W2, net.h1, net.h2))
    W = np.block([[np.zeros((3, 3)), W1], [W2 * A, W2 @ W1]])
    return cx.AlmostLinearRNN(A=[*A, *0 * h2], W=W, h=[*h1, *(W2 @ h1 + h2)], num_gated=len(h2))


def main(picture: str = "symbolic_graph.png") -> None:
    """Train, follow, count, print and draw."""
    lorenz.HIDDEN = 8
    series, _ = standardize(integrate(Lorenz63(), 50_000, dt=0.02))
    start = (np.full(3, 0.9), np.eye(3), np.full(3, 6.0), series[:-1], series[1:], 0, np.random.default_rng(1))
    settings = {"optimizer": cx.RAdam(2e-3, 1e-5, clip=10.0), "batch": 512, "length": 2}
    run = cx.fit(lorenz.exchange(*start), series, forcing=cx.GeneralizedForcing(1.0), steps=800, key=0, **settings)
    model = almost_linear(run.map)
    orbit = cx.simulate(model, np.array([*series[0], *run.map.W2 @ series[0] + run.map.h2]), 30_000)[2000:]
    words = ["".join("01"[int(gate)] for gate in row) for row in orbit[:, 3:] > 0]
    used, steps = Counter(words), Counter(pairwise(words))
    print(f"{len(used)} of {2**lorenz.HIDDEN} linear regions are met, {len(steps)} kinds of steps")
    print(f"the one that is met most has {100 * used.most_common(1)[0][1] / len(words):.0f} % of the time")
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    angles = 2 * np.pi * np.arange(len(used)) / len(used)
    places = {word: (np.sin(a), np.cos(a)) for (word, _), a in zip(used.most_common(), angles, strict=True)}
    for i, word in enumerate(places):
        color, marker = COLORS[i % len(COLORS)], "os^Dvp"[i % 6]
        some = orbit[[one == word for one in words]]
        left.plot(some[:, 0], some[:, 2], marker, ms=1.2, color=color)
        right.plot(*places[word], marker, ms=20, mfc="white", mec=color, mew=2, zorder=3)
        for ax, place in ((left, np.median(some[:, [0, 2]], axis=0)), (right, places[word])):
            ax.text(*place, str(i + 1), ha="center", va="center", bbox={"fc": "white", "ec": "none", "pad": 1})
    for one, other in [pair for pair in steps if pair[0] != pair[1]]:
        looks = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "lw": 0.3 + 0.5 * np.log10(steps[one, other])}
        right.annotate("", places[other], places[one], arrowprops={**looks, "shrinkA": 12, "shrinkB": 12})
    left.set(xlabel="x", ylabel="z", title="the network by itself, by linear region")
    right.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", title="steps between regions", xticks=[], yticks=[])
    plt.savefig(picture, dpi=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
