"""Differential fuzzing by one command: `python -m tests.differential.fuzz --seed 7 --networks 5000 --minutes 30`.

Networks of every class and style are drawn, all their cycles are known from every word in rationals, and what the
library says of them is judged. It prints a table, and Python for every failure.
"""

import argparse
import contextlib
import dataclasses
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

import cyclax as cx
from cyclax.core.budget import TooExpensiveError

from . import verbs
from .judge import Finding, judge, number_of, undecided
from .networks import SHAPES, STYLES, Network, networks
from .programs import forget_programs
from .reference import Reference
from .verbs import SHAPES_OF_VERBS, VERBS, Said

# Seconds that an enumeration may take, and after which it is given up.
BUDGET, PATIENCE = 0.5, 60
# As text: failures are told as Python.
FINDERS = ("cx.SCYFI(starts=512)", "None", "cx.Combined(starts=cx.SCYFI(starts=512), proofs=False)")
METHODS: dict[str, str] = {
    "default": "None",
    "Exhaustive": "cx.Exhaustive()",
    "WordGraph": "cx.WordGraph()",
    "BranchAndBound": "cx.BranchAndBound()",
    "rigorous": "cx.WordGraph(rigorous=True)",
}


@dataclasses.dataclass(frozen=True)
class Failure:
    """One finding, and Python that shows it."""

    network: Network
    call: str
    finding: Finding

    def __str__(self) -> str:
        return (
            f"# {self.finding}\n# {self.network.shape}, {self.network.style}, number {self.network.number}\n"
            f"import numpy as np, cyclax as cx\nfrom tests.differential import metamorphic, verbs\n"
            f"model = {self.network.code()}\nprint({self.call}, flush=True)"
        )


@dataclasses.dataclass
class Tally:
    """What a run has seen."""

    failures: list[Failure] = dataclasses.field(default_factory=list)
    counts: dict[str, Counter] = dataclasses.field(default_factory=dict)
    refusals: Counter = dataclasses.field(default_factory=Counter)
    ordinary: dict[str, Said] = dataclasses.field(default_factory=dict)  # outside the style that asks to be undecided

    def add(self, row: str, **numbers: int) -> None:
        """Add to a row of the table."""
        self.counts.setdefault(row, Counter()).update(numbers)

    def judged(self, network: Network, method: str, verdicts: int, undecided: int) -> None:
        """Count verdicts, and those of them that left something undecided."""
        for row in (network.shape, network.style, method):
            self.add(row, **{"orders": verdicts, "undecided orders": undecided})
        if network.style != "near-singular":
            said = self.ordinary.setdefault(method, Said())
            said.verdicts, said.undecided = said.verdicts + verdicts, said.undecided + undecided

    def note(
        self, network: Network, method: str, call: str, findings: list[Finding], also: tuple[str, ...] = ()
    ) -> None:
        """Keep what was found."""
        rows = (network.shape, network.style, method, *also)
        for finding in findings:
            for row in rows:
                self.add(row, **{"soft" if finding.soft else _column(finding.kind): 1})
        self.failures += [Failure(network, call, finding) for finding in findings]

    @property
    def hard(self) -> list[Failure]:
        """Failures that are no matter of wording."""
        return [failure for failure in self.failures if not failure.finding.soft]


COLUMNS = ("networks", "calls", "orders", "claims", "false claims", "false entries", "wrong values", "exceptions")
COLUMNS = (*COLUMNS, "refusals", "undecided", "undecided orders", "soft")


def _column(kind: str) -> str:
    if kind.startswith(("missing", "false incomplete")):
        return "false claims"
    if kind.startswith("exception"):
        return "exceptions"
    return "wrong values" if kind.startswith(("wrong", "margin")) else "false entries"


def enumerations(
    network: Network, reference: Reference, number: int, seed: int, methods=tuple(METHODS)
) -> Iterator[tuple[str, str]]:
    """Draw calls of `enumerate_cycles`: (method, code), with orders and boxes of all kinds."""
    rng = np.random.default_rng([seed, network.number, len(network.shape), len(network.style), 1])
    first = int(rng.integers(len(methods)))
    for i in range(number):
        name = methods[(first + i) % len(methods)]
        few = [k for k in ("1", "2", "3", "[2]", "[3]", "[4]") if int(k.strip("[]")) <= reference.most]
        orders = str(rng.choice(few))
        if name in ("WordGraph", "rigorous", "default") and rng.random() < 0.25:
            orders = '"all"'
        box = _box(network, reference, rng)
        options = f"method={METHODS[name]}, box={box}, budget={BUDGET}, progress=False"
        yield name, f"cx.enumerate_cycles(model, {orders}, {options})"


