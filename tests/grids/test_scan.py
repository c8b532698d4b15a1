"""Maps over parameters, against enumeration and closed forms in every cell."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import CASES, case_names

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.core.storage import write_atomically
from cyclax.core.workers import _computed
from cyclax.cycles.seal import upheld
from cyclax.cycles.table import CycleTable
from cyclax.cycles.word import canonical_words
from cyclax.grids import neighbors
from cyclax.grids.cells import GridSearch, Settings, VerifiedTables
from cyclax.grids.grid import ParameterGrid
from cyclax.proofs import enumerate as enumerate_module

TENT = cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)


def three_gates() -> cx.ShallowPLRNN:
    return cx.ShallowPLRNN.random(2, 3, key=jax.random.key(5), gain=3.0)


def missed_and_false(result: cx.BifurcationMap, cells=None, known: dict | None = None) -> tuple[int, int]:
    """Compare cells with enumeration of all words; cells with solutions on borders or families are left out.

    What is enumerated is kept in `known`, for another scan of the same grid.
    """
    known = {} if known is None else known
    missed = false = 0
    for cell in range(result.grid.size) if cells is None else cells:
        place = np.unravel_index(cell, result.shape)
        if result.degenerate[(slice(None), *place)].any():
            continue
        if cell not in known:
            model, orders = result.grid.at(cell), list(result.orders)
            known[cell] = cx.enumerate_cycles(model, orders, method=cx.Exhaustive(), progress=False)
        complete = known[cell]
        if complete.degenerate:
            continue
        here = result.cell(*place)
        for order in result.orders:
            theirs = {c.gates.tobytes(): c for c in complete.of_order(order)}
            mine = {c.gates.tobytes(): c for c in here.of_order(order)}
            missed, false = missed + len(theirs.keys() - mine.keys()), false + len(mine.keys() - theirs.keys())
            for word in theirs.keys() & mine.keys():
                np.testing.assert_allclose(mine[word].points, theirs[word].points, atol=1e-9)
                np.testing.assert_allclose(mine[word].multipliers, theirs[word].multipliers, rtol=1e-7, atol=1e-9)
    return missed, false


@pytest.mark.parametrize(
    ("model", "axes", "orders"),
    [
        (TENT, {"left": np.linspace(-2, 2, 8), "right": np.linspace(-2, 2, 7)}, 6),
        (three_gates(), {"W1[0,0]": np.linspace(-3, 3, 7), "h1[1]": np.linspace(-2, 2, 6)}, 3),
        (cx.BorderCollisionNormalForm(left=[[1.2, 1], [-0.4, 0]], right=[[-1.5, 1], [-0.3, 0]], h=[0.7, 0.0]),
         {"h[0]": np.linspace(-1, 1, 6), "right[0,0]": np.linspace(-2, 1, 6)}, 5),
    ],
    ids=["skew tent", "shallow", "normal form"],
)  # fmt: skip
def test_every_cell_equals_enumeration(model, axes, orders):
    result = cx.scan(model, axes, orders, key=0, orbit_steps=0)
    assert missed_and_false(result) == (0, 0)
    assert result.counts.sum() > result.grid.size // 2
    for order in result.orders:
        assert [len(result.words(order, *place)) for place in np.ndindex(result.shape)] == list(
            result.counts[order - 1].reshape(-1)
        )


def test_neighbors_mend_what_few_starts_miss():
    axes = {"left": np.linspace(1.1, 2.4, 9), "right": np.linspace(-2.4, -1.1, 9)}
    settings = dict(key=1, starts=4, moves=4, orbit_steps=0)
    starved = cx.scan(TENT, axes, 6, heal=False, **settings)
    known = {}
    before = missed_and_false(starved, known=known)
    healed = cx.scan(TENT, axes, 6, **settings)
    assert before[0] > 20
    assert before[1] == 0
    assert missed_and_false(healed, known=known) == (0, 0)
    gained = np.any(healed.counts > starved.counts, axis=0)
    assert healed.report["mended"] <= np.count_nonzero(gained)


def test_what_meets_at_a_border_is_tried_on_both_of_its_sides(monkeypatch):
    """Of the fold of L L R with L R R at right = -2.5, where a 6-cycle begins too, a cell knows but the first word."""
    one = np.array([False, False, True])[:, None]

    def drawn(self, stack, segments, *_):
        cells = np.arange(len(stack.cells))
        return self.check(stack, [(cells, np.tile(one, (len(cells), 1, 1)))] if 3 in segments else [])

    monkeypatch.setattr(GridSearch, "drawn", drawn)
    monkeypatch.setattr(GridSearch, "moved", lambda *_: VerifiedTables({}, {}, {}))
    result = cx.scan(TENT, {"left": [2 / 3], "right": [-2.501, -2.499]}, [3, 6], key=0, orbit_steps=0)
    assert result.counts[:, 0].tolist() == [[2, 0], [1, 0]]
    assert result.words(3, 0, 0)[:, :, 0].tolist() == [[False, False, True], [False, True, True]]
    assert result.words(6, 0, 0)[0, :, 0].tolist() == [False, False, True, False, True, True]


def test_words_are_handed_on_from_corner_to_corner(monkeypatch):
    """The 2-cycle is there where the product of two factors is -1.2: in cells that meet at a corner alone."""

    def drawn(self, stack, segments, *_):
        one = np.flatnonzero(stack.cells == 1)
        return self.check(stack, [(one, np.tile([[[False], [True]]], (len(one), 1, 1)))])

    monkeypatch.setattr(GridSearch, "drawn", drawn)
    monkeypatch.setattr(GridSearch, "moved", lambda *_: VerifiedTables({}, {}, {}))
    first = cx.Parameter("first", set=lambda m, a: cx.SkewTentMap(m.left, a, m.offset))
    second = cx.Parameter("second", set=lambda m, b: cx.SkewTentMap(m.left, b * m.right, m.offset))
    result = cx.scan(TENT, {first: [-1.2, 1.2], second: [-1.0, 1.0]}, 2, key=0, orbit_steps=0)
    assert result.counts[1].tolist() == [[0, 1], [1, 0]]


def test_an_index_sum_unlike_its_neighbors_has_a_cell_searched_again(monkeypatch):
    """The first starts of one cell find nothing, and its neighbors hand nothing over."""
    real = GridSearch.drawn

    def drawn(self, stack, segments, first, number, known):
        checked = real(self, stack, segments, first, number, known)
        if any(map(np.any, first.values())):
            return checked
        return VerifiedTables(
            {k: table.take(np.flatnonzero(table.cell != 1)) for k, table in checked.found.items()}, {}, {}
        )

    monkeypatch.setattr(GridSearch, "drawn", drawn)
    monkeypatch.setattr(neighbors.NeighborSearch, "heal", lambda *_, **__: None)
    result = cx.scan(TENT, {"left": [0.5], "right": [-1.4, -1.3, -1.2]}, 2, key=0, orbit_steps=0, starts=8, cells=8)
    assert result.counts[:, 0].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert result.report["mended"] == 1
    assert result.report["searched_again"] == 3  # on either side of the difference


def test_cycles_that_are_known_are_not_met_again_at_multiples_of_their_orders(monkeypatch):
    """Both fixed points and the 2-cycle, in either rotation; at their own orders starts must still find them."""
    with numerics():
        search = GridSearch(ParameterGrid(TENT, {"right": [-1.5, -1.4]}), jax.random.key(0), Settings(32, 64, 8))
        stack, numbers = search.stack(np.arange(2)), {k: np.full(2, 32) for k in (1, 2, 4)}
        arguments = stack, dict.fromkeys(numbers, 1), dict.fromkeys(numbers, np.zeros(2, int)), numbers
        known, met = search.drawn(*arguments, {}).found, []
        monkeypatch.setattr(GridSearch, "check", lambda _, stack, words, known: met.extend(words))
        periods = []
        for some in ({}, known):
            met.clear()
            search.drawn(*arguments, some)
            periods.append({(words.shape[1], int(p)) for _, words in met for p in canonical_words(words)[0]})
    assert periods[0] == {(1, 1), (2, 1), (2, 2), (4, 1), (4, 2)}
    assert periods[1] == {(1, 1), (2, 2)}


def test_no_chunk_has_more_starts_than_memory_allows(monkeypatch):
    """Chunks are of cells and of starts: 12 million of these stand in no call together, and none is left out."""
    numbers = []

    def drawn(self, stack, segments, first, number, known):
        numbers.append(sum(map(np.sum, number.values())))
        return VerifiedTables({}, {}, {})

    monkeypatch.setattr(GridSearch, "drawn", drawn)
    cx.scan(TENT, {"left": np.linspace(0.1, 0.9, 32), "right": np.linspace(-0.9, -0.1, 32)}, 3, key=0, orbit_steps=0,
            starts=4096, heal=False)  # fmt: skip
    assert sum(numbers) == 32 * 32 * 3 * 4096
    assert max(numbers) < 1_000_000


def test_every_eighth_cell_has_all_starts_every_fourth_a_quarter_and_the_others_a_few(monkeypatch):
    rounds = []

    def drawn(self, stack, segments, first, number, known):
        rounds.append(dict(zip(stack.cells.tolist(), number[1].tolist(), strict=True)))
        return VerifiedTables({}, {}, {})

    monkeypatch.setattr(GridSearch, "drawn", drawn)
    cx.scan(TENT, {"left": np.linspace(0.1, 0.9, 17)}, 1, key=0, orbit_steps=0)
    assert rounds[0] == {0: 64, 4: 16, 8: 64, 12: 16, 16: 64}
    assert rounds[1] == {cell: 4 for cell in range(17) if cell % 4}
    assert len(rounds) == 2


def test_existence_and_stability_in_closed_form():
    """L, R and L^n R: the points of the word solved by hand, their signs looked at, and the product of the slopes."""
    left, right = np.linspace(-2, 2, 21) + 0.013, np.linspace(-2, 2, 21) - 0.007
    result = cx.scan(TENT, {"left": left, "right": right}, 5, key=0, orbit_steps=0)
    stable = np.zeros_like(result.stable_counts)
    for text in ("L", "R", "LR", "LLR", "LLLR", "LLLLR"):
        word = np.array([[letter == "R"] for letter in text])  # the smallest rotation has the open gate last
        for (i, a), (j, b) in itertools.product(enumerate(left), enumerate(right)):
            slopes = [b if letter == "R" else a for letter in text]
            # The first point is that of the geometric sum, and each slope leads to the next.
            offset = 0.0
            for slope in slopes:
                offset = slope * offset + 1
            x = [offset / (1 - np.prod(slopes))]
            for slope in slopes[:-1]:
                x.append(slope * x[-1] + 1)
            exists = all((y > 0) == gate for y, (gate,) in zip(x, word, strict=True))
            found = any(np.array_equal(w, word) for w in result.words(len(text), i, j))
            assert found == exists, (text, a, b)
            stable[len(text) - 1, i, j] += exists and abs(np.prod(slopes)) < 1
    # None of another word is stable here.
    np.testing.assert_array_equal(result.stable_counts, stable)
    assert np.all(np.sum(stable, axis=(1, 2))[:2] > 20)


def test_the_result_does_not_depend_on_chunks():
    axes = {"A[0]": np.linspace(-0.8, 0.8, 5), "W[0,1]": np.linspace(-2, 2, 4)}
    model = cx.PLRNN.random(3, key=jax.random.key(4), gain=2.5)
    one, other = (cx.scan(model, axes, 3, key=0, cells=cells, orbit_steps=50) for cells in (7, 64))
    same(one, other, 1e-12)


def same(one: cx.BifurcationMap, other: cx.BifurcationMap, tolerance: float) -> None:
    for order in one.orders:
        a, b = one.found[order], other.found[order]
        np.testing.assert_array_equal(a.cell, b.cell)
        np.testing.assert_array_equal(a.words, b.words)
        np.testing.assert_allclose(a.points, b.points, rtol=tolerance, atol=tolerance)
    assert one.layers.keys() == other.layers.keys()


def test_layers_tell_chaos_from_periods():
    result = cx.scan(TENT, {"left": [0.5, 1.6], "right": [-3.5, -1.9, -1.0, -0.5]}, 3, key=0, orbit_steps=3000)
    exponent, period = result.layers["exponent"], result.layers["period"]
    # left 0.5, right -3.5: chaotic bands or long periods; -0.5: a fixed point with that multiplier.
    assert period[0, 3] == 1
    assert exponent[0, 3] == pytest.approx(np.log(0.5), abs=1e-6)
    # left 1.6, right -1.9: chaos; its exponent lies between the logarithms of the slopes.
    assert period[1, 1] == 0
    assert np.log(1.6) < exponent[1, 1] < np.log(1.9)
    # left 1.6, right -3.5: all orbits leave.
    assert period[1, 0] == -1
    assert np.isnan(exponent[1, 0])
    assert result.layers["bounded"][1, 0] == 0


def test_orbits_hand_over_the_cycles_on_which_they_settle():
    """Starts that are given up at once find next to nothing; orbits come to what attracts all the same."""
    axes = {"left": [0.4, 0.5, 0.6], "right": np.linspace(-6.1, -1.1, 6)}
    settings: dict[str, Any] = dict(key=0, starts=2, moves=1, heal=False)
    blind = cx.scan(TENT, axes, 5, orbit_steps=0, **settings)
    result = cx.scan(TENT, axes, 5, orbit_steps=500, **settings)
    period = result.layers["period"]
    assert sum(np.any(period == order) for order in (2, 3, 4)) >= 2
    for order in result.orders:
        assert np.all(result.stable_counts[order - 1][period == order] > 0)
    assert np.sum(blind.stable_counts) < np.sum(result.stable_counts)
    # Orders that were not searched are as sure.
    one = cx.scan(TENT, axes, 1, orbit_steps=500, **settings)
    np.testing.assert_array_equal(one.layers["period"], period)


def test_orbits_that_drift_away_have_no_period():
    """z' = z + h without end, beside z' = z, where every point stays."""
    model = cx.SkewTentMap(left=1.0, right=1.0, offset=1.0)
    layers = cx.scan(model, {"offset": [-1.0, 0.0, 1.0]}, 1, key=0, progress=False).layers
    assert layers["period"].tolist() == [0, 1, 0]


def test_periods_of_families():
    """A multiplier of -1: all other orbits have period 2. A pair on the unit circle, a quarter turn: period 4."""
    settings: dict[str, Any] = dict(key=0, orbit_steps=300, starts=8, cells=8)
    result = cx.scan(TENT, {"left": [0.5], "right": [-1.0]}, 1, **settings)
    assert result.layers["period"].tolist() == [[2]]
    # At slopes of 2 each step drops a bit: all orbits end on the fixed point at -1, which does not attract.
    axes = {"left": [2.0], "right": [-2.0], "offset": np.linspace(0.5, 2, 8)}
    period = cx.scan(TENT, axes, 1, **settings).layers["period"]
    assert np.any(period == 0)
    assert np.all(period <= 0)
    model = cx.PLRNN(A=[0.0, 0.0], W=[[0.0, 1.0], [-1.0, 0.0]], h=[0.0, 10.0])  # about (5, 5)
    assert cx.scan(model, {"h[1]": [10.0]}, 1, **settings).layers["period"].tolist() == [4]


@pytest.mark.parametrize(
    ("left", "right", "period"),
    [(0.5, -0.9995, 1), (0.5, -1.0, 2), (0.5, -1.9995, 2), (0.25, -3.9999, 2), (0.5, 0.0, 1)],
)
def test_slow_cycles_give_their_cells_period_and_exponent(left, right, period):
    """Of 2,000 steps little is left to see; at slope -0.9995 a third of the way is still to go."""
    result = cx.scan(cx.SkewTentMap(left, 0.0, 1.0), {"right": [right]}, 2, key=0)
    assert result.layers["period"].tolist() == [period]
    multiplier = right if right > -1 else right**2 if right == -1 else left * right
    (exponent,) = result.layers["exponent"]
    if right == 0:
        assert exponent < -600
    else:
        # Beside the fixed point at -1 are 2-cycles; their second iterate has multiplier 1.
        assert exponent == pytest.approx(np.log(abs(multiplier)) / period, rel=1e-9, abs=1e-15)
    assert result.layers["bounded"].tolist() == [1]


def test_slow_foci_give_their_cells_period_and_exponent():
    """Multipliers r exp(+-0.3 i): orbits come back near to themselves after 21 steps, and do not repeat."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    moved = cx.Parameter("r", set=lambda m, r: cx.PLRNN(r * turn, np.zeros((2, 2)), np.array([1.0, 0.5])))
    radius = np.array([0.999, 0.9999, 1 - 1e-7, 1.0])
    result = cx.scan(cx.PLRNN(turn, np.zeros((2, 2)), [1.0, 0.5]), {moved: radius}, 1, key=0)
    assert result.layers["period"].tolist() == [1, 1, 1, 0]
    np.testing.assert_allclose(result.layers["exponent"], np.log(radius), rtol=1e-7, atol=1e-15)
    assert result.stable_counts[0, :3].tolist() == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.skipif("plrnn_2d_order16" not in case_names(), reason="needs ../shared/cases")
