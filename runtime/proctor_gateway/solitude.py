"""One process for one SQLite file: the lock that makes it true."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_WAIT_SECONDS = 0.5


@contextlib.asynccontextmanager
async def alone(database: Path) -> AsyncIterator[None]:
    """Hold the lock beside the file. The kernel lets go of it when the process dies, however it dies.

    Waits until the one before is gone: during an update the old process may still be finishing its tasks.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = database.with_name(database.name + ".lock")
    with lock.open("w") as held:
        said = False
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not said:
                    log.warning("another process has the store; waiting until it is gone", store=str(database))
                    said = True
            await asyncio.sleep(_WAIT_SECONDS)
        yield
