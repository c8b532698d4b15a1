"""Numbers of cycles: of maps that are full shifts, and of the networks that SCYFI's own tests use.

The numbers and weights of the latter are those of the files `convPLRNN_tests.jl` and `shPLRNN_tests.jl` of the code
that was published with Eisenmann, Monfared, Goering, Durstewitz, "Bifurcations and loss jumps in RNN training" (2023).
"""

import cyclax as cx
from benchmarks.tables import ROOT
from benchmarks.validation.rows import Row

PAPER = "Eisenmann et al. 2023, its tests"


def load(name: str):
    """Read one of the published networks."""
    return cx.load(ROOT / "examples" / "networks" / f"{name}.json")


def primitive(symbols: int, order: int) -> int:
    """Count the cycles of an order of a full shift: words of that length that repeat no shorter one, up to rotation."""
    free: dict[int, int] = {}
    for k in range(1, order + 1):
        free[k] = symbols**k - sum(free[d] for d in range(1, k) if k % d == 0)
    return free[order] // order


# A tent map on each of two axes, 1 - 2 |x| = 1 + 2 x - 4 relu(x), and one with a fold that is far from closing.
TWO_TENTS = cx.PLRNN(A=[2.0, 2.0], W=[[-4.0, 0.0], [0.0, -4.0]], h=[1.0, 1.0])
SHIFTS = [
    ("tent map, slope 2", cx.TentMap(2.0), "cx.TentMap(2.0)", 2, (8, 12)),
    ("skew tent map, full", cx.SkewTentMap(1 / 0.3, -1 / 0.7, 1.0), "cx.SkewTentMap(1 / 0.3, -1 / 0.7, 1.0)", 2, (10,)),
    ("Lozi horseshoe, (4, 0.3)", cx.LoziMap(4.0, 0.3), "cx.LoziMap(4.0, 0.3)", 2, (8, 12)),
    ("two tent maps in one network", TWO_TENTS, "cx.PLRNN(..)", 4, (3, 5)),
]


def counts() -> list[Row]:
    """Count cycles, and points of F^n(z) = z, of full shifts."""
    found = []
    for name, model, text, symbols, orders in SHIFTS:
        cycles = cx.enumerate_cycles(model, max(orders), budget=120)
        for order in orders:
            known, call = primitive(symbols, order), f"cx.enumerate_cycles({text}, {max(orders)}).counts[{order}]"
            ours = cycles.counts[order]
            source = f"words of {symbols} letters that repeat no shorter one, up to rotation (Moreau 1872)"
            found.append(Row(f"{name}: cycles of order {order}", known, ours, 0, source, call))
        n = max(orders)
        ours = sum(d * cycles.counts[d] for d in range(1, n + 1) if n % d == 0)
        name, call = f"{name}: points of period {n} and its divisors", f"cx.enumerate_cycles({text}, {n}).counts"
        found.append(Row(name, symbols**n, ours, 0, f"{symbols}^n: a full shift", call))
    return found


def plrnn(a1: float, w1: float, w2: float = 0.52505308, h2: float = -0.97931491, a2: float = 0.96461297) -> cx.PLRNN:
    """Give one of the family of two units that the tests of SCYFI vary."""
    return cx.PLRNN(A=[a1, a2], W=[[0.0, w1], [w2, 0.0]], h=[0.37298253, h2])


# Name, network, order, number of its cycles, an order of which the tests demand none.
NETWORKS = [
    ("2-D, fixed point", load("plrnn_2d_order1"), 1, 1, None),
    ("2-D, fixed point, a2 < 0", plrnn(0.7, -0.14375, a2=-0.7), 1, 1, None),
    ("2-D, 16-cycles", load("plrnn_2d_order16"), 16, 2, 15),
    ("2-D, 27-cycles", load("plrnn_2d_order27"), 27, 2, 25),
    ("2-D, 31-cycles", plrnn(0.9777689, -0.14375, 1.1750530800000014), 31, 2, 30),
    ("2-D, 40-cycles", load("plrnn_2d_order40"), 40, 2, 38),
    ("2-D, 53-cycles", load("plrnn_2d_order53"), 53, 2, 50),
    ("2-D, 65-cycles", plrnn(0.9777689, -0.14375, 1.3250530800000015), 65, 2, 60),
    ("2-D, 80-cycles", plrnn(0.9777689, -0.14375, h2=-0.779314909999999), 80, 2, 70),
    ("2-D, 83-cycles", plrnn(0.9777689, -0.14375, 0.675053080000001), 83, 2, 80),
    ("10-D, 10-cycles", load("plrnn_10d_order10"), 10, 2, 9),
    ("shallow 2-D, fixed point", load("shallow_2d_order1"), 1, 1, None),
    ("shallow 2-D, 2-cycles", load("shallow_2d_order4"), 2, 2, 1),
    ("shallow 2-D, 4-cycle", load("shallow_2d_order4"), 4, 1, 3),
]
# Their fixed points, as printed there to two digits.
POINTS = {"2-D, fixed point": ("0.36", "-22.26"), "shallow 2-D, fixed point": ("-0.03", "0.40")}


def published() -> list[Row]:
    """Count the cycles of published networks."""
    found, none = [], 0
    for name, model, order, known, empty in NETWORKS:
        cycles = cx.find_cycles(model, [order] if empty is None else sorted([order, empty]), key=0)
        none += 0 if empty is None else cycles.counts[empty]
        call = f"cx.find_cycles(model, [{order}], key=0).counts[{order}]"
        found.append(Row(f"{name}: cycles of order {order}", known, cycles.counts[order], 0, PAPER, call))
        for i, text in enumerate(POINTS.get(name, ())):
            call, ours = f"cx.find_cycles(model, 1, key=0)[0].points[0, {i}]", float(cycles[0].points[0, i])
            found.append(Row(f"{name}: z_{i + 1}", text, ours, 0.005, PAPER, call))
    empty = [f"{one[4]}" for one in NETWORKS if one[4]]
    name = f"cycles of orders {', '.join(empty)} of these networks, in their order"
    return [*found, Row(name, 0, none, 0, PAPER, "cx.find_cycles(model, [order], key=0).counts[order]")]