def test_the_narrow_tongue_is_not_lost():
    model = cx.load(CASES / "plrnn_2d_order16.json")
    values = [np.linspace(a - 0.05, a + 0.05, 11) for a in model.A]
    result = cx.scan(model, {"A[0]": values[0], "A[1]": values[1]}, [16], key=0, orbit_steps=0)
    assert result.counts[0, 5, 5] == 2
    for i, j in np.ndindex(result.shape):
        one = cx.enumerate_cycles(result.grid.at(11 * i + j), [16], budget=20.0, progress=False)
        if one.report["orders"]["16"]["verdict"] == "proved complete":
            assert one.counts[16] == result.counts[0, i, j], (i, j)


def test_proved_cells():
    result = cx.scan(TENT, {"right": np.linspace(-2.2, -0.3, 4)}, 4, key=0, exact=True, orbit_steps=0)
    assert result.layers["proved"].all()
    cell = result.cell(0)
    assert cell.report["orders"]["3"]["verdict"] == "proved complete"
    assert upheld(cell, 0, cell.provenance["model"]) is cell.report  # sealed, as `certify` demands
    plain = cx.scan(TENT, {"right": np.linspace(-2.2, -0.3, 4)}, 4, key=0, orbit_steps=0)
    assert plain.cell(0).report["orders"]["3"]["verdict"] == "unknown"
    for order in result.orders:
        np.testing.assert_array_equal(result.found[order].words, plain.found[order].words)


