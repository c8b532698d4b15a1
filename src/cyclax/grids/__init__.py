"""Many models at once: grids of parameters, searched cell by cell with the help of neighbors."""

from cyclax.grids.grid import AbstractGrid, ModelSequence, ParameterGrid

__all__ = ["AbstractGrid", "ModelSequence", "ParameterGrid"]
