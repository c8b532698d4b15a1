"""Jumps of the loss that are bifurcations: `python examples/loss_jumps.py [PICTURE.png] [--seeds N]`.

After Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training" (2023). A network of two
units with a stable fixed point, reached slowly, is the teacher. Students, PLRNNs of two units, learn its orbit by plain
gradient descent (the norm of the gradient is clipped at 10, else runs that jump never come back), free running; with
generalized forcing, alpha = 0.1 as in the paper; and with alpha above 1 - 1/|J|, measured at every update. All models
of every run are tracked: their cycles, and every event between one update and the next.

Prints, over all seeds, the events by type, and the jumps of the loss with those that have a bifurcation within one
step, beside the number that would have one by chance; in all, and after update 100. A bifurcation close by need not be
the reason: where a stable cycle is lost or gained from the model before the jump to that after it, it is. Draws
the surroundings of the latest jump up, of a free run, at which one is lost. What 20 seeds give is in docs/training.md.
"""

import argparse
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import optax

import cyclax as cx

STEPS, LENGTH, ORDERS = 2000, 100, 4
# Before, a run is still finding its way; jumps are many.
SETTLED = 100
# Models that are drawn to each side of a jump.
BESIDE = 25
FORCINGS = {
    "free running": cx.FreeRunning(),
    "alpha = 0.1": cx.GeneralizedForcing(0.1),
    "alpha above the bound": cx.GeneralizedForcing(cx.Adaptive(cx.WeightBound(), every=1)),
}


def teacher() -> cx.PLRNN:
    """Give a network with a fixed point at (1.5, 1), both gates open, with multipliers 0.95 and 0.5."""
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    P = turn @ np.diag([0.95, 0.5]) @ turn.T
    A = np.array([0.5, 0.4])
    return cx.PLRNN(A=A, W=P - np.diag(A), h=(np.eye(2) - P) @ np.array([1.5, 1.0]))


def student(seed: int) -> cx.PLRNN:
    """Draw a network to train."""
    rng = np.random.default_rng(seed)
    return cx.PLRNN(A=rng.uniform(0.3, 0.9, 2), W=0.6 * rng.normal(size=(2, 2)), h=0.2 * rng.normal(size=2))


def tracked(forcing, seeds: int) -> list[cx.Track]:
    """Train students, keep the model of every update, and track them all."""
    series = cx.simulate(teacher(), [-1.0, 0.5], LENGTH)
    runs = cx.fit(
        [student(seed) for seed in range(seeds)],
        series,
        forcing=forcing,
        optimizer=optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.005)),
        steps=STEPS,
        key=0,
        batch=1,  # the series is one window: the gradient is exact, and every step the same
        length=LENGTH,
        dtype=np.float64,
        checkpoint_every=1,
    )
    return [cx.track(run, ORDERS, key=0, progress=False) for run in runs]


def summary(name: str, tracks: list[cx.Track]) -> None:
    """Print what happened in all runs of one kind."""
    types = Counter(event.type for track in tracks for event in track.events)
    transcritical = sum("degenerate transcritical" in track.types for track in tracks)
    final = np.median([track.losses[-2] for track in tracks])
    print(f"\n{name}: {len(tracks)} runs, final loss of the training {final:.3g} (median)")
    print(f"  events: {', '.join(f'{number} {kind}' for kind, number in types.most_common()) or 'none'}")
    print(f"  runs with a degenerate transcritical bifurcation: {transcritical}")
    for when, since in (("in all", 0), (f"after update {SETTLED}", SETTLED)):
        said = [track.explained(since=since) for track in tracks]
        changed = sum(
            stable_change(jump, track) != 0 for track in tracks for jump in track.jumps if jump.first >= since
        )
        print(
            f"  jumps {when}: {sum(one.jumps for one in said)} in {sum(one.jumps > 0 for one in said)} runs, "
            f"{sum(one.explained for one in said)} with a bifurcation within one step; by chance "
            f"{sum(one.jumps * one.chance for one in said):.2f} would have one; "
            f"a stable cycle lost or gained at {changed}"
        )


def stable_change(jump: cx.Jump, track: cx.Track) -> int:
    """Count how many stable cycles are gained across a jump, negative if they are lost."""
    before, after = (sum(track.stable_counts[model].values()) for model in (jump.first, jump.last))
    return after - before


def main() -> None:
    """Train, track, print and draw."""
    parser = argparse.ArgumentParser(description="Bifurcations behind the jumps of the loss.")
    parser.add_argument("picture", nargs="?", default="loss_jumps.png")
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    free: list[cx.Track] = []
    for name, forcing in FORCINGS.items():
        tracks = tracked(forcing, arguments.seeds)
        summary(name, tracks)
        if name == "free running":
            free = tracks
    lost = [
        (jump.step, seed)
        for seed, track in enumerate(free)
        for jump in track.jumps
        if jump.after > jump.before and stable_change(jump, track) < 0
    ]
    if not lost:
        print("no free run jumps where a stable cycle is lost: nothing to draw; try more seeds")
        return
    step, seed = max(lost)
    chosen = free[seed]
    first, last = max(step - BESIDE, 0), min(step + BESIDE, len(chosen) - 1)
    print(f"\nfree run {seed}:\n{chosen}")
    for jump in chosen.jumps:
        if first <= jump.step <= last:
            print(f"  {jump}")
    axes = cx.plot.track(chosen, span=(first, last))
    axes[0].set_title(f"free running, seed {seed}", loc="right", fontsize="small")
    axes[-1].set_xlabel("update")
    plt.savefig(arguments.picture, dpi=150, bbox_inches="tight")
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
