"""Which database an URL means, and what is asked of either."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from proctor_gateway.record.pending import Recorder
from proctor_gateway.store.operations import Operation, Result
from proctor_gateway.store.postgresql import SILENCE_SECONDS, Postgresql
from proctor_gateway.store.sqlite import Sqlite

T = TypeVar("T")


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
