"""All words, one by one: the plainest method of exact enumeration, and the oracle for the others.

A *symbol* is what the gates can be at one state: what stands for it is in `regions`.
The points that lie exactly on a border belong, by continuity, to the solutions of the words on both sides.
"""

from collections.abc import Iterator

import numpy as np

from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.cycles.index import SINGULAR, orientation
from cyclax.cycles.word import minimal_period
from cyclax.maps.affine import AffineForm, lengths_of
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.proofs.candidates import Box, Candidates, Progress
from cyclax.proofs.regions import alphabet, number_of, settled

_EPS = np.finfo(np.float64).eps
# A word is kept where its points lie on the wrong side of a border by no more than this share of their size.
_TOLERANCE = 1e-9
# Where rounding in what gates add up to exceeds this share of a Jacobian, or of I, words are not judged by it.
_CANCELED = 1e-10
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
    _, condition, inverse = orientation(product)
    # Words whose condition is too large are kept whatever their points are.
    singular = lost | ~(condition < SINGULAR)
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
