"""Compile the kernels for one target: `python -m benchmarks.accelerators.compiled cuda|tpu [TITLE ..]`.

For `benchmarks.accelerators`, which gives this process its environment. Prints a line of JSON for each row.
"""

import json
import os
import re
import sys
import time
import unittest.mock
from pathlib import Path

import jax
import numpy as np

from benchmarks.accelerators.kernels import MODULES, Problem, problems
from benchmarks.accelerators.program import Program
from benchmarks.accelerators.recording import Call, recording
from benchmarks.accelerators.targets import BACKENDS, devices
from cyclax.search import lanes


def text_for(call: Call, target: str, device) -> tuple[str, float]:
    """Compile a call for a device that is not there; give the program and the bytes that it needs for itself."""
    mesh = jax.sharding.Mesh(np.array([device]), ("x",))
    there = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    compiled = call.on(there).lowered((target,)).compile()
    return compiled.as_text(), float(getattr(compiled.memory_analysis(), "temp_size_in_bytes", 0))


def rows_of(problem: Problem, calls: dict[str, Call], target: str, device):
    """Compile what a problem has called, and count."""
    for row in problem.rows:
        done = {"problem": problem.title, "kernel": row.kernel, "unit": row.unit, "target": target}
        call, began = calls[row.kernel], time.perf_counter()
        done["bits"] = call.bits()
        try:
            text, memory = text_for(call, target, device)
        except Exception as error:  # whatever the compiler refuses belongs into the table
            yield done | {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            continue
        if folder := os.environ.get("CYCLAX_PROGRAMS"):
            name = re.sub(r"\W+", "_", f"{problem.title}_{row.kernel}_{target}")
            (Path(folder) / f"{name}.txt").write_text(text)
        program = Program(text, row.unknown, from_conditions=target == "tpu")
        loop = program.unit(row.depth)
        cost = program.cost(program.entry) if loop is None else program.turn(loop)
        work = program.work(program.entry if loop is None else loop.body)
        done |= {name: value / row.units for name, value in (cost._asdict() | work._asdict()).items()}
        done["temporary"] = memory
        done["libraries"] = sorted(set(re.findall(r'custom_call_target="([^"]+)"', text)))
        yield done | {"seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Compile all problems, or those whose titles contain what is given."""
    target, *wanted = sys.argv[1:]
    device = devices(target)[0]
    with unittest.mock.patch.object(jax, "default_backend", return_value=BACKENDS[target]):
        for problem in problems():
            if wanted and not any(part in problem.title for part in wanted):
                continue
            if problem.fused and target != "cuda":
                continue
            with recording(tuple(MODULES)) as calls:
                problem.run()
            if problem.fused:
                jax.clear_caches()  # what was recorded ran without, and is traced anew
            with unittest.mock.patch.object(lanes, "FUSED_MOVES", problem.fused):
                for row in rows_of(problem, calls, target, device):
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
