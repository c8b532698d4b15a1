"""Training on time series: a latent map, how it is forced by the data, and the loop."""

from cyclax.training.forcing import AbstractForcing, AbstractStrength, Constant
from cyclax.training.jacobians import AbstractNorm
from cyclax.training.model import AbstractObservation
from cyclax.training.optimizers import AbstractOptimizer
from cyclax.training.regularizers import AbstractRegularizer, AbstractRenewedRegularizer

__all__ = [
    "AbstractForcing",
    "AbstractNorm",
    "AbstractObservation",
    "AbstractOptimizer",
    "AbstractRegularizer",
    "AbstractRenewedRegularizer",
    "AbstractStrength",
    "Constant",
]
