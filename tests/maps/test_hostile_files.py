"""Files that are damaged, odd, or written to do harm: refused by name, in one line, and nothing in them runs."""

import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bson_files import bson, datatype, dictionary, julia, struct_of

import cyclax as cx
from cyclax import cli
from cyclax.maps.io import hdf5_file
from cyclax.maps.io.bson_file import read_bson
from cyclax.maps.io.pickles import unpickled
from cyclax.maps.io.safetensors_file import read_safetensors

FILES = Path(__file__).resolve().parent / "files"
W, b = np.arange(16.0).reshape(4, 4), np.arange(4.0)


def message_of(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "weights"


def require_one_line(path):
    """Look into a file: it is read, or refused in one line that names it."""
    said = f"{path}"
    try:
        cx.inspect(path)
    except ValueError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


WHOLE = sorted(name for name in os.listdir(FILES) if not name.endswith((".json", ".py", "__pycache__")))


# Each of these is read in a process of its own.
SLOW = (".h5", ".keras", ".jld2", ".mat")


@pytest.mark.parametrize("name", WHOLE)
def test_files_that_are_cut_off(name, path):
    """At any length: a message that names the file, or the network of before (zeros at the end of a zip, say)."""
    whole = (FILES / name).read_bytes()
    lengths = {*range(0, min(len(whole), 200), 7), *np.linspace(0, len(whole) - 1, 60).astype(int).tolist()}
    for length in sorted(lengths) if not name.endswith(SLOW) else (0, 7, 200, 600, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:length])
        require_one_line(path)


@pytest.mark.parametrize("name", WHOLE)
def test_files_with_changed_bytes(name, path):
    rng = np.random.default_rng(0)
    whole = np.frombuffer((FILES / name).read_bytes(), np.uint8)
    for _ in range(4 if name.endswith(SLOW) else 60):
        changed = whole.copy()
        where = rng.integers(min(len(whole), 4000), size=rng.integers(1, 6))
        changed[where] = rng.integers(256, size=len(where))
        path.write_bytes(changed.tobytes())
        require_one_line(path)


# -- pickles -----------------------------------------------------------------------------------------------------------


