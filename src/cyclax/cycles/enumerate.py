"""`enumerate_cycles`: the verb. All cycles there are, with a certificate of what is proved."""

import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import jax
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from cyclax.cycles.accept import Accepted, accept_repetitions, accept_words
from cyclax.cycles.arguments import checked_model, checked_orders
from cyclax.cycles.certificate import certificate, seal, sentence
from cyclax.cycles.certify import certify_in_time
from cyclax.cycles.evidence import Network, model_hash
from cyclax.cycles.exact.nearby import search_nearby
from cyclax.cycles.exact.paced import Paced
from cyclax.cycles.exact.problem import (
    CERTIFICATION,
    DERIVATION,
    PROOF,
    SEARCH,
    Box,
    Budget,
    Candidates,
    Progress,
    SpentError,
    TooExpensiveError,
)
from cyclax.cycles.result import Cycle, Cycles, Degenerate
from cyclax.cycles.solve import Borders, adds_up, borders
from cyclax.cycles.starts import state_scale
from cyclax.interruption import Interruption
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.version import __version__

# The smallest default box, and how many times larger than the states that matter it is.
_DEFAULT_BOX = 1e4
# Up to so many words all of them are tried, unless told otherwise.
_FEW_WORDS = 2**16
# From this dimension on fixed points are left to branch and bound; in smaller ones the word graph is as fast.
_MANY_DIMENSIONS = 8
# Where all orders were asked for and some are left open, so many of those are searched.
_SEARCHED = 8
# A multiplier this close to a root of unity has a repetition of its word looked at; roots up to this order.
_ROOT = 1e-9
_LARGEST_ROOT = 64


class Method(Protocol):
    """A way to enumerate."""

    name: str
    needs_box: bool

    def candidates(
        self,
        model: AbstractPiecewiseLinearMap,
        bounds: Borders,
        orders: list[int] | None,
        box: Box,
        budget: Budget,
        progress: Progress,
    ) -> Candidates:
        """Give words among which all cycles of the orders are (None: of all orders)."""
        ...


@dataclasses.dataclass(frozen=True)
class Exhaustive:
    """All gate words, one by one: for small networks and low orders. Needs no box: complete everywhere."""

    name = "all words"
    needs_box = False

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Solve all words."""
        from cyclax.cycles.exact.exhaustive import exhaustive

        if orders is None:
            raise TooExpensiveError('Exhaustive: orders="all" asks for infinitely many words; use WordGraph().')
        return exhaustive(model, bounds, orders, box, budget, progress)


@dataclasses.dataclass(frozen=True)
class WordGraph:
    """The graph of feasible itineraries, refined until it is a union of disjoint cycles: all orders at once.

    **Arguments:** `rigorous`: leave nothing out that is not refuted in ball arithmetic, and prove every cycle
    (`certify`), so that no rounding can make the result incomplete or wrong. It holds inside the box: that a derived
    box holds all cycles is proved numerically only. The box is not narrowed beforehand, which takes longer in many
    dimensions. Where a word stays undecided (a point on a border, a multiplier on the unit circle), the certificate
    says "numerical" and `notes["rigor"]` why.
    """

    rigorous: bool = False

    name = "word graph"
    needs_box = True

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Refine the graph."""
        from cyclax.cycles.exact.word_graph import word_graph

        if not self.rigorous:
            return word_graph(bounds, orders, box, budget, progress)
        from cyclax.cycles.exact.rigorous import Judge

        return word_graph(bounds, orders, box, budget, progress, judge=Judge(model, box, budget.check))


