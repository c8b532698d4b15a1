"""Published weights: names make the right model, PyTorch's files are read without PyTorch, and nothing in them runs."""

import json
import pickle
import re
import struct
import sys
import zipfile
import zlib
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import conftest
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_files import Call, Global, Set, Storage, pickled, tensor, write, write_arrays

import cyclax as cx
from cyclax import cli
from cyclax.maps.io.layouts import LAYOUTS
from cyclax.maps.io.mat_file import read_mat
from cyclax.maps.io.registry import MODELS, to_dict
from cyclax.maps.io.torch_file import read_torch

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

rng = np.random.default_rng(0)
PLRNN = {"A": rng.uniform(size=3), "W": rng.normal(size=(3, 3)), "h": rng.normal(size=3)}
SHALLOW = {
    "A": rng.uniform(size=3),
    "W1": rng.normal(size=(3, 5)),
    "W2": rng.normal(size=(5, 3)),
    "h1": rng.normal(size=3),
    "h2": rng.normal(size=5),
}
DENDRITIC = {
    "AW": rng.normal(size=(3, 3)),
    "h": rng.normal(size=3),
    "alphas": rng.normal(size=4),
    "thetas": rng.normal(size=(3, 4)),
}
RNN = {
    "weight_ih_l0": rng.normal(size=(4, 2)),
    "weight_hh_l0": rng.normal(size=(4, 4)),
    "bias_ih_l0": rng.normal(size=4),
    "bias_hh_l0": rng.normal(size=4),
}
STATE = rng.normal(size=3)


def relu(x):
    return np.maximum(x, 0)


def step(model, z=STATE):
    with jax.enable_x64(True):
        return np.asarray(model(jnp.asarray(z)))


