"""Where the cycles are: the map written as a sum of ReLUs, a box that all cycles must lie in, and a polytope within it.

With its gates merged into planes (`Pieces`) every map of the library is

    F(z) = C z + c + sum_g a_g relu(u_g . z + b_g),     |u_g| = 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cyclax.cycles.contraction import contraction_certificate
from cyclax.maps.affine import AffineForm, lengths_of, proportional
from cyclax.proofs.candidates import Box

_EPS = float(np.finfo(np.float64).eps)
# Everything proved here in floating point is widened by this share, far above the rounding of what is computed.
_WIDEN = 1e-9
# Norms with a larger condition number than this are not inverted.
_WELL_CONDITIONED = 1e8
# Steps after which a linear part that still has not contracted is given up.
_MOST_POWERS = 20_000
# Rounds of narrowing, and the share that a round must gain for another one.
_MOST_ROUNDS, _GAIN = 200, 0.02
# Operations (about a nanosecond each) that may go into that: a polytope that is less narrow serves as well.
MOST_OPERATIONS = 5e9
# Planes up to which the polytope is narrowed by linear programs in M + G variables.
_MOST_PLANES = 300


class Pieces(NamedTuple):
    """The map with gates of one plane merged, gates that do not matter left out, and gates without gradient fixed."""

    planes: np.ndarray  # (P, M) unit gradients
    offsets: np.ndarray  # (P,)
    closed: np.ndarray  # (M, M)
    shift: np.ndarray  # (M,)
    jumps: np.ndarray  # (P, M, M) what the positive side of a plane adds
    shift_jumps: np.ndarray  # (P, M)
    closed_size: np.ndarray  # (M, M) the magnitudes that were summed
    shift_size: np.ndarray
    jump_sizes: np.ndarray
    shift_jump_sizes: np.ndarray
    plane_of: np.ndarray  # (G,) the plane of each gate, -1 for the gates left out
    flipped: np.ndarray  # (G,) the gate is open on the negative side
    held: np.ndarray  # (G,) the state of the gates left out

    def gates(self, sides: np.ndarray) -> np.ndarray:
        """Give the gates `(..., G)` on these sides of the planes `(..., P)`."""
        if len(self.planes) == 0:
            return np.broadcast_to(self.held, (*sides.shape[:-1], len(self.held)))
        known = sides[..., np.maximum(self.plane_of, 0)].astype(bool) ^ self.flipped
        return np.where(self.plane_of >= 0, known, self.held)


def pieces_of(bounds: AffineForm) -> Pieces:
    """Merge the gates of one plane, exactly equal up to a factor, and fold in what is fixed."""
    number = len(bounds.offsets)
    flat = ~np.any(bounds.gradients != 0, axis=1)
    held = flat & (bounds.offsets > 0)
    closed, shift = bounds.closed.copy(), bounds.shift.copy()
    closed_size, shift_size = np.abs(closed), np.abs(shift)
    plane_of, flipped = np.full(number, -1), np.zeros(number, bool)
    planes, offsets = np.empty((number, len(shift))), np.empty(number)
    leaders, jumps, shift_jumps, jump_sizes, shift_jump_sizes = [], [], [], [], []
    for g in range(number):
        jump, shift_jump = bounds.jumps[g], bounds.shift_jumps[g]
        if held[g]:
            closed, shift = closed + jump, shift + shift_jump
            closed_size, shift_size = closed_size + np.abs(jump), shift_size + np.abs(shift_jump)
        if not bounds.effective[g]:
            continue
        norm = lengths_of(bounds.gradients[g])
        unit, offset = bounds.gradients[g] / norm, bounds.offsets[g] / norm
        known = len(leaders)
        plane, sign = _same_plane(bounds, g, unit, offset, planes[:known], offsets[:known], leaders)
        if plane < 0:
            plane, planes[known], offsets[known] = known, unit, offset
            leaders.append(g)
            for list_ in (jumps, jump_sizes):
                list_.append(np.zeros_like(jump))
            for list_ in (shift_jumps, shift_jump_sizes):
                list_.append(np.zeros_like(shift_jump))
        if sign < 0:
            closed, shift = closed + jump, shift + shift_jump
            closed_size, shift_size = closed_size + np.abs(jump), shift_size + np.abs(shift_jump)
        jumps[plane], shift_jumps[plane] = jumps[plane] + sign * jump, shift_jumps[plane] + sign * shift_jump
        jump_sizes[plane] = jump_sizes[plane] + np.abs(jump)
        shift_jump_sizes[plane] = shift_jump_sizes[plane] + np.abs(shift_jump)
        plane_of[g], flipped[g] = plane, sign < 0
    size = len(shift)
    return Pieces(
        planes[: len(leaders)],
        offsets[: len(leaders)],
        closed,
        shift,
        np.reshape(jumps, (-1, size, size)),
        np.reshape(shift_jumps, (-1, size)),
        closed_size,
        shift_size,
        np.reshape(jump_sizes, (-1, size, size)),
        np.reshape(shift_jump_sizes, (-1, size)),
        plane_of,
        flipped,
        held,
    )


def _same_plane(bounds, gate, unit, offset, planes, offsets, leaders) -> tuple[int, int]:
    """Find the plane that a gate shares, and whether it opens on its positive (1) or negative (-1) side."""
    rows = np.concatenate([bounds.gradients, bounds.offsets[:, None]], axis=1)
    for sign in (1, -1):
        apart = np.max(np.abs(planes - sign * unit), axis=1)
        for plane in np.flatnonzero(apart < 1e-12):
            if proportional(rows[leaders[plane]], rows[gate]) == sign:
                return int(plane), sign
    return -1, 1


def derived_box(bounds: AffineForm, check: Callable[[], None] = lambda: None) -> Box | None:
    """Derive a box in which every cycle lies, None where no such box could be proved. `check` may raise now and then.

    Let F(z) = L z + c + sum_k e_k w_k(z), where L has half of what the gates of a direction u_k add at infinity and
    |w_k| <= beta_k + delta_k |u_k . z| holds what is left: nothing grows in it where the gates of a direction cancel.
    If L contracts, a cycle is z_t = p + sum_j L^j (...) over its whole past, so that the largest |u . (z - p)| obeys
    mu <= K (beta + delta mu) with K = sum_j |u L^j e|: bounded when K diag(delta) has a spectral radius below 1 (the
    small-gain theorem). Entry-wise contraction and clipped networks are special cases.
    """
    pieces = pieces_of(bounds)
    with np.errstate(all="ignore"):
        if not _rank_one(pieces, np.einsum("pij,pj->ip", pieces.jumps, pieces.planes)):
            return None  # what a gate adds does not vanish on its border: not a sum of ReLUs
        try:
            return _small_gain(pieces, check) or _around_the_fixed_point(bounds)
        except np.linalg.LinAlgError:
            return None


def _around_the_fixed_point(bounds: AffineForm) -> Box | None:
    """Where the map contracts, its one fixed point is no further from 0 than |F(0)| / (1 - rate), in that norm."""
    certificate = contraction_certificate(bounds)
    if certificate is None or not np.linalg.cond(certificate.norm) < _WELL_CONDITIONED:
        return None
    zero = np.zeros(len(bounds.shift))
    image = bounds.step(zero, bounds.gates(zero))
    length = np.sqrt(image @ certificate.norm @ image) / (1 - certificate.rate)
    radius = np.sqrt(np.diag(np.linalg.inv(certificate.norm))) * length * (1 + 1e-6) + 1e-300
    return Box(-radius, radius, derived=True) if np.all(np.isfinite(radius)) else None


def _small_gain(pieces: Pieces, check: Callable[[], None]) -> Box | None:
    size = len(pieces.shift)
    linear, constant, directions, inputs, beta, delta = _split(pieces, check)
    center = np.linalg.solve(np.eye(size) - linear, constant)
    if not np.all(np.isfinite(center)):
        return None
    # Two further inputs for each coordinate: what the center misses being fixed by, and rounding in proportion to z.
    sizes = pieces.closed_size + np.sum(pieces.jump_sizes, axis=0)
    noise = 1e3 * (len(pieces.planes) + size + 10) * _EPS
    missed = np.abs(linear @ center + constant - center) + noise * (
        sizes @ np.abs(center) + np.abs(center) + pieces.shift_size + np.sum(pieces.shift_jump_sizes, axis=0)
    )
    inputs = np.concatenate([inputs, np.eye(size)], axis=1)
    outputs = np.concatenate([directions, np.eye(size)])
    gain = _gain(linear, inputs, outputs, check)
    if gain is None:
        return None
    number = len(directions)
    level = np.concatenate([beta + delta * np.abs(directions @ center), missed]) * (1 + _WIDEN) + 1e-300
    growth = gain * np.concatenate([delta, np.zeros(size)])
    growth[:, number:] += noise * gain[:, number:] @ sizes  # |z - p| drives the rounding of every coordinate
    growth *= 1 + _WIDEN
    still = gain @ level * (1 + _WIDEN)
    largest = np.linalg.solve(np.eye(number + size) - growth, still) * (1 + 1e-6)
    # A positive vector that the bound maps strictly below itself proves the spectral radius below 1, and bounds mu.
    if not (np.all(np.isfinite(largest)) and np.all(largest > 0)):
        return None
    if np.any((growth @ largest + still) * (1 + 1e-12) > largest):
        return None
    radius = largest[number:] * (1 + _WIDEN)
    return Box(np.nextafter(center - radius, -np.inf), np.nextafter(center + radius, np.inf), derived=True)


def _split(pieces: Pieces, check: Callable[[], None]):
    """Give L, c, the directions `(D, M)`, the inputs e `(M, D)`, beta and delta `(D,)`."""
    linear, constant = pieces.closed.copy(), pieces.shift.copy()
    weights = np.einsum("pij,pj->pi", pieces.jumps, pieces.planes)
    directions, inputs, beta, delta = [], [], [], []
    rest = np.arange(len(pieces.planes))
    while len(rest):
        check()
        unit = pieces.planes[rest[0]]
        same: np.ndarray = np.all(pieces.planes[rest] == unit, axis=1)
        parallel: np.ndarray = np.logical_or(same, np.all(pieces.planes[rest] == -unit, axis=1))
        members, signs, rest = rest[parallel], np.where(same, 1.0, -1.0)[parallel], rest[~parallel]
        # relu(-y + b) = relu(y - b) + (b - y): all members look along `unit`.
        turned = weights[members[signs < 0]]
        linear -= np.outer(turned.sum(0), unit)
        constant += pieces.offsets[members[signs < 0]] @ turned
        columns, offsets = weights[members], pieces.offsets[members] * signs
        linear += 0.5 * np.outer(columns.sum(0), unit)
        # One input along the largest column, and one for each coordinate that it does not explain.
        lead = columns[np.argmax(np.linalg.norm(columns, axis=1))]
        shares = columns @ lead / max(lead @ lead, 1e-300)
        remainder = columns - np.outer(shares, lead)
        remainder[np.abs(remainder) < 8 * _EPS * np.abs(columns)] = 0  # rounding: charged with all other
        for column, share in [(lead, shares), *zip(np.eye(len(lead)), remainder.T, strict=True)]:
            if np.any(share != 0):
                directions.append(unit)
                inputs.append(column)
                beta.append(_level(share, offsets))
                delta.append(0.5 * abs(share.sum()))
    size = len(constant)
    stacked = np.reshape(directions, (-1, size)), np.reshape(inputs, (-1, size)).T
    return linear, constant, *stacked, np.array(beta, float), np.array(delta, float)


def _level(shares: np.ndarray, offsets: np.ndarray) -> float:
    """Bound |psi(y) - s y / 2| - |s y| / 2 for psi(y) = sum shares relu(y + offsets), s = sum shares.

    It is convex between the kinks, so largest at one of them, at 0, or far out, where it tends to |sum shares offsets|
    or 0.
    """
    at = np.append(-offsets, 0.0)
    slope = shares.sum()
    values = np.maximum(at[:, None] + offsets, 0) @ shares
    largest = float(np.max(np.abs(values - slope * at / 2) - np.abs(slope * at) / 2))
    return max(largest, abs(float(shares @ offsets)), 0.0)


def _gain(linear: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, check: Callable[[], None]) -> np.ndarray | None:
    """Bound sum_j |outputs L^j inputs| entry by entry; None where L does not contract within the powers allowed."""
    size = len(linear)
    if not max(abs(np.linalg.eigvals(linear)), default=0.0) < 1:
        return None
    power, states = np.eye(size), np.zeros((size, size))
    total = np.zeros((len(outputs), inputs.shape[1]))
    for _ in range(_MOST_POWERS):
        check()
        states += np.abs(power)
        total += np.abs(outputs @ (power @ inputs))
        power = linear @ power
        if not np.max(np.abs(power)) > 1e-7 / size:
            break
    else:
        return None
    # The computed powers P_j obey P_(j+1) = L P_j + E_j with |E_j| <= lost |L| |P_j|, so that the sums of |L^j| so far
    # are N <= states + N slack, and |L^j - P_j| <= N slack, with slack the sum of |E_j|.
    lost = 4 * (size + 4) * _EPS
    slack = lost * np.abs(linear) @ states
    if not np.max(np.sum(slack, axis=1)) < 1e-3:
        return None
    states = states @ np.linalg.inv(np.eye(size) - slack) * (1 + _WIDEN)
    total += np.abs(outputs) @ (states @ slack + lost * states) @ np.abs(inputs)
    # What is left is at most reach / (1 - reach) of the sum so far, in the maximum norm of states.
    reach = np.max(np.sum(np.abs(power) + states @ slack, axis=1))
    if not reach < 1e-2:
        return None
    tail = 1.02 * reach * np.max(states @ np.abs(inputs), axis=0)
    return (total + np.sum(np.abs(outputs), axis=1)[:, None] * tail) * (1 + _WIDEN)


def outer_polytope(
    pieces: Pieces, box: Box, check: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Narrow a box to a polytope `rows @ z <= limits` in which every cycle of the box lies; None: there is no cycle.

    A point of a cycle is the image of another one. So with r_g = relu(u_g . z + b_g), relaxed to the triangle above
    it, a row is at most max row . (C z + sum_g a_g r_g + c) over the polytope known so far: one linear program in
    M + G variables for a row, round after round while it pays. Rows: the coordinates, and the directions in which one
    gate's output shows alone (rows of the pseudo-inverse of a; they hold the polytope to the few dimensions that
    weights of low rank leave), and the singular directions of a. Its cost is limited by a count, so that the result
    does not depend on the machine. `check` is called now and then, and may raise.
    """
    size, number = len(pieces.shift), len(pieces.planes)
    lower, upper = np.asarray(box.lower, float), np.asarray(box.upper, float)
    rows = np.concatenate([np.eye(size), -np.eye(size)])
    weights = np.einsum("pij,pj->ip", pieces.jumps, pieces.planes)
    if number > _MOST_PLANES or not _rank_one(pieces, weights):
        return rows, np.concatenate([upper, -lower])
    extra = _directions(weights)
    rows = np.concatenate([rows, extra, -extra])
    limits = _support_of_box(rows, lower, upper)
    room = MOST_OPERATIONS
    for _ in range(_MOST_ROUNDS):
        found = _narrow(pieces, weights, rows, limits, room, check)
        if found is None:
            return None
        narrowed, taken = found
        room -= taken
        gain = limits - narrowed
        pays = np.max(gain / (gain + np.abs(narrowed) + 1e-3)) > _GAIN
        limits = narrowed
        if not pays or room <= 0:
            break
    # Rows that the box implies would only cost.
    implied = _support_of_box(rows, -limits[size : 2 * size], limits[:size])
    kept = (np.arange(len(rows)) < 2 * size) | (limits < implied - 1e-6 * np.abs(implied))
    return rows[kept], limits[kept]


