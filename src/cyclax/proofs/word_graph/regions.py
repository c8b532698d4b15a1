"""The linear regions inside a polytope, by cutting it with one plane after another, and the atlas made of them."""

import dataclasses
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from cyclax.proofs.boxes import Pieces, outer_polytope
from cyclax.proofs.candidates import Box, Progress
from cyclax.proofs.word_graph.compiled import COMPILING, compiled
from cyclax.proofs.word_graph.programs import (
    HALT,
    INFEASIBLE,
    Atlas,
    Program,
    add_plane,
    begin,
    decide,
    make_log,
    make_program,
    record,
    reset,
)

if TYPE_CHECKING:
    from cyclax.proofs.rigorous import Judge

_EPS = float(np.finfo(np.float64).eps)
# Seconds that one call of a kernel should take: between calls budgets are asked and Ctrl-C is heard.
_SECONDS_A_CALL = 0.1
# Regions whose maps are added up together.
_ADDED_TOGETHER = 4096
# Constraints are relaxed by this share of the scale of the map before anything is pruned.
_TOLERANCE = 1e-9
# The largest slack that is sought, as a share of the scale of the map.
_CAP = 0.05
# Cells on which a plane is: not at all (positive or negative side), or as a facet.
_CUT = 2
# The side of a plane that has not been looked at.
_UNKNOWN = 9


