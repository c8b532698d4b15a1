"""The orbits of samples, followed in rounds to where they settle: on words, on points, on closed curves."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import numpy as np

from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.decide import Decider, Outcome
from cyclax.cycles.families import described, lies_in, slow_family
from cyclax.cycles.verify import Verified, verify_hits, verify_words
from cyclax.cycles.word import WordKey, word_key
from cyclax.maps.affine import AffineForm, itineraries, state_scale
from cyclax.maps.orbits import RETURNED, follow_tangents, gate_hashes, period_of, word_periods
from cyclax.search.curves import CHECKED, Curve, Record, curve_of, records
from cyclax.search.destinations import Attractor, Attractors
from cyclax.search.followed import Followed, followed, multiplicity_of_one
from cyclax.search.leaps import leap

# Orbits are followed in rounds that double, from this many steps on; those that have settled leave between rounds.
_FIRST_ROUND = 256
# A cycle that does not attract is where an orbit is only if the orbit lies on it to within rounding.
_ROUNDING = 1e-13
# So many gates within rounding of their borders are taken either way.
_MOST_NEAR = 4
# States this many times the size of the samples and the model, and of their images, have left for infinity.
_GONE = 1e6
# They have not where they follow a word none of whose multipliers is larger than this.
_RESTING = 1 + 1e-9
# Orbits that do not settle are chaotic where their mean growth over the last round exceeds this, divided by its steps:
# along regular orbits distances grow by a bounded factor, or in proportion to the steps.
_CHAOTIC = 30.0
# Where there are no curves.
_ONE_STATE = "it has come to no cycle of at most `longest` steps; more steps, or a larger `longest`, may tell"
# Words that bring an orbit nearer to their solution by this factor in a first round need no leap.
_QUICK = 1e-3
# Most leaps along slow words, in each round.
_LEAPS = 16
# Orbits are padded to a power of two of at least this many, so that the kernels compile only a few times.
_FEWEST = 64
# Closed curves are looked for after rounds of so many steps, in records of as many for returns and as many to check
# them; so many records are made at once.
_CURVE_ROUND, _CURVE_STEPS, _RECORDS = 4096, 4096, 16


class Basins:
    """One call of `attractors`."""

    def __init__(self, model, bounds: AffineForm, samples: np.ndarray, steps: int, longest: int):
        self.model, self.bounds, self.samples, self.steps, self.longest = model, bounds, samples, steps, longest
        self.scale = state_scale(bounds)
        self.decider = Decider(model, bounds.effective)
        self.accepted: dict[int, Verified] = {}
        # Thousands of orbits may follow a word: the identities of those that were checked, and their families.
        self.checked: dict[bytes, WordKey | None] = {}
        self.families: dict[bytes, Degenerate | None] = {}
        self.curves: list[tuple[Hashable, Curve]] = []
        # What is said of each place that samples have come to, as fields of `Attractor`.
        self.places: dict[Hashable, dict[str, Any]] = {}
        self.where: list[Hashable] = [None] * len(samples)
        self.exponents = np.full(len(samples), np.nan)

    def run(self, say: Callable[[str], None]) -> Attractors:
        """Follow all samples, and `say` how far it is; after Ctrl-C, those that have not settled are undecided."""
        number = len(self.samples)
        with np.errstate(over="ignore"):
            # One step may be as large as the Jacobians make it.
            self.step = float(np.exp(max(0.0, self.bounds.growth_bound())))
            self.limit = float(_GONE * self.step * max(self.scale, np.max(np.abs(self.samples))))
        z = self.samples.T.copy()
        v = np.random.default_rng(0).normal(size=z.shape)
        v /= np.linalg.norm(v, axis=0)
        self.unsettled, self.last = np.arange(number), _FIRST_ROUND // 2
        try:
            done = 0
            while len(self.unsettled) and done < self.steps:
                # Each round is twice as long as the one before, and the last takes what is left.
                left = self.steps - done
                self.last = 2 * self.last if left >= 6 * self.last else left
                here = number - len(self.unsettled)
                say(f"attractors: {here:,} of {number:,} orbits have settled; {self.last:,} more steps of the others")
                self._round(z, v)
                done += self.last
                if self.last >= _CURVE_ROUND and done < self.steps:
                    self._follow_curves(z, v, self._regular()[:_RECORDS])
            for i in np.setdiff1d(self.unsettled, self._regular()).tolist():
                self._put(i, "chaos", kind="chaos")
            self._follow_curves(z, v, self._regular(), last=True)
        except KeyboardInterrupt:
            for i in self.unsettled.tolist():
                self._put(i, "interrupted", kind="undecided", reason="interrupted by Ctrl-C")
            return self._result("interrupted by Ctrl-C: the orbits that had not settled are undecided")
        return self._result(None)

    def _put(self, sample: int, place: Hashable, **said: Any) -> None:
        """Note where a sample has come to."""
        self.where[sample] = place
        self.places.setdefault(place, said)

    def _regular(self) -> np.ndarray:
        """Give the unsettled samples whose orbits are not chaotic."""
        return self.unsettled[self.exponents[self.unsettled] * self.last <= _CHAOTIC]

    def _round(self, z: np.ndarray, v: np.ndarray) -> None:
        """Follow the unsettled orbits z, with their tangents v `(M, N)`, for `last` steps; see which have settled."""
        self._follow(z, v, self.unsettled, self.last)
        self._by_words(z, v, self._left(self.unsettled))
        self._by_points(z, self._left(self.unsettled))
        self.unsettled = self._left(self.unsettled)

    def _left(self, samples: np.ndarray) -> np.ndarray:
        return np.array([i for i in samples if self.where[i] is None], int)

    # -- orbits that follow the word of a cycle for ever --------------------------------------------------------------

    def _by_words(self, z: np.ndarray, v: np.ndarray, samples: np.ndarray) -> None:
        for _ in range(_LEAPS):
            samples = np.array(self._ahead_by_words(z, samples), int)
            if not len(samples):
                return
            self._follow(z, v, samples, _FIRST_ROUND)
            samples = self._left(samples)

    def _follow(self, z: np.ndarray, v: np.ndarray, samples: np.ndarray, steps: int) -> None:
        """Follow some orbits z, with their tangents v `(M, N)`, for so many steps; take down those that diverge."""
        padded = _padded(samples)
        ends = follow_tangents(self.model, z[:, padded], v[:, padded], self.limit, steps)
        z[:, samples], v[:, samples], growth, gone = (np.asarray(part)[..., : len(samples)] for part in ends)
        self.exponents[samples] = growth / steps
        # Beyond the limit an orbit may still come to rest, or have been taken there in a leap.
        resting = self._resting(z, samples[gone])
        if len(resting):
            self.limit = max(self.limit, _GONE * self.step * float(np.max(np.abs(z[:, resting]))))
        for sample in np.setdiff1d(samples[gone], resting).tolist():
            self._put(sample, "divergence", kind="divergence")

    def _resting(self, z: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Give those samples whose orbits meet a word twice in a row, none of whose multipliers leads away."""
        if not len(samples):
            return samples
        hashes = self._hashes(z, samples)
        # What counts is the word, and many orbits may have one.
        odd = 2 * np.arange(len(hashes), dtype=np.uint64)[:, None] + np.uint64(1)
        _, first, which = np.unique(np.sum(hashes * odd, axis=0), return_index=True, return_inverse=True)
        words = self._words(z, samples[first], word_periods(hashes[:, first]))
        resting = [sample for sample, _, facts in words if facts.radius <= _RESTING]
        return samples[np.isin(samples[first], resting)[which]]

    def _hashes(self, z: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Give hashes `(2 longest, n)` of the gates that samples meet from now on, step by step."""
        hashes = gate_hashes(self.model, z[:, _padded(samples)], self.bounds.effective, steps=2 * self.longest)
        return np.asarray(hashes)[:, : len(samples)]

    def _words(
        self, z: np.ndarray, samples: np.ndarray, orders: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray, Followed]]:
        """Give samples that meet words of these lengths, with the word and what is known of them."""
        for order in np.unique(orders[orders > 0]).tolist():
            some = samples[orders == order]
            words, _ = itineraries(self.model, z[:, some].T[:, None], order)
            facts = followed(self.bounds, words, z[:, some].T, self.longest)
            for i, sample in enumerate(some.tolist()):
                yield sample, words[i], Followed(*(part[i] for part in facts))

    def _ahead_by_words(self, z: np.ndarray, samples: np.ndarray) -> list[int]:
        """Settle what follows a word for ever. **Returns:** the samples that were taken far ahead along their words."""
        if not len(samples):
            return []
        ahead = []
        for sample, word, facts in self._words(z, samples, word_periods(self._hashes(z, samples))):
            if facts.held or facts.leaves:
                self._by_facts(sample, word, facts)
            if self.where[sample] is None and facts.radius >= _QUICK ** (len(word) / _FIRST_ROUND):
                later = leap(self.model, self.bounds, word, z[:, sample], _FIRST_ROUND)
                if later is not None:
                    z[:, sample] = later
                    ahead.append(sample)
        return ahead

    def _by_facts(self, sample: int, word: np.ndarray, facts: Followed) -> None:
        """Take down where an orbit comes to that follows its word for ever, as far as rounding tells."""
        with np.errstate(divide="ignore"):
            self.exponents[sample] = np.log(facts.radius) / len(word)
        if facts.leaves and self._has_no_end(np.tile(word, (int(facts.leaves), 1))):
            self._put(sample, "divergence", kind="divergence")
        elif facts.period > 0:
            self._settle(sample, word, int(facts.period), bool(facts.family))
        elif facts.held:
            self._turn(sample, word, int(facts.loops), float(facts.rotation))

    def _has_no_end(self, word: np.ndarray) -> bool:
        """Whether what is added to a state lap by lap, by a multiplier of 1, is added for ever.

        A multiplier that is 1 only to within rounding has a solution, far away. Beside a family of solutions nothing
        is added but along a Jordan block.
        """
        decision = self.decider.decide(word)
        if decision.outcome == Outcome.NONE:
            return True
        many = decision.outcome == Outcome.FAMILY
        return many and multiplicity_of_one(self.bounds, word) > decision.directions.shape[1]

    def _checked(self, word: np.ndarray) -> WordKey | None:
        """Check a word, and give the identity of what it is, which `accepted` holds; None where it is nothing."""
        known, bits = self.accepted.setdefault(len(word), Verified()), word.tobytes()
        if bits not in self.checked:
            self.checked[bits] = verify_words(self.model, self.bounds, word[None], known, self.decider)[0]
        return self.checked[bits]

    def _settle(self, sample: int, word: np.ndarray, period: int, family: bool) -> None:
        """The orbit comes to points of that period, beside or on the cycle of the word."""
        key = self._checked(word) if period == len(word) else None
        known = self.accepted.setdefault(len(word), Verified())
        cycle, member = (some.get(key) if key is not None else None for some in (known.cycles, known.families))
        if cycle is not None and not family:
            self._put(sample, key, kind="cycle", what=cycle, period=period)
            return
        place = ("family", period, word_key(word[:, self.bounds.effective]))
        if place not in self.places:
            what = member or self._family(np.tile(word, (period // len(word), 1)))
            if what is None and cycle is not None:  # a multiplier that is 1 but for rounding
                self.places[place] = dict(kind="cycle", what=cycle, period=period)
            elif what is None and period == len(word):
                return  # beside a border rounding misled, and the word will be left
            else:
                self.places[place] = dict(kind="family", what=what, period=period)
        self.where[sample] = place

    def _family(self, word: np.ndarray) -> Degenerate | None:
        bits = word.tobytes()
        if bits not in self.families:
            decision = self.decider.decide(word)
            if decision.outcome == Outcome.FAMILY:
                self.families[bits] = described(self.bounds, word, "family", decision)
            else:
                self.families[bits] = slow_family(self.model, self.bounds, word)
        return self.families[bits]

    def _turn(self, sample: int, word: np.ndarray, loops: int, rotation: float) -> None:
        """The orbit goes around the cycle of the word for ever, and does not repeat."""
        key = self._checked(word)
        what = self.accepted[len(word)].cycles.get(key) if key is not None else None
        place = ("turn", word_key(word[:, self.bounds.effective]), loops, rotation)
        if np.isnan(rotation):
            self._put(sample, (*place[:3], "torus"), kind="torus", what=what, period=loops)
        else:
            # An angle of a multiplier, to within rounding.
            found = dict(rotation_number=rotation, rotation_error=float(np.spacing(1.0)))
            self._put(sample, place[:3], kind="closed curve", what=what, period=loops, **found)

    # -- orbits that come back to their points ------------------------------------------------------------------------

    def _by_points(self, z: np.ndarray, samples: np.ndarray) -> None:
        if not len(samples):
            return
        periods = np.asarray(period_of(self.model, z[:, _padded(samples)], self.longest, self.scale))[: len(samples)]
        for order in np.unique(periods[periods > 0]).tolist():
            some = samples[periods == order]
            known = self.accepted.setdefault(order, Verified())
            keys = verify_hits(self.model, self.bounds, z[:, some].T[:, None], order, known, self.decider)
            for sample, key in zip(some, keys, strict=True):
                if key is not None:
                    self._lie(sample, key, z[:, sample], known)
                if self.where[sample] is None:
                    self._lie_in_family(sample, self._words_at(z[:, sample], order), order, z[:, sample])

    def _lie(self, sample: int, key: WordKey, state: np.ndarray, known: Verified) -> None:
        """Note that a sample lies on what its word is, if it does."""
        if key in known.families:
            if lies_in(self.bounds, known.families[key], state):
                what = known.families[key]
                self._put(sample, ("family", what.order, key), kind="family", what=what, period=what.order)
            return
        what = known.cycles[key] if key in known.cycles else known.borders[key]
        away = float(np.min(np.max(np.abs(what.points - state), axis=1)))
        attracting = bool(np.all(np.abs(what.multipliers) < 1))
        near = (RETURNED if attracting or key in known.borders else _ROUNDING) * max(
            float(np.max(np.abs(state))), self.scale
        )
        if away > near + what.error:
            return
        place = None
        if key in known.borders:
            ties = known.ties.get(key, np.zeros_like(what.gates))
            self._lie_in_family(sample, _beside(what.gates, ties), what.order)
            place = self._same_border(what, near)
        if self.where[sample] is None:
            self._put(sample, key if place is None else place, kind="cycle", what=what, period=what.order)

    def _lie_in_family(
        self, sample: int, words: Iterable[np.ndarray], order: int, state: np.ndarray | None = None
    ) -> None:
        """Note that a sample, if in `state`, lies in a family of cycles that one of these words `(k, G)` has."""
        found = [self._family(word) for word in words]
        families = [what for what in found if what is not None and (what.kind, what.order) == ("family", order)]
        if state is not None:
            families = [what for what in families if lies_in(self.bounds, what, state)]
        if families:  # a line may end on the rim of a plane
            what = max(families, key=lambda family: family.directions.shape[1])
            place = ("family", order, word_key(what.gates[:, self.bounds.effective]))
            self._put(sample, place, kind="family", what=what, period=order)

    def _words_at(self, state: np.ndarray, order: int) -> Iterable[np.ndarray]:
        """Give the word `(k, G)` that a state meets, and those that it may meet but for rounding."""
        heights, sizes = np.empty((2, order, self.model.num_gates))
        for t in range(order):
            heights[t] = self.bounds.gradients @ state + self.bounds.offsets
            sizes[t] = np.abs(self.bounds.gradients) @ np.abs(state) + np.abs(self.bounds.offsets)
            state = self.bounds.step(state, heights[t] > 0)
        return _beside(heights > 0, self.bounds.effective & (np.abs(heights) <= _ROUNDING * sizes))

    def _same_border(self, what: Cycle | Degenerate, near: float) -> Hashable | None:
        """Give the place of the cycle on a border that has another word, and the same points."""
        for place, said in self.places.items():
            other = said.get("what")
            if isinstance(other, Degenerate) and (other.kind, other.order) == ("border", what.order):
                apart = np.max(np.abs(what.points[:, None] - other.points), axis=2)
                if np.max(np.min(apart, axis=1)) <= near + what.error + other.error:
                    return place
        return None

    # -- orbits on closed curves --------------------------------------------------------------------------------------

    def _follow_curves(self, z: np.ndarray, v: np.ndarray, samples: np.ndarray, last: bool = False) -> None:
        """Look which orbits go around closed curves; once one does, ask all others whether they are on the same.

        With `last`, those that are not are undecided.
        """
        steps = 2 * min(_CURVE_STEPS, max(self.steps // 4, 4))
        while len(samples):
            some, samples = samples[:_RECORDS], samples[_RECORDS:]
            padded = np.resize(some, _RECORDS)
            for sample, record in zip(some, records(self.model, z[:, padded], v[:, padded], steps), strict=False):
                self._on_curve(sample, record, last)
            if self.curves:
                others = self._left(self.unsettled)
                padded = _padded(others)
                short = records(self.model, z[:, padded], v[:, padded], CHECKED)
                for sample, record in zip(others, short, strict=False):
                    self._on_known_curve(sample, record.states)
                samples = self._left(samples)
        self.unsettled = self._left(self.unsettled)

    def _on_known_curve(self, sample: int, orbit: np.ndarray) -> bool:
        place = next((place for place, curve in self.curves if curve.holds(orbit)), None)
        self.where[sample] = place
        return place is not None

    def _on_curve(self, sample: int, record: Record, last: bool) -> None:
        if self._on_known_curve(sample, record.states):
            return
        curve = curve_of(record, self.steps) if self.model.num_states > 1 else _ONE_STATE
        if isinstance(curve, str):
            if last:
                self._put(sample, ("undecided", curve), kind="undecided", reason=curve)
            return
        said = dict(rotation_number=curve.rotation_number, rotation_error=curve.error, period=curve.loops)
        if curve.attracting:
            place: Hashable = ("curve", len(self.curves))
            self.curves.append((place, curve))
            self._put(sample, place, kind="closed curve", what=None, curve=curve.points, **said)
            return
        place = ("curves", curve.loops)
        self._put(sample, place, kind="closed curve", what=None, **said)
        together = self.places[place]
        if not abs(together["rotation_number"] - curve.rotation_number) <= together["rotation_error"] + curve.error:
            together |= dict(rotation_number=float("nan"), rotation_error=float("nan"))

    def _result(self, interrupted: str | None) -> Attractors:
        places = sorted(self.places, key=lambda place: (-self.where.count(place), str(place)))
        labels = np.array([places.index(place) for place in self.where])
        entries = []
        for i, place in enumerate(places):
            said = {"what": None, **self.places[place]}
            share = float(np.mean(labels == i))
            error = float(np.sqrt(share * (1 - share) / len(labels)))
            unknown = said["kind"] == "divergence"
            exponent = float("nan") if unknown else float(np.mean(self.exponents[labels == i]))
            entries.append(Attractor(share=share, error=error, exponent=exponent, **said))
        return Attractors(tuple(entries), labels, self.samples, self.exponents, interrupted)


def _beside(word: np.ndarray, near: np.ndarray) -> Iterator[np.ndarray]:
    """Give a word `(k, G)`, and those across borders that are `near (k, G)`: the first few, where they are many."""
    gates = tuple(np.argwhere(near)[:_MOST_NEAR].T)
    for flips in itertools.product([False, True], repeat=len(gates[0])):
        other = word.copy()
        other[gates] ^= np.array(flips, bool)
        yield other


def _padded(samples: np.ndarray) -> np.ndarray:
    return np.resize(samples, max(_FEWEST, 1 << max(len(samples) - 1, 0).bit_length()))
