"""Finding cycles: finders, the driver and kernel of the search, attractors."""

from cyclax.search.finder import AbstractFinder, AbstractWordSource
from cyclax.search.scyfi import SCYFI
from cyclax.search.tally import Network

__all__ = ["SCYFI", "AbstractFinder", "AbstractWordSource", "Network"]