def assert_same(one, other):
    assert type(one) is type(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert mine.dtype == np.float64
        np.testing.assert_array_equal(mine, theirs)


def message_of(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- names -------------------------------------------------------------------------------------------------------------


def test_plrnn():
    model = cx.from_arrays(PLRNN)
    assert type(model) is cx.PLRNN
    np.testing.assert_allclose(step(model), PLRNN["A"] * STATE + PLRNN["W"] @ relu(STATE) + PLRNN["h"])
    matrix = cx.from_arrays({**PLRNN, "A": np.diag(PLRNN["A"])})
    assert matrix.A.shape == (3, 3)
    np.testing.assert_allclose(step(matrix), step(model))


@pytest.mark.parametrize("given", [{"num_gated": 2}, {"P": 2}, {"num_gated": np.array([[2.0]])}])
@pytest.mark.parametrize("readout", [{}, {"B": np.ones((7, 3))}])
def test_almost_linear(given, readout):
    by_entry = cx.from_arrays({**PLRNN, **readout, **given})
    by_option = cx.from_arrays({**PLRNN, **readout}, num_gated=2)
    assert_same(by_entry, by_option)
    for nested in ({"net": {"rnn": {**PLRNN, **readout}}, **given}, {"net": {"rnn": {**PLRNN, **readout}, **given}}):
        assert_same(cx.from_arrays(nested), by_option)
    gated = np.concatenate([STATE[:1], relu(STATE[1:])])
    np.testing.assert_allclose(step(by_entry), PLRNN["A"] * STATE + PLRNN["W"] @ gated + PLRNN["h"])


def test_a_readout_asks_for_the_number_of_gated_states():
    message = message_of(cx.from_arrays, {**PLRNN, "B": np.ones((7, 3))})
    assert "give num_gated=P (command line: --num-gated P)" in message
    # All of them gated is the PLRNN.
    every = cx.from_arrays({**PLRNN, "B": np.ones((7, 3))}, num_gated=3)
    np.testing.assert_allclose(step(every), step(cx.PLRNN(**PLRNN)))


def test_shallow():
    model = cx.from_arrays(SHALLOW)
    assert type(model) is cx.ShallowPLRNN
    A, W1, W2, h1, h2 = SHALLOW.values()
    np.testing.assert_allclose(step(model), A * STATE + W1 @ relu(W2 @ STATE + h2) + h1)
    clipped = cx.from_arrays(SHALLOW, clipped=True)
    assert type(clipped) is cx.ClippedShallowPLRNN
    np.testing.assert_allclose(step(clipped), A * STATE + W1 @ (relu(W2 @ STATE + h2) - relu(W2 @ STATE)) + h1)
    for given in (True, np.array([[1.0]])):
        assert_same(cx.from_arrays({"state": SHALLOW, "clipped": given}), clipped)
    assert_same(cx.from_arrays({"state": SHALLOW, "clipped": False}), model)
    assert_same(cx.from_arrays({"state": SHALLOW, "clipped": True}, clipped=False), model)


def test_dendritic():
    AW, h, alphas, thetas = DENDRITIC.values()
    A, W = np.diag(AW), AW - np.diag(np.diag(AW))
    names = {f"latent_model.latent_step.{name}": array for name, array in DENDRITIC.items()}
    model = cx.from_arrays({**names, "observation_model.B": np.ones((7, 3))})
    assert type(model) is cx.DendriticPLRNN
    basis = (alphas * relu(STATE[:, None] + thetas)).sum(axis=1)
    np.testing.assert_allclose(step(model), A * STATE + W @ basis + h)
    np.testing.assert_array_equal(np.diag(model.W), 0)
    clipped = cx.from_arrays(names, clipped=True)
    assert type(clipped) is cx.ClippedDendriticPLRNN
    basis = (alphas * (relu(STATE[:, None] + thetas) - relu(STATE)[:, None])).sum(axis=1)
    np.testing.assert_allclose(step(clipped), A * STATE + W @ basis + h)
    plain = cx.from_arrays({"AW": AW, "h": h})
    assert_same(plain, cx.PLRNN(A=A, W=W, h=h))


@pytest.mark.parametrize("suffix", ["_l0", ""])
def test_torch_rnn(suffix):
    names = {f"{name.removesuffix('_l0')}{suffix}": array for name, array in RNN.items()}
    W_ih, W_hh, b_ih, b_hh = RNN.values()
    z, x = rng.normal(size=4), rng.normal(size=2)
    model = cx.from_arrays({f"module.rnn.{name}": array for name, array in names.items()} | {"fc.weight": np.eye(4)})
    assert type(model) is cx.ReLURNN
    np.testing.assert_allclose(step(model, z), relu(W_hh @ z + b_ih + b_hh))
    driven = cx.from_arrays(names, input=x)
    np.testing.assert_allclose(step(driven, z), relu(W_hh @ z + W_ih @ x + b_ih + b_hh))
    without_bias = cx.from_arrays({name: array for name, array in names.items() if name.startswith("weight")})
    np.testing.assert_allclose(step(without_bias, z), relu(W_hh @ z))


@pytest.mark.parametrize("name", conftest.MODELS)
def test_our_own_fields(name):
    """The fields decide; of classes that share them, the first; the class can always be named."""
    model = conftest.MODELS[name]()
    content = to_dict(model)
    assert_same(cx.from_arrays(content), model)
    del content["model"]
    first = {"MeanCenteredPLRNN": "PLRNN"}
    kind = type(model).__name__
    form = {"RateRNN": "rate", "CurrentRNN": "current", "RectifiedRNN": "rectified"}.get(kind)
    if form is not None:
        assert "give form='rate'" in message_of(cx.from_arrays, content)
    if all(np.ndim(value) == 0 for value in content.values()):
        assert "no known weights" in message_of(cx.from_arrays, content)
    elif kind in first:
        assert_same(cx.from_arrays(content), MODELS[first[kind]](**content))
    else:
        assert_same(cx.from_arrays(content, clipped=True if "Clipped" in kind else None, form=form), model)


class Tensor:
    """What cyclax knows of a PyTorch tensor."""

    requires_grad = True

    def __init__(self, array, *, bfloat16=False, chain=()):
        self.array, self.bfloat16, self.chain, self.shape = array, bfloat16, chain, np.shape(array)

    def __array__(self, *arguments, **options):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    def detach(self):
        return Tensor(self.array, bfloat16=self.bfloat16, chain=(*self.chain, "detach"))

    def cpu(self):
        return Tensor(self.array, bfloat16=self.bfloat16, chain=(*self.chain, "cpu"))

    def float(self):
        return Tensor(np.float32(self.array), chain=self.chain)

    def numpy(self):
        if self.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        assert self.chain == ("detach", "cpu")
        return self.array


def test_kinds_of_arrays():
    single = {name: array.astype(np.float32) for name, array in PLRNN.items()}
    expected = cx.PLRNN(**single)
    assert_same(cx.from_arrays(single), expected)
    assert_same(cx.from_arrays(OrderedDict(single)), expected)
    assert_same(cx.from_arrays({name: jnp.asarray(array) for name, array in single.items()}), expected)
    assert_same(cx.from_arrays({name: array.tolist() for name, array in single.items()}), expected)
    assert_same(cx.from_arrays({name: Tensor(array) for name, array in single.items()}), expected)
    half = {name: jnp.asarray(array, jnp.bfloat16) for name, array in PLRNN.items()}
    expected = cx.PLRNN(**{name: array.astype(np.float32) for name, array in half.items()})
    assert_same(cx.from_arrays(half), expected)
    tensors = {name: Tensor(np.float32(array), bfloat16=True) for name, array in half.items()}
    assert_same(cx.from_arrays(tensors), expected)
    assert_same(
        cx.from_arrays({**tensors, "P": Tensor(np.array(2))}),
        cx.AlmostLinearRNN(expected.A, expected.W, expected.h, num_gated=2),
    )


@pytest.mark.parametrize("above", ["rnn.", "module.", "a.b.c."])
def test_where_the_weights_are(above):
    expected = cx.PLRNN(**PLRNN)
    prefixed = {f"{above}{name}": array for name, array in PLRNN.items()}
    assert_same(cx.from_arrays({**prefixed, "epoch": 7, "decoder.weight": np.eye(2), "note": "hello"}), expected)
    for key in ("state_dict", "model_state_dict", "model"):
        checkpoint = {key: prefixed, "epoch": 7, "optimizer": {"state": {0: {"exp_avg": np.eye(3)}}}, "history": [1.0]}
        assert_same(cx.from_arrays(checkpoint), expected)
        assert_same(cx.from_arrays({**checkpoint, "same": prefixed}), expected)
    endless: dict = dict(prefixed)
    endless["self"] = endless
    assert_same(cx.from_arrays(endless), expected)


def test_several_networks():
    arrays = {"encoder": {"rnn": PLRNN}, "decoder.rnn": SHALLOW, **RNN}
    message = message_of(cx.from_arrays, arrays)
    assert "several networks, below '', 'decoder.rnn', 'encoder.rnn'; pick one with prefix='encoder.rnn'" in message
    assert_same(cx.from_arrays(arrays, prefix="encoder"), cx.PLRNN(**PLRNN))
    assert_same(cx.from_arrays(arrays, prefix="encoder.rnn."), cx.PLRNN(**PLRNN))
    assert_same(cx.from_arrays(arrays, prefix="decoder"), cx.ShallowPLRNN(**SHALLOW))
    assert_same(cx.from_arrays(arrays, prefix=""), cx.from_arrays(RNN))
    message = message_of(cx.from_arrays, arrays, prefix="enc")
    assert "no known weights below 'enc', but at the top level, below 'decoder.rnn', below 'encoder.rnn'" in message


def test_nothing_fits():
    message = message_of(
        cx.from_arrays, {"net.A": np.ones(3), "net.W1": np.ones((3, 4)), "w2": Tensor(np.ones((4, 3)))}
    )
    assert "Found: net.A (3,), net.W1 (3, 4), w2 (4, 3)." in message
    assert "Nearest: {A, W1, W2, h1, h2} (ShallowPLRNN), missing: W2, h1, h2." in message
    for known in ("{A, W, h} (PLRNN)", "{A, U, V, h} (LowRankPLRNN)", "{AW, h, alphas, thetas} (DendriticPLRNN)"):
        assert known in message
    assert "Found: nothing. Known:" in message_of(cx.from_arrays, {})
    many = message_of(cx.from_arrays, {f"layer{i}": np.ones(2) for i in range(100)})
    assert "layer29 (2,) and 70 more." in many


def test_the_documented_table():
    page = (Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md").read_text()
    for layout in LAYOUTS:
        if "weight_hh" not in layout.needs:  # "the same without `_l0`"
            assert f"`{', '.join(layout.needs)}`" in page
        assert f"`{layout.model}`" in page


def gates_of(factor: int) -> dict:
    return {"weight_hh_l0": np.ones((4 * factor, 4)), "weight_ih_l0": np.ones((4 * factor, 2))}


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([PLRNN], {}, "expected an object of names and arrays, got list"),
        ({**PLRNN, "W": "x"}, {}, "W is not an array of numbers"),
        ({**PLRNN, "W": PLRNN["W"] * 1j}, {}, "W is not an array of numbers"),
        ({**PLRNN, "W": np.ones((2, 2))}, {}, "h must have shape|W must have shape"),
        ({**PLRNN, "P": 1.5}, {}, "num_gated (P) is not an integer, but 1.5"),
        ({**PLRNN, "P": np.array([[1.5]])}, {}, "num_gated (P) is not an integer, but array([[1.5]])"),
        ({**PLRNN, "P": True}, {}, "num_gated (P) is not an integer, but True"),
        ({**PLRNN, "clipped": "yes"}, {}, "clipped is not an array of numbers"),
        (PLRNN, {"clipped": True}, "clipped does not apply to {A, W, h} (PLRNN)"),
        (PLRNN, {"num_gated": 4}, "num_gated: expected an int from 1 to 3, got 4"),
        (SHALLOW, {"num_gated": 2}, "num_gated does not apply to {A, W1, W2, h1, h2} (ShallowPLRNN)"),
        (PLRNN, {"input": [1.0]}, "does not say how an input enters; use model.with_input"),
        (RNN, {"input": [1.0]}, "input must have shape (2,) (from weight_ih_l0), got (1,)"),
        (PLRNN, {"index": 0}, "index does not apply: this is one model"),
        (gates_of(4), {}, "those of an LSTM, which is not piecewise-linear"),
        ({**gates_of(1), "weight_hr_l0": np.ones((2, 4))}, {}, "those of an LSTM"),
        (gates_of(3), {}, "those of a GRU, which is not piecewise-linear"),
        ({**RNN, "weight_hh_l1": np.eye(4)}, {}, "has several layers"),
        ({**RNN, "weight_hh_l0_reverse": np.eye(4)}, {}, "is bidirectional"),
        ({**RNN, "bias_hh_l0": np.ones(1)}, {}, "the weights must have equally many rows, got {'weight_hh_l0': 4"),
        ({**RNN, "weight_hh_l0": np.ones(4)}, {}, "weight_hh_l0 must have shape"),
        (
            {k: v for k, v in DENDRITIC.items() if k != "thetas"},
            {},
            "{AW, h} (PLRNN) fits, but alphas, known from other",
        ),
        ({**PLRNN, "U": np.ones((3, 1)), "V": np.ones((1, 3))}, {}, "W, known from other models, would be left over"),
        ({**DENDRITIC, "AW": np.ones((3, 2))}, {}, "AW must be square, got shape (3, 2)"),
        ({**PLRNN, "model": "PLRNN"}, {"num_gated": 2}, "the entry model says all"),
        ({**PLRNN, "model": "PLRN"}, {}, "Did you mean 'PLRNN'?"),
        ({"model": "PLRNN", "A": [1.0]}, {}, "missing: W, h"),
    ],
)
def test_refused(arrays, options, message):
    found = message_of(cx.from_arrays, arrays, source="weights.pt", **options)
    assert found.startswith("weights.pt: ")
    assert any(part in found for part in message.split("|")), found


# -- what else a file says ---------------------------------------------------------------------------------------------

PLAIN = {"W": RNN["weight_hh_l0"], "b": RNN["bias_hh_l0"]}
CELL = {name.removesuffix("_l0"): array for name, array in RNN.items() if name.startswith("weight")}
STATES = np.arange(4.0)
MASK = np.array([[1, 1, 0, 1]] * 4)


@pytest.mark.parametrize("above", ["", "rnn.", "model.rnn."])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nonlinearity", "tanh"),
        ("nonlinearity", np.array("tanh")),
        ("NonLinearity", "softplus"),
        ("activation", None),
        ("activation_fn", "torch.nn.Tanh()"),
        ("act", np.tanh),
        ("activation", "leaky_relu"),
        ("tau", 100.0),
        ("tau_m", STATES + 1),
        ("time_constant", [10.0] * 4),
        ("dt", 0.1),
        ("deltaT", 0.1),
        ("alpha", 0.2),
        ("Alpha", [0.2, 1, 1, 1]),
        ("leak", 0.5),
        ("leak", 1),
        ("leaky", True),
        ("leak_rate", 0.9),
        ("decay", 0.9),
        ("mask", MASK),
        ("dale_mask", [1.0, 1, 1, -1]),
        ("dale", True),
        ("bias", STATES),
        ("rec_bias", STATES[:, None]),
        ("bias", 0.5),
        ("negative_slope", 0.01),
        ("x0", STATES),
        ("D", np.eye(4)),
        ("noise", [1.0, 2.0, 3.0, 4.0]),
        ("h", STATES),
    ],
)
def test_what_may_make_another_map_is_refused_by_name(above, name, value):
    weights = {f"{above}{key}": array for key, array in PLAIN.items()}
    full = f"{above}{name}"
    message = message_of(cx.from_arrays, {**weights, full: value}, source="w.npz")
    assert message.startswith(f"w.npz: {{W, b}} (ReLURNN) fits, but {full}")
    assert f"give ignore={full!r} (command line: --ignore {full})" in message
    for ignore in (full, name, [name]):
        assert_same(cx.from_arrays({**weights, full: value}, ignore=ignore), cx.ReLURNN(**PLAIN))


