"""Maps over parameters: `python -m benchmarks.scan [speed|recall] [--quick]`. Writes `results/scan*.md`.

How long the 201 x 201 map of the order-16 family takes, beside sequential searches of a sample of its cells with the
same starts; a 1000 x 1000 map; and cells held against enumeration, as their own starts left them
and after healing.
"""

import dataclasses
import functools
import os
import resource
import sys
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from benchmarks import reference_numpy

RESULTS = Path(__file__).resolve().parent / "results"
# The family of ../shared/cases/plrnn_2d_order16.json (a published network, Durstewitz lab, SCYFI.jl).
A, W, H = reference_numpy.KNOWN
FAMILY = cx.PLRNN(A=A, W=W, h=H)
STARTS = 64


def axes(number: int, width: float = 1.0) -> dict[str, np.ndarray]:
    """Give values of A[0] and A[1] around the network's own."""
    return {f"A[{i}]": np.linspace(A[i] - width, A[i] + width, number) for i in (0, 1)}


def time_of_map(number: int, orders, say, **arguments) -> cx.BifurcationMap:
    """Scan twice, cold and warm."""
    result = None
    for state in ("cold", "warm"):
        begin = time.perf_counter()
        result = cx.scan(FAMILY, axes(number), orders, key=0, starts=STARTS, progress=False, **arguments)
        seconds = time.perf_counter() - begin
        rate = number**2 / seconds
        say(f"- {number} x {number} cells, orders 1..{orders}, {state}: {seconds:.1f} s, {rate:,.0f} cells/s")
    assert result is not None
    return result


