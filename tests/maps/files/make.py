"""Make the files of this folder with the libraries that people use, and beside each what the library computes.

Each library has its own part, to be run where it is installed (none of them is needed for the tests):

    python make.py torch     torch, safetensors
    python make.py keras     keras (any backend; here with JAX), h5py
    python make.py flax      flax, safetensors
    python make.py numpy     numpy, h5py: what other programs write, by hand

`NAME.json` holds, for the file NAME: what is said of it (`stated`), the class (`model`) and its weights, states, and
the next states under `input`, as the library itself gives them, in float64.
"""

import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))
STATES, INPUTS, UNITS = 4, 2, 6
ALPHA = 0.3


def beside(name, model, step, states, weights, stated=None, u=None):
    """Write what the library computes beside a file."""
    plain = lambda value: np.asarray(value, np.float64).tolist()  # noqa: E731
    content = {
        "model": model,
        "stated": stated or {},
        "input": None if u is None else plain(u),
        "weights": {key: plain(value) for key, value in weights.items()},
        "states": plain(states),
        "next": [plain(step(state)) for state in np.asarray(states)],
    }
    (HERE / f"{name}.json").write_text(json.dumps(content))


def drawn(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, STATES)), rng.normal(size=INPUTS), rng


def of_torch():
    import safetensors.torch
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    states, u, _ = drawn(0)
    x = torch.tensor(u)[None]

    def numpy(tensor):
        return tensor.detach().double().numpy()

    # torch.nn.RNN and its cell, in float32.
    rnn = torch.nn.RNN(INPUTS, STATES, nonlinearity="relu")
    torch.save({"state_dict": rnn.state_dict(), "epoch": 3, "best": np.float64(0.25)}, HERE / "torch_rnn.pt")
    weights = {"W": numpy(rnn.weight_hh_l0), "b": numpy(rnn.bias_ih_l0) + numpy(rnn.bias_hh_l0)}
    weights["b"] = weights["b"] + numpy(rnn.weight_ih_l0) @ u
    beside(
        "torch_rnn.pt",
        "ReLURNN",
        lambda z: numpy(rnn(x[None], torch.tensor(z)[None, None])[0])[0, 0],
        states,
        weights,
        u=u,
    )
    cell = torch.nn.RNNCell(INPUTS, STATES, nonlinearity="relu", dtype=torch.float32)
    torch.save(cell.state_dict(), HERE / "torch_cell.bin")
    cell = cell.double()
    weights = {"W": numpy(cell.weight_hh), "b": numpy(cell.bias_ih) + numpy(cell.bias_hh) + numpy(cell.weight_ih) @ u}
    beside("torch_cell.bin", "ReLURNN", lambda z: numpy(cell(x, torch.tensor(z)[None]))[0], states, weights, u=u)

    class Task(torch.nn.Module):
        """Leaky networks as tutorials of neurogym write them; `rectified`: with the leak inside the ReLU."""

        def __init__(self, rectified=False):
            super().__init__()
            self.input2h, self.h2h = torch.nn.Linear(INPUTS, STATES), torch.nn.Linear(STATES, STATES)
            self.rectified = rectified

        def forward(self, u, h):
            pre = self.input2h(u) + self.h2h(h)
            if self.rectified:
                return torch.relu(h * (1 - ALPHA) + pre * ALPHA)
            return h * (1 - ALPHA) + torch.relu(pre) * ALPHA

    for name, form, model in (("neurogym.pt", "rate", "RateRNN"), ("tutorial.pkl", "rectified", "RectifiedRNN")):
        network = torch.nn.Module()
        network.rnn, network.fc = Task(form == "rectified"), torch.nn.Linear(STATES, 3)
        torch.save(network.state_dict(), HERE / name)
        own = network.rnn
        weights = {
            "W": numpy(own.h2h.weight),
            "b": numpy(own.h2h.bias) + numpy(own.input2h.bias),
            "C": numpy(own.input2h.weight),
            "alpha": ALPHA,
        }
        step = lambda z, own=own: numpy(own(x, torch.tensor(z)[None]))[0]  # noqa: E731
        bare = lambda z, own=own: numpy(own(0 * x, torch.tensor(z)[None]))[0]  # noqa: E731
        beside(name, model, bare, states, weights, {"alpha": ALPHA, "form": form})
        if form == "rate":
            safetensors.torch.save_file(network.state_dict(), HERE / "neurogym.safetensors", {"format": "pt"})
            driven = weights | {"b": weights["b"] + weights["C"] @ u}
            beside("neurogym.safetensors", model, step, states, driven, {"alpha": ALPHA, "form": form}, u)
    halves = {name: tensor.bfloat16() for name, tensor in rnn.state_dict().items()}
    safetensors.torch.save_file(halves, HERE / "bfloat16.safetensors")
    doubles = {name: numpy(tensor) for name, tensor in halves.items()}
    weights = {"W": doubles["weight_hh_l0"], "b": doubles["bias_ih_l0"] + doubles["bias_hh_l0"]}
    rnn.load_state_dict({name: torch.tensor(value) for name, value in doubles.items()})
    beside(
        "bfloat16.safetensors",
        "ReLURNN",
        lambda z: numpy(rnn(0 * x[None], torch.tensor(z)[None, None])[0])[0, 0],
        states,
        weights,
    )

    # nn4n: currents; trainRNNbrain and latent circuits: rates.
    hidden, layer = torch.nn.Linear(STATES, STATES), torch.nn.Linear(INPUTS, STATES)
    content = {f"hidden_layer.{key}": value for key, value in hidden.state_dict().items()}
    content |= {f"input_layer.{key}": value for key, value in layer.state_dict().items()}
    content |= {"hidden_state": torch.zeros(STATES)}
    torch.save({f"recurrent_layer.{key}": value for key, value in content.items()}, HERE / "nn4n.pth")
    weights = {
        "W": numpy(hidden.weight),
        "b": numpy(hidden.bias) + numpy(layer.bias),
        "C": numpy(layer.weight),
        "alpha": ALPHA,
    }

    def currents(z):
        z = torch.tensor(z)
        return numpy((1 - ALPHA) * z + ALPHA * (hidden(torch.relu(z)) + layer(0 * x[0])))

    beside("nn4n.pth", "CurrentRNN", currents, states, weights, {"alpha": ALPHA})
    plain = torch.nn.Linear(INPUTS, STATES, bias=False)
    content = {f"recurrent_layer.{key}": value for key, value in hidden.state_dict().items()}
    torch.save(content | {"input_layer.weight": plain.weight, "dt": 1, "tau": 4}, HERE / "latent_circuit.pt")
    weights = {"W": numpy(hidden.weight), "b": numpy(hidden.bias), "C": numpy(plain.weight), "alpha": 0.25}
    weights["b"] = weights["b"] + weights["C"] @ u
    rates = lambda z: 0.75 * z + 0.25 * numpy(torch.relu(hidden(torch.tensor(z)) + plain(x[0])))  # noqa: E731
    beside("latent_circuit.pt", "RateRNN", rates, states, weights, {"form": "rate"}, u)

    # Low rank: the full network of N units is run, and read in the coordinates of m.
    m, n, b, h0, wo = (torch.randn(*size) for size in ((UNITS, 2), (UNITS, 2), (UNITS,), (UNITS,), (UNITS, 1)))
    wi, si = torch.randn(INPUTS, UNITS), torch.rand(INPUTS)
    content = {"m": m, "n": n, "b": b, "wi": wi, "si": si, "wo": wo, "so": torch.ones(1), "h0": h0}
    torch.save(content, HERE / "low_rank.pt")

    def full(z):
        state = m @ torch.tensor(z)
        following = state + ALPHA * (-state + torch.relu(state + b).matmul(n).matmul(m.t()) / UNITS)
        return numpy(torch.linalg.lstsq(m, following[:, None])[0][:, 0])

    weights = {"m": numpy(m), "n": numpy(n), "b": numpy(b), "C": numpy(wi.t() * si), "alpha": ALPHA}
    beside("low_rank.pt", "LowRankRNN", full, states[:, :2], weights, {"alpha": ALPHA})
    decay, h, Wu = torch.log(-torch.log(torch.tensor([0.9]))), torch.randn(UNITS), torch.randn(UNITS, INPUTS)
    content = {"decay_param": decay, "n": n.t().contiguous(), "m": m, "h": h, "Wu": Wu}
    content = {f"transition.{key}": value for key, value in content.items()} | {"initial_state": torch.zeros(2)}
    torch.save(content | {"R_z": torch.eye(2)[0], "observation.B": torch.randn(2, 3)}, HERE / "vi_rnn.pkl")

    def latent(z):
        kept = torch.exp(-torch.exp(decay))
        return numpy(kept * torch.tensor(z) + n.t() @ torch.relu(m @ torch.tensor(z) + Wu @ x[0] - h))

    weights = {"W1": numpy(n).T, "W2": numpy(m), "h1": np.zeros(2), "h2": -numpy(h) + numpy(Wu) @ u}
    beside("vi_rnn.pkl", "ShallowPLRNN", latent, states[:, :2], weights, u=u)


