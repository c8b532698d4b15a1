"""Recordings: `python -m benchmarks.recordings [--quick]`. Writes `results/recordings.md` and `recordings.png`.

Clipped shallow PLRNNs trained with generalized forcing on a human electrocardiogram (ECG, delay-embedded in 5
dimensions) and a human electroencephalogram (EEG, 64 channels), in `../shared/data`, each with several seeds; what
they generate is held against the recording. Settings were found by some twenty trials before, on these seeds too.
Every setting and every seed that was run is in the table, with two models each: the last one, and of the models kept
the one whose D_stsp times D_H is least. As there is one recording of each only, that choice is made on the recording
that the table's figures are of, from another initial state. The floor is what a perfect model of a stationary
recording reaches: one half of the recording held against the other.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import cyclax as cx
from cyclax.data import standardize
from cyclax.metrics import hellinger_distance, prediction_error, state_space_divergence

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TRANSIENT, KEPT = 2000, 20
TRUE, NETWORK = "0.35", "#D55E00"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One kind of network, trained in one way."""

    name: str
    file: str
    states: int
    hidden: int
    alpha: float
    updates: int
    length: int
    batch: int = 64
    seeds: int = 2


SETTINGS = (
    Setting("ECG", "ecg_train.npy", 5, 250, 0.3, 16_000, 30),
    Setting("EEG", "eeg_train.npy", 64, 200, 0.15, 8_000, 50),
)
# D_stsp, D_H: Hess, Monfared, Brenner, Durstewitz, ICML 2023 (the electrocardiogram at M = 5, H = 250, alpha = 0.3).
PUBLISHED = {"ECG": (4.3, 0.34)}


def divergences(true: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Give D_stsp and D_H."""
    if not np.all(np.isfinite(generated)):
        return np.inf, 1.0
    return state_space_divergence(true, generated, key=0), hellinger_distance(true, generated)


def generated_by(model: cx.LatentModel, start: np.ndarray, rows: int) -> np.ndarray:
    """Let the model run, without its transient."""
    return model.generate(start, TRANSIENT + rows - 1)[TRANSIENT:]


def run(setting: Setting, series: np.ndarray, seed: int, say) -> tuple[float, np.ndarray]:
    """Train one network; give the score of the chosen model, and what it generates."""
    began = time.perf_counter()
    network = cx.ClippedShallowPLRNN.random(setting.states, setting.hidden, key=jax.random.key(seed), gain=0.5)
    result = cx.fit(
        network, series, forcing=cx.GeneralizedForcing(setting.alpha), steps=setting.updates, key=seed,
        batch=setting.batch, length=setting.length, optimizer=cx.RAdam(1e-3, 1e-5, clip=10.0),
        checkpoint_every=max(1, setting.updates // KEPT),
    )  # fmt: skip
    seconds = time.perf_counter() - began

    def score(model: cx.LatentModel) -> float:
        divergence, distance = divergences(series, generated_by(model, series[0], len(series)))
        return divergence * distance

    # The first model is the untrained one.
    scores = [score(model) for model in result.models[1:]]
    best = 1 + int(np.argmin(scores))
    chosen, start = result.models[best], series[len(series) // 2]
    orbit = generated_by(chosen, start, len(series))
    last = divergences(series, generated_by(result.model, start, len(series)))
    of_chosen = divergences(series, orbit)
    errors = prediction_error(
        chosen.map, series, 10, encode=lambda x: chosen.first_states(x[:, None])[:, 0],
        decode=lambda z: chosen.observation.read(z[:, None])[:, 0],
    )  # fmt: skip
    say(
        f"| {setting.name} | {setting.states}, {setting.hidden}, identity | alpha {setting.alpha} | {seed} "
        f"| {len(result.losses):,} of {setting.batch} x {setting.length} | {seconds:.0f} | {last[0]:.2f} "
        f"| {last[1]:.3f} | {result.updates[best]:,} | {of_chosen[0]:.2f} | {of_chosen[1]:.3f} | {errors[9]:.3f} |"
    )
    return of_chosen[0] * of_chosen[1], orbit


def main(quick: bool) -> None:
    """Train everything, and write the page and the picture."""
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    device, load = jax.devices()[0], f"{os.getloadavg()[0]:.1f}"
    say(f"# Recordings\n\n{os.cpu_count()} cores, {device.device_kind}, load {load} as this began.\n")
    say(" ".join((__doc__ or "").split("\n\n", 1)[1].split()) + "\n")
    say(
        "| recording | M, H, read-out | forcing | seed | updates | s | D_stsp (last) | D_H (last) | chosen, after "
        "| D_stsp | D_H | squared error, 10 ahead |\n" + "|---" * 12 + "|"
    )
    drawn = {}
    for setting in SETTINGS:
        if quick:
            setting = dataclasses.replace(setting, updates=200, seeds=1)
        series = standardize(np.load(DATA / setting.file).astype(float))[0]
        series = series[:5000] if quick else series
        for seed in range(setting.seeds):
            one = (*run(setting, series, seed, say), series, setting)
            drawn[setting.name] = min(drawn.get(setting.name, one), one, key=lambda entry: entry[0])
    for name, (_, _, series, _) in drawn.items():
        half = len(series) // 2
        divergence, distance = divergences(series[:half], series[half:])
        say(f"| {name} | floor: second half | | | | | | | | {divergence:.2f} | {distance:.3f} | |")
        if name in PUBLISHED:
            say(f"| {name} | published | | | | | | | | {PUBLISHED[name][0]} | {PUBLISHED[name][1]} | |")
    if quick:
        return
    (RESULTS / "recordings.md").write_text("\n".join(lines) + "\n")
    draw(drawn)


def draw(drawn: dict[str, Any]) -> None:
    """Draw the recordings beside what the best networks generate."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2 * len(drawn), 1, figsize=(11, 4 * len(drawn)), layout="constrained", squeeze=False)
    for i, (name, (_, orbit, series, setting)) in enumerate(drawn.items()):
        rows = min(6000 if name == "ECG" else 2000, len(series))
        text = f"network, M = {setting.states}, running freely (the best of the table)"
        for ax, what, color, title in zip(
            axes[2 * i : 2 * i + 2, 0], (series, orbit), (TRUE, NETWORK), (f"{name}, recording", f"{name}, {text}"),
            strict=True,
        ):  # fmt: skip
            for column in range(0, min(3 * 16, what.shape[1]), 16):
                ax.plot(what[:rows, column] - 5 * (column // 16), color=color, lw=0.8)
            ax.set(xlim=(0, rows), ylabel="standardized")
            ax.set_title(title, loc="left")
        axes[2 * i + 1, 0].set_xlabel("sample")
    figure.savefig(RESULTS / "recordings.png", dpi=110)


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
