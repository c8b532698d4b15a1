"""The index sum, and the degree that it must equal when no solution of F^k(z) = z is missing.

The sum of (-1)^(number of real multipliers > 1) over all solutions is the degree of I - F_inf^k at infinity, F_inf
being the recession map (all offsets set to 0), whenever F_inf^k fixes only 0.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Complex

from cyclax.maps.affine import AffineForm, proportional

# A multiplier this close to +1 has no sign: the index is undefined.
_ON_THE_UNIT = 1e-9
# With more cones than this the winding number is given up (chaotic recession maps have exponentially many).
_MOST_CONES = 2**14
# Up to so many words all of them are looked at: milliseconds.
_MOST_WORDS = 2**12
# Above this condition number I - P counts as singular.
SINGULAR = 1e10
# Entries of a Jacobian that are smaller than this beside the terms that they are the sum of are asked of the model: the
# first time that takes a tenth of a second. In the plane, where all rounding is accounted for, they are smaller still.
_LOST, _LOST_IN_THE_PLANE = 1e-3, 1e-6
# A solution this close to a border, relative to its size, cannot be told from one on it.
_ON_A_BORDER = 1e-9
# Rounding of products of Jacobians, relative to the product of their moduli.
_ROUNDING = 1e-12
_EPS = float(np.finfo(np.float64).eps)


# Gives the Jacobian `(M, M)` for gates `(G,)`, each entry rounded once; None where that is not known.
Exact = Callable[[np.ndarray], np.ndarray | None]


def index_of(multipliers: Complex[np.ndarray, " M"], repeats: int = 1) -> int | None:
    """Give the index of one solution of F^(p q)(z) = z on a p-cycle with these multipliers, q being `repeats`.

    None where a multiplier of the repeated cycle is 1.
    """
    real = np.real(multipliers[np.imag(multipliers) == 0])
    with np.errstate(all="ignore"):  # what overflows is far from 1
        on_the_unit = np.abs(multipliers**repeats - 1) < _ON_THE_UNIT
    if np.any(on_the_unit) or np.any(~np.isfinite(multipliers)):
        return None
    above = int(np.sum(real > 1)) + (int(np.sum(real < -1)) if repeats % 2 == 0 else 0)
    return (-1) ** above


def index_of_each(multipliers: Complex[np.ndarray, "n M"], repeats: int = 1) -> np.ndarray:
    """Do the same for many cycles; nan where a multiplier of the repeated cycle is 1."""
    real = np.imag(multipliers) == 0
    with np.errstate(all="ignore"):
        undefined = ~np.all(np.abs(multipliers**repeats - 1) >= _ON_THE_UNIT, axis=1)
    above = np.sum(real & (np.real(multipliers) > 1), axis=1)
    if repeats % 2 == 0:
        above = above + np.sum(real & (np.real(multipliers) < -1), axis=1)
    return np.where(undefined, np.nan, 1.0 - 2.0 * (above % 2))


def degrees(bounds: AffineForm, orders: list[int], exact: Exact | None = None) -> dict[int, int | None]:
    """Give the degree of I - F_inf^k for each order k, None where it is not known.

    Known in one and two dimensions; in any dimension where all gates cancel at infinity (clipped networks), so that
    F_inf is linear; and where the words of F_inf are few enough to try them all. (Where F contracts, it is 1.)

    `exact` is asked for Jacobians in which large terms cancel.
    """
    with np.errstate(all="ignore"):  # weights so large that products overflow leave the degree unknown
        return _degrees(bounds, orders, exact)


def _degrees(bounds: AffineForm, orders: list[int], exact: Exact | None) -> dict[int, int | None]:
    num_states = len(bounds.closed)
    if num_states == 1:
        return _degrees_on_the_line(bounds, orders, exact)
    if num_states == 2:
        return _planar_degrees(bounds, orders, exact)
    linear = _linear_recession(bounds)
    if linear is None:
        return {order: _enumerated_degree(bounds, order, exact) for order in orders}
    return {order: _linear_degree(linear, order) for order in orders}


def _jacobians(
    bounds: AffineForm, gates: np.ndarray, exact: Exact | None, least: float = _LOST
) -> tuple[np.ndarray, np.ndarray]:
    """Give the Jacobians `(.., M, M)` for gates `(.., G)`; where large terms cancel, those of the model itself.

    `least`: entries smaller than this beside their terms are asked of it. **Returns:** the Jacobians, and the sizes of
    their entries to which rounding is relative, by `_ROUNDING` at most.
    """
    rows = gates.reshape(-1, gates.shape[-1])
    found = bounds.jacobians(rows)
    terms = np.abs(bounds.closed) + np.tensordot(rows.astype(float), np.abs(bounds.jumps), axes=1)
    sizes = np.maximum(np.abs(found), (1 + rows.shape[1]) * _EPS / _ROUNDING * terms)
    if exact is not None:
        lost = np.flatnonzero(np.any((np.abs(found) < least * terms) | ~np.isfinite(terms), axis=(1, 2)))
        patterns, which = np.unique(rows[lost], axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            if (jacobian := exact(pattern)) is not None:
                same = lost[which.reshape(-1) == i]
                found[same], sizes[same] = jacobian, np.abs(jacobian)
    shape = *gates.shape[:-1], *bounds.closed.shape
    return found.reshape(shape), sizes.reshape(shape)


def _linear_recession(bounds: AffineForm) -> np.ndarray | None:
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


def _linear_degree(linear: np.ndarray, order: int) -> int | None:
    """Give the sign of det(I - A^k), the product of det(I - root A) over the k-th roots of unity."""
    roots = np.exp(2j * np.pi * np.arange(order) / order)
    sign, condition, _ = orientation(roots[:, None, None] * linear)
    return round(np.prod(sign).real) if np.all(condition < SINGULAR) else None


def _enumerated_degree(bounds: AffineForm, order: int, exact: Exact | None = None) -> int | None:
    """Sum the indices of all solutions of G^k(z) = z, with G = F_inf + v: the degree is the same for every v.

    The gates of F_inf depend on the side of each direction alone: 2^directions patterns a step, all of them tried.
    """
    moving = np.flatnonzero(bounds.effective)
    directions: list[np.ndarray] = []
    along = np.empty((len(moving), 2), int)  # the direction of each gate, and whether it opens on the positive side
    for i, gradient in enumerate(bounds.gradients[moving]):
        turns = [(d, sign) for d, other in enumerate(directions) if (sign := proportional(gradient, other))]
        if not turns:
            directions.append(gradient / 2.0 ** np.frexp(np.max(np.abs(gradient)))[1])
            if 2 ** (len(directions) * order) > _MOST_WORDS:
                return None
        along[i] = turns[0] if turns else (len(directions) - 1, 1)
    offset = np.random.default_rng(0).normal(size=len(bounds.closed))
    lengths = np.linalg.norm(np.array(directions).reshape(-1, len(offset)), axis=1)
    total = 0
    for sides in _all_words(len(directions), order):
        gates = np.tile(bounds.settled, (len(sides), order, 1))
        gates[..., moving] = sides[..., along[:, 0]] == (along[:, 1] > 0)
        jacobians, _ = _jacobians(bounds, gates, exact)
        met, doubtful, sign = np.ones(len(sides), bool), np.zeros(len(sides), bool), np.zeros(len(sides))
        # Each point from the product that begins there: run from the first, the others may be rounding alone.
        for t in range(order):
            product = np.broadcast_to(np.eye(len(offset)), jacobians[:, 0].shape)
            shift = np.zeros(jacobians[:, 0, 0].shape)
            for step in range(t, t + order):
                product = jacobians[:, step % order] @ product
                shift = (jacobians[:, step % order] @ shift[..., None])[..., 0] + offset
            sign, condition, inverse = orientation(product)
            if not np.all(condition < SINGULAR):
                return None
            state = (inverse @ shift[..., None])[..., 0]
            heights = state @ np.array(directions).reshape(-1, len(offset)).T
            near = np.abs(heights) <= _ON_A_BORDER * np.linalg.norm(state, axis=1, keepdims=True) * lengths
            met &= np.all(near | ((heights > 0) == sides[:, t]), axis=1)
            doubtful |= np.any(near, axis=1)
        if np.any(met & doubtful):
            return None
        total += int(np.sum(sign[met]))
    return total


def _all_words(symbols: int, order: int) -> Iterator[np.ndarray]:
    """Give all words of bits `(n, k, symbols)`, in blocks."""
    bits = symbols * order
    for begin in range(0, 2**bits, 2**10):
        codes = np.arange(begin, min(begin + 2**10, 2**bits))
        yield (codes[:, None] >> np.arange(bits) & 1).astype(bool).reshape(len(codes), order, symbols)


def orientation(product: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the signs of det(I - P) for P `(n, M, M)`; condition numbers of I - P, inf where it is singular; inverses.

    Rounding in P is relative to P, and in I - P to I, however near to each other they are: so is the condition.
    """
    system = np.eye(product.shape[-1]) - product
    sign, size = np.linalg.slogdet(system)
    singular = ~np.isfinite(size)
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(product.shape[-1]), system))
    condition = (1 + np.linalg.norm(product, axis=(1, 2))) * np.linalg.norm(inverse, axis=(1, 2))
    return sign, np.where(singular, np.inf, condition), inverse


