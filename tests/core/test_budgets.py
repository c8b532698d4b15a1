"""Time budgets, by clocks that are made up: a clock that jumps, or one that ticks whenever it is asked."""

import threading
import time

import jax
import numpy as np
import pytest

import cyclax as cx
from cyclax.core.budget import CERTIFICATION, PROOF, SOLVING, Budget, SpentError, TooExpensiveError
from cyclax.core.interruption import Interruption
from cyclax.cycles import inventory as inventory_module
from cyclax.maps.affine import affine_form
from cyclax.proofs import certify as certify_module
from cyclax.proofs import enumerate as enumerate_module
from cyclax.proofs import exhaustive
from cyclax.proofs.boxes import derived_box, outer_polytope, pieces_of
from cyclax.proofs.branch_and_bound import branching as branch_and_bound
from cyclax.proofs.branch_and_bound import relaxation
from cyclax.proofs.candidates import Box, Candidates
from cyclax.proofs.paced import Paced
from cyclax.proofs.word_graph import joins, programs, regions, walks
from cyclax.proofs.word_graph import refinement as word_graph

LOZI = cx.LoziMap(1.7, 0.5)
METHODS = [cx.Exhaustive(), cx.WordGraph(), cx.WordGraph(rigorous=True), cx.BranchAndBound()]


class Clock:
    """Asked for the `jump`-th time it jumps far beyond any deadline; it ticks each time."""

    def __init__(self, jump=np.inf, tick=0.0):
        self.jump, self.tick, self.asked, self.lock = jump, tick, 0, threading.Lock()

    def __call__(self):
        with self.lock:
            self.asked += 1
            return self.asked * self.tick + (1e9 if self.late else 0.0)

    @property
    def late(self):
        return self.asked >= self.jump


@pytest.fixture
def clock_of(monkeypatch):
    def use(**settings):
        clock = Clock(**settings)
        monkeypatch.setattr(Budget, "clock", clock)
        return clock

    return use


def network(number, seed=0):
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(0.3, 0.9, number), rng.normal(size=(number, number)) / np.sqrt(number)
    return cx.PLRNN(A=A, W=W, h=rng.normal(size=number))


def read(model):
    with jax.enable_x64(True):
        return affine_form(model)


def complete(cycles):
    return [int(order) for order, entry in cycles.report["orders"].items() if entry["verdict"] == "proved complete"]


@pytest.fixture(scope="module")
def truth():
    return cx.enumerate_cycles(LOZI, 8, method=cx.Exhaustive(), progress=False).counts


# -- what is claimed when time runs out --------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [1, 8, "all"])
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_whenever_time_runs_out_claims_are_true(truth, method, orders, clock_of, monkeypatch):
    """Seconds are looks at the clock: few are taken beyond the budget, and the more there are, the more is proved."""
    if orders == "all" and not isinstance(method, cx.WordGraph):
        pytest.skip("has no end")
    monkeypatch.setattr(word_graph, "MOST_LISTED", 1000)
    counted = []
    for seconds in (1, 3, 10, 30, 100, 150, 200, 300, 500, 700, 1000, 2000):
        clock = clock_of(tick=1.0)
        budget = Budget(seconds=seconds, nodes=1000)
        try:
            cycles = cx.enumerate_cycles(LOZI, orders, method=method, budget=budget, progress=False)
        except cx.TooExpensiveError:
            assert seconds < 20
            assert isinstance(method, cx.Exhaustive)
            cycles = cx.Cycles((), (), {"orders": {}, "completeness": {"unfinished": "refused"}})
        assert clock.asked <= 1.1 * seconds + 60
        proved = complete(cycles)
        for order in set(cycles.orders) & set(truth):
            assert cycles.counts[order] <= truth[order]
            assert order not in proved or cycles.counts[order] == truth[order]
        assert cycles.report["completeness"]["unfinished"] or cycles.orders == tuple(proved)
        counted.append(len(proved))
    assert counted[0] == 0
    assert counted[-1] == max(counted) >= (1 if orders == 1 else 8)
    if orders == 8 and method in (cx.BranchAndBound(), cx.WordGraph(rigorous=True)):  # others do all orders at once
        assert len(set(counted)) > 2


