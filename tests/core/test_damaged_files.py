"""Files of every kind, damaged in every way: what loads is what was written, or one `ValueError` names the file.

Damage of bytes: bits flipped anywhere, ends cut off, stretches zeroed. Damage of meaning, in an archive that is whole:
entries of other shapes and types, headers that say something else; with a digest that was made anew, so that nothing
but the checks of the entries themselves can tell.
"""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from torch_files import write_arrays

import cyclax as cx
from cyclax import data
from cyclax.core.archive import misfit
from cyclax.core.folder import Store
from cyclax.core.storage import read_npz, take_digest, write_npz

MODEL = cx.PLRNN(A=[0.53, 0.9], W=[[0, 0.75], [-2.7, 0]], h=[-0.58, 0.11])
ARRAYS = {"a": np.arange(3), "b": np.ones((2, 2))}


def same(one, other) -> bool:
    """Compare results of any kind, down to the bits."""
    if isinstance(one, np.ndarray | jax.Array):
        return np.asarray(one).dtype == np.asarray(other).dtype and np.array_equal(one, other, equal_nan=True)
    if hasattr(one, "__dict__"):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


@pytest.fixture(scope="module")
def results() -> dict[str, cx.Cycles | cx.BifurcationMap | cx.Track | cx.Spectrum | cx.Curve]:
    line = cx.PLRNN(A=[1.0, 0.2], W=np.zeros((2, 2)), h=[0.0, 0.4])
    found = cx.find_cycles(MODEL, [1, 3], key=0, near_misses=1)
    assert found.near_misses
    degenerate = cx.find_cycles(line, 1, key=0)
    assert degenerate.degenerate
    steps = [cx.SkewTentMap(0.5, slope, 1.0) for slope in (-0.9, -1.1)]
    track = cx.track(steps, 2, key=0, losses=[1.0, 0.5], starts=8, progress=False)
    assert track.events
    return {
        "cycles": found,
        "degenerate": degenerate,
        "map": cx.scan(steps[0], {"right": [-0.9, -1.1]}, 2, key=0, starts=8, orbit_steps=50, progress=False),
        "track": track,
        "curve": cx.trace(
            cx.SkewTentMap(0.5, -1.05, 1.0),
            np.ones((1, 1), bool),
            ("left", "right"),
            event="degenerate flip",
            window=((0, 1), (-2, 0)),
            largest_step=0.3,
        ),
        "spectrum": cx.lyapunov_spectrum(MODEL, np.zeros((2, 2)), steps=64, warmup=8, in_axes=(None, 0, None)),
    }


@pytest.fixture
def loaders(results, tmp_path) -> dict[str, tuple[Path, Callable]]:
    """Each kind of file, with what reads it."""
    files: dict[str, tuple[Path, Callable]] = {}
    for name, result in results.items():
        files[name] = tmp_path / f"{name}.npz", type(result).load
        result.save(files[name][0])
    for suffix in ("npz", "json"):
        files[f"network.{suffix}"] = tmp_path / f"network.{suffix}", cx.load
        cx.save(tmp_path / f"network.{suffix}", MODEL)
    files["network.pt"] = tmp_path / "network.pt", cx.load
    write_arrays(tmp_path / "network.pt", {"A": MODEL.A, "W": MODEL.W, "h": MODEL.h})
    files["network.mat"] = tmp_path / "network.mat", cx.load
    np.save(tmp_path / "series.npy", np.arange(6.0).reshape(3, 2))
    files["series"] = tmp_path / "series.npy", data.load_series
    kept = store(tmp_path / "kept", {"model": 1})
    kept.save("scan-0", ARRAYS)
    files["chunk"] = tmp_path / "kept" / "scan-0.npz", lambda path: kept.load("scan-0")
    return files


def store(folder: Path, configuration: dict) -> Store:
    return Store(folder, configuration, name="kept.json", other="another", remedy="Delete it.")


RESULTS = ["cycles", "degenerate", "map", "track", "spectrum", "curve"]
# Without a checksum, another number is only another number.
UNCHECKED = ["network.json", "network.mat", "series"]
KINDS = [*RESULTS, *UNCHECKED, "network.npz", "network.pt", "chunk"]


def verdict(load: Callable, path: Path, what: str):
    """Load; None where that is refused in the right way."""
    try:
        return load(path)
    except ValueError as error:
        assert str(path) in str(error), (what, error)  # noqa: PT017
        assert "\n" not in str(error), what  # noqa: PT017
        return None


