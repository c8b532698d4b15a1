"""What theorems say of the gradient of the loss, seen in the gradients that `fit` computes.

- At bifurcations: Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training" (2023).
- In chaos, and on what expands: Mikhaeil, Monfared, Durstewitz, "On the difficulty of learning chaotic dynamics with
  RNNs" (2022).
- Forced: Hess, Monfared, Brenner, Durstewitz, "Generalized teacher forcing for learning chaotic dynamics" (2023).
"""

import numpy as np
from examples.gradients_and_exponents import STARTS, STEPS, WARMUP, gradient_norms, network
from examples.gradients_at_bifurcations import at_border, gradient_norm, near_transcritical, over_window

import cyclax as cx
from benchmarks.validation.rows import Row

LOSS_JUMPS, CHAOS, FORCING = "Eisenmann et al. 2023", "Mikhaeil et al. 2022", "Hess et al. 2023"
MULTIPLIER = 1.5


def rows() -> list[Row]:
    """Compare slopes and limits."""
    return [*at_bifurcations(), *through_time(), *forced()]


def at_bifurcations() -> list[Row]:
    """Compare the growth into a degenerate transcritical bifurcation, and the limits beside a border collision."""
    gaps = 0.02 / 2.0 ** np.arange(5)
    norms = [gradient_norm(near_transcritical(gap), round(20 / gap)) for gap in gaps]
    slopes = np.diff(np.log(norms)) / np.diff(np.log(gaps))
    # The law is that of the limit. What is left falls with the gap: the last slope is off by about its last change.
    allowed, name = 2 * float(abs(slopes[-1] - slopes[-2])), "power of (1 - multiplier) with which the gradient grows"
    call = "cx.fit(model, series, forcing=cx.FreeRunning(), ..).gradient_norms"
    found = [Row(f"{name}, to 0.00125", -3.0, float(slopes[-1]), allowed, LOSS_JUMPS, call)]

    length = 4000
    mean = np.mean(1 + 0.1 * np.random.default_rng(0).normal(size=(length + 1, 2))[1:], axis=0)
    for sign, multiplier, side in ((-1, 0.5, "closed"), (1, 0.8, "open")):
        # The mean over two outputs halves the 2 of the square. The first unit stands at 0, the second at 2. To
        # z' = A z + W relu(z) + h, h adds 1, and the second unit, through A or W, adds 2.
        first, second = (0 - mean[0]) / (1 - multiplier), (2 - mean[1]) / 0.5
        known = float(np.sqrt(first**2 * (1 + 2**2) + second**2 * (1 + 2**2 + 2**2)))
        ours = gradient_norm(at_border(sign * 1e-8), length, settled=True)
        # At the beginning of the window sensitivities have not grown yet: a share of 1 / (T (1 - multiplier)).
        name, allowed = f"gradient at a border collision, gate {side}", 2 * known / (length * (1 - multiplier))
        source = f"one-sided limit, with means of the data ({LOSS_JUMPS})"
        found.append(Row(name, known, ours, allowed, source, call))
    return found


def through_time() -> list[Row]:
    """Compare the growth of tangents in a chaotic and in a stable network with its first exponent."""
    found, time = [], np.arange(1, STEPS + 1)
    for gain, what in ((2.0, "stable fixed point"), (4.0, "chaos")):
        model = network(gain)
        z0 = np.random.default_rng(0).normal(size=(STARTS, model.num_states))
        settings = {"steps": 20_000, "warmup": WARMUP, "num_exponents": 2, "in_axes": (None, 0, None)}
        exponent = cx.lyapunov_spectrum(model, z0, progress=False, **settings).pool()
        norms = gradient_norms(model, np.stack([cx.simulate(model, z, WARMUP)[-1] for z in z0]))
        slopes = np.array([np.polyfit(time[STEPS // 4 :], one[STEPS // 4 :], 1)[0] for one in norms])
        # Each start has a slope of its own: four standard errors of their mean, and of the exponent; and what the
        # second direction still has in it where the slope begins.
        allowed = 4 * float(np.hypot(np.std(slopes, ddof=1) / np.sqrt(STARTS), exponent.standard_errors[0]))
        allowed += float(np.exp((exponent.exponents[1] - exponent.exponents[0]) * STEPS / 4))
        name, source = f"slope of ln (norm of d z_T / d z_0), {what}", f"the first exponent ({CHAOS})"
        call = "jax.jacfwd(model), cx.lyapunov_spectrum(model, ..)"
        found.append(Row(name, float(exponent.exponents[0]), float(np.mean(slopes)), allowed, source, call))
    return found


def end_gradient(alpha: float, length: int) -> float:
    """Give the gradient at the end of a window, times its length, of one unit that expands by 3/2 in each step.

    It rests at its fixed point, to which the data pull it; they are off in the last row alone, which is only compared.
    """
    series = np.zeros((length + 1, 1))
    series[-1] = 1e-3
    forcing = cx.GeneralizedForcing(alpha) if alpha else cx.FreeRunning()
    return length * over_window(cx.PLRNN(A=[MULTIPLIER], W=[[0.0]], h=[0.0]), series, forcing)


def forced() -> list[Row]:
    """Compare growth without forcing, with too little, with just enough, and with more."""
    found, (short, long) = [], (100, 200)
    call = "cx.fit(model, series, forcing=cx.GeneralizedForcing(alpha), ..).gradient_norms"
    for alpha in (0.0, 0.2, 0.5):
        factor = (1 - alpha) * MULTIPLIER
        # The derivative is the sum of the powers of this factor, which for long windows is the largest of them.
        known, allowed = float(np.log(max(factor, 1.0))), float(max(factor, 1 / factor) ** -short) + 1e-9
        ours = float(np.log(end_gradient(alpha, long) / end_gradient(alpha, short))) / (long - short)
        name = f"growth of the gradient a step, multiplier 3/2, alpha = {alpha}"
        source = f"max(0, ln((1 - alpha) 3/2)) ({FORCING if alpha else CHAOS})"
        found.append(Row(name, known, ours, allowed, source, call))
    bound = 1 - 1 / MULTIPLIER
    ours, source = end_gradient(bound, long) / end_gradient(bound, short), f"as long as the window ({FORCING})"
    name = "gradient at alpha = 1 - 1 / multiplier: twice the window by once"
    return [*found, Row(name, 2.0, ours, 1e-9, source, call)]
