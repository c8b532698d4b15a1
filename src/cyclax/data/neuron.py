"""A biophysical neuron that bursts."""

from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cyclax.data.systems import AbstractSystem


@final
class BurstingNeuron(AbstractSystem):
    """A neuron with leak, sodium, potassium, slow M and NMDA currents; the state is (V, n, h), time in ms.

    - `C V' = -gL (V - EL) - gNa m(V) (V - ENa) - gK n (V - EK) - gM h (V - EK) - gNMDA s(V) (V - ENMDA)`
    - `n' = (n_inf(V) - n) / tau_n`: fast potassium; `h' = (h_inf(V) - h) / tau_h`: slow M-current.
    - `m`, `n_inf`, `h_inf` are `1 / (1 + exp((Vh - V) / k))`, each with its own Vh and k; sodium follows at once.
    - `s(V) = 1 / (1 + 0.33 exp(-0.0625 V))`: the magnesium block of NMDA channels, which opens as V rises.

    NMDA holds the neuron up while it fires; the M-current, which grows meanwhile, ends the burst. With the default
    parameters there is a burst of 15 spikes every 148 ms.

    **Arguments:** capacitance `C` in uF; conductances `gL`, `gNa`, `gK`, `gM`, `gNMDA` in mS; voltages `EL`, `ENa`,
    `EK`, `ENMDA`, half activations `VhNa`, `VhK`, `VhM` and slopes `kNa`, `kK`, `kM` in mV; times `tau_n`, `tau_h` in
    ms. n and h, between 0 and 1, are the open parts of the potassium and M channels.

    Source: D. Durstewitz, "Implications of synaptic biophysics for recurrent network dynamics and active memory",
    Neural Networks 22, 1189 (2009). The magnesium block: C. E. Jahr, C. F. Stevens, Journal of Neuroscience 10, 3178
    (1990).
    """

    C: float = 6.0
    gL: float = 8.0
    EL: float = -80.0
    gNa: float = 20.0
    ENa: float = 60.0
    VhNa: float = -20.0
    kNa: float = 15.0
    gK: float = 10.0
    EK: float = -90.0
    VhK: float = -25.0
    kK: float = 5.0
    tau_n: float = 1.0
    gM: float = 25.0
    VhM: float = -15.0
    kM: float = 5.0
    tau_h: float = 200.0
    gNMDA: float = 10.2
    ENMDA: float = 0.0
    spread = (5.0, 0.02, 0.005)
    default_dt = 0.5  # the sampling of the published series
    default_transient = 2000.0

    def __call__(self, time, state, args=None):
        """Give the derivative of (V, n, h), in mV / ms and 1 / ms."""
        V, n, h = state
        V_prime = -sum(self.currents(state).values()) / self.C
        n_prime = (_activation(V, self.VhK, self.kK) - n) / self.tau_n
        h_prime = (_activation(V, self.VhM, self.kM) - h) / self.tau_h
        return jnp.stack([V_prime, n_prime, h_prime])

    def currents(self, state: Float[Array, " 3"]) -> dict[str, Float[Array, ""]]:
        """Give the currents in uA, positive ones outward, by name."""
        V, n, h = state
        unblocked = 1 / (1 + 0.33 * jnp.exp(-0.0625 * V))
        return {
            "leak": self.gL * (V - self.EL),
            "sodium": self.gNa * _activation(V, self.VhNa, self.kNa) * (V - self.ENa),
            "potassium": self.gK * n * (V - self.EK),
            "M": self.gM * h * (V - self.EK),
            "NMDA": self.gNMDA * unblocked * (V - self.ENMDA),
        }

    @property
    def typical_state(self):
        """Between two bursts."""
        return np.array([-60.0, 0.0, 0.03])


def _activation(V, half, slope):
    return 1 / (1 + jnp.exp((half - V) / slope))
