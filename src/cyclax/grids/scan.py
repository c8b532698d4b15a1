"""`scan`: the verb. The cycles in every cell of a grid of parameters; neighbors mend what one cell missed."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from cyclax.core.checks import checked_key, whole
from cyclax.core.numerics import numerics
from cyclax.core.version import __version__
from cyclax.cycles.inventory import model_hash
from cyclax.cycles.orders import checked_orders
from cyclax.grids.cells import Settings
from cyclax.grids.grid import ParameterGrid
from cyclax.grids.map import BifurcationMap
from cyclax.grids.neighbors import NeighborSearch, cells_at_once
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model

# Every so many cells, along each axis, has all its starts; those between have so many times fewer, and these at least.
_STRIDE, _FEWER, _FEWEST = 8, 16, 4


def scan(
    model: AbstractPiecewiseLinearMap,
    parameters: Mapping[Any, Any],
    orders: int | Iterable[int],
    *,
    key: Array | int,
    starts: int = 64,
    moves: int = 64,
    heal: bool = True,
    exact: bool = False,
    orbit_steps: int = 1000,
    longest_period: int = 64,
    store: Any = None,
    cells: int | None = None,
    progress: bool = True,
) -> BifurcationMap:
    """Find the cycles in every cell of a grid of parameters.

    From coarse to fine: every eighth cell along each axis is searched with all its starts, and every fourth with a
    quarter of them; the words found are tried in the neighboring cells, with those on the other side of the border that
    a cycle is about to meet, sweep by sweep, until nothing changes; then the others have a few starts of their own, or
    all where much is known already. Cells whose index sum differs from a neighbor's, or whose starts missed what is
    known, are searched again.

    **Arguments:**

    - `model`: any map of cyclax.
    - `parameters`: {`cx.Parameter` or its name: values}, the axes of the grid in this order; the values of each rise
      or fall.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods.
    - `key`: a JAX random key, or an int seed. Cell i draws what belongs to `key` and i.
    - `starts`: most of each cell and order, but for those searched again; `moves`: after which a start is given up.
    - `heal`: False gives every cell all its starts, and leaves it as these and its orbits left it.
    - `exact`: prove every cell with `enumerate_cycles` (slow: milliseconds to seconds a cell in two dimensions and low
      orders; where it is not done in ten minutes, the cell stays unproved).
    - `orbit_steps`: orbits are followed so long, and as long again to measure the largest Lyapunov exponent and the
      period of what attracts (up to `longest_period`): the cycle of the word that an orbit settles on is solved and
      checked, and counts as found. 0 leaves these layers out.
    - `store`: a folder. What is computed is kept there, and a scan that was stopped, in whatever way, goes on from it
      with the same arguments.
    - `cells`: searched at once, 2048 by default or what fits 64 MiB; the result does not depend on it but for rounding.
    - `progress`: show a bar on a terminal when it takes longer than a second.

    With several devices, or processes of `jax.distributed`, the work is divided among them, and every process returns
    the whole map.

    **Returns:** a `BifurcationMap`. After Ctrl-C, the cells finished by then, marked so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    began = time.perf_counter()
    model, key, wanted = checked_model(model), checked_key(key), checked_orders(orders)
    starts, moves = whole(starts, "starts"), whole(moves, "moves")
    longest_period, orbit_steps = whole(longest_period, "longest_period"), whole(orbit_steps, "orbit_steps", 0)
    grid = ParameterGrid(model, parameters)
    starts += starts % 2  # in pairs, one of each kind
    at_once = cells_at_once(model, starts) if cells is None else whole(cells, "cells")
    few = min(starts, max(_FEWEST, starts // _FEWER))
    settings = Settings(starts, moves, at_once, _STRIDE if heal else 1, few + few % 2)
    with numerics():
        job = NeighborSearch(grid, wanted, key, settings, orbit_steps, longest_period, store, progress)
        interrupted = job.run(heal, exact)
    report = {
        "seconds": time.perf_counter() - began,
        "cells": grid.size,
        "starts": settings.starts,
        "mended": job.mended,
        "sweeps": job.sweeps,
        "searched_again": job.searched_again,
        "version": __version__,
        "model": model_hash(model),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    if interrupted:
        report["interrupted"] = interrupted
    found = {order: job.found[order] for order in wanted}
    return BifurcationMap(grid, tuple(wanted), found, job.uncounted, job.layers, job.searched, report)
