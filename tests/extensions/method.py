"""An exact method of one's own: all words, but those whose gates are at odds with the box itself."""

import itertools

import numpy as np

import cyclax as cx


class BoxedWords(cx.proofs.AbstractMethod):
    """List words of gates that can be met in the box. Property: complete in the box, for the orders asked for."""

    name, needs_box = "words of the box", True

    def candidates(self, model, bounds, orders, box, budget, progress):
        """Leave out the gates that do not switch within the box, by interval arithmetic."""
        if orders is None:
            raise cx.TooExpensiveError("BoxedWords: all orders are infinitely many words.")
        middle, reach = (box.lower + box.upper) / 2, (box.upper - box.lower) / 2
        height = bounds.gradients @ middle + bounds.offsets
        swing = (1 + 1e-9) * np.abs(bounds.gradients) @ reach + 1e-12 * np.abs(bounds.offsets)
        choices = [(False, True) if abs(h) <= s else (bool(h > 0),) for h, s in zip(height, swing, strict=True)]
        regions = np.array(list(itertools.product(*choices)), bool)
        words = {}
        for order in orders:
            budget.check(nodes=len(regions) ** order)
            rows = np.array(list(itertools.product(range(len(regions)), repeat=order)))
            words[order] = regions[rows[np.argmin(rows, axis=1) == 0]]
        nodes = sum(map(len, words.values()))
        return cx.proofs.Candidates(words, tuple(orders), False, nodes, 0, 1e-9)
