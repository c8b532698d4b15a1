"""Small networks of every class, keyed, in styles that are kind and unkind to float64."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator

import flint
import jax
import numpy as np

import cyclax as cx

from .exact_map import ExactMap
from .rationals import identity

# Class and size -> shapes of its weights. Few sizes: JAX compiles for each.
SHAPES: dict[str, tuple[type, dict]] = {
    "PLRNN 1": (cx.PLRNN, dict(A=(1,), W=(1, 1), h=(1,))),
    "PLRNN 2": (cx.PLRNN, dict(A=(2,), W=(2, 2), h=(2,))),
    "PLRNN 3": (cx.PLRNN, dict(A=(3,), W=(3, 3), h=(3,))),
    "PLRNN full 2": (cx.PLRNN, dict(A=(2, 2), W=(2, 2), h=(2,))),
    "PLRNN full 3": (cx.PLRNN, dict(A=(3, 3), W=(3, 3), h=(3,))),
    "MeanCenteredPLRNN 2": (cx.MeanCenteredPLRNN, dict(A=(2, 2), W=(2, 2), h=(2,))),
    "MeanCenteredPLRNN 3": (cx.MeanCenteredPLRNN, dict(A=(3,), W=(3, 3), h=(3,))),
    "ShallowPLRNN 1": (cx.ShallowPLRNN, dict(A=(1,), W1=(1, 3), W2=(3, 1), h1=(1,), h2=(3,))),
    "ShallowPLRNN 2": (cx.ShallowPLRNN, dict(A=(2,), W1=(2, 3), W2=(3, 2), h1=(2,), h2=(3,))),
    "ClippedShallowPLRNN 1": (cx.ClippedShallowPLRNN, dict(A=(1,), W1=(1, 2), W2=(2, 1), h1=(1,), h2=(2,))),
    "ClippedShallowPLRNN 2": (cx.ClippedShallowPLRNN, dict(A=(2, 2), W1=(2, 2), W2=(2, 2), h1=(2,), h2=(2,))),
    "DendriticPLRNN 1": (cx.DendriticPLRNN, dict(A=(1,), W=(1, 1), h=(1,), alpha=(3,), thresholds=(1, 3))),
    "DendriticPLRNN 2": (cx.DendriticPLRNN, dict(A=(2,), W=(2, 2), h=(2,), alpha=(2,), thresholds=(2, 2))),
    "ClippedDendriticPLRNN 1": (
        cx.ClippedDendriticPLRNN,
        dict(A=(1,), W=(1, 1), h=(1,), alpha=(2,), thresholds=(1, 2)),
    ),
    "ClippedDendriticPLRNN 2": (
        cx.ClippedDendriticPLRNN,
        dict(A=(2,), W=(2, 2), h=(2,), alpha=(1,), thresholds=(2, 1)),
    ),
    "AlmostLinearRNN 2": (cx.AlmostLinearRNN, dict(A=(2,), W=(2, 2), h=(2,), num_gated=1)),
    "AlmostLinearRNN 3": (cx.AlmostLinearRNN, dict(A=(3,), W=(3, 3), h=(3,), num_gated=2)),
    "LowRankPLRNN 2": (cx.LowRankPLRNN, dict(A=(2,), U=(2, 1), V=(1, 2), h=(2,))),
    "LowRankPLRNN 3": (cx.LowRankPLRNN, dict(A=(3,), U=(3, 1), V=(1, 3), h=(3,))),
    "ReLURNN 2": (cx.ReLURNN, dict(W=(2, 2), b=(2,))),
    "ReLURNN 3": (cx.ReLURNN, dict(W=(3, 3), b=(3,))),
    "LeakyReLURNN 2": (cx.LeakyReLURNN, dict(W=(2, 2), b=(2,), slope=())),
    "LeakyReLURNN 3": (cx.LeakyReLURNN, dict(W=(3, 3), b=(3,), slope=())),
    "RateRNN 2": (cx.RateRNN, dict(W=(2, 2), b=(2,), alpha=())),
    "CurrentRNN 3": (cx.CurrentRNN, dict(W=(3, 3), b=(3,), alpha=(3,))),
    "RectifiedRNN 2": (cx.RectifiedRNN, dict(W=(2, 2), b=(2,), alpha=())),
    "LowRankRNN 2": (cx.LowRankRNN, dict(m=(3, 2), n=(3, 2), b=(3,), alpha=())),
    "TentMap": (cx.TentMap, dict(slope=())),
    "SkewTentMap": (cx.SkewTentMap, dict(left=(), right=(), offset=())),
    "LoziMap": (cx.LoziMap, dict(a=(), b=())),
    "BorderCollisionNormalForm": (cx.BorderCollisionNormalForm, dict(left=(2, 2), right=(2, 2), h=(2,))),
    "LowRankPLRNN 2 of rank 2": (cx.LowRankPLRNN, dict(A=(2,), U=(2, 2), V=(2, 2), h=(2,))),
    "ClippedDendriticPLRNN 1 of three": (
        cx.ClippedDendriticPLRNN,
        dict(A=(1,), W=(1, 1), h=(1,), alpha=(3,), thresholds=(1, 3)),
    ),
}
LEAKY = (cx.RateRNN, cx.CurrentRNN, cx.RectifiedRNN, cx.LowRankRNN)
# What moves the borders or the images, and scales with the states.
OFFSETS = {"h", "h1", "h2", "b", "thresholds", "offset"}
# What multiplies the states directly.
TRANSITIONS = {"A", "left", "right", "slope"}
Weights = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One drawing of weights: of which class and size, and from which generator."""

    shape: str
    rng: np.random.Generator

    @property
    def cls(self) -> type:
        return SHAPES[self.shape][0]

    def weights(self, entry: Callable[[tuple[int, ...]], np.ndarray]) -> Weights:
        """Fill all weights, entry by entry; A contracts by default, as in the library's own drawings."""
        sizes = {name: size for name, size in SHAPES[self.shape][1].items() if isinstance(size, tuple)}
        return {name: np.asarray(entry(size), float) for name, size in sizes.items()}

    def model(self, weights: Weights):
        """Make the model; what continuity asks for is set right."""
        if self.cls is cx.BorderCollisionNormalForm:
            weights["right"] = np.stack([weights["right"][:, 0], weights["left"][:, 1]], axis=1)
        if self.cls is cx.LeakyReLURNN and not 0 <= weights["slope"] < 1:
            weights["slope"] = np.array(0.25)
        if self.cls in LEAKY:
            weights["alpha"] = np.where((weights["alpha"] > 0) & (weights["alpha"] <= 1), weights["alpha"], 0.25)
        counts = {name: value for name, value in SHAPES[self.shape][1].items() if isinstance(value, int)}
        return self.cls(**weights, **counts)