@dataclasses.dataclass(frozen=True)
class BranchAndBound:
    """Branching over gates with a linear program per node: fixed points and low orders in many dimensions."""

    name = "branch and bound"
    needs_box = True

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Branch."""
        from cyclax.cycles.exact.branch_and_bound import branch_and_bound

        if orders is None:
            raise TooExpensiveError('BranchAndBound: orders="all" has no end; use WordGraph().')
        return branch_and_bound(bounds, orders, box, budget, progress)


def enumerate_cycles(
    model: AbstractPiecewiseLinearMap,
    orders: int | Iterable[int] | Literal["all"],
    *,
    box: float | tuple[Float[Any, " M"], Float[Any, " M"]] | None = None,
    method: Method | None = None,
    budget: Budget | float | None = None,
    progress: bool = True,
) -> Cycles:
    """Find all cycles there are, and prove it.

    **Arguments:**

    - `model`: any map of cyclax.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods; "all" means every period there is.
    - `box`: cycles are sought whose points all lie in it: a number b for |z_i| <= b, or lower and upper corner. By
      default a box that is proved to hold all cycles, where one can be derived, else 1e4 times the size of the states
      that matter to the model (1e4 at least); the certificate says which.
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
    model = checked_model(model)
    allowed = _checked_budget(budget)
    _check_method(method)
    searched = wanted and sorted({d for order in wanted for d in range(1, order + 1) if order % d == 0})
    line = tqdm(bar_format="{desc}", delay=1, disable=None if progress else True, leave=False)
    with Interruption() as interruption, jax.enable_x64(True), line:
        bounds = borders(model)
        if not adds_up(model, bounds):
            raise ValueError(
                f"model: the gates of {type(model).__name__} do not add up (what one adds depends on others), so that "
                "nothing can be proved of it; cyclax.testing.check_map(model) says where."
            )
        allowed.start(interruption, began)
        derived, late = _derived_box(bounds, allowed)
        region = _checked_box(model, bounds, box, derived)
        chosen = method or _default_method(bounds, searched)
        if isinstance(chosen, WordGraph) and chosen.rigorous:
            region = dataclasses.replace(region, derived=False)
        allowed.until(PROOF)
        try:
            found = chosen.candidates(model, bounds, searched, region, allowed, line.set_description_str)
        except SpentError as spent:
            found = Candidates({}, (), False, 0, 0, 0.0, str(spent), {"undecided": 0})
        found.notes.update(late)
        _search_what_is_open(model, bounds, searched, found, allowed)
        return _result(model, bounds, chosen, region, wanted, found, allowed, began)


def _checked_budget(budget) -> Budget:
    if budget is None or isinstance(budget, Budget):
        return budget or Budget()
    if not isinstance(budget, numbers.Real):
        raise TypeError(f"budget: expected seconds or a cyclax.Budget, got {type(budget).__name__}.")
    return Budget(seconds=float(budget) if not isinstance(budget, bool) else budget)


def _check_method(method) -> None:
    if method is None or (hasattr(method, "candidates") and not isinstance(method, type)):
        return
    what = f"the class {method.__name__}; call it" if isinstance(method, type) else repr(method)
    raise TypeError(f"method: expected cyclax.WordGraph(), BranchAndBound() or Exhaustive(), got {what}.")


def _checked_box(model, bounds: Borders, box, derived: Box | None) -> Box:
    number = model.num_states
    if box is None:
        size = _DEFAULT_BOX * max(1.0, state_scale(model, bounds))
        return derived or Box(np.full(number, -size), np.full(number, size))
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
    # A box of one's own that holds the derived one proves as much.
    holds = derived is not None and bool(np.all(lower <= derived.lower) and np.all(upper >= derived.upper))
    return Box(lower, upper, derived=holds)


def _derived_box(bounds: Borders, budget: Budget) -> tuple[Box | None, dict[str, str]]:
    """Derive a box in the time that there is for that; what is to be noted where that was too little."""
    from cyclax.cycles.exact.boxes import derived_box

    budget.until(DERIVATION)
    try:
        return derived_box(bounds, budget.check), {}
    except SpentError:
        return None, {"box": f"whether a box that holds all cycles can be derived was not seen within {DERIVATION:.0%}"
                             " of the time budget"}  # fmt: skip