def keeps_orientation(bounds: AffineForm, order: int, exact: Exact | None = None) -> bool:
    """Whether det(I - P) has one sign on all words: F^k(z) = z then has exactly |degree| solutions.

    All solutions have the same index, and none lies on a family. For fixed points of a PLRNN this says that
    (I - A)^-1 (I - A - W) is a P-matrix (Cottle, Pang and Stone 1992, "The Linear Complementarity Problem", 3.3).
    """
    moving = np.flatnonzero(bounds.effective)
    if len(moving) * order > np.log2(_MOST_WORDS):
        return False
    signs = set()
    with np.errstate(all="ignore"):
        for open_ in _all_words(len(moving), order):
            gates = np.tile(bounds.settled, (len(open_), order, 1))
            gates[..., moving] = open_
            jacobians, _ = _jacobians(bounds, gates, exact)
            product = jacobians[:, 0]
            for t in range(1, order):
                product = jacobians[:, t] @ product
            sign, condition, _ = orientation(product)
            signs.update(sign.tolist())
            if not np.all(condition < SINGULAR) or len(signs) > 1:
                return False
    return True


def _planar_degrees(bounds: AffineForm, orders: list[int], exact: Exact | None) -> dict[int, int | None]:
    """Winding numbers of u - F_inf^k(u) around the unit circle, all orders in one sweep.

    F_inf^k is linear on cones. Each step splits the cones where the image of a direction crosses a border; within a
    cone (narrower than a half-plane) the angle turned is that between the vectors at its two rays.
    """
    angles = np.arange(8) * np.pi / 4
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    products = sizes = np.broadcast_to(np.eye(2), (8, 2, 2))
    known: dict[int, int | None] = dict.fromkeys(orders)
    for order in range(1, max(orders, default=0) + 1):
        rays, products, sizes = _step_cones(bounds, rays, products, sizes, exact)
        if len(rays) > _MOST_CONES or not np.all(np.isfinite(products)):
            break
        if order in known:
            known[order] = _winding_number(rays, products, sizes)
    return known


