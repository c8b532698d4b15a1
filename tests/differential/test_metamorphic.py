"""The same network in other words: every verb says the same of it; longer by `python -m`, see metamorphic.py."""

import pytest

from .metamorphic import run, summary
from .transforms import TRANSFORMS


def failures(tally) -> str:
    return "\n\n".join(map(str, tally.hard[:5]))


def test_units_and_permutations_of_a_few_networks():
    tally = run(
        1,
        3,
        verbs=("enumerate, Exhaustive", "certify"),
        shapes=("PLRNN 2",),
        styles=("gauss", "half-integer", "no bias"),
        transforms=("units", "offsets up", "offsets down", "states permuted"),
    )
    assert tally.counts["units"]["calls"] == 6
    assert not tally.hard, failures(tally)


@pytest.mark.fuzz
def test_every_change_and_every_verb():
    styles = ("gauss", "half-integer", "integer", "on a border", "no bias", "slow")
    tally = run(7, 6, shapes=("ShallowPLRNN 1", "PLRNN 2"), styles=styles)
    print(summary(tally))
    assert min(tally.counts[name]["calls"] for name in TRANSFORMS) > 0
    assert not tally.hard, failures(tally)
