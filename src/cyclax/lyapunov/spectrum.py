"""The verb: checks, the host loop over chunks, and when to stop."""

import time
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from cyclax.core.numerics import numerics
from cyclax.core.products import launches_count
from cyclax.core.progress import progress_bar
from cyclax.core.version import __version__
from cyclax.core.workers import cores
from cyclax.lyapunov.arguments import Problem, checked_problem
from cyclax.lyapunov.flows import Flow, more_pieces
from cyclax.lyapunov.frames import AbstractOrthonormalization, random_frame, suited
from cyclax.lyapunov.kernel import Carry, Course, Setting, run_chunk
from cyclax.lyapunov.result import Spectrum
from cyclax.lyapunov.statistics import Bins, WeightedAverage

# A chunk brings back at most so many numbers, takes about so many operations, and at most so many orthonormalizations:
# seconds, not minutes, pass before Ctrl-C is heard.
_NUMBERS, _OPERATIONS, _LONGEST_CHUNK = 2**22, 2**34, 4096
# Orbits go on side by side while their frames (and weights of their own) are so many numbers for each core of a CPU:
# with what a step makes of them, they fill a cache of 1 MB. 256 frames of (100, 100) at once take a third longer.
_CACHED = 40_000
# Fewer orbits side by side are not carried along faster entry by entry. What is gained grows as D n^2, which is what
# orthonormalization takes: 3 ns of it, for a second of compilation or less (measured on 2 cores, 2 to 10 states).
_FEWEST_ORBITS, _WORTH_COMPILING = 64, 250_000_000
# The integrator's error is measured so many times along an orbit.
_MEASURED = 16
# Of the series, so many numbers in all are kept, as averages over bins.
_KEPT, _MOST_BINS, _FEWEST_BINS = 2**24, 2048, 64


def lyapunov_spectrum(
    model: Any,
    state: PyTree,
    inputs: PyTree = None,
    *,
    steps: int,
    warmup: int,
    num_exponents: int | None = None,
    orthonormalize_every: int = 1,
    dt: float | None = None,
    in_axes: tuple[int | None, int | None, int | None] = (None, None, None),
    repeat_inputs: bool = False,
    most_steps: int | None = None,
    rtol: float = 1e-2,
    atol: float = 1e-3,
    birkhoff: bool = False,
    orthonormalization: AbstractOrthonormalization | None = None,
    progress: bool = True,
) -> Spectrum:
    """Compute Lyapunov exponents along an orbit, in float64 whatever JAX's setting.

    A frame of n tangent vectors is carried along with the state, through warm-up and all, and orthonormalized; the
    exponents are the mean logarithms of what orthonormalization takes off (Benettin, Galgani, Giorgilli, Strelcyn 1980;
    Shimada, Nagashima 1979). Jacobians are never formed: each vector is pushed by forward differentiation.

    **Arguments:**

    - `model`: any map of cyclax; any function `(state) -> state`, or `(state, input) -> state`; `equinox.nn.GRUCell` or
      `LSTMCell` (all of its state); `TanhCell`, `ReLUCell`; another cell as `StateFirst(cell)`; a `Flow` of an ODE. A
      sequence of models of one class and shape is a batch. A function compiles anew for each new function object:
      parameters that change belong into the leaves of an `equinox.Module`.
    - `state`: the first state, an array or a pytree of arrays: `(M,)` for the maps of cyclax, `(h, c)` for an LSTM.
    - `inputs`: an array, or a pytree of arrays, `(warmup + steps, ..)`: the input of each step. For a piecewise-linear
      map `(warmup + steps, M)`, added to its bias. Of an input that does not change, give one row and `repeat_inputs`.
    - `steps`, `warmup`: how many steps count, and how many go before, in which the orbit finds the attractor and the
      frame its directions. Both are multiples of `orthonormalize_every`.
    - `num_exponents`: how many, largest first; all by default.
    - `orthonormalize_every`: steps between orthonormalizations. More is faster, until vectors align.
    - `dt`: the time of a step, 1 by default (exponents per step); that of a `Flow` is its own.
    - `in_axes`: for model, state, inputs: 0 where it has a leading axis of B orbits, None where all share it, as for
      `jax.vmap`. Batched inputs are `(B, warmup + steps, ..)`; a sequence of models counts as 0 by itself.
    - `repeat_inputs`: start over when the inputs end.
    - `most_steps`: after `steps` steps, double them until all orbits have converged, to at most so many.
    - `rtol`, `atol`: converged means that each standard error is at most `rtol |exponent| + atol` (`atol` in nats per
      unit of time), that blocks are long enough, and that both halves of the orbit agree.
    - `birkhoff`: weighted Birkhoff averages as well (`weighted_exponents`): for cycles and quasi-periodic orbits.
    - `orthonormalization`: `GramSchmidt()`, `CholeskyQR()` or `Householder()`; what suits the device by default.
    - `progress`: show a bar on a terminal when it takes longer than a second.

    **Returns:** `Spectrum`. Of a batch, orbits that diverge have NaN, and `diverged` says in which step. After Ctrl-C,
    once some steps count, what has been computed, marked so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy; `FloatingPointError` where all
    orbits diverge, or their tangents overflow, with the step.
    """
    began = time.perf_counter()
    with numerics():
        problem = checked_problem(
            model,
            state,
            inputs,
            steps=steps,
            warmup=warmup,
            num_exponents=num_exponents,
            every=orthonormalize_every,
            dt=dt,
            in_axes=in_axes,
            repeat_inputs=repeat_inputs,
            most_steps=most_steps,
            tolerances=(rtol, atol),
            orthonormalization=orthonormalization,
        )
        return _Run(problem, birkhoff, progress, began).run()


