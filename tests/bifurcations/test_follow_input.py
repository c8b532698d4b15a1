"""Fixed points over an input, against closed forms, all words in rationals, and scans of the same input."""

import dataclasses
import itertools
import signal
from fractions import Fraction

import matplotlib as mpl
import numpy as np
import pytest

import cyclax as cx

mpl.use("Agg")


def rational(array):
    return [[Fraction(x) for x in row] for row in np.atleast_2d(np.asarray(array, float)).tolist()]


def solve(matrix, right):
    """Gauss-Jordan in rationals; None where singular."""
    n, rows = len(matrix), [list(a) + list(b) for a, b in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = next((r for r in range(i, n) if rows[r][i] != 0), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [x - rows[r][i] * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [row[n:] for row in rows]


def draw(kind, rng, size=3, step=0.0):
    """A network, and its formula: for a word, J and the columns of o = o_0 + s o_1, and rows y = c z + d_0 + s d_1.

    With `step`, weights are multiples of it, and many borders meet.
    """
    W, b, C = rng.normal(size=(size, size)) * 1.6, rng.normal(size=size), rng.normal(size=(size, 1))
    if step:
        W, b, C = (step * np.round(part / step) for part in (W, b, C))
    eye = np.eye(size)
    if kind == "rate":
        alpha = 0.5
        model = cx.RateRNN(W=W, b=b, alpha=alpha, C=C)

        def formula(word):
            D = np.diag(word.astype(float))
            return 0.5 * eye + 0.5 * D @ W, 0.5 * np.stack([D @ b, D @ C[:, 0]], 1), W, np.stack([b, C[:, 0]], 1)

    elif kind == "current":
        model = cx.CurrentRNN(W=W, b=b, alpha=0.25, C=C)

        def formula(word):
            D = np.diag(word.astype(float))
            return 0.75 * eye + 0.25 * W @ D, 0.25 * np.stack([b, C[:, 0]], 1), eye, np.zeros((size, 2))

    else:
        A = np.round(rng.uniform(-0.9, 0.9, size), 6)
        model = cx.PLRNN(A=A, W=W, h=b)

        def formula(word):
            D = np.diag(word.astype(float))
            return np.diag(A) + W @ D, np.stack([b, C[:, 0]], 1), eye, np.zeros((size, 2))

    return model, (C[:, 0] if kind == "plrnn" else [1.0]), formula


def pieces_in_rationals(formula, size, low, high):
    """All words that are a fixed point on an interval of strengths, with its ends, by trying every one of them."""
    found = {}
    for bits in itertools.product((False, True), repeat=size):
        # A line within a border is that of the gate closed.
        J, o, c, d = (rational(part) for part in formula(np.array(bits)))
        system = [[(i == j) - J[i][j] for j in range(size)] for i in range(size)]
        solution = solve(system, o)
        if solution is None:
            continue
        begin, end = Fraction(low), Fraction(high)
        for g in range(size):
            zero = sum(c[g][i] * solution[i][0] for i in range(size)) + d[g][0]
            slope = sum(c[g][i] * solution[i][1] for i in range(size)) + d[g][1]
            sign = 1 if bits[g] else -1
            zero, slope = sign * zero, sign * slope
            if slope > 0:
                begin = max(begin, -zero / slope)
            elif slope < 0:
                end = min(end, -zero / slope)
            elif zero < 0 or (zero == 0 and bits[g]):
                end = begin
        if end > begin:
            found[bits] = float(begin), float(end)
    return found


@pytest.mark.parametrize("kind", ["rate", "current", "plrnn"])
def test_pieces_are_those_of_all_words_in_rationals(kind):
    met = 0
    for seed in range(8):
        model, direction, formula = draw(kind, np.random.default_rng(seed))
        expected = pieces_in_rationals(formula, 3, -2, 3)
        diagram = cx.follow_input(model, direction, (-2.0, 3.0), key=0)
        assert diagram.report["verdict"] == "proved complete", diagram.report
        found = {tuple(word.tolist()): tuple(s) for word, s in zip(diagram.words, diagram.s, strict=True)}
        assert found.keys() == expected.keys()
        for word, ends in expected.items():
            assert np.allclose(found[word], ends, rtol=1e-12, atol=1e-12)
        assert np.max(diagram.residual, initial=0) < 1e-12
        met += len(diagram.corners)
        # Each corner of two pieces is a fold where they lie on one side of it, and else a persistence.
        for corner in diagram.corners:
            sides = [np.sign(diagram.s[i, 1 - e] - diagram.s[i, e]) for i, e in corner.pieces]
            assert len(sides) == 2
            assert corner.type == ("nonsmooth fold" if sides[0] == sides[1] else "persistence")
            assert all(abs(diagram.s[i, e] - corner.s) < 1e-12 for i, e in corner.pieces)
            # Feigin's rule: a fold where the determinants of I - J differ in sign.
            signs = [np.sign(np.prod(1 - diagram.multipliers[i]).real) for i, _ in corner.pieces]
            assert (signs[0] == signs[1]) == (corner.type == "persistence")
    assert met > 8


@pytest.mark.parametrize("kind", ["rate", "current", "plrnn"])
def test_where_many_borders_meet_nothing_false_is_said(kind):
    proved = 0
    for seed in range(12):
        model, direction, formula = draw(kind, np.random.default_rng(seed), step=0.5)
        if not np.any(direction) or not np.any(getattr(model, "C", 1)):
            continue
        expected = pieces_in_rationals(formula, 3, -2, 3)
        diagram = cx.follow_input(model, direction, (-2.0, 3.0), key=0)
        # Where the input rests there are lines that no formula in s gives: families, told apart here.
        moving = diagram.s[:, 1] > diagram.s[:, 0] + 1e-9
        rows = zip(diagram.words[moving], diagram.s[moving], strict=True)
        found = {tuple(word.tolist()): ends for word, ends in rows}
        for word, ends in found.items():
            assert np.allclose(expected[word], ends, rtol=1e-9, atol=1e-9)
        if diagram.report["verdict"] == "proved complete":
            proved += 1
            assert found.keys() == expected.keys()
    assert proved >= 6


def closed_form():
    # z' = z / 2 + relu(z + s + b) / 2 ... with w = 2: z = 0 while s < -b, and z = -(s + b) as well.
    return cx.RateRNN(W=[[2.0]], b=[0.25], alpha=0.5, C=[[1.0]])


def test_a_fold_in_closed_form():
    diagram = cx.follow_input(closed_form(), [1.0], (-2.0, 1.0), key=0)
    (corner,) = diagram.corners
    assert corner.type == "nonsmooth fold"
    assert abs(corner.s + 0.25) < 1e-14
    assert sorted(corner.stability) == ["repeller", "stable"]
    points, _ = diagram.at(-1.0)
    assert np.allclose(sorted(points[:, 0]), [0.0, 0.75], rtol=0, atol=1e-14)
    assert len(diagram.at(0.5)[0]) == 0
    with pytest.raises(TypeError, match=r"s: expected one number, got array\(.*ask for each"):
        diagram.at(np.array([-1.0, 0.0]))
    (branch,) = diagram.branches
    assert np.allclose(sorted([branch.s[0], branch.s[-1]]), [-2.0, -2.0])
    assert "1 branch of fixed points" in str(diagram)
    assert "1 x nonsmooth fold: s = -0.25" in str(diagram)
    assert "proved complete" in str(diagram)


def test_a_symmetric_network_has_a_branch_point():
    model = cx.RateRNN(W=[[0.6, -1.2], [-1.2, 0.6]], b=[0.5, 0.5], alpha=0.5, C=[[1.0], [1.0]])
    diagram = cx.follow_input(model, [1.0], (-1.0, 1.0), key=0)
    (corner,) = diagram.corners
    assert corner.type == "branch point"
    assert corner.gates == (0, 1)
    assert abs(corner.s + 0.5) < 1e-14
    assert sorted(corner.stability) == ["saddle", "stable", "stable", "stable"]
    assert len(diagram.branches) == 4
    # u = b + s: one unit is on alone, z = u / (1 - 0.6), or both are, z = u / (1 + 0.6).
    points, _ = diagram.at(0.5)
    expected = [[0.0, 2.5], [0.625, 0.625], [2.5, 0.0]]
    assert np.allclose(points[np.argsort(points[:, 0])], expected, rtol=1e-13, atol=1e-13)


def test_an_input_at_which_there_is_a_line_of_fixed_points():
    # z' = z / 2 + relu(z) / 2 + s: while z > 0 only s = 0 has fixed points, and all of them are.
    diagram = cx.follow_input(cx.PLRNN(A=[0.5], W=[[0.5]], h=[0.0]), [1.0], (-1.0, 1.0), key=0)
    (corner,) = diagram.corners
    assert corner.type == "family"
    assert abs(corner.s) < 1e-14
    assert sorted(corner.stability) == ["neutral", "stable"]
    assert sorted(diagram.meets.ravel().tolist()) == [-2, -1, 0, 0]


def test_closed_branches_are_found_by_the_tree_alone():
    rng = np.random.default_rng(11)
    W, b, C = 3 * rng.normal(size=(5, 5)) / np.sqrt(5), 0.5 * rng.normal(size=5), rng.normal(size=(5, 1))
    model = cx.RateRNN(W=W, b=b, alpha=0.5, C=C)
    diagram = cx.follow_input(model, [1.0], (-3.0, 3.0), key=0)
    assert diagram.report["verdict"] == "proved complete"
    (closed,) = [branch for branch in diagram.branches if branch.closed]
    assert np.allclose(closed.points[0], closed.points[-1], rtol=1e-12)
    assert -3 < np.min(closed.s) < np.max(closed.s) < 3
    # Without the tree, from the ends alone, it is not seen, and the verdict says what may be missing.
    blind = cx.follow_input(model, [1.0], (-3.0, 3.0), key=0, proof=cx.Budget(nodes=1), searched=2)
    assert not any(branch.closed for branch in blind.branches)
    assert blind.report["verdict"] == "unknown"
    assert "may be missing" in blind.report["reason"]
    assert {word.tobytes() for word in blind.words} < {word.tobytes() for word in diagram.words}
    # From strengths between them it is.
    seen = cx.follow_input(model, [1.0], (-3.0, 3.0), key=0, proof=cx.Budget(nodes=1), searched=9)
    assert {word.tobytes() for word in seen.words} == {word.tobytes() for word in diagram.words}


@pytest.mark.slow
def test_a_scan_over_the_same_input_finds_the_same_fixed_points():
    events = 0
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        size = 4
        W, b = 1.7 * rng.normal(size=(size, size)) / np.sqrt(size), rng.normal(size=size)
        kinds = (cx.RateRNN, cx.CurrentRNN, cx.RectifiedRNN)
        model = kinds[seed % 3](W=W, b=b, alpha=0.4, C=rng.normal(size=(size, 2)))
        direction = rng.normal(size=2)
        diagram = cx.follow_input(model, direction, (-2.0, 2.0), key=0)
        values = np.linspace(-1.95, 1.95, 11)
        biases = [np.asarray(model.with_input(s * direction).b) for s in values]
        stack = [type(model)(W=W, b=bias, alpha=0.4, C=model.C) for bias in biases]
        for s, cycles in zip(values, cx.find_cycles(stack, 1, key=0), strict=True):
            points, pieces = diagram.at(s)
            expected = np.array([cycle.points[0] for cycle in cycles]).reshape(-1, size)
            assert len(points) == len(expected)
            for cycle in cycles:
                away = np.max(np.abs(points - cycle.points[0]), axis=1)
                i = int(np.argmin(away))
                assert away[i] < 1e-9 * (1 + np.max(np.abs(points)))
                assert diagram.stability[pieces[i]] == cycle.stability
                assert np.array_equal(diagram.words[pieces[i]], cycle.gates[0])
        events += len(diagram.corners)
    assert events > 40


def test_other_units_orders_and_directions_give_the_same_diagram():
    rng = np.random.default_rng(17)
    A, W, h, d = rng.uniform(0, 0.9, 4), 1.3 * rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=4)
    plain = cx.follow_input(cx.PLRNN(A=A, W=W, h=h), d, (-1.0, 2.0), key=0)
    units = 2.0 ** np.array([40, -30, 5, 0])
    scaled = cx.PLRNN(A=A, W=units[:, None] * W / units, h=units * h)
    turn = np.array([2, 0, 3, 1])
    for model, direction, values, undo in (
        (scaled, units * d, (-1.0, 2.0), lambda s: s),
        (cx.PLRNN(A=A[turn], W=W[np.ix_(turn, turn)], h=h[turn]), d[turn], (-1.0, 2.0), lambda s: s),
        (cx.PLRNN(A=A, W=W, h=h), -d, (-2.0, 1.0), lambda s: -s),
        (cx.PLRNN(A=A, W=W, h=h), d / 1024, (-1024.0, 2048.0), lambda s: s / 1024),
        (cx.PLRNN(A=A, W=W, h=2.0**60 * h), 2.0**60 * d, (-1.0, 2.0), lambda s: s),
    ):
        other = cx.follow_input(model, direction, values, key=0)
        assert other.report["verdict"] == plain.report["verdict"] == "proved complete"
        assert len(other.words) == len(plain.words)
        found = sorted((undo(corner.s), corner.type) for corner in other.corners)
        expected = sorted((corner.s, corner.type) for corner in plain.corners)
        assert [kind for _, kind in found] == [kind for _, kind in expected]
        assert np.allclose([s for s, _ in found], [s for s, _ in expected], rtol=1e-11, atol=1e-11)
    assert len(plain.corners) > 2


def test_saved_and_loaded(tmp_path):
    diagram = cx.follow_input(closed_form(), [1.0], (-2.0, 1.0), key=0)
    diagram.save(tmp_path / "d.npz")
    again = cx.InputDiagram.load(tmp_path / "d.npz")
    assert str(again) == str(diagram)
    assert np.array_equal(again.points, diagram.points)
    assert [vars(corner).keys() for corner in again.corners] == [vars(corner).keys() for corner in diagram.corners]
    assert [corner.pieces for corner in again.corners] == [corner.pieces for corner in diagram.corners]
    with pytest.raises(ValueError, match=r"written to \.npz"):
        diagram.save(tmp_path / "d.json")
    (tmp_path / "e.npz").write_bytes((tmp_path / "d.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"e\.npz"):
        cx.InputDiagram.load(tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("direction", "values", "words"),
    [
        ([1.0, 2.0], (0.0, 1.0), r"direction: expected shape \(1,\)"),
        ([0.0], (0.0, 1.0), "direction: it changes nothing"),
        ([np.nan], (0.0, 1.0), "direction: it holds NaN"),
        ([1.0], (1.0, 1.0), "values: expected two finite strengths"),
        ([1.0], (0.0, np.inf), "values: expected two finite strengths"),
        ([1.0], 3.0, "values: expected two strengths"),
    ],
)
def test_what_cannot_be_is_refused(direction, values, words):
    with pytest.raises(ValueError, match=words):
        cx.follow_input(closed_form(), direction, values, key=0)


def test_a_direction_of_no_real_numbers_is_refused():
    with pytest.raises(TypeError, match=r"direction: .*complex"):
        cx.follow_input(closed_form(), [1.0 + 1.0j], (0.0, 1.0), key=0)


def test_a_map_without_a_bias_is_refused():
    with pytest.raises(TypeError, match="no bias"):
        cx.follow_input(cx.TentMap(1.5), [1.0], (0.0, 1.0), key=0)


def test_the_picture_shows_what_is_there():
    diagram = cx.follow_input(closed_form(), [1.0], (-2.0, 1.0), key=0)
    ax = cx.plot.input_diagram(diagram, coordinate=0)
    drawn = sorted(line.round(12).tolist() for part in ax.collections for line in part.get_segments())
    assert drawn == [[[-2.0, 0.0], [-0.25, 0.0]], [[-2.0, 1.75], [-0.25, 0.0]]]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["stable", "repeller", "fold"]
    with pytest.raises(ValueError, match="readout"):
        cx.plot.input_diagram(diagram, readout=[1.0, 2.0])
    with pytest.raises(TypeError, match="follow_input"):
        cx.plot.input_diagram("diagram")  # pyright: ignore[reportArgumentType]


def test_notes_say_at_which_strength():
    identity = cx.RateRNN(W=np.eye(2), b=np.zeros(2), alpha=1.0, C=np.ones((2, 1)))
    diagram = cx.follow_input(identity, [1.0], (-2.0, 1.0), key=0)
    assert diagram.report["notes"] == ["a plane of fixed points, at s = 0"]


def test_ctrl_c_in_the_proof_gives_what_has_been_followed(monkeypatch):
    honest = cx.Budget.spent
    calls = []

    def spent(self, nodes=0, memory=0):
        calls.append(nodes)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return honest(self, nodes, memory)

    monkeypatch.setattr(cx.Budget, "spent", spent)
    rng = np.random.default_rng(2)
    model = cx.RateRNN(W=0.6 * rng.normal(size=(16, 16)), b=rng.normal(size=16), alpha=0.5, C=rng.normal(size=(16, 1)))
    diagram = cx.follow_input(model, [1.0], (-1.0, 1.0), key=0)
    assert "Ctrl-C" in diagram.report["notes"][0], diagram.report["proof"]
    assert diagram.report["verdict"] == "unknown"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_model_that_is_not_what_it_says_is_refuted(monkeypatch):
    from cyclax.bifurcations import inputs

    honest = inputs.solution_lines

    def wrong(*arguments):
        lines = honest(*arguments)
        return dataclasses.replace(lines, ends=lines.ends + 1e-6)

    monkeypatch.setattr(inputs, "solution_lines", wrong)
    diagram = cx.follow_input(closed_form(), [1.0], (-2.0, 1.0), key=0)
    assert diagram.report["verdict"] == "unknown"
    assert "not fixed points of the model" in diagram.report["reason"]
