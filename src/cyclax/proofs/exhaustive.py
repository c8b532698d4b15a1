"""All words, one by one: the plainest method of exact enumeration, and the oracle for the others.

Gates whose borders are parallel are not independent: along their common direction the borders cut a line into
intervals, and only the patterns of those intervals exist. A *symbol* is one choice of an interval for every direction;
a clipped network of H hidden units has at most 3^H of them instead of 4^H. Where there are more directions than
dimensions most of these choices do not exist either: then a symbol is a region, of which G borders make at most
sum_(i <= M) C(G, i). The points that lie exactly on a border belong, by continuity, to the solutions of the words on
both sides.
"""

import fractions
import itertools
import math
from collections.abc import Iterator

import numpy as np

from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.cycles.word import minimal_period
from cyclax.maps.affine import AffineForm, lengths_of, proportional
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.proofs.candidates import Box, Candidates, Progress

_EPS = np.finfo(np.float64).eps
# A word is kept where its points lie on the wrong side of a border by no more than this share of their size.
_TOLERANCE = 1e-9
# Above this condition number I - P is taken as singular, and the word is kept whatever its points are.
_SINGULAR = 1e10
# Where rounding in what gates add up to exceeds this share of a Jacobian, or of I, words are not judged by it.
_CANCELED = 1e-10
# Parallel units agree to this, up to sign.
_AGREE = 1e-12
# Regions are listed from at most so many corners, each with up to 2 to this power regions around it.
_MOST_CORNERS, _MEETING = 2**14, 6
# A corner is known where its planes are this far from parallel; other planes part from it where that is clear.
_PARALLEL, _CLEAR = 1e-8, 64.0
# Words that are looked at together take up to this much memory (and never more than the budget allows).
_CHUNK_BYTES = 2**26
# Words of an order on which it is measured how long all of them would take; refused is what would take so many times
# the budget (nearer to it the clock decides: a measurement is only so good).
SAMPLE, _HOPELESS = 2048, 2.0


def exhaustive(
    model: AbstractPiecewiseLinearMap,
    bounds: AffineForm,
    orders: list[int],
    box: Box,
    budget: Budget,
    progress: Progress,
) -> Candidates:
    """Solve every word of the gates that matter.

    **Arguments:** `model` and `box`: not used, the borders say all and no box is needed; `bounds`: of the model;
    `orders`: the minimal periods; `budget`: its `nodes` bound the number of words; `progress`: called with a text now
    and then.

    **Returns:** every word whose solution meets it within a tolerance, or for which I - P is singular. A repeated word
    is listed for its whole length only if I - P is singular there (else what it fixes has a smaller period).

    **Raises:** `TooExpensiveError`, before anything is solved, that says how many words there are.
    """
    patterns = alphabet(bounds)
    symbols = number_of(patterns)
    _refuse_if_too_expensive(bounds, patterns, symbols, orders, budget)
    words, complete, looked_at, unfinished = {}, [], 0, ""
    for order in orders:
        kept, total = [], symbols**order
        for codes, done in _chunks(symbols, order, _chunk_size(bounds, order, budget)):
            if unfinished := budget.spent(nodes=looked_at) or "":
                unfinished = f"order {order}: {unfinished} after {done} of {total} words"
                break
            if len(codes):
                kept.append(surviving(bounds, patterns, codes, symbols, order))
            looked_at += len(codes)
            progress(f"order {order}: {done} of {total} words")
        words[order] = np.concatenate([np.zeros((0, order, len(bounds.offsets)), bool), *kept])
        if unfinished:
            break
        complete.append(order)
    return Candidates(words, tuple(complete), False, looked_at, 0, _TOLERANCE, unfinished, {"symbols": symbols})


