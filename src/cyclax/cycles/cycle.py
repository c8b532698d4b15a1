"""What is found: a cycle, a degenerate entry, a near miss, and the proof of a cycle."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

# A multiplier whose modulus is 1 up to rounding, or this close to it where rounding may be more, is called neutral.
_NEUTRAL = 1e-9
# Times that each state is given another unit.
_SWEEPS = 8


@dataclasses.dataclass(frozen=True)
class Proof:
    """What `cyclax.certify` found out about one cycle.

    - `status`: "proved", "ambiguous", "refused" (what is stated is proved wrong) or "not tried"; `reason`: why it is
      not proved, or why its stability is left open.
    - `precision`: the bits that it took.
    - `radius`: of the enclosure of the points; `distance`: of the stated points from the exact ones, at most (in each
      coordinate).
    - `margin`: the distance from the exact cycle to the nearest border, at least, inert borders included; of an
      ambiguous cycle, the distance to the border that blocks the proof, at most.
    - `stability`: "stable", "saddle", "repeller", or None where that is left open; `unstable`: the number of
      multipliers proved to be outside the unit circle.
    - `multiplier_error`: how far the stated multipliers are from the exact ones, at most.
    """

    status: str
    reason: str = ""
    precision: int = 0
    radius: float = math.nan
    distance: float = math.nan
    margin: float = math.nan
    stability: str | None = None
    unstable: int | None = None
    multiplier_error: float = math.nan


def stability(multipliers: np.ndarray, jacobian: np.ndarray, order: int) -> str:
    """Give "stable", "saddle", "repeller" or, with a multiplier on the unit circle, "neutral"."""
    moduli = np.abs(multipliers)
    if not np.all(np.abs(moduli - 1) > _NEUTRAL):
        rounding = 64 * order * len(moduli) * float(np.finfo(float).eps) * max(1.0, _balanced_size(jacobian))
        if not np.all(np.abs(moduli - 1) > min(_NEUTRAL, rounding)):
            return "neutral"
    if np.all(moduli < 1):
        return "stable"
    return "repeller" if np.all(moduli > 1) else "saddle"


def _balanced_size(jacobian: np.ndarray) -> float:
    """Give the largest entry in units of the states in which each row is as large as its column.

    In these eigenvalues are computed, so that rounding in them is relative to it, whatever the units are. Source:
    Parlett and Reinsch (1969), "Balancing a matrix for calculation of eigenvalues and eigenvectors".
    """
    size = np.abs(jacobian)
    diagonal = np.max(np.diagonal(size), initial=0.0)
    np.fill_diagonal(size, 0)
    with np.errstate(all="ignore"):
        for i in list(range(len(size))) * _SWEEPS:
            row, column = np.max(size[i]), np.max(size[:, i])
            # A state that drives none of the others, or that none of them drives, may have a unit in which it vanishes.
            scale = np.sqrt(column / row) if row > 0 and column > 0 else 0.0
            size[i] *= scale
            size[:, i] /= scale or np.inf
    return float(max(diagonal, np.max(size, initial=0.0)))


@dataclasses.dataclass(frozen=True, eq=False)
class Cycle:
    """One cycle of minimal period `order`, rechecked with the true map.

    - `points` `(k, M)` and `gates` `(k, G)`: `points[0]` meets `gates[0]` of the canonical rotation of the word.
    - `jacobian` `(M, M)`: of the k-th iterate at `points[0]`; `multipliers` `(M,)`: its eigenvalues, largest first.
    - `residual`: the largest |F(points[t]) - points[t + 1]|.
    - `margin`: the distance, in state, from the cycle to the nearest border (inf where there is none).
    - `error`: a bound on the distance from `points` to the exact cycle. `margin > error`, unless the word was decided
      in exact numbers: then `points`, as they are, meet the gates.
    - `condition`: the 2-norm condition number of I - jacobian.
    - `certificate`: what `cyclax.certify` proved of it, or None.
    """

    order: int
    points: Float[np.ndarray, "k M"]
    gates: Bool[np.ndarray, "k G"]
    multipliers: Complex[np.ndarray, " M"]
    jacobian: Float[np.ndarray, "M M"]
    residual: float
    margin: float
    error: float
    condition: float
    certificate: Proof | None = None

    @property
    def stability(self) -> str:
        """Give "stable", "saddle", "repeller" or, with a multiplier on the unit circle, "neutral"."""
        return stability(self.multipliers, self.jacobian, self.order)

    @property
    def eigenvectors(self) -> Complex[np.ndarray, "M M"]:
        """Give eigenvectors of `jacobian` as columns, in the order of `multipliers`."""
        values, vectors = np.linalg.eig(self.jacobian)
        ranks = [int(np.argmin(np.abs(values - wanted))) for wanted in self.multipliers]
        if len(set(ranks)) < len(ranks):  # equal multipliers: any order serves
            ranks = list(np.argsort(-np.abs(values), kind="stable"))
        return vectors[:, ranks].astype(complex)

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values, with null for inf and nan, as `cyclax cycles --json` prints them."""
        proof = plain_value(dataclasses.asdict(self.certificate)) if self.certificate else None
        fields = _plain_fields(self)
        del fields["jacobian"]
        return {**fields, "stability": self.stability, "certificate": proof}

    def __repr__(self) -> str:
        values = ", ".join(short_number(value) for value in self.multipliers[:3])
        more = ", .." if len(self.multipliers) > 3 else ""
        start = short_vector(self.points[0])
        return f"Cycle(order {self.order}, {self.stability}, from {start}, multipliers {values}{more})"


