"""Trials in the store: batches that were asked for, what each run is to be answered, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor_gateway.rules.arms import Split
from proctor_gateway.rules.calls import CallState, Kind
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import OPEN, Phase, Purpose, Request
from proctor_gateway.store import owners
from proctor_gateway.store.tables import answers, batches, calls, instances, tasks, trials

_ANSWERED: Final = (CallState.SUCCEEDED, CallState.FAILED)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Run:
    """One run that is asked for."""

    key: str
    revision: str
    input: Any
    conversation: str | None = None
    stubs: Mapping[str, Any] | None = None
    original: str | None = None


@dataclass(frozen=True)
class Batch:
    """Runs that are asked for together. `timeout` in seconds bounds each, beside the agent's own limit."""

    namespace: str
    agent: str
    name: str
    purpose: Purpose
    digest: str
    timeout: float | None
    concurrency: int
    stubs: Mapping[str, Any]
    created_at: datetime


def add(connection: sa.Connection, batch: Batch, runs: Sequence[Run], owner: str) -> bool:
    """Write a batch down, once. False if the name is taken by another one. The same again changes nothing."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {**_key(batch.namespace, batch.agent, batch.name), "purpose": batch.purpose, "digest": batch.digest}
    values |= {"timeout": batch.timeout, "concurrency": batch.concurrency, "stubs": dict(batch.stubs)}
    values |= {"owner": owner, "done": not runs, "created_at": batch.created_at}
    added = connection.execute(dialect.insert(batches).values(values).on_conflict_do_nothing())
    if added.rowcount == 0:
        found = get(connection, batch.namespace, batch.agent, batch.name)
        return found is not None and found.digest == batch.digest
    if runs:
        connection.execute(sa.insert(trials), [_row(batch, place, run) for place, run in enumerate(runs)])
    return True


def _row(batch: Batch, position: int, run: Run) -> dict[str, Any]:
    return {
        **_key(batch.namespace, batch.agent, batch.name),
        "position": position,
        "key": run.key,
        "revision": run.revision,
        "input": run.input,
        "conversation": run.conversation,
        "stubs": dict(run.stubs or {}),
        "original": run.original,
        "unanswered": 0,
    }


def _key(namespace: str, agent: str, batch: str) -> dict[str, Any]:
    return {"namespace": namespace, "agent": agent, "batch": batch}


def _of(table: sa.Table, namespace: str, agent: str, batch: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.namespace == namespace, table.c.agent == agent, table.c.batch == batch)


def get(connection: sa.Connection, namespace: str, agent: str, batch: str) -> Any | None:
    """The row of the batch."""
    return connection.execute(sa.select(batches).where(_of(batches, namespace, agent, batch))).one_or_none()


def originals(
    connection: sa.Connection, namespace: str, agent: str, revision: str, most: int, now: datetime
) -> list[Run]:
    """The live tasks of the revision that are worth running again: those that ended within a day, else the last ones.

    Only what an agent answered, well or badly: a task that nobody took, or that was cancelled, says nothing about it.
    """
    query = (
        sa.select(tasks.c.id, tasks.c.input, tasks.c.conversation, tasks.c.finished_at)
        .where(
            tasks.c.namespace == namespace,
            tasks.c.agent == agent,
            tasks.c.revision == revision,
            tasks.c.purpose == Purpose.LIVE,
            tasks.c.phase.in_((Phase.SUCCEEDED, Phase.FAILED)),
            tasks.c.attempts > 0,
        )
        .order_by(tasks.c.finished_at.desc(), tasks.c.id)
        .limit(most)
    )
    rows = connection.execute(query).all()
    lately = [row for row in rows if row.finished_at >= now - _DAY]
    return [Run(row.id, revision, row.input, row.conversation, None, row.id) for row in lately or rows]


def is_any_open(connection: sa.Connection) -> bool:
    """Whether any batch is not done."""
    query = sa.select(sa.literal(1)).where(batches.c.done.is_(False)).limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


def adopt(connection: sa.Connection, instance: str, silent: timedelta, now: datetime) -> list[Any]:
    """The batches of this instance that are not done, those of instances that have gone among them."""
    since = owners.database_time(connection, now) - silent
    alive = sa.select(instances.c.id).where(instances.c.seen_at >= since)
    connection.execute(
        sa.update(batches)
        .where(batches.c.done.is_(False), sa.or_(batches.c.owner.is_(None), batches.c.owner.not_in(alive)))
        .values(owner=instance)
    )
    return list(connection.execute(sa.select(batches).where(batches.c.done.is_(False), batches.c.owner == instance)))


def due(connection: sa.Connection, batch: Any) -> tuple[list[Any], bool]:
    """The next runs of the batch to begin, as many as it may have at once; and whether nothing is left to wait for."""
    mine = _of(trials, batch.namespace, batch.agent, batch.batch)
    query = (
        sa.select(sa.func.count())
        .select_from(trials.join(tasks, tasks.c.id == trials.c.task))
        .where(mine, tasks.c.phase.in_(OPEN))
    )
    under_way = int(connection.execute(query).scalar_one())
    waiting = (
        sa.select(trials)
        .where(mine, trials.c.task.is_(None), trials.c.reason.is_(None))
        .order_by(trials.c.position)
        .limit(max(0, batch.concurrency - under_way))
    )
    found = list(connection.execute(waiting))
    return found, not found and not under_way


def begun(connection: sa.Connection, trial: Any, task: str) -> None:
    """The run is this task."""
    connection.execute(sa.update(trials).where(_place(trial)).values(task=task))


def given_up(connection: sa.Connection, trial: Any, reason: Reason) -> None:
    """The run is not begun, for this reason."""
    connection.execute(sa.update(trials).where(_place(trial)).values(reason=reason))


def _place(trial: Any) -> sa.ColumnElement[bool]:
    mine = _of(trials, trial.namespace, trial.agent, trial.batch)
    return sa.and_(mine, trials.c.position == trial.position)


def finish(connection: sa.Connection, batch: Any) -> None:
    """Nothing of the batch is left to do."""
    connection.execute(
        sa.update(batches).where(_of(batches, batch.namespace, batch.agent, batch.batch)).values(done=True)
    )


def timeout_of(connection: sa.Connection, task: str) -> float | None:
    """The seconds that the task's batch gives it, if it is of one that says so."""
    query = sa.select(batches.c.timeout).select_from(_joined()).where(trials.c.task == task)
    found: float | None = connection.execute(query).scalar_one_or_none()
    return found


