"""The documentation: its code runs, from top to bottom of each page, and names nothing that is not there."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module, util
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from benchmarks import tables

import cyclax as cx

ROOT = Path(__file__).resolve().parents[1]
DOCS, SOURCE = ROOT / "docs", Path(cx.__file__).resolve().parent
PAGES = sorted(page.name for page in DOCS.glob("*.md"))
# The rooms that are public: their `__all__` is, beside that of cyclax itself.
ROOMS = ("bifurcations", "data", "lyapunov", "maps", "metrics", "plot", "proofs", "search", "testing", "training")


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


# -- the code of the pages --------------------------------------------------------------------------------------------

# What each page with code prints, among other things. Pages assert more themselves.
PRINTS = {
    "checkpoints.md": [],
    "coming_from_bifurcationkit.md": ["persistence of a fixed point", "with a 2-cycle 0 1 (after)"],
    "coming_from_fixed_point_finder.md": [
        "7 cycles (3 stable)",
        "1 fixed point, and [ghost of a fixed point",
        "[7, 5, 1]",
        "at s = 0: 7 (3 stable)",
    ],
    "coming_from_neuralrnn.md": ["complete? proved complete for orders 1..4", "RateRNN {1: "],
    "coming_from_scyfi.md": [
        "3 cycles (1 stable) in orders 1..16: 1 of order 1, 2 of order 16",
        "16 proved complete - word",
    ],
    "curves.md": [
        "Curve of a 16-cycle over A[0], A[1]: nonsmooth fold, persistence",
        "4 curves: 3 degenerate flip, 1 nonsmooth fold",
        "persistence of a fixed point",
    ],
    "extending.md": ["proved incomplete for order 2"],
    "how_sure.md": [
        "not counted: attracting line of fixed points through (0, 2), along (1, 0)",
        "proved incomplete - the index sum is 3, and would be 1 were nothing missing",
        "unknown - undecided: ",
        "proved complete for all orders (word graph, everywhere; numerical proof",
        "word graph, inside |z_i| <= 10000; numerical proof",
        "Proof(status='proved'",
    ],
    "how_to_choose.md": ["Exhaustive {1: 1, 2: 0} all words, everywhere"],
    "index.md": [],  # see below
    "lyapunov.md": ["2 of 2 exponents, nats per step"],
    "mathematics.md": [],
    "scanning.md": ["BifurcationMap of PLRNN: offset of A[0] (201 values, -1 to 1)"],
    "training.md": ["degenerate flip of a fixed point", "Track of 21 models (SkewTentMap)"],
    "writing_a_model.md": [
        "Nested.step does not add up gate by gate",
        "is not one of the classes a file can hold",
    ],
    "your_network.md": [
        "is a leaky integrator, and neither its weights nor what stands beside them",
        "RateRNN 4 (4, 2)",
        "9 of order 1",
    ],
}
SLOW = {"scanning.md": "201 x 201 networks", "training.md": "it trains a network"}


def test_no_page_is_forgotten():
    assert {name for name in PAGES if code_blocks(DOCS / name)} == set(PRINTS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in sorted(PRINTS)]
)
def test_page(name, capsys, monkeypatch, tmp_path):
    """Every Python block of the page runs, in a folder of its own that has the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    if name == "checkpoints.md":
        models = [cx.PLRNN(A=[0.5, share], W=np.zeros((2, 2)), h=[0.0, 1.0]) for share in np.linspace(0, 0.9, 5)]
        np.savez("training.npz", **{leaf: [getattr(one, leaf) for one in models] for leaf in "AWh"})
    namespace = run(name)
    printed = capsys.readouterr().out
    for text in PRINTS[name]:
        assert text in printed, text
    match name:
        case "checkpoints.md":
            np.testing.assert_array_equal(namespace["model"].A, namespace["models"][3].A)
        case "coming_from_fixed_point_finder.md":
            assert printed.count("lies between") == 3
        case "curves.md":
            assert len(namespace["diagram"].stretches) == 3
            assert (tmp_path / "side.npz").exists()
        case "index.md":
            (shown,) = re.findall(r"^```text\n(.*?)^```", (DOCS / name).read_text(), re.DOTALL | re.MULTILINE)
            assert without_rounding(printed) == without_rounding(shown)
            assert len([line for line in code_blocks(DOCS / name)[0][1].splitlines() if line]) <= 12
            assert (tmp_path / "map.png").stat().st_size > 10_000
        case "training.md":
            assert namespace["tracker"].counts == namespace["track"].counts
            assert (tmp_path / "track.npz").exists()
        case "writing_a_model.md":
            assert len(namespace["cycles"]) > 10
        case "your_network.md":
            assert [cycle.stability for cycle in namespace["cycles"]].count("stable") == 4


