"""Orbits that follow one word for long, but not for ever: where they are before they leave it is linear algebra.

While an orbit meets a word, what a lap adds to its state, d, is multiplied by P in every lap. In n laps each part of d
along an eigenvector adds up to f(n) = (value^n - 1) / (value - 1) times itself, so that slow drifts, which would take
billions of steps, are taken in one.
"""

from typing import Any

import numpy as np

from cyclax.maps.affine import AffineForm, itineraries
from cyclax.maps.base import AbstractPiecewiseLinearMap

_EPS = float(np.finfo(np.float64).eps)
# Laps are looked at in blocks, of which each ends later than the one before by this factor, up to 2^60 laps.
_RATIO, _MOST = 2**0.125, 2.0**60
# Leaps in a row: each ends in the block before the one in which a border may be met, and so leaves a part of the way.
_LEAPS = 32
# Eigenvectors closer to each other than this tell nothing.
_CONDITION = 1e6
# What a lap adds is known where it is so many times its rounding; what is not known may move by this share of a state.
_KNOWN, _UNKNOWN = 64, 1e-6
# What turns may be off by this share of a state.
_TURNED = 1e-3


def leap(
    model: AbstractPiecewiseLinearMap, bounds: AffineForm, word: np.ndarray, state: np.ndarray, least: int
) -> np.ndarray | None:
    """Give a later state of the orbit of `state (M,)`, up to which it follows the word `(k, G)` that it follows now.

    **Arguments:** `least`: fewer steps than this are not worth a leap.

    **Returns:** the state, whose next steps meet the word; None where it leaves the word soon, or what a lap adds is
    lost in rounding.
    """
    found, laps, last = None, 0.0, np.inf
    for _ in range(_LEAPS):
        with np.errstate(all="ignore"):
            ahead = _ahead(bounds, word, state)
        if ahead is None:
            break
        (met,), _ = itineraries(model, ahead[1][None, None], len(word))
        if not np.array_equal(met[:, bounds.effective], word[:, bounds.effective]):
            break
        laps += ahead[0]
        found = state = ahead[1]
        if ahead[0] >= last:  # toward a border leaps become shorter: this orbit comes to rest instead
            break
        last = ahead[0]
    return found if laps * len(word) >= least else None


