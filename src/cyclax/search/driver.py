"""The driver of a search: orders and starts of many networks, in rounds of the kernel, side by side in threads."""

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Array

from cyclax.core.numerics import numerics
from cyclax.core.progress import progress_bar
from cyclax.core.stop import Stop
from cyclax.core.workers import cores
from cyclax.cycles.verify import verify_hits, verify_singular
from cyclax.search.lanes import OPERATIONS, POOL, Fate, Rounds, cached_lanes, default_lanes, operations
from cyclax.search.linear import UNROLLED_SIZE
from cyclax.search.starts import drawn_starts, given_starts, growth
from cyclax.search.tally import Network, StartTally

if TYPE_CHECKING:
    from cyclax.search.scyfi import SCYFI

# Words on which I - P is singular are looked at one by one; no more than this many of one order.
_MOST_FAMILIES = 32
# Starts that did not converge of which the end is kept, for near misses.
_MOST_STRAYS = 128
# Starts are drawn in multiples of this (an even number), or to the last of a pool.
_DRAWN_TOGETHER = 64
# Nearby orbits may part by a factor of e to this over a whole cycle, shot in one; fewer segments find more.
_MOST_GROWTH = 23.0
# The same for one of several segments: rounding is amplified in solving for its first state, and again in running it.
_MOST_GROWTH_OF_SEGMENTS = 14.0
# The digits of float32, as a share of those of float64: so much less may be amplified.
_DIGITS_OF_FLOAT32 = 24 / 53
# Models searched in one call of the kernel on CPUs: enough to make the work of a call long beside its cost.
_MODELS_AT_ONCE = 8
# Memory for the pools of starts of the models that are searched in one call.
_POOLS_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Job:
    """One order of a few networks, searched in one thread: shapes do not change on the way."""

    order: int
    segments: int
    networks: list[Network]

    def tallies(self) -> list[StartTally]:
        """Give the tallies of this order."""
        return [network.tallies[self.order] for network in self.networks]


