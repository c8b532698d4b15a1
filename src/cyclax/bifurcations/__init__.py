"""What happens to cycles between two models, and on curves of them: events, followed and classified."""

from cyclax.bifurcations.branch import Branch
from cyclax.bifurcations.curve import Arc, CodimensionTwoPoint, Curve
from cyclax.bifurcations.event import Event
from cyclax.bifurcations.watched import AbstractEventType

__all__ = ["AbstractEventType", "Arc", "Branch", "CodimensionTwoPoint", "Curve", "Event"]