def of_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_enable_x64", True)
    import keras

    keras.backend.set_floatx("float64")
    keras.utils.set_random_seed(0)
    states, u, _ = drawn(1)

    def network(layer):
        return keras.Sequential([keras.Input((None, INPUTS)), layer, keras.layers.Dense(1)])

    layer = keras.layers.SimpleRNN(STATES, activation="relu", name="cells", bias_initializer="normal")
    model = network(layer)
    model.save_weights(HERE / "keras.weights.h5")
    model.save(HERE / "keras.keras")
    model.save(HERE / "keras_whole.h5")
    kernel, recurrent, bias = (np.asarray(value) for value in layer.get_weights())
    weights = {"W": recurrent.T, "b": bias + kernel.T @ u}
    step = lambda z: np.asarray(layer.cell(u[None], [z[None]])[0])[0]  # noqa: E731
    for name in ("keras.weights.h5", "keras.keras", "keras_whole.h5"):
        beside(name, "ReLURNN", step, states, weights, u=u)
    network(keras.layers.SimpleRNN(STATES)).save(HERE / "keras_tanh.keras")
    network(keras.layers.GRU(STATES)).save_weights(HERE / "keras_gru.weights.h5")
    named = {"cell/kernel": kernel, "cell/recurrent_kernel": recurrent, "cell/bias": bias}
    np.savez(HERE / "keras_named.npz", **named)
    beside("keras_named.npz", "ReLURNN", step, states, weights, u=u)


