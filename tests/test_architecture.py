"""Imports run downwards only, and importing cyclax changes nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import cyclax

# What is installed: the wheel may be tested without the source tree.
SOURCE = Path(cyclax.__file__).resolve().parent

# From the top down; a room may import itself and what stands below it.
ROOMS = [
    "__main__",
    "cli",
    "recipes",
    "api",
    "reports",
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


def circles(source: Path) -> list[set[str]]:
    """Modules that import one another, at import time, in a circle."""
    package = source.name
    needs: dict[str, set[str]] = {}
    for path in source.rglob("*.py"):
        name = ".".join([package, *path.relative_to(source).with_suffix("").parts]).removesuffix(".__init__")
        # What stands in functions, or is for type checkers, is not run at import time.
        nodes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
        needs[name] = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        needs[name] |= {node.module for node in nodes if node.module}
    needs = {name: (wanted & needs.keys()) - {name} for name, wanted in needs.items()}
    left = dict(needs)
    while free := [name for name, wanted in left.items() if not wanted & left.keys()]:
        for name in free:
            del left[name]
    return [set(left)] if left else []


def test_no_imports_go_in_a_circle(tmp_path):
    assert circles(SOURCE) == []
    (tmp_path / "a.py").write_text(f"from {tmp_path.name}.b import x\n")
    (tmp_path / "b.py").write_text(f"from {tmp_path.name}.a import y\n")
    assert circles(tmp_path) == [{f"{tmp_path.name}.a", f"{tmp_path.name}.b"}]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_file_and_no_folder_grows_too_large():
    files = list(SOURCE.rglob("*.py"))
    assert not {str(path.relative_to(SOURCE)): lines(path) for path in files if lines(path) > 450}
    total = sum(map(lines, files))
    rooms = {folder.name: sum(map(lines, folder.rglob("*.py"))) for folder in SOURCE.iterdir() if folder.is_dir()}
    assert not {name: number for name, number in rooms.items() if number > 0.2 * total}


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


def test_no_test_patches_a_private_name():
    tests = Path(__file__).resolve().parent
    private = re.compile(r'setattr\(\s*[\w.]*\b_\w+|setattr\(\s*[\w.]+,\s*"_|setattr\(\s*"[\w.]*\._\w')
    found = {path.name: private.findall(path.read_text()) for path in tests.rglob("*.py") if path != Path(__file__)}
    assert not {name: some for name, some in found.items() if some}
