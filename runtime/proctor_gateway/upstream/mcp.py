"""MCP servers of all versions. Which one a server speaks is asked once, and remembered for a while.

With 2026-07-28 a call is one request, which is made here (`stateless`). Whoever speaks nothing newer than a handshake
is spoken to through the protocol's own SDK (`sessions`), which is not even imported before there is such a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from proctor_gateway.upstream.outcome import McpFailed, Target
from proctor_gateway.upstream.stateless import Stateless

_REMEMBERED_SECONDS: Final = 300.0


class Mcp:
    """Lists and calls tools. Raises McpFailed, which says whether a tool may have run."""

    def __init__(self, connect_seconds: float, largest: int) -> None:
        self._stateless = Stateless(connect_seconds, largest)
        self._connect_seconds = connect_seconds
        self._largest = largest
        self._stack = contextlib.AsyncExitStack()
        self._old: Any = None
        self._importing = asyncio.Lock()
        self._is_stateless: dict[str, tuple[float, bool]] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Calls may be made inside."""
        async with self._stack, self._stateless.running():
            yield

    async def tools(self, target: Target) -> Sequence[dict[str, Any]]:
        """All tool definitions that the server offers, as JSON."""
        async with self._client(target) as client:
            found: Sequence[dict[str, Any]] = await client.tools(target)
            return found

    async def call(
        self, target: Target, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, str]
    ) -> dict[str, Any]:
        """The result as the server gave it. A call that may have run is never sent twice."""
        async with self._client(target) as client:
            found: dict[str, Any] = await client.call(target, tool, arguments, meta)
            return found

    @contextlib.asynccontextmanager
    async def _client(self, target: Target) -> AsyncIterator[Any]:
        at, is_stateless = self._is_stateless.get(target.url, (0.0, False))
        try:
            if not at or time.monotonic() - at > _REMEMBERED_SECONDS:
                is_stateless = await self._stateless.discovers(target)
                self._is_stateless[target.url] = (time.monotonic(), is_stateless)
            yield self._stateless if is_stateless else await self._sessions()
        except McpFailed:
            # A server may have been replaced by one of another version: the next call asks again.
            self._is_stateless.pop(target.url, None)
            raise

    async def _sessions(self) -> Any:
        async with self._importing:
            if self._old is None:
                found = await asyncio.to_thread(importlib.import_module, "proctor_gateway.upstream.sessions")
                old = found.Sessions(self._connect_seconds, self._largest)
                await self._stack.enter_async_context(old.running())
                self._old = old
        return self._old
