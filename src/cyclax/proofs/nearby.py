"""What a proof leaves open is searched, in the time that is left: a few Newton moves of the true map from many words.

The points that a word fixes lead, under the true map, through the gates of another word, and so on until a word fixes
points that meet it (the moves of SCYFI). Plain NumPy: there is no time to compile anything.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from cyclax.core.budget import Budget, SpentError
from cyclax.cycles.word import WordKey, minimal_period, word_key
from cyclax.maps.affine import AffineForm
from cyclax.proofs.candidates import Candidates

# Words that move together, in rounds of all orders: few at first, so that something is found however little time there
# is; and so few that a move of all takes about this many operations.
_BLOCKS, _OPERATIONS = (4, 8, 16, 32, *[64] * 16), 1e9
# Moves of one word, and steps of an orbit before words are read off it.
_MOVES, _TRANSIENT = 16, 32


def search_nearby(
    bounds: AffineForm,
    orders: list[int],
    found: Candidates,
    scale: float,
    budget: Budget,
    blocks: Sequence[int] = _BLOCKS,
) -> None:
    """Add words of these orders to those of `found`: that their points meet them is still to be checked.

    **Arguments:** `scale`: the size of the states that matter; `blocks`: how many words move together in each round of
    all orders, at most. It ends early where the budget is spent.
    """
    rng, met = np.random.default_rng(0), {order: {} for order in orders}
    try:
        for size, order in itertools.product(blocks, orders):
            _move(bounds, _starts(bounds, order, size, scale, rng, budget.check), met[order], budget.check)
    except SpentError:
        pass
    for order, some in met.items():
        if some:
            known = found.words.get(order, np.zeros((0, order, len(bounds.offsets)), bool))
            found.words[order] = np.concatenate([known, np.stack([some[key] for key in sorted(some)])])


def _starts(bounds: AffineForm, order: int, most: int, scale: float, rng, check: Callable[[], None]) -> np.ndarray:
    """Give words `(n, k, G)`, `most` at most: half of them of orbits, half of fair coins."""
    num_gates, num_states = bounds.gradients.shape
    each = order * num_states**2 * (2 * num_gates + 3 * num_states)
    number = int(np.clip(_OPERATIONS / each, 2, most))
    states = scale * 2.0 ** rng.integers(-2, 5, (number // 2, 1)) * rng.normal(size=(number // 2, num_states))
    for _ in range(_TRANSIENT):
        check()
        following = _step(bounds, states, states @ bounds.gradients.T + bounds.offsets > 0)
        stays = np.max(np.abs(following), axis=1, keepdims=True) < 1e6 * scale
        states = np.where(stays, following, states)
    coins = rng.random((number - len(states), order, num_gates)) < 0.5
    coins = np.where(bounds.effective, coins, bounds.settled)
    return np.concatenate([_itineraries(bounds, states, order, check), coins])


def _move(bounds: AffineForm, words: np.ndarray, met: dict[WordKey, np.ndarray], check: Callable[[], None]) -> None:
    """Move words until they meet their own points, and add those that do to `met`."""
    matter, order = bounds.effective, words.shape[1]
    for _ in range(_MOVES):
        states = _fixed(bounds, words, check)
        sane = np.all(np.isfinite(states), axis=1)
        words, states = words[sane], states[sane]
        if not len(words):
            return
        following = _itineraries(bounds, states, order, check)
        same = np.all(following[..., matter] == words[..., matter], axis=(1, 2))
        for word in words[same]:
            if minimal_period(word[:, matter]) == order:
                met.setdefault(word_key(word[:, matter]), word)
        words = following[~same]


def _fixed(bounds: AffineForm, words: np.ndarray, check: Callable[[], None]) -> np.ndarray:
    """Solve z = P z + q for every word; not finite where I - P is singular."""
    number, order, _ = words.shape
    identity = np.eye(len(bounds.shift))
    product, shift = np.broadcast_to(identity, (number, *identity.shape)), np.zeros((number, len(identity)))
    for t in range(order):
        check()
        jacobians = bounds.jacobians(words[:, t])
        product = jacobians @ product
        shift = (jacobians @ shift[..., None])[..., 0] + bounds.shift + words[:, t] @ bounds.shift_jumps
    system = identity - product
    regular = np.all(np.isfinite(system), axis=(1, 2)) & np.all(np.isfinite(shift), axis=1)
    regular[regular] = np.abs(np.linalg.slogdet(system[regular])[0]) > 0
    states = np.full(shift.shape, np.nan)
    states[regular] = np.linalg.solve(system[regular], shift[regular][..., None])[..., 0]
    return states


def _itineraries(bounds: AffineForm, states: np.ndarray, order: int, check: Callable[[], None]) -> np.ndarray:
    words = np.empty((len(states), order, len(bounds.offsets)), bool)
    for t in range(order):
        check()
        words[:, t] = states @ bounds.gradients.T + bounds.offsets > 0
        states = _step(bounds, states, words[:, t])
    return words


def _step(bounds: AffineForm, states: np.ndarray, gates: np.ndarray) -> np.ndarray:
    images = (bounds.jacobians(gates) @ states[..., None])[..., 0]
    return images + bounds.shift + gates @ bounds.shift_jumps
