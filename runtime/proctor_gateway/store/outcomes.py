"""How live tasks ended: written once when they end, overruled by those who know better, read by whoever judges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from proctor_gateway.rules.calls import CallState, Kind
from proctor_gateway.rules.tasks import Purpose
from proctor_gateway.rules.verdict import End
from proctor_gateway.store.rows import plain
from proctor_gateway.store.tables import calls, outcomes

_FAILED = (CallState.FAILED, CallState.UNKNOWN)


def record(connection: sa.Connection, row: Any, end: End, now: datetime) -> None:
    """Write down how the task in that row of `tasks` ended. A task that is not live leaves no outcome."""
    if row.purpose != Purpose.LIVE:
        return
    connection.execute(
        sa.insert(outcomes).values(
            task=row.id,
            namespace=row.namespace,
            agent=row.agent,
            revision=row.revision,
            arm=row.arm,
            deadline=row.deadline,
            phase=end.phase,
            reason=end.fault.reason if end.fault else None,
            attempts=row.attempts,
            seconds=(now - row.created_at).total_seconds(),
            steps=row.steps,
            tool_calls=row.tool_calls,
            tool_errors=_tool_errors(connection, row.id) if row.tool_calls else 0,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost=row.cost,
            escalated=bool(row.leg),
            confidence=confidence_of(end.output),
            finished_at=now,
        )
    )


def _tool_errors(connection: sa.Connection, task: str) -> int:
    query = sa.select(sa.func.count()).where(
        calls.c.task == task, calls.c.kind == Kind.TOOL, calls.c.state.in_(_FAILED)
    )
    return int(connection.execute(query).scalar_one())


def confidence_of(output: Any) -> float | None:
    """How sure the agent says it is, by the field `confidence` of its answer; None unless that is from 0 to 1."""
    said = output.get("confidence") if isinstance(output, dict) else None
    if not isinstance(said, int | float) or isinstance(said, bool) or not 0 <= said <= 1:
        return None
    return float(said)


@dataclass(frozen=True)
class Feedback:
    """What somebody who knows says of an answer. `score` is from 0 to 1."""

    success: bool
    score: float | None
    comment: str | None
    by: str
    at: datetime


def overrule(connection: sa.Connection, task: str, said: Feedback) -> bool:
    """Write the feedback to the task's outcome, in place of an earlier one. False if it has no outcome (yet)."""
    changed = connection.execute(
        sa.update(outcomes)
        .where(outcomes.c.task == task)
        .values(
            feedback=said.success,
            quality=float(said.success) if said.score is None else said.score,
            comment=None if said.comment is None else plain(said.comment),
            judged_by=said.by,
            judged_at=said.at,
        )
    )
    return bool(changed.rowcount)
