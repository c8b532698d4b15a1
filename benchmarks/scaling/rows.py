"""Rows of a long run: each is kept as soon as it is there, so that a run that was stopped goes on."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
# What tells a row: its part, and its name there; and a function that computes it.
Task = tuple[str, str, Callable[[], Row]]


def kept(path: Path) -> list[Row]:
    """Read the rows of a file; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def forget(path: Path, parts: Iterable[str]) -> None:
    """Leave out the rows of some parts."""
    left = [row for row in kept(path) if row["part"] not in set(parts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in left), "utf-8")


def run(tasks: Iterable[Task], path: Path, seconds: float = float("inf")) -> None:
    """Do what is not in the file yet, one after the other, until the seconds are over."""
    done = {(row["part"], row["name"]) for row in kept(path)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        whole = path.read_text("utf-8")
        path.write_text(whole[: whole.rfind("\n") + 1], "utf-8")
    began = time.perf_counter()
    for part, name, compute in tasks:
        if (part, name) in done:
            continue
        if time.perf_counter() - began > seconds:
            print("the time is up; the same command goes on here", file=sys.stderr)
            return
        row = {"part": part, "name": name, "load": round(os.getloadavg()[0], 1), **compute()}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