def test_ctrl_c_keeps_the_proofs_that_are_done(monkeypatch):
    real, right = enumerate_module.enumerate_cycles, np.linspace(-2.2, -0.3, 20)

    def interrupted(model, *arguments, **settings):
        if model.right >= right[16]:  # the first cell of the second lot
            raise KeyboardInterrupt
        return real(model, *arguments, **settings)

    monkeypatch.setattr(enumerate_module, "enumerate_cycles", interrupted)
    result = cx.scan(TENT, {"right": right}, 1, key=0, exact=True, orbit_steps=0)
    assert "while cells were proved" in result.report["interrupted"]
    assert np.flatnonzero(result.layers["proved"]).tolist() == list(range(16))


def test_a_solution_on_a_border_is_marked_and_not_counted():
    result = cx.scan(cx.PLRNN(A=[0.5], W=[[-1.0]], h=[0.0]), {"h[0]": [-1.0, 0.0, 1.0]}, 1, key=0, orbit_steps=0)
    assert result.counts[0].tolist() == [1, 0, 1]
    assert result.degenerate[0].tolist() == [False, True, False]


def test_file(tmp_path):
    result = cx.scan(TENT, {"left": [0.3, 0.5], cx.Parameter("right", offset=True): [-1.0, 0.0]}, 3, key=0)
    result.save(tmp_path / "map.npz")
    again = cx.BifurcationMap.load(tmp_path / "map.npz")
    same(result, again, 0)
    assert repr(again) == repr(result)
    assert again.grid.names == result.grid.names
    assert again.cell(1, 1).counts == result.cell(1, 1).counts
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="no bifurcation map"):
        cx.BifurcationMap.load(tmp_path / "other.npz")
    function = cx.Parameter("both", set=lambda m, a: cx.SkewTentMap(a, -a, 1.0))
    with pytest.raises(TypeError, match="cannot be written"):
        cx.scan(TENT, {function: [0.5]}, 1, key=0, orbit_steps=0).save(tmp_path / "map.npz")


