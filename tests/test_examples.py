"""Every example runs to its picture, with little to train."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SHORT = {
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
    if name == "lorenz":  # little training suffices for the fixed points
        places = [line for line in done.stdout.splitlines() if "% of the diameter away" in line]
        assert len(places) == 3
        assert all(float(line.split(":")[1].split("%")[0]) < 10 for line in places)
