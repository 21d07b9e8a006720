"""Tasks in the store, as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from proctor_gateway.rules.tasks import OPEN, Phase, Purpose, Task
from proctor_gateway.store.calls import is_running
from proctor_gateway.store.rows import to_task
from proctor_gateway.store.tables import tasks


def open_tasks(connection: sa.Connection, namespace: str, agent: str) -> int:
    """How many live tasks of the agent are not ended."""
    query = sa.select(sa.func.count()).where(
        tasks.c.namespace == namespace,
        tasks.c.agent == agent,
        tasks.c.phase.in_(OPEN),
        tasks.c.purpose == Purpose.LIVE,
    )
    return int(connection.execute(query).scalar_one())


def get(connection: sa.Connection, task: str) -> Task | None:
    """The task with that id."""
    row = connection.execute(sa.select(tasks).where(tasks.c.id == task)).one_or_none()
    return to_task(row) if row is not None else None


def in_phase(connection: sa.Connection, namespace: str, agent: str, phase: Phase, limit: int = 200) -> Sequence[Task]:
    """The agent's live tasks in that phase, whoever sent them, newest first."""
    query = (
        sa.select(tasks)
        .where(
            tasks.c.namespace == namespace,
            tasks.c.agent == agent,
            tasks.c.phase == phase,
            tasks.c.purpose == Purpose.LIVE,
        )
        .order_by(tasks.c.id.desc())
        .limit(limit)
    )
    return [to_task(row) for row in connection.execute(query)]


def must_get(connection: sa.Connection, task: str) -> Task:
    """The task with that id, which is there."""
    return to_task(connection.execute(sa.select(tasks).where(tasks.c.id == task)).one())


def runs(connection: sa.Connection, task: str, attempt: int) -> bool:
    """Whether this attempt of the task is the one that runs now."""
    row = connection.execute(sa.select(tasks).where(tasks.c.id == task)).one_or_none()
    return row is not None and is_running(row, attempt)


@dataclass(frozen=True)
class Page:
    """Which tasks to list: those of one principal at one agent, newest first, after a cursor."""

    namespace: str
    agent: str
    principal: str
    phase: Phase | None
    after: str | None
    limit: int
    purpose: Purpose = Purpose.LIVE


def list_tasks(connection: sa.Connection, page: Page) -> Sequence[Task]:
    """At most `limit` tasks. The cursor is the last id of the page before: ids sort by time."""
    query = (
        sa.select(tasks)
        .where(
            tasks.c.namespace == page.namespace,
            tasks.c.agent == page.agent,
            tasks.c.principal == page.principal,
            tasks.c.purpose == page.purpose,
        )
        .order_by(tasks.c.id.desc())
        .limit(page.limit)
    )
    if page.phase is not None:
        query = query.where(tasks.c.phase == page.phase)
    if page.after is not None:
        query = query.where(tasks.c.id < page.after)
    return [to_task(row) for row in connection.execute(query)]
