"""The accounts in the store: what agents, teams and namespaces have spent and hold reserved, period by period.

Whoever changes an account holds its lock: the write names the keys, and the engine takes the locks of all operations
of one transaction in one order, so that two gateways never wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from proctor.api.bounds import BudgetScope, Period
from proctor_gateway.rules.spending import Account, Balance
from proctor_gateway.store import hot, sheets
from proctor_gateway.store.tables import accounts

# The statements of the hot path are built once: to build one costs more than to run it.
_COUNTS: Final = (
    accounts.c.spent_cost,
    accounts.c.held_cost,
    accounts.c.spent_tokens,
    accounts.c.held_tokens,
    accounts.c.tasks,
)
_OPEN: Final = sa.insert(accounts)
_REFUSE: Final = (
    sa.update(accounts)
    .where(accounts.c.key == sa.bindparam("of_key"))
    .values(
        refused_at=sa.bindparam("at", type_=accounts.c.refused_at.type),
        refused_cost=sa.bindparam("cost", type_=accounts.c.refused_cost.type),
        refused_tokens=sa.bindparam("tokens", type_=accounts.c.refused_tokens.type),
    )
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose call it is."""

    namespace: str
    agent: str
    team: str


def balances(connection: sa.Connection, keys: Iterable[str]) -> dict[str, Balance]:
    """What is used of those accounts that are there."""
    sheet = sheets.current(connection)
    if sheet is None:
        return _read_of(connection, list(keys))
    found, missing = sheet.balances(keys)
    if missing:
        read = _read_of(connection, missing)
        sheet.learn(read)
        found |= read
    return found


def _read_of(connection: sa.Connection, wanted: list[str]) -> dict[str, Balance]:
    rows = hot.execute(connection, _read(len(wanted)), {f"key_{place}": key for place, key in enumerate(wanted)})
    return {row[0]: Balance(*row[1:]) for row in rows}


@lru_cache(maxsize=64)
def _read(count: int) -> sa.Select[Any]:
    """The statement for so many accounts: an agent has few, and always as many."""
    keys = [sa.bindparam(f"key_{place}", type_=accounts.c.key.type) for place in range(count)]
    return sa.select(accounts.c.key, *_COUNTS).where(accounts.c.key.in_(keys))


def opened(connection: sa.Connection, wanted: Mapping[str, Account], owner: Owner) -> dict[str, Balance]:
    """What is used of the accounts. One that is not there yet is opened with what is known to have been spent in it."""
    found = balances(connection, wanted)
    missing = [account for key, account in wanted.items() if key not in found]
    sheet = sheets.current(connection)
    if missing and sheet is not None:
        # What a new account begins with is read from others, which must be as they are.
        sheet.write()
    for account in missing:
        balance = _until_now(connection, account)
        connection.execute(_OPEN, _row(account, balance, owner))
        found[account.key] = balance
        if sheet is not None:
            sheet.learn({account.key: balance})
    return found


def change(connection: sa.Connection, changed: Mapping[str, Balance]) -> None:
    """These are the balances from now on."""
    sheet = sheets.current(connection)
    if sheet is not None:
        sheet.move(changed)
    elif changed:
        sheets.write_balances(connection, changed)


def refuse(connection: sa.Connection, key: str, at: datetime, cost: Decimal, tokens: int) -> None:
    """A call did not fit, which would have needed so much."""
    connection.execute(_REFUSE, {"of_key": key, "at": at, "cost": cost, "tokens": tokens})


def purge(connection: sa.Connection, before: datetime, limit: int = 500) -> int:
    """Delete accounts of periods that ended before that time; at most `limit` at once. How many were deleted."""
    old = sa.select(accounts.c.key).where(accounts.c.ends_at < before).limit(limit)
    return connection.execute(sa.delete(accounts).where(accounts.c.key.in_(old))).rowcount


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last call that did not fit into an account."""

    at: datetime
    cost: Decimal
    tokens: int


def standings(connection: sa.Connection, keys: Sequence[str]) -> dict[str, tuple[Balance, Refusal | None]]:
    """The accounts that are there, each with its last refusal."""
    columns = (accounts.c.refused_at, accounts.c.refused_cost, accounts.c.refused_tokens)
    found: dict[str, tuple[Balance, Refusal | None]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        query = sa.select(accounts.c.key, *_COUNTS, *columns).where(accounts.c.key.in_(keys[start : start + _AT_ONCE]))
        for row in connection.execute(query):
            found[row.key] = Balance(*row[1:6]), Refusal(*row[6:]) if row.refused_at is not None else None
    return found


_AT_ONCE: Final = 500


def _until_now(connection: sa.Connection, account: Account) -> Balance:
    """What the days of its agents say, where the account began before it was opened; all of it counts as spent.

    What they hold reserved is let go in their accounts alone, and so cannot be held here: it is taken for spent.
    """
    if account.per not in {Period.DAY, Period.MONTH} or (account.scope, account.per) == _ALWAYS_KEPT:
        return Balance()
    query = sa.select(*_COUNTS).where(
        accounts.c.scope == BudgetScope.AGENT,
        accounts.c.per == Period.DAY,
        accounts.c.starts_at >= account.start,
        accounts.c.starts_at < account.end,
    )
    if account.namespace:
        query = query.where(accounts.c.namespace == account.namespace)
    match account.scope:
        case BudgetScope.AGENT:
            query = query.where(accounts.c.subject == account.subject)
        case BudgetScope.TEAM:
            query = query.where(accounts.c.team == account.subject)
        case BudgetScope.NAMESPACE:
            pass
    days = [Balance(*row) for row in connection.execute(query)]
    return Balance(
        spent_cost=sum((day.cost for day in days), Decimal(0)),
        spent_tokens=sum(day.tokens for day in days),
        tasks=sum(day.tasks for day in days),
    )


_ALWAYS_KEPT: Final = (BudgetScope.AGENT, Period.DAY)


def _row(account: Account, balance: Balance, owner: Owner) -> dict[str, Any]:
    return {
        "key": account.key,
        "scope": account.scope,
        "namespace": account.namespace,
        "subject": account.subject,
        "team": owner.team,
        "per": account.per,
        "starts_at": account.start,
        "ends_at": account.end,
        "spent_cost": balance.spent_cost,
        "held_cost": balance.held_cost,
        "spent_tokens": balance.spent_tokens,
        "held_tokens": balance.held_tokens,
        "tasks": balance.tasks,
    }
