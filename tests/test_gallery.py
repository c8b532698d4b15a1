"""The gallery: every script is short, listed, and makes its picture."""

import subprocess
import sys
from pathlib import Path

import pytest
from examples.gallery.__main__ import HERE, PAGE, PICTURES, SECTIONS, page, sentence

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for names in SECTIONS.values() for name in names]


def test_none_is_forgotten():
    assert sorted(NAMES) == sorted(path.stem for path in HERE.glob("[!_]*.py"))
    assert sorted(NAMES) == sorted(path.stem for path in PICTURES.glob("*.png"))
    assert len(NAMES) >= 16
    assert PAGE.read_text() == page()  # `python -m examples.gallery NAME` writes it


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short(name):
    text = (HERE / f"{name}.py").read_text()
    compile(text, name, "exec")
    assert len(text.splitlines()) < 60
    assert sentence(name).endswith(".")
    assert 5_000 < (PICTURES / f"{name}.png").stat().st_size < 150_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_makes_its_picture(name, tmp_path):
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-W", "error", "-m", f"examples.gallery.{name}", str(picture)]
    done = subprocess.run(command, cwd=ROOT, env={"MPLBACKEND": "Agg"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 2 <= len(done.stdout.strip().splitlines()) <= 8
    assert 5_000 < picture.stat().st_size < 150_000
