"""cyclax: all fixed points and cycles of ReLU recurrent networks, with JAX."""

from cyclax.cycles.find import SCYFI, find_cycles
from cyclax.cycles.result import Cycle, Cycles, Degenerate
from cyclax.data.simulate import simulate
from cyclax.maps.almost_linear import AlmostLinearRNN
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.classic import BorderCollisionNormalForm, LoziMap, SkewTentMap, TentMap
from cyclax.maps.files import load, save
from cyclax.maps.plrnn import PLRNN, MeanCenteredPLRNN
from cyclax.maps.shallow import ClippedShallowPLRNN, ShallowPLRNN
from cyclax.version import __version__

__all__ = [
    # Models
    "PLRNN",
    # Verbs
    "SCYFI",
    "AbstractPiecewiseLinearMap",
    "AlmostLinearRNN",
    "BorderCollisionNormalForm",
    "ClippedShallowPLRNN",
    # Results
    "Cycle",
    "Cycles",
    "Degenerate",
    "LoziMap",
    "MeanCenteredPLRNN",
    "ShallowPLRNN",
    "SkewTentMap",
    "TentMap",
    "__version__",
    "find_cycles",
    "load",
    "save",
    "simulate",
]
