"""Events between two models, against closed forms, plain enumeration and simulation."""

import itertools
import json

import jax
import mpmath
import numpy as np
import pytest
from conftest import CASES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cyclax as cx
from cyclax.bifurcations.compare import compare, compare_pairs
from cyclax.bifurcations.event import Event, feigin
from cyclax.cycles.word import canonical_rotation, minimal_period, word_key

Tent = cx.SkewTentMap


def word(text: str) -> np.ndarray:
    """One gate: L is closed, R open. More gates: steps apart by spaces, as 0 and 1."""
    if set(text) <= set("LR"):
        return np.array([[letter == "R"] for letter in text])
    return np.array([[digit == "1" for digit in step] for step in text.split()])


def letters(gates: np.ndarray) -> str:
    turned = np.roll(gates, -canonical_rotation(gates), axis=0)
    return "".join("R" if gate else "L" for gate in turned[:, 0])


def enumerated(model, orders) -> cx.Cycles:
    return cx.enumerate_cycles(model, orders, method=cx.Exhaustive(), progress=False)


def between(a, b, s):
    return jax.tree.map(lambda x, y: (1 - s) * x + s * y, a, b)


def events_of(a, b, orders) -> tuple[Event, ...]:
    return compare(a, b, enumerated(a, orders), enumerated(b, orders))


def types(events) -> list[str]:
    return [event.type for event in events]


# The plain reference in one dimension: every word solved by the formula of the geometric sum.

PRIMITIVE = {
    order: [
        gates
        for gates in (np.array(some)[:, None] for some in itertools.product([False, True], repeat=order))
        if minimal_period(gates) == order and canonical_rotation(gates) == 0
    ]
    for order in range(1, 6)
}


def tent_point(gates, left, right, offset):
    """First point of the cycle with this word."""
    slope, shift = 1, 0
    for (gate,) in gates:
        a = right if gate else left
        slope, shift = a * slope, a * shift + offset
    return shift / (1 - slope)


def tent_margin(gates, left, right, offset):
    """The smallest signed distance of a point to the border: positive where the word is a cycle."""
    x, margins = tent_point(gates, left, right, offset), []
    for (gate,) in gates:
        margins.append(x if gate else -x)
        x = (right if gate else left) * x + offset
    return min(margins)


def tent_words(model, orders) -> set[str]:
    parameters = float(model.left), float(model.right), float(model.offset)
    return {
        letters(gates) for k in range(1, orders + 1) for gates in PRIMITIVE[k] if tent_margin(gates, *parameters) > 0
    }


def sides_of(event):
    """The words that an event is about, and where they are cycles."""
    flip = [(event.flip.word, event.flip.side)] if event.flip else []
    return [*zip(event.words, event.sides, strict=True), *flip]


def predicted(events, before, after, key, s) -> bool | None:
    """Whether the events say that a word is a cycle at s; None where they say nothing of it."""
    mine = [
        (e.at, side) for e in events for w, side in sides_of(e) if word_key(w) == key and side in ("before", "after")
    ]
    if not mine:
        return True if key in before and key in after else None
    past = [side for at, side in mine if at <= s]
    return past[-1] == "after" if past else mine[0][1] == "before"


def check_all(events, before, after, exists, places):
    """Each event is true just before and after it, and what goes on between them does so; ends agree."""
    assert "unexplained" not in types(events), [str(event) for event in events]
    near = 1e-6
    for event in events:
        if any(1e-12 < abs(event.at - other.at) < 3 * near for other in events) or not near < event.at < 1 - near:
            continue
        for gates, side in sides_of(event):
            assert exists(gates, event.at - near) == (side in ("before", "both")), (str(event), str(gates))
            assert exists(gates, event.at + near) == (side in ("after", "both")), (str(event), str(gates))
    words = {word_key(gates): gates for event in events for gates, _ in sides_of(event)}
    for s in places:
        for key, gates in words.items():
            if predicted(events, before, after, key, s) and all(abs(event.at - s) > near for event in events):
                assert exists(gates, s), (gates, s, [str(event) for event in events])
    for end, keys in ((0.0, before), (1.0, after)):
        assert all(predicted(events, before, after, key, end) for key in keys), [str(event) for event in events]


slopes = st.floats(-2.5, 2.5).map(lambda x: round(x, 4))


@given(a=st.tuples(slopes, slopes), b=st.tuples(slopes, slopes), offsets=st.sampled_from([(1, 1), (-1, 1), (0.5, -2)]))
@settings(max_examples=40)
def test_one_dimension_against_the_closed_form(a, b, offsets):
    """At any place of the way, exactly those words are cycles that the events say."""
    first, last = Tent(*a, offsets[0]), Tent(*b, offsets[1])
    assume(a[0] != a[1] or b[0] != b[1])  # else the gate never matters
    for left, right in (a, b):
        assume(all(abs(np.prod(np.where(g[:, 0], right, left)) - 1) > 1e-6 for k in range(1, 5) for g in PRIMITIVE[k]))
    ends = [tent_words(model, 4) for model in (first, last)]
    assume(
        all(
            abs(tent_margin(g, *p)) > 1e-6
            for p in ((*a, offsets[0]), (*b, offsets[1]))
            for k in (1, 2, 3, 4)
            for g in PRIMITIVE[k]
        )
    )
    events = compare(first, last, *([word(text) for text in sorted(end)] for end in ends), orders=range(1, 5))
    before, after = ({word_key(word(text)) for text in end} for end in ends)

    def exists(gates, s):
        model = between(first, last, s)
        return bool(tent_margin(gates, float(model.left), float(model.right), float(model.offset)) > 0)

    check_all(events, before, after, exists, np.linspace(0.0137, 0.9871, 23))


