"""The comparison of many pairs of models: words are held and followed from event to event.

Words that are at both ends are checked for changes of stability. Every other word is held and followed from its end to
the place where it ceases to be a cycle, and from there whatever takes its place, until the other end is reached. The
walks of all pairs of models go side by side, in generations.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np

from cyclax.bifurcations.branch import Branch, Paths, held
from cyclax.bifurcations.chains import reconcile
from cyclax.bifurcations.classify import (
    NEAR,
    OUTSIDE,
    SpecialPoint,
    at_border,
    at_infinity,
    of_stability,
    through_infinity,
)
from cyclax.bifurcations.continuation import (
    Continuation,
    Ends,
    alike,
    as_beside,
    looked_at,
    met_beside,
    staying,
    vanishing,
    walked,
)
from cyclax.bifurcations.event import UNLISTED, Event, EventType, Side, by_place
from cyclax.bifurcations.line import Path
from cyclax.bifurcations.node import SAME_PLACE, Node
from cyclax.bifurcations.watched import Stretch
from cyclax.cycles.decide import Decider, Outcome
from cyclax.cycles.exact_form import exact_forms
from cyclax.cycles.table import codes_of
from cyclax.cycles.word import WordKey, word_key
from cyclax.maps.affine import AffineForm, affine_form

# Most events in a row on one walk.
_GENERATIONS = 24
# A walk that ends so few neighboring places from its beginning has gone nowhere.
_NOWHERE = 2.0**-50
# Rounding in multipliers that are +1 at an end may move them there so near to it, several at once.
_AT_AN_END = 1e-12
# So far past an event the new signs are read off.
_PAST = 1e-6
# Planes that are one at a place are one so far from there, too, or switch apart.
_FAR_OFF = 0.618
_ALONG = "the word is within rounding of a border all along"
_STAYS = "its points are on a border from here on, and cross none"
_NOTHING_BEYOND = "the word that takes its place is no cycle beyond the border"

Groups = Mapping[int, tuple[np.ndarray, np.ndarray]]


class Comparison:
    """One call of `compare_pairs`."""

    def __init__(self, path: Path, number: int, orders: set[int], noting: bool):
        self.models, self.number, self.orders = path, number, orders
        self.paths = Paths(path, np.zeros((number, 0), bool), np.zeros(number, bool))
        self.noting = noting  # stretches on which words are cycles, for events of one's own
        self.codes: dict[WordKey, int] = {}
        self.known: dict[tuple[int, bytes], int] = {}
        self.nodes: list[list[Node]] = [[] for _ in range(number)]
        self.present: dict[float, set[tuple[int, int]]] = {0.0: set(), 1.0: set()}
        self.calm: dict[tuple[int, int], np.ndarray] = {}  # words that are the same at both ends
        self.followed: list[Stretch] = []  # where walks found their words to be cycles
        self.reached: set[tuple[int, int]] = set()  # cycles at s = 1 to which a walk has come
        self.arrived: list[Continuation] = []  # walks from an event that came to an end of the way
        self.again: set[tuple[int, int]] = set()  # words that were followed once more

    def run(self, before: Groups, after: Groups) -> list[tuple[Event, ...]]:
        """Give the events of each pair, from the cycles at its ends."""
        if not any(len(pair) for pair, _ in [*before.values(), *after.values()]):
            return [() for _ in range(self.number)]
        self._find_what_matters()
        starts, ends = self._coded(before, 0.0), self._coded(after, 1.0)
        forward = []
        for pair, words, codes in starts.values():
            there = np.array([entry in self.present[1.0] for entry in zip(pair.tolist(), codes.tolist(), strict=True)])
            calm = np.zeros(len(pair), bool)
            if np.any(there):
                calm[there] = self._calm(pair[there], words[there])
            for i in np.flatnonzero(calm):
                self.calm[int(pair[i]), int(codes[i])] = words[i]
            forward += [
                Continuation(int(pair[i]), words[i], int(codes[i]), 1, 0.0, 0.0, True) for i in np.flatnonzero(~calm)
            ]
        self._follow(forward)
        backward = [
            Continuation(pair, word, code, -1, 1.0, 1.0, True)
            for pairs, words, codes in ends.values()
            for pair, word, code in zip(pairs.tolist(), words, codes.tolist(), strict=True)
            if (pair, code) not in self.reached and (pair, code) not in self.calm
        ]
        self._follow(backward)
        while again := self._called_back():
            self._follow(again)
        reconcile(self.paths, self.nodes, self._code)
        return [tuple(sorted((node.event for node in some), key=by_place)) for some in self.nodes]

    def stretches(self) -> list[Stretch]:
        """Give all stretches of the paths on which a word was found to be a cycle."""
        return self.followed + [Stretch(pair, word, 0.0, 1.0) for (pair, _), word in self.calm.items()]

    def _find_what_matters(self) -> None:
        pairs, ends = np.arange(self.number), (0.0, 1.0)
        models = [jax.tree.map(lambda leaf: np.asarray(leaf, float), self.models(pairs, pairs * 0.0 + s)) for s in ends]
        size = jax.tree.map(lambda leaf: leaf[0], models[0]).num_states
        self.effective = {
            s: exact_forms(model, self.number, size).effective for s, model in zip(ends, models, strict=True)
        }
        self.matter = self.effective[0.0] | self.effective[1.0]
        self.paths = Paths(self.models, self.matter, np.zeros(self.number, bool))

    def _coded(self, groups: Groups, end: float) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Give pairs, words and the numbers that identify them, each once."""
        coded = {}
        for order, (pair, words) in groups.items():
            pair, words = np.asarray(pair, int), np.array(words, bool)
            if not len(pair):
                continue
            # Gates that switch nothing at this end may stand in its words as they like.
            loose = (self.matter & ~self.effective[end])[pair]
            some = np.flatnonzero(np.any(loose, axis=1))
            if len(some):
                words[some] = as_beside(self.paths, pair[some], end, words[some], loose[some])
            masked = words & self.matter[pair][:, None]
            # A grid has many words, but few different ones.
            same = codes_of(np.zeros(len(masked), int), masked)
            _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
            codes = np.array([self._number(masked[i]) for i in first])[inverse]
            _, first = np.unique(pair * len(self.codes) + codes, return_index=True)
            coded[order] = (pair[first], words[first], codes[first])
            self.present[end].update(zip(pair[first].tolist(), codes[first].tolist(), strict=True))
        return coded

    def _number(self, masked: np.ndarray) -> int:
        """Number the cycles: by their identity, which is looked up for a word seen before."""
        key = (len(masked), masked.tobytes())
        if key not in self.known:
            self.known[key] = self.codes.setdefault(word_key(masked), len(self.codes))
        return self.known[key]

    def _code(self, pair: int, word: np.ndarray) -> int:
        return self._number(word & self.matter[pair])

    def _calm(self, pair: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Whether words that are cycles at both ends have the same signs and stability there."""
        given = np.ones(len(pair), bool)
        ends = (np.full(len(pair), s) for s in (0.0, 1.0))
        (_, one), (_, other) = (looked_at(self.paths, pair, end, words, given) for end in ends)
        return one.inside & other.inside & alike(one, other)

    def _called_back(self) -> list[Continuation]:
        """Words of which an event says that they begin or end there, where no walk of theirs has met it: once more."""
        words = {}
        for pair, nodes in enumerate(self.nodes):
            for key in {(pair, code) for node in nodes for code, _ in node.meeting} & self.calm.keys():
                words[key] = self.calm.pop(key)
        for walk in [walk for walk in self.arrived if (walk.pair, walk.code) not in self.again]:
            own = [node for node in self.nodes[walk.pair] if any(code == walk.code for code, _ in node.meeting)]
            key, way = (walk.pair, walk.code), walk.toward
            if any(node.beyond(walk.start, way) and node.beyond(walk.end, -way) for node in own):
                # Its signs were read off beyond that event: now in more digits.
                words[key], self.paths.fine[walk.pair] = walk.word, True
                self.again.add(key)
                self.reached.discard(key)
        return [
            Continuation(pair, word, code, toward, end, end, True)
            for (pair, code), word in words.items()
            for toward, end in ((1, 0.0), (-1, 1.0))
            if (pair, code) in self.present[end]
        ]

    def _follow(self, walks: list[Continuation]) -> None:
        for _ in range(_GENERATIONS):
            touched: list[Node] = []
            onward: list[Continuation] = []
            for order in sorted({len(walk.word) for walk in walks}):
                self._walk([walk for walk in walks if len(walk.word) == order], touched, onward)
            walks = onward + [walk for node in dict.fromkeys(touched) for walk in self._branches(node)]
            if not walks:
                return
        for walk in walks:
            self._unexplained(walk, walk.start, f"more than {_GENERATIONS} events in a row")

    def _branches(self, node: Node) -> list[Continuation]:
        """What meets at an event and has not been followed from there."""
        walks = []
        for branch in node.branches:
            code = self._code(branch.pair, branch.word)
            if (code, branch.side) in node.followed or len(branch.word) not in self.orders:
                continue
            node.followed.add((code, branch.side))
            toward = 1 if branch.side == "after" else -1
            left = abs(float(toward > 0) - node.event.at)
            if left > _NOWHERE:
                past = self._past(branch.pair, code, node.event.at, toward) if branch.tentative else node.event.at
                where = toward, node.event.at, past
                walks.append(Continuation(branch.pair, branch.word, code, *where, False, node, branch.tentative))
        return walks

    def _walk(self, walks: list[Continuation], touched: list[Node], onward: list[Continuation]) -> None:
        """Take walks of one order to their end, or to their next event."""
        ends = walked(self.paths, walks)
        for i, walk in enumerate(walks):
            if walk.tentative:
                if ends.started[i] and walk.origin is not None:
                    walk.origin.event = dataclasses.replace(walk.origin.event, sides=("both",))
            elif not ends.started[i]:
                what = "is no cycle of the model at its own end" if walk.given else "meets its gates nowhere beyond"
                self._unexplained(walk, walk.start, f"the word {what if ends.solved[i] else 'cannot be solved for'}")
        for i in np.flatnonzero(ends.started) if self.noting else ():
            walk = walks[i]
            last = float(ends.low[i]) if ends.turned[i] else walk.end
            self.followed.append(Stretch(walk.pair, walk.word, *sorted((walk.probe, last))))
        self._arrive(np.flatnonzero(ends.started & ~ends.turned), walks, ends, touched)
        self._turn(np.flatnonzero(ends.turned), walks, ends, touched, onward)

    def _arrive(self, rows: np.ndarray, walks: list[Continuation], ends: Ends, touched: list[Node]) -> None:
        """Walks that come to the other end as they are: is their word on the list there?"""
        lost = []
        for i in rows:
            walk = walks[i]
            if not walk.given:
                self.arrived.append(walk)
            if (walk.pair, walk.code) in self.present[walk.end]:
                if walk.toward > 0:
                    self.reached.add((walk.pair, walk.code))
            elif len(walk.word) in self.orders:
                lost.append(i)
        if not lost:
            return
        mine = [walks[i] for i in lost]
        pair, words = np.array([walk.pair for walk in mine]), np.stack([walk.word for walk in mine])
        place = np.array([walk.end for walk in mine])
        here = held(self.paths, pair, place, words)
        values, close = here.multipliers(), self._near(here, pair, place, words, here.sizes)
        along, exactly = self._staying(mine, place, close)
        # Gates that switch nothing at the end do so beside it, together with those whose borders are met.
        loose = np.stack([self.matter[walk.pair] & ~self.effective[walk.end][walk.pair] for walk in mine])
        also, beside = met_beside(self.paths, pair, place, words, loose & np.any(close, axis=(1, 2))[:, None])
        for i, walk in enumerate(mine):
            turn = None
            if np.min(np.abs(values[i] - 1)) < OUTSIDE:
                where = self._as_end(walk, walk.end, 0.0)
                turn = at_infinity(walk, here, i, values[i], (values[i],) * 2, *where)
            elif along[i]:
                self._stays(walk, walk.end, exactly[i])
            elif np.any(close[i]):
                scale = float(np.max(np.abs(ends.begin.points[lost[i]])))
                matter, elsewhere = self.matter[walk.pair], self._elsewhere(walk, walk.end)
                found, near = (here if beside is None or not np.any(also[i]) else beside), close[i] | also[i]
                turn = at_border(walk, found, i, values[i], near, matter, scale, walk.end, 0.0, elsewhere)
            if turn is not None and turn.event is not None:
                self._meet(walk, turn, touched)
            elif not along[i]:
                self._unlisted(walk, walk.word if turn is None else turn.branches[0].word)

    def _unlisted(self, walk: Continuation, word: np.ndarray) -> None:
        """Say of a word that float64 takes for a cycle, and that is not on the list of its end, what it is there."""
        outcome = self._outcome(walk.pair, walk.end, word)
        kind, reason = UNLISTED[outcome]
        self._note(walk, walk.end, kind, reason.format(f"s = {walk.end:g}"), missing=outcome == Outcome.CYCLE)

    def _outcome(self, pair: int, end: float, word: np.ndarray) -> Outcome:
        """Decide what a word is at an end of the way."""
        model = self._model(pair, end)
        bounds, matter = affine_form(model), self.effective[end][pair]
        moving = np.any(bounds.gradients != 0, axis=1)
        return Decider(model, matter).decide(np.where(moving, word, bounds.settled)).outcome

    def _as_end(self, walk: Continuation, place: float, width: float) -> tuple[float, float, bool]:
        """Take a place for the end of the way if it is that to within rounding, and I - P is singular there.

        **Returns:** the place; how well it is known; and whether the word has a family of solutions there.
        """
        end, pair = float(place > 0.5), np.array([walk.pair])
        if (gap := abs(place - end)) >= _AT_AN_END:
            return place, width, False
        if self._outcome(walk.pair, end, walk.word) == Outcome.FAMILY:
            return end, max(width, gap), True
        self.paths.fine[pair] = True
        singular = held(self.paths, pair, np.array([end]), walk.word[None]).minus[0] == 0
        return (end, max(width, gap), False) if singular else (place, width, False)

    def _turn(self, rows, walks, ends: Ends, touched, onward) -> None:
        """Type what ends the walks, or changes their stability."""
        if not len(rows):
            return
        low, high, column, begin = ends.low, ends.high, ends.column, ends.begin
        pair, words = np.array([walks[i].pair for i in rows]), np.stack([walks[i].word for i in rows])
        here, beyond = (held(self.paths, pair, place[rows], words) for place in (low, high))
        values, values_beyond = here.multipliers(), beyond.multipliers()
        past = np.array([self._past(walks[i].pair, walks[i].code, float(high[i]), walks[i].toward) for i in rows])
        num_tests = words.shape[1] * words.shape[2]
        size = np.maximum(np.max(np.abs(begin.points[rows]), axis=(1, 2)), np.max(np.abs(here.bounds.shift), axis=1))
        huge = np.max(np.abs(here.points), axis=(1, 2)) > 1e6 * size
        sizes = np.maximum(here.sizes, np.max(begin.sizes[rows], axis=1, keepdims=True))
        close = self._near(here, pair, low[rows], words, sizes)
        for j, i in enumerate(rows):
            if 0 <= column[i] < num_tests:
                close[j].flat[column[i]] = True
        through = through_infinity(self.paths, pair, words, here, beyond, values, past)
        along, exactly = self._staying([walks[i] for i in rows], (low[rows] + high[rows]) / 2, close)
        for j, i in enumerate(rows):
            walk = walks[i]
            place, width = float(low[i] + high[i]) / 2, float(abs(high[i] - low[i]))
            both = (values[j], values_beyond[j])[:: walk.toward]
            singular = np.min(np.abs(values[j] - 1)) < 1e-6 and (huge[j] or not np.all(np.isfinite(here.points[j])))
            nowhere = walk.origin is not None and not walk.tentative and abs(place - walk.start) < _NOWHERE
            if nowhere and 0 <= column[i] <= num_tests:
                self._unexplained(walk, place, _NOTHING_BEYOND)
            elif column[i] == num_tests or (column[i] >= 0 and (singular or through[j])):
                where = self._as_end(walk, place, width)
                self._meet(walk, at_infinity(walk, here, j, values[j], both, *where), touched)
            elif 0 <= column[i] < num_tests and (known := self._known(walk, place)) is not None:
                known.followed.add((walk.code, walk.side))
                touched.append(known)
            elif 0 <= column[i] < num_tests:
                if along[j]:
                    self._stays(walk, place, exactly[j])
                    continue
                scale = float(np.max(np.abs(begin.points[i])))
                matter, elsewhere = self.matter[walk.pair], self._elsewhere(walk, place)
                turn = at_border(walk, here, j, values[j], close[j], matter, scale, place, width, elsewhere, beyond)
                self._meet(walk, turn, touched)
                if turn.event is None:
                    word, at = turn.branches[0].word, float(high[i])
                    on = Continuation(walk.pair, word, self._code(walk.pair, word), walk.toward, at, at)
                    onward.append(on)
            else:
                self._meet(walk, of_stability(walk, column[i] > num_tests, values[j], both, place, width), touched)
                on = dataclasses.replace(walk, start=float(high[i]), probe=float(past[j]), given=False, tentative=False)
                onward.append(dataclasses.replace(on, origin=None))

    def _past(self, pair: int, code: int, at: float, toward: int) -> float:
        """Give a place past an event for reading signs off: before the next event of the same word that is known.

        Where that is near, the pair is looked at in more digits from now on.
        """
        left = abs(float(toward > 0) - at)
        near = (node for node in self.nodes[pair] if 0 < node.beyond(at, toward) < _PAST)
        own = (node for node in near if any(self._code(pair, word) == code for word in node.event.words))
        gap = min((node.beyond(at, toward) for node in own), default=np.inf)
        if gap < _PAST:
            self.paths.fine[pair] = True
        return at + toward * min(_PAST, left / 2, gap / 2)

    def _elsewhere(self, walk: Continuation, place: float) -> Callable[[], AffineForm]:
        """Read the borders off the path of a walk far from a place, where they are asked for."""
        return functools.cache(lambda: affine_form(self._model(walk.pair, (place + _FAR_OFF) % 1)))

    def _model(self, pair: int, place: float):
        models = self.models(np.array([pair]), np.array([place]))
        return jax.tree.map(lambda leaf: np.asarray(leaf, float)[0], models)

    def _staying(self, walks: list[Continuation], places: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, ...]:
        """Whether the points `near (n, k, G)` borders at places have been on them since their walks began, `(n,)`."""
        start = np.array([walk.start for walk in walks])
        said, far = np.zeros((2, len(walks)), bool), np.abs(places - start) > _PAST
        rows = np.flatnonzero(np.any(near, axis=(1, 2)) & far)
        if len(rows):
            pair, words = np.array([walks[i].pair for i in rows]), np.stack([walks[i].word for i in rows])
            said[:, rows] = staying(self.paths, pair, start[rows], places[rows], words, near[rows])
        return said[0], said[1]

    def _stays(self, walk: Continuation, place: float, exactly: bool) -> None:
        """Take down that a word is on a border all the way to a place: a gate there switches nothing where it began."""
        if exactly:
            self._note(walk, walk.start, "border collision", _STAYS)
        else:
            self._unexplained(walk, place, _ALONG)

    def _near(self, here: Branch, pair, places, words, sizes) -> np.ndarray:
        """Which points of words are on borders `(n, k, G)`, to within rounding; `sizes` are of the terms on the way.

        What rounding does not tell is told by how heights change: where words were solved in more digits, and where
        terms had been far larger than they are here.
        """
        near = np.abs(here.heights) <= NEAR * sizes
        sure = near & (np.abs(here.heights) <= NEAR * here.sizes) & ~here.fine[:, None, None]
        rows = np.flatnonzero(np.any(near & ~sure, axis=(1, 2)))
        if len(rows):
            near[rows] &= sure[rows] | vanishing(self.paths, pair[rows], places[rows], words[rows], here.heights[rows])
        return near

    def _known(self, walk: Continuation, place: float) -> Node | None:
        """Give the border collision at which a walk ends, where another has come to it before."""
        for node in self.nodes[walk.pair]:
            here = node.key[0] == "border" and abs(node.event.at - place) <= SAME_PLACE
            if here and (walk.code, walk.side) in node.meeting:
                return node
        return None

    def _meet(self, walk: Continuation, turn: SpecialPoint, touched: list[Node]) -> None:
        """Take down an event, once, whichever walk comes to it."""
        if turn.event is None:
            return
        codes = frozenset(self._code(walk.pair, word) for word in turn.words)
        key, nodes = (turn.kind, codes), self.nodes[walk.pair]
        # A word that has come through infinity does not come back to where it did.
        behind = walk.origin if walk.tentative else None
        node = next((n for n in nodes if n.key == key and n is not behind and n.same_place(turn.event)), None)
        if node is not None and node is walk.origin:
            return self._unexplained(walk, turn.event.at, _NOTHING_BEYOND)
        if node is None:
            meeting: frozenset[tuple[int, Side]] = frozenset(
                (self._code(walk.pair, branch.word), branch.side) for branch in turn.branches
            )
            node = Node(key, turn.event, turn.branches, set(), meeting)
            # A walk from the other side may tell what one from this side could not.
            nodes[:] = [n for n in nodes if not (n.key[0] == key[0] == "border" and n.tells_less(node))]
            nodes.append(node)
        elif turn.kind == "infinity" and node.event.sides != turn.event.sides:
            node.event = dataclasses.replace(node.event, sides=("both",))
        elif turn.event.bracket < node.event.bracket:
            node.event = dataclasses.replace(node.event, at=turn.event.at, bracket=turn.event.bracket)
        node.followed.add((walk.code, walk.side))
        touched.append(node)

    def _unexplained(self, walk: Continuation, at: float, reason: str) -> None:
        self._note(walk, at, "unexplained", reason)

    def _note(self, walk: Continuation, at: float, kind: EventType, reason: str, missing: bool = False) -> None:
        """Take down where a walk ends without an event that others share."""
        other: Side = "after" if walk.toward > 0 else "before"
        event = Event(
            type=kind,
            order=len(walk.word),
            at=at,
            bracket=0.0,
            words=(walk.word,),
            sides=("both",) if missing else (walk.side,),
            missing=other if missing else None,
            reason=reason,
        )
        key = (kind, walk.code, reason, at)
        if not any(node.key == key for node in self.nodes[walk.pair]):
            self.nodes[walk.pair].append(Node(key, event, (), set()))
