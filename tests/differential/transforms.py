"""Changes of a network that change nothing that is true of it: units, permutations, dead and duplicated units.

Each gives the changed model, or None where its class has no such change. All of them are exact in float64: powers of
two, permutations, halves.
"""

import numpy as np

import cyclax as cx

STATE_GATED = (cx.PLRNN, cx.AlmostLinearRNN, cx.LowRankPLRNN)
SHALLOW = (cx.ShallowPLRNN, cx.ClippedShallowPLRNN)
DENDRITIC = (cx.DendriticPLRNN, cx.ClippedDendriticPLRNN)
RELU = (cx.ReLURNN, cx.LeakyReLURNN)


def rebuilt(model, **changes):
    """Make a model of the same class with some weights changed."""
    return type(model)(**{**vars(model), **changes})


def in_units(model, units: np.ndarray):
    """Write the model in other units of its states, z = units * y."""
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
    if isinstance(model, RELU):
        return rebuilt(model, W=model.W * each, b=model.b / S)
    if isinstance(model, cx.SkewTentMap):
        return rebuilt(model, offset=model.offset / S[0])
    if isinstance(model, cx.BorderCollisionNormalForm):
        return rebuilt(model, left=model.left * each, right=model.right * each, h=model.h / S)
    return None
