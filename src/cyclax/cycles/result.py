"""What a search returns: cycles, the report of how sure they are to be all, and what could not be counted."""

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from cyclax.core.archive import Archive, write_archive
from cyclax.core.extras import extra
from cyclax.cycles.cycle import ARRAYS, FORM, Cycle, Degenerate, NearMiss, Proof, plain_value


@dataclasses.dataclass(frozen=True, eq=False)
class Cycles(Sequence[Cycle]):
    """A sequence of cycles, sorted by (order, word), with the report on the search.

    - `cycles`: the same as a tuple; `orders`: those that were searched.
    - `counts`: {order: number} for every searched order, 0 included; orders not searched are absent.
    - `degenerate`: families and cycles on borders, not counted.
    - `near_misses`: virtual cycles and ghosts, where asked for.
    - `report`: {"orders": {"1": {"verdict", "reason", "starts", ...}}, "precision", "seconds", "version"}.
    - `provenance`: hash of the model, version, key and settings.
    """

    cycles: tuple[Cycle, ...]
    orders: tuple[int, ...]
    report: dict[str, Any]
    degenerate: tuple[Degenerate, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def counts(self) -> dict[int, int]:
        """The number of cycles of each searched order."""
        return {order: sum(cycle.order == order for cycle in self.cycles) for order in self.orders}

    def of_order(self, order: int) -> tuple[Cycle, ...]:
        """Give the cycles of one order.

        **Raises:** `KeyError` where that order was not searched.
        """
        if order not in self.orders:
            raise KeyError(f"order {order} was not searched; searched: {', '.join(map(str, self.orders))}.")
        return tuple(cycle for cycle in self.cycles if cycle.order == order)

    @overload
    def __getitem__(self, index: int) -> Cycle: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> tuple[Cycle, ...]: ...
    def __getitem__(self, index):
        if isinstance(index, (int, slice)):
            return self.cycles[index]
        which = np.asarray(index)
        try:
            chosen = np.arange(len(self))[which].tolist()
        except IndexError as error:
            kind = IndexError if which.dtype.kind in "biu" else TypeError
            raise kind(f"cycles are indexed by an int, a slice, a mask or a list of ints; {error}.") from None
        return tuple(map(self.cycles.__getitem__, chosen)) if isinstance(chosen, list) else self.cycles[chosen]

    def __len__(self) -> int:
        return len(self.cycles)

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values: what `cyclax cycles --json` prints."""
        return {
            "counts": {str(order): number for order, number in self.counts.items()},
            "cycles": [cycle.to_dict() for cycle in self.cycles],
            "degenerate": [entry.to_dict() for entry in self.degenerate],
            "near_misses": [entry.to_dict() for entry in self.near_misses],
            "report": plain_value(self.report),
        }

    def to_dataframe(self):
        """Give a pandas table with one row a cycle.

        **Raises:** `ImportError` that says what to install where pandas is missing.
        """
        pd = extra("pandas", "io", "to_dataframe needs")
        return pd.DataFrame(
            [
                {
                    "order": cycle.order,
                    "stability": cycle.stability,
                    "largest_multiplier": abs(cycle.multipliers[0]),
                    "residual": cycle.residual,
                    "margin": cycle.margin,
                    "error": cycle.error,
                    "condition": cycle.condition,
                    "certificate": cycle.certificate and cycle.certificate.status,
                    **{f"z{i + 1}": x for i, x in enumerate(cycle.points[0])},
                }
                for cycle in self.cycles
            ]
        )

    def save(self, path: str | Path) -> None:
        """Write everything to one `.npz` file (no pickle); `Cycles.load` gives it back bitwise.

        **Raises:** `ValueError` for another suffix; `OSError` where the path cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"{path}: cycles are written to .npz files.")
        arrays: dict[str, Any] = {}
        for order in sorted({cycle.order for cycle in self.cycles}):
            for name in ARRAYS:
                stack = [getattr(cycle, name) for cycle in self.of_order(order)]
                arrays[f"cycles/{order}/{name}"] = np.stack([np.asarray(entry) for entry in stack])
        for kind in ("degenerate", "near_misses"):
            for i, entry in enumerate(getattr(self, kind)):
                for field in dataclasses.fields(entry):
                    arrays[f"{kind}/{i}/{field.name}"] = np.asarray(getattr(entry, field.name))
        header = {
            "orders": self.orders,
            "report": self.report,
            "provenance": self.provenance,
            "counts": {order: number for order, number in self.counts.items() if number},
            "degenerate": len(self.degenerate),
            "near_misses": len(self.near_misses),
            "certificates": {
                order: [c.certificate and dataclasses.asdict(c.certificate) for c in self.of_order(order)]
                for order in sorted({cycle.order for cycle in self.cycles if cycle.certificate})
            },
        }
        write_archive(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Cycles":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` where the file is not one, or is truncated.
        """
        archive = Archive(path, "not a file written by Cycles.save", FORM)
        header = archive.header
        cycles: list[Cycle] = []
        for order, number in header["counts"].items():
            archive.sizes |= {"n": number, "k": int(order) * _steps_of(header)}
            columns = archive.fields(Cycle, f"cycles/{order}/", "n", but=("certificate",))
            if int(order) not in header["orders"] or np.any(columns["order"] != int(order)):
                archive.refuse(f"cycles/{order} are of an order that was not searched, or of another")
            proofs = (header.get("certificates") or {}).get(order, [None] * number)
            if len(proofs) != number:
                archive.refuse(f"it has {number} cycles of order {order}, and {len(proofs)} certificates")
            for i, proof in enumerate(proofs):
                row = {name: column[i] if column.ndim > 1 else column[i].item() for name, column in columns.items()}
                cycles.append(Cycle(**row, certificate=proof and Proof(**proof)))
        degenerate = _entries(archive, "degenerate", Degenerate, ("family", "border"))
        near_misses = _entries(archive, "near_misses", NearMiss, ("virtual", "ghost"))
        archive.finish()
        if min(header["orders"], default=1) < 1 or archive.sizes.get("M") == 0:
            archive.refuse("orders and states are counted from 1")
        orders, report = tuple(header["orders"]), header["report"]
        return cls(tuple(cycles), orders, report, degenerate, near_misses, header["provenance"])

    def __repr__(self) -> str:
        return f"Cycles({self.counts}{', all orders' if of_all_orders(self) else ''})"

    def __str__(self) -> str:
        lines = [_headline(self)]
        if self.cycles:
            lines.append(_row("order", "stability", "|multiplier|", "margin", "residual", "first point"))
            shown = self.cycles if len(self.cycles) <= 40 else self.cycles[:40]
            lines.extend(_row(*_cells(cycle)) for cycle in shown)
            if len(shown) < len(self.cycles):
                lines.append(f"  .. and {len(self.cycles) - len(shown)} more")
        return "\n".join([*lines, *_remarks(self)])

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th>{name}</th>" for name in ("order", "stability", "|multiplier|", "margin", "residual", "first point")
        )
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(cycle)) + "</tr>"
            for cycle in self.cycles[:100]
        )
        remarks = [f".. and {len(self) - 100} more"] if len(self) > 100 else []
        tail = "<br>".join(map(html.escape, [*remarks, *_remarks(self)]))
        return f"<p>{html.escape(_headline(self))}</p><table><tr>{head}</tr>{rows}</table><p>{tail}</p>"


def checked_cycles(value: Any, name: str) -> Cycles:
    """Give the `Cycles` that a verb is given; of some of them, a sequence of `Cycle`, with no word on the others.

    **Arguments:** `name`: what to call them in messages.
    """
    if isinstance(value, Cycles):
        return value
    some = tuple(one for one in value if isinstance(one, Cycle)) if isinstance(value, Sequence) else ()
    if some and len(some) == len(value):
        return Cycles(some, tuple(sorted({cycle.order for cycle in some})), {"orders": {}})
    got = f"{'an empty ' if value in ([], ()) else ''}{type(value).__name__}"
    one = "; give [cycle] for one" if isinstance(value, Cycle) else ""
    raise TypeError(f"{name} must be the Cycles that find_cycles returns, or some of them, got {got}{one}.")


def _headline(cycles: Cycles) -> str:
    stable = sum(cycle.stability == "stable" for cycle in cycles)
    present = ", ".join(f"{number} of order {order}" for order, number in cycles.counts.items() if number) or "none"
    noun = "cycle" if len(cycles) == 1 else "cycles"
    orders = "all orders" if of_all_orders(cycles) else _named(cycles.orders)
    return f"{len(cycles)} {noun} ({stable} stable) in {orders}: {present}"


def of_all_orders(cycles: Cycles) -> bool:
    """Whether every order there is was asked for, and proved: those that are not listed have no cycles."""
    report = cycles.report
    asked = (cycles.provenance.get("settings") or {}).get("orders") == "all"
    proved = all(entry["verdict"] == "proved complete" for entry in report["orders"].values())
    return asked and proved and (report.get("completeness") or {}).get("orders") == "all"


def _cells(cycle: Cycle) -> tuple[str, ...]:
    start = ", ".join(f"{x:.5g}" for x in cycle.points[0][:4]) + (", .." if cycle.points.shape[1] > 4 else "")
    return (
        str(cycle.order),
        cycle.stability,
        f"{abs(cycle.multipliers[0]):.6g}",
        f"{cycle.margin:.2g}",
        f"{cycle.residual:.1e}",
        f"({start})",
    )


def _row(*cells: str) -> str:
    order, stability, multiplier, margin, residual, start = cells
    return f"  {order:>5}  {stability:<9}  {multiplier:>12}  {margin:>8}  {residual:>8}  {start}"


def _remarks(cycles: Cycles) -> list[str]:
    """Give what is said below the table: what was not counted, how sure it is that nothing is missing, what stopped."""
    lines = [f"not counted: {entry!r}" for entry in cycles.degenerate[:5]]
    if len(cycles.degenerate) > 5:
        lines.append(f"not counted: {len(cycles.degenerate) - 5} more families or cycles on borders; see .degenerate")
    for kind in ("virtual", "ghost"):
        some = [entry for entry in cycles.near_misses if entry.kind == kind]
        lines.extend(f"near miss: {entry!r}" for entry in some[:3])
        if len(some) > 3:
            lines.append(f"near miss: {len(some) - 3} more of kind {kind}; see .near_misses")
    stopped = cycles.report.get("interrupted")
    return [
        *lines,
        *_verdict_lines(cycles),
        *_certificate_lines(cycles),
        *([f"STOPPED EARLY: {stopped}"] if stopped else []),
    ]


def _verdict_lines(cycles: Cycles) -> list[str]:
    """One line for each verdict with its orders and the reason of the first of them."""
    groups: dict[tuple[str, str], list[int]] = {}
    for order, entry in cycles.report["orders"].items():
        groups.setdefault((entry["verdict"], entry["reason"]), []).append(int(order))
    by_verdict: dict[str, list[tuple[str, list[int]]]] = {}
    for (verdict, reason), orders in groups.items():
        by_verdict.setdefault(verdict, []).append((reason, orders))
    lines = []
    for verdict, reasons in by_verdict.items():
        orders = sorted(order for _, some in reasons for order in some)
        first = f" (order {reasons[0][1][0]}: {reasons[0][0]})" if len(reasons) > 1 else f" ({reasons[0][0]})"
        which = "all orders" if of_all_orders(cycles) else _named(orders)
        lines.append(f"complete? {verdict} for {which}{first}")
    return lines


def _certificate_lines(cycles: Cycles) -> list[str]:
    """Say how many cycles are proved, and what is first in the way of the others."""
    certificate = cycles.report.get("certificate")
    if certificate is None:
        return []
    noun = "cycle" if len(cycles) == 1 else "cycles"
    effort = f" (ball arithmetic, up to {certificate['bits']} bits)" if len(cycles) else ""
    line = f"certified: {certificate['proved']} of {len(cycles)} {noun} proved{effort}"
    if certificate["stability open"]:
        line += f"; the stability of {certificate['stability open']} is open"
    lines = [line]
    for status in ("refused", "ambiguous", "not tried"):
        proofs = [(c.order, c.certificate) for c in cycles if c.certificate and c.certificate.status == status]
        if proofs:
            order, proof = proofs[0]
            lines.append(f"NOT PROVED: {len(proofs)} {status} (order {order}: {proof.reason})")
    lines.extend(f"certified: {text}" for text in certificate["borders"][:3])
    lines.extend([f"CAUTION: {certificate['note']}"] if "note" in certificate else [])
    return lines


def _named(orders: Sequence[int]) -> str:
    """Write 1, 2, 3, 7 as "orders 1..3, 7", and 2 alone as "order 2"."""
    parts: list[list[int]] = []
    for order in orders:
        if parts and order == parts[-1][-1] + 1:
            parts[-1].append(order)
        else:
            parts.append([order])
    ranges = ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}..{part[-1]}" for part in parts)
    return f"order{'' if len(orders) == 1 else 's'} {ranges}"


def _steps_of(header: dict[str, Any]) -> int:
    """Give the steps that an order counts: those of the period of the input, for driven networks."""
    inputs = header["provenance"].get("inputs")
    return len(inputs) if isinstance(inputs, list) and inputs else 1


def _entries(archive: Archive, kind: str, what: Any, known: tuple[str, ...]) -> tuple[Any, ...]:
    entries = []
    for i in range(archive.header[kind]):
        # Each has a period and a dimension of its own.
        archive.sizes = {axis: size for axis, size in archive.sizes.items() if axis in ("M", "G")}
        entry = what(**archive.fields(what, f"{kind}/{i}/"))
        if entry.kind not in known or not 0 < entry.order * _steps_of(archive.header) == len(entry.points):
            archive.refuse(f"{kind}/{i} is a {entry.kind!r} of order {entry.order} with {len(entry.points)} points")
        entries.append(entry)
    return tuple(entries)
