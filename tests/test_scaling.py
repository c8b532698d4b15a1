"""The benchmark of scaling counts what it says, and goes on where it was stopped."""

import functools
import itertools
import os

import jax
import numpy as np
import pytest
from benchmarks import reference_numpy
from benchmarks.scaling import dimension, families, orders, page, rates, rates_page, regions, rows, widths
from benchmarks.scaling.published import PUBLISHED_WIDTHS
from benchmarks.search import load_network

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form, state_scale
from cyclax.search.lanes import Fate, Rounds


def _task(name: str, done: list[str]):
    return "part", name, lambda: done.append(name) or {"value": name}


def test_a_stopped_run_goes_on_after_the_last_whole_row(tmp_path):
    path, done = tmp_path / "rows.jsonl", []
    rows.run([_task("one", done), _task("two", done)], path)
    path.write_bytes(path.read_bytes()[:-5])  # the second row was cut off
    assert [row["name"] for row in rows.kept(path)] == ["one"]
    rows.run([_task(name, done) for name in ("one", "two", "three")], path)
    assert done == ["one", "two", "two", "three"]
    assert [row["name"] for row in rows.kept(path)] == ["one", "two", "three"]
    rows.forget(path, ["part"])
    assert rows.kept(path) == []


@pytest.mark.parametrize("target", families.TARGETS)
def test_networks_of_a_family_have_its_mean_largest_eigenvalue(target):
    drawn = [families.family(6, target, draw) for draw in range(20)]
    assert np.mean([achieved for _, achieved in drawn]) == pytest.approx(target)
    for model, achieved in drawn[:2]:  # that of each is a mean over regions of just this model
        words = itertools.product((0, 1), repeat=6)
        largest = [np.abs(np.linalg.eigvals(np.diag(model.A) + model.W * np.array(word))).max() for word in words]
        assert min(largest) <= achieved <= max(largest)
        assert achieved == pytest.approx(np.mean(largest), rel=0.1)


def test_networks_of_one_width_are_drawn_as_they_are_said_to_be():
    drawn = [families.of_width(6, 0.5, draw) for draw in range(40)]
    weights = np.concatenate([model.W[~np.eye(6, dtype=bool)] for model, _ in drawn])
    for some, most in ((weights, 0.5), (np.concatenate([model.A for model, _ in drawn]), 1.0)):
        assert 0.97 * most < np.abs(some).max() < most
        assert np.mean(some) == pytest.approx(0, abs=0.1 * most)
        assert np.var(some) == pytest.approx(most**2 / 3, rel=0.15)
    assert all(np.all(np.diag(model.W) == 0) for model, _ in drawn)
    words = np.array(list(itertools.product((0, 1), repeat=6)))
    model, achieved = drawn[0]
    largest = [np.abs(np.linalg.eigvals(np.diag(model.A) + model.W * word)).max() for word in words]
    assert achieved == pytest.approx(np.mean(largest), rel=0.1)


@pytest.mark.parametrize(("width", "sizes"), widths.SIZES.items())
def test_widths_have_about_the_eigenvalues_that_the_published_families_are_called_by(width, sizes):
    drawn = [families.of_width(M, width, draw)[1] for M in sizes for draw in range(4)]
    assert np.mean(drawn) == pytest.approx(PUBLISHED_WIDTHS[width], rel=0.12)


def test_periods_are_those_of_orbits_that_settle():
    known = [load_network("plrnn_2d_order16"), load_network("plrnn_2d_order40")]
    A, W, h = ([np.asarray(getattr(model, leaf)) for model in known] for leaf in "AWh")
    A += [np.array([0.5, 0.5]), np.array([2.0, 0.5]), np.array([0.0, 0.0])]  # to a point, away, and round
    W += [np.zeros((2, 2)), np.zeros((2, 2)), np.array([[0.0, 1.0], [-2.0, 0.0]])]
    h += [np.ones(2), np.ones(2), np.array([-0.5, 1.0])]
    found = orders.settled(np.array(A), np.array(W), np.array(h))
    for i, period in enumerate(found):
        z = np.zeros(2)
        orbit = [z := A[i] * z + W[i] @ np.maximum(z, 0) + h[i] for _ in range(4100 if i != 3 else 100)][-60:]
        back = [k for k in range(1, 51) if np.allclose(orbit[-1], orbit[-1 - k], rtol=1e-9, atol=0)]
        assert period == (back[0] if back else 0)
    assert found[:4].tolist() == [16, 40, 1, 0]


