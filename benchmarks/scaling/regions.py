"""How many regions the word-to-word move still visits, begun from all of them."""

from collections.abc import Iterator

import numpy as np

from benchmarks.scaling.families import TARGETS, family, normal
from benchmarks.scaling.rows import Row, Task

NUM_STATES, NETWORKS, MOVES = 10, 10, 20


def distinct_words(A: np.ndarray, W: np.ndarray, h: np.ndarray, moves: int) -> list[int]:
    """Count the distinct words of order 1 that are left after each move, from all 2^M on.

    A word moves to that of its candidate, the fixed point of its affine map; where that is singular, nowhere.
    """
    number = len(h)
    codes = np.arange(2**number)
    words = codes[:, None] >> np.arange(number) & 1 == 1
    systems = np.eye(number) - np.diag(A) - W * words[:, None, :]
    regular = np.linalg.cond(systems) < 1e14
    candidates = np.zeros((len(codes), number))
    candidates[regular] = np.linalg.solve(systems[regular], np.broadcast_to(h[:, None], (regular.sum(), number, 1)))[
        ..., 0
    ]
    following = np.where(regular, (candidates > 0) @ (1 << np.arange(number)), -1)
    left, counts = codes, [len(codes)]
    for _ in range(moves):
        left = np.unique(following[left])
        left = left[left >= 0]
        counts.append(len(left))
    return counts


def measured(target: float | None, draw: int) -> Row:
    """Count for one network; without a target, of normal weights, as nine of the ten published ones seem to have."""
    model, achieved = normal(NUM_STATES, draw) if target is None else family(NUM_STATES, target, draw)
    counts = distinct_words(*(np.asarray(leaf) for leaf in (model.A, model.W, model.h)), MOVES)
    return {"target": target, "draw": draw, "achieved": round(achieved, 4), "words": counts}


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give ten networks of each family: they take no time."""
    del quick
    for target in (*TARGETS, None):
        for draw in range(NETWORKS):
            yield "regions", f"{target or 'normal'}, {draw}", lambda target=target, draw=draw: measured(target, draw)
