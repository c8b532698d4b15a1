"""Loss and gradient over two weights: free running, cliffs lie where a fixed point bifurcates; forcing levels them.

A network of two units learns the orbit of another one, the teacher of examples/loss_jumps.py; lines are bifurcations of
its fixed point, traced.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from examples.loss_jumps import LENGTH, teacher

import cyclax as cx

CELLS, ALPHAS, WIDTH = 141, (0.0, 0.1, 0.5), 2.0
LINES = {"degenerate transcritical": "-", "degenerate flip": "--"}


def main(picture: str = "loss_landscape.png") -> None:
    """Compute, trace, print and draw."""
    true = teacher()
    data, middle = cx.simulate(true, np.array([-1.0, 0.5]), LENGTH), np.diag(true.W)

    def loss(weights, alpha):
        model = eqx.tree_at(lambda m: m.W, true, true.W + jnp.diag(weights - middle))

        def step(z, x):
            z = model(alpha * x[0] + (1 - alpha) * z)
            return z, jnp.sum((z - x[1]) ** 2)

        return jnp.mean(jax.lax.scan(step, jnp.asarray(data[0]), (data[:-1], data[1:]))[1])

    x, y = (np.linspace(value - WIDTH, value + WIDTH, CELLS) for value in middle)
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    (cycle,), window = cx.find_cycles(true, 1, key=0), ((x[0], x[-1]), (y[0], y[-1]))
    curves = {kind: cx.trace(true, cycle, ("W[0,0]", "W[1,1]"), event=kind, window=window) for kind in LINES}
    figure, axes = plt.subplots(2, len(ALPHAS), figsize=(11, 6.5), sharex=True, sharey=True, layout="constrained")
    for column, alpha in zip(axes.T, ALPHAS, strict=True):
        with jax.enable_x64(True):
            values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda w, a=alpha: loss(w, a))))(places)
        norms = np.linalg.norm(slopes, axis=1)
        print(f"alpha {alpha}: the norm of the gradient is up to {np.nanmax(norms):.2g}")
        for ax, shown, name in zip(column, (values, norms), ("loss", "norm of the gradient"), strict=True):
            heights = np.log10(np.clip(np.nan_to_num(shown, nan=1e12), 1e-6, 1e12)).reshape(CELLS, CELLS)
            image = ax.pcolormesh(x, y, heights, cmap="cividis", vmin=-3, vmax=5, rasterized=True)
            for kind, curve in curves.items():
                ax.plot(*curve.points.T, color="white", ls=LINES[kind], lw=1.5, label=kind)
            ax.plot(*middle, "*", ms=11, mfc="white", mec="black")
            ax.set(xlabel="$W_{11}$", ylabel="$W_{22}$", title=f"{name}, alpha = {alpha or '0 (free)'}")
    axes[0, 0].legend(fontsize="x-small", facecolor="0.3", labelcolor="white")
    figure.colorbar(image, ax=axes, label="log10")
    plt.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
