"""When a record cannot be written, nothing is done that would have to be recorded, unless that is set otherwise."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from proctor.audit.canonical import NotCanonical
from proctor.audit.records import Draft, EventType, Record
from proctor_gateway.record import logs, reading
from proctor_gateway.record.keys import CHECKPOINT_KEY, BadKeys, RecordKeys, generated, obtain
from proctor_gateway.record.logs import Writer
from proctor_gateway.record.pending import record
from proctor_gateway.record.scribe import Scribe
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store import owners
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from proctor_gateway.store.tables import counters, record_logs
from tests.gateway.house import cluster_of_tests, house
from tests.gateway.odd_system import HABITS, OddSystem
from tests.gateway.serving import eventually

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYS = RecordKeys.load(generated())
SILENT = timedelta(seconds=10)


def writer(holder: str = "one", keys: RecordKeys = KEYS) -> Writer:
    """Who writes."""
    return Writer(holder, "proctor.dev/record", keys, SILENT)


def scribe_of(holder: str = "one", *, degrade: bool = False) -> Scribe:
    """What writes for it."""
    return Scribe(holder, KEYS.keyed, lambda: T0, degrade=degrade)


def effect(name: str = "effect"):
    """An operation that does something and tells of it."""

    def run(connection: sa.Connection) -> None:
        connection.execute(sa.insert(counters).values(name=name, value=1))
        record(connection, Draft(EventType.SUSPEND, T0, {"state": {"name": name}}, f"{name}-{name}"))

    return run


async def done(database: Database) -> set[str]:
    """What was done."""
    return await database.read(lambda c: {row.name for row in c.execute(sa.select(counters))})


async def told(database: Database) -> list[Record]:
    """What was recorded."""
    found = await database.read(reading.logs)
    lines = [line for log in found for line in await database.read(lambda c: reading.lines(c, log.id, 0, 1000))]  # noqa: B023
    return [Record.parse(line) for line in lines]


async def entered(database: Database, scribe: Scribe, who: Writer, fresh: str = "log-1", now: datetime = T0):
    """The instance lives and holds a log."""

    def enter(connection: sa.Connection):
        owners.beat(connection, who.holder, now)
        scribe.forget()
        return logs.enter(connection, who, fresh, now)

    return await database.write(enter, (logs.LOCK,))


async def test_without_a_log_nothing_is_done(store: str):
    """What could not be recorded is not committed, on either engine; it raises what an absent store raises."""
    scribe = scribe_of()
    database = Database(store, scribe)
    async with database.running():
        await migrate(database)
        with pytest.raises(StoreAway):
            await database.write(effect())
        assert await done(database) == set()
        await entered(database, scribe, writer())
        await database.write(effect())
        assert await done(database) == {"effect"}


async def test_degraded_it_is_done_and_counted(store: str):
    """Where that is set; the number is the first thing recorded when it can be again."""
    scribe = scribe_of(degrade=True)
    database = Database(store, scribe)
    async with database.running():
        await migrate(database)
        for name in ("a", "b"):
            await database.write(effect(name))
        assert (await done(database), scribe.dropped) == ({"a", "b"}, 2)
        await entered(database, scribe, writer())
        await database.write(effect("c"))
        assert [each.type for each in await told(database)] == ["log.open", "log.degraded", "suspend"]
        assert (await told(database))[1].fields["dropped"] == 2


async def test_a_gateway_that_was_thought_dead_writes_nothing_more(store: str):
    """Its log is another's by then: of what it still tries, nothing is committed."""
    one, two = scribe_of("one"), scribe_of("two")
    first, second = Database(store, one), Database(store, two)
    async with first.running(), second.running():
        await migrate(first)
        await entered(first, one, writer("one"))
        await first.write(effect("a"))
        await first.write(lambda c: c.execute(sa.text("DELETE FROM instances")))
        found = await entered(second, two, writer("two"), "log-2")
        assert (found.log, found.recovered) == ("log-1", 2)
        with pytest.raises(StoreAway):
            await first.write(effect("late"))
        await second.write(effect("b"))
        assert await done(second) == {"a", "b"}


async def test_two_gateways_write_a_log_each(store: str):
    """One writer for one log; one that is left by a gateway that is gone is closed in time."""
    if store.startswith("sqlite"):
        pytest.skip("a SQLite file has one gateway")
    one, two = scribe_of("one"), scribe_of("two")
    first, second = Database(store, one), Database(store, two)
    async with first.running(), second.running():
        await migrate(first)
        now = datetime.now(UTC)
        await entered(first, one, writer("one"), "log-1", now)
        await entered(second, two, writer("two"), "log-2", now)
        await first.write(effect("a"))
        await second.write(effect("b"))
        assert sorted((each.place.log, each.type) for each in await told(first)) == [
            ("log-1", "log.open"),
            ("log-1", "suspend"),
            ("log-2", "log.open"),
            ("log-2", "suspend"),
        ]
        await second.write(lambda c: c.execute(sa.text("DELETE FROM instances WHERE id = 'one'")))
        closed = await second.write(lambda c: logs.close_orphans(c, writer("two"), now), (logs.LOCK,))
        assert list(closed) == ["log-1"]
        assert [(each.id, each.state) for each in await first.read(reading.logs)] == [
            ("log-1", "Closed"),
            ("log-2", "Open"),
        ]


