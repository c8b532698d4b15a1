"""Work until all fixed points are known, against the dimension."""

import time
from collections.abc import Iterator

import jax

import cyclax as cx
from benchmarks.recall import Strategy, met_by_paths, path_search, recall
from benchmarks.scaling.families import TARGETS, family
from benchmarks.scaling.rows import Row, Task
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form

SIZES = {False: (2, 5, 10, 15, 20, 30, 40, 50, 70, 100, 127), True: (2, 5, 10)}
DRAWS = {False: 10, True: 1}
# In larger dimensions the families of larger eigenvalues can hardly be proved: those rows come last.
_PROVED_UP_TO = 50
# What each way may spend on one network: nodes, or seconds, of a proof; seconds of the default; solves of starts, or
# operations (3 M^3 each, about); paths.
NODES, SECONDS, DEFAULT_SECONDS, SOLVES, OPERATIONS, PATHS = 20_000, 20.0, 20.0, 200_000, 5e10, 256
# Starts in a block: the work is counted start by start, so that this is a matter of speed only.
POOL = 64
STARTS = {"uniform": "uniform words", "both": "both (the default)"}


def measured(num_states: int, target: float, draw: int, drawn=family) -> Row:
    """Count the work of each way on one network, drawn by that function."""
    model, achieved = drawn(num_states, target, draw)
    budget = cx.Budget(nodes=NODES, seconds=SECONDS)
    proof = cx.enumerate_cycles(model, [1], method=cx.BranchAndBound(), budget=budget, progress=False)
    certified = proof.report["completeness"]
    proved = certified["orders"] == "all" or 1 in certified["orders"]
    row: Row = {
        "M": num_states, "target": target, "draw": draw, "achieved": round(achieved, 4), "proved": proved,
        "nodes": certified["nodes"], "programs": certified["programs"], "proof_s": round(certified["seconds"], 3),
    }  # fmt: skip
    begin = time.perf_counter()
    found = cx.find_cycles(model, [1], key=0, finder=cx.Combined(seconds=DEFAULT_SECONDS), progress=False)
    entry = found.report["orders"]["1"]
    row |= {"default_s": round(time.perf_counter() - begin, 3), "verdict": entry["verdict"],
            "default_solves": entry["solves"], "default_pieces": entry.get("paths", {}).get("pieces", 0)}  # fmt: skip
    with jax.enable_x64(True):
        effective = affine_form(model).effective
        sets = [{word_key(cycle.gates[:, effective]) for cycle in some} for some in (proof, found)]
        complete = sets[0] if proved else sets[0] | sets[1]
        row |= {"cycles": len(complete), "default_found": len(sets[1]), "missing_in_proof": len(sets[1] - complete)}
        return row | (to_the_complete_set(model, 1, complete) if complete else {})


def to_the_complete_set(model, order: int, complete: set, *, paths: int = PATHS) -> Row:
    """Count solves of both kinds of starts, and paths and pieces, until one (`first`) and all are found, or None."""
    row: Row = {}
    most = int(min(SOLVES, OPERATIONS / (order * 3 * model.num_states**3)))
    for name, kind in STARTS.items():
        strategy = Strategy(kind, model, order, pool=POOL)
        times, rate, *_ = recall(strategy, complete, most)
        row |= {f"{name}_first": times[0] if times else None,
                f"{name}_solves": times[-1] if len(times) == len(complete) else None,
                f"{name}_share": round(len(times) / len(complete), 4), f"{name}_rate": round(rate)}  # fmt: skip
    search, begin = path_search(model, order, 0), time.perf_counter()
    met = [{}, *met_by_paths(search, complete, paths, 1)][-1]
    whole = len(met) == len(complete)
    return row | {
        "paths": search.first if whole else None, "pieces": max(met.values()) if whole else None,
        "pieces_first": min(met.values(), default=None),
        "paths_share": round(len(met) / len(complete), 4), "paths_s": round(time.perf_counter() - begin, 3),
        "pieces_followed": search.tally.pieces, "paths_followed": search.first, "most": most,
    }  # fmt: skip


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give every network, small ones first, draw by draw."""
    rows = [
        (num_states > _PROVED_UP_TO and target > 1, draw, num_states, target)
        for draw in range(DRAWS[quick])
        for num_states in SIZES[quick]
        for target in TARGETS
    ]
    for _, draw, num_states, target in sorted(rows):
        name = f"{target}, M = {num_states}, {draw}"
        yield "dimension", name, lambda M=num_states, target=target, draw=draw: measured(M, target, draw)
