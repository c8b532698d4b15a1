"""Random networks, in any dimension: of one scale of their eigenvalues, and of one width of their weights."""

import functools

import numpy as np

import cyclax as cx

# The mean largest absolute eigenvalue over regions, of each family.
TARGETS = (0.71, 1.25, 1.33, 2.33)
# Networks over which the scale of a dimension is found; and random regions of each of them.
_CALIBRATED, _REGIONS = 20, 64


def _drawn(num_states: int, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw A ~ U(0, 1), W ~ U(-v, v) off the diagonal with v^2 = 3/(2M), h ~ U(-2, 2), and gates of regions.

    With half of the gates open the eigenvalues of W fill a disc of radius 1/2, about: the mean of A.
    """
    rng = np.random.default_rng([num_states, draw])
    A = rng.uniform(0, 1, num_states)
    W = rng.uniform(-1, 1, (num_states, num_states)) * np.sqrt(1.5 / num_states)
    np.fill_diagonal(W, 0)
    h = rng.uniform(-2, 2, num_states)
    return A, W, h, rng.random((_REGIONS, num_states)) < 0.5


def mean_largest(A: np.ndarray, W: np.ndarray, regions: np.ndarray) -> float:
    """Give the mean over regions of the largest |eigenvalue| of the Jacobian."""
    jacobians = np.diag(A) + W * regions[:, None, :]
    return float(np.mean(np.max(np.abs(np.linalg.eigvals(jacobians)), axis=-1)))


@functools.cache
def unit(num_states: int) -> float:
    """Give the mean of that over networks as they are drawn: what A and W are divided by."""
    drawn = (_drawn(num_states, draw) for draw in range(_CALIBRATED))
    return float(np.mean([mean_largest(A, W, regions) for A, W, _, regions in drawn]))


def family(num_states: int, target: float, draw: int) -> tuple[cx.PLRNN, float]:
    """Give network `draw` of a family, and what its own mean largest |eigenvalue| is.

    The mean of A and the width of W are scaled alike, for each dimension, so that the mean over networks and regions
    is the target.
    """
    A, W, h, regions = _drawn(num_states, draw)
    scale = target / unit(num_states)
    return cx.PLRNN(A=scale * A, W=scale * W, h=h), scale * mean_largest(A, W, regions)


def of_width(num_states: int, width: float, draw: int) -> tuple[cx.PLRNN, float]:
    """Give network `draw` of those with A ~ U(-1, 1), W ~ U(-width, width), h ~ U(-2, 2), whatever the dimension.

    And what its own mean largest |eigenvalue| is, which grows with the dimension.
    """
    rng = np.random.default_rng([num_states, draw])
    A, W = rng.uniform(-1, 1, num_states), rng.uniform(-width, width, (num_states, num_states))
    np.fill_diagonal(W, 0)
    h, regions = rng.uniform(-2, 2, num_states), rng.random((_REGIONS, num_states)) < 0.5
    return cx.PLRNN(A=A, W=W, h=h), mean_largest(A, W, regions)


def normal(num_states: int, draw: int) -> tuple[cx.PLRNN, float]:
    """Give network `draw` of those with A, W and h ~ N(0, 1), and what its own mean largest |eigenvalue| is."""
    rng = np.random.default_rng([num_states, draw])
    A, W, h = rng.normal(size=num_states), rng.normal(size=(num_states, num_states)), rng.normal(size=num_states)
    np.fill_diagonal(W, 0)
    return cx.PLRNN(A=A, W=W, h=h), mean_largest(A, W, rng.random((_REGIONS, num_states)) < 0.5)