def _directions(weights: np.ndarray) -> np.ndarray:
    size, number = weights.shape
    if not np.any(weights):
        return np.empty((0, size))
    left, values, _ = np.linalg.svd(weights, full_matrices=False)
    found = [left.T[values > 1e-12 * values[0]]]
    if number <= size and values[-1] > 1e-12 * values[0]:
        found.append(np.linalg.pinv(weights))
    directions = np.concatenate(found)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    axes = np.max(np.abs(directions), axis=1) > 1 - 1e-12
    return directions[~axes]


def _rank_one(pieces: Pieces, weights: np.ndarray) -> bool:
    """Whether jumps are a u' up to rounding, as continuity demands."""
    slack = 64 * _EPS * len(pieces.shift)
    outer = weights.T[:, :, None] * pieces.planes[:, None, :]
    scale = np.max(pieces.jump_sizes, axis=(1, 2), initial=0)[:, None]
    shifts = weights.T * pieces.offsets[:, None]
    return bool(
        np.all(np.abs(pieces.jumps - outer) <= slack * scale[:, None])
        and np.all(np.abs(pieces.shift_jumps - shifts) <= slack * scale * (1 + np.abs(pieces.offsets))[:, None])
    )


def _support_of_box(rows, lower, upper):
    """Bound rows @ z over a box, rounded up."""
    support = np.maximum(rows * upper, rows * lower).sum(axis=1)
    return support + 4 * rows.shape[1] * _EPS * (np.abs(rows) @ np.maximum(np.abs(lower), np.abs(upper)))


