"""Work spread over threads, devices and processes, with a bar; and a folder that keeps what is done."""

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import numpy as np

from cyclax.core.folder import Arrays, Store
from cyclax.core.numerics import numerics
from cyclax.core.progress import progress_bar


def distribute(
    work: Callable[[Any], Arrays],
    items: Sequence[Any],
    *,
    threads: int,
    stage: str,
    sizes: Sequence[int],
    store: Store | None,
    progress: bool,
    compiled: bool = False,
) -> Iterator[tuple[int, Arrays]]:
    """Run `work` on every item, and give the results, each with the number of its item, as they are done.

    Item i is computed by process i mod the number of processes, on one of its devices; every process is given all
    results. What `store` has is not computed again, and what is computed is kept there.

    **Arguments:** `stage`: names the work, in the store and on the bar; `sizes`: cells in each item; `compiled`: what
    the work needs is, so that no item has to go alone at first.
    """
    processes, process = jax.process_count(), jax.process_index()
    mine = [i for i in range(len(items)) if i % processes == process]
    own: dict[int, Arrays] = {}
    bar = progress_bar(total=sum(sizes), shown=progress, desc=stage, unit="cell")
    try:
        for i, result in _computed(work, items, mine, threads, stage, store, compiled):
            bar.update(sizes[i] if processes == 1 else processes * sizes[i])
            if processes == 1:
                yield i, result
            else:
                own[i] = result
    finally:
        bar.close()
    if processes > 1:
        yield from _exchanged(own)


def _computed(work, items, mine, threads, stage, store, compiled) -> Iterator[tuple[int, Arrays]]:
    devices = jax.local_devices()
    # One thread was asked for where two must not call LAPACK at once: several CPU devices share it too.
    if len(devices) > 1 and (threads > 1 or devices[0].platform != "cpu"):
        threads = max(threads, len(devices))
    halt = threading.Event()
    # By turns among one's own items: their numbers alone would leave devices idle where processes share them out.
    device_of = {i: devices[place % len(devices)] for place, i in enumerate(mine)}

    def compute(i: int) -> tuple[int, Arrays]:
        kept = None if store is None else store.load(f"{stage}-{i:07d}")
        if kept is None:
            if halt.is_set():
                raise InterruptedError
            with numerics(), jax.default_device(device_of[i]):
                kept = work(items[i])
            if store is not None:
                store.save(f"{stage}-{i:07d}", kept)
        return i, kept

    pool = ThreadPoolExecutor(threads)
    waiting, pending = iter(mine), set[Future]()
    try:
        # The first goes alone: it compiles what all need, which threads side by side would do twice.
        for i in waiting if not compiled else ():
            yield compute(i)
            break
        for i in waiting:
            pending.add(pool.submit(compute, i))
            if len(pending) >= 2 * threads:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in pending:
            yield future.result()
    finally:
        halt.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _exchanged(own: dict[int, Arrays]) -> Iterator[tuple[int, Arrays]]:
    """Give every process the results of all."""
    from jax.experimental import multihost_utils

    packed = {f"{i}/{name}": array for i, result in own.items() for name, array in result.items()}
    stream = io.BytesIO()
    np.savez(stream, **packed)  # pyright: ignore[reportArgumentType]
    data = np.frombuffer(stream.getvalue(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array([len(data)])))[:, 0]
    padded = np.zeros(int(np.max(lengths)), np.uint8)
    padded[: len(data)] = data
    together = np.asarray(multihost_utils.process_allgather(padded))
    results: dict[int, Arrays] = {}
    for row, length in zip(together, lengths, strict=True):
        with np.load(io.BytesIO(row[:length].tobytes()), allow_pickle=False) as archive:
            for label in archive:
                i, _, name = label.partition("/")
                results.setdefault(int(i), {})[name] = archive[label]
    for i in sorted(results):
        yield i, results[i]


def cores(most: int | None = 8) -> int:
    """Give the number of threads that pay: the cores that this process may use, and so many at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable if most is None else min(usable, most)
