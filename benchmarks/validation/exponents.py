"""Systems whose Lyapunov exponents are known, and how they are computed here.

Where "Sprott" is named: J. C. Sprott, "Chaos and Time-Series Analysis" (Oxford University Press, 2003), Appendix A, and
"Common Chaotic Systems" (1998, revised 2004), which say that the last digit is a best estimate.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

import cyclax as cx
from benchmarks.validation.cycles import load
from benchmarks.validation.rows import Row, published
from cyclax.data import Lorenz63, Roessler

SPROTT = "Sprott 2003"


def henon(z):
    """Map (x, y) once; a = 1.4, b = 0.3."""
    return jnp.stack([1 - 1.4 * z[0] ** 2 + z[1], 0.3 * z[0]])


def logistic(z):
    """Map x once, r = 4."""
    return 4 * z * (1 - z)


def uniform(seed: int, number: int, low, high) -> np.ndarray:
    """Draw starts, `(number, M)`."""
    return np.random.default_rng(seed).uniform(low, high, (number, np.size(low)))


def on_a_ring(number: int, seed: int) -> np.ndarray:
    """Give starts for the Roessler system all around its axis: its orbits keep their phases for long."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, number), rng.uniform(2, 8, number)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(number)], axis=1)


@dataclasses.dataclass(frozen=True)
class Known:
    """A system, and what is known of it; `sum` is that of the exponents, `call` what stands before `.exponents`.

    A flow is made when it is followed, as that takes the extra `data`.
    """

    name: str
    system: Any
    starts: np.ndarray
    steps: int
    warmup: int
    exponents: tuple[float | str, ...]
    source: str
    call: str
    sum: float | None = None
    dimension: str = ""

    def spectrum(self, times: int = 1) -> cx.Spectrum:
        """Follow all starts, so many times as long as needed for three digits, and pool them."""
        settings = {"steps": times * self.steps, "warmup": self.warmup, "in_axes": (None, 0, None), "progress": False}
        system = self.system() if self.is_flow else self.system
        return cx.lyapunov_spectrum(system, self.starts, **settings).pool()

    @property
    def is_flow(self) -> bool:
        """Whether it goes on in time, and not in steps."""
        return isinstance(self.system, functools.partial)

    def rounding(self, known: float | str) -> float:
        """Give to how much a number is known."""
        return published(known) if isinstance(known, str) else 1e-12

    def rows(self) -> list[Row]:
        """Compare exponents, their sum and the dimension, as far as they are known."""
        found, rows = self.spectrum(times=2 if self.is_flow else 50), []
        for i, known in enumerate(self.exponents):
            allowed = 4 * float(found.standard_errors[i]) + self.rounding(known)
            ours, call = float(found.exponents[i]), f"{self.call}.exponents[{i}]"
            rows.append(Row(f"{self.name}: exponent {i + 1}", known, ours, allowed, self.source, call))
        if self.sum is not None:
            # Nothing varies along the orbit: what is left is rounding, and what the integrator errs.
            allowed = 1e-11 + (0.0 if found.integration_errors is None else 4 * float(np.sum(found.integration_errors)))
            text = "mean log of the determinant, or divergence, which is constant"
            rows.append(Row(f"{self.name}: sum", self.sum, float(found.sum), allowed, text, f"{self.call}.sum"))
        if self.dimension:
            allowed = 4 * float(found.dimension_error) + published(self.dimension)
            name, call = f"{self.name}: Kaplan-Yorke dimension", f"{self.call}.dimension"
            rows.append(Row(name, self.dimension, float(found.dimension), allowed, self.source, call))
        return rows


def _skew(a: float) -> Known:
    """Both branches are onto, so that the density is uniform."""
    known = -a * np.log(a) - (1 - a) * np.log(1 - a)
    return Known(
        f"skew tent map, slopes 1/{a} and -1/{1 - a}",
        cx.SkewTentMap(left=1 / a, right=-1 / (1 - a), offset=1.0),
        uniform(1, 16, [-0.1], [0.9]),
        50_000,
        100,
        (known,),
        "mean of ln (slope) over a uniform density",
        f"cx.lyapunov_spectrum(cx.SkewTentMap(1 / {a}, -1 / {1 - a}, 1.0), ..)",
    )


KNOWN = [
    *(
        Known(
            f"tent map, slope {slope}",
            cx.TentMap(slope),
            np.array([[0.3]]),
            10_000,
            100,
            (float(np.log(slope)),),
            "ln (slope)",
            f"cx.lyapunov_spectrum(cx.TentMap({slope}), ..)",
        )
        for slope in (2.0, 1.99)
    ),
    _skew(0.3),
    _skew(0.1),
    Known(
        "logistic map, r = 4",
        logistic,
        np.array([[0.3]]),
        50_000,
        100,
        (float(np.log(2)),),
        "ln 2: conjugate to the tent map (Ulam, von Neumann 1947)",
        "cx.lyapunov_spectrum(logistic, ..)",
    ),
    Known(
        "Henon map, (1.4, 0.3)",
        henon,
        uniform(1, 64, [-0.1, -0.1], [0.1, 0.1]),
        20_000,
        1000,
        ("0.41922", "-1.62319"),
        SPROTT,
        "cx.lyapunov_spectrum(henon, ..)",
        float(np.log(0.3)),
        "1.25827",
    ),
    Known(
        "Lozi map, (1.7, 0.5)",
        cx.LoziMap(1.7, 0.5),
        uniform(3, 32, [-0.1, -0.1], [0.1, 0.1]),
        20_000,
        1000,
        ("0.47023", "-1.16338"),
        SPROTT,
        "cx.lyapunov_spectrum(cx.LoziMap(1.7, 0.5), ..)",
        float(np.log(0.5)),
        "1.40419",
    ),
    Known(
        "Lorenz, (10, 28, 8/3), per unit of time",
        functools.partial(cx.Flow, Lorenz63().velocity, 0.1, substeps=10),
        np.random.default_rng(4).normal([0, 0, 25], 1, (64, 3)),
        3000,
        300,
        ("0.9056", 0.0, "-14.5723"),
        SPROTT,
        "cx.lyapunov_spectrum(cx.Flow(Lorenz63().velocity, 0.1, substeps=10), ..)",
        -41 / 3,
        "2.06215",
    ),
    Known(
        "Roessler, (0.2, 0.2, 5.7), per unit of time",
        functools.partial(cx.Flow, Roessler().velocity, 0.2, substeps=8),
        on_a_ring(64, 3),
        3000,
        500,
        ("0.0714", 0.0, "-5.3943"),
        SPROTT,
        "cx.lyapunov_spectrum(cx.Flow(Roessler().velocity, 0.2, substeps=8), ..)",
        dimension="2.0132",
    ),
]


def rows() -> list[Row]:
    """Compare all of them; and the stable cycle of a published network, whose multipliers tell its exponents."""
    found = [row for known in KNOWN for row in known.rows()]
    model = load("plrnn_2d_order16")
    cycle = next(one for one in cx.find_cycles(model, [16], key=0) if one.stability == "stable")
    orbit = cx.lyapunov_spectrum(model, cycle.points[0], steps=16_000, warmup=1600, progress=False)
    known = float(np.log(np.abs(cycle.multipliers[0])) / 16)
    name, call = "stable 16-cycle of a published network: exponent 1", "cx.lyapunov_spectrum(model, ..).exponents[0]"
    allowed = 4 * float(orbit.standard_errors[0]) + 1e-9
    return [*found, Row(name, known, float(orbit.exponents[0]), allowed, "ln (modulus of multiplier) / order", call)]
