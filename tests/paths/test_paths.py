"""Path following: complete against all words, paths against a walk in plain NumPy, what is counted, what is refused."""

import _thread
import itertools

import jax
import numpy as np
import pytest
from conftest import CASES, MODELS, slow
from plain import plain_map

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form
from cyclax.paths import follow
from cyclax.paths.follow import Walker
from cyclax.paths.system import NotFollowedError, Problem, merged_gates
from cyclax.paths.walk import Fate
from cyclax.search.path_tally import PathTally

FINDER = cx.PathFollowing(unseen=5e-3)


def plrnn(seed: int, size: int, spread: float = 1.0) -> cx.PLRNN:
    rng = np.random.default_rng(seed)
    W = spread * rng.normal(size=(size, size))
    return cx.PLRNN(A=rng.uniform(-0.9, 0.9, size), W=W, h=rng.normal(size=size))


def several() -> cx.PLRNN:
    """A network with four fixed points, on which a third of the paths close."""
    rng = np.random.default_rng(23)
    A, W = rng.uniform(0.3, 0.9, 12), rng.normal(size=(12, 12)) / np.sqrt(12)
    return cx.PLRNN(A=A, W=W, h=rng.normal(size=12))


def shallow(seed: int) -> cx.ShallowPLRNN:
    rng = np.random.default_rng(seed)
    A, W1, W2 = rng.uniform(-0.9, 0.9, 2), rng.normal(size=(2, 4)), rng.normal(size=(4, 2))
    return cx.ShallowPLRNN(A=A, W1=W1, W2=W2, h1=rng.normal(size=2), h2=rng.normal(size=4))


def dendritic(seed: int) -> cx.DendriticPLRNN:
    rng = np.random.default_rng(seed)
    A, W, h = rng.uniform(-0.9, 0.9, 2), rng.normal(size=(2, 2)), rng.normal(size=2)
    return cx.DendriticPLRNN(A=A, W=W, h=h, alpha=rng.normal(size=2), thresholds=rng.normal(size=(2, 2)))


def almost_linear(seed: int) -> cx.AlmostLinearRNN:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(4, 4)) / 1.5
    return cx.AlmostLinearRNN(A=rng.uniform(-0.9, 0.9, 4), W=W, h=rng.normal(size=4), num_gated=2)


def relu_rnn(seed: int) -> cx.ReLURNN:
    rng = np.random.default_rng(seed)
    return cx.ReLURNN(W=1.5 * rng.normal(size=(3, 3)), b=rng.normal(size=3))


def skew_tent(seed: int) -> cx.SkewTentMap:
    rng = np.random.default_rng(seed)
    return cx.SkewTentMap(left=rng.uniform(0.3, 2), right=-rng.uniform(1, 3), offset=rng.uniform(0.1, 1))


def lozi(seed: int) -> cx.LoziMap:
    rng = np.random.default_rng(seed)
    return cx.LoziMap(rng.uniform(1, 1.9), rng.uniform(0.1, 0.7))


def keys_of(cycles: cx.Cycles) -> set:
    return {word_key(cycle.gates) for cycle in cycles}


@pytest.mark.parametrize(
    ("make", "orders", "seeds"),
    [
        (lambda seed: plrnn(seed, 3), 4, 6),
        (lambda seed: plrnn(seed, 8, 0.5), 1, 10),
        (shallow, 3, 6),
        (dendritic, 3, 6),
        (almost_linear, 4, 6),
        (relu_rnn, 4, 6),
        (skew_tent, 4, 6),
        (lozi, 4, 6),
    ],
    ids=["PLRNN", "PLRNN-8", "shallow", "dendritic", "almost-linear", "ReLU-RNN", "skew-tent", "Lozi"],
)
@pytest.mark.parametrize("some", [3, slow(1)], ids=["a third", "all"])
def test_complete_against_all_words(make, orders, seeds, some):
    number, seeds = 0, seeds // some
    for seed in range(seeds):
        model = make(seed)
        every = cx.enumerate_cycles(model, orders, method=cx.Exhaustive(), progress=False)
        found = cx.find_cycles(model, orders, key=seed, finder=FINDER, progress=False)
        assert keys_of(found) == keys_of(every), f"seed {seed}"
        number += len(every)
        for entry in found.report["orders"].values():
            assert entry["verdict"] in ("likely", "proved complete"), entry
            assert entry["paths"]["broken"] == entry["paths"]["lost"] == entry["paths"]["unfinished"] == 0
            assert entry["paths"]["rays"] + entry["paths"]["closed"] == entry["paths"]["number"]
    assert number >= seeds / 2