def without_rounding(text: str) -> list[str]:
    """Give the lines of a printed result without residuals, which are rounding."""
    return [re.sub(r"\b\d\.\de-\d\d\b", "..", line).rstrip() for line in text.splitlines()]


# -- the site ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("mkdocstrings") is None, reason="the site needs pip install 'cyclax[docs]'")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text()
    assert 'id="cyclax.find_cycles"' in page
    assert "Equal keys give equal results" in page


def public() -> dict[str, Any]:
    """Give what is public by name: of cyclax, then of its rooms, unless cyclax has it too."""
    found = {f"cyclax.{name}": getattr(cx, name) for name in cx.__all__ if name != "__version__"}
    known = set(map(id, found.values()))
    for room in ROOMS:
        module = import_module(f"cyclax.{room}")
        names = getattr(module, "__all__", ["check_map"])
        own = {f"cyclax.{room}.{name}": getattr(module, name) for name in names}
        found |= {name: thing for name, thing in own.items() if id(thing) not in known}
    return found


def test_the_page_of_the_api_has_every_public_name_once():
    text = (DOCS / "api.md").read_text()
    # A module of the room `plot` may have the name of a picture: then the entry has the name of both, and a heading.
    entries = [re.sub(r"\.(\w+)\.\1$", r".\1", entry) for entry in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    assert not set(public()) - set(entries), "not in docs/api.md"
    assert not set(entries) - set(public()), "in docs/api.md, but not public"
    assert len(entries) == len(set(entries))


def test_every_public_name_says_what_it_takes_returns_and_raises():
    wrong = {name: problem for name, thing in public().items() if (problem := unsaid(thing))}
    assert not wrong


def unsaid(thing: Any) -> str:
    """Say what a docstring lacks: of a function, arguments, what it returns and raises; of a class, what is in it."""
    text = (vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__) or ""
    if not text or (isinstance(thing, type) and issubclass(thing, Exception)):
        return "" if text else "it has none of its own"
    signature = inspect.signature(thing)
    named = [one.name for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    if missing := [argument for argument in named if not re.search(rf"`{argument}\b[^`]*`", text)]:
        return f"it does not say what these are: {', '.join(missing)}"
    if isinstance(thing, type):
        return ""
    returns = signature.return_annotation not in (None, "None")
    wanted = [*(["Arguments"] if named else []), *(["Returns"] if returns else []), "Raises"]
    return ", ".join(f"no **{part}:**" for part in wanted if f"**{part}:**" not in text)


def test_every_public_room_is_looked_at():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    rooms = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["_ROOMS"]
    )
    assert ast.literal_eval(rooms) == ROOMS


# -- figures ----------------------------------------------------------------------------------------------------------


NUMBER = r"\d[\d,]*\d(?:\.\d+)?|\d\.\d+"


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_tables_of_figures_are_those_of_the_results(page):
    text = page.read_text()
    assert text.count("<!-- from ") == len(re.findall(r"^<!-- from .* -->\n\n\|.*\n\| ---", text, re.MULTILINE)) > 0
    assert tables.refreshed(text) == text, "python -m benchmarks.tables writes it anew"


def test_figures_in_the_text_stand_in_the_results_that_it_names():
    """Numbers of two digits and more: in the file that a paragraph names, or in any where it names none."""
    text = re.sub(r"^(\|.*|<!--.*|#.*)$", "", (DOCS / "performance.md").read_text(), flags=re.MULTILINE)
    results = {file.name: set(re.findall(NUMBER, file.read_text())) for file in tables.RESULTS.glob("*.md")}
    seen = 0
    for paragraph in re.split(r"\n\s*\n|\n- ", text):
        named = re.findall(r"benchmarks/results/(\w+\.md)", paragraph)
        known = set.union(*(results[name] for name in named or results))
        figures = re.findall(NUMBER, re.sub(r"`[^`]*`|float64", "", paragraph))
        assert set(figures) <= known, paragraph
        seen += len(figures)
    assert seen > 20


def test_what_was_measured_beside_other_tools_stands_in_the_results():
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| measured: .*\(benchmarks/results/(.*\.md)\)\) \|(.*)$", readme, re.MULTILINE)
    assert len(rows) >= 2
    for file, cells in rows:
        figures = re.findall(NUMBER, cells)
        assert len(figures) >= 3
        assert set(figures) <= set(re.findall(NUMBER, (tables.RESULTS / file).read_text())), cells


