"""Speed of the search: `python -m benchmarks.search [--quick]`. Writes `results/search.md` and `results/search.png`.

Solves per second of cyclax, inside the part of `find_cycles` that searches one order, with default settings, against
the same algorithm in sequential NumPy and numba; then the time until an order range is searched completely. A *solve*
is compose, solve, run of the true map and comparison; all contestants count one for each word that is met and compared.
"""

import argparse
import contextlib
import datetime
import itertools
import math
import multiprocessing
import os
import platform
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import cyclax as cx
from benchmarks import reference_numpy
from cyclax.core.interruption import Interruption
from cyclax.core.stop import Stop
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.maps.stack import checked_models
from cyclax.search import driver
from cyclax.search.lanes import POOL, default_lanes
from cyclax.search.linear import UNROLLED_SIZE
from cyclax.search.tally import Network

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Random networks mostly lead every start into a loop at once, or to the only cycle in one move. In dimensions 2 and 10
# these are published networks; gain and seed of the others are such that starts make three to seven moves and converge.
NETWORKS = {2: "plrnn_2d_order40", 10: "plrnn_10d_order10", 5: (0.8, 3), 30: (0.2, 3), 64: (0.2, 3), 100: (0.15, 3)}
CELLS = sorted([(M, k) for M in NETWORKS for k in (1, 2, 10, 30)] + [(30, 5)])
QUICK_CELLS = [(2, 10), (10, 10), (30, 5)]
COMPLETE = {"plrnn_2d_order16": 16, "plrnn_2d_order40": 40, "plrnn_10d_order10": 10}
CONTESTANTS = ("cyclax", "numba, all cores", "numba, one core", "NumPy")
# A cell is skipped where one search of cyclax is expected to take longer (5 moves a start, a quarter of the peak).
LONGEST_SEARCH = 25.0
COMPLETE_REPEATS = 5
NUMPY_SHARE = 1 / 128  # of the starts of a whole search; its time is scaled


def load_network(which) -> cx.PLRNN:
    """Read a published network, or draw a random one."""
    folders = (ROOT / "examples" / "networks", ROOT.parent / "shared" / "cases")
    return cx.load(next(path for folder in folders if (path := folder / f"{which}.json").exists()))


def network(M: int) -> cx.PLRNN:
    """Give the network of dimension M."""
    if isinstance(NETWORKS[M], str):
        return load_network(NETWORKS[M])
    gain, seed = NETWORKS[M]
    return cx.PLRNN.random(M, key=jax.random.key(seed), gain=gain)


def weights(model: cx.PLRNN) -> tuple[np.ndarray, ...]:
    """Give A, W, h as NumPy arrays."""
    return tuple(np.asarray(leaf) for leaf in (model.A, model.W, model.h))


# -- cyclax: what find_cycles does for one order -----------------------------------------------------------------------


class OneOrder:
    """Searches of one order after another, each with new starts, by the code and settings of `find_cycles`."""

    def __init__(self, model):
        with jax.enable_x64(True):
            self.model = checked_models(model)[0][0]
            self.bounds = affine_form(self.model)
        self.threads = (os.cpu_count() or 1) if self.model.num_states <= UNROLLED_SIZE else 1  # as find_cycles chooses
        self.keys = itertools.cycle(list(jax.random.split(jax.random.key(1), 2048)))  # threads share it

    def once(self, order: int) -> int:
        """Search the order once; give the number of solves."""
        with jax.enable_x64(True):
            network = Network(self.model, self.bounds, next(self.keys), [order])
            finder, known = cx.SCYFI(), network.tallies[order]
            search = driver.Driver([network], finder, Stop(None, Interruption(), 0.0))
            known.allowed = finder.starts
            search.search(driver.Job(order, known.segments, [network]))
        return network.tallies[order].solves

    def rate(self, order: int, window: float, threads: int) -> tuple[float, float]:
        """Search side by side in threads until the window is over; give solves per second and solves per search."""
        begin = time.perf_counter()

        def work(_):
            counts = [self.once(order)]
            while time.perf_counter() - begin < window:
                counts.append(self.once(order))
            return counts

        with ThreadPoolExecutor(threads) as pool:
            counts = [count for part in pool.map(work, range(threads)) for count in part]
        return sum(counts) / (time.perf_counter() - begin), statistics.mean(counts)


def solve_flops(num_states: int, order: int) -> int:
    """Count the operations of one solve: k products of (M, M) with (M, M + 1)."""
    return 2 * order * num_states**2 * (num_states + 1)


