"""How an agent stands with its policies at one moment: what holds, what it does not follow, what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector
from proctor.policy.check import check
from proctor.policy.effective import Effective, merge, turns_at
from proctor.policy.finding import Finding
from proctor.policy.selection import AnyPolicy
from proctor.policy.upgrades import Frozen, frozen, next_turn


@dataclass(frozen=True)
class Standing:
    """What the policies mean for an agent. Without policies there is nothing to say."""

    effective: Effective = field(default_factory=Effective)
    findings: tuple[Finding, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Policies that may mean the agent and that this version cannot read."""
    is_whole: bool = True
    """Whether everything could be looked at that the policies ask about."""
    turns_at: datetime | None = None
    """When something of this becomes different although nobody changes anything."""

    @property
    def obstacles(self) -> tuple[Finding, ...]:
        """What keeps the spec from being carried out."""
        return tuple(each for each in self.findings if each.blocks)

    @property
    def freeze(self) -> str | None:
        """Why no upgrade may begin or go on now."""
        return "; ".join(_words(each) for each in self.frozen) or None


def stand(
    agent: Agent,
    connectors: Mapping[str, Connector],
    policies: Sequence[AnyPolicy],
    namespace_labels: Mapping[str, str],
    unreadable: tuple[str, ...],
    isolation: NetworkIsolation,
    now: datetime,
) -> Standing:
    """How the agent stands now."""
    if not policies and not unreadable:
        return Standing()
    effective = merge(policies, agent, now, namespace_labels)
    turns = [turns_at(each, now) for each in policies] + [next_turn(effective, now)]
    used = {agent.spec.model.connector, *(grant.connector for grant in agent.spec.tools)}
    return Standing(
        effective=effective,
        findings=check(agent, connectors, effective, now, isolation),
        frozen=frozen(effective, now),
        unreadable=unreadable,
        is_whole=not unreadable and used <= connectors.keys(),
        turns_at=min((each for each in turns if each is not None), default=None),
    )


def _words(freeze: Frozen) -> str:
    until = f" until {freeze.until:%Y-%m-%dT%H:%MZ}" if freeze.until else ""
    return f"{freeze.policy} freezes upgrades{until} ({freeze.window}): {freeze.reason}"
