"""What a compiled program costs: launches, reads by the host, bytes and operations, of a turn of one of its loops.

A launch is an instruction that runs something on the device. Between launches the host decides: a loop whose number of
turns the compiler does not know has its condition read before each turn, and so has a branch.
"""

import re
from typing import NamedTuple

import jax
from jaxlib import _hlo, _jax  # pyright: ignore[reportAttributeAccessIssue]

# Instructions that name, group or split buffers, and run nothing.
_FREE = frozenset((
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("opt-barrier", "add-dependency", "async-done", "copy-done", "domain"),
))  # fmt: skip
# On one number these are no launches: TPUs have a unit for them, and for GPUs XLA makes fusions of all that is none.
_LONE = frozenset((
    *("add", "subtract", "multiply", "divide", "remainder", "negate", "maximum", "minimum", "and", "or", "xor", "not"),
    *("shift-left", "shift-right-logical", "compare", "select", "convert", "bitcast-convert", "broadcast", "reshape"),
))  # fmt: skip
_ONE_NUMBER = re.compile(r" = \w+\[[1,]*\]")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (?:\((?:[^()]|\([^()]*\))*\)|\S+) ([\w\-]+)\(")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_BELOW = re.compile(r" compare\(%?[\w.\-]+, %?([\w.\-]+)\), direction=LT")
_CONSTANT = re.compile(r"%?([\w.\-]+) = s\d+\[\]\S* constant\((\d+)\)")
_TURNS = re.compile(r'known_trip_count"?:\s*\{"n":"(\d+)"')


class Cost(NamedTuple):
    """Launches and reads by the host."""

    launches: float
    reads: float

    def plus(self, other: "Cost", times: float = 1) -> "Cost":
        """Add another, so many times."""
        return Cost(self.launches + times * other.launches, self.reads + times * other.reads)


class Work(NamedTuple):
    """Bytes read and written, and operations of floating-point numbers, as XLA counts them."""

    bytes: float
    flops: float


class Loop(NamedTuple):
    """A loop: its body and condition, and how many turns it makes (None: the compiler does not know)."""

    body: str
    condition: str
    turns: int | None


class Program:
    """An optimized program, by its text.

    **Arguments:** `text`: as `compiled.as_text()` gives it; `unknown`: the turns to count for loops whose number the
    compiler does not know, inside the unit; `from_conditions`: the compiler does not write down what it knows, so the
    number is read off conditions `i < constant`, as those of `jax.lax.scan` are, which count from 0.
    """

    def __init__(self, text: str, unknown: float = 1, *, from_conditions: bool = False):
        self.text, self.unknown, self.from_conditions = text, unknown, from_conditions
        self.computations: dict[str, list[tuple[str, str]]] = {}
        self.entry = name = ""
        for line in text.splitlines():
            begins = None if line.startswith(" ") else _COMPUTATION.match(line)
            if begins:
                name = begins[2]
                self.computations[name] = []
                self.entry = name if begins[1] else self.entry
            elif name and (found := _INSTRUCTION.match(line)):
                self.computations[name].append((found[2], line))

    def loops(self, name: str) -> list[Loop]:
        """Give the loops that a computation runs, those in what it calls included."""
        found = []
        for kind, line in self.computations[name]:
            if kind == "while":
                found.append(self._loop(line))
            else:
                for called in _called(kind, line):
                    found += self.loops(called)
        return found

    def cost(self, name: str) -> Cost:
        """Count what one run of a computation costs."""
        total = Cost(0, 0)
        for kind, line in self.computations[name]:
            if kind == "while":
                loop = self._loop(line)
                turns = self.unknown if loop.turns is None else loop.turns
                total = total.plus(self.turn(loop), turns)
                # The condition once more, at the end.
                total = total.plus(Cost(0, 0) if loop.turns is not None else self.asked(loop))
            elif kind == "conditional":
                branches = [self.cost(called) for called in _called(kind, line)]
                total = total.plus(max(branches)).plus(Cost(0, 1))
            elif called := _called(kind, line):
                for one in called:
                    total = total.plus(self.cost(one))
            elif kind not in _FREE and not (kind in _LONE and _ONE_NUMBER.search(line)):
                total = total.plus(Cost(1, 0))
        return total

    def turn(self, loop: Loop) -> Cost:
        """Count what one turn of a loop costs, with its condition."""
        cost = self.cost(loop.body)
        return cost if loop.turns is not None else cost.plus(self.asked(loop))

    def asked(self, loop: Loop) -> Cost:
        """Count what asking for another turn costs."""
        return self.cost(loop.condition).plus(Cost(0, 1))

    def unit(self, depth: int) -> Loop | None:
        """Give the loop so deep in the program, of those with the most launches; None for the program itself."""
        name, loop = self.entry, None
        for _ in range(depth):
            loop = max(self.loops(name), key=self.turn)
            name = loop.body
        return loop

    def work(self, name: str) -> Work:
        """Count what one run of a computation does, loops inside with all their turns."""
        total = self._once(name)
        for loop in self.loops(name):
            turns = self.unknown if loop.turns is None else loop.turns
            # XLA's count has one turn of each in it.
            once, all_ = self._once(loop.body), self.work(loop.body)
            total = Work(*(have + turns * more - one for have, more, one in zip(total, all_, once, strict=True)))
        return total

    def _loop(self, line: str) -> Loop:
        body, condition = (re.search(rf"{part}=%?([\w.\-]+)", line) for part in ("body", "condition"))
        assert body is not None, line
        assert condition is not None, line
        turns = _TURNS.search(line)
        known = int(turns[1]) if turns else self._limit(condition[1]) if self.from_conditions else None
        return Loop(body[1], condition[1], known)

    def _limit(self, condition: str) -> int | None:
        """Give the constant below which a loop's counter has to be, where that is all that its condition asks."""
        lines = [line for _, line in self.computations[condition]]
        asked = _BELOW.search(lines[-1])
        limit = asked and next(
            (found for line in lines if (found := _CONSTANT.search(line)) and found[1] == asked[1]), None
        )
        return int(limit[2]) if limit else None

    def _once(self, name: str) -> Work:
        """Count by XLA's own analysis, made to believe that a computation is the program."""
        text = re.sub(r"^HloModule .*", "HloModule part, is_scheduled=true", self.text, count=1)
        text = re.sub(r"^ENTRY ", "", text, flags=re.MULTILINE)
        text = re.sub(rf"^%?{re.escape(name)} ", f"ENTRY %{name} ", text, count=1, flags=re.MULTILINE)
        module = _hlo.hlo_module_from_text(text)
        counts = _jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, module)
        return Work(counts.get("bytes accessed", 0.0), counts.get("flops", 0.0))


def _called(kind: str, line: str) -> list[str]:
    """Give the computations that an instruction runs, launch by launch (a fusion is one launch)."""
    if kind == "conditional":
        several = re.search(r"branch_computations=\{([^}]*)\}", line)
        pair = re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", line)
        return [one.strip().lstrip("%") for one in several[1].split(",")] if several else pair
    if kind == "call":
        return re.findall(r"to_apply=%?([\w.\-]+)", line)
    if kind == "async-start":
        return re.findall(r"calls=%?([\w.\-]+)", line)
    return []
