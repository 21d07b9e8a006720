"""Calls in the store: written before anything is sent, settled when the answer is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from proctor.api import digest
from proctor.api.agent import Limits
from proctor_gateway import budgets, recording
from proctor_gateway.calls import Call, CallState, Intent, Kind, Outcome
from proctor_gateway.limits import exceeded
from proctor_gateway.reasons import Reason
from proctor_gateway.store.rows import plain, to_call
from proctor_gateway.store.tables import calls, tasks
from proctor_gateway.tasks import Fault, Phase, Usage

_MOST_CALLS = 10_000
"""Of one task, denied ones included: an agent that asks in a loop must not fill the disk."""

# The statements of the hot path are built once: to build one costs more than to run it.
_TASK: Final = (
    sa.select(
        tasks.c.phase,
        tasks.c.attempts,
        tasks.c.live,
        tasks.c.stop,
        tasks.c.deadline,
        tasks.c.sequence,
        tasks.c.steps,
        tasks.c.tool_calls,
        tasks.c.input_tokens,
        tasks.c.output_tokens,
        tasks.c.cost,
    )
    .where(tasks.c.id == sa.bindparam("task"))
    .with_for_update()
)
_EQUAL: Final = sa.select(sa.func.count()).where(
    calls.c.task == sa.bindparam("task"),
    calls.c.attempt == sa.bindparam("attempt"),
    calls.c.connector == sa.bindparam("connector"),
    calls.c.name == sa.bindparam("name"),
    calls.c.arguments_digest == sa.bindparam("digest"),
    calls.c.state != CallState.DENIED,
)
_ADD: Final = sa.insert(calls)
_COUNT: Final = (
    sa.update(tasks)
    .where(tasks.c.id == sa.bindparam("of_task"))
    .values(
        sequence=sa.bindparam("next"),
        steps=tasks.c.steps + sa.bindparam("more_steps"),
        tool_calls=tasks.c.tool_calls + sa.bindparam("more_tools"),
    )
)
_SETTLE: Final = (
    sa.update(calls)
    .where(
        calls.c.task == sa.bindparam("of_task"),
        calls.c.sequence == sa.bindparam("of_sequence"),
        calls.c.state.in_((CallState.STARTED, CallState.UNKNOWN)),
    )
    .values(
        {
            column: sa.bindparam(f"new_{column.name}", type_=column.type)
            for column in (
                calls.c.state,
                calls.c.touched,
                calls.c.result,
                calls.c.reason,
                calls.c.message,
                calls.c.input_tokens,
                calls.c.output_tokens,
                calls.c.cost,
                calls.c.finished_at,
            )
        }
    )
)
_CHARGE: Final = (
    sa.update(tasks)
    .where(tasks.c.id == sa.bindparam("of_task"))
    .values(
        input_tokens=tasks.c.input_tokens + sa.bindparam("more_input"),
        output_tokens=tasks.c.output_tokens + sa.bindparam("more_output"),
        cost=sa.bindparam("new_cost", type_=tasks.c.cost.type),
    )
)


@dataclass(frozen=True)
class Begun:
    """The call is written down and may be sent. `occurrence` counts equal calls of the same attempt, from 0."""

    sequence: int
    occurrence: int
    deadline: datetime


@dataclass(frozen=True)
class Barred:
    """The call is written down as denied."""

    sequence: int
    fault: Fault


class Revoked(Exception):  # noqa: N818 - a fact, not a failure
    """The attempt that a token names is not running (any more)."""


def begin(
    connection: sa.Connection, intent: Intent, limits: Limits, denial: Fault | None, now: datetime
) -> Begun | Barred:
    """Write the call down: as denied, or as started if the task's limits allow. Raises Revoked.

    The row of the task is locked, so that limits hold however many calls are made at the same time, by whichever
    replica; and a call that was begun is seen by whoever ends the task.
    """
    row = connection.execute(_TASK, {"task": intent.task}).one_or_none()
    if row is None or not is_running(row, intent.attempt):
        raise Revoked(intent.task)
    sequence = row.sequence + 1
    if sequence > _MOST_CALLS:
        return Barred(0, Fault(Reason.LIMIT_EXCEEDED, f"the task has made {_MOST_CALLS} calls"))
    arguments = digest.sha256(intent.arguments)
    fault = denial or _bar(row, intent.kind, limits, now) or budgets.reserve(connection, intent, sequence)
    occurrence = _occurrence(connection, intent, arguments)
    connection.execute(_ADD, _row(intent, sequence, arguments, fault, now))
    steps = 0 if fault else int(intent.kind is Kind.MODEL)
    tools = 0 if fault else int(intent.kind is Kind.TOOL)
    connection.execute(_COUNT, {"of_task": intent.task, "next": sequence, "more_steps": steps, "more_tools": tools})
    recording.begun(connection, intent, sequence, fault)
    if fault is not None:
        return Barred(sequence, fault)
    return Begun(sequence, occurrence, row.deadline)


def is_running(row: Any, attempt: int) -> bool:
    """Whether this is the attempt that runs now. A token of any other opens nothing."""
    return bool(row.phase == Phase.RUNNING and row.attempts == attempt and row.live)


def _bar(row: Any, kind: Kind, limits: Limits, now: datetime) -> Fault | None:
    if row.stop is not None:
        return Fault(Reason(row.stop), "the task is being stopped")
    usage = Usage(row.steps, row.tool_calls, row.input_tokens, row.output_tokens, row.cost)
    return exceeded(kind, usage, limits, row.deadline, now)


def _occurrence(connection: sa.Connection, intent: Intent, arguments: str) -> int:
    # Only what carries a key needs to tell equal calls apart.
    if intent.kind is not Kind.TOOL:
        return 0
    equal = {
        "task": intent.task,
        "attempt": intent.attempt,
        "connector": intent.connector,
        "name": intent.name,
        "digest": arguments,
    }
    return int(connection.execute(_EQUAL, equal).scalar_one())


def _row(intent: Intent, sequence: int, arguments: str, fault: Fault | None, now: datetime) -> dict[str, Any]:
    return {
        "task": intent.task,
        "sequence": sequence,
        "attempt": intent.attempt,
        "kind": intent.kind,
        "connector": intent.connector,
        "name": plain(intent.name)[:256],
        "effect": intent.effect,
        "arguments": intent.arguments,
        "arguments_digest": arguments,
        "state": CallState.DENIED if fault else CallState.STARTED,
        "touched": fault is None,
        "reason": fault.reason if fault else None,
        "message": plain(fault.message) if fault else None,
        "started_at": now,
        "finished_at": now if fault else None,
    }


def settle(connection: sa.Connection, task: str, sequence: int, outcome: Outcome, now: datetime) -> None:
    """Write down what became of a call. A late answer still replaces Unknown: the truth is worth more than order."""
    fault = outcome.fault
    settled = connection.execute(
        _SETTLE,
        {
            "of_task": task,
            "of_sequence": sequence,
            "new_state": outcome.state,
            "new_touched": outcome.touched,
            "new_result": outcome.result,
            "new_reason": fault.reason if fault else None,
            "new_message": plain(fault.message) if fault else None,
            "new_input_tokens": outcome.input_tokens,
            "new_output_tokens": outcome.output_tokens,
            "new_cost": outcome.cost,
            "new_finished_at": now,
        },
    )
    if not settled.rowcount:
        return
    if outcome.billed or outcome.input_tokens or outcome.output_tokens:
        _charge(connection, task, outcome)
    budgets.settle(connection, task, sequence, outcome)
    recording.settled(connection, task, sequence, outcome)


def _charge(connection: sa.Connection, task: str, outcome: Outcome) -> None:
    row = connection.execute(_TASK, {"task": task}).one_or_none()
    if row is None:
        return
    cost = None if row.cost is None or outcome.cost is None else row.cost + outcome.cost
    connection.execute(
        _CHARGE,
        {
            "of_task": task,
            "more_input": outcome.input_tokens or 0,
            "more_output": outcome.output_tokens or 0,
            "new_cost": cost,
        },
    )


def list_calls(connection: sa.Connection, task: str) -> Sequence[Call]:
    """The calls of all attempts, in the order in which they were begun."""
    query = sa.select(calls).where(calls.c.task == task).order_by(calls.c.sequence)
    return [to_call(row) for row in connection.execute(query)]


def under_way(connection: sa.Connection, task: str) -> int:
    """How many calls that may change something have been begun and not settled."""
    query = sa.select(sa.func.count()).where(
        calls.c.task == task, calls.c.state == CallState.STARTED, calls.c.effect != "Read"
    )
    return int(connection.execute(query).scalar_one())
