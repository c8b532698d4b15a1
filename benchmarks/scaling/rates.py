"""Solves, pieces, cells and models a second, and what of the machine they use: cores, simulated devices, float32.

Each row is measured in a process of its own, which is pinned to its cores before it begins.
"""

import functools
import itertools
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import cyclax as cx
from benchmarks.recall import coupled_tents, path_search
from benchmarks.scaling.rows import Row, Task
from benchmarks.search import NETWORKS, load_network, network
from cyclax.core.numerics import numerics
from cyclax.maps.affine import affine_form, state_scale
from cyclax.paths import follow
from cyclax.search.lanes import Fate, Pool, Search, advance, default_lanes, initial_search, operations
from cyclax.search.linear import UNROLLED_SIZE
from cyclax.search.starts import drawn_starts

SIZES = {False: (2, 10, 30, 100, 256, 512), True: (30,)}
ORDERS = {False: (1, 10, 100), True: (1, 10)}
# States and orders of paths: all with at most 512 unknowns.
PATHS = {False: ((2, 10), (2, 100), (30, 1), (100, 1), (256, 1), (512, 1)), True: ((2, 10),)}
# Networks with several cycles of an order, whose starts are moved in float32 too.
SCREENED = {
    "plrnn_2d_order40": (functools.partial(load_network, "plrnn_2d_order40"), 40),
    "plrnn_10d_order10": (functools.partial(load_network, "plrnn_10d_order10"), 10),
    "Lozi (1.7, 0.5)": (functools.partial(cx.LoziMap, 1.7, 0.5), 12),
    "coupled tents": (coupled_tents, 4),
}
CORES, DEVICES = (1, 2), (1, 2, 4, 8)
# Cells along an axis of the map, and models of the track.
CELLS, MODELS = {False: 41, True: 11}, {False: 128, True: 16}
# Networks beyond those of `benchmarks.search`: gain and seed, as there.
GAIN, SEED = 0.1, 3
# Seconds of a measurement, at least one call; operations of one call, about; starts that are compared in float32.
_WINDOW, _CALL, _COMPARED = 0.6, 2e10, 512
# Moves of a call at most: as many starts a lane wait, so that none is idle.
_MOVES = 16
# A way along a path is given up after so many pieces, shared by the unknowns, but not before so many.
_PIECES, _LEAST_PIECES = 10_000, 50
# Numbers in each of three arrays that are read and written: more than the caches hold.
_LONG = 2**25