class Call:
    """Pickled, it calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "posix.system"), (eval, "builtins.eval"), (getattr, "builtins.getattr"), (np.load, "numpy.load")],
)
def test_nothing_in_a_pickle_runs(function, name, protocol, tmp_path):
    witness = tmp_path / "witness"
    argument = f"touch {witness}" if function is os.system else f"open({str(witness)!r}, 'w')"
    hostile = {"W": W, "b": Call(function, argument)}
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(hostile, protocol=protocol))
    message = message_of(cx.load, path)
    module = name.partition(".")[2]
    assert message.startswith(f"{path}: this is a pickle; it holds Python objects (")
    assert f".{module}), which are never made here. If you trust it, unpickle it yourself" in message
    np.savez(tmp_path / "weights.npz", W=W, b=np.array([Call(function, argument)], dtype=object))
    assert "b is not an array of numbers (it holds Python objects (" in message_of(cx.load, tmp_path / "weights.npz")
    np.save(tmp_path / "weights.npy", hostile, allow_pickle=True)
    assert "it holds Python objects (" in message_of(cx.load, tmp_path / "weights.npy")
    assert not witness.exists()


class Odd:
    """An object of a class that no reader knows."""


def test_what_a_pickle_may_hold():
    content = {
        "arrays": {kind: np.arange(6).astype(kind).reshape(2, 3) for kind in "?bBhHiIqQfd"},
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 3)),
        "zero": np.array(0.5),
        "number": np.float32(0.1),
        "texts": np.array(["relu", "tanh"]),
        "objects": np.array([1, "a", None, [2.0]], dtype=object),
        "plain": [1, 2.5, "text", None, True, (1, 2), b"raw", {3}, 1 + 2j],
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = unpickled(pickle.dumps(content, protocol=protocol))
        assert found["plain"] == content["plain"]
        for name, array in (content["arrays"] | content).items():
            if isinstance(array, (np.ndarray, np.generic)):
                mine = found["arrays"].get(name, found.get(name))
                assert mine.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
                assert mine.shape == array.shape
                np.testing.assert_array_equal(mine, array)
    shared = [W, W]
    assert np.array_equal(unpickled(pickle.dumps(shared))[1], W)


def test_pickles_of_jax(path):
    import jax.numpy as jnp

    path.write_bytes(pickle.dumps({"W": jnp.asarray(W), "b": jnp.asarray(b, jnp.bfloat16)}))
    np.testing.assert_array_equal(cx.load(path).W, W)


def test_pickles_that_claim_too_much(path):
    ten: list = [0.0] * 10
    for _ in range(12):
        ten = [ten] * 10  # 10^13 entries in 400 bytes
    path.write_bytes(pickle.dumps({"W": W, "b": ten}))
    assert "it names its containers so often that they hold more than" in message_of(cx.load, path)
    endless: list = []
    endless.append(endless)
    path.write_bytes(pickle.dumps({"W": W, "b": endless}))
    assert "it names its containers so often" in message_of(cx.load, path)
    path.write_bytes(b"\x80\x02N" + b"r" + struct.pack("<I", 2**32 - 1) + b".")  # a memo of 2^32 entries
    assert "number 4294967295 of a memo" in message_of(cx.load, path)
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"short")
    assert "is not a readable pickle" in message_of(cx.load, path)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ((1, (4,), "f8", False, bytes(8)), "holds 8 bytes instead of 32"),
        ((1, (2**40, 2**40), "f8", False, b""), "holds 0 bytes instead of"),
        ((1, (-1,), "f8", False, bytes(8)), "an array of shape (-1,)"),
        ((1, (4,), "O", False, [1]), "an array of objects is cut off"),
        ((1, (4,), "O", False, bytes(32)), "an array of objects is cut off"),
        ((1, (1,), "V8", False, bytes(8)), "a type of numbers 'V8' that is not known"),
        ((1, [1], "f8", False, bytes(8)), "an array of shape [1]"),
        ((1, (1,), None, False, bytes(8)), "an array without a type"),
        (3, "is not a readable pickle"),
    ],
)
def test_arrays_in_pickles_are_checked(state, reason, path):
    """A pickle sets the state of an array; NumPy would believe some of it."""

    class State:
        def __reduce__(self):
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), full

    class Kind:
        def __init__(self, code):
            self.code = code

        def __reduce__(self):
            return np.dtype, (self.code, False, True)

    full = state
    if isinstance(state, tuple):
        full = tuple(Kind(part) if i == 2 and part else part for i, part in enumerate(state))
    path.write_bytes(pickle.dumps({"W": State()}))
    assert reason in message_of(cx.load, path)


def test_records_in_pickles_are_refused(path):
    path.write_bytes(pickle.dumps({"W": np.zeros(2, [("x", float)])}))
    assert "this is not a readable pickle" in message_of(cx.load, path)


# -- archives ----------------------------------------------------------------------------------------------------------


def test_an_archive_that_unpacks_to_too_much(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", b"")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(raw)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.npy", bytes(100))
    assert "its entries unpack to 4294967394 bytes, more than 4294967296" in message_of(cx.load, path)


# -- safetensors -------------------------------------------------------------------------------------------------------


def safetensors(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(kind="F64", shape=(1,), offsets=(0, 8)):
    return {"W": {"dtype": kind, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"{broken", "is not a readable .safetensors file"),
        (entry(shape=[2]), "W holds 8 bytes instead of 16"),
        (entry(shape=[2**40, 2**40]), "W holds 8 bytes instead of"),
        (entry(offsets=[0, 16]), "does not stand at 0 to 16"),
        (entry(offsets=[8, 0]), "does not stand at 8 to 0"),
        (entry(offsets=[-8, 0]), "does not stand at -8 to 0"),
        (entry(shape=[-1]), "does not stand at"),
        (entry(shape=[1.0]), "does not stand at"),
        ({"W": {"dtype": "F64"}}, "is not a readable .safetensors file ('shape')"),
        ({"W": [1]}, "is not a readable .safetensors file"),
    ],
)
def test_broken_safetensors(header, reason, path):
    safetensors(path, header, bytes(8))
    assert reason in message_of(cx.load, path)


def test_safetensors_with_types_that_numpy_lacks(path):
    header = entry("F8_E4M3", [8]) | {"b": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}
    safetensors(path, header, bytes(8))
    assert "W is not an array of numbers (it is of type F8_E4M3)" in message_of(cx.load, path)
    header = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    safetensors(path, header, struct.pack("<HH", 0x3F80, 0xC000))
    np.testing.assert_array_equal(read_safetensors(path)["x"], [1.0, -2.0])
    safetensors(path, entry(), bytes(8), length=2**62)
    assert "this is no network that can be read" in message_of(cx.load, path)


# -- HDF5 --------------------------------------------------------------------------------------------------------------


def test_hdf5_that_points_elsewhere(path, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["b"] = b
    with h5py.File(path, "w") as file:
        file["W"] = W
        file["b"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/b")
    assert "b is not an array of numbers (it is a link to elsewhere)" in message_of(cx.load, path)
    with h5py.File(path, "w") as file:
        file["W"] = W
        file["b"] = h5py.SoftLink("/b")
    assert "it is a link to elsewhere" in message_of(cx.load, path)
    with h5py.File(path, "w") as file:
        file["W"] = W
        layout = h5py.VirtualLayout((4,), float)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "b", (4,))
        file.create_virtual_dataset("b", layout)
    assert "b is not an array of numbers (its numbers stand in other files)" in message_of(cx.load, path)
    (tmp_path / "raw").write_bytes(bytes(32))
    with h5py.File(path, "w") as file:
        file["W"] = W
        file.create_dataset("b", (4,), float, external=[(str(tmp_path / "raw"), 0, 32)])
    assert "its numbers stand in other files" in message_of(cx.load, path)


def test_hdf5_that_claims_too_much(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["W"] = W
        file.create_dataset("b", (10**6, 10**6), float, chunks=(100, 100))
    assert "/b of shape (1000000, 1000000) and what stands before it are too large" in message_of(cx.load, path)
    with h5py.File(path, "w") as file:
        group = file.create_group("one")
        group["same"] = file["one"]  # a group that holds itself
    assert "its groups stand too deep in each other" in message_of(cx.load, path)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_hdf5_on_which_the_library_hangs_or_crashes(path, monkeypatch):
    """As it does on tables of texts with changed bytes, say: then there is a message all the same."""
    pytest.importorskip("h5py")
    monkeypatch.setattr(hdf5_file, "PATIENCE", 0.0)
    path.write_bytes((FILES / "keras.weights.h5").read_bytes())
    assert "(the HDF5 library does not come to an end); is the file complete?" in message_of(cx.load, path)
    monkeypatch.setattr(hdf5_file, "PATIENCE", 60.0)
    crash = path.with_name("child.py")
    crash.write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(hdf5_file, "CHILD", crash)
    assert "the HDF5 library stops on it, with exit code -11: no word" in message_of(cx.load, path)


def test_hdf5_without_h5py(path, monkeypatch, capsys):
    path.write_bytes((FILES / "keras.weights.h5").read_bytes())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"a HDF5 file is read by h5py: pip install 'cyclax\[io\]'"):
        cx.load(path)
    assert cli.main(["cycles", str(path), "--orders", "1"]) == 2
    assert "pip install 'cyclax[io]'" in capsys.readouterr().err


# -- Julia -------------------------------------------------------------------------------------------------------------


def test_values_of_julia(path):
    named = struct_of(
        datatype("Core", "NamedTuple", params=[{"tag": "tuple", "data": [{"tag": "symbol", "name": "W"}]}]), julia(W)
    )
    content = {
        "number": {"tag": "struct", "type": datatype("Core", "Float32"), "data": struct.pack("<f", 0.5)},
        "named": named,
        "dict": dictionary({"W": julia(W), "inner": dictionary({"b": julia(b)})}),
        "symbol": {"tag": "symbol", "name": "relu"},
        "tuple": {"tag": "tuple", "data": [1, 2.5, None, True]},
        "kinds": [julia(b.astype(np.float32)), julia(np.array([1, 2])), julia(b > 1)],
        "strange": struct_of(datatype("Main", "Chain"), 1, 2),
        "anonymous": {"tag": "jl_anonymous", "typename": 1},
        "texts": ["a", "b"],
    }
    path.write_bytes(bson(content))
    found = read_bson(path)
    assert found["number"] == 0.5
    assert (found["symbol"], found["tuple"], found["texts"]) == ("relu", [1, 2.5, None, True], ["a", "b"])
    for array in (found["named"]["W"], found["dict"]["W"]):
        np.testing.assert_array_equal(array, W)
    np.testing.assert_array_equal(found["dict"]["inner"]["b"], b)
    assert [array.dtype.str for array in found["kinds"]] == ["<f4", "<i8", "|b1"]
    assert "a struct Chain of Julia, of which a file does not hold the names" in str(found["strange"])
    assert "with the tag jl_anonymous" in str(found["anonymous"])


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("PLRNN", ("A", "W", "h"), cx.PLRNN(b, W, b + 1)),
        ("mcPLRNN", ("A", "W", "h"), cx.MeanCenteredPLRNN(b, W, b + 1)),
        ("dendPLRNN", ("A", "W", "h", "alpha", "H"), cx.DendriticPLRNN(b, W, b + 1, b[:2], W[:, :2])),
        ("clippedDendPLRNN", ("A", "W", "h", "alpha", "H"), cx.ClippedDendriticPLRNN(b, W, b + 1, b[:2], W[:, :2])),
    ],
)
@pytest.mark.parametrize("rest", [(), (None,), (W[:, :2],)])
def test_structs_of_trainers(name, fields, expected, rest, path):
    values = {"A": b, "W": W, "h": b + 1, "alpha": b[:2], "H": W[:, :2]}
    content = [julia(values[field]) for field in fields]
    content += [None if one is None else julia(one) for one in rest]
    path.write_bytes(bson({"model": struct_of(datatype("Main", name), *content)}))
    found = cx.load(path)
    assert type(found) is type(expected)
    for leaf in vars(expected):
        np.testing.assert_array_equal(getattr(found, leaf), getattr(expected, leaf))
    if rest and rest[0] is not None and name != "mcPLRNN":
        driven = cx.load(path, input=[1.0, 2.0])
        np.testing.assert_allclose(driven.h, b + 1 + W[:, :2] @ [1.0, 2.0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"W": julia(W) | {"size": [5, 4]}}, "an array of size [5, 4] holds 128 bytes"),
        ({"W": julia(W) | {"size": [-4, -4]}}, "an array of size [-4, -4]"),
        ({"W": julia(W) | {"size": "no"}}, "an array of size no"),
        ({"W": {"tag": "array"}}, "is not a readable .bson file ('type')"),
        ({"W": {"tag": "backref", "ref": 3}}, "reference 3 of 0"),
        ({"W": {"tag": "backref", "ref": "x"}}, "reference x of 0"),
        (
            {"W": julia(W) | {"type": datatype("Core", "Complex")}},
            "W is not an array of numbers (it is an array of Comp",
        ),
        ({"b": julia(b), "W": struct_of(datatype("Main", "Evil"), 1)}, "a struct Evil of Julia"),
    ],
)
def test_broken_bson(content, reason, path):
    path.write_bytes(bson({"b": julia(b), **content}))
    assert reason in message_of(cx.load, path)


def test_bson_that_claims_too_much(path):
    itself = {"tag": "tuple", "data": [{"tag": "backref", "ref": 1}] * 2}
    path.write_bytes(bson({"W": {"tag": "backref", "ref": 1}, "_backrefs": [itself]}))
    assert "no known weights" in message_of(cx.load, path)
    many = [{"tag": "tuple", "data": [{"tag": "backref", "ref": i + 2}] * 10} for i in range(12)]
    path.write_bytes(bson({"W": {"tag": "backref", "ref": 1}, "_backrefs": [*many, [1.0] * 10]}))
    assert "it names its containers so often" in message_of(cx.load, path)
    deep: dict = {}
    for _ in range(150):
        deep = {"a": deep}
    path.write_bytes(bson(deep))
    assert "its documents stand too deep in each other" in message_of(cx.load, path)
    whole = bson({"W": julia(W)})
    path.write_bytes(whole[:-1] + b"\x01")
    assert "a document is longer than what holds it" in message_of(cx.load, path)
    path.write_bytes(whole.replace(b"W\x00", b"W\x01"))
    assert str(path) in message_of(cx.load, path)