def test_numpy_ints_go_into_files(tmp_path):
    eight = np.int64(8)
    sizes: dict[str, Any] = dict(starts=eight, moves=np.int32(8), cells=eight, orbit_steps=eight, longest_period=eight)
    result = cx.scan(TENT, {"left": [0.3, 0.5]}, np.int64(2), key=0, store=tmp_path / "store", **sizes)
    result.save(tmp_path / "map.npz")
    same(cx.BifurcationMap.load(tmp_path / "map.npz"), result, 0)


def test_places_outside_the_grid():
    result = cx.scan(TENT, {"left": [0.3, 0.5]}, 1, key=0, orbit_steps=0)
    assert result.values(-1) == {"left": 0.5}
    moved = cx.scan(TENT, {cx.Parameter("left", offset=True): [-0.2, 0.0]}, 1, key=0, orbit_steps=0)
    assert moved.values(0) == {"offset of left": -0.2}
    assert "offset of left (2 values, -0.2 to 0)" in repr(moved)
    with pytest.raises(IndexError, match="left has 2 values"):
        result.cell(2)
    with pytest.raises(TypeError, match=r"the number of a value of left: expected an int, got 0\.2"):
        result.cell(0.2)
    with pytest.raises(IndexError, match="has 1 axes"):
        result.cell(0, 0)
    with pytest.raises(ValueError, match="order: 2 was not searched; the orders of this scan are 1"):
        result.words(2, 0)