async def test_what_is_taken_back_is_not_recorded(store: str):
    """Of operations that share a commit, one that fails takes its own record back, and no other's."""
    scribe = scribe_of()
    database = Database(store, scribe)

    def fails(connection: sa.Connection) -> None:
        effect("broken")(connection)
        raise ValueError("a bug")

    async with database.running():
        await migrate(database)
        await entered(database, scribe, writer())
        answers = await asyncio.gather(
            *(database.write(each) for each in (effect("a"), fails, effect("b"))), return_exceptions=True
        )
        assert [type(each) for each in answers] == [type(None), ValueError, type(None)]
        names = [each.fields["state"]["name"] for each in await told(database) if each.type == "suspend"]
        assert names == ["a", "b"]


async def test_what_can_never_be_recorded_is_not_done(store: str):
    """A float in a record is a bug of whoever tells it, and takes back that operation alone."""
    scribe = scribe_of()
    database = Database(store, scribe)

    def wrong(connection: sa.Connection) -> None:
        connection.execute(sa.insert(counters).values(name="wrong", value=1))
        record(connection, Draft(EventType.SUSPEND, T0, {"state": {"rate": 0.5}}))

    async with database.running():
        await migrate(database)
        await entered(database, scribe, writer())
        with pytest.raises(NotCanonical):
            await database.write(wrong)
        assert await done(database) == set()


async def test_another_key_begins_another_log(store: str):
    """The old log ends where its own key has signed it, and the new one names that: a log never changes its key."""
    scribe, other = scribe_of(), RecordKeys.load(generated())
    database = Database(store, scribe)
    async with database.running():
        await migrate(database)
        await entered(database, scribe, writer())
        await database.write(lambda c: logs.sign_due(c, writer(), 1, T0, T0))
        await database.write(effect("unsigned"))
        await database.write(lambda c: logs.leave(c, "one"))
        found = await entered(database, scribe, writer(keys=other), "log-2")
        assert found.fault == "the key is another one"
        records = await told(database)
        assert [(each.place.log, each.type) for each in records] == [
            ("log-1", "log.open"),
            ("log-1", "suspend"),
            ("log-2", "log.open"),
        ]
        assert records[-1].fields["previous"]["size"] == 1
        await database.write(lambda c: logs.sign_due(c, writer(keys=other), 1, T0, T0))
        states = {each.id: (each.state, each.signed) for each in await database.read(reading.logs)}
        assert states == {"log-1": ("Closed", 1), "log-2": ("Open", 1)}


async def test_a_full_disk_stops_calls(directory):
    """What is sent is recorded; what does not fit on the disk any more is not sent."""
    is_full = False

    def bound(connection: sa.Connection) -> None:
        # SQLite's own limit: it cannot be less than what is there, and what needs more fails as on a full disk.
        pages = 1 if is_full else 1 << 30
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    steps = [{"call": ["odd", "works", {"number": number, "text": "x" * 3000}]} for number in range(200)]
    sa.event.listen(sa.Engine, "begin", bound)
    try:
        async with OddSystem().serving() as system, house(directory) as built:
            built.connect("odd", "MCP", system.url)
            built.declare(
                tools=[{"connector": "odd", "allow": list(HABITS)}], limits={"timeout": "5s", "maxSteps": 300}
            )
            await built.settled()
            async with built.pod("one"):
                await built.task(*steps)
                await eventually(lambda: system.times("works") >= 5)
                is_full = True
                await asyncio.sleep(2)
                sent = system.times("works")
                store = Database(built.settings.store.get_secret_value())
                async with store.running():
                    asked = [each for each in await told(store) if each.type == "tool.request"]
                is_full = False
                # What still fits is recorded and sent; each call that does not fit is refused.
                assert sent <= len(asked) < len(steps)
    finally:
        is_full = False
        sa.event.remove(sa.Engine, "begin", bound)


async def test_keys_are_made_once_in_an_empty_secret(tmp_path):
    """Two gateways that start together have the same; what is mounted comes first, and needs no API server."""
    cluster = cluster_of_tests()
    cluster.secrets["proctor-system", "proctor-record-key"] = {}
    one, two = [await obtain(cluster, tmp_path / "nothing", "proctor-record-key") for _ in range(2)]
    assert one.keyed("x") == two.keyed("x")
    for name, content in cluster.secrets["proctor-system", "proctor-record-key"].items():
        (tmp_path / name).write_bytes(content)
    cluster.away = True
    assert (await obtain(cluster, tmp_path, "proctor-record-key")).keyed("x") == one.keyed("x")


@pytest.mark.parametrize("entry", sorted(generated()))
def test_what_is_no_key_is_refused_by_name(entry: str):
    """The message names the entry, and shows nothing of it."""
    for broken in ({k: v for k, v in generated().items() if k != entry}, {**generated(), entry: b"hunter2"}):
        with pytest.raises(BadKeys, match=entry) as caught:
            RecordKeys.load(broken)
        assert "hunter2" not in str(caught.value)
    assert repr(KEYS) == "RecordKeys()"
    assert CHECKPOINT_KEY in generated()


async def test_a_closed_log_is_thrown_away_after_its_time(store: str):
    """As a whole, and not before."""
    from proctor_gateway.record import retention

    scribe = scribe_of()
    database = Database(store, scribe)
    async with database.running():
        await migrate(database)
        await entered(database, scribe, writer())
        await database.write(effect("a"))

        def rotated(connection: sa.Connection) -> None:
            logs.rotate(connection, writer(), "log-2", T0)
            scribe.forget()

        await database.write(rotated, (logs.LOCK,))
        assert not await database.write(lambda c: retention.purge(c, T0 - timedelta(days=190), 100))
        assert await database.write(lambda c: retention.purge(c, T0 + timedelta(seconds=1), 100))
        assert [each.id for each in await database.read(reading.logs)] == ["log-2"]
        assert await database.read(lambda c: c.execute(sa.select(record_logs.c.id)).scalars().all()) == ["log-2"]
