"""The same network in other words: every verb says the same of it; longer by `python -m`, see metamorphic.py."""

import pytest

import cyclax as cx

from .metamorphic import ask, run, summary
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


PASSING_ONE = cx.PLRNN(
    A=[-2.4024809078727407, 1.9752790508356808],
    W=[[1.0626611452145356, 0.5030448804911737], [0.14656103757543648, -0.04884762522808969]],
    h=[-1.7621487717375761, -0.670932370212114],
)
BLOCK_AT_AN_END = cx.PLRNN(A=[0.0, 1.0], W=[[1.0, 2.0], [-1.0, -2.0]], h=[0.0, 0.0])
NEAR_ONE = cx.PLRNN(A=[1 + 2.0**-41, -2.5], W=[[3.0, 2.5], [-2.5, 2.5]], h=[-1.25, 1.0])
HUGE = cx.PLRNN(A=[1.3e177, 3.3e177], W=[[5.9e177, 4.6e177], [1.1e177, -5e177]], h=[1.2e176, 2.0e176])
CALM = cx.AlmostLinearRNN(
    A=[905660.60815695, -3915196.6400751686],
    W=[[-0.14353630084802166, 0.5461850361578703], [-0.09851658855862118, 0.5165438944949015]],
    h=[-1.1256068463922893, 2.024873899783608],
    num_gated=1,
)
LANDS_ON_A_REPELLER = cx.PLRNN(A=[1.5, -0.5], W=[[-1.5, -2.0], [-1.5, 0.25]], h=[0.0, -2.25])
LINE_AT_AN_END = cx.PLRNN(A=[1.0, 0.0], W=[[0.0, 2.0], [-2.0, -2.0]], h=[0.0, 0.0])
LINE_ON_A_BORDER = cx.PLRNN(A=[-0.75, 1.0], W=[[0.0, 2.0], [1.0, 2.0]], h=[0.0, 0.0])


@pytest.mark.parametrize(
    ("model", "name", "verb", "seed"),
    [
        pytest.param(PASSING_ONE, "duplicated unit", "compare", [261150, 14, 6], id="copies that cease to part"),
        pytest.param(NEAR_ONE, "units", "enumerate, Exhaustive", [26112751, 4, 0], id="a multiplier near one"),
        pytest.param(
            BLOCK_AT_AN_END, "dead unit", "compare", [26112771, 12, 5], id="a Jordan block where the way begins"
        ),
        pytest.param(LINE_AT_AN_END, "dead unit", "compare", [26112741, 12, 5], id="a line where the way begins"),
        pytest.param(CALM, "duplicated unit", "compare", [26112811, 3, 6], id="a word that is not followed"),
        pytest.param(
            cx.SkewTentMap(left=-1.0, right=1.0, offset=-1.0),
            "other class",
            "compare",
            [26112821, 14, 8],
            id="a flip where the way begins",
        ),
        pytest.param(
            cx.BorderCollisionNormalForm(
                left=[
                    [6.393911429360088e185, 1.2978149305787159e186],
                    [-9.957650391521258e185, -7.653263417427429e185],
                ],
                right=[
                    [-1.5291165315934387e185, 1.2978149305787159e186],
                    [-2.736844396799116e185, -7.653263417427429e185],
                ],
                h=[1.3281487860549483e186, -4.584275365984052e185],
            ),
            "units",
            "compare",
            [26112821, 3, 0],
            id="what runs to infinity in any units",
        ),
        pytest.param(LANDS_ON_A_REPELLER, "translated", "attractors", [26112801, 8, 7], id="a constant piece"),
        pytest.param(HUGE, "duplicated unit", "enumerate, Exhaustive", 0, id="multipliers beyond float64"),
        pytest.param(
            LINE_ON_A_BORDER,
            "several",
            "enumerate, Exhaustive",
            [261150, 23, 9],
            id="a line on the borders of two copies",
        ),
    ],
)
def test_what_is_true_of_one_network_alone(model, name, verb, seed):
    assert ask(model, name, verb, seed) == []


@pytest.mark.fuzz
def test_every_change_and_every_verb():
    styles = ("gauss", "half-integer", "integer", "on a border", "no bias", "slow")
    tally = run(7, 6, shapes=("ShallowPLRNN 1", "PLRNN 2"), styles=styles)
    print(summary(tally))
    assert min(tally.counts[name]["calls"] for name in TRANSFORMS) > 0
    assert not tally.hard, failures(tally)