# -- against a walk in plain NumPy ------------------------------------------------------------------------------------


def plain_walk(model, order: int, x: np.ndarray, sense: int, most: int = 3000):
    """Follow one way along the path from states `(k, M)`, solving for the direction anew in each region.

    **Returns:** the words of all pieces, those in which t = 1 is crossed, and how it ended.
    """
    step, size = plain_map(model), x.shape[1]
    bounds = affine_form(model)
    c, b = np.kron(np.eye(order), bounds.gradients), np.tile(bounds.offsets, order)
    E = np.roll(x, -1, axis=0) - np.stack([step(z) for z in x])
    x, t, word, words, crossed = x.ravel(), 0.0, None, [], []
    for _ in range(most):
        y = c @ x + b
        word = y > 0 if word is None else word
        if any(np.array_equal(word, old) for old in words):
            return words, crossed, "closed" if np.array_equal(word, words[0]) else "met twice"
        words.append(word.copy())
        gates = word.reshape(order, -1)
        S = np.zeros((order * size, order * size))
        for i in range(order):
            j = (i + 1) % order
            S[i * size : (i + 1) * size, j * size : (j + 1) * size] += np.eye(size)
            jacobian = bounds.closed + np.tensordot(gates[i].astype(float), bounds.jumps, axes=1)
            S[i * size : (i + 1) * size, i * size : (i + 1) * size] -= jacobian
        v = -np.linalg.solve(S, E.ravel())
        speed = sense * (c @ v)
        toward = np.where(word, speed < 0, speed > 0) & np.tile(bounds.effective, order)
        distance = np.where(toward, np.maximum(-y / np.where(toward, speed, 1), 0), np.inf)
        g, far = int(np.argmin(distance)), float(np.min(distance))
        if (sense > 0 and t < 1 <= t + far) or (sense < 0 and t > 1 >= t - far):
            crossed.append(word.copy())
        if not np.isfinite(far):
            return words, crossed, "ray"
        x, t = x + sense * far * v, t + sense * far
        word[g] = not word[g]
        after = S.copy()
        i = g // len(bounds.offsets)
        jump = bounds.jumps[g % len(bounds.offsets)] * (1 if word[g] else -1)
        after[i * size : (i + 1) * size, i * size : (i + 1) * size] -= jump
        if np.linalg.slogdet(after)[0] != np.linalg.slogdet(S)[0]:
            sense = -sense
    return words, crossed, "limit"


@pytest.mark.parametrize(
    ("model", "order", "expected"),
    [
        (plrnn(5, 8, 0.6), 1, {"ray", "closed"}),
        (plrnn(3, 3), 4, {"ray", "closed"}),
        (shallow(2), 3, {"ray"}),
        (cx.LoziMap(1.7, 0.5), 6, {"ray", "closed"}),
    ],
    ids=["PLRNN-8", "PLRNN-3", "shallow", "Lozi"],
)
def test_paths_are_those_of_a_plain_walk(model, order, expected):
    rng = np.random.default_rng(0)
    states = 3 * rng.normal(size=(24, order, model.num_states))
    with numerics():
        problem = Problem(merged_gates(affine_form(model)), order)
        paths = Walker(problem, 16, 3000).run(problem.entered(states), np.zeros(24), problem.entered(0 * states))
        met = [set() for _ in states]
        for path, word in zip(paths.met.path, paths.met.word, strict=True):
            met[path].add(problem.words(paths.held[int(word)][None])[0].tobytes())
        ends, longest = set(), 0
        for i, x in enumerate(states):
            crossed = []
            for way, sense in enumerate((1, -1)):
                words, hits, end = plain_walk(model, order, x, sense)
                assert end in ("ray", "closed"), "a region was met twice"
                crossed += hits
                assert Fate(paths.fate[i, way]).name.lower() == end
                assert paths.pieces[i, way] == len(words) - (end == "ray")
                longest = max(longest, len(words))
                ends.add(end)
                if end == "closed":
                    break
            assert met[i] == {word.tobytes() for word in crossed}
    assert ends == expected
    assert longest > 10


