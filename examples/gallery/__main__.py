"""Make the gallery: `python -m examples.gallery [NAME ..]`, from the root of the repository.

Runs the scripts that are named, all by default, and writes their pictures and the page that shows them.
"""

import ast
import importlib
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "gallery.md"
PICTURES = PAGE.parent / "images" / "gallery"
SECTIONS = {
    "Bifurcations and the loss": [
        "overview",
        "curves_and_state_spaces",
        "loss_landscape",
        "loss_jumps",
        "away_from_bifurcations",
        "neuron",
        "scaling",
    ],
    "Cycles": ["order_40", "tongue", "bifurcation_diagram", "basins", "crisis"],
    "Networks that do something": ["flip_flop", "stimulus", "driven", "torch_checkpoint"],
    "Chaos": ["lorenz", "symbolic_graph", "spectra_in_training", "echo_state"],
}
HEAD = """# Gallery

Each picture is made by a script of fewer than 60 lines, in less than a minute on two cores:
`python -m examples.gallery.order_40 picture.png`, from a clone of the repository; `python -m examples.gallery` makes
them all, and this page.
"""


def sentence(name: str) -> str:
    """Give what a script says of itself first."""
    said = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text("utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split())


def page() -> str:
    """Give the page."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            text, source = sentence(name), f"examples/gallery/{name}.py"
            parts.append(f"### {name.replace('_', ' ').capitalize()}\n")
            parts.append(f"![{text}](images/gallery/{name}.png)\n")
            parts.append(f"{text} `{source}`\n")
    return "\n".join(parts)


def main(wanted: list[str]) -> None:
    """Run some scripts, all by default, and write the page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in wanted or [name for names in SECTIONS.values() for name in names]:
        began = time.perf_counter()
        importlib.import_module(f"examples.gallery.{name}").main(str(PICTURES / f"{name}.png"))
        print(f"-- {name}: {time.perf_counter() - began:.0f} s", flush=True)
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
