"""How near a reconstructed system comes to the one that was measured: geometry, rhythms, and forecasts."""

from cyclax.metrics.power_spectrum import hellinger_distance, power_spectrum
from cyclax.metrics.prediction import prediction_error
from cyclax.metrics.state_space import Bins, GaussianMixture, state_space_divergence

__all__ = [
    "Bins",
    "GaussianMixture",
    "hellinger_distance",
    "power_spectrum",
    "prediction_error",
    "state_space_divergence",
]