# -- what does not matter, what is counted ----------------------------------------------------------------------------


def plain_report(cycles: cx.Cycles) -> dict:
    return {
        order: {k: v for k, v in entry.items() if k != "solves"} for order, entry in cycles.report["orders"].items()
    }


def test_lanes_do_not_matter():
    model = several()
    results = [
        cx.find_cycles(model, [1], key=3, finder=cx.PathFollowing(unseen=1e-2, lanes=lanes), progress=False)
        for lanes in (1, 16, None)
    ]
    first = results[0]
    assert len(first) > 1
    for other in results[1:]:
        assert keys_of(other) == keys_of(first)
        assert plain_report(other) == plain_report(first)


def test_a_batch_is_its_models_one_by_one():
    models = [plrnn(seed, 3) for seed in range(3)]
    together = cx.find_cycles(models, 2, key=0, finder=FINDER, progress=False)
    for i, (one, found) in enumerate(zip(models, together, strict=True)):
        alone = cx.find_cycles(one, 2, key=jax.random.fold_in(jax.random.key(0), i), finder=FINDER, progress=False)
        assert keys_of(alone) == keys_of(found)
        assert plain_report(alone) == plain_report(found)


def test_degenerate_crossings_are_lost_and_counted():
    """On the diagonal all gates of all states cross at once: of such a path nothing can be said."""
    model = cx.LoziMap(1.7, 0.5)
    with numerics():
        bounds = affine_form(model)
        problem = Problem(merged_gates(bounds), 12)
        states = np.random.default_rng(0).normal(size=(32, 1, 2))
        x = problem.entered(1e6 * np.tile(states, (1, 12, 1)))
        paths = Walker(problem, 16, 3000).run(x, np.zeros(32), 0 * x)
        lost = int(np.sum(np.any(paths.fate == Fate.LOST, axis=1)))
        assert lost > 0
        tally = PathTally(12)
        tally.absorb(paths, Inventory(model, bounds, [12]), problem.words)
    assert tally.effort()["lost"] == lost
    assert tally.sound == 32 - lost


def test_a_way_whose_digits_are_lost_ends():
    """So far out a path has no defect that is a number: both its ways are lost, and the others go on."""
    visits = itertools.count()
    with numerics():
        problem = Problem(merged_gates(affine_form(plrnn(0, 3))), 1)
        x = problem.entered(np.random.default_rng(0).normal(size=(8, 1, 3)))
        x[3] = 1.7e308
        paths = Walker(problem, 16, 3000).run(x, np.zeros(8), 0 * x, lambda: next(visits) > 100)
    assert paths.complete
    assert (paths.fate[3] == Fate.LOST).all()
    assert not np.any(np.delete(paths.fate, 3, axis=0) == Fate.LOST)


