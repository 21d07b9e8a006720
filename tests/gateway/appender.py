"""Appends to a record until it is killed, again and again: `python -m tests.gateway.appender URL KEYS ACKS STRIKES`.

Each life goes on with the log of the one before. What it was told is durable it writes to ACKS. It is killed with
SIGKILL: by itself before its n-th statement, for each n of a range, and then by its parent at random moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from proctor.audit.records import Draft, EventType
from proctor_gateway.record import logs
from proctor_gateway.record.keys import RecordKeys
from proctor_gateway.record.logs import Writer
from proctor_gateway.record.pending import record
from proctor_gateway.record.scribe import Scribe
from proctor_gateway.store import owners
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate

_STATEMENTS = 40
_MOST_AT_ONCE = 3
_FIRST_ACK_SECONDS = 10.0


def main() -> None:
    """Migrate once, then one life after the other."""
    url, keys, acks, strikes = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    loaded = RecordKeys.load({each.name: each.read_bytes() for each in keys.iterdir()})
    _child(lambda: asyncio.run(_migrated(url)))
    for number in range(1, _STATEMENTS):
        _child(lambda number=number: _strike_at(number, url, loaded, acks, f"s{number}"))  # type: ignore[misc]
    for number in range(strikes):
        before = acks.stat().st_size if acks.exists() else 0
        child = _fork(lambda number=number: asyncio.run(_append(url, loaded, acks, f"r{number}")))  # type: ignore[misc]
        until = time.monotonic() + _FIRST_ACK_SECONDS
        while acks.stat().st_size == before and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(random.random() * 0.03)  # noqa: S311 - a moment
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def _child(work) -> None:
    os.waitpid(_fork(work), 0)


async def _migrated(url: str) -> None:
    database = Database(url)
    async with database.running():
        await migrate(database)


def _strike_at(number: int, url: str, keys: RecordKeys, acks: Path, life: str) -> None:
    left = number

    def strike(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", strike)
    sa.event.listen(sa.Engine, "commit", strike)
    asyncio.run(_append(url, keys, acks, life))


async def _append(url: str, keys: RecordKeys, acks: Path, life: str) -> None:
    scribe = Scribe(life, keys.keyed, lambda: datetime.now(UTC))
    database = Database(url, scribe)
    # Nobody else lives: a life that was killed has no time to be missed.
    writer = Writer(life, "proctor.dev/record", keys, timedelta(0))
    now = datetime.now(UTC)

    def enter(connection: sa.Connection) -> None:
        owners.outlive(connection, life)
        entered = logs.enter(connection, writer, f"log-{life}", now)
        if entered.fault is not None:
            acks.open("a").write(f"FAULT {entered.fault}\n")
        scribe.forget()

    async with database.running():
        await database.write(enter, (logs.LOCK,))
        await asyncio.gather(*(_lane(database, writer, acks, f"{life}-{lane}") for lane in range(_MOST_AT_ONCE)))


async def _lane(database: Database, writer: Writer, acks: Path, name: str) -> None:
    log = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(1_000_000):
        draft = Draft(EventType.SUSPEND, datetime.now(UTC), {"state": {"number": number}}, f"{name}-{number:06}")
        await database.write(lambda c, draft=draft: record(c, draft))  # type: ignore[misc]
        os.write(log, f"{draft.id}\n".encode())
        if number % 7 == 0:
            now = datetime.now(UTC)
            await database.write(lambda c, now=now: logs.sign_due(c, writer, 1, now, now))  # type: ignore[misc]


if __name__ == "__main__":
    main()
