"""A task goes on: dispatched, closed, stopped, forgotten. Every step is a compare-and-swap.

Whoever is not the owner, or is late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from proctor_gateway.rules import fallback
from proctor_gateway.rules.calls import Call, CallState
from proctor_gateway.rules.fallback import NONE, Hop, Legs
from proctor_gateway.rules.form import misfit
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import OPEN, Fault, Phase, Running, Task
from proctor_gateway.rules.verdict import Again, AttemptEnd, Bounds, End, Lost, Pause, Stopped, judge
from proctor_gateway.store import approvals, journal, recording
from proctor_gateway.store.calls import list_calls, under_way
from proctor_gateway.store.outcomes import record
from proctor_gateway.store.owners import alive
from proctor_gateway.store.rows import plain
from proctor_gateway.store.tables import calls, outcomes, tasks
from proctor_gateway.store.tasks import must_get


def dispatch(
    connection: sa.Connection,
    task: Task,
    owner: str,
    revision: str,
    timeout: timedelta,
    now: datetime,
    arm: str | None = None,
) -> Task | None:
    """Begin the next attempt. None if the task is not the owner's any more, has ended or is to be stopped.

    The first attempt sets revision, arm, start and deadline; later ones leave them as they are.
    """
    begun = isinstance(task.state, Running)
    before = task.state.attempts if isinstance(task.state, Running) else 0
    first = {} if begun else {"revision": revision, "arm": arm, "started_at": now, "deadline": now + timeout}
    changed = connection.execute(
        sa.update(tasks)
        .where(
            tasks.c.id == task.request.id,
            tasks.c.owner == owner,
            tasks.c.attempts == before,
            tasks.c.phase == (Phase.RUNNING if begun else Phase.QUEUED),
            tasks.c.stop.is_(None),
        )
        .values(phase=Phase.RUNNING, attempts=before + 1, live=True, **first)
    )
    if not changed.rowcount:
        return None
    recording.dispatched(connection, task.request.id, before + 1)
    return must_get(connection, task.request.id)


@dataclass(frozen=True)
class Closing:
    """An attempt (0: none was begun) that is over, as its owner saw it."""

    task: str
    owner: str
    attempts: int
    end: AttemptEnd
    max_losses: int
    until: datetime
    """The task's deadline; of one that never began, the end of its place in the queue."""
    now: datetime
    patience: bool
    """Whether effects that are under way may still be waited for."""
    silent_for: timedelta = timedelta(seconds=10)
    """Of an instance that was silent for so long nobody hears what became of the calls that it sent."""
    legs: Legs = NONE
    """Who may answer instead."""


@dataclass(frozen=True)
class Unsettled:
    """Effects are under way. No further call can be begun; close again when they are settled."""

    count: int


class NotOwner(Exception):  # noqa: N818 - a fact, not a failure
    """Someone else drives the task by now, or it has ended."""


@dataclass(frozen=True)
class Hopped:
    """A fallback serves from now on. `goes_on`: dispatch the task to it; else it has answered, or people are asked."""

    task: Task
    cause: Reason
    goes_on: bool = True


