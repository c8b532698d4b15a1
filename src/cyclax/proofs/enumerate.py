"""`enumerate_cycles`: the verb. All cycles there are, with a certificate of what is proved."""

import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from cyclax.core.budget import CERTIFICATION, DERIVATION, PROOF, SEARCH, Budget, SpentError
from cyclax.core.checks import real
from cyclax.core.interruption import Interruption
from cyclax.core.numerics import numerics
from cyclax.core.progress import progress_line
from cyclax.cycles.balance import balanced, in_own_units
from cyclax.cycles.contraction import contraction_certificate
from cyclax.cycles.cycle import Cycle
from cyclax.cycles.driven import over_periods
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.orders import checked_orders, divisors
from cyclax.cycles.result import Cycles
from cyclax.cycles.seal import seal
from cyclax.cycles.verify import Verified
from cyclax.maps.affine import AffineForm, state_scale
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.rounding import adds_up
from cyclax.maps.stack import checked_model
from cyclax.proofs.attempt import MANY_DIMENSIONS, default_box
from cyclax.proofs.candidates import Box, Candidates
from cyclax.proofs.certificate import certificate, sentence
from cyclax.proofs.certify import certify_in_time
from cyclax.proofs.methods import AbstractMethod, BranchAndBound, Exhaustive, WordGraph
from cyclax.proofs.nearby import search_nearby
from cyclax.proofs.paced import Paced
from cyclax.proofs.regions import alphabet, number_of

# Up to so many words all of them are tried, unless told otherwise.
_FEW_WORDS = 2**16
# Up to this order trees prove more than graphs in many dimensions, whose regions are too many to be joined.
_LOW = 6
# Where all orders are enumerated, those without cycles are listed up to this one.
_MOST_ORDERS = 1000
# Where all orders were asked for and some are left open, so many of those are searched.
_SEARCHED = 8
# Words that are decided exactly between two looks at the clock.
_DECIDED = 20


def enumerate_cycles(
    model: AbstractPiecewiseLinearMap,
    orders: int | Iterable[int] | Literal["all"],
    *,
    inputs: Float[Any, "p K"] | None = None,
    box: float | tuple[Float[Any, " M"], Float[Any, " M"]] | None = None,
    method: AbstractMethod | None = None,
    budget: Budget | float | None = None,
    progress: bool = True,
) -> Cycles:
    """Find all cycles there are, and prove it.

    **Arguments:**

    - `model`: any map of cyclax.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods; "all" means every period there is.
    - `inputs`: `(p, K)`: inputs of p steps that repeat, as in `find_cycles`; orders then count periods, and "all" is
      not to be had. A budget is for each order, and `report["orders"]` says how each was proved.
    - `box`: cycles are sought whose points all lie in it: a number b for |z_i| <= b, or lower and upper corner. By
      default a box that is proved to hold all cycles, where one can be derived, else 1e4 times the size of the states
      that matter to the model; the certificate says which.
    - `method`: `Exhaustive()`, `WordGraph()` or `BranchAndBound()`; chosen by default.
    - `budget`: seconds, or a `Budget` of seconds, nodes and memory; ten minutes by default. When it runs out, what has
      been proved by then is returned, and the certificate says what was left open; so it is after Ctrl-C (a second one
      raises `KeyboardInterrupt`). The seconds count from the call on and hold for all of it, compilation aside: most
      are for the proof, a tenth at most for the derivation of a box, and the last for a short search of what is left
      open and for solving and checking words. Orders whose words are not all checked in time are left open.
    - `progress`: show a line on a terminal when it takes longer than a second.

    **Returns:** `Cycles` whose `report["completeness"]` says for which orders, where, by which method and to which
    tolerance they are complete. "Numerical" proof: constraints were relaxed by the tolerance before anything was
    discarded, but computed in float64. `WordGraph(rigorous=True)` proves beyond that.

    **Raises:** `TypeError` and `ValueError` that name the argument; `TooExpensiveError` where a method would exceed its
    budget before it begins; `ImportError` where the extra `exact` is missing.
    """
    began = Budget.clock()
    everything = isinstance(orders, str) and orders == "all"
    wanted = None if everything else checked_orders(orders)  # pyright: ignore[reportArgumentType]
    if inputs is not None:
        if wanted is None or isinstance(box, tuple):
            raise ValueError("inputs: of driven networks give orders (not 'all'), and as a box a number or none.")
        settings: dict[str, Any] = {"box": box, "method": method, "budget": budget, "progress": progress}
        return over_periods(model, inputs, wanted, lambda one, _: enumerate_cycles(one, 1, **settings))
    given = model = checked_model(model)
    allowed = _checked_budget(budget)
    _check_method(method)
    searched = wanted and sorted({d for order in wanted for d in divisors(order)})
    with Interruption() as interruption, numerics(), progress_line(shown=progress) as say:
        ((model,), (bounds,), units) = balanced([model])
        if not adds_up(model, bounds):
            raise ValueError(
                f"model: the gates of {type(given).__name__} do not add up (what one adds depends on others), so that "
                "nothing can be proved of it; cyclax.testing.check_map(model) says where."
            )
        allowed.start(interruption, began)
        derived, late = _derived_box(bounds, allowed)
        own = np.ones(model.num_states) if units is None else units[0]
        chosen = method or _default_method(bounds, searched)
        region = _checked_box(model, bounds, box, derived, own, chosen.needs_box)
        if chosen.rigorous:
            region = dataclasses.replace(region, derived=False)
        allowed.until(PROOF)
        try:
            found = chosen.candidates(model, bounds, searched, region, allowed, say)
        except SpentError as spent:
            found = Candidates({}, (), False, 0, 0, 0.0, str(spent), {"undecided": 0})
        found.notes.update(late)
        _search_what_is_open(model, bounds, searched, found, allowed)
        result = _result(model, bounds, chosen, region, wanted, found, allowed, began)
        return result if units is None else _in_own_units(result, given, own)