@pytest.mark.parametrize("left", [0.3, -0.4, 0.8, 0.55])
def test_degenerate_flip_line_carries_both_events(left):
    events = events_of(Tent(left, -0.9, 1.0), Tent(left, -1.2, 1.0), 2)
    assert types(events) == ["degenerate flip"] * 2
    assert np.allclose([event.at for event in events], 1 / 3, rtol=0, atol=1e-14)
    assert sorted(event.order for event in events) == [1, 2]
    fixed, double = sorted(events, key=lambda event: event.order)
    assert letters(fixed.words[0]) == "R"
    assert fixed.sides == ("both",)
    assert fixed.gate is None
    assert letters(double.words[0]) == "LR"
    assert double.sides[0] == "after"
    assert double.change == "continues"
    assert abs(fixed.multipliers[0][0] + 1) < 1e-12
    # The same from the other side.
    back = events_of(Tent(left, -1.2, 1.0), Tent(left, -0.9, 1.0), 2)
    assert types(back) == ["degenerate flip"] * 2
    assert sorted(event.sides[0] for event in back) == ["before", "both"]


@pytest.mark.parametrize(
    ("first", "last", "text", "at"), [((1.5, 0.5), (0.5, 0.5), "L", 0.5), ((0.5, 2.0), (0.5, 0.8), "R", 5 / 6)]
)
def test_fixed_points_that_run_to_infinity(first, last, text, at):
    """L at 1 / (1 - left) needs left > 1; R at 1 / (1 - right) needs right < 1."""
    (event,) = events_of(Tent(*first, 1.0), Tent(*last, 1.0), 1)
    assert event.type == "degenerate transcritical"
    assert letters(event.words[0]) == text
    assert abs(event.at - at) < 1e-14
    assert event.change == ("disappears" if text == "L" else "appears")
    assert event.sides == (("before",) if text == "L" else ("after",))
    assert abs(event.multipliers[0][0] - 1) < 1e-12


def planar_family(a_l: float) -> cx.PLRNN:
    return cx.PLRNN(A=[[a_l, 0.8], [-0.4, 0.2]], W=[[-1.5 - a_l, 0], [0.9, 0]], h=[0.214, 0])


def test_degenerate_transcritical_of_a_two_cycle():
    """With (z_1 < 0, z_1 > 0) the product has a multiplier 1 where det(I - P) = 0 is 41/85 + a_l = 0."""
    events = events_of(planar_family(-0.5), planar_family(0.5), 2)
    (event,) = [event for event in events if event.type == "degenerate transcritical"]
    assert event.order == 2
    assert abs(event.at - 0.5 - -41 / 85) < 1e-13  # a_l = s - 1/2
    assert sorted(event.words[0][:, 0]) == [False, True]
    closed, opened = np.array([[-41 / 85, 0.8], [-0.4, 0.2]]), np.array([[-1.5, 0.8], [0.5, 0.2]])
    assert abs(np.linalg.det(np.eye(2) - opened @ closed)) < 1e-14
    assert event.change == "appears"
    assert len(events) == 1


def brute_collision(a, b):
    """Which of L, R, LR exist before and after, for x' = a x + mu (x <= 0), b x + mu (x > 0), mu from -1 to 1."""
    return [{w for w in ("L", "R", "LR") if tent_margin(word(w), a, b, mu) > 0} for mu in (-1.0, 1.0)]


@pytest.mark.parametrize(
    ("a", "b"), [(a, b) for a in (-3, -1.4, -0.6, -0.3, 0.4, 0.7, 1.3, 3.5) for b in (-2.7, -1.2, -0.8, 0.2, 0.6, 1.7)]
)
def test_all_cases_of_one_dimension(a, b):
    before, after = brute_collision(a, b)
    events = events_of(Tent(a, b, -1.0), Tent(a, b, 1.0), 2)
    (event,) = events
    assert abs(event.at - 0.5) < 1e-15
    assert event.order == 1
    sides = {w: "before" if w in before else "after" for w in before | after}
    assert {letters(w): side for w, side in zip(event.words, event.sides, strict=True)} == {w: sides[w] for w in "LR"}
    assert event.type == ("nonsmooth fold" if sides["L"] == sides["R"] else "persistence")
    assert (event.flip.side if event.flip else None) == sides.get("LR")
    # What is simulated: with a stable cycle there, orbits from near 0 come to it.
    for mu, side in ((-1.0, "before"), (1.0, "after")):
        stable = [w for w, slope in (("L", a), ("R", b), ("LR", a * b)) if abs(slope) < 1 and sides.get(w) == side]
        x = 1e-3
        for _ in range(3000):
            x = np.clip((a if x <= 0 else b) * x + mu, -1e6, 1e6)
        if stable and abs(x) < 1e6:
            y = x
            for _ in stable[0]:
                x = (a if x <= 0 else b) * x + mu
            assert abs(x - y) < 1e-9


entries = st.floats(-2, 2).map(lambda x: round(x, 3))


@given(left=st.tuples(entries, entries), right=st.tuples(entries, entries), shift=st.tuples(entries, entries))
@settings(max_examples=40)
def test_planar_border_collisions(left, right, shift):
    """Feigin's rule against enumeration on both sides of mu = 0, to order 2."""

    def model(mu):
        J = [np.array([[trace, 1.0], [-det, 0.0]]) for trace, det in (left, right)]
        return cx.BorderCollisionNormalForm(left=J[0], right=J[1], h=mu * np.array([1 + shift[0] ** 2, shift[1]]))

    # w' (I - J) with the first row of the adjugate gives the common test function: it must not vanish.
    assume(left != right)
    assume(abs(1 + shift[0] ** 2 + shift[1]) > 0.05)
    products = [np.array([[t, 1.0], [-d, 0.0]]) for t, d in (left, right)]
    for P in (*products, products[1] @ products[0]):
        assume(min(abs(np.abs(np.linalg.eigvals(P)) - 1)) > 1e-3)
    ends = [enumerated(model(mu), 2) for mu in (-1.0, 1.0)]
    keys = [{word_key(cycle.gates) for cycle in end} for end in ends]
    events = compare(model(-1.0), model(1.0), *ends)
    assert "unexplained" not in types(events)
    (event,) = [event for event in events if event.order == 1]
    assert len(events) == 1
    assert abs(event.at - 0.5) < 1e-14
    for gates, side in zip(event.words, event.sides, strict=True):
        assert [word_key(gates) in some for some in keys] == [side == "before", side == "after"]
    assert event.type == ("nonsmooth fold" if event.sides[0] == event.sides[1] else "persistence")
    double = word_key(word("LR"))
    where = [double in some for some in keys]
    assert (event.flip is not None) == any(where)
    if event.flip is not None:
        assert where == [event.flip.side == "before", event.flip.side == "after"]
        assert word_key(event.flip.word) == double
    counts = [sum(np.sum((v.imag == 0) & (sign * v.real > 1)) for v in event.multipliers) for sign in (1, -1)]
    assert (counts[0] % 2 == 1) == (event.type == "nonsmooth fold")
    assert (counts[1] % 2 == 1) == (event.flip is not None)


