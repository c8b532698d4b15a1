"""A network of two units in one picture: what attracts over two weights, with bifurcation curves; and one of its cells.

The state space is that of the cell with the star: all its cycles up to order 6, which are proved to be all, and the
basins of the two that are stable.
"""

import sys

import equinox as eqx
import matplotlib.pyplot as plt
import numpy as np
from examples.gallery.curves_and_state_spaces import NETWORK, ORDERS
from matplotlib.colors import ListedColormap

import cyclax as cx

ACROSS, UP, CELL = np.linspace(-3.5, 1.2, 85), np.linspace(0.2, 3.0, 59), (-3.1, 2.7)


def main(picture: str = "overview.png") -> None:
    """Scan, trace, find, print and draw."""
    result = cx.scan(NETWORK, {"W[0,1]": ACROSS, "W[1,0]": UP}, ORDERS, key=0, orbit_steps=4000)
    curves = [curve for curve in cx.trace_all(result) if curve.types != ("persistence",)]
    model = eqx.tree_at(lambda network: network.W, NETWORK, np.array([[0, CELL[0]], [CELL[1], 0]]))
    cycles = cx.find_cycles(model, ORDERS, key=0)
    print(cycles)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.4), layout="constrained")
    cx.plot.bifurcation_curves(curves, left, over=result, special=False)
    left.plot(*CELL, "*", ms=18, mfc="white", mec="black", zorder=9)
    left.set_title("what attracts, and the bifurcations between", loc="left")
    x, y = np.linspace(-8.5, 2.5, 221), np.linspace(-2.2, 2.6, 191)
    basins = cx.attractors(model, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), key=0)
    orders = np.array([entry.period or 0 for entry in basins.entries])[basins.labels].reshape(len(y), len(x))
    right.pcolormesh(x, y, orders == 5, cmap=ListedColormap(["1", "0.85"]), zorder=-1)
    cx.plot.cycles(cycles, right)
    right.set_title(f"at the star: {str(cycles).split(' in ')[0]}; grey leads to order 5", loc="left")
    right.legend(handles=right.get_legend().legend_handles, loc="lower left", fontsize="small", framealpha=1)
    (verdict,) = {entry["verdict"] for entry in cycles.report["orders"].values()}
    box = {"fc": "white", "ec": "0.6"}
    right.text(2.3, -2.05, f"orders 1 to {ORDERS}:\n{verdict}", ha="right", va="bottom", weight="bold", bbox=box)
    figure.savefig(picture, dpi=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