class Driver:
    """One search: orders of networks of one shape, in threads, until each is done. Must be made under `numerics()`.

    **Arguments:** `networks`; `finder`: how to search; `stop`: when to stop.
    """

    def __init__(self, networks: list[Network], finder: "SCYFI", stop: Stop):
        self.networks, self.finder, self.stop = networks, finder, stop
        self.num_states = networks[0].model.num_states
        most = _MODELS_AT_ONCE if jax.default_backend() == "cpu" else len(networks)
        self.at_once = max(1, min(len(networks), most, _POOLS_BYTES // (8 * POOL * self.num_states)))
        # Batched LAPACK calls deadlock when two threads make them (jaxlib 0.10.2), and use all cores anyway.
        self.threads = cores() if self.num_states <= UNROLLED_SIZE else 1
        self._compiled: set[int] = set()  # the numbers of segments whose kernel is
        self._segment()

    def _segment(self) -> None:
        """Choose how many segments each order of each network is shot in."""
        longest, digits = max(self.networks[0].tallies), _DIGITS_OF_FLOAT32 if self.finder.screened else 1.0
        # What no Jacobian can exceed needs no measurement (and no compilation).
        expanding = [
            network for network in self.networks if segments_for(longest, network.bounds.growth_bound(), digits) > 1
        ]
        for some in _groups(expanding, self.at_once):
            models, keys, scales = self._together(some, [network.key for network in some])
            rates = np.asarray(growth(models, keys, scales))
            for network, rate in zip(some, rates.tolist(), strict=False):
                for order, known in network.tallies.items():
                    known.segments = segments_for(order, rate, digits)

    def _together(self, networks: list[Network], keys: list[Array]):
        """Stack models, keys and scales on the device; the last network is repeated to a full batch."""
        padded = networks + networks[-1:] * (self.at_once - len(networks))
        models = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *(one.model for one in padded))
        data = np.stack([np.asarray(jax.random.key_data(key)) for key in keys])
        data = np.concatenate([data, np.repeat(data[-1:], len(padded) - len(keys), axis=0)])
        keys_together = jax.random.wrap_key_data(jax.device_put(data), impl=jax.random.key_impl(keys[0]))
        return models, keys_together, np.array([one.scale for one in padded])

    def _rounds(self, segments: int) -> Rounds:
        lanes = self.finder.lanes or max(32, default_lanes(self.num_states, segments) // self.at_once)
        return Rounds(lanes, self.finder.moves, dtype=np.float32 if self.finder.screened else np.float64)

    # -- driving ------------------------------------------------------------------------------------------------------

    def run(self, given: dict[int, np.ndarray], progress: bool) -> None:
        """Search all orders of all networks."""
        self.begin(given)
        work = [(order, network) for order in self.networks[0].tallies for network in self.networks]
        self.advance(work, self.finder.starts, progress=progress)
        for effort in (2, 4):
            again = [(order, network) for network in self.networks for order in network.inventory.suspects()]
            if not again or self.stop():
                break
            self.advance(again, effort * self.finder.starts, to_the_end=True, progress=progress)

    def begin(self, given: dict[int, np.ndarray]) -> None:
        """Search from given words."""
        try:
            for order, words in given.items():
                for job in self._jobs([(order, network) for network in self.networks if order in network.tallies]):
                    for begin in range(0, len(words), POOL):
                        self._search_given(job, words[begin : begin + POOL])
        except KeyboardInterrupt:  # where it is not ours to note: the second, or that of a handler of the user's
            self.stop.halted = True

    def advance(
        self, work: list[tuple[int, Network]], most: int, *, to_the_end: bool = False, progress: bool = False
    ) -> None:
        """Search orders of networks until they have had `most` starts; where that is enough, only `to_the_end`."""
        for order, network in work:
            network.tallies[order].allowed, network.tallies[order].to_the_end = most, to_the_end
        try:
            self._in_parallel(self._jobs(work), progress)
        except KeyboardInterrupt:
            self.stop.halted = True

    def _jobs(self, work: list[tuple[int, Network]]) -> list[Job]:
        """Gather what can be searched together: low orders first, they are what a user who interrupts wants most."""
        together: dict[tuple[int, int], list[Network]] = {}
        for order, network in work:
            together.setdefault((order, network.tallies[order].segments), []).append(network)
        return [
            Job(order, segments, some)
            for (order, segments), networks in sorted(together.items(), key=lambda item: item[0])
            for some in _groups(networks, self.at_once)
        ]

    def _in_parallel(self, jobs: list[Job], progress: bool) -> None:
        """Search side by side: the host's work on one job overlaps the kernel's on another."""
        total = sum(job.order * len(job.networks) for job in jobs)
        bar = progress_bar(total=total, shown=progress, desc="cycles", unit="order")
        pool = ThreadPoolExecutor(self.threads)
        try:
            # The first job goes alone: it compiles what all need, which threads side by side would do twice.
            pending = {pool.submit(self.search, jobs[0])}
            waiting = jobs[1:]
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    bar.update(future.result())
                    pending |= {pool.submit(self.search, job) for job in waiting}
                    waiting = []
        except BaseException:
            self.stop.halted = True
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            bar.close()

    def search(self, job: Job) -> int:
        """Search one job as far as its tallies allow; give how much of the bar that is."""
        rounds = self._rounds(job.segments)
        for known in job.tallies():
            known.complete_look = False
        with numerics():
            models, keys, scales = self._together(job.networks, [network.key for network in job.networks])
            done = [False] * len(job.networks)
            while not all(done) and not self.stop():
                first = np.array([known.starts for known in job.tallies()])
                sizes = np.where(done, 0, [self._next(known) for known in job.tallies()])
                if not np.any(sizes):
                    break
                first, sizes = (np.pad(some, (0, self.at_once - len(some))) for some in (first, sizes))
                # Drawn in blocks of one size whatever the lanes: long chaotic orbits would tell the last bits apart.
                shape = dict(pool=POOL, segments=job.segments, lanes=cached_lanes(self.num_states, job.segments))
                with self._compiling(rounds, models, job.segments):
                    z, word = drawn_starts(models, job.order, keys, first, scales, np.max(sizes), **shape)
                outcome = rounds.run(models, job.order, np.asarray(z), np.asarray(word), sizes, self.stop)
                for i, network in enumerate(job.networks):
                    if sizes[i]:
                        known = network.tallies[job.order]
                        known.starts += int(sizes[i])
                        absorb(network, known, outcome, i, int(sizes[i]), counted=True)
                        done[i] = known.starts >= known.allowed or (
                            not known.to_the_end and known.enough(self.finder.unseen)
                        )
            for known in job.tallies():
                known.complete_look = not self.stop()
        return job.order * len(job.networks)

    @contextlib.contextmanager
    def _compiling(self, rounds: Rounds, models, segments: int) -> Iterator[None]:
        """Compile the kernel in another thread, where that has not been done, while this one compiles the draws."""
        if segments in self._compiled:
            yield
            return
        self._compiled.add(segments)
        with ThreadPoolExecutor(1) as other:
            ready = other.submit(rounds.compiled, models, self.at_once, self.num_states, segments)
            yield
            ready.result()

    def _next(self, known: StartTally) -> int:
        """Give the number of starts to draw next: a pool at first, and then what is lacking."""
        few = int(OPERATIONS / operations(self.num_states, known.order)) // _DRAWN_TOGETHER * _DRAWN_TOGETHER
        most = max(0, min(POOL, max(few, _DRAWN_TOGETHER), known.allowed - known.starts))
        if known.to_the_end or not known.starts:
            return most
        lacking = known.lacking(self.finder.unseen, most)
        return min(most, -(-lacking // _DRAWN_TOGETHER) * _DRAWN_TOGETHER)

    def _search_given(self, job: Job, words: np.ndarray) -> None:
        models, _, _ = self._together(job.networks, [network.key for network in job.networks])
        z, word = given_starts(models, job.order, np.moveaxis(words, 0, -1), segments=job.segments)
        z, word = np.array(z), np.array(word)
        # Words without a candidate go last, and are not run.
        usable = np.all(np.isfinite(z), axis=(1, 2))
        turn = np.argsort(~usable, axis=1, kind="stable")
        z = np.take_along_axis(z, turn[:, None, None], axis=-1)
        word = np.take_along_axis(word, turn, axis=-1)
        sizes = np.where(np.arange(len(usable)) < len(job.networks), np.sum(usable, axis=1), 0)
        outcome = self._rounds(job.segments).run(models, job.order, z, word, sizes, self.stop)
        for i, network in enumerate(job.networks):
            absorb(network, network.tallies[job.order], outcome, i, int(sizes[i]), counted=False)


def segments_for(order: int, rate: float, digits: float = 1.0) -> int:
    """Give the number of segments, a power of 2 (each is a compilation), for a mean growth of e^rate a step.

    **Arguments:** `digits`: as a share of those of float64.
    """
    if not order * rate > digits * _MOST_GROWTH:
        return 1
    segments = 2
    while order * rate > digits * _MOST_GROWTH_OF_SEGMENTS * segments and segments < order:
        segments *= 2
    return segments


def _groups(networks: list[Network], size: int) -> list[list[Network]]:
    return [networks[begin : begin + size] for begin in range(0, len(networks), size)]


def absorb(network: Network, known: StartTally, outcome, model: int, size: int, *, counted: bool) -> None:
    """Take in what became of a block of starts: new words are solved and checked, known ones are counted."""
    decider = network.inventory.decider
    nodes, words = outcome.z[model, :, :, :size], outcome.word[model, :size]
    fate = outcome.fate[model, :size]
    known.solves += int(outcome.moves[model, :size].sum())
    fates, numbers = np.unique(fate, return_counts=True)
    if counted:
        known.fates.update(dict(zip(fates.tolist(), numbers.tolist(), strict=True)))
    hit = np.flatnonzero(fate == Fate.HIT)
    hashes, first, numbers = np.unique(words[hit], return_index=True, return_counts=True)
    new = np.array([h not in known.solution_of for h in hashes.tolist()], bool)
    if np.any(new):
        states = np.transpose(nodes[:, :, hit[first[new]]], (2, 1, 0))
        found = verify_hits(network.model, network.bounds, states, known.order, known.verified, decider)
        known.solution_of.update(zip(hashes[new].tolist(), found, strict=True))
    if counted:
        for h, number in zip(hashes.tolist(), numbers.tolist(), strict=True):
            solution = known.solution_of[h]
            if solution is not None:
                known.seen[solution] += number
    stray = np.flatnonzero((fate == Fate.LOOP) | (fate == Fate.TIRED))[: _MOST_STRAYS - len(known.strays)]
    known.strays.extend(np.transpose(nodes[:, :, stray], (2, 1, 0)))
    singular = np.flatnonzero(fate == Fate.SINGULAR)
    room = _MOST_FAMILIES - len(known.verified.families)
    if len(singular) and room > 0:
        _, first = np.unique(words[singular], return_index=True)
        states = nodes[:, 0, singular[np.sort(first)[:room]]].T
        verify_singular(network.model, network.bounds, states, known.order, known.verified, decider)
