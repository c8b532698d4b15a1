"""The sections of the page, each a function that computes its rows."""

from collections.abc import Callable

from benchmarks.validation import curves, cycles, exponents, gradients, metrics
from benchmarks.validation.rows import Row

SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "exponents": exponents.rows,
    "counts": cycles.counts,
    "published networks": cycles.published,
    "Lozi": curves.lozi,
    "tent": curves.tent,
    "normal form": curves.normal_form,
    "gradients": gradients.rows,
    "metrics": metrics.rows,
}
