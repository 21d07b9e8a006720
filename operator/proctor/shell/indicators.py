"""What is known of the indicators of all agents' objectives: written by the collector, read by every reconcile."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from proctor.plan.indications import Indications
from proctor.slo.counts import Measured


@dataclass
class Indicators:
    """The newest measurement of each agent."""

    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)
    """By namespace and name."""
    silent_since: datetime | None = None
    """Since when the gateway cannot be asked; None while it answers."""
    missing_since: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """Since when the gateway's answers say nothing of an agent that was asked for."""

    def of(self, namespace: str, name: str) -> Indications:
        """What is known of one agent."""
        place = (namespace, name)
        return Indications(self.measured.get(place), self.silent_since or self.missing_since.get(place))
