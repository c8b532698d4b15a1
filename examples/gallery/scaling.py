"""How much work a complete set of fixed points takes as networks grow: medians and quartiles of the measured runs.

Drawn from benchmarks/results/scaling.jsonl, which `python -m benchmarks.scaling` writes. Medians beyond what a run was
given are left out.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from cyclax.plot.style import COLORS

WORK = {
    "uniform_solves": ("SCYFI from uniform words: solves", COLORS[0], "o", "-"),
    "both_solves": ("SCYFI from both kinds of starts: solves", COLORS[4], "s", "--"),
    "pieces": ("path following: pieces", COLORS[1], "^", "-."),
}


def main(picture: str = "scaling.png") -> None:
    """Read, print and draw."""
    lines = Path("benchmarks/results/scaling.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["part"] == "dimension" and row["cycles"]]
    targets = sorted({row["target"] for row in rows})
    figure, axes = plt.subplots(1, len(targets), figsize=(3.2 * len(targets), 4), sharey=True, layout="constrained")
    for ax, target in zip(axes, targets, strict=True):
        some = [row for row in rows if row["target"] == target]
        sizes, ends = np.array(sorted({row["M"] for row in some})), []
        for column, (label, color, marker, line) in WORK.items():
            work = [[np.inf if row[column] is None else row[column] for row in some if row["M"] == M] for M in sizes]
            low, middle, high = np.maximum([np.quantile(w, (0.25, 0.5, 0.75), method="higher") for w in work], 1).T
            known = np.isfinite(middle)
            ax.plot(sizes[known], middle[known], color=color, marker=marker, ls=line, ms=4, label=label)
            ax.fill_between(sizes[known], low[known], np.minimum(high, 1e6)[known], color=color, alpha=0.15, lw=0)
            ends.append(f"{label.split()[0]} {middle[known][-1]:.3g} at M = {sizes[known][-1]}")
        print(f"mean largest |eigenvalue| {target}: medians of {ends[0]}, {ends[-1]}")
        M = np.linspace(2, sizes[-1], 200)
        ax.plot(M, (2.0**M + 1) / 2, ":", color="0.4", label="chance: (2^M + 1) / 2")
        ax.set(xscale="log", yscale="log", ylim=(0.8, 1e6), xlabel="latent dimension M")
        ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.set_xlim(1.8, 1.1 * sizes[-1])
        ax.set_title(f"mean largest |eigenvalue| {target}", fontsize="small")
    axes[0].set_ylabel("work to the complete set")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    plt.savefig(picture, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
