"""Metamorphic fuzzing: `python -m tests.differential.metamorphic --seed 7 --networks 200 --minutes 60`.

A network in other units, in another order, with dead or doubled units, is the same network: every verb must say the
same of it. No answer needs to be known.
"""

import argparse
import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

import cyclax as cx

from .exact_map import ExactMap, Word
from .fuzz import METHODS, Tally, attempt
from .judge import Finding, spelled
from .networks import OFFSETS, SHAPES, STYLES, Network, code_of, networks
from .orbits import around, plain_orbits, stays
from .programs import forget_programs
from .reference import canonical
from .transforms import TRANSFORMS, Changed, changed, conjugate, rebuilt
from .verbs import SHAPES_OF_VERBS, enumerated, neighbor, of_events, on_line

# Orders, and seconds for an enumeration: what is not done by then is not compared.
ORDERS, BUDGET = 2, 5.0
# So near to an end of a way a place is that end, but for rounding.
_AT_AN_END = 1e-12
# Lines in the weights stay lines only where a change does not multiply weights with each other.
_PRODUCTS = (cx.LowRankPLRNN, cx.DendriticPLRNN)


class Pair:
    """A network and what it was changed to."""

    def __init__(self, model, name: str, other: Changed, seed: int | list[int]):
        self.name, self.other, self.seed = name, other, seed
        self.exact = ExactMap(model)
        self.models = model, other.model

    def words(self, gates: np.ndarray, second: bool) -> Word:
        """Give the word of gates of either network, in gates of the first."""
        return canonical(self.exact.word_of(gates[:, self.other.back] if second else gates))

    def changed(self, model) -> Changed | None:
        """Change another model of the same class in the same way."""
        return changed(self.name, model, np.random.default_rng(self.seed))

    def named(self, what: cx.Cycle | cx.Degenerate, second: bool) -> str:
        """Give the word of a cycle, or family, in gates of the first network; "" where it is on a border.

        The map is the same from all sides there, so that one solution has a word for each of them: which of these is
        named is no statement about the network.
        """
        word = self.words(what.gates, second)
        if isinstance(what, cx.Cycle):
            return spelled(word)
        return spelled(word) if what.kind == "family" and self.exact.solve(word).kind == "family" else ""

    @property
    def doubles(self) -> bool:
        """Whether a state was doubled: two gates switch there at once, which no rule gives a type.

        All cycles lie in the plane of equal copies, on which the two borders z_i = 0 and z_j = 0 meet: an event of one
        gate in the first network is one of two gates, of different planes, in the second. Feigin's rule needs one, so
        that neither type, nor words beyond it, follow from the weights at the border; the place does.
        """
        return self.name in ("duplicated unit", "several") and bool(self.other.more)

    def box(self, size: float) -> list[str]:
        """Give code for a box of either network."""
        sides = [np.full(self.models[0].num_states, sign * size) for sign in (-1.0, 1.0)]
        moved = np.sort([self.other.forward(side) for side in sides], axis=0)
        flat = moved[0] == moved[1]
        moved = moved + np.where(flat, [[-1.0], [1.0]], 0.0)
        return [f"({low.tolist()}, {high.tolist()})" for low, high in (sides, moved)]


def differences(pair: Pair, first: cx.Cycles, second: cx.Cycles, verdicts: bool = True) -> list[Finding]:
    """Give what two results say differently."""
    found = []
    for order in first.orders:
        said = [one.report["orders"][str(order)]["verdict"] for one in (first, second)]
        if verdicts and said[0] != said[1]:
            reasons = [one.report["orders"][str(order)]["reason"] for one in (first, second)]
            # Both are true: of a box, and of what is outside of it, where the degree is known.
            soft = "proved complete" in said and any("there is more outside" in reason for reason in reasons)
            found.append(Finding("verdict", order, f"{said[0]} ({reasons[0]}) / {said[1]} ({reasons[1]})", soft))
        both = list(enumerate((first, second)))
        cycles = [{pair.words(c.gates, i == 1): c for c in one.of_order(order)} for i, one in both]
        for word in cycles[0].keys() ^ cycles[1].keys():
            where = "first" if word in cycles[0] else "second"
            found.append(Finding("cycle", order, f"{spelled(word)} is in the {where} result only"))
        for word in cycles[0].keys() & cycles[1].keys():
            found += _multipliers(pair, *(some[word] for some in cycles))
        listed = [_entries(pair, [e for e in one.degenerate if e.order == order], i == 1) for i, one in both]
        if listed[0] != listed[1]:
            only = [[*(a - b).elements()] for a, b in (listed, listed[::-1])]
            found.append(Finding("degenerate list", order, f"only in the first: {only[0]}, in the second: {only[1]}"))
    return found