def _search_what_is_open(model, bounds: Borders, orders: list[int] | None, found: Candidates, budget: Budget) -> None:
    """Add what a short search finds of the orders that a proof left open: candidates like all others."""
    if not found.unfinished or budget.interrupted:
        return
    budget.until(SEARCH)
    last = max(found.complete, default=0)
    wanted = [order for order in orders or range(1, last + _SEARCHED + 1) if order not in found.complete]
    with np.errstate(all="ignore"):
        search_nearby(bounds, wanted, found, state_scale(model, bounds), budget)


def _default_method(bounds: Borders, orders: list[int] | None) -> Method:
    gates = int(np.sum(bounds.effective))
    if orders is not None and gates * max(orders) <= math.log2(_FEW_WORDS):
        return Exhaustive()
    if orders == [1] and len(bounds.closed) >= _MANY_DIMENSIONS:
        return BranchAndBound()
    return WordGraph()


def _result(model, bounds, method: Method, box: Box, wanted, found: Candidates, budget: Budget, began: float) -> Cycles:
    known: dict[int, Accepted] = {}
    paced = Paced(found, model.num_states, budget)
    for order, some in paced:
        accepted = known.setdefault(order, Accepted())
        accept_words(model, bounds, some, np.zeros((len(some), model.num_states)), accepted)
    found = paced.done
    words = {order: some for order, some in found.words.items() if len(some)}
    repeated = _repetitions(bounds, found)
    orders = wanted if wanted is not None else list(range(1, max([1, *words, *repeated, *found.complete]) + 1))
    searched = sorted({*orders, *words, *repeated, *(d for k in orders for d in range(1, k + 1) if k % d == 0)})
    network = Network(model, bounds, jax.random.key(0), searched)
    region = box if method.needs_box else None
    doubts = ["a multiplier that is a root of unity"] if repeated else []
    for order, some in words.items():
        accepted = known[order]
        if len(accepted.cycles) < len(some):
            doubts.append(f"words of order {order} that float64 does not confirm")
        if any(_straddles(region, entry) for entry in accepted.cycles.values()):
            doubts.append(f"a cycle of order {order} that touches the box")
        for kind in (accepted.cycles, accepted.borders):
            for key in [key for key, entry in kind.items() if not _inside(region, entry)]:
                del kind[key]
        network.evidence[order].accepted = accepted
    for order, some in repeated.items():
        accept_repetitions(model, bounds, some, network.evidence[order].accepted)
    complete = [order for order in orders if found.all_orders or order in found.complete]
    cycles = tuple(cycle for key, cycle in sorted(network.cycles.items()) if key.order in orders)
    provenance = {"model": model_hash(model), "version": __version__, "settings": {"method": method.name}}
    proofs = {}
    if isinstance(method, WordGraph) and method.rigorous:
        budget.until(CERTIFICATION)
        proved = certify_in_time(model, Cycles(cycles, tuple(orders), {}, (), (), provenance), check=budget.check)
        cycles, proofs = proved.cycles, {"certificate": proved.report["certificate"]}
        found = _judged(found, cycles, doubts)
    unfinished = found.unfinished
    if wanted is None and not found.all_orders and complete == orders:
        unfinished += f"; complete up to order {max(orders)}"
    certified = certificate(method.name, region, found, complete, unfinished, Budget.clock() - began)
    entries = {}
    for order in orders:
        index_sum, degree = network.index_sum(order), network.degrees[order]
        verdict, reason = _verdict(order in complete, certified, index_sum, degree)
        accepted = network.evidence[order].accepted
        entries[str(order)] = {
            "verdict": verdict,
            "reason": reason,
            "starts": 0,
            "solves": len(words.get(order, ())),
            "hits": 0,
            "loops": 0,
            "rejected": accepted.rejected,
            "index_sum": index_sum,
            "degree": degree,
            "unseen_mass": None,
            "unseen_bound": None,
        }
    report = {
        "orders": entries,
        "completeness": certified,
        "precision": "float64",
        "seconds": Budget.clock() - began,
        "version": __version__,
        **proofs,
    }
    if unfinished:
        report["interrupted"] = unfinished
    degenerate = [entry for entry in network.degenerate() if entry.order in orders]
    result = Cycles(cycles, tuple(orders), report, tuple(_distinct(degenerate)), (), provenance)
    certified["seal"] = seal(result)
    return result


