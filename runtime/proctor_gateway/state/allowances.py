"""Which limits must a call of this agent fit into? Its own, per task, and those of every policy that means it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from proctor.api.agent import Agent, Limits
from proctor.api.bounds import Budget, BudgetScope, Overrun, Period
from proctor.policy.effective import Effective, Rule, merge, turns_at
from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.spending import Allowance


@dataclass(frozen=True)
class _Found:
    agent: Agent
    round: int
    since: datetime
    until: datetime | None
    allowances: tuple[Allowance, ...]


class Allowances:
    """The budgets of the policies for each agent, worked out again when a policy, the agent or the time says so."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._round = 0
        self._found: dict[Key, _Found] = {}
        known.listen(self._changed)

    def of(self, agent: Agent, now: datetime) -> tuple[Allowance, ...]:
        """The budgets that hold for the agent now."""
        key = Key(agent.metadata.namespace, agent.metadata.name)
        found = self._found.get(key)
        if found is None or found.agent is not agent or found.round != self._round or not _holds(found, now):
            found = self._worked_out(agent, now)
            self._found[key] = found
        return found.allowances

    def _worked_out(self, agent: Agent, now: datetime) -> _Found:
        namespace = agent.metadata.namespace
        policies = self._known.policies(namespace)
        turns = [turn for policy in policies if (turn := turns_at(policy, now)) is not None]
        effective = merge(policies, agent, now, self._known.namespace_labels(namespace))
        budgets = tuple(of_policies(agent, effective))
        return _Found(agent, self._round, now, min(turns, default=None), budgets)

    def _changed(self, kind: Kind, key: Key, body: object) -> None:
        if kind in {Kind.POLICY, Kind.CLUSTER_POLICY, Kind.NAMESPACE}:
            self._round += 1
        elif kind is Kind.AGENT and body is None:
            self._found.pop(key, None)


def _holds(found: _Found, now: datetime) -> bool:
    # A clock that was set back makes what was worked out later say too much.
    return found.since <= now and (found.until is None or now < found.until)


def of_limits(namespace: str, agent: str, limits: Limits) -> tuple[Allowance, ...]:
    """The limits of one task that the revision declares."""
    return _of_limits(namespace, agent, limits.max_cost, limits.max_tokens)


@lru_cache(maxsize=4096)
def _of_limits(namespace: str, agent: str, cost: Decimal | None, tokens: int | None) -> tuple[Allowance, ...]:
    whose = (Period.TASK, BudgetScope.AGENT, namespace, agent, Overrun.DENY)
    found = []
    if cost is not None:
        found.append(Allowance(f"limits.maxCost {cost:f}", *whose, cost=cost))
    if tokens is not None:
        found.append(Allowance(f"limits.maxTokens {tokens}", *whose, tokens=tokens))
    return tuple(found)


def of_policies(agent: Agent, effective: Effective) -> Iterator[Allowance]:
    """The budgets of the policies that hold for the agent. One that is not enforced only warns."""
    for rule in effective.of("budgets", Budget):
        if rule.exempted(rule.name) is None:
            yield _of_rule(agent, rule)


def _of_rule(agent: Agent, rule: Rule[Budget]) -> Allowance:
    budget = rule.content
    namespace, subject = _shared_by(agent, rule)
    return Allowance(
        name=f"{rule.source.text} {rule.name}",
        per=budget.per,
        scope=budget.scope,
        namespace=namespace,
        subject=subject,
        action=budget.action if rule.binds() else Overrun.WARN,
        cost=budget.cost,
        tokens=budget.tokens,
        tasks=budget.tasks,
        zone=budget.time_zone,
    )


def _shared_by(agent: Agent, rule: Rule[Budget]) -> tuple[str, str]:
    namespace = agent.metadata.namespace
    match rule.content.scope:
        case BudgetScope.AGENT:
            return namespace, agent.metadata.name
        case BudgetScope.TEAM:
            # A name that another namespace's agents may claim as well: only who rules the cluster shares across it.
            return ("" if not rule.source.namespace else namespace), agent.spec.owner.team
        case BudgetScope.NAMESPACE:
            return namespace, ""
