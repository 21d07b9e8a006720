"""What attempts have read, and what policies found: kept so that taint and provenance survive a restart.

A reading belongs to one attempt: an attempt that is begun again reads again what it is told from the record, in the
same order, so that a call is judged by what had been read before it, not by what came after.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor.api import digest
from proctor.policy.facts import Answered
from proctor.policy.finding import Finding
from proctor_gateway.rules.calls import CallState, Kind
from proctor_gateway.store import hot
from proctor_gateway.store.operations import Brief
from proctor_gateway.store.rows import plain
from proctor_gateway.store.tables import calls, policy_findings, tasks
from proctor_gateway.store.tables import readings as table

_LONGEST: Final = 64 << 10
"""Characters of one trusted answer that are kept; a value beyond them has no known origin, and so is asked about."""
_MOST: Final = 1_000
_TURNS: Final = 50
# The statements of the hot path are built once: to build one costs more than to run it.
_TASK: Final = sa.select(
    tasks.c.id,
    tasks.c.namespace,
    tasks.c.agent,
    tasks.c.principal,
    tasks.c.input,
    tasks.c.conversation,
    tasks.c.metadata,
    tasks.c.created_at,
).where(tasks.c.id == sa.bindparam("task"))
_OWN: Final = (
    sa.select(
        *(table.c.connector, table.c.tool, table.c.trusted, table.c.data, table.c.text),
        *(table.c.vouched, table.c.named, table.c.secluded),
    )
    .where(table.c.task == sa.bindparam("task"), table.c.attempt == sa.bindparam("attempt"))
    .limit(sa.literal_column(str(_MOST)))
)


def _adding(insert: Any) -> Any:
    """An answer that was read before is not written again."""
    statement = insert(table).values({each.name: sa.bindparam(each.name, type_=each.type) for each in table.columns})
    return statement.on_conflict_do_nothing(index_elements=["task", "attempt", "digest"])


_ADD: Final = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}


@dataclass(frozen=True)
class Asked:
    """A call of a tool that is about to be judged."""

    connector: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Read:
    """What is known of an attempt: what its caller said, what it has read, and the task as expressions see it."""

    user: str = ""
    answers: tuple[Answered, ...] = ()
    repeated: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)


def add(connection: sa.Connection, task: str, attempt: int, answer: Answered) -> None:
    """The attempt gets this answer. Told twice, it is kept once."""
    text = plain(answer.text[:_LONGEST]) if answer.trusted or answer.named else ""
    vouched = plain(answer.vouched[:_LONGEST])
    # All that it is, for an answer that is believed less than another of the same words is another answer.
    told = [answer.named, answer.secluded, vouched]
    content = [answer.connector, answer.tool, answer.trusted, sorted(answer.data), text, *told]
    values = {
        "task": task,
        "attempt": attempt,
        "digest": digest.short(content, 32),
        "connector": answer.connector,
        "tool": answer.tool,
        "trusted": answer.trusted,
        "data": sorted(answer.data),
        "named": answer.named,
        "secluded": answer.secluded,
        "vouched": vouched,
        "text": text,
    }
    hot.execute(connection, _ADD[connection.dialect.name], values)


def own_facts(task: str, attempt: int, asked: Asked | None) -> Brief[Read | None]:
    """What is known of the attempt; None if it goes on with a conversation, which takes longer to be found."""

    def found(connection: sa.Connection) -> Read | None:
        row = hot.execute(connection, _TASK, {"task": task}).one_or_none()
        if row is None:
            return Read()
        return None if row.conversation is not None else _read(connection, row, attempt, asked, [])

    return Brief(found)


def facts(connection: sa.Connection, task: str, attempt: int, asked: Asked | None) -> Read:
    """What is known of the attempt, and of the conversation that it goes on with."""
    row = hot.execute(connection, _TASK, {"task": task}).one_or_none()
    return Read() if row is None else _read(connection, row, attempt, asked, _before(connection, row))


def _read(connection: sa.Connection, row: Any, attempt: int, asked: Asked | None, before: list[Any]) -> Read:
    task = row.id
    found = _found(connection, task, attempt, [each.id for each in before])
    body = {
        "id": row.id,
        "input": row.input,
        "conversation": row.conversation,
        "metadata": row.metadata,
        "caller": row.principal,
        "attempt": attempt,
    }
    said = [_text(each.input) for each in before]
    return Read(
        "\n".join([*said, _text(row.input)]),
        tuple(_answered(each) for each in found),
        _repeated(connection, task, attempt, asked) if asked else 0,
        body,
    )


def _answered(row: Any) -> Answered:
    known = (row.connector, row.tool, row.trusted, tuple(row.data), row.text)
    return Answered(*known, vouched=row.vouched, named=row.named, secluded=row.secluded)


def _found(connection: sa.Connection, task: str, attempt: int, before: list[str]) -> Sequence[Any]:
    if not before:
        own: Sequence[Any] = hot.execute(connection, _OWN, {"task": task, "attempt": attempt}).all()
        return own
    is_own = sa.and_(table.c.task == task, table.c.attempt == attempt)
    query = sa.select(table).where(sa.or_(is_own, table.c.task.in_(before))).limit(_MOST)
    return connection.execute(query).all()


def _before(connection: sa.Connection, row: Any) -> list[Any]:
    """The tasks of the conversation so far: what was read in it may be remembered by the agent."""
    if row.conversation is None:
        return []
    query = (
        sa.select(tasks.c.id, tasks.c.input)
        .where(
            tasks.c.namespace == row.namespace,
            tasks.c.agent == row.agent,
            tasks.c.principal == row.principal,
            tasks.c.conversation == row.conversation,
            tasks.c.id != row.id,
            tasks.c.created_at <= row.created_at,
        )
        .order_by(tasks.c.created_at.desc(), tasks.c.id)
        .limit(_TURNS)
    )
    return list(reversed(connection.execute(query).all()))


def _repeated(connection: sa.Connection, task: str, attempt: int, asked: Asked) -> int:
    query = sa.select(calls.c.arguments).where(
        calls.c.task == task,
        calls.c.attempt == attempt,
        calls.c.kind == Kind.TOOL,
        calls.c.connector == asked.connector,
        calls.c.name == asked.tool,
        calls.c.state != CallState.DENIED,
    )
    wanted = digest.canonical(dict(asked.arguments))
    return sum(digest.canonical(each.arguments) == wanted for each in connection.execute(query))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def note(connection: sa.Connection, namespace: str, agent: str, findings: Iterable[Finding], now: datetime) -> None:
    """Count the findings, by day."""
    for each in findings:
        values = {
            "namespace": namespace,
            "agent": agent,
            "policy": each.policy,
            "rule": each.rule,
            "mode": each.mode if each.is_violation else "Excepted",
            "day": now.date().isoformat(),
            "count": 1,
            "severity": each.severity,
            "message": plain(each.message)[:1024],
            "last_at": now,
        }
        statement = _insert(connection, policy_findings).values(values)
        statement = statement.on_conflict_do_update(
            index_elements=["namespace", "agent", "policy", "rule", "mode", "day"],
            set_={
                "count": policy_findings.c.count + 1,
                "message": statement.excluded.message,
                "last_at": statement.excluded.last_at,
            },
        )
        connection.execute(statement)


def found(connection: sa.Connection, since: datetime, most: int) -> list[dict[str, Any]]:
    """What policies found in calls since a day, added up by agent, policy, rule and mode; the most frequent first."""
    of = policy_findings.c
    count = sa.func.sum(of.count)
    query = (
        sa.select(
            of.namespace,
            of.agent,
            of.policy,
            of.rule,
            of.mode,
            of.severity,
            sa.cast(count, sa.BigInteger).label("count"),
            sa.func.max(of.message).label("message"),
            sa.func.max(of.last_at, type_=of.last_at.type).label("last_at"),
        )
        .where(of.day >= since.date().isoformat())
        .group_by(of.namespace, of.agent, of.policy, of.rule, of.mode, of.severity)
        .order_by(count.desc(), of.namespace, of.agent, of.policy, of.rule, of.mode)
        .limit(most)
    )
    return [dict(each._mapping) for each in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def purge(connection: sa.Connection, before: datetime) -> None:
    """Forget what policies found before a day."""
    connection.execute(sa.delete(policy_findings).where(policy_findings.c.day < before.date().isoformat()))


def _insert(connection: sa.Connection, of: sa.Table) -> Any:
    return postgresql.insert(of) if connection.dialect.name == "postgresql" else sqlite.insert(of)
