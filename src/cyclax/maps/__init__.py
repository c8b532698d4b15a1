"""The models, and what is read off any of them: affine form, orbits, stacks."""

from cyclax.maps.affine import AffineForm, affine_form
from cyclax.maps.base import AbstractPiecewiseLinearMap

__all__ = ["AbstractPiecewiseLinearMap", "AffineForm", "affine_form"]
