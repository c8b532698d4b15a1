"""A PyTorch checkpoint in three lines: load it, find its fixed points and cycles, draw them.

PyTorch is not needed, and nothing in the file is run. Here the file is written as `torch.save` would write it.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tests.torch_files import write_arrays

import cyclax as cx


def checkpoint(path: Path) -> None:
    """Write the state dict of a `torch.nn.RNN(1, 6, nonlinearity="relu")`."""
    rng = np.random.default_rng(6)
    weights = {"rnn.weight_hh_l0": 0.5 * rng.normal(size=(6, 6)), "rnn.bias_hh_l0": rng.normal(size=6)}
    write_arrays(path, {**weights, "rnn.weight_ih_l0": rng.normal(size=(6, 1)), "rnn.bias_ih_l0": np.zeros(6)})


def main(picture: str = "torch_checkpoint.png") -> None:
    """Write a file; then the three lines; print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rnn.pt"
        checkpoint(path)
        model = cx.load(path)
        cycles = cx.find_cycles(model, 4, key=0)
        cx.plot.cycles(cycles)
    lines = str(cycles).splitlines()
    print("\n".join([lines[0], *(line for line in lines if line.startswith("complete?"))]))
    plt.savefig(picture, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
