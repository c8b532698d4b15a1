"""The index sum, and the degree that it must equal when no solution of F^k(z) = z is missing.

The sum of (-1)^(number of real multipliers > 1) over all solutions is the degree of I - F_inf^k at infinity, F_inf
being the recession map (all offsets set to 0), whenever F_inf^k fixes only 0.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cyclax.cycles.solve import Borders, _in_chunks
from cyclax.maps.base import AbstractPiecewiseLinearMap

# A multiplier this close to +1 has no sign: the index is undefined.
_ON_THE_UNIT = 1e-9
# More arcs than this, or shorter ones, and the winding number is given up.
_MOST_ARCS = 2**16
_SHORTEST_ARC = 1e-9


def index_of(multipliers: np.ndarray, repeats: int = 1) -> int | None:
    """Give the index of one solution of F^(p q)(z) = z on a p-cycle with these multipliers, q being `repeats`.

    None where a multiplier of the repeated cycle is 1.
    """
    real = multipliers[multipliers.imag == 0].real
    if np.any(np.abs(multipliers**repeats - 1) < _ON_THE_UNIT) or np.any(~np.isfinite(multipliers)):
        return None
    above = int(np.sum(real > 1)) + (int(np.sum(real < -1)) if repeats % 2 == 0 else 0)
    return (-1) ** above


class RecessionMap(AbstractPiecewiseLinearMap):
    """F_inf(z) = lim F(s z) / s for s to infinity."""

    model: AbstractPiecewiseLinearMap

    @property
    def num_states(self) -> int:
        """The latent dimension."""
        return self.model.num_states

    def preactivations(self, z):
        """Give the linear parts; a gate without gradient keeps its sign."""
        zero = jnp.zeros_like(z)
        offsets = self.model.preactivations(zero)
        gradients = jax.jacfwd(self.model.preactivations)(zero)
        fixed = jnp.all(gradients == 0, axis=1)
        return jnp.where(fixed, offsets, gradients @ z)

    def step(self, z, gates):
        """Map with the offsets left out."""
        return self.model.step(z, gates) - self.model.step(jnp.zeros_like(z), gates)


def degrees(model: AbstractPiecewiseLinearMap, bounds: Borders, orders: list[int]) -> dict[int, int | None]:
    """Give the degree of I - F_inf^k for each order k, None where it is not known.

    Known in one and two dimensions; in any dimension where F maps a ball into itself because its Jacobians are
    bounded, entry by entry, by a matrix of spectral radius below 1; and where all gates cancel at infinity (clipped
    networks), so that F_inf is linear.

    Must be called under `jax.enable_x64(True)`.
    """
    if model.num_states <= 2:
        return _planar_degrees(RecessionMap(model), orders)
    jumps = bounds.jumps
    largest = bounds.closed + np.sum(np.maximum(jumps, 0), axis=0)
    smallest = bounds.closed + np.sum(np.minimum(jumps, 0), axis=0)
    if max(abs(np.linalg.eigvals(np.maximum(np.abs(largest), np.abs(smallest))))) < 1:
        return dict.fromkeys(orders, 1)
    linear = _linear_recession(bounds)
    if linear is None:
        return dict.fromkeys(orders)
    multipliers = np.linalg.eigvals(linear).astype(complex)
    return {order: index_of(multipliers, order) for order in orders}


def _linear_recession(bounds: Borders) -> np.ndarray | None:
    """Give the matrix of F_inf if all jumps of gates with the same direction cancel, else None."""
    total, jumps_of = bounds.closed.copy(), {}
    for gradient, offset, jump in zip(bounds.gradients, bounds.offsets, bounds.jumps, strict=True):
        if np.any(gradient != 0):
            key = gradient.tobytes()
            jumps_of[key] = jumps_of.get(key, 0) + jump
        elif offset > 0:
            total += jump
    scale = np.max(np.abs(bounds.jumps), initial=0)
    return total if all(np.max(np.abs(jump)) <= 1e-14 * scale for jump in jumps_of.values()) else None


def _planar_degrees(recession: RecessionMap, orders: list[int]) -> dict[int, int | None]:
    """Winding numbers of u - F_inf^k(u) around the unit circle (in 1-D: the signs at -1 and +1), all orders in one sweep.

    An arc whose ends have the same word lies in one linear cone, where the angle turned is that between its end
    vectors; other arcs are halved until they are too short to matter.
    """
    from cyclax.cycles.solve import _visit

    last = max(orders, default=0)

    def sweep(directions):
        """Vectors u - F_inf^k(u) `(n, K, M)` and hashes of the words to step k `(n, K)`."""
        states, word = directions, np.ones(len(directions), np.uint64)
        vectors, words = [], []
        salts = np.random.default_rng(0).integers(1, 2**63, recession.num_gates, dtype=np.uint64)
        for _ in range(last):
            preactivations, states = _in_chunks(_visit, recession, states)
            word = word * np.uint64(6364136223846793005) + np.sum(np.where(preactivations > 0, salts, 0), axis=1, dtype=np.uint64)
            vectors.append(directions - states)
            words.append(word)
        return np.stack(vectors, axis=1), np.stack(words, axis=1)

    wanted = np.array(orders, int) - 1
    if recession.num_states == 1:
        vectors, _ = sweep(np.array([[-1.0], [1.0]]))
        signs = np.sign(vectors[:, wanted, 0])
        known = np.all(np.abs(vectors[:, wanted, 0]) > 1e-12, axis=0)
        return {k: int((b - a) / 2) if ok else None for k, a, b, ok in zip(orders, *signs, known, strict=True)}

    ends = np.linspace(0, 2 * np.pi, 65)
    ends[-1] = 0  # the circle closes bitwise
    low, high = np.linspace(0, 2 * np.pi, 65)[:-1], np.linspace(0, 2 * np.pi, 65)[1:]
    at = lambda angles: sweep(np.stack([np.cos(angles), np.sin(angles)], axis=1))  # noqa: E731
    vectors, words = at(ends[:-1])
    left, right = (vectors, words), (np.roll(vectors, -1, axis=0), np.roll(words, -1, axis=0))
    turned, sound = np.zeros(len(orders)), np.ones(len(orders), bool)
    open_orders = np.ones((len(low), len(orders)), bool)
    while len(low):
        v, w = left[0][:, wanted], right[0][:, wanted]
        same = left[1][:, wanted] == right[1][:, wanted]
        done = open_orders & (same | (high - low < _SHORTEST_ARC)[:, None])
        with np.errstate(all="ignore"):
            cross, dot = v[..., 0] * w[..., 1] - v[..., 1] * w[..., 0], np.sum(v * w, axis=-1)
            angle = np.arctan2(cross, dot)
            lengths = np.linalg.norm(v, axis=-1) * np.linalg.norm(w, axis=-1)
            # Vectors that vanish, or turn by half a circle within an arc: F_inf^k may fix a direction there.
            doubtful = done & ~((lengths > 1e-20) & (np.abs(angle) < np.pi - 1e-6) & np.isfinite(angle))
            doubtful |= done & ~same & ~(np.abs(angle) < 1e-3)
        turned += np.sum(np.where(done & np.isfinite(angle), angle, 0), axis=0)
        sound &= ~np.any(doubtful, axis=0)
        open_orders &= ~done
        split = np.any(open_orders & sound, axis=1)
        if 2 * np.sum(split) > _MOST_ARCS:
            sound &= ~np.any(open_orders, axis=0)
            break
        low, high, open_orders = low[split], high[split], open_orders[split]
        left, right = tuple(x[split] for x in left), tuple(x[split] for x in right)
        if not len(low):
            break
        middle = (low + high) / 2
        new = at(middle)
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        left, right = (
            tuple(np.concatenate(pair) for pair in zip(left, new, strict=True)),
            tuple(np.concatenate(pair) for pair in zip(new, right, strict=True)),
        )
        open_orders = np.concatenate([open_orders, open_orders])
    winding = turned / (2 * np.pi)
    sound &= np.abs(winding - np.round(winding)) < 1e-3
    return {k: int(np.round(w)) if ok else None for k, w, ok in zip(orders, winding, sound, strict=True)}
