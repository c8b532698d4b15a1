"""What the benchmark of accelerators counts: in programs written by hand, and (slow) in those of the compilers."""

import re

import pytest
from benchmarks.accelerators import __main__ as accelerators
from benchmarks.accelerators import kernels, targets
from benchmarks.accelerators.program import Cost, Program, Work

# A loop of 3 turns, one of unknown turns within it, a branch, and what is no launch.
WRITTEN = """\
HloModule written, is_scheduled=true

%doubled (x: f64[4]) -> f64[4] {
  %x = f64[4]{0} parameter(0)
  ROOT %sum.1 = f64[4]{0} add(%x, %x)
}

%below.1 (s: (s64[], f64[4])) -> pred[] {
  %s = (s64[], f64[4]{0}) parameter(0)
  %i = s64[] get-tuple-element(%s), index=0
  %n = s64[] constant(5)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

%inner (s.1: (s64[], f64[4])) -> (s64[], f64[4]) {
  %s.1 = (s64[], f64[4]{0}) parameter(0)
  %i.1 = s64[] get-tuple-element(%s.1), index=0
  %z.1 = f64[4]{0} get-tuple-element(%s.1), index=1
  %f.1 = f64[4]{0} fusion(%z.1), kind=kLoop, calls=%doubled
  %f.2 = f64[4]{0} fusion(%f.1), kind=kLoop, calls=%doubled
  ROOT %t.1 = (s64[], f64[4]{0}) tuple(%i.1, %f.2)
}

%outer (s.2: (s64[], f64[4])) -> (s64[], f64[4]) {
  %s.2 = (s64[], f64[4]{0}) parameter(0)
  %w.1 = (s64[], f64[4]{0}) while(%s.2), condition=%below.1, body=%inner
  %i.2 = s64[] get-tuple-element(%w.1), index=0
  %z.2 = f64[4]{0} get-tuple-element(%w.1), index=1
  %c.2 = f64[4]{0} copy(%z.2)
  ROOT %t.2 = (s64[], f64[4]{0}) tuple(%i.2, %c.2)
}

%one (a: f64[4]) -> f64[4] {
  %a = f64[4]{0} parameter(0)
  ROOT %f.3 = f64[4]{0} fusion(%a), kind=kLoop, calls=%doubled
}

%none (b: f64[4]) -> f64[4] {
  ROOT %b = f64[4]{0} parameter(0)
}

ENTRY %main (z: f64[4], p: pred[]) -> f64[4] {
  %z = f64[4]{0} parameter(0)
  %p = pred[] parameter(1)
  %zero = s64[] constant(0)
  %t.3 = (s64[], f64[4]{0}) tuple(%zero, %z)
  %w.2 = (s64[], f64[4]{0}) while(%t.3), condition=%below.1, body=%outer, backend_config={"known_trip_count":{"n":"3"}}
  %z.3 = f64[4]{0} get-tuple-element(%w.2), index=1
  ROOT %r = f64[4]{0} conditional(%p, %z.3, %z.3), true_computation=%one, false_computation=%none
}
"""


def test_launches_reads_and_work_of_a_program_written_by_hand():
    program = Program(WRITTEN, unknown=5)
    outer, inner = program.unit(1), program.unit(2)
    assert program.unit(0) is None
    assert outer is not None
    assert inner is not None
    assert (outer.body, outer.turns, inner.body, inner.turns) == ("outer", 3, "inner", None)
    # Two fusions, and the condition is read.
    assert program.turn(inner) == Cost(2, 1)
    # Five turns of these, the condition once more, and a copy; the host knows that there are three of it.
    assert program.turn(outer) == Cost(5 * 2 + 1, 5 + 1)
    # The longer branch, and its predicate.
    assert program.cost(program.entry) == Cost(3 * 11 + 1, 3 * 6 + 1)
    # Each fusion adds four numbers of 8 bytes, and reads and writes them; a tuple of two is two addresses, or one.
    assert program.work("inner") in [Work(2 * 2 * 32 + tuple_, 2 * 4) for tuple_ in (16, 8)]
    assert program.work("outer").flops == pytest.approx(5 * 8, abs=5 + 1)  # the condition is a comparison of integers


def test_turns_are_read_off_conditions_where_the_compiler_writes_none_down():
    program = Program(WRITTEN, from_conditions=True)
    inner = program.unit(2)
    assert inner is not None
    assert inner.turns == 5
    assert program.cost("outer") == Cost(5 * 2 + 1, 0)
    other = Program(WRITTEN.replace("direction=LT", "direction=NE"), from_conditions=True).unit(2)
    assert other is not None
    assert other.turns is None


def test_the_page_keeps_what_was_measured():
    rows = [
        {"problem": problem.title, "kernel": row.kernel, "unit": row.unit, "target": target, "bits": 64}
        | ({"error": "no"} if target == "tpu" else {"launches": 1234.0, "reads": 2.0, "bytes": 5e6, "flops": 7e3})
        for problem in kernels.problems()
        for row in problem.rows
        for target in targets.TITLES
    ]
    text = accelerators.PAGE.read_text()
    made = accelerators.page(rows, text)
    assert made.startswith(text.split(accelerators.HEADING)[0].rstrip())
    assert made.count("| 1,234 | 2 | 5,000 | 7.0 | does not compile | - | - |") == len(rows) / 2
    assert accelerators.page(rows, made) == made


def test_what_to_install_is_said():
    for target, packages in (("cuda", ("jax-cuda12-plugin==", "nvidia-cuda-nvcc")), ("tpu", ("libtpu==",))):
        advice = targets.advice(target, "there")
        assert f"--target there/{target}" in advice
        assert all(package in advice for package in packages)
        assert targets.folder(target, "nowhere") is None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_launches_are_at_most_what_they_were():
    """Compiled for an H100, the kernels launch no more than the bounds that `kernels` states."""
    place = targets.folder("cuda", None)
    if place is None:
        pytest.skip(f"{targets.advice('cuda')}, and set {targets.VARIABLE} to the folder")
    bounds = {key: row for key, row in accelerators.goals().items() if row.at_most is not None}
    rows = list(accelerators.counted("cuda", place, sorted({title for title, _ in bounds})))
    seen = {(row["problem"], row["kernel"]): row for row in rows}
    assert set(bounds) <= set(seen)
    for key, bound in bounds.items():
        assert seen[key]["launches"] <= bound.at_most, key
        assert seen[key]["reads"] <= bound.reads_at_most, key


def test_the_text_says_that_nothing_was_run():
    for page in ("README.md", "docs/performance.md"):
        text = (accelerators.ROOT / page).read_text()
        assert re.search(r"compiled for, not measured", text, re.IGNORECASE), page
