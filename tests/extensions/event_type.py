"""An event type of one's own: a cycle leaves a window, as where a neuron's voltage begins to spike."""

import numpy as np

import cyclax as cx


class Leaves(cx.bifurcations.AbstractEventType):
    """The largest value of one state along the cycle passes a threshold."""

    name = "threshold"

    def __init__(self, state: int, threshold: float):
        self.state, self.threshold = state, threshold

    def test(self, branch):
        """Return how far the cycle is below the threshold."""
        return self.threshold - np.max(branch.points[:, :, self.state], axis=1)
