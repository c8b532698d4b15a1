"""Imports run downwards only, and importing cyclax changes nothing."""

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "cyclax"

# From the top down; a room may import itself and what stands below it.
ROOMS = [
    "__main__",
    "cli",
    "recipes",
    "api",
    "plot",
    "tracking",
    "grids",
    "bifurcations",
    "search",
    "paths",
    "proofs",
    "cycles",
    "training",
    "testing",
    "maps",
    "lyapunov",
    "metrics",
    "data",
    "core",
]


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "cyclax"]


def violations(source: Path) -> list[str]:
    found = []
    for path in source.rglob("*.py"):
        room = path.relative_to(source).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imports(path):
            other = [*name.split("."), ""][1]
            # The command line and plots name the package itself: `import cyclax as cx`.
            known = other in ROOMS
            if (known and ROOMS.index(other) < ROOMS.index(room)) or (not known and room != "cli"):
                found.append(f"{path.relative_to(source)} imports {name}")
    return found


def test_imports_run_downwards():
    assert violations(SOURCE) == []


def test_an_upward_import_would_be_seen(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "base.py").write_text("from cyclax.search.find import find_cycles\n")
    assert violations(tmp_path) == ["maps/base.py imports cyclax.search.find.find_cycles"]


def test_import_changes_nothing():
    program = (
        "import jax, numpy as np; before = (jax.config.jax_enable_x64, np.geterr())\n"
        "import cyclax, sys\n"
        "assert (jax.config.jax_enable_x64, np.geterr()) == before\n"
        "assert not {'matplotlib', 'pandas', 'diffrax'} & set(sys.modules)\n"
        "cyclax.find_cycles(cyclax.TentMap(2.0), 2, key=0)\n"
        "assert (jax.config.jax_enable_x64, np.geterr()) == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
