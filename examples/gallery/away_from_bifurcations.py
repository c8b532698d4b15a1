"""Free running, the loss jumps where the stable fixed point is lost; a term that keeps it from that leaves few jumps.

Networks of two units that have a stable fixed point learn the orbit of another one, as in examples/loss_jumps.py. A
number after the name of the picture says how many; docs/training.md tells what 20 do, and where the term does not help.
"""

import itertools
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import optax
from examples.loss_jumps import LENGTH, student, teacher

import cyclax as cx

STEPS, NETWORKS = 200, 12
AWAY = cx.AwayFromBifurcations(1.0, 0.1, orders=1, every=4)


def is_stable(model: cx.PLRNN) -> bool:
    """Say whether it has a stable fixed point."""
    return any(cycle.stability == "stable" for cycle in cx.find_cycles(model, 1, key=0, progress=False))


def jumps_up(losses: np.ndarray) -> list[float]:
    """Give by what factor the loss grows in each jump in which it more than doubles."""
    factors = [losses[last + 1] / losses[first] for first, last, _ in cx.JumpRule().jumps(losses)]
    return [factor for factor in factors if factor > 2]


def main(picture: str = "away_from_bifurcations.png", networks: int | str = NETWORKS) -> None:
    """Train, print and draw."""
    warnings.filterwarnings("ignore", "fit: run .*no stable cycle to keep")  # the printed line says in how many
    series = cx.simulate(teacher(), np.array([-1.0, 0.5]), LENGTH)
    models = list(itertools.islice(filter(is_stable, map(student, itertools.count())), int(networks)))
    settings = {"forcing": cx.FreeRunning(), "steps": STEPS, "key": 0, "batch": 1, "length": LENGTH}
    settings |= {"optimizer": optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.005)), "dtype": np.float64}
    _, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for ax, (name, term) in zip(axes, {"free running": (), "kept away from bifurcations": AWAY}.items(), strict=True):
        runs = cx.fit(models, series, regularizers=term, **settings)
        up = [jumps_up(run.losses) for run in runs]
        jumped, last = sum(map(bool, up)), np.median([np.median(run.losses[-20:]) for run in runs])
        print(f"{name}: {sum(map(len, up))} jumps up, in {jumped} of {len(runs)} networks; median last loss {last:.3g}")
        lost = sum(bool(run.report["notes"]) for run in runs)
        print(f"  networks that were at some look without a stable fixed point: {lost if term else 'not looked'}")
        for run, some in sorted(zip(runs, up, strict=True), key=lambda pair: bool(pair[1])):
            ax.plot(run.losses, lw=1, color="black" if some else "#56B4E9", alpha=0.6 if some else 1)
        ax.plot([], [], color="black", label=f"{jumped} networks whose loss jumps")
        ax.plot([], [], color="#56B4E9", label=f"the {len(runs) - jumped} others")
        ax.set(xlabel="update", yscale="log", title=name)
        ax.legend(frameon=False)
    axes[0].set_ylabel("loss, without the term")
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
