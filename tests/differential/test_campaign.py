"""The campaign: slices add up in one ledger, what is known is not asked again, and what is false is counted."""

import dataclasses
import json

import pytest

from . import campaign, fuzz
from .campaign import PARTS, asked, main, read, run, table
from .judge import Finding
from .networks import SHAPES, in_turn, networks

PARTS_ASKED = ("enumerate_cycles", "certify")


@pytest.mark.usefixtures("exact")
def test_a_slice_goes_on_where_the_last_one_ended(tmp_path, monkeypatch):
    shapes = ("PLRNN 1", "SkewTentMap")
    few = {name: dataclasses.replace(PARTS[name], shapes=shapes, goal=3) for name in PARTS_ASKED}
    monkeypatch.setattr(campaign, "PARTS", few)
    monkeypatch.setattr(campaign, "TOGETHER", 2)
    ledger = tmp_path / "ledger.jsonl"
    run(ledger, 7, seconds=600, parts=PARTS_ASKED, most=3)
    with ledger.open("a") as file:
        file.write('{"part": "enumerate_cy')  # killed while it wrote
    lines = list(read(ledger))
    assert [line["part"] for line in lines] == ["enumerate_cycles", "enumerate_cycles", "certify"]
    run(ledger, 7, seconds=600, parts=PARTS_ASKED)
    lines = list(read(ledger))
    places = [(line["part"], line["number"], line["shape"]) for line in lines]
    assert len(set(places)) == len(places) == 6
    assert {(number, shape) for _, number, shape in places} == {(0, "PLRNN 1"), (1, "PLRNN 1"), (0, "SkewTentMap")}
    assert all(line["verdicts"] and line["calls"] and not line["false"] for line in lines)
    text = table(lines)
    assert f"{sum(line['verdicts'] for line in lines)}" in text.splitlines()[-5]
    assert main([str(ledger), "--minutes", "0"]) == 0


def test_what_is_false_is_in_the_ledger_with_python_for_it(monkeypatch):
    monkeypatch.setattr(fuzz, "judge", lambda *_, **__: [Finding("missing cycle", 1, "on purpose")])
    network = in_turn(7, 0, "SkewTentMap")
    line = json.loads(json.dumps(asked("enumerate_cycles", network, 7)))
    assert line["false"] == line["calls"] == len(line["failures"]) == 4
    assert "cx.SkewTentMap(" in line["failures"][0]
    assert "enumerate_cycles(model" in line["failures"][0]


def test_networks_are_those_of_the_fuzzer():
    assert all(set(part.shapes) <= set(SHAPES) for part in PARTS.values())
    drawn = [one.code() for one in networks(7, 6, ("PLRNN 1", "LoziMap"))]
    assert [in_turn(7, i, shape).code() for shape in ("PLRNN 1", "LoziMap") for i in range(3)] == drawn
