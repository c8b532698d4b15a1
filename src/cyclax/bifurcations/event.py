"""What happens to a cycle between two models: types, Feigin's rule, and the record of one event.

Source: di Bernardo, Budd, Champneys and Kowalczyk (2008), "Piecewise-smooth Dynamical Systems", chapter 3 (after
Feigin 1970).
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Complex, Float

from cyclax.cycles.decide import Outcome
from cyclax.cycles.multipliers import ROUGH_PRODUCT, multipliers_of, product_of, sound_multipliers

EventType = Literal[
    "persistence",
    "nonsmooth fold",
    "degenerate transcritical",
    "degenerate flip",
    "center",
    "family",
    "border collision",
    "unexplained",
]
Side = Literal["before", "after", "both", "undecided"]
# What a word that is not on the list of an end is there: the type of its event, and what to say of it.
UNLISTED: dict[Outcome, tuple[EventType, str]] = {
    Outcome.CYCLE: ("unexplained", "the word is a cycle at {} too, but not on the list there"),
    Outcome.BORDER: ("border collision", "at {} it is on a border, to within rounding"),
    Outcome.FAMILY: ("family", "at {} the word has a family of solutions"),
    Outcome.NONE: ("unexplained", "the word ceases to be a cycle so close to {} that float64 does not tell how"),
    Outcome.OPEN: ("unexplained", "whether the word is a cycle at {} is not decided"),
}


def check_types(kinds: Iterable[str], name: str, own: Iterable[str] = ()) -> None:
    """Raise a `ValueError` where something is no type of event, nor one of one's own that there are."""
    known = list(dict.fromkeys((*get_args(EventType), *own)))
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"{name}: {kind!r} is no type of event; these are: {', '.join(known)}.")


# What `Event.to_dict` gives, as `cyclax.core.archive` compares it.
_SIDES = frozenset(get_args(Side))
EVENT = {
    "type": str,
    "order": int,
    "at": float,
    "bracket": float | None,
    "words": [[[int]]],
    "sides": [_SIDES],
    "multipliers": [[(float | None, float | None)]],
    "gate?": int,
    "step?": int,
    "flip?": {"word": [[int]], "side": _SIDES},
    "missing?": _SIDES,
    "reason": str,
}

# A multiplier this close to +1 or -1 leaves Feigin's rule undecided.
_ON_THE_UNIT = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Flip:
    """The cycle of twice the order that is born, or dies, at a border collision.

    - `word` `(2k, G)`: w_L w_R.
    - `side`: where it exists, "before" the event or "after" it; "undecided" where others at its place contradict that.
    """

    word: Bool[np.ndarray, "k2 G"]
    side: Side


