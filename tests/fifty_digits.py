"""The formula of every class in 50 digits: mpmath."""

import mpmath
import numpy as np

import cyclax as cx

DIGITS = 50


def exact(value):
    return mpmath.matrix(np.atleast_1d(np.asarray(value, float)).tolist())


class ExactMap:
    """The formula of a model in mpmath: preactivations, and the affine map with gates held."""

    def __init__(self, model):
        get = lambda name: exact(getattr(model, name))  # noqa: E731
        number = model.num_states
        eye = mpmath.eye(number)
        # Every model is A z + B (gates * (C z + c)) + h.
        if isinstance(model, cx.TentMap | cx.SkewTentMap | cx.LoziMap | cx.BorderCollisionNormalForm):
            C = mpmath.zeros(1, number)
            C[0, 0] = 1
            c, B = mpmath.zeros(1, 1), mpmath.zeros(number, 1)
            if isinstance(model, cx.TentMap):
                A, B[0, 0], h = get("slope") * eye, -2 * get("slope")[0], mpmath.ones(1, 1)
            elif isinstance(model, cx.SkewTentMap):
                A, B[0, 0], h = get("left") * eye, get("right")[0] - get("left")[0], get("offset")
            elif isinstance(model, cx.LoziMap):
                a, b = get("a")[0], get("b")[0]
                A, B[0, 0], h = mpmath.matrix([[a, 1], [b, 0]]), -2 * a, mpmath.matrix([1, 0])
            else:
                A, h = get("left"), get("h")
                B = (get("right") - get("left"))[:, 0]
            self.parts = A, B, C, c, h
            return
        if isinstance(model, cx.ReLURNN | cx.LeakyReLURNN):
            slope = get("slope")[0] if isinstance(model, cx.LeakyReLURNN) else mpmath.mpf(0)
            W, b = get("W"), get("b")
            self.parts = slope * W, (1 - slope) * eye, W, b, slope * b
            return
        if isinstance(model, cx.RateRNN | cx.CurrentRNN | cx.RectifiedRNN | cx.LowRankRNN):
            b, none = get("b"), mpmath.zeros(number, 1)
            share = mpmath.diag(np.broadcast_to(model.alpha, number).tolist())
            if isinstance(model, cx.LowRankRNN):
                self.parts = eye - share, share * get("n").T / len(model.b), get("m"), b, none
            elif isinstance(model, cx.RateRNN):
                self.parts = eye - share, share, get("W"), b, none
            elif isinstance(model, cx.CurrentRNN):
                self.parts = eye - share, share * get("W"), eye, none, share * b
            else:
                self.parts = 0 * eye, eye, eye - share + share * get("W"), share * b, none
            return
        A = get("A") if np.ndim(model.A) == 2 else mpmath.diag(np.asarray(model.A).tolist())
        if isinstance(model, cx.PLRNN):
            self.parts = A, get("W"), eye, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.MeanCenteredPLRNN):
            centered = eye - mpmath.ones(number, number) / number
            self.parts = A, get("W"), centered, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.ShallowPLRNN):
            self.parts = A, get("W1"), get("W2"), get("h2"), get("h1")
        elif isinstance(model, cx.ClippedShallowPLRNN):
            W1, W2, hidden = get("W1"), get("W2"), len(model.h2)
            B, C, c = mpmath.zeros(number, 2 * hidden), mpmath.zeros(2 * hidden, number), mpmath.zeros(2 * hidden, 1)
            for i in range(hidden):
                B[:, i], B[:, hidden + i] = W1[:, i], -W1[:, i]
                C[i, :], C[hidden + i, :] = W2[i, :], W2[i, :]
                c[i] = get("h2")[i]
            self.parts = A, B, C, c, get("h1")
        elif isinstance(model, cx.LowRankPLRNN):
            self.parts = A, get("U") * get("V"), eye, mpmath.zeros(number, 1), get("h")
        elif isinstance(model, cx.DendriticPLRNN | cx.ClippedDendriticPLRNN):
            W, alpha, thresholds = get("W"), get("alpha"), get("thresholds")
            bases = len(model.alpha)
            kinks, clipped = number * bases, isinstance(model, cx.ClippedDendriticPLRNN)
            gates = kinks + number * clipped
            B, C, c = mpmath.zeros(number, gates), mpmath.zeros(gates, number), mpmath.zeros(gates, 1)
            for i in range(number):
                for b in range(bases):
                    g = i * bases + b
                    B[:, g], C[g, i], c[g] = alpha[b] * W[:, i], 1, -thresholds[i, b]
                if clipped:
                    B[:, kinks + i], C[kinks + i, i] = -sum(alpha) * W[:, i], 1
            self.parts = A, B, C, c, get("h")
        elif isinstance(model, cx.AlmostLinearRNN):
            W, linear = get("W"), number - model.num_gated
            full = A.copy()
            for j in range(linear):
                full[:, j] += W[:, j]
            self.parts = full, W[:, linear:], eye[linear:, :], mpmath.zeros(model.num_gated, 1), get("h")
        else:
            raise TypeError(type(model))

    def preactivations(self, z):
        _, _, C, c, _ = self.parts
        return C * z + c

    def piece(self, gates):
        """Matrix and offset of the affine map with these gates."""
        A, B, C, c, h = self.parts
        held = B.copy()
        for g, is_open in enumerate(gates):
            if not is_open:
                held[:, g] *= 0
        return A + held * C, held * c + h
