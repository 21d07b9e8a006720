"""Applications served on loopback inside a test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.types import ASGIApp

from proctor_gateway.listeners import Listener, listening

_LOWEST, _PORTS = 20_000, 10_000
# Tests that run beside each other begin at different numbers.
_numbers = itertools.count(os.getpid() * 89)


@contextlib.asynccontextmanager
async def served(application: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The application; yields its URL."""
    async with listening([Listener(application, host, port)]) as ports:
        yield f"http://{host}:{ports[0]}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now, and that no connection is given: the kernel takes those from above."""
    while True:
        port = _LOWEST + next(_numbers) % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port


async def eventually(holds: Callable[[], Awaitable[object] | object], seconds: float = 10) -> None:
    """Return when it holds; fail if it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.02)
