"""Seals: whether a result still is what its claims of completeness were issued for."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from cyclax.cycles.result import Cycles


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
