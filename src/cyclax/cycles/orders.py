"""Orders and words that the verbs are given, and the orders that belong together."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cyclax.core.checks import whole
from cyclax.cycles.word import minimal_period

_LARGEST_ORDER = 100_000
_GATES = "gates (bool, or 0 and 1) of shape (k, {})"


def checked_orders(orders: int | Iterable[int]) -> list[int]:
    """Turn `orders` into a sorted list: an int K means 1..K."""
    if isinstance(orders, (str, bytes)):
        raise TypeError(f"orders: expected an int or a sequence of ints, got the text {orders!r}.")
    several = isinstance(orders, Iterable) and getattr(orders, "ndim", 1) > 0
    values: Sequence[Any] = list(orders) if several else [orders]  # pyright: ignore[reportArgumentType]
    checked = []
    for value in values:
        checked.append(whole(value, "orders", None))
        if checked[-1] < 1:
            raise ValueError(f"orders: {value!r} is not a period; the smallest order is 1 (fixed points).")
        if checked[-1] > _LARGEST_ORDER:
            raise ValueError(f"orders: {value!r} is beyond {_LARGEST_ORDER}, the largest order that is searched.")
    if not checked:
        raise ValueError(
            "orders: an empty sequence asks for nothing; give an int K for 1..K, or periods such as [8, 16]."
        )
    return sorted(set(checked)) if several else list(range(1, checked[0] + 1))


def divisors(order: int) -> list[int]:
    """List the divisors of an order, itself included: the periods of the solutions of F^k(z) = z."""
    return [divisor for divisor in range(1, order + 1) if order % divisor == 0]


def checked_word(cycle: Any, num_gates: int) -> np.ndarray:
    """Give the word `(k, G)` of one `Cycle`, or of gates that are given."""
    if hasattr(cycle, "gates"):
        if len(cycle.gates) != cycle.order:
            raise ValueError(
                f"cycle: it is of a driven network ({len(cycle.gates)} steps, order {cycle.order}), and this follows "
                "networks without input: make the model with with_input, if the input is constant, and search that."
            )
        cycle = cycle.gates
    elif isinstance(cycle, Sequence) and any(hasattr(one, "gates") for one in cycle):
        raise ValueError(
            f"cycle: one is meant, and this is a list of {len(cycle)}: give cycles[0], say, or loop over it."
        )
    word = _as_word(cycle, num_gates)
    if word is None:
        raise ValueError(f"cycle: expected a Cycle or {_GATES.format(num_gates)}, got {_shown(cycle)}.")
    if (period := minimal_period(word)) < len(word):
        raise ValueError(f"cycle: its {len(word)} rows repeat the first {period}: give these, the word of one cycle.")
    return word


def _as_word(value: Any, num_gates: int) -> np.ndarray | None:
    """Give a word `(k, G)` of gates; None where these are none, such as points."""
    try:
        word = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    if word.ndim != 2 or word.shape[1] != num_gates or not len(word) or word.dtype.kind not in "biuf":
        return None
    return word.astype(bool) if np.isin(word, (0, 1)).all() else None


def _shown(value: Any) -> str:
    return f"shape {value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else repr(value)


def _gates_of(words: Iterable[Any]) -> list[Any]:
    """Give the gates of each `Cycle`, and gates that are given as they are."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        one = "; give [cycle] for one" if hasattr(words, "gates") else ""
        raise TypeError(f"words: expected a list of cycles, or of gates of shape (k, G), got {words!r}{one}.")
    return [getattr(word, "gates", word) for word in words]


def checked_words(words: Iterable[Any], num_gates: int) -> dict[int, np.ndarray]:
    """Group given words, and those of given cycles, by their length: `(n, k, G)` for each k."""
    groups: dict[int, list[np.ndarray]] = {}
    for given in _gates_of(words):
        word = _as_word(given, num_gates)
        if word is None:
            each = f"{_GATES.format(num_gates)} each"
            raise ValueError(f"words: expected a list of cycles, or of {each}; one of them is {_shown(given)}.")
        groups.setdefault(len(word), []).append(word)
    return {order: np.stack(group) for order, group in groups.items()}
