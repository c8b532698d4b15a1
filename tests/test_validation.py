"""The page of what is known beside ours: every row holds, now as it did when the page was made."""

import dataclasses
import re

import pytest
from benchmarks.tables import ROOT
from benchmarks.validation.rows import COLUMNS, Row, printed, published, table
from benchmarks.validation.sections import SECTIONS

PAGE = printed()


def test_every_section_stands_on_the_page():
    assert list(PAGE) == list(SECTIONS)
    assert all(tuple(row) == COLUMNS for rows in PAGE.values() for row in rows)
    assert sum(map(len, PAGE.values())) > 90
    text = (ROOT / "docs" / "validation.md").read_text()
    shown = re.findall(r"^<!-- from validation\.md: .*; section = (.*) -->$", text, re.MULTILINE)
    assert sorted(shown) == sorted(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_says_nothing_that_it_refutes(section):
    """What is printed is as near as the tolerance beside it, but for the last digit of both."""
    for row in PAGE[section]:
        known, ours, allowed = (float(row[name]) for name in ("known", "ours", "tolerance"))
        assert abs(ours - known) <= allowed + published(row["ours"]) * (allowed > 0), row["quantity"]
        assert abs(float(row["difference"]) - (ours - known)) <= 0.06 * allowed + 2 * published(row["ours"])


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_number_again(section):
    rows = SECTIONS[section]()
    wrong = [f"{row.quantity}: {row.difference:.1e}, allowed {row.tolerance:.1e}" for row in rows if not row.holds]
    assert not wrong
    before = {row["quantity"]: row for row in PAGE[section]}
    assert [row.quantity for row in rows] == list(before), "python -m benchmarks.validation writes the page anew"
    for row in rows:
        then = before[row.quantity]
        cells = dict(zip(COLUMNS, row.cells(), strict=True))
        assert (cells["known from"], cells["our call"]) == (then["known from"], then["our call"])
        # What is known may follow from what is computed, such as a first exponent.
        both = row.tolerance + float(then["tolerance"])
        assert abs(float(cells["known"]) - float(then["known"])) <= both, row.quantity
        assert abs(float(cells["ours"]) - float(then["ours"])) <= both, row.quantity


def test_a_row_that_is_off_does_not_hold():
    row = Row("exponent", "0.9056", 0.90572, 5e-4, "Sprott 2003", "cx.lyapunov_spectrum(..).exponents[0]")
    assert row.holds
    assert not dataclasses.replace(row, ours=0.9062).holds
    assert not dataclasses.replace(row, ours=float("nan")).holds
    count = Row("cycles", 335, 335, 0, "Moreau 1872", "cx.enumerate_cycles(..)")
    assert count.holds
    assert not dataclasses.replace(count, ours=334).holds


def test_rows_are_printed_to_a_digit_beyond_the_tolerance():
    row = Row("exponent", "0.9056", 0.905724, 5e-4, "Sprott 2003", "call")
    assert row.cells() == ["exponent", "0.9056", "0.90572", "1.2e-04", "5.0e-04", "Sprott 2003", "`call`"]
    assert table({"s": [row]}).splitlines()[-1] == f"| s | {' | '.join(row.cells())} |"
    assert Row("n", 2, 2, 0, "", "c").cells()[1:5] == ["2", "2", "0", "0"]
    assert (published("-14.5723"), published("2.0"), published("7")) == (5e-5, 0.05, 0.5)