def references(sample: int, orders: int, say) -> None:
    """Search cells one start at a time, and the same starts a cell in one map."""
    from benchmarks import reference_numba

    grid = axes(41)
    arguments = dict(key=0, starts=STARTS, heal=False, orbit_steps=0, progress=False)
    cx.scan(FAMILY, grid, orders, **arguments)
    begin = time.perf_counter()
    result = cx.scan(FAMILY, grid, orders, **arguments)
    ours = (time.perf_counter() - begin) / result.grid.size
    cells = np.random.default_rng(0).choice(result.grid.size, size=sample, replace=False)
    places = [(result.grid.at(int(cell)).A, int(cell)) for cell in cells]
    every = functools.partial(reference_numba.search, all_cores=True)
    contestants = (
        ("NumPy", reference_numpy.search),
        ("numba, one core", reference_numba.search),
        ("numba, all", every),
    )
    for name, search in contestants:
        search(A, W, H, 2, 8)  # compiled
        some = places if name != "NumPy" else places[: max(4, sample // 64)]
        begin = time.perf_counter()
        for diagonal, cell in some:
            for order in range(1, orders + 1):
                search(np.asarray(diagonal), W, H, order, STARTS, cell)
        each = (time.perf_counter() - begin) / len(some)
        say(
            f"- {name}, {STARTS} starts for each of {orders} orders, {len(some)} cells: {1e3 * each:.2f} ms a cell; "
            f"ours, searched and checked from scratch, {1e3 * ours:.2f} ms: {each / ours:.1f} times"
        )


@dataclasses.dataclass(frozen=True)
class Family:
    """Cells to be held against enumeration."""

    name: str
    model: cx.AbstractPiecewiseLinearMap
    grid: dict
    orders: int
    starts: int = STARTS
    sample: int = 500


def families() -> list[Family]:
    """Give the families, the last of them starved."""
    tent, gates = cx.SkewTentMap(0.5, -1.2, 1.0), cx.ShallowPLRNN.random(2, 3, key=jax.random.key(5), gain=3.0)
    chaos = {"left": np.linspace(1.02, 1.98, 41), "right": np.linspace(-1.98, -1.02, 41)}
    shallow = {"W1[0,0]": np.linspace(-3, 3, 41), "h1[1]": np.linspace(-2, 2, 41)}
    return [
        Family("order-16 family", FAMILY, axes(41), 12, sample=250),
        Family("order-16 family, near the tongue", FAMILY, axes(41, 0.02), 12, sample=250),
        Family("shallow, 3 gates", gates, shallow, 5),
        Family("skew tent, chaotic", tent, chaos, 12),
        Family("skew tent, chaotic, 5 starts", tent, chaos, 12, starts=5),
        Family("shallow, 3 gates, 5 starts", gates, shallow, 5, starts=5),
    ]


def against_enumeration(family: Family, sample: int, say) -> None:
    """Count missed and false cycles in random cells, before and after healing."""
    settings = dict(key=0, starts=family.starts, orbit_steps=0, progress=False)
    before = cx.scan(family.model, family.grid, family.orders, heal=False, **settings)
    after = cx.scan(family.model, family.grid, family.orders, **settings)
    cells = np.random.default_rng(1).choice(after.grid.size, size=sample, replace=False)
    missed, false, total, proved, left = [0, 0], [0, 0], 0, 0, 0
    for cell in cells:
        place = np.unravel_index(int(cell), after.shape)
        complete = cx.enumerate_cycles(after.grid.at(int(cell)), family.orders, budget=60.0, progress=False)
        verdicts = {entry["verdict"] for entry in complete.report["orders"].values()}
        if verdicts != {"proved complete"} or complete.degenerate:
            left += 1
            continue
        proved, total = proved + 1, total + len(complete)
        theirs = {(c.order, c.gates.tobytes()) for c in complete}
        for i, result in enumerate((before, after)):
            mine = {(c.order, c.gates.tobytes()) for c in result.cell(*place)}
            missed[i], false[i] = missed[i] + len(theirs - mine), false[i] + len(mine - theirs)
    say(
        f"| {family.name} | 1..{family.orders} | {family.starts} | {proved} | {left} | {total:,} | {missed[0]} "
        f"| {missed[1]} | {false[0]} | {false[1]} | {after.report['mended']} of {after.grid.size} |"
    )


class Page:
    """Prints lines as they come, and writes them to a file in the end."""

    def __init__(self, title: str):
        self.lines: list[str] = []
        device, load = jax.devices()[0], f"{os.getloadavg()[0]:.1f}"
        self.say(f"# {title}\n\n{os.cpu_count()} cores, {device.device_kind}, load {load} as this began.\n")

    def say(self, line: str) -> None:
        """Print a line, and keep it."""
        print(line, flush=True)
        self.lines.append(line)

    def write(self, name: str) -> None:
        """Write the page."""
        (RESULTS / name).write_text("\n".join(self.lines) + "\n")


def speed(quick: bool) -> None:
    """Time the maps."""
    page = Page("Maps over parameters: speed")
    result = time_of_map(41 if quick else 201, 16, page.say)
    page.say(f"\n```\n{result}\n```\n")
    begin = time.perf_counter()
    edges = result.boundaries()
    page.say(f"- {edges}: {time.perf_counter() - begin:.1f} s")
    references(64 if quick else 256, 16, page.say)
    number = 60 if quick else 200
    result = time_of_map(number, 8, page.say)
    rate = number**2 / result.report["seconds"]
    if quick:
        page.say(f"- a projection, not a measurement: 1000 x 1000 cells at this rate: {1e6 / rate / 60:.0f} minutes")
    else:
        begin = time.perf_counter()
        result = cx.scan(FAMILY, axes(1000), 8, key=0, starts=STARTS, progress=False)
        seconds, memory = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        page.say(
            f"- 1000 x 1000 cells, orders 1..8: {seconds:.0f} s, {1e6 / seconds:,.0f} cells/s; {memory:.1f} GiB at most"
        )
        page.say(f"\n```\n{result}\n```\n\n![the map](scan.png)\n")
        ax = cx.plot.bifurcation_map(result)
        ax.get_figure(root=True).savefig(RESULTS / "scan.png", dpi=110)
        page.write("scan.md")


def recall(quick: bool) -> None:
    """Hold scans against enumeration."""
    page = Page("Maps over parameters: against enumeration")
    page.say(
        "Random cells, enumerated with a proof that nothing is missing; cells without a proof, or with families of "
        "cycles, are left out.\n\n| family | orders | starts | cells enumerated | left out | cycles | missed before | "
        "after healing | false before | after | cells mended |\n" + "|---" * 11 + "|"
    )
    for family in families():
        against_enumeration(family, 20 if quick else family.sample, page.say)
    if not quick:
        page.write("scan_recall.md")


if __name__ == "__main__":
    for part in (recall,) if "recall" in sys.argv else (speed,) if "speed" in sys.argv else (speed, recall):
        part("--quick" in sys.argv)
