"""Basins: which attractor takes which share of initial states."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cyclax.arguments import whole
from cyclax.cycles.accept import Accepted, accept
from cyclax.cycles.arguments import checked_model
from cyclax.cycles.result import Cycle, Degenerate
from cyclax.cycles.solve import Borders, borders
from cyclax.cycles.starts import initial_states, state_scale
from cyclax.data.arguments import checked_key
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.numerics import numerics

# Orbits are followed in rounds that double, from this many steps on; those that have settled leave between rounds.
_FIRST_ROUND = 256
# A state that comes back to within this share of its size is taken to be on a cycle, and the cycle is solved for.
_RETURNED = 1e-8
# States this many times the size of the samples and the model have left for infinity.
_GONE = 1e6
# Orbits that do not settle are chaotic where their mean growth over the last round exceeds this, divided by its steps:
# along regular orbits distances grow by a bounded factor, or in proportion to the steps.
_CHAOTIC = 30.0
# Orbits are padded to a power of two of at least this many, so that the kernels compile only a few times.
_FEWEST = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Attractor:
    """Where some of the samples went.

    - `kind`: "cycle", "family" (such as a line attractor), "chaos" (not settled, and the largest exponent is positive),
      "divergence", or "undecided" (not settled, and not expanding: quasi-periodic or slow).
    - `share`: of the samples; `error`: its standard error.
    - `what`: the `Cycle` or the `Degenerate`, else None.
    - `exponent`: the mean of the largest Lyapunov exponents of these orbits, per step; nan for "divergence".
    """

    kind: str
    share: float
    error: float
    what: Cycle | Degenerate | None
    exponent: float

    def __repr__(self) -> str:
        text = (
            repr(self.what) if self.what is not None else {"chaos": "chaos", "divergence": "to infinity"}.get(self.kind)
        )
        expanding = self.kind in ("chaos", "undecided")
        tail = f", largest exponent {self.exponent:.4g}" if expanding else ""
        return f"{100 * self.share:5.1f} % +- {100 * self.error:.1f}  {text}{tail}"


@dataclasses.dataclass(frozen=True, eq=False)
class Attractors:
    """Which attractors the samples went to, largest share first.

    - `entries`: one `Attractor` each; `labels` `(N,)`: the entry that sample i went to.
    - `samples` `(N, M)`: the initial states; `exponents` `(N,)`: the largest exponent along each orbit, per step.
    - `interrupted`: why it stopped early, if it did.
    """

    entries: tuple[Attractor, ...]
    labels: Int[np.ndarray, " N"]
    samples: Float[np.ndarray, "N M"]
    exponents: Float[np.ndarray, " N"]
    interrupted: str | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Attractor:
        return self.entries[index]

    def __str__(self) -> str:
        head = f"{len(self.entries)} destinations of {len(self.samples)} initial states"
        tail = [f"STOPPED EARLY: {self.interrupted}"] if self.interrupted else []
        return "\n".join([head, *(f"  {entry!r}" for entry in self.entries), *tail])

    def __repr__(self) -> str:
        return f"Attractors({', '.join(f'{entry.kind} {entry.share:.3g}' for entry in self.entries)})"


def attractors(
    model: AbstractPiecewiseLinearMap,
    samples: int | Float[Any, "N M"],
    *,
    key: Array | int,
    steps: int = 65_536,
    longest: int = 128,
) -> Attractors:
    """Follow initial states to where they go.

    **Arguments:**

    - `model`: any map of cyclax.
    - `samples`: how many initial states to draw (normal, of sizes from a quarter to sixteen times that of the states
      that matter to the model), or the states themselves, `(N, M)`: shares are shares of these.
    - `key`: a JAX random key, or an int seed.
    - `steps`: most steps of an orbit; a chaotic transient that is longer passes for chaos.
    - `longest`: the longest period that is recognized.

    **Returns:** `Attractors`. Each cycle in it has been solved for and checked as those of `find_cycles`. After Ctrl-C,
    what had been found, marked so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    model, key = checked_model(model), checked_key(key)
    steps, longest = whole(steps, "steps"), whole(longest, "longest")
    with numerics():
        bounds = borders(model)
        states = _checked_samples(model, bounds, samples, key)
        return _Basins(model, bounds, states, steps, longest).run()


def _checked_samples(model, bounds: Borders, samples, key) -> np.ndarray:
    if np.ndim(samples) == 0:
        seeds = jax.random.bits(key, (2, whole(samples, "samples")), jnp.uint64)
        return np.asarray(initial_states(seeds, model.num_states, state_scale(model, bounds))).T
    states = np.asarray(samples, np.float64)
    if states.ndim != 2 or states.shape[1] != model.num_states or not len(states):
        raise ValueError(f"samples: expected a number, or states of shape (N, {model.num_states}), got {states.shape}.")
    if not np.all(np.isfinite(states)):
        raise ValueError(f"samples: state {int(np.argwhere(~np.isfinite(states))[0, 0])} holds NaN or inf.")
    return states


