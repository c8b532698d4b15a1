"""Walks: a word followed from where it is a cycle toward the other end of its path, to the first place of a change."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from cyclax.bifurcations.branch import Branch, Paths, held, narrowed
from cyclax.bifurcations.classify import NEAR, OUTSIDE
from cyclax.bifurcations.event import Side, resolution_of
from cyclax.bifurcations.line import Line
from cyclax.cycles.multipliers import ROUGH_PRODUCT, beyond_float64

# A walk looks at these shares of the way that is left: uneven, since grids have their events at even ones.
_LOOKS = (0.07, 0.19, 0.31, 0.43, 0.57, 0.69, 0.81, 0.93, 1.0)
# A point is beyond a border where it is so by more than this share of the terms of the preactivation.
_BEYOND = 1e-12
# A multiplier this close to the unit circle passes it where another test function vanishes, not before.
_PASSING = 1e-7
# And this close to +1 it may take det(I - P) through 0.
_AT_ONE = 1e-6
# The end of a way is looked at from so near, as a share of it, too.
_BESIDE = 2.0**-30
# So often, at most, the place past an event where signs are read off is taken eight times closer to it.
_CLOSER = 24
# So many brackets from infinity it is looked for in more digits.
_BRACKETS = 8
# Where a word goes to infinity float64 locates it to within this: nearer its signs say nothing.
_LOCATED = 2.0**-46
# A height vanishes at an event where it is so much smaller there than what it changes by on this way.
_VANISHED, _WAY = 2.0**-10, 2.0**-32
# Nearer to an end, where words are solved in more digits: as near as there are numbers.
_AFTER, _BEFORE = 2.0**-200, 2.0**-50
# A point stays on a border where it is on it at this share of the way too.
_BETWEEN = 0.618


@dataclasses.dataclass(eq=False)
class Continuation:
    """One word on its way."""

    pair: int
    word: np.ndarray
    code: int
    toward: int  # +1 or -1
    start: float
    probe: float  # where its signs are read off
    given: bool = False  # it is on the list of its end
    origin: Any = None  # the event at which it begins
    tentative: bool = False  # may or may not be a cycle: through infinity

    @property
    def side(self) -> Side:
        """Where the walk comes from."""
        return "before" if self.toward > 0 else "after"

    @property
    def end(self) -> float:
        """Where it would end."""
        return float(self.toward > 0)


class Signs(NamedTuple):
    """The signs by which n words are judged, `(n,)` each."""

    inside: np.ndarray  # its points meet its gates
    finite: np.ndarray
    minus: np.ndarray  # of det(I - P)
    plus: np.ndarray  # of det(I + P)
    flips: np.ndarray  # a multiplier is -1, for all that float64 can tell
    at_one: np.ndarray  # one is +1, or no number, for all that float64 can tell
    outside: np.ndarray  # multipliers outside the unit circle

    def of(self, rows: np.ndarray) -> "Signs":
        """Give those of some words."""
        return Signs(*(part[rows] for part in self))


def signs_of(found: Branch) -> Signs:
    """Read off the signs."""
    values = found.multipliers()
    # Multipliers beyond the largest float64 are known to be outside.
    finite = np.all(np.isfinite(found.points), axis=(1, 2)) & ~np.any(np.isnan(values), axis=1)
    allowed = np.where(found.fine[:, None, None], 0.0, _BEYOND * found.sizes)
    inside = finite & np.all(found.heights >= -allowed, axis=(1, 2))
    # What is on the unit circle for all that float64 can tell counts as inside, so that it does not flicker.
    flips = np.min(np.abs(values + 1), axis=1) < OUTSIDE
    plus, at_one = np.where(flips, 1.0, np.sign(found.plus)), ~(np.min(np.abs(values - 1), axis=1) >= OUTSIDE)
    outside = np.sum(np.abs(values) > 1 + OUTSIDE, axis=1)
    return Signs(inside, finite, np.sign(found.minus), plus, flips, at_one, outside)


def alike(one: Signs, other: Signs) -> np.ndarray:
    """Whether nothing has changed in stability, `(n,)`."""
    return (one.minus == other.minus) & (one.plus == other.plus) & (one.outside == other.outside)


def looked_at(
    paths: Paths, pair: np.ndarray, places: np.ndarray, words: np.ndarray, given: np.ndarray
) -> tuple[Branch, Signs]:
    """Solve words, of which some `(n,)` are given as cycles of their models, and read off their signs.

    Where float64 has too few digits for these, pairs are looked at in more from now on: where it does not tell on which
    side of a border a point lies, or of +1 a multiplier (a cycle far away has passed infinity, or has not), or loses
    points or multipliers.
    """
    found = held(paths, pair, places, words)
    signs = signs_of(found)
    rows = np.flatnonzero((given | ~signs.finite) & ~paths.fine[pair])
    if not len(rows):
        return found, signs
    rough = np.any(np.abs(found.heights[rows]) <= _BEYOND * found.sizes[rows], axis=(1, 2))
    rough |= signs.at_one[rows] | ~signs.finite[rows] | _loses_multipliers(found)[rows]
    if not np.any(rough):
        return found, signs
    paths.fine[pair[rows[rough]]] = True
    found = held(paths, pair, places, words)
    return found, signs_of(found)


def _loses_multipliers(found: Branch) -> np.ndarray:
    lost = np.zeros(len(found.points), bool)
    large = np.flatnonzero((found.largest > ROUGH_PRODUCT) & ~found.fine)
    if len(large):
        lost[large] = beyond_float64(found.jacobians[large], found.product[large])
    return lost


def vanishing(paths: Paths, pair: np.ndarray, places: np.ndarray, words: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Whether heights `(n, k, G)` vanish at events: by how they change on a short way on both sides."""
    beside = [held(paths, pair, np.clip(places + way, 0, 1), words) for way in (-_WAY, _WAY)]
    with np.errstate(all="ignore"):
        change = np.fmax(*(np.abs(one.heights - heights) for one in beside))
        return np.abs(heights) <= _VANISHED * change


