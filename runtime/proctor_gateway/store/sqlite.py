"""A SQLite file. It is asked from threads, a whole transaction in one step, or here if that is quicker.

A driver that hands each statement to a thread spends most of its time in handing over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from proctor_gateway.record.pending import Recorder
from proctor_gateway.store.operations import Brief, Operation, Result
from proctor_gateway.store.transactions import Entangled, apply

T = TypeVar("T")

_BUSY_MILLISECONDS: Final = 10_000
_HERE_SECONDS: Final = 0.001
"""A disk that syncs within this time is quicker than the way to a thread and back."""
_READERS: Final = 4
_PRAGMAS: Final = (
    "journal_mode=WAL",
    # An effect is sent only after its intent is on the disk, also when the power fails.
    "synchronous=FULL",
    "foreign_keys=ON",
)


class Sqlite:
    """A file: one thread that writes, a few that read."""

    def __init__(self, url: sa.URL, recorder: Recorder) -> None:
        self._recorder = recorder
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        plain = url.set(drivername="sqlite+pysqlite")
        self._writer = _sqlite_engine(plain, "BEGIN IMMEDIATE", 1, busy=0)
        self._pen: sa.Connection | None = None
        """The writer's connection, kept by it: to fetch it from its pool takes longer than most of what it writes."""
        self._slowest = _HERE_SECONDS
        """How long the disk took to commit, at its slowest of late."""
        self._turn = asyncio.Lock()
        self._reader = _sqlite_engine(plain, "BEGIN", _READERS, busy=_BUSY_MILLISECONDS)
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(_READERS, "store-reader")
        self._glances = _sqlite_engine(plain, "BEGIN", 1, busy=0)
        self._glance: sa.Connection | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Operations may be run inside."""
        try:
            yield
        finally:
            self._writing.shutdown()
            self._reading.shutdown()
            self._drop()
            self._writer.dispose()
            self._reader.dispose()
            if self._glance is not None:
                self._glance.close()
            self._glances.dispose()

    async def transact(
        self,
        operations: Sequence[Operation[Any]],
        locks: Collection[str] = (),  # noqa: ARG002 - one thread writes: it holds every lock
    ) -> list[Result]:
        """Run the operations in one transaction.

        Brief ones run here, in a moment: a thread would wait for the interpreter before each of their statements.
        Only what may take long is left to the thread: all others, and the commit, if the disk was slow of late.
        """
        async with self._turn:
            if all(isinstance(each, Brief) for each in operations):
                results = await self._briefly(operations)
                if results is not None:
                    return results
            return await self._in_thread(self._transact, operations)

    async def slowly(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction of its own: nothing bounds it anyway."""
        (result,) = await self.transact([operation])
        value: T = result.value
        return value

    async def _briefly(self, operations: Sequence[Operation[Any]]) -> list[Result] | None:
        """None: the thread is to do it, because there is something to wait for, or to take back."""
        connection = self._open()
        try:
            transaction = connection.begin()
        except OperationalError:
            self._drop()
            return None
        try:
            results = apply(connection, operations, self._recorder)
            if self._slowest < _HERE_SECONDS:
                self._timed(transaction.commit)
            else:
                await self._in_thread(self._timed, transaction.commit)
        except Entangled:
            transaction.rollback()
            return None
        except BaseException:
            self._drop()
            raise
        return results

    def _timed(self, commit: Callable[[], None]) -> None:
        began = time.perf_counter()
        commit()
        # One that was slow counts half as much with each that follows: a checkpoint is soon forgotten.
        self._slowest = max(time.perf_counter() - began, self._slowest / 2)

    def _open(self) -> sa.Connection:
        if self._pen is None:
            self._pen = self._writer.connect()
        return self._pen

    def _drop(self) -> None:
        """Take back what was begun, and begin anew next time: nobody knows what state a failure left it in."""
        if self._pen is not None:
            pen, self._pen = self._pen, None
            pen.close()

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Until it is done, also if nobody waits for it any more: the connection is in use."""
        working = asyncio.get_running_loop().run_in_executor(self._writing, work, *arguments)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed. A brief one is run here: readers of such a file wait for nobody."""
        if isinstance(operation, Brief):
            found: T = self._glanced(operation)
            return found
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, operation)

    def _glanced(self, operation: Operation[T]) -> T:
        if self._glance is None:
            self._glance = self._glances.connect()
        try:
            return operation(self._glance)
        finally:
            # Whatever began a transaction would see the file as it is now for ever.
            if self._glance.in_transaction():
                self._glance.rollback()

    def _transact(self, operations: Sequence[Operation[Any]]) -> list[Result]:
        """In the thread, which may wait for whoever else holds the file."""
        connection = self._open()
        driver: Any = connection.connection.dbapi_connection
        driver.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        try:
            with contextlib.suppress(Entangled), connection.begin():
                return apply(connection, operations, self._recorder)
            with connection.begin():
                return apply(connection, operations, self._recorder, apart=True)
        except BaseException:
            self._drop()
            raise
        finally:
            driver.execute("PRAGMA busy_timeout=0")

    def _read(self, operation: Operation[T]) -> T:
        with self._reader.connect() as connection:
            return operation(connection)


def _sqlite_engine(url: sa.URL, begin: str, connections: int, *, busy: int) -> sa.Engine:
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
    sa.event.listen(engine, "connect", lambda connection, _: _prepare(connection, busy))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare(connection: Any, busy: int) -> None:
    # The driver's own transactions begin too late for savepoints; we say BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MILLISECONDS}", *_PRAGMAS, f"busy_timeout={busy}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