@pytest.mark.parametrize("seed", range(12))
def test_two_networks_at_any_place_between(seed):
    """Random 2-D networks: what the events say at places between is what enumeration finds there."""
    a, b = (cx.PLRNN.random(2, key=jax.random.key(2 * seed + i), gain=1.8) for i in (0, 1))
    first, last = enumerated(a, 2), enumerated(b, 2)
    before, after = ({word_key(cycle.gates) for cycle in end} for end in (first, last))

    def exists(gates, s):
        return word_key(gates) in {word_key(cycle.gates) for cycle in enumerated(between(a, b, s), [len(gates)])}

    check_all(compare(a, b, first, last), before, after, exists, np.linspace(0.07, 0.91, 4))


def test_center_curve():
    """A[0] A[1] - W[0,1] W[1,0] = 1 in the region where both gates are open."""
    W, h = [[0, -0.64375], [0.52505308, 0]], [0.37298253, -0.97931491]
    A0 = 0.8377689
    on = (1 + W[0][1] * W[1][0]) / A0
    a, b = (cx.PLRNN(A=[A0, on + d], W=W, h=h) for d in (-0.05, 0.1))
    (event,) = events_of(a, b, 1)
    assert event.type == "center"
    assert event.sides == ("both",)
    assert letters(event.words[0]) == "R"
    assert abs(event.at - 1 / 3) < 1e-13
    assert all(abs(abs(values[0]) - 1) < 1e-13 and values[0].imag > 0 for values in event.multipliers)


def test_two_events_of_one_cycle_in_their_order():
    """R flips at right = -1, then crosses the border as the offset does at 0: the same walked from both ends."""
    first, last = Tent(0.5, -0.9, 1.0), Tent(0.5, -1.1, -0.25)
    events = events_of(first, last, 1)
    assert types(events) == ["degenerate flip", "persistence"]
    assert np.allclose([event.at for event in events], [0.5, 0.8], rtol=0, atol=1e-14)
    back = events_of(last, first, 1)
    assert types(back) == ["persistence", "degenerate flip"]
    assert np.allclose([event.at for event in back], [0.2, 0.5], rtol=0, atol=1e-14)
    assert [event.sides for event in back] == [("before", "after"), ("both",)]


def test_an_event_met_from_several_sides_is_one():
    """R flips on its way to a fold with L; whoever comes back from the fold along R meets the flip again."""
    events = events_of(Tent(2.32, -0.49, 1.0), Tent(1.73, -1.88, -1.0), 2)
    assert types(events) == ["degenerate flip", "degenerate flip", "nonsmooth fold"]
    assert [event.order for event in events] == [1, 2, 1]
    assert abs(events[0].at - 0.51 / 1.39) < 1e-14
    assert events[2].flip is not None
    assert events[2].flip.side == "before"  # what the flip of R has brought forth ends there


def test_a_word_of_both_ends_that_leaves_and_comes_back():
    """LR is at both ends; that the collision at 1/2 brings it forth says that it had gone before."""
    events = events_of(Tent(-1.5, 0.0, -1.0), Tent(0.0, -2.5, 1.0), 2)
    assert types(events) == ["degenerate flip", "degenerate flip", "persistence"]
    assert [event.order for event in events] == [1, 2, 1]
    assert letters(events[1].words[0]) == "LR"
    assert events[1].sides[0] == "before"
    assert abs(events[1].at - 1 / 3) < 1e-14


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_multiplier_one_with_and_without_a_solution(offset):
    """Without an offset along the eigenvector there is a line of fixed points; with one they run to infinity."""

    def model(a):
        return cx.AlmostLinearRNN(A=[a, 0.5], W=[[0.0, 0.0], [0.0, -0.3]], h=[offset, 1.0], num_gated=1)

    (event,) = events_of(model(0.5), model(1.25), 1)
    assert event.type == ("degenerate transcritical" if offset else "family")
    assert abs(event.at - 2 / 3) < 1e-14
    assert event.sides == ("both",)  # no border stands in the way: it comes back from the other side


@pytest.mark.parametrize("turned", [False, True])
def test_a_family_at_an_end_of_the_way_is_called_one(turned):
    """At one end a line of fixed points ((t, 0), t < 0), of which one is left beside it, at t = -0.216 / 0.25."""
    W = [[0.0, 2.0], [-2.0, -2.0]]
    models = cx.PLRNN([1.0, 0.0], W, [0.0, 0.0]), cx.PLRNN([1.25, 0.0], W, [0.216, -0.2167])
    (event,) = events_of(*(models[::-1] if turned else models), 1)
    assert (event.type, event.sides) == ("family", ("before",) if turned else ("after",))
    assert abs(event.at - float(turned)) < 1e-15


def test_identical_models():
    cycles = enumerated(planar_family(0.3), 3)
    assert compare(planar_family(0.3), planar_family(0.3), cycles, cycles) == ()


@pytest.mark.parametrize("missing", ["before", "after"])
def test_a_cycle_that_was_missed(missing):
    first, last = Tent(0.4, -1.9, 1.0), Tent(0.45, -1.95, 1.0)
    full = [[cycle.gates for cycle in enumerated(model, 2)] for model in (first, last)]
    assert len(full[0]) == len(full[1]) == 2
    dropped = [list(words) for words in full]
    dropped[missing == "after"] = [gates for gates in dropped[missing == "after"] if len(gates) == 1]
    (event,) = compare(first, last, *dropped)
    assert event.type == "unexplained"
    assert event.missing == missing
    assert letters(event.words[0]) == "LR"
    assert event.at == float(missing == "after")
    assert "not on the list" in event.reason
    # And beyond an event: the partner of a fold.
    fold = compare(Tent(0.5, 2.0, -1.0), Tent(0.5, 2.0, 1.0), [word("L")], [])
    assert types(fold) == ["unexplained", "nonsmooth fold"]
    assert letters(fold[0].words[0]) == "R"
    assert fold[0].missing == "before"