def close(connection: sa.Connection, closing: Closing) -> Task | Again | Hopped | Unsettled:
    """End the task, or say that it may be dispatched again. Raises NotOwner, and then nothing has changed.

    The attempt is fenced off first. Calls that are under way are waited for while there is patience, and are Unknown
    from then on.
    """
    row = connection.execute(
        sa.select(tasks)
        .where(
            tasks.c.id == closing.task,
            tasks.c.owner == closing.owner,
            tasks.c.attempts == closing.attempts,
            tasks.c.phase.in_(OPEN),
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotOwner(closing.task)
    # The fence goes up before anything is judged: no call can be begun that the judgement would not see.
    connection.execute(sa.update(tasks).where(tasks.c.id == closing.task).values(live=False))
    waiting = under_way(connection, closing.task, alive(connection, closing.silent_for, closing.now))
    if waiting and closing.patience:
        return Unsettled(waiting)
    _forget_open_calls(connection, closing)
    made: Sequence[Call] = list_calls(connection, closing.task)
    losses = row.losses + int(isinstance(closing.end, Lost))
    bounds = Bounds(losses, closing.max_losses, closing.until, closing.now, closing.attempts)
    decision = judge(closing.end, made, bounds)
    if isinstance(decision, Pause):
        return _paused(connection, closing)
    if isinstance(decision, Again):
        connection.execute(sa.update(tasks).where(tasks.c.id == closing.task).values(losses=losses))
        return decision
    return _ended(connection, row, decision, _Chain(closing.legs, made, closing.now))


@dataclass(frozen=True)
class _Chain:
    """Who may answer instead, after which calls, and when that is asked."""

    legs: Legs
    made: Sequence[Call]
    now: datetime


def _ended(connection: sa.Connection, row: Any, end: End, chain: _Chain) -> Task | Hopped:
    """The task's end, unless a fallback may still answer."""
    end = fallback.checked(end, chain.legs, is_another=bool(row.serving))
    hop = fallback.next_hop(end, chain.made, chain.legs, row.leg)
    if hop is None or end.fault is None:
        _end(connection, row, end, chain.now)
        return must_get(connection, row.id)
    agent = hop.fallback.agent
    serving = {"agent": agent, "revision": chain.legs.agents[agent]} if agent is not None else None
    until = chain.now + chain.legs.timeout
    changes = {"leg": hop.leg, "served_by": hop.name, "serving": serving, "deadline": until}
    connection.execute(sa.update(tasks).where(tasks.c.id == row.id).values(**changes))
    recording.told(
        connection, row.id, "Fallback", {"from": row.served_by or "", "to": hop.name, "cause": end.fault.reason}
    )
    return _served(connection, row, hop, end.fault, chain)


def _served(connection: sa.Connection, row: Any, hop: Hop, fault: Fault, chain: _Chain) -> Task | Hopped:
    """The leg's turn. A reply that is of another form than an answer must be is none: the next leg is asked."""
    reply = hop.fallback.reply
    if reply is not None:
        again = connection.execute(sa.select(tasks).where(tasks.c.id == row.id)).one()
        unfit = misfit(reply, chain.legs.output, "the fixed reply")
        if unfit is not None:
            return _ended(connection, again, End(Phase.FAILED, reply, unfit), chain)
        _end(connection, again, End(Phase.SUCCEEDED, reply, None), chain.now)
        return Hopped(must_get(connection, row.id), fault.reason, goes_on=False)
    if hop.fallback.human is not None:
        approvals.ask_people(connection, row, hop, fault, chain.legs.output, chain.now)
        return Hopped(_waiting(connection, row.id, chain.now), fault.reason, goes_on=False)
    if hop.continues:
        journal.forget_failures(connection, row.id)
    else:
        journal.void(connection, row.id, row.attempts + 1)
    return Hopped(must_get(connection, row.id), fault.reason)


def _paused(connection: sa.Connection, closing: Closing) -> Task | Again:
    """The task waits for people and belongs to nobody, unless they have decided in the meantime."""
    if approvals.is_due(connection, closing.task):
        return Again()
    return _waiting(connection, closing.task, closing.now)


def _waiting(connection: sa.Connection, task: str, now: datetime) -> Task:
    connection.execute(
        sa.update(tasks).where(tasks.c.id == task).values(phase=Phase.INPUT_REQUIRED, owner=None, paused_at=now)
    )
    return must_get(connection, task)


def answered(connection: sa.Connection, task: str, owner: str, legs: Legs, now: datetime) -> Task | Hopped | None:
    """People have answered instead of the agent, or will not: the task's end. None if it does not wait (any more).

    What they said may be no answer, or nobody said anything: the next leg is asked. A rejection is an answer.
    """
    row = connection.execute(
        sa.select(tasks).where(tasks.c.id == task, tasks.c.phase == Phase.INPUT_REQUIRED).with_for_update()
    ).one_or_none()
    said = None if row is None else approvals.decided(connection, task, -row.leg)
    if row is None or said is None:
        return None
    phase = Phase.SUCCEEDED if said.fault is None else Phase.FAILED
    end = End(phase, said.output, said.fault)
    if said.fault is None or said.fault.reason is Reason.APPROVAL_REJECTED:
        _end(connection, row, end, now)
        return must_get(connection, task)
    connection.execute(
        sa.update(tasks).where(tasks.c.id == task).values(phase=Phase.RUNNING, owner=owner, paused_at=None)
    )
    return _ended(connection, row, end, _Chain(legs, list_calls(connection, task), now))


def resume(connection: sa.Connection, task: str, owner: str, now: datetime) -> Task | None:
    """People have decided: the task is the owner's and may be dispatched. None if it does not wait (any more).

    Its time stood still meanwhile.
    """
    row = connection.execute(
        sa.select(tasks).where(tasks.c.id == task, tasks.c.phase == Phase.INPUT_REQUIRED).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    connection.execute(
        sa.update(tasks)
        .where(tasks.c.id == task)
        .values(phase=Phase.RUNNING, owner=owner, deadline=row.deadline + (now - row.paused_at), paused_at=None)
    )
    return must_get(connection, task)


def _forget_open_calls(connection: sa.Connection, closing: Closing) -> None:
    connection.execute(
        sa.update(calls)
        .where(calls.c.task == closing.task, calls.c.state == CallState.STARTED)
        .values(
            state=CallState.UNKNOWN,
            reason=Reason.OUTCOME_UNKNOWN,
            message="the attempt ended before the answer came",
            finished_at=closing.now,
        )
    )


def _end(connection: sa.Connection, row: Any, end: End, now: datetime) -> None:
    fault = end.fault
    connection.execute(
        sa.update(tasks)
        .where(tasks.c.id == row.id)
        .values(
            phase=end.phase,
            output=end.output,
            reason=fault.reason if fault else None,
            message=plain(fault.message) if fault else None,
            finished_at=now,
            owner=None,
            live=False,
        )
    )
    record(connection, row, end, now)
    recording.ended(connection, row, end.phase, fault, end.output)


def stop(connection: sa.Connection, task: str, fault: Fault, now: datetime) -> Task | None:
    """Ask for a task's end. One that waits ends at once; one that runs is ended by its owner."""
    row = connection.execute(sa.select(tasks).where(tasks.c.id == task).with_for_update()).one_or_none()
    if row is None:
        return None
    if row.phase in (Phase.QUEUED, Phase.INPUT_REQUIRED):
        # Nothing runs: what was done is known, and nobody has to be waited for.
        bounds = Bounds(row.losses, row.losses, row.deadline or now, now, row.attempts)
        end = judge(Stopped(fault), list_calls(connection, task), bounds)
        if isinstance(end, End):
            _end(connection, row, end, now)
    elif row.phase in OPEN and row.stop is None:
        connection.execute(sa.update(tasks).where(tasks.c.id == task).values(stop=fault.reason))
    return must_get(connection, task)


def stopped_for(row: Any) -> Fault:
    """Why the task in that row was to be ended."""
    return Fault(Reason(row.stop), "the task was to be stopped")


def purge(connection: sa.Connection, before: datetime, limit: int = 500) -> int:
    """Delete tasks that ended before that time, with their calls; at most `limit` at once. How many were deleted."""
    old = sa.select(tasks.c.id).where(tasks.c.finished_at < before).limit(limit)
    return connection.execute(sa.delete(tasks).where(tasks.c.id.in_(old))).rowcount


def purge_outcomes(connection: sa.Connection, before: datetime, limit: int = 500) -> int:
    """Delete outcomes of that time and before; at most `limit` at once. How many were deleted."""
    old = sa.select(outcomes.c.task).where(outcomes.c.finished_at < before).limit(limit)
    return connection.execute(sa.delete(outcomes).where(outcomes.c.task.in_(old))).rowcount