@dataclasses.dataclass(frozen=True, eq=False)
class Event:
    """One event on the way from one model (s = 0) to another (s = 1).

    - `type`: what happens.
        - "persistence": a cycle crosses a border and goes on with another word.
        - "nonsmooth fold": two cycles meet on a border and annihilate, or are born there.
        - "degenerate transcritical": a multiplier reaches +1 and the cycle runs to infinity.
        - "degenerate flip": a multiplier passes -1 with the word held. The cycle of twice the order that comes with it
          is far from there: it ends on a border, and has an event of this type of its own, with `gate` and `step`.
        - "center": a complex pair of multipliers passes the unit circle with the word held.
        - "family": a multiplier reaches +1 and there is a line of cycles.
        - "border collision": a cycle ends on a border in a way that Feigin's rule does not decide; `reason` says why.
        - "unexplained": `reason` says why; where a search missed a cycle, `missing` says at which end.
        - the `name` of an `AbstractEventType` of one's own.
    - `order`: of the cycle.
    - `at`: the place s; `bracket`: the width of the interval to which it was narrowed.
    - `words`: `(k, G)` each. At a border first the word with the gate closed (w_L), then that with it open (w_R).
    - `sides`: where each of them is a cycle: "before", "after" the event, "both", or "undecided".
    - `gate`, `step`: the gate whose border is met, and the row of `words[0]` at which; None away from borders.
    - `multipliers`: at a border those of both words at the event; else just before and just after it.
    - `flip`: the cycle of order 2k with the word w_L w_R, where Feigin's rule says that it exists.
    - `missing`: of an unexplained event, the end ("before": s = 0, "after": s = 1) at which `words[0]` is a cycle of
      the model but not on its list.
    """

    type: EventType | str
    order: int
    at: float
    bracket: float
    words: tuple[Bool[np.ndarray, "k G"], ...]
    sides: tuple[Side, ...]
    multipliers: tuple[Complex[np.ndarray, " M"], ...] = ()
    gate: int | None = None
    step: int | None = None
    flip: Flip | None = None
    missing: Side | None = None
    reason: str = ""

    @property
    def change(self) -> str:
        """Whether cycles appear (with s), disappear, or continue."""
        if all(side == "before" for side in self.sides):
            return "disappears"
        return "appears" if all(side == "after" for side in self.sides) else "continues"

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values, with null for inf and nan."""
        return {
            "type": self.type,
            "order": self.order,
            "at": _plain(self.at),
            "bracket": _plain(self.bracket),
            "change": self.change,
            "words": [word.astype(int).tolist() for word in self.words],
            "sides": list(self.sides),
            "multipliers": [[[_plain(v.real), _plain(v.imag)] for v in some] for some in self.multipliers],
            "gate": self.gate,
            "step": self.step,
            "flip": self.flip and {"word": self.flip.word.astype(int).tolist(), "side": self.flip.side},
            "missing": self.missing,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Event":
        """Read what `to_dict` gave, of the form `EVENT`."""
        names = [field.name for field in dataclasses.fields(cls)]
        flip = content.get("flip")
        return cls(
            **{name: content[name] for name in names if name in content}
            | {
                "at": _number(content["at"]),
                "bracket": _number(content["bracket"]),
                "words": tuple(np.array(word, bool) for word in content["words"]),
                "sides": tuple(content["sides"]),
                "multipliers": tuple(
                    np.array([complex(_number(re), _number(im)) for re, im in some]) for some in content["multipliers"]
                ),
                "flip": flip and Flip(np.array(flip["word"], bool), flip["side"]),
            }
        )

    def __repr__(self) -> str:
        return f"Event({self.type!r}, order={self.order}, at={self.at:.12g})"

    def __str__(self) -> str:
        noun = "fixed point" if self.order == 1 else f"{self.order}-cycle"
        whose = f"two {noun}s" if self.type == "nonsmooth fold" else f"a {noun}"
        text = f"{self.type} of {whose} at s = {self.at:.12g}"
        words = [_spelled(word) + (f" ({side})" if side != "both" else "") for word, side in self._shown()]
        text += f": {' | '.join(words)}"
        if self.gate is not None:
            text += f"; gate {self.gate} at step {self.step}"
        if self.flip is not None:
            text += f"; with a {len(self.flip.word)}-cycle {_spelled(self.flip.word)} ({self.flip.side})"
        return text + (f"; {self.reason}" if self.reason else "")

    def _shown(self):
        return zip(self.words, self.sides, strict=True)


def claims_of(event: Event) -> list[tuple[Bool[np.ndarray, "k G"], Side]]:
    """Give each word that an event speaks of with its side, that of twice the order last."""
    doubled = [] if event.flip is None else [event.flip]
    return [*zip(event.words, event.sides, strict=True), *((flip.word, flip.side) for flip in doubled)]


def resolution_of(event: Event) -> float:
    """Give how well the place of an event is known: to within its bracket, and to the next number."""
    return max(event.bracket, float(np.spacing(event.at)))


def by_place(event: Event) -> tuple:
    """By place; what happens at one place, by order."""
    return round(event.at, 12), event.order, event.at


class Feigin(NamedTuple):
    """What Feigin's rule says of two words that share an orbit on a border; see `feigin`."""

    type: EventType
    flips: bool
    # The sign that the common test function must have where the closed word, the open word and the doubled one exist.
    closed: int
    open: int
    doubled: int
    multipliers: tuple[Complex[np.ndarray, " M"], Complex[np.ndarray, " M"]]
    reason: str


