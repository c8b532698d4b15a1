"""Series of ordinary differential equations, with diffrax (`pip install 'cyclax[data]'`)."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.core.checks import checked_key, real, whole
from cyclax.core.extras import extra
from cyclax.core.numerics import numerics
from cyclax.data.systems import AbstractSystem

# So many samples are integrated by one call; always so many, so that a shorter series is the beginning of a longer one.
_SAMPLES = 512
# So many steps of the solver for each sample, on average; more are taken for a divergence.
_MOST_SOLVER_STEPS = 2000


def integrate(
    system: AbstractSystem | Callable[..., Any],
    steps: int,
    *,
    dt: float | None = None,
    initial_state: Float[Any, " N"] | None = None,
    key: Array | int | None = None,
    transient: float | None = None,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    solver: Any = None,
) -> Float[np.ndarray, "steps N"]:
    """Sample a trajectory of a system at equal intervals, after a transient.

    In float64, whatever JAX's global setting. A shorter series from the same start is the beginning of a longer one,
    bit by bit.

    **Arguments:**

    - `system`: a system of `cyclax.data`, or any vector field `(time, state, args) -> derivative` of diffrax (that
      takes an `initial_state` and a `dt`).
    - `steps`: the number of samples.
    - `dt`: the time between two samples; by default that of the system.
    - `initial_state` `(N,)`: the state at time 0; by default the system's typical state, or with a `key` one drawn
      around it. Give one of both at most.
    - `transient`: the time that is discarded first, rounded up to a multiple of `dt`; by default that of the system.
      With 0, the first row is the initial state. Time goes on: in forced systems the first row is at the time
      `dt ceil(transient / dt)`.
    - `rtol`, `atol`: tolerances of a step of the solver. A chaotic trajectory parts from the true one all the same;
      what is sampled is the attractor. Between the solver's steps, samples are interpolated.
    - `solver`: a solver of diffrax; Tsitouras' 5(4) by default. For stiff systems `diffrax.Kvaerno5()`.

    **Returns:** `(steps, N)`, NumPy float64.

    **Raises:** `ImportError` that says what to install where diffrax is missing; `TypeError` and `ValueError` for wrong
    arguments; `FloatingPointError` with the time at which a trajectory diverges.
    """
    if not callable(system):
        raise TypeError(f"system: expected a system such as Lorenz63(), got {system!r}.")
    if isinstance(system, type):
        raise TypeError(f"system: expected an instance, {system.__name__}(), got the class.")
    steps = whole(steps, "steps", 1)
    dt = real(_default(system, dt, "dt"), "dt", "the time between two samples", positive=True)
    transient = real(_default(system, transient, "transient"), "transient", "the time discarded first", positive=False)
    rtol, atol = (real(v, n, "a tolerance", positive=False) for v, n in ((rtol, "rtol"), (atol, "atol")))
    if rtol == atol == 0:
        raise ValueError("rtol, atol: both are 0, which no step can meet; 1e-8 each is the default.")
    diffrax = extra("diffrax", "data", "integrate needs")
    with numerics():
        state = _initial_state(system, initial_state, key)
        # As arrays, parameters are arguments of the compiled function, not part of it.
        system = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if _is_real(leaf) else leaf, system)
        _check_call(system, state)
        return _samples(
            system,
            state,
            steps,
            dt,
            math.ceil(transient / dt - 1e-9),
            (diffrax.Tsit5() if solver is None else solver, rtol, atol),
        )


def _samples(system: Any, state: np.ndarray, steps: int, dt: float, skipped: int, method: tuple[Any, float, float]):
    rows = np.empty((steps, len(state)))
    solver, rtol, atol = (method[0], *map(np.float64, method[1:]))
    for begin in range(0, skipped + steps, _SAMPLES):
        # Python numbers would be part of the compiled function.
        out = _advance(system, state, np.int64(begin), np.float64(dt), solver, rtol, atol)
        chunk, state = (np.asarray(array) for array in out)
        needed = min(_SAMPLES, skipped + steps - begin)
        lost = ~np.isfinite(chunk[:needed]).all(axis=1)
        if lost.any():
            _refuse_divergence(system, begin, dt, chunk, int(np.argmax(lost)))
        kept = chunk[max(skipped - begin, 0) : needed]
        first = max(begin - skipped, 0)
        rows[first : first + len(kept)] = kept
    return rows


@eqx.filter_jit
def _advance(system, state, begin, dt, solver, rtol, atol):
    """Integrate from sample `begin` over the next `_SAMPLES`; inf or NaN where the solver gives up."""
    diffrax = extra("diffrax", "data", "integrate needs")
    times = (begin + jnp.arange(_SAMPLES)) * dt
    end = (begin + _SAMPLES) * dt
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(system),
        solver,
        t0=times[0],
        t1=end,
        dt0=None,
        y0=jnp.asarray(state),
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=times), diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=_SAMPLES * _MOST_SOLVER_STEPS,
        adjoint=diffrax.ForwardMode(),
        throw=False,
    )
    samples, last = solution.ys
    return samples, last[0]


def _refuse_divergence(system: Any, begin: int, dt: float, chunk: np.ndarray, lost: int) -> None:
    last = max(lost - 1, 0)  # where the very end of the chunk before was lost, the first state is inf
    name = getattr(system, "__name__", None) or type(system).__name__
    raise FloatingPointError(
        f"{name} diverges, or is too stiff for the solver, after time {(begin + last) * dt:g}, when its state is "
        f"{np.array2string(chunk[last], precision=4, threshold=8)}. Start elsewhere, on the attractor; where it is "
        "stiff, give solver=diffrax.Kvaerno5()."
    )


def _default(system: Any, value: Any, name: str) -> Any:
    if value is not None:
        return value
    if not isinstance(system, AbstractSystem):
        raise ValueError(f"{name}: give it, as {getattr(system, '__name__', type(system).__name__)} has no default.")
    return getattr(system, f"default_{name}")


def _initial_state(system: Any, given: Any, key: Any) -> np.ndarray:
    if given is not None and key is not None:
        raise ValueError("initial_state, key: give one of both; a key draws the initial state.")
    if given is None and not isinstance(system, AbstractSystem):
        raise ValueError("initial_state: give it; only systems of cyclax.data know where to start.")
    if key is not None:
        return np.asarray(system.random_state(checked_key(key)), np.float64)
    if given is None:
        return np.asarray(system.typical_state, np.float64)
    state = np.asarray(given)
    if not _is_real(given) and state.dtype.kind not in "fiu":
        raise TypeError(f"initial_state: expected real numbers, got {state.dtype}.")
    wanted = (system.num_states,) if isinstance(system, AbstractSystem) else None
    if state.ndim != 1 or (wanted is not None and state.shape != wanted):
        raise ValueError(f"initial_state: expected shape {wanted or '(N,)'}, got {state.shape}.")
    if not np.all(np.isfinite(state)):
        raise ValueError(f"initial_state: {state.tolist()} holds NaN or inf.")
    return state.astype(np.float64)


def _check_call(system: Any, state: np.ndarray) -> None:
    try:
        derivative = jax.eval_shape(lambda z: system(0.0, z, None), state)
    except Exception as error:
        # Whatever a user's function raises on the first call says that it was called wrongly, or is wrong.
        reason = " ".join(str(error).split())[:300]
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"system: system(time, state, args) fails ({type(error).__name__}: {reason}).") from error
    if getattr(derivative, "shape", None) != state.shape:
        raise ValueError(f"system: expected a derivative of shape {state.shape}, as the state, got {derivative}.")


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, (float, int)) or (eqx.is_array_like(leaf) and eqx.is_inexact_array_like(leaf))
