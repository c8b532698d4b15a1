"""How much of what there is does the search find? `python -m benchmarks.recall`; writes `results/recall.md`.

Complete sets come from exact enumeration. Starts of several strategies are run by the kernel of `find_cycles`, in turn,
and the share of the cycles of one order met so far is read off against the solves made so far. The estimate of what is
unseen is held against what other starts of the same strategy then meet. The same of paths, in pieces instead of solves.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

import cyclax as cx
from benchmarks.branch_and_bound import network
from benchmarks.closed_walks import random_closed_walks
from cyclax.core.budget import Budget
from cyclax.core.interruption import Interruption
from cyclax.core.stop import Stop
from cyclax.cycles.verify import Verified, verify_hits
from cyclax.cycles.word import word_key
from cyclax.maps.affine import affine_form, state_scale
from cyclax.proofs.candidates import Box
from cyclax.proofs.word_graph.refinement import Refinement
from cyclax.search.lanes import POOL, Fate, Rounds, cached_lanes
from cyclax.search.path_following import PathSearch
from cyclax.search.starts import drawn_starts, follow, given_starts, initial_states
from cyclax.search.tally import Network, StartTally

RESULTS = Path(__file__).resolve().parent / "results" / "recall.md"
STRATEGIES = ("orbits", "attractor", "uniform words", "both (the default)", "word graph")
SHARES = (0.5, 0.9, 0.99, 1.0)
MOVES = 64
# Paths that are followed between two looks; and how many others tell, at least, what had not been met.
PATHS, TRUTH = 32, 4096
HEAD = """# Recall of the search: how many solves until all cycles are found

`python -m benchmarks.recall`: {cores} cores, cpu, load {load:.1f} as this began (solves a second depend on that).
Solves, or pieces of paths, after which so many of the cycles were known; *never*: not within the limit of the case.
*Unseen*: the share of converging starts (or of paths) that lead to a cycle not met yet, as estimated and bounded at the
end (of paths: when 90 % were known), and in *truth*, among a second and larger sample.
"""
# Word graphs look this many times further than the states that matter, as `enumerate_cycles` does.
_REACH = 1e4


def coupled_tents(slope: float = 1.99, coupling: float = 0.1) -> cx.PLRNN:
    """Three tent maps, each drawn to the mean of all: z' = C (1 - slope |z|)."""
    C = (1 - coupling) * np.eye(3) + coupling / 3
    return cx.PLRNN(A=slope * C, W=-2 * slope * C, h=C @ np.ones(3))


def five_dimensional(seed: int, gain: float = 1.5) -> cx.PLRNN:
    """Random networks without self-connections."""
    rng = np.random.default_rng(seed)
    A, W = rng.uniform(0.3, 0.9, 5), gain * rng.normal(size=(5, 5)) / np.sqrt(5)
    return cx.PLRNN(A=A, W=W - np.diag(np.diag(W)), h=rng.normal(size=5))


class Strategy:
    """Starts of one kind for one model and order, in blocks of `pool`."""

    def __init__(self, name: str, model, order: int, seconds: float = 20.0, pool: int = POOL):
        self.name, self.model, self.order, self.pool = name, model, order, pool
        self.lanes = min(pool, cached_lanes(model.num_states, 1))
        self.bounds = affine_form(model)
        self.scale = state_scale(self.bounds)
        self.models = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model)
        self.key = jax.random.fold_in(jax.random.key(1), order)
        self.preparation, self.graph = 0.0, None
        if name == "word graph":
            begin = time.perf_counter()
            budget, reach = Budget(seconds=seconds), _REACH * self.scale
            budget.start()
            refinement = Refinement(
                self.bounds,
                [order],
                Box(np.full(model.num_states, -reach), np.full(model.num_states, reach)),
                budget,
                lambda _: None,
                2,
            )
            refinement.run()
            self.graph, self.refinement = refinement.graph, refinement
            self.preparation = time.perf_counter() - begin

    def block(self, number: int):
        """Give block `number` of starts: nodes `(1, M, 1, n)` and hashes of words `(1, n)`."""
        pool = self.pool
        shape = dict(pool=2 * pool, segments=1, lanes=self.lanes)
        if self.name in STRATEGIES[:1] + STRATEGIES[2:4]:
            every = 1 if self.name.startswith("both") else 2
            first = np.array([number * pool * every])
            z, word = drawn_starts(
                self.models, self.order, self.key[None], first, np.array([self.scale]), pool * every, **shape
            )
            begin = 1 if self.name == "uniform words" else 0
            return np.asarray(z)[..., begin : pool * every : every], np.asarray(word)[:, begin : pool * every : every]
        if self.name == "attractor":
            seeds = jax.random.bits(jax.random.fold_in(self.key, number), (2, pool), np.uint64)
            z = initial_states(seeds, self.model.num_states, self.scale)
            z = follow(self.model, z, np.full(pool, 1000), 1000, self.scale)
            return np.asarray(z)[None, :, None], np.zeros((1, pool), np.uint64)
        walks = random_closed_walks(self.graph, self.order, pool, np.random.default_rng(number))
        words = self.refinement.gates(self.refinement.words[walks, 0])
        z, word = given_starts(self.models, self.order, np.moveaxis(words, 0, -1), segments=1)
        usable = np.all(np.isfinite(np.asarray(z)), axis=(0, 1, 2))
        return np.asarray(z)[..., usable], np.asarray(word)[:, usable]


