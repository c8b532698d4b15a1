"""Share found against work in chaotic maps, by source of words."""

from collections.abc import Iterator

import jax

import cyclax as cx
from benchmarks.recall import PATHS, STRATEGIES, Strategy, coupled_tents, met_by_paths, path_search, reached, recall
from benchmarks.scaling.rows import Row, Task
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form

MAPS = {
    "Lozi (1.7, 0.5)": (cx.LoziMap(1.7, 0.5), {False: (4, 6, 8, 10, 12, 14), True: (6,)}),
    "coupled tents": (coupled_tents(), {False: (2, 3, 4), True: (2,)}),
}
MOST_SOLVES, MOST_PATHS = 200_000, 1024


def measured(model, order: int) -> Row:
    """Give the work at which each of `recall.SHARES` of the cycles of just this order was reached; None: never."""
    proof = cx.enumerate_cycles(model, [order], budget=60.0, progress=False)
    assert proof.report["orders"][str(order)]["verdict"] == "proved complete", proof.report["completeness"]
    with jax.enable_x64(True):
        effective = affine_form(model).effective
        complete = {word_key(cycle.gates[:, effective]) for cycle in proof}
        work = {}
        for kind in STRATEGIES:
            times, *_ = recall(Strategy(kind, model, order, pool=512), complete, MOST_SOLVES)
            work[kind] = reached(times, len(complete))
        met = list(met_by_paths(path_search(model, order, 0), complete, MOST_PATHS, PATHS))
        work["paths (pieces)"] = reached(sorted(met[-1].values()) if met else [], len(complete))
    finite = {kind: [None if n == float("inf") else int(n) for n in needed] for kind, needed in work.items()}
    return {"order": order, "cycles": len(complete), "work": finite}


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give maps and orders."""
    for name, (model, orders) in MAPS.items():
        for order in orders[quick]:
            yield "chaos", f"{name}, order {order}", lambda model=model, order=order: measured(model, order)
