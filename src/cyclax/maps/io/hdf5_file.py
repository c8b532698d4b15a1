"""HDF5 files: what Keras saves, MATLAB from version 7.3 on, Julia's JLD2, and arrays that somebody wrote with h5py.

They are read in a process of their own (`core/hdf5_child.py`), since the HDF5 library may crash on damaged ones, or
hang. Links into other files are not followed, and what is larger than the file can hold is not read.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cyclax.core
from cyclax.core.extras import extra
from cyclax.core.storage import MOST_BYTES, Unreadable, opened_zip, parsing
from cyclax.maps.io.pickles import unpickled

CHILD = Path(cyclax.core.__file__).with_name("hdf5_child.py")
# Seconds after which the HDF5 library is given up.
PATIENCE = 60.0
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 may begin behind a block of the writer's own, of which these are the sizes.
_BLOCKS = (0, 512, 1024, 2048)
# A compressed array may be this many times as large as the file.
_MOST_PACKED = 2000
_PLAIN = "HDF5 file"
# What Keras calls the weights of a cell, in the order in which it writes them.
_OF_A_CELL = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}


def is_hdf5(start: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return any(start[at : at + 8] == _SIGNATURE for at in _BLOCKS)


def writer_of(start: bytes) -> str:
    """Say in words who wrote the HDF5 file that begins so."""
    if start.startswith(b"MATLAB 7.3"):
        return "MATLAB file of version 7.3 (HDF5)"
    return "file of Julia (JLD2, HDF5)" if b"Julia" in start[:128] else _PLAIN


def read_hdf5(path: Path) -> dict[str, Any]:
    """Read the arrays, texts and groups of an HDF5 file.

    **Returns:** arrays (those of MATLAB and Julia, which stand column by column there, with their axes as they were),
    texts, and dicts; `Unreadable` for all else.

    **Raises:** `ValueError` that names the file where it is damaged; `ImportError` where h5py is missing.
    """
    with open(path, "rb") as stream:
        raw = stream.read()
    what = writer_of(raw[:128])
    found = _read(path, raw, what, turned=what != _PLAIN)
    if isinstance(config := found.get("model_config"), str):
        with parsing(path, what):
            _state_activations(found, json.loads(config))
    return found


def read_keras(path: Path) -> dict[str, Any]:
    """Read the weights of a `.keras` archive, with the activations that its configuration states.

    **Raises:** as `read_hdf5`.
    """
    with open(path, "rb") as stream, parsing(path, ".keras file"):
        archive = opened_zip(stream)
        config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else {}
        raw = archive.read("model.weights.h5")
    found = _read(path, raw, "Keras archive", turned=False)
    with parsing(path, ".keras file"):
        _state_activations(found, config)
    return found


def _read(path: Path, raw: bytes, what: str, *, turned: bool) -> dict[str, Any]:
    extra("h5py", "io", f"{path}: a {what} is read by")
    most = min(MOST_BYTES, _MOST_PACKED * len(raw))
    words = [sys.executable, "-P", str(CHILD), "turned" if turned else "plain", str(most)]
    try:
        done = subprocess.run(words, input=raw, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{path}: this is not a readable {what} (the HDF5 library does not come to an end); is the file complete?"
        ) from None
    with parsing(path, what):
        if done.returncode:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
            raise ValueError(f"the HDF5 library stops on it, with exit code {done.returncode}: {last}")
        found = unpickled(done.stdout)
        if isinstance(found, str):
            raise ValueError(found)
        return _plain(found, "")


def _plain(found: Any, name: str) -> Any:
    """Mark what could not be read, and give Keras's and TensorFlow's weights their names."""
    if isinstance(found, tuple):
        return Unreadable(found[0])
    if isinstance(found, list):
        return [_plain(one, "") for one in found]
    if not isinstance(found, dict):
        return found
    # Names of TensorFlow's variables end in a number.
    inner = {key.removesuffix(":0"): _plain(value, f"{name}/{key}") for key, value in found.items()}
    return {_OF_A_CELL.get(key, key): value for key, value in inner.items()} if name.endswith("cell/vars") else inner


def _state_activations(found: dict[str, Any], config: Any) -> None:
    """Put beside each layer of Keras the activation that the configuration of a model states for it."""
    said: dict[str, str] = {}
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            name, activation = one.get("name"), one.get("activation")
            if isinstance(name, str) and "units" in one:
                said[name] = activation if isinstance(activation, str) else str(activation)
    groups = [("", found)]
    while groups:
        name, group = groups.pop()
        own = group.get("vars")
        name = own.get("name", name) if isinstance(own, dict) else name
        if name in said:
            group.setdefault("activation", said[name])
        groups += [(key, value) for key, value in group.items() if isinstance(value, dict)]
