"""Networks as other libraries write them: the files of `files/`, which `files/make.py` made, and every layout."""

import json
import pickle
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from bson_files import bson, julia

import cyclax as cx
from cyclax import cli
from cyclax.maps.io.registry import MODELS

FILES = Path(__file__).resolve().parent / "files"
FAULTS = Path(__file__).resolve().parents[3] / "shared" / "faults" / "cases"
FORMS = {"rate": cx.RateRNN, "current": cx.CurrentRNN, "rectified": cx.RectifiedRNN}
rng = np.random.default_rng(0)
W, C, b, u = rng.normal(size=(4, 4)), rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)


def message_of(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same(one, other):
    assert type(one) is type(other)
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert mine.dtype == np.float64
        np.testing.assert_array_equal(mine, theirs)


# -- what libraries wrote ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES.glob("*.json")))
def test_files_of_other_libraries(name):
    """Weights to the last bit, where nothing is added to them, and the next states that the library itself computes."""
    told = json.loads((FILES / f"{name}.json").read_text())
    model = cx.load(FILES / name, input=told["input"], **told["stated"])
    assert type(model) is MODELS[told["model"]]
    for leaf, expected in told["weights"].items():
        found = getattr(model, leaf)
        assert found.dtype == np.float64
        # A bias with an input in it is a sum, which libraries round each in their own order.
        rounding = 1e-15 if told["input"] is not None and leaf == model.input_leaf else 0.0
        np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding, err_msg=leaf)
    for state, following in zip(told["states"], told["next"], strict=True):
        np.testing.assert_allclose(model(np.array(state)), following, rtol=0, atol=1e-12)
    # The same input, later, where the model keeps its weights.
    bare = cx.load(FILES / name, **told["stated"])
    if told["input"] is not None and bare.input_matrix is not None:
        np.testing.assert_allclose(bare.with_input(told["input"]).b, model.b, rtol=0, atol=1e-15)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="needs ../shared/faults")
def test_files_that_were_misread_once():
    """Each is read as what it says, or refused by the name of what is in the way."""
    read = {path.stem: type(cx.load(path)).__name__ for path in FAULTS.glob("*.json")}
    assert set(read.values()) == {"PLRNN", "ShallowPLRNN", "AlmostLinearRNN", "BorderCollisionNormalForm"}
    with np.load(FAULTS / "cell_weight_hh_bias.npz") as cell:
        np.testing.assert_array_equal(cx.load(FAULTS / "cell_weight_hh_bias.npz").b, cell["bias"])
    assert type(cx.load(FAULTS / "one_object_entry.npz")) is cx.ReLURNN
    assert "nonlinearity = 'tanh' would be left over" in message_of(cx.load, FAULTS / "tanh_stated.npz")
    leaky = FAULTS / "leaky_stated.npz"
    message = message_of(cx.load, leaky)
    assert "tau = " in message
    assert "If this is a leaky integrator, give form='rate', 'current' or 'rectified'" in message
    with np.load(leaky) as stated:
        for form, cls in FORMS.items():
            model = cx.load(leaky, form=form)
            assert type(model) is cls
            np.testing.assert_array_equal(model.W, stated["W"])
            np.testing.assert_array_equal(model.alpha, stated["dt"] / stated["tau"])


def test_activations_that_keras_states():
    message = message_of(cx.load, FILES / "keras_tanh.keras")
    assert "fits, but layers.simple_rnn.activation = 'tanh' would be left over" in message
    assert "those of a GRU, which is not piecewise-linear" in message_of(cx.load, FILES / "keras_gru.weights.h5")
    for name in ("keras.keras", "keras_whole.h5"):
        assert any(said == "'relu'" for said in cx.inspect(FILES / name).entries.values())


# -- every layout in every container -----------------------------------------------------------------------------------

