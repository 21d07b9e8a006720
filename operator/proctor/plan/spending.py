"""What the gateway says of the spending of agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proctor.api.fields import Time
from proctor.api.meta import Report


class BudgetUse(Report):
    """How one budget stands."""

    name: str
    action: str
    remaining: str
    exhausted: bool
    over: bool
    resets_at: Time


class AgentUse(Report):
    """What one agent has used."""

    tasks_today: int
    cost_today: str
    tokens_today: int
    reserved_today: str
    budget_remaining: str | None = None
    resets_at: Time | None = None
    budgets: tuple[BudgetUse, ...] = ()


class AgentUsage(Report):
    """Whose use it is."""

    namespace: str
    name: str
    usage: AgentUse


class UsageAnswer(Report):
    """What the gateway counted of all agents that were asked for."""

    as_of: Time
    agents: tuple[AgentUsage, ...] = ()


@dataclass(frozen=True)
class Spending:
    """What is known of one agent's spending."""

    use: AgentUse | None = None
    """The newest count; None if there was none since the operator began."""
    as_of: datetime | None = None
    silent_since: datetime | None = None
    """Since when the gateway cannot be asked; None while it answers."""
