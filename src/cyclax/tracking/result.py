"""`Track`: what `track` found, model by model, with the events between and the jumps of the loss beside them."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args, overload

import jax
import numpy as np

from cyclax.bifurcations.event import EVENT, Event, EventType, check_types
from cyclax.core.archive import Archive, write_archive
from cyclax.core.checks import whole
from cyclax.cycles.result import Cycles
from cyclax.grids.cells import REPORT, filed, unfiled
from cyclax.grids.grid import ModelSequence
from cyclax.grids.map import BifurcationMap
from cyclax.maps.io.registry import from_dict
from cyclax.tracking.loss_jumps import Jump, JumpRule

_FORMAT = 2
# The header of a file, as far as anything here relies on it.
_FORM = {
    "format": frozenset({_FORMAT}),
    "model": {"model": str},
    "orders": [int],
    "events": [EVENT],
    "rule": {"threshold": float, "least": float},
    "report": REPORT,
}
_BESIDE = ("losses", "gradient_norms")
# These change what is stable, or what there is.
BIFURCATIONS = tuple(kind for kind in get_args(EventType) if kind not in ("persistence", "unexplained"))


def is_bifurcation(event: Event) -> bool:
    """Say whether an event changes what is stable, or what there is.

    A cycle that crosses a border and persists mostly does neither; but the multipliers are others beyond the border, so
    that it may lose its stability there, and a cycle of twice the order may be born.
    """
    if event.type != "persistence":
        return event.type in BIFURCATIONS
    outside = {int(np.sum(np.abs(values) > 1)) for values in event.multipliers}
    return len(outside) > 1 or event.flip is not None


class Explained(NamedTuple):
    """How many jumps have an event beside them, and how many would by chance."""

    jumps: int
    explained: int
    chance: float

    def __str__(self) -> str:
        return f"{self.explained} of {self.jumps} jumps have an event within reach; by chance {self.chance:.0%} would"


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """The cycles of a sequence of n models, and what happens to them between one and the next.

    - `cycles`: what was found, as a `BifurcationMap` along the sequence; `track[i]` gives the `Cycles` of model i.
    - `events`: in order; `event.at` is the number of the model before it, plus the share of the way to the next.
    - `losses`, `gradient_norms`: `(n,)` as given, or None; `rule`: the `JumpRule` by which `jumps` are found.
    """

    cycles: BifurcationMap
    events: tuple[Event, ...]
    losses: np.ndarray | None
    gradient_norms: np.ndarray | None
    rule: JumpRule

    def __len__(self) -> int:
        return self.cycles.grid.size

    @overload
    def __getitem__(self, i: int) -> Cycles: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Cycles, ...]: ...
    def __getitem__(self, i):
        """Give the cycles of one model, or of each in a slice; of a gap, none of no order: nothing was searched."""
        if isinstance(i, slice):
            return tuple(self[j] for j in range(len(self))[i])
        i = whole(i, "the number of a model", None)
        if not -len(self) <= i < len(self):
            raise IndexError(f"this track has {len(self)} models, so there is no model {i}.")
        known = self.cycles if self.cycles.searched[i] else dataclasses.replace(self.cycles, orders=())
        return known.cell(i)

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders that were searched."""
        return self.cycles.orders

    @property
    def gaps(self) -> list[int]:
        """Models of which nothing is said: they hold NaN or inf, or Ctrl-C came before."""
        return np.flatnonzero(~self.cycles.searched).tolist()

    @functools.cached_property
    def counts(self) -> list[dict[int, int]]:
        """The number of cycles of each order, model by model; nothing for a gap."""
        return self._by_model(self.cycles.counts)

    @functools.cached_property
    def stable_counts(self) -> list[dict[int, int]]:
        """The number of stable cycles of each order, model by model; nothing for a gap."""
        return self._by_model(self.cycles.stable_counts)

    def _by_model(self, tally: np.ndarray) -> list[dict[int, int]]:
        return [
            dict(zip(self.orders, column.tolist(), strict=True)) if searched else {}
            for column, searched in zip(tally.T, self.cycles.searched, strict=True)
        ]

    @property
    def types(self) -> dict[str, int]:
        """How many events of each type there are, the most frequent first."""
        return dict(Counter(event.type for event in self.events).most_common())

    @functools.cached_property
    def peaks(self) -> list[int]:
        """Models at which the norm of the gradient has a peak."""
        return [] if self.gradient_norms is None else self.rule.peaks(self.gradient_norms)

    @functools.cached_property
    def jumps(self) -> tuple[Jump, ...]:
        """Jumps of the loss, with the events within one step of each."""
        if self.losses is None:
            return ()
        jumps = []
        for first, last, largest in self.rule.jumps(self.losses):
            near = [peak for peak in self.peaks if first - 1 <= peak <= last + 2]
            jumps.append(
                Jump(
                    step=largest,
                    first=first,
                    last=last + 1,
                    before=float(self.losses[first]),
                    after=float(self.losses[last + 1]),
                    events=tuple(e for e in self.events if first - 1 <= e.at <= last + 2),
                    peak=min(near, key=lambda peak: abs(peak - largest - 0.5)) if near else None,
                )
            )
        return tuple(jumps)

    def explained(self, types: Iterable[str] | None = None, *, since: int = 0) -> Explained:
        """Count the jumps that have a bifurcation within one step, beside the share that chance would give.

        **Arguments:**

        - `types`: of the events that count as an explanation. By default all that change what is stable or what there
          is: of cycles that cross a border and persist those that have other stability beyond it, or a flip.
        - `since`: the model from which on jumps and places count. Early in training both jumps and events are many, so
          that they meet by chance more often than the share over the whole sequence says.

        **Returns:** the number of jumps, of those explained, and by chance: each jump is put with equal probability at
        every place where one as long could have been seen (the losses are finite); the mean, over the jumps, of the
        share of these places that have such an event within one step. Without jumps, that of one step.

        **Raises:** `ValueError` for types that are none, or where no losses were given.
        """
        if self.losses is None:
            raise ValueError("explained: this track has no losses, so no jumps of them; give cx.track(.., losses=).")
        if types is None:
            counts = is_bifurcation
        else:
            wanted = {types} if isinstance(types, str) else set(types)
            check_types(wanted, "types", self.types)

            def counts(event: Event) -> bool:
                return event.type in wanted

        jumps = [jump for jump in self.jumps if jump.first >= since]
        number = sum(any(map(counts, jump.events)) for jump in jumps)
        places = np.array([event.at for event in self.events if counts(event)])
        steps = np.arange(since, len(self) - 1)
        covered = np.any((steps[:, None] - 1 <= places) & (places <= steps[:, None] + 2), axis=1)
        possible = np.ones(len(steps), bool)
        if self.losses is not None:
            finite = np.isfinite(self.losses[since:])
            possible = finite[1:] & finite[:-1]
        lengths = [jump.last - jump.first for jump in jumps] or [1]
        return Explained(len(jumps), number, float(np.mean([_share(covered, possible, n) for n in lengths])))

    def __repr__(self) -> str:
        kind, report = type(self.cycles.grid.model).__name__, self.cycles.report
        lines = [f"Track of {len(self)} models ({kind}), orders {_listed(self.orders)}"]
        counts, stable = self.cycles.counts, self.cycles.stable_counts
        for i, order in enumerate(self.orders):
            if counts[i].any():
                lines.append(
                    f"  order {order}: {counts[i].min(where=self.cycles.searched, initial=counts[i].max())} to "
                    f"{counts[i].max()} cycles, up to {stable[i].max()} stable"
                )
        if self.gaps:
            lines.append(f"  not searched (NaN or inf, or interrupted): models {_listed(self.gaps)}")
        said = ", ".join(f"{number} {kind}" for kind, number in self.types.items())
        lines.append(f"  {len(self.events)} events: {said}" if self.events else "  no events")
        if self.losses is not None:
            lines.append(f"  {self.explained()}" if self.jumps else "  no jumps of the loss")
        lines.append(f"  {report['mended']} models mended by their neighbors; {report['seconds']:.3g} s")
        if "interrupted" in report:
            lines.append(f"  {report['interrupted']}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write everything to an `.npz` file, without pickle; `Track.load` reads it."""
        grid = self.cycles.grid
        assert isinstance(grid, ModelSequence)
        header, arrays = filed(self.cycles)
        header |= {
            "format": _FORMAT,
            "events": [event.to_dict() for event in self.events],
            "rule": dataclasses.asdict(self.rule),
        }
        arrays |= {f"leaf.{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(grid.stacked()))}
        arrays |= {name: getattr(self, name) for name in _BESIDE if getattr(self, name) is not None}
        write_archive(path, header, arrays, compressed=True)

    @classmethod
    def load(cls, path: str | Path) -> "Track":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` that names the file where it is another, or damaged.
        """
        archive = Archive(path, "no track that cyclax wrote", _FORM)
        header = archive.header
        with archive.reading():
            model = from_dict(header["model"], source=str(path))
            shapes = [np.shape(leaf) for leaf in jax.tree.leaves(model)]
            axes = [" ".join(map(str, ("models", *shape))) for shape in shapes]
            leaves = [archive.array(f"leaf.{i}", float, names) for i, names in enumerate(axes)]
            stack = [jax.tree.unflatten(jax.tree.structure(model), leaf) for leaf in zip(*leaves, strict=True)]
            line = ModelSequence(stack)
            events = tuple(map(Event.from_dict, header["events"]))
            rule = JumpRule(header["rule"]["threshold"], header["rule"]["least"])
        orders, searched, tables = unfiled(archive, line)
        for event in events:
            words = [*event.words, *([event.flip.word] if event.flip else [])]
            shapes = {word.shape[1:] for word in words} | {(line.model.num_gates,)}
            if len(shapes) > 1 or len(event.words) != len(event.sides) or not 0 <= event.at <= len(stack) - 1:
                archive.refuse(f"it has {event!r} with words of {line.model.num_gates} gates: {words}")
        given = {name: archive.array(name, float, "models") for name in _BESIDE if name in archive.entries}
        archive.finish()
        cycles = BifurcationMap(line, orders, *tables, searched, header["report"])
        return cls(cycles, events, given.get("losses"), given.get("gradient_norms"), rule)


def _share(covered: np.ndarray, possible: np.ndarray, length: int) -> float:
    """Give the share of runs of so many steps, all of them possible, that have a covered one among them."""
    if len(covered) < length:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view
    places = np.all(windows(possible, length), axis=1)
    return float(np.mean(np.any(windows(covered, length), axis=1)[places])) if np.any(places) else 0.0


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}..{numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (", .." if len(numbers) > 12 else "")