def test_words_end_at_fixed_points_or_loops():
    model, _ = families.family(5, 1.25, 0)
    A, W, h = (np.asarray(leaf) for leaf in (model.A, model.W, model.h))
    following = {}
    for word in itertools.product((False, True), repeat=5):
        z = np.linalg.solve(np.eye(5) - np.diag(A) - W * np.array(word), h)
        following[word] = tuple((z > 0).tolist())
    left, counts = set(following), [len(following)]
    for _ in range(8):
        left = {following[word] for word in left}
        counts.append(len(left))
    assert regions.distinct_words(A, W, h, 8) == counts
    fixed = {word for word, after in following.items() if word == after}
    assert len(fixed) == len(cx.enumerate_cycles(model, [1], progress=False))
    assert fixed <= left


def test_work_is_counted_up_to_the_complete_set():
    row = dimension.measured(3, 2.33, 1)
    assert row["proved"]
    assert row["cycles"] == row["default_found"] == 2
    assert row["uniform_share"] == row["both_share"] == row["paths_share"] == 1
    assert min(row["uniform_solves"], row["both_solves"]) > row["cycles"]  # a hit takes two solves, or was begun at
    assert row["pieces"] >= row["paths"] >= 1
    for each in ("uniform", "both"):
        assert 1 <= row[f"{each}_first"] < row[f"{each}_solves"]
    assert 1 <= row["pieces_first"] <= row["pieces"]


def test_the_general_reference_finds_what_the_plain_one_does():
    model, _ = families.family(4, 1.33, 1)
    with jax.enable_x64(True):
        form = affine_form(model)
        scale = state_scale(form)
    arrays = [np.asarray(leaf) for leaf in (model.A, model.W, model.h)]
    known = {word_key(cycle.gates) for cycle in cx.enumerate_cycles(model, [1], progress=False)}
    for net in (reference_numpy.Plain(*arrays), reference_numpy.Summed(form)):
        assert reference_numpy.search_map(net, scale, 1, 64).cycles == known


def test_the_page_says_what_the_rows_say(tmp_path):
    pytest.importorskip("matplotlib")
    kinds = itertools.product((*families.TARGETS, None), (0, 1))
    tasks = [("regions", f"{kind}, {draw}", functools.partial(regions.measured, kind, draw)) for kind, draw in kinds]
    tasks += [("dimension", f"{draw}", lambda draw=draw: dimension.measured(2, 1.25, draw)) for draw in (0, 1)]
    tasks += [("widths", "0", lambda: dimension.measured(3, 0.5, 0, families.of_width))]
    tasks += [("trained", "one", lambda: orders.measured([load_network("plrnn_2d_order1")], 1, 5.0))]
    rows.run(tasks, tmp_path / "scaling.jsonl")
    text = page.write(tmp_path).read_text("utf-8")
    of_two = [row for row in rows.kept(tmp_path / "scaling.jsonl") if row["part"] == "dimension"]
    cycles = np.mean([row["cycles"] for row in of_two])
    assert f"| 1.25 | 2 | {np.mean([row['achieved'] for row in of_two]):.2f} | 2 | 0 | 2 | {cycles:.1f} |" in text
    (one,) = (row for row in rows.kept(tmp_path / "scaling.jsonl") if row["part"] == "widths")
    told = f"| 0.5 | 3 | {one['achieved']:.2f} | 1 | 0 | 1 | {one['cycles']:.1f} | {one['uniform_first']} |"
    assert told in text.split("of one width")[1]
    assert "| one | 1 | 1 | 1 | " in text
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "scaling_dimension.png",
        "scaling_regions.png",
        "scaling_widths.png",
    }


