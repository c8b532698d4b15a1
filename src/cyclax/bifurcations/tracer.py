"""`Tracer`: a curve followed step by step, its special points, and how it goes on beyond them."""

import dataclasses
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from cyclax.bifurcations.classify import plane_group
from cyclax.bifurcations.curve import Arc, CodimensionTwoPoint
from cyclax.bifurcations.event import feigin
from cyclax.bifurcations.singular import Frame, Kind, Look, Singular
from cyclax.cycles.multipliers import composed_multipliers
from cyclax.cycles.orders import divisors
from cyclax.cycles.word import minimal_period
from cyclax.maps.affine import AffineForm, affine_form

# What each kind is called where it meets another, in this order.
_NAMES = {"border collision": "border", "degenerate transcritical": "fold", "degenerate flip": "flip",
          "center": "center"}  # fmt: skip
# Newton's method has converged where its step, in shares of the window, is below the first; where rounding keeps it
# above that, it must be below the second.
CONVERGED, _ACCEPTED = 1e-13, 1e-9
_ITERATIONS = 12
# The tangent turns by less than this (radians) in a step, which is made longer where it turns by a fourth of it.
_TURN = 0.15
# The first step, and the smallest before the curve is given up, in shares of the window.
FIRST, _LEAST = 1e-3, 1e-8
# Special points are located to this share of the window, by so many divisions at most: a third of them are in halves.
_NARROW, _DIVISIONS = 1e-13, 150
# The window is so much wider, that what begins on its edge is inside.
_EDGE = 1e-9
# What changes within so short a way beyond is one point with it.
_TOGETHER = 1e-9
# A cycle has shrunk onto one of lower order where its points agree to this share of their size: Newton's method comes
# no nearer, as the curve has no tangent there.
_COLLAPSED = 1e-4
# An arc ends so far before the place where the cycle shrinks to a point.
_CLEAR = 1e-6
# A multiplier this close to the unit circle does not count as outside: what stays on it must not flicker.
_OUTSIDE = 1e-11
# How far past a corner the signs of the new arc are read off, the shortest that shows them.
_PAST = (1e-7, 1e-6, 1e-5, 1e-4)
# At a shrinking point of a tongue a multiplier is +1, at a corner where the place is known so well.
_AT_ONE = 1e-6
# A height is 0 all along where it is so to this share of the largest.
ZERO = 1e-11
# A height that is 0 all along is not to flicker with its rounding.
_ROUNDING = 1e-13
# Denominators of the rotation numbers that are special points of a center.
_RESONANCES = 8
_TURNS = sorted({Fraction(p, q) for q in range(1, _RESONANCES + 1) for p in range(q // 2 + 1)})
# At its ends, 0 and 1/2, the curve comes back on itself, and meets a fold or a flip: it stops so little before.
_TURNED = np.clip([float(turn) for turn in _TURNS], 1e-6, 0.5 - 1e-6)


class Place(NamedTuple):
    """A point of the curve, and what is watched there."""

    unknowns: np.ndarray
    look: Look
    signs: dict[str, Any]
    gaps: dict[str, Any]  # how far each is from changing


class _Following(NamedTuple):
    """A special point, and how the curve goes on: why it ends there, or "", and else with what and where to."""

    point: CodimensionTwoPoint
    end: str
    test: Singular
    place: Place
    tangent: np.ndarray


class Tracer:
    """One call of `trace`: the parameters, the window and the kind that is followed."""

    def __init__(self, model, parameters, window: np.ndarray, kind: Kind, step: float, most: int):
        self.model, self.parameters, self.window = model, parameters, window
        self.kind: Kind = kind
        self.step, self.most = step, most
        self.bounds: AffineForm = affine_form(model)
        self._groups: dict[int, list[int]] = {}

    def group(self, gate: int) -> list[int]:
        """Give the gates that switch together with one, as they have its plane."""
        if gate not in self._groups:
            self._groups[gate] = plane_group(self.bounds, gate)
        return self._groups[gate]

    def flipped(self, word: np.ndarray, at: tuple[int, int]) -> np.ndarray:
        """Give a word beyond a border: all gates of its plane are flipped."""
        beyond, group = word.copy(), self.group(at[1])
        beyond[at[0], group] = ~beyond[at[0], group]
        return beyond

    def repeats(self, word: np.ndarray) -> bool:
        """Whether a word is that of a cycle of lower order, run through several times."""
        return minimal_period(word & self.bounds.effective) < len(word)

    def watched(self, test: Singular) -> np.ndarray:
        """Give which heights `(k, G)` are watched: of all gates that matter, but of those on the border followed."""
        watched = np.tile(self.bounds.effective, (test.words.shape[1], 1))
        if self.kind == "border collision":
            watched[test.at[0], self.group(test.at[1])] = False
        return watched

    def heights(self, test: Singular, look: Look) -> np.ndarray:
        """Give the heights `(k, G)` of the orbit.

        At a transcritical this is a direction, the sense of which says nothing, and heights that are 0 all along it are
        those of finite coordinates of the cycle: they are put in the sense that the largest height has.
        """
        if self.kind != "degenerate transcritical":
            return look.heights
        sizes = np.where(self.watched(test), np.abs(look.heights), 0.0)
        largest = np.unravel_index(np.argmax(sizes), sizes.shape)
        sense = 1.0 if (look.heights[largest] > 0) == test.words[0][largest] else -1.0
        return np.where(np.abs(look.heights) <= _ROUNDING * np.max(sizes), sense * look.limits, look.heights)

    # -- steps along the curve ----------------------------------------------------------------------------------------

    def followed(self, test: Singular, begin: Place, tangent: np.ndarray):
        """Follow the curve one way. **Returns:** arcs, special points, and why it ends."""
        arcs: list[Arc] = []
        special: list[CodimensionTwoPoint] = []
        place, track, step, first = begin, [begin], FIRST, test.words
        for total in range(self.most):
            new, step = self._stepped(test, place, tangent, step)
            if new is None:
                return [*arcs, self._arc(test, track)], special, "degenerate"
            same = np.array_equal(test.words, first)
            if total > 1 and same and self._passes(test, place, new, begin.unknowns):
                return [*arcs, self._arc(test, [*track, begin])], special, "closed"
            if _differences(place.signs, new.signs):
                low, high, beyond = self._located(test, place, new)
                changed = _differences(low.signs, beyond.signs)
                if "window" in changed:
                    return [*arcs, self._arc(test, [*track, low])], special, "window"
                if not changed:  # and changed back at once
                    place, tangent = beyond, tangent_of(beyond.look, tangent)
                    track.append(beyond)
                    continue
                following = self._passed(test, low, high, beyond)
                special.append(following.point)
                if following.place is not low and following.end:  # it shrinks to a point, which is kept clear of
                    track = [one for one in track if np.linalg.norm(one.unknowns - low.unknowns) > _CLEAR]
                arcs.append(self._arc(test, [*track, following.place if following.end else low]))
                if following.end:
                    return arcs, special, following.end
                test, new, tangent = following.test, following.place, following.tangent
                track, step = [new], FIRST
            else:
                track.append(new)
                tangent = tangent_of(new.look, tangent)
            place = new
        return [*arcs, self._arc(test, track)], special, "steps"

    def _stepped(self, test: Singular, place: Place, tangent: np.ndarray, step: float) -> tuple[Place | None, float]:
        """Take one step, as long as the curve bends little. **Returns:** the place, and the length for the next."""
        while step > _LEAST:
            guess = place.unknowns + step * tangent
            new = self.corrected(test, guess, tangent, place.look.frame)
            if new is not None and np.linalg.norm(new.unknowns - guess) < step / 2:
                bend = float(np.arccos(np.clip(tangent @ tangent_of(new.look, tangent), -1, 1)))
                if bend < _TURN:
                    return new, min(self.step, step * (2 if bend < _TURN / 4 else 1))
            step /= 2
        return None, step

    def corrected(self, test: Singular, guess: np.ndarray, normal: np.ndarray, frame: Frame) -> Place | None:
        """Go to the curve within the plane through `guess` that is perpendicular to `normal`."""
        unknowns, size = guess, np.inf
        for _ in range(_ITERATIONS):
            look = test.look(unknowns, frame)
            system = np.concatenate([look.slope, normal[None]])
            right = np.append(look.value, normal @ (unknowns - guess))
            if not np.all(np.isfinite(system)) or not np.all(np.isfinite(right)) or np.linalg.det(system) == 0:
                return None
            move = np.linalg.solve(system, right)
            before, size = size, float(np.linalg.norm(move))
            if size < CONVERGED or (size < _ACCEPTED and size >= before):
                unknowns = unknowns - move
                return Place(unknowns, look, *self._watch(test, unknowns, look))
            unknowns = unknowns - move
        return None

    def _passes(self, test: Singular, place: Place, new: Place, home: np.ndarray) -> bool:
        """Whether the step from one place to the next passes the place where the curve began."""
        way = new.unknowns - place.unknowns
        share = float(way @ (home - place.unknowns)) / float(way @ way)
        if not 0 <= share <= 1 or np.linalg.norm(home - place.unknowns - share * way) > _TURN * np.linalg.norm(way):
            return False
        there = self.corrected(test, place.unknowns + share * way, way / np.linalg.norm(way), place.look.frame)
        return there is not None and bool(np.linalg.norm(there.unknowns - home) < _ACCEPTED)

    def _located(self, test: Singular, low: Place, high: Place) -> tuple[Place, Place, Place]:
        """Close in on the first change of a sign between two places, by interpolation and bisection.

        **Returns:** the last before, the first after it, and one so little beyond that all that changes up to there is
        one point.
        """
        signs, normal = low.signs, high.unknowns - low.unknowns
        normal = normal / np.linalg.norm(normal)
        weights, before = (1.0, 1.0), None
        for turn in range(_DIVISIONS):
            way = high.unknowns - low.unknowns
            if normal @ way <= _NARROW:
                break
            share = 0.5 if turn % 3 == 2 else _crossing(low, high, weights)
            middle = self.corrected(test, low.unknowns + share * way, normal, low.look.frame)
            if middle is None:
                break
            same = not _differences(signs, middle.signs)
            low, high = (middle, high) if same else (low, middle)
            # The end that stays counts for less, or it would stay for ever (the Illinois rule).
            less = weights[int(same)] / 2 if same == before else 1.0
            weights, before = ((1.0, less) if same else (less, 1.0)), same
        beyond = self.corrected(test, high.unknowns + _TOGETHER * normal, normal, high.look.frame)
        return low, high, high if beyond is None else beyond

    def _watch(self, test: Singular, unknowns: np.ndarray, look: Look) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give all that is watched, and how far each is from changing. Where one changes, there is a special point."""
        share = unknowns[:2]
        inside = np.minimum(share + _EDGE, 1 + _EDGE - share)
        heights = self.heights(test, look)
        signs: dict[str, Any] = {"window": bool(np.all(inside >= 0)), "heights": (heights > 0) & self.watched(test)}
        gaps: dict[str, Any] = {"window": np.min(np.abs(inside)), "heights": np.abs(heights)}
        name, last = ("index", look.left) if self.kind == "degenerate transcritical" else ("infinity", look.orbit)
        signs[name], gaps[name] = bool(last[-1] > 0), abs(last[-1])
        if self.kind == "center":
            beyond = unknowns[2] / (2 * np.pi) - _TURNED
            signs["rotation"], gaps["rotation"] = int(np.sum(beyond > 0)), np.min(np.abs(beyond))
        for i, jacobians in enumerate(look.jacobians):
            bordered = self.kind == "border collision"
            values = composed_multipliers(jacobians if bordered else self._deflated(jacobians, look))
            alone = np.real(values[np.imag(values) == 0])
            for what, outside in (
                ("fold", alone - 1 - _OUTSIDE),
                ("flip", -alone - 1 - _OUTSIDE),
                ("stability", np.abs(values) - 1 - _OUTSIDE),
            ):
                number, key = int(np.sum(outside > 0)), f"{what} of word {i}"
                signs[key] = number if what == "stability" else number % 2
                gaps[key] = np.min(np.abs(outside), initial=np.inf)
        return signs, gaps

    def _deflated(self, jacobians: np.ndarray, look: Look) -> np.ndarray:
        """Give the Jacobians `(k, M', M')` on what is left beside the vectors of the multiplier that is followed.

        Where another multiplier comes to meet it, eigenvalues of P lose half of their digits, and these do not.
        """
        order, size, _ = jacobians.shape
        vectors = look.right[: order * size].reshape(order, size, 1)
        parts = [np.real(vectors), np.imag(vectors)] if self.kind == "center" else [vectors]
        vectors = np.concatenate([part / np.linalg.norm(vectors, axis=1, keepdims=True) for part in parts], axis=2)
        beside = np.linalg.qr(vectors, mode="complete")[0][:, :, len(parts) :]
        return np.swapaxes(np.roll(beside, -1, axis=0), 1, 2) @ jacobians @ beside

    # -- special points -----------------------------------------------------------------------------------------------

    def _passed(self, test: Singular, low: Place, high: Place, beyond: Place) -> "_Following":
        """Name a special point, and say how the curve goes on beyond it."""
        changed = _differences(low.signs, beyond.signs)
        own = _NAMES[self.kind]
        rotation = float(high.unknowns[2] / (2 * np.pi)) if self.kind == "center" else None
        name, end = "", ""
        if "heights" in changed:
            return self._corner(test, low, high, beyond)
        if "rotation" in changed:
            turn = _TURNS[min(low.signs["rotation"], beyond.signs["rotation"])]
            rotation, end = float(turn), "resonance" if turn.denominator <= 2 else ""
            name = f"{turn.numerator or 1}:{turn.denominator} resonance"
        elif "infinity" in changed:
            name = "1:1 resonance" if own == "center" else _meeting({"fold", own}) + " at infinity"
            end = "infinity"
        elif "index" in changed:
            name = "border x fold"
        else:
            met = {name.split()[0] for name in changed} - {"stability"}
            if not met:
                rotation = self._rotation(beyond, changed) if rotation is None else rotation
            same = {"fold": "1:1 resonance", "flip": "1:2 resonance", "center": "two centers"}
            met = met or {"center"}
            name = same[own] if met == {own} else _meeting({own, *met})
        tangent = tangent_of(beyond.look, beyond.unknowns - low.unknowns)
        place = low if end else beyond
        return _Following(self._point(test, name, low, high, rotation), end, test, place, tangent)

    def _point(self, test: Singular, name: str, low: Place, high: Place, rotation: float | None = None):
        bracket = float(np.linalg.norm(high.unknowns - low.unknowns))
        residual = float(max(np.max(np.abs(one.look.value)) for one in (low, high)))
        return CodimensionTwoPoint(name, test.place(high.unknowns), bracket, residual, rotation)

    def _rotation(self, place: Place, changed: list[str]) -> float:
        """Give the share of a turn that the complex multipliers make that pass the unit circle."""
        word = int(next(name for name in changed if name.startswith("stability"))[-1])
        values = composed_multipliers(place.look.jacobians[word])
        passing = np.argmin(np.where(np.imag(values) > 0, np.abs(np.abs(values) - 1), np.inf))
        return float(np.angle(values[passing]) / (2 * np.pi))

    def _corner(self, test: Singular, low: Place, high: Place, beyond: Place) -> "_Following":
        """A point of the cycle meets another border: the curve goes on with the word in which that gate is flipped."""
        changed, own = _differences(low.signs, beyond.signs), _NAMES[self.kind]

        def ends(name: str, why: str) -> _Following:
            return _Following(self._point(test, name, low, high), why, test, low, low.unknowns)

        if self.kind in ("degenerate flip", "center"):
            return ends(_meeting({"border", own}), "border")
        steps, gates = np.nonzero(low.signs["heights"] != beyond.signs["heights"])
        step, group = int(steps[0]), self.group(int(gates[0]))
        if "infinity" in changed:
            return ends("two borders at infinity", "infinity")
        if np.any(steps != step) or not set(gates) <= set(group):
            period = _collapsed_period(low.look, test.words.shape[1])
            if not period:
                return ends("several borders", "degenerate")
            # Where the cycle is a point, the curve has no tangent, and Newton's method half of its digits: less of them
            # are lost where heights, which all vanish there, are followed to 0 from both sides.
            one, other = (place.look.heights[steps, gates] / place.look.orbit[-1] for place in (low, high))
            tip = low.unknowns + np.median(one / (one - other)) * (high.unknowns - low.unknowns)
            high = high._replace(unknowns=tip)
            way = low.unknowns - beyond.unknowns
            way = way / np.linalg.norm(way)
            low = self.corrected(test, low.unknowns + _CLEAR * way, way, low.look.frame) or low
            return ends("collapse", f"order {period}")._replace(place=low)
        words = test.words.copy()
        words[:, step, group] = ~words[:, step, group]
        values = np.concatenate([composed_multipliers(jacobians) for jacobians in low.look.jacobians])
        name = "border x fold at infinity"
        if own == "border":
            name = "shrinking point" if np.min(np.abs(values - 1)) < _AT_ONE else "two borders"
        if any(self.repeats(word) for word in words):
            return ends(name, "rim")
        following = dataclasses.replace(test, words=words)
        frame = following.frame(high.unknowns, high.look.orbit)
        look = following.look(high.unknowns, frame)
        tangent = tangent_of(look)
        wanted = low.signs["heights"].copy()
        wanted[step, group] = ~wanted[step, group]
        for length in _PAST:
            for way in (tangent, -tangent):
                past = self.corrected(following, high.unknowns + length * way, way, frame)
                if past is not None and np.array_equal(past.signs["heights"], wanted & self.watched(following)):
                    own_corner = self.corrected(following, high.unknowns, way, frame)
                    corner = Place(
                        high.unknowns if own_corner is None else own_corner.unknowns, look, past.signs, past.gaps
                    )
                    return _Following(self._point(test, name, low, high), "", following, corner, way)
        return ends(name, "degenerate")

    def _arc(self, test: Singular, track: list[Place]) -> Arc:
        """Write down the places that were passed with one word."""
        track = self._with_middle(test, track)
        unknowns = np.stack([place.unknowns for place in track])
        points, angles = test.place(unknowns), unknowns[:, 2] if self.kind == "center" else np.empty(0)
        if self.kind != "border collision":
            return Arc(self.kind, (test.words[0],), None, None, False, points, angles)
        rule = feigin(*track[len(track) // 2].look.jacobians)
        return Arc(rule.type, tuple(test.words), test.at[1], test.at[0], rule.flips, points, angles)

    def _with_middle(self, test: Singular, track: list[Place]) -> list[Place]:
        """Put a place between two, ends of an arc at which multipliers may be on the unit circle."""
        first, last = track[0].unknowns, track[-1].unknowns
        if len(track) != 2 or not np.any(last - first):
            return track
        way = (last - first) / np.linalg.norm(last - first)
        middle = self.corrected(test, (first + last) / 2, way, track[0].look.frame)
        return track if middle is None else [track[0], middle, track[1]]


def tangent_of(look: Look, along: np.ndarray | None = None) -> np.ndarray:
    """Give the unit vector along the curve, in the direction of another."""
    tangent = np.linalg.svd(look.slope)[2][-1]
    return -tangent if along is not None and tangent @ along < 0 else tangent


def _collapsed_period(look: Look, order: int) -> int:
    """Give the order of the orbit to which the points of a cycle have shrunk, 0 where they have not."""
    points = look.orbit[:-1].reshape(order, -1)
    size = np.max(np.abs(look.orbit))
    near = (p for p in divisors(order)[:-1] if np.max(np.abs(points - np.roll(points, -p, axis=0))) < _COLLAPSED * size)
    return next(near, 0)


def _crossing(low: Place, high: Place, weights: tuple[float, float]) -> float:
    """Say at which share of the way the first of the signs changes, if all change evenly."""
    shares = [0.99]
    for name in _differences(low.signs, high.signs):
        changed = np.asarray(low.signs[name]) != np.asarray(high.signs[name])
        first, last = (
            weight * np.asarray(one.gaps[name])[changed] for one, weight in zip((low, high), weights, strict=True)
        )
        shares.extend((first / (first + last)).tolist())
    share = min(shares)
    return max(share, 0.01) if np.isfinite(share) else 0.5


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name, value in one.items() if not np.array_equal(value, other[name])]


def _meeting(names: set[str]) -> str:
    """Name the point where several kinds meet."""
    return " x ".join(name for name in _NAMES.values() if name in names)