def gauss(d: Drawing) -> Weights:
    """Normal weights; half of the time the transitions contract."""
    weights = d.weights(lambda size: d.rng.normal(size=size) * d.rng.choice([0.7, 1.0, 1.6]))
    if "A" in weights and d.rng.random() < 0.5:
        A = d.rng.uniform(-0.9, 0.95, size=weights["A"].shape[:1])
        weights["A"] = A if weights["A"].ndim == 1 else np.diag(A)
    return weights


def integer(d: Drawing) -> Weights:
    """Small integers: ties, exact borders, singular words."""
    return d.weights(lambda size: d.rng.integers(-2, 3, size=size))


def half_integer(d: Drawing) -> Weights:
    """Halves and quarters."""
    return d.weights(lambda size: d.rng.integers(-6, 7, size=size) / d.rng.choice([2, 4]))


def huge(d: Drawing) -> Weights:
    """Some of the weights of 1e6 to 1e200."""
    power = 10.0 ** (d.rng.uniform(5, 8) if d.rng.random() < 0.5 else d.rng.uniform(8, 200))
    weights = gauss(d)
    for name in weights:
        if d.rng.random() < 0.5:
            weights[name] = weights[name] * power
    return weights


def tiny(d: Drawing) -> Weights:
    """Some of the weights of 1e-6 to 1e-200."""
    power = 10.0 ** -(d.rng.uniform(5, 20) if d.rng.random() < 0.5 else d.rng.uniform(20, 200))
    weights = gauss(d)
    for name in weights:
        if d.rng.random() < 0.5:
            weights[name] = weights[name] * power
    return weights


