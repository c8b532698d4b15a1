"""Work until all cycles of one order are known, for 2-D networks that have such."""

import functools
from collections.abc import Iterator, Sequence

import jax
import numpy as np

import cyclax as cx
from benchmarks.scaling.dimension import to_the_complete_set
from benchmarks.scaling.rows import Row, Task
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form

LONGEST = {False: (1, 7, 8, 10, 12, 15, 20, 25, 30, 34, 40, 46, 50), True: (8, 20)}
NETWORKS = {False: 5, True: 1}
# Networks that are drawn, and steps of an orbit of each before its period is looked for, to a relative distance.
_DRAWN, _STEPS, _CLOSE = 40_000, 4_000, 1e-10
NODES, SECONDS, PATHS = 20_000, 10.0, 32
# Longer orders are left to starts: a path has `order` times M unknowns.
PATHS_UP_TO = 20


@functools.cache
def periods() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw A, W, h of networks whose regions rotate, and give the period to which an orbit of each settles (0: none).

    A ~ U(0.6, 1), W12 ~ U(-1, -0.2), W21 ~ U(0.2, 1), h ~ U(-2, 2): about the published ones.
    """
    rng = np.random.default_rng(0)
    A, h = rng.uniform(0.6, 1, (_DRAWN, 2)), rng.uniform(-2, 2, (_DRAWN, 2))
    W = np.zeros((_DRAWN, 2, 2))
    W[:, 0, 1], W[:, 1, 0] = rng.uniform(-1, -0.2, _DRAWN), rng.uniform(0.2, 1, _DRAWN)
    return A, W, h, settled(A, W, h)


def settled(A: np.ndarray, W: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Give the period, up to the longest here, to which the orbit from 0 of each network settles; 0: none."""

    def step(z: np.ndarray) -> np.ndarray:
        return A * z + (W @ np.maximum(z, 0)[..., None])[..., 0] + h

    z, found = np.zeros_like(h), np.zeros(len(h), int)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            z = step(z)
        first = z
        size = np.max(np.abs(first), axis=1)
        for period in range(1, max(LONGEST[False]) + 1):
            z = step(z)
            near = np.max(np.abs(z - first), axis=1) <= _CLOSE * size
            found[near & (found == 0) & (size < 1e6)] = period
    return found


def networks(order: int, number: int) -> list[cx.PLRNN]:
    """Give the first networks with an attracting cycle of this order."""
    A, W, h, found = periods()
    return [cx.PLRNN(A=A[i], W=W[i], h=h[i]) for i in np.flatnonzero(found == order)[:number]]


def measured(models: Sequence[cx.AbstractPiecewiseLinearMap], order: int, seconds: float | None = None) -> Row:
    """Count the work on networks with cycles of one order.

    **Arguments:** `seconds`: that the default may take where the word graph proves nothing; None: starts alone are
    asked there.
    """
    finder = cx.SCYFI(starts=4096) if seconds is None else cx.Combined(seconds=seconds)
    rows = []
    for model in models:
        budget = cx.Budget(nodes=NODES, seconds=SECONDS)
        proof = cx.enumerate_cycles(model, [order], method=cx.WordGraph(), budget=budget, progress=False)
        found = cx.find_cycles(model, [order], key=0, finder=finder, progress=False)
        certified = proof.report["completeness"]["orders"]
        proved = certified == "all" or order in certified
        with jax.enable_x64(True):
            effective = affine_form(model).effective
            sets = [{word_key(cycle.gates[:, effective]) for cycle in some} for some in (proof, found)]
            complete = sets[0] if proved else sets[0] | sets[1]
            paths = PATHS if order <= PATHS_UP_TO else 0
            row = to_the_complete_set(model, order, complete, paths=paths) if complete else {}
        proved |= found.report["orders"][str(order)]["verdict"] == "proved complete"
        rows.append({"proved": proved, "cycles": len(complete), **row})
    return {"order": order, "rows": rows}


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give the orders."""
    for order in LONGEST[quick]:
        yield "orders", f"order {order}", lambda order=order: measured(networks(order, NETWORKS[quick]), order)