RATE = {"alpha": 0.3, "form": "rate"}
SHARES = [0.1, 0.2, 0.3, 0.4]
m, n = W[:, :2], C[:, :2]
# Names, what is said, and the model.
LAYOUTS = {
    "neurogym": (
        {"rnn.h2h.weight": W, "rnn.h2h.bias": b, "rnn.input2h.weight": C, "rnn.input2h.bias": 2 * b, "fc.bias": u},
        RATE,
        cx.RateRNN(W, b + 2 * b, 0.3, C),
    ),
    "i2h": ({"h2h.weight": W, "i2h.weight": C}, RATE, cx.RateRNN(W, 0 * b, 0.3, C)),
    "nn4n": (
        {"hidden_layer.weight": W, "hidden_layer.bias": b, "input_layer.weight": C, "hidden_state": b},
        {"alpha": 0.1},
        cx.CurrentRNN(W, b, 0.1, C),
    ),
    "latent circuit": ({"recurrent_layer.weight": W, "input_layer.weight": C}, RATE, cx.RateRNN(W, 0 * b, 0.3, C)),
    "W_rec": ({"W_rec": W, "b_rec": b, "W_in": C}, {"alpha": 0.1, "form": "current"}, cx.CurrentRNN(W, b, 0.1, C)),
    "w_rec": ({"w_rec": W, "w_inp": C, "b_rec": b}, {"alpha": 0.1, "form": "rectified"}, cx.RectifiedRNN(W, b, 0.1, C)),
    "W_inp": (
        {"W_rec": W, "W_inp": C, "bias_rec": b, "tau": 4.0, "dt": 1.0},
        {"form": "rate"},
        cx.RateRNN(W, b, 0.25, C),
    ),
    "no leak": ({"W_rec": W, "b_rec": b, "W_in": C}, {"alpha": 1}, cx.RateRNN(W, b, 1.0, C)),
    "shares": ({"W_rec": W, "W_in": C, "alpha": [SHARES]}, {"form": "rate"}, cx.RateRNN(W, 0 * b, SHARES, C)),
    "W, b": ({"W": W, "b": b, "tau": 2.0, "dt": 1.0}, {"form": "current"}, cx.CurrentRNN(W, b, 0.5)),
    "torch, leaky": ({"weight_hh": W, "weight_ih": C, "bias": b}, RATE, cx.RateRNN(W, b, 0.3, C)),
    "full rank": (
        {"wrec": W, "wi": C.T, "si": u, "b": b, "h0": b, "wo": b[:, None]},
        {"alpha": 0.2},
        cx.CurrentRNN(W, b, 0.2, C * u),
    ),
    "low rank": ({"m": m, "n": n, "b_rec": b}, {"alpha": 0.2}, cx.LowRankRNN(m, n, b, 0.2)),
    "latent": ({"m": m, "n": n.T, "h": b, "Wu": C, "decay": 0.9}, {}, cx.ShallowPLRNN([0.9, 0.9], n.T, m, [0, 0], -b)),
    "latent, clipped": (
        {"m": m, "n": n.T, "h": b, "AW": [[[0.0]]]},
        {"clipped": True},
        cx.ClippedShallowPLRNN([np.exp(-1.0)] * 2, n.T, m, [0, 0], b),
    ),
    "Keras": ({"cell.recurrent_kernel": W.T, "cell.kernel": C.T, "cell.bias": b}, {}, cx.ReLURNN(W, b)),
    "Flax": ({"h.kernel": W.T, "i.kernel": C.T, "i.bias": b}, {}, cx.ReLURNN(W, b)),
    "nnx": ({"dense_h.kernel": W.T, "dense_i.kernel": C.T, "dense_i.bias": b}, RATE, cx.RateRNN(W, b, 0.3, C)),
    "PLRNN with inputs": ({"A": b, "W": W, "h": b, "C": C}, {}, cx.PLRNN(b, W, b)),
}


def as_json(path, arrays):
    path.write_text(json.dumps({name: np.asarray(array).tolist() for name, array in arrays.items()}))


def as_npz(path, arrays):
    with path.open("wb") as stream:
        np.savez(stream, **{name.replace(".", "/"): array for name, array in arrays.items()})


def as_npy(path, arrays):
    with path.open("wb") as stream:
        np.save(stream, {"weights": arrays}, allow_pickle=True)


def as_pickle(path, arrays):
    path.write_bytes(pickle.dumps({"weights": {name: np.asarray(array) for name, array in arrays.items()}}))


def as_old_pickle(path, arrays):
    path.write_bytes(pickle.dumps({name: np.asarray(array) for name, array in arrays.items()}, protocol=2))


def as_safetensors(path, arrays):
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, "<f8").tobytes()
        ends = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F64", "shape": list(np.shape(array)), "data_offsets": ends}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def as_hdf5(path, arrays):
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace(".", "/")] = array


def as_mat(path, arrays):
    nested: dict = {}
    for name, array in arrays.items():
        *above, last = name.split(".")
        inner = nested
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = array
    with path.open("wb") as stream:
        pytest.importorskip("scipy.io").savemat(stream, nested)


def as_bson(path, arrays):
    path.write_bytes(bson({name: julia(np.asarray(array, float)) for name, array in arrays.items()}))


CONTAINERS = (as_json, as_npz, as_npy, as_pickle, as_old_pickle, as_safetensors, as_hdf5, as_mat, as_bson)


