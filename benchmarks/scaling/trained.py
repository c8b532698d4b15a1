"""Work until all cycles of one order are known, for networks of ten states, and for published and trained ones."""

import functools
from collections.abc import Iterator

import numpy as np

import cyclax as cx
from benchmarks.default import ORDERS as KNOWN
from benchmarks.scaling import orders
from benchmarks.scaling.rows import Row, Task
from benchmarks.scaling.verdicts import SHARED

# Published and trained networks, each with the order that it is known for.
NAMES = (
    "almost_linear_2d_order8", "plrnn_10d_order10", "plrnn_2d_order16", "clipped_m3_h10_order20", "plrnn_2d_order27",
    "plrnn_2d_order40", "plrnn_2d_order53",
)  # fmt: skip
# Orders, and networks of each, in ten states.
TEN = {False: (1, 9, 11, 17, 22, 27, 31, 38, 45, 50), True: (9,)}
NETWORKS = {False: 3, True: 1}
# Networks that are drawn, and what scales W; seconds of the default where the word graph does not end.
_DRAWN, _GAIN, SECONDS = 6000, 1.1, 20.0


@functools.cache
def periods() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw A ~ U(0.3, 0.9), W ~ 1.1 N(0, 1) / sqrt(10), h ~ N(0, 1), and give the period of an orbit of each."""
    rng = np.random.default_rng(0)
    A, h = rng.uniform(0.3, 0.9, (_DRAWN, 10)), rng.normal(size=(_DRAWN, 10))
    W = _GAIN * rng.normal(size=(_DRAWN, 10, 10)) / np.sqrt(10)
    return A, W, h, orders.settled(A, W, h)


def drawn(order: int, number: int) -> Row:
    """Count the work on the first networks of ten states whose orbit settles to a cycle of the order."""
    A, W, h, found = periods()
    some = [cx.PLRNN(A=A[i], W=W[i], h=h[i]) for i in np.flatnonzero(found == order)[:number]]
    return orders.measured(some, order, SECONDS)


def known(name: str) -> Row:
    """Count the work on one network."""
    path = SHARED / "cases" / f"{name}.json"
    if not path.is_file():
        return {"skipped": f"{path.name} is not there"}
    return orders.measured([cx.load(path)], KNOWN[name], SECONDS)


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give the networks, and the orders in ten states."""
    for name in NAMES[: 1 if quick else None]:
        yield "trained", name, functools.partial(known, name)
    for order in TEN[quick]:
        yield "trained", f"ten states, order {order}", functools.partial(drawn, order, NETWORKS[quick])
