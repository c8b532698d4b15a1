"""The driver of the walk: follows a block of paths to their ends, and reads what they met off the log."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from cyclax.paths.system import Problem
from cyclax.paths.walk import CHUNK, Fate, Lanes, Log, advance, entered, idle

# Memory for the inverses of all lanes, which should stay in a cache of the CPU, and of the paths that wait.
_LANES_BYTES, _POOL_BYTES = 2**19, 2**24
# Paths that wait, at most, and lanes on an accelerator: one for each.
_MOST_WAITING = 1024
# Chunks of pieces between two visits of the host.
_CHUNKS = 16


class Met(NamedTuple):
    """Crossings of t = 1, in the order of their paths, and along each."""

    path: np.ndarray  # (H,)
    word: np.ndarray  # (H,) its hash
    own: np.ndarray  # (H,) whether the path began there


@dataclasses.dataclass(frozen=True)
class Paths:
    """What became of a block of paths. The second way of a path that has closed is not gone."""

    fate: np.ndarray  # (B, 2)
    pieces: np.ndarray  # (B, 2)
    met: Met
    held: dict[int, np.ndarray]  # gates (N,) of each word met, by its hash
    complete: bool

    @property
    def closed(self) -> np.ndarray:
        """Which paths have closed."""
        return np.any(self.fate == Fate.CLOSED, axis=1)


class Walker:
    """Follows paths of one problem. Must be made and used under `numerics()`.

    **Arguments:** `problem`; `lanes`: how many paths go together (None: what suits the machine; the result does not
    depend on it); `most`: pieces after which a way is given up.
    """

    def __init__(self, problem: Problem, lanes: int | None, most: int):
        self.problem, self.most = problem, np.int32(most)
        self.system = jax.device_put(problem.system)
        each = 8 * len(problem.system.r) ** 2
        self.lanes = lanes or default_lanes(len(problem.system.r))
        most = int(2 ** np.clip(np.log2(_POOL_BYTES / each).round(), 5, np.log2(_MOST_WAITING)))
        self.room = most if jax.default_backend() == "cpu" else _MOST_WAITING

    def run(
        self,
        x: Float[np.ndarray, "B n"],
        t: Float[np.ndarray, " B"],
        defect: Float[np.ndarray, "B n"],
        stop: Callable[[], bool] = lambda: False,
    ) -> Paths:
        """Follow up to `room` paths both ways, from x, where t is 0 (any x), or 1: x a solution, g0 = `defect`.

        When `stop()` says so it returns early; the fate of ways under way, or not begun, is `WALKING`.
        """
        number, n = x.shape
        ready = entered(self.problem.system, x, t, defect, self.room), idle(self.lanes, n, len(self.problem.system.b))
        pool, lanes, following = jax.device_put((*ready, np.int32(0)))
        record, renewed = _Record(number), set()
        while not record.done() and not stop():
            lanes, following, log, length = advance(
                self.system, lanes, pool, following, np.int32(number), self.most, chunks=_CHUNKS
            )
            record.add(Log(*(np.asarray(part)[: int(length)] for part in log)))
            if np.any(np.asarray(lanes.inexact)):
                lanes = self._anew(lanes, renewed, record)
        return record.result()

    def _anew(self, lanes: Lanes, renewed: set[tuple[int, ...]], record: "_Record") -> Lanes:
        """Invert anew where digits have been lost, and bring x and v back: once at a place, else the path is lost."""
        system = self.problem.system
        part = {name: np.array(getattr(lanes, name)) for name in ("x", "v", "inverse", "inexact", "fate")}
        open_, t, defect = (np.asarray(some) for some in (lanes.open, lanes.t, lanes.defect))
        places = np.stack([lanes.start, lanes.back, lanes.pieces], axis=1).tolist()
        for i in np.flatnonzero(part["inexact"]):
            gated = open_[i, :, None] * (system.c if len(system.c) else np.eye(len(system.r)))
            right = system.r + (open_[i] * system.b) @ system.a + (1 - t[i]) * defect[i]
            try:
                inverse = np.linalg.inv(system.S - system.a.T @ gated)
            except np.linalg.LinAlgError:
                inverse = np.full_like(part["inverse"][i], np.nan)
            if tuple(places[i]) in renewed or not np.all(np.isfinite(inverse)):
                part["fate"][i] = Fate.LOST
                record.lose(int(lanes.start[i]), int(lanes.back[i]))
            renewed.add(tuple(places[i]))
            part["inverse"][i], part["x"][i], part["v"][i] = inverse, inverse @ right, -inverse @ defect[i]
        part["inexact"][:] = False
        return lanes._replace(**part)


def default_lanes(size: int) -> int:
    """Give the number of lanes: on CPUs what fits the caches."""
    if jax.default_backend() != "cpu":
        return _MOST_WAITING
    return int(2 ** np.clip(np.log2(_LANES_BYTES / (8 * size * size)).round(), 4, 8))


class _Record:
    """What the logs of a block have told so far."""

    def __init__(self, number: int):
        self.fate, self.pieces = np.zeros((number, 2), np.int32), np.zeros((number, 2), np.int32)
        self.held: dict[int, np.ndarray] = {}
        self.hits: list[np.ndarray] = []

    def done(self) -> bool:
        """Whether all ways have ended."""
        first, second = self.fate.T
        return bool(np.all((first == Fate.CLOSED) | ((first != Fate.WALKING) & (second != Fate.WALKING))))

    def add(self, log: Log) -> None:
        """Take in some chunks."""
        used = log.start >= 0
        start, way = log.start[used], log.back[used].astype(int)
        # Later chunks of the same way come later, and count.
        self.fate[start, way], self.pieces[start, way] = log.fate[used], log.pieces[used]
        chunk, place, lane = np.nonzero(log.hit)
        hashes = log.word[chunk, place, lane]
        back = log.back[chunk, lane]
        rank = chunk * CHUNK + place  # made a number along the way in `result`
        call, hit = np.full(len(rank), len(self.hits)), log.hit[chunk, place, lane]
        self.hits.append(np.stack([log.start[chunk, lane], back, call, rank, hashes.view(np.int64), hit]))
        new, first = np.unique(hashes, return_index=True)
        first = first[[one not in self.held for one in new.tolist()]]
        chunk, place, lane = chunk[first], place[first], lane[first]
        words, flips = log.open[chunk, lane].copy(), log.flip[chunk, :, lane]
        for j in range(CHUNK):
            (rows,) = np.nonzero((j < place) & (flips[:, j] >= 0))
            words[rows, flips[rows, j]] ^= True
        self.held.update(zip(hashes[first].tolist(), words, strict=True))

    def lose(self, start: int, way: int) -> None:
        """Note a way that was lost between two chunks: its lane is given to another before the next log."""
        self.fate[start, way] = Fate.LOST

    def result(self) -> Paths:
        """Put the crossings in order: the second way turned round, then the first."""
        path, back, call, rank, word, hit = np.concatenate(self.hits, axis=1) if self.hits else np.zeros((6, 0), int)
        turn = np.lexsort((np.where(back, -rank, rank), np.where(back, -call, call), 1 - back, path))
        met = Met(path[turn], word[turn].view(np.uint64), hit[turn] == 2)
        return Paths(self.fate, self.pieces, met, self.held, self.done())