def test_a_word_that_is_no_cycle():
    (event,) = compare(Tent(0.4, -0.5, 1.0), Tent(0.4, -0.4, 1.0), [word("R"), word("L")], [word("R")])
    assert event.type == "unexplained"
    assert event.missing is None
    assert "no cycle" in event.reason


def test_orders_that_were_not_searched_are_left_out():
    first, last = Tent(0.3, -0.8, 1.0), Tent(0.3, -1.3, 1.0)
    assert types(compare(first, last, enumerated(first, 1), enumerated(last, 4))) == ["degenerate flip"]
    collision = compare(Tent(0.5, -1.5, -1.0), Tent(0.5, -1.5, 1.0), [word("L")], [word("R")])
    assert types(collision) == ["persistence"]
    assert collision[0].flip is not None


def doubled(left, right, offset, mirrored):
    """The skew tent map as a shallow network with two gates of one plane."""
    sign = -1.0 if mirrored else 1.0
    jump = right - left
    # relu(-x) = relu(x) - x
    A = left + (jump / 2 if mirrored else 0.0)
    return cx.ShallowPLRNN(A=[A], W1=[[jump / 2, jump / 2]], W2=[[1.0], [sign]], h1=[offset], h2=[0.0, 0.0])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("a", "b"), [(0.5, -1.5), (0.5, 2.0), (0.5, -0.5)])
def test_gates_with_one_plane_count_as_one(a, b, mirrored):
    plain = events_of(Tent(a, b, -1.0), Tent(a, b, 1.0), 2)
    twin = events_of(doubled(a, b, -1.0, mirrored), doubled(a, b, 1.0, mirrored), 2)
    assert types(plain) == types(twin)
    assert len(plain) == 1
    assert plain[0].sides == twin[0].sides
    assert [e.flip and e.flip.side for e in plain] == [e.flip and e.flip.side for e in twin]


def test_gates_that_cancel_are_no_event():
    def model(offset):
        return cx.ShallowPLRNN(A=[0.5], W1=[[0.7, -0.7]], W2=[[1.0], [1.0]], h1=[offset], h2=[0.0, 0.0])

    assert events_of(model(-1.0), model(1.0), 2) == ()


def test_gates_that_matter_at_one_end_only():
    """W[0, 0] = 0 at s = 0: there the gate switches nothing, and may stand in a word as it likes."""
    first, last = (cx.PLRNN(A=[0.5], W=[[w]], h=[1.0]) for w in (0.0, -0.3))
    assert compare(first, last, [word("L")], [word("R")]) == ()


def test_several_borders_at_once_are_codimension_two():
    first, last = (cx.PLRNN(A=[0.5, 0.4], W=[[0.0, 0.3], [-0.2, 0.0]], h=[mu, mu]) for mu in (-1.0, 1.0))
    events = events_of(first, last, 1)
    assert set(types(events)) == {"border collision"}
    assert all("codimension two" in event.reason for event in events)


@pytest.mark.parametrize("n", [12, 19, 30])
def test_long_expanding_words(n):
    """L^n R with multipliers up to 1e8, located as 60 digits have it."""
    mpmath.mp.dps = 60
    text = "L" * n + "R"
    low, high = mpmath.mpf("-1.05"), mpmath.mpf("-60")

    def margin(right):
        return tent_margin(word(text), mpmath.mpf("1.6"), right, mpmath.mpf(1))

    assert margin(low) < 0 < margin(high)
    for _ in range(180):
        middle = (low + high) / 2
        low, high = (low, middle) if margin(middle) > 0 else (middle, high)
    right = float(high)
    first, last = Tent(1.6, right + 0.01, 1.0), Tent(1.6, right - 0.03, 1.0)
    events = compare(first, last, [], [word(text)])
    fold = [event for event in events if event.order == n + 1]
    assert "nonsmooth fold" in types(fold)
    (event,) = [event for event in fold if event.type == "nonsmooth fold"]
    expected = (float(first.right) - high) / (mpmath.mpf(float(first.right)) - float(last.right))
    assert abs(event.at - float(expected)) < 1e-12
    mpmath.mp.dps = 15


def test_many_pairs_are_as_one_by_one():
    rng = np.random.default_rng(0)
    pairs = [tuple(Tent(*rng.uniform(-2, 2, 2), rng.choice([-1.0, 1.0])) for _ in (0, 1)) for _ in range(25)]
    ends = [[[word(text) for text in sorted(tent_words(pair[i], 4))] for pair in pairs] for i in (0, 1)]
    alone = [compare(*pair, *words, orders=range(1, 5)) for pair, *words in zip(pairs, *ends, strict=True)]

    def path(numbers, s):
        chosen = [between(*pairs[i], place) for i, place in zip(numbers, s, strict=True)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)

    def grouped(words):
        groups = {}
        for order in range(1, 5):
            some = [(i, gates) for i, mine in enumerate(words) for gates in mine if len(gates) == order]
            if some:
                groups[order] = (np.array([i for i, _ in some]), np.stack([gates for _, gates in some]))
        return groups

    together = compare_pairs(path, len(pairs), *(grouped(end) for end in ends), orders=range(1, 5))
    assert sum(map(len, together)) > 25
    for one, other in zip(alone, together, strict=True):
        assert types(one) == types(other)
        for x, y in zip(one, other, strict=True):
            assert abs(x.at - y.at) < 1e-12
            assert x.sides == y.sides


