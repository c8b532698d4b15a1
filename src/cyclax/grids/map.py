"""`BifurcationMap`: what a scan found, cell by cell."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.archive import Archive, write_archive
from cyclax.core.checks import whole
from cyclax.core.extras import extra
from cyclax.core.numerics import numerics
from cyclax.cycles.balance import balanced, in_own_units
from cyclax.cycles.inventory import Inventory
from cyclax.cycles.result import Cycles
from cyclax.cycles.seal import sealed
from cyclax.cycles.table import BORDER, FAMILY, UNDECIDED, CycleTable, UncountedTable
from cyclax.grids.boundaries import Boundaries, boundaries
from cyclax.grids.cells import REPORT, filed, unfiled
from cyclax.grids.grid import AbstractGrid, ParameterGrid
from cyclax.maps.io.registry import from_dict
from cyclax.maps.parameter import PARAMETER, Parameter

_FORMAT = 2
# The header of a file, as far as anything here relies on it.
_FORM = {
    "format": frozenset({_FORMAT}),
    "model": {"model": str},
    "parameters": [PARAMETER],
    "orders": [int],
    "report": REPORT,
}


@dataclasses.dataclass(frozen=True, eq=False)
class BifurcationMap:
    """The cycles in every cell of a grid of parameters. Arrays over cells have the shape of the grid.

    - `grid`: `.names`, `.axes` (values of each parameter), `.shape`, `.at(cell)` (the model of a cell).
    - `orders`: those that were searched. `found[k]`: all cycles of order k as arrays (`cell`, `words`, `points`,
      `multipliers`, `margin`), sorted by cell. `uncounted[k]`: families, solutions on borders and undecided words.
    - `layers`: `exponent` (largest Lyapunov exponent of orbits that stay, nats per step; nan where none stays; that of
      the cycle where an orbit is held by one), `period` (of what attracts: 0 not periodic, -1 all orbits leave for
      infinity), `bounded` (share of orbits that stay), and `proved`, each where it was asked for.
    - `searched`: False where Ctrl-C came before.
    - `report`: seconds, cells, starts, how many cells were `mended` by their neighbors, in how many sweeps.
    """

    grid: AbstractGrid
    orders: tuple[int, ...]
    found: dict[int, CycleTable]
    uncounted: dict[int, UncountedTable]
    layers: dict[str, np.ndarray]
    searched: np.ndarray
    report: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the grid."""
        return self.grid.shape

    def _tally(self, rows_of) -> np.ndarray:
        tally = np.zeros((len(self.orders), self.grid.size), int)
        for i, order in enumerate(self.orders):
            tally[i] = np.bincount(rows_of(self.found[order]), minlength=self.grid.size)
        return tally.reshape(-1, *self.shape)

    @property
    def counts(self) -> np.ndarray:
        """The number of cycles: `(orders, *grid)`."""
        return self._tally(lambda table: table.cell)

    @property
    def stable_counts(self) -> np.ndarray:
        """The number of stable cycles: `(orders, *grid)`."""
        return self._tally(lambda table: table.cell[_spectral_radius(table) < 1])

    @property
    def largest_multiplier(self) -> np.ndarray:
        """The largest |multiplier| of the most stable cycle, `(orders, *grid)`; nan where there is none."""
        smallest = np.full((len(self.orders), self.grid.size), np.inf)
        for i, order in enumerate(self.orders):
            np.minimum.at(smallest[i], self.found[order].cell, _spectral_radius(self.found[order]))
        return np.where(np.isinf(smallest), np.nan, smallest).reshape(-1, *self.shape)

    @property
    def degenerate(self) -> np.ndarray:
        """Whether there is a solution on a border or in a family, which no count includes: `(orders, *grid)`."""
        return self._marked(BORDER, FAMILY)

    @property
    def undecided(self) -> np.ndarray:
        """Whether a word is neither proved to be a cycle nor not to be: `(orders, *grid)`."""
        return self._marked(UNDECIDED)

    def _marked(self, *kinds: int) -> np.ndarray:
        marks = np.zeros((len(self.orders), self.grid.size), bool)
        for row, order in zip(marks, self.orders, strict=True):
            row[self.uncounted[order].cells(*kinds)] = True
        return marks.reshape(-1, *self.shape)

    def words(self, order: int, *place: int) -> np.ndarray:
        """Give the words `(n, k, G)` of the cycles of one order in one cell."""
        if order not in self.found:
            known = ", ".join(map(str, self.orders))
            raise ValueError(f"order: {order!r} was not searched; the orders of this scan are {known}.")
        table = self.found[order]
        begin, end = np.searchsorted(table.cell, [self._cell(place), self._cell(place) + 1])
        return table.words[begin:end]

    def _cell(self, place: tuple[int, ...]) -> int:
        if len(place) != len(self.shape):
            raise IndexError(f"the grid has {len(self.shape)} axes ({', '.join(self.grid.names)}), got {place}.")
        for i, (index, size, name) in enumerate(zip(place, self.shape, self.grid.names, strict=True)):
            whole(index, f"the number of a value of {name}", None)
            if not -size <= index < size:
                raise IndexError(f"{name} has {size} values, so index {i} cannot be {index}.")
        return int(np.ravel_multi_index([i % size for i, size in zip(place, self.shape, strict=True)], self.shape))

    def cell(self, *place: int) -> Cycles:
        """Give the cycles of one cell, each solved again from its word and checked.

        **Arguments:** the index along each axis.
        """
        cell = self._cell(place)
        model = self.grid.at(cell)
        with numerics():
            (own,), (bounds,), units = balanced([model])
            inventory = Inventory(own, bounds, self.orders)
            for order in self.orders:
                table = self.uncounted[order]
                words = np.concatenate([self.words(order, *place), table.words[table.cell == cell]])
                gates = np.where(bounds.effective, words, bounds.settled)
                if len(gates):
                    inventory.verify(order, gates)
            inventory.add_repetitions(self.orders)
            cycles = inventory.result(self.orders, self._cell_reports(inventory, cell), {})
            return cycles if units is None else sealed(in_own_units(cycles, model, units[0]))

    def _cell_reports(self, inventory: Inventory, cell: int) -> dict[str, dict[str, Any]]:
        starts = self.report["starts"]
        proved = "proved" in self.layers and bool(self.layers["proved"].reshape(-1)[cell])
        said = ("unknown", f"a cell of a scan: {starts} starts, and the words of its neighbors")
        if proved:
            said = ("proved complete", "enumerated in this cell of the scan")
        # What is proved to be missing, or left undecided, is so here as well.
        verdicts = {order: inventory.verdict(order) or said for order in self.orders}
        return {str(k): inventory.order_report(k, verdict, starts=starts) for k, verdict in verdicts.items()}

    def boundaries(self) -> Boundaries:
        """Give the edges between neighboring cells that differ, each with its typed and located events."""
        return boundaries(self)

    def values(self, *place: int) -> dict[str, float]:
        """Give the values of the parameters in one cell; what is added to an entry is called "offset of A[0]"."""
        row = self.grid.values(np.array([self._cell(place)]))[0]
        return dict(zip(self.grid.labels, row.tolist(), strict=True))

    # -- words about it ---------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        axes = " x ".join(
            f"{name} ({len(values)} values, {values[0]:g} to {values[-1]:g})"
            for name, values in zip(self.grid.labels, self.grid.axes, strict=True)
        )
        lines = [f"BifurcationMap of {type(self.grid.model).__name__}: {axes}"]
        counts = self.counts
        for order, number, stable in zip(self.orders, counts, self.stable_counts, strict=True):
            if number.any():
                lines.append(
                    f"  order {order}: in {np.count_nonzero(number)} of {self.grid.size} cells, at most {number.max()}"
                    f"; stable in {np.count_nonzero(stable)}"
                )
        done = np.count_nonzero(self.searched)
        empty = [str(order) for order, number in zip(self.orders, counts, strict=True) if not number.any()]
        if empty and done:
            lines.append(f"  none of order {', '.join(empty)}")
        report = self.report
        lines.append(
            f"  {report['mended']} cells mended by their neighbors in {report['sweeps']} sweeps; "
            f"{report['seconds']:.3g} s, {done / max(report['seconds'], 1e-9):.3g} cells per second"
        )
        if "interrupted" in report:
            lines.append(f"  {report['interrupted']} ({done} cells searched)")
        return "\n".join(lines)

    # -- files ------------------------------------------------------------------------------------------------------

    def to_xarray(self) -> Any:
        """Give an `xarray.Dataset` with the parameters as coordinates. Needs `pip install 'cyclax[io]'`.

        Values that are offsets say so in the attributes of their coordinate; beside it a second one, "A[0]_absolute",
        gives the entry of the model itself.

        **Raises:** `ImportError`; `ValueError` for a parameter that has the name of a layer, or "order".
        """
        xarray = extra("xarray", "io", "to_xarray needs")
        names = self.grid.names
        layers = {
            "counts": (("order", *names), self.counts, "number of cycles"),
            "stable_counts": (("order", *names), self.stable_counts, "number of stable cycles"),
            "largest_multiplier": (
                ("order", *names),
                self.largest_multiplier,
                "largest modulus of the multipliers of the most stable cycle",
            ),
            "degenerate": (("order", *names), self.degenerate.astype(np.int8), "solutions on borders or in families"),
            "searched": (names, self.searched.reshape(self.shape).astype(np.int8), "the cell has been searched"),
        }
        said = {
            "exponent": "largest Lyapunov exponent, nats per step",
            "period": "period of what attracts; 0 not periodic, -1 all orbits leave for infinity",
            "bounded": "share of orbits that stay bounded",
            "proved": "the cycles of the cell are proved complete",
        }
        for name, layer in self.layers.items():
            layers[name] = (names, layer.astype(np.int8) if layer.dtype == bool else layer, said[name])
        coordinates: dict[str, Any] = {"order": list(self.orders)}
        coordinates |= self._coordinates()
        taken = {"order", *layers, *(f"{p.name}_absolute" for p in self._offsets)}.intersection(names)
        if taken:
            raise ValueError(
                f"to_xarray: {sorted(taken)[0]!r} is a parameter here, and a name of the dataset too; give the "
                "parameter another name."
            )
        data = {name: (dims, values, {"long_name": text}) for name, (dims, values, text) in layers.items()}
        return xarray.Dataset(data, coordinates, {"report": json.dumps(self.report)})

    @property
    def _offsets(self) -> list[Parameter]:
        return [p for p in self.grid.parameters if p.offset] if isinstance(self.grid, ParameterGrid) else []

    def _coordinates(self) -> dict[str, tuple]:
        """Give the parameters as coordinates of a dataset: (dimension, values, attributes)."""
        names, labels = self.grid.names, self.grid.labels
        axes = {
            n: (n, values, {"long_name": label}) for n, label, values in zip(names, labels, self.grid.axes, strict=True)
        }
        for parameter in self._offsets:
            name, own = parameter.name, parameter.entry(self.grid.model)
            axes[name][2]["offset"] = f"added to {name} = {own!r} of the model"
            axes[f"{name}_absolute"] = (name, own + axes[name][1], {"long_name": name})
        return axes

    def save(self, path: str | Path) -> None:
        """Write everything to an `.npz` file, without pickle.

        **Raises:** `TypeError` for a model of your own, or a parameter with `set=`: these have no file format.
        """
        if not isinstance(self.grid, ParameterGrid):
            raise TypeError("save: this map is of a sequence of models; save the Track.")
        if any(parameter.set is not None for parameter in self.grid.parameters):
            raise TypeError("save: a parameter given by a function cannot be written; use to_xarray for the layers.")
        header, arrays = filed(self)
        parameters = [parameter.to_list() for parameter in self.grid.parameters]
        axes = {f"axis.{i}": values for i, values in enumerate(self.grid.axes)}
        write_archive(
            path, {"format": _FORMAT, "parameters": parameters, **header}, {**arrays, **axes}, compressed=True
        )

    @classmethod
    def load(cls, path: str | Path) -> "BifurcationMap":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` that names the file where it is another, or damaged.
        """
        archive = Archive(path, "no bifurcation map that cyclax wrote", _FORM)
        header = archive.header
        with archive.reading():
            model = from_dict(header["model"], source=str(path))
            parameters = [Parameter.from_list(content) for content in header["parameters"]]
            axes = {p: archive.array(f"axis.{i}", float, f"axis{i}") for i, p in enumerate(parameters)}
            if not 0 < len(axes) == len(parameters):
                archive.refuse("it has no parameters, or one of them twice")
            grid = ParameterGrid(model, axes)
        orders, searched, tables = unfiled(archive, grid)
        archive.finish()
        return cls(grid, orders, *tables, searched, header["report"])


def _spectral_radius(table: CycleTable) -> np.ndarray:
    return np.max(np.abs(table.multipliers), axis=1, initial=0.0)
