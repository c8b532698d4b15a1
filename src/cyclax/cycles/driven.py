"""Cycles of periodically driven networks, read off the fixed points of the network unrolled over whole periods."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from cyclax.core.numerics import numerics
from cyclax.cycles.cycle import Cycle, Degenerate
from cyclax.cycles.inventory import model_hash
from cyclax.cycles.multipliers import multipliers_of
from cyclax.cycles.result import Cycles
from cyclax.cycles.seal import sealed
from cyclax.cycles.solve import jacobians_along
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.driven import Unrolled, checked_inputs, unrolled
from cyclax.maps.stack import checked_model


def over_periods(
    model: AbstractPiecewiseLinearMap, inputs: Any, orders: Iterable[int], search: Callable[[Unrolled, int], Cycles]
) -> Cycles:
    """Find cycles of a driven network, order by order, as fixed points of the network unrolled over so many periods.

    **Arguments:** `search`: from an unrolled network, and the number of periods, to its fixed points.
    """
    model = checked_model(model)
    rows = checked_inputs(model, inputs)
    found = {order: search(unrolled(model, rows, order), order) for order in orders}
    with numerics():
        return joined(model, rows, found)


def joined(
    model: AbstractPiecewiseLinearMap,
    inputs: Float[np.ndarray, "p K"],
    found: Mapping[int, Cycles],
) -> Cycles:
    """Join the fixed points of the network unrolled over k periods, for each order k, to cycles of the driven network.

    **Arguments:** `found`: {k: what was found of order 1 over k periods}. Under `numerics()`.

    **Returns:** `Cycles` whose orders count periods of the input. `points` and `gates` have a row for each step, k p
    of them; rotations by whole periods are one cycle.
    """
    cycles: dict[tuple[int, bytes], Cycle] = {}
    degenerate: dict[tuple[int, str, bytes], Degenerate] = {}
    for order, result in found.items():
        for entry in (*result.cycles, *result.degenerate):
            gates = entry.gates.reshape(order * len(inputs), -1)
            shift = _canonical(gates, len(inputs))
            if shift is None:
                continue  # of a divisor of this order
            points = np.roll(entry.points.reshape(len(gates), -1), -shift, axis=0)
            gates = np.roll(gates, -shift, axis=0)
            lap = {"order": order, "points": points, "gates": gates, **_of_lap(model, gates)}
            if isinstance(entry, Cycle):
                cycles.setdefault((order, gates.tobytes()), dataclasses.replace(entry, **lap, certificate=None))
            else:
                del lap["jacobian"], lap["condition"]
                lap |= _along(entry, shift, points.shape)
                key = (order, entry.kind, gates.tobytes())
                degenerate.setdefault(key, dataclasses.replace(entry, **lap))
    first = found[min(found)]
    report = {name: value for name, value in first.report.items() if name not in ("seal", "completeness")}
    report |= {"orders": {str(order): result.report["orders"]["1"] for order, result in found.items()}}
    report["seconds"] = sum(result.report.get("seconds", 0.0) for result in found.values())
    stopped = [text for result in found.values() if (text := result.report.get("interrupted"))]
    if stopped:
        report["interrupted"] = stopped[0]
    settings = {**first.provenance.get("settings", {}), "orders": list(found)}
    provenance = {**first.provenance, "settings": settings, "inputs": inputs.tolist()}
    provenance["model"] = model_hash(unrolled(model, inputs, 1))
    return sealed(
        Cycles(
            tuple(cycles[key] for key in sorted(cycles)),
            tuple(found),
            report,
            tuple(degenerate[key] for key in sorted(degenerate)),
            provenance=provenance,
        )
    )


def settled(model: AbstractPiecewiseLinearMap, inputs: Float[np.ndarray, "p K"], entry: Any) -> Any:
    """Give the cycle of the driven network that an orbit of the unrolled one has come to, and that is `entry` there.

    Of an orbit that begins with p states one after the other, p steps of the unrolled network are p of the driven one,
    and in between some places are a period behind: the cycle is read off where none is. None for what is no such cycle.
    """
    period = len(inputs)
    states = entry.points.reshape(len(entry.points), period, -1)
    gates = entry.gates.reshape(len(entry.gates), period, -1)
    if len(states) > 1 and len(states) % period:
        return None
    driven = [model.with_input(row) for row in inputs[:-1]]
    behind = [
        max((float(np.max(np.abs(one(z[t]) - z[t + 1]))) for t, one in enumerate(driven)), default=0.0)
        for z in states[:period]
    ]
    order = max(1, len(states) // period)
    windows = [(int(np.argmin(behind)) + i * period) % len(states) for i in range(order)]
    lap = np.concatenate([gates[i] for i in windows])
    shift = _canonical(lap, period)
    if shift is None:
        return None
    lap = np.roll(lap, -shift, axis=0)
    points = np.roll(np.concatenate([states[i] for i in windows]), -shift, axis=0)
    fields = {"order": order, "points": points, "gates": lap, **_of_lap(model, lap)}
    if isinstance(entry, Cycle):
        return dataclasses.replace(entry, **fields, certificate=None)
    if order > 1:
        return None
    del fields["jacobian"], fields["condition"]
    return dataclasses.replace(entry, **fields | _along(entry, shift, points.shape))


def _canonical(gates: np.ndarray, period: int) -> int | None:
    """Give the shift, by whole periods, to the least rotation of a word; None where fewer periods are a word."""
    rotations = [np.roll(gates, -shift, axis=0).tobytes() for shift in range(0, len(gates), period)]
    return None if rotations[0] in rotations[1:] else period * rotations.index(min(rotations))


def _of_lap(model: AbstractPiecewiseLinearMap, gates: np.ndarray) -> dict[str, Any]:
    """Give what depends on the Jacobians along one lap, which are the same under every input."""
    jacobians = jacobians_along(model, gates)
    product = functools.reduce(lambda before, after: after @ before, jacobians)
    (multipliers,) = multipliers_of(jacobians[None], product[None])
    with np.errstate(all="ignore"):
        condition = float(np.linalg.cond(np.eye(len(product)) - product))
    return {"jacobian": product, "multipliers": multipliers, "condition": condition}


def _along(entry: Degenerate, shift: int, shape: tuple[int, int]) -> dict[str, Any]:
    """Give directions of a family at its first point, of length 1, and how far they reach."""
    number = entry.directions.shape[1]
    first = entry.directions.reshape(*shape, number)[shift]
    lengths = np.linalg.norm(first, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    with np.errstate(all="ignore"):
        return {"directions": first / lengths, "extent": entry.extent * lengths[:, None]}


def unrolled_cycle(model: AbstractPiecewiseLinearMap, cycle: Cycle) -> Cycle:
    """Give a cycle of the driven network as the fixed point of the unrolled one. Must be called under `numerics()`."""
    steps, size = cycle.points.shape
    blocks = jacobians_along(model, cycle.gates)
    jacobian = np.zeros((steps * size, steps * size))
    for t, block in enumerate(blocks):
        after = (t + 1) % steps
        jacobian[after * size : (after + 1) * size, t * size : (t + 1) * size] = block
    return dataclasses.replace(
        cycle,
        order=1,
        points=cycle.points.reshape(1, -1),
        gates=cycle.gates.reshape(1, -1),
        jacobian=jacobian,
        multipliers=multipliers_of(jacobian[None, None], jacobian[None])[0],
    )
