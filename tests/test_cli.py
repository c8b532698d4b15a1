"""The command line, in this process: what it prints, writes and refuses."""

import _thread
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import cyclax as cx
from cyclax import cli
from cyclax.search import driver
from cyclax.search.tally import StartTally

NETWORKS = Path(__file__).resolve().parents[1] / "examples" / "networks"
NETWORK = str(NETWORKS / "plrnn_2d_order16.json")


@pytest.fixture(scope="module")
def lozi(tmp_path_factory) -> str:
    """A file whose search takes no time: fixed points and one 2-cycle, all saddles."""
    path = tmp_path_factory.mktemp("networks") / "lozi.json"
    cx.save(path, cx.LoziMap(1.7, 0.5))
    return str(path)


@pytest.fixture
def no_search(monkeypatch):
    """Errors of the command line must come before the search, which may take hours."""

    def never(*arguments, **settings):
        raise AssertionError("the search was started")

    monkeypatch.setattr(cx, "find_cycles", never)


def error_of(capsys, *words: str) -> str:
    """Run a command that must fail as agreed: exit code 2, one line on stderr, nothing on stdout."""
    assert cli.main(["cycles", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cyclax: error: ")
    assert err.count("\n") == 1
    return err


# -- what it prints ----------------------------------------------------------------------------------------------------


def test_table(lozi, capsys):
    assert cli.main(["cycles", lozi, "--orders", "2"]) == 0
    out, err = capsys.readouterr()
    expected = cx.find_cycles(cx.load(lozi), 2, key=0)
    assert out == f"{expected}\n"
    assert out.startswith("3 cycles (0 stable) in orders 1..2: 2 of order 1, 1 of order 2\n")
    assert err == ""


@pytest.mark.parametrize(
    ("text", "orders"), [("2", [1, 2]), ("1", [1]), ("2,", [2]), ("4,2", [2, 4]), ("2, 4", [2, 4])]
)
def test_orders(text, orders, lozi, capsys):
    assert cli.main(["cycles", lozi, "--orders", text, "--json"]) == 0
    assert [int(order) for order in json.loads(capsys.readouterr().out)["counts"]] == orders


def test_json(lozi, capsys):
    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    assert cli.main(["cycles", lozi, "--orders", "4", "--json", "--seed", "3"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    content = json.loads(out, parse_constant=no_constant)
    expected = cx.find_cycles(cx.load(lozi), 4, key=3)
    assert content["counts"] == {str(order): number for order, number in expected.counts.items()}
    assert {"counts", "cycles", "report"} <= set(content)
    assert len(content["cycles"]) == len(expected) == sum(content["counts"].values())
    fields = {"order", "points", "gates", "multipliers", "residual", "margin", "condition", "stability"}
    for entry, mine in zip(content["cycles"], expected, strict=True):
        assert fields <= set(entry)
        assert (entry["order"], entry["stability"]) == (mine.order, mine.stability)
        np.testing.assert_array_equal(entry["points"], mine.points)
        np.testing.assert_array_equal(np.array(entry["gates"], bool), mine.gates)
        assert set(np.ravel(entry["gates"])) <= {0, 1}
        np.testing.assert_array_equal(np.array(entry["multipliers"]) @ [1, 1j], mine.multipliers)
    report = content["report"]
    assert {"orders", "precision", "seconds", "version"} <= set(report)
    searched = {"verdict", "reason", "starts", "solves", "hits", "loops", "index_sum", "unseen_mass"}
    assert all(searched <= set(entry) for entry in report["orders"].values())
    assert set(report["orders"]) == set(content["counts"])


def test_json_has_null_for_infinity(tmp_path, capsys):
    path = tmp_path / "no_borders.json"
    cx.save(path, cx.PLRNN(A=[0.5, 0.2], W=np.zeros((2, 2)), h=[1.0, 1.0]))
    assert cli.main(["cycles", str(path), "--orders", "1", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["cycles"]
    assert entry["margin"] is None


def test_a_published_network(capsys):
    assert cli.main(["cycles", NETWORK, "--orders", "1,16", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["counts"] == {"1": 1, "16": 2}
    assert sorted(entry["stability"] for entry in content["cycles"]) == ["repeller", "saddle", "stable"]


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.json")), ids=lambda path: path.stem)
def test_examples_load(path):
    model = cx.load(path)
    assert model.num_states == int(path.stem.split("_")[1].removesuffix("d"))


def test_starts_bound_the_search(capsys, tmp_path):
    model = cx.ClippedShallowPLRNN.random(5, 30, key=jax.random.key(83), gain=3.0)  # beyond a quick proof
    cx.save(tmp_path / "network.json", model)
    assert cli.main(["cycles", str(tmp_path / "network.json"), "--orders", "2,", "--json", "--starts", "32"]) == 0
    # Four times as many where the index proves that something is missing.
    assert json.loads(capsys.readouterr().out)["report"]["orders"]["2"]["starts"] in (32, 64, 128)


def test_seconds_mark_the_result_and_are_no_failure(lozi, capsys):
    assert cli.main(["cycles", lozi, "--orders", "2", "--seconds", "1e-9"]) == 0
    assert "STOPPED EARLY: the time budget" in capsys.readouterr().out


# -- what it writes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_plot(suffix, lozi, tmp_path, capsys):
    path = tmp_path / f"cycles.{suffix}"
    assert cli.main(["cycles", lozi, "--orders", "2", "--json", "--plot", str(path)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"] == {"1": 2, "2": 1}
    assert err == f"wrote {path}\n"
    magic = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(magic[suffix])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_plot_leaves_pyplot_alone(lozi, tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    assert cli.main(["cycles", lozi, "--orders", "1", "--plot", str(tmp_path / "cycles.png")]) == 0
    assert pyplot.get_fignums() == before


def test_save(lozi, tmp_path, capsys):
    path = tmp_path / "cycles.npz"
    assert cli.main(["cycles", lozi, "--orders", "2", "--save", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == f"wrote {path}\n"
    loaded = cx.Cycles.load(path)
    assert loaded.counts == {1: 2, 2: 1}
    assert out == f"{loaded}\n"


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "absent.json: there is no such file. Give the path of a network (.json, .npz, "),
        ("bytes.json", b"\x93\xff\x00", "bytes.json: this is not valid JSON"),
        ("cut.json", b'{"model": "PLRNN", "A": [0.5], "W": [[1.', "cut.json: this is not valid JSON"),
        ("cut.npz", b"PK\x03\x04cut", "cut.npz: this is not a readable .npz file"),
        ("network.txt", b"weights", "this is no network that can be read (it begins with b'weights'); known are .json"),
        ("near.json", b'{"model": "PLRN"}', "unknown model 'PLRN'. Did you mean 'PLRNN'?"),
        ("half.json", b'{"model": "PLRNN", "A": [0.5]}', "PLRNN needs A, W, h; missing: W, h; found: A"),
    ],
)
def test_bad_network(name, content, message, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert message in error_of(capsys, str(path), "--orders", "2")


def test_unusable_weights(tmp_path, capsys):
    path = tmp_path / "diverged.json"
    path.write_text('{"model": "PLRNN", "A": [NaN], "W": [[1.0]], "h": [0.1]}')
    assert "model: A holds NaN or inf" in error_of(capsys, str(path), "--orders", "2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "orders: 0 is not a period; the smallest order is 1"),
        ("-3", "orders: -3 is not a period"),
        ("4,0", "orders: 0 is not a period"),
        ("abc", "argument --orders: 'abc' is no order; give an integer"),
        ("2.5", "argument --orders: '2.5' is no order; give an integer"),
        ("1-5", "argument --orders: '1-5' is no order"),
        ("8,,16", "argument --orders: '8,,16' is no order"),
        (",", "argument --orders: ',' is no order"),
        ("", "argument --orders: '' is no order"),
    ],
)
def test_bad_orders(text, message, lozi, capsys):
    assert message in error_of(capsys, lozi, f"--orders={text}")


def test_negative_orders_after_a_space(lozi, capsys):
    assert "orders: -3 is not a period" in error_of(capsys, lozi, "--orders", "-3")


def test_bad_settings(lozi, capsys):
    """They are called as they are written here, and not as in Python."""
    for option, text, wanted in (
        ("--starts", "0", "a positive int"),
        ("--seconds", "-1", "a positive number"),
        ("--seconds", "nan", "a positive number"),
        ("--box", "-1", "a positive number"),
        ("--seed", "-1", "an int, 0 or more"),
        ("--seed", "x", "an int, 0 or more"),
    ):
        message = f"argument {option}: expected {wanted}, got {text}"
        assert message in error_of(capsys, lozi, "--orders", "2", "--exact", option, text)


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--plot", "nowhere/cycles.png", "cannot be written (No such file or directory); choose a folder that exists"),
        ("--plot", "cycles.bmp", "must end in .pdf or .png or .svg"),
        ("--plot", "cycles", "must end in .pdf or .png or .svg"),
        ("--plot", "folder.png", "is a folder; give the name of a file"),
        ("--save", "nowhere/cycles.npz", "cannot be written (No such file or directory); choose a folder that exists"),
        ("--save", "cycles.json", "must end in .npz"),
    ],
)
def test_bad_output_is_refused_before_the_search(option, name, message, lozi, tmp_path, capsys):
    (tmp_path / "folder.png").mkdir()
    err = error_of(capsys, lozi, "--orders", "2", option, str(tmp_path / name))
    assert f"{option}: {tmp_path / name} {message}" in err
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.usefixtures("no_search")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_before_the_search(lozi, tmp_path, capsys):
    tmp_path.chmod(0o500)
    path = tmp_path / "cycles.png"
    assert "cannot be written (Permission denied)" in error_of(capsys, lozi, "--orders", "2", "--plot", str(path))
    tmp_path.chmod(0o700)


@pytest.mark.usefixtures("no_search")
def test_the_network_is_not_overwritten(tmp_path, capsys):
    path = tmp_path / "lozi.npz"
    cx.save(path, cx.LoziMap(1.7, 0.5))
    err = error_of(capsys, str(path), "--orders", "2", "--save", str(tmp_path / "." / "lozi.npz"))
    assert "is the network itself; choose another name" in err


@pytest.mark.usefixtures("no_search")
def test_missing_matplotlib_is_found_before_the_search(lozi, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    err = error_of(capsys, lozi, "--orders", "2", "--plot", str(tmp_path / "cycles.png"))
    assert "pip install 'cyclax[plot]'" in err


def test_missing_arguments(capsys):
    assert "the following arguments are required: MODEL, --orders" in error_of(capsys)
    assert "--orders" in error_of(capsys, "network.json")
    assert cli.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["cycle"]) == 2
    assert "invalid choice: 'cycle'" in capsys.readouterr().err


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_ctrl_c_prints_and_saves_what_was_found(lozi, tmp_path, capsys, monkeypatch):
    """Sent to the main thread by a thread that searches, for which it then waits; alone, that would go on and on."""
    path = tmp_path / "cycles.npz"
    absorb, calls = driver.absorb, itertools.count()

    def absorb_and_interrupt(*arguments, **settings):
        absorb(*arguments, **settings)
        if next(calls) == 0:
            _thread.interrupt_main()

    monkeypatch.setattr(driver, "absorb", absorb_and_interrupt)
    monkeypatch.setattr(StartTally, "enough", lambda self, unseen: False)
    endless = ["--orders", "40,", "--starts", "1000000000", "--seconds", "600"]
    code = cli.main(["cycles", lozi, *endless, "--json", "--save", str(path)])
    assert code == 130
    content = json.loads(capsys.readouterr().out)
    assert "Ctrl-C" in content["report"]["interrupted"]
    assert content["report"]["orders"]["40"]["verdict"] == "unknown"
    assert len(cx.Cycles.load(path)) == len(content["cycles"])


def test_ctrl_c_outside_the_search(lozi, capsys, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(cx, "load", interrupted)
    assert cli.main(["cycles", lozi, "--orders", "2"]) == 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "cyclax: interrupted before anything was found\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_no_error(lozi, tmp_path, capsys, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    path = tmp_path / "cycles.npz"
    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["cycles", lozi, "--orders", "2", "--save", str(path)]) == 141
    monkeypatch.undo()
    assert capsys.readouterr().err == f"wrote {path}\n"
    assert len(cx.Cycles.load(path)) == 3


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["cycles", "--help"])
    out = capsys.readouterr().out
    for option in ("--orders", "--json", "--plot", "--save", "--seed", "--seconds", "--starts", "--index"):
        assert option in out


def test_as_a_process():
    done = subprocess.run([sys.executable, "-m", "cyclax", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cyclax {cx.__version__}\n", "")
