"""The code of the documentation runs, from top to bottom of each page."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def code_blocks(page: Path) -> list[tuple[int, str]]:
    """Give the Python blocks of a page with the lines they begin at."""
    text = page.read_text()
    blocks = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, block.start(1)), block.group(1)) for block in blocks]


def run(name: str, blocks: slice = slice(None)) -> dict[str, Any]:
    """Run blocks of a page, all by default; give the names that they leave."""
    matplotlib.use("Agg")
    page = DOCS / name
    namespace: dict[str, Any] = {"__name__": page.stem}
    for line, code in code_blocks(page)[blocks]:
        # Lines in a traceback are those of the page.
        exec(compile("\n" * line + code, str(page), "exec"), namespace)
    return namespace


def test_writing_a_model(capsys):
    assert len(code_blocks(DOCS / "writing_a_model.md")) >= 4
    namespace = run("writing_a_model.md")
    printed = capsys.readouterr().out
    assert "Nested.step does not add up gate by gate" in printed
    assert "is not one of the classes a file can hold" in printed
    assert len(namespace["cycles"]) > 10


def test_your_network(capsys):
    namespace = run("your_network.md")
    printed = capsys.readouterr().out
    assert "is a leaky integrator, and neither its weights nor what stands beside them" in printed
    assert "RateRNN 4 (4, 2)" in printed
    assert [cycle.stability for cycle in namespace["cycles"]].count("stable") == 4
    assert len(namespace["cycles"]) == 9


def test_coming_from_fixed_point_finder(capsys):
    run("coming_from_fixed_point_finder.md")
    printed = capsys.readouterr().out
    assert "7 cycles (3 stable)" in printed
    assert printed.count("lies between") == 3
    assert "1 fixed point, and [ghost of a fixed point" in printed
    assert "[7, 5, 1]" in printed
    assert "at s = 0: 7 (3 stable)" in printed


def test_curves(capsys, monkeypatch, tmp_path):
    (tmp_path / "examples").symlink_to(DOCS.parent / "examples")
    monkeypatch.chdir(tmp_path)
    namespace = run("curves.md")
    printed = capsys.readouterr().out
    assert "Curve of a 16-cycle over A[0], A[1]: nonsmooth fold, persistence" in printed
    assert "4 curves: 3 degenerate flip, 1 nonsmooth fold" in printed
    assert "persistence of a fixed point" in printed
    assert len(namespace["diagram"].stretches) == 3
    assert (tmp_path / "side.npz").exists()


def test_extending(capsys):
    assert len(code_blocks(DOCS / "extending.md")) == 1
    run("extending.md")
    assert "proved incomplete for orders 2" in capsys.readouterr().out


def test_what_the_pages_name_is_there():
    """Every file and every name of cyclax in the pages on the house."""
    import cyclax as cx

    root = DOCS.parent
    text = (DOCS / "architecture.md").read_text()
    rooms = [row.split("|")[1:4] for row in text.splitlines() if row.startswith("| `")]
    for names, _, files in [row for row in rooms if len(row) == 3 and row[2].strip()]:
        room = names.strip().strip("`").split("`")[0]
        for file in re.findall(r"`([\w/]+\.py)`", files):
            folder = root / "src" / "cyclax"
            assert (folder / room / file).is_file() or (folder / file).is_file(), file
    for name in re.findall(r"`cx\.([\w.]+)", (DOCS / "extending.md").read_text()):
        thing = cx
        for part in name.split("."):
            thing = getattr(thing, part)


@pytest.mark.slow
def test_tracking_a_training(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace = run("training.md", slice(-1, None))  # those above train for long
    printed = capsys.readouterr().out
    assert "degenerate flip of a fixed point" in printed
    assert "Track of 21 models (SkewTentMap)" in printed
    assert namespace["tracker"].counts == namespace["track"].counts
    assert (tmp_path / "track.npz").exists()