def test_a_missed_crossing_breaks_a_path():
    model = several()
    with numerics():
        bounds = affine_form(model)
        problem = Problem(merged_gates(bounds), 1)
        x = problem.entered(3 * np.random.default_rng(0).normal(size=(64, 1, 12)))
        paths = Walker(problem, 16, 3000).run(x, np.zeros(64), 0 * x)
        inner = [i for i in range(1, len(paths.met.path) - 1) if len(set(paths.met.path[i - 1 : i + 2])) == 1]
        assert inner
        missed = follow.Met(*(np.delete(part, inner[0]) for part in paths.met))
        tallies = PathTally(1), PathTally(1)
        for tally, met in zip(tallies, (paths.met, missed), strict=True):
            tally.absorb(follow.Paths(paths.fate, paths.pieces, met, paths.held, True), Inventory(model, bounds, [1]),
                         problem.words)  # fmt: skip
    assert [tally.broken for tally in tallies] == [0, 1]


def test_a_pieces_limit_is_counted():
    found = cx.find_cycles(several(), 1, key=0, progress=False, finder=cx.PathFollowing(pieces=2, paths=64))
    entry = found.report["orders"]["1"]
    assert entry["verdict"] == "unknown"
    assert entry["paths"]["unfinished"] > 32
    assert entry["paths"]["number"] == 64


# -- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_sums_of_relus_are_the_map(name):
    model = MODELS[name]()
    rng, step = np.random.default_rng(0), plain_map(model)
    with numerics():
        bounds = affine_form(model)
        gates = merged_gates(bounds)
        for z in 3 * rng.normal(size=(20, model.num_states)):
            np.testing.assert_allclose(gates.step(z[None])[0], step(z), rtol=1e-12, atol=1e-12)
            word = gates.words((gates.c @ z + gates.b > 0)[None, None])[0, 0]
            np.testing.assert_array_equal(word[bounds.effective], bounds.gates(z)[bounds.effective])


def test_gates_of_one_plane_are_one():
    rng = np.random.default_rng(0)
    W2, h2 = rng.normal(size=(3, 2)), rng.normal(size=3)
    W2, h2 = np.concatenate([W2, -2 * W2[:1], 4 * W2[1:2]]), np.concatenate([h2, -2 * h2[:1], 4 * h2[1:2]])
    model = cx.ShallowPLRNN(A=[0.5, -0.3], W1=rng.normal(size=(2, 5)), W2=W2, h1=rng.normal(size=2), h2=h2)
    with numerics():
        gates = merged_gates(affine_form(model))
        assert len(gates.b) == 3
        z = rng.normal(size=(50, 2))
        np.testing.assert_allclose(gates.step(z), np.stack([plain_map(model)(one) for one in z]), atol=1e-12)
        words = gates.words((z @ gates.c.T + gates.b > 0)[:, None])[:, 0]
        np.testing.assert_array_equal(words, z @ W2.T + h2 > 0)
    every = cx.enumerate_cycles(model, 2, method=cx.Exhaustive(), progress=False)
    assert keys_of(cx.find_cycles(model, 2, key=0, finder=FINDER, progress=False)) == keys_of(every)


def test_a_jump_cannot_be_followed():
    class Jump(cx.AbstractPiecewiseLinearMap):
        """x' = x / 2 - 1 where x > 0, else x / 2 + 1."""

        slope: np.ndarray

        @property
        def num_states(self):
            return 1

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return self.slope * z + 1 - 2 * gates

    found = cx.find_cycles(Jump(np.array([0.5])), 1, key=0, finder=cx.PathFollowing(), progress=False)
    entry = found.report["orders"]["1"]
    assert entry["verdict"] not in ("likely", "proved complete")
    assert "gate 0" in entry["paths"]["refused"]
    assert "continuous" in entry["paths"]["refused"]
    with numerics():
        bounds = affine_form(plrnn(0, 3))
    jumps = bounds.jumps.copy()
    jumps[1, 0, 2] += 1e-3
    with pytest.raises(NotFollowedError, match="gate 1"):
        merged_gates(bounds._replace(jumps=jumps))


