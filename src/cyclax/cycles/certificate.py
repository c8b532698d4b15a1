"""What is proved: the certificate of completeness, how it is worded, and whether a result still keeps it."""

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
    """Give a hash of all that a certificate vouches for: model, box, orders, and each cycle's word and points."""
    digest = hashlib.sha256(str(cycles.provenance.get("model")).encode())
    certified = cycles.report["completeness"]
    digest.update(repr([certified[name] for name in ("orders", "where", "box", "rigor", "tolerance")]).encode())
    digest.update(repr(list(cycles.orders)).encode())
    for entry in (*cycles.cycles, *cycles.degenerate):
        for part in (entry.points, entry.gates):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def broken(cycles: Cycles) -> str | None:
    """Say why the certificate of completeness does not hold for this result, if it does not."""
    certified = cycles.report.get("completeness")
    if certified is None:
        return "it has no certificate of completeness"
    if certified.get("seal") != seal(cycles):
        return "the cycles, orders or box are not those that the certificate was issued for"
    return None


def upheld(cycles: Cycles, refused: int, model: str) -> dict[str, Any]:
    """Give the report, without its claims of completeness where they do not hold for these cycles and this model."""
    if "completeness" not in cycles.report:
        return cycles.report
    reason = broken(cycles)
    if refused:
        reason = f"{refused} of the cycles it vouches for are refused"
    elif cycles.provenance.get("model") != model:
        reason = "it was issued for another model"
    if reason is None:
        return cycles.report
    withdrawn = {"verdict": "unknown", "reason": f"the certificate of completeness does not hold: {reason}"}
    claims = {
        order: {**entry, **withdrawn} if entry["verdict"] == "proved complete" else entry
        for order, entry in cycles.report["orders"].items()
    }
    return {**cycles.report, "orders": claims}
