"""What is known of all agents' spending: written by the accountant, read by every reconcile."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from proctor.plan.spending import AgentUse, Spending


@dataclass
class Usages:
    """The newest count of each agent."""

    used: dict[tuple[str, str], tuple[AgentUse, datetime]] = field(default_factory=dict)
    """By namespace and name, each with the time when it was counted."""
    silent_since: datetime | None = None
    """Since when the gateway cannot be asked; None while it answers."""

    def of(self, namespace: str, name: str) -> Spending:
        """What is known of one agent."""
        use, as_of = self.used.get((namespace, name), (None, None))
        return Spending(use, as_of, self.silent_since)
