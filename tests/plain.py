"""The maps written out once more in plain NumPy, one state at a time: references that share no code with cyclax."""

import itertools

import numpy as np

import cyclax as cx


def plain_map(model):
    """Give F as a function of one NumPy state."""
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    if isinstance(model, cx.TentMap):
        return lambda z: 1 - model.slope * np.abs(z)
    if isinstance(model, cx.SkewTentMap):
        return lambda z: (model.right if z[0] > 0 else model.left) * z + model.offset
    if isinstance(model, cx.LoziMap):
        return lambda z: np.array([1 - model.a * abs(z[0]) + z[1], model.b * z[0]])
    if isinstance(model, cx.BorderCollisionNormalForm):
        return lambda z: (model.right if z[0] > 0 else model.left) @ z + model.h
    if isinstance(model, cx.ReLURNN):
        return lambda z: relu(model.W @ z + model.b)
    if isinstance(model, cx.LeakyReLURNN):
        return lambda z: np.array([y if y > 0 else model.slope * y for y in model.W @ z + model.b])
    if isinstance(model, cx.RateRNN):
        return lambda z: (1 - model.alpha) * z + model.alpha * relu(model.W @ z + model.b)
    if isinstance(model, cx.CurrentRNN):
        return lambda z: (1 - model.alpha) * z + model.alpha * (model.W @ relu(z) + model.b)
    if isinstance(model, cx.RectifiedRNN):
        return lambda z: relu((1 - model.alpha) * z + model.alpha * (model.W @ z + model.b))
    if isinstance(model, cx.LowRankRNN):
        number = len(model.b)
        return lambda z: (1 - model.alpha) * z + model.alpha * model.n.T @ relu(model.m @ z + model.b) / number
    A = np.diag(model.A) if model.A.ndim == 1 else model.A
    if isinstance(model, cx.PLRNN):
        return lambda z: A @ z + model.W @ relu(z) + model.h
    if isinstance(model, cx.MeanCenteredPLRNN):
        return lambda z: A @ z + model.W @ relu(z - z.mean()) + model.h
    if isinstance(model, cx.ShallowPLRNN):
        return lambda z: A @ z + model.W1 @ relu(model.W2 @ z + model.h2) + model.h1
    if isinstance(model, cx.ClippedShallowPLRNN):
        return lambda z: A @ z + model.W1 @ (relu(model.W2 @ z + model.h2) - relu(model.W2 @ z)) + model.h1
    if isinstance(model, cx.AlmostLinearRNN):
        linear = len(model.h) - model.num_gated
        return lambda z: A @ z + model.W @ np.concatenate([z[:linear], relu(z[linear:])]) + model.h
    if isinstance(model, cx.LowRankPLRNN):
        return lambda z: A @ z + model.U @ model.V @ relu(z) + model.h
    if isinstance(model, cx.DendriticPLRNN | cx.ClippedDendriticPLRNN):
        clip = relu if isinstance(model, cx.ClippedDendriticPLRNN) else np.zeros_like

        def basis(z):
            kinks = zip(model.alpha, model.thresholds.T, strict=True)
            return sum(weight * (relu(z - threshold) - clip(z)) for weight, threshold in kinks)

        return lambda z: A @ z + model.W @ basis(z) + model.h
    raise TypeError(type(model))


