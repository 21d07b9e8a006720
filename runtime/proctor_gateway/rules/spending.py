"""May a call be paid? Pure: what it can take at most, what its limits are, what is used of them → granted or exceeded.

The invariant that everything here serves: of every limit that is enforced, what is spent and what is reserved never
exceed it together. So a call is granted only if its worst case still fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from proctor.api.bounds import BudgetScope, Overrun, Period
from proctor_gateway.rules.periods import Window, window
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.rules.worst_case import NOTHING, Ask

_SEVERITY: Final = tuple(Overrun)
_HOLDING: Final = frozenset({Overrun.THROTTLE, Overrun.PAUSE})
"""Actions that hold the agent up until there is room again."""
_SOON: Final = timedelta(seconds=1)
"""When to ask again if what is in the way is only reserved: the calls that hold it are under way."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is counted together: the calls of an agent, a team or a namespace in one period."""

    scope: BudgetScope
    namespace: str
    """Empty for a team whose agents may be in any namespace."""
    subject: str
    """The agent or the team; empty for a namespace."""
    per: Period
    start: datetime
    end: datetime

    key: str = field(init=False)
    """Its name in the store. Windows of two time zones that begin at one moment are one."""

    def __post_init__(self) -> None:
        """Named once: it is looked at with every call."""
        name = f"{self.per}/{self.start:%Y-%m-%dT%H:%M}/{self.scope}/{self.namespace}/{self.subject}"
        object.__setattr__(self, "key", name)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit on one agent: of a policy's budget, or of the agent's own limits (`per` Task)."""

    name: str
    """For people: the policy and its budget, or the field of the Agent."""
    per: Period
    scope: BudgetScope
    namespace: str
    subject: str
    action: Overrun
    cost: Decimal | None = None
    tokens: int | None = None
    tasks: int | None = None
    zone: str = "Etc/UTC"

    def account(self, now: datetime) -> Account:
        """Where it is counted at that time."""
        # All calendars turn at quarters of an hour.
        quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
        return _account(self.per, self.zone, self.scope, (self.namespace, self.subject), quarter)


@lru_cache(maxsize=4096)
def _account(per: Period, zone: str, scope: BudgetScope, whose: tuple[str, str], at: datetime) -> Account:
    found: Window = window(per, zone, at)
    return Account(scope, *whose, per, found.start, found.end)


@lru_cache(maxsize=4096)
def day_of(namespace: str, agent: str) -> Allowance:
    """What is counted of every agent, whatever its budgets: its day."""
    return Allowance("", Period.DAY, BudgetScope.AGENT, namespace, agent, Overrun.WARN)


@dataclass(frozen=True, slots=True)
class Balance:
    """What is used of an account. `held` is reserved: by calls under way, and by calls whose outcome nobody knows."""

    spent_cost: Decimal = Decimal(0)
    held_cost: Decimal = Decimal(0)
    spent_tokens: int = 0
    held_tokens: int = 0
    tasks: int = 0

    @property
    def cost(self) -> Decimal:
        """Spent and reserved."""
        return self.spent_cost + self.held_cost

    @property
    def tokens(self) -> int:
        """Spent and reserved."""
        return self.spent_tokens + self.held_tokens


@dataclass(frozen=True, slots=True)
class Purse:
    """A limit, what is used of it, and when it is full again (None: never)."""

    allowance: Allowance
    balance: Balance
    resets_at: datetime | None = None

    @property
    def action(self) -> Overrun:
        """What an overrun leads to."""
        return self.allowance.action

    @property
    def is_over(self) -> bool:
        """Whether more is used than the limit, which can be so only where it warns."""
        limit, used = self.allowance, self.balance
        return (limit.cost is not None and used.cost > limit.cost) or (
            limit.tokens is not None and used.tokens > limit.tokens
        )


@dataclass(frozen=True, slots=True)
class Granted:
    """The call may be made, with so many tokens of output for each choice. `over` names limits that only warn."""

    output_tokens: int
    over: tuple[Purse, ...] = ()


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The call cannot be paid. `retry_after` is there if waiting helps and the limit says Throttle."""

    fault: Fault
    purse: Purse
    retry_after: timedelta | None


