"""What `lyapunov_spectrum` returns: exponents, how sure they are, and what follows from them."""

import dataclasses
import functools
import html
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cyclax.core.archive import Archive, write_archive
from cyclax.core.checks import number_or_none, whole
from cyclax.lyapunov.statistics import (
    BLOCKS,
    kaplan_yorke,
    kaplan_yorke_gradient,
    kaplan_yorke_jump,
    quantile_of_t,
    rounding,
    settled,
    standard_errors,
)

# Printed in full up to so many exponents of an orbit, and so many orbits.
_MOST_LINES = 12
# An exponent farther than this many standard errors from 0 has a sign.
_SURE = 3.0
# What an integrator errs is measured in a few steps: an exponent within so many times that is 0.
_INTEGRATOR = 10.0
# Fields that are written as arrays.
_ARRAYS = ("means", "bins", "diverged", "weighted_means", "integration_errors")
# The header of a file, as far as anything here relies on it.
_FORM = {
    "bin_steps": int,
    "steps": int,
    "warmup": int,
    "dt": float,
    "num_states": int,
    "rtol": float,
    "atol": float,
    "shared_inputs": bool,
    "interrupted?": str,
    "report": {"model?": str, "pooled?": int},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Lyapunov exponents of one orbit, `(n,)`, or of a batch of B, `(B, n)`; nats per unit of time.

    - `means` `(.., n)`: the averages, in the order of the vectors of the frame; `exponents` has them largest first.
    - `bins` `(N, .., n)`: the averages over N consecutive stretches of `bin_steps` steps, in the same order.
    - `steps`, `warmup`: steps that count, and steps before. `dt`: the time of a step.
    - `num_states`: the number of states D.
    - `diverged` `(..)`: the step, counted from 1 with the warm-up, in which the orbit (or its tangents) stopped being
      finite; 0 where it did not. Such orbits have NaN for exponents.
    - `rtol`, `atol`: what `converged` asks for.
    - `weighted_means` `(.., n)`: weighted Birkhoff averages, where they were asked for.
    - `shared_inputs`: whether the orbits of the batch were driven by the same inputs.
    - `interrupted`: why it stopped early, if it did.
    - `report`: {"model", "seconds", "version", "orthonormalize_every", "orthonormalization"}, and of a flow {"pieces"}:
      in how many the steps were split.
    - `integration_errors` `(.., n)`: of a flow, what the integrator errs, in the order of `means`: by how much steps
      half as long, or a hundredth of the tolerances, change the exponents.
    """

    means: Float[np.ndarray, "... n"]
    bins: Float[np.ndarray, "N ... n"]
    bin_steps: int
    steps: int
    warmup: int
    dt: float
    num_states: int
    diverged: Int[np.ndarray, "..."]
    rtol: float
    atol: float
    weighted_means: Float[np.ndarray, "... n"] | None = None
    shared_inputs: bool = False
    interrupted: str | None = None
    report: dict[str, Any] = dataclasses.field(default_factory=dict)
    integration_errors: Float[np.ndarray, "... n"] | None = None

    # -- exponents ----------------------------------------------------------------------------------------------------

    @property
    def _order(self) -> Int[np.ndarray, "... n"]:
        return np.argsort(-self.means, axis=-1, kind="stable")

    def _sorted(self, values: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
        order = np.broadcast_to(self._order, values.shape)
        return np.take_along_axis(values, order, axis=-1)

    @property
    def exponents(self) -> Float[np.ndarray, "... n"]:
        """The exponents, largest first. Where the Jacobian is singular on the way, -inf."""
        return self._sorted(self.means)

    @property
    def weighted_exponents(self) -> Float[np.ndarray, "... n"] | None:
        """Weighted Birkhoff averages in the order of `exponents`, or None where they were not asked for.

        Far more accurate on cycles and quasi-periodic orbits; no better than `exponents` on chaotic ones.
        """
        return None if self.weighted_means is None else self._sorted(self.weighted_means)

    @functools.cached_property
    def standard_errors(self) -> Float[np.ndarray, "... n"]:
        """Standard errors from 32 block means; NaN where there are too few steps, and of an exponent of -inf.

        Never below rounding, and of a flow never below the integrator's errors. They are right where correlations die
        out within a block; `converged` looks at that.
        """
        return self._sorted(self._errors)

    @property
    def _errors(self) -> Float[np.ndarray, "... n"]:
        return np.hypot(standard_errors(self.bins, pieces=self._pieces), self._integration)

    @property
    def _integration(self) -> Float[np.ndarray, "... n"]:
        return np.zeros_like(self.means) if self.integration_errors is None else self.integration_errors

    @property
    def _zero_within(self) -> tuple[Float[np.ndarray, "... n"], Float[np.ndarray, "... n"]]:
        """Give, in the order of `exponents`, within what each is 0 perhaps, and within what surely."""
        finite = np.where(np.isneginf(self.bins), 0, self.bins)
        # A coarse integrator makes nothing sure.
        integrator = np.minimum(_INTEGRATOR * self._integration, self.atol)
        surely = self._sorted(rounding(finite) + integrator)
        return np.fmax(_SURE * self.standard_errors, surely), surely

    @property
    def _pieces(self) -> int:
        return 1 if self.shared_inputs else self.report.get("pooled", 1)

    @property
    def intervals(self) -> Float[np.ndarray, "... n 2"]:
        """95 % confidence intervals, by Student's t."""
        half = quantile_of_t(min(BLOCKS, len(self.bins)) - 1) * self.standard_errors
        return np.stack([self.exponents - half, self.exponents + half], axis=-1)

    @property
    def finite_time(self) -> Float[np.ndarray, "N ... n"]:
        """Finite-time exponents: averages over consecutive stretches of `bin_steps` steps."""
        return self._sorted(self.bins)

    @property
    def running(self) -> Float[np.ndarray, "N ... n"]:
        """The running estimate after each of `running_steps`."""
        number = np.arange(1, len(self.bins) + 1).reshape(-1, *[1] * self.means.ndim)
        return self._sorted(np.cumsum(self.bins, axis=0) / number)

    @property
    def running_steps(self) -> Int[np.ndarray, " N"]:
        """The steps after the warm-up at which `running` is given."""
        return self.bin_steps * np.arange(1, len(self.bins) + 1)

    # -- what follows -------------------------------------------------------------------------------------------------

    @property
    def sum(self) -> Float[np.ndarray, "..."]:
        """The sum of the exponents: with all of them, the mean logarithm of the change of volume."""
        return np.sum(self.means, axis=-1)

    @property
    def dimension(self) -> Float[np.ndarray, "..."]:
        """The Kaplan-Yorke dimension; NaN where that takes more exponents than were computed.

        Exponents within three standard errors of 0 count as 0.
        """
        return kaplan_yorke(self.exponents, self.num_states, self._zero_within[0])

    @property
    def dimension_error(self) -> Float[np.ndarray, "..."]:
        """The standard error of the dimension, to first order in those of the exponents and their correlations.

        Where it jumps with the sign of exponents that are 0 within their errors (is it a limit cycle, or a fixed point
        that attracts weakly?), not less than the jump.
        """
        perhaps, surely = self._zero_within
        gradient = kaplan_yorke_gradient(self.exponents, self.num_states, perhaps)
        # An exponent of -inf has no part in it, and is no number to multiply.
        finite = np.where(np.isneginf(self.finite_time), 0, self.finite_time)
        smooth = standard_errors(np.sum(gradient * finite, axis=-1), pieces=self._pieces)
        integrator = np.sum(np.abs(gradient) * self._sorted(self._integration), axis=-1)
        jump = kaplan_yorke_jump(self.exponents, self.num_states, perhaps, surely)
        return np.sqrt(smooth**2 + integrator**2 + jump**2)

    @property
    def converged(self) -> Bool[np.ndarray, "..."]:
        """Whether every standard error is within `rtol |exponent| + atol`, and can be trusted.

        It can where blocks twice as long do not give a much larger one, and the two halves of the orbit agree.
        """
        small, long_enough, steady = self._checks()
        return np.all(small & long_enough & steady, axis=-1) & (self.diverged == 0)

    def _checks(self) -> tuple[Bool[np.ndarray, "... n"], Bool[np.ndarray, "... n"], Bool[np.ndarray, "... n"]]:
        """Say of each of `means` whether its error is small, its blocks long enough, its halves in agreement."""
        # An exponent of -inf has no error.
        gone = np.isneginf(self.means)
        tolerance = self.rtol * np.abs(np.where(gone, 0, self.means)) + self.atol
        with np.errstate(invalid="ignore"):
            small = self._errors <= tolerance
        long_enough, steady = settled(self.bins, tolerance, pieces=self._pieces)
        return small | gone, long_enough | gone, steady | gone

    def pool(self) -> "Spectrum":
        """Average over the batch: one spectrum of one attractor, from many initial states.

        Orbits that diverged are left out. `bins` are those of one orbit after the other; where the orbits share their
        inputs, and so need not be independent, their averages.

        **Raises:** `ValueError` where there is no batch.
        """
        if self.means.ndim != 2:
            raise ValueError("pool: there is one orbit only; give a batch of initial states.")
        kept = self.diverged == 0
        bins = self.bins[:, kept]
        together = np.mean(bins, axis=1) if self.shared_inputs else np.concatenate(np.moveaxis(bins, 1, 0))
        weighted = None if self.weighted_means is None else np.mean(self.weighted_means[kept], axis=0)
        return dataclasses.replace(
            self,
            means=np.mean(self.means[kept], axis=0),
            bins=together,
            diverged=np.zeros((), int),
            weighted_means=weighted,
            integration_errors=None if self.integration_errors is None else np.mean(self._integration[kept], axis=0),
            report={**self.report, "pooled": int(np.sum(kept))},
        )

    def __len__(self) -> int:
        if self.means.ndim == 1:
            raise TypeError("one spectrum has no length; `exponents` has.")
        return len(self.means)

    def __getitem__(self, index: int) -> "Spectrum":
        """Give the spectrum of one orbit of a batch."""
        if self.means.ndim == 1:
            raise TypeError("one spectrum has no entries; a batch has one for each orbit. Index `exponents`.")
        index = whole(index, "the number of an orbit", None)
        if not -len(self) <= index < len(self):
            raise IndexError(f"orbit {index} of {len(self)}.")
        return dataclasses.replace(
            self,
            means=self.means[index],
            bins=self.bins[:, index],
            diverged=self.diverged[index],
            weighted_means=None if self.weighted_means is None else self.weighted_means[index],
            integration_errors=None if self.integration_errors is None else self.integration_errors[index],
        )

    # -- files and print ----------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values, with null for inf and nan: what `cyclax lyapunov --json` prints."""
        values: dict[str, Any] = {
            "exponents": self.exponents,
            "standard_errors": self.standard_errors,
            "sum": self.sum,
            "dimension": self.dimension,
            "dimension_error": self.dimension_error,
            "converged": self.converged,
            "diverged": self.diverged,
        }
        if self.weighted_exponents is not None:
            values["weighted_exponents"] = self.weighted_exponents
        settings = {name: getattr(self, name) for name in ("steps", "warmup", "dt", "num_states", "interrupted")}
        return {name: _plain(np.asarray(value).tolist()) for name, value in values.items()} | settings | self.report

    def save(self, path: str | Path) -> None:
        """Write everything to one `.npz` file (no pickle); `Spectrum.load` gives it back bitwise.

        **Raises:** `ValueError` for another suffix; `OSError` where the path cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"{path}: spectra are written to .npz files.")
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        header = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _ARRAYS}
        write_archive(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Spectrum":
        """Read what `save` wrote.

        **Raises:** `FileNotFoundError`; `ValueError` where the file is not one, or is truncated.
        """
        archive = Archive(path, "not a file written by Spectrum.save", _FORM)
        arrays: dict[str, Any] = {"means": archive.array("means", float, "... n")}
        arrays["bins"] = archive.array("bins", float, "N ... n")
        arrays["diverged"] = archive.array("diverged", int, "...")
        for name in ("weighted_means", "integration_errors"):
            if name in archive.entries:
                arrays[name] = archive.array(name, float, "... n")
        archive.finish()
        batch, number = archive.sizes["..."], archive.sizes["n"]
        if len(batch) > 1 or 0 in batch or not 1 <= number <= archive.header["num_states"] or not len(arrays["bins"]):
            archive.refuse(f"means have shape {arrays['means'].shape}, bins {arrays['bins'].shape}")
        if not archive.header.keys() <= {field.name for field in dataclasses.fields(cls)} - set(_ARRAYS):
            archive.refuse(f"its header has {', '.join(archive.header)}")
        return cls(**archive.header, **arrays)

    def __repr__(self) -> str:
        if self.means.ndim == 2:
            return f"Spectrum({len(self)} orbits, {self.means.shape[-1]} of {self.num_states} exponents)"
        return f"Spectrum({np.array2string(self.exponents, precision=5, threshold=6, edgeitems=3)})"

    def __str__(self) -> str:
        head, rows, tail = _story(self)
        return "\n".join([head, *(f"  {row}" for row in rows), *tail])

    def _repr_html_(self) -> str:
        head, rows, tail = _story(self)
        table = "".join(f"<tr><td><pre>{html.escape(row)}</pre></td></tr>" for row in rows)
        return f"<p>{html.escape(head)}</p><table>{table}</table><p>{'<br>'.join(map(html.escape, tail))}</p>"


def forcing_interval(largest_exponent: float | Spectrum) -> float:
    """Give the interval ln 2 / lambda, in steps, after which errors have doubled.

    In sparse teacher forcing, states are reset to the data about once in this interval (Mikhaeil, Monfared, Durstewitz,
    "On the difficulty of learning chaotic dynamics with RNNs", 2022; first circulated as "How to train RNNs on chaotic
    data?", 2021).

    **Arguments:** `largest_exponent`: in nats per step, or the `Spectrum` of one orbit.

    **Returns:** steps; inf where the exponent is not positive (of a spectrum: not beyond its error), as no forcing is
    needed there.

    **Raises:** `TypeError` for what is neither; `ValueError` for NaN, or the spectrum of a batch.
    """
    if isinstance(largest_exponent, Spectrum):
        if largest_exponent.means.ndim != 1:
            raise ValueError("largest_exponent: the spectrum of a batch has many; pool it, or take one of its orbits.")
        value = float(largest_exponent.exponents[0]) * largest_exponent.dt
        if abs(value) <= largest_exponent._zero_within[0][0] * largest_exponent.dt:
            value = 0.0
    else:
        value = number_or_none(largest_exponent)
        if value is None:
            wanted = "a number, in nats per step, or the Spectrum of one orbit"
            raise TypeError(f"largest_exponent: expected {wanted}, got {largest_exponent!r}.")
    if math.isnan(value):
        raise ValueError("largest_exponent: NaN; did the orbit diverge?")
    return math.log(2) / value if value > 0 else math.inf


# -- the story that print tells ----------------------------------------------------------------------------------------


def _story(spectrum: Spectrum) -> tuple[str, list[str], list[str]]:
    number, unit = spectrum.means.shape[-1], "step" if spectrum.dt == 1 else "unit of time"
    name = spectrum.report.get("model", "a map")
    batch = "" if spectrum.means.ndim == 1 else f" for each of {len(spectrum)} orbits"
    head = f"Lyapunov spectrum of {name}: {number} of {spectrum.num_states} exponents{batch}, nats per {unit}"
    pooled = f", mean of {spectrum.report['pooled']} orbits" if "pooled" in spectrum.report else ""
    length = f"{spectrum.steps} steps after {spectrum.warmup} of warm-up{pooled}"
    if spectrum.means.ndim == 2:
        rows = [f"{i:>4}  {_brief(spectrum[i])}" for i in range(min(len(spectrum), _MOST_LINES))]
        if len(rows) < len(spectrum):
            rows.append(f"  .. and {len(spectrum) - len(rows)} more; .pool() averages them, [i] gives one")
        gone = np.flatnonzero(spectrum.diverged)
        tail = [f"{length}; {int(np.sum(spectrum.converged))} of {len(spectrum)} converged"]
        if len(gone):
            first = int(gone[np.argmin(spectrum.diverged[gone])])
            tail.append(f"DIVERGED: {len(gone)} orbits, the first (orbit {first}) in step {spectrum.diverged[first]}")
    else:
        rows = _rows(spectrum)
        tail = [_meaning(spectrum), f"{length}; {_verdict(spectrum)}"]
    if np.isneginf(spectrum.means).any():
        tail.append(
            "-inf: tangents vanish to rounding in some step: the Jacobian is singular there, or orthonormalize_every "
            "or dt is too large"
        )
    if spectrum.interrupted:
        tail.append(f"STOPPED EARLY: {spectrum.interrupted}")
    return head, rows, tail


def _rows(spectrum: Spectrum) -> list[str]:
    weighted = spectrum.weighted_exponents
    number = len(spectrum.means)
    shown = list(range(number)) if number <= _MOST_LINES else [*range(_MOST_LINES - 2), number - 1]
    rows = []
    for i in shown:
        # An exponent of -inf has no error.
        error = "" if np.isneginf(spectrum.exponents[i]) else f" +- {spectrum.standard_errors[i]:.1g}"
        row = f"{i + 1:>4}  {spectrum.exponents[i]:+.6g}{error}"
        rows.append(row if weighted is None else f"{row}, weighted {weighted[i]:+.12g}")
        if number > _MOST_LINES and i == shown[-2]:
            rows.append("  ..")
    return rows


def _brief(spectrum: Spectrum) -> str:
    if spectrum.diverged:
        return f"diverged in step {spectrum.diverged}"
    values = ", ".join(f"{value:+.5g}" for value in spectrum.exponents[:4])
    return values + (", .." if len(spectrum.means) > 4 else "") + f"  dimension {spectrum.dimension:.4g}"


def _meaning(spectrum: Spectrum) -> str:
    if spectrum.diverged:
        return f"DIVERGED in step {spectrum.diverged}"
    largest, zero = float(spectrum.exponents[0]), float(spectrum._zero_within[0][0])
    whole = len(spectrum.means) == spectrum.num_states
    parts = [f"sum {spectrum.sum:.6g}"] if whole else [f"sum of these {spectrum.sum:.6g}"]
    known = not np.isnan(spectrum.dimension)
    parts.append(
        f"Kaplan-Yorke dimension {spectrum.dimension:.5g} +- {spectrum.dimension_error:.1g}"
        if known
        else "the Kaplan-Yorke dimension takes more exponents"
    )
    if largest > zero:
        parts.append(f"errors double every {math.log(2) / largest / spectrum.dt:.4g} steps")
    elif np.isneginf(largest):
        parts.append("errors vanish at once")
    elif largest < -zero:
        parts.append(f"errors halve every {-math.log(2) / largest / spectrum.dt:.4g} steps")
    else:
        parts.append("no exponent is positive beyond its error")
    return "; ".join(parts)


def _verdict(spectrum: Spectrum) -> str:
    if np.isneginf(spectrum.means).all():
        return "converged (exponents of -inf have no error)"
    if spectrum.converged:
        return f"converged (every standard error within {spectrum.rtol:g} of its exponent + {spectrum.atol:g})"
    if spectrum.diverged:
        return "no exponents"
    if np.isnan(standard_errors(spectrum.bins)).all():
        return "NOT converged: too few steps for standard errors"
    _, long_enough, steady = spectrum._checks()
    if not np.all(steady):
        return "NOT converged: the two halves of the orbit differ; a longer warm-up, or more steps"
    if not np.all(long_enough):
        return "NOT converged: correlations are as long as the blocks, so errors are larger than stated; more steps"
    if np.any(spectrum._integration > spectrum.rtol * np.abs(spectrum.means) + spectrum.atol):
        return "NOT converged: the integrator errs by more; smaller tolerances or dt, or more substeps"
    return f"NOT converged: standard errors above {spectrum.rtol:g} of the exponent + {spectrum.atol:g}; more steps"


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
