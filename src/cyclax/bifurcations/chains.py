"""Events of one word at one place: what is said of it must be true in some order of them.

Their order is below the resolution, but there is one: what a word is after one event it is before the next, and before
all of them, and after, it is what it is beside the place.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from cyclax.bifurcations.branch import Paths
from cyclax.bifurcations.continuation import looked_at
from cyclax.bifurcations.event import Event, Side, claims_of

# Events no further apart than so many neighboring places, or brackets, are at one place.
_PLACES, _BRACKETS = 4, 2
# So many events of one word at a place are put in order; of more nothing is said.
_MOST = 5
_WHERE: dict[Side, tuple[bool, bool]] = {"before": (True, False), "after": (False, True), "both": (True, True)}
_REASON = "several events of this word are at one place, in no order that can be told"


class _Claim(NamedTuple):
    """What an event says of one of its words, counted from 0; the one of twice the order comes after the others."""

    node: Any
    word: int
    side: Side
    open: bool  # it runs to infinity, and may come back from there, or not


class _Spot(NamedTuple):
    """A word at a place where several events speak of it."""

    pair: int
    word: np.ndarray
    low: float
    high: float
    claims: list[_Claim]


def reconcile(paths: Paths, nodes: list[list[Any]], code: Callable[[int, np.ndarray], int]) -> None:
    """Mend what events at one place say of a word where it cannot be true: in place, in the nodes of each pair.

    A word that was taken to go through infinity ends there, or begins; where that does not help its side is undecided.

    **Arguments:** `nodes`: each with its `event` and `key`; `code`: numbers the words of a pair.
    """
    spots = [spot for pair, some in enumerate(nodes) for spot in _spots(pair, some, code) if _decided(spot.claims)]
    for order in {len(spot.word) for spot in spots}:
        some = [spot for spot in spots if len(spot.word) == order]
        pair, words = np.array([spot.pair for spot in some]), np.stack([spot.word for spot in some])
        paths.fine[pair] = True
        given = np.ones(len(some), bool)
        before, after = (
            looked_at(paths, pair, np.array(places), words, given)[1].inside
            for places in ([spot.low for spot in some], [spot.high for spot in some])
        )
        for spot, ends in zip(some, zip(before.tolist(), after.tolist(), strict=True), strict=True):
            _mend(spot.claims, ends)


def _spots(pair: int, nodes: list[Any], code: Callable[[int, np.ndarray], int]) -> Iterator[_Spot]:
    ordered = sorted(nodes, key=lambda node: node.event.at)
    cluster: list[Any] = []
    for node in [*ordered, None]:
        if node is not None and (not cluster or _together(cluster[-1].event, node.event)):
            cluster.append(node)
            continue
        low = min(one.event.at - _width(one.event) for one in cluster) if cluster else 0.0
        high = max(one.event.at + _width(one.event) for one in cluster) if cluster else 0.0
        if len(cluster) > 1 and low > 0 and high < 1:
            by_word: dict[int, list[tuple[np.ndarray, _Claim]]] = {}
            for one in cluster:
                for index, (word, side) in enumerate(claims_of(one.event)):
                    claim = _Claim(one, index, side, one.key[0] == "infinity")
                    by_word.setdefault(code(pair, word), []).append((word, claim))
            for said in by_word.values():
                if len(said) > 1:
                    yield _Spot(pair, said[0][0], low, high, [claim for _, claim in said])
        cluster = [node]


def _together(one: Event, other: Event) -> bool:
    """Whether two events are at one place, for all that is known of where each of them is."""
    return abs(other.at - one.at) <= _width(one) + _width(other)


def _width(event: Event) -> float:
    return max(_BRACKETS * event.bracket, _PLACES * float(np.spacing(abs(event.at))))


def _decided(claims: list[_Claim]) -> bool:
    """Whether all of a few claims are decided, so that they can be held against what the word is beside the place."""
    if len(claims) > _MOST or any(claim.side == "undecided" for claim in claims):
        return False
    return not any(claim.node.event.type == "unexplained" for claim in claims)


def _ends(sides: list[Side]) -> set[tuple[bool, bool]]:
    """Give where a word may be (before, after) all events at one place, of which each says that of itself."""
    chains = itertools.permutations([_WHERE[side] for side in sides])
    return {
        (chain[0][0], chain[-1][1])
        for chain in chains
        if all(one[1] == other[0] for one, other in itertools.pairwise(chain))
    }


def _mend(claims: list[_Claim], ends: tuple[bool, bool]) -> None:
    ways: list[list[Side]] = [
        [claim.side, "before", "after"] if claim.open and claim.side == "both" else [claim.side] for claim in claims
    ]
    choices = itertools.product(*ways)
    sides = next((list(some) for some in choices if ends in _ends(list(some))), None)
    for claim, side in zip(claims, sides or ["undecided"] * len(claims), strict=True):
        if side == claim.side:
            continue
        event = claim.node.event
        reason = event.reason if sides else "; ".join(filter(None, (event.reason, _REASON)))
        said = tuple(side if i == claim.word else own for i, own in enumerate(event.sides))
        flip = event.flip
        if flip is not None and claim.word == len(said):
            flip = dataclasses.replace(flip, side=side)
        claim.node.event = dataclasses.replace(event, sides=said, flip=flip, reason=reason)