@jax.jit
def follow_tangents(model, z, v, limit, steps):
    """Follow orbits z and tangents v `(M, N)`; give their ends, the growth of v, and which orbits have gone."""
    push = jax.vmap(lambda z, v: jax.jvp(model.__call__, (z,), (v,)), in_axes=-1, out_axes=-1)

    def body(_, carry):
        z, v, growth, gone = carry
        following, v = push(z, v)
        gone = gone | ~(jnp.max(jnp.abs(following), axis=0) < limit)
        length = jnp.linalg.norm(v, axis=0)
        # A tangent that has vanished (a Jacobian of 0) stays: its exponent is -inf in truth, and very small here.
        length = jnp.where(length > 1e-300, length, 1e-300)
        v = jnp.where(gone, 0, v / length)
        return jnp.where(gone, z, following), v, growth + jnp.where(gone, 0, jnp.log(length)), gone

    none = jnp.zeros(z.shape[1])
    return jax.lax.fori_loop(0, steps, body, (z, v, none, none > 0))


@jax.jit
def period_of(model, z, longest):
    """Give the number of steps, up to `longest`, after which each state `(M, N)` first comes back; 0 if it does not."""
    advance = jax.vmap(model.__call__, in_axes=-1, out_axes=-1)
    near = _RETURNED * (1e-3 + jnp.max(jnp.abs(z), axis=0))

    def body(t, carry):
        state, period = carry
        state = advance(state)
        back = jnp.max(jnp.abs(state - z), axis=0) <= near
        return state, jnp.where(back & (period == 0), t, period)

    _, period = jax.lax.fori_loop(1, longest + 1, body, (z, jnp.zeros(z.shape[1], jnp.int32)))
    return period


class _Basins:
    """One call of `attractors`."""

    def __init__(self, model, bounds: Borders, samples: np.ndarray, steps: int, longest: int):
        self.model, self.bounds, self.samples, self.steps, self.longest = model, bounds, samples, steps, longest
        self.accepted: dict[int, Accepted] = {}
        self.where: list[Any] = ["undecided"] * len(samples)
        self.exponents = np.zeros(len(samples))

    def run(self) -> Attractors:
        model, number = self.model, len(self.samples)
        limit = _GONE * max(state_scale(model, self.bounds), float(np.max(np.abs(self.samples))))
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
                self._round(z, v, limit)
                done += self.last
        except KeyboardInterrupt:
            return self._result("interrupted by Ctrl-C: the orbits that had not settled are undecided")
        for i in self.unsettled:
            self.where[i] = "chaos" if self.exponents[i] * self.last > _CHAOTIC else "undecided"
        return self._result(None)

    def _round(self, z: np.ndarray, v: np.ndarray, limit: float) -> None:
        """Follow the unsettled orbits z, with their tangents v `(M, N)`, for `last` steps; see which have settled."""
        unsettled = self.unsettled
        padded = np.resize(unsettled, max(_FEWEST, 1 << (len(unsettled) - 1).bit_length()))
        ends = follow_tangents(self.model, z[:, padded], v[:, padded], limit, self.last)
        z[:, unsettled], v[:, unsettled], growth, gone = (np.asarray(part)[..., : len(unsettled)] for part in ends)
        self.exponents[unsettled] = growth / self.last
        period = np.asarray(period_of(self.model, z[:, padded], self.longest))[: len(unsettled)]
        settled = gone.copy()
        for i in np.flatnonzero(gone):
            self.where[unsettled[i]] = "divergence"
        for order in np.unique(period[~gone & (period > 0)]).tolist():
            some = np.flatnonzero(~gone & (period == order))
            settled[some] = self._settle(unsettled[some], z[:, unsettled[some]].T, order)
        self.unsettled = unsettled[~settled]

    def _settle(self, samples: np.ndarray, states: np.ndarray, order: int) -> list[bool]:
        """Solve for the cycles that these states are on; tell which states are on one."""
        accepted = self.accepted.setdefault(order, Accepted())
        keys = accept(self.model, self.bounds, states[:, None], order, accepted)
        for sample, key in zip(samples, keys, strict=True):
            if key is not None:
                self.where[sample] = key
        return [key is not None for key in keys]

    def _result(self, interrupted: str | None) -> Attractors:
        known: dict[Any, tuple[str, Any]] = {}
        for accepted in self.accepted.values():
            known.update({key: ("cycle", cycle) for key, cycle in accepted.cycles.items()})
            for entries in (accepted.families, accepted.borders):
                known.update({key: ("family" if e.kind == "family" else "cycle", e) for key, e in entries.items()})
        places = sorted(set(self.where), key=lambda place: (-self.where.count(place), str(place)))
        labels = np.array([places.index(place) for place in self.where])
        entries = []
        for i, place in enumerate(places):
            kind, what = known.get(place, (place, None))
            share = float(np.mean(labels == i))
            error = float(np.sqrt(share * (1 - share) / len(labels)))
            exponent = float("nan") if kind == "divergence" else float(np.mean(self.exponents[labels == i]))
            entries.append(Attractor(kind, share, error, what, exponent))
        return Attractors(tuple(entries), labels, self.samples, self.exponents, interrupted)
