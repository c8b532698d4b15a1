"""`AwayFromBifurcations`: a term of the loss that keeps cycles at a distance from where they bifurcate."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from cyclax.bifurcations.distance import Distance, distance_to_bifurcation
from cyclax.bifurcations.projection import held
from cyclax.core.checks import plain, whole
from cyclax.core.numerics import numerics, on_host
from cyclax.cycles.word import minimal_period
from cyclax.search.find import find_cycles
from cyclax.training.fields import number, require_number
from cyclax.training.model import LatentModel
from cyclax.training.regularizers import AbstractRenewedRegularizer

# Words that a lost cycle is looked for through.
_WORDS = 100


def _word(value: Any) -> Any:
    value = getattr(value, "gates", value)
    try:
        return None if value is None else np.asarray(value)
    except ValueError:  # rows of different lengths, of which `__check_init__` says what is wrong
        return value


@final
class AwayFromBifurcations(AbstractRenewedRegularizer):
    """Keeps cycles of the map at a distance from where they bifurcate, while it trains.

    strength sum_j max(0, 1 - d_j / within)^2, where d_j are the distances to the nearest boundaries over all weights of
    the map (`distance_to_bifurcation`), without borders that a cycle only crosses (`Distance.harmless`).

    Cycles and boundaries are found anew every `every` updates. Between, each boundary is held as its tangent plane,
    d = n . (q - p) for weights p, with its place q and normal n: the distance is then right to second order in what the
    weights have changed since, and its derivative is -n. A step that jumps over a boundary is not prevented, only
    one that comes near is made dearer. Where there is no cycle to keep when it is time to look, the term is 0 until
    there is; the training says so at the end.

    **Arguments:**

    - `strength`: of the term. `within`: the distance, in the Euclidean norm of the weights, below which it acts.
    - `cycle`: the one that is kept: a `Cycle` of the untrained map, or its word `(k, G)`. It is followed across borders
      from one look to the next. Or
    - `orders`: all stable cycles of orders 1 to that one, which are searched for by `find_cycles` at every look.
    - `every`: updates between two looks. `most`: boundaries that are held, the nearest.
    - `normals` `(J, P)`, `levels` `(J,)`, `there` `(J,)`, `looks` `(3,)`: what is held; `renewed` fills them in.
    """

    strength: Any = eqx.field(converter=number)
    within: Any = eqx.field(converter=number)
    cycle: Any = eqx.field(default=None, converter=_word)
    orders: int | None = eqx.field(static=True, default=None, converter=plain)
    every: int = eqx.field(static=True, default=20, converter=plain)  # pyright: ignore[reportIncompatibleVariableOverride]
    most: int = eqx.field(static=True, default=4, converter=plain)
    # What is held: normals (J, P), n . q (J,), and which of the J there are; looks, those in vain, and the first such.
    normals: Any = None
    levels: Any = None
    there: Any = None
    looks: Any = None
    FILLED_IN: ClassVar = ("normals", "levels", "there", "looks")  # by `renewed`: not for recipes

    def __check_init__(self):
        require_number(self.strength, "AwayFromBifurcations: strength")
        require_number(self.within, "AwayFromBifurcations: within", least=float(np.finfo(np.float32).tiny))
        whole(self.every, "AwayFromBifurcations: every")
        whole(self.most, "AwayFromBifurcations: most")
        if (self.cycle is None) == (self.orders is None):
            raise ValueError("AwayFromBifurcations: give a cycle to keep, or orders: one of the two.")
        if self.orders is not None:
            whole(self.orders, "AwayFromBifurcations: orders")
        elif getattr(self.cycle, "ndim", 0) != 2 or not len(self.cycle):
            raise ValueError(
                f"AwayFromBifurcations: cycle: expected one Cycle, or its gates (k, G), got {self.cycle!r}."
            )
        elif not np.all(np.isin(self.cycle, (0, 1))):
            raise ValueError(f"AwayFromBifurcations: cycle: its gates are 0 or 1, closed or open, got {self.cycle!r}.")

    def check(self, model: LatentModel) -> None:
        """Require a word of gates that the map has."""
        gates = model.map.num_gates
        if self.cycle is not None and self.cycle.shape[1] != gates:
            raise ValueError(
                f"AwayFromBifurcations: the cycle has {self.cycle.shape[1]} gates, and the map {gates}; give one of it."
            )

    def renewed(self, model: LatentModel, update: int) -> Self:
        """Find the cycles and their nearest boundaries."""
        words = list(self._words(model.map))
        nearest = _nearest(model.map, words, self.most)
        normals, levels = np.zeros((self.most, len(_flat(model.map)))), np.zeros(self.most)
        for j, one in enumerate(nearest):
            normals[j] = _flat(one.direction)
            levels[j] = normals[j] @ _flat(one.place)
        all_, vain, first = (0, 0, -1) if self.looks is None else self.looks
        lost = not nearest
        looks = np.array([all_ + 1, vain + lost, update if lost and not vain else first])
        there = np.arange(self.most) < len(nearest)
        cycle = words[0] if self.orders is None and words else self.cycle
        return dataclasses.replace(self, cycle=cycle, normals=normals, levels=levels, there=there, looks=looks)

    def _words(self, map_: Any) -> Iterable[np.ndarray]:
        if self.orders is None:
            word = _followed(map_, self.cycle.astype(bool))
            return [] if word is None else [word]
        cycles = find_cycles(map_, self.orders, key=0, progress=False)
        return [cycle.gates for cycle in cycles if cycle.stability == "stable"]

    def note(self) -> str | None:
        """Say at how many looks there was nothing to keep."""
        if self.looks is None or not self.looks[1]:
            return None
        what = "stable cycle" if self.cycle is None else "cycle"
        return (
            f"AwayFromBifurcations: at {self.looks[1]} of {self.looks[0]} looks, first at update {self.looks[2]}, "
            f"there was no {what} to keep, or none of its boundaries was reached; until the next look the term was 0."
        )

    def __call__(self, model: LatentModel):
        """Give the term."""
        if self.normals is None:
            raise ValueError("AwayFromBifurcations: nothing has been looked at: call its renewed(model, 0) first.")
        flat, _ = ravel_pytree(model.map)
        distances = self.levels - self.normals @ flat
        return self.strength * jnp.sum(self.there * jnp.maximum(0, 1 - distances / self.within) ** 2)


def _flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _followed(map_: Any, word: np.ndarray) -> np.ndarray | None:
    """Give the word of the cycle that is met from where an earlier word leads, by Newton's method; or None."""
    order = len(word)
    with numerics(), on_host():
        for _ in range(_WORDS):
            heights = np.asarray(held(map_, word)[0])
            if not np.all(np.isfinite(heights)) or minimal_period(word) < order:
                return None
            if np.array_equal(heights > 0, word):
                return word
            word = heights > 0
    return None


def _nearest(map_: Any, words: list[np.ndarray], most: int) -> list[Distance]:
    """Give the nearest boundaries of some cycles that are more than a border to cross."""
    found: list[Distance] = []
    for word in words:
        try:
            one = distance_to_bifurcation(map_, word)
        except ValueError:  # none is reached
            continue
        found += [one, *one.nearest]
    kept: list[Distance] = []
    for one in sorted(found, key=lambda one: one.distance):
        if len(kept) < most and not one.harmless:
            kept.append(one)
    return kept