def test_nan_is_said_and_stays_where_it_is():
    parameters = np.array([[0.3, -0.8], [np.nan, -0.8], [0.3, -0.8]])

    def path(numbers, s):
        left, right = parameters[numbers].T
        return jax.tree.unflatten(jax.tree.structure(Tent(0.0, 0.0, 0.0)), [left, right - s / 2, np.ones(len(s))])

    before = {1: (np.arange(3), np.ones((3, 1, 1), bool))}
    after = {1: (np.arange(3), np.ones((3, 1, 1), bool)), 2: (np.arange(3), np.tile(word("LR"), (3, 1, 1)))}
    events = compare_pairs(path, 3, before, after)
    assert types(events[0]) == types(events[2]) == ["degenerate flip"] * 2
    assert set(types(events[1])) == {"unexplained"}


def test_printed_and_as_plain_values():
    (event,) = events_of(Tent(0.5, -1.5, -1.0), Tent(0.5, -1.5, 1.0), 2)
    assert str(event) == (
        "persistence of a fixed point at s = 0.5: 0 (before) | 1 (after); gate 0 at step 0; with a 2-cycle 0 1 (after)"
    )
    plain = json.loads(json.dumps(event.to_dict(), allow_nan=False))
    assert plain["flip"] == {"word": [[0], [1]], "side": "after"}
    assert plain["type"] == "persistence"
    assert plain["multipliers"] == [[[0.5, 0.0]], [[-1.5, 0.0]]]
    assert repr(event) == "Event('persistence', order=1, at=0.5)"


def test_feigin_leaves_undecided_what_is():
    assert feigin(np.array([[[1.0]]]), np.array([[[0.5]]])).type == "border collision"
    rule = feigin(np.array([[[-1.0]]]), np.array([[[0.5]]]))
    assert rule.type == "persistence"
    assert not rule.flips
    assert "codimension two" in rule.reason


def test_models_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"both models must be of one class and one shape; model_a .* and model_b is"):
        compare(Tent(1.0, 1.0, 1.0), cx.TentMap(1.0), [], [])
    with pytest.raises(ValueError, match=r"of gates .* of shape"):
        compare(Tent(1.0, 1.0, 1.0), Tent(1.0, 1.5, 1.0), [np.ones((1, 2), bool)], [])


def test_orders_are_those_that_were_searched():
    first, last = cx.TentMap(0.9), cx.TentMap(1.3)
    ends = [cx.enumerate_cycles(model, [1, 2], progress=False) for model in (first, last)]
    by_int = compare(first, last, *ends, orders=2)
    assert len(by_int) > len(compare(first, last, *ends, orders=[1])) > 0
    assert list(map(repr, by_int)) == list(map(repr, compare(first, last, *ends)))
    with pytest.raises(ValueError, match="orders: order 3 was not searched for cycles_b; searched: 1, 2"):
        compare(first, last, list(ends[0]), ends[1], orders=3)
    still = cx.PLRNN(A=[0.5], W=[[0.0]], h=[1.0])
    ends = [cx.enumerate_cycles(still, "all", progress=False)] * 2
    assert compare(still, still, *ends, orders=[7]) == ()  # what has no cycles needs no search


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases")
def test_a_network_with_a_long_cycle():
    """From the network with a 16-cycle outward until it is gone: its tongue ends in folds."""
    model = cx.load(CASES / "plrnn_2d_order16.json")
    cycles = cx.enumerate_cycles(model, [16], progress=False)
    assert cycles.counts[16] > 0
    moved = cx.PLRNN(A=model.A + np.array([0.05, -0.03]), W=model.W, h=model.h)
    events = compare(model, moved, [cycle.gates for cycle in cycles], [])
    assert any(event.type == "nonsmooth fold" and event.order == 16 for event in events)
    assert "unexplained" not in types(events)


def test_a_point_that_is_on_its_border_but_for_rounding_in_the_terms_of_its_state():
    """(3/2, 0) is reached by sums of numbers of size 2: of z_2 nothing but rounding is left at either point."""
    first, last = (cx.PLRNN(A=[2.0, 0.75], W=[[0.5, 1.25], [1.5, -1.5]], h=[-2.25, h]) for h in (-2.25, -1.125))
    (event,) = cx.compare(first, last, *(enumerated(model, 2) for model in (first, last)))
    assert (event.type, event.order, event.at) == ("persistence", 1, 0.0)
    assert event.flip is not None


def test_events_of_weights_of_1e149_have_their_sides():
    """What is beyond infinity is no cycle, however large the terms are that cancel in I - P."""
    A, W = np.array([-1.45e149, 1.34e149]), np.array([[1.66e149, 7.8e148], [-7.3e148, 4.7e148]])
    first, last = cx.PLRNN(A=A, W=W, h=[-2e149, 6e148]), cx.PLRNN(A=[3e149, 1e149], W=W, h=[-2e149, 6e148])
    for event in cx.compare(first, last, *(enumerated(model, 1) for model in (first, last))):
        assert event.type != "degenerate transcritical" or event.sides != ("both",)


def test_a_multiplier_that_stays_minus_one_flips_nowhere():
    """A = -1 turns the second state about all along; the first comes from infinity where A + W = 1."""
    options = dict(W=[[0.09047921752302576, 0.0], [-1.109008277761262, 0.5270472379631171]], h=[-1.4010377, 0.8708376])
    first, last = cx.PLRNN(A=[0.5, -1.0], **options), cx.PLRNN(A=[0.99, -1.0], **options)
    (event,) = events_of(first, last, 1)
    assert (event.type, event.sides) == ("degenerate transcritical", ("after",))
    assert np.isclose(event.at, (1 - 0.09047921752302576 - 0.5) / 0.49)


def test_a_fixed_point_that_had_been_far_away():
    """A multiplier is 1 + 2e-12 at first, and points 1e11 long; where they come to a border they are of size 1."""
    first = cx.LeakyReLURNN(
        W=[[1.3891757252518957, 0.4073018406976189], [1.2195848233886075, 0.493378466836485]],
        b=[0.24836840834966745, 0.6705230414172066],
        slope=0.5629510638938422,
    )
    last = cx.LeakyReLURNN(
        W=[[3.6150917145263537, 1.1900224115663682], [1.1998017630445554, 0.03125085777487252]],
        b=[0.3110349234964963, 1.3516720050917221],
        slope=0.586191797816173,
    )
    (event,) = events_of(first, last, 2)
    assert (event.type, event.gate, event.sides) == ("persistence", 1, ("before", "after"))
    assert np.isclose(event.at, 0.327310692368, rtol=0, atol=1e-11)


