"""A task is taken in: once for one idempotency key, and only while the agent has room."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor_gateway.rules.spending import Exceeded
from proctor_gateway.rules.tasks import Phase, Request, Task
from proctor_gateway.store import budgets
from proctor_gateway.store.budgets import Bill
from proctor_gateway.store.rows import to_task
from proctor_gateway.store.tables import tasks
from proctor_gateway.store.tasks import must_get, open_tasks


class Asker(Protocol):
    """Who asks whom: a key is the asker's own."""

    @property
    def namespace(self) -> str:
        """The agent's namespace."""

    @property
    def agent(self) -> str:
        """The agent."""

    @property
    def principal(self) -> str:
        """The caller."""


@dataclass(frozen=True)
class Acceptance:
    """What is to be accepted, and within which bound."""

    request: Request
    revision: str
    body_digest: str
    idempotency_key: str | None
    owner: str
    capacity: int
    bill: Bill | None = None
    """Where the task is counted. None: nowhere."""

    @property
    def locks(self) -> tuple[str, ...]:
        """What the write that accepts must hold."""
        return () if self.bill is None else tuple(self.bill.accounts(self.request.created_at))


@dataclass(frozen=True)
class Accepted:
    """The task is new."""

    task: Task


@dataclass(frozen=True)
class Known:
    """The same request was accepted before, under the same key."""

    task: Task


@dataclass(frozen=True)
class Conflict:
    """Another request was accepted before, under the same key."""

    task: Task


@dataclass(frozen=True)
class Full:
    """The agent has as many open tasks as it may have."""

    open: int


def accept(connection: sa.Connection, asked: Acceptance) -> Accepted | Known | Conflict | Full | Exceeded:
    """Take the task in, once: the idempotency key is unique for one principal and one agent.

    Exceeded is a budget that lets no more tasks begin.
    """
    before = same_key(connection, asked.request, asked.idempotency_key, asked.body_digest)
    if before is not None:
        return before
    count = open_tasks(connection, asked.request.namespace, asked.request.agent)
    if count >= asked.capacity:
        return Full(count)
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = connection.execute(dialect.insert(tasks).values(_row(asked)).on_conflict_do_nothing())
    if added.rowcount == 0:
        # Another replica took the same key in between.
        found = same_key(connection, asked.request, asked.idempotency_key, asked.body_digest)
        if found is None:
            raise LookupError("the task id was taken")
        return found
    exceeded = budgets.begin_task(connection, asked.bill, asked.request.created_at) if asked.bill is not None else None
    if exceeded is not None:
        connection.execute(sa.delete(tasks).where(tasks.c.id == asked.request.id))
        return exceeded
    return Accepted(must_get(connection, asked.request.id))


def same_key(connection: sa.Connection, asker: Asker, key: str | None, body_digest: str) -> Known | Conflict | None:
    """What the same principal asked the same agent before under this key."""
    if key is None:
        return None
    row = connection.execute(
        sa.select(tasks).where(
            tasks.c.namespace == asker.namespace,
            tasks.c.agent == asker.agent,
            tasks.c.principal == asker.principal,
            tasks.c.idempotency_key == key,
        )
    ).one_or_none()
    if row is None:
        return None
    return Known(to_task(row)) if row.body_digest == body_digest else Conflict(to_task(row))


def _row(asked: Acceptance) -> dict[str, Any]:
    request = asked.request
    return {
        "id": request.id,
        "namespace": request.namespace,
        "agent": request.agent,
        "principal": request.principal,
        "idempotency_key": asked.idempotency_key,
        "body_digest": asked.body_digest,
        "input": request.input,
        "conversation": request.conversation,
        "metadata": request.metadata,
        "purpose": request.purpose,
        "pinned": request.pinned,
        "entry": None if request.entry is None else str(request.entry),
        "trace_id": request.trace_id,
        "parent_span": request.parent_span,
        "created_at": request.created_at,
        "phase": Phase.QUEUED,
        "revision": asked.revision,
        "attempts": 0,
        "losses": 0,
        "owner": asked.owner,
        "live": False,
        "sequence": 0,
        "steps": 0,
        "tool_calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": Decimal(0),
    }
