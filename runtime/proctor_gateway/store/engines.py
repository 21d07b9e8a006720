"""How operations reach the two databases.

PostgreSQL is asked over the loop. SQLite is asked from threads, a whole transaction in one step: a driver that hands
each statement to a thread spends most of its time in handing over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from proctor_gateway.record import pending
from proctor_gateway.record.pending import Recorder
from proctor_gateway.store import sheets
from proctor_gateway.store.operations import Brief, Operation, Result, Untouched
from proctor_gateway.store.sheets import Sheet

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

_AWAY_STATES: Final = frozenset({"40P01", "40001", "53300", "57P01", "57P02", "57P03"})
"""PostgreSQL's words for a deadlock and a serialization failure, which leave nothing behind; for too many connections;
for a server that shuts down, has crashed or is starting."""
_BUSY_MILLISECONDS: Final = 10_000
_HERE_SECONDS: Final = 0.001
"""A disk that syncs within this time is quicker than the way to a thread and back."""
_READERS: Final = 4
SILENCE_SECONDS: Final = 10.0
"""So long a server may take to answer a statement, and a client may take inside a transaction to say the next.

A machine that lost its power closes no connection, and TCP alone waits for hours: whoever asks it would wait as long,
and so would everybody for what it has locked.
"""
_CONNECT_SECONDS: Final = 5.0
_PRAGMAS: Final = (
    "journal_mode=WAL",
    # An effect is sent only after its intent is on the disk, also when the power fails.
    "synchronous=FULL",
    "foreign_keys=ON",
)


class Engine(Protocol):
    """A database."""

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Operations may be run inside."""

    async def transact(self, operations: Sequence[Operation[Any]], locks: Collection[str] = ()) -> list[Result]:
        """Run the operations in one transaction that holds the locks, each in a savepoint if they are several."""

    async def slowly(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction of its own, however long its statements take."""

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed."""


def engine_for(url: sa.URL, recorder: Recorder, silence: float = SILENCE_SECONDS) -> Engine:
    """The engine for the URL, `silence` in seconds. Raises ValueError for any database but the two."""
    match url.get_backend_name():
        case "sqlite":
            return Sqlite(url, recorder)
        case "postgresql" | "postgres":
            return Postgresql(url, recorder, silence)
        case _:
            raise ValueError("store must be a sqlite:// or a postgresql:// URL")


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


class Postgresql:
    """A server, over the loop."""

    def __init__(self, url: sa.URL, recorder: Recorder, silence: float) -> None:
        # Whoever keeps a file needs none of it.
        from sqlalchemy.ext.asyncio import create_async_engine

        self._recorder = recorder
        self._url = url.set(drivername="postgresql+asyncpg")
        self._connecting = {"timeout": _CONNECT_SECONDS, "server_settings": _server_settings(silence)}
        self._engine = create_async_engine(
            self._url,
            connect_args={**self._connecting, "command_timeout": silence},
            pool_size=_READERS,
            max_overflow=_READERS,
            pool_timeout=silence,
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
        then wait for each other in a row, never in a ring. What breaks off before the commit is sent has changed
        nothing, and is done once more; of a commit that is not answered nobody knows.
        """
        with contextlib.suppress(Entangled):
            return await self._transacted(operations, locks, apart=False)
        return await self._transacted(operations, locks, apart=True)

    async def _transacted(
        self, operations: Sequence[Operation[Any]], locks: Collection[str], *, apart: bool
    ) -> list[Result]:
        async with self._connected() as connection:
            try:
                results = await self._applied(connection, operations, locks, apart=apart)
            except TimeoutError:
                raise
            except Exception as exc:
                if not is_away(exc):
                    raise
            else:
                await connection.commit()
                return results
        async with self._connected() as connection:
            results = await self._applied(connection, operations, locks, apart=apart)
            await connection.commit()
            return results

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection. One that was silent is thrown away: to say farewell to it would take as long again."""
        async with self._engine.connect() as connection:
            try:
                yield connection
            except TimeoutError:
                await connection.invalidate()
                raise

    async def _applied(
        self, connection: AsyncConnection, operations: Sequence[Operation[Any]], locks: Collection[str], *, apart: bool
    ) -> list[Result]:
        if locks:
            await connection.execute(_LOCK, {"keys": sorted({_lock_key(each) for each in locks})})
        return await connection.run_sync(lambda c: apply(c, operations, self._recorder, apart=apart))

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed; once more if the connection broke off, but not if it was silent."""
        try:
            async with self._connected() as connection:
                return await connection.run_sync(operation)
        except TimeoutError:
            raise
        except Exception as exc:
            if not is_away(exc):
                raise
        async with self._connected() as connection:
            return await connection.run_sync(operation)

    async def slowly(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction of its own, on a connection that waits however long it takes."""
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(self._url, connect_args=self._connecting, poolclass=sa.NullPool)
        async with engine.begin() as connection:
            return await connection.run_sync(operation)


def _server_settings(silence: float) -> dict[str, str]:
    """What makes the server let go of a client that has vanished: in a transaction, or while it is answered."""
    return {
        "idle_in_transaction_session_timeout": f"{silence * 1000:.0f}",
        "tcp_keepalives_idle": f"{max(silence / 2, 1):.0f}",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


_LOCK: Final = sa.text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(:keys) AS key").bindparams(
    sa.bindparam("keys", type_=postgresql.ARRAY(sa.BigInteger))
)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


class Entangled(Exception):  # noqa: N818 - a fact, not a failure
    """One of several operations that wrote together has failed: all are to be taken back, and run each for itself."""


def apply(
    connection: sa.Connection, operations: Sequence[Operation[Any]], recorder: Recorder, *, apart: bool = False
) -> list[Result]:
    """Run the operations. One that fails by itself takes back itself alone; a database that fails, all of them.

    Brief ones write together, unless they are to be kept `apart`. Raises Entangled.
    """
    recorder.begin(connection)
    sheet = sheets.lay(connection)
    results = []
    for operation in operations:
        if isinstance(operation, Brief) and not apart:
            results.append(_together(connection, operation, sheet))
            continue
        _written(sheet)
        is_only = len(operations) == 1
        results.append(Result(operation(connection)) if is_only else _apart(connection, operation))
    _written(sheet)
    recorder.seal(connection)
    return results


def _together(connection: sa.Connection, operation: Operation[Any], sheet: Sheet) -> Result:
    sheet.is_shared = True
    try:
        return Result(operation(connection))
    except Untouched as exc:
        return Result(error=exc)
    except Exception as exc:
        raise _entangled(connection, exc) from exc


def _written(sheet: Sheet) -> None:
    """What was written together is in the store, and whoever comes next reads and writes there."""
    if not sheet.is_shared:
        return
    try:
        sheet.write()
    except Exception as exc:
        raise _entangled(sheet.connection, exc) from exc
    sheet.is_shared = False
    sheet.forget()


def _entangled(connection: sa.Connection, exc: Exception) -> Exception:
    if is_away(exc):
        return exc
    pending.take_back(connection, 0)
    return Entangled()


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
    if isinstance(exc, OperationalError | InterfaceError | OSError | TimeoutError | NoConnection):
        return True
    if not isinstance(exc, DBAPIError):
        return False
    return exc.connection_invalidated or getattr(exc.orig, "sqlstate", None) in _AWAY_STATES


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
