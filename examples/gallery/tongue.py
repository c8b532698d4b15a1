"""The tongue of a 16-cycle in a plane of two weights, which shrinks to nothing again and again.

A small map finds both of its sides, where the cycle and a saddle are born together; `trace` follows them to 13 digits.
Where they cross, other points of the cycle take over (shrinking points).
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx


def main(picture: str = "tongue.png") -> None:
    """Scan, trace, print and draw."""
    model = cx.load("examples/networks/plrnn_2d_order16.json")
    names = ("A[0]", "A[1]")
    grid = {name: np.linspace(a - 0.03, a + 0.03, 13) for name, a in zip(names, model.A, strict=True)}
    window, sides = [(value - 1, value + 1) for value in model.A], []
    for seen in cx.trace_all(cx.scan(model, grid, [16], key=0, orbit_steps=0)):
        arc = seen.arcs[0]
        where = {"at": (arc.step, arc.gate), "start": seen.points[0], "window": window}
        sides.append(cx.trace(model, arc.words[0], names, event="border collision", **where))
        print(f"a side from {' to '.join(sides[-1].ends)}, with {len(sides[-1].special_points)} special points;")
        print(
            f"  largest residual {sides[-1].check().residual:.1e}, wrong on recomputing: {len(sides[-1].check().wrong)}"
        )
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    cx.plot.bifurcation_curves(sides, left, special=False)
    left.get_legend().remove()
    left.set(xlim=(0.75, 1.4), ylim=(0.45, 1.05), title="both sides in the plane of two weights")
    left.plot(*model.A, "*", ms=13, mfc="white", mec="black", zorder=5)
    first = max(side.points[:, 0].min() for side in sides)
    across = np.linspace(first, min(side.points[:, 0].max() for side in sides), 2000)
    heights = np.array([np.interp(across, *side.points[np.argsort(side.points[:, 0])].T) for side in sides])
    middle = heights.mean(axis=0)
    right.fill_between(across, *(heights - middle), color="#56B4E9", label="two 16-cycles")
    right.plot(model.A[0], model.A[1] - np.interp(model.A[0], across, middle), "*", ms=13, mfc="white", mec="black")
    right.set(xlabel="A[0]", ylabel="A[1] less that of the middle of the tongue", title="the tongue, drawn straight")
    right.legend(frameon=False, loc="lower right")
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