def of_flax():
    import flax.linen as nn
    import jax
    import safetensors.flax

    jax.config.update("jax_enable_x64", True)
    states, u, _ = drawn(2)
    cell = nn.SimpleCell(STATES, activation_fn=nn.relu, dtype="float64", param_dtype="float64")
    variables = cell.init(jax.random.key(0), np.zeros(STATES), np.zeros(INPUTS))
    params = {"params": jax.tree.map(lambda leaf: leaf + 0.1, variables["params"])}
    with open(HERE / "flax.pkl", "wb") as stream:
        pickle.dump(params, stream)
    flat = {f"{above}/{name}": value for above, inner in params["params"].items() for name, value in inner.items()}
    np.savez(HERE / "flax.npz", **flat)
    safetensors.flax.save_file(
        {f"params.{name.replace('/', '.')}": value for name, value in flat.items()}, HERE / "flax.safetensors"
    )
    kernel, inputs, bias = (np.asarray(flat[name]) for name in ("h/kernel", "i/kernel", "i/bias"))
    weights = {"W": kernel.T, "b": bias + inputs.T @ u}
    step = lambda z: np.asarray(cell.apply(params, z, u)[0])  # noqa: E731
    for name in ("flax.pkl", "flax.npz", "flax.safetensors"):
        beside(name, "ReLURNN", step, states, weights, u=u)