@pytest.mark.parametrize("above", ["", "rnn."])
@pytest.mark.parametrize(
    "said",
    [
        {"nonlinearity": "relu"},
        {"nonlinearity": np.array("ReLU")},
        {"activation": "torch.nn.ReLU()"},
        {"activation": jax.nn.relu},
        {"tau": 10.0, "dt": 10},
        {"tau": [2.0] * 4, "dt": np.array(2.0)},
        {"tau": 1},
        {"dt": 1.0},
        {"alpha": np.ones(4)},
        {"alpha": 1},
        {"leak": False},
        {"leak_rate": 1.0},
        {"leak": None},
        {"mask": np.ones((4, 4))},
        {"mask": None},
        {"dale": False},
        {"bias": np.zeros(4)},
        {"bias": True},
        {"readout_bias": np.ones(7)},
        {"negative_slope": 0.0},
        {"weight_decay": 0.1},
        {"activations": np.ones((100, 4))},
        {"states": np.ones((100, 4))},
        {"W_out": np.ones((2, 4))},
        {"epoch": 4, "losses": [0.5, 0.25], "note": "trained", "stuff": {"tau": 3, "x0": STATES}},
    ],
)
def test_what_agrees_is_heard(above, said):
    given = {f"{above}{name}": value for name, value in {**PLAIN, **said}.items()}
    assert_same(cx.from_arrays(given), cx.ReLURNN(**PLAIN))


def test_masks_that_change_nothing():
    masked = {**PLAIN, "W": PLAIN["W"] * MASK}
    assert_same(cx.from_arrays({**masked, "mask": MASK}), cx.ReLURNN(**masked))
    assert "mask (4, 4) would be left over" in message_of(cx.from_arrays, {**masked, "mask": 1 - MASK})
    assert "mask (4, 4) would be left over" in message_of(cx.from_arrays, {**masked, "mask": -MASK})