def _box(network: Network, reference: Reference, rng: np.random.Generator) -> str:
    kind = rng.integers(4)
    if kind == 0:
        return "None"
    known = [
        solution for order in (1, 2) if order <= reference.most for solution in reference.order(order).cycles.values()
    ]
    if kind == 1 or not known:
        return str(float(10.0 ** rng.integers(0, 8)))
    points = np.array([[number_of(x) for x in point] for point in known[int(rng.integers(len(known)))].points])
    room = (1e-3 + rng.random(2)) * max(1e-300, float(np.max(np.abs(points))))
    lower, upper = points.min(axis=0) - room[0], points.max(axis=0) + room[1]
    if kind == 3:  # the cycle touches the box, as well as float64 can
        upper[0] = points.max(axis=0)[0]
    if not np.all(np.isfinite([lower, upper])) or not np.all(lower < upper):
        return "None"
    return f"({lower.tolist()}, {upper.tolist()})"


def attempt(call: str, model, **names) -> tuple[object, list[Finding], str]:
    """Make a call. **Returns:** its result or None, what is wrong with an exception, and what a refusal says."""
    try:
        with _patience(), warnings.catch_warnings():
            warnings.simplefilter("error")
            return eval(call, {"cx": cx, "np": np, "model": model, **names}), [], ""
    except _Stopped:
        return None, [Finding("over time", 0, f"not done after {PATIENCE} s, budget {BUDGET} s", True)], ""
    except TooExpensiveError as error:
        return None, [], _headline(error)
    except Exception as error:
        # A refusal names the argument. Of a network of these classes none is expected but those of cost and exactness.
        documented = isinstance(error, ValueError) and not isinstance(error, np.linalg.LinAlgError)
        if documented and type(error).__name__ == "NotExactError":
            return None, [], _headline(error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.split('/')[-1]}:{place.name}"
        kind = "exception: refusal" if documented and str(error).startswith("model:") else "exception"
        return None, [Finding(kind, 0, f"{type(error).__name__} in {where}: {error}")], ""


def _headline(error: Exception) -> str:
    text = str(error).split(":")[0] + ":" + str(error).split(":")[-1][:60]
    return f"{type(error).__name__}: {''.join(c for c in text if not c.isdigit())}"


class _Stopped(BaseException):
    pass


@contextlib.contextmanager
def _patience():
    def stop(*_):
        raise _Stopped

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(tally: Tally, network: Network, method: str, call: str, reference: Reference) -> None:
    """Make one call that returns `Cycles`, judge it, and keep count."""
    result, findings, refusal = attempt(call, network.model)
    numbers = dict(calls=1, refusals=bool(refusal))
    if isinstance(result, cx.Cycles):
        findings = judge(reference, result, everything='"all"' in call)
        verdicts = [entry["verdict"] for entry in result.report["orders"].values()]
        left = undecided(result)
        numbers |= dict(claims=verdicts.count("proved complete"), undecided=left > 0)
        tally.judged(network, method, len(verdicts), left)
    if refusal:
        tally.refusals[refusal] += 1
    for row in (network.shape, network.style, method):
        tally.add(row, **numbers)
    tally.note(network, method, call, findings)


