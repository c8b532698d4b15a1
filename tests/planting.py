"""Networks in which a cycle has been planted: points are drawn, weights are solved for."""

import functools

import numpy as np
from plain import plain_map, plain_pieces

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


# -- in every class ------------------------------------------------------------------------------------------------


def _relu(x):
    return np.maximum(x, 0)


def _solved(weights: np.ndarray, features: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Change weights as little as possible so that they map features to what follows."""
    return weights + (following - weights @ features) @ np.linalg.pinv(features)


def _split(rng, points: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give A `(M, M)`, W and h such that A z + W bends(z) + h leads from each point to the next."""
    (order, number), count = points.shape, len(bends)
    A = np.diag(rng.uniform(0.2, 0.6, number))
    drawn = np.hstack([A, rng.normal(size=(number, count)) * 0.3 / np.sqrt(count), rng.normal(size=(number, 1))])
    features = np.vstack([points.T, bends, np.ones((1, order))])
    weights = _solved(drawn, features, np.roll(points, -1, axis=0).T)
    return weights[:, :number], weights[:, number:-1], weights[:, -1]


def _plrnn(rng, order):
    z = rng.normal(size=(order, 8))
    A, W, h = _split(rng, z, _relu(z.T))
    return cx.PLRNN(A=A, W=W, h=h), z


def _mean_centered(rng, order):
    z = rng.normal(size=(order, 8))
    A, W, h = _split(rng, z, _relu(z - z.mean(axis=1, keepdims=True)).T)
    return cx.MeanCenteredPLRNN(A=A, W=W, h=h), z


def _shallow(rng, order):
    z, W2, h2 = rng.normal(size=(order, 6)), rng.normal(size=(16, 6)) / 2, rng.normal(size=16)
    A, W1, h1 = _split(rng, z, _relu(W2 @ z.T + h2[:, None]))
    return cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=h1, h2=h2), z


def _clipped_shallow(rng, order):
    z, W2, h2 = rng.normal(size=(order, 4)), rng.normal(size=(16, 4)) / 2, 3 * rng.normal(size=16)
    A, W1, h1 = _split(rng, z, _relu(W2 @ z.T + h2[:, None]) - _relu(W2 @ z.T))
    return cx.ClippedShallowPLRNN(A=A, W1=W1, W2=W2, h1=h1, h2=h2), z


def _dendritic(rng, order, cls=cx.DendriticPLRNN):
    z, alpha, thresholds = rng.normal(size=(order, 8)), rng.normal(size=3), rng.normal(size=(8, 3))
    clip = _relu(z) if cls is cx.ClippedDendriticPLRNN else 0
    basis = sum(alpha[b] * (_relu(z - thresholds[:, b]) - clip) for b in range(3))
    A, W, h = _split(rng, z, basis.T)
    return cls(A=A, W=W, h=h, alpha=alpha, thresholds=thresholds), z


def _clipped_dendritic(rng, order):
    return _dendritic(rng, order, cx.ClippedDendriticPLRNN)


def _almost_linear(rng, order):
    z = rng.normal(size=(order, 6))
    A, W, h = _split(rng, z, np.vstack([z.T[:2], _relu(z.T[2:])]))
    return cx.AlmostLinearRNN(A=A, W=W, h=h, num_gated=4), z


def _low_rank(rng, order):
    z, V = rng.normal(size=(order, 6)), rng.normal(size=(4, 6)) / 2
    A, U, h = _split(rng, z, V @ _relu(z.T))
    return cx.LowRankPLRNN(A=A, U=U, V=V, h=h), z


def _relu_rnn(rng, order, slope=0.0):
    """Draw the preactivations: they determine the points, and the weights must reproduce them."""
    met = rng.normal(size=(order, 12))
    z = np.roll(np.where(met > 0, met, slope * met), 1, axis=0)
    drawn = np.hstack([rng.normal(size=(12, 12)) * 0.2, rng.normal(size=(12, 1))])
    weights = _solved(drawn, np.vstack([z.T, np.ones((1, order))]), met.T)
    W, b = weights[:, :-1], weights[:, -1]
    return (cx.LeakyReLURNN(W=W, b=b, slope=slope) if slope else cx.ReLURNN(W=W, b=b)), z