@pytest.mark.parametrize(
    "settings", [dict(starts=0), dict(moves=0.5), dict(cells=0), dict(longest_period=0), dict(orbit_steps=-1)]
)
def test_bad_settings_name_themselves(settings):
    with pytest.raises(TypeError if settings == {"moves": 0.5} else ValueError, match=next(iter(settings))):
        cx.scan(TENT, {"left": [0.5]}, 1, key=0, **settings)


# -- the store --------------------------------------------------------------------------------------------------------

AXES = {"left": np.linspace(-2, 2, 6), "right": np.linspace(-2, 2, 7)}


def small_scan(**arguments) -> cx.BifurcationMap:
    return cx.scan(TENT, AXES, 4, key=0, cells=8, starts=8, orbit_steps=20, **arguments)


def test_a_store_is_gone_on_with(tmp_path, monkeypatch):
    whole = small_scan()
    same(small_scan(store=tmp_path / "a"), whole, 0)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "scan-0000000.npz" in files
    # Any part of it may be missing: what comes out is the same to the last bit.
    for drop in (slice(2, None), slice(0, 3), slice(1, None, 2)):
        for name in [name for name in files if name.endswith(".npz")][drop]:
            (tmp_path / "a" / name).unlink()
        same(small_scan(store=tmp_path / "a"), whole, 0)
    # And what is there is not computed again.
    for verb in ("drawn", "moved", "check"):
        monkeypatch.setattr(GridSearch, verb, None)
    same(small_scan(store=tmp_path / "a"), whole, 0)


