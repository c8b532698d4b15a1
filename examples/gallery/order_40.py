"""The 40-cycles of a published network: a stable one and a saddle, point beside point, around a repeller.

The network is one of those published with SCYFI (examples/networks/README.md).
"""

import sys

import matplotlib.pyplot as plt

import cyclax as cx


def main(picture: str = "order_40.png") -> None:
    """Find, print and draw."""
    model = cx.load("examples/networks/plrnn_2d_order40.json")
    cycles = cx.find_cycles(model, [1, 40], key=0)
    lines = str(cycles).splitlines()
    print("\n".join([lines[0], lines[-1]]))
    ax = cx.plot.cycles(cycles)
    ax.set_title(f"{len(cycles)} cycles of orders 1 and 40", loc="left", fontsize="medium")
    plt.savefig(picture, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