# -- where float64 loses digits ------------------------------------------------------------------------------------


def test_gates_that_add_less_than_rounding_tell_words_apart():
    """A passes 1: the fixed point runs to plus infinity as 111, and comes back from minus infinity as 000."""
    options = dict(h=[0.56], alpha=[-0.84, 0.57], thresholds=[[6e-150, 1.7e-149]], W=[[-4.6e-150]])
    ends = [cx.ClippedDendriticPLRNN(A=[a], **options) for a in (0.97, 1.27)]
    events = events_of(*ends, 2)
    assert types(events) == ["degenerate transcritical"] * 2
    assert {event.words[0].all(): event.sides for event in events} == {True: ("before",), False: ("after",)}
    assert np.allclose([event.at for event in events], 0.1, rtol=0, atol=1e-12)


def test_two_events_closer_than_the_place_where_signs_are_read_off():
    """Multipliers of 1e7: a fixed point passes -1, and runs to infinity 4e-8 further on; it does not fold."""
    first = cx.BorderCollisionNormalForm(
        left=[[33554430.877155334, 33554431.624694508], [33554431.00127838, 33554431.59606571]],
        right=[[-33554431.145490415, 33554431.624694508], [-0.6733104552716829, 33554431.59606571]],
        h=[2.126364127652975, 0.4432511739876488],
    )
    last = cx.BorderCollisionNormalForm(
        left=[[27691891.568766303, 89379744.53619425], [55671758.692672685, -21521721.647042137]],
        right=[[-25441913.34991012, 89379744.53619425], [0.3875750252893502, -21521721.647042137]],
        h=[4.46919606965538, 0.2970208059397569],
    )
    events = events_of(first, last, 2)
    assert types(events) == ["persistence", "degenerate transcritical", *["degenerate flip"] * 2]
    assert events[1].sides == ("after",)
    assert np.allclose([event.at for event in events[1:]], 0.609237, rtol=0, atol=1e-6)


def test_preactivations_that_are_all_within_rounding():
    """With weights of 1e23 and points of size 1 to 100 every preactivation is what is left of terms of 1e24.

    In rationals the fixed point comes from infinity: a multiplier of 1e23 passes -1 and +1 between two float64 numbers.
    """
    first = cx.LeakyReLURNN(
        W=[[4.106845134900467e22, -2.643147243395182e23], [-2.2139810965172253e23, -1.3517763046455853e23]],
        b=[-5.995507823159827e23, -1.4517768259011286e23],
        slope=0.25,
    )
    last = cx.LeakyReLURNN(
        W=[[3.3893082729293667e22, 1.7543202382208892e23], [-7.546404385767476e22, -3.57057827397448e23]],
        b=[-4.545962643924631e23, -1.110056262818775e23],
        slope=0.37763666542441043,
    )
    events = events_of(first, last, 1)
    assert [(event.type, event.sides) for event in events] == [("degenerate transcritical", ("after",))]
    assert np.isclose(events[0].at, 0.884562687264, rtol=0, atol=1e-11)


TRANSCRITICAL, FLIP = "degenerate transcritical", "degenerate flip"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param(
            cx.LeakyReLURNN(
                W=[[137438953471.81834, 137438953471.93983], [137438953471.67517, 137438953471.48071]],
                b=[-1.0280165697475472, 0.8720036733023668],
                slope=0.25,
            ),
            cx.LeakyReLURNN(
                W=[[136644541172.755, 137796187337.5632], [135959563865.32652, 139457814569.36224]],
                b=[-1.0318205010908024, 0.8668801341699686],
                slope=0.2478267658029883,
            ),
            [(TRANSCRITICAL, 2.265388e-9, "01", "before"), (TRANSCRITICAL, 2.265389e-9, "10", "after")],
            id="no border is met",
        ),
        pytest.param(
            cx.LeakyReLURNN(
                W=[[35184372088830.223, 35184372088830.4], [35184372088833.37, 35184372088831.973]],
                b=[-0.6778938136101985, 0.7393731857492156],
                slope=0.25,
            ),
            cx.LeakyReLURNN(
                W=[[37570499924453.445, 33124223726587.008], [31987262761716.914, 28176214412747.22]],
                b=[-0.5947502709643933, 0.8091109073410452],
                slope=0.24108271539853549,
            ),
            [
                (TRANSCRITICAL, 0, "01", "before"),
                (TRANSCRITICAL, 0.958866034351, "01", "after"),
                (FLIP, 0.958866034365, "01", "both"),
            ],
            id="a flip just after a fixed point has come from infinity",
        ),
        pytest.param(
            cx.BorderCollisionNormalForm(
                left=[[15303499429541.078, 47038755083948.47], [15695491573260.57, 70613549704318.89]],
                right=[[14671344955957.328, 47038755083948.47], [1.0369480774696602, 70613549704318.89]],
                h=[-2.143186047886003, 1.8577813667655736],
            ),
            cx.BorderCollisionNormalForm(
                left=[[-4577373229748.344, 58893138079066.7], [-3793388942310.5664, 106042727319806.31]],
                right=[[64527062000747.516, 58893138079066.7], [1.3972742081744323, 106042727319806.31]],
                h=[-2.5894032131764497, 1.8554641707094899],
            ),
            [
                (TRANSCRITICAL, 0.723247867022, "L", "after"),
                (FLIP, 0.723247867022, "L", "both"),
                (FLIP, 0.723247867022, "LR", "after"),
            ],
            id="no fold with a fixed point that stays",
        ),
        pytest.param(
            cx.BorderCollisionNormalForm(
                left=[[131071.58052892292, 131071.58574168812], [131072.8688716802, 131071.68136323382]],
                right=[[-131073.7239054044, 131071.58574168812], [-1.1946489506383184, 131071.68136323382]],
                h=[0.46750144727114307, 0.6953599959073522],
            ),
            cx.BorderCollisionNormalForm(
                left=[[132045.8138116832, 129800.337088584], [130794.98855776494, 130695.8596374275]],
                right=[[-129734.34206338115, 129800.337088584], [-1.1899567267046665, 130695.8596374275]],
                h=[0.4759512668357668, 0.6947457855177874],
            ),
            [(TRANSCRITICAL, 0.000555383216, "LR", "before"), (TRANSCRITICAL, 0.00148668375, "L", "before")],
            id="a 2-cycle runs to infinity",
        ),
        pytest.param(
            cx.AlmostLinearRNN(
                A=[1.5903803553902375e42, -1.2026580502579712e41],
                W=[[0.4769437025750755, 0.26739912357830864], [-0.7907813175252657, 0.7640177161277126]],
                h=[-0.8547439900128456, 1.091134283424653],
                num_gated=1,
            ),
            cx.AlmostLinearRNN(
                A=[-2.0690335031421355e41, -3.922545504356078e40],
                W=[[0.917693118953514, 0.17133252880059058], [-0.33962813587858637, 1.9953003319238076]],
                h=[-1.093688557139603, 2.2828691652796405],
                num_gated=1,
            ),
            [(TRANSCRITICAL, 0.884879972117, "R", "both")],
            id="through infinity and back between two places",
        ),
    ],
)
def test_large_weights_that_cancel(first, last, expected):
    """Points of 1e-11 to 1, of terms 1e5 to 1e14 times as large; places and sides: those of the line in rationals."""
    # Those within one bracket, by their words.
    events = sorted(events_of(first, last, 2), key=lambda event: (round(event.at, 15), event.words[0].tolist()))
    assert [(event.type, event.sides[0]) for event in events] == [(kind, side) for kind, _, _, side in expected]
    for event, (_, at, text, _) in zip(events, expected, strict=True):
        assert word_key(event.words[0]) == word_key(word(text))
        assert np.isclose(event.at, at, rtol=0, atol=2e-11)


