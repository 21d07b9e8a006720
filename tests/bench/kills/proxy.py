"""A gateway's way to PostgreSQL, which can be cut: all connections at once, or just as a commit is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SOCKET: Final = ".s.PGSQL.5432"
_CHUNK: Final = 1 << 16
_COMMIT: Final = b"COMMIT"


@dataclass
class Proxy:
    """Passes bytes on, until it is told to cut."""

    server: Path
    directory: Path
    committed_at: float = 0
    """When the last commit was answered, on the machine's monotonic clock."""
    lost: Callable[[], None] | None = None
    """Set: the next commit is carried out, its answer thrown away, every connection cut, and this told."""
    connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = field(default_factory=set)
    silent: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """Abort every connection, on both sides."""
        for pair in self.connections:
            for writer in pair:
                writer.transport.abort()

    def silence(self) -> None:
        """Pass on nothing more on the connections that there are, and close none: as where a cable was pulled."""
        self.silent |= {writer for pair in self.connections for writer in pair}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Gateways may connect inside."""
        self.directory.mkdir(parents=True, exist_ok=True)
        server = await asyncio.start_unix_server(self._connected, self.directory / _SOCKET)
        async with server:
            yield
            self.cut()
            for each in self.serving:
                each.cancel()
            await asyncio.gather(*self.serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self.server / _SOCKET)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self.connections.add(pair)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._answer(far_reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.connections.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._write(writer, chunk)
        raise ConnectionResetError

    async def _write(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        if writer in self.silent:
            await asyncio.Event().wait()
        writer.write(chunk)
        await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            # A command's completion says its name: this chunk tells that a transaction is committed.
            if _COMMIT in chunk:
                if self.lost is not None:
                    told, self.lost = self.lost, None
                    self.cut()
                    told()
                    return
                self.committed_at = time.monotonic()
            await self._write(writer, chunk)
        raise ConnectionResetError
