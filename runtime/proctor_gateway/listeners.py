"""Three HTTP servers in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 5
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Listener:
    """An application and where it listens."""

    application: ASGIApp
    host: str
    port: int


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(listeners: Sequence[Listener]) -> AsyncIterator[Sequence[int]]:
    """Serve inside; yields the bound ports. Raises OSError if one cannot be bound. Requests under way are finished."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_bound(each)) for each in listeners]
        # All of them, or none: from here on they are their servers'.
        stack.pop_all()
    servers = [_Server(_config(each)) for each in listeners]
    serving = [
        asyncio.create_task(server.serve([bound]), name=f"listener-{bound.getsockname()[1]}")
        for server, bound in zip(servers, sockets, strict=True)
    ]
    try:
        while not all(server.started for server in servers):
            for each in serving:
                if each.done():
                    each.result()
            await asyncio.sleep(_POLL_SECONDS)
        yield [bound.getsockname()[1] for bound in sockets]
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving, return_exceptions=True)


def _bound(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that say that they are TCP; else an answer waits 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((listener.host, listener.port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(False)
    return bound


def _config(listener: Listener) -> uvicorn.Config:
    return uvicorn.Config(
        listener.application,
        http="httptools",
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