# -- words and names --------------------------------------------------------------------------------------------------


def glossary() -> set[str]:
    """Give the words that the glossary has, singular and plural."""
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    return {word.strip() for row in rows for word in row.split(",")}


# Results whose docstrings quote the words that they print, and what they quote beside these: keys, and parts of words.
RESULTS = (
    cx.Degenerate,
    cx.NearMiss,
    cx.Proof,
    cx.Attractor,
    cx.Event,
    cx.Curve,
    cx.Distance,
    cx.bifurcations.CodimensionTwoPoint,
)


def test_the_glossary_has_what_results_print():
    missing = {
        word
        for result in RESULTS
        for word in re.findall(r'"([a-z][a-z -]*)"', inspect.getdoc(result) or "")
        if word not in glossary()
    }
    assert not missing
    assert {"stable", "saddle", "repeller", "neutral"} <= glossary()


# Where verdicts are worded, and by which functions.
FILES = [
    *("cycles/inventory", "proofs/certificate", "proofs/enumerate"),
    *("search/combined", "search/path_tally", "search/tally"),
]
SPEAKERS = {"verdict", "_verdict", "missing", "_all_met", "undecided_reason", "sentence", "place"}
# Words of messages that need no entry: English, and what stands in every textbook.
PLAIN = set(
    re.findall(
        r"\w+",
        """
    a any are as be below but by can could det e early elsewhere ends exactly f few followed g has i in is its
    known lead lower may meet met method missing modulus more most no none nor norm notes nothing of on once one
    ones only other outside proof quadratic rigor roots say search sign so solution solutions step stopped such
    that the their them there to too unfinished unity up upheld upper was were what where within would yet z
    """,
    )
)


def test_the_glossary_has_the_words_of_verdicts():
    """What functions named `verdict` and their like are made of: all words, but those that are plain English."""
    spoken = set()
    for file in FILES:
        for node in ast.walk(ast.parse((SOURCE / f"{file}.py").read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in SPEAKERS:
                body = node.body[1:] if ast.get_docstring(node) else node.body
                texts = [part.value for line in body for part in ast.walk(line) if isinstance(part, ast.Constant)]
                spoken |= words_of(text for text in texts if isinstance(text, str))
    explained = words_of(glossary())
    assert len(spoken) > 100
    assert not spoken - PLAIN - explained - {f"{word}s" for word in explained}


def words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}


def test_what_the_pages_name_is_there():
    """Every file and every name of cyclax in the pages on the house, and every `cx.name` in any page."""
    text = (DOCS / "architecture.md").read_text()
    rooms = [row.split("|")[1:4] for row in text.splitlines() if row.startswith("| `")]
    for names, _, files in [row for row in rooms if len(row) == 3 and row[2].strip()]:
        room = names.strip().strip("`").split("`")[0]
        for file in re.findall(r"`([\w/]+\.py)`", files):
            assert (SOURCE / room / file).is_file() or (SOURCE / file).is_file(), file
    for page in PAGES:
        for name in re.findall(r"\bcx\.([A-Za-z_][\w.]*\w)", (DOCS / page).read_text()):
            thing: Any = cx
            for part in name.split("."):
                assert hasattr(thing, part), f"{page}: cx.{name}"
                thing = getattr(thing, part)


def test_the_paper_and_the_citation():
    """What the paper cites stands in its .bib as in the references; the citation has the version."""
    cited = set(re.findall(r"@([a-z]+\d{4}[a-z]*)", (ROOT / "paper" / "paper.md").read_text("utf-8")))
    entries = re.findall(r"^@\w+\{\w+,.*?^\}", (ROOT / "paper" / "paper.bib").read_text("utf-8"), re.M | re.S)
    assert cited == {re.split(r"[{,]", entry)[1] for entry in entries}
    references = (DOCS / "references.md").read_text("utf-8")
    assert all(entry in references for entry in entries)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert version
    assert f"version: {version[1]}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
