"""Reports: all that the verbs tell of one network, on one page of HTML that needs nothing else."""

from cyclax.reports.result import Exponents, Neighborhood, Report

__all__ = ["Exponents", "Neighborhood", "Report"]
