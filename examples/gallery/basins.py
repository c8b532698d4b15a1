"""Basins: which starts of a map come to chaos, and which to a stable 4-cycle.

A border-collision normal form; each start is followed until it is known for certain where it goes.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import cyclax as cx

SIDE = 161
SHADES = ("#F6DDB0", "#5B9CC9", "#FFFFFF", "#009E73", "#CC79A7")


def main(picture: str = "basins.png") -> None:
    """Follow every start of a grid, print and draw."""
    model = cx.BorderCollisionNormalForm(left=[[1.0, 1], [-0.7, 0]], right=[[-2.2, 1], [-0.3, 0]], h=[1.0, 0.0])
    x, y = np.linspace(-12, 12, SIDE), np.linspace(-9, 9, SIDE)
    starts = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found = cx.attractors(model, starts, key=0, steps=8192)
    print(found)
    _, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    ax.pcolormesh(x, y, found.labels.reshape(SIDE, SIDE), cmap=ListedColormap(SHADES[: len(found)]), rasterized=True)
    for i, entry in enumerate(found.entries):
        name = entry.kind if entry.what is None else f"stable {entry.what.order}-cycle"
        ax.plot([], [], "s", ms=9, mfc=SHADES[i], mec="black", label=f"{name}: {100 * entry.share:.0f} % of starts")
        if entry.what is not None:
            ax.plot(*entry.what.points.T, "o", mfc="black", mec="white", ms=7, ls="none")
        elif entry.kind == "chaos":
            start = starts[np.argmax(found.labels == i)]
            ax.plot(*np.asarray(cx.simulate(model, start, 6000))[1000:].T, ",", color="black")
    ax.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
