"""The other verbs against the same references: certify, attractors, compare, scan with its boundaries, track.

Each counts what it says, and how much of that is that it does not know: certificates that are ambiguous, samples whose
end is undecided, events that are unexplained, orders with a word that is undecided.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

import cyclax as cx
from cyclax.bifurcations.event import claims_of

from .exact_map import ExactMap
from .judge import Finding, judge, of_cycle, of_degenerate, spelled, undecided
from .orbits import STEPS, around, plain_orbits, rounding, stays
from .rationals import rational
from .reference import Reference

# Orders that are searched.
ORDERS = 2
# So far from an event its sides are looked at; events nearer to each other than this are at one place.
BESIDE, _ONE_PLACE = 1e-6, 1e-12


@dataclasses.dataclass
class Said:
    """How many verdicts there were, and how many of them left something undecided."""

    verdicts: int = 0
    undecided: int = 0

    def add(self, open_ends: Iterable[bool]) -> None:
        """Count verdicts, which are open or not."""
        for is_open in open_ends:
            self.verdicts += 1
            self.undecided += bool(is_open)

    def of_orders(self, cycles: cx.Cycles) -> None:
        """Count the orders of a result."""
        self.verdicts += len(cycles.orders)
        self.undecided += undecided(cycles)


def enumerated(model) -> cx.Cycles:
    """Give what the other verbs begin with."""
    return cx.enumerate_cycles(model, ORDERS, method=cx.Exhaustive(), progress=False)


def of_certify(model, reference: Reference, rng: np.random.Generator, said: Said) -> list[Finding]:
    """True cycles are not refused, false ones not proved, and claims go with what they vouch for."""
    cycles = enumerated(model)
    certified = cx.certify(model, cycles, progress=False)
    said.of_orders(certified)
    said.add(cycle.certificate is None or cycle.certificate.status == "ambiguous" for cycle in certified)
    found = judge(reference, certified)
    for cycle in certified:
        wrong, proof = of_cycle(reference, cycle), cycle.certificate
        assert proof is not None
        if proof.status == "proved" and any(f.kind in ("false cycle", "wrong gates", "wrong period") for f in wrong):
            found.append(Finding("wrong certificate: false cycle proved", cycle.order, repr(cycle)))
        if proof.status == "refused" and not wrong:
            found.append(Finding("wrong certificate: true cycle refused", cycle.order, f"{cycle!r}: {proof.reason}"))
        if proof.status == "proved" and proof.unstable is not None:
            roots = reference.map.multipliers(reference.map.word_of(cycle.gates), 512)
            if all(abs(root) > 1 or abs(root) < 1 for root in roots):
                unstable = sum(bool(abs(root) > 1) for root in roots)
                if unstable != proof.unstable:
                    found.append(Finding("wrong certificate: stability", cycle.order, f"{cycle!r}: {unstable} outside"))
    for i, cycle in enumerate(cycles):
        spoiled = [
            dataclasses.replace(cycle, points=cycle.points + 3 * cycle.error + 1e-3 * np.max(np.abs(cycle.points)))
        ]
        if reference.map.matters:
            gates = cycle.gates.copy()
            gates[rng.integers(cycle.order), rng.choice(reference.map.matters)] ^= True
            spoiled.append(dataclasses.replace(cycle, gates=gates))
        for false in spoiled:
            if not of_cycle(reference, false):
                continue
            others = (*cycles.cycles[:i], false, *cycles.cycles[i + 1 :])
            proof = cx.certify(model, dataclasses.replace(cycles, cycles=others), progress=False)[i].certificate
            if proof is None or proof.status == "proved":
                found.append(Finding("wrong certificate: spoiled cycle proved", cycle.order, repr(false)))
    if len(cycles):
        fewer = cx.certify(model, dataclasses.replace(cycles, cycles=cycles.cycles[1:]), progress=False)
        order = cycles[0].order
        if fewer.report["orders"][str(order)]["verdict"] == "proved complete":
            found.append(Finding("wrong certificate: claim kept", order, "a cycle was taken out, and the claim stays"))
    return found


def of_attractors(model, reference: Reference, rng: np.random.Generator, said: Said) -> list[Finding]:
    """What attracts is real, and plain orbits go there, with the period that is said."""
    scale = max([1.0, *(float(np.max(np.abs(leaf), initial=0.0)) for leaf in jax.tree.leaves(model))])
    samples = rng.normal(size=(24, model.num_states)) * (scale if scale < 1e6 else 1.0)
    result = cx.attractors(model, samples, key=0, steps=STEPS)
    said.add(result.entries[label].kind == "undecided" for label in result.labels)
    ends, early = plain_orbits(reference.map, samples)
    found = []
    for label, entry in enumerate(result.entries):
        own = [(samples[i], ends[:, i]) for i in np.flatnonzero(result.labels == label)]
        if isinstance(entry.what, cx.Cycle):
            lost = rounding(reference.map, entry.what)
            found += of_cycle(reference, entry.what) or _goes_to(reference, entry.what, own, lost, rng)
        elif isinstance(entry.what, cx.Degenerate):
            found += of_degenerate(reference, entry.what)
            if entry.kind == "family":
                periods = [_period(orbit) for _, orbit in own]
                other = [p for p in periods if p is not None and p != entry.what.order]
                if other:
                    text = f"{len(other)} of {len(own)} samples in {entry.what!r} have period {other[0]}"
                    found.append(Finding("wrong attractor: period", entry.what.order, text))
        elif entry.kind == "divergence":
            tame = np.flatnonzero((result.labels == label) & stays(ends, early))
            # What leaves slowly is no witness yet. Where nearby orbits part, rounding decides which of them leave: then
            # no orbit is any other's witness.
            tame = [i for i in tame if not _drifts(ends[:, i])]
            tame = [i for i in tame if np.all(stays(*plain_orbits(reference.map, around(samples[i], rng), rng)))]
            if tame:
                found.append(
                    Finding("wrong attractor: divergence", 0, f"{len(tame)} of {len(own)} orbits stay bounded")
                )
    return found


def _goes_to(reference: Reference, cycle: cx.Cycle, own, lost: float, rng: np.random.Generator) -> list[Finding]:
    """Whether plain orbits of samples, `own`, end on a cycle that attracts strongly.

    What drifts slowly is no witness yet; nor is what chaos takes elsewhere, where other rounding takes it to the cycle.
    """
    moduli = [abs(root).mid() for root in reference.map.multipliers(reference.map.word_of(cycle.gates))]
    if not all(float(modulus) < 0.9 and float(modulus) ** (STEPS / cycle.order) < 1e-9 for modulus in moduli):
        return []
    size = max(float(np.max(np.abs(cycle.points))), cycle.error)
    near = 1e-6 * size + cycle.error + lost

    def there(end: np.ndarray) -> bool:
        return bool(np.min(np.max(np.abs(cycle.points - end), axis=1)) <= near)

    astray = [(sample, orbit) for sample, orbit in own if not there(orbit[-1]) and not _drifts(orbit)]
    astray = [
        orbit
        for sample, orbit in astray
        if not any(map(there, plain_orbits(reference.map, around(sample, rng), rng)[0][-1]))
    ]
    if astray:
        text = f"{len(astray)} of {len(own)} samples said to go to {cycle!r} are at {astray[0][-1]}"
        return [Finding("wrong attractor: cycle", cycle.order, text)]
    return []


def _drifts(orbit: np.ndarray) -> bool:
    """Whether an orbit comes back to nearly where it was, and not quite."""
    size = max(float(np.max(np.abs(orbit))), 1e-300)
    nearest = float(np.min(np.max(np.abs(orbit[-1] - orbit[:-1]), axis=1)))
    return 1e-14 * size < nearest < 1e-6 * size


def _period(orbit: np.ndarray) -> int | None:
    """Give the smallest period of the last states of an orbit, or None where it has not settled."""
    size = max(float(np.max(np.abs(orbit))), 1e-300)
    near = np.max(np.abs(orbit[-1] - orbit[:-1]), axis=1)[::-1] <= 1e-10 * size
    return int(np.argmax(near)) + 1 if np.any(near) else None


def of_compare(model, reference: Reference, rng: np.random.Generator, said: Said) -> list[Finding]:
    """Events are where they are said to be, and every cycle that comes or goes has one."""
    first, last = model, neighbor(model, rng)
    ends = [enumerated(first), enumerated(last)]
    others = (reference, Reference(last))
    if any(not f.soft for r, cycles in zip(others, ends, strict=True) for f in judge(r, cycles)):
        return []  # that is a fault of the enumeration, and is found there
    events = cx.compare(first, last, *ends)
    said.add(map(_open, events))
    found = of_events(lambda s: on_line(first, last, s), events)
    for here, there, end in ((0, 1, "before"), (1, 0, "after")):
        gone = set(_words(others[here], ends[here])) - set(_words(others[there], ends[there]))
        same_gates = others[0].map.matters == others[1].map.matters
        words = [word for event in events for word in (*event.words, *([event.flip.word] if event.flip else []))]
        named = {_turned(others[here].map.word_of(word)) for word in words}
        for word in gone - named if same_gates else ():
            found.append(Finding("missing event", len(word), f"the cycle {spelled(word)} is only {end}, without event"))
    for event in events:
        if event.missing is not None:
            # Both lists are complete.
            found.append(Finding("false event: missing cycle", event.order, str(event)))
    return found


def _open(event) -> bool:
    """Whether an event is one that is not known."""
    return event.type == "unexplained" or "no order that can be told" in event.reason


def _words(reference: Reference, cycles: cx.Cycles):
    return [_turned(reference.map.word_of(cycle.gates)) for cycle in cycles]


def _turned(word):
    return min(word[i:] + word[:i] for i in range(len(word)))


def neighbor(model, rng: np.random.Generator):
    """Change every weight a little, or one of them a lot."""

    def moved(leaf):
        leaf = np.asarray(leaf, float)
        return leaf + share * rng.normal(size=leaf.shape) * (
            np.abs(leaf) + (leaf == 0) * (rng.random(leaf.shape) < 0.3)
        )

    share = rng.choice([0.02, 0.2, 1.0])
    other = jax.tree.map(moved, model)
    if isinstance(other, cx.BorderCollisionNormalForm):
        right = np.stack([other.right[:, 0], other.left[:, 1]], axis=1)
        return cx.BorderCollisionNormalForm(left=other.left, right=right, h=other.h)
    if isinstance(other, cx.LeakyReLURNN):
        return cx.LeakyReLURNN(W=other.W, b=other.b, slope=min(abs(float(other.slope)), 0.95))
    return other


def _between(first, last, s: float):
    return jax.tree.map(lambda a, b: (1 - s) * np.asarray(a, float) + s * np.asarray(b, float), first, last)


def on_line(first, last, s: float):
    """Give the model at a place on the line between two, with rational weights."""
    s = rational(s)

    def between(a, b):
        ends = zip(np.ravel(a).tolist(), np.ravel(b).tolist(), strict=True)
        values = np.array([(1 - s) * rational(x) + s * rational(y) for x, y in ends] or None, object)
        return values.reshape(np.shape(a))

    return jax.tree.map(between, first, last)


# Where a word is a cycle: (before, after) an event.
_THERE = {"before": (True, False), "after": (False, True), "both": (True, True)}


def _one_place(event) -> float:
    """Give how near others are at the place of an event: near s = 0 places are told apart better."""
    return min(_ONE_PLACE, max(2.0**-10 * event.at, 2.0**-45))


def _spot(event, places: list[float], word: np.ndarray) -> tuple:
    """Name a word at a place, which is the first of those that are the same."""
    place = next(at for at in places if abs(at - event.at) <= _one_place(event))
    return place, _turned(tuple(map(tuple, word.tolist())))


def _passed(said: list[tuple[bool, bool]]) -> set[tuple[bool, bool]]:
    """Give where a word may be (before, after) all events at one place, of which each says that of itself.

    Their order is below the resolution, but there is one: what is after one of them is before the next.
    """
    chains = itertools.permutations(said[:6])
    return {
        (chain[0][0], chain[-1][1])
        for chain in chains
        if all(one[1] == other[0] for one, other in itertools.pairwise(chain))
    }


def of_events(model_at: Callable, events) -> list[Finding]:
    """Look on both sides of every event on the way from 0 to 1: is each of its words a cycle where it is said to be?

    At three distances: where large weights cancel, a line of rounded models is rough at the smaller ones.
    """
    found = []
    places = sorted(event.at for event in events)
    # Of what stands at one place with an event that is not explained, a link of the chain is not known.
    broken = [event.at for event in events if event.type == "unexplained"]
    # What is said of a word by all events at one place: none is seen alone.
    said_there: dict[tuple, list[tuple[bool, bool]]] = {}
    for event in events:
        for word, side in claims_of(event):
            said_there.setdefault(_spot(event, places, word), []).append(_THERE.get(side))
    for event in events:
        steps = _steps(event, places)
        if not steps or any(abs(at - event.at) <= _one_place(event) for at in broken):
            continue
        # At an end of the way there is one side.
        both = tuple(sign for sign in (-1, 1) if 0 <= event.at + sign * steps[0] <= 1)
        sides = [[ExactMap(model_at(event.at + sign * step)) for sign in both] for step in steps]
        for word, said in claims_of(event):
            seen = [tuple(one.solve(one.word_of(word)).kind == "cycle" for one in pair) for pair in sides]
            chain = said_there[_spot(event, places, word)]
            if None in chain:
                continue
            passed = {tuple(chain[sign > 0] for sign in both) for chain in _passed(chain)}
            # Nearer still it is alone, between others at that place, and beside what no end of the way tells of.
            if not passed & set(seen) and not _alone(model_at, event, places, word, said):
                text = f"{event}: word {word.astype(int).tolist()} is a cycle (before, after) {seen}, said {said!r}"
                found.append(Finding("false event", event.order, text))
    return found


def _alone(model_at: Callable, event, places: list[float], word: np.ndarray, said: str) -> bool:
    """Whether a word ends or begins right at the bracket of an event, as is said, short of the next event."""
    if said == "both":
        return False
    for factor in (1, 4):
        step = factor * max(event.bracket, float(np.spacing(event.at)))
        if any(0 < abs(at - event.at) < 2 * step for at in (0.0, *places, 1.0)):
            return False
        beside = (ExactMap(model_at(event.at + sign * step)) for sign in (-1, 1))
        if tuple(one.solve(one.word_of(word)).kind == "cycle" for one in beside) == _THERE[said]:
            return True
    # Huge weights make a word come and go between two neighboring places of float64.
    width = max(event.bracket, float(np.spacing(event.at)))
    within = [rational(event.at) + rational(width) * k / 32 for k in range(-32, 33)]
    try:
        maps = [ExactMap(model_at(place)) for place in within]
    except TypeError:  # this way has places of float64 only
        return False
    return _THERE[said] in itertools.pairwise(one.solve(one.word_of(word)).kind == "cycle" for one in maps)


def _steps(event, places: list[float]) -> list[float]:
    """Give how far from an event its sides are looked at: nearer than the next event, and not within its bracket."""
    # Beside an end a line of rounded models is at that end.
    gaps = [abs(at - event.at) for at in places if abs(at - event.at) > _one_place(event)]
    gaps += [abs(at - event.at) for at in (0.0, 1.0) if abs(at - event.at) > _ONE_PLACE]
    least = max(4 * event.bracket, _one_place(event))
    steps = (min(factor * BESIDE, min(gaps, default=1.0) / 3) for factor in (1, 16))
    # And as near as can be: words that come and go on the way, and are at neither end, have no events.
    return [step for step in dict.fromkeys((*steps, least)) if step >= least]


def of_scan(model, reference: Reference, rng: np.random.Generator, said: Said) -> list[Finding]:
    """Every cell says what the network of that cell has; the edges between them carry true events."""
    leaves = {name: np.asarray(value, float) for name, value in vars(model).items() if not isinstance(value, int)}
    leaves = {name: value for name, value in leaves.items() if value.size}
    name = str(rng.choice(sorted(leaves)))
    if isinstance(model, cx.BorderCollisionNormalForm) and name != "h":
        name = "h"  # its matrices share a column
    index = tuple(int(rng.integers(size)) for size in leaves[name].shape)
    middle, width = float(leaves[name][index]), float(rng.choice([1e-3, 0.1, 0.5]))
    width *= abs(middle) if middle else 1.0
    values = [middle - width, middle, middle + width]
    if name == "slope" and isinstance(model, cx.LeakyReLURNN):
        values = [0.1, 0.25, 0.5]
    found = []
    exact = bool(rng.random() < 0.5)
    result = cx.scan(
        model,
        {cx.Parameter(name, *index): values},
        ORDERS,
        key=0,
        starts=16,
        exact=exact,
        orbit_steps=0,
        cells=4,
        progress=False,
    )
    for i in range(len(values)):
        own = Reference(result.grid.at(i))
        proved = exact and bool(result.layers["proved"][i])
        cell = result.cell(i)
        said.of_orders(cell)
        found += judge(own, cell)
        for row, order in enumerate(result.orders):
            truth = own.order(order)
            there = bool(truth.borders or truth.families or truth.rims)
            marked = bool(result.degenerate[row, i])
            listed = any(entry.order == order for entry in cell.degenerate)
            if proved and there and not marked:
                found.append(Finding("missing mark of a degenerate cell", order, f"cell {i} of {name}{index} {values}"))
            # Said to be on a border, a cycle is not counted, and not missing.
            on_borders = sum(entry.order == order and entry.kind == "border" for entry in cell.degenerate)
            known = int(result.counts[row, i])
            if proved and not known <= len(truth.cycles) <= known + on_borders:
                text = f"cell {i} of {name}{index} {values}: {result.counts[row, i]} for {len(truth.cycles)}"
                found.append(Finding("missing cycle in a proved cell", order, text))
            if marked != listed:
                text = f"cell {i} of {name}{index} {values}: marked {marked}, listed {listed}"
                found.append(Finding("wrong cell: mark and list differ", order, text))
    edges = result.boundaries()
    for first, second, events in zip(edges.first, edges.second, edges.events, strict=True):
        said.add(map(_open, events))
        low, high = (result.grid.values(np.array([k])) for k in (first, second))
        found += of_events(lambda s, low=low, high=high: _one(result.grid.models(low + s * (high - low))), events)
    return found


def _one(stack):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], stack)


def of_track(model, reference: Reference, rng: np.random.Generator, said: Said) -> list[Finding]:
    """Every model of a track says what it has; the events between are true."""
    models = [model, neighbor(model, rng)]
    models.insert(1, _between(*models, 0.5))
    result = cx.track(models, ORDERS, key=0, starts=16, exact=bool(rng.random() < 0.5), progress=False)
    for cycles in result:
        said.of_orders(cycles)
    said.add(map(_open, result.events))
    found = [finding for i, model in enumerate(models) for finding in judge(Reference(model), result[i])]
    ways = [lambda s, i=i: on_line(models[i], models[i + 1], s) for i in range(2)]
    steps: list[list] = [[], []]
    for event in result.events:
        on_first, on_second = (dataclasses.replace(event, at=event.at - i) for i in range(2))
        # What happens at the model between them may end the first step, or begin the second.
        first = event.at < 1 or (event.at == 1 and not of_events(ways[0], [on_first]))
        steps[not first].append(on_first if first else on_second)
    return found + [finding for way, events in zip(ways, steps, strict=True) for finding in of_events(way, events)]


VERBS: dict[str, Callable[[Any, Reference, np.random.Generator, Said], list[Finding]]] = {
    "certify": of_certify,
    "attractors": of_attractors,
    "compare": of_compare,
    "scan": of_scan,
    "track": of_track,
}


def ask(model, verb: str, seed: int, said: Said | None = None) -> list[Finding]:
    """Ask one verb about a network, and judge what it says; its verdicts are counted in `said`."""
    return VERBS[verb](model, Reference(model), np.random.default_rng(seed), said or Said())


# They compile more than the enumerations do: few sizes.
SHAPES_OF_VERBS = (
    "PLRNN 2",
    "ShallowPLRNN 1",
    "ClippedDendriticPLRNN 1",
    "AlmostLinearRNN 2",
    "LeakyReLURNN 2",
    "SkewTentMap",
    "LoziMap",
    "BorderCollisionNormalForm",
)
