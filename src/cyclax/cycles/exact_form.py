"""The affine form of a map where float64 loses what a gate adds: beside a large Jacobian, or out of its range.

What opening a gate adds is a difference of two Jacobians, of which rounding may leave little, or nothing; and a product
of two weights of 1e-170 is 0, of two of 1e170 infinite, in units in which what it is part of is neither. Whether a gate
matters is decided exactly there.
"""

from collections.abc import Callable

import jax
import numpy as np

from cyclax.cycles.decide import Decider
from cyclax.maps.affine import AffineForm, affine_form, affine_forms, in_chunks
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.rounding import rounded_terms, sums_products

# What a gate adds has lost digits that matter where it is smaller than this beside what it is added to,
_LOST = 1e-6
# or than this: numbers below 1e-308 have fewer digits.
_SMALLEST = 1e-290
# Terms that are larger than what they add up to by this have cost it too many digits.
_KEPT = 1e3


def exact_form(model: AbstractPiecewiseLinearMap) -> AffineForm:
    """Read the borders off the model, exactly where float64 loses what a gate adds. Under `numerics()`."""
    found = _copied(affine_form(model))
    stack = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model)
    return AffineForm(*(part[0] for part in _mended(found, stack, lambda: _copied(affine_form(_generic(model))))))


def exact_forms(models: AbstractPiecewiseLinearMap, number: int, num_states: int) -> AffineForm:
    """Read the borders off a stack of models, as `exact_form` does: arrays have the model on their first axis."""
    return _mended(
        affine_forms(models, number, num_states),
        models,
        lambda: affine_forms(_generic(models), number, num_states),
    )


def _copied(found: AffineForm) -> AffineForm:
    return AffineForm(*(part[None].copy() for part in found))


def _generic(model: AbstractPiecewiseLinearMap) -> AbstractPiecewiseLinearMap:
    """Replace weights by random ones of their sign and of a size near 1: where those add nothing, zeros are why."""
    rng = np.random.default_rng(0)

    def drawn(leaf):
        leaf = np.asarray(leaf)
        return np.sign(leaf) * rng.uniform(1, 2, leaf.shape) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(drawn, model)


def _mended(found: AffineForm, models: AbstractPiecewiseLinearMap, generic: Callable[[], AffineForm]) -> AffineForm:
    """Decide exactly, in the arrays of `found`, what is lost; `generic` reads the models with other weights."""
    with np.errstate(all="ignore"):
        closed, shift = np.max(np.abs(found.closed), axis=(1, 2), initial=0), np.max(np.abs(found.shift), 1, initial=0)
        jumps = np.max(np.abs(found.jumps), axis=(2, 3), initial=0)
        shifts = np.max(np.abs(found.shift_jumps), axis=2, initial=0)
        lost = jumps <= np.maximum(_LOST * closed[:, None], _SMALLEST)
        lost |= (shifts <= np.maximum(_LOST * shift[:, None], _SMALLEST)) & (found.offsets != 0)
    lost &= np.any(found.gradients != 0, axis=2)
    beyond = ~np.isfinite(closed + shift)
    lost |= ~np.isfinite(jumps + shifts)
    if np.any(lost & (jumps == 0) & (shifts == 0)):  # most of them switch nothing, whatever the weights that are not 0
        lost &= generic().effective | (jumps != 0) | (shifts != 0)
    if sums_products(models):
        rounded = _rounded(found, models)
        beyond |= rounded[:, 0]
        lost |= rounded[:, 1:] & np.any(found.gradients != 0, axis=2)
    for row in np.flatnonzero(np.any(lost, axis=1) | beyond).tolist():
        decider = Decider(jax.tree.map(lambda leaf, row=row: np.asarray(leaf)[row], models), found.effective[row])
        if beyond[row] and (own := decider.closed()) is not None:
            found.closed[row], found.shift[row] = own
        for gate in np.flatnonzero(lost[row]).tolist():
            if (jump := decider.jump(gate)) is not None:
                found.jumps[row, gate], found.shift_jumps[row, gate], switches = jump
                found.effective[row, gate] = switches and bool(np.any(found.gradients[row, gate] != 0))
    return found


def _rounded(found: AffineForm, models: AbstractPiecewiseLinearMap) -> np.ndarray:
    """Say where rounding has moved what is there with all gates closed, and what each adds, `(N, 1 + G)`."""
    number, num_gates, num_states = found.gradients.shape
    gates = np.concatenate([np.zeros((1, num_gates)), np.eye(num_gates)])
    rows = np.tile(np.concatenate([gates, np.zeros((num_gates + 1, num_states))], axis=1), (number, 1))
    terms = in_chunks(rounded_terms, models, rows, np.repeat(np.arange(number), num_gates + 1))
    parts = (found.shift, found.shift_jumps), (found.closed, found.jumps)
    moved = np.zeros((number, num_gates + 1), bool)
    for term, (closed, jumps) in zip(terms, parts, strict=True):
        sizes = np.concatenate([closed[:, None], jumps], axis=1).reshape(number, num_gates + 1, -1)
        term = np.max(term.reshape(number, num_gates + 1, -1), axis=2)
        moved |= term > _KEPT * np.max(np.abs(sizes), axis=2)
    return moved
