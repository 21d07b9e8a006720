"""How do an agent's budgets stand? Pure: what holds for it and what is used → what status and metrics say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from proctor.api.bounds import Overrun, Period
from proctor_gateway.rules.spending import Allowance, Balance
from proctor_gateway.rules.tasks import instant, money
from proctor_gateway.store.accounts import Refusal

_SHARE = Decimal("0.0001")

Standings = Mapping[str, tuple[Balance, Refusal | None]]
"""The accounts that are there, by their keys."""


@dataclass(frozen=True)
class BudgetStanding:
    """One budget: which share of it is left, and whether it refuses calls or tasks now."""

    allowance: Allowance
    balance: Balance
    remaining: Decimal
    is_exhausted: bool
    is_over: bool
    resets_at: datetime

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        allowance, balance = self.allowance, self.balance
        return {
            "name": allowance.name,
            "per": allowance.per,
            "scope": allowance.scope,
            "action": allowance.action,
            "cost": {
                "limit": money(allowance.cost),
                "spent": money(balance.spent_cost),
                "held": money(balance.held_cost),
            },
            "tokens": {"limit": allowance.tokens, "spent": balance.spent_tokens, "held": balance.held_tokens},
            "tasks": {"limit": allowance.tasks, "spent": balance.tasks},
            "remaining": money(self.remaining),
            "exhausted": self.is_exhausted,
            "over": self.is_over,
            "resetsAt": instant(self.resets_at),
        }


@dataclass(frozen=True)
class Standing:
    """What an agent has used today, and how its budgets stand."""

    today: Balance
    budgets: tuple[BudgetStanding, ...]

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        tightest = min(self.budgets, key=lambda each: (not each.is_exhausted, each.remaining), default=None)
        return {
            "tasksToday": self.today.tasks,
            "costToday": money(self.today.spent_cost),
            "tokensToday": self.today.spent_tokens,
            "reservedToday": money(self.today.held_cost),
            "budgetRemaining": None if tightest is None else money(tightest.remaining),
            "resetsAt": None if tightest is None else instant(tightest.resets_at),
            "budgets": [each.dump() for each in self.budgets],
        }


def keys_of(today: Allowance, allowances: Sequence[Allowance], now: datetime) -> list[str]:
    """The accounts that must be known."""
    shared = (each for each in allowances if each.per is not Period.TASK)
    return list(dict.fromkeys(each.account(now).key for each in (today, *shared)))


def standing(today: Allowance, allowances: Sequence[Allowance], found: Standings, now: datetime) -> Standing:
    """How the agent stands now."""
    balance, _ = found.get(today.account(now).key, (Balance(), None))
    shared = (each for each in allowances if each.per is not Period.TASK)
    return Standing(balance, tuple(_of(each, found, now) for each in shared))


def _of(allowance: Allowance, found: Standings, now: datetime) -> BudgetStanding:
    account = allowance.account(now)
    balance, refusal = found.get(account.key, (Balance(), None))
    return BudgetStanding(
        allowance,
        balance,
        _remaining(allowance, balance),
        allowance.action is not Overrun.WARN and _refuses(allowance, balance, refusal),
        _is_over(allowance, balance),
        account.end,
    )


def _remaining(allowance: Allowance, balance: Balance) -> Decimal:
    """The smallest share that is left of what is limited, from 0 to 1. Rounded down: what is gone is not shown."""
    shares = [
        (limit - used) / limit if limit else Decimal(0)
        for limit, used in (
            (allowance.cost, balance.cost),
            (None if allowance.tokens is None else Decimal(allowance.tokens), Decimal(balance.tokens)),
            (None if allowance.tasks is None else Decimal(allowance.tasks), Decimal(balance.tasks)),
        )
        if limit is not None
    ]
    return max(Decimal(0), min(shares, default=Decimal(1))).quantize(_SHARE, ROUND_DOWN).normalize() + Decimal(0)


def _is_over(allowance: Allowance, balance: Balance) -> bool:
    return (
        (allowance.cost is not None and balance.cost > allowance.cost)
        or (allowance.tokens is not None and balance.tokens > allowance.tokens)
        or (allowance.tasks is not None and balance.tasks > allowance.tasks)
    )


def _refuses(allowance: Allowance, balance: Balance, refusal: Refusal | None) -> bool:
    """Whether what was refused last would be refused now. A limit that was raised since refuses it no more."""
    if allowance.tasks is not None and balance.tasks >= allowance.tasks:
        return True
    if refusal is None:
        return False
    return (allowance.cost is not None and balance.cost + refusal.cost > allowance.cost) or (
        allowance.tokens is not None and balance.tokens + refusal.tokens > allowance.tokens
    )
