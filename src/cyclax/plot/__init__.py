"""Pictures of results. Each function takes a result and `ax=None`, computes no dynamics, and returns the axes.

Importing this room does not import matplotlib; the first picture does (`pip install 'cyclax[plot]'`).
"""

from cyclax.plot.curves import bifurcation_curves
from cyclax.plot.cycles import cycles
from cyclax.plot.diagrams import bifurcation_diagram, scan_picture
from cyclax.plot.inputs import input_diagram
from cyclax.plot.maps import bifurcation_map
from cyclax.plot.multipliers import multipliers
from cyclax.plot.spectrum import running_exponents, spectrum
from cyclax.plot.track import track
from cyclax.plot.training import training

__all__ = [
    "bifurcation_curves",
    "bifurcation_diagram",
    "bifurcation_map",
    "cycles",
    "input_diagram",
    "multipliers",
    "running_exponents",
    "scan_picture",
    "spectrum",
    "track",
    "training",
]
