"""What the record costs: `python -m tests.bench.record`. Prints a table, with the disk's own limit measured beside it.

Each row appends records in groups of that size, each group one transaction with one small write of its own, with and
without the record. The difference, for one record, is what the record adds to a call.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from proctor.audit.archive import files_of
from proctor.audit.merkle import Frontier, leaf_hash
from proctor.audit.notes import Checkpoint, Signer
from proctor.audit.records import NO_RECORD, Draft, EventType, Place, line
from proctor.audit.verifier import verify
from proctor_gateway.record import logs, reading
from proctor_gateway.record.keys import RecordKeys, generated
from proctor_gateway.record.logs import Writer
from proctor_gateway.record.pending import record
from proctor_gateway.record.scribe import Scribe
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from proctor_gateway.store.tables import counters

_SECONDS = 3.0
_KEYS = RecordKeys.load(generated())


def draft() -> Draft:
    """A record as a tool call makes it."""
    fields = {
        "agent": {"namespace": "support", "name": "refunds", "revision": "c26d270173"},
        "run": {"id": "01a2054b-6782-7186-a5b5-dbb65e18192f", "attempt": 1, "trace": "a" * 32},
        "principal": {"sub": "system:serviceaccount:shop:web"},
        "subject": "hmac-sha256:" + "b" * 64,
        "tool": {"server": "crm", "name": "get_customer", "effect": "Read", "args_hmac": "hmac-sha256:" + "c" * 64},
        "call": {"id": "01a2054b-6782-7186-a5b5-dbb65e18192f.1", "state": "Started"},
    }
    return Draft(EventType.TOOL_REQUEST, datetime.now(UTC), fields)


def micros(work: Callable[[], object], seconds: float = 0.5) -> float:
    """Microseconds that the work takes."""
    count, until, began = 0, time.perf_counter() + seconds, time.perf_counter()
    while time.perf_counter() < until:
        work()
        count += 1
    return (time.perf_counter() - began) / count * 1e6


async def groups(directory: Path, size: int, *, recorded: bool) -> float:
    """Microseconds for each of `size` operations that share a commit."""
    scribe = Scribe("bench", _KEYS.keyed, lambda: datetime.now(UTC))
    database = Database(f"sqlite:///{directory}/{size}-{recorded}.db", scribe)
    writer = Writer("bench", "proctor.dev/record", _KEYS, timedelta(seconds=10))

    def operation(connection: sa.Connection) -> None:
        connection.execute(sa.update(counters).values(value=counters.c.value + 1))
        if recorded:
            record(connection, draft())

    async with database.running():
        await migrate(database)
        now = datetime.now(UTC)
        await database.write(lambda c: logs.enter(c, writer, "log", now), (logs.LOCK,))
        await database.write(lambda c: c.execute(sa.insert(counters).values(name="n", value=0)))
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < _SECONDS:
            await asyncio.gather(*(database.write(operation) for _ in range(size)))
            done += size
        return (time.perf_counter() - began) / done * 1e6


async def checked(directory: Path, count: int) -> float:
    """Records that are verified in a second."""
    scribe = Scribe("bench", _KEYS.keyed, lambda: datetime.now(UTC))
    database = Database(f"sqlite:///{directory}/verify.db", scribe)
    writer = Writer("bench", "proctor.dev/record", _KEYS, timedelta(seconds=10))
    async with database.running():
        await migrate(database)
        now = datetime.now(UTC)
        await database.write(lambda c: logs.enter(c, writer, "log", now), (logs.LOCK,))
        await database.write(lambda c: [record(c, draft()) for _ in range(count)])
        await database.write(lambda c: logs.sign_due(c, writer, 1, now, now))
        lines = await database.read(lambda c: reading.lines(c, "log", 0, count + 1))
        note = await database.read(lambda c: reading.newest_checkpoint(c, "log"))
    files = files_of(lines, {len(lines): note or ""})
    began = time.perf_counter()
    report = verify({"log": files}, [_KEYS.verifier("proctor.dev/record/log")])
    assert report.is_whole, report.findings
    return len(lines) / (time.perf_counter() - began)


def synced(directory: Path) -> float:
    """Microseconds of writing 700 bytes and waiting for the disk: the limit of a commit."""
    file = os.open(directory / "sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write() -> None:
        os.write(file, b"x" * 700)
        os.fdatasync(file)

    try:
        return micros(write)
    finally:
        os.close(file)


def main() -> None:
    """Print the table."""
    frontier, written = Frontier(), line(draft(), Place("log", 0, NO_RECORD))
    leaf = leaf_hash(written)
    for _ in range(1023):
        frontier, _ = frontier.grown(leaf)
    signer = Signer("proctor.dev/record/log", _KEYS.signing)
    text = Checkpoint("proctor.dev/record/log", 1024, frontier.root()).text()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as found:
        directory = Path(found)
        rows = [
            ("a record made and spelt, µs", micros(lambda: line(draft().checked(), Place("log", 7, NO_RECORD)))),
            ("a leaf into the tree, µs", micros(lambda: frontier.grown(leaf))),
            ("a checkpoint signed, µs", micros(lambda: signer.sign(text))),
            ("the disk: 700 bytes and fdatasync, µs", synced(directory)),
        ]
        for size in (1, 8, 32):
            without, with_it = (asyncio.run(groups(directory, size, recorded=each)) for each in (False, True))
            rows += [
                (f"an operation, {size} at once, µs", without),
                (f"… and its record, {size} at once, µs", with_it),
                (f"… so a record adds, {size} at once, µs", with_it - without),
            ]
        rows.append(("records verified in a second", asyncio.run(checked(directory, 20_000))))
    for name, value in rows:
        print(f"{name:45} {value:10,.1f}")  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