def _leaky_relu_rnn(rng, order):
    return _relu_rnn(rng, order, slope=0.2)


def _integrated(rates: np.ndarray, alpha: float) -> np.ndarray:
    """Give the periodic solution of z' = (1 - alpha) z + alpha rates, from the step after the first rates on."""
    order, keep = len(rates), 1 - alpha
    z = [alpha * sum(keep ** (order - 1 - j) * rates[j] for j in range(order)) / (1 - keep**order)]
    for j in range(order - 1):
        z.append(keep * z[-1] + alpha * rates[j])
    return np.stack(z)


def _leaky(cls, rng, order, alpha=0.6):
    met = rng.normal(size=(order, 12))
    if cls is cx.RateRNN:
        z = _integrated(_relu(met), alpha)
    elif cls is cx.CurrentRNN:
        z = met
        met = (np.roll(z, -1, axis=0) - (1 - alpha) * z) / alpha
    else:
        z = np.roll(_relu(met), 1, axis=0)
        met = (met - (1 - alpha) * z) / alpha
    drawn = np.hstack([rng.normal(size=(12, 12)) * 0.2, rng.normal(size=(12, 1))])
    seen = _relu(z) if cls is cx.CurrentRNN else z
    weights = _solved(drawn, np.vstack([seen.T, np.ones((1, order))]), met.T)
    return cls(W=weights[:, :-1], b=weights[:, -1], alpha=alpha), z


def _low_rank_rnn(rng, order, alpha=0.6):
    z, m, b = rng.normal(size=(order, 4)), rng.normal(size=(14, 4)), rng.normal(size=14)
    following = (np.roll(z, -1, axis=0) - (1 - alpha) * z) / alpha
    n = _solved(rng.normal(size=(4, 14)), _relu(z @ m.T + b).T / 14, following.T).T
    return cx.LowRankRNN(m=m, n=n, b=b, alpha=alpha), z


PLANTERS = {
    "PLRNN": _plrnn,
    "MeanCenteredPLRNN": _mean_centered,
    "ShallowPLRNN": _shallow,
    "ClippedShallowPLRNN": _clipped_shallow,
    "DendriticPLRNN": _dendritic,
    "ClippedDendriticPLRNN": _clipped_dendritic,
    "AlmostLinearRNN": _almost_linear,
    "LowRankPLRNN": _low_rank,
    "ReLURNN": _relu_rnn,
    "LeakyReLURNN": _leaky_relu_rnn,
    "RateRNN": functools.partial(_leaky, cx.RateRNN),
    "CurrentRNN": functools.partial(_leaky, cx.CurrentRNN),
    "RectifiedRNN": functools.partial(_leaky, cx.RectifiedRNN),
    "LowRankRNN": _low_rank_rnn,
}


def planted(name: str, order: int, seed: int):
    """Plant a cycle in a model of the class: give the model, the points `(k, M)` and the multipliers.

    Redrawn until the points are away from the borders and no multiplier exceeds 10 (see `planted_shallow`: here every
    weight that enters linearly is solved for, so that the rest of the network is wilder).
    """
    rng = np.random.default_rng([seed, order, len(name)])
    while True:
        model, points = PLANTERS[name](rng, order)
        step, pieces = plain_map(model), plain_pieces(model)
        product, distances = np.eye(model.num_states), []
        for z in points:
            met, gradients, jacobian = pieces(z)
            distances.append(np.abs(met) / np.linalg.norm(gradients, axis=1))
            product = jacobian @ product
        multipliers = np.linalg.eigvals(product)
        images = np.stack([step(z) for z in points])
        closed = np.allclose(images, np.roll(points, -1, axis=0), atol=1e-11)
        regular = np.min(np.abs(multipliers - 1)) > 1e-3
        if closed and regular and np.min(distances) > 1e-3 and np.max(np.abs(multipliers)) < 10:
            return model, points, multipliers


def planted_cycle(cycles: cx.Cycles, points: np.ndarray) -> cx.Cycle | None:
    """Give the cycle that runs through the planted points, whatever its rotation."""
    order = len(points)
    for cycle in cycles.of_order(order):
        for turn in range(order):
            if np.allclose(np.roll(points, -turn, axis=0), cycle.points, rtol=1e-8, atol=1e-8):
                return cycle
    return None
