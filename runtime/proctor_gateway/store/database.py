"""The database behind the store: reads, and writes that are committed in groups.

An operation is a plain function of a SQLAlchemy connection. `write` returns when the operation is durable; operations
that arrive while a commit is under way share the next one, so that one sync to disk serves many callers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from proctor_gateway.record.pending import Nobody, Recorder
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store.engines import engine_for
from proctor_gateway.store.operations import Operation, Result
from proctor_gateway.store.postgresql import SILENCE_SECONDS
from proctor_gateway.store.transactions import is_away

T = TypeVar("T")

_GROUP = 64


@dataclass
class _Pending:
    operation: Operation[Any]
    done: asyncio.Future[Any]
    locks: Collection[str]


class Database:
    """Runs operations. Raises StoreAway while the database cannot be reached."""

    def __init__(self, url: str, recorder: Recorder | None = None, silence: float = SILENCE_SECONDS) -> None:
        """`recorder` writes what each transaction tells. Without one it is not kept: only a gateway keeps a record.

        A server that answers a statement with nothing for `silence` seconds counts as away.
        """
        self._url = sa.make_url(url)
        self._engine = engine_for(self._url, recorder or Nobody(), silence)
        self._queue: list[_Pending] = []
        self._asked = asyncio.Event()

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database, which only one process may write."""
        is_file = self._url.get_backend_name() == "sqlite" and self._url.database
        return Path(self._url.database) if is_file and self._url.database else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Operations may be run inside."""
        worker = asyncio.create_task(self._work(), name="store-writer")
        try:
            async with self._engine.running():
                try:
                    yield
                finally:
                    worker.cancel()
                    await asyncio.gather(worker, return_exceptions=True)
        finally:
            for pending in self._queue:
                pending.done.cancel()

    async def write(self, operation: Operation[T], locks: Collection[str] = ()) -> T:
        """Run the operation in a transaction; durable when this returns. An exception takes back this one alone.

        The transaction holds the locks of these names, whichever gateway it is of.
        """
        pending = _Pending(operation, asyncio.get_running_loop().create_future(), locks)
        self._queue.append(pending)
        self._asked.set()
        # A caller that goes away takes only itself away: the operation is in the queue, and shares its transaction.
        result: T = await pending.done
        return result

    async def read(self, operation: Operation[T]) -> T:
        """Run the operation on what is committed. It must not write."""
        with _translated():
            return await self._engine.read(operation)

    async def alone(self, operation: Operation[T]) -> T:
        """Run the operation in a transaction outside the groups: for migrations, under a lock of their own."""
        with _translated():
            return await self._engine.slowly(operation)

    async def _work(self) -> None:
        while True:
            await self._asked.wait()
            group, self._queue = self._queue[:_GROUP], self._queue[_GROUP:]
            if not self._queue:
                self._asked.clear()
            await self._commit(group)

    async def _commit(self, group: list[_Pending]) -> None:
        try:
            with _translated():
                locks = {name for pending in group for name in pending.locks}
                results = await self._engine.transact([pending.operation for pending in group], locks)
        except Exception as exc:  # noqa: BLE001 - whatever it was, it is handed to those who wait
            # Nothing of the group is committed, or nobody can say so: each of them hears that it failed.
            results = [Result(error=exc)] * len(group)
        for pending, result in zip(group, results, strict=True):
            _tell(pending.done, result)


def _tell(done: asyncio.Future[Any], result: Result) -> None:
    if done.done():
        return
    if result.error is None:
        done.set_result(result.value)
        return
    done.set_exception(result.error)
    done.exception()  # a waiter that has gone away must not be reported as "never retrieved"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        if is_away(exc):
            raise StoreAway(f"the database does not answer: {type(exc).__name__}") from exc
        raise
