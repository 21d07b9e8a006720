"""What an Agent's status says of its spending: a function of what the gateway counted and what the status said before.

As with objectives only what is news is written: a budget that begins or ceases to refuse at once, mere counts rarely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from proctor.api.usage import UsageStatus
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.spending import AgentUse, Spending
from proctor.plan.world import Event, Manifest

STALE_AFTER: Final = timedelta(seconds=60)
"""So long the gateway may be silent, as during its restart, before what was counted is called stale."""

_REFRESH: Final = timedelta(minutes=5)
"""Counts that changed, but nothing that anybody acts on, are written so often."""

_MOST_NAMED: Final = 32


@dataclass(frozen=True)
class Reported:
    """The part of a status that tells of spending."""

    usage: UsageStatus | None = None
    findings: tuple[Finding, ...] = ()


def report(before: UsageStatus | None, known: Spending, now: datetime) -> Reported:
    """What the status should say now. The same facts give the same report, so it may be asked for at any time."""
    is_stale = known.silent_since is not None and now - known.silent_since >= STALE_AFTER
    if known.use is None or known.as_of is None or is_stale:
        if before is None:
            return Reported()
        return Reported(before, (_silent() if is_stale else _available(before),))
    after = _status(known.use, known.as_of)
    if before is None and not after.tasks_today and after.budget_remaining is None:
        return Reported()
    usage = after if before is None or _is_news(before, after) else before
    return Reported(usage, (_available(usage),))


def _status(use: AgentUse, as_of: datetime) -> UsageStatus:
    return UsageStatus(
        tasks_today=use.tasks_today,
        cost_today=use.cost_today,
        tokens_today=use.tokens_today,
        reserved_today=use.reserved_today if Decimal(use.reserved_today) else None,
        budget_remaining=use.budget_remaining,
        resets_at=use.resets_at,
        exhausted=tuple(each.name for each in use.budgets if each.exhausted)[:_MOST_NAMED],
        over=tuple(each.name for each in use.budgets if each.over and each.action == "Warn")[:_MOST_NAMED],
        as_of=as_of.replace(microsecond=0),
    )


def _is_news(before: UsageStatus, after: UsageStatus) -> bool:
    """Whether somebody would act differently, or the counts are old."""
    if before.model_copy(update={"as_of": after.as_of}) == after:
        return False
    if before.as_of is None or after.as_of is None or after.as_of - before.as_of >= _REFRESH:
        return True
    return _weighty(before) != _weighty(after)


def _weighty(each: UsageStatus) -> tuple[object, ...]:
    left = None if each.budget_remaining is None else round(float(each.budget_remaining), 1)
    return (each.exhausted, each.over, left, each.resets_at)


def _silent() -> Finding:
    return conditions.unknown("BudgetAvailable", "Stale", "the gateway cannot be asked; these are its last counts")


def _available(usage: UsageStatus) -> Finding:
    if usage.exhausted:
        until = f"; full again at {usage.resets_at:%Y-%m-%dT%H:%M:%SZ}" if usage.resets_at else ""
        return conditions.false("BudgetAvailable", "BudgetExhausted", f"{', '.join(usage.exhausted)} refuses{until}")
    if usage.over:
        return conditions.true("BudgetAvailable", "OverBudget", f"{', '.join(usage.over)} is exceeded, and only warns")
    if usage.budget_remaining is None:
        return conditions.true("BudgetAvailable", "NoBudget", "no budget bounds the agent")
    return conditions.true("BudgetAvailable", "WithinBudget", "")


def turns(before: UsageStatus | None, report: Manifest | None) -> Iterator[Event]:
    """An Event for each budget that began to refuse, or to be exceeded, and one when no budget refuses any more."""
    then, now = before or UsageStatus(), UsageStatus.model_validate(report or {})
    until = f"; it is full again at {now.resets_at:%Y-%m-%dT%H:%M:%SZ}" if now.resets_at else ""
    for name in now.exhausted:
        if name not in then.exhausted:
            yield Event("BudgetExhausted", f"{name} refuses calls or tasks{until}", "Warning")
    for name in now.over:
        if name not in then.over:
            yield Event("BudgetExceeded", f"{name} is exceeded, and only warns", "Warning")
    if then.exhausted and not now.exhausted:
        yield Event("BudgetAvailable", "no budget refuses calls any more")
