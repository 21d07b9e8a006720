"""Stages "reserve" and "settle" of the call path: what a call may cost is set aside before, and settled after.

Every function runs inside the transaction that writes the call down or settles it, with the task's row and the locks
of the accounts held: a call without its reserve, or a reserve without its call, cannot be. So of every limit that is
enforced, spent and reserved together never exceed it, whatever dies when. A reserve whose call nobody can settle stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from proctor.api.bounds import Overrun, Period
from proctor_gateway.rules.calls import CallState, Outcome
from proctor_gateway.rules.spending import Account, Allowance, Balance, Exceeded, Purse, day_of, judge, judge_intake
from proctor_gateway.rules.worst_case import NOTHING, Ask
from proctor_gateway.store import accounts as store
from proctor_gateway.store.accounts import Owner

_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call may take, who pays, and every limit that it must fit into."""

    owner: Owner
    ask: Ask = NOTHING
    allowances: tuple[Allowance, ...] = ()

    def accounts(self, now: datetime) -> dict[str, Account]:
        """Where it is counted: the agent's day, and whatever its limits count."""
        found = [day_of(self.owner.namespace, self.owner.agent).account(now)]
        found += [each.account(now) for each in self.allowances if each.per is not Period.TASK]
        return {each.key: each for each in found}

    def locks(self, task: str, now: datetime) -> tuple[str, ...]:
        """What the write that reserves for a call of the task must hold."""
        return (task, *self.accounts(now)) if self.ask is not NOTHING else (task,)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is set aside for a call, and where. `over` are limits that it breaks and that only warn.

    `is_bound` says that its output must not be longer than `output_tokens` for each choice.
    """

    cost: Decimal = _ZERO
    tokens: int = 0
    accounts: tuple[str, ...] = ()
    output_tokens: int = 0
    is_bound: bool = False
    fee: Decimal | None = None
    over: tuple[Purse, ...] = field(default=())


NOTHING_RESERVED: Final = Reserved()


def reserve(connection: sa.Connection, bill: Bill, task: Any, now: datetime) -> Reserved | Exceeded:
    """Set aside what the call may take at most, or say which limit it does not fit into.

    `task` is its locked row; the caller adds what is reserved to the row's `counted_*`.
    """
    if bill.ask is NOTHING:
        return NOTHING_RESERVED
    wanted = bill.accounts(now)
    found = store.opened(connection, wanted, bill.owner)
    purses = [_purse(each, found, task, now) for each in bill.allowances]
    granted = judge(bill.ask, purses, now)
    if isinstance(granted, Exceeded):
        _note(connection, bill.ask, granted, wanted, now)
        return granted
    cost, tokens = bill.ask.cost(granted.output_tokens) or _ZERO, bill.ask.tokens(granted.output_tokens)
    store.change(connection, {key: _holding(found[key], cost, tokens) for key in wanted})
    firm = any(each.action is not Overrun.WARN for each in bill.allowances if _bounds_calls(each))
    fee = bill.ask.fee if bill.ask.price is None and bill.ask.is_priced else None
    return Reserved(cost, tokens, tuple(wanted), granted.output_tokens, firm, fee, granted.over)


def settle(connection: sa.Connection, reserved: Reserved, outcome: Outcome) -> tuple[Decimal, int]:
    """What the call has taken takes the place of what was set aside; the change of the task's `counted_*`.

    If nobody can say what it has taken, what was set aside stays taken.
    """
    taken = _taken(reserved, outcome)
    if taken is None:
        return keep(connection, reserved)
    cost, tokens = taken
    found = store.balances(connection, reserved.accounts) if reserved.accounts else {}
    store.change(
        connection,
        {
            key: Balance(
                balance.spent_cost + cost,
                balance.held_cost - reserved.cost,
                balance.spent_tokens + tokens,
                balance.held_tokens - reserved.tokens,
                balance.tasks,
            )
            for key, balance in found.items()
        },
    )
    return cost - reserved.cost, tokens - reserved.tokens


def keep(connection: sa.Connection, reserved: Reserved) -> tuple[Decimal, int]:  # noqa: ARG001 - as settle
    """Nobody can say what the call has taken: what was set aside stays taken."""
    return _ZERO, 0


def begin_task(connection: sa.Connection, bill: Bill, now: datetime) -> Exceeded | None:
    """Count a new task of the agent, or say which budget lets no more begin."""
    wanted = bill.accounts(now)
    found = store.opened(connection, wanted, bill.owner)
    purses = [_purse(each, found, None, now) for each in bill.allowances if each.per is not Period.TASK]
    granted = judge_intake(purses, now)
    if isinstance(granted, Exceeded):
        _note(connection, NOTHING, granted, wanted, now)
        return granted
    store.change(connection, {key: _with_a_task(found[key]) for key in wanted})
    return None


def charged(reserved: Reserved, outcome: Outcome) -> Outcome:
    """The outcome with what the call costs, for one whose price is known beforehand: it is owed for what was done."""
    if reserved.fee is None or not outcome.touched:
        return outcome
    known = outcome.state is not CallState.UNKNOWN
    return replace(outcome, billed=True, cost=reserved.fee if known else None)


def _taken(reserved: Reserved, outcome: Outcome) -> tuple[Decimal, int] | None:
    """What the call has cost and how many tokens it took; None if nobody knows."""
    if not outcome.billed:
        return _ZERO, 0
    if reserved.fee is not None:
        return None if outcome.cost is None else (outcome.cost, 0)
    if outcome.input_tokens is None or outcome.output_tokens is None:
        return None
    return outcome.cost or _ZERO, outcome.input_tokens + outcome.output_tokens


def _purse(allowance: Allowance, found: dict[str, Balance], task: Any, now: datetime) -> Purse:
    if allowance.per is Period.TASK:
        spent_cost, spent_tokens = task.cost or _ZERO, task.input_tokens + task.output_tokens
        held = task.counted_cost - spent_cost, task.counted_tokens - spent_tokens
        return Purse(allowance, Balance(spent_cost, held[0], spent_tokens, held[1]))
    account = allowance.account(now)
    return Purse(allowance, found[account.key], account.end)


def _note(connection: sa.Connection, ask: Ask, exceeded: Exceeded, wanted: dict[str, Account], now: datetime) -> None:
    allowance = exceeded.purse.allowance
    if allowance.per is Period.TASK:
        return
    key = allowance.account(now).key
    if key in wanted:
        store.refuse(connection, key, now, ask.cost(ask.least) or _ZERO, ask.tokens(ask.least))


def _bounds_calls(allowance: Allowance) -> bool:
    return allowance.cost is not None or allowance.tokens is not None


def _holding(balance: Balance, cost: Decimal, tokens: int) -> Balance:
    return Balance(
        balance.spent_cost,
        balance.held_cost + cost,
        balance.spent_tokens,
        balance.held_tokens + tokens,
        balance.tasks,
    )


def _with_a_task(balance: Balance) -> Balance:
    return Balance(balance.spent_cost, balance.held_cost, balance.spent_tokens, balance.held_tokens, balance.tasks + 1)
