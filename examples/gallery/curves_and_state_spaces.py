"""Bifurcation curves of a network of two units, with its state space at six places between them.

After the figure of Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training" (2023).
"""

import sys

import equinox as eqx
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx

NETWORK = cx.PLRNN(A=[0.2, 0.4], W=[[0.0, -0.9], [0.9, 0.0]], h=[0.6, -0.2])
ACROSS, UP, ORDERS = np.linspace(-3.5, 0.7, 43), np.linspace(0.1, 3.0, 30), 6
PLACES = {"a": (-3.0, 2.6), "b": (-1.2, 2.6), "c": (-0.1, 2.0), "d": (-3.0, 0.25), "e": (-2.0, 0.7), "f": (0.4, 2.6)}


def main(picture: str = "curves_and_state_spaces.png") -> None:
    """Scan, trace, print and draw."""
    result = cx.scan(NETWORK, {"W[0,1]": ACROSS, "W[1,0]": UP}, ORDERS, key=0)
    curves = cx.trace_all(result)
    print(curves)
    rows = [["a", "b", "c"], ["map"] * 3, ["d", "e", "f"]]
    _, axes = plt.subplot_mosaic(rows, figsize=(9, 10), height_ratios=(1, 2, 1), layout="constrained")
    cx.plot.bifurcation_curves(curves, axes["map"], over=result)
    for name, place in PLACES.items():
        box = {"fc": "white", "boxstyle": "circle"}
        axes["map"].text(*place, name, ha="center", va="center", weight="bold", bbox=box)
        model = eqx.tree_at(lambda network: network.W, NETWORK, np.array([[0, place[0]], [place[1], 0]]))
        cycles, ax = cx.find_cycles(model, ORDERS, key=0), axes[name]
        orbit = cx.simulate(model, np.array([0.1, 0.1]), 3000)[1500:]
        if 1e-3 < np.max(np.ptp(orbit, axis=0)) < 1e3:
            ax.plot(*orbit.T, ".", ms=2, color="0.6", zorder=1)
        cx.plot.cycles(cycles, ax)
        if ax.get_legend():
            ax.get_legend().remove()
        ax.set_title(f"{name}  {str(cycles).split(' in ')[0]}", loc="left", fontsize="small")
    print(f"cycles of orders up to {ORDERS} in the six state spaces, after an orbit (grey) has settled")
    plt.savefig(picture, dpi=72)


if __name__ == "__main__":
    main(*sys.argv[1:])