def _seen() -> dict:
    return {"seen": len(os.sched_getaffinity(0)), "simulated": jax.device_count()}


def test_rates_are_measured_on_the_cores_and_devices_that_they_name():
    before = os.sched_getaffinity(0)
    row = rates.apart(1, 3, _seen)
    assert row["seen"] == row["cores"] == 1
    assert row["simulated"] == row["devices"] == 3
    assert 10 < row["MiB"] < 10_000
    assert os.sched_getaffinity(0) == before


def test_starts_in_both_precisions_end_as_the_search_says():
    model = cx.LoziMap(1.7, 0.5)
    rng = np.random.default_rng(0)
    z, none = rng.normal(size=(1, 2, 1, 64)), np.zeros((1, 64), np.uint64)
    with numerics():
        models = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model)
        outcome = Rounds(32, 64, 64).run(models, 6, z, none, np.array([64]))
        double, single = (rates.ended(models, 6, z, none, 32, dtype) for dtype in ("float64", "float32"))
    np.testing.assert_array_equal(double, np.where(outcome.fate[0] == Fate.HIT, outcome.word[0], 0))
    assert np.mean(double == single) > 0.8
    assert np.unique(double).size > 4


def test_shares_of_the_machine_are_of_operations_and_bytes():
    machine = {"kind": "machine", "cores": 2, "float64": 1e10, "float32": 4e10, "bytes": 1e9}
    solves = {"kind": "solves", "cores": 2, "M": 10, "dtype": "float64", "rates": {"5": 1000.0}}
    peak, moved = rates_page.shares([machine, solves], 10, 5, "float64", 2)
    # A solve: five products of 10 x 10 and 10 x 11 (the point is a column), each number read and written as 8 bytes.
    assert peak == pytest.approx(1000 * 5 * 2 * 10 * 10 * 11 / 1e10)
    assert moved == pytest.approx(1000 * 5 * 2 * 8 * 100 / 1e9)
    assert np.isnan(rates_page.shares([machine, solves], 10, 6, "float64", 2)[0])


def test_the_page_has_the_rates_of_its_rows(tmp_path):
    pytest.importorskip("matplotlib")

    def task(kind: str, cores: int, row: dict):
        return "rates", f"{kind}, {cores}", lambda: {"kind": kind, "cores": cores, "devices": 1, "MiB": 400, **row}

    tasks = [
        task("machine", cores, {"float64": 5e10 * cores, "float32": 1e11 * cores, "bytes": 1e10}) for cores in (1, 2)
    ]
    tasks += [task(f"cells, {devices}", 2, {"kind": "cells", "devices": devices, "number": 9, "cold_s": 1.0,
                                           "warm_s": 0.5, "rate": 18.0}) for devices in (1, 2)]  # fmt: skip
    kernel = {"M": 30, "dtype": "float64", "lanes": 256, "threads": 1, "compiled_s": 2.0}
    tasks += [task("solves", cores, {**kernel, "rates": {"10": 1e4 * cores}}) for cores in (1, 2)]
    tasks += [task("pieces", cores, {"M": 2, "order": 10, "lanes": 128, "first_s": 3.0, "paths": 9, "rate": 1e5})
              for cores in (1, 2)]  # fmt: skip
    rows.run(tasks, tmp_path / "scaling.jsonl")
    text = page.write(tmp_path).read_text("utf-8")
    assert "| 30 | 10 | 256 | 10,000 | 20,000 | 2 | 11.2 % | 11.2 % | 28.8 % | - | - | 400 | 2 |" in text
    assert "| 2 | 10 | 20 | 128 | 1e+05 | 1e+05 | 1 | 6.4 % | 400 | 3 |" in text
    assert "| cells | 9 | 2 | 2 | 1 | 0.5 | 18 | 400 |" in text
    assert (tmp_path / "scaling_rates.png").stat().st_size > 10_000