def gemm_peak() -> float:
    """Measure float64 operations per second of a 1024 x 1024 x 1024 product in JAX."""
    with jax.enable_x64(True):
        a = jax.random.normal(jax.random.key(0), (1024, 1024), jnp.float64)
        multiply = jax.jit(jnp.matmul)
        return 2 * 1024**3 / min(timed(lambda: multiply(a, a).block_until_ready()) for _ in range(20))


def timed(action) -> float:
    """Give the seconds that the action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


# -- the references, in a process of their own -------------------------------------------------------------------------


def reference(contestant: str):
    """Give the search function of a reference."""
    if contestant == "NumPy":
        return reference_numpy.search
    from benchmarks import reference_numba

    return lambda *arguments: reference_numba.search(*arguments, all_cores=contestant == "numba, all cores")


def reference_rate(contestant: str, arrays, order: int, window: float, starts: int) -> tuple[float, int]:
    """Run more and more starts until the window is filled; give solves per second and the starts to begin with."""
    search = reference(contestant)
    while True:
        begin = time.perf_counter()
        found = search(*arrays, order, starts, starts)
        seconds = time.perf_counter() - begin
        if seconds > 0.7 * window:
            return found.solves / seconds, starts
        starts = math.ceil(starts * min(8, 1.1 * window / seconds))


def check_references() -> float:
    """Let both references find known cycles in two dimensions; give the seconds of numba, mostly compilation."""
    from benchmarks import reference_numba

    reference_numpy.check()
    return timed(reference_numba.check_both)


def compile_numba(arrays) -> float:
    """Give the seconds of numba's compilation for this number of states."""
    return timed(lambda: reference("numba, one core")(*arrays, 1, 2, 0))


@contextlib.contextmanager
def fresh_process(blas_threads: int | None = None):
    """Give an executor with one new process; one BLAS thread for the sequential loops, whose matrices are small."""
    variables = {} if blas_threads is None else {"OPENBLAS_NUM_THREADS": str(blas_threads)}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        executor.submit(time.perf_counter).result()  # starts it
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        yield lambda *call: executor.submit(*call).result()


# -- the two tables ----------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """One line of the first table; rates are solves per second, None where the cell was skipped."""

    num_states: int
    order: int
    lanes: int
    compile_seconds: float
    cold: float | None
    alone: float | None
    rates: dict[str, float]
    share: float | None


def solves_per_second(cells, window: float, repeats: int, call, peak: float, numba_seconds: dict) -> list[Cell]:
    """Measure all cells; the best of the repeats counts, and contestants take turns, as others may use the machine.

    **Arguments:** `call`: runs a function in the process of the references; `numba_seconds`: filled with the seconds
    that numba compiled for each M.
    """
    lines, prepared = [], {}
    for M, order in cells:
        model = network(M)
        arrays, flops = weights(model), solve_flops(M, order)
        if M not in prepared:
            numba_seconds.setdefault(M, call(compile_numba, arrays))
            begin = time.perf_counter()
            searches = OneOrder(model)
            searches.once(order)
            first, begin = time.perf_counter() - begin, time.perf_counter()
            searches.once(order)
            prepared[M] = searches, first - (time.perf_counter() - begin)
        searches, compile_seconds = prepared[M]
        rates, starts, alone, size = dict.fromkeys(CONTESTANTS, 0.0), dict.fromkeys(CONTESTANTS, 8), 0.0, 0.0
        expected = 5 * POOL * flops / (peak / 4)
        skipped = expected > LONGEST_SEARCH
        for repeat in range(1 if expected > 4 * window else repeats):
            if not skipped:
                rate, size = searches.rate(order, window, searches.threads)
                rates["cyclax"] = max(rates["cyclax"], rate)
                alone = max(alone, searches.rate(order, window, 1)[0] if searches.threads > 1 else rate)
            for name in CONTESTANTS[1:]:
                if name != "NumPy" or not repeat:
                    rate, starts[name] = call(reference_rate, name, arrays, order, window, starts[name])
                    rates[name] = max(rates[name], rate)
        ours = rates["cyclax"]
        cold = None if skipped else size / (size / ours + compile_seconds)
        share = None if skipped else ours * flops / peak
        lines.append(Cell(M, order, default_lanes(M), compile_seconds, cold, alone or None, rates, share))
        print(
            f"M = {M:3}, k = {order:2}, solves/s:",
            ", ".join(f"{c} {rate:.3g}" for c, rate in rates.items()),
            flush=True,
        )
        if skipped:
            print(f"    cyclax skipped: one search of {POOL} starts was expected to take {expected:.0f} s")
    return lines