def as_beside(paths: Paths, pair: np.ndarray, end: float, words: np.ndarray, loose: np.ndarray) -> np.ndarray:
    """Give words `(n, k, G)` of cycles at an end of their paths as they stand beside it.

    The gates that are `loose (n, G)` switch nothing at the end, and stand in the words as they like. Where float64 does
    not tell on which side of one's border a point is, the pair is looked at in more digits from now on.
    """
    heights, close = _all_heights(paths, pair, np.full(len(pair), end), words)
    doubtful = np.any(close & loose[:, None], axis=(1, 2))
    if np.any(doubtful & ~paths.fine[pair]):
        paths.fine[pair[doubtful]] = True
        heights, close = _all_heights(paths, pair, np.full(len(pair), end), words)
        doubtful = np.any(close & loose[:, None], axis=(1, 2))
    if np.any(doubtful):
        place = _beside(paths, pair, np.full(len(pair), end))
        heights = np.where(close, _all_heights(paths, pair, place, words)[0], heights)
    return np.where(loose[:, None], heights > 0, words)


def met_beside(
    paths: Paths, pair: np.ndarray, ends: np.ndarray, words: np.ndarray, loose: np.ndarray
) -> tuple[np.ndarray, Branch | None]:
    """Say which borders of `loose (n, G)` gates points are on at ends of their paths `(n,)`, `(n, k, G)`.

    **Returns:** that; and what words fix beside these ends, where there are any.
    """
    if not np.any(loose):
        return np.zeros(words.shape, bool), None
    close = _all_heights(paths, pair, ends, words)[1] & loose[:, None]
    return close, held(paths, pair, _beside(paths, pair, ends), words) if np.any(close) else None