def test_another_configuration_is_refused(tmp_path):
    small_scan(store=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"another configuration .*orders"):
        cx.scan(TENT, AXES, 3, key=0, cells=8, starts=8, orbit_steps=20, store=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_function_of_the_same_name_is_another_configuration(tmp_path):
    def scanned(by):
        slope = cx.Parameter("slope", set=lambda m, a: cx.SkewTentMap(by * a, m.right, m.offset))
        return cx.scan(TENT, {slope: [0.3, 0.5]}, 1, key=0, orbit_steps=0, store=tmp_path)

    same(scanned(1.0), scanned(1.0), 0)
    with pytest.raises(ValueError, match=r"another configuration .*models made by functions"):
        scanned(2.0)


def test_a_damaged_chunk_names_itself(tmp_path):
    small_scan(store=tmp_path)
    damaged = tmp_path / "scan-0000002.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"scan-0000002.npz.*Delete it"):
        small_scan(store=tmp_path)
    damaged.unlink()
    same(small_scan(store=tmp_path), small_scan(), 0)


def test_a_full_disk_leaves_the_store_whole(tmp_path, monkeypatch):
    real, calls = np.savez, itertools.count()

    def full(stream, **arrays):
        if next(calls) >= 3:
            stream.write(b"half a file")
            raise OSError(28, "No space left on device")
        real(stream, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left on device"):
        small_scan(store=tmp_path)
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    assert list(tmp_path.glob("*.npz"))
    same(small_scan(store=tmp_path), small_scan(), 0)


def test_threads_that_write_leave_the_umask_alone(tmp_path, monkeypatch):
    """It is of the whole process: two threads that set it and set it back at once would leave it at 0."""
    (tmp_path / "plain").write_text("")
    monkeypatch.setattr(os, "umask", None)
    write_atomically(tmp_path / "file", lambda stream: stream.write(b"x"))
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "plain"]


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is not a folder"):
        small_scan(store=tmp_path / "file")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="holds other files"):
        small_scan(store=tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "scan.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        small_scan(store=tmp_path / "b")


def test_ctrl_c_keeps_the_cells_that_are_done(monkeypatch):
    real = GridSearch.drawn
    calls = itertools.count()

    def interrupted(*arguments):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(GridSearch, "drawn", interrupted)
    result = small_scan()
    assert "interrupted by Ctrl-C" in result.report["interrupted"]
    assert 0 < np.count_nonzero(result.searched) < result.grid.size
    assert "interrupted" in repr(result)
    assert f"{np.count_nonzero(result.searched) / result.report['seconds']:.3g} cells per second" in repr(result)
    calls = itertools.count(2)
    nothing = repr(small_scan())
    assert " 0 cells per second" in nothing
    assert "none of order" not in nothing
    monkeypatch.undo()
    done = result.searched.reshape(result.shape)
    assert np.all(result.counts[:, done] <= small_scan().counts[:, done])
    assert np.any(result.counts[:, done])


# -- many devices ------------------------------------------------------------------------------------------------------


class Device:
    """Stands for a device."""

    platform = "cpu"


def spread_over(monkeypatch, mine, threads: int, devices: list) -> tuple[dict[int, Device], int]:
    """Run items that do nothing; give the device of each, and how many ran at once."""
    placed, busy, most, lock = {}, 0, 0, threading.Lock()
    local = threading.local()

    @contextlib.contextmanager
    def default_device(device):
        local.device = device
        yield

    def work(item):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)
        with lock:
            busy -= 1
            placed[item] = local.device
        return {}

    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    monkeypatch.setattr(jax, "default_device", default_device)
    list(_computed(work, range(100), mine, threads, "scan", None, False))
    return placed, most