def complete_cyclax(name: str, orders: int, repeats: int):
    """Find the cycles of orders 1..K; give the seconds of all calls, starts per order, and the identities."""
    model, seconds = load_network(name), []
    for seed in range(1 + repeats):
        begin = time.perf_counter()
        cycles = cx.find_cycles(model, orders, key=seed, finder=cx.SCYFI(), progress=False)
        seconds.append(time.perf_counter() - begin)
    starts = [cycles.report["orders"][str(order)]["starts"] for order in range(1, orders + 1)]
    return seconds, starts, {word_key(cycle.gates) for cycle in cycles}


def complete_reference(contestant: str, name: str, starts: list[float], repeats: int):
    """Do the same with as many starts per order as given; give the seconds of all calls and the identities."""
    search, arrays, seconds = reference(contestant), weights(load_network(name)), []
    for seed in range(repeats):
        begin = time.perf_counter()
        found = [search(*arrays, order, math.ceil(number), seed).cycles for order, number in enumerate(starts, 1)]
        seconds.append(time.perf_counter() - begin)
    return seconds, set().union(*found)


def times_to_complete(cases, repeats: int, call, numba_seconds: dict) -> list[tuple]:
    """Measure cyclax in a fresh process, the references in theirs."""
    lines = []
    for name, orders in cases.items():
        with fresh_process() as call_fresh:
            (cold, *warm), starts, found = call_fresh(complete_cyclax, name, orders, repeats)
        known, results = found, {"cyclax": (cold, statistics.median(warm), str(len(found)))}
        for contestant in CONTESTANTS[1:]:
            numpy = contestant == "NumPy"
            some = [NUMPY_SHARE * number for number in starts] if numpy else starts
            seconds, found = call(complete_reference, contestant, name, some, 1 if numpy else repeats)
            warm = statistics.median(seconds) / (NUMPY_SHARE if numpy else 1)
            compiled = 0.0 if numpy else numba_seconds[load_network(name).num_states]
            missed = f", {len(found - known)} of them missed by cyclax" if found - known else ""
            results[contestant] = compiled + warm, warm, f"{len(found)}{missed}"
        lines.append((name, orders, sum(starts), results))
        figures = (
            f"{c} {cold:.3g} cold, {warm:.3g} warm ({found} cycles)" for c, (cold, warm, found) in results.items()
        )
        print(f"{name}, orders 1..{orders}, seconds:", ", ".join(figures), flush=True)
    return lines


# -- what is written ---------------------------------------------------------------------------------------------------


def processor() -> str:
    """Give the model name of the CPU."""
    with contextlib.suppress(OSError):
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        return f"{len(names)} cores, {names[0]}"
    return f"{os.cpu_count()} cores, {platform.processor()}"


def busy_seconds() -> tuple[float, float]:
    """Give the processor seconds that all processes, and that this one and its finished children, have used."""
    with contextlib.suppress(OSError):
        ticks = [int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])
    return math.nan, math.nan


def figure(number: float | None) -> str:
    """Write three digits, without an exponent below a hundred thousand."""
    return "-" if number is None else f"{number:,.0f}" if 100 <= number < 1e5 else f"{number:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a markdown table."""
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(
    cells: list[Cell], complete: list[tuple], peak: float, numba_seconds: dict, seconds: float, others: float
) -> str:
    """Write the whole page."""
    ratios = ["/ numba all", "/ numba one", "/ NumPy"]
    first = table(
        ["M", "k", "lanes", "compile s", *CONTESTANTS, "one order alone", "cold", *ratios, "of GEMM peak"],
        [
            [str(c.num_states), str(c.order), str(c.lanes), f"{c.compile_seconds:.2g}"]
            + [figure(c.rates[name] or None) for name in CONTESTANTS]
            + [figure(c.alone), figure(c.cold)]
            + [f"{c.rates['cyclax'] / c.rates[name]:.2g}" if c.alone else "-" for name in CONTESTANTS[1:]]
            + [f"{100 * c.share:.2g} %" if c.share else "-"]
            for c in cells
        ],
    )
    second = table(
        ["network", "orders", "starts", *(f"{name}: cold s / warm s (cycles)" for name in CONTESTANTS)],
        [
            [name, f"1..{orders}", f"{starts:,}"]
            + [f"{cold:.3g} / {warm:.3g} ({found})" for cold, warm, found in results.values()]
            for name, orders, starts, results in complete
        ],
    )
    networks = "; ".join(
        f"M = {M}: " + (which if isinstance(which, str) else f"PLRNN.random(gain={which[0]}), seed {which[1]}")
        for M, which in sorted(NETWORKS.items())
    )
    compilation = ", ".join(f"{M}: {s:.2g}" for M, s in sorted(numba_seconds.items()))
    versions = f"JAX {jax.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    return f"""# Speed of the search

