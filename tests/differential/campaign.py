"""A long campaign in slices: `python -m tests.differential.campaign ledger.jsonl --seed 7 --minutes 60`.

Every verb is asked about networks of every class it is fuzzed with, and about the same networks in other words, the
verb that is furthest from its goal first. One line of the ledger says what one verb said of one network, so that slices
add up: the next run goes on where the last one, stopped or killed, has ended. The table at the end is of all lines.
"""

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import metamorphic
from .fuzz import Tally, ask_verbs, judge_network
from .judge import Finding
from .networks import SHAPES, STYLES, Network, in_turn
from .programs import forget_programs
from .transforms import TRANSFORMS
from .verbs import SHAPES_OF_VERBS, VERBS


@dataclasses.dataclass(frozen=True)
class Part:
    """One verb, or one verb asked in two ways: of how many networks, of which shapes."""

    goal: int
    shapes: tuple[str, ...]
    ask: Callable[[Tally, Network, int], None]


def _in_other_words(verb: str) -> Callable[[Tally, Network, int], None]:
    def ask(tally: Tally, network: Network, seed: int) -> None:
        for name in TRANSFORMS:
            metamorphic.change_network(tally, network, name, seed, verbs=(verb,), say=lambda _: None)

    return ask


# Four enumerations of a network, by all methods in turn; scans have their boundaries with them, half of them exact.
PARTS: dict[str, Part] = {
    "enumerate_cycles": Part(
        5000, tuple(SHAPES), lambda tally, network, seed: judge_network(tally, network, seed, searches=False)
    ),
    "find_cycles": Part(500, tuple(SHAPES), lambda tally, network, seed: judge_network(tally, network, seed, each=0)),
    **{
        verb: Part(500, SHAPES_OF_VERBS, lambda tally, network, _, verb=verb: ask_verbs(tally, network, (verb,)))
        for verb in VERBS
    },
    **{f"metamorphic: {verb}": Part(200, SHAPES_OF_VERBS, _in_other_words(verb)) for verb in metamorphic.VERBS},
}
# As many networks of one shape are asked one after the other: they share compiled programs.
TOGETHER = 15
# The columns of the table, of those that a tally counts: what is a verdict, and what is false.
FALSE = ("false claims", "false entries", "wrong values", "exceptions")
COLUMNS = ("networks", "calls", "verdicts", "claims", "undecided", "refusals", "false", "soft")


def run(
    ledger: Path,
    seed: int,
    *,
    seconds: float,
    parts=tuple(PARTS),
    most: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Ask until the time is up, all goals are reached, or `most` lines are written."""
    lines, commit, began, written = list(read(ledger)), _commit(), time.monotonic(), 0
    known = {(line["part"], line["seed"], line["number"], line["shape"]) for line in lines}
    done = Counter(line["part"] for line in lines)
    if ledger.exists() and not ledger.read_bytes().endswith(b"\n"):  # a run was killed while it wrote
        with ledger.open("a") as file:
            file.write("\n")
    queues = {name: _queue(name, seed, known) for name in parts}
    while time.monotonic() - began < seconds and written < most:
        behind = [name for name in parts if done[name] < PARTS[name].goal]
        if not behind:
            break
        name = min(behind, key=lambda name: done[name] / PARTS[name].goal)
        for network in next(queues[name]):
            if time.monotonic() - began >= seconds or written >= most or done[name] >= PARTS[name].goal:
                break
            line = asked(name, network, seed) | {"commit": commit}
            with ledger.open("a") as file:
                file.write(json.dumps(line) + "\n")
            for failure in line["failures"]:
                say(failure + "\n")
            done[name], written = done[name] + 1, written + 1
            forget_programs()


def _queue(name: str, seed: int, known: set) -> Iterator[list[Network]]:
    """Draw the networks of one part that a seed has not been asked about: some of every shape in turn."""
    for first in itertools.count(step=TOGETHER):
        for shape in PARTS[name].shapes:
            numbers = range(first, first + TOGETHER)
            yield [in_turn(seed, i, shape) for i in numbers if (name, seed, i, shape) not in known]


def asked(name: str, network: Network, seed: int) -> dict[str, Any]:
    """Ask one verb about one network. **Returns:** the line of the ledger, without the commit."""
    tally, began = Tally(), time.monotonic()
    try:
        PARTS[name].ask(tally, network, seed)
    except Exception as error:  # of the judge, or of the reference: the campaign goes on
        finding = Finding("exception of the judge", 0, f"{type(error).__name__}: {error}")
        tally.note(network, name, f"# {name}, seed {seed}", [finding])
    counts = tally.counts.get(network.style, Counter())
    return {
        "part": name,
        "seed": seed,
        "number": network.number,
        "shape": network.shape,
        "style": network.style,
        "calls": counts["calls"],
        "verdicts": counts["orders"],
        "claims": counts["claims"],
        "undecided": counts["undecided orders"],
        "refusals": counts["refusals"],
        "false": sum(counts[column] for column in FALSE),
        "soft": counts["soft"],
        "failures": [str(failure) for failure in tally.hard],
        "seconds": round(time.monotonic() - began, 2),
    }


def read(ledger: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a ledger, but for halves of lines that killed runs have left."""
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _commit() -> str:
    """Name the state of the source; where there is no repository, say so."""
    try:
        said = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
        return subprocess.run(
            said, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def table(lines: list[dict[str, Any]]) -> str:
    """Write what a ledger holds: by verb, by verb and style where something was undecided or false, and by run."""
    written = [f"{'':34}" + "".join(f"{name:>11}" for name in COLUMNS) + f"{'undecided':>11}"]
    for name in (name for name in PARTS if any(line["part"] == name for line in lines)):
        own = [line for line in lines if line["part"] == name]
        written.append(_row(f"{name} (of {PARTS[name].goal})", own))
        for style in STYLES:
            some = [line for line in own if line["style"] == style]
            if any(line["undecided"] or line["false"] for line in some):
                written.append(_row(f"    {style}", some))
    ordinary = [line for line in lines if line["style"] != "near-singular"]
    written += [_row("all", lines), _row("all but near-singular", ordinary), ""]
    runs = Counter((line["commit"], line["seed"]) for line in lines)
    hours = sum(line["seconds"] for line in lines) / 3600
    written += [f"{count:7d} lines of seed {seed} at {commit}" for (commit, seed), count in runs.items()]
    return "\n".join([*written, f"{hours:.2f} hours"])


def _row(name: str, lines: list[dict[str, Any]]) -> str:
    sums = Counter[str]()
    for line in lines:
        sums.update({column: line.get(column, 0) for column in COLUMNS} | {"networks": 1})
    share = f"{100 * sums['undecided'] / sums['verdicts']:.2f} %" if sums["verdicts"] else ""
    return f"{name:34}" + "".join(f"{sums[column]:11d}" for column in COLUMNS) + f"{share:>11}"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where the ledger holds something false."""
    parser = argparse.ArgumentParser(description="A campaign of fuzzing in slices, which add up in a ledger.")
    parser.add_argument("ledger", type=Path, help="a file of JSON lines, made or gone on with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="0: the table only")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS), metavar="PART")
    given = parser.parse_args(arguments)
    say = lambda text: print(text, flush=True)  # noqa: E731
    run(given.ledger, given.seed, seconds=60 * given.minutes, parts=tuple(given.parts), say=say)
    lines = list(read(given.ledger))
    print(table(lines))
    return int(any(line["false"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