def damaged_bytes(raw: bytes, number: int, rng: np.random.Generator) -> list[bytes]:
    # Half of the flips in the archive's own structure: local headers, and the directory at the end.
    places = [i for magic in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") for i in _all(raw, magic)]
    damaged = []
    for i in range(number):
        some = bytearray(raw)
        at = int(rng.integers(len(raw))) if i % 2 or not places else int(rng.choice(places)) + int(rng.integers(46))
        some[min(at, len(raw) - 1)] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(some))
    damaged += [raw[: int(n)] for n in rng.integers(len(raw), size=number // 4)]
    for at in rng.integers(len(raw), size=number // 4):
        damaged.append(raw[:at] + bytes(16) + raw[at + 16 :])
    return [
        *damaged,
        b"",
        b"PK",
        b"PK\x05\x06" + bytes(18),
        b"\x80\x04.",
        b"\x93NUMPY",
        b"[1, 2]",
        b"{}",
        raw + b"more",
    ]


def _all(raw: bytes, part: bytes) -> list[int]:
    return [i for i in range(len(raw)) if raw.startswith(part, i)]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes(loaders, kind):
    path, load = loaders[kind]
    if kind == "network.mat":
        pytest.importorskip("scipy.io").savemat(path, {"A": MODEL.A, "W": MODEL.W, "h": MODEL.h})
    raw, whole = path.read_bytes(), load(path)
    refused = 0
    for i, damaged in enumerate(damaged_bytes(raw, 60, np.random.default_rng(0))):
        path.write_bytes(damaged)
        found = verdict(load, path, f"{kind} {i}")
        refused += found is None
        assert found is None or kind in UNCHECKED or same(found, whole), i
    assert refused > 20


def entries_of(path: Path) -> dict[str, np.ndarray]:
    entries = read_npz(path)
    take_digest(path, entries)
    return entries


def others(array: np.ndarray) -> list[np.ndarray]:
    """Arrays that are not of the shape, or not of the type, of this one."""
    number = array if array.dtype.kind in "fiub" else np.ones(array.shape)
    changed = [
        np.array(1.0) if array.ndim else np.zeros(2),
        array[None],
        np.zeros((0, *array.shape)),
        np.resize(array, (*array.shape[:-1], array.shape[-1] + 1)) if array.ndim else array[None, None],
        array.astype("U9"),
        array.astype(object),
        array.astype("S9"),
        array.astype([("x", "f8")]) if array.dtype.kind in "fiub" else np.zeros(1, "V3"),
        number.astype("datetime64[s]") if number.dtype.kind == "i" else number.astype(complex),
        np.zeros(0),
    ]
    kind = lambda one: (one.dtype.kind in "iu", one.dtype.kind, one.shape)  # noqa: E731
    return [one for one in changed if kind(one) != kind(array)]


@pytest.mark.parametrize("kind", RESULTS)
def test_entries_of_other_shapes_and_types(loaders, kind):
    path, load = loaders[kind]
    entries = entries_of(path)
    for name, array in entries.items():
        # An entry that may be missing is not missed.
        for changed in [*others(array), None]:
            rest = {key: value for key, value in entries.items() if key != name}
            if changed is not None and changed.dtype.kind == "O":
                np.savez(path, **rest, **{name: changed})
            else:
                write_npz(path, rest if changed is None else {**rest, name: changed})
            what = f"{kind} {name} {changed!r}"
            found = verdict(load, path, what)
            optional = changed is None and name in ("losses", "layer.exponent", "layer.period", "layer.bounded")
            # The only word of the file: nothing else tells how many gates there are.
            alone = kind == "degenerate" and name.endswith("gates") and np.ndim(changed) == array.ndim
            assert (found is None) != optional or alone, what
    write_npz(path, {**entries, "more": np.zeros(2)})
    assert verdict(load, path, "one more") is None


def headers(header, at=()):
    """Give headers in which one value, at any depth, is another, or missing."""
    value = header
    for key in at:
        value = value[key]
    others = (None, "x", [], {}, -1, 1.5, float("nan"), 10**400, 1, [[]], True, {"x": 1}, [1, 2, 3])
    for other in others if len(at) < 3 else others[:6]:
        changed = copy.deepcopy(header)
        if not at:
            yield at, other
            continue
        _inside(changed, at[:-1])[at[-1]] = other
        yield at, changed
    if at:
        changed = copy.deepcopy(header)
        del _inside(changed, at[:-1])[at[-1]]
        yield at, changed
    if isinstance(value, dict | list):
        for key in list(value)[:12] if isinstance(value, dict) else range(min(len(value), 1)):
            yield from headers(header, (*at, key))


def _inside(header, at):
    for key in at:
        header = header[key]
    return header


@pytest.mark.parametrize("kind", RESULTS)
def test_other_headers(loaders, kind, tmp_path):
    """What is refused is refused in the right way; what is not can be printed, and written and read again."""
    path, load = loaders[kind]
    entries = entries_of(path)
    header = json.loads(str(entries["header"]))
    refused = 0
    for at, changed in headers(header):
        write_npz(path, {**entries, "header": np.array(json.dumps(changed))})
        what = f"{kind} {at} {_inside(changed, at[:-1]) if at else changed}"
        found = verdict(load, path, what)
        refused += found is None
        if found is not None:
            assert str(found), what
            found.save(tmp_path / "again.npz")
            assert str(load(tmp_path / "again.npz")) == str(found), what
    assert refused > 50
    for text in ("", "{", "[" * 100_000, "null", '{"orders"', "\x00"):
        write_npz(path, {**entries, "header": np.array(text)})
        assert verdict(load, path, text) is None
    for changed in (np.array(1.0), np.array(["a", "b"]), np.array(b"{}"), np.zeros(0)):
        write_npz(path, {**entries, "header": changed})
        assert verdict(load, path, repr(changed)) is None


@pytest.mark.parametrize("kind", RESULTS)
def test_what_was_changed_since_is_refused(loaders, kind):
    """Numbers that could be right are not those that were written."""
    path, load = loaders[kind]
    entries = dict(np.load(path))
    name = next(name for name, array in entries.items() if array.dtype.kind == "f" and array.size)
    np.savez(path, **{**entries, name: entries[name] + 1})
    with pytest.raises(ValueError, match=r"\.npz: this file was changed after it had been written"):
        load(path)
    # One from before there were digests is read.
    del entries["digest"]
    np.savez(path, **entries)
    assert load(path) is not None


def test_chunks_that_no_store_wrote(loaders):
    path, load = loaders["chunk"]
    for entries in ({}, ARRAYS, {**ARRAYS, "digest": np.array("0")}, {"digest": np.array([1])}):
        np.savez(path, **entries)
        assert verdict(load, path, "chunk") is None
    path.unlink()
    assert load(path) is None
    for text in ("", "[]", "null", "3", "{", "[" * 100_000, "\xff"):
        (path.parent / "kept.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"kept\.json cannot be read .*choose another folder"):
            store(path.parent, {})


@pytest.mark.parametrize("kind", [*RESULTS, "network.npz", "series"])
def test_what_is_no_file_is_said_as_ever(loaders, kind, tmp_path):
    path, load = loaders[kind]
    with pytest.raises(FileNotFoundError):
        load(tmp_path / f"absent{path.suffix}")
    (tmp_path / f"folder{path.suffix}").mkdir()
    with pytest.raises(IsADirectoryError):
        load(tmp_path / f"folder{path.suffix}")


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "raw",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000000,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", bytes(8)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'false'\ntR."),
        npy("{'descr': ('<f8', ()), 'fortran_order': False, 'shape': (1,), }"),
        npy("{'descr': [()], 'fortran_order': False, 'shape': (1,), }"),
        npy("{'descr': '<f8'"),
        npy("[" * 5000),
        npy("'''"),
        npy("{1: '\\N{x}'}"),
        b"\x93NUMPY\x09\x00",
        b"\x93NUM",
    ],
)
def test_hostile_arrays(raw, tmp_path):
    """Archives whose checksums are right, and whose arrays are none; a single array, too."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in {"model": np.array("PLRNN"), "W": np.zeros((1, 1)), "h": np.zeros(1)}.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
        archive.writestr("A.npy", raw)
    (tmp_path / "network.npz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=r"network\.npz: A is not an array of numbers"):
        cx.load(tmp_path / "network.npz")
    (tmp_path / "series.npy").write_bytes(raw)
    with pytest.raises(ValueError, match=r"series\.npy: this is not a readable \.npy file"):
        data.load_series(tmp_path / "series.npy")


def test_archives_that_cannot_be_opened(tmp_path):
    path = tmp_path / "network.npz"
    cx.save(path, MODEL)
    raw = path.read_bytes()
    for offset, value, message in ((8, 1, "is encrypted"), (10, 99, "compressed by method 99")):
        damaged = bytearray(raw)
        for i in _all(raw, b"PK\x01\x02"):
            damaged[i + offset] = value
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"network\.npz: this is not a readable \.npz file .*{message}"):
            cx.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("A.npy", "a")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("A.npy", "b")
    with pytest.raises(ValueError, match=r"two of its entries have one name"):
        cx.load(path)


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        ({"a": 1}, {"a": int}, None),
        ({"a": 1, "b": 2}, {"a": float}, None),
        ({"a": None}, {"a?": int}, None),
        ({"a": True}, {"a": int}, "header.a is true instead of int"),
        ({"a": "1"}, {"a?": int}, 'header.a is "1" instead of int'),
        ({}, {"a": int}, "header has no a"),
        ([], {"a": int}, "header is [] instead of an object"),
        ([1, 2.5], [int], "header[1] is 2.5 instead of int"),
        ([1], (int, str), "header is [1] instead of a list of 2"),
        ([1, 2], (int, str), "header[1] is 2 instead of str"),
        ({"1": []}, {int: [int]}, None),
        ({"x": []}, {int: [int]}, "header has the key 'x', which is no number"),
        (None, int | None, None),
        ("x", int | None, 'header is "x" instead of int'),
        ("x", frozenset({"y", "z"}), 'header is "x" instead of y or z'),
        ({"status": 1}, cx.Proof, "header.status is 1 instead of str"),
        ({"other": 1}, cx.Proof, "header has other, which is not known"),
        (10**400, float, f"header is {'1' + '0' * 39}.. instead of float"),
    ],
)
def test_forms(value, form, message):
    assert misfit(value, form, "header") == message
