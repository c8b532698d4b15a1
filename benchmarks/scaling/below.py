"""Work until all fixed points are known, against the dimension, where all A are below 1."""

import functools
from collections.abc import Iterator

from benchmarks.scaling.dimension import measured
from benchmarks.scaling.families import below_one
from benchmarks.scaling.rows import Task

# The families whose slopes are steeper than what is published, in the sizes in which that shows.
TARGETS = (1.25, 1.33)
SIZES = {False: (5, 10, 15, 20, 30, 40), True: (5,)}
DRAWS = {False: 5, True: 1}


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give every network, small ones first, draw by draw."""
    for draw in range(DRAWS[quick]):
        for M in SIZES[quick]:
            for target in TARGETS:
                yield "below", f"{target}, M = {M}, {draw}", functools.partial(measured, M, target, draw, below_one)