def near_singular(d: Drawing) -> Weights:
    """One entry is chosen so that det(I -+ J) of one region is 0 but for rounding, or off by 2^-20 to 2^-50."""
    weights = gauss(d) if d.rng.random() < 0.7 else half_integer(d)
    return _made_singular(d, weights, float(d.rng.choice([0.0, *(2.0**-k for k in range(20, 51, 3))])))


def _made_singular(d: Drawing, weights: Weights, off: float) -> Weights:
    name = next(name for name in ("A", "W", "left", "slope", "a", "n") if name in weights)
    sign = int(d.rng.choice([1, 1, 1, -1]))
    entry = (0,) * weights[name].ndim
    turns = d.rng.random()

    def value(x: float) -> flint.fmpq:
        changed = {**weights, name: weights[name].copy()}
        changed[name][entry] = x
        exact = ExactMap(d.model(changed))
        cell = tuple(turns * 2**i % 1 < 0.5 for i in range(len(exact.matters)))
        jacobian = flint.fmpq_mat([row[1:] for row in exact.piece(cell).tolist()[1:]])
        return (identity(exact.size) * sign - jacobian).det()

    # The determinant is affine in an entry of a matrix.
    first, second = value(1.0), value(2.0)
    if first == second:
        return weights
    root = 1 + first / (first - second)
    changed = {**weights, name: weights[name].copy()}
    changed[name][entry] = int(root.p) / int(root.q) * (1 + off)
    return changed


def cancelling(d: Drawing) -> Weights:
    """A large term that the gates take away again, exactly or nearly; or that is lost in what one gate adds."""
    weights = gauss(d)
    large = float(2.0 ** d.rng.integers(10, 50))
    if "U" in weights and weights["U"].shape[1] > 1:
        U, V = weights["U"], weights["V"]
        U[:, 1] -= large * U[:, 0]
        U[:, 0] *= large
        V[1] = V[0] + V[1] / large
        return weights
    if "alpha" in weights and weights["alpha"].size > 2:
        weights["alpha"][0] += large
        weights["alpha"][1] -= large
        return weights
    first = next(name for name in ("A", "W", "left", "slope", "a", "n") if name in weights)
    weights[first] = weights[first] + large
    for name in ("W", "W1", "right"):
        if name in weights and name != first:
            weights[name] = weights[name] - large * (np.eye(*weights[name].shape) if weights[name].ndim == 2 else 1)
    return weights


def duplicated(d: Drawing) -> Weights:
    """Two hidden units (or states, or thresholds) alike; sometimes they cancel."""
    weights = gauss(d) if d.rng.random() < 0.5 else half_integer(d)
    factor = d.rng.choice([1.0, 1.0, 2.0, -1.0])
    if "W2" in weights and len(weights["h2"]) > 1:
        weights["W2"][1], weights["h2"][1] = factor * weights["W2"][0], factor * weights["h2"][0]
        if d.rng.random() < 0.3:
            weights["W1"][:, 1] = -weights["W1"][:, 0] / abs(factor)
    elif "thresholds" in weights:
        weights["thresholds"][:] = weights["thresholds"][:, :1]
    else:
        for name, values in weights.items():
            if values.ndim and len(values) > 1 and name not in ("left", "right", "V"):
                values[1] = values[0]
    return weights


