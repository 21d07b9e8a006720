"""The journal of a task: what an attempt that is begun again is told instead of asking again.

A call is recognised by the digest of what it asks and by how often the same attempt has asked the same before, never by
its place in a sequence: calls that are made at the same time come in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor.api.connector import Effect
from proctor_gateway.rules.calls import Call, CallState, Intent, Kind
from proctor_gateway.store import hot
from proctor_gateway.store.rows import to_call
from proctor_gateway.store.tables import answers, calls

# The statements of the hot path are built once: to build one costs more than to run it.
_RECALL: Final = (
    sa.select(calls)
    .where(
        calls.c.task == sa.bindparam("task"),
        calls.c.digest == sa.bindparam("digest"),
        calls.c.seen < sa.bindparam("attempt"),
        calls.c.void.is_(False),
    )
    .order_by(calls.c.occurrence)
    .limit(1)
)
_EQUAL: Final = sa.select(sa.func.count()).where(
    calls.c.task == sa.bindparam("task"), calls.c.digest == sa.bindparam("digest"), calls.c.void.is_(False)
)
_SEE: Final = (
    sa.update(calls)
    .where(calls.c.task == sa.bindparam("of_task"), calls.c.sequence == sa.bindparam("of_sequence"))
    .values(seen=sa.bindparam("by_attempt"))
)
_ANSWER: Final = sa.select(answers.c.body).where(
    answers.c.task == sa.bindparam("task"), answers.c.sequence == sa.bindparam("sequence")
)


def _keeping(insert: Any) -> Any:
    """A late answer takes the place of the one before."""
    statement = insert(answers).values({name: sa.bindparam(name) for name in ("task", "sequence", "body")})
    return statement.on_conflict_do_update(index_elements=["task", "sequence"], set_={"body": statement.excluded.body})


_KEEP: Final = {"sqlite": _keeping(sqlite.insert), "postgresql": _keeping(postgresql.insert)}


def recall(connection: sa.Connection, intent: Intent) -> Call | None:
    """The first equal call of an earlier attempt that this attempt has not asked yet."""
    asked = {"task": intent.task, "digest": intent.content, "attempt": intent.attempt}
    row = connection.execute(_RECALL, asked).one_or_none()
    return None if row is None else to_call(row)


def occurrence(connection: sa.Connection, intent: Intent) -> int:
    """How many equal calls there are: the place of the next one among them."""
    return int(hot.execute(connection, _EQUAL, {"task": intent.task, "digest": intent.content}).scalar_one())


def see(connection: sa.Connection, task: str, sequence: int, attempt: int) -> None:
    """The attempt has asked this call."""
    connection.execute(_SEE, {"of_task": task, "of_sequence": sequence, "by_attempt": attempt})


def answer(connection: sa.Connection, task: str, sequence: int) -> bytes | None:
    """What was answered, whole."""
    found: bytes | None = connection.execute(_ANSWER, {"task": task, "sequence": sequence}).scalar_one_or_none()
    return found


def keep(connection: sa.Connection, kept: Mapping[tuple[str, int], bytes]) -> None:
    """Keep what was answered, by task and sequence."""
    rows = [{"task": task, "sequence": sequence, "body": body} for (task, sequence), body in kept.items()]
    hot.execute(connection, _KEEP[connection.dialect.name], rows)


def unasked(connection: sa.Connection, task: str, attempt: int) -> Sequence[Call]:
    """The calls that an attempt which does the same again is going to ask, and has not yet.

    An attempt that asks something new before has either several calls under way, or goes another way.
    """
    rows = connection.execute(
        sa.select(calls)
        .where(calls.c.task == task, calls.c.seen < attempt, calls.c.void.is_(False))
        .order_by(calls.c.sequence)
    )
    found = [to_call(row) for row in rows]
    return [call for call in found if call.answered or call.may_have_changed_something]


def void(connection: sa.Connection, task: str, attempt: int) -> None:
    """The attempt goes another way: what it has not asked is answered to nobody any more. Effects stay."""
    connection.execute(
        sa.update(calls).where(calls.c.task == task, calls.c.seen < attempt, _harmless()).values(void=True)
    )


def forget_failures(connection: sa.Connection, task: str) -> None:
    """Another model is to be asked: what the first one failed to answer is asked again."""
    connection.execute(
        sa.update(calls)
        .where(calls.c.task == task, calls.c.kind == Kind.MODEL, calls.c.state != CallState.SUCCEEDED)
        .values(answered=False)
    )


def _harmless() -> Any:
    idle = calls.c.state.in_((CallState.DENIED, CallState.WAITING))
    return sa.or_(calls.c.effect == Effect.READ, idle, calls.c.touched.is_(False))
