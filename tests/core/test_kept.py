"""Compiled programs that are kept: where, and that damaged ones do no harm."""

import os
import subprocess
import sys

import pytest

import cyclax as cx
from cyclax.core import kept

PROGRAM = """
import sys, warnings, jax, cyclax as cx
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.rsplit("/", 1)[-1]))
place = cx.keep_compiled(sys.argv[1] if len(sys.argv) > 1 else None)
warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
cycles = cx.find_cycles(cx.LoziMap(1.7, 0.5), 2, key=0, progress=False)
print(place, len(cycles), events.count("cache_hits"), events.count("cache_misses"))
"""


def run(*words: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_second_process_compiles_nothing_and_damage_is_compiled_again(tmp_path):
    folder = str(tmp_path / "new" / "folder")
    place, number, hits, misses = run(folder)
    assert place.startswith(folder)
    assert (number, hits) == ("3", "0")
    assert int(misses) >= 3
    assert run(folder) == [place, "3", misses, "0"]
    entries = sorted((tmp_path / "new" / "folder").rglob("*-cache"))
    assert len(entries) == int(misses)
    entries[0].write_bytes(b"")
    entries[1].write_bytes(entries[1].read_bytes()[:100])
    entries[2].write_bytes(os.urandom(1000))
    assert run(folder)[:3] == [place, "3", str(int(misses) - 3)]


def test_where_it_is_usual(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept.cache_folder() == tmp_path / "cyclax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(kept.Path, "home", lambda: tmp_path)
    assert kept.cache_folder() == tmp_path / ".cache" / "cyclax"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kept.cache_folder() == tmp_path / "Library" / "Caches" / "cyclax"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert kept.cache_folder() == tmp_path / "Local" / "cyclax" / "cache"


def test_a_folder_that_jax_has_been_told_is_used(tmp_path):
    assert run(JAX_COMPILATION_CACHE_DIR=str(tmp_path))[0] == str(tmp_path)


def test_the_command_line_keeps_programs_unless_told_not_to(tmp_path):
    cx.save(tmp_path / "lozi.json", cx.LoziMap(1.7, 0.5))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    home = clean | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "cyclax", "cycles", str(tmp_path / "lozi.json"), "--orders", "1"]
    subprocess.run([*command, "--no-cache"], env=home, check=True, capture_output=True)
    assert not list(tmp_path.rglob("*-cache"))
    done = subprocess.run(command, env=home, check=True, capture_output=True, text=True)
    assert list(tmp_path.rglob("*-cache"))
    again = subprocess.run(command, env=home, check=True, capture_output=True, text=True)
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^folder: .* cannot be made .*; give keep_compiled a folder that is writable"):
        cx.keep_compiled(tmp_path / "file")
