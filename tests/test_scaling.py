"""The benchmark of scaling counts what it says, and goes on where it was stopped."""

import itertools

import jax
import numpy as np
import pytest
from benchmarks import reference_numpy
from benchmarks.scaling import dimension, families, page, regions, rows

import cyclax as cx
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form, state_scale


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
    row = dimension.measured(3, 2.33, 0)
    assert row["proved"]
    assert row["cycles"] == row["default_found"] > 0
    assert row["uniform_share"] == row["both_share"] == row["paths_share"] == 1
    assert min(row["uniform_solves"], row["both_solves"]) > row["cycles"]  # a hit takes two solves, or was begun at
    assert row["pieces"] >= row["paths"] >= 1


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
    tasks = [("regions", f"{target}", lambda t=target: regions.measured(t, 0)) for target in families.TARGETS]
    tasks += [("regions", f"{target} too", lambda t=target: regions.measured(t, 1)) for target in families.TARGETS]
    tasks += [("dimension", f"{draw}", lambda draw=draw: dimension.measured(2, 1.25, draw)) for draw in (0, 1)]
    rows.run(tasks, tmp_path / "scaling.jsonl")
    text = page.write(tmp_path).read_text("utf-8")
    of_two = [row for row in rows.kept(tmp_path / "scaling.jsonl") if row["part"] == "dimension"]
    cycles = np.mean([row["cycles"] for row in of_two])
    assert f"| 1.25 | 2 | {np.mean([row['achieved'] for row in of_two]):.2f} | 2 | 0 | 2 | {cycles:.1f} |" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"scaling_dimension.png", "scaling_regions.png"}
