"""The fixed points of a network that holds three bits: eight memories, and the saddles on the ways between them.

The task of Sussillo and Barak, "Opening the black box" (2013); examples/flip_flop.py is the long version.
"""

import sys

import jax
from examples.flip_flop import draw, in_float64, memory, train, trial, unstable, ways_out

import cyclax as cx


def main(picture: str = "flip_flop.png") -> None:
    """Train, find, print and draw."""
    model, losses = train(trial, 20, 1500, 0)
    network = in_float64(model.network)
    cycles = cx.find_cycles(network, 1, key=0)
    print(f"mean squared error {losses[-100:].mean():.2g}; {cycles!r}")
    memories = sorted(memory(model, cycle.points[0]) for cycle in cycles if unstable(cycle) == 0)
    print(f"memories: {' '.join(memories)}")
    print(str(cycles).splitlines()[-1])
    orbits, _ = ways_out(network, [cycle for cycle in cycles if unstable(cycle) == 1])
    draw(model, jax.random.key(1), cycles, orbits).savefig(picture, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
