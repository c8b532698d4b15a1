"""Which kernels are compiled, on which problems, and what is counted of each."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

import cyclax as cx
from cyclax.core.products import launches_count
from cyclax.lyapunov import kernel
from cyclax.maps import orbits
from cyclax.search import lanes, newton

MODULES = (
    *("search.driver", "search.lanes", "search.rows", "search.starts", "search.attractors", "search.basins"),
    *("paths.follow", "grids.cells", "grids.orbit_layers", "lyapunov.spectrum", "lyapunov.covariant", "training.fit"),
)
T, BATCH = 200, 16


@dataclasses.dataclass(frozen=True)
class Row:
    """What is counted of a kernel: launches of a `unit` of its work.

    **Arguments:** `kernel`: as `recording` names it; `depth`: how many loops deep a turn is (0: the kernel is one);
    `units`: what a turn makes; `unknown`: the turns of loops within, whose number the compiler is not told; `at_most`,
    `reads_at_most`: launches and reads by the host of a unit on an H100; more would be worse than they were.
    """

    kernel: str
    unit: str
    depth: int
    unknown: int = 1
    at_most: float | None = None
    reads_at_most: float = 0
    units: int = 1


@dataclasses.dataclass(frozen=True)
class Problem:
    """A call of a public verb, and the rows that are counted of the kernels it calls.

    **Arguments:** `fused`: with `cyclax.search.lanes.FUSED_MOVES`.
    """

    title: str
    run: Callable[[], object]
    rows: tuple[Row, ...]
    fused: bool = False


def _network(M: int) -> cx.PLRNN:
    return cx.PLRNN.random(M, key=jax.random.key(M), gain=1.2)


def _turns(M: int, k: int) -> int:
    """Give the turns of the loop over the k steps of a word, on accelerators."""
    return -(-k // newton.steps_written_out(M))


def _together(steps: int) -> int:
    """Give the steps of a turn, where so many are written out on GPUs."""
    return steps if launches_count() else 1


def _search(M: int, k: int, *, screened: bool = False, **bounds: float) -> Problem:
    def run():
        cx.find_cycles(_network(M), k, key=0, finder=cx.SCYFI(starts=64, screened=screened), progress=False)

    # A block of draws follows orbits for 32 steps, and solves words of k steps.
    rows = (
        Row("search.lanes.advance", "move", 1, _turns(M, k), **bounds),
        Row("search.starts.drawn_starts", "block", 1, _turns(M, k)),
    )
    return Problem(f"search, M = {M}, k = {k}", run, rows)


def _screened(M: int, k: int) -> Problem:
    """Give the search in float32: its first kernel is the one that moves the starts."""
    problem = _search(M, k, screened=True)
    return dataclasses.replace(problem, title=f"{problem.title}, float32", rows=problem.rows[:1])


def _fused(M: int, k: int, **bounds: float) -> Problem:
    """Give the search whose moves are one kernel for a whole round."""
    row = Row("search.lanes.advance", "move", 0, units=lanes.ROUND, **bounds)
    return dataclasses.replace(_search(M, k), title=f"search, M = {M}, k = {k}, fused", rows=(row,), fused=True)


def _map(M: int, k: int, more: tuple[Row, ...] = ()) -> Problem:
    def run():
        axes = {"A[0]": np.linspace(0.1, 0.3, 6)}
        cx.scan(_network(M), axes, [k], key=0, starts=4, orbit_steps=8, longest_period=4, cells=4, progress=False)

    rows = (
        Row("search.rows.advance_rows", "move", 2, _turns(M, k)),
        Row("search.rows.drawn_items", "block", 2, _turns(M, k)),
    )
    return Problem(f"map, M = {M}, k = {k}", run, (*rows, *more))


def _paths(M: int) -> Problem:
    def run():
        cx.find_cycles(_network(M), 1, key=0, finder=cx.PathFollowing(paths=8), progress=False)

    return Problem(f"paths, M = {M}", run, (Row("paths.walk.advance", "piece", 2),))


def _spectrum(M: int, exponents: int, **bounds: float) -> Problem:
    def run():
        cx.lyapunov_spectrum(_network(M), np.zeros(M), steps=200, warmup=50, num_exponents=exponents)

    row = Row(
        "lyapunov.kernel.run_chunk", "step", 1, units=_together(kernel.TOGETHER) if exponents == 2 else 1, **bounds
    )
    return Problem(f"spectrum, M = {M}, {exponents} exponents, one orbit", run, (row,))


def _training(title: str, model: Callable[[], object], **bounds: float) -> Problem:
    def run():
        data = np.random.default_rng(0).normal(size=(2000, 20))
        forcing = cx.GeneralizedForcing(0.15)
        cx.fit(model(), data, forcing=forcing, steps=1, length=T, batch=BATCH, key=0, progress=False)

    return Problem(f"training, {title}, T = {T}", run, (Row("training.loop.advance", "update", 1, **bounds),))


def problems() -> list[Problem]:
    """Give all of them; under a `jax.default_backend` that says so, as on accelerators."""
    layers = (Row("grids.orbit_layers._run", "step", 1, units=_together(orbits.TOGETHER)),)
    covariant = Row("lyapunov.covariant._forward", "step", 1), Row("lyapunov.covariant._backward", "step", 1)
    tangents = Row("maps.orbits.follow_tangents", "step", 1, units=_together(orbits.TOGETHER))
    linear = lambda: cx.AlmostLinearRNN.random(20, 10, key=jax.random.key(0), gain=0.4)  # noqa: E731
    shallow = lambda: cx.ShallowPLRNN.random(20, 50, key=jax.random.key(0), gain=0.4)  # noqa: E731
    vectors = lambda: cx.covariant_vectors(_network(2), np.ones(2), steps=100, warmup=50)  # noqa: E731
    return [
        _search(2, 8, at_most=41, reads_at_most=2),
        _fused(2, 8, at_most=1.5),
        _search(10, 8, at_most=74, reads_at_most=3),
        _fused(10, 8, at_most=1.5),
        _search(20, 8),
        _screened(2, 8),
        _screened(20, 8),
        _map(2, 8, layers),
        _map(10, 8),
        _paths(10),
        _training("almost-linear, M = 20", linear, at_most=400, reads_at_most=1),
        _training("shallow, M = 20, H = 50", shallow, at_most=660, reads_at_most=1),
        _spectrum(2, 2, at_most=1.7, reads_at_most=0.21),
        _spectrum(20, 20),
        Problem("covariant vectors, M = 2", vectors, covariant),
        Problem("attractors, M = 2", lambda: cx.attractors(_network(2), 64, key=0, steps=100), (tangents,)),
    ]