def plain_pieces(model):
    """Give a function of one state: its preactivations, their gradients `(G, M)` and the Jacobian of F there."""
    number = model.num_states
    eye, zero = np.eye(number), np.zeros(number)

    # Every model is A z + B (gates * (C z + c)) + something constant.
    if isinstance(model, cx.ReLURNN | cx.LeakyReLURNN):
        slope = float(getattr(model, "slope", 0.0))
        A, B, C, c = slope * model.W, (1 - slope) * eye, model.W, model.b
    elif isinstance(model, cx.RateRNN | cx.CurrentRNN | cx.RectifiedRNN | cx.LowRankRNN):
        A, B, C, c = _leaky_pieces(model, eye)
    else:
        A = np.diag(model.A) if model.A.ndim == 1 else model.A
        if isinstance(model, cx.PLRNN):
            B, C, c = model.W, eye, zero
        elif isinstance(model, cx.LowRankPLRNN):
            B, C, c = model.U @ model.V, eye, zero
        elif isinstance(model, cx.MeanCenteredPLRNN):
            B, C, c = model.W, eye - 1 / number, zero
        elif isinstance(model, cx.ShallowPLRNN):
            B, C, c = model.W1, model.W2, model.h2
        elif isinstance(model, cx.ClippedShallowPLRNN):
            B, C = np.hstack([model.W1, -model.W1]), np.vstack([model.W2, model.W2])
            c = np.concatenate([model.h2, 0 * model.h2])
        elif isinstance(model, cx.AlmostLinearRNN):
            linear = number - model.num_gated
            A = A + np.hstack([model.W[:, :linear], np.zeros((number, model.num_gated))])
            B, C, c = model.W[:, linear:], eye[linear:], zero[linear:]
        elif isinstance(model, cx.DendriticPLRNN | cx.ClippedDendriticPLRNN):
            bases = len(model.alpha)
            B = np.hstack([model.W[:, [i]] * model.alpha for i in range(number)])
            C, c = np.repeat(eye, bases, axis=0), -model.thresholds.ravel()
            if isinstance(model, cx.ClippedDendriticPLRNN):
                B, C = np.hstack([B, -model.W * model.alpha.sum()]), np.vstack([C, eye])
                c = np.concatenate([c, zero])
        else:
            raise TypeError(type(model))

    def pieces(z):
        preactivations = C @ z + c
        return preactivations, C, A + (B * (preactivations > 0)) @ C

    return pieces


def plrnn_cycles(model: cx.PLRNN, order: int) -> list[np.ndarray]:
    """Enumerate all 2^(k M) words of a PLRNN; give the points `(k, M)` of each cycle of minimal period k, once."""
    A = np.diag(model.A) if model.A.ndim == 1 else model.A
    num_states = len(model.h)
    step = plain_map(model)
    found = []
    for bits in itertools.product([False, True], repeat=order * num_states):
        word = np.array(bits).reshape(order, num_states)
        P, q = np.eye(num_states), np.zeros(num_states)
        for gates in word:
            J = A + model.W * gates
            P, q = J @ P, J @ q + model.h
        z = np.linalg.solve(np.eye(num_states) - P, q)
        points = [z]
        for _ in range(order - 1):
            points.append(step(points[-1]))
        points = np.array(points)
        if np.any((points > 0) != word):
            continue
        if any(np.allclose(points, np.roll(points, -p, axis=0)) for p in range(1, order)):
            continue
        if not any(np.allclose(np.roll(points, -p, axis=0), old) for old in found for p in range(order)):
            found.append(points)
    return found


def same_cycles(cycles, points_list) -> bool:
    """Whether two lists hold the same cycles, whatever the order and rotation."""

    def matches(cycle, points):
        return any(np.allclose(np.roll(points, -p, axis=0), cycle.points, atol=1e-9) for p in range(cycle.order))

    return len(cycles) == len(points_list) and all(any(matches(c, p) for c in cycles) for p in points_list)


def _leaky_pieces(model, eye):
    share = np.broadcast_to(model.alpha, len(eye))[:, None]
    kept = (1 - share) * eye
    if isinstance(model, cx.RateRNN):
        return kept, share * eye, model.W, model.b
    if isinstance(model, cx.CurrentRNN):
        return kept, share * model.W, eye, 0 * model.b
    if isinstance(model, cx.RectifiedRNN):
        return 0 * eye, eye, kept + share * model.W, share[:, 0] * model.b
    return kept, model.alpha / len(model.b) * model.n.T, model.m, model.b
