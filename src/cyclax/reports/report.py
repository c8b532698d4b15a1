"""`report`: the verbs, one after the other, and what each says; where one fails, the others are not lost."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Array

from cyclax.bifurcations.distance import distance_to_bifurcation
from cyclax.core.checks import checked_key, whole
from cyclax.core.version import __version__
from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.inventory import model_hash
from cyclax.cycles.orders import checked_orders
from cyclax.cycles.result import Cycles
from cyclax.data.simulate import simulate
from cyclax.lyapunov.spectrum import lyapunov_spectrum
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model
from cyclax.plot.style import new_axes
from cyclax.reports.result import Exponents, Neighborhood, Report
from cyclax.search.attractors import attractors as follow
from cyclax.search.combined import Combined
from cyclax.search.destinations import Attractors
from cyclax.search.find import find_cycles
from cyclax.search.finder import AbstractFinder

# Steps in which an orbit finds its attractor, and points of it for the picture.
_WARMUP, _POINTS = 10_000, 3000
# The seconds in which the boundaries of one cycle are looked for: enough for cycles of some hundred numbers, k M. Those
# with more than so many numbers are left out, for one matrix of theirs takes longer.
_SECONDS, _MOST_ROWS = 30.0, 600

_T = TypeVar("_T")


def report(
    model: AbstractPiecewiseLinearMap,
    orders: int | Iterable[int] = 8,
    *,
    key: Array | int,
    samples: int = 1000,
    steps: int = 20_000,
    bifurcations: int = 4,
    finder: AbstractFinder | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Report:
    """Find out what a network does, for one page: cycles, attractors, Lyapunov exponents, the nearest bifurcations.

    **Arguments:**

    - `model`: any map of cyclax.
    - `orders`, `finder`, `progress`: those of `find_cycles`. `finder.seconds` bounds the search alone.
    - `key`: a JAX random key, or an int seed; of the search, and of the samples.
    - `samples`: how many initial states `attractors` follows.
    - `steps`: steps that count for the Lyapunov exponents of attractors that are no cycles, such as chaos.
    - `bifurcations`: of how many stable cycles the nearest bifurcation is looked for, from the largest share on.
    - `name`: what the page calls the network; by default its class.

    **Returns:** a `Report`: print it, `save` its page, or take the results out of it. What fails is in its `problems`,
    with the reason, and leaves the rest as it is. After Ctrl-C, what had been found.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy; `ImportError` that says what to
    install where matplotlib is missing, which draws the pictures.
    """
    model, key = checked_model(model), checked_key(key)
    wanted, samples, steps = checked_orders(orders), whole(samples, "samples"), whole(steps, "steps")
    bifurcations = whole(bifurcations, "bifurcations", 0)
    finder = Combined() if finder is None else finder
    if not isinstance(finder, AbstractFinder):
        raise TypeError(f"finder: expected cyclax.Combined(..) or another finder, got {finder!r}.")
    new_axes(shown=False)  # raises where the pictures could not be drawn, before hours of work
    sections = _Sections()
    cycles = sections.attempt("cycles", lambda: find_cycles(model, wanted, key=key, finder=finder, progress=progress))
    if cycles is not None and "Ctrl-C" in (cycles.report.get("interrupted") or ""):
        sections.stopped = "interrupted by Ctrl-C"
    found = sections.attempt("attractors", lambda: follow(model, samples, key=key, progress=progress))
    if found is not None and found.interrupted:
        sections.stopped = "interrupted by Ctrl-C"
    exponents: list[Exponents] = []
    if found is not None:
        sections.attempt("exponents", lambda: _add_exponents(exponents, model, found, steps, progress))
    near: list[Neighborhood] = []
    stable = _stable(cycles, found)
    sections.attempt("bifurcations", lambda: _add_neighborhoods(near, model, stable[:bifurcations]))
    if len(stable) > bifurcations:
        text = f"looked for of {bifurcations} of {len(stable)} stable cycles: ask for more (bifurcations)"
        sections.problems.setdefault("bifurcations", text)
    return Report(
        type(model).__name__ if name is None else name,
        _facts(model),
        cycles,
        found,
        tuple(exponents),
        tuple(near),
        sections.problems,
        sections.stopped,
    )


class _Sections:
    """What became of the sections so far."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.stopped: str | None = None

    def attempt(self, section: str, compute: Callable[[], _T]) -> _T | None:
        """Give what a section computes, or note why there is nothing."""
        if self.stopped:
            self.problems[section] = f"not computed: {self.stopped}"
            return None
        try:
            return compute()
        except KeyboardInterrupt:
            self.stopped = self.problems[section] = "interrupted by Ctrl-C"
        except Exception as error:
            # Whatever it is, it is said, and hours of work on other sections are not thrown away for it.
            self.problems[section] = _reason(error)
        return None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, FloatingPointError)) and text else f"{type(error).__name__}: {text}"


def _facts(model: AbstractPiecewiseLinearMap) -> dict[str, str]:
    leaves = jax.tree.leaves(model)
    return {
        "class": type(model).__name__,
        "states": str(model.num_states),
        "gates": str(model.num_gates),
        "parameters": str(sum(np.size(leaf) for leaf in leaves)),
        "hash": model_hash(model),
        "cyclax": __version__,
    }


def _add_exponents(exponents: list[Exponents], model, found: Attractors, steps: int, progress: bool) -> None:
    followed = []
    for i, entry in enumerate(found.entries):
        if entry.what is not None:
            exponents.append(Exponents(i, _of_word(entry.what)))
        elif entry.kind != "divergence":
            followed.append(i)
    if followed:
        states = found.samples[[int(np.argmax(found.labels == i)) for i in followed]]
        axes, warmup = (None, 0, None), _WARMUP
        some = lyapunov_spectrum(model, states, steps=steps, warmup=warmup, in_axes=axes, progress=progress)
        for j, i in enumerate(followed):
            orbit = np.asarray(simulate(model, states[j], _WARMUP + _POINTS))[-_POINTS:]
            exponents.append(Exponents(i, some[j].exponents, some[j], orbit))
    exponents.sort(key=lambda one: one.attractor)


def _of_word(what: Cycle | Degenerate) -> np.ndarray:
    """Give the exponents of orbits that hold the word of a cycle for ever; -inf of multipliers that are 0."""
    with np.errstate(divide="ignore"):
        return np.sort(np.log(np.abs(what.multipliers)) / len(what.points))[::-1]


def _stable(cycles: Cycles | None, found: Attractors | None) -> list[Cycle]:
    """Give the stable cycles that either verb has found, those with the largest shares first."""
    met = [*(entry.what for entry in (found.entries if found else ())), *(cycles or ())]
    some = [cycle for cycle in met if isinstance(cycle, Cycle) and cycle.stability == "stable"]
    once: dict[tuple[int, bytes], Cycle] = {}
    for cycle in some:
        once.setdefault((cycle.order, cycle.gates.tobytes()), cycle)
    return list(once.values())


def _add_neighborhoods(near: list[Neighborhood], model, stable: list[Cycle]) -> None:
    for cycle in stable:
        rows = cycle.points.size
        if rows > _MOST_ROWS:
            reason = f"not looked for: {rows} numbers in a cycle take long; distance_to_bifurcation(model, cycle) does"
            near.append(Neighborhood(cycle, None, reason))
            continue
        try:
            found = distance_to_bifurcation(model, cycle, seconds=_SECONDS)
        except ValueError as error:
            near.append(Neighborhood(cycle, None, _reason(error)))
            continue
        near.append(Neighborhood(cycle, found))
        if "Ctrl-C" in (found.interrupted or ""):
            raise KeyboardInterrupt