def dead(d: Drawing) -> Weights:
    """Zero columns and rows: gates that switch nothing, borders that are nowhere."""
    weights = gauss(d) if d.rng.random() < 0.5 else integer(d)
    for name in ("W", "W1", "W2", "U", "alpha", "left"):
        if name in weights and d.rng.random() < 0.6:
            axis = int(d.rng.integers(weights[name].ndim)) if weights[name].ndim else None
            index = d.rng.integers(weights[name].shape[axis]) if axis is not None else ()
            weights[name] = weights[name].copy()
            weights[name][(slice(None),) * (axis or 0) + ((index,) if axis is not None else ())] = 0.0
    return weights


def on_border(d: Drawing) -> Weights:
    """Quarters, and offsets such that a fixed point lies exactly on a border."""
    weights = d.weights(lambda size: d.rng.integers(-8, 9, size=size) / 4.0)
    size = d.model(dict(weights)).num_states
    state = d.rng.integers(-4, 5, size=size) / 2.0
    if "h2" in weights:
        weights["h2"][0] = -weights["W2"][0] @ state
    elif "thresholds" in weights:
        weights["thresholds"][0, 0] = state[0]
    elif d.cls is cx.MeanCenteredPLRNN:
        state[0] = 0.0 if size == 3 else state[0]
        state[1:] = [-state[2], state[2]] if size == 3 else state[0]
    else:
        state[-1 if d.cls is cx.AlmostLinearRNN else 0] = 0.0
    leaf = next((name for name in ("h", "h1", "offset") if name in weights), None)
    if leaf is not None:
        weights[leaf] = np.zeros_like(weights[leaf])
        with jax.enable_x64(True):
            image = np.asarray(d.model(dict(weights))(state))
        weights[leaf] = (state - image).reshape(weights[leaf].shape)
    elif "b" in weights and "W" in weights:  # the first preactivation is 0, the others what they may be
        heights = np.where(np.arange(size) == 0, 0.0, d.rng.integers(-4, 5, size=size) / 2.0)
        slope = float(weights.get("slope", 0.0)) if 0 <= weights.get("slope", 0.0) < 1 else 0.25
        weights["b"] = heights - weights["W"] @ np.where(heights > 0, heights, slope * heights)
    return weights


def mixed_units(d: Drawing) -> Weights:
    """A network of `gauss` in other units of each of its states: powers of two, up to 2^+-20 each."""
    from .transforms import in_units

    weights = gauss(d)
    model = d.model(dict(weights))
    changed = in_units(model, 2.0 ** d.rng.integers(-20, 21, size=model.num_states))
    return weights if changed is None else _weights_of(changed, weights)


def _weights_of(model, weights: Weights) -> Weights:
    return {name: np.asarray(getattr(model, name), float) for name in weights}


def slow(d: Drawing) -> Weights:
    """Integrators: transitions of 1 - 2^-k, or of exactly 1, or -1."""
    weights = gauss(d)
    for name in TRANSITIONS & weights.keys():
        values = d.rng.choice([1.0, -1.0], p=[0.8, 0.2]) * (1 - 2.0 ** -d.rng.integers(8, 54, size=weights[name].shape))
        if name != "slope" or d.cls is cx.TentMap:
            matrix = np.eye(*values.shape) if values.ndim == 2 else 1.0
            weights[name] = values * matrix
    if "W" in weights and d.rng.random() < 0.5:
        weights["W"] = np.triu(weights["W"], 1)
    return weights


def permuting(d: Drawing) -> Weights:
    """Transitions that permute the states, or turn them by a quarter: families of several periods."""
    weights = integer(d) if d.rng.random() < 0.5 else gauss(d)
    for name in ("A", "W", "left"):
        if name in weights and weights[name].ndim == 2:
            size = len(weights[name])
            turned = np.eye(size)[d.rng.permutation(size)] * d.rng.choice([1.0, 1.0, -1.0], size=size)
            weights[name] = turned
            break
        if name in weights:
            weights[name] = d.rng.choice([1.0, -1.0], size=weights[name].shape)
            break
    for name in ("W", "W1", "U"):
        if name in weights and d.rng.random() < 0.6 and "A" in weights:
            weights[name] = weights[name] * (d.rng.random(weights[name].shape) < 0.3)
    if d.cls in (cx.TentMap, cx.SkewTentMap, cx.LoziMap):
        weights = {name: np.asarray(d.rng.choice([-1.0, 0.0, 1.0]), float) for name in weights}
    return weights


