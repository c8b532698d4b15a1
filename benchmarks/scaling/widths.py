"""Work until one and until all fixed points are known, against the dimension, with weights of one width."""

import functools
from collections.abc import Iterator

from benchmarks.scaling.dimension import measured
from benchmarks.scaling.families import of_width
from benchmarks.scaling.rows import Task

# The dimensions of the published fits, up to 100, by the width of the weights; and networks of each.
SIZES = {0.2: (10, 20, 50, 75, 100), 0.5: (10, 20, 30, 40, 50), 1.0: (10, 20, 30, 40, 50)}
DRAWS = {False: 8, True: 1}


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give every network, small ones first, draw by draw."""
    for draw in range(DRAWS[quick]):
        for M, width in sorted((M, width) for width, sizes in SIZES.items() for M in sizes[: 2 if quick else None]):
            yield "widths", f"{width}, M = {M}, {draw}", functools.partial(measured, M, width, draw, of_width)
