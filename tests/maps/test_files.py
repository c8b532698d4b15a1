"""Networks survive both file formats bitwise; broken files say what is wrong with them."""

import json

import jax
import numpy as np
import pytest

import cyclax as cx


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_round_trip(model, suffix, tmp_path):
    path = tmp_path / f"network{suffix}"
    cx.save(path, model)
    loaded = cx.load(str(path))
    assert type(loaded) is type(model)
    assert jax.tree.structure(loaded) == jax.tree.structure(model)
    for mine, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        assert theirs.dtype == np.float64
        np.testing.assert_array_equal(mine, theirs)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


GOOD = {"model": "PLRNN", "A": [0.5], "W": [[1.0]], "h": [0.1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[1, 2]", "expected an object"),
        (json.dumps({**GOOD, "model": "PLRN"}), "Did you mean 'PLRNN'"),
        (json.dumps({"model": "PLRNN", "A": [1.0]}), "missing: W, h; found: A"),
        (json.dumps({**GOOD, "B": 1}), "PLRNN has no B"),
        (json.dumps({**GOOD, "A": "x"}), "A is not an array of numbers"),
        (json.dumps({**GOOD, "A": ["1"]}), "A is not an array of numbers"),
        (json.dumps({**GOOD, "A": [[1.0], 2.0]}), "A is not an array of numbers"),
        (json.dumps({**GOOD, "model": ["PLRNN"]}), "unknown model"),
        (json.dumps({**GOOD, "model": "AlmostLinearRNN", "num_gated": 1.5}), "num_gated is not an integer, but 1.5"),
        ("[" * 100_000, "not valid JSON"),
        (json.dumps({**GOOD, "h": [1.0, 2.0]}), "W must have shape|A must be"),
    ],
)
def test_broken_json(content, message, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        cx.load(path)
    assert "broken.json" in str(caught.value)


def test_truncated_npz(tmp_path):
    path = tmp_path / "network.npz"
    cx.save(path, cx.PLRNN(A=[0.5], W=[[1.0]], h=[0.1]))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        cx.load(path)


class Malicious:
    """Whoever unpickles it opens a file."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return open, (str(self.witness), "w")


def test_no_pickle(tmp_path):
    """Entries of objects are read only where they are plain; nothing is called."""
    path, witness = tmp_path / "network.npz", tmp_path / "witness"
    fields = {"A": [0.5], "W": [[1.0]], "h": [0.1]}
    for name in ("model", "A"):
        content = {"model": "PLRNN", **fields}
        np.savez(path, **{**content, name: np.array([content[name]], dtype=object)})
        assert type(cx.load(path)) is cx.PLRNN
        np.savez(path, **{**content, name: np.array([Malicious(witness)], dtype=object)})
        with pytest.raises(ValueError, match=r"network.npz: .*Python objects \(_?io.open\), which are never made here"):
            cx.load(path)
    assert not witness.exists()


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        cx.load(tmp_path / "absent.json")
    with pytest.raises(IsADirectoryError, match=r"this is a folder. Give the path of a network in it"):
        cx.load(tmp_path)
    for call in (lambda: cx.load(None), lambda: cx.inspect(3), lambda: cx.save(cx.TentMap(2.0), tmp_path / "a.npz")):
        with pytest.raises(TypeError, match="path: expected a path, as text or a Path, got"):
            call()
    with pytest.raises(TypeError, match="store: expected a path, as text or a Path, got int"):
        cx.scan(cx.TentMap(2.0), {"slope": [1.9]}, 1, key=0, store=3, progress=False)
    for suffix in (".json", ".npz", ".txt", ""):
        (tmp_path / f"empty{suffix}").touch()
        with pytest.raises(ValueError, match=rf"empty{suffix}: this is no network .*\(it is empty\)"):
            cx.load(tmp_path / f"empty{suffix}")
    with pytest.raises(ValueError, match=r"to \.json or \.npz files"):
        cx.save(tmp_path / "network.txt", cx.TentMap(2.0))
    with pytest.raises(OSError, match="cannot be written"):
        cx.save(tmp_path / "no" / "folder" / "network.json", cx.TentMap(2.0))


def test_what_is_said_of_a_file_is_known(tmp_path):
    path = tmp_path / "sequence.json"
    path.write_text(json.dumps({name: 2 * [value] for name, value in GOOD.items() if name != "model"}))
    with pytest.raises(TypeError, match=r"ignor: there is no such argument; .* index, num_gated, clipped, .* ignore"):
        cx.load(path, ignor="x")
    with pytest.raises(TypeError, match=r"sequence.json: index: expected an int, got 'a'"):
        cx.load(path, index="a")
    with pytest.raises(ValueError, match="no known weights below 'net', but at the top level: give that as prefix, or"):
        cx.load(path, index=0, prefix="net")


def test_unknown_class_is_not_written(tmp_path):
    class Mine(cx.AbstractPiecewiseLinearMap):
        num_states = 1

        def preactivations(self, z):
            return z

        def step(self, z, gates):
            return z

    with pytest.raises(ValueError, match="Mine is not one of the classes"):
        cx.save(tmp_path / "network.json", Mine())
