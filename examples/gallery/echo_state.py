"""An echo state network that forecasts Lorenz by itself has the system's exponents, and hundreds of its own.

After Pathak, Lu, Hunt, Girvan, Ott, "Using machine learning to replicate chaotic attractors and calculate Lyapunov
exponents from data" (2017). The third, of a direction in which there is next to no data, differs.
"""

import sys

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx
from cyclax.data import Lorenz63, integrate, standardize

UNITS, DT, KNOWN = 300, 0.02, (0.906, 0.0, -14.572)


def features(r, np=np):
    """Give what the readout adds up: the states, every second of them squared."""
    return np.where(np.arange(UNITS) % 2 == 0, r, r**2)


class EchoState(eqx.Module):
    """A fixed random network that hears its own readout."""

    weights: np.ndarray
    inputs: np.ndarray
    readout: np.ndarray

    def __call__(self, r):
        """Give the next state."""
        return jnp.tanh(self.weights @ r + self.inputs @ (self.readout @ features(r, jnp)))


def main(picture: str = "echo_state.png") -> None:
    """Train by ridge regression, close the loop, print and draw."""
    rng = np.random.default_rng(0)
    series, _ = standardize(integrate(Lorenz63(), 20_000, dt=DT))
    weights = rng.normal(size=(UNITS, UNITS)) * (rng.random((UNITS, UNITS)) < 6 / UNITS)
    weights *= 0.6 / np.max(np.abs(np.linalg.eigvals(weights)))
    inputs = rng.uniform(-0.5, 0.5, (UNITS, 3))
    states = np.zeros((len(series), UNITS))
    for t in range(len(series) - 1):
        states[t + 1] = np.tanh(weights @ states[t] + inputs @ series[t])
    x = features(states[500:])
    loop = EchoState(weights, inputs, np.linalg.solve(x.T @ x + 1e-4 * np.eye(UNITS), x.T @ series[500:]).T)
    spectrum = cx.lyapunov_spectrum(loop, states[-1], steps=20_000, warmup=1000, num_exponents=10, dt=DT)
    print(f"first exponents {spectrum.exponents[:3].round(3)}, those of Lorenz {KNOWN}")
    print(f"Kaplan-Yorke dimension {spectrum.dimension:.3f}, that of Lorenz 2.062")
    ax = cx.plot.spectrum(spectrum)
    ax.plot((1, 2, 3), KNOWN, "x", ms=9, mew=2, color="black", label="the Lorenz system")
    ax.legend(frameon=False)
    plt.savefig(picture, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
