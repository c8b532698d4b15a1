"""`scan` from a TOML file; the schema is in `docs/scanning.md`."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from cyclax.core.storage import write_atomically
from cyclax.grids.grid import ParameterGrid
from cyclax.grids.map import BifurcationMap
from cyclax.grids.scan import scan
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.io.files import load
from cyclax.maps.parameter import Parameter
from cyclax.recipes.toml import check_keys, read_plan

_SETTINGS = ("starts", "moves", "heal", "exact", "orbit_steps", "longest_period", "cells")
_OUTPUT = {"save": (".npz",), "netcdf": (".nc",), "plot": (".png", ".pdf", ".svg"), "store": None, "boundaries": None}
_NETCDF = ("xarray", "h5netcdf", "h5py")
_RANGE = ("from", "to", "count", "values", "offset")


@dataclasses.dataclass(frozen=True)
class ScanPlan:
    """What a TOML file asks `scan` for.

    - `model`, `parameters`, `orders`, `seed`, `settings`: the arguments.
    - `output`: {"save", "netcdf", "plot": files; "store": a folder}, those that were asked for.
    - `boundaries`: whether the picture is to show the bifurcations between cells.
    """

    model: AbstractPiecewiseLinearMap
    parameters: dict[Parameter, np.ndarray]
    orders: int | list[int]
    seed: int
    settings: dict[str, Any]
    output: dict[str, Path]
    boundaries: bool = True

    @classmethod
    def read(cls, path: str | Path) -> "ScanPlan":
        """Read a plan. Files in it are relative to its own folder.

        **Raises:** `ValueError` and `OSError` that name the file, the key and the remedy, before anything is computed.
        """
        path = Path(path)
        table = read_plan(path)
        keys = ("model", "orders", "seed", "parameters", "settings", "output")
        check_keys(table, keys, str(path), needed=("model", "orders", "parameters"))
        settings, output = table.get("settings", {}), dict(table.get("output", {}))
        check_keys(settings, _SETTINGS, f"{path}, [settings]")
        check_keys(output, _OUTPUT, f"{path}, [output]")
        boundaries = output.pop("boundaries", True)
        if not isinstance(boundaries, bool):
            raise ValueError(f"{path}, [output]: boundaries is true or false, got {boundaries!r}.")
        files = {name: _checked_file(path, name, value) for name, value in output.items()}
        if "netcdf" in files and any(importlib.util.find_spec(name) is None for name in _NETCDF):
            raise ImportError(f"{path}, [output]: netcdf needs {', '.join(_NETCDF)}: pip install 'cyclax[io]'.")
        model = load(path.parent / _text(path, "model", table["model"]))
        if not isinstance(model, AbstractPiecewiseLinearMap):
            raise ValueError(f"{path}: {table['model']} holds several networks; a scan is of one.")
        seed = table.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"{path}: seed is an int from 0, got {seed!r}.")
        parameters = _checked_parameters(path, table["parameters"])
        if "plot" in files and len(parameters) > 2:
            raise ValueError(
                f"{path}, [output]: plot shows one parameter or two, and this scan has {len(parameters)}; save it "
                "(save, netcdf) and draw slices, or drop plot."
            )
        try:
            ParameterGrid(model, parameters)
        except ValueError as error:
            raise ValueError(f"{path}, [parameters]: {error}") from error
        return cls(model, parameters, table["orders"], seed, dict(settings), files, boundaries)

    def run(self, *, progress: bool = True) -> BifurcationMap:
        """Scan."""
        store = self.output.get("store")
        return scan(
            self.model, self.parameters, self.orders, key=self.seed, store=store, progress=progress, **self.settings
        )

    def write(self, result: BifurcationMap) -> list[Path]:
        """Write the files that were asked for, but for the picture; say which."""
        written = []
        if "save" in self.output:
            result.save(self.output["save"])
            written.append(self.output["save"])
        if "netcdf" in self.output:
            dataset, path = result.to_xarray(), self.output["netcdf"]
            write_atomically(path, lambda stream: stream.write(dataset.to_netcdf(engine="h5netcdf")))
            written.append(path)
        return written


def _text(path: Path, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{path}: {name} is a file name in quotes, got {value!r}.")
    return value


def _checked_file(path: Path, name: str, value: Any) -> Path:
    file = path.parent / _text(path, f"[output] {name}", value)
    kinds = _OUTPUT[name]
    if kinds is not None and file.suffix not in kinds:
        raise ValueError(f"{path}, [output]: {name} is a file of type {', '.join(kinds)}, got {value!r}.")
    if not file.parent.is_dir():
        raise ValueError(f"{path}, [output]: the folder {file.parent} of {name} does not exist.")
    return file


def _checked_parameters(path: Path, table: Any) -> dict[Parameter, np.ndarray]:
    if not isinstance(table, dict) or not table:
        raise ValueError(
            f'{path}: [parameters] holds one line for each, such as "A[0]" = {{from = 0, to = 1, count = 9}}'
        )
    parameters: dict[Parameter, np.ndarray] = {}
    for name, value in table.items():
        where = f"{path}, [parameters] {name!r}"
        said: dict[str, Any] = {"values": value} if isinstance(value, list) else value
        check_keys(said, _RANGE, where)
        offset = said.get("offset", False)
        if not isinstance(offset, bool):
            raise ValueError(f"{where}: offset is true or false, got {offset!r}.")
        try:
            parameter = Parameter.parse(name, offset=offset)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if ("values" in said) == any(key in said for key in ("from", "to", "count")):
            raise ValueError(f"{where}: expected either values, or from, to and count.")
        if "values" not in said:
            check_keys(said, _RANGE, where, needed=("from", "to", "count"))
            count = said["count"]
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{where}: count is an int from 1, got {count!r}.")
        try:
            if "values" in said:
                parameters[parameter] = np.asarray(said["values"], float)
            else:
                parameters[parameter] = np.linspace(float(said["from"]), float(said["to"]), int(said["count"]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: expected numbers ({error}).") from error
    return parameters
