"""Training from a TOML file: `train_from_toml`, which the command line calls.

Every table and entry, with its default where it has one:

    [data]
    path = "lorenz.npy"            # .npy or .csv, time along the rows; relative to the TOML file
    columns = [0, 1, 2]            # which to keep (all)
    header = true                  # whether a .csv has one, where its first row does not tell
    standardize = true             # shift and scale each column to mean 0 and deviation 1

    [model]
    kind = "ShallowPLRNN"          # any class of cyclax with `.random`; its other arguments stand here, too
    num_states = 3
    num_hidden = 50
    gain = 0.1                     # (1.0; trained networks begin better from small weights)
    seed = 0                       # or a list: several runs, trained at once
    # path = "network.npz"         # instead of all these: a network in a file
    observation = "identity"       # the first units are the observations; or "affine", a learned read-out

    [forcing]
    kind = "GeneralizedForcing"    # or "SparseForcing" (interval = 30), "FreeRunning"
    alpha = 0.15                   # or a table: {kind = "Adaptive"}, {kind = "Annealed", first_value = 0.5, ..}
                                   # Adaptive: norm = {kind = "GeometricMeanNorm"}, every = 5, decay = 0.999

    [optimizer]
    kind = "RAdam"
    learning_rate = 1e-3
    last_rate = 1e-6
    clip = 10.0                    # (never)

    [[regularizers]]               # any number of them
    kind = "L2"                    # or "ManifoldAttractor" (strength, units), "ConditionNumber"
    strength = 1e-4

    [[regularizers]]
    kind = "AwayFromBifurcations"
    strength = 0.1
    within = 0.1
    orders = 1                     # of the stable cycles that are kept; or the word of one, a row of gates for each
                                   # step: cycle = [[0, 1], [1, 1]]
    every = 20
    most = 4

    [training]
    steps = 40000
    seed = 0                       # of the windows that are drawn
    batch = 16
    length = 200
    dtype = "float32"              # or "float64"
    checkpoint_every = 2000        # (steps / 20)
    keep_every = 1

    [output]
    folder = "lorenz"              # (the name of the TOML file without .toml), relative to the TOML file

Written into the folder: `network.npz` (the trained map, read by `cyclax.load`; with several runs `network-0.npz`, ..),
`history.npz` (losses, gradient norms, strengths), `standardization.json` (mean and deviation of each column), and the
checkpoints, from which training that was stopped goes on when the same file is given again.
"""

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cyclax.bifurcations.regularizer import AwayFromBifurcations
from cyclax.core.storage import write_atomically
from cyclax.data.series import load_series, standardize
from cyclax.maps.io.files import load, save
from cyclax.maps.io.registry import MODELS
from cyclax.recipes.toml import check_known, read_plan
from cyclax.training import forcing, jacobians, optimizers, regularizers
from cyclax.training.fit import fit
from cyclax.training.model import Affine, LatentModel

_FORCINGS = {c.__name__: c for c in (forcing.FreeRunning, forcing.SparseForcing, forcing.GeneralizedForcing)}
_STRENGTHS = {c.__name__: c for c in (forcing.Constant, forcing.Annealed, forcing.Adaptive)}
_NORMS = {c.__name__: c for c in (jacobians.GeometricMeanNorm, jacobians.ProductNorm, jacobians.WeightBound)}
_OPTIMIZERS = {"RAdam": optimizers.RAdam}
_OWN = (regularizers.ManifoldAttractor, regularizers.L2, regularizers.ConditionNumber)
_REGULARIZERS = {c.__name__: c for c in (*_OWN, AwayFromBifurcations)}
_NETWORKS = {name: model for name, model in MODELS.items() if hasattr(model, "random")}
# Entries that may hold a table, and the classes that it may make.
_NESTED = {"alpha": _STRENGTHS, "norm": _NORMS}

_TABLES = {
    "data": {"path", "columns", "header", "standardize"},
    "model": None,
    "forcing": None,
    "optimizer": None,
    "regularizers": None,
    "training": {"steps", "seed", "batch", "length", "dtype", "checkpoint_every", "keep_every"},
    "output": {"folder"},
}


def train_from_toml(path: str | Path, *, progress: bool = True) -> Any:
    """Train as a TOML file says; its tables are described at the head of this module.

    **Arguments:** `path`: the file. `progress`: show a bar on a terminal.

    **Returns:** what `fit` returns: a `Fit`, or a tuple of them for a list of seeds.

    **Raises:** `FileNotFoundError`; `ValueError` and `TypeError` that name the file, the entry, and the nearest right
    one where it is misspelled.
    """
    path = Path(path)
    plan = _Plan(path, read_plan(path))
    try:
        series, arguments = plan.series(), plan.arguments()
        folder = plan.folder()
        folder.mkdir(parents=True, exist_ok=True)
        result = fit(plan.model(series.shape[1]), series, store=folder, progress=progress, **arguments)
    except (TypeError, ValueError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(path)) else f"{path}: {text}") from error
    plan.write(result)
    return result