def test_what_is_said_above_and_in_settings():
    nested = {"state_dict": {f"rnn.{name}": array for name, array in RNN.items()}}
    for said, name in (
        ({"nonlinearity": "tanh"}, "nonlinearity"),
        ({"hyper_parameters": {"nonlinearity": "tanh", "alpha": 0.1, "dt": 0.1}}, "hyper_parameters.nonlinearity"),
        ({"config": {"tau": 100.0, "dt": 10.0}}, "config.tau"),
    ):
        message = message_of(cx.from_arrays, {**nested, **said})
        assert f"fits, but {name} = " in message
        assert "alpha" not in message
        assert type(cx.from_arrays({**nested, **said}, ignore=name)) is cx.ReLURNN
    # Settings of training, of another network, and what agrees.
    for said in (
        {"args": {"alpha": 0.1, "decay": 0.9}},
        {"other": {"config": {"tau": 5}}},
        {"config": {"tau": 2, "dt": 2}},
    ):
        assert type(cx.from_arrays({**nested, **said})) is cx.ReLURNN


def test_slopes_and_sequences():
    leaky = {**PLAIN, "slope": 0.1}
    for said in ({"nonlinearity": "leaky_relu"}, {"negative_slope": 0.1}):
        assert_same(cx.from_arrays({**leaky, **said}), cx.LeakyReLURNN(**leaky))
    for said in ({"nonlinearity": "relu"}, {"negative_slope": 0.2}):
        assert "would be left over" in message_of(cx.from_arrays, {**leaky, **said})
    several = stacked(PLAIN, 3, "W")
    assert "c (3, 4)" in message_of(cx.from_arrays, {**several, "c": np.ones((3, 4))}, index=0)
    assert_same(cx.from_arrays({**several, "c": np.ones((5, 4))}, index=0), cx.ReLURNN(**PLAIN))


def test_the_bias_of_a_cell():
    """Cells of other libraries have one bias, and in a plain RNN there is one place for it."""
    W, U, x = CELL["weight_hh"], CELL["weight_ih"], np.array([0.5, -1.0])
    assert_same(cx.from_arrays({**CELL, "bias": STATES}), cx.ReLURNN(W, STATES))
    assert_same(cx.from_arrays({**CELL, "bias": STATES}, input=x), cx.ReLURNN(W, STATES + U @ x))
    message = message_of(cx.from_arrays, {**CELL, "bias": STATES, "bias_hh": STATES})
    assert "of bias_hh, bias, which is the bias? Leave the others out by ignore=" in message
    assert_same(cx.from_arrays({**CELL, "bias": STATES, "bias_hh": STATES}, ignore="bias_hh"), cx.ReLURNN(W, STATES))
    gru = {"weight_hh": np.ones((12, 4)), "weight_ih": np.ones((12, 2)), "bias": np.ones(12), "bias_n": np.ones(4)}
    assert "those of a GRU" in message_of(cx.from_arrays, gru)


def test_ignore():
    message = message_of(cx.from_arrays, {**PLAIN, "tau": 5.0}, ignore="tua")
    assert "ignore: there is no entry 'tua'; did you mean 'tau'?" in message
    assert_same(cx.from_arrays({**PLAIN, "old": {"W": np.eye(2), "b": [0, 0]}}, ignore="old"), cx.ReLURNN(**PLAIN))
    named = {"model": "PLRNN", **PLRNN, "note": "mine"}
    assert "PLRNN has no note" in message_of(cx.from_arrays, named)
    assert_same(cx.from_arrays(named, ignore=("note",)), cx.PLRNN(**PLRNN))


def test_all_gated():
    given = {**PLRNN, "B": np.eye(3)}
    message = message_of(cx.from_arrays, given)
    assert "beside a read-out B may be an almost-linear RNN" in message
    assert "for a PLRNN, where all of them do, num_gated='all' (--num-gated all)" in message
    assert_same(cx.from_arrays(given, num_gated="all"), cx.PLRNN(**PLRNN))
    assert "num_gated does not apply" in message_of(cx.from_arrays, SHALLOW, num_gated="all")


def test_sparse_weights_are_refused():
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(PLRNN["W"])
    wanted = r"it is sparse \(csr_matrix\): give the dense array, its .toarray\(\)"
    with pytest.raises(ValueError, match=f"W: expected an array of real numbers; {wanted}"):
        cx.PLRNN(**{**PLRNN, "W": sparse})
    assert re.search(rf"W is not an array of numbers \({wanted}", message_of(cx.from_arrays, {**PLRNN, "W": sparse}))
    assert_same(cx.PLRNN(**{**PLRNN, "W": sparse.toarray()}), cx.PLRNN(**PLRNN))


def test_masked_entries_are_refused():
    masked = np.ma.masked_equal(np.arange(3.0), 1)
    for bad, at in ((masked, "[1]"), ([masked, masked, masked], "[0, 1]")):
        name = "h" if bad is masked else "W"
        with pytest.raises(ValueError, match=r"it has masked entries \(first at " + re.escape(at)):
            cx.PLRNN(**{**PLRNN, name: bad})
        assert f"{name} is not an array of numbers (it has masked" in message_of(cx.from_arrays, {**PLRNN, name: bad})
    whole = np.ma.MaskedArray(PLRNN["h"], mask=False)
    assert_same(cx.PLRNN(**{**PLRNN, "h": whole}), cx.PLRNN(**PLRNN))
    model = jax.tree.map(lambda leaf: np.ma.masked_less(leaf, leaf.max()), cx.PLRNN(**PLRNN))
    with pytest.raises(ValueError, match=r"model: A: it has masked entries"):
        cx.find_cycles(model, 1, key=0)


# -- sequences ---------------------------------------------------------------------------------------------------------


def stacked(arrays, count, *names):
    return {
        name: np.stack([(i + 1) * array for i in range(count)]) if name in names else array
        for name, array in arrays.items()
    }


@pytest.mark.parametrize(
    ("count", "names"),
    [(4, ("W1", "W2")), (4, ("A", "h1")), (4, tuple(SHALLOW)), (1, ("W1", "W2")), (1, tuple(SHALLOW))],
)
def test_sequence(count, names):
    arrays = stacked(SHALLOW, count, *names)
    models = cx.from_arrays(arrays, index=slice(None), clipped=True)
    assert len(models) == count
    for i, model in enumerate(models):
        expected = {name: (i + 1) * array if name in names else array for name, array in SHALLOW.items()}
        assert_same(model, cx.ClippedShallowPLRNN(**expected))
    if count > 1:
        assert_same(cx.from_arrays(arrays, index=-1, clipped=True), models[-1])
        assert_same(cx.from_arrays(arrays, index=np.int64(1), clipped=True), models[1])
        assert len(cx.from_arrays(arrays, index=slice(0, None, 2))) == 2


