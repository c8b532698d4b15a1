"""Time series: simulated here, or read.

Importing this room does not import diffrax; the first trajectory does (`pip install 'cyclax[data]'`).
"""

from cyclax.data.integrate import integrate
from cyclax.data.neuron import BurstingNeuron
from cyclax.data.series import (
    Standardization,
    add_observation_noise,
    delay_embedding,
    load_series,
    standardize,
    windows,
)
from cyclax.data.simulate import simulate
from cyclax.data.systems import AbstractSystem, Duffing, Lorenz63, Lorenz96, Roessler, VanDerPol

__all__ = [  # noqa: RUF022 - grouped as in the documentation
    # Systems
    "AbstractSystem",
    "Lorenz63",
    "Lorenz96",
    "Roessler",
    "Duffing",
    "VanDerPol",
    "BurstingNeuron",
    # Series of systems and maps
    "integrate",
    "simulate",
    # Series
    "load_series",
    "standardize",
    "Standardization",
    "delay_embedding",
    "windows",
    "add_observation_noise",
]