class _Run:
    """One call of `lyapunov_spectrum`."""

    def __init__(self, problem: Problem, birkhoff: bool, progress: bool, began: float):
        self.problem, self.progress, self.began = problem, progress, began
        n, lanes = problem.num_exponents, problem.lanes
        orthonormalize = problem.orthonormalization or suited(n)
        size = problem.layout.size
        most = min(_LONGEST_CHUNK, _NUMBERS // (n * lanes), _OPERATIONS // (size * n * max(n, size) * lanes))
        capacity = max(1, most // problem.every)
        # A power of two: numbers of exponents that differ little share a length.
        capacity = 1 << (capacity.bit_length() - 1)
        self.setting = Setting(
            problem.layout,
            problem.axes,
            problem.every,
            capacity,
            orthonormalize,
            side_by_side(problem),
            is_worth_compiling(lanes, (problem.warmup + problem.steps) * size * n**2),
        )
        frame = np.repeat(random_frame(problem.layout.size, n)[:, :, None], lanes, axis=2)
        self.carry = Carry(problem.states, frame, np.ones(lanes, bool), np.zeros(lanes, np.int64))
        self.at, self.logs_bad = 0, np.zeros(lanes, np.int64)
        self.is_flow, self.pieces = isinstance(problem.model, Flow), 1
        # What finer steps would have changed in the logarithms of one group.
        self.changes: list[np.ndarray] = []
        self.bins = Bins(int(np.clip(_KEPT // (n * lanes), _FEWEST_BINS, _MOST_BINS)) // 2 * 2, (n, lanes))
        # The doublings at which the orbit may end, and an average for each: its weights depend on the end.
        self.ends = [problem.steps]
        while self.ends[-1] < problem.most_steps:
            self.ends.append(min(2 * self.ends[-1], problem.most_steps))
        self.averages = [WeightedAverage(end // problem.every, (n, lanes)) for end in self.ends] if birkhoff else []

    def run(self) -> Spectrum:
        """Warm up, then run to each end in turn until all has converged."""
        problem, interrupted, done, end = self.problem, None, 0, self.problem.steps
        total = problem.warmup + problem.steps
        bar = progress_bar(total=total, shown=self.progress, desc="lyapunov", unit="step")
        with bar:
            for size in self._sizes(problem.warmup):
                self._chunk(size)
                bar.update(size * problem.every)
            self._refuse_divergence()
            try:
                for end in self.ends:
                    bar.total = problem.warmup + end
                    for size in self._sizes(end - done, _MEASURED if self.is_flow else 1):
                        self._take(self._chunk(size))
                        done += size * problem.every
                        bar.update(size * problem.every)
                    self._refuse_divergence()
                    if end == self.ends[-1] or np.all(self._result(done, None).converged | (self._diverged() > 0)):
                        break
            except KeyboardInterrupt:
                if self.bins.count == 0:
                    raise
                interrupted = f"interrupted by Ctrl-C after {done} of {end} steps"
        return self._result(done, interrupted)

    def _sizes(self, steps: int, parts: int = 1):
        """Split steps into chunks, in groups of `every`; into that many parts, or a few more."""
        groups = steps // self.problem.every
        most = min(self.setting.capacity, -(-groups // parts))
        while groups > 0:
            size = min(groups, most)
            yield size
            groups -= size

    def _chunk(self, groups: int) -> np.ndarray:
        """Go on by `groups` orthonormalizations; give their logarithms `(groups, n, B)`."""
        problem, setting = self.problem, self.setting
        inputs = problem.inputs_from(self.at, setting.capacity * setting.every)

        def run(groups: int, finer: bool) -> tuple[Carry, np.ndarray, np.ndarray]:
            course = Course(np.asarray(self.pieces), np.asarray(finer))
            carry, logs, worst = run_chunk(problem.model, setting, self.carry, inputs, np.asarray(groups), course)
            # An interrupt while waiting must not leave half of a chunk behind.
            return carry, np.asarray(logs)[:groups], np.asarray(worst)

        carry, logs, worst = run(groups, False)
        while self.is_flow and (more := more_pieces(self.pieces, worst[np.asarray(carry.alive)])) > self.pieces:
            self.pieces = more
            carry, logs, worst = run(groups, False)
        if self.is_flow and self.at >= problem.warmup:
            with np.errstate(all="ignore"):  # of orbits that have diverged
                self.changes.append(np.abs(run(1, True)[1][0] - logs[0]))
        bad = np.isnan(logs).any(axis=1) | np.isposinf(logs).any(axis=1)
        first = np.where(bad.any(axis=0), self.at + (np.argmax(bad, axis=0) + 1) * setting.every, 0)
        self.logs_bad = np.where(self.logs_bad > 0, self.logs_bad, first)
        self.carry, self.at = carry, self.at + groups * setting.every
        return logs

    def _take(self, logs: np.ndarray) -> None:
        self.bins.add(logs)
        for average in self.averages:
            average.add(logs)

    def _diverged(self) -> np.ndarray:
        """Give the step in which each orbit, or its tangents, stopped being finite, or 0."""
        states = np.where(np.asarray(self.carry.alive), 0, np.asarray(self.carry.survived) + 1)
        both = np.stack([states, self.logs_bad])
        return np.min(np.where(both > 0, both, np.iinfo(np.int64).max), axis=0) * np.any(both > 0, axis=0)

    def _refuse_divergence(self) -> None:
        diverged = self._diverged()
        if not np.all(diverged):
            return
        step, alive = int(np.min(diverged)), np.asarray(self.carry.alive)
        warmup = self.problem.warmup
        where = (
            f"step {step} (of the warm-up)" if step <= warmup else f"step {step} ({step - warmup} after the warm-up)"
        )
        who = "the orbit" if len(diverged) == 1 else f"each of the {len(diverged)} orbits (the first in that step)"
        if np.any(alive):
            raise FloatingPointError(
                f"{where}: the tangents of {who} are no longer finite, though the states are. Orthonormalize more "
                f"often (orthonormalize_every is {self.problem.every}), or look for an infinite derivative."
            )
        raise FloatingPointError(
            f"{where}: {who} diverged to infinity or NaN. Start elsewhere, on the attractor; if every start diverges, "
            "the map has none."
        )

    def _result(self, done: int, interrupted: str | None) -> Spectrum:
        problem, diverged = self.problem, self._diverged()
        scale = 1 / (problem.every * problem.dt)
        bins = np.moveaxis(self.bins.means, -1, 1) * scale
        # What had been averaged before an orbit diverged is no exponent.
        gone = (diverged > 0)[:, None]
        means = np.where(gone, np.nan, self.bins.mean.T * scale)
        average = next((a for a, end in zip(self.averages, self.ends, strict=False) if end == done), None)
        weighted = None if average is None else np.where(gone, np.nan, average.mean.T * scale)
        bins = np.where(gone, np.nan, bins)
        integration = np.mean(self.changes, axis=0).T * scale if self.changes else None
        if not problem.batch:
            integration = None if integration is None else integration[0]
            means, bins, diverged = means[0], bins[:, 0], diverged[0]
            weighted = None if weighted is None else weighted[0]
        report = {
            "model": problem.name,
            "seconds": time.perf_counter() - self.began,
            "version": __version__,
            "orthonormalize_every": problem.every,
            "orthonormalization": type(self.setting.orthonormalize).__name__,
        }
        if self.is_flow:
            report["pieces"] = self.pieces
        return Spectrum(
            means,
            bins,
            self.bins.length * problem.every,
            done,
            problem.warmup,
            problem.dt,
            problem.layout.size,
            np.asarray(diverged),
            problem.rtol,
            problem.atol,
            weighted,
            problem.inputs is not None and problem.axes.inputs is None,
            interrupted,
            report,
            integration,
        )


def is_worth_compiling(orbits: int, work: int) -> bool:
    """Say whether code that runs faster, and takes a second longer to compile, gains more than that.

    For TPUs it compiles to more kernels, not fewer.

    **Arguments:** `work`: of one orbit, D n^2 for each step.
    """
    on_cpu = jax.default_backend() == "cpu"
    return launches_count() or (on_cpu and orbits >= _FEWEST_ORBITS and orbits * work >= _WORTH_COMPILING)


def side_by_side(problem: Problem) -> int:
    """Give how many orbits go on side by side: all on an accelerator, on a CPU those whose frames stay in the cache."""
    if jax.default_backend() != "cpu":
        return problem.lanes
    size = problem.layout.size
    numbers = size * (problem.num_exponents + (0 if problem.axes.model is None else size))
    return cores(None) * max(1, _CACHED // numbers)
