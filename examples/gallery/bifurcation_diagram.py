"""Cycles, stable or not, over what an orbit does: the skew tent map as one slope grows.

Unstable cycles go on where simulations see chaos alone.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx


def main(picture: str = "bifurcation_diagram.png") -> None:
    """Scan, simulate, print and draw."""
    model = cx.SkewTentMap(left=0.6, right=-1.5, offset=1.0)
    grid = {"right": np.linspace(-6.0, -0.5, 301)}
    result = cx.scan(model, grid, 4, key=0)
    print("\n".join(str(result).splitlines()[1:5]))
    ax = cx.plot.bifurcation_diagram(result, attractor=cx.attractor_points(model, grid, key=0))
    plt.savefig(picture, dpi=100, bbox_inches="tight")
    assert ax.get_xlabel()


if __name__ == "__main__":
    main(*sys.argv[1:])
