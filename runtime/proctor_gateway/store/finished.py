"""Live tasks of one revision in the order in which they ended: what is watched after a promotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from proctor_gateway.rules.tasks import Phase, instant, money
from proctor_gateway.store.tables import outcomes


@dataclass(frozen=True)
class Ends:
    """Which tasks to list: of a revision, ended after one that is known and not after `until`."""

    namespace: str
    agent: str
    revision: str
    since: datetime
    after: str
    """The task that is known, of those that ended at `since`; of no task, all of them are listed."""
    until: datetime
    limit: int


def listed(connection: sa.Connection, ends: Ends) -> list[dict[str, Any]]:
    """The tasks, each with a cursor by which the next question goes on."""
    at = sa.tuple_(outcomes.c.finished_at, outcomes.c.task)
    query = (
        sa.select(outcomes)
        .where(
            outcomes.c.namespace == ends.namespace,
            outcomes.c.agent == ends.agent,
            outcomes.c.revision == ends.revision,
            outcomes.c.finished_at >= ends.since,
            outcomes.c.finished_at <= ends.until,
            sa.or_(outcomes.c.finished_at > ends.since, outcomes.c.task > ends.after),
        )
        .order_by(*at.clauses)
        .limit(ends.limit)
    )
    return [_item(row) for row in connection.execute(query).mappings()]


def cursor(finished_at: datetime, task: str) -> str:
    """Names a task and when it ended."""
    return f"{finished_at.isoformat()}|{task}"


def read_cursor(text: str) -> tuple[datetime, str]:
    """What `cursor` wrote. Raises ValueError for anything else."""
    at, separator, task = text.partition("|")
    finished_at = datetime.fromisoformat(at)
    if not separator or finished_at.tzinfo is None:
        raise ValueError("not a cursor")
    return finished_at, task


def _item(row: Mapping[Any, Any]) -> dict[str, Any]:
    is_success = bool(row[outcomes.c.phase] == Phase.SUCCEEDED)
    said: bool | None = row[outcomes.c.feedback]
    return {
        "cursor": cursor(row[outcomes.c.finished_at], row[outcomes.c.task]),
        "task": row[outcomes.c.task],
        "revision": row[outcomes.c.revision],
        "finishedAt": instant(row[outcomes.c.finished_at]),
        "phase": row[outcomes.c.phase],
        "reason": row[outcomes.c.reason],
        "seconds": row[outcomes.c.seconds],
        "cost": money(row[outcomes.c.cost]),
        "toolCalls": row[outcomes.c.tool_calls],
        "toolErrors": row[outcomes.c.tool_errors],
        "escalated": bool(row[outcomes.c.escalated]),
        "success": is_success if said is None else said,
        "quality": row[outcomes.c.quality],
        "confidence": row[outcomes.c.confidence],
    }