@pytest.mark.parametrize("write", CONTAINERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_container(layout, write, tmp_path):
    arrays, said, expected = LAYOUTS[layout]
    write(tmp_path / "file", arrays)  # what is in a file decides, not its name
    assert_same(cx.load(tmp_path / "file", **said), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs(layout):
    """What the input weights of a file make of an input is added to the bias, whoever keeps them."""
    arrays, said, expected = LAYOUTS[layout]
    if layout in ("W, b", "low rank", "latent, clipped"):
        assert "does not say how an input enters" in message_of(cx.from_arrays, arrays, input=u, **said)
        return
    through = C * u if layout == "full rank" else C
    leaf = "h2" if layout == "latent" else expected.input_leaf
    found = cx.from_arrays(arrays, input=u, **said)
    np.testing.assert_allclose(getattr(found, leaf), getattr(expected, leaf) + through @ u, rtol=1e-13)
    if expected.input_matrix is not None:
        assert_same(found, expected.with_input(u))
    assert "input must have shape (3,) (from " in message_of(cx.from_arrays, arrays, input=u[:2], **said)


# -- what the weights do not tell --------------------------------------------------------------------------------------

TASK = {"h2h.weight": W, "h2h.bias": b, "input2h.weight": C}


def test_alpha_and_form_are_asked_for():
    message = message_of(cx.from_arrays, TASK, source="net.pt")
    assert message.startswith("net.pt: {h2h.weight, input2h.weight} is a leaky integrator, and neither its weights nor")
    assert "give alpha=, which is dt / tau, or alpha=1 for none (command line: --alpha)" in message
    assert "Found: h2h.weight (4, 4), h2h.bias (4,), input2h.weight (4, 3)." in message
    message = message_of(cx.from_arrays, TASK, alpha=0.2)
    assert (
        "its names do not tell where the ReLU stands: give form='rate' for z' = (1 - alpha) z + alpha relu" in message
    )
    assert "form='current' for z' = (1 - alpha) z + alpha (W relu(z) + b)" in message
    assert "Found: h2h.weight (4, 4)" in message


@pytest.mark.parametrize(
    ("arrays", "said", "message"),
    [
        (TASK, {"alpha": 0.2, "form": "relu"}, "form must be one of rate, current, rectified, got 'relu'"),
        (TASK, {"alpha": [0.1, 0.2], "form": "rate"}, "alpha must have shape"),
        (TASK, {"alpha": "slow", "form": "rate"}, "alpha is not an array of numbers"),
        ({"A": b, "W": W, "h": b}, {"alpha": 0.2}, "alpha and form do not apply to {A, W, h} (PLRNN)"),
        ({"m": W, "n": W, "b": b}, {"alpha": 0.5, "form": "rate"}, "does not apply to {m, n, b} (LowRankRNN)"),
        (
            {"model": "RateRNN", "W": W, "b": b},
            {"alpha": 0.1},
            "the entry model says all; num_gated, clipped, alpha and form",
        ),
        (TASK, {"clipped": True, "alpha": 1}, "clipped does not apply to {h2h.weight, input2h.weight}"),
        (TASK, {"num_gated": 2, "alpha": 1}, "num_gated does not apply to {h2h.weight, input2h.weight}"),
        ({"h2h.weight": np.ones((12, 4)), "input2h.weight": C}, {"alpha": 1}, "those of a GRU"),
    ],
)
def test_what_does_not_apply(arrays, said, message):
    assert message in message_of(cx.from_arrays, arrays, **said)


@pytest.mark.parametrize(
    "said",
    [
        {"alpha": 0.25},
        {"alpha": np.full(4, 0.25)},
        {"tau": 8.0, "dt": 2.0},
        {"tau": np.full(4, 8.0), "dt": np.array(2)},
        {"config": {"tau": 8, "dt": 2}},
    ],
)
def test_alpha_that_a_file_states(said):
    for arrays in ({**TASK, **said}, {"state_dict": TASK, **said}):
        model = cx.from_arrays(arrays, form="rate")
        np.testing.assert_array_equal(np.broadcast_to(model.alpha, 4), 0.25)
        assert_same(cx.from_arrays(arrays, form="rate", alpha=model.alpha), model)
        message = message_of(cx.from_arrays, arrays, form="rate", alpha=0.5)
        assert "would be left over, and may make another map" in message
    assert_same(cx.from_arrays({**TASK, "alpha": np.float32(0.1)}, form="rate", alpha=0.1), cx.RateRNN(W, b, 0.1, C))


def test_what_else_a_leaky_network_says():
    for said in ({"nonlinearity": "tanh"}, {"mask": np.eye(4)}, {"x0": b}, {"leak": 0.1}, {"tau": 3.0}, {"dt": 0.2}):
        (name,) = said
        assert f"fits, but {name}" in message_of(cx.from_arrays, {**TASK, **said}, alpha=0.2, form="rate")
    agreeing = {"nonlinearity": "relu", "W_out": b[None], "output_bias": b, "epoch": 3}
    assert_same(cx.from_arrays({**TASK, **agreeing}, alpha=0.2, form="rate"), cx.RateRNN(W, b, 0.2, C))
    low = {"m": m, "n": n, "b": b}
    assert "fits, but nonlinearity = 'tanh'" in message_of(cx.from_arrays, {**low, "nonlinearity": "tanh"}, alpha=0.2)
    assert "fits, but h (4,)" in message_of(cx.from_arrays, {**low, "extra": 1, "h": b}, alpha=0.2).replace(
        "h, known from other models,", "h (4,)"
    )


def test_sequences_of_leaky_networks():
    arrays = {**TASK, "h2h.weight": np.stack([W, 2 * W])}
    models = cx.from_arrays(arrays, alpha=0.2, form="rate", index=slice(None))
    for model, weights in zip(models, (W, 2 * W), strict=True):
        assert_same(model, cx.RateRNN(weights, b, 0.2, C))
    kernels = {"recurrent_kernel": np.stack([W.T, 2 * W.T]), "kernel": C.T}
    assert_same(cx.from_arrays(kernels, index=1, input=u), cx.ReLURNN(2 * W, C @ u))


# -- looking into a file -----------------------------------------------------------------------------------------------


def test_inspect(tmp_path, capsys):
    path = tmp_path / "net.bin"
    as_pickle(path, TASK)
    contents = cx.inspect(path)
    assert contents.container == "pickle"
    assert contents.entries["weights.h2h.weight"] == "(4, 4) float64"
    assert contents.model is None
    assert str(contents).splitlines()[0] == f"{path}: pickle, 3 entries"
    assert "not a network yet: {h2h.weight, input2h.weight} is a leaky integrator, and" in str(contents)
    assert cli.main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out == f"{contents}\n"
    assert cli.main(["inspect", str(path), "--alpha", "0.2", "--form", "rate"]) == 0
    assert "a network: RateRNN, 4 states, 4 gates, 3 inputs through C" in capsys.readouterr().out
    path.write_bytes(b"nothing")
    assert cli.main(["inspect", str(path)]) == 2
    assert "this is no network that can be read" in capsys.readouterr().err
    path.write_text("[1]")
    assert "list  [1]" in str(cx.inspect(path))
    assert "expected an object of names and arrays, got list" in str(cx.inspect(path))


@pytest.mark.parametrize("path", [path for path in FILES.iterdir() if path.suffix not in (".json", ".py")])
def test_inspect_looks_into_every_file(path, capsys):
    if path.is_file():
        assert cli.main(["inspect", str(path)]) == 0
        out = capsys.readouterr().out
        assert ("a network: " in out) or ("not a network yet: " in out)


def test_cycles_of_a_checkpoint_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "net"
    as_npz(path, {**TASK, "h2h.weight": W / 20})
    words = ["cycles", str(path), "--orders", "1", "--json", "--form", "rate"]
    assert cli.main(words) == 2
    assert "give alpha=, which is dt / tau" in capsys.readouterr().err
    assert cli.main([*words, "--alpha", "0.5", f"--input={','.join(map(str, u))}"]) == 0
    (cycle,) = json.loads(capsys.readouterr().out)["cycles"]
    (z,) = cycle["points"]
    np.testing.assert_allclose(z, np.maximum(W / 20 @ z + b + C @ u, 0), atol=1e-12)
    assert cli.main([*words, "--alpha", "some"]) == 2
    assert "'some' is no number, nor numbers with commas" in capsys.readouterr().err


def test_saved_networks_take_an_input_as_they_do_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    driven = cx.RateRNN(W=rng.normal(size=(3, 3)), b=rng.normal(size=3), alpha=0.3, C=rng.normal(size=(3, 2)))
    plain = cx.PLRNN(A=[0.5, 0.2], W=np.eye(2), h=[1.0, 2.0])
    for model, s in ((driven, [0.5, -1.0]), (plain, [1.0, 0.0])):
        cx.save(tmp_path / "model.json", model)
        loaded, expected = cx.load(tmp_path / "model.json", input=s), model.with_input(s)
        z = rng.normal(size=model.num_states)
        assert np.array_equal(loaded(z), expected(z))
    with pytest.raises(ValueError, match=r"model.json: input: expected shape \(2,\)"):
        cx.load(tmp_path / "model.json", input=[1.0])
    cx.save(tmp_path / "lozi.json", cx.LoziMap(1.4, 0.3))
    with pytest.raises(ValueError, match=r"lozi.json: input: LoziMap has no bias"):
        cx.load(tmp_path / "lozi.json", input=[1.0])
    with pytest.raises(TypeError, match=r"the path comes first: save\(path, model\)"):
        cx.save(plain, tmp_path / "model.json")