def no_bias(d: Drawing) -> Weights:
    """Nothing but products: 0 is a fixed point on many borders, and solutions come as rays."""
    weights = gauss(d) if d.rng.random() < 0.5 else integer(d)
    return {name: values * 0.0 if name in OFFSETS else values for name, values in weights.items()}


def rotating(d: Drawing) -> Weights:
    """Transitions that turn by a rational angle, as well as float64 can; or by integers, exactly."""
    weights = gauss(d)
    name = next((name for name in ("A", "left", "W") if name in weights and weights[name].ndim == 2), None)
    if name is None or len(weights[name]) < 2:
        return integer(d)
    turn = np.eye(len(weights[name]))
    if d.rng.random() < 0.5:
        turn[:2, :2] = [[[0, -1], [1, 0]], [[0, -1], [1, -1]], [[1, -1], [1, 0]]][d.rng.integers(3)]
    else:
        angle = 2 * np.pi * d.rng.integers(1, 4) / d.rng.integers(3, 9)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    weights[name] = turn
    for other in ("W", "W1"):
        if other in weights and other != name and d.rng.random() < 0.6:
            weights[other] = weights[other] * d.rng.integers(0, 2, size=weights[other].shape)
    return weights


STYLES: dict[str, Callable[[Drawing], Weights]] = {
    "gauss": gauss,
    "integer": integer,
    "half-integer": half_integer,
    "huge": huge,
    "tiny": tiny,
    "near-singular": near_singular,
    "cancelling": cancelling,
    "duplicated": duplicated,
    "dead": dead,
    "on a border": on_border,
    "mixed units": mixed_units,
    "slow": slow,
    "permuting": permuting,
    "no bias": no_bias,
    "rotating": rotating,
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with what it was drawn as."""

    number: int
    shape: str
    style: str
    model: cx.AbstractPiecewiseLinearMap

    def code(self) -> str:
        """Give Python that makes the model again, digit by digit."""
        return code_of(self.model)


def code_of(model) -> str:
    """Give Python that makes a model again, digit by digit."""
    parts = [f"{name}={_plain(value)}" for name, value in vars(model).items()]
    return f"cx.{type(model).__name__}({', '.join(parts)})"


def _plain(value):
    return value if isinstance(value, int) else np.asarray(value, float).tolist()


def network(seed: int, number: int, shape: str, style: str) -> Network:
    """Draw network `number` of a run: the same whatever else is drawn."""
    place = (list(SHAPES).index(shape), list(STYLES).index(style))
    drawing = Drawing(shape, np.random.default_rng([seed, number, *place]))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = drawing.model(STYLES[style](drawing))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(model)]
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves), (shape, style, number)
    return Network(number, shape, style, model)


def networks(seed: int, number: int, shapes=tuple(SHAPES), styles=tuple(STYLES)) -> Iterator[Network]:
    """Draw `number` networks, shape by shape, each in all styles in turn."""
    for i, shape in enumerate(shapes):
        for turn in range(number // len(shapes) + (i < number % len(shapes))):
            yield in_turn(seed, turn, shape, styles)


def in_turn(seed: int, turn: int, shape: str, styles=tuple(STYLES)) -> Network:
    """Draw the network of a shape whose turn it is, in the style whose turn it is.

    Every shape begins with another style, so that few networks see all of them, too.
    """
    return network(seed, turn, shape, styles[(list(SHAPES).index(shape) + turn) % len(styles)])