def counting(monkeypatch, module, name, clock):
    """Count the calls of a function that begin after the time is over."""
    calls, inner = [], getattr(module, name)

    def called(*arguments, **settings):
        if clock.late:
            calls.append(name)
        return inner(*arguments, **settings)

    monkeypatch.setattr(module, name, called)
    return calls


@pytest.mark.parametrize("jump", [4, 9, 30, 100, 300])
@pytest.mark.parametrize(
    ("method", "module", "name"),
    [
        (cx.Exhaustive(), exhaustive, "surviving"),
        (cx.WordGraph(), word_graph, "closed_walks"),
        (cx.WordGraph(), inventory_module, "verify_words"),
        (cx.WordGraph(), word_graph, "map_regions"),
        (cx.WordGraph(), relaxation.Simplex, "run"),
        (cx.WordGraph(rigorous=True), certify_module, "prove"),
        (cx.BranchAndBound(), relaxation.Simplex, "run"),
        (cx.BranchAndBound(), branch_and_bound, "relax"),
        (cx.BranchAndBound(), inventory_module, "verify_words"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_nothing_long_begins_after_the_time(method, module, name, jump, clock_of, monkeypatch):
    clock = clock_of(jump=jump)
    calls = counting(monkeypatch, module, name, clock)
    cx.enumerate_cycles(LOZI, 8, method=method, box=10.0, budget=100.0, progress=False)
    # What the clock was asked for before it jumped may have just begun.
    assert len(calls) <= 1


@pytest.mark.parametrize("jump", range(2, 60, 3))
def test_no_linear_program_begins_after_the_time(jump, clock_of, monkeypatch):
    """Bounds of columns are tightened at first, with two programs for each."""
    bounds, box = read(network(8)), Box(np.full(8, -99.0), np.full(8, 99.0))
    clock, budget = clock_of(jump=jump), Budget(seconds=100.0)
    calls = counting(monkeypatch, relaxation.Simplex, "run", clock)
    budget.start()
    found = branch_and_bound.branch_and_bound(bounds, [1, 2], box, budget, lambda text: None)
    assert "time budget" in found.unfinished
    assert len(calls) <= 1


def test_the_derivation_of_a_box_gets_its_share(clock_of):
    """L = A + W / 2 = 0.9985: thousands of its powers are summed."""
    model = cx.PLRNN(A=[0.998], W=[[0.001]], h=[1.0])
    assert derived_box(read(model)) is not None
    asked = []
    derived_box(read(model), lambda: asked.append(0))
    assert len(asked) > 1000
    clock_of(tick=0.01)
    cycles = cx.enumerate_cycles(model, 2, method=cx.WordGraph(), budget=60.0, progress=False)
    assert "10% of the time budget" in cycles.report["completeness"]["notes"]["box"]
    assert cycles.report["completeness"]["where"] == "inside the box"


def test_the_polytope_does_not_depend_on_the_clock(clock_of, monkeypatch):
    pieces, box = pieces_of(read(network(6))), Box(np.full(6, -50.0), np.full(6, 50.0))
    whole = outer_polytope(pieces, box)
    clock_of(tick=1e6)
    assert all(np.array_equal(*pair) for pair in zip(whole, outer_polytope(pieces, box), strict=True))
    # What is counted limits it, and what it then gives still holds the other.
    monkeypatch.setattr("cyclax.proofs.boxes.MOST_OPERATIONS", 1e5)
    rough = outer_polytope(pieces, box)
    assert np.all(rough[1][:12] >= whole[1][:12])
    assert np.any(rough[1][:12] > whole[1][:12])


# -- solving -----------------------------------------------------------------------------------------------------------


def candidates(numbers, everything=False):
    words = {order: np.zeros((number, order, 3), bool) for order, number in numbers.items()}
    return Candidates(words, tuple(numbers), everything, 0, 0, 0.0)


@pytest.mark.parametrize("everything", [False, True])
def test_words_that_are_not_reached_take_their_claims_with_them(everything, clock_of):
    """10 + 20 + 300 words of orders 1, 2, 4, in chunks; the clock ticks once for each chunk."""
    clock_of(tick=1.0)
    budget = Budget(seconds=5.0)
    budget.start()
    paced = Paced(candidates({1: 10, 2: 20, 4: 300}, everything), 3, budget)
    solved = [(order, len(words)) for order, words in paced]
    done = paced.done
    assert solved[:2] == [(1, 10), (2, 20)]
    assert done.complete == ((1, 2, 3) if everything else (1, 2))
    assert not done.all_orders
    number = sum(some for order, some in solved if order == 4)
    assert 100 < number < 300
    assert len(done.words[4]) == number
    assert f"after {number} of 300 words of order 4" in done.unfinished


def test_all_that_is_reached_is_kept():
    budget = Budget()
    budget.start()
    found = candidates({3: 700, 1: 2})
    paced = Paced(found, 3, budget)
    solved = list(paced)
    assert [order for order, _ in solved] == sorted(order for order, _ in solved)
    assert {k: sum(len(some) for order, some in solved if order == k) for k in (1, 3)} == {1: 2, 3: 700}
    assert paced.done is found


def test_proofs_of_cycles_stop_in_time():
    cycles = cx.find_cycles(LOZI, 6, key=0, progress=False)
    whole = cx.certify(LOZI, cycles, progress=False)
    asked = iter(range(30))

    def check():
        if next(asked, None) is None:
            raise SpentError("the time ran out")

    cut = certify_module.certify_in_time(LOZI, cycles, check=check)
    statuses = [cycle.certificate.status for cycle in cut]
    number = statuses.count("proved")
    assert 0 < number < len(cycles)
    assert statuses[number:] == ["not tried"] * (len(cycles) - number)
    assert [c.certificate for c in cut[:number]] == [c.certificate for c in whole[:number]]
    assert cut.report["certificate"]["interrupted"] == "the time ran out"


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_parts_end_one_after_another(clock_of):
    clock = clock_of(tick=0.0)
    budget = Budget(seconds=100.0)
    budget.start(begun=-10.0)
    for share in (PROOF, SOLVING, CERTIFICATION):
        budget.until(share)
        assert budget.left() == pytest.approx(100.0 * share - 10.0)
    clock.jump = 0
    assert budget.left() == 0.0
    assert "time budget of 100 s" in budget.spent()
    with pytest.raises(SpentError, match="time budget"):
        budget.check()


def test_ctrl_c_is_as_quick_as_a_budget_of_the_seconds_that_had_passed(clock_of):
    clock_of(tick=0.0)
    interruption = Interruption()
    budget = Budget(seconds=1000.0)
    budget.start(interruption, begun=-20.0)
    assert budget.spent() is None
    interruption.pressed = True
    assert budget.spent() == "interrupted by Ctrl-C"
    budget.until(SOLVING)
    assert budget.spent() is None
    assert budget.left() == pytest.approx((SOLVING - PROOF) * 20.0)
    budget.until(CERTIFICATION)
    assert budget.left() == pytest.approx((CERTIFICATION - PROOF) * 20.0)


def test_what_would_exceed_the_budget_is_refused_by_a_measurement(clock_of, monkeypatch):
    model, box = network(5), Box(np.full(5, -9.0), np.full(5, 9.0))
    bounds = read(model)

    def run(tick, seconds):
        clock_of(tick=tick)
        budget = Budget(seconds=seconds)
        budget.start()
        return exhaustive.exhaustive(model, bounds, [1, 2], box, budget, lambda text: None)

    monkeypatch.setattr(exhaustive, "SAMPLE", 8)
    with pytest.raises(cx.TooExpensiveError, match=r"1056 words .* would take about .* Lower the orders"):
        run(tick=10.0, seconds=30.0)
    assert run(tick=1e-9, seconds=1.0).complete == (1, 2)
    assert cx.TooExpensiveError is TooExpensiveError


# -- interrupted in the middle -----------------------------------------------------------------------------------------


def test_a_large_program_is_interrupted_between_pivots():
    model = network(120)
    program = relaxation.relax(read(model), 1, Box(np.full(120, -1e3), np.full(120, 1e3)))
    assert program.matrix.size > relaxation._LARGE
    asked = []

    def stop():
        asked.append(0)
        return len(asked) > 5

    simplex = relaxation.Simplex(program, stop)
    assert simplex.point(program.lower, program.upper) == (None, None)
    assert len(asked) < 20
    point, _ = relaxation.Simplex(program, lambda: False).point(program.lower, program.upper)
    assert point is not None


def test_programs_are_halted():
    program = programs.make_program(2, 9)
    rows = np.concatenate([np.eye(2), -np.eye(2), [[1.0, 1.0]]])
    program.rows[:2, :5], program.right[0, :5] = rows.T, [1, 1, 1, 1, -5]
    program.rows[2, :6] = 1.0
    program.right[0, 5] = 1.0
    for halted in (1, 0):
        program.basis[:] = [0, 1, 5]
        program.inverse[0] = [[1, 0, -1], [0, 1, -1], [0, 0, 1]]
        program.effort[programs.HALT] = halted
        status = programs.descend(program, 6, -1e-9, False)
        assert status == (programs.UNDECIDED if halted else programs.INFEASIBLE)
        assert (program.effort[programs.PIVOTS] == 0) == bool(halted)


def test_workers_that_are_waited_for_are_halted():
    """The work would never end by itself."""
    crew, asked = regions.Workers(2, 2, 9), []

    def work(program, first, last):
        while not program.effort[programs.HALT]:
            time.sleep(1e-3)

    def check():
        asked.append(0)
        if len(asked) > 2:
            raise SpentError

    with pytest.raises(SpentError):
        list(crew.map(work, 100, check))
    assert not any(room.effort[programs.HALT] for room in crew._all)


def test_joins_are_halted_within_a_word(monkeypatch):
    """One word with many candidates: halted, the kernel is done with it, and has found nothing."""
    model = network(4)
    seen = []

    def extend(atlas, program, *arguments):
        program.effort[programs.HALT] = 1
        seen.append(joins.extend(atlas, program, *arguments))
        program.effort[programs.HALT] = 0
        return joins.extend(atlas, program, *arguments)

    monkeypatch.setattr(word_graph, "extend", extend)
    budget = Budget(nodes=2000)
    budget.start()
    word_graph.word_graph(read(model), [1, 2], Box(np.full(4, -9.0), np.full(4, 9.0)), budget, lambda text: None)
    assert seen
    assert all(filled == 0 for _, filled in seen)


def full_shift(length):
    """All words of two symbols, joined where they overlap."""
    words = np.array(list(np.ndindex(*[2] * length)), np.int32)
    nodes = np.arange(2**length)
    source, target = np.repeat(nodes, 2), (2 * nodes[:, None] % 2**length + [0, 1]).ravel()
    return walks.Graph(len(words), source, target), words


@pytest.mark.parametrize("length", [1, 4])
def test_walks_are_listed_in_pieces(length, monkeypatch):
    """Necklaces of two colors; however little is done in one call of the kernel."""
    graph, words = full_shift(length)
    whole, _ = walks.closed_walks(graph, words, [3, 8], 10_000, 10**7)
    monkeypatch.setattr(walks, "STRIDE", 7)
    monkeypatch.setattr(walks, "LISTED", 3)
    asked = []
    pieces, _ = walks.closed_walks(graph, words, [3, 8], 10_000, 10**7, lambda: asked.append(0))
    assert {order: len(some) for order, some in whole.items()} == {3: 2, 8: 30}
    assert all(np.array_equal(whole[order], pieces[order]) for order in (3, 8))
    assert len(asked) > 30


# -- what is left open is searched -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [cx.WordGraph(), cx.BranchAndBound()], ids=repr)
def test_what_a_proof_leaves_open_is_searched(truth, method):
    cycles = cx.enumerate_cycles(LOZI, 8, method=method, budget=Budget(nodes=3), progress=False)
    assert complete(cycles) in ([], [1])
    assert cycles.counts == truth


def test_what_a_tree_had_found_is_kept(monkeypatch):
    """Of the eight fixed points the first thousand nodes come upon eight; the tree then begins anew, and is cut."""
    monkeypatch.setattr(enumerate_module, "search_nearby", lambda *arguments: None)
    cycles = cx.enumerate_cycles(network(30, seed=12), 1, budget=Budget(nodes=1001), progress=False)
    assert complete(cycles) == []
    assert len(cycles) == 8