def judge(ask: Ask, purses: Sequence[Purse], now: datetime) -> Granted | Exceeded:
    """Whether the call's worst case fits into every limit. Of those that it breaks the strictest answers."""
    firm = [purse for purse in purses if purse.action is not Overrun.WARN]
    unmeasured = [purse for purse in firm if purse.allowance.cost is not None and not ask.is_priced]
    if unmeasured:
        return _unpriced(_strictest(unmeasured))
    output = ask.output_tokens
    broken: list[Purse] = []
    for purse in firm:
        most = affordable(ask, purse)
        if most < ask.least:
            broken.append(purse)
        output = min(output, most)
    if broken:
        return _exceeded(ask, _strictest(broken), now)
    mild = (purse for purse in purses if purse.action is Overrun.WARN)
    return Granted(output, tuple(purse for purse in mild if affordable(ask, purse) < output))


def affordable(ask: Ask, purse: Purse) -> int:
    """The most tokens of output that each choice may have; negative if not even the rest of the call fits."""
    allowance, balance = purse.allowance, purse.balance
    most = ask.output_tokens
    if allowance.tokens is not None:
        left = allowance.tokens - balance.tokens - ask.input_tokens
        most = min(most, left // ask.choices)
    if allowance.cost is not None:
        most = min(most, ask.affordable(allowance.cost - balance.cost))
    return most


def judge_intake(purses: Sequence[Purse], now: datetime) -> Granted | Exceeded:
    """Whether one more task may begin: its number is bounded, or a budget that throttles or pauses is used up.

    A budget that denies or degrades lets tasks begin though its money is gone: each may go to a fallback that is free.
    """
    firm = [purse for purse in purses if purse.action is not Overrun.WARN]
    broken = [purse for purse in firm if _is_out_of_tasks(purse) or (purse.action in _HOLDING and not _has_room(purse))]
    if broken:
        return _exceeded(NOTHING, _strictest(broken), now)
    return Granted(0, tuple(each for each in purses if each.action is Overrun.WARN and _is_out_of_tasks(each)))


def _is_out_of_tasks(purse: Purse) -> bool:
    return purse.allowance.tasks is not None and purse.balance.tasks >= purse.allowance.tasks


def _has_room(purse: Purse) -> bool:
    allowance, balance = purse.allowance, purse.balance
    poor = allowance.cost is not None and balance.spent_cost >= allowance.cost
    return not (poor or (allowance.tokens is not None and balance.spent_tokens >= allowance.tokens))


def _strictest(purses: Sequence[Purse]) -> Purse:
    return max(purses, key=lambda purse: _SEVERITY.index(purse.action))


def _unpriced(purse: Purse) -> Exceeded:
    # A limit that cannot be measured would not be kept: better no call than one that nobody can count.
    message = f"{purse.allowance.name} cannot be kept: the Connector declares no price for the model"
    return Exceeded(Fault(Reason.PRICE_UNKNOWN, message), purse, None)


def _exceeded(ask: Ask, purse: Purse, now: datetime) -> Exceeded:
    until = f"; full again at {purse.resets_at:%Y-%m-%dT%H:%M:%SZ}" if purse.resets_at else ""
    reason = Reason.BUDGET_EXHAUSTED
    if purse.allowance.cost is None and purse.allowance.per is Period.TASK:
        reason = Reason.LIMIT_EXCEEDED
    fault = Fault(reason, f"{purse.allowance.name}: {_told(ask, purse)}{until}", purse.allowance.name)
    return Exceeded(fault, purse, _wait(ask, purse, now) if purse.action in _HOLDING else None)


def _told(ask: Ask, purse: Purse) -> str:
    allowance, balance = purse.allowance, purse.balance
    least = ask.least
    parts = []
    if allowance.cost is not None:
        need = ask.cost(least) or Decimal(0)
        parts.append(
            f"cost {_plain(balance.spent_cost)} spent, {_plain(balance.held_cost)} reserved, {_plain(need)} needed "
            f"of {_plain(allowance.cost)}"
        )
    if allowance.tokens is not None:
        parts.append(
            f"tokens {balance.spent_tokens} spent, {balance.held_tokens} reserved, {ask.tokens(least)} needed "
            f"of {allowance.tokens}"
        )
    if allowance.tasks is not None:
        parts.append(f"tasks {balance.tasks} of {allowance.tasks} begun")
    return "; ".join(parts)


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _wait(ask: Ask, purse: Purse, now: datetime) -> timedelta:
    """When to ask again: soon if it would fit but for what is reserved, else when the period is over."""
    balance = purse.balance
    settled = Balance(balance.spent_cost, Decimal(0), balance.spent_tokens, 0, balance.tasks)
    alone = Purse(purse.allowance, settled)
    least = ask.least
    if affordable(ask, alone) >= least and not _is_out_of_tasks(purse) and _has_room(purse):
        return _SOON
    return max(_SOON, (purse.resets_at or now) - now)