def _joined() -> sa.Join:
    of_batch = sa.and_(*(trials.c[name] == batches.c[name] for name in ("namespace", "agent", "batch")))
    return trials.join(batches, of_batch)


def mirror_of(rollout: str) -> str:
    """The name of the batch that holds the copies of an upgrade."""
    return f"mirror-{rollout}"


def copies_open(connection: sa.Connection, namespace: str, agent: str) -> int:
    """How many copies of the agent's live tasks are not ended."""
    query = sa.select(sa.func.count()).where(
        tasks.c.namespace == namespace,
        tasks.c.agent == agent,
        tasks.c.phase.in_(OPEN),
        tasks.c.purpose == Purpose.MIRROR,
    )
    return int(connection.execute(query).scalar_one())


def add_copy(connection: sa.Connection, request: Request, split: Split, original: str) -> None:
    """Write down that the request is a copy, in the batch of its upgrade. That one is done at any time."""
    name = mirror_of(split.rollout)
    batch = Batch(request.namespace, request.agent, name, Purpose.MIRROR, "", None, 1, {}, request.created_at)
    # To add nothing to a batch writes the batch down, if it is not there yet.
    add(connection, batch, (), "")
    last = sa.select(sa.func.max(trials.c.position)).where(_of(trials, request.namespace, request.agent, name))
    position = (connection.execute(last).scalar_one() or 0) + 1
    run = Run(original, split.candidate, None, None, None, original)
    connection.execute(sa.insert(trials).values(_row(batch, position, run) | {"task": request.id}))


@dataclass(frozen=True)
class Cue:
    """What is at hand to answer one call of a task with."""

    declared: Mapping[str, Any]
    recorded: Mapping[str, Any] | None


def cue(connection: sa.Connection, task: str, content: str, occurrence: int) -> Cue:
    """What was declared for the task's run, and what its original was answered to the same call, as often before."""
    query = (
        sa.select(batches.c.stubs.label("common"), trials.c.stubs, trials.c.original)
        .select_from(_joined())
        .where(trials.c.task == task)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return Cue({}, None)
    recorded = None if row.original is None else _recorded(connection, row.original, content, occurrence)
    return Cue({**row.common, **row.stubs}, recorded)


def _recorded(connection: sa.Connection, task: str, content: str, occurrence: int) -> Mapping[str, Any] | None:
    query = (
        sa.select(calls.c.state, calls.c.reason, calls.c.message, calls.c.result, answers.c.body)
        .outerjoin(answers, sa.and_(answers.c.task == calls.c.task, answers.c.sequence == calls.c.sequence))
        .where(
            calls.c.task == task,
            calls.c.kind == Kind.TOOL,
            calls.c.digest == content,
            calls.c.void.is_(False),
            calls.c.state.in_(_ANSWERED),
        )
        .order_by(calls.c.sequence)
        .offset(occurrence)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.body is not None:
        found: Mapping[str, Any] = json.loads(row.body)
        return found
    if isinstance(row.result, dict) and "truncated" not in row.result:
        return row.result
    if row.state == CallState.FAILED and row.result is None:
        return {"content": [{"type": "text", "text": f"{row.reason}: {row.message}"}], "isError": True}
    return None


def unanswered(connection: sa.Connection, task: str, *, is_usable: bool) -> None:
    """A call of the task was not among those of its original. Without a stub for it the run cannot be used."""
    values: dict[str, Any] = {"unanswered": trials.c.unanswered + 1}
    connection.execute(
        sa.update(trials)
        .where(trials.c.task == task)
        .values(values if is_usable else values | {"reason": Reason.UNANSWERED})
    )


def purge(connection: sa.Connection, before: datetime) -> None:
    """Delete batches that were asked for before that time."""
    old = (
        sa.select(batches.c.namespace, batches.c.agent, batches.c.batch).where(batches.c.created_at < before).limit(50)
    )
    for row in connection.execute(old).all():
        connection.execute(sa.delete(batches).where(_of(batches, row.namespace, row.agent, row.batch)))