def of_numpy():
    import h5py

    states, u, rng = drawn(3)
    relu = lambda value: np.maximum(value, 0)  # noqa: E731
    W, C, b = rng.normal(size=(STATES, STATES)), rng.normal(size=(STATES, INPUTS)), rng.normal(size=STATES)
    kept = {"W": W, "b": b, "C": C, "alpha": ALPHA}

    # trainRNNbrain: a pickled dict of arrays, with dt and tau; others name them in small letters.
    content = {"W_rec": W, "W_inp": C, "W_out": np.ones((1, STATES)), "bias_rec": None, "y_init": np.zeros(STATES)}
    with open(HERE / "train_rnn_brain.pkl", "wb") as stream:
        pickle.dump({**content, "N": STATES, "dt": 3, "tau": 10.0, "activation_name": "relu"}, stream)
    step = lambda z: 0.7 * z + 0.3 * relu(W @ z + C @ u)  # noqa: E731
    weights = kept | {"b": C @ u, "alpha": 3 / 10.0}
    beside("train_rnn_brain.pkl", "RateRNN", step, states, weights, {"form": "rate"}, u)
    np.savez(HERE / "small_letters.npz", w_rec=W, w_inp=C, b_rec=b)
    step = lambda z: 0.7 * z + 0.3 * (W @ relu(z) + b)  # noqa: E731
    beside("small_letters.npz", "CurrentRNN", step, states, kept, {"alpha": ALPHA, "form": "current"})

    # PsychRNN: masks and Dale's law beside the weights, and objects in the archive.
    mask = (rng.random((STATES, STATES)) < 0.7).astype(float)
    for name, dale in (("psychrnn.npz", None), ("psychrnn_dale.npz", 0.5)):
        signs = np.diag(np.where(np.arange(STATES) < STATES * (dale or 1), 1.0, -1.0))
        effective, through = (W * mask, C) if dale is None else (np.abs(W) * mask @ signs, np.abs(C))
        np.savez(
            HERE / name,
            W_rec=W,
            W_in=C,
            W_out=np.ones((1, STATES)),
            b_rec=b,
            b_out=np.ones(1),
            init_state=np.ones((1, STATES)),
            rec_connectivity=mask,
            input_connectivity=np.ones((STATES, INPUTS)),
            output_connectivity=np.ones((1, STATES)),
            Dale_rec=signs,
            Dale_out=signs,
            dale_ratio=np.array(dale, dtype=object),
        )
        step = lambda z, W=effective, C=through: 0.7 * z + 0.3 * (W @ relu(z) + C @ u + b)  # noqa: E731
        weights = kept | {"W": effective, "C": through, "b": b + through @ u}
        beside(name, "CurrentRNN", step, states, weights, {"alpha": ALPHA}, u)

    # MATLAB 7.3, as `save(..., '-v7.3')` lays it out: a block of 512 bytes, and axes the other way around.
    A, h1, h2 = rng.uniform(size=STATES), rng.normal(size=STATES), rng.normal(size=UNITS)
    W1, W2 = rng.normal(size=(STATES, UNITS)), rng.normal(size=(UNITS, STATES))
    shallow = {"A": A, "W1": W1, "W2": W2, "h1": h1, "h2": h2}
    step = lambda z: A * z + W1 @ relu(W2 @ z + h2) + h1  # noqa: E731
    with h5py.File(HERE / "matlab73.mat", "w", userblock_size=512, libver="earliest") as file:
        net = file.create_group("net")
        net.attrs["MATLAB_class"] = np.bytes_("struct")
        for name, value in shallow.items():
            net[name] = np.atleast_2d(value) if value.ndim == 1 else value.T  # a column is one row here
            net[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["note"] = np.array([[ord(letter)] for letter in "trained in May"], np.uint16)
        file["note"].attrs["MATLAB_class"] = np.bytes_("char")
    _head(HERE / "matlab73.mat", b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    beside("matlab73.mat", "ShallowPLRNN", step, states, shallow)
    # JLD2: Julia's arrays stand column by column, so that h5py sees their axes the other way around.
    with h5py.File(HERE / "arrays.jld2", "w", userblock_size=512) as file:
        for name, value in shallow.items():
            file[name] = value.T
        file["note"] = "trained in May"
    _head(HERE / "arrays.jld2", b"HDF5-based Julia Data Format, version 0.1.1 (Julia 1.10.4) on x86_64\x00")
    beside("arrays.jld2", "ShallowPLRNN", step, states, shallow)
    with h5py.File(HERE / "struct.jld2", "w", userblock_size=512) as file:
        kinds = np.dtype([(name, h5py.ref_dtype) for name in ("A", "W₁", "W₂", "h₁", "h₂")])
        row = np.zeros((), kinds)
        for name, value in zip(kinds.names, shallow.values(), strict=True):
            row[name] = file.create_dataset(f"_refs/{name}", data=value.T).ref
        file.create_dataset("model", data=row, dtype=kinds)
    _head(HERE / "struct.jld2", b"HDF5-based Julia Data Format, version 0.1.1 (Julia 1.10.4) on x86_64\x00")
    beside("struct.jld2", "ShallowPLRNN", step, states, shallow)

    # BSON.jl: `@save "model.bson" model` of a trainer's struct, in float32, and named arrays.
    from bson_files import bson, datatype, dictionary, julia, struct_of

    single = {name: value.astype(np.float32) for name, value in shallow.items()}
    float32 = datatype("Core", "Float32")
    vector, matrix = (datatype("Core", "Array", params=[float32, axes]) for axes in (1, 2))
    kind = datatype("Main", "GTF", "PLRNNs", "shallowPLRNN", params=[vector, matrix])
    fields = [julia(value) for value in single.values()]
    (HERE / "trainer.bson").write_bytes(bson({"model": struct_of(kind, *fields, None), "epoch": 7}))
    one = {name: value.astype(float) for name, value in single.items()}
    step = lambda z: one["A"] * z + one["W1"] @ relu(one["W2"] @ z + one["h2"]) + one["h1"]  # noqa: E731
    beside("trainer.bson", "ShallowPLRNN", step, states, single)
    clipped = kind | {"name": ["Main", "GTF", "PLRNNs", "clippedShallowPLRNN"]}
    named = {"tag": "backref", "ref": 1}
    document = struct_of(named, *fields, julia(C.astype(np.float32)))
    (HERE / "clipped.bson").write_bytes(bson({"model": document, "_backrefs": [clipped]}))
    driven = single | {"h1": one["h1"] + C.astype(np.float32).astype(float) @ u}

    def step(z):
        hidden = one["W2"] @ z
        return one["A"] * z + one["W1"] @ (relu(hidden + one["h2"]) - relu(hidden)) + driven["h1"]

    beside("clipped.bson", "ClippedShallowPLRNN", step, states, driven, u=u)
    content = {"A": A, "W": W, "h": h1}
    weights = dictionary({name: julia(value) for name, value in content.items()})
    (HERE / "dict.bson").write_bytes(bson({"weights": weights}))
    step = lambda z: A * z + W @ relu(z) + h1  # noqa: E731
    beside("dict.bson", "PLRNN", step, states, content)


def _head(path, text):
    with open(path, "r+b") as stream:
        stream.write(text)


if __name__ == "__main__":
    {"torch": of_torch, "keras": of_keras, "flax": of_flax, "numpy": of_numpy}[sys.argv[1]]()
