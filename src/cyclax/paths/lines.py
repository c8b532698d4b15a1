"""Solution lines: the fixed points of a map whose input moves along a line, piece by straight piece.

With the place t of the input as a state that stays, x = (z, t), they are the solutions of x = J_w x + o_w, a line
wherever a word w is held, of which the part counts that lies in the region of w. It ends at corners, on borders. Since
the map is continuous a corner solves the equations of all words that differ from w in the gates whose borders meet
there only: each of these words is tried, and so a line is followed through folds, where t turns round, through
branch points, where more than two pieces meet (several gates at once, as in symmetric networks), and along pieces on
which t rests (a line of fixed points of one input).
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float

from cyclax.paths.system import Gates

# What a piece ends in: the number of a corner, or one of these.
RANGE, RAY, _FREE = -1, -2, -3
# Lengths are in units of the states and of the whole range. Shorter than this a piece is a point of its neighbors.
_SHORT = 1e-8
# A preactivation is 0 at a corner where it is by this share of what it could be there.
_ON_BORDER = 1e-10
# So much of what a line is solved to is rounding, times its condition number; never less, or more, than that.
_ROUNDING, _LEAST, _MOST = 2.0**-48, 1e-13, 1e-7
# A line keeps t where it is if t is this small a part of its direction.
_AT_REST = 1e-13
# Singular values, as shares of the largest, below which there is more than a line.
_MORE_THAN_A_LINE = 1e-14
# So many gates at most are flipped at one corner, in all combinations.
_MOST_TIED = 10
# Memory for the singular vectors of words that are solved at once.
_BYTES = 2**26


@dataclasses.dataclass(frozen=True, eq=False)
class Corner:
    """A point where pieces meet.

    - `point` `(M + 1,)`: (z, t); `tied` `(m,)`: the planes that meet there.
    - `pieces`: number and end (0 or 1) of each piece that begins there.
    """

    point: Float[np.ndarray, " N"]
    tied: np.ndarray
    pieces: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """All pieces that hang together with some points, and where they meet.

    - `words` `(n, P)`: the planes that are open on each; `ends` `(n, 2, M + 1)`: (z, t) at both ends, the lower t
      first; `meets` `(n, 2)`: what each end is: `RANGE`, `RAY` or the number of a corner.
    - `rounding` `(n,)`: the share of the states, and of the range, to which float64 knows each.
    - `notes`: what could not be followed, and at which t.
    """

    words: Bool[np.ndarray, "n P"]
    ends: Float[np.ndarray, "n 2 N"]
    meets: np.ndarray
    corners: tuple[Corner, ...]
    rounding: Float[np.ndarray, " n"]
    notes: tuple[tuple[str, float | None], ...]


def solution_lines(
    gates: Gates, points: Iterable[np.ndarray], scale: float, stop: Callable[[int], bool] = lambda _: False
) -> Lines:
    """Follow all lines that lead through some points, for t from 0 to 1.

    **Arguments:** `gates`: the map of (z, t), of which t stays; `points` `(M + 1,)`: solutions; `scale`: the size of
    the states z; `stop(pieces)`: whether to stop early.
    """
    return _Tracer(gates, scale).run(list(points), stop)


@dataclasses.dataclass(eq=False)
class _Meeting:
    """A corner that is to be looked at: where it is, the words that may begin there, and the end from which it came."""

    point: np.ndarray
    tied: np.ndarray
    words: np.ndarray  # (2^m, P)
    origin: tuple[int, int] | None


class _Tracer:
    def __init__(self, gates: Gates, scale: float):
        self.gates, self.size = gates, len(gates.shift) - 1
        self.units = np.append(np.full(self.size, scale), 1.0)
        self.reach = np.abs(gates.c) @ self.units  # of the preactivations, over states of that size
        self.known: dict[bytes, int] = {}  # the piece of each word, or -1
        self.words: list[np.ndarray] = []
        self.ends: list[np.ndarray] = []
        self.meets: list[list[int]] = []
        self.rounding: list[float] = []
        self.corners: list[Corner] = []
        self.notes: dict[tuple[str, float | None], None] = {}

    def run(self, points: list[np.ndarray], stop: Callable[[int], bool]) -> Lines:
        seen = 0
        meetings = [self._meeting(point, None) for point in points]
        while meetings:
            self._solve(meetings)
            for meeting in meetings:
                self._join(meeting)
            if stop(len(self.words)):
                self.notes["stopped early", None] = None
                break
            free = [(i, e) for i in range(seen, len(self.words)) for e in (0, 1) if self.meets[i][e] == _FREE]
            seen = len(self.words)
            meetings = [self._meeting(self.ends[i][e], (i, e)) for i, e in free]
        shape = len(self.words), len(self.gates.b)
        words = np.reshape(np.array(self.words, bool), shape)
        ends = np.reshape(np.array(self.ends, float), (shape[0], 2, self.size + 1))
        meets = np.reshape(np.array(self.meets, int), (shape[0], 2))
        return Lines(words, ends, meets, tuple(self.corners), np.array(self.rounding, float), tuple(self.notes))

    def _meeting(self, point: np.ndarray, origin: tuple[int, int] | None) -> _Meeting:
        """See which planes meet at a point, and list the words around it."""
        y, terms = self._preactivations(point[None])
        # Nearer than this in space is a tie as well.
        tied = np.flatnonzero(np.abs(y[0]) <= np.maximum(_ON_BORDER * terms[0], _SHORT * self.reach))
        word = y[0] > 0
        if origin is not None:  # what is not tied is as it was
            word = np.where(np.isin(np.arange(len(word)), tied), word, self.words[origin[0]])
        if len(tied) > _MOST_TIED:
            self.notes[f"{len(tied)} borders meet in one point, too many to try all", float(point[-1])] = None
            tied = tied[:0]
        words = np.tile(word, (2 ** len(tied), 1))
        words[:, tied] = list(itertools.product((False, True), repeat=len(tied)))
        return _Meeting(point, tied, words, origin)

    def _preactivations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Preactivations `(n, P)`, and what they could be at states of this size."""
        largest = np.max(np.abs(x / self.units), axis=1, initial=1.0)
        return x @ self.gates.c.T + self.gates.b, largest[:, None] * self.reach + np.abs(self.gates.b)

    def _solve(self, meetings: list[_Meeting]) -> None:
        """Solve all words that are new."""
        new: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        for meeting in meetings:
            for word in meeting.words:
                key = word.tobytes()
                if key not in self.known:
                    new.setdefault(key, (word, meeting.point))
        keys, rows = list(new), max(1, _BYTES // (24 * (self.size + 1) ** 2))
        for begin in range(0, len(keys), rows):
            some = [new[key] for key in keys[begin : begin + rows]]
            words, points = np.array([word for word, _ in some]), np.array([point for _, point in some])
            there, ends, meets, rounding = self._pieces(words, points)
            for i, key in enumerate(keys[begin : begin + rows]):
                self.known[key] = len(self.words) if there[i] else -1
                if there[i]:
                    self.words.append(words[i])
                    self.ends.append(ends[i])
                    self.meets.append(meets[i].tolist())
                    self.rounding.append(float(rounding[i]))

    def _pieces(self, words: np.ndarray, points: np.ndarray):
        """Solve words `(n, P)`, and cut what they give off at borders; `points` solve them nearly.

        **Returns:** which have a piece `(n,)`; its ends `(n, 2, M + 1)`; what they are `(n, 2)`; how
        well they are known `(n,)`.
        """
        point, direction, rounding = self._solved(words, points)
        along = direction @ self.gates.c.T
        y, terms = self._preactivations(point)
        side = np.where(words, 1.0, -1.0)
        flat = np.abs(along) <= rounding * self.reach
        room, rate = side * y, np.where(flat, 0, side * along)
        with np.errstate(all="ignore"):
            cut = -room / rate
            leaves = -point[:, -1] / direction[:, -1], (1 - point[:, -1]) / direction[:, -1]
            blur = rounding * terms / np.abs(along)  # of the cuts
        # A line within a border belongs to the region that is closed.
        wrong = flat & np.where(words, y <= rounding * terms, y > rounding * terms)
        low = np.max(np.where(rate > 0, cut, -np.inf), axis=1, initial=-np.inf)
        high = np.min(np.where(rate < 0, cut, np.inf), axis=1, initial=np.inf)
        first_cut, last_cut = (rate > 0) & (cut >= low[:, None]), (rate < 0) & (cut <= high[:, None])
        rounding = np.maximum(rounding[:, 0], np.max(np.where(first_cut | last_cut, blur, 0), axis=1, initial=0))
        rests = direction[:, -1] == 0
        first, last = np.where(rests, -np.inf, leaves[0]), np.where(rests, np.inf, leaves[1])
        # A corner at the end of the range is its end.
        meets = np.stack([low > first + _SHORT, high < last - _SHORT], axis=1)
        places = np.where(meets, np.stack([low, high], axis=1), np.stack([first, last], axis=1))
        meets = np.where(meets, _FREE, RANGE)
        meets[~np.isfinite(places)] = RAY
        # What goes on for ever is shown for a while.
        places = np.where(np.isfinite(places), places, places[:, ::-1] + [-1, 1])
        places = np.where(np.isfinite(places), places, [-1, 1])
        inside = (point[:, -1] >= -_SHORT) & (point[:, -1] <= 1 + _SHORT) | ~rests
        there = ~np.any(wrong, axis=1) & (places[:, 1] - places[:, 0] > _SHORT) & inside
        ends = point[:, None] + places[..., None] * direction[:, None]
        ends[..., -1] = np.where(meets == RANGE, [0, 1], ends[..., -1])
        return there & np.all(np.isfinite(ends), axis=(1, 2)), ends, meets, rounding

    def _solved(self, words: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the lines of words: the point of each next to a given one, its direction, and how well it is known."""
        size, gates = self.size, self.gates
        opened = np.where(words, 1.0, 0.0)
        system = (
            gates.closed[:size]
            - np.eye(size, size + 1)
            + np.einsum("np,pi,pj->nij", opened, gates.a[:, :size], gates.c)
        )
        offset = gates.shift[:size] + (opened * gates.b) @ gates.a[:, :size]
        left, values, right = np.linalg.svd(system * self.units)
        off = (system @ points[..., None])[..., 0] + offset
        with np.errstate(all="ignore"):
            back = (np.swapaxes(left, 1, 2) @ off[..., None])[..., 0] / values
        moved = points - self.units * (back[:, None] @ right[:, :size])[:, 0]
        direction = right[:, -1]
        direction = np.where(np.abs(direction[:, -1:]) > _AT_REST, direction, direction * np.append(np.ones(size), 0))
        direction = direction * np.where(direction[:, -1:] < 0, -1.0, 1.0) * self.units
        many = ~(values[:, -1] > _MORE_THAN_A_LINE * values[:, 0])
        for t in points[many, -1].tolist():
            self.notes["a plane of fixed points", t] = None
        with np.errstate(all="ignore"):
            rounding = np.clip(_ROUNDING * values[:, :1] / values[:, -1:], _LEAST, _MOST)
        return np.where(many[:, None], np.nan, moved), direction, rounding

    def _join(self, meeting: _Meeting) -> None:
        """Have the pieces that begin at a corner meet there."""
        if meeting.origin is not None and self.meets[meeting.origin[0]][meeting.origin[1]] != _FREE:
            return  # it has been reached from another side
        joined = []
        size = 1 + np.max(np.abs(meeting.point / self.units))
        for word in meeting.words if len(meeting.tied) else []:
            i = self.known[word.tobytes()]
            if i < 0:
                continue
            away = np.max(np.abs(self.ends[i] - meeting.point) / self.units, axis=1)
            end = int(np.argmin(away))
            if self.meets[i][end] == _FREE and away[end] <= _SHORT * size:
                joined.append((i, end))
        if not joined and meeting.origin is not None:
            joined.append(meeting.origin)
        for i, end in joined:
            self.meets[i][end] = len(self.corners)
        if joined:
            self.corners.append(Corner(meeting.point, meeting.tied, tuple(sorted(joined))))