def feigin(closed: Float[np.ndarray, "k M M"], opened: Float[np.ndarray, "k M M"]) -> Feigin:
    """Type the border collision of two words that differ by one gate of one point.

    Let f be the preactivation of that gate for either word's solution. Since P_R - P_L has rank one, with the gradient
    of the gate as its row, f det(I - P) is the same function F of the parameter for both words. F changes sign at the
    event, w_L is a cycle where f < 0, w_R where f > 0: on one side each, on the same side if the determinants differ in
    sign, that is if s+, the number of real multipliers above 1 of both words together, is odd. On the point that
    belongs to w_L, the solution of w_L w_R has f det(I - P_R P_L) = F det(I + P_R), and on the other the same with
    the roles changed: it is a cycle, on one side, if s-, the number of real multipliers below -1, is odd.

    **Arguments:** the Jacobians of the steps along the orbit with the gate closed, and with it open.

    **Returns:** `Feigin`; its type is "border collision" where a multiplier is +1 and the rule is void.
    """
    left, right = product_of(closed), product_of(opened)
    values = multipliers_of(np.stack([closed, opened]), np.stack([left, right]))
    with np.errstate(all="ignore"):
        size = np.max(np.abs([closed, opened])) * max(np.max(np.abs(left)), np.max(np.abs(right)))
    large = not size < ROUGH_PRODUCT
    if large:
        values = np.stack([sound_multipliers(*some) for some in zip((closed, opened), values, strict=True)])
    both = (values[0], values[1])
    if np.any(np.isnan(values)):
        return Feigin("border collision", False, 0, 0, 0, both, "the multipliers are beyond float64")
    if np.any(np.abs(values - 1) < _ON_THE_UNIT):
        return Feigin("border collision", False, 0, 0, 0, both, "codimension two: a multiplier is +1 on the border")
    minus_left, minus_right = _sign(values[0], -1), _sign(values[1], -1)
    kind: EventType = "persistence" if minus_left == minus_right else "nonsmooth fold"
    if np.any(np.abs(values + 1) < _ON_THE_UNIT):
        reason = "codimension two: a multiplier is -1 on the border, so that nothing is said of a flip"
        return Feigin(kind, False, -minus_left, minus_right, 0, both, reason)
    plus_left, plus_right = _sign(values[0], 1), _sign(values[1], 1)
    flips = plus_left != plus_right
    doubled = 0
    if flips:
        with np.errstate(all="ignore"):
            steps = np.concatenate([closed, opened])
            twice = multipliers_of(steps[None], (right @ left)[None])[0]
            twice = sound_multipliers(steps, twice) if large else twice
        doubled = -plus_right * _sign(twice, -1) if np.all(np.abs(twice - 1) > _ON_THE_UNIT) else 0
    reason = "codimension two: a multiplier of w_L w_R is +1" if flips and not doubled else ""
    return Feigin(kind, flips and bool(doubled), -minus_left, minus_right, doubled, both, reason)


def _sign(values: np.ndarray, which: int) -> int:
    """Sign of det(I + P) (`which` 1) or det(I - P) (-1): complex pairs do not count."""
    real = np.real(values[np.imag(values) == 0])
    return -1 if np.sum(which * real < -1) % 2 else 1


def _spelled(word: np.ndarray) -> str:
    shown = " ".join("".join("1" if gate else "0" for gate in gates) for gates in word[:12])
    return shown + (" .." if len(word) > 12 else "")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
