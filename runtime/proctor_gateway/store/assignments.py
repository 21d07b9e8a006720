"""Tasks that begin during an upgrade: bound to a revision together with the record of how that was drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor_gateway.rules.arms import Arm, Beginning, Draw, Stay
from proctor_gateway.rules.tasks import OPEN, Phase, Purpose, Running, Task, instant, money
from proctor_gateway.store import lifecycle, owners
from proctor_gateway.store.tables import assignments, conversations, counters, instances, outcomes, tasks

LOCK: Final = "assignments"
_COUNTER: Final = "assignments"
_NEXT: Final = {
    name: dialect.insert(counters)
    .values(name=_COUNTER, value=1)
    .on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    .returning(counters.c.value)
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


@dataclass(frozen=True)
class Binding:
    """A task that is to begin, on a revision that was drawn for it."""

    task: Task
    owner: str
    beginning: Beginning
    draw: Draw
    timeout: timedelta
    now: datetime
    silent: timedelta
    """An instance that was silent for so long counts as gone, and may not draw."""
    is_current: Callable[[], bool]
    """Whether the upgrade is still the one that was drawn by. Asked inside the transaction."""


@dataclass(frozen=True)
class Stale:
    """What was drawn by does not hold any more: draw again."""


def bind(connection: sa.Connection, binding: Binding) -> Task | Stay | Stale | None:
    """Begin the task's first attempt on the drawn revision, and record the draw.

    Stay: the conversation began elsewhere, so the task belongs there. None: as `lifecycle.dispatch`. To be run under
    LOCK, which is taken before anything else and held until the commit: so numbers are committed in their order, and
    nobody waits for the counter while holding what another one waits for.
    """
    number = int(connection.execute(_NEXT[connection.dialect.name]).scalar_one())
    if not binding.is_current() or not _may_draw(connection, binding):
        return Stale()
    request, draw = binding.task.request, binding.draw
    # Who chose a revision for one task did not choose it for the conversation, and is not held to its arm.
    conversation = None if request.pinned else request.conversation
    stay = None if conversation is None else _stay(connection, binding, conversation)
    if stay is not None and draw.split.weight and draw.arm is not stay.arm and not _leaves(draw, stay):
        return stay
    begun = lifecycle.dispatch(
        connection, binding.task, binding.owner, binding.beginning.revision, binding.timeout, binding.now, draw.arm
    )
    if begun is None:
        return None
    connection.execute(sa.insert(assignments).values(_row(number, binding, begun, stay)))
    if stay is None and conversation is not None and draw.split.weight:
        _begin_conversation(connection, binding, conversation)
    return begun


def _may_draw(connection: sa.Connection, binding: Binding) -> bool:
    """Whether this instance counts as one that lives: the operator asks only those which weight they draw by."""
    if binding.draw.arm is not Arm.CANDIDATE:
        return True
    since = owners.database_time(connection, binding.now) - binding.silent
    query = sa.select(sa.func.count()).where(instances.c.id == binding.owner, instances.c.seen_at >= since)
    return bool(connection.execute(query).scalar_one())


def _leaves(draw: Draw, stay: Stay) -> bool:
    """Whether the conversation was already known to be on the candidate, which takes none now."""
    return draw.arm is None and stay.arm is Arm.CANDIDATE


def _stay(connection: sa.Connection, binding: Binding, conversation: str) -> Stay | None:
    key = _key(binding, conversation)
    query = sa.select(conversations).where(*(conversations.c[name] == value for name, value in key.items()))
    row = connection.execute(query).one_or_none()
    return Stay(row.rollout, Arm(row.arm) if row.arm else None, row.propensity) if row else None


def _begin_conversation(connection: sa.Connection, binding: Binding, conversation: str) -> None:
    draw = binding.draw
    values = {"arm": draw.arm, "propensity": draw.propensity, "began_at": binding.now}
    connection.execute(sa.insert(conversations).values(**_key(binding, conversation), **values))


def _key(binding: Binding, conversation: str) -> dict[str, str]:
    request = binding.task.request
    return {
        "namespace": request.namespace,
        "agent": request.agent,
        "rollout": binding.draw.split.rollout,
        "conversation": hashlib.sha256(conversation.encode()).hexdigest(),
    }


def _row(number: int, binding: Binding, begun: Task, stay: Stay | None) -> dict[str, Any]:
    request, draw = binding.task.request, binding.draw
    return {
        "assignment": number,
        "task": request.id,
        "namespace": request.namespace,
        "agent": request.agent,
        "rollout": draw.split.rollout,
        "revision": binding.beginning.revision,
        "weight": draw.split.weight,
        "arm": draw.arm,
        "propensity": draw.propensity if stay is None else stay.propensity,
        "conversation": request.conversation is not None,
        "counts": draw.arm is not None and stay is None,
        "assigned_at": binding.now,
        "deadline": begun.state.deadline if isinstance(begun.state, Running) else binding.now,
    }


@dataclass(frozen=True)
class Feed:
    """Which draws to list: of one upgrade, after a number."""

    namespace: str
    agent: str
    rollout: str
    after: int
    limit: int


def listed(connection: sa.Connection, feed: Feed) -> list[dict[str, Any]]:
    """The draws that count, in their order, each with what became of it so far."""
    query = (
        sa.select(assignments, outcomes, assignments.c.task.label("id"), tasks.c.phase.label("now"), tasks.c.deadline)
        .outerjoin(outcomes, outcomes.c.task == assignments.c.task)
        .outerjoin(tasks, tasks.c.id == assignments.c.task)
        .where(
            assignments.c.namespace == feed.namespace,
            assignments.c.agent == feed.agent,
            assignments.c.rollout == feed.rollout,
            assignments.c.assignment > feed.after,
            assignments.c.counts,
        )
        .order_by(assignments.c.assignment)
        .limit(feed.limit)
    )
    return [_item(row) for row in connection.execute(query).mappings()]


def _item(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "assignment": row[assignments.c.assignment],
        "task": row["id"],
        "revision": row[assignments.c.revision],
        "arm": row[assignments.c.arm],
        "propensity": row[assignments.c.propensity],
        "assignedAt": instant(row[assignments.c.assigned_at]),
        "deadline": instant(_deadline(row)),
        "finishedAt": instant(row[outcomes.c.finished_at]),
        "phase": row[outcomes.c.phase] or row["now"] or Phase.RUNNING,
        "reason": row[outcomes.c.reason],
        "seconds": row[outcomes.c.seconds],
        "cost": money(row[outcomes.c.cost]),
        "toolCalls": row[outcomes.c.tool_calls] or 0,
        "toolErrors": row[outcomes.c.tool_errors] or 0,
        "escalated": bool(row[outcomes.c.escalated]),
        "success": _success(row),
        "quality": row[outcomes.c.quality],
        "confidence": row[outcomes.c.confidence],
        "conversation": row[assignments.c.conversation],
    }


def _deadline(row: Mapping[Any, Any]) -> datetime | None:
    """When the task's time is over, which moves on while it waits for people; None while it does."""
    if row["now"] == Phase.INPUT_REQUIRED:
        return None
    found: datetime = row[tasks.c.deadline] or row[assignments.c.deadline]
    return found