def _beside(paths: Paths, pair: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Give places `(n,)` beside ends of paths."""
    fine = paths.fine[pair]
    return np.where(ends == 0, np.where(fine, _AFTER, _WAY), 1 - np.where(fine, _BEFORE, _WAY))


def _all_heights(paths: Paths, pair: np.ndarray, places: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, ...]:
    """Give the preactivations `(n, k, G)` of words at places, and which of them are 0, for all that is known."""
    found = held(paths, pair, places, words)
    # Those of gates without gradient at this place too, for which `found.heights` has none.
    heights = found.points @ np.swapaxes(found.bounds.gradients, 1, 2) + found.bounds.offsets[:, None]
    close = np.abs(heights) <= NEAR * found.sizes
    for row in np.flatnonzero(found.fine):
        heights[row] = found.exact[row].heights
        close[row] = heights[row] == 0
    return heights, close


def staying(
    paths: Paths, pair: np.ndarray, start: np.ndarray, places: np.ndarray, words: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether points that are `near (n, k, G)` borders at places have been on one of them all the way.

    So are the fixed points at 0 of networks without bias; there is no crossing then. Where float64 says so of a pair,
    it is looked at in more digits from now on.

    **Returns:** whether they have `(n,)`, to within rounding; and exactly.
    """
    along, exactly, rows = np.zeros(len(pair), bool), np.zeros(len(pair), bool), np.arange(len(pair))
    while len(rows):
        place = start[rows] + _BETWEEN * (places - start)[rows]
        there = held(paths, pair[rows], place, words[rows])
        terms = np.abs(there.points) @ np.abs(np.swapaxes(there.bounds.gradients, 1, 2))
        terms += np.abs(there.bounds.offsets)[:, None]
        fine = there.fine[:, None, None]
        # On a line of exact weights a height that stays 0 is 0.
        limit = NEAR * np.where(fine, terms * (not isinstance(paths.models, Line)), there.sizes)
        along[rows] = on = np.any(near[rows] & (np.abs(there.heights) <= limit), axis=(1, 2))
        exactly[rows] = np.any(near[rows] & fine & (there.heights == 0), axis=(1, 2))
        known = paths.fine[pair[rows]]
        rows = rows[on & ~known]
        paths.fine[pair[rows]] = True
    return along, exactly


class Ends(NamedTuple):
    """How walks of one order ended; every array has the walks on its first axis."""

    begin: Branch  # where they began
    solved: np.ndarray  # the word had a solution there
    started: np.ndarray  # and is a cycle there
    turned: np.ndarray  # something changed on the way
    low: np.ndarray  # the last place before
    high: np.ndarray  # the first after
    column: (
        np.ndarray
    )  # which test function changed sign (`Branch.tests`); -1 where the number of multipliers outside did


def walked(paths: Paths, walks: list[Continuation]) -> Ends:
    """Take walks of one order to their end, or to their next event; given and tentative words must be cycles first."""
    pair, words = np.array([walk.pair for walk in walks]), np.stack([walk.word for walk in walks])
    start, end = np.array([walk.start for walk in walks]), np.array([walk.end for walk in walks])
    probe = np.array([walk.probe for walk in walks])
    given = np.array([walk.given for walk in walks])
    begin, signs = looked_at(paths, pair, probe, words, given)
    tentative = np.array([walk.tentative for walk in walks])
    origins = [walk.origin.event for walk in walks if walk.tentative]
    width = np.spacing(start) / (2 * _BRACKETS)
    width[tentative] = [max(resolution_of(event), _LOCATED) for event in origins]
    for _ in range(_CLOSER):  # another event lies between, past which the signs are no longer those of this walk
        rows = np.flatnonzero(signs.finite & ~signs.inside & (np.abs(probe - start) > 8 * _BRACKETS * width))
        if not len(rows):
            break
        probe[rows] = start[rows] + (probe[rows] - start[rows]) / 8
        begin, signs = _seen_again(paths, pair, probe, words, rows, (begin, signs))
    started = signs.finite & (signs.inside | ~(given | tentative | (probe != start)))
    rows = np.flatnonzero(started & tentative)
    if len(rows):
        paths.fine[pair[rows]] = True
        where = start[rows], width[rows], probe[rows]
        as_given = probe[rows] == np.array([walks[i].probe for i in rows])
        started[rows] = _through_infinity(paths, pair[rows], words[rows], *where, as_given)
        begin, signs = _seen_again(paths, pair, probe, words, rows, (begin, signs))
        started[rows] &= signs.inside[rows]

    tests = begin.tests(signs.minus, signs.plus)
    low, high, at_low, at_high = start.copy(), end.copy(), tests.copy(), tests.copy()
    outside_high = signs.outside.copy()
    broken, wandered, doubtful, touching = np.zeros((4, len(walks)), bool)
    stays = signs.flips.copy()  # a multiplier is -1 all along: rounding gives det(I + P) its sign
    for look in _LOOKS:
        rows = np.flatnonzero(started & ~broken & ~wandered & ~doubtful)
        if not len(rows):
            break
        place = end[rows] if look == 1.0 else start[rows] + (end[rows] - start[rows]) * look
        here = held(paths, pair[rows], place, words[rows])
        now, then = signs_of(here), signs.of(rows)
        # Beyond a border by less than float64 can tell of its terms: it may have been met long before.
        doubtful[rows] = now.inside & np.any(here.heights < 0, axis=(1, 2)) & ~paths.fine[pair[rows]]
        broken[rows] = ~now.inside | (~doubtful[rows] & ((now.minus != then.minus) | (now.plus != then.plus)))
        wandered[rows] = ~(broken | doubtful)[rows] & (now.outside != then.outside)
        outside_high[rows], high[rows] = now.outside, place
        stays[rows] &= now.flips
        at_high[rows] = here.tests(then.minus, then.plus)
        stay = ~(broken | wandered | doubtful)[rows]
        if look == 1.0:
            touching[rows] = stay & np.any(here.heights <= _BEYOND * here.sizes, axis=(1, 2))
        else:
            low[rows[stay]], at_low[rows[stay]] = high[rows[stay]], at_high[rows[stay]]
    # Points on a border at the end may have been beyond it on the last part of the way.
    rows = np.flatnonzero(touching)
    if len(rows):
        place = end[rows] + (start - end)[rows] * _BESIDE
        here = held(paths, pair[rows], place, words[rows])
        beyond = ~signs_of(here).inside
        some = rows[beyond]
        broken[some], high[some] = True, place[beyond]
        at_high[some] = here.tests(signs.minus[rows], signs.plus[rows])[beyond]

    column = np.full(len(walks), -1)
    # A multiplier that is -1 at the very place where it is looked at: nothing to narrow.
    exact = broken & np.all(at_high > 0, axis=1)
    column[exact], low[exact] = tests.shape[1] - 1, high[exact]
    rows = np.flatnonzero(broken & ~exact)
    if len(rows):
        last = low[rows]
        at_low[stays, -1] = at_high[stays, -1] = 1.0
        several = _narrow_tests(paths, rows, pair, words, signs, stays, (at_low, at_high), low, high, column)
        there = held(paths, pair[rows], low[rows], words[rows])
        # Where multipliers of 1e10 make room for one of +-1, only the place of the event itself shows it; and what
        # float64 took for an event on the way there may be none. Beside a multiplier of +1 points are rounded so much
        # that a border is met anywhere.
        at_border, values = column[rows] < at_high.shape[1] - 2, there.multipliers()
        rough = at_border & (np.min(np.abs(values - 1), axis=1) < _AT_ONE)
        anew = (_loses_multipliers(there) | several | rough) & ~paths.fine[pair[rows]]
        if np.any(anew):
            paths.fine[pair[rows[anew]]] = doubtful[rows[anew]] = True
            broken[rows[anew]] = False
            values = held(paths, pair[rows], low[rows], words[rows]).multipliers()
        # Stability may have changed on the way to that place, and not only there.
        sizes = np.abs(values)
        least, most = np.sum(sizes > 1 + _PASSING, axis=1), np.sum(sizes > 1 - _PASSING, axis=1)
        sooner = ~anew & ((signs.outside[rows] < least) | (signs.outside[rows] > most))
        earlier = rows[sooner]
        outside_high[earlier] = np.where(signs.outside[rows] < least, least, most)[sooner]
        wandered[earlier], column[earlier] = True, -1
        high[earlier], low[earlier] = low[earlier], last[sooner]
    rows = np.flatnonzero(wandered)
    if len(rows):
        last, far = low[rows], high[rows]
        _narrow_moduli(paths, rows, pair, words, signs.outside, outside_high, low, high)
        # A multiplier that passes +1 takes det(I - P) through 0, which may come back with the next one.
        past = _past_infinity(paths, pair[rows], words[rows], signs.minus[rows], high[rows], far)
        through = np.isfinite(past)
        some = rows[through]
        if len(some):
            wandered[some], broken[some] = False, True
            low[some], high[some] = last[through], past[through]
            ends = (held(paths, pair[some], place[some], words[some]) for place in (low, high))
            at_low[some], at_high[some] = (end.tests(signs.minus[some], signs.plus[some]) for end in ends)
            at_low[stays, -1] = at_high[stays, -1] = 1.0
            _narrow_tests(paths, some, pair, words, signs, stays, (at_low, at_high), low, high, column)
    ends = Ends(begin, signs.finite, started, broken | wandered, low, high, column)
    again = np.flatnonzero(doubtful)
    if not len(again):
        return ends
    paths.fine[pair[again]] = True
    return _replaced(ends, again, walked(paths, [walks[i] for i in again]))


def _seen_again(
    paths: Paths, pair, places, words, rows: np.ndarray, seen: tuple[Branch, Signs]
) -> tuple[Branch, Signs]:
    """Solve some of the words again, at new places or in more digits, and read off their signs."""
    found = held(paths, pair[rows], places[rows], words[rows])
    return _replaced(seen, rows, (found, signs_of(found)))


def _replaced(of_all: Any, rows: np.ndarray, of_some: Any) -> Any:
    """Put what was found of some walks, when they were looked at again, into what was found of all."""

    def put(all_: np.ndarray, some: np.ndarray) -> np.ndarray:
        all_ = np.array(all_)
        all_[rows] = some
        return all_

    return jax.tree.map(put, of_all, of_some)


def _through_infinity(
    paths: Paths, pair, words, at: np.ndarray, width: np.ndarray, probe: np.ndarray, back: np.ndarray
) -> np.ndarray:
    """Say which words have come through infinity at places `at (n,)`: those that are cycles right past it.

    All are at `probe (n,)`, but may have ended, and begun anew before that. float64 gives the place roughly: it is
    between two beside it where det(I - P) has different signs. Where there are none such, some (`back (n,)`) may have
    come through infinity and back.
    """
    through, rows, near = back.copy(), np.arange(len(pair)), _BRACKETS * width
    while len(rows := rows[near[rows] < np.abs(probe - at)[rows]]):
        way = np.sign(probe - at)[rows] * near[rows]
        before, after = (
            signs_of(held(paths, pair[rows], np.clip(at[rows] + one, 0, 1), words[rows])) for one in (-way, way)
        )
        between = before.minus != after.minus
        through[rows[between]] = after.inside[between]
        rows = rows[~between]
        near = near * 8
    return through


def _past_infinity(paths: Paths, pair, words, minus: np.ndarray, place: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Give places `(n,)` beyond one at which a multiplier is +1, where det(I - P) has changed its sign; or nan."""
    past = np.full(len(pair), np.nan)
    rows = np.flatnonzero(np.min(np.abs(held(paths, pair, place, words).multipliers() - 1), axis=1) < _AT_ONE)
    step = 4 * np.spacing(place)
    for _ in range(_CLOSER):
        rows = rows[step[rows] < np.abs(far - place)[rows]]
        if not len(rows):
            break
        there = place[rows] + np.sign(far - place)[rows] * step[rows]
        passed = np.sign(held(paths, pair[rows], there, words[rows]).minus) == -minus[rows]
        past[rows[passed]] = there[passed]
        rows = rows[~passed]
        step *= 8
    return past


def _narrow_tests(paths: Paths, rows, pair, words, signs: Signs, stays, at: tuple, low, high, column) -> np.ndarray:
    """Find where a test function changes its sign; that of a flip is none where a multiplier stays -1.

    **Returns:** whether one of multipliers does together with others, for all that can be told `(n,)`.
    """

    def tests(some, place):
        mine = rows[some]
        values = held(paths, pair[mine], place, words[mine]).tests(signs.minus[mine], signs.plus[mine])
        values[stays[mine], -1] = 1.0
        return values

    at_low, at_high = at
    ends = low[rows], high[rows], at_low[rows], at_high[rows]
    low[rows], high[rows], column[rows] = narrowed(tests, *ends, paths.fine[pair[rows]])
    # Between two neighboring places several may change: that a cycle ceases outranks that it changes stability, and
    # where det(I - P) changes its sign it does so by way of infinity, whatever else its points do there.
    changed, flip = tests(np.arange(len(rows)), high[rows]) <= 0, at_high.shape[1] - 1
    fine, by_border = paths.fine[pair[rows]], np.any(changed[:, :-2], axis=1) & (column[rows] == flip)
    first = np.where(by_border, np.argmax(changed, axis=1), column[rows])
    column[rows] = np.where(fine & changed[:, -2], flip - 1, np.where(fine, first, column[rows]))
    return np.any(changed[:, -2:], axis=1) & (np.sum(changed, axis=1) > 1)


def _narrow_moduli(paths: Paths, rows, pair, words, outside_low, outside_high, low, high) -> None:
    """Find where a multiplier, or a pair, passes the unit circle without a change of a determinant's sign."""

    def distance(some, place):
        mine = rows[some]
        sizes = np.abs(held(paths, pair[mine], place, words[mine]).multipliers())
        growing = outside_high[mine] > outside_low[mine]
        rank = np.where(growing, outside_low[mine], outside_low[mine] - 1)
        return np.where(growing, -1, 1)[:, None] * (np.take_along_axis(sizes, rank[:, None], axis=1) - 1)

    everything = np.arange(len(rows))
    at_low, at_high = distance(everything, low[rows]), distance(everything, high[rows])
    low[rows], high[rows], _ = narrowed(distance, low[rows], high[rows], at_low, at_high, paths.fine[pair[rows]])
