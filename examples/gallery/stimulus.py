"""Two units that inhibit each other, under a stimulus for the first: every fixed point, exact, through both folds.

Without a stimulus either unit may win; a strong one leaves one winner, and what was chosen stays while it fades.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx


def main(picture: str = "stimulus.png") -> None:
    """Follow, print and draw."""
    weights = np.array([[0.4, -1.6], [-1.6, 0.4]])
    model = cx.RateRNN(W=weights, C=np.eye(2), b=np.full(2, 1.0), alpha=0.5)
    diagram = cx.follow_input(model, [1.0, -1.0], (-1.5, 1.5), key=0)
    print(diagram)
    folds = sorted(corner.s for corner in diagram.corners if corner.type == "nonsmooth fold")
    print(f"folds at {', '.join(f'{s:+.4f}' for s in folds)}: between them there are two choices")
    ax = cx.plot.input_diagram(diagram, readout=np.array([1.0, -1.0]))
    ax.set(xlabel="stimulus for unit 1 (and against unit 2)", ylabel="unit 1 minus unit 2")
    plt.savefig(picture, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