def run(
    seed: int,
    number: int,
    *,
    shapes=tuple(SHAPES),
    styles=tuple(STYLES),
    each: int = 4,
    methods=tuple(METHODS),
    searches: bool = True,
    seconds: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Draw networks and judge enumerations (`each` of them) and a search of each."""
    tally, began = Tally(), time.monotonic()
    for i, network in enumerate(networks(seed, number, shapes, styles)):
        if time.monotonic() - began > seconds:
            say(f"time is up after {i} of {number} networks")
            break
        before = len(tally.hard)
        judge_network(tally, network, seed, each=each, methods=methods, searches=searches)
        for failure in tally.hard[before:]:
            say(f"{failure}\n")
        forget_programs()
    return tally


def judge_network(
    tally: Tally, network: Network, seed: int, *, each: int = 4, methods=tuple(METHODS), searches: bool = True
) -> None:
    """Judge enumerations of one network (`each` of them), and searches."""
    reference = Reference(network.model)
    for row in (network.shape, network.style):
        tally.add(row, networks=1)
    for method, call in enumerations(network, reference, each, seed, methods):
        check(tally, network, method, call, reference)
    for finder in FINDERS if searches else ():
        call = f"cx.find_cycles(model, {min(2, reference.most)}, key=0, finder={finder}, progress=False)"
        check(tally, network, "find_cycles", call, reference)


def run_verbs(
    seed: int,
    number: int,
    *,
    asked=tuple(VERBS),
    shapes=SHAPES_OF_VERBS,
    styles=tuple(STYLES),
    seconds: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Draw networks and judge the other verbs, each on all of them."""
    tally, began = Tally(), time.monotonic()
    for network in networks(seed, number, shapes, styles):
        if time.monotonic() - began > seconds:
            say("time is up")
            break
        before = len(tally.hard)
        ask_verbs(tally, network, asked)
        for failure in tally.hard[before:]:
            say(f"{failure}\n")
        forget_programs()
    return tally


def ask_verbs(tally: Tally, network: Network, asked=tuple(VERBS)) -> None:
    """Ask other verbs about one network, and judge what they say."""
    for row in (network.shape, network.style):
        tally.add(row, networks=1)
    for verb in asked:
        call, said = f"verbs.ask(model, {verb!r}, {network.number})", Said()
        result, wrong, refusal = attempt(f"{call[:-1]}, said)", network.model, verbs=verbs, said=said)
        tally.judged(network, verb, said.verdicts, said.undecided)
        for row in (network.shape, network.style, verb):
            tally.add(row, calls=1, refusals=bool(refusal))
        tally.note(network, verb, call, [*(result if isinstance(result, list) else ()), *wrong])


def undecided_share(tally: Tally) -> tuple[int, int]:
    """Count undecided verdicts, and all of them, outside the style that asks for them."""
    ordinary = tally.ordinary.values()
    return sum(said.undecided for said in ordinary), sum(said.verdicts for said in ordinary)


def table(tally: Tally) -> str:
    """Write the counts as a table."""
    width = max(map(len, tally.counts))
    lines = [" " * width + "".join(f"{name:>17}" for name in COLUMNS)]
    groups = (tuple(SHAPES), tuple(STYLES), None)
    for group in groups:
        rows = group or [row for row in tally.counts if row not in SHAPES and row not in STYLES]
        for row in (row for row in rows if row in tally.counts):
            lines.append(f"{row:{width}}" + "".join(f"{tally.counts[row][name]:17d}" for name in COLUMNS))
        lines.append("")
    kinds = Counter((failure.finding.kind, failure.finding.soft) for failure in tally.failures)
    lines += [f"{count:6d} {kind}{' (soft)' if soft else ''}" for (kind, soft), count in kinds.most_common()]
    lines += [f"{count:6d} refused: {text}" for text, count in tally.refusals.most_common()]
    left, verdicts = undecided_share(tally)
    lines += ["undecided outside near-singular:"]
    for name, said in {**tally.ordinary, "all": Said(verdicts, left)}.items():
        share = 100 * said.undecided / max(said.verdicts, 1)
        lines.append(f"    {name}: {said.undecided} of {said.verdicts} verdicts ({share:.2f} %)")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where something false was said."""
    parser = argparse.ArgumentParser(description="Differential fuzzing of cyclax against exact rationals.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--each", type=int, default=4, help="enumerations of each network")
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), metavar="SHAPE")
    parser.add_argument("--styles", nargs="*", default=list(STYLES), choices=list(STYLES), metavar="STYLE")
    parser.add_argument("--no-search", action="store_true", help="leave find_cycles out")
    parser.add_argument("--verbs", nargs="*", choices=list(VERBS), metavar="VERB", help="judge these verbs instead")
    given = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(text, flush=True)

    common = dict(styles=tuple(given.styles), seconds=60 * given.minutes, say=say)
    if given.verbs is None:
        shapes = tuple(given.shapes or SHAPES)
        tally = run(given.seed, given.networks, shapes=shapes, each=given.each, searches=not given.no_search, **common)
    else:
        asked, shapes = tuple(given.verbs or VERBS), tuple(given.shapes or SHAPES_OF_VERBS)
        tally = run_verbs(given.seed, given.networks, asked=asked, shapes=shapes, **common)
    print(table(tally))
    return bool(tally.hard)


if __name__ == "__main__":
    sys.exit(main())