def _entries(pair: Pair, entries: list[cx.Degenerate], second: bool) -> Counter:
    """Count what is said of degenerate solutions: of each its kind, order, dimension, and word where it has but one."""
    # What is slow to within rounding depends on rounding.
    told = (e for e in entries if e.kind != "slow")
    counts = Counter((e.kind, e.order, e.directions.shape[1], pair.named(e, second)) for e in told)
    # A family on a border is listed for each of its words, of which doubled states have more.
    return Counter({said: count if said[0] != "family" or said[3] else 1 for said, count in counts.items()})


def _multipliers(pair: Pair, first: cx.Cycle, second: cx.Cycle) -> list[Finding]:
    with np.errstate(all="ignore"):
        expected = [*first.multipliers, *(np.array(pair.other.more) ** first.order)]
    if not np.all(np.isfinite(expected)):
        return []
    left, size = list(second.multipliers), max(np.max(np.abs(expected)), 1e-300)
    # Where all of them are 0, what is left is the root of rounding in the Jacobian.
    size = max(size, 1e-3 * float(np.linalg.norm(first.jacobian))) if size < 1e-7 else size
    tolerance = 1e-6 * size
    for value in expected:
        nearest = min(left, key=lambda one, value=value: abs(one - value), default=np.inf)
        # Multipliers that coincide have lost half of their digits, or two thirds.
        alike = sum(abs(other - value) < 1e-3 * size for other in expected) > 1
        if not abs(nearest - value) <= (1e-4 * size if alike else tolerance):
            return [Finding("multipliers", first.order, f"{expected} / {second.multipliers}")]
        left.remove(nearest)
    return (
        [Finding("stability", first.order, f"{first.stability} / {second.stability}")]
        if (first.stability != second.stability and not pair.other.more)
        else []
    )


# -- verbs: each gives what is said differently ----------------------------------------------------------------------


def of_enumeration(method: str):
    """Compare `enumerate_cycles` by one method, in a box or without."""

    def compare(pair: Pair, rng: np.random.Generator) -> list[Finding]:
        boxes = ["None", "None"] if rng.random() < 0.5 else pair.box(float(2.0 ** rng.integers(2, 12)))
        results = []
        for model, box in zip(pair.models, boxes, strict=True):
            options = f"method={METHODS[method]}, box={box}, budget={BUDGET}, progress=False"
            result, findings, refusal = attempt(f"cx.enumerate_cycles(model, {ORDERS}, {options})", model)
            if findings or refusal:
                return findings
            results.append(result)
        first, second = results
        left_open = any("interrupted" in one.report for one in results)
        places = [one.report["completeness"]["where"] for one in results]
        if left_open or places[0] != places[1]:
            return [] if left_open else [Finding("derived box", 0, f"{places[0]} / {places[1]}", True)]
        if boxes[0] == "None" and places[0] != "everywhere":
            return []  # the boxes by default are others
        return differences(pair, first, second)

    return compare


