"""What came of trials, run by run, as the operator reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from proctor_gateway.rules.calls import Kind
from proctor_gateway.rules.tasks import Phase, Purpose, money
from proctor_gateway.store.outcomes import confidence_of
from proctor_gateway.store.tables import calls, tasks, trials

_AT_ONCE = 500


def report(connection: sa.Connection, batch: Any) -> dict[str, Any]:
    """The batch and each of its runs so far. A copy of a live task is reported beside its original."""
    query = (
        sa.select(trials)
        .where(trials.c.namespace == batch.namespace, trials.c.agent == batch.agent, trials.c.batch == batch.batch)
        .order_by(trials.c.position)
    )
    runs = list(connection.execute(query))
    is_mirror = batch.purpose == Purpose.MIRROR
    wanted = [run.task for run in runs if run.task] + [run.original for run in runs if is_mirror and run.original]
    rows, made = _tasks(connection, wanted), _calls(connection, wanted)
    items = [_item(run, rows.get(run.task), made[run.task]) for run in runs]
    if is_mirror:
        items += [_original(run, rows[run.original], made[run.original]) for run in runs if run.original in rows]
    return {"batch": batch.batch, "purpose": batch.purpose, "done": batch.done, "items": items}


def _item(run: Any, row: Any | None, made: Sequence[Any]) -> dict[str, Any]:
    told = _told(run.key, run.revision, row, made)
    told |= {"task": run.task, "unanswered": run.unanswered, "original": run.original}
    if run.reason is not None:
        # A run that could not be done as it was meant says nothing, whatever its task made of it.
        told |= {"phase": Phase.FAILED, "reason": run.reason}
    return told


def _original(run: Any, row: Any, made: Sequence[Any]) -> dict[str, Any]:
    return _told(run.key, row.revision, row, made) | {"task": row.id, "unanswered": 0, "original": row.id}


def _told(key: str, revision: str, row: Any | None, made: Sequence[Any]) -> dict[str, Any]:
    over = row is not None and row.finished_at is not None
    seconds = (row.finished_at - row.started_at).total_seconds() if row and over and row.started_at else None
    return {
        "key": key,
        "revision": revision,
        "phase": row.phase if row else Phase.QUEUED,
        "reason": row.reason if row else None,
        "output": row.output if row else None,
        "confidence": confidence_of(row.output) if row else None,
        "seconds": seconds,
        "cost": money(row.cost) if row else None,
        "tokens": row.input_tokens + row.output_tokens if row else 0,
        "calls": [
            {"connector": each.connector, "name": each.name, "arguments": each.arguments, "state": each.state}
            for each in made
        ],
    }


def _tasks(connection: sa.Connection, wanted: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        query = sa.select(tasks).where(tasks.c.id.in_(wanted[at : at + _AT_ONCE]))
        found |= {row.id: row for row in connection.execute(query)}
    return found


def _calls(connection: sa.Connection, wanted: Sequence[str]) -> defaultdict[str | None, list[Any]]:
    found: defaultdict[str | None, list[Any]] = defaultdict(list)
    for at in range(0, len(wanted), _AT_ONCE):
        query = (
            sa.select(calls.c.task, calls.c.connector, calls.c.name, calls.c.arguments, calls.c.state)
            .where(calls.c.task.in_(wanted[at : at + _AT_ONCE]), calls.c.kind == Kind.TOOL)
            .order_by(calls.c.task, calls.c.sequence)
        )
        for row in connection.execute(query):
            found[row.task].append(row)
    return found
