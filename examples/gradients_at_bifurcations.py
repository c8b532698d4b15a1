"""What theory says of loss gradients at bifurcations: `python examples/gradients_at_bifurcations.py [PICTURE.png]`.

Left: into a degenerate transcritical bifurcation (a multiplier goes to 1, and the fixed point to infinity) the gradient
of the squared error grows with the third power of 1 / (1 - multiplier), as long as windows are long enough to see it
(T = 20 / (1 - multiplier)), and saturates where T is held. Right: at a border collision the one-sided limits of the
gradient are finite and different. After Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN
training" (2023). All gradients are those that `fit` computes.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import optax

import cyclax as cx


def over_window(model: cx.PLRNN, series: np.ndarray, forcing) -> float:
    """Give the norm of the gradient of the squared error over one window: the whole series `(T + 1, M)`."""
    run = cx.fit(
        model,
        series,
        forcing=forcing,
        optimizer=optax.sgd(0.0),
        steps=1,
        key=0,
        batch=1,
        length=len(series) - 1,
        dtype=np.float64,
        progress=False,
    )
    return float(run.gradient_norms[0])


def gradient_norm(model: cx.PLRNN, length: int, *, settled: bool = False) -> float:
    """Give the norm of the gradient, free running, against noise about (1, 1); from the fixed point if `settled`."""
    series = 1 + 0.1 * np.random.default_rng(0).normal(size=(length + 1, 2))
    if settled:
        series[0] = cx.find_cycles(model, 1, key=0)[0].points[0]
    return over_window(model, series, cx.FreeRunning())


def near_transcritical(gap: float) -> cx.PLRNN:
    """Give a network whose fixed point, both gates open, has the multiplier 1 - gap."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    P, A = turn @ np.diag([1 - gap, 0.3]) @ turn.T, np.array([0.2, 0.1])
    return cx.PLRNN(A=A, W=P - np.diag(A), h=[1.0, 0.9])


def at_border(offset: float) -> cx.PLRNN:
    """Give a network whose fixed point crosses the border of the first gate as `offset` changes its sign."""
    return cx.PLRNN(A=[0.5, 0.5], W=[[0.3, 0.0], [0.0, 0.0]], h=[offset, 1.0])


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description="Loss gradients at bifurcations.")
    parser.add_argument("picture", nargs="?", default="gradients_at_bifurcations.png")
    picture = parser.parse_args().picture
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")

    gaps = np.array([0.04, 0.02, 0.01, 0.005, 0.0025])
    grown = [gradient_norm(near_transcritical(gap), round(20 / gap)) for gap in gaps]
    held = [gradient_norm(near_transcritical(gap), 400) for gap in [*gaps, 1e-3, 1e-4, 1e-5]]
    slope = np.polyfit(np.log(gaps), np.log(grown), 1)[0]
    print(f"into a degenerate transcritical bifurcation: slope {slope:.3f} (theory: -3)")
    left.loglog(gaps, grown, "o-", color="#0072B2", label=rf"$T = 20/(1-\lambda)$: slope {slope:.2f}")
    left.loglog([*gaps, 1e-3, 1e-4, 1e-5], held, "s--", color="#D55E00", label="T = 400")
    left.loglog(gaps, grown[0] * (gaps / gaps[0]) ** -3, color="k", lw=0.8, label="slope -3")
    left.set(xlabel=r"$1 - \lambda$", ylabel="norm of the gradient of the loss", title="degenerate transcritical")
    left.legend(frameon=False)

    sizes = np.geomspace(1e-6, 0.3, 9)
    for sign, color, name in ((-1, "#0072B2", "gate closed"), (1, "#D55E00", "gate open")):
        norms = [gradient_norm(at_border(sign * size), 2000, settled=True) for size in sizes]
        print(f"at a border collision, {name}: limit {norms[0]:.4f}")
        right.plot(sign * sizes, norms, "o-", color=color, ms=4, label=f"{name}: limit {norms[0]:.2f}")
    right.axvline(0, color="k", lw=0.8)
    right.set(xlabel="bias of the first unit", ylabel="norm of the gradient of the loss", title="border collision")
    right.legend(frameon=False)
    figure.savefig(picture, dpi=150)
    print(f"wrote {picture}")


if __name__ == "__main__":
    main()