def _step_cones(
    bounds: AffineForm, rays: np.ndarray, products: np.ndarray, sizes: np.ndarray, exact: Exact | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Refine the cones `(rays[i], rays[i + 1])`, on which F_inf^k is `products[i]`, to those of F_inf^(k + 1).

    `sizes` are products of the moduli, to which rounding is relative; what a gate switches counts, too, where rounding
    may have taken it for closed or open.
    """
    normals = bounds.gradients @ products
    crossing = np.stack([-normals[..., 1], normals[..., 0]], axis=-1)  # directions whose image lies on a border
    first, last = rays[:, None], np.roll(rays, -1, axis=0)[:, None]
    crossing = np.where((_cross(first, crossing) < 0)[..., None], -crossing, crossing)
    from_first, to_last = _cross(first, crossing), _cross(crossing, last)
    cone, gate = np.nonzero((from_first > 0) & (to_last > 0))
    share = from_first[cone, gate] / (from_first[cone, gate] + to_last[cone, gate])
    new = crossing[cone, gate] / np.linalg.norm(crossing[cone, gate], axis=1, keepdims=True)
    owner = np.concatenate([np.arange(len(rays)), cone])
    turn = np.lexsort((np.concatenate([np.zeros(len(rays)), share]), owner))
    rays, owner = np.concatenate([rays, new])[turn], owner[turn]
    between = (rays + np.roll(rays, -1, axis=0))[..., None]
    heights = (bounds.gradients @ (products[owner] @ between))[..., 0]
    rounding = _ROUNDING * (np.abs(bounds.gradients) @ (sizes[owner] @ np.abs(between)))[..., 0]
    fixed = ~np.any(bounds.gradients != 0, axis=1)  # a gate without gradient keeps its sign
    gates, doubtful = np.where(fixed, bounds.offsets, heights) > 0, ~fixed & ~(np.abs(heights) > rounding)
    jacobians, moduli = _jacobians(bounds, gates, exact, _LOST_IN_THE_PLANE)
    moduli = moduli + np.tensordot(doubtful.astype(float), np.abs(bounds.jumps), axes=1)
    return rays, jacobians @ products[owner], moduli @ sizes[owner]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _winding_number(rays: np.ndarray, products: np.ndarray, sizes: np.ndarray) -> int | None:
    """Give the winding number of u - F_inf^k(u), None where rounding may move it across 0."""
    system = np.eye(2) - products
    first, last = (system @ ends[..., None] for ends in (rays, np.roll(rays, -1, axis=0)))
    first, last = first[..., 0], last[..., 0]
    # Over a cone it goes along a segment (of no length, where borders are parallel).
    along = last - first
    length = np.sum(along**2, axis=-1)
    share = np.clip(-np.sum(first * along, axis=-1) / np.where(length > 0, length, 1), 0, 1)
    nearest = np.linalg.norm(first + share[:, None] * along, axis=1)
    if not np.all(nearest > _ROUNDING * (1 + np.max(sizes, axis=(1, 2)))):  # nan, where products overflow, included
        return None
    angles = np.arctan2(_cross(first, last), np.sum(first * last, axis=-1))
    return round(np.sum(angles) / (2 * np.pi))


def _degrees_on_the_line(bounds: AffineForm, orders: list[int], exact: Exact | None) -> dict[int, int | None]:
    """The same in one dimension: the sides of u - F_inf^k(u) at u = -1 and u = +1."""
    ends = np.array([[-1.0], [1.0]])
    images, known = ends, dict.fromkeys(orders)
    fixed = bounds.gradients[:, 0] == 0
    for order in range(1, max(orders, default=0) + 1):
        gates = np.where(fixed, bounds.offsets, images @ bounds.gradients.T) > 0
        images = (_jacobians(bounds, gates, exact)[0] @ images[..., None])[..., 0]
        below, above = (ends - images)[:, 0]
        if order in known and min(abs(below), abs(above)) > 1e-12 and np.isfinite(below + above):
            known[order] = int(np.sign(above) - np.sign(below)) // 2
    return known
