"""Pictures of results. Each function takes a result and `ax=None`, computes no dynamics, and returns the axes.

Importing this room does not import matplotlib; the first picture does (`pip install 'cyclax[plot]'`).
"""

from cyclax.plot.cycles import cycles

__all__ = ["cycles"]