def _refuse_if_too_expensive(bounds: AffineForm, patterns, symbols: int, orders: list[int], budget: Budget) -> None:
    """Count the words, and measure on a sample of each order how long they would take."""
    total = sum(symbols**order for order in orders)
    seconds = 0.0 if total > budget.nodes else _measured(bounds, patterns, symbols, orders, budget)
    if total > budget.nodes or seconds > _HOPELESS * budget.seconds:
        number = total if total < 10**12 else format(float(min(total, 10**300)), ".1e")
        took = f" would take about {seconds:.1g} s" if seconds else ""
        raise TooExpensiveError(
            f"exhaustive: {number} words ({symbols if symbols < 10**12 else 'too many'} patterns of gates to the power "
            f"of the order){took}; that is more than the budget of {budget.nodes} nodes and {budget.seconds:g} s. "
            "Lower the orders, raise the budget, or use another method."
        )


def _measured(bounds: AffineForm, patterns, symbols: int, orders: list[int], budget: Budget) -> float:
    """Estimate the seconds that all words take: of each order some are solved, spread over all."""
    seconds = 0.0
    for order in orders:
        if budget.spent() or seconds > _HOPELESS * budget.seconds:
            break
        number = symbols**order
        size = min(number, SAMPLE, _chunk_size(bounds, order, budget))
        codes, begun = np.arange(size) * (number // size), budget.clock()
        _are_smallest(codes, symbols, order)
        turned = budget.clock()
        surviving(bounds, patterns, codes, symbols, order)
        # All codes are turned, and of each word one rotation is solved.
        seconds += number / size * (turned - begun + (budget.clock() - turned) / order)
    return seconds


def settled(bounds: AffineForm) -> np.ndarray:
    """Give the gates `(G,)` that are open everywhere: their preactivation is a positive constant."""
    return np.all(bounds.gradients == 0, axis=1) & (bounds.offsets > 0)


def parallel(gradients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group gradients `(G, M)`, none zero, by the line they lie on, exactly: indices, and lengths along it (signed)."""
    units = gradients / lengths_of(gradients)[:, None]
    # Units that agree up to sign lie equally far along any direction: only those next to each other are compared.
    far = np.abs(units @ np.cos(1.0 + np.arange(units.shape[1])))
    order = np.argsort(far, kind="stable")
    cuts = np.flatnonzero(np.diff(far[order]) > 2 * _AGREE * units.shape[1]) + 1
    groups: list[list[int]] = []
    for block in np.split(order, cuts):
        own: list[list[int]] = []
        for gate in np.sort(block).tolist():
            leaders = units[[group[0] for group in own]]
            apart = np.minimum(*(np.max(np.abs(leaders - turned), axis=1) for turned in (units[gate], -units[gate])))
            near = (own[n] for n in np.flatnonzero(apart < _AGREE))
            known = next((group for group in near if proportional(gradients[group[0]], gradients[gate])), None)
            if known is None:
                own.append([gate])
            else:
                known.append(gate)
        groups += own
    groups.sort()
    return [(np.array(group), gradients[group] @ units[group[0]]) for group in groups]


def patterns_of(bounds: AffineForm) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group the gates that matter by direction: their indices, and the patterns `(n, gates)` that occur along it."""
    effective = np.flatnonzero(bounds.effective)
    patterns = []
    for group, slopes in parallel(bounds.gradients[effective]):
        gates = effective[group]
        # Places along the line, exactly: however thin an interval is, a point may lie in it.
        pivot = int(np.argmax(np.abs(bounds.gradients[gates[0]])))
        ratios = zip(bounds.offsets[gates].tolist(), bounds.gradients[gates, pivot].tolist(), strict=True)
        places = [-fractions.Fraction(offset) / fractions.Fraction(slope) for offset, slope in ratios]
        different = sorted(set(places))
        rank = np.array([different.index(place) for place in places])
        # Interval i lies above the i lowest places.
        below = rank[None] < np.arange(len(different) + 1)[:, None]
        along = slopes * np.sign(bounds.gradients[gates[0], pivot]) > 0
        patterns.append((gates, np.unique(below == along, axis=0)))
    return patterns


def number_of(patterns: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Count the symbols: one pattern of each direction."""
    return math.prod(len(rows) for _, rows in patterns)


def alphabet(bounds: AffineForm) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give the patterns of each direction, or those of all gates at once, where regions are told apart and fewer."""
    patterns = patterns_of(bounds)
    regions = regions_of(bounds, patterns)
    if regions is None or len(regions) >= number_of(patterns):
        return patterns
    return [(np.flatnonzero(bounds.effective), regions)]


def regions_of(bounds: AffineForm, patterns) -> np.ndarray | None:
    """List gates `(n, G')`, of those that matter, among which are those of every region; None where that is not known.

    With as many independent planes as dimensions every region has a corner in its closure, where so many planes meet:
    on the others it lies as its corner does. What rounding leaves open of a corner is taken both ways.
    """
    gradients = bounds.gradients[bounds.effective]
    lengths = lengths_of(gradients)
    planes, offsets = gradients / lengths[:, None], bounds.offsets[bounds.effective] / lengths
    size = planes.shape[1]
    # Of directions no more than dimensions all patterns exist.
    if len(patterns) <= size or size < 2 or math.comb(len(planes), size) > _MOST_CORNERS:
        return None
    effective, direction = np.flatnonzero(bounds.effective), np.zeros(len(planes), int)
    columns = [np.searchsorted(effective, gates) for gates, _ in patterns]
    for i, some in enumerate(columns):
        direction[some] = i
    # Parallel planes do not meet.
    corners = np.array(list(itertools.combinations(range(len(planes)), size)))
    apart = np.sort(direction[corners], axis=1)
    corners = corners[np.all(apart[:, 1:] != apart[:, :-1], axis=1)]
    inverses = planes[corners]
    if not np.all(np.abs(np.linalg.det(inverses)) > _PARALLEL):
        return None
    inverses = np.linalg.inv(inverses)
    points = -(inverses @ offsets[corners][..., None])[..., 0]
    heights = points @ planes.T + offsets
    # Rounding in a corner, and in the height of a plane there.
    far = np.linalg.norm(points, axis=1) + np.linalg.norm(offsets[corners], axis=1)
    wrong = size * _EPS * np.linalg.norm(inverses, axis=(1, 2)) * far
    near = np.abs(heights) <= _CLEAR * (wrong[:, None] + size * _EPS * (far[:, None] + np.abs(offsets)))
    near[np.arange(len(corners))[:, None], corners] = True
    if not np.all(np.isfinite(heights)) or np.max(np.sum(near, axis=1)) > _MEETING:
        return None
    found = []
    for number in np.unique(np.sum(near, axis=1)).tolist():
        some = np.sum(near, axis=1) == number
        meeting = np.nonzero(near[some])[1].reshape(-1, number)
        for sides in itertools.product([False, True], repeat=number):
            around = heights[some] > 0
            np.put_along_axis(around, meeting, np.array(sides)[None], axis=1)
            found.append(np.packbits(around, axis=1))
    regions = np.unpackbits(np.unique(np.concatenate(found), axis=0), axis=1, count=len(planes)).astype(bool)
    for (_, rows), some in zip(patterns, columns, strict=True):
        if len(some) > 1:  # of parallel planes it is known which patterns exist
            regions = regions[np.any(np.all(regions[:, None, some] == rows, axis=2), axis=1)]
    return regions


def _gates(bounds: AffineForm, patterns, codes: np.ndarray, symbols: int, order: int) -> np.ndarray:
    """Spell codes out: gates `(n, k, G)`."""
    gates = np.tile(settled(bounds), (len(codes), order, 1))
    for t in range(order):
        digit = codes // symbols ** (order - 1 - t) % symbols
        for group, rows in patterns:
            gates[:, t, group] = rows[digit % len(rows)]
            digit = digit // len(rows)
    return gates


def _chunk_size(bounds: AffineForm, order: int, budget: Budget) -> int:
    num_gates, num_states = bounds.gradients.shape
    each = 8 * (6 * num_states**2 + order * (num_gates + num_states) + order)
    return max(1, min(_CHUNK_BYTES, budget.memory // 4) // each)


def _chunks(symbols: int, order: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Count through the words as numbers in base `symbols`; give the smallest rotation of each, and how far we are."""
    total = symbols**order
    for begin in range(0, total, size):
        end = min(total, begin + size)
        codes = np.arange(begin, end)
        yield codes[_are_smallest(codes, symbols, order)], end


def _are_smallest(codes: np.ndarray, symbols: int, order: int) -> np.ndarray:
    """Whether words are the smallest of their rotations."""
    highest = symbols ** (order - 1)
    smallest, rotated = np.ones(len(codes), bool), codes
    for _ in range(order - 1):
        rotated = rotated % highest * symbols + rotated // highest
        smallest &= codes <= rotated
    return smallest


def surviving(bounds: AffineForm, patterns, codes: np.ndarray, symbols: int, order: int) -> np.ndarray:
    """Give the words `(n, k, G)` of these codes that are kept."""
    gates = _gates(bounds, patterns, codes, symbols, order)
    with np.errstate(all="ignore"):  # what overflows counts as singular, and is kept
        return gates[_survives(bounds, gates)]


def _survives(bounds: AffineForm, gates: np.ndarray) -> np.ndarray:
    """Whether words `(n, k, G)` are kept: their points meet them within the tolerance, or I - P is not known."""
    number, order, _ = gates.shape
    num_states = len(bounds.shift)
    product = np.broadcast_to(np.eye(num_states), (number, num_states, num_states))
    shift = np.zeros((number, num_states))
    growth, lost = np.ones((order, number)), np.zeros(number, bool)
    largest = np.abs(bounds.closed) + np.sum(np.abs(bounds.jumps), axis=0)
    large = not np.all(_EPS * largest <= _CANCELED)
    for t in range(order):
        growth[t] = np.linalg.norm(product, axis=(1, 2))
        jacobian = bounds.jacobians(gates[:, t])
        if large:
            terms = np.abs(bounds.closed) + np.tensordot(gates[:, t].astype(float), np.abs(bounds.jumps), axes=1)
            lost |= ~np.all(_EPS * terms <= _CANCELED * np.maximum(np.abs(jacobian), 1), axis=(1, 2))
        product = jacobian @ product
        shift = (jacobian @ shift[..., None])[..., 0] + bounds.shift + gates[:, t] @ bounds.shift_jumps
    system = np.eye(num_states) - product
    singular = lost | ~(np.abs(np.linalg.slogdet(system)[1]) < np.inf)
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(num_states), system))
    condition = np.linalg.norm(system, axis=(1, 2)) * np.linalg.norm(inverse, axis=(1, 2))
    singular |= ~(condition < _SINGULAR)
    state = (inverse @ shift[..., None])[..., 0]
    # Rounding in the first point, and how it grows along the orbit.
    wrong = 10 * num_states * _EPS * condition * (np.linalg.norm(state, axis=1) + np.linalg.norm(shift, axis=1))
    gradients, offsets = bounds.gradients[bounds.effective], bounds.offsets[bounds.effective]
    lengths = lengths_of(gradients)
    met = np.ones(number, bool)
    for t in range(order):
        inside = np.where(gates[:, t, bounds.effective], 1, -1) * (state @ gradients.T + offsets)
        size = np.linalg.norm(state, axis=1)
        slack = _TOLERANCE * size + (growth[t] + 1) * wrong
        met &= np.all(inside >= -(slack[:, None] * lengths + _TOLERANCE * np.abs(offsets)), axis=1)
        state = np.einsum("nij,nj->ni", bounds.jacobians(gates[:, t]), state) + bounds.shift
        state += gates[:, t] @ bounds.shift_jumps
    for i in np.flatnonzero(met & ~singular):
        met[i] = minimal_period(gates[i][:, bounds.effective]) == order
    return met | singular
