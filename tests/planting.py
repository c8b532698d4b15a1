"""Networks in which a cycle has been planted: points are drawn, weights are solved for."""

import numpy as np

import cyclax as cx


def planted_plrnn(num_states: int, order: int, seed: int) -> tuple[cx.PLRNN, np.ndarray]:
    """Draw points `(k, M)` away from the borders and a PLRNN (full A) that maps each to the next."""
    rng = np.random.default_rng([seed, num_states, order])
    points = rng.choice([-1, 1], (order, num_states)) * rng.uniform(0.3, 2, (order, num_states))
    W = rng.normal(size=(num_states, num_states)) * 0.3 / np.sqrt(num_states)
    h = rng.normal(size=num_states)
    A = np.diag(rng.uniform(0.2, 0.6, num_states))
    X, following = points.T, np.roll(points, -1, axis=0).T
    gap = following - A @ X - W @ np.maximum(X, 0) - h[:, None]
    return cx.PLRNN(A=A + gap @ np.linalg.pinv(X), W=W, h=h), points


def planted_shallow(num_states: int, num_hidden: int, order: int, seed: int) -> tuple[cx.ShallowPLRNN, np.ndarray]:
    """Draw points and a ShallowPLRNN that maps each to the next.

    Redrawn until the points are away from the borders and no multiplier of the cycle exceeds 1000 (weights solved for
    few hidden units can expand a millionfold, which no trained network does, and such cycles are hit too rarely).
    """
    rng = np.random.default_rng([seed, num_states, num_hidden, order])
    while True:
        points = rng.normal(size=(order, num_states)) * 2
        A = rng.uniform(0.3, 0.8, num_states)
        W2, h2 = rng.normal(size=(num_hidden, num_states)), rng.normal(size=num_hidden)
        hidden = W2 @ points.T + h2[:, None]
        active = np.maximum(hidden, 0)
        distances = np.abs(hidden) / np.linalg.norm(W2, axis=1)[:, None]
        if np.linalg.cond(active) > 1e3 or distances.min() < 1e-3:
            continue
        h1 = rng.normal(size=num_states)
        W1 = (np.roll(points, -1, axis=0).T - A[:, None] * points.T - h1[:, None]) @ np.linalg.pinv(active)
        P = np.eye(num_states)
        for gates in hidden.T > 0:
            P = (np.diag(A) + (W1 * gates) @ W2) @ P
        if np.max(np.abs(np.linalg.eigvals(P))) < 1000:
            break
    return cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=h1, h2=h2), points


def planted_cycle(cycles: cx.Cycles, points: np.ndarray) -> cx.Cycle | None:
    """Give the cycle that runs through the planted points, whatever its rotation."""
    order = len(points)
    for cycle in cycles.of_order(order):
        for turn in range(order):
            if np.allclose(np.roll(points, -turn, axis=0), cycle.points, rtol=1e-8, atol=1e-8):
                return cycle
    return None