def reached(times: list[int], number: int) -> list[float]:
    """Give the work at which each of SHARES of so many cycles had been met, as each of `times` met one; inf: never."""
    return [times[int(np.ceil(share * number)) - 1] if len(times) >= share * number else np.inf for share in SHARES]


def shares(times: list[int], number: int) -> str:
    """Write what `reached` gives, and the share that was met in the end, as cells of a table."""
    cells = ("never" if work == np.inf else f"{work:,}" for work in reached(times, number))
    return f"{' | '.join(cells)} | {len(times) / number:.1%}"


def recall(strategy: Strategy, complete: set, most: int):
    """Run starts until all is found or `most` solves are made.

    **Returns:** the solves at which each cycle was met, in order; solves per second; and the evidence collected.
    """
    rounds = Rounds(strategy.lanes, MOVES, strategy.pool)
    accepted, evidence = Verified(), StartTally(strategy.order)
    seen: dict[int, object] = {}
    met_at: dict[object, int] = {}
    solves, number, began = 0, 0, time.perf_counter()
    while solves < most and len(met_at) < len(complete):
        z, word = strategy.block(number)
        number += 1
        if z.shape[-1] == 0:
            break
        outcome = rounds.run(strategy.models, strategy.order, z, word, np.array([z.shape[-1]]))
        hit = np.flatnonzero(outcome.fate[0] == Fate.HIT)
        hashes, first = np.unique(outcome.word[0, hit], return_index=True)
        fresh = np.array([h not in seen for h in hashes.tolist()], bool)
        if np.any(fresh):
            states = np.transpose(outcome.z[0][:, :, hit[first[fresh]]], (2, 1, 0))
            keys = verify_hits(strategy.model, strategy.bounds, states, strategy.order, accepted)
            seen.update(zip(hashes[fresh].tolist(), keys, strict=True))
        spent = solves + np.cumsum(outcome.moves[0])
        evidence.starts += z.shape[-1]
        for i in hit.tolist():
            key = seen[int(outcome.word[0, i])]
            if key is not None:
                evidence.seen[key] += 1
                if key in complete:
                    met_at.setdefault(key, int(spent[i]))
        solves = int(spent[-1])
    seconds = time.perf_counter() - began
    return sorted(met_at.values()), solves / seconds, evidence, seen, number


def unseen_of(strategy: Strategy, evidence: StartTally, seen: dict, number: int) -> float:
    """Give the true share of converging starts that lead to what `evidence` has not met: from 8 new blocks."""
    rounds = Rounds(strategy.lanes, MOVES, strategy.pool)
    known, unknown = 0, 0
    accepted = Verified()
    for block in range(number + 100, number + 108):
        z, word = strategy.block(block)
        if z.shape[-1] == 0:
            break
        outcome = rounds.run(strategy.models, strategy.order, z, word, np.array([z.shape[-1]]))
        hit = np.flatnonzero(outcome.fate[0] == Fate.HIT)
        states = np.transpose(outcome.z[0][:, :, hit], (2, 1, 0))
        keys = verify_hits(strategy.model, strategy.bounds, states, strategy.order, accepted)
        known += sum(key in evidence.seen for key in keys if key is not None)
        unknown += sum(key not in evidence.seen for key in keys if key is not None)
    return unknown / max(1, known + unknown)


def path_search(model, order: int, seed: int) -> PathSearch:
    """Begin to follow paths. Under `numerics()`."""
    known = Network(model, affine_form(model), jax.random.key(seed), [order])
    return PathSearch(cx.PathFollowing(), known, order, Stop(None, Interruption(), Budget.clock()))


