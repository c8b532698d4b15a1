"""What is proved: the certificate of completeness, how it is worded, and whether a result still keeps it."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from cyclax.cycles.exact.problem import Box, Candidates
from cyclax.cycles.result import Cycles


def certificate(
    method: str, box: Box | None, candidates: Candidates, complete: list[int], unfinished: str, seconds: float
) -> dict[str, Any]:
    """Word what a method has proved, in plain values that files can hold.

    `box` is None where the method needs none: what it proves, it proves everywhere.
    """
    everywhere = box is None or box.derived
    return {
        "method": method,
        "orders": "all" if candidates.all_orders else complete,
        "where": "everywhere" if everywhere else "inside the box",
        "box": None if box is None else {"lower": box.lower.tolist(), "upper": box.upper.tolist()},
        "rigor": candidates.rigor,
        "tolerance": candidates.tolerance,
        "nodes": candidates.nodes,
        "programs": candidates.programs,
        "unfinished": unfinished,
        "notes": candidates.notes,
        "seconds": seconds,
    }


def place(certified: dict[str, Any]) -> str:
    """Say where the certificate holds."""
    if certified["where"] == "everywhere":
        return "everywhere"
    lower, upper = (np.array(certified["box"][side]) for side in ("lower", "upper"))
    size = float(np.max(np.abs([lower, upper])))
    if np.all(upper == size) and np.all(lower == -size):
        return f"inside |z_i| <= {size:g}"
    return f"inside a box within |z_i| <= {size:.6g}"


def sentence(certified: dict[str, Any]) -> str:
    """Say in one sentence what is proved and how."""
    if certified["rigor"] == "rigorous":
        proof = f"rigorous proof in ball arithmetic, {certified['notes']['upheld']} refutations"
    else:
        proof = f"numerical proof, tolerance {certified['tolerance']:.0e}"
    return (
        f"{certified['method']}, {place(certified)}; {proof}, "
        f"{certified['nodes']} nodes, {certified['programs']} linear programs"
    )


def seal(cycles: Cycles) -> str:
    """Give a hash of all that is vouched for: model, box, orders, claims, and each cycle's word and points."""
    digest = hashlib.sha256(str(cycles.provenance.get("model")).encode())
    certified = cycles.report.get("completeness", {})
    digest.update(repr([certified.get(name) for name in ("orders", "where", "box", "rigor", "tolerance")]).encode())
    digest.update(repr([list(cycles.orders), claims(cycles.report)]).encode())
    for entry in (*cycles.cycles, *cycles.degenerate):
        for part in (entry.points, entry.gates):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def sealed(cycles: Cycles) -> Cycles:
    """Seal a result that claims to be complete without a certificate, as searches and cells of scans do."""
    unsealed = {name: value for name, value in cycles.report.items() if name != "seal"}
    report = {**unsealed, "seal": seal(cycles)} if claims(cycles.report) else unsealed
    return dataclasses.replace(cycles, report=report)


def claims(report: dict[str, Any]) -> list[str]:
    """List the orders that are said to be complete."""
    return [order for order, entry in report.get("orders", {}).items() if entry["verdict"] == "proved complete"]


def broken(cycles: Cycles) -> str | None:
    """Say why the certificate of completeness does not hold for this result, if it does not."""
    if "completeness" not in cycles.report:
        return "it has no certificate of completeness"
    return _unsealed(cycles)


def _unsealed(cycles: Cycles) -> str | None:
    issued = cycles.report.get("completeness", cycles.report).get("seal")
    return None if issued == seal(cycles) else "the cycles, orders, claims or box are not those that it was issued for"


def upheld(cycles: Cycles, refused: int, model: str) -> dict[str, Any]:
    """Give the report, without its claims of completeness where they do not hold for these cycles and this model."""
    withdrawn = claims(cycles.report)
    if not withdrawn:
        return cycles.report
    reason = _unsealed(cycles)
    if refused:
        reason = f"{refused} of the cycles it vouches for are refused"
    elif cycles.provenance.get("model") != model:
        reason = "it was issued for another model"
    if reason is None:
        return cycles.report
    verdict = {"verdict": "unknown", "reason": f"the certificate of completeness does not hold: {reason}"}
    orders = cycles.report["orders"]
    return {**cycles.report, "orders": orders | {order: {**orders[order], **verdict} for order in withdrawn}}
