"""TOML files and pictures of trainings."""

import functools
import json
import signal

import jax
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import cyclax as cx
from cyclax.recipes.train import train_from_toml
from cyclax.training.fit import fit
from cyclax.training.forcing import Adaptive, FreeRunning, GeneralizedForcing
from cyclax.training.jacobians import ProductNorm
from cyclax.training.optimizers import RAdam
from cyclax.training.regularizers import L2

matplotlib.use("Agg")

PLAN = """
[data]
path = "series.npy"
[model]
kind = "ShallowPLRNN"
num_states = 3
num_hidden = 6
gain = 0.3
[forcing]
kind = "GeneralizedForcing"
alpha = {kind = "Adaptive", norm = {kind = "ProductNorm"}, every = 3}
[optimizer]
learning_rate = 2e-3
[[regularizers]]
kind = "L2"
strength = 1e-5
[training]
steps = 12
batch = 4
length = 10
[output]
folder = "out"
"""


@pytest.fixture
def folder(tmp_path):
    t = np.arange(300) * 0.3
    np.save(tmp_path / "series.npy", np.stack([3 * np.sin(t) + 5, np.cos(t)], axis=1))
    return tmp_path


def train(folder, text):
    (folder / "train.toml").write_text(text)
    return train_from_toml(folder / "train.toml", progress=False)


def fitted(series, key: int, *terms) -> cx.Fit:
    """Do in Python what PLAN says, with more terms of the loss."""
    return fit(
        cx.ShallowPLRNN.random(3, 6, gain=0.3, key=jax.random.key(0)),
        (series - series.mean(axis=0)) / series.std(axis=0),
        forcing=GeneralizedForcing(Adaptive(ProductNorm(), every=3)),
        optimizer=RAdam(2e-3),
        regularizers=[L2(1e-5), *terms], steps=12, batch=4, length=10, key=key, progress=False,
    )  # fmt: skip


def test_a_plan_is_what_fit_does(folder):
    result = train(folder, PLAN)
    series = np.load(folder / "series.npy")
    wanted = fitted(series, key=0)
    np.testing.assert_array_equal(result.losses, wanted.losses)
    np.testing.assert_array_equal(cx.load(folder / "out" / "network.npz").W1, wanted.map.W1)
    history = np.load(folder / "out" / "history.npz")
    np.testing.assert_array_equal(history["strengths"], wanted.strengths)
    kept = json.loads((folder / "out" / "standardization.json").read_text())
    np.testing.assert_allclose(kept["mean"], series.mean(axis=0))
    assert train(folder, PLAN).report["resumed_at"] == 12


AWAY = """
[[regularizers]]
kind = "AwayFromBifurcations"
strength = 0.3
within = 1.0
every = 5
most = 2
"""


@pytest.mark.parametrize("what", ["orders", "cycle"])
def test_away_from_bifurcations_also_where_the_training_goes_on(folder, monkeypatch, what):
    """Stopped between two looks; it goes on with what the last one saw."""
    from cyclax.recipes import train as plan

    model = cx.ShallowPLRNN.random(3, 6, gain=0.3, key=jax.random.key(0))
    gates = cx.find_cycles(model, 1, key=0)[0].gates
    kept = "orders = 1" if what == "orders" else f"cycle = {gates.astype(int).tolist()}"
    text = PLAN.replace("[training]", f"{AWAY}{kept}\n[training]").replace("[output]", "checkpoint_every = 4\n[output]")

    def kill(update, model):
        if update == 8:
            raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(plan, "fit", functools.partial(plan.fit, callback=kill))
        with pytest.raises(InterruptedError):
            train(folder, text)
    result = train(folder, text)
    assert result.report["resumed_at"] == 8
    assert result.report["notes"] == []
    series = np.load(folder / "series.npy")
    term = cx.AwayFromBifurcations(0.3, 1.0, **{what: 1 if what == "orders" else gates}, every=5, most=2)
    np.testing.assert_array_equal(result.map.W1, fitted(series, 0, term).map.W1)
    assert np.max(np.abs(result.map.W1 - fitted(series, 0).map.W1)) > 1e-4


def test_several_seeds_and_an_affine_readout(folder):
    text = PLAN.replace("gain = 0.3", 'gain = 0.3\nseed = [1, 2]\nobservation = "affine"')
    results = train(folder, text)
    assert len(results) == 2
    assert all((folder / "out" / f"network-{i}.npz").exists() for i in range(2))


