"""Every example runs to its picture, with little to train."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, BENCHMARKS = ROOT / "examples", ROOT / "benchmarks"
SHORT = {
    "decision": ["--units", "12", "--updates", "600"],
    "flip_flop": ["--units", "24", "--updates", "1500"],
    "forcing_and_gradients": ["--seeds", "2"],
    "gradients_and_exponents": [],
    "gradients_at_bifurcations": [],
    "lorenz": ["--quick", "--seeds", "1"],
    "loss_jumps": ["--seeds", "5"],  # with fewer there is nothing to draw
    "lyapunov_training": ["--quick"],
    "neuron": ["--steps", "300"],
    "neuron_bifurcations": ["--steps", "300"],
}


def test_no_example_is_forgotten():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_example(name, tmp_path):
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), str(picture), *SHORT[name]]
    done = subprocess.run(command, cwd=tmp_path, env={"MPLBACKEND": "Agg"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert picture.stat().st_size > 10_000
    if name == "decision":
        assert "complete? proved complete" in done.stdout
        until = re.findall(r"evidence of ([+-])0.5 stands until that slowly reaches ([+-])", done.stdout)
        assert sorted(until) == [("+", "-"), ("-", "+")]  # each choice withstands evidence for the other
    if name == "flip_flop":
        assert "  8 with 0 unstable directions" in done.stdout
        assert "index sum 1" in done.stdout
        saddles = re.findall(r"^  ([01]{3}) and ([01]{3}) ", done.stdout, re.MULTILINE)
        assert len(saddles) >= 7  # a tree of eight memories has so many
        assert all(one != other for one, other in saddles)
    if name == "lorenz":  # little training suffices for the fixed points
        places = [line for line in done.stdout.splitlines() if "% of the diameter away" in line]
        assert len(places) == 3
        assert all(float(line.split(":")[1].split("%")[0]) < 10 for line in places)


def test_every_benchmark_finds_what_it_measures():
    """They use names that are not exported, which moves leave behind."""
    files = [path.relative_to(ROOT).with_suffix("") for path in sorted(BENCHMARKS.rglob("*.py"))]
    modules = [f"import {'.'.join(file.parts)}" for file in files]
    assert len(modules) > 10
    done = subprocess.run([sys.executable, "-c", "\n".join(modules)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
