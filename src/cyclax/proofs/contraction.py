"""`find_contraction` and `check_contraction`: one fixed point, and nothing else, of any order, anywhere."""

import dataclasses
from typing import Any

import numpy as np

from cyclax.core.numerics import numerics
from cyclax.cycles.balance import balanced
from cyclax.cycles.contraction import Contraction, contraction_certificate, holds
from cyclax.cycles.sectors import stated_sectors
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.stack import checked_model


def find_contraction(model: AbstractPiecewiseLinearMap) -> Contraction | None:
    """Look for a quadratic norm in which the map contracts, from whatever states, by its linear regions alone.

    Where there is one, the map has one fixed point, which attracts every state, and no other cycle of any order;
    `find_cycles` and `enumerate_cycles` then say so. A map may do so without any such norm.

    **Arguments:** `model`: any map of cyclax.

    **Returns:** a `Contraction`, to be saved, and to be checked by `check_contraction`; None where none was found.

    **Raises:** `TypeError` where the model is none.

    **Reference:** Boyd, El Ghaoui, Feron and Balakrishnan, *Linear Matrix Inequalities in System and Control Theory*,
    SIAM 1994, 5.1; the norm comes from a Riccati equation, and the multipliers from a convex problem in them alone.
    """
    model = checked_model(model)
    with numerics():
        _, (bounds,), units = balanced([model])
        found = contraction_certificate(bounds)
        if found is None or units is None:
            return found
        return dataclasses.replace(found, norm=found.norm / units[0] / units[0][:, None])


def check_contraction(model: AbstractPiecewiseLinearMap, certificate: Contraction) -> bool:
    """Check that a certificate proves the map to contract, wherever it comes from.

    The code of the model is followed in rationals, its float64 weights being exact numbers; that the map is continuous
    is found out, and not assumed. Two matrices, each with a bound on its rounding, are then proved to be positive
    definite by Cholesky factorizations. A second at most for 100 states and gates.

    **Arguments:** `model`: the map; `certificate`: what `find_contraction` gave for it, or `Contraction.load`.

    **Returns:** whether it is proved. False says nothing of the map.

    **Raises:** `TypeError`; `ValueError` where the code of the model cannot be followed in rationals.
    """
    from cyclax.cycles.pieces import Pieces

    model = checked_model(model)
    _check_certificate(certificate)
    with numerics():
        return holds(certificate, stated_sectors(Pieces(model)))


def _check_certificate(certificate: Any) -> None:
    if not isinstance(certificate, Contraction):
        found = type(certificate).__name__
        raise TypeError(f"certificate: expected the Contraction that find_contraction returns, got {found}.")
    shapes = np.shape(certificate.norm), np.shape(certificate.multipliers)
    if [len(shape) for shape in shapes] != [2, 1]:
        raise ValueError(f"certificate: expected a norm (M, M) and multipliers (G,), got {shapes[0]} and {shapes[1]}.")
