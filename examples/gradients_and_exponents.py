"""Loss gradients and Lyapunov exponents: `python examples/gradients_and_exponents.py [PICTURE.png]`.

Training by backpropagation through time multiplies Jacobians along the orbit: log |d z_T / d z_0| follows the line
lambda_1 T (Mikhaeil, Monfared, Durstewitz, "On the difficulty of learning chaotic dynamics with RNNs", 2022). On a
stable cycle lambda_1 < 0, and gradients stay bounded; on a chaotic orbit lambda_1 > 0, and they explode, whatever the
architecture. Three piecewise-linear RNNs of one family show it, with the interval ln 2 / lambda_1 after which states
should be forced.
"""

import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import cyclax as cx

STEPS, STARTS, WARMUP = 400, 60, 1000
# Blue, vermilion, green of Okabe and Ito; line styles say it once more.
LOOKS = {"#0072B2": "-", "#009E73": (0, (5, 2)), "#D55E00": (0, (1, 1.5))}


def network(gain: float) -> cx.ClippedShallowPLRNN:
    """Give one of a family of RNNs with bounded orbits: the gain scales the weights out of the hidden layer."""
    rng = np.random.default_rng(30)
    M, H = 10, 40
    W1, W2 = rng.normal(size=(M, H)) / np.sqrt(H), rng.normal(size=(H, M)) / np.sqrt(M)
    A = rng.uniform(0.3, 0.8, M)
    return cx.ClippedShallowPLRNN(A=A, W1=gain * W1, W2=W2, h1=np.zeros(M), h2=rng.normal(size=H))


def gradient_norms(model: cx.PLRNN, states: np.ndarray) -> np.ndarray:
    """Give log |d z_T / d z_0| (spectral norm) for T = 1 .. STEPS, from each state: `(STARTS, STEPS)`."""

    def one(z0):
        def step(carry, _):
            z, P, scale = carry
            J = jax.jacfwd(model)(z)
            P = J @ P
            # Kept near 1, so that long products neither overflow nor vanish.
            size = jax.numpy.linalg.norm(P)
            P, scale = P / size, scale + jax.numpy.log(size)
            return (model(z), P, scale), scale + jax.numpy.log(jax.numpy.linalg.norm(P, 2))

        start = (z0, jax.numpy.eye(z0.shape[0]), 0.0)
        return jax.lax.scan(step, start, length=STEPS)[1]

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(one))(states))


def loss_gradients(model: cx.ClippedShallowPLRNN, states: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Give log |d L_T / d theta| of the loss L_T = |z_T|^2 / 2, by backpropagation: `(STARTS, len(times))`."""

    def loss(parameters, z0, T):
        def step(z, t):
            z = parameters(z)
            return z, jax.numpy.where(t == T, z @ z / 2, 0)

        return jax.numpy.sum(jax.lax.scan(step, z0, jax.numpy.arange(1, STEPS + 1))[1])

    def one(z0, T):
        gradient = jax.grad(loss)(jax.tree.map(jax.numpy.asarray, model), z0, T)
        return jax.numpy.log(sum(jax.numpy.sum(leaf**2) for leaf in jax.tree.leaves(gradient))) / 2

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(states, times))


def main() -> None:
    """Draw the picture, and print the table."""
    parser = argparse.ArgumentParser(description="Draw loss gradients beside Lyapunov exponents.")
    parser.add_argument("picture", nargs="?", default="gradients_and_exponents.png")
    picture = parser.parse_args().picture
    figure, (ax, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    time, times = np.arange(1, STEPS + 1), np.arange(20, STEPS + 1, 20)
    print("gain   lambda_1             slope of log |gradient|   forcing interval")
    for (color, line), gain in zip(LOOKS.items(), GAINS, strict=True):
        model = network(gain)
        z0 = np.random.default_rng(0).normal(size=(STARTS, model.num_states))
        axes = (None, 0, None)
        spectrum = cx.lyapunov_spectrum(model, z0, steps=20_000, warmup=WARMUP, num_exponents=2, in_axes=axes).pool()
        # Past the transient.
        states = np.stack([cx.simulate(model, z, WARMUP)[-1] for z in z0])
        norms = gradient_norms(model, states)
        slope = np.polyfit(time[STEPS // 4 :], np.mean(norms, axis=0)[STEPS // 4 :], 1)[0]
        interval = cx.forcing_interval(spectrum)
        value, error = spectrum.exponents[0], spectrum.standard_errors[0]
        print(f"{gain:4.1f}   {value:+.4f} +- {error:.4f}   {slope:+.4f}   {interval:>26.1f} steps")
        low, high = np.quantile(norms, [0.05, 0.95], axis=0)
        what = "chaos" if value > 3 * error else "stable cycle"
        ax.fill_between(time, low, high, color=color, alpha=0.2, lw=0)
        label = rf"{what} (gain {gain:g}): $\lambda_1$ = {value:+.3f}"
        ax.plot(time, np.mean(norms, axis=0), color=color, ls=line, lw=2, label=label)
        ax.plot(time, value * time, color="k", lw=0.8, zorder=3)
        losses = loss_gradients(model, states, times)
        low, high = np.quantile(losses, [0.05, 0.95], axis=0)
        right.fill_between(times, low, high, color=color, alpha=0.2, lw=0)
        right.plot(times, np.mean(losses, axis=0), color=color, ls=line, lw=2, label=what)
        growth = np.polyfit(times[4:], np.mean(losses, axis=0)[4:], 1)[0]
        # Bounded or not is decided by the sign of the exponent, and both agree.
        assert abs(slope - value) < 0.05 * abs(value) + 0.005, (slope, value)
        # Of the parameters, the last steps before T have their share whatever the rest: bounded, but not vanishing.
        assert abs(growth - max(value, 0)) < 0.1 * max(value, 0) + 0.005, (growth, value)
    ax.plot([], [], color="k", lw=0.8, label=r"slope $\lambda_1$ of each")
    ax.set(xlabel="T (steps)", ylabel=r"$\log\,|\partial z_T / \partial z_0|$")
    ax.set_title("Gradients through time follow the largest Lyapunov exponent\n(mean, and 5 to 95 % of starts)")
    right.set(xlabel="T (steps)", ylabel=r"$\log\,|\partial L_T / \partial \theta|$")
    right.set_title("Loss gradients are bounded on stable cycles\nand diverge in chaos")
    ax.legend(frameon=False)
    right.legend(frameon=False)
    figure.savefig(picture, dpi=150)
    print(f"wrote {picture}")


# Found by scanning the gain: stable cycles far from chaos and nearer to it, and chaos.
GAINS = (2.0, 3.0, 4.0)

if __name__ == "__main__":
    main()
