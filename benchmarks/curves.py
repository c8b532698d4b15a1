"""Curves against cycles beside them: `python -m benchmarks.curves [--quick]`. Writes `results/curves.md`.

All curves of some windows are traced, and at random points of theirs, stratified by type, model and order, the network
is moved by 1e-6 of the window along the normal, both ways. What is a cycle there, decided by the library without the
curves, must change as the type of the curve says.
"""

import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from benchmarks import reference_numpy
from cyclax.bifurcations import Arc, Curve
from cyclax.cycles.word import word_key

RESULTS = Path(__file__).resolve().parent / "results"
CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
ACROSS = 1e-6
# Points are no nearer to the ends of their arcs, where other things happen, than this share of the window.
APART = 1e-4


class Given(cx.search.AbstractWordSource):
    """Proposes words that it is given: which of them are cycles is decided by the library."""

    def __init__(self, words):
        self.words = words

    def propose(self, network, order):
        """Give those of one order."""
        some = [word for word in self.words if len(word) == order]
        if some:
            yield np.stack(some)


def windows(quick: bool):
    """Give names, models, axes and orders of maps."""
    A, W, h = reference_numpy.KNOWN
    number = 41 if quick else 101
    plane = cx.PLRNN(A=A, W=W, h=h)
    yield "2-D, order-16 family", plane, {f"A[{i}]": np.linspace(A[i] - 1, A[i] + 1, number) for i in (0, 1)}, 16
    tent = cx.SkewTentMap(0.5, -1.5, 1.0)
    yield "skew tent", tent, {"left": np.linspace(0.1, 0.9, 41), "right": np.linspace(-6, -0.5, 41)}, 5
    lozi = cx.LoziMap(1.7, 0.5)
    yield "Lozi", lozi, {"a": np.linspace(0.2, 2.2, 41), "b": np.linspace(-0.9, 0.9, 41)}, 5
    for name, first, second, order in (
        ("shallow_m2_h10", "A[0]", "W1[0,0]", 4),
        ("almost_linear_2d_order8", "A[0]", "W[1,1]", 4),
    ):
        model = cx.load(CASES / f"{name}.json")
        own = [float(cx.Parameter.parse(p).entry(model)) for p in (first, second)]
        axes = {p: np.linspace(v - 0.4, v + 0.4, 31) for p, v in zip((first, second), own, strict=True)}
        yield name, model, axes, order


def beside(curve: Curve, arc: Arc, i: int, distance: float) -> list[cx.AbstractPiecewiseLinearMap]:
    """Give the models on both sides of a point of an arc."""
    width = np.ptp(curve.window, axis=1)
    way = (arc.points[i + 1] - arc.points[i - 1]) / width
    normal = np.array([-way[1], way[0]]) / np.linalg.norm(way) * width
    stack = curve.models(np.stack([arc.points[i] + side * distance * normal for side in (-1, 1)]))
    return [jax.tree.map(lambda leaf, side=side: leaf[side], stack) for side in (0, 1)]


def judged(curve: Curve, arc: Arc, i: int) -> str | None:
    """Say what is wrong at a point, or None."""
    words = list(arc.words) + ([np.concatenate(arc.words)] if arc.gate is not None else [])
    orders = sorted({len(word) for word in words})
    found = cx.find_cycles(beside(curve, arc, i, ACROSS), orders, key=0, finder=Given(words))
    sides = [{word_key(cycle.gates): cycle for cycle in cycles} for cycles in found]
    there = [[word_key(word) in side for side in sides] for word in words]
    if arc.gate is not None:
        closed, opened, doubled = there
        right = sum(closed) == sum(opened) == 1 and (closed == opened) == (arc.type == "nonsmooth fold")
        right &= sum(doubled) == int(arc.flip)
        return None if right else f"closed {closed}, open {opened}, doubled {doubled}"
    (both,) = there
    key = word_key(words[0])
    if arc.type == "degenerate transcritical":
        if sum(both) != 1:
            return f"it exists {both}"
        side = both.index(True)
        cycles = cx.find_cycles(beside(curve, arc, i, 10 * ACROSS)[side], orders, key=0, finder=Given(words))
        far = [np.max(np.abs(cycle.points)) for cycle in cycles if word_key(cycle.gates) == key]
        near = np.max(np.abs(sides[side][key].points))
        return None if far and 5 < near / far[0] < 20 else f"its size grows from {far} to {near}"
    if not all(both):
        return f"it exists {both}"
    unstable = [int(np.sum(np.abs(side[key].multipliers) > 1)) for side in sides]
    wanted = 2 if arc.type == "center" else 1
    return None if abs(unstable[1] - unstable[0]) == wanted else f"unstable multipliers {unstable}"


def drawn(curves, number: int, rng: np.random.Generator):
    """Draw points of arcs, as many of each stratum (type and order) as there are, while they last."""
    strata = defaultdict(list)
    for curve in curves:
        for arc in curve.arcs:
            share = arc.points / np.ptp(curve.window, axis=1)
            apart = np.minimum(*(np.linalg.norm(share - share[end], axis=1) for end in (0, -1)))
            inside = [i for i in range(1, len(share) - 1) if apart[i] > APART]
            strata[arc.type, arc.order].extend((curve, arc, i) for i in inside)
    each = [[some[j] for j in rng.permutation(len(some))] for some in strata.values() if some]
    turns = (some[turn] for turn in range(max(map(len, each), default=0)) for some in each if turn < len(some))
    return [point for point, _ in zip(turns, range(number), strict=False)]


def main() -> None:
    """Run, print and write."""
    quick = "--quick" in sys.argv
    number = 40 if quick else 520
    lines = ["# Curves of bifurcations", "", f"`python -m benchmarks.curves{' --quick' * quick}`", ""]
    lines += [f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning.", ""]

    def say(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    wrong, checked = 0, Counter()
    for name, model, axes, orders in windows(quick):
        begin = time.perf_counter()
        result = cx.scan(model, axes, orders, key=0, progress=False)
        of_map = time.perf_counter() - begin
        begin = time.perf_counter()
        curves = cx.trace_all(result)
        of_curves = time.perf_counter() - begin
        checks = [curve.check() for curve in curves]
        residual, bad = max(check.residual for check in checks), sum(bool(check.wrong) for check in checks)
        points = sum(len(curve.points) for curve in curves)
        special = sum(len(curve.special_points) for curve in curves)
        say(
            f"- {name}, {' x '.join(map(str, result.shape))}, orders to {orders}: map {of_map:.1f} s, {len(curves)} "
            f"curves, {points} points, {special} special points in {of_curves:.1f} s; largest residual {residual:.1e}, "
            f"{bad} curves that do not check; not followed: {curves.unfollowed or 'none'}"
        )
        for text in (text for check in checks for text in check.wrong):
            say(f"  - WRONG: {text}")
        begin = time.perf_counter()
        mistakes = Counter()
        for curve, arc, i in drawn(curves, number, np.random.default_rng(0)):
            checked[arc.type] += 1
            why = judged(curve, arc, i)
            if why is not None:
                mistakes[arc.type] += 1
                say(f"  - WRONG: {arc!r} at {arc.points[i].tolist()}: {why}")
        wrong += sum(mistakes.values())
        say(f"  - points crossed in {time.perf_counter() - begin:.1f} s, wrong: {dict(mistakes) or 0}")
    say(f"\n{sum(checked.values())} points crossed ({dict(checked)}), {wrong} wrong.")
    if not quick:
        (RESULTS / "curves.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