@dataclasses.dataclass
class _Plan:
    """The content of one file."""

    path: Path
    content: dict[str, Any]

    def __post_init__(self):
        for name in self.content:
            self._known(name, _TABLES, "table")
        for name, entries in _TABLES.items():
            table = self.content.get(name, [] if name == "regularizers" else {})
            if not isinstance(table, list if name == "regularizers" else dict):
                brackets = f"[[{name}]]" if name == "regularizers" else f"[{name}]"
                raise ValueError(f"{self.path}: {name} must be a table; write {brackets}.")
            for entry in table if entries is not None else ():
                self._known(entry, entries, f"entry of [{name}]")
        for name in ("data", "model", "forcing", "training"):
            if name not in self.content:
                raise ValueError(f"{self.path}: there is no [{name}]; cyclax.recipes.train describes all tables.")
        self.standardization: Any = None

    def _known(self, name: str, names: Any, what: str) -> None:
        check_known(name, names, str(self.path), what)

    def _entry(self, table: str, name: str) -> Any:
        if name not in self.content[table]:
            raise ValueError(f"{self.path}: [{table}] needs {name}.")
        return self.content[table][name]

    def _beside(self, name: str) -> Path:
        return self.path.parent / name

    def folder(self) -> Path:
        """Give where results are written."""
        return self._beside(self.content.get("output", {}).get("folder", self.path.stem))

    def series(self) -> np.ndarray:
        """Read the series."""
        given = self.content["data"]
        path = self._beside(self._entry("data", "path"))
        series = load_series(path, columns=given.get("columns"), header=given.get("header"))
        if self.content["data"].get("standardize", True):
            series, self.standardization = standardize(series)
        return series

    def model(self, observed: int) -> Any:
        """Build the network, or one for each seed."""
        table = dict(self.content["model"])
        seeds, seen = table.pop("seed", 0), table.pop("observation", "identity")
        self._known(seen, ("identity", "affine"), "observation")
        networks = self._networks(table, seeds if isinstance(seeds, list) else [seeds])
        models = []
        for number, network in enumerate(networks):
            if seen == "affine":
                key = jax.random.fold_in(jax.random.key(number), 1)
                network = LatentModel.observing(network, Affine.random(observed, network.num_states, key=key))
            models.append(network)
        return models if isinstance(seeds, list) else models[0]

    def _networks(self, table: dict[str, Any], seeds: list[int]) -> list[Any]:
        if "path" in table:
            for name in table:
                self._known(name, ("path", "seed", "observation"), "entry of [model] with a path")
            return [load(self._beside(table["path"]))] * len(seeds)
        kind = self._kind(table, _NETWORKS, "model")
        known = [name for name in inspect.signature(kind.random).parameters if name != "key"]
        for name in table:
            self._known(name, [*known, "seed", "observation", "path"], f"entry of [model] for {kind.__name__}")
        try:
            return [kind.random(**table, key=jax.random.key(seed)) for seed in seeds]
        except TypeError as error:
            raise ValueError(f"{self.path}: [model]: {error}.") from error

    def _kind(self, table: dict[str, Any], classes: dict[str, Any], where: str) -> Any:
        if "kind" not in table:
            raise ValueError(f"{self.path}: [{where}] needs kind, one of {', '.join(classes)}.")
        name = table.pop("kind")
        self._known(name, classes, f"kind of {where}")
        return classes[name]

    def _built(self, table: dict[str, Any], classes: dict[str, Any], where: str) -> Any:
        """Make an object from a table with its class as `kind`."""
        table = dict(table)
        kind = self._kind(table, classes, where)
        known = inspect.signature(kind).parameters
        left_out = {"strength"} if where == "forcing" else getattr(kind, "FILLED_IN", ())
        own = [name for name in known if name not in left_out]
        for name, value in table.items():
            self._known(name, own, f"entry of {kind.__name__}")
            if isinstance(value, dict):
                table[name] = self._built(value, _NESTED.get(name, {}), name)
        missing = [name for name in own if known[name].default is inspect.Parameter.empty and name not in table]
        if missing:
            raise ValueError(f"{self.path}: {kind.__name__} in [{where}] needs {', '.join(missing)}.")
        return kind(**table)

    def arguments(self) -> dict[str, Any]:
        """Give the arguments of `fit`."""
        training = dict(self.content["training"])
        seed = training.pop("seed", 0)
        self._entry("training", "steps")
        optimizer = {"kind": "RAdam"} | self.content.get("optimizer", {})
        terms = self.content.get("regularizers", [])
        return {
            **training,
            "key": seed,
            "forcing": self._built(self.content["forcing"], _FORCINGS, "forcing"),
            "optimizer": self._built(optimizer, _OPTIMIZERS, "optimizer"),
            "regularizers": [self._built(term, _REGULARIZERS, "regularizers") for term in terms],
        } | {"dtype": np.dtype(self._dtype())}

    def _dtype(self) -> str:
        dtype = self.content["training"].get("dtype", "float32")
        self._known(dtype, ("float32", "float64"), "dtype")
        return dtype

    def write(self, result: Any) -> None:
        """Write the networks, the history, and how the series was standardized."""
        folder = self.folder()
        fits = result if isinstance(result, tuple) else (result,)
        history: dict[str, np.ndarray] = {}
        for i, one in enumerate(fits):
            suffix = f"-{i}" if isinstance(result, tuple) else ""
            save(folder / f"network{suffix}.npz", one.map)
            for name in ("losses", "gradient_norms", "strengths"):
                history[f"{name}{suffix}"] = getattr(one, name)
        write_atomically(folder / "history.npz", lambda stream: np.savez(stream, **history))  # pyright: ignore[reportArgumentType]
        if self.standardization is not None:
            kept = {name: getattr(self.standardization, name).tolist() for name in ("mean", "deviation")}
            write_atomically(
                folder / "standardization.json", lambda stream: stream.write(json.dumps(kept, indent=1).encode())
            )
