"""Basins: which attractor takes which share of initial states."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, whole
from cyclax.core.numerics import numerics
from cyclax.core.progress import progress_line
from cyclax.cycles.balance import balanced, restored
from cyclax.cycles.driven import settled
from cyclax.maps.affine import AffineForm, affine_form, state_scale
from cyclax.maps.base import AbstractPiecewiseLinearMap, real_array
from cyclax.maps.driven import checked_inputs, unrolled
from cyclax.maps.stack import checked_model
from cyclax.search.basins import Basins
from cyclax.search.destinations import Attractors
from cyclax.search.starts import initial_states


def attractors(
    model: AbstractPiecewiseLinearMap,
    samples: int | Float[Any, "N M"],
    *,
    key: Array | int,
    inputs: Float[Any, "p K"] | None = None,
    steps: int = 65_536,
    longest: int = 128,
    progress: bool = True,
) -> Attractors:
    """Follow initial states to where they go.

    **Arguments:**

    - `model`: any map of cyclax.
    - `samples`: how many initial states to draw (normal, of sizes from a quarter to sixteen times that of the states
      that matter to the model), or the states themselves, `(N, M)`: shares are shares of these.
    - `key`: a JAX random key, or an int seed.
    - `inputs`: `(p, K)`: inputs of p steps that repeat, as in `find_cycles`; the first row acts on the samples. Cycles
      then have orders in periods of the input; rotation numbers stay turns per step, and curves are those of the
      states on which the first row acts (orbits on one curve may be listed apart, as each its own).
    - `steps`: most steps of an orbit, and half as many again, up to 8,192, to see what it does; a chaotic transient
      that is longer passes for chaos.
    - `longest`: the longest period that is recognized.
    - `progress`: show a line on a terminal when it takes longer than a second.

    An orbit that follows the word of a stable cycle and can no longer leave it has settled, however slowly it comes
    closer. One that follows a word for long, but not for ever, is taken to where it leaves it in one leap, which counts
    as no step: slow drifts are followed to their end. Elsewhere an orbit is known by its points: those of an orbit
    beside a cycle of neutral multipliers may have another period than its word, or fill a closed curve. Closed curves
    that are no part of a linear piece are known by the order in which an orbit's points return (`rotation_number` comes
    with it).

    **Returns:** `Attractors`. Each cycle in it has been solved for and checked as those of `find_cycles`. After Ctrl-C,
    what had been found, marked so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    model, key = checked_model(model), checked_key(key)
    steps, longest = whole(steps, "steps"), whole(longest, "longest")
    if inputs is not None:
        return _driven(model, checked_inputs(model, inputs), samples, key, steps, longest, progress)
    with numerics():
        (inner,), (bounds,), units = balanced([model])
        states = _checked_samples(inner, bounds, samples, key, None if units is None else units[0])
        with progress_line(shown=progress) as say:
            found = Basins(inner, bounds, states, steps, longest).run(say)
        return found if units is None else _in_own_units(found, model, units[0])


def _driven(model, inputs: np.ndarray, samples, key, steps: int, longest: int, progress: bool) -> Attractors:
    """Follow the network unrolled over one period, from p states one after the other."""
    period, size = len(inputs), model.num_states
    with numerics():
        driven = [model.with_input(row) for row in inputs]
        states = [_checked_samples(driven[0], affine_form(driven[0]), samples, key, None)]
        for one in driven[:-1]:
            states.append(np.asarray(jax.vmap(one)(states[-1])))
    whole_periods, longest = unrolled(model, inputs, 1), longest * period
    found = attractors(whole_periods, np.hstack(states), key=key, steps=steps, longest=longest, progress=progress)
    entries = []
    with numerics():
        for entry in found.entries:
            what = entry.what and settled(model, inputs, entry.what)
            curve = None if entry.curve is None else entry.curve[..., :size]
            kind, reason, order = entry.kind, entry.reason, entry.period
            if entry.what is not None and what is None:
                kind, reason, order = "undecided", f"they come to {entry.what!r} of the network of all steps", None
            elif order is not None and kind in ("cycle", "family"):
                order = max(1, order // period)
            entries.append(dataclasses.replace(entry, what=what, curve=curve, kind=kind, reason=reason, period=order))
    return dataclasses.replace(found, entries=tuple(entries), samples=states[0])


def _checked_samples(model, bounds: AffineForm, samples, key, units: np.ndarray | None) -> np.ndarray:
    """Draw initial states `(N, M)` for a balanced model, or check those given and bring them into its units."""
    try:
        states = np.asarray(real_array(samples), np.float64)
    except (TypeError, ValueError) as error:
        wanted = f"a number of initial states to draw, or the states, (N, {model.num_states})"
        raise type(error)(f"samples: expected {wanted}, got {type(samples).__name__}; {error.__cause__}") from error
    if states.ndim == 0:
        number, scale = whole(samples, "samples"), state_scale(bounds)
        return np.asarray(_drawn_states(key, number, model.num_states, scale)).T
    if states.ndim != 2 or states.shape[1] != model.num_states or not len(states):
        raise ValueError(f"samples: expected a number, or states of shape (N, {model.num_states}), got {states.shape}.")
    if not np.all(np.isfinite(states)):
        raise ValueError(f"samples: state {int(np.argwhere(~np.isfinite(states))[0, 0])} holds NaN or inf.")
    return states if units is None else states / units


@functools.partial(jax.jit, static_argnums=(1, 2))
def _drawn_states(key, number: int, num_states: int, scale):
    return initial_states(jax.random.bits(key, (2, number), jnp.uint64), num_states, scale)


def _in_own_units(found: Attractors, model, units: np.ndarray) -> Attractors:
    bounds = affine_form(model)
    entries = tuple(
        dataclasses.replace(
            entry,
            what=None if entry.what is None else restored(entry.what, model, bounds, units),
            curve=None if entry.curve is None else entry.curve * units,
        )
        for entry in found.entries
    )
    return dataclasses.replace(found, entries=entries, samples=found.samples * units)
