"""The page of results, from the rows there are."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.scaling import dimension, figures, orders, rates_page, regions, trained
from benchmarks.scaling.families import TARGETS
from benchmarks.scaling.figures import FIRST, WORK, middle
from benchmarks.scaling.published import PUBLISHED_FITS, PUBLISHED_WIDTHS, PUBLISHED_WORDS, order_fit
from benchmarks.scaling.rows import Row, kept
from benchmarks.search import figure, processor, table

# Rows of fewer dimensions are left out of the fits of growth.
_FITTED_FROM = 5
_LIMIT = "never"


def write(folder: Path) -> Path:
    """Write `scaling.md` and its figures beside the rows; give its path."""
    rows = kept(folder / "scaling.jsonl")
    parts = {part: [row for row in rows if row["part"] == part] for part in _PARTS}
    loads = [row["load"] for row in rows]
    text = [
        "# How it scales",
        f"`python -m benchmarks.scaling`: {processor()}. The load was {min(loads):.0f} to {max(loads):.0f} while the "
        f"rows were made ({np.median(loads):.0f} in the middle; {os.cpu_count()} cores, shared): **seconds are unsure "
        "by a factor of two and more**, and only those of one row may be held against each other. Solves, pieces, "
        "paths and nodes are counted: they do not depend on the machine. All rows are in `scaling.jsonl`.",
    ]
    for part, (write_part, draw) in _PARTS.items():
        if parts[part]:
            text += write_part(parts[part])
            if draw is not None:
                draw(parts[part], folder / f"scaling_{part}.png")
                text.append(f"![{part}](scaling_{part}.png)")
    text += [
        "## Not here",
        "Whole searches beside loops, up to M = 100, k = 30: [search.md](search.md). A GPU: "
        "[accelerators.md](accelerators.md).",
    ]
    path = folder / "scaling.md"
    path.write_text("\n\n".join(text) + "\n", "utf-8")
    return path


def number(value: float | None) -> str:
    """Write a count; what is not reached within the limit, so."""
    return _LIMIT if value is None or not np.isfinite(value) else figure(float(value))


def growth(rows: list[Row], column: str, published: float) -> str:
    """Fit log(work) = a + b M to the rows in which the complete set was reached; give b, its error, and how many.

    And whether it is flatter or steeper, by two errors, than what is published.
    """
    some = [
        row for row in rows if row["M"] >= _FITTED_FROM and row.get(column) and (column != "nodes" or row["proved"])
    ]
    sizes = np.array([row["M"] for row in some], float)
    if len(set(sizes)) < 3:
        return "-"
    (slope, _), covariance = np.polyfit(sizes, np.log([row[column] for row in some]), 1, cov=True)
    error = np.sqrt(covariance[0, 0])
    told = (
        "flatter" if slope + 2 * error < published else "steeper" if slope - 2 * error > published else "not told apart"
    )
    return f"{slope:.3f} +- {error:.3f} ({len(some)}): {told}"


def growth_published(rows: list[Row], target: float) -> float:
    """Fit the same to the published curve at the M of these rows; NaN where they are too few."""
    curve, (first, last) = PUBLISHED_FITS[target]
    sizes = np.array([row["M"] for row in rows if max(first, _FITTED_FROM) <= row["M"] <= last], float)
    return float(np.polyfit(sizes, np.log(curve(sizes)), 1)[0]) if len(set(sizes)) > 2 else np.nan


def _is_proved(row: Row) -> bool:
    return row["proved"] or row["verdict"] == "proved complete"


def _by_dimension(rows: list[Row]) -> tuple[str, str]:
    """Write the table of work, and that of its growth."""
    lines, fits = [], []
    for target in sorted({row["target"] for row in rows}):
        of = [row for row in rows if row["target"] == target]
        for M in sorted({row["M"] for row in of}):
            some = [row for row in of if row["M"] == M]
            nonempty = [row for row in some if row["cycles"]]
            cells = [str(target), str(M), f"{np.mean([row['achieved'] for row in some]):.2f}", str(len(some)),
                     str(len(some) - len(nonempty)), str(sum(map(_is_proved, some))),
                     f"{np.mean([row['cycles'] for row in some]):.1f}"]  # fmt: skip
            for column in WORK:
                of_column = [None if column == "nodes" and not row["proved"] else row[column] for row in nonempty]
                reached = sum(value is not None for value in of_column)
                middle_one = number(middle(of_column)[1]) if of_column else "-"
                cells.append(middle_one + ("" if reached == len(of_column) else f" ({reached} of {len(of_column)})"))
            verdicts = Counter(row["verdict"] for row in some)
            told = ", ".join(f"{n} {verdict.removesuffix(' complete')}" for verdict, n in verdicts.items())
            missed = sum(row["cycles"] - row["default_found"] for row in some)
            published, (first, last) = PUBLISHED_FITS[target]
            cells += [told + (f"; **{missed} missed**" if missed else ""),
                      f"{np.median([row['default_s'] for row in some]):.2g}",
                      f"{np.median([row['proof_s'] for row in some]):.2g}",
                      number(published(M)) if first <= M <= last else "-"]  # fmt: skip
            lines.append(cells)
        nonempty = [row for row in of if row["cycles"]]
        slope = growth_published(nonempty, target)
        fits.append([str(target), *(growth(nonempty, column, slope) for column in WORK), f"{slope:.3f}"])
    names = ["solves, uniform words", "solves, both", "pieces", "proof: nodes"]
    head = ["family", "M", "achieved", "networks", "without", "proved", "fixed points", *names, "default: verdicts",
            "default, s", "proof, s", "published fit"]  # fmt: skip
    slopes = ["family", *names, "published fit, same M"]
    return table(head, lines), table(slopes, fits)


def _dimension(rows: list[Row]) -> list[str]:
    work, slopes = _by_dimension(rows)
    return [
        "## (a) Work until all fixed points are known, against the dimension",
        "A ~ U(0, 2a), W ~ U(-w, w) off the diagonal, h ~ U(-2, 2); a and w in the ratio at which, with half of the "
        "gates open, the eigenvalues of W fill a disc of radius a, and both scaled, for each M, so that the mean over "
        "networks and random regions of the largest |eigenvalue| is that of the family (*achieved*: of these "
        "networks). **The published fits are of other draws, and seem to count until the *first* fixed point**: see "
        "below.",
        f"*Complete* is what branch and bound proves within {dimension.NODES:,} nodes and {dimension.SECONDS:g} s; "
        "or the default in its time; where neither does, what they found together, which may lack some (*proved* says "
        "how many networks have a proof). *Without*: networks without a fixed point; they are left out of the medians "
        "of work. Solves are moves from word to word, start after start, until the last fixed point is "
        f"met; at most {dimension.SOLVES:,}, and {dimension.OPERATIONS:g} operations (3 M^3 each). Pieces are of paths "
        f"followed one after the other, {dimension.PATHS} at most. The default has {dimension.DEFAULT_SECONDS:g} s. "
        "Numbers are medians (the upper of two) over networks with fixed points, often very few; in brackets, in how "
        "many the complete set was reached (the proof finished), where not in all. In the figure: medians, quartiles; "
        "hollow marks at the top, where most did not get there. The solve of a uniform word itself, before the "
        "first comparison, is not counted.",
        work,
        f"Growth with M, from M = {_FITTED_FROM} on: b of log(work) = a + b M, its standard error, and how many "
        "networks. Only networks whose complete set was reached enter, so that the slopes of solves are **too small** "
        "where many were not. Flatter, or steeper, than the published fit by two errors.",
        slopes,
    ]


def _widths(rows: list[Row]) -> list[str]:
    lines, fits, means = [], [], []
    columns = [*FIRST.values(), *FIRST]
    for width in sorted({row["target"] for row in rows}):
        target = PUBLISHED_WIDTHS[width]
        of = [row for row in rows if row["target"] == width and row["cycles"]]
        mean = np.mean([row["achieved"] for row in rows if row["target"] == width])
        means.append(f"{mean:.2f} for {target}")
        curve, (first, last) = PUBLISHED_FITS[target]
        for M in sorted({row["M"] for row in rows if row["target"] == width}):
            drawn = [row for row in rows if row["target"] == width and row["M"] == M]
            some = [row for row in of if row["M"] == M]
            cells = [str(width), str(M), f"{np.mean([row['achieved'] for row in drawn]):.2f}", str(len(drawn)),
                     str(len(drawn) - len(some)), str(sum(map(_is_proved, drawn)))]  # fmt: skip
            cells += [f"{np.mean([row['cycles'] for row in drawn]):.1f}"]
            cells += [number(middle([row[column] for row in some])[1]) if some else "-" for column in columns]
            lines.append([*cells, number(curve(M)) if first <= M <= last else "-"])
        slope = growth_published(of, target)
        fits.append([str(width), *(growth(of, column, slope) for column in [*columns, "nodes"]), f"{slope:.3f}"])
    names = [f"{until}: {kind}" for until in ("first", "all") for kind in ("uniform words", "both", "pieces")]
    head = ["width", "M", "achieved", "networks", "without", "proved", "fixed points", *names, "published"]
    return [
        "## (a) again, on draws of one width in all dimensions, until the first and until all",
        "A ~ U(-1, 1), W ~ U(-width, width), h ~ U(-2, 2). The notebook of the published figure takes its counts from "
        "files that are named by such ranges of the weights, one for all dimensions, and the eigenvalues that its "
        "families are called by are about the means, over the dimensions of a fit, of those of such networks (here "
        f"{', '.join(means)}): so these draws are nearer to the published ones than those above; what A "
        "was drawn from is not said. Chance, as drawn there, is (2^M + 1)/2: the expected number of draws until *one* "
        "word is found; and the count of (b) is met by ours until the first cycle. So both are counted here: solves, "
        "and pieces of paths, until one fixed point is found, and until all are. All else as above.",
        table(head, lines),
        f"Growth with M, from M = {_FITTED_FROM} on, as above:",
        table(["width", *names, "nodes of a proof", "published fit, same M"], fits),
    ]


def _regions(rows: list[Row]) -> list[str]:
    shown = sorted(PUBLISHED_WORDS)
    lines = []
    for target in (*TARGETS, None):
        counts = np.array([row["words"] for row in rows if row["target"] == target])
        achieved = np.mean([row["achieved"] for row in rows if row["target"] == target])
        lines.append(
            [f"{target or 'normal weights'} ({achieved:.2f})", *(f"{counts[:, move].mean():.1f}" for move in shown)]
        )
    lines.append(["published", *(f"{PUBLISHED_WORDS[move]:g}" for move in shown)])
    return [
        "## (d) Regions still visited",
        f"{regions.NETWORKS} networks of {regions.NUM_STATES} states of each family of (a), and of A, W and h ~ "
        "N(0, 1), as nine of the ten published ones seem to be; from all 1,024 words, distinct words left after so "
        "many moves (means).",
        table(["family (achieved)", *map(str, shown)], lines),
    ]


def _verdicts(rows: list[Row]) -> list[str]:
    lines, remarks = [], []
    for row in rows:
        if "skipped" in row:
            remarks.append(f"- {row['name']}: skipped, {row['skipped']}")
            continue
        told = ", ".join(f"{n} {verdict.removesuffix(' complete')}" for verdict, n in row["verdicts"].items())
        others = ", ".join(f"{n} {verdict.removesuffix(' complete')}" for verdict, n in row["starts_verdicts"].items())
        numpy = f"{figure(row['numpy'])}{'' if row['plain'] else ' (general)'}"
        begun = row.get("numpy_begun")
        from_shell = None if begun is None else begun + row["numpy"]
        lines.append([row["name"], str(row["M"]), str(row["gates"]), f"1..{row['orders']}", figure(row["cold"]),
                      figure(row["kept"]), figure(row["warm"]), told, figure(row["starts_alone"]), others,
                      figure(row["numba"]), numpy, figure(from_shell),
                      "-" if from_shell is None else f"{from_shell / row['kept']:.2g}", str(row["load"])])  # fmt: skip
        remarks += [f"- {row['name']}, order {order}: {reason}" for order, reason in list(row["unsure"].items())[:3]]
    head = ["network", "M", "gates", "orders", "shell, cold", "shell, kept", "warm", "verdicts", "SCYFI() warm",
            "its verdicts", "numba", "NumPy", "NumPy, shell", "NumPy, shell / kept", "load"]  # fmt: skip
    return [
        "## (e) Time to a verdict",
        "Seconds. *Shell*: `cyclax cycles FILE --orders K --json` in a fresh process, cold with an empty folder for "
        "compiled programs, then again with what that kept. *Warm*: the second call of `find_cycles` in one process; "
        "beside it `SCYFI()` alone. numba and NumPy make as many starts for each order as that `SCYFI()` did, on one "
        "core, without the start of Python and without compilation, and give no verdict; NumPy runs 1/64 of the "
        "starts (8 at least) and its time is scaled; *NumPy, shell*: with the seconds of a process that imports NumPy "
        "and does nothing. numba has only the plain PLRNN; NumPy takes other maps *general*, "
        "as sums over gates, slower than a program of their own would be. This part, again, on an idle machine: "
        "`python -m benchmarks.scaling --only verdicts --again`.",
        table(head, lines),
        *(
            ["What is not proved, and skipped (up to three orders of a network):\n\n" + "\n".join(remarks)]
            if remarks
            else []
        ),
    ]


def _work_of_an_order(row: Row) -> tuple[list[str], list[Row]]:
    """Give the cells that a row has from the number of networks on, and the networks with cycles."""
    some = [one for one in row["rows"] if one["cycles"]]
    followed = [one for one in some if one["paths_followed"]]
    cells = [str(len(row["rows"])), str(sum(one["proved"] for one in row["rows"]))]
    cells += [f"{np.mean([one['cycles'] for one in some]):.1f}" if some else "-"]
    cells += [number(middle([one[column] for one in some])[1]) if some else "-"
              for column in ("uniform_first", "both_first", "uniform_solves", "both_solves")]  # fmt: skip
    cells += [number(middle([one["pieces"] for one in followed])[1]) if followed else "not followed" if some else "-"]
    return [*cells, number(order_fit(row["order"]))], some


_OF_AN_ORDER = ["networks", "proved", "cycles", "first: uniform words", "first: both", "solves, uniform words",
                "solves, both", "pieces", "published fit"]  # fmt: skip


def _orders(rows: list[Row]) -> list[str]:
    lines, fits = [], []
    for row in sorted(rows, key=lambda row: row["order"]):
        lines.append([str(row["order"]), *_work_of_an_order(row)[0]])
    for column, told in (("both_first", "the first cycle"), ("both_solves", "all")):
        points = [(row["order"], one[column]) for row in rows for one in row["rows"] if one.get(column) is not None]
        if len({order for order, _ in points}) > 2:
            x, y = np.array(points, float).T
            (slope, offset), covariance = np.polyfit(x, y, 1, cov=True)
            error = np.sqrt(covariance[0, 0])
            fits.append(f"until {told} n = {offset:.1f} + ({slope:.2f} +- {error:.2f}) k")
    fitted = f"Solves from both kinds of starts, least squares: {', '.join(fits)}; published: 1.91 + 0.029 k."
    return [
        "## (b) Against the order",
        "2-D networks whose regions rotate (A ~ U(0.6, 1), W12 ~ U(-1, -0.2), W21 ~ U(0.2, 1), h ~ U(-2, 2)), the "
        "first of 40,000 in which an orbit settles to a cycle of the order (orders 2 to 6 hardly occur among these). "
        "The work is counted until the *first* cycle of just this order is known, and until *all* are, saddles "
        f"included; complete by the word graph, {orders.NODES:,} nodes and {orders.SECONDS:g} s at most, else what "
        f"that and 4,096 starts found. Paths: at most {orders.PATHS}, up to order {orders.PATHS_UP_TO}.",
        table(["order", *_OF_AN_ORDER], lines),
        fitted if fits else "",
    ]


def _trained(rows: list[Row]) -> list[str]:
    lines = [[row["name"], str(row["order"]), *_work_of_an_order(row)[0]] for row in rows if "skipped" not in row]
    return [
        "## (b) again: ten states, and published and trained networks",
        "The same, of single networks, each of the order that it is known for; and of the first of 6,000 of ten states "
        "(A ~ U(0.3, 0.9), W ~ 1.1 N(0, 1) / sqrt(10), h ~ N(0, 1)) in which the orbit from 0 settles to a cycle of "
        "the order. Where the word graph does not end, complete is what the default finds within "
        f"{trained.SECONDS:g} s (*proved*, where it proves that) and the graph has left. The published fit is of 2-D "
        "networks.",
        table(["network", "order", *_OF_AN_ORDER], lines),
    ]


def _chaos(rows: list[Row]) -> list[str]:
    kinds = list(rows[0]["work"])
    lines = [
        [
            row["name"],
            str(row["cycles"]),
            *(number(row["work"][kind][-1]) if kind in row["work"] else "-" for kind in kinds),
        ]
        for row in rows
    ]
    return [
        "## (c) Against the number of cycles, in chaotic maps",
        "Solves (pieces, of paths) until all cycles of just that order are found, by the source of words; at most "
        "200,000 solves and 1,024 paths. Sets proved. Larger sets, and random networks: [recall.md](recall.md).",
        table(["map", "cycles", *kinds], lines),
    ]


_PARTS = {
    "dimension": (_dimension, figures.dimension),
    "widths": (_widths, figures.widths),
    "regions": (_regions, figures.regions),
    "verdicts": (_verdicts, None),
    "orders": (_orders, figures.orders),
    "trained": (_trained, None),
    "chaos": (_chaos, figures.chaos),
    "rates": (rates_page.write, rates_page.draw),
}