`python -m benchmarks.search`, {datetime.date.today()}: {processor()}; {versions}. Float64 throughout.
Measured GEMM peak (1024 x 1024 x 1024 in JAX): {peak / 1e9:.0f} GFLOP/s. The run took {seconds:.0f} s; meanwhile other
processes used {others:.0%} of the machine.

## Solves per second

{first}

- *cyclax*: searches of the order by `find_cycles`' own code with default settings (drawing starts and checking cycles
  included), side by side in as many threads as `find_cycles` uses for a range of orders. *One order alone*: one thread.
- *compile s*: the first search of this size in the process, less a second one. All orders share it. *cold*: solves per
  second of the first search in a process, computed from these.
- The best of several windows counts. A dash: skipped, as one search would take longer than {LONGEST_SEARCH:.0f} s.
- *of GEMM peak*: 2 k M^2 (M + 1) operations a solve.
- All contestants search the same networks with the same kinds of starts, and count one solve for each word met and
  compared. The references are ours: `reference_numpy.py`; `reference_numba.py` is compiled for each M, multiplies only
  what open gates need, and uses BLAS where that is faster (seconds of compilation for M = {compilation}).
- Networks (starts make three to seven moves; most random ones end in a loop at once): {networks}.

## Time to the complete set

{second}

cyclax runs in a fresh process: cold is the first call (after the import), warm the median of {COMPLETE_REPEATS} later
ones. The references get as many starts per order as cyclax used; numba is cold with its compilation. NumPy ran
{NUMPY_SHARE:.2g} of the starts, and its time is scaled.

![solves per second](search.png)
"""


def plot(cells: list[Cell], path: Path) -> None:
    """Draw solves per second against M, one panel for each order."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    orders = [order for order in sorted({c.order for c in cells}) if sum(c.order == order for c in cells) > 1]
    orders = orders or sorted({c.order for c in cells})
    # Colors of Okabe and Ito, told apart by the color-blind; markers and dashes for print.
    looks = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#E69F00", "^", "--"), ("#555555", "D", ":"))
    size = (3.2 * len(orders) + 1, 3.8)
    _, axes = plt.subplots(1, len(orders), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for ax, order in zip(axes[0], orders, strict=True):
        for name, (color, marker, dashes) in zip(CONTESTANTS, looks, strict=True):
            points = [(c.num_states, c.rates[name]) for c in cells if c.order == order and c.rates[name]]
            ax.loglog(*zip(*points, strict=True), dashes, color=color, marker=marker, markersize=5, label=name)
        sizes = sorted({c.num_states for c in cells})
        ax.set_xticks(sizes, [str(M) for M in sizes])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.set(title=f"order k = {order}", xlabel="latent dimension M")
    axes[0, 0].set_ylabel("solves per second")
    axes[0, -1].legend(frameon=False, fontsize=8)
    plt.savefig(path, dpi=150)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three cells, one network, < 40 s; nothing is written")
    quick = parser.parse_args().quick
    begin, (all_before, own_before) = time.perf_counter(), busy_seconds()
    peak = gemm_peak()
    print(f"{processor()}; GEMM peak {peak / 1e9:.0f} GFLOP/s")
    cells, window, repeats = (QUICK_CELLS, 0.2, 2) if quick else (CELLS, 0.25, 2)
    with fresh_process(blas_threads=1) as call:
        numba_seconds = {2: call(check_references)}
        print("both references find the known cycles", flush=True)
        lines = solves_per_second(cells, window, repeats, call, peak, numba_seconds)
        cases = dict(list(COMPLETE.items())[: 1 if quick else None])
        complete = times_to_complete(cases, COMPLETE_REPEATS, call, numba_seconds)
    seconds, (all_after, own_after) = time.perf_counter() - begin, busy_seconds()
    others = max(0.0, (all_after - all_before) - (own_after - own_before)) / seconds / (os.cpu_count() or 1)
    page = report(lines, complete, peak, numba_seconds, seconds, others)
    print(page)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "search.md").write_text(page)
        plot(lines, RESULTS / "search.png")


if __name__ == "__main__":
    main()