def test_a_singular_region_is_crossed():
    """x' = 0.3 - x / 2 for x < 0, x + 0.3 up to 1, and 1.8 - x / 2 beyond: between, x goes on while t rests."""
    model = cx.ShallowPLRNN(A=[-0.5], W1=[[1.5, -1.5]], W2=[[1.0], [1.0]], h1=[0.3], h2=[0.0, -1.0])
    with numerics():
        problem = Problem(merged_gates(affine_form(model)), 1)
        x = problem.entered(np.array([-2.0, 3.0, 0.5])[:, None, None])
        paths = Walker(problem, 16, 100).run(x, np.zeros(3), 0 * x)
    assert paths.fate[:2].tolist() == [[Fate.RAY] * 2] * 2
    assert paths.pieces[:2].tolist() == [[2, 0], [2, 0]]
    assert paths.met.path.tolist() == [0, 1]
    words = problem.words(np.stack([paths.held[int(word)] for word in paths.met.word]))
    assert words.tolist() == [[[True, True]]] * 2
    assert paths.fate[2].tolist() == [Fate.SINGULAR] * 2


def test_networks_with_singular_regions():
    """Half of the regions have I - J singular: with A = 1 the first state is summed up while its gate is closed."""
    number = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A = np.append(1.0, rng.uniform(-0.9, 0.9, 4))
        W = rng.normal(size=(5, 5))
        W[1:, 0] = 0
        W[0, 1:] = 0
        model = cx.PLRNN(A=A, W=W + np.diag([-0.5, 0, 0, 0, 0]), h=rng.normal(size=5))
        every = cx.enumerate_cycles(model, 1, method=cx.Exhaustive(), progress=False)
        found = cx.find_cycles(model, 1, key=0, finder=FINDER, progress=False)
        assert keys_of(found) == keys_of(every)
        number += len(found)
    assert number > 2


# -- the finder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"paths": 0}, ValueError),
        ({"pieces": -1}, ValueError),
        ({"lanes": 1.5}, TypeError),
        ({"unseen": 0.0}, ValueError),
        ({"unseen": 1}, ValueError),
        ({"seconds": 0}, ValueError),
    ],
)
def test_bad_settings_name_themselves(settings, error):
    with pytest.raises(error, match=f"PathFollowing: {next(iter(settings))}"):
        cx.PathFollowing(**settings)


def test_too_many_unknowns_are_refused():
    found = cx.find_cycles(plrnn(0, 3), [401], key=0, finder=cx.PathFollowing(paths=32), progress=False)
    assert "512 unknowns" in found.report["orders"]["401"]["reason"]


def test_ctrl_c_returns_what_was_found(monkeypatch):
    absorb, calls = PathTally.absorb, itertools.count()

    def absorb_and_interrupt(*arguments):
        absorb(*arguments)
        if next(calls) == 2:
            _thread.interrupt_main()

    monkeypatch.setattr(PathTally, "absorb", absorb_and_interrupt)
    found = cx.find_cycles(several(), 1, key=0, finder=cx.PathFollowing(unseen=1e-6), progress=False)
    assert "Ctrl-C" in found.report["interrupted"]
    assert len(found) > 1
    assert found.report["orders"]["1"]["verdict"] == "unknown"


def test_words_given_are_verified():
    model = several()
    some = cx.find_cycles(model, 1, key=0, finder=FINDER, progress=False)
    finder = cx.PathFollowing(paths=1, pieces=1)
    given = cx.find_cycles(model, 1, key=0, words=[cycle.gates for cycle in some], finder=finder, progress=False)
    assert keys_of(given) == keys_of(some)


@pytest.mark.skipif(not (CASES / "flipflop_64.json").is_file(), reason="the case files are not here")
def test_flip_flop():
    """A trained network of 64 units: 23 fixed points, and a proof of completeness is out of reach of enumeration."""
    model = cx.load(CASES / "flipflop_64.json")
    found = cx.find_cycles(model, 1, key=0, finder=cx.PathFollowing(unseen=1e-2), progress=False)
    assert found.counts == {1: 23}
    assert found.report["orders"]["1"]["index_sum"] == 1