def of_search(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare `find_cycles` where both searches claim that nothing is missing."""
    finder = cx.SCYFI(starts=512) if rng.random() < 0.5 else cx.Combined(starts=cx.SCYFI(starts=512))
    return _claimed(
        pair, *(cx.find_cycles(model, ORDERS, key=0, finder=finder, progress=False) for model in pair.models)
    )


def _claimed(pair: Pair, first: cx.Cycles, second: cx.Cycles) -> list[Finding]:
    """Give what two searches say differently where both claim that nothing is missing: their draws are others."""
    sure = ("proved complete", "likely")
    found = []
    for finding in differences(pair, first, second, verdicts=False):
        said = [one.report["orders"][str(finding.order)]["verdict"] for one in (first, second)]
        if all(verdict in sure for verdict in said) and (finding.kind != "cycle" or "proved complete" in said):
            found.append(finding)
    return found


def _same_cycles(pair: Pair, first: cx.Cycles, second: cx.Cycles) -> bool:
    """Whether two searches have met the same cycles: else their events are of others, too."""
    words = [{pair.words(cycle.gates, i == 1) for cycle in one} for i, one in enumerate((first, second))]
    return words[0] == words[1]


def of_certify(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare certificates."""
    proofs = []
    for i, model in enumerate(pair.models):
        cycles = cx.certify(model, enumerated(model), progress=False)
        proofs.append({pair.words(cycle.gates, i == 1): cycle.certificate for cycle in cycles})
    return [
        Finding("certificate", len(word), f"{spelled(word)}: {proofs[0][word]} / {proofs[1][word]}")
        for word in proofs[0].keys() & proofs[1].keys()
        if proofs[0][word].status != proofs[1][word].status
    ]


def of_attractors(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare where the same samples go."""
    if any(abs(multiplier) >= 1 for multiplier in pair.other.more):
        return []  # rounding takes copies of a state apart
    samples = rng.normal(size=(24, pair.models[0].num_states)) * 4
    names = []
    for i, (model, some) in enumerate(zip(pair.models, (samples, pair.other.forward(samples)), strict=True)):
        result = cx.attractors(model, some, key=0, steps=4096)
        entries = [
            (e.kind, e.what.order, pair.named(e.what, i == 1)) if e.what is not None else (e.kind, 0, "")
            for e in result.entries
        ]
        names.append([entries[label] for label in result.labels])
    apart = [
        (a, b)
        for sample, a, b in zip(samples, *names, strict=True)
        if a != b and not {a[0], b[0]} & {"chaos", "undecided"} and not _parts(pair.exact, sample, {a[0], b[0]}, rng)
    ]
    return [Finding("attractor", 0, f"{len(apart)} of 24 samples: {apart[0][0]} / {apart[0][1]}")] if apart else []


def _parts(exact: ExactMap, sample: np.ndarray, kinds: set[str], rng: np.random.Generator) -> bool:
    """Whether rounding decides which orbits near a sample diverge, where one of two did."""
    if "divergence" not in kinds:
        return False
    near = around(sample, rng)
    return len({*stays(*plain_orbits(exact, near)), *stays(*plain_orbits(exact, near, rng))}) > 1


def _events(pair: Pair, events, second: bool) -> list[tuple]:
    # A multiplier that leaves the unit circle where the way begins may do so before it begins: rounding decides.
    events = [e for e in events if {*e.sides} != {"both"} or _AT_AN_END < e.at < 1 - _AT_AN_END]
    if pair.doubles:
        return sorted((round(float(e.at), 5),) for e in events)
    return sorted(
        (round(float(e.at), 5), e.type, e.order, tuple(sorted(spelled(pair.words(word, second)) for word in e.words)))
        for e in events
    )


def _events_of_copies(pair: Pair, last: Changed) -> list[float]:
    """Give the places where the difference of two equal states starts, or ceases, to decay: an event of copies alone.

    It is multiplied by a (1 - s) + b s, which is -1 or +1 there, with all gates held, so that every cycle has one more
    multiplier of modulus 1.
    """
    ways = zip(pair.other.more, last.more, strict=True)
    return [(unit - a) / (b - a) for a, b in ways if a != b for unit in (-1, 1)]


def _told_apart(pair: Pair, first: list[tuple], second: list[tuple], copies: Iterable[float] = ()) -> list[Finding]:
    second = [event for event in second if not any(abs(event[0] - at) < 1e-4 for at in copies)]
    first, second = (
        [event for event in some if event not in other] for some, other in ((first, second), (second, first))
    )
    # Places are rounded: what differs by a last digit is the same.
    left = [e for e in first if not any(e[1:] == o[1:] and abs(e[0] - o[0]) < 1e-4 for o in second)]
    right = [e for e in second if not any(e[1:] == o[1:] and abs(e[0] - o[0]) < 1e-4 for o in first)]
    if pair.doubles:
        left = []  # nothing is followed beyond an event without a type: its events are some of the first's, none new
    return [Finding("events", 0, f"only first: {left}, only second: {right}")] if left or right else []


def of_compare(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare the events on the way to another network."""
    last = neighbor(pair.models[0], rng)
    other = pair.changed(last)
    if other is None or isinstance(pair.models[0], _PRODUCTS):
        return []
    ways = (pair.models[0], last), (pair.other.model, other.model)
    events = [cx.compare(*ends, *map(enumerated, ends)) for ends in ways]
    said = [_events(pair, some, i == 1) for i, some in enumerate(events)]
    found = _told_apart(pair, *said, _events_of_copies(pair, other))
    # A word that is the same at both ends is not followed, and that of two copies may be: then it need only be right.
    return found if not pair.doubles or of_events(lambda s: on_line(*ways[1], s), events[1]) else []


def of_track(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare tracks of two networks, proved and not."""
    last = neighbor(pair.models[0], rng)
    other = pair.changed(last)
    if other is None or isinstance(pair.models[0], _PRODUCTS):
        return []
    exact, tracks = bool(rng.random() < 0.5), []
    for ends in ((pair.models[0], last), (pair.other.model, other.model)):
        tracks.append(cx.track(list(ends), ORDERS, key=0, starts=64, exact=exact, progress=False))
    ends = [(Pair(last, pair.name, other, pair.seed) if i else pair, *(track[i] for track in tracks)) for i in range(2)]
    found = [finding for end in ends for finding in (differences if exact else _claimed)(*end)]
    if not (exact or all(_same_cycles(*end) for end in ends)):
        return found
    said = (_events(pair, track.events, i == 1) for i, track in enumerate(tracks))
    return [*found, *_told_apart(pair, *said, _events_of_copies(pair, other))]


def of_scan(pair: Pair, rng: np.random.Generator) -> list[Finding]:
    """Compare scans over an offset, proved and not."""
    leaf = next((name for name in vars(pair.models[0]) if name in OFFSETS - {"h2", "thresholds"}), None)
    if leaf is None or pair.name in ("translated", "other class"):
        return []
    value = np.asarray(getattr(pair.models[0], leaf), float)
    i = int(rng.integers(value.size))
    values = (float(value.ravel()[i]) or 1.0) * np.array([-1.0, 0.5, 1.0, 2.0])
    values.sort()
    places = (i, 1.0), pair.other.place(i)
    if not all(_alike(pair, leaf, places, number, rng) for number in values):
        return []  # such as an offset of which there are two now
    exact, maps = bool(rng.random() < 0.5), []
    options = dict(key=0, starts=64, exact=exact, orbit_steps=0, cells=4, progress=False)
    for model, (where, unit) in zip(pair.models, places, strict=True):
        parameter = cx.Parameter(leaf, *(() if value.ndim == 0 else (where,)))
        maps.append(cx.scan(model, {parameter: values / unit}, ORDERS, **options))
    cells = [[one.cell(j) for one in maps] for j in range(len(values))]
    found, marks, proved = [], [one.degenerate for one in maps], [one.layers.get("proved") for one in maps]
    if not np.array_equal(*proved):
        found.append(Finding("proved cells", 0, f"{proved[0]} / {proved[1]}"))
    else:
        if exact and not np.array_equal(*marks):
            found.append(Finding("marks of degenerate cells", 0, f"{marks[0].tolist()} / {marks[1].tolist()}"))
        found += [finding for some in cells for finding in (differences if exact else _claimed)(pair, *some)]
    same = [exact or _same_cycles(pair, *some) for some in cells]
    lists = []
    for i, edges in enumerate(one.boundaries() for one in maps):
        rows = zip(edges.first, edges.second, edges.events, strict=True)
        rows = ((first, some) for first, second, some in rows if same[first] and same[second])
        lists.append([(e[0], int(cell), *e[1:]) for cell, some in rows for e in _events(pair, some, i == 1)])
    return [*found, *_told_apart(pair, *lists)]


def _alike(pair: Pair, leaf: str, places, number: float, rng: np.random.Generator) -> bool:
    """Whether an entry that is given a value in both networks leaves them the same."""
    models = []
    for model, (where, unit) in zip(pair.models, places, strict=True):
        values = np.array(getattr(model, leaf), float)
        values.reshape(-1)[where] = number / unit
        models.append(rebuilt(model, **{leaf: values}))
    return conjugate(models[0], dataclasses.replace(pair.other, model=models[1]), rng)


VERBS: dict[str, Callable[[Pair, np.random.Generator], list[Finding]]] = {
    **{f"enumerate, {method}": of_enumeration(method) for method in METHODS},
    "find_cycles": of_search,
    "certify": of_certify,
    "attractors": of_attractors,
    "compare": of_compare,
    "scan": of_scan,
    "track": of_track,
}


def ask(model, name: str, verb: str, seed: int | list[int]) -> list[Finding]:
    """Change a network, and ask one verb about both."""
    other = changed(name, model, np.random.default_rng(seed))
    return [] if other is None else VERBS[verb](Pair(model, name, other, seed), np.random.default_rng(seed))


def run(
    seed: int,
    number: int,
    *,
    verbs=tuple(VERBS),
    shapes=SHAPES_OF_VERBS,
    styles=tuple(STYLES),
    transforms=tuple(TRANSFORMS),
    seconds: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Draw networks, change each in every way, and ask every verb about both."""
    tally, began = Tally(), time.monotonic()
    for network in networks(seed, number, shapes, styles):
        for name in transforms:
            if time.monotonic() - began > seconds:
                say("time is up")
                return tally
            change_network(tally, network, name, seed, verbs=verbs, say=say)
        forget_programs()
    return tally


def change_network(
    tally: Tally, network: Network, name: str, seed: int, *, verbs=tuple(VERBS), say: Callable[[str], None]
) -> None:
    """Change a network in one way, and ask every verb about both."""
    own = [seed, network.number, list(TRANSFORMS).index(name)]
    other = changed(name, network.model, np.random.default_rng(own))
    for verb in verbs if other is not None else ():
        call = f"metamorphic.ask(model, {name!r}, {verb!r}, {own})"
        result, wrong, _ = attempt(call, network.model, metamorphic=sys.modules[__name__])
        findings = [*(result if isinstance(result, list) else ()), *wrong]
        for row in (network.shape, network.style, verb, name):
            tally.add(row, calls=1)
        tally.note(network, verb, call, findings, also=(name,))
        for finding in findings:
            say(f"# {verb}, {name}: {finding}\n# {network.shape}, {network.style}, number {network.number}")
            say(f"first = {network.code()}\nsecond = {code_of(other.model)}\n")


def summary(tally: Tally) -> str:
    """Write how many calls of each kind there were, and how many differed."""
    lines = [f"{'':32}{'calls':>8}{'differ':>8}"]
    for row, counts in tally.counts.items():
        lines.append(f"{row:32}{counts['calls']:8d}{sum(counts.values()) - counts['calls'] - counts['soft']:8d}")
    kinds = Counter((failure.finding.kind, failure.finding.soft) for failure in tally.failures)
    lines += [f"{count:6d} {kind}{' (soft)' if soft else ''}" for (kind, soft), count in kinds.most_common()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where two statements differ."""
    parser = argparse.ArgumentParser(description="Metamorphic fuzzing of cyclax: the same network in other words.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES_OF_VERBS), choices=list(SHAPES), metavar="SHAPE")
    parser.add_argument("--styles", nargs="*", default=list(STYLES), choices=list(STYLES), metavar="STYLE")
    parser.add_argument("--verbs", nargs="*", default=list(VERBS), choices=list(VERBS), metavar="VERB")
    parser.add_argument("--transforms", nargs="*", default=list(TRANSFORMS), choices=list(TRANSFORMS))
    given = parser.parse_args(arguments)
    tally = run(
        given.seed,
        given.networks,
        verbs=tuple(given.verbs),
        shapes=tuple(given.shapes),
        styles=tuple(given.styles),
        transforms=tuple(given.transforms),
        seconds=60 * given.minutes,
        say=lambda text: print(text, flush=True),
    )
    print(summary(tally))
    return bool(tally.hard)


if __name__ == "__main__":
    sys.exit(main())
