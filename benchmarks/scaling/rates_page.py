"""The section of the page on rates, and its figure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.scaling.figures import axes_of, titled
from benchmarks.scaling.rates import CORES
from benchmarks.scaling.rows import Row
from benchmarks.search import figure, solve_flops, table
from cyclax.plot.style import BESIDE, COLORS

# From this share on something is called the limit.
_LIMIT = 0.5


def solve_bytes(num_states: int, order: int, size: int) -> int:
    """Count the bytes that a solve moves were nothing kept in caches: the Jacobian is read and written each step."""
    return 2 * size * num_states**2 * order


def piece_bytes(num_states: int, order: int) -> int:
    """Count the bytes that a piece moves: an inverse is read and written."""
    return 16 * (num_states * order) ** 2


def _of(rows: list[Row], kind: str, **wanted) -> Iterator[Row]:
    return (row for row in rows if row["kind"] == kind and all(row[name] == one for name, one in wanted.items()))


def _rate(rows: list[Row], kind: str, order: int, **wanted) -> float:
    """Give a measured rate; NaN where there is none."""
    for row in _of(rows, kind, **wanted):
        rate = row["rates"].get(str(order)) if kind == "solves" else row["rate"] if row["order"] == order else None
        if rate is not None:
            return rate
    return np.nan


def shares(rows: list[Row], M: int, order: int, dtype: str, cores: int) -> tuple[float, float]:
    """Give the shares of the GEMM peak and of the bandwidth that solves reach."""
    rate = _rate(rows, "solves", order, M=M, dtype=dtype, cores=cores)
    machine = next(_of(rows, "machine", cores=cores))
    size = np.dtype(dtype).itemsize
    return rate * solve_flops(M, order) / machine[dtype], rate * solve_bytes(M, order, size) / machine["bytes"]


def _cores(number: int) -> str:
    return f"{number} core{'s' if number > 1 else ''}"


def _percent(share: float) -> str:
    return f"{figure(100 * share)} %" if np.isfinite(share) else "-"


def _number(value: float) -> str:
    return figure(value) if np.isfinite(value) else "-"


def _solves(rows: list[Row]) -> list[str]:
    lines, reached = [], {}
    for row in _of(rows, "solves", dtype="float64", cores=CORES[-1]):
        M = row["M"]
        for order in map(int, row["rates"]):
            one, two = (_rate(rows, "solves", order, M=M, dtype="float64", cores=cores) for cores in CORES)
            single = _rate(rows, "solves", order, M=M, dtype="float32", cores=CORES[-1])
            at_one, _ = shares(rows, M, order, "float64", CORES[0])
            reached[M, order] = peak, moved = shares(rows, M, order, "float64", CORES[-1])
            lines.append([str(M), str(order), str(row["lanes"]), _number(one), _number(two), _number(two / one),
                          _percent(at_one), _percent(peak), _percent(moved), _number(single), _number(single / two),
                          f"{row['MiB']:,}", f"{row['compiled_s']:.2g}"])  # fmt: skip
    head = ["M", "k", "lanes", "1 core", "2 cores", "2 / 1", "of peak, 1 core", "of peak, 2 cores", "of bandwidth",
            "float32", "float32 / float64", "MiB", "compile s"]  # fmt: skip
    best = max(reached, key=lambda key: reached[key][0])
    worst = min(reached, key=lambda key: reached[key][0])
    bound = [f"M = {M}, k = {k}" for (M, k), (peak, _) in reached.items() if peak >= _LIMIT]
    most = max(reached, key=lambda key: reached[key][1])
    return [
        "**Solves**: moves of lanes in the kernel of the search, a second, all lanes at work; starts are not drawn and "
        "cycles not checked here ([search.md](search.md) has both). Up to M = 16, a thread on each core, as "
        "`find_cycles` does; above, the threads of XLA. *Of peak*: of the measured matrix products in the same numbers "
        "on as many cores, 2 k M^2 (M + 1) operations a solve. *Of bandwidth*: of the measured bytes on two cores, "
        "were the Jacobian of a lane read from memory and written to it at each step; above 100 %, or near it, caches "
        "hold it. The share of the roofline is the larger of the two. *MiB*: the most that the process took, JAX and "
        "its compiler included. *Compile*: of the kernel, for "
        "all orders.",
        table(head, lines),
        f"Where the limit is: on two cores {_percent(reached[best][0])} of the peak are reached at M = {best[0]}, "
        f"k = {best[1]}, and {_percent(reached[worst][0])} at M = {worst[0]}, k = {worst[1]}. "
        + (f"Half of the peak and more: {'; '.join(bound)}. " if bound else "Nowhere is it half of the peak. ")
        + f"The most that would go through memory is {_percent(reached[most][1])} of the bandwidth, at M = {most[0]}, "
        f"k = {most[1]}. What is not products: elimination (in words of few steps as many operations as they have), "
        "which LAPACK does lane by lane above M = 16; and gates, hashes, and loops over small arrays in few states, "
        "where a product is a few operations for each of them.",
    ]


def _single(rows: list[Row]) -> list[str]:
    names = ("starts", "hits", "hits_32", "same", "words", "words_32", "in_both")
    lines = [[row["network"], str(row["order"]), *(str(row[name]) for name in names)] for row in _of(rows, "float32")]
    if not lines:
        return []
    head = ["starts in float32", "k", "starts", "hits, float64", "hits, float32", "the same word", "words, float64",
            "words, float32", "in both"]  # fmt: skip
    return [
        "**Screening in float32**: the same starts, moved in both until they meet a word again (64 moves at most); "
        "nothing is checked afterwards. `find_cycles` screens in float64: this is what it would gain and lose.",
        table(head, lines),
    ]


def _pieces(rows: list[Row]) -> list[str]:
    lines = []
    for row in _of(rows, "pieces", cores=CORES[-1]):
        M, order = row["M"], row["order"]
        one, two = (_rate(rows, "pieces", order, M=M, cores=cores) for cores in CORES)
        moved = two * piece_bytes(M, order) / next(_of(rows, "machine", cores=CORES[-1]))["bytes"]
        lines.append([str(M), str(order), str(M * order), str(row["lanes"]), _number(one), _number(two),
                      _number(two / one), _percent(moved), f"{row['MiB']:,}", f"{row['first_s']:.2g}"])  # fmt: skip
    if not lines:
        return []
    head = ["M", "k", "unknowns", "lanes", "pieces, 1 core", "pieces, 2 cores", "2 / 1", "of bandwidth", "MiB",
            "first s"]  # fmt: skip
    return [
        "**Pieces** of paths a second, the checking of what they meet included: of the fastest block of paths. *Of "
        "bandwidth*: were the inverse of a "
        "path (k M x k M) read from memory and written to it in each piece; 6 operations for each 16 bytes, so that "
        "products are never the limit. *First*: seconds of the first paths, mostly compilation.",
        table(head, lines),
    ]


def _maps(rows: list[Row]) -> list[str]:
    lines = [
        [row["kind"], f"{row['number']:,}", str(row["cores"]), str(row["devices"]), figure(row["cold_s"]),
         figure(row["warm_s"]), figure(row["rate"]), f"{row['MiB']:,}"]
        for kind in ("cells", "models")
        for row in _of(rows, kind)
    ]  # fmt: skip
    if not lines:
        return []
    head = ["what", "number", "cores", "devices", "cold s", "warm s", "a second", "MiB"]
    return [
        "**Cells** of a map (`scan`: plrnn_2d_order40 over A[0], A[1], orders 1 to 8) and **models** of a track "
        "(`track`: on a line between two shallow PLRNNs, M = 6, H = 20, orders 1 to 4). Devices are simulated "
        "(`jax_num_cpu_devices`) on the same two cores: they show what dividing the work costs.",
        table(head, lines),
    ]


def write(rows: list[Row]) -> list[str]:
    """Write the section."""
    machines = "; ".join(
        f"{_cores(row['cores'])}: {row['float64'] / 1e9:.3g} GFLOP/s in float64, "
        f"{row['float32'] / 1e9:.3g} in float32, {row['bytes'] / 1e9:.3g} GB/s"
        for row in _of(rows, "machine")
    )
    loads = [row["load"] for row in rows]
    return [
        "## (f) Rates: what of the machine is used",
        "Each row in a process of its own, pinned to its cores (a load of "
        f"{min(loads):g} to {max(loads):g} as rows began; it counts these processes too). The machine, measured "
        f"likewise (1024 x 1024 products in JAX; c = a + b of 256 MiB each): {machines}. This part, again: "
        "`python -m benchmarks.scaling --only rates --again`.",
        *_solves(rows),
        *_single(rows),
        *_pieces(rows),
        *_maps(rows),
    ]


def draw(rows: list[Row], path: Path) -> None:
    """Draw rates and shares of the peak against M; pieces against unknowns; maps and tracks against devices."""
    figure, (rates, parts, pieces, maps) = axes_of(4, (12, 8))
    orders = sorted({int(order) for row in _of(rows, "solves") for order in row["rates"]})
    for order, color, marker in zip(orders, COLORS, "os^D", strict=False):
        sizes = sorted(row["M"] for row in _of(rows, "solves", dtype="float64", cores=CORES[-1]))
        looks = (("float64", CORES[0], ":"), ("float64", CORES[1], "-"), ("float32", CORES[1], "--"))
        for dtype, cores, dashes in looks:
            label = f"k = {order}, {dtype}, {_cores(cores)}"
            look = dict(ls=dashes, color=color, marker=marker, ms=4, label=label)
            rates.plot(sizes, [_rate(rows, "solves", order, M=M, dtype=dtype, cores=cores) for M in sizes], **look)
            parts.plot(sizes, [shares(rows, M, order, dtype, cores)[0] for M in sizes], **look)
    for cores, color, marker in zip(CORES, COLORS, "os", strict=False):
        points = sorted((row["M"] * row["order"], row["rate"]) for row in _of(rows, "pieces", cores=cores))
        if points:
            pieces.plot(*zip(*points, strict=True), color=color, marker=marker, label=_cores(cores))
    for kind, color, marker in zip(("cells", "models"), COLORS, "os", strict=False):
        points = sorted((row["devices"], row["rate"]) for row in _of(rows, kind, cores=CORES[-1]))
        if points:
            maps.plot(*zip(*points, strict=True), color=color, marker=marker, label=f"{kind}, 2 cores")
        for row in _of(rows, kind, cores=CORES[0]):
            maps.plot(1, row["rate"], ls="", color=color, marker=marker, mfc="none", ms=9, label=f"{kind}, 1 core")
    rates.set(xscale="log", yscale="log", xlabel="latent dimension M", ylabel="solves a second")
    parts.set(xscale="log", yscale="log", xlabel="latent dimension M", ylabel="share of the GEMM peak")
    pieces.set(xscale="log", yscale="log", xlabel="unknowns k M", ylabel="pieces a second")
    maps.set(xscale="log", yscale="log", xlabel="simulated devices", ylabel="a second")
    titles = ("solves in the kernel", "operations of its products", "path following", "maps and tracks")
    for ax, title in zip((rates, parts, pieces, maps), titles, strict=True):
        titled(ax, title)
    for ax in (parts, pieces, maps):
        ax.legend(**BESIDE)
    for ax in (rates, parts, pieces, maps):
        values = sorted({float(x) for line in ax.lines for x in line.get_xdata()})
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
    figure.savefig(path, dpi=110)
