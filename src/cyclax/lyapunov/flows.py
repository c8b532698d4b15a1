"""Flows of ordinary differential equations as maps, with diffrax (`pip install 'cyclax[data]'`)."""

import math
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from cyclax.core.checks import real, whole
from cyclax.core.extras import extra

# Between two orthonormalizations lengths of tangents change by e^6 at most, far above tolerances: else steps are split,
# in so many pieces at most.
_MOST_SPREAD, _MOST_PIECES = 6.0, 1024


@final
class Flow(eqx.Module):
    """The flow of `z' = vector_field(z)` over the time `dt`, as a map of the state.

    Its spectrum is in nats per unit of time. Tangent vectors follow the variational equation
    `V' = D vector_field(z) V`, integrated along with the state; an adaptive solver controls the error of both.
    `lyapunov_spectrum` and `covariant_vectors` split `dt` where tangents would fall below the tolerances in it.

    **Arguments:**

    - `vector_field`: `(state) -> velocity`, or `(state, input) -> velocity` with an input that is held for the time
      `dt`. State and velocity are arrays or pytrees of one structure.
    - `dt`: the time of one step of the map, > 0.
    - `solver`: a solver of diffrax; Tsitouras' 5(4) by default.
    - `substeps`: so many steps of fixed size for each `dt`; by default the step size adapts.
    - `rtol`, `atol`: tolerances of the adaptive steps.
    - `max_steps`: most steps of the solver for each `dt`; where they do not suffice, the orbit counts as diverged.

    **Raises:** `ImportError` that says what to install where diffrax is missing; `ValueError` for a bad `dt` or
    `substeps`.
    """

    vector_field: Callable[..., Any]
    dt: float = eqx.field(static=True)
    solver: Any
    substeps: int | None = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self,
        vector_field: Callable[..., Any],
        dt: float,
        *,
        solver: Any = None,
        substeps: int | None = None,
        rtol: float = 1e-8,
        atol: float = 1e-8,
        max_steps: int = 4096,
    ):
        dt = real(dt, "Flow: dt", "the time of one step", positive=True)
        substeps = None if substeps is None else whole(substeps, "Flow: substeps")
        self.vector_field = vector_field
        self.dt, self.substeps, self.rtol, self.atol, self.max_steps = dt, substeps, rtol, atol, max_steps
        self.solver = extra("diffrax", "data", "Flow needs").Tsit5() if solver is None else solver

    @property
    def most_spread(self) -> float:
        """How much more, as a logarithm, one tangent may grow than another in a step before 1 % of it is noise."""
        least = float(np.finfo(np.float64).eps) if self.substeps is not None else max(self.rtol, self.atol)
        return math.log(0.01 / least)

    def velocity(self, state: PyTree, s: PyTree = None) -> PyTree:
        """Give the velocity at a state."""
        return self.vector_field(state) if s is None else self.vector_field(state, s)

    def __call__(self, state: PyTree, s: PyTree = None) -> PyTree:
        """Follow the flow for the time `dt`."""
        return self.integrate(lambda z: self.velocity(z, s), state)

    def integrate(self, velocity: Callable[[Any], Any], y: PyTree, *, pieces: Any = 1, finer: Any = False) -> PyTree:
        """Integrate `y' = velocity(y)` for the time `dt / pieces`; NaN where the solver gives up.

        **Arguments:** `finer`: take half the step, or a hundredth of the tolerances: the difference is the error. Both
        may be traced.
        """
        diffrax, time = extra("diffrax", "data", "Flow needs"), self.dt / pieces
        if self.substeps is None:
            factor = jnp.where(finer, 0.01, 1.0)
            steps: dict[str, Any] = {
                "stepsize_controller": diffrax.PIDController(
                    rtol=factor * self.rtol, atol=factor * self.atol, dtmax=jnp.where(finer, time / 2, time)
                ),
                "dt0": None,
                "max_steps": self.max_steps,
            }
        else:
            number = -(-self.substeps // pieces) * jnp.where(finer, 2, 1)
            steps = {"dt0": time / number, "max_steps": self.substeps * (1 if finer is False else 2) + 1}
        term = diffrax.ODETerm(lambda t, y, _: velocity(y))
        # Without throwing: errors are raised once, by the driver, from the NaN.
        solution = diffrax.diffeqsolve(
            term, self.solver, t0=0.0, t1=time, y0=y, saveat=diffrax.SaveAt(t1=True), throw=False, **steps
        )
        ended = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda leaf: jnp.where(ended, leaf[0], jnp.nan), solution.ys)


def more_pieces(pieces: int, spread: np.ndarray) -> int:
    """Give in how many pieces the steps of a flow are to be split, from the spread that so many have left."""
    worst = float(np.max(spread, initial=0.0, where=~np.isnan(spread)))
    if worst <= _MOST_SPREAD:
        return pieces
    wanted = 8 * pieces if np.isinf(worst) else math.ceil(1.5 * pieces * worst / _MOST_SPREAD)
    return min(wanted, _MOST_PIECES)