def apart(cores: int, devices: int, action: Callable[..., Row], *arguments: Any) -> Row:
    """Call it in a fresh process with so many cores and simulated devices; add the most memory that it took."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])  # what a process may use is what its parent may, and JAX looks
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            row = executor.submit(_inside, devices, action, *arguments).result()
    finally:
        os.sched_setaffinity(0, allowed)
    return {"cores": cores, "devices": devices, **row}


def _inside(devices: int, action: Callable[..., Row], *arguments: Any) -> Row:
    jax.config.update("jax_num_cpu_devices", devices)
    row = action(*arguments)
    return {**row, "MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)}


def fastest(action: Callable[[], Any], *, compiled: bool = False) -> float:
    """Give the seconds of the fastest of the calls that fit the window; the first counts only where all is compiled."""
    least, begin = np.inf, time.perf_counter()
    if not compiled:
        action()
    while least == np.inf or time.perf_counter() - begin < _WINDOW:
        _, seconds = timed(action)
        least = min(least, seconds)
    return least


def machine() -> Row:
    """Measure operations a second of 1024 x 1024 x 1024 products, and bytes a second of c = a + b on all cores."""
    row: Row = {}
    multiply, cores = jax.jit(jnp.matmul), len(os.sched_getaffinity(0))
    with numerics():
        for dtype in ("float64", "float32"):
            a = jax.random.normal(jax.random.key(0), (1024, 1024), dtype)
            row[dtype] = 2 * 1024**3 / fastest(lambda a=a: multiply(a, a).block_until_ready())
    a, b, c = (np.ones((cores, _LONG // cores)) for _ in range(3))
    with ThreadPoolExecutor(cores) as executor:
        row["bytes"] = 24 * _LONG / fastest(lambda: list(executor.map(np.add, a, b, c)))
    return row


# -- solves: the kernel of the search, all of its lanes at work --------------------------------------------------------


def drawn(num_states: int) -> cx.PLRNN:
    """Give the network of these dimensions."""
    if num_states in NETWORKS:
        return network(num_states)
    return cx.PLRNN.random(num_states, key=jax.random.key(SEED), gain=GAIN)


def solves(num_states: int, orders: tuple[int, ...], dtype: str) -> Row:
    """Give moves of lanes a second, for each order; beside other threads where `find_cycles` would use them."""
    with numerics():
        lanes = default_lanes(num_states)
        models = jax.tree.map(lambda leaf: np.asarray(leaf, dtype)[None], drawn(num_states))
        z = np.random.default_rng(0).normal(size=(1, num_states, 1, _MOVES * lanes)).astype(dtype)
        pool = Pool(*jax.device_put((z, np.zeros((1, z.shape[-1]), np.uint64), np.array([z.shape[-1]], np.int32))))
        search = begun(num_states, lanes, dtype)
        threads = len(os.sched_getaffinity(0)) if num_states <= UNROLLED_SIZE else 1  # as `find_cycles` chooses
        _, compiled = timed(lambda: jax.block_until_ready(advance(models, 1, search, pool, _MOVES, np.int32(0))))
        each = {}
        for order in orders:
            moves = int(np.clip(_CALL / (lanes * operations(num_states, order)), 1, _MOVES))
            each[str(order)] = (
                threads
                * moves
                * lanes
                / side_by_side(threads, lambda k=order, n=moves: advance(models, k, search, pool, _MOVES, np.int32(n)))
            )
    return {"M": num_states, "dtype": dtype, "lanes": lanes, "threads": threads, "compiled_s": compiled, "rates": each}


def begun(num_states: int, lanes: int, dtype: str) -> Search:
    """Give lanes that are all idle, in these numbers."""
    search = initial_search(1, num_states, 1, lanes)
    return search._replace(lanes=search.lanes._replace(z=search.lanes.z.astype(dtype)))


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Give what it gives, and the seconds."""
    begin = time.perf_counter()
    return action(), time.perf_counter() - begin


def side_by_side(threads: int, action: Callable[[], Any]) -> float:
    """Give the seconds in which each thread has called it once, of the fastest of several times."""

    def call(_) -> None:
        with numerics():
            jax.block_until_ready(action())

    with ThreadPoolExecutor(threads) as executor:
        return fastest(lambda: list(executor.map(call, range(threads))), compiled=True)


def screened(name: str, order: int) -> Row:
    """Move the same starts in float32 and in float64; give how many end in the same word of a solution."""
    with numerics():
        model = SCREENED[name][0]()
        scale = np.array([state_scale(affine_form(model))])
        models = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model)
        lanes, key = default_lanes(model.num_states), jax.random.key(0)[None]
        shape = dict(pool=_COMPARED, segments=1, lanes=lanes)
        z, word = map(np.asarray, drawn_starts(models, order, key, np.zeros(1, int), scale, _COMPARED, **shape))
        double, single = (ended(models, order, z, word, lanes, dtype) for dtype in ("float64", "float32"))
    words = [set(some[some > 0].tolist()) for some in (double, single)]
    return {"network": name, "order": order, "starts": _COMPARED, "hits": int(np.sum(double > 0)),
            "hits_32": int(np.sum(single > 0)), "same": int(np.sum((double == single) & (double > 0))),
            "words": len(words[0]), "words_32": len(words[1]), "in_both": len(words[0] & words[1])}  # fmt: skip


def ended(models, order: int, z: np.ndarray, word: np.ndarray, lanes: int, dtype: str) -> np.ndarray:
    """Move starts in these numbers to their ends; give hashes of words that are met again; 0 of others."""
    number = z.shape[-1]
    models, search = jax.tree.map(lambda leaf: leaf.astype(dtype), models), begun(z.shape[1], lanes, dtype)
    pool, met = Pool(z.astype(dtype), word, np.array([number], np.int32)), np.zeros(number, np.uint64)
    while np.any(np.asarray(search.lanes.fate) == Fate.MOVING) or search.next[0] < number:
        search, record = advance(models, order, search, pool, np.int32(cx.SCYFI().moves), np.int32(_MOVES))
        hit = (np.asarray(record.fate) == Fate.HIT) & (np.asarray(record.start) >= 0)
        met[np.asarray(record.start)[hit]] = np.asarray(record.word)[hit]
    return met


