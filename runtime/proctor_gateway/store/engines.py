"""How operations reach the two databases.

PostgreSQL is asked over the loop. SQLite is asked from threads, a whole transaction in one step: a driver that hands
each statement to a thread spends most of its time in handing over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from proctor_gateway.record import pending
from proctor_gateway.record.pending import Recorder

T = TypeVar("T")
Operation = Callable[[sa.Connection], T]

_BUSY_MILLISECONDS: Final = 10_000
_READERS: Final = 4
_PRAGMAS: Final = (
    "journal_mode=WAL",
    # An effect is sent only after its intent is on the disk, also when the power fails.
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={_BUSY_MILLISECONDS}",
)


@dataclass(frozen=True)
class Result:
    """What an operation gave, or the exception that took it back."""

    value: Any = None
    error: Exception | None = None


class Engine(Protocol):
    """A database."""

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Operations may be run inside."""

    async def transact(self, operations: Sequence[Operation[Any]], locks: Collection[str] = ()) -> list[Result]:
        """Run the operations in one transaction that holds the locks, each in a savepoint if they are several."""

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed."""


def engine_for(url: sa.URL, recorder: Recorder) -> Engine:
    """The engine for the URL. Raises ValueError for any database but the two."""
    match url.get_backend_name():
        case "sqlite":
            return Sqlite(url, recorder)
        case "postgresql" | "postgres":
            return Postgresql(url, recorder)
        case _:
            raise ValueError("store must be a sqlite:// or a postgresql:// URL")


class Sqlite:
    """A file: one thread that writes, a few that read."""

    def __init__(self, url: sa.URL, recorder: Recorder) -> None:
        self._recorder = recorder
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        plain = url.set(drivername="sqlite+pysqlite")
        self._writer = _sqlite_engine(plain, "BEGIN IMMEDIATE", 1)
        self._reader = _sqlite_engine(plain, "BEGIN", _READERS)
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(_READERS, "store-reader")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Operations may be run inside."""
        try:
            yield
        finally:
            self._writing.shutdown()
            self._reading.shutdown()
            self._writer.dispose()
            self._reader.dispose()

    async def transact(
        self,
        operations: Sequence[Operation[Any]],
        locks: Collection[str] = (),  # noqa: ARG002 - one thread writes: it holds every lock
    ) -> list[Result]:
        """Run the operations in one transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._transact, operations)

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, operation)

    def _transact(self, operations: Sequence[Operation[Any]]) -> list[Result]:
        with self._writer.begin() as connection:
            return apply(connection, operations, self._recorder)

    def _read(self, operation: Operation[T]) -> T:
        with self._reader.connect() as connection:
            return operation(connection)


class Postgresql:
    """A server, over the loop."""

    def __init__(self, url: sa.URL, recorder: Recorder) -> None:
        self._recorder = recorder
        self._engine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=_READERS,
            max_overflow=_READERS,
            pool_pre_ping=True,
            pool_recycle=900,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Operations may be run inside."""
        try:
            yield
        finally:
            await self._engine.dispose()

    async def transact(self, operations: Sequence[Operation[Any]], locks: Collection[str] = ()) -> list[Result]:
        """Run the operations in one transaction.

        All locks are taken before anything else, in one order: transactions of two gateways that want the same ones
        then wait for each other in a row, never in a ring.
        """
        async with self._engine.begin() as connection:
            if locks:
                await connection.execute(_LOCK, {"keys": sorted({_lock_key(each) for each in locks})})
            return await connection.run_sync(apply, operations, self._recorder)

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(operation)


_LOCK: Final = sa.text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(:keys) AS key").bindparams(
    sa.bindparam("keys", type_=postgresql.ARRAY(sa.BigInteger))
)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


def apply(connection: sa.Connection, operations: Sequence[Operation[Any]], recorder: Recorder) -> list[Result]:
    """Run the operations. One that fails by itself takes back itself alone; a database that fails, all of them."""
    recorder.begin(connection)
    if len(operations) == 1:
        results = [Result(operations[0](connection))]
    else:
        results = [_apart(connection, operation) for operation in operations]
    recorder.seal(connection)
    return results


def _apart(connection: sa.Connection, operation: Operation[Any]) -> Result:
    before = pending.count(connection)
    try:
        with _savepoint(connection):
            return Result(operation(connection))
    except Exception as exc:
        if is_away(exc):
            raise
        pending.take_back(connection, before)
        return Result(error=exc)


@contextlib.contextmanager
def _savepoint(connection: sa.Connection) -> Iterator[None]:
    """What happens inside is taken back alone if it fails. On SQLite without SQLAlchemy's bookkeeping, for speed."""
    if connection.dialect.name != "sqlite":
        with connection.begin_nested():
            yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("SAVEPOINT operation")
    try:
        yield
    except BaseException:
        driver.execute("ROLLBACK TO operation")
        driver.execute("RELEASE operation")
        raise
    driver.execute("RELEASE operation")


def is_away(exc: Exception) -> bool:
    """Whether the database failed, rather than what it was asked to do."""
    if isinstance(exc, OperationalError | InterfaceError | OSError | TimeoutError):
        return True
    return isinstance(exc, DBAPIError) and exc.connection_invalidated


def _sqlite_engine(url: sa.URL, begin: str, connections: int) -> sa.Engine:
    # Connections wander between the threads of one pool; none is used by two at once.
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=connections,
        max_overflow=0,
        # Every transaction is ended by whoever began it: there is nothing to take back when a connection is returned.
        pool_reset_on_return=None,
        connect_args={"check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own transactions begin too late for savepoints; we say BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
