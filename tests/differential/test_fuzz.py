"""What the library says of small networks against what they have in rationals; longer by `python -m`, see fuzz.py."""

import pytest

import cyclax as cx

from .fuzz import run, run_verbs, table, undecided_share
from .networks import SHAPES, STYLES
from .verbs import Said, ask


def failures(tally) -> str:
    return "\n\n".join(map(str, tally.hard[:5]))


def test_a_network_of_every_style():
    tally = run(7, len(STYLES), shapes=("PLRNN 2",), each=2, methods=("Exhaustive", "WordGraph"), searches=False)
    assert tally.counts["PLRNN 2"]["claims"] >= len(STYLES)
    assert not tally.hard, failures(tally)


def test_what_verbs_leave_undecided_is_counted():
    """Of multipliers beyond the largest float64 nothing is certified."""
    ordinary = run_verbs(7, 2, asked=("certify",), shapes=("PLRNN 2",), styles=("gauss", "near-singular"))
    assert sum(row["orders"] for row in (ordinary.counts["gauss"], ordinary.counts["near-singular"])) > 4
    said = ordinary.ordinary["certify"]
    assert (said.undecided, said.verdicts) == undecided_share(ordinary)
    assert said.verdicts == ordinary.counts["gauss"]["orders"] >= 2
    assert f"certify: {said.undecided} of {said.verdicts} verdicts" in table(ordinary)
    said = Said()
    ask(cx.SkewTentMap(left=1e200, right=-1e200, offset=1.0), "certify", 0, said)
    assert 0 < said.undecided < said.verdicts


@pytest.mark.fuzz
def test_all_classes_and_styles():
    tally = run(7, 5 * len(SHAPES), each=2)
    print(table(tally))
    assert min(tally.counts[row]["networks"] for row in (*SHAPES, *STYLES)) >= 5
    left, verdicts = undecided_share(tally)
    assert left < 0.01 * verdicts
    assert not tally.hard, failures(tally)


@pytest.mark.fuzz
def test_all_verbs():
    tally = run_verbs(7, 45, shapes=("ShallowPLRNN 1", "PLRNN 2", "SkewTentMap"))
    print(table(tally))
    left, verdicts = undecided_share(tally)
    assert left < 0.01 * verdicts
    assert not tally.hard, failures(tally)
