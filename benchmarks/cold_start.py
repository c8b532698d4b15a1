"""Wall time of fresh processes: `python -m benchmarks.cold_start`."""

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.search import ROOT, processor

RUNS = 3


def commands(model: Path) -> dict[str, list[str]]:
    """Give what is timed, by name; as Python code where the command line is not there."""
    cli = importlib.util.find_spec("cyclax.cli") is not None
    program = Path(sys.executable).with_name("cyclax")
    command = [str(program)] if program.exists() else [sys.executable, "-c", "from cyclax.cli import main; main()"]
    version = [*command, "--version"] if cli else [sys.executable, "-c", "import cyclax; print(cyclax.__version__)"]
    search = f"import cyclax as cx\nmodel = cx.load({str(model)!r})\nprint(cx.find_cycles(model, 40, key=0))"
    cycles = [*command, "cycles", str(model), "--orders", "40"] if cli else [sys.executable, "-c", search]
    return {
        "cyclax --version": version,
        "python -c 'import cyclax'": [sys.executable, "-c", "import cyclax"],
        f"cyclax cycles {model.name} --orders 40": cycles,
    }


def main() -> None:
    """Print the median of three runs of each."""
    folders = (ROOT / "examples" / "networks", ROOT.parent / "shared" / "cases")
    model = next(path for folder in folders if (path := folder / "plrnn_2d_order40.json").exists())
    print(f"{processor()}; median of {RUNS} fresh processes")
    for name, command in commands(model).items():
        seconds = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begin)
        print(f"{statistics.median(seconds):6.2f} s  {name}   ({', '.join(f'{s:.2f}' for s in seconds)})", flush=True)


if __name__ == "__main__":
    main()