# The header of a file of cycles, as far as anything here relies on it.
FORM = {
    "orders": [int],
    "report": {
        "orders": {int: {"verdict": str, "reason": str}},
        "interrupted?": str | None,
        "completeness?": dict,
        "certificate?": {"bits": int, "proved": int, "stability open": int, "borders": [str], "note?": str},
    },
    "provenance": {"settings?": dict},
    "counts": {int: int},
    "degenerate": int,
    "near_misses": int,
    "certificates?": {int: [Proof | None]},
}
# The fields of a cycle that are saved as arrays.
ARRAYS = [field.name for field in dataclasses.fields(Cycle) if field.name != "certificate"]


@dataclasses.dataclass(frozen=True, eq=False)
class Degenerate:
    """What was found but is no isolated cycle that float64 can vouch for: reported, not counted.

    - `order` k, `gates` `(k, G)`: of the word; `points` `(k, M)`.
    - `kind` "family": I - P is singular, and `points` is one of a whole family of solutions: within the region,
      `points[0] + directions @ s` is another. Line attractors are families.
    - `kind` "slow": the same to within the rounding of P, as for a line attractor in turned coordinates: along
      `directions` states move by less than float64 can tell, and exactly there are isolated solutions or none.
    - `kind` "border": the solution lies on a border to within its error, so float64 cannot tell its word.
    - `directions` `(M, d)`: an orthonormal basis of the family; `extent` `(d, 2)`: how far one can go from `points[0]`
      along each direction, backward (<= 0) and forward, before a border is met (inf where none is).
    - `multipliers` `(M,)`: those of `points`; the d of a family are 1.
    - `margin`, `error`: as for a `Cycle`.
    """

    kind: str
    order: int
    points: Float[np.ndarray, "k M"]
    gates: Bool[np.ndarray, "k G"]
    directions: Float[np.ndarray, "M d"]
    extent: Float[np.ndarray, "d 2"]
    multipliers: Complex[np.ndarray, " M"]
    margin: float
    error: float

    @property
    def attracting(self) -> bool:
        """Whether all multipliers but those of the family itself are inside the unit circle."""
        others = len(self.multipliers) - self.directions.shape[1]
        return 0 < others == int(np.sum(np.abs(self.multipliers) < 1 - _NEUTRAL))

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values."""
        return _plain_fields(self)

    def __repr__(self) -> str:
        start = short_vector(self.points[0])
        noun = "fixed point" if self.order == 1 else f"{self.order}-cycle"
        if self.kind == "border":
            return f"{noun} on a border, at {start}"
        number = self.directions.shape[1]
        shape = {1: "line", 2: "plane"}.get(number, f"{number}-dimensional family")
        kind = "attracting " if self.attracting else ""
        noun = f"nearly {noun}" if self.kind == "slow" and self.order == 1 else noun
        text = f"{kind}{shape} of {noun}s through {start}"
        ways = [
            f"{short_vector(direction)} from {low + 0.0:.4g} to {high + 0.0:.4g}"
            for direction, (low, high) in zip(self.directions.T[:3], self.extent[:3], strict=True)
        ]
        return f"{text}, along " + ", ".join(ways) + (", .." if number > 3 else "")


@dataclasses.dataclass(frozen=True, eq=False)
class NearMiss:
    """What is no cycle, but nearly.

    - `kind` "virtual": `points` solve the equations of the word `gates`, but do not meet it; `violated` `(k, G)` marks
      where, and `distance` is how far, at most, a point lies beyond a border of its region.
    - `kind` "ghost": `points[0]` is a local minimum of |F^k(z) - z|, and `distance` is its value; `points` and `gates`
      follow the true map from there.
    - `order` k; `multipliers` `(M,)`: of the k-th iterate with the gates held.
    """

    kind: str
    order: int
    points: Float[np.ndarray, "k M"]
    gates: Bool[np.ndarray, "k G"]
    distance: float
    violated: Bool[np.ndarray, "k G"]
    multipliers: Complex[np.ndarray, " M"]

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values."""
        return _plain_fields(self)

    def __repr__(self) -> str:
        how = "beyond a border of its region by" if self.kind == "virtual" else "coming back to within"
        noun = "fixed point" if self.order == 1 else f"{self.order}-cycle"
        noun = f"virtual {noun}" if self.kind == "virtual" else f"ghost of a {noun}"
        return f"{noun} at {short_vector(self.points[0])}, {how} {self.distance:.4g}"


def short_vector(values: np.ndarray) -> str:
    """Write the first entries of a vector."""
    return "(" + ", ".join(f"{x:.6g}" for x in values[:3]) + (", ..)" if len(values) > 3 else ")")


def short_number(value: complex) -> str:
    """Write a real or complex number."""
    return f"{value.real:.6g}" if value.imag == 0 else f"{value.real:.6g}{value.imag:+.6g}i"


def _plain_fields(entry: Any) -> dict[str, Any]:
    """Give the fields but the certificate as plain values: gates as 0 and 1, multipliers as pairs."""
    fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    fields.pop("certificate", None)
    fields["multipliers"] = [(value.real, value.imag) for value in fields["multipliers"]]
    fields |= {name: fields[name].astype(int) for name in ("gates", "violated") if name in fields}
    return plain_value(fields)


def plain_value(value: Any) -> Any:
    """Turn arrays and containers into plain Python values, with None for inf and nan."""
    if isinstance(value, dict):
        return {key: plain_value(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain_value(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