def test_sequences_of_other_models():
    inputs = stacked(RNN, 5, "weight_hh_l0", "bias_ih_l0")
    x = np.array([1.0, -2.0])
    expected = 3 * RNN["bias_ih_l0"] + RNN["bias_hh_l0"] + RNN["weight_ih_l0"] @ x
    np.testing.assert_allclose(cx.from_arrays(inputs, index=2, input=x).b, expected)
    assert_same(cx.from_arrays(stacked(DENDRITIC, 2, "AW"), index=0), cx.from_arrays(DENDRITIC))
    lozi = {"model": "LoziMap", "a": np.linspace(1, 2, 5), "b": 0.5}
    assert_same(cx.from_arrays(lozi, index=1), cx.LoziMap(1.25, 0.5))
    named = {"model": "MeanCenteredPLRNN", **stacked(PLRNN, 5, "A", "W")}
    assert_same(cx.from_arrays(named, index=0), cx.MeanCenteredPLRNN(**PLRNN))
    gated = {"model": "AlmostLinearRNN", "num_gated": 2, **stacked(PLRNN, 5, "W")}
    assert_same(cx.from_arrays(gated, index=0), cx.AlmostLinearRNN(**PLRNN, num_gated=2))


def test_sequence_of_as_many_models_as_states():
    """Then a square A may be two things; everything else is clear."""
    message = message_of(cx.from_arrays, stacked(PLRNN, 3, "A", "W"), index=0)
    assert "A of shape (3, 3) may be one matrix or 3 diagonals; give it an axis for the models: (3, 3, 3)" in message
    matrices = stacked({**PLRNN, "A": np.diag(PLRNN["A"])}, 3, "A", "W", "h")
    assert cx.from_arrays(matrices, index=2).A.shape == (3, 3)
    assert_same(cx.from_arrays(stacked(PLRNN, 3, "W", "h"), index=0), cx.PLRNN(**PLRNN))


def test_sequence_refused():
    message = message_of(cx.from_arrays, stacked(SHALLOW, 4, "W1", "W2"))
    assert "a sequence of 4 models (W1, W2: one axis more in front); pick one with index=0" in message
    assert "--index 0" in message
    assert "index 4 is out of range; there are 4" in message_of(cx.from_arrays, stacked(SHALLOW, 4, "W1"), index=4)
    unequal = {**stacked(PLRNN, 4, "W"), "h": np.ones((5, 3))}
    assert "must be equally long, got W: 4, h: 5" in message_of(cx.from_arrays, unequal, index=0)
    message = message_of(cx.from_arrays, {**PLRNN, "h": np.ones((4, 2))})
    assert "h must have shape (3,), or one axis more in front for a sequence of models; got (4, 2)" in message


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", ["multistable_sequence", "singlestable_sequence"])
def test_published_sequence(name):
    path = DATA / f"{name}.npz"
    with np.load(path) as file:
        arrays = dict(file)
    models = cx.load(path, index=slice(None))
    assert len(models) == 150
    for i in (0, 149):
        expected = cx.ShallowPLRNN(arrays["A"], arrays["W1"][i], arrays["W2"][i], arrays["h1"], arrays["h2"])
        assert_same(models[i], expected)
    assert_same(cx.load(path, index=149), models[149])
    assert "a sequence of 150 models (W1, W2" in message_of(cx.load, path)


# -- files of NumPy and MATLAB -----------------------------------------------------------------------------------------


def test_npz_and_json(tmp_path):
    np.savez(tmp_path / "weights.npz", **{f"rnn.{name}": array for name, array in PLRNN.items()})
    assert_same(cx.load(tmp_path / "weights.npz"), cx.PLRNN(**PLRNN))
    (tmp_path / "weights.json").write_text(json.dumps({name: array.tolist() for name, array in SHALLOW.items()}))
    assert_same(cx.load(tmp_path / "weights.json", clipped=True), cx.ClippedShallowPLRNN(**SHALLOW))


@pytest.mark.parametrize("oned_as", ["row", "column"])
@pytest.mark.parametrize("num_hidden", [1, 2, 5])
@pytest.mark.parametrize("num_states", [2, 3])
def test_mat(oned_as, num_hidden, num_states, tmp_path):
    """MATLAB has no vectors, only matrices of one row or column."""
    savemat = pytest.importorskip("scipy.io").savemat
    model = cx.ShallowPLRNN.random(num_states, num_hidden, key=jax.random.key(0))
    content = to_dict(model)
    del content["model"]
    savemat(tmp_path / "weights.mat", content, oned_as=oned_as)
    assert_same(cx.load(tmp_path / "weights.mat"), model)
    savemat(tmp_path / "struct.mat", {"net": content, "note": "trained"}, oned_as=oned_as)
    assert_same(cx.load(tmp_path / "struct.mat"), model)


