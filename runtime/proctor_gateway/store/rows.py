"""Between rows and the frozen types."""

from __future__ import annotations

from typing import Any

from proctor.api.connector import Effect
from proctor_gateway.rules.arms import Entry
from proctor_gateway.rules.calls import Call, CallState, Intent, Kind, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import (
    Ended,
    Fault,
    Leg,
    Paused,
    Phase,
    Purpose,
    Request,
    Running,
    State,
    Task,
    Usage,
    Waiting,
)


def to_task(row: Any) -> Task:
    """The task in a row of `tasks`."""
    request = Request(
        id=row.id,
        namespace=row.namespace,
        agent=row.agent,
        principal=row.principal,
        input=row.input,
        created_at=row.created_at,
        trace_id=row.trace_id,
        parent_span=row.parent_span,
        conversation=row.conversation,
        metadata=row.metadata,
        purpose=Purpose(row.purpose),
        pinned=row.pinned,
        entry=Entry.parse(row.entry) if row.entry else None,
    )
    usage = Usage(row.steps, row.tool_calls, row.input_tokens, row.output_tokens, row.cost)
    return Task(request, _state(row), usage, row.arm, _leg(row))


def _leg(row: Any) -> Leg | None:
    if not row.leg:
        return None
    serving = row.serving or {}
    return Leg(row.leg, row.served_by or "", serving.get("agent"), serving.get("revision"))


def _state(row: Any) -> State:
    phase = Phase(row.phase)
    if phase is Phase.QUEUED:
        return Waiting(row.revision)
    if phase is Phase.RUNNING:
        return Running(row.revision, row.attempts, row.started_at, row.deadline)
    if phase is Phase.INPUT_REQUIRED:
        return Paused(row.revision, row.attempts, row.started_at, row.deadline)
    return Ended(
        phase=phase,
        revision=row.revision,
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        deadline=row.deadline,
        output=row.output,
        fault=Fault(Reason(row.reason), row.message) if row.reason else None,
    )


def to_call(row: Any) -> Call:
    """The call in a row of `calls`."""
    return Call(
        id=call_id(row.task, row.sequence),
        sequence=row.sequence,
        intent=Intent(
            task=row.task,
            attempt=row.attempt,
            kind=Kind(row.kind),
            connector=row.connector,
            name=row.name,
            effect=Effect(row.effect),
            arguments=row.arguments,
            digest=row.digest,
        ),
        outcome=Outcome(
            state=CallState(row.state),
            touched=row.touched,
            result=row.result,
            fault=Fault(Reason(row.reason), row.message) if row.reason else None,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost=row.cost,
        ),
        started_at=row.started_at,
        duration=row.finished_at - row.started_at if row.finished_at else None,
        occurrence=row.occurrence,
        seen=row.seen,
        answered=row.answered,
    )


def call_id(task: str, sequence: int) -> str:
    """The id of a call: its task and its place in it."""
    return f"{task}.{sequence}"


def plain(text: str) -> str:
    """Text that both engines can keep: PostgreSQL refuses NUL."""
    return text.replace("\x00", "�")
