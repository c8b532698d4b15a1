"""The page: HTML made of what the results say of themselves. Whatever is not ours is escaped on its way in."""

import html
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cyclax.reports.pictures import exponents, multipliers, state_space

if TYPE_CHECKING:
    from cyclax.reports.result import Report

# Nothing may be loaded or run, whoever opens the page: the browser holds it to that.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #111;
  background: #fff; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; border-bottom: 2px solid #111 } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0; font-variant-numeric: tabular-nums }
th, td { border: 1px solid #999; padding: .2rem .5rem; text-align: left; vertical-align: top }
th { background: #eee; overflow-wrap: normal } pre { margin: 0; white-space: pre-wrap; font-size: .85rem }
.problem { border-left: 4px solid #111; padding-left: .7rem; font-weight: bold }
figure { margin: 1rem 0; break-inside: avoid } img { max-width: 100% } figcaption { font-size: .85rem }
@media print { body { margin: 0; max-width: none; font-size: 11px } tr, h2 { break-inside: avoid; break-after: auto } }
"""
# What the page shows of long tables; the results have all.
_MOST_ROWS = 200


def written(report: "Report") -> str:
    """Give the page of a report."""
    title = html.escape(report.name)
    body = [f"<h1>{title}</h1>"]
    body += [f"<p class='problem'>STOPPED EARLY: {html.escape(report.stopped)}</p>"] if report.stopped else []
    body += [_table([], report.facts.items())]
    body += _section(report, "cycles", "Cycles", _cycles)
    body += _section(report, "attractors", "Attractors, and their shares of starts", _attractors)
    body += _section(report, "exponents", "Lyapunov exponents of the attractors", _exponents)
    body += _section(report, "bifurcations", "The nearest bifurcations of stable cycles", _bifurcations)
    head = (
        f"<meta charset='utf-8'><meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\">"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title><style>{_STYLE}</style>"
    )
    return "\n".join(["<!DOCTYPE html>", f"<html lang='en'><head>{head}</head>", "<body>", *body, "</body></html>", ""])


def in_short(values: Iterable[float], most: int = 8) -> str:
    """Write the first numbers, and the last."""
    shown = [f"{value:+.5g}" for value in values]
    return ", ".join(shown if len(shown) <= most else [*shown[: most - 1], "..", shown[-1]])


def _section(report: "Report", name: str, title: str, content: Callable[["Report"], list[str]]) -> list[str]:
    problem = report.problems.get(name)
    said = [f"<p class='problem'>{html.escape(problem)}</p>"] if problem else []
    return [f"<section id='{name}'><h2>{title}</h2>", *said, *content(report), "</section>"]


def _cycles(report: "Report") -> list[str]:
    if report.cycles is None:
        return []
    entries = report.cycles.report["orders"]
    rows = [(k, n, entries[str(k)]["verdict"], entries[str(k)]["reason"]) for k, n in report.cycles.counts.items()]
    return [
        report.cycles._repr_html_(),
        "<h3>Order by order</h3>",
        _table(["order", "cycles", "complete?", "because"], rows),
        *_figure(report, state_space, "State space: cycles (filled: stable), and in grey orbits of other attractors"),
        *_figure(report, multipliers, "Multipliers: a cycle is stable where all of its own lie within the circle"),
    ]


def _attractors(report: "Report") -> list[str]:
    if report.attractors is None:
        return []
    head = str(report.attractors).splitlines()[0]
    rows = [(i + 1, repr(entry).strip()) for i, entry in enumerate(report.attractors.entries)]
    return [f"<p>{html.escape(head)}</p>", _table(["attractor", "share of them, and what they come to"], rows)]


def _exponents(report: "Report") -> list[str]:
    if not report.exponents:
        return ["<p>No attractor has exponents.</p>"] if report.attractors is not None else []
    rows = []
    for one in report.exponents[:_MOST_ROWS]:
        along = "of the multipliers of its word" if one.spectrum is None else str(one.spectrum).splitlines()[-1]
        rows.append((one.attractor + 1, in_short(one.values), along))
    table = _table(["attractor", "exponents, nats per step", "how"], rows)
    details = [one.spectrum._repr_html_() for one in report.exponents if one.spectrum is not None]
    return [table, *details, *_figure(report, exponents, "Lyapunov exponents of each attractor by rank")]


def _bifurcations(report: "Report") -> list[str]:
    if not report.neighborhoods:
        return ["<p>No stable cycle was found.</p>"] if "bifurcations" not in report.problems else []
    rows = []
    for one in report.neighborhoods:
        found = one.distance
        if found is None:
            rows.append((repr(one.cycle), "not known", "", one.reason))
            continue
        moves = ", ".join(f"{name} by {change:+.4g}" for name, change in found.moves[:5])
        name = f"{found.name}; STOPPED EARLY: {found.interrupted}" if found.interrupted else found.name
        rows.append((repr(one.cycle), name, f"{found.distance:.6g}", f"{moves}, .. ({len(found.moves)} in all)"))
    said = "The smallest change of all weights together that makes each cycle bifurcate (a local minimum)."
    return [f"<p>{said}</p>", _table(["cycle", "bifurcation", "distance", "weights that move most"], rows)]


def _figure(report: "Report", draw: Callable[["Report"], str | None], caption: str) -> list[str]:
    try:
        address = draw(report)
    except ImportError:
        raise
    except Exception as error:
        # A picture that fails takes nothing else with it.
        return [f"<p class='problem'>no picture: {html.escape(f'{type(error).__name__}: {error}')}</p>"]
    if address is None:
        return []
    return [f"<figure><img src='{address}' alt='{caption}'><figcaption>{caption}.</figcaption></figure>"]


def _table(head: list[str], rows: Iterable[Iterable[Any]]) -> str:
    rows = list(rows)
    top = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr>" if head else ""
    cells = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows[:_MOST_ROWS]]
    more = f"<p>.. and {len(rows) - _MOST_ROWS} more</p>" if len(rows) > _MOST_ROWS else ""
    return f"<table>{top}{''.join(f'<tr>{row}</tr>' for row in cells)}</table>{more}"