def test_mat_with_a_named_model_and_a_number(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(tmp_path / "one.mat", {"A": 0.5, "W": -1.5, "h": 0.25})
    assert_same(cx.load(tmp_path / "one.mat"), cx.PLRNN(A=[[0.5]], W=[[-1.5]], h=[0.25]))
    savemat(tmp_path / "named.mat", to_dict(cx.MeanCenteredPLRNN(**PLRNN)))
    assert_same(cx.load(tmp_path / "named.mat"), cx.MeanCenteredPLRNN(**PLRNN))
    savemat(tmp_path / "gated.mat", {**PLRNN, "B": np.eye(3), "P": 2.0})
    assert_same(cx.load(tmp_path / "gated.mat"), cx.AlmostLinearRNN(**PLRNN, num_gated=2))
    savemat(tmp_path / "lozi.mat", to_dict(cx.LoziMap(1.7, 0.5)))
    assert_same(cx.load(tmp_path / "lozi.mat"), cx.LoziMap(1.7, 0.5))


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_mat_against_scipy(options, tmp_path):
    scipy = pytest.importorskip("scipy.io")
    numbers = {kind: np.array([[1, 2, 3], [4, 5, 127]], kind) for kind in "bBhHiIqQfd"}
    content = {f"of_{kind}": array for kind, array in numbers.items()} | {
        "deep": np.arange(24.0).reshape(2, 3, 4),
        "complex": np.array([[1 + 2j, 3]]),
        "empty": np.zeros((0, 3)),
        "logical": np.array([[True, False]]),
        "text": "µV, trained in May",
        "a_very_long_name_of_a_variable": 1e300,
        "net": {"A": np.eye(2), "inner": {"x": [1.0, 2.0, 3.0], "note": "ab"}, "none": np.zeros((0, 0))},
        "cells": np.array([np.eye(2), "x"], dtype=object),
    }
    if "format" in options:
        content = {key: content[key] for key in ("of_d", "complex", "empty")}
    with (tmp_path / "a.mat").open("wb") as stream:
        scipy.savemat(stream, content, **options)
    mine, theirs = read_mat(tmp_path / "a.mat"), scipy.loadmat(tmp_path / "a.mat")
    assert mine.keys() == content.keys()

    def compare(one, other):
        if isinstance(one, dict):
            record = other.reshape(())[()]
            assert list(one) == list(other.dtype.names)
            for name, value in one.items():
                compare(value, record[name])
        elif isinstance(one, str):
            assert [one] == other.tolist()
        else:
            assert one.shape == other.shape
            assert one.dtype == other.dtype or one.dtype == bool or "Q" in name
            np.testing.assert_array_equal(one, other)

    for name, value in mine.items():
        if name == "cells":
            with pytest.raises(ValueError, match="it is a cell array of MATLAB"):
                np.asarray(value)
        else:
            compare(value, theirs[name])


def test_a_packed_variable_is_unpacked_no_further_than_it_says(tmp_path):
    """A megabyte of zeros in a kilobyte, which says that it is 16 bytes long; and one that is cut off."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    tag = struct.pack("<II", 14, 16)
    for body, message in (
        (tag + bytes(2**20), "is longer than it says"),
        (tag, "element is longer than what holds it"),
    ):
        packed = zlib.compress(body)
        (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
        assert message in message_of(cx.load, tmp_path / "a.mat")
    packed = zlib.compress(tag + bytes(16))[:-5]
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    assert "a variable ends early" in message_of(cx.load, tmp_path / "a.mat")


def test_broken_mat(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    path = tmp_path / "weights.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    assert "weights.mat: a MATLAB v7.3 (HDF5) file without its HDF5 part" in message_of(cx.load, path)
    savemat(path, PLRNN)
    whole = path.read_bytes()
    for length in (0, 3, 100, 127, 150, 200, len(whole) - 9):
        path.write_bytes(whole[:length])
        assert "weights.mat: " in message_of(cx.load, path)


def test_mat_without_scipy(tmp_path, monkeypatch, capsys):
    (tmp_path / "weights.mat").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"pip install 'cyclax\[io\]'"):
        cx.load(tmp_path / "weights.mat")
    assert cli.main(["cycles", str(tmp_path / "weights.mat"), "--orders", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- PyTorch's files, written by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt"])
def test_torch_file(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    arrays = write_arrays(path, PLRNN, folder="weights")
    assert_same(cx.load(path), cx.PLRNN(**arrays))
    arrays = write_arrays(path, PLRNN, byteorder=None)
    assert_same(cx.load(path, num_gated=1), cx.AlmostLinearRNN(**arrays, num_gated=1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "f8"),
        ("FloatStorage", "f4"),
        ("HalfStorage", "f2"),
        ("LongStorage", "i8"),
        ("IntStorage", "i4"),
        ("ShortStorage", "i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
    ],
)
def test_kinds_of_numbers(kind, dtype, order, tmp_path):
    path = tmp_path / "weights.pt"
    scaled = {name: np.abs(50 * array) for name, array in PLRNN.items()}
    arrays = write_arrays(path, scaled, kind, order + dtype, byteorder="little" if order == "<" else "big")
    assert_same(cx.load(path), cx.PLRNN(**arrays))


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bfloat16(byteorder, tmp_path):
    halves = np.array([0x3F80, 0xC000, 0x4049, 0x7F80, 0x0001], "<u2" if byteorder == "little" else ">u2")
    content = tensor(Storage("BFloat16Storage", "0", 5), (5,), (1,))
    write(tmp_path / "weights.pt", content, {"0": halves.tobytes()}, byteorder=byteorder)
    np.testing.assert_array_equal(read_torch(tmp_path / "weights.pt"), [1.0, -2.0, 3.140625, np.inf, 2.0**-133])


def test_views(tmp_path):
    """Strides, offsets, one storage under several tensors, parameters, and the state that state dicts carry."""
    numbers = np.arange(24.0)
    storage = Storage("DoubleStorage", "7", 24)
    state = Set(
        Call("collections.OrderedDict", ([["A", tensor(storage, (3,), (4,), 2)]],)),
        {"_metadata": Call("collections.OrderedDict", ())},
    )
    content = {
        "nested": state,
        "transposed": Call("torch._utils._rebuild_parameter", (tensor(storage, (3, 4), (1, 3), 6), True, None)),
        "expanded": tensor(storage, (2, 3), (0, 1)),
        "scalar": tensor(storage, (), (), 5),
        "empty": tensor(Storage("FloatStorage", "8", 0), (0, 3), (3, 1)),
        "dtype": Global("torch.float32"),
        "size": Call("torch.Size", ((2, 3),)),
        "device": Call("torch.device", ("cuda", 0)),
        "rest": [1, True, None, "text"],
    }
    write(tmp_path / "weights.pt", content, {"7": numbers.tobytes(), "8": b""})
    found = read_torch(tmp_path / "weights.pt")
    np.testing.assert_array_equal(found["nested"]["A"], [2, 6, 10])
    np.testing.assert_array_equal(found["transposed"], numbers[6:18].reshape(4, 3).T)
    np.testing.assert_array_equal(found["expanded"], [[0, 1, 2], [0, 1, 2]])
    assert found["scalar"] == 5
    assert found["empty"].shape == (0, 3)
    assert found["size"] == (2, 3)
    assert (found["dtype"], found["device"], found["rest"]) == ("float32", "cuda:0", [1, True, None, "text"])


def test_nothing_runs(tmp_path):
    path, witness = tmp_path / "weights.pt", tmp_path / "witness"
    for function, arguments in [
        ("os.system", (f"touch {witness}",)),
        ("posix.system", (f"touch {witness}",)),
        ("builtins.eval", (f"open({str(witness)!r}, 'w')",)),
        ("builtins.exec", (f"open({str(witness)!r}, 'w')",)),
        ("builtins.getattr", ("", "join")),
        ("torch.load", (str(witness),)),
        ("numpy.load", (str(witness),)),
        ("torch._utils._rebuild_tensor", ()),
        ("cyclax.maps.io.torch_file.read_torch", (str(witness),)),
        ("collections.OrderedDict.fromkeys", ((),)),
    ]:
        write(path, {"A": Call(function, arguments)})
        message = message_of(cx.load, path)
        expected = f"{path}: this checkpoint holds Python objects ({function}); save model.state_dict() instead."
        assert message == expected
    assert not witness.exists()

    class Malicious:
        def __reduce__(self):
            return eval, (f"open({str(witness)!r}, 'w')",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        write(path, pickle.dumps(Malicious(), protocol=protocol).removesuffix(b"."))
        assert "this checkpoint holds Python objects (" in message_of(cx.load, path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "target",
    ["collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.Size", "torch.FloatStorage", "torch.device"],
)
def test_a_file_leaves_no_marks(target, tmp_path):
    """A pickle may set attributes on what it names; the next file must not see them."""
    path = tmp_path / "weights.pt"
    for state in ({"__defaults__": (1,)}, (None, {"__defaults__": (1,), "keys": None})):
        write(path, Set(Global(target), state))
        message_of(cx.load, path)
        arrays = write_arrays(path, PLRNN)
        assert_same(cx.load(path), cx.PLRNN(**arrays))
    write(
        path,
        Set(tensor(Storage("FloatStorage", "0", 1), (1,), (1,)), (1, (9,), Global("torch.float32"), False, "")),
        {"0": bytes(4)},
    )
    assert "is not a readable PyTorch checkpoint" in message_of(cx.load, path)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((2,), (4,), 0),
        ((2,), (-1,), 0),
        ((1,), (1,), -1),
        ((-1,), (1,), 0),
        ((2,), (1, 1), 0),
    ],
)
def test_a_view_stays_inside_its_storage(size, stride, offset, tmp_path):
    path = tmp_path / "weights.pt"
    write(path, {"A": tensor(Storage("FloatStorage", "0", 4), size, stride, offset)}, {"0": bytes(16)})
    assert f"{path}: this is not a readable PyTorch checkpoint" in message_of(cx.load, path)


@pytest.mark.parametrize("name", ["weights", "weights.pkl", "weights.bin", "weights.th", "weights.npz", "weights.json"])
def test_what_is_in_a_file_decides(name, tmp_path):
    path = tmp_path / name
    arrays = write_arrays(path, PLRNN)
    assert_same(cx.load(path), cx.PLRNN(**arrays))
    with path.open("wb") as stream:
        np.savez(stream, **PLRNN)
    assert_same(cx.load(path), cx.PLRNN(**PLRNN))
    plain = json.dumps({name: array.tolist() for name, array in PLRNN.items()})
    for text in (plain.encode(), b"\n " + plain.encode(), plain.encode("utf-8-sig")):
        path.write_bytes(text)
        assert_same(cx.load(path), cx.PLRNN(**PLRNN))
    scipy = pytest.importorskip("scipy.io")
    with path.open("wb") as stream:
        scipy.savemat(stream, PLRNN)
    assert_same(cx.load(path), cx.PLRNN(**PLRNN))


@pytest.mark.parametrize("suffix", ["pt", "pkl", "npz", "mat", "json", "bin"])
def test_files_that_are_something_else(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    for raw, message in [
        (pickle.dumps({"W": 1}), "no known weights. Found: W."),
        (
            pickle.dumps({"W": Fraction(1, 2)}),
            "this is a pickle; it holds Python objects (fractions.Fraction), which are never",
        ),
        (pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2), "a pickle, as torch before 1.6 wrote; re-save it with"),
        (b"\x93NUMPY\x01\x00", "this is one array of NumPy (.npy), and a network has several"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "this is not a readable HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(20), "this is compressed by gzip; unpack it first"),
    ]:
        path.write_bytes(raw)
        found = message_of(cx.load, path)
        assert found.startswith(f"{path}: ")
        assert message in found
        assert ("1.6" in found) == ("1.6" in message)
    for raw in (b"", b"weights", bytes(200)):
        path.write_bytes(raw)
        assert message_of(cx.load, path).startswith(f"{path}: this is no")


def test_an_entry_that_nobody_needs(tmp_path):
    path = tmp_path / "weights.npz"
    note = np.array([{"epoch": 3}], dtype=object)
    np.savez(path, **PLAIN, note=note)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "trained in May")
    assert_same(cx.load(path), cx.ReLURNN(**PLAIN))
    # Objects that are plain numbers are read; others are named.
    np.savez(path, W=PLAIN["W"], b=np.array([*PLAIN["b"]], dtype=object))
    assert_same(cx.load(path), cx.ReLURNN(**PLAIN))
    np.savez(path, W=PLAIN["W"], b=np.array([Fraction(1, 2)] * 4, dtype=object))
    expected = "b is not an array of numbers (it holds Python objects (fractions.Fraction), which are never made here"
    assert expected in message_of(cx.load, path)
    path.write_text('{"W": [[1]], "b": [0], "b": [1]}')
    assert "'b' stands twice in one object" in message_of(cx.load, path)


def test_broken_torch_files(tmp_path):
    path = tmp_path / "weights.pt"
    write_arrays(path, PLRNN)
    whole = path.read_bytes()
    for length in (3, 30, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert f"{path}: this is not a readable PyTorch checkpoint" in message_of(cx.load, path)
        assert "is the file complete?" in message_of(cx.load, path)
    spoiled = bytearray(whole)
    spoiled[whole.index(np.float32(PLRNN["h"]).tobytes())] ^= 1
    path.write_bytes(spoiled)
    assert "Bad CRC-32" in message_of(cx.load, path)

    content = tensor(Storage("FloatStorage", "0", 4), (4,), (1,))
    write(path, content, {"0": bytes(12)})
    assert "data/0 holds 12 bytes instead of 16" in message_of(cx.load, path)
    write(path, content)
    assert "archive/data/0" in message_of(cx.load, path)
    text = pickled(content)
    for length in range(len(text)):
        write(path, text[:length], {"0": bytes(16)})
        assert f"{path}: " in message_of(cx.load, path)

    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))
    assert "as torch before 1.6 wrote; re-save it with torch.save in torch >= 1.6" in message_of(cx.load, path)
    for raw in (b"", b"weights"):
        path.write_bytes(raw)
        assert "this is no PyTorch checkpoint" in message_of(cx.load, path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "this archive has no data.pkl" in message_of(cx.load, path)
    np.savez(tmp_path / "weights.npz", **PLRNN)
    (tmp_path / "weights.npz").rename(path)
    assert_same(cx.load(path), cx.PLRNN(**PLRNN))  # what is in a file decides, not its name


def test_torch_files_without_a_state_dict(tmp_path):
    path = tmp_path / "weights.pt"
    write(path, content := tensor(Storage("FloatStorage", "0", 1), (1,), (1,)), {"0": bytes(4)})
    assert "expected an object of names and arrays, got ndarray" in message_of(cx.load, path)
    write(path, Storage("QInt8Storage", "0", 4), {"0": bytes(4)})
    assert "holds Python objects (torch.QInt8Storage)" in message_of(cx.load, path)
    write(path, content._replace(arguments=(*content.arguments, {"conj": True})), {"0": bytes(4)})
    assert "holds a tensor that is not resolved (conj)" in message_of(cx.load, path)


# -- the command line --------------------------------------------------------------------------------------------------


def test_command_line(tmp_path, capsys):
    path = tmp_path / "weights.pt"
    write_arrays(path, {**PLRNN, "W": PLRNN["W"] / 9, "B": np.ones((2, 3))})
    assert cli.main(["cycles", str(path), "--orders", "1"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "give num_gated=P (command line: --num-gated P)" in err
    assert cli.main(["cycles", str(path), "--orders", "1", "--num-gated", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"1": 1}

    path = tmp_path / "weights.npz"
    np.savez(path, **{f"net.{name}": array for name, array in stacked(SHALLOW, 2, "W1", "W2").items()}, other=1)
    words = ["cycles", str(path), "--orders", "1", "--json"]
    assert cli.main([*words, "--clipped", "--index", "0", "--prefix", "net"]) == 0
    entries = json.loads(capsys.readouterr().out)["cycles"]
    expected = cx.find_cycles(cx.ClippedShallowPLRNN(**SHALLOW), 1, key=0)
    assert len(entries) == len(expected) >= 1
    np.testing.assert_allclose(entries[0]["points"], expected[0].points)
    assert cli.main(words) == 2
    assert "--index 0" in capsys.readouterr().err

    path.write_text(json.dumps({"A": [0.5], "W": [[0.25]], "h": [1.0], "B": [[1.0]], "tau": 3, "x0": [1.0]}))
    words = ["cycles", str(path), "--orders", "1", "--json", "--num-gated", "all"]
    assert cli.main(words) == 2
    assert "fits, but tau = 3, x0 (1,) would be left over" in (err := capsys.readouterr().err)
    assert "(command line: --ignore tau --ignore x0)" in err
    assert cli.main([*words, "--ignore", "tau", "--ignore", "x0"]) == 0
    assert json.loads(capsys.readouterr().out)["cycles"][0]["points"] == [[4.0]]
    assert cli.main([*words[:-1], "some"]) == 2
    assert "'some' is neither a number nor all" in capsys.readouterr().err


# -- against PyTorch ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_torch_saves_what_we_read(torch, dtype, tmp_path):
    torch.manual_seed(0)
    base = (10 * torch.randn(6, 8)).to(getattr(torch, dtype))
    content = {
        "plain": base,
        "transposed": base.T,
        "strided": base[1::2, ::3],
        "row": base[3],
        "expanded": base[:1].expand(4, 8),
        "scalar": base[2, 2],
        "empty": base[:0],
        "zero": torch.zeros(0, dtype=base.dtype),
    }
    torch.save(content, tmp_path / "tensors.pt")
    found = read_torch(tmp_path / "tensors.pt")
    assert found.keys() == content.keys()
    for name, mine in found.items():
        theirs = content[name]
        assert mine.shape == tuple(theirs.shape)
        np.testing.assert_array_equal(mine.astype(np.float64), theirs.double().numpy())


def test_torch_checkpoint_with_everything(torch, tmp_path):
    """A state dict with its `_metadata`, an optimizer, tied weights, settings; saved as training scripts do."""
    torch.manual_seed(0)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(2, 5, nonlinearity="relu")
            self.readout = torch.nn.Linear(5, 2)
            self.tied = self.readout.weight

    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    network.readout(network.rnn(torch.randn(4, 1, 2))[0]).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "losses": [0.5, 0.25],
        "config": {"dtype": torch.float32, "device": torch.device("cpu"), "size": torch.Size([2, 5])},
    }
    for content in (checkpoint, network.state_dict(), dict(network.named_parameters())):
        torch.save(content, tmp_path / "weights.ckpt")
        model = cx.load(tmp_path / "weights.ckpt")
        assert_same(model, cx.from_arrays(content))
        z, x = torch.rand(1, 5), torch.randn(1, 1, 2)
        theirs = network.rnn(x, z[None])[0][0, 0].detach().numpy()
        driven = cx.load(tmp_path / "weights.ckpt", input=x.ravel())
        np.testing.assert_allclose(step(driven, z.numpy().ravel().astype(float)), theirs, atol=1e-6)
    cell = torch.nn.RNNCell(2, 5, nonlinearity="relu")
    torch.save(cell.state_dict(), tmp_path / "cell.pt")
    z = torch.rand(5)
    theirs = cell(torch.zeros(2), z).detach().numpy()
    np.testing.assert_allclose(step(cx.load(tmp_path / "cell.pt"), z.numpy().astype(float)), theirs, atol=1e-6)


def test_torch_networks_that_are_refused(torch, tmp_path):
    path = tmp_path / "weights.pt"
    for network, message in [
        (torch.nn.LSTM(2, 4), "those of an LSTM"),
        (torch.nn.LSTM(2, 4, proj_size=3), "those of an LSTM"),
        (torch.nn.LSTMCell(2, 4), "those of an LSTM"),
        (torch.nn.GRU(2, 4), "those of a GRU"),
        (torch.nn.RNN(2, 4, num_layers=2), "has several layers"),
        (torch.nn.RNN(2, 4, bidirectional=True), "is bidirectional"),
        (torch.nn.Linear(2, 4), "no known weights"),
    ]:
        torch.save(network.state_dict(), path)
        assert message in message_of(cx.load, path)
    torch.save(torch.nn.RNN(2, 4, nonlinearity="relu"), path)
    assert "holds Python objects (torch.nn.modules.rnn.RNN); save model.state_dict()" in message_of(cx.load, path)
    torch.save(torch.nn.RNN(2, 4).state_dict(), path, _use_new_zipfile_serialization=False)
    assert "as torch before 1.6 wrote" in message_of(cx.load, path)


def test_torch_tensors_in_memory(torch):
    tensors = {name: torch.tensor(array, dtype=torch.bfloat16, requires_grad=True) for name, array in PLRNN.items()}
    expected = {name: tensor.detach().double().numpy() for name, tensor in tensors.items()}
    assert_same(cx.from_arrays({**tensors, "P": torch.tensor(2)}), cx.AlmostLinearRNN(**expected, num_gated=2))


def test_a_trained_torch_network(torch, tmp_path):
    """Train a ReLU RNN to count to three on its own, find its cycles, and let PyTorch run from them."""
    torch.manual_seed(1)
    period, hidden = 3, 6
    network = torch.nn.RNN(1, hidden, nonlinearity="relu", batch_first=True)
    readout = torch.nn.Linear(hidden, 1)
    parameters = [*network.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    target = torch.tensor([1.0, 0.0, -1.0]).repeat(10).reshape(1, -1, 1)
    silence = torch.zeros_like(target)
    for _ in range(1500):
        loss = (readout(network(silence, torch.zeros(1, 1, hidden))[0]) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    assert loss < 0.05
    torch.save({"model_state_dict": {f"rnn.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "trained.pt")
    model = cx.load(tmp_path / "trained.pt")

    def run(z, steps):
        state = torch.tensor(z, dtype=torch.float32).reshape(1, 1, -1)
        return network(torch.zeros(1, steps, 1), state)[0][0].detach().numpy()

    for z in np.random.default_rng(0).uniform(0, 2, size=(20, hidden)):
        np.testing.assert_allclose(step(model, z), run(z, 1)[0], atol=1e-6)
    cycles = cx.find_cycles(model, 4, key=0)
    assert [cycle for cycle in cycles.of_order(period) if cycle.stability == "stable"]
    for cycle in cycles:
        points = np.roll(cycle.points, -1, axis=0)
        np.testing.assert_allclose(run(cycle.points[0], cycle.order), points, atol=1e-5)
    free = run(np.zeros(hidden), 3000)[-period:]
    distances = [
        np.abs(np.roll(cycle.points, i, axis=0) - free).max() for cycle in cycles.of_order(3) for i in range(3)
    ]
    assert min(distances) < 1e-4
