"""A person says what became of an effect that nobody knew of; then the task goes on from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from proctor_gateway.rules.calls import Call, CallState
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Phase, Task
from proctor_gateway.store import journal, lifecycle, recording
from proctor_gateway.store.calls import list_calls
from proctor_gateway.store.rows import plain
from proctor_gateway.store.tables import calls, outcomes, tasks
from proctor_gateway.store.tasks import must_get


class Action(StrEnum):
    """What a person decides about an effect of unknown outcome."""

    MARK_DONE = "MarkDone"
    REDO = "Redo"
    SKIP = "Skip"


@dataclass(frozen=True)
class Resolution:
    """Who decides what about which call. `result` is what the agent is told of a call that was done."""

    task: str
    call: str
    action: Action
    by: str
    result: Any = None


class NotResolvable(Exception):  # noqa: N818 - a fact, not a failure
    """There is nothing to decide: the text says why."""


def resolve(connection: sa.Connection, said: Resolution, timeout: timedelta, now: datetime) -> Task:
    """Write down what a person says; when no effect is unknown any more, the task may go on. Raises NotResolvable."""
    row = connection.execute(sa.select(tasks).where(tasks.c.id == said.task).with_for_update()).one_or_none()
    if row is None or row.phase != Phase.INDETERMINATE:
        raise NotResolvable("only an Indeterminate task has effects to decide on")
    made = list_calls(connection, said.task)
    unknown = [call for call in made if call.may_have_changed_something and call.is_open]
    chosen = next((call for call in unknown if call.id == said.call), None)
    if chosen is None:
        known = ", ".join(call.id for call in unknown) or "none"
        raise NotResolvable(f"the outcome of that call is not unknown; unknown are: {known}")
    _settle(connection, chosen, said, now)
    facts = {"call": said.call, "action": said.action, "by": said.by}
    recording.told(connection, said.task, "EffectResolved", facts)
    if len(unknown) > 1 or _went_another_way(made):
        return must_get(connection, said.task)
    _reopen(connection, row, timeout, now)
    return must_get(connection, said.task)


def _settle(connection: sa.Connection, call: Call, said: Resolution, now: datetime) -> None:
    by = f"decided by {said.by}"
    match said.action:
        case Action.MARK_DONE:
            told = _told(said.result)
            changes: dict[str, Any] = {"state": CallState.SUCCEEDED, "answered": True, "result": told, "reason": None}
            journal.keep(connection, {(said.task, call.sequence): json.dumps(told, ensure_ascii=False).encode()})
        case Action.REDO:
            changes = {"state": CallState.FAILED, "answered": False, "touched": False, "reason": Reason.INTERRUPTED}
        case Action.SKIP:
            changes = {"state": CallState.DENIED, "answered": True, "touched": False, "reason": Reason.SKIPPED}
    connection.execute(
        sa.update(calls)
        .where(calls.c.task == said.task, calls.c.sequence == call.sequence)
        .values(message=plain(f"{said.action}: {by}"), finished_at=now, **changes)
    )


def _told(result: Any) -> dict[str, Any]:
    """The result of a tool as the agent is told it."""
    if result is None:
        return {"content": [{"type": "text", "text": "It was done; a person has confirmed it."}]}
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    whole: dict[str, Any] = {"content": [{"type": "text", "text": text}]}
    return {**whole, "structuredContent": result} if isinstance(result, dict) else whole


def _went_another_way(made: list[Call] | Any) -> bool:
    # What it did and what it would do now do not belong together: no attempt can go on from there.
    return any(call.outcome.fault is not None and call.outcome.fault.reason is Reason.DIVERGED for call in made)


def _reopen(connection: sa.Connection, row: Any, timeout: timedelta, now: datetime) -> None:
    """The task waits for nothing any more. One that was stopped ends so, instead of going on."""
    connection.execute(sa.delete(outcomes).where(outcomes.c.task == row.id))
    connection.execute(
        sa.update(tasks)
        .where(tasks.c.id == row.id)
        .values(
            phase=Phase.INPUT_REQUIRED,
            paused_at=now,
            deadline=now + timeout,
            finished_at=None,
            output=None,
            reason=None,
            message=None,
        )
    )
    if row.stop is not None:
        lifecycle.stop(connection, row.id, lifecycle.stopped_for(row), now)
