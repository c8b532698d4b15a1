"""Two sets of cycles at the ends of a path of models -> the events between them, typed and located."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool

from cyclax.bifurcations.comparison import Comparison, Groups
from cyclax.bifurcations.event import Event, by_place
from cyclax.bifurcations.line import Line, Path
from cyclax.bifurcations.watched import AbstractEventType, watched
from cyclax.core.numerics import numerics
from cyclax.cycles.balance import balanced_stack, units_of
from cyclax.cycles.orders import checked_orders, checked_words
from cyclax.cycles.result import Cycles, of_all_orders
from cyclax.maps.affine import affine_form
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model, require_one_shape


def compare(
    model_a: AbstractPiecewiseLinearMap,
    model_b: AbstractPiecewiseLinearMap,
    cycles_a: Cycles | Iterable[Bool[Any, "k G"]],
    cycles_b: Cycles | Iterable[Bool[Any, "k G"]],
    *,
    orders: int | Iterable[int] | None = None,
    event_types: Sequence[AbstractEventType] = (),
) -> tuple[Event, ...]:
    """Give the events on the straight line from one model to another.

    **Arguments:**

    - `model_a`, `model_b`: two models of one class and shape; s = 0 is the first, s = 1 the second.
    - `cycles_a`, `cycles_b`: their cycles, as `find_cycles` or `enumerate_cycles` return them, or just the gate words
      `(k, G)`.
    - `orders`: which orders were searched for both models (an int K means 1..K). By default `Cycles` say it themselves,
      and of words it is taken to be those that they have. Words of other orders are left out.
    - `event_types`: events of your own to look for as well, on every stretch on which a word is a cycle.

    **Returns:** the events, in the order in which they are met. A cycle that the search missed at one end gives an
    event "unexplained" that says so.

    **Raises:** `TypeError` and `ValueError` for models that are not of one class and shape, words of another, or orders
    that were not searched.
    """
    names = ("model_a", "model_b")
    models = [checked_model(model, name) for model, name in zip((model_a, model_b), names, strict=True)]
    require_one_shape(models, names, "compare: both models")
    wanted = None if orders is None else set(checked_orders(orders))
    ends, searched = [], []
    for name, cycles in (("cycles_a", cycles_a), ("cycles_b", cycles_b)):
        words = checked_words(cycles, models[0].num_gates)
        ends.append({order: (np.zeros(len(some), int), some) for order, some in words.items()})
        searched.append(set(cycles.orders) if isinstance(cycles, Cycles) else None)
        missing = sorted((wanted or set()) - (searched[-1] or set()))
        if missing and isinstance(cycles, Cycles) and not of_all_orders(cycles):
            known = ", ".join(map(str, cycles.orders))
            raise ValueError(f"orders: order {missing[0]} was not searched for {name}; searched: {known}.")
    known = [orders for orders in searched if orders is not None]
    said = set.intersection(*known) if known else ends[0].keys() | ends[1].keys()
    wanted = said if wanted is None else wanted
    line = Line(*(jax.tree.map(lambda leaf: np.asarray(leaf, float)[None], model) for model in models))
    given = ({k: end[k] for k in end if k in wanted} for end in ends)
    (events,) = compare_pairs(line, 1, *given, orders=wanted, event_types=event_types)
    return events


def compare_pairs(
    path: Path,
    number: int,
    before: Groups,
    after: Groups,
    *,
    orders: Iterable[int] | None = None,
    event_types: Sequence[AbstractEventType] = (),
) -> list[tuple[Event, ...]]:
    """Give the events between many pairs of models, such as the cells at both ends of each edge of a grid.

    **Arguments:**

    - `path`: `path(pairs (n,), s (n,))` gives the models of these pairs at the fractions s of their paths, as one map
      whose leaves are n stacked. s lies between 0 and 1.
    - `number`: the number of pairs.
    - `before`, `after`: the cycles at s = 0 and at s = 1: for each order k the numbers of the pairs `(n,)` and the gate
      words `(n, k, G)`, in any rotation, in any order.
    - `orders`: which orders were searched at both ends: those of the words by default. A cycle of one of these orders
      that is there and not on the list is an event "unexplained" with `missing` set.
    - `event_types`: events of one's own to look for as well.

    **Returns:** for each pair its events by place; those of the same cycle in the order in which they are met.

    Nothing is raised on account of numbers: what cannot be followed becomes an event "unexplained". An interval without
    an event at its ends is not looked at for words that come and go within it.
    """
    wanted = set(before) | set(after) if orders is None else set(orders)
    with numerics():
        comparison = Comparison(balanced_path(path, number), number, wanted, noting=bool(event_types))
        found = comparison.run(before, after)
        if not event_types:
            return found
        own: dict[int, list[Event]] = {}
        for pair, event in watched(comparison.paths, comparison.stretches(), event_types):
            own.setdefault(pair, []).append(event)
    return [tuple(sorted((*some, *own.get(pair, ())), key=by_place)) for pair, some in enumerate(found)]


def balanced_path(path: Path, number: int) -> Path:
    """Put all models of the paths into the units that the first of them is balanced in: events have none."""
    if number == 0:
        return path
    first = jax.tree.map(lambda leaf: np.asarray(leaf, float)[0], path(np.zeros(1, int), np.zeros(1)))
    units = units_of(affine_form(first))
    if isinstance(path, Line):
        return Line(*(balanced_stack(models, number, units) for models in (path.first, path.last)))
    return lambda pairs, places: balanced_stack(path(pairs, places), len(pairs), units)
