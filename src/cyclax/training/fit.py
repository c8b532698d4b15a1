"""`fit`: the verb. Chunks of updates, checkpoints, and when to stop, are driven here."""

import dataclasses
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cyclax.core.folder import Arrays, Store
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.products import most_terms
from cyclax.core.progress import progress_bar
from cyclax.core.version import __version__
from cyclax.core.workers import cores
from cyclax.training.arguments import Problem, checked_problem, described
from cyclax.training.jacobians import WeightBound
from cyclax.training.loop import Data, Logs, Recipe, Setting, advance, advance_many, cast, first_state
from cyclax.training.model import LatentModel
from cyclax.training.regularizers import AbstractRenewedRegularizer, ConditionNumber
from cyclax.training.result import Fit, mean_of_finite

# A chunk is at most so many updates, and takes about so many seconds: then Ctrl-C is heard.
_LONGEST_CHUNK, _SECONDS = 4096, 0.5


def fit(
    model: Any,
    series: Any,
    *,
    forcing: Any,
    steps: int,
    key: Array | int,
    optimizer: Any = None,
    regularizers: Any = (),
    batch: int = 16,
    length: int = 200,
    dtype: Any = np.float32,
    checkpoint_every: int | None = None,
    keep_every: int = 1,
    store: str | Path | None = None,
    name: str | None = None,
    callback: Callable[[int, Any], Any] | None = None,
    vmap: bool | None = None,
    progress: bool = True,
) -> Any:
    """Train a network on time series by backpropagation through time, forced by the data.

    Each update draws windows of the series, runs the network along them from the estimated first state, pulled towards
    the data as `forcing` says, and descends the gradient of the mean squared error of the *unforced* states.

    **Arguments:**

    - `model`: a map of cyclax, whose first N units are then the observations; or a `LatentModel`.
    - `series`: `(steps, N)`, or a list of such; standardized, or nearly so. Windows do not reach across series.
    - `forcing`: `FreeRunning()`, `SparseForcing(interval)` or `GeneralizedForcing(alpha)`.
    - `steps`: the number of updates.
    - `key`: a JAX random key, or an int seed. Update i draws its windows from `fold_in(key, i)`.
    - `optimizer`: `RAdam(..)`, by default with a rate that falls from 1e-3 to 1e-6, or any optimizer of optax; those
      that want it are told the loss, and may try others on the same batch (plateaus, line searches, L-BFGS).
    - `regularizers`: one or several of `ManifoldAttractor`, `L2`, `ConditionNumber`, `AwayFromBifurcations`.
    - `batch`, `length`: windows of an update, and their steps (a window has length + 1 rows).
    - `dtype`: of the training, float32 or float64, whatever JAX's setting.
    - `checkpoint_every`: updates between checkpoints, a twentieth of all by default. `keep_every`: of every n-th, the
      model is kept.
    - `store`: a folder for the checkpoints. Training that was stopped, in whatever way, goes on from the last one with
      the same arguments, and ends with the same weights bit by bit. Arguments are the same that consist of the same:
      of functions the code counts, and what they use.
    - `name`: of the run, needed with a `store` where an optimizer, or another argument, holds what cannot be looked
      into (a function written in C, say): the name stands for it, so give another one whenever it changes.
    - `callback`: called at every checkpoint with the number of updates done and the model (a tuple of models for
      several runs), on the host. If it has a method `begin`, as `Tracker` has, that is called first with lists of
      both: of the untrained model or, where training resumes, of all models kept until then.
    - `vmap`: of several runs, whether one program trains them all. By default on GPUs; CPUs train one run per core,
      which is several times faster there.
    - `progress`: show a bar on a terminal when it takes longer than a second.

    Several runs are trained at once where `model`, `forcing` or `optimizer` is a list: seeds, values of alpha, learning
    rates. Lists are equally long; run i uses `fold_in(key, i)` for `key`.

    **Returns:** a `Fit`; for several runs a tuple of them. After Ctrl-C what there is, marked so (a second Ctrl-C
    raises). Where a loss, gradient or weight stops being finite, that run ends with a `RuntimeWarning`, and `.model` is
    the last good one.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.

    **Reference:** Mikhaeil, Monfared, Durstewitz, NeurIPS 2022; Hess, Monfared, Brenner, Durstewitz, ICML 2023.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name: expected a text, got {name!r}.")
    problem = checked_problem(
        model,
        series,
        forcing=forcing,
        optimizer=optimizer,
        regularizers=regularizers,
        callback=callback,
        steps=steps,
        key=key,
        batch=batch,
        length=length,
        dtype=dtype,
        checkpoint_every=checkpoint_every,
        keep_every=keep_every,
    )
    runs = len(problem.models)
    together = runs > 1 and (jax.default_backend() != "cpu" if vmap is None else vmap)
    kept = None
    if store is not None:
        configuration = {"format": 2, "version": __version__} | problem.configuration(name)
        remedy = f"Delete {store}, and training begins anew."
        kept = Store(store, configuration, name="training.json", other="another training", remedy=remedy)
    with Interruption() as interruption, numerics(problem.dtype == np.float64):
        fits = _Training(problem, together, kept, callback, progress).run(interruption)
        for i, one in enumerate(fits):
            if one.stopped:
                which = f"run {i}: " if problem.many else ""
                warnings.warn(f"fit: {which}{one.stopped}", RuntimeWarning, stacklevel=2)
            for note in one.report["notes"]:
                warnings.warn(f"fit: {f'run {i}: ' if problem.many else ''}{note}", RuntimeWarning, stacklevel=2)
    # Marked now, as Ctrl-C may have come at any time until now. Nothing is called unless it has; see `Interruption`.
    if interruption.pressed:
        fits = tuple(_marked(one, problem.steps) for one in fits)
    return fits if problem.many else fits[0]


class _Training:
    """One call of `fit`: groups of runs, each a state of one compiled program."""

    def __init__(self, problem: Problem, together: bool, store: Store | None, callback: Any, progress: bool):
        self.problem, self.together, self.store = problem, together, store
        self.callback, self.progress, self.began = callback, progress, time.perf_counter()
        self.runs = len(problem.models)
        self.setting = Setting(problem.length, problem.batch, most_terms(), min(_LONGEST_CHUNK, problem.steps))
        self.data = Data(jnp.asarray(problem.series, problem.dtype), jnp.asarray(problem.starts))
        # Of each run, as they are held between two renewals.
        self.terms = [list(recipe.regularizers) for recipe in problem.recipes]
        self.renewing = [i for i, t in enumerate(self.terms[0]) if isinstance(t, AbstractRenewedRegularizer)]
        self.renewed_at = -1
        self.recipes = self._recipes()
        self.states = [first_state(m, r, problem.dtype) for m, r in zip(problem.models, self.recipes, strict=True)]
        if together:
            self.recipes, self.states = [_stacked(self.recipes)], [_stacked(self.states)]
        # Calls of LAPACK from two threads may wait for each other for ever (jaxlib 0.10.2): singular values use it.
        measures = [getattr(recipe.forcing.strength, "norm", None) for recipe in problem.recipes]
        alone = any(isinstance(norm, WeightBound) for norm in measures)
        alone |= any(isinstance(term, ConditionNumber) for recipe in problem.recipes for term in recipe.regularizers)
        self.threads = 1 if alone else cores(len(self.states))
        self.done, self.resumed_at = 0, 0
        self.logs = Logs(*(np.zeros((self.runs, 0)) for _ in Logs._fields))
        self.failed = np.full(self.runs, -1)
        self.kept: list[tuple[int, list[np.ndarray]]] = []
        self._resume()

    def run(self, interruption: Interruption) -> tuple[Fit, ...]:
        """Train to the end, or as far as it goes."""
        problem, chunk, seconds = self.problem, min(64, self.setting.capacity), 0.0
        bar = progress_bar(shown=self.progress, total=problem.steps, initial=self.done, desc="fit", unit="update")
        pool = ThreadPoolExecutor(self.threads)
        with bar, pool:
            if self.done == 0:
                self._checkpoint(first=True)
            if hasattr(self.callback, "begin"):
                self._begin_callback()
            self._renew()
            # Compiled by one thread, for all.
            self._advance(pool, 0, only=1)
            while self.done < problem.steps and np.any(self.failed < 0) and not interruption.pressed:
                self._renew()
                steps = [problem.checkpoint_every, *(self.terms[0][i].every for i in self.renewing)]
                number = min(chunk, *(step - self.done % step for step in steps), problem.steps - self.done)
                took = self._advance(pool, number)
                seconds += took
                bar.set_postfix_str(f"loss {mean_of_finite(self.logs.loss[:, -number:]):.3g}", refresh=False)
                bar.update(number)
                chunk = int(np.clip(number * _SECONDS / took, 1, self.setting.capacity))
                if self.done % problem.checkpoint_every == 0 or self.done == problem.steps:
                    self._checkpoint()
        return self._results(seconds)

    def _advance(self, pool: ThreadPoolExecutor, number: int, only: int | None = None) -> float:
        """Make the next updates of all runs; give the seconds they took."""
        bounds = [jnp.asarray(i, jnp.int32) for i in (self.done, self.done + number, self.problem.steps)]
        double = self.problem.dtype == np.float64
        program = advance_many if self.together else advance

        def work(i: int) -> Logs:
            with numerics(double):
                self.states[i], logs = program(self.setting, self.data, self.recipes[i], self.states[i], *bounds)
                return Logs(*(np.asarray(log)[..., :number] for log in logs))

        begin = time.perf_counter()
        futures = [pool.submit(work, i) for i in range(len(self.states) if only is None else only)]
        results = [future.result() for future in futures]
        if number == 0:
            return 0.0
        fresh = [np.atleast_2d(np.stack(log)) for log in zip(*results, strict=True)]
        fresh = Logs(*(log.reshape(self.runs, number).astype(np.float64) for log in fresh))
        bad = fresh.good == 0
        new = (self.failed < 0) & bad.any(axis=1)
        self.failed = np.where(new, self.done + np.argmax(bad, axis=1), self.failed)
        self.logs = Logs(*(np.concatenate(pair, axis=1) for pair in zip(self.logs, fresh, strict=True)))
        self.done += number
        return time.perf_counter() - begin

    # -- terms that are renewed ---------------------------------------------------------------------------------------

    def _recipes(self) -> list[Recipe]:
        pairs = zip(self.problem.recipes, self.terms, strict=True)
        own = [(one.forcing, one.optimizer, tuple(terms), one.key) for one, terms in pairs]
        return [Recipe(*cast(fields[:-1], self.problem.dtype), key=fields[-1]) for fields in own]

    def _hold(self) -> None:
        recipes = self._recipes()
        self.recipes = [_stacked(recipes)] if self.together else recipes

    def _renewing_of_runs(self) -> list[tuple[int, int]]:
        return [(run, i) for run in range(self.runs) for i in self.renewing]

    def _renew(self) -> None:
        """Renew the terms whose time it is."""
        due = [i for i in self.renewing if self.done % self.terms[0][i].every == 0 and self.renewed_at != self.done]
        if not due:
            return
        self.renewed_at = self.done
        leaves = self._leaves([state.model for state in self.states])
        for run in np.flatnonzero(self.failed < 0).tolist():
            for i in due:
                self.terms[run][i] = self.terms[run][i].renewed(self._model(leaves, run), self.done)
        self._hold()

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def _leaves(self, tree: Any) -> list[np.ndarray]:
        """Give the leaves of one field of all states, the first axis being the runs."""
        groups = [[_as_array(leaf) for leaf in jax.tree.leaves(one)] for one in tree]
        return groups[0] if self.together else [np.stack(leaves) for leaves in zip(*groups, strict=True)]

    def _checkpoint(self, first: bool = False) -> None:
        number = self.done // self.problem.checkpoint_every
        leaves = self._leaves([state.model for state in self.states])
        if first or number % self.problem.keep_every == 0 or self.done == self.problem.steps:
            self.kept.append((self.done, leaves))
            if self.store is not None:
                self.store.save(f"model-{self.done:07d}", {f"leaf{i}": leaf for i, leaf in enumerate(leaves)})
        if self.store is not None:
            arrays: Arrays = {f"state{i}": leaf for i, leaf in enumerate(self._leaves(self.states))}
            arrays |= {f"log.{name}": log for name, log in self.logs._asdict().items()}
            arrays |= {"done": np.asarray(self.done), "failed": self.failed}
            arrays["kept"] = np.asarray([update for update, _ in self.kept])
            for run, i in self._renewing_of_runs():
                arrays |= {f"term{run}.{i}.{name}": array for name, array in self.terms[run][i].held().items()}
            self.store.save("state", arrays)
        if self.callback is not None and not first:
            self.callback(self.done, self._shown(leaves))

    def _shown(self, leaves: list[np.ndarray]) -> Any:
        """Give the models as a callback sees them."""
        models = tuple(self._model(leaves, i) for i in range(self.runs))
        return models if self.problem.many else models[0]

    def _begin_callback(self) -> None:
        """Tell a callback that has a memory what was before: after a resumption it knows what it would know without."""
        known = list(self.kept)
        if known[-1][0] != self.done:  # not every checkpoint is kept
            known.append((self.done, self._leaves([state.model for state in self.states])))
        self.callback.begin([update for update, _ in known], [self._shown(leaves) for _, leaves in known])

    def _resume(self) -> None:
        arrays = None if self.store is None else self.store.load("state")
        if self.store is None or arrays is None:
            return
        first, structure = jax.tree.flatten(self.states[0])
        leaves = [arrays[f"state{i}"] for i in range(len(first))]
        groups = [leaves] if self.together else [[leaf[i] for leaf in leaves] for i in range(self.runs)]
        self.states = [jax.tree.unflatten(structure, list(map(_restored, group, first))) for group in groups]
        self.logs = Logs(*(arrays[f"log.{name}"] for name in Logs._fields))
        self.done = self.resumed_at = int(arrays["done"])
        for run, i in self._renewing_of_runs():
            before = f"term{run}.{i}."
            own = {name.removeprefix(before): array for name, array in arrays.items() if name.startswith(before)}
            self.terms[run][i] = dataclasses.replace(self.terms[run][i], **own)
        self._hold()
        self.failed = arrays["failed"]
        for update in arrays["kept"].tolist():
            kept = self.store.load(f"model-{update:07d}", needed=True) or {}
            self.kept.append((update, [kept[f"leaf{i}"] for i in range(len(kept))]))

    # -- results ------------------------------------------------------------------------------------------------------

    def _model(self, leaves: list[np.ndarray], run: int) -> LatentModel:
        structure = jax.tree.structure(self.problem.models[run])
        return jax.tree.unflatten(structure, [np.asarray(leaf[run], np.float64) for leaf in leaves])

    def _results(self, seconds: float) -> tuple[Fit, ...]:
        problem = self.problem
        leaves = self._leaves([state.model for state in self.states])
        made = (self.done - self.resumed_at) * self.runs
        report = {
            "seconds": time.perf_counter() - self.began,
            "updates_per_second": made / seconds if seconds else np.nan,
            "resumed_at": self.resumed_at,
            "runs": self.runs,
            "batch": problem.batch,
            "length": problem.length,
            "dtype": str(problem.dtype),
            "interrupted": False,
            "version": __version__,
        }
        fits = []
        for run in range(self.runs):
            failed = int(self.failed[run])
            number = self.done if failed < 0 else failed + 1
            logs = Logs(*(log[run, :number].copy() for log in self.logs))
            stopped = None if failed < 0 else _why(logs, failed)
            kept = [(update, some) for update, some in self.kept if failed < 0 or update <= failed]
            notes = [self.terms[run][i].note() for i in self.renewing]
            described_run = {
                "notes": [note for note in notes if note],
                "forcing": described(problem.recipes[run].forcing),
                "optimizer": described(problem.recipes[run].optimizer),
            }
            fits.append(
                Fit(
                    self._model(leaves, run),
                    tuple(self._model(some, run) for _, some in kept),
                    tuple(update for update, _ in kept),
                    logs.loss,
                    logs.gradient_norm,
                    logs.strength,
                    stopped,
                    report | described_run,
                )
            )
        return tuple(fits)


def _why(logs: Logs, failed: int) -> str:
    """Say what was not finite in update number `failed`, and what may help."""
    what = "loss" if not np.isfinite(logs.loss[failed]) else "gradient"
    if np.isfinite(logs.loss[failed]) and np.isfinite(logs.gradient_norm[failed]):
        what = "change of the weights"
    return (
        f"the {what} of update {failed} was not finite; the model is the one before it. Force more (a larger alpha, a "
        "shorter interval), lower the learning rate, or clip gradients: RAdam(clip=1.0)."
    )


def _marked(one: Fit, steps: int) -> Fit:
    """Say in a result that Ctrl-C was pressed, even where it came with the last update."""
    stopped = one.stopped or f"interrupted by Ctrl-C after {len(one.losses):,} of {steps:,} updates"
    return dataclasses.replace(one, stopped=stopped, report=one.report | {"interrupted": True})


def _as_array(leaf: Any) -> np.ndarray:
    """Give the numbers of a leaf; those behind it where it is a random key."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(array: np.ndarray, like: Any) -> Any:
    """Make a leaf of its numbers as a file has them: bfloat16, which NumPy lacks, comes back as bare bytes."""
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    return jnp.array(array.view(like.dtype) if array.dtype.kind == "V" else array)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
