"""The crisis of the Lozi map: its attractor meets the border of its basin, and is gone; found by following manifolds.

Then a corner of the line along which one fixed point repels is on that along which the other attracts.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq

import cyclax as cx


def manifolds(model: cx.LoziMap) -> tuple[cx.Cycle, cx.Cycle, list[np.ndarray], float]:
    """Give both fixed points, five images of the line along which the right one repels, and how far they reach out."""
    left, right = sorted(cx.find_cycles(model, 1, key=0, progress=False), key=lambda cycle: cycle.points[0, 0])
    (x0, y0), (along_x, along_y) = right.points[0], right.eigenvectors[:, 0].real
    images = [np.array([[0, y0 - x0 * along_y / along_x], [x0, y0]])]
    for _ in range(5):  # cut where the line crosses the border x = 0, and mapped
        x, y = images[-1].T
        cut = np.flatnonzero(x[:-1] * x[1:] < 0)
        height = y[cut] + x[cut] / (x[cut] - x[cut + 1]) * np.diff(y)[cut]
        line = np.stack([np.insert(x, cut + 1, 0), np.insert(y, cut + 1, height)], axis=1)
        images.append(np.stack([cx.simulate(model, corner, 1)[1] for corner in line]))
    across, corners = left.eigenvectors[::-1, 1].real * [1, -1], np.concatenate(images)
    reach = (left.points[0] - corners) @ across / ((right.points[0] - left.points[0]) @ across)
    return left, right, images, float(np.max(reach[corners[:, 0] < 0]))


def crisis(b: float) -> float:
    """Give the parameter a of the crisis."""
    return float(brentq(lambda a: manifolds(cx.LoziMap(a, b))[-1], 1.5, 1.99, xtol=1e-14))


def main(picture: str = "crisis.png") -> None:
    """Scan, solve, print and draw."""
    bs = np.linspace(0.05, 0.55, 11)
    found = np.array([crisis(b) for b in bs])
    print(f"crises at {len(bs)} values of b: 2 a + b is off 4 by at most {np.max(np.abs(2 * found + bs - 4)):.1e}")
    result = cx.scan(cx.LoziMap(1.7, 0.5), {"a": np.linspace(1.6, 2, 33), "b": np.linspace(0, 0.6, 25)}, 2, key=0)
    _, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", width_ratios=(1, 1, 1.2))
    for ax, name, a in zip(axes, ("before", "beyond"), (1.65, 1.85), strict=False):
        left, right, images, reach = manifolds(cx.LoziMap(a, 0.5))
        print(f"a = {a}, b = 0.5: the manifold reaches {reach:+.3f} beyond the border of the basin")
        ax.plot(*np.concatenate([images[-2], images[-1][::-1]]).T, lw=0.7, color="#0072B2", label="right one repels")
        beside = left.points[0] + left.eigenvectors[:, 1].real
        ax.axline(left.points[0], beside, ls="--", color="#D55E00", label="left one attracts")
        ax.plot(*np.concatenate([left.points, right.points]).T, "o", mfc="white", mec="black", label="fixed points")
        ax.set(xlim=(-1.8, 1.4), ylim=(-0.9, 0.9), xlabel="x", ylabel="y", title=f"{name} the crisis: a = {a}, b = 0.5")
    cx.plot.bifurcation_map(result, axes[2])
    axes[2].plot(found, bs, "o-", color="#D55E00", mfc="white", label="crisis: 2 a + b = 4")
    for ax, where in zip(axes, ("lower right", "upper right", "lower left"), strict=True):
        ax.legend(loc=where, fontsize="small")
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