def met_by_paths(search: PathSearch, complete: set, most: int, each: int):
    """Follow `each` paths at a time until all is found, or `most` of them; after each, give the pieces at which."""
    met_at: dict[object, int] = {}
    while search.first < most and len(met_at) < len(complete):
        before = search.first
        search.spend(np.inf, search.first + each, to_the_end=True)
        if search.first == before:  # paths are not followed here
            return
        for key in complete & set(search.network.inventory.cycles):
            met_at.setdefault(key, search.tally.pieces)
        yield met_at


def recall_paths(model, order: int, complete: set, most: int):
    """Follow paths until all is found, or `most` of them.

    **Returns:** as `recall`, of pieces; and, for when 90 % had been found, the bound on what is unseen, and the share
    of other paths that meet that.
    """
    first, second = (path_search(model, order, seed) for seed in (0, 1))
    met_at: dict[object, int] = {}
    bound, seen, began = 1.0, set(), time.perf_counter()
    for met_at in met_by_paths(first, complete, most, PATHS):
        if not seen and len(met_at) >= 0.9 * len(complete):
            bound, seen = first.tally.unseen_bound, set(first.tally.seen)
    seconds = time.perf_counter() - began
    while second.first < max(first.first, TRUTH):
        second.spend(np.inf, second.first + PATHS, to_the_end=True)
    elsewhere = sum(number for key, number in second.tally.seen.items() if key not in seen)
    return sorted(met_at.values()), first.tally.pieces / seconds, bound, elsewhere / max(1, second.tally.sound)


def cases(quick: bool):
    """Give (name, model, order, complete set of identities, limit of solves)."""
    tents = coupled_tents()
    for order in (3, 4) if quick else (3, 4, 5):
        yield f"coupled tents, order {order}", tents, order, cx.Exhaustive(), 4_000_000
    for seed, order in chaotic_seeds(1 if quick else 4):
        yield f"5-D, seed {seed}, order {order}", five_dimensional(seed), order, cx.WordGraph(), 2_000_000
    for number, seed in ((30, 19), (30, 0), (50, 2)) if not quick else ():
        yield f"{number}-D, seed {seed}, order 1", network(number, seed), 1, cx.BranchAndBound(), 500_000


def chaotic_seeds(number: int):
    """Give 5-D networks with a positive entropy bound and several cycles, and the order with most of up to 12."""
    found = 0
    for seed in range(40):
        cycles = cx.enumerate_cycles(five_dimensional(seed), 12, method=cx.WordGraph(), budget=20.0, progress=False)
        if cycles.report["completeness"]["unfinished"] or max(cycles.counts.values()) < 4:
            continue
        yield seed, max(cycles.counts, key=lambda order: cycles.counts[order])
        found += 1
        if found == number:
            return


def main(quick: bool) -> None:
    """Print and write the table."""
    lines, head = [], HEAD.format(cores=os.cpu_count(), load=os.getloadavg()[0])

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    header = " | ".join(f"solves to {share:.0%}" for share in SHARES)
    say(f"| case | cycles | starts | {header} | found | solves/s | unseen: estimate | bound | truth |")
    say("|" + "---|" * (len(SHARES) + 8))
    for name, model, order, method, most in cases(quick):
        complete = cx.enumerate_cycles(model, [order], method=method, budget=300.0, progress=False)
        assert complete.report["orders"][str(order)]["verdict"].startswith("proved"), complete.report
        with jax.enable_x64(True):
            effective = affine_form(model).effective
            keys = {word_key(cycle.gates[:, effective]) for cycle in complete}
            for kind in STRATEGIES:
                if kind == "word graph" and model.num_states > 12:
                    continue
                strategy = Strategy(kind, model, order)
                recall(strategy, keys, POOL)  # compile
                times, rate, evidence, seen, number = recall(strategy, keys, 200_000 if quick else most)
                truth = unseen_of(strategy, evidence, seen, number)
                note = f" ({strategy.preparation:.1f} s before)" if strategy.graph is not None else ""
                say(
                    f"| {name} | {len(keys)} | {kind}{note} | {shares(times, len(keys))} | {rate:,.0f} | "
                    f"{evidence.unseen_mass:.1e} | {evidence.unseen_bound:.1e} | {truth:.1e} |"
                )
            recall_paths(model, order, keys, PATHS)  # compile
            times, rate, bound, truth = recall_paths(model, order, keys, 1024 if quick else 16_384)
            say(
                f"| {name} | {len(keys)} | paths (pieces) | {shares(times, len(keys))} | {rate:,.0f} | | {bound:.1e} | "
                f"{truth:.1e} |"
            )
    if not quick:
        RESULTS.write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main("--quick" in sys.argv)