def _success(row: Mapping[Any, Any]) -> bool | None:
    if row[outcomes.c.phase] is None:
        return None
    said: bool | None = row[outcomes.c.feedback]
    return bool(row[outcomes.c.phase] == Phase.SUCCEEDED) if said is None else said


def begun(connection: sa.Connection, namespace: str, agent: str, rollout: str) -> dict[str, int]:
    """How many live tasks each revision began under the upgrade, with and without a draw."""
    query = (
        sa.select(assignments.c.revision, sa.func.count())
        .where(assignments.c.namespace == namespace, assignments.c.agent == agent, assignments.c.rollout == rollout)
        .group_by(assignments.c.revision)
    )
    return {revision: int(count) for revision, count in connection.execute(query)}


def in_flight(connection: sa.Connection, namespace: str, agent: str) -> dict[str, int]:
    """How many live tasks each revision has begun and not ended."""
    query = (
        sa.select(tasks.c.revision, sa.func.count())
        .where(
            tasks.c.namespace == namespace,
            tasks.c.agent == agent,
            tasks.c.phase.in_(OPEN),
            tasks.c.attempts > 0,
            tasks.c.purpose == Purpose.LIVE,
        )
        .group_by(tasks.c.revision)
    )
    return {revision: int(count) for revision, count in connection.execute(query)}


def tell_seen(connection: sa.Connection, instance: str, seen: Mapping[str, Sequence[Any]]) -> None:
    """Say by which upgrades and weights the instance draws from now on."""
    connection.execute(sa.update(instances).where(instances.c.id == instance).values(seen=dict(seen)))


def all_seen(connection: sa.Connection, silent: timedelta, now: datetime) -> list[Mapping[str, Any] | None]:
    """What each live instance said last; None from one that has not said anything yet."""
    since = owners.database_time(connection, now) - silent
    return [row.seen for row in connection.execute(sa.select(instances.c.seen).where(instances.c.seen_at >= since))]


def purge(connection: sa.Connection, before: datetime, limit: int = 500) -> int:
    """Delete draws of before that time, at most `limit` of a kind at once. How many were deleted."""
    old = sa.select(assignments.c.assignment).where(assignments.c.assigned_at < before).limit(limit)
    gone = connection.execute(sa.delete(assignments).where(assignments.c.assignment.in_(old))).rowcount
    return gone + connection.execute(sa.delete(conversations).where(conversations.c.began_at < before)).rowcount
