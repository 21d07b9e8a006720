"""Statements that go the short way give what they give the usual way, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from proctor_gateway.store import hot
from proctor_gateway.store.database import Database
from proctor_gateway.store.tables import accounts, signing_keys, tasks

ROW: dict[str, Any] = {
    "key": "k",
    "scope": "Agent",
    "namespace": "s",
    "subject": "ä",
    "team": "",
    "per": "Day",
    "starts_at": datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC),
    "ends_at": datetime(2026, 11, 23, 14, tzinfo=timezone(timedelta(hours=2))),
    "spent_cost": Decimal("0.000000100"),
    "held_cost": Decimal("1e-9"),
    "spent_tokens": 10**12,
    "held_tokens": 0,
    "tasks": 1,
    "refused_at": None,
    "refused_cost": None,
    "refused_tokens": None,
}
ADD = sa.insert(accounts)
READ = sa.select(accounts).where(accounts.c.key == sa.bindparam("key"))
COUNT = sa.select(sa.func.count()).select_from(accounts)
RAISE = (
    sa.update(accounts)
    .where(accounts.c.key == sa.bindparam("of_key"))
    .values(spent_tokens=accounts.c.spent_tokens + sa.bindparam("more"))
)


async def test_what_is_written_the_short_way_is_read_either_way(database: Database):
    """Times, money, text and numbers are the same values, with the same names."""

    def both(connection: sa.Connection) -> tuple[Any, Any]:
        hot.execute(connection, ADD, ROW)
        return hot.execute(connection, READ, {"key": "k"}).one(), connection.execute(READ, {"key": "k"}).one()

    short, usual = await database.write(both)
    assert tuple(short) == tuple(usual)
    assert short._fields == tuple(usual._fields)
    assert (short.subject, short.spent_cost, short.starts_at) == ("ä", Decimal("0.0000001"), ROW["starts_at"])
    assert short.ends_at == ROW["ends_at"]


async def test_changes_are_counted(database: Database):
    """One row, several at once, none."""

    def changed(connection: sa.Connection) -> list[Any]:
        hot.execute(connection, ADD, [ROW, {**ROW, "key": "l"}])
        found = [hot.execute(connection, RAISE, {"of_key": each, "more": 5}).rowcount for each in ("k", "nobody")]
        hot.execute(connection, RAISE, [{"of_key": "k", "more": 1}, {"of_key": "l", "more": 1}])
        more = [hot.execute(connection, READ, {"key": each}).one().spent_tokens - 10**12 for each in ("k", "l")]
        return [*found, *more, hot.execute(connection, COUNT, {}).scalar_one()]

    assert await database.write(changed) == [1, 0, 6, 1, 2]


async def test_no_row_is_none(database: Database):
    """As the usual way has it."""
    assert await database.write(lambda c: hot.execute(c, READ, {"key": "x"}).one_or_none()) is None
    assert list(await database.write(lambda c: list(hot.execute(c, READ, {"key": "x"})))) == []


async def test_a_look_needs_no_transaction(database: Database):
    """Reads go the short way, too."""
    await database.write(lambda c: hot.execute(c, ADD, ROW))
    assert (await database.read(lambda c: hot.execute(c, READ, {"key": "k"}).one())).team == ""


async def test_a_row_that_is_there_already_is_refused(database: Database):
    """The exception is SQLAlchemy's, and what the operation did before is taken back with it."""

    def twice(connection: sa.Connection) -> None:
        hot.execute(connection, ADD, ROW)
        hot.execute(connection, ADD, ROW)

    with pytest.raises(IntegrityError):
        await database.write(twice)
    assert await database.write(lambda c: hot.execute(c, COUNT, {}).scalar_one()) == 0


async def test_a_table_that_is_gone_is_a_store_that_is_away():
    """What SQLite cannot do is told as by SQLAlchemy, without the values."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, pytest.raises(OperationalError) as caught:
        hot.execute(
            connection, sa.select(signing_keys.c.pem).where(signing_keys.c.id == sa.bindparam("id")), {"id": "s3"}
        )
    assert "s3" not in str(caught.value)


async def test_defaults_of_python_are_not_lost(database: Database):
    """A statement that needs them goes the usual way."""
    row = {
        "id": "t",
        "namespace": "s",
        "agent": "a",
        "principal": "p",
        "body_digest": "d",
        "input": {"a": [1, None]},
        "metadata": {},
        "trace_id": "t",
        "parent_span": "p",
        "created_at": ROW["starts_at"],
        "phase": "Queued",
        "revision": "r",
        "purpose": "Live",
        **dict.fromkeys(("attempts", "losses", "sequence", "steps", "tool_calls", "input_tokens", "output_tokens"), 0),
        "live": False,
    }
    missing = {each.name for each in tasks.c if not each.nullable and each.default is None} - set(row)
    whole = {**row, **dict.fromkeys(missing, 0)}
    await database.write(lambda c: hot.execute(c, sa.insert(tasks), whole))
    found = await database.write(lambda c: c.execute(sa.select(tasks.c.counted_cost, tasks.c.input)).one())
    assert tuple(found) == (Decimal(0), {"a": [1, None]})
