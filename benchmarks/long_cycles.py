"""Where the product formula fails: `python -m benchmarks.long_cycles`. Writes `results/long_cycles.md`.

For cycles of the Lozi map (1.7, 0.5): how far the point (I - P)^-1 q of the composed word, in plain NumPy, lies from
the exact one, beside the error bound that cyclax reports and its true error against 300 digits.
"""

import time
from pathlib import Path

import mpmath
import numpy as np

import cyclax as cx

RESULTS = Path(__file__).resolve().parent / "results" / "long_cycles.md"
ORDERS = (10, 20, 30, 40, 50, 60, 80, 100, 200)
LOOKED_AT = 100
A, B = 1.7, 0.5


def by_product(gates: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Give the first point of a word by the product formula (None where I - P is singular), and P."""
    P, q = np.eye(2), np.zeros(2)
    for gate in gates[:, 0]:
        J = np.array([[-A if gate else A, 1], [B, 0]])
        P, q = J @ P, J @ q + [1, 0]
    try:
        return np.linalg.solve(np.eye(2) - P, q), P
    except np.linalg.LinAlgError:
        return None, P


def exact(gates: np.ndarray) -> mpmath.matrix:
    """Give the same in 300 digits."""
    P, q = mpmath.eye(2), mpmath.zeros(2, 1)
    for gate in gates[:, 0]:
        J = mpmath.matrix([[-A if gate else A, 1], [B, 0]])
        P, q = J * P, J * q + mpmath.matrix([1, 0])
    return mpmath.lu_solve(mpmath.eye(2) - P, q)


def met(point: np.ndarray, order: int) -> np.ndarray:
    """Run the map; give the gates met."""
    gates = []
    for _ in range(order):
        gates.append([point[0] > 0])
        point = np.array([1 - A * abs(point[0]) + point[1], B * point[0]])
    return np.array(gates)


def row(order: int) -> str:
    """Give one line of the table."""
    model, finder = cx.LoziMap(A, B), cx.SCYFI(starts=1024)
    cx.find_cycles(model, [order], key=1, finder=finder, progress=False)  # compiled
    begin = time.perf_counter()
    cycles = cx.find_cycles(model, [order], key=0, finder=finder, progress=False)
    seconds = time.perf_counter() - begin
    off, ours, singular, lost, small = [], [], 0, 0, []
    for cycle in cycles[:LOOKED_AT]:
        point, P = by_product(cycle.gates)
        with np.errstate(divide="ignore"):
            small.append(abs(np.log10(min(abs(np.linalg.eigvals(P))) / abs(cycle.multipliers[-1]))))
        with mpmath.workdps(300):
            truth = exact(cycle.gates)
            ours.append(float(max(abs(truth[i] - mpmath.mpf(float(cycle.points[0, i]))) for i in range(2))))
        if point is None:
            singular += 1
            continue
        off.append(np.max(np.abs(point - cycle.points[0])))
        lost += not np.array_equal(met(point, order), cycle.gates)
    looked = min(len(cycles), LOOKED_AT)
    cells = [
        order,
        len(cycles),
        f"{seconds:.2f}",
        f"{np.median([abs(cycle.multipliers[0]) for cycle in cycles]):.0e}",
        f"{np.median(off):.0e}, {max(off):.0e}" if off else "-",
        f"{singular} of {looked}",
        f"{lost} of {looked - singular}",
        f"{np.median(small):.0f}",
        f"{max(ours):.0e}",
        f"{max(cycle.error for cycle in cycles):.0e}",
        f"{max(cycle.residual for cycle in cycles):.0e}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Write the table."""
    lines = [
        "# Long cycles of the Lozi map (1.7, 0.5)",
        "",
        "Cycles from 1,024 starts; the first hundred are looked at. *Product*: (I - P)^-1 q in NumPy float64; the",
        "smaller eigenvalue of P is off by 10 to the number given. *cyclax*: against 300 digits.",
        "",
        "| order | cycles | s | multiplier, median | product: off (median, max) | singular | word lost | eigenvalue "
        "| cyclax: true error | error bound | residual |",
        "|" + "---|" * 11,
    ]
    for order in ORDERS:
        lines.append(row(order))
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
