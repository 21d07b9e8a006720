"""What was read from the cluster, before anybody judges it. The views are functions of these."""

from __future__ import annotations

from dataclasses import dataclass

from proctor.api.agent import Agent
from proctor.plan.world import Manifest


@dataclass(frozen=True)
class Listing:
    """Objects of one kind; or the reason why this person may not see them."""

    items: tuple[Manifest, ...] = ()
    withheld: str | None = None


@dataclass(frozen=True)
class AgentFacts:
    """One Agent and all that says something of its state."""

    agent: Agent
    revisions: Listing
    pods: Listing
    connectors: Listing
    """Those of the agent's namespace, whether it uses them or not."""
    events: Listing
    evidence: Listing = Listing()
    """What was measured of its revisions: the ConfigMaps in which the operator keeps it."""
