"""The methods of exact enumeration: each gives words among which all cycles are, under one interface."""

import abc
import dataclasses

from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.maps.affine import AffineForm
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.proofs.candidates import Box, Candidates, Progress


class AbstractMethod(abc.ABC):
    """A way to enumerate: what `enumerate_cycles(method=)` takes.

    A method prunes words, and vouches that none of those pruned is a cycle: its docstring says of which orders and
    where (its *property*). What it keeps is verified afterwards, so candidates that are no cycles do no harm.
    """

    # What the certificate calls it; whether it looks inside a box only; whether it leaves nothing to rounding.
    name: str
    needs_box: bool = False
    rigorous: bool = False

    @abc.abstractmethod
    def candidates(
        self,
        model: AbstractPiecewiseLinearMap,
        bounds: AffineForm,
        orders: list[int] | None,
        box: Box,
        budget: Budget,
        progress: Progress,
    ) -> Candidates:
        """Give words among which all cycles of the orders are.

        **Arguments:** `bounds`: the affine form of the model; `orders`: with their divisors, None for all there are;
        `box`: where cycles are sought; `budget`: asked often (`check` raises `SpentError`, `spent` tells); `progress`:
        called with a few words on what is going on.

        **Raises:** `TooExpensiveError` where it would exceed its budget before it begins.
        """


@dataclasses.dataclass(frozen=True)
class Exhaustive(AbstractMethod):
    """All gate words, one by one: for small networks and low orders.

    **Property:** complete for the orders asked for, everywhere; every word is solved, none is pruned.
    """

    name = "all words"
    needs_box = False

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Solve all words."""
        from cyclax.proofs.exhaustive import exhaustive

        if orders is None:
            raise TooExpensiveError('Exhaustive: orders="all" asks for infinitely many words; use WordGraph().')
        return exhaustive(model, bounds, orders, box, budget, progress)


@dataclasses.dataclass(frozen=True)
class WordGraph(AbstractMethod):
    """The graph of feasible itineraries, refined until it is a union of disjoint cycles: all orders at once.

    **Property:** complete inside the box, for all orders if refinement ends, else for those whose walks were listed. An
    edge is pruned where a relaxed linear program is infeasible (numerically, or in balls).

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
        from cyclax.proofs.word_graph.refinement import word_graph

        if not self.rigorous:
            return word_graph(bounds, orders, box, budget, progress)
        from cyclax.proofs.rigorous import Judge

        return word_graph(bounds, orders, box, budget, progress, judge=Judge(model, box, budget.check))


@dataclasses.dataclass(frozen=True)
class BranchAndBound(AbstractMethod):
    """Branching over gates with a linear program per node: fixed points and low orders in many dimensions.

    **Property:** complete inside the box for the orders whose tree was closed. A node is pruned where its relaxed
    linear program is infeasible (numerically). An order that is proved to have one solution needs no tree; nor do all
    of them together where the map contracts.
    """

    name = "branch and bound"
    needs_box = True

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Branch."""
        from cyclax.proofs.branch_and_bound.branching import branch_and_bound

        return branch_and_bound(bounds, orders, box, budget, progress)