@dataclasses.dataclass
class Workers:
    """Threads with room for a program each. `effort` sums what all programs cost."""

    number: int
    num_states: int
    capacity: int

    def __post_init__(self):
        self._rooms: queue.SimpleQueue[Program] = queue.SimpleQueue()
        self._all = [make_program(self.num_states, self.capacity) for _ in range(self.number)]
        for room in self._all:
            self._rooms.put(room)

    @property
    def effort(self) -> np.ndarray:
        """Give the counters of all programs so far."""
        return np.sum([room.effort[:HALT] for room in self._all], axis=0)

    def map(self, work: Callable, count: int, check: Callable[[], None]) -> Iterator:
        """Give work(program, first, last) over pieces of range(count), in order, whatever thread was first.

        `check` is called between pieces, and while one is waited for; when it raises, what runs is halted.
        """

        def run(first, last):
            room, begun = self._rooms.get(), time.perf_counter()
            try:
                return work(room, first, last), (time.perf_counter() - begun) / (last - first)
            finally:
                self._rooms.put(room)

        pending, begun, size = deque(), 0, 4
        pool = ThreadPoolExecutor(self.number)
        try:
            while begun < count or pending:
                while begun < count and len(pending) < 2 * self.number:
                    pending.append(pool.submit(run, begun, min(begun + size, count)))
                    begun = min(begun + size, count)
                while not wait([pending[0]], timeout=_SECONDS_A_CALL).done:
                    check()
                result, seconds = pending.popleft().result()
                size = int(np.clip(_SECONDS_A_CALL / max(seconds, 1e-9), max(size // 4, 1), 4 * size))
                yield result
                check()
        finally:
            for room in self._all:
                room.effort[HALT] = 1
            pool.shutdown(cancel_futures=True)
            for room in self._all:
                room.effort[HALT] = 0


def map_regions(
    pieces: Pieces,
    box: Box,
    workers: int,
    check: Callable[..., None],
    progress: Progress,
    judge: "Judge | None" = None,
) -> tuple[Atlas, Pieces, np.ndarray] | None:
    """Enumerate the regions that the planes cut the box into; None where it holds no cycle.

    With a `judge` no region is left out that it does not refute, and the box is not narrowed to a polytope first.

    **Returns:** the atlas, its symbols sorted by sides; the pieces in the order of its planes; the effort.
    """
    if not beyond.signatures:
        progress(COMPILING)
    size = len(pieces.shift)
    identity = np.eye(size)
    whole = np.concatenate([identity, -identity]), np.concatenate([box.upper, -box.lower])
    polytope = whole if judge else outer_polytope(pieces, box, check)
    if polytope is None:
        return None
    pieces = _decisive_first(pieces, *polytope)
    if judge:
        judge.learn(pieces)
    blank = _blank_atlas(pieces, *polytope)
    number = len(pieces.planes)
    crew = Workers(workers, size, len(polytope[1]) + number + 2)
    cells = np.zeros((1, number), np.uint8)
    witnesses = (polytope[1][:size] - polytope[1][size : 2 * size])[None] / 2
    for plane in range(number):
        near = witnesses @ pieces.planes[plane] + pieces.offsets[plane] > 0
        cut, points = _beyond(blank, crew, cells, plane, ~near, check, judge)
        # A cell goes on as the side of its witness, and as the other side where that may exist: the negative side
        # first, so that sorted cells stay sorted.
        kept = np.stack([cut | ~near, cut | near], axis=1).ravel()
        witnesses = np.where((kept & ~np.stack([~near, near], axis=1).ravel())[:, None], points.repeat(2, 0),
                             witnesses.repeat(2, 0))[kept]  # fmt: skip
        sides = np.tile(np.array([0, 1], np.uint8), len(cells)) + _CUT * cut.repeat(2).astype(np.uint8)
        cells = cells.repeat(2, axis=0)[kept]
        cells[:, plane] = sides[kept]
        check(len(cells), 2 * (cells.nbytes + witnesses.nbytes))
        progress(f"{len(cells)} regions by {plane + 1} of {number} planes")
    for plane in range(number):
        # A facet beyond which nothing is left of a cell is implied by the others.
        bounded = np.flatnonzero(cells[:, plane] >= _CUT)
        cells[bounded, plane] -= _CUT
        needed, _ = _beyond(blank, crew, cells[bounded], plane, cells[bounded, plane] == 0, check)
        cells[bounded[needed], plane] += _CUT
    atlas = _atlas_of(pieces, blank, cells, check)
    if judge:
        judge.take_maps(pieces.gates(atlas.sides))
    return atlas, pieces, crew.effort


def _beyond(atlas: Atlas, crew: Workers, cells: np.ndarray, plane: int, sides: np.ndarray, check, judge=None):
    """Say of each cell whether something of it may be on its given side of the plane, and give a point there.

    What is denied here, and not by the judge, may be.
    """
    cells, sides = np.ascontiguousarray(cells), sides.astype(np.int64)
    found, points = np.zeros(len(cells), np.uint8), np.zeros((len(cells), len(atlas.largest) - 1))

    def work(program, first, last):
        identity = np.zeros((1, len(atlas.largest) - 1, len(atlas.largest)))
        log = make_log(len(atlas.largest) - 1, last - first if judge else 0)
        beyond(atlas, program, log, cells, plane, sides, first, last, found, points, identity, np.zeros(1, np.int32))
        return log

    for log in crew.map(work, len(cells), check):
        for n in range(log.filled[0]):
            assert judge
            i = log.spans[n, 0]
            # Planes that come later have not cut the cell yet.
            claimed = np.where(np.arange(cells.shape[1]) < plane, cells[i] % _CUT, _UNKNOWN)
            claimed[plane] = sides[i]
            found[i] = not judge.upholds([], [claimed[None]], log.rows[n], log.multipliers[n])
            check()
    return found.astype(bool), points


@compiled
def beyond(atlas, program, log, cells, plane, sides, first, last, found, points, identity, word):
    """Decide cell by cell whether something of it may be on one side of a plane."""
    base = begin(atlas, program, identity)
    for i in range(first, last):
        if program.effort[HALT]:
            return
        count = base
        for facet in range(cells.shape[1]):
            if cells[i, facet] >= _CUT:
                count = add_plane(atlas, program, count, facet, np.int64(cells[i, facet]) - _CUT, 0, identity)
        count = add_plane(atlas, program, count, plane, sides[i], 0, identity)
        reset(program)
        if decide(atlas, program, count, word) != INFEASIBLE:
            found[i] = 1
            for j in range(points.shape[1]):
                points[i, j] = program.vectors[0, j]
        else:
            record(log, program, i, 0, 0)


def _decisive_first(pieces: Pieces, hull: np.ndarray, limits: np.ndarray) -> Pieces:
    """Order the planes by how much what they switch can move a state: the tree over regions branches there first."""
    size = len(pieces.shift)
    reach = np.maximum(np.abs(limits[:size]), np.abs(limits[size : 2 * size]))
    spread = np.abs(pieces.planes) @ reach + np.abs(pieces.offsets)
    weights = np.linalg.norm(np.einsum("pij,pj->pi", pieces.jumps, pieces.planes), axis=1)
    order = np.argsort(-weights * spread, kind="stable")
    place = np.argsort(order)
    return pieces._replace(
        planes=pieces.planes[order],
        offsets=pieces.offsets[order],
        jumps=pieces.jumps[order],
        shift_jumps=pieces.shift_jumps[order],
        jump_sizes=pieces.jump_sizes[order],
        shift_jump_sizes=pieces.shift_jump_sizes[order],
        plane_of=np.where(pieces.plane_of >= 0, place[np.maximum(pieces.plane_of, 0)] if len(place) else -1, -1),
    )


def _blank_atlas(pieces: Pieces, hull: np.ndarray, limits: np.ndarray) -> Atlas:
    """Give an atlas without regions: enough for programs in one point."""
    size = len(pieces.shift)
    largest = np.maximum(np.abs(limits[:size]), np.abs(limits[size : 2 * size]))
    scale = max(np.max(np.abs(pieces.offsets), initial=0), np.max(np.abs(pieces.shift), initial=0))
    scale = float((min(scale, np.max(largest)) if scale > 0 else np.max(largest)) or 1.0)
    nothing = np.zeros((0, size, size + 1))
    return Atlas(
        planes=np.concatenate([pieces.planes, pieces.offsets[:, None]], axis=1),
        hull=np.concatenate([hull, limits[:, None]], axis=1),
        largest=np.nextafter(np.append(largest, 1.0), np.inf),
        maps=nothing,
        sizes=nothing,
        sides=np.zeros((0, len(pieces.planes)), np.uint8),
        begins=np.zeros(1, np.int64),
        facets=np.zeros(0, np.int64),
        rounding=8 * (len(pieces.plane_of) + 2 * size + 8) * _EPS,
        tolerance=_TOLERANCE * scale,
        cap=_CAP * scale,
    )


def _atlas_of(pieces: Pieces, blank: Atlas, cells: np.ndarray, check: Callable[..., None]) -> Atlas:
    """Fill in the held maps and facets of the regions."""
    sides = np.ascontiguousarray(cells % _CUT)
    facets = np.nonzero(cells >= _CUT)

    def added(closed, shift, jumps, shift_jumps):
        base = np.concatenate([closed, shift[:, None]], axis=1)
        jumps = np.concatenate([jumps, shift_jumps[..., None]], axis=2)
        maps = np.empty((len(sides), *base.shape))
        for i in range(0, len(sides), _ADDED_TOGETHER):
            check()
            some = sides[i : i + _ADDED_TOGETHER].astype(float)
            maps[i : i + _ADDED_TOGETHER] = base + np.tensordot(some, jumps, axes=1)
        return maps

    return blank._replace(
        maps=added(pieces.closed, pieces.shift, pieces.jumps, pieces.shift_jumps),
        sizes=added(pieces.closed_size, pieces.shift_size, pieces.jump_sizes, pieces.shift_jump_sizes),
        sides=sides,
        begins=np.searchsorted(facets[0], np.arange(len(cells) + 1)).astype(np.int64),
        facets=facets[1].astype(np.int64),
    )