def _ahead(bounds: AffineForm, word: np.ndarray, state: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Give the number of laps, two at least, after which the word is still met, and the state then."""
    lap = _lap(bounds, word, state)
    if lap is None:
        return None
    room, slopes, size, growth, added, noise = lap
    # Each coordinate in its own units: as large as it is, or as the others would have it become.
    fastest = np.max(np.abs(np.linalg.eigvals(growth)))
    size = np.maximum(size, np.abs(growth) @ size / fastest if fastest > 0 else 0)
    own = np.where((size > 0) & np.isfinite(size), size, 1)
    # Or all in those of the largest: one that vanishes has none.
    for size in (own, np.full_like(own, np.max(own))):
        scaled = growth * size / size[:, None]
        if not np.all(np.isfinite(scaled)):  # a state that has all but vanished, or left
            continue
        values, right = np.linalg.eig(scaled)
        if np.linalg.cond(right) < _CONDITION:
            break
    else:
        return None
    rates: Any = values.astype(complex)
    left = np.linalg.inv(right)
    amounts, noises = left @ (added / size), np.abs(left) @ (noise / size)
    unknown = np.where(np.abs(amounts) > noises, 0, noises) * np.max(np.abs(right), axis=0)
    parts: Any = size[:, None] * right * amounts
    plain = (rates.imag == 0) & (rates.real > -1)
    real, turning = np.real(parts[:, plain]), parts[:, ~plain]
    laps = np.unique(np.floor(_RATIO ** np.arange(1 + int(np.log(_MOST) / np.log(_RATIO)))))
    least = _KNOWN * len(word) * _EPS * float(np.linalg.norm(scaled))
    sums, turned = _sums(rates[plain].real, laps, least), _sums(rates[~plain], laps, least)
    powers, sizes = (1 + rates[plain].real) ** laps[:, None], np.abs(1 + rates[~plain]) ** laps[:, None]
    reach = np.minimum((1 + np.maximum(1, sizes)) / np.abs(rates[~plain]), laps[:, None] * np.maximum(1, sizes))
    known = np.all(np.concatenate([sums, reach], 1) * np.concatenate([unknown[plain], unknown[~plain]]) < _UNKNOWN, 1)
    # How far around rounding takes what turns.
    shares = np.abs(amounts[~plain]) * np.max(np.abs(right[:, ~plain]), axis=0)
    known &= np.all(laps[:, None] * least * reach * shares < _TURNED, axis=1)
    # In a block, a border comes nearer no faster than at the slowest of what leads away and the fastest of what leads
    # there; what turns gets no further than its radius, and changes its speed by what it turns in the block.
    speeds, turns = slopes @ real, slopes @ turning
    low, high = np.minimum(powers[:-1], powers[1:]), np.maximum(powers[:-1], powers[1:])
    speed = low @ np.maximum(speeds, 0).T + high @ np.minimum(speeds, 0).T
    block = np.diff(laps)[:, None]
    ratio = np.maximum(1, sizes[1:] / np.maximum(sizes[:-1], 1e-300))
    turn = sizes[:-1] * np.minimum(1 + ratio, block * np.abs(rates[~plain]) * ratio)
    aside = np.real(((1 + rates[~plain]) ** laps[:-1, None]) @ turns.T) - turn @ np.abs(turns).T
    straight = sums[:-1] @ speeds.T
    first = straight + np.real(turned[:-1] @ turns.T) + block * np.minimum(speed + aside, 0)
    second = straight + block * np.minimum(speed, 0) - reach[1:] @ np.abs(turns).T
    fine = np.all(np.fmax(first, second) > -room, axis=1) & known[1:]
    last = len(fine) if np.all(fine) else int(np.argmin(fine))
    if laps[last] < 2:
        return None
    moved = real @ sums[last] + np.real(turning @ turned[last])
    return (float(laps[last]), state + moved) if np.all(np.isfinite(moved)) else None


def _lap(bounds: AffineForm, word: np.ndarray, state: np.ndarray):
    """Run one lap, in differences: slow networks differ from the identity by little, of which nothing is to be lost.

    **Returns:** the room to each border and its change with the state, step by step; the size of each coordinate;
    P - I; what the lap adds to the state, and the rounding of that. None where the word is not met.
    """
    gates, one = bounds.effective, np.eye(len(state))
    moved, growth, noise, size = np.zeros(len(state)), np.zeros_like(one), np.zeros(len(state)), np.abs(state)
    rooms, slopes = [], []
    for open_ in word:
        sign = np.where(open_, 1, -1)[gates]
        rooms.append(sign * (bounds.gradients[gates] @ (state + moved) + bounds.offsets[gates]))
        slopes.append(sign[:, None] * (bounds.gradients[gates] @ (one + growth)))
        change = bounds.closed - one + np.tensordot(open_.astype(float), bounds.jumps, 1)
        shift = bounds.shift + open_ @ bounds.shift_jumps
        noise = noise + np.abs(change) @ (noise + np.abs(state + moved)) + np.abs(shift)
        moved = moved + change @ (state + moved) + shift
        growth = growth + change + change @ growth
        size = np.maximum(size, np.abs(state + moved))
    room = np.concatenate(rooms)
    if not (np.all(np.isfinite(growth)) and np.all(np.isfinite(noise)) and np.all(room > 0)):
        return None
    return room, np.concatenate(slopes), size, growth, moved, _KNOWN * _EPS * noise


def _sums(rates: Any, laps: np.ndarray, least: float) -> np.ndarray:
    """Give f for multipliers 1 + `rates (m,)` after so many laps `(n,)`: `(n, m)`; rates below `least` are 0."""
    still = np.abs(rates) <= least
    rates = np.where(still, 1, rates)
    # NumPy's log1p of complex numbers rounds 1 + rates.
    log = np.log1p(rates.real * (2 + rates.real) + rates.imag**2) / 2 + 1j * np.arctan2(rates.imag, 1 + rates.real)
    log = log if np.iscomplexobj(rates) else log.real
    return np.where(still, laps[:, None], np.expm1(laps[:, None] * log) / rates)
