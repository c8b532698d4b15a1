"""A finder of one's own: the words of orbits that come back near to where they were."""

import jax
import numpy as np

import cyclax as cx


class CloseReturns(cx.search.AbstractWordSource):
    """Propose the gates along orbits whose closest returns, after k steps, are at most `near` (relative) away."""

    def __init__(self, orbits: int = 50, steps: int = 500, near: float = 0.1):
        self.orbits, self.steps, self.near = orbits, steps, near

    def propose(self, network, order):
        """Follow orbits, and give the words of their closest returns."""
        rng = np.random.default_rng([*jax.random.key_data(network.key).tolist(), order])
        form = network.bounds
        states = network.scale * rng.normal(size=(self.orbits, network.model.num_states))
        orbit, gates = [states], []
        for _ in range(self.steps + order):
            gates.append(states @ form.gradients.T + form.offsets > 0)
            jacobians = form.jacobians(gates[-1])
            states = (jacobians @ states[..., None])[..., 0] + form.shift + gates[-1] @ form.shift_jumps
            orbit.append(states)
        points, gates = np.array(orbit), np.array(gates)
        away = np.max(np.abs(points[order:-1] - points[: -order - 1]), axis=2)
        times, rows = np.nonzero(away <= self.near * np.max(np.abs(points[:-1]), axis=2)[: len(away)])
        if len(times):
            yield np.stack([gates[t : t + order, i] for t, i in zip(times, rows, strict=True)])