def _checked_budget(budget) -> Budget:
    if budget is None or isinstance(budget, Budget):
        return budget or Budget()
    return Budget(seconds=real(budget, "budget", "seconds or a cyclax.Budget", positive=True, finite=False))


def _check_method(method) -> None:
    if method is None or isinstance(method, AbstractMethod):
        return
    what = f"the class {method.__name__}; call it" if isinstance(method, type) else repr(method)
    known = "cyclax.WordGraph(), BranchAndBound(), Exhaustive(), or a method of your own (cyclax.proofs.AbstractMethod)"
    raise TypeError(f"method: expected {known}, got {what}.")


def _in_own_units(result: Cycles, model: AbstractPiecewiseLinearMap, units: np.ndarray) -> Cycles:
    certified = dict(result.report["completeness"])
    if certified["box"] is not None:
        certified["box"] = {side: (units * np.array(end)).tolist() for side, end in certified["box"].items()}
    report = {**result.report, "completeness": certified}
    written = in_own_units(dataclasses.replace(result, report=report), model, units)
    certified["seal"] = seal(written)
    return written


def _checked_box(model, bounds: AffineForm, box, derived: Box | None, units: np.ndarray, needed: bool) -> Box:
    """Check the box, and give it in the units of the states that are computed with."""
    number = model.num_states
    if box is None:
        return derived or default_box(model, bounds, needed)
    if hasattr(box, "__array__"):  # of NumPy or JAX, a number perhaps
        box = np.asarray(box)[()]
    if isinstance(box, numbers.Real):
        lower, upper = -np.full(number, float(box)), np.full(number, float(box))
    elif isinstance(box, (tuple, list, np.ndarray)):
        if len(box) != 2:
            raise ValueError(f"box: expected a number or a pair (lower, upper), got {len(box)} entries.")
        lower, upper = (np.asarray(side, float) for side in box)
    else:
        raise TypeError(f"box: expected a number or a pair (lower, upper), got {type(box).__name__}.")
    for name, side in (("lower", lower), ("upper", upper)):
        if side.shape != (number,):
            raise ValueError(f"box: the {name} corner must be {number} finite numbers, got shape {side.shape}.")
        if not np.all(np.isfinite(side)):
            raise ValueError(f"box: the {name} corner must be {number} finite numbers, got {side.tolist()}.")
    if not np.all(lower < upper):
        raise ValueError("box: the lower corner must lie below the upper one in every coordinate.")
    lower, upper = lower / units, upper / units
    # A box of one's own that holds the derived one proves as much.
    holds = derived is not None and bool(np.all(lower <= derived.lower) and np.all(upper >= derived.upper))
    return Box(lower, upper, derived=holds)


def _derived_box(bounds: AffineForm, budget: Budget) -> tuple[Box | None, dict[str, str]]:
    """Derive a box in the time that there is for that; what is to be noted where that was too little."""
    from cyclax.proofs.boxes import derived_box

    budget.until(DERIVATION)
    try:
        return derived_box(bounds, budget.check), {}
    except SpentError:
        return None, {"box": f"whether a box that holds all cycles can be derived was not seen within {DERIVATION:.0%}"
                             " of the time budget"}  # fmt: skip


def _search_what_is_open(
    model, bounds: AffineForm, orders: list[int] | None, found: Candidates, budget: Budget
) -> None:
    """Add what a short search finds of the orders that a proof left open: candidates like all others."""
    if not found.unfinished or budget.interrupted:
        return
    budget.until(SEARCH)
    last = max(found.complete, default=0)
    wanted = [order for order in orders or range(1, last + _SEARCHED + 1) if order not in found.complete]
    with np.errstate(all="ignore"):
        search_nearby(bounds, wanted, found, state_scale(bounds), budget)


