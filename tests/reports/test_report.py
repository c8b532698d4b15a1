"""Reports: the page against what the verbs themselves say, and what becomes of it where one of them fails."""

import dataclasses
import importlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import CASES

import cyclax as cx
from cyclax import cli

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>alert('\"&amp;')</script><img src=http://example.org/x.png>.json"


class Page(HTMLParser):
    """A page taken apart: its tags in order, its pictures, its text; tags that do not match are refused."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.parts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        self.pictures += [dict(attrs)["src"]] if tag == "img" else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.parts.append(data)


def told(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def chaos():
    return cx.report(cx.LoziMap(1.7, 0.5), 4, key=3, samples=64, steps=1000, name=HOSTILE, progress=False)


@pytest.fixture(scope="module")
def written(chaos) -> str:
    return chaos.html()


@pytest.fixture(scope="module")
def settled():
    """One unit: both fixed points are known in closed form, and so is how far the stable one is from its border."""
    model = cx.SkewTentMap(left=0.5, right=-0.7, offset=0.4)
    return cx.report(model, 2, key=0, samples=32, steps=500, progress=False)


def test_it_is_what_the_verbs_say(chaos, written):
    model = cx.LoziMap(1.7, 0.5)
    cycles = cx.find_cycles(model, 4, key=3, progress=False)
    found = cx.attractors(model, 64, key=3)
    page = Page(written)
    said = str(cycles).splitlines()
    assert told(said[0]) in page.text
    assert len(cycles) == 4
    for row in said[2:-1]:
        assert told(row) in page.text
    assert said[-1].startswith("complete? proved complete for orders 1..4")
    assert told(said[-1]) in page.text
    for order, number in cycles.counts.items():
        entry = cycles.report["orders"][str(order)]
        assert told(f"{order} {number} {entry['verdict']} {entry['reason']}") in page.text
    assert [repr(entry) for entry in chaos.attractors.entries] == [repr(entry) for entry in found.entries]
    for i, entry in enumerate(found.entries):
        assert told(f"{i + 1} {entry!r}") in page.text
    assert {entry.kind for entry in found.entries} == {"chaos", "divergence"}
    (one,) = chaos.exponents
    assert found.entries[one.attractor].kind == "chaos"
    assert np.sum(one.values) == pytest.approx(np.log(0.5), abs=1e-12)  # |det| of the Lozi map is 0.5 everywhere
    assert f"{one.values[0]:+.5g}" in page.text
    assert told(str(one.spectrum).splitlines()[-1]) in page.text
    assert "No stable cycle was found." in page.text
    facts = [("class", "LoziMap"), ("states", 2), ("gates", 1), ("parameters", 2), ("cyclax", cx.__version__)]
    for what, value in [*facts, ("hash", cycles.provenance["model"])]:
        assert f"{what} {value}" in page.text
    assert chaos.problems == {}


def test_it_needs_nothing_else_and_runs_nothing(written):
    page = Page(written)
    assert page.addresses == page.pictures
    assert len(page.pictures) == 3
    assert all(
        address.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,")) for address in page.pictures
    )
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form", "a"}
    assert "default-src 'none'" in written
    assert "url(" not in written


def test_names_are_escaped(written):
    page = Page(written)
    assert page.text.count(told(HOSTILE)) == 2  # the title, and the heading
    assert "<script" not in written


def test_it_writes_the_same_page_again_or_none(chaos, written, settled, tmp_path):
    chaos.save(tmp_path / "one.html")
    assert (tmp_path / "one.html").read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == ["one.html"]
    with pytest.raises(ValueError, match=r"written to \.html files"):
        settled.save(tmp_path / "one.txt")
    with pytest.raises(OSError, match="choose a folder that exists"):
        settled.save(tmp_path / "nowhere" / "one.html")


def test_one_unit_in_closed_form(settled):
    # z -> 0.4 - 0.7 z for z > 0: fixed at 0.4 / 1.7, with multiplier -0.7.
    page = Page(settled.html())
    (cycle,) = settled.cycles
    assert cycle.points[0, 0] == pytest.approx(0.4 / 1.7)
    (entry,), (one,) = settled.attractors.entries, settled.exponents
    assert entry.share == 1
    assert one.values == pytest.approx([np.log(0.7)])
    assert f"{np.log(0.7):+.5g}" in page.text
    (near,) = settled.neighborhoods
    # The border is where the offset is 0; a flip, where the slope is -1: 0.3 away.
    assert near.distance.distance == pytest.approx(0.3)
    assert told(f"degenerate flip {near.distance.distance:.6g} right by -0.3") in page.text
    assert told(repr(near.cycle)) in page.text


def test_no_attractor_and_no_cycle():
    # Without a fixed point all goes to infinity: z -> z + 1 for z > 0, 0.5 z + 1 below.
    result = cx.report(cx.SkewTentMap(left=1.5, right=1.0, offset=1.0), 1, key=0, samples=16, progress=False)
    page = Page(result.html())
    assert "diverges to infinity" in page.text
    assert "No attractor has exponents." in page.text
    assert result.exponents == ()


def test_a_section_that_fails_loses_nothing_of_the_others(monkeypatch):
    def fails(*arguments, **settings):
        raise ValueError("<b>a boundary</b> that nobody reaches")

    def breaks(*arguments, **settings):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(verb_module(), "distance_to_bifurcation", fails)
    monkeypatch.setattr(verb_module(), "find_cycles", breaks)
    model = cx.SkewTentMap(left=0.5, right=-0.7, offset=0.4)
    result = cx.report(model, 2, key=0, samples=16, progress=False)
    page = Page(result.html())
    assert result.cycles is None
    assert "RuntimeError: out of luck" in page.text
    assert "<b>a boundary</b> that nobody reaches" in page.text
    assert f"{np.log(0.7):+.5g}" in page.text
    assert "NOT WHOLE: cycles: RuntimeError: out of luck" in str(result)


def test_boundaries_of_a_large_cycle_are_looked_for_within_a_budget(monkeypatch):
    monkeypatch.setattr(verb_module(), "_SECONDS", 1e-6)
    rng = np.random.default_rng(0)
    model = cx.PLRNN(A=np.full(12, 0.5), W=0.1 * rng.normal(size=(12, 12)), h=rng.normal(size=12))
    settings = {"samples": 4, "steps": 10, "progress": False}
    result = cx.report(model, 1, key=0, **settings)
    (near,) = result.neighborhoods
    assert near.distance.distance > 0
    page = Page(result.html())
    assert f"{near.distance.name}; STOPPED EARLY: the time budget of 1e-06 s ran out" in page.text
    assert f"{near.distance.distance:.6g}" in page.text
    monkeypatch.setattr(verb_module(), "_MOST_ROWS", 11)
    (near,) = cx.report(model, 1, key=0, **settings).neighborhoods
    assert near.distance is None
    assert near.reason.startswith("not looked for: 12 numbers in a cycle")


def test_ctrl_c_among_the_boundaries_leaves_what_there_is(monkeypatch, settled):
    near = dataclasses.replace(settled.neighborhoods[0].distance, interrupted="interrupted by Ctrl-C; this is what")
    monkeypatch.setattr(verb_module(), "distance_to_bifurcation", lambda *_, **__: near)
    result = cx.report(cx.SkewTentMap(left=0.5, right=-0.7, offset=0.4), 1, key=0, samples=16, progress=False)
    assert result.stopped == "interrupted by Ctrl-C"
    assert result.neighborhoods[0].distance is near


def verb_module():
    return importlib.import_module("cyclax.reports.report")


def test_an_undecided_order_is_said():
    finder = cx.Combined(seconds=1e-9)
    result = cx.report(cx.LoziMap(1.7, 0.5), [40], key=0, samples=4, bifurcations=0, finder=finder, progress=False)
    entry = result.cycles.report["orders"]["40"]
    assert entry["verdict"] == "unknown"
    page = Page(result.html())
    assert told(f"40 {result.cycles.counts[40]} unknown {entry['reason']}") in page.text
    assert "STOPPED EARLY: the time budget" in page.text
    assert result.stopped is None  # it was asked for
    assert "chaos" in page.text


def test_after_ctrl_c_what_was_found_is_there(monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb_module(), "follow", interrupted)
    result = cx.report(cx.LoziMap(1.7, 0.5), 2, key=0, progress=False)
    page = Page(result.html())
    assert len(result.cycles) == 3
    assert result.stopped == "interrupted by Ctrl-C"
    assert page.text.count("interrupted by Ctrl-C") == 3
    assert "not computed: interrupted by Ctrl-C" in page.text


def test_bad_arguments_are_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(verb_module(), "find_cycles", lambda *_, **__: pytest.fail("the search was started"))
    model = cx.LoziMap(1.7, 0.5)
    for settings, message in [
        ({"orders": 0}, "orders: 0 is not a period"),
        ({"samples": 0}, "samples: expected"),
        ({"steps": -1}, "steps: expected"),
        ({"bifurcations": -1}, "bifurcations: expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            cx.report(model, **{"key": 0, **settings})
    with pytest.raises(TypeError, match="finder: expected"):
        cx.report(model, key=0, finder="all")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'cyclax\[plot\]'"):
        cx.report(model, key=0)


def test_command_line(tmp_path, capsys):
    network, page = tmp_path / "<i>net&work.json", tmp_path / "report.html"
    cx.save(network, cx.SkewTentMap(left=0.5, right=-0.7, offset=0.4))
    words = ["report", str(network), "--orders", "2", "--samples", "16", "--seed", "1", "-o", str(page)]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert err == f"wrote {page}\n"
    assert "1 cycle (1 stable) in orders 1..2" in out
    assert "<i>net&work.json" in Page(page.read_text()).text
    assert cli.main([*words[:-1], str(tmp_path / "report.pdf")]) == 2
    assert "--output: " in (err := capsys.readouterr().err)
    assert "must end in .html" in err
    assert cli.main([*words, "--orders", "all"]) == 2
    assert "give an order" in capsys.readouterr().err


def test_multipliers_are_where_they_belong():
    from matplotlib.figure import Figure

    from cyclax import plot

    def drawn(model, orders):
        found = cx.find_cycles(model, orders, key=0, progress=False)
        axes = plot.multipliers(found, Figure().add_subplot())
        points = [x + 1j * y for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()]
        wanted = np.concatenate([cycle.multipliers for cycle in found])
        return np.sort_complex(points), np.sort_complex(wanted), axes

    points, wanted, _ = drawn(cx.LoziMap(1.7, 0.5), 1)
    np.testing.assert_allclose(points, wanted)
    # With one beyond 4, logarithms beyond the circle: in the same direction.
    points, wanted, axes = drawn(cx.LoziMap(1.7, 0.5), 4)
    far = np.abs(wanted) > 1
    assert np.max(np.abs(wanted)) > 4
    sizes = np.where(far, 1 + np.log(np.abs(wanted)), np.abs(wanted))
    np.testing.assert_allclose(points, np.sort_complex(sizes * wanted / np.abs(wanted)))
    assert [text.get_text() for text in axes.texts] == ["1", "10"]
    with pytest.raises(TypeError, match=r"plot\.multipliers: result must be the Cycles that find_cycles returns"):
        plot.multipliers("cycles")


def screenshot(page, path) -> tuple[np.ndarray, str]:
    """Open a page in a real browser; give its picture, and what it wrote to its console."""
    from matplotlib.image import imread

    assert BROWSER is not None
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    profile = [f"--user-data-dir={path.parent / 'profile'}", "--window-size=1000,2600", f"--screenshot={path}"]
    command = [BROWSER, *words, *profile, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return imread(path)[..., :3], "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here (Debian: apt-get install chromium)")
def test_in_a_browser(chaos, written, tmp_path):
    page = tmp_path / "report.html"
    chaos.save(page)
    pixels, console = screenshot(page, tmp_path / "page.png")
    assert console == ""
    ink = np.any(pixels < 0.5, axis=2)
    assert 0.005 < np.mean(ink) < 0.5
    assert np.all(np.any(ink.reshape(13, 200, -1), axis=(1, 2))[:8])  # something in each stretch of the page's top
    # The page itself is black on white: what has color are the pictures.
    assert np.sum(np.ptp(pixels, axis=2) > 0.2) > 1000
    # Both checks can fail: pictures that are not there, and something that wants to be loaded.
    broken = re.sub(r"src='data:[^']*'", "src='https://example.org/x.png'", written)
    (tmp_path / "broken.html").write_text(broken)
    pixels, console = screenshot(tmp_path / "broken.html", tmp_path / "broken.png")
    assert "Content Security Policy" in console
    assert np.sum(np.ptp(pixels, axis=2) > 0.2) < 1000


@pytest.mark.slow
@pytest.mark.skipif(not (CASES / "flipflop_64.json").is_file(), reason="no shared cases")
def test_sixty_four_units(tmp_path):
    model = cx.load(CASES / "flipflop_64.json")
    result = cx.report(model, 1, key=0, samples=100, bifurcations=1, progress=False)
    result.save(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert sum(cycle.stability == "stable" for cycle in result.cycles) == 8
    assert "states 64" in page.text
    assert sum(entry.share for entry in result.attractors.entries) == pytest.approx(1)
    assert "looked for of 1 of 8 stable cycles" in page.text
    assert result.neighborhoods[0].distance.distance > 0
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