def test_every_device_has_its_share_whatever_the_processes(monkeypatch):
    devices = [Device() for _ in range(4)]
    placed, most = spread_over(monkeypatch, range(0, 24, 2), 2, devices)  # the first of two processes
    assert sorted(placed) == list(range(0, 24, 2))
    assert [list(placed.values()).count(device) for device in devices] == [3] * 4
    assert most <= 4


def test_one_thread_stays_one_thread_on_many_cpu_devices(monkeypatch):
    """Two threads in LAPACK at once wait for each other forever (jaxlib 0.10.2), on whichever CPU devices."""
    _, most = spread_over(monkeypatch, range(8), 1, [Device() for _ in range(4)])
    assert most == 1


# -- other machines ---------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, jax
{setup}
import numpy as np, cyclax as cx
tent = cx.SkewTentMap(left=0.5, right=-1.5, offset=1.0)
axes = dict(left=np.linspace(-2, 2, 6), right=np.linspace(-2, 2, 7))
result = cx.scan(tent, axes, 4, key=0, cells=8, starts=8, orbit_steps=20{arguments})
{check}
result.save(sys.argv[1])
"""


def run(path: Path, setup: str = "", arguments: str = "", check: str = "") -> subprocess.Popen:
    program = PROGRAM.format(setup=setup, arguments=arguments, check=check)
    return subprocess.Popen([sys.executable, "-c", program, str(path)], stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_four_devices(tmp_path):
    setup = "jax.config.update('jax_num_cpu_devices', 4)"
    finished(run(tmp_path / "map.npz", setup, check="assert len(jax.devices()) == 4"))
    same(cx.BifurcationMap.load(tmp_path / "map.npz"), small_scan(), 1e-12)


@pytest.mark.slow
def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    setup = "jax.distributed.initialize('127.0.0.1:{port}', 2, {i})"
    both = [
        run(tmp_path / f"{i}.npz", setup.format(port=port, i=i), check="assert jax.process_count() == 2")
        for i in range(2)
    ]
    for process in both:
        finished(process)
    for i in range(2):
        same(cx.BifurcationMap.load(tmp_path / f"{i}.npz"), small_scan(), 1e-12)


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(tmp_path):
    """kill -9 at 20 random moments of a scan that keeps its chunks; it ends as if it had never been killed."""
    rng, store = np.random.default_rng(0), tmp_path / "store"
    arguments = f", store={str(store)!r}"
    killed = 0
    for _ in range(40):
        process = run(tmp_path / "map.npz", arguments=arguments)
        # Moments are counted in files: a clock would fall before or after it all, as fast as the machine is.
        begun = len(list(store.glob("*")))
        enough = begun + int(rng.integers(0, 5)) if begun else 1
        while process.poll() is None and len(list(store.glob("*"))) < enough:
            time.sleep(0.001)
        time.sleep(float(rng.exponential(0.01)))
        if process.poll() is None:
            process.kill()
            killed += 1
        process.communicate()
        for path in store.glob("scan.json"):
            json.loads(path.read_text())
        if process.returncode == 0:  # begin again
            for path in store.iterdir():
                path.unlink()
        if killed == 20:
            break
    assert killed == 20
    finished(run(tmp_path / "map.npz", arguments=arguments))
    same(cx.BifurcationMap.load(tmp_path / "map.npz"), small_scan(), 0)


def test_tables_are_sorted():
    result = small_scan()
    for table in result.found.values():
        assert isinstance(table, CycleTable)
        assert np.all(np.diff(table.cell) >= 0)


def test_a_slow_spiral_is_not_taken_for_a_cycle():
    """Multipliers 0.99214 exp(+-0.606 i): 10 steps are nearly one turn, and 2,000 steps leave 1e-7 of the beginning."""
    W = [[0.0, -0.6436], [0.5297, 0.0]]
    model = cx.PLRNN(A=[0.952, 0.6789], W=W, h=[0.3732, -0.9758])
    (point,) = cx.find_cycles(model, 1, key=0)
    assert 0.98 < abs(point.multipliers[0]) < 0.999
    result = cx.scan(model, {"A[0]": np.linspace(0.93, 0.97, 9), "A[1]": np.linspace(0.66, 0.7, 9)}, 12, key=0)
    period, stable = result.layers["period"], result.stable_counts
    for order in result.orders:
        assert np.all(stable[order - 1][period == order] > 0)
    assert set(np.unique(period)) <= {0, 1}


def test_cells_mark_families_that_repeat_the_word_of_a_solution_on_a_border():
    """z_1' = -z_1: all states with z_2 = 0 are on 2-cycles around 0, which is on the border."""
    model = cx.PLRNN(A=[-1.0, -1.0], W=[[0.0, 0.0], [0.0, 1.0]], h=[0.0, 0.0])
    scanned = cx.scan(model, {cx.Parameter("A", 1): [-1.1, -1.0, -0.9]}, 2, key=0, starts=16, orbit_steps=0)
    for i in range(3):
        listed = [any(entry.order == order for entry in scanned.cell(i).degenerate) for order in (1, 2)]
        assert listed == scanned.degenerate[:, i].tolist()
    assert scanned.degenerate[1].any()
