"""What happens to cycles between two models: events, followed and classified."""

from cyclax.bifurcations.branch import Branch
from cyclax.bifurcations.event import Event
from cyclax.bifurcations.watched import AbstractEventType

__all__ = ["AbstractEventType", "Branch", "Event"]
