"""Applications served on loopback inside a test's own loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

from starlette.types import ASGIApp

from proctor_gateway.listeners import Listener, listening


@contextlib.asynccontextmanager
async def served(application: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The application; yields its URL."""
    async with listening([Listener(application, host, port)]) as ports:
        yield f"http://{host}:{ports[0]}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
