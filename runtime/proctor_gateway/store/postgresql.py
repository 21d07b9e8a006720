"""A PostgreSQL server, asked over the loop."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from proctor_gateway.record.pending import Recorder
from proctor_gateway.store.operations import Operation, Result
from proctor_gateway.store.transactions import Entangled, apply, is_away

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

_CONNECTIONS: Final = 4
SILENCE_SECONDS: Final = 10.0
"""So long a server may take to answer a statement, and a client may take inside a transaction to say the next.

A machine that lost its power closes no connection, and TCP alone waits for hours: whoever asks it would wait as long,
and so would everybody for what it has locked.
"""
_CONNECT_SECONDS: Final = 5.0


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
            pool_size=_CONNECTIONS,
            max_overflow=_CONNECTIONS,
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
            except Exception as exc:
                if not _broke_off(exc):
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
        except Exception as exc:
            if not _broke_off(exc):
                raise
        async with self._connected() as connection:
            return await connection.run_sync(operation)

    async def slowly(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction of its own, on a connection that waits however long it takes."""
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(self._url, connect_args=self._connecting, poolclass=sa.NullPool)
        async with engine.begin() as connection:
            return await connection.run_sync(operation)


def _broke_off(exc: Exception) -> bool:
    """Whether the connection was lost at once, so that another may be asked. To wait for silence twice helps nobody."""
    return is_away(exc) and not isinstance(exc, TimeoutError)


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