def _judged(found: Candidates, cycles: tuple[Cycle, ...], doubts: list[str]) -> Candidates:
    """Say whether what was found is proved beyond floating point, and if not, why."""
    if found.notes["undecided"]:
        doubts = [f"{found.notes['undecided']} words that are neither proved to be cycles nor not to be", *doubts]
    if any(cycle.certificate is None or cycle.certificate.status != "proved" for cycle in cycles):
        doubts.append("cycles that are not proved")
    elif any(cycle.certificate is not None and cycle.certificate.stability is None for cycle in cycles):
        doubts.append("a multiplier that is not told apart from the unit circle")
    if not doubts:
        return found
    return dataclasses.replace(found, rigor="numerical", notes={**found.notes, "rigor": "; ".join(doubts)})


def _straddles(box: Box | None, entry: Cycle) -> bool:
    """Whether the points of a cycle are neither proved to be in the box nor proved not to be."""
    if box is None:
        return False
    room = np.minimum(entry.points - box.lower, box.upper - entry.points)
    return not (np.all(room > entry.error) or np.any(room < -entry.error))


def _repetitions(bounds: Borders, found: Candidates) -> dict[int, np.ndarray]:
    """Give the words that are shorter ones, repeated q times, and hold solutions of their own order.

    They do where a multiplier of the shorter word is a primitive q-th root of unity, and then whole families of them.
    """
    repeated: dict[int, list[np.ndarray]] = {}
    for order, some in found.words.items():
        for word in some:
            product = np.eye(len(bounds.closed))
            with np.errstate(all="ignore"):  # what overflows is far from the unit circle
                for jacobian in bounds.jacobians(word):
                    product = jacobian @ product
            values = np.linalg.eigvals(product) if np.all(np.isfinite(product)) else np.zeros(0)
            roots = {_order_of_root(value) for value in values[np.abs(np.abs(values) - 1) < _ROOT]}
            for repeats in sorted(root for root in roots if root is not None and root > 1):
                longer = order * repeats
                if found.all_orders or longer in found.complete:
                    repeated.setdefault(longer, []).append(np.tile(word, (repeats, 1)))
    return {order: np.stack(some) for order, some in sorted(repeated.items())}


def _order_of_root(value: complex) -> int | None:
    """Give the smallest q with value^q = 1, up to rounding."""
    powers = value ** np.arange(1, _LARGEST_ROOT + 1)
    (near,) = np.nonzero(np.abs(powers - 1) < _ROOT * np.arange(1, _LARGEST_ROOT + 1))
    return int(near[0]) + 1 if len(near) else None


def _inside(box: Box | None, entry) -> bool:
    return box is None or bool(np.all(entry.points >= box.lower) and np.all(entry.points <= box.upper))


def _distinct(degenerate: list[Degenerate]) -> list[Degenerate]:
    """A cycle on a border appears under several words: keep one of those with the same points."""
    kept: list[Degenerate] = []
    for entry in degenerate:
        size = 1 + np.max(np.abs(entry.points))
        twin = any(
            old.kind == entry.kind == "border"
            and old.order == entry.order
            and any(
                np.max(np.abs(np.roll(old.points, turn, axis=0) - entry.points)) <= 1e-9 * size
                for turn in range(entry.order)
            )
            for old in kept
        )
        if not twin:
            kept.append(entry)
    return kept


def _verdict(complete: bool, certified: dict, index_sum: int | None, degree: int | None) -> tuple[str, str]:
    contradicted = index_sum is not None and degree is not None and index_sum != degree
    if contradicted:
        missing = f"the index sum is {index_sum}, and would be {degree} were nothing missing"
        if complete and certified["where"] != "everywhere":
            return "proved incomplete", f"complete by {sentence(certified)}; but {missing}: there is more outside"
        return "proved incomplete", missing
    if complete:
        return "proved complete", sentence(certified)
    return "unknown", f"left open: {certified['unfinished'] or 'not proved'}"
