"""Changes of a network that change nothing that is true of it: units, permutations, dead and duplicated units.

All of them are exact in float64 (powers of two, permutations, halves), or they are not made: `conjugate` checks, in
rationals, that the changed map does what the first one does.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import cyclax as cx

from .exact_map import ExactMap
from .rationals import rational

STATE_GATED = (cx.PLRNN, cx.LowRankPLRNN)
SHALLOW = (cx.ShallowPLRNN, cx.ClippedShallowPLRNN)
DENDRITIC = (cx.DendriticPLRNN, cx.ClippedDendriticPLRNN)
LEAKY = (cx.RateRNN, cx.CurrentRNN, cx.RectifiedRNN)
RELU = (cx.ReLURNN, cx.LeakyReLURNN)


@dataclasses.dataclass(frozen=True)
class Changed:
    """A network that is the same, in other words.

    - `back`: for each gate of the first network the gate of this one that it became.
    - `forward`: the state `(.., M)` of the first network as one of this.
    - `more`: multipliers that came with it, for order 1.
    - `place`: the state, or the unit, that state i became, and in what unit it is measured.
    """

    model: Any
    back: np.ndarray
    forward: Callable[[np.ndarray], np.ndarray]
    more: tuple[float, ...] = ()
    place: Callable[[int], tuple[int, float]] = lambda i: (i, 1.0)

    def moving(self, forward: Callable[[np.ndarray], np.ndarray]) -> "Changed":
        """Say what becomes of states."""
        return dataclasses.replace(self, forward=forward)


def rebuilt(model, **changes):
    """Make a model of the same class with some weights changed."""
    return type(model)(**{**vars(model), **changes})


def kept(model, changed, **more) -> Changed:
    """Say that states and gates are those of before."""
    return Changed(changed, np.arange(model.num_gates), lambda z: z, **more)


def in_units(model, units: np.ndarray):
    """Write the model in other units of its states, z = units * y; None where its class has none."""
    S, each = units, units / units[:, None]
    A = {"A": model.A * each if np.ndim(model.A) == 2 else model.A} if hasattr(model, "A") else {}
    if isinstance(model, cx.MeanCenteredPLRNN):
        # The mean mixes the states: one unit for all.
        return rebuilt(model, h=model.h / S[0])
    if isinstance(model, (cx.PLRNN, cx.AlmostLinearRNN)):
        return rebuilt(model, **A, W=model.W * each, h=model.h / S)
    if isinstance(model, cx.LowRankPLRNN):
        return rebuilt(model, **A, U=model.U / S[:, None], V=model.V * S, h=model.h / S)
    if isinstance(model, SHALLOW):
        return rebuilt(model, **A, W1=model.W1 / S[:, None], W2=model.W2 * S, h1=model.h1 / S)
    if isinstance(model, DENDRITIC):
        return rebuilt(model, **A, W=model.W * each, h=model.h / S, thresholds=model.thresholds / S[:, None])
    if isinstance(model, (*RELU, *LEAKY)):
        return rebuilt(model, W=model.W * each, b=model.b / S)
    if isinstance(model, cx.LowRankRNN):
        return rebuilt(model, m=model.m * S, n=model.n / S)
    if isinstance(model, cx.SkewTentMap):
        return rebuilt(model, offset=model.offset / S[0])
    if isinstance(model, cx.BorderCollisionNormalForm):
        return rebuilt(model, left=model.left * each, right=model.right * each, h=model.h / S)
    return None


def _units(model, rng, units: np.ndarray | None = None) -> Changed | None:
    units = 2.0 ** rng.integers(-20, 21, size=model.num_states) if units is None else units
    if isinstance(model, cx.MeanCenteredPLRNN):
        units = np.full(model.num_states, units[0])
    changed = in_units(model, units)
    return changed and kept(model, changed, place=lambda i: (i, float(units[i]))).moving(lambda z: z / units)


def _offsets(power: int):
    def scaled(model, rng) -> Changed | None:
        """All offsets times 2^power: other units, the same for all states, and for what the hidden units measure."""
        factor = 2.0**power
        if isinstance(model, SHALLOW):
            changed = rebuilt(model, h1=model.h1 * factor, h2=model.h2 * factor)
            return kept(model, changed, place=lambda i: (i, 1 / factor)).moving(lambda z: z * factor)
        return _units(model, rng, np.full(model.num_states, 1 / factor))

    return scaled


def _permuted(model, rng) -> Changed | None:
    size = model.num_states
    order = rng.permutation(size)
    if isinstance(model, cx.AlmostLinearRNN):
        linear = size - model.num_gated
        order = np.concatenate([rng.permutation(linear), linear + rng.permutation(model.num_gated)])
    where = np.argsort(order)
    A = {"A": model.A[order] if np.ndim(model.A) == 1 else model.A[order][:, order]} if hasattr(model, "A") else {}
    back = np.arange(model.num_gates)
    if isinstance(model, SHALLOW):
        changed = rebuilt(model, **A, W1=model.W1[order], W2=model.W2[:, order], h1=model.h1[order])
    elif isinstance(model, cx.LowRankPLRNN):
        changed, back = rebuilt(model, **A, U=model.U[order], V=model.V[:, order], h=model.h[order]), where
    elif isinstance(model, LEAKY):
        share = model.alpha if np.ndim(model.alpha) == 0 else model.alpha[order]
        changed = rebuilt(model, W=model.W[order][:, order], b=model.b[order], alpha=share, C=model.C[order])
        back = where
    elif isinstance(model, cx.LowRankRNN):
        changed = rebuilt(model, m=model.m[:, order], n=model.n[:, order])
    elif isinstance(model, RELU):
        changed, back = rebuilt(model, W=model.W[order][:, order], b=model.b[order]), where
    elif isinstance(model, DENDRITIC):
        W, kinks = model.W[order][:, order], model.thresholds.size
        changed = rebuilt(model, **A, W=W, h=model.h[order], thresholds=model.thresholds[order])
        numbers = np.arange(kinks).reshape(size, -1)[order].ravel()
        back = np.concatenate([np.argsort(numbers), kinks + where])[: model.num_gates]
    elif hasattr(model, "W"):
        changed = rebuilt(model, **A, W=model.W[order][:, order], h=model.h[order])
        back = where if not isinstance(model, cx.AlmostLinearRNN) else where[linear:] - linear
    else:
        return None
    return Changed(changed, back, lambda z: z[..., order], place=lambda i: (int(where[i]), 1.0))


def _hidden_permuted(model, rng) -> Changed | None:
    if isinstance(model, SHALLOW):
        order = rng.permutation(len(model.h2))
        where = np.argsort(order)
        back = np.concatenate([where, len(order) + where])[: model.num_gates]
        changed = rebuilt(model, W1=model.W1[:, order], W2=model.W2[order], h2=model.h2[order])
    elif isinstance(model, DENDRITIC):
        order = rng.permutation(len(model.alpha))
        changed = rebuilt(model, alpha=model.alpha[order], thresholds=model.thresholds[:, order])
        numbers = np.arange(model.thresholds.size).reshape(model.thresholds.shape)[:, order].ravel()
        back = np.concatenate([np.argsort(numbers), np.arange(model.thresholds.size, model.num_gates)])
    else:
        return None
    return dataclasses.replace(kept(model, changed), back=back)


def _with_unit(model, W1_column, W2_row, offset, keep: float) -> Changed:
    """Add a hidden unit to a shallow network; the first one keeps a share of its weight."""
    W1 = model.W1.copy()
    W1[:, 0] *= keep
    hidden = len(model.h2)
    changed = rebuilt(model, W1=np.c_[W1, W1_column], W2=np.r_[model.W2, W2_row[None]], h2=np.append(model.h2, offset))
    back = np.concatenate([np.arange(hidden), hidden + 1 + np.arange(hidden)])[: model.num_gates]
    return dataclasses.replace(kept(model, changed), back=back)


def _with_threshold(model, thresholds, alpha, keep: float) -> Changed:
    """Add a threshold to every dendrite; the first one keeps a share of its weight."""
    weights, size, bases = model.alpha.copy(), *model.thresholds.shape
    weights[0] *= keep
    changed = rebuilt(
        model, alpha=np.append(weights, alpha), thresholds=np.concatenate([model.thresholds, thresholds], axis=1)
    )
    numbers = np.arange(size * (bases + 1)).reshape(size, -1)
    back = np.concatenate([numbers[:, :bases].ravel(), numbers.size + np.arange(size)])[: model.num_gates]
    return dataclasses.replace(kept(model, changed), back=back)


def _dead(model, rng) -> Changed | None:
    """Add a unit that nothing listens to."""
    draw = rng.integers(-4, 5, size=model.num_states) / 2.0
    if isinstance(model, SHALLOW):
        return _with_unit(model, np.zeros(model.num_states), draw, 0.5, 1.0)
    if isinstance(model, DENDRITIC):
        return _with_threshold(model, draw[:, None], 0.0, 1.0)
    # A state that goes to 1/2 at once, and that no other sees.
    forward = lambda z: np.concatenate([z, np.full((*z.shape[:-1], 1), 0.5)], axis=-1)  # noqa: E731
    back, more = np.arange(model.num_gates), (0.0,)
    if isinstance(model, cx.PLRNN):
        A = np.append(model.A, 0.0) if np.ndim(model.A) == 1 else _padded(model.A)
        return Changed(rebuilt(model, A=A, W=_padded(model.W), h=np.append(model.h, 0.5)), back, forward, more)
    if isinstance(model, RELU):
        return Changed(rebuilt(model, W=_padded(model.W), b=np.append(model.b, 0.5)), back, forward, more)
    return None


def _padded(matrix: np.ndarray) -> np.ndarray:
    return np.pad(matrix, (0, 1))


def _duplicated(model, rng) -> Changed | None:
    """Share the weight of one unit, or state, between two of them."""
    if isinstance(model, SHALLOW):
        return _with_unit(model, model.W1[:, 0] / 2, model.W2[0], model.h2[0], 0.5)
    if isinstance(model, DENDRITIC):
        return _with_threshold(model, model.thresholds[:, :1], model.alpha[0] / 2, 0.5)
    if not isinstance(model, (cx.PLRNN, cx.AlmostLinearRNN, *RELU)):
        return None
    last = model.num_states - 1

    def doubled(matrix: np.ndarray) -> np.ndarray:
        halves = np.c_[matrix, matrix[:, last]]
        halves[:, [last, last + 1]] /= 2
        return np.r_[halves, halves[last:]]

    back = np.arange(model.num_gates)
    forward = lambda z: np.concatenate([z, z[..., last:]], axis=-1)  # noqa: E731
    if isinstance(model, RELU):
        return Changed(rebuilt(model, W=doubled(model.W), b=np.append(model.b, model.b[last])), back, forward, (0.0,))
    if np.ndim(model.A) == 2:
        return None
    own = float(model.A[last])
    if abs(abs(own) - 1) < 1e-9:
        return None  # the two may then differ for ever, or nearly
    more = {"num_gated": model.num_gated + 1} if isinstance(model, cx.AlmostLinearRNN) else {}
    changed = rebuilt(model, A=np.append(model.A, own), W=doubled(model.W), h=np.append(model.h, model.h[last]), **more)
    return Changed(changed, back, forward, (own,))


def _moved(model, rng) -> Changed | None:
    """Put the origin elsewhere, z -> z + c."""
    c = rng.integers(-8, 9, size=model.num_states) / 4.0
    if not hasattr(model, "A") or isinstance(model, (cx.ClippedShallowPLRNN, cx.ClippedDendriticPLRNN)):
        return None
    rest = c - (model.A @ c if np.ndim(model.A) == 2 else model.A * c)
    if isinstance(model, cx.ShallowPLRNN):
        changed = rebuilt(model, h1=model.h1 + rest, h2=model.h2 - model.W2 @ c)
    elif isinstance(model, cx.DendriticPLRNN):
        changed = rebuilt(model, h=model.h + rest, thresholds=model.thresholds + c[:, None])
    elif isinstance(model, cx.PLRNN):
        changed = cx.DendriticPLRNN(A=model.A, W=model.W, h=model.h + rest, alpha=[1.0], thresholds=c[:, None])
    else:
        return None
    return kept(model, changed).moving(lambda z: z + c)


def _other_class(model, rng) -> Changed | None:
    """Write the same map as one of another class."""
    size = model.num_states
    if isinstance(model, cx.TentMap):
        return kept(model, cx.SkewTentMap(left=model.slope, right=-model.slope, offset=1.0))
    if isinstance(model, cx.SkewTentMap):
        W = [[model.right - model.left]]
        return kept(model, cx.PLRNN(A=[float(model.left)], W=W, h=[float(model.offset)]))
    if isinstance(model, cx.LoziMap):
        left, right = [[model.a, 1.0], [model.b, 0.0]], [[-model.a, 1.0], [model.b, 0.0]]
        return kept(model, cx.BorderCollisionNormalForm(left=left, right=right, h=[1.0, 0.0]))
    if isinstance(model, cx.BorderCollisionNormalForm):
        return kept(model, cx.PLRNN(A=model.left, W=model.right - model.left, h=model.h))
    if isinstance(model, cx.PLRNN):
        return kept(model, cx.ShallowPLRNN(A=model.A, W1=model.W, W2=np.eye(size), h1=model.h, h2=np.zeros(size)))
    if isinstance(model, cx.LowRankPLRNN):
        return kept(model, cx.PLRNN(A=model.A, W=model.U @ model.V, h=model.h))
    if isinstance(model, cx.DendriticPLRNN):
        W1 = np.repeat(model.W, len(model.alpha), axis=1) * np.tile(model.alpha, size)
        W2, h2 = np.repeat(np.eye(size), len(model.alpha), axis=0), -model.thresholds.ravel()
        return kept(model, cx.ShallowPLRNN(A=model.A, W1=W1, W2=W2, h1=model.h, h2=h2))
    if isinstance(model, cx.ReLURNN):
        return kept(model, cx.LeakyReLURNN(W=model.W, b=model.b, slope=0.0))
    return None


def _several(model, rng) -> Changed | None:
    """One after another: other units, another order, and a unit twice."""
    first = _units(model, rng)
    second = first and _permuted(first.model, rng)
    third = second and _duplicated(second.model, rng)
    if first is None or second is None or third is None:
        return None
    return Changed(
        third.model,
        third.back[second.back[first.back]],
        lambda z: third.forward(second.forward(first.forward(z))),
        third.more,
        lambda i: (second.place(i)[0], first.place(i)[1]),
    )


TRANSFORMS: dict[str, Callable[[Any, np.random.Generator], Changed | None]] = {
    "units": _units,
    "offsets up": _offsets(40),
    "offsets down": _offsets(-40),
    "states permuted": _permuted,
    "hidden permuted": _hidden_permuted,
    "dead unit": _dead,
    "duplicated unit": _duplicated,
    "translated": _moved,
    "other class": _other_class,
    "several": _several,
}


def changed(name: str, model, rng: np.random.Generator) -> Changed | None:
    """Make a change; None where the class has none, or float64 cannot hold it exactly."""
    with np.errstate(all="ignore"):
        other = TRANSFORMS[name](model, rng)
    return other if other is not None and conjugate(model, other, rng) else None


def conjugate(model, other: Changed, rng: np.random.Generator) -> bool:
    """Whether the changed map does exactly what the first one does, at states in many regions."""
    first, second = ExactMap(model), ExactMap(other.model)
    for power in (-30, 0, 3, 30):
        state = np.round(rng.normal(size=model.num_states) * 16) / 16 * 2.0**power
        image = first.image([rational(x) for x in state])
        there = second.image([rational(x) for x in other.forward(state)])
        # `forward` is exact for states of few digits only: it is read off as an affine map.
        origin, columns = other.forward(np.zeros(len(state))), other.forward(np.eye(len(state)))
        for i, value in enumerate(there):
            exact = rational(origin[i]) + sum(
                (rational(column[i] - origin[i]) * x for column, x in zip(columns, image, strict=True)), rational(0.0)
            )
            if value != exact:
                return False
    return True
