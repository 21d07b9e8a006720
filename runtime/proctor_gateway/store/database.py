"""The database behind the store: one engine for SQLite or PostgreSQL, and writes that are committed in groups.

An operation is a plain function of a SQLAlchemy connection. `write` returns when the operation is durable; operations
that arrive while a commit is under way share the next one, so that one sync to disk serves many callers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from proctor_gateway.errors import StoreAway

T = TypeVar("T")
Operation = Callable[[sa.Connection], T]

_BUSY_MILLISECONDS = 10_000
_BATCH = 64
_READERS = 4


@dataclass
class _Pending:
    operation: Operation[Any]
    done: asyncio.Future[Any]


class Database:
    """Runs operations. Raises StoreAway while the database cannot be reached."""

    def __init__(self, url: str) -> None:
        self.url = _async_url(url)
        self._writer = _engine(self.url, readers=False)
        self._reader = _engine(self.url, readers=True)
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of ours, which only one process may write."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Operations may be run inside."""
        self._worker = asyncio.create_task(self._work(), name="store-writer")
        try:
            yield
        finally:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            await self._writer.dispose()
            await self._reader.dispose()

    async def write(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction; durable when this returns. An exception rolls back this one alone."""
        pending = _Pending(operation, asyncio.get_running_loop().create_future())
        await self._queue.put(pending)
        # Shielded: a caller that goes away must not take back what others share a transaction with.
        result: T = await asyncio.shield(pending.done)
        return result

    async def read(self, operation: Operation[T]) -> T:
        """Run the operation on what is committed. It must not write."""
        with _translated():
            async with self._reader.connect() as connection:
                return await connection.run_sync(operation)

    async def exclusively(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work on a connection of its own, outside the groups: for migrations, under their own lock."""
        with _translated():
            async with self._writer.begin() as connection:
                return await connection.run_sync(work)

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def _commit(self, batch: list[_Pending]) -> None:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            with _translated():
                async with self._writer.begin() as connection:
                    alone = len(batch) == 1
                    results = [await _apply(connection, pending, alone=alone) for pending in batch]
        except Exception as exc:  # noqa: BLE001 - whatever it was, it is handed to those who wait
            # Nothing of the group is committed, or nobody can say so: each of them hears that it failed.
            results = [(pending.done, None, exc) for pending in batch]
        for done, value, error in results:
            if done.done():
                continue
            if error is None:
                done.set_result(value)
            else:
                done.set_exception(error)
                done.exception()  # a waiter that has gone away must not be reported as "never retrieved"


async def _apply(
    connection: AsyncConnection, pending: _Pending, *, alone: bool
) -> tuple[asyncio.Future[Any], Any, BaseException | None]:
    if alone:
        return pending.done, await connection.run_sync(pending.operation), None
    try:
        async with connection.begin_nested():
            return pending.done, await connection.run_sync(pending.operation), None
    except Exception as exc:
        if _is_away(exc):
            raise
        return pending.done, None, exc


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        if _is_away(exc):
            raise StoreAway(f"the database does not answer: {type(exc).__name__}") from exc
        raise


def _is_away(exc: Exception) -> bool:
    """Whether the database failed, rather than what it was asked to do."""
    if isinstance(exc, OperationalError | InterfaceError | OSError | TimeoutError):
        return True
    return isinstance(exc, DBAPIError) and exc.connection_invalidated


def _async_url(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
    name = parsed.get_backend_name() if "+" in parsed.drivername else parsed.drivername
    if name not in driver:
        raise ValueError("store must be a sqlite:// or a postgresql:// URL")
    return parsed.set(drivername=driver[name])


def _engine(url: sa.URL, *, readers: bool) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=_READERS, max_overflow=_READERS, pool_pre_ping=True, pool_recycle=900)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=_READERS if readers else 1, max_overflow=0)
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_deferred if readers else _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions begin too late for savepoints; we say BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: an effect is sent only after its intent is on the disk, also when the power fails.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")
