"""A proof that is tried with a stated number of operations, so that whether it succeeds depends on no clock."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cyclax.core.budget import Budget, SpentError, TooExpensiveError
from cyclax.core.stop import Stop
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.orders import divisors
from cyclax.maps.affine import AffineForm, state_scale
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.rounding import adds_up
from cyclax.proofs.candidates import Box, Candidates
from cyclax.proofs.certificate import certificate, sentence
from cyclax.proofs.methods import AbstractMethod, BranchAndBound, Exhaustive, WordGraph
from cyclax.proofs.nearby import search_nearby
from cyclax.proofs.promise import Promise
from cyclax.proofs.regions import alphabet, number_of

# How many times larger than the states that matter the default box is.
_DEFAULT_BOX = 1e4
# From this dimension on fixed points are left to branch and bound; in smaller ones the word graph is as fast.
MANY_DIMENSIONS = 8
# Where all orders have at most so many words (as a power of two; of fixed points alone, in few dimensions, that many)
# they are tried first, else where other methods leave an order open; more than the most never are.
_FEW_BITS, _FEW_FIXED_POINTS, _MOST_BITS = 10, 14, 40
# Operations, about, of one node of a graph (times M^2, and times M for each gate), and of one word (times k M^3).
_GRAPH_NODE, _GRAPH_GATE, _WORD = 1.3e4, 3e3, 200.0
# A graph begins anew each time: with so many times as many nodes as the last, at least. That of order 1 is given what
# it takes at most where that is no more than so many times what is its share.
_AGAIN = 4
# The lowest orders are sought outside the box too: words of so many letters together.
_OUTSIDE = 1000
# Words that are checked between two looks at the clock.
_CHECKED = 1000


def default_box(model: AbstractPiecewiseLinearMap, bounds: AffineForm, needed: bool = True) -> Box:
    """Give the box in which cycles are sought where none is derived: that of states 1e4 times as large as matter.

    **Raises:** `ValueError` where that is more than float64 holds, and one is needed.
    """
    size = _DEFAULT_BOX * state_scale(bounds)
    if needed and not np.isfinite(size):
        raise ValueError("model: its weights are so large that no box in float64 holds its states; rescale them.")
    return Box(np.full(model.num_states, -size), np.full(model.num_states, size))


class Attempts:
    """The proofs that have been tried for one network: each finds what it can, and says of which orders that is all.

    **Arguments:** `inventory`: of the network; `orders`: those in question, with their divisors; `units`: of its
    states, in terms of those that results are written in; `say`: is told what is being done.
    """

    def __init__(
        self,
        inventory: Inventory,
        orders: list[int],
        units: np.ndarray | float = 1.0,
        say: Callable[[str], None] = lambda text: None,
    ):
        self.inventory, self.orders, self.units, self.say = inventory, orders, units, say
        self.proved: dict[int, dict[str, Any]] = {}  # certificates of the orders that are complete
        self.tried: dict[int, dict[str, Any]] = {}  # the latest that left an order open
        self.refused = ""  # why nothing can be proved of it
        self.lacking = ""  # which extra is missing, so that only few words are tried
        self._box: Box | None = None
        # The most nodes that each method has been given, by its name and the highest order; but for trees.
        self._spent: dict[tuple[str, int], int] = {}
        self._promises: dict[int, Promise] = {}  # of the tree of each order
        self._joined = True  # whether the last graph went on after its regions had been joined

    def open(self) -> list[int]:
        """List the orders that are not proved complete, here or by what is known, with their divisors."""
        return sorted({d for order in self.orders if not self._is_proved(order) for d in divisors(order)})

    def _is_proved(self, order: int) -> bool:
        return order in self.proved or self.inventory.proves(order)

    def reason(self, order: int) -> str:
        """Say what is proved of an order that is complete."""
        text = sentence(self.proved[order])
        if self.proved[order]["orders"] == "all":
            text += "; there is no other cycle of any order"
            if self.proved[order]["notes"].get("disjoint_cycles"):
                text += ", and the topological entropy of what recurs there is zero"
        return text

    def left(self, order: int) -> str:
        """Say why an order is not proved complete, as far as that was tried."""
        return self.refused or self.lacking or self.tried.get(order, {}).get("unfinished", "")

    def effort(self, order: int) -> dict[str, Any]:
        """Say what the proof of an order cost, for the report."""
        certified = self.proved.get(order) or self.tried.get(order)
        if certified is None:
            refused = self.refused or self.lacking
            return {"proof": {"refused": refused}} if refused else {}
        names = ("method", "orders", "where", "box", "rigor", "tolerance", "nodes", "programs", "unfinished")
        return {"proof": {name: certified[name] for name in names}}

    def attempt(self, operations: float, stop: Stop, cheaper: Callable[[], None] = lambda: None) -> None:
        """Try to prove what is open, with about so many operations for each method: those that each search is given.

        A tree may take more, as far as its `Promise` goes; before it is a long one, what is `cheaper` is done.
        """
        if self.refused or not self.open():
            return
        try:
            try:
                self._attempt(operations, stop, cheaper)
            except ImportError as error:
                self.lacking = str(error)
                self._attempt(operations, stop, cheaper)
        except (ValueError, SpentError) as error:
            self.refused = str(error)

    def _attempt(self, operations: float, stop: Stop, cheaper: Callable[[], None]) -> None:
        for method, orders in self._methods(operations):
            if not stop() and (nodes := self._nodes(method, max(orders), operations)):
                self._prepare(stop)
                self._try(method, orders, nodes, stop, cheaper)

    def _nodes(self, method: AbstractMethod, order: int, operations: float) -> int:
        """Give the nodes to try it with now; 0 where that would do no more than was done."""
        if isinstance(method, BranchAndBound):
            if order not in self._promises:
                self._promises[order] = Promise(self.inventory.bounds, order)
            return self._promises[order].nodes(operations)
        nodes = int(operations / self._each(method, order))
        if isinstance(method, WordGraph) and order == 1 and (most := self._most_nodes()) <= _AGAIN * nodes:
            nodes = max(nodes, most)
        return 0 if nodes < max(1, _AGAIN * self._spent.get((method.name, order), 0)) else nodes

    def _prepare(self, stop: Stop) -> None:
        """Choose the box, once."""
        from cyclax.proofs.boxes import derived_box

        known = self.inventory
        if self._box is not None:
            return
        if not adds_up(known.model, known.bounds):
            raise ValueError("the gates of this map do not add up, so that nothing can be proved of it")

        def check() -> None:
            if stop():
                raise SpentError("the search was stopped early")

        self._box = derived_box(known.bounds, check) or default_box(known.model, known.bounds)

    def _methods(self, operations: float) -> Iterator[tuple[AbstractMethod, list[int]]]:
        """Choose the methods, one after the other, and the orders that each is asked about."""
        orders, few = self.open(), self._few(operations)
        many = self.inventory.model.num_states >= MANY_DIMENSIONS
        most = _FEW_BITS if many or orders != [1] else _FEW_FIXED_POINTS
        all_are_few = few == orders and self._bits * max(orders) <= most
        if not self.lacking and not all_are_few:
            if many:
                yield from self._trees()
                orders = self.open()
            if not many or max(orders, default=1) > 1:
                yield WordGraph(), orders
                yield from self._lowest(2 if many else 1)
            few = self._few(operations)  # of what these left open
        if not all(map(self._is_proved, few)):
            yield Exhaustive(), few

    def _trees(self) -> Iterator[tuple[AbstractMethod, list[int]]]:
        """Ask about orders one by one, from the lowest on, while that succeeds: trees of higher ones are larger."""
        for order in self.open():
            if not self._is_proved(order):
                yield BranchAndBound(), [order]
                if not self._is_proved(order):
                    return

    def _lowest(self, longest: int) -> Iterator[tuple[AbstractMethod, list[int]]]:
        """Ask about the orders up to 1, 2, 4, .. alone, while that succeeds: only short walks keep an edge there.

        Regions are found and joined alike whatever the orders, but for order 1 alone.
        """
        while longest < max(self.open(), default=0) and (self._joined or longest == 1):
            orders = [order for order in self.open() if order <= longest]
            if not all(map(self._is_proved, orders)):
                yield WordGraph(), orders
            if not all(map(self._is_proved, orders)):
                return
            longest *= 2

    def _few(self, operations: float) -> list[int]:
        """List the lowest orders that are open, as far as all their words can be tried."""
        few, words = [], 0
        for order in self.open():
            bits = self._bits * order
            words += 2 ** min(bits, _MOST_BITS)
            if bits >= _MOST_BITS or words > operations / self._each(Exhaustive(), order):
                break
            few.append(order)
        return few

    def _most_nodes(self) -> int:
        """Give the most nodes of a graph of order 1: the regions that there may be, and that each follows itself.

        The planes of G gates part M dimensions into at most sum_(i <= M) C(G, i) regions.
        """
        return 2 * sum(math.comb(self._gates(), i) for i in range(self.inventory.model.num_states + 1))

    @functools.cached_property
    def _bits(self) -> float:
        """The bits of a symbol of a word: a region, or the gates of a step."""
        return math.log2(number_of(alphabet(self.inventory.bounds)))

    def _gates(self) -> int:
        return int(np.sum(self.inventory.bounds.effective))

    def _each(self, method: AbstractMethod, order: int) -> float:
        """Count the operations of one node, about."""
        size = self.inventory.model.num_states
        if isinstance(method, Exhaustive):
            return _WORD * order * size**3
        return (_GRAPH_NODE * size + _GRAPH_GATE * self._gates()) * size

    def _try(
        self, method: AbstractMethod, orders: list[int], nodes: int, stop: Stop, cheaper: Callable[[], None]
    ) -> None:
        known, box = self.inventory, self._box
        assert box is not None
        began = Budget.clock()
        tree = self._promises[max(orders)] if isinstance(method, BranchAndBound) else None
        seconds = max(stop.left(), 1e-3)
        budget = tree.budget(seconds, nodes, cheaper) if tree else Budget(seconds=seconds, nodes=nodes)
        budget.start(stop.interruption, began)
        try:
            found = method.candidates(known.model, known.bounds, orders, box, budget, self.say)
        except (SpentError, TooExpensiveError) as error:
            found = Candidates({}, (), False, nodes, 0, 0.0, str(error))
        if isinstance(method, WordGraph) and max(orders) > 1:
            self._joined = not found.unfinished or bool(found.notes.get("words_per_level"))
        if tree is None:
            self._spent[method.name, max(orders)] = nodes
        else:
            tree.absorb(found)
            if found.unfinished:
                found.words.clear()  # which leaves were met depends on the threads
        if method.needs_box and not box.derived:
            # What is complete inside the box need not be so outside.
            budget.until(1.0)
            some = [
                order
                for order, letters in zip(orders, itertools.accumulate(orders), strict=True)
                if letters <= _OUTSIDE
            ]
            with np.errstate(all="ignore"):
                search_nearby(known.bounds, some, found, state_scale(known.bounds), budget, blocks=(64,))
        checked = self._check(found, stop)
        closed = {d for order in orders for d in divisors(order) if d in found.complete or self._is_proved(d)}
        complete = [order for order in orders if found.all_orders or set(divisors(order)) <= closed]
        region = box if method.needs_box else None
        if region is not None:
            region = dataclasses.replace(region, lower=region.lower * self.units, upper=region.upper * self.units)
        if not checked:
            complete = []
            found = dataclasses.replace(found, all_orders=False, unfinished="the search was stopped early")
        certified = certificate(method.name, region, found, complete, found.unfinished, Budget.clock() - began)
        for order in self.orders if found.all_orders else complete:
            self.proved.setdefault(order, certified)
        self.tried |= {order: certified for order in orders if order not in self.proved}

    def _check(self, found: Candidates, stop: Stop) -> bool:
        """Check all words that were listed; say whether there was time for that."""
        for order, words in sorted(found.words.items()):
            for begin in range(0, len(words), _CHECKED):
                if stop():
                    return False
                self.inventory.verify(order, words[begin : begin + _CHECKED])
        return True