def _narrow(pieces: Pieces, weights, rows, limits, most: float, check) -> tuple[np.ndarray, int] | None:
    """One round: the new limits, never larger than the old ones, and the operations that it took."""
    from cyclax.proofs.word_graph.programs import support

    size, number = len(pieces.shift), len(pieces.planes)
    lower, upper = -limits[size : 2 * size], limits[:size]
    if np.any(lower > upper):
        return None
    largest = np.maximum(np.abs(lower), np.abs(upper))
    high = _support_of_box(pieces.planes, lower, upper) + pieces.offsets
    low = -_support_of_box(-pieces.planes, lower, upper) + pieces.offsets
    noise = 64 * (size + number) * _EPS
    blur = noise * (np.abs(pieces.planes) @ largest + np.abs(pieces.offsets))
    high, low = high + blur, low - blur
    top, slope = np.maximum(high, 0), np.where(high <= 0, 0.0, np.where(low >= 0, 1.0, high / (high - low)))
    # Variables z and r: bounds first (a basis for any objective), then r >= u.z + b, the chord, and the polytope.
    identity = np.eye(number)
    bounded = np.eye(size + number)
    program = np.concatenate(
        [
            bounded,
            -bounded,
            np.hstack([pieces.planes, -identity]),
            np.hstack([-slope[:, None] * pieces.planes, identity]),
            np.hstack([rows[2 * size :], np.zeros((len(rows) - 2 * size, number))]),
        ]
    )
    right = np.concatenate(
        [
            upper,
            top,
            -lower,
            -np.maximum(low, 0),
            -pieces.offsets + blur,
            slope * (pieces.offsets - np.minimum(low, 0)) + 2 * blur,
            limits[2 * size :],
        ]
    )
    span = np.concatenate([largest, top])
    objectives = rows @ np.hstack([pieces.closed, weights])
    best, taken = support(program, right, objectives, span, most, check)
    sizes = np.abs(rows) @ (
        pieces.closed_size @ largest + pieces.shift_size + np.abs(weights) @ top + pieces.shift_jump_sizes.sum(axis=0)
    )
    return np.minimum(limits, best + rows @ pieces.shift + noise * sizes), taken