def test_events_of_a_word_that_follow_closely_upon_another_of_it():
    """Within 1e-13 of s = 0 a fixed point passes -1, ends at a border and comes back from infinity: it is at both ends.

    Where a walk reads signs off past the first of these, all is as it was. Places: of the line in rationals.
    """
    first = cx.AlmostLinearRNN(
        A=[562949953421312.9, 562949953421312.6],
        W=[[-562949953421311.9, 1.337842480522728], [0.7890308774379656, -562949953421311.5]],
        h=[-0.06374374656051282, 0.13510749221444066],
        num_gated=1,
    )
    last = cx.AlmostLinearRNN(
        A=[530531240414716.6, 533323742019344.8],
        W=[[-547963144903090.94, 1.4338732613124305], [0.7899457795337588, -664101849585122.1]],
        h=[-0.07931247441633359, 0.17901167172687418],
        num_gated=1,
    )
    expected = [
        ("degenerate flip", 1.175247019253371e-14, "R", "both"),
        ("persistence", 2.135538050643030e-14, "R", "before"),
        ("degenerate transcritical", 2.2001593845616e-14, "R", "after"),
        ("degenerate flip", 1.147321568526104e-13, "L", "both"),
    ]
    events = events_of(first, last, 1)
    assert [event.type for event in events] == [kind for kind, *_ in expected]
    for event, (_, at, text, side) in zip(events, expected, strict=True):
        assert abs(event.at - at) <= event.bracket + 1e-28
        sides = {word_key(some): own for some, own in zip(event.words, event.sides, strict=True)}
        assert sides[word_key(word(text))] == side


def test_a_fixed_point_that_float64_puts_at_infinity():
    """det(I - P) = 2e-17, which float64 takes for 0: the fixed point is at 3e17, and comes nearer without an event."""
    first = cx.AlmostLinearRNN(
        A=[0.9273813301733318, 0.5606810846755038, 0.5606810846755038],
        W=[
            [-0.030206928407793616, 0.15108864538684721, 0.15108864538684721],
            [0.25545142088669365, -0.15569269011626682, -0.15569269011626682],
            [0.25545142088669365, -0.15569269011626682, -0.15569269011626682],
        ],
        h=[1.635504907038393, 1.991072557851318, 1.991072557851318],
        num_gated=2,
    )
    last = cx.AlmostLinearRNN(A=0.5 * first.A, W=first.W, h=first.h, num_gated=2)
    assert events_of(first, last, 1) == ()


@pytest.mark.parametrize("size", [1e-122, 1e-222])
def test_gates_of_one_plane_that_add_less_than_rounding_do_not_cancel(size):
    """Two units alike, of weights 1e-122 beside a slope of -0.07: the fixed point crosses their border, as that of one.

    Their opposite cancels with one of them, and then there is no border. Be it that float64 has no such number.
    """

    def model(threshold, *weights):
        thresholds = [threshold] * len(weights)
        return cx.DendriticPLRNN(A=[-0.07], W=[[-7e-121]], h=[-1.5], alpha=weights, thresholds=[thresholds])

    for weights in ((-size,), (-size / 2, -size / 2)):
        (event,) = events_of(model(-1.0, *weights), model(-2.0, *weights), 1)
        assert event.type == "persistence"
        assert np.isclose(event.at, 1.5 / 1.07 - 1)
    assert events_of(model(-1.0, size, -size), model(-2.0, size, -size), 1) == ()


def test_a_gate_whose_weights_vanish_switches_alone():
    """Where its weights pass 0 its plane is any other's to rounding, such as that of a gate which stays as it is."""
    first = cx.ShallowPLRNN(A=[0.5], W1=[[1.0, -1.0]], W2=[[-2.5], [2.5]], h1=[-1.25], h2=[0.0, 0.0])
    last = cx.ShallowPLRNN(A=[0.5], W1=[[1.0, -1.0]], W2=[[2.3], [3.6]], h1=[-1.25], h2=[0.0, 0.0])
    ends = [cx.enumerate_cycles(model, 1, method=cx.Exhaustive(), progress=False) for model in (first, last)]
    assert [cycle.gates.tolist() for cycles in ends for cycle in cycles] == [[[True, False]], [[False, False]]]
    events = [event for event in cx.compare(first, last, *ends) if event.type not in ("degenerate flip",)]
    assert [(event.type, event.sides) for event in events] == [("persistence", ("after", "before"))]
    assert abs(events[0].at - 2.5 / 4.8) < 1e-12
    assert [word.tolist() for word in events[0].words] == [[[False, False]], [[True, False]]]


