"""What is proved: the certificate of completeness, how it is worded, and whether a result still keeps it."""

from typing import Any

import numpy as np

from cyclax.proofs.candidates import Box, Candidates


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
