"""Does an agent follow the policies that mean it? All findings, never only the first: one look has to be enough."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector
from proctor.policy import declares, demands, upgrades, uses
from proctor.policy.effective import Effective
from proctor.policy.finding import Finding, ordered


def check(
    agent: Agent,
    connectors: Mapping[str, Connector],
    effective: Effective,
    now: datetime,
    isolation: NetworkIsolation = NetworkIsolation.UNKNOWN,
) -> tuple[Finding, ...]:
    """What the agent does not follow, as it is declared now; `connectors` are those that it uses, by name.

    A Connector that is not there is no finding: that is said where the agent is planned. `now` decides nothing but
    that the rules were merged for it: a freeze of upgrades is no fault of the agent's.
    """
    del now
    return ordered(
        finding
        for each in (
            declares.findings(agent, connectors, effective),
            declares.of_sandbox(agent, isolation, effective),
            uses.findings(agent, connectors, effective),
            upgrades.findings(agent, effective),
            demands.findings(agent, connectors, effective),
        )
        for finding in each
    )