WRONG = [
    (("[forcing]", "[forcign]"), "there is no table 'forcign'; did you mean 'forcing'"),
    (("steps = 12", "step = 12"), r"there is no entry of \[training\] 'step'; did you mean 'steps'"),
    (("num_hidden", "num_hiden"), "of .model. for ShallowPLRNN 'num_hiden'; did you mean 'num_hidden'"),
    (('"ShallowPLRNN"', '"ShalowPLRNN"'), "there is no kind of model 'ShalowPLRNN'; did you mean 'ShallowPLRNN'"),
    (("every = 3", "evry = 3"), "there is no entry of Adaptive 'evry'; did you mean 'every'"),
    (('"ProductNorm"', '"Product"'), "there is no kind of norm 'Product'; did you mean 'ProductNorm'"),
    (("learning_rate", "learningrate"), "there is no entry of RAdam 'learningrate'; did you mean 'learning_rate'"),
    (("strength = 1e-5", ""), r"L2 in \[regularizers\] needs strength"),
    (("[training]", f"{AWAY}[training]"), "train.toml: AwayFromBifurcations: give a cycle to keep, or orders"),
    (("[training]", f"{AWAY}looks = 1\n[training]"), "there is no entry of AwayFromBifurcations 'looks'"),
    (("[training]", f"{AWAY}cycle = [[0, 1]]\n[training]"), "train.toml: .*the cycle has 2 gates, and the map 6"),
    (("num_hidden = 6", ""), "missing 1 required positional argument: 'num_hidden'"),
    (('path = "series.npy"', ""), r"\[data\] needs path"),
    (("steps = 12", ""), r"\[training\] needs steps"),
    (("[model]", "[model"), "this is not TOML"),
    (("batch = 4", "batch = 0"), "train.toml: batch: expected a positive int, got 0"),
    (("[[regularizers]]", "[regularizers]"), r"write \[\[regularizers\]\]"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message[:24] for _, message in WRONG])
def test_wrong_entries(folder, change, message):
    with pytest.raises(ValueError, match=message):
        train(folder, PLAN.replace(*change))


def test_picture(folder):
    result = train(folder, PLAN)
    ax = cx.plot.training(result)
    assert ax.get_xlabel() == "update"
    assert {line.get_label() for line in ax.get_lines()} >= {"gradient norm", "loss (mean squared error)"}
    right = ax.figure.axes[1]
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), result.strengths)
    plt.close("all")
    with pytest.raises(TypeError, match="must be what fit returns, Fit, got int"):
        cx.plot.training(3)
    free = fit(result.map, np.load(folder / "series.npy"), forcing=FreeRunning(), steps=3, length=5, key=0)
    assert len(cx.plot.training(free).figure.axes) == 1
    plt.close("all")


def test_the_second_ctrl_c_says_how_to_go_on(folder, capsys, monkeypatch):
    from cyclax import cli
    from cyclax.recipes import train as plan

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    (folder / "train.toml").write_text(PLAN)
    monkeypatch.setattr(plan, "fit", interrupted)
    assert cli.main(["train", str(folder / "train.toml")]) == 130
    out, err = capsys.readouterr()
    wanted = "cyclax: interrupted; the same command goes on from the last checkpoint, if any\n"
    assert (out, err) == ("", wanted)


def test_the_first_ctrl_c_saves_the_network(folder, capsys, monkeypatch):
    """Pressed as the last update is made: all is trained and written, and the exit code says that it was pressed."""
    from cyclax import cli
    from cyclax.recipes import train as plan

    def callback(update, model):
        if update == 12:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(plan, "fit", functools.partial(plan.fit, callback=callback))
    (folder / "train.toml").write_text(PLAN)
    assert cli.main(["train", str(folder / "train.toml")]) == 130
    assert "interrupted by Ctrl-C after 12 of 12 updates" in capsys.readouterr().out
    assert (folder / "out" / "network.npz").exists()


def test_the_command_line_trains_from_a_seed(folder, capsys):
    from cyclax import cli

    (folder / "train.toml").write_text(PLAN.replace("steps = 12", "steps = 12\nseed = 3"))
    assert cli.main(["train", str(folder / "train.toml"), "--plot", str(folder / "training.png")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Fit: ShallowPLRNN with M = 3, 2 variables observed")
    assert err == f"wrote {folder / 'training.png'}\n"
    wanted = fitted(np.load(folder / "series.npy"), key=3)
    np.testing.assert_array_equal(cx.load(folder / "out" / "network.npz").W1, wanted.map.W1)
    (folder / "train.toml").write_text(PLAN.replace("steps = 12", "step = 12"))
    assert cli.main(["train", str(folder / "train.toml")]) == 2
    assert "did you mean 'steps'" in capsys.readouterr().err