def test_gates_whose_weights_vanish_together_switch_together():
    """The same network with its first unit in two halves: the same event, of both of its gates."""
    ends = []
    for w1, w2, h1 in ((-2.5, 2.5, -1.25), (2.3, 3.6, -1.25)):
        whole = cx.ShallowPLRNN(A=[0.5], W1=[[1.0, -1.0]], W2=[[w1], [w2]], h1=[h1], h2=[0.0, 0.0])
        halves = cx.ShallowPLRNN(A=[0.5], W1=[[0.5, 0.5, -1.0]], W2=[[w1], [w1], [w2]], h1=[h1], h2=[0.0] * 3)
        ends.append((whole, halves))
    events = [
        cx.compare(*models, *(cx.enumerate_cycles(model, 1, progress=False) for model in models))
        for models in zip(*ends, strict=True)
    ]
    (event,), (other,) = ([one for one in some if one.type != "degenerate flip"] for some in events)
    assert (event.type, event.sides, event.at) == (other.type, other.sides, other.at)
    assert [word[:, [0, 0, 1]].tolist() for word in event.words] == [word.tolist() for word in other.words]


def test_a_fixed_point_that_stays_on_its_border_crosses_none():
    """Without an offset 0 is a fixed point of every tent map, on a border from where the slopes differ."""
    first = cx.SkewTentMap(left=-1.0, right=-1.0, offset=0.0)
    last = cx.SkewTentMap(left=-0.86, right=-1.18, offset=0.0)
    (event,) = cx.compare(first, last, *(cx.enumerate_cycles(model, 1, progress=False) for model in (first, last)))
    assert (event.type, event.at, event.missing) == ("border collision", 0.0, None)
    assert "on a border from here on" in event.reason


def test_a_cycle_that_comes_out_of_a_border_that_switches_nothing_at_its_end():
    """At s = 0 two of the gates cancel where the cycle is, which is not on the list there."""
    ends = [
        cx.ClippedDendriticPLRNN(A=[0.0], W=[[1.0]], h=[h], alpha=[-2.0, 0.0], thresholds=[[t, 0.0]])
        for h, t in ((0.0, 0.0), (0.05, 0.24))
    ]
    (event,) = cx.compare(*ends, *(cx.enumerate_cycles(model, 1, progress=False) for model in ends))
    assert (event.type, event.at, event.sides, event.missing) == ("border collision", 0.0, ("after",), None)


def test_a_multiplier_that_passes_one_where_a_border_is_met():
    """The slope goes from -5e39 to 5e39 within one place, at which the fixed point of the other side meets the border.

    Its own is a cycle on both sides: x = h / (1 - a) < 0 with h and 1 - a both changing sign.
    """
    ends = [cx.SkewTentMap(left=s * 5e39, right=2.0, offset=s * 0.5) for s in (-1.0, 1.0)]
    events = cx.compare(*ends, *(cx.enumerate_cycles(model, 1, progress=False) for model in ends))
    (border,) = [event for event in events if event.gate is not None]
    assert (border.type, border.sides, border.change) == ("border collision", ("before", "undecided"), "continues")
    assert "passes +1 or -1 at the same place" in border.reason
    (back,) = [event for event in events if event.gate is None]
    assert (back.type, back.sides) == ("degenerate transcritical", ("after",))


def test_a_border_beside_a_multiplier_of_one_is_met_where_it_is():
    """A 2-cycle begins on a border where the fixed point's multiplier passes -1, its distance growing with the square.

    Beside that place its own multiplier is nearly +1, and rounding of its points is far more than that distance.
    """
    A, last_A = [-1.3752562298541808, *[0.484958395148095] * 2], [0.39940173495094355, *[-1.0043002629206992] * 2]
    first = cx.PLRNN(
        A=A,
        W=[[0.0, 16.0, 16.0], *[[-0.03125, 0.0, 0.0]] * 2],
        h=[-0.08426174331416796, *[-0.0004188951259697926] * 2],
    )
    last = cx.PLRNN(
        A=last_A,
        W=[[0.0, *[-8.557083266291578] * 2], *[[0.01577276676066644, *[0.470527014514284] * 2]] * 2],
        h=[-0.03218326664822752, *[-0.0001307576264193604] * 2],
    )
    ends = [cx.enumerate_cycles(model, 2, method=cx.Exhaustive(), progress=False) for model in (first, last)]
    events = [event for event in cx.compare(first, last, *ends) if event.order == 2]
    assert events
    for event in events:
        assert event.at == pytest.approx((-1 - A[1]) / (last_A[1] - A[1]), abs=1e-14)


def test_halves_of_a_unit_switch_together_where_offsets_of_1e162_cancel():
    """What is left of their offsets where the border is met is as large as all terms there, though not of the way."""
    first = dict(A=[5.4e162], W1=[[-0.43, 2.34, 0.7, -0.43]], W2=[[0.55], [-1.45], [2.18], [0.55]], h1=[-0.13])
    last = dict(A=[-1.5e162], W1=[[0.53, 1.12, -0.45, 0.53]], W2=[[0.08], [-2.14], [4.28], [0.08]], h1=[-0.22])
    ends = [
        cx.ShallowPLRNN(**first, h2=[-6.1e162, 2.2e162, -1.9e163, -6.1e162]),
        cx.ShallowPLRNN(**last, h2=[2.83e162, 3.26e162, -2.02e163, 2.83e162]),
    ]
    events = cx.compare(*ends, *(cx.enumerate_cycles(model, 1, progress=False) for model in ends))
    (event,) = [event for event in events if event.gate is not None]
    assert (event.type, event.at) == ("persistence", pytest.approx(6.1 / 8.93))
    assert [word.astype(int).tolist() for word in event.words] == [[[0, 1, 0, 0]], [[1, 1, 0, 1]]]
    assert not [one for one in events if one.type == "unexplained"]
