"""`find_cycles`: the verb."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Required, TypedDict, Unpack, overload

import jax
import numpy as np
from jaxtyping import Array, Bool

from cyclax.core.budget import Budget
from cyclax.core.checks import checked_key, whole
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.stop import Stop
from cyclax.cycles.balance import balanced, in_own_units
from cyclax.cycles.cycle import NearMiss
from cyclax.cycles.driven import over_periods
from cyclax.cycles.orders import checked_orders, checked_words, divisors
from cyclax.cycles.result import Cycles
from cyclax.cycles.seal import sealed
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.driven import Unrolled
from cyclax.maps.stack import checked_model, checked_models
from cyclax.search.combined import Combined
from cyclax.search.finder import AbstractFinder
from cyclax.search.tally import Network


class _Options(TypedDict, total=False):
    key: Required[Array | int]
    finder: AbstractFinder | None
    inputs: Any
    words: Cycles | Iterable[Bool[Any, "k G"]]
    near_misses: int
    progress: bool


@overload
def find_cycles(
    model: AbstractPiecewiseLinearMap, orders: int | Iterable[int], **options: Unpack[_Options]
) -> Cycles: ...
@overload
def find_cycles(
    model: Sequence[AbstractPiecewiseLinearMap], orders: int | Iterable[int], **options: Unpack[_Options]
) -> tuple[Cycles, ...]: ...
def find_cycles(model, orders, *, key, finder=None, inputs=None, words=(), near_misses=0, progress=True):
    """Find the cycles of a piecewise-linear map, or of many maps of one shape.

    **Arguments:**

    - `model`: any map of cyclax. A batch is a sequence of maps of one class and shape, or one map whose leaves are
      stacks along a first axis (as `jax.vmap` and `equinox.filter_vmap` make them).
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods (their divisors are searched too,
      for the index sum, and not returned).
    - `key`: a JAX random key, or an int seed. Equal keys give equal results, whatever the number of lanes. Model i of a
      batch is searched with `jax.random.fold_in(key, i)`.
    - `finder`: how to search: by default `Combined()`, which takes turns between proofs, `PathFollowing()` (for many
      dimensions) and `SCYFI()` (for long cycles) until the verdict is final; one of these two alone; or a source of
      words of your own (`AbstractWordSource`).
    - `inputs`: `(p, K)`: inputs of p steps that repeat for ever, a row for each, as `model.with_input` takes them.
      Orders then count periods of the input: a cycle of order k returns after k p steps, and has so many `points` and
      `gates`, the first of them where the first row acts; what differs by whole periods is one cycle. Found as fixed
      points of all steps at once, in k p M dimensions, so for few steps or few states; `finder.seconds` are for each
      order.
    - `words`: what to start from as well: the cycles of a neighbouring network, or gate words `(k, G)`. They do not
      enter the estimate of what is unseen.
    - `near_misses`: list up to so many virtual cycles just outside their region, and as many ghosts (local minima of
      |F^k(z) - z|), of each order.
    - `progress`: show a bar on a terminal when the search takes longer than a second.

    **Returns:** `Cycles`; for a batch a tuple of them, one for each model. Ctrl-C and `finder.seconds` return what has
    been found so far, and the report says so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    began, finder = Budget.clock(), Combined() if finder is None else finder
    if not isinstance(finder, AbstractFinder):
        known = "cyclax.Combined(..), cyclax.SCYFI(..), cyclax.PathFollowing(..), or a finder of your own"
        raise TypeError(f"finder: expected {known}, got {finder!r}.")
    wanted = checked_orders(orders)
    if inputs is not None:
        return _driven(model, inputs, wanted, key, finder, words, near_misses, progress)
    models, batch = checked_models(model)
    given = checked_words(words, models[0].num_gates)
    key = checked_key(key)
    near_misses = whole(near_misses, "near_misses", 0)
    searched = sorted({divisor for order in wanted for divisor in divisors(order)})
    with Interruption() as interruption, numerics():
        keys = [jax.random.fold_in(key, i) for i in range(len(models))] if batch else [key]
        searchable, bounds, units = balanced(models)
        networks = [Network(one, some, k, searched) for one, some, k in zip(searchable, bounds, keys, strict=True)]
        for network in networks:
            network.wants_strays = near_misses > 0
        stop = Stop(finder.seconds, interruption, began)
        finder.search(networks, stop, given=given, progress=progress)
        interrupted = stop.reason()
        missed: list[tuple[NearMiss, ...]] = [() for _ in networks]
        for i, network in enumerate(networks if near_misses and not interrupted else []):
            some = (network.near_misses(order, near_misses) for order in wanted if not interruption.pressed)
            missed[i] = tuple(entry for entries in some for entry in entries)
        if interruption.pressed and not interrupted:
            interrupted = "interrupted by Ctrl-C after the search; the cycles are those of a whole one"
        seconds = Budget.clock() - began
        results = [network.result(wanted, finder, seconds, interrupted) for network in networks]
        results = [dataclasses.replace(one, near_misses=near) for one, near in zip(results, missed, strict=True)]
        if units is not None:
            results = [sealed(in_own_units(*one)) for one in zip(results, models, units, strict=True)]
    return tuple(results) if batch else results[0]


def _driven(model, inputs, wanted, key, finder, words, near_misses, progress) -> Cycles:
    if near_misses:
        raise ValueError("near_misses: of driven networks they are not listed; leave it 0 with inputs=.")
    groups = checked_words(words, checked_model(model).num_gates).values()
    given = [word.reshape(1, -1) for group in groups for word in group]
    key = checked_key(key)

    def search(unrolled: Unrolled, periods: int) -> Cycles:
        # A word that repeats is one of more periods, too.
        fitting = [np.tile(word, unrolled.num_gates // word.size) for word in given]
        fitting = [word for word in fitting if word.size == unrolled.num_gates]
        own = jax.random.fold_in(key, periods)
        return find_cycles(unrolled, 1, key=own, finder=finder, words=fitting, progress=progress)

    return over_periods(model, inputs, wanted, search)
