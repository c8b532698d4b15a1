"""Time to a verdict on real networks, from the shell and warm, beside SCYFI in numba and in plain NumPy."""

import compileall
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import cyclax as cx
from benchmarks import reference_numba, reference_numpy
from benchmarks.default import ORDERS
from benchmarks.scaling.rows import Row, Task
from benchmarks.search import ROOT, weights
from cyclax.maps.affine import affine_form, state_scale

SHARED = ROOT.parent / "shared"
CASES = (
    "plrnn_2d_order1", "plrnn_2d_order16", "plrnn_2d_order27", "plrnn_2d_order40", "plrnn_2d_order53",
    "plrnn_10d_order10", "almost_linear_2d_order8", "clipped_m3_h10_order20", "shallow_m2_h10",
    "shallow_m2_h60_trained_reach", "shallow_m2_h128_trained_reach", "shallow_m8_h10_trained", "flipflop_64",
)  # fmt: skip
OTHERS = ("em_bursting_M18.json", "leaky_relu_task_N50.json", "osc_rank2_N20.json", "lorenz_m20_p2.json",
          "homoclinic_2d.json", "cell_weight_hh_bias.npz")  # fmt: skip
SEQUENCES = {"multistable_sequence.npz": (0, 75, 149), "singlestable_sequence.npz": (0, 75, 149)}
QUICK = ("plrnn_2d_order1", "shallow_m8_h10_trained")
# NumPy runs this share of the starts, and its time is scaled; starts without a verdict are searched so long at most.
SHARE, SECONDS = 1 / 64, 20.0


def networks() -> Iterator[tuple[str, Path, int | None, int]]:
    """Give name, file, number in the file, and the largest order."""
    for name in CASES:
        yield name, SHARED / "cases" / f"{name}.json", None, ORDERS.get(name, 1)
    for name in OTHERS:
        yield Path(name).stem, SHARED / "faults" / "cases" / name, None, 1
    for name, indices in SEQUENCES.items():
        for index in indices:
            yield f"{name.split('_')[0]}, number {index}", SHARED / "data" / name, index, 1


def shell(path: Path, index: int | None, orders: int, cache: str) -> tuple[float, dict]:
    """Call `cyclax cycles` in a fresh process with that folder for compiled programs; give seconds and the report.

    As where it is installed, Python keeps the bytecode of its sources, whatever the shell of this benchmark says.
    """
    _compile_sources()
    which = [] if index is None else ["--index", str(index)]
    command = [sys.executable, "-m", "cyclax", "cycles", str(path), "--orders", str(orders), "--json", *which]
    begin = time.perf_counter()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, env={**variables, "XDG_CACHE_HOME": cache})
    return time.perf_counter() - begin, json.loads(done.stdout)["report"]["orders"]


@functools.cache
def _compile_sources() -> None:
    compileall.compile_dir(Path(cx.__file__).parent, quiet=1)


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Do it once, to compile, and once more; give the seconds of that, and what it gave."""
    action()
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def measured(path: Path, index: int | None, orders: int) -> Row:
    """Time one network."""
    if not path.is_file():
        return {"skipped": f"{path.name} is not there"}
    with tempfile.TemporaryDirectory() as cache:
        cold, entries = shell(path, index, orders, cache)
        kept, _ = shell(path, index, orders, cache)
    model = cx.load(path) if index is None else cx.load(path, index=index)
    search = functools.partial(cx.find_cycles, model, orders, key=0, progress=False)
    warm, _ = timed(search)
    starts_alone, found = timed(lambda: search(finder=cx.SCYFI(seconds=SECONDS)))
    report = found.report["orders"]
    starts = [report[str(order)]["starts"] for order in range(1, orders + 1)]
    with jax.enable_x64(True):
        form = affine_form(model)
        scale = state_scale(form)
    if isinstance(model, cx.PLRNN) and np.ndim(model.A) == 1:
        arrays = weights(model)
        numba, _ = timed(lambda: [reference_numba.search(*arrays, k, n) for k, n in enumerate(starts, 1)])
        net, plain = reference_numpy.Plain(*arrays), True
    else:
        numba, net, plain = None, reference_numpy.Summed(form), False
    some = [max(8, round(SHARE * number)) for number in starts]
    begin = time.perf_counter()
    for order, number in enumerate(some, 1):
        reference_numpy.search_map(net, scale, order, number)
    numpy = (time.perf_counter() - begin) * sum(starts) / sum(some)
    begun, _ = timed(lambda: subprocess.run([sys.executable, "-c", "import json, numpy"], check=True))
    unsure = {order: entry["reason"] for order, entry in entries.items() if entry["verdict"] != "proved complete"}
    return {
        "M": model.num_states, "gates": model.num_gates, "orders": orders, "cold": cold, "kept": kept, "warm": warm,
        "verdicts": Counter(entry["verdict"] for entry in entries.values()), "unsure": unsure, "starts": sum(starts),
        "starts_alone": starts_alone, "numba": numba, "numpy": numpy, "plain": plain,
        "numpy_begun": begun,
        "starts_verdicts": Counter(entry["verdict"] for entry in report.values()),
    }  # fmt: skip


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give the networks."""
    for name, path, index, orders in networks():
        if not quick or name in QUICK:
            yield "verdicts", name, functools.partial(measured, path, index, orders)