# -- pieces, cells, models ---------------------------------------------------------------------------------------------


def pieces(num_states: int, order: int) -> Row:
    """Give pieces of paths a second, with what is done about the solutions that they meet: of the fastest block."""
    with numerics():
        search, unknowns = path_search(drawn(num_states), order, 0), order * num_states
        search.finder = cx.PathFollowing(pieces=max(_LEAST_PIECES, _PIECES // unknowns))
        lanes = follow.default_lanes(unknowns)

        def block() -> float:
            before = search.tally.pieces
            _, seconds = timed(lambda: search.spend(np.inf, search.first + 2 * lanes, to_the_end=True))
            return (search.tally.pieces - before) / seconds

        _, first = timed(block)
        begin, rates = time.perf_counter(), [block()]
        while time.perf_counter() - begin < _WINDOW:
            rates.append(block())
    row = {"M": num_states, "order": order, "lanes": lanes, "first_s": first, "paths": search.first}
    return {**row, "rate": max(rates)}


def twice(action: Callable[[], Any], number: int) -> Row:
    """Give the seconds of the first call and of a second one, and how many of what it does are done a second then."""
    (_, cold), (_, warm) = timed(action), timed(action)
    return {"number": number, "cold_s": cold, "warm_s": warm, "rate": number / warm}


def cells(number: int) -> Row:
    """Give cells of a map a second: a published network of two states, over A, orders 1 to 8."""
    family = network(2)
    around = [np.linspace(value - 1, value + 1, number) for value in np.asarray(family.A)]
    axes = {f"A[{i}]": values for i, values in enumerate(around)}
    return twice(lambda: cx.scan(family, axes, 8, key=0, progress=False), number**2)


def models(number: int) -> Row:
    """Give models of a track a second: on a line between two shallow PLRNNs, M = 6, H = 20, orders 1 to 4."""
    first, last = (cx.ShallowPLRNN.random(6, 20, key=jax.random.key(seed), gain=0.5) for seed in (0, 1))
    between = [
        jax.tree.map(lambda a, b, s=share: (1 - s) * a + s * b, first, last) for share in np.linspace(0, 1, number)
    ]
    return twice(lambda: cx.track(between, 4, key=0, progress=False), number)


def tasks(*, quick: bool) -> Iterator[Task]:
    """Give the machine, kernels, paths, maps and tracks, each with one core and with two, or several devices."""

    def task(name: str, kind: str, cores: int, devices: int, *action: Any) -> Task:
        named = f"{name}, {cores} cores, {devices} devices"
        return "rates", named, lambda: {"kind": kind, **apart(cores, devices, *action)}

    for number in CORES:
        yield task("machine", "machine", number, 1, machine)
    for M in SIZES[quick]:
        for dtype, number in (("float64", 1), ("float64", 2), ("float32", 2)):
            # The longest words of the largest networks take half a minute.
            orders = ORDERS[quick] if M < 512 or number == 2 else ORDERS[quick][:-1]
            yield task(f"solves, M = {M}, {dtype}", "solves", number, 1, solves, M, orders, dtype)
    for name, (_, order) in list(SCREENED.items())[: 1 if quick else None]:
        yield task(f"float32, {name}", "float32", 2, 1, screened, name, order)
    for (M, order), number in itertools.product(PATHS[quick], CORES):
        if (M, number) == (512, 1):
            continue  # a minute
        yield task(f"pieces, M = {M}, k = {order}", "pieces", number, 1, pieces, M, order)
    for kind, action, size in (("cells", cells, CELLS[quick]), ("models", models, MODELS[quick])):
        for number, devices in [(1, 1), *((2, several) for several in DEVICES[:: 3 if quick else 1])]:
            yield task(kind, kind, number, devices, action, size)
