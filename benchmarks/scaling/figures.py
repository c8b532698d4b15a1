"""The figures of the page."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.recall import SHARES
from benchmarks.scaling.families import TARGETS
from benchmarks.scaling.published import PUBLISHED_FITS, PUBLISHED_WIDTHS, PUBLISHED_WORDS, order_fit
from benchmarks.scaling.rows import Row
from cyclax.plot.style import BESIDE, COLORS

# Column of a row, what it counts, and its look: told apart by marker and dashes as well as by color.
WORK = {
    "uniform_solves": ("SCYFI from uniform words: solves", COLORS[0], "o", "-"),
    "both_solves": ("SCYFI from both kinds of starts: solves", COLORS[4], "s", "-"),
    "pieces": ("path following: pieces", COLORS[1], "^", "-"),
    "nodes": ("proof: nodes", COLORS[2], "D", ":"),
}
# Where the same is counted until the first is known.
FIRST = {"uniform_solves": "uniform_first", "both_solves": "both_first", "pieces": "pieces_first"}
_PUBLISHED = "SCYFI as published (its fit, its draws)"


def middle(numbers: list[float | None]) -> tuple[float, float, float]:
    """Give quartiles and median (lower quartile, median, upper); None counts as more than any number."""
    ordered = np.sort([np.inf if number is None else float(number) for number in numbers])
    lower, median, upper = ((len(ordered) - 1) * share for share in (0.25, 0.5, 0.75))
    return ordered[int(np.floor(lower))], ordered[int(np.ceil(median))], ordered[int(np.ceil(upper))]


def axes_of(number: int, size: tuple[float, float]):
    """Give a figure, and so many axes in two columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    columns = min(number, 2)
    return figure, figure.subplots(-(-number // columns), columns, squeeze=False).ravel()


def titled(ax, title: str) -> None:
    """Give axes a title and a grid."""
    ax.set_title(title, loc="left")
    ax.grid(alpha=0.25)


def dimension(rows: list[Row], path: Path) -> None:
    """Draw work against M: a panel for each family, medians and quartiles."""
    figure, axes = axes_of(4, (12, 8))
    for ax, target in zip(axes, TARGETS, strict=True):
        some = [row for row in rows if row["target"] == target and row["cycles"]]
        sizes = sorted({row["M"] for row in some})
        for column, (label, color, marker, dashes) in WORK.items():
            quartiles = []
            for M in sizes:
                of = [row for row in some if row["M"] == M]
                # A proof that was not finished took more nodes than are counted.
                quartiles.append(
                    middle([None if column == "nodes" and not row["proved"] else row[column] for row in of])
                )
            low, mid, high = (np.maximum(part, 1) for part in np.array(quartiles).reshape(-1, 3).T)
            known = np.isfinite(mid)
            x = np.array(sizes)
            ax.plot(x[known], mid[known], dashes, color=color, marker=marker, ms=5, label=label)
            top = np.where(np.isfinite(high), high, np.maximum(mid, 1e6))
            ax.fill_between(x[known], low[known], top[known], color=color, alpha=0.12, lw=0)
            ax.plot(x[~known], np.full((~known).sum(), 5e5), ls="", marker=marker, ms=6, mfc="none", color=color)
        fit, (first, last) = PUBLISHED_FITS[target]
        M = np.linspace(first, last, 200)
        ax.plot(M, np.maximum(fit(M), 0.5), "--", color="black", lw=1.8, label=_PUBLISHED)
        M = np.linspace(2, 127, 200)
        ax.plot(M, (2.0**M + 1) / 2, "-.", color="0.55", label="chance, (2^M + 1)/2")
        ax.set(yscale="log", xscale="log", ylim=(0.7, 1e6), xlim=(1.8, 140), xlabel="latent dimension M")
        ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        titled(ax, f"mean largest |eigenvalue| {target}")
        ax.set_ylabel("work to the complete set")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def widths(rows: list[Row], path: Path) -> None:
    """Draw work against M until the first fixed point (solid) and until all (dotted), beside what is published."""
    figure, axes = axes_of(4, (12, 8))
    for ax, (width, target) in zip(axes, PUBLISHED_WIDTHS.items(), strict=False):
        for column, first_column in FIRST.items():
            label, color, marker, _ = WORK[column]
            both = (first_column, "-", f"{label} until the first"), (column, ":", "the same until all")
            for counted, dashes, name in both:
                of = [row for row in rows if row["target"] == width and row["cycles"]]
                points = [
                    (M, middle([row[counted] for row in of if row["M"] == M])[1]) for M in {row["M"] for row in of}
                ]
                x, mid = np.array(sorted(point for point in points if np.isfinite(point[1]))).reshape(-1, 2).T
                ax.plot(x, mid, dashes, color=color, marker=marker, ms=5 if dashes == "-" else 3, label=name)
        fit, (first, last) = PUBLISHED_FITS[target]
        M = np.linspace(first, last, 200)
        ax.plot(M, fit(M), "--", color="black", lw=1.8, label=_PUBLISHED)
        ax.set(yscale="log", xlim=(0, last + 5), ylim=(1, 1e6), xlabel="latent dimension M")
        titled(ax, f"weights in +-{width:g} (published as {target})")
        ax.set_ylabel("solves, or pieces (medians)")
    axes[3].axis("off")
    axes[3].legend(*axes[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.savefig(path, dpi=110)


def regions(rows: list[Row], path: Path) -> None:
    """Draw the distinct words left after each move."""
    figure, (ax,) = axes_of(1, (9, 4.6))
    for target, color, marker in zip((*TARGETS, None), COLORS, "os^Dv", strict=False):
        counts = np.array([row["words"] for row in rows if row["target"] == target], float)
        mean = counts.mean(0)
        error = counts.std(0, ddof=1) / np.sqrt(len(counts))
        x = np.arange(len(mean))
        label = f"ours, {target or 'normal weights'} (mean, standard error)"
        ax.errorbar(x, mean, error, color=color, marker=marker, ms=4, capsize=2, label=label)
    moves, words = zip(*PUBLISHED_WORDS.items(), strict=True)
    ax.plot(moves, words, ls="", color="black", marker="x", ms=7, label="published (mean)")
    ax.set_xticks(range(0, 21, 2))
    ax.set(yscale="log", xlabel="moves from word to word", ylabel="distinct words left, of 1,024")
    titled(ax, "10-D networks: regions still visited")
    ax.legend(**BESIDE)
    figure.savefig(path, dpi=110)


def orders(rows: list[Row], path: Path) -> None:
    """Draw the work against the order."""
    figure, (ax,) = axes_of(1, (9, 4.6))
    for column in FIRST:
        label, color, marker, dashes = WORK[column]
        points = [
            (row["order"], *middle([one[column] for one in some]))
            for row in rows
            if (some := [one for one in row["rows"] if one["cycles"] and one["paths_followed"] + (column != "pieces")])
        ]
        points = [point for point in points if np.isfinite(point[2])]
        if points:
            x, low, mid, high = np.array(points).T
            ax.plot(x, mid, dashes, color=color, marker=marker, ms=5, label=label)
            ax.fill_between(x, low, np.where(np.isfinite(high), high, mid), color=color, alpha=0.12, lw=0)
    for column in ("uniform_solves", "both_solves"):
        _, color, marker, _ = WORK[column]
        firsts = [(row["order"], middle([one[FIRST[column]] for one in row["rows"]])[1])
                  for row in rows if any(one["cycles"] for one in row["rows"])]  # fmt: skip
        ax.plot(*np.array(firsts).T, ":", color=color, marker=marker, ms=3, label="the same, until the first")
    k = np.linspace(1, 50, 50)
    ax.plot(k, order_fit(k), "--", color="black", label=_PUBLISHED)
    ax.set(yscale="log", xlabel="order k", ylabel="work until all (the first) k-cycles are known")
    titled(ax, "2-D networks with an attracting k-cycle (median, quartiles)")
    ax.legend(**BESIDE)
    figure.savefig(path, dpi=110)


def chaos(rows: list[Row], path: Path) -> None:
    """Draw the work to 90 and 100 % of the cycles against their number, by source of words."""
    maps = sorted({row["name"].rsplit(",", 1)[0] for row in rows})
    figure, axes = axes_of(max(2, len(maps)), (12, 4.6))
    looks = "os^Dvx"
    for ax, name in zip(axes, maps, strict=False):
        lines = defaultdict(list)
        for row in sorted((row for row in rows if row["name"].startswith(name)), key=lambda row: row["cycles"]):
            for kind, needed in row["work"].items():
                lines[kind].append((row["cycles"], needed[SHARES.index(0.9)], needed[-1]))
        for (kind, points), color, marker in zip(lines.items(), COLORS, looks, strict=False):
            for column, dashes in ((2, "-"), (1, ":")):
                known = [(point[0], point[column]) for point in points if point[column] is not None]
                if known:
                    label = kind if column == 2 else None
                    ax.plot(*zip(*known, strict=True), dashes, color=color, marker=marker, ms=5, label=label)
        ax.set(xscale="log", yscale="log", xlabel="cycles of just one order", ylabel="solves, or pieces, until found")
        ax.minorticks_off()
        counts = sorted({count for points in lines.values() for count, *_ in points})
        ax.set_xticks(counts, [str(count) for count in counts])
        titled(ax, f"{name}: all (solid), 90 % (dotted)")
    axes[len(maps) - 1].legend(**BESIDE)
    figure.savefig(path, dpi=110)
