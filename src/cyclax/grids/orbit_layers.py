"""What orbits do in each cell of a grid: largest Lyapunov exponent, period of what attracts, divergence, states."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, whole
from cyclax.core.draws import counted, normals, seed_of
from cyclax.core.numerics import numerics
from cyclax.cycles.table import BORDER, FAMILY, CycleTable
from cyclax.grids.cells import GridSearch, Stack, VerifiedTables, scales
from cyclax.grids.grid import ParameterGrid
from cyclax.maps.affine import affine_forms, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.orbits import follow_tangents, gate_hashes, period_of, word_periods
from cyclax.maps.stack import checked_model
from cyclax.search.followed import followed
from cyclax.search.starts import initial_states

# Orbits in each cell.
ORBITS = 4
# A state this many times larger than those that matter has left for infinity.
_GONE = 1e6
# Cells whose orbits are followed together on CPUs.
_TOGETHER = 256
# Steps after which orbits are first asked whether they have settled.
_SOON = 100
# Below this exponent, measured, a tangent vanishes at once.
_VANISHES = -30.0
# Cells whose orbits are followed at once for a picture.
_AT_ONCE = 1024


@jax.jit(static_argnames="longest")
def _run(models, z, v, limits, matter, scale, steps, returns, *, longest: int):
    def one(model, z, v, limit, matter, scale):
        z, v, _, gone = follow_tangents(model, z, v, limit, steps)
        z, _, growth, later = follow_tangents(model, z, v, limit, steps)
        hashes = gate_hashes(model, z, matter, steps=2 * longest)
        return z, growth / steps, gone | later, period_of(model, z, returns, scale), hashes

    return jax.vmap(one)(models, z, v, limits, matter, scale)


def orbits(
    search: GridSearch, stack: Stack, steps: int, longest: int, known: dict[int, CycleTable]
) -> tuple[dict[str, np.ndarray], list[VerifiedTables]]:
    """Follow a few orbits in each cell of a stack, `steps` to forget and `steps` to measure.

    Cycles that are `known` there, by order, need no check.

    **Returns:** arrays over the cells: `exponent` (nats per step, the largest of the orbits that stay; nan where none
    does), `period` (the shortest that an orbit settled on; 0 where none up to `longest`, -1 where none stays),
    `bounded` (the share of orbits that stay); and the cycles on which orbits settled.
    """
    number, num_states = len(stack.cells), stack.bounds.gradients.shape[-1]
    most = _TOGETHER if jax.default_backend() == "cpu" else search.settings.cells
    size, scale = min(most, search.settings.cells), scales(stack)

    def followed_for(steps: int, cells: np.ndarray, returns: int):
        """Follow the orbits of some cells; give what `_run` does, and the steps after which words repeat, 0 if gone.

        Whether points return is looked at for so many steps, `returns`.
        """
        parts = []
        for begin in range(0, len(cells), size):
            some = cells[begin : begin + size]
            rows = np.resize(some, size)
            models, limits = jax.tree.map(lambda leaf, rows=rows: leaf[rows], stack.models), _GONE * scale[rows]
            z, v = _initial(search.key, stack.cells[rows], scale[rows], num_states=num_states, orbits=ORBITS)
            facts = stack.bounds.effective[rows], scale[rows]
            ends = _run(models, z, v, limits, *facts, steps, returns, longest=longest)
            *ends, hashes = (np.asarray(part)[: len(some)] for part in ends)
            stays, again = ~ends[2], np.zeros(ends[2].shape, int)
            again[stays] = word_periods(np.moveaxis(hashes, 1, 0)[:, stays])
            parts.append((*ends, again))
        return map(np.concatenate, zip(*parts, strict=True))

    # Most orbits soon leave, or follow one word for ever, and what they come to is known then. The others go the whole
    # way, from the beginning.
    every = np.arange(number)
    states, growth, gone, _, again = followed_for(min(steps, _SOON), every, 0)
    growth = np.where(gone, -np.inf, growth)
    settled, met = _held(search, stack, every, states, again, growth, longest, known)
    open_ = np.flatnonzero(~np.all(gone | (settled > 0), axis=1))
    if len(open_):
        there, grown, left, returned, again = followed_for(steps, open_, longest)
        grown = np.where(left, -np.inf, grown)
        more, others = _held(search, stack, open_, there, again, grown, longest, known)
        # What follows no word for ever may still lie on a border, or on cycles of a family that reach one.
        rest, last = _settled(search, stack, open_, there, np.where(left | (more > 0), 0, returned))
        settled[open_], growth[open_], gone[open_] = np.maximum(more, rest), grown, left
        met += others + last
    shortest = np.min(np.where(settled > 0, settled, longest + 1), axis=1)
    all_gone = np.all(gone, axis=1)
    layers = {
        "exponent": np.where(all_gone, np.nan, np.max(growth, axis=1)),
        "period": np.where(all_gone, -1, np.where(shortest > longest, 0, shortest)),
        "bounded": np.mean(~gone, axis=1),
    }
    return layers, met


def _held(search: GridSearch, stack: Stack, cells: np.ndarray, states, again: np.ndarray, growth, longest: int, known):
    """Find the orbits that follow a word for ever, among those whose words repeat after `again (N, orbits)` steps.

    They are those of `cells (N,)` of the stack. Their exponents are those of the cycle, and are written into `growth`.

    **Returns:** the periods of the points that they come to, 0 for all others; and the words, checked.
    """
    periods, parts = np.zeros_like(again), []
    for order in np.unique(again[again > 0]).tolist():
        cell, orbit = np.nonzero(again == order)
        ends = states[cell, :, orbit]
        words, _ = itineraries(stack.models, ends[:, None], order, cells[cell])
        facts = followed(stack.bounds, words, ends, longest, cells[cell])
        periods[cell, orbit] = np.where(facts.held, facts.period, 0)
        with np.errstate(divide="ignore"):
            exponent = np.log(facts.radius) / order
        # What vanishes in a lap has a multiplier of 0, which rounding hides.
        exact = facts.held & (growth[cell, orbit] > _VANISHES)
        growth[cell[exact], orbit[exact]] = exponent[exact]
        # The solution of a word that is held lies on no border: its period is that of the word.
        if order in known and np.any(facts.held):
            parts.append(search.check(stack, [(cells[cell[facts.held]], words[facts.held])], known))
    return periods, parts


def _settled(search: GridSearch, stack: Stack, cells: np.ndarray, states: np.ndarray, period: np.ndarray):
    """Keep the periods `(N, orbits)` at which a cycle attracts: the word that the orbit meets is solved and checked.

    A slow spiral into a cycle comes back near to itself after every turn, whatever the period of the cycle.

    **Returns:** the periods, 0 where there is none; and the words, checked.
    """
    kept, parts = np.zeros_like(period), []
    for order in np.unique(period[period > 0]).tolist():
        cell, orbit = np.nonzero(period == order)
        words, _ = itineraries(stack.models, states[cell, :, orbit][:, None], order, cells[cell])
        checked = search.check(stack, [(cells[cell], words)])
        # A line of cycles, or one on a border.
        attracting = [some.cells(BORDER, FAMILY) for base, some in checked.uncounted.items() if base == order]
        if order in checked.found:
            table = checked.found[order]
            attracting.append(table.cell[np.max(np.abs(table.multipliers), axis=1, initial=0.0) < 1])
        attracted = np.concatenate([np.zeros(0, int), *attracting])
        kept[cell, orbit] = np.where(np.isin(stack.cells[cells[cell]], attracted), order, 0)
        parts.append(checked)
    return kept, parts


@jax.jit(static_argnames=("num_states", "orbits"))
def _initial(key, cells, scale, *, num_states: int, orbits: int):
    def one(cell, scale):
        seeds = counted(seed_of(jax.random.key_data(key), cell), 0, 3 * orbits).reshape(3, orbits)
        z, v = initial_states(seeds[:2], num_states, scale / 4), normals(seeds[2], num_states)
        return z, v / jnp.linalg.norm(v, axis=0)

    return jax.vmap(one)(cells, scale)


def attractor_points(
    model: AbstractPiecewiseLinearMap,
    parameters: Mapping[Any, Any],
    *,
    key: Array | int,
    transient: int = 1000,
    points: int = 200,
    orbits: int = 1,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n points M"]]:
    """Give states on the attractors for each value of one parameter, to draw behind a bifurcation diagram.

    **Arguments:**

    - `model`, `parameters`: as for `scan`, one parameter.
    - `key`: a JAX random key, or an int seed: orbits begin at random states.
    - `transient`: steps that are forgotten; `points`: states kept of each orbit.
    - `orbits`: how many are followed for each value. More than one shows attractors that coexist.

    **Returns:** the values `(n,)`, and the states `(n, orbits * points, M)`; nan where an orbit left for infinity.

    **Raises:** `TypeError` and `ValueError` that name the argument.
    """
    grid, key = ParameterGrid(checked_model(model), parameters), checked_key(key)
    if len(grid.shape) != 1:
        raise ValueError(f"attractor_points: expected one parameter, got {len(grid.shape)} ({', '.join(grid.names)}).")
    transient, points, orbits = whole(transient, "transient", 0), whole(points, "points"), whole(orbits, "orbits")
    states = []
    with numerics():
        for begin in range(0, grid.size, _AT_ONCE):
            cells = np.arange(begin, min(begin + _AT_ONCE, grid.size))
            models = grid.models(grid.values(cells))
            stack = Stack(cells, models, affine_forms(models, len(cells), grid.model.num_states))
            scale = scales(stack)
            z, _ = _initial(key, cells, scale, num_states=grid.model.num_states, orbits=orbits)
            states.append(np.asarray(_kept(models, z, _GONE * scale, transient, points=points)))
    return grid.axes[0], np.concatenate(states)


@jax.jit(static_argnames="points")
def _kept(models, z, limits, transient, *, points: int):
    def one(model, z, limit):
        z = jax.lax.fori_loop(0, transient, lambda _, z: jnp.clip(_stepped(model, z), -2 * limit, 2 * limit), z)

        def on(z, _):
            z = jnp.clip(_stepped(model, z), -2 * limit, 2 * limit)
            return z, z

        _, kept = jax.lax.scan(on, z, length=points)  # (points, M, orbits)
        kept = jnp.where(jnp.max(jnp.abs(kept), axis=(0, 1)) < limit, kept, jnp.nan)
        return jnp.transpose(kept, (2, 0, 1)).reshape(-1, kept.shape[1])

    return jax.vmap(one)(models, z, limits)


def _stepped(model, z):
    return jax.vmap(model, in_axes=1, out_axes=1)(z)
