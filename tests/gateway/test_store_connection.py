"""Connections to PostgreSQL that break off: what nobody notices, and what is said of it where somebody must."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proctor_gateway.driving.invoke import judge_answer
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.verdict import Lost
from proctor_gateway.store import owners
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from proctor_gateway.store.tables import counters, tasks
from tests.bench.kills.proxy import Proxy
from tests.gateway.postgres import Server
from tests.gateway.test_store import T0, accepted, dispatched


@pytest.fixture
def url(postgres: Server) -> str:
    """The URL of an empty database, without a proxy."""
    return postgres.database()


@pytest.fixture
async def way(postgres: Server, tmp_path: Path, url: str) -> AsyncIterator[tuple[Proxy, Database]]:
    """A database that answers within two seconds, and the way to it that can be cut."""
    proxy = Proxy(postgres.directory, tmp_path)
    async with proxy.running():
        database = Database(f"{url.partition('?')[0]}?host={tmp_path}", silence=2)
        async with database.running():
            await migrate(database)
            yield proxy, database


def count(connection: sa.Connection) -> int:
    """One more."""
    found = connection.execute(sa.select(counters.c.value).where(counters.c.name == "n")).scalar()
    if found is None:
        connection.execute(sa.insert(counters).values(name="n", value=1))
    else:
        connection.execute(sa.update(counters).where(counters.c.name == "n").values(value=found + 1))
    return (found or 0) + 1


async def test_a_connection_that_broke_off_is_not_noticed(way: tuple[Proxy, Database]):
    """Idle or in the middle of a transaction: what was not committed is done once more, by another connection."""
    proxy, database = way
    assert await database.write(count) == 1
    proxy.cut()
    assert await database.write(count) == 2
    cuts = iter([proxy.cut])

    def interrupted(connection: sa.Connection) -> int:
        found = count(connection)
        for cut in cuts:
            cut()
        connection.execute(sa.select(sa.func.pg_sleep(0.05)))
        return found

    assert await database.write(interrupted) == 3
    assert await database.read(lambda c: c.execute(sa.select(counters.c.value)).scalars().all()) == [3]


async def test_a_read_that_broke_off_is_read_again(way: tuple[Proxy, Database]):
    """It has changed nothing."""
    proxy, database = way
    cuts = iter([proxy.cut])

    def interrupted(connection: sa.Connection) -> Any:
        for cut in cuts:
            cut()
        return connection.execute(sa.select(sa.func.count()).select_from(counters)).scalar_one()

    await database.read(lambda c: c.execute(sa.select(1)))
    assert await database.read(interrupted) >= 0


async def test_a_commit_that_is_not_answered_is_not_repeated(way: tuple[Proxy, Database]):
    """Nobody knows whether it was done, and the one who asked is told so: here it was."""
    proxy, database = way
    await database.write(count)
    proxy.lost = lambda: None
    with pytest.raises(StoreAway):
        await database.write(count)
    assert await database.read(lambda c: c.execute(sa.select(counters.c.value)).scalars().all()) == [2]


async def test_a_connection_that_says_nothing_is_given_up(way: tuple[Proxy, Database]):
    """No packet comes and none is refused: within seconds the caller is told, and another connection serves."""
    proxy, database = way
    await database.write(count)
    proxy.silence()
    began = time.monotonic()
    with pytest.raises(StoreAway):
        await database.read(lambda c: c.execute(sa.select(counters.c.value)).scalars().all())
    assert time.monotonic() - began < 10
    assert await asyncio.wait_for(database.write(count), 10) == 2


async def test_who_vanished_in_a_transaction_holds_nothing_up(way: tuple[Proxy, Database], url: str):
    """A machine that loses its power closes nothing: what it had locked is free within seconds all the same."""
    proxy, database = way
    await database.write(count)
    other, locked = Database(url), asyncio.Event()

    def vanish(connection: sa.Connection) -> None:
        count(connection)
        proxy.silence()
        locked.set()
        connection.execute(sa.select(1))

    async with other.running():
        vanishing = asyncio.create_task(database.write(vanish))
        await locked.wait()
        assert await asyncio.wait_for(other.write(count), 10) == 2
        with pytest.raises(StoreAway):
            await vanishing


async def test_who_stood_still_in_a_transaction_does_it_again(way: tuple[Proxy, Database]):
    """The server let go of what it had locked meanwhile; nothing of it was committed, and it is not noticed."""
    _, database = way
    await database.write(count)
    pauses = iter([3])

    def slow(connection: sa.Connection) -> int:
        found = count(connection)
        for seconds in pauses:
            time.sleep(seconds)
        connection.execute(sa.select(1))
        return found

    assert await database.write(slow) == 2
    assert await database.read(lambda c: c.execute(sa.select(counters.c.value)).scalars().all()) == [2]


async def test_a_task_that_is_being_written_is_not_waited_for(postgres: Server):
    """A round of orphans takes what is free, so that two gateways never wait for each other's rows."""
    url = postgres.database()
    one, two = Database(url), Database(url)
    async with one.running(), two.running():
        await migrate(one)
        held, free = [await dispatched(one, await accepted(one, number)) for number in (1, 2)]
        locked, done = asyncio.Event(), asyncio.Event()

        def hold(connection: sa.Connection) -> None:
            row = sa.select(tasks.c.id).where(tasks.c.id == held.request.id).with_for_update()
            connection.execute(row).one()
            locked.set()
            connection.execute(sa.select(sa.func.pg_sleep(1.5)))
            done.set()

        holding = asyncio.create_task(one.write(hold))
        await locked.wait()
        taken = await two.write(lambda c: owners.adopt(c, "two", timedelta(seconds=7), T0))
        assert ([each.request.id for each in taken], done.is_set()) == ([free.request.id], False)
        await holding
        taken = await two.write(lambda c: owners.adopt(c, "two", timedelta(seconds=7), T0))
        assert [each.request.id for each in taken] == [held.request.id]


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.STORE_UNAVAILABLE])
def test_an_attempt_that_could_not_write_down_its_call_is_repeated(reason: Reason):
    """The call was not made: nothing speaks against asking it again when the store is back."""
    body = json.dumps({"reason": reason, "detail": "the call cannot be written down"}).encode()
    assert isinstance(judge_answer(503, body, None, []), Lost)