def _default_method(bounds: AffineForm, orders: list[int] | None) -> AbstractMethod:
    many = len(bounds.closed) >= MANY_DIMENSIONS
    if orders is not None:
        gates, most = int(np.sum(bounds.effective)), math.log2(_FEW_WORDS) / max(orders)
        if gates <= most or (not many and math.log2(number_of(alphabet(bounds))) <= most):
            return Exhaustive()
    low = orders is not None and max(orders) <= _LOW
    if many and (low or contraction_certificate(bounds) is not None):
        return BranchAndBound()
    return WordGraph()


def _result(
    model, bounds, method: AbstractMethod, box: Box, wanted, found: Candidates, budget: Budget, began: float
) -> Cycles:
    region = box if method.needs_box else None
    rigorous = method.rigorous
    inventory = Inventory(model, bounds)
    paced = Paced(found, model.num_states, budget, *([_DECIDED] if rigorous else []))
    for order, some in paced:
        inventory.verify(order, some, exact=rigorous)
    found = paced.done
    for verified in inventory.verified.values():
        _confine(region, verified)
    inventory.add_repetitions(wanted)
    known = list(inventory.verified)
    last = max([1, *found.complete, *(order for order in known if order <= _MOST_ORDERS)])
    orders = wanted if wanted is not None else sorted({*range(1, last + 1), *known})
    inventory.look_at(sorted(divisor for order in orders for divisor in divisors(order)))
    undecided = {order: reason for order in orders if (reason := inventory.undecided_reason(order))}
    proved = [order for order in orders if found.all_orders or set(divisors(order)) <= set(found.complete)]
    complete = [order for order in proved if order not in undecided]
    settings = {"settings": {"method": method.name, "orders": wanted or "all"}}
    result = inventory.result(orders, {}, settings)
    if rigorous:
        budget.until(CERTIFICATION)
        result = certify_in_time(model, result, check=budget.check)
        found = _judged(found, result.cycles, region, list(undecided.values()))
    unfinished = found.unfinished
    if wanted is None and not found.all_orders and proved == orders:
        unfinished += f"; complete up to order {max(orders)}"
    left = unfinished or "; ".join(f"order {order}: {reason}" for order, reason in undecided.items())
    if undecided:
        found = dataclasses.replace(found, all_orders=False)
    certified = certificate(method.name, region, found, complete, left, Budget.clock() - began)
    reports = {}
    for order in orders:
        verdict = _verdict(inventory, order, order in complete, certified)
        reports[str(order)] = inventory.order_report(order, verdict, solves=len(found.words.get(order, ())))
    stopped = {"interrupted": unfinished} if unfinished else {}
    seconds = Budget.clock() - began
    report = {**result.report, "orders": reports, "completeness": certified, "seconds": seconds, **stopped}
    result = dataclasses.replace(result, report=report)
    certified["seal"] = seal(result)
    return result


def _judged(found: Candidates, cycles: tuple[Cycle, ...], box: Box | None, doubts: list[str]) -> Candidates:
    """Say whether what was found is proved beyond floating point, and if not, why."""
    if any(_straddles(box, cycle) for cycle in cycles):
        doubts.append("a cycle that touches the box")
    if any(cycle.certificate is None or cycle.certificate.status != "proved" for cycle in cycles):
        doubts.append("cycles that are not proved")
    elif any(cycle.certificate is not None and cycle.certificate.stability is None for cycle in cycles):
        doubts.append("a multiplier that is not told apart from the unit circle")
    if not doubts:
        return dataclasses.replace(found, rigor="rigorous")
    return dataclasses.replace(found, rigor="numerical", notes={**found.notes, "rigor": "; ".join(doubts)})


def _straddles(box: Box | None, entry: Cycle) -> bool:
    """Whether the points of a cycle are neither proved to be in the box nor proved not to be."""
    if box is None:
        return False
    room = np.minimum(entry.points - box.lower, box.upper - entry.points)
    return not (np.all(room > entry.error) or np.any(room < -entry.error))


def _confine(box: Box | None, verified: Verified) -> None:
    """Leave out what is proved to have a point outside of the box. Families reach beyond their points, and stay."""
    if box is None:
        return
    for kind in (verified.cycles, verified.borders):
        for key, entry in list(kind.items()):
            if np.any(np.minimum(entry.points - box.lower, box.upper - entry.points) < -entry.error):
                del kind[key]


def _verdict(inventory: Inventory, order: int, complete: bool, certified: dict) -> tuple[str, str]:
    if reason := inventory.undecided_reason(order):
        return "unknown", reason
    if missing := inventory.missing(order):
        if complete and certified["where"] != "everywhere":
            missing = f"complete by {sentence(certified)}; but {missing}: there is more outside"
        return "proved incomplete", missing
    if complete:
        return "proved complete", sentence(certified)
    return "unknown", f"left open: {certified['unfinished'] or 'not proved'}"
