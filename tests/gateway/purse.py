"""Calls that are paid from budgets, straight at the store: what budgets' tests are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from proctor.api.agent import Limits
from proctor.api.bounds import BudgetScope, Overrun, Period
from proctor.api.connector import Effect, Price
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.judgement import Allow
from proctor_gateway.rules.limits import cost_of
from proctor_gateway.rules.spending import Allowance, Balance, Exceeded
from proctor_gateway.rules.tasks import Request, Task
from proctor_gateway.rules.worst_case import Ask
from proctor_gateway.store import acceptance, accounts, calls, lifecycle, start
from proctor_gateway.store.accounts import Owner
from proctor_gateway.store.budgets import Bill
from proctor_gateway.store.database import Database

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRICE = Price.model_validate({"model": "m", "inputPerMillion": "1000", "outputPerMillion": "10000"})
"""A token read costs 0.001, a token written 0.01."""

REFUNDS = Owner("support", "refunds", "platform")
LIMITS = Limits.model_validate({"timeout": "60s", "maxSteps": 1000})
_NUMBERS = itertools.count(1)


def budget(per: Period = Period.DAY, action: Overrun = Overrun.DENY, **changes: Any) -> Allowance:
    """A limit on the agent `refunds`."""
    if isinstance(changes.get("cost"), str):
        changes["cost"] = Decimal(changes["cost"])
    base = Allowance(f"budget {per}", per, BudgetScope.AGENT, "support", "refunds", action)
    return replace(base, **changes)


@dataclass
class Payer:
    """An agent at one gateway: what it begins, and what it has not settled."""

    database: Database
    allowances: Sequence[Allowance] = ()
    owner: Owner = REFUNDS
    now: datetime = T0
    under_way: list[tuple[str, start.Begun]] = field(default_factory=list)

    async def task(self) -> Task:
        """A task that runs."""
        bill = Bill(self.owner, allowances=tuple(self.allowances))
        request = Request(
            f"t-{next(_NUMBERS):05}", self.owner.namespace, self.owner.agent, "web", {}, self.now, "a" * 32, "b" * 16
        )
        asked = acceptance.Acceptance(request, "r1", "sha256:x", None, "one", 10_000, bill)
        found = await self.database.write(lambda c: acceptance.accept(c, asked), asked.locks)
        if isinstance(found, Exceeded):
            raise Spent(found)
        assert isinstance(found, acceptance.Accepted)
        begun = await self.database.write(
            lambda c: lifecycle.dispatch(c, found.task, "one", "r1", timedelta(days=60), self.now)
        )
        assert begun is not None
        return begun

    async def begin(self, task: Task, ask: Ask) -> start.Begun | start.Barred:
        """A call of the task that can take that."""
        bill = Bill(self.owner, ask, tuple(self.allowances))
        intent = Intent(task.request.id, 1, Kind.MODEL, "llm", "m", Effect.READ, {"n": next(_NUMBERS)})
        wanted = start.Wanted(intent, LIMITS, Allow(), bill=bill)
        now = self.now
        found = await self.database.write(start.beginning(wanted, now), bill.locks(task.request.id, now))
        assert isinstance(found, start.Begun | start.Barred)
        if isinstance(found, start.Begun):
            self.under_way.append((task.request.id, found))
        return found

    async def settle(self, task: str, begun: start.Begun, outcome: Outcome) -> None:
        """The call's outcome is known."""
        now = self.now
        await self.database.write(
            calls.settling(task, begun.sequence, outcome, now, begun.reserved),
            (task, *begun.reserved.accounts),
        )

    async def balance(self, allowance: Allowance) -> Balance:
        """What is used of the limit's account."""
        key = allowance.account(self.now).key
        found = await self.database.read(lambda c: accounts.balances(c, [key]))
        return found.get(key, Balance())


class Spent(Exception):  # noqa: N818 - a fact
    """No task may begin."""


def used(tokens_in: int, tokens_out: int) -> Outcome:
    """A call that took so much."""
    return Outcome(
        CallState.SUCCEEDED,
        billed=True,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost=cost_of(PRICE, tokens_in, tokens_out),
    )


NOT_SENT = Outcome(CallState.FAILED, touched=False)
CUT_OFF = Outcome(CallState.FAILED, billed=True)
