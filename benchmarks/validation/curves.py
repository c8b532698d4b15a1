"""Bifurcations in closed form: the skew tent map, the border-collision normal form in the plane, and the Lozi map."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from examples.gallery.crisis import crisis
from scipy.optimize import brentq

import cyclax as cx
from benchmarks.validation.rows import Row

# Where curves end, or meet, is found by a root finder along them; points on them are exact but for rounding.
PLACE, POINT = 1e-9, 1e-11
TENT_SOURCE = "a_l^n - 2 a_l + 1 = 0, a_r = -a_l^(1 - n) (Sushko, Gardini 2010)"


def word(letters: str) -> np.ndarray:
    """Give the gates of a word of L and R, `(k, 1)`."""
    return np.array([[letter == "R"] for letter in letters])


def places(curve: cx.Curve, kind: str) -> np.ndarray:
    """Give where special points of a kind are, `(n, 2)`."""
    return np.array([point.place for point in curve.special_points if point.type == kind])


# -- the skew tent map ------------------------------------------------------------------------------------------------


def corner(order: int) -> tuple[float, float]:
    """Give the slopes at which the flip of R L^(n-1) meets its border: a root of a^n - 2 a + 1 other than 1."""
    if order < 3:
        return 0.5, -1.0
    left = brentq(lambda a: np.polyval([1, *[0] * (order - 2), -2, 1], a), 0.4, 1 - 1e-3 * 10.0 ** -(order - 3))
    return left, -(left ** (1 - order))


def existence(left, order: int):
    """Give the right slope at which R L^(n-1) is born, with a point at the border."""
    return -(1 - left ** (order - 1)) / ((1 - left) * left ** (order - 2))


def tent_curve(name: str, order: int) -> cx.Curve:
    """Follow a curve of R L^(n-1) in the window around its corner, begun beside it."""
    place = corner(order)
    left = place[0] - 0.02
    right = -(left ** (1 - order)) if name == "degenerate flip" else existence(left, order)
    window = ((place[0] - 0.1, place[0] + 0.1), (3 * place[1], -0.1))
    model = cx.SkewTentMap(left, right - 1e-3, 1.0)
    return cx.trace(model, word("R" + "L" * (order - 1)), ("left", "right"), event=name, window=window)


def tent() -> list[Row]:
    """Compare the corners of tongues, and how far the curves are from their formulas."""
    found = []
    for order in (3, 4, 5):
        flip, border = (tent_curve(name, order) for name in ("degenerate flip", "border collision"))
        letters = "R" + "L" * (order - 1)
        call = f'cx.trace(tent, {letters}, ("left", "right"), event="degenerate flip")'
        (place,) = places(flip, "border x flip")
        for i, (known, ours) in enumerate(zip(corner(order), place, strict=True)):
            name = f"corner of the tongue of order {order}: {('left', 'right')[i]} slope"
            allowed = PLACE * max(1.0, abs(known))
            found.append(Row(name, known, float(ours), allowed, TENT_SOURCE, f"{call}.special_points"))
        left, right = flip.points.T
        off = float(np.max(np.abs(right * left ** (order - 1.0) + 1)))
        name = f"flip of order {order}: largest of a_r a_l^{order - 1} + 1"
        found.append(Row(name, 0.0, off, POINT, "the multiplier is -1", f"{call}.points"))
        left, right = border.points.T
        off = float(np.max(np.abs(right / existence(left, order) - 1)))
        name, source = f"birth of order {order}: largest relative error of a_r", "a point at 0 comes back"
        call = call.replace("degenerate flip", "border collision")
        found.append(Row(name, 0.0, off, POINT, source, f"{call}.points"))
    return found


# -- the border-collision normal form ---------------------------------------------------------------------------------

TAU = cx.Parameter("tau", set=lambda m, v: dataclasses.replace(m, right=jnp.asarray(m.right).at[0, 0].set(v)))
DELTA = cx.Parameter("delta", set=lambda m, v: dataclasses.replace(m, right=jnp.asarray(m.right).at[1, 0].set(-v)))
NORMAL_FORM = cx.BorderCollisionNormalForm(left=[[0.3, 1.0], [-0.4, 0.0]], right=[[0.0, 1.0], [0.0, 0.0]], h=[1.0, 0.0])
TONGUES = {(p, q): float(2 * np.cos(2 * np.pi * p / q)) for p, q in ((1, 3), (1, 5), (2, 5), (2, 7))}


def of_normal_form(cycle, event: str, start, **arguments) -> cx.Curve:
    """Follow a curve over trace and determinant of the right side."""
    window = ((-3.0, 3.0), (-0.5, 1.6))
    return cx.trace(NORMAL_FORM, cycle, (TAU, DELTA), event=event, window=window, start=start, **arguments)


def normal_form() -> list[Row]:
    """Compare flip, fold and center of the fixed point on the right, and the roots of the tongues."""
    found = []
    for event, start, sign, resonance, place in (
        ("degenerate flip", (-1.5, 0.4), -1, "1:2 resonance", (-2, 1)),
        ("degenerate transcritical", (1.5, 0.4), 1, "1:1 resonance", (2, 1)),
    ):
        curve = of_normal_form(word("R"), event, start)
        call = f'cx.trace(model, R, (tau, delta), event="{event}")'
        off = float(np.max(np.abs(curve.points[:, 0] - sign * (1 + curve.points[:, 1]))))
        name, text = f"{event}: largest error of tau", f"tau = {'-1 - delta' if sign < 0 else '1 + delta'}"
        found.append(Row(name, 0.0, off, POINT, f"{text} (di Bernardo et al. 2008)", f"{call}.points"))
        (ours,) = places(curve, resonance)
        name = f"{event}, where it ends in a {resonance}: distance from {place}"
        found.append(Row(name, 0.0, float(np.max(np.abs(ours - place))), PLACE, "double multiplier", f"{call}.ends"))
    curve = of_normal_form(word("R"), "center", (0.3, 0.9))
    call = 'cx.trace(model, R, (tau, delta), event="center")'
    off = float(np.max(np.abs(curve.points[:, 1] - 1)))
    found.append(Row("center: largest error of delta", 0.0, off, POINT, "delta = 1", f"{call}.points"))
    for (p, q), known in TONGUES.items():
        (point,) = [one for one in curve.special_points if one.type == f"{p}:{q} resonance"]
        source, ours = f"2 cos(2 pi {p}/{q}) (Simpson, Meiss 2008)", float(point.place[0])
        found.append(Row(f"root of the {p}:{q} tongue: tau", known, ours, PLACE, source, f"{call}.special_points"))
    return found


# -- the Lozi map -----------------------------------------------------------------------------------------------------


def lozi() -> list[Row]:
    """Compare fixed points, the 2-cycle, where they are born and flip, and the crisis of the attractor."""
    a, b = 1.7, 0.5
    call = "cx.find_cycles(cx.LoziMap(1.7, 0.5), 2, key=0)"
    found, root = [], np.sqrt(a * a + 4 * b)
    cycles = cx.find_cycles(cx.LoziMap(a, b), 2, key=0)
    left, right = sorted(cycles.of_order(1), key=lambda cycle: cycle.points[0, 0])
    sides = ((left, 1 / (1 - a - b), "1 / (1 - a - b)", 1), (right, 1 / (1 + a - b), "1 / (1 + a - b)", -1))
    for cycle, known, text, sign in sides:
        name = f"(1.7, 0.5), fixed point {'right' if sign < 0 else 'left'}"
        found.append(Row(f"{name}: x", known, float(cycle.points[0, 0]), 1e-13, text, call))
        values = [sign * (a + root) / 2, sign * (a - root) / 2]
        for i, value in enumerate(values):
            text, ours = f"{'-' if sign < 0 else ''}(a {'+-'[i]} sqrt(a^2 + 4 b)) / 2", float(cycle.multipliers[i].real)
            found.append(Row(f"{name}: multiplier {i + 1}", value, ours, 1e-13, text, f"{call}[..].multipliers"))
    known = (1 - b + a) / ((1 - b) ** 2 + a * a)
    ours = float(np.max(cycles.of_order(2)[0].points[:, 0]))
    found.append(Row("(1.7, 0.5), 2-cycle: larger x", known, ours, 1e-13, "(1 - b + a) / ((1 - b)^2 + a^2)", call))
    for letter, event in (("L", "degenerate transcritical"), ("R", "degenerate flip")):
        window = ((0.1, 2.0), (-0.9, 0.9))
        curve = cx.trace(cx.LoziMap(0.9, 0.3), word(letter), ("a", "b"), event=event, window=window)
        off, call = float(np.max(np.abs(np.sum(curve.points, axis=1) - 1))), f'cx.trace(.., event="{event}").points'
        name = f"{event} of the {'left' if letter == 'L' else 'right'} fixed point: largest of a + b - 1"
        found.append(Row(name, 0.0, off, POINT, f"det(I {'-' if letter == 'L' else '+'} J) = 1 - a - b", call))
    for b in (0.3, 0.5):
        name, source = f"crisis of the attractor, b = {b}: a", "2 a + b = 4 (Misiurewicz 1980)"
        found.append(Row(name, 2 - b / 2, crisis(b), 1e-11, source, f"examples.gallery.crisis.crisis({b})"))
    for a, known, text in ((1.74, 0, "attractor"), (1.85, 200, "none")):
        orbits = cx.attractors(cx.LoziMap(a, 0.5), np.random.default_rng(0).uniform(0.05, 0.15, (200, 2)), key=0)
        ours = round(200 * sum(entry.share for entry in orbits.entries if entry.kind == "divergence"))
        name, call = f"b = 0.5, a = {a}: how many of 200 orbits leave", f"cx.attractors(cx.LoziMap({a}, 0.5), ..)"
        found.append(Row(name, known, ours, 0, f"{text}: the crisis is at 1.75", call))
    return found
