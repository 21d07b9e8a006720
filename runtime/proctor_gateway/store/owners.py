"""Which instances live, and who drives which task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from proctor_gateway.rules.calls import CallState
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import DRIVEN, Phase, Task
from proctor_gateway.store.rows import to_task
from proctor_gateway.store.tables import calls, instances, tasks

_FORGOTTEN_AFTER = timedelta(days=1)


def beat(connection: sa.Connection, instance: str, now: datetime) -> None:
    """Say that the instance lives."""
    time = database_time(connection, now)
    changed = connection.execute(sa.update(instances).where(instances.c.id == instance).values(seen_at=time))
    if changed.rowcount == 0:
        connection.execute(sa.insert(instances).values(id=instance, started_at=time, seen_at=time))
    connection.execute(sa.delete(instances).where(instances.c.seen_at < time - _FORGOTTEN_AFTER))


def outlive(connection: sa.Connection, instance: str) -> None:
    """No other instance lives: whoever holds the lock of a SQLite file is the only one."""
    connection.execute(sa.delete(instances).where(instances.c.id != instance))


def leave(connection: sa.Connection, instance: str) -> None:
    """Say that the instance is going: its tasks belong to nobody, and whoever sees them first takes them over."""
    connection.execute(
        sa.update(tasks).where(tasks.c.owner == instance, tasks.c.phase.in_(DRIVEN)).values(owner=None, live=False)
    )
    connection.execute(sa.delete(instances).where(instances.c.id == instance))


def alive(connection: sa.Connection, silent_for: timedelta, now: datetime) -> sa.Select[tuple[str]]:
    """The instances that have said lately that they live."""
    return sa.select(instances.c.id).where(instances.c.seen_at >= database_time(connection, now) - silent_for)


def adopt(connection: sa.Connection, instance: str, silent_for: timedelta, now: datetime) -> Sequence[Task]:
    """Take over the open tasks of nobody and of instances that were silent for so long; their tokens open nothing."""
    orphaned = sa.or_(tasks.c.owner.is_(None), tasks.c.owner.not_in(alive(connection, silent_for, now)))
    # What another transaction holds is being dealt with, or is there in the next round: to wait for one row while
    # holding others is how two gateways come to wait for each other.
    free = (
        sa.select(tasks.c.id)
        .where(tasks.c.phase.in_(DRIVEN), tasks.c.owner.is_distinct_from(instance), orphaned)
        .with_for_update(skip_locked=True)
    )
    taken = connection.execute(
        sa.update(tasks).where(tasks.c.id.in_(free)).values(owner=instance, live=False).returning(tasks)
    )
    return [to_task(row) for row in taken]


def owned(connection: sa.Connection, instance: str) -> Sequence[Task]:
    """The open tasks of this instance."""
    query = sa.select(tasks).where(tasks.c.owner == instance, tasks.c.phase.in_(DRIVEN))
    return [to_task(row) for row in connection.execute(query)]


@dataclass(frozen=True)
class Stop:
    """A running task of this instance that is to be ended, and why."""

    task: str
    reason: Reason


def waiting(connection: sa.Connection, instance: str) -> Sequence[str]:
    """The running tasks of this instance of which a call waits for people: their attempts are over."""
    asks = sa.select(calls.c.task).where(
        calls.c.task == tasks.c.id, calls.c.state == CallState.WAITING, calls.c.seen == tasks.c.attempts
    )
    query = sa.select(tasks.c.id).where(
        tasks.c.owner == instance, tasks.c.phase == Phase.RUNNING, tasks.c.live, asks.exists()
    )
    return list(connection.execute(query).scalars())


def stops(connection: sa.Connection, instance: str) -> Sequence[Stop]:
    """The tasks of this instance that are to be ended."""
    query = sa.select(tasks.c.id, tasks.c.stop).where(
        tasks.c.owner == instance, tasks.c.phase.in_(DRIVEN), tasks.c.stop.is_not(None)
    )
    return [Stop(row.id, Reason(row.stop)) for row in connection.execute(query)]


def database_time(connection: sa.Connection, now: datetime) -> datetime:
    """The one clock that all replicas share: the database's. SQLite has one process, hence one clock anyway."""
    if connection.dialect.name == "sqlite":
        return now
    time: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return time
