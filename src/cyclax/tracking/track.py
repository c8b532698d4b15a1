"""`track`: the cycles of a sequence of models, such as the checkpoints of a training run, and what happens between.

Source: Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training", NeurIPS 2023.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from cyclax.bifurcations.event import Event
from cyclax.core.checks import checked_key, whole
from cyclax.core.numerics import numerics
from cyclax.core.version import __version__
from cyclax.cycles.orders import checked_orders
from cyclax.grids.cells import Settings
from cyclax.grids.grid import ModelSequence
from cyclax.grids.map import BifurcationMap
from cyclax.grids.neighbors import NeighborSearch, cells_at_once
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.tracking.loss_jumps import JumpRule
from cyclax.tracking.result import Track
from cyclax.training.model import LatentModel
from cyclax.training.result import Fit

# So often is what the events say is missing taken in, and typed again.
_MENDINGS = 8


def track(
    models: Sequence[AbstractPiecewiseLinearMap | LatentModel] | AbstractPiecewiseLinearMap | Fit,
    orders: int | Iterable[int],
    *,
    key: Array | int,
    losses: Float[Any, " n"] | None = None,
    gradient_norms: Float[Any, " n"] | None = None,
    starts: int = 64,
    moves: int = 64,
    exact: bool = False,
    rule: JumpRule | None = None,
    store: Any = None,
    progress: bool = True,
) -> Track:
    """Find the cycles of every model of a sequence, and the events on the straight lines between successive ones.

    Every model is searched from starts of its own, all models in one batch; then the words of each are tried in the
    next and in the one before, until nothing changes, as `scan` does between neighboring cells.

    **Arguments:**

    - `models`: a sequence of maps (or of `LatentModel`, whose maps they are) of one class and shape, or one map whose
      leaves are stacked `(n, ...)`. Models that hold NaN or inf are gaps: nothing is said of them, nor of the steps
      beside them. Or a `Fit`: the maps of the models that it kept, with the mean of the losses and the largest norm of
      the gradient from each to the next.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods.
    - `key`: a JAX random key, or an int seed. Model i draws what belongs to `key` and i.
    - `losses`, `gradient_norms`: of each model `(n,)`, not negative; NaN where unknown. Jumps of the loss are paired
      with events.
    - `starts`, `moves`, `exact`, `store`, `progress`: as for `scan`.
    - `rule`: what counts as a jump.

    **Returns:** a `Track`.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    began = time.perf_counter()
    if isinstance(models, Fit):
        losses = _from_each(models, models.losses, np.mean) if losses is None else losses
        norms = models.gradient_norms
        gradient_norms = _from_each(models, norms, np.max) if gradient_norms is None else gradient_norms
        models = models.maps
    elif isinstance(models, Sequence):
        models = [one.map if isinstance(one, LatentModel) else one for one in models]
    line, key, wanted = ModelSequence(models), checked_key(key), checked_orders(orders)
    starts, moves = whole(starts, "starts"), whole(moves, "moves")
    if rule is not None and not isinstance(rule, JumpRule):
        raise TypeError(f"rule: expected JumpRule(threshold, least), got {rule!r}.")
    series = {
        name: None if given is None else _checked_series(name, given, line.size)
        for name, given in (("losses", losses), ("gradient_norms", gradient_norms))
    }
    # A batch is filled up to its size: no larger than the sequence needs. One model is compiled for as are two, so that
    # a `Tracker` compiles once.
    cells = min(cells_at_once(line.model, starts), 1 << max(1, (line.size - 1).bit_length()))
    with numerics():
        job = NeighborSearch(line, wanted, key, Settings(starts + starts % 2, moves, cells), 0, 1, store, progress)
        interrupted = job.run(True, exact)
    report = {
        "cells": int(np.sum(line.usable)),
        "starts": starts,
        "version": __version__,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    events: dict[int, tuple[Event, ...]] = {}
    try:
        _fill_events(job, wanted, report, events, mend=interrupted is None)
    except KeyboardInterrupt:
        interrupted = interrupted or "interrupted by Ctrl-C while events were typed; all models have been searched"
    report |= {"mended": job.mended, "sweeps": job.sweeps, "seconds": time.perf_counter() - began}
    if interrupted:
        report["interrupted"] = interrupted
    in_order = tuple(event for step in sorted(events) for event in events[step])
    return Track(_known(job, wanted, report), in_order, series["losses"], series["gradient_norms"], rule or JumpRule())


def _known(job: NeighborSearch, orders: list[int], report: dict[str, Any]) -> BifurcationMap:
    found = {order: job.found[order] for order in orders}
    return BifurcationMap(job.grid, tuple(orders), found, job.uncounted, job.layers, job.searched, report)


def _fill_events(
    job: NeighborSearch, orders: list[int], report: dict[str, Any], events: dict[int, tuple[Event, ...]], mend: bool
):
    """Fill in the events from each model to the next, by its number.

    A cycle that the search of one model missed is met when those of its neighbor are followed to it, where an event
    lies between that changes its word: it is taken in, and what is beside that model is typed again, until nothing is
    missing.
    """
    due = job.searched
    for _ in range(_MENDINGS):
        # The steps on both sides of what changed.
        beside = due | np.append(due[1:], False) | np.append(False, due[:-1])
        edges = dataclasses.replace(_known(job, orders, report), searched=job.searched & beside).boundaries()
        missing: dict[int, list[tuple[int, np.ndarray]]] = {}
        for step in np.flatnonzero(beside[:-1] & beside[1:]).tolist():
            events.pop(step, None)  # where both ends have the same cycles by now, there is no edge
        for first, some in zip(edges.first.tolist(), edges.events, strict=True):
            events[first] = tuple(dataclasses.replace(event, at=first + event.at) for event in some)
            for event in some:
                if event.missing is not None:
                    cell = first + (event.missing == "after")
                    missing.setdefault(event.order, []).append((cell, event.words[0]))
        if not missing or not mend:
            return
        words = {k: (np.array([cell for cell, _ in few]), np.stack([w for _, w in few])) for k, few in missing.items()}
        with numerics():
            due = job.take_in(words)
        if not np.any(due):
            return


def _from_each(run: Fit, values: np.ndarray, summary: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Sum up what was logged from each kept model to the next; the last one may have had no further update."""
    ends = [*run.updates[1:], len(values)]
    return np.array([summary(values[i:j]) if j > i else np.nan for i, j in zip(run.updates, ends, strict=True)])


def _checked_series(name: str, values: Any, number: int) -> np.ndarray:
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected one number for each of the {number} models, got {values!r}.") from None
    if np.any(values < 0):
        raise ValueError(
            f"{name}: some are negative, and what stands out is looked for in log({name}); of a loss that is a "
            "logarithm, such as a log-likelihood, give exp."
        )
    if values.shape != (number,):
        raise ValueError(f"{name}: expected one number for each of the {number} models, got shape {values.shape}.")
    return values
