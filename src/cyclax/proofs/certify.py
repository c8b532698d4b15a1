"""`certify`: each cycle proved in ball arithmetic, or said to be ambiguous, or refused.

For the word of a cycle the affine pieces compose to z -> P z + q, in balls (`pieces.py`). Where I - P is invertible in
balls, the word has exactly one solution, and all its points are enclosed. Where then every gate is proved to stand as
the word says, the solution is a cycle of the map: no continuity is assumed, and nothing of what float64 computed.

Multipliers are the roots of the characteristic polynomial of P. How many lie outside the unit circle is decided by the
Schur-Cohn recursion, in which multiple roots do no harm; what float64 computed of them is checked by the discs of
Smith (*Error bounds for zeros of a polynomial based upon Gerschgorin's theorems*, J. ACM 17, 1970).
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cyclax.core.balls import working_precision
from cyclax.core.budget import SpentError
from cyclax.core.checks import whole
from cyclax.core.numerics import numerics
from cyclax.core.progress import progress_bar
from cyclax.cycles.cycle import Cycle, Degenerate, Proof
from cyclax.cycles.driven import unrolled_cycle
from cyclax.cycles.inventory import model_hash
from cyclax.cycles.result import Cycles, checked_cycles
from cyclax.cycles.seal import upheld
from cyclax.cycles.word import minimal_period
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.driven import checked_inputs, unrolled
from cyclax.maps.stack import checked_model
from cyclax.proofs.multiplier_discs import (
    _CIRCLE,
    OpenError,
    RefusedError,
    check_multipliers,
    count_outside,
    lower_bound,
    upper_bound,
)

if TYPE_CHECKING:
    from cyclax.cycles.pieces import Pieces

_FIRST_BITS = 128
# Enclosures of points are narrower than this, relative to the largest coordinate.
_NARROW = 2.0**-64
# .. or than this, where all coordinates are 0.
_TINY = 2.0**-1000
_MOST_BITS_OF_CIRCLE = 4096
# Stated Jacobians: rounding in the product of k matrices, with a margin.
_ROUNDING = 1e-12
# From so many bits on rational numbers are asked whether a point is exactly on a border, up to this size k M^2.
_BITS_OF_DOUBT, _RATIONAL_SIZE = 1024, 2000


def certify(
    model: AbstractPiecewiseLinearMap,
    cycles: Sequence[Cycle],
    *,
    inputs: Float[Any, "p K"] | None = None,
    bits: int = 65_536,
    progress: bool = True,
) -> Cycles:
    """Prove each cycle in ball arithmetic, or say what blocks the proof. Needs `pip install 'cyclax[exact]'`.

    Proved is, for the float64 weights taken as exact numbers: the word of the cycle has one solution, every gate
    stands at every point of it as the word says (so it is a cycle of the map), no smaller period, and the number of
    multipliers outside the unit circle. Checked against the proof are `order`, `points` (to within `error`), `gates`,
    `multipliers` (to 1e-6, or the digits that float64 has of them), `jacobian` and `stability`; not `residual`,
    `margin` and `condition`.

    **Arguments:**

    - `model`: the map; a class of your own too. Its weights, and the numbers in its code, are taken as they are.
    - `cycles`: what `find_cycles` gave for it, or some of these cycles, of whose completeness nothing is said then.
    - `inputs`: those that the cycles were found under, if any. Proved are then the fixed points of all steps at once.
    - `bits`: the precision at which to give up; it starts at 128 and doubles until all is decided.
    - `progress`: show a bar on a terminal when it takes longer than a second.

    **Returns:** the same `Cycles`, each with a `certificate`, a `Proof`:

    - "proved"; its `stability` is None where a multiplier is within 5e-20 of the unit circle;
    - "ambiguous": not decided with so many bits, or a point exactly on a border; the reason says how close;
    - "refused": what the cycle states is proved wrong, and the reason says what;
    - "not tried", after Ctrl-C.

    `report["certificate"]` counts them, and says of each entry of `degenerate` that is on a border what is found out.
    Orders are no longer "proved complete" where the cycles are not those that `enumerate_cycles` vouched for.

    **Raises:** `TypeError`, and `ValueError` where cycles and model do not fit, or
    where the code of the model cannot be followed exactly.

    **Reference:** Johansson, *Arb: efficient arbitrary-precision midpoint-radius interval arithmetic*, IEEE
    Transactions on Computers 66, 2017.
    """
    model = checked_model(model)
    cycles = checked_cycles(cycles, "certify: cycles")
    _check_arguments(model, cycles, bits)
    if inputs is not None:
        return _certify_driven(model, cycles, checked_inputs(model, inputs), bits, progress)
    return certify_in_time(model, cycles, bits, progress)


def _certify_driven(
    model: AbstractPiecewiseLinearMap, cycles: Cycles, inputs: Any, bits: int, progress: bool
) -> Cycles:
    """Certify the cycles of each order as fixed points of the network unrolled over so many periods."""
    proved: list[Cycle] = []
    reports: list[dict[str, Any]] = []
    for order in cycles.orders:
        own = cycles.of_order(order)
        for cycle in own:
            if len(cycle.points) != order * len(inputs):
                raise ValueError(
                    f"certify: a cycle of order {order} has {len(cycle.points)} points, and {order} periods of these "
                    f"inputs have {order * len(inputs)} steps; give the inputs it was found under."
                )
        with numerics():
            fixed = tuple(unrolled_cycle(model, cycle) for cycle in own)
        certified = certify_in_time(unrolled(model, inputs, order), Cycles(fixed, (1,), {"orders": {}}), bits, progress)
        reports.append(certified.report["certificate"])
        proofs = [one.certificate for one in certified]
        proved += [dataclasses.replace(cycle, certificate=proof) for cycle, proof in zip(own, proofs, strict=True)]
    joined: dict[str, Any] = {**reports[0], "model": model_hash(unrolled(model, inputs, 1))}
    for name in ("proved", "ambiguous", "refused", "not tried", "stability open", "seconds"):
        joined[name] = sum(report[name] for report in reports)
    joined["bits"] = max(report["bits"] for report in reports)
    report = upheld(cycles, joined["refused"], joined["model"])
    return dataclasses.replace(cycles, cycles=tuple(proved), report={**report, "certificate": joined})


def certify_in_time(
    model: AbstractPiecewiseLinearMap,
    cycles: Cycles,
    bits: int = 65_536,
    progress: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Cycles:
    """Do what `certify` says; what has not been tried when `check` raises `SpentError`, called often, stays so."""
    began = time.perf_counter()
    from cyclax.cycles.pieces import Pieces

    first = _FIRST_BITS if bits > _FIRST_BITS else bits
    read: dict[int, Pieces] = {}

    def pieces_at(precision: int) -> Pieces:
        if first in read and read[first].exact:
            return read[first]
        if precision not in read:
            with working_precision(precision):
                read[precision] = Pieces(model, check)
        return read[precision]

    proofs: list[Proof] = []
    borders: list[str] = []
    interrupted = ""
    try:
        pieces_at(first)
        for cycle in progress_bar(cycles, shown=progress, desc="certify", unit="cycle"):
            proofs.append(prove(pieces_at, _stated(cycle), first, bits))
        for entry in cycles.degenerate:
            if entry.kind == "border":
                borders.append(f"{entry!r}: {_said_of(prove(pieces_at, _stated(entry), first, bits))}")
    except KeyboardInterrupt:
        interrupted = "interrupted by Ctrl-C"
    except SpentError as spent:
        interrupted = str(spent)
    proofs += [Proof("not tried", interrupted)] * (len(cycles) - len(proofs))
    certificate: dict[str, Any] = {
        "proved": sum(proof.status == "proved" for proof in proofs),
        "ambiguous": sum(proof.status == "ambiguous" for proof in proofs),
        "refused": sum(proof.status == "refused" for proof in proofs),
        "not tried": sum(proof.status == "not tried" for proof in proofs),
        "stability open": sum(proof.status == "proved" and proof.stability is None for proof in proofs),
        "bits": max((proof.precision for proof in proofs), default=0),
        "borders": borders,
        "seconds": time.perf_counter() - began,
        "model": model_hash(model),
    }
    found_on = cycles.provenance.get("model")
    if found_on not in (None, certificate["model"]):
        certificate["note"] = f"found on another model (hash {found_on}) than certified on ({certificate['model']})"
    if interrupted:
        certificate["interrupted"] = interrupted
    proved = tuple(dataclasses.replace(c, certificate=proof) for c, proof in zip(cycles, proofs, strict=True))
    report = upheld(cycles, certificate["refused"], certificate["model"])
    return dataclasses.replace(cycles, cycles=proved, report={**report, "certificate": certificate})


def _check_arguments(model: AbstractPiecewiseLinearMap, cycles: Cycles, bits: Any) -> None:
    whole(bits, "certify: bits", 64)
    for cycle in (*cycles, *cycles.degenerate):
        found = cycle.points.shape[-1], cycle.gates.shape[-1]
        if found != (model.num_states, model.num_gates):
            raise ValueError(
                f"certify: the cycles have {found[0]} states and {found[1]} gates, and the model "
                f"({type(model).__name__}) has {model.num_states} states and {model.num_gates} gates; "
                "give the model they were found on."
            )


def _said_of(proof: Proof) -> str:
    if proof.status == "proved":
        return f"proved to be a cycle, at least {proof.margin:.2g} from the border"
    return f"{proof.status}: {proof.reason}"


class _Stated(NamedTuple):
    """What is to be proved."""

    order: int
    points: np.ndarray
    gates: np.ndarray
    error: float
    multipliers: np.ndarray | None = None
    jacobian: np.ndarray | None = None
    stability: str | None = None


def _stated(entry: Cycle | Degenerate) -> _Stated:
    gates = np.ascontiguousarray(entry.gates, bool)
    if isinstance(entry, Degenerate):
        return _Stated(entry.order, entry.points, gates, np.inf)
    return _Stated(entry.order, entry.points, gates, entry.error, entry.multipliers, entry.jacobian, entry.stability)


def prove(pieces_at: "Callable[[int], Pieces]", stated: _Stated, first: int, most: int) -> Proof:
    """Prove one cycle at the smallest precision that serves."""

    bits = first
    try:
        _check_shapes(stated)
        while True:
            try:
                with working_precision(bits):
                    return _attempt(pieces_at(bits), stated, bits, last=2 * bits > most)
            except OpenError as open_:
                if open_.final or 2 * bits > most:
                    text = str(open_) if open_.final else f"{open_} ({bits} bits)"
                    return Proof("ambiguous", text, bits, margin=open_.margin)
            bits *= 2
    except RefusedError as refused:
        return Proof("refused", str(refused), bits)


def _check_shapes(stated: _Stated) -> None:
    order, lengths = stated.order, (len(stated.points), len(stated.gates))
    if lengths != (order, order):
        raise RefusedError(f"order {order} is stated, with {lengths[0]} points and {lengths[1]} gates")
    if not np.all(np.isfinite(stated.points)) or not stated.error >= 0:
        raise RefusedError("its points, or the bound on their error, are not finite")
    period = minimal_period(stated.gates)
    if period < order:
        raise RefusedError(f"the word repeats after {period} steps: this is order {period}, {order // period} times")
    if stated.multipliers is not None and stated.multipliers.shape != stated.points.shape[1:]:
        raise RefusedError(f"{stated.multipliers.size} multipliers are stated, of {stated.points.shape[1]}")


def _attempt(pieces: "Pieces", stated: _Stated, bits: int, *, last: bool) -> Proof:
    orbit, product = _enclosed(pieces, stated.gates, bits)
    points = [orbit[i, t] for t in range(stated.order) for i in range(1, pieces.num_states + 1)]
    radius = max(upper_bound(point.rad()) for point in points)
    if not radius <= max(_NARROW * max(map(upper_bound, points)), _TINY):
        raise OpenError(f"its points are enclosed to within {radius:.2g} only")
    signs, margin = _signs(pieces, stated.gates, pieces.planes_matrix(bits) * orbit, bits)
    _check_period(signs)
    distance = max(upper_bound(point - x) for point, x in zip(points, stated.points.ravel().tolist(), strict=True))
    if not distance <= stated.error + 2 * radius:
        raise RefusedError(
            f"its points are {distance:.2g} from the exact ones, and their error is stated as {stated.error:.2g}"
        )
    coefficients = product.charpoly().coeffs()
    multiplier_error = math.nan
    if stated.multipliers is not None:
        multiplier_error = check_multipliers(product, coefficients, stated.multipliers.tolist())
    if stated.jacobian is not None:
        _check_jacobian(pieces, stated, product)
    unstable = count_outside(coefficients, last=last or bits >= _MOST_BITS_OF_CIRCLE)
    stability, reason = None, f"stability is open: a multiplier is within {2.0 ** -_CIRCLE[1]:.2g} of the unit circle"
    if unstable is not None:
        stability = {0: "stable", pieces.num_states: "repeller"}.get(unstable, "saddle")
        reason = ""
        if stated.stability not in (None, "neutral", stability):
            raise RefusedError(f"it is {stability}, and stated as {stated.stability}")
    return Proof("proved", reason, bits, radius, distance, margin, stability, unstable, multiplier_error)


def _enclosed(pieces: "Pieces", word: np.ndarray, bits: int) -> tuple[Any, Any]:
    """Enclose the points that a word fixes, as columns (1, z) of `(M + 1, k)`, and the composed Jacobian P."""
    import flint

    from cyclax.cycles.pieces import rational_preactivation

    lap = pieces.lap(word, bits)
    try:
        states = [lap.solution()]
    except ZeroDivisionError:
        if _rationals_serve(pieces, word, bits):
            try:
                rational_preactivation(pieces, word, 0, 0)
            except ZeroDivisionError:
                raise RefusedError(
                    "I - P is singular (in rational arithmetic): no isolated cycle has this word"
                ) from None
        raise OpenError("I - P cannot be told from a singular matrix: perhaps a whole family of solutions") from None
    for matrix in lap.matrices[:-1]:
        states.append(matrix * states[-1])
    columns = zip(*(state.entries() for state in states), strict=True)
    return flint.arb_mat(states[0].nrows(), len(word), list(itertools.chain.from_iterable(columns))), lap.product


def _signs(pieces: "Pieces", word: np.ndarray, preactivations: Any, bits: int) -> tuple[np.ndarray, float]:
    """Prove that gates stand as the word says, those that are proved inert excepted.

    **Returns:** the signs `(k, G)` that are proved, 0 where none is, and a bound from below on the distance to the
    nearest border.
    """
    order = len(word)
    signs, margin = np.zeros(word.shape, int), math.inf
    doubts: dict[int, list[int]] = {}
    entries, opens = preactivations.entries(), word.T.ravel().tolist()
    slopes = pieces.slopes.tolist()
    for i, (value, is_open) in enumerate(zip(entries, opens, strict=True)):
        gate, step = divmod(i, order)
        signs[step, gate] = sign = int(value > 0) - int(value < 0)
        # On the border itself a gate is closed; but there both sides meet, unless its preactivation never changes.
        if not (sign > 0 if is_open else sign < 0 or (not slopes[gate] and value <= 0)):
            doubts.setdefault(step, []).append(gate)
        elif slopes[gate]:
            margin = min(margin, math.nextafter(lower_bound(value) / slopes[gate], 0.0))
    for step, gates in doubts.items():
        if not pieces.inert(word[step], tuple(gates)):
            for gate in gates:
                if not pieces.inert(word[step], (gate,)):
                    _raise_of_gate(pieces, word, step, gate, entries[gate * order + step], bits)
            raise OpenError(f"at point {step} gates {gates} are not proved inert together", 0.0)
    return signs, margin


def _raise_of_gate(pieces: "Pieces", word: np.ndarray, step: int, gate: int, value: Any, bits: int) -> None:
    is_open, slope = bool(word[step, gate]), pieces.slopes[gate]
    where = f"gate {gate} at point {step}"
    if value > 0 or value < 0:
        stands = "open" if value > 0 else "closed"
        by = f" by {lower_bound(value) / slope:.2g} in state" if slope else ""
        raise RefusedError(f"{where} is {stands}{by}, and the word says {'open' if is_open else 'closed'}")
    from cyclax.cycles.pieces import rational_preactivation

    if value == 0 or (_rationals_serve(pieces, word, bits) and rational_preactivation(pieces, word, step, gate) == 0):
        raise OpenError(f"{where}: the point is exactly on its border (margin 0)", 0.0, final=True)
    close = upper_bound(value) / slope if slope else math.nan
    raise OpenError(f"{where}: the point is within {close:.2g} of its border, on either side", close)


def _rationals_serve(pieces: "Pieces", word: np.ndarray, bits: int) -> bool:
    return pieces.exact and bits >= _BITS_OF_DOUBT and len(word) * pieces.num_states**2 <= _RATIONAL_SIZE


def _check_period(signs: np.ndarray) -> None:
    """Points that differ in a proved gate differ; where they do not, the gates that differ are inert."""
    order = len(signs)
    primes = (p for p in range(2, order + 1) if order % p == 0 and all(p % d for d in range(2, math.isqrt(p) + 1)))
    for prime in primes:
        if not np.any(signs * np.roll(signs, -(order // prime), axis=0) < 0):
            raise RefusedError(
                f"the word repeats after {order // prime} steps, inert gates aside: its order is not {order}"
            )


def _check_jacobian(pieces: "Pieces", stated: _Stated, product: Any) -> None:
    given = np.asarray(stated.jacobian)
    sizes = np.eye(pieces.num_states)
    with np.errstate(all="ignore"):
        for gates in stated.gates:
            sizes = pieces.magnitudes(gates) @ sizes
        allowed = _ROUNDING * stated.order * pieces.num_states * np.max(sizes)
    if np.isfinite(allowed) and (
        given.shape != sizes.shape
        or not np.all(np.isfinite(given))
        or any(abs(a - x) > allowed for a, x in zip(product.entries(), given.ravel().tolist(), strict=True))
    ):
        raise RefusedError("the jacobian stated is not that of the cycle")
